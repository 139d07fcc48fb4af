"""The fuzzing of the API's side: short histories, and the harness itself."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.trial import Trial, quick_and_quiet


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
