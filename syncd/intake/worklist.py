"""Which UIDs a cycle has to look at, and which it leaves at rest.

The ledger says so, as long as all that it rests on is the same: the configuration, this version of
the program, and a clock that goes forward.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TypeAlias
from zoneinfo import ZoneInfo

from syncd.core.booking import Booking
from syncd.core.changes import Plan, Skip
from syncd.core.reasons import Reason
from syncd.core.totals import Rest, Skips
from syncd.intake.intake import Intake, Readings, program
from syncd.intake.ports import CalendarSource, IntakeLedger
from syncd.ledger.agenda import News
from syncd.ledger.facts import BASIS, DEFERRED_AT, Basis
from syncd.ledger.index_versions import ANEW

Deferred: TypeAlias = tuple[datetime | None, Skips]
"""Until when a UID is deferred (None: until it changes), and how many of its occurrences are skipped why."""

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_SET_BACK = timedelta(minutes=1)  # a clock that is slewed stays far below it


class Worklist:
    """The UIDs that are ready, and those that are deferred.

    `rules` are all that a plan rests on beside the sources; when they change, everything needs a look.
    What the directory says of people is believed for `people_kept`; None: it is not asked.
    """

    def __init__(
        self,
        ledger: IntakeLedger,
        intake: Intake,
        *,
        rules: object,
        horizon: timedelta,
        people_kept: timedelta | None,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._decides = rules
        self._horizon = horizon
        self._people_kept = people_kept
        # Of the UIDs that did not rest at last.
        self._noted: dict[str, Skips] = {}

    @cached_property
    def _rules(self) -> str:
        """Return the identity of the configuration as far as it decides anything."""
        settings = [_settings_of(source) for source in self._intake.sources]
        return _digest((self._decides, settings))

    def check(self, advance: timedelta | None, now: datetime) -> bool:
        """Tell whether what the worklist rests on is still so; otherwise see to it that every UID is looked at.

        Where the program or the rules changed, the UIDs of a source become ready when it is heard: a thousand
        sources are heard over many cycles, and each of these would load all that is ready.
        `advance` is how far ahead the tenant lets book.
        """
        facts = self._ledger.facts
        basis = Basis(program(), self._rules, str(advance))
        known = facts.get(BASIS)
        set_back = self._is_set_back(now)
        if known == basis and not set_back:
            return True
        is_other_program = known is None or known.program != basis.program
        if set_back or is_other_program:
            self._intake.forget(now, own_too=set_back)
            facts.set(DEFERRED_AT, now)
        if set_back:
            self._ledger.worklist.add_all()
        elif known is not None and known.has_rules_of(basis):
            # How far ahead may be booked means nothing for what has nothing within the horizon yet.
            self._ledger.worklist.add_all(booked=True)
        else:
            names = [source.name for source in self._intake.sources]
            self._ledger.worklist.require_anew(ANEW, names)
        facts.set(BASIS, basis)
        return False

    def _is_set_back(self, now: datetime) -> bool:
        """Tell whether the clock went back behind what was done by it before."""
        deferred_at = self._ledger.facts.get(DEFERRED_AT) or _AT_ONCE
        latest = max(deferred_at, self._intake.judged_at)
        return now < latest - _SET_BACK

    def ready(self, now: datetime) -> News:
        """Return the UIDs that need a look now, with what tells later whether there was news of one since."""
        return self._ledger.worklist.ready_with_news(now)

    def rest(
        self,
        ready: News,
        said: Readings,
        decided: Plan,
        bookings: Iterable[Booking],
        now: datetime,
    ) -> None:
        """Let those of the UIDs that are ready rest that a plan leaves at rest, or knows nothing of."""
        known = {booking.key.uid for booking in bookings}
        told_of = set(said.shelved)
        for reading in said.speaking.values():
            known.update(occurrence.key.uid for occurrence in reading.occurrences)
            told_of.update(defect.uid for defect in reading.defects)
        resting: dict[str, Deferred] = {}
        over: list[str] = []
        restless: list[str] = []
        for uid in ready.keys() - said.unheard:
            rest = decided.at_rest.get(uid)
            if rest is None:
                if uid in known:
                    restless.append(uid)
                    continue
                rest = Rest(None)
            following = said.next_start.get(uid)
            if _is_over(rest, following) and uid not in told_of:
                over.append(uid)
            else:
                resting[uid] = self._deferred(rest, following, now)
        if resting or over:
            self._ledger.worklist.defer(resting, over=over, at=now, seen=ready)
        self._note_skips(restless, decided)

    def _note_skips(self, restless: Iterable[str], decided: Plan) -> None:
        """Note what is skipped of UIDs that do not rest, if it is otherwise than they were noted last."""
        skips: defaultdict[str, Counter[Reason]] = defaultdict(Counter)
        for change in decided.changes:
            if isinstance(change, Skip) and not change.needs_person:
                skips[change.key.uid][change.reason] += 1
        noted: dict[str, Skips] = {}
        for uid in restless:
            own = skips.get(uid)
            if own:
                noted[uid] = own
        changed = {
            uid: noted.get(uid, {})
            for uid in noted.keys() | self._noted.keys()
            if noted.get(uid) != self._noted.get(uid)
        }
        self._noted = noted
        if changed:
            self._ledger.worklist.note_skips(changed)

    def deferred(
        self, rests: Mapping[str, Rest], said: Readings, now: datetime
    ) -> dict[str, Deferred]:
        """Return until when UIDs rest; those are left out that also stand in a source that is not heard."""
        lines: dict[str, Deferred] = {}
        for uid, rest in rests.items():
            if uid in said.unheard:
                continue
            lines[uid] = self._deferred(rest, said.next_start.get(uid), now)
        return lines

    def _deferred(
        self, rest: Rest, following: datetime | None, now: datetime
    ) -> Deferred:
        """Return until when a UID is deferred that rests so.

        `following` is when the first of its occurrences begins that is not within reach yet.
        """
        moments: list[datetime] = []
        if rest.until is not None:
            moments.append(rest.until)
        if self._people_kept is not None:
            moments.append(now + self._people_kept)
        if following is not None:
            moments.append(following - self._horizon)
        return min(moments, default=None), rest.skips


def _settings_of(source: CalendarSource) -> tuple[object, ...]:
    """Return what is configured of a source and decides about its events."""
    return (
        source.name,
        source.scope,
        source.confirmations,
        source.max_occurrences,
        source.locale,
    )


def _is_over(rest: Rest, following: datetime | None) -> bool:
    """Tell whether nothing of a UID is left, and nothing of it is to come."""
    return rest.until is None and following is None and rest.is_empty


def _digest(value: object) -> str:
    text = repr(_canonical(value))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _canonical(value: object) -> object:
    """Return what is equal for equal values in every process: sets have no order, some values no text."""
    if is_dataclass(value):
        parts: list[object] = [type(value).__name__]
        for field in fields(value):
            own = getattr(value, field.name)
            parts.append((field.name, _canonical(own)))
        return parts
    match value:
        case Mapping():
            items = [[repr(key), _canonical(item)] for key, item in value.items()]
            return sorted(items)
        case frozenset() | set():
            return sorted(repr(_canonical(item)) for item in value)
        case list() | tuple():
            return [_canonical(item) for item in value]
        case re.Pattern():
            return [value.pattern, value.flags]
        case ZoneInfo():
            return value.key
        case _:
            return repr(value)
