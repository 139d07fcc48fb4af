"""Checks of the rooms: those of the configuration against those that the API has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from syncd.config import Room
from syncd.core.amounts import some
from syncd.core.text import fold_name
from syncd.doctor.api import REACHABLE, ROOMS, TOKEN
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.tuya import Room as TuyaRoom
from syncd.views.toml import toml_text

EXIST = "rooms: exist"
_NEEDS = (GOOD, REACHABLE, TOKEN, ROOMS)
_CONSOLE = "open Tuya console > Meeting > Rooms"


def _named(room: Room) -> str:
    return room.name or room.id


def _do_exist(patient: Patient) -> Iterator[Finding]:
    there = patient.tuya_rooms
    missing = [room for room in patient.config.rooms if room.id not in there]
    configured = {room.id for room in patient.config.rooms}
    free = [room for room in there.values() if room.room_id not in configured]
    for room in missing:
        yield wrong(
            f"Room {_named(room)}: Tuya has no room with the id {room.id}.",
            _cure_of(room, free),
        )
    if not patient.config.rooms:
        yield note("No room is configured.", "syncd rooms suggest")
    elif not missing:
        yield well(
            f"Tuya has the {some(len(configured), 'room')} of the configuration."
        )


def _cure_of(room: Room, free: list[TuyaRoom]) -> str:
    """Return the line with the id of the room that is called so, if there is one."""
    by_name = {fold_name(one.name): one for one in free}
    near = difflib.get_close_matches(fold_name(room.name or ""), by_name, 1, 0.8)
    if not near:
        return "syncd rooms suggest"
    found = by_name[near[0]]
    return f"id = {toml_text(found.room_id)}"


def _pairs(patient: Patient) -> Iterator[tuple[Room, TuyaRoom]]:
    for room in patient.config.rooms:
        there = patient.tuya_rooms.get(room.id)
        if there is not None:
            yield room, there


def _are_called_so(patient: Patient) -> Iterator[Finding]:
    if patient.config.rooms and not any(_pairs(patient)):
        yield unclear("None of the configured rooms is in Tuya.")
        return
    others = 0
    for room, there in _pairs(patient):
        if room.name and fold_name(room.name) != fold_name(there.name):
            others += 1
            yield note(
                f"Room {room.id} is called {room.name} here, and {there.name} in Tuya.",
                "look whether it is the room that is meant; else correct its id",
            )
    if not others:
        yield well("Rooms are called as in Tuya.")


def _are_open(patient: Patient) -> Iterator[Finding]:
    if patient.config.rooms and not any(_pairs(patient)):
        yield unclear("None of the configured rooms is in Tuya.")
        return
    closed = [(room, there) for room, there in _pairs(patient) if not there.open]
    for room, _there in closed:
        yield wrong(
            f"Room {_named(room)} is suspended in Tuya: bookings of it are refused.",
            f"{_CONSOLE} > {_named(room)} > Enable, or take its [[rooms]] table out",
        )
    if not closed:
        yield well("No room is suspended.")


def _need_no_approval(patient: Patient) -> Iterator[Finding]:
    waiting = [_named(room) for room, there in _pairs(patient) if there.approval]
    if waiting:
        yield note(
            f"Bookings of these rooms wait until a person approves them in Tuya: {', '.join(waiting)}.",
            f"{_CONSOLE} > the room > Approval, if that is not meant",
        )
        return
    yield well("No room needs an approval.")


def _are_all_configured(patient: Patient) -> Iterator[Finding]:
    configured = {room.id for room in patient.config.rooms}
    others = [
        room.name or room.room_id
        for room in patient.tuya_rooms.values()
        if room.room_id not in configured
    ]
    if others:
        names = ", ".join(others[:5])
        yield note(
            f"Tuya has {some(len(others), 'room')} that the configuration does not name, such as {names}.",
            "syncd rooms suggest",
        )
        return
    yield well("Tuya has no room that the configuration does not name.")


CHECKS_OF_ROOMS = (
    Check(
        "rooms",
        "exist",
        "whether Tuya has those that are configured",
        _do_exist,
        _NEEDS,
        True,
    ),
    Check("rooms", "names", "whether Tuya calls them so", _are_called_so, _NEEDS, True),
    Check("rooms", "suspended", "whether they can be booked", _are_open, _NEEDS, True),
    Check(
        "rooms",
        "approval",
        "which of them a person has to approve",
        _need_no_approval,
        _NEEDS,
        True,
    ),
    Check(
        "rooms",
        "not configured",
        "which of Tuya's are not configured",
        _are_all_configured,
        _NEEDS,
        True,
    ),
)
