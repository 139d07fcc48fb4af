"""Takes a document apart by bytes: each VEVENT as it was written, and what stands around them.

Promises the VEVENTs that `syncd.ics.content.split` finds, with the same content lines, at the same place.
It is quick because the text is cut and compared, not parsed.
Whatever is not plain raises `NotPlain`, and then `slowly` asks `split` itself.
A document is whole if its *skeleton* is: the document with each run of VEVENTs replaced by an empty one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from syncd.core.bounds import MAX_UIDS_OF_EVENT
from syncd.core.document import Document
from syncd.ics.content import Incomplete, RawCalendar, RawComponent, is_guessed, split
from syncd.ics.vevent import BESIDE, GUESSED, Context, RawEvent

_BEGIN = b"BEGIN:VEVENT"
_NEXT = b"\n" + _BEGIN
_EMPTY = b"BEGIN:VEVENT\r\nEND:VEVENT\r\n"
_ENDS = (b"\nEND:VEVENT\r", b"\nEND:VEVENT")
_END = re.compile(rb"\nEND:VEVENT[ \t]*\r*\n", re.IGNORECASE)
_BARE_RETURN = re.compile(rb"\r(?!\n)")
_LINE_END = re.compile(rb"(?<!\r)\r+\n|\n|\r")

# Lines that may open or close a component, carry a UID, or begin with anything unusual; with their folds.
_NOTABLE = re.compile(rb"\n(?![ACDF-TV-Zacdf-tv-z \t]|EX|URL[:;])[^\n]*+(?:\n[ \t][^\n]*+)*+")
_ALARMS = rb"(?:\nBEGIN:VALARM\r?\nEND:VALARM\r?)*"
_VALUE = rb"[^\r\n\\]*+(?:\r?\n[ \t][^\r\n\\]*+)*+"
_PLAIN = re.compile(_ALARMS + rb"\nUID:(" + _VALUE + rb")\r?" + _ALARMS + rb"\nEND:VEVENT\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]")
_PLAIN_BEGIN = re.compile(rb"BEGIN:VEVENT\r?\n[^ \t]")

_STAMP = re.compile(rb"\nDTSTAMP:(\d{8}T\d{6}Z)\r?\n(?![ \t])")
_REVISIONS = (
    (b"\nSEQUENCE:", re.compile(rb"\nSEQUENCE:\d{1,9}\r?(?=\n[^ \t])")),
    (b"\nLAST-MODIFIED:", re.compile(rb"\nLAST-MODIFIED:\d{8}T\d{6}Z\r?(?=\n[^ \t])")),
    (b"\nCREATED:", re.compile(rb"\nCREATED:\d{8}T\d{6}Z\r?(?=\n[^ \t])")),
)
_RECURRENCE_ID = re.compile(rb"\nRECURRENCE-ID([^\r\n:]*):(\d{8})([^\r\n]*)\r?\n(?![ \t])")
_LOCAL = re.compile(rb"T\d{6}")
_PERHAPS_RECURRENCE_ID = re.compile(rb"(?:\A|[\r\n])[^A-Z\s]*(?:REC|RE?[\r\n]+[ \t])", re.IGNORECASE)

_FOR_EVENTS = ("METHOD", "X-WR-TIMEZONE")
_MAY_NAME_OWNER = ("X-WR-CALNAME", "X-OWNER", "X-WR-RELCALID")
_FOR_THE_READING = ("REFRESH-INTERVAL", "X-PUBLISHED-TTL")
_SAYS_NOTHING = re.compile(r"(?:LAST-MODIFIED|TZURL|COMMENT)(?![A-Z0-9-])", re.IGNORECASE)


class NotPlain(ValueError):
    """Bytes alone do not tell what this document says: `slowly` does."""


def stretches(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """What stands before the first BEGIN:VEVENT, then what stands behind each of them up to the next.

    In lists, a block at a time; each without the line feed that ends it, the last one too.
    """
    held: list[bytes] = []  # of a stretch whose end was not seen yet
    edge = b""  # the end of what is held: a BEGIN:VEVENT may have begun in it
    for block in blocks:
        rest = block
        seam = (edge + block[: len(_NEXT) - 1]).find(_NEXT)
        if seam >= 0:
            whole = b"".join(held)
            yield [whole[: len(whole) - len(edge) + seam]]
            held, rest, edge = [], block[seam + len(_NEXT) - len(edge) :], b""
        first, *others = rest.split(_NEXT)
        held.append(first)
        if others:
            yield [b"".join(held), *others[:-1]]
            held = [others[-1]]
        edge = (edge + rest[1 - len(_NEXT) :])[1 - len(_NEXT) :]
    yield [b"".join(held).removesuffix(b"\n")]


def parted(stretch: bytes) -> tuple[bytes, bytes]:
    """A stretch as its event, without the line feed that ends it, and what stands behind it.

    Raises `NotPlain` if it does not end the event.
    """
    if stretch.endswith(_ENDS):
        return stretch, b""
    whole = stretch + b"\n"
    end = _END.search(whole)
    if end is None:
        raise NotPlain
    return whole[: end.end() - 1], whole[end.end() :]


def text_of(event: bytes) -> bytes:
    """The text of a `RawEvent` from its event in a stretch."""
    return b"".join((_BEGIN, event, b"\n"))


def event_of(text: bytes) -> bytes:
    """The event as it would stand in a stretch; the whole text if it never stood in one."""
    return text[len(_BEGIN) : -1] if text.startswith(_BEGIN) else text


def uids_of(text: bytes) -> tuple[str, ...]:
    """The UIDs of a piece, "" for none, if it is exactly one VEVENT wherever it stands; raises `NotPlain`."""
    if b"\0" in text:
        raise NotPlain  # what zeros mean depends on the whole document
    plain = _PLAIN.fullmatch(b"".join(_NOTABLE.findall(text)))
    if plain and _PLAIN_BEGIN.match(text) and not _BARE_RETURN.search(text):
        try:
            return (_FOLD.sub(b"", plain[1]).decode().strip(),)
        except UnicodeDecodeError:
            pass  # the UID is read as `split` reads such bytes
    try:
        calendars = split(b"".join((b"BEGIN:VCALENDAR\r\n", text, b"END:VCALENDAR\r\n")))
    except Incomplete:
        raise NotPlain from None
    components = [component for calendar in calendars for component in calendar.components]
    if [(c.name, c.line) for c in components] != [("VEVENT", 2)] or len(calendars) != 1:
        raise NotPlain
    if len(components[0].uids) > MAX_UIDS_OF_EVENT:
        raise NotPlain
    return components[0].uids or ("",)


def lines_in(text: bytes) -> int:
    """How many line ends, as `split` counts them."""
    return len(_LINE_END.findall(text)) if _BARE_RETURN.search(text) else text.count(b"\n")


def unstamped(event: bytes) -> bytes:
    """The event without the value of its DTSTAMP, which many servers make anew at every download."""
    start = event.find(b"\nDTSTAMP:")
    stamp = _STAMP.match(event, start) if start >= 0 else None
    return event[: stamp.start(1)] + event[stamp.end(1) :] if stamp else event


def unrevised(event: bytes) -> bytes:
    """The event without SEQUENCE, LAST-MODIFIED and CREATED."""
    for name, line in _REVISIONS:
        start = event.find(name)
        found = line.match(event, start) if start >= 0 else None
        if found:
            event = event[: found.start()] + event[found.end() :]
    return event


def may_rival(texts: Sequence[bytes]) -> bool:
    """Whether two of these pieces of one UID and one context may be about the same occurrence.

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
        # A time in UTC may stand for a whole day elsewhere, so there the hour must be the same, too.
        forms.update((zone, b"" if _LOCAL.fullmatch(rest) else rest) for zone, _, rest in found)
        days.extend([day for _, day, _ in found] or [b""])
    return len(forms) > 1 or len(set(days)) < len(days)


def skeleton_of(texts: Sequence[bytes]) -> bytes:
    """A document from what stands around its VEVENTs; in each gap between two texts stand one or more."""
    return _EMPTY.join(texts)


def contexts_in(
    skeleton: bytes, gaps: int, document: Document
) -> tuple[tuple[Context, ...], list[str | None]]:
    """The contexts of a document, and for each gap of its skeleton the key of the VCALENDAR that it begins.

    None stands for a gap within the same VCALENDAR as the one before.
    Raises `NotPlain` unless the document is provably whole.
    """
    try:
        calendars = split(skeleton)
    except Incomplete:
        raise NotPlain from None  # `slowly` says what is wrong, with the line
    contexts = [_context(calendar, document) for calendar in calendars]
    keys: list[str | None] = []
    for calendar, context in zip(calendars, contexts, strict=True):
        events = sum(component.name == "VEVENT" for component in calendar.components)
        keys += [context.key, *[None] * (events - 1)] if events else []
    if len(keys) != gaps:
        raise NotPlain  # there is one that was not seen as bytes
    return tuple(contexts), keys


def slowly(document: Document) -> Iterator[tuple[Context, list[tuple[RawEvent, tuple[str, ...]]]]]:
    """The VCALENDARs of any document, each with its pieces and their UIDs.

    Raises `Incomplete`, and `SourceError` if the document cannot be had.
    """
    body = document.body
    for calendar in split(body):
        context = _context(calendar, document, is_guessed=is_guessed(body))
        events = [component for component in calendar.components if component.name == "VEVENT"]
        for event in events:
            if len(event.uids) > MAX_UIDS_OF_EVENT:
                raise Incomplete(
                    f"is damaged: the event in line {event.line} has {len(event.uids)} UIDs, so lines "
                    "between events are lost"
                )
        yield context, [(RawEvent(context.key, e.line, _written(e)), e.uids or ("",)) for e in events]


def _written(component: RawComponent) -> bytes:
    return "".join(f"{line}\r\n" for line in component.lines).encode()


def _context(calendar: RawCalendar, document: Document, *, is_guessed: bool = False) -> Context:
    said = calendar.properties
    means = [f"{name}:{said[name]}" for name in _FOR_EVENTS if said.get(name)]
    # Whose calendar it is tells only an address, so another title means nothing.
    names = (name for name in _MAY_NAME_OWNER if re.search("@|%40", said.get(name, "")))
    means.extend(f"{name}:{said[name]}" for name in names)
    zones = {
        "\r\n".join(line for line in component.lines if not _SAYS_NOTHING.match(line))
        for component in calendar.components
        if component.name == "VTIMEZONE"
    }
    means.extend(sorted(zones))
    identity = hashlib.sha256(repr((document.name, document.base_url, means)).encode())
    asks = (f"{name}:{said[name]}" for name in _FOR_THE_READING if said.get(name))
    remarks = [BESIDE] if calendar.beside else []
    remarks += [GUESSED] if is_guessed else []
    lines = ("BEGIN:VCALENDAR", *remarks, *asks, *means, "END:VCALENDAR", "")
    return Context(identity.hexdigest()[:32], document.name, document.base_url, "\r\n".join(lines).encode())
