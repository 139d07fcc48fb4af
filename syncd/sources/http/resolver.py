"""Looks up host names, so that what asks can stop waiting.

Promises: at least one address, or a `FeedFault`; lookups take a bounded number of threads.
Must not: judge an address.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from syncd.sources.http.addresses import as_address
from syncd.sources.http.deadline import Deadline
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.workers import Workers

_LOOKUPS = 16  # at a time; those of hosts that nobody waits for any more count too

SocketAddress = tuple[Any, ...]
Lookup = Callable[[str, int], Iterable[tuple[int, SocketAddress]]]
"""Family and socket address of each address of a host; raise OSError (or ValueError for an odd name)."""


def system_lookup(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Ask the resolver of the system; return family and address of each, in the order of RFC 6724."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Resolver:
    """A resolver of host names whose lookups can be waited for with a deadline.

    The system's resolver cannot be interrupted, so it runs beside, at most once per host at a time and for
    some hosts at a time; an address needs none.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._workers = Workers("feed-lookup", _LOOKUPS)
        self._lock = threading.Lock()
        self._underway: dict[
            tuple[str, int], Future[list[tuple[int, SocketAddress]]]
        ] = {}

    def addresses(
        self, host: str, port: int, who: str, deadline: Deadline
    ) -> list[tuple[int, SocketAddress]]:
        """Look up a host; return at least one address, families in turn (RFC 8305 section 4).

        In turn, so that a family that does not work delays nothing; raises `FeedFault`.
        """
        try:
            if as_address(host) is not None:
                found = _parsed(host, port)
            else:
                found = self._looked_up(host, port, who, deadline)
        except (OSError, ValueError) as error:
            reason = (
                f" ({error.strerror})"
                if isinstance(error, OSError) and error.strerror
                else ""
            )
            raise FeedFault(
                f"the name {who} cannot be resolved{reason}; check the host in url, and DNS"
            ) from None
        if not found:
            raise FeedFault(
                f"the name {who} has no address; check the host in url, and DNS"
            )
        family = found[0][0]
        preferred = [one for one in found if one[0] == family]
        others = [one for one in found if one[0] != family]
        in_turn = chain.from_iterable(zip_longest(preferred, others))
        return [one for one in in_turn if one is not None]

    def _looked_up(
        self, host: str, port: int, who: str, deadline: Deadline
    ) -> list[tuple[int, SocketAddress]]:
        """Wait for a lookup, the one that is under way if there is one; raise what the resolver raises."""
        with self._lock:
            answer = self._underway.get((host, port))
            if answer is None:
                answer = self._underway[host, port] = Future()
                self._workers.run(partial(self._answer, host, port, answer))
        while not wait([answer], deadline.slice_s(who)).done:
            pass
        return answer.result()

    def _answer(
        self, host: str, port: int, answer: Future[list[tuple[int, SocketAddress]]]
    ) -> None:
        found: list[tuple[int, SocketAddress]] | OSError | ValueError
        try:
            found = list(self._lookup(host, port))
        except (OSError, ValueError) as error:
            found = error
        with self._lock:
            # Before the answer, or who asks after it would be given it too.
            del self._underway[host, port]
        if isinstance(found, list):
            answer.set_result(found)
        else:
            answer.set_exception(found)


def _parsed(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Return family and socket address of a host that is an address; asks nobody."""
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    return [(family, address) for family, _, _, _, address in found]
