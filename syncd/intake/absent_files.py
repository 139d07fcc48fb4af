"""How long the files of a directory are gone, and which of them matter still.

Promises: a file counts as gone from the first complete reading that missed it, and nobody who sets the clock
of this machine shortens that: within a process a steady clock counts, and only the time between two processes
is told by the clock.
Must not: decide what follows from a file that is gone; `syncd.core.evidence` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from syncd.core.occurrence import Missing
from syncd.intake.former import Former
from syncd.intake.ports import Fetched, WorklistStore
from syncd.intake.source_index import SourceIndex

# So far from a steady clock a clock was set, and not only adjusted.
_STEPPED = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Glance:
    """One look at a source, or at what is known of it: its name and when, also on a steady clock."""

    source: str
    at: datetime
    at_s: float


@dataclass(slots=True)
class AbsentFiles:
    """The files of all sources that are gone.

    `grace` is `safety.file_grace`; the worklist tells which UIDs are open.
    """

    worklist: WorklistStore
    grace: timedelta
    elapsed: Callable[[], float]
    _since: dict[tuple[str, str, datetime], float] = field(default_factory=dict)
    _judged_in: dict[str, float] = field(default_factory=dict)

    def noted(
        self,
        glance: Glance,
        fetched: Fetched,
        known: SourceIndex,
        found: SourceIndex,
        *,
        complete: bool,
    ) -> SourceIndex:
        """Return what was found with the files that are gone since it was known, each with its time."""
        if not fetched.is_folder:
            if not found.is_folder:
                return found
            return replace(found, is_folder=False, formers=())
        formers: tuple[Former, ...] = ()
        if known.is_folder and known.secret == found.secret:
            named = {document.name for document in fetched.documents}
            formers = known.missing_after(found, named)
        if complete:
            formers = tuple(self._dated(glance, former) for former in formers)
        formers = self._that_matter(glance, formers, found)
        if found.is_folder and formers == found.formers:
            return found
        return replace(found, is_folder=True, formers=formers)

    def missing(self, glance: Glance, index: SourceIndex) -> tuple[Missing, ...]:
        """Return the files that are gone as a reading tells them."""
        missing: list[Missing] = []
        # Of an index its key alone, so that the others need not stay in memory.
        digests = SourceIndex(index.secret)
        for former in index.formers:
            if former.missed_at is None:
                continue
            missing.append(
                Missing(
                    document=former.name,
                    away=self._away(glance, former.name, former.missed_at),
                    alone=former.held == 1,
                    holds=_Holds(digests, former),
                )
            )
        return tuple(missing)

    def watch(
        self,
        glance: Glance,
        index: SourceIndex,
        missing: tuple[Missing, ...],
        *,
        complete: bool,
    ) -> None:
        """Remember when a source has to be looked at again, because a file was gone for long enough then."""
        source = glance.source
        here = {(source, former.name, former.missed_at) for former in index.formers}
        since: dict[tuple[str, str, datetime], float] = {}
        for key, at_s in self._since.items():
            is_own = key[0] == source
            if not is_own or key in here:
                since[key] = at_s
        self._since = since
        left = [
            self.grace - file.away for file in missing if file.is_awaited(self.grace)
        ]
        if left and complete:
            self._judged_in[source] = glance.at_s + min(left).total_seconds()
        else:
            self.forget(source)

    def forget(self, source: str) -> None:
        """Wait for nothing of a source: it cannot be read now."""
        self._judged_in.pop(source, None)

    def forget_source(self, source: str) -> None:
        """Know nothing of a source: for how long its files are gone is told by the clock, when it is read."""
        self.forget(source)
        own = [key for key in self._since if key[0] == source]
        for key in own:
            del self._since[key]

    def awaited(self) -> Mapping[str, timedelta]:
        """Return in how long each source is to be looked at again where a file is gone."""
        now_s = self.elapsed()
        awaited: dict[str, timedelta] = {}
        for name, at_s in self._judged_in.items():
            awaited[name] = timedelta(seconds=at_s - now_s)
        return awaited

    def _dated(self, glance: Glance, former: Former) -> Former:
        """Return the file with the moment at which it was missed first, by the clock as it goes now."""
        if former.missed_at is None:
            return replace(former, missed_at=glance.at)
        away = self._away(glance, former.name, former.missed_at)
        missed_at = glance.at - away
        if abs(missed_at - former.missed_at) <= _STEPPED:
            return former
        key = (glance.source, former.name, missed_at)
        self._since[key] = glance.at_s - away.total_seconds()
        return replace(former, missed_at=missed_at)

    def _away(self, glance: Glance, name: str, missed_at: datetime) -> timedelta:
        """Return for how long a file was gone when its source was looked at."""
        key = (glance.source, name, missed_at)
        if key not in self._since:
            before = max(timedelta(), glance.at - missed_at)
            self._since[key] = glance.at_s - before.total_seconds()
        away_s = glance.at_s - self._since[key]
        return timedelta(seconds=round(away_s, 3))

    def _that_matter(
        self, glance: Glance, formers: tuple[Former, ...], found: SourceIndex
    ) -> tuple[Former, ...]:
        """Leave out what was judged: once a file was gone for long enough, events of it that are at rest."""
        over = [former for former in formers if self._is_over(glance, former)]
        if not over:
            return formers
        ready = self.worklist.ready(glance.at)
        unsettled = frozenset(map(found.digest_of, ready))
        left: list[Former] = []
        for former in formers:
            uids = former.uids
            if former in over:
                uids &= unsettled
            if uids:
                left.append(replace(former, uids=uids))
        return tuple(left)

    def _is_over(self, glance: Glance, former: Former) -> bool:
        """Tell whether a file was gone for long enough."""
        if former.missed_at is None:
            return False
        return self._away(glance, former.name, former.missed_at) >= self.grace


@dataclass(frozen=True, slots=True)
class _Holds:
    """Tells whether a file that is gone held an event with a UID; `digests` has the key of the index."""

    digests: SourceIndex
    former: Former

    def __call__(self, uid: str) -> bool:
        return self.digests.digest_of(uid) in self.former.uids
