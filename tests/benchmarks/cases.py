"""The cases: what a cycle takes after one thing or another became of a calendar.

All but the cold one begin from a state in which everything was booked, by a real run against the sandbox.
Each is measured twice: in a daemon that has been there for long, and in a fresh process that has to load
what is known.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.benchmarks.generator import AS_IT_IS, Archive, Edit
from tests.benchmarks.measuring import Figures, cycle, middle, run_measured
from tests.benchmarks.office import SETTLED_S, Office, place

_DAY_H = 24.0
_MOST_CYCLES = 6  # until all is booked and nothing is left to look at
_STEP = timedelta(minutes=15)  # no clock may be set back from one cycle to the next


def _one(archive: Archive) -> Edit:
    coming = archive.coming()
    return Edit(changed=frozenset(coming[len(coming) // 2 :][:1]))


def _percent(archive: Archive) -> Edit:
    chosen = random.Random(archive.seed).sample(
        range(archive.events), archive.events // 100
    )
    return Edit(changed=frozenset(chosen))


@dataclass(frozen=True)
class Case:
    """A case; `edit` is None where nothing happens to the file, `later_h` are hours that pass.

    `compares`: the ledger is compared with the API in it, which else is no part of what is measured.
    """

    name: str
    title: str
    edit: Callable[[Archive], Edit] | None = None
    later_h: float = 0.0
    compares: bool = False


COLD = Case("cold", "cold, nothing known")
# Those that leave the file alone come first: afterwards it is another one, with the same content.
WARM = (
    Case("unchanged", "nothing changed"),
    Case("slid", "horizon slid by a day", later_h=_DAY_H),
    Case("compared", "compared with the API", compares=True),
    Case("touched", "written anew, equal", lambda _: AS_IT_IS),
    Case("restamped", "every DTSTAMP new", lambda _: Edit(restamped=True)),
    Case("shuffled", "in another order", lambda _: Edit(shuffled=True)),
    Case("header", "header changed", lambda _: Edit(title="Head office")),
    Case("edited", "one event edited", _one),
    Case("percent", "1 % of events edited", _percent),
)

FRESH, LIVING = "fresh process", "daemon"


@dataclass
class Measured:
    """The figures of one size: by case, then by kind of process; `booked` tells the first booking of all."""

    size: int
    megabytes: float
    occurrences: int
    booked: Figures
    cases: dict[str, dict[str, Figures]] = field(default_factory=dict)


class Bench:
    """An archive of one size, all edits of it as files, and the office that books it.

    `now` is when the service believes to be: midnight of a Monday, since in the small hours nothing begins
    or ends, and the day that enters the horizon next, thirty days later, is a working day.
    """

    def __init__(self, folder: Path, size: int, now: datetime) -> None:
        self.folder = folder
        self.archive = Archive(size, now)
        self.calendar = folder / "office.ics"
        self._versions = folder / "versions"
        self._versions.mkdir(parents=True, exist_ok=True)
        self.base = self.version("base")
        edits = {
            self.version(case.name): case.edit(self.archive)
            for case in WARM
            if case.edit is not None
        }
        self.archive.write_versions({self.base: AS_IT_IS, **edits})
        place(self.base, self.calendar)
        self.office = Office(folder, self.archive.rooms, [("office", self.calendar)])
        time.sleep(SETTLED_S)

    def version(self, name: str) -> Path:
        """Where the calendar as a case wants it stands."""
        return self._versions / f"{name}.ics"

    def cold(self, *, profile: Path | None = None) -> Figures:
        """A first cycle that reads, maps and plans everything, and writes nothing to the API."""
        with self._world("empty", self.archive.now, mode="observe"):
            return cycle(self.office.configuration, self.archive.now, profile=profile)

    def book(self) -> Figures:
        """Book everything, and keep that state; what the booking took."""
        with self._world("empty", self.archive.now):
            first = cycle(self.office.configuration, self.archive.now)
            for number in range(1, _MOST_CYCLES):
                if not cycle(
                    self.office.configuration, self.archive.now + number * _STEP
                ).understood:
                    break
        self.office.keep("booked")
        return first

    def warm(self, case: Case, kind: str, *, profile: Path | None = None) -> Figures:
        """A cycle after all that is booked; `kind` is `FRESH` or `LIVING`."""
        # Of two cycles far apart both are near enough to the clock of the API.
        halfway = timedelta(hours=case.later_h) / 2
        with self._world("booked", self._after_booking + halfway):
            if kind == LIVING:
                if case.edit is not None:
                    place(self.base, self.calendar)
                return self._cycle(case, lambda: self._happen(case), profile)
            self._happen(case)
            return self._cycle(case, None, profile)

    def _cycle(
        self, case: Case, between: Callable[[], object] | None, profile: Path | None
    ) -> Figures:
        return cycle(
            self.office.configuration,
            self._after_booking,
            later_h=case.later_h,
            compares=case.compares,
            between=between,
            profile=profile,
        )

    def _happen(self, case: Case) -> None:
        if case.edit is not None:
            place(self.version(case.name), self.calendar)

    def once(self, runs: int) -> Figures:
        """A whole process of `syncd once`, after others that left nothing to do."""
        with self._world("booked", datetime.now(UTC)):
            place(self.base, self.calendar)
            time.sleep(SETTLED_S)
            # The clock is the machine's here, so something may have come into reach.
            for _ in range(2):
                run_measured(self.office.command("once", "--json"))
            return middle(
                [
                    run_measured(self.office.command("once", "--json"))[0]
                    for _ in range(runs)
                ]
            )

    @property
    def _after_booking(self) -> datetime:
        return self.archive.now + _MOST_CYCLES * _STEP

    @contextmanager
    def _world(
        self, state: str, now: datetime, *, mode: str = "full"
    ) -> Iterator[None]:
        """Run an API with what is in a state, whose clock shows `now` at the beginning."""
        self.office.restore(state)
        ahead_s = round((now - datetime.now(UTC)).total_seconds())
        with self.office.sandbox(mode=mode, faults=(f"clock:seconds={ahead_s}",)):
            yield

    def clear(self) -> None:
        """Remove the files, which are large."""
        shutil.rmtree(self.folder)


def measure(bench: Bench, rounds: int, say: Callable[[str], None]) -> Measured:
    """All cases of one size."""
    size = bench.archive.events
    say(f"{size} events, {bench.base.stat().st_size / 1e6:.1f} MB: cold")
    cold = middle([bench.cold() for _ in range(rounds)])
    say("booking everything")
    booked = bench.book()
    occurrences = booked.counts["created"]
    say(f"{occurrences} occurrences of the horizon booked in {booked.wall_s:.1f} s")
    measured = Measured(size, bench.base.stat().st_size / 1e6, occurrences, booked)
    measured.cases[COLD.name] = {FRESH: cold}
    for case in WARM:
        say(case.title)
        measured.cases[case.name] = {
            kind: middle([bench.warm(case, kind) for _ in range(rounds)])
            for kind in (LIVING, FRESH)
        }
    return measured
