"""Commands that show how things stand, and why; they change nothing."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from syncd import arguments, streams
from syncd.arguments import JsonOption, RoomOption, SourceOption
from syncd.commands.common import Commands, config_in_force, ended
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.core.booking import Booking

commands = Commands()


# The class of all errors about arguments, which typer does not name.
_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]


class _StatusCommand(TyperCommand):
    """The command `status`, whose `--check` also answers wrong arguments in the way that monitors read.

    They take the usual exit code for wrong usage as *critical*.
    """

    def make_context(self, *given: Any, **named: Any) -> Any:
        """Return the context of the arguments; ends the program if they make no sense."""
        is_check = "--check" in given[1]
        try:
            return super().make_context(*given, **named)
        except _WrongUsage as error:
            if not is_check:
                raise
            raise typer.Exit(_unknown(str(error))) from None


@commands.command(cls=_StatusCommand)
def status(
    context: typer.Context,
    room: RoomOption = None,
    day: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Only today, tomorrow, mon, or a date."),
    ] = None,
    source: SourceOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="Only in this state; may be repeated."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All bookings, and nothing summed up.")
    ] = False,
    ids: Annotated[
        bool, typer.Option("--ids", help="With each booking its KEY and ids.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="One line for Nagios and Icinga; exit 0 to 3."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show if syncd runs, its sources, and what needs a person.

    Bookings are shown with a filter or --all.

    Example: syncd status --day mon --state refused
    """
    from syncd.assembly import open_ledger, utc_now
    from syncd.views.sheet import sheet_of
    from syncd.views.status import Status

    is_chosen = any((room, day, source, state))
    if check:
        raise typer.Exit(_checked(context, plain=not (is_chosen or everything)))
    in_force = config_in_force(context)
    config = in_force.config
    now = utc_now()
    today = now.astimezone(config.calendar.timezone).date()
    bookings: tuple[Booking, ...] | None = None
    with open_ledger(config, owner=False) as ledger:
        if is_chosen or everything or as_json:
            choice = arguments.booking_choice(
                config,
                ledger.timetable,
                today=today,
                rooms=room,
                day=day,
                sources=source,
                states=state,
            )
            bookings = choice.find(ledger)
        found = Status.of(
            ledger, config, now=now, bookings=bookings, problems=in_force.problems
        )
    if as_json:
        from syncd.views import documents

        streams.say_json(documents.status_document(found))
    elif is_chosen:
        from syncd.views.status_page import print_chosen

        closed_too = day is not None or state is not None
        sheet = sheet_of(config)
        print_chosen(sheet, found, source or (), closed_too=closed_too, with_ids=ids)
    else:
        from syncd.views.status_page import print_status

        print_status(sheet_of(config), found, everything=everything, with_ids=ids)
    if found.api_trouble is not None:
        raise typer.Exit(Exit.API)
    raise ended(attention=found.needs_attention)


def _checked(context: typer.Context, *, plain: bool) -> int:
    """Print the line for Nagios and return its exit code, whatever happens."""
    from syncd.assembly import open_ledger, utc_now
    from syncd.errors import SyncdError
    from syncd.views.check_line import check_line, urgency_of
    from syncd.views.status import Status

    try:
        if not plain:
            raise typer.BadParameter("--check looks at everything and takes no filter")
        in_force = config_in_force(context)
        with open_ledger(in_force.config, owner=False) as ledger:
            found = Status.of(
                ledger, in_force.config, now=utc_now(), problems=in_force.problems
            )
        line = check_line(found)
        urgency = urgency_of(found)
    except (SyncdError, _WrongUsage) as error:
        return _unknown(str(error))
    except Exception as error:  # a monitor takes any other end for something else
        streams.errors.write(traceback.format_exc())
        return _unknown(f"a defect of syncd, {type(error).__name__}")
    streams.say_lines(f"{line}\n")
    return urgency


def _unknown(why: str) -> int:
    """Print the line of a check that could not look and return its exit code."""
    from syncd.views.check_line import Urgency, unknown_line

    streams.say_lines(f"{unknown_line(why)}\n")
    return Urgency.UNKNOWN


@commands.command()
def agenda(
    context: typer.Context,
    day: Annotated[
        str,
        typer.Argument(metavar="DAY", help="today, tomorrow, mon, or a date."),
    ] = "today",
    room: RoomOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is booked on a day, by room and time.

    Example: syncd agenda tomorrow --room "Large meeting room"
    """
    from syncd.assembly import open_ledger, utc_now
    from syncd.views.agenda import DayAgenda, print_agenda
    from syncd.views.sheet import sheet_of

    config = config_in_force(context).config
    today = utc_now().astimezone(config.calendar.timezone).date()
    with open_ledger(config, owner=False) as ledger:
        choice = arguments.booking_choice(
            config, ledger.timetable, today=today, rooms=room, day=day
        )
        chosen = choice.find(ledger)
    assert choice.day is not None  # there is always one
    names = {room.id: room.name or room.id for room in config.rooms}
    found = DayAgenda.of(chosen, choice.day, names)
    if as_json:
        streams.say_json(found.document())
    else:
        print_agenda(sheet_of(config), found)
