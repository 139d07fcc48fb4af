"""The help: a list of commands in which no sentence is cut, and for each command one that stands alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from syncd.cli import app
from tests.conftest import Office


def _commands() -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """All commands by what a person types, also those of groups."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        yield name, command
        if isinstance(command, TyperGroup):
            for inner, inner_command in command.commands.items():
                assert isinstance(inner_command, TyperCommand | TyperGroup)
                yield f"{name} {inner}", inner_command


COMMANDS = dict(_commands())


@pytest.mark.parametrize("group", ["", "rooms", "people"])
def test_lists_of_commands_cut_no_sentence(office: Office, group: str) -> None:
    """At 80 columns each command stands on one line with a whole sentence."""
    office.environment = {"COLUMNS": "80"}
    shown = office.run(*group.split(), "--help").out
    _, _, listed = shown.partition("Commands:\n")
    lines = listed.splitlines()
    of_group = [name for name in COMMANDS if name.rpartition(" ")[0] == group]
    assert [line.split()[0] for line in lines] == [
        name.rpartition(" ")[2] for name in of_group
    ]
    for line in lines:
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_an_example(name: str) -> None:
    """The help of each command shows it in use, on a line of its own."""
    told = COMMANDS[name].help or ""
    assert f"\n\nExample: syncd {name}" in told
