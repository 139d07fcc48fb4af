"""A daemon for as long as one likes, with everything going wrong all the time: `python -m tests.daemon.soak`.

Two feeds, a directory and a file change and fail, the API fails, the configuration is broken and mended, and
every two minutes the daemon is stopped or killed and started again.
Intervals are a second, so that an hour has the cycles of some weeks at an interval of five minutes.
Prints what the daemon uses, what is booked and what is booked twice; in the end all faults stop, and it fails
unless the API then holds exactly what the calendars say, each meeting once.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from syncd.sandbox import Sandbox
from tests.conftest import CONFIGURATION, Office, ahead, calendar, event
from tests.daemon.running import Daemon, feed, files, follow, running
from tests.sources import server as pages

_STEP_S = 0.4
_FIGURES_EVERY_S = 30.0
_RESTART_EVERY_S = 120.0
_MOST_EVENTS = 60  # of each source
_DOUBT_ENDS_S = (
    150.0  # a request that got no answer is looked for so long, and back-off ends
)
_API_FAULTS = (
    "lost:on=write,times=2",
    "closed:times=2",
    "error:on=write,times=2",
    "gateway:times=4",
    "garbage:on=write,times=1",
    "throttled:on=any,times=6",
    "expired:times=1",
    "slow:seconds=3,times=2",
    "lag:seconds=4",
    "false:on=write,times=2",
    "refuse:on=list,code=1109,times=1",
)
_FEED_FAULTS = (
    pages.silent,
    pages.hang_up,
    pages.reset,
    pages.drip,
    pages.cut(),
    pages.status(503, retry_after="2"),
    pages.status(200, b"<!doctype html><p>Log in</p>", content_type="text/html"),
)


@dataclass
class Calendar:
    """The events of one source, each in a slot of its own."""

    name: str
    first_slot: int
    publish: Callable[[bytes], None]
    versions: dict[int, int] = field(
        default_factory=lambda: dict.fromkeys(range(10), 0)
    )

    def change(self, chance: random.Random) -> None:
        """Add, remove or change an event, and publish it all."""
        slot = chance.randrange(_MOST_EVENTS)
        if slot in self.versions and len(self.versions) > 5 and chance.random() < 0.4:
            del self.versions[slot]
        else:
            self.versions[slot] = self.versions.get(slot, 0) + 1
        self.write()

    def write(self) -> None:
        """Publish it as it is."""
        self.publish(
            calendar(*(self._event(*one) for one in sorted(self.versions.items())))
        )

    @property
    def topics(self) -> set[str]:
        """What is to be booked."""
        return {f"Meeting {self.name}-{slot}" for slot in self.versions}

    def _event(self, slot: int, version: int) -> str:
        day, half_hour = divmod(self.first_slot + slot, 64)
        start: datetime = ahead(1 + day, 6 + half_hour % 32 // 2, half_hour % 2 * 30)
        room = "small" if half_hour < 32 else "large"
        return event(f"{self.name}-{slot}", start, 10 + version % 20, room=room)


class Soak:
    """The world of one run."""

    def __init__(self, office: Office, server: pages.FeedServer, seed: int) -> None:
        self._office = office
        self._server = server
        self._chance = random.Random(seed)
        self._folder = office.folder / "team"
        self._folder.mkdir()
        self._calendars = [
            Calendar("file", 0, lambda body: self._replace(office.calendar_file, body)),
            Calendar(
                "folder", 60, lambda body: self._replace(self._folder / "one.ics", body)
            ),
            Calendar("sales", 120, lambda body: self._publish("/sales", body)),
            Calendar("staff", 180, lambda body: self._publish("/staff", body)),
        ]
        self._bodies: dict[str, bytes] = {}
        for one in self._calendars:
            one.write()
        self._configure()
        self.duplicates = 0
        self.cycles = 0

    def run(self, minutes: float) -> bool:
        """Whether all was well."""
        ends_at = time.monotonic() + 60 * minutes
        while time.monotonic() < ends_at:
            self._configure()  # a broken one is refused at the start
            with running(self._office) as daemon:
                self._disturb(daemon, min(ends_at, time.monotonic() + _RESTART_EVERY_S))
                daemon.send(
                    self._chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
                )
                daemon.process.wait(15)
                self.cycles += daemon.manager.cycles
        return self._comes_to_rest()

    def _disturb(self, daemon: Daemon, until: float) -> None:
        figures_at = time.monotonic() + _FIGURES_EVERY_S
        while time.monotonic() < until:
            self._step(daemon)
            if daemon.process.poll() is not None:
                raise SystemExit(
                    "the daemon ended by itself:\n" + "\n".join(daemon.lines[-20:])
                )
            if time.monotonic() >= figures_at:
                figures_at += _FIGURES_EVERY_S
                self._show(daemon)
            time.sleep(_STEP_S)

    def _step(self, daemon: Daemon) -> None:
        match self._chance.randrange(12):
            case 0:
                self._office.fault(*self._chance.sample(_API_FAULTS, 2))
            case 1:
                self._office.fault()
            case 2:
                path = self._chance.choice(["/sales", "/staff"])
                self._server.pages[path] = self._chance.choice(_FEED_FAULTS)
            case 3 | 4:
                for path, body in self._bodies.items():
                    self._publish(path, body)
            case 5:
                (self._office.folder / "syncd.toml").write_text("mode = \n")
            case 6:
                self._configure()
            case 7:
                daemon.send(self._chance.choice([signal.SIGHUP, signal.SIGUSR1]))
            case _:
                self._chance.choice(self._calendars).change(self._chance)

    def _show(self, daemon: Daemon) -> None:
        process = Path(f"/proc/{daemon.process.pid}")
        told = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines()
        )
        self.duplicates += (twice := self._booked_twice())
        print(
            f"pid {daemon.process.pid}: {int(told['VmRSS'].split()[0]) // 1024} MB, "
            f"{len(list((process / 'fd').iterdir()))} descriptors, {told['Threads'].strip()} threads; "
            f"{self.cycles + len(daemon.logged('cycle'))} cycles, "
            f"{len(self._office.reservations())} reservations, {twice} of them twice",
            flush=True,
        )

    def _booked_twice(self) -> int:
        return sum(
            n - 1
            for n in Counter(r["topic"] for r in self._office.reservations()).values()
        )

    def _comes_to_rest(self) -> bool:
        self._office.fault()
        self._configure()
        for one in self._calendars:
            one.write()
        wanted = set().union(*(one.topics for one in self._calendars))
        with running(self._office) as daemon:
            ends_at = time.monotonic() + _DOUBT_ENDS_S
            while {
                r["topic"] for r in self._office.reservations()
            } != wanted and time.monotonic() < ends_at:
                time.sleep(_STEP_S)
            self._show(daemon)
            daemon.stop()
            self.cycles += daemon.manager.cycles
        booked = {r["topic"] for r in self._office.reservations()}
        print(
            f"{self.cycles} cycles; in the end {len(booked)} of {len(wanted)} meetings are booked, "
            f"{len(booked - wanted)} without a meeting; duplicates in all: {self.duplicates}",
            flush=True,
        )
        return booked == wanted and not self.duplicates

    def _configure(self) -> None:
        self._office.configure(
            CONFIGURATION,
            ("[people.addresses]", "[safety]\ncancel_floor = 1000\n[people.addresses]"),
            (
                'timezone = "Europe/Berlin"\n[api]',
                'timezone = "Europe/Berlin"\n[api]\nrequest_validity = "1s"\nmonthly_calls = 0',
            ),
        )
        follow(
            self._office,
            files("file", "office.ics", 'interval = "1s"'),
            files("folder", "team", 'interval = "1s"'),
            feed(
                "sales", self._server.url("/sales"), 'interval = "1s"', 'timeout = "3s"'
            ),
            feed(
                "staff", self._server.url("/staff"), 'interval = "1s"', 'timeout = "3s"'
            ),
        )

    def _publish(self, path: str, body: bytes) -> None:
        self._bodies[path] = body
        self._server.pages[path] = pages.published(body, etag=f'"{hash(body)}"')

    @staticmethod
    def _replace(path: Path, body: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(body)
        new.rename(path)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.daemon.soak", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="syncd-soak-"))
        )
        api = stack.enter_context(Sandbox().running())
        server = stack.enter_context(pages.FeedServer().running())
        office = Office(folder, api.url, api.client_id, api.client_secret)
        well = Soak(office, server, arguments.seed).run(arguments.minutes)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
