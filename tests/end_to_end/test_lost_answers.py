"""Many creates whose answers are lost, while lists lag behind: each is booked once, within bounds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Office, ahead, event
from tests.end_to_end.killed import Clock, at_work

INTERVAL = timedelta(minutes=5)  # the default of schedule.interval
MOST_CYCLES = 15


@dataclass(frozen=True)
class Effort:
    """What it took until all was booked; cycles that found nothing to do are counted too."""

    cycles: int
    calls: Counter[str]
    seconds: float


def _book_all(office: Office, lag_s: float) -> Effort:
    """Cycles as a scheduler starts them, until nothing is in doubt.

    The minutes between two cycles are virtual, the lag of the lists is real.
    """
    clock, calls, began = Clock(), Counter[str](), time.monotonic()
    with at_work(office.folder / "syncd.toml", clock) as reconciler:
        for cycle in range(1, MOST_CYCLES + 1):
            report = reconciler.cycle()
            calls.update(report.calls)
            if report.outcome == "ok":
                return Effort(cycle, calls, time.monotonic() - began)
            time.sleep(lag_s + 0.1)
            clock.later += INTERVAL
    raise AssertionError(
        f"still not booked after {MOST_CYCLES} cycles: {report.counts}"
    )


def _check(make_office: Any, meetings: int, lag_s: float) -> Effort:
    # Without rooms, so that no conflict hides a second booking.
    office: Office = make_office(
        faults=("lost:on=create,every=3", "closed:on=create,every=5"),
        switches=(f"list_lag={lag_s}",),
    )
    starts = [
        ahead(1 + n % 5, 6) + timedelta(minutes=n // 5 * 5) for n in range(meetings)
    ]
    office.write(
        *(event(f"m{n}", start, 30, room=None) for n, start in enumerate(starts))
    )
    effort = _book_all(office, lag_s)
    # Every create that never arrived is sent once more; looking costs a page of a list for many at a time,
    # and one question for each that a list does not have yet: the lag is real, so on a busy machine for most.
    assert effort.calls["POST"] <= 1.2 * meetings
    assert effort.calls["GET"] <= 1.2 * meetings
    made = Counter(r["topic"] for r in office.reservations(live=False))
    assert len(made) == meetings
    assert set(made.values()) == {1}
    assert len(office.reservations()) == meetings
    time.sleep(lag_s + 0.1)
    office.forget_requests()
    assert office.once()["counts"]["unchanged"] == meetings
    assert office.writes() == []
    return effort


@pytest.mark.parametrize(
    ("meetings", "lag_s"), [(80, 0.3), pytest.param(200, 1.0, marks=pytest.mark.slow)]
)
def test_lost_answers_and_a_late_list_book_nothing_twice(
    make_office: Any, meetings: int, lag_s: float
) -> None:
    """Every third create loses its answer and every fifth never arrives; each is booked once."""
    _check(make_office, meetings, lag_s)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_lost_answers_book_nothing_twice(make_office: Any) -> None:
    """The same with 1,000 creates and a list that is 5 s late; the calls stay within bounds."""
    effort = _check(make_office, 1000, lag_s=5)
    print(f"{effort.cycles} cycles, {dict(effort.calls)} calls, {effort.seconds:.0f} s")
