"""What was measured, as a document, as tables, and against the targets.

Ratios are of figures of one run on one file, so that they hold on any machine; times are of that one.
Those of CPU time hold on a busy machine as well, and count the work of all processes together.
Times of syncd are without those in which an API call was under way: they are the sandbox's.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.cases import COLD, FRESH, LIVING, WARM, Measured
from tests.benchmarks.measuring import Figures

_LIBRARIES = ("icalendar", "xxhash", "sqlalchemy", "httpx", "pydantic")


def machine() -> str:
    """This machine and its software, in a line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the beginning"
    )


@dataclass
class Compared:
    """One size: what was measured of syncd, and of the peers if they ran."""

    measured: Measured
    sha: Figures
    sha_in_blocks: Figures
    straightforward: Figures | None = None
    vdirsyncer: Mapping[str, Figures] = field(default_factory=dict)
    once: Figures | None = None


@dataclass
class Results:
    """A whole run."""

    sizes: list[Compared]
    version: Figures
    versions: Mapping[str, str]
    began: datetime
    machine: str = field(default_factory=machine)

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "began": self.began.isoformat()}

    def markdown(self) -> str:
        """Tables and targets, for people."""
        software = ", ".join(
            f"{name} {number}" for name, number in self.versions.items()
        )
        parts = [
            f"Measured on {self.began:%Y-%m-%d %H:%M} UTC: {self.machine}; {software}.\n"
        ]
        parts += ["\n".join(_table(compared)) + "\n" for compared in self.sizes]
        parts.append("\n".join(_table_of_targets(self)) + "\n")
        return "\n".join(parts)


def versions() -> dict[str, str]:
    """What is measured: this checkout and the libraries that it uses."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "syncd": commit or version("syncd"),
        **{name: version(name) for name in _LIBRARIES},
    }


def _table(compared: Compared) -> Iterator[str]:
    measured, booked = compared.measured, compared.measured.booked
    yield (
        f"**{measured.size:,} events**, {measured.megabytes:.1f} MB, {measured.occurrences:,} occurrences "
        f"within 30 days; sha256 of the file: {_time(compared.sha.wall_s)} read whole "
        f"({_time(compared.sha.cpu_s)} CPU), {_time(compared.sha_in_blocks.wall_s)} in blocks; "
        f"first booking of all: {booked.wall_s:.0f} s for {booked.calls['POST']:,} POST and "
        f"{booked.calls['GET']:,} GET. "
        "Comparing with the API is a cost of its own, and a part of no other case.\n"
    )
    yield (
        "| case | process | time | x sha256 | of straightforward | of vdirsyncer | with the API | CPU "
        "| x sha256 | peak memory | calls | UIDs parsed |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"
    for case in (COLD, *WARM):
        for kind, figures in measured.cases[case.name].items():
            yield _row(case.title, kind, figures, compared, case.name)
    if compared.straightforward is not None:
        yield _row(
            "straightforward pipeline", "script", compared.straightforward, compared, ""
        )
    for name, figures in compared.vdirsyncer.items():
        yield _row(f"vdirsyncer, {name}", "program", figures, compared, "")


def _row(title: str, kind: str, figures: Figures, compared: Compared, case: str) -> str:
    whole = compared.straightforward
    peer = compared.vdirsyncer.get(case, compared.vdirsyncer.get("unchanged"))
    calls = " ".join(
        f"{count} {method}" for method, count in figures.calls.items() if count
    )
    cells = [
        title,
        kind,
        _time(figures.own_s),
        f"{figures.own_s / compared.sha.wall_s:.2f}",
        f"1/{whole.wall_s / figures.own_s:,.0f}" if whole and case else "",
        f"1/{peer.wall_s / figures.own_s:,.0f}" if peer and case else "",
        _time(figures.wall_s) if figures.api_s else "",
        _time(figures.cpu_s),
        f"{figures.cpu_s / compared.sha.cpu_s:.2f}",
        f"{figures.peak_mb:.0f} MB",
        calls,
        "" if figures.understood is None else f"{figures.understood:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


class Verdict(NamedTuple):
    """What was aimed at, what was reached, and whether that is it; None: not measured in this run."""

    target: str
    reached: str
    met: bool | None


def verdicts(results: Results) -> Iterator[Verdict]:
    """The targets, judged at the largest size of the run."""
    compared = results.sizes[-1]
    cases, sha = compared.measured.cases, compared.sha
    unchanged, edited, restamped = (
        cases[name][LIVING] for name in ("unchanged", "edited", "restamped")
    )
    cold = cases[COLD.name][FRESH]
    yield Verdict(
        "nothing changed: under 5 ms, nothing parsed",
        f"{_time(unchanged.own_s)}, of it {_time(unchanged.cpu_s)} CPU, {unchanged.understood} UIDs parsed",
        unchanged.own_s < 0.005 and not unchanged.understood,
    )
    for name, title, figures, most in (
        ("edited", "one event edited", edited, 1.5),
        ("restamped", "every DTSTAMP new", restamped, 2.0),
    ):
        ratio, fresh = figures.own_s / sha.wall_s, cases[name][FRESH].own_s / sha.wall_s
        yield Verdict(
            f"{title}: at most {most} x sha256",
            f"{ratio:.2f} x, of CPU {figures.cpu_s / sha.cpu_s:.2f} x (fresh process {fresh:.2f} x)",
            ratio <= most,
        )
    peer = compared.vdirsyncer.get("edited")
    yield Verdict(
        "one event edited: at most 1/100 of vdirsyncer's cycle",
        f"1/{peer.wall_s / edited.own_s:,.0f}" if peer else "not run",
        peer.wall_s / edited.own_s >= 100 if peer else None,
    )
    whole = compared.straightforward
    yield Verdict(
        "cold: at most 1/10 of the straightforward pipeline",
        f"1/{whole.wall_s / cold.own_s:.1f}, of CPU 1/{whole.cpu_s / cold.cpu_s:.1f}"
        if whole
        else "not run",
        whole.wall_s / cold.own_s >= 10 if whole else None,
    )
    yield Verdict("cold: at most 250 MB", f"{cold.peak_mb:.0f} MB", cold.peak_mb <= 250)
    kind, name, most_mb = max(
        (
            (kind, name, figures.peak_mb)
            for name in cases
            if name != COLD.name
            for kind, figures in cases[name].items()
        ),
        key=lambda one: one[2],
    )
    yield Verdict(
        "warm: at most 100 MB", f"{most_mb:.0f} MB ({name}, {kind})", most_mb <= 100
    )
    yield _of_horizon(results)
    yield _of_process("syncd --version: at most 0.25 s", results.version, 0.25)
    yield _of_process(
        "syncd once with nothing changed: at most 0.6 s", compared.once, 0.6
    )


def _of_horizon(results: Results) -> Verdict:
    """Whether what enters costs the same at each size, half as much again at most."""
    costs = {
        one.measured.size: figures.own_s / max(1, figures.understood or 0)
        for one in results.sizes
        for figures in [one.measured.cases["slid"][LIVING]]
    }
    reached = ", ".join(f"{size:,}: {_time(cost)}" for size, cost in costs.items())
    *smaller, largest = costs.values()
    return Verdict(
        "horizon slid by a day: in proportion to what enters",
        f"for each UID parsed, at {reached}",
        largest <= 1.5 * min(smaller) if smaller else None,
    )


def _of_process(target: str, figures: Figures | None, most_s: float) -> Verdict:
    if figures is None:
        return Verdict(target, "not run", None)
    reached = f"{figures.wall_s:.2f} s, of it {figures.cpu_s:.2f} s CPU (median of {figures.rounds})"
    return Verdict(target, reached, figures.wall_s <= most_s)


def _table_of_targets(results: Results) -> Iterator[str]:
    yield f"Targets, at {results.sizes[-1].measured.size:,} events:\n"
    yield "| target | reached | |"
    yield "| --- | --- | --- |"
    for verdict in verdicts(results):
        said = {True: "met", False: "**not met**", None: "not measured"}[verdict.met]
        yield f"| {verdict.target} | {verdict.reached} | {said} |"
