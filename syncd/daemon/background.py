"""Reading that goes on in other threads beside the work loop: feeds, and large sources.

Promises: a feed is asked at most once at a time; every end of a reading wakes, also one that failed.
Must not: use the ledger, or decide what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Self

import structlog

from syncd.daemon.schedule import Wakes
from syncd.sources.feeds import Subscriptions
from syncd.sources.http import Feed, equal_feeds_together
from syncd.sources.http.lanes import Lanes

_log = structlog.get_logger(__name__)

_READ_AT_ONCE = 8  # large sources


class BackgroundReads:
    """The threads that read; leaving the context waits for what runs and drops what did not begin."""

    def __init__(self, wakes: Wakes) -> None:
        self._wakes = wakes
        self._pool = ThreadPoolExecutor(_READ_AT_ONCE, thread_name_prefix="read")
        self._lanes = Lanes(may_begin=self._has_room)
        self._subscriptions: Subscriptions | None = None  # of the present configuration
        self._fetching: set[str] = set()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(self._pool)
        self._opened.enter_context(self._lanes)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def fetch(
        self,
        subscriptions: Subscriptions,
        names: Iterable[str],
        *,
        force: bool = False,
    ) -> None:
        """Ask the feeds that are not being asked, equal ones together; a wake says when they arrived.

        With `force` also those that are left alone for a while, and without conditions.

        While much of what arrived waits to be taken, they wait too: memory is bounded, however many there are.
        """
        self._subscriptions = subscriptions
        idle = [name for name in names if name not in self._fetching]
        requests = subscriptions.requests(idle, force=force)
        for group in equal_feeds_together(requests):
            feeds = tuple(group)
            self._fetching.update(feed.name for feed in feeds)
            fetch = partial(subscriptions.fetch_equal, group)
            fetched = partial(self._fetched, subscriptions, feeds)
            first = feeds[0]
            future = self._lanes.submit(fetch, name=first.place.target, host=first.host)
            future.add_done_callback(fetched)
        self._lanes.begin_waiting()

    def arrived(self, subscriptions: Subscriptions) -> frozenset[str]:
        """Return the feeds whose answers are there to be taken; they may be asked again."""
        arrived = subscriptions.arrived()
        self._fetching -= arrived
        return arrived

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Forget what is being fetched of these feeds, so that they can be asked anew.

        Without names all of it, which was asked for a former configuration.
        """
        if names is None:
            self._fetching = set()
        else:
            self._fetching.difference_update(names)

    def _has_room(self) -> bool:
        return self._subscriptions is None or self._subscriptions.has_room

    def read(self, name: str, work: Callable[[], None]) -> None:
        """Read a large source in another thread; a wake says when that is done."""
        ended = partial(self._ended, name)
        future = self._pool.submit(work)
        future.add_done_callback(ended)

    def _fetched(
        self, subscriptions: Subscriptions, group: Sequence[Feed], future: Future[None]
    ) -> None:
        """Wake for feeds whose asking ended, in another thread; they may be of a former configuration."""
        if future.cancelled():
            return  # it stops before they were asked
        error = future.exception()
        if error is not None:
            _log_defect(error)
            subscriptions.fail(group, error)
        for feed in group:
            self._wakes.wake(feed.name, "fetched")

    def _ended(self, name: str, future: Future[None]) -> None:
        """Wake for a source that was read, in another thread."""
        error = future.exception()
        if error is not None:
            _log_defect(error)
        self._wakes.wake(name, "read")


def _log_defect(error: BaseException) -> None:
    _log.critical("defect of syncd; please report this line", exc_info=error)
