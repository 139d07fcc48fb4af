"""Feeds: the body in a table of its own, so that looking at a feed and noting something leave it alone."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Move the column out; nobody knows the digests of the bodies, so each feed is read as a whole once."""
    op.create_table(
        "bodies",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("source", "digest", "number"),
    )
    op.add_column(
        "snapshots", sa.Column("digest", sa.Text, nullable=False, server_default="")
    )
    op.drop_column("snapshots", "body")
