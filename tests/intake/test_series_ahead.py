"""Series that are parsed while their document is looked through: nothing else comes of it than afterwards.

The judge is a scan of the same text that parses nothing ahead, and the parser by itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from syncd.core.document import Document
from syncd.ics import CpuAllowance, ParsedSeries, ParserPool, RawEvent
from syncd.ics.ahead import ParsingAhead
from syncd.ics.worker import Instructions
from syncd.intake import Bounded, CalendarSource
from syncd.intake.known import Known
from syncd.intake.scan import Scan, ScanResult, TrackedUids
from syncd.intake.series_ahead import AHEAD_FROM
from syncd.intake.state import UNKNOWN, WHOLE
from syncd.ledger import Ledger
from tests.ics.test_calendars import Calendar, each_whole
from tests.ics.test_series import BERLIN, WINDOW, children, taken_apart
from tests.intake.test_whole import calendar, vevent, vtimezone

MANY = 90
IN_REACH = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")
OVER = ("DTSTART:20250105T090000Z", "DTEND:20250105T100000Z")
LATER = ("DTSTART:20270105T090000Z", "DTEND:20270105T100000Z")
ONE_BY_ONE = [vevent(*IN_REACH, f"SUMMARY:{n}", uid=f"event {n}") for n in range(MANY)]
SERIES = [
    vevent(*IN_REACH, "RRULE:FREQ=DAILY;COUNT=9", uid=f"series {n}")
    for n in range(MANY)
]
MOVED = [
    vevent(*IN_REACH, "RECURRENCE-ID:20260107T090000Z", uid=f"series {n}")
    for n in range(0, MANY, 2)
]
MASTERS_THAT_ARE_OVER = [
    vevent(*OVER, "RRULE:FREQ=DAILY;COUNT=3", uid=f"series {n}")
    for n in range(0, MANY, 3)
]
BERLIN_ZONE = vtimezone("Europe/Berlin", "+0300")


@dataclass(frozen=True)
class Fetched:
    """One document of a source."""

    documents: tuple[Document, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_folder: bool = False
    asked_at: None = None

    def accept(self) -> None:
        """Nothing depends on it."""


@dataclass(frozen=True)
class Scanner:
    """Scans of texts of which nothing was known before."""

    ledger: Ledger
    pool: ParserPool

    def scan(
        self, *bodies: bytes, ahead: bool, bounded: Bounded | None = None
    ) -> ScanResult:
        """What a scan finds that parses ahead, or one that does not."""
        documents = tuple(
            Document(f"{number}.ics", body, size=AHEAD_FROM if ahead else len(body))
            for number, body in enumerate(bodies)
        )
        fetched = Fetched(documents)
        source = CalendarSource("office", lambda: fetched, BERLIN)
        scan = Scan(
            source,
            fetched,
            Known.of(source, {}),
            UNKNOWN,
            self.ledger,
            salt=7,
            at=WINDOW.start,
            at_s=0.0,
            tracked_uids=TrackedUids(self.ledger.worklist),
        )
        return scan.run(WINDOW, bounded or Bounded(self.pool, CpuAllowance(4.0)))

    def check(self, *bodies: bytes) -> ScanResult:
        """Scan in both ways, and compare."""
        found = self.scan(*bodies, ahead=True)
        judge = self.scan(*bodies, ahead=False)
        assert judge.parsed == {}
        assert found.diff.index.packed() == judge.diff.index.packed()
        assert found.diff.changed == judge.diff.changed
        assert found.diff.problems == judge.diff.problems
        assert (found.kept, found.earliest) == (judge.kept, judge.earliest)
        for uid, series in found.parsed.items():
            events = judge.diff.changed[uid]
            assert series == judge.parser.parse(uid, events, WINDOW)
        return found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger in which nothing is, and into which a scan writes nothing."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'state.db'}"
    with Ledger.open(url, owner=True) as empty:
        yield empty


@pytest.fixture
def scanner(ledger: Ledger) -> Iterator[Scanner]:
    """A scanner that leaves no process behind."""
    with ParserPool(2) as pool:
        yield Scanner(ledger, pool)
    assert children() == []


def numbered(name: str, numbers: Sequence[int]) -> set[str]:
    """UIDs of that name."""
    return {f"{name} {number}" for number in numbers}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([*SERIES, *MOVED], id="dates moved far behind"),
        pytest.param([*MOVED, *SERIES], id="dates moved far before"),
        pytest.param([*MASTERS_THAT_ARE_OVER, *MOVED], id="what is over before"),
        pytest.param([*MOVED, *MASTERS_THAT_ARE_OVER], id="what is over behind"),
        pytest.param([*ONE_BY_ONE, *ONE_BY_ONE], id="everything twice"),
        pytest.param([*SERIES, *reversed(SERIES)], id="series twice"),
    ],
)
def test_whole_series(scanner: Scanner, events: list[str]) -> None:
    """A UID is parsed with all of its events, wherever in the document they stand."""
    found = scanner.check(calendar(*events))
    assert found.parsed.keys() == found.diff.changed.keys()


def test_what_a_cycle_asks_for(scanner: Scanner) -> None:
    """What is over or comes later is not parsed, nor what may be costly; all the rest is."""
    later = [vevent(*LATER, uid=f"later {n}") for n in range(MANY)]
    over = [vevent(*OVER, uid=f"over {n}") for n in range(MANY)]
    costly = vevent(*IN_REACH, "RDATE:20260106T090000Z", uid="costly")
    nameless = vevent(*IN_REACH, uid=None)
    found = scanner.check(calendar(costly, *over, nameless, *later, *ONE_BY_ONE))
    assert found.parsed.keys() == numbered("event", range(MANY))


def test_booked_before(scanner: Scanner, tmp_path: Path) -> None:
    """What is over and booked is parsed as what is not over, because a cycle asks for it."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with Ledger.open(url, owner=True) as ledger:
        ledger.worklist.record_scan(
            "other",
            {},
            WHOLE,
            at=WINDOW.start,
            whole=True,
            kept={},
            ready=["over 3", "later 4"],
        )
        later = [vevent(*LATER, uid=f"later {n}") for n in range(MANY)]
        over = [vevent(*OVER, uid=f"over {n}") for n in range(MANY)]
        body = calendar(*over, *ONE_BY_ONE, *later)
        found = replace(scanner, ledger=ledger).check(body)
    assert found.parsed.keys() == {"over 3"} | numbered("event", range(MANY))


def test_set_aside(scanner: Scanner) -> None:
    """What is known to be set aside is not parsed ahead."""
    aside = ParsedSeries("event 3")

    def verdict(uid: str, _events: Sequence[RawEvent]) -> ParsedSeries | None:
        return aside if uid == "event 3" else None

    bounded = Bounded(scanner.pool, CpuAllowance(4.0), verdict=verdict)
    body = calendar(*ONE_BY_ONE)
    found = scanner.scan(body, ahead=True, bounded=bounded)
    assert found.parsed.keys() == numbered("event", range(MANY)) - {"event 3"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(calendar(*ONE_BY_ONE, BERLIN_ZONE), id="zone behind the events"),
        pytest.param(calendar(*ONE_BY_ONE).replace(b"\r\n", b"\r"), id="bare returns"),
        pytest.param(calendar(*ONE_BY_ONE).decode().encode("utf-16"), id="UTF-16"),
        pytest.param(calendar(*ONE_BY_ONE)[:-20], id="cut off"),
        pytest.param(calendar(), id="no event"),
        pytest.param(b"", id="empty"),
    ],
)
def test_not_told_by_the_begin(scanner: Scanner, body: bytes) -> None:
    """Nothing is taken that was parsed with other surroundings than it turned out to have."""
    assert scanner.check(body).parsed == {}


def test_late_surprise(scanner: Scanner) -> None:
    """A document that turns out not to be plain in its last event is split anew, and nothing counts twice."""
    odd = vevent(*IN_REACH, "SUMMARY:a\rUID:other", uid="odd")
    found = scanner.check(calendar(*ONE_BY_ONE, odd))
    assert numbered("event", range(MANY)) <= found.diff.changed.keys()


def test_several_calendars(scanner: Scanner) -> None:
    """Only what stands in the surroundings of the first events is parsed ahead."""
    first = calendar(*ONE_BY_ONE, *SERIES)
    second = calendar(BERLIN_ZONE, *MOVED)
    found = scanner.check(first + second)
    both = numbered("series", range(0, MANY, 2))
    assert found.parsed.keys() == found.diff.changed.keys() - both
    alike = scanner.check(first + first)
    assert alike.parsed.keys() == alike.diff.changed.keys()


def test_several_documents(scanner: Scanner) -> None:
    """In a folder nothing is parsed ahead, because each file has surroundings of its own."""
    found = scanner.check(calendar(*ONE_BY_ONE), calendar(*SERIES))
    assert found.parsed == {}


@each_whole
def test_corpus(scanner: Scanner, calendar: Calendar) -> None:
    """No calendar of the corpus says anything else for having been parsed ahead."""
    scanner.check(calendar.body)


class TestParsingAhead:
    """UIDs that are parsed by workers while others are found."""

    @staticmethod
    def begun(pool: ParserPool, allowance_s: float = 4.0) -> ParsingAhead:
        """Nothing was put yet."""
        parser, _ = taken_apart(calendar(*ONE_BY_ONE))
        instructions = Instructions(parser, WINDOW)
        return ParsingAhead(pool, instructions, CpuAllowance(allowance_s))

    @staticmethod
    def finished(
        ahead: ParsingAhead, wanted: dict[str, tuple[RawEvent, ...]]
    ) -> dict[str, ParsedSeries]:
        """What it says of these."""
        ahead.settle(wanted)
        return ahead.finish(lambda: None, lambda _uid, _events: None)

    @pytest.mark.parametrize("killed", [False, True])
    def test_every_uid(self, killed: bool) -> None:
        """Each UID that is wanted is said, as it is in the end, but for those that a killed worker had."""
        parser, events = taken_apart(calendar(*ONE_BY_ONE))
        wanted = dict(events)
        here = {uid: parser.parse(uid, own, WINDOW) for uid, own in wanted.items()}
        with ParserPool(2) as pool, self.begun(pool) as ahead:
            for uid, own in events.items():
                ahead.put(uid, own)
                ahead.wants_more()
            assert len(children()) == 1
            if killed:
                os.kill(children()[0], signal.SIGKILL)
            found = self.finished(ahead, wanted)
        missing = wanted.keys() - found.keys()
        assert len(missing) <= (20 if killed else 0)
        assert found == {uid: here[uid] for uid in found}
        assert children() == []

    def test_other_events(self) -> None:
        """What was parsed with other events than it has in the end is parsed anew, and what is gone is not."""
        parser, before = taken_apart(calendar(*SERIES))
        _, after = taken_apart(calendar(*SERIES[:50], *MOVED[:20]))
        wanted = dict(after)
        with ParserPool(2) as pool, self.begun(pool) as ahead:
            for uid, own in before.items():
                ahead.put(uid, own)
                ahead.wants_more()
            found = self.finished(ahead, wanted)
        assert found == {
            uid: parser.parse(uid, own, WINDOW) for uid, own in wanted.items()
        }

    def test_few_processes(self) -> None:
        """However many cores there are, it starts three processes at most."""
        _, events = taken_apart(calendar(*ONE_BY_ONE))
        with ParserPool(64) as pool, self.begun(pool) as ahead:
            for name in "abcdefgh":
                for uid, own in events.items():
                    ahead.put(name + uid, own)
                ahead.wants_more()
                assert len(children()) <= 3
        assert children() == []

    def test_no_second_process(self) -> None:
        """Where one process is all that may be, nothing is started, and everything is said."""
        _, events = taken_apart(calendar(*ONE_BY_ONE))
        with ParserPool(1) as pool, self.begun(pool) as ahead:
            for uid, own in events.items():
                ahead.put(uid, own)
                ahead.wants_more()
            assert children() == []
            assert self.finished(ahead, dict(events)).keys() == events.keys()

    def test_allowance(self) -> None:
        """When what should be cheap took too much, the rest is left."""
        _, events = taken_apart(calendar(*SERIES))
        with ParserPool(1) as pool, self.begun(pool, allowance_s=0.0) as ahead:
            found = self.finished(ahead, dict(events))
        assert len(found) == 1

    def test_left_early(self) -> None:
        """Whoever leaves before the end leaves no process behind that works."""
        _, events = taken_apart(calendar(*ONE_BY_ONE))
        with ParserPool(2) as pool:
            with self.begun(pool) as ahead:
                for uid, own in events.items():
                    ahead.put(uid, own)
                ahead.wants_more()
                assert len(children()) == 1
            assert len(children()) <= 1
        assert children() == []
