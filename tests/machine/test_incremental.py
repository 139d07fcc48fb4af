"""Whatever happens to calendars, planning what is ready says the same as planning everything.

Before each cycle a plan is made as `syncd plan` makes it: every source read as if for the first time, every
UID ready. Each row of the cycle's plan must be in that plan, and what that plan has beside them must be what
it says again and again until its time comes: that is what a UID at rest stands for.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from syncd.core.booking import Booking
from syncd.core.changes import Change, Create, Plan, Skip, Update, Wait
from syncd.core.meeting import Meeting
from syncd.core.reasons import Reason
from syncd.intake.known import AT_HAND
from tests.conftest import examples
from tests.machine.calendars import DAMAGES, FILES, Calendars, Event
from tests.machine.calendars import Meeting as Written
from tests.machine.test_machine import (
    do_damage,
    files,
    minutes,
    rooms,
    sources,
    starts,
    uids,
    withdrawn,
)
from tests.machine.world import ROOMS, Rules, Trouble, World

_DRESSES = (
    "plain",
    "shuffled",
    "restamped",
    "revised",
    "bare",
    "folded",
    "lower",
    "header",
    "zone",
    "mixed",
)
_ZONE = (
    b"BEGIN:VTIMEZONE\r\nTZID:Office\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n"
    b"TZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
)


def dressed(body: bytes, dress: str, number: int) -> bytes:
    """The same calendar, written otherwise."""
    head, *events = body.split(b"BEGIN:VEVENT")
    if not events:
        return body
    last, mark, tail = events[-1].rpartition(b"END:VEVENT\r\n")
    events[-1] = last + mark
    match dress:
        case "shuffled":
            random.Random(number).shuffle(events)
        case "restamped":
            events = [
                re.sub(rb"DTSTAMP:\d{8}", b"DTSTAMP:%08d" % (20300101 + number % 28), e)
                for e in events
            ]
        case "revised":
            stamp = b"\r\nLAST-MODIFIED:203001%02dT000000Z\r\nSUMMARY" % (
                number % 28 + 1
            )
            events = [e.replace(b"\r\nSUMMARY", stamp) for e in events]
        case "header":
            head = head.replace(b"VERSION", b"X-WR-CALDESC:%d\r\nVERSION" % number)
        case "zone":
            head += _ZONE.replace(b"+0100", b"+%02d00" % (number % 9))
        case "mixed":
            tail = b"BEGIN:VTODO\r\nUID:todo\r\nEND:VTODO\r\n" + tail
    whole = b"".join([head, *(b"BEGIN:VEVENT" + event for event in events), tail])
    match dress:
        case "bare":
            return whole.replace(b"\r\n", b"\n")
        case "folded":
            return re.sub(rb"(UID:|SUMMARY:)", rb"\1\r\n ", whole)
        case "lower":
            return whole.replace(b"BEGIN:VEVENT", b"begin:vevent")
    return whole


class TwoWays(RuleBasedStateMachine):
    """Calendars change in any way; after each change both ways plan."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.revision = 0
        self.names = 0
        self.dress = "plain"
        # Files of the directory that are gone, or have another name.
        self.moved: dict[str, str] = {}
        self.gives_way_after: int | None = None

    @initialize(
        there=st.lists(st.tuples(sources, uids, starts, rooms), max_size=6),
        gives_way_after=st.sampled_from([None, 0, 1]),
        at_hand=st.sampled_from([0, AT_HAND]),
    )
    def begin(
        self, there: list[Any], gives_way_after: int | None, at_hand: int
    ) -> None:
        self.gives_way_after = gives_way_after
        shared_memory = Path("/dev/shm")
        where = shared_memory if shared_memory.is_dir() else None
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=where))
        self.world = World(Path(folder), Rules())
        self.world.at_hand = at_hand
        self._stack.callback(self.world.close)
        self.calendars = Calendars(Path(folder))
        for source, uid, start, room in there:
            self.calendars.events[source][uid] = Event(self.new(uid, start, 60, room))
        self.compare()

    def new(
        self,
        title: str,
        start: datetime,
        length: int,
        room: tuple[str, ...],
        off: str = "",
    ) -> Written:
        self.revision += 1
        return Written(title, start, length, room, self.revision, off)

    # What happens

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
        self.calendars.events[source][uid] = Event(
            self.new(uid, start, length, room, off)
        )
        self.compare()

    @rule(
        source=sources,
        uid=uids,
        start=starts,
        room=rooms,
        every=st.integers(1, 9),
        count=st.integers(2, 9),
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
        self.calendars.events[source][uid] = Event(
            self.new(uid, start, 60, room), every, count
        )
        self.compare()

    @rule(
        data=st.data(), start=starts, room=rooms, off=withdrawn, what=st.integers(0, 4)
    )
    def edit(
        self,
        data: st.DataObject,
        start: datetime,
        room: tuple[str, ...],
        off: str,
        what: int,
    ) -> None:
        there = [
            (s, u)
            for s, events in self.calendars.events.items()
            for u in sorted(events)
        ]
        if not there:
            return
        source, uid = data.draw(st.sampled_from(there))
        event = self.calendars.events[source][uid]
        number = data.draw(st.integers(0, event.count - 1))
        changed = self.new(event.main.title, start, 60, room, off)
        match what:
            case 0:
                event = replace(event, main=replace(changed, start=event.main.start))
            case 1:
                event = replace(event, main=changed)
            case 2 if event.every:
                event = replace(event, changed={**event.changed, number: changed})
            case 3:
                event = replace(event, left_out=event.left_out | {number})
            case _:
                del self.calendars.events[source][uid]
                self.compare()
                return
        self.calendars.events[source][uid] = event
        self.compare()

    @rule(uid=uids, origin=sources, other=sources)
    def share(self, uid: str, origin: str, other: str) -> None:
        """The same event in two calendars."""
        if event := self.calendars.events[origin].get(uid):
            self.calendars.events[other][uid] = event
            self.compare()

    @rule(source=sources)
    def clear(self, source: str) -> None:
        self.calendars.events[source].clear()
        self.compare()

    @rule(source=sources)
    def rename_all(self, source: str) -> None:
        """A calendar that makes new UIDs at each export."""
        self.names += 1
        events = self.calendars.events[source]
        self.calendars.events[source] = {
            f"{u[0]}{self.names}": e for u, e in sorted(events.items())
        }
        self.compare()

    @rule(
        name=files,
        kind=st.sampled_from(DAMAGES),
        share=st.sampled_from([0.1, 0.5, 0.9]),
        data=st.data(),
    )
    def damage(self, name: str, kind: str, share: float, data: st.DataObject) -> None:
        if do_damage(self.calendars, name, kind, share, data):
            self.compare()

    @rule()
    def repair(self) -> None:
        self.calendars.damage.clear()
        self.compare()

    @rule(
        name=st.sampled_from(FILES["three"]),
        there=st.sampled_from(["", "three/other.ics", "as ever"]),
    )
    def move_file(self, name: str, there: str) -> None:
        """A file of the directory goes, gets another name, or is back."""
        if there == "as ever":
            self.moved.pop(name, None)
        else:
            self.moved[name] = there
        self.compare()

    @rule(dress=st.sampled_from(_DRESSES))
    def write_otherwise(self, dress: str) -> None:
        self.dress = dress
        self.compare()

    @rule(
        names=st.sets(sources, min_size=1),
        kept=st.sets(st.sampled_from(tuple(ROOMS)), min_size=1),
        mode=st.sampled_from(["full", "observe", "create-only", "no-cancel"]),
        what=st.integers(0, 3),
    )
    def configure(self, names: set[str], kept: set[str], mode: str, what: int) -> None:
        self.world.configure(
            self.world.rules.edited(what, names=names, kept=kept, mode=mode)
        )
        self.compare()

    @rule(after=st.sampled_from([0, 1, 2, None]))
    def let_others_wait(self, after: int | None) -> None:
        """From now on a cycle leaves to the next one what it has not written when it is asked to."""
        self.gives_way_after = after
        self.compare()

    @rule(much=st.sampled_from([1, 70, 700, 1500, 3000, 10_000]))
    def wait(self, much: int) -> None:
        self.world.pass_time(timedelta(minutes=much))
        self.compare()

    @rule()
    def begin_anew(self) -> None:
        """Another process goes on."""
        self.world.end_life()
        self.compare()

    @rule()
    def nothing(self) -> None:
        self.compare()

    # Both ways

    def compare(self) -> None:
        """One cycle, which plans what the long way plans."""
        self.revision += 1
        self._write()
        long_way = self.world.preview()
        cycle = self.world.cycle(Trouble(gives_way_after=self.gives_way_after))
        assert cycle.report is not None
        assert cycle.report.plan is not None
        assert told(cycle.report.plan) == told(long_way)
        at_rest = rows(long_way)
        at_rest.subtract(rows(cycle.report.plan))
        # What was decided before and waits is planned the same.
        at_rest.subtract(repr(_told(change)) for change in cycle.report.waiting)
        assert all(count >= 0 for count in at_rest.values()), "a row of its own"
        lasting = {repr(_told(change)) for change in long_way.changes if _lasts(change)}
        assert set(+at_rest) <= lasting, "a row is missing"
        skipped = [
            c for c in long_way.changes if isinstance(c, Skip) and not c.needs_person
        ]
        assert cycle.report.counts["skipped"] == len(skipped)

    def _write(self) -> None:
        self.calendars.write()
        for names in FILES.values():
            for name in names:
                path = self.calendars.folder / name
                if path.exists() and not self.calendars.damage.get(name):
                    path.write_bytes(
                        dressed(path.read_bytes(), self.dress, self.revision)
                    )
        self._move_files()

    def _move_files(self) -> None:
        folder = self.calendars.folder
        (folder / "three/other.ics").unlink(missing_ok=True)
        for name, there in sorted(self.moved.items()):
            path = folder / name
            if path.exists() and there:
                path.replace(folder / there)
            else:
                path.unlink(missing_ok=True)

    def teardown(self) -> None:
        self._stack.close()


def told(plan: Plan) -> dict[str, object]:
    """All that a plan says beside its rows."""
    return {
        "unchanged": plan.unchanged,
        "amended": sorted((_booking(b) for b in plan.amended), key=repr),
        "closed": sorted((_booking(b) for b in plan.closed), key=repr),
        "rekeyed": plan.rekeyed,
        "renamed": plan.renamed,
        "held": plan.held_checksum,
        "released": plan.released,
    }


def rows(plan: Plan) -> Counter[str]:
    """The rows of a plan, each as often as it is there."""
    return Counter(repr(_told(change)) for change in plan.changes)


def _lasts(change: Change) -> bool:
    match change:
        case Wait(reason=reason):
            return reason is Reason.TOO_EARLY
        case Skip(needs_person=needs_person, reservation_id=None, room_id=None):
            return not needs_person
    return False


def _told(change: Change) -> Change:
    """Without what is nothing but the place of its event, or its revision."""
    match change:
        case Create(meeting=meeting):
            return replace(change, meeting=_as_planned(meeting))
        case Update(meeting=meeting):
            return replace(change, meeting=_as_planned(meeting))
        case Wait(meeting=meeting):
            return replace(change, meeting=_as_planned(meeting))
    return change


def _as_planned(meeting: Meeting) -> Meeting:
    """Without place and revision: what waits to be written is not planned anew for these alone."""
    occurrence = replace(
        meeting.occurrence, line=0, sequence=0, last_modified=None, created=None
    )
    return replace(meeting, occurrence=occurrence)


def _booking(booking: Booking) -> Booking:
    """Readings at two moments are two pieces of evidence, for either way."""
    return replace(booking, missed_in="", updated_at=None)


TestTwoWays = TwoWays.TestCase
TestTwoWays.settings = settings(
    max_examples=examples(3, thorough=16, long=200),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(4 * 3600)  # a failure takes long to be made short
