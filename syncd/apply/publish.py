"""Publishes inline attachments as files to which links will point, and removes those that nobody needs.

A file is readable for a web server, whatever the umask; its name comes from its content.
What cannot be written costs that attachment and nothing else.
Only what was noted in the ledger before it was written is ever removed; everything else belongs to others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import structlog

from syncd.apply.ports import PublishedStore
from syncd.core.attachments import Publication
from syncd.core.meeting import Meeting
from syncd.core.reasons import Reason
from syncd.core.reservation import Attachment

log = structlog.get_logger(__name__)


def publish(
    meeting: Meeting, published: PublishedStore, folder: Path | None, mode: int
) -> Meeting:
    """Write the files of a meeting, whole or not at all; returns it without attachments that cannot be."""
    missing: set[str] = set()
    for publication in meeting.publications:
        assert folder is not None  # the mapper publishes only with a directory
        try:
            _publish(publication, published, folder, mode)
        except OSError as error:
            missing.add(publication.filename)
            log.warning(
                "an attachment cannot be published; the meeting is booked without it until it can: "
                "look at attachments.publish_dir, its owner and the space on its disk",
                uid=meeting.key.uid,
                reason=Reason.ATTACHMENT_LEFT_OUT.value,
                error=os.strerror(error.errno or 0),
            )
    if not missing:
        return meeting
    kept: list[Attachment] = []
    for attachment in meeting.spec.attachments:
        _folder, _slash, filename = attachment.url.rpartition("/")
        if filename not in missing:
            kept.append(attachment)
    spec = replace(meeting.spec, attachments=tuple(kept))
    return replace(meeting, spec=spec)


def remove_unneeded(published: PublishedStore, folder: Path | None, mode: int) -> None:
    """Remove published files that no booking refers to; give the others today's directory and mode."""
    folders = published.folders()
    if not folders:
        return
    attached = published.attached()
    for filename, where in folders.items():
        path = Path(where) / filename
        try:
            if filename not in attached:
                path.unlink(missing_ok=True)
                published.forget(filename)
            elif folder is not None:
                _keep(path, folder, mode, published)
        except OSError as error:
            log.warning(
                "a published attachment cannot be removed or kept up; look at its directory",
                file=filename,
                error=os.strerror(error.errno or 0),
            )


def _publish(
    publication: Publication, published: PublishedStore, folder: Path, mode: int
) -> None:
    path = folder / publication.filename
    noted = published.folders().get(publication.filename)
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        is_file = stat.S_ISREG(found.st_mode)
        if not is_file or found.st_size != len(publication.data):
            raise FileExistsError(errno.EEXIST, "there is something else of this name")
        return
    _make_folder(folder, mode)
    if noted != str(folder):
        # Before it is there: a file that nobody knows of would stay for ever.
        published.note(publication.filename, str(folder))
    _write_file(path, publication.data, mode)


def _keep(path: Path, folder: Path, mode: int, published: PublishedStore) -> None:
    """Move a file to the directory that is configured now, and give it the mode that is."""
    target = folder / path.name
    if path.parent != folder and not target.exists():
        _make_folder(folder, mode)
        _write_file(target, path.read_bytes(), mode)
        path.unlink()
        published.note(path.name, str(folder))
        return
    if path.parent != folder:
        return
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_IMODE(status.st_mode) != mode:
            path.chmod(mode)


def _make_folder(folder: Path, mode: int) -> None:
    """Create a directory and those above it that are missing: who may read the files may enter them."""
    readable = mode & 0o044
    enterable = readable >> 2
    # Whatever the umask: the owner writes, and whoever reads a file finds it.
    folder_mode = 0o700 | readable | enterable
    way = (folder, *folder.parents)
    missing = [parent for parent in way if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        parent.chmod(folder_mode)


def _write_file(path: Path, data: bytes, mode: int) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(
        partial,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
