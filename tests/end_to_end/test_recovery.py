"""State, reservations or API are not as they were left: nothing is booked twice, and people decide."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tuya_connector import TuyaOpenAPI

from syncd.apply.settle import MAX_ATTEMPTS
from syncd.assembly import open_ledger
from syncd.config import load
from syncd.core.booking import Booking
from syncd.reconciler import CycleReport
from syncd.sandbox import Sandbox, SandboxSettings
from tests.conftest import HANG_S, Office, Ran, ahead, event
from tests.end_to_end.killed import Clock, at_work

_RESERVATIONS = "/v2.0/iot-03/meeting-reservations"


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(
    office: Office, later: timedelta = timedelta(), *, force: bool = False
) -> CycleReport:
    """One cycle in this process, that much later."""
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle(force=force)


def _quiet(office: Office, later: timedelta = timedelta()) -> CycleReport:
    """A cycle that compares with the API and sends no mutating call."""
    office.forget_requests()
    report = _cycle(office, later, force=True)
    assert office.writes() == []
    return report


def _as_tenant(office: Office) -> TuyaOpenAPI:
    client = TuyaOpenAPI(office.url, office.client_id, office.client_secret)
    client.connect()
    return client


def _book_by_hand(office: Office, like: dict[str, Any], **otherwise: object) -> str:
    """Book a meeting with the content of a reservation, as another program would; its id."""
    body = {
        "topic": like["topic"],
        "start_time": like["start_time"],
        "end_time": like["end_time"],
        "meeting_room_id": like["room_id"],
        "participants": like["participants"],
        "notice": like["notice"],
        "description": like["description"],
        "creator": like["creator"],
        **otherwise,
    }
    answer = _as_tenant(office).post(_RESERVATIONS, body)
    assert answer["success"], answer
    return str(answer["result"])


def _lose_state(office: Office) -> None:
    for file in office.folder.glob("state.db*"):
        file.unlink()


def _bookings(office: Office) -> list[Booking]:
    """What the ledger has; quicker than to ask the program."""
    with open_ledger(load(office.folder / "syncd.toml"), owner=False) as ledger:
        return list(ledger.bookings.all())


def _booking(office: Office, uid: str = "m") -> Booking:
    (booking,) = [b for b in _bookings(office) if b.key.uid == uid]
    return booking


def _topics(office: Office, *, live: bool = True) -> Counter[str]:
    return Counter(r["topic"] for r in office.reservations(live=live))


# A lost state


@pytest.mark.slow
def test_adopt_rebuilds_a_lost_state(office: Office) -> None:
    """adopt shows what it found and writes nothing; with --apply the next cycle finds nothing to do."""
    office.write(
        event("m", ahead(1)),
        event("r", ahead(1), room=None),
        event("s", ahead(1, 12), 30, "RRULE:FREQ=DAILY;COUNT=3", room="large"),
    )
    _cycle(office)
    _lose_state(office)
    shown = office.run("adopt", "--json")
    assert (shown.code, shown.json["applied"], len(shown.json["adopted"])) == (
        3,
        False,
        5,
    )
    assert office.run("status", "--json").json["bookings"] == []
    assert "would be adopted" in office.run("adopt").out
    applied = office.run("adopt", "--apply", "--json")
    assert (applied.code, applied.json["applied"], len(applied.json["adopted"])) == (
        0,
        True,
        5,
    )
    assert office.run("adopt", "--json").code == 0
    office.forget_requests()
    done = office.run("once", "--json")
    assert (done.code, done.json["counts"]["unchanged"]) == (0, 5)
    assert office.writes() == []


@pytest.mark.slow
def test_adopt_names_what_belongs_to_no_meeting(office: Office) -> None:
    """A reservation with our mark and without an event is named, and left alone."""
    office.write(event("m", ahead(1)), event("gone", ahead(2)))
    _cycle(office)
    _, stray = office.reservations()
    _lose_state(office)
    office.write(event("m", ahead(1)))
    assert (
        office.run("adopt", "--json").json["strays"][0]["reservation_id"]
        == stray["reservation_id"]
    )
    applied = office.run("adopt", "--apply")
    assert applied.code == 1
    assert stray["reservation_id"] in applied.out
    assert _cycle(office).counts["cancelled"] == 0
    _quiet(office)
    assert len(office.reservations()) == 2


def test_adopt_says_that_a_calendar_cannot_be_read(office: Office) -> None:
    """Without the calendar nothing can be recognised, and the cause is said."""
    office.write(event("m", ahead(1)))
    _cycle(office)
    _lose_state(office)
    office.calendar_file.rename(office.folder / "elsewhere.ics")
    ran = office.run("adopt", "--apply")
    assert ran.code == 1
    assert "office.ics" in ran.out
    (office.folder / "elsewhere.ics").rename(office.calendar_file)
    assert _quiet(office).counts["unchanged"] == 1


# An old copy of the state

_AT_NIGHT = timedelta(hours=2)


@pytest.mark.first(2)
@pytest.mark.parametrize("sidecar", ["kept", "removed", "restored"])
@pytest.mark.parametrize(
    ("change", "room"),
    [
        ("create", None),
        ("create", "small"),
        ("update", None),
        ("room", "small"),
        ("cancel", None),
    ],
)
def test_an_old_copy_of_the_state_books_nothing_twice(
    office: Office, change: str, sidecar: str, room: str | None
) -> None:
    """A copy from before a create, an update or a cancel is completed from the API, whatever came along.

    `sidecar` is the file beside the database that says how far it had come; restored with it, the copy
    cannot be told from the latest state, and what sets a state may be sent again.
    """
    other = event("other", ahead(3))
    first, second = event("m", ahead(1), room=room), event("m", ahead(1, 15), room=room)
    calendars = {
        "create": ([other], [first, other]),
        "update": ([first, other], [second, other]),
        "room": ([first, other], [event("m", ahead(1), room="large"), other]),
        "cancel": ([first, other], [other]),
    }
    before, after = calendars[change]
    office.write(*before)
    _cycle(office)
    backup = office.folder / "backup"
    backup.mkdir()
    for file in office.folder.glob("state.db*"):
        shutil.copy2(file, backup)
    office.write(*after)
    _cycle(office)
    live, made = _topics(office), _topics(office, live=False)
    shutil.copy2(backup / "state.db", office.folder / "state.db.new")
    (office.folder / "state.db.new").replace(office.folder / "state.db")
    if sidecar != "kept":
        (office.folder / "state.db.lock").unlink()
    if sidecar == "restored":
        shutil.copy2(backup / "state.db.lock", office.folder)
    office.forget_requests()
    report = _cycle(office)
    assert set(office.writes()) <= (
        {"modify", "cancel"} if sidecar == "restored" else set()
    )
    assert report.outcome == "ok"
    _quiet(office, _AT_NIGHT)
    assert _topics(office) == live
    assert _topics(office, live=False) == made


# Duplicates, and what is not ours


def test_duplicates_are_reduced_to_the_oldest(office: Office) -> None:
    """A request that was delivered twice, and a copy made by hand: the drift check keeps the oldest."""
    office.write(event("m", ahead(1), room=None))
    office.fault("duplicate:on=create,times=1")
    _cycle(office)
    office.fault()
    oldest, _ = office.reservations()
    _book_by_hand(office, oldest)
    assert len(office.reservations()) == 3
    assert _cycle(office).outcome == "ok"
    assert len(office.reservations()) == 3, "only the drift check lists the API"
    _cycle(office, _AT_NIGHT)
    (left,) = office.reservations()
    assert left["reservation_id"] == oldest["reservation_id"]
    _quiet(office, 2 * _AT_NIGHT)


@pytest.mark.first(1)
@pytest.mark.parametrize("mode", ["create-only", "no-cancel", "observe"])
def test_duplicates_are_reported_where_nothing_may_be_cancelled(
    office: Office, mode: str
) -> None:
    """Only the mode full cancels duplicates; the others say how many there are."""
    office.write(event("m", ahead(1), room=None))
    _cycle(office)
    _book_by_hand(office, office.reservations()[0])
    office.change(('mode = "full"', f'mode = "{mode}"'))
    _quiet(office, _AT_NIGHT)
    assert office.status()["leftovers"]["duplicates"] == 1
    assert len(office.reservations()) == 2


def test_what_belongs_to_another_instance_is_not_touched(office: Office) -> None:
    """A reservation with the mark of another instance is neither adopted nor cancelled nor called a stray."""
    office.change(('instance = "hq"', 'instance = "west"'))
    office.write(event("m", ahead(1), room=None))
    _cycle(office)
    (theirs,) = office.reservations()
    _lose_state(office)
    office.change(('instance = "west"', 'instance = "east"'))
    office.write(event("m", ahead(1), room=None), event("n", ahead(2)))
    found = office.run("adopt", "--json").json
    assert (found["adopted"], found["strays"], found["duplicates"]) == ([], [], 0)
    _cycle(office)
    office.write(event("n", ahead(2)))
    _cycle(office)
    _quiet(office, _AT_NIGHT)
    assert theirs in office.reservations()
    assert len(office.reservations()) == 2


def test_two_instances_on_one_tenant_do_not_disturb_each_other(
    office: Office, tmp_path: Path
) -> None:
    """With one tenant and one calendar, rooms are told as conflicts, and what has no room both book."""
    folder = tmp_path / "second"
    folder.mkdir()
    other = Office(folder, office.url, office.client_id, office.client_secret)
    other.change(('instance = "hq"', 'instance = "second"'))
    for each in (office, other):
        each.write(event("m", ahead(1)), event("r", ahead(2), room=None))
        _cycle(each)
    made = office.reservations(live=False)
    for hour in range(4):
        for each in (office, other):
            _cycle(each, timedelta(hours=hour))
    assert office.reservations(live=False) == made
    assert _topics(office) == {"Meeting m": 1, "Meeting r": 2}
    assert _booking(office).state == "booked"
    refused = _booking(other)
    assert (refused.state, refused.reason) == ("refused", "room_conflict")
    assert str(_booking(office).reservation_id) in refused.detail


@pytest.mark.slow
def test_a_second_process_on_one_state_leaves(office: Office) -> None:
    """While one owns the state, once and adopt --apply leave with 75 and name it; resolve works beside it."""
    office.write(event("m", ahead(1)))
    office.fault("refuse:code=1109,on=create,times=1")
    _cycle(office)
    office.change(("requests_per_second", 'timeout = "1h"\nrequests_per_second'))
    office.fault("slow:on=list,seconds=3600,times=1")
    office.forget_requests()
    first = office.start("once", "--force", "--json")
    while not any(entry["fault"] for entry in office.control("requests")):
        assert first.poll() is None
    for command in (("once",), ("adopt", "--apply")):
        second = office.run(*command)
        assert second.code == 75
        assert f"Process {first.pid} owns" in second.err
    assert office.run("resolve", "m", "--drop").code == 0
    first.kill()
    first.communicate(timeout=HANG_S)
    _cycle(office)
    assert _booking(office).reason == "dropped"


# What a person decides


def _in_doubt(office: Office) -> None:
    """A create that never arrives, as often as it is tried: it stays in doubt."""
    office.write(event("m", ahead(1), room=None))
    office.fault("closed:on=create")
    clock = Clock()
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        for _ in range(MAX_ATTEMPTS + 1):
            reconciler.cycle()
            clock.later += timedelta(minutes=6)
    assert office.writes() == ["create"] * MAX_ATTEMPTS
    office.fault()
    office.forget_requests()
    booking = _booking(office)
    assert booking.state == "sending"
    assert "syncd resolve" in booking.detail


def _decide(office: Office, key: str, *decision: str) -> Ran:
    """Decide, and let the next cycle carry it out."""
    ran = office.run("resolve", key, *decision)
    assert ran.code == 0, ran.err
    _cycle(office, timedelta(hours=1))
    return ran


def test_a_create_in_doubt_waits_for_a_person(office: Office) -> None:
    """After several attempts without answer nothing more is sent, and status and exit code say so."""
    _in_doubt(office)
    report = _cycle(office, timedelta(days=1, hours=-12))
    assert report.counts["in_doubt"] == 1
    assert report.outcome == "attention"
    assert office.writes() == []


def test_resolve_retry_sends_a_create_in_doubt_once_more(office: Office) -> None:
    """--retry: it is sent once, and booked."""
    _in_doubt(office)
    _decide(office, "m", "--retry")
    assert office.writes() == ["create"]
    assert _booking(office).state == "booked"
    assert _quiet(office).outcome == "ok"


def test_resolve_drop_gives_a_create_up_until_the_event_changes(office: Office) -> None:
    """--drop: nothing is sent and nobody is needed any more; a change of the event books it."""
    _in_doubt(office)
    _decide(office, "m", "--drop")
    assert _quiet(office).outcome == "ok"
    assert _booking(office).reason == "dropped"
    office.write(event("m", ahead(1, 15), room=None))
    assert _cycle(office).counts["created"] == 1
    assert len(office.reservations()) == 1


def test_resolve_adopt_takes_the_reservation_that_a_person_names(
    office: Office,
) -> None:
    """--adopt: the named reservation is the booking; what differs in it is changed in place."""
    _in_doubt(office)
    wanted = {
        "topic": "Booked by hand",
        "start_time": int(ahead(1).timestamp()) * 1000,
        "end_time": int(ahead(1, 10).timestamp()) * 1000,
        "room_id": "",
        "participants": ["3"],
        "notice": True,
        "description": "",
        "creator": "3",
    }
    by_hand = _book_by_hand(office, wanted)
    _decide(office, "m", "--adopt", by_hand)
    _cycle(office)
    (left,) = office.reservations()
    assert (left["reservation_id"], left["topic"]) == (by_hand, "Meeting m")
    assert _quiet(office).outcome == "ok"


@pytest.mark.slow
def test_resolve_adopt_of_what_is_not_there_changes_nothing(office: Office) -> None:
    """A reservation that is unknown or another meeting's is not taken, and the booking says why."""
    _in_doubt(office)
    office.write(event("m", ahead(1), room=None), event("n", ahead(2), room=None))
    _cycle(office)
    (others,) = office.reservations()
    _decide(office, "m", "--adopt", "123456789")
    assert "123456789 is not live in Tuya" in _booking(office).detail
    _decide(office, "m", "--adopt", others["reservation_id"])
    assert "belongs to another booking" in _booking(office).detail
    assert _booking(office).state == "sending"
    assert office.reservations() == [others]


@pytest.mark.slow
def test_resolve_helps_to_find_the_key(office: Office) -> None:
    """A wrong or ambiguous KEY leaves with 1 and lists the right ones; wrong usage leaves with 2."""
    fine = event("fine", ahead(4))
    office.write(fine)
    _cycle(office)
    office.write(fine, event("s", ahead(1), 30, "RRULE:FREQ=DAILY;COUNT=2"))
    office.fault("refuse:code=1109,on=create,times=2")
    _cycle(office)
    keys = {f"s/{ahead(day):%Y%m%dT%H%M%SZ}" for day in (1, 2)}
    for wrong in ("s", "nothing", "fine"):
        ran = office.run("resolve", wrong, "--retry")
        assert ran.code == 1
        assert all(key in ran.err for key in keys)
    assert office.run("resolve", "s", "--retry", "--drop").code == 2
    assert office.run("resolve", "s").code == 2
    office.fault()
    for key in sorted(keys):
        office.run("resolve", key, "--retry")
    assert _cycle(office).counts["created"] == 2
    assert (
        "Nothing is in doubt, refused, released, dropped or vanished"
        in office.run("resolve", "s", "--retry").err
    )


@pytest.mark.first(1)
@pytest.mark.parametrize("decision", ["--retry", "--drop"])
@pytest.mark.parametrize("operation", ["create", "modify", "cancel"])
def test_resolve_settles_what_was_refused(
    office: Office, operation: str, decision: str
) -> None:
    """A refused create, update or cancel is sent once more, or given up and no matter for a person."""
    calendars = {
        "create": ([], [event("m", ahead(1))]),
        "modify": ([event("m", ahead(1))], [event("m", ahead(1, 15))]),
        "cancel": ([event("m", ahead(1))], []),
    }
    before, after = calendars[operation]
    other = event("other", ahead(3))
    office.write(*before, other)
    _cycle(office)
    office.write(*after, other)
    office.fault(f"refuse:code=1109,on={operation}")
    office.forget_requests()
    assert _cycle(office).outcome == "attention"
    assert office.writes() == [operation]
    assert _quiet(office).outcome == "attention"
    office.fault()
    _decide(office, "m", decision)
    sent = decision == "--retry"
    assert office.writes() == ([operation] if sent else [])
    assert _quiet(office).outcome == "ok"
    booked = {"create": sent, "modify": True, "cancel": not sent}[operation]
    assert _topics(office) == {"Meeting other": 1} | (
        {"Meeting m": 1} if booked else {}
    )


def test_lookalikes_without_mark_are_left_to_a_person(office: Office) -> None:
    """Without marks two reservations may look like the one that was asked for: a person says which it is."""
    office.change(("[reservation]", "[reservation]\nmarker = false"))
    office.write(event("m", ahead(1), room=None))
    office.fault("duplicate:on=create,times=1", "lost:on=create,times=1")
    _cycle(office)
    office.fault()
    _cycle(office, timedelta(minutes=6))
    one, other = office.reservations()
    detail = _booking(office).detail
    assert one["reservation_id"] in detail
    assert other["reservation_id"] in detail
    _decide(office, "m", "--adopt", other["reservation_id"])
    assert _booking(office).reservation_id == other["reservation_id"]
    assert _quiet(office).outcome == "ok"
    assert len(office.reservations()) == 2


# What people do in Tuya


def _drift(office: Office, **settings: str) -> None:
    values = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
    office.change(("[reservation]", f"[drift]\n{values}[reservation]"))


def _now() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def _edit(office: Office, **fields: object) -> dict[str, Any]:
    """Change the one reservation in Tuya, and let the drift check see it."""
    (there,) = office.reservations()
    edited: dict[str, Any] = office.control(
        f"reservations/{there['reservation_id']}", fields
    )
    office.forget_requests()
    return edited


@pytest.mark.first(1)
@pytest.mark.parametrize("policy", ["accept", "repair", "report"])
def test_a_change_in_tuya_is_treated_as_configured(office: Office, policy: str) -> None:
    """accept keeps it, report tells it besides, repair sets it back; a change of the event always counts."""
    _drift(office, on_change=policy)
    office.write(event("m", ahead(1)))
    _cycle(office)
    _edit(office, topic="Renamed by hand")
    report = _cycle(office, force=True)
    assert office.writes() == (["modify"] if policy == "repair" else [])
    assert report.outcome == "ok"
    assert _topics(office) == {
        "Meeting m" if policy == "repair" else "Renamed by hand": 1
    }
    plan = office.run("plan", "--json")
    told = [c["reason"] for c in plan.json["changes"]]
    assert (plan.code, told) == (
        (1, ["changed_in_tuya"]) if policy == "report" else (0, [])
    )
    _quiet(office)
    office.write(event("m", ahead(1), 90))
    assert _cycle(office).counts["updated"] == 1
    assert _topics(office) == {"Meeting m": 1}
    assert _quiet(office).outcome == "ok"


@pytest.mark.parametrize("policy", ["accept", "repair", "report"])
def test_a_change_in_tuya_after_the_meeting_began_is_left(
    office: Office, policy: str
) -> None:
    """Whatever the policy, a meeting that runs is not set back; a change of its event still counts."""
    _drift(office, on_change=policy)
    start = _now() - timedelta(minutes=20)
    office.write(event("m", start, 60))
    _cycle(office)
    _edit(office, end_time=int((start + timedelta(minutes=90)).timestamp()) * 1000)
    _cycle(office, force=True)
    assert office.writes() == []
    office.write(event("m", start, 120))
    assert _cycle(office).counts["updated"] == 1
    assert _quiet(office).outcome == "ok"


@pytest.mark.parametrize("policy", ["accept", "repair", "report"])
def test_a_meeting_that_a_person_ends_early_stays_ended(
    office: Office, policy: str
) -> None:
    """A running meeting that is ended in Tuya is not booked or stretched again."""
    _drift(office, on_change=policy)
    office.write(event("m", _now() - timedelta(minutes=20), 60))
    _cycle(office)
    (there,) = office.reservations()
    path = f"{_RESERVATIONS}/{there['reservation_id']}/finish"
    assert _as_tenant(office).put(path, {"end_type": "manual"})["success"]
    (ended,) = office.reservations()
    for later in (0, 70, 140):
        _quiet(office, timedelta(seconds=later))
    assert office.reservations(live=False) == [ended]


@pytest.mark.parametrize("policy", ["respect", "rebook"])
def test_a_cancel_in_tuya_is_treated_as_configured(office: Office, policy: str) -> None:
    """respect leaves it released until the event changes; rebook books it once more."""
    _drift(office, on_cancel=policy)
    office.write(event("m", ahead(1)))
    _cycle(office)
    _edit(office, status=3)
    assert _cycle(office, force=True).counts["created"] == (
        1 if policy == "rebook" else 0
    )
    assert len(office.reservations()) == (1 if policy == "rebook" else 0)
    assert _quiet(office).outcome == "ok"
    office.write(event("m", ahead(1, 15)))
    _cycle(office)
    (there,) = office.reservations()
    assert there["start_time"] == int(ahead(1, 15).timestamp()) * 1000
    assert _quiet(office).outcome == "ok"
    assert len(office.reservations(live=False)) == 2


@pytest.mark.parametrize("policy", ["respect", "rebook"])
def test_a_cancel_in_tuya_after_the_meeting_began_is_left(
    office: Office, policy: str
) -> None:
    """A meeting that runs and is cancelled in Tuya is not booked again."""
    _drift(office, on_cancel=policy)
    office.write(event("m", _now() - timedelta(minutes=20), 60))
    _cycle(office)
    _edit(office, status=3)
    _cycle(office, force=True)
    assert office.writes() == []
    assert office.reservations() == []


def test_a_rejected_approval_is_not_asked_for_again(office: Office) -> None:
    """What an approver rejected stands refused until the event changes."""
    office.write(event("m", ahead(1)))
    _cycle(office)
    _edit(office, status=2)
    _cycle(office, force=True)
    assert _booking(office).state == "approval"
    _edit(office, status=4)
    assert _cycle(office, force=True).outcome == "attention"
    assert _booking(office).state == "refused"
    _quiet(office)
    office.write(event("m", ahead(1, 15)))
    assert _cycle(office).counts["created"] == 1
    assert _quiet(office).outcome == "ok"


def test_a_reservation_that_is_gone_is_respected(tmp_path: Path) -> None:
    """A reservation that no longer exists counts as released: booked again when the event changes."""
    database = tmp_path / "sandbox.db"
    folder = tmp_path / "office"
    folder.mkdir()
    with Sandbox(SandboxSettings(db=database)).running() as running:
        office = Office(folder, running.url, running.client_id, running.client_secret)
        office.write(event("m", ahead(1)), event("n", ahead(2)))
        _cycle(office)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM reservations WHERE topic = 'Meeting m'")
    connection.close()
    with Sandbox(SandboxSettings(db=database)).running() as running:
        office.change((office.url, running.url))
        office = Office.__new__(Office)
        office.__dict__.update(folder=folder, url=running.url, environment={})
        assert _quiet(office).outcome == "ok"
        assert _booking(office).state == "released"
        office.write(event("m", ahead(1, 15)), event("n", ahead(2)))
        assert _cycle(office).counts["created"] == 1
        assert _topics(office) == {"Meeting m": 1, "Meeting n": 1}


# An API that cannot be used

_CURES = {
    "unsubscribed": "not subscribed",
    "unsubscribed:code=28841102": "expired",
    "unsubscribed:code=28841105": "authorise it in the Tuya console",
    "quota": "extend the plan",
}


@pytest.mark.first(1)
@pytest.mark.parametrize("fault", _CURES)
def test_an_api_that_cannot_be_used_ends_the_cycle(office: Office, fault: str) -> None:
    """Exit 69 with the cure after a few calls; the bookings stay, and it goes on when all is well again."""
    office.write(event("m", ahead(1)))
    _cycle(office)
    booked = office.reservations()
    office.write(*(event(f"m{n}", ahead(2, 6 + n)) for n in range(8)))
    office.fault(fault)
    office.forget_requests()
    ran = office.run("once", "--json")
    assert ran.code == 69
    assert _CURES[fault] in ran.err
    assert _CURES[fault] in ran.json["error"]
    assert len(office.control("requests")) <= 4
    assert office.reservations() == booked
    assert _booking(office).state == "booked"
    office.fault()
    assert _cycle(office).counts["created"] == 8
    assert _quiet(office).outcome == "ok"


def test_a_quota_that_is_spent_in_the_middle_loses_nothing(office: Office) -> None:
    """What was booked until then stays, the rest is booked later, nothing twice."""
    office.write(*(event(f"m{n}", ahead(2, 6 + n), room=None) for n in range(8)))
    office.fault("quota:on=create,after=3")
    ran = office.run("once", "--json")
    assert (
        ran.code,
        ran.json["counts"]["created"],
        ran.json["counts"]["in_doubt"],
    ) == (69, 3, 0)
    # Beside the one that is told so, some may be on their way.
    assert 4 <= len(office.writes()) <= 8
    assert set(office.writes()) == {"create"}
    office.fault()
    assert _cycle(office).counts["created"] == 5
    assert set(_topics(office, live=False).values()) == {1}
    assert _quiet(office).outcome == "ok"


def test_an_unknown_client_is_told_apart(office: Office) -> None:
    """A client id that the data centre does not know: exit 69, and the keys to look at."""
    office.write(event("m", ahead(1)))
    office.change((office.client_id, "nobody"))
    ran = office.run("once")
    assert ran.code == 69
    assert "api.client_id" in ran.out + ran.err
    assert "api.region" in ran.out + ran.err
    assert len(office.control("requests")) <= 4


@pytest.mark.first(1)
@pytest.mark.parametrize("seconds", [-86400, -600, 600, 86400])
def test_a_wrong_clock_is_made_up_for(office: Office, seconds: int) -> None:
    """The API's time is taken for signatures, so a wrong clock costs a call and books all the same."""
    office.write(event("m", ahead(1)))
    office.fault(f"clock:seconds={seconds}")
    assert office.run("once", "--json").code == 0
    assert len(office.reservations()) == 1


@pytest.mark.slow
def test_a_small_budget_goes_to_near_meetings(office: Office) -> None:
    """With few calls a month near meetings are booked, the others wait and say why; status has a forecast."""
    office.change(("requests_per_second", "monthly_calls = 20\nrequests_per_second"))
    office.write(
        *(event(f"m{n}", ahead(1 + n // 10, 8 + n % 10), 30) for n in range(30))
    )
    assert office.run("once", "--json").code == 0
    while _cycle(office).counts["created"]:
        pass
    status = office.status()
    booked = {b["uid"] for b in status["bookings"] if b["state"] == "booked"}
    waiting = [b for b in status["bookings"] if b["state"] == "waiting"]
    assert booked == {f"m{n}" for n in range(len(booked))}
    assert booked
    assert {b["reason"] for b in waiting} == {"call_budget"}
    assert len(booked) + len(waiting) == 30
    assert status["monthly_calls"] == 20
    assert (
        status["calls_forecast"]
        >= status["calls_this_month"]
        == len(office.control("requests"))
        <= 20
    )
    office.forget_requests()
    assert office.run("once", "--json").code == 0
    assert office.control("requests") == []
    office.change(("monthly_calls = 20", "monthly_calls = 0"))
    assert _cycle(office).counts["created"] == len(waiting)


def test_a_meeting_that_a_person_moved_earlier_is_not_booked_again(
    office: Office,
) -> None:
    """When the time that a person chose in Tuya is over, the calendar's later time is not booked besides."""
    start = _now() + timedelta(hours=5)
    office.write(event("m", start))
    _cycle(office)
    moved = int((_now() + timedelta(hours=1)).timestamp()) * 1000
    _edit(office, start_time=moved, end_time=moved + 3_600_000)
    for hours in (0, 3):
        _quiet(office, timedelta(hours=hours))
    assert len(office.reservations(live=False)) == 1
