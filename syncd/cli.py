"""The command line: all commands under one name, and the end of the process with its exit code.

The commands themselves are in `syncd.commands`.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from syncd import __version__, early, streams
from syncd.commands import (
    acknowledge,
    completing,
    configure,
    decide,
    look,
    move,
    operate,
    prepare,
    story,
    trial,
    unknown,
    work,
)
from syncd.exits import Exit, told_to_people

app = typer.Typer(
    name="syncd",
    help="Keeps Tuya meeting reservations in step with calendars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # what it draws would not pass the door of syncd.streams
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    work,
    look,
    story,
    unknown,
    decide,
    acknowledge,
    operate,
    move,
    prepare,
    configure,
    trial,
):
    app.add_typer(module.commands)


def _version(wanted: bool) -> None:
    if wanted:
        streams.say(f"syncd {__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell is not None:
        streams.say_lines(completing.script_for(shell))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Default: $SYNCD_CONFIG, else /etc/syncd/syncd.toml.",
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it."),
    ] = False,
    __: Annotated[
        str | None,
        typer.Option(
            "--show-completion",
            metavar="SHELL",
            callback=_show_completion,
            is_eager=True,
            help="Print the script that lets bash, zsh or fish complete.",
        ),
    ] = None,
) -> None:
    context.obj = config
    from syncd import log  # noqa: F401  # before anything else that loads structlog


def main() -> None:
    """Run the command that the arguments name; ends with its exit code."""
    early.begin(sys.argv[1:])
    streams.take_over()
    # Nearly all that is made stays until the end: to look through it for garbage again and again, and once
    # more at the end, takes a fourth of the time of a short run.
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)
    try:
        with told_to_people():
            if completing.ASKED_BY_SHELL in os.environ:
                completing.learn_shells()
                app(prog_name=completing.PROGRAM)
            app()
    except SystemExit as ended:
        raise SystemExit(_printed(ended.code)) from None


# Commands that do more than to print; what they did is done, wherever the words about it went.
_AT_WORK = frozenset(
    {
        "run",
        "once",
        "approve",
        "resolve",
        "init",
        "ack",
        "demo",
        "sandbox",
        "backup",
        "migrate-state",
        "refresh",
        "notify",
    }
)


def _printed(code: str | int | None) -> str | int | None:
    """Hand over what was printed, and return the exit code: not 0 when there was nothing but lost results."""
    streams.output.flush()
    failure = streams.results.failure
    if failure is None:
        return code
    streams.complain(
        f"Standard output cannot be written ({failure.strerror}), so a part of the results is missing: "
        "free some space, or send it elsewhere."
    )
    done = code or early.command_in(sys.argv[1:]) in _AT_WORK
    return code if done else Exit.ATTENTION
