"""The head of an answer, corrected for a strict parser where curl would read it without harm.

A calendar is not lost for a header that nobody looks at.
What would change where the body ends is never guessed: two lengths that differ are a `FeedFault`.
Must not: touch a byte behind the head.
"""

from __future__ import annotations

import re

from syncd.sources.http.fault import FeedFault

_LARGEST = 90_000  # bytes; the reader behind takes a little more
_END = re.compile(rb"\r*\n\r*\n")
_STATUS = re.compile(
    rb"HTTP/([0-9])(?:\.([0-9]))?[ \t]+([0-9]{3})(?![0-9])", re.IGNORECASE
)
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Head:
    """A filter for the bytes of an answer: takes what arrives, and gives on a head that is put right.

    `received` counts all bytes; `is_http`: they begin as an answer does; `ended`: the head is over; `behind`
    counts the bytes behind it, also those that are no longer taken here.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._held = b""
        self.received = 0
        self.behind = 0
        self.is_http = False
        self.ended = False

    def take(self, data: bytes) -> bytes:
        """Take some more bytes (none: the end) and return what can be given on; raise `FeedFault`."""
        self.received += len(data)
        self._held += data
        if not data:
            return self._rest()
        given = b""
        while not self.ended:
            head = self._held.lstrip(b"\r\n")
            if not b"HTTP/".startswith(head[:5].upper()):
                return given + self._rest()
            self.is_http = len(head) >= 5
            end = _END.search(head)
            if end is None or end.start() > _LARGEST:
                if len(head) > _LARGEST:
                    raise FeedFault(
                        f"{self._who} answers with more than {_LARGEST} bytes of headers; "
                        "ask its administrator"
                    )
                self._held = head
                return given
            lines = head[: end.start()]
            self._held = head[end.end() :]
            status = _STATUS.match(lines)
            if status is None:
                self._held = head
                return given + self._rest()
            given += self._put_right(status, lines)
            self.ended = not status[3].startswith(b"1") or status[3] == b"101"
        return given + self._rest()

    def _rest(self) -> bytes:
        self.ended = True
        held, self._held = self._held, b""
        self.behind += len(held)
        return held

    def _put_right(self, status: re.Match[bytes], lines: bytes) -> bytes:
        is_old = status[1] == b"1" and status[2] == b"0"
        version = b"1.0" if is_old else b"1.1"
        fields = _fields(lines)
        framing = self._framing(fields)
        kept = [(name, value) for name, value in fields if name.lower() not in _FRAMING]
        written = b"".join(b"%s: %s\r\n" % field for field in kept + framing)
        return b"HTTP/%s %s Status\r\n%s\r\n" % (version, status[3], written)

    def _framing(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the headers that say where the body ends, each once and in one sense; raise `FeedFault`."""
        codings = [
            coding
            for coding in _listed(fields, b"transfer-encoding")
            if coding not in {b"", b"identity"}
        ]
        others = [coding for coding in codings if coding != b"chunked"]
        # What was done for the way is undone as if it had been done to the calendar, after everything else.
        content = [
            coding for coding in _listed(fields, b"content-encoding") if coding
        ] + others
        framing = [(b"Content-Encoding", b", ".join(content))] if content else []
        lengths = {
            int(text)
            for text in _listed(fields, b"content-length")
            if _LENGTH.fullmatch(text)
        }
        if b"chunked" in codings:
            return [*framing, (b"Transfer-Encoding", b"chunked")]
        if len(lengths) > 1:
            raise FeedFault(
                f"{self._who} gives two lengths for one answer (Content-Length), so nobody knows whether it "
                "is whole; look for a proxy in between, or ask its administrator",
                malformed=True,
            )
        return framing + [(b"Content-Length", b"%d" % length) for length in lengths]


_FRAMING = frozenset({b"transfer-encoding", b"content-encoding", b"content-length"})


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Parse the headers below the status line: drop those without name, join continued ones in one line."""
    fields: list[tuple[bytes, bytes]] = []
    for line in re.split(rb"\r*\n", lines)[1:]:
        if line[:1] in {b" ", b"\t"}:
            if fields:
                name, value = fields[-1]
                fields[-1] = (name, value + b" " + _plain(line))
            continue
        name, colon, value = line.partition(b":")
        if colon and _TOKEN.fullmatch(name.strip()):
            fields.append((name.strip(), _plain(value)))
    return fields


def _plain(value: bytes) -> bytes:
    return _CONTROL.sub(b" ", value).strip()


def _listed(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the members of a list that one or several headers hold, in lower case."""
    members: list[bytes] = []
    for key, value in fields:
        if key.lower() == name:
            members += [member.strip().lower() for member in value.split(b",")]
    return members
