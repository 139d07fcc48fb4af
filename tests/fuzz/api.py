"""The command `python -m tests.fuzz api [--cycles N] [--seed S] [--processes N]`.

Runs trials until so many cycles met damaged answers, first some in which each cycle is a process of its own,
and prints each kind of finding once: its seed, the damages that it takes, and its history.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.fuzz.lives import Violation
from tests.fuzz.trial import Answer, Figures, Trial, quick_and_quiet

CYCLES_OF_A_TRIAL = 40
_ATTEMPTS = 30  # at making a finding shorter
_SHOWN = 60  # lines of a history


def main(arguments: Sequence[str]) -> int:
    """Fuzz the API's side; 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz api",
        description="Let the API answer well-formed nonsense.",
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=2000,
        help="cycles with damaged answers (default: 2000)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="begin with this history (default: by the clock)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=None,
        help="so many of them are whole processes (default: a fiftieth)",
    )
    chosen = parser.parse_args(arguments)
    as_processes = chosen.cycles // 50 if chosen.processes is None else chosen.processes
    first = int(time.time()) if chosen.seed is None else chosen.seed
    total, found = Figures(), Counter[str]()
    began = said = time.monotonic()
    seed = first
    with quick_and_quiet():
        while total.cycles < chosen.cycles:
            processes = total.cycles < as_processes
            left = (as_processes if processes else chosen.cycles) - total.cycles
            cycles = min(CYCLES_OF_A_TRIAL, left)
            trial, violation = tried(seed, cycles, processes=processes)
            # A trial that ended early counts as whole, so that findings do not make the run longer.
            trial.figures.cycles = max(trial.figures.cycles, cycles)
            total.add(trial.figures)
            if violation is not None:
                found[violation.kind] += 1
                if found[violation.kind] == 1:
                    _show(seed, cycles, trial, violation, processes=processes)
            seed += 1
            if time.monotonic() - said > 10:
                said = time.monotonic()
                print(
                    f"{said - began:6.0f} s  {total.cycles} cycles, {found.total()} findings",
                    flush=True,
                )
    _sum_up(total, found, seed - first, time.monotonic() - began)
    return 1 if found else 0


def tried(
    seed: int,
    cycles: int,
    only: Collection[Answer] | None = None,
    *,
    processes: bool = False,
) -> tuple[Trial, Violation | None]:
    """One trial in a folder of its own, and the claim that did not hold in it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        trial = Trial(seed, Path(folder), only, processes=processes)
        try:
            trial.run(cycles)
        except Violation as violation:
            return trial, violation
        finally:
            trial.close()
    return trial, None


def shortened(
    seed: int, cycles: int, trial: Trial, violation: Violation
) -> tuple[Trial, Violation]:
    """The same finding with as few damaged answers as a bounded number of attempts leaves."""
    needed = list(trial.damaged)
    share = 2
    for _ in range(_ATTEMPTS):
        size = max(1, len(needed) // share)
        parts = [needed[start : start + size] for start in range(0, len(needed), size)]
        for part in reversed(parts):
            rest = [answer for answer in needed if answer not in part]
            shorter, still = tried(seed, cycles, rest)
            if still is not None and still.kind == violation.kind:
                needed, trial, violation = rest, shorter, still
                break
        else:
            if size == 1:
                break
            share *= 2
    return trial, violation


def _show(
    seed: int, cycles: int, trial: Trial, violation: Violation, *, processes: bool
) -> None:
    print(f"FOUND: {violation.kind}", flush=True)
    if not processes:  # their histories cannot be repeated
        trial, violation = shortened(seed, cycles, trial, violation)
    print(violation)
    option = f" --processes {cycles}" if processes else " --processes 0"
    print(
        f"  --seed {seed} --cycles {cycles}{option}; damaged answers that it takes: {trial.damaged}"
    )
    print("\n".join(f"  {line}" for line in trial.history[-_SHOWN:]), flush=True)


def _sum_up(total: Figures, found: Counter[str], trials: int, seconds: float) -> None:
    print(
        f"{total.cycles} cycles ({total.about_one} with damage to one reservation), {trials} histories, "
        f"{seconds:.0f} s, {sum(found.values())} findings"
    )
    for title, counted in (
        ("outcomes", total.outcomes),
        ("changes", total.changes),
        ("calls", total.questions),
        ("damaged answers", total.damages),
        ("findings", found),
    ):
        print(
            f"{title}: "
            + ", ".join(f"{name} {count}" for name, count in counted.most_common())
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
