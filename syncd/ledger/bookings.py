"""The bookings with their history, and the generations of their marks.

What must never be (two current bookings of one meeting in one room, a booking without its reservation id)
is refused by constraints of the database.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    TextClause,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    union_all,
)

from syncd.core.booking import CLOSED_STATES, HOLDING_STATES, Booking, BookingState
from syncd.core.cause import AS_THE_BOOKING_SAYS, Cause
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import REFUSALS
from syncd.core.totals import Totals
from syncd.errors import LedgerError, TermOver
from syncd.ledger import booking_rows, counts, tables
from syncd.ledger.agenda import add_uids
from syncd.ledger.booking_rows import read_booking
from syncd.ledger.database import Database
from syncd.ledger.facts import ADOPTED_AT, BACKED_UP_AT, RECOVERY, Facts, Recovery
from syncd.ledger.feed_entries import note_told
from syncd.ledger.gate import WritingGate
from syncd.ledger.history import (
    ENTRIES,
    HistoryEntry,
    HistoryStep,
    add_entries,
    entry_of,
)
from syncd.ledger.worklist import ready_uids

_LATEST = select(func.max(tables.history.c.id))
_BOOKING = tables.bookings.c
_IS_OPEN = or_(
    _BOOKING.state != BookingState.BOOKED,
    _BOOKING.reason.is_not(None),
    _BOOKING.retry_at.is_not(None),
)
_WITH_ID = select(_BOOKING.reservation_id).where(
    _BOOKING.reservation_id.in_(bindparam("ids", expanding=True))
)
# Each half by an index of its own: this is asked after every create.
_RECORDED = union_all(_WITH_ID.where(tables.CURRENT), _WITH_ID.where(tables.CLOSED))

T = TypeVar("T")


class Bookings:
    """The store of bookings; whatever is written about one puts its UID on the worklist as well."""

    def __init__(
        self, database: Database, gate: WritingGate, facts: Facts, *, is_owner: bool
    ) -> None:
        self._database = database
        self._gate = gate
        self._facts = facts
        self._is_owner = is_owner
        # What was counted last, by its name, with what it depends on.
        self._counts: dict[str, tuple[object, Any]] = {}
        self._latest = 0  # the last line of history that this process knows of
        self._is_old_copy = self._looks_like_an_old_copy()

    @property
    def fresh(self) -> bool:
        """Return whether the ledger proves nothing about what it does not hold.

        No booking is remembered and none was looked for; or it is an old copy that was put back.
        """
        if self._is_old_copy or self.recovery is not None:
            return True
        if self._facts.get(ADOPTED_AT) is not None:
            return False
        any_generation = select(tables.generations.c.highest).limit(1)
        return self._database.scalar(any_generation) is None

    @property
    def recovery(self) -> Recovery | None:
        """Return that a shared ledger may lack what it had, because its database was put back; else None."""
        return self._facts.get(RECOVERY) if self._database.is_shared else None

    def note_recovery(self, recovery: Recovery | None) -> None:
        """Record since when the ledger may lack what it had; None: that it is settled."""
        self._facts.set(RECOVERY, recovery)

    def begin_term(self, *, recovering: bool) -> None:
        """Take as known what others wrote, for a term on a shared ledger; `recovering` as for the ledger."""
        self._counts = {}
        self._is_old_copy = self._looks_like_an_old_copy()
        self._latest = self._latest_history()
        knows_less = self._database.progress > self._latest and self.recovery is None
        if recovering or knows_less:
            self.note_recovery(Recovery())

    def mark_adopted(self, at: datetime) -> None:
        """Record that the API was asked what is booked already."""
        self._facts.set(ADOPTED_AT, at)
        if self._facts.get(BACKED_UP_AT) is not None:
            self._facts.drop(BACKED_UP_AT.name)
        self._database.progress = self._latest_history()
        self._is_old_copy = False

    # Current bookings, by key and room

    def current(self) -> tuple[Booking, ...]:
        """Return all bookings that are neither cancelled nor ended."""
        return self._where(tables.CURRENT)

    def ready(self, now: datetime) -> tuple[Booking, ...]:
        """Return the current bookings of the UIDs that are ready on the worklist."""
        return self._select(_ready(now))

    def open(self) -> tuple[Booking, ...]:
        """Return the current bookings that are neither simply booked nor simply waiting, ready or not.

        Whatever needs a person is among them.
        """
        is_refused = _BOOKING.reason.in_(sorted(REFUSALS))
        waits = _BOOKING.state == BookingState.WAITING
        is_open = tables.OPEN_BY_SHARE if self._database.is_shared else tables.OPEN
        return self._where(and_(is_open, or_(~waits, is_refused)))

    def count_by_state(self) -> dict[BookingState, int]:
        """Return how many current bookings there are in each state that has any."""
        with self._database.reading() as connection:
            return counts.count_current(connection)

    def count_closed(self) -> Mapping[BookingState, int]:
        """Return how many bookings are remembered in each state in which they are over."""
        with self._database.reading() as connection:
            return counts.count_closed(connection)

    def count_drift(self) -> counts.DriftCounts:
        """Return how many current bookings are of reservations that somebody changed or ended in Tuya."""
        with self._database.reading() as connection:
            return counts.count_drift(connection)

    def unsettled(self, now: datetime) -> tuple[Booking, ...]:
        """Return those of `ready` that are not simply booked.

        They wait, or are in doubt, refused or ended in Tuya.
        """
        return self._select(_ready(now).where(_IS_OPEN))

    def totals(
        self,
        now: datetime,
        ready: frozenset[str],
        bookings: Collection[Booking] = (),
        sources: Collection[str] = (),
    ) -> Totals:
        """Return the counts over the UIDs that are not ready.

        `ready` are those that are, `bookings` the current ones of these; `shown` and `known` are counted for
        the `sources` alone, because that is what a plan over these bookings asks for.
        What was counted last of all is returned as long as nothing was written that it depends on.
        """

        def count_skipped(connection: Connection) -> int:
            return counts.count_skipped(connection, now)

        live = self._counted("live", None, counts.count_live)
        skipped = self._counted("skipped", ready, count_skipped)
        live = live - counts.live_of(bookings)
        if not sources:
            return Totals(live, skipped=skipped)
        with self._database.reading() as connection:
            shown = counts.count_shown(connection, sources)
            known = counts.count_uids(connection, sources)
        shown -= counts.shown_of(bookings)
        known -= counts.uids_of(bookings)
        return Totals(live, shown, known, skipped)

    def waiting(self) -> int:
        """Return how many meetings wait to be booked."""
        return self._counted("waiting", None, counts.count_waiting)

    def in_doubt(self, now: datetime) -> tuple[Booking, ...]:
        """Return the bookings that are `in_doubt`; what is in doubt is never deferred."""
        return self._select(_ready(now).where(tables.IN_DOUBT))

    def holders(self, reservation_ids: Collection[str]) -> dict[str, Booking]:
        """Return the current bookings of these reservations, by reservation id."""
        found: dict[str, Booking] = {}
        for booking in self._current_with(_BOOKING.reservation_id, reservation_ids):
            if booking.reservation_id:
                found[booking.reservation_id] = booking
        return found

    def written_since(self, at: datetime) -> tuple[Booking, ...]:
        """Return the current bookings that hold a reservation and were recorded since a moment."""
        holds_one = _BOOKING.state.in_(sorted(HOLDING_STATES))
        is_recent = _BOOKING.updated_at >= at
        return self._where(and_(holds_one, is_recent, tables.CURRENT))

    def concerned(
        self, uids: Collection[str], marks: Collection[str]
    ) -> tuple[Booking, ...]:
        """Return the current bookings of these UIDs and those that carry these marks, each once."""
        of_the_uids = self._current_with(_BOOKING.uid, uids)
        with_the_marks = self._current_with(_BOOKING.mark, marks)
        by_row: dict[int, Booking] = {}
        for booking in chain(of_the_uids, with_the_marks):
            by_row[booking.row] = booking
        return tuple(by_row.values())

    # All bookings

    def all(self) -> tuple[Booking, ...]:
        """Return all bookings that are remembered, closed ones too, by key, room and age."""
        return self._where(true())

    def of(self, *uids: str) -> tuple[Booking, ...]:
        """Return all bookings of these UIDs, closed ones too, by key, room and age."""
        found: list[Booking] = []
        for some in tables.in_chunks(sorted(uids)):
            found += self._where(_BOOKING.uid.in_(some))
        return _sorted(found)

    def recorded(self, reservation_ids: Collection[str]) -> frozenset[str]:
        """Return those of these reservation ids that stand in any booking, current or closed."""
        found: set[str] = set()
        with self._database.reading() as connection:
            for some in tables.in_chunks(list(reservation_ids)):
                found.update(connection.execute(_RECORDED, {"ids": some}).scalars())
        return frozenset(found)

    def cancels_since(self, since: datetime) -> tuple[Booking, ...]:
        """Return the bookings that were cancelled, or are being cancelled, with evidence since a moment."""
        states = (BookingState.CANCELLING, BookingState.CANCELLED)
        is_cancelled = _BOOKING.state.in_(states)
        is_recent = _BOOKING.updated_at >= since
        cancels = self._where(and_(is_cancelled, is_recent))
        return tuple(booking for booking in cancels if booking.evidence is not None)

    def history(self, row: int) -> tuple[HistoryEntry, ...]:
        """Return what happened to the booking with this row number, oldest first."""
        of_the_booking = tables.history.c.booking == row
        query = ENTRIES.where(of_the_booking).order_by(tables.history.c.id)
        with self._database.making_sense("The history"):
            return tuple(entry_of(line) for line in self._database.rows(query))

    # Generations

    def next_generations(
        self, keys: Collection[OccurrenceKey]
    ) -> dict[OccurrenceKey, int]:
        """Return for each occurrence one more than its highest generation ever recorded; 0 at first.

        Generations of bookings that were pruned count as well, until their meetings are long over.
        """
        with self._database.reading() as connection:
            highest = booking_rows.highest_generations(connection, keys)
        return {key: highest.get(key, -1) + 1 for key in keys}

    def raise_generation(self, key: OccurrenceKey, generation: int) -> None:
        """Record a generation that was seen elsewhere, so that its mark is not given again."""
        with self._gate.writing() as connection:
            booking_rows.raise_generation(connection, key, generation)

    # Writing

    def record(
        self,
        *bookings: Booking,
        at: datetime,
        what: str,
        detail: str = "",
        cause: Cause = AS_THE_BOOKING_SAYS,
    ) -> tuple[Booking, ...]:
        """Store bookings, new ones (row 0) and changed ones, with a line of history each: all or none.

        `cause` says why it was done and who decided it.
        Durable when it returns. Returns them as stored, with row number and `updated_at`, in their order.
        Raises `LedgerError` when another current booking holds the meeting's room, mark or reservation.
        On a shared ledger raises `TermOver` when this process may not write any more.
        """
        asks = any(booking.in_doubt for booking in bookings)
        with self._gate.writing(asks=asks) as connection:
            numbers = self._store(connection, bookings, at, updated_at=at)
            stored: list[Booking] = []
            for booking, number in zip(bookings, numbers, strict=True):
                known = booking_rows.as_stored(
                    booking, number, at, is_shared=self._database.is_shared
                )
                stored.append(known)
            step = HistoryStep(at, what, detail, cause)
            latest = add_entries(connection, stored, step)
            if self._database.is_shared and stored:
                self._require_progress(latest)
        self._latest = latest or self._latest
        if latest and not self._is_old_copy:
            self._database.progress = latest
        return tuple(stored)

    def amend(self, *bookings: Booking, at: datetime) -> None:
        """Store what is bookkeeping (counters, witnesses, when to retry) of recorded bookings: all or none.

        No line of history, and `updated_at` stays; `at` is for the feeds, if they tell something else from it.
        """
        if not all(booking.row for booking in bookings):
            raise ValueError("a booking is recorded before it is amended")
        if bookings:
            with self._gate.writing() as connection:
                self._store(connection, bookings, at)

    def note_progress(self) -> None:
        """Keep beside the database how far the history has come, unless the database is an old copy."""
        if not self._is_old_copy:
            self._database.progress = self._latest_history()

    # Inside

    def _looks_like_an_old_copy(self) -> bool:
        """Tell whether the ledger is a copy that was put back.

        The progress stands beside the database too: a copy that knows less than was known is an old one,
        and one without it came from elsewhere; a backup says so itself.
        """
        progress = self._database.progress
        latest = self._latest_history()
        came_from_elsewhere = latest > 0 and progress == 0
        is_backup = self._facts.get(BACKED_UP_AT) is not None
        return progress > latest or came_from_elsewhere or is_backup

    def _require_progress(self, latest: int) -> None:
        """Raise `TermOver` when a new line of history is not beyond the last one: the ledger was put back."""
        if latest <= self._latest:
            raise TermOver(
                "The ledger knows less than this process recorded in it: an older state of its database was put "
                "back meanwhile; nothing more is sent until the API was asked what is booked."
            )

    def _counted(self, what: str, over: object, count: Callable[[Connection], T]) -> T:
        """Return what was counted last over the same, or count it if something was written since.

        Beside the owner others write, so whoever does not own the ledger counts each time.
        """
        basis = (self._gate.changes, over)
        if self._is_owner and what in self._counts:
            known_basis, known = self._counts[what]
            if known_basis == basis:
                counted: T = known
                return counted
        with self._database.reading() as connection:
            counted = count(connection)
        self._counts[what] = (basis, counted)
        return counted

    def _latest_history(self) -> int:
        latest = self._database.scalar(_LATEST)
        return int(latest or 0)

    def _store(
        self,
        connection: Connection,
        bookings: Sequence[Booking],
        at: datetime,
        **also: object,
    ) -> list[int]:
        try:
            self._gate.changes += 1
            uids = {booking.key.uid for booking in bookings}
            add_uids(connection, uids)
            numbers = booking_rows.store(connection, bookings, also)
        except LookupError as error:
            raise LedgerError(
                f"Booking {error} is no longer in the ledger: run the cycle again, it reads the ledger anew."
            ) from None
        note_told(connection, numbers, bookings, at)
        return numbers

    def _current_with(
        self, column: ColumnClause[str], values: Collection[str]
    ) -> Iterator[Booking]:
        """Yield the current bookings with one of these values in a column that has an index."""
        for some in tables.in_chunks(sorted(values)):
            has_one = column.in_(some)
            yield from self._where(and_(has_one, tables.CURRENT))

    def _where(
        self, condition: ColumnElement[bool] | TextClause
    ) -> tuple[Booking, ...]:
        return self._select(select(tables.bookings).where(condition))

    def _select(self, query: Select[Any]) -> tuple[Booking, ...]:
        with self._database.reading() as connection:
            # One at a time: there may be many, and as rows they are as large again.
            found = connection.execute(query)
            return _sorted(read_booking(self._database, row) for row in found)


def prune_bookings(
    connection: Connection, before: datetime, unseen_before: datetime
) -> int:
    """Forget closed bookings that changed last before a moment, with their history; returns how many.

    With the last booking of an occurrence its generation goes too, if its meetings were over at both moments.
    """
    is_closed = _BOOKING.state.in_(sorted(CLOSED_STATES))
    is_old = _BOOKING.updated_at < before
    known = booking_rows.KEYS_AND_CONTENTS.where(is_closed, is_old)
    over_before = min(before, unseen_before)
    are_over: dict[OccurrenceKey, bool] = {}
    for row in connection.execute(known):
        key, end = booking_rows.key_and_end(row)
        is_over = end is not None and end < over_before
        are_over[key] = is_over and are_over.get(key, True)
    forget = delete(tables.bookings).where(is_closed, is_old)
    forgotten = connection.execute(forget).rowcount
    over = [key for key, is_over in are_over.items() if is_over]
    booking_rows.forget_generations(connection, over)
    return forgotten


def _ready(now: datetime) -> Select[Any]:
    """Return the query for the current bookings of the UIDs that are ready."""
    is_ready = _BOOKING.uid.in_(ready_uids(now))
    return select(tables.bookings).where(is_ready, tables.CURRENT)


def _sorted(bookings: Iterable[Booking]) -> tuple[Booking, ...]:
    """Return bookings by key, room and age."""
    by_key = sorted(bookings, key=_position)
    return tuple(by_key)


def _position(booking: Booking) -> tuple[OccurrenceKey, str, int]:
    room_id = booking.room_id or ""
    return booking.key, room_id, booking.row
