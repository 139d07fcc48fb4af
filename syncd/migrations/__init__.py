"""The tables of the ledger, as a chain of Alembic migrations.

The schema is stated once, in `versions`; `syncd.ledger` names only the columns that it uses.
`revision_of` is a plain query, so that a ledger that is up to date starts without importing Alembic.
An upgrade is one transaction together with the row that says how far it got: a kill leaves the old schema.
There are no downgrades; the cure for a wrong upgrade is the backup.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

HEAD = "0015"
"""The revision that this version of syncd reads and writes; revisions are numbers, later ones are higher."""

_VERSION_TABLE = "alembic_version"


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database: None if it is empty, `""` if its tables are not those of syncd."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if _VERSION_TABLE not in tables:
        return ""
    revision = connection.execute(
        text(f"SELECT version_num FROM {_VERSION_TABLE}")  # noqa: S608  # a constant
    ).scalar()
    return str(revision or "")


def upgrade(connection: Connection) -> None:
    """Bring a database to `HEAD`, inside the transaction of the connection.

    Raises ValueError when the database names a revision that never was.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "syncd:migrations")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ValueError(str(error)) from None
