"""`explain` on every fate that an event can have: the sentence that answers why, and the same as JSON.

Calendars, ledger and API are real, and what was booked was booked by the program.
Most stories are then taken from `story_of` itself, because a process for each would take minutes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.assembly import service
from syncd.config import load
from syncd.explain import story_of, tell
from syncd.sandbox import Sandbox, SandboxSettings
from syncd.views.screen import Screen
from tests.booked import booking_of_an_hour
from tests.conftest import LARGE_ROOM, SMALL_ROOM, Office, ahead, calendar, event

OCCURRENCE_KEYS = {
    "recurrence_id",
    "start",
    "end",
    "room_id",
    "action",
    "state",
    "reservation_id",
    "reason",
    "detail",
    "payload",
    "history",
}


@dataclass(frozen=True)
class Told:
    """One story as people and as scripts get it."""

    text: str
    document: Any
    needs_person: bool

    @property
    def only(self) -> Any:
        """Its one occurrence."""
        (occurrence,) = self.document["occurrences"]
        return occurrence

    def fates(self) -> list[tuple[str, str | None, str | None]]:
        """Action, state and reason of each occurrence."""
        return [
            (o["action"], o["state"], o["reason"]) for o in self.document["occurrences"]
        ]


def told(office: Office, uid: str) -> Told:
    """The story of a UID; line ends of the text are blanks, since they depend on the terminal."""
    with service(load(office.folder / "syncd.toml"), owner=False) as parts:
        story = story_of(uid, parts)
    paper = io.StringIO()
    tell(story, Screen(file=paper, width=160))
    document = json.loads(json.dumps(story.document()))
    assert document["needs_person"] is story.needs_person
    assert all(set(o) >= OCCURRENCE_KEYS for o in document["occurrences"])
    return Told(" ".join(paper.getvalue().split()), document, story.needs_person)


def local(moment: datetime) -> str:
    """A time as people in the office read it."""
    return f"{moment.astimezone(ZoneInfo('Europe/Berlin')):%a %d %b %Y %H:%M}"


def whole_day(uid: str, start: datetime) -> str:
    """A VEVENT of one whole day."""
    day = f"DTSTART;VALUE=DATE:{start:%Y%m%d}"
    return "\r\n".join(
        ["BEGIN:VEVENT", f"UID:{uid}", day, f"SUMMARY:Meeting {uid}", "END:VEVENT"]
    )


def zoned(uid: str, tzid: str, *properties: str) -> str:
    """A VEVENT whose start and end have a TZID, or none if that is empty."""
    parameter = f";TZID={tzid}" if tzid else ""
    text = event(uid, ahead(2), 60, *properties)
    for name in ("DTSTART", "DTEND"):
        text = text.replace(f"{name}:", f"{name}{parameter}:").replace(
            "00Z\r\n", "00\r\n"
        )
    return text


# One calendar with many fates

RULES = (
    'timezone = "Europe/Berlin"\n',
    'timezone = "Europe/Berlin"\ntentative = "skip"\nprivate = "skip"\nroomless = "skip"\n',
)
LONG_AGO = datetime(2026, 1, 5, 9, tzinfo=UTC)
_ALICE = "ORGANIZER:mailto:alice@example.com"
LATER = ahead(4, 15)
WINNER = event("winner", ahead(5), 60, "CREATED:20260101T000000Z", "SUMMARY:The winner")
MEETINGS = (
    event("booked", ahead(1, 7), 60, "SUMMARY:Board\\, weekly", "LOCATION:Nowhere"),
    event("early", ahead(20)),
    whole_day("all_day", ahead(2)),
    event("transparent", ahead(2), 60, "TRANSP:TRANSPARENT"),
    event("tentative", ahead(2), 60, "STATUS:TENTATIVE"),
    event("private", ahead(2), 60, "CLASS:PRIVATE", "SUMMARY:Sesame"),
    event("roomless", ahead(2), room=None),
    event("no_duration", ahead(2), 0),
    event("unmapped", ahead(2), 60, "ATTENDEE:mailto:zoe@example.com"),
    WINNER,
    event("loser", ahead(5), 60, "CREATED:20260201T000000Z"),
    event("broken", ahead(2)).replace("DTSTART", "X-START"),
    zoned("zone", "Customized Time Zone 7"),
    event("backwards", ahead(2), -60),
    event("many", ahead(2), 1, "RRULE:FREQ=MINUTELY"),
    event("cancelled", ahead(2), 60, "STATUS:CANCELLED"),
    event("past", ahead(-30)),
    event("beyond", ahead(60)),
    event(
        "series",
        ahead(1, 13),
        30,
        "RRULE:FREQ=DAILY;COUNT=4",
        f"EXDATE:{ahead(2, 13):%Y%m%dT%H%M%SZ}",
    ),
    event(
        "series",
        LATER,
        30,
        f"RECURRENCE-ID:{ahead(3, 13):%Y%m%dT%H%M%SZ}",
        "SEQUENCE:2",
        room="large",
    ),
    event("rule", LONG_AGO, 30, "RRULE:FREQ=WEEKLY;BYDAY=MO", room="large"),
    event("rich", ahead(6), 60, f"DESCRIPTION:{'long text ' * 40}", "ATTACH:CID:1"),
)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office after one cycle over a calendar in which every event has another fate."""
    folder: Path = tmp_path_factory.mktemp("crowd")
    with Sandbox(SandboxSettings()).running() as running:
        office = Office(folder, running.url, running.client_id, running.client_secret)
        office.change(
            RULES,
            ("[people.addresses]", '[people]\nunmapped = "reject"\n[people.addresses]'),
        )
        office.write(*MEETINGS)
        office.once()
        yield office


SKIPPED = {
    "all_day": "The event lasts whole days. Whole-day events are not booked (calendar.all_day).",
    "transparent": "The event is marked as free time. The event does not block time (calendar.transparent).",
    "tentative": "The event is tentative. Tentative events are not booked (calendar.tentative).",
    "private": "The event is private. Private events are not booked (calendar.private).",
    "roomless": "The event names no room of the configuration. The event names no known room",
    "no_duration": "The event has neither an end nor a duration. The event has no length.",
}


@pytest.mark.parametrize("reason", SKIPPED)
def test_what_is_skipped_by_rule_names_the_rule(crowd: Office, reason: str) -> None:
    """An event that a rule leaves out says what it is, which rule that meets, and needs nobody."""
    story = told(crowd, reason)
    assert "It is not booked." in story.text
    assert SKIPPED[reason] in story.text
    assert f"[{reason}]" in story.text
    assert story.fates() == [("skip", None, reason)]
    assert not story.needs_person


QUARANTINED = {
    "broken": ("broken_property", "the event has no DTSTART"),
    "zone": ("unknown_timezone", 'the time zone "Customized Time Zone 7" is not known'),
    "backwards": ("end_before_start", "the event ends before it starts"),
    "many": ("too_many_occurrences", "dates within the horizon"),
}


@pytest.mark.parametrize("uid", QUARANTINED)
def test_what_is_quarantined_names_line_and_cause(crowd: Office, uid: str) -> None:
    """An event that cannot be understood says where it stands and what is wrong, and needs a person."""
    reason, cause = QUARANTINED[uid]
    story = told(crowd, uid)
    body = crowd.calendar_file.read_text().splitlines()
    # BEGIN:VEVENT stands above it, and lines count from 1.
    line = body.index(f"UID:{uid}")
    assert (
        f"It is quarantined, because it cannot be understood: office.ics, line {line}:"
        in story.text
    )
    assert cause in story.text
    assert "what is booked stays as it is" in story.text
    (source,) = story.document["sources"]
    assert (source["quarantined"]["line"], source["quarantined"]["reason"]) == (
        line,
        reason,
    )
    assert cause in source["quarantined"]["detail"]
    assert story.fates() == [("skip", None, "quarantined")]
    assert story.needs_person


def test_a_booked_meeting_tells_where_it_stands_and_what_was_sent(
    crowd: Office,
) -> None:
    """What is booked names source, line, zone, room, reservation, and each request with its answer."""
    story = told(crowd, "booked")
    (held,) = [r for r in crowd.reservations() if r["topic"] == "Board, weekly"]
    assert story.text.startswith(
        "Board, weekly UID booked Times are told in Europe/Berlin. Source office has it now, in office.ics: 1 comp"
    )
    assert "Line 4: the event at" in story.text
    assert "Times are written in UTC." in story.text
    assert f"{local(ahead(1, 7))}" in story.text
    assert "Small meeting room" in story.text
    assert (
        f"It is booked: reservation {held['reservation_id']}. It is as the calendar wants it"
        in story.text
    )
    assert "A request to book it was sent: mark [sy:" in story.text
    assert "The API booked it." in story.text
    assert (
        "Asked for: creator 3, participants 3, a notice 15 minutes before."
        in story.text
    )
    assert story.only["wanted"]["participants"] == ["3"]
    assert story.fates() == [("unchanged", "booked", None)]
    assert [h["what"] for h in story.only["history"]] == ["create", "created"]
    assert story.only["reservation_id"] == held["reservation_id"]
    assert (story.only["start"], story.only["room_id"]) == (
        f"{ahead(1, 7):%Y-%m-%dT%H:%M:%SZ}",
        SMALL_ROOM,
    )
    (source,) = story.document["sources"]
    assert (
        source["name"],
        source["line"],
        source["components"],
        source["quarantined"],
    ) == (
        "office",
        4,
        1,
        None,
    )
    assert not story.needs_person


def test_a_meeting_that_waits_for_its_time_says_from_when(crowd: Office) -> None:
    """What the tenant does not let book yet says from which time on it can be booked."""
    story = told(crowd, "early")
    assert "It is not booked yet. The tenant lets book 7 days ahead." in story.text
    assert (
        f"Its booking rules (max_day) allow it from {local(ahead(13))} on."
        in story.text
    )
    assert story.fates() == [("wait", "waiting", "too_early")]
    assert not story.needs_person


def test_unknown_people_reject_with_their_cure(crowd: Office) -> None:
    """An event that is rejected for a person names the person and both ways out."""
    story = told(crowd, "unmapped")
    assert "It is not booked: it was refused." in story.text
    assert "No user id is known for zoe@example.com" in story.text
    assert (
        "add them to the people file, or set people.unmapped to skip. [unmapped_person]"
        in story.text
    )
    assert story.fates() == [("skip", "refused", "unmapped_person")]
    assert story.needs_person


def test_a_conflict_names_the_reservation_in_the_way(crowd: Office) -> None:
    """A meeting whose room is taken names the other reservation and when it is tried again."""
    story = told(crowd, "loser")
    (winner,) = [r for r in crowd.reservations() if r["topic"] == "The winner"]
    assert f"by reservation {winner['reservation_id']} (The winner)." in story.text
    assert (
        "That one is of UID winner; it is tried again when that leaves the room."
        in story.text
    )
    assert "end the other reservation or choose another room or time" in story.text
    assert story.fates() == [("wait", "refused", "room_conflict")]
    assert story.only["booking"]["blocked_by"] == winner["reservation_id"]
    assert story.only["history"][-1]["what"] == "refused"
    assert story.needs_person


def test_a_cancelled_event_that_was_never_booked_says_so(crowd: Office) -> None:
    """STATUS:CANCELLED without a reservation needs nothing."""
    story = told(crowd, "cancelled")
    assert "STATUS CANCELLED" in story.text
    assert (
        "It is not booked. The calendar says that the meeting is cancelled. [event_cancelled]"
        in story.text
    )
    assert story.fates() == [("none", None, "event_cancelled")]
    assert not story.needs_person


def test_what_is_over_is_said_and_counted(crowd: Office) -> None:
    """A past event is not booked; the past dates of a series are a count."""
    story = told(crowd, "past")
    assert "It is over, and nothing was booked for it" in story.text
    assert story.document["occurrences"] == []
    assert story.document["totals"]["past"] == 1
    assert not story.needs_person
    series = told(crowd, "rule")
    weeks = (datetime.now(UTC) - LONG_AGO - timedelta(minutes=30)) // timedelta(
        weeks=1
    ) + 1
    assert f"{weeks} earlier dates of it are over." in series.text
    assert series.document["totals"]["past"] == weeks


def test_what_is_beyond_the_horizon_says_when_it_comes(crowd: Office) -> None:
    """The first date beyond the horizon says on which day it is booked."""
    day = f"{ahead(60) - timedelta(days=30):%Y-%m-%d}"
    story = told(crowd, "beyond")
    assert (
        "It begins beyond the horizon of 30 days (calendar.horizon); "
        f"it is booked when it comes within the horizon, on {day}."
    ) in story.text
    assert story.fates() == [("none", None, None)]
    assert story.only["room_id"] == SMALL_ROOM
    assert story.only["line"] == story.document["sources"][0]["line"]
    series = told(crowd, "rule").document["occurrences"]
    assert [o["action"] for o in series].count("none") == 1
    assert series[-1]["start"] > story.document["totals"]["horizon"]


def test_a_moved_date_tells_both_times_and_a_removed_one_is_counted(
    crowd: Office,
) -> None:
    """Of a series each component is told, what is taken out is counted, and a moved date says from where."""
    story = told(crowd, "series")
    assert "2 components" in story.text
    assert "the series from" in story.text
    assert "1 date taken out (EXDATE)" in story.text
    assert (
        f"one date, {local(ahead(3, 13))}, on its own at {local(LATER)}, SEQUENCE 2"
        in story.text
    )
    assert (
        f"The series has it at {local(ahead(3, 13))}; this date was moved."
        in story.text
    )
    assert [o["recurrence_id"] for o in story.document["occurrences"]] == [
        f"{ahead(day, 13):%Y%m%dT%H%M%SZ}" for day in (1, 4, 3)
    ]
    (source,) = story.document["sources"]
    assert source["components"] == 2
    assert [part["excluded"] for part in source["parts"]] == [1, 0]


def test_what_was_left_out_is_told(crowd: Office) -> None:
    """Cut text and attachments that cannot be passed on are told with the booked meeting."""
    story = told(crowd, "rich")
    assert "Besides: The description was cut to 256 characters." in story.text
    assert "Besides: The attachment without name is not a web address" in story.text
    assert {note["reason"] for note in story.only["notes"]} == {
        "text_cut",
        "attachment_left_out",
    }


def test_a_private_topic_is_not_told(crowd: Office) -> None:
    """The topic of a private event stays in the calendar."""
    story = told(crowd, "private")
    assert "Sesame" not in story.text + json.dumps(story.document)


@pytest.mark.parametrize(
    ("asked", "because"),
    [
        ("BOOKED", "the same but for upper and lower case or blanks"),
        (" booked ", "the same but for upper and lower case or blanks"),
        ("bookd", "its UID looks alike"),
        ("board", "its topic holds that text"),
    ],
)
def test_an_unknown_uid_names_the_nearest(
    crowd: Office, asked: str, because: str
) -> None:
    """A UID compares exactly; one that is not known says what was searched and what may be meant."""
    story = told(crowd, asked)
    unknown = f"No calendar and no booking has the UID '{asked}', nor a topic with it."
    assert unknown in story.text
    assert "Source office was read completely: 22 events." in story.text
    assert f"booked ({because})" in story.text
    assert {"uid": "booked", "because": because} in story.document["suggestions"]
    assert (story.document["sources"], story.document["occurrences"]) == ([], [])
    assert story.needs_person


@pytest.mark.slow
def test_the_command_prints_the_story_and_ends_with_its_code(crowd: Office) -> None:
    """The program prints the same story, as text and as JSON; its exit code says if a person is needed."""
    booked = crowd.run("explain", "booked")
    assert (booked.code, " ".join(booked.out.split())) == (
        0,
        told(crowd, "booked").text,
    )
    refused = crowd.run("explain", "loser", "--json")
    assert (refused.code, refused.json["uid"]) == (1, "loser")
    assert refused.json["occurrences"] == told(crowd, "loser").document["occurrences"]
    assert crowd.run("explain", "nobody").code == 1
    assert crowd.run("explain", "").code == 2


@pytest.mark.slow
def test_it_works_beside_the_owner_of_the_state_and_writes_nothing(
    crowd: Office,
) -> None:
    """While another holds the state a story is told; no mutating call is made, nothing is recorded."""
    before, requests = {**crowd.status(), "as_of": None}, crowd.writes()
    with service(load(crowd.folder / "syncd.toml"), owner=True):
        assert crowd.run("explain", "booked").code == 0
    assert {**crowd.status(), "as_of": None} == before
    assert crowd.writes() == requests


def test_the_payload_is_what_the_plan_would_send(make_office: Any) -> None:
    """Before the first cycle the story has what would be sent, and mode observe says that it is not."""
    office = make_office()
    office.change(('mode = "full"', 'mode = "observe"'))
    office.write(event("m", ahead(1)))
    story = told(office, "m")
    (planned,) = office.plan()["changes"]
    assert story.only["payload"] == planned["payload"]
    assert story.fates() == [("create", None, "new")]
    assert (
        "In mode full the next cycle books it; mode observe writes nothing."
        in story.text
    )
    assert not story.needs_person


# What happens after the first cycle


@pytest.mark.slow
def test_a_room_that_strangers_hold_is_tried_again_at_a_time(
    make_office: Any, tmp_path: Path
) -> None:
    """A conflict with a reservation that is not ours says when it is tried again and who may decide."""
    office = make_office()
    folder = tmp_path / "strangers"
    folder.mkdir()
    strangers = Office(folder, office.url, office.client_id, office.client_secret)
    strangers.change(('instance = "hq"', 'instance = "elsewhere"'))
    strangers.write(event("theirs", ahead(1)))
    strangers.once()
    office.write(event("m", ahead(1)))
    office.once()
    story = told(office, "m")
    assert "by reservation" in story.text
    assert "It is tried again at" in story.text
    assert "or when syncd frees the room." in story.text
    assert (
        f"syncd resolve m//{SMALL_ROOM} with --adopt RESERVATION_ID, --retry or --drop."
        in story.text
    )
    assert story.only["booking"]["retry_at"] > story.document["totals"]["now"]
    assert story.fates() == [("wait", "refused", "room_conflict")]


@pytest.mark.slow
def test_what_people_and_the_api_did_is_told(make_office: Any) -> None:
    """Refused, waiting for approval, ended in Tuya and cancelled are told with all that happened."""
    office = make_office(faults=("refuse:on=create,times=1,code=1109",))
    office.change(
        ("requests_per_second", 'request_validity = "1s"\nrequests_per_second')
    )
    others = [
        event("refused", ahead(1, 6)),
        event("approval", ahead(2)),
        event("released", ahead(3)),
    ]
    gone = event("gone", ahead(4), 60, "STATUS:CANCELLED")
    office.write(*others, event("gone", ahead(4)))
    office.once()
    by_topic = {r["topic"]: r["reservation_id"] for r in office.reservations()}
    office.control(f"reservations/{by_topic['Meeting approval']}", {"status": 2})
    office.control(f"reservations/{by_topic['Meeting released']}", {"status": 3})
    office.write(*others, gone)
    office.run("once", "--force")

    refused = told(office, "refused")
    assert (
        "It is not booked: it was refused. The API refused it with code 1109"
        in refused.text
    )
    assert "Change the event so that the API can accept it" in refused.text
    assert refused.fates() == [("skip", "refused", "refused")]
    assert refused.needs_person

    approval = told(office, "approval")
    assert "waits for a person's approval in Tuya" in approval.text
    assert approval.fates() == [("unchanged", "approval", None)]
    assert not approval.needs_person

    released = told(office, "released")
    assert (
        f"reservation {by_topic['Meeting released']} was ended in Tuya."
        in released.text
    )
    assert (
        "It was cancelled in Tuya; booked again when the calendar changes. [released]"
        in released.text
    )
    assert released.fates() == [("skip", "released", "released")]
    assert not released.needs_person

    cancelled = told(office, "gone")
    assert (
        f"Earlier: reservation {by_topic['Meeting gone']}, cancelled" in cancelled.text
    )
    assert "The evidence: the calendar itself says so." in cancelled.text
    assert cancelled.fates() == [("none", "cancelled", "event_cancelled")]
    assert [h["what"] for h in cancelled.document["occurrences"][0]["history"]][
        -2:
    ] == [
        "cancel",
        "cancelled",
    ]
    assert not cancelled.needs_person


def test_a_meeting_that_is_over_keeps_its_story(office: Office) -> None:
    """A booking whose time has passed says so before and after its record is closed."""
    start = ahead(-2)
    plain = booking_of_an_hour("m", start, "14101487")
    content = replace(
        plain.spec, topic="Meeting m", room_id=SMALL_ROOM, participants=("3",)
    )
    booking = replace(plain, room_id=SMALL_ROOM, content=content)
    with service(load(office.folder / "syncd.toml"), owner=True) as parts:
        parts.ledger.bookings.record(booking, at=start, what="created")
    office.write(event("m", start))
    before = told(office, "m")
    assert (
        "It is over. The next cycle closes its record; nothing is sent." in before.text
    )
    assert before.fates() == [("close", "booked", None)]
    office.once()
    after = told(office, "m")
    assert "It is over; it was reservation 14101487." in after.text
    assert after.fates() == [("none", "ended", None)]
    assert [h["what"] for h in after.only["history"]] == ["created", "closed"]
    assert not after.needs_person


def test_in_doubt_says_that_it_is_looked_for(make_office: Any) -> None:
    """A request whose answer was lost is told with what is done about it."""
    office = make_office(faults=("closed:on=create,times=1",))
    office.write(event("m", ahead(1)))
    office.once()
    story = told(office, "m")
    assert (
        "It is in doubt: a request to book it was sent, and its answer is not known."
        in story.text
    )
    assert "Each cycle looks for it in the API, and nothing is sent twice" in story.text
    assert story.fates() == [("hold", "sending", "in_doubt")]
    assert "in doubt" in [h["what"] for h in story.only["history"]]
    assert story.needs_person
    assert f"syncd resolve m//{SMALL_ROOM} with" in story.text
    assert office.run("resolve", "m", "--drop").code == 0
    decided = told(office, "m")
    assert "decided: drop; the next cycle carries it out." in decided.text
    assert decided.only["decision"]["verdict"] == "drop"


@pytest.mark.slow
def test_changes_to_come_are_told_before_they_are_made(office: Office) -> None:
    """Update, cancel, a mode that forbids, a series that moves and a new UID are told as planned."""
    rule = "RRULE:FREQ=DAILY;COUNT=3"
    rest = [event("rest", ahead(6, 6))]
    office.write(
        event("m", ahead(1)),
        event("s", ahead(1, 12), 30, rule),
        event("old", ahead(5)),
        *rest,
    )
    office.once()
    office.write(
        event("m", ahead(1, 10)),
        event("s", ahead(1, 13), 30, rule),
        event("new", ahead(5), 60, "SUMMARY:Meeting old"),
        *rest,
    )
    moved = told(office, "m")
    assert (
        "The next cycle changes it. The meeting changed in the calendar. [changed]"
        in moved.text
    )
    assert "What differs: start_time and end_time." in moved.text
    assert f", now {local(ahead(1))}–" in moved.text
    assert moved.fates() == [("update", "booked", "changed")]
    assert moved.only["payload"]["modifier"] == "3"
    assert moved.only["changed"] == ["start_time", "end_time"]

    series = told(office, "s")
    assert series.fates() == [("update", "booked", "changed")] * 3
    assert "Its reservation was made for another date of the series" in series.text
    assert (
        series.document["occurrences"][0]["moved_from"]["recurrence_id"]
        == f"{ahead(1, 12):%Y%m%dT%H%M%SZ}"
    )

    renamed, former = told(office, "new"), told(office, "old")
    assert (
        "Its reservation came from UID old: the calendar gave the meeting another UID."
        in renamed.text
    )
    assert renamed.fates() == [("unchanged", "booked", None)]
    assert "No calendar that was read has it now" in former.text
    assert "the reservation goes on under new." in former.text
    assert former.fates() == [("none", "booked", None)]

    office.change(('mode = "full"', 'mode = "create-only"'))
    forbidden = told(office, "m")
    assert (
        "The mode create-only does not change reservations (start_time, end_time)."
        in forbidden.text
    )
    assert "To let it happen, change mode in the configuration." in forbidden.text
    assert forbidden.fates() == [("skip", "booked", "mode")]
    assert not forbidden.needs_person
    office.change(('mode = "create-only"', 'mode = "full"'))

    office.once()
    followed = told(office, "new")
    assert (
        "Its reservation was made when the meeting had another date or UID"
        in followed.text
    )

    office.write(event("s", ahead(1, 13), 30, rule), *rest)
    gone = told(office, "m")
    assert (
        "The next cycle cancels it. The event is gone from 'office', the others are there."
        in gone.text
    )
    assert "The evidence: complete readings of the calendar show it." in gone.text
    assert gone.fates() == [("cancel", "booked", "event_gone")]
    assert gone.only["evidence"] == "shown"


@pytest.mark.slow
def test_what_is_held_names_the_command_that_releases_it(office: Office) -> None:
    """Each kind of held cancellation, and each kind of silence, says why the reservation is still there."""
    meetings = [event(f"m{n}", ahead(1 + n // 8, 6 + n % 8), 30) for n in range(20)]
    office.write(*meetings)
    office.once()

    office.write(*meetings[15:])
    budget = told(office, "m0")
    checksum = office.plan()["held"]["checksum"]
    assert (
        "It would be cancelled, but is held until a person approves that: 15 of the 20 live"
        in budget.text
    )
    assert (
        f"syncd approve {checksum} (that releases all 15 that are held)." in budget.text
    )
    assert "To keep it, mend the calendar or the configuration." in budget.text
    assert budget.fates() == [("hold", "booked", "over_budget")]
    assert budget.only["approve"] == checksum
    assert budget.needs_person

    office.write()
    empty = told(office, "m0")
    assert (
        "The source 'office' has no event at all, but 20 live bookings." in empty.text
    )
    assert empty.fates() == [("hold", "booked", "source_empty")]
    assert empty.needs_person

    office.write(*meetings[1:])
    office.change(('path = "office.ics"', 'path = "office.ics"\nconfirmations = 2'))
    once_missing = told(office, "m0")
    assert (
        "It stays as it is for now: The event is missing in 1 of the 2 complete readings"
        in (once_missing.text)
    )
    assert once_missing.fates() == [("hold", "booked", "unconfirmed")]
    assert not once_missing.needs_person

    office.write(*meetings)
    office.change(
        (
            'timezone = "Europe/Berlin"\n',
            'timezone = "Europe/Berlin"\ntransparent = "book"\n',
        )
    )
    broken = event("m0", ahead(1, 6), 30, "RRULE:FREQ=FORTNIGHTLY")
    office.write(broken, *meetings[1:])
    quarantined = told(office, "m0")
    assert "The event is in the calendar but cannot be understood." in quarantined.text
    assert "Its reservation stays as it is." in quarantined.text
    assert ("none", "booked", "quarantined") in quarantined.fates()
    assert quarantined.needs_person

    office.calendar_file.unlink()
    unread = told(office, "m0")
    missing = f"{office.calendar_file} does not exist"
    assert f"Source office could not be read as a whole: {missing}" in unread.text
    assert "The source 'office' was not read." in unread.text
    assert "Its reservation stays as it is." in unread.text
    assert unread.fates() == [("none", "booked", "unconfirmed")]
    assert unread.needs_person
    unknown = told(office, "stranger")
    assert f"Source office could not be read ({missing}" in unknown.text
    assert "so it may be in there" in unknown.text

    office.change(
        ('name = "office"', 'name = "other"'),
        ('path = "office.ics"', 'path = "other.ics"'),
    )
    (office.folder / "other.ics").write_bytes(calendar(event("x", ahead(2))))
    removed = told(office, "m0")
    assert "The source 'office' is no longer in the configuration." in removed.text
    assert "syncd approve" in removed.text
    assert removed.fates() == [("hold", "booked", "source_removed")]
    assert removed.needs_person


def test_a_rule_that_changed_holds_and_says_that_it_was_the_rule(
    office: Office,
) -> None:
    """When the configuration and not the event changed, the story says so."""
    office.write(event("m", ahead(1), 60, "STATUS:TENTATIVE"))
    office.once()
    office.change(
        (
            'timezone = "Europe/Berlin"\n',
            'timezone = "Europe/Berlin"\ntentative = "skip"\n',
        )
    )
    story = told(office, "m")
    assert (
        "The configuration changed, not the event: The event is tentative."
        in story.text
    )
    assert "(that releases this one)" in story.text
    assert story.fates() == [("hold", "booked", "rules_changed")]
    assert story.needs_person


# Sources, zones, the API


def test_several_sources_say_whose_copy_decides(office: Office) -> None:
    """A meeting in two calendars is told of both, and which one decides, and why."""
    extra = '[[sources]]\nname = "office"\n'
    office.change((extra, f'[[sources]]\nname = "boss"\npath = "boss.ics"\n{extra}'))
    (office.folder / "boss.ics").write_bytes(calendar(event("m", ahead(1))))
    office.write(event("m", ahead(1, 11), 60, "SEQUENCE:3"))
    story = told(office, "m")
    assert "Source boss has it now, in boss.ics" in story.text
    assert "Source office has it now, in office.ics" in story.text
    decides = "Copies in boss (boss.ics) and office (office.ics) show it; that in office (office.ics) decides."
    assert (
        f"{decides} It is the newest copy by SEQUENCE, then LAST-MODIFIED."
        in story.text
    )
    assert story.only["witnesses"] == ["boss", "office"]
    assert story.only["source"] == "office"
    assert [source["name"] for source in story.document["sources"]] == [
        "boss",
        "office",
    ]
    assert story.only["decides"]["source"] == "office"
    assert (
        story.only["decides"]["why"]
        == "It is the newest copy by SEQUENCE, then LAST-MODIFIED."
    )


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("booked", "lines", "says"),
    [
        (
            True,
            [],
            "It decided before, and no later revision of its organizer takes over.",
        ),
        (
            True,
            ["SEQUENCE:3", _ALICE],
            "It has a higher SEQUENCE than the copy in 'boss' that decided before.",
        ),
        (False, [], "It is the newest copy by SEQUENCE, then LAST-MODIFIED."),
    ],
)
@pytest.mark.parametrize("owner", [True, False])
def test_who_decides_and_why(
    office: Office, lines: list[str], says: str, *, booked: bool, owner: bool
) -> None:
    """Each case is told as such: the organizer's own calendar, who decided before, a later revision."""
    extra = '[[sources]]\nname = "office"\n'
    own = 'owner = "alice@example.com"\n' if owner else ""
    office.change(
        (extra, f'[[sources]]\nname = "boss"\npath = "boss.ics"\n{own}{extra}')
    )
    (office.folder / "boss.ics").write_bytes(calendar(event("m", ahead(1), 60, _ALICE)))
    office.write()
    if booked:
        office.once()
    office.write(event("m", ahead(1), 60, *lines))
    story = told(office, "m")
    why = "It is the copy of its organizer." if owner else says
    assert why in story.text
    takes_over = lines and not owner
    assert story.only["decides"] == {
        "source": "office" if takes_over else "boss",
        "document": "office.ics" if takes_over else "boss.ics",
        "line": 4,
        "why": why,
        "told_off_by": None,
    }


def test_a_cancel_by_a_copy_that_does_not_decide_is_told_with_its_place(
    office: Office,
) -> None:
    """Whose cancel is held, and by whose copy the meeting goes on, stands in the text and in the document."""
    extra = '[[sources]]\nname = "office"\n'
    office.change((extra, f'[[sources]]\nname = "boss"\npath = "boss.ics"\n{extra}'))
    (office.folder / "boss.ics").write_bytes(calendar(event("m", ahead(1), 60, _ALICE)))
    office.write()
    office.once()
    office.write(event("m", ahead(1), 60, "STATUS:CANCELLED"))
    story = told(office, "m")
    assert (
        "A copy in 'office' (office.ics) says that the meeting is cancelled"
        in story.text
    )
    assert "syncd approve" in story.text
    assert story.only["decides"]["told_off_by"] == {
        "source": "office",
        "document": "office.ics",
    }
    assert (story.only["action"], story.only["reason"]) == ("hold", "not_the_organizer")


@pytest.mark.parametrize(
    ("lines", "room", "says"),
    [
        ([], "small", "its address room-small@example.com is invited"),
        (
            ["LOCATION:Talks\\; small  MEETING room"],
            None,
            "LOCATION names 'Small meeting room'",
        ),
        (["LOCATION:Room S 7"], None, "LOCATION matches the expression '^Room S\\\\b'"),
        ([], None, "it is the room of the source, and the event names none"),
    ],
    ids=["attendee", "name", "expression", "source"],
)
def test_which_rule_chose_the_room(
    office: Office, lines: list[str], room: str | None, says: str
) -> None:
    """An attendee, a name or an expression for LOCATION, or the source: the rule is named."""
    office.change(
        (
            'addresses = ["room-small@example.com"]',
            "addresses = [\"room-small@example.com\"]\nlocations = ['re:^Room S\\b']",
        ),
        ('path = "office.ics"', 'path = "office.ics"\nroom = "1410148741926678528"'),
    )
    office.write(event("m", ahead(1), 60, *lines, room=room))
    story = told(office, "m")
    assert story.only["room_by"] == says
    assert f"Small meeting room is its room, because {says}." in story.text


OWN_ZONE = "\r\n".join(
    [
        "BEGIN:VTIMEZONE",
        "TZID:{name}",
        "BEGIN:STANDARD",
        "DTSTART:19700101T000000",
        "TZOFFSETFROM:+0400",
        "TZOFFSETTO:+0400",
        "END:STANDARD",
        "END:VTIMEZONE",
    ]
)


def test_each_zone_says_what_it_was_taken_for_and_why(office: Office) -> None:
    """IANA, Windows, located, own, prefixed, aliased, contradicting and absent zones are each told."""
    office.change(
        (
            'timezone = "Europe/Berlin"\n',
            'timezone = "Europe/Berlin"\n[calendar.timezones]\n"Our zone" = "Asia/Tokyo"\n',
        )
    )
    office.write(
        OWN_ZONE.format(name="Works clock"),
        OWN_ZONE.format(name="Europe/Paris"),
        "BEGIN:VTIMEZONE\r\nTZID:Hub\r\nX-LIC-LOCATION:Asia/Dubai\r\nEND:VTIMEZONE",
        zoned("iana", "America/New_York"),
        zoned("windows", "W. Europe Standard Time"),
        zoned("located", "Hub"),
        zoned("own", "Works clock"),
        zoned("prefixed", "/freeassociation.sourceforge.net/Europe/Vienna"),
        zoned("aliased", '"Our zone"'),
        zoned("contradicting", "Europe/Paris"),
        zoned("floating", ""),
    )
    expected = {
        "iana": ("America/New_York", "that is its IANA name"),
        "windows": ("Europe/Berlin", "that is its Windows name"),
        "located": (
            "Asia/Dubai",
            "the calendar's VTIMEZONE names that place (X-LIC-LOCATION)",
        ),
        "own": ("Works clock", "the calendar defines it in a VTIMEZONE of its own"),
        "prefixed": ("Europe/Vienna", "that is its IANA name behind a prefix"),
        "aliased": ("Asia/Tokyo", "calendar.timezones says so"),
        "contradicting": ("Europe/Paris", "that is its IANA name"),
        "floating": ("Europe/Berlin", "calendar.timezone says so"),
    }
    for uid, (zone, because) in expected.items():
        story = told(office, uid)
        (source,) = story.document["sources"]
        (use,) = source["zones"]
        assert (use["zone"], use["because"]) == (zone, because), uid
        assert f"{zone}: {because}." in story.text
    assert 'defines the time zone "Europe/Paris" otherwise than that name says' in (
        told(office, "contradicting").text
    )


def test_without_the_api_the_story_is_told_and_says_so(office: Office) -> None:
    """An API that cannot be used costs what only it knows, and the story names that."""
    office.write(event("m", ahead(1)), event("far", ahead(12)))
    office.change((office.url, "http://127.0.0.1:1"))
    ran = office.run("explain", "m")
    assert ran.code == 0, ran.err
    assert "The API could not be asked" in ran.out
    assert "The next cycle books it." in ran.out
    document = told(office, "far").document
    assert document["api"]["asked"] is False
    assert document["occurrences"][0]["action"] == "create"


def test_many_dates_are_told_by_their_kind(office: Office) -> None:
    """Of many alike the first few are told and the others counted; the JSON document has all."""
    office.write(event("s", ahead(1), 30, "RRULE:FREQ=DAILY", room="large"))
    story = told(office, "s")
    creates = [o for o in story.document["occurrences"] if o["action"] == "create"]
    waits = [o for o in story.document["occurrences"] if o["action"] == "wait"]
    assert len(creates) + len(waits) == len(story.document["occurrences"]) - 1
    assert {o["room_id"] for o in creates} == {LARGE_ROOM}
    assert story.text.count("The next cycle books it.") == 3
    assert (
        f"and {len(waits) - 3} more like these (not booked, wait: too_early)"
        in story.text
    )


def test_people_are_told_by_their_addresses(office: Office) -> None:
    """Whom the configuration knows is named by address, who is known by an id alone by that."""
    office.write(event("m", ahead(2), 60, _ALICE, "ATTENDEE:mailto:bob@example.com"))
    assert "Asked for: creator alice@example.com, participants bob@example.com," in (
        told(office, "m").text
    )
