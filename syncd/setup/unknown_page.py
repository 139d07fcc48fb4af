"""What the configuration does not know, for people, spreadsheets and programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum

from syncd import streams
from syncd.core.amounts import some
from syncd.reconciler import Calendars
from syncd.setup.unknown import Unknown, UnknownPerson, UnknownRoom, UnknownZoneName
from syncd.setup.writing import csv_row, remark
from syncd.views.alike import MANY
from syncd.views.sheet import Sheet
from syncd.views.toml import in_ascii


class Kind(StrEnum):
    """What may be asked for alone."""

    PEOPLE = "people"
    ROOMS = "rooms"
    ZONES = "zones"


_TITLES = {
    Kind.PEOPLE: (
        "People without a user id: {count}. To paste under [people.addresses], with the user ids; "
        "syncd people suggest looks for them in Tuya."
    ),
    Kind.ROOMS: (
        "Places that are no room of the configuration: {count}. To paste into the table of [[rooms]] that is "
        "meant, in place of the line that is there; syncd rooms suggest looks for them in Tuya."
    ),
    Kind.ZONES: (
        "Time zones that nobody knows: {count}. To paste under [calendar.timezones], with an IANA name such "
        'as "Europe/Berlin".'
    ),
}
_NOTHING = {
    Kind.PEOPLE: "Everybody whom the calendars name has a user id.",
    Kind.ROOMS: "Every place that the calendars name is a room of the configuration.",
    Kind.ZONES: "Every time zone that the calendars name is known.",
}


def print_unknown(sheet: Sheet, unknown: Unknown, kinds: Collection[Kind]) -> None:
    """Print each kind: what is unknown, how many meetings name it, one of these, and the line to paste."""
    for kind in kinds:
        rows = _rows(unknown, kind)
        if not rows:
            sheet.say(_NOTHING[kind])
            continue
        sheet.tell(_TITLES[kind].format(count=len(rows)), style="bold")
        for row in rows[:MANY]:
            sheet.tell(f"{_told(row)}.")
            sheet.say(f"  {_in_this_encoding(row.line)}", soft_wrap=True)
        sheet.say_more(len(rows))


def csv_table(unknown: Unknown, kinds: Sequence[Kind]) -> Iterator[str]:
    """Yield a table for spreadsheets; of several kinds in the columns that they share."""
    if len(kinds) > 1:
        yield csv_row("kind", "text", "name", "nearest", "count", "example")
        for kind in kinds:
            for row in _rows(unknown, kind):
                yield csv_row(kind, *_cells(row))
        return
    columns = {
        Kind.PEOPLE: ("address", "name", "count", "example"),
        Kind.ROOMS: ("text", "count", "nearest", "example"),
        Kind.ZONES: ("name", "count", "example"),
    }[kinds[0]]
    yield csv_row(*columns)
    for row in _rows(unknown, kinds[0]):
        yield csv_row(*(str(getattr(row, column)) for column in columns))


def unknown_document(
    unknown: Unknown, kinds: Iterable[Kind], calendars: Calendars
) -> dict[str, object]:
    """Return the document of `unknown --json`."""
    document: dict[str, object] = {}
    for kind in kinds:
        document[kind.value] = [_document(row) for row in _rows(unknown, kind)]
    document["unread"] = [
        {"name": source.name, "error": source.error}
        for source in calendars.sources
        if source.error
    ]
    return document


_Row = UnknownPerson | UnknownRoom | UnknownZoneName


def _rows(unknown: Unknown, kind: Kind) -> Sequence[_Row]:
    rows: dict[Kind, Sequence[_Row]] = {
        Kind.PEOPLE: unknown.people,
        Kind.ROOMS: unknown.rooms,
        Kind.ZONES: unknown.zones,
    }
    return rows[kind]


def _told(row: _Row) -> str:
    """Return a row as a sentence without its end."""
    match row:
        case UnknownPerson(address=address, name=name):
            who = f"{address} ({name})" if name else address
        case UnknownRoom(text=text, nearest=nearest):
            who = remark(text)
            if nearest:
                who = f"{who}, perhaps {remark(nearest)}"
        case UnknownZoneName(name=name):
            who = remark(name)
    named = some(row.count, "meeting")
    if isinstance(row, UnknownZoneName):
        named = some(row.count, "event")
    such_as = f", such as {remark(row.example)}" if row.example else ""
    return f"{who}: {named}{such_as}"


def _cells(row: _Row) -> tuple[str, ...]:
    """Return a row in the columns that all kinds share."""
    count = str(row.count)
    match row:
        case UnknownPerson():
            return row.address, row.name, "", count, row.example
        case UnknownRoom():
            return row.text, row.address, row.nearest, count, row.example
        case UnknownZoneName():
            return row.name, "", "", count, row.example


def _document(row: _Row) -> dict[str, object]:
    match row:
        case UnknownPerson():
            own: dict[str, object] = {"address": row.address, "name": row.name}
        case UnknownRoom():
            own = {"text": row.text, "nearest": row.nearest or None}
            own["address"] = row.address or None
        case UnknownZoneName():
            own = {"name": row.name}
    return {**own, "count": row.count, "example": row.example, "line": row.line}


def _in_this_encoding(line: str) -> str:
    """Return a line of TOML with escapes where standard output has no such letters."""
    return line if streams.output.is_unicode else in_ascii(line)
