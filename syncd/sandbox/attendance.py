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


def _invite(call: Call) -> Json:
    participant = call.body.need("participant_id", call.body.identifier)
    status = call.body.need("status", call.body.one_of("accept", "reject"))
    reservation_id = find(call).reservation_id
    invitations = call.store.all("invitation", parent=str(reservation_id))
    known = [
        invitation for invitation in invitations if invitation["of"] == participant
    ]
    invitation_id: int = known[0]["id"] if known else call.store.mint(call.now)
    invitation = {"id": invitation_id, "of": participant, "status": status}
    call.store.put(
        "invitation", str(invitation_id), invitation, parent=str(reservation_id)
    )
    return invitation_id


def _invitations(call: Call) -> Json:
    reservation_id = find(call).reservation_id
    participant = call.query.text("participant_id")
    status = call.query.text("status")
    found = call.store.all("invitation", parent=str(reservation_id))
    found = [
        invitation for invitation in found if participant in (None, invitation["of"])
    ]
    found = [
        invitation for invitation in found if status in (None, invitation["status"])
    ]
    shown = [
        # The page calls this reservation_id "invitation ID", but it is the reservation's, and a Long.
        {
            "reservation_id": reservation_id,
            "participant_id": one["of"],
            "status": one["status"],
        }
        for one in found
    ]
    return call.paged(shown)


def _sign_in(call: Call) -> Json:
    uid = call.body.need("uid", call.body.identifier)
    reservation = find(call)
    if reservation.status not in (NORMAL, AWAITING_APPROVAL):
        raise ApiError(STATE_FORBIDS, "the reservation is cancelled or rejected")
    sign_id = call.store.mint(call.now)
    sign = {
        "reservation_id": str(reservation.reservation_id),
        "uid": uid,
        "type": "signIn",
        "sign_time": call.now,
    }
    call.store.put("sign", str(sign_id), sign, parent=str(reservation.reservation_id))
    return sign_id


def _sign_records(call: Call) -> Json:
    kind = call.query.one_of("signIn", "signOut")("type")
    records = call.store.all("sign", parent=str(find(call).reservation_id))
    shown = [record for record in records if kind in (None, "", record["type"])]
    return call.paged(shown)


def _daily_reports(call: Call) -> Json:
    start = call.query.need("start_time", call.query.integer)
    end = call.query.need("end_time", call.query.integer)
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
    release_time = _minutes(
        meeting.planned_end - meeting.end_time for meeting in released
    )
    reuse_time = _minutes(meeting.end_time - meeting.start_time for meeting in seized)
    reuse_rate = round(reuse_time / release_time, 4) if release_time else 0
    signs = [
        call.store.all("sign", parent=str(meeting.reservation_id))
        for meeting in meetings
    ]
    return {
        "report_time": int(day.strftime("%Y%m%d")),
        "meeting_total": len(meetings),
        "participants_total": sum(len(meeting.participants) for meeting in meetings),
        "recipient_total": sum(len(meeting.cc_participants) for meeting in meetings),
        "sign_total": sum(map(len, signs)),
        "total_time": _minutes(
            meeting.end_time - meeting.start_time for meeting in meetings
        ),
        "release_time": release_time,
        "release_total": len(released),
        "rseize_total": len(seized),
        "rseize_time": reuse_time,
        "reuse_time": reuse_time,
        "reuse_rate": reuse_rate,
    }


def _minutes(milliseconds: Iterable[int]) -> int:
    return sum(milliseconds) // 60_000


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
