"""Checks of the sources: whether each can be had, is what it says to be, and is looked at in time."""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from syncd.config import Source
from syncd.core.amounts import some
from syncd.core.backoff import is_stale
from syncd.core.occurrence import Defect, Reading
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, unclear, well, when, wrong
from syncd.doctor.patient import Patient
from syncd.doctor.state import USABLE
from syncd.doctor.systemd import unit_of
from syncd.errors import SourceError, SourceMalformed
from syncd.sources.files import FileSource, as_it_stands
from syncd.sources.http.feed import Fresh
from syncd.views.toml import toml_text
from syncd.views.typed import as_argument

_READABLE = "sources: readable"
_UNDERSTOOD = "sources: understood"
_SOON = timedelta(days=14)
_LATER = timedelta(days=30)
_HIDDEN_FROM_UNITS = ("/home", "/root", "/run/user")  # ProtectHome=

_Look = Callable[[Patient, Source], Iterable[Finding]]


# Whether it can be had


def _is_readable(patient: Patient, source: Source) -> Iterator[Finding]:
    if source.path is None:
        yield _read_feed(patient, source)
        return
    try:
        fetched = FileSource(source.name, source.path, source.max_bytes).fetch()
    except SourceError as error:
        yield wrong(f"{source.name}: {error}.", _cure_of_path(source, error))
        return
    for problem in fetched.problems:
        yield wrong(f"{source.name}: {problem}.", _cure_of_path(source, None))
    for document in fetched.documents:
        try:
            for _block in document.blocks():
                break
        except SourceError as error:
            yield wrong(f"{source.name}: {error}.", _cure_of_path(source, error))
            return
    if not fetched.problems:
        files = some(len(fetched.documents), "file")
        yield well(f"{source.name}: {files} can be read.")


def _cure_of_path(source: Source, error: SourceError | None) -> str:
    """Return the line or the command that makes a path readable."""
    path = source.path
    assert path is not None  # the caller asked
    here, pattern = as_it_stands(path)
    if isinstance(error, SourceMalformed) and here.is_file():
        size = here.stat().st_size
        if size > source.max_bytes:
            return f'max_bytes = "{size // 1_000_000 + 1}MB"'
    if os.path.lexists(here) and not pattern:
        return f"chmod o+r {shlex.quote(str(here))}"
    meant = _likely_meant(here)
    if meant is not None:
        return f"path = {toml_text(str(meant))}"
    parent = here.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    return f"ls -la {shlex.quote(str(parent))}"


def _likely_meant(missing: Path) -> Path | None:
    """Return the file beside a missing one that has nearly its name, or is the only calendar there."""
    try:
        names = [entry.name for entry in missing.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(missing.name, names, 1, 0.6)
    calendars = [name for name in names if name.lower().endswith(".ics")]
    if not near and len(calendars) == 1:
        near = calendars
    return missing.parent / near[0] if near else None


def _read_feed(patient: Patient, source: Source) -> Finding:
    answer = patient.answers[source.name]
    if isinstance(answer, Fresh):
        return well(f"{source.name}: {answer.host} gave the calendar.")
    sentence = str(answer)
    return wrong(f"{source.name}: {sentence}.", _cure_of_feed(source, sentence))


_CURES_OF_FEEDS = (
    (
        "give the source auth",
        'auth = {{ type = "basic", username = "…", password = {{ file = "{name}-password" }} }}',
    ),
    ("does not accept the auth", "syncd check --show"),
    ("forbids to read", "open url of source {name} in a browser"),
    ("raise max_bytes", 'max_bytes = "200MB"'),
    ("tls.ca", 'tls = {{ ca = "{name}-ca.pem" }}'),
    ("asks for patience", 'interval = "1h"'),
    ("failed (status", "syncd refresh --source {quoted} --force"),
)


def _cure_of_feed(source: Source, sentence: str) -> str:
    """Return the line or the command that mends what a feed said."""
    quoted = shlex.quote(source.name)
    _, refused, rest = sentence.partition('add "')
    if refused:
        host, _, _ = rest.partition('"')
        return f'allow_hosts = ["{host}"]'
    for sign, cure in _CURES_OF_FEEDS:
        if sign in sentence:
            return cure.format(name=source.name, quoted=quoted)
    return f"correct url of source {source.name}, then: syncd doctor --source {quoted}"


# Whether it is what it says to be


def _is_understood(patient: Patient, source: Source) -> Iterator[Finding]:
    reading = patient.readings[source.name]
    if reading.error is not None:
        yield wrong(
            f"{source.name}: {reading.error}; its bookings stay as they are.",
            _cure_of_content(source, reading),
        )
        return
    for remark in reading.notes:
        yield note(f"{source.name}: {remark.detail}")
    if not reading.events:
        yield note(f"{source.name}: there is no event in it.")
    else:
        yield well(f"{source.name}: {some(reading.events, 'event')} understood.")


def _cure_of_content(source: Source, reading: Reading) -> str:
    if source.path is None:
        return f"open url of source {source.name} in a browser"
    if "max_bytes" in (reading.error or ""):
        return _cure_of_path(source, SourceMalformed(source.name, ""))
    return f"export the calendar {shlex.quote(str(source.path))} anew"


def _is_nothing_quarantined(patient: Patient, source: Source) -> Iterator[Finding]:
    reading = patient.readings[source.name]
    acknowledged = patient.ledger.people.acknowledged()
    events: dict[tuple[str, str], Defect] = {}
    for defect in reading.defects:
        if acknowledged.of_defect(defect) is None:
            place = defect.uid or f"{defect.document}:{defect.line}"
            events.setdefault((defect.document, place), defect)
    if not events:
        yield well(f"{source.name}: no event is quarantined.")
        return
    first = next(iter(events.values()))
    cure = "syncd plan"
    if first.uid:
        cure = f"syncd explain {as_argument(first.uid)}"
    yield wrong(
        f"{source.name}: {some(len(events), 'event')} not understood; the first one, line {first.line}: "
        f"{first.detail}",
        cure,
    )


# Whether it is looked at in time


def _is_fresh(patient: Patient, source: Source) -> Iterator[Finding]:
    record = patient.ledger.sources.all().get(source.name)
    if record is None:
        yield note(f"{source.name}: no cycle has read it yet.", "syncd once")
        return
    if record.last_ok_at is None:
        yield wrong(
            f"{source.name}: it was never read as a whole.",
            f"syncd once --source {shlex.quote(source.name)}",
        )
        return
    interval = patient.config.interval_of(source)
    is_old = is_stale(record.last_ok_at, interval, patient.now)
    at = when(record.last_ok_at, patient.now)
    daemon = patient.ledger.operation.daemon()
    is_heard = daemon is not None and daemon.is_running(patient.now)
    if is_old and source.cron is None:
        yield wrong(
            f"{source.name}: it was read as a whole last {at}, which is long ago.",
            f"syncd {'refresh' if is_heard else 'once'} --force --source {shlex.quote(source.name)}",
        )
        return
    yield well(f"{source.name}: it was read as a whole {at}.")


def _will_be_trusted(patient: Patient, source: Source) -> Iterator[Finding]:
    answer = patient.answers.get(source.name)
    if not isinstance(answer, Fresh) or answer.certificate_ends_at is None:
        return
    ends_at = answer.certificate_ends_at
    left = ends_at - patient.now
    told = (
        f"{source.name}: the certificate of {answer.host} ends on {ends_at:%Y-%m-%d}, "
        f"in {some(left.days, 'day')}."
    )
    cure = f"ask the administrator of {answer.host} to renew its certificate"
    if left < _SOON:
        yield wrong(told, cure)
    elif left < _LATER:
        yield note(told, cure)
    else:
        yield well(told)


def _stays_where_it_is(patient: Patient, source: Source) -> Iterator[Finding]:
    answer = patient.answers.get(source.name)
    if not isinstance(answer, Fresh):
        return
    if answer.moved_to:
        yield note(
            f"{source.name}: {answer.host} says that it moved for good, to {answer.moved_to}.",
            "write where this leads into url: curl -sSL -o /dev/null -w '%{url_effective}\\n' URL",
        )
        return
    yield well(f"{source.name}: it is where url says.")


# Whether the service may read it


def _may_be_read_by_the_service(patient: Patient, source: Source) -> Iterator[Finding]:
    if source.path is None:
        return
    unit = unit_of(patient.path)
    if unit is None:
        yield well(f"{source.name}: it is read by whoever runs syncd.")
        return
    path, _ = as_it_stands(source.path)
    if path.is_relative_to("/") and str(path).startswith(_HIDDEN_FROM_UNITS):
        yield wrong(
            f"{source.name}: {path} is hidden from {unit.name} (ProtectHome=).",
            "move the calendar to /srv/calendars and correct path",
        )
        return
    for part in (path, *path.parents):
        if not part.exists():
            continue
        missing = _right_missing(part, unit.groups)
        if missing:
            yield wrong(
                f"{source.name}: {unit.name} may not read {part}, as it has mode "
                f"{stat.S_IMODE(part.stat().st_mode):o} and is of none of its groups.",
                f"chmod {missing} {shlex.quote(str(part))}",
            )
            return
    yield well(f"{source.name}: {unit.name} may read it.")


def _right_missing(part: Path, groups: frozenset[int]) -> str:
    """Return what chmod has to add so that a service of these groups gets through; empty if nothing."""
    status = part.stat()
    bit, letter = stat.S_IROTH, "o+r"
    if part.is_dir():
        bit, letter = stat.S_IXOTH, "o+x"
    if status.st_mode & bit:
        return ""
    if status.st_gid in groups and status.st_mode & (bit << 3):
        return ""
    return letter


# Of all sources together


def _are_watches_enough(patient: Patient) -> Iterator[Finding]:
    directories: set[Path] = set()
    for source in patient.config.sources:
        if source.path is not None:
            here, _ = as_it_stands(source.path)
            directories.add(here if here.is_dir() else here.parent)
    watches = _limit("max_user_watches")
    instances = _limit("max_user_instances")
    if watches is None or instances is None:
        yield unclear("The kernel does not tell its limits of file events.")
        return
    if watches < 4 * len(directories) + 16:
        yield wrong(
            f"The kernel allows {watches} watches, too few for the calendars in "
            f"{len(directories)} places: edits would be seen late.",
            "sysctl -w fs.inotify.max_user_watches=65536",
        )
    elif instances < 2:
        yield wrong(
            f"The kernel allows {instances} inotify instances: edits would be seen late.",
            "sysctl -w fs.inotify.max_user_instances=128",
        )
    else:
        yield well(f"The kernel allows {watches} watches, enough for the calendars.")


def _limit(name: str) -> int | None:
    try:
        return int(Path("/proc/sys/fs/inotify", name).read_text())
    except (OSError, ValueError):
        return None


_OF_A_SOURCE: tuple[tuple[str, str, _Look, tuple[str, ...], bool], ...] = (
    ("readable", "whether it can be had", _is_readable, (GOOD,), False),
    (
        "understood",
        "whether it is a whole calendar",
        _is_understood,
        (GOOD, USABLE, _READABLE),
        False,
    ),
    (
        "quarantine",
        "whether all of its events are understood",
        _is_nothing_quarantined,
        (GOOD, USABLE, _READABLE, _UNDERSTOOD),
        False,
    ),
    ("fresh", "whether it was read lately", _is_fresh, (GOOD, USABLE), False),
    (
        "certificate",
        "whether its server's certificate ends soon",
        _will_be_trusted,
        (GOOD, _READABLE),
        True,
    ),
    (
        "redirects",
        "whether it moved for good",
        _stays_where_it_is,
        (GOOD, _READABLE),
        True,
    ),
    (
        "rights",
        "whether the service may read it",
        _may_be_read_by_the_service,
        (GOOD, _READABLE),
        False,
    ),
)
_OF_CONTENT = {"readable", "understood", "quarantine"}


def checks_of_source(source: Source | None) -> Iterator[Check]:
    """Yield the checks of a source; None: without a name, for who asks which checks there are."""
    for name, question, look, needs, connects in _OF_A_SOURCE:
        if source is None:
            yield Check("sources", name, question, _nothing, needs, connects)
            continue
        is_feed = source.url is not None
        yield Check(
            "sources",
            name,
            question,
            partial(_look_at, look, source),
            needs,
            connects or (is_feed and name in _OF_CONTENT),
            about=source.name,
        )


def _look_at(look: _Look, source: Source, patient: Patient) -> Iterable[Finding]:
    return look(patient, source)


def _nothing(_patient: Patient) -> Iterable[Finding]:
    return ()


CHECKS_OF_CALENDARS = (
    Check(
        "sources",
        "file events",
        "whether edits of files are seen at once",
        _are_watches_enough,
        needs=(GOOD,),
    ),
)
