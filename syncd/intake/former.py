"""The files of a directory that are gone, and the events that they held when they were last read.

A directory that other programs write into lacks a file for a moment again and again: a sync client removes it
and writes it anew, an export puts another one in its place. So what is missing is remembered, with the moment
at which it was missed first, and whoever judges an absence asks here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from syncd.intake.document_index import DocumentIndex


@dataclass(frozen=True, slots=True)
class Former:
    """A file that was whole once and is not among the whole ones now.

    `uids` are digests of the UIDs for which that still matters, `held` is how many there were.
    `missed_at` is when it was first missed; None while it is there, but not whole, or was not looked for.
    """

    name: str
    uids: frozenset[bytes] = field(repr=False)
    held: int
    missed_at: datetime | None = None

    @classmethod
    def of(cls, document: DocumentIndex) -> Former:
        """Return what is to be remembered of a file that was read whole."""
        uids = document.all_uids()
        return cls(document.name, uids, len(uids))

    def as_json(self) -> dict[str, Any]:
        """Return the file in a form that JSON can hold."""
        missed_at = self.missed_at.isoformat() if self.missed_at else None
        return {
            "name": self.name,
            "uids": sorted(map(bytes.hex, self.uids)),
            "held": self.held,
            "missed_at": missed_at,
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Former:
        """Return the file that `as_json` wrote; raises KeyError or ValueError for anything else."""
        missed_at: datetime | None = None
        if said["missed_at"]:
            missed_at = datetime.fromisoformat(said["missed_at"])
        return cls(
            name=said["name"],
            uids=frozenset(map(bytes.fromhex, said["uids"])),
            held=said["held"],
            missed_at=missed_at,
        )


def formers_after(
    known: Sequence[DocumentIndex],
    formers: Sequence[Former],
    found: Sequence[DocumentIndex],
    named: Collection[str],
) -> tuple[Former, ...]:
    """Return the files of a directory that are not among those found whole now.

    `known` were whole at the last look, `formers` were not; `named` are the names of all files that stand
    there, whole or not. A file is back under its own name, or under a new one that holds all its events.
    """
    away = [*_not_back(known, formers, found), *map(Former.of, _left(known, found))]
    if not away:
        return ()
    before = {document.name for document in known}
    before.update(former.name for former in formers)
    arrived = [document.all_uids() for document in found if document.name not in before]
    left: list[Former] = []
    for former in away:
        is_renamed = any(former.uids <= uids for uids in arrived)
        if not former.uids or is_renamed:
            continue
        if former.name in named:
            left.append(replace(former, missed_at=None))
        else:
            left.append(former)
    return tuple(left)


def _not_back(
    known: Sequence[DocumentIndex],
    formers: Sequence[Former],
    found: Sequence[DocumentIndex],
) -> list[Former]:
    """Return the files that were gone before and are not back under their names."""
    if not formers:
        return []
    before = Counter(document.name for document in known)
    before.update(former.name for former in formers)
    there = Counter(document.name for document in found)
    # Files below a glob may share a name: then all of them are back when there are as many as ever.
    return [former for former in formers if there[former.name] < before[former.name]]


def _left(
    known: Sequence[DocumentIndex], found: Sequence[DocumentIndex]
) -> list[DocumentIndex]:
    """Return the indexes of files that are no longer found.

    Files below a glob may share a name; those of which the least is left are taken for the ones that went.
    """
    same = set(found)
    others = [document for document in known if document not in same]
    same.difference_update(known)
    # All others are as they were.
    fewer = Counter(document.name for document in others)
    fewer.subtract(document.name for document in same)
    lost = {name: count for name, count in fewer.items() if count > 0}
    if not lost:
        return []
    here: dict[str, set[bytes]] = {name: set() for name in lost}
    for document in found:
        if document.name in lost:
            here[document.name] |= document.all_uids()

    def uids_gone_with(document: DocumentIndex) -> int:
        return len(document.all_uids() - here[document.name])

    left: list[DocumentIndex] = []
    for name, count in lost.items():
        own = [document for document in others if document.name == name]
        own.sort(key=uids_gone_with, reverse=True)
        left += own[:count]
    return left
