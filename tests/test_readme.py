"""The README is the manual: what can be checked of it is checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from syncd.cli import Exit, app
from syncd.core.reasons import MEANINGS, Reason
from syncd.sandbox import KINDS, SWITCHES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_reason_has_a_meaning() -> None:
    """The closed set of reason codes and their sentences are one."""
    assert set(MEANINGS) == set(Reason)


def tables() -> dict[str, list[str]]:
    """The rows of the README that list what the code defines."""
    return {
        "reasons": [f"| `{reason}` | {MEANINGS[reason]} |" for reason in Reason],
        "faults": [
            f"| `{kind}{':' + keys.replace(' ', ',') if keys else ''}` | {what} |"
            for kind, (keys, what) in KINDS.items()
        ],
        "switches": [
            f"| `{name}` | {default} | {meaning} |" for name, (default, meaning) in SWITCHES.items()
        ],
    }


@pytest.mark.parametrize("name", ["reasons", "faults", "switches"])
def test_lists_are_those_of_the_code(name: str) -> None:
    """Reason codes, faults and switches stand in the README exactly as the code has them."""
    between = README.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    rows = [line for line in between.splitlines() if line.startswith("| `")]
    assert rows == tables()[name]


def test_every_command_and_option_is_described() -> None:
    """No command or long option of the program is missing in the README."""
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]  # typer's group has them
    for name, command in commands.items():
        assert re.search(rf"`{name}\b", README), name
        assert command.help, name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in README, (name, option)


def test_every_exit_code_is_described() -> None:
    """The table of exit codes is complete."""
    for code in Exit:
        assert f"| {code.value} |" in README


def test_its_commands_are_what_ci_runs() -> None:
    """The test command of the README is what `.ci/run` calls."""
    commands = re.findall(r"```sh\n(python3 -m venv \.venv .*)\n```", README)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
