"""A story as a value: what was found about one UID, its JSON document, and whether a person is needed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import tzinfo

from syncd.assembly import Service, mapping_rules
from syncd.core.mapper import Mapper
from syncd.core.occurrence import Defect, Occurrence, Reading
from syncd.explain.verdicts import Fate, fates_of, later_occurrence, topic_of
from syncd.intake import SourceExcerpt
from syncd.ledger import Ledger, SourceRecord
from syncd.reconciler import Examination
from syncd.views.documents import change_document, iso

_FEW = 5  # UIDs that are suggested


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A UID that may have been meant, and why."""

    uid: str
    because: str


@dataclass(frozen=True, slots=True)
class Where:
    """How a source stands: now, in the last cycle, and with the UID in it (`account` None: not in it)."""

    reading: Reading
    record: SourceRecord | None
    account: SourceExcerpt | None
    defects: tuple[Defect, ...]

    @property
    def name(self) -> str:
        """The source's name."""
        return self.reading.source


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one UID; `suggestions` only where it is unknown.

    `zone` and `rooms` (names by id) are for people, `instance` and `marker` for the payloads; `mapper` has
    the rules by which rooms are chosen.
    """

    uid: str
    examined: Examination
    searched: tuple[Where, ...]
    fates: tuple[Fate, ...]
    suggestions: tuple[Suggestion, ...]
    zone: tzinfo
    rooms: Mapping[str, str]
    mapper: Mapper
    instance: str
    marker: bool

    @property
    def where(self) -> tuple[Where, ...]:
        """The sources that hold the UID."""
        return tuple(where for where in self.searched if where.account is not None)

    @property
    def known(self) -> bool:
        """Whether any source or the ledger has the UID."""
        return bool(self.where or self.fates)

    @property
    def topic(self) -> str:
        """What the event is called, as far as that may be shown."""
        by_time = sorted(self.fates, key=lambda f: f.closed)
        named = (fate.topic for fate in by_time if fate.topic)
        written = (p.topic for w in self.where if w.account for p in w.account.parts if p.topic)
        return next(iter((*named, *written)), "")

    @property
    def unreadable(self) -> tuple[Where, ...]:
        """The sources that could not be read, or not as a whole, and that may say something about the UID."""
        witnesses = {name for f in self.fates if f.booking is not None for name in f.booking.witnesses}
        return tuple(
            where
            for where in self.searched
            if where.reading.error
            and (where.account is not None or where.name in witnesses or not self.known)
        )

    @property
    def needs_person(self) -> bool:
        """Whether something about it is a matter for a person."""
        return (
            not self.known
            or bool(self.unreadable)
            or any(where.defects for where in self.where)
            or any(fate.needs_person for fate in self.fates)
        )

    def room_by(self, fate: Fate) -> str:
        """Return a clause that says which rule chose the room of an occurrence; empty if none did."""
        if fate.seen is None or fate.room_id is None:
            return ""
        return self.mapper.rooms_told(fate.seen.occurrence).get(fate.room_id, "")

    def document(self) -> dict[str, object]:
        """The document of `explain --json`."""
        accounts = [where.account for where in self.where if where.account is not None]
        counted = max((a for a in accounts if a.past is not None), key=lambda a: a.past or 0, default=None)
        return {
            "uid": self.uid,
            "known": self.known,
            "topic": self.topic,
            "needs_person": self.needs_person,
            "mode": self.examined.plan.mode.value,
            "api": {"asked": self.examined.unasked is None, "error": self.examined.unasked},
            "sources": [_source(where) for where in self.where],
            "searched": [
                {
                    "name": where.name,
                    "readable": where.reading.readable,
                    "events": where.reading.events,
                    "error": where.reading.error,
                }
                for where in self.searched
            ],
            "occurrences": [self._occurrence(fate) for fate in self.fates],
            "totals": {
                "past": counted.past if counted else None,
                "past_since": iso(counted.past_since) if counted else None,
                "now": iso(self.examined.now),
                "horizon": iso(self.examined.grounds.policy.window.end),
            },
            "held": {
                "checksum": self.examined.plan.held_checksum,
                "cancellations": len(self.examined.plan.held),
            },
            "suggestions": [asdict(suggestion) for suggestion in self.suggestions],
        }

    def _occurrence(self, fate: Fate) -> dict[str, object]:
        planned = change_document(fate.change, self.instance, self.marker) if fate.change else {}
        booking = fate.booking
        moved_from = fate.moved_from
        return {
            "recurrence_id": fate.key.recurrence_id,
            "scope": fate.key.scope,
            "start": iso(fate.start),
            "end": iso(fate.end),
            "room_id": fate.room_id,
            "topic": fate.topic,
            "action": fate.action,
            "state": booking.state.value if booking else None,
            "reservation_id": booking.reservation_id if booking else planned.get("reservation_id"),
            "reason": fate.reason.value if fate.reason else None,
            "detail": fate.detail,
            "needs_person": fate.needs_person,
            "payload": planned.get("payload"),
            "changed": planned.get("changed", []),
            "wanted": fate.wanted.comparable() if fate.wanted else None,
            "evidence": planned.get("evidence") or (booking.evidence if booking else None),
            "approve": self.examined.plan.held_checksum if fate.approvable else None,
            "source": fate.seen.occurrence.source if fate.seen else booking.source if booking else None,
            "witnesses": list(fate.seen.witnesses if fate.seen else booking.witnesses if booking else ()),
            "line": fate.seen.occurrence.line if fate.seen else None,
            "decides": _decides(fate),
            "room_by": self.room_by(fate) or None,
            "notes": [{"reason": note.reason.value, "detail": note.detail} for note in fate.notes],
            "moved_from": {"uid": moved_from.uid, "recurrence_id": moved_from.recurrence_id}
            if moved_from
            else None,
            "booking": {
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
            if booking
            else None,
            "decision": {
                "verdict": fate.decision.verdict.value,
                "reservation_id": fate.decision.reservation_id,
                "decided_by": fate.decision.decided_by,
                "at": iso(fate.decision.at),
            }
            if fate.decision
            else None,
            "history": [{"at": iso(e.at), "what": e.what, "detail": e.detail} for e in fate.history],
        }


def story_of(uid: str, parts: Service) -> Story:
    """Find everything about a UID, which is compared exactly; raises `LedgerError`."""
    config, ledger = parts.config, parts.ledger
    examined = parts.reconciler.examine(uid)
    later = later_occurrence(examined)
    mapper = Mapper(mapping_rules(config))
    mapped = mapper.map(later) if later is not None else None
    fates = fates_of(uid, examined, ledger, mapped)
    records = ledger.sources.all()
    searched = tuple(
        Where(
            reading=reading,
            record=records.get(name),
            account=examined.accounts.get(name),
            defects=tuple(d for d in reading.defects if d.uid == uid),
        )
        for name, reading in examined.readings.items()
    )
    found = bool(examined.accounts or fates)
    return Story(
        uid=uid,
        examined=examined,
        searched=searched,
        fates=fates,
        suggestions=() if found else tuple(_suggestions(uid, examined, ledger)),
        zone=config.calendar.timezone,
        rooms={room.id: room.name or room.id for room in config.rooms},
        mapper=mapper,
        instance=config.reservation.instance,
        marker=config.reservation.marker,
    )


def _source(where: Where) -> dict[str, object]:
    account, record = where.account, where.record
    assert account is not None  # only sources that hold the UID are told of
    first = where.defects[0] if where.defects else None
    return {
        "name": where.name,
        "line": account.parts[0].line if account.parts else None,
        "components": len(account.parts),
        "quarantined": None
        if first is None
        else {
            "line": first.line,
            "reason": first.reason.value,
            "detail": first.detail,
            "document": first.document,
        },
        "error": where.reading.error,
        "last_cycle_at": iso(record.last_read_at) if record else None,
        "parts": [asdict(part) for part in account.parts],
        "zones": [asdict(zone) for zone in account.zones],
    }


def _decides(fate: Fate) -> dict[str, object] | None:
    """Return which copy decides about an occurrence, and why; None if none is there."""
    if fate.seen is None:
        return None
    occurrence, other = fate.seen.occurrence, fate.seen.told_off
    return {
        "source": occurrence.source,
        "document": occurrence.document,
        "line": occurrence.line,
        "why": fate.seen.why or "It is the only copy.",
        "told_off_by": {"source": other.source, "document": other.document} if other is not None else None,
    }


def _suggestions(asked: str, examined: Examination, ledger: Ledger) -> Iterator[Suggestion]:
    """UIDs that may have been meant: other spelling, a reservation id, a topic, then what looks alike."""
    occurrences = [w.occurrence for w in examined.grounds.wish.witnessed]
    bookings = ledger.bookings.all()
    known = {uid for reading in examined.readings.values() for uid in reading.presence}
    known |= {booking.key.uid for booking in bookings}
    found: dict[str, Suggestion] = {}
    text = asked.strip().casefold()
    for uid in sorted(known):
        if uid.strip().casefold() == text:
            found[uid] = Suggestion(uid, "the same but for upper and lower case or blanks")
    for booking in bookings:
        if booking.reservation_id == asked.strip():
            found.setdefault(booking.key.uid, Suggestion(booking.key.uid, "it has that reservation id"))
    for uid in _with_topic(text, occurrences):
        found.setdefault(uid, Suggestion(uid, "its topic holds that text"))
    if not found:
        alike = sorted(uid for uid in known if text in uid.casefold())
        for uid in (*alike, *difflib.get_close_matches(asked.strip(), known, n=_FEW, cutoff=0.6)):
            found.setdefault(uid, Suggestion(uid, "its UID looks alike"))
    yield from list(found.values())[:_FEW]


def _with_topic(text: str, occurrences: Iterable[Occurrence]) -> Iterator[str]:
    if len(text) < 3:
        return
    for occurrence in occurrences:
        if text in topic_of(occurrence).casefold():
            yield occurrence.key.uid
