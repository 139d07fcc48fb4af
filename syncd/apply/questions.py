"""Asks the API, and remembers which answers make no sense and which questions are refused.

Such an answer concerns the reservation or the list that was asked for, and nothing else.
What is kept is named by `status` without asking anybody, until it is answered well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import structlog

from syncd.apply.ports import Api, BookingLedger, BookingRules
from syncd.core.apitime import ApiTime
from syncd.core.booking import HOLDING_STATES, Booking
from syncd.core.listing import Listing
from syncd.core.reasons import Reason
from syncd.core.reservation import Reservation
from syncd.errors import Unanswered
from syncd.ledger.facts import Fact, FactStore

log = structlog.get_logger(__name__)

ALL_LISTS = "the list of reservations"
RULES = "the booking rules"
DIRECTORY = "the directory"

# Why a booking says itself that its reservation is odd.
_REASONS_OF_RECORDS = frozenset({Reason.UNCLEAR_IN_TUYA, Reason.REPAIR_IN_VAIN})


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something at the API that a person should look at; `about` is a reservation's id or names a question.

    `reason` is a reason code, `detail` a sentence.
    """

    reason: Reason
    about: str
    detail: str

    @property
    def reservation_id(self) -> str | None:
        """Return the id of the reservation that it is about; None if it is about a question."""
        if self.reason is Reason.QUESTION_REFUSED:
            return None
        return self.about

    def document(self) -> dict[str, object]:
        """Return it as `status --json` and `once --json` have it."""
        about = "reservation" if self.reservation_id else self.about
        return {
            "reservation_id": self.reservation_id,
            "about": about,
            "reason": self.reason.value,
            "detail": self.detail,
        }


def _encode_oddities(found: tuple[Oddity, ...]) -> str:
    rows: list[tuple[str, str, str]] = []
    for oddity in found:
        row = (oddity.reason.value, oddity.about, oddity.detail)
        rows.append(row)
    return json.dumps(rows)


def _decode_oddities(text: str) -> tuple[Oddity, ...]:
    found: list[Oddity] = []
    for code, about, detail in json.loads(text):
        oddity = Oddity(Reason(code), about, detail)
        found.append(oddity)
    return tuple(found)


_ODDITIES = Fact("oddities", _encode_oddities, _decode_oddities)


def oddities(facts: FactStore) -> tuple[Oddity, ...]:
    """Return what a person should look at in the API, as far as it was asked; the one place for it."""
    return facts.get(_ODDITIES) or ()


def all_oddities(facts: FactStore, bookings: Iterable[Booking]) -> tuple[Oddity, ...]:
    """Return the same with what the records of these bookings say of their reservations."""
    found = oddities(facts)
    named: set[str] = set()
    for oddity in found:
        if oddity.reason is Reason.UNCLEAR_IN_TUYA:
            named.add(oddity.about)
    told: list[Oddity] = []
    for booking in bookings:
        reason = booking.reason
        reservation_id = booking.reservation_id
        if reason is None or reservation_id is None:
            continue
        if reason not in _REASONS_OF_RECORDS or reservation_id in named:
            continue
        if booking.state in HOLDING_STATES:
            oddity = Oddity(reason, reservation_id, booking.detail)
            told.append(oddity)
    return (*found, *told)


def count_leftovers(facts: FactStore) -> tuple[int, int]:
    """Return how many strays and how many duplicates with our mark the last comparison left."""
    reasons = [oddity.reason for oddity in oddities(facts)]
    strays = reasons.count(Reason.STRAY)
    duplicates = reasons.count(Reason.DUPLICATE)
    return strays, duplicates


class Questions:
    """The API as one cycle asks it; may be used from several threads, like the API itself."""

    def __init__(
        self, api: Api, ledger: BookingLedger, clock: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._facts = ledger.facts
        self._clock = clock
        # By reservation: what makes no sense in it, or nothing.
        self._said: dict[str, str] = {}
        self._asked: set[str] = set()  # reservations that were asked for by themselves
        # By what was asked for: why it got no answer, or nothing.
        self._questions: dict[str, str] = {}
        self.create = api.create
        self.modify = api.modify
        self.pause_s = api.pause_s
        self.time = api.time
        self.ask_time = api.ask_time
        self.time_if_known = api.time_if_known

    @property
    def calls(self) -> Mapping[str, int]:
        """Return the requests so far by method."""
        return self._api.calls

    def armed(self) -> AbstractContextManager[None]:
        """Let writes through while it lasts."""
        return self._api.armed()

    def cancel(self, reservation_id: str, *, asked: ApiTime) -> None:
        """Cancel a reservation; forget what made no sense in it."""
        self._api.cancel(reservation_id, asked=asked)
        self.note(reservation_id, "")

    def get(self, reservation_id: str) -> Reservation | None:
        """Return one reservation, None if it does not exist; note what makes no sense in it."""
        there = self._api.get(reservation_id)
        self._asked.add(reservation_id)
        trouble = self._trouble(there)
        self.note(reservation_id, trouble)
        return there

    def find(
        self,
        start: datetime,
        end: datetime,
        *,
        creator: str | None = None,
        room_ids: Sequence[str] = (),
    ) -> Listing:
        """Return the reservations of a time; note what makes no sense in them, and why a list is in doubt."""
        listing = self._api.find(start, end, creator=creator, room_ids=room_ids)
        about = ALL_LISTS
        if room_ids:
            about = f"the list of room {', '.join(room_ids)}"
        self._note_list(about, listing)
        return listing

    def find_within(
        self, calls: int, start: datetime, end: datetime, *, creator: str | None = None
    ) -> Listing | None:
        """Return the same if it takes no more than so many calls, else None."""
        listing = self._api.find_within(calls, start, end, creator=creator)
        if listing is not None and not listing.moved:
            self._note_list(ALL_LISTS, listing)
        return listing

    def rules(self) -> BookingRules:
        """Return the tenant's booking rules; raise `Unanswered`, which is noted."""
        try:
            rules = self._api.rules()
        except Unanswered as error:
            why = _sentence(error)
            self._note_question(RULES, why)
            raise
        self._note_question(RULES, "")
        return rules

    def find_user(self, address: str) -> str | None:
        """Return the id of a person in the directory; raise `Unanswered`, which is noted."""
        try:
            user = self._api.find_user(address)
        except Unanswered as error:
            why = _sentence(error)
            self._note_question(DIRECTORY, why)
            raise
        self._questions.setdefault(DIRECTORY, "")
        return user

    # What is kept in mind

    def begin(self) -> None:
        """Forget the answers of the cycle before; what is remembered of them stays."""
        self._said.clear()
        self._asked.clear()
        self._questions.clear()

    def note(self, reservation_id: str, oddity: str) -> None:
        """Note what makes no sense in a reservation; empty: it is sound."""
        before = self._said.get(reservation_id)
        if oddity and not before:
            log.warning("odd reservation", reservation_id=reservation_id, detail=oddity)
        self._said[reservation_id] = oddity

    def troubled_lists(self) -> bool:
        """Tell whether a list that was asked for proves nothing by what it lacks."""
        about_lists = self._questions.keys() - {RULES, DIRECTORY}
        return any(self._questions[about] for about in about_lists)

    def current_oddities(self) -> tuple[Oddity, ...]:
        """Return what is known now: what is remembered, with what was asked since."""
        known = oddities(self._facts)
        return self._kept(known)

    def remember(self) -> None:
        """Store what was found out since the last time."""
        self._store(self.current_oddities())

    def compared(
        self, strays: Iterable[Reservation], duplicates: Iterable[Reservation]
    ) -> None:
        """Store what a comparison of ledger and API found, in place of all that was known of reservations."""
        # By the oddity, because one may be named twice.
        once: dict[Oddity, None] = {}
        for stray in strays:
            oddity = Oddity(Reason.STRAY, stray.reservation_id, _STRAY)
            once[oddity] = None
        for duplicate in duplicates:
            oddity = Oddity(Reason.DUPLICATE, duplicate.reservation_id, _DUPLICATE)
            once[oddity] = None
        known = oddities(self._facts)
        rules = [oddity for oddity in known if oddity.about == RULES]
        kept = self._kept(rules)
        self._store((*kept, *once))

    def _kept(self, known: Collection[Oddity]) -> tuple[Oddity, ...]:
        """Return what is known without what was answered since, with what was answered badly since."""
        kept = [oddity for oddity in known if not self._is_answered(oddity)]
        kept += _oddities_of(Reason.UNCLEAR_IN_TUYA, self._said)
        kept += _oddities_of(Reason.QUESTION_REFUSED, self._questions)
        return tuple(kept)

    def _is_answered(self, oddity: Oddity) -> bool:
        if oddity.reason is Reason.UNCLEAR_IN_TUYA:
            return oddity.about in self._said
        if oddity.reason is Reason.QUESTION_REFUSED:
            return oddity.about in self._questions
        return False

    def _store(self, found: tuple[Oddity, ...]) -> None:
        if oddities(self._facts) == found:
            return
        self._facts.set(_ODDITIES, found or None)

    def _note_list(self, about: str, listing: Listing) -> None:
        known = oddities(self._facts)
        remembered = {oddity.about for oddity in known}
        for reservation in listing:
            reservation_id = reservation.reservation_id
            if reservation_id in self._asked:
                continue  # what it says by itself counts
            trouble = self._trouble(reservation)
            was_odd = reservation_id in self._said or reservation_id in remembered
            if trouble or was_odd:
                self.note(reservation_id, trouble)
        self._note_question(about, listing.trouble)

    def _note_question(self, about: str, trouble: str) -> None:
        before = self._questions.get(about, "")
        if trouble and not before:
            log.warning("question without answer", about=about, detail=trouble)
        self._questions[about] = trouble or before

    def _trouble(self, there: Reservation | None) -> str:
        """Return what makes no sense in a reservation that is to come; empty if nothing."""
        if there is None or not there.live:
            return ""
        if there.is_over(self._clock()):
            return ""
        return there.oddity


_STRAY = (
    "It carries our mark and is no booking of ours; it is left alone. Another syncd on this project that has "
    "the same reservation.instance may have made it: then give that one another name. Else ask its creator, "
    "and take the mark off its description."
)
_DUPLICATE = "It is booked twice, and this one is superfluous; mode full cancels it."


def _oddities_of(reason: Reason, answers: Mapping[str, str]) -> Iterator[Oddity]:
    """Yield what is odd in answers, which are empty where nothing is, by what they are about."""
    for about, detail in sorted(answers.items()):
        if detail:
            yield Oddity(reason, about, detail)


def _sentence(error: Unanswered) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
