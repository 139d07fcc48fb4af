"""The ledger on real files: what it keeps, what it refuses, what kills, rivals and full disks do to it."""

from __future__ import annotations

import ast
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from syncd import ledger as ledger_package
from syncd import migrations
from syncd.core.acknowledged import Acknowledgement
from syncd.core.booking import Booking, BookingState
from syncd.core.cause import Cause
from syncd.core.feed import Body, Snapshot
from syncd.core.occurrence import Defect, OccurrenceKey
from syncd.core.policy import Repaired
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import Attachment, ReservationSpec
from syncd.core.resolve import is_refused
from syncd.errors import LedgerError, LedgerLocked, LedgerTooNew
from syncd.ledger import HistoryEntry, Ledger, LedgerAddress, facts
from syncd.ledger.booking_rows import decode_spec, encode_spec
from syncd.ledger.facts import Basis, Fact, Held, MaxDay, PathWord
from syncd.ledger.history import StepFilter
from syncd.ledger.sources import ReadingRecord, UnchangedLook
from tests.conftest import HANG_S, engine_of
from tests.former import bring_to

FILES = [
    "state.db",
    "state.db-wal",
    "state.db-shm",
    "state.db.lock",
    "state.db.underway",
]
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANY: Fact[str] = Fact("any", str, str)
SPEC = ReservationSpec(
    topic="Secret budget",
    start=NOW,
    end=NOW + timedelta(hours=1),
    room_id="r1",
    participants=("bay1",),
    cc_participants=(),
    notice=True,
    notice_time_s=900,
    description="Bring the figures",
    creator="3",
)


def wish(
    uid: str = "a@example.com", room: str | None = "r1", **changes: Any
) -> Booking:
    """A booking that waits, not stored yet."""
    waiting = Booking(
        key=OccurrenceKey("", uid, None),
        room_id=room,
        generation=0,
        mark=None,
        state=BookingState.WAITING,
        source="office",
        witnesses=("office",),
        origin="f" * 32,
        pending=replace(SPEC, room_id=room),
    )
    return replace(waiting, **changes)


def booked(
    uid: str = "a@example.com", room: str | None = "r1", **changes: Any
) -> Booking:
    """A confirmed booking, not stored yet; the reservation has the name of its meeting and room."""
    return replace(wish(uid, room).booked(f"id of {uid} in {room}"), **changes)


def cancelled(booking: Booking, evidence: Evidence | None) -> Booking:
    """The same booking after its cancel."""
    gone = booking.with_state(BookingState.CANCELLED, Reason.EVENT_GONE)
    return replace(gone, evidence=evidence)


def snapshot(body: Body | None, **changes: Any) -> Snapshot:
    """What a feed said, with a body or without."""
    said = Snapshot(
        identity="i",
        document="calendar.example.com",
        digest=body.digest if body else "",
        base_url="https://calendar.example.com/secret",
        etag='"1"',
        target="t",
        read_at=NOW,
    )
    return replace(said, **changes)


def test_what_needs_a_person_is_open(tmp_path: Path) -> None:
    """Whatever is in doubt, refused or vanished is among what is open; what waits for its time is not."""
    found: list[Booking] = []
    for state, reason in product(BookingState, (None, *Reason)):
        one = booked(uid=f"{state} {reason}")
        found.append(
            replace(one, state=state, reason=reason, pending=SPEC, attempted_at=NOW)
        )
    with open_as_owner(tmp_path / "state.db") as ledger:
        ledger.bookings.record(*found, at=NOW, what="test")
        open_ones = {booking.key.uid for booking in ledger.bookings.open()}
    needing: set[str] = set()
    for booking in found:
        if booking.in_doubt or booking.is_vanished or is_refused(booking):
            needing.add(booking.key.uid)
    assert needing <= open_ones
    assert {uid for uid in open_ones - needing if uid.startswith("waiting")} == set()
    assert {uid for uid in open_ones if uid.startswith(("cancelled", "ended"))} == set()


@pytest.mark.parametrize("reason", [None, *Reason])
def test_what_is_in_doubt_is_one_question(
    tmp_path: Path, reason: Reason | None
) -> None:
    """A booking and the ledger mean the same by *in doubt*, whatever the state and the reason."""
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        for state in BookingState:
            found = replace(
                booked(uid=state),
                state=state,
                reason=reason,
                pending=SPEC,
                attempted_at=NOW,
            )
            ledger.bookings.record(found, at=NOW, what="test")
        meant = [b for b in ledger.bookings.current() if b.in_doubt]
        assert list(ledger.bookings.in_doubt(NOW)) == meant
        assert len(meant) == (4 if reason is Reason.IN_DOUBT else 2)


INSTANTS = st.integers(0, 4_102_444_800_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
# Without NUL, which no UID has and PostgreSQL does not take.
TEXTS = st.characters(codec="utf-8", exclude_characters="\0")
WORDS = st.text(TEXTS, max_size=12)
ANYTHING = st.text(st.characters(), max_size=12)  # halves of surrogate pairs, too
IDS = st.none() | st.text(TEXTS, min_size=1, max_size=12)


def _next_generation(ledger: Ledger, key: OccurrenceKey) -> int:
    """The next generation of one occurrence."""
    return ledger.bookings.next_generations([key])[key]


@st.composite
def specs(draw: st.DrawFn) -> ReservationSpec:
    """Any content."""
    attachment = st.builds(
        Attachment,
        url=ANYTHING,
        name=st.none() | ANYTHING,
        size=st.none() | WORDS,
        type=st.none() | WORDS,
    )
    start = draw(INSTANTS)
    return ReservationSpec(
        topic=draw(ANYTHING),
        start=start,
        end=start + timedelta(milliseconds=draw(st.integers(1, 10**9))),
        room_id=draw(IDS),
        participants=tuple(draw(st.lists(ANYTHING, min_size=1, max_size=3))),
        cc_participants=tuple(draw(st.lists(ANYTHING, max_size=3))),
        notice=draw(st.booleans()),
        notice_time_s=draw(st.integers(0, 10**6)),
        description=draw(ANYTHING),
        creator=draw(ANYTHING),
        attachments=tuple(draw(st.lists(attachment, max_size=3))),
    )


@st.composite
def bookings(draw: st.DrawFn) -> Booking:
    """Any booking that can be."""
    state = draw(st.sampled_from(BookingState))
    content, pending = draw(specs()), draw(specs())
    return Booking(
        key=OccurrenceKey(draw(WORDS), draw(WORDS), draw(IDS)),
        room_id=draw(IDS),
        generation=draw(st.integers(0, 1000)),
        mark=draw(IDS),
        state=state,
        source=draw(WORDS),
        witnesses=tuple(draw(st.lists(WORDS, max_size=3))),
        origin=draw(WORDS),
        content=content if state is not BookingState.WAITING else None,
        pending=pending if state is not BookingState.BOOKED else None,
        reservation_id=draw(st.text(TEXTS, min_size=1, max_size=12)),
        reason=draw(st.none() | st.sampled_from(Reason)),
        detail=draw(WORDS),
        attempted_at=draw(INSTANTS),
        retry_at=draw(st.none() | INSTANTS),
        blocked_by=draw(IDS),
        evidence=draw(st.none() | st.sampled_from(Evidence)),
        missed=draw(st.integers(0, 100)),
        missed_in=draw(WORDS),
    )


@given(specs())
def test_content_survives_storage(spec: ReservationSpec) -> None:
    """Content comes back from its JSON text as it was, whatever characters a calendar put into it."""
    text = encode_spec(spec)
    assert decode_spec(text) == spec
    assert text.isascii()


def look_at(ledger: Ledger, *sources: str) -> None:
    """Look at sources for the first time: on a shared ledger what is read counts if nobody looked since."""
    for source in sources:
        ledger.worklist.set_standing(source, "looked at", NOW)


class LedgerContract:
    """What holds for the ledger on every database; a subclass gives the fixture `url`, its address."""

    @pytest.fixture
    def ledger(self, url: LedgerAddress) -> Iterator[Ledger]:
        """The ledger with its owner."""
        with Ledger.open(url, owner=True) as ledger:
            yield ledger

    @settings(
        suppress_health_check=[
            HealthCheck.differing_executors,  # one for each database
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
        deadline=None,
        max_examples=60,
    )
    @given(booking=bookings(), at=INSTANTS)
    def test_a_booking_comes_back_as_it_was(
        self, ledger: Ledger, booking: Booking, at: datetime
    ) -> None:
        """Every field of every possible booking survives storage, and `record` returns what is stored."""
        (stored,) = ledger.bookings.record(booking, at=at, what="test")
        assert stored == replace(booking, row=stored.row, updated_at=at)
        assert stored in ledger.bookings.of(booking.key.uid)
        ledger.bookings.record(
            stored.with_state(BookingState.ENDED), at=at, what="over"
        )

    def test_what_is_recorded_is_returned_as_it_is_read(self, ledger: Ledger) -> None:
        """Where a row keeps less than it was given, what `record` returns has no more than the row."""
        moment = NOW + timedelta(microseconds=1234)
        spec = replace(SPEC, start=SPEC.start + timedelta(microseconds=7))
        booking = replace(
            wish(),
            mark="",
            room_id="",
            pending=spec,
            detail="half \ud83d of a pair",
            attempted_at=moment,
            retry_at=moment,
        )
        (stored,) = ledger.bookings.record(booking, at=moment, what="test")
        assert stored != replace(booking, row=stored.row, updated_at=moment)
        assert ledger.bookings.of(stored.key.uid) == (stored,)

    def test_times_come_back_as_instants(self, ledger: Ledger) -> None:
        """A time given in another zone is the same instant when it is read."""
        zone = timezone(timedelta(hours=5, minutes=30))
        ledger.bookings.record(
            wish(retry_at=NOW.astimezone(zone)), at=NOW.astimezone(zone), what="test"
        )
        (stored,) = ledger.bookings.current()
        assert (stored.retry_at, stored.updated_at) == (NOW, NOW)

    def test_bookings_outlive_the_process(self, url: LedgerAddress) -> None:
        """What was recorded is there when the ledger is opened again."""
        with Ledger.open(url, owner=True) as ledger:
            stored = ledger.bookings.record(
                booked("b"), booked("a"), at=NOW, what="test"
            )
        with Ledger.open(url, owner=True) as ledger:
            assert ledger.bookings.current() == tuple(reversed(stored))

    def test_current_leaves_out_what_is_closed(self, ledger: Ledger) -> None:
        """Cancelled and ended bookings are not current, and stay to be explained."""
        first, second, third = ledger.bookings.record(
            booked("a"), booked("b"), booked("c"), at=NOW, what="test"
        )
        over = second.with_state(BookingState.ENDED)
        ledger.bookings.record(cancelled(first, None), over, at=NOW, what="over")
        assert ledger.bookings.current() == (third,)
        assert [b.state for b in ledger.bookings.all()] == [
            "cancelled",
            "ended",
            "booked",
        ]
        assert [b.state for b in ledger.bookings.of("a")] == ["cancelled"]

    def test_what_may_be_of_the_same_meetings(self, ledger: Ledger) -> None:
        """Current bookings by UID and by mark, each once, however many are asked for."""
        a, b, c, _, _ = ledger.bookings.record(
            booked("a", mark="1"),
            booked("a", "r2"),
            booked("b", mark="2"),
            booked("c", mark="3"),
            cancelled(booked("a", "r3", mark="4"), None),
            at=NOW,
            what="test",
        )
        many = {f"u{n}" for n in range(1000)}
        found = ledger.bookings.concerned({"a", *many}, {"1", "2", "4", *many})
        assert sorted(found, key=lambda one: one.row) == [a, b, c]

    def test_unsettled_is_what_is_not_simply_booked(self, ledger: Ledger) -> None:
        """Whatever waits, is in doubt or refused, and nothing that was booked or is over."""
        told = booked("e", reason=Reason.ROOM_CONFLICT)
        later = booked("f", retry_at=NOW)
        sending = wish("g").sending(SPEC, "f" * 32, NOW)
        stored = ledger.bookings.record(
            wish("d"),
            told,
            later,
            sending,
            booked("a"),
            cancelled(booked("b"), None),
            at=NOW,
            what="test",
        )
        assert ledger.bookings.unsettled(NOW) == stored[:4]
        tomorrow = NOW + timedelta(days=1)
        seen = ledger.worklist.ready_with_news(NOW)
        ledger.worklist.defer({"d": (tomorrow, {})}, over=(), at=NOW, seen=seen)
        assert ledger.bookings.unsettled(NOW) == stored[1:4]

    @pytest.mark.parametrize(
        ("second", "told"),
        [
            (booked("a", reservation_id="other"), "this meeting in this room"),
            (booked("b", mark="m"), "this mark"),
            (booked("b", reservation_id="id of a in r1"), "this reservation"),
        ],
        ids=["meeting and room", "mark", "reservation"],
    )
    def test_not_twice(self, ledger: Ledger, second: Booking, told: str) -> None:
        """A second current booking is refused with what it collides with, and nothing of it is recorded."""
        (stored,) = ledger.bookings.record(booked("a", mark="m"), at=NOW, what="test")
        with pytest.raises(LedgerError, match=told) as caught:
            ledger.bookings.record(booked("c"), second, at=NOW, what="test")
        assert ledger.bookings.current() == (stored,)
        assert _next_generation(ledger, OccurrenceKey("", "c", None)) == 0
        shown = "".join(traceback.format_exception(caught.value))
        assert SPEC.topic not in shown
        assert SPEC.description not in shown

    def test_booked_anew_after_the_end(self, ledger: Ledger) -> None:
        """A closed booking gives its meeting, mark and reservation free, in the same transaction too."""
        (stored,) = ledger.bookings.record(booked(mark="m"), at=NOW, what="test")
        closed, anew = ledger.bookings.record(
            cancelled(stored, None), booked(mark="m"), at=NOW, what="again"
        )
        assert closed.row != anew.row
        assert ledger.bookings.current() == (anew,)

    def test_bookings_trade_places(self, ledger: Ledger) -> None:
        """Two bookings take each other's room in one transaction, which no order of single writes allows."""
        first, second = ledger.bookings.record(
            booked("a", "r1"), booked("a", "r2"), at=NOW, what="test"
        )
        moved = replace(first, room_id="r2"), replace(second, room_id="r1")
        assert ledger.bookings.record(*moved, at=NOW, what="moved") == moved

    def test_generations_are_never_given_twice(self, ledger: Ledger) -> None:
        """The next generation is above all recorded ones, also when the bookings are forgotten."""
        key = OccurrenceKey("", "a", "20261201T090000Z")
        assert _next_generation(ledger, key) == 0
        (stored,) = ledger.bookings.record(
            booked("a", key=key, generation=4), at=NOW, what="test"
        )
        ledger.bookings.record(
            cancelled(replace(stored, generation=2), None), at=NOW, what="over"
        )
        assert ledger.prune(NOW + MINUTE) == 1
        assert ledger.bookings.all() == ()
        assert _next_generation(ledger, key) == 5
        assert _next_generation(ledger, replace(key, recurrence_id=None)) == 0

    def test_generations_go_with_the_last_booking_long_after_the_meeting(
        self, ledger: Ledger
    ) -> None:
        """What a year of meetings leaves behind is forgotten, generations too; none before its time."""
        over, again, ahead = (
            OccurrenceKey("", "a", f"202612{day:02}T090000Z") for day in (1, 2, 3)
        )
        much_later = replace(SPEC, end=SPEC.end + timedelta(days=400))
        for key, spec in ((over, SPEC), (again, SPEC), (ahead, much_later)):
            (stored,) = ledger.bookings.record(
                booked("a", key=key, content=spec), at=NOW, what="test"
            )
            ledger.bookings.record(cancelled(stored, None), at=NOW, what="over")
        live = booked("a", "r2", key=again, generation=1)
        ledger.bookings.record(live, at=NOW, what="test")
        year = timedelta(days=365)
        assert ledger.prune(NOW + year) == 3
        assert [_next_generation(ledger, k) for k in (over, again, ahead)] == [0, 2, 1]

    def test_generations_stay_while_lists_show_the_meeting(
        self, ledger: Ledger
    ) -> None:
        """With a short retention a meeting is forgotten on the same day; its mark is not given again."""
        key = OccurrenceKey("", "a", None)
        (stored,) = ledger.bookings.record(booked("a", key=key), at=NOW, what="test")
        ledger.bookings.record(cancelled(stored, None), at=NOW, what="over")
        now = SPEC.end + 2 * MINUTE
        yesterday = now - timedelta(days=1)
        assert ledger.prune(now - MINUTE, unseen_before=yesterday) == 1
        assert _next_generation(ledger, key) == 1

    def test_history(self, ledger: Ledger) -> None:
        """Each record leaves one line for each booking, in order; bookkeeping leaves none."""
        (stored,) = ledger.bookings.record(
            wish().sending(SPEC, "o", NOW), at=NOW, what="create", detail="mark m"
        )
        (other, confirmed) = ledger.bookings.record(
            wish("b"), stored.booked("1"), at=NOW + MINUTE, what="created"
        )
        ledger.bookings.amend(
            replace(confirmed, missed=1, missed_in="d", witnesses=()), at=NOW
        )
        assert ledger.bookings.history(confirmed.row) == (
            HistoryEntry(NOW, "create", "mark m", "office", by="syncd"),
            HistoryEntry(NOW + MINUTE, "created", "", "office", by="syncd"),
        )
        assert len(ledger.bookings.history(other.row)) == 1
        kept = {b.row: b for b in ledger.bookings.current()}[confirmed.row]
        assert kept == replace(confirmed, missed=1, missed_in="d", witnesses=())

    def test_a_step_tells_why_and_who_decided(self, ledger: Ledger) -> None:
        """Each step has its cause; the end of a cancel that was approved has the person who approved it."""
        (stored,) = ledger.bookings.record(
            booked(), at=NOW, what="created", cause=Cause(Reason.NEW)
        )
        cancelling = stored.cancelling(
            Reason.OVER_BUDGET, Evidence.APPROVED, "too many", NOW
        )
        (sent,) = ledger.bookings.record(
            cancelling, at=NOW + MINUTE, what="cancel", cause=Cause(by="erika")
        )
        over = sent.called_off("too many")
        ledger.bookings.record(over, at=NOW + 2 * MINUTE, what="cancelled")
        created, request, done = ledger.bookings.history(stored.row)
        assert (created.reason, created.evidence, created.by) == (
            Reason.NEW,
            None,
            "syncd",
        )
        why = (Reason.OVER_BUDGET, Evidence.APPROVED, "erika")
        assert (request.reason, request.evidence, request.by) == why
        assert (done.reason, done.evidence, done.by) == why
        told = ledger.history.steps(StepFilter())
        assert [step.entry.what for step in told] == ["created", "cancelled"]

    def test_steps_of_a_time_a_source_a_room_and_an_event(self, ledger: Ledger) -> None:
        """Steps are found by when they were, and by source, room and UID as these were then."""
        (one,) = ledger.bookings.record(booked("a", "r1"), at=NOW, what="created")
        moved = replace(one, room_id="r2", content=replace(SPEC, room_id="r2"))
        ledger.bookings.record(moved, at=NOW + MINUTE, what="updated")
        other = replace(booked("b", "r1"), source="sales")
        ledger.bookings.record(other, at=NOW + 2 * MINUTE, what="created")

        def found(**wanted: Any) -> list[tuple[str | None, str]]:
            steps = ledger.history.steps(StepFilter(**wanted))
            return [(step.uid, step.entry.what) for step in steps]

        first, second, third = ("a", "created"), ("a", "updated"), ("b", "created")
        assert found() == [first, second, third]
        assert found(since=NOW + MINUTE) == [second, third]
        assert found(until=NOW + MINUTE) == [first]
        assert found(room_id="r1") == [first, third]
        assert found(room_id="r2") == [second]
        assert found(source="sales") == [third]
        assert found(uid="a", since=NOW) == [first, second]
        latest = ledger.history.steps(StepFilter(), latest=2)
        assert [step.uid for step in latest] == ["a", "b"]

    def test_only_what_is_recorded_is_amended(self, ledger: Ledger) -> None:
        """A booking without a row, or whose row is gone, is not amended."""
        with pytest.raises(ValueError, match="before it is amended"):
            ledger.bookings.amend(wish(), at=NOW)
        with pytest.raises(LedgerError, match="Booking 77 is no longer in the ledger"):
            ledger.bookings.amend(wish(row=77), at=NOW)

    def test_row_numbers_are_never_given_twice(self, ledger: Ledger) -> None:
        """A forgotten booking's number does not become another's, so a stale value hits nothing."""
        (stored,) = ledger.bookings.record(booked(), at=NOW, what="test")
        ledger.bookings.record(cancelled(stored, None), at=NOW, what="over")
        ledger.prune(NOW + MINUTE)
        (anew,) = ledger.bookings.record(booked(), at=NOW, what="test")
        assert anew.row != stored.row
        assert len(ledger.bookings.history(anew.row)) == 1

    def test_recent_cancels(self, ledger: Ledger) -> None:
        """Cancels with evidence since a moment are found, made or on their way; others are not."""
        a, b, c, d = ledger.bookings.record(*map(booked, "abcd"), at=NOW, what="test")
        ledger.bookings.record(cancelled(a, Evidence.SHOWN), at=NOW, what="cancelled")
        ledger.bookings.record(
            cancelled(b, Evidence.TOLD), at=NOW + MINUTE, what="cancelled"
        )
        ledger.bookings.record(cancelled(c, None), at=NOW + MINUTE, what="replaced")
        leaving = d.cancelling(Reason.EVENT_GONE, Evidence.SHOWN, "", NOW)
        ledger.bookings.record(leaving, at=NOW + MINUTE, what="cancel")
        found = ledger.bookings.cancels_since(NOW + MINUTE)
        assert [(f.key.uid, f.source, f.evidence) for f in found] == [
            ("b", "office", Evidence.TOLD),
            ("d", "office", Evidence.SHOWN),
        ]

    def test_fresh_until_something_is_known(self, ledger: Ledger) -> None:
        """A ledger proves nothing until a booking was recorded, and then for good."""
        assert ledger.bookings.fresh
        (stored,) = ledger.bookings.record(booked(), at=NOW, what="test")
        ledger.bookings.record(cancelled(stored, None), at=NOW, what="over")
        ledger.prune(NOW + MINUTE)
        assert not ledger.bookings.fresh

    def test_adoption_ends_freshness(self, ledger: Ledger) -> None:
        """Having asked the API is knowledge, also when it had nothing."""
        ledger.bookings.mark_adopted(NOW)
        assert not ledger.bookings.fresh

    def test_sources(self, ledger: Ledger) -> None:
        """A failed reading keeps what the last complete one found, and failures in a row are counted."""

        def read(minute: int, *, ok: bool) -> None:
            reading = ReadingRecord(
                source="office",
                at=NOW + minute * MINUTE,
                state="read" if ok else "unreadable",
                complete=ok,
                events=7 if ok else 0,
                digest=f"digest {minute}" if ok else "",
                error=None if ok else "The file is absent.",
                defects=[Defect("bad", 3, Reason.BROKEN_PROPERTY, "RRULE")]
                if ok
                else [],
            )
            ledger.sources.record_readings([reading])

        assert ledger.sources.digests() == {}
        look_at(ledger, "office")
        read(0, ok=True)
        ledger.sources.record_next_runs({"office": NOW + 9 * MINUTE})
        read(1, ok=False)
        read(2, ok=False)
        record = ledger.sources.all()["office"]
        assert (record.state, record.failures, record.error) == (
            "unreadable",
            2,
            "The file is absent.",
        )
        assert (record.events, record.quarantined) == (7, 1)
        assert (record.last_ok_at, record.last_read_at) == (NOW, NOW + 2 * MINUTE)
        assert record.next_run_at == NOW + 9 * MINUTE
        assert ledger.sources.digests() == {"office": "digest 0"}
        assert len(ledger.sources.quarantine("office")) == 1
        read(3, ok=True)
        assert (
            ledger.sources.all()["office"].failures,
            ledger.sources.all()["office"].error,
        ) == (0, None)
        ledger.sources.forget("office")
        assert ledger.sources.all() == {}
        assert ledger.sources.quarantine() == ()

    def test_looks_that_found_nothing(self, ledger: Ledger) -> None:
        """They move the times of the sources, together and of known ones alone; what was found stays."""
        look_at(ledger, "office", "sales")
        for name in ("office", "sales"):
            reading = ReadingRecord(
                source=name,
                at=NOW,
                state="read",
                complete=True,
                events=7,
                digest="digest",
                error=None,
                defects=[Defect("bad", 3, Reason.BROKEN_PROPERTY, "RRULE")],
            )
            ledger.sources.record_readings([reading])
        later, due = NOW + MINUTE, NOW + 2 * MINUTE
        ledger.sources.record_looks(
            UnchangedLook(name, later, due) for name in ("office", "unknown")
        )
        records = ledger.sources.all()
        office = records["office"]
        assert records.keys() == {"office", "sales"}
        assert (office.state, office.last_read_at, office.last_ok_at) == (
            "unchanged",
            later,
            later,
        )
        assert office.next_run_at == due
        assert (office.events, office.quarantined, office.digest) == (7, 1, "digest")
        assert (records["sales"].state, records["sales"].last_read_at) == ("read", NOW)

    def test_quarantine_keeps_the_first_time(self, ledger: Ledger) -> None:
        """A defect that is still there keeps its date though its line moved; a repaired one goes."""
        look_at(ledger, "office")
        old = Defect("old", 3, Reason.BROKEN_PROPERTY, "RRULE", "a.ics")
        repaired = Defect("repaired", 9, Reason.NO_UID, "no UID", "a.ics")
        moved, new = (
            replace(old, line=30),
            Defect("new", 5, Reason.UNKNOWN_TIMEZONE, "half \ud800"),
        )
        for minute, defects in enumerate([(old, repaired), (moved, new)]):
            reading = ReadingRecord(
                source="office",
                at=NOW + minute * MINUTE,
                state="read",
                complete=True,
                events=2,
                digest="",
                error=None,
                defects=defects,
            )
            ledger.sources.record_readings([reading])
        assert [(q.defect, q.first_seen_at) for q in ledger.sources.quarantine()] == [
            (replace(new, detail="half ?"), NOW + MINUTE),
            (moved, NOW),
        ]
        assert ledger.sources.quarantine("sales") == ()

    def test_calls_count_by_month_in_utc(self, url: LedgerAddress) -> None:
        """Calls are counted in the UTC month of their moment, at once and after a restart."""
        new_year_in_tokyo = datetime(2027, 1, 1, 3, tzinfo=timezone(timedelta(hours=9)))
        with Ledger.open(url, owner=True) as ledger:
            for moment in (NOW, NOW, new_year_in_tokyo):
                ledger.calls.count("GET", moment)
            ledger.calls.count("POST", NOW + timedelta(days=31))
            assert ledger.calls.in_month(NOW) == 3
            ledger.facts.set(ANY, "write")
            ledger.calls.count("GET", NOW)
            assert ledger.calls.in_month(NOW) == 4
        with Ledger.open(url, owner=False) as reader:
            assert reader.calls.in_month(NOW) == 4
            assert reader.calls.in_month(NOW + timedelta(days=31)) == 1

    def test_a_failed_write_loses_no_call(self, ledger: Ledger) -> None:
        """Calls counted before a write that fails are still counted after it, once."""
        ledger.calls.count("GET", NOW)
        with pytest.raises(LedgerError):
            ledger.bookings.amend(wish(row=77), at=NOW)
        ledger.facts.set(ANY, "write")
        assert ledger.calls.in_month(NOW) == 1

    def test_facts(self, ledger: Ledger) -> None:
        """A fact is what was set last."""
        assert ledger.facts.get(ANY) is None
        ledger.facts.set(ANY, "1")
        ledger.facts.set(ANY, "2")
        assert ledger.facts.get(ANY) == "2"
        ledger.facts.set(ANY, None)
        assert ledger.facts.get(ANY) is None

    @pytest.mark.parametrize(
        ("fact", "value", "text"),
        [
            (facts.COMPARED_AT, NOW, "2026-12-01T09:00:00+00:00"),
            (facts.PRUNED_ON, NOW.date(), "2026-12-01"),
            (facts.HELD, Held(None, 0), " 0"),
            (facts.HELD, Held("c1", 12), "c1 12"),
            (facts.MISSING_FILES, {"office": ["a.ics"]}, '{"office": ["a.ics"]}'),
            (facts.CLOCK_OFFSET, timedelta(seconds=-301), "-301"),
            (facts.MAX_DAY, MaxDay(None, NOW), " 2026-12-01T09:00:00+00:00"),
            (facts.MAX_DAY, MaxDay(30, NOW), "30 2026-12-01T09:00:00+00:00"),
            (
                facts.REPAIRS,
                {7: Repaired("o", ("start", "end"), 2)},
                '{"7": {"origin": "o", "fields": ["start", "end"], "times": 2}}',
            ),
            (facts.SALT, 18446744073709551615, "18446744073709551615"),
            (facts.BASIS, Basis("1.0 a", "r", "None"), "1.0 a\nr\nNone"),
            (
                facts.path_of("office"),
                PathWord("matched", "/a/*.ics"),
                "matched\n/a/*.ics",
            ),
            (facts.DEFERRED_AT, NOW, "2026-12-01T09:00:00+00:00"),
        ],
    )
    def test_a_fact_is_written_as_ever(
        self, ledger: Ledger, fact: Fact[Any], value: Any, text: str
    ) -> None:
        """Each fact has the text that former versions wrote, and is read back from it as it was."""
        ledger.facts.set(fact, value)
        assert ledger.facts.get(Fact(fact.name, str, str)) == text
        assert ledger.facts.get(fact) == value

    def test_a_fact_that_makes_no_sense(self, ledger: Ledger) -> None:
        """A text that no version wrote is an error of the ledger that names the fact."""
        ledger.facts.set(Fact("held", str, str), "c1 many")
        with pytest.raises(
            LedgerError, match=r"The fact held of the ledger .* makes no sense"
        ):
            ledger.facts.get(facts.HELD)

    def test_approvals_are_spent_once(self, ledger: Ledger) -> None:
        """An approval counts until it is spent, and again when it is given again."""
        ledger.people.approve("c1", NOW, "ann")
        ledger.people.approve("c2", NOW + MINUTE, "bob")
        ledger.people.spend_approval("c1")
        assert ledger.people.approved() == {"c2"}
        assert [
            (a.checksum, a.approved_by, a.spent) for a in ledger.people.approvals()
        ] == [
            ("c1", "ann", True),
            ("c2", "bob", False),
        ]
        ledger.people.approve("c1", NOW + MINUTE, "cem")
        assert ledger.people.approved() == {"c1", "c2"}

    def test_people(self, ledger: Ledger) -> None:
        """An answer of the directory counts while it is young; that it knows nobody is an answer."""
        ledger.people.record_user("a@example.com", "u1", NOW)
        ledger.people.record_user("b@example.com", None, NOW)
        assert ledger.people.user_of("a@example.com", not_before=NOW) == (True, "u1")
        assert ledger.people.user_of("b@example.com", not_before=NOW) == (True, None)
        assert ledger.people.user_of("a@example.com", not_before=NOW + MINUTE) == (
            False,
            None,
        )
        assert ledger.people.user_of("c@example.com", not_before=NOW) == (False, None)

    def test_acknowledgements_last_as_long_as_what_they_are_about(
        self, ledger: Ledger
    ) -> None:
        """One of an event that is still wrong is kept however old it is; of another one it is forgotten."""
        look_at(ledger, "office")
        defect = Defect(
            "a/b", 3, Reason.BROKEN_PROPERTY, "RRULE", "a.ics", "Topic", "print"
        )
        reading = ReadingRecord(
            source="office",
            at=NOW,
            state="read",
            complete=True,
            events=1,
            digest="digest",
            error=None,
            defects=[defect],
        )
        ledger.sources.record_readings([reading])
        (found,) = ledger.sources.quarantine()
        assert (found.defect.topic, found.defect.fingerprint) == ("Topic", "print")
        for subject, fingerprint in (
            ("a/b", "print"),
            ("a/b", "older"),
            ("gone", "print"),
        ):
            seen = Acknowledgement(subject, fingerprint, "alice", NOW - MINUTE)
            ledger.people.acknowledge(seen)
        assert ledger.people.acknowledged().of_defect(found.defect) is not None
        ledger.prune(NOW)
        (left,) = ledger.people.acknowledgements()
        assert (left.subject, left.fingerprint) == ("a/b", "print")
        ledger.people.take_back(["a/b"])
        assert ledger.people.acknowledged().of_defect(found.defect) is None

    def test_prune_forgets_only_what_is_over(self, ledger: Ledger) -> None:
        """Only what was closed before the moment goes, with its history; current ones stay, however old."""
        long_ago = NOW - timedelta(days=400)
        old, young, live = ledger.bookings.record(
            *map(booked, "abc"), at=long_ago, what="test"
        )
        ledger.bookings.record(cancelled(old, None), at=long_ago, what="over")
        ledger.bookings.record(cancelled(young, None), at=NOW, what="over")
        ledger.people.approve("c", long_ago, "ann")
        ledger.people.record_user("a", "1", long_ago)
        ledger.calls.count("GET", long_ago)
        assert ledger.prune(NOW) == 1
        assert [b.row for b in ledger.bookings.all()] == [young.row, live.row]
        assert ledger.bookings.history(old.row) == ()
        assert ledger.people.approvals() == ()
        assert ledger.people.user_of("a", long_ago) == (False, None)

    def test_a_feed_is_kept_with_its_body(self, ledger: Ledger) -> None:
        """What a feed said comes back in all its fields, and its body whole, however large."""
        body = Body.of([random.Random(1).randbytes(1_500_000)] * 3)
        said = snapshot(body, wait_until=NOW + MINUTE, failures=2)
        ledger.sources.keep_snapshot("sales", said, body)
        assert ledger.sources.snapshot("sales") == said
        assert ledger.sources.body("sales", body.digest) == body
        assert ledger.sources.snapshot("other") is None
        assert ledger.sources.body("other", body.digest) is None

    def test_a_body_stays_until_another_one_comes(self, ledger: Ledger) -> None:
        """What is noted about a feed leaves its body alone; a body is found under its own digest only."""
        old, new = Body.of([b"old"]), Body.of([b"new"])
        ledger.sources.keep_snapshot("sales", snapshot(old), old)
        ledger.sources.keep_snapshot("sales", snapshot(old, failures=1))
        assert ledger.sources.body("sales", old.digest) == old
        ledger.sources.keep_snapshot("sales", snapshot(new), new)
        assert ledger.sources.body("sales", old.digest) is None
        assert ledger.sources.body("sales", new.digest) == new
        ledger.sources.keep_snapshot("sales", snapshot(None))
        assert ledger.sources.body("sales", new.digest) is None
        assert ledger.sources.snapshot("sales") == snapshot(None)

    @pytest.mark.parametrize("given", [None, Body.of([b"another"])])
    def test_a_digest_is_never_without_its_body(
        self, ledger: Ledger, given: Body | None
    ) -> None:
        """To say that a body is kept without giving that body is a mistake of the program.

        On a shared ledger another member may have replaced the body meanwhile; nothing is stored either.
        """
        refused: AbstractContextManager[object] = pytest.raises(
            ValueError, match="together with its body"
        )
        if ledger.is_shared and given is None:
            refused = nullcontext()
        with refused:
            ledger.sources.keep_snapshot("sales", snapshot(Body.of([b"one"])), given)
        assert ledger.sources.snapshot("sales") is None

    def test_a_source_is_forgotten_with_its_body(self, ledger: Ledger) -> None:
        """Nothing of a feed stays, and nothing of another one goes."""
        body = Body.of([b"calendar"])
        for name in ("sales", "office"):
            ledger.sources.keep_snapshot(name, snapshot(body), body)
        ledger.sources.forget("sales")
        assert (
            ledger.sources.snapshot("sales"),
            ledger.sources.body("sales", body.digest),
        ) == (None, None)
        assert (
            ledger.sources.snapshot("office"),
            ledger.sources.body("office", body.digest),
        ) == (
            snapshot(body),
            body,
        )


class TestSqliteLedger(LedgerContract):
    """The contract on a SQLite file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> LedgerAddress:
        """A ledger that is not there yet, in a path with characters that mean something elsewhere."""
        directory = tmp_path / "50% of #1 ü"
        directory.mkdir()
        return LedgerAddress(f"sqlite:///{directory / 'state.db'}")


class TestPostgresLedger(LedgerContract):
    """The contract on a PostgreSQL database."""

    @pytest.fixture
    def url(self, database: str, tmp_path: Path) -> LedgerAddress:
        """A ledger in which nothing is yet."""
        return LedgerAddress(database, own=tmp_path)


@pytest.mark.slow
class TestPooledLedger(LedgerContract):
    """The contract on a PostgreSQL database behind a pooler that has one connection."""

    @pytest.fixture
    def url(self, pooled: str, tmp_path: Path) -> LedgerAddress:
        """A ledger in which nothing is yet."""
        return LedgerAddress(pooled, own=tmp_path)


# SQLite: the file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the ledger is to be."""
    return tmp_path / "state.db"


def open_as_owner(file: Path, patience_s: float = 5.0) -> Ledger:
    """The ledger in a file, with its owner."""
    return Ledger.open(f"sqlite:///{file}", owner=True, patience_s=patience_s)


def open_beside(file: Path) -> Ledger:
    """The ledger in a file, as `status` opens it."""
    return Ledger.open(f"sqlite:///{file}", owner=False)


def raw(file: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Change the file behind the ledger's back; the rows of the last statement."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        return [connection.execute(statement).fetchall() for statement in statements][
            -1
        ]
    finally:
        connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "state = 'unheard of'",
        "reservation_id = NULL",
        "state = 'approval', reservation_id = NULL",
        "state = 'cancelling', reservation_id = NULL",
        "state = 'released', reservation_id = NULL",
        "reservation_id = ''",
        "mark = ''",
        "content = NULL, pending = 'x'",
        "state = 'sending', pending = 'x', attempted_at = NULL",
        "state = 'sending', pending = NULL, attempted_at = 1",
        "state = 'ended', content = NULL, pending = NULL",
        "generation = -1",
    ],
)
def test_the_database_itself_refuses_wrong_states(file: Path, change: str) -> None:
    """A booking that cannot be is refused by a constraint, whoever writes it."""
    with open_as_owner(file) as ledger:
        ledger.bookings.record(booked(mark="m"), at=NOW, what="test")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        raw(file, f"UPDATE bookings SET {change}")


def test_files_are_private(file: Path) -> None:
    """Database, log, shared memory and lock are readable by their owner alone, whatever was there before."""
    file.touch(mode=0o644)
    file.chmod(0o644)
    with open_as_owner(file) as ledger:
        ledger.bookings.record(booked(), at=NOW, what="test")
        modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in file.parent.iterdir()}
    assert modes == dict.fromkeys(FILES, 0o600)


def test_all_stores_write_through_one_gate() -> None:
    """Only the gate begins writing transactions of the database, but for what the gate rests on itself.

    That are the conversion of the schema, the lease behind the fence, calls that are counted beforehand, and
    the move of a ledger into a database that nobody works on yet.
    """
    found = [
        f"{path.name}: {ast.unparse(call.func)}"
        for path in sorted(Path(ledger_package.__file__).parent.glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".writing")
    ]
    others = [call for call in found if "self._gate.writing" not in call]
    assert others == [
        "database.py: self.writing",
        "gate.py: self._database.writing",
        *["gate.py: self.writing"] * 3,
        *["leases.py: self._database.writing"] * 5,
        "moving.py: self.database.writing",
        *["moving.py: self._target.writing"] * 4,
        "paid_calls.py: self._database.writing",
    ]


def test_an_absent_ledger_is_empty_for_a_reader(file: Path) -> None:
    """Looking at a ledger that is not there, or is just being created, shows nothing and creates nothing."""
    with open_beside(file) as reader:
        assert reader.bookings.fresh
        assert (
            reader.bookings.current(),
            reader.sources.all(),
            reader.calls.in_month(NOW),
        ) == ((), {}, 0)
    assert list(file.parent.iterdir()) == []
    file.touch()
    with open_beside(file) as reader:
        assert reader.bookings.current() == ()
    assert file.stat().st_size == 0


def test_a_reader_beside_the_owner(file: Path) -> None:
    """A reader sees what the owner recorded, and the owner what was approved beside it."""
    with open_as_owner(file) as ledger, open_beside(file) as reader:
        stored = ledger.bookings.record(booked(), at=NOW, what="test")
        assert reader.bookings.current() == stored
        reader.people.approve("c1", NOW, "ann")
        assert ledger.people.approved() == {"c1"}


def test_two_writers_wait_for_each_other(file: Path) -> None:
    """Commands that write beside the owner cost nobody a write, also where reading comes first."""

    def write(ledger: Ledger, source: str) -> None:
        for number in range(50):
            reading = ReadingRecord(
                source=source,
                at=NOW,
                state="unreadable",
                complete=False,
                events=0,
                digest="",
                error=f"{number}",
                defects=[],
            )
            ledger.sources.record_readings([reading])

    with (
        open_as_owner(file) as ledger,
        open_beside(file) as beside,
        ThreadPoolExecutor(3) as threads,
    ):
        both = ((ledger, "office"), (beside, "office"), (ledger, "sales"))
        for writer in [threads.submit(write, *which) for which in both]:
            writer.result()
        assert {s.name: s.failures for s in ledger.sources.all().values()} == {
            "office": 100,
            "sales": 50,
        }


def test_the_second_start_needs_no_alembic(file: Path) -> None:
    """A ledger that is up to date opens without importing Alembic, for owner and reader."""
    open_as_owner(file).close()
    code = "open_as_owner(file).close(); open_beside(file).close(); print('alembic' in sys.modules)"
    assert finished(child(file, code)) == (0, "False\n")


def test_who_lives_for_long_keeps_nothing_of_a_conversion(file: Path) -> None:
    """A ledger that is created, or converted, aside is that of its owner, who loads no Alembic for it."""
    code = """
        from syncd.ledger import Ledger
        with Ledger.open(f"sqlite:///{file}", owner=True, converts_aside=True) as ledger:
            ledger.bookings.record(booked(), at=NOW, what="test")
        print("alembic" in sys.modules)
    """
    assert finished(child(file, code)) == (0, "False\n")
    with open_as_owner(file) as ledger:
        assert [booking.key for booking in ledger.bookings.current()] == [booked().key]


def test_what_cannot_be_converted_aside_is_told_by_the_owner(file: Path) -> None:
    """A revision that never was is named as when the owner converts the ledger itself."""
    open_as_owner(file).close()
    raw(file, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(LedgerError, match="not a ledger of syncd"):
        Ledger.open(f"sqlite:///{file}", owner=True, converts_aside=True)


def test_the_newest_migration_is_the_head() -> None:
    """The revision that is looked for at the start is the one that the migrations lead to."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]


@pytest.mark.parametrize(
    ("read", "tables"),
    [
        (lambda ledger: ledger.bookings.current(), {"one_current"}),
        (lambda ledger: ledger.bookings.of("a"), {"bookings_by_uid"}),
        (
            lambda ledger: ledger.bookings.concerned({"a"}, {"m"}),
            {"bookings_by_uid", "one_current_mark"},
        ),
        (lambda ledger: ledger.bookings.holders({"7"}), {"one_current_reservation"}),
        (lambda ledger: ledger.bookings.recorded({"7"}), {"closed_reservations"}),
        (lambda ledger: ledger.bookings.in_doubt(NOW), {"bookings_by_uid"}),
        (lambda ledger: ledger.bookings.unsettled(NOW), {"bookings_by_uid"}),
        (lambda ledger: ledger.bookings.cancels_since(NOW), {"bookings_by_state"}),
        (
            lambda ledger: ledger.bookings.next_generations(
                [OccurrenceKey("", "a", None)]
            ),
            {"autoindex_generations"},
        ),
        (lambda ledger: ledger.bookings.history(1), {"history_by_booking"}),
        (
            lambda ledger: ledger.history.steps(
                StepFilter(NOW, NOW + MINUTE, source="s", room_id="r")
            ),
            {"history_by_time", "history_by_booking"},
        ),
        (
            lambda ledger: ledger.history.steps(StepFilter(since=NOW, uid="a")),
            {"bookings_by_uid", "history_by_booking"},
        ),
        (lambda ledger: ledger.bookings.open(), {"open_bookings"}),
        (lambda ledger: ledger.bookings.count_by_state(), {"COVERING INDEX"}),
        (
            lambda ledger: ledger.timetable.between(NOW, NOW + MINUTE),
            {"bookings_by_time"},
        ),
        (
            lambda ledger: ledger.timetable.between(NOW, NOW + MINUTE, {"r"}),
            {"bookings_by_room"},
        ),
        (
            lambda ledger: ledger.timetable.between(NOW, NOW + MINUTE, sources={"s"}),
            {"bookings_by_time"},
        ),
        (lambda ledger: ledger.timetable.has_room("r"), {"bookings_by_room"}),
        (lambda ledger: ledger.timetable.has_source("s"), {"COVERING INDEX"}),
        (lambda ledger: ledger.timetable.uid_of("k"), {"bookings_by_event"}),
        (lambda ledger: ledger.prune(NOW), {"bookings_by_state", "SEARCH history"}),
    ],
    ids=[
        "current",
        "by UID",
        "concerned",
        "holders",
        "recorded",
        "in doubt",
        "unsettled",
        "cancels",
        "generation",
        "history",
        "steps of a time",
        "steps of an event",
        "open",
        "by state",
        "of a time",
        "of a room and time",
        "of a source and time",
        "a room",
        "a source",
        "by the key of an event",
        "prune",
    ],
)
def test_reads_are_indexed(
    file: Path, read: Callable[[Ledger], object], tables: set[str]
) -> None:
    """What a quiet cycle asks of bookings uses an index: the cost does not follow what is over."""
    asked: list[tuple[str, Any]] = []
    with open_as_owner(file) as ledger:

        def note(
            _c: object, _cursor: object, statement: str, parameters: Any, *_rest: object
        ) -> None:
            if any(
                name in statement for name in ("bookings", "history", "generations")
            ):
                asked.append((statement, parameters))

        event.listen(engine_of(ledger), "before_cursor_execute", note)
        read(ledger)
    connection = sqlite3.connect(file)
    plans = [
        str(connection.execute(f"EXPLAIN QUERY PLAN {q}", p).fetchall())
        for q, p in asked
    ]
    connection.close()
    assert plans
    for plan in plans:
        assert any(name in plan for name in tables), plan
        assert "'SCAN bookings'" not in plan, "every row is read"


# SQLite: rivals and kills

_CHILD = f"""
import os, signal, sys
from pathlib import Path
from syncd import migrations
from syncd.core.reasons import Evidence, Reason
from syncd.ledger.sqlite import begin_transaction, open_engine
from {__name__} import NOW, SPEC, booked, cancelled, open_as_owner, open_beside, wish

file = Path(sys.argv[1])

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def child(file: Path, code: str) -> subprocess.Popen[str]:
    """Another process that runs some code on the ledger in `file`."""
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD + textwrap.dedent(code), str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How a process ended, and all that it said."""
    with process:
        out, err = process.communicate(timeout=HANG_S)
    return process.returncode, out + err


def test_one_owner(file: Path) -> None:
    """A second owner is told the process id of the first; a killed owner is none."""
    code = "ledger = open_as_owner(file); print('open', flush=True); signal.pause()"
    with child(file, code) as rival:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "open\n"
        with pytest.raises(LedgerLocked, match=f"Process {rival.pid} owns the ledger"):
            open_as_owner(file)
        rival.kill()
    open_as_owner(file).close()


def test_one_owner_within_a_process(file: Path) -> None:
    """A process does not own a ledger twice, and the failed attempt does not cost it the first."""
    with open_as_owner(file):
        with pytest.raises(LedgerLocked, match=str(os.getpid())):
            open_as_owner(file)
        code, said = finished(child(file, "open_as_owner(file)"))
        assert (code, f"LedgerLocked: Process {os.getpid()} owns" in said) == (1, True)
    open_as_owner(file).close()


def test_a_worker_does_not_inherit_ownership(file: Path) -> None:
    """When the owner is killed, a worker process that it forked does not keep the ledger locked."""
    code = """
        ledger = open_as_owner(file)
        worker = os.fork()
        if worker == 0:
            signal.alarm(60)
            signal.pause()
        print(worker, flush=True)
        die()
    """
    with child(file, code) as owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        try:
            assert owner.wait(timeout=HANG_S) == -signal.SIGKILL
            open_as_owner(file).close()
        finally:
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize(
    ("steps", "state", "what"),
    [
        (1, BookingState.SENDING, "create"),
        (2, BookingState.BOOKED, "created"),
        (3, BookingState.SENDING, "update"),
        (4, BookingState.BOOKED, "updated"),
        (5, BookingState.CANCELLING, "cancel"),
        (6, BookingState.CANCELLED, "cancelled"),
    ],
)
def test_the_protocol_survives_a_kill_between_any_two_steps(
    file: Path, steps: int, state: BookingState, what: str
) -> None:
    """A process that kills itself right after a step leaves exactly that step, with its whole history."""
    code = f"""
        ledger = open_as_owner(file)

        def step(number, booking, what):
            (stored,) = ledger.bookings.record(booking, at=NOW, what=what)
            if number == {steps}:
                die()
            return stored

        b = step(1, wish(mark="m").sending(SPEC, "o", NOW), "create")
        b = step(2, b.booked("77"), "created")
        b = step(3, b.sending(SPEC.in_room("r2"), "p", NOW), "update")
        b = step(4, b.booked("77"), "updated")
        b = step(5, b.cancelling(Reason.EVENT_GONE, Evidence.SHOWN, "", NOW), "cancel")
        b = step(6, cancelled(b, Evidence.SHOWN), "cancelled")
    """
    assert finished(child(file, code)) == (-signal.SIGKILL, "")
    with open_as_owner(file) as ledger:
        (booking,) = ledger.bookings.all()
        assert (booking.state, booking.mark) == (state, "m")
        assert booking.reservation_id == (None if steps == 1 else "77")
        assert booking.room_id == ("r1" if steps < 4 else "r2")
        history = ledger.bookings.history(booking.row)
        assert (len(history), history[-1].what) == (steps, what)
        assert not ledger.bookings.fresh


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_acknowledged(
    file: Path,
) -> None:
    """Whatever `record` returned before the kill is there, whole, and nothing is there by half."""
    code = """
        ledger = open_as_owner(file)
        for number in range(100000):
            intent = wish(f"{number:06}").sending(SPEC, "o", NOW)
            (stored,) = ledger.bookings.record(intent, at=NOW, what="create")
            ledger.bookings.record(stored.booked(str(number)), at=NOW, what="created")
            print(number, flush=True)
    """
    with child(file, code) as writer:
        assert writer.stdout is not None
        for _ in range(40):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    acknowledged = max(
        [acknowledged, *(int(line) for line in rest if line.endswith("\n"))]
    )
    with open_as_owner(file) as ledger:
        found = ledger.bookings.current()
        assert acknowledged + 1 <= len(found) <= acknowledged + 2
        assert all(b.state is BookingState.BOOKED for b in found[: acknowledged + 1])
        for booking in found:
            lines = len(ledger.bookings.history(booking.row))
            assert lines == (2 if booking.state is BookingState.BOOKED else 1)


def test_a_kill_in_the_middle_of_an_upgrade_changes_nothing(file: Path) -> None:
    """A migration that did not end left nothing; the next start does it whole."""
    code = """
        engine = open_engine(file, 5.0, owner=True)
        writer = engine.execution_options(writes=True)
        with begin_transaction(writer, look=False) as connection:
            migrations.upgrade(connection)
            assert migrations.revision_of(connection) == migrations.HEAD
            die()
    """
    assert finished(child(file, code)) == (-signal.SIGKILL, "")
    with open_beside(file) as reader:
        assert reader.bookings.fresh
    with open_as_owner(file) as ledger:
        ledger.bookings.record(booked(), at=NOW, what="test")


def test_a_feed_of_an_earlier_version_is_read_as_a_whole_once(file: Path) -> None:
    """An upgrade keeps how long a server is left alone, and believes no body whose digest nobody knows."""
    bring_to(file, "0003")
    raw(
        file,
        """INSERT INTO snapshots VALUES ('sales', 'i', 'd', x'00', '', '"1"', '', 't', 0, 3, 60000)""",
    )
    with open_as_owner(file) as ledger:
        kept = ledger.sources.snapshot("sales")
        assert kept is not None
        assert (kept.digest, kept.failures) == ("", 3)
        assert kept.wait_until == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
        assert ledger.sources.body("sales", "") is None
        assert raw(
            file,
            "SELECT count(*) FROM pragma_table_info('snapshots') WHERE name = 'body'",
        ) == [(0,)]


def test_what_an_earlier_version_leaves_out_is_planned_once_more(file: Path) -> None:
    """An upgrade makes the events ready that are not booked by a rule, so that it is known by which."""
    bring_to(file, "0013")
    raw(
        file,
        "INSERT INTO agenda (uid, due_at, skipped) VALUES ('free', NULL, 2), ('booked', NULL, 0)",
    )
    with open_as_owner(file) as ledger:
        assert ledger.worklist.ready(NOW) == {"free"}
        assert ledger.worklist.skips() == {}


def test_an_index_of_an_earlier_version_is_kept(file: Path) -> None:
    """An upgrade moves what is known of a source to one bucket, and forgets nothing of it."""
    bring_to(file, "0009")
    raw(file, "INSERT INTO inventories VALUES ('folder', 'whole')")
    raw(file, "INSERT INTO inventory_parts VALUES ('folder', 1, x'02')")
    raw(file, "INSERT INTO inventory_parts VALUES ('folder', 0, x'01')")
    with open_as_owner(file) as ledger:
        assert ledger.worklist.index_of("folder") == {0: b"\x01\x02"}
        assert ledger.worklist.standing_of("folder") == "whole"


def test_buckets_of_an_index_are_replaced_one_by_one(file: Path) -> None:
    """A bucket that did not change is not written again, an empty one is dropped, and no other source's."""
    with open_as_owner(file) as ledger:
        record = partial(ledger.worklist.record_scan, at=NOW)
        for source in ("a", "b"):
            stored = {0: [b"0"], 1: [b"1"], 2: [b"2", b"!"]}
            record(source, stored, "whole", at=NOW, whole=True, kept={})
        rows = "SELECT rowid FROM inventory_buckets WHERE source = 'a' AND bucket = 2"
        before = raw(file, rows)
        record("a", {1: (), 3: [b"3"]}, "in part", at=NOW, whole=False, kept={})
        assert raw(file, rows) == before
        index_of = ledger.worklist.index_of
        assert index_of("a") == {0: b"0", 2: b"2!", 3: b"3"}
        record("a", {0: [b"new"]}, "whole", at=NOW, whole=True, kept={})
        assert index_of("a") == {0: b"new"}
        assert index_of("b") == {0: b"0", 1: b"1", 2: b"2!"}


# SQLite: what can be wrong


def test_another_version(file: Path) -> None:
    """A later schema is refused; an earlier one is refused by a reader, who may not convert it."""
    open_as_owner(file).close()
    raw(file, "UPDATE alembic_version SET version_num = '9999'")
    for attempt in (open_as_owner, open_beside):
        with pytest.raises(
            LedgerTooNew, match="later version of syncd: install that version"
        ):
            attempt(file)
    raw(file, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(LedgerError, match="earlier version of syncd: start"):
        open_beside(file)
    # A revision that never was.
    with pytest.raises(LedgerError, match="not a ledger of syncd"):
        open_as_owner(file)


@pytest.mark.parametrize("attempt", [open_as_owner, open_beside])
def test_another_file(file: Path, attempt: Callable[[Path], Ledger]) -> None:
    """A text, or the database of another program, is named as such and left as it is."""
    file.write_text("BEGIN:VCALENDAR\n" * 500)
    with pytest.raises(LedgerError, match=r"not a ledger of syncd: correct state\.url"):
        attempt(file)
    assert file.read_text() == "BEGIN:VCALENDAR\n" * 500
    file.unlink()
    raw(file, "CREATE TABLE songs (title TEXT)")
    with pytest.raises(LedgerError, match=r"not a ledger of syncd: correct state\.url"):
        attempt(file)
    assert raw(file, "SELECT name FROM sqlite_master") == [("songs",)]


def test_a_damaged_ledger(file: Path) -> None:
    """Overwritten pages are reported with the ways to get the ledger back."""
    with open_as_owner(file) as ledger:
        ledger.bookings.record(
            *(booked(f"{n}") for n in range(100)), at=NOW, what="test"
        )
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(size // 4)
        damaged.write(b"\xa5" * (size // 2))
    told = r"damaged: restore it from a backup, or .*syncd adopt --apply"
    with pytest.raises(LedgerError, match=told), open_as_owner(file) as ledger:
        ledger.bookings.all()


def test_a_row_that_makes_no_sense(file: Path) -> None:
    """Content edited by hand into nonsense is an error that names the booking, not a guess."""
    with open_as_owner(file) as ledger:
        (stored,) = ledger.bookings.record(booked(), at=NOW, what="test")
        raw(file, "UPDATE bookings SET content = '{}'")
        with pytest.raises(LedgerError, match=f"Booking {stored.row} of the ledger"):
            ledger.bookings.current()
        raw(
            file,
            "INSERT INTO quarantine VALUES ('office', '', 'a', 1, 'unheard of', '', 0, '', '')",
        )
        with pytest.raises(LedgerError, match="The quarantine of the ledger"):
            ledger.sources.quarantine()


def test_a_foreign_writer(file: Path) -> None:
    """A program that keeps the database locked is reported after the patience, and hurts nothing."""
    with open_as_owner(file, patience_s=0.05) as ledger:
        rival = sqlite3.connect(file, isolation_level=None)
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            LedgerError, match=r"Another program keeps the ledger .* locked"
        ):
            ledger.bookings.record(booked(), at=NOW, what="test")
        assert ledger.bookings.current() == ()
        rival.close()
        ledger.bookings.record(booked(), at=NOW, what="test")


def test_a_missing_directory(tmp_path: Path) -> None:
    """An owner is told about a directory that is not there; a reader sees an empty ledger."""
    file = tmp_path / "absent" / "state.db"
    with pytest.raises(
        LedgerError, match=r"directory .*absent of the ledger does not exist: create it"
    ):
        open_as_owner(file)
    with open_beside(file) as reader:
        assert reader.bookings.fresh


@pytest.mark.parametrize(
    "url",
    ["state.db", "postgresql://u:secret@db/s", "sqlite://", "sqlite:///a?mode=ro"],
)
def test_another_kind_of_url(url: str) -> None:
    """A URL that is no SQLite file is refused without repeating it: it may hold a password."""
    with pytest.raises(LedgerError, match="sqlite:////absolute/path") as caught:
        Ledger.open(url, owner=True)
    assert "secret" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little space."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)]
    if (
        os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode != 0
    ):
        pytest.skip("a small file system can be mounted by root only")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """A full disk is reported; all that was acknowledged is there, and with space it goes on."""
    file, filler = small_disk / "state.db", small_disk / "filler"
    stored: list[Booking] = []
    with open_as_owner(file) as ledger:
        stored += ledger.bookings.record(booked("first"), at=NOW, what="test")
        free = os.statvfs(small_disk)
        filler.write_bytes(b"x" * (free.f_bavail * free.f_bsize - 65536))

        def fill() -> None:
            for number in range(500):
                stored.extend(
                    ledger.bookings.record(booked(f"{number:03}"), at=NOW, what="test")
                )

        with pytest.raises(LedgerError, match="is full: free some space"):
            fill()
        assert set(ledger.bookings.current()) == set(stored)
        filler.unlink()
        stored += ledger.bookings.record(booked("last"), at=NOW, what="test")
    with open_as_owner(file) as ledger:
        assert set(ledger.bookings.current()) == set(stored)


def test_a_read_only_disk(small_disk: Path) -> None:
    """A ledger on a file system that became read-only is reported with the reason and the cure."""
    file = small_disk / "state.db"
    open_as_owner(file).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(
        LedgerError,
        match=r"cannot be used \(Read-only file system\): correct the owner",
    ):
        open_as_owner(file)


def test_a_first_run_as_root_leaves_the_files_to_the_service(tmp_path: Path) -> None:
    """What root creates belongs to the owner of the directory, or the service could not open it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(tmp_path, 65534, 65534)
    with open_as_owner(tmp_path / "state.db") as ledger:
        ledger.bookings.record(booked(), at=NOW, what="test")
        owners = {f.name: f.stat().st_uid for f in tmp_path.iterdir()}
    assert owners == dict.fromkeys(FILES, 65534)
