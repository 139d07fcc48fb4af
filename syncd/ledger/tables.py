"""The tables of the ledger as its stores name them, and the steps that several stores make on them.

Only the columns that are used are named here; the schema with its constraints is in `syncd.migrations`.
Times are milliseconds since 1970, UTC, which is what the API counts in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnClause,
    Connection,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    TableClause,
    Text,
    TypeDecorator,
    column,
    delete,
    insert,
    table,
    text,
    update,
)

from syncd.core.reservation import epoch_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK = 1 << 20  # bytes in a row, because a database copies what is stored at a time
_AT_ONCE = 500  # values in one statement; databases bound their number


class _Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as milliseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> int | None:
        return None if value is None else epoch_ms(value)

    def process_result_value(
        self,
        value: int | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        return None if value is None else instant_of(value)


INSTANT = _Instant()


def prose_of(value: str) -> str:
    """Return text for people as it is stored: half a surrogate pair becomes `?`."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode()


def name_of(value: str) -> str:
    """Return a UID or a file name as it is stored: what is no text stands there as escapes."""
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def without_nul(value: str) -> str:
    """Return a text with the sign for NUL in place of each."""
    return value.replace("\0", "\u2400")


class _Prose(TypeDecorator[str]):
    """Text for people, in part from others: half a surrogate pair, which no database takes, becomes `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else prose_of(value)


class _Name(TypeDecorator[str]):
    """A UID or a file name of others; bytes in it that are no text stand there as escapes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else name_of(value)


class _SharedText(TypeDecorator[str]):
    """A text on PostgreSQL, which takes no NUL: the sign for it stands there; `cleaned` does the rest."""

    impl = Text
    cache_ok = True

    def __init__(self, cleaned: Callable[[str], str] = str) -> None:
        super().__init__()
        self.cleaned = cleaned

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else without_nul(self.cleaned(value))


_CLEANED: Mapping[type[Any], Callable[[str], str]] = {
    Text: str,
    _Prose: prose_of,
    _Name: name_of,
}


def _table(name: str, /, **columns: type[Any]) -> TableClause:
    made: list[ColumnClause[Any]] = []
    for column_name, kind in columns.items():
        stored = kind()
        if kind in _CLEANED:
            shared = _SharedText(_CLEANED[kind])
            stored = stored.with_variant(shared, "postgresql")
        made.append(column(column_name, stored))
    return table(name, *made)


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
    start_at=_Instant,
    end_at=_Instant,
    event_key=Text,
    updated_at=_Instant,
)
history = _table(
    "history",
    id=Integer,
    booking=Integer,
    at=_Instant,
    what=Text,
    detail=_Prose,
    source=Text,
    reason=Text,
    evidence=Text,
    decided_by=_Prose,
    document=_Name,
    room_id=Text,
    start_at=_Instant,
    end_at=_Instant,
)
feed_entries = _table(
    "feed_entries",
    entry_key=Text,
    booking=Integer,
    room_id=Text,
    start_at=_Instant,
    end_at=_Instant,
    told=Text,
    sequence=Integer,
    changed_at=_Instant,
    gone_at=_Instant,
    settled_at=_Instant,
    is_problem=Boolean,
)
daemons = _table(
    "daemons",
    name=Text,
    pid=Integer,
    version=Text,
    configuration=_Name,
    started_at=_Instant,
    beat_at=_Instant,
    stopped_at=_Instant,
)
cycles = _table(
    "cycles",
    id=Integer,
    ended_at=_Instant,
    seconds=Float,
    outcome=Text,
    counts=Text,
    calls=Integer,
    error=_Prose,
)
acknowledgements = _table(
    "acknowledgements",
    subject=_Name,
    fingerprint=Text,
    acknowledged_by=_Prose,
    at=_Instant,
)
refreshes = _table(
    "refreshes",
    source=Text,
    forced=Boolean,
    asked_by=_Prose,
    at=_Instant,
)
generations = _table(
    "generations",
    scope=Text,
    uid=_Name,
    recurrence_id=Text,
    highest=Integer,
)
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
    failing_since=_Instant,
    digest=Text,
    error=_Prose,
    daemon=Text,  # on a shared ledger
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
    topic=_Prose,
    fingerprint=Text,
)
calls = _table(
    "calls",
    month=Text,
    method=Text,
    count=BigInteger,
)
measurements = _table(
    "measurements",
    name=Text,
    labels=Text,
    part=Text,
    value=Float,
)
approvals = _table(
    "approvals",
    checksum=Text,
    at=_Instant,
    approved_by=Text,
    spent=Boolean,
)
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
bodies = _table(
    "bodies",
    source=Text,
    digest=Text,
    number=Integer,
    packed=LargeBinary,
)
decisions = _table(
    "decisions",
    booking=Integer,
    verdict=Text,
    reservation_id=Text,
    decided_by=Text,
    at=_Instant,
)
inventories = _table(
    "inventories",
    source=Text,
    standing=Text,
    # On a shared ledger:
    version=BigInteger,
    made_by=Text,
    read_at=_Instant,
)
inventory_buckets = _table(
    "inventory_buckets",
    source=Text,
    bucket=Integer,
    number=Integer,
    packed=LargeBinary,
)
kept = _table(
    "kept",
    source=Text,
    uid=_Name,
    pieces=LargeBinary,
    remarks=Text,
)
agenda = _table(
    "agenda",
    uid=_Name,
    due_at=_Instant,
    skipped=Integer,
    skips=Text,
    news=Integer,  # on a shared ledger
)
facts = _table(
    "facts",
    name=Text,
    value=Text,
)
subjects = _table(
    "subjects",
    name=_Name,
    kind=Text,
    is_open=Boolean,
    since=_Instant,
    last=Text,
    is_known_open=Boolean,
    told_at=_Instant,
    told_lately=Text,
    good_looks=Integer,
    well_since=_Instant,
    seen_at=_Instant,
    thread=Text,
    lasted=BigInteger,
)
outbox = _table(
    "outbox",
    id=Integer,
    name=Text,
    channel=Text,
    body=Text,
    threads=Text,
    made_at=_Instant,
    tries=Integer,
    next_try_at=_Instant,
    state=Text,
    error=_Prose,
)
people = _table(
    "people",
    address=Text,
    user_id=Text,
    at=_Instant,
)

# Literally the condition of the partial indexes, or they would not be used.
CURRENT = text("state NOT IN ('cancelled', 'ended')")
CLOSED = text("state IN ('cancelled', 'ended')")
_IS_OPEN = (
    "state NOT IN ('cancelled', 'ended') "
    "AND (state <> 'booked' OR reason IS NOT NULL OR retry_at IS NOT NULL)"
)
OPEN = text(_IS_OPEN)
"""The condition of a current booking that is not simply booked."""
OPEN_BY_SHARE = text(f"({_IS_OPEN}) IS TRUE")
"""The same for PostgreSQL, as one value, of which a statistic says how rare it is (migration 0015)."""

WAS_PROBLEM = text("(is_problem OR settled_at IS NOT NULL)")
"""The condition of an entry of the feeds that is, or was, about a meeting that is not booked as wanted."""

# The index by state is kept from the second half (`|| ''`): most bookings are in these states.
IN_DOUBT = text(
    "(state IN ('sending', 'cancelling') OR (reason = 'in_doubt' AND state || '' IN ('booked', 'approval')))"
)
"""The condition of `Booking.in_doubt` on a row."""


def put(
    connection: Connection,
    into: TableClause,
    key: Mapping[str, object],
    values: Mapping[str, object],
    at_first: Mapping[str, object] | None = None,
) -> None:
    """Set columns of the row with a key; a new row has the values `at_first` besides."""
    if connection.dialect.name == "postgresql":
        _put_at_once(connection, into, key, values, at_first or {})
        return
    is_the_row = [into.c[name] == value for name, value in key.items()]
    change = update(into).where(*is_the_row)
    changed = connection.execute(change.values(**values))
    if changed.rowcount:
        return
    of_new_row = {**values, **key}
    if at_first is not None:
        of_new_row = {**at_first, **of_new_row}
    connection.execute(insert(into).values(of_new_row))


def _put_at_once(
    connection: Connection,
    into: TableClause,
    key: Mapping[str, object],
    values: Mapping[str, object],
    at_first: Mapping[str, object],
) -> None:
    """Do the same in one statement, since another process may insert the row at the same moment."""
    from sqlalchemy.dialects.postgresql import insert as insert_or_update

    row = insert_or_update(into).values({**at_first, **values, **key})
    connection.execute(
        row.on_conflict_do_update(index_elements=list(key), set_=dict(values))
    )


def remove(
    connection: Connection, from_table: TableClause, key: Mapping[str, object]
) -> None:
    """Delete the rows with a key."""
    have_key = [from_table.c[name] == value for name, value in key.items()]
    connection.execute(delete(from_table).where(*have_key))


def in_chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the values in chunks of as many as one statement may name."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def in_blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in blocks of one size, each for a row; the last may be shorter."""
    held = bytearray()
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK):
            held += piece[start : start + _BLOCK]
            if len(held) >= _BLOCK:
                yield bytes(held[:_BLOCK])
                del held[:_BLOCK]
    if held:
        yield bytes(held)


def instant_of(milliseconds: int) -> datetime:
    """Return the moment that is so many milliseconds after the beginning of 1970."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_milliseconds(moment: datetime) -> datetime:
    """Return a moment as it is stored, in UTC and to the millisecond."""
    return instant_of(epoch_ms(moment))
