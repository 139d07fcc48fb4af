"""What time it is at the API, told by a clock that nobody sets.

The API says its time in each answer; from then on a steady clock of this machine goes on counting.
So a wait is as long as it is meant to be, whatever becomes of the clock of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from syncd.core.occurrence import require_aware


@dataclass(frozen=True, slots=True)
class ApiTime:
    """A moment at the API, between `earliest` and `latest`, because an answer takes a while.

    `steady_s` is the same moment on the steady clock of this machine, in seconds since its start.
    """

    earliest: datetime
    latest: datetime
    steady_s: float

    def __post_init__(self) -> None:
        require_aware(self.earliest, "earliest")
        require_aware(self.latest, "latest")
        if self.latest < self.earliest:
            raise ValueError("the latest moment is not before the earliest")
