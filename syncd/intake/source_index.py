"""What stood in the documents of a source when they were last looked through, and what is different now.

A `SourceIndex` holds no text of events, only digests of each (some 70 bytes), so that of a large calendar
only what changed and still matters goes on to be parsed; nothing else of it stays in memory.
The order of events means nothing; an event that stands there twice does.
Nothing in here knows what a property means.
"""

from __future__ import annotations

import functools
import json
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import accumulate, chain, compress, count, pairwise
from struct import Struct

from xxhash import xxh3_64, xxh3_64_digest, xxh3_128_digest

from syncd.core.document import Document
from syncd.errors import SourceError
from syncd.ics.content import Incomplete
from syncd.ics.vevent import Context, RawEvent
from syncd.intake.document_index import CELL, Column, Finder, Part, Surveyor, cells_of
from syncd.intake.former import Former, formers_after
from syncd.intake.vevents import event_of, may_rival, unrevised, unstamped

VERSION = 2
"""Of the packed form and of what its digests mean; another one is read as an empty inventory."""

_HEAD = Struct("=II8s")  # in the byte order of the machine: where it is another one, so is the version


@dataclass(frozen=True)
class SourceIndex:
    """What stood in the documents of a source that were whole; without arguments: nothing is known yet.

    `is_folder`: the documents are the files of a directory or a glob; `formers` are files that were whole
    before and are not now.
    """

    secret: int = field(default=0, repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    rivals: frozenset[bytes] = field(default=frozenset(), repr=False)
    is_folder: bool = False
    formers: tuple[Former, ...] = field(default=(), repr=False)

    @functools.cached_property
    def contexts(self) -> Mapping[str, Context]:
        """The contexts of all documents, by key."""
        return {context.key: context for part in self.parts for context in part.contexts}

    @property
    def events(self) -> int:
        """How many VEVENTs there are."""
        return sum(len(part) for part in self.parts)

    def lacks(self, document: Document) -> bool:
        """Whether a document has to be read to know what stands in it."""
        same = ((part.name, part.base_url, part.signature) for part in self.parts)
        return not document.signature or (document.name, document.base_url, document.signature) not in same

    @property
    def documents(self) -> int:
        """How many documents were whole."""
        return len(self.parts)

    @functools.cached_property
    def digest(self) -> str:
        """Identity of all that was read, 32 hexadecimal digits."""
        whole = sha256()
        for part in self.parts:
            whole.update(part.around)
            whole.update(sha256(part.raws.cells).digest())
        return whole.hexdigest()[:32]

    def holds(self, uid: str) -> bool:
        """Whether there is a VEVENT with this UID, over or not."""
        return self._uids.row_of(self.digest_of(uid)) is not None

    def digest_of(self, uid: str) -> bytes:
        """Return what stands for a UID here."""
        return xxh3_128_digest(uid.encode(errors="surrogatepass"), self.secret)

    def missing_after(self, found: SourceIndex, named: Collection[str]) -> tuple[Former, ...]:
        """Return the files that this inventory of a directory knew and a later one lacks.

        `named` are the names of all files that stood there then, whole or not; both have one secret.
        """
        if not self.parts and not self.formers:
            return ()
        return formers_after(self.parts, self.formers, found.parts, named)

    def unread(self) -> SourceIndex:
        """Return what is left when nothing that was read counts: which files of a directory there were."""
        if not self.is_folder:
            return SourceIndex()
        return SourceIndex(
            self.secret, is_folder=True, formers=self.missing_after(replace(self, parts=()), ())
        )

    @functools.cached_property
    def _uids(self) -> Finder:
        several = chain.from_iterable(uids for part in self.parts for uids in part.others.values())
        return Finder(Column(b"".join((*(part.uids.cells for part in self.parts), *several))))

    def line_of(self, piece: RawEvent) -> int:
        """Where the BEGIN:VEVENT of that piece stands now; where it stood if it is not there."""
        core = xxh3_128_digest(unstamped(event_of(piece.text)), self.secret)
        found = (
            part.starts[row]
            for part in self.parts
            if any(context.key == piece.context for context in part.contexts)
            for row in sorted(part.cores.rows_with([core]))
            if part.context_at(row) == piece.context
        )
        return next(found, piece.line)

    def packed(self) -> Sequence[bytes]:
        """All of it as bytes, for the ledger; in pieces, one behind the other, since it may be large."""
        contexts = {context: None for part in self.parts for context in part.contexts}
        texts = list(dict.fromkeys(context.text.decode() for context in contexts))
        place = {text: index for index, text in enumerate(texts)}
        parts = [
            {
                "name": part.name,
                "base_url": part.base_url,
                "signature": part.signature,
                "plain": part.plain,
                "around": part.around.hex(),
                "contexts": [[context.key, place[context.text.decode()]] for context in part.contexts],
                "gaps": part.gaps,
                "runs": part.runs,
                "others": [[core.hex(), *map(bytes.hex, uids)] for core, uids in part.others.items()],
                "events": len(part),
            }
            for part in self.parts
        ]
        rivals = sorted(map(bytes.hex, self.rivals))
        said = {"secret": self.secret, "rivals": rivals, "texts": texts, "parts": parts}
        if self.is_folder:
            said["formers"] = [former.as_json() for former in self.formers]
        about = json.dumps(said).encode()
        columns = [
            column
            for part in self.parts
            for column in (*(cells.cells for cells in part.columns), part.lines.tobytes())
        ]
        whole = xxh3_64(about)
        for column in columns:
            whole.update(column)
        return _HEAD.pack(VERSION, len(about), whole.digest()), about, *columns

    @classmethod
    def unpacked(cls, data: bytes) -> SourceIndex:
        """What was packed; an empty inventory if that was by another version, or is not whole."""
        rest = memoryview(data)[_HEAD.size :]
        if len(data) < _HEAD.size or data[: _HEAD.size] != _HEAD.pack(
            VERSION, _HEAD.unpack_from(data)[1], xxh3_64_digest(rest)
        ):
            return cls()
        place = _HEAD.unpack_from(data)[1]
        about = json.loads(bytes(rest[:place]))
        parts = []
        for said in about["parts"]:
            ends = list(accumulate([CELL * said["events"]] * 4 + [4 * said["events"]], initial=place))
            *cells, counts = (bytes(rest[start:end]) for start, end in pairwise(ends))
            place = ends[-1]
            contexts = (
                Context(key, said["name"], said["base_url"], about["texts"][text].encode())
                for key, text in said["contexts"]
            )
            raws, cores, bares, uids = map(Column, cells)
            others = (tuple(map(bytes.fromhex, cells)) for cells in said["others"])
            parts.append(
                Part(
                    name=said["name"],
                    base_url=said["base_url"],
                    signature=said["signature"],
                    plain=said["plain"],
                    around=bytes.fromhex(said["around"]),
                    contexts=tuple(contexts),
                    gaps=tuple((row, lines) for row, lines in said["gaps"]),
                    runs=tuple((row, key) for row, key in said["runs"]),
                    raws=raws,
                    cores=cores,
                    bares=bares,
                    uids=uids,
                    lines=array("I", counts),
                    others={core: tuple(several) for core, *several in others},
                )
            )
        formers = tuple(map(Former.of_json, about.get("formers", ())))
        rivals = frozenset(map(bytes.fromhex, about["rivals"]))
        return cls(about["secret"], tuple(parts), rivals, "formers" in about, formers)


@dataclass(frozen=True, slots=True)
class SourceDiff:
    """What is different in a source.

    `changed` has, by UID ("" for events that have none), all pieces of it in the source, if they say
    something else than before and matter; none of them: it is gone, or it no longer matters.
    `restamped` has those of which only SEQUENCE, LAST-MODIFIED or CREATED are other ones.
    `problems` is a sentence for each document that could not be had or is not whole.
    """

    index: SourceIndex
    changed: Mapping[str, tuple[RawEvent, ...]]
    restamped: Mapping[str, tuple[RawEvent, ...]]
    problems: tuple[str, ...]


def look_through(
    documents: Iterable[Document],
    known: SourceIndex,
    *,
    secret: int,
    matters: Callable[[bytes], bool],
    concerns: Callable[[str], bool],
    kept: Callable[[], Iterable[str]],
    pieces_of: Callable[[str], Sequence[RawEvent]],
    problems: Sequence[str] = (),
) -> SourceDiff:
    """What the documents of a source say otherwise than when `known` was taken.

    `secret` (64 bits) is the key of the digests.
    `matters` is asked about the text of a piece: whether it can have an occurrence that is not over;
    `concerns` about a UID: whether it matters whatever its text says.
    `kept` are the UIDs of which the caller keeps the pieces, all that mattered so far, and `pieces_of` gives
    those of one.
    `problems` are sentences about documents that could not be had at all.
    A document that changes while it is looked through makes all of it void, until the next time.
    """
    if known.secret != secret:
        known = SourceIndex(secret)
    search = _Search(known, secret, matters, concerns, kept, pieces_of)
    told = list(problems)
    seen: list[tuple[Document, Part]] = []
    for document in documents:
        try:
            seen.append((document, search.part_of(document)))
        except Incomplete as error:
            told.append(f"{document.name} {error}")
        except SourceError as error:
            told.append(str(error))
    try:
        return search.findings(seen, told)
    except SourceError as error:
        return SourceDiff(known, {}, {}, (*told, str(error)))


_Span = tuple[Part, int, int]


class _Search:
    """One look through the documents of a source."""

    def __init__(
        self,
        known: SourceIndex,
        secret: int,
        matters: Callable[[bytes], bool],
        concerns: Callable[[str], bool],
        kept: Callable[[], Iterable[str]],
        pieces_of: Callable[[str], Sequence[RawEvent]],
    ) -> None:
        self._known = known
        self._matters = matters
        self._concerns = concerns
        self._all_kept = kept
        self._pieces_of = pieces_of
        self._surveyor = Surveyor(secret, self._notice)
        self._bases: dict[tuple[str, str], list[Part]] = {}
        for part in known.parts:
            self._bases.setdefault(part.place, []).append(part)
        self._names: dict[bytes, str] = {}  # of UIDs of which a piece was not known that matters
        self._mattering: set[bytes] = set()  # those of the pieces that can have coming occurrences
        self._texts: dict[bytes, bytes] = {}  # theirs, and of others of their UIDs as far as they were seen

    def _notice(self, raw: bytes, names: Mapping[bytes, str], text: bytes) -> None:
        """Look at a piece that was not known; its text is kept if its UID is seen to matter by now."""
        if self._matters(text):
            self._mattering.add(raw)
            self._names.update(names)
        else:
            self._names.update((uid, name) for uid, name in names.items() if self._concerns(name))
        if not self._names.keys().isdisjoint(names):
            self._texts[raw] = text

    @functools.cached_property
    def _kept(self) -> dict[bytes, str]:
        names = list(self._all_kept())
        return dict(zip(self._surveyor.digests(name.encode() for name in names), names, strict=True))

    def part_of(self, document: Document) -> Part:
        """The inventory of a document, read only if it may have changed.

        Raises `Incomplete`, and `SourceError` if it cannot be had.
        """
        bases = self._bases.get((document.name, document.base_url), [])
        same = next((part for part in bases if part.signature == document.signature != ""), None)
        base = same if same is not None else next(iter(bases), None)
        if base is not None:
            bases.remove(base)
        if same is not None:
            return same
        return self._surveyor.survey(document, Part(document.name) if base is None else base)

    def findings(self, seen: Sequence[tuple[Document, Part]], problems: Sequence[str]) -> SourceDiff:
        """What is different; raises `SourceError` if a document cannot be looked into again."""
        known, parts = self._known, tuple(part for _, part in seen)
        there, was_there = set(parts), set(known.parts)
        before = [part for part in known.parts if part not in there]
        after = [part for part in parts if part not in was_there]
        touched = _touched(before, after, known.rivals)
        if not known.parts:
            touched |= dict.fromkeys(self._kept)  # nothing else tells what is gone since it was kept
        # Of all others nothing mattered so far, and nothing that is new does.
        relevant = {uid: None for uid in touched if uid in self._names or uid in self._kept}
        places = _places(parts, relevant)
        mattering: dict[bytes, list[tuple[int, int]]] = {}
        changed: dict[str, tuple[RawEvent, ...]] = {}
        for uid in relevant:
            own = places.get(uid, [])
            if self._matter(uid, [(parts[index], row) for index, row in own]):
                mattering[uid] = own
            elif uid in self._kept:
                changed[self._kept[uid]] = ()
        self._look_again(mattering, seen)
        restamped: dict[str, tuple[RawEvent, ...]] = {}
        rivals = set(known.rivals.difference(touched))
        old, new = _said(before, mattering), _said(after, mattering)
        for uid, own in mattering.items():
            pieces = self._pieces(parts, own)
            calendars = {(piece.context, piece.calendar) for piece in pieces}
            if len(calendars) > 1 or may_rival([piece.text for piece in pieces]):
                rivals.add(uid)
            same = uid not in known.rivals and uid not in rivals and old.get(uid) == new.get(uid)
            (restamped if same else changed)[self._name(uid)] = pieces
        same_inventory = parts == known.parts and rivals == known.rivals
        inventory = known if same_inventory else SourceIndex(self._surveyor.secret, parts, frozenset(rivals))
        return SourceDiff(inventory, changed, restamped, tuple(problems))

    def _name(self, uid: bytes) -> str:
        return self._names[uid] if uid in self._names else self._kept[uid]

    def _matter(self, uid: bytes, places: Sequence[tuple[Part, int]]) -> bool:
        """Whether a UID matters; of pieces that are kept the texts are taken up."""
        if not places:
            return False
        name = self._name(uid)
        raws = {part.raws[row] for part, row in places}
        bares = {part.bares[row] for part, row in places}
        # The caller may have to look up all that it knows to say what concerns it.
        matter = not self._mattering.isdisjoint(raws) or self._concerns(name)
        if raws <= self._texts.keys() or uid not in self._kept:
            return matter
        for piece in self._pieces_of(name):
            event = event_of(piece.text)
            raw, bare = self._surveyor.digests((event, unrevised(unstamped(event))))
            matter = matter or (bare in bares and self._matters(piece.text))
            if raw in raws:
                self._texts[raw] = piece.text
        return matter

    def _look_again(
        self, wanted: Mapping[bytes, Sequence[tuple[int, int]]], seen: Sequence[tuple[Document, Part]]
    ) -> None:
        """Get the texts that nobody has; raises `SourceError`."""
        rows: dict[int, set[int]] = {}
        for index, row in chain.from_iterable(wanted.values()):
            if seen[index][1].raws[row] not in self._texts:
                rows.setdefault(index, set()).add(row)
        for index, lacking in rows.items():
            document, part = seen[index]
            texts = self._surveyor.texts_at(lacking, part, document)
            self._texts.update((part.raws[row], text) for row, text in texts.items())

    def _pieces(self, parts: Sequence[Part], places: Sequence[tuple[int, int]]) -> tuple[RawEvent, ...]:
        """Return the pieces of one UID, which stand at these places."""
        numbers: dict[tuple[int, str], dict[int, int]] = {}
        pieces: list[RawEvent] = []
        for index, row in places:
            part = parts[index]
            calendar = part.calendar_at(row)
            context = part.runs[calendar][1]
            number = _number(calendar, numbers.setdefault((index, context), {}))
            pieces.append(RawEvent(context, part.starts[row], self._texts[part.raws[row]], number))
        return tuple(pieces)


def _places(parts: Sequence[Part], uids: Mapping[bytes, None]) -> dict[bytes, list[tuple[int, int]]]:
    """Where each of these UIDs stands: the part by its place, and the row."""
    places: dict[bytes, list[tuple[int, int]]] = {}
    for index, part in enumerate(parts if uids else ()):
        for row in part.rows_of(uids):
            for uid in part.uids_at(row):
                places.setdefault(uid, []).append((index, row))
    return places


def _said(parts: Iterable[Part], uids: Collection[bytes]) -> dict[bytes, Counter[tuple[str, bytes]]]:
    """What each of these UIDs says but for its revision, and in which context."""
    said: dict[bytes, Counter[tuple[str, bytes]]] = {}
    for part in parts if uids else ():
        for row in part.rows_of(uids):
            for uid in part.uids_at(row):
                said.setdefault(uid, Counter())[part.context_at(row), part.bares[row]] += 1
    return said


def _number(calendar: int, known: dict[int, int]) -> int:
    """Return which of the VCALENDARs of one context and UID this one is, from 0, as they come to be known."""
    return known.setdefault(calendar, len(known))


def _touched(before: Sequence[Part], after: Sequence[Part], rivals: frozenset[bytes]) -> dict[bytes, None]:
    """The UIDs that have another multiset of pieces; of rivals DTSTAMP counts, too."""
    contexts: dict[str, tuple[list[_Span], list[_Span]]] = {}
    for side, parts in enumerate((before, after)):
        for part in parts:
            for key, first, last in part.spans():
                contexts.setdefault(key, ([], []))[side].append((part, first, last))
    touched = {
        uid: None
        for old, new in contexts.values()
        for part, row in _unlike(old, new)
        for uid in part.uids_at(row)
    }
    stamps: Counter[tuple[str, int, bytes, bytes]] = Counter()
    for parts, sign in ((before, -1), (after, 1)):
        for part in parts if rivals else ():
            calendars: dict[tuple[bytes, str], dict[int, int]] = {}
            for row in part.rows_of(rivals):
                calendar = part.calendar_at(row)
                context = part.runs[calendar][1]
                for uid in rivals.intersection(part.uids_at(row)):
                    number = _number(calendar, calendars.setdefault((uid, context), {}))
                    stamps[context, number, part.raws[row], uid] += sign
    return touched | {uid: None for (_, _, _, uid), balance in stamps.items() if balance}


def _unlike(old: Sequence[_Span], new: Sequence[_Span]) -> Iterator[tuple[Part, int]]:
    """The rows that have no counterpart in the other, or not as often."""
    left, right = (
        b"".join(part.cores.cells[first * CELL : last * CELL] for part, first, last in spans)
        for spans in (old, new)
    )
    begin, end = _alike(left, right)
    columns = [column[begin * CELL : len(column) - end * CELL] for column in (left, right)]
    balance = Counter(cells_of(columns[0]))
    balance.subtract(cells_of(columns[1]))
    uneven = {core for core, times in balance.items() if times}
    for spans, column in zip((old, new), columns, strict=True):
        starts = list(accumulate((last - first for _, first, last in spans), initial=0))
        for place in compress(count(begin), map(uneven.__contains__, cells_of(column))):
            index = bisect_right(starts, place) - 1
            part, first, _ = spans[index]
            yield part, first + place - starts[index]


def _alike(left: bytes, right: bytes) -> tuple[int, int]:
    """How many digests both columns begin with, and how many of the others they end with."""
    most = min(len(left), len(right)) // CELL
    begin = bisect_right(range(1, most + 1), False, key=lambda n: not left.startswith(right[: n * CELL]))
    rest = range(1, most - begin + 1)
    return begin, bisect_right(rest, False, key=lambda n: not left.endswith(right[-n * CELL :]))
