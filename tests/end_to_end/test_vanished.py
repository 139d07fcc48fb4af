"""So many reservations gone from the API at once that it looks like another project, or a wipe.

Nothing is decided about them, a person is asked; the few that people cancel one by one are respected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import Clock, at_work
from tests.raw_api import RawApi, honest_page, refused

MANY = 20
VANISHED = ("booked", "vanished")


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """The lines that the log of cycles in this process gets."""
    with capture_logs() as kept:
        yield kept


@pytest.fixture(autouse=True)
def _collected(lines: list[Any]) -> None:
    """Lines are collected in every test, which is quicker than to write them."""


def _cycle(
    office: Office, *, force: bool = True, later: timedelta = timedelta()
) -> CycleReport:
    """One cycle of a process of its own; it compares with the API unless told otherwise."""
    clock = Clock()
    clock.later = later
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        return reconciler.cycle(force=force)


def _meetings(count: int = MANY, *, changed: tuple[int, ...] = ()) -> list[str]:
    """Meetings of the coming days, 25 a day, without a room; those with these numbers last longer."""
    return [
        event(f"m{n}", _start(n), 90 if n in changed else 60, room=None)
        for n in range(count)
    ]


def _start(number: int) -> datetime:
    return ahead(1 + number // 25, 8) + timedelta(minutes=30 * (number % 25))


def _booked(office: Office, count: int = MANY) -> None:
    office.write(*_meetings(count))
    assert _cycle(office).counts["created"] == count


def _states(office: Office) -> list[tuple[str, str | None]]:
    """State and reason of what is neither cancelled nor over, by start."""
    bookings = [
        b
        for b in office.status()["bookings"]
        if b["state"] not in {"cancelled", "ended"}
    ]
    return [
        (b["state"], b["reason"])
        for b in sorted(bookings, key=lambda b: (b["start"], b["uid"]))
    ]


def _take_away(api: RawApi, count: int, how: str = "gone") -> dict[str, Any]:
    """Let the reservations of the last so many meetings vanish; as they were.

    By their start, because which of several calls under way at once is answered first is left open.
    """
    by_start = sorted(api.live(), key=lambda key: int(api.stored[key]["start_time"]))
    taken = {key: dict(api.stored[key]) for key in by_start[-count:]}
    for key in taken:
        if how == "gone":
            del api.stored[key]
        else:
            api.edit(key, status=3)
    return taken


def _refuse_to_tell(api: RawApi) -> None:
    """Answer questions for single reservations that are not there with a code that no page tells of."""
    api.answers["get"] = lambda asked: (
        None if asked.reservation_id in api.stored else refused(40001)
    )


# Whether too many are gone


@pytest.mark.first(1)
@pytest.mark.parametrize("how", ["gone", "cancelled", "not told of"])
def test_a_wipe_decides_nothing_and_asks_a_person(
    raw_office: Office, raw_api: RawApi, lines: list[Any], how: str
) -> None:
    """All gone at once: each keeps its state, nothing is sent, everything that a person looks at says so."""
    _booked(raw_office)
    _take_away(raw_api, MANY, "cancelled" if how == "cancelled" else "gone")
    if how == "not told of":
        _refuse_to_tell(raw_api)
    before, asked = len(raw_api.writes()), raw_api.asked("get")
    report = _cycle(raw_office)
    assert (report.outcome, report.counts["vanished"]) == ("attention", MANY)
    assert raw_api.asked("get") - asked == 6
    assert sum(line["event"] == "vanished" for line in lines) == 1
    assert _states(raw_office) == [VANISHED] * MANY
    for force in (False, True, True):
        report = _cycle(raw_office, force=force)
        assert (report.outcome, report.counts["vanished"]) == ("attention", MANY)
    assert len(raw_api.writes()) == before
    assert raw_api.asked("get") - asked == 6, (
        "who is asked already is not asked for again"
    )
    assert sum(line["event"] == "vanished" for line in lines) == 1

    shown = raw_office.run("status")
    assert (shown.code, "syncd resolve --all vanished --retry" in shown.out) == (
        1,
        True,
    )
    plan = raw_office.run("plan", "--json")
    assert plan.code == 1
    assert {
        (c["action"], c["reason"], c["approvable"]) for c in plan.json["changes"]
    } == {("hold", "vanished", False)}
    assert f"{MANY} of {MANY} compared bookings" in plan.json["changes"][0]["detail"]
    explained = raw_office.run("explain", "m3")
    assert (explained.code, "api.client_id" in explained.out) == (1, True)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("of", "gone", "asks"),
    [
        (6, 6, True),
        (5, 5, False),
        (20, 6, False),
        (20, 7, True),
        (16, 5, False),
        (17, 6, True),
    ],
)
def test_both_bounds_have_to_be_passed(
    raw_office: Office, raw_api: RawApi, of: int, gone: int, *, asks: bool
) -> None:
    """Up to vanish_floor, or up to vanish_share of those compared, people are respected as ever."""
    _booked(raw_office, of)
    _take_away(raw_api, gone, "cancelled" if gone % 2 else "gone")
    _cycle(raw_office)
    expected = VANISHED if asks else ("released", "released")
    assert Counter(_states(raw_office)) == Counter(
        {("booked", None): of - gone, expected: gone}
    )


def test_the_bounds_are_configured(raw_office: Office, raw_api: RawApi) -> None:
    """`safety.vanish_floor = 0` and a small share ask for every single one."""
    raw_office.change(
        (
            "[reservation]",
            '[safety]\nvanish_floor = 0\nvanish_share = "1%"\n[reservation]',
        )
    )
    _booked(raw_office, 3)
    _take_away(raw_api, 1)
    _cycle(raw_office)
    assert _states(raw_office) == [("booked", None)] * 2 + [VANISHED]


def test_what_people_and_the_building_end_or_reject_is_no_vanishing(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Approvals that are rejected, and meetings that are cancelled while they run, are taken over each."""
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    running = [event(f"r{n}", begun, room=None) for n in range(7)]
    raw_office.write(*running, *_meetings(7))
    assert _cycle(raw_office).counts["created"] == 14
    for item in list(raw_api.live().values()):
        rejected = item["start_time"] > begun.timestamp() * 1000
        raw_api.edit(item["reservation_id"], status=4 if rejected else 3)
    assert _cycle(raw_office).counts["vanished"] == 0
    assert (
        _states(raw_office)
        == [("released", "released")] * 7 + [("refused", "refused")] * 7
    )


def test_a_list_that_lags_behind_proves_no_wipe(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The list shows none of what was just booked; each that is asked for is there, so nothing changes."""
    _booked(raw_office)
    raw_api.page = lambda _items, number, size: honest_page([], number, size)
    assert _cycle(raw_office).outcome == "ok"
    assert _states(raw_office) == [("booked", None)] * MANY


def test_a_list_that_lags_behind_over_a_wipe(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Half is gone and half is hidden: those are held that are gone when asked for, the others go on."""
    _booked(raw_office)
    taken = _take_away(raw_api, MANY // 2)
    raw_api.page = lambda _items, number, size: honest_page([], number, size)
    assert _cycle(raw_office).counts["vanished"] == len(taken)
    assert _states(raw_office) == [("booked", None)] * (MANY // 2) + [VANISHED] * (
        MANY // 2
    )


@pytest.mark.first(1)
@pytest.mark.parametrize("gone", [3, MANY])
def test_a_list_that_contradicts_itself(
    raw_office: Office, raw_api: RawApi, gone: int
) -> None:
    """It proves nothing, so they are asked for one by one; the answers count, few or many."""
    _booked(raw_office)
    _take_away(raw_api, gone)
    raw_api.page = lambda _items, _number, _size: {
        "total": 61,
        "has_more": False,
        "list": [],
    }
    report = _cycle(raw_office)
    assert report.counts["vanished"] == (MANY if gone == MANY else 0)
    assert _states(raw_office)[-1] == (
        VANISHED if gone == MANY else ("released", "released")
    )
    assert _states(raw_office)[0] == (VANISHED if gone == MANY else ("booked", None))


def test_a_list_and_questions_that_are_refused_prove_nothing(
    raw_office: Office, raw_api: RawApi
) -> None:
    """An API that tells nothing has wiped nothing: the bookings are unclear, as before."""
    _booked(raw_office, 7)
    for operation in ("list", "get"):
        raw_api.answers[operation] = lambda _asked: refused(40001)
    assert _cycle(raw_office).counts["vanished"] == 0
    assert _states(raw_office) == [("booked", "unclear_in_tuya")] * 7


@pytest.mark.slow
def test_many_are_asked_for_in_few_questions(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Of 130 that are gone six are asked for; where the list proves nothing, a hundred in a comparison."""
    raw_office.write(*_meetings(130))
    assert _cycle(raw_office).counts["created"] == 130
    taken = _take_away(raw_api, 130)
    asked = raw_api.asked("get")
    assert _cycle(raw_office).counts["vanished"] == 130
    assert raw_api.asked("get") - asked == 6
    raw_api.stored |= taken
    assert _cycle(raw_office).outcome == "ok"
    assert raw_api.asked("get") - asked == 6
    _take_away(raw_api, 130)
    raw_api.page = lambda _items, _number, _size: {
        "total": 61,
        "has_more": False,
        "list": [],
    }
    for found in (100, 130):
        assert _cycle(raw_office).counts["vanished"] == found
    assert raw_api.asked("get") - asked == 136
    assert {state for state, _ in _states(raw_office)} == {"booked"}


# What follows


@pytest.mark.first(1)
@pytest.mark.parametrize("policy", ["respect", "rebook"])
@pytest.mark.parametrize("mode", ["full", "create-only", "observe"])
def test_the_brake_counts_in_every_mode_and_policy(
    raw_office: Office, raw_api: RawApi, mode: str, policy: str
) -> None:
    """Neither a policy that books again nor a mode that writes little is a decision about a wipe."""
    _booked(raw_office, 8)
    raw_office.change(
        ("[reservation]", f'[drift]\non_cancel = "{policy}"\n[reservation]'),
        ('mode = "full"', f'mode = "{mode}"'),
    )
    _take_away(raw_api, 8)
    before = len(raw_api.writes())
    for _ in range(2):
        assert _cycle(raw_office).counts["vanished"] == 8
    assert _states(raw_office) == [VANISHED] * 8
    assert len(raw_api.writes()) == before


def test_what_is_there_again_is_forgotten(raw_office: Office, raw_api: RawApi) -> None:
    """The right project is configured again: the next comparison needs nobody, and sends nothing."""
    _booked(raw_office)
    taken = _take_away(raw_api, MANY)
    _cycle(raw_office)
    raw_api.stored |= taken
    before, asked = len(raw_api.writes()), raw_api.asked("get")
    report = _cycle(raw_office)
    assert (report.outcome, report.counts["vanished"], report.counts["unchanged"]) == (
        "ok",
        0,
        MANY,
    )
    assert _states(raw_office) == [("booked", None)] * MANY
    assert (len(raw_api.writes()), raw_api.asked("get")) == (before, asked)


@pytest.mark.slow
def test_what_does_not_come_back_with_the_others_still_waits(
    raw_office: Office, raw_api: RawApi
) -> None:
    """A tenant that is restored lacks three: nobody decided about them, and one cancelled later is one."""
    _booked(raw_office)
    taken = _take_away(raw_api, MANY)
    _cycle(raw_office)
    raw_api.stored |= dict(sorted(taken.items())[3:])
    assert _cycle(raw_office).counts["vanished"] == 3
    _take_away(raw_api, 1, "cancelled")
    assert _cycle(raw_office).counts["vanished"] == 3
    expected = [VANISHED] * 3 + [("booked", None)] * 16 + [("released", "released")]
    assert Counter(_states(raw_office)) == Counter(expected)


@pytest.mark.slow
def test_retry_books_all_again_in_a_fresh_tenant(make_office: Any) -> None:
    """The configuration names another project: held, then booked there on a person's word, and quiet."""
    office, fresh = make_office("first"), make_office("second")
    office.write(*_meetings())
    assert office.once()["counts"]["created"] == MANY
    office.change((office.url, fresh.url), (office.client_id, fresh.client_id))
    (office.folder / "tuya-secret").write_text(fresh.client_secret)
    ran = office.run("once", "--force", "--json")
    assert (ran.code, ran.json["outcome"], ran.json["counts"]["vanished"]) == (
        1,
        "attention",
        MANY,
    )
    assert fresh.writes() == []
    assert office.run("plan").code == 1
    ran = office.run("resolve", "--all", "vanished", "--retry")
    assert (ran.code, f"{MANY} bookings vanished" in ran.out) == (0, True)
    ran = office.run("once", "--json")
    assert (ran.code, ran.json["counts"]["created"]) == (0, MANY)
    assert len(fresh.reservations()) == MANY
    fresh.forget_requests()
    assert office.run("once", "--force", "--json").code == 0
    assert fresh.writes() == []
    assert office.status()["concerns"] == []


def test_retry_looks_first(raw_office: Office, raw_api: RawApi) -> None:
    """What is there again, or there under another id with our mark, is taken; the rest is booked."""
    _booked(raw_office)
    taken = _take_away(raw_api, MANY)
    _cycle(raw_office)
    first, second, *_ = sorted(taken)
    raw_api.stored[first] = taken[first]
    raw_api.put(**{**taken[second], "reservation_id": "999"})
    raw_office.run("resolve", "--all", "vanished", "--retry")
    report = _cycle(raw_office, force=False)
    assert (report.outcome, report.counts["created"]) == ("ok", MANY - 2)
    assert {first, "999"} < raw_api.live().keys()
    assert len(raw_api.live()) == MANY
    assert _cycle(raw_office).outcome == "ok"
    assert len(raw_api.live()) == MANY


@pytest.mark.slow
def test_drop_respects_it_until_the_calendar_changes(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The wipe was meant: all are released and nothing is booked, whatever the policy; an edit counts."""
    _booked(raw_office)
    _take_away(raw_api, MANY)
    _cycle(raw_office)
    raw_office.run("resolve", "--all", "vanished", "--drop")
    assert _cycle(raw_office, force=False).outcome == "ok"
    assert _states(raw_office) == [("released", "dropped")] * MANY
    raw_office.change(("[reservation]", '[drift]\non_cancel = "rebook"\n[reservation]'))
    assert _cycle(raw_office).outcome == "ok"
    assert not raw_api.live()
    raw_office.write(*_meetings(changed=(4,)))
    assert _cycle(raw_office, force=False).counts["created"] == 1
    (again,) = raw_api.live().values()
    assert again["topic"] == "Meeting m4"


@pytest.mark.slow
def test_drop_of_what_is_there_again_gives_nothing_up(
    raw_office: Office, raw_api: RawApi
) -> None:
    """The word of a person comes after the right project is back: the reservations count, not the word."""
    _booked(raw_office, 8)
    taken = _take_away(raw_api, 8)
    _cycle(raw_office)
    raw_api.stored |= taken
    raw_office.run("resolve", "--all", "vanished", "--drop")
    assert _cycle(raw_office, force=False).outcome == "ok"
    assert _states(raw_office) == [("booked", None)] * 8


@pytest.mark.slow
def test_a_key_decides_about_one(raw_office: Office, raw_api: RawApi) -> None:
    """One is booked again, one is given up, one is adopted by its id; the others wait."""
    _booked(raw_office, 8)
    taken = _take_away(raw_api, 8)
    _cycle(raw_office)
    third = next(item for item in taken.values() if item["topic"] == "Meeting m2")
    raw_api.put(**{**third, "reservation_id": "999", "description": ""})
    for arguments in (("m0", "--retry"), ("m1", "--drop"), ("m2", "--adopt", "999")):
        assert raw_office.run("resolve", *arguments).code == 0
    report = _cycle(raw_office, force=False)
    assert (report.counts["created"], report.counts["vanished"]) == (1, 5)
    expected = [("booked", None), ("released", "dropped"), ("booked", None)]
    assert _states(raw_office) == expected + [VANISHED] * 5


def test_the_calendar_counts_again_when_its_event_changes(
    raw_office: Office, raw_api: RawApi
) -> None:
    """While the others wait, an event that is edited is booked anew, and one that is new is booked."""
    _booked(raw_office, 8)
    _take_away(raw_api, 8)
    _cycle(raw_office)
    raw_office.write(*_meetings(9, changed=(4,)))
    report = _cycle(raw_office, force=False)
    assert (report.counts["created"], report.counts["vanished"]) == (2, 7)
    assert {item["topic"] for item in raw_api.live().values()} == {
        "Meeting m4",
        "Meeting m8",
    }


def test_nothing_is_cancelled_of_what_vanished(
    raw_office: Office, raw_api: RawApi
) -> None:
    """An event that leaves the calendar meanwhile is cancelled when its reservation is there again."""
    _booked(raw_office, 8)
    taken = _take_away(raw_api, 8)
    _cycle(raw_office)
    raw_office.write(*_meetings(7))
    assert _cycle(raw_office, force=False).counts["vanished"] == 8
    assert raw_api.writes().count("cancel") == 0
    raw_api.stored |= taken
    report = _cycle(raw_office)
    assert (report.outcome, report.counts["cancelled"]) == ("ok", 1)


def test_a_meeting_that_ends_meanwhile_needs_nobody(
    raw_office: Office, raw_api: RawApi
) -> None:
    """Time goes on: what vanished closes with its meeting like any other."""
    _booked(raw_office, 8)
    _take_away(raw_api, 8)
    _cycle(raw_office)
    # Two of them are over.
    later = _start(3) + timedelta(minutes=10) - datetime.now(UTC)
    assert _cycle(raw_office, later=later).counts["vanished"] == 6
    assert _cycle(raw_office, later=timedelta(days=20)).outcome == "ok"


@pytest.mark.slow
def test_back_from_the_wrong_project_after_an_edit(make_office: Any) -> None:
    """A meeting that was edited in the wrong project is booked once in the right one, as it is now."""
    office, wrong = make_office("first"), make_office("second")
    office.write(*_meetings(8))
    office.once()
    right = (office.url, office.client_id, office.client_secret)
    there = (wrong.url, wrong.client_id, wrong.client_secret)
    for old, new in ((right, there), (there, right)):
        office.change((old[0], new[0]), (old[1], new[1]))
        (office.folder / "tuya-secret").write_text(new[2])
        ran = office.run("once", "--force", "--json")
        assert ran.json["counts"]["vanished"] == (8 if new is there else 0)
        office.write(*_meetings(8, changed=(4,)))
        office.run("once", "--json")
    assert [r["topic"] for r in wrong.reservations()] == ["Meeting m4"]
    assert office.run("once", "--force", "--json").code == 0
    topics = [r["topic"] for r in office.reservations()]
    assert topics == [f"Meeting m{n}" for n in range(8)]
    assert (
        office.reservations()[4]["end_time"]
        == int((_start(4) + timedelta(minutes=90)).timestamp()) * 1000
    )
