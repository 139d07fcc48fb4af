"""Subjects, alerts and observations for tests, without a ledger."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from syncd.core.subject import Alert, Subject, SubjectKind
from syncd.notices.decisions import AlertDecision, Observation, decide_notices

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def alert(
    kind: SubjectKind = SubjectKind.API,
    name: str = "",
    *,
    is_due: bool = True,
    fingerprint: str = "",
    detail: str = "Something is wrong.",
    reason: str = "wrong",
    number: int = 1,
    uid: str = "",
    topic: str = "",
    since: datetime = NOON,
    title: str = "",
) -> Alert:
    """What is wrong with a subject."""
    return Alert(
        name=name or kind.value,
        kind=kind,
        title=title or f"The {kind.value} is in trouble",
        detail=detail,
        command="syncd doctor",
        reason=reason,
        since=since,
        is_due=is_due,
        fingerprint=fingerprint,
        number=number,
        uid=uid,
        topic=topic,
        source=name.partition("/")[2],
    )


class Receivers:
    """What is known of subjects, and what was told of them, as looks come one after the other."""

    def __init__(self) -> None:
        self.now = NOON
        self.known: dict[str, Subject] = {}
        self.told: list[tuple[SubjectKind, bool, tuple[str, ...]]] = []

    def look(
        self,
        *alerts: Alert,
        after: timedelta = MINUTE,
        is_fresh: bool = True,
        sources: Iterable[str] = ("source/office", "source/sales"),
    ) -> AlertDecision:
        """Look `after` a time; not fresh: nothing new was found out since the look before."""
        self.now += after
        seen_at = self.now if is_fresh else self.now - after
        observation = Observation(
            now=self.now,
            alerts={one.name: one for one in alerts},
            cycle_at=seen_at,
            readings=dict.fromkeys(sources, seen_at),
        )
        decided = decide_notices(self.known, observation)
        self.known |= {one.name: one for one in decided.changed}
        for news in decided.news:
            names = tuple(one.name for one in news.subjects)
            self.told.append((news.kind, news.is_bad, names))
            for one in news.subjects:
                self.known[one.name] = one.told_now(self.now, f"n{len(self.told)}")
        return decided

    def take_told(self) -> list[tuple[SubjectKind, bool, tuple[str, ...]]]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return told
