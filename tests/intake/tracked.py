"""The series that a test says matter already, for `syncd.intake.diff_source`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.ics.vevent import RawEvent


@dataclass(frozen=True)
class Tracked:
    """A `TrackedSeries` of these UIDs that are booked, and these events that are kept, by UID."""

    booked: Callable[[str], bool] = lambda _uid: False
    kept: Mapping[str, Sequence[RawEvent]] = field(default_factory=dict)

    def tracked_among(self, uids: Collection[str]) -> set[str]:
        """Those of the UIDs that are booked."""
        return {uid for uid in uids if self.booked(uid)}

    def uids(self) -> Iterable[str]:
        """The UIDs of which events are kept."""
        return tuple(self.kept)

    def events_of(self, uid: str) -> Sequence[RawEvent]:
        """The events of a UID that are kept."""
        return self.kept.get(uid, ())


NOTHING = Tracked()
