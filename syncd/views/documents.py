"""What commands say to programs: the JSON documents of the contract.

Documents are plain JSON values with fixed names; new keys may be added, none is renamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from syncd.config import Config
from syncd.core.booking import Booking
from syncd.core.by_content import ByContent
from syncd.core.changes import Cancel, Change, Create, Hold, Skip, Update, Wait
from syncd.core.foreseen import Holder
from syncd.core.mark import Mark
from syncd.core.meeting import Meeting
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Note, Reason
from syncd.core.reservation import Reservation
from syncd.ledger.operation import ApiTrouble, CycleRecord, DaemonRecord
from syncd.reconciler import Adoption, CycleReport, Preview, SourceReport
from syncd.tuya import payload
from syncd.views.concerns import Concern
from syncd.views.members import LeaseStatus, MemberStatus
from syncd.views.plan_words import PlanWords, held_on
from syncd.views.status import SourceStatus, Status


def iso(moment: datetime | None) -> str | None:
    """Return an instant as the documents write it: UTC, to the second."""
    if moment is None:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def plan_document(
    preview: Preview, config: Config, *, only_held: bool = False
) -> dict[str, object]:
    """Return the document of `plan --json`; `only_held`: of its changes those that wait for an approval."""
    plan = preview.plan
    names = PlanWords.of(config)
    reservation = config.reservation
    changes: list[dict[str, object]] = []
    for index, change in enumerate(plan.changes):
        row = change_document(change, reservation.instance, reservation.marker)
        holder = preview.refusals.get(index)
        changes.append({**row, **_told(change, holder, names)})
    counts = dict.fromkeys(("create", "update", "cancel", "hold", "wait", "skip"), 0)
    for row in changes:
        counts[str(row["action"])] += 1
    counts["unchanged"] = plan.unchanged
    counts["refused"] = len(preview.refusals)
    if only_held:
        changes = [row for row in changes if row.get("approvable")]
    return {
        "checksum": plan.checksum,
        "mode": plan.mode.value,
        "changes": changes,
        "held": {
            "checksum": plan.held_checksum,
            "cancellations": len(plan.held),
        },
        "counts": counts,
        "rekeyed": plan.rekeyed,
        "oddities": [oddity.document() for oddity in preview.oddities],
    }


def _told(change: Change, holder: Holder | None, names: PlanWords) -> dict[str, object]:
    """Return what the plan as a whole says of a change: what differs, and that it will be refused.

    A request that another meeting of ours keeps from being done comes to what a meeting that waits for a room
    is; its payload is what will be sent.
    """
    told: dict[str, object] = {}
    if isinstance(change, Update):
        differences = names.differences(change)
        told["differences"] = [asdict(difference) for difference in differences]
        told["detail"] = change.detail or "; ".join(map(str, differences))
    if isinstance(change, Hold) and change.approvable:
        told["evidence"] = held_on(change).value
    if holder is not None:
        told["action"] = "wait"
        told["reason"] = Reason.ROOM_CONFLICT.value
        told["detail"] = names.refused(holder)
        told["will_be_refused"] = True
        told["held_by"] = holder.key.uid
    return told


def change_document(change: Change, instance: str, marker: bool) -> dict[str, object]:
    """Return one row of `plan --json`; with `marker` the payload of a create carries its mark."""
    match change:
        case Create(meeting=meeting, generation=generation):
            mark = None
            if marker:
                mark = Mark.of(instance, meeting.key, generation)
            return {
                **_meeting(change, "create", meeting),
                "payload": payload(meeting.spec, mark),
            }
        case Update(meeting=meeting, booking=booking):
            spec = meeting.spec
            mark = Mark.find(booking.mark) if booking.mark else None
            return {
                **_meeting(change, "update", meeting),
                "reservation_id": booking.reservation_id,
                "payload": payload(spec, mark, modifier=spec.creator),
                "changed": list(change.changed),
            }
        case Wait(meeting=meeting, booking=booking):
            reservation_id = booking.reservation_id if booking else None
            return {
                **_meeting(change, "wait", meeting),
                "reservation_id": reservation_id,
            }
        case Cancel(booking=booking):
            return {
                **_booking(change, "cancel", booking),
                "evidence": change.evidence.value,
            }
        case Hold(booking=booking):
            return {
                **_booking(change, "hold", booking),
                "approvable": change.approvable,
            }
        case Skip():
            return _skip(change)


def _row(change: Change, action: str, key: OccurrenceKey) -> dict[str, object]:
    """Return a row with all its keys, and the values that every change has."""
    return {
        "action": action,
        "uid": key.uid,
        "recurrence_id": key.recurrence_id,
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
    spec = meeting.spec
    return {
        **_row(change, action, meeting.key),
        "room_id": spec.room_id,
        "source": meeting.occurrence.source,
        "topic": spec.topic,
        "start": iso(spec.start),
        "end": iso(spec.end),
        "notes": notes_document(meeting.notes),
    }


def notes_document(notes: Iterable[Note]) -> list[dict[str, str]]:
    """Return what is to be said besides about a meeting."""
    return [{"reason": note.reason.value, "detail": note.detail} for note in notes]


def _booking(change: Change, action: str, booking: Booking) -> dict[str, object]:
    spec = booking.spec
    return {
        **_row(change, action, booking.key),
        "room_id": booking.room_id,
        "source": booking.source,
        "reservation_id": booking.reservation_id,
        "topic": spec.topic,
        "start": iso(spec.start),
        "end": iso(spec.end),
    }


def _skip(change: Skip) -> dict[str, object]:
    row = {
        **_row(change, "skip", change.key),
        "room_id": change.room_id,
        "source": change.source,
        "reservation_id": change.reservation_id,
        "topic": change.topic,
        "notes": notes_document(change.notes),
    }
    if change.span is not None:
        row["start"] = iso(change.span.start)
        row["end"] = iso(change.span.end)
    return row


def cycle_document(report: CycleReport) -> dict[str, object]:
    """Return the document of `once --json`."""
    return {
        "outcome": report.outcome,
        "counts": dict(report.counts),
        "sources": [_source_report(source) for source in report.sources],
        "calls": dict(report.calls),
        "seconds": report.seconds,
        "oddities": [oddity.document() for oddity in report.oddities],
        "error": report.error,
        "interrupted": report.interrupted,
        "clock": report.clock,
    }


def _source_report(source: SourceReport) -> dict[str, object]:
    return {
        "name": source.name,
        "state": source.state,
        "events": source.events,
        "error": source.error,
        "notes": list(source.notes),
    }


def status_document(status: Status) -> dict[str, object]:
    """Return the document of `status --json`."""
    held = status.held
    return {
        "as_of": iso(status.now),
        "running": status.is_running,
        "daemon": _daemon(status.daemon),
        "members": [_member(member) for member in status.sharing.members],
        "lease": _lease(status.sharing.lease),
        "last_cycle": _cycle(status.last_cycle),
        "api": _api(status.api_trouble),
        "needs_attention": status.needs_attention,
        "concerns": [concern_document(concern) for concern in status.concerns],
        "acknowledged": [concern_document(concern) for concern in status.seen],
        "bookings": [booking_document(booking) for booking in status.bookings or ()],
        "counts": {state.value: number for state, number in status.counts.items()},
        "in_doubt": status.in_doubt,
        "vanished": status.vanished,
        "sources": [source_document(source) for source in status.sources],
        "held": {
            "checksum": held.checksum,
            "cancellations": held.cancellations,
        },
        "missing_files": status.missing_files,
        "calls_this_month": status.calls_this_month,
        "calls_forecast": status.calls_forecast,
        "monthly_calls": status.monthly_calls,
        "leftovers": {
            "strays": status.strays,
            "duplicates": status.duplicates,
        },
        "oddities": [oddity.document() for oddity in status.oddities],
        "mode": status.mode,
        "clock": status.clock or None,
        "clock_wrong": status.clock_wrong,
    }


def _daemon(daemon: DaemonRecord | None) -> dict[str, object] | None:
    if daemon is None:
        return None
    return {
        "name": daemon.name,
        "pid": daemon.pid,
        "version": daemon.version,
        "configuration": daemon.configuration,
        "started_at": iso(daemon.started_at),
        "beat_at": iso(daemon.beat_at),
        "stopped_at": iso(daemon.stopped_at),
    }


def _member(member: MemberStatus) -> dict[str, object]:
    return {
        "name": member.name,
        "holder": member.holder,
        "version": member.version,
        "configuration": member.configuration,
        "basis": member.basis,
        "reads": member.reads,
        "beat_at": iso(member.beat_at),
        "lives": member.lives,
        "writer": member.is_writer,
    }


def _lease(lease: LeaseStatus | None) -> dict[str, object] | None:
    if lease is None:
        return None
    return {
        "daemon": lease.daemon,
        "epoch": lease.epoch,
        "term": lease.term,
        "expires_in": round(lease.expires_in_s, 1),
    }


def _cycle(cycle: CycleRecord | None) -> dict[str, object] | None:
    if cycle is None:
        return None
    return {
        "ended_at": iso(cycle.ended_at),
        "seconds": cycle.seconds,
        "outcome": cycle.outcome,
        "counts": dict(cycle.counts),
        "calls": cycle.calls,
        "error": cycle.error,
    }


def _api(trouble: ApiTrouble | None) -> dict[str, object]:
    if trouble is None:
        return {"usable": True, "error": None, "since": None, "next_try_at": None}
    return {
        "usable": False,
        "error": trouble.sentence,
        "since": iso(trouble.since),
        "next_try_at": iso(trouble.next_try_at),
    }


def concern_document(concern: Concern) -> dict[str, object]:
    """Return one thing that needs a person, with the command to type."""
    return {
        "kind": concern.kind.value,
        "title": concern.title,
        "detail": concern.detail,
        "command": concern.command,
        "since": iso(concern.since),
        "key": concern.key,
        "uid": concern.uid,
        "source": concern.source,
        "document": concern.document,
        "line": concern.line,
        "room_id": concern.room_id,
        "start": iso(concern.start),
        "end": iso(concern.end),
        "reason": concern.reason or None,
        "critical": concern.is_critical,
        "acknowledged_by": concern.seen_by,
        "acknowledged_at": iso(concern.seen_at),
    }


def source_document(source: SourceStatus) -> dict[str, object]:
    """Return how a source stands, as `status --json` lists it; with its daemon where there are several."""
    shared = {"daemon": source.daemon} if source.daemon else {}
    return {
        **shared,
        "name": source.name,
        "state": source.state,
        "last_read_at": iso(source.last_read_at),
        "last_ok_at": iso(source.last_ok_at),
        "events": source.events,
        "quarantined": source.quarantined,
        "failures": source.failures,
        "failing_since": iso(source.failing_since),
        "error": source.error,
        "next_run_at": iso(source.next_run_at),
    }


def booking_document(booking: Booking) -> dict[str, object]:
    """Return one booking as `status --json` lists it."""
    spec = booking.spec
    reason = booking.reason.value if booking.reason else None
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
        "reason": reason,
        "detail": booking.detail,
        "updated_at": iso(booking.updated_at),
        "in_doubt": booking.in_doubt,
    }


def adoption_document(adoption: Adoption, *, applied: bool) -> dict[str, object]:
    """Return the document of `adopt --json`."""
    adopted = [{**booking_document(b), "by": "mark"} for b in adoption.adopted]
    adopted += [{**booking_document(b), "by": "content"} for b in adoption.taken_over]
    document: dict[str, object] = {
        "applied": applied,
        "adopted": adopted,
        "duplicates": adoption.duplicates,
        "strays": [_stray(reservation) for reservation in adoption.strays],
        "sources": [
            {"name": source.name, "error": source.error}
            for source in adoption.unreadable
        ],
        "oddities": [oddity.document() for oddity in adoption.oddities],
        "listed": adoption.listed,
        "known": adoption.known,
    }
    if adoption.hand_made is not None:
        document |= _hand_made(adoption.hand_made)
    return document


def _hand_made(found: ByContent) -> dict[str, object]:
    """Return what of `adopt --by-content` is left to people."""
    ambiguous = [
        {
            "meetings": [_named_meeting(meeting) for meeting in group.meetings],
            "reservations": [_stray(there) for there in group.reservations],
        }
        for group in found.ambiguous
    ]
    unmatched: list[dict[str, object]] = []
    for there in found.unmatched:
        barred = found.in_the_way.get(there.reservation_id, ())
        in_the_way_of = [_named_meeting(meeting) for meeting in barred]
        unmatched.append({**_stray(there), "in_the_way_of": in_the_way_of})
    return {"ambiguous": ambiguous, "unmatched": unmatched}


def _named_meeting(meeting: Meeting) -> dict[str, object]:
    spec = meeting.spec
    return {
        "uid": meeting.key.uid,
        "recurrence_id": meeting.key.recurrence_id,
        "room_id": spec.room_id,
        "source": meeting.occurrence.source,
        "topic": spec.topic,
        "start": iso(spec.start),
        "end": iso(spec.end),
    }


def _stray(reservation: Reservation) -> dict[str, object]:
    return {
        "reservation_id": reservation.reservation_id,
        "topic": reservation.topic,
        "start": iso(reservation.start),
        "end": iso(reservation.end),
    }
