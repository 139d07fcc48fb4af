"""Which room of the API is meant by what calendars call rooms, as tables to paste into a configuration.

Sure is what is equal, or like enough to one room and to no other; all else stands in comments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from syncd.config import Room as ConfiguredRoom
from syncd.core.amounts import some
from syncd.core.rooms import parts_of
from syncd.core.text import fold_name, fold_space
from syncd.setup.calendar_names import CalendarNames, Named
from syncd.setup.likeness import EQUAL, likeness
from syncd.setup.writing import remark
from syncd.tuya import Room
from syncd.views.toml import toml_text

LEAST_SCORE = 75.0
"""Below this a match is a comment."""

LEAST_LEAD = 5.0
"""A match whose second best is closer than this is a comment."""

_WORTH_A_LOOK = 60.0  # below this a room is not even offered
_SHOWN = 40  # unmatched names
_EXPRESSION = "re:"  # what begins so would be read as an expression


@dataclass(frozen=True, slots=True)
class Match:
    """A name in calendars with the room that it is likest to, and the second best; None: none is like it.

    `text` is the part of the name that was compared; `guessed` tells that it was taken from an address alone.
    """

    named: Named
    text: str
    room: Room | None = None
    score: float = 0.0
    second: Room | None = None
    second_score: float = 0.0
    guessed: bool = False

    @property
    def is_sure(self) -> bool:
        """Tell whether the name is taken for the room without a person."""
        return not self.doubt

    @property
    def doubt(self) -> str:
        """Return why a person has to look, as a clause; empty if nobody has to."""
        if self.room is None:
            return "like no room"
        if self.guessed:
            return "by its address alone, which proves nothing"
        if self.score < LEAST_SCORE:
            return f"below {LEAST_SCORE:.0f}"
        is_alone = self.score == EQUAL > self.second_score
        if not is_alone and self.score - self.second_score < LEAST_LEAD:
            return "too close to the second best"
        return ""

    @property
    def told(self) -> str:
        """Return score, number of meetings and the second best, as a comment."""
        score = f"score {self.score:.0f}"
        if self.score == EQUAL:
            score = "equal, score 100"
        second = "no second"
        if self.second is not None:
            second = f"second {remark(self.second.name)} {self.second_score:.0f}"
        doubt = f"; {self.doubt}" if self.doubt else ""
        return f"{score}; places {some(self.named.count, 'meeting')}; {second}{doubt}"


@dataclass(slots=True)
class _Block:
    """What calendars call one room."""

    addresses: list[Match] = field(default_factory=list)
    locations: list[Match] = field(default_factory=list)


class RoomSuggestions:
    """The rooms of the API with the names that calendars have for them.

    `configured` are the rooms of a configuration, whose names and addresses are kept.
    """

    def __init__(
        self,
        rooms: Sequence[Room],
        names: CalendarNames,
        configured: Sequence[ConfiguredRoom] = (),
    ) -> None:
        self._rooms = rooms
        self._names = names
        self._configured = {room.id: room for room in configured}
        self._blocks: defaultdict[str, _Block] = defaultdict(_Block)
        self._unmatched: list[Match] = []
        for device in names.devices:
            self._place(_of_device(device, rooms), is_address=bool(device.address))
        for place in names.places:
            self._place(match_of(place, parts_of(place.text), rooms), is_address=False)

    def _place(self, match: Match, *, is_address: bool) -> None:
        if match.room is None or match.score < _WORTH_A_LOOK:
            self._unmatched.append(match)
            return
        block = self._blocks[match.room.room_id]
        into = block.addresses if is_address else block.locations
        into.append(match)
        if not match.is_sure:
            self._unmatched.append(match)

    @property
    def placed(self) -> int:
        """Return how many names of calendars are taken for rooms."""
        blocks = self._blocks.values()
        matches = [m for block in blocks for m in (*block.addresses, *block.locations)]
        return sum(match.is_sure for match in matches)

    def lines(self) -> Iterator[str]:
        """Yield the lines of TOML: a table for each room, then what is left, in comments."""
        taken: set[str] = set()
        unchanged = 0
        for room in self._rooms:
            configured = self._configured.get(room.room_id)
            if configured is not None and room.room_id not in self._blocks:
                unchanged += 1
                taken.update(configured.texts)
                continue
            yield ""
            yield from self._table(room, configured, taken)
        if unchanged:
            yield ""
            yield f"# Rooms in the configuration to which nothing is to be added: {unchanged}"
        yield from self._unknown_in_tuya()
        yield from self._left()

    def _table(
        self, room: Room, configured: ConfiguredRoom | None, taken: set[str]
    ) -> Iterator[str]:
        """Yield the table of one room; `taken` are the folded names of rooms before it."""
        block = self._blocks[room.room_id]
        if configured is not None:
            yield "# In the configuration already: put this table in place of that one."
        yield from _facts(room)
        yield "[[rooms]]"
        yield f"id = {toml_text(room.room_id)}"
        name = fold_space(room.name)
        if configured is not None and configured.name:
            name = configured.name
        known = {fold_name(name)}
        if not name:
            yield '# name = ""  # the API tells none'
        elif fold_name(name) in taken:
            yield f"# name = {toml_text(name)}  # another room has the same"
        else:
            yield f"name = {toml_text(name)}"
            taken.add(fold_name(name))
        addresses = list(configured.addresses) if configured else []
        locations = list(configured.locations) if configured else []
        known.update(map(fold_name, locations))
        yield from _array("addresses", addresses, block.addresses)
        yield from _array("locations", locations, _texts(block.locations, known))
        by_name = [m for m in block.locations if fold_name(m.text) == fold_name(name)]
        for match in by_name:
            yield f"# its name {remark(match.text)} places {some(match.named.count, 'meeting')}"
        if not (block.addresses or block.locations):
            yield "# no meeting of the next 30 days names it"

    def _unknown_in_tuya(self) -> Iterator[str]:
        """Yield the rooms of the configuration that the API does not have."""
        there = {room.room_id for room in self._rooms}
        for room_id, room in self._configured.items():
            if room_id not in there:
                yield ""
                named = f"{remark(room_id)} ({remark(room.name or '')})"
                yield f"# In the configuration, and no room of the API: {named}"

    def _left(self) -> Iterator[str]:
        unmatched = sorted(self._unmatched, key=lambda match: -match.named.count)
        left = [match.named for match in unmatched]
        yield from _listed("No room is surely meant by (meetings, name):", left)
        yield from _listed("No place (meetings, text):", self._names.placeless)


def match_of(named: Named, texts: Iterable[str], rooms: Iterable[Room]) -> Match:
    """Return the room that one of several texts for a name is likest to, with the second best."""
    best = Match(named, named.text)
    for text in texts:
        scored: list[tuple[float, Room]] = []
        for room in rooms:
            score = likeness(text, room.name, room.capacity)
            if score is not None and room.name.strip():
                scored.append((score, room))
        scored.sort(key=lambda pair: -pair[0])
        if not scored or scored[0][0] <= best.score:
            continue
        score, room = scored[0]
        best = Match(named, text, room, score)
        if len(scored) > 1:
            second_score, second = scored[1]
            best = Match(named, text, room, score, second, second_score)
    return best


def _of_device(device: Named, rooms: Sequence[Room]) -> Match:
    """Return the room that an invited room or resource is: by its address, else by its name."""
    for room in rooms:
        if device.address and room.address.strip().lower() == device.address:
            return Match(device, device.address, room, EQUAL)
    name = device.text
    local, at, _ = device.address.partition("@")
    is_named = bool(name) and fold_name(name) != fold_name(device.address)
    if is_named or not at:
        return match_of(device, parts_of(name), rooms)
    guess = local.replace("_", " ").replace("-", " ")
    found = match_of(device, [guess, local], rooms)
    return Match(
        device,
        found.text,
        found.room,
        found.score,
        found.second,
        found.second_score,
        guessed=True,
    )


def _facts(room: Room) -> Iterator[str]:
    """Yield what the API says of a room that an administrator may want to know."""
    facts: list[str] = []
    if room.capacity is not None:
        facts.append(f"for {room.capacity} persons")
    if room.approval:
        facts.append("bookings wait for approval")
    if not room.open:
        facts.append("closed for bookings")
    if facts:
        yield f"# {', '.join(facts)}"


def _texts(matches: Iterable[Match], known: set[str]) -> list[Match]:
    """Return the matches whose text is not known, each text once."""
    seen = set(known)
    new: list[Match] = []
    for match in matches:
        folded = fold_name(match.text)
        if folded not in seen:
            seen.add(folded)
            new.append(match)
    return new


def _array(name: str, given: Sequence[str], matches: Sequence[Match]) -> Iterator[str]:
    """Yield an array with what it has and each match on a line of its own; unsure ones in comments."""
    if not given and not matches:
        return
    yield f"{name} = ["
    for text in given:
        yield f"  {toml_text(text)},"
    for match in matches:
        yield f"  # {_heading(match)}{match.told}"
        text = match.named.address if name == "addresses" else match.text
        is_plain = not text.startswith(_EXPRESSION)
        sign = "" if match.is_sure and is_plain else "# "
        yield f"  {sign}{toml_text(text)},"
    yield "]"


def _heading(match: Match) -> str:
    if match.named.address and match.named.text:
        return f"{remark(match.named.text)}: "
    return ""


def _listed(title: str, named: Sequence[Named]) -> Iterator[str]:
    if not named:
        return
    yield ""
    yield f"# {title}"
    for one in named[:_SHOWN]:
        shown = remark(one.text or one.address)
        if one.text and one.address:
            shown = f"{shown} {remark(one.address)}"
        yield f"#   {one.count:4}  {shown}"
    if len(named) > _SHOWN:
        yield f"#         and {len(named) - _SHOWN} more"
