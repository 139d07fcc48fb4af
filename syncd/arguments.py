"""The arguments of commands: what they mean, or a sentence that says why they mean nothing.

Whatever stands on a command line is judged here; what a command then does is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from syncd import streams
from syncd.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import date

    from syncd.config import Config
    from syncd.core.booking import Booking
    from syncd.core.resolve import Open, Verdict
    from syncd.ledger.timetable import Timetable
    from syncd.views.choice import BookingChoice

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON document instead of tables.")
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Only this source; may be repeated."),
]


def known_sources(config: Config, names: list[str] | None) -> tuple[str, ...] | None:
    """Return the sources to read, None for all; raises `typer.BadParameter` for one that there is not."""
    if not names:
        return None
    known = config.source_names
    for name in names:
        _require_known(name, known)
    return tuple(names)


def verdict_of(adopt: str | None, *, retry: bool, drop: bool) -> Verdict:
    """Return the one verdict that was chosen; raises `typer.BadParameter`."""
    from syncd.core.resolve import Verdict

    options = {Verdict.ADOPT: adopt, Verdict.RETRY: retry, Verdict.DROP: drop}
    chosen = [verdict for verdict, given in options.items() if given]
    if len(chosen) != 1:
        raise typer.BadParameter(
            "give one of --adopt RESERVATION_ID, --retry and --drop"
        )
    return chosen[0]


def require_one_aim(
    key: str | None, every: str | None, source: str | None, adopt: str | None
) -> None:
    """Raise `typer.BadParameter` unless either a KEY or --all is given, with what goes with it."""
    if (key is None) == (every is None):
        raise typer.BadParameter("give either a KEY or --all STATE")
    if every is None and source is not None:
        raise typer.BadParameter(
            "--source goes with --all STATE; a KEY means one booking by itself"
        )
    if every is not None and adopt:
        raise typer.BadParameter(
            "--adopt takes one reservation for one booking, so give its KEY, not --all"
        )


def open_state(said: str) -> Open:
    """Return the STATE of `resolve --all`, also said with a blank or a hyphen in it."""
    from syncd.core.resolve import Open

    word = said.strip().lower().replace(" ", "_").replace("-", "_")
    try:
        return Open(word)
    except ValueError:
        states = ", ".join(Open)
        raise typer.BadParameter(
            f"{said!r} is no state to resolve; the states are {states}",
            param_hint="--all",
        ) from None


def one_meant(key: str, open_ones: list[Booking]) -> Booking:
    """Return the one open booking that a KEY means; else say what there is, and leave."""
    from syncd.core.resolve import full_name, named

    meant = named(key, open_ones)
    if len(meant) == 1:
        return meant[0]
    if meant:
        streams.complain(f"{key!r} means several bookings; give one of:")
    elif open_ones:
        streams.complain(f"Nothing open has the key {key!r}. What is open:")
    else:
        streams.complain(
            f"Nothing open has the key {key!r}. Nothing is in doubt, refused, released, dropped or vanished."
        )
    for booking in meant or open_ones:
        streams.complain(f"  {full_name(booking)}")
    raise typer.Exit(Exit.ATTENTION)


def all_meant(state: Open, open_ones: Iterable[Booking]) -> list[Booking]:
    """Return the bookings that are open as a STATE says."""
    from syncd.core.resolve import open_as

    return [booking for booking in open_ones if open_as(booking) is state]


def all_meant_in(
    source: str, state: Open, open_ones: list[Booking], config: Config
) -> list[Booking]:
    """Return the bookings of a source that are open as a STATE says.

    Raises `typer.BadParameter` for a source that is not configured and has no open booking.
    """
    known = {configured.name for configured in config.sources}
    known.update(booking.source for booking in open_ones)
    _require_known(source, known)
    of_source = [booking for booking in open_ones if booking.source == source]
    return all_meant(state, of_source)


def _require_known(name: str, known: Collection[str]) -> None:
    """Raise `typer.BadParameter` for a source that there is not."""
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise typer.BadParameter(
            f"there is no source {name!r}; known: {names}", param_hint="--source"
        )


# What a person wants to see

RoomOption = Annotated[
    list[str] | None,
    typer.Option(
        "--room", metavar="ROOM", help="Only this room, by name or id; may be repeated."
    ),
]

_WEEKDAYS = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_BESIDE_TODAY = {"yesterday": -1, "today": 0, "tomorrow": 1}
_LEAST_LETTERS = 3


def named_day(word: str, today: date, *, ahead: bool) -> date | None:
    """Return the day that goes by a name, None if none does.

    A day of the week is the last one, today included, or with `ahead` the next one.
    """
    from datetime import timedelta

    if word in _BESIDE_TODAY:
        return today + timedelta(days=_BESIDE_TODAY[word])
    if len(word) < _LEAST_LETTERS:
        return None
    for number, name in enumerate(_WEEKDAYS):
        if name.startswith(word):
            days = (number - today.weekday()) % 7
            if days and not ahead:
                days -= 7
            return today + timedelta(days=days)
    return None


def day_meant(said: str, today: date) -> date:
    """Return the day that a word or a date means; the day of a week is the next one, today included.

    Raises `typer.BadParameter` for anything else.
    """
    from datetime import date, timedelta

    word = said.strip().lower()
    day = named_day(word, today, ahead=True)
    if day is not None:
        return day
    try:
        day = date.fromisoformat(word)
        day + timedelta(days=1)  # the last day there is has no end
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{said!r} is no day; write today, tomorrow, mon, or a date such as {today}",
            param_hint="DAY",
        ) from None
    return day


def rooms_meant(
    config: Config, said: Sequence[str] | None, known: Collection[str] = ()
) -> frozenset[str]:
    """Return the ids of rooms that are meant by name or id; `known` are ids besides those configured.

    Raises `typer.BadParameter` for a room that nobody knows.
    """
    from syncd.config.values import nearest
    from syncd.core.text import fold_name

    ids = {room.id for room in config.rooms}.union(known)
    names = {fold_name(room.name or room.id): room.id for room in config.rooms}
    meant: set[str] = set()
    for word in said or ():
        room_id = word if word in ids else names.get(fold_name(word))
        if room_id is None:
            written = [room.name or room.id for room in config.rooms]
            rooms = nearest(word, written) or f"; known: {', '.join(written) or 'none'}"
            raise typer.BadParameter(
                f"there is no room {word!r}{rooms}", param_hint="--room"
            )
        meant.add(room_id)
    return frozenset(meant)


def sources_meant(
    config: Config, said: Sequence[str] | None, known: Collection[str] = ()
) -> frozenset[str]:
    """Return the sources that are meant; `known` are names besides those configured.

    Raises `typer.BadParameter` for a source that there is not.
    """
    names = config.source_names.union(known)
    for word in said or ():
        _require_known(word, names)
    return frozenset(said or ())


def states_meant(said: Sequence[str] | None) -> frozenset[str]:
    """Return the states of bookings that are meant, also said with a blank or a hyphen in them.

    Raises `typer.BadParameter` for one that there is not.
    """
    from syncd.views.choice import STATES

    meant: set[str] = set()
    for written in said or ():
        word = written.strip().lower().replace(" ", "_").replace("-", "_")
        if word not in STATES:
            raise typer.BadParameter(
                f"{written!r} is no state of a booking; the states are {', '.join(STATES)}",
                param_hint="--state",
            )
        meant.add(word)
    return frozenset(meant)


def booking_choice(
    config: Config,
    timetable: Timetable,
    *,
    today: date,
    rooms: Sequence[str] | None = None,
    day: str | None = None,
    sources: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
) -> BookingChoice:
    """Return which bookings are meant; raises `typer.BadParameter` for what there is not.

    Rooms and sources are known by the configuration, or by what is remembered of their bookings.
    """
    from syncd.views.choice import BookingChoice, Day

    known_rooms = list(filter(timetable.has_room, rooms or ()))
    known_sources = list(filter(timetable.has_source, sources or ()))
    chosen_day = None
    if day is not None:
        chosen_day = Day(day_meant(day, today), config.calendar.timezone)
    return BookingChoice(
        rooms=rooms_meant(config, rooms, known_rooms),
        day=chosen_day,
        sources=sources_meant(config, sources, known_sources),
        states=states_meant(states),
    )
