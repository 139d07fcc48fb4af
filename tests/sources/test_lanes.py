"""Slow feeds do not hold up the others, and what is begun comes to an end."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from syncd.sources.http import Fresh
from syncd.sources.http.lanes import MOST, QUICK, Lanes
from tests.sources.fetching import feed, fetcher
from tests.sources.server import Exchange, FeedServer, published

DRIPPING = 24


def test_slow_work_makes_room(feed_server: FeedServer) -> None:
    """Three times as many feeds as are read at a time drip until the good one behind them was asked."""
    asked = threading.Event()

    def good(exchange: Exchange) -> None:
        asked.set()
        published()(exchange)

    def dripping(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        while not asked.is_set() and exchange.pause(0.05):
            pass
        exchange.send(b"too late!")

    feed_server.pages["/drip"] = dripping
    feed_server.pages["/good"] = good
    feeds = [
        feed(feed_server, f"/drip?{n}", name=f"drip-{n}", timeout_s=60)
        for n in range(DRIPPING)
    ]
    feeds.append(feed(feed_server, "/good", name="good", timeout_s=60))
    answers = fetcher().fetch_all(dict.fromkeys(feeds))
    assert asked.is_set()
    assert isinstance(answers[feeds[-1]], Fresh)


def test_few_run_at_a_time_where_none_is_slow() -> None:
    """No more than the quick ones run beside each other, as long as none of them takes long."""
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)
        with lock:
            running -= 1

    with Lanes(patience_s=60) as lanes:
        for outcome in [lanes.submit(work) for _ in range(100)]:
            outcome.result(60)
    assert 1 <= most <= QUICK


def test_slow_ones_are_bounded_too() -> None:
    """However many are slow, no more threads run than may."""
    running = threading.Semaphore(0)
    go_on = threading.Event()

    def work() -> None:
        running.release()
        go_on.wait(60)

    with Lanes(patience_s=0.001) as lanes:
        outcomes = [lanes.submit(work) for _ in range(MOST + 20)]
        for _ in range(MOST):
            assert running.acquire(timeout=60)
        assert not running.acquire(timeout=0.3)
        go_on.set()
        for outcome in outcomes:
            outcome.result(60)


def test_an_error_is_that_of_its_work() -> None:
    """What goes wrong in one piece of work is told to who asks for it, and the others go on."""
    with Lanes() as lanes:
        wrong = lanes.submit(partial(int, "x"))
        right = lanes.submit(partial(int, "1"))
        assert right.result(60) == 1
        with pytest.raises(ValueError, match="invalid literal"):
            wrong.result(60)


def test_what_did_not_begin_is_dropped() -> None:
    """Leaving waits for what runs, and begins nothing more."""
    begun = threading.Event()
    go_on = threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(60)

    with Lanes(quick=1, most=1) as lanes:
        first = lanes.submit(work)
        second = lanes.submit(work)
        assert begun.wait(60)
        threading.Timer(0.1, go_on.set).start()
    assert first.done()
    assert second.cancelled()
