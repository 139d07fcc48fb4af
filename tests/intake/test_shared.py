"""One reads and another one plans, on one PostgreSQL database: nothing is lost between them, nothing counts twice.

Real intakes over real files and a real database, each member with a ledger handle of its own as it has in its
own process; what comes in between is done at the place where it would come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from syncd.core.occurrence import Reading, extent_of
from syncd.core.reasons import Reason
from syncd.errors import StaleIndex
from syncd.ics import Locale, ParserPool
from syncd.intake import CalendarSource, Fetched, Intake
from syncd.intake.intake import Readings
from syncd.intake.known import AT_HAND
from syncd.intake.poison import Poison
from syncd.intake.ports import IntakeLedger
from syncd.ledger import Ledger, LedgerAddress, Refresh
from syncd.ledger.agenda import News
from syncd.ledger.facts import SALT
from syncd.ledger.index_versions import ANEW, basis_of
from syncd.ledger.sources import UnchangedLook
from syncd.reconciler.source_records import SourceRecords
from syncd.sources.files import FileSource
from tests.intake.test_held import an_hour_later, calendar_of, event_of

HORIZON = timedelta(days=30)
GRACE = timedelta(minutes=5)
NAMES = ("east", "west")
UIDS = ("one", "two", "three", "four")
OURS = basis_of("program", "rules")
OTHER_RULES = basis_of("program", "other rules")
OTHER_PROGRAM = basis_of("other program", "rules")


@dataclass
class Clock:
    """The clock of the ledger."""

    now: datetime = datetime(2030, 3, 4, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The same on a clock that nobody sets."""
        return self.now.timestamp()

    def goes_on(self, much: timedelta = timedelta(minutes=1)) -> None:
        """Let time pass."""
        self.now += much


@dataclass
class Member:
    """A process on a ledger: what it reads, what it hears of, and what it puts to rest."""

    ledger: Ledger
    intake: Intake
    records: SourceRecords
    clock: Clock

    def read(self, *names: str) -> Mapping[str, int]:
        """Read sources, as a member does that plans nothing; return how many UIDs say something new in each."""
        now = self.clock()
        read = self.intake.update(self.intake.with_overdue(names), now)
        self.record(read)
        self.intake.let_go()
        return read

    def record(self, read: Mapping[str, int]) -> None:
        """Record what was read."""
        said = self.intake.readings_of((), self.clock()).readings
        known = [said[name] for name in read if name in said]
        self.records.store_read(known, read)

    def hear(self, *names: str) -> None:
        """Hear of sources that others read, as their records stand now."""
        records = self.ledger.sources.all()
        self.intake.others.hear(
            self.intake.in_order(names),
            {name: records.get(name) for name in names},
            self.clock(),
        )

    def look(self) -> tuple[News, Readings]:
        """Look at all that is ready, as a cycle begins."""
        news = self.ledger.worklist.ready_with_news(self.clock())
        said = self.intake.readings_of(frozenset(news), self.clock())
        self.intake.let_go()
        return news, said

    def rest(self, news: News, over: Collection[str] = ()) -> None:
        """Put to rest what was looked at, as a cycle ends."""
        resting = dict.fromkeys(news.keys() - set(over), (None, dict[Reason, int]()))
        self.ledger.worklist.defer(resting, over=over, at=self.clock(), seen=news)

    def settle(self) -> None:
        """Look at all that is ready, and let all of it rest."""
        news, said = self.look()
        assert not said.unheard
        self.rest(news)
        assert not self.ready

    @property
    def ready(self) -> frozenset[str]:
        """The UIDs that need a look."""
        return self.ledger.worklist.ready(self.clock())


Between = Callable[[], object]


@dataclass
class Campus:
    """Directories of calendars, and members on one ledger."""

    folder: Path
    url: str
    opened: ExitStack
    clock: Clock = field(default_factory=Clock)
    # What is done after a member has fetched a source, by name of the source; once.
    after_fetch: dict[str, Between] = field(default_factory=dict)

    def write(self, name: str, file: str, *events: str) -> None:
        """Let a file of a source say something."""
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / f"{file}.ics").write_bytes(calendar_of(*events))

    def remove(self, name: str, *files: str) -> None:
        """Let files of a source be gone."""
        for file in files:
            (self.folder / name / f"{file}.ics").unlink()

    def member(
        self, basis: str = OURS, at_hand: int = AT_HAND, *, aside: bool = False
    ) -> Member:
        """A process that began just now; `aside`: it reads in portions, as a daemon does."""
        own = self.folder / f"member-{len(list(self.folder.glob('member-*')))}"
        own.mkdir()
        address = LedgerAddress(self.url, own=own)
        ledger = self.opened.enter_context(Ledger.open(address, owner=True))
        ledger.begin_reading(basis)
        return self._on(ledger, at_hand, aside=aside)

    def alone(self) -> Member:
        """A process that does all by itself, on a ledger that is a file."""
        url = f"sqlite:///{self.folder / 'state.db'}"
        ledger = self.opened.enter_context(Ledger.open(url, owner=True))
        ledger.facts.set(SALT, 1)
        return self._on(ledger, AT_HAND)

    def _on(self, ledger: Ledger, at_hand: int, *, aside: bool = False) -> Member:
        intake = Intake(
            [self._source(name) for name in NAMES],
            ledger=ledger,
            horizon=HORIZON,
            prepare=lambda _names, _force: None,
            elsewhere=(lambda _name, _work: None) if aside else None,
            pool=ParserPool(keep=False),
            alive=lambda: None,
            others_wait=lambda: False,
            poison=Poison(ledger, self.clock()),
            file_grace=GRACE,
            elapsed=self.clock.seconds,
            at_hand=at_hand,
        )
        records = SourceRecords(ledger, GRACE, self.clock)
        return Member(ledger, intake, records, self.clock)

    def _source(self, name: str) -> CalendarSource:
        files = FileSource(name, self.folder / name, 1 << 24, clock=an_hour_later)

        def fetch() -> Fetched:
            fetched = files.fetch()
            between = self.after_fetch.pop(name, None)
            if between is not None:
                between()
            return fetched

        return CalendarSource(name, fetch, Locale(ZoneInfo("Europe/Berlin")))


@pytest.fixture
def campus(tmp_path: Path, database: str) -> Iterator[Campus]:
    """Two directories with two files each, and a ledger in which nothing is known of them."""
    with ExitStack() as opened:
        made = Campus(tmp_path, database, opened)
        for hour, name in enumerate(NAMES):
            made.write(name, "a", event_of("one", 8 + hour), event_of("two", 10))
            made.write(name, "b", event_of(f"alone in {name}", 12))
        yield made


@pytest.fixture
def reader(campus: Campus) -> Member:
    """A member that reads."""
    made = campus.member()
    made.ledger.facts.set(SALT, 1)
    return made


@pytest.fixture
def writer(campus: Campus, reader: Member) -> Member:
    """A member that plans, once the other has read all sources and all of it rests."""
    made = campus.member()
    reader.read(*NAMES)
    made.hear(*NAMES)
    made.settle()
    campus.clock.goes_on()
    return made


def everything_of(reading: Reading, uids: Collection[str]) -> dict[str, object]:
    """All that a reading says about these UIDs, and as a whole."""
    missing = [
        (one.document, one.away, one.alone, [one.holds(uid) for uid in uids])
        for one in reading.missing
    ]
    return {
        "at": reading.at if reading.complete else None,
        "complete": reading.complete,
        "readable": reading.readable,
        "error": reading.error,
        "digest": reading.digest,
        "occurrences": reading.occurrences,
        "presence": [reading.presence.get(uid) for uid in uids],
        "defects": reading.defects,
        "counts": (reading.documents, reading.events),
        "missing": missing,
    }


def cut_off(campus: Campus, name: str, *files: str) -> None:
    """Leave files half written."""
    for file in files:
        path = campus.folder / name / f"{file}.ics"
        path.write_bytes(path.read_bytes()[:-20])


def no_files(campus: Campus) -> None:
    """Let a whole directory be gone."""
    for path in (campus.folder / "east").iterdir():
        path.unlink()
    (campus.folder / "east").rmdir()


HISTORIES: dict[str, list[Callable[[Campus], object]]] = {
    "an event is gone": [lambda c: c.write("east", "a", event_of("one", 8))],
    "an event comes back": [
        lambda c: c.write("east", "a", event_of("one", 8)),
        lambda c: c.write("east", "a", event_of("one", 8), event_of("two", 10)),
    ],
    "an event is edited": [
        lambda c: c.write("east", "a", event_of("one", 9), event_of("two", 10))
    ],
    "an event is gone from one of its sources": [
        lambda c: c.write("west", "a", event_of("two", 10))
    ],
    "a file is gone": [lambda c: c.remove("east", "a")],
    "a file is gone for long enough": [
        lambda c: c.remove("east", "a"),
        lambda c: c.clock.goes_on(GRACE / 2),
        lambda c: c.clock.goes_on(GRACE),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "a file with one event is gone for long enough": [
        lambda c: c.remove("east", "b"),
        lambda c: c.clock.goes_on(GRACE),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "a file is written anew": [
        lambda c: c.remove("east", "b"),
        lambda c: c.write("east", "b", event_of("alone in east", 12)),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "a file has another name": [
        lambda c: (c.folder / "east" / "a.ics").rename(c.folder / "east" / "c.ics"),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "a file is not whole": [
        lambda c: cut_off(c, "east", "a"),
        lambda c: c.clock.goes_on(GRACE),
        lambda c: c.write("east", "a", event_of("one", 8)),
    ],
    "a file is not whole and another one gone": [
        lambda c: cut_off(c, "east", "a"),
        lambda c: c.remove("east", "b"),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "no file is whole": [
        lambda c: cut_off(c, "east", "a", "b"),
        lambda c: c.write("east", "a", event_of("two", 10)),
    ],
    "the directory is gone": [
        no_files,
        lambda c: c.clock.goes_on(GRACE),
        lambda c: c.write("east", "a", event_of("one", 8), event_of("two", 10)),
    ],
    "the directory is empty": [
        lambda c: c.remove("east", "a", "b"),
        lambda c: c.clock.goes_on(GRACE),
        lambda c: c.clock.goes_on(GRACE),
    ],
    "an event cannot be understood": [
        lambda c: c.write("east", "a", event_of("one", 8, "RRULE:FREQ=NEVER\r\n"))
    ],
    "a broken event is mended": [
        lambda c: c.write("east", "a", event_of("one", 8, "RRULE:FREQ=NEVER\r\n")),
        lambda c: c.write("east", "a", event_of("one", 8)),
    ],
    "an event moves to another file": [
        lambda c: c.write(
            "east", "b", event_of("two", 10), event_of("alone in east", 12)
        ),
        lambda c: c.write("east", "a", event_of("one", 8)),
    ],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_what_is_heard_is_what_was_read(
    campus: Campus, history: list[Callable[[Campus], object]]
) -> None:
    """What another member found is the same evidence, reading for reading, as if the writer had read itself."""
    reader = campus.member()
    reader.ledger.facts.set(SALT, 1)
    writer = campus.member()
    alone = campus.alone()
    uids = ["one", "two", *(f"alone in {name}" for name in NAMES)]
    for step in [lambda _campus: None, *history]:
        step(campus)
        campus.clock.goes_on()
        reader.read(*NAMES)
        alone.read(*NAMES)
        writer.hear(*NAMES)
        assert writer.ready == alone.ready
        news, heard = writer.look()
        seen, read = alone.look()
        assert heard.readings.keys() == read.readings.keys()
        assert (heard.unheard, heard.shelved) == (read.unheard, read.shelved)
        for name in NAMES:
            told = everything_of(heard.readings[name], uids)
            assert told == everything_of(read.readings[name], uids)
        # What waits for a file stays ready, as what has bookings does.
        awaited = any(reading.missing for reading in read.readings.values())
        if not awaited:
            writer.rest(news)
            alone.rest(seen)


# News while the writer looks


def test_news_while_a_uid_is_looked_at_keeps_it_ready(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What was looked at as it was before an edit does not rest; what had no news does."""
    campus.write("east", "a", event_of("one", 8), event_of("two", 11))
    campus.write("east", "b", event_of("alone in east", 13))
    reader.read("east")
    writer.hear("east")
    news, _said = writer.look()
    assert news.keys() == {"two", "alone in east"}
    campus.clock.goes_on()
    campus.write("east", "a", event_of("one", 8), event_of("two", 12))
    reader.read("east")
    writer.rest(news)
    assert writer.ready == {"two"}
    writer.hear("east")
    writer.settle()


def test_news_of_a_uid_that_counts_as_over_keeps_it_and_its_events(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What was gone when it was looked at and comes back meanwhile is not forgotten."""
    campus.remove("east", "b")
    campus.clock.goes_on(2 * GRACE)
    reader.read("east")
    writer.hear("east")
    news, _said = writer.look()
    campus.write("east", "b", event_of("alone in east", 13))
    campus.clock.goes_on()
    reader.read("east")
    writer.rest(news, over=["alone in east"])
    assert writer.ready == {"alone in east"}
    assert writer.ledger.worklist.uids_of("east").count("alone in east") == 1
    writer.hear("east")
    _news, said = writer.look()
    assert [one.key.uid for one in said.speaking["east"].occurrences] == [
        "alone in east"
    ]


def test_what_is_over_is_forgotten(writer: Member) -> None:
    """Without news a UID that is over goes with its events."""
    writer.ledger.worklist.make_ready(["two"])
    news, _said = writer.look()
    writer.rest(news, over=["two"])
    assert "two" not in writer.ledger.worklist.uids()
    assert "two" not in writer.ledger.worklist.uids_of("east")


def test_news_of_what_is_planned_makes_it_ready(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """A UID whose changes wait is planned only as it was when they were decided."""
    writer.ledger.worklist.make_ready(["one", "two"])
    news, _said = writer.look()
    campus.write("east", "a", event_of("one", 8), event_of("two", 11))
    reader.read("east")
    writer.ledger.worklist.mark_planned({"one": {}, "two": {}}, news)
    assert writer.ready == {"two"}
    assert writer.ledger.worklist.count_planned() == 1


def test_what_was_never_seen_ready_is_not_put_to_rest(writer: Member) -> None:
    """Nothing rests by a look that nobody had."""
    writer.ledger.worklist.make_ready(["one"])
    writer.rest({})
    writer.ledger.worklist.defer(
        {"one": (None, {})}, over=(), at=writer.clock(), seen={}
    )
    assert writer.ready == {"one"}


def test_what_the_writer_itself_makes_ready_is_no_news(writer: Member) -> None:
    """A record of a booking makes its UID ready, and a look before that still lets it rest."""
    writer.ledger.worklist.make_ready(["one"])
    news, _said = writer.look()
    writer.ledger.worklist.make_ready(["one"])
    writer.rest(news)
    assert not writer.ready


def test_that_a_source_cannot_be_read_is_news_of_all_its_uids(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """Also of those that are being looked at."""
    writer.ledger.worklist.make_ready(["one"])
    news, _said = writer.look()
    no_files(campus)
    reader.read("east")
    writer.rest(news)
    assert writer.ready == {"one", "two", "alone in east"}


# The index changes while it is looked at


def test_an_index_that_changed_since_it_was_heard_counts_for_nothing(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """Between hearing of a source and looking at its UIDs it is edited: they are unheard, until it is heard."""
    writer.ledger.worklist.make_ready(["two"])
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    _news, said = writer.look()
    assert "east" not in said.readings
    assert said.readings["west"].readable
    assert writer.intake.others.take_stale() == {"east"}
    assert writer.intake.others.take_stale() == frozenset()
    writer.hear("east")
    _news, said = writer.look()
    assert said.readings["east"].presence.get("two") is None


def test_an_index_that_changes_while_it_is_planned_is_refused(
    campus: Campus, reader: Member
) -> None:
    """What a plan asks of an index that is not at hand is of the version that it was made for, or refused."""
    writer = campus.member(at_hand=0)
    reader.read(*NAMES)
    writer.hear(*NAMES)
    _news, said = writer.look()
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    assert said.readings["west"].presence.get("two") is not None
    with pytest.raises(StaleIndex) as refused:
        said.readings["east"].presence.get("alone in west")
    assert refused.value.source == "east"


def test_what_is_heard_of_a_source_that_changes_meanwhile_is_nothing(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What was known of it is forgotten; it is heard of once more."""
    worklist = writer.ledger.worklist
    known = worklist.known_of("east")
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    assert worklist.index_stamps()["east"] != (known.version, known.made_by)
    for question in (worklist.known_of, worklist.standing_of, worklist.index_of):
        with pytest.raises(StaleIndex):
            question("east")
    writer.hear("east")
    assert worklist.standing_of("east") == "whole"


# Two who read one source


def test_a_late_scan_is_refused_and_read_anew(campus: Campus, reader: Member) -> None:
    """Who fetched a calendar before another one read what it says now stores nothing."""
    other = campus.member()
    other.read("east")
    reader.read("east")
    campus.clock.goes_on()

    def edited_and_read() -> None:
        campus.write("east", "a", event_of("one", 8), event_of("two", 12))
        other.read("east")

    campus.write("east", "a", event_of("one", 8), event_of("two", 11))
    campus.after_fetch["east"] = edited_and_read
    assert reader.read("east") == {}
    assert reader.intake.others.take_stale() == {"east"}
    assert not reader.intake.was_read("east")
    campus.clock.goes_on()
    assert reader.read("east") == {"east": 0}
    writer = campus.member()
    writer.hear("east")
    _news, said = writer.look()
    hours = {
        one.key.uid: extent_of(one).start.hour
        for one in said.speaking["east"].occurrences
    }
    assert hours == {"one": 8, "two": 12, "alone in east": 12}


def test_the_first_reading_of_two_is_stored_once(
    campus: Campus, reader: Member
) -> None:
    """Who began to ask before another one stored what it read stores nothing, also if it knew nothing before."""
    other = campus.member()

    def edited_and_read() -> None:
        campus.write("east", "a", event_of("one", 8), event_of("two", 12))
        campus.clock.goes_on()
        other.read("east")

    campus.after_fetch["east"] = edited_and_read
    assert reader.read("east") == {}
    assert reader.intake.others.take_stale() == {"east"}
    campus.clock.goes_on()
    assert reader.read("east") == {"east": 0}


def test_who_could_not_read_it_does_not_contradict_who_could(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """A member that cannot reach the calendar says nothing about it once another one has read it since."""
    late = campus.member()
    asked_at = campus.clock()
    campus.clock.goes_on()
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    no_files(campus)
    assert late.intake.update(["east"], asked_at) == {}
    assert late.intake.others.take_stale() == {"east"}
    writer.hear("east")
    assert writer.intake.knows_whole("east")
    assert reader.read("east") == {"east": 0}
    writer.hear("east")
    _news, said = writer.look()
    assert not said.readings["east"].readable


def test_an_answer_that_was_asked_for_earlier_is_refused(
    campus: Campus, reader: Member
) -> None:
    """A feed is asked long before its answer is taken; what counts is when it was asked."""
    late = campus.member()
    versions = late.ledger.worklist.versions
    asked_at = campus.clock()
    campus.clock.goes_on()
    reader.read("east")
    late.ledger.worklist.index_of("east")
    assert versions.is_later("east", asked_at)
    assert not versions.is_later("east", campus.clock() + timedelta(milliseconds=1))
    assert not reader.ledger.worklist.versions.is_later("east", asked_at)


def test_what_is_scanned_aside_ends_when_its_source_is_forgotten(
    campus: Campus, reader: Member
) -> None:
    """A scan of another thread began before another member took the source; its end is nobody's."""
    daemon = campus.member(aside=True)
    body = [
        event_of(f"uid {n}", 8, "X-LONG:" + 300 * "x" + "\r\n") for n in range(15_000)
    ]
    campus.write("east", "a", *body)
    assert daemon.read("east") == {}
    campus.clock.goes_on()
    reader.read("east")
    daemon.intake.others.forget_source("east")
    campus.clock.goes_on()
    assert daemon.read("east") == {"east": 0}
    assert not daemon.intake.others.take_stale()


def test_an_old_look_confirms_nothing(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """A look of somebody who slept, told after another one read the source, is no complete reading."""
    other = campus.member()
    other.read("east")
    slept = campus.clock()
    look = UnchangedLook("east", slept, None)
    campus.clock.goes_on()
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    before = writer.ledger.sources.all()["east"]
    other.ledger.sources.record_looks([look])
    other.ledger.sources.record_looks([replace(look, at=campus.clock())])
    reader.ledger.sources.record_looks([look])  # of the right index, but earlier
    assert writer.ledger.sources.all()["east"] == before
    campus.clock.goes_on()
    reader.ledger.sources.record_looks([replace(look, at=campus.clock())])
    assert writer.ledger.sources.all()["east"].last_ok_at == campus.clock()


def test_an_old_reading_confirms_nothing(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """It was made before another member stored something, and is recorded after that."""
    other = campus.member()
    campus.clock.goes_on()
    now = campus.clock()
    read = other.intake.update(["east"], now)
    readings = list(other.intake.readings_of((), now).readings.values())
    campus.clock.goes_on()
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    before = writer.ledger.sources.all()["east"]
    other.records.store_read(readings, read)
    assert writer.ledger.sources.all()["east"] == before


# When a reading is heard of between its two transactions


def test_a_reading_is_the_same_before_and_after_it_is_recorded(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """An index that is stored before its reading is recorded is one evidence, not two."""
    campus.write("east", "a", event_of("one", 8))
    campus.clock.goes_on()
    read = reader.intake.update(["east"], campus.clock())
    writer.hear("east")
    _news, said = writer.look()
    first = said.readings["east"].identity
    assert said.readings["east"].complete
    reader.record(read)
    writer.hear("east")
    _news, said = writer.look()
    assert said.readings["east"].identity == first
    campus.clock.goes_on()
    reader.read("east")
    writer.hear("east")
    _news, said = writer.look()
    assert said.readings["east"].identity != first


def test_a_reading_in_part_is_so_before_it_is_recorded(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """The record still tells of the last complete reading, and nothing follows from what is missing."""
    cut_off(campus, "east", "a")
    reader.intake.update(["east"], campus.clock())
    assert writer.ledger.sources.all()["east"].error is None
    writer.hear("east")
    _news, said = writer.look()
    assert not said.readings["east"].complete


def test_a_complete_reading_counts_before_it_is_recorded(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """The record still tells what went wrong before."""
    cut_off(campus, "east", "a")
    reader.read("east")
    campus.write("east", "a", event_of("one", 8))
    campus.clock.goes_on()
    reader.intake.update(["east"], campus.clock())
    assert writer.ledger.sources.all()["east"].error is not None
    writer.hear("east")
    _news, said = writer.look()
    assert said.readings["east"].complete
    assert said.readings["east"].at == campus.clock()


def test_a_source_without_a_record_is_heard(campus: Campus, reader: Member) -> None:
    """Its first reading is stored and not recorded yet."""
    reader.intake.update(["east"], campus.clock())
    writer = campus.member()
    writer.hear("east")
    _news, said = writer.look()
    assert said.readings["east"].complete


def test_the_writer_hears_when_a_file_that_is_gone_is_looked_for_again(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """Its next reading is evidence although it says the same; it is asked for while the file is awaited."""
    assert writer.intake.others.awaiting_files() == frozenset()
    campus.remove("east", "b")
    reader.read("east")
    writer.hear("east")
    assert writer.intake.others.awaiting_files() == {"east"}
    campus.clock.goes_on(GRACE)
    assert writer.intake.others.awaiting_files() == {"east"}  # nobody has looked since
    reader.read()
    writer.hear("east")
    assert writer.intake.others.awaiting_files() == frozenset()


# Other rules and programs


def test_a_reading_under_other_rules_counts_for_nothing(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """A reader with another configuration moves nothing until it has the same; then all is looked at."""
    other = campus.member(OTHER_RULES)
    campus.write("east", "a", event_of("one", 8))
    other.read("east")
    writer.hear("east")
    news, said = writer.look()
    assert news.keys() == {"one", "two", "alone in east"}
    assert "east" not in said.readings
    assert {"one", "alone in east"} <= said.unheard
    stamps = writer.ledger.worklist.index_stamps()
    version, made_by = stamps["east"]
    assert made_by == OTHER_RULES
    assert writer.ledger.worklist.versions.is_of("east", version), (
        "heard once is enough"
    )
    assert not writer.intake.others.take_stale()
    reloaded = campus.member()
    assert reloaded.ledger.worklist.standing_of("east") == ANEW
    campus.clock.goes_on()
    assert reloaded.read("east") == {"east": 0}
    writer.hear("east")
    news, said = writer.look()
    assert news.keys() >= {"one", "two", "alone in east"}
    assert said.readings["east"].complete


def test_what_another_program_indexed_is_read_as_if_for_the_first_time(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """But for the files that are gone: what was in them is not gone before they stayed away."""
    upgraded = campus.member(OTHER_PROGRAM)
    campus.remove("east", "b")
    reader.read("east")
    campus.clock.goes_on()
    assert upgraded.read("east", "west") == {"east": 2, "west": 3}
    assert upgraded.intake.awaited().keys() == {"east"}
    same = campus.member(OTHER_PROGRAM)
    campus.clock.goes_on()
    assert same.read("west") == {"west": 0}
    assert writer.ledger.worklist.index_stamps()["west"][1] == OTHER_PROGRAM


def test_what_was_read_before_the_ledger_was_shared_is_not_read_anew(
    campus: Campus, reader: Member
) -> None:
    """An index of which nobody says by whom it is rests on what the ledger says that it rests on."""
    first = campus.member("")
    first.read(*NAMES)
    first.settle()
    campus.clock.goes_on()
    assert reader.read(*NAMES) == {"east": 0, "west": 0}
    assert not reader.ready


# What the writer does to all indexes


def test_readers_read_anew_after_the_writer_required_it(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What rests on other rules has another version then, and its UIDs their look when it is read."""
    writer = campus.member(OTHER_RULES)
    campus.clock.goes_on()
    writer.read("west")
    before = writer.ledger.worklist.index_stamps()
    writer.ledger.worklist.require_anew(ANEW, NAMES)
    after = writer.ledger.worklist.index_stamps()
    assert before["west"] == after["west"]
    assert before["east"] != after["east"]
    campus.write("east", "a", event_of("one", 8))
    reloaded = campus.member(OTHER_RULES)
    campus.clock.goes_on()
    assert reader.read("east") == {}
    assert reader.intake.others.take_stale() == {"east", "west"}
    reloaded.read("east")
    assert reloaded.ready >= {"one", "two", "alone in east"}


def test_a_new_program_keeps_what_it_has_read(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What its members read before it wrote is not read once more; what is from before the sharing is."""
    upgraded = campus.member(OTHER_PROGRAM)
    campus.clock.goes_on()
    upgraded.read("east")
    kept = writer.ledger.worklist.index_stamps()["east"]
    upgraded.intake.forget(campus.clock(), own_too=False)
    stamps = writer.ledger.worklist.index_stamps()
    assert stamps["east"] == kept
    assert writer.ledger.worklist.versions.version_of("west") != stamps["west"][0]


def test_indexes_are_forgotten_but_for_what_was_read_since(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """The writer forgets what it knows; a file that is gone is remembered, and so is a later reading."""
    campus.remove("west", "b")
    reader.read("west")
    forgetting = campus.member()
    worklist = forgetting.ledger.worklist
    for name in NAMES:
        worklist.index_of(name)
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    kept = worklist.index_stamps()["east"]
    worklist.forget_indexes({}, campus.clock(), own_too=True)
    assert worklist.index_stamps() == {"east": kept}
    campus.write("west", "b", event_of("alone in west", 12))
    reader.intake.others.forget_source("west")
    reader.read("west")
    campus.remove("west", "b")
    reader.read("west")
    writer.intake.forget(campus.clock())
    assert {worklist.known_of(name).standing for name in NAMES} == {""}
    campus.clock.goes_on()
    reader.intake.others.forget_source("west")
    reader.read("west")
    assert reader.intake.awaited().keys() == {"west"}


def test_a_source_that_is_forgotten_is_read_as_a_new_one(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """The writer drops what is no longer configured, and who still has it reads it anew."""
    writer.ledger.sources.forget("east")
    assert writer.ready >= {"one", "two", "alone in east"}
    campus.write("east", "a", event_of("one", 9))
    assert reader.read("east") == {}
    assert reader.read("east") == {"east": 2}


# Small things that are shared


def test_a_remark_is_not_put_on_what_is_new(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """What the writer found of an event is not said of the event as it is by now."""
    campus.write("east", "a", event_of("one", 8, "RRULE:FREQ=NEVER\r\n"))
    reader.read("east")
    writer.hear("east")
    campus.write("east", "a", event_of("one", 8))
    reader.read("east")
    writer.ledger.worklist.remark("east", {"one": "it is broken"})
    assert writer.ledger.worklist.remarks("east") == {}


def test_all_members_have_one_salt(campus: Campus) -> None:
    """Whoever comes first gives it."""
    first, second = campus.member(), campus.member()
    assert first.ledger.facts.set_first(SALT, 7) == 7
    assert second.ledger.facts.set_first(SALT, 8) == 7
    assert second.ledger.facts.get(SALT) == 7


def test_each_member_keeps_what_others_suspect(campus: Campus) -> None:
    """A calendar that ended one process is suspected by all that read it later, whoever died since."""
    first, second = campus.member(), campus.member()
    suspects: list[Poison] = []
    for member, name in ((first, "east"), (second, "west")):
        for _ in range(2):
            died = cast(IntakeLedger, _Died(member.ledger, name))
            suspects.append(Poison(died, campus.clock()))
    known = Poison(first.ledger, campus.clock())
    for name in NAMES:
        assert known.why_not(name, "", "", campus.clock()) is not None
    later = campus.clock() + timedelta(days=2)
    known.survived(["east"], (), later)
    assert suspects[-1].why_not("east", "", "", campus.clock()) is not None
    suspects[-1].reload()
    assert suspects[-1].why_not("east", "", "", campus.clock()) is None
    assert suspects[-1].why_not("west", "", "", campus.clock()) is not None


def test_each_member_takes_the_wishes_for_its_own_sources(campus: Campus) -> None:
    """A wish waits for the member that has its source."""
    first, second = campus.member(), campus.member()
    wishes = [Refresh(name, False, "me", campus.clock()) for name in NAMES]
    first.ledger.people.ask_refresh(*wishes)
    assert first.ledger.people.take_refreshes(["west"]) == (wishes[1],)
    assert first.ledger.people.take_refreshes(["west"]) == ()
    assert second.ledger.people.take_refreshes(["east"]) == (wishes[0],)


def test_new_stamps_in_two_sources_at_once_are_looked_at(
    campus: Campus, reader: Member, writer: Member
) -> None:
    """Which of two copies is newer may be another one after new stamps alone, whoever stores which first."""
    text = event_of("one", 8, "SEQUENCE:1\r\n")
    campus.write("east", "a", text, event_of("two", 10))
    reader.read("east")
    assert writer.ready == {"one"}


def test_two_who_store_one_uid_wait_for_each_other(
    campus: Campus, reader: Member
) -> None:
    """Of new stamps in one source, and a first copy in another one, whichever comes second sees the first."""
    campus.write("west", "a", event_of("two", 10))
    reader.read(*NAMES)
    other = campus.member()
    other.read("west")
    reader.settle()
    text = event_of("one", 8, "SEQUENCE:1\r\n")
    campus.write("east", "a", text, event_of("two", 10))
    campus.write("west", "a", event_of("one", 9), event_of("two", 10))
    campus.clock.goes_on()
    ended = threading.Event()

    def stores() -> None:
        reader.read("east")
        ended.set()

    storing = threading.Thread(target=stores)
    with other.ledger._gate.writing() as connection:
        other.ledger.worklist._agenda.add_news(connection, ["one"])
        storing.start()
        assert not ended.wait(0.3)
    storing.join()
    assert reader.ready == {"one"}


@dataclass
class _Died:
    """A ledger as a process finds it whose predecessor died while it read a source."""

    ledger: Ledger
    source: str

    def __getattr__(self, name: str) -> object:
        if name == "under_way":
            return self
        return getattr(self.ledger, name)

    def take_left(self) -> list[object]:
        """What the predecessor was reading."""
        return [_Left(self.source)]


@dataclass
class _Left:
    source: str
    uid: str = ""
    digest: str = ""
