"""A day on which something of everything happens: booked, awaiting approval, waiting, refused, held, in doubt.

Each comes about as it does in life, by what people do in calendars and in Tuya, and by a line that fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

from syncd.assembly import service
from syncd.config import Config, load
from syncd.core.reservation import epoch_ms
from syncd.sandbox import Running
from syncd.tuya.channel import Channel

_SMALL = "Small meeting room"
_LARGE = "Large meeting room"
_STUDIO = "Studio"
_API = "/v2.0/iot-03"
_DAYS_AHEAD = 2  # at least, so that it is beyond what the tenant lets book in the end
_LAST_WORKING_DAY = 4  # Friday
_LAST_HOUR = 22
_PATIENCE_S = 30.0

LINES: Mapping[str, str] = {
    # For as long nobody knows what became of a request, so that it can be looked at.
    "request_validity": 'request_validity = "12h"',
    "level": 'level = "error"',
    "path": 'path = "planning.ics"',
}
"""What the configuration of this demo says otherwise than the example."""


@dataclass(frozen=True, slots=True)
class _Meeting:
    """A meeting: from when, for how many minutes, where; `on` a day, None: the staged one."""

    uid: str
    topic: str
    begins: time
    minutes: int
    room: str
    lines: tuple[str, ...] = ()
    on: date | None = None


def _at(hour: int, minute: int = 0) -> time:
    return time(hour, minute)


_AT_FIRST = (
    _Meeting("stand-up", "Stand-up", _at(9), 30, _SMALL),
    _Meeting("budget", "Budget round", _at(10), 90, _SMALL),
    _Meeting("visit", "Customer visit", _at(13), 60, _SMALL),
    _Meeting("retro", "Retrospective", _at(16, 30), 60, _SMALL),
    _Meeting("review", "Design review", _at(9, 30), 90, _LARGE),
    _Meeting("talk", "Personal", _at(13, 30), 45, _LARGE, ("CLASS:PRIVATE",)),
    _Meeting("photos", "Photo session", _at(11), 60, _STUDIO),
    _Meeting("yoga", "Yoga", _at(17, 30), 45, _STUDIO, ("RRULE:FREQ=WEEKLY;BYDAY=XX",)),
)
_OF_SALES = (
    _Meeting("pipeline", "Pipeline", _at(12), 45, _LARGE),
    _Meeting("acme", "Demo for Acme", _at(14, 30), 60, _LARGE),
    _Meeting("quotes", "Quotes", _at(15), 60, _SMALL),
    _Meeting("forecast", "Forecast", _at(16, 30), 60, _LARGE),
)
_ON_A_BAD_LINE = _Meeting("supplier", "Supplier call", _at(12), 45, _SMALL)
_TOO_EARLY = _Meeting("audit", "Lunch with the auditors", _at(12, 15), 75, _STUDIO)


def stage_day(folder: Path, config_file: Path, sandbox: Running) -> date:
    """Bring the day about in the folder of a demo and in its sandbox, and return it.

    What syncd does about it is done when this returns, and recorded in its ledger.
    """
    config = load(config_file)
    now = datetime.now(config.calendar.timezone)
    day = _staged_date(now.date())
    at_first = (*_AT_FIRST, *_rest_of_today(now))
    calendars = _Calendars(folder, config, day)
    with _tenant(config) as tenant:
        _add_studio(folder, tenant)
        calendars.write("planning", at_first)
        calendars.write("sales", _OF_SALES)
        _book_by_hand(tenant, calendars, "Interview", _at(13, 30), 60, _SMALL)
        _run_cycle(config_file)
        # The calendar of the sales people suddenly has nothing in it.
        calendars.write("sales", ())
        _run_cycle(config_file)
        _let_fail(sandbox, "closed:on=create")
        calendars.write("planning", (*at_first, _ON_A_BAD_LINE))
        _run_cycle(config_file)
        _let_fail(sandbox)
        _limit_days(tenant, 1)
        meetings = (*at_first, _ON_A_BAD_LINE, _TOO_EARLY)
        calendars.write("planning", meetings)
        _run_cycle(config_file, force=True)
    return day


def _staged_date(today: date) -> date:
    """Return the next working day that is far enough ahead."""
    day = today + timedelta(days=_DAYS_AHEAD)
    while day.weekday() > _LAST_WORKING_DAY:
        day += timedelta(days=1)
    return day


def _rest_of_today(now: datetime) -> Iterator[_Meeting]:
    """Yield two meetings of the hours to come, as far as today has them."""
    for number, room in enumerate((_SMALL, _LARGE), 1):
        hour = now.hour + number
        if hour <= _LAST_HOUR:
            topic = f"Round {number}"
            yield _Meeting(f"round-{number}", topic, _at(hour), 45, room, on=now.date())


def _run_cycle(config_file: Path, *, force: bool = False) -> None:
    with service(load(config_file), owner=True) as parts:
        parts.reconciler.cycle(force=force)


# What people write into calendars


class _Calendars:
    """The calendars of the day, as files."""

    def __init__(self, folder: Path, config: Config, day: date) -> None:
        self._folder = folder
        self._zone = config.calendar.timezone
        self._day = day

    def write(self, name: str, meetings: Sequence[_Meeting]) -> None:
        """Write a calendar with these meetings in place of the former one."""
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//syncd//Demo//EN"]
        for meeting in meetings:
            lines += self._event(meeting)
        lines += ["END:VCALENDAR", ""]
        written = self._folder / f"{name}.new"
        written.write_text("\r\n".join(lines), encoding="utf-8", newline="")
        written.rename(self._folder / f"{name}.ics")

    def begins(self, at: time, on: date | None = None) -> datetime:
        """Return a time of a day, None: of the staged one."""
        return datetime.combine(on or self._day, at, self._zone).astimezone(UTC)

    def _event(self, meeting: _Meeting) -> list[str]:
        begins = self.begins(meeting.begins, meeting.on)
        ends = begins + timedelta(minutes=meeting.minutes)
        return [
            "BEGIN:VEVENT",
            f"UID:{meeting.uid}@example.com",
            "DTSTAMP:20260101T000000Z",
            f"DTSTART:{begins:%Y%m%dT%H%M%SZ}",
            f"DTEND:{ends:%Y%m%dT%H%M%SZ}",
            f"SUMMARY:{meeting.topic}",
            f"LOCATION:{meeting.room}",
            "ORGANIZER;CN=Alice Adams:mailto:alice@example.com",
            "ATTENDEE;CN=Bob Berger:mailto:bob@example.com",
            *meeting.lines,
            "END:VEVENT",
        ]


# What people do in Tuya


@contextmanager
def _tenant(config: Config) -> Iterator[Channel]:
    """Yield the API as the administrator of the tenant uses it."""
    settings = config.api
    channel = Channel(
        endpoint=settings.endpoint or "",
        client_id=settings.client_id,
        client_secret=settings.client_secret.reveal,
        timeout_s=_PATIENCE_S,
        requests_per_second=settings.requests_per_second,
        count_call=lambda _method: None,
        budget_left=lambda: None,
        clock=lambda: datetime.now(UTC).timestamp(),
    )
    try:
        with channel.armed():
            yield channel
    finally:
        channel.close()


def _add_studio(folder: Path, tenant: Channel) -> None:
    """Add a room whose meetings somebody has to approve, with the sources of the day, to the configuration."""
    approvers = {"approval_type": "anyOneSign", "approval_uids": ["3"]}
    setting = tenant.write("POST", f"{_API}/meeting-settings/approvals", approvers)
    fields = {
        "name": _STUDIO,
        "type": "normal",
        "address": "2nd floor",
        "parent_asset_id": "1",
        "range_type": "all",
        "room_status": "open",
        "reservation_approved": "Y",
        "approval_process_id": str(setting),
        "preemptible": "N",
        "system_release": "N",
        "space": 6,
    }
    room = tenant.write("POST", f"{_API}/meeting-rooms", fields)
    more = folder / "conf.d"
    more.mkdir()
    lines = ["[[rooms]]", f'id = "{room}"', f'name = "{_STUDIO}"']
    lines += ["[[sources]]", 'name = "sales"', 'path = "sales.ics"', ""]
    text = "\n".join(lines)
    (more / "staged-day.toml").write_text(text, encoding="utf-8")


def _book_by_hand(
    tenant: Channel,
    calendars: _Calendars,
    topic: str,
    at: time,
    minutes: int,
    room: str,
) -> None:
    """Book a room in Tuya, past all calendars."""
    begins = calendars.begins(at)
    ends = begins + timedelta(minutes=minutes)
    room_ids = {_SMALL: "1410148741926678528", _LARGE: "1410148741926678529"}
    fields: dict[str, object] = {
        "topic": topic,
        "start_time": epoch_ms(begins),
        "end_time": epoch_ms(ends),
        "meeting_room_id": room_ids[room],
        "participants": ["9"],
        "notice": False,
        "creator": "9",
    }
    tenant.write("POST", f"{_API}/meeting-reservations", fields)


def _limit_days(tenant: Channel, days: int) -> None:
    """Let nobody book further ahead from now on."""
    path = f"{_API}/meeting-settings/reservations"
    rules = tenant.read(path)
    assert isinstance(rules, dict)  # as the sandbox has them
    tenant.write("POST", path, {**rules, "max_day": days})


def _let_fail(sandbox: Running, *faults: str) -> None:
    """Let the line to the sandbox fail in these ways from now on; without any, in none."""
    body = json.dumps({"faults": list(faults)}).encode()
    request = Request(f"{sandbox.url}/sandbox/faults", body, method="POST")  # noqa: S310  # our own server
    with urlopen(request, timeout=_PATIENCE_S):  # noqa: S310
        pass
