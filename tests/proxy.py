"""A proxy before a server, which a test lets lose what a network loses: the answer to one message."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_ENDS = (b"COMMIT\0", b"ROLLBACK\0")  # of a transaction of PostgreSQL


class LossyProxy:
    """Passes bytes between clients and a server on this machine, on the port `port`."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._after = b""
        self._message = b""
        self._passes_on = True
        self.dropped = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def drop(self, message: bytes, *, after: bytes = b"", passes_on: bool) -> None:
        """Break the connection at the next message with these bytes, if others were seen in its transaction.

        `passes_on`: the server gets the message, and its answer is what is lost.
        """
        self.dropped.clear()
        self._passes_on = passes_on
        self._after = after
        self._message = message

    def close(self) -> None:
        """Take no more connections, and break those that are there."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open.append(one)
                self._begin(self._serve, client, server)

    def _begin(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on both ways until both have ended."""
        back = self._begin(self._pump, server, client, False)
        self._pump(client, server, True)
        back.join()
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        """Pass on what comes from one side until it ends."""
        seen = False
        with suppress(OSError):
            while data := source.recv(1 << 16):
                seen = seen or self._after in data
                if asks and seen and self._message and self._message in data:
                    self._message = b""
                    # No answer comes back, whatever the server says.
                    source.shutdown(socket.SHUT_RDWR)
                    if self._passes_on:
                        target.sendall(data)
                    self.dropped.set()
                    break
                target.sendall(data)
                if any(end in data for end in _ENDS):
                    seen = False
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_WR)
