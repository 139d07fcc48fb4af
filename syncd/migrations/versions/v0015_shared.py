"""What a ledger needs that is a PostgreSQL database; in a SQLite file nothing changes."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_IS_OPEN = (
    "(state NOT IN ('cancelled', 'ended') "
    "AND (state <> 'booked' OR reason IS NOT NULL OR retry_at IS NOT NULL))"
)


def upgrade() -> None:
    """Bring order, sizes and statistics to what the queries of the ledger rest on, and make room for members."""
    if op.get_bind().dialect.name != "postgresql":
        return
    _have_members()
    _order_texts_by_bytes()
    _keep_index_rows_short()
    _find_what_is_open()
    _share_what_is_read()


def _order_texts_by_bytes() -> None:
    """Give each text the order that SQLite has, whatever the language of the database is."""
    query = sa.text(
        "SELECT table_name, "
        "string_agg(format('ALTER COLUMN %I TYPE text COLLATE %I', column_name, 'C'), ', ') "
        "FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'text' "
        "GROUP BY table_name ORDER BY table_name"
    )
    for table, changes in op.get_bind().execute(query).all():
        op.execute(f'ALTER TABLE "{table}" {changes}')


def _keep_index_rows_short() -> None:
    """Leave the longest lists of witnesses out of their index: a row of one has 2,704 bytes at most."""
    op.drop_index("bookings_by_source", "bookings")
    op.execute(
        'ALTER TABLE bookings ADD shown_by text COLLATE "C" GENERATED ALWAYS AS '
        "(CASE WHEN octet_length(witnesses) <= 1000 THEN witnesses END) STORED"
    )
    op.create_index("bookings_by_source", "bookings", ["state", "source", "shown_by"])
    widely = sa.text("octet_length(witnesses) > 1000")
    op.create_index(
        "bookings_widely_shown", "bookings", ["state"], postgresql_where=widely
    )


def _find_what_is_open() -> None:
    """Let the planner know how few bookings are not simply booked, which it cannot tell from the columns."""
    op.drop_index("open_bookings", "bookings")
    op.create_index(
        "open_bookings",
        "bookings",
        ["state", "reason"],
        postgresql_where=sa.text(f"{_IS_OPEN} IS TRUE"),
    )
    op.execute(f"CREATE STATISTICS open_share ON ({_IS_OPEN}) FROM bookings")


def _have_members() -> None:
    """Add the lease of who writes with the history of its terms, and what tells members from each other."""
    text = sa.Text(collation="C")
    moment = sa.TIMESTAMP(timezone=True)
    op.create_table(
        "leases",
        sa.Column("name", text, primary_key=True),
        sa.Column("holder", text, nullable=False),
        sa.Column("term", text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
    )
    op.create_table(
        "terms",
        sa.Column("term", text, primary_key=True),
        sa.Column("name", text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", text, nullable=False),
        sa.Column("daemon", text, nullable=False),  # who that is, for people
        sa.Column("began_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("why", text, nullable=False, server_default=""),
    )
    op.create_index(
        "open_terms",
        "terms",
        ["name"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    for column in (
        sa.Column("holder", text, nullable=False, server_default=""),
        sa.Column("basis", text, nullable=False, server_default=""),
        sa.Column("basis_since", sa.BigInteger),
        sa.Column("reads", sa.Integer, nullable=False, server_default="0"),
        sa.Column("expires_at", moment),
    ):
        op.add_column("daemons", column)


def _share_what_is_read() -> None:
    """Tell by whom and when an index was made, and how often a UID had news, so that no writer misses any."""
    text = sa.Text(collation="C")
    op.add_column(
        "inventories",
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.add_column(
        "inventories", sa.Column("made_by", text, nullable=False, server_default="")
    )
    op.add_column("inventories", sa.Column("read_at", sa.BigInteger))
    op.add_column(
        "agenda", sa.Column("news", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column(
        "sources", sa.Column("daemon", text, nullable=False, server_default="")
    )
