"""The events of one UID by themselves: what they say, when to look again, and many of them at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.bounds import MAX_OCCURRENCES
from syncd.core.document import Document
from syncd.core.occurrence import Presence, Window
from syncd.core.reasons import Reason
from syncd.ics import Locale, ParsedSeries, ParserPool, RawEvent, SeriesParser
from syncd.ics.content import DECIDES_TIME, BrokenComponent, RawComponent, split
from syncd.ics.parallel import PARALLEL_FROM
from syncd.ics.properties import READ, Properties, is_binary
from syncd.ics.quirks import Property, repaired
from syncd.intake import SourceIndex, diff_source, extent
from tests.conftest import HANG_S
from tests.ics.test_calendars import Calendar, each_whole
from tests.intake.test_whole import calendar, steps, vevent, vtimezone
from tests.intake.tracked import Tracked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = Window.ahead(NOW, timedelta(days=30))
BERLIN = Locale(default=ZoneInfo("Europe/Berlin"))
MORNING = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")


def taken_apart(
    *bodies: bytes, locale: Locale = BERLIN, max_occurrences: int = MAX_OCCURRENCES
) -> tuple[SeriesParser, Mapping[str, tuple[RawEvent, ...]]]:
    """The events of a source by UID, and what parses them."""
    found = diff_source(
        [Document(f"{number}.ics", body) for number, body in enumerate(bodies, 1)],
        SourceIndex(),
        secret=0,
        is_current=lambda _text, _lines: True,
        tracked=Tracked(booked=lambda _uid: True),
    )
    parser = SeriesParser(
        found.index.contexts,
        source="office",
        scope="",
        locale=locale,
        max_occurrences=max_occurrences,
    )
    return parser, found.changed


def parse_series(
    *bodies: bytes, uid: str = "meeting", window: Window = WINDOW
) -> ParsedSeries:
    """What one UID says."""
    parser, raw_events = taken_apart(*bodies)
    return parser.parse(uid, raw_events[uid], window)


class TestParse:
    """One UID."""

    def test_nothing(self) -> None:
        """A UID without events has no presence."""
        parser, _ = taken_apart(calendar(vevent(*MORNING)))
        assert parser.parse("gone", (), WINDOW) == ParsedSeries("gone")

    def test_event(self) -> None:
        """An event has its occurrence, from its own document."""
        said = parse_series(calendar(vevent(*MORNING)))
        assert [o.key.recurrence_id for o in said.occurrences] == [None]
        assert (said.presence, said.defects) == (Presence.SERIES, ())

    def test_one_defect_quarantines(self) -> None:
        """Of a UID with a broken component in its calendar nothing is told but the defect, in its line."""
        said = parse_series(
            calendar(vevent(*MORNING), vevent("RECURRENCE-ID:x", *MORNING))
        )
        assert (said.occurrences, said.presence) == ((), Presence.QUARANTINED)
        assert [(d.document, d.reason) for d in said.defects] == [
            ("1.ics", Reason.BROKEN_PROPERTY)
        ]

    def test_a_broken_copy_does_not_hold_up_a_good_one(self) -> None:
        """What another calendar says counts; the defect is told, and what is missing proves nothing."""
        said = parse_series(
            calendar(vevent(*MORNING)), calendar(vevent("RECURRENCE-ID:x", *MORNING))
        )
        assert [o.document for o in said.occurrences] == ["1.ics"]
        assert said.presence is Presence.QUARANTINED
        assert [(d.document, d.line, d.reason) for d in said.defects] == [
            ("2.ics", 3, Reason.BROKEN_PROPERTY)
        ]

    def test_without_uid(self) -> None:
        """Events without UID are defects, and stand for nothing."""
        said = parse_series(calendar(vevent(*MORNING, uid=None)), uid="")
        assert (said.presence, [d.reason for d in said.defects]) == (
            None,
            [Reason.NO_UID],
        )

    def test_several_uids(self) -> None:
        """An event of several UIDs is a defect of each of them."""
        parser, raw_events = taken_apart(calendar(vevent("UID:other", *MORNING)))
        for uid in ("meeting", "other"):
            (defect,) = parser.parse(uid, raw_events[uid], WINDOW).defects
            assert (defect.uid, defect.reason) == (uid, Reason.BROKEN_PROPERTY)

    def test_detached(self) -> None:
        """Overrides without their series speak for themselves."""
        said = parse_series(
            calendar(vevent("RECURRENCE-ID:20260106T090000Z", *MORNING))
        )
        assert said.presence is Presence.DETACHED

    def test_order(self) -> None:
        """The order of the VEVENTs means nothing."""
        bodies = [
            calendar(vevent(*MORNING, f"SUMMARY:{n}", "SEQUENCE:1"), vevent(*MORNING))
            for n in "ab"
        ]
        parser, raw_events = taken_apart(*bodies)
        said = parser.parse("meeting", raw_events["meeting"], WINDOW)
        assert parser.parse("meeting", raw_events["meeting"][::-1], WINDOW) == said

    def test_unused_zones(self) -> None:
        """Definitions of zones that no event uses cost nothing once the calendar was looked into."""
        zones = [vtimezone(f"Zone {n}", "+0300") for n in range(5)]
        event = vevent(*MORNING)
        few, many = (taken_apart(calendar(*head, event)) for head in ([], zones))
        for parser, raw_events in (few, many):
            parser.parse("meeting", raw_events["meeting"], WINDOW)
        costs = [
            steps(
                lambda u=parser, p=raw_events: u.parse("meeting", p["meeting"], WINDOW)  # type: ignore[misc]  # no type can be written
            )
            for parser, raw_events in (few, many)
        ]
        assert costs[0] == costs[1]


class TestNextStart:
    """When an occurrence begins that lies beyond what was looked at."""

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            (MORNING, None),
            (("DTSTART:20260601T090000Z",), "2026-06-01T09:00Z"),
            ((*MORNING, "RRULE:FREQ=DAILY"), "2026-02-07T09:00Z"),
            ((*MORNING, "RRULE:FREQ=WEEKLY"), "2026-02-09T09:00Z"),
            (
                (*MORNING, "RRULE:FREQ=WEEKLY", "EXDATE:20260209T090000Z"),
                "2026-02-16T09:00Z",
            ),
            ((*MORNING, "RRULE:FREQ=MONTHLY"), "2026-03-05T09:00Z"),
            ((*MORNING, "RRULE:FREQ=YEARLY"), "2027-01-05T09:00Z"),
            ((*MORNING, "RRULE:FREQ=WEEKLY;UNTIL=20260201"), None),
            ((*MORNING, "RDATE:20261224T090000Z"), "2026-12-24T09:00Z"),
            (("DTSTART;VALUE=DATE:20260601",), "2026-05-31T22:00Z"),
            (("DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=WEEKLY"), "2026-02-08T23:00Z"),
        ],
    )
    def test_expected(self, lines: tuple[str, ...], expected: str | None) -> None:
        """It is the first occurrence from the reach on, None if there is none."""
        said = parse_series(calendar(vevent(*lines)))
        assert said.next_start == (expected and datetime.fromisoformat(expected))

    def test_far_away(self) -> None:
        """Where a next date is not found within a year, one looks again before it can be there."""
        said = parse_series(
            calendar(vevent("DTSTART:20240229T090000Z", "RRULE:FREQ=YEARLY"))
        )
        assert said.next_start is not None
        assert (
            WINDOW.reach + 300 * DAY
            < said.next_start
            <= datetime(2028, 2, 29, 9, tzinfo=UTC)
        )

    def test_moved_far(self) -> None:
        """An override that was moved beyond the end of its series counts."""
        override = vevent("RECURRENCE-ID:20260106T090000Z", "DTSTART:20270106T100000Z")
        said = parse_series(
            calendar(vevent(*MORNING, "RRULE:FREQ=DAILY;UNTIL=20260110"), override)
        )
        assert said.next_start == datetime(2027, 1, 6, 10, tzinfo=UTC)

    @settings(max_examples=40, deadline=None)
    @given(
        rule=st.sampled_from(
            [
                "FREQ=DAILY;INTERVAL=9",
                "FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20260801T000000Z",
                "FREQ=MONTHLY;BYMONTHDAY=31",
                "FREQ=MONTHLY;BYDAY=-1FR;COUNT=5",
                "FREQ=HOURLY;INTERVAL=36",
                "FREQ=YEARLY;INTERVAL=2",
            ]
        ),
        start=st.integers(-400, 300),
        zone=st.sampled_from(
            ["Europe/Berlin", "Pacific/Kiritimati", "America/New_York"]
        ),
        others=st.lists(
            st.sampled_from(
                [
                    "RECURRENCE-ID;RANGE=THISANDFUTURE:{first}|DTSTART:{later}",
                    "RECURRENCE-ID:{first}|DTSTART:{later}",
                    "RECURRENCE-ID:{later}|DTSTART:20260901T070000Z",
                ]
            ),
            max_size=2,
            unique=True,
        ),
        horizon=st.integers(8, 60),
    )
    def test_nothing_is_missed(
        self, rule: str, start: int, zone: str, others: list[str], horizon: int
    ) -> None:
        """Who looks again only at the times that are told finds every occurrence before it begins."""
        wall = datetime(2026, 1, 1, 9) + start * DAY  # noqa: DTZ001  # wall clock
        first = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        times = {
            "first": f"{first:%Y%m%dT%H%M%SZ}",
            "later": f"{first + 12 * DAY:%Y%m%dT%H%M%SZ}",
        }
        master = vevent(
            f"DTSTART;TZID={zone}:{wall:%Y%m%dT%H%M%S}",
            "DURATION:PT1H",
            f"RRULE:{rule}",
        )
        overrides = [vevent(*other.format(**times).split("|")) for other in others]
        parser, raw_events = taken_apart(calendar(master, *overrides))
        end = NOW + 300 * DAY
        whole = parser.parse("meeting", raw_events["meeting"], Window(NOW, end, end))
        missing = {
            (o.key, o.when): begin
            for o in whole.occurrences
            if (begin := extent(o)[0]) < end
        }
        reach: datetime | None = NOW + horizon * DAY
        for _ in range(60):
            if reach is None or reach >= end:
                break
            said = parser.parse(
                "meeting", raw_events["meeting"], Window(NOW, reach, reach)
            )
            for occurrence in said.occurrences:
                missing.pop((occurrence.key, occurrence.when), None)
            assert said.next_start is None or said.next_start >= reach
            assert all(begin >= (said.next_start or end) for begin in missing.values())
            reach = said.next_start and said.next_start + horizon * DAY
        assert reach is None or reach >= end


MANY = PARALLEL_FROM + 300
SCRIPT = """
import sys
from tests.ics.test_series import MANY, WINDOW, children, many, taken_apart
from syncd.ics import ParserPool

parser, raw_events = taken_apart(many())
try:
    for number, _ in enumerate(ParserPool(2).parse_all(raw_events, parser, WINDOW)):
        if number == 0:
            print(*children(), flush=True)
            sys.stdin.read()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def many() -> bytes:
    """A calendar of many events, one of them broken, one a long series."""
    events = [vevent(*MORNING, f"SUMMARY:{n}", uid=f"event-{n}") for n in range(MANY)]
    series = vevent(*MORNING, "RRULE:FREQ=HOURLY;INTERVAL=2", uid="series")
    return calendar(*events, vevent("DTSTART:never", uid="broken"), series)


def children(process: int | None = None) -> list[int]:
    """The processes that a process started, ended ones too, but for servers that tests share."""
    here = Path(f"/proc/{process or os.getpid()}")
    lists = [found.read_text().split() for found in here.glob("task/*/children")]
    started = sorted(int(pid) for found in lists for pid in found)
    ours = ("", _program_of(os.getpid()))
    return [pid for pid in started if _program_of(pid) in ours]


def _program_of(process: int) -> str:
    try:
        return str(Path(f"/proc/{process}/exe").readlink())
    except OSError:  # it ended
        return ""


def is_running(process: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def by_uid(said: Iterable[ParsedSeries]) -> dict[str, ParsedSeries]:
    """Each answer once."""
    answers = list(said)
    found = {answer.uid: answer for answer in answers}
    assert len(found) == len(answers)
    return found


@pytest.fixture
def alone() -> Iterator[subprocess.Popen[str]]:
    """A process that has workers busy, in a group of its own, and waits."""
    command = [sys.executable, "-c", SCRIPT]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        text=True,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


class TestPool:
    """Many UIDs at once."""

    def test_same_with_workers(self) -> None:
        """Each UID is answered once, and workers say what one process says."""
        parser, raw_events = taken_apart(many())
        here = {
            uid: parser.parse(uid, found, WINDOW) for uid, found in raw_events.items()
        }
        assert len(here) == MANY + 2
        assert here["broken"].presence is Presence.QUARANTINED
        assert len(here["series"].occurrences) > 400
        with ParserPool(2) as pool:
            assert by_uid(pool.parse_all(raw_events, parser, WINDOW)) == here
        assert children() == []

    def test_little_work(self) -> None:
        """For a few plain events no process is started."""
        parser, raw_events = taken_apart(
            calendar(*(vevent(*MORNING, uid=f"{n}") for n in range(9)))
        )
        with ParserPool() as pool:
            for _ in pool.parse_all(raw_events, parser, WINDOW):
                assert children() == []

    @pytest.mark.parametrize("killed", [1, 2])
    def test_workers_die(self, killed: int) -> None:
        """What a worker had that was killed is done without it."""
        parser, raw_events = taken_apart(many())
        here = {
            uid: parser.parse(uid, found, WINDOW) for uid, found in raw_events.items()
        }
        with ParserPool(2) as pool:
            answers = pool.parse_all(raw_events, parser, WINDOW)
            first = next(answers)
            for worker in children()[:killed]:
                os.kill(worker, signal.SIGKILL)
            assert by_uid([first, *answers]) == here
        assert children() == []

    def test_nobody_waits_for_the_rest(self) -> None:
        """Who stops asking leaves no process behind that works."""
        parser, raw_events = taken_apart(many())
        with ParserPool(2) as pool:
            answers = pool.parse_all(raw_events, parser, WINDOW)
            next(answers)
            assert len(children()) == 2
            answers.close()  # type: ignore[attr-defined]  # it is a generator
            assert len(children()) <= 1
        assert children() == []

    def test_interrupted(self, alone: subprocess.Popen[str]) -> None:
        """Ctrl-C, which goes to the whole group, ends all of them, and nobody says more than is meant."""
        assert alone.stdout is not None
        workers = [int(pid) for pid in alone.stdout.readline().split()]
        assert len(workers) == 2
        os.killpg(alone.pid, signal.SIGINT)
        assert alone.communicate(timeout=HANG_S) == ("stopped\n", "")
        assert not any(map(is_running, workers))

    def test_parent_dies(self, alone: subprocess.Popen[str]) -> None:
        """Workers end with the process that they work for, however that ends."""
        assert alone.stdout is not None
        workers = [int(pid) for pid in alone.stdout.readline().split()]
        alone.kill()
        deadline = time.monotonic() + HANG_S
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(is_running, workers))

    def test_workers_are_small(self) -> None:
        """A worker loads nothing of the program but what reads calendars."""
        script = "import sys; import syncd.ics.parallel; print(*(n for n, m in sys.modules.items() if m))"
        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        modules = {name.partition(".")[0] for name in loaded.stdout.split()}
        assert "syncd" in modules
        assert not modules & {
            "icalendar",
            "sqlalchemy",
            "httpx",
            "pydantic",
            "typer",
            "rich",
            "structlog",
            "starlette",
        }


LINES = [
    "SUMMARY:a\\, b\\; c\\n d\\N e\\\\ f\\: g\\x h\\",
    "SUMMARY;LANGUAGE=de:Ü \u2028 \xa0",
    'SUMMARY;ALTREP="http://example.com/a;b":x',
    "DESCRIPTION;VALUE=TEXT:x",
    "DESCRIPTION;VALUE=BINARY;ENCODING=BASE64:eA==",
    "LOCATION:",
    "ATTENDEE;CN=Ann Miller;ROLE=CHAIR:mailto:ann@example.com",
    'ATTENDEE;CN="Miller, Ann";X-NUM-GUESTS=0:MAILTO:ann@example.com',
    'ATTENDEE;CN="";PARTSTAT=:invalid',
    "ATTENDEE;CN=a,b:mailto:c@example.com",
    "ATTENDEE;CN=\\,a%2Cb^n:mailto:c@example.com",
    "ATTENDEE;CN= a ; ROLE = CHAIR:mailto:c@example.com",
    "ATTENDEE;cn=a;CN=b;role=chair:mailto:c@example.com",
    "ATTENDEE;CN=a;CN=b:mailto:c@example.com",
    'ATTENDEE;CN="a"b:mailto:c@example.com',
    "ATTENDEE;CN=\xa0a\xa0:mailto:c@example.com",
    "ATTENDEE;CN=a=b:mailto:c@example.com",
    "ATTENDEE;CN:mailto:c@example.com",
    "ATTENDEE:mailto:a\\,b@example.com",
    "ORGANIZER;EMAIL=x@example.com;CN=X:urn:uuid:1",
    "ATTACH;FMTTYPE=text/plain;FILENAME=a.txt;SIZE=12:https://example.com/a",
    "ATTACH;VALUE=URI:https://example.com/a",
    "ATTACH;ENCODING=BASE64;X-FILENAME=a.bin:eA==",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:eA==",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:e A = =",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:eA",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:eA==eA==",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:e-_A",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:",
    "ATTACH;VALUE=BINARY;ENCODING=BASE64:e\u00e4A=",
    "ATTACH;VALUE=BINARY;ENCODING=8BIT:eA==",
    "ATTACH;VALUE=binary;ENCODING=base64;FMTTYPE=text/plain:eA==",
    "ATTACH;VALUE=BINARY;FILENAME=a.txt:eA==",
    "URL;VALUE=URI:https://example.com/a",
    "X-ALT-DESC;FMTTYPE=text/html:<p>a\\, b\\n</p>",
    "X-ALT-DESC;VALUE=TEXT:a\\, b",
    "DTSTART:20260105T090000",
    "DTSTART:20260105T090000Z",
    "DTSTART;VALUE=DATE:20260105",
    "DTSTART;VALUE=DATE-TIME;TZID=Europe/Berlin:20260105T090000",
    "DTSTART;TZID=Europe/Berlin;VALUE=DATE-TIME:20260105T090000",
    'DTSTART;TZID="Europe/Berlin":20260105T090000Z',
    "DTSTART:20260105",
    "DTSTART:20260132T090000",
    "DTSTART:20260105T240000",
    "DTSTART:20260105T236060",
    "DTSTART:00000105T090000",
    "EXDATE;TZID=Europe/Berlin:20260105T090000,20260106T090000",
    "EXDATE;VALUE=DATE:20260105,20260106",
    "RDATE;VALUE=PERIOD:20260105T090000Z/PT1H",
    "RDATE:20260105T090000Z,x",
    "RDATE:",
    "RECURRENCE-ID;RANGE=THISANDFUTURE:20260105T090000Z",
    "SEQUENCE:7",
    "SEQUENCE:-7",
    "SEQUENCE:99999999999",
    "STATUS;X-A=b:CONFIRMED",
    "TRANSP:OPAQUE",
]


Values = dict[str, list[object]]
PARAMETERS = (
    *("CN", "EMAIL", "CUTYPE", "ROLE", "PARTSTAT", "DELEGATED-TO", "DELEGATED-FROM"),
    *("RANGE", "FILENAME", "FMTTYPE", "ENCODING", "SIZE"),
)
NOBODY_LOOKS_AT = {"RRULE", "EXRULE", "DURATION"}  # only whether they can be read


def values_of(raw: RawComponent) -> Values | None:
    """What is read of an event; None if a property that decides time cannot be read."""
    event = repaired(raw)
    try:
        properties = Properties(event)
    except BrokenComponent:
        return None
    names = READ & event.properties.keys() - NOBODY_LOOKS_AT
    found = {
        name: [_shown(value) for value in properties.all_values(name)] for name in names
    }
    return {name: values for name, values in found.items() if values}


def values_of_library(raw: RawComponent) -> Values | None:
    """What the library makes of the same lines, without their zones."""
    event = repaired(raw)
    if any(
        re.split(r"[^\w.-]", line)[0].upper() in DECIDES_TIME
        for line in event.unreadable
    ):
        return None
    lines = [
        line
        for name, found in event.properties.items()
        if name in READ
        for line in found
    ]
    texts = [f"{line.name}{without_zone(line)}:{line.value}" for line in lines]
    body = "\r\n".join(("BEGIN:VEVENT", *texts, "END:VEVENT", ""))
    try:
        parsed = icalendar.Event.from_ical(body.encode("utf-8", "surrogatepass"))
    except AttributeError:  # a parameter with several values where it looks for one
        return None
    if any(name in DECIDES_TIME for name, _ in parsed.errors):
        return None
    found: Values = {}
    for name in {line.name for line in lines} - NOBODY_LOOKS_AT:
        value = parsed.get(name, [])
        if values := [
            _shown(entry) for entry in (value if isinstance(value, list) else [value])
        ]:
            found[name] = values
    return found


def without_zone(line: Property) -> str:
    """The parameters of a property without TZID, where it has a zone."""
    if line.name in {"DTSTART", "DTEND", "RDATE", "EXDATE", "RECURRENCE-ID", "DTSTAMP"}:
        return re.sub(
            r';TZID=("[^"]*"|[^;:"]*)(?=;|$)',
            "",
            line.parameters,
            count=1,
            flags=re.IGNORECASE,
        )
    return line.parameters


def _shown(value: Any) -> object:
    """A value as far as anybody looks at it."""
    if isinstance(value, icalendar.vBroken):
        return "broken"
    parameters = [value.params.get(name, "") for name in PARAMETERS]
    for name in ("dt", "dts"):
        if hasattr(value, name):
            found = getattr(value, name)
            return [str(entry.dt) for entry in found] if name == "dts" else str(
                found
            ), parameters
    if is_binary(value):
        return value.bytes, parameters
    return str(value), parameters


class TestProperties:
    """What is read without the library is what the library gives."""

    @pytest.mark.parametrize("line", LINES)
    def test_lines(self, line: str) -> None:
        """A line means the same, whether it is plain or not."""
        raw = RawComponent("VEVENT", 1, ("BEGIN:VEVENT", line, "END:VEVENT"))
        assert values_of(raw) == values_of_library(raw)

    @each_whole
    def test_corpus(self, calendar: Calendar) -> None:
        """All events of the corpus are read alike."""
        for found in split(calendar.body):
            for raw in found.components:
                if raw.name == "VEVENT":
                    assert values_of(raw) == values_of_library(raw)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(
            [
                "SUMMARY",
                "ATTENDEE",
                "ATTACH",
                "X-ALT-DESC",
                "DTSTART",
                "EXDATE",
                "RRULE",
                "SEQUENCE",
            ]
        ),
        st.lists(
            st.sampled_from(
                [
                    ";",
                    "CN",
                    "VALUE",
                    "=",
                    '"',
                    "a",
                    " ",
                    ",",
                    "^n",
                    "%2C",
                    "\\",
                    "DATE",
                    "ü",
                ]
            )
        ),
        st.lists(
            st.sampled_from(
                [
                    "20260105",
                    "T090000",
                    "Z",
                    ",",
                    "\\",
                    "n",
                    " ",
                    "FREQ=DAILY",
                    ";",
                    "1",
                    "x",
                ]
            )
        ),
    )
    def test_generated(
        self, name: str, parameters: list[str], value: list[str]
    ) -> None:
        """However the parts of a line are put together, it means the same."""
        line = f"{name}{''.join([';', *parameters] if parameters else [])}:{''.join(value)}"
        raw = RawComponent("VEVENT", 1, ("BEGIN:VEVENT", line, "END:VEVENT"))
        assert values_of(raw) == values_of_library(raw)

    def test_plain_is_plain(self) -> None:
        """What programs write every day is read without the library, or there would be no use in it."""
        lines = (
            "DTSTART;TZID=Europe/Berlin:20260105T090000",
            'ATTENDEE;CN="Miller, Ann";ROLE=CHAIR:mailto:a@b.c',
        )
        values = Properties(
            repaired(RawComponent("VEVENT", 1, ("BEGIN:VEVENT", *lines, "END:VEVENT")))
        )
        found = [*values.values("DTSTART"), *values.values("ATTENDEE")]
        assert [type(value).__module__ for value in found] == [
            "syncd.ics.properties"
        ] * 2
