"""What a shell completes: commands, options, and names of the configuration."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import HANG_S, Office

MORE = """
[[sources]]
name = "sales team"
path = "sales.ics"
"""


def completed(office: Office, *words: str, shell: str = "bash") -> list[str]:
    """What the program offers for the last of these words."""
    line = ["syncd", *words]
    asked = {
        "_SYNCD_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "\n".join(line),
        "COMP_CWORD": str(len(line) - 1),
        "_TYPER_COMPLETE_ARGS": " ".join(line),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "SYNCD_CONFIG": str(office.folder / "syncd.toml"),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "syncd"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_commands_options_and_names(office: Office) -> None:
    """Commands and options by their beginnings; sources and states by name."""
    text = (office.folder / "syncd.toml").read_text()
    (office.folder / "syncd.toml").write_text(text + MORE)
    assert completed(office, "ref") == ["refresh"]
    assert "--offline" in completed(office, "doctor", "--off")
    assert completed(office, "once", "--source", "") == ["office", "sales team"]
    assert completed(office, "plan", "--source", r"sales\ t") == ["sales team"]
    assert completed(office, "resolve", "--all", "in") == ["in_doubt"]
    assert completed(office, "plan", "--source", "", shell="fish") == [
        "office",
        "sales team",
    ]


@pytest.mark.slow
def test_a_broken_configuration_still_has_names(office: Office) -> None:
    """With mistakes the names are there; one that is no TOML, or not there, has none, and nothing is said."""
    office.change(("[calendar]", "[calendar]\nhorizont = 3"))
    assert completed(office, "once", "--source", "o") == ["office"]
    (office.folder / "syncd.toml").write_text("[[[")
    assert completed(office, "once", "--source", "") == [""]
    (office.folder / "syncd.toml").unlink()
    assert completed(office, "once", "--source", "") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.first(1)
def test_the_scripts_are_printed(office: Office, shell: str) -> None:
    """Each shell has its script, for a program called syncd; bash itself completes with it."""
    ran = office.run("--show-completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert "_SYNCD_COMPLETE" in ran.out
    if shell != "bash":
        return
    folder = office.folder / "bin"
    folder.mkdir()
    program = folder / "syncd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m syncd "$@"\n')
    program.chmod(0o755)
    text = (office.folder / "syncd.toml").read_text()
    (office.folder / "syncd.toml").write_text(text + MORE)
    line = r"COMP_WORDS=(syncd plan --source 'sales\ t'); COMP_CWORD=3"
    typed = f'{ran.out}\n{line}\n_syncd_completion syncd\necho "${{COMPREPLY[*]}}"'
    done = subprocess.run(
        ["bash", "-c", typed],
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SYNCD_CONFIG": str(office.folder / "syncd.toml"),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_S,
    )
    assert done.stdout == "sales\\ team\n"


def test_another_shell_is_refused(office: Office) -> None:
    """A shell that is not known is wrong usage."""
    ran = office.run("--show-completion", "tcsh")
    assert ran.code == 2
    assert "bash, zsh, fish" in ran.err
