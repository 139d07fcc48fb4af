"""Random histories of an office, against what a cycle guarantees, with the real parts of the program.

The machine edits, damages and mends calendars, changes the configuration, kills and restarts the program,
loses, holds up and repeats its requests, puts old ledgers back, and lets people, approvers, strangers and
the building do what they do in Tuya.
After each cycle it asks what was done and on what grounds; when all is well again, the API must say what
the calendars say.

The long profile has 2,000 histories: `python -m pytest tests/machine --hypothesis-profile=long`.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import stamina
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from syncd.core.booking import HOLDING_STATES
from syncd.core.reasons import Reason
from syncd.core.resolve import Decision, Verdict
from syncd.ledger.facts import HELD, Held
from tests.conftest import examples
from tests.machine.calendars import (
    AWAY,
    CONFIRMATIONS,
    DAMAGES,
    FILES,
    FIRST_DAY,
    UIDS,
    Calendars,
    Damage,
    Event,
    Meeting,
    Memory,
    file_of,
)
from tests.machine.judge import WAITS_FOR_APPROVAL, Judge, ms
from tests.machine.world import (
    ROOMS,
    VALIDITY,
    Cycle,
    HoldUp,
    Kill,
    Rules,
    Trouble,
    World,
)

LATE_S = 0.3
ROUNDS = 15

sources = st.sampled_from(tuple(FILES))
files = st.sampled_from([name for names in FILES.values() for name in names])
uids = st.sampled_from(UIDS)
starts = st.builds(
    lambda day, hour: FIRST_DAY + timedelta(days=day, hours=hour),
    st.sampled_from(
        [1, 2, 2, 3, 3, 4, 6, 9, 12]
    ),  # few, so that meetings meet; some are too early yet
    st.integers(9, 11),
)
minutes = st.sampled_from([30, 60, 60, 120])
rooms = st.sampled_from(
    [(), ("red",), ("red",), ("green",), ("blue",), ("red", "green"), ("green", "blue")]
)
picks = st.integers(0, 11)  # which of those that there are, however many
withdrawn = st.sampled_from(["", "", "", "STATUS:CANCELLED", "TRANSP:TRANSPARENT"])

_WORK = ("done", "none")
_OPERATIONS = ("write", "create", "modify", "cancel", "read", "any", "list", "get")
_KINDS = (
    *(
        "lost",
        "closed",
        "expired",
        "quota",
        "unsubscribed",
        "duplicate",
        "refuse",
        "release",
    ),
    *(
        f"{kind}:work={work}"
        for kind in ("error", "gateway", "garbage", "false")
        for work in _WORK
    ),
)
faults = st.builds(
    lambda kind, on, after, times: (
        f"{kind}{',' if ':' in kind else ':'}on={on},after={after},times={times}"
    ),
    st.sampled_from(_KINDS),
    st.sampled_from(_OPERATIONS),
    st.integers(0, 3),
    st.integers(1, 3),
) | st.builds(lambda after: f"lag:on=list,after={after}", st.integers(0, 2))


class Office(RuleBasedStateMachine):
    """Anything that can happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.well = True
        self.revision = 0
        self.names = 0
        self.gives_way_after: int | None = None
        self.copied: dict[str, Memory] = {}

    @initialize(
        marker=st.sampled_from([True, True, True, False]),
        on_change=st.sampled_from(["accept", "accept", "repair", "report"]),
        on_cancel=st.sampled_from(["respect", "respect", "rebook"]),
        with_approval=st.sampled_from([(), (), ("blue",), ("red", "blue")]),
        there=st.lists(st.tuples(sources, uids, starts, rooms), max_size=6),
        gives_way_after=st.sampled_from([None, 0, 0, 1]),
    )
    def begin(
        self,
        marker: bool,
        on_change: str,
        on_cancel: str,
        with_approval: tuple[str, ...],
        there: list[Any],
        gives_way_after: int | None,
    ) -> None:
        self.gives_way_after = gives_way_after
        # Each commit waits for the disk, and this one is quick.
        shared_memory = Path("/dev/shm")
        where = shared_memory if shared_memory.is_dir() else None
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=where))
        rules = Rules(marker=marker, on_change=on_change, on_cancel=on_cancel)
        self.world = World(Path(folder), rules, with_approval)
        self._stack.callback(self.world.close)
        self.calendars = Calendars(Path(folder))
        self.judge = Judge(self.world, self.calendars)
        for source, uid, start, room in there:
            self.put(source, uid, Event(self.new(uid, start, 60, room)))
        self.cycle()

    # Calendars

    def new(
        self,
        title: str,
        start: datetime,
        length: int,
        room: tuple[str, ...],
        off: str = "",
    ) -> Meeting:
        self.revision += 1
        return Meeting(title, start, length, room, self.revision, off)

    def put(self, source: str, uid: str, event: Event | None) -> None:
        """Let a calendar say this of a UID from now on; None: nothing."""
        events = self.calendars.events[source]
        before = self.judge.truth()
        if event is None:
            events.pop(uid, None)
        else:
            events[uid] = event
        self.judge.note_edits(before)

    @rule(
        source=sources,
        uid=uids,
        start=starts,
        length=minutes,
        room=rooms,
        off=withdrawn,
    )
    def put_single(
        self,
        source: str,
        uid: str,
        start: datetime,
        length: int,
        room: tuple[str, ...],
        off: str,
    ) -> None:
        self.put(source, uid, Event(self.new(uid, start, length, room, off)))

    @rule(
        source=sources,
        uid=uids,
        start=starts,
        room=rooms,
        every=st.integers(1, 3),
        count=st.integers(2, 5),
    )
    def put_series(
        self,
        source: str,
        uid: str,
        start: datetime,
        room: tuple[str, ...],
        every: int,
        count: int,
    ) -> None:
        self.put(source, uid, Event(self.new(uid, start, 60, room), every, count))

    @rule(
        data=st.data(),
        start=starts,
        length=minutes,
        room=rooms,
        off=withdrawn,
        what=st.integers(0, 5),
    )
    def edit(
        self,
        data: st.DataObject,
        start: datetime,
        length: int,
        room: tuple[str, ...],
        off: str,
        what: int,
    ) -> None:
        """An event moves, changes rooms, is taken back; a series loses a date, is cut short or moved."""
        there = [
            (s, u)
            for s, events in self.calendars.events.items()
            for u in sorted(events)
        ]
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
                    self.put(
                        source,
                        uid,
                        replace(event, changed={**event.changed, number: meeting}),
                    )
                else:
                    self.put(source, uid, replace(event, main=meeting))
            case 2:
                self.put(
                    source, uid, replace(event, left_out=event.left_out | {number})
                )
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
        there = [
            (s, u)
            for s, events in self.calendars.events.items()
            for u in sorted(events)
        ]
        if len(there) < 2:
            return
        chosen = data.draw(
            st.lists(st.sampled_from(there), min_size=2, max_size=3, unique=True)
        )
        mains = [self.calendars.events[source][uid].main for source, uid in chosen]
        for (source, uid), main, place in zip(
            chosen, mains, mains[1:] + mains[:1], strict=True
        ):
            moved = self.new(
                main.title, place.start, place.minutes, place.rooms, main.withdrawn
            )
            self.put(
                source, uid, replace(self.calendars.events[source][uid], main=moved)
            )

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

    @rule(name=files)
    def tell_off(self, name: str) -> None:
        """One line in a calendar's head cancels all that stands in a file."""
        source = next(source for source, names in FILES.items() if name in names)
        for uid, event in sorted(self.calendars.events[source].items()):
            if file_of(source, uid) == name:
                self.put(source, uid, self._revised(event, told_off=True))

    @rule(source=sources)
    def take_up_again(self, source: str) -> None:
        """What was cancelled by the head of a calendar is meant after all."""
        for uid, event in sorted(self.calendars.events[source].items()):
            if event.told_off:
                self.put(source, uid, self._revised(event, told_off=False))

    def _revised(self, event: Event, *, told_off: bool) -> Event:
        """The same event with new revisions."""
        self.revision += 1
        main = replace(event.main, revision=self.revision)
        changed = {
            number: replace(each, revision=self.revision)
            for number, each in event.changed.items()
        }
        return replace(event, main=main, changed=changed, told_off=told_off)

    @rule(
        which=picks,
        other=sources,
        start=starts,
        cancelled=st.booleans(),
        struck=st.lists(faults, max_size=1),
    )
    def stranger_copies(
        self,
        which: int,
        other: str,
        start: datetime,
        cancelled: bool,
        struck: list[str],
    ) -> None:
        """Somebody writes the UID of a meeting of others into his own calendar, with a higher SEQUENCE."""
        if self.calendars.damage or other not in self.world.rules.sources:
            return
        self._cycle(Trouble())
        deciding = self._sources_that_decide(other)
        if not deciding:
            return
        uid, source = deciding[which % len(deciding)]
        event = self.calendars.events[source][uid]
        rival = Meeting("Rival", start, 60, event.main.rooms, 1000 + self.revision)
        text = replace(
            event,
            main=replace(rival, withdrawn="STATUS:CANCELLED" if cancelled else ""),
        ).text(uid)
        self.calendars.rivals[other] = text.replace("mailto:boss@", "mailto:mallory@")
        self._cycle(self._with(struck))
        self._cycle(Trouble())
        topics = [
            reservation["topic"] for reservation in self.world.reservations().values()
        ]
        assert not any(topic.startswith("Rival") for topic in topics), (
            "a stranger's word counts"
        )
        del self.calendars.rivals[other]
        self._cycle(Trouble())

    def _sources_that_decide(self, other: str) -> list[tuple[str, str]]:
        """UID and source of what stands in one source only, is booked by its word, and is not in another."""
        configured = self.world.rules.sources
        found: set[tuple[str, str]] = set()
        for booking in self.judge.bookings().values():
            uid, source = booking.key.uid, booking.source
            showing = [
                name for name in configured if uid in self.calendars.events[name]
            ]
            if (
                booking.state in HOLDING_STATES
                and showing == [source]
                and source != other
            ):
                found.add((uid, source))
        return sorted(found)

    @rule(name=st.sampled_from(FILES["three"]))
    def file_goes(self, name: str) -> None:
        """A file of the directory goes, and stays away until something brings it back."""
        self.calendars.damage[name] = AWAY

    @rule(
        name=files,
        kind=st.sampled_from(DAMAGES),
        share=st.sampled_from([0.1, 0.5, 0.9]),
        data=st.data(),
    )
    def damage(self, name: str, kind: str, share: float, data: st.DataObject) -> None:
        do_damage(self.calendars, name, kind, share, data)

    @rule(
        name=st.sampled_from(FILES["three"]),
        way=st.sampled_from(["missed", "missed", "not missed"]),
    )
    def file_for_a_moment(self, name: str, way: str) -> None:
        """A file of the directory goes and comes back within its grace; the judge objects to any cancel."""
        if self.calendars.damage or "three" not in self.world.rules.sources:
            return
        self._cycle(Trouble())
        path = self.world.folder / name
        body = path.read_bytes()
        path.unlink()
        if way == "missed":
            self.well = False
            done = self.judge.watch(lambda: self.world.cycle(Trouble()))
            self.well = True
            assert "cancel" not in done.writes or done.intents, (
                "only what was decided before is cancelled"
            )
        path.write_bytes(body)
        self._cycle(Trouble())

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
        self._configure(
            self.world.rules.edited(what, names=names, kept=kept, mode=mode)
        )

    def _configure(self, rules: Rules) -> None:
        before = self.judge.truth()
        if rules.rooms != self.world.rules.rooms:
            # What was decided about a room may not outlive the room.
            self.judge.edits.update(before.keys())
        self.world.configure(rules)
        self.judge.note_edits(before)

    # People

    @rule(
        which=picks,
        what=st.sampled_from(["cancel", "extend", "rename", "move"]),
        room=st.sampled_from(tuple(ROOMS)),
    )
    def touch(self, which: int, what: str, room: str) -> None:
        """A person does something to one of our reservations in Tuya."""
        ours = self.judge.ours()
        if not ours:
            return
        chosen = sorted(ours)[which % len(ours)]
        there = ours[chosen]
        match what:
            case "cancel":
                self.world.edit_by_hand(chosen, status=3)
            case "extend":
                self.world.edit_by_hand(chosen, end_time=there["end_time"] + 1_800_000)
            case "rename":
                self.world.edit_by_hand(chosen, topic="Renamed by hand")
            case "move":
                self.world.edit_by_hand(chosen, room_id=self.world.rooms[room])
        self.judge.note_touch(chosen, ended="cancelled" if what == "cancel" else "")

    @rule()
    def wipe(self) -> None:
        """All that was booked is gone at once, as if by another project or a mistake."""
        for number in sorted(self.judge.ours()):
            self.world.edit_by_hand(number, status=3)
            self.judge.note_touch(number, ended="cancelled")

    @rule(again=st.booleans())
    def settle_vanished(self, again: bool) -> None:
        """A person decides about what is gone with many others."""
        self._settle_vanished(again=again)

    def _settle_vanished(self, *, again: bool) -> bool:
        with self.world.ledger() as ledger:
            gone = [
                booking for booking in ledger.bookings.current() if booking.is_vanished
            ]
            verdict = Verdict.RETRY if again else Verdict.DROP
            for booking in gone:
                ledger.people.decide(
                    Decision(booking.row, verdict, None, "somebody", self.world.now)
                )
                self.judge.note_settled(booking, again=again)
        return bool(gone)

    @rule(which=picks, passes=st.sampled_from([True, True, False]))
    def decide(self, which: int, passes: bool) -> None:
        """An approver decides about one of our reservations that waits for it."""
        waiting = [
            i
            for i, r in sorted(self.judge.ours().items())
            if r["status"] == WAITS_FOR_APPROVAL
        ]
        if waiting:
            chosen = waiting[which % len(waiting)]
            self.world.edit_by_hand(chosen, status=1 if passes else 4)
            if not passes:
                self.judge.note_touch(chosen, ended="rejected")

    @rule(start=starts, length=minutes, room=st.sampled_from(tuple(ROOMS)))
    def stranger(self, start: datetime, length: int, room: str) -> None:
        self.world.book_for_a_stranger(start, length, room)

    @rule()
    def approve(self) -> None:
        """A person releases what is held, if anything is."""
        with self.world.ledger() as ledger:
            checksum = (ledger.facts.get(HELD) or Held()).checksum
            if checksum in self.judge.held:
                ledger.people.approve(checksum, self.world.now, "somebody")
                self.judge.note_approval(checksum)

    # Ledgers

    @rule()
    def back_up(self) -> None:
        self.world.back_up()
        self.copied = copy.deepcopy(self.calendars.memory)

    @rule(beside=st.booleans())
    def restore(self, beside: bool) -> None:
        if self.world.restore(beside=beside):
            self.calendars.memory = copy.deepcopy(self.copied)
            self.judge.note_other_ledger(recognised=not beside)

    @precondition(lambda self: self.world.rules.marker)
    @rule(beside=st.booleans())
    def lose(self, beside: bool) -> None:
        self.world.lose(beside=beside)
        self.calendars.memory = {source: Memory() for source in FILES}
        self.judge.note_other_ledger(recognised=True)

    # Time and network

    @rule(much=st.sampled_from([1, 1, 3, 6, 70, 70, 1500]))
    def wait(self, much: int) -> None:
        self.world.pass_time(timedelta(minutes=much))

    @rule()
    def lag(self) -> None:
        self.world.lag()

    @rule(which=picks)
    def deliver(self, which: int) -> None:
        if letters := self.world.letters:
            self.world.deliver(letters[which % len(letters)])

    @rule(which=picks, missed=st.booleans(), force=st.booleans())
    def meet(self, which: int, missed: bool, force: bool) -> None:
        """A meeting begins; if nobody comes, the building ends it."""
        begins = sorted({r["start_time"] for r in self.judge.ours().values()})
        coming = [start for start in begins if start > ms(self.world.now)]
        if coming:
            start = datetime.fromtimestamp(coming[which % len(coming)] / 1000, UTC)
            self.world.pass_time(start + timedelta(minutes=15) - self.world.now)
            self._cycle(Trouble(("release:minutes=10",) if missed else ()), force=force)

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

    @rule(
        step=st.integers(1, 30),
        after=st.booleans(),
        struck=st.lists(faults, max_size=1),
    )
    def killed_cycle(self, step: int, after: bool, struck: list[str]) -> None:
        self._cycle(replace(self._with(struck), kill=Kill(step, after)))

    @rule(after=st.sampled_from([0, 0, 1, 2, None]))
    def let_others_wait(self, after: int | None) -> None:
        """From now on a cycle leaves to the next one what it has not written when it is asked to."""
        self.gives_way_after = after

    @rule(write=st.integers(1, 3), arrives=st.booleans(), killed=st.booleans())
    def cycle_with_a_request_held_up(
        self, write: int, arrives: bool, killed: bool
    ) -> None:
        self._cycle(Trouble(hold_up=HoldUp(write, arrives, killed)))

    @rule(
        code=st.sampled_from([1110, 1199]),
        on=st.sampled_from(_OPERATIONS),
        times=st.sampled_from([1, 2, 4, 5]),
        rare=st.integers(0, 4),
    )
    def throttled_cycle(self, code: int, on: str, times: int, rare: int) -> None:
        """The program waits in real time when it is asked to, up to three times; so it is rare."""
        if rare == 4:
            self._cycle(Trouble((f"throttled:code={code},on={on},times={times}",)))

    @rule(
        kind=st.sampled_from(["late", "slow"]),
        after=st.integers(0, 2),
        rare=st.integers(0, 4),
    )
    def cycle_with_a_late_answer(self, kind: str, after: int, rare: int) -> None:
        """The server itself is late, in real time, which costs time; so it is rare."""
        if rare == 4:
            began = time.monotonic()
            fault = f"{kind}:seconds={LATE_S},on=write,times=1,after={after}"
            self._cycle(Trouble((fault,), timeout_s=LATE_S / 2))
            time.sleep(max(0.0, LATE_S * 1.5 - (time.monotonic() - began)))
            self.world.wait_for_what_is_late()

    def _with(self, struck: list[str]) -> Trouble:
        """Without marks two equal reservations cannot be told apart, so nothing is delivered twice."""
        marked = self.world.rules.marker
        return Trouble(
            tuple(
                fault for fault in struck if marked or not fault.startswith("duplicate")
            )
        )

    def _cycle(self, trouble: Trouble, *, force: bool = False) -> Cycle:
        self.well = False
        self.calendars.write()
        trouble = replace(trouble, gives_way_after=self.gives_way_after)
        done = self.judge.watch(lambda: self.world.cycle(trouble, force=force))
        self.well = True
        return done

    # When all is well

    @rule()
    def settle(self) -> None:
        """Faults stop, files are mended, persons answer: then the API says what the calendars say."""
        self.calendars.damage.clear()
        self.gives_way_after = None
        self._configure(self.world.rules.ordinary())
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
        self.judge.compare()
        self.world.pass_time(timedelta(minutes=1))
        assert self._cycle(Trouble()).writes == [], "a quiet world costs nothing"

    def _persons_answer(self) -> bool:
        """Whether anything was asked of a person, who answers it."""
        self.approve()
        settled = self._settle_vanished(again=True)
        with self.world.ledger() as ledger:
            refused = [
                b
                for b in ledger.bookings.current()
                if b.in_doubt or b.reason is Reason.REFUSED
            ]
            stuck = [b for b in refused if not self.judge.rejected(b)]
            for booking in stuck:
                ledger.people.decide(
                    Decision(
                        booking.row, Verdict.RETRY, None, "somebody", self.world.now
                    )
                )
            return (
                settled or bool(stuck) or (ledger.facts.get(HELD) or Held()) != Held()
            )

    def teardown(self) -> None:
        """Whatever happened before, it ends well."""
        try:
            if self.well and hasattr(self, "world"):
                self.settle()
        finally:
            self._stack.close()


@pytest.fixture(autouse=True)
def quick_and_quiet() -> Iterator[None]:
    """Reads are repeated at once, and nothing is logged."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    with stamina.set_testing(True, attempts=3):
        yield
    structlog.reset_defaults()


TestOffice = Office.TestCase
TestOffice.settings = settings(
    max_examples=examples(4, thorough=30, long=2000),
    stateful_step_count=30,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)
pytestmark = pytest.mark.timeout(4 * 3600)  # a failure takes long to be made short


def do_damage(
    calendars: Calendars, name: str, kind: str, share: float, data: st.DataObject
) -> bool:
    """Damage a file; False if there is nothing in it that this kind could break."""
    source = next(source for source, names in FILES.items() if name in names)
    there = [
        uid for uid in sorted(calendars.events[source]) if file_of(source, uid) == name
    ]
    if kind == "broken event" and not there:
        return False
    uid = data.draw(st.sampled_from(there)) if kind == "broken event" else ""
    calendars.damage[name] = Damage(kind, share, uid)
    return True
