"""What one event may cost: each kind of slow event is ended by its bound, and the others are parsed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from syncd.core.bounds import MAX_UIDS_OF_EVENT, UID_CPU_S
from syncd.core.mapper import Mapper, MappingRules, Skipped
from syncd.core.occurrence import Window
from syncd.core.reasons import Reason
from syncd.core.text import plain
from syncd.ics import CpuAllowance, ParsedSeries, ParserPool
from syncd.ics.plain import is_plain, is_plain_context
from syncd.ics.zones import UnknownZone, Zones, _as_written, _of_vendor, iana
from tests.ics.test_series import children, taken_apart
from tests.intake.test_whole import calendar, vevent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window.ahead(NOW, timedelta(days=30))
MORNING = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")
EVERY_SECOND = ("RRULE:FREQ=SECONDLY", "EXRULE:FREQ=SECONDLY")
"""A series of which each of the millions of dates is excluded."""


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    """A pool that leaves nothing behind."""
    with ParserPool() as some:
        yield some
    assert children() == []


def said(
    pool: ParserPool, *events: str, allowance: CpuAllowance | None = None
) -> dict[str, ParsedSeries]:
    """What is parsed of a calendar of these events, by UID."""
    parser, raw_events = taken_apart(calendar(*events))
    answers = pool.parse_all(raw_events, parser, WINDOW, allowance=allowance)
    return {one.uid: one for one in answers}


def reasons(one: ParsedSeries) -> list[Reason]:
    """Why it is quarantined."""
    return [defect.reason for defect in one.defects]


def zone(*observances: Sequence[str]) -> list[str]:
    """The lines of a VTIMEZONE called Own."""
    lines = ["BEGIN:VTIMEZONE", "TZID:Own"]
    for observance in observances:
        lines += [
            "BEGIN:STANDARD",
            "TZOFFSETFROM:+0100",
            "TZOFFSETTO:+0200",
            *observance,
            "END:STANDARD",
        ]
    return [*lines, "END:VTIMEZONE"]


class TestCostlyEvents:
    """Events that take too much, among others."""

    def test_one_is_ended_and_the_others_go_on(self, pool: ParserPool) -> None:
        """A series that takes too much CPU is told with a cure, and what stands beside it is parsed."""
        found = said(
            pool,
            vevent(*MORNING, uid="before"),
            vevent(*MORNING, *EVERY_SECOND, uid="slow"),
            vevent(*MORNING, "RRULE:FREQ=DAILY", "EXRULE:FREQ=WEEKLY", uid="behind"),
        )
        assert reasons(found["slow"]) == [Reason.TOO_COSTLY]
        assert "2 s" in found["slow"].defects[0].detail
        assert found["slow"].defects[0].line > 1
        assert len(found["before"].occurrences) == 1
        assert len(found["behind"].occurrences) > 20

    def test_parts_of_it_are_bounded_together(self, pool: ParserPool) -> None:
        """Many rules, each of which would be quick enough, are one UID and have one bound."""
        rules = [f"RRULE:FREQ=SECONDLY;INTERVAL={n};BYMONTH=7" for n in range(1, 8)]
        rules += [
            f"RRULE:FREQ=MINUTELY;INTERVAL={n};BYMONTH=1;BYDAY=MO,TU,WE,TH,FR,SA,SU"
            for n in range(1, 30)
        ]
        excluded = [f"EXRULE:FREQ=MINUTELY;BYHOUR={n}" for n in range(24)]
        found = said(
            pool,
            vevent(*MORNING, *rules, *excluded, uid="slow"),
            vevent(*MORNING, uid="other"),
        )
        assert reasons(found["slow"]) in ([Reason.TOO_COSTLY], [])
        assert found["slow"].cpu_s <= 1.1 * UID_CPU_S
        assert found["other"].occurrences

    @pytest.mark.first(1)
    @pytest.mark.parametrize(
        "lines",
        [
            ("RRULE:FREQ=SECONDLY", "EXRULE:FREQ=SECONDLY"),
            (
                "RRULE:FREQ=MINUTELY",
                *(f"EXRULE:FREQ=WEEKLY;BYSECOND={n % 60}" for n in range(600)),
            ),
            (
                "RRULE:FREQ=MINUTELY",
                *(f"EXRULE:FREQ=HOURLY;BYMINUTE={n}" for n in range(60)),
            ),
            (
                "RRULE:FREQ=SECONDLY;INTERVAL=7",
                "EXRULE:FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))),
            ),
        ],
        ids=["all", "by many rules", "each by one rule", "by hours"],
    )
    def test_dates_that_rules_exclude(
        self, pool: ParserPool, lines: tuple[str, ...]
    ) -> None:
        """However rules and exclusions meet, the event is cut off within its bound and says so."""
        found = said(
            pool, vevent(*MORNING, *lines, uid="flood"), vevent(*MORNING, uid="sane")
        )
        assert set(reasons(found["flood"])) <= {
            Reason.TOO_COSTLY,
            Reason.TOO_MANY_OCCURRENCES,
        }
        assert found["flood"].defects
        assert found["flood"].cpu_s <= 1.1 * UID_CPU_S
        assert len(found["sane"].occurrences) == 1

    def test_excluded_by_a_rule_of_years(self, pool: ParserPool) -> None:
        """A yearly EXRULE against a date each five minutes is no work to speak of: the dates are counted."""
        many = ("RRULE:FREQ=MINUTELY;INTERVAL=5", "EXRULE:FREQ=YEARLY")
        found = said(pool, *(vevent(*MORNING, *many, uid=f"{n}") for n in range(30)))
        assert {tuple(reasons(one)) for one in found.values()} == {
            (Reason.TOO_MANY_OCCURRENCES,)
        }
        assert sum(one.cpu_s for one in found.values()) < UID_CPU_S

    @pytest.mark.parametrize(
        "onset",
        [
            ("DTSTART:19700101T000000", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
            ("DTSTART:16010101T000000", "RRULE:FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31"),
            (
                "DTSTART:19700101T000000",
                "RRULE:FREQ=YEARLY;INTERVAL=999;BYMONTH=2;BYMONTHDAY=29",
            ),
            (
                "DTSTART:19700101T000000",
                "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=9",
            ),
        ],
    )
    def test_zones_whose_rules_never_match(
        self, pool: ParserPool, onset: tuple[str, ...]
    ) -> None:
        """A hundred observances without any onset cost less than a bound: the first one of each counts."""
        lines = zone(*([onset] * 100))
        event = vevent("DTSTART;TZID=Own:20260105T090000", "DURATION:PT1H")
        found = said(pool, "\r\n".join(lines), event)
        assert [o.key.recurrence_id for o in found["meeting"].occurrences] == [None]
        assert not found["meeting"].defects

    def test_a_zone_that_ended(self, pool: ParserPool) -> None:
        """The last onset of a rule that ended decades ago still decides."""
        old = (
            "DTSTART:19700101T000000",
            "RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1;UNTIL=19750301T000000",
        )
        counted = (
            "DTSTART:19700101T000000",
            "RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=1;COUNT=4",
        )
        for onset in (old, counted):
            event = vevent("DTSTART;TZID=Own:20260105T090000", "DURATION:PT1H")
            found = said(pool, "\r\n".join(zone(onset)), event)["meeting"]
            assert [o.when.start for o in found.occurrences] == [
                datetime(2026, 1, 5, 7, tzinfo=UTC)
            ]

    @pytest.mark.slow
    def test_memory(self, pool: ParserPool) -> None:
        """An event that takes too much memory is told as too costly, and the next one is parsed."""
        dates = ",".join(["20260105T090000Z/PT1H"] * 150_000)
        huge = vevent(
            *MORNING, *(f"RDATE;VALUE=PERIOD:{dates}" for _ in range(8)), uid="huge"
        )
        found = said(
            pool,
            huge,
            vevent(*MORNING, "RRULE:FREQ=DAILY", "EXRULE:FREQ=WEEKLY", uid="other"),
        )
        assert reasons(found["huge"]) == [Reason.TOO_COSTLY]
        assert found["other"].occurrences

    def test_what_hangs_on_each_date(self, pool: ParserPool) -> None:
        """Dates times attendees are bounded, since each date carries them all."""
        invited = [f"ATTENDEE:mailto:a{n}@example.com" for n in range(2_000)]
        series = vevent(
            *MORNING, "RRULE:FREQ=HOURLY;INTERVAL=2", *invited, uid="series"
        )
        found = said(pool, series, vevent(*MORNING, *invited, uid="single"))
        assert reasons(found["series"]) == [Reason.TOO_COSTLY]
        assert "shorten" in found["series"].defects[0].detail
        assert len(found["single"].occurrences[0].attendees) == 2_000

    def test_a_killed_worker_is_not_the_event_s_fault(self, pool: ParserPool) -> None:
        """A worker that somebody killed costs its event nothing but another attempt."""
        parser, raw_events = taken_apart(
            calendar(
                *(
                    vevent(
                        *MORNING, "RRULE:FREQ=DAILY", "EXRULE:FREQ=WEEKLY", uid=f"{n}"
                    )
                    for n in range(9)
                )
            )
        )
        found = {}
        for one in pool.parse_all(raw_events, parser, WINDOW):
            found[one.uid] = one
            for worker in children():
                os.kill(worker, signal.SIGKILL)
        assert len(found) == 9
        assert not any(one.defects for one in found.values())

    @pytest.mark.slow
    def test_the_rest_comes_later(self, pool: ParserPool) -> None:
        """What an allowance has no room for is left out; plain events are not, and nothing is lost."""
        slow = [vevent(*MORNING, *EVERY_SECOND, uid=f"slow-{n}") for n in range(4)]
        ordinary = [vevent(*MORNING, uid=f"plain-{n}") for n in range(4)]
        found = said(pool, *slow, *ordinary, allowance=CpuAllowance(1.5 * UID_CPU_S))
        assert sorted(found) == [*(f"plain-{n}" for n in range(4)), "slow-0", "slow-1"]

    def test_one_allowance_in_another(self) -> None:
        """What sources may take is bounded together, and what is cheap takes nothing of it."""
        whole = CpuAllowance(5.0)
        first, second = CpuAllowance(4.0, whole), CpuAllowance(4.0, whole)
        for _ in range(1000):
            first.spend(0.01)
        assert not first.is_spent
        for _ in range(2):
            first.spend(2.0)
        assert (first.is_spent, second.is_spent) == (True, False)
        second.spend(2.0)
        assert (first.is_spent, second.is_spent) == (True, True)


class TestDates:
    """How many dates an event may have."""

    @pytest.mark.parametrize("most", [1, 30, 499])
    def test_as_many_as_are_allowed(self, pool: ParserPool, most: int) -> None:
        """So many dates within the horizon are read, one more is quarantined."""
        for more in (0, 1):
            minutes = 30 * 24 * 60 // (most + more)
            rule = f"RRULE:FREQ=MINUTELY;INTERVAL={minutes};COUNT={most + more}"
            text = calendar(
                vevent(
                    f"DTSTART:{NOW:%Y%m%dT%H%M%SZ}", "DURATION:PT1M", rule, uid="series"
                )
            )
            parser, raw_events = taken_apart(text, max_occurrences=most)
            (one,) = pool.parse_all(raw_events, parser, WINDOW)
            assert reasons(one) == ([Reason.TOO_MANY_OCCURRENCES] if more else [])
            assert more or len(one.occurrences) == most

    def test_those_behind_the_horizon(self, pool: ParserPool) -> None:
        """A daily series within its bound is not refused for the week behind the horizon."""
        text = calendar(vevent(*MORNING, "RRULE:FREQ=DAILY", uid="series"))
        parser, raw_events = taken_apart(text, max_occurrences=26)
        (one,) = pool.parse_all(raw_events, parser, WINDOW)
        assert not one.defects
        assert len(one.occurrences) > 30

    def test_the_sentence_names_the_key(self, pool: ParserPool) -> None:
        """Who reads of too many dates reads which key of the configuration decides."""
        one = said(pool, vevent(*MORNING, "RRULE:FREQ=HOURLY"))["meeting"]
        assert "calendar.max_occurrences" in one.defects[0].detail


class TestPlain:
    """Which events need no process of their own."""

    @pytest.mark.parametrize(
        "lines",
        [
            (),
            (
                "RRULE:FREQ=WEEKLY;BYDAY=MO,TU;UNTIL=20260601T000000Z",
                "EXDATE:20260112T090000Z",
            ),
            ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=12",),
            ("DESCRIPTION:one\n two", 'ATTENDEE;CN="A, B":mailto:a@example.com'),
        ],
    )
    def test_plain(self, lines: tuple[str, ...]) -> None:
        """Meetings and series as programs write them are plain."""
        _, raw_events = taken_apart(calendar(vevent(*MORNING, *lines)))
        assert is_plain(raw_events["meeting"])

    @pytest.mark.parametrize(
        "lines",
        [
            ("RRULE:FREQ=HOURLY",),
            ("RRULE:FREQ=DAILY;BYHOUR=9,10",),
            ("RRULE:FREQ=DAILY\r\n ;BYSECOND=1",),
            ("RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"),
            ("rrule:FREQ=SECONDLY",),
            ("X-A:b", "RRULE:FREQ=DAILY;COUNT=9;BYMONTH=2;BYMONTHDAY=30"),
            ("RR\r\n ULE:FREQ=SECONDLY",),
            ("EXRULE:FREQ=SECONDLY",),
            ("RDATE:20260105T090000Z",),
            ("X-A:b\rRRULE:FREQ=SECONDLY",),
            ("EXDATE;TZID=(UTC+01:00) Berlin:20260105T090000",),
            ("DESCRIPTION:" + "x" * 9_000,),
        ],
    )
    def test_not_plain(self, lines: tuple[str, ...]) -> None:
        """Whatever could hide a costly rule, or is long, is not."""
        begin = "DTSTART:10010105T090000Z" if "X-A:b" in lines else MORNING[0]
        _, raw_events = taken_apart(calendar(vevent(begin, "DURATION:PT1H", *lines)))
        assert not is_plain(raw_events["meeting"])

    def test_zones(self) -> None:
        """A zone as programs write it is plain, one with other rules or very many is not."""
        usual = ("DTSTART:19700329T020000", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU")
        for lines, expected in (
            (zone(usual, usual), True),
            (zone(*[usual] * 41), False),
            (
                zone(("DTSTART:19700101T000000", "RRULE:FREQ=YEARLY;BYYEARDAY=366")),
                False,
            ),
            (zone(("DTSTART:19700101T000000", "RRULE:FREQ=MONTHLY")), False),
            (
                zone(("DTSTART:19700101T000000", "RRULE:FREQ=YEARLY\r\n ;BYDAY=1SU")),
                False,
            ),
        ):
            text = "\r\n".join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR", ""])
            assert is_plain_context(text.encode()) is expected


MARKUP = [
    "<!--",
    "<a href=",
    "<a href='",
    "<![CDATA[",
    "<![",
    "<script",
    "<script>",
    "<p a=",
    "<b a",
    "</",
    "<?",
    "<http://a",
    "<a@",
    "&",
    "&#x",
    "<",
    "<div>",
    "<style>a</style>",
    '<a href="http://x">y',
    "<!d",
    "<b> ",
]


@pytest.mark.parametrize("markup", MARKUP)
def test_text_is_cut_before_it_is_read(markup: str) -> None:
    """Half a megabyte of any markup in a description is read, and what stands before it is kept."""
    assert plain("<b>Agenda</b> " + markup * (500_000 // len(markup))).startswith(
        "Agenda"
    )


@pytest.mark.parametrize(
    "hidden",
    [
        "<!--{}-->",
        "<style>{}</style>",
        "<STYLE type=a>{}</style >",
        "<head><title>{}</title></head>",
    ],
)
def test_what_is_hidden_takes_no_room(hidden: str) -> None:
    """Text behind a style sheet or a comment of any length is found."""
    assert (
        plain("<html>" + hidden.format("p.x {} " * 30_000) + "<p>Agenda</p></html>")
        == "Agenda"
    )


def test_long_text_of_a_series_is_mapped_once() -> None:
    """A long description is shortened where it is read, and so is what each date carries."""
    parser, raw_events = taken_apart(
        calendar(
            vevent(
                *MORNING,
                "RRULE:FREQ=DAILY",
                "DESCRIPTION:<b>Agenda</b>" + "<p a=" * 100_000,
            )
        )
    )
    found = parser.parse("meeting", raw_events["meeting"], WINDOW)
    assert max(len(o.description) for o in found.occurrences) < 20_000
    for occurrence in found.occurrences:
        mapped = Mapper(MappingRules(creator="3")).map(occurrence)
        assert not isinstance(mapped, Skipped)
        assert mapped.specs[0].description.startswith("Agenda")


def test_many_uids_in_one_event() -> None:
    """An event with very many UIDs shows that lines were lost, and nothing of its document is read."""
    lines = [f"UID:more-{n}" for n in range(MAX_UIDS_OF_EVENT)]
    parser, raw_events = taken_apart(
        calendar(vevent(*MORNING, *lines), vevent(*MORNING, uid="other"))
    )
    assert raw_events == {}
    assert parser.refresh_after is None


@pytest.mark.parametrize(
    "line",
    [
        "X-A:x" + "\r" * 100_000 + "y",
        "X-A" + ";TZID=tzone:" * 50_000 + "x",
        "X-A:\xff" + "\r\n " * 100_000,
    ],
)
def test_lines_are_read_in_one_pass(pool: ParserPool, line: str) -> None:
    """Runs of line ends, of colons and of folds cost time in proportion to their length."""
    found = said(
        pool, vevent(*MORNING, line, uid="long"), vevent(*MORNING, uid="other")
    )
    assert set(found) == {"long", "other"}
    assert not any(one.defects for one in found.values())


def test_names_of_zones_that_nobody_knows_are_forgotten() -> None:
    """Calendars invent any number of TZIDs over the months; what each means is remembered of the latest."""
    for number in range(3_000):
        zones = Zones([], {}, ZoneInfo("UTC"))
        with pytest.raises(UnknownZone):
            zones.resolve(f"Office {number}")
        assert zones.resolve("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    for remembers in (iana, _as_written, _of_vendor):
        assert remembers.cache_info().currsize <= 1024
