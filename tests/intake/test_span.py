"""When an event can have occurrences, told from its bytes: never less than there is."""

from __future__ import annotations

import timeit
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.occurrence import Days, Moment, Occurrence, Timespan, Window
from syncd.ics import Locale, RawEvent
from syncd.intake import span_of
from tests.conftest import examples
from tests.ics.test_calendars import (
    FOLD,
    YEAR,
    Calendar,
    each_whole,
    folded,
    reversed_components,
    with_line_ends,
)
from tests.ics.test_series import taken_apart

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = ("DTSTART:20250105T090000Z", "DTEND:20250105T100000Z")


def vevent(*lines: str, end: str = "\r\n") -> bytes:
    """One VEVENT of these lines."""
    return end.join(["BEGIN:VEVENT", "UID:x", *lines, "END:VEVENT", ""]).encode()


def calendar(*events: bytes) -> bytes:
    """A calendar of these events."""
    return (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + b"".join(events) + b"END:VCALENDAR\r\n"
    )


def begin_and_end(occurrence: Occurrence) -> tuple[datetime, datetime]:
    """When an occurrence begins and ends; whole days in the zone that is farthest."""
    match occurrence.when:
        case Days(start=first, end=last):
            return _midnight(first, "Pacific/Kiritimati"), _midnight(
                last, "Pacific/Pago_Pago"
            )
        case Timespan(start=start, end=end):
            return start, end
        case Moment(start=start):
            return start, start


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def outside(
    body: bytes, window: Window, locale: Locale
) -> tuple[list[Occurrence], int]:
    """The occurrences outside of the spans of their UID's events, and how many lie inside of known ones."""
    parser, by_uid = taken_apart(body, locale=locale)
    wrong: list[Occurrence] = []
    checked = 0
    for uid, pieces in by_uid.items():
        earliest, latest = span_of_all(pieces)
        for occurrence in parser.parse(uid, pieces, window).occurrences:
            begin, end = begin_and_end(occurrence)
            checked += earliest is not None or latest is not None
            if (earliest is not None and begin < earliest) or (
                latest is not None and end > latest
            ):
                wrong.append(occurrence)
    return wrong, checked


def span_of_all(pieces: Iterable[RawEvent]) -> tuple[datetime | None, datetime | None]:
    """The span of all events of one UID."""
    spans = [span_of(piece.text) for piece in pieces]
    begins = [span.earliest for span in spans if span.earliest is not None]
    ends = [span.latest for span in spans if span.latest is not None]
    return (
        min(begins) if len(begins) == len(spans) else None,
        max(ends) if len(ends) == len(spans) else None,
    )


@each_whole
def test_corpus(calendar: Calendar) -> None:
    """No calendar of the corpus, in any spelling, has an occurrence outside of what its bytes tell."""
    expected = calendar.expected
    edges = {
        edge: datetime.fromisoformat(at)
        for edge, at in expected.get("window", YEAR).items()
    }
    until = edges["until"] + 300 * DAY
    window = Window(edges["from"] - 300 * DAY, until, until)
    locale = Locale(
        default=ZoneInfo(expected.get("zone", "Europe/Berlin")),
        aliases={
            name: ZoneInfo(meant) for name, meant in expected.get("aliases", {}).items()
        },
    )
    text = calendar.text
    spellings = (
        text,
        reversed_components(text),
        with_line_ends(text, "\r\n", "\n", "\r"),
        with_line_ends(text, "\n"),
        *(
            folded(text, width, fold)
            for width, fold in ((74, "\r\n "), (7, "\n\t"), (1, "\n "))
        ),
        FOLD.sub("", text),
    )
    for spelling in spellings:
        assert outside(calendar.spelled(spelling), window, locale)[0] == []


zones = st.sampled_from(
    ["", ";TZID=Europe/Berlin", ";TZID=Pacific/Kiritimati", ";TZID=Pacific/Pago_Pago"]
)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)).map(  # noqa: DTZ001  # wall clock
    lambda wall: wall.replace(second=0, microsecond=0)
)
lengths = st.integers(0, 60 * 24 * 12).map(lambda minutes: timedelta(minutes=minutes))


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """An event as programs write it, or nearly so: its lines in any order, some folded or twice."""
    start, length = draw(moments), draw(lengths)
    lines = []
    if draw(st.booleans()):
        lines.append(f"DTSTART;VALUE=DATE:{start:%Y%m%d}")
        ends = [
            f"DTEND;VALUE=DATE:{start + length:%Y%m%d}",
            f"DURATION:P{length.days}D",
        ]
    else:
        z = draw(st.sampled_from(["", "Z"]))
        zone = "" if z else draw(zones)
        lines.append(f"DTSTART{zone}:{start:%Y%m%dT%H%M%S}{z}")
        other = draw(zones)
        ends = [
            f"DTEND{zone}:{start + length:%Y%m%dT%H%M%S}{z}",
            f"DTEND{other}:{start + length:%Y%m%dT%H%M%S}",
            f"DURATION:PT{length // timedelta(minutes=1)}M",
            f"DURATION:P{length.days}DT{length.seconds}S",
        ]
    lines += draw(st.lists(st.sampled_from(ends), max_size=1))
    until = draw(moments)
    freq = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY;BYDAY=2TU", "YEARLY"]))
    written = draw(
        st.sampled_from(
            [f"{until:%Y%m%dT%H%M%S}Z", f"{until:%Y%m%d}", f"{until:%Y%m%dT%H%M%S}"]
        )
    )
    others = [
        f"RRULE:FREQ={freq};UNTIL={written}",
        f"RRULE:UNTIL={written};FREQ={freq};INTERVAL=2",
        f"RRULE:FREQ={freq};COUNT=5",
        f"RRULE:FREQ={freq}",
        f"RDATE:{draw(moments):%Y%m%dT%H%M%S}",
        f"EXDATE:{draw(moments):%Y%m%dT%H%M%S}",
        f"RECURRENCE-ID:{draw(moments):%Y%m%dT%H%M%SZ}",
        f"RECURRENCE-ID;RANGE=THISANDFUTURE:{draw(moments):%Y%m%dT%H%M%SZ}",
        "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
        "DESCRIPTION:DTSTART:20200101T000000Z",
        "DESCRIPTION:text\r\n DTSTART:20200101T000000Z",
        "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\nDURATION:PT5M\r\nREPEAT:2\r\nEND:VALARM",
    ]
    lines += draw(st.lists(st.sampled_from(others), max_size=3))
    lines += draw(
        st.lists(st.sampled_from(lines), max_size=draw(st.sampled_from([0, 0, 0, 1])))
    )
    lines = draw(st.permutations(lines))
    if draw(st.sampled_from([False, False, True])):
        width = draw(st.integers(1, 30))
        return folded(vevent(*lines).decode(), width, "\r\n ").encode()
    return vevent(*lines)


@settings(max_examples=examples(100, thorough=400), deadline=None)
@given(st.lists(events(), min_size=1, max_size=3))
def test_generated(found: list[bytes]) -> None:
    """No event, and none that stands beside others of its UID, has an occurrence outside of its span."""
    window = Window(*(datetime(year, 6, 1, tzinfo=UTC) for year in (2024, 2028, 2028)))
    assert outside(calendar(*found), window, Locale(default=BERLIN))[0] == []


def test_as_long_as_its_series() -> None:
    """An override without an end is as long as its series, which its own bytes do not tell."""
    series = vevent(
        "DTSTART;VALUE=DATE:20250101",
        "DTEND;VALUE=DATE:20250110",
        "RRULE:FREQ=DAILY;COUNT=2",
    )
    moved = vevent("DTSTART;VALUE=DATE:20250103", "RECURRENCE-ID;VALUE=DATE:20250101")
    window = Window(*(datetime(year, 6, 1, tzinfo=UTC) for year in (2024, 2028, 2028)))
    assert span_of(moved).latest is None
    assert outside(calendar(series, moved), window, Locale(default=BERLIN))[0] == []


@pytest.mark.parametrize(
    ("lines", "latest"),
    [
        (HOUR, "2025-01-05T10:00Z"),
        (
            ("DTSTART;TZID=Europe/Berlin:20250105T090000", "DURATION:PT2H"),
            "2025-01-05T11:00Z",
        ),
        (("DTSTART;VALUE=DATE:20250105",), "2025-01-06T00:00Z"),
        (
            ("DTSTART;VALUE=DATE:20250105", "DTEND;VALUE=DATE:20250110"),
            "2025-01-10T00:00Z",
        ),
        (('DTSTART;TZID="W. Europe: Standard":20250105T090000',), "2025-01-05T09:00Z"),
        (
            (*HOUR, "RRULE:FREQ=WEEKLY;UNTIL=20250301T090000Z;BYDAY=MO"),
            "2025-03-01T10:00Z",
        ),
        ((*HOUR, "RRULE:FREQ=WEEKLY;UNTIL=20200301"), "2025-01-05T10:00Z"),
        (
            (*HOUR, "EXDATE:20250105T090000Z", "RECURRENCE-ID:20250301T090000Z"),
            "2025-01-05T10:00Z",
        ),
        (
            (*HOUR, "BEGIN:VALARM", "TRIGGER:-PT5M", "DURATION:P99D", "END:VALARM"),
            "2025-01-05T10:00Z",
        ),
    ],
)
def test_plain_events(lines: tuple[str, ...], latest: str) -> None:
    """What is plain is told within a few days, whatever its line ends."""
    for end in ("\r\n", "\n"):
        span = span_of(vevent(*lines, end=end))
        assert span.earliest is not None
        assert span.latest is not None
        assert (
            timedelta()
            <= datetime(2025, 1, 5, 9, tzinfo=UTC) - span.earliest
            <= 3 * DAY
        )
        assert DAY <= span.latest - datetime.fromisoformat(latest) <= 6 * DAY


@pytest.mark.parametrize(
    "lines",
    [
        ("SUMMARY:no start",),
        ("DTSTART:2025-01-05T09:00:00Z",),
        ("DTSTART: 20250105T090000Z",),
        ("DTSTART :20250105T090000Z",),
        ("dtstart:20250105T090000Z",),
        ("DTSTART:20250105T", " 090000Z"),
        ("DTS", " TART:20250105T090000Z"),
        ("DTSTART:20250132T090000Z",),
        ("DTSTART:99980105T090000Z",),
        ("DTSTART;VALUE=DATE:20250105T090000",),
        (*HOUR, "DTSTART:20260105T090000Z"),
        (*HOUR, "Dtstart:20260105T090000Z"),
        (*HOUR, "DURATION:P9000D"),
        (HOUR[0], "DURATION:-PT1H"),
        (HOUR[0], "DTEND:20250104T100000Z"),
        (HOUR[0], "DTEND;VALUE=DATE:20250106"),
        (HOUR[0], "DTE", " ND:20260105T100000Z"),
        (HOUR[0], "DUR\tATION:P9000D"),
        (HOUR[0], "\x0bDURATION:P9000D"),
        (HOUR[0], "SUMMARY:x\rDURATION:P9000D"),
        (*HOUR, "RDATE:20260105T090000Z"),
        (*HOUR, "RR", "\tULE:FREQ=DAILY"),
        (*HOUR, "rrule:FREQ=DAILY"),
        (*HOUR, "RRULE:FREQ=DAILY", "RRULE:FREQ=DAILY;UNTIL=20250105"),
        (*HOUR, "RECURRENCE-ID;RANGE=THISANDFUTURE:20250105T090000Z"),
        (*HOUR, "BEGIN:VALARM", "DTSTART:20260105T090000Z"),
    ],
)
def test_whatever_is_not_plain(lines: tuple[str, ...]) -> None:
    """Nothing is told about what is unusual in a property that decides time."""
    assert span_of(vevent(*lines)) == (None, None)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;COUNT=3",
        "FREQ=DAILY;COUNT=3;UNTIL=20250301",
        "FREQ=DAILY;UNTIL=x",
    ],
)
def test_rules_whose_end_is_not_told(rule: str) -> None:
    """Of a series without UNTIL only the start is told."""
    earliest, latest = span_of(vevent(*HOUR, f"RRULE:{rule}"))
    assert (earliest, latest) == (datetime(2025, 1, 3, 9, tzinfo=UTC), None)


def test_most_of_what_is_generated_is_told() -> None:
    """The spans are known often enough that the tests above prove something."""
    body = calendar(
        *(
            vevent(*HOUR, f"SUMMARY:{n}").replace(b"UID:x", b"UID:%d" % n)
            for n in range(50)
        )
    )
    window = Window(*(datetime(year, 6, 1, tzinfo=UTC) for year in (2024, 2028, 2028)))
    assert outside(body, window, Locale(default=BERLIN)) == ([], 50)


def test_it_is_cheap() -> None:
    """Telling the span takes a small part of what understanding takes."""
    people = [
        f"ATTENDEE;CN=Q{n};PARTSTAT=ACCEPTED:mailto:q{n}@example.com" for n in range(6)
    ]
    text = vevent(
        *HOUR,
        "RRULE:FREQ=WEEKLY;UNTIL=20250301T090000Z",
        "DESCRIPTION:" + "text " * 99,
        *people,
    )
    parser, pieces = taken_apart(calendar(text))
    (piece,) = pieces["x"]
    begin = datetime(2025, 6, 1, tzinfo=UTC)
    window = Window(begin, begin, begin)
    telling = min(timeit.repeat(lambda: span_of(piece.text), number=100))
    parsed = min(timeit.repeat(lambda: parser.parse("x", [piece], window), number=100))
    assert telling < parsed / 5
