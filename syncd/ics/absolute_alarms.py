"""Alarms at an absolute time in a series: the date that each of them belongs to.

Such an alarm fires once (RFC 5545 section 3.8.6.3), so it belongs to the next date after it alone.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime

from syncd.core.occurrence import LONGEST_LEAD, Alarm, Window
from syncd.ics.component import Component
from syncd.ics.content import BrokenComponent
from syncd.ics.copies import Copy
from syncd.ics.recurrence import Instance, begin_of


def alarms_by_date(
    instances: Sequence[Instance], copy: Copy
) -> dict[str | None, tuple[Alarm, ...]]:
    """Return the alarms, by recurrence id, of dates whose series has some at an absolute time."""
    concerned = [
        instance for instance in instances if _may_share_alarms(instance.component)
    ]
    if not concerned:
        return {}
    begins = [begin_of(instance) for instance in concerned]
    first = min(begins)
    last = max(begins)
    around = Window(first - LONGEST_LEAD, last, last)
    known = sorted(_begins(copy, around).union(begins))
    found: dict[str | None, tuple[Alarm, ...]] = {}
    for instance, begin in zip(concerned, begins, strict=True):
        place = bisect_left(known, begin)
        since = begin - LONGEST_LEAD
        if place > 0:
            since = known[place - 1]
        alarms = instance.component.template.alarms
        found[instance.recurrence_id] = tuple(_between(alarms, since, begin))
    return found


def _may_share_alarms(component: Component) -> bool:
    """Tell whether several dates may have one alarm at an absolute time."""
    if not component.recurs and not component.this_and_future:
        return False
    return any(alarm.at is not None for alarm in component.template.alarms)


def _between(
    alarms: Sequence[Alarm], since: datetime, begin: datetime
) -> Iterator[Alarm]:
    """Yield the alarms of a date that begins at `begin`, the one before it at `since`; relative ones always."""
    for alarm in alarms:
        if alarm.at is None or since < alarm.at <= begin:
            yield alarm


def _begins(copy: Copy, window: Window) -> set[datetime]:
    """Return when the dates around a window begin, none where they are too many."""
    with contextlib.suppress(BrokenComponent):
        return {begin_of(instance) for instance in copy.instances(window)}
    return set()
