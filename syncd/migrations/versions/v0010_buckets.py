"""Indexes in buckets, so that one file of a directory is written with some others and not with all."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Move what is stored to bucket 0, where it is read as a whole and replaced when something changes."""
    op.create_table(
        "inventory_buckets",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("source", "bucket", "number"),
    )
    op.execute(
        "INSERT INTO inventory_buckets (source, bucket, number, packed) "
        "SELECT source, 0, number, packed FROM inventory_parts"
    )
    op.drop_table("inventory_parts")
