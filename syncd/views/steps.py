"""What was done, by syncd, in Tuya and by persons, as one list and its JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from syncd.core.acknowledged import Acknowledgement
from syncd.core.booking import Booking
from syncd.core.resolve import named
from syncd.ledger import Approval, HistoryEntry, Ledger, Quarantined
from syncd.ledger.history import Step, StepFilter, merged
from syncd.views.documents import iso


def steps_of(
    ledger: Ledger, wanted: StepFilter, latest: int | None = None
) -> tuple[Step, ...]:
    """Return the steps that are asked for, oldest first; of many only the `latest`; raises `LedgerError`.

    What persons approved, decided and acknowledged are steps of their own.
    """
    booked = ledger.history.steps(wanted, latest)
    by_persons = (
        *ledger.history.decided(),
        *map(_approved, ledger.people.approvals()),
        *_acknowledged(ledger, wanted),
    )
    asked_for = [step for step in by_persons if wanted.includes(step)]
    steps = merged(booked, asked_for)
    return steps if latest is None else steps[-latest:]


def _approved(approval: Approval) -> Step:
    entry = HistoryEntry(
        at=approval.at,
        what="approved",
        detail=f"The cancellations that were held under {approval.checksum}.",
        by=approval.approved_by,
    )
    return Step(entry)


def _acknowledged(ledger: Ledger, wanted: StepFilter) -> Iterator[Step]:
    """Yield what persons have seen in the time that is asked for."""
    seen = [
        one for one in ledger.people.acknowledgements() if wanted.includes_time(one.at)
    ]
    if not seen:
        return
    uids: set[str] = set()
    for one in seen:
        uids.update(_uids_in(one.subject))
    bookings: dict[str, list[Booking]] = {}
    for booking in ledger.bookings.of(*uids):
        bookings.setdefault(booking.key.uid, []).append(booking)
    quarantined: dict[str, Quarantined] = {}
    for found in ledger.sources.quarantine():
        quarantined.setdefault(found.defect.uid, found)
    for one in seen:
        of_it: list[Booking] = []
        for uid in _uids_in(one.subject):
            of_it += bookings.get(uid, ())
        yield _seen(one, of_it, quarantined.get(one.subject))


def _seen(
    seen: Acknowledgement, bookings: Sequence[Booking], quarantined: Quarantined | None
) -> Step:
    """Return that a person has seen what is wrong with an event, with what is known of it."""
    entry = HistoryEntry(
        at=seen.at,
        what="acknowledged",
        detail="It counts for nothing until the event changes.",
        by=seen.acknowledged_by,
    )
    for booking in named(seen.subject, bookings):
        spec = booking.spec
        known = replace(entry, source=booking.source)
        return Step(
            known,
            uid=booking.key.uid,
            recurrence_id=booking.key.recurrence_id,
            topic=spec.topic,
            room_id=booking.room_id,
            start=spec.start,
            end=spec.end,
            document=booking.document,
        )
    if quarantined is not None:
        defect = quarantined.defect
        known = replace(entry, source=quarantined.source)
        return Step(known, uid=defect.uid, topic=defect.topic, document=defect.document)
    return Step(entry, uid=seen.subject)


def _uids_in(key: str) -> Iterator[str]:
    """Yield the UIDs that a KEY may begin with."""
    parts = key.split("/")
    for number in range(1, len(parts) + 1):
        yield "/".join(parts[:number])


def history_document(steps: Iterable[Step]) -> dict[str, object]:
    """Return the document of `history --json`."""
    return {"history": [_step(step) for step in steps]}


def _step(step: Step) -> dict[str, object]:
    return {
        **entry_document(step.entry),
        "uid": step.uid,
        "recurrence_id": step.recurrence_id,
        "topic": step.topic,
        "room_id": step.room_id,
        "start": iso(step.start),
        "end": iso(step.end),
        "reservation_id": step.reservation_id,
        "document": step.document,
    }


def entry_document(entry: HistoryEntry) -> dict[str, object]:
    """Return one step in the life of a booking, without what it is about."""
    return {
        "at": iso(entry.at),
        "what": entry.what,
        "detail": entry.detail,
        "source": entry.source,
        "reason": entry.reason.value if entry.reason else None,
        "evidence": entry.evidence.value if entry.evidence else None,
        "by": entry.by,
    }
