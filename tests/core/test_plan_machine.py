"""Random calendars with random histories against what a cycle guarantees.

The machine edits two calendars that share UIDs, lets their readings fail in every way that there is, and
applies each plan to bookings.
What may be cancelled is judged a second time here, from the calendars and from what was read of them,
without the code under test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Cancel, OnChange, Plan, Skip, Update
from syncd.core.evidence import Safety
from syncd.core.mapper import Mapper, Wanted
from syncd.core.occurrence import (
    Authority,
    Missing,
    Occurrence,
    OccurrenceKey,
    Presence,
    Reading,
)
from syncd.core.reasons import Evidence, Reason
from syncd.core.reservation import ReservationSpec
from syncd.core.rooms import RoomRule
from tests.conftest import examples
from tests.core.office import DAY, RULES, Office, event, told

SOURCES = ("one", "two")
TOLD_FLOOR = 2
CONFIRMATIONS = {"one": 1, "two": 2}
UIDS = tuple("pqrs")  # each with an hour of its own, so that no two meet
HORIZON = 12

uids = st.sampled_from(UIDS)
sources = st.sampled_from(SOURCES)
days = st.integers(1, HORIZON + 4)
faults = st.sampled_from(
    [
        "",
        "",
        "",
        "quarantined",
        "incomplete",
        "unreadable",
        "empty",
        "no documents",
        "not asked",
    ]
)
rooms = st.sampled_from(["", "a", "b", "a, b", "b, c", "c, b, a"])


@dataclass
class Entry:
    """All components of one UID in one calendar: dates by original day (None: it does not recur)."""

    dates: dict[int | None, Occurrence]
    detached: bool = False


@dataclass
class Witness:
    """What was read of one source, as far as it was understood, by key: when it was last not there."""

    showed: set[OccurrenceKey] = field(default_factory=set)
    lacked: Counter[OccurrenceKey] = field(default_factory=Counter)


def _is_told_off(change: Update | Cancel) -> bool:
    """Whether a write gives up a room because a calendar tells so."""
    match change:
        case Cancel(evidence=evidence):
            return evidence is Evidence.TOLD
        case Update(meeting=meeting, booking=booking):
            return booking.room_id is not None and meeting.spec.room_id is None


def _writes_about(
    decided: Plan, uid: str
) -> list[tuple[str, OccurrenceKey, str | None]]:
    """What a plan writes about a UID: kind, date and room."""
    rows = []
    for change in decided.writes:
        key = change.booking.key if isinstance(change, Cancel) else change.meeting.key
        room = (
            change.booking.room_id
            if isinstance(change, Cancel)
            else change.meeting.spec.room_id
        )
        if key.uid == uid:
            rows.append((type(change).__name__, key, room))
    return sorted(rows, key=str)


def _times_told(decided: Plan, booking: Booking) -> int:
    """Count how often a plan says what becomes of a booking: in a row, as closed, or as kept."""
    told_of = [closed.row for closed in decided.closed]
    told_of += [keep.booking.row for keep in decided.kept]
    for change in decided.changes:
        if isinstance(change, Skip):
            if (
                change.reason is not Reason.QUARANTINED
                and change.reservation_id == booking.reservation_id
            ):
                told_of.append(booking.row)
        elif change.booking is not None:
            told_of.append(change.booking.row)
    return told_of.count(booking.row)


def _lacks_date(reading: Reading | None, key: OccurrenceKey) -> bool:
    """Whether a complete reading has an event as a series, and this date of it is not there."""
    if reading is None or not reading.complete:
        return False
    if reading.presence.get(key.uid) is not Presence.SERIES:
        return False
    return all(occurrence.key != key for occurrence in reading.occurrences)


def _with(reading: Reading, rival: Occurrence) -> Reading:
    """The reading with a copy more, if it is of the source of that copy."""
    if reading.source != rival.source:
        return reading
    presence = {**reading.presence, rival.key.uid: Presence.SERIES}
    return replace(
        reading, occurrences=(*reading.occurrences, rival), presence=presence
    )


def hour_of(uid: str) -> float:
    return UIDS.index(uid) * 2 / 24


class Calendars(RuleBasedStateMachine):
    """Edits and readings in any order; the invariants are checked after each cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(
            sources=SOURCES,
            horizon=HORIZON * DAY,
            safety=Safety(
                confirmations=CONFIRMATIONS,
                cancel_floor=2,
                empty_hold=1,
                told_floor=TOLD_FLOOR,
            ),
        )
        self.calendars: dict[str, dict[str, Entry]] = {name: {} for name in SOURCES}
        self.witnesses: defaultdict[str, Witness] = defaultdict(Witness)
        self.revision = 0

    # Edits

    def _new(self, uid: str, day: int, original: int | None, room: str) -> Occurrence:
        self.revision += 1
        hour = hour_of(uid)
        return event(
            uid,
            day + hour,
            original=None if original is None else original + hour,
            rooms=room,
            title=f"{uid}{self.revision}",
            sequence=self.revision,
        )

    @initialize(there=st.lists(st.tuples(sources, uids, days, rooms), max_size=8))
    def begin(self, there: list[tuple[str, str, int, str]]) -> None:
        for source, uid, day, room in there:
            self.calendars[source][uid] = Entry({None: self._new(uid, day, None, room)})
        self.good_cycle()

    @rule(source=sources, uid=uids, day=days, room=rooms)
    def add_single(self, source: str, uid: str, day: int, room: str) -> None:
        self.calendars[source][uid] = Entry({None: self._new(uid, day, None, room)})

    @rule(
        source=sources,
        uid=uids,
        begin=days,
        step=st.integers(1, 3),
        room=rooms,
        detached=st.booleans(),
    )
    def add_series(
        self, source: str, uid: str, begin: int, step: int, room: str, detached: bool
    ) -> None:
        dates: dict[int | None, Occurrence] = {}
        for day in range(begin, begin + 4 * step, step):
            dates[day] = self._new(uid, day, day, room)
        self.calendars[source][uid] = Entry(dates, detached)

    @rule(
        source=sources,
        uid=uids,
        data=st.data(),
        day=days,
        room=rooms,
        cancelled=st.booleans(),
    )
    def edit(
        self,
        source: str,
        uid: str,
        data: st.DataObject,
        day: int,
        room: str,
        cancelled: bool,
    ) -> None:
        entry = self.calendars[source].get(uid)
        if entry and entry.dates:
            which = data.draw(st.sampled_from(sorted(entry.dates, key=str)))
            entry.dates[which] = replace(
                self._new(uid, day, which, room), cancelled=cancelled
            )

    @rule(source=sources, uid=uids, data=st.data())
    def drop_date(self, source: str, uid: str, data: st.DataObject) -> None:
        entry = self.calendars[source].get(uid)
        if entry and entry.dates:
            del entry.dates[data.draw(st.sampled_from(sorted(entry.dates, key=str)))]

    @rule(uid=uids)
    def share(self, uid: str) -> None:
        if uid in self.calendars["one"]:
            entry = self.calendars["one"][uid]
            self.calendars["two"][uid] = Entry(dict(entry.dates), entry.detached)

    @rule(source=sources, uid=uids)
    def remove(self, source: str, uid: str) -> None:
        self.calendars[source].pop(uid, None)

    @rule(source=sources)
    def clear(self, source: str) -> None:
        self.calendars[source].clear()

    @rule(source=sources, cancelled=st.booleans())
    def tell_off(self, source: str, cancelled: bool) -> None:
        """One line in a calendar's head cancels all that stands in it, or an export leaves all rooms out."""
        for entry in self.calendars[source].values():
            for day, occurrence in entry.dates.items():
                self.revision += 1
                told_off = replace(occurrence, sequence=self.revision)
                if cancelled:
                    entry.dates[day] = replace(told_off, cancelled=True)
                else:
                    entry.dates[day] = replace(told_off, location="")

    @rule()
    def let_a_day_pass(self) -> None:
        self.office.now += DAY

    @rule(names=st.sets(sources, min_size=1))
    def configure(self, names: set[str]) -> None:
        self.office.sources = tuple(name for name in SOURCES if name in names)

    @rule(known=st.sets(st.sampled_from(RULES.rooms)))
    def configure_rooms(self, known: set[RoomRule]) -> None:
        self.office.rules = replace(
            RULES, rooms=tuple(room for room in RULES.rooms if room in known)
        )

    @rule(policy=st.sampled_from(OnChange), data=st.data())
    def change_by_hand(self, policy: OnChange, data: st.DataObject) -> None:
        """Somebody renames a reservation in Tuya, and the drift check sees it."""
        self.office.on_change = policy
        if live := self._live():
            booking = data.draw(st.sampled_from(live))
            content = replace(booking.spec, topic="By hand")
            self.office.store(
                replace(
                    booking, content=content, drifted=booking.drifted or booking.origin
                )
            )

    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        """A comparison finds that reservations are gone with too many others to be the work of people."""
        if live := self._live():
            for booking in data.draw(
                st.lists(st.sampled_from(live), min_size=1, unique_by=lambda b: b.row)
            ):
                self.office.store(booking.vanished("Many are gone."))

    @rule(retry=st.booleans())
    def settle_vanished(self, retry: bool) -> None:
        """Another project was asked, or a person has them booked again."""
        for booking in self.office.live:
            if booking.is_vanished:
                over = booking.with_state(BookingState.CANCELLED)
                self.office.store(over if retry else booking.settled())

    # Readings

    def _read(self, source: str, fault: str, broken: set[str]) -> Reading | None:
        office, calendar = self.office, self.calendars[source]
        match fault:
            case "not asked":
                return None
            case "unreadable":
                return office.unreadable(source)
            case "empty":
                return office.reading(source=source)
            case "no documents":
                return office.reading(source=source, documents=0)
        error = "cut" if fault == "incomplete" else None
        read = {u: e for u, e in calendar.items() if not (error and u in broken)}
        presence = {
            uid: Presence.DETACHED if e.detached else Presence.SERIES
            for uid, e in read.items()
        }
        if fault == "quarantined":
            presence |= dict.fromkeys(broken, Presence.QUARANTINED)
        seen = [
            o
            for o in self._visible(read)
            if presence[o.key.uid] is not Presence.QUARANTINED
        ]
        return office.reading(*seen, source=source, presence=presence, error=error)

    def _spec(self, occurrence: Occurrence) -> tuple[ReservationSpec, ...]:
        mapped = Mapper(self.office.rules).map(occurrence)
        assert isinstance(mapped, Wanted)
        return mapped.specs

    @rule(
        rounds=st.lists(
            st.tuples(faults, faults, st.sets(uids)), min_size=1, max_size=4
        )
    )
    def cycles(self, rounds: list[tuple[str, str, set[str]]]) -> None:
        """Readings that may fail; what is broken is left out of an incomplete one, or quarantined."""
        for one, two, broken in rounds:
            self._cycle_with({"one": one, "two": two}, broken)

    @rule(
        source=sources,
        gone=st.sets(uids, min_size=1),
        alone=st.booleans(),
        minutes=st.sampled_from([0, 2]),
    )
    def file_goes(self, source: str, gone: set[str], alone: bool, minutes: int) -> None:
        """A file of a directory is gone, for less than its grace or longer, and held one event or several."""
        if source not in self.office.sources:
            return
        gone = set(sorted(gone)[:1]) if alone else gone
        there = self.calendars[source]
        self.calendars[source] = {
            uid: entry for uid, entry in there.items() if uid not in gone
        }
        readings = {name: self._read(name, "", set()) for name in self.office.sources}
        self.calendars[source] = there
        lacking = readings[source]
        assert lacking is not None
        away = timedelta(minutes=minutes)
        missing = (
            Missing("gone.ics", away, alone or len(gone) == 1, gone.__contains__),
        )
        readings[source] = replace(lacking, missing=missing)
        decided = self._cycle(
            {name: reading for name, reading in readings.items() if reading is not None}
        )
        for cancel in decided.writes:
            if not isinstance(cancel, Cancel) or cancel.evidence is Evidence.APPROVED:
                continue
            if cancel.reason is Reason.ROOM_REMOVED:
                continue  # another calendar has a living copy, which names other rooms
            if cancel.booking.source == source and cancel.booking.key.uid in gone:
                assert minutes, "nothing follows from a file that is gone for a moment"
                assert len(gone) == 1, (
                    "a person decides about a file that held several events"
                )

    @rule(
        uid=uids,
        day=days,
        room=rooms,
        cancelled=st.booleans(),
        organizer=st.sampled_from(["", "mallory@example.com"]),
        authority=st.sampled_from(Authority),
    )
    def attack(
        self,
        uid: str,
        day: int,
        room: str,
        cancelled: bool,
        organizer: str,
        authority: Authority,
    ) -> None:
        """Somebody writes the UID of a meeting of others, with a higher SEQUENCE, into his own calendar."""
        # Where the calendar that decided shows a date no more, another copy may be all that is left of it.
        shown = {
            o.key
            for name in self.office.sources
            for o in self._visible(self.calendars[name])
        }
        of_event = [b for b in self._live() if b.key.uid == uid]
        live = [b for b in of_event if b.key in shown]
        free = [name for name in self.office.sources if uid not in self.calendars[name]]
        deciding = {b.source for b in live}
        # Whose calendar decided about any date of it is no stranger: by what it shows of the event again it
        # may cancel that date, although others show the rest.
        strangers = set(free) - {b.source for b in of_event}
        if (
            not live
            or not deciding <= set(self.office.sources)
            or strangers != set(free)
            or not free
        ):
            return
        before = {name: self._read(name, "", set()) for name in self.office.sources}
        honest = [reading for reading in before.values() if reading is not None]
        for booking in live[:1]:
            rival = self._new(uid, day, None, room)
            names_people = authority is not Authority.NOBODY
            rival = replace(
                rival,
                key=booking.key,
                cancelled=cancelled,
                sequence=1000 + self.revision,
                authority=authority if organizer else min(authority, Authority.GUEST),
                copy_organizer=(organizer,) if organizer and names_people else (),
            )
            attacked = [
                _with(reading, replace(rival, source=free[0])) for reading in honest
            ]
            expected, found = self.office.plan(*honest), self.office.plan(*attacked)
            assert _writes_about(found, uid) == _writes_about(expected, uid)

    @rule()
    def good_cycle(self) -> None:
        self._cycle_with({}, set())

    def _cycle_with(self, failing: dict[str, str], broken: set[str]) -> Plan:
        readings = {
            name: self._read(name, failing.get(name, ""), broken)
            for name in self.office.sources
        }
        return self._cycle(
            {name: reading for name, reading in readings.items() if reading is not None}
        )

    def _cycle(self, readings: dict[str, Reading]) -> Plan:
        office = self.office
        for name, reading in readings.items():
            self._note(self.witnesses[name], reading)
        decided = office.plan(*readings.values())
        shuffled = office.plan(
            *(replace(r, occurrences=r.occurrences[::-1]) for r in readings.values()),
            order=office.current[::-1],
        )
        assert (shuffled, shuffled.checksum) == (decided, decided.checksum)
        assert {_times_told(decided, booking) for booking in office.current} <= {1}
        self._check_writes(decided, readings)
        office.apply(decided)
        again = office.plan(*readings.values())
        assert told(again) == [
            row for row in told(again) if row[0] not in {"create", "update", "cancel"}
        ]
        office.now += timedelta(minutes=1)
        return decided

    @staticmethod
    def _note(witness: Witness, reading: Reading) -> None:
        """What an attentive person would remember of this reading."""
        there = {o.key for o in reading.occurrences}
        witness.lacked = Counter(
            {k: n for k, n in witness.lacked.items() if k not in there}
        )
        witness.showed |= there
        if reading.complete:
            for key in witness.showed - there:
                if reading.presence.get(key.uid) is not Presence.QUARANTINED:
                    witness.lacked[key] += 1

    def _check_writes(self, decided: Plan, readings: dict[str, Reading]) -> None:
        held_before = {b.row: b for b in self._live()}
        # What somebody moved to a time that is over goes on as long as its meeting is still to come.
        holding = {b.row: b for b in self.office.live}
        for change in decided.writes:
            if isinstance(change, Update | Cancel):
                booking = holding[change.booking.row]
                assert not booking.is_vanished, "a person decides about what vanished"
                assert booking.row in held_before or isinstance(change, Update), (
                    "nothing over is cancelled"
                )
                answers = readings.get(booking.source)
                heard = answers is not None and answers.readable
                assert heard or booking.source not in self.office.sources, (
                    "a source that cannot be read changes nothing of its bookings"
                )
            if (
                isinstance(change, Update)
                and not change.meeting.spec.room_id
                and not decided.released
            ):
                same_event = (
                    change.booking.origin == change.meeting.occurrence.fingerprint
                )
                assert not (same_event and change.booking.room_id), (
                    "a room is given up by a person"
                )
            if isinstance(change, Cancel) and change.evidence is not Evidence.APPROVED:
                self._check_cancel(change, readings, decided)
        shown = Counter(
            c.booking.source
            for c in decided.writes
            if isinstance(c, Cancel) and c.evidence is Evidence.SHOWN
        )
        for name, count in shown.items():
            live = sum(b.source == name for b in held_before.values())
            assert count <= max(2, 0.3 * live), "more than the budget"

        told_off = (
            c
            for c in decided.writes
            if isinstance(c, Update | Cancel) and _is_told_off(c)
        )
        given_up = Counter(change.booking.source for change in told_off)
        for name, count in given_up.items():
            live = sum(b.source == name for b in held_before.values())
            assert decided.released or count <= max(TOLD_FLOOR, 0.5 * live), (
                "more than may be told at once"
            )

    def _live(self) -> list[Booking]:
        return [b for b in self.office.live if b.spec.end > self.office.now]

    def _neighbours(
        self, name: str, reading: Reading, decided: Plan
    ) -> tuple[int, int]:
        """Live bookings that a source shows, and those of them whose event it has under their newest key."""
        keys = {b.row: b.key for b in decided.amended}
        shown = [keys.get(b.row, b.key) for b in self._live() if name in b.witnesses]
        return len(shown), sum(key.uid in reading.presence for key in shown)

    def _check_cancel(
        self, cancel: Cancel, readings: dict[str, Reading], decided: Plan
    ) -> None:
        """May this be cancelled? Asked of the readings alone."""
        booking = cancel.booking
        key, room = booking.key, booking.room_id
        copies = [o for r in readings.values() for o in r.occurrences if o.key == key]
        of_a_date = {
            Reason.OCCURRENCE_REMOVED: Evidence.TOLD,
            Reason.NO_LONGER_BOOKABLE: Evidence.SHOWN,
        }
        if (
            copies
            and cancel.evidence is of_a_date.get(cancel.reason)
            and self._is_denied(booking, readings)
        ):
            return
        if copies:
            newest = max(copies, key=lambda o: o.sequence)
            rooms_now = {spec.room_id for spec in self._spec(newest)}
            assert cancel.evidence is Evidence.TOLD
            assert newest.cancelled or room not in rooms_now
            return
        asked = [
            name
            for name in self.office.sources
            if key in self.witnesses[name].showed and name in booking.witnesses
        ]
        assert asked, "somebody must have shown it, else a person decides"
        speaks_of_it = []
        for name in asked:
            reading = readings.get(name)
            assert reading is not None
            assert reading.complete
            presence = reading.presence.get(key.uid)
            assert presence is not Presence.QUARANTINED
            assert reading.documents > 0
            live, there = self._neighbours(name, reading, decided)
            assert presence is Presence.SERIES or there > 0 or live <= 1
            speaks_of_it.append(presence is Presence.SERIES)
        if cancel.evidence is Evidence.TOLD:
            assert all(speaks_of_it)
            assert key.recurrence_id is not None, (
                "a single event does not say that it is cancelled"
            )
        else:
            assert cancel.evidence is Evidence.SHOWN
            needed = {
                n: CONFIRMATIONS[n]
                for n, told in zip(asked, speaks_of_it, strict=True)
                if not told
            }
            assert needed or key.recurrence_id is None
            assert all(
                self.witnesses[n].lacked[key] >= times for n, times in needed.items()
            )

    def _is_denied(self, booking: Booking, readings: dict[str, Reading]) -> bool:
        """Whether a source that decided about a date has the series without it, which only others show.

        Several decided where a room was kept for a person while others were booked on the word of another.
        """
        deciding = {b.source for b in self.office.current if b.key == booking.key}
        return any(_lacks_date(readings.get(name), booking.key) for name in deciding)

    @invariant()
    def nothing_is_booked_twice(self) -> None:
        """One live booking for each occurrence and room, and one reservation for each booking."""
        slots = Counter((b.key, b.room_id) for b in self.office.current)
        assert [slot for slot, count in slots.items() if count > 1] == []
        ids = Counter(b.reservation_id for b in self.office.current)
        assert max(ids.values(), default=0) <= 1

    # When all is well

    @rule()
    def calm(self) -> None:
        """All sources readable, and a person who says yes: what is booked is what the calendars want."""
        office = self.office
        office.rules, office.on_change = RULES, OnChange.REPAIR
        self.settle_vanished(retry=True)
        for _ in range(4):
            decided = self._cycle_with({}, set())
            office.approved = frozenset({decided.held_checksum or ""})
        office.approved = frozenset()
        by_hand = {
            b.key for b in self._live() if b.drifted and b.spec.start <= office.now
        }
        wanted = [(key, spec) for key, spec in self._wanted() if key not in by_hand]
        # What a person gave up on the word of another copy is not booked again until its event changes.
        doubtful = {
            b.key for b in office.current if b.reason is Reason.NOT_THE_ORGANIZER
        }
        doubtful |= self._denied_by_the_newest()
        live = {
            (b.key, b.spec.fingerprint) for b in self._live() if b.key not in by_hand
        }
        last_horizon = office.window.end - timedelta(minutes=1)
        near = {
            (k, s.fingerprint)
            for k, s in wanted
            if s.start < last_horizon and k not in doubtful
        }
        assert live >= near, "every meeting within the horizon is booked"
        # Whether what lies beyond the reach of a reading is still wanted is seen when its day comes nearer.
        in_reach = {
            (b.key, b.spec.fingerprint)
            for b in self._live()
            if b.key not in by_hand and b.spec.start < office.window.reach
        }
        assert in_reach <= {(k, s.fingerprint) for k, s in wanted}, (
            "nothing is booked that nobody wants"
        )

    def _wanted(self) -> list[tuple[OccurrenceKey, ReservationSpec]]:
        """What the newest of the copies that are not over ask for."""
        newest: dict[OccurrenceKey, Occurrence] = {}
        for name in self.office.sources:
            for occurrence in self._visible(self.calendars[name]):
                rival = newest.setdefault(occurrence.key, occurrence)
                if occurrence.sequence > rival.sequence:
                    newest[occurrence.key] = occurrence
        return [
            (k, spec)
            for k, o in newest.items()
            if not o.cancelled
            for spec in self._spec(o)
        ]

    def _denied_by_the_newest(self) -> set[OccurrenceKey]:
        """Dates that only older copies of an event show; who decided before tells whether they are there."""
        newest: dict[str, tuple[int, str]] = {}
        for name in self.office.sources:
            for uid, entry in self.calendars[name].items():
                revision = max((o.sequence for o in entry.dates.values()), default=0)
                newest[uid] = max(newest.get(uid, (0, "")), (revision, name))
        denied: set[OccurrenceKey] = set()
        for name in self.office.sources:
            for occurrence in self._visible(self.calendars[name]):
                uid = occurrence.key.uid
                own = self.calendars[newest[uid][1]][uid].dates.values()
                if all(o.key != occurrence.key for o in own):
                    denied.add(occurrence.key)
        return denied

    def _visible(self, calendar: dict[str, Entry]) -> list[Occurrence]:
        every = (
            replace(occurrence, explicit=entry.detached)
            for entry in calendar.values()
            for occurrence in entry.dates.values()
        )
        return [o for o in every if self._spec(o)[0].end > self.office.now]

    def teardown(self) -> None:
        """Whatever happened before, calm days make it right."""
        self.calm()


TestCalendars = Calendars.TestCase
TestCalendars.settings = settings(
    max_examples=examples(50, thorough=400),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
