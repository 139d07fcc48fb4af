"""Running the sandbox: in a thread of a test, or in the foreground as a command.

Both are the same server; the command prints its address and credentials first and stops on a signal.
It must be reached directly: the API's headers have underscores, which common proxies drop.
"""

from __future__ import annotations

import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from syncd.sandbox.app import CLOSE_CONNECTION, Application
from syncd.sandbox.control import Control
from syncd.sandbox.faults import Fault, Faults
from syncd.sandbox.gate import RequestCheck
from syncd.sandbox.store import SandboxUnusable, Store
from syncd.sandbox.switches import Switches


@dataclass(frozen=True)
class SandboxSettings:
    """How to run a sandbox.

    `port` 0 takes a free one; without `db` the state is in memory; credentials are those of `db`, else
    random, unless given; `switches` holds what `parse_switch` returned, by name.

    Raises:
        ValueError: a switch is not one, or not of that value.
    """

    host: str = "127.0.0.1"
    port: int = 0
    db: Path | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    faults: tuple[Fault, ...] = ()
    switches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Switches().changed(self.switches)


@dataclass(frozen=True)
class Running:
    """A sandbox that answers at `url`, to clients with these credentials."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)


class Sandbox:
    """A local server that behaves like the meeting reservation API.

    `log` gets one line for each request: method, path without query, code, fault.
    """

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        *,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings or SandboxSettings()
        self._log = log or _discard

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Answer in a thread of its own until the end of the block.

        Raises:
            SandboxUnusable: the address or the database cannot be used.
        """
        settings = self._settings
        with closing(Store(settings.db)) as store:
            with store:
                client_id = store.setting(
                    "client_id", settings.client_id, secrets.token_hex(10)
                )
                client_secret = store.setting(
                    "client_secret", settings.client_secret, secrets.token_hex(16)
                )
            listener = _listen(settings.host, settings.port)
            switches = Switches().changed(settings.switches)
            control = Control(store, switches, Faults(settings.faults))
            server = _Server(
                Application(
                    RequestCheck(client_id, client_secret, store), control, self._log
                )
            )
            thread = threading.Thread(
                target=server.run, args=([listener],), name="sandbox"
            )
            thread.start()
            try:
                host, port = listener.getsockname()[:2]
                shown_host = f"[{host}]" if ":" in host else host
                yield Running(f"http://{shown_host}:{port}", client_id, client_secret)
            finally:
                server.should_exit = True
                thread.join()


def serve(settings: SandboxSettings) -> None:
    """Run in the foreground until SIGINT or SIGTERM.

    The first line on standard output is `url=... client_id=... client_secret=...`; the log goes to
    standard error.

    Raises:
        SandboxUnusable: the address or the database cannot be used.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    former = {
        number: signal.signal(number, on_signal)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with Sandbox(settings, log=_to_standard_error).running() as running:
            sys.stdout.write(
                f"url={running.url} client_id={running.client_id} client_secret={running.client_secret}\n"
            )
            sys.stdout.flush()
            stop.wait()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Protocol(H11Protocol):
    """HTTP/1.1 that lets the application close the connection without an answer."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app = partial(_with_close, self.app, transport.close)


async def _with_close(
    app: ASGIApp, close: Callable[[], None], scope: Scope, receive: Receive, send: Send
) -> None:
    scope[CLOSE_CONNECTION] = close
    await app(scope, receive, send)


class _Server(uvicorn.Server):
    """The HTTP server; tells the application about the stop, so that it ends requests that it holds up."""

    def __init__(self, api: Application) -> None:
        super().__init__(
            uvicorn.Config(
                api.asgi(),
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._api.stop()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections from now on, before anybody is told the address."""
    try:
        # With its protocol named: asyncio sets TCP_NODELAY on no other socket, and each answer took 40 ms.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise _not_listening(host, port, error) from error
    return listener


def _not_listening(host: str, port: int, error: OSError) -> SandboxUnusable:
    return SandboxUnusable(
        f"the sandbox cannot listen on {host} port {port} ({error.strerror}): name a free port"
    )


def _to_standard_error(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _discard(_line: str) -> None:
    """Drop a line of a log that nobody asked for."""
