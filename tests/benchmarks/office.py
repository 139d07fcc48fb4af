"""Where a benchmark takes place: a folder with a configuration, a calendar and the state of a service.

The API is a sandbox in a thread of this process, the service that is measured always another process.
What was booked once is put aside with `keep` and taken back with `restore`, the API's side with ours, so
that each measurement begins from the same state.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncd.sandbox import Running, Sandbox, SandboxSettings, parse_fault
from syncd.tuya.channel import Channel
from tests.benchmarks.generator import PEOPLE, Room

REQUESTS_PER_SECOND = 100.0
"""The most that a configuration may say, so that pauses between calls are as short as can be."""

SETTLED_S = 2.1
"""After so long nobody expects a file to change once more without showing it, and its signature is kept."""

_CONFIGURATION = """mode = "{mode}"
[calendar]
timezone = "Europe/Berlin"
horizon = "{horizon_days}d"
[api]
endpoint = "{url}"
client_id = "{client_id}"
client_secret = {{ file = "tuya-secret" }}
requests_per_second = {requests_per_second}
monthly_calls = 0
[schedule]
interval = "10h"
drift_check = "30d"
[reservation]
creator = "3"
instance = "hq"
[people]
file = "people.csv"
"""

_RULES = {
    "booking_date": [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ],
    "start_time": "00:00",
    "end_time": "23:59",
    "min_minute": 15,
    "max_hour": 12,
    "max_day": 180,
    "release_time": 10,
}


class Office:
    """A folder for one measurement after another; `sources` are names with the paths of their calendars."""

    def __init__(
        self, folder: Path, rooms: Iterable[Room], sources: Iterable[tuple[str, Path]]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()
        people = "".join(f"{person.address},{person.user_id}\n" for person in PEOPLE)
        (self.folder / "people.csv").write_text("address,user_id\n" + people)
        self._rooms_and_sources = "".join(
            [
                f'[[rooms]]\nid = "{r.id}"\nname = "{r.name}"\naddresses = ["{r.address}"]\n'
                for r in rooms
            ]
            + [
                f'[[sources]]\nname = "{n}"\npath = "{path}"\nmax_bytes = "400MB"\n'
                for n, path in sources
            ]
        )
        for file in self._state():  # of a run that was ended early
            file.unlink()
        with self.sandbox() as running:
            set_rules(running)
        self.keep("empty")

    @property
    def configuration(self) -> Path:
        """The file that the service is started with, while a sandbox runs."""
        return self.folder / "syncd.toml"

    @contextmanager
    def sandbox(
        self,
        *,
        mode: str = "full",
        requests_per_second: float = REQUESTS_PER_SECOND,
        horizon_days: int = 30,
        faults: tuple[str, ...] = (),
        log: Callable[[str], None] | None = None,
    ) -> Iterator[Running]:
        """The API, with what was booked there, and a configuration for it; `log` as `Sandbox` has it."""
        settings = SandboxSettings(
            db=self.folder / "sandbox.db", faults=tuple(map(parse_fault, faults))
        )
        with Sandbox(settings, log=log).running() as running:
            secret = self.folder / "tuya-secret"
            secret.touch(mode=0o600)
            secret.write_text(running.client_secret)
            self.configuration.write_text(
                _CONFIGURATION.format(
                    mode=mode,
                    url=running.url,
                    client_id=running.client_id,
                    requests_per_second=requests_per_second,
                    horizon_days=horizon_days,
                )
                + self._rooms_and_sources
            )
            yield running

    def keep(self, name: str) -> None:
        """Put the state aside as it is now, while nothing runs."""
        aside = self.folder / "kept" / name
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for file in self._state():
            shutil.copy2(file, aside)

    def restore(self, name: str) -> None:
        """Take back the state that was put aside."""
        for file in self._state():
            file.unlink()
        for file in (self.folder / "kept" / name).iterdir():
            shutil.copy2(file, self.folder)

    def _state(self) -> list[Path]:
        return [*self.folder.glob("state.db*"), *self.folder.glob("sandbox.db*")]

    def command(self, *arguments: str) -> list[str]:
        """How the program is run with this configuration."""
        return [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(self.configuration),
            *arguments,
        ]


def place(calendar: Path, at: Path) -> None:
    """Let a calendar stand at a path, as a file that nobody saw before, without copying it."""
    at.unlink(missing_ok=True)
    os.link(calendar, at)


def set_rules(running: Running) -> None:
    """Let the tenant book as far ahead as any case looks."""
    channel = Channel(
        endpoint=running.url,
        client_id=running.client_id,
        client_secret=lambda: running.client_secret,
        timeout_s=10,
        requests_per_second=REQUESTS_PER_SECOND,
        count_call=lambda _method: None,
        budget_left=lambda: None,
        clock=time.time,
    )
    with channel.armed():
        channel.write("POST", "/v2.0/iot-03/meeting-settings/reservations", _RULES)
    channel.close()
