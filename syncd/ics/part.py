"""The inventory of one document: a row of digests for each VEVENT, and what stands around them.

A document is read in blocks, and what is known of it from the last time is told by its digest alone, a run of
VEVENTs at once where they stand as they stood.
Only what is unknown is looked into, once; its text goes to the caller, who keeps what matters.
The key of the digests is a secret of the installation: nobody can write a text that passes for another.
"""

from __future__ import annotations

import contextlib
import functools
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, chain, compress, islice, repeat

from xxhash import xxh3_128_digest

from syncd.errors import SourceUnavailable
from syncd.ics.components import Incomplete
from syncd.ics.document import Document
from syncd.ics.pieces import (
    Context,
    NotPlain,
    contexts_in,
    event_of,
    lines_in,
    parted,
    skeleton_of,
    slowly,
    stretches,
    text_of,
    uids_of,
    unrevised,
    unstamped,
)

CELL = 16
"""Bytes of a digest."""

_FEW = 8  # so often a column is searched before it gets an index, which is dear and large


def cells_of(column: bytes) -> list[bytes]:
    """The digests of a column one by one."""
    return [column[place : place + CELL] for place in range(0, len(column), CELL)]


def alike(left: bytes, right: bytes) -> int:
    """How many digests both columns begin with."""
    some = range(1, min(len(left), len(right)) // CELL + 1)
    return bisect_right(some, False, key=lambda n: not left.startswith(right[: n * CELL]))


def alike_at_end(left: bytes, right: bytes) -> int:
    """How many digests both columns end with."""
    some = range(1, min(len(left), len(right)) // CELL + 1)
    return bisect_right(some, False, key=lambda n: not left.endswith(right[-n * CELL :]))


class Column:
    """Digests one behind the other, one in each row."""

    def __init__(self, cells: bytes = b"") -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells) // CELL

    def __getitem__(self, row: int) -> bytes:
        return self.cells[row * CELL : (row + 1) * CELL]

    def rows_with(self, digests: Collection[bytes]) -> Iterator[int]:
        """All rows that hold one of these, in no order."""
        if len(digests) <= _FEW:
            return chain.from_iterable(map(self.rows_of, digests))
        return compress(range(len(self)), map(digests.__contains__, cells_of(self.cells)))

    def rows_of(self, digest: bytes) -> Iterator[int]:
        """All rows that hold it, in order."""
        place = self.cells.find(digest)
        while place >= 0:
            if place % CELL == 0:
                yield place // CELL
            place = self.cells.find(digest, place + 1)


class Finder:
    """Finds digests in a column: at once where they are expected, by searching it, or by an index.

    The index takes several times the memory of the column, so it is only made for many digests.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._index: dict[bytes, int] = {}
        self._searches = 0

    def rows_of(self, digests: Sequence[bytes], expected: int = 0) -> list[int | None]:
        """A row for each digest, None where it is not there.

        Quick for those that stand one behind the other from the expected row on, or up to the end of these.
        """
        here = self._column.cells[expected * CELL : (expected + len(digests)) * CELL]
        joined = b"".join(digests)
        first = alike(joined, here)
        last = len(digests)
        if first < last and len(here) == len(joined):
            last -= alike_at_end(joined, here)
        return [
            *range(expected, expected + first),
            *self._anywhere(digests[first:last]),
            *range(expected + last, expected + len(digests)),
        ]

    def _anywhere(self, digests: Sequence[bytes]) -> Iterable[int | None]:
        self._searches += len(digests)
        if self._searches <= _FEW:
            return [next(self._column.rows_of(digest), None) for digest in digests]
        if not self._index:
            self._index = {digest: row for row, digest in enumerate(cells_of(self._column.cells))}
        return map(self._index.get, digests)


@dataclass(frozen=True, eq=False)
class Part:
    """What is known of one document that was whole; a row for each VEVENT, in the order of the document.

    `raws` are digests of events as written, `cores` without DTSTAMP, `bares` also without SEQUENCE,
    LAST-MODIFIED and CREATED, `uids` of the first UID; `lines` counts the lines of each.
    `around` is a digest of what stands around them, `plain` whether bytes were enough to tell.
    `gaps` are the rows before which something stands, with its lines; `runs` the rows from which on a context
    (its key) holds; `others` has all UIDs of the cores that have several.
    """

    name: str
    base_url: str = ""
    signature: str = ""
    plain: bool = True
    around: bytes = b""
    contexts: tuple[Context, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    runs: tuple[tuple[int, str], ...] = ()
    raws: Column = field(default_factory=Column)
    cores: Column = field(default_factory=Column)
    bares: Column = field(default_factory=Column)
    uids: Column = field(default_factory=Column)
    lines: array[int] = field(default_factory=lambda: array("I"))
    others: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def place(self) -> tuple[str, str]:
        """What tells which document it is of."""
        return self.name, self.base_url

    @property
    def columns(self) -> tuple[Column, Column, Column, Column]:
        """All columns of digests."""
        return self.raws, self.cores, self.bares, self.uids

    def context_at(self, row: int) -> str:
        """The key of the context of a row."""
        return self.runs[bisect_right(self.runs, row, key=lambda run: run[0]) - 1][1]

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """The runs: key of the context, first row, and the row behind the last."""
        ends = [start for start, _ in self.runs[1:]] + [len(self)]
        yield from ((key, start, end) for (start, key), end in zip(self.runs, ends, strict=False))

    @functools.cached_property
    def starts(self) -> list[int]:
        """The line of each BEGIN:VEVENT, from 1."""
        steps = [1, *self.lines]
        for row, lines in self.gaps:
            steps[row] += lines
        return list(accumulate(steps))

    def uids_at(self, row: int) -> tuple[bytes, ...]:
        """Digests of the UIDs of a row."""
        return self.others.get(self.cores[row]) or (self.uids[row],)

    def rows_of(self, uids: Collection[bytes]) -> list[int]:
        """The rows of these UIDs, given as digests, in order."""
        found = set(self.uids.rows_with(uids))
        if self.others:
            several = {core for core, own in self.others.items() if any(uid in uids for uid in own)}
            found.update(self.cores.rows_with(several))
        return sorted(found)


class Surveyor:
    """Takes the inventory of documents with one key.

    `noticed` is told each VEVENT that was not known: its digest, its UIDs with theirs, and its text.
    """

    def __init__(self, secret: int, noticed: Callable[[bytes, Mapping[bytes, str], bytes], None]) -> None:
        self.secret = secret
        self._noticed = noticed

    def digests(self, texts: Iterable[bytes]) -> list[bytes]:
        """The keyed digest of each."""
        return list(map(xxh3_128_digest, texts, repeat(self.secret)))

    def digest(self, text: bytes) -> bytes:
        """The keyed digest of one text."""
        return xxh3_128_digest(text, self.secret)

    def survey(self, document: Document, base: Part) -> Part:
        """The inventory of a document; `base` is that of the last one of its name and base URL.

        Raises `Incomplete`, and `SourceError` if it cannot be had.
        """
        try:
            return self._plainly(document, base)
        except NotPlain:
            return self._slowly(document, base)

    def _plainly(self, document: Document, base: Part) -> Part:
        rows = _Rows(base, self)
        around: list[bytes] = []
        gaps: list[tuple[int, int]] = []
        expected = 0  # row of the base, if the document goes on as it did then
        for block in stretches(document.blocks()):
            if not around:
                around.append(block.pop(0) + b"\n")
                gaps.append((0, lines_in(around[0])))
            raws = self.digests(block)
            joined = b"".join(raws)
            if base.raws.cells.startswith(joined, expected * CELL):
                rows.take(joined, expected)  # as most of a document is
                expected += len(raws)
                continue
            known = rows.known(block, raws, expected)
            for first, last, row in _consecutive(known):
                if row is not None:
                    rows.take(joined[first * CELL : last * CELL], row)
                    continue
                event, behind = parted(block[first])
                if not behind:
                    self._add(text_of(event), raws[first], rows)
                    continue
                self._look_up(text_of(event), rows, expected + first)
                around.append(behind)
                gaps.append((len(rows), lines_in(behind)))
            if known:
                expected = expected + len(known) if known[-1] is None else known[-1] + 1
        if len(rows) > gaps[-1][0]:
            around.append(b"")
        skeleton = skeleton_of(around)
        digest = self.digest(skeleton)
        if base.plain and digest == base.around:
            contexts, keys = base.contexts, [key for _, key in base.runs]
        else:
            contexts, keys = contexts_in(skeleton, len(around) - 1, document)
        runs = tuple(zip((row for row, _ in gaps), keys, strict=False))
        return rows.part(document, contexts=contexts, around=digest, gaps=tuple(gaps), runs=runs)

    def _slowly(self, document: Document, base: Part) -> Part:
        rows = _Rows(base, self)
        contexts: list[Context] = []
        gaps: list[tuple[int, int]] = []
        runs: list[tuple[int, str]] = []
        whole = sha256()
        line = 1
        for context, pieces in slowly(document):
            contexts.append(context)
            whole.update(repr((context.key, context.text)).encode())
            if pieces:
                runs.append((len(rows), context.key))
            for piece, uids in pieces:
                if piece.line != line:
                    gaps.append((len(rows), piece.line - line))
                line = piece.line + lines_in(piece.text)
                self._look_up(piece.text, rows, len(rows), uids)
        return rows.part(
            document,
            plain=False,
            contexts=tuple(contexts),
            around=whole.digest()[:CELL],
            gaps=tuple(gaps),
            runs=tuple(runs),
        )

    def _look_up(self, text: bytes, rows: _Rows, expected: int, uids: tuple[str, ...] | None = None) -> None:
        """A row for a piece that may be known; `uids` are its own, if that is known. Raises `NotPlain`."""
        event = event_of(text)
        raw = self.digest(event)
        (row,) = rows.known([event], [raw], expected)
        if row is not None:
            rows.take(raw, row)
        else:
            self._add(text, raw, rows, uids)

    def _add(self, text: bytes, raw: bytes, rows: _Rows, uids: tuple[str, ...] | None = None) -> None:
        """A row for a piece that is not known. Raises `NotPlain`."""
        names = {self.digest(uid.encode()): uid for uid in uids or uids_of(text)}
        stampless = unstamped(event_of(text))
        core, bare = self.digests((stampless, unrevised(stampless)))
        rows.add(raw, core, bare, tuple(names), lines_in(text))
        self._noticed(raw, names, text)

    def texts_at(self, rows: Collection[int], part: Part, document: Document) -> dict[int, bytes]:
        """The texts of some rows, from another look into the document; raises `SourceError`."""
        texts: dict[int, bytes] = {}
        with contextlib.suppress(NotPlain, Incomplete):
            found = enumerate(_texts(document, part.plain))
            texts.update((row, text) for row, text in found if row in rows)
        if any(row not in texts or self.digest(event_of(texts[row])) != part.raws[row] for row in rows):
            raise SourceUnavailable(
                document.name, f"{document.name} is being written to; it is read in the next cycle"
            )
        return texts


def _texts(document: Document, plain: bool) -> Iterator[bytes]:
    """The texts of all pieces of a document, in order."""
    if plain:
        for stretch in islice(chain.from_iterable(stretches(document.blocks())), 1, None):
            yield text_of(parted(stretch)[0])
    else:
        for _, pieces in slowly(document):
            yield from (piece.text for piece, _ in pieces)


def _consecutive(rows: Sequence[int | None]) -> Iterator[tuple[int, int, int | None]]:
    """From and up to which place rows follow one another, and the first of them; those without row alone."""
    first = 0
    while first < len(rows):
        row, last = rows[first], first + 1
        if row is not None:
            if rows[first:] == list(range(row, row + len(rows) - first)):
                last = len(rows)
            while last < len(rows) and rows[last] == row + last - first:
                last += 1
        yield first, last, row
        first = last


class _Rows:
    """The columns of a part while they grow; `base` is where known rows come from."""

    def __init__(self, base: Part, surveyor: Surveyor) -> None:
        self._base = base
        self._surveyor = surveyor
        self._raws, self._cores = Finder(base.raws), Finder(base.cores)
        self._columns = [bytearray() for _ in range(4)]
        self._lines = array("I")
        self._others = dict(base.others)

    def __len__(self) -> int:
        return len(self._lines)

    def known(self, events: Sequence[bytes], raws: Sequence[bytes], expected: int) -> list[int | None]:
        """The rows of the base for events, given with their digests; probably from the expected row on.

        They are as they were, or have another DTSTAMP; None for those that are otherwise.
        """
        if not len(self._base):
            return [None] * len(events)
        rows = self._raws.rows_of(raws, expected)
        unknown = [place for place, row in enumerate(rows) if row is None]
        if unknown:
            cores = self._surveyor.digests(unstamped(events[place]) for place in unknown)
            found = self._cores.rows_of(cores, expected + unknown[0])
            for place, row in zip(unknown, found, strict=True):
                rows[place] = row
        return rows

    def take(self, raws: bytes, first: int) -> None:
        """Known rows from the first on, with their digests as written."""
        base, last = self._base, first + len(raws) // CELL
        cells = slice(first * CELL, last * CELL)
        self._put(raws, base.cores.cells[cells], base.bares.cells[cells], base.uids.cells[cells])
        self._lines += base.lines[first:last]

    def add(self, raw: bytes, core: bytes, bare: bytes, uids: tuple[bytes, ...], lines: int) -> None:
        """A row that was not known."""
        self._put(raw, core, bare, uids[0])
        self._lines.append(lines)
        if len(uids) > 1:
            self._others[core] = uids

    def _put(self, *cells: bytes) -> None:
        for column, more in zip(self._columns, cells, strict=True):
            column.extend(more)

    def part(
        self,
        document: Document,
        *,
        contexts: tuple[Context, ...],
        around: bytes,
        gaps: tuple[tuple[int, int], ...],
        runs: tuple[tuple[int, str], ...],
        plain: bool = True,
    ) -> Part:
        """All of them, with what stands around."""
        raws, cores, bares, uids = (Column(bytes(column)) for column in self._columns)
        there = set(cores.rows_with(self._others))
        return Part(
            name=document.name,
            base_url=document.base_url,
            signature=document.signature,
            plain=plain,
            around=around,
            contexts=contexts,
            gaps=gaps,
            runs=runs,
            raws=raws,
            cores=cores,
            bares=bares,
            uids=uids,
            lines=self._lines,
            others={cores[row]: self._others[cores[row]] for row in there},
        )
