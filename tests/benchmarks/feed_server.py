"""A server of feeds in a process of its own: `python -m tests.benchmarks.feed_server DIR`.

Answers GET for the files of a folder over kept connections, with a strong ETag and 304, and says under
`/-/log` what it sent; the first line on standard output is its URL.
A whole calendar takes a while, as with servers that have to make it first: `--delay` seconds in the mean,
each calendar its own time, so that they do not arrive all at once; after GET `/-/at-once` none.
On asyncio's own protocol classes, because the server of the standard library starts a thread for each
connection and takes longer for a 304 than the clients that are measured here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

LOG = "/-/log"
AT_ONCE = "/-/at-once"
_MOST_HEAD = 65536  # bytes of a request


@dataclass
class Sent:
    """What a server answered: how often 304, and each whole calendar with its moment (CLOCK_MONOTONIC).

    A calendar takes `delay_s` in the mean, from the next request on.
    """

    delay_s: float = 0.0
    connections: int = 0
    not_modified: int = 0
    whole: list[tuple[float, str]] = field(default_factory=list)

    def document(self) -> bytes:
        """Return all of it as JSON."""
        return json.dumps(vars(self)).encode()


class FeedProtocol(asyncio.Protocol):
    """One connection: answers request after request until the client closes it."""

    def __init__(self, folder: Path, sent: Sent) -> None:
        self._folder = folder
        self._sent = sent
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)  # of a TCP server
        self._transport = transport
        self._sent.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there as a whole."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._answer(head.decode("latin-1"))
        if len(self._received) > _MOST_HEAD:
            self._transport.close()

    def _answer(self, head: str) -> None:
        """Answer a request, at once or after the time that its calendar takes."""
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0]
        if method != "GET":
            self._say(_head("405 Method Not Allowed", 0))
            return
        if path == AT_ONCE:
            self._sent.delay_s = 0.0
        if path in {LOG, AT_ONCE}:
            told = self._sent.document()
            self._say(_head("200 OK", len(told)), told)
            return
        file = self._folder / path.lstrip("/")
        try:
            found = file.stat()
        except OSError:
            self._say(_head("404 Not Found", 0))
            return
        if _etag(found) in _condition(lines):
            self._sent.not_modified += 1
            self._say(_head("304 Not Modified", None, _etag(found)))
            return
        loop = asyncio.get_running_loop()
        delay_s = 2 * self._sent.delay_s * zlib.crc32(path.encode()) / 2**32
        loop.call_later(delay_s, self._send_whole, file)

    def _send_whole(self, file: Path) -> None:
        """Send a calendar as it is now."""
        etag = _etag(file.stat())
        calendar = file.read_bytes()
        self._sent.whole.append((time.monotonic(), file.name))
        self._say(_head("200 OK", len(calendar), etag), calendar)

    def _say(self, head: bytes, body: bytes = b"") -> None:
        self._transport.write(head + body)


def _etag(found: os.stat_result) -> str:
    return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'


def _condition(lines: list[str]) -> tuple[str, ...]:
    """Return the tags of If-None-Match."""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "if-none-match":
            return tuple(tag.strip() for tag in value.split(","))
    return ()


def _head(status: str, length: int | None, etag: str = "") -> bytes:
    """Return the head of an answer; a 304 says no length, because it has no body (RFC 9110, 15.4.5)."""
    lines = [f"HTTP/1.1 {status}"]
    if length is not None:
        lines += [f"Content-Length: {length}", "Content-Type: text/calendar"]
    if etag:
        lines.append(f"ETag: {etag}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def serve(folder: Path, delay_s: float) -> None:
    """Say the URL and answer until the process is ended."""
    sent = Sent(delay_s)
    server = await asyncio.get_running_loop().create_server(
        lambda: FeedProtocol(folder, sent), "127.0.0.1", 0, backlog=1024
    )
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve the folder that the argument names."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.feed_server")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    wanted = parser.parse_args()
    asyncio.run(serve(wanted.folder, wanted.delay))


if __name__ == "__main__":
    main()
