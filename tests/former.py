"""Ledgers as former versions left them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine


def bring_to(file: Path, revision: str) -> None:
    """Give an empty database the schema of a revision."""
    from alembic import command
    from alembic.config import Config

    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "syncd:migrations")
        command.upgrade(config, revision)
    engine.dispose()
