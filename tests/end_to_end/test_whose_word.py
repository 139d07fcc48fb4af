"""Whose word counts about a meeting: each attack on it, and the honest change that looks like it.

Calendars of two people, a directory of files and a whole tenant, run as a user runs them: an attack changes
nothing or is held with its reason, one command settles it, and then it is settled; what is honest passes at
once.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import CONFIGURATION, HANG_S, Office, Ran, ahead, calendar, event

Files = Mapping[str, bytes | None]
"""The body of each file by its path, None where it is gone."""

ALICE, MALLORY = (
    "ORGANIZER:mailto:alice@example.com",
    "ORGANIZER:mailto:mallory@example.com",
)
OFF = "STATUS:CANCELLED"
_ONE_SOURCE = '[[sources]]\nname = "office"\npath = "office.ics"\n'


def _source(name: str, path: str = "", **more: str) -> str:
    values = {"name": name, "path": path or f"{name}.ics", **more}
    return "[[sources]]\n" + "".join(
        f'{key} = "{value}"\n' for key, value in values.items()
    )


TWO = _source("alice") + _source("other")
OWNED = _source("alice", owner="alice@example.com") + _source("other")
FOLDER = _source("files", "files")


def _meeting(
    *lines: str,
    day: int = 2,
    hour: int = 9,
    sequence: int = 1,
    by: str = ALICE,
    room: str | None = "small",
) -> str:
    said = [f"SEQUENCE:{sequence}", *([by] if by else []), *lines]
    return event("meeting", ahead(day, hour), 60, *said, room=room)


def _date(day: int, hour: int = 9) -> str:
    return f"{ahead(day, hour):%Y%m%dT%H%M%SZ}"


def _broken(component: str) -> str:
    return component.replace("DTSTART:", "DTSTART:soon after ")


DAILY = "RRULE:FREQ=DAILY;COUNT=4"
NEIGHBOUR = event("neighbour", ahead(3, 15), 60, ALICE, room="large")
SERIES = _meeting(DAILY)


def _alice(*events: str) -> bytes:
    return calendar(*events, NEIGHBOUR)


def _headed(head: str, *events: str) -> bytes:
    return calendar(head, *events)


@dataclass(frozen=True)
class Attack:
    """What stands there before, what is written then, and what of it is held under which reason.

    What was `held` gives a room up where `by_update`. `code` is the exit code where nothing is held.
    """

    sources: str
    before: Files
    then: Files
    held: int = 0
    reason: str = ""
    says: str = ""
    by_update: bool = False
    code: int = 0


@dataclass(frozen=True)
class Honest:
    """What stands there before, what is written then, and what is created, updated and cancelled at once."""

    sources: str
    before: Files
    then: Files
    done: tuple[int, int, int]


def _configured(office: Office, sources: str, safety: str = "") -> None:
    office.configure(CONFIGURATION, (_ONE_SOURCE, f"{safety}{sources}"))


def _put(office: Office, files: Files) -> None:
    for name, body in files.items():
        path = office.folder / name
        path.parent.mkdir(exist_ok=True)
        if body is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(body)


def _once(office: Office, *arguments: str) -> tuple[Ran, tuple[int, int, int, int]]:
    """Run a cycle: how it ended, and what it created, updated, cancelled and held."""
    ran = office.run("once", "--json", *arguments)
    counts = ran.json["counts"]
    return ran, (
        counts["created"],
        counts["updated"],
        counts["cancelled"],
        counts["held"],
    )


def _content(office: Office) -> list[tuple[Any, ...]]:
    fields = (
        "reservation_id",
        "topic",
        "start_time",
        "end_time",
        "room_id",
        "participants",
        "status",
    )
    return [tuple(str(r.get(field)) for field in fields) for r in office.reservations()]


def _params(cases: Mapping[str, Attack | Honest]) -> list[Any]:
    """All cases; the first of each kind runs always, its variations with what is slow."""
    kinds: Counter[str] = Counter()
    params = []
    for name, case in cases.items():
        kind = name.split(":")[0]
        kinds[kind] += 1
        marks = [] if kinds[kind] == 1 else [pytest.mark.slow]
        params.append(pytest.param(case, id=name, marks=marks))
    return params


def _is_held(office: Office, attack: Attack) -> str:
    """Look at what is held as a person does, in `plan` and `status`; return the checksum that both name."""
    plan = office.run("plan", "--json")
    held = [change for change in plan.json["changes"] if change["action"] == "hold"]
    assert {change["reason"] for change in held} == {attack.reason}
    assert len(held) == attack.held
    assert all(attack.says in change["detail"] for change in held)
    checksum = plan.json["held"]["checksum"]
    status = office.run("status")
    assert status.code == 1
    assert f"syncd approve {checksum}" in " ".join(status.out.split())
    return str(checksum)


def _warnings(ran: Ran, name: str) -> list[Any]:
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def _approve(office: Office, checksum: str, done: tuple[int, int, int]) -> None:
    """Give the one command; what was held is done then, and all is quiet afterwards."""
    assert office.run("approve", checksum).code == 0
    assert _once(office)[1] == (*done, 0)
    office.forget_requests()
    ran, counts = _once(office)
    assert (ran.code, counts, office.writes()) == (0, (0, 0, 0, 0), [])


# The copy in somebody else's calendar

_BASE = {"alice.ics": _alice(_meeting()), "other.ics": calendar()}
_RIVALS: Mapping[str, tuple[bytes, int]] = {
    "another time, nobody's": (calendar(_meeting(day=4, sequence=999, by="")), 0),
    "another time, of another organizer": (
        calendar(_meeting(day=4, sequence=999, by=MALLORY)),
        0,
    ),
    "another time, of the same SEQUENCE": (calendar(_meeting(day=4)), 0),
    "claims to be hers": (
        _headed("X-WR-CALNAME:alice@example.com", _meeting(day=4)),
        0,
    ),
    "claims to be hers by X-OWNER": (
        _headed("X-OWNER:mailto:alice@example.com", _meeting(day=4)),
        0,
    ),
    "without room and people": (calendar(_meeting(sequence=999, by="", room=None)), 0),
    "more dates": (
        calendar(_meeting("RRULE:FREQ=DAILY;COUNT=3", sequence=999, by="")),
        0,
    ),
    "cancelled, nobody's": (calendar(_meeting(OFF, sequence=999, by="")), 1),
    "cancelled, bare": (calendar(_meeting(OFF, sequence=999, by="", room=None)), 1),
    "cancelled, of another organizer": (
        calendar(_meeting(OFF, sequence=999, by=MALLORY)),
        1,
    ),
    "cancelled, of the same organizer": (calendar(_meeting(OFF, sequence=2)), 1),
    "cancelled, of the same SEQUENCE": (calendar(_meeting(OFF)), 1),
    "cancelled, claims": (_headed("X-WR-CALNAME:alice@example.com", _meeting(OFF)), 1),
    "cancelled by METHOD": (_headed("METHOD:CANCEL", _meeting(sequence=2)), 1),
    "cancelled before": (calendar(_meeting(OFF, sequence=0)), 0),
}
_NOT_HERS = ("not_the_organizer", "says that the meeting is cancelled")


def _of_others() -> Iterable[tuple[str, Attack]]:
    for name, (body, held) in _RIVALS.items():
        reason, says = _NOT_HERS if held else ("", "")
        for whose, sources in (("no owner", TWO), ("an owner", OWNED)):
            yield (
                f"stranger: {name}, {whose}",
                Attack(sources, _BASE, {"other.ics": body}, held, reason, says),
            )
        before = {"files/alice.ics": _alice(_meeting())}
        # A directory that says two times without a revision is a matter for a person; the meeting stays.
        code = int(name == "another time, of the same SEQUENCE")
        then = {"files/other.ics": body}
        yield (
            f"stranger: {name}, a file",
            Attack(FOLDER, before, then, held, reason, says, code=code),
        )
    body = calendar(_meeting(day=4, sequence=999))
    yield (
        "stranger: of the same organizer, an owner",
        Attack(OWNED, _BASE, {"other.ics": body}),
    )
    for whose in ("alice", "alice@example.com"):
        mine = {f"files/{whose}.ics": _alice(_meeting())}
        for name, lines, held in (("moves", [], 0), ("cancels", [OFF], 1)):
            theirs = calendar(_meeting(*lines, day=4, sequence=999, by=MALLORY))
            reason, says = _NOT_HERS if held else ("", "")
            then = {"files/mallory@example.com.ics": theirs}
            yield (
                f"stranger: her own address {name} that of {whose}",
                Attack(FOLDER, mine, then, held, reason, says),
            )
    series = {"alice.ics": _alice(SERIES), "other.ics": calendar(SERIES)}
    moved = event(
        "meeting", ahead(3, 15), 60, "SEQUENCE:1", ALICE, f"RECURRENCE-ID:{_date(3)}"
    )
    yield (
        "stranger: one date of the same SEQUENCE",
        Attack(TWO, series, {"other.ics": calendar(SERIES, moved)}),
    )


# A broken copy

_BROKEN: Mapping[str, bytes] = {
    "start": calendar(_broken(_meeting(sequence=9))),
    "end before start": calendar(_meeting(sequence=9).replace("DTEND:2", "DTEND:1")),
    "zone": calendar(
        _meeting(sequence=9)
        .replace("DTSTART:", "DTSTART;TZID=Nowhere:")
        .replace("Z\r\nDT", "\r\nDT")
    ),
    "cut": b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:meeting\r\n",
    "twice at other times": calendar(_meeting(sequence=9), _meeting(sequence=9, day=5)),
    "too many dates": calendar(_meeting("RRULE:FREQ=MINUTELY;INTERVAL=5", sequence=9)),
}


def _honest_beside_broken() -> Iterable[tuple[str, Honest]]:
    shorter = _alice(_meeting(DAILY, f"EXDATE:{_date(3)}", sequence=2))
    for name, body in _BROKEN.items():
        for place, sources in (("", TWO), ("files/", FOLDER)):
            where = "file" if place else "source"
            before = {
                f"{place}alice.ics": _alice(_meeting()),
                f"{place}other.ics": body,
            }
            then = {f"{place}alice.ics": _alice(_meeting(day=4, sequence=2))}
            yield (
                f"broken copy: moved beside a broken {name} in another {where}",
                Honest(sources, before, then, (0, 1, 0)),
            )
            then = {f"{place}alice.ics": _alice(_meeting(OFF, sequence=2))}
            yield (
                f"broken copy: cancelled beside a broken {name} in another {where}",
                Honest(sources, before, then, (0, 0, 1)),
            )
            if place and name == "cut":
                continue  # a directory that was not read as a whole: what is missing in it proves nothing
            before = {f"{place}alice.ics": _alice(SERIES), f"{place}other.ics": body}
            yield (
                f"broken copy: a date off beside a broken {name} in another {where}",
                Honest(sources, before, {f"{place}alice.ics": shorter}, (0, 0, 1)),
            )


# Told without a brake

_MANY = 40


def _meetings(count: int = _MANY, *lines: str, room: str | None = "small") -> list[str]:
    """Meetings of the coming days, twelve a day."""
    return [
        event(
            f"m{n}",
            ahead(1 + n // 12, 6) + timedelta(hours=n % 12),
            30,
            ALICE,
            *lines,
            room=room,
        )
        for n in range(count)
    ]


def _series(dates: int, *lines: str) -> list[str]:
    """Eight series of so many dates each, in the coming six days."""
    rule = [f"RRULE:FREQ=DAILY;COUNT={dates}"] if dates > 1 else []
    return [event(f"s{n}", ahead(1, 6 + n), 30, ALICE, *rule, *lines) for n in range(8)]


_OF_FLOODS = ("told_flood", "safety.told_share and told_floor")
_BOOKED = {"office.ics": calendar(*_meetings())}


def _floods() -> Iterable[tuple[str, Attack]]:
    said = {
        "METHOD:CANCEL in the head": (_headed("METHOD:CANCEL", *_meetings()), 40),
        "STATUS:CANCELLED everywhere": (calendar(*_meetings(_MANY, OFF)), 40),
        "an export without rooms": (calendar(*_meetings(room=None)), 40),
        "half and one more": (calendar(*_meetings(21, OFF), *_meetings()[21:]), 21),
    }
    for name, (body, held) in said.items():
        then = {"office.ics": body}
        without = "rooms" in name
        yield (
            f"flood: {name}",
            Attack(_ONE_SOURCE, _BOOKED, then, held, *_OF_FLOODS, by_update=without),
        )
    owned = _source("office", owner="alice@example.com")
    body = calendar(*_meetings(_MANY, OFF))
    yield (
        "flood: by the organizer",
        Attack(owned, _BOOKED, {"office.ics": body}, 40, *_OF_FLOODS),
    )
    before = {"office.ics": calendar(*_series(5))}
    yield (
        "flood: series without their rules",
        Attack(
            _ONE_SOURCE, before, {"office.ics": calendar(*_series(1))}, 32, *_OF_FLOODS
        ),
    )
    left_out = [f"EXDATE:{_date(day, 6 + n)}" for n in range(8) for day in (2, 3, 4, 5)]
    body = calendar(*_series(5, *left_out))
    yield (
        "flood: dates left out",
        Attack(_ONE_SOURCE, before, {"office.ics": body}, 32, *_OF_FLOODS),
    )


def _honest_tellings() -> Iterable[tuple[str, Honest]]:
    half = calendar(*_meetings(20, OFF), *_meetings()[20:])
    yield (
        "flood: half of them",
        Honest(_ONE_SOURCE, _BOOKED, {"office.ics": half}, (0, 0, 20)),
    )
    few = {"office.ics": calendar(*_meetings(20))}
    yield (
        "flood: all of few",
        Honest(
            _ONE_SOURCE, few, {"office.ics": calendar(*_meetings(20, OFF))}, (0, 0, 20)
        ),
    )
    others = calendar(*_meetings(room="large"))
    yield (
        "flood: all move to another room",
        Honest(_ONE_SOURCE, _BOOKED, {"office.ics": others}, (0, 40, 0)),
    )
    before = {"office.ics": calendar(*_series(5), *_meetings()[20:])}
    less = calendar(*_series(4), *_meetings()[20:])
    yield (
        "flood: each series ends a day before",
        Honest(_ONE_SOURCE, before, {"office.ics": less}, (0, 0, 8)),
    )


# What the organizer says, beside calendars that were not updated


def _honest_changes() -> Iterable[tuple[str, Honest]]:
    both = {"alice.ics": _alice(_meeting()), "other.ics": calendar(_meeting())}
    series = {"alice.ics": _alice(SERIES), "other.ics": calendar(SERIES)}
    changes: Mapping[str, tuple[Files, bytes, tuple[int, int, int]]] = {
        "moved": (both, _alice(_meeting(day=4, sequence=2)), (0, 1, 0)),
        "moved without a new SEQUENCE": (both, _alice(_meeting(day=4)), (0, 1, 0)),
        "cancelled": (both, _alice(_meeting(OFF, sequence=2)), (0, 0, 1)),
        "cancelled by METHOD": (
            both,
            _headed("METHOD:CANCEL", _meeting(sequence=2), NEIGHBOUR),
            (0, 0, 2),
        ),
        "one date off": (
            series,
            _alice(_meeting(DAILY, f"EXDATE:{_date(3)}", sequence=2)),
            (0, 0, 1),
        ),
        "ends sooner": (
            series,
            _alice(_meeting("RRULE:FREQ=DAILY;COUNT=2", sequence=2)),
            (0, 0, 2),
        ),
        "moved as a whole": (
            series,
            _alice(_meeting(DAILY, hour=12, sequence=2)),
            (0, 4, 0),
        ),
    }
    for name, (before, body, done) in changes.items():
        for whose, sources in (("an owner", OWNED), ("no owner", TWO)):
            yield (
                f"stranger: {name} by {whose}",
                Honest(sources, before, {"alice.ics": body}, done),
            )
    later = {"other.ics": calendar(_meeting(day=4, sequence=2))}
    yield (
        "stranger: a later revision in another calendar",
        Honest(TWO, both, later, (0, 1, 0)),
    )
    files = {
        "files/alice@example.com.ics": _alice(_meeting()),
        "files/bob@example.com.ics": calendar(_meeting()),
    }
    body = _alice(_meeting(OFF, sequence=2))
    then = {"files/alice@example.com.ics": body}
    yield (
        "stranger: cancelled in the file of her address",
        Honest(FOLDER, files, then, (0, 0, 1)),
    )


ATTACKS = dict([*_of_others(), *_floods()])
HONEST = dict([*_honest_changes(), *_honest_beside_broken(), *_honest_tellings()])


@pytest.mark.first(1000, 18)
@pytest.mark.parametrize("attack", _params(ATTACKS))
def test_an_attack_changes_nothing_or_is_held(office: Office, attack: Attack) -> None:
    """Nothing is changed in the API; what is held is done by the one command that is named, and only then."""
    _configured(office, attack.sources)
    _put(office, attack.before)
    assert _once(office)[0].code == 0
    before = _content(office)
    office.forget_requests()
    _put(office, attack.then)
    for held in (attack.held, 0):  # said in the log once, when it is held
        ran, counts = _once(office)
        assert counts == (0, 0, 0, attack.held)
        assert ran.code == (1 if attack.held else attack.code)
        said = _warnings(ran, "held")
        assert sum(line["bookings"] for line in said) == held
        assert all(
            line["reason"] == attack.reason and "syncd approve" in line["cure"]
            for line in said
        )
    assert (_content(office), office.writes()) == (before, [])
    if attack.held:
        done = (0, attack.held, 0) if attack.by_update else (0, 0, attack.held)
        _approve(office, _is_held(office, attack), done)


@pytest.mark.slow
@pytest.mark.first(1000, 30)
@pytest.mark.parametrize("change", _params(HONEST))
def test_an_honest_change_passes_at_once(office: Office, change: Honest) -> None:
    """What looks like the attack and is the organizer's own change is done by the next cycle, unasked."""
    _configured(office, change.sources)
    _put(office, change.before)
    _once(office)
    _put(office, change.then)
    assert _once(office)[1] == (*change.done, 0)
    office.forget_requests()
    assert _once(office)[1] == (0, 0, 0, 0)
    assert office.writes() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "held"),
    [
        (_meeting(day=5, sequence=999, by=""), 0),
        (_meeting(OFF, sequence=999, by=""), 1),
    ],
    ids=["another time", "cancelled"],
)
def test_an_attack_in_a_directory_while_the_organizer_edits(
    office: Office, theirs: str, held: int
) -> None:
    """An edit of the file that decides, renamed or not, does not hand the meeting over to another file."""
    _configured(office, FOLDER)
    _put(office, {"files/alice.ics": _alice(_meeting())})
    _once(office)
    _put(office, {"files/other.ics": calendar(theirs)})
    assert _once(office)[1] == (0, 0, 0, held)
    for number in (2, 3):
        _put(
            office,
            {"files/alice.ics": _alice(_meeting(f"SUMMARY:{number}", sequence=number))},
        )
        assert _once(office)[1][:3] == (0, 1, 0)
        assert [r["topic"] for r in office.reservations()] == [
            str(number),
            "Meeting neighbour",
        ]
        assert _once(office)[1] == (0, 0, 0, held)
    (office.folder / "files/alice.ics").rename(office.folder / "files/team.ics")
    assert _once(office)[1] == (0, 0, 0, held)
    _put(office, {"files/team.ics": _alice(_meeting("SUMMARY:4", sequence=4))})
    assert _once(office)[1][:3] == (0, 1, 0)
    assert [r["topic"] for r in office.reservations()] == ["4", "Meeting neighbour"]


@pytest.mark.slow
def test_dates_that_enter_the_horizon_are_not_free_for_the_taking(
    office: Office,
) -> None:
    """What nobody decided yet, because it was too far ahead, is decided as the other dates of its series."""
    _configured(office, TWO)
    office.change(("[api]", 'horizon = "3d"\n[api]'))
    _put(office, {"alice.ics": _alice(SERIES), "other.ics": calendar()})
    _once(office)
    taken = _meeting("RRULE:FREQ=DAILY;COUNT=6", hour=17, sequence=999, by=MALLORY)
    _put(office, {"other.ics": calendar(taken)})
    assert _once(office)[1] == (0, 0, 0, 0)
    office.change(('horizon = "3d"', 'horizon = "6d"'))
    _once(office)
    ours = [r for r in office.reservations() if r["topic"] == "Meeting meeting"]
    assert [r["start_time"] // 1000 for r in ours] == [
        ahead(day).timestamp() for day in (2, 3, 4, 5)
    ]


# Files of a directory; a tenant


def _safety(**values: str) -> str:
    return "[safety]\n" + "".join(
        f'{key} = "{value}"\n' for key, value in values.items()
    )


def _five(name: str, hour: int) -> bytes:
    return calendar(
        *(
            event(f"{name}{n}", ahead(1 + n, hour), 30, ALICE, room="small")
            for n in range(5)
        )
    )


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["under its name", "under another name", "atomically"])
def test_a_file_that_is_written_anew(office: Office, how: str) -> None:
    """Removed and written again, as exports and sync clients do: no request, and nobody is asked."""
    _configured(office, FOLDER)
    _put(office, {"files/a.ics": _five("a", 9), "files/b.ics": _five("b", 12)})
    assert _once(office)[1] == (10, 0, 0, 0)
    office.forget_requests()
    if how == "atomically":
        _put(office, {"files/.a.tmp": _five("a", 9)})
        (office.folder / "files/.a.tmp").replace(office.folder / "files/a.ics")
    else:
        _put(office, {"files/a.ics": None})
        assert _once(office)[1] == (0, 0, 0, 0)
        _put(
            office,
            {
                "files/a.ics" if how == "under its name" else "files/c.ics": _five(
                    "a", 9
                )
            },
        )
    for _ in range(2):
        ran, counts = _once(office)
        assert (ran.code, counts, office.writes()) == (0, (0, 0, 0, 0), [])


@pytest.mark.slow
def test_a_file_of_several_events_that_stays_away_is_held(office: Office) -> None:
    """After `safety.file_grace` its five meetings wait for a person, who cancels them with one command."""
    _configured(office, FOLDER, _safety(file_grace="1s"))
    _put(office, {"files/a.ics": _five("a", 9), "files/b.ics": _five("b", 12)})
    _once(office)
    office.change(('"1s"', '"5m"'))
    _put(office, {"files/a.ics": None})
    ran, counts = _once(office)
    assert (ran.code, counts) == (0, (0, 0, 0, 0))
    assert [line["reason"] for line in _warnings(ran, "files missing")] == [
        "file_missing"
    ]
    for command, code in {"status": 1, "plan": 0}.items():  # no daemon runs
        shown = office.run(command)
        assert (shown.code, "The file a.ics is gone" in shown.out) == (code, True)
    assert office.status()["missing_files"] == {"files": ["a.ics"]}
    office.change(('"5m"', '"1s"'))
    _wait_for(lambda: _once(office)[1] == (0, 0, 0, 5))
    assert office.status()["missing_files"] == {}
    checksum = _is_held(
        office, Attack("", {}, {}, 5, "file_gone", "held it and other events, is gone")
    )
    _approve(office, checksum, (0, 0, 5))


@pytest.mark.slow
def test_a_file_of_one_event_that_stays_away_is_cancelled(office: Office) -> None:
    """The honest change of a vdir: a meeting is deleted with its file, and nobody has to approve that."""
    _configured(office, FOLDER, _safety(file_grace="1s"))
    _put(office, {"files/one.ics": calendar(_meeting()), "files/b.ics": _five("b", 12)})
    _once(office)
    _put(office, {"files/one.ics": None})
    _once(office)
    _wait_for(lambda: _once(office)[1] == (0, 0, 1, 0))


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.2)


def _status_of_all(office: Office, status: int, count: int) -> None:
    for reservation in office.reservations()[:count]:
        office.control(
            f"reservations/{reservation['reservation_id']}", {"status": status}
        )


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("what", ["--retry", "--drop"])
def test_a_wipe_asks_a_person(office: Office, what: str) -> None:
    """So many cancelled at once in Tuya decide nothing; one command books them again, or accepts it."""
    office.write(*_meetings())
    _once(office)
    _status_of_all(office, 3, _MANY)
    office.forget_requests()
    for force in ("--force", "--force"):
        ran, counts = _once(office, force)
        assert (ran.code, counts, ran.json["counts"]["vanished"]) == (
            1,
            (0, 0, 0, 0),
            _MANY,
        )
    assert office.writes() == []
    status = office.run("status")
    assert (status.code, "syncd resolve --all vanished --retry" in status.out) == (
        1,
        True,
    )
    assert office.run("resolve", "--all", "vanished", what).code == 0
    created = _MANY if what == "--retry" else 0
    assert _once(office)[1] == (created, 0, 0, 0)
    assert len(office.reservations()) == created
    ran, counts = _once(office, "--force")
    assert (ran.code, counts) == (0, (0, 0, 0, 0))


@pytest.mark.slow
def test_what_people_cancel_is_respected_at_once(office: Office) -> None:
    """The honest change: three of forty are cancelled in Tuya, and nobody is asked."""
    office.write(*_meetings())
    _once(office)
    _status_of_all(office, 3, 3)
    ran, counts = _once(office, "--force")
    assert (ran.code, counts, ran.json["counts"]["vanished"]) == (0, (0, 0, 0, 0), 0)
    assert len(office.reservations()) == _MANY - 3


# Sources whose files are exchanged


@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["swapped", "turned"])
def test_exchanged_paths_of_sources_book_nothing_twice(
    office: Office, how: str
) -> None:
    """Where a UID means a meeting in each source, the reservations follow the files; a cancel is a cancel."""
    names = ["a", "b"] if how == "swapped" else ["a", "b", "c"]
    scope = {"uid_scope": "source"}
    _configured(office, "".join(_source(name, **scope) for name in names))
    bodies = {name: _five(name, 6 + 3 * number) for number, name in enumerate(names)}
    _put(office, {f"{name}.ics": body for name, body in bodies.items()})
    assert _once(office)[1] == (5 * len(names), 0, 0, 0)
    turned = names[1:] + names[:1]
    sources = (
        _source(name, f"{path}.ics", **scope)
        for name, path in zip(names, turned, strict=True)
    )
    _configured(office, "".join(sources))
    office.forget_requests()
    assert _once(office)[1] == (0, 0, 0, 0)
    assert office.writes() == []
    body = bodies["a"].replace(b"UID:a0", b"STATUS:CANCELLED\r\nUID:a0")
    _put(office, {"a.ics": body})
    assert _once(office)[1] == (0, 0, 1, 0)
