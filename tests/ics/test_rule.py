"""Recurrence rules: what RFC 5545 section 3.3.10 says, corner by corner, and at what cost."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from syncd.ics.rule import BrokenRule, Rule
from syncd.ics.rule_dates import Recurrence
from tests.intake.test_whole import steps

DECADES = timedelta(days=365 * 40)


def wall(text: str) -> datetime:
    """A wall clock time as RFC 5545 writes it; a date is its midnight."""
    return datetime.strptime(text if "T" in text else f"{text}T000000", "%Y%m%dT%H%M%S")  # noqa: DTZ007


def dates(
    rule: str, first: str, limit: int = 6, low: str = "", high: str = ""
) -> list[str]:
    """The first dates that a rule gives, without the time where it is that of DTSTART."""
    start = wall(first)
    recurrence = Recurrence(
        Rule.parse(rule), start, wall(high) if high else start + DECADES
    )
    found = [
        moment
        for moment, _ in zip(
            recurrence.since(wall(low or first)), range(limit), strict=False
        )
    ]
    return [
        f"{t:%Y%m%d}" if t.time() == start.time() else f"{t:%Y%m%dT%H%M%S}"
        for t in found
    ]


class TestParts:
    """Each part of a rule, in the periods in which it means something."""

    @pytest.mark.parametrize(
        ("rule", "first", "expected"),
        [
            ("FREQ=DAILY", "20260130", ["20260130", "20260131", "20260201"]),
            (
                "FREQ=DAILY;INTERVAL=10",
                "20260125",
                ["20260125", "20260204", "20260214"],
            ),
            (
                "FREQ=DAILY;BYMONTH=2;BYDAY=MO,FR",
                "20260130",
                ["20260202", "20260206", "20260209"],
            ),
            (
                "FREQ=DAILY;BYMONTHDAY=1,-1",
                "20260115",
                ["20260131", "20260201", "20260228"],
            ),
            ("FREQ=WEEKLY", "20260107", ["20260107", "20260114", "20260121"]),
            (
                "FREQ=WEEKLY;BYDAY=SU,MO",
                "20260107",
                ["20260111", "20260112", "20260118"],
            ),
            (
                "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO",
                "20260107",
                ["20260111", "20260119", "20260125"],
            ),
            (
                "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU",
                "20260107",
                ["20260118", "20260119", "20260201"],
            ),
            (
                "FREQ=WEEKLY;BYMONTH=3;BYDAY=SU,MO",
                "20260227",
                ["20260301", "20260302", "20260308"],
            ),
            ("FREQ=MONTHLY", "20260131", ["20260131", "20260331", "20260531"]),
            (
                "FREQ=MONTHLY;INTERVAL=5",
                "20260930",
                ["20260930", "20270730", "20271230"],
            ),
            (
                "FREQ=MONTHLY;BYMONTHDAY=-1",
                "20260101",
                ["20260131", "20260228", "20260331"],
            ),
            (
                "FREQ=MONTHLY;BYMONTHDAY=-31",
                "20260101",
                ["20260101", "20260301", "20260501"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=2TU",
                "20260101",
                ["20260113", "20260210", "20260310"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=-1FR",
                "20260101",
                ["20260130", "20260227", "20260327"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=5MO",
                "20260101",
                ["20260330", "20260629", "20260831"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
                "20260101",
                ["20260213", "20260313", "20261113"],
            ),
            (
                "FREQ=MONTHLY;BYMONTH=6,7;BYDAY=1MO",
                "20260101",
                ["20260601", "20260706", "20270607"],
            ),
            ("FREQ=YEARLY", "20240229", ["20240229", "20280229", "20320229"]),
            (
                "FREQ=YEARLY;BYMONTH=3,1",
                "20260110",
                ["20260110", "20260310", "20270110"],
            ),
            (
                "FREQ=YEARLY;BYMONTHDAY=15",
                "20260101",
                ["20260115", "20260215", "20260315"],
            ),
            (
                "FREQ=YEARLY;BYDAY=20MO",
                "20260101",
                ["20260518", "20270517", "20280515"],
            ),
            (
                "FREQ=YEARLY;BYDAY=-1SU",
                "20260101",
                ["20261227", "20271226", "20281231"],
            ),
            (
                "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
                "20260101",
                ["20260329", "20270328", "20280326"],
            ),
            (
                "FREQ=YEARLY;BYYEARDAY=-1,1",
                "20260101",
                ["20260101", "20261231", "20270101"],
            ),
            (
                "FREQ=YEARLY;BYYEARDAY=366",
                "20260101",
                ["20281231", "20321231", "20361231"],
            ),
            (
                "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
                "20260101",
                ["20260511", "20270517", "20280515"],
            ),
            (
                "FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO",
                "20260105",
                ["20270104", "20280103", "20290101"],
            ),
            (
                "FREQ=YEARLY;BYWEEKNO=53;BYDAY=TH",
                "20260101",
                ["20261231", "20321230", "20371231"],
            ),
            (
                "FREQ=YEARLY;BYWEEKNO=-1;BYDAY=TH",
                "20260101",
                ["20261231", "20271230", "20281228"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
                "20260101",
                ["20260129", "20260226", "20260330"],
            ),
            (
                "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1,-1",
                "20260101",
                ["20260105", "20260126", "20260202"],
            ),
            (
                "FREQ=YEARLY;BYDAY=MO;BYSETPOS=10",
                "20260101",
                ["20260309", "20270308", "20280306"],
            ),
        ],
    )
    def test_days(self, rule: str, first: str, expected: list[str]) -> None:
        """The first three dates of a rule are those that the calendar on the wall gives."""
        assert dates(rule, first, 3) == expected

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("FREQ=DAILY;BYHOUR=9,17", ["20260105", "20260105T170000", "20260106"]),
            (
                "FREQ=DAILY;BYHOUR=9;BYMINUTE=0,30",
                ["20260105", "20260105T093000", "20260106"],
            ),
            (
                "FREQ=DAILY;BYSECOND=60",
                ["20260105T090059", "20260106T090059", "20260107T090059"],
            ),
            (
                "FREQ=DAILY;BYHOUR=9,12,17;BYSETPOS=-1",
                ["20260105T170000", "20260106T170000", "20260107T170000"],
            ),
            (
                "FREQ=HOURLY;INTERVAL=5",
                ["20260105", "20260105T140000", "20260105T190000"],
            ),
            (
                "FREQ=HOURLY;INTERVAL=10;BYHOUR=9,15",
                ["20260105", "20260106T150000", "20260110"],
            ),
            (
                "FREQ=HOURLY;BYHOUR=9;BYMINUTE=10,20",
                ["20260105T091000", "20260105T092000", "20260106T091000"],
            ),
            (
                "FREQ=HOURLY;BYMINUTE=1,2,3;BYSETPOS=2",
                ["20260105T090200", "20260105T100200", "20260105T110200"],
            ),
            (
                "FREQ=MINUTELY;INTERVAL=90",
                ["20260105", "20260105T103000", "20260105T120000"],
            ),
            (
                "FREQ=MINUTELY;BYHOUR=10;BYMINUTE=59,0",
                ["20260105T100000", "20260105T105900", "20260106T100000"],
            ),
            (
                "FREQ=MINUTELY;BYSECOND=7,9;BYSETPOS=-1",
                ["20260105T090009", "20260105T090109", "20260105T090209"],
            ),
            (
                "FREQ=SECONDLY;INTERVAL=3600",
                ["20260105", "20260105T100000", "20260105T110000"],
            ),
            (
                "FREQ=SECONDLY;BYMINUTE=5;BYSECOND=59",
                ["20260105T090559", "20260105T100559", "20260105T110559"],
            ),
            ("FREQ=HOURLY;INTERVAL=24;BYDAY=MO", ["20260105", "20260112", "20260119"]),
            (
                "FREQ=HOURLY;BYYEARDAY=6;BYHOUR=0",
                ["20260106T000000", "20270106T000000", "20280106T000000"],
            ),
        ],
    )
    def test_times(self, rule: str, expected: list[str]) -> None:
        """Times within a day follow the rule and the phase of its INTERVAL over midnight."""
        assert dates(rule, "20260105T090000", 3) == expected

    @pytest.mark.parametrize(
        ("skip", "expected"),
        [
            ("OMIT", ["20260131", "20260331", "20260531"]),
            ("BACKWARD", ["20260131", "20260228", "20260331"]),
            ("FORWARD", ["20260131", "20260301", "20260331"]),
        ],
    )
    def test_skip(self, skip: str, expected: list[str]) -> None:
        """SKIP says what becomes of the 31st of a shorter month (RFC 7529)."""
        assert (
            dates(f"RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP={skip}", "20260131", 3)
            == expected
        )

    def test_skipped_day_in_the_month_after(self) -> None:
        """A day that SKIP moved into the next month is found from the middle of the series too."""
        rule = "RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=FORWARD"
        assert dates(rule, "20240229", 2, low="20270301") == ["20270301", "20280229"]


class TestCorners:
    """Where the best known implementation, dateutil, reads the RFC otherwise or not at all."""

    def test_positions_of_a_first_week(self) -> None:
        """BYSETPOS counts in the whole first week, also in the part of it before DTSTART."""
        assert dates("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2", "20260109", 2) == [
            "20260114",
            "20260121",
        ]

    def test_week_of_the_year_without_weekday(self) -> None:
        """BYWEEKNO without BYDAY means the weekday of DTSTART, not the whole week."""
        assert dates("FREQ=YEARLY;BYWEEKNO=20", "20260107", 2) == [
            "20260513",
            "20270519",
        ]

    def test_first_week_from_the_end(self) -> None:
        """Week 1 of a year of 53 weeks is week -53, also for its days in the year before."""
        assert "20211230" in dates(
            "FREQ=YEARLY;BYWEEKNO=-53;BYDAY=TH;WKST=WE", "20210101", 3
        )

    def test_count_includes_the_start(self) -> None:
        """DTSTART is the first of COUNT although the rule does not give it."""
        assert dates("FREQ=WEEKLY;BYDAY=MO;COUNT=3", "20260107") == [
            "20260112",
            "20260119",
        ]
        assert dates("FREQ=WEEKLY;BYDAY=WE;COUNT=3", "20260107") == [
            "20260107",
            "20260114",
            "20260121",
        ]
        assert dates("FREQ=WEEKLY;BYDAY=MO;COUNT=1", "20260107") == []

    def test_the_last_year(self) -> None:
        """A rule ends with the year 9999 and raises nothing."""
        for frequency in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY;BYDAY=FR"):
            found = dates(f"FREQ={frequency}", "99991220", 20, high="99991231")
            assert found[0] >= "99991220"
            assert found[-1] <= "99991231T230000"

    def test_the_first_year(self) -> None:
        """A series may begin on the first day that there is, in a week that began before it."""
        rule = Rule.parse("FREQ=WEEKLY;BYDAY=SU,MO;BYMONTH=1;WKST=SU")
        found = Recurrence(rule, wall("00010101"), wall("00010110")).since(
            wall("00010101")
        )
        assert list(found) == [wall("00010101"), wall("00010107"), wall("00010108")]


class TestCount:
    """COUNT ends a series where counting from its start ends it, wherever one begins to look."""

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=WEEKLY;BYDAY=MO,WE,FR",
            "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1",
            "FREQ=DAILY;INTERVAL=3;BYHOUR=8,9",
            "FREQ=DAILY;BYDAY=MO",
            "FREQ=MONTHLY;BYDAY=1MO,-1FR",
            "FREQ=YEARLY;BYDAY=10MO",
            "FREQ=HOURLY;INTERVAL=7",
            "FREQ=MINUTELY;INTERVAL=700;BYSECOND=1,2",
            "FREQ=SECONDLY;INTERVAL=100001",
        ],
    )
    def test_is_a_prefix(self, rule: str) -> None:
        """The dates with COUNT are the first ones without it."""
        first = wall("20260107T090000")
        endless = Recurrence(Rule.parse(rule), first, first + DECADES)
        whole = [
            moment for moment, _ in zip(endless.since(first), range(40), strict=False)
        ]
        given = 40 if whole[0] == first else 39
        counted = Recurrence(Rule.parse(f"{rule};COUNT=40"), first, first + DECADES)
        assert list(counted.since(first)) == whole[:given]
        assert list(counted.since(whole[20])) == whole[20:given]
        assert counted.holds(whole[given - 1])
        assert not counted.holds(whole[given - 1] + timedelta(seconds=1))


class TestBroken:
    """What cannot be parsed is said, never guessed."""

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("", "broken part"),
            ("hello", "broken part"),
            ("FREQ=", "broken part"),
            ("INTERVAL=2", "FREQ="),
            ("FREQ=SOMETIMES", "allowed are YEARLY"),
            ("FREQ=DAILY;FREQ=DAILY", "FREQ more than once"),
            ("FREQ=DAILY;X-MOON=FULL", "not known"),
            ("FREQ=DAILY;BYEASTER=0", "not known"),
            ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
            ("FREQ=DAILY;INTERVAL=1.5", "INTERVAL"),
            ("FREQ=DAILY;COUNT=0", "COUNT"),
            ("FREQ=DAILY;COUNT=99999999999", "COUNT"),
            ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "only one"),
            ("FREQ=DAILY;UNTIL=20260230", "UNTIL"),
            ("FREQ=DAILY;UNTIL=never", "UNTIL"),
            ("FREQ=DAILY;BYMONTH=13", "1 to 12"),
            ("FREQ=DAILY;BYMONTH=0", "1 to 12"),
            ("FREQ=DAILY;BYMONTH=-1", "1 to 12"),
            ("FREQ=DAILY;BYMONTHDAY=32", "also negative"),
            ("FREQ=DAILY;BYHOUR=24", "0 to 23"),
            ("FREQ=DAILY;BYMINUTE=60", "0 to 59"),
            ("FREQ=DAILY;BYSECOND=61", "0 to 60"),
            ("FREQ=DAILY;BYDAY=XX", "no weekday"),
            ("FREQ=MONTHLY;BYDAY=0MO", "no weekday"),
            ("FREQ=YEARLY;BYDAY=54MO", "no weekday"),
            ("FREQ=WEEKLY;WKST=1MO", "no weekday"),
            ("FREQ=WEEKLY;BYDAY=1MO", "a number in BYDAY"),
            ("FREQ=DAILY;BYDAY=-1MO", "a number in BYDAY"),
            ("FREQ=YEARLY;BYWEEKNO=2;BYDAY=1MO", "beside BYWEEKNO"),
            ("FREQ=MONTHLY;BYWEEKNO=2", "BYWEEKNO"),
            ("FREQ=MONTHLY;BYYEARDAY=2", "BYYEARDAY"),
            ("FREQ=WEEKLY;BYMONTHDAY=2", "BYMONTHDAY"),
            ("FREQ=MONTHLY;BYSETPOS=1", "no other BY part"),
            ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS"),
            ("RSCALE=CHINESE;FREQ=YEARLY", "Gregorian"),
            ("FREQ=MONTHLY;SKIP=FORWARD", "RSCALE"),
            ("RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=SIDEWAYS", "allowed are OMIT"),
            (
                "RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=FORWARD;BYMONTHDAY=31;BYWEEKNO=5",
                "unclear",
            ),
            (
                "RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=FORWARD;BYMONTH=2;BYYEARDAY=366",
                "unclear",
            ),
            ("FREQ=DAILY;COUNT=99999999999", "larger than any that makes sense"),
            ("FREQ=DAILY;INTERVAL=1234567890", "larger than any that makes sense"),
            ("FREQ=DAILY;COUNT=-99999999999", "not a positive number"),
        ],
    )
    def test_sentence(self, rule: str, said: str) -> None:
        """A broken rule is refused with a sentence that names the part."""
        with pytest.raises(BrokenRule, match=said):
            Rule.parse(rule)

    @pytest.mark.parametrize("frequency", ["HOURLY", "MINUTELY", "SECONDLY"])
    def test_whole_days(self, frequency: str) -> None:
        """Whole days do not repeat by the hour; times of day in their rules are ignored, as the RFC tells."""
        with pytest.raises(BrokenRule, match="whole days"):
            Rule.parse(f"FREQ={frequency}").of_whole_days()
        assert Rule.parse(
            "FREQ=DAILY;BYHOUR=9;BYMINUTE=1;BYSECOND=2"
        ).of_whole_days() == Rule.parse("FREQ=DAILY")

    def test_letter_case(self) -> None:
        """Rules compare in any letter case, with blanks around their parts."""
        assert Rule.parse("freq=weekly; byday = mo,fr") == Rule.parse(
            "FREQ=WEEKLY;BYDAY=FR,MO"
        )


class TestCost:
    """The work of a rule is bounded by what is looked at, not by what lies before."""

    def month_of_2026(self, rule: str, first: str) -> int:
        """The work of 37 days of 2026."""
        dates("FREQ=DAILY", first, 1)  # the first time of all imports what reads times
        return steps(lambda: dates(rule, first, 100, low="20260101", high="20260207"))

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=WEEKLY",
            "FREQ=WEEKLY;BYDAY=MO,FR;COUNT=100000",
            "FREQ=DAILY",
            "FREQ=DAILY;COUNT=100000",
            "FREQ=MONTHLY;BYDAY=-1FR",
            "FREQ=YEARLY",
            "FREQ=HOURLY;INTERVAL=7",
            "FREQ=SECONDLY;INTERVAL=86401",
        ],
    )
    def test_old_series(self, rule: str) -> None:
        """A series that began in 1926 costs what one of last month costs."""
        assert (
            self.month_of_2026(rule, "19260101")
            < 1.2 * self.month_of_2026(rule, "20251201") + 50
        )

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=MINUTELY;BYMONTH=4;BYMONTHDAY=31",
            "FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1",
            "FREQ=HOURLY;INTERVAL=2;BYHOUR=1",
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=YEARLY;BYWEEKNO=30;BYMONTH=1",
            "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
        ],
    )
    def test_never(self, rule: str) -> None:
        """A rule that never comes true ends after a look at each day, whatever its frequency."""
        assert dates(rule, "20250101", low="20260101", high="20260207") == []
        assert self.month_of_2026(rule, "20250101") < 6_000

    def test_counting_years(self) -> None:
        """Where dates have to be counted from the start, a year costs a few steps for each of its days."""
        ten = self.month_of_2026("FREQ=DAILY;BYDAY=MO;COUNT=9999", "20160101")
        assert ten < 10 * 366 * 20

    def test_counting_seconds(self) -> None:
        """Counting seconds is arithmetic: days of one phase are counted once."""
        assert (
            self.month_of_2026("FREQ=SECONDLY;INTERVAL=7;COUNT=999999999", "20160101")
            < 10 * 366 * 30
        )
