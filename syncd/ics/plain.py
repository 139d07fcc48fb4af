"""Tells from the bytes which UIDs are certain to cost little, so that they need no process of their own.

Nearly all events are such: one meeting, or a series by days, weeks, months or years, in a zone that is an
IANA name or has a few rules.
A short text, one rule whose periods are days at least, no rule that excludes, and zones whose rules name a
month bound the work: each step of it is linear in the text, or in the days from 1900 to the horizon.
Whatever is not certain is not plain; nothing but the process in which it is parsed depends on that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from syncd.core.bounds import PLAIN_BYTES, PLAIN_CONTEXT_BYTES
from syncd.ics.vevent import RawEvent

_MOST_EVENTS = 20  # a series with some dates that were moved
_MOST_ONSETS = 40  # rules of zones in one calendar; two for each zone are usual

# A line that begins with no name, or with a name that could be one of those below in another spelling: in
# lower case, folded, with a blank behind it; and a line end that is not seen as one here.
_ODD = re.compile(rb"\n(?:[^A-Z \t\r]|[BDERT][A-Z0-9-]*+[^A-Z0-9:;-])|\r(?!\n)|\0")
_COSTLY = re.compile(rb"\n(?:EXRULE|RDATE)[:;]")
_RULE = re.compile(rb"\nRRULE[:;][^\n]*(?:(?=\n[^ \t])|\n[ \t]|\Z)")
_PLAIN_RULE = re.compile(
    rb"\nRRULE:FREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)(?:;(?:INTERVAL=[0-9]{1,3}|COUNT=[0-9]{1,4}|WKST=[A-Z]{2}"
    rb"|UNTIL=[0-9]{8}(?:T[0-9]{6}Z?)?|BYDAY=[-+0-9A-Z,]{1,40}|BYMONTHDAY=[-+0-9,]{1,40}"
    rb"|BYMONTH=[0-9,]{1,30}|BYSETPOS=[-+0-9,]{1,10}))*\r?"
)
_DATED = re.compile(rb"\n(?:DTSTART|DTEND|RECURRENCE-ID|EXDATE)[:;][^\n]*")
_RECENT = re.compile(rb"\nDTSTART[^\n:]*:(?:19|20)[0-9]{2}")
_ZONE = rb"[A-Za-z0-9 ._/+-]{1,64}"
_PLAIN_ZONE = re.compile(
    rb'\n[A-Z-]+(?:;(?:VALUE=DATE(?:-TIME)?|TZID=(?:"%b"|%b)|RANGE=[A-Z]+))*:'
    % (_ZONE, _ZONE)
)
_PLAIN_ONSET = re.compile(
    rb"\nRRULE:(?=[^\n]*BYMONTH=[0-9]{1,2}(?:[;\r]|\Z))FREQ=YEARLY(?:;(?:INTERVAL=1|BYMONTH=[0-9]{1,2}|WKST=[A-Z]{2}"
    rb"|BYDAY=[-+]?[0-9]?[A-Z]{2}|BYMONTHDAY=[-0-9,]{1,30}|UNTIL=[0-9]{8}(?:T[0-9]{6}Z?)?))*\r?"
)


def is_plain(raw_events: Sequence[RawEvent]) -> bool:
    """Tell whether the VEVENTs of one UID are certain to cost little, apart from what stands around them."""
    if len(raw_events) > _MOST_EVENTS:
        return False
    size = sum(len(raw_event.text) for raw_event in raw_events)
    if size > PLAIN_BYTES:
        return False
    return all(_is_plain_event(raw_event.text) for raw_event in raw_events)


def _is_plain_event(text: bytes) -> bool:
    if _ODD.search(text) or _COSTLY.search(text):
        return False
    rules = _RULE.findall(text)
    if len(rules) > 1:
        return False
    for rule in rules:
        if not _PLAIN_RULE.fullmatch(rule):
            return False
        if b"COUNT=" in rule and not _RECENT.search(text):
            return False  # all its dates have to be counted from the first one on
    return all(map(_PLAIN_ZONE.match, _DATED.findall(text)))


def is_plain_context(text: bytes) -> bool:
    """Tell whether what stands around VEVENTs is certain to cost little: its zones have a few plain rules."""
    if len(text) > PLAIN_CONTEXT_BYTES or _ODD.search(text):
        return False
    rules = _RULE.findall(text)
    if len(rules) > _MOST_ONSETS:
        return False
    return all(map(_PLAIN_ONSET.fullmatch, rules))
