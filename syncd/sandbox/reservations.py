"""Meetings: add, modify, cancel, end, and every way to read them.

API pages "Add Meeting Reservation" to "Add Participant", and "Preempt Meeting Room".
A room belongs to one meeting at a time: those of status 1 and 2 hold it, from their start up to their end.
What the pages leave open is decided by `switches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from syncd.sandbox.approvals import close_approvals, needs_approval, open_approval
from syncd.sandbox.call import (
    DENIED,
    ILLEGAL,
    NOT_FOUND,
    OUT_OF_RANGE,
    ROOM_CLOSED,
    ROOM_TAKEN,
    STATE_FORBIDS,
    USER_UNKNOWN,
    ApiError,
    Call,
    Json,
    Operation,
    page_of,
)
from syncd.sandbox.rules import check_rules
from syncd.sandbox.store import (
    AWAITING_APPROVAL,
    CANCELLED,
    NORMAL,
    REJECTED,
    StoredReservation,
    clock,
)
from syncd.sandbox.switches import ListWindow, Match, Omitted, Order, Repeat

MAX_DESCRIPTION: Final = 256
_STATUSES: Final = ("1", "2", "3", "4")
_STEM: Final = "/v2.0/iot-03/meeting-reservations"

_WINDOWS: Final = {
    ListWindow.START: ("start_time >= :start", "start_time < :end"),
    ListWindow.OVERLAP: (
        "start_time < :end",
        "end_time > :start",
        "start_time >= :start - :longest",
    ),
    ListWindow.CONTAINMENT: (
        "start_time >= :start",
        "start_time < :end",
        "end_time <= :end",
    ),
}
_ORDERS: Final = {
    Order.START: "start_time, reservation_id",
    Order.START_DESCENDING: "start_time DESC, reservation_id DESC",
    Order.CREATED: "gmt_create, reservation_id",
    Order.CREATED_DESCENDING: "gmt_create DESC, reservation_id DESC",
}


def as_answer(reservation: StoredReservation) -> dict[str, Json]:
    """Return a meeting as the API shows it, without `notice_time` if that was never given."""
    shown: dict[str, Json] = {
        "reservation_id": str(reservation.reservation_id),
        "topic": reservation.topic,
        "start_time": reservation.start_time,
        "end_time": reservation.end_time,
        "status": reservation.status,
        "room_id": reservation.room_id,
        "participants": list(reservation.participants),
        "cc_participants": list(reservation.cc_participants),
        "notice": reservation.notice,
        "notice_time": reservation.notice_time,
        "description": reservation.description,
        "creator": reservation.creator,
        "modifier": reservation.modifier,
        "gmt_create": reservation.gmt_create,
        "gmt_modified": reservation.gmt_modified,
        "attachments": list(reservation.attachments),
    }
    if reservation.notice_time is None:
        del shown["notice_time"]
    return shown


def find(call: Call) -> StoredReservation:
    """Return the meeting that the path names; raise `ApiError` if there is none."""
    found = call.store.reservation(call.path["reservation_id"], call.as_of)
    if found is None:
        raise ApiError(NOT_FOUND, "the reservation does not exist")
    return found


def release_unused(call: Call, minutes: int) -> None:
    """End each meeting that nobody signed in to `minutes` after its start."""
    grace_ms = minutes * 60_000
    for reservation in call.store.unused_since(call.now - grace_ms):
        ends_at = reservation.start_time + grace_ms
        released = reservation.ended(ends_at, "release", call.now)
        call.store.save(released)


def _content(call: Call) -> dict[str, Any]:
    """Return the fields that adding and modifying share; leave out optional ones that are absent."""
    body = call.body
    content: dict[str, Any] = {
        "topic": body.need("topic", body.text),
        "start_time": body.need("start_time", body.integer),
        "end_time": body.need("end_time", body.integer),
        "participants": tuple(body.need("participants", body.texts)),
        "notice": body.need("notice", body.flag),
    }
    start = content["start_time"]
    end = content["end_time"]
    if not 0 <= start < end < 10**13:
        raise ApiError(
            ILLEGAL,
            "start_time and end_time are 13-digit times, and the end is after the start",
        )
    optional: dict[str, Any] = {
        "room_id": body.identifier("meeting_room_id"),
        "cc_participants": body.texts("cc_participants"),
        "notice_time": body.integer("notice_time"),
        "description": body.within(MAX_DESCRIPTION)("description"),
        "creator": body.identifier("creator") or None,
        "attachments": _attachments(call),
    }
    for name, value in optional.items():
        if value is not None:
            content[name] = tuple(value) if isinstance(value, list) else value
    notice_time = content.get("notice_time", 0)
    if notice_time < 0:
        raise ApiError(OUT_OF_RANGE, "parameter notice_time is negative")
    return content


_CLEARED: Final[dict[str, Any]] = {
    "room_id": "",
    "cc_participants": (),
    "notice_time": None,
    "description": "",
    "attachments": (),
}


def _attachments(call: Call) -> list[dict[str, str]] | None:
    objects = call.body.objects("attachments")
    if objects is None:
        return None
    _check_number(call, objects)
    attachments: list[dict[str, str]] = []
    for fields in objects:
        attachment: dict[str, str] = {}
        for name in ("name", "url", "size", "type"):
            text = fields.text(name)
            if text is not None:
                attachment[name] = text
        attachments.append(attachment)
    return attachments


def _check_number(call: Call, attachments: Sequence[object]) -> None:
    """Raise `ApiError` for more attachments than a meeting may have."""
    most = call.switches.max_attachments
    if len(attachments) > most:
        raise ApiError(OUT_OF_RANGE, f"more than {most} attachments")


def _check(call: Call, wanted: StoredReservation) -> None:
    """Refuse a meeting that may not be, whether it is new or modified."""
    if not call.switches.unknown_users:
        uids = (*wanted.participants, *wanted.cc_participants, wanted.creator)
        for uid in uids:
            if call.store.get("user", uid) is None:
                raise ApiError(USER_UNKNOWN, "a user does not exist")
    check_rules(call, wanted.room_id, wanted.start_time, wanted.end_time)
    if wanted.room_id:
        _check_room(call, wanted)


def _check_room(call: Call, wanted: StoredReservation) -> None:
    """Refuse a meeting in a room that does not exist, is closed, is not for its creator, or is taken."""
    room = call.store.get("room", wanted.room_id)
    if room is None:
        if not call.switches.unknown_rooms:
            raise ApiError(NOT_FOUND, "the meeting room does not exist")
    elif room["room_status"] == "stop":
        raise ApiError(ROOM_CLOSED, "the meeting room is closed")
    elif room["range_type"] == "personnel" and wanted.creator not in room["range_ids"]:
        raise ApiError(DENIED, "the creator may not book this meeting room")
    if _others(call, wanted):
        raise ApiError(ROOM_TAKEN, "the meeting room is taken at this time")


def _others(call: Call, wanted: StoredReservation) -> list[StoredReservation]:
    holders = call.store.holders(
        wanted.room_id,
        wanted.start_time,
        wanted.end_time,
        touching=call.switches.touching_conflicts,
    )
    own_id = wanted.reservation_id
    return [holder for holder in holders if holder.reservation_id != own_id]


def _wanted(call: Call) -> StoredReservation:
    """Return the new meeting that the body asks for; raise `ApiError`."""
    body = call.body
    creator = body.need("creator", body.identifier)
    content = {**_CLEARED, **_content(call)}
    return StoredReservation(
        reservation_id=call.store.mint(call.now),
        status=NORMAL,
        modifier=creator,
        gmt_create=call.now,
        gmt_modified=call.now,
        planned_end=content["end_time"],
        **content,
    )


def _add(call: Call) -> Json:
    wanted = _wanted(call)
    return _book(call, wanted)


def _book(call: Call, wanted: StoredReservation) -> str:
    _check(call, wanted)
    if needs_approval(call, wanted.room_id):
        wanted = replace(wanted, status=AWAITING_APPROVAL)
        open_approval(call, wanted)
    call.store.save(wanted)
    return str(wanted.reservation_id)


def _modify(call: Call) -> Json:
    body = call.body
    modifier = body.need("modifier", body.identifier)
    # Optional on adding only.
    body.need("description", body.text, may_be_empty=True)
    before = find(call)
    if not call.switches.modify_cancelled:
        _require_alive(before)
    content = _content(call)
    if call.switches.omitted is Omitted.CLEARED:
        content = {**_CLEARED, **content}
    wanted = replace(
        before,
        modifier=modifier,
        gmt_modified=call.now,
        planned_end=content["end_time"],
        ended_by="",
        **content,
    )
    if wanted.status in (NORMAL, AWAITING_APPROVAL):
        _check(call, wanted)
        wanted = _restart_approval(call, before, wanted)
    call.store.save(wanted)
    return True


def _require_alive(reservation: StoredReservation) -> None:
    """Raise `ApiError` for a meeting that is cancelled or rejected."""
    if reservation.status in (CANCELLED, REJECTED):
        raise ApiError(STATE_FORBIDS, "the reservation is cancelled or rejected")


def _restart_approval(
    call: Call, before: StoredReservation, wanted: StoredReservation
) -> StoredReservation:
    """Return a modified meeting, waiting for approval again if time or room is another.

    So says the page of the call.
    """
    slot = (wanted.start_time, wanted.end_time, wanted.room_id)
    slot_before = (before.start_time, before.end_time, before.room_id)
    if slot == slot_before:
        return wanted
    if needs_approval(call, wanted.room_id):
        open_approval(call, wanted)
        return replace(wanted, status=AWAITING_APPROVAL)
    close_approvals(call, wanted)
    return replace(wanted, status=NORMAL)


def _set_status(call: Call) -> Json:
    body = call.body
    status = int(body.need("status", body.one_of(*_STATUSES)))
    before = find(call)
    if status == CANCELLED == before.status:
        result = call.switches.cancel_cancelled
        if result is Repeat.REFUSE:
            raise ApiError(STATE_FORBIDS, "the reservation is cancelled already")
        return result is Repeat.TRUE
    was_alive = before.status in (NORMAL, AWAITING_APPROVAL)
    is_alive = status in (NORMAL, AWAITING_APPROVAL)
    if is_alive and not was_alive:
        if not call.switches.revive:
            _require_alive(before)
        _check(call, before)
    if status != AWAITING_APPROVAL:
        close_approvals(call, before)
    elif before.status != AWAITING_APPROVAL:
        open_approval(call, before)
    changed = replace(before, status=status, gmt_modified=call.now)
    call.store.save(changed)
    return True


def _finish(call: Call) -> Json:
    call.body.need("end_type", call.body.text)
    before = find(call)
    if before.status != NORMAL:
        raise ApiError(STATE_FORBIDS, "only a normal meeting can be ended")
    if call.now <= before.start_time:
        raise ApiError(STATE_FORBIDS, "the meeting has not begun")
    if call.now < before.end_time:
        ended = before.ended(call.now, "manual", call.now)
        call.store.save(ended)
    return True


def _add_participant(call: Call) -> Json:
    body = call.body
    participant = body.need("participant_id", body.identifier)
    before = find(call)
    _require_alive(before)
    if participant not in before.participants:
        participants = (*before.participants, participant)
        joined = replace(before, participants=participants, gmt_modified=call.now)
        call.store.save(joined)
    return True


def _seize(call: Call) -> Json:
    """Take a preemptible room from meetings that nobody signed in to: they end where this one starts."""
    body = call.body
    room_id = body.need("meeting_room_id", body.identifier)
    room = call.store.get("room", room_id)
    if room is not None and room["preemptible"] != "Y":
        raise ApiError(STATE_FORBIDS, "the meeting room is not preemptible")
    # This page has a list of URLs where the others have objects.
    urls = body.texts("attachment_url") or []
    _check_number(call, urls)
    attachments = tuple({"url": url} for url in urls)
    wanted = replace(_wanted(call), made_by="seize", attachments=attachments)
    for holder in _others(call, wanted):
        signs = call.store.all("sign", parent=str(holder.reservation_id))
        if signs or holder.start_time > call.now:
            raise ApiError(
                ROOM_TAKEN, "the meeting room is in use, or its meeting has not begun"
            )
        _give_way(call, holder, wanted.start_time)
    return _book(call, wanted)


def _give_way(call: Call, holder: StoredReservation, at: int) -> None:
    """End a meeting at a time; cancel it if nothing of it would be left."""
    if holder.start_time < at:
        ended = holder.ended(at, "seize", call.now)
        call.store.save(ended)
        return
    close_approvals(call, holder)
    cancelled = replace(
        holder, status=CANCELLED, ended_by="seize", gmt_modified=call.now
    )
    call.store.save(cancelled)


def _one(call: Call) -> Json:
    reservation = find(call)
    return as_answer(reservation)


def _list(call: Call) -> Json:
    query = call.query
    clauses: list[str] = []
    values: dict[str, Any] = {}
    if topic := query.text("topic"):
        is_exact = call.switches.topic_match is Match.EXACT
        comparison = "topic = :topic" if is_exact else "instr(topic, :topic) > 0"
        clauses.append(comparison)
        values["topic"] = topic
    if rooms := query.texts("meeting_room_ids"):
        places: list[str] = []
        for number, room_id in enumerate(rooms):
            values[f"room{number}"] = room_id
            places.append(f":room{number}")
        clauses.append(f"room_id IN ({', '.join(places)})")
    if creator := query.text("creator"):
        clauses.append("creator = :creator")
        values["creator"] = creator
    return _listed(call, clauses, values)


def _of_participant(call: Call) -> Json:
    """Return a page of the meetings that a person takes part in or created."""
    query = call.query
    values: dict[str, Any] = {"person": call.path["participant_id"]}
    clauses = ["creator = :person"]
    if not query.flag("is_creator"):
        clauses[0] += (
            " OR EXISTS (SELECT 1 FROM json_each(participants) WHERE value = :person)"
        )
    read_status = query.one_of("1", "2")
    if finished := read_status("meeting_status"):
        comparison = "end_time > :now" if finished == "1" else "end_time <= :now"
        clauses.append(comparison)
        values["now"] = call.now
    return _listed(call, clauses, values)


def _listed(call: Call, clauses: list[str], values: dict[str, Any]) -> Json:
    """Return a page of the meetings in the window that meet SQL conditions and those both lists know."""
    query = call.query
    start = query.need("start_time", query.integer)
    end = query.need("end_time", query.integer)
    if end < start:
        raise ApiError(ILLEGAL, "end_time is before start_time")
    if statuses := query.texts("status"):
        if not set(statuses) <= set(_STATUSES):
            raise ApiError(ILLEGAL, "parameter status is not one of 1, 2, 3, 4")
        clauses.append(f"status IN ({', '.join(statuses)})")
    switches = call.switches
    number, size = call.page()
    lag_ms = int(switches.list_lag * 1000)
    as_of = call.as_of
    if as_of is None and lag_ms:
        as_of = clock() - lag_ms
    in_window = _WINDOWS[switches.list_window]
    total, found = call.store.list_reservations(
        [*in_window, *clauses],
        {**values, "start": start, "end": end},
        order=_ORDERS[switches.list_order],
        page=(number, size),
        as_of=as_of,
    )
    shown = [as_answer(reservation) for reservation in found]
    return page_of(shown, total, number, size)


_ONE: Final = f"{_STEM}/{{reservation_id}}"

OPERATIONS = (
    Operation("create", "POST", _STEM, _add),
    Operation("list", "GET", _STEM, _list),
    Operation(
        "by_participant",
        "GET",
        f"{_STEM}/participants/{{participant_id}}",
        _of_participant,
    ),
    Operation("seize", "POST", f"{_STEM}/action/seize", _seize),
    Operation("get", "GET", _ONE, _one),
    Operation("modify", "PUT", _ONE, _modify),
    Operation("cancel", "PUT", f"{_ONE}/status", _set_status),
    Operation("finish", "PUT", f"{_ONE}/finish", _finish),
    Operation("add_participant", "PUT", f"{_ONE}/participants", _add_participant),
)
