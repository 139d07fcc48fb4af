"""Meeting rooms, the labels (tags) that they carry, and the assets (areas) that hold them.

API pages "Meeting Room Management", "Label Management" and, for assets, as little as rooms need of
"Basic Information Management of Campus Office".
What deleting a room does to its meetings is not documented: they stay as they are.
"""

from __future__ import annotations

from typing import Final

from syncd.sandbox.call import (
    EMPTY,
    ILLEGAL,
    NOT_FOUND,
    OUT_OF_RANGE,
    ApiError,
    Call,
    Fields,
    Json,
    Operation,
)

_ROOMS: Final = "/v2.0/iot-03/meeting-rooms"
_TAGS: Final = "/v1.0/iot-03/tags"
_ASSETS: Final = "/v1.0/iot-03/assets"

Room = dict[str, Json]

_REQUIRED_TEXTS: Final = (
    "name",
    "type",
    "address",
    "parent_asset_id",
    "range_type",
    "room_status",
    "reservation_approved",
    "preemptible",
    "system_release",
)
_FILTERS: Final = (
    "parent_asset_id",
    "type",
    "room_status",
    "range_type",
    "reservation_approved",
)
_ONLY_IN_ONE: Final = ("image_urls", "range_ids", "tag_codes")


def _read(body: Fields) -> Room:
    """Return the fields of a room that the body holds; raise `ApiError`."""
    yes_or_no = body.one_of("Y", "N")
    read: Room = {
        "name": body.within(50)("name"),
        "image_urls": _at_most(3, "image_urls", body),
        "type": body.one_of("normal", "vip")("type"),
        "address": body.within(100)("address"),
        "longitude": body.text("longitude"),
        "latitude": body.text("latitude"),
        "parent_asset_id": body.identifier("parent_asset_id"),
        "range_type": body.one_of("all", "personnel")("range_type"),
        "range_ids": _at_most(100, "range_ids", body),
        "room_status": body.one_of("open", "stop")("room_status"),
        "suspension_remark": body.within(128)("suspension_remark"),
        "reservation_approved": yes_or_no("reservation_approved"),
        "approval_process_id": body.identifier("approval_process_id"),
        "preemptible": yes_or_no("preemptible"),
        "system_release": yes_or_no("system_release"),
        "space": body.integer("space"),
        "tag_codes": body.texts("tag_codes"),
    }
    if read["space"] is not None and read["space"] < 1:
        raise ApiError(OUT_OF_RANGE, "parameter space is not above 0")
    return {name: value for name, value in read.items() if value is not None}


def _at_most(limit: int, name: str, body: Fields) -> list[str] | None:
    """Return a List of Strings; raise `ApiError` if it is too long."""
    values = body.texts(name)
    if values is not None and len(values) > limit:
        raise ApiError(OUT_OF_RANGE, f"parameter {name} has more than {limit} entries")
    return values


def _check(call: Call, room: Room) -> None:
    """Raise `ApiError` if a room lacks a field that another one demands."""
    if room["range_type"] == "personnel" and not room["range_ids"]:
        raise ApiError(EMPTY, "parameter range_ids is missing")
    if room["reservation_approved"] == "Y":
        setting_id = room.get("approval_process_id")
        if not setting_id:
            raise ApiError(EMPTY, "parameter approval_process_id is missing")
        if call.store.get("approval-setting", setting_id) is None:
            raise ApiError(NOT_FOUND, "the approval setting does not exist")


def _add(call: Call) -> Json:
    body = call.body
    for name in _REQUIRED_TEXTS:
        body.need(name, body.identifier)
    body.need("space", body.integer)
    room_id = str(call.store.mint(call.now))
    room: Room = {"id": room_id}
    for name in _ONLY_IN_ONE:
        room[name] = []
    room |= _read(body)
    _check(call, room)
    call.store.put("room", room_id, room)
    return room_id


def _room(call: Call) -> Room:
    """Return the room that the path names; raise `ApiError` if there is none."""
    room = call.store.get("room", call.path["room_id"])
    if room is None:
        raise ApiError(NOT_FOUND, "the meeting room does not exist")
    return room


def _modify(call: Call) -> Json:
    changed = _read(call.body)
    changed.pop("parent_asset_id", None)
    room = _room(call)
    room |= changed
    _check(call, room)
    call.store.put("room", room["id"], room)
    return True


def _delete(call: Call) -> Json:
    room = _room(call)
    return call.store.delete("room", room["id"])


def _page(call: Call) -> Json:
    query = call.query
    wanted: dict[str, str] = {}
    for field in _FILTERS:
        value = query.text(field)
        if value:
            wanted[field] = value
    name = query.text("name") or ""
    space = query.integer("space")
    tags = set(query.texts("tag_codes") or ())

    def matches(room: Room) -> bool:
        for field, value in wanted.items():
            if room.get(field) != value:
                return False
        if name not in room["name"]:
            return False
        if space is not None and space != room["space"]:
            return False
        return tags <= set(room["tag_codes"])

    found = filter(matches, call.store.all("room"))
    shown = [_summary(room) for room in found]
    return call.paged(shown)


def _summary(room: Room) -> Room:
    """Return a room as the list shows it: one image, and neither people nor tags."""
    images = room["image_urls"]
    shown = dict(room)
    for name in _ONLY_IN_ONE:
        del shown[name]
    shown["image_url"] = images[0] if images else ""
    return shown


def _tags(call: Call) -> Json:
    return call.store.all("tag")


def _add_tag(call: Call) -> Json:
    body = call.body
    code = body.need("code", body.text)
    name = body.need("name", body.text)
    if call.store.get("tag", code) is not None:
        raise ApiError(ILLEGAL, "the tag exists already")
    tag = {"code": code, "name": name}
    call.store.put("tag", code, tag)
    return True


def _modify_tag(call: Call) -> Json:
    body = call.body
    name = body.need("name", body.text)
    code = _known_tag(call)
    tag = {"code": code, "name": name}
    call.store.put("tag", code, tag)
    return True


def _delete_tag(call: Call) -> Json:
    code = _known_tag(call)
    return call.store.delete("tag", code)


def _known_tag(call: Call) -> str:
    """Return the code of the tag that the path names; raise `ApiError` if there is none."""
    code = call.path["code"]
    if call.store.get("tag", code) is None:
        raise ApiError(NOT_FOUND, "the tag does not exist")
    return code


def _add_asset(call: Call) -> Json:
    body = call.body
    asset_id = str(call.store.mint(call.now))
    name = body.need("asset_name", body.text)
    parent_id = body.identifier("parent_asset_id") or ""
    asset: dict[str, Json] = {
        "asset_id": asset_id,
        "asset_name": name,
        "parent_asset_id": parent_id,
        "asset_image": body.text("asset_image") or "",
        "asset_type": body.text("asset_type") or "",
    }
    call.store.put("asset", asset_id, asset, parent=parent_id)
    return asset_id


def _assets(call: Call) -> Json:
    found = call.store.all("asset")
    return call.paged(found)


def _asset(call: Call) -> Json:
    asset = call.store.get("asset", call.path["asset_id"])
    if asset is None:
        raise ApiError(NOT_FOUND, "the asset does not exist")
    return asset


def _sub_assets(call: Call) -> Json:
    asset_id = _asset(call)["asset_id"]
    found = call.store.all("asset", parent=asset_id)
    return call.paged(found)


OPERATIONS = (
    Operation("add_room", "POST", _ROOMS, _add),
    Operation("page_rooms", "GET", _ROOMS, _page),
    Operation("get_room", "GET", f"{_ROOMS}/{{room_id}}", _room),
    Operation("modify_room", "PUT", f"{_ROOMS}/{{room_id}}", _modify),
    Operation("delete_room", "DELETE", f"{_ROOMS}/{{room_id}}", _delete),
    Operation("list_tags", "GET", _TAGS, _tags),
    Operation("add_tag", "POST", _TAGS, _add_tag),
    Operation("modify_tag", "PUT", f"{_TAGS}/{{code}}", _modify_tag),
    Operation("delete_tag", "DELETE", f"{_TAGS}/{{code}}", _delete_tag),
    Operation("add_asset", "POST", _ASSETS, _add_asset),
    Operation("list_assets", "GET", _ASSETS, _assets),
    Operation("get_asset", "GET", f"{_ASSETS}/{{asset_id}}", _asset),
    Operation("sub_assets", "GET", f"{_ASSETS}/{{asset_id}}/sub-assets", _sub_assets),
)
