"""What operates on the ledger: the daemon and its cycles, what persons have seen, and why things were done."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the tables, and the columns of history, sources and quarantine; what is older has none of it."""
    op.create_table(
        "daemons",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("configuration", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("stopped_at", sa.BigInteger),
    )
    op.create_table(
        "cycles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "acknowledgements",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("acknowledged_by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", "fingerprint"),
    )
    op.create_table(
        "refreshes",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )
    with op.batch_alter_table("history") as history:
        history.add_column(sa.Column("source", sa.Text))
        history.add_column(sa.Column("reason", sa.Text))
        history.add_column(sa.Column("evidence", sa.Text))
        history.add_column(sa.Column("decided_by", sa.Text))
        history.add_column(sa.Column("document", sa.Text))
        history.add_column(sa.Column("room_id", sa.Text))
        history.add_column(sa.Column("start_at", sa.BigInteger))
        history.add_column(sa.Column("end_at", sa.BigInteger))
    op.create_index("history_by_time", "history", ["at"])
    op.add_column("sources", sa.Column("failing_since", sa.BigInteger))
    op.execute(
        "UPDATE sources SET failing_since = coalesce(last_ok_at, last_read_at) WHERE failures > 0"
    )
    with op.batch_alter_table("quarantine") as quarantine:
        quarantine.add_column(
            sa.Column("topic", sa.Text, nullable=False, server_default="")
        )
        quarantine.add_column(
            sa.Column("fingerprint", sa.Text, nullable=False, server_default="")
        )
