"""What takes long is answered by another process, once for all who ask the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from structlog.testing import capture_logs

from syncd.config import load
from syncd.web.answers import Trouble
from syncd.web.aside import AsideAnswers
from syncd.web.asked import Asked, Present
from tests.conftest import Office
from tests.web import aside_answers
from tests.web.serving import read


@pytest.fixture
def asked(office: Office) -> Asked:
    """A question over the ledger of an office without a meeting."""
    office.write()
    read(office)

    def never() -> None:
        raise AssertionError("it is opened by the other process")

    present = Present(config=load(office.folder / "syncd.toml"))
    return Asked(present=present, now=datetime.now(UTC), open_ledger=never)  # type: ignore[arg-type]  # never called


def answers(
    asked: Asked, *questions: tuple[Callable[[Asked], object], object]
) -> list[object]:
    """What is answered to questions that are asked at once, each with its basis."""

    async def ask_all() -> list[object]:
        aside = AsideAnswers()
        asking = [aside.of(function, asked, basis) for function, basis in questions]
        return list(await asyncio.gather(*asking))

    return asyncio.run(ask_all())


@pytest.mark.slow
def test_another_process_answers_once(asked: Asked) -> None:
    """Who asks the same while nothing was done gets the same answer; as soon as something was, a new one."""
    function = aside_answers.process_id
    first, second, other = answers(
        asked, (function, "as it was"), (function, "as it was"), (function, "done")
    )
    assert first == second
    assert os.getpid() not in {first, other}
    assert first != other


@pytest.mark.slow
def test_it_has_ledger_and_configuration(asked: Asked) -> None:
    """The other process looks by the configuration that is in force, into the same ledger."""
    assert answers(asked, (aside_answers.sources, "")) == [("office",)]


@pytest.mark.slow
def test_a_process_that_ends_is_told(asked: Asked) -> None:
    """A process that is killed is an answer too, and the next one is asked."""
    killed, told = answers(
        asked, (aside_answers.killed, ""), (aside_answers.sources, "")
    )
    assert isinstance(killed, Trouble)
    assert killed.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert told == ("office",)


@pytest.mark.slow
def test_a_defect_there_is_logged_here(asked: Asked) -> None:
    """What went wrong in the other process stands in the log, by its type and place, without its text."""
    with capture_logs() as logged:
        (told,) = answers(asked, (aside_answers.defective, ""))
    assert isinstance(told, Trouble)
    assert told.status is HTTPStatus.INTERNAL_SERVER_ERROR
    (line,) = [entry for entry in logged if entry["log_level"] == "critical"]
    assert line["error"] == "RuntimeError"
    assert "aside_answers" in str(line["at"])
    assert "topic" not in str(line)
