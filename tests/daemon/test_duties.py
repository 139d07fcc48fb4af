"""What makes a cycle due although no source says anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from syncd.assembly import utc_now
from syncd.daemon.duties import Duties
from syncd.ledger import Ledger
from tests.conftest import engine_of

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as opened:
        yield opened


class Offset:
    """How far the wall clock is ahead of the steady one, as a test says."""

    def __init__(self) -> None:
        self.seconds = 1.7e9

    def __call__(self) -> float:
        """The offset now."""
        return self.seconds


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_a_clock_that_was_set_is_a_cycle(ledger: Ledger, hours: int) -> None:
    """Forwards or backwards, at once and once: what is due by the new time is not waited for by the old one."""
    offset = Offset()
    duties = Duties(ledger.people, utc_now, offset)
    duties.begin_cycle()
    duties.due_at = datetime.now(UTC) + timedelta(hours=40)
    assert not duties.is_any_due()
    offset.seconds += 3600 * hours
    assert duties.is_any_due()
    duties.begin_cycle()
    assert not duties.is_any_due()


def test_a_clock_that_is_slewed_is_none(ledger: Ledger) -> None:
    """What NTP does to a clock that is nearly right costs nothing."""
    offset = Offset()
    duties = Duties(ledger.people, utc_now, offset)
    duties.begin_cycle()
    offset.seconds += 0.5
    assert not duties.is_any_due()


def test_a_moment_that_has_come_is_a_cycle(ledger: Ledger) -> None:
    """What a cycle said to be due later is due then; before the first one nothing is."""
    duties = Duties(ledger.people, utc_now)
    duties.begin_cycle()
    assert not duties.is_any_due()
    duties.due_at = datetime.now(UTC) + timedelta(hours=1)
    assert not duties.is_any_due()
    duties.due_at = datetime.now(UTC)
    assert duties.is_any_due()
    assert duties.pause_s() == 0


def test_an_api_that_cannot_be_used_is_left_alone(ledger: Ledger) -> None:
    """What is due meanwhile waits for the end of that."""
    duties = Duties(ledger.people, utc_now)
    duties.begin_cycle()
    duties.due_at = datetime.now(UTC)
    duties.api_rest.note(failed=True)
    assert duties.api_rest.is_going_on
    assert not duties.is_any_due()
    duties.api_rest.end()
    assert duties.is_any_due()


def test_the_word_of_a_person_is_a_cycle(ledger: Ledger) -> None:
    """An approval that the last cycle did not know makes one due; one that it knows does not."""
    duties = Duties(ledger.people, utc_now)
    ledger.people.approve("0123456789ab", NOW, "ann")
    assert duties.is_any_due()
    duties.begin_cycle()
    again = Duties(ledger.people, utc_now)
    again.begin_cycle()
    assert not again.is_any_due()


def test_what_persons_left_is_read_when_something_was_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    """As long as nobody writes to the ledger nothing of it is read again; what anybody writes is noticed."""
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(engine_of(ledger), "before_cursor_execute", note)
    duties = Duties(ledger.people, utc_now)
    duties.begin_cycle()
    duties.begin_cycle()
    assert len(statements) == 3  # approvals, decisions, acknowledgements
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=False) as beside:
        beside.people.approve("9f2c", NOW, "alice")
    assert duties.is_any_due()
    duties.begin_cycle()
    assert len(statements) == 6
