"""`/history`: what was done, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from syncd.core.occurrence import event_key
from syncd.ledger.history import Step, StepFilter
from syncd.views.catalogue import phrase
from syncd.views.moments import span_told
from syncd.views.step_words import decided_told, done_told, reason_told
from syncd.views.steps import history_document, steps_of
from syncd.web.answers import NotUnderstood
from syncd.web.asked import Asked
from syncd.web.day_page import room_names

_SHOWN = 200
_A_MOMENT = timedelta(milliseconds=1)
_STYLES = {
    "created": ("booked", "✓"),
    "adopted": ("booked", "✓"),
    "booked": ("booked", "✓"),
    "updated": ("approval", "↻"),
    "approval": ("approval", "◔"),
    "cancelled": ("over", "−"),
    "refused": ("refused", "✕"),
    "vanished": ("doubt", "?"),
    "in doubt": ("doubt", "?"),
    "approved": ("held", "‖"),
    "acknowledged": ("held", "‖"),
}
_OTHER = ("waiting", "·")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStep:
    """One step: when, what, with its look, of which meeting, why and by whom; `event` is the key of its event."""

    at: datetime
    clock: str
    done: str
    style: str
    glyph: str
    topic: str
    event: str | None
    when: str
    room: str
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepDay:
    """The steps of a day, newest first."""

    date: date
    steps: tuple[ShownStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """What was done; `since` and `until` are the dates of the form, `older` is where older steps begin.

    `query` has what else was asked for, for the way to older steps; `is_newest` is whether none is newer.
    `left_out` counts steps of one moment that are too many to be shown.
    """

    days: tuple[StepDay, ...]
    since: date | None
    until: date | None
    source: str | None
    sources: tuple[str, ...]
    older: str | None
    query: Mapping[str, str]
    is_newest: bool
    left_out: int


def show_history(asked: Asked) -> HistoryPage:
    """Return the last steps that are asked for, newest first; raises `NotUnderstood`."""
    wanted = _wanted(asked)
    steps, older, left_out = _latest(asked, wanted)
    configured = [source.name for source in asked.config.sources]
    query = {
        name: asked.query[name]
        for name in ("from", "source")
        if asked.query.get(name, "")
    }
    return HistoryPage(
        days=tuple(_by_day(asked, steps)),
        since=_date_of(asked, wanted.since),
        until=_date_of(asked, wanted.until, is_end=True),
        source=wanted.source,
        sources=tuple(configured),
        older=None if older is None else _written(older),
        query=query,
        is_newest=wanted.until is None,
        left_out=left_out,
    )


def history_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `history --json`."""
    return history_document(steps_of(asked.ledger, _wanted(asked)))


def _wanted(asked: Asked) -> StepFilter:
    return StepFilter(
        since=_moment(asked, "from"),
        until=_moment(asked, "to", is_end=True),
        source=asked.query.get("source") or None,
    )


def _moment(asked: Asked, name: str, *, is_end: bool = False) -> datetime | None:
    """Return the moment that a parameter names, None without one; of a day its beginning or its end."""
    said = asked.query.get(name, "").strip()
    if not said:
        return None
    try:
        return _meant(said, asked, is_end=is_end).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotUnderstood(
            phrase("history.bad_time", said=said),
            ("/history", phrase("history.newest")),
        ) from None


def _meant(said: str, asked: Asked, *, is_end: bool) -> datetime:
    try:
        day = date.fromisoformat(said)
    except ValueError:
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=asked.zone)
        return moment
    if is_end:
        day += timedelta(days=1)
    return datetime.combine(day, time(), asked.zone)


def _latest(
    asked: Asked, wanted: StepFilter
) -> tuple[Sequence[Step], datetime | None, int]:
    """Return the newest steps, oldest first, before when the older ones are, and how many are left out.

    What was done at one moment stays together, unless that alone is more than a page shows.
    """
    steps = steps_of(asked.ledger, wanted, _SHOWN + 1)
    if len(steps) <= _SHOWN:
        return steps, None, 0
    oldest = steps[0].entry.at
    newer = [step for step in steps if step.entry.at > oldest]
    if newer:
        return newer, oldest + _A_MOMENT, 0
    of_the_moment = replace(wanted, since=oldest, until=oldest + _A_MOMENT)
    all_of_it = steps_of(asked.ledger, of_the_moment)
    return steps[1:], oldest, len(all_of_it) - _SHOWN


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _date_of(
    asked: Asked, moment: datetime | None, *, is_end: bool = False
) -> date | None:
    if moment is None:
        return None
    if is_end:
        moment -= _A_MOMENT
    return moment.astimezone(asked.zone).date()


def _by_day(asked: Asked, steps: Sequence[Step]) -> Iterator[StepDay]:
    def day_of(step: Step) -> date:
        return step.entry.at.astimezone(asked.zone).date()

    rooms = room_names(asked)
    for day, of_the_day in groupby(reversed(steps), day_of):
        shown = tuple(_shown(asked, step, rooms) for step in of_the_day)
        yield StepDay(day, shown)


def _shown(asked: Asked, step: Step, rooms: Mapping[str, str]) -> ShownStep:
    style, glyph = _STYLES.get(step.entry.what, _OTHER)
    when = ""
    if step.start is not None and step.end is not None:
        when = span_told(step.start, step.end, asked.zone)
    room = ""
    if step.room_id:
        room = rooms.get(step.room_id, step.room_id)
    return ShownStep(
        at=step.entry.at,
        clock=f"{step.entry.at.astimezone(asked.zone):%H:%M:%S}",
        done=done_told(step),
        style=style,
        glyph=glyph,
        topic=step.topic or step.uid or "",
        event=event_key(step.uid) if step.uid else None,
        when=when,
        room=room,
        told=(*reason_told(step), decided_told(step)),
    )
