"""A writer that is held up for longer than its lease, anywhere between an intent and the wire (row 1)."""

from __future__ import annotations

import pytest

from tests.campus.conftest import meetings
from tests.campus.daemons import Campus, Member
from tests.campus.places import PLACES
from tests.daemon.running import until


def writer_of(campus: Campus) -> Member:
    """The daemon that writes, as soon as there is one."""
    until(campus.writer, "somebody writes")
    return campus.members[campus.writer()]


@pytest.mark.slow
@pytest.mark.first(0, 3)
@pytest.mark.parametrize("where", PLACES)
def test_a_writer_is_held_up(several: Campus, where: str) -> None:
    """Another one takes over; what the first one sends when it goes on is not accepted, and nothing is doubled."""
    several.write("s1", meetings("one"))
    several.start("a", "b", place=PLACES[where])
    until(several.at_rest, "booked")
    slow = writer_of(several)
    slow.armed.touch()
    several.write("s1", meetings("one", "two"))
    slow.hold_up_at_place()
    until(lambda: several.writer() not in ("", slow.name), "another one writes")
    several.write("s1", meetings("one", "two", "three"))
    until(lambda: "Meeting three" in several.topics(), "another one books")
    slow.go_on()
    until(several.at_rest, "booked")
    slow.running.until(lambda: slow.name != several.writer(), "it knows that it is not")
    several.require_good()
    assert slow.is_alive
