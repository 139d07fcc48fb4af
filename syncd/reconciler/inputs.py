"""What a plan rests on beside the readings: meetings wanted, bookings known, and the policy of the moment."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from syncd.apply.ports import Api
from syncd.apply.repairs import repairs
from syncd.apply.search import list_everything, unproven
from syncd.core.booking import Booking
from syncd.core.deciding_copy import Decider, deciders_of
from syncd.core.evidence import Safety
from syncd.core.listing import Listing
from syncd.core.mapper import Mapped, Mapper, Wanted
from syncd.core.meeting import Meeting
from syncd.core.merge import Witnessed, merge
from syncd.core.occurrence import OccurrenceKey, Reading, Window
from syncd.core.policy import CallBudget, Policy
from syncd.core.reasons import Evidence
from syncd.core.recognise import Recognised, recognise
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable, Unanswered
from syncd.intake.ports import CalendarSource
from syncd.ledger.facts import MAX_DAY, MaxDay
from syncd.reconciler.ports import Ledger

log = structlog.get_logger(__name__)

_RULES_KEPT = timedelta(hours=12)  # how long the tenant's booking rules are believed
_RULES_AGAIN = timedelta(hours=1)  # after a question for them that got no answer
ANSWER_KEPT = timedelta(hours=24)
"""How long an answer of the directory is believed."""
_MOST_DAYS = 36_500  # nobody books further ahead
_RESERVE = 20  # a part of the monthly calls that writes leave for looking


@dataclass(frozen=True, slots=True)
class Desired:
    """What the calendars ask for; `mapped` has an entry for each of `witnessed`."""

    witnessed: tuple[Witnessed, ...]
    mapped: Mapping[OccurrenceKey, Mapped]

    def meetings(self, before: datetime) -> list[Meeting]:
        """Return a meeting for each reservation that is asked for and begins before a moment."""
        found: list[Meeting] = []
        for seen in self.witnessed:
            mapped = self.mapped[seen.occurrence.key]
            if not isinstance(mapped, Wanted):
                continue
            near = [spec for spec in mapped.specs if spec.start < before]
            for spec in near:
                meeting = Meeting(seen.occurrence, seen.witnesses, spec)
                found.append(meeting)
        return found


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What a plan is decided from beside the readings."""

    desired: Desired
    bookings: tuple[Booking, ...]
    policy: Policy


class InputGatherer:
    """Gathers what a plan is decided from from ledger, API and configuration.

    With `remember`, what the API told on the way is stored.
    """

    def __init__(
        self,
        *,
        sources: Sequence[CalendarSource],
        api: Api,
        ledger: Ledger,
        settings: Settings,
        alive: Callable[[], object],
    ) -> None:
        self._alive = alive
        self._names = tuple(source.name for source in sources)
        self._confirmations = {source.name: source.confirmations for source in sources}
        self._api = api
        self._ledger = ledger
        self._settings = settings
        self._mapper = Mapper(settings.mapping)
        # Of what was recognised last.
        self.unproven: Collection[OccurrenceKey] = ()
        self.listing = Listing()

    def desired(
        self,
        readings: Mapping[str, Reading],
        now: datetime,
        *,
        remember: bool,
        ask: bool = True,
    ) -> Desired:
        """Return what the readings ask for, mapped; without `ask` unknown people are not looked up."""
        witnessed = merge(readings, self._deciders_of, self._settings.owners)
        mapper = self._mapper
        if self._settings.lookup:
            mapper = self._with_directory(
                mapper, witnessed, now, remember=remember, ask=ask
            )
        mapped = self._mapped(witnessed, mapper)
        return Desired(witnessed, mapped)

    def _mapped(
        self, witnessed: Sequence[Witnessed], mapper: Mapper
    ) -> dict[OccurrenceKey, Mapped]:
        """Return what each occurrence asks for; while that is found out, its event counts as under way."""
        mapped: dict[OccurrenceKey, Mapped] = {}
        former: tuple[str, str] | None = None
        for seen in witnessed:
            occurrence = seen.occurrence
            event = (occurrence.source, occurrence.key.uid)
            if event != former:
                former = event
                self._alive()
                self._ledger.under_way.begin(*event)
            mapped[occurrence.key] = mapper.map(occurrence)
        self._ledger.under_way.end()
        return mapped

    def _deciders_of(self, uids: Collection[str]) -> Mapping[OccurrenceKey, Decider]:
        """Return which copy of each meeting of these UIDs decided about it until now."""
        return deciders_of(self._ledger.bookings.of(*uids))

    def inputs(
        self,
        desired: Desired,
        bookings: tuple[Booking, ...],
        now: datetime,
        *,
        remember: bool,
        ask: bool = True,
    ) -> PlanInputs:
        """Return what the plan for these meetings and bookings rests on.

        Without `ask` only as far as the ledger tells.
        """
        if ask and not remember and self._ledger.bookings.fresh:
            adopted = self._to_be_adopted(desired, bookings, now)
            bookings = (*bookings, *adopted)
        settings = self._settings
        policy = Policy(
            mode=settings.mode,
            window=Window.ahead(now, settings.horizon),
            configured=self._names,
            safety=self._safety(now),
            advance=self._advance(now, remember=remember, ask=ask),
            approved=self._ledger.people.approved(),
            on_change=settings.on_change,
            on_cancel=settings.on_cancel,
            calls=self._calls(now),
            repairs=repairs(self._ledger.facts),
        )
        return PlanInputs(desired, bookings, policy)

    def idle(self, now: datetime) -> PlanInputs:
        """Return what a plan with no UIDs rests on; the tenant's rules are asked when it is time."""
        settings = self._settings
        policy = Policy(
            mode=settings.mode,
            window=Window.ahead(now, settings.horizon),
            configured=self._names,
            advance=self._advance(now, remember=True, ask=True),
        )
        nothing = Desired((), {})
        return PlanInputs(nothing, (), policy)

    def recognised(
        self, desired: Desired, bookings: Sequence[Booking], now: datetime
    ) -> Recognised:
        """Return what the reservations of the API are to these meetings and bookings.

        Raises `ApiUnusable`.
        """
        settings = self._settings
        reach = self.reach(now)
        meetings = desired.meetings(reach)
        listing = list_everything(self._api, bookings, meetings, now, reach)
        self.listing = listing
        self.unproven = unproven(meetings, listing, settings)
        return recognise(
            listing.reservations, meetings, bookings, settings.instance, now
        )

    def reach(self, now: datetime) -> datetime:
        """Return before when a meeting begins that is looked for."""
        return Window.ahead(now, self._settings.horizon).reach

    def _to_be_adopted(
        self, desired: Desired, bookings: Sequence[Booking], now: datetime
    ) -> list[Booking]:
        """Return what a cycle would adopt first, because this ledger proves nothing; it is not stored."""
        found = self.recognised(desired, bookings, now).adopted
        adopted: list[Booking] = []
        for number, booking in enumerate(found, start=1):
            if not booking.row:
                # Rows tell bookings apart while planning.
                adopted.append(replace(booking, row=-number))
        return adopted

    def _with_directory(
        self,
        mapper: Mapper,
        witnessed: Sequence[Witnessed],
        now: datetime,
        *,
        remember: bool,
        ask: bool,
    ) -> Mapper:
        """Ask the tenant's directory for addresses that the people file does not know, each once."""
        people = self._ledger.people
        not_before = now - ANSWER_KEPT
        addresses: set[str] = set()
        for seen in witnessed:
            addresses.update(mapper.addresses(seen.occurrence))
        found: dict[str, str] = {}
        for address in sorted(addresses):
            known, user = people.user_of(address, not_before)
            if not known and ask:
                try:
                    user = self._api.find_user(address)
                except (ApiUnusable, Unanswered) as error:
                    # The directory is a product of its own: without it people stay unmapped, rooms do not.
                    log.warning("directory", error=str(error))
                    break
                if remember:
                    people.record_user(address, user, now)
            if user is not None:
                found[address] = user
        rules = self._settings.mapping
        # What the configuration says of an address goes before the directory.
        people_known = {**found, **rules.people}
        return Mapper(replace(rules, people=people_known))

    def _safety(self, now: datetime) -> Safety:
        """Return the bounds of cancels, with what was cancelled of late."""
        settings = self._settings
        recent: Counter[str] = Counter()
        since = now - settings.cancel_window
        cancels = self._ledger.bookings.cancels_since(since)
        for cancel in cancels:
            if cancel.evidence == Evidence.SHOWN:
                recent[cancel.source] += 1
        return Safety(
            cancel_share=settings.cancel_share,
            cancel_floor=settings.cancel_floor,
            empty_hold=settings.empty_hold,
            told_share=settings.told_share,
            told_floor=settings.told_floor,
            file_grace=settings.file_grace,
            confirmations=self._confirmations,
            cancelled_recently=recent,
        )

    def _advance(self, now: datetime, *, remember: bool, ask: bool) -> timedelta | None:
        """Return how far ahead the tenant lets book; asked rarely, because rules change rarely."""
        known = self._ledger.facts.get(MAX_DAY)
        if known is not None and now - known.asked_at < _RULES_KEPT:
            return _limit(known)
        if not ask:
            return _limit(known)
        asked = self._ask_rules(known, now)
        if remember:
            self._ledger.facts.set(MAX_DAY, asked)
        return _limit(asked)

    def _ask_rules(self, known: MaxDay | None, now: datetime) -> MaxDay:
        """Ask for the tenant's rules; without an answer what was known goes on."""
        try:
            rules = self._api.rules()
        except Unanswered as error:
            log.warning("booking rules", error=str(error))
            days = None if known is None else known.days
            # They are asked again before they would be out of date.
            return MaxDay(days, now - _RULES_KEPT + _RULES_AGAIN)
        return MaxDay(rules.max_day, now)

    def known_advance(self) -> timedelta | None:
        """Return how far ahead the tenant let book when it was last asked; None without a limit."""
        return _limit(self._ledger.facts.get(MAX_DAY))

    def forget_rules(self) -> None:
        """Ask the tenant's rules anew the next time."""
        self._ledger.facts.set(MAX_DAY, None)

    def _calls(self, now: datetime) -> CallBudget | None:
        """Return what writes may still cost this month, and whether the calls run short at this pace."""
        monthly = self._settings.monthly_calls
        if monthly == 0:
            return None
        used = self._ledger.calls.in_month(now)
        left = monthly - used
        reserve = monthly // _RESERVE
        for_writes = max(0, left - reserve)
        is_half_spent = left < monthly // 2
        is_short = is_half_spent and forecast(used, now) > monthly
        return CallBudget(for_writes, is_short)


def _limit(known: MaxDay | None) -> timedelta | None:
    """Return how far ahead a tenant lets book; None without a limit that makes sense."""
    if known is None or known.days is None:
        return None
    if not 0 <= known.days <= _MOST_DAYS:
        return None
    return timedelta(days=known.days)


def forecast(used: int, now: datetime) -> int:
    """Return the API calls until the end of the month at this pace; the first day counts as a whole one."""
    _first_weekday, days = calendar.monthrange(now.year, now.month)
    elapsed = now.day - 1 + now.hour / 24
    elapsed = max(1.0, elapsed)
    return round(used * days / elapsed)
