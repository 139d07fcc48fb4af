"""Ends of a daemon in the middle of its work."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import FAST, SLOW, Daemon, feed, follow, running
from tests.sources.server import FeedServer, drip

PATIENT = 'timeout = "1h"'
"""Of calls: what ends while one is under way was not ended by that."""


def be_patient(office: Office) -> None:
    """Let calls take as long as they do."""
    office.change(("requests_per_second", f"{PATIENT}\nrequests_per_second"))


def hanging(daemon: Daemon, fault: str) -> None:
    """Let the daemon begin to book an event with an API whose calls go wrong like this."""
    office = daemon.office
    office.fault(fault)
    office.forget_requests()
    office.write(event("first", ahead(2)), event("hanging", ahead(3)))
    daemon.until(office.writes, "the request is under way")


def settles(office: Office) -> None:
    """The next start finds out what became of the request; nothing is booked twice or lost."""
    office.fault()
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", unchanged=2, in_doubt=0), "settled")
    assert Counter(r["topic"] for r in office.reservations()) == {
        "Meeting first": 1,
        "Meeting hanging": 1,
    }


@pytest.mark.slow
def test_a_stop_does_not_wait_for_the_api(
    make_office: Any, closing: Callable[..., Daemon]
) -> None:
    """SIGTERM and SIGINT end a daemon while its call is under way, also when no call is answered any more."""
    # At the same time, because each takes the seconds that it gives the call.
    faults = {
        "terminated": ("slow:on=write,seconds=3600", signal.SIGTERM),
        "interrupted": ("slow:on=write,seconds=3600", signal.SIGINT),
        "deaf": ("slow:seconds=3600", signal.SIGTERM),
    }
    ends: dict[str, tuple[int, float]] = {}

    def end(name: str, daemon: Daemon, number: signal.Signals) -> None:
        ends[name] = daemon.stop(number)

    threads = []
    offices = [make_office(name) for name in faults]
    for office, (name, (fault, number)) in zip(offices, faults.items(), strict=True):
        office.write(event("first", ahead(2)))
        be_patient(office)
        daemon = closing(running(office))
        daemon.until(
            lambda d=daemon: d.logged("cycle", created=1),  # type: ignore[misc]  # no type can be written
            "the first is booked",
        )
        hanging(daemon, fault)
        threads.append(threading.Thread(target=end, args=(name, daemon, number)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print({name: f"{seconds:.1f} s" for name, (_, seconds) in ends.items()})
    assert {name: code for name, (code, _) in ends.items()} == dict.fromkeys(faults, 0)
    for office in offices:
        settles(office)


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(
    make_office: Any, closing: Callable[..., Daemon]
) -> None:
    """Ctrl-C twice does not wait for the call as long as once does, and the next start settles it."""
    offices = [make_office(name) for name in ("once", "twice")]
    daemons = []
    for office in offices:
        office.write(event("first", ahead(2)))
        be_patient(office)
        daemon = closing(running(office))
        daemon.until(
            lambda d=daemon: d.logged("cycle", created=1),  # type: ignore[misc]  # no type can be written
            "the first is booked",
        )
        hanging(daemon, "slow:on=write,seconds=3600")
        daemons.append(daemon)
    once, twice = daemons
    twice.send(signal.SIGINT)
    time.sleep(1)  # two that come together would be one
    once.send(signal.SIGINT)
    assert twice.stop(signal.SIGINT)[0] == 0
    assert once.process.poll() is None
    assert once.process.wait(HANG_S) == 0
    for office in offices:
        settles(office)


def test_a_stop_does_not_wait_for_a_feed(
    office: Office, feed_server: FeedServer
) -> None:
    """A feed that drips is let go."""
    feed_server.pages["/drip"] = drip
    follow(office, feed("drip", feed_server.url("/drip"), PATIENT))
    with running(office) as daemon:
        daemon.until(lambda: feed_server.asked("/drip"), "the feed is being read")
        assert daemon.stop()[0] == 0


@pytest.mark.slow
def test_a_stop_in_a_burst_of_bookings(office: Office) -> None:
    """What was begun is finished, the rest is left to the next start; each meeting is booked once."""
    events = 60
    office.change((FAST, SLOW))
    office.write(
        *(event(f"burst-{n}", ahead(1 + n // 12, 6 + n % 12)) for n in range(events))
    )
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) >= 10, "some are booked")
        assert daemon.stop()[0] == 0
    assert 10 <= len(office.reservations()) < events
    office.change((SLOW, FAST))
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) == events, "all are booked")
        daemon.settle()
    assert max(Counter(r["topic"] for r in office.reservations()).values()) == 1
    assert not daemon.logged("adopted")
