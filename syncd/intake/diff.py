"""What the documents of a source say otherwise than when they were read last, told by digests.

Of a large calendar only what changed and still matters goes on to be parsed.
The order of events means nothing; an event that stands there twice does.
Nothing in here knows what a property means.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, compress, count
from typing import TypeAlias

from syncd.core.document import Document
from syncd.errors import SourceError
from syncd.ics.content import Incomplete
from syncd.ics.vevent import RawEvent
from syncd.intake.columns import CELL, cells_of
from syncd.intake.document_index import DocumentIndex
from syncd.intake.indexer import DocumentIndexer
from syncd.intake.ports import TrackedSeries
from syncd.intake.source_index import SourceIndex
from syncd.intake.vevents import (
    event_of,
    may_share_identity,
    without_dtstamp,
    without_revision,
)

_Span: TypeAlias = tuple[DocumentIndex, int, int]
"""Rows of a document, from the first to behind the last."""

_Place: TypeAlias = tuple[int, int]
"""Where an event stands: the number of its document, and the row."""


@dataclass(frozen=True, slots=True)
class SourceDiff:
    """What is different in a source.

    `changed` has, by UID ("" for events that have none), all events of it in the source, if they say
    something else than before and matter; none of them: it is gone, or it no longer matters.
    `restamped` has those of which only SEQUENCE, LAST-MODIFIED or CREATED are other ones.
    `problems` is a sentence for each document that could not be had or is not whole.
    """

    index: SourceIndex
    changed: Mapping[str, tuple[RawEvent, ...]]
    restamped: Mapping[str, tuple[RawEvent, ...]]
    problems: tuple[str, ...]


def diff_source(
    documents: Iterable[Document],
    parent: SourceIndex,
    *,
    secret: int,
    is_current: Callable[[bytes], bool],
    tracked: TrackedSeries,
    problems: Sequence[str] = (),
) -> SourceDiff:
    """Compare the documents of a source with their index of last time; return what is different.

    `secret` (64 bits) is the key of the digests.
    `is_current` tells of the text of an event whether it can have an occurrence that is not over.
    `problems` are sentences about documents that could not be had at all.
    A document that changes while it is read makes all of the diff void, until the next time.
    """
    if parent.secret != secret:
        parent = SourceIndex(secret)
    new = _NewEvents(is_current, tracked)
    indexer = DocumentIndexer(secret, new.add)
    parents = _Parents(parent)
    told = list(problems)
    seen: list[tuple[Document, DocumentIndex]] = []
    for document in documents:
        try:
            seen.append((document, parents.index_of(document, indexer)))
        except Incomplete as error:
            told.append(f"{document.name} {error}")
        except SourceError as error:
            told.append(str(error))
    try:
        return _Comparison(parent, seen, new, indexer, is_current, tracked).diff(told)
    except SourceError as error:
        return SourceDiff(parent, {}, {}, (*told, str(error)))


class _Parents:
    """The documents of a parent, each of which is compared with one document at most."""

    def __init__(self, parent: SourceIndex) -> None:
        self._left: dict[tuple[str, str], list[DocumentIndex]] = {}
        for index in parent.documents:
            self._left.setdefault(index.location, []).append(index)

    def index_of(self, document: Document, indexer: DocumentIndexer) -> DocumentIndex:
        """Return the index of a document, which is only read if it may have changed.

        Raises `Incomplete` if it is not whole, and `SourceError` if it cannot be had.
        """
        left = self._left.get((document.name, document.base_url), [])
        same = [index for index in left if index.signature == document.signature != ""]
        if same:
            left.remove(same[0])
            return same[0]
        parent = left.pop(0) if left else DocumentIndex(document.name)
        return indexer.index_document(document, parent)


class _NewEvents:
    """The events that the parent does not have, as far as they matter.

    `names` are the UIDs, by their digests, of which one matters: it is current, or its UID is tracked.
    `current` are the verbatim digests of those that are not over.
    `texts` has the texts of events of these UIDs, by verbatim digest, as far as they were seen.
    """

    def __init__(
        self, is_current: Callable[[bytes], bool], tracked: TrackedSeries
    ) -> None:
        self._is_current = is_current
        self._tracked = tracked
        self.names: dict[bytes, str] = {}
        self.current: set[bytes] = set()
        self.texts: dict[bytes, bytes] = {}

    def add(self, verbatim: bytes, names: Mapping[bytes, str], text: bytes) -> None:
        """Look at an event; keep its text if one of its UIDs is seen to matter by now."""
        if self._is_current(text):
            self.current.add(verbatim)
            self.names.update(names)
        else:
            for uid, name in names.items():
                if self._tracked.is_tracked(name):
                    self.names[uid] = name
        if not self.names.keys().isdisjoint(names):
            self.texts[verbatim] = text


class _Comparison:
    """The documents of a source, indexed, beside those of the parent."""

    def __init__(
        self,
        parent: SourceIndex,
        seen: Sequence[tuple[Document, DocumentIndex]],
        new: _NewEvents,
        indexer: DocumentIndexer,
        is_current: Callable[[bytes], bool],
        tracked: TrackedSeries,
    ) -> None:
        self._parent = parent
        self._seen = seen
        self._documents = tuple(index for _, index in seen)
        here, there = set(self._documents), set(parent.documents)
        self._before = [index for index in parent.documents if index not in here]
        self._after = [index for index in self._documents if index not in there]
        self._new = new
        self._indexer = indexer
        self._is_current = is_current
        self._tracked = tracked

    @functools.cached_property
    def _kept(self) -> dict[bytes, str]:
        """Return the UIDs of which the caller keeps events, by their digests."""
        names = list(self._tracked.uids())
        return dict(
            zip(
                self._indexer.digests(name.encode() for name in names),
                names,
                strict=True,
            )
        )

    def diff(self, problems: Sequence[str]) -> SourceDiff:
        """Return what is different; raises `SourceError` if a document cannot be read a second time."""
        changed = self._changed_uids()
        places = self._places_of_known(changed)
        live = {
            uid: own for uid, own in places.items() if own and self._matters(uid, own)
        }
        gone = {
            self._kept[uid]: ()
            for uid in places
            if uid not in live and uid in self._kept
        }
        self._load_missing_texts(chain.from_iterable(live.values()))
        events = {uid: self._events_at(own) for uid, own in live.items()}
        shared = frozenset(
            uid for uid, own in events.items() if _may_share_identity(own)
        )
        ambiguous = self._parent.ambiguous.difference(changed) | shared
        restamped = self._restamped(live, self._parent.ambiguous | ambiguous)
        return SourceDiff(
            self._index(ambiguous),
            gone
            | {
                self._name(uid): own
                for uid, own in events.items()
                if uid not in restamped
            },
            {self._name(uid): own for uid, own in events.items() if uid in restamped},
            tuple(problems),
        )

    def _changed_uids(self) -> dict[bytes, None]:
        """Return the UIDs that have another multiset of events; of ambiguous ones DTSTAMP counts, too."""
        changed = dict.fromkeys(_uids_unlike(self._before, self._after))
        changed |= dict.fromkeys(
            _uids_restamped(self._before, self._after, self._parent.ambiguous)
        )
        if not self._parent.documents:
            # Nothing else tells what is gone since it was kept.
            changed |= dict.fromkeys(self._kept)
        return changed

    def _places_of_known(self, changed: Iterable[bytes]) -> dict[bytes, list[_Place]]:
        """Return where each of these UIDs stands, leaving out all of which nothing mattered or does now."""
        places: dict[bytes, list[_Place]] = {}
        for uid in changed:
            if uid in self._new.names or uid in self._kept:
                places[uid] = []
        if not places:
            return places
        for number, index in enumerate(self._documents):
            for row in index.rows_of(places):
                for uid in index.uids_at(row):
                    if uid in places:
                        places[uid].append((number, row))
        return places

    def _matters(self, uid: bytes, places: Iterable[_Place]) -> bool:
        """Tell whether a UID is tracked, or has an event that is current; take up texts of kept events."""
        name = self._name(uid)
        rows = [(self._documents[number], row) for number, row in places]
        verbatim = {index.verbatim[row] for index, row in rows}
        # The caller may have to look up all that it knows to tell what is tracked.
        matters = not self._new.current.isdisjoint(
            verbatim
        ) or self._tracked.is_tracked(name)
        if verbatim <= self._new.texts.keys() or uid not in self._kept:
            return matters
        unrevised = {index.without_revision[row] for index, row in rows}
        for kept in self._tracked.events_of(name):
            event = event_of(kept.text)
            as_written, revised = self._indexer.digests(
                (event, without_revision(without_dtstamp(event)))
            )
            if not matters and revised in unrevised:
                matters = self._is_current(kept.text)
            if as_written in verbatim:
                self._new.texts[as_written] = kept.text
        return matters

    def _load_missing_texts(self, places: Iterable[_Place]) -> None:
        """Read again the documents with events of which nobody has the text; raises `SourceError`."""
        missing: dict[int, set[int]] = {}
        for number, row in places:
            if self._documents[number].verbatim[row] not in self._new.texts:
                missing.setdefault(number, set()).add(row)
        for number, rows in missing.items():
            document, index = self._seen[number]
            texts = self._indexer.texts_at(rows, index, document)
            self._new.texts.update(
                (index.verbatim[row], text) for row, text in texts.items()
            )

    def _events_at(self, places: Sequence[_Place]) -> tuple[RawEvent, ...]:
        """Return the events of one UID, which stand at these places."""
        numbers: dict[tuple[int, str], dict[int, int]] = {}
        events: list[RawEvent] = []
        for document, row in places:
            index = self._documents[document]
            calendar = index.calendar_at(row)
            context = index.calendars[calendar][1]
            number = _number(calendar, numbers.setdefault((document, context), {}))
            text = self._new.texts[index.verbatim[row]]
            events.append(RawEvent(context, index.starts[row], text, number))
        return tuple(events)

    def _restamped(
        self, uids: Collection[bytes], ambiguous: Collection[bytes]
    ) -> frozenset[bytes]:
        """Return those of the UIDs of which only the revision is another one; never an ambiguous one."""
        old, new = (
            _without_revisions(self._before, uids),
            _without_revisions(self._after, uids),
        )
        return frozenset(
            uid for uid in uids if uid not in ambiguous and old.get(uid) == new.get(uid)
        )

    def _index(self, ambiguous: frozenset[bytes]) -> SourceIndex:
        """Return the index of the source as it is now; the parent itself if nothing is different."""
        if (
            self._documents == self._parent.documents
            and ambiguous == self._parent.ambiguous
        ):
            return self._parent
        return SourceIndex(self._indexer.secret, self._documents, ambiguous)

    def _name(self, uid: bytes) -> str:
        return self._new.names[uid] if uid in self._new.names else self._kept[uid]


def _may_share_identity(events: Sequence[RawEvent]) -> bool:
    """Tell whether two events of a UID may be about the same occurrence, so that DTSTAMP may decide."""
    calendars = {(event.context, event.calendar) for event in events}
    return len(calendars) > 1 or may_share_identity([event.text for event in events])


def _without_revisions(
    documents: Iterable[DocumentIndex], uids: Collection[bytes]
) -> dict[bytes, Counter[tuple[str, bytes]]]:
    """Return, by UID, the multiset of its digests without revision, each with the key of its context."""
    found: dict[bytes, Counter[tuple[str, bytes]]] = {}
    if not uids:
        return found
    for index in documents:
        for row in index.rows_of(uids):
            for uid in index.uids_at(row):
                found.setdefault(uid, Counter())[
                    index.context_at(row), index.without_revision[row]
                ] += 1
    return found


def _number(calendar: int, known: dict[int, int]) -> int:
    """Return which of the VCALENDARs of one context and UID this one is, from 0, as they come to be known."""
    return known.setdefault(calendar, len(known))


def _uids_unlike(
    before: Iterable[DocumentIndex], after: Iterable[DocumentIndex]
) -> Iterator[bytes]:
    """Yield the UIDs of which an event is new, gone, or there another number of times, but for DTSTAMP."""
    contexts: dict[str, tuple[list[_Span], list[_Span]]] = {}
    for side, documents in enumerate((before, after)):
        for index in documents:
            for key, first, last in index.spans():
                contexts.setdefault(key, ([], []))[side].append((index, first, last))
    for old, new in contexts.values():
        for index, row in _unlike(old, new):
            yield from index.uids_at(row)


def _uids_restamped(
    before: Iterable[DocumentIndex],
    after: Iterable[DocumentIndex],
    uids: frozenset[bytes],
) -> Iterator[bytes]:
    """Yield those of the UIDs of which an event as written is new, gone, or there another number of times."""
    if not uids:
        return
    balance: Counter[tuple[str, int, bytes, bytes]] = Counter()
    for index in before:
        balance.subtract(_as_written(index, uids))
    for index in after:
        balance.update(_as_written(index, uids))
    for (_, _, _, uid), times in balance.items():
        if times:
            yield uid


def _as_written(
    index: DocumentIndex, uids: frozenset[bytes]
) -> Iterator[tuple[str, int, bytes, bytes]]:
    """Yield of each event of these UIDs context, number of the VCALENDAR, verbatim digest, and UID."""
    calendars: dict[tuple[bytes, str], dict[int, int]] = {}
    for row in index.rows_of(uids):
        calendar = index.calendar_at(row)
        context = index.calendars[calendar][1]
        for uid in uids.intersection(index.uids_at(row)):
            number = _number(calendar, calendars.setdefault((uid, context), {}))
            yield context, number, index.verbatim[row], uid


def _unlike(
    old: Sequence[_Span], new: Sequence[_Span]
) -> Iterator[tuple[DocumentIndex, int]]:
    """Yield the rows that have no counterpart in the other spans, or not as often."""
    left, right = _cells(old), _cells(new)
    begin, end = _alike(left, right)
    columns = [
        column[begin * CELL : len(column) - end * CELL] for column in (left, right)
    ]
    balance = Counter(cells_of(columns[0]))
    balance.subtract(cells_of(columns[1]))
    uneven = {digest for digest, times in balance.items() if times}
    for spans, column in zip((old, new), columns, strict=True):
        starts = list(accumulate((last - first for _, first, last in spans), initial=0))
        for place in compress(count(begin), map(uneven.__contains__, cells_of(column))):
            number = bisect_right(starts, place) - 1
            index, first, _ = spans[number]
            yield index, first + place - starts[number]


def _cells(spans: Iterable[_Span]) -> bytes:
    """Return the digests without DTSTAMP of these rows, one behind the other."""
    return b"".join(
        index.without_dtstamp.cells[first * CELL : last * CELL]
        for index, first, last in spans
    )


def _alike(left: bytes, right: bytes) -> tuple[int, int]:
    """Return how many digests both columns begin with, and how many of the others they end with."""
    most = min(len(left), len(right)) // CELL
    begin = bisect_right(
        range(1, most + 1), False, key=lambda n: not left.startswith(right[: n * CELL])
    )
    rest = range(1, most - begin + 1)
    return begin, bisect_right(
        rest, False, key=lambda n: not left.endswith(right[-n * CELL :])
    )
