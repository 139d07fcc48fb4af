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

from syncd.core.document import Document
from syncd.errors import SourceUnavailable
from syncd.ics.content import Incomplete
from syncd.ics.vevent import Context
from syncd.intake.vevents import (
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

_FEW = 25  # so often a column is searched before it gets an index, which is as dear, and large
_FEW_ASTRAY = 500  # events are looked into anew before an index shows which of them only stand elsewhere


def cells_of(column: bytes) -> Iterator[bytes]:
    """The digests of a column one by one."""
    return (column[place : place + CELL] for place in range(0, len(column), CELL))


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
    """Finds digests in a column: by searching it, or by an index.

    The index takes several times the memory of the column, so it is only made for many digests.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._index: dict[bytes, int] = {}
        self._searches = 0

    def row_of(self, digest: bytes) -> int | None:
        """A row that holds it; None if there is none."""
        self._searches += 1
        if self._searches <= _FEW:
            return next(self._column.rows_of(digest), None)
        if not self._index:
            self._index = {cell: row for row, cell in enumerate(cells_of(self._column.cells))}
        return self._index.get(digest)


@dataclass(frozen=True, eq=False)
class Part:
    """What is known of one document that was whole; a row for each VEVENT, in the order of the document.

    `raws` are digests of events as written, `cores` without DTSTAMP, `bares` also without SEQUENCE,
    LAST-MODIFIED and CREATED, `uids` of the first UID; `lines` counts the lines of each.
    `around` is a digest of what stands around them, `plain` whether bytes were enough to tell.
    `gaps` are the rows before which something stands, with its lines; `runs` the rows with which a VCALENDAR
    begins, with the key of its context; `others` has all UIDs of the cores that have several.
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
        return self.runs[self.calendar_at(row)][1]

    def calendar_at(self, row: int) -> int:
        """The number of the VCALENDAR of a row, among those that have any."""
        return bisect_right(self.runs, row, key=lambda run: run[0]) - 1

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """The runs: key of the context, first row, and the row behind the last."""
        ends = [start for start, _ in self.runs[1:]] + [len(self)]
        yield from ((key, start, end) for (start, key), end in zip(self.runs, ends, strict=False))

    @functools.cached_property
    def starts(self) -> array[int]:
        """The line of each BEGIN:VEVENT, from 1."""
        steps = array("Q", chain((1,), self.lines))
        for row, lines in self.gaps:
            steps[row] += lines
        return array("Q", accumulate(steps))

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

    `noticed` is told each VEVENT that says something unknown: its digest, its UIDs with theirs, and its text.
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
                    self._add(text_of(event), raws[first], rows, expected + first)
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
            begins = dict(base.runs)
            contexts, keys = base.contexts, [begins.get(row) for row, _ in base.gaps]
        else:
            contexts, keys = contexts_in(skeleton, len(around) - 1, document)
        runs = tuple((row, key) for (row, _), key in zip(gaps, keys, strict=False) if key is not None)
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
            self._add(text, raw, rows, expected, uids)

    def _add(
        self, text: bytes, raw: bytes, rows: _Rows, expected: int, uids: tuple[str, ...] | None = None
    ) -> None:
        """A row for a piece that is not known as it is. Raises `NotPlain`."""
        stampless = unstamped(event_of(text))
        core, bare = self.digests((stampless, unrevised(stampless)))
        revised = rows.revised(bare, expected)
        if revised:
            rows.add(raw, core, bare, revised, lines_in(text))
            return
        names = {self.digest(uid.encode()): uid for uid in uids or uids_of(text)}
        rows.add(raw, core, bare, tuple(names), lines_in(text))
        self._noticed(raw, names, text)

    def texts_at(self, rows: Collection[int], part: Part, document: Document) -> dict[int, bytes]:
        """The texts of some rows, from another look into the document; raises `SourceError`."""
        texts: dict[int, bytes] = {}
        with contextlib.suppress(NotPlain, Incomplete):
            texts.update(_texts(rows, document, part.plain))
        if any(row not in texts or self.digest(event_of(texts[row])) != part.raws[row] for row in rows):
            raise SourceUnavailable(
                document.name, f"{document.name} is being written to; it is read in the next cycle"
            )
        return texts


def _texts(rows: Collection[int], document: Document, plain: bool) -> Iterator[tuple[int, bytes]]:
    """Some rows of a document with the texts of their pieces."""
    if plain:
        for row, stretch in enumerate(islice(chain.from_iterable(stretches(document.blocks())), 1, None)):
            if row in rows:
                yield row, text_of(parted(stretch)[0])
    else:
        pieces = chain.from_iterable(pieces for _, pieces in slowly(document))
        yield from ((row, piece.text) for row, (piece, _) in enumerate(pieces) if row in rows)


def _consecutive(rows: Sequence[int | None]) -> Iterator[tuple[int, int, int | None]]:
    """From and up to which place rows follow one another, and the first of them; those without row alone."""
    first = 0
    while first < len(rows):
        row, last = rows[first], first + 1
        if row is not None:
            rest = len(rows) - first
            if rows[-1] == row + rest - 1 and rows[first:] == list(range(row, row + rest)):
                last = len(rows)
            while last < len(rows) and rows[last] == row + last - first:
                last += 1
        yield first, last, row
        first = last


class _Rows:
    """The rows of a part while they grow, many of them from `base`.

    What is as it was is not copied: rows are told by their number in the base, or behind it for new ones.
    """

    def __init__(self, base: Part, surveyor: Surveyor) -> None:
        self._base = base
        self._surveyor = surveyor
        self._astray = 0  # events that do not stand where they are expected, if they were there at all
        self._raws = bytearray()
        self._new = _New()
        self._others = dict(base.others)
        self._runs = array("I")  # of each its first row, and the row behind its last
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def known(self, events: Sequence[bytes], raws: Sequence[bytes], expected: int) -> list[int | None]:
        """The rows of the base for events, given with their digests; probably from the expected row on.

        They are as they were, or have another DTSTAMP; None for those that are otherwise, and for a few that
        stood elsewhere.
        """
        base = self._base
        rows: list[int | None] = [None] * len(events)
        if not len(base):
            return rows
        there = cells_of(base.raws.cells[expected * CELL : (expected + len(raws)) * CELL])
        for place, (raw, cell) in enumerate(zip(raws, there, strict=False)):
            if raw == cell:
                rows[place] = expected + place
        unknown = [place for place, row in enumerate(rows) if row is None]
        in_step = next((place for place in reversed(range(len(rows))) if rows[place] is not None), -1)
        cores = self._surveyor.digests(unstamped(events[place]) for place in unknown)
        follows = expected  # the row behind that of the event before
        for place, core in zip(unknown, cores, strict=True):
            if place and (before := rows[place - 1]) is not None:
                follows = before + 1
            for row in (follows, expected + place):
                if base.cores.cells.startswith(core, row * CELL):
                    rows[place] = row
                    break
            else:
                # Where others go on as before it was changed on the spot.
                if place > in_step:
                    self._astray += 1
                    rows[place] = self._anywhere.get(core) if self._astray > _FEW_ASTRAY else None
        return rows

    @functools.cached_property
    def _anywhere(self) -> dict[bytes, int]:
        """The rows of the base by their cores."""
        return {core: row for row, core in enumerate(cells_of(self._base.cores.cells))}

    def revised(self, bare: bytes, expected: int) -> tuple[bytes, ...]:
        """The UIDs of the expected row if it is but for its revision what is there now; else nothing.

        Some servers write SEQUENCE or LAST-MODIFIED anew everywhere, and leave all where it is.
        """
        base = self._base
        same = base.plain and base.bares.cells.startswith(bare, expected * CELL)
        return base.uids_at(expected) if same else ()

    def take(self, raws: bytes, first: int) -> None:
        """Known rows from the first on, with their digests as written."""
        self._raws += raws
        self._put(first, first + len(raws) // CELL)

    def add(self, raw: bytes, core: bytes, bare: bytes, uids: tuple[bytes, ...], lines: int) -> None:
        """A row that was not known."""
        self._raws += raw
        row = len(self._base) + self._new.add(core, bare, uids[0], lines)
        self._put(row, row + 1)
        if len(uids) > 1:
            self._others[core] = uids

    def _put(self, first: int, behind: int) -> None:
        self._count += behind - first
        if self._runs and self._runs[-1] == first != len(self._base):
            self._runs[-1] = behind
        else:
            self._runs.extend((first, behind))

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
        base, new = self._base, self._new
        raws = Column(bytes(self._raws))
        cores = Column(self._joined(base.cores.cells, new.cores, CELL))
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
            raws=raws if raws.cells != base.raws.cells else base.raws,
            cores=cores,
            bares=Column(self._joined(base.bares.cells, new.bares, CELL)),
            uids=Column(self._joined(base.uids.cells, new.uids, CELL)),
            lines=array("I", self._joined(base.lines.tobytes(), new.lines.tobytes(), base.lines.itemsize)),
            others={cores[row]: self._others[cores[row]] for row in there},
        )

    def _joined(self, known: bytes, new: bytes | bytearray, size: int) -> bytes:
        """The rows of a column whose cells have so many bytes; the very same if nothing of it changed."""
        behind = len(self._base)
        if list(self._runs[:3]) == [0, behind]:
            return known
        cells = bytearray()
        for first, last in zip(self._runs[::2], self._runs[1::2], strict=True):
            if last <= behind:
                cells += known[first * size : last * size]
            else:
                cells += new[(first - behind) * size : (last - behind) * size]
        return bytes(cells)


class _New:
    """The cells of rows that were not known, but for the first column."""

    def __init__(self) -> None:
        self.cores, self.bares, self.uids = bytearray(), bytearray(), bytearray()
        self.lines = array("I")

    def add(self, core: bytes, bare: bytes, uid: bytes, lines: int) -> int:
        """Put a row behind the others; its number."""
        self.cores += core
        self.bares += bare
        self.uids += uid
        self.lines.append(lines)
        return len(self.lines) - 1
