"""What is different in another configuration, in words that may be logged.

Rooms and sources go by their names, people by their number; of all else the keys are named, because a value may
be a secret, an address or a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel

from syncd.config import Config

_SAID_OTHERWISE = frozenset({"mode", "rooms", "sources", "people"})


def changes_between(before: Config, after: Config) -> list[str]:
    """Return a clause for each part of the configuration that is otherwise, such as `rooms: +Berlin`."""
    return list(_changes(before, after))


def _changes(before: Config, after: Config) -> Iterator[str]:
    if before.mode != after.mode:
        yield f"mode: {before.mode} -> {after.mode}"
    names = {room.id: room.name or room.id for room in (*before.rooms, *after.rooms)}
    yield from _of_tables(
        "rooms",
        {room.id: room for room in before.rooms},
        {room.id: room for room in after.rooms},
        names,
    )
    yield from _of_tables(
        "sources",
        {source.name: source for source in before.sources},
        {source.name: source for source in after.sources},
        {},
    )
    yield from _of_people(before.people.directory, after.people.directory)
    keys = [
        key for key in _keys("people", before.people, after.people) if _is_rule(key)
    ]
    for section in type(after).model_fields:
        if section not in _SAID_OTHERWISE:
            keys += _keys(section, getattr(before, section), getattr(after, section))
    yield from keys


def _of_tables(
    what: str,
    before: Mapping[str, BaseModel],
    after: Mapping[str, BaseModel],
    names: Mapping[str, str],
) -> Iterator[str]:
    """Yield which tables came, went and are otherwise."""
    told = [f"+{_shown(names.get(key, key))}" for key in after if key not in before]
    told += [f"-{_shown(names.get(key, key))}" for key in before if key not in after]
    for key, table in after.items():
        if key in before and before[key] != table:
            changed = _different(before[key], table)
            told.append(f"{_shown(names.get(key, key))} ({', '.join(changed)})")
    if told:
        yield f"{what}: {', '.join(told)}"


def _of_people(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield how many people came, went and have another user id."""
    kept = before.keys() & after.keys()
    numbers = {
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "changed": sum(before[address] != after[address] for address in kept),
    }
    told = [f"{number} {what}" for what, number in numbers.items() if number]
    if told:
        yield f"people: {', '.join(told)}"


def _is_rule(key: str) -> bool:
    """Tell whether a key of `[people]` is about what is done with people, and not who they are."""
    return key not in {"people.addresses", "people.file"}


def _keys(section: str, before: object, after: object) -> Iterable[str]:
    """Return the keys of a section whose values are otherwise."""
    if before == after:
        return []
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        return [f"{section}.{name}" for name in _different(before, after)]
    return [section]


def _different(before: BaseModel, after: BaseModel) -> list[str]:
    different: list[str] = []
    for name, field in type(after).model_fields.items():
        if getattr(before, name, None) != getattr(after, name):
            different.append(field.alias or name)
    return different or ["what its files hold"]


def _shown(name: str) -> str:
    """Return a name, unless it is an address."""
    return "…" if "@" in name else name
