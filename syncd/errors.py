"""The errors of syncd, classed by what the caller does about them.

SyncdError
├─ ConfigError(problems)        stop; print every problem; exit 78
├─ SourceError(source)          this source is unreadable this cycle: its bookings stay
│   ├─ SourceUnavailable        fetch failed, file absent            (may pass by itself)
│   ├─ SourceMalformed          not iCalendar, truncated, too large  (needs a person)
│   └─ StaleIndex               another member has read it since: read it anew, or hear of it
├─ ReservationError             one change failed; go on with the next
│   ├─ NotExecuted              provably without effect: may be repeated
│   │   └─ RateLimited          … after `retry_after_s`
│   ├─ Refused(code, message)   the API said no: recorded, not repeated until the content changes
│   ├─ NotDone                  the API said that it failed, and not why: look, then repeat a few times
│   └─ OutcomeUnknown           may have happened: settle, never repeat blindly
├─ Unanswered                   a question got no usable answer: what needs it waits, all else goes on
├─ ApiUnusable                  token, authorisation, subscription, quota: stop calling, say what to do
│   └─ ApiUnreachable           no answer came: from another machine it may be reached
├─ ClockWrong                   this machine's clock is far off: write nothing until it is set; exit 1
└─ LedgerError                  the ledger cannot be trusted: stop
    ├─ LedgerLocked             another instance owns it: exit 75
    │   └─ LedgerAhead          … of a later version, which converted it
    ├─ LedgerBusy               another program keeps its database locked: waiting mends it
    ├─ LedgerTooNew             written by a later version: exit 78
    ├─ LedgerMisplaced          its place, owner or mode is wrong: exit 78
    ├─ LedgerUnfit              the settings of its server would lose what is recorded: exit 78
    ├─ LedgerAway               its server cannot be used now, which may pass: exit 69
    │   ├─ CommitUnknown        … and nobody knows whether something was recorded
    │   └─ NotDurable           … and what was recorded may be lost
    └─ TermOver                 another one owns it since: exit 69

Every text is one sentence for a person with the cure in it.
Texts may be logged: they never hold a topic, a description, an address, a secret or a URL path.
Defects *inside* a calendar are values (`syncd.core.occurrence.Defect`), not exceptions.
Foreign exceptions do not cross an adapter: each adapter turns them into one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class SyncdError(Exception):
    """Anything that syncd says to a person instead of showing a traceback."""


class ConfigError(SyncdError):
    """The configuration cannot be used; `problems` holds every reason, as `path.to.key: sentence`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class SourceError(SyncdError):
    """One source could not be read this cycle; absence in it proves nothing."""

    def __init__(self, source: str, message: str) -> None:
        self.source = source
        super().__init__(message)


class SourceUnavailable(SourceError):
    """The file is absent or the fetch failed; it may pass by itself.

    `retry_at` is when the server of a feed asked to be tried again, if it did.
    """

    def __init__(
        self, source: str, message: str, retry_at: datetime | None = None
    ) -> None:
        self.retry_at = retry_at
        super().__init__(source, message)


class SourceMalformed(SourceError):
    """Something was read that is not a whole calendar; a person has to look."""


class StaleIndex(SourceError):
    """What this process knows of a source is older than what another member stored of it since."""

    def __init__(self, source: str) -> None:
        super().__init__(
            source, "another member has read it since; it is read anew at once"
        )


class ReservationError(SyncdError):
    """One change failed; the cycle goes on with the next."""


class NotExecuted(ReservationError):
    """The request provably had no effect, so repeating it is safe."""


class RateLimited(NotExecuted):
    """The API asked for patience (codes 1110, 1111, 1112, 1113, 1199, HTTP 429)."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Refused(ReservationError):
    """The API understood and said no; `code` and `message` are its own.

    The message may name people, so the text, which may be logged, leaves it out.
    """

    def __init__(self, code: int, message: str, tid: str = "") -> None:
        self.code = code
        self.message = message
        self.tid = tid
        super().__init__(f"the API refused it with code {code}")


class NotDone(ReservationError):
    """The API answered `success:true` with `result:false`: it failed, without code or cause.

    That it had no effect is what the answer says, not what it proves: look before doing it again.
    """


class OutcomeUnknown(ReservationError):
    """The request may have been carried out: look before doing anything again."""


class Unanswered(SyncdError):
    """The API refused a question, or answered it in a way that makes no sense.

    That concerns what was asked for alone: a question about a reservation or a list does not raise it, since
    what is known of them without an answer is a value.
    """


class ApiUnusable(SyncdError):
    """No call can succeed until a person or time changes something; `code` is the API's, if it gave one.

    Raised by a write it also means that the write had no effect.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class ApiUnreachable(ApiUnusable):
    """The API gave no answer, which may be a matter of the network of this machine."""


class ClockWrong(SyncdError):
    """The clock of this machine is so far from the API's that nothing may be decided by it."""


class LedgerError(SyncdError):
    """The ledger cannot be read or written."""


class LedgerLocked(LedgerError):
    """Another syncd owns this state."""


class LedgerAhead(LedgerLocked):
    """An instance of a later version works on this ledger and has converted it."""


class LedgerBusy(LedgerError):
    """Another program, such as a backup or a shell, keeps the database locked for too long."""


class LedgerTooNew(LedgerError):
    """The ledger was written by a later version of syncd."""


class LedgerMisplaced(LedgerError):
    """The ledger cannot be where the configuration says; waiting will not mend it."""


class LedgerUnfit(LedgerError):
    """The server of the ledger is set so that it may lose what it said is recorded."""


class LedgerAway(LedgerError):
    """The server of the ledger cannot be used now: it passes by itself, or its administrator sees to it."""


class CommitUnknown(LedgerAway):
    """The connection broke while something was recorded: it may be recorded, or come to be."""


class NotDurable(LedgerAway):
    """Something was recorded, but not as durably as the configuration asks for."""


class TermOver(LedgerError):
    """This process was the owner of the ledger and is so no more: it may record nothing."""
