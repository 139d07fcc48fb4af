"""What needs no look for a while, and how much of a plan it is.

A UID is at rest when planning it again would say the same until a known moment: its reservations are as
its meetings want them, or it is known from when on it can be booked.
What is at rest is not planned; its `Tally` stands for it where a plan counts over everything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

from syncd.core.booking import Booking


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts by source of what is at rest.

    `unchanged` and `waiting` bookings, `live` reservations and `known` UIDs count for the source that decided
    their content; `shown` are live reservations by each source that shows them; `skipped` occurrences ask
    for no reservation.
    """

    unchanged: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    live: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Tally) -> Tally:
        """Without what is part of it."""
        return Tally(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))

    @property
    def text(self) -> str:
        """As JSON, without what is empty."""
        counts = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        return json.dumps(counts, separators=(",", ":"), sort_keys=True) if counts else ""

    @classmethod
    def of_text(cls, text: str) -> Tally:
        """What `text` wrote; raises ValueError, TypeError or AttributeError for anything else."""
        counts = json.loads(text) if text else {}
        return cls(**{name: Counter(by_source) for name, by_source in counts.items()})


@dataclass(frozen=True, slots=True)
class Rest:
    """How one UID rests: until when (None: until it changes), and what it adds to a plan."""

    until: datetime | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class Resting:
    """All that is at rest, as far as planning the others has to know.

    `holders` are the bookings, by reservation, whose slots others were refused for.
    """

    tally: Tally = field(default_factory=Tally)
    holders: Mapping[str, Booking] = field(default_factory=dict)
