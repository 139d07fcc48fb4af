"""One member reads and another one books, by whole cycles against a real API: every edit arrives, each once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from syncd import assembly
from syncd.assembly.settings import settings_of
from syncd.config import load
from syncd.ics import Locale
from syncd.intake import CalendarSource
from syncd.ledger import Ledger, LedgerAddress
from syncd.reconciler import CycleReport, Reconciler
from syncd.sources.files import FileSource
from tests.conftest import Office, ahead, event
from tests.intake.test_held import an_hour_later

SOURCE = "office"


@dataclass
class Member:
    """A process on the shared ledger; `between` is done at the step of that number."""

    ledger: Ledger
    reconciler: Reconciler
    steps: Steps

    def read(self) -> None:
        """Read the source."""
        self.reconciler.read([SOURCE])

    def cycle(self, *, hears: bool = True) -> CycleReport:
        """Run a cycle as a writer whose source another one reads."""
        stamps = self.ledger.worklist.index_stamps()
        versions = self.ledger.worklist.versions
        heard = {}
        if hears or not versions.is_of(SOURCE, stamps[SOURCE][0]):
            heard = {SOURCE: self.ledger.sources.all().get(SOURCE)}
        return self.reconciler.cycle([], heard=heard)


@dataclass
class Steps:
    """Counts the steps of a cycle: when it asks for the time, or tells that it is alive."""

    count: int = 0
    at: int | None = None
    action: Callable[[], object] = lambda: None

    def __call__(self) -> datetime:
        self.count += 1
        if self.count == self.at:
            self.at = None
            self.action()
        return datetime.now(UTC)


@dataclass
class Pair:
    """An office whose ledger two members share."""

    office: Office
    url: str
    opened: ExitStack
    members: list[Member] = field(default_factory=list)

    def member(self, *changes: tuple[str, str]) -> Member:
        """A process that began just now, with a configuration that differs so."""
        office = self.office
        own = office.folder / f"member-{len(self.members)}"
        own.mkdir()
        if changes:
            office.change(*changes)
        config = load(office.folder / "syncd.toml")
        address = LedgerAddress(self.url, own=own)
        ledger = self.opened.enter_context(Ledger.open(address, owner=True))
        ledger.begin_reading(assembly.reading_basis(config))
        api = assembly.api_client(config)
        self.opened.callback(api.close)
        steps = Steps()
        (source,) = config.sources
        path = source.path or Path()
        files = FileSource(SOURCE, path, 1 << 20, clock=an_hour_later)
        locale = Locale(config.calendar.timezone, source.timezone)
        calendar = CalendarSource(
            SOURCE, files.fetch, locale, confirmations=source.confirmations
        )
        reconciler = Reconciler(
            sources=[calendar],
            api=api,
            ledger=ledger,
            settings=settings_of(config),
            clock=steps,
            progress=assembly.NoProgress(),
            alive=steps,
            at_hand=0,
        )
        made = Member(ledger, reconciler, steps)
        self.members.append(made)
        return made

    def booked(self) -> list[tuple[str, int]]:
        """The live reservations: their topics and when they begin."""
        return [
            (str(one["topic"]), int(one["start_time"]))
            for one in self.office.reservations()
        ]


@pytest.fixture
def pair(office: Office, database: str) -> Iterator[Pair]:
    """An office with three meetings."""
    with ExitStack() as opened:
        office.write(*meetings(9))
        yield Pair(office, database, opened)


def meetings(hour: int, uids: str = "abc") -> list[str]:
    """Meetings on days of their own, the first of them at an hour."""
    return [
        event(uid, ahead(2 + place, hour if place == 0 else 9))
        for place, uid in enumerate(uids)
    ]


def begins(hour: int, uids: str = "abc") -> list[tuple[str, int]]:
    """What is booked for them."""
    return [
        (
            f"Meeting {uid}",
            int(ahead(2 + place, hour if place == 0 else 9).timestamp() * 1000),
        )
        for place, uid in enumerate(uids)
    ]


def test_what_one_reads_the_other_books(pair: Pair) -> None:
    """New, edited and removed meetings; a quiet cycle writes nothing."""
    reader, writer = pair.member(), pair.member()
    for hour, uids in ((9, "abc"), (10, "abc"), (10, "ab"), (11, "ab")):
        pair.office.write(*meetings(hour, uids))
        reader.read()
        writer.cycle()
        assert pair.booked() == begins(hour, uids)
        writer.cycle()
        assert not writer.ledger.worklist.ready(datetime.now(UTC))
    pair.office.forget_requests()
    reader.read()
    writer.cycle()
    writer.cycle(hears=False)
    assert pair.office.writes() == []


def test_another_round_of_a_reader_counts(pair: Pair) -> None:
    """The writer says which sources it counts, and the next reading of one counts although it says the same."""
    confirmed = ('path = "office.ics"', 'path = "office.ics"\nconfirmations = 2')
    reader, writer = pair.member(confirmed), pair.member()
    reader.read()
    writer.cycle()
    assert writer.reconciler.counting == frozenset()
    pair.office.write(*meetings(9, "ab"))
    reader.read()
    for _ in range(3):
        writer.cycle()
        assert pair.booked() == begins(9)
        assert writer.reconciler.counting == {SOURCE}
    reader.read()
    writer.cycle()
    assert pair.booked() == begins(9, "ab")
    writer.cycle()
    assert writer.reconciler.counting == frozenset()


def test_a_reader_with_another_zone_moves_no_booking(pair: Pair) -> None:
    """Its readings are not used before it has the configuration of the writer; then they are."""
    floating = [text.replace("00Z", "00") for text in meetings(9)]
    pair.office.write(*floating)
    reader, writer = pair.member(), pair.member()
    reader.read()
    writer.cycle()
    booked = pair.booked()
    assert len(booked) == 3
    other = pair.member(
        ('path = "office.ics"', 'path = "office.ics"\ntimezone = "Asia/Tokyo"')
    )
    pair.office.write(*[text.replace("00Z", "00") for text in meetings(10)])
    other.read()
    pair.office.forget_requests()
    for _ in range(3):
        writer.cycle()
    assert pair.office.writes() == []
    assert pair.booked() == booked
    assert "a" in writer.ledger.worklist.ready(datetime.now(UTC))
    reloaded = pair.member(('\ntimezone = "Asia/Tokyo"', ""))
    reloaded.read()
    writer.cycle()
    assert [
        moved - before
        for (_, moved), (_, before) in zip(pair.booked(), booked, strict=True)
    ] == [3_600_000, 0, 0]


def further(count: int) -> list[datetime]:
    """When so many further meetings begin, none of them at the time of another one."""
    return [ahead(5 + n // 40, n % 40 // 2, n % 2 * 30) for n in range(count)]


@pytest.mark.slow
def test_an_edit_at_every_step_of_a_cycle_arrives(pair: Pair) -> None:
    """Whenever the reader stores an edit and a new meeting, the writer books both, in this cycle or the next."""
    reader, writer = pair.member(), pair.member()

    def says(hour: int, more: int) -> None:
        new = [event(f"n{n}", start, 20) for n, start in enumerate(further(more))]
        pair.office.write(*meetings(hour), *new)
        reader.read()

    says(9, 0)
    writer.cycle()
    for step in itertools.count(1):
        # Something to do, so that the cycle has all of its steps.
        says(9 + step % 2, step - 1)
        writer.steps.count = 0
        writer.steps.at = step
        hour = 11 + step % 2
        writer.steps.action = partial(says, hour, step)
        writer.cycle()
        if writer.steps.count < step:
            break  # it has fewer steps
        for _ in range(2):
            writer.cycle()
        wanted = begins(hour)
        for n, start in enumerate(further(step)):
            wanted.append((f"Meeting n{n}", int(start.timestamp() * 1000)))
        assert sorted(pair.booked()) == sorted(wanted), f"step {step}"
        assert not writer.ledger.worklist.ready(datetime.now(UTC)), f"step {step}"
    assert step > 10
