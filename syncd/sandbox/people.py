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

from syncd.sandbox.call import ILLEGAL, USER_UNKNOWN, ApiError, Call, Json, Operation
from syncd.sandbox.switches import Match

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
DISABLED, ENABLED = 0, 1
_LETTERS: Final = string.ascii_letters + string.digits


def _read(
    call: Call, limits: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Json]:
    body = call.body
    read: dict[str, Json] = {}
    for name in _TEXTS:
        read_text = body.within(limits.get(name, 255))
        read[name] = read_text(name)
    for name in ("start_time", "end_time"):
        read[name] = body.integer(name)
    read["org_ids"] = body.texts("org_ids")
    return {name: value for name, value in read.items() if value is not None}


def _shown(user: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in user.items() if name != "org_ids"}


def _add(call: Call) -> Json:
    call.body.need("name", call.body.text)
    # The shape of the ids in the documentation's examples: prefix, creation time, four characters.
    letters = "".join(secrets.choice(_LETTERS) for _ in range(4))
    uid = f"bay{call.now}{letters}"
    user: dict[str, Json] = {"id": uid, "status": ENABLED, "org_ids": []}
    user |= dict.fromkeys(_TEXTS, "")
    user |= _read(call)
    call.store.put("user", uid, user)
    return uid


def _user(call: Call) -> dict[str, Json]:
    user = call.store.get("user", call.path["uid"])
    if user is None:
        raise ApiError(USER_UNKNOWN, "the user does not exist")
    return user


def _one(call: Call) -> Json:
    return _shown(_user(call))


def _modify(call: Call) -> Json:
    user = {**_user(call), **_read(call, _LIMITS_OF_MODIFY)}
    call.store.put("user", user["id"], user)
    return True


def _delete(call: Call) -> Json:
    return call.store.delete("user", _user(call)["id"])


def _set_status(call: Call) -> Json:
    status = call.body.need("status", call.body.identifier)
    if status not in (str(DISABLED), str(ENABLED)):
        raise ApiError(ILLEGAL, "parameter status is not 0 or 1")
    user = {**_user(call), "status": int(status)}
    call.store.put("user", user["id"], user)
    return True


def _organizations(call: Call) -> Json:
    return [{"org_id": org_id} for org_id in _user(call)["org_ids"]]


def _list(call: Call) -> Json:
    is_exact = call.switches.user_match is Match.EXACT
    texts = {name: call.query.text(name) for name in _FILTERS}
    wanted = {name: text for name, text in texts.items() if text}
    org_id = call.query.text("org_id")

    def matches(user: dict[str, Json]) -> bool:
        if org_id and org_id not in user["org_ids"]:
            return False
        if is_exact:
            return all(user[name] == text for name, text in wanted.items())
        return all(text in user[name] for name, text in wanted.items())

    found = filter(matches, call.store.all("user"))
    return call.from_cursor([_shown(user) for user in found])


OPERATIONS = (
    Operation("list_users", "GET", _STEM, _list),
    Operation("add_user", "POST", _STEM, _add),
    Operation("get_user", "GET", _ONE, _one),
    Operation("modify_user", "PUT", _ONE, _modify),
    Operation("delete_user", "DELETE", _ONE, _delete),
    Operation("set_user_status", "PUT", f"{_ONE}/status", _set_status),
    Operation("user_organizations", "GET", f"{_ONE}/organizations", _organizations),
)
