"""The client of the Tuya meeting reservation API (pages "Meeting Reservation System", `/v2.0/iot-03/…`).

Promises: every call is signed, paced and bounded in time, size and repeats; nothing is changed unless the
client is armed; a write is repeated only when the API documents that the first was not carried out; all
faults are errors of `syncd.errors`.
Must not: decide what to book, remember bookings, or log what a reservation says.

`api` are the calls by name, `pages` the pages of a list, `content` what the JSON means, `codes` what the
error codes ask for.
`channel` repeats one call until it has a result, over `token`, `pace`, `client` (one signed request, with
`signing` and `answer`) and `transport`, the gate.
The channel is not loaded, with the HTTP client below it, before there is a call to make.
"""

from syncd.tuya.api import REGIONS, TuyaApi
from syncd.tuya.content import BookingRules, Room, User, payload
from syncd.tuya.pace import LATEST_SIGNING_S

__all__ = [
    "LATEST_SIGNING_S",
    "REGIONS",
    "BookingRules",
    "Room",
    "TuyaApi",
    "User",
    "payload",
]
