"""What a cycle would do: wanted meetings against bookings.

`plan` decides everything and touches nothing.
The same inputs give the same plan in the same order with the same checksum, and planning the outcome of
a plan gives nothing to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels, Draft
from syncd.core.changes import Cancel, Create, Hold, OnCancel, OnChange, Plan, Renamed, Skip, Update, Wait
from syncd.core.evidence import Absence, confirmed
from syncd.core.idle import at_rest
from syncd.core.mapper import Mapped, Skipped
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Defect, Occurrence, OccurrenceKey, Reading, Timespan, extent_of
from syncd.core.order import writing_order
from syncd.core.policy import REPAIRS, Policy
from syncd.core.reasons import MEANINGS, REFUSALS, Evidence, Reason
from syncd.core.rekey import AT_ONCE, moved_keys
from syncd.core.reservation import ReservationSpec
from syncd.core.swapped_sources import exchanged, looks_alike
from syncd.core.text import fold_space
from syncd.core.totals import Resting

REPEATS = 3
"""Requests for one change that follow each other at once; others wait until a lost one cannot arrive."""


def plan(
    witnessed: Sequence[Witnessed],
    mapped: Mapping[OccurrenceKey, Mapped],
    readings: Mapping[str, Reading],
    bookings: Iterable[Booking],
    policy: Policy,
    now: datetime,
    resting: Resting | None = None,
) -> Plan:
    """Decide what to do about every meeting and every booking.

    `mapped` has an entry for each occurrence of `witnessed`; `bookings` are the current ones.
    UIDs that are at rest may be left out of all of these, each as a whole: `resting` stands for them.
    """
    return _Planner(readings, policy, now, resting or Resting()).run(witnessed, mapped, bookings)


class _Planner:
    """The working state of one call of `plan`."""

    def __init__(
        self, readings: Mapping[str, Reading], policy: Policy, now: datetime, resting: Resting
    ) -> None:
        self.readings = readings
        self.policy = policy
        self.now = now
        self.resting = resting
        self.draft = Draft()
        self.cancels = Cancels(self.draft, readings, policy, resting.tally)
        self.unchanged: list[Booking] = []
        self.rekeyed = 0
        self.renamed: tuple[Renamed, ...] = ()
        self.wishes: list[Booking] = []
        self.meetings: dict[OccurrenceKey, list[Meeting]] = {}
        self.scopes: set[str] = set()
        self.occurrences: dict[OccurrenceKey, tuple[Witnessed, Mapped]] = {}
        self.sources_of: defaultdict[tuple[str, str | None], set[str]] = defaultdict(set)
        self.by_reservation: dict[str, Booking] = dict(resting.holders)

    def run(
        self,
        witnessed: Sequence[Witnessed],
        mapped: Mapping[OccurrenceKey, Mapped],
        bookings: Iterable[Booking],
    ) -> Plan:
        self._sort_out(witnessed, mapped)
        self.scopes = {key.scope for key in self.meetings}
        current: dict[OccurrenceKey, list[Booking]] = {}
        doubtful: set[OccurrenceKey] = set()
        for booking in sorted(bookings, key=lambda b: (b.key, b.room_id or "", b.row)):
            if booking.reservation_id and (booking.in_doubt or booking.state in HOLDING_STATES):
                self.by_reservation[booking.reservation_id] = booking
            if booking.is_unanswered:
                doubtful.add(booking.key)
                doubtful.update(self._elsewhere(booking))
                self.draft.add(Hold(booking, Reason.IN_DOUBT, booking.detail or MEANINGS[Reason.IN_DOUBT]))
            elif booking.spec.end <= self.now and not (booking.drifted and booking.key in self.meetings):
                self.draft.closed.append(booking.with_state(BookingState.ENDED))
            else:
                current.setdefault(booking.key, []).append(self._not_missed(booking))
        self._follow_exchanged_sources(current)
        self.cancels.take_stock(booking for booked in current.values() for booking in booked)
        self._follow_moved_keys(current, doubtful)
        self.cancels.take_stock(booking for booked in current.values() for booking in booked)
        for key in sorted((set(current) | set(self.meetings)) - doubtful):
            meetings, booked = self.meetings.get(key, []), current.get(key, [])
            if not self._outvoted(key, meetings, booked):
                self._pair(meetings, booked)
        self._report_quarantined(current)
        released = self.cancels.conclude()
        self._retry_freed_rooms()
        self._ration_calls()
        resting = at_rest(
            self.draft,
            self.wishes,
            [booking for booked in current.values() for booking in booked],
            self.unchanged,
            self.occurrences,
            self.policy,
            self.now,
        )
        return Plan(
            mode=self.policy.mode,
            changes=writing_order(self.draft.changes),
            unchanged=len(self.unchanged) + sum(self.resting.tally.unchanged[name] for name in self.readings),
            amended=(*self.draft.amended.values(), *self.wishes),
            closed=tuple(self.draft.closed),
            rekeyed=self.rekeyed,
            renamed=self.renamed,
            released=released,
            at_rest=resting,
        )

    # What is wanted

    def _sort_out(self, witnessed: Sequence[Witnessed], mapped: Mapping[OccurrenceKey, Mapped]) -> None:
        for seen in witnessed:
            occurrence, result = seen.occurrence, mapped[seen.occurrence.key]
            self.occurrences[occurrence.key] = (seen, result)
            self.sources_of[occurrence.key.uid, occurrence.key.recurrence_id].update(seen.witnesses)
            if occurrence.cancelled:
                continue
            if isinstance(result, Skipped):
                extent = extent_of(occurrence)
                if extent.start < self.policy.window.end and extent.end > self.now:
                    self.draft.add(_skip(occurrence, result, extent))
                continue
            self.meetings[occurrence.key] = [
                Meeting(occurrence, seen.witnesses, spec, result.notes, result.publications, result.rejected)
                for spec in result.specs
                if spec.end > self.now
            ]

    def _not_missed(self, booking: Booking) -> Booking:
        """The booking without its count of readings that lack it, if its source has the occurrence again."""
        known = self.occurrences.get(booking.key)
        if not booking.missed or known is None or booking.source not in known[0].witnesses:
            return booking
        seen = replace(booking, missed=0, missed_in="")
        self.draft.amended[booking.row] = seen
        return seen

    def _outvoted(self, key: OccurrenceKey, meetings: list[Meeting], booked: list[Booking]) -> bool:
        """Whether to leave an occurrence because the source that decided its content is silent about it.

        The copies that others show, or other files of the same source, may be older ones, so nothing follows
        where they differ.
        """
        if key not in self.occurrences:
            return False
        witnesses = self.occurrences[key][0].witnesses
        holding = [b for b in booked if b.state in HOLDING_STATES]
        silent = [
            (booking, why)
            for booking in holding
            if booking.source in self.policy.configured
            and (booking.source not in witnesses or self.cancels.awaited_file(key.uid, [booking.source]))
            and (why := self._missed_by_its_source(booking)).evidence is None
        ]
        if not silent or {b.spec for b in holding} == {m.spec for m in meetings}:
            return False
        for booking, why in silent:
            self._count(booking, why)
            where = "Another file" if booking.source in witnesses else "Another source"
            self.draft.add(Hold(booking, why.reason, f"{where} shows it otherwise. {why.detail}"))
        return True

    def _missed_by_its_source(self, booking: Booking) -> Absence:
        """What it proves that the source that decided a booking's content does not show its occurrence."""
        absence = self.cancels.answer(booking, booking.source)
        if absence.reason is not Reason.EVENT_GONE or booking.reason is Reason.SOURCE_EMPTY:
            return absence  # for what an empty calendar lacked, the other copy counts already
        return confirmed(booking, absence, [self.readings[booking.source]], self.policy.safety)

    def _elsewhere(self, booking: Booking) -> Iterable[OccurrenceKey]:
        """Keys under which another source seems to show the meeting of a booking that is in doubt.

        Booked under one of them it could be there twice.
        """
        own = booking.key
        if any(looks_alike(m.spec, booking.spec) for m in self.meetings.get(own, ())):
            return
        for scope in self.scopes:
            key = replace(own, scope=scope)
            if any(looks_alike(m.spec, booking.spec) for m in self.meetings.get(key, ())):
                yield key

    def _is_silent(self, booking: Booking) -> bool:
        """Whether the source of a booking could not be read, so that its meeting may still be there."""
        reading = self.readings.get(booking.source)
        return booking.source in self.policy.configured and (reading is None or not reading.readable)

    def _follow_exchanged_sources(self, current: dict[OccurrenceKey, list[Booking]]) -> None:
        """Give bookings whose meeting another source shows now the key that it has there."""
        followed = exchanged(current, self.meetings, self._is_silent)
        moving = [b for booked in current.values() for b in booked if b.row in followed]
        for booking in moving:
            current[booking.key].remove(booking)
            if not current[booking.key]:
                del current[booking.key]
        for booking in moving:
            meeting = followed[booking.row]
            moved = replace(booking.shown_by(meeting), key=meeting.key, missed=0, missed_in="")
            current.setdefault(moved.key, []).append(moved)
            self.draft.amended[moved.row] = moved
            self.rekeyed += 1

    def _follow_moved_keys(
        self, current: dict[OccurrenceKey, list[Booking]], doubtful: Collection[OccurrenceKey]
    ) -> None:
        """Give bookings whose key is gone the key that their meeting has now."""
        lost = {
            booking.row: booking
            for key, booked in current.items()
            if key not in self.occurrences and key not in doubtful
            for booking in booked
        }
        fresh = [
            meeting
            for key, found in self.meetings.items()
            if key not in current and key not in doubtful
            for meeting in found
        ]
        known: defaultdict[str, set[str]] = defaultdict(set)
        renamed: defaultdict[str, set[str]] = defaultdict(set)
        for booking in (b for booked in current.values() for b in booked):
            known[booking.source].add(booking.key.uid)
        for row, key in moved_keys(lost.values(), fresh, self.cancels.absence).items():
            booking = lost[row]
            moved = replace(booking, key=key, missed=0, missed_in="")
            current[booking.key].remove(booking)
            current.setdefault(key, []).append(moved)
            self.draft.amended[row] = moved
            self.rekeyed += 1
            if key.uid != booking.key.uid:
                renamed[booking.source].add(booking.key.uid)
        self.renamed = tuple(
            Renamed(source, len(uids), len(known[source]) + self.resting.tally.known[source])
            for source, uids in sorted(renamed.items())
        )

    # One occurrence: the rooms that it wants against the bookings that it has

    def _pair(self, meetings: list[Meeting], bookings: list[Booking]) -> None:
        if not meetings:
            for booking in bookings:
                self._unwanted(booking)
            return
        left = sorted(bookings, key=lambda b: (b.state not in HOLDING_STATES, b.row))
        homeless: list[Meeting] = []
        for meeting in meetings:
            same_room = next((b for b in left if b.room_id == meeting.spec.room_id), None)
            if same_room is None:
                homeless.append(meeting)
            else:
                left.remove(same_room)
                self._compare(meeting, same_room)
        for meeting in homeless:
            movable = next((b for b in left if b.state in HOLDING_STATES), None)
            if movable is None:
                self._missing(meeting, None)
            else:
                left.remove(movable)
                self._compare(meeting, movable)
        for booking in left:
            if self._hold_if_open(booking):
                continue
            if booking.state not in HOLDING_STATES:
                self.draft.closed.append(booking.with_state(BookingState.CANCELLED, Reason.ROOM_REMOVED))
            elif booking.origin == meetings[0].occurrence.fingerprint:
                self.cancels.hold(
                    booking, Reason.RULES_CHANGED, "The rooms of the configuration changed, not the event."
                )
            else:
                detail = "The meeting no longer asks for this room."
                self.cancels.propose(booking, Reason.ROOM_REMOVED, Evidence.TOLD, detail)

    def _compare(self, meeting: Meeting, booking: Booking) -> None:
        meeting = replace(meeting, witnesses=self._witnesses(booking, meeting))
        wanted = meeting.spec
        if meeting.rejected:
            self._reject(meeting, booking)
            return
        match booking.state:
            case BookingState.BOOKED | BookingState.APPROVAL:
                assert booking.content is not None  # a booking in these states has it
                if booking.may_still_change:
                    self._while_one_is_late(meeting, booking)
                elif booking.is_vanished:
                    self._while_it_is_vanished(meeting, booking)
                elif booking.content == wanted and (other := self._told_off(meeting)):
                    self._hold_told_off(meeting, booking, other)
                elif self._is_unclear(meeting, booking):
                    self._skip(meeting, Reason.UNCLEAR_IN_TUYA, booking.detail, booking)
                    self._remember(booking, meeting)
                elif booking.content == wanted:
                    self.unchanged.append(booking)
                    self._remember(booking, meeting, settled=True)
                elif self._was_refused(booking, wanted):
                    self._still_refused(meeting, booking)
                elif booking.drifted and booking.drifted == meeting.occurrence.fingerprint:
                    self._drifted(meeting, booking)
                elif wanted.start > booking.spec.start and self._too_early(wanted):
                    detail = "The meeting moved farther ahead than the tenant lets book; booked again later."
                    self.cancels.propose(booking, Reason.TOO_EARLY, Evidence.TOLD, detail)
                else:
                    self._follow(meeting, booking, Reason.CHANGED)
            case BookingState.REFUSED if self._was_refused(booking, wanted):
                self._still_refused(meeting, booking)
            case BookingState.RELEASED if (
                booking.spec == wanted or booking.origin == meeting.occurrence.fingerprint
            ):
                self._remember(booking, meeting)
                # The person who said so is respected.
                given_up = booking.reason in {Reason.NOT_THE_ORGANIZER, Reason.DROPPED}
                rebook = self.policy.on_cancel is OnCancel.REBOOK and not given_up
                if rebook and meeting.spec.start > self.now:
                    self.draft.add(Create(meeting, Reason.REBOOKED, booking.detail, booking))
                    return
                detail = booking.detail or "It was ended in Tuya; booked again when the calendar changes."
                self._skip(meeting, Reason.RELEASED, detail, booking)
            case _:
                self._missing(meeting, booking)

    def _told_off(self, meeting: Meeting) -> Occurrence | None:
        """Return the copy of a meeting that calls it off and does not decide; None if there is none."""
        return self.occurrences[meeting.key][0].told_off

    def _hold_told_off(self, meeting: Meeting, booking: Booking, other: Occurrence) -> None:
        """Leave a cancel to a person that stands in a copy which does not decide."""
        self._remember(booking, meeting)
        noted = self.draft.amended.get(booking.row, booking)
        what = "takes guests off it" if other.uninvites else "says that the meeting is cancelled"
        detail = (
            f"A copy in {other.source!r} ({other.document or 'unnamed'}) {what}; the copy in "
            f"{meeting.occurrence.source!r} decides and shows it."
        )
        self.cancels.hold(noted, Reason.NOT_THE_ORGANIZER, detail)

    def _while_one_is_late(self, meeting: Meeting, booking: Booking) -> None:
        """A change without answer may still arrive: the same again does no harm, another could be undone."""
        assert booking.content is not None  # as in `_compare`
        assert booking.pending is not None  # what is late
        if booking.pending == meeting.spec and booking.attempts < REPEATS:
            self._update(meeting, booking, Reason.IN_DOUBT, booking.detail)
        else:
            self.draft.add(Hold(booking, Reason.IN_DOUBT, booking.detail))

    def _while_it_is_vanished(self, meeting: Meeting, booking: Booking) -> None:
        """Leave to a person what was gone from Tuya with many others, until the event itself changes.

        A change of it is booked anew, since there is nothing that could be changed.
        """
        changed = booking.spec != meeting.spec and booking.origin != meeting.occurrence.fingerprint
        if changed and meeting.spec.start < self.policy.window.end:
            self._missing(meeting, booking)
            return
        if not changed:
            self._remember(booking, meeting)
        self.draft.add(Hold(booking, Reason.VANISHED, booking.detail))

    def _follow(self, meeting: Meeting, booking: Booking, reason: Reason) -> None:
        """Change the reservation with its meeting, unless a room is given up without a word of the event."""
        forgotten = booking.room_id is not None and meeting.spec.room_id is None
        if forgotten and booking.origin == meeting.occurrence.fingerprint:
            detail = "Nothing names a room for the meeting any more, and the event did not change."
            changed = meeting.spec.changed_from(booking.spec)
            update = Update(meeting, booking, changed, Reason.RULES_CHANGED)
            self.cancels.hold(booking, Reason.RULES_CHANGED, detail, instead=update)
        else:
            self._update(meeting, booking, reason)

    def _was_refused(self, booking: Booking, wanted: ReservationSpec) -> bool:
        refused = booking.pending if booking.state in HOLDING_STATES else booking.spec
        return refused == wanted and booking.reason in {*REFUSALS, Reason.DROPPED}

    def _is_unclear(self, meeting: Meeting, booking: Booking) -> bool:
        """Whether a reservation that makes no sense is left as it is, because the calendar did not change."""
        unchanged = booking.drifted == meeting.occurrence.fingerprint or booking.content == meeting.spec
        return booking.reason is Reason.UNCLEAR_IN_TUYA and unchanged

    def _drifted(self, meeting: Meeting, booking: Booking) -> None:
        """Somebody changed the reservation in Tuya, and the calendar still says what it said before."""
        self._remember(booking, meeting)
        begun = min(meeting.spec.start, booking.spec.start) <= self.now
        repairs = self.policy.on_change is OnChange.REPAIR and not begun
        if repairs and self._is_in_vain(meeting, booking):
            self._give_up_repair(meeting, booking)
        elif repairs:
            self._follow(meeting, booking, Reason.REPAIRED)
        elif self.policy.on_change is OnChange.REPORT:
            fields = ", ".join(booking.spec.changed_from(meeting.spec))
            detail = f"Somebody changed it in Tuya ({fields}); it stays so until the calendar changes."
            self._skip(meeting, Reason.CHANGED_IN_TUYA, detail, booking)
        else:
            self.unchanged.append(booking)

    def _is_in_vain(self, meeting: Meeting, booking: Booking) -> bool:
        """Whether a repair was made as often as it is worth, and the difference is there again."""
        repaired = self.policy.repairs.get(booking.row)
        changed = meeting.spec.changed_from(booking.spec)
        same = repaired is not None and repaired.is_of(meeting.occurrence.fingerprint, changed)
        return same and repaired is not None and repaired.times >= REPAIRS

    def _give_up_repair(self, meeting: Meeting, booking: Booking) -> None:
        fields = ", ".join(meeting.spec.changed_from(booking.spec))
        detail = (
            f"It was repaired {REPAIRS} times in a row, and Tuya shows another {fields} again; "
            "it stays so until the calendar changes: find out who changes it there."
        )
        self._skip(meeting, Reason.REPAIR_IN_VAIN, detail, booking)
        known = self.draft.amended.get(booking.row, booking)
        told = known.with_state(known.state, Reason.REPAIR_IN_VAIN, detail)
        if told != booking:
            self.draft.amended[booking.row] = told

    def _still_refused(self, meeting: Meeting, booking: Booking) -> None:
        self._remember(booking, meeting)
        if booking.is_tried_again:
            self._try_again(meeting, booking)
        elif booking.reason is not Reason.ROOM_CONFLICT:
            self._skip(meeting, booking.reason or Reason.REFUSED, booking.detail, booking)
        elif self._may_be_free(booking, meeting.spec):
            self._again(meeting, booking)
        else:
            self.draft.add(Wait(meeting, Reason.ROOM_CONFLICT, booking.detail, booking))

    def _may_be_free(self, booking: Booking, spec: ReservationSpec) -> bool:
        """Whether a slot may be free that another reservation held, one of our own or a foreign one."""
        if booking.retry_at is not None:
            return booking.retry_at <= self.now
        blocker = self.by_reservation.get(booking.blocked_by or "")
        return blocker is None or not (blocker.in_doubt or blocker.spec.in_the_way_of(spec))

    def _again(self, meeting: Meeting, booking: Booking) -> None:
        if booking.state in HOLDING_STATES:
            self._update(meeting, booking, Reason.ROOM_FREE_AGAIN)
        else:
            self.draft.add(Create(meeting, Reason.ROOM_FREE_AGAIN, booking.detail, booking))

    def _try_again(self, meeting: Meeting, booking: Booking) -> None:
        """Make a request once more that was refused in a way that may pass."""
        if booking.state in HOLDING_STATES:
            self._update(meeting, booking, Reason.CHANGED, booking.detail)
        else:
            self.draft.add(Create(meeting, Reason.NEW, booking.detail, booking))

    def _missing(self, meeting: Meeting, booking: Booking | None) -> None:
        """A meeting without reservation: book it, or say why not yet."""
        if meeting.spec.start >= self.policy.window.end:
            return  # not within the horizon yet
        if meeting.rejected:
            self._reject(meeting, booking)
        elif self._too_early(meeting.spec):
            assert self.policy.advance is not None  # else nothing is too early
            detail = f"The tenant lets book {self.policy.advance.days} days ahead."
            self.draft.add(Wait(meeting, Reason.TOO_EARLY, detail, booking))
            self._wish(meeting, booking, BookingState.WAITING, Reason.TOO_EARLY, detail)
        elif awaited := self.cancels.awaited_file(meeting.key.uid, meeting.witnesses):
            detail = (
                f"The file {awaited.document} is gone and held the event, too, perhaps as it is now; booked "
                "when it is back or has stayed away for safety.file_grace."
            )
            self.draft.add(Wait(meeting, Reason.FILE_MISSING, detail, booking))
            self._wish(meeting, booking, BookingState.WAITING, Reason.FILE_MISSING, detail)
        else:
            self.draft.add(Create(meeting, Reason.NEW, "", booking))

    def _reject(self, meeting: Meeting, booking: Booking | None) -> None:
        """An event that a rule rejects: reported, and what was booked before stays as it is."""
        self._skip(meeting, Reason.UNMAPPED_PERSON, meeting.rejected, booking)
        self._wish(meeting, booking, BookingState.REFUSED, Reason.UNMAPPED_PERSON, meeting.rejected)

    def _wish(
        self, meeting: Meeting, booking: Booking | None, state: BookingState, reason: Reason, detail: str
    ) -> None:
        """Keep in mind, for `status`, a meeting that has no reservation."""
        if booking is not None and booking.reservation_id is not None:
            return  # the record of a former reservation tells more
        wish = Booking.of(meeting, state, reason, detail)
        if booking is None:
            self.wishes.append(wish)
        elif replace(wish, row=booking.row, updated_at=booking.updated_at) != booking:
            self.draft.amended[booking.row] = replace(wish, row=booking.row)

    def _too_early(self, spec: ReservationSpec) -> bool:
        advance = self.policy.advance
        return advance is not None and spec.start > self.now + advance

    def _update(self, meeting: Meeting, booking: Booking, reason: Reason, detail: str = "") -> None:
        changed = meeting.spec.changed_from(booking.spec)
        if self.policy.mode.updates:
            update = Update(meeting, booking, changed, reason, detail)
            gives_room_up = booking.room_id is not None and meeting.spec.room_id is None
            # One that was sent before was weighed then, and a doubt is not forgotten for being held.
            if gives_room_up and reason is not Reason.IN_DOUBT:
                self.cancels.give_room_up(update)
            else:
                self.draft.add(update)
        else:
            detail = f"The mode {self.policy.mode} does not change reservations ({', '.join(changed)})."
            self._skip(meeting, Reason.MODE, detail, booking)

    def _remember(self, booking: Booking, meeting: Meeting, *, settled: bool = False) -> None:
        """Bookkeeping for a meeting that was seen: who showed it, from what content it came."""
        noted = replace(booking.shown_by(meeting), origin=meeting.occurrence.fingerprint)
        if settled and (noted.reason is not None or noted.drifted or noted.attempts):
            noted = replace(noted.settled(), drifted="")
        if noted != booking:
            self.draft.amended[booking.row] = noted

    def _witnesses(self, booking: Booking, meeting: Meeting) -> tuple[str, ...]:
        """Who shows the meeting, and who did before and does not credibly lack it now."""
        silent = (
            name
            for name in booking.witnesses
            if name in self.policy.configured and self.cancels.answer(booking, name).evidence not in AT_ONCE
        )
        return tuple(dict.fromkeys((*meeting.witnesses, *silent)))

    # Bookings that no meeting wants

    def _unwanted(self, booking: Booking) -> None:
        if self._hold_if_open(booking):
            return
        known = self.occurrences.get(booking.key)
        if known is not None:
            self._turned_down(booking, known[0].occurrence, known[1])
        elif booking.source in self.sources_of.get((booking.key.uid, booking.key.recurrence_id), ()):
            detail = "The uid_scope of its source changed, not the event."
            self._give_up(booking, Absence(Evidence.INFERRED, Reason.RULES_CHANGED, detail))
        else:
            self._give_up(booking, self.cancels.absence(booking))

    def _hold_if_open(self, booking: Booking) -> bool:
        """Hold a booking of which something is open, so that no cancel follows; return whether it is."""
        if booking.may_still_change:
            # A cancel, or a doubt that is forgotten, could be undone by what still arrives.
            self.draft.add(Hold(booking, Reason.IN_DOUBT, booking.detail))
            return True
        if booking.is_vanished:
            # If that was another project, the reservation is there when the right one is asked again.
            self.draft.add(Hold(booking, Reason.VANISHED, booking.detail))
            return True
        return False

    def _give_up(self, booking: Booking, judged: Absence) -> None:
        """Draw the conclusion from what an absence proves."""
        self._count(booking, judged)
        if booking.state not in HOLDING_STATES:
            # On an inference only a wish is given up: it comes back by itself, a person's decision does not.
            configured = judged.reason in {Reason.SOURCE_REMOVED, Reason.RULES_CHANGED}
            wish = configured and booking.reservation_id is None
            if judged.evidence in AT_ONCE or wish:
                closed = booking.with_state(BookingState.CANCELLED, judged.reason, judged.detail)
                self.draft.closed.append(closed)
        elif judged.evidence is not None:
            self.cancels.propose(booking, judged.reason, judged.evidence, judged.detail)
        elif judged.counted_in:
            self.draft.add(Hold(booking, judged.reason, judged.detail))

    def _count(self, booking: Booking, judged: Absence) -> None:
        """Remember the readings that lack an event, while more of them are needed."""
        if judged.counted_in and judged.counted_in != booking.missed_in:
            self.draft.amended[booking.row] = replace(
                booking, missed=judged.missed, missed_in=judged.counted_in
            )

    def _only_inferred(self, booking: Booking) -> Absence | None:
        """Return why a person decides whether the copy is gone that decided; None if it is there, or gone.

        A cancel by another copy takes the place of its word no sooner.
        """
        if booking.source not in self.policy.configured:
            return None
        if booking.source in self.occurrences[booking.key][0].witnesses:
            return None
        absence = self.cancels.answer(booking, booking.source)
        return absence if absence.evidence is Evidence.INFERRED else None

    def _turned_down(self, booking: Booking, occurrence: Occurrence, result: Mapped) -> None:
        """The occurrence is in the calendar and asks for no reservation."""
        if booking.state not in HOLDING_STATES:
            self.draft.closed.append(booking.with_state(BookingState.CANCELLED, Reason.NO_LONGER_BOOKABLE))
        elif occurrence.cancelled and (doubt := self._only_inferred(booking)):
            self.cancels.hold(booking, doubt.reason, doubt.detail)
        elif occurrence.cancelled:
            detail = "The calendar says that the meeting is cancelled."
            self.cancels.propose(booking, Reason.EVENT_CANCELLED, Evidence.TOLD, detail)
        elif isinstance(result, Skipped) and booking.origin == occurrence.fingerprint:
            detail = f"The configuration changed, not the event: {result.detail}"
            self.cancels.hold(booking, Reason.RULES_CHANGED, detail)
        else:
            detail = result.detail if isinstance(result, Skipped) else "The meeting was moved into the past."
            # No calendar says so in as many words; if all its events turn so, a person looks first.
            self.cancels.propose(booking, Reason.NO_LONGER_BOOKABLE, Evidence.SHOWN, detail)

    # The plan as a whole

    def _retry_freed_rooms(self) -> None:
        """Meetings that were refused for a conflict go again when this very plan frees their slot."""
        draft = self.draft
        freeing = [c for c in draft.changes if isinstance(c, Cancel | Update)]
        while freeing:
            waiting = [c for c in draft.changes if isinstance(c, Wait) and c.reason is Reason.ROOM_CONFLICT]
            free = [w for w in waiting if any(_frees(c, w.meeting.spec) for c in freeing)]
            draft.remove(free)
            decided = len(draft.changes)
            for wait in free:
                assert wait.booking is not None  # a conflict stands in a record
                self._again(wait.meeting, wait.booking)
            freeing = [c for c in draft.changes[decided:] if isinstance(c, Update)]

    def _ration_calls(self) -> None:
        """What the API calls of the month do not pay for waits."""
        if self.policy.calls is None:
            return
        put_off = self.policy.calls.put_off(self.draft.changes, self.now)
        self.draft.remove(put_off)
        detail = "The API calls of this month run short, and nearer meetings get them; see api.monthly_calls."
        for change in put_off:
            self.draft.add(Wait(change.meeting, Reason.CALL_BUDGET, detail, change.booking))
            self._wish(change.meeting, change.booking, BookingState.WAITING, Reason.CALL_BUDGET, detail)

    def _report_quarantined(self, current: Mapping[OccurrenceKey, list[Booking]]) -> None:
        booked = {b.key.uid: b.reservation_id for found in current.values() for b in found}
        said: set[tuple[str, str]] = set()
        for reading in self.readings.values():
            for defect in reading.defects:
                once = (reading.source, defect.uid or f"{defect.document}:{defect.line}")
                if once not in said:
                    said.add(once)
                    self.draft.add(_quarantined(reading.source, defect, booked.get(defect.uid)))

    def _skip(self, meeting: Meeting, reason: Reason, detail: str, booking: Booking | None) -> None:
        self.draft.add(Skip.of_meeting(meeting, reason, detail, booking))


def _frees(change: Cancel | Update, spec: ReservationSpec) -> bool:
    """Whether a change gives up a slot that is in the way of a spec."""
    stays = isinstance(change, Update) and change.meeting.spec.in_the_way_of(spec)
    return change.booking.spec.in_the_way_of(spec) and not stays


def _skip(occurrence: Occurrence, skipped: Skipped, extent: Timespan) -> Skip:
    topic = "Private meeting" if occurrence.private else fold_space(occurrence.summary)
    return Skip(
        key=occurrence.key,
        source=occurrence.source,
        reason=skipped.reason,
        detail=skipped.detail,
        topic=topic,
        span=extent,
        notes=skipped.notes,
    )


def _quarantined(source: str, defect: Defect, reservation_id: str | None) -> Skip:
    place = f"{defect.document}, line {defect.line}"
    return Skip(
        key=OccurrenceKey("", defect.uid, None),
        source=source,
        reason=Reason.QUARANTINED if defect.uid else Reason.NO_UID,
        detail=f"{place}: {defect.detail}",
        reservation_id=reservation_id,
        alike=f"{source}, {defect.document}: {defect.detail}",
    )
