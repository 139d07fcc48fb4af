"""The command that moves the state into another database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.commands.common import Commands, config_path

if TYPE_CHECKING:
    from syncd.config import Config, State
    from syncd.ledger import LedgerAddress
    from syncd.ledger.moving import MoveReport

commands = Commands()


@commands.command("migrate-state")
def migrate_state(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A file, or the URL of a ledger.")
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TO", help="A new file, or that of an empty database."),
    ],
) -> None:
    """Move the state into a file or into PostgreSQL, verified.

    Stop syncd first. What was interrupted is completed by the same command; FROM stays as it is.

    Example: syncd migrate-state /var/lib/syncd/state.db postgresql+psycopg://syncd@db/syncd
    """
    from syncd.assembly import ledger_address
    from syncd.ledger.moving import move

    path = config_path(context)
    configured = _configured(path)
    known = None if configured is None else configured.state
    old = ledger_address(_state("FROM", source, known), path)
    new_state = _state("TO", target, known)
    new = ledger_address(new_state, path)

    def tell(table: str, rows: int) -> None:
        streams.say(f"{table:<20} {rows:>12,} copied")

    client_id = None if configured is None else configured.api.client_id
    report = move(old, new, tell, client_id=client_id)
    streams.say(_sentence(report, old, new))
    for line in _to_write(new_state):
        streams.say(line)


def _sentence(report: MoveReport, old: LedgerAddress, new: LedgerAddress) -> str:
    """Return what is said of a move that is done."""
    holds = (
        f"{report.rows('bookings'):,} bookings, {report.rows():,} rows in {len(report.tables)} tables, verified "
        "by their number and by checksums"
    )
    if report.wrote:
        return f"{new.name} is equal to {old.name} now: {holds}."
    return f"{new.name} is equal to {old.name} already ({holds}): nothing was written."


def _to_write(state: State) -> tuple[str, ...]:
    """Return the lines to write into the configuration."""
    from syncd.config import has_password, state_url_without_password

    url = state_url_without_password(state.url)
    lines = ["Write into the configuration, then start syncd:", "[state]"]
    lines.append(f'url = "{url}"')
    if has_password(state.url) or state.password is not None:
        lines.append('password = { file = "state-password" }')
    if state.durability != "local":
        lines.append(f'durability = "{state.durability}"')
    return tuple(lines)


def _configured(path: Path) -> Config | None:
    """Return the configuration; None if it cannot be used, which is no matter here."""
    from syncd.config import load
    from syncd.errors import ConfigError

    try:
        return load(path)
    except ConfigError:
        return None


def _state(name: str, given: str, configured: State | None) -> State:
    """Return where a ledger is that was named; one of the configuration is reached as that says.

    Raises `ConfigError` for what names none.
    """
    from syncd.config import state_at, state_url_without_password

    url = given if "://" in given else f"sqlite:///{Path(given).absolute()}"
    state = state_at(name, url, Path.cwd())
    if configured is None or configured.password is None:
        return state
    if state.url == state_url_without_password(configured.url):
        return configured
    return state
