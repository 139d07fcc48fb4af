"""The store: what a test over HTTP would not notice."""

from __future__ import annotations

import itertools

from syncd.sandbox.store import SNOWFLAKE_EPOCH_MS, Store, StoredReservation
from tests.sandbox.conftest import MINUTE, now_ms


def reservation(number: int) -> StoredReservation:
    """The meeting of one minute in room 7 that has this number."""
    return StoredReservation(
        reservation_id=number,
        topic="Test Meeting",
        start_time=number * MINUTE,
        end_time=(number + 1) * MINUTE,
        status=1,
        room_id="7",
        participants=("1",),
        cc_participants=(),
        notice=True,
        notice_time=None,
        description="",
        creator="3",
        modifier="3",
        gmt_create=0,
        gmt_modified=0,
        attachments=(),
        planned_end=(number + 1) * MINUTE,
    )


def test_conflict_check_does_not_scan() -> None:
    """Who holds a room is found with as little work among 20000 meetings of the room as among 200."""
    store = Store(None)

    def work(last: int) -> int:
        """Return the instructions of the database, in hundreds, for a hundred questions."""
        steps = itertools.count()
        store._database.set_progress_handler(lambda: next(steps) < 0, 100)
        for number in range(last - 100, last):
            held = store.holders("7", number * MINUTE, (number + 1) * MINUTE)
            assert [holder.reservation_id for holder in held] == [number]
        store._database.set_progress_handler(None, 0)
        return next(steps)

    with store:
        for number in range(200):
            store.save(reservation(number))
    few = work(200)
    with store:
        for number in range(200, 20_000):
            store.save(reservation(number))
    assert few <= work(20_000) < 3 * few
    store.close()


def test_ids_follow_the_clock_and_never_repeat() -> None:
    """Ids decode to their time, and grow even when the clock goes back."""
    store = Store(None)
    now = now_ms()
    first = store.mint(now)
    assert (first >> 22) + SNOWFLAKE_EPOCH_MS == now
    assert first < store.mint(now) < store.mint(now - 3600_000) < store.mint(now + 1)
    store.close()


def test_a_failed_transaction_leaves_nothing() -> None:
    """What a refused call had written before its refusal is undone."""
    store = Store(None)
    try:
        with store:
            store.save(reservation(1))
            raise LookupError
    except LookupError:
        assert store.all_reservations() == []
    store.close()
