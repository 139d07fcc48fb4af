"""What the documents of a source say otherwise than when they were read last, told by digests.

Of a large calendar only what changed and still matters goes on to be parsed.
The order of events means nothing; an event that stands there twice does.
Nothing in here knows what a property means.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from dataclasses import dataclass
from itertools import accumulate, chain, compress, count
from typing import TypeAlias

from syncd.core.document import Document
from syncd.errors import SourceError
from syncd.ics.content import Incomplete
from syncd.ics.vevent import RawEvent
from syncd.intake.columns import CELL, Column, cells_of
from syncd.intake.document_index import DocumentIndex
from syncd.intake.indexer import DocumentIndexer
from syncd.intake.new_events import IsCurrent, NewEvents, OnCurrent
from syncd.intake.ports import TrackedSeries
from syncd.intake.source_index import SourceIndex
from syncd.intake.vevents import (
    event_of,
    may_share_identity,
    notable_lines,
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
    is_current: IsCurrent,
    tracked: TrackedSeries,
    problems: Sequence[str] = (),
    on_current: OnCurrent = lambda _uid, _text, _line: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> SourceDiff:
    """Compare the documents of a source with their index of last time; return what is different.

    `secret` (64 bits) is the key of the digests.
    `is_current` tells which events are not over.
    `problems` are sentences about documents that could not be had at all.
    `on_current` is told of new events of UIDs that matter, as soon as that is seen.
    `meanwhile` is called now and then once all was seen.
    A document that changes while it is read makes all of the diff void, until the next time.
    """
    if parent.secret != secret:
        parent = SourceIndex(secret)
    new = NewEvents(is_current, tracked, on_current)
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
    new.settle()
    comparison = _Comparison(parent, seen, new, indexer, is_current, tracked, meanwhile)
    try:
        return comparison.diff(told)
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
        location = (document.name, document.base_url)
        left = self._left.get(location, [])
        if document.signature:
            for known in left:
                if known.signature == document.signature:
                    left.remove(known)
                    return known
        parent = left.pop(0) if left else DocumentIndex(document.name)
        return indexer.index_document(document, parent)


class _Comparison:
    """The documents of a source, indexed, beside those of the parent."""

    def __init__(
        self,
        parent: SourceIndex,
        seen: Sequence[tuple[Document, DocumentIndex]],
        new: NewEvents,
        indexer: DocumentIndexer,
        is_current: IsCurrent,
        tracked: TrackedSeries,
        meanwhile: Callable[[], object],
    ) -> None:
        self._parent = parent
        self._seen = seen
        self._documents = tuple(index for _, index in seen)
        here = set(self._documents)
        there = set(parent.documents)
        # Documents that are as they were need no look.
        self._before = [index for index in parent.documents if index not in here]
        self._after = [index for index in self._documents if index not in there]
        self._new = new
        self._indexer = indexer
        self._is_current = is_current
        self._tracked = tracked
        self._meanwhile = meanwhile

    @functools.cached_property
    def _kept(self) -> dict[bytes, str]:
        """Return the UIDs of which the caller keeps events, by their digests."""
        names = list(self._tracked.uids())
        digests = self._indexer.digests(name.encode() for name in names)
        return dict(zip(digests, names, strict=True))

    def diff(self, problems: Sequence[str]) -> SourceDiff:
        """Return what is different; raises `SourceError` if a document cannot be read a second time."""
        uids = self._changed_uids()
        changed: dict[str, tuple[RawEvent, ...]] = {}
        live: dict[bytes, list[_Place]] = {}
        self._meanwhile()
        known = self._places_of_known(uids)
        self._meanwhile()
        mattering = self._mattering(known)
        for uid, places in known.items():
            self._meanwhile()
            if places and self._still_matters(uid, places, mattering):
                live[uid] = places
            elif uid in self._kept:
                changed[self._kept[uid]] = ()
        self._load_missing_texts(chain.from_iterable(live.values()))
        events: dict[bytes, tuple[RawEvent, ...]] = {}
        for uid, places in live.items():
            events[uid] = self._events_at(places)
            self._meanwhile()
        shared = [uid for uid, own in events.items() if _may_share_identity(own)]
        ambiguous = self._parent.ambiguous.difference(uids).union(shared)
        only_revised = self._only_revised(live, self._parent.ambiguous | ambiguous)
        restamped: dict[str, tuple[RawEvent, ...]] = {}
        for uid, own in events.items():
            name = self._name(uid)
            if uid in only_revised:
                restamped[name] = own
            else:
                changed[name] = own
        return SourceDiff(
            index=self._index(ambiguous),
            changed=changed,
            restamped=restamped,
            problems=tuple(problems),
        )

    def _changed_uids(self) -> dict[bytes, None]:
        """Return the UIDs that have another multiset of events; of ambiguous ones DTSTAMP counts, too."""
        changed = dict.fromkeys(_uids_unlike(self._before, self._after))
        ambiguous = self._parent.ambiguous
        restamped = _uids_restamped(self._before, self._after, ambiguous)
        changed |= dict.fromkeys(restamped)
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
        for number in self._numbers_with(places):
            index = self._documents[number]
            for row in index.rows_of(places):
                for uid in index.uids_at(row):
                    if uid in places:
                        places[uid].append((number, row))
        return places

    def _numbers_with(self, uids: Collection[bytes]) -> list[int]:
        """Return the numbers of the documents in which one of these UIDs may stand, in order.

        Looking into each of ten thousand small ones would take longer than all else.
        """
        ends = list(accumulate(map(len, self._documents)))
        cells = b"".join(index.uids.cells for index in self._documents)
        rows = Column(cells).rows_with(uids)
        numbers = {bisect_right(ends, row) for row in rows}
        for number, index in enumerate(self._documents):
            if index.several_uids:
                numbers.add(number)
        return sorted(numbers)

    def _mattering(self, places: Mapping[bytes, Sequence[_Place]]) -> set[bytes]:
        """Return those of these UIDs that are tracked, or have an event that is seen to be current."""
        current = self._new.current
        found: set[bytes] = set()
        unclear: dict[str, bytes] = {}
        for uid, own in places.items():
            if any(self._documents[n].verbatim[row] in current for n, row in own):
                found.add(uid)
            elif own:
                unclear[self._name(uid)] = uid
        for name in self._tracked.tracked_among(unclear.keys()):
            found.add(unclear[name])
        return found

    def _still_matters(
        self, uid: bytes, places: Sequence[_Place], mattering: Set[bytes]
    ) -> bool:
        """Tell whether a UID matters, by its kept events too; take up the texts of these."""
        name = self._name(uid)
        rows = [(self._documents[number], row) for number, row in places]
        verbatim = {index.verbatim[row] for index, row in rows}
        matters = uid in mattering
        if verbatim <= self._new.texts.keys() or uid not in self._kept:
            return matters
        unrevised = {index.without_revision[row] for index, row in rows}
        for kept in self._tracked.events_of(name):
            event = event_of(kept.text)
            if not matters:
                without = without_revision(without_dtstamp(event))
                if self._indexer.digest(without) in unrevised:
                    matters = self._is_current(kept.text, notable_lines(kept.text))
            as_written = self._indexer.digest(event)
            if as_written in verbatim:
                self._new.texts[as_written] = kept.text
        return matters

    def _load_missing_texts(self, places: Iterable[_Place]) -> None:
        """Read again the documents with events of which nobody has the text; raises `SourceError`."""
        missing: dict[int, set[int]] = {}
        texts = self._new.texts
        for number, row in places:
            verbatim = self._documents[number].verbatim[row]
            if verbatim not in texts:
                missing.setdefault(number, set()).add(row)
        for number, rows in missing.items():
            document, index = self._seen[number]
            loaded = self._indexer.texts_at(rows, index, document)
            for row, text in loaded.items():
                texts[index.verbatim[row]] = text

    def _events_at(self, places: Sequence[_Place]) -> tuple[RawEvent, ...]:
        """Return the events of one UID, which stand at these places."""
        numbers: dict[tuple[int, str], dict[int, int]] = {}
        events: list[RawEvent] = []
        for document, row in places:
            index = self._documents[document]
            calendar = index.calendar_at(row)
            _, context = index.calendars[calendar]
            own_numbers = numbers.setdefault((document, context), {})
            number = _number(calendar, own_numbers)
            text = self._new.texts[index.verbatim[row]]
            events.append(RawEvent(context, index.starts[row], text, number))
        return tuple(events)

    def _only_revised(
        self, uids: Collection[bytes], ambiguous: Collection[bytes]
    ) -> frozenset[bytes]:
        """Return those of the UIDs of which only the revision is another one; never an ambiguous one."""
        if not self._before:
            return frozenset()
        old = _without_revisions(self._before, uids)
        new = _without_revisions(self._after, uids)
        found: set[bytes] = set()
        for uid in uids:
            if uid not in ambiguous and old.get(uid) == new.get(uid):
                found.add(uid)
        return frozenset(found)

    def _index(self, ambiguous: frozenset[bytes]) -> SourceIndex:
        """Return the index of the source as it is now; the parent itself if nothing is different."""
        parent = self._parent
        if self._documents == parent.documents and ambiguous == parent.ambiguous:
            return parent
        return SourceIndex(self._indexer.secret, self._documents, ambiguous)

    def _name(self, uid: bytes) -> str:
        """Return the UID of a digest, which is new or kept."""
        name = self._new.names.get(uid)
        if name is None:
            name = self._kept[uid]
        return name


def _may_share_identity(events: Sequence[RawEvent]) -> bool:
    """Tell whether two events of a UID may be about the same occurrence, so that DTSTAMP may decide."""
    if len(events) < 2:
        return False
    calendars = {(event.context, event.calendar) for event in events}
    if len(calendars) > 1:
        return True
    return may_share_identity([event.text for event in events])


def _without_revisions(
    documents: Iterable[DocumentIndex], uids: Collection[bytes]
) -> dict[bytes, Counter[tuple[str, bytes]]]:
    """Return, by UID, the multiset of its digests without revision, each with the key of its context."""
    found: dict[bytes, Counter[tuple[str, bytes]]] = {}
    if not uids:
        return found
    for index in documents:
        for row in index.rows_of(uids):
            event = (index.context_at(row), index.without_revision[row])
            for uid in index.uids_at(row):
                own = found.setdefault(uid, Counter())
                own[event] += 1
    return found


def _number(calendar: int, known: dict[int, int]) -> int:
    """Return which of the VCALENDARs of one context and UID this one is, from 0, as they come to be known."""
    return known.setdefault(calendar, len(known))


def _uids_unlike(
    before: Sequence[DocumentIndex], after: Sequence[DocumentIndex]
) -> Iterator[bytes]:
    """Yield the UIDs of which an event is new, gone, or there another number of times, but for DTSTAMP."""
    if not before:
        for index in after:
            yield from index.each_uid()
        return
    old = _spans_by_context(before)
    new = _spans_by_context(after)
    for context in old | new:
        before_here = old.get(context, ())
        after_here = new.get(context, ())
        for index, row in _unlike(before_here, after_here):
            yield from index.uids_at(row)


def _spans_by_context(documents: Iterable[DocumentIndex]) -> dict[str, list[_Span]]:
    """Return the rows of each VCALENDAR in any of the documents, by the key of its context."""
    spans: dict[str, list[_Span]] = {}
    for index in documents:
        for context, first, last in index.spans():
            spans.setdefault(context, []).append((index, first, last))
    return spans


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
    numbers: dict[tuple[bytes, str], dict[int, int]] = {}
    for row in index.rows_of(uids):
        calendar = index.calendar_at(row)
        _, context = index.calendars[calendar]
        for uid in uids.intersection(index.uids_at(row)):
            own_numbers = numbers.setdefault((uid, context), {})
            number = _number(calendar, own_numbers)
            yield context, number, index.verbatim[row], uid


def _unlike(
    old: Sequence[_Span], new: Sequence[_Span]
) -> Iterator[tuple[DocumentIndex, int]]:
    """Yield the rows that have no counterpart in the other spans, or not as often."""
    left = _cells(old)
    right = _cells(new)
    begin, end = _alike(left, right)
    left = left[begin * CELL : len(left) - end * CELL]
    right = right[begin * CELL : len(right) - end * CELL]
    balance = Counter(cells_of(left))
    balance.subtract(cells_of(right))
    uneven = {digest for digest, times in balance.items() if times}
    yield from _rows_with(uneven, old, left, begin)
    yield from _rows_with(uneven, new, right, begin)


def _rows_with(
    digests: Collection[bytes], spans: Sequence[_Span], cells: bytes, begin: int
) -> Iterator[tuple[DocumentIndex, int]]:
    """Yield the rows of these spans that hold one of the digests; `cells` are theirs from number `begin` on."""
    starts = [0]
    for _, first, last in spans:
        starts.append(starts[-1] + last - first)
    is_wanted = map(digests.__contains__, cells_of(cells))
    for place in compress(count(begin), is_wanted):
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

    def begins_otherwise(rows: int) -> bool:
        return not left.startswith(right[: rows * CELL])

    def ends_otherwise(rows: int) -> bool:
        return not left.endswith(right[-rows * CELL :])

    most = min(len(left), len(right)) // CELL
    begin = bisect_right(range(1, most + 1), False, key=begins_otherwise)
    rest = most - begin
    end = bisect_right(range(1, rest + 1), False, key=ends_otherwise)
    return begin, end
