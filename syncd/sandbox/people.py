"""The user directory of the tenant: the campus users of `iot-03`, with search by e-mail and phone.

API pages "Basic Information Management of Campus Office" and "Query Users".
Whether a filter compares exactly is not documented: switch `user_match`.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from syncd.sandbox.call import (
    ILLEGAL,
    USER_UNKNOWN,
    ApiError,
    Call,
    Fields,
    Json,
    Operation,
)
from syncd.sandbox.switches import Match

User = dict[str, Json]

_STEM: Final = "/v1.0/iot-03/users"
_ONE: Final = f"{_STEM}/{{uid}}"
_LIMITS_OF_MODIFY: Final = {
    "external_id": 40,
    "user_account": 20,
    "name": 10,
    "user_no": 20,
}
_TEXTS: Final = (
    "external_id",
    "user_no",
    "user_account",
    "name",
    "mobile",
    "email",
    "gender",
)
_FILTERS: Final = ("name", "mobile", "email", "user_no")
_NO_LIMITS: Final[Mapping[str, int]] = MappingProxyType({})
DISABLED = 0
ENABLED = 1
_LETTERS: Final = string.ascii_letters + string.digits


def _read(body: Fields, limits: Mapping[str, int] = _NO_LIMITS) -> User:
    """Return the fields of a user that the body holds; raise `ApiError`."""
    read: User = {}
    for name in _TEXTS:
        read_text = body.within(limits.get(name, 255))
        read[name] = read_text(name)
    for name in ("start_time", "end_time"):
        read[name] = body.integer(name)
    read["org_ids"] = body.texts("org_ids")
    return {name: value for name, value in read.items() if value is not None}


def _shown(user: User) -> User:
    """Return a user as the API shows it: its organisations have a call of their own."""
    shown = dict(user)
    del shown["org_ids"]
    return shown


def _add(call: Call) -> Json:
    body = call.body
    body.need("name", body.text)
    uid = _new_uid(call.now)
    user: User = {
        "id": uid,
        "status": ENABLED,
        "org_ids": [],
    }
    user |= dict.fromkeys(_TEXTS, "")
    user |= _read(body)
    call.store.put("user", uid, user)
    return uid


def _new_uid(now: int) -> str:
    """Return an id as the documentation's examples have it: prefix, creation time, four characters."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return f"bay{now}{letters}"


def _user(call: Call) -> User:
    """Return the user that the path names; raise `ApiError` if there is none."""
    user = call.store.get("user", call.path["uid"])
    if user is None:
        raise ApiError(USER_UNKNOWN, "the user does not exist")
    return user


def _one(call: Call) -> Json:
    user = _user(call)
    return _shown(user)


def _modify(call: Call) -> Json:
    user = _user(call)
    user |= _read(call.body, _LIMITS_OF_MODIFY)
    call.store.put("user", user["id"], user)
    return True


def _delete(call: Call) -> Json:
    user = _user(call)
    return call.store.delete("user", user["id"])


def _set_status(call: Call) -> Json:
    body = call.body
    status = body.need("status", body.identifier)
    if status not in (str(DISABLED), str(ENABLED)):
        raise ApiError(ILLEGAL, "parameter status is not 0 or 1")
    user = _user(call)
    user["status"] = int(status)
    call.store.put("user", user["id"], user)
    return True


def _organizations(call: Call) -> Json:
    user = _user(call)
    return [{"org_id": org_id} for org_id in user["org_ids"]]


def _list(call: Call) -> Json:
    query = call.query
    is_exact = call.switches.user_match is Match.EXACT
    org_id = query.text("org_id")
    wanted: dict[str, str] = {}
    for name in _FILTERS:
        text = query.text(name)
        if text:
            wanted[name] = text

    def matches(user: User) -> bool:
        if org_id and org_id not in user["org_ids"]:
            return False
        for name, text in wanted.items():
            if text not in user[name]:
                return False
            if is_exact and text != user[name]:
                return False
        return True

    found = filter(matches, call.store.all("user"))
    shown = [_shown(user) for user in found]
    return call.from_cursor(shown)


OPERATIONS = (
    Operation("list_users", "GET", _STEM, _list),
    Operation("add_user", "POST", _STEM, _add),
    Operation("get_user", "GET", _ONE, _one),
    Operation("modify_user", "PUT", _ONE, _modify),
    Operation("delete_user", "DELETE", _ONE, _delete),
    Operation("set_user_status", "PUT", f"{_ONE}/status", _set_status),
    Operation("user_organizations", "GET", f"{_ONE}/organizations", _organizations),
)
