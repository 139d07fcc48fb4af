"""What stands between a daemon and its database, and between all daemons and the API: a network that can fail.

A cut loses nothing that is on its way: as in TCP, what was sent arrives when the cut is healed, though whoever
sent it may be gone by then.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from tests.conftest import HANG_S

Port = int


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[Port]:
    """A port of which each connection is served by a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        port: int = listener.getsockname()[1]
        yield port
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(HANG_S)


class Gate:
    """Whether what is sent passes."""

    def __init__(self) -> None:
        self._passes = threading.Event()
        self._passes.set()
        self.delay_s = 0.0

    def cut(self) -> None:
        """Let nothing pass, in either direction; nobody is told."""
        self._passes.clear()

    def heal(self) -> None:
        """Let everything pass again, what was sent meanwhile first."""
        self._passes.set()

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes."""
        return not self._passes.is_set()

    def pass_through(self) -> None:
        """Wait until this passes."""
        self._passes.wait()
        if self.delay_s:
            time.sleep(self.delay_s)


# The database


@dataclass
class _Loss:
    """An answer that is to be lost: the one to the first message with `marker` that comes behind `after`."""

    marker: bytes
    after: bytes
    is_lost: threading.Event


class Proxy(Gate):
    """The way of one daemon to the database."""

    def __init__(self, target: Port) -> None:
        super().__init__()
        self.target = target
        self.port = 0
        self._loss: _Loss | None = None
        self._losing: _Loss | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """The way is open while the block lasts."""
        with _listening(self._serve) as self.port:
            try:
                yield self
            finally:
                self.heal()
                self.break_all()

    def break_all(self) -> None:
        """Break all connections, which both sides notice."""
        with self._lock:
            broken = list(self._open)
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def drop_answer_to(
        self, marker: bytes = b"COMMIT\0", after: bytes = b""
    ) -> threading.Event:
        """Carry the next message with `marker` to the server, lose the answer, and break the connection.

        `after`: only if the client sent this since the message before of that kind. Returns what is set when
        the server has answered.
        """
        self._loss = _Loss(marker, after, threading.Event())
        return self._loss.is_lost

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        lost = threading.Event()
        with closing(client), closing(server):
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(
                target=self._back, args=(server, client, lost), daemon=True
            )
            back.start()
            self._forth(client, server, lost)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _forth(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        said = b""
        for piece in _pieces(client):
            self.pass_through()
            said += piece
            loss = self._loss
            if loss is not None and loss.marker in piece:
                if loss.after in said:
                    self._loss, self._losing = None, loss
                    lost.set()
                said = b""
            with suppress(OSError):
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _back(
        self, server: socket.socket, client: socket.socket, lost: threading.Event
    ) -> None:
        for piece in _pieces(server):
            self.pass_through()
            if lost.is_set() and self._losing is not None:
                self._losing.is_lost.set()
                break
            with suppress(OSError):
                client.sendall(piece)
        for one in (client, server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _pieces(source: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            yield piece


# The API


@dataclass
class Letter:
    """A request of the API as it passed.

    `t` is the time that was signed, in milliseconds; `arrived_at` when it went on to the API, by the same clock.
    `code` is what the API answered, 0 for success; None as long as there is no answer, or if there was none.
    """

    number: int
    daemon: str
    method: str
    path: str
    t: int
    arrived_at: int
    code: int | None = None

    @property
    def is_write(self) -> bool:
        """Whether it changes something at the API."""
        return self.method != "GET" and "/token" not in self.path

    @property
    def is_accepted(self) -> bool:
        """Whether it was carried out, or may have been."""
        return self.code in (0, None)


class ApiProxy:
    """The way of all daemons to the API, since all have one configuration; each can be cut off by its name."""

    def __init__(self, url: str) -> None:
        _, _, port = url.rpartition(":")
        self.target = int(port)
        self.url = ""
        self.letters: list[Letter] = []
        self.processes: dict[str, int] = {}
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[ApiProxy]:
        """The way is open while the block lasts."""
        with _listening(self._serve) as port:
            self.url = f"http://127.0.0.1:{port}"
            try:
                yield self
            finally:
                for gate in self._gates.values():
                    gate.heal()

    def gate(self, daemon: str) -> Gate:
        """The way of one daemon."""
        with self._lock:
            return self._gates.setdefault(daemon, Gate())

    def writes(self) -> list[Letter]:
        """The requests that change something and may have done so, as they arrived."""
        with self._lock:
            return [one for one in self.letters if one.is_write and one.is_accepted]

    def _serve(self, client: socket.socket) -> None:
        _, port = client.getpeername()
        _, here = client.getsockname()
        daemon = owner_of(port, here, self.processes)
        gate = self.gate(daemon)
        with contextlib.ExitStack() as stack:
            stack.enter_context(suppress(OSError))
            stack.enter_context(closing(client))
            asked = stack.enter_context(client.makefile("rb"))
            api = socket.create_connection(("127.0.0.1", self.target))
            stack.enter_context(closing(api))
            answered = stack.enter_context(api.makefile("rb"))
            while (message := _message(asked)) is not None:
                gate.pass_through()
                letter = self._note(daemon, message)
                api.sendall(message)
                answer = _message(answered)
                if answer is None:
                    return  # the API hung up
                letter.code = _code_in(answer)
                gate.pass_through()
                client.sendall(answer)

    def _note(self, daemon: str, message: bytes) -> Letter:
        head, _, _ = message.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        t = int(headers.get("t") or 0)
        with self._lock:
            number = len(self.letters)
            letter = Letter(number, daemon, method, path, t, now_ms())
            self.letters.append(letter)
        return letter


def now_ms() -> int:
    """The present, as the API counts."""
    return time.time_ns() // 1_000_000


def _message(stream: BufferedReader) -> bytes | None:
    """A whole message of HTTP/1.1; None at the end."""
    head = b""
    length = 0
    while True:
        line = stream.readline()
        if not line:
            return None
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if line == b"\r\n":
            return head + stream.read(length)


def _code_in(answer: bytes) -> int | None:
    _, _, body = answer.partition(b"\r\n\r\n")
    try:
        envelope = json.loads(body)
    except ValueError:
        return None
    if envelope.get("success"):
        return 0
    code = envelope.get("code")
    return code if isinstance(code, int) else None


def owner_of(port: Port, to: Port, processes: Mapping[str, int]) -> str:
    """Which of some processes has the connection from a port of this machine to another one; empty for none.

    Beside it there may be other ones from the same port, to elsewhere.
    """
    ends = [f":{port:04X}", f":{to:04X}"]
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if [fields[1][-5:], fields[2][-5:]] == ends:
            inode = f"socket:[{fields[9]}]"
    for name, pid in list(processes.items()):
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) == inode:
                        return name
    return ""
