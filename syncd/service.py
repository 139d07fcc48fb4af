"""Builds the graph of parts from a configuration; the only place that constructs them."""

from __future__ import annotations

import getpass
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType

from syncd.config import Config
from syncd.config.tables import Source
from syncd.core.changes import Mode, OnCancel, OnChange
from syncd.core.mapper import MappingRules, RoomRule, SourceRules
from syncd.ics import Locale
from syncd.ledger import Ledger
from syncd.reconciler import CalendarSource, Progress, Reconciler, Settings
from syncd.sources import FileSource
from syncd.tuya import LATEST_SIGNING_S, REGIONS, TuyaApi


class NoProgress:
    """Nobody watches."""

    def begin(self, total: int) -> None:
        """Nothing is shown."""

    def advance(self, done: int) -> None:
        """Nothing is shown."""


class Stop:
    """Turns SIGINT and SIGTERM into a wish that the work loop asks for; a second SIGINT ends at once."""

    def __init__(self) -> None:
        self.wished = False

    def __call__(self) -> bool:
        """Whether to stop soon."""
        return self.wished

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Listen while the work goes on; the former handlers come back afterwards."""
        former = {number: signal.signal(number, self._wish) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _wish(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        if self.wished and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wished = True


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running syncd."""

    config: Config
    ledger: Ledger
    api: TuyaApi
    reconciler: Reconciler


@contextmanager
def service(
    config: Config, *, owner: bool, stopping: Stop | None = None, progress: Progress | None = None
) -> Iterator[Service]:
    """Open the ledger and build everything on it; closes all of it at the end.

    `owner` takes the state for itself (raises `LedgerLocked`); without it nothing may be written.
    """
    with open_ledger(config, owner=owner) as ledger:
        api = _api(config, ledger, metered=owner)
        try:
            reconciler = Reconciler(
                sources=[_source(config, source) for source in config.sources],
                api=api,
                ledger=ledger,
                settings=_settings(config),
                clock=utc_now,
                stopping=stopping or Stop(),
                progress=progress or NoProgress(),
            )
            yield Service(config, ledger, api, reconciler)
        finally:
            api.close()


def open_ledger(config: Config, *, owner: bool) -> Ledger:
    """The ledger of a configuration; raises `LedgerError`."""
    return Ledger.open(config.state.url, owner=owner)


def who() -> str:
    """The user at the keyboard, for the record of an approval."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def _api(config: Config, ledger: Ledger, *, metered: bool) -> TuyaApi:
    settings = config.api

    def count_call(method: str) -> None:
        if metered:
            ledger.count_call(method, utc_now())

    def budget_left() -> int | None:
        if settings.monthly_calls == 0:
            return None
        return max(0, settings.monthly_calls - ledger.calls_in_month(utc_now()))

    return TuyaApi(
        endpoint=settings.endpoint or REGIONS[settings.region or ""],
        client_id=settings.client_id,
        client_secret=settings.client_secret.reveal,
        timeout_s=settings.timeout.total_seconds(),
        requests_per_second=settings.requests_per_second,
        count_call=count_call,
        budget_left=budget_left,
    )


def _source(config: Config, source: Source) -> CalendarSource:
    assert source.path is not None  # feeds are not available yet, and the configuration refuses them
    files = FileSource(source.name, source.path, source.max_bytes)
    return CalendarSource(
        name=source.name,
        fetch=files.fetch,
        locale=Locale(config.calendar.timezone, source.timezone, config.calendar.timezones),
        scope="" if source.uid_scope == "global" else source.name,
        confirmations=source.confirmations,
    )


def _settings(config: Config) -> Settings:
    return Settings(
        mode=Mode(config.mode),
        horizon=config.calendar.horizon,
        instance=config.reservation.instance,
        mapping=mapping_rules(config),
        request_validity=config.api.request_validity,
        signing_limit=timedelta(seconds=LATEST_SIGNING_S),
        cancel_share=config.safety.cancel_share,
        cancel_floor=config.safety.cancel_floor,
        cancel_window=config.safety.cancel_window,
        empty_hold=config.safety.empty_hold,
        drift_check=config.schedule.drift_check,
        on_change=OnChange(config.drift.on_change),
        on_cancel=OnCancel(config.drift.on_cancel),
        monthly_calls=config.api.monthly_calls,
        retention=config.state.retention,
        lookup=config.people.lookup,
        publish_dir=config.attachments.publish_dir,
    )


def mapping_rules(config: Config) -> MappingRules:
    """The configuration as the mapper sees it."""
    calendar, reservation, people = config.calendar, config.reservation, config.people
    return MappingRules(
        creator=reservation.creator,
        all_day=calendar.all_day,
        working_hours=calendar.working_hours,
        transparent=calendar.transparent,
        tentative=calendar.tentative,
        private=calendar.private,
        roomless=calendar.roomless,
        notice=reservation.notice,
        notice_time_s=int(reservation.notice_time.total_seconds()),
        marker=reservation.marker,
        unmapped=people.unmapped,
        optional=people.optional,
        declined=people.declined,
        rooms=tuple(
            RoomRule(room.id, frozenset(room.addresses), room.texts, room.expressions)
            for room in config.rooms
        ),
        people=people.directory,
        sources={
            source.name: SourceRules(source.room, source.creator, source.cc) for source in config.sources
        },
        publish_base_url=config.attachments.base_url or "",
    )
