"""What commands say to people: tables and sentences, in the colours of their terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from syncd.config import Config
from syncd.core.booking import Booking
from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.reasons import Reason
from syncd.reconciler import Adoption, CycleReport, Preview, SourceReport, missing_told
from syncd.views.documents import OVER, change_document
from syncd.views.screen import Screen, screen, words

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
_MANY = 200  # rows of a table for people; the JSON document has all


def tables_of(config: Config) -> Tables:
    """Tables as a configuration wants them: its time zone, its names of rooms."""
    names = {room.id: room.name or room.id for room in config.rooms}
    return Tables(screen(), config.calendar.timezone, names)


class Tables:
    """Renders for one terminal: times in `zone`, rooms by name."""

    def __init__(self, console: Screen, zone: tzinfo, room_names: dict[str, str]) -> None:
        self._console = console
        self._zone = zone
        self._rooms = room_names

    def plan(self, preview: Preview) -> None:
        """What would be done, in the order in which it would be done."""
        plan = preview.plan
        rows = [(change_document(change, "", False), change) for change in plan.changes]
        if rows:
            table = _table("", "when", "room", "meeting", "why")
            shown, alike = few_of_each(rows, lambda pair: _sameness(pair[1]), _shown_of)
            for row, change in shown[:_MANY]:
                action = str(row["action"])
                table.add_row(
                    words(action, style=_STYLES[action]),
                    self._span(_moment(change, "start"), _moment(change, "end")),
                    self._room(row["room_id"]),
                    words(str(row["topic"]) or str(row["uid"])),
                    words(self._why(change)),
                )
            self._console.print(table)
            self._more(len(shown))
            for (action, reason, detail), count in alike:
                self._console.print(f"… and {count} more to {action}, {reason}: {detail}", style="dim")
        counts = {name: sum(row["action"] == name for row, _ in rows) for name in _ACTIONS}
        said = ", ".join(f"{count} to {name}" for name, count in counts.items() if count)
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
        self._oddities([oddity.document() for oddity in preview.oddities])

    def _oddities(self, documents: Iterable[dict[str, Any]]) -> None:
        """What stands at the API that a person should look at, a line each."""
        for told in documents:
            named = f"Reservation {told['reservation_id']}" if told["reservation_id"] else str(told["about"])
            sentence = f"In Tuya, {named[0].lower()}{named[1:]} ({told['reason']}): {told['detail']}"
            self._console.print(sentence, style="red", markup=False)

    def _why(self, change: Change) -> str:
        if isinstance(change, Update):
            return f"{change.reason.value}: {', '.join(change.changed)}"
        if isinstance(change, Create) and change.reason is Reason.NEW:
            return "; ".join(note.detail for note in change.meeting.notes) or change.reason.value
        return f"{change.reason.value}: {change.detail}" if change.detail else change.reason.value

    def cycle(self, report: CycleReport) -> None:
        """What a cycle did."""
        done = ("created", "updated", "cancelled", "adopted", "unchanged", "waiting", "skipped")
        concerns = ("held", "refused", "in_doubt", "vanished", "quarantined")
        said = [f"{report.counts[name]} {name}" for name in done if report.counts[name]]
        self._console.print(f"{', '.join(said) or 'Nothing to do'} in {report.seconds:.1f} s.")
        for name in concerns:
            if report.counts[name]:
                words = f"{report.counts[name]} {name.replace('_', ' ')}"
                self._console.print(f"{words}: see syncd status and syncd plan.", style="red")
        self._sources(report.sources)
        self._oddities([oddity.document() for oddity in report.oddities])
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
                self._console.print(f"Source {source.name}: {source.error}.", style="red")
            for note in source.notes:
                self._console.print(f"Source {source.name}: {note}", style="yellow")

    def adoption(self, adoption: Adoption, *, applied: bool) -> None:
        """What was found in the API by its mark."""
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
        self._oddities([oddity.document() for oddity in adoption.oddities])

    def status(self, document: dict[str, object], bookings: Sequence[Booking]) -> None:
        """What is booked and what needs attention."""
        shown = [b for b in bookings if b.state not in OVER]
        if shown:
            shown.sort(key=lambda b: b.spec.start)
            few, alike = few_of_each(shown, lambda b: (b.state.value, b.detail) if b.detail else None)
            self._console.print(self.bookings(few[:_MANY]))
            self._more(len(few))
            for (state, detail), count in alike:
                self._console.print(f"… and {count} more are {state}: {detail}", style="dim")
        else:
            self._console.print("Nothing is booked.")
        table = _table("source", "state", "last read", "events", "quarantined", "problem")
        sources = document["sources"]
        assert isinstance(sources, list)
        for source in sources:
            table.add_row(
                source["name"],
                source["state"],
                source["last_read_at"] or "never",
                str(source["events"]),
                str(source["quarantined"]),
                words(source["error"] or "", style="red"),
            )
        self._console.print(table)
        if document["in_doubt"]:
            self._console.print(
                f"{document['in_doubt']} in doubt: a request was sent, and its outcome is not certain yet.",
                style="magenta",
            )
        if document["vanished"]:
            self._console.print(
                f"{document['vanished']} vanished from Tuya at once, so nothing is decided about them: "
                "syncd resolve --all vanished --retry books them again, --drop accepts it.",
                style="magenta",
                soft_wrap=True,
            )
        missing = document["missing_files"]
        assert isinstance(missing, dict)
        for source, files in missing.items():
            for file in files:
                self._console.print(f"Source {source}: {missing_told(file)}", style="yellow")
        held = document["held"]
        assert isinstance(held, dict)
        if held["checksum"]:
            self._console.print(
                f"{held['cancellations']} cancellations are held: syncd approve {held['checksum']}",
                style="magenta",
            )
        oddities = document["oddities"]
        assert isinstance(oddities, list)
        self._oddities(oddities)
        if document["clock"]:
            self._console.print(str(document["clock"]), style="yellow", soft_wrap=True)
        allowed = f" of {document['monthly_calls']}" if document["monthly_calls"] else ""
        self._console.print(
            f"Mode {document['mode']}; {document['calls_this_month']}{allowed} API calls this month, "
            f"{document['calls_forecast']} at its end if it goes on so."
        )

    def bookings(self, bookings: Iterable[Booking]) -> RenderableType:
        """A table of bookings by time."""
        table = _table("when", "room", "meeting", "state", "reservation")
        for booking in sorted(bookings, key=lambda b: (b.spec.start, b.room_id or "", b.key)):
            state = words(booking.state.value, style=_STYLES.get(booking.state.value, ""))
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
            self._console.print(f"… and {count - _MANY} more; --json has all.", style="dim")

    def _room(self, room_id: object) -> Text:
        if room_id is None:
            return words("–", style="dim")
        return words(self._rooms.get(str(room_id), str(room_id)))

    def _span(self, start: datetime | None, end: datetime | None) -> Text:
        if start is None or end is None:
            return words("")
        begins, ends = start.astimezone(self._zone), end.astimezone(self._zone)
        if begins.time() == ends.time() == time():
            last = ends - timedelta(days=1)
            days = (
                f"{begins:%a %d %b}"
                if begins.date() == last.date()
                else f"{begins:%a %d %b} – {last:%a %d %b}"
            )
            return words(f"{days}, all day")
        if begins.date() == ends.date():
            return words(f"{begins:%a %d %b %H:%M}–{ends:%H:%M}")
        return words(f"{begins:%a %d %b %H:%M} – {ends:%a %d %b %H:%M}")


def _sameness(change: Change) -> tuple[str, str, str] | None:
    """What makes rows of a plan say the same; None for what a person wants to see one by one."""
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
    """The rows without a kind and the first few of each kind, and how many more there are of each."""
    seen: Counter[_Kind] = Counter()
    shown: list[_Row] = []
    for row in rows:
        name = kind(row)
        if name is not None:
            seen[name] += 1
        if name is None or seen[name] <= few(name):
            shown.append(row)
    return shown, [(name, count - few(name)) for name, count in seen.items() if count > few(name)]


_ACTIONS = ("create", "update", "cancel", "hold", "wait", "skip")


def _moment(change: Change, which: str) -> datetime | None:
    match change:
        case Create(meeting=meeting) | Update(meeting=meeting) | Wait(meeting=meeting):
            return meeting.spec.start if which == "start" else meeting.spec.end
        case Cancel(booking=booking) | Hold(booking=booking):
            return booking.spec.start if which == "start" else booking.spec.end
        case Skip(span=span):
            return None if span is None else (span.start if which == "start" else span.end)


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for header in headers:
        table.add_column(header, no_wrap=header in {"", "when", "reservation"}, overflow="fold")
    return table
