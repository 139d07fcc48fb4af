"""Approval of meetings: a room that needs it makes a booking wait in status 2 until its approvers decide.

API page "Approval Management".
Three vocabularies meet here: reservation 1 to 4, approval 0 pending and 1 finished,
approver 0 in progress, 1 rejected, 2 approved, 3 no action needed.
The word that rejects is not printed on the page; here it is `reject`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from syncd.sandbox.call import (
    DENIED,
    NOT_FOUND,
    STATE_FORBIDS,
    ApiError,
    Call,
    Json,
    Operation,
)
from syncd.sandbox.store import AWAITING_APPROVAL, NORMAL, REJECTED, StoredReservation

PENDING = 0
FINISHED = 1

IN_PROGRESS = 0
NODE_REJECTED = 1
NODE_APPROVED = 2
NOT_NEEDED = 3
Approval = dict[str, Json]

_STEM: Final = "/v2.0/iot-03/meeting-approvals"
_SHOWN_ON_A_PAGE: Final = (
    "id",
    "title",
    "current_step",
    "reservation_id",
    "submit_time",
)


def needs_approval(call: Call, room_id: str) -> bool:
    """Tell whether a booking of the room starts in status 2."""
    if not room_id:
        return False
    room = call.store.get("room", room_id)
    return room is not None and room["reservation_approved"] == "Y"


def open_approval(call: Call, reservation: StoredReservation) -> None:
    """Ask the approvers of the room, anew when they were asked before."""
    close_approvals(call, reservation)
    setting = _setting_of(call, reservation.room_id)
    nodes: list[Json] = []
    for uid in setting.get("approval_uids", []):
        node = {
            "id": uid,
            "status": IN_PROGRESS,
            "gmt_create": call.now,
            "gmt_modified": call.now,
        }
        nodes.append(node)
    approval = {
        "id": str(call.store.mint(call.now)),
        "title": reservation.topic,
        "current_step": 1,
        "reservation_id": str(reservation.reservation_id),
        "submit_time": call.now,
        "status": PENDING,
        "approval_type": setting.get("approval_type", "anyOneSign"),
        "nodes": nodes,
    }
    _save(call, approval)


def _setting_of(call: Call, room_id: str) -> dict[str, Json]:
    """Return who approves meetings in a room; nothing if the room or its setting is gone."""
    room = call.store.get("room", room_id)
    if room is None:
        return {}
    setting_id = room.get("approval_process_id", "")
    return call.store.get("approval-setting", setting_id) or {}


def close_approvals(call: Call, reservation: StoredReservation) -> None:
    """Finish the pending approvals of a meeting, about which nobody needs to decide any more."""
    reservation_id = str(reservation.reservation_id)
    for approval in call.store.all("approval", parent=reservation_id):
        if approval["status"] == PENDING:
            _finish(call, approval)


def _finish(call: Call, approval: Approval) -> None:
    for node in approval["nodes"]:
        if node["status"] == IN_PROGRESS:
            node["status"] = NOT_NEEDED
            node["gmt_modified"] = call.now
    approval["status"] = FINISHED
    _save(call, approval)


def _save(call: Call, approval: Approval) -> None:
    reservation_id = approval["reservation_id"]
    call.store.put("approval", approval["id"], approval, parent=reservation_id)


def _submit(call: Call) -> Json:
    body = call.body
    uid = body.need("uid", body.identifier)
    action = body.need("action", body.one_of("pass", "reject"))
    approval = _approval(call)
    if approval["status"] == FINISHED:
        raise ApiError(STATE_FORBIDS, "the approval is finished")
    passed = action == "pass"
    node = _open_node(approval, uid)
    node["status"] = NODE_APPROVED if passed else NODE_REJECTED
    node["gmt_modified"] = call.now
    if passed and _waits_for_others(approval):
        _save(call, approval)
        return True
    _finish(call, approval)
    reservation = call.store.reservation(approval["reservation_id"])
    if reservation is not None and reservation.status == AWAITING_APPROVAL:
        status = NORMAL if passed else REJECTED
        decided = replace(reservation, status=status, gmt_modified=call.now)
        call.store.save(decided)
    return True


def _open_node(approval: Approval, uid: str) -> dict[str, Json]:
    """Return the node on which a user has to decide; raise `ApiError` if there is none."""
    for node in approval["nodes"]:
        if node["id"] == uid and node["status"] == IN_PROGRESS:
            found: dict[str, Json] = node
            return found
    raise ApiError(DENIED, "this user has nothing to decide here")


def _waits_for_others(approval: Approval) -> bool:
    if approval["approval_type"] != "allMustSign":
        return False
    return any(node["status"] != NODE_APPROVED for node in approval["nodes"])


def _approval(call: Call) -> Approval:
    approval = call.store.get("approval", call.path["approval_id"])
    if approval is None:
        raise ApiError(NOT_FOUND, "the approval does not exist")
    return approval


def _page(call: Call) -> Json:
    query = call.query
    kind = query.need("type", query.one_of("0", "1"))
    uid = query.need("uid", query.identifier)
    wants_decided = kind == "1"
    found: list[Json] = []
    for approval in call.store.all("approval"):
        for node in approval["nodes"]:
            if node["id"] != uid:
                continue
            is_decided = node["status"] != IN_PROGRESS
            if is_decided == wants_decided:
                shown = {name: approval[name] for name in _SHOWN_ON_A_PAGE}
                found.append(shown)
    return call.paged(found)


def _one(call: Call) -> Json:
    call.query.need("uid", call.query.identifier)
    approval = _approval(call)
    shown = (*_SHOWN_ON_A_PAGE, "status")
    return {name: approval[name] for name in shown}


def _nodes(call: Call) -> Json:
    reservation_id = call.query.need("reservation_id", call.query.identifier)
    found = call.store.all("approval", parent=reservation_id)
    shown = ("approval_type", "nodes")
    return [{name: approval[name] for name in shown} for approval in found]


OPERATIONS = (
    Operation("page_approvals", "GET", _STEM, _page),
    Operation("approval_nodes", "GET", f"{_STEM}/nodes", _nodes),
    Operation("get_approval", "GET", f"{_STEM}/{{approval_id}}", _one),
    Operation(
        "submit_approval", "POST", f"{_STEM}/{{approval_id}}/actions/submit", _submit
    ),
)
