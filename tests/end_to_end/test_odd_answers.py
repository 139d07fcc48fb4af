"""What makes no sense at the API, is refused or contradicts itself costs that reservation or list alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.assembly import open_ledger
from syncd.config import load
from syncd.core.booking import Booking
from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import Clock, at_work
from tests.raw_api import Asked, RawApi, refused, said

SMALL, LARGE = "1410148741926678528", "1410148741926678529"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = timedelta(hours=2)  # after the next comparison, and after request_validity


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[list[Any]]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs() as lines:
        yield lines


def _cycle(
    office: Office, later: timedelta = timedelta(), *, force: bool = False
) -> CycleReport:
    """One cycle in a process of its own, that much later."""
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle(force=force)


def _bookings(office: Office) -> dict[str, Booking]:
    with open_ledger(load(office.folder / "syncd.toml"), owner=False) as ledger:
        return {b.key.uid: b for b in ledger.bookings.current()}


def _id_of(office: Office, uid: str) -> str:
    reservation_id = _bookings(office)[uid].reservation_id
    assert reservation_id is not None
    return reservation_id


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def _odd(report: CycleReport) -> dict[str | None, str]:
    return {oddity.reservation_id: oddity.reason.value for oddity in report.oddities}


def _lose_state(office: Office) -> None:
    for file in office.folder.glob("state.db*"):
        file.unlink()


def _three(office: Office) -> list[str]:
    """An office with three meetings; the calendar has a fourth one now."""
    events = [
        event("a", ahead(1)),
        event("b", ahead(2), room=None),
        event("c", ahead(3), room="large"),
    ]
    office.write(*events)
    assert _cycle(office).counts["created"] == 3
    office.write(*events, event("new", ahead(4)))
    return events


ODD: dict[str, dict[str, Any]] = {
    "no end": {"end_time": ...},
    "no start": {"start_time": None},
    "end before start": {"end_time": _ms(ahead(1)) - 1},
    "no length": {"end_time": _ms(ahead(2)), "start_time": _ms(ahead(2))},
    "status 5": {"status": 5},
    "status x": {"status": "x"},
    "no status": {"status": ...},
    "year 100000": {"end_time": 3_093_527_980_800_000},
    "negative": {"start_time": -1},
    "seconds": {
        "start_time": _ms(ahead(2)) // 1000,
        "end_time": _ms(ahead(2)) // 1000 + 3600,
    },
    "types": {"topic": [], "participants": {"1": 2}},
    "no topic": {"topic": ...},
    "no creator": {"creator": None},
}


@pytest.mark.first(2)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_one_of_ours_that_makes_no_sense(
    raw_office: Office, raw_api: RawApi, odd: dict[str, Any]
) -> None:
    """It is named and left alone, everything else goes on, and it is forgotten when it is sound again."""
    office = raw_office
    _three(office)
    reservation_id = _id_of(office, "b")
    sound = dict(raw_api.stored[reservation_id])
    raw_api.edit(reservation_id, **odd)
    raw_api.requests.clear()
    report = _cycle(office, LATER)
    assert (report.error, report.outcome, report.counts["created"]) == (
        None,
        "attention",
        1,
    )
    assert raw_api.writes() == ["create"]
    assert _odd(report) == {reservation_id: "unclear_in_tuya"}
    booking = _bookings(office)["b"]
    assert (booking.state, booking.reason) == ("booked", "unclear_in_tuya")
    status = office.run("status", "--json")
    assert status.code == 1
    assert [o["reservation_id"] for o in status.json["oddities"]] == [reservation_id]
    assert reservation_id in office.run("status").out
    raw_api.requests.clear()
    again = _cycle(office, LATER + timedelta(minutes=1))
    assert (again.outcome, raw_api.requests) == ("attention", [])
    raw_api.stored[reservation_id] = sound
    assert _cycle(office, 2 * LATER).outcome == "ok"
    assert _bookings(office)["b"].reason is None
    assert raw_api.writes() == []


@pytest.mark.parametrize("on_change", ["accept", "repair", "report"])
def test_one_of_ours_that_makes_no_sense_is_sent_when_the_calendar_changes(
    raw_office: Office, raw_api: RawApi, on_change: str
) -> None:
    """Nobody repairs it blindly; a change of the calendar makes it right, and a cancel cancels it."""
    raw_office.change(
        ("[reservation]", f'[drift]\non_change = "{on_change}"\n[reservation]')
    )
    a, _, c = _three(raw_office)
    for uid in ("a", "b"):
        raw_api.edit(_id_of(raw_office, uid), end_time=...)
    raw_api.requests.clear()
    _cycle(raw_office, LATER)
    _cycle(raw_office, 2 * LATER)
    assert raw_api.writes() == ["create"]
    longer, new = event("b", ahead(2), 90, room=None), event("new", ahead(4))
    raw_office.write(
        a.replace("SUMMARY", "STATUS:CANCELLED\r\nSUMMARY"), longer, c, new
    )
    raw_api.requests.clear()
    assert _cycle(raw_office, 2 * LATER).oddities == ()
    report = _cycle(raw_office, 3 * LATER)
    assert sorted(raw_api.writes()) == ["cancel", "create", "modify"]
    assert (report.outcome, report.oddities) == ("ok", ())
    assert _bookings(raw_office)["b"].reason is None


FOREIGN: dict[str, dict[str, Any]] = {
    **ODD,
    "no id": {"reservation_id": ...},
    "id is a path": {"reservation_id": "a/b"},
}


@pytest.mark.first(1)
@pytest.mark.parametrize("odd", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_one_that_makes_no_sense(
    raw_office: Office, raw_api: RawApi, odd: dict[str, Any]
) -> None:
    """Already at the first cycle everything is booked beside it."""
    fields = {"start_time": _ms(ahead(2)), "end_time": _ms(ahead(2, 10)), **odd}
    where = {name: value for name, value in fields.items() if name != "reservation_id"}
    key = raw_api.put(**where)
    if "reservation_id" in odd:
        raw_api.edit(key, reservation_id=odd["reservation_id"])
    raw_office.write(event("a", ahead(1)), event("b", ahead(2), room=None))
    report = _cycle(raw_office)
    assert (report.error, report.counts["created"]) == (None, 2)
    assert _cycle(raw_office, LATER).counts["unchanged"] == 2
    assert raw_api.writes() == ["create", "create"]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("odd", "is_taken"),
    [
        ({"end_time": ...}, True),
        ({"status": 5}, True),
        ({"status": None}, True),
        ({"end_time": _ms(ahead(1, 8))}, True),
        ({"room_id": ...}, True),
        ({"start_time": None}, True),
        ({"start_time": None, "end_time": _ms(ahead(1, 9))}, False),
        ({"start_time": _ms(ahead(1, 10)), "end_time": ...}, False),
        ({"status": 3, "end_time": ...}, False),
    ],
    ids=str,
)
def test_a_foreign_one_takes_its_room_as_far_as_it_is_known(
    raw_office: Office, raw_api: RawApi, odd: dict[str, Any], is_taken: bool
) -> None:
    """A create that is refused names the one in the way, although it makes no sense; else it is refused."""
    slot = {
        "start_time": _ms(ahead(1)),
        "end_time": _ms(ahead(1, 10)),
        "room_id": SMALL,
    }
    theirs = raw_api.put(**{**slot, **odd})
    raw_api.answers["create"] = lambda _: refused(1109, "no")
    raw_office.write(event("a", ahead(1)))
    _cycle(raw_office)
    booking = _bookings(raw_office)["a"]
    assert booking.state == "refused"
    assert (booking.reason, booking.blocked_by) == (
        ("room_conflict", theirs) if is_taken else ("refused", None)
    )


# Questions that are refused


@pytest.mark.first(1)
@pytest.mark.parametrize("code", [1109, 1, 2_000_000_000, 40000309])
def test_a_reservation_that_may_not_be_asked_for(
    raw_office: Office, raw_api: RawApi, code: int
) -> None:
    """Its comparison waits, that of all others is made, once, and new meetings are booked."""
    _three(raw_office)
    closed = _id_of(raw_office, "a")
    raw_api.edit(closed, topic="Changed")
    raw_api.edit(_id_of(raw_office, "b"), status=3)
    raw_api.answers["get"] = lambda asked: (
        refused(code) if asked.reservation_id == closed else None
    )
    report = _cycle(raw_office, LATER)
    assert (report.error, report.counts["created"]) == (None, 1)
    assert _odd(report) == {closed: "unclear_in_tuya"}
    assert _bookings(raw_office)["b"].state == "released"
    assert _bookings(raw_office)["a"].spec.topic == "Meeting a"
    raw_api.requests.clear()
    for minutes in range(1, 4):
        assert (
            _cycle(raw_office, LATER + minutes * timedelta(minutes=1)).outcome
            == "attention"
        )
    assert raw_api.requests == []
    assert raw_office.run("plan").code == 1
    raw_api.answers.clear()
    assert _cycle(raw_office, 2 * LATER).oddities == ()
    assert _bookings(raw_office)["a"].spec.topic == "Changed"


def test_reading_back_that_is_refused(raw_office: Office, raw_api: RawApi) -> None:
    """What was booked is booked; that nobody can look at it is said, and it is looked at again later."""
    raw_api.answers["get"] = lambda _: refused(1109)
    raw_office.write(event("a", ahead(1)), event("b", ahead(3)))
    report = _cycle(raw_office)
    assert (report.error, report.counts["created"], report.outcome) == (
        None,
        2,
        "attention",
    )
    assert {b.state for b in _bookings(raw_office).values()} == {"booked"}
    raw_api.answers.clear()
    assert _cycle(raw_office, LATER).outcome == "ok"
    assert raw_api.writes() == ["create", "create"]


def _refuse_lists(asked: Asked) -> dict[str, Any]:
    return refused(1109)


def test_a_list_that_is_refused(raw_office: Office, raw_api: RawApi) -> None:
    """With a ledger that knows what is booked all goes on: bookings are asked for one by one."""
    _three(raw_office)
    raw_api.edit(_id_of(raw_office, "b"), status=3)
    raw_api.answers["list"] = _refuse_lists
    report = _cycle(raw_office, LATER)
    assert (report.error, report.counts["created"], report.outcome) == (
        None,
        1,
        "attention",
    )
    assert [o.about for o in report.oddities] == ["the list of reservations"]
    assert _bookings(raw_office)["b"].state == "released"
    raw_api.requests.clear()
    assert _cycle(raw_office, LATER + timedelta(minutes=5)).outcome == "attention"
    assert raw_api.requests == []
    status = raw_office.run("status", "--json")
    assert (status.code, status.json["oddities"][0]["reservation_id"]) == (1, None)
    raw_api.answers.clear()
    assert _cycle(raw_office, 2 * LATER).outcome == "ok"


def _of_rules(api: RawApi, answer: dict[str, Any]) -> None:
    api.answers["rules"] = lambda _: answer


@pytest.mark.parametrize(
    "answer", [refused(1109), said("x"), said([1])], ids=["refused", "text", "list"]
)
def test_booking_rules_that_are_not_told(
    raw_office: Office, raw_api: RawApi, answer: dict[str, Any]
) -> None:
    """Meetings are booked without them, it is said, and they are not asked for in each cycle."""
    _of_rules(raw_api, answer)
    raw_office.write(event("a", ahead(1)))
    report = _cycle(raw_office)
    assert (report.error, report.counts["created"], report.outcome) == (
        None,
        1,
        "attention",
    )
    assert [o.about for o in report.oddities] == ["the booking rules"]
    raw_api.requests.clear()
    raw_office.write(event("a", ahead(1)), event("b", ahead(2)))
    assert _cycle(raw_office, timedelta(minutes=10)).counts["created"] == 1
    assert raw_api.asked("rules") == 0
    raw_api.answers.clear()
    assert _cycle(raw_office, LATER).outcome == "ok"


def test_a_directory_that_refuses_an_address(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The person is left out, the meeting is booked, and it is said."""
    raw_office.change(
        ("[people.addresses]", "[people]\nlookup = true\n[people.addresses]")
    )
    raw_api.answers["users"] = lambda _: refused(1109)
    raw_office.write(event("a", ahead(1), 60, "ATTENDEE:mailto:zoe@example.com"))
    report = _cycle(raw_office)
    assert (report.error, report.counts["created"], report.outcome) == (
        None,
        1,
        "attention",
    )
    assert [o.about for o in report.oddities] == ["the directory"]
    raw_api.answers.clear()
    assert _cycle(raw_office, LATER).outcome == "ok"


def test_a_refused_create_whose_room_may_not_be_asked_for_is_refused(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The API said no, so nothing is in doubt; what is in the way is not known, so it is tried again."""
    raw_office.write(event("a", ahead(1)))
    assert _cycle(raw_office).counts["created"] == 1
    raw_office.write(event("a", ahead(1)), event("b", ahead(2)))
    raw_api.answers.update(
        create=lambda _: refused(4711, "because"), list=_refuse_lists
    )
    report = _cycle(raw_office)
    assert (report.error, report.counts["in_doubt"], report.counts["refused"]) == (
        None,
        0,
        1,
    )
    booking = _bookings(raw_office)["b"]
    assert (booking.state, booking.reason) == ("refused", "refused")
    assert "4711" in booking.detail
    for _ in range(4):
        assert _cycle(raw_office).counts["refused"] == 1
    assert raw_api.asked("create") == 1 + 3
    assert _bookings(raw_office)["b"].state == "refused"


# Lists that contradict themselves


def _cut(items: list[Any], number: int, size: int) -> Any:
    return {"total": len(items) + 11, "has_more": False, "list": items[:0]}


def _same_page(items: list[Any], number: int, size: int) -> Any:
    return {"total": len(items) + 1, "has_more": True, "list": items[:0] or [STRANGER]}


def _empty_end(items: list[Any], number: int, size: int) -> Any:
    return {
        "total": len(items) + 1,
        "has_more": number == 1,
        "list": [STRANGER] if number == 1 else [],
    }


def _refused_end(items: list[Any], number: int, size: int) -> Any:
    return {
        "total": 60,
        "has_more": number == 1,
        "list": [STRANGER] if number == 1 else None,
    }


STRANGER = {
    "reservation_id": "5",
    "status": 1,
    "start_time": _ms(ahead(1, 20)),
    "end_time": _ms(ahead(1, 21)),
    "topic": "Theirs",
    "creator": "9",
    "description": "",
    "participants": ["9"],
}
LIES = [_cut, _same_page, _empty_end, _refused_end]


@contextmanager
def _answer_lost(api: RawApi) -> Iterator[None]:
    """The next create is carried out, and its answer does not say so."""

    def lost(asked: Asked) -> dict[str, Any]:
        api.usual(asked)
        return said(None)

    api.answers["create"] = lost
    yield
    del api.answers["create"]


@pytest.mark.first(1)
@pytest.mark.parametrize("lie", LIES)
def test_a_lost_create_is_not_repeated_on_the_word_of_such_a_list(
    raw_office: Office, raw_api: RawApi, lie: Any
) -> None:
    """It stays in doubt, said, while everything else is booked; when the list is whole, it is found."""
    raw_office.write(event("other", ahead(5)))
    _cycle(raw_office)
    honest, raw_api.page = raw_api.page, lie
    raw_office.write(event("other", ahead(5)), event("a", ahead(1), room=None))
    with _answer_lost(raw_api):
        _cycle(raw_office)
    for hours in range(1, 5):
        report = _cycle(raw_office, hours * HOUR)
        assert (report.error, report.counts["in_doubt"], report.outcome) == (
            None,
            1,
            "attention",
        )
    raw_office.write(
        event("other", ahead(5)),
        event("a", ahead(1), room=None),
        event("new", ahead(6)),
    )
    assert _cycle(raw_office, 5 * HOUR).counts["created"] == 1
    assert raw_api.asked("create") == 3
    raw_api.page = honest
    assert _cycle(raw_office, 6 * HOUR).outcome == "ok"
    assert len(raw_api.live()) == 3


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "lie", [*LIES, None], ids=lambda lie: lie.__name__ if lie else "refused"
)
def test_a_lost_ledger_books_nothing_on_the_word_of_such_a_list(
    raw_office: Office, raw_api: RawApi, lie: Any
) -> None:
    """What needs a proof waits and is said, in plan and cycle; when the list is whole, all is adopted."""
    events = _three(raw_office)
    honest = raw_api.page
    if lie is None:
        raw_api.answers["list"] = _refuse_lists
    else:
        raw_api.page = lie
    _lose_state(raw_office)
    assert raw_office.run("plan", "--json").json["counts"]["create"] == 0
    raw_api.requests.clear()
    for hours in range(3):
        report = _cycle(raw_office, hours * HOUR)
        assert (report.error, report.outcome, report.counts["waiting"]) == (
            None,
            "attention",
            4,
        )
    assert raw_api.writes() == []
    assert {b.reason for b in _bookings(raw_office).values()} == {"unproven"}
    raw_api.page = honest
    raw_api.answers.clear()
    report = _cycle(raw_office, 4 * HOUR)
    assert (report.outcome, report.counts["adopted"], report.counts["created"]) == (
        "ok",
        len(events),
        1,
    )
    assert len(raw_api.live()) == 4


def test_an_item_without_id_hides_only_what_it_could_be(
    raw_office: Office, raw_api: RawApi
) -> None:
    """With the mark of a meeting, that meeting waits; all others are booked."""
    raw_office.write(event("a", ahead(1)), event("b", ahead(2)))
    _cycle(raw_office)
    hidden = _id_of(raw_office, "a")
    _lose_state(raw_office)
    raw_api.edit(hidden, reservation_id=None)
    raw_api.stored.pop(_booking_id(raw_api, "Meeting b"))
    report = _cycle(raw_office)
    assert (report.counts["created"], report.counts["waiting"], report.outcome) == (
        1,
        1,
        "attention",
    )
    assert _cycle(raw_office, LATER).counts["created"] == 0
    raw_api.edit(hidden, reservation_id=hidden)
    report = _cycle(raw_office, 2 * LATER)
    assert (report.outcome, report.counts["adopted"]) == ("ok", 1)
    assert len(raw_api.live()) == 2


def _booking_id(api: RawApi, topic: str) -> str:
    return next(key for key, item in api.stored.items() if item["topic"] == topic)


@pytest.mark.parametrize("state", ["lost ledger", "lost answer"])
def test_a_list_without_descriptions(
    raw_office: Office, raw_api: RawApi, state: str
) -> None:
    """Where the list shows no marks, what may be ours is asked for itself, also with another topic."""

    def lean(asked: Asked) -> dict[str, Any]:
        answer = raw_api.usual(asked)
        for key in ("list",):
            items = answer["result"][key]
            answer["result"][key] = [
                {k: v for k, v in i.items() if k != "description"} for i in items
            ]
        return answer

    raw_api.answers["list"] = lean
    raw_office.write(event("other", ahead(5)))
    _cycle(raw_office)
    raw_office.write(event("other", ahead(5)), event("a", ahead(1), room=None))
    if state == "lost answer":
        with _answer_lost(raw_api):
            _cycle(raw_office)
    else:
        _cycle(raw_office)
        _lose_state(raw_office)
    raw_api.edit(_booking_id(raw_api, "Meeting a"), topic="Another  topic")
    for hours in range(3):
        _cycle(raw_office, hours * HOUR)
    assert len(raw_api.live()) == 2
    assert _cycle(raw_office, 4 * HOUR).outcome == "ok"


# Marks that were copied


@pytest.mark.first(2)
@pytest.mark.parametrize("age", ["older", "younger"])
@pytest.mark.parametrize(
    "where", [{}, {"room_id": LARGE}, {"start_time": _ms(ahead(2, 5))}], ids=str
)
def test_a_copied_mark(
    raw_office: Office, raw_api: RawApi, age: str, where: dict[str, Any]
) -> None:
    """Somebody's copy is named as a stray, and neither is touched, with or without a ledger."""
    raw_office.write(event("a", ahead(2), room=None))
    _cycle(raw_office)
    ours = _id_of(raw_office, "a")
    copy = {**raw_api.stored[ours], "creator": "9", "topic": "Theirs", **where}
    theirs = raw_api.put(
        **{**copy, "reservation_id": "77" if age == "older" else str(int(ours) + 9)}
    )
    before = {key: dict(item) for key, item in raw_api.stored.items()}
    raw_api.requests.clear()
    for hours in (2, 4):
        report = _cycle(raw_office, hours * HOUR)
        assert (report.outcome, _odd(report)) == ("attention", {theirs: "stray"})
    _lose_state(raw_office)
    assert _odd(_cycle(raw_office)) == {theirs: "stray"}
    assert _id_of(raw_office, "a") == ours
    assert raw_api.writes() == []
    assert raw_api.stored == before
    assert theirs in raw_office.run("status").out
    raw_api.edit(theirs, description="")
    assert _cycle(raw_office, LATER).outcome == "ok"


@pytest.mark.parametrize("otherwise", [{"creator": "9"}, {"room_id": LARGE}], ids=str)
def test_a_copied_mark_while_a_create_is_in_doubt(
    raw_office: Office, raw_api: RawApi, otherwise: dict[str, Any]
) -> None:
    """The copy is not taken for what the lost request made."""
    raw_office.write(event("a", ahead(2)))
    with _answer_lost(raw_api):
        _cycle(raw_office)
    ours = _booking_id(raw_api, "Meeting a")
    theirs = raw_api.put(
        **{**raw_api.stored[ours], **otherwise, "reservation_id": "77"}
    )
    raw_api.requests.clear()
    _cycle(raw_office)
    assert _id_of(raw_office, "a") == ours
    report = _cycle(raw_office, LATER)
    assert _odd(report) == {theirs: "stray"}
    assert raw_api.writes() == []


def test_a_copy_alone_does_not_pass_for_a_lost_create(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The request was lost on its way, and only the copy is there: the meeting is booked, once."""
    raw_office.write(event("a", ahead(2)))
    _cycle(raw_office)
    first = dict(raw_api.stored.pop(_id_of(raw_office, "a")))
    _lose_state(raw_office)
    raw_api.put(**{**first, "creator": "9", "reservation_id": "77", "room_id": LARGE})
    raw_api.answers["create"] = lambda _: said(None)
    _cycle(raw_office)
    raw_api.answers.clear()
    _cycle(raw_office, HOUR)
    assert _cycle(raw_office, LATER).counts["in_doubt"] == 0
    mine = [item for item in raw_api.live().values() if item["creator"] == "3"]
    assert [item["topic"] for item in mine] == ["Meeting a"]
    assert raw_api.stored["77"]["creator"] == "9"


def test_a_request_that_was_delivered_twice(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Equal in creator, room and time: the one that the ledger does not hold is cancelled."""
    raw_office.write(event("a", ahead(2), room=None))
    _cycle(raw_office)
    ours = _id_of(raw_office, "a")
    raw_api.put(**{**raw_api.stored[ours], "reservation_id": "77"})
    assert _cycle(raw_office, LATER).outcome == "ok"
    assert list(raw_api.live()) == [ours]


# Repairs that do not last


def _shows_another_text_at_each_view(api: RawApi) -> None:
    views = iter(range(10**6))

    def changing(asked: Asked) -> dict[str, Any]:
        answer = api.usual(asked)
        result = answer["result"]
        items = result["list"] if asked.operation == "list" else [result]
        shown = [
            {**i, "description": f"view {next(views)}\n{i['description']}"}
            for i in items
        ]
        new = {**result, "list": shown} if asked.operation == "list" else shown[0]
        return {**answer, "result": new}

    api.answers.update(get=changing, list=changing)


@pytest.mark.slow
def test_a_repair_in_vain_is_bounded(raw_office: Office, raw_api: RawApi) -> None:
    """After three in a row, over restarts, it stops and is said, until the calendar changes."""
    raw_office.change(("[reservation]", '[drift]\non_change = "repair"\n[reservation]'))
    raw_office.write(event("a", ahead(2)), event("b", ahead(3), room="large"))
    _cycle(raw_office)
    _shows_another_text_at_each_view(raw_api)
    raw_api.requests.clear()
    reports = [_cycle(raw_office, (n + 1) * LATER) for n in range(7)]
    assert raw_api.writes() == ["modify"] * 6
    assert [r.counts["updated"] for r in reports] == [2, 2, 2, 0, 0, 0, 0]
    assert reports[-1].outcome == "attention"
    assert {o.reason.value for o in reports[-1].oddities} == {"repair_in_vain"}
    assert {b.reason for b in _bookings(raw_office).values()} == {"repair_in_vain"}
    status = raw_office.run("status", "--json")
    assert status.code == 1
    assert len(status.json["oddities"]) == 2
    raw_api.requests.clear()
    raw_office.write(event("a", ahead(2), 90), event("b", ahead(3), room="large"))
    assert _cycle(raw_office, 8 * LATER).counts["updated"] == 1
    assert raw_api.writes() == ["modify"]


def test_a_repair_that_lasts_is_made_as_often_as_it_is_needed(
    raw_office: Office, raw_api: RawApi
) -> None:
    """What counts is a row: where a comparison found it sound in between, it is counted anew."""
    raw_office.change(("[reservation]", '[drift]\non_change = "repair"\n[reservation]'))
    raw_api.rules = {"max_day": 30}
    raw_office.write(event("a", ahead(9)))
    _cycle(raw_office)
    ours = _id_of(raw_office, "a")
    for n in range(5):
        raw_api.edit(ours, topic="Theirs")
        assert _cycle(raw_office, (2 * n + 1) * LATER).counts["updated"] == 1
        assert _cycle(raw_office, (2 * n + 2) * LATER).outcome == "ok"
    assert raw_api.stored[ours]["topic"] == "Meeting a"


def test_another_difference_is_repaired_anew(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Three topics in a row are given up, a moved time is repaired."""
    raw_office.change(("[reservation]", '[drift]\non_change = "repair"\n[reservation]'))
    raw_api.rules = {"max_day": 30}
    raw_office.write(event("a", ahead(9)))
    _cycle(raw_office)
    ours = _id_of(raw_office, "a")
    for n in range(4):
        raw_api.edit(ours, topic=f"Theirs {n}")
        assert _cycle(raw_office, (n + 1) * LATER).counts["updated"] == (
            1 if n < 3 else 0
        )
    raw_api.edit(ours, topic="Meeting a", end_time=_ms(ahead(9, 15)))
    assert _cycle(raw_office, 5 * LATER).counts["updated"] == 1
    assert _cycle(raw_office, 6 * LATER).outcome == "ok"


@pytest.mark.parametrize(
    "echo",
    [
        lambda item: {"topic": f" {item['topic'].replace(' ', '  ')} "},
        lambda item: {"description": item["description"].replace("\n", "\r\n") + "\n"},
        lambda item: {"topic": item["topic"].replace("é", "e\u0301")},
    ],
    ids=["blanks", "line ends", "decomposed"],
)
def test_text_in_another_form_is_no_change(
    raw_office: Office, raw_api: RawApi, echo: Any
) -> None:
    """What an API makes of white space and of accents is neither taken over nor repaired."""
    raw_office.change(("[reservation]", '[drift]\non_change = "repair"\n[reservation]'))
    raw_office.write(
        event("a", ahead(2), 60, "SUMMARY:Café au lait", "DESCRIPTION:One\\nTwo")
    )
    _cycle(raw_office)
    ours = _id_of(raw_office, "a")
    raw_api.edit(ours, **echo(raw_api.stored[ours]))
    raw_api.requests.clear()
    assert _cycle(raw_office, LATER).outcome == "ok"
    assert raw_api.writes() == []
    assert _bookings(raw_office)["a"].drifted == ""
