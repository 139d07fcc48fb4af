"""The front page of the terminal: what is booked, how the sources stand, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncd.core.booking import Booking
from syncd.reconciler import missing_told
from syncd.views.booking_table import booking_table
from syncd.views.cycle_table import print_oddities
from syncd.views.documents import iso
from syncd.views.screen import words
from syncd.views.sheet import MANY, Sheet, few_of_each, plain_table
from syncd.views.status import SourceStatus, Status


def print_status(sheet: Sheet, status: Status) -> None:
    """Print what is booked and what needs attention."""
    _print_current(sheet, status.current)
    _print_sources(sheet, status.sources)
    _print_attention(sheet, status)
    print_oddities(sheet, status.oddities)
    if status.clock:
        sheet.say(status.clock, style="yellow", soft_wrap=True)
    allowed = f" of {status.monthly_calls}" if status.monthly_calls else ""
    sheet.say(
        f"Mode {status.mode}; {status.calls_this_month}{allowed} API calls this month, "
        f"{status.calls_forecast} at its end if it goes on so."
    )


def _print_current(sheet: Sheet, bookings: Sequence[Booking]) -> None:
    """Print a table of what is booked, and of those that say the same how many more there are."""
    if not bookings:
        sheet.say("Nothing is booked.")
        return
    by_start = sorted(bookings, key=lambda booking: booking.spec.start)
    few, alike = few_of_each(by_start, _trouble_of)
    sheet.say(booking_table(sheet, few[:MANY]))
    sheet.say_more(len(few))
    for (state, detail), count in alike:
        sheet.say(f"… and {count} more are {state}: {detail}", style="dim")


def _print_sources(sheet: Sheet, sources: Iterable[SourceStatus]) -> None:
    table = plain_table(
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
    sheet.say(table)


def _print_attention(sheet: Sheet, status: Status) -> None:
    """Print a sentence for each kind of thing that waits."""
    if status.in_doubt:
        sheet.say(
            f"{status.in_doubt} in doubt: a request was sent, and its outcome is not certain yet.",
            style="magenta",
        )
    if status.vanished:
        sheet.say(
            f"{status.vanished} vanished from Tuya at once, so nothing is decided about them: "
            "syncd resolve --all vanished --retry books them again, --drop accepts it.",
            style="magenta",
            soft_wrap=True,
        )
    for source, files in status.missing_files.items():
        for file in files:
            sheet.say(f"Source {source}: {missing_told(file)}", style="yellow")
    held = status.held
    if held.checksum:
        sheet.say(
            f"{held.cancellations} cancellations are held: syncd approve {held.checksum}",
            style="magenta",
        )


def _trouble_of(booking: Booking) -> tuple[str, str] | None:
    """Return what makes rows of bookings say the same; None for one that says nothing."""
    if not booking.detail:
        return None
    return booking.state.value, booking.detail
