"""A day on which something of each kind happened, as the page is to show it."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.conftest import SMALL_ROOM, Office, calendar, event
from tests.end_to_end.tenant import Tenant
from tests.web.serving import read

ZONE = ZoneInfo("Europe/Berlin")

HOSTILE = {
    "markup": "<b>bold</b> & <script>window.struck = 1</script> <img src=x onerror='window.struck = 1'>",
    "override": "pay \u202egnihton\u202c now \u2066left\u2069 \u200b\u00ad",
    "long": "Wolf" * 2500,
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} %s {0}",
}
"""Titles that are made to strike."""


def today(office_zone: ZoneInfo = ZONE) -> datetime:
    """The midnight that began the day of the page."""
    now = datetime.now(office_zone)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    """A time on a coming day, in UTC; tomorrow, so that it is to come whenever a test runs."""
    moment = (today() + timedelta(days=day)).replace(hour=hour, minute=minute)
    return moment.astimezone(ZoneInfo("UTC"))


def shown_day(day: int = 1) -> str:
    """The path of a day."""
    return f"/day/{today() + timedelta(days=day):%Y-%m-%d}"


def stage(office: Office) -> dict[str, str]:
    """Make meetings booked, awaiting approval, waiting, refused, held and in doubt; return rooms by a word.

    The API goes on losing answers and showing what was, so that what is in doubt stays so.
    """
    tenant = Tenant(office)
    setting = tenant.made(
        "/v2.0/iot-03/meeting-settings/approvals",
        {"approval_type": "anyOneSign", "approval_uids": ["boss"]},
    )
    board = tenant.room("Board", reservation_approved="Y", approval_process_id=setting)
    atelier = tenant.room("Atelier")
    rooms = "".join(
        f'[[rooms]]\nid = "{room}"\nname = "{name}"\n'
        f'addresses = ["room-{name.lower()}@example.com"]\n'
        for room, name in ((board, "Board"), (atelier, "Atelier"))
    )
    sources = "".join(
        f'[[sources]]\nname = "{name}"\npath = "{name}.ics"\n'
        for name in ("hr", "gone")
    )
    office.change(("[[sources]]", f"{rooms}{sources}[[sources]]"))
    for name in ("hr", "gone"):
        meetings = [
            event(
                f"{name}{n}",
                at(9 + n),
                45,
                f"SUMMARY:Talk {n} of {name}",
                room="atelier",
            )
            for n in range(4 if name == "hr" else 0)
        ]
        (office.folder / f"{name}.ics").write_bytes(calendar(*meetings))
    meetings = [
        event("budget", at(9), 90, "SUMMARY:Budget review"),
        event("late", at(10), 60, "SUMMARY:Supplier call"),
        event("later", at(10, 15), 30, "SUMMARY:Supplier call, second round"),
        event("short", at(16), 15, "SUMMARY:Daily close"),
        event("board", at(10), 120, "SUMMARY:Board meeting", room="board"),
        event("far", at(9, day=20), 60, "SUMMARY:Strategy day", room="large"),
        event("private", at(13), 60, "SUMMARY:Secret of Ann", "CLASS:PRIVATE"),
        event(
            "bad", at(9, day=2), 60, "SUMMARY:Steering committee", "RRULE:FREQ=NEVER"
        ),
    ]
    office.write(*meetings)
    read(office)
    (office.folder / "hr.ics").write_bytes(calendar())
    (office.folder / "gone.ics").write_bytes(b"<html>Please sign in</html>")
    read(office)
    office.fault("lost:on=create", "lag:seconds=3000")
    doubt = event("doubt", at(14), 60, "SUMMARY:Crisis call", room="large")
    office.write(*meetings, doubt)
    read(office)
    return {"small": SMALL_ROOM, "board": board, "atelier": atelier}
