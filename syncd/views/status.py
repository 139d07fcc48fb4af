"""What the ledger knows of the present, in one value that tables, documents and checks render."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.apply import Oddity, all_oddities, count_leftovers
from syncd.config import Config
from syncd.core.booking import Booking, BookingState
from syncd.ledger import Ledger, SourceRecord
from syncd.ledger.facts import HELD, MISSING_FILES, Held, MissingFiles
from syncd.ledger.operation import API_TROUBLE, ApiTrouble, CycleRecord, DaemonRecord
from syncd.reconciler import clock_told, forecast
from syncd.views import concerns
from syncd.views.concerns import Concern, ConcernKind
from syncd.views.members import Sharing
from syncd.views.state_words import StateWord, state_word_of


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a configured source stood when it was last looked at; `state` is unread if it never was.

    `failures` counts incomplete readings in a row, the first of them `failing_since`.
    `interval` is how often it is read. `daemon` is who looked at it last, where several share the ledger.
    """

    name: str
    interval: timedelta
    state: str = "unread"
    last_read_at: datetime | None = None
    last_ok_at: datetime | None = None
    events: int = 0
    quarantined: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    error: str | None = None
    next_run_at: datetime | None = None
    daemon: str = ""

    @classmethod
    def of(
        cls, name: str, interval: timedelta, record: SourceRecord | None
    ) -> SourceStatus:
        """Return the status of a source by its record; None: it has none."""
        if record is None:
            return cls(name, interval)
        return cls(
            name,
            interval,
            record.state,
            record.last_read_at,
            record.last_ok_at,
            record.events,
            record.quarantined,
            record.failures,
            record.failing_since,
            record.error,
            record.next_run_at,
            record.daemon,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Whether syncd works, how the sources stand, and what needs a person.

    `daemon` is the one that began last on this state, or of several the one that writes; `sharing` has all of
    them. `last_cycle` may be that of a `syncd once`.
    `counts` are the current bookings by state.
    `waiting` counts those that wait and are booked without a person, `to_approve` those that a person is to
    approve in Tuya.
    `concerns` need a person, the most urgent first; `seen` were acknowledged and count for nothing.
    `bookings` are those that were asked for, closed ones too, by key and room; None if none were.
    `strays` and `duplicates` count reservations with our mark that are nobody's.
    `missing_files` are gone for a moment, by source.
    `calls_forecast` is how many calls the month will have at its end; `monthly_calls` may be made, 0: any.
    `clock` is a sentence about the clock of this machine, empty when it is right; when it is `clock_wrong`,
    nothing is written.
    """

    now: datetime
    mode: str
    daemon: DaemonRecord | None
    sharing: Sharing
    last_cycle: CycleRecord | None
    api_trouble: ApiTrouble | None
    sources: tuple[SourceStatus, ...]
    counts: Mapping[BookingState, int]
    in_doubt: int
    vanished: int
    waiting: int
    to_approve: int
    concerns: tuple[Concern, ...]
    seen: tuple[Concern, ...]
    bookings: tuple[Booking, ...] | None
    held: Held
    missing_files: MissingFiles
    oddities: tuple[Oddity, ...]
    strays: int
    duplicates: int
    calls_this_month: int
    calls_forecast: int
    monthly_calls: int
    clock: str
    clock_wrong: bool

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        config: Config,
        *,
        now: datetime,
        bookings: tuple[Booking, ...] | None = None,
        problems: Sequence[str] = (),
    ) -> Status:
        """Return what the ledger knows, without asking anybody; raises `LedgerError`.

        `bookings` are those that were asked for; `problems` keep the configuration file from being used.
        """
        records = ledger.sources.all()
        sources = tuple(
            SourceStatus.of(
                source.name, config.interval_of(source), records.get(source.name)
            )
            for source in config.sources
        )
        known = _Known.of(ledger)
        open_ones = known.open_ones
        counts = ledger.bookings.count_by_state()
        words = Counter((one.state, state_word_of(one)) for one in open_ones)
        waiting = counts.get(BookingState.WAITING, 0)
        for (state, word), number in words.items():
            if state is BookingState.WAITING and word is not StateWord.WAITING:
                waiting -= number
        used = ledger.calls.in_month(now)
        strays, duplicates = count_leftovers(ledger.facts)
        sharing = Sharing.of(ledger, config.api.client_id)
        found = [
            *concerns.of_configuration(problems),
            *concerns.of_members(sharing.behind),
            *_concerns(ledger, config, sources, known, now),
        ]
        found.sort(key=_urgency)
        cycles = ledger.operation.cycles(1)
        return cls(
            now=now,
            mode=config.mode,
            daemon=ledger.operation.daemon(),
            sharing=sharing,
            last_cycle=cycles[0] if cycles else None,
            api_trouble=known.api_trouble,
            sources=sources,
            counts=counts,
            in_doubt=sum(booking.in_doubt for booking in open_ones),
            vanished=sum(booking.is_vanished for booking in open_ones),
            waiting=waiting,
            to_approve=words[BookingState.APPROVAL, StateWord.APPROVAL],
            concerns=tuple(one for one in found if one.seen_by is None),
            seen=tuple(one for one in found if one.seen_by is not None),
            bookings=bookings,
            held=known.held,
            missing_files=ledger.facts.get(MISSING_FILES) or {},
            oddities=known.oddities,
            strays=strays,
            duplicates=duplicates,
            calls_this_month=used,
            calls_forecast=forecast(used, now),
            monthly_calls=config.api.monthly_calls,
            clock=known.clock,
            clock_wrong=known.clock_wrong,
        )

    @property
    def is_running(self) -> bool:
        """Return whether a daemon works on this state."""
        if self.sharing.is_any_alive:
            return True
        return self.daemon is not None and self.daemon.is_running(self.now)

    @property
    def needs_attention(self) -> bool:
        """Return whether nothing runs, or something needs a person."""
        return not self.is_running or bool(self.concerns)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is shown and what needs a person by it: read once, or the daemon might write in between."""

    api_trouble: ApiTrouble | None
    held: Held
    clock: str
    clock_wrong: bool
    open_ones: tuple[Booking, ...]
    oddities: tuple[Oddity, ...]

    @classmethod
    def of(cls, ledger: Ledger) -> _Known:
        """Return what a ledger knows."""
        facts = ledger.facts
        open_ones = ledger.bookings.open()
        clock, clock_wrong = clock_told(facts)
        return cls(
            api_trouble=facts.get(API_TROUBLE),
            held=facts.get(HELD) or Held(),
            clock=clock,
            clock_wrong=clock_wrong,
            open_ones=open_ones,
            oddities=all_oddities(facts, open_ones),
        )


def _concerns(
    ledger: Ledger,
    config: Config,
    sources: Iterable[SourceStatus],
    known: _Known,
    now: datetime,
) -> Iterator[Concern]:
    """Yield all that may need a person, also what somebody acknowledged."""
    acknowledged = ledger.people.acknowledged()
    yield from concerns.of_api(known.api_trouble)
    yield from concerns.of_clock(known.clock, is_wrong=known.clock_wrong)
    yield from concerns.of_held(known.held, known.open_ones)
    yield from concerns.of_bookings(
        known.open_ones,
        acknowledged,
        request_validity=config.api.request_validity,
        now=now,
    )
    for source in sources:
        yield from concerns.of_source(
            source.name,
            source.error,
            source.last_ok_at or source.failing_since,
            source.interval,
            now,
        )
    configured = config.source_names
    defects = [
        defect for defect in ledger.sources.quarantine() if defect.source in configured
    ]
    yield from concerns.of_quarantine(defects, acknowledged)
    yield from concerns.of_oddities(known.oddities)


_ORDER = {kind: number for number, kind in enumerate(ConcernKind)}


def _urgency(concern: Concern) -> tuple[int, float]:
    """Return what concerns are sorted by: their kind, then the nearest meeting."""
    start = concern.start.timestamp() if concern.start else float("inf")
    return _ORDER[concern.kind], start
