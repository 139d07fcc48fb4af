"""Inventories in parts, because a database copies what is stored at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Forget the inventories, so that each source is looked through as a whole once."""
    op.execute("DELETE FROM inventories")
    op.drop_column("inventories", "packed")
    op.create_table(
        "inventory_parts",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("source", "number"),
    )
