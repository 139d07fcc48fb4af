"""What the API's error codes ask for (pages "Global Error Codes" and "Error Code", 2024-07-22).

Every code here is documented, or seen in the field, as a refusal *before* the request is processed.
A code that is not here is a refusal of this one request, except `SYSTEM_ERROR`, which says nothing.
Must not: match on `msg`, which is translated.
"""

from __future__ import annotations

from enum import Enum, auto

SYSTEM_ERROR = 500
"""The business application failed or timed out: a write may have happened."""

NOT_FOUND = 1000
"""The data does not exist."""

NO_SUCH_USER = 2006
"""The user does not exist."""

TOO_FREQUENT = 1199
"""Requests are too frequent; HTTP status 429 is read as this code."""


USED_UP = (
    "this month's calls (api.monthly_calls) are used up; nothing was changed; "
    "raise api.monthly_calls if the cloud plan has more, or wait for next month"
)
"""What is said when a call would be beyond what the cloud plan allows."""


class Remedy(Enum):
    """What to do before a refused request is worth repeating."""

    RENEW_TOKEN = auto()
    SET_CLOCK = auto()
    SIGN_AGAIN = auto()
    WAIT = auto()


REMEDIES = {
    1002: Remedy.RENEW_TOKEN,
    1010: Remedy.RENEW_TOKEN,
    1011: Remedy.RENEW_TOKEN,
    1012: Remedy.RENEW_TOKEN,
    1400: Remedy.RENEW_TOKEN,
    1013: Remedy.SET_CLOCK,
    1004: Remedy.SIGN_AGAIN,
    1110: Remedy.WAIT,
    1111: Remedy.WAIT,
    1112: Remedy.WAIT,
    1113: Remedy.WAIT,
    TOO_FREQUENT: Remedy.WAIT,
}

_FORM = (
    "the API does not accept the form of the request: check that api.region or api.endpoint names a Tuya "
    "data centre that offers the meeting service; if it does, report this as a defect of syncd"
)
_CLIENT = "the API does not know the client id: check api.client_id, and that api.region is the project's"
_SECRET = "the API does not accept the signature: check that api.client_secret belongs to api.client_id"  # noqa: S105
_SUBSCRIBE = (
    "the project is not subscribed to this API: subscribe to it and authorise it in the Tuya console "
    "(Cloud > Project > Service API)"
)
_EXPIRED = "has expired: renew it in the Tuya console"
_OVERDUE = "has an unpaid bill: settle it in the Tuya console"

_CURES = {
    1001: _SECRET,
    1003: _FORM,
    1004: _SECRET,
    1005: _CLIENT,
    1006: _FORM,
    1007: _FORM,
    1008: _FORM,
    1105: _FORM,
    1106: "the project may not use this API or this data: authorise it in the Tuya console",
    1108: _FORM,
    1114: "the project's IP allow-list does not hold the address of this machine: add it in the Tuya console",
    2007: "the data centre does not serve this project: set api.region to the data centre of the project",
    2009: _CLIENT,
    28841001: "the project has no cloud plan: subscribe to one in the Tuya console",
    28841002: f"the project's cloud plan {_EXPIRED}",
    28841003: f"the project's cloud plan {_OVERDUE}",
    28841004: "the month's quota of the cloud plan is used up: extend the plan, or wait for next month",
    28841101: _SUBSCRIBE,
    28841102: f"the project's subscription to this API {_EXPIRED}",
    28841103: f"the project's subscription to this API {_OVERDUE}",
    28841104: "the quota of this API is used up: extend the subscription in the Tuya console",
    28841105: "the project is not authorised for this API: authorise it in the Tuya console",
    28841106: _SUBSCRIBE,
    28841107: "the data centre is suspended for this project: enable it in the Tuya console",
    40001900: "the project has no permission for this space: grant it in the Tuya console",
}


def cure(code: int) -> str | None:
    """Return what a person has to do before any call succeeds; None if the code concerns one request only."""
    if code // 1000 == 28841:
        return _CURES.get(
            code,
            "the subscription does not allow this call: look at it in the Tuya console",
        )
    return _CURES.get(code)
