"""From VEVENT to reservation: the mapping table, sentence by sentence, from calendar text to specs."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.values import location_expressions
from syncd.core.document import Document
from syncd.core.mapper import Mapper, MappingRules, Skipped, SourceRules, Wanted
from syncd.core.mark import Mark
from syncd.core.occurrence import Occurrence, OccurrenceKey, Window
from syncd.core.reasons import Reason
from syncd.core.reservation import DESCRIPTION_LIMIT, Attachment, ReservationSpec
from syncd.core.rooms import RoomRule
from syncd.core.text import fold_name, utf16_length
from syncd.ics import Locale
from syncd.tuya.content import payload
from tests.intake.whole import read

NOW = datetime(2021, 1, 1, tzinfo=UTC)
HOUR = ("DTSTART:20210630T080000Z", "DTEND:20210630T090000Z")
SMALL, LARGE, SOUTH, SOURCE_ROOM, GREEN, STREET = (
    "1410148741926678528",
    "2",
    "3",
    "4",
    "5",
    "6",
)
PEOPLE = {
    "alice@example.com": "1",
    "bob@example.com": "2",
    "carol@example.com": "7",
    "boss@example.com": "9",
}
ROOMS = (
    RoomRule(
        SMALL,
        frozenset({"room-small@example.com"}),
        frozenset({"small meeting room", "berlin; 1.01, small"}),
        name="Small meeting room",
        written=("Small meeting room", "Berlin; 1.01, Small"),
    ),
    RoomRule(
        LARGE,
        frozenset({"room-large@example.com"}),
        frozenset({"large meeting room"}),
        name="Large meeting room",
        written=("Large meeting room",),
    ),
    RoomRule(
        SOUTH, frozenset(), frozenset(), (re.compile(r"^Room S\d", re.IGNORECASE),)
    ),
    RoomRule(GREEN, frozenset(), frozenset({fold_name("Gr\u00fcner Raum")})),
    RoomRule(
        STREET,
        frozenset(),
        frozenset(),
        location_expressions("re:stra(?:\u00df|ss)e 7"),
    ),
)
MARK = Mark.of("hq", OccurrenceKey("", "meeting", None), 0)


def occurrences(
    *events: tuple[str, ...], base_url: str = "", zone: str = "Europe/Berlin"
) -> list[Occurrence]:
    """The occurrences of a calendar in which each event has these lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", *event, "END:VEVENT"]
    body = "\n".join([*lines, "END:VCALENDAR", ""]).replace("\n", "\r\n").encode()
    reading = read(
        [Document("test.ics", body, base_url)],
        source="office",
        scope="",
        locale=Locale(default=ZoneInfo(zone)),
        window=Window.ahead(NOW, timedelta(days=400)),
        at=NOW,
    )
    assert reading.complete
    assert reading.defects == ()
    return list(reading.occurrences)


def mapper(source: SourceRules | None = None, **rules: Any) -> Mapper:
    """A mapper by rules that know four people and three rooms."""
    known = {
        "creator": "3",
        "rooms": ROOMS,
        "people": PEOPLE,
        "sources": {"office": source or SourceRules()},
    }
    return Mapper(MappingRules(**{**known, **rules}))


def mapped(
    *lines: str,
    source: SourceRules | None = None,
    base_url: str = "",
    zone: str = "Europe/Berlin",
    **rules: Any,
) -> Wanted | Skipped:
    """What becomes of an event of these lines, from eight to nine if they say no time."""
    timed = (
        lines if any(line.startswith("DTSTART") for line in lines) else (*HOUR, *lines)
    )
    (occurrence,) = occurrences(timed, base_url=base_url, zone=zone)
    return mapper(source, **rules).map(occurrence)


def wanted(*lines: str, **options: Any) -> Wanted:
    """The same where the event is booked."""
    result = mapped(*lines, **options)
    assert isinstance(result, Wanted)
    return result


def spec(*lines: str, **options: Any) -> ReservationSpec:
    """The only spec of an event."""
    (only,) = wanted(*lines, **options).specs
    return only


def rooms(*lines: str, source: SourceRules | None = None) -> list[str | None]:
    """The rooms that an event asks for."""
    return [s.room_id for s in wanted(*lines, source=source).specs]


def notes(result: Wanted) -> list[Reason]:
    """The reasons of what was left out."""
    return [note.reason for note in result.notes]


def why_skipped(*lines: str, **rules: Any) -> Reason:
    """The reason why an event is not booked."""
    result = mapped(*lines, **rules)
    assert isinstance(result, Skipped)
    assert result.detail
    return result.reason


def test_example_of_the_documentation() -> None:
    """The request that the API documentation prints is what a plain VEVENT becomes, field for field."""
    only = spec(
        "DTSTART:20210630T080358Z",
        "DTEND:20210630T093102Z",
        "SUMMARY:Test Meeting",
        "LOCATION:Small meeting room",
        "ATTENDEE:mailto:alice@example.com",
        "ATTENDEE:mailto:bob@example.com",
        "DESCRIPTION:a description",
        "BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT3M\nEND:VALARM",
        "ATTACH:http://files.example.com/12222.jpg",
    )
    assert payload(only, None) == {
        "topic": "Test Meeting",
        "start_time": 1625040238000,
        "end_time": 1625045462000,
        "meeting_room_id": "1410148741926678528",
        "participants": ["1", "2"],
        "cc_participants": [],
        "notice": True,
        "notice_time": 180,
        "description": "a description",
        "creator": "3",
        "attachments": [
            {
                "name": "12222.jpg",
                "url": "http://files.example.com/12222.jpg",
                "type": "jpg",
            }
        ],
    }


class TestTopicAndTime:
    """topic, start_time, end_time."""

    @pytest.mark.parametrize(
        ("lines", "topic"),
        [
            (("SUMMARY:  Weekly \\n  sync\t now ",), "Weekly sync now"),
            (("SUMMARY:a\\, b\\; c\\\\d",), "a, b; c\\d"),
            (("SUMMARY:",), "(no title)"),
            (("SUMMARY: \\n ",), "(no title)"),
            ((), "(no title)"),
        ],
    )
    def test_topic(self, lines: tuple[str, ...], topic: str) -> None:
        """White space of SUMMARY is folded, and an empty one says so."""
        assert spec(*lines).topic == topic

    @pytest.mark.parametrize(
        "lines",
        [
            ("DTSTART:20210630T080000Z",),
            ("DTSTART:20210630T080000Z", "DTEND:20210630T080000Z"),
        ],
    )
    def test_no_duration(self, lines: tuple[str, ...]) -> None:
        """An event without length is skipped."""
        assert why_skipped(*lines) is Reason.NO_DURATION

    @pytest.mark.parametrize(
        ("policy", "days", "start", "end"),
        [
            (
                "whole-day",
                ("20210328", "20210329"),
                "20210327T23",
                "20210328T22",
            ),  # 23 hours
            (
                "whole-day",
                ("20211031", "20211101"),
                "20211030T22",
                "20211031T23",
            ),  # 25 hours
            ("working-hours", ("20210328", "20210329"), "20210328T07", "20210328T16"),
            ("working-hours", ("20210327", "20210330"), "20210327T08", "20210329T16"),
        ],
    )
    def test_all_day(
        self, policy: str, days: tuple[str, str], start: str, end: str
    ) -> None:
        """Whole days go from midnight to midnight or over working hours, in the zone, over clock changes."""
        only = spec(
            f"DTSTART;VALUE=DATE:{days[0]}",
            f"DTEND;VALUE=DATE:{days[1]}",
            all_day=policy,
            zone="Europe/Berlin",
        )
        assert (f"{only.start:%Y%m%dT%H}", f"{only.end:%Y%m%dT%H}") == (start, end)

    def test_all_day_is_in_the_zone_of_the_source(self) -> None:
        """The days are those of the source's zone."""
        only = spec(
            "DTSTART;VALUE=DATE:20210630", all_day="whole-day", zone="Asia/Tokyo"
        )
        assert only.start == datetime(2021, 6, 29, 15, tzinfo=UTC)

    def test_all_day_skipped(self) -> None:
        """By default whole days are skipped."""
        assert why_skipped("DTSTART;VALUE=DATE:20210630") is Reason.ALL_DAY

    def test_working_hours_in_a_gap(self) -> None:
        """Working hours that a clock change swallows leave nothing to book, and no crash."""
        lines = ("DTSTART;VALUE=DATE:20210328",)
        hours = (time(2, 30), time(3, 15))
        assert (
            why_skipped(*lines, all_day="working-hours", working_hours=hours)
            is Reason.NO_DURATION
        )

    @pytest.mark.parametrize(
        ("line", "rule", "reason"),
        [
            ("TRANSP:TRANSPARENT", "transparent", Reason.TRANSPARENT),
            ("STATUS:TENTATIVE", "tentative", Reason.TENTATIVE),
            ("CLASS:PRIVATE", "private", Reason.PRIVATE),
            ("LOCATION:nowhere", "roomless", Reason.ROOMLESS),
        ],
    )
    def test_rules(self, line: str, rule: str, reason: Reason) -> None:
        """Each rule skips with its reason, and books when it says so."""
        assert why_skipped(line, **{rule: "skip"}) is reason
        booked: Any = {rule: "book"}
        assert isinstance(mapped(line, **booked), Wanted)

    def test_transparent_by_default(self) -> None:
        """Free time blocks no room unless somebody says so, and tentative meetings do."""
        assert why_skipped("TRANSP:TRANSPARENT") is Reason.TRANSPARENT
        assert isinstance(mapped("STATUS:TENTATIVE"), Wanted)


class TestRoom:
    """meeting_room_id."""

    SOURCE = SourceRules(room_id=SOURCE_ROOM)
    ATTENDEE = "ATTENDEE;CUTYPE=ROOM:mailto:room-small@example.com"

    def test_order(self) -> None:
        """Attendees count before LOCATION, LOCATION before the source's room, and else there is none."""
        location = "LOCATION:Large meeting room"
        assert rooms(location, self.ATTENDEE, source=self.SOURCE) == [SMALL]
        assert rooms(location, source=self.SOURCE) == [LARGE]
        assert rooms("LOCATION:elsewhere", source=self.SOURCE) == [SOURCE_ROOM]
        assert rooms("LOCATION:elsewhere") == [None]

    @pytest.mark.parametrize(
        "line",
        [
            "ATTENDEE;CUTYPE=ROOM:mailto:room-small@example.com",
            "ATTENDEE;CUTYPE=RESOURCE:MAILTO:Room-Small@Example.com",
            "ATTENDEE:room-small@example.com",
            "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=NON-PARTICIPANT:mailto:room-small@example.com",
            "ATTENDEE;EMAIL=room-small@example.com:urn:uuid:1234",
        ],
    )
    def test_attendee(self, line: str) -> None:
        """A room is an attendee with a known address, whatever it is called."""
        only = spec(line)
        assert (only.room_id, only.participants, only.cc_participants) == (
            SMALL,
            ("3",),
            (),
        )

    def test_several(self) -> None:
        """Several rooms give one reservation each that differ in nothing but the room, without repeats."""
        result = wanted(
            "SUMMARY:x",
            self.ATTENDEE,
            "ATTENDEE;CUTYPE=RESOURCE:mailto:room-large@example.com",
            self.ATTENDEE,
        )
        assert [s.room_id for s in result.specs] == [SMALL, LARGE]
        assert result.specs[0].changed_from(result.specs[1]) == ("meeting_room_id",)

    @pytest.mark.parametrize(
        ("location", "found"),
        [
            ("Small meeting room", [SMALL]),
            ("  SMALL   Meeting\\nroom ", [SMALL]),
            ("Small meeting room; Large meeting room", [SMALL, LARGE]),
            ("Large meeting room\\, Small meeting room", [LARGE, SMALL]),
            ("Small meeting room\\;Small meeting room", [SMALL]),
            ("Berlin\\; 1.01\\, Small", [SMALL]),  # the whole text is a name
            ("room s1", [SOUTH]),
            ("Small meeting room; Room S2", [SMALL, SOUTH]),
            ("Large meeting room and more", [None]),
            ("Room South", [None]),
            ("", [None]),
        ],
    )
    def test_location(self, location: str, found: list[str | None]) -> None:
        """LOCATION is taken whole and in parts, names before expressions, in any letter case."""
        assert rooms(f"LOCATION:{location}") == found

    def test_names_before_expressions(self) -> None:
        """A name counts before an expression that matches as well."""
        named = RoomRule("named", frozenset(), frozenset({"room s1"}))
        for location in ("Room S1", "Room S1; second floor"):
            assert (
                spec(f"LOCATION:{location}", rooms=(ROOMS[2], named)).room_id == "named"
            )

    def test_name_with_a_comma_beside_another(self) -> None:
        """A name may hold a comma, also in a list that semicolons separate."""
        hall = RoomRule("5", frozenset(), frozenset({"hall, left"}))
        result = wanted(
            "LOCATION:Hall\\, left\\; Small meeting room", rooms=(hall, *ROOMS)
        )
        assert [s.room_id for s in result.specs] == ["5", SMALL]

    def test_expression_over_the_whole(self) -> None:
        """An expression may need the separators that split the text."""
        room = RoomRule("5", frozenset(), frozenset(), (re.compile(r"Hall, Floor \d"),))
        assert spec("LOCATION:Hall\\, Floor 2", rooms=(room,)).room_id == "5"

    def test_never_invented(self) -> None:
        """A room that the configuration does not know is noted, nobody's participant, and not booked."""
        result = wanted("ATTENDEE;CUTYPE=ROOM;CN=Attic:mailto:attic@example.com")
        assert [s.room_id for s in result.specs] == [None]
        assert notes(result) == [Reason.UNKNOWN_ROOM]
        assert "Attic" in result.notes[0].detail

    def test_things_are_no_rooms(self) -> None:
        """An unknown resource, which may be a room or a projector, is no person, and is told."""
        result = wanted(
            "ATTENDEE;CUTYPE=RESOURCE:mailto:projector@example.com", unmapped="reject"
        )
        assert (result.specs[0].participants, result.rejected) == (("3",), "")
        assert notes(result) == [Reason.UNKNOWN_ROOM]
        assert (
            "The resource 'projector@example.com' is no room" in result.notes[0].detail
        )


class TestNamesOfRooms:
    """Names as people and programs write them."""

    @pytest.mark.parametrize(
        "location",
        [
            "Gr\u00fcner Raum",
            "Gru\u0308ner Raum",
            "GRU\u0308NER\u00a0RAUM",
            "Gr\u00fc\u00adner\u3000Raum\u200b",
            "\ufeff\uff27r\u00fcner \u200eRaum\u200f",
        ],
    )
    def test_forms_of_letters(self, location: str) -> None:
        """Decomposed, full-width and invisible signs mean nothing in a name."""
        assert rooms(f"LOCATION:{location}") == [GREEN]

    @pytest.mark.parametrize(
        "location",
        ["STRASSE 7", "stra\u00dfe 7", "Stra\u00dfe\u200b 7", "\uff33trasse 7"],
    )
    def test_forms_of_letters_for_expressions(self, location: str) -> None:
        """An expression finds the same name in every form of its letters."""
        assert rooms(f"LOCATION:near {location}") == [STREET]

    @pytest.mark.parametrize(
        "location",
        [
            "Small meeting room\\nLarge meeting room",
            "Small meeting room\u2028Large meeting room",
            "Small meeting room\uff1bLarge meeting room",
            "Small meeting room\uff0c Large meeting room",
            "\\nSmall meeting room\\n\\nLarge meeting room\\, second floor",
            "Berlin\\; 1.01\\, Small\\nLarge meeting room",
        ],
    )
    def test_parts(self, location: str) -> None:
        """Line ends and full-width separators part places as semicolons and commas do."""
        assert rooms(f"LOCATION:{location}") == [SMALL, LARGE]

    def test_line_end_in_a_name(self) -> None:
        """A line end inside a known name is a blank."""
        assert rooms("LOCATION:Small\\nmeeting room") == [SMALL]


class TestDeclined:
    """Rooms that said no."""

    @pytest.mark.parametrize("kind", ["CUTYPE=ROOM;", "CUTYPE=RESOURCE;", ""])
    def test_declined(self, kind: str) -> None:
        """A room that declined is not booked, whatever it is called, and is told."""
        result = wanted(
            f"ATTENDEE;{kind}PARTSTAT=declined:mailto:room-small@example.com",
            f"ATTENDEE;{kind}PARTSTAT=ACCEPTED:mailto:room-large@example.com",
        )
        assert [s.room_id for s in result.specs] == [LARGE]
        assert notes(result) == [Reason.ROOM_DECLINED]
        assert "Small meeting room" in result.notes[0].detail

    @pytest.mark.parametrize(
        "status",
        ["", ";PARTSTAT=NEEDS-ACTION", ";PARTSTAT=TENTATIVE", ";PARTSTAT=X-MAYBE"],
    )
    def test_no_refusal(self, status: str) -> None:
        """Anything but a no is a yes."""
        assert rooms(f"ATTENDEE;CUTYPE=ROOM{status}:mailto:room-small@example.com") == [
            SMALL
        ]

    @pytest.mark.parametrize(
        ("location", "ids"),
        [
            ("Small meeting room", [None]),
            ("Small meeting room, Large meeting room", [LARGE]),
            ("Berlin\\; 1.01\\, Small", [None]),
        ],
    )
    def test_not_brought_back(self, location: str, ids: list[str | None]) -> None:
        """LOCATION brings back no room that declined, and it is no unknown one."""
        declined = (
            "ATTENDEE;CUTYPE=ROOM;PARTSTAT=DECLINED:mailto:room-small@example.com"
        )
        result = wanted(declined, f"LOCATION:{location}")
        assert [s.room_id for s in result.specs] == ids
        assert notes(result) == [Reason.ROOM_DECLINED]

    def test_not_brought_back_by_its_source(self) -> None:
        """The source's room is none of the event's if it is the one that declined."""
        declined = (
            "ATTENDEE;CUTYPE=ROOM;PARTSTAT=DECLINED:mailto:room-small@example.com"
        )
        assert rooms(declined, source=SourceRules(room_id=SMALL)) == [None]
        assert rooms(declined, source=SourceRules(room_id=SOURCE_ROOM)) == [SOURCE_ROOM]
        named = (declined, "LOCATION:Small meeting room")
        assert rooms(*named, source=SourceRules(room_id=SOURCE_ROOM)) == [SOURCE_ROOM]

    def test_skipped(self) -> None:
        """An event that is not booked for want of a room says that its room declined."""
        declined = (
            "ATTENDEE;CUTYPE=ROOM;PARTSTAT=DECLINED:mailto:room-small@example.com"
        )
        result = mapped(declined, roomless="skip")
        assert isinstance(result, Skipped)
        assert (result.reason, [note.reason for note in result.notes]) == (
            Reason.ROOMLESS,
            [Reason.ROOM_DECLINED],
        )
        assert "Small meeting room" in result.detail

    def test_masked(self) -> None:
        """Of a private event it is told which room declined, and not what place it names."""
        result = wanted(
            "CLASS:PRIVATE",
            "ATTENDEE;CUTYPE=ROOM;PARTSTAT=DECLINED:mailto:room-small@example.com",
            "LOCATION:Dr. Smith",
        )
        assert notes(result) == [Reason.ROOM_DECLINED, Reason.UNKNOWN_ROOM]
        assert "Smith" not in str(result.notes)


class TestUnknownPlaces:
    """What looks like a place and is no room."""

    @pytest.mark.parametrize(
        ("location", "nearest"),
        [
            ("Smal meeting room", "Small meeting room"),
            ("Large meting room\\nsecond floor", "Large meeting room"),
            ("Berlin 1.01 Small", "Berlin; 1.01, Small"),
            ("The Atrium", ""),
            ("Room 101", ""),
            ("101", ""),
            ("Grunder Raum https://meet.example.com/1", ""),
            ("Zoom room", ""),
            ("Hauptstr. 1\\, 10115 Berlin", ""),
        ],
    )
    def test_place(self, location: str, nearest: str) -> None:
        """A text that names no room is told, with the name that is nearest."""
        result = wanted(f"LOCATION:{location}")
        assert notes(result) == [Reason.UNKNOWN_ROOM]
        assert (f'did you mean "{nearest}"?' in result.notes[0].detail) == bool(nearest)

    @pytest.mark.parametrize(
        "location",
        [
            "",
            " - ",
            "Zoom",
            "Microsoft Teams-Besprechung",
            "R\u00e9union Microsoft Teams",
            "Google Meet",
            "https://example.zoom.us/j/123?pwd=x",
            "Zoom: https://zoom.us/j/1\\; +49 30 1234567",
            "meet.google.com/abc-defg-hij",
            "tel:+4930123456",
            "Online",
            "TBD",
            "Skype Meeting",
        ],
    )
    def test_no_place(self, location: str) -> None:
        """Links, numbers and words for no place are no rooms that somebody forgot."""
        assert notes(wanted(f"LOCATION:{location}")) == []

    def test_a_part_that_is_nearly_a_room(self) -> None:
        """Beside a known room a part is told only if it is nearly the name of one."""
        assert notes(wanted("LOCATION:Small meeting room\\, second floor")) == []
        result = wanted("LOCATION:Small meeting room\\, Large meting room")
        assert notes(result) == [Reason.UNKNOWN_ROOM]
        assert "Large meeting room" in result.notes[0].detail

    def test_invited(self) -> None:
        """Where a room is invited, LOCATION is not asked, and nothing is told about it."""
        line = "ATTENDEE;CUTYPE=ROOM:mailto:room-small@example.com"
        assert notes(wanted(line, "LOCATION:HQ")) == []

    @pytest.mark.parametrize("kind", ["ROOM", "RESOURCE"])
    def test_unknown_address(self, kind: str) -> None:
        """An invited room whose address nobody knows is told with the nearest name."""
        result = wanted(
            f'ATTENDEE;CUTYPE={kind};CN="Small meetingroom":mailto:r7@example.com'
        )
        assert notes(result) == [Reason.UNKNOWN_ROOM]
        assert 'did you mean "Small meeting room"?' in result.notes[0].detail

    @pytest.mark.parametrize(
        ("component", "told"),
        [
            ("BEGIN:VLOCATION\nUID:1\nNAME:Smal meeting room\nEND:VLOCATION", True),
            (
                "BEGIN:VRESOURCE\nUID:1\nRESOURCE-TYPE:room\nNAME:The Atrium\nEND:VRESOURCE",
                True,
            ),
            (
                "BEGIN:VRESOURCE\nUID:1\nRESOURCE-TYPE:PROJECTOR\nNAME:Beamer\nEND:VRESOURCE",
                False,
            ),
            ("BEGIN:VLOCATION\nUID:1\nNAME:Large meeting room\nEND:VLOCATION", False),
            ("BEGIN:VLOCATION\nUID:1\nNAME:Zoom\nEND:VLOCATION", False),
            ("BEGIN:VLOCATION\nUID:1\nEND:VLOCATION", False),
        ],
    )
    def test_components(self, component: str, told: bool) -> None:
        """A place in VLOCATION or VRESOURCE books nothing, and is told unless it is booked anyway."""
        result = wanted("LOCATION:Large meeting room", component)
        assert [s.room_id for s in result.specs] == [LARGE]
        assert notes(result) == [Reason.UNKNOWN_ROOM] * told


class TestDelegates:
    """People who send others."""

    TO = 'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:bob@example.com":mailto:alice@example.com'
    FROM = 'ATTENDEE;DELEGATED-FROM="mailto:alice@example.com":mailto:bob@example.com'

    @pytest.mark.parametrize(
        ("lines", "people"),
        [
            ((TO, FROM), ["2"]),
            ((FROM, TO), ["2"]),
            ((TO, "ATTENDEE:mailto:bob@example.com"), ["2"]),
            (("ATTENDEE;PARTSTAT=DELEGATED:mailto:alice@example.com", FROM), ["2"]),
            ((TO, "ATTENDEE:mailto:carol@example.com"), ["1", "7"]),
            ((TO.replace("PARTSTAT=DELEGATED", "PARTSTAT=ACCEPTED"), FROM), ["1", "2"]),
            (
                (
                    TO,
                    FROM.replace(
                        "ATTENDEE;",
                        'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:carol@example.com";',
                    ),
                    'ATTENDEE;DELEGATED-FROM="mailto:bob@example.com":mailto:carol@example.com',
                ),
                ["7"],
            ),
        ],
    )
    def test_delegate(self, lines: tuple[str, ...], people: list[str]) -> None:
        """A delegate that is listed takes part instead of the delegator."""
        assert list(spec(*lines).participants) == people

    def test_room(self) -> None:
        """A room that sends another one is not booked itself."""
        ids = rooms(
            'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="mailto:room-large@example.com":mailto:room-small@example.com',
            "ATTENDEE:mailto:room-large@example.com",
        )
        assert ids == [LARGE]


class TestPeople:
    """participants, cc_participants, creator."""

    @pytest.mark.parametrize(
        "line",
        [
            "ATTENDEE:mailto:alice@example.com",
            "ATTENDEE:MAILTO:Alice@Example.COM",
            "ATTENDEE:alice@example.com",
            "ATTENDEE:mailto:alice%40example.com",
            "ATTENDEE;EMAIL=Alice@example.com:/principals/alice",
            "ATTENDEE;ROLE=CHAIR:mailto:alice@example.com",
            "ATTENDEE;ROLE=X-SOMETHING:mailto:alice@example.com",
            "ATTENDEE;PARTSTAT=TENTATIVE:mailto:alice@example.com",
            "ATTENDEE;CUTYPE=GROUP:mailto:alice@example.com",
        ],
    )
    def test_participant(self, line: str) -> None:
        """People are found by address in any spelling; unknown roles count as required."""
        assert spec(line).participants == ("1",)

    def test_order_and_repeats(self) -> None:
        """People stand in file order, each user once, though two addresses may mean one user."""
        people = {**PEOPLE, "alice@home.example": "1"}
        attendees = (
            "bob@example.com",
            "alice@home.example",
            "alice@example.com",
            "bob@example.com",
        )
        lines = [f"ATTENDEE:mailto:{address}" for address in attendees]
        assert spec(*lines, people=people).participants == ("2", "1")

    @pytest.mark.parametrize(
        ("optional", "participants", "informed"),
        [("participant", ("2", "1"), ()), ("cc", ("2",), ("1",)), ("skip", ("2",), ())],
    )
    def test_optional(
        self, optional: str, participants: tuple[str, ...], informed: tuple[str, ...]
    ) -> None:
        """Optional people take part, are in copy, or are left out, as configured."""
        only = spec(
            "ATTENDEE:mailto:bob@example.com",
            "ATTENDEE;ROLE=OPT-PARTICIPANT:mailto:alice@example.com",
            optional=optional,
        )
        assert (only.participants, only.cc_participants) == (participants, informed)

    @pytest.mark.parametrize(
        ("declined", "participants"), [("skip", ("2",)), ("keep", ("1", "2"))]
    )
    def test_declined(self, declined: str, participants: tuple[str, ...]) -> None:
        """Who declined is left out or kept, as configured."""
        only = spec(
            "ATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.com",
            "ATTENDEE:mailto:bob@example.com",
            declined=declined,
        )
        assert only.participants == participants

    def test_copy(self) -> None:
        """NON-PARTICIPANT, then the source's cc are in copy, but nobody who takes part."""
        only = spec(
            "ATTENDEE;ROLE=NON-PARTICIPANT:mailto:carol@example.com",
            "ATTENDEE;ROLE=NON-PARTICIPANT:mailto:alice@example.com",
            "ATTENDEE:mailto:alice@example.com",
            source=SourceRules(
                cc=("boss@example.com", "alice@example.com", "carol@example.com")
            ),
        )
        assert (only.participants, only.cc_participants) == (("1",), ("7", "9"))

    def test_creator_alone(self) -> None:
        """If nobody is left the creator takes part alone, and is not in copy besides."""
        only = spec(
            "ORGANIZER:mailto:boss@example.com",
            "ATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.com",
            "ATTENDEE;ROLE=NON-PARTICIPANT:mailto:boss@example.com",
        )
        assert (only.creator, only.participants, only.cc_participants) == (
            "9",
            ("9",),
            (),
        )

    @pytest.mark.parametrize(
        ("organizer", "source", "creator"),
        [
            (
                "ORGANIZER;CN=Boss:MAILTO:Boss@example.com",
                SourceRules(creator="5"),
                "9",
            ),
            (
                "ORGANIZER;EMAIL=boss@example.com:urn:uuid:1",
                SourceRules(creator="5"),
                "9",
            ),
            ("ORGANIZER:mailto:stranger@example.com", SourceRules(creator="5"), "5"),
            ("COMMENT:no organizer", SourceRules(creator="5"), "5"),
            ("ORGANIZER:mailto:stranger@example.com", SourceRules(), "3"),
        ],
    )
    def test_creator(self, organizer: str, source: SourceRules, creator: str) -> None:
        """The creator is the organizer if mapped, else the source's, else the configured one."""
        assert spec(organizer, source=source).creator == creator

    def test_unmapped(self) -> None:
        """Who has no user id is left out with a note, or rejects the event, as configured."""
        lines = (
            "ATTENDEE:mailto:stranger@example.com",
            "ATTENDEE:mailto:alice@example.com",
        )
        lenient, strict = wanted(*lines), wanted(*lines, unmapped="reject")
        assert lenient.specs[0].participants == ("1",)
        assert (notes(lenient), lenient.rejected) == ([Reason.UNMAPPED_ATTENDEE], "")
        assert "stranger@example.com" in strict.rejected
        assert "people" in strict.rejected

    def test_all_who_are_unmapped_are_one_note(self) -> None:
        """A meeting has one note on those who have no user id, with each address once."""
        first, second = "stranger@example.com", "visitor@example.com"
        lines = [f"ATTENDEE:mailto:{name}" for name in (first, second, first)]
        (note,) = wanted(*lines).notes
        assert note.detail == f"No user id is known for {first}, {second}."

    def test_unmapped_who_would_not_count(self) -> None:
        """Somebody who is left out anyway needs no user id."""
        line = "ATTENDEE;PARTSTAT=DECLINED:mailto:stranger@example.com"
        assert wanted(line, unmapped="reject").rejected == ""

    def test_addresses_for_lookup(self) -> None:
        """The directory is asked for people without user id, not for rooms, resources and known people."""
        (occurrence,) = occurrences(
            (
                *HOUR,
                "ORGANIZER:mailto:o@example.com",
                "ATTENDEE;EMAIL=b@example.com:mailto:a@example.com",
                "ATTENDEE:mailto:alice@example.com",
                "ATTENDEE:mailto:room-small@example.com",
                "ATTENDEE;CUTYPE=RESOURCE:mailto:projector@example.com",
            )
        )
        assert list(mapper().addresses(occurrence)) == [
            "a@example.com",
            "b@example.com",
            "o@example.com",
        ]


class TestNotice:
    """notice, notice_time."""

    @pytest.mark.parametrize(
        ("triggers", "seconds"),
        [
            ((), 900),
            (("TRIGGER:-PT15M", "TRIGGER:-PT5M", "TRIGGER:-P1D"), 300),
            (("TRIGGER:PT0S",), 0),
            (("TRIGGER:PT5M",), 900),  # after the start
            (("TRIGGER:PT5M", "TRIGGER:-PT10M"), 600),
            (("TRIGGER;RELATED=END:-PT70M",), 600),
            (("TRIGGER;RELATED=END:-PT10M",), 900),  # during the meeting
            (("TRIGGER;RELATED=START:-P1W",), 604800),
            (("TRIGGER;VALUE=DATE-TIME:20210630T075500Z",), 300),
            (("TRIGGER;VALUE=DATE-TIME:20210630T080500Z",), 900),
            (("ACTION:NONE\nTRIGGER:-PT1M", "ACTION:AUDIO\nTRIGGER:-PT2M"), 120),
            (("ACTION:NONE\nTRIGGER:-PT1M",), 900),
            (("TRIGGER:soon",), 900),
        ],
    )
    def test_notice_time(self, triggers: tuple[str, ...], seconds: int) -> None:
        """The smallest non-negative lead of the alarms counts, else the configured default."""
        alarms = [f"BEGIN:VALARM\n{trigger}\nEND:VALARM" for trigger in triggers]
        only = spec(*alarms)
        assert (only.notice, only.notice_time_s) == (True, seconds)

    def test_silence(self) -> None:
        """`notice = false` silences, whatever the alarms say."""
        assert not spec("BEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM", notice=False).notice


class TestDescription:
    """description."""

    LINK = "https://meet.example.com/abc"

    def sent(self, *lines: str) -> str:
        """The description with its mark, as it is sent."""
        return MARK.append_to(spec(*lines).description)

    def test_text_link_and_mark(self) -> None:
        """Plain text, the joining link on a new line, and the mark on a new line."""
        text = self.sent(
            "DESCRIPTION:<p>Hello &amp; <b>welcome</b></p>", f"URL:{self.LINK}"
        )
        assert text == f"Hello & welcome\n{self.LINK}\n{MARK}"

    def test_link_that_the_text_has(self) -> None:
        """A link that stands in the text is not repeated."""
        assert (
            spec(f"DESCRIPTION:Join {self.LINK} now", f"URL:{self.LINK}").description
            == f"Join {self.LINK} now"
        )

    def test_link_alone(self) -> None:
        """Without text the link stands alone, and without either only the mark is sent."""
        assert spec(f"URL:{self.LINK}").description == self.LINK
        assert self.sent() == str(MARK)

    @pytest.mark.parametrize(
        "text", [f"{'long ' * 80}", f"{'long ' * 80}{LINK} end", f"{LINK} {'x' * 400}"]
    )
    def test_link_is_kept_when_text_is_cut(self, text: str) -> None:
        """Whatever has to be cut, the whole link stays, once, and the cut is noted."""
        result = wanted(f"DESCRIPTION:{text}", f"URL:{self.LINK}")
        description = result.specs[0].description
        assert description.count(self.LINK) == 1
        assert "…" in description
        assert utf16_length(MARK.append_to(description)) <= DESCRIPTION_LIMIT
        assert notes(result) == [Reason.TEXT_CUT]

    def test_link_leaves_no_room(self) -> None:
        """A link that fills the description displaces the text, which is noted."""
        link = "https://meet.example.com/".ljust(
            DESCRIPTION_LIMIT - len(str(MARK)) - 1, "x"
        )
        result = wanted("DESCRIPTION:some words that are lost", f"URL:{link}")
        assert result.specs[0].description == link
        assert notes(result) == [Reason.TEXT_CUT]

    def test_link_too_long(self) -> None:
        """A link that does not fit at all is left out rather than broken, with a note."""
        result = wanted(
            "DESCRIPTION:words", "URL:https://meet.example.com/" + "x" * 300
        )
        assert (result.specs[0].description, notes(result)) == (
            "words",
            [Reason.TEXT_CUT],
        )

    def test_exact_fit(self) -> None:
        """What fits with the mark is not cut, and one character more is."""
        room = DESCRIPTION_LIMIT - len(str(MARK)) - 1
        assert notes(wanted("DESCRIPTION:" + "x" * room)) == []
        assert len(self.sent("DESCRIPTION:" + "x" * room)) == DESCRIPTION_LIMIT
        assert notes(wanted("DESCRIPTION:" + "x" * (room + 1))) == [Reason.TEXT_CUT]

    def test_without_marker(self) -> None:
        """Without marker the text has the whole limit."""
        only = spec("DESCRIPTION:" + "x" * 300, marker=False)
        assert len(only.description) == DESCRIPTION_LIMIT

    def test_limit_is_in_utf16(self) -> None:
        """Characters beyond the basic plane count twice and are never halved."""
        only = spec("DESCRIPTION:" + "👩\u200d👩\u200d👧" * 60)
        assert only.description == "👩\u200d👩\u200d👧" * 29 + "…"

    @given(
        text=st.text(st.characters(exclude_categories=["Cc", "Cs"])),
        link=st.sampled_from(
            ["", LINK, LINK + "/" + "y" * 150, LINK + "/" + "y" * 230]
        ),
        marker=st.booleans(),
    )
    def test_never_over_the_limit(self, text: str, link: str, marker: bool) -> None:
        """Whatever text and link are, with the mark the description holds at most 256 UTF-16 units."""
        (base,) = occurrences(HOUR)
        occurrence = replace(base, description=text * 5, joining_link=link)
        result = mapper(marker=marker).map(occurrence)
        assert isinstance(result, Wanted)
        description = result.specs[0].description
        assert (
            utf16_length(MARK.append_to(description) if marker else description)
            <= DESCRIPTION_LIMIT
        )
        if (
            link
            and utf16_length(link) <= DESCRIPTION_LIMIT - utf16_length(str(MARK)) - 1
        ):
            assert link in description


class TestAttachments:
    """attachments."""

    @pytest.mark.parametrize(
        ("line", "attachment"),
        [
            (
                "ATTACH;FILENAME=Agenda 1.pdf;SIZE=340275;FMTTYPE=application/pdf:https://example.com/x?y",
                Attachment("https://example.com/x?y", "Agenda 1.pdf", "332.3kb", "pdf"),
            ),
            (
                "ATTACH;X-FILENAME=c.PNG:https://example.com/x",
                Attachment("https://example.com/x", "c.PNG", None, "png"),
            ),
            (
                "ATTACH:https://example.com/a/Gr%C3%BC%C3%9Fe%20b.docx?v=1#top",
                Attachment(
                    "https://example.com/a/Gr%C3%BC%C3%9Fe%20b.docx?v=1#top",
                    "Grüße b.docx",
                    None,
                    "docx",
                ),
            ),
            (
                'ATTACH;FMTTYPE="Image/JPEG; q=1";FILENAME=photo.bin:https://example.com/p',
                Attachment("https://example.com/p", "photo.bin", None, "jpg"),
            ),
            (
                "ATTACH;FMTTYPE=application/x-strange:https://example.com/p.odt",
                Attachment("https://example.com/p.odt", "p.odt", None, "odt"),
            ),
            ("ATTACH:https://example.com/", Attachment("https://example.com/")),
            (
                "ATTACH;SIZE=big:HTTPS://example.com/a",
                Attachment("https://example.com/a", "a"),
            ),
            (
                "ATTACH:../files/d.txt",
                Attachment(
                    "https://feeds.example.com/files/d.txt", "d.txt", None, "txt"
                ),
            ),
        ],
    )
    def test_links(self, line: str, attachment: Attachment) -> None:
        """Name, size and type come from parameters, else from the address; what is not known is left out."""
        only = spec(line, base_url="https://feeds.example.com/calendars/office.ics")
        assert only.attachments == (attachment,)

    def test_unknown_fields_are_not_sent(self) -> None:
        """What is not known is no field of the request."""
        assert payload(spec("ATTACH:https://example.com/"), None)["attachments"] == [
            {"url": "https://example.com/"}
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "ATTACH:CID:part1@example.com",
            "ATTACH:file:///etc/passwd",
            "ATTACH:data:text/plain\\,hello",
            "ATTACH:ftp://example.com/a",
            "ATTACH:relative.pdf",
            "ATTACH:https://",
            "ATTACH:http://[broken",
            "ATTACH;ENCODING=BASE64;VALUE=BINARY:!!!",
            "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=a.txt:aGVsbG8=",
        ],
    )
    def test_left_out(self, line: str) -> None:
        """What others could not open is left out with a note, and the event is booked."""
        result = wanted(line)
        assert result.specs[0].attachments == ()
        assert notes(result) == [Reason.ATTACHMENT_LEFT_OUT]

    def test_at_most_ten(self) -> None:
        """The first ten that can be passed on are, and each further one is noted."""
        lines = [
            "ATTACH:cid:0",
            *(f"ATTACH:https://example.com/{number}.txt" for number in range(12)),
        ]
        result = wanted(*lines)
        assert [a.name for a in result.specs[0].attachments] == [
            f"{number}.txt" for number in range(10)
        ]
        assert notes(result) == [Reason.ATTACHMENT_LEFT_OUT] * 3

    def test_published(self) -> None:
        """Inline data is published under a name that its content gives, so that equal readings agree."""
        line = "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=../../a b.txt:aGVsbG8="
        result = wanted(
            line,
            publish_base_url="https://files.example.com/m/",
            publish_types=frozenset({"txt"}),
        )
        (publication,) = result.publications
        assert publication.data == b"hello"
        assert re.fullmatch(r"[0-9a-f]{32}\.txt", publication.filename)
        assert result.specs[0].attachments == (
            Attachment(
                "https://files.example.com/m/" + publication.filename,
                "../../a b.txt",
                "0.0kb",
                "txt",
            ),
        )
        assert (
            wanted(
                line,
                publish_base_url="https://files.example.com/m/",
                publish_types=frozenset({"txt"}),
            )
            == result
        )


class TestPrivate:
    """What must not leave the process."""

    TOKEN = "takeover"
    SECRETS = (
        "SUMMARY:takeover",
        "DESCRIPTION:takeover",
        "URL:https://takeover.example.com",
        "CONFERENCE;VALUE=URI:https://takeover.example.com",
        "LOCATION:Small meeting room; takeover",
        "CATEGORIES:takeover",
        "COMMENT:takeover",
        "CONTACT:takeover",
        "ATTENDEE;CN=takeover:mailto:alice@example.com",
        "ATTENDEE;CUTYPE=ROOM;CN=takeover:mailto:takeover@example.com",
        "ATTENDEE:mailto:takeover@example.com",
        "ATTACH;FILENAME=takeover.txt:https://takeover.example.com/takeover.txt",
        "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=takeover.txt:dGFrZW92ZXI=",
        "BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:takeover\nTRIGGER:-PT7M\nEND:VALARM",
        "X-ALT-DESC:takeover",
    )

    @given(
        st.sets(st.sampled_from(SECRETS)), st.sampled_from(["PRIVATE", "CONFIDENTIAL"])
    )
    def test_nothing_leaks(self, lines: set[str], kind: str) -> None:
        """Whatever a private event says, only time, room and creator leave the process."""
        result = wanted(
            f"CLASS:{kind}",
            "ORGANIZER;CN=takeover:mailto:boss@example.com",
            *sorted(lines),
            source=SourceRules(cc=("carol@example.com", "takeover@example.com")),
            unmapped="reject",
            publish_base_url="https://files.example.com",
            publish_types=frozenset({"txt"}),
        )
        assert self.TOKEN not in repr(result)
        (only,) = result.specs
        assert only == ReservationSpec(
            topic="Private meeting",
            start=datetime(2021, 6, 30, 8, tzinfo=UTC),
            end=datetime(2021, 6, 30, 9, tzinfo=UTC),
            room_id=SMALL if "LOCATION:Small meeting room; takeover" in lines else None,
            participants=("9",),
            cc_participants=(),
            notice=True,
            notice_time_s=900,
            description="",
            creator="9",
        )
        assert (result.publications, result.rejected) == ((), "")

    def test_booked_openly_if_configured(self) -> None:
        """`private = book` treats it as any other."""
        assert (
            spec("CLASS:PRIVATE", "SUMMARY:takeover", private="book").topic
            == "takeover"
        )


class TestSameness:
    """Equal readings give equal specs."""

    EVENTS = (
        (
            *HOUR,
            "SUMMARY:one",
            "ATTENDEE:mailto:bob@example.com",
            "RRULE:FREQ=DAILY;COUNT=3",
        ),
        (
            *HOUR,
            "SUMMARY:two",
            "LOCATION:Room S1; Large meeting room",
            "DESCRIPTION:" + "x" * 300,
        ),
        (
            *HOUR,
            "ATTACH;ENCODING=BASE64;VALUE=BINARY:aGVsbG8=",
            "ORGANIZER:mailto:boss@example.com",
        ),
    )

    def fingerprints(
        self, events: list[Occurrence]
    ) -> dict[tuple[str, str | None], list[str]]:
        """The specs of each occurrence by its identity."""
        found = {}
        for occurrence in events:
            result = mapper(
                publish_base_url="https://files.example.com",
                publish_types=frozenset({"txt"}),
            ).map(occurrence)
            assert isinstance(result, Wanted)
            found[occurrence.summary, occurrence.key.recurrence_id] = [
                s.fingerprint for s in result.specs
            ]
        return found

    def test_two_readings(self) -> None:
        """Two readings of one calendar, also with its components reversed, give equal specs."""
        first = self.fingerprints(occurrences(*self.EVENTS))
        assert len(first) == 5
        assert self.fingerprints(occurrences(*self.EVENTS)) == first
        assert self.fingerprints(occurrences(*self.EVENTS[::-1])) == first

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["alice", "bob", "carol", "boss", "stranger", "room-small"]
                ),
                st.sampled_from(
                    [
                        "",
                        ";ROLE=OPT-PARTICIPANT",
                        ";ROLE=NON-PARTICIPANT",
                        ";PARTSTAT=DECLINED",
                    ]
                ),
            ),
            max_size=12,
        ),
        st.sampled_from(["participant", "cc", "skip"]),
        st.sampled_from(["skip", "keep"]),
    )
    def test_people_stand_once(
        self, people: list[tuple[str, str]], optional: str, declined: str
    ) -> None:
        """Whoever is invited how, nobody stands twice, and somebody takes part."""
        only = spec(
            *(f"ATTENDEE{how}:mailto:{name}@example.com" for name, how in people),
            source=SourceRules(cc=("carol@example.com", "alice@example.com")),
            optional=optional,
            declined=declined,
        )
        everybody = [*only.participants, *only.cc_participants]
        assert len(everybody) == len(set(everybody))
        assert only.participants
