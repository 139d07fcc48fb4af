"""What commands say to people: tables and sentences, in the colours of their terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta, tzinfo
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from syncd.apply import Oddity
from syncd.config import Config
from syncd.core.booking import Booking
from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Reason
from syncd.reconciler import (
    CONCERNS,
    DONE,
    Adoption,
    CycleReport,
    Preview,
    SourceReport,
    missing_told,
)
from syncd.views.documents import iso
from syncd.views.screen import Screen, screen, words
from syncd.views.status import SourceStatus, Status

_STYLES = {
    "create": "green",
    "update": "yellow",
    "cancel": "red",
    "hold": "magenta",
    "wait": "cyan",
    "skip": "dim",
    "booked": "green",
    "approval": "yellow",
    "sending": "magenta",
    "cancelling": "magenta",
    "refused": "red",
    "waiting": "cyan",
}
_ACTIONS = ("create", "update", "cancel", "hold", "wait", "skip")
_MANY = 200  # rows of a table for people; the JSON document has all


def tables_of(config: Config) -> Tables:
    """Return tables as a configuration wants them: in its time zone, with its names of rooms."""
    names = {room.id: room.name or room.id for room in config.rooms}
    return Tables(screen(), config.calendar.timezone, names)


class Tables:
    """Renders for one terminal: times in `zone`, rooms by name."""

    def __init__(
        self, console: Screen, zone: tzinfo, room_names: dict[str, str]
    ) -> None:
        self._console = console
        self._zone = zone
        self._rooms = room_names

    def plan(self, preview: Preview) -> None:
        """Print what would be done, in the order in which it would be done."""
        plan = preview.plan
        if plan.changes:
            self._changes(plan.changes)
        counts = Counter(_action(change) for change in plan.changes)
        said = ", ".join(
            f"{counts[action]} to {action}" for action in _ACTIONS if counts[action]
        )
        self._console.print(
            f"{said or 'Nothing to do'}; {plan.unchanged} unchanged. "
            f"Mode {plan.mode.value}, plan {plan.checksum}."
        )
        if plan.held_checksum:
            self._console.print(
                f"{len(plan.held)} cancellations are held until a person approves them: "
                f"syncd approve {plan.held_checksum}",
                style="magenta",
            )
        self._sources(preview.sources)
        self._oddities(preview.oddities)

    def _changes(self, changes: Sequence[Change]) -> None:
        """Print a table of changes, and of those that say the same how many more there are."""
        table = _table("", "when", "room", "meeting", "why")
        shown, alike = few_of_each(changes, _sameness, _shown_of)
        for change in shown[:_MANY]:
            action = _action(change)
            table.add_row(
                words(action, style=_STYLES[action]),
                self._span(*_times(change)),
                self._room(change.room_id),
                words(_name(change)),
                words(_why(change)),
            )
        self._console.print(table)
        self._more(len(shown))
        for (action, reason, detail), count in alike:
            self._console.print(
                f"… and {count} more to {action}, {reason}: {detail}", style="dim"
            )

    def _oddities(self, oddities: Iterable[Oddity]) -> None:
        """Print what stands at the API that a person should look at, a line each."""
        for oddity in oddities:
            reservation = oddity.reservation_id
            named = (
                f"reservation {reservation}"
                if reservation
                else _decapitalised(oddity.about)
            )
            sentence = f"In Tuya, {named} ({oddity.reason.value}): {oddity.detail}"
            self._console.print(sentence, style="red", markup=False)

    def cycle(self, report: CycleReport) -> None:
        """Print what a cycle did."""
        done = (*DONE, "unchanged", "waiting", "skipped")
        said = [f"{report.counts[name]} {name}" for name in done if report.counts[name]]
        self._console.print(
            f"{', '.join(said) or 'Nothing to do'} in {report.seconds:.1f} s."
        )
        for name in CONCERNS:
            count = report.counts[name]
            if count:
                sentence = f"{count} {name.replace('_', ' ')}: see syncd status and syncd plan."
                self._console.print(sentence, style="red")
        self._sources(report.sources)
        self._oddities(report.oddities)
        if report.interrupted:
            self._console.print(
                "Stopped before the end; what was done is recorded, and the next run goes on from here.",
                style="yellow",
            )
        if report.clock and not report.clock_wrong:
            self._console.print(report.clock, style="yellow", soft_wrap=True)
        if report.error:
            self._console.print(report.error, style="red")

    def _sources(self, sources: Sequence[SourceReport]) -> None:
        for source in sources:
            if source.error:
                self._console.print(
                    f"Source {source.name}: {source.error}.", style="red"
                )
            for note in source.notes:
                self._console.print(f"Source {source.name}: {note}", style="yellow")

    def adoption(self, adoption: Adoption, *, applied: bool) -> None:
        """Print what was found in the API by its mark."""
        if adoption.adopted:
            self._console.print(self.bookings(adoption.adopted))
        said = "adopted" if applied else "would be adopted; syncd adopt --apply does it"
        self._console.print(f"{len(adoption.adopted)} reservations {said}.")
        if adoption.duplicates:
            self._console.print(
                f"{adoption.duplicates} are duplicates; the next cycle in mode full cancels them.",
                style="yellow",
            )
        for stray in adoption.strays:
            self._console.print(
                f"Reservation {stray.reservation_id} ({stray.topic}, {self._span(stray.start, stray.end)}) "
                "carries our mark and belongs to no event of the calendars; cancel it if nobody wants it.",
                style="yellow",
            )
        self._sources(adoption.unreadable)
        self._oddities(adoption.oddities)

    def status(self, status: Status) -> None:
        """Print what is booked and what needs attention."""
        self._current(status.current)
        self._source_table(status.sources)
        self._attention(status)
        self._oddities(status.oddities)
        if status.clock:
            self._console.print(status.clock, style="yellow", soft_wrap=True)
        allowed = f" of {status.monthly_calls}" if status.monthly_calls else ""
        self._console.print(
            f"Mode {status.mode}; {status.calls_this_month}{allowed} API calls this month, "
            f"{status.calls_forecast} at its end if it goes on so."
        )

    def _current(self, bookings: Sequence[Booking]) -> None:
        """Print a table of what is booked, and of those that say the same how many more there are."""
        if not bookings:
            self._console.print("Nothing is booked.")
            return
        by_start = sorted(bookings, key=lambda booking: booking.spec.start)
        few, alike = few_of_each(by_start, _trouble_of)
        self._console.print(self.bookings(few[:_MANY]))
        self._more(len(few))
        for (state, detail), count in alike:
            self._console.print(
                f"… and {count} more are {state}: {detail}", style="dim"
            )

    def _source_table(self, sources: Iterable[SourceStatus]) -> None:
        table = _table(
            "source", "state", "last read", "events", "quarantined", "problem"
        )
        for source in sources:
            table.add_row(
                source.name,
                source.state,
                iso(source.last_read_at) or "never",
                str(source.events),
                str(source.quarantined),
                words(source.error or "", style="red"),
            )
        self._console.print(table)

    def _attention(self, status: Status) -> None:
        """Print a sentence for each kind of thing that waits."""
        if status.in_doubt:
            self._console.print(
                f"{status.in_doubt} in doubt: a request was sent, and its outcome is not certain yet.",
                style="magenta",
            )
        if status.vanished:
            self._console.print(
                f"{status.vanished} vanished from Tuya at once, so nothing is decided about them: "
                "syncd resolve --all vanished --retry books them again, --drop accepts it.",
                style="magenta",
                soft_wrap=True,
            )
        for source, files in status.missing_files.items():
            for file in files:
                self._console.print(
                    f"Source {source}: {missing_told(file)}", style="yellow"
                )
        held = status.held
        if held.checksum:
            self._console.print(
                f"{held.cancellations} cancellations are held: syncd approve {held.checksum}",
                style="magenta",
            )

    def bookings(self, bookings: Iterable[Booking]) -> RenderableType:
        """Return a table of bookings by time."""
        table = _table("when", "room", "meeting", "state", "reservation")
        for booking in sorted(bookings, key=_by_time):
            style = _STYLES.get(booking.state.value, "")
            state = words(booking.state.value, style=style)
            if booking.detail:
                state = Text.assemble(state, words(f" {booking.detail}", "dim"))
            table.add_row(
                self._span(booking.spec.start, booking.spec.end),
                self._room(booking.room_id),
                words(booking.spec.topic),
                state,
                booking.reservation_id or "",
            )
        return Group(table)

    def _more(self, count: int) -> None:
        if count > _MANY:
            self._console.print(
                f"… and {count - _MANY} more; --json has all.", style="dim"
            )

    def _room(self, room_id: object) -> Text:
        if room_id is None:
            return words("–", style="dim")
        return words(self._rooms.get(str(room_id), str(room_id)))

    def _span(self, start: datetime | None, end: datetime | None) -> Text:
        """Return from when until when, in the time zone of the tables; empty if that is not known."""
        if start is None or end is None:
            return words("")
        begins = start.astimezone(self._zone)
        ends = end.astimezone(self._zone)
        if begins.time() == ends.time() == time():
            return words(f"{_days(begins, ends - timedelta(days=1))}, all day")
        if begins.date() == ends.date():
            return words(f"{begins:%a %d %b %H:%M}–{ends:%H:%M}")
        return words(f"{begins:%a %d %b %H:%M} – {ends:%a %d %b %H:%M}")


def _days(first: datetime, last: datetime) -> str:
    if first.date() == last.date():
        return f"{first:%a %d %b}"
    return f"{first:%a %d %b} – {last:%a %d %b}"


def _decapitalised(words: str) -> str:
    return f"{words[0].lower()}{words[1:]}"


# A change, as a row shows it


def _action(change: Change) -> str:
    match change:
        case Create():
            return "create"
        case Update():
            return "update"
        case Cancel():
            return "cancel"
        case Hold():
            return "hold"
        case Wait():
            return "wait"
        case Skip():
            return "skip"


def _times(change: Change) -> tuple[datetime | None, datetime | None]:
    span = change.span if isinstance(change, Skip) else change.spec
    if span is None:
        return None, None
    return span.start, span.end


def _name(change: Change) -> str:
    """Return the topic of a change, or its UID."""
    topic = change.topic if isinstance(change, Skip) else change.spec.topic
    return topic or change.key.uid


def _why(change: Change) -> str:
    if isinstance(change, Update):
        return f"{change.reason.value}: {', '.join(change.changed)}"
    if isinstance(change, Create) and change.reason is Reason.NEW:
        notes = "; ".join(note.detail for note in change.meeting.notes)
        return notes or change.reason.value
    if not change.detail:
        return change.reason.value
    return f"{change.reason.value}: {change.detail}"


def _sameness(change: Change) -> tuple[str, str, str] | None:
    """Return what makes rows of a plan say the same; None for what a person wants to see one by one."""
    match change:
        case Wait(reason=Reason.TOO_EARLY):
            return ("wait", change.reason.value, change.detail)
        case Hold(reason=Reason.VANISHED):
            return ("hold", change.reason.value, change.detail)
        case Skip(needs_person=False):
            return ("skip", change.reason.value, change.detail)
        case Skip(alike=alike) if alike:
            return ("skip", change.reason.value, alike)
        case _:
            return None


def _shown_of(sameness: tuple[str, str, str]) -> int:
    """Return how many rows of a plan are shown that say the same: of a fault in many events one."""
    return 1 if sameness[1] == Reason.QUARANTINED else _FEW


_Row = TypeVar("_Row")
_Kind = TypeVar("_Kind")
_FEW = 3


def few_of_each(
    rows: Sequence[_Row],
    kind: Callable[[_Row], _Kind | None],
    few: Callable[[_Kind], int] = lambda _: _FEW,
) -> tuple[list[_Row], list[tuple[_Kind, int]]]:
    """Return the rows without a kind and the first few of each, and how many more there are of each."""
    seen: Counter[_Kind] = Counter()
    shown: list[_Row] = []
    for row in rows:
        name = kind(row)
        if name is not None:
            seen[name] += 1
        if name is None or seen[name] <= few(name):
            shown.append(row)
    more: list[tuple[_Kind, int]] = []
    for name, count in seen.items():
        left_out = count - few(name)
        if left_out > 0:
            more.append((name, left_out))
    return shown, more


def _trouble_of(booking: Booking) -> tuple[str, str] | None:
    """Return what makes rows of bookings say the same; None for one that says nothing."""
    if not booking.detail:
        return None
    return booking.state.value, booking.detail


def _by_time(booking: Booking) -> tuple[datetime, str, OccurrenceKey]:
    """Return what bookings are sorted by."""
    room_id = booking.room_id or ""
    return booking.spec.start, room_id, booking.key


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for header in headers:
        in_one_line = header in {"", "when", "reservation"}
        table.add_column(header, no_wrap=in_one_line, overflow="fold")
    return table
