"""What a cycle did, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncd.apply import Oddity
from syncd.reconciler import CONCERNS, DONE, CycleReport, SourceReport
from syncd.views.sheet import Sheet


def print_cycle(sheet: Sheet, report: CycleReport) -> None:
    """Print what a cycle did."""
    done = (*DONE, "unchanged", "waiting", "skipped")
    said = [f"{report.counts[name]} {name}" for name in done if report.counts[name]]
    sheet.say(f"{', '.join(said) or 'Nothing to do'} in {report.seconds:.1f} s.")
    for name in CONCERNS:
        count = report.unseen(name)
        if count:
            sentence = (
                f"{count} {name.replace('_', ' ')}: see syncd status and syncd plan."
            )
            sheet.say(sentence, style="red")
    print_seen(sheet, report.counts["acknowledged"])
    print_source_reports(sheet, report.sources)
    print_oddities(sheet, report.oddities)
    if report.interrupted:
        sheet.tell(
            "Stopped before the end; what was done is recorded, and the next run goes on from here.",
            style="yellow",
        )
    if report.clock and not report.clock_wrong:
        sheet.tell(report.clock, style="yellow")
    if report.error:
        sheet.tell(report.error, style="red")


def print_seen(sheet: Sheet, count: int) -> None:
    """Print how much is left of what persons have acknowledged, if anything is."""
    if count:
        are_told = "1 more was" if count == 1 else f"{count} more were"
        sheet.say(f"{are_told} acknowledged: see syncd ack.", style="dim")


def print_source_reports(sheet: Sheet, sources: Sequence[SourceReport]) -> None:
    """Print what could not be read, and what is to be said besides."""
    for source in sources:
        if source.error:
            sheet.tell(f"Source {source.name}: {source.error}.", style="red")
        for note in source.notes:
            sheet.tell(f"Source {source.name}: {note}", style="yellow")


def print_oddities(sheet: Sheet, oddities: Iterable[Oddity]) -> None:
    """Print what stands at the API that a person should look at, a line each."""
    for oddity in oddities:
        reservation = oddity.reservation_id
        named = (
            f"reservation {reservation}"
            if reservation
            else _decapitalised(oddity.about)
        )
        sentence = f"In Tuya, {named} ({oddity.reason.value}): {oddity.detail}"
        sheet.tell(sentence, style="red")


def _decapitalised(words: str) -> str:
    return f"{words[0].lower()}{words[1:]}"
