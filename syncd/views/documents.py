"""What commands say to programs: the JSON documents of the contract.

Documents are plain JSON values with fixed names; new keys may be added, none is renamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from syncd.apply import Oddity, leftovers, standing
from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Cancel, Change, Create, Hold, Plan, Skip, Update, Wait
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.reasons import REFUSALS, Note, Reason
from syncd.ledger import Ledger
from syncd.ledger.facts import HELD, Held
from syncd.reconciler import Adoption, CycleReport, clock_told, forecast, last_missing
from syncd.tuya import payload

OVER = frozenset({BookingState.ENDED, BookingState.CANCELLED})
"""States that need nobody's attention any more."""


def iso(moment: datetime | None) -> str | None:
    """An instant as the documents write it: UTC, to the second."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def plan_document(
    plan: Plan, *, instance: str, marker: bool, oddities: Iterable[Oddity] = ()
) -> dict[str, object]:
    """The document of `plan --json`."""
    changes = [change_document(change, instance, marker) for change in plan.changes]
    counts = dict.fromkeys(("create", "update", "cancel", "hold", "wait", "skip"), 0)
    for change in changes:
        counts[str(change["action"])] += 1
    return {
        "checksum": plan.checksum,
        "mode": plan.mode.value,
        "changes": changes,
        "held": {"checksum": plan.held_checksum, "cancellations": len(plan.held)},
        "counts": {**counts, "unchanged": plan.unchanged},
        "rekeyed": plan.rekeyed,
        "oddities": [oddity.document() for oddity in oddities],
    }


def change_document(change: Change, instance: str, marker: bool) -> dict[str, object]:
    """One row of `plan --json`."""
    match change:
        case Create(meeting=meeting, generation=generation):
            mark = Mark.of(instance, meeting.key, generation) if marker else None
            return {**_meeting(change, "create", meeting), "payload": payload(meeting.spec, mark)}
        case Update(meeting=meeting, booking=booking):
            mark = Mark.find(booking.mark) if booking.mark else None
            return {
                **_meeting(change, "update", meeting),
                "reservation_id": booking.reservation_id,
                "payload": payload(meeting.spec, mark, modifier=meeting.spec.creator),
                "changed": list(change.changed),
            }
        case Wait(meeting=meeting, booking=booking):
            return {
                **_meeting(change, "wait", meeting),
                "reservation_id": booking.reservation_id if booking else None,
            }
        case Cancel(booking=booking):
            return {**_booking(change, "cancel", booking), "evidence": change.evidence.value}
        case Hold(booking=booking):
            return {**_booking(change, "hold", booking), "approvable": change.approvable}
        case Skip():
            return {
                **_row(change, "skip", change.key.uid, change.key.recurrence_id),
                "room_id": change.room_id,
                "source": change.source,
                "reservation_id": change.reservation_id,
                "topic": change.topic,
                "start": iso(change.span.start if change.span else None),
                "end": iso(change.span.end if change.span else None),
                "notes": _notes(change.notes),
            }


def _row(change: Change, action: str, uid: str, recurrence_id: str | None) -> dict[str, object]:
    return {
        "action": action,
        "uid": uid,
        "recurrence_id": recurrence_id,
        "room_id": None,
        "source": "",
        "reason": change.reason.value,
        "detail": change.detail,
        "reservation_id": None,
        "topic": "",
        "start": None,
        "end": None,
        "payload": None,
        "changed": [],
    }


def _meeting(change: Change, action: str, meeting: Meeting) -> dict[str, object]:
    return {
        **_row(change, action, meeting.key.uid, meeting.key.recurrence_id),
        "room_id": meeting.spec.room_id,
        "source": meeting.occurrence.source,
        "topic": meeting.spec.topic,
        "start": iso(meeting.spec.start),
        "end": iso(meeting.spec.end),
        "notes": _notes(meeting.notes),
    }


def _notes(notes: Iterable[Note]) -> list[dict[str, str]]:
    return [{"reason": note.reason.value, "detail": note.detail} for note in notes]


def _booking(change: Change, action: str, booking: Booking) -> dict[str, object]:
    return {
        **_row(change, action, booking.key.uid, booking.key.recurrence_id),
        "room_id": booking.room_id,
        "source": booking.source,
        "reservation_id": booking.reservation_id,
        "topic": booking.spec.topic,
        "start": iso(booking.spec.start),
        "end": iso(booking.spec.end),
    }


def cycle_document(report: CycleReport) -> dict[str, object]:
    """The document of `once --json`."""
    return {
        "outcome": report.outcome,
        "counts": dict(report.counts),
        "sources": [
            {
                "name": s.name,
                "state": s.state,
                "events": s.events,
                "error": s.error,
                "notes": list(s.notes),
            }
            for s in report.sources
        ],
        "calls": dict(report.calls),
        "seconds": report.seconds,
        "oddities": [oddity.document() for oddity in report.oddities],
        "error": report.error,
        "interrupted": report.interrupted,
        "clock": report.clock,
    }


def status_document(
    ledger: Ledger, *, mode: str, configured: Iterable[str], monthly_calls: int, now: datetime
) -> dict[str, object]:
    """The document of `status --json`: what the ledger knows, without asking anybody."""
    records = ledger.sources.all()
    used = ledger.calls.in_month(now)
    strays, duplicates = leftovers(ledger.facts)
    held = ledger.facts.get(HELD) or Held()
    sources = []
    for name in configured:
        record = records.get(name)
        sources.append(
            {
                "name": name,
                "state": record.state if record else "unread",
                "last_read_at": iso(record.last_read_at) if record else None,
                "last_ok_at": iso(record.last_ok_at) if record else None,
                "events": record.events if record else 0,
                "quarantined": record.quarantined if record else 0,
                "error": record.error if record else None,
                "next_run_at": iso(record.next_run_at) if record else None,
            }
        )
    known = ledger.bookings.all()
    bookings = [booking_document(booking) for booking in known]
    clock, clock_wrong = clock_told(ledger.facts)
    return {
        "bookings": bookings,
        "in_doubt": sum(bool(booking["in_doubt"]) for booking in bookings),
        "vanished": sum(booking.is_vanished for booking in known),
        "sources": sources,
        "held": {"checksum": held.checksum, "cancellations": held.cancellations},
        "missing_files": last_missing(ledger.facts),
        "calls_this_month": used,
        "calls_forecast": forecast(used, now),
        "monthly_calls": monthly_calls,
        "leftovers": {"strays": strays, "duplicates": duplicates},
        "oddities": [oddity.document() for oddity in standing(ledger.facts, known)],
        "mode": mode,
        "clock": clock or None,
        "clock_wrong": clock_wrong,
    }


def needs_attention(document: dict[str, object]) -> bool:
    """Whether a status document holds something for a person."""
    bookings, sources, held = document["bookings"], document["sources"], document["held"]
    assert isinstance(bookings, list)
    assert isinstance(sources, list)
    assert isinstance(held, dict)
    return (
        bool(held["checksum"])
        or bool(document["oddities"])
        or bool(document["clock_wrong"])
        or bool(document["vanished"])
        or any(_is_open(b) for b in bookings if b["state"] not in OVER)
        or any(s["error"] or s["quarantined"] for s in sources)
    )


def _is_open(booking: dict[str, object]) -> bool:
    """Whether a booking of a document waits for a person, or for what is to be found out."""
    if booking["in_doubt"] or booking["reason"] in REFUSALS:
        return True
    return booking["state"] == BookingState.REFUSED and booking["reason"] != Reason.DROPPED


def booking_document(booking: Booking) -> dict[str, object]:
    """One booking as `status --json` lists it."""
    spec = booking.spec
    return {
        "uid": booking.key.uid,
        "recurrence_id": booking.key.recurrence_id,
        "room_id": booking.room_id,
        "source": booking.source,
        "state": booking.state.value,
        "reservation_id": booking.reservation_id,
        "topic": spec.topic,
        "start": iso(spec.start),
        "end": iso(spec.end),
        "reason": booking.reason.value if booking.reason else None,
        "detail": booking.detail,
        "updated_at": iso(booking.updated_at),
        "in_doubt": booking.in_doubt,
    }


def adoption_document(adoption: Adoption, *, applied: bool) -> dict[str, object]:
    """The document of `adopt --json`."""
    return {
        "applied": applied,
        "adopted": [booking_document(booking) for booking in adoption.adopted],
        "duplicates": adoption.duplicates,
        "strays": [
            {"reservation_id": s.reservation_id, "topic": s.topic, "start": iso(s.start), "end": iso(s.end)}
            for s in adoption.strays
        ],
        "sources": [{"name": s.name, "error": s.error} for s in adoption.unreadable],
        "oddities": [oddity.document() for oddity in adoption.oddities],
    }
