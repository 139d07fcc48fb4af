"""What stood in the documents of a source when they were read last: an index of each, and its stored form.

A `SourceIndex` holds no text of events, only digests of each (some 70 bytes), so that nothing of a large
calendar stays in memory but what still matters; see `syncd.intake.document_index`.
"""

from __future__ import annotations

import functools
import json
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from struct import Struct
from typing import Any

from xxhash import xxh3_64, xxh3_64_digest, xxh3_128_digest

from syncd.core.document import Document
from syncd.ics.vevent import Context, RawEvent
from syncd.intake.columns import CELL, Column, Finder
from syncd.intake.document_index import DocumentIndex
from syncd.intake.former import Former, formers_after
from syncd.intake.vevents import event_of, without_dtstamp

VERSION = 2
"""Of the packed form and of what its digests mean; another one is read as an empty index."""

# Bytes in memory, about: of a row with what finds its UID, and of what stands around the rows.
_OF_AN_EVENT = 84
_OF_A_DOCUMENT = 3_000
_OF_A_UID = 100

# In the byte order of the machine: where it is another one, so is the version.
_HEAD = Struct("=II8s")
_WIDTHS = (CELL, CELL, CELL, CELL, 4)
"""Bytes of a row in each column of a document as it is stored; see `_columns_of`."""


@dataclass(frozen=True)
class SourceIndex:
    """What stood in the documents of a source that were whole; without arguments: nothing is known yet.

    `secret` is the key of the digests.
    `ambiguous` are digests of the UIDs of which two events may be about the same occurrence.
    `is_folder`: the documents are the files of a directory or a glob; `formers` are files that were whole
    before and are not now.
    """

    secret: int = field(default=0, repr=False)
    documents: tuple[DocumentIndex, ...] = field(default=(), repr=False)
    ambiguous: frozenset[bytes] = field(default=frozenset(), repr=False)
    is_folder: bool = False
    formers: tuple[Former, ...] = field(default=(), repr=False)

    @functools.cached_property
    def contexts(self) -> Mapping[str, Context]:
        """Return the contexts of all documents, by key."""
        return {context.key: context for context in self._all_contexts()}

    @property
    def event_count(self) -> int:
        """Return the number of VEVENTs in all documents."""
        return sum(map(len, self.documents))

    @property
    def size(self) -> int:
        """Return how many bytes it takes in memory, about."""
        formers = sum(len(former.uids) for former in self.formers)
        return (
            _OF_A_DOCUMENT * len(self.documents)
            + _OF_AN_EVENT * self.event_count
            + _OF_A_UID * formers
        )

    @functools.cached_property
    def digest(self) -> str:
        """Return the identity of all that was read, 32 hexadecimal digits."""
        whole = sha256()
        for document in self.documents:
            whole.update(document.around)
            whole.update(sha256(document.verbatim.cells).digest())
        return whole.hexdigest()[:32]

    def to_read(self, documents: Iterable[Document]) -> list[Document]:
        """Return those of the documents that have to be read to know what stands in them."""
        known: set[tuple[str, str, str]] = set()
        for index in self.documents:
            known.add((index.name, index.base_url, index.signature))
        unread: list[Document] = []
        for document in documents:
            looks = (document.name, document.base_url, document.signature)
            if not document.signature or looks not in known:
                unread.append(document)
        return unread

    def holds(self, uid: str) -> bool:
        """Tell whether there is a VEVENT with a UID, over or not."""
        return self._uids.row_of(self.digest_of(uid)) is not None

    def digest_of(self, uid: str) -> bytes:
        """Return the keyed digest of a UID."""
        return xxh3_128_digest(uid.encode(errors="surrogatepass"), self.secret)

    def missing_after(
        self, found: SourceIndex, named: Collection[str]
    ) -> tuple[Former, ...]:
        """Return the files that this index of a directory knew and a later one lacks.

        `named` are the names of all files that stood there then, whole or not; both have one secret.
        """
        if not self.documents and not self.formers:
            return ()
        return formers_after(self.documents, self.formers, found.documents, named)

    def unread(self) -> SourceIndex:
        """Return what is left when nothing that was read counts: which files of a directory there were."""
        if not self.is_folder:
            return SourceIndex()
        formers = self.missing_after(replace(self, documents=()), ())
        return SourceIndex(self.secret, is_folder=True, formers=formers)

    def line_of(self, event: RawEvent) -> int:
        """Return the line where the BEGIN:VEVENT of an event stands now; where it stood if it is gone."""
        stampless = without_dtstamp(event_of(event.text))
        digest = xxh3_128_digest(stampless, self.secret)
        for document in self.documents:
            keys = [context.key for context in document.contexts]
            if event.context not in keys:
                continue
            for row in document.without_dtstamp.rows_of(digest):
                if document.context_at(row) == event.context:
                    return document.starts[row]
        return event.line

    @functools.cached_property
    def _uids(self) -> Finder:
        """Return where to find the digests of all UIDs."""
        cells: list[bytes] = []
        for document in self.documents:
            cells.append(document.uids.cells)
            cells += chain.from_iterable(document.several_uids.values())
        return Finder(Column(b"".join(cells)))

    def _all_contexts(self) -> Iterator[Context]:
        """Return the contexts of all documents; documents may share one."""
        return chain.from_iterable(document.contexts for document in self.documents)

    def packed(self) -> Sequence[bytes]:
        """Return all of it for the ledger: a list of bytes to be joined, since they may be large.

        That is a head with the version and a checksum, a JSON text, and the columns of each document.
        """
        number_of: dict[str, int] = {}  # each text is stored once
        for context in self._all_contexts():
            number_of.setdefault(context.text.decode(), len(number_of))
        said: dict[str, Any] = {
            "secret": self.secret,
            "rivals": sorted(map(bytes.hex, self.ambiguous)),
            "texts": list(number_of),
            "parts": [_as_json(document, number_of) for document in self.documents],
        }
        if self.is_folder:
            said["formers"] = [former.as_json() for former in self.formers]
        about = json.dumps(said).encode()
        columns: list[bytes] = []
        for document in self.documents:
            columns += _columns_of(document)
        checksum = xxh3_64(about)
        for column in columns:
            checksum.update(column)
        head = _HEAD.pack(VERSION, len(about), checksum.digest())
        return head, about, *columns

    @classmethod
    def unpacked(cls, data: bytes) -> SourceIndex:
        """Return what was packed; an empty index if that was by another version, or is not whole."""
        if len(data) < _HEAD.size:
            return cls()
        rest = memoryview(data)[_HEAD.size :]
        version, place, checksum = _HEAD.unpack_from(data)
        if version != VERSION or checksum != xxh3_64_digest(rest):
            return cls()
        about = json.loads(bytes(rest[:place]))
        texts = [text.encode() for text in about["texts"]]
        documents: list[DocumentIndex] = []
        for said in about["parts"]:
            columns: list[bytes] = []
            for width in _WIDTHS:
                end = place + width * said["events"]
                columns.append(bytes(rest[place:end]))
                place = end
            documents.append(_of_json(said, texts, columns))
        formers = about.get("formers")
        return cls(
            secret=about["secret"],
            documents=tuple(documents),
            ambiguous=frozenset(map(bytes.fromhex, about["rivals"])),
            is_folder=formers is not None,
            formers=tuple(map(Former.of_json, formers or ())),
        )


def _columns_of(document: DocumentIndex) -> Iterator[bytes]:
    """Yield the columns of a document as they are stored: four of digests, then the counts of lines."""
    for column in document.columns:
        yield column.cells
    yield document.lines.tobytes()


def _as_json(document: DocumentIndex, number_of: Mapping[str, int]) -> dict[str, Any]:
    """Return what stands around the columns of a document; `number_of` are the texts of its contexts."""
    contexts: list[tuple[str, int]] = []
    for context in document.contexts:
        text = context.text.decode()
        contexts.append((context.key, number_of[text]))
    several: list[list[str]] = []
    for event, uids in document.several_uids.items():
        several.append([event.hex(), *map(bytes.hex, uids)])
    return {
        "name": document.name,
        "base_url": document.base_url,
        "signature": document.signature,
        "plain": document.plain,
        "around": document.around.hex(),
        "contexts": contexts,
        "gaps": document.gaps,
        "runs": document.calendars,
        "others": several,
        "events": len(document),
    }


def _of_json(
    said: Mapping[str, Any], texts: Sequence[bytes], columns: Sequence[bytes]
) -> DocumentIndex:
    """Return the index of a document from what `_as_json` and `_columns_of` returned."""
    name = said["name"]
    base_url = said["base_url"]
    contexts: list[Context] = []
    for key, number in said["contexts"]:
        contexts.append(Context(key, name, base_url, texts[number]))
    *digests, lines = columns
    verbatim, stampless, unrevised, uids = map(Column, digests)
    several_uids: dict[bytes, tuple[bytes, ...]] = {}
    for cells in said["others"]:
        event, *own = map(bytes.fromhex, cells)
        several_uids[event] = tuple(own)
    return DocumentIndex(
        name=name,
        base_url=base_url,
        signature=said["signature"],
        plain=said["plain"],
        around=bytes.fromhex(said["around"]),
        contexts=tuple(contexts),
        gaps=tuple((row, count) for row, count in said["gaps"]),
        calendars=tuple((row, key) for row, key in said["runs"]),
        verbatim=verbatim,
        without_dtstamp=stampless,
        without_revision=unrevised,
        uids=uids,
        lines=array("I", lines),
        several_uids=several_uids,
    )
