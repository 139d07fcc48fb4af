"""What page, metrics, notices and feedback feeds need of the ledger."""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Change nothing yet."""
