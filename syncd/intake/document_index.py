"""The index of one document: a row of digests for each VEVENT, and a digest of what stands around them.

How a change is told. A document is cut into its VEVENTs by bytes (`syncd.intake.vevents`), a block at a time.
Each is compared by its digest with the row where it stood in the *parent*, which is the index of the same
document when it was read last; a block in which all stand as they stood takes one comparison. Only an event
that has no row in the parent is looked into, once, and its text goes to the caller, who keeps what matters.

Rows and columns. A row is four digests of 16 bytes and a count of lines: 68 bytes, where an object with four
digests would take some 300. The digests of a column stand one behind the other, so those of a block compare
like one string, and a column goes to the ledger and back as it is. A calendar that was written anew with the
same content costs less than its SHA-256.

The columns. `verbatim` is of an event as written. `without_dtstamp` leaves out the value of DTSTAMP, which
many servers write anew at every download. `without_revision` leaves out SEQUENCE, LAST-MODIFIED and CREATED
as well, which some servers write anew, too: such an event says nothing new, and only its kept text follows.

The key. The digests are XXH3-128, which is as fast as memory is read but is no cryptographic hash: who knows
its seed can write two texts with one digest, and let a change go unseen. So the seed is a random secret of
the installation, and no digest leaves it. By chance, two of a million events share one once in 10^26 times.

Order means nothing: RFC 5545 gives components none, and servers shuffle them. The rows follow the document so
that a text can be found again, but what changed is told from multisets: an event that stands there twice
counts twice. Where an event stood only says where to compare first.

Git's index does alike: the stat of a file tells whether it has to be read at all (here `signature`), and a
hash of its content whether it changed (here one for each VEVENT).

What else there is. An ETag or a hash of the file tells that something changed, never what; it is asked first.
A diff of texts needs the old text, and takes another order for a change. Parsing everything to compare values
takes some hundred times as long. A sync-token (RFC 6578) tells the same, where a server has it.

Limits. Another fold, line end or order of properties counts as a change; that costs a parse and changes no
booking. A document that bytes alone do not tell is split line by line. Up to 500 events that moved within
their document count as changed, too; from then on all are looked up by their digests.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, chain

from xxhash import xxh3_64_intdigest

from syncd.ics.vevent import Context
from syncd.intake.columns import Column, cells_of

_BUCKETS = 256  # with ten thousand files some forty documents are stored together


@dataclass(frozen=True, eq=False)
class DocumentIndex:
    """What is known of one document that was whole; a row for each VEVENT, in the order of the document.

    `verbatim` are digests of events as written, `without_dtstamp` without the value of DTSTAMP,
    `without_revision` also without SEQUENCE, LAST-MODIFIED and CREATED; `uids` are digests of the first UID.
    `lines` counts the lines of each event.
    `around` is a digest of what stands around them, `plain` tells whether bytes were enough to tell.
    `gaps` are the rows before which something stands, with its lines.
    `calendars` are the rows with which a VCALENDAR begins, with the key of its context.
    `several_uids` has all UIDs of events with several, by `without_dtstamp`.
    """

    name: str
    base_url: str = ""
    signature: str = ""
    plain: bool = True
    around: bytes = b""
    contexts: tuple[Context, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    calendars: tuple[tuple[int, str], ...] = ()
    verbatim: Column = field(default_factory=Column)
    without_dtstamp: Column = field(default_factory=Column)
    without_revision: Column = field(default_factory=Column)
    uids: Column = field(default_factory=Column)
    lines: array[int] = field(default_factory=lambda: array("I"))
    several_uids: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def location(self) -> tuple[str, str]:
        """Return the name and the base URL, which tell which document it is of."""
        return self.name, self.base_url

    @functools.cached_property
    def identity(self) -> bytes:
        """Return a digest of all that was read."""
        whole = sha256(self.around)
        whole.update(sha256(self.verbatim.cells).digest())
        return whole.digest()

    @functools.cached_property
    def bucket(self) -> int:
        """Return the number of the bucket in which it is stored, from 1; see `syncd.intake.packed_index`."""
        location = "\0".join(self.location)
        return 1 + xxh3_64_intdigest(location.encode()) % _BUCKETS

    @property
    def columns(self) -> tuple[Column, Column, Column, Column]:
        """Return all columns of digests, in the order in which they are stored."""
        return self.verbatim, self.without_dtstamp, self.without_revision, self.uids

    def context_at(self, row: int) -> str:
        """Return the key of the context of a row."""
        _, key = self.calendars[self.calendar_at(row)]
        return key

    def calendar_at(self, row: int) -> int:
        """Return the number of the VCALENDAR of a row, among those that have a VEVENT."""
        return bisect_right(self.calendars, row, key=lambda calendar: calendar[0]) - 1

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Yield of each VCALENDAR the key of its context, its first row, and the row behind its last."""
        ends = [first for first, _ in self.calendars[1:]]
        ends.append(len(self))
        for (first, key), end in zip(self.calendars, ends, strict=False):
            yield key, first, end

    @functools.cached_property
    def starts(self) -> array[int]:
        """Return the line of each BEGIN:VEVENT, from 1."""
        steps = array("Q", chain((1,), self.lines))
        for row, lines in self.gaps:
            steps[row] += lines
        return array("Q", accumulate(steps))

    def uids_at(self, row: int) -> tuple[bytes, ...]:
        """Return the digests of the UIDs of a row."""
        if self.several_uids:
            several = self.several_uids.get(self.without_dtstamp[row])
            if several is not None:
                return several
        return (self.uids[row],)

    def each_uid(self) -> Iterator[bytes]:
        """Yield the digests of the UIDs of all rows, in order."""
        if self.several_uids:
            rows = range(len(self))
            return chain.from_iterable(map(self.uids_at, rows))
        return cells_of(self.uids.cells)

    def all_uids(self) -> frozenset[bytes]:
        """Return the digests of all UIDs in the document."""
        first_ones = frozenset(cells_of(self.uids.cells))
        return first_ones.union(*self.several_uids.values())

    def rows_of(self, uids: Collection[bytes]) -> list[int]:
        """Return the rows of these UIDs, given as digests, in order."""
        found = set(self.uids.rows_with(uids))
        if self.several_uids:
            wanted = frozenset(uids)
            events: set[bytes] = set()
            for event, own in self.several_uids.items():
                if not wanted.isdisjoint(own):
                    events.add(event)
            found.update(self.without_dtstamp.rows_with(events))
        return sorted(found)
