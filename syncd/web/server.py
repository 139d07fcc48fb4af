"""The server of the page, on a thread of its own; it listens as the configuration in force says.

Promises: an address that cannot be had is tried again every few seconds, and never ends anything else.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import structlog
import uvicorn

from syncd.web.app import PageApplication
from syncd.web.asked import Present
from syncd.web.reader import LedgerReader

log = structlog.get_logger(__name__)

_TRY_AGAIN_S = 10.0
_GRACE_S = 2  # for answers under way when it ends
_BACKLOG = 64


class PageServer:
    """The page of a daemon, served while the context lasts.

    `present` tells how the daemon is at the moment, from any thread.
    `complaint` says why the page cannot be reached, empty when it can or is off.
    """

    def __init__(self, url: str, present: Callable[[], Present]) -> None:
        self._present = present
        self._reader = LedgerReader(url)
        self._application = PageApplication(self._reader, present)
        self._changed = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._served: tuple[str, int] | None = None
        self.complaint = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self.follow()
        self._thread.join()
        self._reader.close()

    def follow(self) -> None:
        """Listen as the configuration says that is in force from now on."""
        self._changed.set()

    @property
    def address(self) -> tuple[str, int] | None:
        """Return where it listens; None if it does not."""
        return self._served

    def _run(self) -> None:
        while not self._over:
            self._changed.clear()
            wanted = self._present().config.web.address
            if wanted is None:
                self.complaint = ""
                self._changed.wait()
                continue
            listener = self._listener(wanted)
            if listener is None:
                self._changed.wait(_TRY_AGAIN_S)
                continue
            self._serve(listener, wanted)

    def _listener(self, address: tuple[str, int]) -> socket.socket | None:
        """Return a socket that accepts connections, None where the address cannot be had."""
        try:
            listener = listening(address)
        except OSError as error:
            complaint = f"page not served at {told_address(address)} ({error.strerror})"
            if complaint != self.complaint:
                log.warning(
                    "page not served",
                    message=f"The page cannot be served at {told_address(address)} ({error.strerror}); "
                    "it is tried again every 10 s.",
                )
            self.complaint = complaint
            return None
        self.complaint = ""
        return listener

    def _serve(self, listener: socket.socket, address: tuple[str, int]) -> None:
        """Serve until the address is another one, or the server ends."""
        server = uvicorn.Server(
            uvicorn.Config(
                self._application.asgi(),
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        log.info("page served", message=f"The page is at {told_address(address)}.")
        self._served = address
        try:
            asyncio.run(self._served_until_changed(server, listener, address))
        finally:
            self._served = None
            with suppress(OSError):
                listener.close()

    async def _served_until_changed(
        self, server: uvicorn.Server, listener: socket.socket, address: tuple[str, int]
    ) -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not serving.done():
            await asyncio.sleep(0.2)
            if self._over or self._present().config.web.address != address:
                server.should_exit = True
        await serving


def listening(address: tuple[str, int]) -> socket.socket:
    """Return a socket that accepts connections from now on; raises OSError."""
    host, port = address
    # With its protocol named: asyncio sets TCP_NODELAY on no other socket.
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def told_address(address: tuple[str, int]) -> str:
    """Return where the page is, for people."""
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
