"""The standard streams of the process, through which all text leaves for whoever reads it.

`begin` puts streams of ours in the place of `sys.stdout` and `sys.stderr`, so that whoever prints comes here.
Promises: printing never raises, whatever is behind a stream (nothing, a full disk, a reader that is gone, any
encoding); what an encoding cannot show is replaced; control characters and the like are shown and not obeyed.
Standard output waits for its reader, as programs do. Standard error never waits: a thread writes it, and what
nobody reads is lost beyond a bound, counted, and said when it is read again.
The descriptors are left as they are: O_NONBLOCK would be shared with the shell that started this process.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import errno
import functools
import io
import os
import re
import select
import sys
import threading
from collections.abc import Callable

from syncd.core.visible import json_text, visible, visible_lines

_OUTPUT, _ERRORS = 1, 2  # descriptors
_KEPT_BYTES = 1 << 16  # of standard output before they are written
_QUEUED_BYTES = 1 << 20  # of standard error that wait for a reader
_WRITTEN_AT_ONCE = (
    4096  # PIPE_BUF of Linux: what is not longer is not mixed with the lines of others
)
_LAST_LINES_S = 1.0  # for what is queued at the end of the process
_UNASKED_WIDTH = 160  # columns where no terminal says how many there are
_LEAST_WIDTH, _GREATEST_WIDTH, _USUAL_WIDTH = 20, 9999, 80

# What a terminal is told by the libraries that draw on it: colours, and moves of the cursor.
_DRAWING = re.compile("(\x1b\\[[0-9;?]*[A-Za-z]|\r)")

# By the least level of `logging`; the numbers are those of syslog.
_ERROR = 40
_PRIORITIES = ((50, "<2>"), (_ERROR, "<3>"), (30, "<4>"), (20, "<6>"))
_LOWEST_PRIORITY = "<7>"

# Signs of ours that have a likeness in every encoding.
_LIKENESS = {
    "…": "...",
    "–": "-",
    "—": "-",
    "→": "->",
    "’": "'",
    "“": '"',
    "”": '"',
    "•": "*",
    "━": "-",
}


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return the likeness of characters that an encoding lacks, and their end (`codecs.register_error`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    shown = [
        _LIKENESS.get(character) or visible(_escape(character)) for character in missing
    ]
    return "".join(shown), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


_REPLACED = "syncd.replaced"
codecs.register_error(_REPLACED, _replaced)


class Stream(io.TextIOBase):
    """A standard stream that takes any text; `give` gets the bytes and must not raise.

    `drawn` is the same stream for libraries that draw on a terminal.
    """

    def __init__(
        self,
        descriptor: int,
        encoding: str,
        give: Callable[[bytes], None],
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._give = give
        self._flush = flush
        self.drawn = _Drawn(self)

    def write(self, text: str) -> int:
        """Write a text in which only line ends keep their effect."""
        self.write_drawn(visible_lines(text))
        return len(text)

    def write_drawn(self, text: str) -> None:
        """Write a text as it is; its unknown parts have been made visible before."""
        self._give(text.encode(self._encoding, _REPLACED))

    def flush(self) -> None:
        """Hand over what the stream keeps."""
        self._flush()

    def shown(self, text: str) -> str:
        """Return a text of a stranger, one line, as it will stand there, so that it can be measured."""
        text = visible(text)
        if text.isascii() or self.is_unicode:
            return text
        return text.encode(self._encoding, _REPLACED).decode(self._encoding)

    @property
    def is_unicode(self) -> bool:
        """Return whether every character has a place in the encoding."""
        return self._encoding.startswith("utf")

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a variable where Python has a property
        """Return the name of the encoding."""
        return self._encoding

    @property
    def buffer(self) -> _Bytes:
        """Return the same stream for who writes bytes."""
        return _Bytes(self)

    def priority(self, level: int) -> str:
        """Return the mark of a line of some level, as `logging` counts them, empty if no journal reads it.

        It is that of sd-daemon(3), by which `journalctl --priority` finds the line.
        """
        if not self._is_read_by_journal:
            return ""
        for least, mark in _PRIORITIES:
            if level >= least:
                return mark
        return _LOWEST_PRIORITY

    @functools.cached_property
    def _is_read_by_journal(self) -> bool:
        """Return whether it is the stream that systemd made for its journal (JOURNAL_STREAM, systemd.exec(5))."""
        device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return False
        return (device, inode) == (str(status.st_dev), str(status.st_ino))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether a terminal shows it."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True


class _Drawn(io.TextIOBase):
    """A stream on which the sequences of drawing libraries keep their effect, and no others."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        parts = _DRAWING.split(text)
        parts[::2] = [visible_lines(part) for part in parts[::2]]
        self._stream.write_drawn("".join(parts))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as above
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True


class _Bytes(io.RawIOBase):
    """A stream for bytes, which are text in UTF-8 to everybody who writes some."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: object) -> int:
        given = bytes(data)  # type: ignore[call-overload]  # any buffer
        self._stream.write(given.decode(errors="replace"))
        return len(given)

    def writable(self) -> bool:
        return True


class Results:
    """The writer of standard output: keeps bytes until they are many or `flush`, then waits for the reader.

    `failure` is why something could not be written, None if all was; a reader that went away is no failure.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept = bytearray()
        self._broken = False
        self.failure: OSError | None = None

    def give(self, data: bytes) -> None:
        """Take bytes, and write all that is kept when it is much."""
        if self._broken:
            return
        self._kept += data
        if len(self._kept) > _KEPT_BYTES or os.isatty(self._descriptor):
            self.flush()

    def flush(self) -> None:
        """Write what is kept, waiting for the reader; note a failure in `failure`."""
        data = bytes(self._kept)
        self._kept = bytearray()
        try:
            while data and not self._broken:
                written = _write_some(self._descriptor, data)
                data = data[written:]
        except OSError as error:
            self._broken = True
            if error.errno != errno.EPIPE:
                self.failure = error


class Lines:
    """The writer of standard error: queues bytes for a thread that writes, so that nobody waits for a reader.

    `notice` makes the line that says how many were lost.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._queue = bytearray()
        self._lost = 0  # lines since the last notice
        self._busy = False
        self._inside = False  # a line that was begun and not finished
        self._writer: threading.Thread | None = None
        self.notice: Callable[[int], str] = _plain_notice

    def give(self, data: bytes) -> None:
        """Queue bytes, or count their lines as lost when too many wait already."""
        with self._changed:
            if len(self._queue) + len(data) > _QUEUED_BYTES:
                self._lost += _lines_in(data)
                return
            self._queue += data
            self._start()
            self._changed.notify_all()

    def finish(self, seconds: float = _LAST_LINES_S) -> None:
        """Wait until all that is queued is written, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._queue or self._busy), seconds)

    def _start(self) -> None:
        """Start the thread; where none can be started, write what fits without waiting."""
        if self._writer is not None:
            return
        writer = threading.Thread(
            target=self._write, name="standard error", daemon=True
        )
        try:
            writer.start()
            atexit.register(self.finish)
        except RuntimeError:
            data = bytes(self._queue[:_WRITTEN_AT_ONCE])
            self._queue.clear()
            _, writable, _ = select.select([], [self._descriptor], [], 0)
            if writable:
                with contextlib.suppress(OSError):
                    os.write(self._descriptor, data)
        else:
            self._writer = writer

    def _write(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue)
                data = bytes(self._queue)
                lost = self._lost
                self._queue.clear()
                self._lost = 0
                self._busy = True
            unwritten = self._written(data)
            if not unwritten and lost:
                notice = visible_lines(self.notice(lost))
                told = notice.encode("ascii", _REPLACED)
                # What is left of a notice is not counted as a line of its own.
                unwritten = lost if self._written(told) else 0
            elif unwritten:
                unwritten += lost
            if unwritten:
                with self._changed:
                    self._lost += unwritten

    def _written(self, data: bytes) -> int:
        """Write bytes, however long the reader takes; return how many lines could not be written at all."""
        if self._inside:
            data = b"\n" + data  # behind a line that an error cut off
        position = 0
        try:
            while position < len(data):
                end = _end_of_lines(data, position)
                position += _write_some(self._descriptor, data[position:end])
        # A full disk, or no reader: both may be otherwise the next time.
        except OSError:
            if position:
                self._inside = data[position - 1 : position] != b"\n"
            return _lines_in(data[position:])
        self._inside = False
        return 0


def _end_of_lines(data: bytes, position: int) -> int:
    """Return where the last line ends that can be written at once, or where a longer one is cut."""
    most = position + _WRITTEN_AT_ONCE
    if most >= len(data):
        return len(data)
    return (data.rfind(b"\n", position, most) + 1) or most


def _lines_in(data: bytes) -> int:
    return max(1, data.count(b"\n"))


def _plain_notice(count: int) -> str:
    lines = "1 line was" if count == 1 else f"{count} lines were"
    return f"{lines} lost, because nobody read them.\n"


def _write_some(descriptor: int, data: bytes) -> int:
    """Write as much as is taken now and return how much; waits also where others made it non-blocking."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def _encoding_of(stream: object) -> str:
    """Return the encoding that the environment asks for, as Python understood it.

    Where LC_ALL says C or POSIX Python takes UTF-8 by itself; whoever said so has a terminal of ASCII.
    """
    encoding, _, _ = os.environ.get("PYTHONIOENCODING", "").partition(":")
    is_named = bool(encoding) or os.environ.get("PYTHONUTF8") == "1"
    if os.environ.get("LC_ALL") in ("C", "POSIX") and not is_named:
        return "ascii"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name


results = Results(_OUTPUT)
lines = Lines(_ERRORS)
output = Stream(_OUTPUT, _encoding_of(sys.__stdout__), results.give, results.flush)
errors = Stream(_ERRORS, _encoding_of(sys.__stderr__), lines.give)


def take_over() -> None:
    """Put these streams in the place of Python's; from now on all that is printed passes them."""
    if sys.stdout is output:
        return
    sys.stdout = output
    sys.stderr = errors
    for name in ("COLUMNS", "LINES"):
        # What cannot be a size is as if nothing was said; libraries take it at its word.
        if name in os.environ and not _is_size(os.environ[name]):
            del os.environ[name]


def _is_size(text: str) -> bool:
    return (
        text.isascii()
        and text.isdigit()
        and _LEAST_WIDTH <= int(text[:9]) <= _GREATEST_WIDTH
    )


def width() -> int:
    """Return how many columns standard output has: those of COLUMNS, else of the terminal, else many."""
    if _is_size(os.environ.get("COLUMNS", "")):
        return int(os.environ["COLUMNS"])
    if not output.isatty():
        return _UNASKED_WIDTH
    with contextlib.suppress(OSError):
        columns = os.get_terminal_size(_OUTPUT).columns
        if _LEAST_WIDTH <= columns <= _GREATEST_WIDTH:
            return columns
    return _USUAL_WIDTH


def say(sentence: str) -> None:
    """Print a result of one line."""
    output.write(visible(sentence) + "\n")


def say_lines(text: str) -> None:
    """Print a result of several lines, each with its end."""
    output.write(text)


def say_json(document: object) -> None:
    """Print a result for programs."""
    output.write_drawn(
        json_text(document, ascii_only=not output.is_unicode, indent=2) + "\n"
    )


def complain(sentence: str) -> None:
    """Print one line to standard error."""
    errors.write(f"{errors.priority(_ERROR)}{visible(sentence)}\n")
