"""Totals over what is at rest are counted when they are needed; a UID keeps how many occurrences it skips."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Exchange the text for a number; UIDs that skipped occurrences are looked at once, to count them."""
    op.execute("UPDATE agenda SET due_at = 0 WHERE tally LIKE '%skipped%'")
    with op.batch_alter_table("agenda") as agenda:
        agenda.add_column(
            sa.Column("skipped", sa.Integer, nullable=False, server_default="0")
        )
        agenda.drop_column("tally")
    op.execute("DELETE FROM facts WHERE name = 'at_rest'")
