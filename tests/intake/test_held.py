"""What is held in memory of many sources, and what is read from the ledger when it is due.

The real intake over a real ledger and files; what is counted are reads of an index, never bytes of a process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from syncd.core.occurrence import Presence, Reading
from syncd.core.reasons import Reason
from syncd.ics import Locale, ParserPool
from syncd.intake import CalendarSource, Intake
from syncd.intake.known import AT_HAND, KnownSources
from syncd.intake.poison import Poison
from syncd.ledger import Ledger
from syncd.ledger.facts import SALT
from syncd.sources.files import FileSource
from tests.conftest import engine_of

NOW = datetime(2030, 3, 4, 8, tzinfo=UTC)
HORIZON = timedelta(days=30)
GRACE = timedelta(minutes=5)
SOURCES = 6
UIDS = ("first", "second")


def event_of(uid: str, hour: int, more: str = "") -> str:
    """A VEVENT of the next day."""
    return (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20300101T000000Z\r\nSUMMARY:{uid}\r\n"
        f"DTSTART:20300305T{hour:02}0000Z\r\nDTEND:20300305T{hour:02}3000Z\r\n{more}END:VEVENT\r\n"
    )


def an_hour_later() -> int:
    """A clock by which all files were written so long ago that their times tell whether they changed."""
    return time.time_ns() + 3600 * 10**9


def calendar_of(*events: str, head: str = "") -> bytes:
    """A calendar of these events."""
    text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{head}{''.join(events)}END:VCALENDAR\r\n"
    return text.encode()


@dataclass
class Office:
    """Calendars in a folder, the ledger, and an intake over both."""

    folder: Path
    ledger: Ledger

    @property
    def names(self) -> list[str]:
        """The sources, in the order of the configuration."""
        return [f"calendar-{number}" for number in range(SOURCES)]

    def write(self, name: str, body: bytes) -> None:
        """Let a calendar say something."""
        (self.folder / f"{name}.ics").write_bytes(body)

    def write_all(self) -> None:
        """Let each calendar say something of its own."""
        for hour, name in enumerate(self.names):
            events = [event_of(f"{uid}.{name}", hour + 8) for uid in UIDS]
            self.write(name, calendar_of(*events))

    def intake(
        self, at_hand: int = AT_HAND, portion: int = 1000, *, daemon: bool = False
    ) -> Intake:
        """An intake as a process has it that began just now."""
        sources = [
            CalendarSource(
                name,
                FileSource(
                    name, self.folder / f"{name}.ics", 1 << 20, clock=an_hour_later
                ).fetch,
                Locale(ZoneInfo("Europe/Berlin")),
            )
            for name in self.names
        ]
        return self.intake_of(sources, at_hand, portion, daemon=daemon)

    def intake_of(
        self,
        sources: Iterable[CalendarSource],
        at_hand: int = AT_HAND,
        portion: int = 1000,
        *,
        daemon: bool = False,
    ) -> Intake:
        """An intake of these sources, as a process has it that began just now."""
        return Intake(
            sources,
            ledger=self.ledger,
            horizon=HORIZON,
            prepare=lambda _names, _force: None,
            elsewhere=(lambda _name, work: work()) if daemon else None,
            pool=ParserPool(keep=False),
            alive=lambda: None,
            others_wait=lambda: False,
            poison=Poison(self.ledger, NOW),
            file_grace=GRACE,
            elapsed=lambda: 0.0,
            at_hand=at_hand,
            portion=portion,
        )

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """The sources of which an index is read from the ledger in this context."""
        engine = engine_of(self.ledger)
        read: list[str] = []

        def note(
            _c: object, _cursor: object, statement: str, values: object, *_: object
        ) -> None:
            if statement.startswith("SELECT inventory_buckets.bucket"):
                assert isinstance(values, tuple)
                read.append(str(values[0]))

        event.listen(engine, "before_cursor_execute", note)
        try:
            yield read
        finally:
            event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Six calendars and an empty ledger."""
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        ledger.facts.set(SALT, 1)
        made = Office(tmp_path, ledger)
        made.write_all()
        yield made


def told(readings: Mapping[str, Reading]) -> dict[str, tuple[Reading, object]]:
    """All that readings say, also of UIDs that are only known to be there."""
    everything = [f"{uid}.calendar-{n}" for uid in UIDS for n in range(SOURCES)]
    found: dict[str, tuple[Reading, object]] = {}
    for name, reading in readings.items():
        presence = {uid: reading.presence.get(uid) for uid in everything}
        found[name] = (replace(reading, presence={}), presence)
    return found


def read(intake: Intake, now: datetime = NOW) -> Mapping[str, Reading]:
    """What the sources say of all that is ready."""
    ready = intake._worklist.ready(now)
    return intake.readings_of(ready, now).readings


def at_rest(office: Office) -> None:
    """Let all that is ready rest, as a cycle does that planned it."""
    ready = office.ledger.worklist.ready_with_news(NOW)
    office.ledger.worklist.defer(
        dict.fromkeys(ready, (None, dict[Reason, int]())), over=(), at=NOW, seen=ready
    )


def test_a_quiet_look_loads_nothing(office: Office) -> None:
    """Documents that are seen to be the same are not compared, so no index is read for them."""
    intake = office.intake(at_hand=0)
    intake.update(None, NOW)
    read(intake)
    at_rest(office)
    with office.counting() as loads:
        assert set(intake.update(None, NOW + GRACE)) == set(office.names)
        readings = read(intake, NOW + GRACE)
    assert loads == []
    assert {reading.at for reading in readings.values()} == {NOW + GRACE}
    assert {reading.events for reading in readings.values()} == {len(UIDS)}


def test_no_list_of_all_uids_is_held_between_looks(office: Office) -> None:
    """Which UIDs matter is asked for the scans of one look; afterwards they are in the ledger alone."""
    intake = office.intake(at_hand=0)
    intake.update(None, NOW)
    at_rest(office)
    for name in office.names:
        over = event_of("third", 20).replace("20300305T", "20290305T")
        office.write(name, calendar_of(event_of(f"first.{name}", 9), over))
    intake.update(None, NOW)
    gc.collect()
    sets = [held for held in gc.get_objects() if isinstance(held, set)]
    assert [held for held in sets if "first.calendar-0" in held] == []


def test_an_edit_asks_for_its_own_uids_alone(office: Office) -> None:
    """Whether a UID matters is looked up by name; where a calendar has many, and others few, all are loaded."""
    intake = office.intake()
    intake.update(None, NOW)
    at_rest(office)
    traced: list[str] = []
    pooled = engine_of(office.ledger).raw_connection()
    driver = pooled.driver_connection
    assert driver is not None
    driver.set_trace_callback(traced.append)
    pooled.close()
    loads: list[int] = []
    for events in (1, 150):
        over = [
            event_of(f"over{events}.{n}", 20).replace("20300305T", "20290305T")
            for n in range(events)
        ]
        office.write("calendar-2", calendar_of(*over))
        traced.clear()
        intake.update(["calendar-2"], NOW)
        by_name = [text for text in traced if "agenda.uid IN ('over" in text]
        assert len(by_name) == (events == 1)
        loads.append(sum("LIMIT" in text and "agenda.uid" in text for text in traced))
    assert loads == [0, 1]


def test_one_edit_loads_one_index(office: Office) -> None:
    """Whatever the number of sources, what is known of the one that changed is read, once."""
    intake = office.intake(at_hand=0)
    intake.update(None, NOW)
    read(intake)
    at_rest(office)
    office.write("calendar-2", calendar_of(event_of("first.calendar-2", 20)))
    with office.counting() as loads:
        intake.update(None, NOW)
        readings = read(intake)
    assert loads == ["calendar-2"]
    (occurrence,) = readings["calendar-2"].occurrences
    assert occurrence.key.uid == "first.calendar-2"
    presence = readings["calendar-2"].presence
    assert presence.get("second.calendar-2") is None


def test_of_the_others_a_reading_is_made_when_it_is_asked_for(office: Office) -> None:
    """A plan gets those that say something new or have a defect; any other says what it said before."""
    broken = event_of("broken", 9, "RRULE:FREQ=NEVER\r\n")
    office.write("calendar-4", calendar_of(broken))
    intake = office.intake()
    intake.update(None, NOW)
    whole = told(read(intake))
    at_rest(office)
    ready = frozenset(["first.calendar-2"])
    said = intake.readings_of(ready, NOW)
    assert list(said.speaking) == ["calendar-2", "calendar-4"]
    (defect,) = said.speaking["calendar-4"].defects
    assert defect.uid == "broken"
    assert len(said.readings) == SOURCES
    assert "calendar-1" in said.readings
    assert "calendar-9" not in said.readings
    assert said.readings["calendar-1"] is said.readings["calendar-1"]
    assert list(said.readings) == office.names
    for name, reading in said.readings.items():
        at_rest_too = replace(reading, occurrences=())
        (before, presence) = whole[name]
        expected = (replace(before, occurrences=(), presence={}), presence)
        assert told({name: at_rest_too})[name] == expected


def test_what_fits_stays_at_hand(office: Office) -> None:
    """A process that has room for all of its sources reads no index from the ledger after its first look."""
    intake = office.intake()
    intake.update(None, NOW)
    for name in office.names:
        office.write(name, calendar_of(event_of(f"third.{name}", 20)))
    with office.counting() as loads:
        intake.update(None, NOW)
        read(intake)
    assert loads == []


@pytest.mark.parametrize("at_hand", [0, 60_000, AT_HAND])
def test_readings_are_the_same_whatever_stays_at_hand(
    office: Office, at_hand: int
) -> None:
    """Through edits, losses, damage and a restart: what is held changes nothing of what is said."""
    bounded = office.intake(at_hand)
    other = office.folder / "other"
    other.mkdir()
    with Ledger.open(f"sqlite:///{other / 'state.db'}", owner=True) as ledger:
        ledger.facts.set(SALT, 1)
        ample = replace(office, ledger=ledger).intake()

        def compare(hours: int) -> None:
            now = NOW + timedelta(hours=hours)
            for intake in (bounded, ample):
                intake.update(None, now)
            assert told(read(bounded, now)) == told(read(ample, now))
            for name in office.names:
                assert bounded.refresh_after(name) == ample.refresh_after(name)

        compare(0)
        head = "REFRESH-INTERVAL;VALUE=DURATION:PT2H\r\n"
        office.write("calendar-0", calendar_of(event_of("new", 9), head=head))
        compare(1)
        (office.folder / "calendar-1.ics").unlink()
        office.write("calendar-3", calendar_of(event_of("broken", 9))[:-20])
        compare(2)
        office.write_all()
        broken = event_of("first.calendar-4", 9, "DTSTART:never\r\n")
        office.write("calendar-4", calendar_of("\r\n\r\n", broken))
        compare(3)
        bounded = office.intake(at_hand)
        compare(4)
        bounded.forget(NOW + timedelta(hours=5))
        ample.forget(NOW + timedelta(hours=5))
        compare(5)


def test_a_restart_reads_what_is_known_once(office: Office) -> None:
    """A new process has nothing at hand: it reads each index, and finds that nothing changed."""
    office.intake().update(None, NOW)
    at_rest(office)
    with office.counting() as loads:
        intake = office.intake()
        intake.update(None, NOW)
        readings = read(intake)
    assert sorted(loads) == office.names
    assert all(not reading.occurrences for reading in readings.values())
    presence = readings["calendar-5"].presence
    assert presence["first.calendar-5"] is Presence.SERIES


def test_the_last_one_stays_however_large(office: Office) -> None:
    """An index that is larger than the bound is not read again for each question of the same cycle."""
    office.intake().update(None, NOW)
    source = office.intake().sources[0]
    with office.counting() as loads:
        known = KnownSources(office.ledger.worklist, most=1)
        for _ in range(3):
            assert known.holds(source, "first.calendar-0")
    assert loads == [source.name]


def test_what_was_asked_for_last_stays(office: Office) -> None:
    """Beyond the bound the one goes that nobody asked for the longest time."""
    intake = office.intake()
    intake.update(None, NOW)
    first, second, third, *_ = intake.sources
    size = intake._known.of(first).size
    known = KnownSources(office.ledger.worklist, most=2 * size)
    for source in (first, second, first, third):
        known.of(source)
    with office.counting() as loads:
        for source in (first, third, second):
            known.of(source)
    assert loads == [second.name]


def test_a_daemon_takes_in_portions(office: Office) -> None:
    """Once enough is new, sources wait for the next cycle, where one of them comes first; none is left out."""
    intake = office.intake(portion=4, daemon=True)
    taken: list[tuple[str, ...]] = []
    due = set(office.names)
    while due:
        looked_at = tuple(intake.update(due, NOW))
        taken.append(looked_at)
        assert intake.put_off == due - set(looked_at)
        # All UIDs of a source come together, so there may be some more.
        assert len(office.ledger.worklist.ready(NOW)) <= 5
        at_rest(office)
        # What was put off, and a source that is always due.
        due = set(intake.put_off)
        if due:
            office.write("calendar-0", calendar_of(event_of(f"n{len(taken)}", 9)))
            due.add("calendar-0")
    assert taken[0] == ("calendar-0", "calendar-1")
    assert [names[0] for names in taken[1:4]] == [
        "calendar-2",
        "calendar-3",
        "calendar-4",
    ]
    assert all(names[1] == "calendar-0" for names in taken[1:4]), "it was read before"
    assert set(chain(*taken)) == set(office.names)


def test_one_go_takes_in_all(office: Office) -> None:
    """`once` has no next cycle."""
    intake = office.intake(portion=1)
    assert tuple(intake.update(None, NOW)) == tuple(office.names)
    assert not intake.put_off
