"""An index of the reservations of closed bookings, so that an id is found without reading all bookings."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create it; for bookings that are not closed there is `one_current_reservation`."""
    is_closed = sa.text("state IN ('cancelled', 'ended')")
    op.create_index(
        "closed_reservations",
        "bookings",
        ["reservation_id"],
        sqlite_where=is_closed,
        postgresql_where=is_closed,
    )
