"""Takes a document apart by bytes: each VEVENT as it was written, and what stands around them.

Promises the VEVENTs that `syncd.ics.content.split` finds, with the same content lines, at the same place.
It is quick because the text is cut and compared, not parsed.
Whatever is not plain raises `NotPlain`, and then `split_document` asks `split` itself.
A document is whole if its *skeleton* is: the document with each run of VEVENTs replaced by an empty one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from syncd.core.bounds import MAX_UIDS_OF_EVENT
from syncd.core.document import Document
from syncd.errors import SourceError
from syncd.ics.content import Incomplete, RawCalendar, RawComponent, is_guessed, split
from syncd.ics.vevent import BESIDE, GUESSED, Context, RawEvent

_BEGIN = b"BEGIN:VEVENT"
_NEXT = b"\n" + _BEGIN
_EMPTY = b"BEGIN:VEVENT\r\nEND:VEVENT\r\n"
_ENDS = (b"\nEND:VEVENT\r", b"\nEND:VEVENT")
_END = re.compile(rb"\nEND:VEVENT[ \t]*\r*\n", re.IGNORECASE)
_BARE_RETURN = re.compile(rb"\r(?!\n)")
_LINE_END = re.compile(rb"(?<!\r)\r+\n|\n|\r")

_FOLDS = rb"(?:\n[ \t][^\n]*+)*+"
# Lines that may tell a UID or a time, open or close a component, or begin with anything unusual.
_NOTABLE = re.compile(
    rb"\n(?:[BR]|D(?!ESCRIPTION[:;]|TSTAMP:)|E(?!X(?:DATE|RULE)[:;])|U(?!RL[:;])|[^A-Z \t]|\Z)[^\n]*+"
    + _FOLDS
)
# Those of them that neither carry a UID nor open or close a component.
_BESIDES = rb"(?:\n(?:[DRacdf-tv-z]|EX)[^\n]*+" + _FOLDS + rb")*+"
_ALARMS = (
    _BESIDES
    + rb"(?:\nBEGIN:VALARM\r?"
    + _BESIDES
    + rb"\nEND:VALARM\r?"
    + _BESIDES
    + rb")*+"
)
_VALUE = rb"[^\r\n\\]*+(?:\r?\n[ \t][^\r\n\\]*+)*+"
_PLAIN = re.compile(
    _ALARMS + rb"\nUID:(" + _VALUE + rb")\r?" + _ALARMS + rb"\nEND:VEVENT\r?\n"
)
_FOLD = re.compile(rb"\r?\n[ \t]")
_PLAIN_BEGIN = re.compile(rb"BEGIN:VEVENT\r?\n[^ \t]")

_STAMP = re.compile(rb"\nDTSTAMP:(\d{8}T\d{6}Z)\r?\n(?![ \t])")
_REVISIONS = (
    (b"\nSEQUENCE:", re.compile(rb"\nSEQUENCE:\d{1,9}\r?(?=\n[^ \t])")),
    (b"\nLAST-MODIFIED:", re.compile(rb"\nLAST-MODIFIED:\d{8}T\d{6}Z\r?(?=\n[^ \t])")),
    (b"\nCREATED:", re.compile(rb"\nCREATED:\d{8}T\d{6}Z\r?(?=\n[^ \t])")),
)
_RECURRENCE_ID = re.compile(
    rb"\nRECURRENCE-ID([^\r\n:]*):(\d{8})([^\r\n]*)\r?\n(?![ \t])"
)
_LOCAL = re.compile(rb"T\d{6}")
_PERHAPS_RECURRENCE_ID = re.compile(
    rb"(?:\A|[\r\n])[^A-Z\s]*(?:REC|RE?[\r\n]+[ \t])", re.IGNORECASE
)

_FOR_EVENTS = ("METHOD", "X-WR-TIMEZONE")
_MAY_NAME_OWNER = ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")
_FOR_THE_READING = ("REFRESH-INTERVAL", "X-PUBLISHED-TTL")
_SAYS_NOTHING = re.compile(
    r"(?:LAST-MODIFIED|TZURL|COMMENT)(?![A-Z0-9-])", re.IGNORECASE
)


class NotPlain(ValueError):
    """Bytes alone do not tell what this document says: `split_document` does."""


def split_blocks(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield what stands before the first BEGIN:VEVENT, then the stretch behind each of them up to the next.

    They come in lists, for a block at a time; each is without the line feed that ends it, the last one too.
    """
    held: list[bytes] = []  # of a stretch whose end was not seen yet
    edge = b""  # the end of what is held: a BEGIN:VEVENT may have begun in it
    for block in blocks:
        rest = block
        seam = (edge + block[: len(_NEXT) - 1]).find(_NEXT)
        if seam >= 0:
            whole = b"".join(held)
            yield [whole[: len(whole) - len(edge) + seam]]
            rest = block[seam + len(_NEXT) - len(edge) :]
            held = []
            edge = b""
        first, *others = rest.split(_NEXT)
        held.append(first)
        if others:
            yield [b"".join(held), *others[:-1]]
            held = [others[-1]]
        edge += rest[1 - len(_NEXT) :]
        edge = edge[1 - len(_NEXT) :]
    yield [b"".join(held).removesuffix(b"\n")]


def split_event(stretch: bytes) -> tuple[bytes, bytes]:
    """Split a stretch into its event, without the line feed that ends it, and what stands behind that.

    Raises `NotPlain` if the stretch does not end the event.
    """
    if stretch.endswith(_ENDS):
        return stretch, b""
    whole = stretch + b"\n"
    found = _END.search(whole)
    if found is None:
        raise NotPlain
    end = found.end()
    return whole[: end - 1], whole[end:]


def event_text(event: bytes) -> bytes:
    """Return the text of a `RawEvent` from its event in a stretch."""
    return b"".join((_BEGIN, event, b"\n"))


def event_of(text: bytes) -> bytes:
    """Return the event as it would stand in a stretch; the whole text if it never stood in one."""
    if text.startswith(_BEGIN):
        return text[len(_BEGIN) : -1]
    return text


def notable_lines(text: bytes) -> bytes | None:
    """Return the lines of a raw event that may tell its UID or when it takes place, each behind a line feed.

    With their folds, up to the line that ends the event. Of most events that is an eighth, and the rest need
    not be looked at a second time. None if the text has a bare return: lines end where that is not seen here.
    """
    if _BARE_RETURN.search(text):
        return None
    return b"".join(_NOTABLE.findall(text))


def uids_of_event(text: bytes, notable: bytes | None) -> tuple[str, ...]:
    """Return the UIDs of a raw event, "" for none; `notable` are its notable lines.

    Raises `NotPlain` unless the text is exactly one VEVENT in whatever document it stands.
    """
    if b"\0" in text:
        raise NotPlain  # what zeros mean depends on the whole document
    if notable is not None and _PLAIN_BEGIN.match(text):
        uid = _plain_uid(notable)
        if uid is not None:
            return (uid,)
    return _uids_by_split(text)


def _plain_uid(notable: bytes) -> str | None:
    """Return the UID that the notable lines of a VEVENT tell; None if they do not tell one as plain lines."""
    plain = _PLAIN.fullmatch(notable)
    if plain is None:
        return None
    value = plain[1]
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return None  # the UID is read as `split` reads such bytes


def _uids_by_split(text: bytes) -> tuple[str, ...]:
    """Return the UIDs of a VEVENT as `split` reads it; raises `NotPlain` like `uids_of_event`."""
    document = b"".join((b"BEGIN:VCALENDAR\r\n", text, b"END:VCALENDAR\r\n"))
    try:
        calendars = split(document)
    except Incomplete:
        raise NotPlain from None
    components = [one for calendar in calendars for one in calendar.components]
    if len(calendars) != 1 or len(components) != 1:
        raise NotPlain
    (component,) = components
    if component.name != "VEVENT" or component.line != 2:
        raise NotPlain
    if len(component.uids) > MAX_UIDS_OF_EVENT:
        raise NotPlain
    return component.uids or ("",)


def count_lines(text: bytes) -> int:
    """Return how many line ends a text has, as `split` counts them."""
    if _BARE_RETURN.search(text):
        return len(_LINE_END.findall(text))
    return text.count(b"\n")


def without_dtstamp(event: bytes) -> bytes:
    """Return an event without the value of its DTSTAMP, which many servers write anew at every download."""
    start = event.find(b"\nDTSTAMP:")
    if start < 0:
        return event
    stamp = _STAMP.match(event, start)
    if stamp is None:
        return event
    return event[: stamp.start(1)] + event[stamp.end(1) :]


def without_revision(event: bytes) -> bytes:
    """Return an event without its lines SEQUENCE, LAST-MODIFIED and CREATED (RFC 5545 section 3.8.7)."""
    for name, line in _REVISIONS:
        start = event.find(name)
        if start < 0:
            continue
        found = line.match(event, start)
        if found:
            event = event[:start] + event[found.end() :]
    return event


def may_share_identity(texts: Sequence[bytes]) -> bool:
    """Tell whether two of these events of one UID and one context may be about the same occurrence.

    True unless it is certain from the bytes: at most one master, and overrides that are written alike for
    different days; so no zone can make two of them one.
    """
    if len(texts) < 2:
        return False
    days: list[bytes] = []
    forms: set[tuple[bytes, bytes]] = set()
    for text in texts:
        own = text.partition(b"\nBEGIN:")[0] + b"\n"
        found = _RECURRENCE_ID.findall(own)
        if len(_PERHAPS_RECURRENCE_ID.findall(text)) != len(found):
            return True
        if not found:
            days.append(b"")  # a master
        for zone, day, rest in found:
            # A time in UTC may stand for a whole day elsewhere, so there the hour must be the same, too.
            hour = b"" if _LOCAL.fullmatch(rest) else rest
            forms.add((zone, hour))
            days.append(day)
    are_written_alike = len(forms) <= 1
    are_of_different_days = len(set(days)) == len(days)
    return not (are_written_alike and are_of_different_days)


def skeleton_of(texts: Sequence[bytes]) -> bytes:
    """Return a document with an empty VEVENT in each gap between two texts, where one or more stood."""
    return _EMPTY.join(texts)


def contexts_in(
    skeleton: bytes, gaps: int, document: Document
) -> tuple[tuple[Context, ...], list[str | None]]:
    """Return the contexts of a document, and for each gap of its skeleton the key of the context it begins.

    None stands for a gap within the same VCALENDAR as the one before.
    Raises `NotPlain` unless the document is provably whole.
    """
    try:
        calendars = split(skeleton)
    except Incomplete:
        raise NotPlain from None  # `split_document` says what is wrong, with the line
    contexts = [_context(calendar, document) for calendar in calendars]
    keys: list[str | None] = []
    for calendar, context in zip(calendars, contexts, strict=True):
        names = [component.name for component in calendar.components]
        events = names.count("VEVENT")
        if events:
            keys.append(context.key)
            keys += [None] * (events - 1)
    if len(keys) != gaps:
        raise NotPlain  # there is one that was not seen as bytes
    return tuple(contexts), keys


def context_at_begin(document: Document) -> Context | None:
    """Return the context that the first VEVENTs of a document have if all that means something is before them.

    None if the first block does not tell, or cannot be had.
    """
    try:
        first = next(document.blocks(), b"")
        head, begin, _ = first.partition(_NEXT)
        if not begin:
            return None
        skeleton = skeleton_of((head + b"\n", b"END:VCALENDAR\r\n"))
        contexts, _ = contexts_in(skeleton, 1, document)
    except (SourceError, NotPlain):
        return None
    return contexts[-1]


def split_document(
    document: Document,
) -> Iterator[tuple[Context, list[tuple[RawEvent, tuple[str, ...]]]]]:
    """Parse any document; yield the context of each VCALENDAR with its raw events and their UIDs.

    Raises `Incomplete`, and `SourceError` if the document cannot be had.
    """
    body = document.body
    for calendar in split(body):
        context = _context(calendar, document, is_guessed=is_guessed(body))
        events: list[tuple[RawEvent, tuple[str, ...]]] = []
        for component in calendar.components:
            if component.name != "VEVENT":
                continue
            uids = component.uids or ("",)
            if len(uids) > MAX_UIDS_OF_EVENT:
                raise Incomplete(
                    f"is damaged: the event in line {component.line} has {len(uids)} UIDs, so lines "
                    "between events are lost"
                )
            text = _written(component)
            raw_event = RawEvent(context.key, component.line, text)
            events.append((raw_event, uids))
        yield context, events


def _written(component: RawComponent) -> bytes:
    """Return the content lines of a component as a text."""
    return "".join(f"{line}\r\n" for line in component.lines).encode()


def _context(
    calendar: RawCalendar, document: Document, *, is_guessed: bool = False
) -> Context:
    """Return what stands around the VEVENTs of a VCALENDAR; its key is of what means something to them."""
    said = calendar.properties
    meant = _properties(said, _FOR_EVENTS)
    for name in _MAY_NAME_OWNER:
        # Whose calendar it is tells only an address, so another title means nothing.
        if re.search("@|%40", said.get(name, "")):
            meant += _properties(said, [name])
    zones: set[str] = set()
    for component in calendar.components:
        if component.name == "VTIMEZONE":
            zones.add(_zone_text(component))
    meant += sorted(zones)
    lines = ["BEGIN:VCALENDAR"]
    if calendar.beside:
        lines.append(BESIDE)
    if is_guessed:
        lines.append(GUESSED)
    lines += _properties(said, _FOR_THE_READING)
    lines += meant
    lines += ["END:VCALENDAR", ""]
    identity = repr((document.name, document.base_url, meant))
    digest = hashlib.sha256(identity.encode())
    return Context(
        key=digest.hexdigest()[:32],
        document=document.name,
        base_url=document.base_url,
        text="\r\n".join(lines).encode(),
    )


def _properties(said: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return the content lines of these properties of a VCALENDAR, as far as they have a value."""
    return [f"{name}:{said[name]}" for name in names if said.get(name)]


def _zone_text(component: RawComponent) -> str:
    """Return a VTIMEZONE without the lines that mean nothing to a time."""
    meant = [line for line in component.lines if not _SAYS_NOTHING.match(line)]
    return "\r\n".join(meant)
