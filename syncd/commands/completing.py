"""Completion in shells: commands and options, and the names that the configuration holds.

The shell calls the program itself while somebody types, so this must be quick, print nothing but what fits,
and never fail: a configuration with mistakes still has names, and one that cannot be read has none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer import completion

PROGRAM = "syncd"
ASKED_BY_SHELL = "_SYNCD_COMPLETE"
"""The variable by which a script of a shell asks what could follow."""

SHELLS = ("bash", "zsh", "fish")


_BASH = """\
_syncd_completion() {
    local IFS=$'\\n' offered one
    mapfile -t offered < <(
        COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _SYNCD_COMPLETE=complete_bash "$1"
    )
    COMPREPLY=()
    for one in "${offered[@]}"; do
        [ -z "$one" ] || COMPREPLY+=("$(printf %q "$one")")
    done
}
complete -o default -F _syncd_completion syncd
"""
"""Our own, because that of typer lets bash take a name with a blank for two words, and * for files."""


def script_for(shell: str) -> str:
    """Return the script that teaches a shell to complete; raises `typer.BadParameter` for another one."""
    if shell not in SHELLS:
        raise typer.BadParameter(
            f"{shell!r} is none of {', '.join(SHELLS)}", param_hint="--show-completion"
        )
    if shell == "bash":
        return _BASH
    script: str = completion.get_completion_script(  # type: ignore[attr-defined]  # as below
        prog_name=PROGRAM, complete_var=ASKED_BY_SHELL, shell=shell
    )
    return script.strip() + "\n"


def learn_shells() -> None:
    """Make ready to answer a shell."""
    completion.completion_init()  # type: ignore[attr-defined]  # not declared there


# Names of the configuration


def _sources(context: typer.Context, incomplete: str) -> list[str]:
    names = [source.get("name") for source in _tables(context, "sources")]
    return _fitting(names, incomplete)


def _rooms(context: typer.Context, incomplete: str) -> list[str]:
    rooms = list(_tables(context, "rooms"))
    names = [room.get("name") for room in rooms]
    ids = [room.get("id") for room in rooms]
    return _fitting(names, incomplete) or _fitting(ids, incomplete)


def _open_states(_context: typer.Context, incomplete: str) -> list[str]:
    from syncd.core.resolve import Open

    return _fitting(list(Open), incomplete)


def _booking_states(_context: typer.Context, incomplete: str) -> list[str]:
    from syncd.core.booking import BookingState

    return _fitting(list(BookingState), incomplete)


COMPLETERS: Mapping[str, Callable[[typer.Context, str], list[str]]] = {
    "source": _sources,
    "room": _rooms,
    "every": _open_states,
    "state": _booking_states,
}
"""What can follow, by the name of the parameter; it is the same in every command."""


def _fitting(names: list[Any], incomplete: str) -> list[str]:
    """Return the names that begin as what was typed."""
    texts = [name for name in names if isinstance(name, str)]
    return [name for name in texts if name.startswith(incomplete)]


def _tables(context: typer.Context, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the tables of a list in the files of the configuration, as they are written."""
    file = _configuration(context)
    files = [file, *sorted((file.parent / "conf.d").glob("*.toml"))]
    for one in files:
        try:
            tree = tomllib.loads(one.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            continue
        tables = tree.get(name)
        if isinstance(tables, list):
            yield from (table for table in tables if isinstance(table, dict))


def _configuration(context: typer.Context) -> Path:
    """Return the configuration that the line names so far, or else the default one."""
    from syncd.config import default_path

    root = context.find_root()
    # Behind a command and before it.
    for named in (root.obj, root.params.get("config")):
        if isinstance(named, str | Path):
            return Path(named)
    return default_path()
