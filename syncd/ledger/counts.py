"""What is counted over all bookings and the whole worklist: by the database, from its indexes.

Each count reads a few bytes of a row and loads none, so that a million of them take a moment.
Nothing is stored: a sum that is kept beside what it sums can be wrong, and another process may write too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    Text,
    column,
    func,
    or_,
    select,
    text,
)

from syncd.core.booking import CLOSED_STATES, HOLDING_STATES, Booking, BookingState
from syncd.core.reasons import Reason
from syncd.ledger import tables

_BOOKING = tables.bookings.c
_LINE = tables.agenda.c
_NUMBER = func.count().label("number")
_HOLDS_ONE = _BOOKING.state.in_(sorted(HOLDING_STATES))
_IS_CURRENT = _BOOKING.state.in_(sorted(set(BookingState) - CLOSED_STATES))
_FEW = 4
"""Sources, up to which those that show a booking are picked by the database; of more it tells all."""

# Literally the conditions of the partial indexes, or these would not be used.
_IS_CHANGED = text("drifted <> ''")
_IS_SKIPPING = text("skipped > 0")
_IS_WIDELY_SHOWN = text("octet_length(witnesses) > 1000")

_SHOWN_BY: ColumnClause[str] = column("shown_by", Text)
"""The witnesses as they are in an index of PostgreSQL, unless they are long."""


def count_current(connection: Connection) -> dict[BookingState, int]:
    """Return how many current bookings there are in each state that has any."""
    query = select(_BOOKING.state, _NUMBER).where(_IS_CURRENT).group_by(_BOOKING.state)
    return {BookingState(state): number for state, number in connection.execute(query)}


def count_waiting(connection: Connection) -> int:
    """Return how many meetings wait to be booked."""
    query = select(func.count()).where(_BOOKING.state == BookingState.WAITING)
    number = connection.execute(query).scalar()
    return int(number or 0)


def count_live(connection: Connection) -> Counter[str]:
    """Return how many reservations each source has."""
    # By state first, as the index does, or the database would sort.
    query = select(_BOOKING.source, _NUMBER).where(_HOLDS_ONE)
    by_state = query.group_by(_BOOKING.state, _BOOKING.source)
    live: Counter[str] = Counter()
    for source, number in connection.execute(by_state):
        live[source] += number
    return live


def count_shown(connection: Connection, sources: Collection[str]) -> Counter[str]:
    """Return how many reservations each of these sources shows, whichever source decided them."""
    parts = [_witnesses_in(_BOOKING.witnesses, sources)]
    if connection.dialect.name == "postgresql":
        # The longest are in no index, nor in the column that is.
        in_index = _witnesses_in(_SHOWN_BY, sources).where(_SHOWN_BY.is_not(None))
        parts = [in_index, parts[0].where(_IS_WIDELY_SHOWN)]
    shown: Counter[str] = Counter()
    for part in parts:
        for witnesses, number in connection.execute(part):
            names = json.loads(witnesses)
            shown.update(dict.fromkeys(names, number))
    return Counter({name: shown[name] for name in sources})


def _witnesses_in(
    witnesses: ColumnElement[str], sources: Collection[str]
) -> Select[str, int]:
    """Return the query for how many reservations each list of witnesses in a column shows."""
    query = select(witnesses, _NUMBER).select_from(tables.bookings).where(_HOLDS_ONE)
    if len(sources) <= _FEW:
        names = [json.dumps(name) for name in sources]
        shows_one = [witnesses.contains(name, autoescape=True) for name in names]
        query = query.where(or_(*shows_one))
    return query.group_by(witnesses)


def count_uids(connection: Connection, sources: Collection[str]) -> Counter[str]:
    """Return how many UIDs of each of these sources have current bookings."""
    number = func.count(_BOOKING.uid.distinct())
    known: Counter[str] = Counter()
    for some in tables.in_chunks(sorted(sources)):
        query = select(_BOOKING.source, number).where(_IS_CURRENT)
        of_some = query.where(_BOOKING.source.in_(some)).group_by(_BOOKING.source)
        for source, uids in connection.execute(of_some):
            known[source] = uids
    return known


def count_skipped(connection: Connection, now: datetime) -> int:
    """Return how many occurrences ask for no reservation, of the UIDs that are not ready at a moment."""
    is_deferred = or_(_LINE.due_at > now, _LINE.due_at.is_(None))
    query = select(func.sum(_LINE.skipped)).where(_IS_SKIPPING, is_deferred)
    number = connection.execute(query).scalar()
    return int(number or 0)


def count_skips(connection: Connection) -> Counter[Reason]:
    """Return how many occurrences ask for no reservation as far as they rest or rested, by the reason."""
    query = select(_LINE.skips, _NUMBER).where(_IS_SKIPPING).group_by(_LINE.skips)
    counted: Counter[Reason] = Counter()
    for why, uids in connection.execute(query):
        for reason, number in json.loads(why or "{}").items():
            counted[Reason(reason)] += number * uids
    return counted


@dataclass(frozen=True, slots=True)
class DriftCounts:
    """How many current bookings are of reservations that somebody changed or ended in Tuya."""

    changed: int = 0
    cancelled: int = 0


def count_drift(connection: Connection) -> DriftCounts:
    """Return how many reservations are otherwise in Tuya than they were made."""
    every = select(func.count()).select_from(tables.bookings)
    changed = every.where(_IS_CHANGED, tables.CURRENT)
    is_released = _BOOKING.state == BookingState.RELEASED
    is_by_people = _BOOKING.reason == Reason.RELEASED
    cancelled = every.where(is_released, is_by_people)
    return DriftCounts(
        connection.execute(changed).scalar() or 0,
        connection.execute(cancelled).scalar() or 0,
    )


def count_closed(connection: Connection) -> dict[BookingState, int]:
    """Return how many bookings are remembered in each state in which they are over."""
    is_closed = _BOOKING.state.in_(sorted(CLOSED_STATES))
    query = select(_BOOKING.state, _NUMBER).where(is_closed).group_by(_BOOKING.state)
    return {BookingState(state): number for state, number in connection.execute(query)}


def live_of(bookings: Iterable[Booking]) -> Counter[str]:
    """Return how many of these bookings are reservations, by the source that decided them."""
    return Counter(
        booking.source for booking in bookings if booking.state in HOLDING_STATES
    )


def shown_of(bookings: Iterable[Booking]) -> Counter[str]:
    """Return how many of these bookings are reservations, by each source that shows them."""
    shown: Counter[str] = Counter()
    for booking in bookings:
        if booking.state in HOLDING_STATES:
            shown.update(set(booking.witnesses))
    return shown


def uids_of(bookings: Iterable[Booking]) -> Counter[str]:
    """Return how many UIDs these bookings have, by the source that decided them."""
    pairs = {(booking.source, booking.key.uid) for booking in bookings}
    return Counter(source for source, _ in pairs)
