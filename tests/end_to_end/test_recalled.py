"""What the page shows of a plan and of an event rests on the ledger alone, and says what a cycle would say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest

from syncd.assembly import Service, service
from syncd.config import load
from syncd.explain import recalled_story, story_of
from tests.conftest import Office, ahead, event

T = TypeVar("T")


def looked(office: Office, look: Callable[[Service], T]) -> T:
    """What somebody finds who looks beside the daemon."""
    with service(load(office.folder / "syncd.toml"), owner=False) as parts:
        return look(parts)


def checksums(office: Office) -> tuple[str, str]:
    """The plan that is read anew, and the one that the ledger tells."""
    return (
        looked(
            office, lambda parts: parts.reconciler.previewer.preview().plan.checksum
        ),
        looked(
            office, lambda parts: parts.reconciler.previewer.recalled().plan.checksum
        ),
    )


def test_the_ledger_tells_the_plan_of_the_moment(office: Office) -> None:
    """After a cycle the plan by the ledger is that which reads everything; nobody is asked for it."""
    office.write(
        event("first", ahead(2), 120),
        event("late", ahead(2) + timedelta(minutes=30), 60),
        event("far", ahead(50), 60),
        event("private", ahead(3), 60, "CLASS:PRIVATE", room="large"),
        event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"),
        event("day", ahead(4), 60, "TRANSP:TRANSPARENT"),
    )
    office.once()
    whole, told = checksums(office)
    assert whole == told
    office.forget_requests()
    # Neither a changed calendar nor one that is gone is looked at.
    office.calendar_file.unlink()
    assert checksums(office)[1] == told
    assert [one for one in office.control("requests") if one["method"] != "GET"] == []


def test_mode_observe_is_told_before_anything_was_booked(office: Office) -> None:
    """What would be created stands in the plan by the ledger, which has no booking yet."""
    office.change(('mode = "full"', 'mode = "observe"'))
    office.write(*(event(f"e{n}", ahead(2 + n), 60) for n in range(3)))
    office.once()
    whole, told = checksums(office)
    assert whole == told


@pytest.mark.slow
def test_what_is_held_has_the_same_checksum(office: Office) -> None:
    """Cancellations that wait for a person are told under the checksum that approve takes."""
    office.write(*(event(f"e{n}", ahead(2 + n), 60) for n in range(6)))
    office.once()
    office.write()
    held = office.once()["counts"]["held"]
    assert held > 3
    whole, told = checksums(office)
    assert whole == told
    approve = looked(
        office, lambda parts: parts.reconciler.previewer.recalled().plan.held_checksum
    )
    assert office.run("approve", str(approve)).code == 0


@pytest.mark.slow
def test_the_story_of_an_event_is_that_of_explain(office: Office) -> None:
    """Of each event the ledger tells what reading everything tells, with what is held and what is refused."""
    office.write(
        event("first", ahead(2), 120),
        event("late", ahead(2) + timedelta(minutes=30), 60),
        event("series", ahead(3), 60, "RRULE:FREQ=DAILY;COUNT=20", room="large"),
        event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"),
        event("roomless", ahead(5), 60, room=None),
        *(event(f"e{n}", ahead(8 + n), 60) for n in range(6)),
    )
    office.once()
    office.write(
        event("first", ahead(2), 120),
        event("late", ahead(2) + timedelta(minutes=30), 60),
        event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"),
    )
    office.once()
    for uid in ("first", "late", "series", "bad", "roomless", "e1", "nobody"):
        told = looked(office, partial(recalled_story, uid))
        whole = looked(office, partial(story_of, uid))
        assert told.known == whole.known
        assert _steady(told.document()) == _steady(whole.document()), uid


def _steady(document: dict[str, object]) -> dict[str, object]:
    """A document without the moment at which it was made and what stands for all other events."""
    left_out = {"totals", "suggestions", "searched"}
    return {name: value for name, value in document.items() if name not in left_out}
