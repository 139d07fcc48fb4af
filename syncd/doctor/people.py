"""Checks of the people: the user ids of the configuration, and who has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from syncd.assembly.settings import mapping_rules
from syncd.core.amounts import some
from syncd.core.mapper import Mapper
from syncd.doctor.api import REACHABLE, TOKEN, USERS
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.state import USABLE
from syncd.tuya import User
from syncd.views.toml import toml_text

_SHOWN = 5
_ASKED_ONE_BY_ONE = 20


def _ids(patient: Patient) -> dict[str, list[str]]:
    """Return each user id of the configuration with the places where it stands."""
    config = patient.config
    places: dict[str, list[str]] = {}
    places.setdefault(config.reservation.creator, []).append("reservation.creator")
    for source in config.sources:
        if source.creator is not None:
            places.setdefault(source.creator, []).append(f"creator of {source.name}")
    for address, user_id in config.people.directory.items():
        places.setdefault(user_id, []).append(address)
    return places


def _do_exist(patient: Patient) -> Iterator[Finding]:
    there, are_all = patient.tuya_users
    missing = {
        user_id: places
        for user_id, places in _ids(patient).items()
        if user_id not in there
    }
    if missing and not are_all:
        if len(missing) > _ASKED_ONE_BY_ONE:
            yield unclear(
                f"The directory is too large to be read whole; {len(missing)} user ids were not seen in it."
            )
            return
        missing = {
            user_id: places
            for user_id, places in missing.items()
            if not patient.api.has_user(user_id)
        }
    for user_id, places in list(missing.items())[:_SHOWN]:
        yield wrong(
            f"Tuya has no user with the id {user_id} ({', '.join(places[:3])}).",
            _cure_of(places, there),
        )
    if len(missing) > _SHOWN:
        yield wrong(
            f"Tuya lacks {some(len(missing) - _SHOWN, 'further user id')} of the configuration.",
            "syncd people suggest",
        )
    if not missing:
        yield well(f"Tuya has all {len(_ids(patient))} users of the configuration.")


def _cure_of(places: list[str], there: Mapping[str, User]) -> str:
    """Return the line with the right id, as far as an address or a place tells it."""
    enabled = [user for user in there.values() if user.enabled]
    if any(place.startswith(("reservation.", "creator of")) for place in places):
        if not enabled:
            return "syncd people suggest"
        first = min(enabled, key=lambda user: (user.name, user.user_id))
        line = f"creator = {toml_text(first.user_id)}"
        name = toml_text(first.name)
        return f"{line}  # {name}; or another of: syncd people suggest"
    for user in enabled:
        if user.email.casefold() in places:
            return f"{toml_text(user.email.casefold())} = {toml_text(user.user_id)}"
    return "syncd people suggest"


def _are_enabled(patient: Patient) -> Iterator[Finding]:
    there, _ = patient.tuya_users
    disabled = 0
    for user_id, places in _ids(patient).items():
        user = there.get(user_id)
        if user is not None and not user.enabled:
            disabled += 1
            yield wrong(
                f"User {user_id} ({', '.join(places[:3])}) is disabled in Tuya.",
                f"open Tuya console > Users > {user_id} > Enable, or take the line out",
            )
    if not disabled:
        yield well("No user of the configuration is disabled.")


def _are_known(patient: Patient) -> Iterator[Finding]:
    mapper = Mapper(mapping_rules(patient.config))
    counted: Counter[str] = Counter()
    for reading in patient.readings.values():
        for occurrence in reading.occurrences:
            # Guests of private meetings are not told, as `syncd unknown` does not.
            if not occurrence.private:
                counted.update(set(mapper.addresses(occurrence)))
    if not counted:
        yield well("Everybody in the calendars has a user id.")
        return
    frequent = ", ".join(
        f"{address} ({some(times, 'meeting')})"
        for address, times in counted.most_common(3)
    )
    told = f"Without a user id in the calendars: {len(counted)} addresses, most often {frequent}."
    if len(counted) == 1:
        told = f"Without a user id in the calendars: {frequent}."
    if patient.config.people.unmapped == "reject":
        yield wrong(f"{told} Their meetings are not booked.", "syncd unknown people")
        return
    yield note(told, "syncd unknown people")


_NEEDS = (GOOD, REACHABLE, TOKEN, USERS)
CHECKS_OF_PEOPLE = (
    Check(
        "people",
        "exist",
        "whether Tuya has the configured users",
        _do_exist,
        _NEEDS,
        True,
    ),
    Check(
        "people",
        "enabled",
        "whether these users are enabled",
        _are_enabled,
        _NEEDS,
        True,
    ),
    Check(
        "people",
        "unknown",
        "who stands in the calendars and has no user id",
        _are_known,
        (GOOD, USABLE),
    ),
)
