"""How a booking lies in its row, and back, without loss; its content is JSON with the API's names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, text, update

from syncd.core.booking import Booking, BookingState
from syncd.core.occurrence import OccurrenceKey, event_key
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import Attachment, ReservationSpec
from syncd.ledger.database import Database
from syncd.ledger.tables import (
    bookings,
    generations,
    in_chunks,
    instant_of,
    prose_of,
    to_milliseconds,
    without_nul,
)


def encode_spec(spec: ReservationSpec) -> str:
    """Return content as JSON text; plain ASCII, so that any text of a calendar fits."""
    return json.dumps(spec.comparable(), separators=(",", ":"))


def decode_spec(stored: str) -> ReservationSpec:
    """Return the content that `encode_spec` wrote; raises ValueError, KeyError or TypeError otherwise."""
    value = json.loads(stored)
    attachments = [Attachment(**attachment) for attachment in value["attachments"]]
    return ReservationSpec(
        topic=value["topic"],
        start=instant_of(value["start_time"]),
        end=instant_of(value["end_time"]),
        room_id=value["meeting_room_id"],
        participants=tuple(value["participants"]),
        cc_participants=tuple(value["cc_participants"]),
        notice=value["notice"],
        notice_time_s=value["notice_time"],
        description=value["description"],
        creator=value["creator"],
        attachments=tuple(attachments),
    )


def booking_of(row: Row[Any]) -> Booking:
    """Return the booking in a row; raises ValueError, KeyError or TypeError when it makes no sense."""
    recurrence_id = row.recurrence_id or None
    return Booking(
        key=OccurrenceKey(row.scope, row.uid, recurrence_id),
        room_id=row.room_id or None,
        generation=row.generation,
        mark=row.mark,
        state=BookingState(row.state),
        source=row.source,
        witnesses=tuple(json.loads(row.witnesses)),
        origin=row.origin,
        content=_spec_of(row.content),
        pending=_spec_of(row.pending),
        reservation_id=row.reservation_id,
        reason=None if row.reason is None else Reason(row.reason),
        detail=row.detail,
        attempted_at=row.attempted_at,
        retry_at=row.retry_at,
        blocked_by=row.blocked_by,
        evidence=None if row.evidence is None else Evidence(row.evidence),
        missed=row.missed,
        missed_in=row.missed_in,
        attempts=row.attempts,
        drifted=row.drifted,
        echo=row.echo,
        document=row.document,
        updated_at=row.updated_at,
        row=row.row,
    )


def read_booking(database: Database, row: Row[Any]) -> Booking:
    """Return the booking in a row; raises `LedgerError` when it makes no sense."""
    try:
        return booking_of(row)
    except (ValueError, KeyError, TypeError) as error:
        raise database.unreadable(f"Booking {row.row}") from error


KEYS_AND_CONTENTS: Select[Any] = select(
    bookings.c.scope,
    bookings.c.uid,
    bookings.c.recurrence_id,
    bookings.c.content,
    bookings.c.pending,
)
"""The query for what `key_and_end` reads."""


def key_and_end(row: Row[Any]) -> tuple[OccurrenceKey, datetime | None]:
    """Return the occurrence of a booking and the latest end that it has; None if that makes no sense."""
    key = OccurrenceKey(row.scope, row.uid, row.recurrence_id or None)
    try:
        specs = (_spec_of(row.content), _spec_of(row.pending))
        ends = [spec.end for spec in specs if spec is not None]
    except (ValueError, KeyError, TypeError):
        return key, None
    return key, max(ends, default=None)


def _text_of(spec: ReservationSpec | None) -> str | None:
    return None if spec is None else encode_spec(spec)


def _spec_of(stored: str | None) -> ReservationSpec | None:
    return None if stored is None else decode_spec(stored)


def _columns(booking: Booking) -> dict[str, object]:
    """Return all columns but `row` and `updated_at`."""
    return {
        **_key_columns(booking.key),
        "room_id": booking.room_id or "",
        "generation": booking.generation,
        "mark": booking.mark or None,
        "state": booking.state,
        "source": booking.source,
        "witnesses": json.dumps(booking.witnesses),
        "origin": booking.origin,
        "content": _text_of(booking.content),
        "pending": _text_of(booking.pending),
        "reservation_id": booking.reservation_id or None,
        "reason": booking.reason,
        "detail": booking.detail,
        "attempted_at": booking.attempted_at,
        "retry_at": booking.retry_at,
        "blocked_by": booking.blocked_by,
        "evidence": booking.evidence,
        "missed": booking.missed,
        "missed_in": booking.missed_in,
        "attempts": booking.attempts,
        "drifted": booking.drifted,
        "echo": booking.echo,
        "document": booking.document,
        "start_at": booking.spec.start,
        "end_at": booking.spec.end,
        "event_key": event_key(booking.key.uid),
    }


# Statements of every call to the API are made once: making one takes longer than carrying it out.
_INSERT = insert(bookings).returning(bookings.c.row)
_CHANGE = update(bookings).where(bookings.c.row == bindparam("known_row"))
_PARK = _CHANGE.values(state=BookingState.ENDED)
_RAISE = text(
    "INSERT INTO generations (scope, uid, recurrence_id, highest) "
    "VALUES (:scope, :uid, :recurrence_id, :highest) ON CONFLICT (scope, uid, recurrence_id) "
    "DO UPDATE SET highest = excluded.highest WHERE generations.highest < excluded.highest"
)

_FORGET = text(
    "DELETE FROM generations WHERE scope = :scope AND uid = :uid AND recurrence_id = :recurrence_id "
    "AND NOT EXISTS (SELECT 1 FROM bookings WHERE bookings.uid = :uid AND bookings.scope = :scope "
    "AND bookings.recurrence_id = :recurrence_id)"
)


def store(
    connection: Connection, wanted: Sequence[Booking], also: Mapping[str, object]
) -> list[int]:
    """Write bookings with further columns, new ones too; returns their row numbers.

    Raises LookupError with its number when a row is not there.
    """
    if not wanted:
        return []
    known = [booking for booking in wanted if booking.row]
    if len(known) > 1:
        # Rows leave the unique indexes before the first comes back: bookings may trade places.
        rows = [{"known_row": booking.row} for booking in known]
        connection.execute(_PARK, rows)
    for booking in known:
        values = {"known_row": booking.row, **_columns(booking), **also}
        if not connection.execute(_CHANGE, values).rowcount:
            raise LookupError(booking.row)
    generations: list[dict[str, object]] = []
    for booking in wanted:
        of_the_key = _key_columns(booking.key)
        generations.append({**of_the_key, "highest": booking.generation})
    connection.execute(_RAISE, generations)
    # New ones last: they may take the place of one that moved away.
    numbers: list[int] = []
    for booking in wanted:
        number = booking.row
        if not number:
            values = {**_columns(booking), **also}
            number = int(connection.execute(_INSERT, values).scalar_one())
        numbers.append(number)
    return numbers


def as_stored(
    booking: Booking, row: int, updated_at: datetime, *, is_shared: bool
) -> Booking:
    """Return a booking as it is read from its row, without reading it.

    A row keeps moments to the millisecond, and of the detail what a database takes.
    """
    detail = prose_of(booking.detail)
    if is_shared:
        detail = without_nul(detail)
    return replace(
        booking,
        room_id=booking.room_id or None,
        mark=booking.mark or None,
        content=_kept(booking.content),
        pending=_kept(booking.pending),
        reservation_id=booking.reservation_id or None,
        detail=detail,
        attempted_at=_moment(booking.attempted_at),
        retry_at=_moment(booking.retry_at),
        updated_at=to_milliseconds(updated_at),
        row=row,
    )


def _kept(spec: ReservationSpec | None) -> ReservationSpec | None:
    if spec is None:
        return None
    start, end = to_milliseconds(spec.start), to_milliseconds(spec.end)
    return replace(spec, start=start, end=end)


def _moment(moment: datetime | None) -> datetime | None:
    return None if moment is None else to_milliseconds(moment)


def highest_generations(
    connection: Connection, keys: Collection[OccurrenceKey]
) -> dict[OccurrenceKey, int]:
    """Return the highest generation ever recorded of each of these occurrences that has any."""
    # The scopes as well, because the index begins with them.
    scopes = {key.scope for key in keys}
    uids = sorted({key.uid for key in keys})
    c = generations.c
    in_scopes = select(generations).where(c.scope.in_(scopes))
    found: dict[OccurrenceKey, int] = {}
    for some in in_chunks(uids):
        query = in_scopes.where(c.uid.in_(some))
        for row in connection.execute(query):
            key = OccurrenceKey(row.scope, row.uid, row.recurrence_id or None)
            found[key] = row.highest
    return found


def raise_generation(
    connection: Connection, key: OccurrenceKey, generation: int
) -> None:
    """Record a generation of an occurrence if it is the highest so far."""
    of_the_key = _key_columns(key)
    connection.execute(_RAISE, {**of_the_key, "highest": generation})


def forget_generations(connection: Connection, keys: Iterable[OccurrenceKey]) -> None:
    """Forget the generations of those occurrences that have no booking any more."""
    rows = [_key_columns(key) for key in keys]
    if rows:
        connection.execute(_FORGET, rows)


def _key_columns(key: OccurrenceKey) -> dict[str, object]:
    return {
        "scope": key.scope,
        "uid": key.uid,
        "recurrence_id": key.recurrence_id or "",
    }
