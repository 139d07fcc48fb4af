"""Commands to try syncd out without an account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncd import streams
from syncd.commands.common import Commands
from syncd.exits import Exit

commands = Commands()


@commands.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    db: Annotated[
        Path | None, typer.Option(help="Keep everything in this file.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Default: a random one.")
    ] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="Default: a random one.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="What goes wrong, such as lost:on=create,every=3; a wrong one lists all.",
        ),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="What the documentation leaves open; a wrong one lists all.",
        ),
    ] = None,
) -> None:
    """Run a local server that behaves like the reservation API.

    Example: syncd sandbox --db sandbox.db --fault lost:on=create,every=3
    """
    from syncd.sandbox import (
        SandboxSettings,
        SandboxUnusable,
        parse_fault,
        parse_switch,
        serve,
    )

    try:
        settings = SandboxSettings(
            host=host,
            port=port,
            db=db,
            client_id=client_id,
            client_secret=client_secret,
            faults=tuple(parse_fault(text) for text in fault or ()),
            switches=dict(parse_switch(text) for text in switch or ()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        serve(settings)
    except SandboxUnusable as error:
        streams.complain(str(error))
        raise typer.Exit(Exit.ATTENTION) from None


@commands.command()
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep configuration, calendar and state here."
        ),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Serve the page of a staged day instead, until Ctrl-C."
        ),
    ] = False,
) -> None:
    """Book the sample calendar on a sandbox of its own.

    Shows what was booked.

    Example: syncd demo --keep trial
    """
    from syncd.demo import run_demo, run_page_demo

    if page:
        raise typer.Exit(run_page_demo(keep))
    raise typer.Exit(run_demo(keep))
