"""After another version or other rules everything is looked at once more: each source when it is heard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.intake.intake import Intake
from syncd.intake.worklist import Worklist
from syncd.ledger.facts import BASIS
from tests.intake.test_held import HORIZON, NOW, SOURCES, UIDS, Office, at_rest, office

__all__ = ["office"]

_EVERYTHING = [f"{uid}.calendar-{number}" for uid in UIDS for number in range(SOURCES)]


def checked(office: Office, intake: Intake, rules: str) -> bool:
    """Whether what the worklist rests on is as it was, for a process with these rules."""
    worklist = Worklist(
        office.ledger, intake, rules=rules, horizon=HORIZON, people_kept=None
    )
    return worklist.check(None, NOW)


def settled(office: Office) -> None:
    """Let a process read all sources, and let all of it rest."""
    intake = office.intake()
    checked(office, intake, "rules")
    intake.update(None, NOW)
    at_rest(office)
    assert not office.ledger.worklist.ready(NOW)


def of_another_program(office: Office) -> None:
    """As if what the ledger rests on came from another version of the program."""
    known = office.ledger.facts.get(BASIS)
    assert known is not None
    office.ledger.facts.set(BASIS, replace(known, program="another"))


@pytest.mark.parametrize("what", ["rules", "program"])
def test_all_is_looked_at_once_in_portions(office: Office, what: str) -> None:
    """No cycle has more to look at than the sources that it heard, and in the end all had their look."""
    settled(office)
    if what == "program":
        of_another_program(office)
    intake = office.intake(portion=4, daemon=True)
    assert not checked(office, intake, "rules" if what == "program" else "other rules")
    assert not office.ledger.worklist.ready(NOW)
    due = set(office.names)
    looked_at: list[str] = []
    cycles = 0
    while due:
        heard = intake.update(due, NOW)
        ready = office.ledger.worklist.ready(NOW)
        assert {uid.partition(".")[2] for uid in ready} == set(heard)
        assert len(ready) <= 5
        looked_at += ready
        at_rest(office)
        due = set(intake.put_off)
        cycles += 1
    assert sorted(looked_at) == sorted(_EVERYTHING)
    assert cycles == SOURCES * len(UIDS) / 4


@pytest.mark.parametrize("what", ["rules", "program"])
def test_who_ends_before_all_is_heard_leaves_the_rest_to_the_next_one(
    office: Office, what: str
) -> None:
    """That a source needs another look outlives the process that found it out; its own look is not repeated."""
    settled(office)
    if what == "program":
        of_another_program(office)
    rules = "rules" if what == "program" else "other rules"
    first = office.intake()
    assert not checked(office, first, rules)
    first.update(["calendar-1"], NOW)
    at_rest(office)
    second = office.intake()
    assert checked(office, second, rules)
    second.update(None, NOW)
    ready = office.ledger.worklist.ready(NOW)
    assert ready == {uid for uid in _EVERYTHING if not uid.endswith("-1")}


def test_what_no_source_has_any_more_is_ready_at_once(office: Office) -> None:
    """The UIDs of a source that is no longer configured wait for nobody."""
    settled(office)
    intake = office.intake_of(office.intake().sources[:-1])
    assert not checked(office, intake, "other rules")
    gone = {uid for uid in _EVERYTHING if uid.endswith(f"-{SOURCES - 1}")}
    assert office.ledger.worklist.ready(NOW) == gone


def test_a_source_that_cannot_be_read_is_looked_at_as_well(office: Office) -> None:
    """Under other rules its UIDs are ready as soon as it is tried, whatever comes of that."""
    settled(office)
    (office.folder / "calendar-3.ics").unlink()
    intake = office.intake()
    assert not checked(office, intake, "other rules")
    intake.update(["calendar-3"], NOW)
    ready = office.ledger.worklist.ready(NOW)
    assert ready == {uid for uid in _EVERYTHING if uid.endswith("-3")}
