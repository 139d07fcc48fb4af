"""The commands: `python -m tests.fuzz [--seconds N] [--seed S] [--keep FOLDER]` damages calendars.

`python -m tests.fuzz api` damages the answers of the API instead; see `tests.fuzz.api`.
`python -m tests.fuzz cost` reads calendars that are made to be slow; see `tests.fuzz.cost`.
Ends with one line of figures, and with 1 if anything was found; each finding is kept as files.
A finding is made again by the seed that is printed with it, as long as the examples are the same.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz import api, cost
from tests.fuzz.calendars import corpus, made
from tests.fuzz.claims import Finding, Trial

MEMORY_LIMIT = 2 * 1024**3
DAMAGES = 40
"""How often one calendar is damaged before the next is taken."""


def main() -> int:
    """Fuzz until the time is over or Ctrl-C; 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Damage calendars at random."
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long (default: 60)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="begin with this calendar (default: by the clock)",
    )
    parser.add_argument(
        "--documents", type=int, default=None, help="end after so many calendars"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        default=None,
        help="where findings are kept (default: a new folder)",
    )
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    first = int(time.time()) if arguments.seed is None else arguments.seed
    examples = corpus()
    found: dict[str, Path] = {}
    documents = damages = 0
    longest_s = 0.0
    begun = said = time.monotonic()
    try:
        print(f"Seed {first}, {len(examples)} examples.", flush=True)
        while (
            time.monotonic() - begun < arguments.seconds
            and documents != arguments.documents
        ):
            seed = first + documents
            random = Random(seed)
            # The examples as they are now and then, else their events among others.
            as_it_is = examples and random.random() < 0.2
            body = random.choice(examples) if as_it_is else made(random, examples)
            trial = Trial(body, all_day=random.choice(["skip", "whole-day"]))
            documents += 1
            for number in range(DAMAGES + 1):
                finding = trial.damage(random) if number else trial.begin()
                damages += bool(number)
                if finding is not None:
                    _keep(finding, seed, number, arguments.keep, found)
            longest_s = max(longest_s, trial.longest_s)
            if time.monotonic() - said > 5:
                said = time.monotonic()
                print(
                    f"{said - begun:6.0f} s  {documents} calendars, {damages} damages, {len(found)} findings",
                    flush=True,
                )
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{documents} calendars, {damages} damages, {time.monotonic() - begun:.0f} s, "
        f"longest reading {longest_s:.2f} s, peak memory {peak:.0f} MiB, {len(found)} findings"
    )
    return 1 if found else 0


def _keep(
    finding: Finding,
    seed: int,
    number: int,
    folder: Path | None,
    found: dict[str, Path],
) -> None:
    """Print a finding and write its bytes down; the same kind is kept once."""
    if finding.kind in found:
        return
    place = (
        Path(tempfile.mkdtemp(prefix="fuzz-"))
        if folder is None
        else folder / f"{seed}-{number}"
    )
    place.mkdir(parents=True, exist_ok=True)
    (place / "whole.ics").write_bytes(finding.whole)
    (place / "damaged.ics").write_bytes(finding.damaged)
    found[finding.kind] = place
    print(
        f"FOUND: {finding.sentence}\n  --seed {seed} --documents 1, damage {number}; {place}",
        flush=True,
    )


if __name__ == "__main__":
    _others = {"api": api.main, "cost": cost.main}
    _name = next(iter(sys.argv[1:]), "")
    sys.exit(_others[_name](sys.argv[2:]) if _name in _others else main())
