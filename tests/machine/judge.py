"""What must be true of an office after each cycle, and when all is well again.

It knows what the calendars say, what could be heard of them, and what people did, and asks the API what
became of it.
The program's ledger is asked only which meeting a reservation is for, and why one has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from syncd.apply import count_leftovers
from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.reasons import Evidence, Reason
from tests.machine.calendars import Calendars, Heard, Key, Meeting
from tests.machine.world import STRANGER, Cycle, World

LIVE = (1, 2)
TOLD_FLOOR = 2
WAITS_FOR_APPROVAL = 2
BOOKABLE = timedelta(days=7)  # as the booking rules of a new tenant say

Reservations: TypeAlias = dict[str, dict[str, Any]]
"""As the control side of the sandbox shows them, by id."""


@dataclass
class Touched:
    """What a person or the building did to a reservation, and what its meeting was for the program then.

    `ended` says how it ended, if it did: cancelled, rejected or released; or, of one that was gone with many
    others, what a person decided: to have it again, or not. `is_current` is whether the reservation held
    what was meant: who ends one that holds an older text says nothing about the new one.
    """

    ended: str
    key: Key | None
    meant: Meeting | None
    is_current: bool
    edits: int


class Judge:
    """What an attentive person remembers of an office, and says about it."""

    def __init__(self, world: World, calendars: Calendars) -> None:
        self.world = world
        self.calendars = calendars
        self.edits: Counter[Key] = Counter()
        self.touched: dict[str, Touched] = {}
        self.planned: dict[Key, Meeting] = {}  # what the cycles went by
        # Reservations by the checksum under which they were held.
        self.held: dict[str, set[str]] = {}
        self.approved: set[str] = set()
        self.put_back = False  # an old ledger, or none
        self.unrecognised = False  # one that could not be told from the present one
        self.delivered_twice = False
        # When a cancel on what a source shows was decided, by source and reservation.
        self.shown: list[tuple[datetime, str, str]] = []

    # What happens beside the program

    def truth(self) -> dict[Key, Meeting]:
        """What the calendars of the configured sources say."""
        return self.calendars.truth(self.world.rules.sources, self.world.now)

    def note_edits(self, before: dict[Key, Meeting]) -> None:
        """The calendars say something else now than before."""
        after = self.truth()
        self.edits.update(
            key
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        )

    def note_touch(self, number: str, *, ended: str = "") -> None:
        """A person did something to a reservation; to one that had ended before it means nothing more."""
        booking = self.bookings().get(number)
        if not self._is_ended(number, booking):
            self._note_touch(number, booking, self.planned, ended)

    def _is_ended(self, number: str, booking: Booking | None) -> bool:
        """Whether a person or the building ended a reservation before, or its meeting was over."""
        if booking is not None and booking.state is BookingState.ENDED:
            return True
        return number in self.touched and self.touched[number].ended != ""

    def _note_touch(
        self,
        number: str,
        booking: Booking | None,
        planned: Mapping[Key, Meeting],
        ended: str,
    ) -> None:
        key = _key(booking) if booking else None
        self.touched[number] = Touched(
            ended=ended,
            key=key,
            meant=planned.get(key) if key else None,
            is_current=_is_current(booking, planned),
            edits=self.edits[key] if key else 0,
        )

    def note_approval(self, checksum: str) -> None:
        """A person released what is held under a checksum."""
        self.approved |= self.held[checksum]

    def note_settled(self, booking: Booking, *, again: bool) -> None:
        """A person decided about a reservation that is gone with many others."""
        number = booking.reservation_id or ""
        self._note_touch(
            number, booking, self.planned, "wanted again" if again else "given up"
        )

    def note_other_ledger(self, *, recognised: bool) -> None:
        """An old ledger was put back, or there is none; whether the program can tell."""
        self.put_back = True
        self.unrecognised |= not (recognised and self.world.rules.marker)
        self.shown.clear()

    # What there is

    def bookings(self) -> dict[str, Booking]:
        """The bookings that hold or held a reservation, by its id."""
        with self.world.ledger() as ledger:
            return {
                b.reservation_id: b for b in ledger.bookings.all() if b.reservation_id
            }

    def ours(self) -> Reservations:
        """Our live reservations."""
        everything = self.world.reservations()
        return {
            i: r
            for i, r in everything.items()
            if r["creator"] != STRANGER and r["status"] in LIVE
        }

    # After each cycle

    def watch(self, cycle: Callable[[], Cycle]) -> Cycle:
        """Look at a cycle before and after, and object to what must not be."""
        rules = self.world.rules
        before = self.world.reservations()
        known = self.bookings()
        condemned = {i for i, b in known.items() if b.state is BookingState.CANCELLING}
        done = cycle()
        report = done.report
        planned = (
            report is not None and report.error is None and rules.mode != "observe"
        )
        booked = _shown(known.values())
        heard = self.calendars.hear(
            rules.sources, self.world.now, certain=planned, booked=booked
        )
        meant_before = self.planned
        if planned and report:
            self._note_plan(known, left=bool(report.left))
        if report and report.plan and report.plan.held_checksum:
            self.held[report.plan.held_checksum] = {
                b.reservation_id or "" for b in report.plan.held
            }
        self.delivered_twice |= any(
            fault.startswith("duplicate") for fault in done.trouble.faults
        )
        after = self.world.reservations()
        released = {i for i, r in after.items() if _released(r)} - {
            i for i, r in before.items() if _released(r)
        }
        for number in released:
            booking = known.get(number) or self.bookings().get(number)
            self._note_touch(number, booking, meant_before, "released")
        self._check_outcome(done)
        self._check_mode(done)
        self._check_strangers(before, after)
        self._check_cancels(done, condemned, heard, before | after)
        self._check_told(done, condemned, known)
        self._check_marks(after)
        return done

    def _note_plan(self, before: Mapping[str, Booking], *, left: bool) -> None:
        """Remember what a cycle went by; of one that left work to the next, what it wrote."""
        belief = self.calendars.belief(self.world.rules.sources, self.world.now)
        if not left:
            self.planned = belief
            return
        for number, booking in self.bookings().items():
            key = _key(booking)
            former = before.get(number)
            if key in belief and (former is None or former.origin != booking.origin):
                self.planned[key] = belief[key]

    @staticmethod
    def _check_outcome(done: Cycle) -> None:
        """Nothing fails unless something was made to fail."""
        if not done.trouble.faults and done.trouble.hold_up is None:
            assert done.error is None
            assert done.killed or (
                done.report is not None and done.report.error is None
            )

    def _check_mode(self, done: Cycle) -> None:
        allowed = {
            "observe": set(),
            "create-only": {"create"},
            "no-cancel": {"create", "modify"},
            "full": {"create", "modify", "cancel"},
        }[self.world.rules.mode]
        assert set(done.writes) <= allowed

    @staticmethod
    def _check_strangers(before: Reservations, after: Reservations) -> None:
        for number, reservation in before.items():
            mine = reservation["creator"] != STRANGER
            assert mine or _released(after[number]) or after[number] == reservation

    def _check_marks(self, after: Reservations) -> None:
        """No mark stands on two reservations ahead, unless the network or a restored ledger doubled them."""
        if self.delivered_twice or self.unrecognised:
            return
        marks = Counter(
            r["description"]
            for r in after.values()
            if r["status"] in LIVE
            and r["end_time"] > ms(self.world.now)
            and r["creator"] != STRANGER
            and "[sy:" in r["description"]
        )
        assert [mark for mark, count in marks.items() if count > 1] == []

    def _check_cancels(
        self,
        done: Cycle,
        condemned: set[str],
        heard: dict[str, Heard],
        known: Reservations,
    ) -> None:
        """Each cancel rests on what an attentive person believes by now, or on a person's word.

        Of those `condemned` a cycle before decided it.
        """
        rules = self.world.rules
        belief = self.calendars.belief(rules.sources, self.world.now)
        for number, booking in done.intents.items():
            if number in condemned:
                continue
            key = _key(booking)
            if booking.evidence is Evidence.APPROVED:
                assert number in self.approved
            else:
                meeting = belief.get(key)
                too_early = booking.reason is Reason.TOO_EARLY and not self._near(
                    meeting
                )
                is_wanted = self._wanted(meeting, booking.room_id)
                assert too_early or not is_wanted or self._is_dropped(key), (
                    booking,
                    meeting,
                )
                told = [
                    name
                    for name in rules.sources
                    if key in self.calendars.memory[name].told_of
                ]
                assert told, "somebody must have shown it, else a person decides"
                assert any(heard[name].complete or heard[name].uids for name in told), (
                    "nobody spoke"
                )
            condemned.add(number)
            if booking.evidence is Evidence.SHOWN:
                self.shown.append((self.world.now, booking.source, number))
        self._check_budget(done, heard)
        for number in set(done.cancelled) - condemned:
            assert self.world.rules.marker, "without marks nothing is there twice"
            superfluous = known[number]
            assert any(
                self._twins(known[i], superfluous)
                for i in known
                if int(i) < int(number)
            ), superfluous

    def _check_told(
        self, done: Cycle, condemned: set[str], known: Mapping[str, Booking]
    ) -> None:
        """What one source tells to cancel in one cycle is little, or a person released it."""
        told = Counter(
            booking.source
            for number, booking in done.intents.items()
            if number not in condemned and booking.evidence is Evidence.TOLD
        )
        for name, count in told.items():
            held = [
                b
                for b in known.values()
                if b.source == name and b.state in HOLDING_STATES
            ]
            assert count <= max(TOLD_FLOOR, 0.5 * len(held)), (
                "more than may be told at once"
            )

    def _twins(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether two reservations are of one meeting, as far as a ledger that knows neither can tell."""
        same_mark = bool(one["description"] == other["description"])
        return same_mark or (self.put_back and _content(one) == _content(other))

    def _check_budget(self, done: Cycle, heard: dict[str, Heard]) -> None:
        shown = Counter(
            b.source for b in done.intents.values() if b.evidence is Evidence.SHOWN
        )
        since = self.world.now - timedelta(hours=24)
        # One that the API did not take is decided again, and cancels no other.
        decided = {(name, number) for at, name, number in self.shown if at > since}
        recent = Counter(name for name, _ in decided)
        for name, count in shown.items():
            known = len(self.bookings())
            assert recent[name] <= max(3, 0.3 * known), "more than the budget"
            assert name not in heard or heard[name].uids or count <= 2, (
                "an empty calendar is a question"
            )

    def _wanted(self, meeting: Meeting | None, room_id: str | None) -> bool:
        """Whether a meeting asks for a room (None: for no room)."""
        if meeting is None or meeting.withdrawn or meeting.end <= self.world.now:
            return False
        return room_id in self._room_ids(meeting)

    def _near(self, meeting: Meeting | None) -> bool:
        """Whether the tenant lets it be booked by now."""
        return (
            meeting is not None
            and meeting.start < self.world.now + BOOKABLE - timedelta(hours=2)
        )

    def _is_outdated(self, key: Key) -> bool:
        """Whether the newest copy of an event has it without a date, which an older copy still shows."""
        shown = (self.calendars.events[source] for source in self.world.rules.sources)
        copies = [events[key[0]] for events in shown if key[0] in events]
        said = [dict(event.dates()) for event in copies]
        return key[1] not in max(said, key=_revision)

    def _is_dropped(self, key: Key) -> bool:
        """Whether the newest copy of an event that was heard has it without a date; an older one may show it."""
        uid, date = key
        heard: list[dict[str | None, Meeting]] = []
        for source in self.world.rules.sources:
            believed = self.calendars.memory[source].believed
            heard.append({d: m for (u, d), m in believed.items() if u == uid})
        newest = max(heard, key=_revision)
        return bool(newest) and date not in newest

    def _room_ids(self, meeting: Meeting) -> list[str | None]:
        """What the configuration makes of its rooms: those that it knows, else none."""
        known = [
            self.world.rooms[room]
            for room in meeting.rooms
            if room in self.world.rules.rooms
        ]
        return [*known] or [None]

    # When all is well again

    def compare(self) -> None:
        """Each meeting has its reservation, and each reservation its meeting, but for what is explained."""
        now = self.world.now
        live = {i: r for i, r in self.ours().items() if r["end_time"] > ms(now)}
        with self.world.ledger() as ledger:
            current = ledger.bookings.current()
            left_over = sum(count_leftovers(ledger.facts))
        by_id = {b.reservation_id: b for b in current if b.reservation_id}
        wanted = [
            (key, meeting, room_id)
            for key, meeting in self.truth().items()
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
            elif self._near(meeting) and not self._is_outdated(key):
                missing.append((key, meeting, room_id))
        everything = self.world.reservations()
        for key, meeting, room_id in missing:
            records = [b for b in current if _key(b) == key]
            assert any(
                self._excused(b, meeting, room_id, everything) for b in records
            ), (
                "not booked",
                key,
                meeting,
                room_id,
                [(b, everything.get(b.reservation_id or "")) for b in records],
            )
        unknown = 0
        for number, reservation in sorted(
            live.items(), key=lambda one: one[0] not in self.touched
        ):
            if not spare[_content(reservation)]:
                continue
            spare[_content(reservation)] -= 1
            booking = by_id.get(number)
            if booking is None:
                assert self.put_back, ("nobody's", reservation)
                unknown += 1
            else:
                assert booking.reason is Reason.ROOM_CONFLICT or self._person_decides(
                    booking
                ), (
                    "not as the calendar has it",
                    reservation,
                    booking,
                )
        assert unknown <= left_over or not self.world.rules.marker, (
            "what is nobody's is told"
        )
        self._check_ledger(current)
        self._check_respect(live, by_id)

    def _check_ledger(self, current: Iterable[Booking]) -> None:
        """What counts as booked is booked."""
        everything = self.world.reservations()
        for booking in current:
            assert not booking.in_doubt
            if booking.state in HOLDING_STATES and booking.spec.end > self.world.now:
                there = everything[booking.reservation_id or ""]
                assert there["status"] in LIVE, booking
                assert there["end_time"] > ms(self.world.now), booking
                waits = there["status"] == WAITS_FOR_APPROVAL
                assert (booking.state is BookingState.APPROVAL) == waits, booking

    def _check_respect(self, live: Reservations, by_id: Mapping[str, Booking]) -> None:
        """What a person ended is not booked again while the calendar says what it said."""
        if self.put_back or self.delivered_twice:
            return
        truth = self.truth()
        having = Counter(_key(by_id[number]) for number in live if number in by_id)
        given_up = Counter(
            t.key
            for t in self.touched.values()
            if t.ended
            and not self._fought(t)
            and t.key
            and t.is_current
            and t.meant == truth.get(t.key)
            and t.edits == self.edits[t.key]
        )
        for key, count in given_up.items():
            assert key is not None  # those without are not counted
            assert having[key] + count <= len(self._room_ids(truth[key])), (
                "booked again",
                key,
            )

    def _excused(
        self,
        booking: Booking,
        meeting: Meeting,
        room_id: str | None,
        everything: Reservations,
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
        if booking.reason is Reason.NOT_THE_ORGANIZER:
            # A person gave it up on the word of another copy; that this is gone by now brings it not back.
            return booking.spec.topic == meeting.topic
        return self._person_decides(booking)

    def _person_decides(self, booking: Booking) -> bool:
        """Whether what a person did to a reservation may still count."""
        number = booking.reservation_id or ""
        if booking.state is BookingState.RELEASED and self.put_back:
            return True  # the ledger does not know any more who cancelled it
        if booking.drifted and self.put_back and self.world.rules.on_change != "repair":
            return True  # nor who changed it: a person, or we ourselves
        touched = self.touched.get(number)
        if touched is None:
            return False
        key = _key(booking)
        if self.put_back or key != touched.key:
            return True
        meant = self.truth().get(key)
        if meant != touched.meant and self.edits[key] != touched.edits:
            return False  # the calendar's own event changed since
        begun = booking.spec.start <= self.world.now or (
            meant is not None and meant.start <= self.world.now
        )
        return begun or not self._fought(touched)

    def _fought(self, touched: Touched) -> bool:
        """Whether the configuration wants undone what was done to a reservation; a rejection never is."""
        rules = self.world.rules
        return {
            "": rules.on_change == "repair",
            "rejected": False,
            "cancelled": rules.on_cancel == "rebook",
            "released": rules.on_cancel == "rebook",
            "wanted again": True,
            "given up": False,
        }[touched.ended]

    def rejected(self, booking: Booking) -> bool:
        """Whether an approver rejected it."""
        touched = self.touched.get(booking.reservation_id or "")
        return (
            booking.state is BookingState.REFUSED
            and touched is not None
            and touched.ended == "rejected"
        )


def _shown(bookings: Iterable[Booking]) -> dict[str, set[str]]:
    """The UIDs that each source showed and that have reservations; those of an emptied one if there are."""
    shown: dict[str, set[str]] = {}
    held: dict[str, set[str]] = {}
    for booking in bookings:
        for name in booking.witnesses if booking.state in HOLDING_STATES else ():
            shown.setdefault(name, set()).add(booking.key.uid)
            if booking.reason is Reason.SOURCE_EMPTY:
                held.setdefault(name, set()).add(booking.key.uid)
    return shown | held


def _revision(dates: Mapping[str | None, Meeting]) -> int:
    """The revision of a copy of an event, by its dates."""
    return max((meeting.revision for meeting in dates.values()), default=0)


def _is_current(booking: Booking | None, planned: Mapping[Key, Meeting]) -> bool:
    """Whether a reservation holds what its meeting is; not where the mode left an edit unwritten."""
    meeting = planned.get(_key(booking)) if booking else None
    if booking is None or meeting is None:
        return False
    spec = booking.spec
    held = (spec.topic, spec.start, spec.end)
    return held == (meeting.topic, meeting.start, meeting.end)


def _key(booking: Booking) -> Key:
    return booking.key.uid, booking.key.recurrence_id


def _released(reservation: dict[str, Any]) -> bool:
    """Whether the building ended it because nobody came."""
    return bool(reservation["ended_by"] == "release")


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
