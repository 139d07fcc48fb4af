"""Every way in which a source or its configuration goes wrong, and what a cycle makes of it.

Ninety meetings of two sources are booked, a third source stands beside them, and one thing goes wrong.
No way may cancel more than the budget of what a complete reading shows, none may touch the other sources,
and when the fault is mended everything is as it was before.
`python -m tests.end_to_end.test_sources_go_wrong` prints what each way leads to.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.assembly import (
    NoProgress,
    Service,
    open_ledger,
    service,
    utc_now,
)
from syncd.assembly.settings import mapping_rules
from syncd.config import Config, load
from syncd.core.changes import Mode
from syncd.core.settings import Settings
from syncd.ics import Locale
from syncd.intake import CalendarSource
from syncd.ledger import Ledger
from syncd.reconciler import Reconciler
from syncd.sandbox import Sandbox, SandboxSettings
from syncd.sources.files import FileSource
from syncd.views.documents import cycle_document, status_document
from syncd.views.status import Status
from tests.conftest import (
    CONFIGURATION,
    HANG_S,
    LARGE_ROOM,
    Office,
    ahead,
    calendar,
    event,
)

# The office before anything goes wrong

SIZE = 46  # bookings of "office"; "branch" has 44, "beside" 3


def _of_office() -> dict[str, str]:
    """Single meetings, some of them in floating time, a series, and whole days; all within a week."""
    events = {
        f"m{n}": event(
            f"m{n}",
            ahead(1 + n // 6, 6 + n % 6 * 2),
            45,
            room="large" if n % 2 else "small",
        )
        for n in range(36)
    }
    for n in range(4):
        in_utc = event(f"f{n}", ahead(1 + n, 0, 30), 45, room="small")
        events[f"f{n}"] = re.sub(r"(DT(?:START|END):\w+)Z", r"\1", in_utc)
    events["s"] = event("s", ahead(2, 4), 45, "RRULE:FREQ=DAILY;COUNT=4", room="large")
    for n in range(2):
        timed = event(f"d{n}", ahead(5 + n), 45, room=None)
        events[f"d{n}"] = re.sub(
            r"DTSTART:(\d+).*\r\nDTEND.*", r"DTSTART;VALUE=DATE:\1", timed
        )
    return events


def _of_branch() -> dict[str, dict[str, str]]:
    """The meetings of three files of a directory: 20, 20 and 4."""
    files: dict[str, dict[str, str]] = {}
    for name, numbers in (
        ("first", range(20)),
        ("second", range(20, 40)),
        ("third", range(40, 44)),
    ):
        files[f"{name}.ics"] = {
            f"b{n}": event(
                f"b{n}",
                ahead(1 + n // 8, 7 + n % 8 * 2),
                45,
                room="large" if n % 2 else "small",
            )
            for n in numbers
        }
    return files


OFFICE = _of_office()
BRANCH = _of_branch()
BESIDE = {f"n{n}": event(f"n{n}", ahead(1 + n, 3), 45, room="small") for n in range(3)}

_LARGE = f"""[[rooms]]
id = "{LARGE_ROOM}"
name = "Large meeting room"
addresses = ["room-large@example.com"]
"""
_BRANCH = '[[sources]]\nname = "branch"\npath = "branch"\n'
_BESIDE = '[[sources]]\nname = "beside"\npath = "beside.ics"\n'
_SOURCE = '[[sources]]\nname = "office"\npath = "office.ics"\n'


def _write_calendars(office: Office) -> None:
    office.write(*OFFICE.values())
    folder = office.folder / "branch"
    folder.mkdir()
    for name, events in BRANCH.items():
        (folder / name).write_bytes(calendar(*events.values()))
    (office.folder / "beside.ics").write_bytes(calendar(*BESIDE.values()))


def _configure(office: Office) -> None:
    """The large room and the branch stand in files of their own."""
    office.configure(
        CONFIGURATION,
        ("[api]", 'all_day = "working-hours"\n[api]'),
        (_LARGE, ""),
        (_SOURCE, _BESIDE + _SOURCE),
    )
    parts = office.folder / "conf.d"
    parts.mkdir(exist_ok=True)
    (parts / "rooms.toml").write_text(_LARGE)
    (parts / "branch.toml").write_text(_BRANCH)


# A cycle, and what it says


@dataclass(frozen=True)
class Seen:
    """The documents of `once` and of `status` after it."""

    once: Mapping[str, Any]
    status: Mapping[str, Any]

    def source(self, name: str) -> tuple[str, str | None]:
        """State and sentence of a source; they are the same in both documents."""
        told = [
            (s["state"], s["error"]) for s in self.once["sources"] if s["name"] == name
        ]
        remembered = [
            (s["state"], s["error"])
            for s in self.status["sources"]
            if s["name"] == name
        ]
        assert told == remembered
        return told[0] if told else ("removed", None)

    @property
    def held(self) -> Counter[str]:
        """How many reservations are held, by reason."""
        return Counter(
            b["reason"]
            for b in self.status["bookings"]
            if b["state"] == "booked" and b["reason"]
        )


def _cycle(office: Office, wrong_by: timedelta | None = None) -> Seen:
    """One cycle in this process, with a clock that may be wrong."""
    config = load(office.folder / "syncd.toml")
    with service(config, owner=True) as parts:
        reconciler = (
            parts.reconciler if wrong_by is None else _with_wrong_clock(parts, wrong_by)
        )
        done = cycle_document(reconciler.cycle())
        return Seen(done, _status(config, parts.ledger))


def _with_wrong_clock(parts: Service, wrong_by: timedelta) -> Reconciler:
    """The same reconciler, but for its clock."""
    calendar_rules = parts.config.calendar
    sources = []
    for source in parts.config.sources:
        assert source.path is not None
        files = FileSource(source.name, source.path, source.max_bytes)
        sources.append(
            CalendarSource(source.name, files.fetch, Locale(calendar_rules.timezone))
        )
    return Reconciler(
        sources=sources,
        api=parts.api,
        ledger=parts.ledger,
        settings=Settings(
            mode=Mode.FULL,
            horizon=calendar_rules.horizon,
            instance=parts.config.reservation.instance,
            mapping=mapping_rules(parts.config),
        ),
        clock=lambda: utc_now() + wrong_by,
        progress=NoProgress(),
    )


def _cycle_with_modes_obeyed(office: Office) -> Seen:
    """One cycle of a process for which file modes count; root reads everything otherwise."""
    obeying: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip(
                "root may read anything, and there is no setpriv to change that"
            )
        obeying = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    syncd = [
        sys.executable,
        "-m",
        "syncd",
        "--config",
        str(office.folder / "syncd.toml"),
        "once",
        "--json",
    ]
    ran = subprocess.run(
        [*obeying, *syncd], capture_output=True, check=False, timeout=HANG_S
    )
    config = load(office.folder / "syncd.toml")
    with open_ledger(config, owner=False) as ledger:
        return Seen(json.loads(ran.stdout), _status(config, ledger))


def _status(config: Config, ledger: Ledger) -> Mapping[str, Any]:
    status = Status.of(ledger, config, now=utc_now(), bookings=ledger.bookings.all())
    return status_document(status)


# The ways

Damage = Callable[[Office], object]


@dataclass(frozen=True)
class Way:
    """One way to go wrong, in steps with a cycle after each, and what the last cycle says.

    `says` is a part of the sentence about `source`; `held` counts the bookings of all sources that stay
    although something speaks against them, by reason; `cancelled` and `updated` count over all cycles.
    `clock` is by how much the clock is wrong meanwhile, `later` how much later another cycle follows.
    `modes` tells that file modes have to count.
    """

    name: str
    steps: tuple[Damage, ...]
    state: str
    says: str | None = None
    source: str = "office"
    held: Mapping[str, int] = field(default_factory=dict)
    cancelled: int = 0
    updated: int = 0
    clock: timedelta | None = None
    later: timedelta | None = None
    modes: bool = False

    def __str__(self) -> str:
        return self.name


def _way(name: str, *steps: Damage, state: str = "read", **expected: Any) -> Way:
    return Way(name, steps, state, **expected)


def _body(body: bytes | Callable[[bytes], bytes]) -> Damage:
    """The calendar is replaced, or becomes something else."""
    whole = calendar(*OFFICE.values())
    return lambda office: office.calendar_file.write_bytes(
        body(whole) if callable(body) else body
    )


def _only(count: int) -> Damage:
    """The first events alone are left."""
    return lambda office: office.write(*list(OFFICE.values())[:count])


def _each(pattern: str, replacement: str) -> Damage:
    """Every event of the calendar is changed alike, by a regular expression; none is left as it was."""

    def change(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text)
        assert count
        return changed

    return lambda office: office.write(*map(change, OFFICE.values()))


def _shifted(by: timedelta) -> Damage:
    """Every event begins and ends at another time."""

    def moved(match: re.Match[str]) -> str:
        form = "%Y%m%dT%H%M%S"
        return match[1] + (datetime.strptime(match[2], form) + by).strftime(form)  # noqa: DTZ007  # a wall clock

    pattern = r"(DT(?:START|END):)(\w{15})"
    return lambda office: office.write(
        *(re.sub(pattern, moved, text) for text in OFFICE.values())
    )


def _nothing(office: Office) -> None:
    """All is well with the source itself."""


def _instead_of_file(make: Callable[[Path], object]) -> Damage:
    """Something else stands where the calendar was."""

    def damage(office: Office) -> None:
        office.calendar_file.unlink()
        make(office.calendar_file)

    return damage


def _no_mode(path: Path) -> None:
    path.chmod(0)


def _branch(
    name: str, change: Callable[[Path], object], state: str = "read", **expected: Any
) -> Way:
    """Something happens to the directory of the branch."""
    name = f"directory: {name}"
    return _way(
        name,
        lambda o: change(o.folder / "branch"),
        source="branch",
        state=state,
        **expected,
    )


def _for_each(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(path) for path in sorted(folder.glob("*.ics"))]


def _a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(calendar())


def _move_between_files(folder: Path) -> None:
    events = [text for path in BRANCH.values() for text in path.values()]
    for name in ("first.ics", "second.ics"):
        (folder / name).unlink()
    (folder / "third.ics").write_bytes(calendar(*events[:4]))
    (folder / "all.ics").write_bytes(calendar(*events[4:]))


def _edit(*changes: tuple[str, str]) -> Damage:
    """An administrator edits the configuration file."""
    return lambda office: office.change(*changes)


def _rule(line: str) -> Damage:
    """Another rule for all calendars."""
    return _edit(("[api]", f"{line}\n[api]"))


def _option(line: str) -> Damage:
    """Another key of the source."""
    return _edit((_SOURCE, f"{_SOURCE}{line}\n"))


def _swap(one: str, other: str) -> Damage:
    return _edit((one, "\0"), (other, one), ("\0", other))


def _lose(name: str) -> Damage:
    """A file of conf.d is lost."""
    return lambda office: (office.folder / "conf.d" / name).unlink()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


_LATER = timedelta(seconds=61)  # than safety.file_grace
_SCOPED = _option('uid_scope = "source"')
_TIMES = r"(DT(?:START|END))[^:\n]*:(\d{8})(?:T\d{6})?Z?"
_TODO = (
    "BEGIN:VTODO\r\nUID:t\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Tidy up\r\nEND:VTODO"
)

FILES = (
    _way(
        "cut off",
        _body(lambda b: b[: len(b) // 2]),
        state="unreadable",
        says="is cut off",
    ),
    _way("no bytes", _body(b""), state="unreadable", says="is empty"),
    _way(
        "a byte order mark alone",
        _body(b"\xef\xbb\xbf"),
        state="unreadable",
        says="is empty",
    ),
    _way(
        "zero bytes",
        _body(lambda b: bytes(len(b))),
        state="unreadable",
        says="is binary data",
    ),
    _way(
        "a hole of zero bytes",
        _body(lambda b: b[:999] + bytes(999) + b[1998:]),
        state="unreadable",
        says="hole",
    ),
    _way(
        "a web page",
        _body(b"<!DOCTYPE html><title>Log in</title>"),
        state="unreadable",
        says="web page",
    ),
    _way(
        "another format",
        _body(b'{"meetings": []}'),
        state="unreadable",
        says="is not a calendar",
    ),
    _way(
        "a message behind its end",
        _body(lambda b: b + b"Timeout\r\n"),
        state="unreadable",
        says="outside of",
    ),
    _way(
        "twice, the second cut off",
        _body(lambda b: b + b[:5000]),
        state="unreadable",
        says="is cut off",
    ),
    _way(
        "a line lost",
        _body(lambda b: b.replace(b"END:VEVENT", b"", 1)),
        state="unreadable",
        says="damaged",
    ),
    _way(
        "missing",
        lambda o: o.calendar_file.unlink(),
        state="unreadable",
        says="does not exist",
    ),
    _way(
        "mode 000",
        lambda o: o.calendar_file.chmod(0),
        state="unreadable",
        says="change its mode",
        modes=True,
    ),
    _way(
        "a pipe instead",
        _instead_of_file(os.mkfifo),
        state="unreadable",
        says="is not a regular file",
    ),
    _way(
        "a loop of links",
        _instead_of_file(_loop),
        state="unreadable",
        says="cannot be read",
    ),
    _way(
        "max_bytes exceeded",
        _option('max_bytes = "1KB"'),
        state="unreadable",
        says="raise max_bytes",
    ),
    _way(
        "an empty directory instead",
        _instead_of_file(Path.mkdir),
        held={"source_empty": SIZE},
    ),
    _way("no event in it", lambda o: o.write(), held={"source_empty": SIZE}),
    _way("tasks alone", lambda o: o.write(_TODO), held={"source_empty": SIZE}),
    _way(
        "another calendar",
        lambda o: o.write(event("x", ahead(-2))),
        held={"source_empty": SIZE},
    ),
    _way("all UIDs lost", _each("UID:.*\r\n", ""), held={"source_empty": SIZE}),
    _way("half gone", _only(20), held={"over_budget": SIZE - 20}),
    _way(
        "gone in ten steps",
        *(_only(43 - 4 * n) for n in range(1, 11)),
        held={"over_budget": 32},
        cancelled=11,
    ),
    _way("all UIDs changed", _each("UID:", "UID:new-")),
    _way("all UIDs equal", _each("UID:.*", "UID:one"), held={"source_empty": SIZE}),
    _way("all time zones broken", _each(_TIMES, r"\1;TZID=Nowhere/At_All:\2T100000")),
    _way("all rules broken", _each("SUMMARY", "RRULE:FREQ=FORTNIGHTLY\r\nSUMMARY")),
    _way("all times shifted", _shifted(timedelta(minutes=10)), updated=SIZE - 2),
    _way(
        "all in the past",
        _shifted(timedelta(days=-400)),
        held={"over_budget": 40},
        cancelled=4,
    ),
    _way(
        "all cancelled",
        _each("SUMMARY", "STATUS:CANCELLED\r\nSUMMARY"),
        held={"told_flood": SIZE},
    ),
    _way(
        "cancelled in its head",
        _body(lambda b: b.replace(b"VERSION", b"METHOD:CANCEL\r\nVERSION")),
        held={"told_flood": SIZE},
    ),
    _way(
        "all rooms left out",
        _each(r"(?:ATTENDEE;\S+\r\n)?((?:RRULE\S+\r\n)?END:VEVENT)", r"\1"),
        held={"told_flood": SIZE - 2},
    ),
    _way(
        "all free",
        _each("SUMMARY", "TRANSP:TRANSPARENT\r\nSUMMARY"),
        held={"over_budget": SIZE},
    ),
    _way(
        "format version 1.0", _body(lambda b: b.replace(b"VERSION:2.0", b"VERSION:1.0"))
    ),
    _way("UTF-16", _body(lambda b: b.decode().encode("utf-16"))),
)

DIRECTORIES = (
    _branch("missing", shutil.rmtree, state="unreadable", says="does not exist"),
    _branch(
        "without mode",
        lambda f: f.chmod(0),
        state="unreadable",
        says="change its mode",
        modes=True,
    ),
    _branch(
        "no file readable",
        _for_each(_no_mode),
        state="unreadable",
        says="change its mode",
        modes=True,
    ),
    _branch(
        "one file unreadable",
        lambda f: _no_mode(f / "first.ics"),
        says="first.ics may not",
        modes=True,
    ),
    _branch(
        "one file cut off",
        lambda f: os.truncate(f / "first.ics", 700),
        says="first.ics is cut off",
    ),
    _branch("emptied for a moment", _for_each(Path.unlink)),
    _branch(
        "emptied",
        _for_each(Path.unlink),
        later=_LATER,
        state="unchanged",
        held={"source_empty": 44},
    ),
    _branch("a file instead", _a_file_instead, held={"source_empty": 44}),
    _branch("one file lost for a moment", lambda f: (f / "first.ics").unlink()),
    _branch(
        "one large file lost",
        lambda f: (f / "first.ics").unlink(),
        later=_LATER,
        state="unchanged",
        held={"file_gone": 20},
    ),
    _branch(
        "one small file lost",
        lambda f: (f / "third.ics").unlink(),
        later=_LATER,
        state="unchanged",
        held={"file_gone": 4},
    ),
    _branch(
        "files renamed",
        _for_each(lambda p: p.rename(p.with_name(f"new-{p.name}"))),
        state="unchanged",
    ),
    _branch("events in other files", _move_between_files),
)

CONFIGURATIONS = (
    _way(
        "source removed",
        _edit((_SOURCE, "")),
        state="removed",
        held={"source_removed": SIZE},
    ),
    _way("renamed", _edit(('"office"', '"headquarters"')), state="removed"),
    _way("paths swapped", _swap('"office.ics"', '"beside.ics"')),
    _way("names swapped", _swap('"office"', '"beside"')),
    _way("uid_scope changed", _SCOPED, state="unchanged"),
    _way(
        "uid_scope, a room lost",
        _SCOPED,
        _lose("rooms.toml"),
        state="unchanged",
        held={"rules_changed": 44},
    ),
    _way(
        "uid_scope, then renamed",
        _SCOPED,
        _edit(('"office"', '"headquarters"')),
        state="removed",
    ),
    _way(
        "conf.d with a source lost",
        _lose("branch.toml"),
        source="branch",
        state="removed",
        held={"source_removed": 44},
    ),
    _way(
        "conf.d with a room lost",
        _lose("rooms.toml"),
        state="unchanged",
        held={"rules_changed": 44},
    ),
    _way("horizon narrowed", _rule('horizon = "2d"'), state="unchanged"),
    _way(
        "time zone changed",
        _edit(("Europe/Berlin", "Atlantic/Azores")),
        state="unchanged",
        updated=6,
    ),
    _way(
        "working hours changed",
        _rule('working_hours = ["10:00", "11:00"]'),
        state="unchanged",
        updated=2,
    ),
    _way(
        "all_day changed",
        _edit(('"working-hours"', '"skip"')),
        state="unchanged",
        held={"rules_changed": 2},
    ),
    _way(
        "roomless changed",
        _rule('roomless = "skip"'),
        state="unchanged",
        held={"rules_changed": 2},
    ),
    _way("mode observe, half gone", _edit(('"full"', '"observe"')), _only(20)),
    _way("mode no-cancel, half gone", _edit(('"full"', '"no-cancel"')), _only(20)),
    _way(
        "mode create-only, all shifted",
        _edit(('"full"', '"create-only"')),
        _shifted(timedelta(minutes=10)),
    ),
    _way(
        "clock behind by a day", _nothing, clock=-timedelta(days=1), state="unchanged"
    ),
    _way(
        "clock behind by fifty years",
        _nothing,
        clock=-timedelta(days=20000),
        state="unchanged",
    ),
    _way(
        "clock ahead by three days",
        _nothing,
        clock=timedelta(days=3),
        state="unchanged",
    ),
    _way(
        "clock ahead by forty days",
        _nothing,
        clock=timedelta(days=40),
        state="unchanged",
    ),
)

WAYS = (*FILES, *DIRECTORIES, *CONFIGURATIONS)


# What comes of them


@dataclass(frozen=True)
class Outcome:
    """What the last cycle of a way said, and what all its cycles together did."""

    seen: Seen
    counts: Counter[str]


def _go_wrong(office: Office, way: Way) -> Outcome:
    """Take each step of a way, with a cycle after it."""
    counts: Counter[str] = Counter()
    for step in way.steps:
        step(office)
        seen = (
            _cycle_with_modes_obeyed(office) if way.modes else _cycle(office, way.clock)
        )
        counts.update(seen.once["counts"])
    if way.later is not None:
        seen = _cycle(office, way.later)
        counts.update(seen.once["counts"])
    return Outcome(seen, counts)


def _mend(office: Office) -> None:
    """Calendars and configuration as they were; ledger and API as they are."""
    kept = ("state.db", "sandbox.db", "tuya-secret")
    for path in office.folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
            shutil.rmtree(path)
        elif not path.name.startswith(kept):
            path.unlink()
    _configure(office)
    _write_calendars(office)


@contextmanager
def _office_in(folder: Path) -> Iterator[Office]:
    """An office whose API keeps its reservations in the same folder."""
    settings = SandboxSettings(
        db=folder / "sandbox.db", client_id="id", client_secret="secret"
    )
    with Sandbox(settings).running() as running:
        yield Office(folder, running.url, running.client_id, running.client_secret)


def _book_everything(folder: Path) -> None:
    with _office_in(folder) as office:
        _mend(office)
        assert _cycle(office).once["counts"]["created"] == SIZE + 44 + 3


@contextmanager
def _copy(template: Path, folder: Path) -> Iterator[Office]:
    """The office with everything booked, to break."""
    shutil.copytree(template, folder)
    with _office_in(folder) as office:
        _configure(office)
        yield office


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything is booked."""
    folder = tmp_path_factory.mktemp("template")
    _book_everything(folder)
    return folder


def _content(office: Office) -> list[dict[str, Any]]:
    """What the API holds, without what tells one booking of a meeting from the next."""
    own = ("reservation_id", "description", "gmt_create", "gmt_modified")
    return [{k: v for k, v in r.items() if k not in own} for r in office.reservations()]


@pytest.mark.first(30)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nothing_is_cancelled_on_a_guess(
    way: Way, template: Path, tmp_path: Path
) -> None:
    """It is said what is wrong, only what the contract allows is cancelled, and mending it mends all."""
    with _copy(template, tmp_path / "office") as office:
        before, content = office.reservations(), _content(office)
        outcome = _go_wrong(office, way)
        state, sentence = outcome.seen.source(way.source)
        assert state == way.state
        assert (
            (way.says is None)
            if sentence is None
            else (way.says is not None and way.says in sentence)
        )
        assert (outcome.counts["cancelled"], outcome.counts["updated"]) == (
            way.cancelled,
            way.updated,
        )
        assert outcome.counts["created"] == 0
        assert outcome.seen.held == way.held
        assert outcome.seen.status["held"]["cancellations"] == sum(way.held.values())
        assert (outcome.seen.status["held"]["checksum"] is None) is (not way.held)
        assert len(office.writes()) == way.cancelled + way.updated
        _mend(office)
        mended = _cycle(office)
        assert (mended.once["counts"]["created"], mended.once["counts"]["updated"]) == (
            way.cancelled,
            way.updated,
        )
        assert mended.once["outcome"] == "ok"
        assert _content(office) == content
        if not way.cancelled:
            assert [r["reservation_id"] for r in office.reservations()] == [
                r["reservation_id"] for r in before
            ]
        if not (way.cancelled or way.updated):
            assert office.writes() == []
            assert office.reservations() == before


def test_a_calendar_cut_at_any_place_changes_nothing(
    template: Path, tmp_path: Path
) -> None:
    """Wherever a file ends too early, in a line, a line end or between events, it is no whole calendar."""
    with _copy(template, tmp_path / "office") as office:
        whole = office.calendar_file.read_bytes()
        last = len(whole.rstrip())
        for place in (
            1,
            8,
            *range(20, last, last // 8),
            last - 20,
            last - 10,
            last - 1,
        ):
            office.calendar_file.write_bytes(whole[:place])
            seen = _cycle(office)
            assert seen.source("office")[0] == "unreadable", place
            assert seen.held == {}, place
        assert office.writes() == []


def test_the_others_go_on(template: Path, tmp_path: Path) -> None:
    """While one source is unreadable and one is held, edits in the third are carried out at once."""
    with _copy(template, tmp_path / "office") as office:
        office.calendar_file.unlink()
        (office.folder / "branch" / "first.ics").unlink()
        events = {
            **BESIDE,
            "n0": event("n0", ahead(1, 3), 45, "SUMMARY:Renamed", room="small"),
        }
        del events["n2"]
        events["n9"] = event("n9", ahead(5, 3), 45, room="small")
        assert _cycle(office).once["counts"]["held"] == 0
        (office.folder / "beside.ics").write_bytes(calendar(*events.values()))
        counts = _cycle(office, _LATER).once["counts"]
        done = (
            counts["created"],
            counts["updated"],
            counts["cancelled"],
            counts["held"],
        )
        assert done == (1, 1, 1, 20)


def test_a_change_that_never_arrived_is_not_blamed_on_the_configuration(
    office: Office,
) -> None:
    """An event that gives up its room does so, also when the first request for it was lost on its way."""
    office.write(event("m", ahead(1), room="small"))
    assert _cycle(office).once["counts"]["created"] == 1
    office.write(event("m", ahead(1), room=None))
    office.fault("closed:on=write,times=1")
    _cycle(office)
    office.fault()
    seen = _cycle(office)
    assert (seen.once["outcome"], seen.held) == ("ok", {})
    assert [r["room_id"] for r in office.reservations()] == [""]


def _print_table() -> None:
    """What each way leads to, as a table in Markdown."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    print("| way | state | sentence | held | cancelled | updated |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template")
        template.mkdir()
        _book_everything(template)
        for number, way in enumerate(WAYS):
            with _copy(template, Path(folder, str(number))) as office:
                outcome = _go_wrong(office, way)
            state, sentence = outcome.seen.source(way.source)
            held = ", ".join(
                f"{count} {reason}" for reason, count in outcome.seen.held.items()
            )
            written = (outcome.counts["cancelled"], outcome.counts["updated"])
            print(
                "|",
                " | ".join(map(str, (way, state, sentence or "", held, *written))),
                "|",
            )


if __name__ == "__main__":
    _print_table()
