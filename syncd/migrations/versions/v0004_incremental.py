"""What sources said, in part: inventories, the texts that matter, and which UIDs need a look when."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables; all that is booked needs a look at first."""
    op.create_table(
        "inventories",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.Column("standing", sa.Text, nullable=False),
    )
    op.create_table(
        "kept",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("pieces", sa.LargeBinary, nullable=False),
        sa.Column("remarks", sa.Text),
        sa.PrimaryKeyConstraint("source", "uid"),
    )
    op.create_index("kept_by_uid", "kept", ["uid"])
    remarked = sa.text("remarks IS NOT NULL")
    op.create_index(
        "kept_with_remarks",
        "kept",
        ["source"],
        sqlite_where=remarked,
        postgresql_where=remarked,
    )
    op.create_table(
        "agenda",
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("tally", sa.Text, nullable=False),
    )
    op.create_index("agenda_by_time", "agenda", ["due_at"])
    op.execute(
        "INSERT INTO agenda (uid, due_at, tally) SELECT DISTINCT uid, 0, '' FROM bookings "
        "WHERE state NOT IN ('cancelled', 'ended')"
    )
