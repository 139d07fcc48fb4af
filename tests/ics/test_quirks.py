"""What calendar programs write otherwise than the RFC: what is repaired, and what is left alone."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest

from syncd.core.occurrence import Days, Moment, Timespan
from syncd.core.reasons import Reason
from syncd.ics import quirks
from tests.intake.test_whole import (
    calendar,
    keys,
    of_event,
    only,
    quarantine,
    reading,
    starts,
    vevent,
)

HOUR = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")
BERLIN = (
    "DTSTART;TZID=Europe/Berlin:20260105T090000",
    "DTEND;TZID=Europe/Berlin:20260105T100000",
)


class TestTimes:
    """Dates and times in other spellings."""

    @pytest.mark.parametrize(
        "line",
        [
            "DTSTART:20260105t090000z",
            "DTSTART: 20260105T090000Z ",
            "DTSTART :20260105T090000Z",
            "dtstart:20260105T090000Z",
            "DTSTART:2026-01-05T09:00:00Z",
            "DTSTART:2026-01-05T10:00+01:00",
            "DTSTART:20260105T020000-0700",
            "DTSTART:20260105T090000Z\nDTSTART:20260105T090000Z",
            "DTSTART;TZID=tzone://Microsoft/Utc:20260105T090000",
            'DTSTART;TZID="tzone://Microsoft/Utc":20260105T090000',
        ],
    )
    def test_start(self, line: str) -> None:
        """A start that can mean one instant only is that instant."""
        assert starts(of_event(line, "DURATION:PT1H")) == ["20260105T0900Z"]

    @pytest.mark.parametrize(
        "line",
        [
            "DTSTART:20260105T09",
            "DTSTART:2026-W02-1T09:00:00Z",
            "DTSTART:20260105T090000+9900",
            "DTSTART:05.01.2026 09:00",
            "DTSTART;VALUE=DATE:20260105T090000",
        ],
    )
    def test_no_start(self, line: str) -> None:
        """A start that somebody would have to guess at is none."""
        assert quarantine(of_event(line, "DURATION:PT1H")) is Reason.BROKEN_PROPERTY

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTSTART:20260105", "DTEND:20260107"),
            ("DTSTART;VALUE=DATE:20260105T000000", "DTEND;VALUE=DATE:20260107T000000"),
            (
                "DTSTART;TZID=Europe/Berlin:20260105T000000",
                "DTEND;TZID=Europe/Berlin:20260107T000000",
                "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
            ),
        ],
        ids=["bare date", "date with midnight", "flag of Outlook"],
    )
    def test_whole_days(self, lines: tuple[str, ...]) -> None:
        """Whole days in vendors' spellings are whole days."""
        when = only(of_event(*lines)).when
        assert isinstance(when, Days)
        assert (f"{when.start:%Y%m%d}", f"{when.end:%Y%m%d}") == (
            "20260105",
            "20260107",
        )

    @pytest.mark.parametrize(
        "lines",
        [
            (*BERLIN, "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"),
            (
                "DTSTART;TZID=Europe/Berlin:20260105T000000",
                "DTEND;TZID=Asia/Tokyo:20260107T000000",
                "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
            ),
            (
                "DTSTART;TZID=Europe/Berlin:20260105T000000",
                "DTEND;TZID=Europe/Berlin:20260107T000000",
                "X-MICROSOFT-CDO-ALLDAYEVENT:FALSE",
            ),
        ],
        ids=["not midnight", "two zones", "not flagged"],
    )
    def test_no_whole_days(self, lines: tuple[str, ...]) -> None:
        """Outlook's flag counts only where both ends are midnights of one zone."""
        assert isinstance(only(of_event(*lines)).when, Timespan)

    def test_whole_days_in_utc(self) -> None:
        """A date that is taken out of whole days as its local midnight in UTC is that local day."""
        said = of_event(
            "DTSTART;VALUE=DATE:20260105",
            "RRULE:FREQ=DAILY;UNTIL=20260107T230000Z",
            "EXDATE:20260106T230000Z",
        )
        assert keys(said) == ["20260105", "20260106", "20260108"]

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTEND:", "DURATION:PT1H"),
            ("DTEND:20260105T100000Z", "DURATION:P"),
            ("DURATION:pt60m",),
        ],
    )
    def test_length(self, lines: tuple[str, ...]) -> None:
        """An empty end or duration leaves the word to the other."""
        when = only(of_event("DTSTART:20260105T090000Z", *lines)).when
        assert isinstance(when, Timespan)
        assert f"{when.end:%H%M}" == "1000"

    @pytest.mark.parametrize("length", ["P", "PT", "-P", "+PT", " p "])
    def test_empty_length(self, length: str) -> None:
        """A length without any part is no length: the event is a moment."""
        when = only(of_event("DTSTART:20260105T090000Z", f"DURATION:{length}")).when
        assert when == Moment(datetime(2026, 1, 5, 9, tzinfo=UTC))

    @pytest.mark.parametrize(
        "lines", [("DTEND:",), ("DURATION:",), ("DTEND:", "DURATION:")]
    )
    def test_no_length(self, lines: tuple[str, ...]) -> None:
        """An empty end with nothing beside it is not an event without length: something is lost."""
        assert (
            quarantine(of_event("DTSTART:20260105T090000Z", *lines))
            is Reason.BROKEN_PROPERTY
        )


class TestSeries:
    """Rules and lists of dates."""

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=DAILY;COUNT=2;",
            ";FREQ=DAILY;;COUNT=2",
            "freq=daily; count=2",
            "FREQ=DAILY;COUNT=2;BYDAY=",
        ],
    )
    def test_loose_ends(self, rule: str) -> None:
        """Semicolons too many and empty lists in a rule mean nothing."""
        assert starts(of_event(*HOUR, f"RRULE:{rule}")) == [
            "20260105T0900Z",
            "20260106T0900Z",
        ]

    @pytest.mark.parametrize(
        "line",
        ["RRULE:", "RRULE:FREQ=DAILY;COUNT=", "RRULE:FREQ=DAILY;UNTIL=", "RDATE:"],
    )
    def test_something_is_lost(self, line: str) -> None:
        """An empty rule, end or list of added dates is not taken for none: dates would be cancelled."""
        assert quarantine(of_event(*HOUR, line)) is Reason.BROKEN_PROPERTY

    @pytest.mark.parametrize(
        "name", ["RRULE;FREQ=DAILY", "EXDATE 20260106T090000Z", "RRULE FREQ=DAILY"]
    )
    def test_no_colon(self, name: str) -> None:
        """A line without colon whose name decides time quarantines, behind a description too."""
        assert (
            quarantine(of_event(*HOUR, "DESCRIPTION:x", name)) is Reason.BROKEN_PROPERTY
        )

    @pytest.mark.parametrize(
        "line",
        [
            "EXDATE:20260106T090000",
            "EXDATE:20260106T090000,",
            "EXDATE:, 20260106T090000",
            "EXDATE:20260106T090000\nEXDATE:",
            "EXDATE:20260106T080000Z,20270101T090000",
        ],
    )
    def test_zone_of_the_series(self, line: str) -> None:
        """A date without zone in a zoned series is in its zone, whatever the zone of other floating times."""
        said = reading(
            calendar(vevent(*BERLIN, "RRULE:FREQ=DAILY;COUNT=3", line)),
            zone="Asia/Tokyo",
        )
        assert starts(said) == ["20260105T0800Z", "20260107T0800Z"]

    def test_zone_of_the_series_in_utc(self) -> None:
        """A date without zone in a series in UTC is in UTC."""
        said = of_event(
            *HOUR,
            "RRULE:FREQ=DAILY;COUNT=2",
            "EXDATE:20260106T090000",
            "RDATE:20260108T090000",
        )
        assert starts(said) == ["20260105T0900Z", "20260108T0900Z"]

    def test_override_without_zone(self) -> None:
        """A floating RECURRENCE-ID is in the zone of the series, not in that of the moved date."""
        body = calendar(
            vevent(*BERLIN, "RRULE:FREQ=DAILY;COUNT=2"),
            vevent(
                "RECURRENCE-ID:20260106T090000",
                "DTSTART;TZID=America/New_York:20260106T090000",
                "DURATION:PT1H",
            ),
        )
        said = reading(body, zone="Asia/Tokyo")
        assert keys(said) == ["20260105T080000Z", "20260106T080000Z"]
        assert starts(said) == ["20260105T0800Z", "20260106T1400Z"]


class TestText:
    """Text with bare line ends, and words."""

    def test_bare_line_ends(self) -> None:
        """What people wrote stays one description, and none of it becomes a property."""
        occurrence = only(
            of_event(
                "DESCRIPTION:Join here:",
                "https://example.com/j/1",
                "Duration: one hour",
                "Location: room 9",
                "no colon",
                "LOCATION:Board room",
                *HOUR,
            )
        )
        assert occurrence.description == (
            "Join here:\nhttps://example.com/j/1\nDuration: one hour\nLocation: room 9\nno colon"
        )
        assert occurrence.location == "Board room"

    @pytest.mark.parametrize(
        "line",
        [
            "Rrule:FREQ=DAILY;COUNT=2",
            "Rrule: FREQ=DAILY;COUNT=2",
            "rrule:FREQ=DAILY;COUNT=2",
        ],
    )
    def test_properties_behind_text(self, line: str) -> None:
        """A property in any letter case behind a text is a property when its value is one."""
        assert len(of_event("DESCRIPTION:x", line, *HOUR).occurrences) == 2

    @pytest.mark.parametrize("status", ["CANCELED", " Cancelled ", "cancelled"])
    def test_cancelled(self, status: str) -> None:
        """A cancelled event is cancelled in any spelling."""
        assert only(of_event(*HOUR, f"STATUS:{status}")).cancelled

    def test_decimal_sequence(self) -> None:
        """`1.0` is the number 1, and `1.5` is none."""
        assert only(of_event(*HOUR, "SEQUENCE:1.0")).sequence == 1
        assert only(of_event(*HOUR, "SEQUENCE:1.5")).sequence == 0

    def test_empty_properties(self) -> None:
        """Empty properties that decide nothing cost nothing."""
        occurrence = only(
            of_event(
                *HOUR, "LOCATION:", "SUMMARY:", "ORGANIZER:", "CLASS:", "URL:", "GEO:"
            )
        )
        assert (occurrence.location, occurrence.summary) == ("", "")

    def test_html_text_has_escapes(self) -> None:
        """X-ALT-DESC is text with the escapes of text."""
        assert (
            only(of_event(*HOUR, "X-ALT-DESC:<p>a\\, b\\nc\\\\d</p>")).description
            == "<p>a, b\nc\\d</p>"
        )


def test_every_repair_names_its_reason() -> None:
    """Each repair in the list says in its docstring what it is about, and stands in the list once."""
    assert len(set(quirks.REPAIRS)) == len(quirks.REPAIRS)
    assert all(
        len((inspect.getdoc(repair) or "").split()) >= 5 for repair in quirks.REPAIRS
    )
