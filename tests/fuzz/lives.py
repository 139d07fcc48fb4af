"""The program under fuzzing: its parts in this process on a clock of their own, or processes on the real one.

Both run cycles, look without writing, and let go of all that a process has in memory.
What must not be is raised as `Violation`.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

from syncd import assembly
from syncd.apply import Api
from syncd.assembly.settings import settings_of
from syncd.config import load
from syncd.errors import ApiUnusable, ReservationError
from syncd.ics import Locale
from syncd.intake import CalendarSource
from syncd.ledger import Ledger
from syncd.reconciler import Reconciler
from syncd.sources.files import FileSource
from syncd.tuya import TuyaApi
from tests.fuzz.office import HORIZON_DAYS, ROOMS
from tests.machine.calendars import FIRST_DAY

HANGS_AFTER_S = 300
"""Generous: a command takes a second or two, and some more when it is asked for patience."""

# C0 but for line ends, tabs and carriage returns, C1, and what turns the direction of writing.
_NOT_PRINTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

_CONFIGURATION = """mode = "full"
[calendar]
timezone = "Europe/Berlin"
horizon = "{days}d"
[api]
endpoint = "{url}"
client_id = "client"
client_secret = {{ file = "secret" }}
request_validity = "{validity}s"
requests_per_second = 100
monthly_calls = 0
[schedule]
drift_check = "{drift_check}s"
[reservation]
creator = "3"
instance = "hq"
[people]
lookup = true
[safety]
cancel_floor = 1000
told_floor = 1000
empty_hold = 1000
[web]
listen = ""
{rooms}[[sources]]
name = "office"
path = "office.ics"
"""


class Violation(Exception):
    """A claim does not hold; `kind` tells equal ones."""

    def __init__(self, kind: str, sentence: str) -> None:
        self.kind = kind
        super().__init__(sentence)


@dataclass(frozen=True)
class Told:
    """What a cycle says of itself."""

    outcome: str
    counts: Mapping[str, int]
    error: str | None


class Life(Protocol):
    """The program, and the clock that it goes by."""

    validity: timedelta
    drift_check: timedelta

    def now(self) -> datetime: ...
    def wait(self, much: timedelta) -> None: ...
    def cycle(self, *, force: bool) -> Told: ...
    def look(self, uid: str) -> None: ...
    def ledger(self) -> AbstractContextManager[Ledger]: ...
    def end(self) -> None: ...


def configure(folder: Path, url: str, life: Life) -> None:
    """Write the configuration of an office whose API is at this URL."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    rooms = "".join(
        f'[[rooms]]\nid = "{number}"\nname = "{name}"\naddresses = ["room-{name}@example.com"]\n'
        for name, number in ROOMS.items()
    )
    text = _CONFIGURATION.format(
        url=url,
        days=HORIZON_DAYS,
        validity=int(life.validity.total_seconds()),
        drift_check=int(life.drift_check.total_seconds()),
        rooms=rooms,
    )
    (folder / "syncd.toml").write_text(text)


@contextmanager
def _watched(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the claim is that there is none of any kind
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = "".join(traceback.format_exception(error)[-12:])
        name = f"{type(error).__name__} in {Path(place.filename).name}:{place.name}"
        raise Violation(
            f"{what}: {name}", f"{what} raises {name}: {error}\n{text}"
        ) from None


class Parts:
    """The parts of the program in this process; they see a time that passes when it is told to."""

    validity = timedelta(minutes=5)
    drift_check = timedelta(hours=1)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now = FIRST_DAY + timedelta(hours=8)
        self._process: _Process | None = None

    def now(self) -> datetime:
        """The present."""
        return self._now

    def wait(self, much: timedelta) -> None:
        """Let time pass."""
        self._now += much

    def cycle(self, *, force: bool) -> Told:
        """One cycle of a living process, which is started if none lives."""
        with _watched("cycle"):
            report = self._living().reconciler.cycle(force=force)
        return Told(report.outcome, report.counts, report.error)

    def look(self, uid: str) -> None:
        """What `plan`, `adopt` and `explain` show."""
        reconciler = self._living().reconciler
        with _watched("plan and adopt"):
            try:
                reconciler.previewer.preview()
                reconciler.previewer.adoption(apply=False)
            except (ApiUnusable, ReservationError):
                return  # said to a person
        with _watched("explain"):
            reconciler.previewer.examine(uid)

    def ledger(self) -> AbstractContextManager[Ledger]:
        """The ledger, beside the living process."""
        return nullcontext(self._living().ledger)

    def end(self) -> None:
        """Let go of everything that a process has; what is in memory is lost."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _living(self) -> _Process:
        if self._process is None:
            self._process = _Process(self._folder, self._tick)
        return self._process

    def _tick(self) -> datetime:
        """The clock of the program: it never shows a time twice."""
        self._now += timedelta(milliseconds=1)
        return self._now


class _Process:
    """What one process has: it has the ledger for itself until its end."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        config = load(folder / "syncd.toml")
        self.ledger = Ledger.open(config.state.url, owner=True)
        self._api = TuyaApi(
            endpoint=config.api.endpoint or "",
            client_id=config.api.client_id,
            client_secret=config.api.client_secret.reveal,
            timeout_s=10.0,
            requests_per_second=1e6,
            clock=lambda: clock().timestamp(),
            elapsed=lambda: clock().timestamp(),
        )
        files = FileSource("office", folder / "office.ics", 1_000_000)
        self.reconciler = Reconciler(
            sources=[
                CalendarSource("office", files.fetch, Locale(config.calendar.timezone))
            ],
            api=cast(Api, _OneAtATime(self._api)),
            ledger=self.ledger,
            settings=settings_of(config),
            clock=clock,
            progress=assembly.NoProgress(),
        )

    def end(self) -> None:
        """Close everything."""
        self._api.close()
        self.ledger.close()


class _OneAtATime:
    """The API client, of which no two calls are under way at once, so that a history can be repeated."""

    def __init__(self, api: TuyaApi) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    @staticmethod
    def pause_s(underway: int) -> float:
        """Seconds until another call may begin."""
        return math.inf if underway else 0.0


class Commands:
    """Whole processes of the program, on the real clock."""

    validity = timedelta(seconds=1)
    # So that a room that was taken is looked at again while they wait.
    drift_check = timedelta(seconds=5)
    _GRACE_S = 6.5  # a second, and what the program adds for clocks that differ

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def now() -> datetime:
        """The present."""
        return datetime.now(UTC)

    def wait(self, much: timedelta) -> None:
        """Let as much time pass as a lost request needs, if more than a moment is meant."""
        if much >= timedelta(minutes=1):
            time.sleep(self._GRACE_S)

    def cycle(self, *, force: bool) -> Told:
        """One cycle: `once`."""
        code, document = self._run(
            "once", "--json", *(["--force"] if force else []), codes=(0, 1, 69)
        )
        told = Told(document["outcome"], document["counts"], document["error"])
        expected = {"ok": 0, "attention": 1, "failed": 69}[told.outcome]
        if code != expected:
            raise Violation(
                "exit code", f"once leaves with {code} and says {told.outcome}"
            )
        return told

    def look(self, uid: str) -> None:
        """What `plan`, `adopt`, `explain` and `status` show."""
        self._run("plan", codes=(0, 1, 3, 69))
        self._run("adopt", codes=(0, 1, 3, 69))
        self._run("explain", uid, codes=(0, 1, 69))
        self._run("status", codes=(0, 1, 69))

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, as a command of a person opens it."""
        with Ledger.open(
            load(self._folder / "syncd.toml").state.url, owner=False
        ) as ledger:
            yield ledger

    def end(self) -> None:
        """Nothing lives between two commands."""

    def _run(self, *arguments: str, codes: tuple[int, ...]) -> tuple[int, Any]:
        command = [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(self._folder / "syncd.toml"),
            *arguments,
        ]
        ran = subprocess.run(
            command, capture_output=True, timeout=HANGS_AFTER_S, check=False
        )
        out, err = ran.stdout.decode(), ran.stderr.decode()
        name = arguments[0]
        if ran.returncode not in codes or "Traceback" in err:
            raise Violation(
                f"{name}: exit code",
                f"{name} leaves with {ran.returncode}: {err[-2000:]}",
            )
        if _NOT_PRINTED.search(out + err):
            raise Violation(
                f"{name}: control characters", f"{name} prints {out + err!r}"[:3000]
            )
        return ran.returncode, json.loads(out) if "--json" in arguments else None
