"""The harness itself: with one daemon on a ledger in a file, and with a database that is broken on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.campus import cluster as clusters
from tests.campus.conftest import meetings
from tests.campus.daemons import Campus, Place, campus
from tests.campus.judge import TermRow, doubles, strangers
from tests.campus.proxy import Letter, Proxy
from tests.conftest import HANG_S, Office
from tests.daemon.running import until
from tests.postgres import statement
from tests.postgres_keeper import Cluster


@pytest.fixture
def alone(tmp_path: Path, make_office: Callable[..., Office]) -> Iterator[Campus]:
    """A campus whose one daemon keeps its ledger in a file."""
    with campus(tmp_path, make_office, None) as made:
        yield made


@pytest.mark.slow
def test_a_daemon_books_through_the_proxy(alone: Campus) -> None:
    """Its requests are known by its name, with the time that they were signed with; all is good in the end."""
    alone.write("s1", meetings("one", "two"))
    alone.start("a")
    until(alone.at_rest, "booked")
    letters = alone.api.writes()
    assert [(one.daemon, one.method, one.code) for one in letters] == [
        ("a", "POST", 0),
        ("a", "POST", 0),
    ]
    for letter in letters:
        assert letter.t <= letter.arrived_at < letter.t + 60_000
    alone.require_good()


@pytest.mark.slow
def test_a_daemon_is_cut_off_from_the_api(alone: Campus) -> None:
    """Nothing arrives as long as the cut lasts; what was sent meanwhile does so then."""
    alone.write("s1", meetings("one"))
    alone.start("a")
    until(alone.at_rest, "booked")
    gate = alone.members["a"].api
    gate.cut()
    before = len(alone.api.letters)
    alone.write("s1", meetings("one", "two"))
    daemon = alone.members["a"].running
    daemon.until(lambda: daemon.logged("source"), "it has read the calendar")
    assert len(alone.api.letters) == before
    gate.heal()
    until(alone.at_rest, "booked")
    alone.require_good()


@pytest.mark.slow
def test_a_daemon_is_held_up_at_a_line(alone: Campus) -> None:
    """Once the intent is recorded and before it leaves; it goes on as if nothing had been."""
    alone.write("s1", meetings("one"))
    alone.start("a", place=Place("tuya/channel.py", "deadline.require()"))
    until(alone.at_rest, "booked")
    member = alone.members["a"]
    member.armed.touch()
    alone.write("s1", meetings("one", "two"))
    member.hold_up_at_place()
    assert not alone.at_rest()
    member.go_on()
    until(alone.at_rest, "booked")
    alone.require_good()


def test_the_judge_finds_strangers() -> None:
    """A write under no term, one of a term that is over, and one that goes back to an earlier term."""

    def letter(daemon: str, t: int, code: int | None = 0) -> Letter:
        return Letter(0, daemon, "POST", "/v1.0/x", t, t, code)

    terms = [TermRow("a", 1, 0, 10), TermRow("b", 2, 10, 20), TermRow("a", 3, 25)]
    good = [letter("a", 5), letter("b", 15), letter("a", 30), letter("b", 50, 1106)]
    assert strangers(good, terms) == []
    told = [why for _, why in strangers([letter("b", 5), letter("a", 12)], terms)]
    assert told == ["under no term", "under no term"]
    both = [*terms, TermRow("a", 1, 0, 18)]
    ((late, why),) = strangers([letter("a", 17, None), letter("b", 15)], both)
    assert (late.t, why) == (17, "of term 1 after one of 2")
    # A reading, and a token, are nobody's business.
    assert strangers([Letter(0, "b", "GET", "/v1.0/x", 5, 5, 0)], terms) == []


def test_the_judge_finds_doubles() -> None:
    """Two live reservations of one meeting; one that was cancelled counts for nothing."""
    one = {
        "status": 1,
        "topic": "a",
        "start_time": 1,
        "room_id": "r",
        "description": "",
    }
    assert doubles([one, {**one, "status": 3}, {**one, "start_time": 2}]) == []
    assert doubles([one, dict(one)]) == ["a at 1 in r"]


# The database


@pytest.mark.slow
def test_a_standby_takes_over_without_what_did_not_arrive(broken: Cluster) -> None:
    """What is committed while nothing arrives at the standby is lost by its promotion."""
    statement(broken, "CREATE TABLE t (n integer)", "ledger")
    with (
        Proxy(broken.port).running() as way,
        clusters.standby_of(broken, way) as standby,
    ):
        statement(broken, "INSERT INTO t VALUES (1)", "ledger")
        until(lambda: statement(standby, "SELECT n FROM t", "ledger"), "it arrived")
        way.cut()
        statement(broken, "INSERT INTO t VALUES (2)", "ledger")
        broken.stop()
        way.break_all()
        clusters.promote(standby)
        statement(standby, "INSERT INTO t VALUES (3)", "ledger")
        assert statement(standby, "SELECT n FROM t", "ledger") == [(1,), (3,)]


@pytest.mark.slow
def test_a_commit_whose_answer_is_lost(broken: Cluster) -> None:
    """The client sees a broken connection, and the server has it."""
    statement(broken, "CREATE TABLE t (n integer)", "ledger")
    with Proxy(broken.port).running() as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/ledger"
        with closing(psycopg.connect(url)) as connection:
            lost = proxy.drop_answer_to(after=b"INSERT")
            connection.execute("SELECT 1")
            connection.commit()
            connection.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
            assert lost.wait(HANG_S)
    assert statement(broken, "SELECT n FROM t", "ledger") == [(1,)]


@pytest.mark.slow
def test_a_way_to_the_database_is_cut(broken: Cluster) -> None:
    """Nothing is answered as long as it lasts, and the answer comes then; broken connections are noticed."""
    with Proxy(broken.port).running() as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/ledger"
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            proxy.cut()
            said: list[object] = []

            def ask() -> None:
                said.append(connection.execute("SELECT 7").fetchone())

            thread = threading.Thread(target=ask)
            thread.start()
            thread.join(0.3)
            assert said == []
            proxy.heal()
            thread.join(HANG_S)
            assert said == [(7,)]
            proxy.break_all()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 8")
