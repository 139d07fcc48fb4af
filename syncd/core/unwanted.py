"""What becomes of a booking that no meeting wants: given up on evidence, held, or left as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from syncd.core.booking import HOLDING_STATES, Booking, BookingState
from syncd.core.cancels import Cancels
from syncd.core.changes import Hold
from syncd.core.draft import Draft
from syncd.core.evidence import Absence, confirmed
from syncd.core.mapper import Mapped, Skipped
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed
from syncd.core.occurrence import Occurrence, OccurrenceKey, Reading
from syncd.core.policy import Policy
from syncd.core.reasons import Evidence, Reason
from syncd.core.rekey import AT_ONCE

_Event: TypeAlias = tuple[str, str | None]
"""UID and original start: the same event whatever its scope."""


class UnwantedBookings:
    """Decides about bookings without a meeting for one draft; `occurrences` are those of the plan by key."""

    def __init__(
        self,
        draft: Draft,
        cancels: Cancels,
        policy: Policy,
        readings: Mapping[str, Reading],
        occurrences: Mapping[OccurrenceKey, tuple[Witnessed, Mapped]],
    ) -> None:
        self._draft = draft
        self._cancels = cancels
        self._policy = policy
        self._readings = readings
        self._occurrences = occurrences
        self._sources_of = _sources_by_event(occurrences)

    def give_up(self, booking: Booking) -> None:
        """Decide about a booking whose occurrence asks for no reservation, or is nowhere."""
        if self._hold_if_open(booking):
            return
        key = booking.key
        known = self._occurrences.get(key)
        if known is not None:
            witnessed, mapped = known
            self._not_bookable(booking, witnessed.occurrence, mapped)
            return
        sources = self._sources_of.get((key.uid, key.recurrence_id), ())
        if booking.source in sources:
            detail = "The uid_scope of its source changed, not the event."
            judged = Absence(Evidence.INFERRED, Reason.RULES_CHANGED, detail)
        else:
            judged = self._cancels.absence(booking)
        self._conclude_absence(booking, judged)

    def give_room_up(self, booking: Booking, occurrence: Occurrence) -> None:
        """Decide about a booking whose occurrence wants other rooms than the one that it has."""
        if self._hold_if_open(booking):
            return
        if booking.state not in HOLDING_STATES:
            self._draft.close(booking, BookingState.CANCELLED, Reason.ROOM_REMOVED)
        elif booking.origin == occurrence.fingerprint:
            detail = "The rooms of the configuration changed, not the event."
            self._cancels.hold(booking, Reason.RULES_CHANGED, detail)
        else:
            detail = "The meeting no longer asks for this room."
            self._cancels.propose(booking, Reason.ROOM_REMOVED, Evidence.TOLD, detail)

    def keep_if_decider_is_silent(
        self, key: OccurrenceKey, meetings: Sequence[Meeting], booked: Sequence[Booking]
    ) -> bool:
        """Leave an occurrence as it is if a source whose copy may be the newest is silent about it.

        The copies that others show, or other files of the same source, may be older ones, so nothing follows
        where they differ. Return whether it was left.
        """
        known = self._occurrences.get(key)
        if known is None:
            return False
        witnesses = known[0].witnesses
        made = [booking for booking in booked if _was_made_or_given_up(booking)]
        silent = self._silences(made, witnesses)
        if not silent or _says_the_same(meetings, made, booked):
            return False
        why = next(iter(silent.values()))
        for booking in booked:
            if booking.row in silent:
                self._hold_for_its_source(booking, silent[booking.row], witnesses)
            else:
                self._draft.keep(booking, why.reason, why.detail)
        return True

    def _silences(
        self, made: Iterable[Booking], witnesses: Collection[str]
    ) -> dict[int, Absence]:
        """Return the rows of the records of which a source may show more than it does, each with why."""
        silent: dict[int, Absence] = {}
        for booking in made:
            name = self._silent_source(booking, witnesses)
            if name is None:
                continue
            absence = self._missed_by(name, booking)
            if absence.evidence is None:
                silent[booking.row] = absence
        return silent

    def _silent_source(
        self, booking: Booking, witnesses: Collection[str]
    ) -> str | None:
        """Return the source that does not show all of a booking's occurrence; None if each that counts does.

        That is the one that decided its content, or one that showed it and whose file is awaited: what was
        read there last may be newer, and not written yet.
        """
        if booking.source not in self._policy.configured:
            return None
        if booking.source not in witnesses:
            return booking.source
        uid = booking.key.uid
        for name in (booking.source, *booking.witnesses):
            awaited = self._cancels.awaited_file(uid, [name])
            if awaited is not None:
                return name
        return None

    def _missed_by(self, name: str, booking: Booking) -> Absence:
        """Judge that a source does not show a booking's occurrence."""
        absence = self._cancels.absence_in(booking, name)
        if absence.reason is not Reason.EVENT_GONE:
            return absence
        if booking.reason is Reason.SOURCE_EMPTY:
            # For what an empty calendar lacked, the other copy counts already.
            return absence
        readings = [self._readings[name]]
        return confirmed(booking, absence, readings, self._policy.safety)

    def _hold_for_its_source(
        self, booking: Booking, why: Absence, witnesses: Collection[str]
    ) -> None:
        """Hold a reservation, or keep a record, that other copies than the awaited one show otherwise."""
        self._count(booking, why)
        where = "Another file" if booking.source in witnesses else "Another source"
        detail = f"{where} shows it otherwise. {why.detail}"
        if booking.state in HOLDING_STATES:
            self._draft.add(Hold(booking, why.reason, detail))
        else:
            self._draft.keep(booking, why.reason, detail)

    def _hold_if_open(self, booking: Booking) -> bool:
        """Hold a booking of which something is open, so that no cancel follows; return whether it is."""
        if booking.may_still_change:
            # A cancel, or a doubt that is forgotten, could be undone by what still arrives.
            self._draft.add(Hold(booking, Reason.IN_DOUBT, booking.detail))
            return True
        if booking.is_vanished:
            # If that was another project, the reservation is there when the right one is asked again.
            self._draft.add(Hold(booking, Reason.VANISHED, booking.detail))
            return True
        return False

    def _conclude_absence(self, booking: Booking, judged: Absence) -> None:
        """Draw the conclusion from what an absence proves."""
        self._count(booking, judged)
        if booking.state not in HOLDING_STATES:
            self._conclude_unbooked(booking, judged)
        elif judged.evidence is not None:
            self._cancels.propose(
                booking, judged.reason, judged.evidence, judged.detail
            )
        elif judged.counted_in:
            self._draft.add(Hold(booking, judged.reason, judged.detail))
        else:
            self._draft.keep(booking, judged.reason, judged.detail)

    def _conclude_unbooked(self, booking: Booking, judged: Absence) -> None:
        """Draw the conclusion for a record that holds no slot.

        On an inference only the record of a meeting is given up: it comes back by itself, a person's decision
        does not.
        """
        by_configuration = judged.reason in {
            Reason.SOURCE_REMOVED,
            Reason.RULES_CHANGED,
        }
        never_booked = booking.reservation_id is None
        if judged.evidence in AT_ONCE or (by_configuration and never_booked):
            self._draft.close(
                booking, BookingState.CANCELLED, judged.reason, judged.detail
            )
        else:
            self._draft.keep(booking, judged.reason, judged.detail)

    def _count(self, booking: Booking, judged: Absence) -> None:
        """Record the readings that lack an event, while more of them are needed."""
        counted_in = judged.counted_in
        if counted_in and counted_in != booking.missed_in:
            counted = replace(booking, missed=judged.missed, missed_in=counted_in)
            self._draft.amend(counted)

    def _not_bookable(
        self, booking: Booking, occurrence: Occurrence, mapped: Mapped
    ) -> None:
        """Decide about a booking whose occurrence is in the calendar and asks for no reservation."""
        if booking.state not in HOLDING_STATES:
            self._draft.close(
                booking.called_off_by(occurrence),
                BookingState.CANCELLED,
                Reason.NO_LONGER_BOOKABLE,
            )
        elif occurrence.cancelled:
            self._told_off(booking)
        elif isinstance(mapped, Skipped) and booking.origin == occurrence.fingerprint:
            detail = f"The configuration changed, not the event: {mapped.detail}"
            self._cancels.hold(booking, Reason.RULES_CHANGED, detail)
        else:
            detail = "The meeting was moved into the past."
            if isinstance(mapped, Skipped):
                detail = mapped.detail
            # No calendar says so in as many words; if all its events turn so, a person looks first.
            self._cancels.propose(
                booking, Reason.NO_LONGER_BOOKABLE, Evidence.SHOWN, detail
            )

    def _told_off(self, booking: Booking) -> None:
        """Cancel what the calendar cancels; hold it where the copy that decided may only seem to be gone."""
        witnessed, _ = self._occurrences[booking.key]
        doubt = self._only_inferred(booking)
        if doubt is not None:
            self._cancels.hold(booking, doubt.reason, doubt.detail)
            return
        booking = booking.called_off_by(witnessed.occurrence)
        detail = "The calendar says that the meeting is cancelled."
        self._cancels.propose(booking, Reason.EVENT_CANCELLED, Evidence.TOLD, detail)

    def _only_inferred(self, booking: Booking) -> Absence | None:
        """Return why a person decides whether the copy is gone that decided; None if it is there, or gone.

        A cancel by another copy takes the place of its word no sooner.
        """
        witnessed, _ = self._occurrences[booking.key]
        if booking.source not in self._policy.configured:
            return None
        if booking.source in witnessed.witnesses:
            return None
        absence = self._cancels.absence_in(booking, booking.source)
        if absence.evidence is not Evidence.INFERRED:
            return None
        return absence


def _says_the_same(
    meetings: Iterable[Meeting], made: Iterable[Booking], booked: Iterable[Booking]
) -> bool:
    """Tell whether meetings ask for what was `made` of them, and for nothing that no record has."""
    made_specs = {booking.spec for booking in made}
    wanted_specs = {meeting.spec for meeting in meetings}
    recorded_specs = {booking.spec for booking in booked}
    return made_specs <= wanted_specs <= recorded_specs


def _was_made_or_given_up(booking: Booking) -> bool:
    """Tell whether a record has or had a reservation, or a person gave it up before there was one.

    An older copy takes the place of neither: it would undo an edit, or book again what a person ended.
    """
    if booking.reservation_id is not None:
        return True
    return booking.reason is Reason.DROPPED


def _sources_by_event(
    occurrences: Mapping[OccurrenceKey, tuple[Witnessed, Mapped]],
) -> Mapping[_Event, set[str]]:
    """Return the sources that show each event."""
    sources: defaultdict[_Event, set[str]] = defaultdict(set)
    for key, (witnessed, _) in occurrences.items():
        sources[key.uid, key.recurrence_id].update(witnessed.witnesses)
    return sources
