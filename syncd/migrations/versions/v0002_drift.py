"""Drift and decisions: what somebody changed in Tuya, and what a person decided about a booking in doubt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column(
        "bookings",
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    )
    op.add_column(
        "bookings", sa.Column("drifted", sa.Text, nullable=False, server_default="")
    )
    op.add_column(
        "bookings", sa.Column("echo", sa.Text, nullable=False, server_default="")
    )
    op.create_table(
        "decisions",
        sa.Column("booking", _NUMBER, primary_key=True),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reservation_id", sa.Text),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "verdict IN ('adopt', 'retry', 'drop')", name="known_verdict"
        ),
    )
