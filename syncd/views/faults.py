"""What can be acknowledged, refused and quarantined events, and what persons have acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from syncd.core.acknowledged import Acknowledgement
from syncd.core.booking import Booking
from syncd.core.resolve import full_name, is_refused, named, open_as
from syncd.ledger import Ledger, Quarantined
from syncd.views.documents import iso
from syncd.views.sheet import Sheet

_STATES = {
    "in_force": "counts for nothing",
    "changed": "the event changed: it counts again",
    "settled": "nothing is wrong with it now",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an event: the KEY by which it is acknowledged, and whose fingerprint counts.

    `what` is refused or quarantined; `booking` is what is refused.
    """

    key: str
    fingerprint: str
    title: str
    what: str
    booking: Booking | None = None

    @classmethod
    def of_booking(cls, booking: Booking) -> Fault:
        """Return a refused booking."""
        topic = booking.spec.topic
        return cls(full_name(booking), booking.origin, topic, "refused", booking)

    @classmethod
    def of_defect(cls, found: Quarantined) -> Fault:
        """Return a quarantined event that has a UID."""
        defect = found.defect
        title = defect.topic or "an event without title"
        what = f"quarantined in source {found.source}"
        return cls(defect.uid, defect.fingerprint, title, what)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is refused or quarantined now, and what persons have acknowledged.

    `all` can be acknowledged; `without_uid` are places of events that cannot.
    `others` are bookings that wait for another word of a person.
    """

    all: tuple[Fault, ...]
    without_uid: tuple[str, ...]
    others: tuple[Booking, ...]
    acknowledgements: tuple[Acknowledgement, ...]

    @classmethod
    def of(cls, ledger: Ledger, sources: Collection[str]) -> Faults:
        """Return those of a ledger and of the sources of a configuration."""
        found: dict[Fault, None] = {}
        without_uid: list[str] = []
        others: list[Booking] = []
        for quarantined in ledger.sources.quarantine():
            defect = quarantined.defect
            if quarantined.source not in sources:
                continue
            if defect.uid:
                found[Fault.of_defect(quarantined)] = None
            else:
                without_uid.append(f"{defect.document}, line {defect.line}")
        for booking in ledger.bookings.open():
            if not booking.in_doubt and is_refused(booking):
                found[Fault.of_booking(booking)] = None
            else:
                others.append(booking)
        return cls(
            all=tuple(found),
            without_uid=tuple(without_uid),
            others=tuple(others),
            acknowledgements=ledger.people.acknowledgements(),
        )

    def named(self, key: str) -> list[Fault]:
        """Return what a KEY means: a quarantined event in all its sources, or bookings as for `resolve`."""
        same = [fault for fault in self.all if fault.key == key]
        if same:
            return same
        return [
            fault
            for fault in self.all
            if fault.booking is not None and named(key, [fault.booking])
        ]

    def otherwise_open(self, key: str) -> str:
        """Return as what a KEY is open that cannot be acknowledged, empty if it is not."""
        for booking in named(key, self.others):
            state = open_as(booking)
            if state is not None:
                return state.words
        return ""

    def acknowledged_under(self, key: str) -> list[str]:
        """Return the subjects that were acknowledged under a KEY or, for a UID, under all its dates."""
        subjects = dict.fromkeys(one.subject for one in self.acknowledgements)
        if key in subjects:
            return [key]
        return [subject for subject in subjects if subject.startswith(f"{key}/")]

    def state_of(self, seen: Acknowledgement) -> str:
        """Return whether an acknowledgement is in force, or the event changed since, or is settled."""
        state = "settled"
        for fault in self.all:
            if fault.key == seen.subject:
                if fault.fingerprint == seen.fingerprint:
                    return "in_force"
                state = "changed"
        return state

    def title_of(self, seen: Acknowledgement) -> str:
        """Return what an acknowledged event is called, empty if it is settled."""
        titles: Mapping[str, str] = {fault.key: fault.title for fault in self.all}
        return titles.get(seen.subject, "")

    def document(self) -> dict[str, object]:
        """Return the document of `ack --json`."""
        return {"acknowledged": list(map(self._row, self.acknowledgements))}

    def _row(self, seen: Acknowledgement) -> dict[str, object]:
        return {
            "key": seen.subject,
            "topic": self.title_of(seen),
            "by": seen.acknowledged_by,
            "at": iso(seen.at),
            "state": self.state_of(seen),
        }


def print_acknowledged(sheet: Sheet, faults: Faults, now: datetime) -> None:
    """Print what was acknowledged, by whom and when, and whether that is in force."""
    if not faults.acknowledgements:
        sheet.say("Nothing was acknowledged.")
        return
    noun = (
        "acknowledgement" if len(faults.acknowledgements) == 1 else "acknowledgements"
    )
    sheet.say(
        f"{len(faults.acknowledgements)} {noun}; times are in {sheet.zone_name}.",
        style="bold",
    )
    for seen in faults.acknowledgements:
        title = faults.title_of(seen) or "(settled)"
        sheet.say(f"{title}: {_STATES[faults.state_of(seen)]}.")
        at = sheet.moment_and_age(seen.at, now)
        sheet.say(f"  by {seen.acknowledged_by}, {at}", soft_wrap=True)
        sheet.say(f"  {seen.subject}", soft_wrap=True)
