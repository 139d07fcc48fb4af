"""The front page of the terminal: whether syncd works, how the sources stand, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.reconciler import missing_told
from syncd.views.concerns import Concern
from syncd.views.documents import iso
from syncd.views.screen import words
from syncd.views.sheet import Sheet, plain_table
from syncd.views.status import SourceStatus, Status


def print_status(sheet: Sheet, status: Status) -> None:
    """Print whether syncd works, the sources, and what needs a person."""
    sheet.say(_running_told(status))
    _print_sources(sheet, status.sources)
    for concern in status.concerns:
        _print_concern(sheet, concern)
    for source, files in status.missing_files.items():
        for file in files:
            sheet.say(f"Source {source}: {missing_told(file)}", style="yellow")
    if status.clock and not status.clock_wrong:
        sheet.say(status.clock, style="yellow", soft_wrap=True)
    allowed = f" of {status.monthly_calls}" if status.monthly_calls else ""
    sheet.say(
        f"Mode {status.mode}; {status.calls_this_month}{allowed} API calls this month, "
        f"{status.calls_forecast} at its end if it goes on so."
    )


def _running_told(status: Status) -> str:
    daemon = status.daemon
    if daemon is None:
        return "syncd is NOT RUNNING: no daemon has used this state yet."
    if status.is_running:
        return f"syncd is running since {iso(daemon.started_at)}."
    return f"syncd is NOT RUNNING since {iso(daemon.gone_since)}."


def _print_concern(sheet: Sheet, concern: Concern) -> None:
    sheet.say(f"{concern.kind.value}: {concern.title}: {concern.detail}", style="red")
    sheet.say(f"  {concern.command}", soft_wrap=True)


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
