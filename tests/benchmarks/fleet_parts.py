"""The processes of a fleet's benchmark: the server of feeds, the API, and the daemon that is measured.

Each is a child of this process and ends with its context; the daemon's log goes to a file.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx

from syncd.sandbox import Running
from tests.benchmarks import process_tree
from tests.benchmarks.feed_server import AT_ONCE, LOG

_POLL_S = 0.2
_STOP_S = 20.0


class Settled(NamedTuple):
    """How a daemon stood when it had nothing more to do; `at` is of the monotonic clock."""

    at: float
    cpu_s: float


class Rest(NamedTuple):
    """When a daemon counts as resting: it used at most this share of a core for so long."""

    window_s: float
    share: float


class FeedServer:
    """A running server of feeds, as its log shows it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url)

    @property
    def not_modified(self) -> int:
        """How often it answered 304."""
        return int(self._log()["not_modified"])

    def whole(self, name: str = "") -> list[float]:
        """Return when it sent calendars as a whole, all or those of one name."""
        sent = self._log()["whole"]
        return [moment for moment, feed in sent if not name or feed == name]

    def answer_at_once(self) -> None:
        """Let no calendar take a while any longer."""
        self._client.get(AT_ONCE)

    def _log(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(LOG).json()
        return found

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()


@contextmanager
def feed_server(folder: Path, delay_s: float) -> Iterator[FeedServer]:
    """Serve the files of a folder while the context lasts; each takes so long in the mean."""
    command = [sys.executable, "-m", "tests.benchmarks.feed_server", str(folder)]
    command += ["--delay", str(delay_s)]
    with _child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # it is a pipe
        server = FeedServer(process.stdout.readline().strip())
        try:
            yield server
        finally:
            server.close()


class Api:
    """A running sandbox, and when which calls came to it: the moment, the method."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.calls: list[tuple[float, str]] = []

    def moments(self, method: str) -> list[float]:
        """Return when calls with a method were answered."""
        return [at for at, called in self.calls if called == method]

    def follow(self, log: IO[str]) -> None:
        """Take down each call as soon as its line is written, until the log ends."""
        for line in log:
            self.calls.append((time.monotonic(), line.partition(" ")[0]))


@contextmanager
def api() -> Iterator[Api]:
    """Run a sandbox without reservations while the context lasts."""
    command = [sys.executable, "-m", "syncd", "sandbox"]
    with _child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # both are pipes
        assert process.stderr is not None
        said = dict(
            word.split("=", 1) for word in process.stdout.readline().split()
        )  # url, client_id, client_secret
        found = Api(Running(**said))
        thread = threading.Thread(
            target=found.follow, args=(process.stderr,), daemon=True
        )
        thread.start()
        yield found


class Daemon:
    """The daemon that is measured: its CPU is that of its process and of all that descend from it."""

    def __init__(
        self, process: subprocess.Popen[str], configuration: Path, log: Path
    ) -> None:
        self.log = log
        self.pid = process.pid
        self._process = process
        self._configuration = configuration

    @property
    def cpu_s(self) -> float:
        """Seconds of processors that it used until now."""
        return process_tree.cpu_s(self.pid)

    @property
    def log_bytes(self) -> int:
        """Bytes that it logged until now."""
        return self.log.stat().st_size

    @property
    def left(self) -> int | None:
        """How many changes its last cycle left to the next one, as logged; None before its first cycle."""
        last = None
        for line in self.log.read_text().splitlines():
            if '"event": "cycle"' in line:
                last = int(json.loads(line)["left"])
        return last

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def until(self, true: Callable[[], bool], what: str, patience_s: float) -> None:
        """Wait until something is so; raise `RuntimeError` if it does not become so, or the daemon ended."""
        deadline = time.monotonic() + patience_s
        while not true():
            if self._process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self._process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {patience_s:.0f} s not yet {what}")
            time.sleep(_POLL_S)

    def settled(self, patience_s: float, rest: Rest) -> Settled:
        """Wait until it rests; return how it stood at the beginning of that."""
        deadline = time.monotonic() + patience_s
        while True:
            before = Settled(time.monotonic(), self.cpu_s)
            time.sleep(rest.window_s)
            if self.cpu_s - before.cpu_s <= rest.share * rest.window_s:
                return before
            if self._process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self._process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {patience_s:.0f} s it is still busy")

    def status(self) -> dict[str, Any]:
        """Return the document of `status --json`, asked by another process."""
        command = program(self._configuration, "status", "--json")
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        found: dict[str, Any] = json.loads(asked.stdout)
        return found


@contextmanager
def daemon(configuration: Path, log: Path) -> Iterator[Daemon]:
    """Run the daemon while the context lasts, with its log in a file."""
    with (
        log.open("w") as written,
        _child(program(configuration, "run"), stderr=written) as process,
    ):
        yield Daemon(process, configuration, log)


def program(configuration: Path, *arguments: str) -> list[str]:
    """Return how the program is run with a configuration."""
    return [sys.executable, "-m", "syncd", "--config", str(configuration), *arguments]


@contextmanager
def _child(
    command: list[str],
    *,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a process while the context lasts; one that does not stop is killed."""
    process = subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
