"""The corpus: calendars as they are met, each with what RFC 5545 or its writer means by it.

`tests/calendars/<subject>/<situation>.ics` is read, `<situation>.json` beside it says what has to come out:
`why` names the section or the product that it is about.
Expectations are written from the standard or computed by other means, never copied from the reader.
Every calendar is also read with its components reversed, with other line ends and with other folds, because
none of these means anything.

An expectation has these keys, all but `why` optional:
`window` (`from`, `until`), else the year 2026; `zone` of floating times, else Europe/Berlin; `aliases` of
zones; `encoding`, else any that extends ASCII; `occurrences`; `series` (dates as the RFC lists them);
`reservations` (what `OFFICE` books); `quarantined` (UID to reason); `detached` (UIDs that speak for single
dates only); `incomplete` (a part of the sentence).
An occurrence has `uid`, `recurrence_id` and `start`, with `end`, with `days`, or with neither if it has no
length, and whatever else of its content matters; `cancelled`, `notes` and `held` are absent if not given.
`held`: another copy than the one that decides calls it off, or takes guests off it, so a person has to judge.
An expected occurrence may lie outside of the window; anything else that is read there does not matter.
A reservation has `uid`, `recurrence_id` and `start`, with `end` and `room` (a name of `ROOMS`, null for none)
or, for what is not booked, `skipped` (the reason), and whatever else of it matters; `notes` are absent if
nothing was left out. Where reservations are expected and no occurrences, only the former are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.core.document import Document
from syncd.core.mapper import Mapper, MappingRules, Skipped
from syncd.core.merge import merge
from syncd.core.occurrence import (
    Alarm,
    Days,
    Link,
    Moment,
    Occurrence,
    Presence,
    Timespan,
    Window,
)
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.rooms import RoomRule
from syncd.core.text import fold_name
from syncd.ics import Locale
from tests.intake.whole import read

FOLDER = Path(__file__).parent.parent / "calendars"
SUBJECTS = {
    "rfc5545",
    "rooms",
    "notices",
    "recurrence",
    "time",
    "choice",
    "copies",
    "scheduling",
    "dirt",
    "incomplete",
    "broken",
    "vendors",
}
RESULTS = {
    "occurrences",
    "series",
    "reservations",
    "quarantined",
    "detached",
    "incomplete",
}
KEYS = RESULTS | {"why", "window", "zone", "aliases", "encoding"}
YEAR = {"from": "2026-01-01T00:00Z", "until": "2027-01-01T00:00Z"}
ANY_LINE_END = re.compile(r"\r*\n|\r")  # CR CR LF is what text mode makes of CRLF
FOLD = re.compile(rf"(?:{ANY_LINE_END.pattern})[ \t]")
DATES = re.compile(r"(?P<month>[A-Z][a-z]+) (?P<days>[0-9, -]+)")
EASTERN = {"EST": "-05:00", "EDT": "-04:00"}

ROOMS = {
    "small": "Small meeting room",
    "large": "Large meeting room",
    "gr\u00fcn": "Gr\u00fcner Raum",
}
PEOPLE = ("alice", "bob", "carol", "dave")
OFFICE = MappingRules(
    creator="office",
    rooms=tuple(
        RoomRule(
            short,
            frozenset({f"room-{short}@example.com"}),
            frozenset({fold_name(name)}),
            name=name,
        )
        for short, name in ROOMS.items()
    ),
    people={f"{name}@example.com": name for name in PEOPLE},
)
"""An office whose rooms and people have the addresses room-small@example.com, alice@example.com and so on."""


@dataclass(frozen=True)
class Calendar:
    """A calendar of the corpus and what is expected of it."""

    name: str
    body: bytes
    expected: dict[str, Any]

    @property
    def text(self) -> str:
        """One character for each octet, so that folds may fall anywhere; UTF-16 has to be decoded."""
        return self.body.decode(self.expected.get("encoding", "latin-1"))

    def spelled(self, text: str) -> bytes:
        """The octets of another spelling of its text."""
        return text.encode(self.expected.get("encoding", "latin-1"))


def corpus() -> Iterator[Calendar]:
    """All calendars, by name."""
    for path in sorted(FOLDER.glob("*/*.ics")):
        expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        yield Calendar(f"{path.parent.name}/{path.stem}", path.read_bytes(), expected)


def is_whole(calendar: Calendar) -> bool:
    """Whether it is a whole calendar, so that it has components and content lines."""
    return "incomplete" not in calendar.expected


CORPUS = list(corpus())
each = pytest.mark.parametrize("calendar", CORPUS, ids=lambda calendar: calendar.name)
# What is cut, empty or no calendar at all has neither components to reverse nor lines to fold.
each_whole = pytest.mark.parametrize(
    "calendar", [c for c in CORPUS if is_whole(c)], ids=lambda calendar: calendar.name
)


def check(calendar: Calendar, body: bytes) -> None:
    """Read a body and compare with what is expected of the calendar."""
    expected = calendar.expected
    window = {
        edge: datetime.fromisoformat(at)
        for edge, at in expected.get("window", YEAR).items()
    }
    said = read(
        [Document("calendar.ics", body)],
        source="office",
        scope="",
        locale=Locale(
            default=ZoneInfo(expected.get("zone", "Europe/Berlin")),
            aliases={
                name: ZoneInfo(meant)
                for name, meant in expected.get("aliases", {}).items()
            },
        ),
        window=Window(start=window["from"], end=window["until"], reach=window["until"]),
        at=window["from"],
    )
    if "incomplete" in expected:
        assert said.error is not None
        assert expected["incomplete"] in said.error
        assert (said.occurrences, said.presence, said.defects) == ((), {}, ())
        return
    assert said.error is None
    assert {defect.uid: defect.reason.value for defect in said.defects} == expected.get(
        "quarantined", {}
    )
    standing = {
        uid: presence
        for uid, presence in said.presence.items()
        if presence is not Presence.SERIES
    }
    assert standing == {
        **{uid: Presence.QUARANTINED for uid in expected.get("quarantined", ()) if uid},
        **dict.fromkeys(expected.get("detached", ()), Presence.DETACHED),
    }
    decided = merge({said.source: said})
    if "reservations" in expected:
        _check_reservations(
            expected["reservations"],
            [seen.occurrence for seen in decided],
            window["until"],
        )
        if "occurrences" not in expected:
            return
    wanted = [*expected.get("occurrences", ()), *_listed(expected.get("series", ()))]
    by_key = {(entry["uid"], entry["recurrence_id"]): entry for entry in wanted}
    assert len(by_key) == len(wanted)
    found = {
        (seen.occurrence.key.uid, seen.occurrence.key.recurrence_id): seen.occurrence
        for seen in decided
    }
    assert len(found) == len(decided)
    held = {
        (seen.occurrence.key.uid, seen.occurrence.key.recurrence_id)
        for seen in decided
        if seen.told_off
    }
    shown = {
        key: {**_shown(occurrence, by_key.get(key, {})), "held": key in held}
        for key, occurrence in found.items()
        if key in by_key or _begin(occurrence) < window["until"]
    }
    assert shown == {key: _complete(entry) for key, entry in by_key.items()}


def _check_reservations(
    wanted: list[dict[str, Any]], decided: Sequence[Occurrence], until: datetime
) -> None:
    """Compare what is booked for occurrences, and what of them is not, with what is expected."""
    shown: dict[tuple[str, ...], dict[str, Any]] = {}
    for occurrence in decided:
        if not occurrence.cancelled and _begin(occurrence) < until:
            shown |= {
                _place(reservation): reservation for reservation in _booked(occurrence)
            }
    by_place = {_place(entry): entry for entry in wanted}
    assert len(by_place) == len(wanted)
    assert shown.keys() == by_place.keys()
    for place, entry in by_place.items():
        instants = {
            edge: _instant(entry[edge])
            for edge in ("start", "end")
            if "T" in entry.get(edge, "")
        }
        expected = {"notes": [], **entry, **instants}
        assert {
            name: value for name, value in shown[place].items() if name in expected
        } == expected


def _place(reservation: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(reservation.get(name)) for name in ("uid", "recurrence_id", "room")
    )


def _booked(occurrence: Occurrence) -> list[dict[str, Any]]:
    """Return the reservations of an occurrence in the words of an expectation, or why there are none."""
    result = Mapper(OFFICE).map(occurrence)
    begin = occurrence.when.start
    notes = {note.reason for note in result.notes} - {Reason.CHARSET_UNKNOWN}
    common = {
        "uid": occurrence.key.uid,
        "recurrence_id": occurrence.key.recurrence_id,
        "start": begin.astimezone(UTC)
        if isinstance(begin, datetime)
        else begin.isoformat(),
        "notes": sorted(reason.value for reason in notes),
    }
    if isinstance(result, Skipped):
        return [{**common, "skipped": result.reason.value}]
    return [{**common, **_content(spec)} for spec in result.specs]


def _content(spec: ReservationSpec) -> dict[str, Any]:
    """Return a reservation in the words of an expectation."""
    return {
        "end": spec.end.astimezone(UTC),
        "room": spec.room_id,
        "topic": spec.topic,
        "creator": spec.creator,
        "people": list(spec.participants),
        "cc": list(spec.cc_participants),
        "notice": spec.notice_time_s,
        "description": spec.description,
        "attachments": [attachment.url for attachment in spec.attachments],
    }


def _complete(entry: dict[str, Any]) -> dict[str, Any]:
    """An expected occurrence in canonical form: instants in UTC, defaults filled in."""
    start = entry["start"]
    if "days" in entry:
        first = date.fromisoformat(start)
        when = {"start": first, "end": first + timedelta(days=entry["days"])}
    else:
        when = {
            edge: _instant(entry[edge]) for edge in ("start", "end") if edge in entry
        }
    content = {
        key: value
        for key, value in entry.items()
        if key not in {"start", "end", "days"}
    }
    return {"cancelled": False, "notes": [], "held": False, **content, **when}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _begin(occurrence: Occurrence) -> datetime:
    begin = occurrence.when.start
    return (
        begin
        if isinstance(begin, datetime)
        else datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    )


def _shown(occurrence: Occurrence, entry: dict[str, Any]) -> dict[str, Any]:
    """An occurrence in the words of an expectation, as far as the expectation speaks about it."""
    match occurrence.when:
        case Timespan(start=start, end=end):
            when: dict[str, Any] = {
                "start": start.astimezone(UTC),
                "end": end.astimezone(UTC),
            }
        case Moment(start=start):
            when = {"start": start.astimezone(UTC)}
        case Days(start=first, end=last):
            when = {"start": first, "end": last}
    content = {
        "summary": occurrence.summary,
        "description": occurrence.description,
        "location": occurrence.location,
        "joining_link": occurrence.joining_link,
        "organizer": occurrence.organizer and occurrence.organizer.addresses[0],
        "people": [
            a
            for who in occurrence.attendees
            if not who.is_resource
            for a in who.person.addresses
        ],
        "names": [a.person.name for a in occurrence.attendees],
        "resources": [
            a
            for who in occurrence.attendees
            if who.is_resource
            for a in who.person.addresses
        ],
        "alarms": [_alarm(alarm) for alarm in occurrence.alarms],
        "attachments": [
            a.uri if isinstance(a, Link) else a.name for a in occurrence.attachments
        ],
        "tentative": occurrence.tentative,
        "transparent": occurrence.transparent,
        "private": occurrence.private,
    }
    return {
        "uid": occurrence.key.uid,
        "recurrence_id": occurrence.key.recurrence_id,
        "cancelled": occurrence.cancelled,
        # A guessed charset is told with the event or with the document, as its spelling has it.
        "notes": [
            n.reason.value
            for n in occurrence.notes
            if n.reason is not Reason.CHARSET_UNKNOWN
        ],
        **when,
        **{key: value for key, value in content.items() if key in entry},
    }


def _alarm(alarm: Alarm) -> str:
    """An absolute time, or minutes relative to the start or the end."""
    if alarm.at is not None:
        return alarm.at.isoformat()
    return f"{alarm.offset // timedelta(minutes=1)} min from {'end' if alarm.from_end else 'start'}"


def _listed(series: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The occurrences of series whose dates are written as in RFC 5545 section 3.8.5.3.

    `{"1997 09:00 EDT": "September 2-4; October 1, 3"}`, each `minutes` long.
    """
    for entry in series:
        for when, dates in entry["dates"].items():
            year, time, zone = when.split()
            for month, days in DATES.findall(dates):
                for day in _days(days):
                    written = f"{year} {month} {day} {time} {EASTERN[zone]}"
                    start = datetime.strptime(written, "%Y %B %d %H:%M %z").astimezone(
                        UTC
                    )
                    yield {
                        "uid": entry["uid"],
                        "recurrence_id": f"{start:%Y%m%dT%H%M%SZ}",
                        "start": start.isoformat(),
                        "end": (
                            start + timedelta(minutes=entry["minutes"])
                        ).isoformat(),
                    }


def _days(text: str) -> Iterator[int]:
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def reversed_components(text: str) -> str:
    """The same text with the components of each VCALENDAR in reverse order, its properties before them."""
    lines: list[str] = []
    components: list[list[str]] = []
    depth = 0
    for line in filter(str.strip, ANY_LINE_END.split(FOLD.sub("", text))):
        begins, ends = (
            re.match(rf"{word}\s*:", line, re.IGNORECASE) for word in ("BEGIN", "END")
        )
        if begins and depth == 1:
            components.append([])
        if ends and depth == 1:
            lines.extend(line for component in components[::-1] for line in component)
            components = []
        depth += bool(begins)
        (components[-1] if depth > 1 else lines).append(line)
        depth -= bool(ends)
    return "\r\n".join([*lines, ""])


def reversed_calendars(text: str) -> str:
    """The same VCALENDARs in reverse order."""
    calendars: list[str] = []
    for line in filter(str.strip, ANY_LINE_END.split(FOLD.sub("", text))):
        if re.match(r"BEGIN\s*:\s*VCALENDAR", line, re.IGNORECASE) or not calendars:
            calendars.append("")
        calendars[-1] += f"{line}\r\n"
    return "".join(reversed(calendars))


def with_line_ends(text: str, *ends: str) -> str:
    """The same lines, ended by each of these in turn."""
    *lines, rest = ANY_LINE_END.split(text)
    return (
        "".join(line + end for line, end in zip(lines, cycle(ends), strict=False))
        + rest
    )


def folded(text: str, width: int, fold: str) -> str:
    """The same content lines in pieces of a width, joined by a fold (RFC 5545 section 3.1)."""
    lines = ANY_LINE_END.split(FOLD.sub("", text))
    pieces = (
        [line[i : i + width] for i in range(0, len(line), width)] for line in lines
    )
    return "\r\n".join(fold.join(line) for line in pieces)


@each
def test_calendar(calendar: Calendar) -> None:
    """The calendar says what its expectation says."""
    check(calendar, calendar.body)


@each_whole
def test_reversed(calendar: Calendar) -> None:
    """The order of the components in a calendar means nothing, nor does that of the calendars."""
    check(calendar, calendar.spelled(reversed_components(calendar.text)))
    check(calendar, calendar.spelled(reversed_calendars(calendar.text)))


@each
def test_line_ends(calendar: Calendar) -> None:
    """Any line ends, mixed ones too, mean the same, and mend nothing that is incomplete."""
    for ends in (["\n"], ["\r"], ["\r\n"], ["\r\n", "\n", "\r"]):
        check(calendar, calendar.spelled(with_line_ends(calendar.text, *ends)))


@each_whole
def test_folds(calendar: Calendar) -> None:
    """Folds mean nothing, wherever they fall: inside names, escapes and characters too."""
    check(calendar, calendar.spelled(FOLD.sub("", calendar.text)))
    for width, fold in ((74, "\r\n "), (7, "\n\t"), (1, "\r ")):
        check(calendar, calendar.spelled(folded(calendar.text, width, fold)))


def test_spellings() -> None:
    """The other spellings are what they are called, or the tests above would prove nothing."""
    nested, other = "BEGIN:A|BEGIN:B|X:12|END:B|END:A|", "BEGIN:C|END:C|"
    text = (
        f"begin:VCALENDAR|VERSION:2.0|{nested}{other}X-NAME:n|END:VCALENDAR|".replace(
            "|", "\n"
        )
    )
    turned = (
        f"begin:VCALENDAR|VERSION:2.0|X-NAME:n|{other}{nested}END:VCALENDAR|".replace(
            "|", "\r\n"
        )
    )
    assert reversed_components(text.replace("12", "1\n 2")) == turned
    assert reversed_components(text + text) == turned * 2
    assert reversed_calendars("begin:VCALENDAR\nA:1\n 2\nBEGIN:VCALENDAR\nB:3\n") == (
        "BEGIN:VCALENDAR\r\nB:3\r\nbegin:VCALENDAR\r\nA:12\r\n"
    )
    assert with_line_ends("a\r\nb\nc\rd", "\n", "\r") == "a\nb\rc\nd"
    assert folded("abc\n d\r\nef", 3, "\n\t") == "abc\n\td\r\nef"


def test_corpus() -> None:
    """The corpus is large and named by subject; each calendar has an expectation that gives its reason."""
    calendars = {path.with_suffix("") for path in FOLDER.glob("*/*.ics")}
    expectations = {path.with_suffix("") for path in FOLDER.glob("*/*.json")}
    assert calendars == expectations
    assert len(calendars) >= 120
    assert {path.parent.name for path in calendars} == SUBJECTS
    for calendar in CORPUS:
        assert calendar.expected["why"].endswith("."), calendar.name
        assert calendar.expected.keys() <= KEYS, calendar.name
        assert calendar.expected.keys() & RESULTS, calendar.name
