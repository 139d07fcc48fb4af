"""What a fleet's benchmark found: as JSON, as a table with slopes, and as lines of a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import linear_regression, median
from typing import Any

from tests.benchmarks.fleet import DIRECTORY, FEEDS, FILES, QUIET_INTERVAL_S, Figures
from tests.benchmarks.plot import Line

_MB, _KB = 1e6, 1e3
_IN_WORDS = {FEEDS: "feeds", FILES: "files", DIRECTORY: "files in a directory"}


def exponent(by_size: Mapping[int, float]) -> float | None:
    """Return with which power of the size a figure grows: 0 where it stays, 1 in proportion, 2 quadratic.

    None for fewer than two sizes, or where a figure is not more than zero.
    """
    if len(by_size) < 2 or min(by_size.values()) <= 0:
        return None
    sizes = [math.log(size) for size in by_size]
    figures = [math.log(figure) for figure in by_size.values()]
    return linear_regression(sizes, figures).slope


def growth(by_size: Mapping[int, float]) -> float | None:
    """Return by how much a figure grows with each one more; None for fewer than two sizes."""
    if len(by_size) < 2:
        return None
    return linear_regression(list(by_size), list(by_size.values())).slope


def document(found: Sequence[Figures]) -> dict[str, Any]:
    """Return all figures as JSON has them, with what follows from them."""
    return {
        "sizes": [_derived(figures) for figures in found],
        "slopes": {
            "meeting_cpu": exponent(_by_size(found, lambda f: f.meeting_s)),
            "look_alone": exponent(_by_size(found, lambda f: f.alone_s)),
            "look_together": exponent(_by_size(found, lambda f: f.together_s)),
            "rest_bytes_a_feed": growth(_by_size(found, lambda f: f.rest.rss)),
            "peak_bytes_a_feed": growth(_by_size(found, lambda f: f.peak.rss)),
        },
    }


def _derived(figures: Figures) -> dict[str, Any]:
    return {
        **asdict(figures),
        "meeting_s": figures.meeting_s,
        "quiet_share": figures.quiet_share,
        "alone_net_s": figures.alone_net_s,
        "alone_x_bare": _ratio(figures.alone_s, figures.bare_s),
        "alone_net_x_bare": _ratio(figures.alone_net_s, figures.bare_s),
        "together_x_bare": _ratio(figures.together_s, figures.bare_s),
    }


def markdown(found: Sequence[Figures]) -> str:
    """Return the table, and a sentence for each slope."""
    kind = _IN_WORDS[found[0].kind]
    rows = [
        _row(
            kind,
            "meetings",
            "CPU",
            "a meeting",
            "wall",
            "at rest, RSS (PSS)",
            "peak",
            "a look alone (net)",
            "many at once",
            "bare httpx",
            "x bare",
            f"idle, every {QUIET_INTERVAL_S // 60} min",
            "edit beside it (worst)",
            "log",
            "log a look",
            "state.db",
        ),
        _row("---:", *["---:"] * 15),
    ]
    rows += [_told(figures) for figures in found]
    lines = [*_slopes(found), *_edits_at_rest(found)]
    return "\n".join([*rows, "", *lines]) + "\n"


def _told(figures: Figures) -> str:
    """Return the row of one number of calendars."""
    rest, peak = figures.rest, figures.peak
    return _row(
        f"{figures.feeds:,}",
        f"{figures.meetings:,}",
        f"{figures.booking_cpu_s:.1f} s",
        f"{figures.meeting_s * 1000:.1f} ms",
        f"{figures.booking_wall_s:.0f} s",
        f"{rest.rss / _MB:.0f} MB ({rest.pss / _MB:.0f})",
        f"{peak.rss / _MB:.0f} MB ({peak.pss / _MB:.0f})",
        f"{figures.alone_s * 1000:.2f} ms ({figures.alone_net_s * 1000:.2f})",
        f"{figures.together_s * 1000:.2f} ms",
        f"{figures.bare_s * 1000:.2f} ms" if figures.bare_s else "",
        _against_bare(figures),
        f"{figures.quiet_share:.2%}",
        _edit(figures),
        f"{figures.booking_log_bytes / _MB:.2f} MB",
        f"{figures.alone_log_bytes / figures.alone_looks:.0f} B",
        f"{figures.state_bytes / _MB:.1f} MB",
    )


def _against_bare(figures: Figures) -> str:
    """Return how often a look costs a bare one: alone, its net, and together with others."""
    if figures.bare_s is None:
        return ""
    alone, net, together = (
        taken / figures.bare_s
        for taken in (figures.alone_s, figures.alone_net_s, figures.together_s)
    )
    return f"{alone:.1f} ({net:.1f}), {together:.1f}"


def _edit(figures: Figures) -> str:
    if figures.edit_s is None:
        return ""
    middle_s, worst_s = figures.edit_s
    return f"{middle_s * 1000:.0f} ms ({worst_s * 1000:.0f})"


def _edits_at_rest(found: Sequence[Figures]) -> list[str]:
    """Return a line for each number of files of which one was edited at rest."""
    told: list[str] = []
    for figures in found:
        if figures.rest_edits_s:
            middle_ms = median(figures.rest_edits_s) * 1000
            worst_ms = max(figures.rest_edits_s) * 1000
            cpu_ms = figures.rest_edits_cpu_s * 1000
            told.append(
                f"* {figures.feeds:,} {_IN_WORDS[figures.kind]}: an edit at rest is in the API {middle_ms:.0f} ms "
                f"after its rename (worst {worst_ms:.0f}), for {cpu_ms:.0f} ms of CPU."
            )
    return told


def _slopes(found: Sequence[Figures]) -> list[str]:
    """Return a line for each slope; none for a single number of calendars."""
    said = document(found)["slopes"]
    if said["meeting_cpu"] is None:
        return []
    first, last = found[0], found[-1]
    against_first = last.meeting_s / first.meeting_s
    lines = [
        f"* CPU a meeting grows with the number of {_IN_WORDS[first.kind]} to the power "
        f"{said['meeting_cpu']:.2f}; {last.feeds:,} take {against_first:.2f} x what {first.feeds:,} take.",
        f"* Memory: {said['rest_bytes_a_feed'] / _KB:.0f} kB for each at rest, "
        f"{said['peak_bytes_a_feed'] / _KB:.0f} kB at the peak.",
    ]
    is_known = said["look_alone"] is not None and said["look_together"] is not None
    if first.kind != DIRECTORY and is_known:
        lines.append(
            f"* CPU of a look: to the power {said['look_alone']:.2f} alone, "
            f"{said['look_together']:.2f} many at once."
        )
    return lines


def lines(found: Sequence[Figures]) -> list[Line]:
    """Return the lines of the picture: seconds by number of calendars, where there are any."""
    edits = {f.feeds: f.edit_s[0] for f in found if f.edit_s is not None}
    bare = {f.feeds: f.bare_s for f in found if f.bare_s is not None}
    all_lines = [
        Line("CPU a meeting, first booking", _by_size(found, lambda f: f.meeting_s)),
        Line("CPU a look that finds nothing", _by_size(found, lambda f: f.alone_s)),
        Line("the same, many at once", _by_size(found, lambda f: f.together_s)),
        Line("an edit to its call, beside it", edits),
        Line("CPU a look, bare httpx", bare, peer=True),
    ]
    # What took no tick of the kernel has no place on a logarithmic axis.
    drawn = [replace(line, seconds=_positive(line.seconds)) for line in all_lines]
    return [line for line in drawn if line.seconds]


def _positive(seconds: Mapping[int, float]) -> dict[int, float]:
    return {size: taken for size, taken in seconds.items() if taken > 0}


def _by_size(
    found: Sequence[Figures], figure: Callable[[Figures], float]
) -> dict[int, float]:
    return {figures.feeds: figure(figures) for figures in found}


def _ratio(ours: float, theirs: float | None) -> float | None:
    return ours / theirs if theirs else None


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
