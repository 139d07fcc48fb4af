"""What page, metrics, notices and feedback feeds need of the ledger."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add what each of them needs."""
    _tell_when_meetings_are()
    _measure()
    _keep_notices()
    _remember_what_feeds_told()


def _tell_when_meetings_are() -> None:
    """Add the times of bookings and the keys of their events as columns, with an index for each question.

    Which bookings are of a day is found in an index alone.
    """
    op.add_column("bookings", sa.Column("start_at", sa.BigInteger))
    op.add_column("bookings", sa.Column("end_at", sa.BigInteger))
    op.add_column(
        "bookings", sa.Column("event_key", sa.Text, nullable=False, server_default="")
    )
    if op.get_bind().dialect.name == "sqlite":  # elsewhere no earlier version was
        _fill_from_what_is_there()
    op.create_index("bookings_by_event", "bookings", ["event_key"])
    op.create_index("bookings_by_time", "bookings", ["start_at", "end_at"])
    op.create_index("bookings_by_room", "bookings", ["room_id", "start_at", "end_at"])
    # Of many bookings a few are not simply booked, and those are asked for with every look at the status.
    is_open = sa.text(
        "state NOT IN ('cancelled', 'ended') "
        "AND (state <> 'booked' OR reason IS NOT NULL OR retry_at IS NOT NULL)"
    )
    op.create_index(
        "open_bookings",
        "bookings",
        ["state", "reason"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _fill_from_what_is_there() -> None:
    """Set the new columns of bookings; what makes no sense in one is told when it is read."""
    connection = op.get_bind()
    driver = connection.connection.dbapi_connection
    assert driver is not None  # the upgrade goes through it
    driver.create_function("key_of_event", 1, _key_of_event, deterministic=True)
    found = "CASE WHEN json_valid({0}) THEN json_extract({0}, '$.{1}') END"
    spec = "coalesce(content, pending)"
    start = found.format(spec, "start_time")
    end = found.format(spec, "end_time")
    op.execute(
        f"UPDATE bookings SET start_at = {start}, end_at = {end}, "  # noqa: S608  # constants
        "event_key = key_of_event(uid)"
    )


def _key_of_event(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:20]


def _measure() -> None:
    """Add what is measured for monitoring, and by which rules events are not booked."""
    op.create_table(
        "measurements",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "part"),
    )
    is_changed = sa.text("drifted <> ''")
    op.create_index(
        "drifted_bookings",
        "bookings",
        ["state"],
        sqlite_where=is_changed,
        postgresql_where=is_changed,
    )
    op.add_column("agenda", sa.Column("skips", sa.Text))
    # What is left out already is planned once more, which tells why.
    op.execute("UPDATE agenda SET due_at = 0 WHERE skipped > 0")


def _keep_notices() -> None:
    """Add the tables of what is told, and of what is on its way to whom."""
    op.create_table(
        "subjects",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("last", sa.Text, nullable=False),
        sa.Column("is_known_open", sa.Boolean, nullable=False),
        sa.Column("told_at", sa.BigInteger),
        sa.Column("told_lately", sa.Text, nullable=False),
        sa.Column("good_looks", sa.Integer, nullable=False),
        sa.Column("well_since", sa.BigInteger),
        sa.Column("seen_at", sa.BigInteger),
        sa.Column("thread", sa.Text, nullable=False),
        sa.Column("lasted", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("threads", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_try_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.UniqueConstraint("name", "channel"),
    )
    is_pending = sa.text("state = 'pending'")
    op.create_index(
        "outbox_pending",
        "outbox",
        ["channel", "id"],
        sqlite_where=is_pending,
        postgresql_where=is_pending,
    )


def _remember_what_feeds_told() -> None:
    """Add the table of what feeds told of each occurrence in each room, with what they tell at first."""
    op.create_table(
        "feed_entries",
        sa.Column("entry_key", sa.Text, primary_key=True),
        sa.Column(
            "booking",
            sa.BigInteger,
            sa.ForeignKey("bookings.row", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("start_at", sa.BigInteger, nullable=False),
        sa.Column("end_at", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("gone_at", sa.BigInteger),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("is_problem", sa.Boolean, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        connection = op.get_bind()
        driver = connection.connection.dbapi_connection
        assert driver is not None  # the upgrade goes through it
        driver.create_function("key_of_entry", 4, _key_of_entry, deterministic=True)
        # Of several records of one occurrence the current one counts, else the last.
        op.execute(
            "INSERT OR REPLACE INTO feed_entries SELECT key_of_entry(scope, uid, recurrence_id, room_id), row, "
            "room_id, start_at, end_at, '', 0, updated_at, "
            "CASE WHEN state = 'cancelled' THEN updated_at END, NULL, "
            "state NOT IN ('cancelled', 'ended') AND ("
            "coalesce(reason, '') IN ('refused', 'room_conflict', 'vanished', 'in_doubt') "
            "OR state = 'refused' AND coalesce(reason, '') <> 'dropped') "
            "FROM bookings WHERE start_at IS NOT NULL AND end_at IS NOT NULL "
            "ORDER BY state NOT IN ('cancelled', 'ended'), row"
        )
    op.create_index("feed_entries_by_booking", "feed_entries", ["booking"])
    op.create_index("feed_entries_by_room", "feed_entries", ["room_id", "end_at"])
    was_problem = sa.text("(is_problem OR settled_at IS NOT NULL)")
    op.create_index(
        "problems_of_feeds",
        "feed_entries",
        ["settled_at"],
        sqlite_where=was_problem,
        postgresql_where=was_problem,
    )


def _key_of_entry(scope: str, uid: str, recurrence_id: str, room_id: str) -> str:
    apart = json.dumps([scope, recurrence_id or None, room_id or None])
    return f"{_key_of_event(uid)}-{hashlib.sha256(apart.encode()).hexdigest()[:8]}"
