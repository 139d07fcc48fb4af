"""What of the troubles that a look found is told, and what is not: values in, values out.

Alike things are told together, not too often, and not what only follows from something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo

from syncd.core.subject import (
    FOLLOW_FROM_API,
    OF_MANY,
    Alert,
    Subject,
    SubjectKind,
)

NOT_CONFIGURED = "not_configured"
"""Why the trouble of a source is over that is no longer in the configuration."""

# After a notice about what many come into, others are collected for so long.
_COLLECTED_FOR = timedelta(minutes=5)
# What was told later than this before a digest is not told by it again.
_FRESH = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a look at everything found: the troubles by name, and from when what it rests on is.

    `cycle_at` is when the last cycle ended, `readings` when each source that is configured was read last.
    """

    now: datetime
    alerts: Mapping[str, Alert]
    cycle_at: datetime
    readings: Mapping[str, datetime]

    def seen_at(self, subject: Subject) -> datetime | None:
        """Return from when what is known of a subject is; None if it is no longer configured."""
        match subject.kind:
            case SubjectKind.SOURCE:
                return self.readings.get(subject.name)
            case SubjectKind.CONFIGURATION:
                return self.now
            case _:
                return self.cycle_at


@dataclass(frozen=True, slots=True)
class News:
    """What one notice is about: subjects of one kind, all of them in trouble or all out of it."""

    kind: SubjectKind
    subjects: tuple[Subject, ...]

    @property
    def is_bad(self) -> bool:
        """Return whether it tells of trouble, and not of its end."""
        return self.subjects[0].is_open


@dataclass(frozen=True, slots=True)
class AlertDecision:
    """How the subjects stand that changed, and what is told, the worst first."""

    changed: tuple[Subject, ...]
    news: tuple[News, ...]


def decide_notices(known: Mapping[str, Subject], seen: Observation) -> AlertDecision:
    """Return what follows from a look for the subjects that are known, by name, and for new ones."""
    rules = _Rules.of(known, seen)
    changed: list[Subject] = []
    worth_telling: list[Subject] = []
    for name in {**seen.alerts, **known}:
        before = known.get(name)
        after = _looked_at(before, seen.alerts.get(name), seen, rules)
        if after is None or after == before:
            continue
        changed.append(after)
        if _is_worth_telling(before, after) and after.may_be_told(seen.now):
            worth_telling.append(after)
    return AlertDecision(tuple(changed), tuple(_together(worth_telling)))


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is not looked at now, and of what kinds beginnings and ends are told a little later, together."""

    left_out: frozenset[SubjectKind]
    collected: frozenset[tuple[SubjectKind, bool]]

    @classmethod
    def of(cls, known: Mapping[str, Subject], seen: Observation) -> _Rules:
        """Return the rules of a look."""
        collected = {
            (one.kind, one.is_known_open)
            for one in known.values()
            if _is_just_told(one, seen.now)
        }
        return cls(_left_out(known, seen), frozenset(collected))


def _is_just_told(subject: Subject, now: datetime) -> bool:
    if subject.kind not in OF_MANY or subject.told_at is None:
        return False
    return now - subject.told_at < _COLLECTED_FOR


def _left_out(
    known: Mapping[str, Subject], seen: Observation
) -> frozenset[SubjectKind]:
    """Return the kinds that are not looked at, because an API that cannot be used brings them about."""
    is_unusable = SubjectKind.API.value in seen.alerts
    api = known.get(SubjectKind.API.value)
    if is_unusable or (api is not None and api.is_open):
        return FOLLOW_FROM_API
    return frozenset()


def _looked_at(
    before: Subject | None,
    alert: Alert | None,
    seen: Observation,
    rules: _Rules,
) -> Subject | None:
    """Return a subject after a look; None if it is none yet."""
    if alert is not None:
        return _in_trouble(before, alert, rules)
    if before is None or before.kind in rules.left_out or not before.is_open:
        return before
    seen_at = seen.seen_at(before)
    if seen_at is None:
        last = replace(before.last, reason=NOT_CONFIGURED)
        return replace(before, last=last).over(seen.now)
    may_end = (before.kind, False) not in rules.collected
    return before.well(seen_at, seen.now, may_end=may_end)


def _in_trouble(before: Subject | None, alert: Alert, rules: _Rules) -> Subject | None:
    """Return a subject after a look that found something wrong with it; None if it is none yet."""
    if alert.kind in rules.left_out:
        return before
    may_begin = alert.is_due and (alert.kind, True) not in rules.collected
    if before is None:
        return Subject.of(alert) if may_begin else None
    if before.is_open or may_begin:
        return before.in_trouble(alert)
    return before


def _is_worth_telling(before: Subject | None, after: Subject) -> bool:
    """Tell whether a subject that changed says something that was not told."""
    if after.is_owed and (before is None or before.is_open != after.is_open):
        return True
    return (
        before is not None
        and after.is_open
        and before.last.fingerprint != after.last.fingerprint
    )


def _together(subjects: Iterable[Subject]) -> Iterable[News]:
    """Yield the subjects of each kind together, those in trouble apart from those out of it."""
    order = list(SubjectKind)
    for is_open in (True, False):
        for kind in order:
            alike = [
                one for one in subjects if (one.kind, one.is_open) == (kind, is_open)
            ]
            if alike:
                yield News(kind, tuple(alike))


def digest_of(known: Iterable[Subject], now: datetime) -> Sequence[Subject]:
    """Return what the digest of a day tells, the worst first; nothing if all of it was told a moment ago.

    That is what is still open, and what ended without a notice, because there had been too many.
    """
    told = [one for one in known if one.is_open or one.is_owed]
    if any(one.kind is SubjectKind.API and one.is_open for one in told):
        told = [one for one in told if one.kind not in FOLLOW_FROM_API]
    if not any(_is_to_be_told_again(one, now) for one in told):
        return ()
    order = list(SubjectKind)
    return sorted(told, key=lambda one: (not one.is_open, order.index(one.kind)))


def _is_to_be_told_again(subject: Subject, now: datetime) -> bool:
    if subject.is_owed or subject.told_at is None:
        return True
    return now - subject.told_at >= _FRESH


def digest_moment(now: datetime, at: time, zone: tzinfo) -> datetime:
    """Return when the last digest was due: the latest moment not after now that is `at` this time of day."""
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), at, zone)
    if today <= local:
        return today
    return datetime.combine(local.date() - timedelta(days=1), at, zone)
