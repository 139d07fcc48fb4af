"""Commands for the administrator of a running installation."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import JsonOption, SourceOption
from syncd.commands.common import (
    Commands,
    config_in_force,
    config_path,
    ended,
    load_config,
)
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.doctor import Check, Result

commands = Commands()


@commands.command()
def doctor(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="Only what concerns this source."
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Make no connection.")
    ] = False,
    show_list: Annotated[
        bool, typer.Option("--list", help="Name all checks, and make none.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look whether all is well; say what is not, with the cure.

    Example: syncd doctor --offline
    """
    from syncd import log
    from syncd.doctor import (
        Patient,
        checks_document,
        examine,
        known_checks,
        print_checks,
        print_results,
        results_document,
    )
    from syncd.views.screen import screen

    if show_list:
        if as_json:
            streams.say_json(checks_document(known_checks()))
        else:
            print_checks(screen(), known_checks())
        return
    # What a check finds is said by it, and not by the log as well.
    log.configure("auto", "error")
    left_out: list[Check] = []
    with Patient(config_path(context), offline=offline, only=source) as patient:
        if source is not None and patient.config_if_good is not None:
            arguments.known_sources(patient.config, [source])
        results = examine(patient, left_out)
        if as_json:
            found = list(results)
            streams.say_json(results_document(found, left_out))
        else:
            zone: tzinfo = UTC
            if patient.config_if_good is not None:
                zone = patient.config.calendar.timezone
            found = print_results(screen(), results, left_out, zone)
        if patient.config_if_good is None:
            raise typer.Exit(Exit.CONFIG)
    raise _end_of_examination(found)


def _end_of_examination(found: Iterable[Result]) -> typer.Exit:
    """Return the end that findings ask for: 69 only for what keeps everything from being booked."""
    from syncd.doctor import UNUSABLE

    ill = [result for result in found if not result.finding.is_well]
    for result in ill:
        is_certain = result.finding.verdict == "problem"
        if is_certain and result.check.title in UNUSABLE:
            return typer.Exit(Exit.API)
    return ended(attention=bool(ill))


@commands.command()
def refresh(
    context: typer.Context,
    source: SourceOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Ask feeds too that are left alone for a while after failures.",
        ),
    ] = False,
) -> None:
    """Tell the running daemon to read its sources now.

    Example: syncd refresh --source sales --force
    """
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.ledger import Refresh
    from syncd.views.moments import age, moment_told

    config = config_in_force(context).config
    named = arguments.known_sources(config, source)
    names = named or tuple(one.name for one in config.sources)
    with open_ledger(config, owner=False) as ledger:
        now = utc_now()
        daemon = ledger.operation.daemon()
        if daemon is None or not daemon.is_running(now):
            last = "none has used it yet"
            if daemon is not None:
                gone = daemon.gone_since
                at = moment_told(gone, config.calendar.timezone)
                last = f"the last one ended on {at}, {age(gone, now)}"
            streams.complain(
                f"No daemon runs on this state ({last}), so nobody was told: start it "
                "(systemctl start syncd), or read once with `syncd once`."
            )
            raise typer.Exit(Exit.ATTENTION)
        if not names:
            streams.say("No source is configured, so there is nothing to read.")
            return
        by = who()
        wishes = [Refresh(name, force, by, now) for name in names]
        ledger.people.ask_refresh(*wishes)
    read = f"source {names[0]}" if len(names) == 1 else f"{len(names)} sources"
    streams.say(
        f"The daemon (process {daemon.pid}, last sign of life {age(daemon.beat_at, now)}) is told to read "
        f"{read}, which takes some seconds; "
        "`syncd status` shows what came of it."
    )


@commands.command()
def backup(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")
    ],
) -> None:
    """Copy the state into a file while the daemon runs.

    Example: syncd backup /srv/backup/syncd.db
    """
    from syncd.assembly import address_of
    from syncd.ledger.backup import back_up

    config = config_in_force(context).config
    made = back_up(address_of(config), file)
    noun = "booking" if made.bookings == 1 else "bookings"
    streams.say(
        f"The state is in {file}: {made.bookings} {noun}, {made.size} bytes, verified."
    )


@commands.command()
def notify(
    context: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Send one notice to every channel.")
    ] = False,
) -> None:
    """Send one notice to each channel, and say what it answered.

    Example: syncd notify --test
    """
    if not test:
        raise typer.BadParameter("give --test: one notice goes to every channel")
    config = load_config(context)
    if not config.notices.is_anybody_told:
        streams.complain(
            "No channel is configured, so nobody is told anything: write webhook, mail, command or ping into "
            "[notices], or let your monitoring run `syncd status --check`."
        )
        raise typer.Exit(Exit.ATTENTION)
    from syncd.assembly import utc_now
    from syncd.notices.trial import try_channels

    trials = try_channels(config, utc_now)
    for trial in trials:
        verdict = "delivered" if trial.is_good else "NOT DELIVERED"
        streams.say(f"{trial.channel:<8} {verdict}: {trial.where}")
        streams.say(f"         {trial.answer} ({trial.seconds:.1f} s)")
    raise ended(attention=not all(trial.is_good for trial in trials))
