"""A story as a value: what was found about one UID, its JSON document, and whether a person is needed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from itertools import islice

from syncd.assembly import Service
from syncd.assembly.settings import mapping_rules
from syncd.core.acknowledged import Acknowledged, Acknowledgement
from syncd.core.booking import Booking
from syncd.core.mapper import Mapper
from syncd.core.occurrence import Defect, Occurrence, Reading
from syncd.core.resolve import Decision
from syncd.explain.verdicts import Fate, fates_of, later_occurrence, topic_of
from syncd.intake import SourceExcerpt
from syncd.ledger import Ledger, SourceRecord
from syncd.reconciler import Examination
from syncd.views.documents import change_document, iso, notes_document
from syncd.views.steps import entry_document

_FEW = 5  # UIDs that are suggested


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A UID that may have been meant, and why."""

    uid: str
    because: str


@dataclass(frozen=True, slots=True)
class Where:
    """How a source stands: now, in the last cycle, and with the UID in it (`excerpt` None: not in it)."""

    reading: Reading
    record: SourceRecord | None
    excerpt: SourceExcerpt | None
    defects: tuple[Defect, ...]

    @property
    def name(self) -> str:
        """Return the source's name."""
        return self.reading.source


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one UID; `suggestions` only where it is unknown.

    `zone`, `rooms` (names by id) and `people` (addresses by user id) are for people, `instance` and
    `marker` for the payloads; `mapper` has the rules by which rooms are chosen; `acknowledged` is what
    persons have seen.
    `left_out` counts the dates and rooms that were not asked for.
    """

    uid: str
    examined: Examination
    searched: tuple[Where, ...]
    fates: tuple[Fate, ...]
    suggestions: tuple[Suggestion, ...]
    zone: tzinfo
    rooms: Mapping[str, str]
    people: Mapping[str, str]
    mapper: Mapper
    instance: str
    marker: bool
    acknowledged: Acknowledged
    left_out: int = 0

    @property
    def where(self) -> tuple[Where, ...]:
        """Return the sources that hold the UID."""
        return tuple(where for where in self.searched if where.excerpt is not None)

    @property
    def known(self) -> bool:
        """Return whether any source or the ledger has the UID."""
        return bool(self.where or self.fates)

    @property
    def topic(self) -> str:
        """Return what the event is called, as far as that may be shown."""
        current_first = sorted(self.fates, key=lambda fate: fate.closed)
        topics = [fate.topic for fate in current_first]
        for where in self.where:
            if where.excerpt is not None:
                topics += [part.topic for part in where.excerpt.parts]
        for topic in topics:
            if topic:
                return topic
        return ""

    @property
    def unreadable(self) -> tuple[Where, ...]:
        """Return the sources that were not read as a whole and may say something about the UID."""
        witnesses: set[str] = set()
        for fate in self.fates:
            if fate.booking is not None:
                witnesses.update(fate.booking.witnesses)
        failed = [where for where in self.searched if where.reading.error]
        if not self.known:
            return tuple(failed)
        return tuple(
            where
            for where in failed
            if where.excerpt is not None or where.name in witnesses
        )

    @property
    def needs_person(self) -> bool:
        """Return whether something about it is a matter for a person."""
        if not self.known or self.unreadable:
            return True
        for where in self.where:
            if any(self.acknowledged.of_defect(one) is None for one in where.defects):
                return True
        return any(map(self._needs_person_for, self.fates))

    def _needs_person_for(self, fate: Fate) -> bool:
        return fate.needs_person and fate.acknowledgement(self.acknowledged) is None

    def room_by(self, fate: Fate) -> str:
        """Return a clause that says which rule chose the room of an occurrence; empty if none did."""
        if fate.seen is None or fate.room_id is None:
            return ""
        by_room = self.mapper.rooms_told(fate.seen.occurrence)
        return by_room.get(fate.room_id, "")

    def document(self) -> dict[str, object]:
        """Return the document of `explain --json`."""
        plan = self.examined.plan
        unasked = self.examined.unasked
        return {
            "uid": self.uid,
            "known": self.known,
            "topic": self.topic,
            "needs_person": self.needs_person,
            "mode": plan.mode.value,
            "api": {
                "asked": unasked is None,
                "error": unasked,
            },
            "sources": [_source(where, self.acknowledged) for where in self.where],
            "searched": [_searched(where.reading) for where in self.searched],
            "occurrences": [self._occurrence(fate) for fate in self.fates],
            "totals": self._totals(),
            "held": {
                "checksum": plan.held_checksum,
                "cancellations": len(plan.held),
            },
            "suggestions": [asdict(suggestion) for suggestion in self.suggestions],
        }

    def _totals(self) -> dict[str, object]:
        """Return how many dates are over, by the source that has most of them, and what is looked at."""
        past: int | None = None
        past_since: datetime | None = None
        for where in self.where:
            excerpt = where.excerpt
            if excerpt is None or excerpt.past is None:
                continue
            if past is None or excerpt.past > past:
                past = excerpt.past
                past_since = excerpt.past_since
        return {
            "past": past,
            "past_since": iso(past_since),
            "now": iso(self.examined.now),
            "horizon": iso(self.examined.inputs.policy.window.end),
        }

    def _occurrence(self, fate: Fate) -> dict[str, object]:
        """Return the document of one occurrence."""
        planned: Mapping[str, object] = {}
        if fate.change is not None:
            planned = change_document(fate.change, self.instance, self.marker)
        evidence = planned.get("evidence")
        if not evidence and fate.booking is not None:
            evidence = fate.booking.evidence
        return {
            "recurrence_id": fate.key.recurrence_id,
            "scope": fate.key.scope,
            "start": iso(fate.start),
            "end": iso(fate.end),
            "room_id": fate.room_id,
            "topic": fate.topic,
            "action": fate.action,
            **_standing(fate, planned),
            "reason": fate.reason.value if fate.reason else None,
            "detail": fate.detail,
            "needs_person": self._needs_person_for(fate),
            **_seen(fate.acknowledgement(self.acknowledged)),
            "payload": planned.get("payload"),
            "changed": planned.get("changed", []),
            "wanted": fate.wanted.comparable() if fate.wanted else None,
            "evidence": evidence,
            "approve": self.examined.plan.held_checksum if fate.approvable else None,
            **_shown_by(fate),
            "decides": _decides(fate),
            "room_by": self.room_by(fate) or None,
            "notes": notes_document(fate.notes),
            "moved_from": _moved_from(fate),
            "booking": _booking(fate.booking),
            "decision": _decision(fate.decision),
            "history": [entry_document(entry) for entry in fate.history],
        }


def _standing(fate: Fate, planned: Mapping[str, object]) -> dict[str, object]:
    """Return the state of its record, and the reservation that it or the plan's row is about."""
    if fate.booking is None:
        return {"state": None, "reservation_id": planned.get("reservation_id")}
    return {
        "state": fate.booking.state.value,
        "reservation_id": fate.booking.reservation_id,
    }


def _shown_by(fate: Fate) -> dict[str, object]:
    """Return which sources show an occurrence, or showed it when its record was last seen."""
    if fate.seen is not None:
        occurrence = fate.seen.occurrence
        witnesses = list(fate.seen.witnesses)
        return {
            "source": occurrence.source,
            "witnesses": witnesses,
            "line": occurrence.line,
        }
    if fate.booking is not None:
        return {
            "source": fate.booking.source,
            "witnesses": list(fate.booking.witnesses),
            "line": None,
        }
    return {"source": None, "witnesses": [], "line": None}


def _moved_from(fate: Fate) -> dict[str, object] | None:
    """Return the key that a booking has in the ledger, if it follows its meeting to another."""
    former = fate.moved_from
    if former is None:
        return None
    return {"uid": former.uid, "recurrence_id": former.recurrence_id}


def _booking(booking: Booking | None) -> dict[str, object] | None:
    if booking is None:
        return None
    return {
        "room_id": booking.room_id,
        "start": iso(booking.spec.start),
        "end": iso(booking.spec.end),
        "reason": booking.reason.value if booking.reason else None,
        "detail": booking.detail,
        "mark": booking.mark,
        "generation": booking.generation,
        "blocked_by": booking.blocked_by,
        "attempted_at": iso(booking.attempted_at),
        "retry_at": iso(booking.retry_at),
        "updated_at": iso(booking.updated_at),
        "missed": booking.missed,
    }


def _decision(decision: Decision | None) -> dict[str, object] | None:
    if decision is None:
        return None
    return {
        "verdict": decision.verdict.value,
        "reservation_id": decision.reservation_id,
        "decided_by": decision.decided_by,
        "at": iso(decision.at),
    }


def story_of(uid: str, parts: Service) -> Story:
    """Find everything about a UID, which is compared exactly; raises `LedgerError`."""
    return _story(uid, parts, parts.reconciler.previewer.examine(uid))


def recalled_story(uid: str, parts: Service) -> Story:
    """Return the story of a UID as far as the ledger knows it, without asking anybody; raises `LedgerError`."""
    return _story(uid, parts, parts.reconciler.previewer.examine_recalled(uid))


def _story(uid: str, parts: Service, examined: Examination) -> Story:
    config = parts.config
    ledger = parts.ledger
    later = later_occurrence(examined)
    mapper = Mapper(mapping_rules(config))
    mapped = mapper.map(later) if later is not None else None
    fates = fates_of(uid, examined, ledger, mapped)
    records = ledger.sources.all()
    searched: list[Where] = []
    for name, reading in examined.readings.items():
        defects = [defect for defect in reading.defects if defect.uid == uid]
        where = Where(
            reading=reading,
            record=records.get(name),
            excerpt=examined.excerpts.get(name),
            defects=tuple(defects),
        )
        searched.append(where)
    suggestions: tuple[Suggestion, ...] = ()
    if not examined.excerpts and not fates:
        suggestions = tuple(_suggestions(uid, examined, ledger))
    return Story(
        uid=uid,
        examined=examined,
        searched=tuple(searched),
        fates=fates,
        suggestions=suggestions,
        zone=config.calendar.timezone,
        rooms={room.id: room.name or room.id for room in config.rooms},
        people=config.people.addresses_by_user,
        mapper=mapper,
        instance=config.reservation.instance,
        marker=config.reservation.marker,
        acknowledged=ledger.people.acknowledged(),
    )


def _searched(reading: Reading) -> dict[str, object]:
    """Return whether a source could be looked through for the UID."""
    return {
        "name": reading.source,
        "readable": reading.readable,
        "events": reading.events,
        "error": reading.error,
    }


def _source(where: Where, acknowledged: Acknowledged) -> dict[str, object]:
    record = where.record
    excerpt = where.excerpt
    assert excerpt is not None  # only sources that hold the UID are told of
    return {
        "name": where.name,
        "line": excerpt.parts[0].line if excerpt.parts else None,
        "components": len(excerpt.parts),
        "quarantined": _quarantined(where.defects, acknowledged),
        "error": where.reading.error,
        "last_cycle_at": iso(record.last_read_at) if record else None,
        "parts": [asdict(part) for part in excerpt.parts],
        "zones": [asdict(zone) for zone in excerpt.zones],
    }


def _quarantined(
    defects: Sequence[Defect], acknowledged: Acknowledged
) -> dict[str, object] | None:
    """Return the first defect of an event; None if it has none."""
    if not defects:
        return None
    first = defects[0]
    return {
        "line": first.line,
        "reason": first.reason.value,
        "detail": first.detail,
        "document": first.document,
        **_seen(acknowledged.of_defect(first)),
    }


def _seen(seen: Acknowledgement | None) -> dict[str, object]:
    if seen is None:
        return {"acknowledged_by": None, "acknowledged_at": None}
    return {"acknowledged_by": seen.acknowledged_by, "acknowledged_at": iso(seen.at)}


def _decides(fate: Fate) -> dict[str, object] | None:
    """Return which copy decides about an occurrence, and why; None if none is there."""
    if fate.seen is None:
        return None
    occurrence = fate.seen.occurrence
    other = fate.seen.told_off
    told_off_by = None
    if other is not None:
        told_off_by = {"source": other.source, "document": other.document}
    return {
        "source": occurrence.source,
        "document": occurrence.document,
        "line": occurrence.line,
        "why": fate.seen.why or "It is the only copy.",
        "told_off_by": told_off_by,
    }


def _suggestions(
    asked: str, examined: Examination, ledger: Ledger
) -> Iterator[Suggestion]:
    """Yield UIDs that may have been meant: by spelling, reservation id or topic, else by what looks alike."""
    bookings = ledger.bookings.all()
    known: set[str] = {booking.key.uid for booking in bookings}
    for reading in examined.readings.values():
        known.update(reading.presence)
    witnessed = examined.inputs.desired.witnessed
    occurrences = [seen.occurrence for seen in witnessed]
    suggestions = [
        *_of_other_spelling(asked, known),
        *_of_reservation(asked, bookings),
        *_of_topic(asked, occurrences),
    ]
    if not suggestions:
        suggestions = list(_alike(asked, known))
    by_uid: dict[str, Suggestion] = {}
    for suggestion in suggestions:
        by_uid.setdefault(suggestion.uid, suggestion)
    yield from islice(by_uid.values(), _FEW)


def _of_other_spelling(asked: str, known: Collection[str]) -> Iterator[Suggestion]:
    text = asked.strip().casefold()
    for uid in sorted(known):
        if uid.strip().casefold() == text:
            yield Suggestion(uid, "the same but for upper and lower case or blanks")


def _of_reservation(asked: str, bookings: Iterable[Booking]) -> Iterator[Suggestion]:
    for booking in bookings:
        if booking.reservation_id == asked.strip():
            yield Suggestion(booking.key.uid, "it has that reservation id")


def _of_topic(asked: str, occurrences: Iterable[Occurrence]) -> Iterator[Suggestion]:
    text = asked.strip().casefold()
    if len(text) < 3:
        return
    for occurrence in occurrences:
        if text in topic_of(occurrence).casefold():
            yield Suggestion(occurrence.key.uid, "its topic holds that text")


def _alike(asked: str, known: Collection[str]) -> Iterator[Suggestion]:
    text = asked.strip().casefold()
    holding = sorted(uid for uid in known if text in uid.casefold())
    near = difflib.get_close_matches(asked.strip(), known, n=_FEW, cutoff=0.6)
    for uid in dict.fromkeys((*holding, *near)):
        yield Suggestion(uid, "its UID looks alike")
