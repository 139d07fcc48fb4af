"""The command by which a person says that an event was seen, so that it no longer holds up exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.arguments import JsonOption
from syncd.commands.common import Commands, config_in_force
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.views.faults import Fault, Faults

commands = Commands()


@commands.command()
def ack(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="UID, or UID/RECURRENCE-ID/ROOM; without it all that was acknowledged is listed.",
        ),
    ] = None,
    every_date: Annotated[
        bool,
        typer.Option(
            "--every-date",
            help="All refused dates and rooms of the event that KEY names.",
        ),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take it back: it counts again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say that you have seen a refused or quarantined event.

    It counts for nothing until it changes: exit codes and notices leave it out, status goes on listing it.

    Example: syncd ack weekly@example.com
    """
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.core.acknowledged import Acknowledgement
    from syncd.views.faults import Faults

    _require_sense(key, every_date=every_date, undo=undo, as_json=as_json)
    config = config_in_force(context).config
    with open_ledger(config, owner=False) as ledger:
        sources = config.source_names
        faults = Faults.of(ledger, sources)
        if key is None:
            from syncd.views.faults import print_acknowledged
            from syncd.views.sheet import sheet_of

            if as_json:
                streams.say_json(faults.document())
            else:
                print_acknowledged(sheet_of(config), faults, utc_now())
            return
        if undo:
            _take_back(key, faults)
            ledger.people.take_back(faults.acknowledged_under(key))
            return
        meant = _meant(key, faults, every_date=every_date)
        by = who()
        at = utc_now()
        seen = [Acknowledgement(one.key, one.fingerprint, by, at) for one in meant]
        ledger.people.acknowledge(*seen)
    for one in _each_key_once(meant):
        streams.say(
            f"Acknowledged by {by}: {one.title} ({one.key}), {one.what}. "
            "It counts for nothing until the event changes."
        )


def _require_sense(
    key: str | None, *, every_date: bool, undo: bool, as_json: bool
) -> None:
    """Raise `typer.BadParameter` for arguments that do not go together."""
    if key is not None and not key.strip():
        raise typer.BadParameter(
            "an event without UID cannot be acknowledged, because nothing tells it from another one; "
            "syncd plan says where it stands, to give it a UID",
            param_hint="KEY",
        )
    if key is None and (every_date or undo):
        raise typer.BadParameter("--every-date and --undo go with a KEY")
    if key is not None and as_json:
        raise typer.BadParameter("--json lists what was acknowledged; leave KEY out")
    if every_date and undo:
        raise typer.BadParameter(
            "--undo takes back all that was acknowledged under KEY, so --every-date says nothing"
        )


def _meant(key: str, faults: Faults, *, every_date: bool) -> Sequence[Fault]:
    """Return what a KEY means of that which is refused or quarantined; else say what there is, and leave."""
    meant = faults.named(key)
    if not meant:
        _say_what_there_is(key, faults)
        raise typer.Exit(Exit.ATTENTION)
    keys = {one.key for one in meant}
    if len(keys) > 1 and not every_date:
        streams.complain(
            f"{key!r} means several bookings; give one of these, or --every-date for all:"
        )
        _list(meant)
        raise typer.Exit(Exit.ATTENTION)
    if not all(one.fingerprint for one in meant):
        streams.complain(
            f"The event {key!r} was read before syncd could tell when it changes; "
            "acknowledge it after the next cycle, or run syncd once."
        )
        raise typer.Exit(Exit.ATTENTION)
    return meant


def _say_what_there_is(key: str, faults: Faults) -> None:
    """Say that a KEY means nothing that could be acknowledged, and what does."""
    other = faults.otherwise_open(key)
    if other:
        streams.complain(
            f"{key!r} is {other}, which cannot be acknowledged; syncd resolve settles it."
        )
        return
    told = f"Nothing that is refused or quarantined has the key {key!r}."
    if not faults.all and not faults.without_uid:
        streams.complain(f"{told} Nothing is refused or quarantined.")
        return
    streams.complain(f"{told} What there is:")
    _list(faults.all)
    for place in faults.without_uid:
        streams.complain(
            f"  an event without UID in {place}: give it a UID, nothing else ends that"
        )


def _take_back(key: str, faults: Faults) -> None:
    """Say what is taken back; leave if nothing was acknowledged under a KEY."""
    subjects = faults.acknowledged_under(key)
    if not subjects:
        streams.complain(f"Nothing was acknowledged under {key!r}.")
        for seen in faults.acknowledgements:
            streams.complain(f"  {seen.subject}")
        raise typer.Exit(Exit.ATTENTION)
    for subject in subjects:
        streams.say(f"Taken back: {subject}. It counts again while it is wrong.")


def _list(faults: Iterable[Fault]) -> None:
    for one in _each_key_once(faults):
        streams.complain(f"  {one.key}  ({one.title}, {one.what})")


def _each_key_once(faults: Iterable[Fault]) -> Iterable[Fault]:
    """Return the first of those that have one KEY, such as an event in two sources."""
    by_key: dict[str, Fault] = {}
    for one in faults:
        by_key.setdefault(one.key, one)
    return by_key.values()
