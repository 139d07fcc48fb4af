"""Which operation a request is, and how it ended, for those who count requests.

Must not: decide anything; what follows from an answer is decided where it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.tuya import codes
from syncd.tuya.codes import Remedy
from syncd.tuya.content import identifier

if TYPE_CHECKING:
    from syncd.tuya.answer import Answer, NoAnswer

TOKEN = "/v1.0/token"  # noqa: S105  # a path
RESERVATIONS = "/v2.0/iot-03/meeting-reservations"
ROOMS = "/v2.0/iot-03/meeting-rooms"
RULES = "/v2.0/iot-03/meeting-settings/reservations"
USERS = "/v1.0/iot-03/users"

OPERATIONS = (
    "token",
    "list",
    "get",
    "create",
    "update",
    "cancel",
    "rules",
    "rooms",
    "users",
)
"""What a request can be, by the names of metrics."""

RESULTS = ("ok", "refused", "throttled", "auth", "ambiguous", "unreachable")
"""How a request can end.

refused: the API said no to this request; throttled: it asked for patience; auth: it accepts no request like it
before somebody or syncd mends token, clock, secret, right, subscription or quota; ambiguous: a write that may
have been carried out; unreachable: no answer that can be used, and nothing that may have happened.
"""

METHODS = ("GET", "POST", "PUT")

_BY_BEGINNING = {TOKEN: "token", USERS: "users", ROOMS: "rooms", RULES: "rules"}


@dataclass(frozen=True, slots=True)
class RequestMade:
    """A request that was made of the API: what it was, how it ended, and how many seconds it took."""

    operation: str
    method: str
    result: str
    seconds: float


def operation_of(method: str, path: str) -> str:
    """Return which operation a request is."""
    for beginning, operation in _BY_BEGINNING.items():
        if path.startswith(beginning):
            return operation
    if method == "POST":
        return "create"
    if method == "PUT":
        return "cancel" if path.endswith("/status") else "update"
    return "list" if path == RESERVATIONS else "get"


def result_of(method: str, answer: Answer) -> str:
    """Return how a request ended that has an answer."""
    if not answer.code:
        return _result_of_success(method, answer.result)
    remedy = codes.REMEDIES.get(answer.code)
    if remedy is Remedy.WAIT:
        return "throttled"
    if remedy is not None or codes.cure(answer.code) is not None:
        return "auth"
    return "refused"


def _result_of_success(method: str, result: object) -> str:
    """Return what an answer comes to that reports success: a write may say no in it, or nothing certain."""
    if method == "GET":
        return "ok"
    if result is False:
        return "refused"
    is_certain = result is True if method == "PUT" else identifier(result) is not None
    return "ok" if is_certain else "ambiguous"


def result_without_answer(method: str, missing: NoAnswer) -> str:
    """Return how a request ended that has no answer that can be used."""
    if missing.sent and method != "GET":
        return "ambiguous"
    return "refused" if missing.said_no else "unreachable"
