"""Subjects of notices: what can be in trouble, and what the receivers of notices were told of it last.

A subject is open while something is wrong with it, and closed after two good looks in a row.
Its transitions are methods here, so that the ledger only stores them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

MOST_A_DAY = 4
"""Notices about one subject within a day; what is beyond that is told by the daily digest."""

_DAY = timedelta(days=1)
_GOOD_LOOKS = 2
# Where nobody looks again for that long, being well all the time counts as the second good look.
_WELL_FOR = timedelta(minutes=5)


class SubjectKind(StrEnum):
    """What subjects there are, the worst first."""

    LEDGER = "ledger"
    API = "api"
    CLOCK = "clock"
    DOUBT = "doubt"
    VANISHED = "vanished"
    HELD = "held"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    SOURCE = "source"
    CONFIGURATION = "configuration"

    @property
    def is_told_when_over(self) -> bool:
        """Return whether its end is told too, and not its beginning alone."""
        return self not in {SubjectKind.REFUSED, SubjectKind.DUPLICATE}


OF_MANY = frozenset({SubjectKind.DOUBT, SubjectKind.SOURCE})
"""What many subjects come into one after the other, for one reason, such as a network that is down."""

FOLLOW_FROM_API = frozenset(
    {
        SubjectKind.DOUBT,
        SubjectKind.VANISHED,
        SubjectKind.DUPLICATE,
        SubjectKind.REFUSED,
    }
)
"""What an API that cannot be used brings about, and is not told as long as it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is wrong with a subject now: since when, why in a sentence, and the command to type.

    `is_due`: it lasts long enough to be told, or is of a kind that is told at once.
    `fingerprint` differs when it became another trouble that has to be told anew.
    `number` is how many things the one subject stands for, such as held cancellations.
    `room_id`, `start`, `end`, `uid` and `topic` are those of a meeting; `place` is where the page shows it.
    """

    name: str
    kind: SubjectKind
    title: str
    detail: str
    command: str
    reason: str
    since: datetime
    is_due: bool = True
    fingerprint: str = ""
    number: int = 1
    place: str = "/"
    uid: str = ""
    recurrence_id: str = ""
    source: str = ""
    room_id: str = ""
    topic: str = ""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """How a subject stands, and what was told of it.

    `is_open` since `since`; `is_known_open` is what the last notice said, `told_at` when.
    `told_lately` are the moments of the last notices, as many as a day may have.
    `good_looks` in a row were made since `well_since`, the last of them rested on what is known from `seen_at`.
    `thread` is the identifier of the notice that began the present story.
    `last` is the trouble that was seen last, `lasted` how long that was until it ended.
    """

    name: str
    kind: SubjectKind
    is_open: bool
    since: datetime
    last: Alert
    is_known_open: bool = False
    told_at: datetime | None = None
    told_lately: tuple[datetime, ...] = ()
    good_looks: int = 0
    well_since: datetime | None = None
    seen_at: datetime | None = None
    thread: str = ""
    lasted: timedelta = timedelta()

    @classmethod
    def of(cls, alert: Alert) -> Subject:
        """Return the subject of a trouble that begins, of which nothing was told yet."""
        return cls(
            name=alert.name,
            kind=alert.kind,
            is_open=True,
            since=alert.since,
            last=alert,
        )

    @property
    def is_owed(self) -> bool:
        """Return whether the last notice said something else than what is so."""
        return self.is_open != self.is_known_open

    def in_trouble(self, alert: Alert) -> Subject:
        """Return the subject with a trouble that is seen now."""
        is_new = not self.is_open
        since = alert.since if is_new else self.since
        return replace(
            self,
            is_open=True,
            since=since,
            last=replace(alert, since=since),
            good_looks=0,
            well_since=None,
            thread="" if is_new else self.thread,
        )

    def well(self, seen_at: datetime, now: datetime, *, may_end: bool) -> Subject:
        """Return the subject after a look that found nothing wrong, and that rests on what is from `seen_at`.

        Its trouble ends if that was seen often enough, and it `may_end` now.
        """
        looks = self.good_looks
        if self.seen_at is None or looks == 0 or seen_at > self.seen_at:
            looks += 1
        since = self.well_since or now
        seen = replace(self, good_looks=looks, well_since=since, seen_at=seen_at)
        is_sure = looks >= _GOOD_LOOKS or now - since >= _WELL_FOR
        return seen.over(now) if is_sure and may_end else seen

    def over(self, now: datetime) -> Subject:
        """Return the subject without its trouble, which ended with the first good look, or else now.

        An end that is not told is known at once.
        """
        knows_of_trouble = self.is_known_open and self.kind.is_told_when_over
        ended_at = self.well_since or now
        return replace(
            self,
            is_open=False,
            since=ended_at,
            lasted=max(ended_at - self.since, timedelta()),
            is_known_open=knows_of_trouble,
        )

    def told_now(self, now: datetime, notice: str) -> Subject:
        """Return the subject after a notice about it as it is."""
        return replace(
            self,
            is_known_open=self.is_open,
            told_at=now,
            told_lately=(*self.told_lately, now)[-MOST_A_DAY:],
            thread=self.thread or notice,
        )

    def may_be_told(self, now: datetime) -> bool:
        """Tell whether the day has room for one more notice; the last place is kept for a good end."""
        most = MOST_A_DAY
        if self.is_open and self.kind.is_told_when_over:
            most -= 1
        return self._number_told(now) < most

    def is_forgettable(self, now: datetime) -> bool:
        """Tell whether nothing about it has to be remembered any more."""
        if self.is_open or self.is_known_open:
            return False
        return self._number_told(now) == 0

    def _number_told(self, now: datetime) -> int:
        """Return how many notices there were within the last day."""
        return sum(now - at < _DAY for at in self.told_lately)
