"""Tells a wipe, or another project, from the few reservations that people cancel one by one.

Where so many bookings are gone from the API at one comparison that both bounds are passed
(`safety.vanish_share`, `safety.vanish_floor`), nothing is decided about them: they keep their state, the
planner holds them, and a person settles them with `syncd resolve --all vanished`.
What the list shows alive again is forgotten by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from syncd.apply.ports import Api, BookingLedger
from syncd.core.booking import Booking
from syncd.core.cause import IN_TUYA
from syncd.core.evidence import exceeds
from syncd.core.listing import Listing
from syncd.core.reservation import Reservation, ReservationStatus
from syncd.core.settings import Settings

log = structlog.get_logger(__name__)

MOST_ASKED = 100
"""Bookings that are asked for one by one where a list proves nothing."""

_CURE = (
    "If this is not the right project, mend api.client_id and the endpoint; else book them again with: "
    "syncd resolve --all vanished --retry, or accept it with --drop."
)


@dataclass(frozen=True, slots=True)
class Absences:
    """What became of the bookings that a list does not show alive.

    `vanished` are gone with too many others at once; `told` has the answers about the others, by row, as far
    as they were asked for.
    """

    vanished: tuple[Booking, ...]
    told: Mapping[int, Reservation | None]


class AbsenceCheck:
    """Questions about the bookings that a list does not show alive, out of `compared` in all."""

    def __init__(
        self, api: Api, settings: Settings, listing: Listing, compared: int
    ) -> None:
        self._api = api
        self._settings = settings
        self._compared = compared
        self._sound = not listing.trouble
        self._certain = not listing.doubt
        self._told: dict[int, Reservation | None] = {}

    def run(self, absent: Sequence[Booking]) -> Absences:
        """Find out which of the bookings that seem to be gone are so, and whether a person has to decide.

        A sound list is believed when a sample of them is gone indeed; else each is asked for, and where the
        list proves nothing the next `MOST_ASKED`.
        Raises `ApiUnusable`, and then nothing is decided.
        """
        new = [booking for booking in absent if not booking.is_vanished]
        many = self._exceeds(len(absent))
        if new and many and self._sound:
            size = min(self._settings.vanish_floor + 1, MOST_ASKED)
            sample = _spread(new, size)
            self._ask(sample)
            gone = self._gone_of(sample)
            if len(gone) == len(sample):
                return Absences(tuple(new), {})
        if self._certain and not many:
            self._ask(new)
        else:
            # A list that is contradicted lags behind, and proves as little as one that contradicts itself.
            self._ask(_nearest(new))
        gone = self._gone_of(new)
        # What was not asked for is taken to be like what was.
        asked = max(1, len(self._told))
        likely_new = len(new) * len(gone) / asked
        known_before = len(absent) - len(new)
        if not self._exceeds(known_before + likely_new):
            return Absences((), self._told)
        told = dict(self._told)
        for booking in gone:
            del told[booking.row]
        return Absences(tuple(gone), told)

    def _exceeds(self, count: float) -> bool:
        settings = self._settings
        return exceeds(
            count, self._compared, settings.vanish_share, settings.vanish_floor
        )

    def _ask(self, bookings: Iterable[Booking]) -> None:
        """Ask for each of these reservations that was not asked for yet."""
        for booking in bookings:
            if booking.row in self._told:
                continue
            there = self._api.get(booking.reservation_id or "")
            self._told[booking.row] = there

    def _gone_of(self, bookings: Iterable[Booking]) -> list[Booking]:
        """Return those that were asked for and are gone."""
        gone: list[Booking] = []
        for booking in bookings:
            if booking.row not in self._told:
                continue
            there = self._told[booking.row]
            if self._is_gone(there):
                gone.append(booking)
        return gone

    def _is_gone(self, there: Reservation | None) -> bool:
        """Tell whether an answer confirms that a reservation is gone.

        Of what belongs to another project the API need not say that it does not exist; it may refuse to tell.
        """
        if there is None or there.status is ReservationStatus.CANCELLED:
            return True
        return self._sound and bool(there.flaw)


def seems_gone(booking: Booking, there: Reservation | None, now: datetime) -> bool:
    """Tell whether a list lacks the reservation of a booking, or shows it as cancelled.

    A meeting that has begun may have been ended by the people in it, or its room released by the building.
    """
    if there is None or booking.is_vanished:
        return True
    if there.status is not ReservationStatus.CANCELLED:
        return False
    return booking.spec.start > now


def hold_vanished(
    vanished: Sequence[Booking],
    gone: int,
    compared: int,
    ledger: BookingLedger,
    now: datetime,
) -> None:
    """Record that a person has to decide about these; `gone` counts those of before, too."""
    if not vanished:
        return
    count = f"{gone} of {compared} compared bookings"
    detail = f"{count} are gone from Tuya or cancelled there at once. {_CURE}"
    held = [booking.vanished(detail) for booking in vanished]
    ledger.bookings.record(*held, at=now, what="vanished", detail=count, cause=IN_TUYA)
    log.warning(
        "vanished",
        gone=gone,
        compared=compared,
        cure="syncd resolve --all vanished --retry or --drop",
    )


def forget_vanished(
    bookings: Iterable[Booking],
    found: Mapping[str, Reservation],
    ledger: BookingLedger,
    now: datetime,
) -> bool:
    """Forget of those that a list shows alive again that they were gone; return whether there were any."""
    back: list[Booking] = []
    for booking in bookings:
        if not booking.is_vanished:
            continue
        there = found.get(booking.reservation_id or "")
        if there is not None and there.live:
            back.append(booking.settled())
    if not back:
        return False
    ledger.bookings.record(*back, at=now, what="there again", cause=IN_TUYA)
    log.info("there again", bookings=len(back))
    return True


def _nearest(bookings: Iterable[Booking]) -> list[Booking]:
    """Return the bookings that begin first, as many as may be asked for."""
    in_order = sorted(bookings, key=lambda booking: booking.spec.start)
    return in_order[:MOST_ASKED]


def _spread(bookings: Iterable[Booking], count: int) -> list[Booking]:
    """Return so many of the bookings, evenly over the time in which they were made, the newest included.

    What was made last is what a list that lags behind lacks.
    """
    newest_first = sorted(bookings, key=lambda booking: -booking.row)
    step = len(newest_first) / count
    chosen: list[Booking] = []
    for number in range(min(count, len(newest_first))):
        place = int(number * step)
        chosen.append(newest_first[place])
    return chosen
