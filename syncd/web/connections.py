"""The connections of the page: few at a time, and none that keeps its place without asking anything.

The daemon has a number of descriptors for its work, and whoever can reach the page must not take them all.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from syncd.web.headers import SAFE

_MOST = 64  # connections
_HEAD_S = 10.0  # that a client may take to say what it asks for


class PageConnection(H11Protocol):
    """HTTP/1.1 with bounds that uvicorn does not have."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._began = time.monotonic()
        self._too_slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a place, if need be from the connection that has kept one for longest."""
        super().connection_made(transport)
        self._expect_request()
        if len(self.connections) > _MOST:
            _last_worth(self.connections).drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a request has to be whole in time."""
        super().data_received(data)
        if self.is_busy:
            self._expect_nothing()
        elif self._too_slow is None:
            self._expect_request()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the headers of every answer."""
        headers = [(name.encode(), value.encode()) for name, value in SAFE.items()]
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        headers.append((b"connection", b"close"))
        answer = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=f"{msg}\n".encode()),
            h11.EndOfMessage(),
        )
        for event in answer:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def is_busy(self) -> bool:
        """Return whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def age_s(self) -> float:
        """Return how long it has kept its place."""
        return time.monotonic() - self._began

    def drop(self) -> None:
        """End it without a word."""
        self.transport.abort()

    def _expect_request(self) -> None:
        loop = asyncio.get_running_loop()
        self._too_slow = loop.call_later(_HEAD_S, self.drop)

    def _expect_nothing(self) -> None:
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None


def _last_worth(connections: Any) -> PageConnection:
    """Return the connection to be dropped for a new one: of those that ask nothing the oldest, else of all."""

    def worth(connection: PageConnection) -> tuple[bool, float]:
        return connection.is_busy, -connection.age_s

    found: PageConnection = min(connections, key=worth)
    return found
