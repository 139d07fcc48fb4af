"""Well-formed answers of the API that make no sense cost at most the reservation that they are about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import at_work
from tests.raw_api import Asked, Envelope, RawApi, refused, said


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(office: Office, *events: str, force: bool = False) -> CycleReport:
    """One cycle of a process of its own, after the calendar says this."""
    office.write(*events)
    with at_work(office.folder / "syncd.toml") as reconciler:
        return reconciler.cycle(force=force)


def _answer_creates_with(api: RawApi, result: object, *, done: bool) -> None:
    """From now on each create is answered with this result, whether it is `done` or not."""

    def answer(asked: Asked) -> Envelope:
        if done:
            api.usual(asked)
        return said(result)

    api.answers["create"] = answer


@pytest.mark.first(2)
@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("state", ["booked", "cancelled", "booked, as a number"])
def test_a_create_answered_with_an_id_that_is_known(
    raw_office: Office, raw_api: RawApi, state: str, *, done: bool
) -> None:
    """An id that another booking has or had is no answer: the create is looked for, and nothing is twice."""
    old, new, other = (
        event(uid, ahead(2, hour))
        for uid, hour in (("old", 9), ("new", 11), ("other", 13))
    )
    assert _cycle(raw_office, old, other).counts["created"] == 2
    (known,) = (
        key for key, item in raw_api.live().items() if item["topic"] == "Meeting old"
    )
    if state == "cancelled":
        assert _cycle(raw_office, other).counts["cancelled"] == 1
        shown = [other, new]
    else:
        shown = [old, other, new]
    _answer_creates_with(raw_api, int(known) if "number" in state else known, done=done)
    report = _cycle(raw_office, *shown)
    counts = report.counts
    assert (counts["created"], counts["adopted"], counts["in_doubt"]) == (
        (0, 1, 0) if done else (0, 0, 1)
    )
    assert report.outcome == ("ok" if done else "attention")
    assert len(raw_api.live()) == len(shown) - (0 if done else 1)


def _book_three(office: Office, api: RawApi) -> str:
    """Book the meetings a, b and c; the id of the reservation of a."""
    assert (
        _cycle(
            office, *(event(uid, ahead(2, hour)) for uid, hour in _HOURS.items())
        ).counts["created"]
        == 3
    )
    return next(key for key, item in api.live().items() if item["topic"] == "Meeting a")


_HOURS = {"a": 9, "b": 11, "c": 13}


@pytest.mark.first(1)
@pytest.mark.parametrize("change", ["none", "a too"])
@pytest.mark.parametrize(
    "failure", [refused(500), {"success": None}, {"result": {}}, refused(0)]
)
def test_a_question_that_fails_for_one_reservation(
    raw_office: Office, raw_api: RawApi, failure: Envelope, change: str
) -> None:
    """While the API fails for one reservation, all others are created, changed and cancelled in one cycle."""
    broken = _book_three(raw_office, raw_api)
    raw_api.edit(broken, topic="Changed by somebody")
    raw_api.answers["get"] = lambda asked: (
        failure if asked.reservation_id == broken else None
    )
    moved = event("a", ahead(2, 15)) if change == "a too" else event("a", ahead(2, 9))
    report = _cycle(
        raw_office, moved, event("b", ahead(2, 17)), event("d", ahead(3)), force=True
    )
    assert report.error is None
    assert report.outcome == "attention"
    counts = report.counts
    assert (counts["created"], counts["cancelled"]) == (1, 1)
    assert counts["updated"] >= 1
    assert [o.reservation_id for o in report.oddities] == [broken]
    assert {
        item["start_time"]
        for item in raw_api.live().values()
        if item["topic"] == "Meeting b"
    } == {int(ahead(2, 17).timestamp() * 1000)}


@pytest.mark.first(2)
@pytest.mark.parametrize("max_day", [-1, -(10**30), 10**9, 10**12, 10**30, "9" * 19])
def test_booking_rules_that_make_no_sense(
    raw_office: Office, raw_api: RawApi, max_day: object
) -> None:
    """A tenant that lets book a senseless number of days ahead is taken for one that says nothing."""
    raw_api.rules = {"max_day": max_day}
    _book_three(raw_office, raw_api)
    assert (
        _cycle(raw_office, event("a", ahead(2, 9)), force=True).counts["cancelled"] == 2
    )
    assert len(raw_api.live()) == 1


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("read_back", ["told", "refused"])
def test_a_create_answered_with_the_id_of_somebody_elses(
    raw_office: Office, raw_api: RawApi, read_back: str, *, done: bool
) -> None:
    """It is not taken for ours: what was booked is looked for, and theirs is never changed or cancelled."""
    theirs = raw_api.put(
        topic="Theirs", start_time=_ms(ahead(2, 15)), end_time=_ms(ahead(2, 16))
    )
    before = dict(raw_api.stored[theirs])
    _answer_creates_with(raw_api, theirs, done=done)
    raw_api.answers["get"] = lambda _: refused(1109) if read_back == "refused" else None
    new, other = event("new", ahead(2, 11)), event("other", ahead(2, 13))
    report = _cycle(raw_office, new)
    assert report.error is None
    raw_api.answers.clear()
    report = _cycle(raw_office, new, other, force=True)
    assert report.counts["created"] == 1
    assert report.counts["in_doubt"] == (0 if done else 1)
    report = _cycle(raw_office, other)
    assert raw_api.stored[theirs] == before
    ours = [item["topic"] for key, item in raw_api.live().items() if key != theirs]
    assert ours == ["Meeting other"]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
