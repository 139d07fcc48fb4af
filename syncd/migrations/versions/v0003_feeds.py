"""Feeds: the body that was read last, with its validators, and how long to leave the server alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "snapshots",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("base_url", sa.Text, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("last_modified", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("read_at", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("wait_until", sa.BigInteger),
    )
