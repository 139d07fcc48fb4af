"""Who comes: invitations, sign-in, and the daily report over all meetings.

API pages "Meeting Invitation", "Attendance" and "Daily Report".
Ids of invitations and sign-ins are JSON numbers, as the pages print them: careless clients lose digits.
The report counts a seized slot as reuse of released time; the pages do not define its columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from syncd.sandbox.call import ILLEGAL, STATE_FORBIDS, ApiError, Call, Json, Operation
from syncd.sandbox.reservations import find
from syncd.sandbox.store import AWAITING_APPROVAL, NORMAL, StoredReservation

_ONE: Final = "/v2.0/iot-03/meeting-reservations/{reservation_id}"
_MINUTE_MS: Final = 60_000


def _invite(call: Call) -> Json:
    body = call.body
    participant = body.need("participant_id", body.identifier)
    status = body.need("status", body.one_of("accept", "reject"))
    reservation_id = str(find(call).reservation_id)
    invitation_id = _invitation_id(call, reservation_id, participant)
    invitation = {
        "id": invitation_id,
        "of": participant,
        "status": status,
    }
    call.store.put("invitation", str(invitation_id), invitation, parent=reservation_id)
    return invitation_id


def _invitation_id(call: Call, reservation_id: str, participant: str) -> int:
    """Return the id of a person's invitation to a meeting, a new one if there was none."""
    for invitation in call.store.all("invitation", parent=reservation_id):
        if invitation["of"] == participant:
            known: int = invitation["id"]
            return known
    return call.store.mint(call.now)


def _invitations(call: Call) -> Json:
    reservation_id = find(call).reservation_id
    participant = call.query.text("participant_id")
    status = call.query.text("status")
    shown: list[Json] = []
    for invitation in call.store.all("invitation", parent=str(reservation_id)):
        if participant is not None and participant != invitation["of"]:
            continue
        if status is not None and status != invitation["status"]:
            continue
        # The page calls this reservation_id "invitation ID", but it is the reservation's, and a Long.
        told = {
            "reservation_id": reservation_id,
            "participant_id": invitation["of"],
            "status": invitation["status"],
        }
        shown.append(told)
    return call.paged(shown)


def _sign_in(call: Call) -> Json:
    body = call.body
    uid = body.need("uid", body.identifier)
    reservation = find(call)
    if reservation.status not in (NORMAL, AWAITING_APPROVAL):
        raise ApiError(STATE_FORBIDS, "the reservation is cancelled or rejected")
    sign_id = call.store.mint(call.now)
    reservation_id = str(reservation.reservation_id)
    sign = {
        "reservation_id": reservation_id,
        "uid": uid,
        "type": "signIn",
        "sign_time": call.now,
    }
    call.store.put("sign", str(sign_id), sign, parent=reservation_id)
    return sign_id


def _sign_records(call: Call) -> Json:
    read_kind = call.query.one_of("signIn", "signOut")
    kind = read_kind("type")
    reservation_id = str(find(call).reservation_id)
    records = call.store.all("sign", parent=reservation_id)
    if kind:
        records = [record for record in records if record["type"] == kind]
    return call.paged(records)


def _daily_reports(call: Call) -> Json:
    query = call.query
    start = query.need("start_time", query.integer)
    end = query.need("end_time", query.integer)
    if end < start:
        raise ApiError(ILLEGAL, "end_time is before start_time")
    _, meetings = call.store.list_reservations(
        ("start_time >= :start AND start_time < :end", "status = 1"),
        {"start": start, "end": end},
        order="start_time",
        page=(1, -1),
        as_of=None,
    )
    zone = ZoneInfo(call.switches.time_zone)
    days: dict[date, list[StoredReservation]] = {}
    for meeting in meetings:
        begins = datetime.fromtimestamp(meeting.start_time / 1000, zone)
        days.setdefault(begins.date(), []).append(meeting)
    reports = [_report(call, day, days[day]) for day in sorted(days)]
    return call.from_cursor(reports)


def _report(call: Call, day: date, meetings: list[StoredReservation]) -> Json:
    """Return the report of one day, with times in minutes."""
    released = [meeting for meeting in meetings if meeting.ended_by == "release"]
    seized = [meeting for meeting in meetings if meeting.made_by == "seize"]
    total_time = _minutes_of(meetings)
    released_ms = sum(meeting.planned_end - meeting.end_time for meeting in released)
    release_time = released_ms // _MINUTE_MS
    reuse_time = _minutes_of(seized)
    reuse_rate: float = 0
    if release_time:
        reuse_rate = round(reuse_time / release_time, 4)
    participants = 0
    recipients = 0
    signs = 0
    for meeting in meetings:
        participants += len(meeting.participants)
        recipients += len(meeting.cc_participants)
        records = call.store.all("sign", parent=str(meeting.reservation_id))
        signs += len(records)
    return {
        "report_time": int(day.strftime("%Y%m%d")),
        "meeting_total": len(meetings),
        "participants_total": participants,
        "recipient_total": recipients,
        "sign_total": signs,
        "total_time": total_time,
        "release_time": release_time,
        "release_total": len(released),
        "rseize_total": len(seized),
        "rseize_time": reuse_time,
        "reuse_time": reuse_time,
        "reuse_rate": reuse_rate,
    }


def _minutes_of(meetings: Iterable[StoredReservation]) -> int:
    """Return how many minutes meetings last together."""
    milliseconds = sum(meeting.end_time - meeting.start_time for meeting in meetings)
    return milliseconds // _MINUTE_MS


OPERATIONS = (
    Operation("invite", "POST", f"{_ONE}/invitations", _invite),
    Operation("invitations", "GET", f"{_ONE}/invitations", _invitations),
    Operation("sign_in", "POST", f"{_ONE}/actions/sign-in", _sign_in),
    Operation("sign_records", "GET", f"{_ONE}/sign-records", _sign_records),
    Operation(
        "daily_reports",
        "GET",
        "/v1.0/iot-03/meeting-reservations/daily-reports",
        _daily_reports,
    ),
)
