"""A calendar that ends the process costs two starts, then only itself, until it changes or its time comes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.ledger import Ledger
from syncd.ledger.facts import Fact
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import files, follow, running, until, watch_closely

SUSPECTS: Fact[list[dict[str, Any]]] = Fact("set_aside", json.dumps, json.loads)
SETTLED_S = 3.0  # after which the time of a file is taken for proof that it is the same
COSTLY = ("RRULE:FREQ=SECONDLY", "EXRULE:FREQ=SECONDLY")


def under_way(office: Office) -> str:
    """What the process says that it is working on."""
    file = office.folder / "state.db.underway"
    return file.read_text().partition("\n")[0] if file.exists() else ""


def prepare(office: Office, bad: bytes) -> None:
    """A good calendar and a bad one."""
    (office.folder / "bad.ics").write_bytes(bad)
    (office.folder / "good.ics").write_bytes(
        calendar(event("good", ahead(3), 60, room="large"))
    )
    follow(office, files("bad", "bad.ics"), files("good", "good.ics"))


def die(office: Office, where: Callable[[str], bool]) -> None:
    """Start the daemon and kill it while it is at work somewhere."""
    with running(office) as daemon:
        daemon.until(lambda: where(under_way(office)), "the work is under way")
        daemon.process.kill()
        daemon.process.wait(30)


def large() -> bytes:
    """A calendar that takes some seconds to be looked through, because nothing of it is plain."""
    odd = event("odd", ahead(2)).replace("DTSTAMP", "dtstamp")
    return calendar(*[odd.replace("UID:odd", f"uid:odd-{n}") for n in range(15_000)])


def at(source: str, uid: str = "") -> Callable[[str], bool]:
    """Whether the record names a piece of work."""
    return lambda written: json.dumps([source, uid])[:-1] in written


def source(office: Office, name: str) -> dict[str, Any]:
    """How a source stands."""
    found: dict[str, Any] = next(
        s for s in office.status()["sources"] if s["name"] == name
    )
    return found


@pytest.mark.slow
def test_an_event(office: Office) -> None:
    """An event during which the process was killed twice is set aside; those beside it are booked."""
    prepare(
        office,
        calendar(event("poison", ahead(2), 60, *COSTLY), event("neighbour", ahead(4))),
    )
    for _ in range(2):
        die(office, at("bad", "poison"))
    with running(office) as daemon:
        daemon.until(
            lambda: source(office, "bad")["quarantined"] == 1, "it is set aside"
        )
        daemon.until(lambda: len(office.reservations()) == 2, "the others are booked")
    ran = office.run("status", "--json")
    assert ran.code == 1
    ran = office.run("explain", "poison", "--json")
    assert ran.code == 1
    (quarantined,) = [s["quarantined"] for s in ran.json["sources"]]
    assert "set aside" in quarantined["detail"]
    assert "UTC" in quarantined["detail"]
    assert office.run("once", "--json").code == 1

    # It is read again when it changes.
    prepare(office, calendar(event("poison", ahead(2)), event("neighbour", ahead(4))))
    assert office.once()["counts"]["created"] == 1
    assert len(office.reservations()) == 3


@pytest.mark.slow
def test_a_calendar(office: Office) -> None:
    """A calendar during whose reading the process was killed twice is set aside; the other one is booked."""
    prepare(office, large())
    for _ in range(2):
        die(office, lambda written: '"bad"' in written)
    with running(office) as daemon:
        daemon.until(
            lambda: source(office, "bad")["state"] == "unreadable", "it is set aside"
        )
        daemon.until(office.reservations, "the good one is booked")
        assert "set aside" in source(office, "bad")["error"]
        assert daemon.logged("source", source="bad", state="unreadable")
        (told,) = daemon.logged("ended while reading", source="bad", level="warning")
        assert told["deaths"] == 2
        assert told["set_aside_until"]
        written = (office.folder / "bad.ics").stat().st_mtime
        daemon.until(
            lambda: time.time() > written + SETTLED_S,
            "the file is no longer one just written",
        )
    ran = office.run("once", "--json")
    assert ran.code == 1
    assert "set aside" in next(
        s["error"] for s in ran.json["sources"] if s["name"] == "bad"
    )
    assert "set aside" in office.run("plan").out

    # It is read again when it changes.
    prepare(office, calendar(event("mended", ahead(4))))
    done = office.once()
    assert done["outcome"] == "ok"
    assert done["counts"]["created"] == 1


@pytest.mark.slow
def test_once_is_not_enough(office: Office) -> None:
    """One death proves nothing: the event is read at the next start, and no longer suspected then."""
    # Another text, since what was found of the first one is remembered.
    for minutes in (
        60,
        61,
    ):
        prepare(office, calendar(event("slow", ahead(2), minutes, *COSTLY)))
        die(office, at("bad", "slow"))
        assert office.once()["outcome"] == "attention"
        (skip,) = [c for c in office.plan()["changes"] if c["uid"] == "slow"]
        assert "takes more than" in skip["detail"]


@pytest.mark.slow
def test_a_stop_is_no_death(office: Office) -> None:
    """Whoever stops the daemon in the middle of an event, however often, sets nothing aside."""
    prepare(office, calendar(event("slow", ahead(2), 60, *COSTLY)))
    watch_closely(office)
    for _ in range(2):
        with running(office) as daemon:
            daemon.until(
                lambda: at("bad", "slow")(under_way(office)), "the work is under way"
            )
            daemon.send(signal.SIGTERM)
            until(lambda: under_way(office).startswith("s"), "the stop is noted")
            daemon.process.kill()  # as a manager does whose patience is over
            daemon.process.wait(30)
    with running(office) as daemon:
        daemon.until(
            lambda: daemon.logged("cycle", quarantined=1), "it was read to its end"
        )
        until(
            lambda: source(office, "bad")["quarantined"] == 1,
            "it is said, without another look at the file",
        )
        assert len(daemon.logged("source", source="bad")) == 1
    (skip,) = [c for c in office.plan()["changes"] if c["uid"] == "slow"]
    assert "set aside" not in skip["detail"]


@pytest.mark.slow
def test_tried_again_later(office: Office) -> None:
    """What was set aside is read again after its time, and no longer suspected when that goes well."""
    prepare(office, calendar(event("slow", ahead(2), 60, *COSTLY)))
    for _ in range(2):
        die(office, at("bad", "slow"))
    assert office.once()["outcome"] == "attention"
    with Ledger.open(f"sqlite:///{office.folder}/state.db", owner=True) as ledger:
        (suspect,) = ledger.facts.get(SUSPECTS) or []
        assert suspect["deaths"] == 2
        suspect["at"] = f"{ahead(-1).isoformat()}"
        ledger.facts.set(SUSPECTS, [suspect])
    assert office.once()["outcome"] == "attention"
    (skip,) = [c for c in office.plan()["changes"] if c["uid"] == "slow"]
    assert "takes more than" in skip["detail"]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "junk", [b"", b"\0" * 100, b" {", b" [[1]]\n", b" [[1, 2, 3, 4]]\n", b" 7\n"]
)
def test_a_damaged_record(office: Office, junk: bytes) -> None:
    """A record that makes no sense says nothing, and is no reason to end."""
    office.write(event("one", ahead(2)))
    office.once()
    Path(office.folder / "state.db.underway").write_bytes(junk)
    assert office.once()["outcome"] == "ok"
