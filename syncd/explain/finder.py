"""Finds the events that a person means: by UID, reservation id, a piece of the topic, room or time.

The ledger is asked first, because it knows what is booked and what cannot be understood without any calendar
being read.
What it does not know is looked for in what a cycle would plan.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.core.acknowledged import Acknowledged
from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Change, Hold, Skip
from syncd.core.reasons import Reason
from syncd.core.resolve import is_refused
from syncd.core.text import fold_name
from syncd.ics import topic_of_events
from syncd.intake import unpacked
from syncd.ledger import Ledger, Quarantined
from syncd.reconciler import Examination
from syncd.views.plan_rows import action_of, deciding_source

_LEAST_LETTERS = 2  # of a piece of a topic
_NEAREST = 5

Going = Callable[[datetime, datetime], bool]
"""Tells whether a meeting, from its start to its end, is going on at the time that is asked for."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is asked for: a piece of text, a room, a time; None: any."""

    text: str | None = None
    room_id: str | None = None
    going: Going | None = None

    @property
    def asks_for_text_alone(self) -> bool:
        """Return whether neither a room nor a time is asked for."""
        return self.room_id is None and self.going is None

    def fits(
        self, room_id: str | None, start: datetime | None, end: datetime | None
    ) -> bool:
        """Tell whether a room and a time are those that are asked for."""
        if self.room_id is not None and room_id != self.room_id:
            return False
        if self.going is None:
            return True
        if start is None or end is None:
            return False
        return self.going(start, end)


@dataclass(frozen=True, slots=True)
class FoundMeeting:
    """A meeting that may be meant; `state` is how it stands, `detail` why it is not simply booked.

    `place` says where an event stands that has no UID.
    """

    uid: str
    recurrence_id: str | None
    topic: str
    room_id: str | None
    start: datetime | None
    end: datetime | None
    source: str
    state: str
    reason: str | None = None
    detail: str = ""
    reservation_id: str | None = None
    needs_person: bool = False
    is_closed: bool = False
    place: str = ""


def matches_in_ledger(ledger: Ledger, wanted: Lookup) -> tuple[FoundMeeting, ...]:
    """Return the meetings that the ledger knows and that are meant, as `matches_among` does."""
    acknowledged = ledger.people.acknowledged()
    known = [_of_booking(one, acknowledged) for one in ledger.bookings.all()]
    known += [_of_quarantined(one, acknowledged) for one in ledger.sources.quarantine()]
    if wanted.text is not None and wanted.asks_for_text_alone:
        known += _unbooked(ledger, {match.uid for match in known})
    return matches_among(known, wanted)


def _unbooked(ledger: Ledger, known: Collection[str]) -> Iterator[FoundMeeting]:
    """Yield the events that are kept and neither booked nor quarantined; their dates are not known here."""
    for source, uid, packed in ledger.worklist.all_kept():
        if uid not in known:
            yield FoundMeeting(
                uid=uid,
                recurrence_id=None,
                topic=topic_of_events(unpacked(packed)),
                room_id=None,
                start=None,
                end=None,
                source=source,
                state="not booked",
            )


def matches_in_plan(examined: Examination, wanted: Lookup) -> tuple[FoundMeeting, ...]:
    """Return the meetings of a plan that are meant, also those that are not to be booked."""
    return matches_among(map(_of_change, examined.plan.changes), wanted)


def matches_among(
    known: Iterable[FoundMeeting], wanted: Lookup
) -> tuple[FoundMeeting, ...]:
    """Return those that are meant: by exact UID, else by reservation id, else by a piece of the topic.

    What is cancelled or over counts only where nothing else is meant.
    """
    fitting = [
        match for match in known if wanted.fits(match.room_id, match.start, match.end)
    ]
    if wanted.text is not None:
        fitting = _by_text(fitting, wanted.text)
    current = [match for match in fitting if not match.is_closed]
    return tuple(current or fitting)


def _by_text(known: Sequence[FoundMeeting], text: str) -> list[FoundMeeting]:
    of_uid = [match for match in known if match.uid == text]
    if of_uid:
        return of_uid
    word = text.strip()
    of_reservation = [match for match in known if match.reservation_id == word]
    if of_reservation:
        return of_reservation
    piece = fold_name(word)
    if len(piece) < _LEAST_LETTERS:
        return []
    return [match for match in known if piece in fold_name(match.topic)]


def nearest_in_time(
    ledger: Ledger, wanted: Lookup, moment: datetime
) -> tuple[FoundMeeting, ...]:
    """Return the meetings that are closest to a moment in the room that is asked for."""
    in_the_room = Lookup(room_id=wanted.room_id)
    known = matches_in_ledger(ledger, in_the_room)
    timed = [match for match in known if match.start is not None]

    def distance(match: FoundMeeting) -> timedelta:
        assert match.start is not None  # only such are sorted
        return abs(match.start - moment)

    return tuple(sorted(timed, key=distance)[:_NEAREST])


def by_event(
    matches: Iterable[FoundMeeting], now: datetime
) -> tuple[FoundMeeting, ...]:
    """Return one match for each event, that of its next date or else of its last one, by time.

    An event without UID is one by itself.
    """
    chosen: dict[tuple[str, str], FoundMeeting] = {}
    for match in sorted(matches, key=_time):
        event = (match.uid, "" if match.uid else match.place)
        former = chosen.get(event)
        if former is None or _is_over(former, now):
            chosen[event] = match
    return tuple(sorted(chosen.values(), key=_time))


def _is_over(match: FoundMeeting, now: datetime) -> bool:
    return match.end is not None and match.end <= now


def _time(match: FoundMeeting) -> tuple[float, str, str, str]:
    start = match.start.timestamp() if match.start else float("inf")
    return start, match.room_id or "", match.uid, match.recurrence_id or ""


def _of_booking(booking: Booking, acknowledged: Acknowledged) -> FoundMeeting:
    spec = booking.spec
    state = "in doubt" if booking.in_doubt else booking.state.value
    is_open = booking.in_doubt or booking.is_vanished or is_refused(booking)
    needs_person = is_open and acknowledged.of_booking(booking) is None
    return FoundMeeting(
        uid=booking.key.uid,
        recurrence_id=booking.key.recurrence_id,
        topic=spec.topic,
        room_id=booking.room_id,
        start=spec.start,
        end=spec.end,
        source=booking.source,
        state=state,
        reason=booking.reason.value if booking.reason else None,
        detail=booking.detail,
        reservation_id=booking.reservation_id,
        needs_person=needs_person,
        is_closed=booking.state is BookingState.CANCELLED,
    )


def _of_quarantined(
    quarantined: Quarantined, acknowledged: Acknowledged
) -> FoundMeeting:
    defect = quarantined.defect
    return FoundMeeting(
        uid=defect.uid,
        recurrence_id=None,
        topic=defect.topic,
        room_id=None,
        start=None,
        end=None,
        source=quarantined.source,
        state="quarantined",
        reason=defect.reason.value,
        detail=defect.detail,
        needs_person=acknowledged.of_defect(defect) is None,
        place=f"{defect.document}, line {defect.line}",
    )


def _of_change(change: Change) -> FoundMeeting:
    action = action_of(change)
    span = change.span if isinstance(change, Skip) else change.spec
    topic = change.topic if isinstance(change, Skip) else change.spec.topic
    needs_person = isinstance(change, Skip) and change.needs_person
    if isinstance(change, Hold):
        needs_person = change.approvable
    is_quarantined = change.reason in {Reason.QUARANTINED, Reason.NO_UID}
    return FoundMeeting(
        uid=change.key.uid,
        recurrence_id=change.key.recurrence_id,
        topic=topic,
        room_id=change.room_id,
        start=span.start if span else None,
        end=span.end if span else None,
        source=deciding_source(change),
        state="quarantined" if is_quarantined else f"to {action}",
        reason=change.reason.value,
        detail=change.detail,
        needs_person=needs_person,
        place=change.detail,
    )


def event_uids(matches: Iterable[FoundMeeting]) -> Iterator[str]:
    """Yield the UID of each event once, an empty one for each that has none."""
    told: set[str] = set()
    for match in matches:
        if not match.uid:
            yield ""
        elif match.uid not in told:
            told.add(match.uid)
            yield match.uid
