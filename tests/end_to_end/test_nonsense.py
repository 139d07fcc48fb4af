"""Well-formed answers of the API that make no sense cost at most the reservation that they are about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from syncd.reconciler import CycleReport
from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import at_work
from tests.raw_api import Asked, Envelope, RawApi, said


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Lines of cycles in this process are collected, which is quicker than to write them."""
    with capture_logs():
        yield


def _cycle(office: Office, *events: str) -> CycleReport:
    """One cycle of a process of its own, after the calendar says this."""
    office.write(*events)
    with at_work(office.folder / "syncd.toml") as reconciler:
        return reconciler.cycle()


def _answer_creates_with(api: RawApi, result: object, *, done: bool) -> None:
    """From now on each create is answered with this result, whether it is `done` or not."""

    def answer(asked: Asked) -> Envelope:
        if done:
            api.usual(asked)
        return said(result)

    api.answers["create"] = answer


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("state", ["booked", "cancelled", "booked, as a number"])
def test_a_create_answered_with_an_id_that_is_known(
    raw_office: Office, raw_api: RawApi, state: str, *, done: bool
) -> None:
    """An id that another booking has or had is no answer: the create is looked for, and nothing is twice."""
    old, new, other = (event(uid, ahead(2, hour)) for uid, hour in (("old", 9), ("new", 11), ("other", 13)))
    assert _cycle(raw_office, old, other).counts["created"] == 2
    (known,) = (key for key, item in raw_api.live().items() if item["topic"] == "Meeting old")
    if state == "cancelled":
        assert _cycle(raw_office, other).counts["cancelled"] == 1
        shown = [other, new]
    else:
        shown = [old, other, new]
    _answer_creates_with(raw_api, int(known) if "number" in state else known, done=done)
    report = _cycle(raw_office, *shown)
    counts = report.counts
    assert (counts["created"], counts["adopted"], counts["in_doubt"]) == ((0, 1, 0) if done else (0, 0, 1))
    assert report.outcome == ("ok" if done else "attention")
    assert len(raw_api.live()) == len(shown) - (0 if done else 1)
