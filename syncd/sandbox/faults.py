"""Faults on request: what goes wrong, in which calls, how often.

A fault is written `kind[:key=value,...]`, e.g. `lost:on=create,times=1` or `slow:seconds=3,every=10`.
`KINDS` says what each kind does and which keys it takes besides the common ones:

* `on`: operations that it applies to, joined by `+`: names of operations, `read`, `write`, `any`
* `after=N`: lets the first N such calls pass; `every=N`: strikes each Nth; `times=N`: strikes N times at most

Counting is exact and not random, so a failing test can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from syncd.sandbox.call import Operation
from syncd.sandbox.operations import OPERATIONS


class Kind(StrEnum):
    """What goes wrong."""

    LOST = "lost"
    CLOSED = "closed"
    SLOW = "slow"
    LATE = "late"
    ERROR = "error"
    GATEWAY = "gateway"
    GARBAGE = "garbage"
    FALSE = "false"
    EXPIRED = "expired"
    THROTTLED = "throttled"
    QUOTA = "quota"
    UNSUBSCRIBED = "unsubscribed"
    REFUSE = "refuse"
    CLOCK = "clock"
    LAG = "lag"
    DUPLICATE = "duplicate"
    RELEASE = "release"


KINDS: Final[dict[Kind, tuple[str, str]]] = {
    Kind.LOST: (
        "",
        "the work is done, then the connection is closed without an answer",
    ),
    Kind.CLOSED: ("", "the connection is closed before the work"),
    Kind.SLOW: ("seconds=10", "the work is done, the answer comes later"),
    Kind.LATE: (
        "seconds=10",
        "the request is held up on its way: checks and work happen later",
    ),
    Kind.ERROR: (
        "code=500 work=done",
        "the answer is an error although the work is done (or work=none)",
    ),
    Kind.GATEWAY: (
        "work=none",
        "HTTP 502 with an HTML page (work=done: after the work)",
    ),
    Kind.GARBAGE: ("work=done", "the answer is cut JSON (work=none: without the work)"),
    Kind.FALSE: (
        "work=none",
        "success:true with result:false (work=done: after the work)",
    ),
    Kind.EXPIRED: ("", "the access token ends now: code 1010, without the work"),
    Kind.THROTTLED: (
        "code=1110",
        "refused without the work; 1199 is the other documented code",
    ),
    Kind.QUOTA: ("code=28841004", "the quota is spent: refused without the work"),
    Kind.UNSUBSCRIBED: (
        "code=28841101",
        "not subscribed (28841105: not authorised): refused without the work",
    ),
    Kind.REFUSE: ("code=1109", "refused with this code, without the work"),
    Kind.CLOCK: (
        "seconds=600",
        "the server's clock is ahead (negative: behind): t, its check, expiry",
    ),
    Kind.LAG: ("seconds=5", "lists show what was true that long ago (at most 3600)"),
    Kind.DUPLICATE: ("", "the request is delivered twice: the work is done twice"),
    Kind.RELEASE: (
        "minutes=10",
        "meetings in rooms without a sign-in are ended that long after their start",
    ),
}
"""Each kind: the keys that it takes with their defaults, and what it does."""

REFUSALS: Final = (
    Kind.EXPIRED,
    Kind.THROTTLED,
    Kind.QUOTA,
    Kind.UNSUBSCRIBED,
    Kind.REFUSE,
)
_REPLACE_ANSWER: Final = (
    *REFUSALS,
    Kind.LOST,
    Kind.CLOSED,
    Kind.ERROR,
    Kind.GATEWAY,
    Kind.GARBAGE,
    Kind.FALSE,
)
_LISTS: Final = ("list", "by_participant")
_LAGGING: Final = (*_LISTS, "get")
_GROUPS: Final = ("any", "read", "write")
_COUNTS: Final = ("after", "every", "times")


@dataclass(frozen=True)
class Fault:
    """One fault; made by `parse_fault`. `times` is None without a limit."""

    kind: Kind
    on: tuple[str, ...] = ("any",)
    after: int = 0
    every: int = 1
    times: int | None = None
    seconds: float = 0
    minutes: int = 0
    code: int = 0
    works: bool = False

    def concerns(self, operation: Operation) -> bool:
        """Tell whether the fault applies to an operation at all."""
        if self.kind is Kind.LAG and operation.name not in _LAGGING:
            return False
        if self.kind is Kind.EXPIRED and operation.is_token_call:
            return False
        group = "read" if operation.method == "GET" else "write"
        return not {"any", group, operation.name}.isdisjoint(self.on)

    def strikes(self, count: int) -> bool:
        """Tell whether the fault strikes the `count`th (from 1) of the calls that it concerns."""
        turn, rest = divmod(count - self.after, self.every)
        if turn < 1 or rest != 0:
            return False
        return self.times is None or turn <= self.times


def parse_fault(text: str) -> Fault:
    """Read a fault as it is written on the command line.

    Raises:
        ValueError: the text is not a fault; the sentence says what is allowed.
    """
    name, _, rest = text.strip().partition(":")
    if name not in tuple(Kind):
        raise ValueError(
            f"there is no fault {name!r}; the faults are {', '.join(Kind)}"
        )
    kind = Kind(name)
    defaults, _ = KINDS[kind]
    own = dict(pair.split("=") for pair in defaults.split())
    fault = Fault(kind, on=_LISTS) if kind is Kind.LAG else Fault(kind)
    for key, value in own.items():
        fault = _with(fault, key, value)
    allowed = ("on", *_COUNTS, *own)
    for pair in filter(None, rest.split(",")):
        written_key, equals, value = pair.partition("=")
        key = written_key.strip()
        if key not in allowed or not equals:
            raise ValueError(
                f"fault {kind} takes {', '.join(allowed)} as key=value, got {pair!r}"
            )
        fault = _with(fault, key, value.strip())
    return fault


def _with(fault: Fault, key: str, value: str) -> Fault:
    """Return a fault with one key set anew; raise `ValueError` for a value that the key does not take."""
    if key == "on":
        return replace(fault, on=_operation_names(value))
    if key == "work":
        if value not in ("done", "none"):
            raise ValueError(f"work is done or none, got {value!r}")
        return replace(fault, works=value == "done")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{key} is a number, got {value!r}") from None
    if key == "seconds":
        return _with_seconds(fault, number, value)
    lowest = 0 if key in ("after", "code") else 1
    if not number.is_integer() or number < lowest:
        raise ValueError(f"{key} is a whole number from {lowest:g}, got {value!r}")
    counted: Any = {key: int(number)}
    return replace(fault, **counted)


def _operation_names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split("+"))
    known = (*_GROUPS, *(operation.name for operation in OPERATIONS))
    for name in names:
        if name not in known:
            raise ValueError(
                f"on={name} is no operation; the operations are {', '.join(known)}"
            )
    return names


def _with_seconds(fault: Fault, seconds: float, written: str) -> Fault:
    lowest: float = 0
    highest: float = 3600
    if fault.kind is Kind.CLOCK:
        lowest = -1e9
        highest = 1e9
    if not lowest <= seconds <= highest:
        raise ValueError(
            f"seconds is from {lowest:g} to {highest:g} here, got {written!r}"
        )
    return replace(fault, seconds=seconds)


class Strikes:
    """The faults that strike one call."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)

    def __str__(self) -> str:
        return "+".join(fault.kind for fault in self._faults)

    def of(self, *kinds: Kind) -> Fault | None:
        """Return the first fault of these kinds that strikes, else None."""
        return next((fault for fault in self._faults if fault.kind in kinds), None)

    def seconds(self, kind: Kind) -> float:
        """Return the seconds of all faults of a kind together."""
        return sum(fault.seconds for fault in self._faults if fault.kind is kind)


class Faults:
    """The faults in force, and how many calls each has seen; `lifted` is set when they are removed."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.lifted = asyncio.Event()
        self._seen: list[tuple[Fault, int]] = [(fault, 0) for fault in faults]

    def on(self, operation: Operation) -> Strikes:
        """Count a call, and return the faults that strike it.

        Of the faults that replace the answer only the first strikes; it hides the call from the others.
        """
        striking: list[Fault] = []
        answered = False
        for index, (fault, seen) in enumerate(self._seen):
            if not fault.concerns(operation):
                continue
            replaces_answer = fault.kind in _REPLACE_ANSWER
            if replaces_answer and answered:
                continue
            self._seen[index] = (fault, seen + 1)
            if fault.strikes(seen + 1):
                striking.append(fault)
                answered = answered or replaces_answer
        return Strikes(striking)

    def counts(self) -> list[tuple[Fault, int]]:
        """Return each fault, and how many calls it concerned so far."""
        return list(self._seen)
