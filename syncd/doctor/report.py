"""What the checks found, as a page for people and as a document for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from itertools import groupby

from syncd import streams
from syncd.doctor.finding import Check, Health, Result
from syncd.views.moments import in_zone
from syncd.views.screen import Screen, words

_STYLES = {
    Health.OK: "green",
    Health.NOTE: "cyan",
    Health.PROBLEM: "red",
    Health.UNKNOWN: "yellow",
}
_INDENT = 10
_NARROWEST = 40
_WIDEST = 110


def results_document(
    results: Iterable[Result], left_out: Sequence[Check]
) -> dict[str, object]:
    """Return the findings as `doctor --json` prints them."""
    findings: list[dict[str, object]] = []
    for result in results:
        found = result.finding
        findings.append(
            {
                "group": result.check.group,
                "check": result.check.name,
                "verdict": found.verdict.value,
                "finding": found.sentence,
                "cure": found.cure or None,
                "because": result.because or None,
                "source": result.check.about or None,
            }
        )
    return {"findings": findings, "left_out": _titles(left_out)}


def checks_document(checks: Iterable[Check]) -> dict[str, object]:
    """Return the checks as `doctor --list --json` prints them."""
    listed = [
        {
            "group": check.group,
            "check": check.name,
            "question": check.question,
            "needs": list(check.needs),
            "connects": check.connects,
        }
        for check in checks
    ]
    return {"checks": listed}


def print_checks(console: Screen, checks: Iterable[Check]) -> None:
    """Print which checks there are, and what each answers."""
    for group, members in groupby(checks, key=lambda check: check.group):
        console.print(words(group, "bold"))
        for check in members:
            _print_text(console, f"  {check.name}: {check.question}", 4)


def print_results(
    console: Screen,
    results: Iterable[Result],
    left_out: Sequence[Check],
    zone: tzinfo,
) -> list[Result]:
    """Print findings as they come, and how many there are of each verdict; return them.

    `left_out` is looked at behind the last of them.
    """
    printed: list[Result] = []
    for group, members in groupby(results, key=lambda result: result.check.group):
        console.print(words(group, "bold"))
        for because, alike in groupby(members, key=lambda result: result.because):
            if because:
                unseen = list(alike)
                _print_unseen(console, because, unseen)
                printed += unseen
                continue
            for result in alike:
                _print_result(console, result, zone)
                streams.output.flush()
                printed.append(result)
    if left_out:
        _print_text(console, _left_out_told(left_out), 0)
    counted = Counter(result.finding.verdict for result in printed)
    _print_text(console, f"Times are of {zone}.", 0)
    console.print(words(_summary(counted), "bold"))
    return printed


def _print_unseen(console: Screen, because: str, results: Sequence[Result]) -> None:
    """Print in one line which checks of a group could not look for the same reason."""
    names = dict.fromkeys(result.check.name for result in results)
    sentence = f'not looked at: "{because}" has a problem.'
    _print_told(console, Health.UNKNOWN, f"{', '.join(names)}: {sentence}")


def _print_result(console: Screen, result: Result, zone: tzinfo) -> None:
    text = f"{result.check.name}: {in_zone(result.finding.sentence, zone)}"
    _print_told(console, result.finding.verdict, text)
    if result.finding.cure:
        # In one piece, so that it can be copied.
        console.print(
            words(f"{' ' * _INDENT}-> {result.finding.cure}", "bold"), soft_wrap=True
        )


def _print_told(console: Screen, verdict: Health, text: str) -> None:
    lines = list(_wrapped(console, text, _INDENT))
    first = words("  ")
    first.append(words(f"{verdict.value:<7} ", _STYLES[verdict]))
    first.append(words(lines[0].strip()))
    console.print(first, soft_wrap=True)
    for line in lines[1:]:
        console.print(words(line), soft_wrap=True)


def _left_out_told(left_out: Sequence[Check]) -> str:
    count = len(left_out)
    noun = "1 check that needs" if count == 1 else f"{count} checks that need"
    return f"Left out, because of --offline: {noun} a connection."


def _summary(counted: Counter[Health]) -> str:
    told: list[str] = []
    for verdict in (Health.PROBLEM, Health.UNKNOWN, Health.NOTE, Health.OK):
        number = counted[verdict]
        plural = "s" if number != 1 and verdict in {Health.PROBLEM, Health.NOTE} else ""
        if number:
            told.append(f"{number} {verdict.value}{plural}")
    return ", ".join(told) + "."


def _titles(checks: Iterable[Check]) -> list[str]:
    titles: list[str] = []
    for check in checks:
        about = f" ({check.about})" if check.about else ""
        titles.append(f"{check.title}{about}")
    return titles


def _print_text(console: Screen, text: str, indent: int) -> None:
    for number, line in enumerate(_wrapped(console, text.strip(), indent)):
        shown = line
        if number == 0 and indent:
            shown = f"  {line.strip()}"
        console.print(words(shown), soft_wrap=True)


def _wrapped(console: Screen, text: str, indent: int) -> Iterator[str]:
    """Yield the lines of a text, each with an indent, as wide as the screen in cells."""
    width = min(max(console.width, _NARROWEST), _WIDEST)
    hanging = " " * indent
    for line in words(text).wrap(console, width - indent, overflow="fold"):
        yield f"{hanging}{line.plain.rstrip()}"
