"""Random histories of an office, against what a cycle guarantees, with the real parts of the program.

The machine edits, damages and mends calendars, changes the configuration, kills and restarts the program,
loses, holds up and repeats its requests, puts old ledgers back, and lets people and strangers book.
After each cycle it asks what was done and on what grounds; when all is well again, the API must say what
the calendars say.

The long profile has 2,000 histories: `python -m pytest tests/machine --hypothesis-profile=long`.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import stamina
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from syncd.core.decisions import Decision, Verdict
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import Booking, BookingState
from syncd.reconciler import LEFTOVERS
from tests.machine.calendars import (
    CONFIRMATIONS,
    DAMAGES,
    FILES,
    FIRST_DAY,
    UIDS,
    Calendars,
    Damage,
    Event,
    Heard,
    Key,
    Meeting,
    Memory,
    file_of,
)
from tests.machine.world import ROOMS, STRANGER, VALIDITY, Cycle, HoldUp, Kill, Rules, Trouble, World

LIVE = (1, 2)
BOOKABLE = timedelta(days=7)  # as the booking rules of a new tenant say
LATE_S = 0.3
ROUNDS = 15

sources = st.sampled_from(tuple(FILES))
files = st.sampled_from([name for names in FILES.values() for name in names])
uids = st.sampled_from(UIDS)
starts = st.builds(
    lambda day, hour: FIRST_DAY + timedelta(days=day, hours=hour), st.integers(1, 12), st.integers(9, 11)
)
minutes = st.sampled_from([30, 60, 60, 120])
rooms = st.sampled_from([(), ("red",), ("red",), ("green",), ("blue",), ("red", "green"), ("green", "blue")])
withdrawn = st.sampled_from(["", "", "", "STATUS:CANCELLED", "TRANSP:TRANSPARENT"])

_WORK = ("done", "none")
_OPERATIONS = ("write", "create", "modify", "cancel", "read", "any", "list", "get")
_KINDS = (
    *("lost", "closed", "expired", "quota", "unsubscribed", "duplicate", "refuse"),
    *(f"{kind}:work={work}" for kind in ("error", "gateway", "garbage", "false") for work in _WORK),
)
faults = st.builds(
    lambda kind, on, after, times: f"{kind}{',' if ':' in kind else ':'}on={on},after={after},times={times}",
    st.sampled_from(_KINDS),
    st.sampled_from(_OPERATIONS),
    st.integers(0, 3),
    st.integers(1, 3),
)


@dataclass
class Touched:
    """What a person did to a reservation, and what its meeting was in the calendars then."""

    cancelled: bool
    key: Key | None
    meant: Meeting | None
    edits: int


class Office(RuleBasedStateMachine):
    """Anything that can happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.well = True
        self.revision = 0
        self.names = 0
        self.edits: Counter[Key] = Counter()
        self.touched: dict[str, Touched] = {}
        self.held: dict[str, set[str]] = {}  # reservations by the checksum under which they were held
        self.approved: set[str] = set()
        self.copied: dict[str, Memory] = {}
        self.put_back = False  # an old ledger, or none
        self.unrecognised = False  # one that could not be told from the present one
        self.delivered_twice = False
        self.shown: list[tuple[datetime, str]] = []

    @initialize(
        marker=st.sampled_from([True, True, True, False]),
        on_change=st.sampled_from(["accept", "accept", "repair", "report"]),
        on_cancel=st.sampled_from(["respect", "respect", "rebook"]),
        there=st.lists(st.tuples(sources, uids, starts, rooms), max_size=6),
    )
    def begin(self, marker: bool, on_change: str, on_cancel: str, there: list[Any]) -> None:
        shared_memory = Path("/dev/shm")  # each commit waits for the disk, and this one is quick
        where = shared_memory if shared_memory.is_dir() else None
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=where))
        self.world = World(Path(folder), Rules(marker=marker, on_change=on_change, on_cancel=on_cancel))
        self._stack.callback(self.world.close)
        self.calendars = Calendars(Path(folder))
        for source, uid, start, room in there:
            self.put(source, uid, Event(self.new(uid, start, 60, room)))

    # Calendars

    def new(self, title: str, start: datetime, length: int, room: tuple[str, ...], off: str = "") -> Meeting:
        self.revision += 1
        return Meeting(title, start, length, room, self.revision, off)

    def put(self, source: str, uid: str, event: Event | None) -> None:
        """Let a calendar say this of a UID from now on; None: nothing."""
        events = self.calendars.events[source]
        before = self.calendars.truth(self.world.rules.sources)
        if event is None:
            events.pop(uid, None)
        else:
            events[uid] = event
        self._count_edits(before)

    def _count_edits(self, before: dict[Key, Meeting]) -> None:
        after = self.calendars.truth(self.world.rules.sources)
        self.edits.update(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))

    @rule(source=sources, uid=uids, start=starts, length=minutes, room=rooms, off=withdrawn)
    def put_single(
        self, source: str, uid: str, start: datetime, length: int, room: tuple[str, ...], off: str
    ) -> None:
        self.put(source, uid, Event(self.new(uid, start, length, room, off)))

    @rule(
        source=sources, uid=uids, start=starts, room=rooms, every=st.integers(1, 3), count=st.integers(2, 5)
    )
    def put_series(
        self, source: str, uid: str, start: datetime, room: tuple[str, ...], every: int, count: int
    ) -> None:
        self.put(source, uid, Event(self.new(uid, start, 60, room), every, count))

    @rule(data=st.data(), start=starts, length=minutes, room=rooms, off=withdrawn, what=st.integers(0, 5))
    def edit(
        self, data: st.DataObject, start: datetime, length: int, room: tuple[str, ...], off: str, what: int
    ) -> None:
        """An event moves, changes rooms, is taken back; a series loses a date, is cut short or moved."""
        there = [(s, u) for s, events in self.calendars.events.items() for u in sorted(events)]
        if not there:
            return
        source, uid = data.draw(st.sampled_from(there))
        event = self.calendars.events[source][uid]
        main = event.main
        number = data.draw(st.integers(0, event.count - 1))
        match what:
            case 0:
                changed = self.new(main.title, main.start, length, room, off)
                self.put(source, uid, replace(event, main=changed))
            case 1:
                # An override says more than the series from which it is taken.
                meeting = self.new(f"{main.title}{number}", start, length, room, off)
                if event.every:
                    self.put(source, uid, replace(event, changed={**event.changed, number: meeting}))
                else:
                    self.put(source, uid, replace(event, main=meeting))
            case 2:
                self.put(source, uid, replace(event, left_out=event.left_out | {number}))
            case 3:
                self.put(source, uid, replace(event, count=number + 1))
            case 4:
                moved = self.new(main.title, start, main.minutes, main.rooms)
                self.put(source, uid, replace(event, main=moved))
            case _:
                self.put(source, uid, None)

    @rule(data=st.data())
    def exchange(self, data: st.DataObject) -> None:
        """Meetings take each other's rooms, all at once."""
        there = [(s, u) for s, events in self.calendars.events.items() for u in sorted(events)]
        if len(there) < 2:
            return
        chosen = data.draw(st.lists(st.sampled_from(there), min_size=2, max_size=3, unique=True))
        mains = [self.calendars.events[source][uid].main for source, uid in chosen]
        for (source, uid), main, place in zip(chosen, mains, mains[1:] + mains[:1], strict=True):
            moved = self.new(main.title, place.start, place.minutes, place.rooms, main.withdrawn)
            self.put(source, uid, replace(self.calendars.events[source][uid], main=moved))

    @rule(uid=uids, origin=sources, other=sources)
    def share(self, uid: str, origin: str, other: str) -> None:
        """The same event in two calendars."""
        if event := self.calendars.events[origin].get(uid):
            self.put(other, uid, event)

    @rule(source=sources)
    def clear(self, source: str) -> None:
        for uid in list(self.calendars.events[source]):
            self.put(source, uid, None)

    @rule(source=sources)
    def rename_all(self, source: str) -> None:
        """A calendar that makes new UIDs at each export."""
        self.names += 1
        for uid, event in sorted(self.calendars.events[source].items()):
            self.put(source, uid, None)
            self.put(source, f"{uid[0]}{self.names}", event)

    @rule(name=files, kind=st.sampled_from(DAMAGES), share=st.sampled_from([0.1, 0.5, 0.9]), data=st.data())
    def damage(self, name: str, kind: str, share: float, data: st.DataObject) -> None:
        source = next(source for source, names in FILES.items() if name in names)
        there = [uid for uid in sorted(self.calendars.events[source]) if file_of(source, uid) == name]
        if kind == "broken event" and not there:
            return
        uid = data.draw(st.sampled_from(there)) if kind == "broken event" else ""
        self.calendars.damage[name] = Damage(kind, share, uid)

    @rule()
    def repair(self) -> None:
        self.calendars.damage.clear()

    # Configuration

    @rule(
        names=st.sets(sources, min_size=1),
        kept=st.sets(st.sampled_from(tuple(ROOMS)), min_size=2),
        mode=st.sampled_from(["full", "full", "observe", "create-only", "no-cancel"]),
        what=st.integers(0, 3),
    )
    def configure(self, names: set[str], kept: set[str], mode: str, what: int) -> None:
        rules = self.world.rules
        match what:
            case 0:
                rules = replace(rules, sources=tuple(name for name in FILES if name in names))
            case 1:
                rules = replace(rules, rooms=tuple(room for room in ROOMS if room in kept))
            case 2:
                rules = replace(rules, mode=mode)
            case _:
                rules = self._ordinary()
        self._configure(rules)

    def _ordinary(self) -> Rules:
        return replace(self.world.rules, sources=tuple(FILES), rooms=tuple(ROOMS), mode="full")

    def _configure(self, rules: Rules) -> None:
        before = self.calendars.truth(self.world.rules.sources)
        if rules.rooms != self.world.rules.rooms:
            self.edits.update(before.keys())  # what was decided about a room may not outlive the room
        self.world.configure(rules)
        self._count_edits(before)

    # People

    def _ours(self) -> dict[str, dict[str, Any]]:
        everything = self.world.reservations()
        return {i: r for i, r in everything.items() if r["creator"] != STRANGER and r["status"] in LIVE}

    @rule(data=st.data(), what=st.sampled_from(["cancel", "extend", "rename", "move"]))
    def touch(self, data: st.DataObject, what: str) -> None:
        """A person does something to one of our reservations in Tuya."""
        ours = self._ours()
        if not ours:
            return
        chosen = data.draw(st.sampled_from(sorted(ours)))
        there = ours[chosen]
        match what:
            case "cancel":
                self.world.edit_by_hand(chosen, status=3)
            case "extend":
                self.world.edit_by_hand(chosen, end_time=there["end_time"] + 1_800_000)
            case "rename":
                self.world.edit_by_hand(chosen, topic="Renamed by hand")
            case "move":
                self.world.edit_by_hand(chosen, room_id=ROOMS[data.draw(st.sampled_from(tuple(ROOMS)))])
        booking = self._bookings().get(chosen)
        key = _key(booking) if booking else None
        truth = self.calendars.truth(self.world.rules.sources)
        self.touched[chosen] = Touched(
            cancelled=what == "cancel",
            key=key,
            meant=truth.get(key) if key else None,
            edits=self.edits[key] if key else 0,
        )

    @rule(start=starts, length=minutes, room=st.sampled_from(tuple(ROOMS)))
    def stranger(self, start: datetime, length: int, room: str) -> None:
        self.world.book_for_a_stranger(start, length, room)

    @rule()
    def approve(self) -> None:
        """A person releases what is held, if anything is."""
        with self.world.ledger() as ledger:
            checksum = (ledger.get_fact("held") or "").partition(" ")[0]
            if checksum in self.held:
                ledger.approve(checksum, self.world.now, "somebody")
                self.approved |= self.held[checksum]

    # Ledgers

    @rule()
    def back_up(self) -> None:
        self.world.back_up()
        self.copied = copy.deepcopy(self.calendars.memory)

    @rule(beside=st.booleans())
    def restore(self, beside: bool) -> None:
        if self.world.restore(beside=beside):
            self._note_other_ledger(self.copied, recognised=not beside)

    @precondition(lambda self: self.world.rules.marker)
    @rule(beside=st.booleans())
    def lose(self, beside: bool) -> None:
        self.world.lose(beside=beside)
        self._note_other_ledger({source: Memory() for source in FILES}, recognised=True)

    def _note_other_ledger(self, memory: dict[str, Memory], *, recognised: bool) -> None:
        self.put_back = True
        self.unrecognised |= not (recognised and self.world.rules.marker)
        self.calendars.memory = copy.deepcopy(memory)
        self.shown.clear()

    # Time and network

    @rule(much=st.sampled_from([1, 1, 3, 6, 70, 70, 1500]))
    def wait(self, much: int) -> None:
        self.world.pass_time(timedelta(minutes=much))

    @rule()
    def lag(self) -> None:
        self.world.lag()

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.world.letters:
            self.world.deliver(data.draw(st.sampled_from(self.world.letters)))

    # Cycles

    @rule()
    def cycle(self) -> None:
        self._cycle(Trouble())

    @rule(force=st.booleans())
    def another_cycle(self, force: bool) -> None:
        self._cycle(Trouble(), force=force)

    @rule(struck=st.lists(faults, min_size=1, max_size=2))
    def cycle_with_faults(self, struck: list[str]) -> None:
        self._cycle(self._with(struck))

    @rule(step=st.integers(1, 30), after=st.booleans(), struck=st.lists(faults, max_size=1))
    def killed_cycle(self, step: int, after: bool, struck: list[str]) -> None:
        self._cycle(replace(self._with(struck), kill=Kill(step, after)))

    @rule(write=st.integers(1, 3), arrives=st.booleans(), killed=st.booleans())
    def cycle_with_a_request_held_up(self, write: int, arrives: bool, killed: bool) -> None:
        self._cycle(Trouble(hold_up=HoldUp(write, arrives, killed)))

    @rule(kind=st.sampled_from(["late", "slow"]), after=st.integers(0, 2), rare=st.integers(0, 4))
    def cycle_with_a_late_answer(self, kind: str, after: int, rare: int) -> None:
        """The server itself is late, in real time, which costs time; so it is rare."""
        if rare == 4:
            began = time.monotonic()
            fault = f"{kind}:seconds={LATE_S},on=write,times=1,after={after}"
            self._cycle(Trouble((fault,), timeout_s=LATE_S / 2))
            time.sleep(max(0.0, LATE_S * 1.5 - (time.monotonic() - began)))

    def _with(self, struck: list[str]) -> Trouble:
        """Without marks two equal reservations cannot be told apart, so nothing is delivered twice."""
        marked = self.world.rules.marker
        return Trouble(tuple(fault for fault in struck if marked or not fault.startswith("duplicate")))

    def _cycle(self, trouble: Trouble, *, force: bool = False) -> Cycle:
        self.well = False
        world, rules = self.world, self.world.rules
        self.calendars.write()
        before = world.reservations()
        condemned = {i for i, b in self._bookings().items() if b.state is BookingState.CANCELLING}
        done = world.cycle(trouble, force=force)
        report = done.report
        planned = report is not None and report.error is None and rules.mode != "observe"
        heard = self.calendars.hear(rules.sources, certain=planned)
        if report and report.plan and report.plan.held_checksum:
            self.held[report.plan.held_checksum] = {b.reservation_id or "" for b in report.plan.held}
        self.delivered_twice |= any(fault.startswith("duplicate") for fault in trouble.faults)
        after = world.reservations()
        self._check_outcome(done)
        self._check_mode(done)
        self._check_strangers(before, after)
        self._check_cancels(done, condemned, heard, before | after)
        self._check_marks(after)
        self.well = True
        return done

    # What must be true after each cycle

    @staticmethod
    def _check_outcome(done: Cycle) -> None:
        """Nothing fails unless something was made to fail."""
        if not done.trouble.faults and done.trouble.hold_up is None:
            assert done.error is None
            assert done.killed or (done.report is not None and done.report.error is None)

    def _check_mode(self, done: Cycle) -> None:
        allowed = {
            "observe": set(),
            "create-only": {"create"},
            "no-cancel": {"create", "modify"},
            "full": {"create", "modify", "cancel"},
        }[self.world.rules.mode]
        assert set(done.writes) <= allowed

    @staticmethod
    def _check_strangers(before: dict[str, Any], after: dict[str, Any]) -> None:
        for number, reservation in before.items():
            assert reservation["creator"] != STRANGER or after[number] == reservation

    def _check_marks(self, after: dict[str, dict[str, Any]]) -> None:
        """No mark stands on two live reservations, unless the network or a restored ledger doubled them."""
        if self.delivered_twice or self.unrecognised:
            return
        marks = Counter(
            r["description"]
            for r in after.values()
            if r["status"] in LIVE and r["creator"] != STRANGER and "[sy:" in r["description"]
        )
        assert [mark for mark, count in marks.items() if count > 1] == []

    def _check_cancels(
        self, done: Cycle, condemned: set[str], heard: dict[str, Heard], known: dict[str, dict[str, Any]]
    ) -> None:
        """Each cancel rests on what an attentive person believes by now, or on a person's word.

        Of those `condemned` a cycle before decided it.
        """
        rules = self.world.rules
        belief = self.calendars.belief(rules.sources)
        for number, booking in done.intents.items():
            if number in condemned:
                continue
            key = _key(booking)
            if booking.evidence is Evidence.APPROVED:
                assert number in self.approved
            else:
                meeting = belief.get(key)
                too_early = booking.reason is Reason.TOO_EARLY and not self._near(meeting)
                assert too_early or not self._wanted(meeting, booking.room_id), (booking, meeting)
                told = [name for name in rules.sources if key in self.calendars.memory[name].told_of]
                assert told, "somebody must have shown it, else a person decides"
                assert any(heard[name].complete or heard[name].uids for name in told), "nobody spoke"
            condemned.add(number)
            if booking.evidence is Evidence.SHOWN:
                self.shown.append((self.world.now, booking.source))
        self._check_budget(done, heard)
        for number in set(done.cancelled) - condemned:
            assert self.world.rules.marker, "without marks nothing is there twice"
            superfluous = known[number]
            assert any(self._twins(known[i], superfluous) for i in known if int(i) < int(number)), superfluous

    def _twins(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether two reservations are of one meeting, as far as a ledger that knows neither can tell."""
        same_mark = bool(one["description"] == other["description"])
        return same_mark or (self.put_back and _content(one) == _content(other))

    def _check_budget(self, done: Cycle, heard: dict[str, Heard]) -> None:
        shown = Counter(b.source for b in done.intents.values() if b.evidence is Evidence.SHOWN)
        recent = Counter(name for at, name in self.shown if at > self.world.now - timedelta(hours=24))
        for name, count in shown.items():
            known = len(self._bookings())
            assert recent[name] <= max(3, 0.3 * known), "more than the budget"
            assert name not in heard or heard[name].uids or count <= 2, "an empty calendar is a question"

    def _wanted(self, meeting: Meeting | None, room_id: str | None) -> bool:
        """Whether a meeting asks for a room (None: for no room)."""
        if meeting is None or meeting.withdrawn or meeting.end <= self.world.now:
            return False
        return room_id in self._room_ids(meeting)

    def _near(self, meeting: Meeting | None) -> bool:
        """Whether the tenant lets it be booked by now."""
        return meeting is not None and meeting.start < self.world.now + BOOKABLE - timedelta(hours=2)

    def _room_ids(self, meeting: Meeting) -> list[str | None]:
        """What the configuration makes of its rooms: those that it knows, else none."""
        known = [ROOMS[room] for room in meeting.rooms if room in self.world.rules.rooms]
        return [*known] or [None]

    def _bookings(self) -> dict[str, Booking]:
        """The bookings that hold a reservation, by its id."""
        with self.world.ledger() as ledger:
            return {b.reservation_id: b for b in ledger.bookings() if b.reservation_id}

    # When all is well

    @rule()
    def settle(self) -> None:
        """Faults stop, files are mended, persons answer: then the API says what the calendars say."""
        self.calendars.damage.clear()
        self._configure(self._ordinary())
        self.world.pass_time(timedelta(minutes=70))
        quiet = 0
        for _ in range(ROUNDS):
            done = self._cycle(Trouble(), force=True)
            quiet = 0 if self._persons_answer() or done.writes else quiet + 1
            if quiet == max(CONFIRMATIONS.values()):
                break
            self.world.pass_time(VALIDITY + timedelta(minutes=1))
        else:
            raise AssertionError("it does not come to rest")
        self._check_equal()
        self.world.pass_time(timedelta(minutes=1))
        assert self._cycle(Trouble()).writes == [], "a quiet world costs nothing"

    def _persons_answer(self) -> bool:
        """Whether anything was asked of a person, who answers it."""
        self.approve()
        with self.world.ledger() as ledger:
            stuck = [b for b in ledger.current() if b.in_doubt or b.reason is Reason.REFUSED]
            for booking in stuck:
                ledger.decide(Decision(booking.row, Verdict.RETRY, None, "somebody", self.world.now))
            return bool(stuck) or (ledger.get_fact("held") or " 0") != " 0"

    def _check_equal(self) -> None:
        """Each meeting has its reservation, and each reservation its meeting, but for what is explained."""
        now = self.world.now
        live = {i: r for i, r in self._ours().items() if r["end_time"] > ms(now)}
        with self.world.ledger() as ledger:
            current = ledger.current()
            strays = (ledger.get_fact(LEFTOVERS) or "0 0").split()[0]
        by_id = {b.reservation_id: b for b in current if b.reservation_id}
        wanted = [
            (key, meeting, room_id)
            for key, meeting in self.calendars.truth(self.world.rules.sources).items()
            for room_id in self._room_ids(meeting)
            if self._wanted(meeting, room_id)
        ]
        # Two events may say the same under different UIDs: then those that have the reservations go first.
        having = {_key(by_id[i]) for i in live if i in by_id}
        wanted.sort(key=lambda one: one[0] not in having)
        spare = Counter(_content(r) for r in live.values())
        missing = []
        for key, meeting, room_id in wanted:
            content = (meeting.topic, ms(meeting.start), ms(meeting.end), room_id or "")
            if spare[content]:
                spare[content] -= 1
            elif self._near(meeting):
                missing.append((key, meeting, room_id))
        everything = self.world.reservations()
        for key, meeting, room_id in missing:
            records = [b for b in current if _key(b) == key]
            assert any(self._excused(b, meeting, room_id, everything) for b in records), (
                "not booked",
                key,
                meeting,
                room_id,
                [(b, everything.get(b.reservation_id or "")) for b in records],
            )
        unknown = 0
        for number, reservation in sorted(live.items(), key=lambda one: one[0] not in self.touched):
            if not spare[_content(reservation)]:
                continue
            spare[_content(reservation)] -= 1
            booking = by_id.get(number)
            if booking is None:
                assert self.put_back, ("nobody's", reservation)
                unknown += 1
            else:
                assert booking.reason is Reason.ROOM_CONFLICT or self._person_decides(booking), (
                    "not as the calendar has it",
                    reservation,
                    booking,
                )
        assert unknown == int(strays) or self.put_back

    def _excused(
        self, booking: Booking, meeting: Meeting, room_id: str | None, everything: dict[str, dict[str, Any]]
    ) -> bool:
        """Whether there is a good reason why a meeting has no reservation, or another one."""
        if booking.reason is Reason.ROOM_CONFLICT:
            return any(
                r["status"] in LIVE
                and i != booking.reservation_id
                and r["room_id"] == room_id
                and r["start_time"] < ms(meeting.end)
                and ms(meeting.start) < r["end_time"]
                for i, r in everything.items()
            )
        return self._person_decides(booking)

    def _person_decides(self, booking: Booking) -> bool:
        """Whether what a person did to a reservation may still count."""
        number = booking.reservation_id or ""
        if booking.state is BookingState.RELEASED and self.put_back:
            return True  # the ledger does not know any more who cancelled it
        touched = self.touched.get(number)
        if touched is None:
            return False
        key = _key(booking)
        if self.put_back or key != touched.key:
            return True
        meant = self.calendars.truth(self.world.rules.sources).get(key)
        if meant != touched.meant and self.edits[key] != touched.edits:
            return False  # the calendar's own event changed since
        rules = self.world.rules
        begun = booking.spec.start <= self.world.now or (meant is not None and meant.start <= self.world.now)
        fought = rules.on_cancel == "rebook" if touched.cancelled else rules.on_change == "repair"
        return begun or not fought

    def teardown(self) -> None:
        """Whatever happened before, it ends well."""
        try:
            if self.well and hasattr(self, "world"):
                self.settle()
        finally:
            self._stack.close()


def _key(booking: Booking) -> Key:
    return booking.key.uid, booking.key.recurrence_id


def _content(reservation: dict[str, Any]) -> tuple[str, int, int, str]:
    return (
        reservation["topic"],
        reservation["start_time"],
        reservation["end_time"],
        reservation["room_id"],
    )


def ms(moment: datetime) -> int:
    """Epoch milliseconds."""
    return round(moment.timestamp() * 1000)


@pytest.fixture(autouse=True)
def quick_and_quiet() -> Iterator[None]:
    """Reads are repeated at once, and nothing is logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with stamina.set_testing(True, attempts=3):
        yield
    structlog.reset_defaults()


_LONG = settings.get_current_profile_name() == "long"

TestOffice = Office.TestCase
TestOffice.settings = settings(
    max_examples=2000 if _LONG else 40,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.timeout(0 if _LONG else 120)
