"""The server of the page: it listens where the configuration in force says, and goes on until it is told to stop.

Promises: an address that cannot be had is tried again every few seconds, and ends nothing else.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog
import uvicorn

from syncd.config.network import url_of
from syncd.ledger import LedgerAddress
from syncd.web.app import PageApplication
from syncd.web.asked import Present
from syncd.web.connections import PageConnection
from syncd.web.reader import LedgerReader

log = structlog.get_logger(__name__)

Address = tuple[str, int]

_TRY_AGAIN_S = 10.0
_GRACE_S = 2  # for answers under way when it ends
_BACKLOG = 64


class PageServer:
    """Serves the ledger at a database URL, in the thread that calls `run`.

    `present` tells how the daemon is at the moment, from any thread.
    `tell` is called with a clause that says why the page cannot be reached, empty as soon as it can.
    """

    def __init__(
        self,
        address: LedgerAddress,
        present: Callable[[], Present],
        tell: Callable[[str], object],
    ) -> None:
        self._address = address
        self._present = present
        self._tell = tell
        self._complaint = ""
        # Set for a moment: something is to be done otherwise.
        self._changed = threading.Event()
        self._is_over = False
        self._serving: _Server | None = None

    def run(self) -> None:
        """Serve until `stop`."""
        reader = LedgerReader(self._address)
        try:
            while not self._is_over:
                self._changed.clear()
                try:
                    self._serve_once(PageApplication(reader, self._present))
                except Exception as error:  # what goes wrong once need not again
                    log.critical(
                        "defect of syncd; please report this line", exc_info=error
                    )
                    name = type(error).__name__
                    self._complaint = f"page is not served (a defect of syncd, {name})"
                    self._tell(self._complaint)
                    self._changed.wait(_TRY_AGAIN_S)
        finally:
            reader.close()

    def follow(self) -> None:
        """Listen where the configuration says that is in force now; may be called from any thread."""
        self._changed.set()
        serving = self._serving
        if serving is not None:
            serving.look_again()

    def stop(self) -> None:
        """Let `run` come to its end; may be called from any thread."""
        self._is_over = True
        self.follow()

    def _serve_once(self, application: PageApplication) -> None:
        """Serve at one address until it is another one, or wait until it is worth to try again."""
        address = self._present().config.web.address
        if address is None:
            self._say("")
            self._changed.wait()
            return
        try:
            listener = listening(address)
        except OSError as error:
            self._say(not_served(address, error))
            self._changed.wait(_TRY_AGAIN_S)
            return
        self._say("")
        log.info("page served", message=f"The page is at {url_of(*address)}.")
        server = _Server(application, lambda: self._is_done(address))
        self._serving = server
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            self._serving = None
            with suppress(OSError):
                listener.close()

    def _is_done(self, address: Address) -> bool:
        return self._is_over or self._present().config.web.address != address

    def _say(self, complaint: str) -> None:
        """Tell why the page cannot be reached, each reason once."""
        if complaint == self._complaint:
            return
        self._complaint = complaint
        if complaint:
            log.warning(
                "page not served",
                message=f"The {complaint}; it is tried again every {_TRY_AGAIN_S:.0f} s.",
            )
        self._tell(complaint)


class _Server(uvicorn.Server):
    """The HTTP server, which sleeps until there is something to answer, or it is told to look again."""

    def __init__(
        self, application: PageApplication, is_done: Callable[[], bool]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application.asgi(),
                http=PageConnection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,  # it would be that of the start
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._is_done = is_done
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """Ask soon whether it is done; may be called from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it ended just now
                loop.call_soon_threadsafe(self._look.set)

    async def main_loop(self) -> None:
        """Wait until it is done; connections are answered meanwhile."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_defect)
        while not self._is_done():
            await self._look.wait()
            self._look.clear()


def _log_defect(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what went wrong with a connection; such as that there was no descriptor left for it."""
    error = context.get("exception")
    log.warning("page connection failed", exc_info=error)


def listening(address: Address) -> socket.socket:
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


def not_served(address: Address, error: OSError) -> str:
    """Return a clause that says why the page is not served."""
    reason = (error.strerror or type(error).__name__).lower()
    return f"page is not served at {url_of(*address)} ({reason})"
