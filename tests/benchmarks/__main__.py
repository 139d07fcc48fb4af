"""The command: `python -m tests.benchmarks`; what else it measures is named by its first argument."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import syncd
from syncd import log
from tests.benchmarks import fleet, fleet_results, latency, rate, year
from tests.benchmarks.cases import COLD, FRESH, LIVING, WARM, Bench, measure
from tests.benchmarks.measuring import Figures, middle, run_measured
from tests.benchmarks.peers import Peers, hashing
from tests.benchmarks.plot import Line, svg
from tests.benchmarks.results import Compared, Results, versions

_RUNS = 10  # of whole processes
_HASHINGS = 7  # of which the median counts; all ratios depend on it


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("cycles", "latency", "rate", "profile", "fleet", "year"),
        default="cycles",
    )
    parser.add_argument(
        "--sizes", default="1000,10000,100000", help="numbers of events"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="of which the median counts"
    )
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--feeds",
        default="20,50,100,200,500,1000",
        help="fleet: numbers of calendars",
    )
    parser.add_argument(
        "--kind",
        choices=(fleet.FEEDS, fleet.FILES, fleet.DIRECTORY),
        default=fleet.FEEDS,
        help="fleet: what the calendars are",
    )
    parser.add_argument(
        "--events",
        type=int,
        default=fleet.USUAL.events,
        help="fleet: how many each calendar has",
    )
    parser.add_argument(
        "--calendars", type=int, default=10, help="year: how many there are"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("benchmark-results"), metavar="DIR"
    )
    wanted = parser.parse_args()
    _compile_modules()
    log.configure("console", "warning")
    sizes = _numbers(wanted.sizes)
    output: Path = wanted.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    match wanted.what:
        case "latency":
            found = latency.measure(output / "latency", _say)
            _keep(output / "latency.json", found)
        case "rate":
            found = rate.measure(output / "rate", _say)
            _keep(output / "rate.json", found)
        case "profile":
            _profile(output, sizes[-1])
        case "fleet":
            _fleet(output, _numbers(wanted.feeds), wanted.kind, wanted.events)
        case "year":
            _year(output, wanted.calendars)
        case _:
            _cycles(output, sizes, wanted.rounds, peers=wanted.peers)


def _compile_modules() -> None:
    """Compile the program, as one that is installed is, so that no start of it is measured with that."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(syncd.__file__).parent, quiet=1)


def _numbers(text: str) -> list[int]:
    """The numbers of a list with commas, the smallest first."""
    return sorted({int(number) for number in text.split(",")})


def monday(now: datetime) -> datetime:
    """Midnight in UTC at the beginning of the week."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def _cycles(output: Path, sizes: list[int], rounds: int, *, peers: bool) -> None:
    began = datetime.now(UTC)
    environment = Peers.installed(output / "peers") if peers else None
    results = Results(
        [],
        _version(),
        {**versions(), **(environment.versions if environment else {})},
        began,
    )
    for size in sizes:
        bench = Bench(output / f"{size}", size, monday(began))
        try:
            measured = measure(bench, rounds, _say)
            sha, in_blocks = (
                hashing(bench.base, _HASHINGS, way) for way in ("whole", "blocks")
            )
            compared = Compared(measured, sha, in_blocks)
            _say("syncd once as a whole process")
            compared.once = bench.once(_RUNS)
            results.sizes.append(compared)
            # Now and later: a long run that is ended early is not in vain.
            _write(results, output)
            if environment is not None:
                _say("vdirsyncer")
                compared.vdirsyncer = environment.vdirsyncer(bench, rounds)
                _say("the straightforward pipeline")
                compared.straightforward, occurrences = environment.straightforward(
                    bench, rounds
                )
                _say(
                    f"it found {occurrences} occurrences, syncd {compared.measured.occurrences}"
                )
                _write(results, output)
        finally:
            bench.clear()
    sys.stdout.write(results.markdown())
    _say(f"written to {output}: results.json, results.md, cost.svg")


def _write(results: Results, output: Path) -> None:
    _keep(output / "results.json", results.document())
    (output / "results.md").write_text(results.markdown())
    (output / "cost.svg").write_text(picture(results))


def _version() -> Figures:
    """A whole process of `syncd --version`."""
    return middle(
        [
            run_measured([sys.executable, "-m", "syncd", "--version"])[0]
            for _ in range(_RUNS)
        ]
    )


def picture(results: Results) -> str:
    """Cost against size, syncd in its daemon and what it is compared with."""
    sizes = {one.measured.size: one for one in results.sizes}
    shown = [
        (COLD, FRESH),
        *(
            (case, LIVING)
            for case in WARM
            if case.name not in {"shuffled", "header", "compared"}
        ),
    ]
    lines = [
        Line(
            case.title,
            {n: one.measured.cases[case.name][kind].own_s for n, one in sizes.items()},
        )
        for case, kind in shown
    ]
    lines.append(
        Line(
            "sha256 of the file",
            {n: one.sha.wall_s for n, one in sizes.items()},
            peer=True,
        )
    )
    parsed = {
        n: one.straightforward.wall_s for n, one in sizes.items() if one.straightforward
    }
    if parsed:
        lines.append(Line("icalendar + recurring-ical-events", parsed, peer=True))
    synchronised = {
        n: one.vdirsyncer["unchanged"].wall_s
        for n, one in sizes.items()
        if one.vdirsyncer
    }
    if synchronised:
        lines.append(Line("vdirsyncer, nothing changed", synchronised, peer=True))
    return svg("What a cycle costs", lines)


def _fleet(output: Path, sizes: list[int], kind: str, events: int) -> None:
    """What so many calendars cost; written after each number, since the large ones take long."""
    found: list[fleet.Figures] = []
    effort = fleet.USUAL._replace(events=events)
    folder = output / "fleet"
    for figures in fleet.measure(folder, sizes, kind, _midnight(), _say, effort):
        found.append(figures)
        told = {"began": datetime.now(UTC), "versions": versions()}
        _keep(output / f"{kind}.json", {**told, **fleet_results.document(found)})
        (output / f"{kind}.md").write_text(fleet_results.markdown(found))
        picture_of_it = svg(
            f"What many {kind} cost",
            fleet_results.lines(found),
            across=kind,
            up="seconds",
        )
        (output / f"{kind}.svg").write_text(picture_of_it)
    sys.stdout.write(fleet_results.markdown(found))
    _say(f"written to {output}: {kind}.json, {kind}.md, {kind}.svg")


def _year(output: Path, calendars: int) -> None:
    """What a year of edits leaves behind; written after each month."""
    found: list[year.Month] = []
    for month in year.measure(output / "year", calendars, _midnight(), _say):
        found.append(month)
        told = {"calendars": calendars, "versions": versions()}
        _keep(output / "year.json", {**told, **year.document(found)})
        (output / "year.md").write_text(year.markdown(found))
    sys.stdout.write(year.markdown(found))
    _say(f"written to {output}: year.json, year.md")


def _midnight() -> datetime:
    """When today began, in UTC."""
    now = datetime.now(UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _profile(output: Path, size: int) -> None:
    """Where the time of each case goes, for `python -m pstats`."""
    bench = Bench(output / f"profile-{size}", size, monday(datetime.now(UTC)))
    try:
        bench.cold(profile=output / "cold.pstats")
        bench.book()
        for case in WARM:
            for kind in (LIVING, FRESH):
                bench.warm(
                    case,
                    kind,
                    profile=output / f"{case.name}-{kind.partition(' ')[0]}.pstats",
                )
    finally:
        shutil.rmtree(bench.folder)
    _say(
        f"written to {output}: {', '.join(sorted(file.name for file in output.glob('*.pstats')))}"
    )


def _keep(file: Path, found: object) -> None:
    file.write_text(json.dumps(found, indent=1, default=str) + "\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
