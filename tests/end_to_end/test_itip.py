"""Two conversations about a meeting, as programs send them, file by file in a directory.

The messages have the properties that Exchange and sabre/vobject (Nextcloud, Baikal) write; names are made up.
Exchange names zones as Windows does, proposes other times with METHOD:COUNTER and says STATUS:CANCELLED in
every cancel, also to a guest who is taken off while the others go on. sabre writes one CANCEL for each guest,
which names that guest alone, without STATUS, and leaves SEQUENCE to the client that edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from syncd.core.reasons import Reason
from tests.conftest import SMALL_ROOM, Office, ahead
from tests.end_to_end.killed import at_work

BERLIN = ZoneInfo("Europe/Berlin")
FIRST_DAY = ahead(3).date()
PEOPLE = {"bob": "2", "carol": "4"}


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


@dataclass(frozen=True)
class Step:
    """One message or several, and what stands in Tuya after the cycle that reads them.

    `hours` are those at which the reservations begin, one a day from the first day; None: none on that day.
    `guests` are who takes part in each, `held` is how many cancels wait for a person.
    """

    name: str
    messages: Sequence[str]
    hours: tuple[int | None, ...]
    guests: str = "bob carol"
    held: int = 0


def at(hour: int, day: int = 0) -> str:
    """A time of the office's zone as it is written."""
    moment: date = FIRST_DAY + timedelta(days=day)
    return f"{moment:%Y%m%d}T{hour:02}0000"


WINDOWS_ZONE = """BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE"""


def exchange(
    method: str,
    sequence: int,
    hour: int,
    *guests: str,
    day: int = 0,
    summary: str = "Planning",
    of_date: int | None = None,
    extra: Sequence[str] = (),
) -> str:
    """A message of Exchange about a series of three days, or with `of_date` about one of them."""
    zone = ";TZID=W. Europe Standard Time:"
    to = [guest for guest in guests if guest != "room"]
    is_cancel = method == "CANCEL"
    lines = [
        "BEGIN:VCALENDAR",
        f"METHOD:{method}",
        "PRODID:Microsoft Exchange Server 2010",
        "VERSION:2.0",
        *WINDOWS_ZONE.splitlines(),
        "BEGIN:VEVENT",
        "ORGANIZER;CN=Alice Amann:MAILTO:alice@example.com",
        *(
            f"ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN={guest.title()}:"
            f"MAILTO:{guest}@example.com"
            for guest in to
        ),
        *(
            [
                "ATTENDEE;CUTYPE=RESOURCE;ROLE=NON-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN=Small mee",
                " ting room:MAILTO:room-small@example.com",
            ]
            if "room" in guests
            else []
        ),
        "DESCRIPTION;LANGUAGE=de-DE:\\n",
        *(["RRULE:FREQ=DAILY;COUNT=3;INTERVAL=1"] if of_date is None else []),
        "UID:040000008200E00074C5B7101A82E0080000000010A7C2D3E4F5DA010000000000000000100000004D1B",
        f"SUMMARY;LANGUAGE=de-DE:{summary}",
        f"DTSTART{zone}{at(hour, day)}",
        f"DTEND{zone}{at(hour + 1, day)}",
        "CLASS:PUBLIC",
        f"PRIORITY:{1 if is_cancel else 5}",
        f"DTSTAMP:20260101T0{sequence}0000Z",
        f"TRANSP:{'TRANSPARENT' if is_cancel else 'OPAQUE'}",
        f"STATUS:{'CANCELLED' if is_cancel else 'CONFIRMED'}",
        f"SEQUENCE:{sequence}",
        "LOCATION;LANGUAGE=de-DE:Small meeting room",
        f"X-MICROSOFT-CDO-APPT-SEQUENCE:{sequence}",
        "X-MICROSOFT-CDO-OWNERAPPTID:2118041321",
        f"X-MICROSOFT-CDO-BUSYSTATUS:{'FREE' if is_cancel else 'TENTATIVE'}",
        "X-MICROSOFT-CDO-INTENDEDSTATUS:BUSY",
        "X-MICROSOFT-CDO-ALLDAYEVENT:FALSE",
        "X-MICROSOFT-CDO-INSTTYPE:1",
        *([f"RECURRENCE-ID{zone}{at(10, of_date)}"] if of_date is not None else []),
        *extra,
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines)


def answer(guest: str, status: str) -> tuple[str, ...]:
    """The lines by which a guest answers."""
    return (
        f"ATTENDEE;PARTSTAT={status};CN={guest.title()}:MAILTO:{guest}@example.com",
    )


ORIGINAL = [f"X-MS-OLK-ORIGINALSTART:{at(9, 1)}Z", f"X-MS-OLK-ORIGINALEND:{at(10, 1)}Z"]

EXCHANGE = [
    Step(
        "invitation", [exchange("REQUEST", 0, 10, "bob", "carol", "room")], (10, 10, 10)
    ),
    Step(
        "counter of one date",
        [
            exchange(
                "COUNTER",
                0,
                15,
                day=1,
                of_date=1,
                summary="New Time Proposed: Planning",
                extra=[*ORIGINAL, *answer("bob", "TENTATIVE")],
            )
        ],
        (10, 10, 10),
    ),
    Step(
        "answer",
        [
            exchange(
                "REPLY",
                0,
                10,
                summary="Accepted: Planning",
                extra=answer("carol", "ACCEPTED"),
            )
        ],
        (10, 10, 10),
    ),
    Step(
        "a date is declined",
        [
            exchange(
                "REPLY",
                0,
                10,
                day=2,
                of_date=2,
                summary="Declined: Planning",
                extra=answer("bob", "DECLINED"),
            )
        ],
        (10, 10, 10),
    ),
    Step("update", [exchange("REQUEST", 1, 11, "bob", "carol", "room")], (11, 11, 11)),
    Step(
        "guest taken off",
        [exchange("REQUEST", 2, 11, "carol", "room")],
        (11, 11, 11),
        guests="carol",
    ),
    Step(
        "that guest is told",
        [exchange("CANCEL", 2, 11, "bob", summary="Canceled: Planning")],
        (11, 11, 11),
        guests="carol",
    ),
    Step(
        "a date is cancelled",
        [
            exchange(
                "CANCEL", 3, 11, "carol", "room", day=1, summary="Canceled: Planning"
            ).replace(
                "RRULE:FREQ=DAILY;COUNT=3;INTERVAL=1",
                f"RECURRENCE-ID;TZID=W. Europe Standard Time:{at(11, 1)}",
            )
        ],
        (11, None, 11),
        guests="carol",
    ),
    Step(
        "cancel",
        [exchange("CANCEL", 4, 11, "carol", "room", summary="Canceled: Planning")],
        (None,) * 3,
    ),
]


def sabre(
    method: str, *lines: str, sequence: int, hour: int = 10, summary: str = "Planung"
) -> str:
    """A message of sabre/vobject about a single meeting."""
    zone = ";TZID=Europe/Berlin:"
    return "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//Sabre//Sabre VObject 4.5.6//EN",
            "CALSCALE:GREGORIAN",
            f"METHOD:{method}",
            "BEGIN:VEVENT",
            "UID:7d0c4a4e-2b0e-4a0e-9a54-1f2d3c4b5a69",
            f"DTSTAMP:20260101T0{sequence}0000Z",
            f"SEQUENCE:{sequence}",
            f"SUMMARY:{summary}",
            f"DTSTART{zone}{at(hour)}",
            f"DTEND{zone}{at(hour + 1)}",
            "ORGANIZER;CN=Alice Amann:mailto:alice@example.com",
            *lines,
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
    )


def invited(*guests: str) -> list[str]:
    """ATTENDEEs of an invitation, in the words of the client that made the event."""
    return [
        f"ATTENDEE;CN={guest};CUTYPE={'ROOM' if guest == 'room-small' else 'INDIVIDUAL'};"
        f"PARTSTAT=NEEDS-ACTION;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:{guest}@example.com"
        for guest in guests
    ]


def to(guest: str) -> str:
    """The one ATTENDEE of a cancel."""
    return f"ATTENDEE;CN={guest}:mailto:{guest}@example.com"


SABRE = [
    Step(
        "invitation",
        [sabre("REQUEST", *invited("bob", "carol", "room-small"), sequence=0)],
        (10,),
    ),
    Step(
        "counter",
        [
            sabre(
                "COUNTER",
                "ATTENDEE;PARTSTAT=TENTATIVE:mailto:bob@example.com",
                "COMMENT:later?",
                sequence=0,
                hour=16,
            )
        ],
        (10,),
    ),
    Step(
        "answer",
        [
            sabre(
                "REPLY",
                "ATTENDEE;PARTSTAT=ACCEPTED;CN=carol:mailto:carol@example.com",
                sequence=0,
            )
        ],
        (10,),
    ),
    Step(
        "counter is declined", [sabre("DECLINECOUNTER", to("bob"), sequence=0)], (10,)
    ),
    Step(
        "update",
        [sabre("REQUEST", *invited("bob", "carol", "room-small"), sequence=1, hour=13)],
        (13,),
    ),
    Step(
        "guest taken off",
        [sabre("CANCEL", to("bob"), sequence=2, hour=13)],
        (13,),
        held=1,
    ),
    Step(
        "the others are told",
        [sabre("REQUEST", *invited("carol", "room-small"), sequence=2, hour=13)],
        (13,),
        guests="carol",
    ),
    Step(
        "cancel to one of two",
        [sabre("CANCEL", to("carol"), sequence=3, hour=13)],
        (13,),
        guests="carol",
        held=1,
    ),
    Step(
        "cancel to the other",
        [sabre("CANCEL", to("room-small"), sequence=3, hour=13)],
        (None,),
    ),
]


@pytest.mark.parametrize(
    "conversation", [EXCHANGE, SABRE], ids=["Exchange", "sabre/vobject"]
)
def test_conversation(office: Office, conversation: list[Step]) -> None:
    """After each message the reservations are those of the meeting as its organizer has it by then."""
    folder = office.folder / "mail"
    folder.mkdir()
    office.change(
        ('path = "office.ics"', 'path = "mail"'),
        (
            '"bob@example.com" = "2"',
            '"bob@example.com" = "2"\n"carol@example.com" = "4"',
        ),
    )
    number = 0
    for step in conversation:
        for text in step.messages:
            number += 1
            (folder / f"{number:02}.ics").write_text(text, newline="")
        with at_work(office.folder / "syncd.toml") as reconciler:
            report = reconciler.cycle()
        assert _booked(office) == _wanted(step), step.name
        assert report.counts["held"] == step.held, step.name
        reasons = (
            {change.reason for change in report.plan.changes} if report.plan else set()
        )
        assert (Reason.NOT_THE_ORGANIZER in reasons) == bool(step.held), step.name
        assert (report.counts["quarantined"], report.error) == (0, None), step.name


def _booked(office: Office) -> dict[datetime, set[str]]:
    """Who takes part in the live reservations of the small room, by their start."""
    found = office.reservations()
    assert {r["room_id"] for r in found} <= {SMALL_ROOM}
    return {
        datetime.fromtimestamp(r["start_time"] / 1000, BERLIN): set(r["participants"])
        for r in found
    }


def _wanted(step: Step) -> dict[datetime, set[str]]:
    guests = {PEOPLE[guest] for guest in step.guests.split()}
    wanted: dict[datetime, set[str]] = {}
    for day, hour in enumerate(step.hours):
        if hour is not None:
            wanted[
                datetime.combine(FIRST_DAY + timedelta(days=day), time(hour), BERLIN)
            ] = guests
    return wanted
