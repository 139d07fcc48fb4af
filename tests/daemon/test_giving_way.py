"""A daemon that has much to book hears meanwhile what else there is to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import Daemon, files, follow, running

MANY = 160
PER_SECOND = 20
BEGUN = 20  # reservations after which the first booking is well under way
LATEST_S = 5.0
"""Far less than what the first booking takes; what is to be done is normally done in one to two seconds."""


@pytest.fixture
def busy(office: Office) -> Iterator[Daemon]:
    """A daemon with two calendars, the first booking of one of which takes many seconds."""
    office.change(("requests_per_second = 100.0", f"requests_per_second = {PER_SECOND}"))
    follow(office, files("large", "large.ics"), files("small", "small.ics"))
    start = ahead(2, 6)
    large = (event(f"m{n}", start + timedelta(minutes=n), 30, room=None) for n in range(MANY))
    (office.folder / "large.ics").write_bytes(calendar(*large))
    write(office.folder / "small.ics", "there")
    with running(office) as daemon:
        daemon.until(lambda: len(office.reservations()) >= BEGUN, "the first booking is under way")
        yield daemon


def write(path: Path, *uids: str) -> None:
    """Replace a calendar by one of meetings that are later than all others."""
    beside = path.with_suffix(".new")
    beside.write_bytes(calendar(*(event(uid, ahead(6), room=None) for uid in uids)))
    beside.rename(path)


def made(office: Office) -> Counter[str]:
    """How often each meeting was booked."""
    return Counter(r["topic"].removeprefix("Meeting ") for r in office.reservations(live=False))


def test_an_edit_is_booked_while_much_else_is(busy: Daemon) -> None:
    """A new meeting of another calendar does not wait until a first booking is through; that goes on."""
    office = busy.office
    write(office.folder / "small.ics", "there", "edited")
    began = time.monotonic()
    busy.until(lambda: made(office)["edited"], "the edit is booked", LATEST_S)
    print(f"booked {time.monotonic() - began:.2f} s after the write")
    assert len(office.reservations()) < MANY
    busy.until(
        lambda: sum(c["created"] for c in busy.logged("cycle")) == MANY + 2, "each is told of in one cycle"
    )
    assert len(made(office)) == MANY + 2
    assert set(made(office).values()) == {1}
    assert busy.logged("cycle")[-1]["left"] == 0
    assert "still to write" in "".join(m.get("STATUS", "") for m in busy.manager.messages)


def test_edits_without_end_do_not_keep_a_first_booking_from_its_end(busy: Daemon) -> None:
    """While another calendar is written again and again, both come to be booked, each meeting once."""
    office = busy.office
    edits = 1

    def edit() -> bool:
        nonlocal edits
        edits += 1
        write(office.folder / "small.ics", *(f"edit-{n}" for n in range(edits % 7)))
        time.sleep(0.6)  # or a change would not count as finished
        return sum(made(office)[f"m{n}"] for n in range(MANY)) == MANY

    busy.until(edit, "all is booked")
    assert len(busy.logged("cycle")) > 4, "it gave way"
    assert {made(office)[f"m{n}"] for n in range(MANY)} == {1}


def test_a_configuration_that_only_looks_is_taken_over_at_once(busy: Daemon) -> None:
    """Who stops all writing by the mode need not wait for what is being written."""
    busy.office.change(('mode = "full"', 'mode = "observe"'))
    busy.until(lambda: busy.logged("configuration taken over"), "the mode is taken over", LATEST_S)
    booked = len(busy.office.reservations())
    assert booked < MANY
    busy.settle()
    assert len(busy.office.reservations()) == booked
