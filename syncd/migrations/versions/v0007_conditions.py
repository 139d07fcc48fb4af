"""Feeds: until when they are asked without condition, because their server fails on one."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; nothing is known of any feed."""
    op.add_column(
        "snapshots", sa.Column("unconditional_until", sa.BigInteger, nullable=True)
    )
