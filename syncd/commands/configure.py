"""Commands about the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from syncd import streams
from syncd.commands.common import Commands, load_config

commands = Commands()


@commands.command()
def check(
    context: typer.Context,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Print the effective configuration, secrets masked."
        ),
    ] = False,
) -> None:
    """Check the configuration; all problems at once.

    Example: syncd check --show
    """
    from syncd.config import effective

    config = load_config(context)
    if show:
        streams.say_lines(effective(config))
    else:
        streams.say(
            f"The configuration is good: mode {config.mode}, "
            f"sources {len(config.sources)}, rooms {len(config.rooms)}, "
            f"people {len(config.people.directory)}."
        )
        reservation = config.reservation
        if not reservation.is_named:
            streams.say(
                f"reservation.instance is not set, so it is {reservation.instance!r}: write it down, and give "
                "a second installation on this Tuya project another."
            )
