"""Several daemons on one ledger: one writes, the others stand by and take over, and nothing is booked twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from syncd.core.leases import assignment
from tests.campus.conftest import WINDOW_S
from tests.campus.daemons import Campus, Member, campus
from tests.campus.judge import strangers
from tests.conftest import HANG_S, ahead, calendar, event
from tests.daemon.running import Manager, feed, until
from tests.postgres import statement
from tests.postgres_keeper import Cluster
from tests.sources.server import FeedServer, published


def meeting(name: str, day: int = 3) -> dict[str, str]:
    """An event of its own, by its topic."""
    return {f"Meeting {name}": event(name, ahead(day), room=None)}


@pytest.fixture
def two(tmp_path: Path, make_office: Any, own_cluster: Cluster) -> Iterator[Campus]:
    """Daemons `a`, which writes, and `b`, after the first meeting was booked."""
    # What was sent without an answer is sent once more as soon as the API would not take it any more.
    window = (f"time_window={WINDOW_S}",)
    with campus(tmp_path, make_office, own_cluster, switches=window) as made:
        made.validity = "5s"
        write(made, "first")
        made.start("a")
        until(made.at_rest, "it is booked")
        made.start("b")
        assert made.writer() == "a"
        yield made


def says(member: Member, text: str) -> bool:
    """Whether a daemon says something of itself at present."""
    return text in member.running.manager.status


def logged(member: Member, text: str) -> bool:
    """Whether a daemon has said something on standard error."""
    return any(text in line for line in member.running.lines)


def lives_on(manager: Manager, signs: int) -> bool:
    """Whether a manager has heard signs of life since it had heard so many."""
    return manager.count("WATCHDOG") > signs + 1


def write(made: Campus, *names: str) -> None:
    """Let the calendar hold meetings with these names."""
    topics: dict[str, str] = {}
    for name in names:
        topics |= meeting(name)
    made.write("office", topics)


def writes_on(made: Campus, writer: str, *names: str) -> None:
    """An edit is booked, by this daemon, and nothing else is."""
    write(made, *names)
    until(made.at_rest, f"{names[-1]} is booked")
    assert made.writer() == writer
    made.require_good()


def test_one_writes_and_the_other_stands_by(two: Campus) -> None:
    """Both say who writes; whoever stands by asks the API nothing, and a single cycle is refused."""
    until(lambda: says(two.members["a"], "writer; 1 of 1 sources"), "it says so")
    until(lambda: says(two.members["b"], ":"), "it says who writes")
    pid = two.members["a"].running.process.pid
    assert says(two.members["b"], f":{pid} writes")
    writes_on(two, "a", "first", "second")
    assert {letter.daemon for letter in two.api.letters} == {"a"}
    ran = two.members["b"].office.run("status", "--json")
    assert ran.json["running"]
    with_own = two.folder / "once"
    with_own.mkdir()
    office = two.members["b"].office
    office.environment = {"STATE_DIRECTORY": str(with_own)}
    ran = office.run("once")
    assert (ran.code, f"Process {pid} on" in ran.err) == (75, True), ran


def test_a_stop_hands_over_at_once(two: Campus) -> None:
    """Whoever leaves ends its term, so that nobody waits for the end of the lease."""
    code, _ = two.members["a"].running.stop()
    assert code == 0
    (ended,) = two.ask("SELECT why FROM terms WHERE epoch = 1 AND ended_at IS NOT NULL")
    assert ended == ("it left",)
    (left,) = two.ask("SELECT expires_at <= clock_timestamp() FROM leases")
    assert left == (True,) or two.writer() == "b"
    until(lambda: two.writer() == "b", "the other one writes")
    writes_on(two, "b", "first", "second")
    assert [term.epoch for term in two.terms()] == [1, 2]
    two.start("a")
    writes_on(two, "b", "first", "second", "third")


@pytest.mark.slow
def test_the_other_one_follows_a_killed_one(two: Campus) -> None:
    """The next term is that of the one that stood by; the killed one comes back as one that stands by."""
    two.members["a"].kill()
    write(two, "first", "second")
    until(two.at_rest, "the other one books")
    assert two.writer() == "b"
    assert [term.epoch for term in two.terms()] == [1, 2]
    two.start("a")
    writes_on(two, "b", "first", "second", "third")
    two.require_good()


@pytest.mark.slow
def test_a_writer_that_is_cut_off_from_the_database(two: Campus) -> None:
    """It sends nothing under a term that is over, another one writes, and it joins again by itself."""
    two.members["a"].database.cut()
    write(two, "first", "second")
    until(two.at_rest, "the other one books")
    assert two.writer() == "b"
    assert strangers(two.api.writes(), two.terms()) == []
    assert {letter.daemon for letter in two.api.writes()[1:]} == {"b"}
    two.members["a"].database.heal()
    a = two.members["a"]
    until(lambda: says(a, "reader; "), "it joins again")
    assert a.running.manager.count("READY") == 1
    writes_on(two, "b", "first", "second", "third")


@pytest.mark.slow
def test_a_writer_that_is_cut_off_from_the_api(two: Campus) -> None:
    """After some cycles in vain it gives the lease back, and another one books."""
    a = two.members["a"]
    for member in two.members.values():
        pace = "requests_per_second = 100.0"
        member.office.change((pace, f'{pace}\ntimeout = "1s"'))
        until(partial(logged, member, "configuration taken over"), "it is taken over")
    a.api.cut()
    write(two, "first", "second")

    def another_one_books() -> bool:
        # Which ends the rests that a daemon gives an API that it does not reach.
        a.running.send(signal.SIGUSR1)
        return two.at_rest()

    until(another_one_books, "the other one books")
    assert two.writer() == "b"
    (why,) = two.ask("SELECT why FROM terms WHERE epoch = 1")
    assert why == ("it could not reach the API",)
    a.api.heal()
    until(lambda: says(a, "reader; "), "it stands by")
    two.require_good()


@pytest.mark.slow
def test_a_later_version_ends_the_earlier_ones(two: Campus) -> None:
    """A daemon that finds the ledger converted leaves with a sentence, and never half works."""
    two.ask("UPDATE alembic_version SET version_num = '9999'")
    for member in two.members.values():
        assert member.running.process.wait(HANG_S) == 75
        until(partial(logged, member, "A later version"), "it says why")


@pytest.mark.slow
def test_the_database_is_restarted(two: Campus, own_cluster: Cluster) -> None:
    """Nothing is sent while it is away, all say so, stay ready, and go on by themselves."""
    own_cluster.stop()
    for member in two.members.values():
        until(partial(says, member, "cannot be used now"), "it says so")
    before = len(two.api.letters)
    write(two, "first", "second")
    for member in two.members.values():
        manager = member.running.manager
        signs = manager.count("WATCHDOG")
        until(partial(lives_on, manager, signs), "signs of life")
    assert len(two.api.letters) == before
    own_cluster.start()
    until(two.at_rest, "it is booked")
    for member in two.members.values():
        assert member.running.manager.count("READY") == 1
        assert member.is_alive
    two.require_good()


@pytest.mark.slow
def test_the_database_is_away_at_the_start(
    tmp_path: Path, make_office: Any, own_cluster: Cluster
) -> None:
    """A daemon is ready, says what it waits for, follows its configuration, and books as soon as it can."""
    own_cluster.stop()
    with campus(tmp_path, make_office, own_cluster) as made:
        write(made, "first")
        made.start("a")
        a = made.members["a"]
        assert says(a, "nothing is booked from here since")
        readies = a.running.manager.count("READY")
        a.running.send(signal.SIGHUP)
        until(lambda: a.running.manager.count("READY") > readies, "it reloads")
        own_cluster.start()
        until(made.at_rest, "it is booked")
        made.require_good()


@pytest.mark.slow
def test_a_sleeper_wakes_as_nobody(
    tmp_path: Path, make_office: Any, own_cluster: Cluster
) -> None:
    """Of an API that ends the former token with each new one a former writer asks no more."""
    with campus(
        tmp_path, make_office, own_cluster, switches=("grant_kills_previous=on",)
    ) as made:
        write(made, "first")
        made.start("a", "b")
        until(made.at_rest, "it is booked")
        first = made.writer()
        (second,) = {"a", "b"} - {first}
        made.members[first].running.send(signal.SIGSTOP)
        write(made, "first", "second")
        until(made.at_rest, "the other one books")
        before = len(made.api.letters)
        made.members[first].running.send(signal.SIGCONT)
        until(lambda: says(made.members[first], "reader; "), "it stands by")
        writes_on(made, second, "first", "second", "third")
        late = [one for one in made.api.letters[before:] if one.daemon == first]
        assert late == []


@pytest.mark.slow
def test_all_own_directories_are_apart(two: Campus, own_cluster: Cluster) -> None:
    """A second daemon in the directory of another one is refused."""
    office = two.members["a"].office
    ran = office.run("run")
    assert ran.code == 75, ran
    found = statement(own_cluster, "SELECT count(*) FROM terms", "ledger")
    assert found == [(1,)]


def shares(made: Campus) -> list[int]:
    """How many sources each living daemon reads."""
    living = "SELECT reads FROM daemons WHERE expires_at > clock_timestamp()"
    return sorted(int(reads) for (reads,) in made.ask(living))


def read_by(made: Campus, sources: list[str]) -> dict[str, list[str]]:
    """Which sources each daemon reads."""
    found = made.ask(
        "SELECT holder, pid FROM daemons WHERE expires_at > clock_timestamp()"
    )
    names = {member.running.process.pid: name for name, member in made.members.items()}
    holders = {str(holder): names[int(pid)] for holder, pid in found}
    read: dict[str, list[str]] = {name: [] for name in holders.values()}
    for source, holder in assignment(sources, holders).items():
        read[holders[holder]].append(source)
    return read


@pytest.mark.slow
def test_three_share_what_is_read(
    tmp_path: Path, make_office: Any, own_cluster: Cluster
) -> None:
    """Each reads its part; one writes what all of them read; the sources of a killed one are read again."""
    sources = [f"s{number:03}" for number in range(200)]
    with campus(tmp_path, make_office, own_cluster) as made:
        for source in sources:
            made.write(source, {})
        made.start("a", "b", "c")
        until(lambda: shares(made) == [66, 67, 67], "they share the sources")
        read = read_by(made, sources)
        for name, own in read.items():
            made.write(own[0], meeting(f"of {name}"))
        until(made.at_rest, "what each of them read is booked")
        made.require_good()
        writer = made.writer()
        assert {letter.daemon for letter in made.api.letters} == {writer}
        until(partial(says, made.members[writer], "of 200 sources"), "it says so")
        lost = next(name for name in read if name != writer)
        made.members[lost].kill()
        until(lambda: shares(made) == [100, 100], "the others share its sources")
        made.write(read[lost][1], meeting("after all"))
        made.write(read[lost][0], meeting(f"of {lost}") | meeting("moreover"))
        until(made.at_rest, "they are read again")
        made.require_good()
        assert made.writer() == writer


@pytest.mark.slow
def test_feeds_change_hands(
    tmp_path: Path, make_office: Any, own_cluster: Cluster, feed_server: FeedServer
) -> None:
    """Feeds are asked by the daemon that reads them alone, and by another one when that is gone."""
    feeds = [f"f{number}" for number in range(6)]

    def publish(name: str, *events: str) -> None:
        topics: dict[str, str] = {}
        for each in events:
            topics |= meeting(each)
        # Twice the same tag would be taken for the same calendar.
        tag = f'"{len(events)}"'
        feed_server.pages[f"/{name}"] = published(calendar(*topics.values()), etag=tag)
        made.wanted |= topics.keys()

    def everybody_looks() -> bool:
        for member in made.members.values():
            if member.is_alive:
                member.running.send(signal.SIGUSR1)
        return made.at_rest()

    with campus(tmp_path, make_office, own_cluster) as made:
        tables = [feed(name, feed_server.url(f"/{name}")) for name in feeds]
        made.settings = "".join(tables)
        for name in feeds:
            publish(name, f"one of {name}")
        made.start("a", "b")
        until(lambda: shares(made) == [3, 3], "they share the feeds")
        until(made.at_rest, "all are booked")
        for name in feeds:
            publish(name, f"one of {name}", f"two of {name}")
        until(everybody_looks, "the second ones are booked")
        made.require_good()
        writer = made.writer()
        (reader,) = {"a", "b"} - {writer}
        own = read_by(made, feeds)[reader]
        # What is missing in a calendar that another one read is cancelled by who writes.
        publish(own[0], f"two of {own[0]}")
        gone = f"Meeting one of {own[0]}"
        made.wanted.discard(gone)

        def is_cancelled() -> bool:
            everybody_looks()
            return gone not in {one["topic"] for one in made.reservations()}

        until(is_cancelled, "it is cancelled")
        made.members[writer].kill()
        for name in feeds:
            publish(
                name, *(f"{number} of {name}" for number in ("two", "three", "four"))
            )
            made.wanted.discard(f"Meeting one of {name}")
        until(everybody_looks, "the other one reads all, and books")
        assert made.writer() == reader
        made.require_good()
