"""The fuzzing of the API's side: short histories, and the command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HANG_S
from tests.fuzz.api import tried
from tests.fuzz.lives import Violation
from tests.fuzz.tenant import CANCELLED
from tests.fuzz.trial import Trial, quick_and_quiet

ROOT = Path(__file__).parents[2]


def test_an_honest_api_gives_no_finding(tmp_path: Path) -> None:
    """While every answer is honest, the office comes to rest as the calendar has it."""
    with quick_and_quiet():
        trial = Trial(1, tmp_path)
        try:
            trial.run(0)
        finally:
            trial.close()
    assert trial.figures.questions["create"] == 6
    assert not trial.figures.damages


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nonsense_costs_at_most_what_it_is_about(seed: int) -> None:
    """Ten cycles with well-formed nonsense: no exception, none ended by one reservation, nothing twice."""
    with quick_and_quiet():
        trial, violation = tried(seed, 10)
    assert violation is None, "\n".join([str(violation), *trial.history])
    assert trial.figures.damages


def test_a_claim_that_does_not_hold_is_found(tmp_path: Path) -> None:
    """A reservation too many and one that is missing are findings."""
    with quick_and_quiet():
        trial = Trial(1, tmp_path)
        try:
            trial.run(0)
            trial._compare()
            copy = dict(trial.tenant.live_of_ours()[0])
            del copy["reservation_id"]
            trial.tenant.made.add(trial.tenant.book(**copy)["reservation_id"])
            with pytest.raises(Violation, match="too many"):
                trial._compare()
            for record in trial.tenant.live_of_ours():
                record["status"] = CANCELLED
            with pytest.raises(Violation, match="missing"):
                trial._compare()
        finally:
            trial.close()


@pytest.mark.slow
def test_the_command_says_what_it_did() -> None:
    """The command leaves with 0 and prints cycles, outcomes, calls and damaged answers."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "api",
        "--cycles",
        "4",
        "--seed",
        "1",
    ]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.partition(":")[0] for line in ran.stdout.splitlines()[-5:]] == [
        "outcomes",
        "changes",
        "calls",
        "damaged answers",
        "findings",
    ]
