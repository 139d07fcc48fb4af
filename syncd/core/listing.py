"""What a list of the API shows, and what may be concluded from what it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from syncd.core.reservation import Reservation


@dataclass(frozen=True, slots=True)
class Listing:
    """The reservations that a list shows, oldest first.

    `nameless` are items without a usable id, as far as they can be read: nobody can ask for them, so what
    they could be is not known to be absent.
    `doubt` says, in a sentence, why the list as a whole proves no absence; empty if it does.
    `moved`: the doubt is only that somebody booked between two pages, ourselves perhaps. What it shows is
    there, and no person has to know.
    """

    reservations: tuple[Reservation, ...] = ()
    nameless: tuple[Reservation, ...] = ()
    doubt: str = ""
    moved: bool = False

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self.reservations)

    def __len__(self) -> int:
        return len(self.reservations)

    @classmethod
    def joined(cls, listings: Iterable[Listing]) -> Listing:
        """Join what several lists show: each reservation once, and the first doubt."""
        found: dict[str, Reservation] = {}
        nameless: list[Reservation] = []
        doubt = ""
        for listing in listings:
            for reservation in listing.reservations:
                found[reservation.reservation_id] = reservation
            nameless += listing.nameless
            doubt = doubt or listing.doubt
        oldest_first = sorted(found.values(), key=Reservation.age_key)
        return cls(tuple(oldest_first), tuple(nameless), doubt)

    @property
    def trouble(self) -> str:
        """Return what a person should know of it, as a sentence; empty if it is sound."""
        if self.doubt and not self.moved:
            return self.doubt
        if not self.nameless:
            return ""
        return f"The API's list shows reservations without a usable id: {len(self.nameless)}."

    def lacks(
        self, mark: str | None, creator: str, known_ids: Collection[str] = ()
    ) -> bool:
        """Tell whether it hides nothing that a creator made with this mark (None: without a mark).

        That is so if it can be believed as a whole, and no item that does not tell its id or its mark could
        be it.
        `known_ids` are those that are known to be something else.
        """
        if self.doubt:
            return False
        if any(_may_be(item, mark, creator) for item in self.nameless):
            return False
        if mark is None:
            return True
        for item in self.reservations:
            hides_its_mark = "description" in item.unsaid and item.is_by(creator)
            if hides_its_mark and item.reservation_id not in known_ids:
                return False
        return True


def _may_be(item: Reservation, mark: str | None, creator: str) -> bool:
    """Tell whether an item without an id may be what a creator made with this mark."""
    if mark is None or "description" in item.unsaid:
        return item.is_by(creator)
    return str(item.mark) == mark
