"""Which user of the tenant has an address that calendars name, as lines of a people list.

Only an address that exactly one enabled user has is taken: people share names, and a wrong person would be
invited to meetings that are none of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from syncd.core.amounts import some
from syncd.core.text import fold_name
from syncd.setup.calendar_names import Named
from syncd.setup.writing import acts_in_a_spreadsheet, csv_row, remark
from syncd.tuya import TuyaApi, User
from syncd.views.toml import toml_text

_LEAST_PAGES = 20


@dataclass(frozen=True, slots=True)
class Directory:
    """What is known of the users of the tenant; `lookup` asks for an address that these do not have.

    `users` are all of them where `is_whole`.
    """

    users: tuple[User, ...]
    is_whole: bool
    lookup: Callable[[str], str | None]

    @classmethod
    def of(cls, api: TuyaApi, people: int) -> Directory:
        """Read the directory as a whole unless to ask for so many people takes fewer calls.

        Raises `Unanswered`.
        """
        users, is_whole = api.users(max(_LEAST_PAGES, people))
        return cls(users, is_whole, api.find_user)


@dataclass(frozen=True, slots=True)
class MatchedPerson:
    """Somebody whom calendars name, with the user id if there is one, else why there is none."""

    named: Named
    user_id: str | None
    remark: str = ""

    @property
    def address(self) -> str:
        """Return the address; empty for a name alone."""
        return self.named.address


def suggest_people(
    named: Iterable[Named], directory: Directory
) -> tuple[MatchedPerson, ...]:
    """Return who the people of calendars are in a directory; raise `Unanswered`."""
    by_email: defaultdict[str, list[User]] = defaultdict(list)
    by_name: defaultdict[str, list[User]] = defaultdict(list)
    for user in directory.users:
        if user.email:
            by_email[user.email.strip().casefold()].append(user)
        if user.name.strip():
            by_name[fold_name(user.name)].append(user)
    found: list[MatchedPerson] = []
    for one in named:
        same = by_email.get(one.address.casefold(), [])
        user_id, why = _judged(same)
        if one.address and not same and not directory.is_whole:
            user_id = directory.lookup(one.address)
        if user_id is None and not same:
            why = _by_name_alone(by_name.get(fold_name(one.text), []), one)
        found.append(MatchedPerson(one, user_id, why))
    return tuple(found)


def _judged(users: Sequence[User]) -> tuple[str | None, str]:
    """Return the only enabled one of the users with an address, or why there is none."""
    enabled = [user for user in users if user.enabled]
    if len(enabled) == 1:
        return enabled[0].user_id, ""
    if enabled:
        ids = ", ".join(user.user_id for user in enabled)
        return None, f"several users have this address: {ids}"
    if users:
        return None, f"user {users[0].user_id} has this address and is disabled"
    return None, ""


def _by_name_alone(users: Sequence[User], named: Named) -> str:
    """Return what a directory has under the name of somebody, as a clause."""
    subject = "no user has this address"
    if not named.address:
        subject = "the calendar gives no address"
    if not users:
        return subject
    told = ", ".join(f"{user.user_id} {remark(user.email)}" for user in users[:3])
    return f"{subject}; of the same name: {told}"


def csv_lines(people: Sequence[MatchedPerson]) -> Iterator[str]:
    """Yield a people list: who has a user id, then in comments who has none, most frequent first."""
    yield "address,user_id,name"
    mapped = [p for p in people if p.user_id is not None]
    for person in mapped:
        row = csv_row(person.address, person.user_id or "", person.named.text)
        # Such a row would be changed by what makes it harmless, so a person has to write it.
        sign = "# " if acts_in_a_spreadsheet(person.address) else ""
        yield f"{sign}{row}"
    left = [p for p in people if p.user_id is None]
    if left:
        yield f"# Without a user: {len(left)}"
    for person in left:
        yield f"# {_comment(person)}"


def _comment(person: MatchedPerson) -> str:
    who = remark(person.address or person.named.text)
    if person.address and person.named.text:
        who = f"{who} {remark(person.named.text)}"
    return f"{who}: {some(person.named.count, 'meeting')}; {person.remark}"


def toml_lines(people: Sequence[MatchedPerson]) -> Iterator[str]:
    """Yield the entries of `[people.addresses]`: who has a user id, then in comments who has none."""
    for person in people:
        if person.user_id is not None:
            yield f"{toml_text(person.address)} = {toml_text(person.user_id)}"
    for person in people:
        if person.user_id is None:
            yield f"# {_comment(person)}"
