"""Writes a first configuration: all of it, or nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from syncd.assembly.settings import mapping_rules
from syncd.config import Config, load
from syncd.errors import Unanswered
from syncd.setup.calendar_names import names_in
from syncd.setup.first_configuration import FirstAnswers, compose, read_calendars
from syncd.setup.interview import Tenant
from syncd.setup.people_suggestions import MatchedPerson, suggest_people, toml_lines
from syncd.setup.room_suggestions import RoomSuggestions
from syncd.setup.writing import write_new

_OWNER_ONLY = 0o600
_GROUP_MAY_READ = 0o640
_DIRECTORY = 0o750


def install(answers: FirstAnswers, tenant: Tenant) -> tuple[Config, Sequence[str]]:
    """Read the calendars, match rooms and people, write the configuration; return it and what to tell.

    Raises `FileExists`, and `ConfigError` if files beside it contradict it; then nothing is written.
    """
    config, calendars = read_calendars(answers, answers.sources)
    names = names_in(calendars, mapping_rules(config).rooms, ())
    rooms = RoomSuggestions(tenant.rooms, names)
    people: tuple[MatchedPerson, ...] = ()
    if tenant.directory is not None:
        try:
            people = suggest_people(names.people, tenant.directory)
        except Unanswered as error:
            tenant.remarks.append(f"People are not matched: {error}.")
    lines = compose(answers, list(rooms.lines()), list(toml_lines(people)))
    written = _write(answers, "\n".join([*lines, ""]))
    mapped = sum(person.user_id is not None for person in people)
    named = len(names.places) + len(names.devices)
    told = [
        f"Rooms of Tuya: {len(written.rooms)}; names of rooms in the calendars: {named}, placed: {rooms.placed}.",
        f"People in the calendars: {len(names.people)}; users of Tuya among them: {mapped}.",
    ]
    if not tenant.rooms:
        told[0] = "Tuya tells of no rooms, so meetings are booked without one."
    return written, told


def _write(answers: FirstAnswers, text: str) -> Config:
    """Write the secret if it was typed, and the configuration; take both back if they cannot be loaded."""
    output = answers.output.absolute()
    assert answers.secret_file is not None  # asked before
    made: list[Path] = []
    output.parent.mkdir(_DIRECTORY, parents=True, exist_ok=True)
    mode, group = _access_for(output.parent)
    try:
        if not answers.secret_file.exists():
            secret_file = answers.secret_file.absolute()
            write_new(secret_file, f"{answers.secret}\n", _OWNER_ONLY)
            made.append(secret_file)
        write_new(output, text, mode, group)
        made.append(output)
        return load(output)
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.unlink()
        raise


def _access_for(directory: Path) -> tuple[int, int]:
    """Return mode and group of a file in a directory; -1: the group stays.

    A directory that a group of its own may enter, and not everybody, is made so that a service of that group
    reads what is in it.
    """
    state = directory.stat()
    is_for_group = bool(state.st_mode & stat.S_IXGRP)
    is_for_all = bool(state.st_mode & stat.S_IRWXO)
    is_of_others = state.st_gid != os.getegid()
    can_give = os.geteuid() == 0 or state.st_gid in os.getgroups()
    if is_for_group and is_of_others and not is_for_all and can_give:
        return _GROUP_MAY_READ, state.st_gid
    return _OWNER_ONLY, -1
