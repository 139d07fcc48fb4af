"""The first schema.

What must never be is a constraint here: two current bookings of one meeting in one room, one mark or one
reservation held by two current bookings, a booking that claims a reservation without its id, a request
that left without a trace of when and what.
`current` means: not cancelled and not ended. Times are milliseconds since 1970, UTC.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_CURRENT = "state NOT IN ('cancelled', 'ended')"
# SQLite numbers rows in INTEGER keys only.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _unique_among_current(name: str, *columns: str) -> None:
    where = sa.text(_CURRENT)
    op.create_index(
        name,
        "bookings",
        columns,
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "bookings",
        sa.Column("row", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column(
            "recurrence_id", sa.Text, nullable=False
        ),  # '' for none: NULLs are never equal
        sa.Column("room_id", sa.Text, nullable=False),  # the same
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("mark", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("witnesses", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("pending", sa.Text),
        sa.Column("reservation_id", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("attempted_at", sa.BigInteger),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("blocked_by", sa.Text),
        sa.Column("evidence", sa.Text),
        sa.Column("missed", sa.Integer, nullable=False),
        sa.Column("missed_in", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'booked', 'approval', 'refused', 'cancelling', 'cancelled', "
            "'released', 'ended')",
            name="known_state",
        ),
        sa.CheckConstraint(
            "state NOT IN ('booked', 'approval', 'cancelling', 'released') OR reservation_id IS NOT NULL",
            name="reservation_has_id",
        ),
        sa.CheckConstraint(
            "state <> 'sending' OR (attempted_at IS NOT NULL AND pending IS NOT NULL)",
            name="sending_has_attempt",
        ),
        sa.CheckConstraint(
            "state NOT IN ('booked', 'approval') OR content IS NOT NULL",
            name="booked_has_content",
        ),
        sa.CheckConstraint(
            "content IS NOT NULL OR pending IS NOT NULL", name="has_content"
        ),
        sa.CheckConstraint("mark <> '' AND reservation_id <> ''", name="none_is_null"),
        sa.CheckConstraint("generation >= 0", name="generation_counts"),
        sqlite_autoincrement=True,  # the number of a pruned row is not given to another booking
    )
    _unique_among_current(
        "one_current_booking", "scope", "uid", "recurrence_id", "room_id"
    )
    _unique_among_current("one_current_mark", "mark")
    _unique_among_current("one_current_reservation", "reservation_id")
    op.create_index("bookings_by_uid", "bookings", ["uid"])
    op.create_index("bookings_by_state", "bookings", ["state", "updated_at"])

    op.create_table(
        "history",
        sa.Column("id", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column(
            "booking",
            _NUMBER,
            sa.ForeignKey("bookings.row", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("history_by_booking", "history", ["booking"])

    # Outlives the bookings that it counts until their meetings are long over: no mark is given twice.
    op.create_table(
        "generations",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("recurrence_id", sa.Text, primary_key=True),
        sa.Column("highest", sa.Integer, nullable=False),
    )

    op.create_table(
        "sources",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("last_read_at", sa.BigInteger),
        sa.Column("last_ok_at", sa.BigInteger),
        sa.Column("next_run_at", sa.BigInteger),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("documents", sa.Integer, nullable=False),
        sa.Column("quarantined", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("error", sa.Text),
        sa.CheckConstraint(
            "state IN ('read', 'unchanged', 'unreadable')", name="known_source_state"
        ),
    )
    op.create_table(
        "quarantine",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
    )
    op.create_index("quarantine_by_source", "quarantine", ["source"])

    op.create_table(
        "calls",
        sa.Column("month", sa.Text, primary_key=True),  # 2026-12, UTC
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("checksum", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("approved_by", sa.Text, nullable=False),
        sa.Column("spent", sa.Boolean, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "people",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
