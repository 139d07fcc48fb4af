"""From ATTACH to the attachments of a reservation, and to the files that have to be published for them.

The API takes links (API page "Preempt Meeting Room"), so inline data becomes a file in the directory that the
configuration publishes.
What cannot be passed on is left out with a note.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import unquote, urljoin, urlsplit

from syncd.core.occurrence import Attach, Inline, Link, Occurrence
from syncd.core.reasons import Note, Reason
from syncd.core.reservation import Attachment
from syncd.core.text import fold_space

MAX_ATTACHMENTS = 10
"""API page "Preempt Meeting Room": at most 10 files."""

MAX_PUBLISHED_BYTES = 10_000_000
"""Of the inline attachments of one event together."""

# FMTTYPE to file extension, for the types that calendars really carry.
_EXTENSIONS = {
    "application/json": "json",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/xml": "xml",
    "application/zip": "zip",
    "audio/mpeg": "mp3",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tiff",
    "image/webp": "webp",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
    "video/mp4": "mp4",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """An inline attachment to be written to the published directory before it is referred to."""

    filename: str
    data: bytes


def attachments_of(
    occurrence: Occurrence,
    publish_base_url: str,
    publish_types: Collection[str],
    notes: list[Note],
) -> tuple[tuple[Attachment, ...], tuple[Publication, ...]]:
    """Return the attachments of an occurrence, and the files to publish for them; append notes on the others.

    `publish_base_url` is empty where nothing is published; `publish_types` are file extensions.
    """
    found = _Attachments(occurrence.base_url, publish_base_url, publish_types, notes)
    for attach in occurrence.attachments:
        found.add(attach)
    return tuple(found.attachments), tuple(found.publications)


@dataclass(slots=True)
class _Attachments:
    """The attachments of one event, in the order in which it names them."""

    base_url: str
    publish_base_url: str
    publish_types: Collection[str]
    notes: list[Note]
    attachments: list[Attachment] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)

    def add(self, attach: Attach) -> None:
        """Add one ATTACH, or a note why it is left out."""
        if len(self.attachments) == MAX_ATTACHMENTS:
            why: str | None = f"is more than the {MAX_ATTACHMENTS} that the API takes"
        elif isinstance(attach, Link):
            why = self._add_link(attach)
        else:
            why = self._add_inline(attach)
        if why is not None:
            name = attach.name or "without name"
            self.notes.append(
                Note(Reason.ATTACHMENT_LEFT_OUT, f"The attachment {name} {why}.")
            )

    def _add_link(self, link: Link) -> str | None:
        """Add a link; return why it is left out, else None."""
        url = _absolute(link.uri, self.base_url)
        if url is None:
            return "is not a web address that others could open"
        self.attachments.append(_linked(link, url))
        return None

    def _add_inline(self, inline: Inline) -> str | None:
        """Add a file to publish and the link to it; return why it is left out, else None."""
        if inline.data is None:
            return "is inline data that cannot be decoded"
        if not self.publish_base_url:
            return "is inline data, and attachments.publish_dir is empty"
        kind = _kind_of(inline)
        if kind not in self.publish_types:
            shown = f"of type {kind}" if kind else "without a known type"
            return f"is inline data {shown}, which attachments.types does not name"
        published_bytes = sum(
            len(publication.data) for publication in self.publications
        )
        if published_bytes + len(inline.data) > MAX_PUBLISHED_BYTES:
            return f"makes more than {MAX_PUBLISHED_BYTES // 1_000_000} MB of one event"
        published = _publication(inline.data, kind)
        attachment = Attachment(
            url=self.publish_base_url.rstrip("/") + "/" + published.filename,
            name=inline.name or published.filename,
            size=_size_text(len(inline.data)),
            type=kind,
        )
        self.publications.append(published)
        self.attachments.append(attachment)
        return None


def _absolute(uri: str, base_url: str) -> str | None:
    """Return the web address of an ATTACH, a relative one against that of its feed; None if it is none."""
    try:
        url = urljoin(base_url, uri) if base_url else uri
        parts = urlsplit(url)
        has_host = bool(parts.hostname)
    except ValueError:
        return None
    if not has_host or parts.scheme.lower() not in {"http", "https"}:
        return None
    return url


def _linked(link: Link, url: str) -> Attachment:
    """Return the attachment that a link is, named by the end of its path if it has no name."""
    path = urlsplit(url).path.rstrip("/")
    _, _, last = path.rpartition("/")
    name = fold_space(link.name or unquote(last))
    size: str | None = None
    if link.size_bytes is not None:
        size = _size_text(link.size_bytes)
    return Attachment(
        url=url,
        name=name or None,
        size=size,
        type=_type_of(link.media_type, name),
    )


def _type_of(media_type: str | None, name: str) -> str | None:
    """Return the extension that a media type stands for, else that of a name; None if neither tells."""
    essence, _, _ = (media_type or "").partition(";")
    known = _EXTENSIONS.get(essence.strip().lower())
    if known:
        return known
    stem, _, extension = name.rpartition(".")
    if not stem or not re.fullmatch(r"[A-Za-z0-9]{1,8}", extension):
        return None
    return extension.lower()


def _size_text(size: int) -> str:
    """Return a size as the API's example writes it: `332.3kb`."""
    return f"{size / 1024:.1f}kb"


def _kind_of(attach: Inline) -> str:
    """Return the extension of the file to write, by which a web server will judge it; empty if unknown."""
    name = (attach.name or "").rstrip(". \t")
    return _type_of(attach.media_type, name) or ""


def _publication(data: bytes, extension: str) -> Publication:
    """Name a file by its content, so that equal readings give equal links."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    return Publication(f"{digest}.{extension}", data)
