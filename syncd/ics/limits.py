"""How much one UID may hold: dates within the horizon and around it, and what hangs on its dates.

The numbers and their reasons stand in `syncd.core.bounds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from syncd.core.bounds import ITEM_LENGTH, MAX_DATES_PASSED, MAX_ITEMS
from syncd.core.occurrence import Inline, Occurrence, Window
from syncd.core.reasons import Reason
from syncd.ics.content import BrokenComponent
from syncd.ics.recurrence import Instance
from syncd.ics.zones import ONE_DAY


class DateLimits:
    """How many dates one UID may still have: within the horizon, behind it, and before it."""

    def __init__(self, most: int, window: Window) -> None:
        self._most = most
        self._end = window.end
        horizon = max(window.end - window.start, ONE_DAY)
        horizons_behind = ceil((window.reach - window.end) / horizon)
        self._left = most
        self._left_behind = most * (1 + horizons_behind)
        self._left_outside = MAX_DATES_PASSED

    def pass_over(self) -> None:
        """Count a date that is over; raises `BrokenComponent` if there are too many to look at."""
        self._left_outside -= 1
        if self._left_outside < 0:
            raise BrokenComponent(
                Reason.TOO_MANY_OCCURRENCES,
                f"the event has more than {MAX_DATES_PASSED} dates just before the horizon; give its rule a "
                "longer interval",
            )

    def add(self, instance: Instance) -> None:
        """Count a date; raises `BrokenComponent` if there are too many."""
        if instance.starts_before(self._end):
            self._left -= 1
        else:
            self._left_behind -= 1
        if self._left < 0 or self._left_behind < 0:
            raise BrokenComponent(
                Reason.TOO_MANY_OCCURRENCES,
                f"the event has more than {self._most} dates within the horizon; "
                "raise calendar.max_occurrences if that is right",
            )


def check_items(occurrences: Sequence[Occurrence]) -> None:
    """Raise `BrokenComponent` for a series that would be costly after it was parsed."""
    if items_of(occurrences) > MAX_ITEMS:
        raise BrokenComponent(
            Reason.TOO_COSTLY,
            f"its {len(occurrences)} dates hold more than {MAX_ITEMS} attendees, alarms, attachments and "
            "pieces of text in all; shorten what stands in the event, or its series",
        )


def items_of(occurrences: Iterable[Occurrence]) -> int:
    """Return how many attendees, alarms, attachments and pieces of text some occurrences have in all."""
    # The dates of a series share what hangs on them.
    known: dict[tuple[int, ...], int] = {}
    total = 0
    for occurrence in occurrences:
        shared = (
            occurrence.attendees,
            occurrence.alarms,
            occurrence.attachments,
            occurrence.description,
        )
        key = tuple(map(id, shared))
        items = known.get(key)
        if items is None:
            items = _items_of_one(occurrence)
            known[key] = items
        total += items
    return total


def _items_of_one(occurrence: Occurrence) -> int:
    """Return how many attendees, alarms and attachments there are, with text and data counted by length."""
    texts = (
        occurrence.summary,
        occurrence.description,
        occurrence.location,
        occurrence.joining_link,
    )
    length = sum(map(len, texts))
    for attachment in occurrence.attachments:
        if isinstance(attachment, Inline) and attachment.data:
            length += len(attachment.data)
    lists = (
        occurrence.attendees,
        occurrence.alarms,
        occurrence.attachments,
    )
    return sum(map(len, lists)) + length // ITEM_LENGTH
