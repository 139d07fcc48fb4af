"""What is told from the notable lines of an event is what its whole text tells."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.intake.span import UNKNOWN, Span, span_of, span_of_lines
from syncd.intake.vevents import NotPlain, notable_lines, uids_of_event
from tests.conftest import examples

_LINES = (
    "UID:x",
    "UID:x@example.com",
    "UID;X=1:x",
    "UID:a\\,b",
    "uid:y",
    "U",
    "URL:https://example.com",
    "URL",
    "DTSTART:20250105T090000Z",
    "DTSTART;TZID=Europe/Berlin:20250105T090000",
    "DTSTART;VALUE=DATE:20250105",
    "DTSTART",
    "dtstart:20250105T090000Z",
    "DTEND:20250105T100000Z",
    "DTEND;VALUE=DATE:20250107",
    "DTEND :20250105T100000Z",
    "DTSTAMP:20250101T000000Z",
    "DTSTAMP;X=1:20250101T000000Z",
    "DTSTAMP",
    "DURATION:PT1H",
    "DESCRIPTION:text",
    "DESCRIPTION;LANGUAGE=en:text",
    "DESCRIPTION",
    "DESCRIPTION :text",
    "RRULE:FREQ=DAILY;UNTIL=20250301",
    "RRULE:FREQ=DAILY",
    "RDATE:20260105T090000Z",
    "RESOURCES:projector",
    "RECURRENCE-ID:20250301T090000Z",
    "EXDATE:20250105T090000Z",
    "EXDATE",
    "EXRULE;X=1:FREQ=DAILY",
    "EX:1",
    "ATTENDEE:mailto:a@example.com",
    "summary:text",
    "SUMMARY:t\u00e4glich",
    "X-A:1",
    "BEGIN:VALARM",
    "TRIGGER:-PT5M",
    "END:VALARM",
    "begin:valarm",
    "BEGIN:VEVENT",
    "END:VEVENT",
    "\u00e4",
    "1",
    "",
)
_ENDS = (
    "\r\n",
    "\n",
    "\r",
    "\r\r\n",
    "\n\n",
    "\r\n ",
    "\n ",
    "\n\t",
    "\r\n \r\n ",
    " \r\n",
    "\0\n",
)
_PLAIN_ENDS = ("\r\n", "\n", "\r\n ")
_LAST = ("END:VEVENT\r\n", "END:VEVENT\n", "\nEND:VEVENT\r\n", "\nend:vevent \r\n")
_BARE_RETURN = re.compile(rb"\r(?!\n)")


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Something like a VEVENT, mostly with a UID and a start, often with something unusual in it."""
    ends = st.sampled_from(draw(st.sampled_from((_PLAIN_ENDS, _ENDS, ("\r\n",)))))
    lines = draw(st.lists(st.sampled_from(_LINES), max_size=7))
    if draw(st.booleans()):
        lines = draw(st.permutations(["UID:x", "DTSTART:20250105T090000Z", *lines]))
    text = "".join(line + draw(ends) for line in ["BEGIN:VEVENT", *lines])
    place = draw(st.integers(0, len(text)))
    inserted = draw(st.sampled_from(("", "", "", *_ENDS, "x", ":")))
    last = draw(st.sampled_from(_LAST))
    return (text[:place] + inserted + text[place:] + last).encode()


def _uids(text: bytes, notable: bytes | None) -> tuple[str, ...] | None:
    """The UIDs of a text; None if bytes do not tell them."""
    try:
        return uids_of_event(text, notable)
    except NotPlain:
        return None


@given(texts())
@settings(max_examples=examples(200, thorough=5000))
def test_notable_lines_tell_what_the_text_tells(text: bytes) -> None:
    """UIDs and times are those that the whole text tells, or, where lines end oddly, nothing is."""
    notable = notable_lines(text)
    assert (notable is None) == bool(_BARE_RETURN.search(text))
    assert _uids(text, notable) == _uids(text, None)
    wanted: Span = UNKNOWN if notable is None else span_of_lines(text)
    assert span_of(text) == wanted
