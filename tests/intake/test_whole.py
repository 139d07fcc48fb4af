"""What a calendar says: the readings of RFC 5545 that syncd promises, one situation at a time."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import FrameType
from zoneinfo import ZoneInfo

import pytest

from syncd.core.bounds import TEXT_READ
from syncd.core.document import Document
from syncd.core.merge import merge
from syncd.core.occurrence import (
    Alarm,
    Authority,
    Days,
    Inline,
    Link,
    Moment,
    Occurrence,
    Presence,
    Reading,
    Timespan,
    Window,
)
from syncd.core.reasons import Reason
from syncd.ics import Locale
from tests.intake.whole import read

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")


def vevent(*lines: str, uid: str | None = "meeting") -> str:
    """One VEVENT of property lines."""
    named = [] if uid is None else [f"UID:{uid}"]
    return "\n".join(["BEGIN:VEVENT", *named, *lines, "END:VEVENT"])


def calendar(*components: str, head: tuple[str, ...] = ()) -> bytes:
    """One VCALENDAR with CRLF line ends."""
    lines = "\n".join(
        ["BEGIN:VCALENDAR", "VERSION:2.0", *head, *components, "END:VCALENDAR", ""]
    )
    return lines.replace("\n", "\r\n").encode()


def vtimezone(tzid: str, offset: str) -> str:
    """A zone of one constant offset."""
    rule = (
        "BEGIN:STANDARD",
        "DTSTART:19700101T000000",
        f"TZOFFSETFROM:{offset}",
        f"TZOFFSETTO:{offset}",
    )
    return "\n".join(
        ["BEGIN:VTIMEZONE", f"TZID:{tzid}", *rule, "END:STANDARD", "END:VTIMEZONE"]
    )


def reading(
    *bodies: bytes,
    zone: str = "Europe/Berlin",
    floating: str | None = None,
    aliases: Mapping[str, str] | None = None,
    days: int = 400,
    scope: str = "",
    problems: tuple[str, ...] = (),
    booked: tuple[str, ...] = (),
    max_occurrences: int = 5_000,
) -> Reading:
    """What a source with these documents says."""
    return read(
        [Document(f"{number}.ics", body) for number, body in enumerate(bodies, 1)],
        source="office",
        scope=scope,
        locale=Locale(
            default=ZoneInfo(zone),
            floating=ZoneInfo(floating) if floating else None,
            aliases={name: ZoneInfo(meant) for name, meant in (aliases or {}).items()},
        ),
        window=Window.ahead(NOW, timedelta(days=days)),
        at=NOW,
        problems=problems,
        booked=booked,
        max_occurrences=max_occurrences,
    )


def of_event(*lines: str, zone: str = "Europe/Berlin") -> Reading:
    """The reading of a calendar with one event of these lines."""
    return reading(calendar(vevent(*lines)), zone=zone)


def only(said: Reading) -> Occurrence:
    """The single occurrence of a reading without defects."""
    assert said.defects == ()
    (seen,) = merge({said.source: said})
    return seen.occurrence


def starts(said: Reading) -> list[str]:
    """The instants at which the occurrences begin, in UTC."""
    return sorted(_start_text(occurrence) for occurrence in said.occurrences)


def _start_text(occurrence: Occurrence) -> str:
    match occurrence.when:
        case Days(start=day):
            return f"{day:%Y%m%d}"
        case Timespan(start=start) | Moment(start=start):
            return f"{start.astimezone(UTC):%Y%m%dT%H%MZ}"


def keys(said: Reading) -> list[str | None]:
    """The recurrence ids in order."""
    return [occurrence.key.recurrence_id for occurrence in said.occurrences]


def length(occurrence: Occurrence) -> timedelta:
    """The exact length of a timed occurrence."""
    assert isinstance(occurrence.when, Timespan)
    return occurrence.when.end - occurrence.when.start


def quarantine(said: Reading) -> Reason:
    """The reason of the only defect, where nothing was booked for its UID."""
    (defect,) = said.defects
    assert said.occurrences == ()
    if defect.uid:
        assert said.presence[defect.uid] is Presence.QUARANTINED
    return defect.reason


def steps(function: Callable[[], object]) -> int:
    """How many Python functions are called, which is what a computation costs on any machine."""
    count = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()  # what it would call is of former tests
    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def peak(function: Callable[[], object]) -> int:
    """How many bytes a computation holds at once."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestTime:
    """Instants, lengths and zones."""

    def test_utc(self) -> None:
        """Times with Z are instants."""
        assert only(of_event(*HOUR)).when == Timespan(
            datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 1, 5, 10, tzinfo=UTC)
        )

    def test_z_beside_a_zone(self) -> None:
        """A Z counts even when a TZID stands beside it."""
        said = of_event("DTSTART;TZID=Europe/Berlin:20260105T090000Z", "DURATION:PT1H")
        assert starts(said) == ["20260105T0900Z"]

    @pytest.mark.parametrize(
        ("floating", "head", "start"),
        [
            ("Asia/Tokyo", ("X-WR-TIMEZONE:America/New_York",), "20260105T0000Z"),
            (None, ("X-WR-TIMEZONE:America/New_York",), "20260105T1400Z"),
            (None, ("X-WR-TIMEZONE:Tokyo Standard Time",), "20260105T0000Z"),
            (None, ("X-WR-TIMEZONE:Our place",), "20260105T0000Z"),
            (None, (), "20260105T0800Z"),
        ],
    )
    def test_floating(
        self, floating: str | None, head: tuple[str, ...], start: str
    ) -> None:
        """Floating times are in the source's zone, else in the calendar's, else in the configured one."""
        body = calendar(vevent("DTSTART:20260105T090000", "DURATION:PT1H"), head=head)
        assert starts(
            reading(body, floating=floating, aliases={"Our place": "Asia/Tokyo"})
        ) == [start]

    def test_unknown_zone_of_a_calendar(self) -> None:
        """A calendar zone that nobody knows quarantines floating events and leaves those in UTC alone."""
        body = calendar(
            vevent("DTSTART:20260105T090000", "DURATION:PT1H", uid="floating"),
            vevent(*HOUR, uid="fixed"),
            head=("X-WR-TIMEZONE:Atlantis",),
        )
        said = reading(body)
        assert [(d.uid, d.reason) for d in said.defects] == [
            ("floating", Reason.UNKNOWN_TIMEZONE)
        ]
        assert [o.key.uid for o in said.occurrences] == ["fixed"]

    @pytest.mark.parametrize(
        ("start", "instant"),
        [
            (
                "20260329T023000",
                "20260329T0130Z",
            ),  # gap: 02:30 becomes 03:30 summer time
            ("20261025T023000", "20261025T0030Z"),  # overlap: the first of the two
        ],
    )
    def test_clock_changes(self, start: str, instant: str) -> None:
        """A time in a gap takes the offset before it, in an overlap the first counts."""
        assert starts(
            of_event(f"DTSTART;TZID=Europe/Berlin:{start}", "DURATION:PT1H")
        ) == [instant]

    @pytest.mark.parametrize(
        ("lines", "hours"),
        [
            (("DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1D"), 23),
            (("DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:PT24H"), 24),
            (("DTSTART;TZID=Europe/Berlin:20261024T120000", "DURATION:P1D"), 25),
            (("DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1W"), 167),
            (("DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1DT1H"), 24),
            (
                (
                    "DTSTART;TZID=Europe/Berlin:20260329T013000",
                    "DTEND;TZID=Europe/Berlin:20260329T033000",
                ),
                1,
            ),
            (
                (
                    "DTSTART;TZID=Europe/Berlin:20261025T013000",
                    "DTEND;TZID=Europe/Berlin:20261025T033000",
                ),
                3,
            ),
            (
                (
                    "DTSTART;TZID=Europe/Berlin:20260105T090000",
                    "DTEND;TZID=Asia/Tokyo:20260105T190000",
                ),
                2,
            ),
        ],
    )
    def test_lengths(self, lines: tuple[str, ...], hours: int) -> None:
        """Days and weeks are nominal, hours are exact, and two instants are subtracted."""
        assert length(only(of_event(*lines))) == timedelta(hours=hours)

    @pytest.mark.parametrize(
        "lines",
        [(), ("DTEND:20260105T090000Z",), ("DURATION:PT0S",)],
        ids=["neither", "same", "zero"],
    )
    def test_no_length(self, lines: tuple[str, ...]) -> None:
        """An event without end or length is a moment, not an hour that somebody assumed."""
        assert only(of_event("DTSTART:20260105T090000Z", *lines)).when == Moment(
            datetime(2026, 1, 5, 9, tzinfo=UTC)
        )

    @pytest.mark.parametrize(
        ("lines", "end"),
        [
            ((), date(2026, 1, 6)),
            (("DTEND;VALUE=DATE:20260108",), date(2026, 1, 8)),
            (("DURATION:P2D",), date(2026, 1, 7)),
            (("DTEND;VALUE=DATE:99981231",), date(9998, 12, 31)),
        ],
    )
    def test_whole_days(self, lines: tuple[str, ...], end: date) -> None:
        """VALUE=DATE events are whole days, one if they say no end, however far the end."""
        assert only(of_event("DTSTART;VALUE=DATE:20260105", *lines)).when == Days(
            date(2026, 1, 5), end
        )

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTSTART:20260105T090000Z", "DTEND:20260105T080000Z"),
            ("DTSTART:20260105T090000Z", "DURATION:-PT1H"),
            ("DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:20260104"),
        ],
    )
    def test_end_before_start(self, lines: tuple[str, ...]) -> None:
        """An event that ends before it starts is quarantined, never turned around."""
        assert quarantine(of_event(*lines)) is Reason.END_BEFORE_START

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTSTART:99991231T235959Z",),
            ("DTSTART:20260105T090000Z", "DTEND:99990101T000000Z"),
            ("DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:99991231"),
            ("DTSTART;VALUE=DATE:00010101", "RRULE:FREQ=YEARLY"),
            ("DTSTART:00261231T235959Z", "RRULE:FREQ=DAILY"),
            (*HOUR, "RDATE:99990101T000000Z"),
            (*HOUR, "RECURRENCE-ID:00010101T000000Z"),
        ],
    )
    def test_ends_of_time(self, lines: tuple[str, ...]) -> None:
        """Dates that no meeting has, which programs write for what they do not know, are not read."""
        said = of_event(*lines)
        assert quarantine(said) is Reason.BROKEN_PROPERTY
        assert "1000 to 9998" in said.defects[0].detail

    def test_over_and_far(self) -> None:
        """What is over before the window is left out, what still runs is kept."""
        body = calendar(
            vevent("DTSTART:20251231T220000Z", "DTEND:20260101T000000Z", uid="over"),
            vevent("DTSTART:20251231T220000Z", "DTEND:20260101T000001Z", uid="running"),
        )
        assert [o.key.uid for o in reading(body).occurrences] == ["running"]


class TestZones:
    """TZID to rules."""

    @pytest.mark.parametrize(
        ("tzid", "start"),
        [
            ("Europe/Berlin", "20260705T0700Z"),
            ("europe/berlin", "20260705T0700Z"),
            ("W. Europe Standard Time", "20260705T0700Z"),
            ("/freeassociation.sourceforge.net/Europe/Berlin", "20260705T0700Z"),
            ("/citadel.org/20210210_1/America/New_York", "20260705T1300Z"),
            ("UTC", "20260705T0900Z"),
            ('"Europe/Berlin"', "20260705T0700Z"),
            ("Customized Time Zone 1", "20260705T0000Z"),
        ],
    )
    def test_names(self, tzid: str, start: str) -> None:
        """IANA names in any case, Windows names, vendor prefixes and configured names are known."""
        body = calendar(vevent(f"DTSTART;TZID={tzid}:20260705T090000", "DURATION:PT1H"))
        assert starts(
            reading(body, aliases={"Customized Time Zone 1": "Asia/Tokyo"})
        ) == [start]

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTSTART;TZID=Atlantis:20260105T090000", "DURATION:PT1H"),
            ("DTSTART:20260105T090000Z", "DTEND;TZID=Atlantis:20260105T100000"),
            (*HOUR, "RRULE:FREQ=DAILY;COUNT=3", "EXDATE;TZID=Atlantis:20260106T090000"),
            (*HOUR, "RDATE;TZID=Atlantis:20260106T090000"),
            (*HOUR, "RDATE;VALUE=PERIOD;TZID=Atlantis:20260106T090000/PT1H"),
            (*HOUR, "RECURRENCE-ID;TZID=Atlantis:20260106T090000"),
        ],
        ids=["DTSTART", "DTEND", "EXDATE", "RDATE", "PERIOD", "RECURRENCE-ID"],
    )
    def test_unknown(self, lines: tuple[str, ...]) -> None:
        """An unknown zone anywhere that it decides time quarantines the UID and names the cure."""
        said = of_event(*lines)
        assert quarantine(said) is Reason.UNKNOWN_TIMEZONE
        assert "Atlantis" in said.defects[0].detail
        assert "calendar.timezones" in said.defects[0].detail

    @pytest.mark.parametrize("line", ["LAST-MODIFIED", "CREATED"])
    def test_unknown_where_it_decides_nothing(self, line: str) -> None:
        """An unknown zone of a stamp costs the stamp, not the event."""
        assert (
            only(of_event(*HOUR, f"{line};TZID=Atlantis:20260105T090000")).last_modified
            is None
        )

    def test_own_definitions_stay_apart(self) -> None:
        """Two documents of one reading may give one made-up name different offsets."""
        bodies = [
            calendar(
                vtimezone("Ours", offset),
                vevent("DTSTART;TZID=Ours:20260105T090000", "DURATION:PT1H", uid=uid),
            )
            for uid, offset in (("east", "+0500"), ("west", "-0500"))
        ]
        for documents in (bodies, bodies[::-1]):
            said = reading(*documents)
            assert {o.key.uid: _start_text(o) for o in said.occurrences} == {
                "east": "20260105T0400Z",
                "west": "20260105T1400Z",
            }

    def test_definition_named_utc_by_its_offset(self) -> None:
        """A zone whose TZNAME says UTC is still the zone that it defines."""
        own = vtimezone("Ours", "+0500").replace(
            "END:STANDARD", "TZNAME:UTC\nEND:STANDARD"
        )
        said = reading(
            calendar(own, vevent("DTSTART;TZID=Ours:20260105T090000", "DURATION:PT1H"))
        )
        assert starts(said) == ["20260105T0400Z"]

    def test_definition_before_windows_name(self) -> None:
        """A calendar's own definition counts before what its name means elsewhere."""
        said = reading(
            calendar(
                vtimezone("Tokyo Standard Time", "+0100"),
                vevent(
                    "DTSTART;TZID=Tokyo Standard Time:20260105T090000", "DURATION:PT1H"
                ),
            )
        )
        assert starts(said) == ["20260105T0800Z"]

    def test_contradiction_is_reported(self) -> None:
        """An IANA name means the IANA zone, and a definition that says otherwise is reported once."""
        events = [
            vevent(
                "DTSTART;TZID=Europe/Berlin:20260705T090000", "DURATION:PT1H", uid=uid
            )
            for uid in "ab"
        ]
        said = reading(calendar(vtimezone("Europe/Berlin", "+0900"), *events))
        assert starts(said) == ["20260705T0700Z"] * 2
        assert [note.reason for note in said.notes] == [Reason.TIMEZONE_CONTRADICTS]
        assert said.notes[0] in said.occurrences[0].notes

    def test_agreement_is_not_reported(self) -> None:
        """A definition that says what the name says is no matter for anybody."""
        berlin = "\n".join(
            [
                "BEGIN:VTIMEZONE",
                "TZID:Europe/Berlin",
                *(
                    "BEGIN:DAYLIGHT",
                    "TZOFFSETFROM:+0100",
                    "TZOFFSETTO:+0200",
                    "DTSTART:19700329T020000",
                ),
                *("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "END:DAYLIGHT"),
                *(
                    "BEGIN:STANDARD",
                    "TZOFFSETFROM:+0200",
                    "TZOFFSETTO:+0100",
                    "DTSTART:19701025T030000",
                ),
                *("RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", "END:STANDARD"),
                "END:VTIMEZONE",
            ]
        )
        said = reading(
            calendar(
                berlin,
                vevent("DTSTART;TZID=Europe/Berlin:20260705T090000", "DURATION:PT1H"),
            )
        )
        assert only(said).notes == ()
        assert said.notes == ()

    @pytest.mark.parametrize(
        ("tzid", "start"),
        [
            (
                "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
                "20260705T0700Z",
            ),
            ("(GMT-05:00) Eastern Time (US & Canada)", "20260705T1300Z"),
            ("(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", "20260705T0330Z"),
            ("(UTC) Coordinated Universal Time", "20260705T0900Z"),
            ("tzone://Microsoft/Utc", "20260705T0900Z"),
            (
                "/freeassociation.sourceforge.net/Tzfile/America/New_York",
                "20260705T1300Z",
            ),
        ],
    )
    def test_names_of_vendors(self, tzid: str, start: str) -> None:
        """What Exchange and others write for a zone is that zone where it is sure."""
        said = of_event(f'DTSTART;TZID="{tzid}":20260705T090000', "DURATION:PT1H")
        assert starts(said) == [start]

    @pytest.mark.parametrize(
        "tzid",
        [
            "(UTC+02:00) Amsterdam, Berlin",  # not their offset
            "(UTC+01:00) Berlin, Lagos",  # one offset, two clocks
            "(UTC-03:00) Salvador",  # no city of the registry
            "tzone://Microsoft/Custom",
            "/example.com/Nowhere",
        ],
    )
    def test_names_that_are_not_sure(self, tzid: str) -> None:
        """A vendor's name that leaves a doubt is unknown."""
        said = of_event(f'DTSTART;TZID="{tzid}":20260705T090000', "DURATION:PT1H")
        assert quarantine(said) is Reason.UNKNOWN_TIMEZONE

    @pytest.mark.parametrize(
        ("written", "tzid"),
        [
            ("Ours\\, theirs", "Ours, theirs"),
            ("OURS", "ours"),
            ("tzone://Microsoft/Custom", "tzone://Microsoft/Custom"),
        ],
    )
    def test_spellings_of_a_definition(self, written: str, tzid: str) -> None:
        """A definition is found under its name without escapes, in any letter case, with a colon inside."""
        event = vevent(f'DTSTART;TZID="{tzid}":20260105T090000', "DURATION:PT1H")
        assert starts(reading(calendar(vtimezone(written, "+0500"), event))) == [
            "20260105T0400Z"
        ]

    def test_two_definitions(self) -> None:
        """Two definitions of one name that differ define nothing; two equal ones are one."""
        event = vevent("DTSTART;TZID=Ours:20260105T090000", "DURATION:PT1H")
        east, west = vtimezone("Ours", "+0500"), vtimezone("Ours", "-0500")
        assert (
            quarantine(reading(calendar(east, west, event))) is Reason.UNKNOWN_TIMEZONE
        )
        assert starts(reading(calendar(east, event, east))) == ["20260105T0400Z"]

    @pytest.mark.parametrize(
        "inside",
        [
            "",
            "BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0100\nEND:STANDARD",
            "BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+9900\nEND:STANDARD",
            "BEGIN:STANDARD\nDTSTART:soon\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nEND:STANDARD",
            "BEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0100\n"
            "RRULE:FREQ=SECONDLY\nEND:STANDARD",
        ],
        ids=["empty", "no offset", "no such offset", "no onset", "changes each second"],
    )
    def test_useless_definition(self, inside: str) -> None:
        """A definition that cannot give every time an offset defines nothing, but may name a place."""
        event = vevent("DTSTART;TZID=Ours:20260705T090000", "DURATION:PT1H")
        for location, expected in (
            ("", None),
            ("X-LIC-LOCATION:Europe/Berlin", "20260705T0700Z"),
        ):
            lines = ("BEGIN:VTIMEZONE", "TZID:Ours", location, inside, "END:VTIMEZONE")
            said = reading(calendar(*filter(None, lines), event))
            assert starts(said) == ([expected] if expected else [])
            assert [d.reason for d in said.defects] == (
                [] if expected else [Reason.UNKNOWN_TIMEZONE]
            )

    EUROPE = "\n".join(
        [
            "BEGIN:VTIMEZONE",
            "TZID:Ours",
            *(
                "BEGIN:DAYLIGHT",
                "TZOFFSETFROM:+0100",
                "TZOFFSETTO:+0200",
                "DTSTART:16010325T020000",
            ),
            *("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "END:DAYLIGHT"),
            *(
                "BEGIN:STANDARD",
                "TZOFFSETFROM:+0200",
                "TZOFFSETTO:+0100",
                "DTSTART:16011028T030000",
            ),
            *("RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", "END:STANDARD"),
            "END:VTIMEZONE",
        ]
    )

    @pytest.mark.parametrize(
        "start",
        [
            "20260329T013000",
            "20260329T023000",
            "20260329T033000",
            "20261025T013000",
            "20261025T023000",
        ],
    )
    def test_clock_changes_of_a_definition(self, start: str) -> None:
        """A zone of the document's own is read around its clock changes as a registered one."""
        own = reading(
            calendar(self.EUROPE, vevent(f"DTSTART;TZID=Ours:{start}", "DURATION:P1D"))
        )
        registered = of_event(f"DTSTART;TZID=Europe/Berlin:{start}", "DURATION:P1D")
        assert only(own).when == only(registered).when

    def test_series_in_a_definition(self) -> None:
        """A year of a series in a zone of the document's own is that of the registered one."""
        rule = ("DURATION:PT1H", "RRULE:FREQ=HOURLY;INTERVAL=5;UNTIL=20261231T000000Z")
        own = reading(
            calendar(self.EUROPE, vevent("DTSTART;TZID=Ours:20260101T003000", *rule))
        )
        registered = of_event("DTSTART;TZID=Europe/Berlin:20260101T003000", *rule)
        assert len(keys(own)) > 1700
        assert keys(own) == keys(registered)

    def test_calendar_zone_of_its_own(self) -> None:
        """X-WR-TIMEZONE may name a zone of the document; whole days then need one with a name."""
        body = calendar(
            vtimezone("Ours", "+0500"),
            vevent("DTSTART:20260105T090000", "DURATION:PT1H", uid="timed"),
            vevent("DTSTART;VALUE=DATE:20260105", uid="days"),
            head=("X-WR-TIMEZONE:Ours",),
        )
        said = reading(body)
        assert starts(said) == ["20260105T0400Z"]
        assert [(d.uid, d.reason) for d in said.defects] == [
            ("days", Reason.UNKNOWN_TIMEZONE)
        ]


class TestSeries:
    """Recurrence sets and their keys."""

    BERLIN = (
        "DTSTART;TZID=Europe/Berlin:20260326T090000",
        "DTEND;TZID=Europe/Berlin:20260326T100000",
    )

    def test_single_event_has_no_recurrence_id(self) -> None:
        """An event that does not recur is identified by its UID alone, wherever it moves."""
        assert keys(of_event(*HOUR)) == [None]

    def test_wall_clock_over_a_change(self) -> None:
        """A series keeps its wall clock over a clock change and is keyed by original starts in UTC."""
        said = of_event(*self.BERLIN, "RRULE:FREQ=DAILY;COUNT=4")
        assert keys(said) == [
            "20260326T080000Z",
            "20260327T080000Z",
            "20260328T080000Z",
            "20260329T070000Z",
        ]
        assert {length(o) for o in said.occurrences} == {timedelta(hours=1)}

    def test_exact_length_over_a_change(self) -> None:
        """A series with DTEND has one exact length, also for the night of the clock change."""
        said = of_event(
            "DTSTART;TZID=Europe/Berlin:20260327T230000",
            "DTEND;TZID=Europe/Berlin:20260328T050000",
            "RRULE:FREQ=DAILY;COUNT=2",
        )
        assert [length(o) for o in said.occurrences] == [timedelta(hours=6)] * 2

    def test_nominal_length_over_a_change(self) -> None:
        """A series whose DURATION is a day ends at the same wall clock time every time."""
        said = of_event(
            "DTSTART;TZID=Europe/Berlin:20260327T120000",
            "DURATION:P1D",
            "RRULE:FREQ=DAILY;COUNT=3",
        )
        assert [length(o) for o in said.occurrences] == [
            timedelta(hours=h) for h in (24, 23, 24)
        ]

    def test_whole_day_series(self) -> None:
        """Whole-day series are keyed by dates."""
        said = of_event("DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=WEEKLY;COUNT=2")
        assert keys(said) == ["20260105", "20260112"]

    @pytest.mark.parametrize(
        ("until", "last"),
        [
            ("20260107", "20260107T0800Z"),  # the date includes that day
            ("20260107T080000Z", "20260107T0800Z"),
            ("20260107T075959Z", "20260106T0800Z"),
            ("20260107T090000", "20260107T0800Z"),
        ],
    )
    def test_until(self, until: str, last: str) -> None:
        """UNTIL is inclusive; as a date it includes that day in the zone of the series."""
        said = of_event(
            "DTSTART;TZID=Europe/Berlin:20260105T090000",
            "DURATION:PT1H",
            f"RRULE:FREQ=DAILY;UNTIL={until}",
        )
        assert starts(said)[-1] == last

    def test_until_as_a_date_late_in_the_day(self) -> None:
        """The day of UNTIL is that of the series' zone, not of UTC."""
        said = of_event(
            "DTSTART;TZID=America/New_York:20260105T220000",
            "DURATION:PT1H",
            "RRULE:FREQ=DAILY;UNTIL=20260106",
        )
        assert starts(said) == ["20260106T0300Z", "20260107T0300Z"]

    @pytest.mark.parametrize(
        "line",
        [
            "EXDATE;TZID=Europe/Berlin:20260327T090000",
            "EXDATE:20260327T080000Z",
            "EXDATE;TZID=America/New_York:20260327T040000",
            "EXDATE;VALUE=DATE:20260327",
            "EXDATE:20270101T000000Z,20260327T080000Z",
            "EXRULE:FREQ=DAILY;INTERVAL=5;BYDAY=FR\nEXDATE:20260327T080000Z",
        ],
    )
    def test_excluded(self, line: str) -> None:
        """EXDATE takes a date out in any zone, as a date and among several."""
        said = of_event(*self.BERLIN, "RRULE:FREQ=DAILY;COUNT=3", line)
        assert keys(said) == ["20260326T080000Z", "20260328T080000Z"]
        assert said.presence == {"meeting": Presence.SERIES}

    def test_excluded_rule(self) -> None:
        """EXRULE is honoured although it is deprecated."""
        said = of_event(
            *HOUR, "RRULE:FREQ=DAILY;COUNT=5", "EXRULE:FREQ=DAILY;INTERVAL=2"
        )
        assert starts(said) == ["20260106T0900Z", "20260108T0900Z"]

    def test_added_dates(self) -> None:
        """RDATE adds dates, times in other zones and periods with lengths of their own."""
        said = of_event(
            *HOUR,
            "RDATE:20260106T110000Z,20260105T090000Z",
            "RDATE;TZID=Asia/Tokyo:20260107T090000",
            "RDATE;VALUE=DATE:20260108",
            "RDATE;VALUE=PERIOD:20260109T090000Z/PT2H,20260110T090000Z/20260110T093000Z",
        )
        assert [(_start_text(o), length(o)) for o in said.occurrences] == [
            ("20260105T0900Z", timedelta(hours=1)),
            ("20260106T1100Z", timedelta(hours=1)),
            ("20260107T0000Z", timedelta(hours=1)),
            ("20260108T0900Z", timedelta(hours=1)),
            ("20260109T0900Z", timedelta(hours=2)),
            ("20260110T0900Z", timedelta(minutes=30)),
        ]

    def test_far_beginning(self) -> None:
        """A series that began decades ago gives the dates of the window alone, with the right phase."""
        said = reading(
            calendar(
                vevent(
                    "DTSTART:19950105T090000Z",
                    "DURATION:PT1H",
                    "RRULE:FREQ=DAILY;INTERVAL=7",
                )
            ),
            days=10,
        )
        expected = [
            datetime(1995, 1, 5, 9, tzinfo=UTC) + timedelta(days=7 * n)
            for n in range(2000)
        ]
        wanted = [
            f"{t:%Y%m%dT%H%MZ}" for t in expected if NOW <= t < NOW + timedelta(days=17)
        ]
        assert [s for s in starts(said) if s < "20260118"] == wanted

    def test_window(self) -> None:
        """An endless series costs no more than its window."""
        said = reading(calendar(vevent(*HOUR, "RRULE:FREQ=DAILY")), days=10)
        assert 13 <= len(said.occurrences) <= 20

    def test_override_moves(self) -> None:
        """A moved date keeps the key of its original start, and nothing else moves."""
        body = calendar(
            vevent(*self.BERLIN, "RRULE:FREQ=DAILY;COUNT=3"),
            vevent(
                "RECURRENCE-ID:20260327T080000Z",
                "DTSTART:20260405T120000Z",
                "DURATION:PT30M",
                "SUMMARY:Later",
            ),
        )
        said = reading(body)
        by_key = {o.key.recurrence_id: o for o in said.occurrences}
        assert sorted(filter(None, by_key)) == [
            "20260326T080000Z",
            "20260327T080000Z",
            "20260328T080000Z",
        ]
        assert _start_text(by_key["20260327T080000Z"]) == "20260405T1200Z"
        assert by_key["20260327T080000Z"].summary == "Later"
        assert by_key["20260328T080000Z"].summary == ""

    @pytest.mark.parametrize(
        "original",
        [
            "RECURRENCE-ID;VALUE=DATE:20260327",
            "RECURRENCE-ID;TZID=America/New_York:20260327T040000",
        ],
    )
    def test_override_in_other_words(self, original: str) -> None:
        """RECURRENCE-ID in another zone, or as a date, means the same original start."""
        body = calendar(
            vevent(*self.BERLIN, "RRULE:FREQ=DAILY;COUNT=3"),
            vevent(original, "DTSTART:20260327T120000Z", "DURATION:PT1H"),
        )
        assert keys(reading(body)) == [
            "20260326T080000Z",
            "20260327T080000Z",
            "20260328T080000Z",
        ]

    def test_cancelled_override(self) -> None:
        """A cancelled date is still told, because being told is the strongest evidence."""
        body = calendar(
            vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=2"),
            vevent(
                "RECURRENCE-ID:20260106T090000Z",
                "DTSTART:20260106T090000Z",
                "STATUS:CANCELLED",
            ),
        )
        assert [o.cancelled for o in reading(body).occurrences] == [False, True]

    def test_this_and_future(self) -> None:
        """From its date on everything moves alike, each date under its own original start."""
        body = calendar(
            vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=4"),
            vevent(
                "RECURRENCE-ID;RANGE=THISANDFUTURE:20260107T090000Z",
                "DTSTART:20260107T140000Z",
                "DURATION:PT2H",
                "SUMMARY:Afternoons",
            ),
        )
        said = reading(body)
        assert keys(said) == [f"2026010{day}T090000Z" for day in (5, 6, 7, 8)]
        assert starts(said) == [
            "20260105T0900Z",
            "20260106T0900Z",
            "20260107T1400Z",
            "20260108T1400Z",
        ]
        assert [o.summary for o in said.occurrences] == [
            "",
            "",
            "Afternoons",
            "Afternoons",
        ]
        assert length(said.occurrences[3]) == timedelta(hours=2)

    def test_this_and_future_with_a_single_date_inside(self) -> None:
        """A date with an override of its own is not moved by an earlier THISANDFUTURE."""
        body = calendar(
            vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=4"),
            vevent(
                "RECURRENCE-ID;RANGE=THISANDFUTURE:20260106T090000Z",
                "DTSTART:20260106T140000Z",
                "DURATION:PT1H",
            ),
            vevent(
                "RECURRENCE-ID:20260107T090000Z",
                "DTSTART:20260107T180000Z",
                "DURATION:PT1H",
            ),
        )
        assert starts(reading(body)) == [
            "20260105T0900Z",
            "20260106T1400Z",
            "20260107T1800Z",
            "20260108T1400Z",
        ]

    def test_orphan_override(self) -> None:
        """An invitation to a single date speaks for that date alone."""
        said = of_event(*HOUR, "RECURRENCE-ID:20260105T090000Z")
        assert keys(said) == ["20260105T090000Z"]
        assert said.presence == {"meeting": Presence.DETACHED}

    def test_gap_and_its_neighbour(self) -> None:
        """Two times of an hourly series that fall on one instant in a gap are one date, also for COUNT."""
        said = of_event(
            "DTSTART;TZID=Europe/Berlin:20260329T013000",
            "DURATION:PT30M",
            "RRULE:FREQ=HOURLY;COUNT=4",
        )
        assert starts(said) == [
            "20260329T0030Z",
            "20260329T0130Z",
            "20260329T0230Z",
            "20260329T0330Z",
        ]

    def test_dates_of_years(self) -> None:
        """A series whose dates last longer than ten years means nothing, and none of them is cancelled."""
        said = of_event(
            "DTSTART:20100101T000000Z", "DTEND:20260201T000000Z", "RRULE:FREQ=DAILY"
        )
        assert quarantine(said) is Reason.BROKEN_PROPERTY

    def test_too_many(self) -> None:
        """A series with more dates than anybody meets is a defect of that UID alone."""
        body = calendar(
            vevent(
                "DTSTART:20260101T000000Z",
                "DURATION:PT1M",
                "RRULE:FREQ=MINUTELY",
                uid="mad",
            ),
            vevent(*HOUR, uid="sane"),
        )
        said = reading(body)
        assert [(d.uid, d.reason) for d in said.defects] == [
            ("mad", Reason.TOO_MANY_OCCURRENCES)
        ]
        assert said.presence == {"mad": Presence.QUARANTINED, "sane": Presence.SERIES}
        assert [o.key.uid for o in said.occurrences] == ["sane"]


class TestDefects:
    """A bad event costs that event."""

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTEND:20260105T100000Z",),
            ("DTSTART:yesterday",),
            ("DTSTART;VALUE=DATE:20260230",),
            ("DTSTART:20260105T090000Z", "DTSTART:20260106T090000Z"),
            ("DTSTART:20260105T090000Z", "DTEND:never"),
            ("DTSTART:20260105T090000Z", "DTEND;VALUE=DATE:20260106"),
            ("DTSTART:20260105T090000Z", "DURATION:one hour"),
            ("DTSTART;VALUE=DATE:20260105", "DURATION:PT1H"),
            ("DTSTART:20260105T090000Z", "DURATION:P9999999D"),
            (*HOUR, "RRULE:FREQ=SOMETIMES"),
            (*HOUR, "RRULE:"),
            (*HOUR, "RRULE:hello"),
            (*HOUR, "RRULE:FREQ=DAILY;COUNT=many"),
            (*HOUR, "RRULE:FREQ=DAILY;INTERVAL=0"),
            (*HOUR, "RRULE:FREQ=DAILY;INTERVAL=-1;COUNT=3"),
            (*HOUR, "RRULE:FREQ=DAILY;UNTIL=tomorrow"),
            (*HOUR, "RRULE:FREQ=WEEKLY;BYDAY=XX"),
            (*HOUR, "RRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0"),
            (*HOUR, "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260106T090000Z,garbage"),
            (
                *HOUR,
                "RRULE:FREQ=DAILY;COUNT=3",
                "EXDATE;TZID=Europe/Berlin 20260106T090000",
            ),
            (*HOUR, "RRULE:FREQ=DAILY;COUNT=3", "EXRULE:FREQ=NEVER"),
            (*HOUR, "RDATE:soon"),
            (*HOUR, "RECURRENCE-ID:then"),
            (*HOUR, "RECURRENCE-ID;TZID=Europe/Berlin:00010101T000000"),
        ],
    )
    def test_what_decides_time_quarantines(self, lines: tuple[str, ...]) -> None:
        """A property that decides time and cannot be read quarantines its UID, and the neighbour is read."""
        said = reading(
            calendar(vevent(*lines, uid="broken"), vevent(*HOUR, uid="sane"))
        )
        assert [(d.uid, d.reason) for d in said.defects] == [
            ("broken", Reason.BROKEN_PROPERTY)
        ]
        assert said.presence == {
            "broken": Presence.QUARANTINED,
            "sane": Presence.SERIES,
        }
        assert [o.key.uid for o in said.occurrences] == ["sane"]
        assert said.complete

    @pytest.mark.parametrize(
        "line",
        [
            "SEQUENCE:abc",
            "SEQUENCE:1.0",
            "CREATED:nonsense",
            "LAST-MODIFIED:nonsense",
            "LAST-MODIFIED;TZID=Europe/Berlin:00010101T000000",
            "DTSTAMP:nonsense",
            "GEO:1;nonsense",
            "PRIORITY:high",
            "ATTACH;ENCODING=BASE64;VALUE=BINARY:!!!",
            'ORGANIZER;CN="open:mailto:a@example.com',
            "this is no property at all",
            "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:soon\nEND:VALARM",
            "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT5M\nREPEAT:often\nEND:VALARM",
            "BEGIN:VALARM\nEND:VALARM",
            "BEGIN:X-VENDOR\nDTSTART:nonsense\nUID:other\nEND:X-VENDOR",
        ],
    )
    def test_what_decides_nothing_is_absent(self, line: str) -> None:
        """Any other property that cannot be read costs itself, never the event."""
        assert only(of_event(*HOUR, line)).key.uid == "meeting"

    def test_line_of_a_defect(self) -> None:
        """A defect names document and line, so that a person finds it, also behind folded lines."""
        body = calendar(
            vevent(*HOUR, "SUMMARY:long\n  line", uid="sane"),
            vevent("DTSTART:x", uid="broken"),
        )
        (defect,) = reading(body).defects
        assert (defect.document, body.splitlines()[defect.line - 1]) == (
            "1.ics",
            b"BEGIN:VEVENT",
        )
        assert body.splitlines()[defect.line] == b"UID:broken"

    def test_one_broken_component_quarantines_the_series(self) -> None:
        """A series of which one override is broken is quarantined whole, because its dates are not known."""
        body = calendar(
            vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=3"),
            vevent("RECURRENCE-ID:20260106T090000Z", "DTSTART:x"),
        )
        assert quarantine(reading(body)) is Reason.BROKEN_PROPERTY

    @pytest.mark.parametrize("line", [(), ("UID:",), ("UID:  ",)])
    def test_no_uid(self, line: tuple[str, ...]) -> None:
        """An event without UID has no identity: reported, never booked."""
        said = reading(
            calendar(vevent(*HOUR, *line, uid=None), vevent(*HOUR, uid="sane"))
        )
        assert [d.reason for d in said.defects] == [Reason.NO_UID]
        assert [o.key.uid for o in said.occurrences] == ["sane"]

    def test_defects_keep_private_text(self) -> None:
        """The sentence of a defect quotes nothing of what the meeting is about."""
        said = of_event(
            "DTSTART:x",
            "SUMMARY:takeover",
            'DESCRIPTION;X="takeover',
            "LOCATION:takeover",
        )
        assert "takeover" not in repr(said.defects)


class TestDuplicates:
    """Several components with one identity."""

    OLD = (*HOUR, "SUMMARY:old", "SEQUENCE:1", "LAST-MODIFIED:20260103T000000Z")

    @pytest.mark.parametrize(
        "newer",
        [
            ("SEQUENCE:2", "LAST-MODIFIED:20260101T000000Z"),
            ("SEQUENCE:1", "LAST-MODIFIED:20260104T000000Z"),
        ],
        ids=["by SEQUENCE", "then by LAST-MODIFIED"],
    )
    @pytest.mark.parametrize("reverse", [False, True])
    def test_newest(self, newer: tuple[str, ...], reverse: bool) -> None:
        """Of two events with one UID the newer counts, whatever their order, and it is noted."""
        events = [vevent(*self.OLD), vevent(*HOUR, "SUMMARY:new", *newer)]
        occurrence = only(reading(calendar(*(events[::-1] if reverse else events))))
        assert occurrence.summary == "new"
        assert [note.reason for note in occurrence.notes] == [
            Reason.DUPLICATE_COMPONENT
        ]

    def test_across_documents(self) -> None:
        """The newest counts across the documents of a source too."""
        bodies = [
            calendar(vevent(*self.OLD)),
            calendar(vevent(*HOUR, "SUMMARY:new", "SEQUENCE:2")),
        ]
        assert (
            only(reading(*bodies)).summary
            == only(reading(*bodies[::-1])).summary
            == "new"
        )

    def test_equal_copies(self) -> None:
        """Two equal copies are no matter for a person."""
        assert only(reading(calendar(vevent(*self.OLD), vevent(*self.OLD)))).notes == ()

    def test_dtstamp_is_no_revision(self) -> None:
        """Of two events at different times the later DTSTAMP, the time of the export, proves nothing."""
        events = [
            vevent(*HOUR, "DTSTAMP:20260102T000000Z"),
            vevent(
                "DTSTART:20260106T090000Z",
                "DTEND:20260106T100000Z",
                "DTSTAMP:20260101T000000Z",
            ),
        ]
        for order in (events, events[::-1]):
            assert quarantine(reading(calendar(*order))) is Reason.BROKEN_PROPERTY

    def test_no_telling_which_is_newer(self) -> None:
        """Two events with one UID at different times and nothing that tells the newer are a defect."""
        events = [vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=3"), vevent(*HOUR)]
        for order in (events, events[::-1]):
            assert quarantine(reading(calendar(*order))) is Reason.BROKEN_PROPERTY

    @pytest.mark.parametrize(
        "start", ["DTSTART:20260105T090000", "DTSTART;VALUE=DATE:20260105"]
    )
    def test_one_event_in_calendars_of_two_zones(self, start: str) -> None:
        """A floating event in two calendars of different zones is at two times, of which none is guessed."""
        bodies = [
            calendar(vevent(start, "DURATION:P1D"), head=(f"X-WR-TIMEZONE:{zone}",))
            for zone in ("Europe/Berlin", "Asia/Tokyo")
        ]
        (defect,) = reading(*bodies).defects
        assert defect.reason is Reason.BROKEN_PROPERTY
        assert reading(*bodies).presence == {"meeting": Presence.QUARANTINED}
        assert only(reading(bodies[0], bodies[0])).notes == ()

    def test_two_uids_in_one_event(self) -> None:
        """An event with two UIDs shows that lines are lost: neither of the two is gone."""
        body = calendar(vevent(*HOUR, "UID:other"), vevent(*HOUR, uid="sane"))
        said = reading(body)
        quarantined = [
            uid
            for uid, presence in said.presence.items()
            if presence is Presence.QUARANTINED
        ]
        assert sorted(quarantined) == ["meeting", "other"]
        assert [o.key.uid for o in said.occurrences] == ["sane"]

    def test_broken_sequence_counts_as_none(self) -> None:
        """A SEQUENCE that cannot be read counts as 0."""
        events = [vevent(*HOUR, "SUMMARY:broken", "SEQUENCE:9x"), vevent(*self.OLD)]
        assert only(reading(calendar(*events))).summary == "old"

    def test_escaped_uid(self) -> None:
        r"""`\,` in a UID is the comma that another writer leaves bare."""
        events = [
            vevent(*self.OLD, uid="a\\,b"),
            vevent(*HOUR, "SUMMARY:new", "SEQUENCE:2", uid="a,b"),
        ]
        occurrence = only(reading(calendar(*events)))
        assert (occurrence.key.uid, occurrence.summary) == ("a,b", "new")

    def test_scope(self) -> None:
        """The scope is part of every key."""
        assert (
            only(reading(calendar(vevent(*HOUR)), scope="office")).key.scope == "office"
        )


class TestOrganizersCopy:
    """Whose calendar it is, and who says so."""

    EVENT = (*HOUR, "ORGANIZER;CN=Alice:MAILTO:Alice@example.com")

    @pytest.mark.parametrize(
        ("name", "head", "authority"),
        [
            ("alice@example.com.ics", (), Authority.ORGANIZER),
            ("/srv/calendars/Alice@Example.com.ICS", (), Authority.ORGANIZER),
            ("1.ics", ("X-WR-CALNAME:alice@example.com",), Authority.CLAIMED),
            (
                "1.ics",
                ("X-OWNER;CN=Alice:mailto:alice@example.com",),
                Authority.CLAIMED,
            ),
            ("1.ics", ("X-WR-RELCALID:alice@example.com",), Authority.CLAIMED),
        ],
    )
    def test_known(
        self, name: str, head: tuple[str, ...], authority: Authority
    ) -> None:
        """The name of a file is the administrator's word, a property only the calendar's own."""
        assert self.copy(name, head).authority is authority

    @pytest.mark.parametrize(
        ("name", "authority"),
        [
            ("calendar.ics", Authority.ORGANIZER),
            ("alice@example.com.ics", Authority.ORGANIZER),
            ("bob@example.com.ics", Authority.GUEST),
        ],
    )
    def test_owner_of_the_source(self, name: str, authority: Authority) -> None:
        """What the configuration says of a source holds for its files that are not named after somebody."""
        said = self.said(
            (name, calendar(vevent(*self.EVENT))), owner="alice@example.com"
        )
        assert only(said).authority is authority

    @pytest.mark.parametrize(
        ("name", "head"),
        [
            ("alice.ics", ("X-WR-CALNAME:Alice",)),
            ("bob@example.com.ics", ()),
            ("1.ics", ("X-WR-CALNAME:Meetings with alice@example.com",)),
        ],
    )
    def test_not_known(self, name: str, head: tuple[str, ...]) -> None:
        """Another's calendar is not, and neither is one that only mentions the address."""
        assert self.copy(name, head).authority is Authority.GUEST

    def test_event_without_organizer(self) -> None:
        """An event without organizer is nobody's copy."""
        said = self.said(("alice@example.com.ics", calendar(vevent(*HOUR))))
        assert only(said).authority is Authority.NOBODY

    @pytest.mark.parametrize("reverse", [False, True])
    def test_decides_in_a_directory(self, reverse: bool) -> None:
        """Among the files of one source the organizer's decides, unless it is off and another went on."""
        mine = ("alice@example.com.ics", calendar(vevent(*self.EVENT, "SUMMARY:hers")))
        off = (
            mine[0],
            calendar(vevent(*self.EVENT, "SUMMARY:hers", "STATUS:CANCELLED")),
        )
        guest = (
            "bob@example.com.ics",
            calendar(vevent(*self.EVENT, "SUMMARY:his", "SEQUENCE:3")),
        )
        for files, summary in (([mine, guest], "hers"), ([off, guest], "his")):
            assert (
                only(self.said(*(files[::-1] if reverse else files))).summary == summary
            )

    def copy(self, name: str, head: tuple[str, ...]) -> Occurrence:
        """The event as one document shows it."""
        return only(self.said((name, calendar(vevent(*self.EVENT), head=head))))

    def said(self, *files: tuple[str, bytes], owner: str | None = None) -> Reading:
        """What a source with these files says."""
        return read(
            [Document(name, body) for name, body in files],
            source="office",
            scope="",
            locale=Locale(default=ZoneInfo("Europe/Berlin"), owner=owner),
            window=Window.ahead(NOW, timedelta(days=30)),
            at=NOW,
        )


class TestCancellation:
    """What tells that a meeting is off."""

    def test_status(self) -> None:
        """STATUS:CANCELLED is told."""
        assert only(of_event(*HOUR, "STATUS:CANCELLED")).cancelled

    def test_method(self) -> None:
        """METHOD:CANCEL cancels every event of its calendar, and no other calendar's."""
        bodies = [
            calendar(vevent(*HOUR, uid="off"), head=("METHOD:CANCEL",)),
            calendar(vevent(*HOUR, uid="on"), head=("METHOD:PUBLISH",)),
        ]
        said = reading(b"".join(bodies))
        assert {o.key.uid: o.cancelled for o in said.occurrences} == {
            "off": True,
            "on": False,
        }

    @pytest.mark.parametrize("reverse", [False, True])
    def test_method_beside_the_event(self, reverse: bool) -> None:
        """A cancellation counts before the event of the same SEQUENCE, in any order."""
        bodies = [
            calendar(vevent(*HOUR)),
            calendar(vevent(*HOUR), head=("METHOD:CANCEL",)),
        ]
        assert only(reading(*(bodies[::-1] if reverse else bodies))).cancelled

    @pytest.mark.parametrize("length", ["", "DURATION:PT1H", "DURATION:P1D"])
    def test_without_start(self, length: str) -> None:
        """A cancellation may leave DTSTART out: the UID is there, with no date left, however long it was."""
        lines = ["SEQUENCE:1", length] if length else ["SEQUENCE:1"]
        said = reading(calendar(vevent(*lines), head=("METHOD:CANCEL",)))
        assert (said.occurrences, said.defects) == ((), ())
        assert said.presence == {"meeting": Presence.SERIES}

    def test_of_one_date(self) -> None:
        """A cancellation of one date without DTSTART cancels that date."""
        bodies = [
            calendar(vevent(*HOUR, "RRULE:FREQ=DAILY;COUNT=3")),
            calendar(vevent("RECURRENCE-ID:20260106T090000Z"), head=("METHOD:CANCEL",)),
        ]
        said = reading(*bodies)
        decided = [seen.occurrence for seen in merge({said.source: said})]
        assert [(o.key.recurrence_id, o.cancelled) for o in decided] == [
            ("20260105T090000Z", False),
            ("20260106T090000Z", True),
            ("20260107T090000Z", False),
        ]


class TestContent:
    """What an occurrence carries for the mapper."""

    def test_alarms(self) -> None:
        """Relative and absolute triggers are read, ACTION NONE and unreadable ones are none."""
        alarms = [
            "ACTION:DISPLAY\nTRIGGER:-PT15M",
            "ACTION:DISPLAY\nTRIGGER;RELATED=END:-P1DT1H",
            "ACTION:AUDIO\nTRIGGER;VALUE=DATE-TIME:20260105T080000Z",
            "ACTION:NONE\nTRIGGER:-PT1M",
            "ACTION:DISPLAY\nTRIGGER:whenever",
            "ACTION:DISPLAY\nTRIGGER:-P999999D",
        ]
        lines = [f"BEGIN:VALARM\n{alarm}\nEND:VALARM" for alarm in alarms]
        assert only(of_event(*HOUR, *lines)).alarms == (
            Alarm(offset=timedelta(minutes=-15)),
            Alarm(offset=-timedelta(days=1, hours=1), from_end=True),
            Alarm(at=datetime(2026, 1, 5, 8, tzinfo=UTC)),
        )

    def test_attachments(self) -> None:
        """Links and inline data come with name, size and type; what cannot be decoded is kept as such."""
        occurrence = only(
            of_event(
                *HOUR,
                "ATTACH;FILENAME=a.pdf;SIZE=1024;FMTTYPE=application/pdf:https://example.com/x",
                "ATTACH;X-FILENAME=b.txt:https://example.com/y",
                "ATTACH;SIZE=big:https://example.com/z",
                "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=c.txt:aGVsbG8=",
                "ATTACH;ENCODING=BASE64;FMTTYPE=text/plain:aGVsbG8=",
                "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=d.txt:!!!",
            )
        )
        assert occurrence.attachments == (
            Link("https://example.com/x", "a.pdf", 1024, "application/pdf"),
            Link("https://example.com/y", "b.txt"),
            Link("https://example.com/z"),
            Inline(b"hello", "c.txt"),
            Inline(b"hello", None, "text/plain"),
            Inline(None, "d.txt"),
        )

    @pytest.mark.parametrize(
        ("lines", "link"),
        [
            (
                ("URL:https://u.example", "X-GOOGLE-CONFERENCE:https://g.example"),
                "https://g.example",
            ),
            (
                (
                    "X-MICROSOFT-SKYPETEAMSMEETINGURL:https://m.example",
                    "X-GOOGLE-CONFERENCE:https://g.example",
                ),
                "https://g.example",
            ),
            (
                (
                    "URL:https://u.example",
                    "X-MICROSOFT-SKYPETEAMSMEETINGURL:https://m.example",
                ),
                "https://m.example",
            ),
            (
                (
                    "X-GOOGLE-CONFERENCE:https://g.example",
                    "CONFERENCE;VALUE=URI;FEATURE=PHONE:tel:+49",
                    'CONFERENCE;VALUE=URI;FEATURE=VIDEO;LABEL="a:b":https://c.example/a;b?c=d,e',
                ),
                "https://c.example/a;b?c=d,e",
            ),
            (("URL:ftp://u.example",), ""),
        ],
    )
    def test_joining_link(self, lines: tuple[str, ...], link: str) -> None:
        """The link is that of CONFERENCE, then vendors' properties, then URL; only web addresses count."""
        assert only(of_event(*HOUR, *lines)).joining_link == link

    @pytest.mark.parametrize(
        ("line", "flags"),
        [
            ("TRANSP:TRANSPARENT", (True, False, False)),
            ("STATUS:TENTATIVE", (False, True, False)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE", (False, True, False)),
            (
                "STATUS:CONFIRMED\nX-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE",
                (False, False, False),
            ),
            ("CLASS:PRIVATE", (False, False, True)),
            ("CLASS:confidential", (False, False, True)),
            ("CLASS:PUBLIC", (False, False, False)),
        ],
    )
    def test_flags(self, line: str, flags: tuple[bool, bool, bool]) -> None:
        """TRANSP, STATUS and CLASS are read in any letter case."""
        occurrence = only(of_event(*HOUR, line))
        assert (
            occurrence.transparent,
            occurrence.tentative,
            occurrence.private,
        ) == flags

    def test_stamps(self) -> None:
        """CREATED and LAST-MODIFIED are instants, SEQUENCE is a number."""
        occurrence = only(
            of_event(
                *HOUR,
                "CREATED:20250101T000000Z",
                "LAST-MODIFIED:20250102T000000Z",
                "SEQUENCE:3",
            )
        )
        assert (occurrence.created, occurrence.last_modified, occurrence.sequence) == (
            datetime(2025, 1, 1, tzinfo=UTC),
            datetime(2025, 1, 2, tzinfo=UTC),
            3,
        )

    def test_fingerprint(self) -> None:
        """The fingerprint follows what the calendar says, not stamps, lines and revisions."""
        plain = only(of_event(*HOUR, "SUMMARY:A")).fingerprint
        stamped = (
            "X-OTHER:1",
            "DTSTAMP:20260101T000000Z",
            "SEQUENCE:7",
            "LAST-MODIFIED:20260101T000000Z",
        )
        assert only(of_event(*stamped, *HOUR, "SUMMARY:A")).fingerprint == plain
        assert only(of_event(*HOUR, "SUMMARY:B")).fingerprint != plain


class TestDocuments:
    """Bytes to text, and whether a document is whole."""

    BODY = calendar(
        vevent(*HOUR, "SUMMARY:Grüße aus Köln, 会议 🎉", "DESCRIPTION:one\\ntwo")
    )

    @pytest.mark.parametrize(
        "body",
        [
            b"\xef\xbb\xbf" + BODY,
            BODY.replace(b"\r\n", b"\n"),
            BODY.replace(b"\r\n", b"\r"),
            BODY.replace(b"\r\n", b"\n", 4),
            BODY.decode().encode("utf-16"),
            BODY + b"\r\n\r\n",
            BODY.replace("ü".encode(), b"\xc3\r\n \xbc"),
            BODY.replace("🎉".encode(), b"\xf0\x9f\r\n\t\x8e\x89").replace(
                "会".encode(), b"\xe4\r\n \xbc\x9a"
            ),
            BODY.replace(b"SUMMARY", b"SUM\r\n MARY").replace(
                b"BEGIN:VEVENT", b"begin:vevent"
            ),
            b"\xef\xbb\xbf" * 2 + BODY.replace(b"DTSTART", b"\xef\xbb\xbfDTSTART"),
            BODY.decode().encode("utf-16-le"),
            BODY.decode().encode("utf-16-be"),
            BODY.replace(b"\r\n", b"\r\r\n"),
            BODY.replace("会".encode(), b"\xe4\r\n \xbc\r\n \x9a"),
            BODY.replace(b"K", b"K\0"),
            BODY + b"\x1a",
            BODY.rstrip() + BODY.replace(b"UID:meeting", b"UID:other"),
        ],
        ids=[
            *(
                "BOM",
                "LF",
                "CR",
                "mixed",
                "UTF-16",
                "blank lines",
                "fold",
                "folds",
                "folded name",
            ),
            *(
                "BOMs",
                "UTF-16LE",
                "UTF-16BE",
                "CR CR LF",
                "two folds",
                "a zero",
                "end of file",
                "joined",
            ),
        ],
    )
    def test_spellings(self, body: bytes) -> None:
        """Byte order marks, line ends, encodings and folds, inside a character too, change nothing."""
        assert (
            reading(body).occurrences[0].fingerprint
            == reading(self.BODY).occurrences[0].fingerprint
        )

    def test_fold_inside_a_character_keeps_lines(self) -> None:
        """The line of a defect is right although a fold fell inside a character before it."""
        folded = self.BODY.replace("ü".encode(), b"\xc3\r\n \xbc")
        body = folded.replace(
            b"END:VCALENDAR",
            vevent("DTSTART:x", uid="broken").encode() + b"\r\nEND:VCALENDAR",
        )
        (defect,) = reading(body).defects
        assert body.splitlines()[defect.line].strip() == b"UID:broken"

    def test_windows_1252(self) -> None:
        """A body that is no UTF-8 is read as Windows-1252, and no event is lost over a letter."""
        body = calendar(vevent(*HOUR, "SUMMARY:Grüße – Köln")).decode().encode("cp1252")
        assert only(reading(body)).summary == "Grüße – Köln"

    def test_one_wrong_byte(self) -> None:
        """A byte that is no UTF-8 changes no letter beside it, and no other event."""
        body = calendar(
            vevent(*HOUR, "SUMMARY:Grüße X"), vevent(*HOUR, "SUMMARY:Köln", uid="über")
        )
        said = reading(body.replace(b" X", b" \xfc"))
        assert [(o.key.uid, o.summary) for o in said.occurrences] == [
            ("meeting", "Grüße ü"),
            ("über", "Köln"),
        ]

    def test_several_calendars(self) -> None:
        """Several VCALENDARs in one body are all read."""
        said = reading(
            calendar(vevent(*HOUR, uid="a")) + calendar(vevent(*HOUR, uid="b"))
        )
        assert [o.key.uid for o in said.occurrences] == ["a", "b"]

    def test_empty_calendar_is_complete(self) -> None:
        """A whole calendar without events is a statement."""
        said = reading(calendar())
        assert (said.complete, said.readable, said.events, said.documents) == (
            True,
            True,
            0,
            1,
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" \r\n",
            b"<!DOCTYPE html><html><body>Please log in</body></html>",
            b"<?xml version='1.0'?><error/>",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"\xef\xbb\xbf",
            b"\x1a",
            BODY.replace(b"SUMMARY", b"\0" * 512 + b"SUMMARY"),
            BODY + b"Fatal error: out of memory",
            b"\x1f\x8b\x08\x08abc",
            b"not found",
            BODY[: len(BODY) // 2],
            BODY.replace(b"END:VCALENDAR\r\n", b""),
            BODY.replace(b"END:VEVENT\r\n", b""),
            BODY.replace(b"BEGIN:VCALENDAR\r\n", b""),
            BODY + BODY[:40],
            BODY.replace(b"END:VEVENT", b"END:VTODO"),
            vevent(*HOUR).encode(),
            b"\xff\xfeB\0E\0G",
        ],
    )
    def test_incomplete(self, body: bytes) -> None:
        """A cut, empty, damaged or foreign body makes the reading incomplete and contributes nothing."""
        said = reading(body)
        assert not said.complete
        assert not said.readable
        assert (said.occurrences, said.presence) == ((), {})
        assert said.error is not None
        assert said.error.startswith("1.ics ")

    def test_one_bad_document(self) -> None:
        """A directory with one broken file is incomplete, and the others still speak."""
        said = reading(
            calendar(vevent(*HOUR)), b"<html>", problems=("3.ics cannot be opened",)
        )
        assert (said.complete, said.readable) == (False, True)
        assert keys(said) == [None]
        assert said.error is not None
        assert "2.ics" in said.error
        assert "3.ics" in said.error

    def test_control_characters(self) -> None:
        """Separators that Python takes for line ends split no content line."""
        text = "a\x0bb\x0cc\x1cd\x85e\u2028f"
        assert (
            only(reading(calendar(vevent(*HOUR, f"DESCRIPTION:{text}")))).description
            == text
        )

    @pytest.mark.parametrize(
        ("heads", "expected"),
        [
            ((("REFRESH-INTERVAL;VALUE=DURATION:PT2H",),), timedelta(hours=2)),
            ((("X-PUBLISHED-TTL:PT30M",),), timedelta(minutes=30)),
            (
                (("X-PUBLISHED-TTL:PT30M", "REFRESH-INTERVAL;VALUE=DURATION:PT2H"),),
                timedelta(hours=2),
            ),
            (
                (("X-PUBLISHED-TTL:PT30M",), ("X-PUBLISHED-TTL:PT1H",), ()),
                timedelta(hours=1),
            ),
            ((("X-PUBLISHED-TTL:P1W",),), timedelta(days=1)),
            ((("X-PUBLISHED-TTL:-PT1H",),), None),
            ((("X-PUBLISHED-TTL:hourly",),), None),
            (((),), None),
        ],
    )
    def test_refresh(
        self, heads: tuple[tuple[str, ...], ...], expected: timedelta | None
    ) -> None:
        """The longest time after which one of the calendars asks to be read again, a day at most."""
        assert (
            reading(*(calendar(head=head) for head in heads)).refresh_after == expected
        )

    def test_digest(self) -> None:
        """The digest identifies the bytes."""
        assert (
            reading(self.BODY).digest
            == reading(self.BODY).digest
            != reading(self.BODY + b"\r\n").digest
        )

    def test_order_changes_nothing(self) -> None:
        """Components in reverse order give the same occurrences."""
        components = [
            vtimezone("Ours", "+0300"),
            vevent(
                "DTSTART;TZID=Ours:20260105T090000",
                "DURATION:PT1H",
                "RRULE:FREQ=DAILY;COUNT=4",
                uid="series",
            ),
            vevent(
                "RECURRENCE-ID;TZID=Ours;RANGE=THISANDFUTURE:20260107T090000",
                "DTSTART;TZID=Ours:20260107T100000",
                "DURATION:PT1H",
                uid="series",
            ),
            vevent("RECURRENCE-ID:20260106T060000Z", *HOUR, uid="series"),
            vevent(*HOUR, "SEQUENCE:1", "SUMMARY:one", uid="twice"),
            vevent(*HOUR, "SEQUENCE:2", "SUMMARY:two", uid="twice"),
            vevent(*HOUR, "SUMMARY:x", uid="tie"),
            vevent(*HOUR, "SUMMARY:y", uid="tie"),
        ]
        forth, back = (
            reading(calendar(*components)),
            reading(calendar(*components[::-1])),
        )
        assert [(o.key, o.fingerprint) for o in forth.occurrences] == [
            (o.key, o.fingerprint) for o in back.occurrences
        ]
        assert forth.presence == back.presence


class TestCost:
    """What one event may cost, in work and memory; what is cut is said."""

    BEGUN = ("DTSTART;TZID=Europe/Berlin:20160104T090000", "DURATION:PT1H")

    @pytest.mark.parametrize(
        "lines",
        [
            ("RRULE:FREQ=SECONDLY",),
            ("RRULE:FREQ=SECONDLY;COUNT=999999999",),
            (
                "RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=9;BYMINUTE="
                + ",".join(map(str, range(60))),
            ),
        ],
        ids=["endless", "counted", "yearly"],
    )
    def test_flood(self, lines: tuple[str, ...]) -> None:
        """A flood of dates is cut before it costs anything, and the defect says so.

        What costs without giving dates, as where rules exclude them all, is ended from outside (test_bounds).
        """
        body = calendar(
            vevent(*self.BEGUN, *lines, uid="flood"), vevent(*HOUR, uid="sane")
        )
        said: list[Reading] = []
        work = steps(lambda: said.append(reading(body)))
        assert [(d.uid, d.reason) for d in said[0].defects] == [
            ("flood", Reason.TOO_MANY_OCCURRENCES)
        ]
        assert "more than" in said[0].defects[0].detail
        assert [o.key.uid for o in said[0].occurrences] == ["sane"]
        assert work < 3_000_000

    def test_memory_of_a_flood(self) -> None:
        """What a flood would give is never held at once."""
        body = calendar(vevent(*self.BEGUN, "RRULE:FREQ=SECONDLY", uid="flood"))
        assert peak(lambda: quarantine(reading(body))) < 10_000_000

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=MINUTELY;BYHOUR=3;INTERVAL=2;BYMINUTE=1",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=9",
            "FREQ=WEEKLY",
        ],
    )
    def test_old_series(self, rule: str) -> None:
        """A series of ten years costs what its window costs, also where it gives no date at all."""
        assert steps(lambda: of_event(*self.BEGUN, f"RRULE:{rule}")) < 60_000

    @pytest.mark.parametrize(
        "kind", ["EXDATE lines", "EXDATE list", "RDATE", "override", "range", "UID"]
    )
    def test_many(self, kind: str) -> None:
        """Twice as many exclusions, added dates, moved dates or events cost twice as much, not four times."""

        def work(count: int) -> int:
            begun = datetime(2024, 1, 4, 9, tzinfo=UTC)
            days = [f"{begun + timedelta(days=n):%Y%m%dT%H%M%S}" for n in range(count)]
            series = (*self.BEGUN, "RRULE:FREQ=DAILY")
            zone = "TZID=Europe/Berlin"
            match kind:
                case "EXDATE lines":
                    events = [
                        vevent(*series, *(f"EXDATE;{zone}:{day}" for day in days))
                    ]
                case "EXDATE list":
                    events = [vevent(*series, f"EXDATE;{zone}:{','.join(days)}")]
                case "RDATE":
                    events = [
                        vevent(*self.BEGUN, *(f"RDATE;{zone}:{day}" for day in days))
                    ]
                case "UID":
                    events = [vevent(*self.BEGUN, uid=day) for day in days]
                case _:
                    rest = ";RANGE=THISANDFUTURE" if kind == "range" else ""
                    moved = (
                        vevent(
                            f"RECURRENCE-ID{rest};{zone}:{day}",
                            f"DTSTART;{zone}:{day}",
                            "DURATION:PT2H",
                        )
                        for day in days
                    )
                    events = [vevent(*series), *moved]
            return steps(lambda: reading(calendar(*events), days=30))

        few, many = work(150), work(300)
        assert many < 2.3 * few

    def test_long_text(self) -> None:
        """Of a folded megabyte as much is kept as is looked at, in memory of its size some times over."""
        text = "\r\n ".join(["y\\, z" * 14] * 14_000)
        body = calendar(vevent(*HOUR, "DESCRIPTION:@")).replace(b"@", text.encode())
        whole = "y, z" * 14 * 14_000
        kept = only(reading(body)).description
        assert TEXT_READ - 1 <= len(kept) <= TEXT_READ
        assert whole.startswith(kept)
        assert peak(lambda: reading(body)) < 40 * len(body)


class TestOver:
    """Events that are certainly over, which are most of a calendar."""

    OVER = ("DTSTART:20200105T090000Z", "DTEND:20200105T100000Z")

    def test_stands_as_a_series(self) -> None:
        """What is over is there, without a coming date; what is not there is not."""
        said = reading(calendar(vevent(*self.OVER), vevent(*HOUR, uid="coming")))
        assert [o.key.uid for o in said.occurrences] == ["coming"]
        assert said.presence["meeting"] is Presence.SERIES
        assert "meeting" in said.presence
        assert "gone" not in said.presence
        assert said.presence.get("") is None
        assert dict(said.presence) == {"coming": Presence.SERIES}
        assert said.events == 2

    def test_is_not_looked_into(self) -> None:
        """What is wrong with an event that is over is not told, unless somebody asks for its UID."""
        body = calendar(
            vevent(*self.OVER, "RECURRENCE-ID;TZID=Nowhere:20200105T090000")
        )
        assert reading(body).defects == ()
        asked = reading(body, booked=("meeting",))
        assert asked.presence["meeting"] is Presence.QUARANTINED
        assert [defect.reason for defect in asked.defects] == [Reason.UNKNOWN_TIMEZONE]

    def test_booked_override(self) -> None:
        """An override that is over and booked stands for its date only."""
        body = calendar(vevent(*self.OVER, "RECURRENCE-ID:20200105T090000Z"))
        assert (
            reading(body, booked=("meeting",)).presence["meeting"] is Presence.DETACHED
        )

    def test_one_part_is_not_over(self) -> None:
        """Where one component of a UID is not over all of them count."""
        moved = vevent("RECURRENCE-ID:20200105T090000Z", *HOUR)
        said = reading(
            calendar(vevent(*self.OVER, "RRULE:FREQ=DAILY;UNTIL=20200110"), moved)
        )
        assert keys(said) == ["20200105T090000Z"]
        assert said.presence["meeting"] is Presence.SERIES

    def test_unreadable_beside_it(self) -> None:
        """Events that are over make a source readable in which another document is broken."""
        said = reading(calendar(vevent(*self.OVER)), b"")
        assert (said.readable, said.complete) == (True, False)

    def test_cost(self) -> None:
        """Hundreds of them cost a small part of what hundreds that are not over cost."""
        over, coming = (
            [calendar(*(vevent(*times, uid=f"{n}") for n in range(300)))]
            for times in (self.OVER, HOUR)
        )
        assert steps(lambda: reading(*over)) < steps(lambda: reading(*coming)) / 4
