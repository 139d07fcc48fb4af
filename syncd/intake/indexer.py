"""Indexes a document: which of its events the index of last time knows, and digests of the others."""

from __future__ import annotations

import contextlib
import functools
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, repeat
from typing import TypeAlias

from xxhash import xxh3_128_digest

from syncd.core.document import Document
from syncd.errors import SourceUnavailable
from syncd.ics.content import Incomplete
from syncd.ics.vevent import Context
from syncd.intake.columns import CELL, Column, cells_of
from syncd.intake.document_index import DocumentIndex
from syncd.intake.vevents import (
    NotPlain,
    contexts_in,
    count_lines,
    event_of,
    event_text,
    notable_lines,
    skeleton_of,
    split_blocks,
    split_document,
    split_event,
    uids_of_event,
    without_dtstamp,
    without_revision,
)

_FEW_MOVED = 500  # events are looked into anew before an index shows which of them only stand elsewhere


OnNew: TypeAlias = Callable[
    [bytes, Mapping[bytes, str], bytes, bytes | None, int], None
]
"""Called with the verbatim digest of a VEVENT, its UIDs by their digests, its text, the notable lines of that,
and the line where it begins, if all before it are new as well."""


class DocumentIndexer:
    """Indexes documents with one key.

    `on_new` is told each VEVENT that says something unknown.
    """

    def __init__(self, secret: int, on_new: OnNew) -> None:
        self.secret = secret
        self._on_new = on_new

    def digests(self, texts: Iterable[bytes]) -> list[bytes]:
        """Return the keyed digest of each text."""
        return list(map(xxh3_128_digest, texts, repeat(self.secret)))

    def digest(self, text: bytes) -> bytes:
        """Return the keyed digest of one text."""
        return xxh3_128_digest(text, self.secret)

    def index_document(
        self, document: Document, parent: DocumentIndex
    ) -> DocumentIndex:
        """Return the index of a document; `parent` is the last one of its name and base URL.

        Raises `Incomplete` if the document is not whole, and `SourceError` if it cannot be had.
        """
        try:
            return self._index_by_bytes(document, parent)
        except NotPlain:
            return self._index_by_lines(document, parent)

    def texts_at(
        self, rows: Collection[int], index: DocumentIndex, document: Document
    ) -> dict[int, bytes]:
        """Read a document again; return the texts of some of its rows.

        Raises `SourceError` if it cannot be had, or is another one by now.
        """
        texts: dict[int, bytes] = {}
        with contextlib.suppress(NotPlain, Incomplete):
            texts.update(_texts(rows, document, index.plain))
        for row in rows:
            text = texts.get(row)
            if text is not None:
                digest = self.digest(event_of(text))
                if digest == index.verbatim[row]:
                    continue
            raise SourceUnavailable(
                document.name,
                f"{document.name} is being written to; it is read in the next cycle",
            )
        return texts

    def _index_by_bytes(
        self, document: Document, parent: DocumentIndex
    ) -> DocumentIndex:
        """Index a document without parsing its VEVENTs; raises `NotPlain` if that may tell it wrongly."""
        rows = _Rows(parent, self)
        around = _Around()
        for block in split_blocks(document.blocks()):
            if not around.texts:
                rows.line += around.add(block.pop(0) + b"\n", before=0)
            self._index_block(block, rows, around)
        around.end(len(rows))
        skeleton = skeleton_of(around.texts)
        digest = self.digest(skeleton)
        if parent.plain and digest == parent.around:
            begins = dict(parent.calendars)
            contexts = parent.contexts
            keys = [begins.get(row) for row, _ in parent.gaps]
        else:
            contexts, keys = contexts_in(skeleton, len(around.texts) - 1, document)
        gaps = tuple(around.gaps)
        calendars: list[tuple[int, str]] = []
        for (row, _), key in zip(gaps, keys, strict=False):
            if key is not None:
                calendars.append((row, key))
        return rows.index(
            document,
            contexts=contexts,
            around=digest,
            gaps=gaps,
            calendars=tuple(calendars),
        )

    def _index_block(
        self, stretches: Sequence[bytes], rows: _Rows, around: _Around
    ) -> None:
        """Add the rows of the events of a block; raises `NotPlain`."""
        digests = self.digests(stretches)
        joined = b"".join(digests)
        expected = rows.expected
        if rows.parent.verbatim.cells.startswith(joined, expected * CELL):
            rows.copy(joined, expected)  # as most of a document is
            rows.expected += len(digests)
            return
        known = rows.rows_in_parent(stretches, digests, expected)
        for first, last, row in _runs(known):
            if row is not None:
                rows.copy(joined[first * CELL : last * CELL], row)
                continue
            event, behind = split_event(stretches[first])
            text = event_text(event)
            if behind:
                self._look_up(text, rows, expected + first)
                rows.line += around.add(behind, before=len(rows))
            else:
                self._add(text, event, digests[first], rows, expected + first)
        if known:
            last_row = known[-1]
            rows.expected = expected + len(known) if last_row is None else last_row + 1

    def _index_by_lines(
        self, document: Document, parent: DocumentIndex
    ) -> DocumentIndex:
        """Index any document, split line by line; raises `Incomplete` and `SourceError`."""
        rows = _Rows(parent, self)
        contexts: list[Context] = []
        gaps: list[tuple[int, int]] = []
        calendars: list[tuple[int, str]] = []
        whole = sha256()
        line = 1
        for context, events in split_document(document):
            contexts.append(context)
            identity = repr((context.key, context.text))
            whole.update(identity.encode())
            if events:
                calendars.append((len(rows), context.key))
            for event, uids in events:
                if event.line != line:
                    gaps.append((len(rows), event.line - line))
                line = event.line + count_lines(event.text)
                rows.line = event.line
                self._look_up(event.text, rows, len(rows), uids)
        return rows.index(
            document,
            plain=False,
            contexts=tuple(contexts),
            around=whole.digest()[:CELL],
            gaps=tuple(gaps),
            calendars=tuple(calendars),
        )

    def _look_up(
        self,
        text: bytes,
        rows: _Rows,
        expected: int,
        uids: tuple[str, ...] | None = None,
    ) -> None:
        """Add the row of an event that may be known; `uids` are its own, if they are.

        Raises `NotPlain`.
        """
        event = event_of(text)
        verbatim = self.digest(event)
        (row,) = rows.rows_in_parent([event], [verbatim], expected)
        if row is not None:
            rows.copy(verbatim, row)
        else:
            self._add(text, event, verbatim, rows, expected, uids)

    def _add(
        self,
        text: bytes,
        event: bytes,
        verbatim: bytes,
        rows: _Rows,
        expected: int,
        uids: tuple[str, ...] | None = None,
    ) -> None:
        """Add a row for an event that the parent does not have as it is; `text` is its whole text.

        Raises `NotPlain`.
        """
        secret = self.secret
        stampless = without_dtstamp(event)
        unrevised = xxh3_128_digest(without_revision(stampless), secret)
        cells = (verbatim, xxh3_128_digest(stampless, secret), unrevised)
        known = rows.uids_if_revised(unrevised, expected)
        if known:
            rows.add(cells, known, count_lines(text))
            return
        line = rows.line
        notable = notable_lines(text)
        lines = count_lines(text) if notable is None else text.count(b"\n")
        own = uids or uids_of_event(text, notable)
        names = {xxh3_128_digest(uid.encode(), secret): uid for uid in own}
        rows.add(cells, tuple(names), lines)
        self._on_new(verbatim, names, text, notable, line)


def _texts(
    rows: Collection[int], document: Document, plain: bool
) -> Iterator[tuple[int, bytes]]:
    """Yield some rows of a document with the texts of their events; raises `NotPlain` and `Incomplete`."""
    if plain:
        stretches = chain.from_iterable(split_blocks(document.blocks()))
        next(stretches)  # what stands before all events
        for row, stretch in enumerate(stretches):
            if row in rows:
                event, _ = split_event(stretch)
                yield row, event_text(event)
    else:
        events = chain.from_iterable(events for _, events in split_document(document))
        for row, (raw_event, _) in enumerate(events):
            if row in rows:
                yield row, raw_event.text


def _runs(rows: Sequence[int | None]) -> Iterator[tuple[int, int, int | None]]:
    """Yield runs of rows that follow one another: first place, place behind the last, and first row.

    A place without row is a run by itself.
    """
    first = 0
    while first < len(rows):
        row = rows[first]
        last = first + 1
        if row is not None:
            end = row + len(rows) - first
            # Most often all that are left follow one another, which is told at once.
            if rows[-1] == end - 1 and rows[first:] == list(range(row, end)):
                last = len(rows)
            while last < len(rows) and rows[last] == row + last - first:
                last += 1
        yield first, last, row
        first = last


class _Around:
    """What stands around the VEVENTs of a document: the texts, and before which rows with how many lines."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.gaps: list[tuple[int, int]] = []

    def add(self, text: bytes, before: int) -> int:
        """Add a text that stands before a row; return how many lines it has."""
        lines = count_lines(text)
        self.texts.append(text)
        self.gaps.append((before, lines))
        return lines

    def end(self, rows: int) -> None:
        """Close the last gap if events stand behind it; `rows` is how many there are in all."""
        if rows > self.gaps[-1][0]:
            self.texts.append(b"")


class _Rows:
    """The rows of an index while they grow, many of them from `parent`.

    What is as it was is not copied: rows are told by their number in the parent, or behind it for new ones.
    `expected` is the row of the parent that comes next if the document goes on as it did then.
    `line` is where the next event begins, if all rows so far are new.
    """

    def __init__(self, parent: DocumentIndex, indexer: DocumentIndexer) -> None:
        self.parent = parent
        self.expected = 0
        self.line = 1
        self._indexer = indexer
        self._moved = 0  # events that do not stand where they are expected, if they were there at all
        self._verbatim = bytearray()
        self._new = _NewRows()
        self._several_uids = dict(parent.several_uids)
        self._runs = array("I")  # of each its first row, and the row behind its last
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def rows_in_parent(
        self, events: Sequence[bytes], digests: Sequence[bytes], expected: int
    ) -> list[int | None]:
        """Return for each event its row in the parent if it is equal apart from DTSTAMP, else None.

        `digests` are the verbatim ones; the events probably stand from row `expected` on. Up to 500 events
        that moved count as changed.
        """
        rows = self._rows_in_place(digests, expected)
        if not len(self.parent):
            return rows
        in_place = len(rows) - 1  # the last that stands where it stood
        while in_place >= 0 and rows[in_place] is None:
            in_place -= 1
        cells = self.parent.without_dtstamp.cells
        unknown = [place for place, row in enumerate(rows) if row is None]
        stampless = self._indexer.digests(
            without_dtstamp(events[place]) for place in unknown
        )
        follows = expected  # the row behind that of the event before
        for place, digest in zip(unknown, stampless, strict=True):
            before = rows[place - 1] if place else None
            if before is not None:
                follows = before + 1
            if cells.startswith(digest, follows * CELL):
                rows[place] = follows
            elif cells.startswith(digest, (expected + place) * CELL):
                rows[place] = expected + place
            # Where others go on as before it was changed on the spot.
            elif place > in_place:
                rows[place] = self._row_of_moved(digest)
        return rows

    def _rows_in_place(
        self, digests: Sequence[bytes], expected: int
    ) -> list[int | None]:
        """Return for each event the row where it is expected if it stands there as written, else None."""
        rows: list[int | None] = [None] * len(digests)
        end = expected + len(digests)
        there = self.parent.verbatim.cells[expected * CELL : end * CELL]
        pairs = zip(digests, cells_of(there), strict=False)
        for row, (digest, cell) in enumerate(pairs, expected):
            if digest == cell:
                rows[row - expected] = row
        return rows

    def _row_of_moved(self, digest: bytes) -> int | None:
        """Return a row of the parent for an event that stands elsewhere, once there are many of them."""
        self._moved += 1
        if self._moved <= _FEW_MOVED:
            return None
        return self._by_digest.get(digest)

    @functools.cached_property
    def _by_digest(self) -> dict[bytes, int]:
        """Return the rows of the parent by their digests without DTSTAMP."""
        digests = cells_of(self.parent.without_dtstamp.cells)
        return {digest: row for row, digest in enumerate(digests)}

    def uids_if_revised(self, digest: bytes, expected: int) -> tuple[bytes, ...]:
        """Return the UIDs of the expected row if only its revision is another one; else nothing.

        Some servers write SEQUENCE or LAST-MODIFIED anew everywhere, and leave all where it is.
        """
        parent = self.parent
        if parent.plain and parent.without_revision.cells.startswith(
            digest, expected * CELL
        ):
            return parent.uids_at(expected)
        return ()

    def copy(self, verbatim: bytes, first: int) -> None:
        """Add rows of the parent from the first on, with their digests as written now."""
        self._verbatim += verbatim
        self._put(first, first + len(verbatim) // CELL)

    def add(
        self, cells: tuple[bytes, ...], uids: tuple[bytes, ...], lines: int
    ) -> None:
        """Add a row that the parent does not have; `cells` are its digests in the order of the columns."""
        verbatim, without_dtstamp, without_revision = cells
        self._verbatim += verbatim
        self.line += lines
        number = self._new.add(without_dtstamp, without_revision, uids[0], lines)
        row = len(self.parent) + number
        self._put(row, row + 1)
        if len(uids) > 1:
            self._several_uids[without_dtstamp] = uids

    def _put(self, first: int, behind: int) -> None:
        """Append rows, from the first to behind the last."""
        self._count += behind - first
        runs = self._runs
        # A run is of rows of the parent or of new ones, never of both.
        if runs and runs[-1] == first != len(self.parent):
            runs[-1] = behind
        else:
            runs.extend((first, behind))

    def index(
        self,
        document: Document,
        *,
        contexts: tuple[Context, ...],
        around: bytes,
        gaps: tuple[tuple[int, int], ...],
        calendars: tuple[tuple[int, str], ...],
        plain: bool = True,
    ) -> DocumentIndex:
        """Return the index of all rows, with what stands around them."""
        parent = self.parent
        new = self._new
        verbatim = Column(bytes(self._verbatim))
        if verbatim.cells == parent.verbatim.cells:
            verbatim = parent.verbatim
        stampless = self._joined(parent.without_dtstamp.cells, new.without_dtstamp)
        unrevised = self._joined(parent.without_revision.cells, new.without_revision)
        uids = self._joined(parent.uids.cells, new.uids)
        width = parent.lines.itemsize
        lines = self._joined(parent.lines.tobytes(), new.lines.tobytes(), width)
        return DocumentIndex(
            name=document.name,
            base_url=document.base_url,
            signature=document.signature,
            plain=plain,
            around=around,
            contexts=contexts,
            gaps=gaps,
            calendars=calendars,
            verbatim=verbatim,
            without_dtstamp=Column(stampless),
            without_revision=Column(unrevised),
            uids=Column(uids),
            lines=array("I", lines),
            several_uids=self._several_uids_in(Column(stampless)),
        )

    def _several_uids_in(self, stampless: Column) -> dict[bytes, tuple[bytes, ...]]:
        """Return all UIDs of the events with several that are in a column, in its order."""
        found: dict[bytes, tuple[bytes, ...]] = {}
        for row in sorted(stampless.rows_with(self._several_uids)):
            digest = stampless[row]
            found[digest] = self._several_uids[digest]
        return found

    def _joined(self, known: bytes, new: bytes | bytearray, size: int = CELL) -> bytes:
        """Return a column whose cells have so many bytes; the very same if nothing of it changed."""
        behind = len(self.parent)
        if list(self._runs[:3]) == [0, behind]:
            return known
        firsts = self._runs[::2]
        ends = self._runs[1::2]
        cells = bytearray()
        for first, end in zip(firsts, ends, strict=True):
            if end <= behind:
                cells += known[first * size : end * size]
            else:
                cells += new[(first - behind) * size : (end - behind) * size]
        return bytes(cells)


class _NewRows:
    """The cells of rows that the parent does not have, but for the verbatim ones."""

    def __init__(self) -> None:
        self.without_dtstamp = bytearray()
        self.without_revision = bytearray()
        self.uids = bytearray()
        self.lines = array("I")

    def add(
        self, without_dtstamp: bytes, without_revision: bytes, uid: bytes, lines: int
    ) -> int:
        """Put a row behind the others; return its number."""
        self.without_dtstamp += without_dtstamp
        self.without_revision += without_revision
        self.uids += uid
        self.lines.append(lines)
        return len(self.lines) - 1
