"""What was done, by syncd, in Tuya and by persons, as one list and its JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from syncd.core.acknowledged import Acknowledgement
from syncd.core.resolve import named
from syncd.ledger import Approval, HistoryEntry, Ledger
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
        *_acknowledged(ledger),
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


def _acknowledged(ledger: Ledger) -> Iterator[Step]:
    for seen in ledger.people.acknowledgements():
        yield _seen(ledger, seen)


def _seen(ledger: Ledger, seen: Acknowledgement) -> Step:
    """Return that a person has seen what is wrong with an event, with what is known of it."""
    entry = HistoryEntry(
        at=seen.at,
        what="acknowledged",
        detail="It counts for nothing until the event changes.",
        by=seen.acknowledged_by,
    )
    bookings = ledger.bookings.of(*_uids_in(seen.subject))
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
    for quarantined in ledger.sources.quarantine():
        defect = quarantined.defect
        if defect.uid == seen.subject:
            known = replace(entry, source=quarantined.source)
            return Step(
                known, uid=defect.uid, topic=defect.topic, document=defect.document
            )
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
