"""Looks at how things stand after each cycle, and leaves in the outbox what is worth telling.

Promises: what changes about a subject and the notices that tell of it are in the ledger together or not at
all; without a channel nothing is looked at.
Must not: wait for a receiver, or write anywhere but to the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from syncd.config import Config
from syncd.core.booking import Booking
from syncd.core.resolve import full_name
from syncd.core.subject import Alert, Subject, SubjectKind
from syncd.ledger import Ledger
from syncd.ledger.notices import DIGEST_AT, OutboxNotice
from syncd.notices.alerts import observed
from syncd.notices.channels import channel_names
from syncd.notices.decisions import (
    AlertDecision,
    decide_notices,
    digest_moment,
    digest_of,
)
from syncd.notices.notice import Composer, new_notice_name
from syncd.views.status import Status

# Between looks: of cycles that follow each other closely one look sees what several did.
_BETWEEN_LOOKS_S = 1.0
# While something is wrong: it may be told later, or be over without a cycle.
_AGAIN_S = 15.0
# What is refused in cycles that go on with each other is told together, after that long at the latest.
_LONGEST_COLLECTING_S = 600.0
# Otherwise, for the digest of a day.
_NOW_AND_THEN_S = 60.0


class Teller:
    """What is told by one process that owns a ledger."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        clock: Callable[[], datetime],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._elapsed = elapsed
        self._known: dict[str, Subject] | None = None  # before the ledger was asked
        self._was_cycle = False
        self._was_any_cycle = False
        self._writing_since_s: float | None = None
        self._looked_at_s = -_NOW_AND_THEN_S
        self._is_any_alert = False
        self.take_over(config)

    def take_over(self, config: Config) -> None:
        """Go by another configuration."""
        self._config = config
        self._channels = channel_names(config)

    def note_cycle(self, *, goes_on: bool = False) -> None:
        """Note that a cycle ended; it `goes_on` if it left something to the next one."""
        self._was_cycle = True
        self._was_any_cycle = True
        if not goes_on:
            self._writing_since_s = None
        elif self._writing_since_s is None:
            self._writing_since_s = self._elapsed()

    def look_when_due(self, problems: Sequence[str]) -> bool:
        """Look if that is due; return whether anything is in the outbox since; raise `LedgerError`.

        `problems` keep the configuration file from being used.
        Before the first cycle the ledger tells how things stood when the last process ended.
        """
        if not self._was_any_cycle:
            return False
        since_s = self._elapsed() - self._looked_at_s
        return since_s >= self._pause_s() and self.look(problems)

    def _pause_s(self) -> float:
        if self._was_cycle:
            return _BETWEEN_LOOKS_S
        if self._is_any_alert:
            return _AGAIN_S
        return _NOW_AND_THEN_S

    def look(self, problems: Sequence[str] = ()) -> bool:
        """Look how things stand; return whether anything is in the outbox since; raise `LedgerError`."""
        if not self._channels:
            return False
        self._looked_at_s = self._elapsed()
        now = self._clock()
        self._was_cycle = False
        if self._known is None:
            self._known = self._ledger.notices.subjects()
        status = Status.of(self._ledger, self._config, now=now, problems=problems)
        if status.last_cycle is None:
            return False
        seen = observed(status, is_writing=self._is_writing())
        decided = decide_notices(self._known, seen)
        self._is_any_alert = bool(seen.alerts) or any(
            subject.is_open for subject in self._known.values()
        )
        return self._store(decided, now)

    def _is_writing(self) -> bool:
        """Return whether cycles go on with what they left, for not too long."""
        if self._writing_since_s is None:
            return False
        return self._elapsed() - self._writing_since_s < _LONGEST_COLLECTING_S

    def _store(self, decided: AlertDecision, now: datetime) -> bool:
        """Store what was decided, with the notices about it and the digest if that is due."""
        assert self._known is not None  # it was looked at
        composer = Composer(self._config, self._booking_of)
        notices: list[OutboxNotice] = []
        changed = {subject.name: subject for subject in decided.changed}
        for news in decided.news:
            name = new_notice_name()
            notices.append(composer.compose(news, name, now))
            for subject in news.subjects:
                changed[subject.name] = subject.told_now(now, name)
        digest_at, due = self._digest({**self._known, **changed}, now)
        if due:
            notices.append(self._compose_digest(composer, due, now))
            for subject in due:
                changed[subject.name] = replace(
                    subject, is_known_open=subject.is_open, told_at=now
                )
        self._record({**self._known, **changed}, changed, notices, now, digest_at)
        return bool(notices)

    def _compose_digest(
        self, composer: Composer, due: Sequence[Subject], now: datetime
    ) -> OutboxNotice:
        """Return the digest of what is open, with how many notices were given up since the one before."""
        given_up = sum(self._given_up(channel) for channel in self._channels)
        return composer.digest(due, new_notice_name(), now, given_up)

    def _record(
        self,
        known: dict[str, Subject],
        changed: Mapping[str, Subject],
        notices: Sequence[OutboxNotice],
        now: datetime,
        digest_at: datetime | None,
    ) -> None:
        """Record what changed of the known subjects, and the notices, in one transaction."""
        forgotten = [one.name for one in known.values() if one.is_forgettable(now)]
        if changed or forgotten or digest_at is not None:
            self._ledger.notices.record(
                [one for one in changed.values() if one.name not in forgotten],
                forgotten,
                notices,
                self._channels,
                now,
                digest_at,
            )
        for name in forgotten:
            del known[name]
        self._known = known

    def _given_up(self, channel: str) -> int:
        """Return how many notices of a channel were given up since the last digest."""
        last = self._ledger.facts.get(DIGEST_AT)
        assert last is not None  # else there is no digest yet
        return self._ledger.notices.given_up(channel, last)

    def _digest(
        self, known: dict[str, Subject], now: datetime
    ) -> tuple[datetime | None, Sequence[Subject]]:
        """Return the moment of the digest that has come, None if none has, and what it tells."""
        calendar = self._config.calendar
        at = digest_moment(now, calendar.working_hours[0], calendar.timezone)
        last = self._ledger.facts.get(DIGEST_AT)
        if last is None:
            return now, ()  # the first one is that of the next day
        if last >= at:
            return None, ()
        return now, digest_of(known.values(), now)

    def _booking_of(self, alert: Alert) -> Booking | None:
        """Return the booking that an alert is about; None if it is about none."""
        if alert.kind not in {SubjectKind.REFUSED, SubjectKind.DOUBT}:
            return None
        for booking in self._ledger.bookings.of(alert.uid):
            if alert.name == f"booking/{full_name(booking)}/{alert.kind.value}":
                return booking
        return None
