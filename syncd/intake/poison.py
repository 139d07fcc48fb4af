"""Sets aside what ended the process twice in the same place, until it changes or some time has passed.

What a process was working on when it died is counted by the next one; a piece of work that comes to its end
is no longer suspected.
So a calendar that ends the process costs two starts, then only itself; and one that was read by chance while
the power failed twice is read again after an hour.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import structlog

from syncd.core.backoff import backed_off
from syncd.intake.ports import IntakeLedger, WorkItem
from syncd.ledger.facts import Fact

log = structlog.get_logger(__name__)

_DEATHS = 2  # in the same place, from which on it is set aside
_FIRST_WAIT = timedelta(hours=1)
_LONGEST_WAIT = timedelta(days=1)
_CHANGES = 3  # deaths from which on a changed text is not read at once either: it may change at every reading


_Work: TypeAlias = tuple[str, str]  # a source and a UID of it; empty: the source


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A source, or a UID of it, in which the process died so many times in a row; `at` is the last time."""

    source: str
    uid: str
    digest: str
    deaths: int
    at: str

    @property
    def until(self) -> datetime:
        """Return the moment at which it is tried again."""
        waits = backed_off(_FIRST_WAIT, self.deaths - _DEATHS + 1, _LONGEST_WAIT)
        return datetime.fromisoformat(self.at) + waits


def _encode_suspects(suspects: list[_Suspect]) -> str:
    return json.dumps([asdict(suspect) for suspect in suspects])


def _decode_suspects(text: str) -> list[_Suspect]:
    return [_Suspect(**told) for told in json.loads(text)]


_SET_ASIDE = Fact("set_aside", _encode_suspects, _decode_suspects)


class Poison:
    """What is suspected of ending the process, as the ledger knows it."""

    def __init__(self, ledger: IntakeLedger, now: datetime) -> None:
        """Count the death of a former process, if there was one."""
        self._ledger = ledger
        self._suspects = _by_work(ledger.facts.get(_SET_ASIDE))
        self._unstored: set[_Work] = set()
        left = ledger.under_way.take_left()
        for item in left:
            suspect = self._suspect(item, now)
            aside: dict[str, str] = {}
            if suspect.deaths >= _DEATHS:
                aside["set_aside_until"] = suspect.until.isoformat()
            log.warning(
                "ended while reading",
                source=suspect.source,
                uid=suspect.uid,
                deaths=suspect.deaths,
                **aside,
            )
        if left:
            self._store()

    def reload(self) -> None:
        """Take what other members of a shared ledger suspect."""
        self._suspects = _by_work(self._ledger.facts.get(_SET_ASIDE))

    def _suspect(self, item: WorkItem, now: datetime) -> _Suspect:
        """Count a death of the process while it did some work; return who is suspected of it."""
        key = (item.source, item.uid)
        deaths = 1
        digest = item.digest
        known = self._suspects.get(key)
        if known is not None:
            deaths += known.deaths
            digest = digest or known.digest
        suspect = _Suspect(
            source=item.source,
            uid=item.uid,
            digest=digest,
            deaths=deaths,
            at=now.isoformat(),
        )
        self._suspects[key] = suspect
        self._unstored.add(key)
        return suspect

    def why_not(
        self, source: str, uid: str, digest: str, now: datetime
    ) -> tuple[str, datetime] | None:
        """Return why a source (`uid` empty) or a UID is not read now, and until when; None if it is read."""
        if not self._suspects:
            return None
        suspect = self._suspects.get((source, uid[:500]))
        if suspect is None or suspect.deaths < _DEATHS or now >= suspect.until:
            return None
        changed = bool(suspect.digest) and suspect.digest != digest
        if changed and suspect.deaths < _CHANGES:
            return None
        what = "the event" if uid else "the calendar"
        again = f"{suspect.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        sentence = (
            f"{what} is set aside, because syncd ended {suspect.deaths} times while reading it; it is "
            f"read again at {again} or when it changes; look at its text, or at the memory that the service "
            "has, and at its log"
        )
        return sentence, suspect.until

    def survived(
        self, sources: Iterable[str], uids: Collection[str], now: datetime
    ) -> None:
        """Clear of suspicion the sources that a cycle read, and the UIDs that it looked at."""
        if not self._suspects:
            return
        whole = set(sources)
        cleared: list[_Work] = []
        for key, suspect in self._suspects.items():
            was_read = suspect.uid in uids if suspect.uid else suspect.source in whole
            if was_read and not self._is_aside(suspect, now):
                cleared.append(key)
        for key in cleared:
            del self._suspects[key]
        if cleared:
            self._unstored.update(cleared)
            self._store()

    def forget(self) -> None:
        """Read everything again: a person asked for it."""
        self._suspects = {
            key: replace(suspect, deaths=1) for key, suspect in self._suspects.items()
        }
        self._unstored.update(self._suspects)

    def _is_aside(self, suspect: _Suspect, now: datetime) -> bool:
        why = self.why_not(suspect.source, suspect.uid, suspect.digest, now)
        return why is not None

    def _store(self) -> None:
        """Store what is suspected otherwise, beside what other members of a shared ledger suspect by now."""
        own = {work: self._suspects.get(work) for work in self._unstored}

        def with_own(known_ones: list[_Suspect] | None) -> list[_Suspect]:
            merged = _by_work(known_ones)
            for work, suspect in own.items():
                merged.pop(work, None)
                if suspect is not None:
                    merged[work] = suspect
            return list(merged.values())

        self._suspects = _by_work(self._ledger.facts.change(_SET_ASIDE, with_own))
        self._unstored.clear()


def _by_work(suspects: Iterable[_Suspect] | None) -> dict[_Work, _Suspect]:
    return {(suspect.source, suspect.uid): suspect for suspect in suspects or ()}
