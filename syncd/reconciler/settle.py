"""Settles what is in doubt by looking, never by repeating blindly.

A create without an answer is searched by mark, then by content.
Found: adopted. Not found: looked for again until the request can no longer arrive; then it counts as not
made, and the plan may book it anew.
Updates and cancels set a state, so they are compared with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from syncd.core.adopt import adopted_from, made_by, search_window
from syncd.core.reasons import Reason
from syncd.core.reservation import Booking, BookingState, Reservation
from syncd.errors import OutcomeUnknown
from syncd.reconciler.apply import GRACE, MARGIN, Applier
from syncd.reconciler.ports import Api, Ledger, Settings

log = structlog.get_logger(__name__)


def settle(
    *,
    api: Api,
    ledger: Ledger,
    settings: Settings,
    applier: Applier,
    clock: Callable[[], datetime],
) -> None:
    """Settle every booking in doubt as far as looking can; raises `ApiUnusable`."""
    current = ledger.current()
    doubtful = [b for b in current if b.in_doubt]
    if not doubtful:
        return
    creates = [b for b in doubtful if b.state is BookingState.SENDING and b.reservation_id is None]
    if creates:
        known = frozenset(b.reservation_id for b in current if b.reservation_id)
        start, end = search_window(creates, MARGIN)
        creators = {b.spec.creator for b in creates}
        found = api.find(start, end, creator=creators.pop() if len(creators) == 1 else None)
        for booking in creates:
            _settle_create(booking, made_by(booking, found, known), applier, ledger, settings, clock())
    for booking in doubtful:
        if booking.state is BookingState.SENDING and booking.reservation_id is not None:
            _settle_update(booking, api, applier, ledger, clock())
        elif booking.state is BookingState.CANCELLING:
            _settle_cancel(booking, api, applier, settings)


def _settle_create(
    booking: Booking,
    found: Sequence[Reservation],
    applier: Applier,
    ledger: Ledger,
    settings: Settings,
    now: datetime,
) -> None:
    live = [r for r in found if r.live]
    if live:
        ledger.record(adopted_from(booking, live[0]), at=now, what="adopted", detail="found by looking")
        applier.count["adopted"] += 1
        log.info("adopted", reservation_id=live[0].reservation_id, source=booking.source)
    elif found:
        # It was made, and a person or an approver ended it since.
        ended = adopted_from(booking, found[-1])
        applier.take_over(ended, found[-1])
    else:
        assert booking.attempted_at is not None  # a booking in doubt has it
        # Without an answer of any kind (a kill) the request may have been signed late.
        latest = booking.attempted_at + settings.signing_limit + settings.request_validity + GRACE
        settled_at = booking.retry_at or latest
        if now >= settled_at:
            waiting = replace(
                booking, state=BookingState.WAITING, attempted_at=None, retry_at=None, detail="", reason=None
            )
            ledger.record(waiting, at=now, what="not made", detail="not found after request_validity")
        else:
            detail = (
                "A request was sent, its answer was lost, and it is not found yet; "
                f"looked for until {settled_at:%Y-%m-%d %H:%M:%S} UTC, then tried once more."
            )
            if booking.detail != detail:
                ledger.amend(replace(booking, reason=Reason.IN_DOUBT, detail=detail))


def _settle_update(booking: Booking, api: Api, applier: Applier, ledger: Ledger, now: datetime) -> None:
    assert booking.reservation_id is not None  # the caller asked
    there = api.get(booking.reservation_id)
    if there is None or not there.live:
        applier.take_over(replace(booking, pending=None, content=booking.spec), there)
        return
    # Whatever it holds is what is confirmed; if that is not what is wanted, the plan changes it again.
    seen = adopted_from(booking, there)
    ledger.record(seen, at=now, what="settled", detail="read back")


def _settle_cancel(booking: Booking, api: Api, applier: Applier, settings: Settings) -> None:
    assert booking.reservation_id is not None  # only bookings that have one are cancelled
    there = api.get(booking.reservation_id)
    if there is not None and there.live:
        if not settings.mode.cancels:
            return
        try:
            applier.finish_cancel(booking)
        except OutcomeUnknown:
            return  # recorded; looked at again in the next cycle
    else:
        applier.finish_cancelled(booking)
