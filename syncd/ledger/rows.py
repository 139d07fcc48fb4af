"""How the values of the core lie in the rows of the ledger, and back, without loss.

Only the columns that are used are named here; the schema with its constraints is in `syncd.migrations`.
Times are milliseconds since 1970, UTC, which is what the API counts in; content is JSON with the API's names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    Row,
    TableClause,
    Text,
    TypeDecorator,
    bindparam,
    column,
    delete,
    insert,
    select,
    table,
    text,
    update,
)

from syncd.core.booking import Booking, BookingState
from syncd.core.feed import Body
from syncd.core.occurrence import Defect, OccurrenceKey
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import Attachment, ReservationSpec, epoch_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PART = 1 << 20  # bytes in a row, because a database copies what is stored at a time
_AT_ONCE = 500  # values in one statement; databases bound their number


class _Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as milliseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else epoch_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _instant(value)


INSTANT = _Instant()


class _Prose(TypeDecorator[str]):
    """Text for people, in part from others: half a surrogate pair, which no database takes, becomes `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.encode("utf-8", "replace").decode()


class _Name(TypeDecorator[str]):
    """A UID or a file name of others; bytes in it that are no text stand there as escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None or value.isascii():
            return value
        return value.encode("utf-8", "backslashreplace").decode()


def _table(name: str, /, **columns: type[Any]) -> TableClause:
    return table(name, *(column(column_name, kind()) for column_name, kind in columns.items()))


bookings = _table(
    "bookings",
    row=Integer,
    scope=Text,
    uid=_Name,
    recurrence_id=Text,
    room_id=Text,
    generation=Integer,
    mark=Text,
    state=Text,
    source=Text,
    witnesses=Text,
    origin=Text,
    content=Text,
    pending=Text,
    reservation_id=Text,
    reason=Text,
    detail=_Prose,
    attempted_at=_Instant,
    retry_at=_Instant,
    blocked_by=Text,
    evidence=Text,
    missed=Integer,
    missed_in=Text,
    attempts=Integer,
    drifted=Text,
    echo=Text,
    document=Text,
    updated_at=_Instant,
)
history = _table("history", id=Integer, booking=Integer, at=_Instant, what=Text, detail=_Prose)
generations = _table("generations", scope=Text, uid=_Name, recurrence_id=Text, highest=Integer)
sources = _table(
    "sources",
    name=Text,
    state=Text,
    last_read_at=_Instant,
    last_ok_at=_Instant,
    next_run_at=_Instant,
    events=Integer,
    documents=Integer,
    quarantined=Integer,
    failures=Integer,
    digest=Text,
    error=_Prose,
)
quarantine = _table(
    "quarantine",
    source=Text,
    document=_Name,
    uid=_Name,
    line=Integer,
    reason=Text,
    detail=_Prose,
    first_seen_at=_Instant,
)
calls = _table("calls", month=Text, method=Text, count=BigInteger)
approvals = _table("approvals", checksum=Text, at=_Instant, approved_by=Text, spent=Boolean)
snapshots = _table(
    "snapshots",
    source=Text,
    identity=Text,
    document=_Name,
    digest=Text,
    base_url=Text,
    etag=Text,
    last_modified=Text,
    target=Text,
    read_at=_Instant,
    failures=Integer,
    wait_until=_Instant,
    unconditional_until=_Instant,
)
bodies = _table("bodies", source=Text, digest=Text, number=Integer, packed=LargeBinary)
decisions = _table(
    "decisions", booking=Integer, verdict=Text, reservation_id=Text, decided_by=Text, at=_Instant
)
inventories = _table("inventories", source=Text, standing=Text)
inventory_parts = _table("inventory_parts", source=Text, number=Integer, packed=LargeBinary)
kept = _table("kept", source=Text, uid=_Name, pieces=LargeBinary, remarks=Text)
agenda = _table("agenda", uid=_Name, due_at=_Instant, tally=Text)
facts = _table("facts", name=Text, value=Text)
people = _table("people", address=Text, user_id=Text, at=_Instant)

# Literally the condition of the partial indexes, or they would not be used.
CURRENT = text("state NOT IN ('cancelled', 'ended')")

IN_DOUBT = text(
    "(state IN ('sending', 'cancelling') OR (state IN ('booked', 'approval') AND reason = 'in_doubt'))"
)
"""The condition of `Booking.in_doubt` on a row."""


def encode_spec(spec: ReservationSpec) -> str:
    """Content as JSON text; plain ASCII, so that any text of a calendar fits."""
    return json.dumps(spec.comparable(), separators=(",", ":"))


def decode_spec(stored: str) -> ReservationSpec:
    """The content that `encode_spec` wrote; raises ValueError, KeyError or TypeError for anything else."""
    value = json.loads(stored)
    return ReservationSpec(
        topic=value["topic"],
        start=_instant(value["start_time"]),
        end=_instant(value["end_time"]),
        room_id=value["meeting_room_id"],
        participants=tuple(value["participants"]),
        cc_participants=tuple(value["cc_participants"]),
        notice=value["notice"],
        notice_time_s=value["notice_time"],
        description=value["description"],
        creator=value["creator"],
        attachments=tuple(Attachment(**attachment) for attachment in value["attachments"]),
    )


def booking_of(row: Row[Any]) -> Booking:
    """The booking in a row; raises ValueError, KeyError or TypeError when it makes no sense."""
    return Booking(
        key=OccurrenceKey(row.scope, row.uid, row.recurrence_id or None),
        room_id=row.room_id or None,
        generation=row.generation,
        mark=row.mark,
        state=BookingState(row.state),
        source=row.source,
        witnesses=tuple(json.loads(row.witnesses)),
        origin=row.origin,
        content=None if row.content is None else decode_spec(row.content),
        pending=None if row.pending is None else decode_spec(row.pending),
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


def _columns(booking: Booking) -> dict[str, object]:
    """All columns but `row` and `updated_at`."""
    return {
        **_key_columns(booking.key),
        "room_id": booking.room_id or "",
        "generation": booking.generation,
        "mark": booking.mark or None,
        "state": booking.state,
        "source": booking.source,
        "witnesses": json.dumps(booking.witnesses),
        "origin": booking.origin,
        "content": None if booking.content is None else encode_spec(booking.content),
        "pending": None if booking.pending is None else encode_spec(booking.pending),
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
    }


# Statements of every call to the API are made once: making one takes longer than carrying it out.
_INSERT = insert(bookings).returning(bookings.c.row)
_CHANGE = update(bookings).where(bookings.c.row == bindparam("known_row"))
_PARK = _CHANGE.values(state=BookingState.ENDED)
_BY_ROW = select(bookings).where(bookings.c.row == bindparam("known_row"))
_RAISE = text(
    "INSERT INTO generations (scope, uid, recurrence_id, highest) "
    "VALUES (:scope, :uid, :recurrence_id, :highest) ON CONFLICT (scope, uid, recurrence_id) "
    "DO UPDATE SET highest = excluded.highest WHERE generations.highest < excluded.highest"
)
_ADD_CALLS = text(
    "INSERT INTO calls (month, method, count) VALUES (:month, :method, :more) "
    "ON CONFLICT (month, method) DO UPDATE SET count = calls.count + excluded.count"
)


def store(connection: Connection, wanted: Sequence[Booking], also: Mapping[str, object]) -> list[int]:
    """Write bookings with further columns, new ones too; returns their row numbers.

    Raises LookupError with its number when a row is not there.
    """
    if not wanted:
        return []
    known = [{"known_row": b.row} for b in wanted if b.row]
    if len(known) > 1:
        # Rows leave the unique indexes before the first comes back: bookings may trade places.
        connection.execute(_PARK, known)
    for booking in wanted:
        if booking.row:
            values = {"known_row": booking.row, **_columns(booking), **also}
            if not connection.execute(_CHANGE, values).rowcount:
                raise LookupError(booking.row)
    connection.execute(_RAISE, [{**_key_columns(b.key), "highest": b.generation} for b in wanted])
    # New ones last: they may take the place of one that moved away.
    return [
        booking.row or int(connection.execute(_INSERT, {**_columns(booking), **also}).scalar_one())
        for booking in wanted
    ]


def stored(connection: Connection, row: int) -> Row[Any]:
    """The row with a number, which is there."""
    return connection.execute(_BY_ROW, {"known_row": row}).one()


def raise_generation(connection: Connection, key: OccurrenceKey, generation: int) -> None:
    """Remember a generation of an occurrence if it is the highest so far."""
    connection.execute(_RAISE, {**_key_columns(key), "highest": generation})


def put(
    connection: Connection,
    into: TableClause,
    key: Mapping[str, object],
    values: Mapping[str, object],
    at_first: Mapping[str, object] | None = None,
) -> None:
    """Set columns of the row with a key; a new row has the values `at_first` besides."""
    if not connection.execute(update(into).where(*_is(into, key)).values(**values)).rowcount:
        connection.execute(insert(into).values({**(at_first or {}), **values, **key}))


def add_calls(connection: Connection, counted: Mapping[tuple[str, str], int]) -> None:
    """Add to the calls by month and method."""
    if counted:
        lines = [{"month": month, "method": method, "more": n} for (month, method), n in counted.items()]
        connection.execute(_ADD_CALLS, lines)


def shares(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the values in shares of as many as one statement may name."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def replace_quarantine(connection: Connection, source: str, defects: Sequence[Defect], at: datetime) -> None:
    """Make `defects` those of a source; one that was there before keeps the time when it was first seen."""
    c = quarantine.c
    stored = connection.execute(
        select(quarantine).where(c.source == source).order_by(c.first_seen_at, text("rowid"))
    ).all()
    # The line moves when something above it is edited; the defect is the same.
    since: dict[tuple[str, str, str], datetime] = {}
    for row in stored:
        since.setdefault((row.document, row.uid, row.reason), row.first_seen_at)
    wanted = [
        {
            "source": source,
            "document": defect.document,
            "uid": defect.uid,
            "line": defect.line,
            "reason": defect.reason,
            "detail": defect.detail,
            "first_seen_at": since.get((defect.document, defect.uid, defect.reason), at),
        }
        for defect in defects
    ]
    if [row._asdict() for row in stored] == wanted:
        return
    connection.execute(delete(quarantine).where(c.source == source))
    if wanted:
        connection.execute(insert(quarantine), wanted)


def replace_body(connection: Connection, source: str, body: Body | None) -> None:
    """Make a body that of a source."""
    connection.execute(delete(bodies).where(bodies.c.source == source))
    if body is not None:
        for number, packed in enumerate(_parted([body.packed])):
            part = insert(bodies).values(source=source, digest=body.digest, number=number, packed=packed)
            connection.execute(part)


def body_of(connection: Connection, source: str, digest: str) -> Body | None:
    """The body of a source; None unless it is the one with that digest."""
    c = bodies.c
    query = select(c.packed).where(c.source == source, c.digest == digest).order_by(c.number)
    packed = b"".join(connection.execute(query).scalars())
    return Body(digest, packed) if packed else None


def replace_inventory(connection: Connection, source: str, packed: Iterable[bytes]) -> None:
    """Make a packed inventory that of a source."""
    connection.execute(delete(inventory_parts).where(inventory_parts.c.source == source))
    for number, part in enumerate(_parted(packed)):
        connection.execute(insert(inventory_parts).values(source=source, number=number, packed=part))


def inventory_of(connection: Connection, source: str) -> bytes:
    """The packed inventory of a source; empty if there is none."""
    c = inventory_parts.c
    query = select(c.packed).where(c.source == source).order_by(c.number)
    return b"".join(connection.execute(query).scalars())


def _parted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of one size, but for the last."""
    held = bytearray()
    for piece in pieces:
        for start in range(0, len(piece), _PART):
            held += piece[start : start + _PART]
            if len(held) >= _PART:
                yield bytes(held[:_PART])
                del held[:_PART]
    if held:
        yield bytes(held)


def _key_columns(key: OccurrenceKey) -> dict[str, object]:
    return {"scope": key.scope, "uid": key.uid, "recurrence_id": key.recurrence_id or ""}


def _is(within: TableClause, values: Mapping[str, object]) -> list[ColumnElement[bool]]:
    return [within.c[name] == value for name, value in values.items()]


def _instant(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
