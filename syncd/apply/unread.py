"""The reservations that were written and are to be read back, over cycles, and when that is done.

What reading back tells.
A reservation may wait for approval, the API may have kept other values than it was sent, or may have given
the id of somebody else's.

The problem.
A call tells of one reservation, or of a page of all that are at a time. What one calendar asks for is written
nearest first, so it lies close together and a page tells of many. The first booking of a thousand calendars
is spread over the whole horizon, and among all others the last hundred that were written are one or two on
each page: to read them back took as many calls as to write them.

What is done.
Each waits, as an id and a start, until so many lie close together that their list pays: `SPARING` for each of
its pages. All of them are read when nothing is left to write, before ledger and API are compared, and when
one has waited for `MOST_WAIT_S`; what is apart then takes a call for itself. So a few in a small office are
read in the cycle that wrote them, and of many a page tells of several, however many others are on it.

For the person who waits it means that until then a booking which needs approval says `booked`, and that
nobody is told what the API kept otherwise: for `MOST_WAIT_S` and the time that the calls take, and longer only
while the API cannot be used. Nothing is decided by it meanwhile: what the create answered says what is
booked.

A process that ends meanwhile leaves in the ledger since when something is unread (`UNREAD_SINCE`); the next
one reads back all that was written since then.

What else was possible.
To hold the bookings themselves takes as much memory as the changes that wait. To list everything once at the
end leaves a first booking that takes an hour unread for an hour. To ask for what was changed lately, this API
has no call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from syncd.apply.read_back import ON_A_PAGE, pages_between
from syncd.core.booking import Booking

MOST_WAIT_S = 600.0
"""Seconds after which all that waits is read back, also where its lists do not pay yet."""

SPARING = 8
"""Reservations that share a page of a list which pays."""

_LOOK_EVERY = 100  # reservations: so often it is judged which lists pay
_MOST_PAGES = 6  # of a list, as far as can be told: so long nothing gives way
_PORTION = 100  # reservations that are read back in one go

_Moment: TypeAlias = tuple[datetime, str]
"""When a meeting starts, and its reservation id."""


class Unread:
    """What one process has to read back; `density` is how many reservations of ours there are in a day.

    `is_taken_up` tells whether what a former process left is among it.
    `elapsed` is a clock in seconds that nobody sets.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self.density = 1.0
        self.is_taken_up = False
        self._elapsed = elapsed
        # What waits until its list pays: starts by reservation id, and since when the first of them waits.
        self._waiting: dict[str, datetime] = {}
        self._since = 0.0
        self._next_look = _LOOK_EVERY
        # What is read now, whatever that takes; the nearest last.
        self._due: list[_Moment] = []

    def __len__(self) -> int:
        """Return how many reservations are to be read back."""
        return len(self._waiting) + len(self._due)

    def add(self, booking: Booking) -> None:
        """Add the reservation of a booking that was written just now."""
        if not booking.reservation_id:
            return
        if not self._waiting:
            self._since = self._elapsed()
        self._waiting[booking.reservation_id] = booking.spec.start

    def put_back(self, bookings: Sequence[Booking]) -> None:
        """Add what was taken and not asked about; it is read next."""
        for booking in bookings:
            if booking.reservation_id:
                self._due.append((booking.spec.start, booking.reservation_id))
        self._due.sort(reverse=True)

    def call_for_all(self) -> None:
        """Let all of it be read now, whatever that takes."""
        self._let_be_read(self._in_order())

    def take(self) -> Sequence[str]:
        """Return the ids of some that are to be read now and lie close together; none if nothing is.

        They are held no longer.
        """
        if not self._due:
            self._judge()
        portion: list[_Moment] = []
        while self._due and len(portion) < _PORTION:
            start, _ = self._due[-1]
            if len(portion) >= ON_A_PAGE and self._is_beyond(portion, start):
                break
            portion.append(self._due.pop())
        return [reservation_id for _, reservation_id in portion]

    def _judge(self) -> None:
        """Let be read what has waited for long, or else what lies close enough together by now."""
        if not self._waiting:
            return
        if self._elapsed() - self._since >= MOST_WAIT_S:
            self.call_for_all()
        elif len(self._waiting) >= self._next_look:
            for window in self._windows():
                pages = pages_between(window[0][0], window[-1][0], self.density)
                if len(window) >= SPARING * max(1.0, pages):
                    self._let_be_read(window)
            self._next_look = len(self._waiting) + _LOOK_EVERY

    def _windows(self) -> list[list[_Moment]]:
        """Return what waits, cut into times of which a list has at most `_MOST_PAGES`."""
        windows: list[list[_Moment]] = []
        for moment in self._in_order():
            start, _ = moment
            if not windows or self._is_beyond(windows[-1], start):
                windows.append([])
            windows[-1].append(moment)
        return windows

    def _is_beyond(self, window: Sequence[_Moment], start: datetime) -> bool:
        """Tell whether a list of a time and on to a later start has too many pages."""
        first, _ = window[0]
        return pages_between(first, start, self.density) > _MOST_PAGES

    def _in_order(self) -> list[_Moment]:
        return sorted((start, name) for name, start in self._waiting.items())

    def _let_be_read(self, window: Sequence[_Moment]) -> None:
        self._due += window
        self._due.sort(reverse=True)
        for _, reservation_id in window:
            del self._waiting[reservation_id]
        self._next_look = _LOOK_EVERY
