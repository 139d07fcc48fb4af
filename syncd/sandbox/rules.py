"""Booking rules: the global ones, templates for single rooms, and whether a meeting obeys them.

API pages "Meeting System Configuration" and "Meeting Reservation Rule Management".
The defaults of the rules are printed on the Chinese page only.
A template that is assigned to a room stands before the global rules; the pages do not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from syncd.sandbox.call import (
    ILLEGAL,
    NO_RESULT,
    NOT_FOUND,
    OUT_OF_RANGE,
    RULE_BROKEN,
    ApiError,
    Call,
    Fields,
    Json,
    Operation,
)

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
WEEKDAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
DEFAULT_RULES: dict[str, Json] = {
    "booking_date": list(WEEKDAYS),
    "start_time": "07:00",
    "end_time": "23:00",
    "min_minute": 30,
    "max_hour": 5,
    "max_day": 7,
    "release_time": 10,
}
DEFAULT_SIGNS: dict[str, Json] = {"enable_sign": "N", "sign_minute": 15}


def check_rules(call: Call, room_id: str, start: int, end: int) -> None:
    """Refuse a meeting (epoch ms) that breaks the rules which the switches enforce."""
    switches = call.switches
    rules = _rules_for(call, room_id)
    if not switches.past_start and start < call.now:
        raise ApiError(RULE_BROKEN, "the meeting starts in the past")
    is_limited = switches.advance_limit if room_id else switches.advance_limit_roomless
    max_day = rules["max_day"]
    latest_start = call.now + max_day * _DAY_MS
    if is_limited and start > latest_start:
        raise ApiError(RULE_BROKEN, f"the meeting is more than {max_day} days ahead")
    if not room_id:
        return
    if switches.length_limits:
        minutes = (end - start) / _MINUTE_MS
        _check_length(rules, minutes)
    if switches.opening_hours:
        zone = ZoneInfo(switches.time_zone)
        if not _is_open(rules, start, end, zone):
            opens = rules["start_time"]
            closes = rules["end_time"]
            raise ApiError(RULE_BROKEN, f"rooms are open from {opens} to {closes}")


def _check_length(rules: Mapping[str, Any], minutes: float) -> None:
    """Refuse a meeting that is too short or too long."""
    min_minute = rules["min_minute"]
    max_hour = rules["max_hour"]
    if minutes < min_minute:
        raise ApiError(RULE_BROKEN, f"the meeting is shorter than {min_minute} minutes")
    if minutes > max_hour * 60:
        raise ApiError(RULE_BROKEN, f"the meeting is longer than {max_hour} hours")


def _is_open(rules: Mapping[str, Any], start: int, end: int, zone: ZoneInfo) -> bool:
    begins = datetime.fromtimestamp(start / 1000, UTC).astimezone(zone)
    # The last instant that belongs to the meeting: one that ends at midnight ends on its own day.
    last = datetime.fromtimestamp(end / 1000, UTC) - timedelta(milliseconds=1)
    ends = last.astimezone(zone)
    if begins.date() != ends.date():
        return False
    if WEEKDAYS[begins.weekday()] not in rules["booking_date"]:
        return False
    opens = _minute_of_day(rules["start_time"])
    closes = _minute_of_day(rules["end_time"])
    if begins.hour * 60 + begins.minute < opens:
        return False
    return ends.hour * 60 + ends.minute < closes


def _rules_for(call: Call, room_id: str) -> dict[str, Json]:
    """Return the rules of the template of a room; the global ones where there is none."""
    if room_id:
        assigned = call.store.get("template-of-room", room_id)
        if assigned is not None:
            template = call.store.get("template", assigned["template_id"])
            if template is not None:
                config: dict[str, Json] = template["reservation_config"]
                return config
    return _global_rules(call)


def _global_rules(call: Call) -> dict[str, Json]:
    return call.store.get("settings", "reservations") or DEFAULT_RULES


def _set_rules(call: Call) -> Json:
    rules = _read_rules(call.body)
    call.store.put("settings", "reservations", rules)
    return True


def _get_signs(call: Call) -> Json:
    return call.store.get("settings", "signs") or DEFAULT_SIGNS


def _set_signs(call: Call) -> Json:
    signs = _read_signs(call.body)
    call.store.put("settings", "signs", signs)
    return True


def _minute_of_day(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _read_rules(fields: Fields) -> dict[str, Json]:
    days = fields.need("booking_date", fields.texts)
    unknown = set(days) - set(WEEKDAYS)
    if unknown:
        first = min(unknown)
        raise ApiError(ILLEGAL, f"booking_date holds {first!r}, which is no weekday")
    rules: dict[str, Json] = {"booking_date": days}
    for name in ("start_time", "end_time"):
        text = fields.need(name, fields.text)
        _require_clock_time(name, text)
        rules[name] = text
    for name in ("min_minute", "max_hour", "max_day", "release_time"):
        rules[name] = _number(fields, name)
    return rules


def _require_clock_time(name: str, text: str) -> None:
    try:
        datetime.strptime(text, "%H:%M").replace(tzinfo=UTC)
    except ValueError:
        raise ApiError(ILLEGAL, f"parameter {name} is not written HH:MM") from None


def _number(fields: Fields, name: str) -> int:
    """Return a number, also from its digits: the example of "Modify template" writes numbers as strings."""
    text = fields.need(name, fields.identifier)
    if not text.isdecimal():
        raise ApiError(OUT_OF_RANGE, f"parameter {name} is not a number from 0")
    return int(text)


def _read_signs(fields: Fields) -> dict[str, Json]:
    enabled = fields.need("enable_sign", fields.one_of("Y", "N"))
    signs: dict[str, Json] = {"enable_sign": enabled}
    if "sign_minute" in fields:
        signs["sign_minute"] = _number(fields, "sign_minute")
    return signs


def _read_template(fields: Fields) -> dict[str, Json]:
    name = fields.need("template_name", fields.text)
    rules = fields.need("reservation_config", fields.object)
    template: dict[str, Json] = {
        "template_name": name,
        "reservation_config": _read_rules(rules),
        "default_config": fields.flag("default_config") or False,
    }
    if signs := fields.object("sign_config"):
        template["sign_config"] = _read_signs(signs)
    if blacklist := fields.object("blacklist_config"):
        template["blacklist_config"] = _read_blacklist(blacklist)
    return template


def _read_blacklist(fields: Fields) -> dict[str, Json]:
    enabled = fields.need("enable_blacklist", fields.one_of("Y", "N"))
    blacklist: dict[str, Json] = {"enable_blacklist": enabled}
    for name in ("blacklist_days", "blacklist_times", "blacklist_disabled_days"):
        if name in fields:
            blacklist[name] = _number(fields, name)
    return blacklist


def _template(call: Call) -> dict[str, Json]:
    template = call.store.get("template", call.path["template_id"])
    if template is None:
        raise ApiError(NOT_FOUND, "the template does not exist")
    return template


def _add_template(call: Call) -> Json:
    template_id = str(call.store.mint(call.now))
    _save_template(call, template_id)
    return template_id


def _modify_template(call: Call) -> Json:
    template_id = _template(call)["template_id"]
    _save_template(call, template_id)
    return True


def _save_template(call: Call, template_id: str) -> None:
    """Store the template that the body holds."""
    template = {"template_id": template_id, **_read_template(call.body)}
    call.store.put("template", template_id, template)


def _delete_template(call: Call) -> Json:
    template_id = _template(call)["template_id"]
    return call.store.delete("template", template_id)


def _page_templates(call: Call) -> Json:
    name = call.query.text("template_name") or ""
    only_default = call.query.text("only_default") == "Y"
    found: list[Json] = []
    for template in call.store.all("template"):
        if name not in template["template_name"]:
            continue
        if template["default_config"] or not only_default:
            found.append(template)
    return call.paged(found)


def _assign_template(call: Call) -> Json:
    body = call.body
    room_id = body.need("room_id", body.identifier)
    template_id = body.need("template_id", body.identifier)
    if call.store.get("template", template_id) is None:
        raise ApiError(NOT_FOUND, "the template does not exist")
    call.store.put("template-of-room", room_id, {"template_id": template_id})
    return True


def _add_approver(call: Call) -> Json:
    body = call.body
    kind = body.need("approval_type", body.one_of("allMustSign", "anyOneSign"))
    uids = body.need("approval_uids", body.texts)
    setting_id = str(call.store.mint(call.now))
    setting = {
        "id": setting_id,
        "approval_type": kind,
        "approval_uids": uids,
    }
    call.store.put("approval-setting", setting_id, setting)
    return setting_id


def _page_approvers(call: Call) -> Json:
    query = call.query
    for name in ("page_no", "page_size"):
        query.need(name, query.integer)
    shown = [
        {"id": setting["id"], "approval_type": setting["approval_type"]}
        for setting in call.store.all("approval-setting")
    ]
    return call.paged(shown)


def _delete_approver(call: Call) -> Json:
    if not call.store.delete("approval-setting", call.path["id"]):
        raise ApiError(NOT_FOUND, "the approval setting does not exist")
    return NO_RESULT


_SETTINGS = "/v2.0/iot-03/meeting-settings"
_TEMPLATES = "/v2.0/iot-03/meeting/config-templates"

OPERATIONS = (
    Operation("get_rules", "GET", f"{_SETTINGS}/reservations", _global_rules),
    Operation("set_rules", "POST", f"{_SETTINGS}/reservations", _set_rules),
    Operation("get_signs", "GET", f"{_SETTINGS}/signs", _get_signs),
    Operation("set_signs", "POST", f"{_SETTINGS}/signs", _set_signs),
    Operation("add_approver", "POST", f"{_SETTINGS}/approvals", _add_approver),
    Operation("page_approvers", "GET", f"{_SETTINGS}/approvals", _page_approvers),
    Operation(
        "delete_approver", "DELETE", f"{_SETTINGS}/approvals/{{id}}", _delete_approver
    ),
    Operation("add_template", "POST", _TEMPLATES, _add_template),
    Operation("page_templates", "GET", f"{_TEMPLATES}-page", _page_templates),
    Operation(
        "assign_template", "POST", f"{_TEMPLATES}/action-assign", _assign_template
    ),
    Operation("get_template", "GET", f"{_TEMPLATES}/{{template_id}}", _template),
    Operation(
        "modify_template", "PUT", f"{_TEMPLATES}/{{template_id}}", _modify_template
    ),
    Operation(
        "delete_template", "DELETE", f"{_TEMPLATES}/{{template_id}}", _delete_template
    ),
)
