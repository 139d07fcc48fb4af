"""What stood in the documents of a source when they were read last: an index of each, and its stored form.

A `SourceIndex` holds no text of events, only digests of each (some 70 bytes), so that nothing of a large
calendar stays in memory but what still matters; see `syncd.intake.document_index`.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from typing import Any

from xxhash import xxh3_128_digest

from syncd.core.document import Document
from syncd.ics.vevent import Context, RawEvent
from syncd.intake.columns import Column, Finder
from syncd.intake.document_index import DocumentIndex
from syncd.intake.former import Former, formers_after
from syncd.intake.packed_index import pack, unpack
from syncd.intake.vevents import event_of, without_dtstamp

ABOUT_ALL = 0
"""The number that is no bucket of documents: it holds what is about all of them."""

# Bytes in memory, about: of a row with what finds its UID, and of what stands around the rows.
_OF_AN_EVENT = 84
_OF_A_DOCUMENT = 3_000
_OF_A_UID = 100


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
        # In whatever order files are listed, they say the same.
        identities = sorted(document.identity for document in self.documents)
        return sha256(b"".join(identities)).hexdigest()[:32]

    def to_read(self, documents: Iterable[Document]) -> list[Document]:
        """Return those of the documents that have to be read to know what stands in them."""
        known = {
            (index.name, index.base_url, index.signature) for index in self.documents
        }
        unread: list[Document] = []
        for document in documents:
            looks = (document.name, document.base_url, document.signature)
            if not document.signature or looks not in known:
                unread.append(document)
        return unread

    def holds(self, uid: str) -> bool:
        """Tell whether there is a VEVENT with a UID, over or not."""
        return self._uids.holds(self.digest_of(uid))

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

    def packed(self, former: SourceIndex | None = None) -> dict[int, Sequence[bytes]]:
        """Return it for the ledger, by the numbers of buckets; see `syncd.intake.packed_index`.

        What a former index has likewise is left out; a bucket of which nothing is left is empty.
        """
        about = _about(self)
        unlike = set(self.documents)
        if former is not None:
            unlike.symmetric_difference_update(former.documents)
        buckets = self._buckets({document.bucket for document in unlike})
        if former is None or about != _about(former):
            buckets[ABOUT_ALL] = pack(about)
        return buckets

    def _buckets(self, numbers: Collection[int]) -> dict[int, Sequence[bytes]]:
        """Return what these buckets hold, packed."""
        held: dict[int, list[DocumentIndex]] = {number: [] for number in numbers}
        for document in self.documents:
            bucket = held.get(document.bucket)
            if bucket is not None:
                bucket.append(document)
        packed: dict[int, Sequence[bytes]] = {}
        for number, documents in held.items():
            documents.sort(key=_place_in_order)
            packed[number] = ()
            if documents:
                packed[number] = pack({}, documents)
        return packed

    def is_packed_in(self, buckets: Collection[int]) -> bool:
        """Tell whether these are the numbers of its buckets; a former version had all in one."""
        numbers = {document.bucket for document in self.documents}
        return numbers | {ABOUT_ALL} == set(buckets)

    @classmethod
    def unpacked(cls, buckets: Mapping[int, bytes]) -> SourceIndex:
        """Return what was packed; an empty index if that was by another version, or is not whole."""
        if ABOUT_ALL not in buckets:
            return cls()
        try:
            about, documents = unpack(buckets[ABOUT_ALL])
            for number, data in buckets.items():
                if number != ABOUT_ALL:
                    _, some = unpack(data)
                    documents += some
        except ValueError:
            return cls()
        # A ledger of former versions has them all with what is about all, and does not count them.
        if len(documents) != about.get("documents", len(documents)):
            return cls()
        documents.sort(key=_place_in_order)
        formers = about.get("formers")
        return cls(
            secret=about["secret"],
            documents=tuple(documents),
            ambiguous=frozenset(map(bytes.fromhex, about["rivals"])),
            is_folder=formers is not None,
            formers=tuple(map(Former.of_json, formers or ())),
        )


def _about(index: SourceIndex) -> dict[str, Any]:
    """Return what is stored of an index beside the documents, as JSON values."""
    said: dict[str, Any] = {
        "secret": index.secret,
        "rivals": sorted(map(bytes.hex, index.ambiguous)),
        "documents": len(index.documents),
    }
    if index.is_folder:
        said["formers"] = [former.as_json() for former in index.formers]
    return said


def _place_in_order(document: DocumentIndex) -> tuple[str, str, str, bytes]:
    """Return what documents are ordered by, those of one name too, in whatever order they were listed."""
    return *document.location, document.signature, document.verbatim.cells
