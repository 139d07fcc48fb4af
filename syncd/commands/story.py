"""Commands that tell what was done, and why something is as it is; they change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd import arguments, streams
from syncd.arguments import JsonOption
from syncd.commands.common import Commands, config_in_force, ended

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.ledger import Ledger
    from syncd.ledger.history import StepFilter
    from syncd.views.sheet import Sheet

commands = Commands()

_SHOWN = 200
"""The steps that are shown where nobody said since when."""


@commands.command()
def history(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="A date, a time, a day (tue), or how long ago (2d)."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="The same; of a day its end is meant."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this source.")
    ] = None,
    uid: Annotated[
        str | None, typer.Option("--uid", metavar="UID", help="Only of this event.")
    ] = None,
    room: Annotated[
        str | None,
        typer.Option(metavar="ROOM", help="Only in this room, by name or id."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was done, why, and who decided it.

    Oldest first, with what each cancellation rests on.

    Example: syncd history --since tue --until tue --room "Small meeting room"
    """
    from syncd.assembly import open_ledger
    from syncd.views.history_page import print_history
    from syncd.views.sheet import sheet_of
    from syncd.views.steps import history_document, steps_of

    config = config_in_force(context).config
    with open_ledger(config, owner=False) as ledger:
        wanted = _filter(config, ledger, since, until, source, uid, room)
        is_bounded = since is not None or as_json
        steps = steps_of(ledger, wanted, None if is_bounded else _SHOWN + 1)
    if as_json:
        streams.say_json(history_document(steps))
        return
    sheet = sheet_of(config)
    are_more = not is_bounded and len(steps) > _SHOWN
    if are_more:
        steps = steps[-_SHOWN:]
    print_history(sheet, steps, asked=_asked(sheet, wanted))
    if are_more:
        sheet.tell("Earlier steps are left out; --since WHEN shows them.", style="dim")


def _asked(sheet: Sheet, wanted: StepFilter) -> str:
    """Return which time is asked for, as the end of a sentence."""
    said = ""
    if wanted.since is not None:
        said += f" since {sheet.moment(wanted.since)}"
    if wanted.until is not None:
        said += f" until {sheet.moment(wanted.until)}"
    return said


def _filter(
    config: Config,
    ledger: Ledger,
    since: str | None,
    until: str | None,
    source: str | None,
    uid: str | None,
    room: str | None,
) -> StepFilter:
    """Return which steps are asked for; raises `typer.BadParameter`."""
    from syncd.assembly import utc_now
    from syncd.commands.when import when_meant
    from syncd.ledger.history import StepFilter

    now = utc_now()
    zone = config.calendar.timezone
    begin = end = None
    if since is not None:
        begin = when_meant(since, now, zone, option="--since").start
    if until is not None:
        end = when_meant(until, now, zone, option="--until").end
    if begin is not None and end is not None and end < begin:
        raise typer.BadParameter(
            f"{until} is before {since}: give the earlier one to --since",
            param_hint="--until",
        )
    if source is not None:
        known = [source] if ledger.timetable.has_source(source) else []
        arguments.sources_meant(config, [source], known)
    return StepFilter(begin, end, source, uid, _room_of(config, ledger, room))


def _room_of(config: Config, ledger: Ledger, room: str | None) -> str | None:
    """Return the id of the room that is meant; raises `typer.BadParameter` for one that there is not."""
    if room is None:
        return None
    known = [room] if ledger.timetable.has_room(room) else []
    (room_id,) = arguments.rooms_meant(config, [room], known)
    return room_id


@commands.command()
def explain(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="A UID, a reservation id, or a piece of the topic."
        ),
    ] = None,
    room: Annotated[
        str | None, typer.Option(metavar="ROOM", help="In this room, by name or id.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="At this time, or on this day."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story of one event, and why it is as it is.

    Where it was read, what became of it, and who decided that.

    Example: syncd explain --room "Small meeting room" --at "2026-12-01 10:30"
    """
    from syncd.assembly import service, utc_now
    from syncd.commands.when import when_meant
    from syncd.explain import Lookup, Story, answer_of, print_listing, tell
    from syncd.views.screen import screen
    from syncd.views.sheet import sheet_of

    if text is None and room is None and at is None:
        raise typer.BadParameter(
            "say what is meant: a UID, a reservation id or a piece of the topic, or --room and --at"
        )
    if text is not None and not text.strip():
        raise typer.BadParameter(
            "an event without UID has no story of its own; plan lists it",
            param_hint="TEXT",
        )
    config = config_in_force(context).config
    now = utc_now()
    going = when = None
    if at is not None:
        when = when_meant(at, now, config.calendar.timezone, option="--at", ahead=True)
        going = when.touches
    with service(config, owner=False) as parts:
        room_id = _room_of(config, parts.ledger, room)
        wanted = Lookup(text, room_id, going)
        answer = answer_of(wanted, parts, when.start if when else now)
    if as_json:
        streams.say_json(answer.document())
    elif isinstance(answer, Story):
        tell(answer, screen())
    else:
        sheet = sheet_of(config)
        print_listing(sheet, answer, _asked_for(sheet, text, room_id, at))
    raise ended(attention=answer.needs_person)


def _asked_for(
    sheet: Sheet, text: str | None, room_id: str | None, at: str | None
) -> str:
    """Return what is asked for, as the end of a sentence."""
    said: list[str] = []
    if text is not None:
        said.append(f"like {text!r}")
    if room_id is not None:
        said.append(f"in {sheet.room(room_id).plain}")
    if at is not None:
        said.append(f"at {at}")
    return " ".join(said)
