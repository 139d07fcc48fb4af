"""Slow feeds do not hold up the others, and what is begun comes to an end."""

from __future__ import annotations

import threading
from functools import partial
from itertools import count

import pytest

from syncd.sources.http import Fresh
from syncd.sources.http.lanes import (
    AT_ONE_HOST,
    MOST,
    QUICK,
    SLOW_AT_ONE_HOST,
    Lanes,
)
from tests.conftest import HANG_S
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
        feed(
            feed_server,
            f"/drip?{n}",
            name=f"drip-{n}",
            host=f"drip-{n}.example.com",
            timeout_s=60,
        )
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


def test_threads_are_kept() -> None:
    """A thousand short pieces of work, one after the other and many at once, take few threads."""
    threads: set[threading.Thread] = set()

    def work() -> None:
        threads.add(threading.current_thread())

    with Lanes() as lanes:
        for _ in range(500):
            lanes.submit(work).result(60)
        for outcome in [lanes.submit(work) for _ in range(500)]:
            outcome.result(60)
    assert len(threads) <= QUICK + 1
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_slow_ones_leave_the_others_their_turn() -> None:
    """Twice as many slow pieces of work as there are threads take no turn from the good ones beside them.

    They are known for slow from the round before; their second round lasts until ten rounds of the others are
    over.
    """
    over = threading.Event()
    slow_began = threading.Semaphore(0)

    def slow() -> None:
        slow_began.release()
        over.wait(60)

    def slow_at_first() -> None:
        threading.Event().wait(0.1)

    rounds = 0
    with Lanes(patience_s=0.05) as lanes:
        names = [f"slow-{number}" for number in range(2 * MOST)]
        for outcome in [lanes.submit(slow_at_first, name=name) for name in names]:
            outcome.result(60)
        for name in names:
            lanes.submit(slow, name=name)
        for _ in range(MOST - QUICK):
            assert slow_began.acquire(timeout=60)
        for _ in range(10):
            # Without a name, so that none is taken for slow where the machine is.
            good = [lanes.submit(partial(int, "1")) for _ in range(100)]
            assert sum(outcome.result(60) for outcome in good) == 100
            rounds += 1
        assert not slow_began.acquire(blocking=False)
        over.set()
    assert rounds == 10


def test_slow_ones_leave_half_of_their_host() -> None:
    """Where some feeds of a host are slow, its good ones are asked beside them, and never too many at once."""
    over = threading.Event()
    lock = threading.Lock()
    now, most, number = 0, 0, count()

    def counted(seconds: float) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if seconds:
            over.wait(seconds)
        with lock:
            now -= 1
        return next(number)

    with Lanes(patience_s=0.05) as lanes:
        names = [f"slow-{place}" for place in range(6)]
        first = [
            lanes.submit(partial(counted, 0.1), name=name, host="h") for name in names
        ]
        for outcome in first:
            outcome.result(60)
        held = [
            lanes.submit(partial(counted, 60), name=name, host="h") for name in names
        ]
        good = [lanes.submit(partial(counted, 0), host="h") for _ in range(50)]
        for outcome in good:
            outcome.result(60)
        running = [outcome for outcome in held if not outcome.done()]
        over.set()
    assert len(running) == 6
    assert most <= AT_ONE_HOST
    assert SLOW_AT_ONE_HOST < AT_ONE_HOST


def test_a_full_host_takes_no_thread_from_others() -> None:
    """A hundred pieces of work that wait for one host leave the places to those of other hosts."""
    over = threading.Event()
    with Lanes(patience_s=60) as lanes:
        held = [lanes.submit(partial(over.wait, 60), host="h") for _ in range(100)]
        others = [
            lanes.submit(partial(int, "1"), host=place % 5) for place in range(100)
        ]
        assert sum(outcome.result(60) for outcome in others) == 100
        assert not any(outcome.done() for outcome in held)
        over.set()
        for outcome in held:
            outcome.result(60)


def test_nothing_begins_while_it_may_not() -> None:
    """What is submitted meanwhile waits, and begins when it is said that it may; nothing is lost."""
    done: list[int] = []
    may_begin = threading.Event()
    with Lanes(may_begin=may_begin.is_set) as lanes:
        outcomes = [lanes.submit(partial(done.append, n)) for n in range(20)]
        lanes.begin_waiting()
        assert not done
        may_begin.set()
        assert not done
        lanes.begin_waiting()
        for outcome in outcomes:
            outcome.result(HANG_S)
    assert sorted(done) == list(range(20))
