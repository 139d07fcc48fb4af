"""What many calendars cost: `python -m tests.benchmarks fleet`.

For each number of feeds, of 500 events each, the daemon as people run it: its first booking of all of them,
its memory, looks that find nothing, and edits of one calendar while all the others are booked for the first
time. The feeds come from a server, and the API is a sandbox, each in a process of its own; only what the
daemon and its children use is counted.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks import process_tree
from tests.benchmarks.fleet_parts import (
    Api,
    Daemon,
    FeedServer,
    Rest,
    Settled,
    api,
    daemon,
    feed_server,
)
from tests.benchmarks.generator import PEOPLE, Archive, Edit
from tests.benchmarks.office import set_rules


class Effort(NamedTuple):
    """How much is measured: `events` in each calendar, seconds, looks with SIGUSR1, edits at most."""

    events: int = 500
    alone_s: float = 120.0
    idle_s: float = 60.0
    looks: int = 1000
    edits: int = 12


USUAL = Effort()

FEEDS, FILES, DIRECTORY = "feeds", "files", "directory"
"""Kinds of sources: a feed each, a file each, or all of them in one directory."""

LOOKS_A_SECOND = 1000 / 300
"""At sources: as many as 1,000 with an interval of 5 minutes have, whatever the number of calendars.

With so many something comes in between at any moment, and few are to be no easier than that.
"""

QUIET_INTERVAL_S = 300
"""The interval for which the share of a core is told."""

_UNKNOWN = process_tree.Memory(0, 0)
_EDITED = "edited"
_LONG = "240h"  # an interval in which no look comes by itself
_ROUNDS = (2, 20)  # of looks at all at once: the fewest and the most
_ANSWERED_AFTER_S = 1.0
_RESCAN_S = 10  # between two looks at a directory
_EDITS_AT_REST = 4
_LULL_S = 10.0  # without a create: the first booking is over
_RESTING = Rest(window_s=2.0, share=0.15)
_BETWEEN_ROUNDS = Rest(window_s=0.5, share=0.1)
_READ = {"read", "unchanged"}  # states of sources
_UNFINISHED = {"waiting", "sending", "cancelling"}  # states of bookings
_PATIENCE_S, _PATIENCE_A_FEED_S = 120.0, 3.0

_CONFIGURATION = """mode = "full"
[calendar]
timezone = "Europe/Berlin"
[api]
endpoint = "{url}"
client_id = "{client_id}"
client_secret = {{ file = "tuya-secret" }}
requests_per_second = 100
monthly_calls = 0
[schedule]
interval = "{interval}"
drift_check = "30d"
[reservation]
creator = "3"
instance = "hq"
[people]
file = "people.csv"
"""


@dataclass
class Figures:
    """What one number of calendars took: CPU in seconds, memory in bytes, the rest as it is named.

    `looked` and `later_peak` are of the end of all looks; `rest_edits` are those of files at rest.
    """

    feeds: int
    kind: str
    meetings: int = 0
    booking_cpu_s: float = 0.0
    booking_wall_s: float = 0.0
    booking_log_bytes: int = 0
    state_bytes: int = 0
    rest: process_tree.Memory = _UNKNOWN
    peak: process_tree.Memory = _UNKNOWN
    idle_share: float = 0.0
    looked: process_tree.Memory = _UNKNOWN
    later_peak: process_tree.Memory = _UNKNOWN
    rest_edits_s: list[float] = field(default_factory=list)
    rest_edits_cpu_s: float = 0.0
    together_looks: int = 0
    together_s: float = 0.0
    together_log_bytes: int = 0
    alone_looks: int = 0
    alone_s: float = 0.0
    alone_wall_s: float = 0.0
    alone_log_bytes: int = 0
    bare_s: float | None = None
    edits_s: list[float] = field(default_factory=list)

    @property
    def meeting_s(self) -> float:
        """CPU of the first booking for each meeting."""
        return self.booking_cpu_s / self.meetings

    @property
    def alone_net_s(self) -> float:
        """CPU of a look that comes alone, without what the daemon uses in that time anyway."""
        anyway_s = self.idle_share * self.alone_wall_s / self.alone_looks
        return max(0.0, self.alone_s - anyway_s)

    @property
    def quiet_share(self) -> float:
        """Share of a core at the usual interval: that without looks, and each look as if it came alone."""
        return self.idle_share + self.feeds / QUIET_INTERVAL_S * self.alone_net_s

    @property
    def edit_s(self) -> tuple[float, float] | None:
        """Seconds from the look that brought an edit to its call: the median and the worst."""
        return (median(self.edits_s), max(self.edits_s)) if self.edits_s else None


def measure(
    folder: Path,
    sizes: Sequence[int],
    kind: str,
    now: datetime,
    say: Callable[[str], None],
    effort: Effort = USUAL,
) -> Iterator[Figures]:
    """Yield the figures for each number of calendars, as soon as they are there."""
    fleet = Fleet(folder, max(sizes), kind, now, effort)
    say(f"writing {max(sizes)} calendars")
    fleet.write()
    try:
        for size in sizes:
            figures = Figures(size, kind)
            say(f"{size} {kind}: booking")
            _book_and_look(fleet, figures, say)
            _edit_beside(fleet, figures, say)
            yield figures
    finally:
        fleet.clear()


class Fleet:
    """The calendars, and a folder with configuration and state for each daemon."""

    def __init__(
        self, folder: Path, most: int, kind: str, now: datetime, effort: Effort
    ) -> None:
        self.effort = effort
        self.folder = folder.absolute()
        self.kind = kind
        self.calendars = self.folder / "calendars"
        self.archives = [
            Archive(effort.events, now, seed=number, name=f"f{number}")
            for number in range(most)
        ]
        self.edited = Archive(USUAL.events, now, seed=most, name=_EDITED)

    def write(self) -> None:
        """Write every calendar."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.calendars.mkdir(parents=True)
        for archive in (*self.archives, self.edited):
            archive.write(self.file_of(archive.name))

    def clear(self) -> None:
        """Remove what only the measuring needs; logs and figures stay."""
        shutil.rmtree(self.calendars)

    def interval_s(self, size: int) -> int:
        """Return the interval with which so many sources have `LOOKS_A_SECOND`; that of a directory is short."""
        if self.kind == DIRECTORY:
            return _RESCAN_S
        return max(1, round(size / LOOKS_A_SECOND))

    def file_of(self, name: str) -> Path:
        """Return the file of a calendar."""
        return self.calendars / f"{name}.ics"

    @contextmanager
    def server(self) -> Iterator[FeedServer | None]:
        """Serve the calendars, if they are feeds."""
        if self.kind != FEEDS:
            yield None
            return
        with feed_server(self.calendars, _ANSWERED_AFTER_S) as server:
            yield server

    def office(
        self, name: str, size: int, running: Api, server: FeedServer | None
    ) -> Office:
        """Return a new folder for a daemon of so many calendars."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Office(folder, self, size, running, server)


class Office:
    """The folder of one daemon, with its configuration and its state."""

    def __init__(
        self,
        folder: Path,
        fleet: Fleet,
        size: int,
        running: Api,
        server: FeedServer | None,
    ) -> None:
        self.folder = folder
        self.configuration = folder / "syncd.toml"
        self._fleet = fleet
        self._archives = fleet.archives[:size]
        self._api = running.running
        self._server = server
        secret = folder / "tuya-secret"
        secret.touch(mode=0o600)
        secret.write_text(self._api.client_secret)
        people = "".join(f"{person.address},{person.user_id}\n" for person in PEOPLE)
        (folder / "people.csv").write_text("address,user_id\n" + people)
        set_rules(self._api)

    @property
    def urls(self) -> list[str]:
        """The URL of every feed; none where there is no server."""
        if self._server is None:
            return []
        return [f"{self._server.url}/{archive.name}.ics" for archive in self._archives]

    def configure(
        self, interval: str, *, others: bool = True, edited: bool = False
    ) -> None:
        """Write the configuration, for the calendar that is edited and for all others or without these."""
        archives = [*self._archives, self._fleet.edited]
        parts = [
            _CONFIGURATION.format(
                url=self._api.url, client_id=self._api.client_id, interval=interval
            )
        ]
        for archive in archives:
            parts += [
                f'[[rooms]]\nid = "{room.id}"\nname = "{room.name}"\n'
                f'addresses = ["{room.address}"]\n'
                for room in archive.rooms
            ]
        if edited:
            parts.append(self._source(_EDITED) + 'interval = "1s"\n')
        if others and self._fleet.kind == DIRECTORY:
            parts.append(self._directory())
        elif others:
            parts += [self._source(archive.name) for archive in self._archives]
        new = self.configuration.with_suffix(".new")
        new.write_text("".join(parts))
        new.rename(self.configuration)

    def _source(self, name: str) -> str:
        """Return the table of one calendar."""
        if self._server is None:
            return (
                f'[[sources]]\nname = "{name}"\npath = "{self._fleet.file_of(name)}"\n'
            )
        return (
            f'[[sources]]\nname = "{name}"\nurl = "{self._server.url}/{name}.ics"\n'
            'allow_hosts = ["127.0.0.1"]\n'
        )

    def file_of(self, name: str) -> Path:
        """Return the file in which this daemon finds a calendar."""
        if self._fleet.kind == DIRECTORY:
            return self.folder / "calendars" / f"{name}.ics"
        return self._fleet.file_of(name)

    def _directory(self) -> str:
        """Return the table of a directory with all calendars, as links to their files."""
        directory = self.folder / "calendars"
        directory.mkdir(exist_ok=True)
        for archive in self._archives:
            file = self.file_of(archive.name)
            if not file.exists():
                file.hardlink_to(self._fleet.file_of(archive.name))
        return f'[[sources]]\nname = "directory"\npath = "{directory}"\n'

    @property
    def state_bytes(self) -> int:
        """Bytes of the ledger, with what is not yet merged into its file."""
        return sum(file.stat().st_size for file in self.folder.glob("state.db*"))


# The phases of one measurement


def _book_and_look(fleet: Fleet, figures: Figures, say: Callable[[str], None]) -> None:
    """Measure a first booking, the rest after it, and looks that find nothing."""
    size = figures.feeds
    with fleet.server() as server, api() as running:
        office = fleet.office(f"{fleet.kind}-{size}", size, running, server)
        office.configure(f"{fleet.interval_s(size)}s")
        began = time.monotonic()
        with (
            daemon(office.configuration, office.folder / "syncd.log") as service,
            process_tree.MemoryPeak(service.pid) as peak,
        ):
            settled = _until_booked(service, server, size)
            creates = [at for at in running.moments("POST") if at > began]
            figures.meetings = len(creates)
            figures.booking_cpu_s = settled.cpu_s
            figures.booking_wall_s = creates[-1] - began
            figures.booking_log_bytes = service.log_bytes
            figures.state_bytes = office.state_bytes
            figures.rest = process_tree.memory(service.pid)
            figures.peak = peak.memory.or_more(figures.rest)
            say(
                f"{figures.meetings} meetings in {figures.booking_wall_s:.0f} s, "
                f"CPU {figures.booking_cpu_s:.1f} s, {figures.meeting_s * 1000:.1f} ms each; "
                f"memory {figures.rest.rss / 1e6:.0f} MB, at most {figures.peak.rss / 1e6:.0f} MB"
            )
            _looks_alone(fleet, service, server, figures)
            _without_looks(service, server, office, size)
            _idle(fleet.effort, service, figures)
            _looks_together(fleet.effort, service, server, figures)
            figures.looked = process_tree.memory(service.pid)
            figures.later_peak = peak.memory.or_more(figures.looked)
            if server is not None:
                figures.bare_s = _bare(office.urls, 2 * fleet.effort.looks)
            else:
                _edits_at_rest(fleet, office, service, running, figures)
            bare = (
                f", bare httpx {figures.bare_s * 1000:.2f} ms" if figures.bare_s else ""
            )
            say(
                f"a look {figures.alone_s * 1000:.2f} ms, together {figures.together_s * 1000:.2f} ms{bare}; "
                f"idle {figures.idle_share:.2%} of a core"
            )


def _until_booked(service: Daemon, server: FeedServer | None, size: int) -> Settled:
    """Wait until every calendar was read and each of its meetings is booked; return how it stood then."""
    patience_s = _PATIENCE_S + _PATIENCE_A_FEED_S * size
    deadline = time.monotonic() + patience_s
    if server is not None:
        service.until(
            lambda: len(server.whole()) >= size, "every feed asked", patience_s
        )
    while True:
        settled = service.settled(patience_s, _RESTING)
        status = service.status()
        is_read = {source["state"] for source in status["sources"]} <= _READ
        states = {booking["state"] for booking in status["bookings"]}
        is_booked = "booked" in states and states.isdisjoint(_UNFINISHED)
        # On a busy machine a daemon that waits for a processor looks as if it rested.
        if is_read and is_booked and service.left == 0:
            return settled
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {patience_s:.0f} s not every meeting is booked")


def _idle(effort: Effort, service: Daemon, figures: Figures) -> None:
    """Measure what a daemon uses to which nothing comes."""
    before_s = service.cpu_s
    time.sleep(effort.idle_s)
    figures.idle_share = (service.cpu_s - before_s) / effort.idle_s


def _looks_together(
    effort: Effort, service: Daemon, server: FeedServer | None, figures: Figures
) -> None:
    """Measure looks at all sources at once, as SIGUSR1 asks for them, round after round."""
    size = figures.feeds
    fewest, most = _ROUNDS
    rounds = min(max(effort.looks // size, fewest), most)
    log_bytes, before_s = service.log_bytes, service.cpu_s
    for _ in range(rounds):
        answered = server.not_modified if server is not None else 0
        service.signal(signal.SIGUSR1)
        if server is not None:
            _until_answered(service, server, answered + size)
        service.settled(_PATIENCE_S, _BETWEEN_ROUNDS)
    figures.together_looks = rounds * size
    figures.together_s = (service.cpu_s - before_s) / figures.together_looks
    figures.together_log_bytes = service.log_bytes - log_bytes


def _until_answered(service: Daemon, server: FeedServer, count: int) -> None:
    """Wait until the server has answered 304 so often."""
    service.until(
        lambda: server.not_modified >= count, "every feed asked again", _PATIENCE_S
    )


def _looks_alone(
    fleet: Fleet, service: Daemon, server: FeedServer | None, figures: Figures
) -> None:
    """Measure looks that come one after the other, each at its own time."""
    log_bytes, before_s, began = service.log_bytes, service.cpu_s, time.monotonic()
    before = server.not_modified if server is not None else 0
    time.sleep(fleet.effort.alone_s)
    figures.alone_wall_s = time.monotonic() - began
    used_s = service.cpu_s - before_s
    if server is not None:
        figures.alone_looks = server.not_modified - before
    else:
        # Nobody sees a look at a file; so many are due.
        rounds = figures.alone_wall_s / fleet.interval_s(figures.feeds)
        figures.alone_looks = round(rounds * figures.feeds)
    figures.alone_s = used_s / figures.alone_looks
    figures.alone_log_bytes = service.log_bytes - log_bytes


def _without_looks(
    service: Daemon, server: FeedServer | None, office: Office, size: int
) -> None:
    """Let no source be due any more; a feed with another interval is asked once more as a whole."""
    asked = 0
    if server is not None:
        server.answer_at_once()
        asked = len(server.whole())
    office.configure(_LONG)
    service.signal(signal.SIGHUP)
    patience_s = _PATIENCE_S + _PATIENCE_A_FEED_S * size
    if server is not None:
        service.until(
            lambda: len(server.whole()) >= asked + size, "feeds asked anew", patience_s
        )
    service.settled(patience_s, _RESTING)


def _edits_at_rest(
    fleet: Fleet, office: Office, service: Daemon, running: Api, figures: Figures
) -> None:
    """Measure edits of a file while nothing else is to do: from its rename to the call, and their CPU."""
    archive = next((a for a in fleet.archives[: figures.feeds] if a.coming()), None)
    if archive is None:
        return
    file = office.file_of(archive.name)
    one_event = frozenset(archive.coming()[-1:])
    before_s = service.cpu_s
    # There and back, so that each is a change and the calendar is as before in the end.
    for number in range(2 * _EDITS_AT_REST):
        changed = frozenset() if number % 2 else one_event
        archive.write(fleet.folder / "edited.new", Edit(changed=changed))
        began = time.monotonic()
        (fleet.folder / "edited.new").rename(file)
        _until_put(service, running, began)
        called = min(at for at in running.moments("PUT") if at > began)
        figures.rest_edits_s.append(called - began)
        service.settled(_PATIENCE_S, _BETWEEN_ROUNDS)
    used_s = service.cpu_s - before_s
    figures.rest_edits_cpu_s = used_s / len(figures.rest_edits_s)


def _until_put(service: Daemon, running: Api, began: float) -> None:
    """Wait until a meeting was changed in the API since a moment."""
    service.until(
        lambda: any(at > began for at in running.moments("PUT")),
        "an edit in the API",
        _PATIENCE_S,
    )


def _bare(urls: Sequence[str], count: int) -> float:
    """Return the CPU of a conditional request of a bare client, for the same feeds."""
    command = [sys.executable, "-m", "tests.benchmarks.bare_client", str(count)]
    asked = subprocess.run(
        [*command, *urls], capture_output=True, text=True, check=True
    )
    return float(asked.stdout)


def _edit_beside(fleet: Fleet, figures: Figures, say: Callable[[str], None]) -> None:
    """Measure how long edits of a calendar take while all others are booked for the first time."""
    size = figures.feeds
    with fleet.server() as server, api() as running:
        office = fleet.office(f"{fleet.kind}-{size}-edit", size, running, server)
        office.configure(_LONG, others=False, edited=True)
        log = office.folder / "syncd.log"
        with daemon(office.configuration, log) as service:
            _until_booked(service, server, 1)
            booked = len(running.moments("POST"))
            office.configure(f"{fleet.interval_s(size)}s", edited=True)
            service.signal(signal.SIGHUP)
            service.until(
                lambda: len(running.moments("POST")) > booked,
                "the first of the others booked",
                _PATIENCE_S + _PATIENCE_A_FEED_S * size,
            )
            figures.edits_s = _edits(fleet, service, server, running)
    if figures.edit_s:
        middle_s, worst_s = figures.edit_s
        say(
            f"an edit beside the first booking: {middle_s * 1000:.0f} ms, at most "
            f"{worst_s * 1000:.0f} ms of {len(figures.edits_s)}"
        )


def _edits(
    fleet: Fleet, service: Daemon, server: FeedServer | None, running: Api
) -> list[float]:
    """Edit one event after the other; return the seconds of those beside which others were booked."""
    found: list[tuple[float, float]] = []
    coming = fleet.edited.coming()[1:]  # today's first may have begun
    for count in range(1, min(fleet.effort.edits, len(coming)) + 1):
        new = fleet.folder / "edited.new"
        fleet.edited.write(new, Edit(changed=frozenset(coming[-count:])))
        began = time.monotonic()
        new.rename(fleet.file_of(_EDITED))
        _until_put(service, running, began)
        called = min(at for at in running.moments("PUT") if at > began)
        looked = began
        if server is not None:
            looked = max(at for at in server.whole(f"{_EDITED}.ics") if at < called)
        found.append((called, called - looked))
        if not any(at > called - _LULL_S for at in running.moments("POST")):
            break
    last = max(running.moments("POST"))
    return [taken for called, taken in found if called < last]
