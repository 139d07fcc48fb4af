"""A standby takes the place of a primary of which it lacks what was recorded last (row 8)."""

from __future__ import annotations

import pytest

from tests.campus import cluster as clusters
from tests.campus.conftest import meetings
from tests.campus.daemons import Campus
from tests.campus.judge import TermRow, strangers
from tests.campus.proxy import Proxy
from tests.campus.test_stops import writer_of
from tests.daemon.running import until
from tests.postgres import statement
from tests.postgres_keeper import Cluster


def follow(campus: Campus, standby: Cluster) -> None:
    """Let all ways to the database lead to a standby, which is the primary now."""
    campus.cluster = standby
    for member in campus.members.values():
        member.database.target = standby.port
        member.database.break_all()


def require_caught_up(primary: Cluster, standby: Cluster) -> None:
    """Wait until a standby has what the primary has now."""
    ((place,),) = statement(primary, "SELECT pg_current_wal_lsn()")
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{place}'"
    until(lambda: statement(standby, reached) == [(True,)], "it arrived")


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["an intent and its booking", "a term besides"])
def test_a_failover_loses_what_was_recorded_last(
    several: Campus, broken: Cluster, lost: str
) -> None:
    """What was booked is found by its mark and taken over; nothing is booked twice, and the rest is booked."""
    several.write("s1", meetings("one"))
    several.start("a", "b")
    until(several.at_rest, "booked")
    terms: list[TermRow] = []
    with (
        Proxy(broken.port).running() as way,
        clusters.standby_of(broken, way) as standby,
    ):
        require_caught_up(broken, standby)
        way.cut()
        if lost == "a term besides":
            first = writer_of(several)
            first.kill()
            until(lambda: several.writer() not in ("", first.name), "another writes")
        several.write("s1", meetings("one", "two"))
        until(several.at_rest, "booked")
        terms = several.terms()
        broken.stop()
        way.break_all()
        clusters.promote(standby)
        follow(several, standby)
        several.write("s1", meetings("one", "two", "three"))
        until(several.at_rest, "booked")
        known = {(one.daemon, one.began_at) for one in several.terms()}
        terms = [one for one in terms if (one.daemon, one.began_at) not in known]
        several.require_good(letters=())
        assert strangers(several.api.writes(), [*terms, *several.terms()]) == []
        marks = "SELECT count(*) FROM bookings WHERE state = 'booked'"
        until(lambda: several.ask(marks) == [(3,)], "all are known again")
