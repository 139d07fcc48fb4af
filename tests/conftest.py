"""What tests share: an office with a calendar, a configuration, and a sandbox as its API.

Everything is real: the program is a child process, the calendar a file, the API a server on a socket.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from syncd.ledger import Ledger
from syncd.sandbox import Sandbox, SandboxSettings, parse_fault, parse_switch
from tests.raw_api import CLIENT_ID, CLIENT_SECRET, RawApi
from tests.ready import load_all, ready

pytest_plugins = ["tests.postgres"]

# A time in a test would fail on a busy machine; the number of examples bounds the work.
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What decides whether a change lands comes to the same verdict each time; the long runs look for what is new.
_THE_SAME_EACH_TIME = settings(_ANY_MACHINE, derandomize=True)
settings.register_profile("default", _THE_SAME_EACH_TIME)
settings.register_profile("thorough", _THE_SAME_EACH_TIME, max_examples=300)
settings.register_profile("long", _ANY_MACHINE, max_examples=5000)
settings.load_profile("default")

HANG_S = 300.0
"""Only against a hang: how long a test waits for anything that has to come, on a machine however busy."""

# A run that was started in the background may ignore Ctrl-C, and so would the programs that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

_MARKERS = {
    "slow": "takes seconds to minutes, and a few of its kind run always; run by .ci/run",
    "long": "takes minutes to hours; run by the commands that tests/README.md names",
}


def engine_of(ledger: Ledger) -> Engine:
    """The engine of a ledger, for who listens to its statements."""
    backend: Any = ledger._database._backend
    engine: Engine = backend._engine
    return engine


def examples(default: int, *, thorough: int, long: int | None = None) -> int:
    """Return how many examples a costly generated test takes under the profile that was chosen."""
    profile = settings.get_current_profile_name()
    return {"thorough": thorough, "long": long or thorough}.get(profile, default)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of tests that do not always run, and load the whole program."""
    # The program that tests start keeps its compiled modules, like an installed one; that takes a third off
    # each start. And it is not told the width of a terminal that pytest found for itself.
    for name in ("PYTHONDONTWRITEBYTECODE", "COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # Hypothesis draws, among others, constants of those modules of ours that are loaded by then. Which these
    # are would depend on the tests that a worker ran before; with all of them one state draws the same
    # everywhere.
    load_all()
    for name, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line(
        "markers",
        "first(n, m): of the cases of this test all but the first n are slow, all but the first m long",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Return twice the number of cores: tests wait for half of their time, mostly for child processes."""
    return 2 * len(os.sched_getaffinity(0))


def _mark_further_cases(items: Iterable[pytest.Item]) -> None:
    """Mark the cases of a test as slow behind the first n, as long behind the first m (`first`)."""
    seen: Counter[str] = Counter()
    for item in items:
        first = item.get_closest_marker("first")
        if first is None:
            continue
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        for limit, marker in zip(
            first.args, (pytest.mark.slow, pytest.mark.long), strict=False
        ):
            if seen[test] > limit:
                item.add_marker(marker)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests of each marker that is not named on the command line."""
    _mark_further_cases(items)
    left_out = [name for name in _MARKERS if name not in config.option.markexpr]
    out = [
        item
        for item in items
        if any(item.get_closest_marker(name) for name in left_out)
    ]
    if out:
        kept = set(out)
        items[:] = [item for item in items if item not in kept]
        config.hook.pytest_deselected(items=out)


SMALL_ROOM = "1410148741926678528"
LARGE_ROOM = "1410148741926678529"

CONFIGURATION = """
mode = "full"
[calendar]
timezone = "Europe/Berlin"
[api]
endpoint = "{url}"
client_id = "{client_id}"
client_secret = {{ file = "tuya-secret" }}
requests_per_second = 100.0
[reservation]
creator = "3"
instance = "hq"
[people.addresses]
"alice@example.com" = "1"
"bob@example.com" = "2"
[[rooms]]
id = "1410148741926678528"
name = "Small meeting room"
addresses = ["room-small@example.com"]
[[rooms]]
id = "1410148741926678529"
name = "Large meeting room"
addresses = ["room-large@example.com"]
[web]
listen = ""
[[sources]]
name = "office"
path = "office.ics"
"""


@dataclass(frozen=True)
class Ran:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document that it printed."""
        return json.loads(self.out)


def ahead(days: int, hour: int = 9, minute: int = 0) -> datetime:
    """A UTC time on a coming day, so that tests stay true whenever they run."""
    day = datetime.now(UTC).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def event(
    uid: str,
    start: datetime,
    minutes: int = 60,
    *properties: str,
    room: str | None = "small",
) -> str:
    """A VEVENT in a room; `properties` are further content lines, SUMMARY unless given."""
    lines = [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        f"DTEND:{start + timedelta(minutes=minutes):%Y%m%dT%H%M%SZ}",
    ]
    if not any(line.startswith("SUMMARY") for line in properties):
        lines.append(f"SUMMARY:Meeting {uid}")
    if room:
        lines.append(f"ATTENDEE;CUTYPE=ROOM:mailto:room-{room}@example.com")
    return "\r\n".join([*lines, *properties, "END:VEVENT"])


def calendar(*events: str) -> bytes:
    """A whole calendar of VEVENTs."""
    text = "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//test//EN",
            *events,
            "END:VCALENDAR",
            "",
        ]
    )
    return text.encode()


@dataclass
class Office:
    """A directory with a configuration and a calendar, and the sandbox that the configuration names."""

    folder: Path
    url: str
    client_id: str
    client_secret: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        secret = self.folder / "tuya-secret"
        secret.touch(mode=0o600)
        secret.write_text(self.client_secret)
        self.configure(CONFIGURATION)

    @property
    def calendar_file(self) -> Path:
        """The calendar of its one source."""
        return self.folder / "office.ics"

    def configure(self, text: str, *changes: tuple[str, str]) -> None:
        """Write the configuration, with changes of its text."""
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        text = (
            text.format(url=self.url, client_id=self.client_id)
            if "{url}" in text
            else text
        )
        (self.folder / "syncd.toml").write_text(text)

    def change(self, *changes: tuple[str, str]) -> None:
        """Change the configuration as an administrator would: by editing the file."""
        self.configure((self.folder / "syncd.toml").read_text(), *changes)

    def write(self, *events: str) -> None:
        """Replace the calendar."""
        self.calendar_file.write_bytes(calendar(*events))

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the program and leave it running."""
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "syncd",
                "--config",
                str(self.folder / "syncd.toml"),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
            **options,
        )

    def run(self, *arguments: str) -> Ran:
        """Run the program to its end; with the environment of the tests without loading it anew."""
        if self.environment or not ready().fits:
            process = self.start(*arguments)
            out, err = process.communicate(timeout=HANG_S)
            code = process.returncode
        else:
            config = str(self.folder / "syncd.toml")
            code, out, err = ready().run(["--config", config, *arguments], HANG_S)
        assert "Traceback" not in err, err
        return Ran(code, out, err)

    def once(self) -> Any:
        """The document of one cycle."""
        return self.run("once", "--json").json

    def plan(self) -> Any:
        """The document of a plan."""
        return self.run("plan", "--json").json

    def status(self) -> Any:
        """The document of the status."""
        return self.run("status", "--json").json

    def control(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Ask the control side of the sandbox, which is no part of the API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/sandbox/{path}", data, method=method
        )
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:
            return json.load(answer)

    def reservations(self, *, live: bool = True) -> list[dict[str, Any]]:
        """What the API holds; live ones only, by start."""
        shown = [
            r for r in self.control("reservations") if not live or r["status"] in (1, 2)
        ]
        return sorted(shown, key=lambda r: (r["start_time"], r["room_id"]))

    def writes(self) -> list[str]:
        """The mutating calls since they were last forgotten, by operation name."""
        return [
            entry["operation"]
            for entry in self.control("requests")
            if entry["method"] != "GET"
        ]

    def forget_requests(self) -> None:
        """Begin a new log of calls."""
        self.control("requests", method="DELETE")

    def fault(self, *specs: str) -> None:
        """Let these calls go wrong from now on; none: let all be well again."""
        if specs:
            self.control("faults", {"faults": list(specs)})
        else:
            self.control("faults", method="DELETE")


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[Any]:
    """Makes offices: `make_office(faults=…, switches=…)`; each with a sandbox of its own."""
    with ExitStack() as stack:

        def make(
            name: str = "office",
            *,
            faults: tuple[str, ...] = (),
            switches: tuple[str, ...] = (),
        ) -> Office:
            folder = tmp_path / name
            folder.mkdir()
            settings = SandboxSettings(
                faults=tuple(map(parse_fault, faults)),
                switches=dict(map(parse_switch, switches)),
            )
            running = stack.enter_context(Sandbox(settings).running())
            return Office(folder, running.url, running.client_id, running.client_secret)

        yield make


@pytest.fixture
def office(make_office: Any) -> Office:
    """One office."""
    made: Office = make_office()
    return made


@pytest.fixture
def raw_api() -> Iterator[RawApi]:
    """A running API that holds whatever is put into it."""
    with RawApi().running() as api:
        yield api


@pytest.fixture
def raw_office(raw_api: RawApi, tmp_path: Path) -> Office:
    """An office whose API is `raw_api`."""
    folder = tmp_path / "raw-office"
    folder.mkdir()
    return Office(folder, raw_api.url, CLIENT_ID, CLIENT_SECRET)
