"""What came back from the API: an envelope as documented, or the sentence why none can be used.

Promises: what is no envelope is a `NoAnswer`, so that nothing is read into it; what a stranger wrote into
one is cut and without control characters.
Must not: decide what follows from a code.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from syncd.tuya import codes
from syncd.tuya.content import whole_number

CHECK_NETWORK = "check the network and api.endpoint"
CHECK_ENDPOINT = "check that api.endpoint is the reservation API and that no proxy answers in its place"

_TRY_LATER = "try later; Tuya may have a disturbance"
_LONGEST_INTEGER = 100  # digits; Python refuses to read very long ones


@dataclass(frozen=True, slots=True)
class Answer:
    """The envelope of an answer; `code` is 0 on success.

    `server_ms` is the API's time in epoch milliseconds, `retry_after_s` what its Retry-After asks for.
    """

    code: int
    result: object = None
    message: str = ""
    tid: str = ""
    server_ms: int | None = None
    retry_after_s: float | None = None

    @property
    def trace(self) -> str:
        """Return the code and, if there is one, the trace id, for a sentence to a person."""
        return (
            f"code {self.code}, trace id {self.tid}"
            if self.tid
            else f"code {self.code}"
        )


class NoAnswer(Exception):
    """A request without usable answer.

    `sent` is False when provably nothing reached the API, `passes` is True when it may pass by itself,
    `said_no` when it is an envelope that refuses, without a code that can be read.
    """

    def __init__(
        self,
        what: str,
        cure: str,
        *,
        sent: bool = True,
        passes: bool = True,
        said_no: bool = False,
    ) -> None:
        self.cure = cure
        self.sent = sent
        self.passes = passes
        self.said_no = said_no
        super().__init__(what)


def read_answer(status: int, retry_after_s: float | None, content: bytes) -> Answer:
    """Read the envelope of an answer; raise `NoAnswer` for everything that is none."""
    if status == 429:
        return Answer(code=codes.TOO_FREQUENT, retry_after_s=retry_after_s)
    if status >= 500:
        raise NoAnswer(f"the API failed with HTTP status {status}", _TRY_LATER)
    envelope = _parsed(content)
    if not isinstance(envelope, dict):
        raise _not_the_api(status, said_no=False)
    success = envelope.get("success")
    code = whole_number(envelope.get("code"))
    if not isinstance(success, bool) or (not success and not code):
        raise _not_the_api(status, said_no=success is False)
    if code == codes.SYSTEM_ERROR and not success:
        raise NoAnswer("the API failed with code 500", _TRY_LATER)
    return Answer(
        code=0 if success or code is None else code,
        result=envelope.get("result"),
        message=_printable(envelope.get("msg"), 200),
        tid=_printable(envelope.get("tid"), 64),
        server_ms=whole_number(envelope.get("t")),
        retry_after_s=retry_after_s,
    )


def seconds_to_wait(header: str | None, now_s: float) -> float | None:
    """Return the seconds of a Retry-After in either of its forms (RFC 9110 section 10.2.3), else None.

    `now_s` is the present in epoch seconds, from which a date counts.
    """
    if header is None:
        return None
    seconds = whole_number(header.strip())
    if seconds is not None:
        return float(max(0, seconds))
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _not_the_api(status: int, *, said_no: bool) -> NoAnswer:
    what = f"what answered in place of the API is not the API (HTTP status {status})"
    return NoAnswer(what, CHECK_ENDPOINT, passes=200 <= status < 300, said_no=said_no)


def _parsed(content: bytes) -> Any:
    """Return the JSON value of an answer, None if it is none; read integers that are too long as infinite."""
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(content, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.inf


def _printable(value: object, limit: int) -> str:
    if not isinstance(value, str):
        return ""
    text = value[:limit]
    controls = {character for character in text if not character.isprintable()}
    return text.translate(dict.fromkeys(map(ord, controls), " "))
