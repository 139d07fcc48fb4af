"""Where a writer can be held up or killed on its way from an intent to the wire, and back."""

from __future__ import annotations

from tests.campus.daemons import Place

BEFORE_INTENT = Place("apply/create.py", "intent = self._intend(")
AFTER_COMMIT = Place("apply/create.py", "cause = Cause(change.reason)")
AFTER_T = Place("tuya/channel.py", "deadline.require()")
AFTER_CHECK = Place("tuya/channel.py", "answer = self._client.send(")
AFTER_SIGNATURE = Place("tuya/client.py", "began = self._api_clock.elapsed()")
AT_THE_WIRE = Place(
    "tuya/transport.py", "return self._connections.handle_request(request)"
)
AFTER_ANSWER = Place("apply/create.py", "self._require_new(reservation_id)")

PLACES = {
    "after the commit": AFTER_COMMIT,
    "after t": AFTER_T,
    "after the check": AFTER_CHECK,
    "after the signature": AFTER_SIGNATURE,
    "at the wire": AT_THE_WIRE,
    "before the intent": BEFORE_INTENT,
    "after the answer": AFTER_ANSWER,
}
