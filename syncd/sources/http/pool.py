"""Connections to the servers of feeds, kept for a moment after an answer and used again.

Promises: a connection is used by one request at a time, and shared only by what may share it (`Way`);
a host is asked few things at once; what is kept is bounded, and closed soon.
Must not: know what is asked for or answered.

A kept connection saves most of a request that finds nothing: lookup, handshake, TLS.
It also is what goes wrong with HTTP in silence.
So one that gave no answer, as its server closed it in the very moment, is followed by a fresh one and no more
than one, and one whose last answer was not just as long as it said is never kept.
The pool of httpcore was not taken: it looks at all connections at each request, under a lock, and closes what
is over at the next request only.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from syncd.sources.http.connection import Connection, Errand, Response, Stale, Way
from syncd.sources.http.lanes import AT_ONE_HOST
from syncd.sources.http.resolver import Lookup, Resolver

IDLE_S = 15.0
"""So long a connection is kept; many servers keep it for longer, and few for less than 5 seconds."""

MOST_IDLE = 32
"""Connections that are kept at a time."""

LONGEST_LIFE_S = 60.0
"""Then a connection that is used again and again is made anew, or its host could never move."""


@dataclass(frozen=True, slots=True)
class _Kept:
    connection: Connection
    until: float  # on the monotonic clock


class ConnectionPool:
    """The connections of one process; may be used from several threads."""

    def __init__(self, lookup: Lookup, *, idle_s: float) -> None:
        self._resolver = Resolver(lookup)
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._under_way: Counter[tuple[str, int]] = Counter()
        # In the order in which they were kept, the oldest first.
        self._kept: list[_Kept] = []
        self._closer: threading.Thread | None = None

    @contextmanager
    def answer(
        self, way: Way, request: httpx.Request, errand: Errand
    ) -> Iterator[Response]:
        """Send a request, yield its answer, valid in the `with`; raise `FeedFault`, also during reading."""
        with (
            self._place(way, errand),
            self._kept_or_fresh(way, request, errand) as response,
        ):
            yield response

    @contextmanager
    def _kept_or_fresh(
        self, way: Way, request: httpx.Request, errand: Errand
    ) -> Iterator[Response]:
        connection = self._take(way)
        if connection is None:
            connection = Connection(way, self._resolver, errand)
        try:
            try:
                response = connection.send(request, errand)
            except Stale:
                connection.close()
                connection = Connection(way, self._resolver, errand)
                response = connection.send(request, errand)
            yield response
        finally:
            self._put_back(connection)

    @contextmanager
    def _place(self, way: Way, errand: Errand) -> Iterator[None]:
        """Wait until the host of a way is asked few enough things at once."""
        host = (way.host, way.port)
        with self._changed:
            while self._under_way[host] >= AT_ONE_HOST:
                self._changed.wait(errand.deadline.slice_s(errand.who))
            self._under_way[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way[host] -= 1
                if not self._under_way[host]:
                    del self._under_way[host]
                self._changed.notify_all()

    def _take(self, way: Way) -> Connection | None:
        """Return a kept connection that can be used; None if there is none."""
        while True:
            with self._changed:
                for kept in reversed(self._kept):
                    if kept.connection.way == way:
                        break
                else:
                    return None
                self._kept.remove(kept)
            if kept.until > time.monotonic() and kept.connection.is_usable:
                return kept.connection
            kept.connection.close()

    def _put_back(self, connection: Connection) -> None:
        """Keep a connection whose request is over, or close it."""
        now = time.monotonic()
        until = min(now + self._idle_s, connection.opened_at + LONGEST_LIFE_S)
        if not connection.has_ended() or until <= now:
            connection.close()
            return
        with self._changed:
            self._kept.append(_Kept(connection, until))
            over: list[_Kept] = []
            if len(self._kept) > MOST_IDLE:
                over.append(self._kept.pop(0))
            if self._closer is None:
                self._closer = threading.Thread(
                    target=self._close_what_is_over, name="feed-idle", daemon=True
                )
                self._closer.start()
        for kept in over:
            kept.connection.close()

    def _close_what_is_over(self) -> None:
        """Close connections as their time comes, until none is kept."""
        while True:
            now = time.monotonic()
            with self._changed:
                over = [kept for kept in self._kept if kept.until <= now]
                self._kept = [kept for kept in self._kept if kept.until > now]
                if not self._kept:
                    self._closer = None
                next_at = min((kept.until for kept in self._kept), default=None)
            for kept in over:
                kept.connection.close()
            if next_at is None:
                return
            time.sleep(max(next_at - now, 0.01))
