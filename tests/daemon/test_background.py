"""Feeds that are asked beside the work loop: no more of them than it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncd.daemon.background import BackgroundReads
from syncd.daemon.schedule import Wakes
from syncd.ledger import Ledger
from syncd.sources.feeds import Subscription, Subscriptions
from syncd.sources.http import Feed
from syncd.sources.http.lanes import AT_ONE_HOST, MOST, PATIENCE_S, QUICK
from tests.conftest import HANG_S
from tests.sources.fetching import fetcher
from tests.sources.server import Exchange, FeedServer, published

_FEEDS = 30
_CALENDAR = b"BEGIN:VCALENDAR\r\nX-NUMBER:%d\r\nEND:VCALENDAR\r\n"


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_more_is_asked_than_is_taken(
    feed_server: FeedServer, tmp_path: Path
) -> None:
    """While bodies wait to be taken no feed is asked beside those that are; in the end each was asked once."""
    names = [f"f{number}" for number in range(_FEEDS)]
    for number, name in enumerate(names):
        feed_server.pages[f"/{name}"] = published(_CALENDAR % number)
    feeds = [
        Feed(name, feed_server.url(f"/{name}"), allow_hosts=("127.0.0.0/8",))
        for name in names
    ]
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        subscriptions = Subscriptions(
            {feed.name: Subscription(feed, timedelta(hours=1)) for feed in feeds},
            fetcher=fetcher,
            store=ledger.sources,
            clock=lambda: datetime.now(UTC),
            waiting_bytes=1,
        )
        taken: list[str] = []
        with BackgroundReads(Wakes()) as background:
            background.fetch(subscriptions, names)
            while len(taken) < _FEEDS:
                until(lambda: bool(subscriptions.arrived()))
                # Those that were under way when the first one arrived, at one host, may have come since.
                assert len(feed_server.requests) <= len(taken) + AT_ONE_HOST
                for name in background.arrived(subscriptions):
                    subscriptions.take(name)
                    taken.append(name)
                background.fetch(subscriptions, ())
    assert sorted(taken) == sorted(names)
    assert len(feed_server.requests) == _FEEDS


def test_a_body_that_waits_has_no_room_beside_it(
    feed_server: FeedServer, tmp_path: Path
) -> None:
    """Room is for compressed bytes: a 304 or an error takes none, and what is taken gives its own back."""
    feed_server.pages["/one"] = published(_CALENDAR % 1, etag='"v1"')
    feed = Feed("one", feed_server.url("/one"), allow_hosts=("127.0.0.0/8",))
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        subscriptions = Subscriptions(
            {"one": Subscription(feed, timedelta(hours=1))},
            fetcher=fetcher,
            store=ledger.sources,
            clock=lambda: datetime.now(UTC),
            waiting_bytes=1,
        )
        for _ in range(2):  # another answer takes the place of one that nobody took
            subscriptions.fetch(subscriptions.requests(["one"], force=True))
            assert not subscriptions.has_room
        subscriptions.take("one").accept()
        assert subscriptions.has_room
        subscriptions.fetch(subscriptions.requests(["one"]))
        assert subscriptions.arrived() == {"one"}
        assert subscriptions.has_room
        subscriptions.take("one")
        subscriptions.fail([feed], ValueError())
        assert subscriptions.has_room


@pytest.mark.slow
def test_slow_feeds_leave_the_good_ones_their_interval(tmp_path: Path) -> None:
    """While more feeds hang than there are threads, the good ones beside them are asked again and again.

    The slow ones are known for it from the round before.
    """
    over = threading.Event()
    hanging = threading.Event()
    good_asked = 0
    slow_asked = 0
    guard = threading.Lock()

    def good(exchange: Exchange) -> None:
        nonlocal good_asked
        with guard:
            good_asked += 1
        published(etag='"1"')(exchange)

    def slow(exchange: Exchange) -> None:
        nonlocal slow_asked
        with guard:
            slow_asked += 1
        if hanging.is_set():
            over.wait(HANG_S)
        else:
            exchange.pause(1.2 * PATIENCE_S)
        published(etag='"1"')(exchange)

    def hosted(server: FeedServer, name: str, host: str) -> Subscription:
        url = server.url(f"/{name}", host)
        feed = Feed(name, url, HANG_S, allow_hosts=("127.0.0.0/8",))
        return Subscription(feed, timedelta(hours=1))

    with (
        FeedServer(keeps=True).running() as server,
        Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger,
    ):
        feeds: dict[str, Subscription] = {}
        for number in range(MOST + 12):
            name = f"slow-{number}"
            server.pages[f"/{name}"] = slow
            feeds[name] = hosted(server, name, f"{name}.example.com")
        for number in range(40):
            name = f"good-{number}"
            server.pages[f"/{name}"] = good
            feeds[name] = hosted(server, name, f"host-{number % 10}.example.com")
        subscriptions = Subscriptions(
            feeds,
            fetcher=fetcher,
            store=ledger.sources,
            clock=lambda: datetime.now(UTC),
        )
        threads_before = threading.active_count()
        wakes = Wakes()
        with BackgroundReads(wakes) as background:

            def taken() -> frozenset[str]:
                wakes.wait(1)
                arrived = background.arrived(subscriptions)
                for name in arrived:
                    subscriptions.take(name).accept()
                return arrived

            left = set(feeds)
            background.fetch(subscriptions, left)
            while left:
                left -= taken()
            hanging.set()
            slow_asked = 0
            good_before = good_asked
            background.fetch(subscriptions, feeds)
            while good_asked < good_before + 10 * 40:
                background.fetch(subscriptions, taken())
            assert 1 <= slow_asked <= MOST - QUICK
            # Beside those of the server, one for each connection.
            own = threading.active_count() - threads_before - len(server.opened)
            assert own <= MOST + QUICK + 16
            over.set()
