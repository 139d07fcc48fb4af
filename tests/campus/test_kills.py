"""Daemons that are killed, one after the other, at every step (row 2)."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from tests.campus.conftest import meetings
from tests.campus.daemons import Campus
from tests.campus.places import PLACES
from tests.campus.test_stops import writer_of
from tests.daemon.running import until


@pytest.mark.slow
@pytest.mark.first(0, 1)
@pytest.mark.parametrize("where", PLACES)
def test_a_writer_is_killed(several: Campus, where: str) -> None:
    """Of three daemons; the others go on, and so does the killed one when it is started again."""
    several.write("s1", meetings("one"))
    place = replace(PLACES[where], signal=signal.SIGKILL)
    several.start("a", "b", "c", place=place)
    until(several.at_rest, "booked")
    wanted = ["one"]
    for topic in ("two", "three", "four"):
        dying = writer_of(several)
        dying.armed.touch()
        wanted.append(topic)
        several.write("s1", meetings(*wanted))
        dying.die_at_place()
        until(several.at_rest, "booked")
        several.start(dying.name, place=place)
    several.require_good()
