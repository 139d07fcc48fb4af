"""Switches: what the API documentation leaves open, each with a stated default.

Every place where the sandbox had to choose is a field here, so that a client can be tried both ways.
A switch is given as text, `name=value`, on the command line, in the settings and at run time.
It must hold nothing that the documentation does answer.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Any, get_type_hints


class ListWindow(StrEnum):
    """Which meetings a list by time holds."""

    START = "start"
    OVERLAP = "overlap"
    CONTAINMENT = "containment"


class Order(StrEnum):
    """How a list of meetings is sorted; ties by id."""

    START = "start"
    START_DESCENDING = "start-descending"
    CREATED = "created"
    CREATED_DESCENDING = "created-descending"


class Match(StrEnum):
    """How a text filter compares."""

    EXACT = "exact"
    CONTAINS = "contains"


class Repeat(StrEnum):
    """The answer to a cancel of what is cancelled already."""

    TRUE = "true"
    FALSE = "false"
    REFUSE = "refuse"


class Omitted(StrEnum):
    """What a modification does to optional fields that it leaves out."""

    KEPT = "kept"
    CLEARED = "cleared"


@dataclass(frozen=True)
class Switches:
    """The choices in force; see `SWITCHES` for their meanings."""

    past_start: Annotated[bool, "a start in the past is accepted"] = True
    advance_limit: Annotated[
        bool, "max_day of the booking rules is enforced for meetings in a room"
    ] = True
    advance_limit_roomless: Annotated[
        bool, "max_day is enforced for meetings without a room too"
    ] = False
    length_limits: Annotated[
        bool, "min_minute and max_hour are enforced for meetings in a room"
    ] = False
    opening_hours: Annotated[
        bool,
        "weekdays and opening hours are enforced for meetings in a room, in time_zone",
    ] = False
    time_zone: Annotated[
        str, "the zone of the opening hours and of the daily report"
    ] = "UTC"
    touching_conflicts: Annotated[
        bool, "a meeting that starts when another ends conflicts with it"
    ] = False
    unknown_rooms: Annotated[
        bool, "a room id that the sandbox does not know is accepted"
    ] = True
    unknown_users: Annotated[
        bool, "a user id that the sandbox does not know is accepted"
    ] = True
    list_window: Annotated[ListWindow, "which meetings a list by time holds"] = (
        ListWindow.OVERLAP
    )
    list_order: Annotated[Order, "how lists of meetings are sorted"] = Order.START
    list_lag: Annotated[
        float, "seconds by which lists lag behind writes (at most 3600)"
    ] = 0.0
    page_size: Annotated[int, "entries on a page when the request does not say"] = 20
    page_cap: Annotated[
        int, "most entries on a page; a larger page_size is cut down silently"
    ] = 100
    topic_match: Annotated[Match, "how the topic filter compares"] = Match.CONTAINS
    user_match: Annotated[Match, "how the filters of the user list compare"] = (
        Match.EXACT
    )
    cancel_cancelled: Annotated[
        Repeat, "the result of cancelling a cancelled meeting"
    ] = Repeat.TRUE
    modify_cancelled: Annotated[
        bool, "a cancelled or rejected meeting can be modified"
    ] = False
    revive: Annotated[
        bool, "a cancelled or rejected meeting can be set to status 1 or 2"
    ] = False
    omitted: Annotated[Omitted, "optional fields that a modification leaves out"] = (
        Omitted.KEPT
    )
    max_attachments: Annotated[int, "most attachments of a meeting"] = 10
    nonce_repeated: Annotated[
        bool, "a request with a nonce that was seen before is accepted"
    ] = True
    grant_kills_previous: Annotated[
        bool, "a token grant ends the tokens granted before"
    ] = False
    unknown_token_code: Annotated[
        int, "code for a token that was never issued (an ended one: 1010)"
    ] = 1011
    token_seconds: Annotated[int, "life of an access token"] = 7200
    time_window: Annotated[
        int, "seconds by which t may differ from the clock of the server"
    ] = 300

    def changed(self, values: Mapping[str, object]) -> Switches:
        """Return these switches with some set to a text or a JSON value, as `parse_switch` takes it.

        Raises:
            ValueError: a name or a value is not allowed; the sentence says what is.
        """
        changed = {name: _value(name, _text(value)) for name, value in values.items()}
        return replace(self, **changed)

    def texts(self) -> dict[str, str]:
        """Return all switches by name, as they are written."""
        return {name: _text(value) for name, value in asdict(self).items()}


_DEFAULTS = {f.name: f.default for f in fields(Switches)}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _meaning(name: str) -> str:
    (meaning,) = get_type_hints(Switches, include_extras=True)[name].__metadata__
    default = _DEFAULTS[name]
    return (
        f"{meaning} ({', '.join(type(default))})"
        if isinstance(default, StrEnum)
        else str(meaning)
    )


SWITCHES: dict[str, tuple[str, str]] = {
    name: (_text(default), _meaning(name)) for name, default in _DEFAULTS.items()
}
"""Every switch: its default as text, and what it means."""


def parse_switch(text: str) -> tuple[str, str]:
    """Read `name=value`, e.g. `list_window=start`.

    Raises:
        ValueError: it is not a switch, or not a value of it; the sentence says what is allowed.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ValueError(f"a switch is written name=value, got {text!r}")
    return name, _text(_value(name, value))


def _value(name: str, text: str) -> Any:
    default = _DEFAULTS.get(name)
    if default is None:
        raise ValueError(
            f"there is no switch {name!r}; the switches are {', '.join(SWITCHES)}"
        )
    if isinstance(default, bool):
        known = {"on": True, "true": True, "off": False, "false": False}
        if text.lower() not in known:
            raise ValueError(f"{name} is on or off, got {text!r}")
        return known[text.lower()]
    if isinstance(default, StrEnum):
        if text not in tuple(type(default)):
            raise ValueError(
                f"{name} is one of {', '.join(type(default))}, got {text!r}"
            )
        return type(default)(text)
    if isinstance(default, (int, float)):
        number = "a whole number" if isinstance(default, int) else "a number"
        try:
            value = type(default)(text)
        except ValueError:
            raise ValueError(f"{name} is {number}, got {text!r}") from None
        lowest, highest = _RANGES.get(name, (1, 10**9))
        if not lowest <= value <= highest:
            raise ValueError(
                f"{name} is {number} from {lowest} to {highest}, got {text!r}"
            )
        return value
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValueError(
            f"{name} is an IANA time zone such as Europe/Berlin, got {text!r}"
        ) from None
    return text


_RANGES: dict[str, tuple[int, int]] = {
    "list_lag": (0, 3600),
    "max_attachments": (0, 10**9),
}
