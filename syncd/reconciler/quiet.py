"""Recognises that nothing can have changed, so that the cycle of a quiet world costs next to nothing.

After a cycle that left nothing to do, it is remembered what that rests on: the configuration, what each
source looks like from outside, how far the ledger had come, and until when time alone changes nothing.
As long as all of it is the same, reading, mapping and planning again would say the same again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from syncd import __version__
from syncd.core.changes import Hold, Plan
from syncd.core.occurrence import Days, Moment, Timespan
from syncd.core.reasons import Reason
from syncd.core.reservation import Booking
from syncd.core.witness import Witnessed
from syncd.reconciler.outcome import CycleReport
from syncd.reconciler.ports import CalendarSource, Ledger, Settings

_FACT = "calm"


@dataclass(frozen=True, slots=True)
class Calm:
    """A cycle that left nothing to do; `signatures` and `events` are by source.

    `since` and `until` are epoch seconds.
    """

    rests_on: str
    signatures: Mapping[str, str]
    events: Mapping[str, int]
    progress: int
    since: float
    until: float
    counts: Mapping[str, int]


class Quiet:
    """Remembers calm in the ledger, and says whether it lasts."""

    def __init__(self, sources: Iterable[CalendarSource], ledger: Ledger, settings: Settings) -> None:
        self._sources = {source.name: source for source in sources}
        self._ledger = ledger
        self._settings = settings
        read_alike = [(s.name, s.scope, s.confirmations, repr(s.locale)) for s in self._sources.values()]
        rests_on = repr((__version__, settings, read_alike))
        self._rests_on = hashlib.sha256(rests_on.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def lasting(self, names: Collection[str] | None, now: datetime) -> Calm | None:
        """The calm that a cycle reading these sources (None: all) would find again; None if it might not."""
        stored = self._ledger.get_fact(_FACT)
        if not stored:
            return None
        calm = Calm(**json.loads(stored))
        lasts = (
            calm.rests_on == self._rests_on
            and calm.since <= now.timestamp() < calm.until
            and calm.progress == self._ledger.progress
            and not (self._ledger.fresh or self._ledger.approved() or self._ledger.decisions())
            and all(
                source.signature(now) == calm.signatures.get(name)
                for name, source in self._sources.items()
                if names is None or name in names
            )
        )
        return calm if lasts else None

    def remember(
        self,
        report: CycleReport,
        witnessed: Iterable[Witnessed],
        current: Iterable[Booking],
        due_at: datetime,
        now: datetime,
    ) -> None:
        """Keep what this cycle rests on, if it left nothing to do and saw all sources; else forget."""
        signatures = {name: source.signature(now) for name, source in self._sources.items()}
        calm = ""
        if _is_calm(report) and len(report.sources) == len(signatures) and None not in signatures.values():
            until = min(due_at, *self._turns(witnessed, current, now))
            value = Calm(
                rests_on=self._rests_on,
                signatures={name: text for name, text in signatures.items() if text is not None},
                events={source.name: source.events for source in report.sources},
                progress=self._ledger.progress,
                since=now.timestamp(),
                until=until.timestamp(),
                counts=dict(report.counts),
            )
            calm = json.dumps(asdict(value))
        if self._ledger.get_fact(_FACT) != calm:
            self._ledger.set_fact(_FACT, calm)

    def _turns(
        self, witnessed: Iterable[Witnessed], current: Iterable[Booking], now: datetime
    ) -> Iterable[datetime]:
        """When time alone changes something: a meeting enters the horizon or is over, a day ends."""
        yield (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        for booking in current:
            yield from (moment for moment in (booking.spec.start, booking.spec.end) if moment > now)
        for seen in witnessed:
            match seen.occurrence.when:
                case Timespan(start=start, end=end):
                    edges = (start - self._settings.horizon, end)
                case Moment(start=start):
                    edges = (start - self._settings.horizon, start)
                case Days(start=first):
                    # Where they begin depends on a zone: half a day is the farthest that zones are away.
                    begins = datetime(first.year, first.month, first.day, tzinfo=UTC)
                    edges = (begins - self._settings.horizon - timedelta(hours=14), now + timedelta(hours=1))
            yield from (edge for edge in edges if edge > now)


def _is_calm(report: CycleReport) -> bool:
    """Whether a cycle left nothing that the next one would do or find otherwise."""
    plan = report.plan
    return (
        plan is not None
        and report.error is None
        and not report.interrupted
        and not any(source.error or source.notes for source in report.sources)
        and not (plan.writes or plan.amended or plan.closed or report.counts["in_doubt"])
        and not any(_may_settle_by_itself(plan))
    )


def _may_settle_by_itself(plan: Plan) -> Iterable[bool]:
    for change in plan.changes:
        yield isinstance(change, Hold) or change.reason is Reason.CALL_BUDGET
