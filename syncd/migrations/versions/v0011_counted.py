"""Indexes from which reservations by source and skipped occurrences are counted, without reading the rows."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create them."""
    op.create_index("bookings_by_source", "bookings", ["state", "source", "witnesses"])
    skipping = sa.text("skipped > 0")
    op.create_index(
        "agenda_skipping",
        "agenda",
        ["skipped", "due_at"],
        sqlite_where=skipping,
        postgresql_where=skipping,
    )
