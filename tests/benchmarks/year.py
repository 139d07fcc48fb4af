"""What a year of churn leaves behind: `python -m tests.benchmarks year`.

So many calendars of 500 events, 20 edits in each and every week, and a window that moves on: the real
reconciler, ledger and API client over a sandbox, with clocks that are set to one day after the other.
On each day a cycle writes what changed, and a later one finds nothing; after every four weeks the process
begins anew.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

from syncd import assembly
from syncd.assembly.settings import settings_of
from syncd.config import Config, load
from syncd.ics import Locale, ParserPool
from syncd.intake import CalendarSource
from syncd.ledger import Ledger
from syncd.reconciler import CycleReport, Reconciler
from syncd.sandbox import Running
from syncd.sources.files import FileSource
from syncd.tuya import TuyaApi
from tests.benchmarks.churn import MovingCalendar
from tests.benchmarks.fleet_parts import Api, api
from tests.benchmarks.generator import PEOPLE
from tests.benchmarks.office import set_rules

EVENTS = 500
"""About so many stand in each calendar at any moment."""

_WORTH_A_ROW = 0.01  # share of the file
_DAYS = 364  # 52 weeks
_DAYS_A_MONTH = 28
_WEEKEND = 5  # from this day of the week on nobody edits
_AT = timedelta(hours=6)  # when the cycle of a day begins
_A_MINUTE = timedelta(minutes=1)

_CONFIGURATION = """mode = "full"
[calendar]
timezone = "Europe/Berlin"
[api]
endpoint = "{url}"
client_id = "{client_id}"
client_secret = {{ file = "tuya-secret" }}
monthly_calls = 0
[reservation]
creator = "3"
instance = "hq"
[people]
file = "people.csv"
[schedule]
drift_check = "12h"
[state]
retention = "{retention_days}d"
"""


@dataclass
class Month:
    """How the ledger stood after some weeks; times are CPU in seconds, sizes bytes.

    `tables` are with their indexes; `free` is what a file has left over from rows that were forgotten.
    """

    weeks: int
    file: int
    free: int
    tables: dict[str, int]
    rows: dict[str, int]
    open_s: float = 0.0
    first_cycle_s: float = 0.0
    cycles_s: list[float] = field(default_factory=list)
    quiet_s: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def used(self) -> int:
        """Bytes of the file that hold something."""
        return self.file - self.free

    @property
    def cycle_s(self) -> float:
        """The median of the cycles that wrote something."""
        return median(self.cycles_s)

    @property
    def quiet_cycle_s(self) -> float:
        """The median of those that found nothing."""
        return median(self.quiet_s)


class Clock:
    """A clock that can be set, and goes on from there."""

    def __init__(self, start: datetime) -> None:
        self.set(start)

    def set(self, moment: datetime) -> None:
        """Let it show another moment."""
        self._moment = moment
        self._set_at = time.monotonic()

    def now(self) -> datetime:
        """Return what it shows."""
        return self._moment + timedelta(seconds=time.monotonic() - self._set_at)

    def epoch_s(self) -> float:
        """Return the same in seconds since 1970."""
        return self.now().timestamp()


def measure(
    folder: Path,
    calendars: int,
    start: datetime,
    say: Callable[[str], None],
    *,
    days: int = _DAYS,
    events: int = EVENTS,
    retention_days: int = 90,
) -> Iterator[Month]:
    """Yield how the ledger stands, month after month."""
    with api() as sandbox:
        year = Year(folder, calendars, events, start, sandbox)
        year.configure(retention_days)
        for first in range(0, days, _DAYS_A_MONTH):
            month = year.month(first, min(first + _DAYS_A_MONTH, days))
            say(
                f"week {month.weeks}: {month.file / 1e6:.1f} MB, a cycle {month.cycle_s * 1000:.0f} ms, "
                f"a quiet one {month.quiet_cycle_s * 1000:.1f} ms, start {month.open_s * 1000:.0f} ms"
            )
            yield month


class Year:
    """An office over a year: calendars, a sandbox, and a service that begins anew each month."""

    def __init__(
        self, folder: Path, calendars: int, events: int, start: datetime, sandbox: Api
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("state.db*"):  # of a run before
            file.unlink()
        self._folder = folder.absolute()
        self._start = start
        self._clock = Clock(start)
        self._sandbox = sandbox
        self._calendars = {
            f"c{number}": MovingCalendar(
                f"c{number}", events, start, number, number / calendars
            )
            for number in range(calendars)
        }
        set_rules(sandbox.running)

    def configure(self, retention_days: int) -> None:
        """Write the configuration."""
        running = self._sandbox.running
        secret = self._folder / "tuya-secret"
        secret.touch(mode=0o600)
        secret.write_text(running.client_secret)
        people = "".join(f"{person.address},{person.user_id}\n" for person in PEOPLE)
        (self._folder / "people.csv").write_text("address,user_id\n" + people)
        parts = [
            _CONFIGURATION.format(
                url=running.url,
                client_id=running.client_id,
                retention_days=retention_days,
            )
        ]
        for name, calendar in self._calendars.items():
            parts += [
                f'[[rooms]]\nid = "{room.id}"\nname = "{room.name}"\n'
                f'addresses = ["{room.address}"]\n'
                for room in calendar.rooms
            ]
            path = self._file_of(name)
            parts.append(f'[[sources]]\nname = "{name}"\npath = "{path}"\n')
        self._configuration.write_text("".join(parts))

    def month(self, first: int, last: int) -> Month:
        """Go through some days with one process, and return what it took."""
        self._begin_day(first)
        before = len(self._sandbox.calls)
        began = time.process_time()
        with self._service() as service:
            opened_s = time.process_time() - began
            began = time.process_time()
            service.cycle()
            first_cycle_s = time.process_time() - began
            cycles: list[float] = []
            quiet: list[float] = []
            for day in range(first, last):
                moment = self._begin_day(day)
                if moment.weekday() < _WEEKEND:
                    self._edit(moment)
                cycles.append(_timed(service))
                # The first one after it plans what was written once more, and sees that it is right.
                self._clock.set(moment + _A_MINUTE)
                _timed(service)
                self._clock.set(moment + 2 * _A_MINUTE)
                quiet.append(_timed(service))
        return Month(
            weeks=last // 7,
            **sizes(self._folder / "state.db")._asdict(),
            open_s=opened_s,
            first_cycle_s=first_cycle_s,
            cycles_s=cycles,
            quiet_s=quiet,
            calls=len(self._sandbox.calls) - before,
        )

    @property
    def _configuration(self) -> Path:
        return self._folder / "syncd.toml"

    def _file_of(self, name: str) -> Path:
        return self._folder / f"{name}.ics"

    def _begin_day(self, day: int) -> datetime:
        """Set both clocks to a day, and let the calendars stand as on the last working day before it."""
        moment = self._start + timedelta(days=day) + _AT
        self._clock.set(moment)
        ahead_s = self._clock.epoch_s() - time.time()
        _set_clock(self._sandbox.running, ahead_s)
        if day == 0:
            self._write(moment)
        return moment

    def _edit(self, moment: datetime) -> None:
        for calendar in self._calendars.values():
            calendar.edit(moment)
        self._write(moment)

    def _write(self, moment: datetime) -> None:
        for name, calendar in self._calendars.items():
            calendar.write(self._file_of(name), moment)

    @contextmanager
    def _service(self) -> Iterator[Reconciler]:
        """Build the parts as the program does, but with these clocks and without a limit to the calls."""
        config = load(self._configuration)
        running = self._sandbox.running
        client = TuyaApi(
            endpoint=running.url,
            client_id=running.client_id,
            client_secret=lambda: running.client_secret,
            timeout_s=60.0,
            requests_per_second=1e6,
            clock=self._clock.epoch_s,
            elapsed=self._clock.epoch_s,
        )
        with (
            closing(Ledger.open(config.state.url, owner=True)) as ledger,
            closing(client),
        ):
            yield Reconciler(
                sources=[self._source(config, name) for name in self._calendars],
                api=client,
                ledger=ledger,
                settings=settings_of(config),
                clock=self._clock.now,
                progress=assembly.NoProgress(),
                pool=ParserPool(keep=False),
                elapsed=self._clock.epoch_s,
            )

    def _source(self, config: Config, name: str) -> CalendarSource:
        files = FileSource(
            name,
            self._file_of(name),
            50_000_000,
            clock=lambda: int(self._clock.epoch_s() * 1e9),
        )
        locale = Locale(config.calendar.timezone)
        return CalendarSource(name, files.fetch, locale)


def _timed(service: Reconciler) -> float:
    """Return the CPU of a cycle; raise `RuntimeError` if it comes to no good end."""
    began = time.process_time()
    report: CycleReport = service.cycle()
    taken_s = time.process_time() - began
    unreadable = [source.error for source in report.sources if source.error]
    if report.error or unreadable or report.counts["held"]:
        raise RuntimeError(f"{report.error} {unreadable} {dict(report.counts)}")
    return taken_s


def _set_clock(running: Running, ahead_s: float) -> None:
    """Let the API's clock be so far ahead of this machine's."""
    fault = f"clock:seconds={ahead_s:.3f}"
    answer = httpx.post(f"{running.url}/sandbox/faults", json={"faults": [fault]})
    answer.raise_for_status()


class Sizes(NamedTuple):
    """What is in the file of a ledger, as `Month` has it."""

    file: int
    free: int
    tables: dict[str, int]
    rows: dict[str, int]


def sizes(file: Path) -> Sizes:
    """Return what is in the file of a ledger: bytes and rows of each table, and what is free."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        pages = """SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name)
            GROUP BY tbl_name ORDER BY 2 DESC"""
        tables = dict(database.execute(pages))
        rows = {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in tables
        }
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        (page,) = database.execute("PRAGMA page_size").fetchone()
    return Sizes(file.stat().st_size, free * page, tables, rows)


def document(found: Sequence[Month]) -> dict[str, Any]:
    """Return all figures as JSON has them."""
    return {"months": [asdict(month) for month in found]}


def markdown(found: Sequence[Month]) -> str:
    """Return a row for each month, and for each table what it held in the middle and at the end."""
    lines = [
        "| week | file | in use | bookings | a cycle with edits | a quiet cycle | to open | "
        "first cycle | calls |",
        f"|{' ---: |' * 9}",
    ]
    for month in found:
        cells = (
            f"{month.weeks}",
            f"{month.file / 1e6:.1f} MB",
            f"{month.used / 1e6:.1f} MB",
            f"{month.rows['bookings']:,}",
            f"{month.cycle_s * 1000:.0f} ms",
            f"{month.quiet_cycle_s * 1000:.1f} ms",
            f"{month.open_s * 1000:.0f} ms",
            f"{month.first_cycle_s * 1000:.0f} ms",
            f"{month.calls:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    middle, last = found[len(found) // 2], found[-1]
    lines += [
        "",
        f"| table | week {middle.weeks} | week {last.weeks} | rows then |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, size in last.tables.items():
        if size >= _WORTH_A_ROW * last.used:
            before = middle.tables.get(name, 0)
            lines.append(
                f"| {name} | {before / 1e3:.0f} kB | {size / 1e3:.0f} kB | {last.rows[name]:,} |"
            )
    return "\n".join(lines) + "\n"
