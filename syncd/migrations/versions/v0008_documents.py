"""Bookings: in which document of its source the copy stands that decided."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; the next look at each meeting fills it."""
    op.add_column(
        "bookings", sa.Column("document", sa.Text, nullable=False, server_default="")
    )
