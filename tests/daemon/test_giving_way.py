"""A daemon that has much to book hears meanwhile what else there is to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import FAST, SLOW, Daemon, files, follow, running

MANY = 160
BEGUN = 5  # reservations after which the first booking is well under way


@pytest.fixture
def busy(office: Office) -> Iterator[Daemon]:
    """A daemon with two calendars, the first booking of one of which takes most of a minute."""
    office.change((FAST, SLOW))
    follow(office, files("large", "large.ics"), files("small", "small.ics"))
    start = ahead(2, 6)
    large = (
        event(f"m{n}", start + timedelta(minutes=n), 30, room=None) for n in range(MANY)
    )
    (office.folder / "large.ics").write_bytes(calendar(*large))
    write(office.folder / "small.ics", "there")
    with running(office) as daemon:
        daemon.until(
            lambda: len(office.reservations()) >= BEGUN,
            "the first booking is under way",
        )
        yield daemon


def write(path: Path, *uids: str) -> None:
    """Replace a calendar by one of meetings that are later than all others."""
    beside = path.with_suffix(".new")
    beside.write_bytes(calendar(*(event(uid, ahead(6), room=None) for uid in uids)))
    beside.rename(path)


def made(office: Office) -> Counter[str]:
    """How often each meeting was booked."""
    return Counter(
        r["topic"].removeprefix("Meeting ") for r in office.reservations(live=False)
    )


@pytest.mark.first(1)
def test_an_edit_is_booked_while_much_else_is(busy: Daemon) -> None:
    """A new meeting of another calendar does not wait until a first booking is through; that goes on."""
    office = busy.office
    write(office.folder / "small.ics", "there", "edited")
    busy.until(lambda: made(office)["edited"], "the edit is booked")
    assert len(office.reservations()) < MANY
    office.change((SLOW, FAST))
    busy.until(
        lambda: sum(c["created"] for c in busy.logged("cycle")) == MANY + 2,
        "each is told of in one cycle",
    )
    assert len(made(office)) == MANY + 2
    assert set(made(office).values()) == {1}
    assert busy.logged("cycle")[-1]["left"] == 0
    assert "still to write" in "".join(
        m.get("STATUS", "") for m in busy.manager.messages
    )


@pytest.mark.slow
@pytest.mark.first(1)
def test_edits_without_end_do_not_keep_a_first_booking_from_its_end(
    busy: Daemon,
) -> None:
    """While another calendar is written again and again, both come to be booked, each meeting once."""
    office = busy.office

    def edit(number: int) -> None:
        cycles = len(busy.logged("cycle"))
        write(office.folder / "small.ics", *(f"edit-{n}" for n in range(number % 7)))
        busy.until(lambda: len(busy.logged("cycle")) > cycles, "it gives way")

    for number in range(2, 6):
        edit(number)
        assert len(office.reservations()) < MANY
    office.change((SLOW, FAST))
    while sum(made(office)[f"m{n}"] for n in range(MANY)) < MANY:
        number += 1
        edit(number)
    assert {made(office)[f"m{n}"] for n in range(MANY)} == {1}


def test_a_configuration_that_only_looks_is_taken_over_at_once(busy: Daemon) -> None:
    """Who stops all writing by the mode need not wait for what is being written."""
    busy.office.change(('mode = "full"', 'mode = "observe"'))
    busy.until(
        lambda: busy.logged("configuration taken over"), "the mode is taken over"
    )
    booked = len(busy.office.reservations())
    assert booked < MANY
    busy.settle()
    assert len(busy.office.reservations()) == booked
