"""The form in which indexes of documents are stored: a JSON text and columns of digests, with a checksum.

Documents go to the ledger in buckets, by a hash of their names: what is known of one of ten thousand files is
written together with that of some forty others, and not with that of all. A row for each document would be
smaller still, but then each would carry the text that stands around its events, which all files of one program
share, and ten thousand rows take longer to read than some hundred. Hashed buckets are as old as hash tables;
what is in which never has to be stored.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Any

from xxhash import xxh3_64, xxh3_64_digest

from syncd.ics.vevent import Context
from syncd.intake.columns import CELL, Column
from syncd.intake.document_index import DocumentIndex

VERSION = 2
"""Of the packed form and of what its digests mean; another one cannot be read."""

# In the byte order of the machine: where it is another one, so is the version.
_HEAD = Struct("=II8s")
_WIDTHS = (CELL, CELL, CELL, CELL, 4)
"""Bytes of a row in each column of a document as it is stored; see `_columns_of`."""


def pack(
    said: Mapping[str, Any], documents: Sequence[DocumentIndex] = ()
) -> Sequence[bytes]:
    """Return JSON values and indexes of documents as a list of bytes to be joined, since they may be large.

    That is a head with the version and a checksum, a JSON text, and the columns of each document.
    """
    number_of: dict[str, int] = {}  # each text is stored once
    for document in documents:
        for context in document.contexts:
            number_of.setdefault(context.text.decode(), len(number_of))
    parts = [_as_json(document, number_of) for document in documents]
    whole = {**said, "texts": list(number_of), "parts": parts}
    about = json.dumps(whole).encode()
    columns: list[bytes] = []
    for document in documents:
        columns += _columns_of(document)
    checksum = xxh3_64(about)
    for column in columns:
        checksum.update(column)
    head = _HEAD.pack(VERSION, len(about), checksum.digest())
    return head, about, *columns


def unpack(data: bytes) -> tuple[Mapping[str, Any], list[DocumentIndex]]:
    """Return the JSON values and the indexes that were packed.

    Raises `ValueError` if that was done by another version, or if the data are not whole.
    """
    if len(data) < _HEAD.size:
        raise ValueError("not even the head is whole")
    rest = memoryview(data)[_HEAD.size :]
    version, place, checksum = _HEAD.unpack_from(data)
    if version != VERSION or checksum != xxh3_64_digest(rest):
        raise ValueError("packed by another version, or damaged")
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
    return about, documents


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
