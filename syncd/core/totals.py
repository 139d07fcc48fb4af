"""What is not planned because planning it again would say the same, as far as a plan counts over everything.

A UID is at rest until a known moment: its reservations are as its meetings want them, or it is known from
when on it can be booked.
The counts are asked of the ledger at each plan and stored nowhere, so that they cannot be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from syncd.core.booking import Booking
from syncd.core.occurrence import Reading
from syncd.core.reasons import Reason

Skips: TypeAlias = Mapping[Reason, int]
"""How many occurrences ask for no reservation, by the reason."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts by source over the UIDs that are at rest.

    `live` reservations and `known` UIDs count for the source that decided their content; `shown` are live
    reservations by each source that shows them; `skipped` is how many occurrences ask for no reservation.
    `shown` and `known` have the sources alone that a meeting or a booking of the plan names.
    """

    live: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """How one UID rests.

    `until` is when it needs a look (None: when it changes), `skips` how many of its occurrences ask for no
    reservation, by the reason; `is_empty` if it has neither those nor bookings.
    """

    until: datetime | None
    skips: Skips = field(default_factory=dict)
    is_empty: bool = True


@dataclass(frozen=True, slots=True)
class Resting:
    """All that is at rest, as far as planning the others has to know.

    `holders` are the bookings, by reservation, for whose slots others were refused, as they are by now.
    `readings` are those of all sources; None: of none but those of the plan.
    """

    totals: Totals = field(default_factory=Totals)
    readings: Mapping[str, Reading] | None = None
    holders: Mapping[str, Booking] = field(default_factory=dict)
