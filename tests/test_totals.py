"""What the ledger counts over what is at rest, against the same counted by hand from every booking."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import event

from syncd.core.booking import CLOSED_STATES, HOLDING_STATES, Booking, BookingState
from syncd.core.occurrence import OccurrenceKey
from syncd.core.reasons import Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.totals import Totals
from syncd.ledger import Ledger
from tests.conftest import engine_of, examples

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
SPEC = ReservationSpec(
    topic="Council",
    start=NOW,
    end=NOW + timedelta(hours=1),
    room_id="r1",
    participants=("3",),
    cc_participants=(),
    notice=True,
    notice_time_s=900,
    description="",
    creator="3",
)
# Names that mean something to JSON and to LIKE, and of which one is a part of another.
SOURCES = ("a", "A", "ab", "a%", "a_", 'x"a"', '", "', "\\", "Büro", "tenth", "a,b")
sources = st.sampled_from(SOURCES)
uids = st.sampled_from([f"u{number}" for number in range(8)])


def booking(
    number: int, uid: str, source: str, witnesses: tuple[str, ...], state: BookingState
) -> Booking:
    """A booking in any state, of an occurrence of its own."""
    return Booking(
        key=OccurrenceKey("", uid, f"{number}"),
        room_id="r1",
        generation=0,
        mark=f"m{number}",
        state=state,
        source=source,
        witnesses=witnesses,
        origin="f" * 32,
        content=SPEC,
        pending=SPEC,
        reservation_id=f"id{number}",
        attempted_at=NOW,
    )


def _skips(number: int) -> dict[Reason, int]:
    """So many skipped occurrences, of two reasons if there are several."""
    if not number:
        return {}
    if number == 1:
        return {Reason.ALL_DAY: 1}
    return {Reason.ALL_DAY: 1, Reason.TENTATIVE: number - 1}


class Counted(RuleBasedStateMachine):
    """Bookings and the worklist change in any way; after each step all is counted anew by hand."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.number = 0
        self.skipped: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        shared_memory = Path("/dev/shm")
        where = shared_memory if shared_memory.is_dir() else None
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=where))
        url = f"sqlite:///{Path(folder) / 'state.db'}"
        self.ledger = self._stack.enter_context(Ledger.open(url, owner=True))

    @rule(
        uid=uids,
        shown_by=st.lists(sources, min_size=1, max_size=4, unique=True),
        state=st.sampled_from(BookingState),
    )
    def book(self, uid: str, shown_by: list[str], state: BookingState) -> None:
        self.number += 1
        new = booking(self.number, uid, shown_by[0], tuple(shown_by), state)
        self.ledger.bookings.record(new, at=NOW, what="test")

    @rule(data=st.data(), source=sources, state=st.sampled_from(BookingState))
    def change(self, data: Any, source: str, state: BookingState) -> None:
        known = self.ledger.bookings.all()
        if known:
            found = data.draw(st.sampled_from(known))
            witnesses = tuple(dict.fromkeys([source, *found.witnesses]))
            other = replace(found, source=source, witnesses=witnesses, state=state)
            self.ledger.bookings.amend(other, at=NOW)

    @rule(uid=uids, skipped=st.integers(0, 3), in_an_hour=st.booleans())
    def rest(self, uid: str, skipped: int, in_an_hour: bool) -> None:
        until = NOW + timedelta(hours=1) if in_an_hour else None
        seen = self.ledger.worklist.ready_with_news(NOW)
        self.ledger.worklist.defer(
            {uid: (until, _skips(skipped))}, over=(), at=NOW, seen=seen
        )
        if uid in self.ledger.worklist.uids():
            self.skipped[uid] = skipped

    @rule(uid=uids)
    def be_ready(self, uid: str) -> None:
        self.ledger.worklist.make_ready([uid])

    @rule(uid=uids, skipped=st.integers(0, 3))
    def wait_to_be_written(self, uid: str, skipped: int) -> None:
        seen = self.ledger.worklist.ready_with_news(NOW)
        self.ledger.worklist.mark_planned({uid: _skips(skipped)}, seen)
        if uid in self.ledger.worklist.uids():
            self.skipped[uid] = skipped

    @invariant()
    def skips_are_those_that_rest(self) -> None:
        told: Counter[Reason] = Counter()
        for number in self.skipped.values():
            told.update(_skips(number))
        assert self.ledger.worklist.skips() == told

    @invariant()
    def counts_are_those_of_all_bookings(self) -> None:
        ready = self.ledger.worklist.ready(NOW)
        planned = self.ledger.bookings.ready(NOW)
        for some in (SOURCES, SOURCES[:2], SOURCES[5:7], ()):
            told = self.ledger.bookings.totals(NOW, ready, planned, some)
            assert told == self.by_hand(ready, some)

    def by_hand(self, ready: frozenset[str], some: tuple[str, ...]) -> Totals:
        live: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        pairs: set[tuple[str, str]] = set()
        for found in self.ledger.bookings.all():
            if found.key.uid in ready or found.state in CLOSED_STATES:
                continue
            pairs.add((found.source, found.key.uid))
            if found.state in HOLDING_STATES:
                live[found.source] += 1
                shown.update(found.witnesses)
        known = Counter(source for source, _ in pairs)
        skipped = sum(
            number for uid, number in self.skipped.items() if uid not in ready
        )
        return Totals(
            live,
            Counter({name: shown[name] for name in some if shown[name]}),
            Counter({name: known[name] for name in some if known[name]}),
            skipped,
        )

    def teardown(self) -> None:
        self._stack.close()


TestCounted = Counted.TestCase
TestCounted.settings = settings(
    max_examples=examples(25, thorough=100),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("named", [(), ("a",), SOURCES])
def test_what_is_counted_is_read_from_an_index(
    tmp_path: Path, named: tuple[str, ...]
) -> None:
    """Nothing that is counted over everything reads a row of a booking, or the whole worklist."""
    asked: list[tuple[str, Any]] = []

    def note(
        _c: object, _cursor: object, statement: str, parameters: Any, *_rest: object
    ) -> None:
        asked.append((statement, parameters))

    file = tmp_path / "state.db"
    with Ledger.open(f"sqlite:///{file}", owner=True) as ledger:
        event.listen(engine_of(ledger), "before_cursor_execute", note)
        ledger.bookings.totals(NOW, frozenset(), (), named)
    counts = [(text, values) for text, values in asked if text.startswith("SELECT")]
    assert len(counts) == (4 if named else 2)
    with closing(sqlite3.connect(file)) as connection:
        for text, values in counts:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
            told = " / ".join(line[3] for line in plan)
            of_one_source = "count(DISTINCT bookings.uid)" in text
            index = "INDEX bookings_by_source" if of_one_source else "COVERING INDEX"
            assert index in told, (text, told)
            assert not re.search(r"SCAN (bookings|agenda)\b", told), (text, told)
