"""Builds the graph of parts from a configuration; the only place that constructs them."""

from __future__ import annotations

import getpass
import json
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from syncd.apply import Progress
from syncd.assembly.calendars import (
    ReadOnlyFeeds,
    calendar_source,
    new_fetcher,
    subscription,
)
from syncd.assembly.settings import settings_of
from syncd.config import (
    Config,
    State,
    kept_text,
    state_directory,
)
from syncd.core.leases import writer_lease
from syncd.errors import ApiUnusable
from syncd.ics import ParserPool
from syncd.intake import Elsewhere, Prepare, program
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.clock import LedgerClock
from syncd.ledger.holding import hold_writer, since_boot
from syncd.ledger.index_versions import basis_of
from syncd.ledger.measurements import (
    CounterName,
    GaugeName,
    HistogramName,
    Measurements,
)
from syncd.ledger.operation import KEPT_CONFIGURATION
from syncd.ledger.patience import LedgerPatience
from syncd.migrations import HEAD
from syncd.reconciler import Reconciler
from syncd.sources.feeds import Subscriptions
from syncd.tuya import REGIONS, TuyaApi
from syncd.tuya.apiclock import steady
from syncd.tuya.codes import USED_UP
from syncd.tuya.requests import RequestMade

Trusted = Callable[[], bool]
"""Tells whether anything may be sent to the API now."""


class NoProgress:
    """A progress display for nobody."""

    def begin(self, total: int) -> None:
        """Show nothing."""

    def advance(self, done: int) -> None:
        """Show nothing."""


_PATIENCE_S = 7.0  # with a call under way, so that a stop is over within ten seconds


class Stop:
    """A wish to stop, made by SIGINT or SIGTERM, that the work loop asks for.

    A second SIGINT ends at once, and so does a call that goes on for long after the first: as
    KeyboardInterrupt, which leaves the intent of that call in the ledger.
    `told` are called when the wish arises.
    """

    def __init__(self, *told: Callable[[], object]) -> None:
        self.wished = False
        self._told = list(told)

    def tells(self, told: Callable[[], object]) -> None:
        """Call `told` too when the wish arises; it may run in a signal handler."""
        self._told.append(told)

    def __call__(self) -> bool:
        """Return whether to stop soon."""
        return self.wished

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Turn signals into the wish while the context lasts, and put the former handlers back after it."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
        former = {number: signal.signal(number, self._wish) for number in numbers}
        try:
            yield self
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in former.items():
                signal.signal(number, handler)

    def _wish(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        if number == signal.SIGALRM or (self.wished and number == signal.SIGINT):
            raise KeyboardInterrupt
        if not self.wished:
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
        self.wished = True
        for told in self._told:
            told()


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running syncd."""

    config: Config
    ledger: Ledger
    api: TuyaApi
    reconciler: Reconciler
    subscriptions: Subscriptions


@contextmanager
def service(
    config: Config,
    *,
    owner: bool,
    stopping: Stop | None = None,
    progress: Progress | None = None,
    prepare: Prepare | None = None,
) -> Iterator[Service]:
    """Open the ledger and build all parts on it; close them at the end of the context.

    `prepare` is as for `assemble`.
    `owner` takes the state for itself (raises `LedgerLocked`); without it nothing may be written, and nothing
    but questions may be sent.
    """
    stopping = stopping or Stop()
    patience = LedgerPatience(_SHORT_WAIT_S, stopping)
    with (
        open_ledger(config, owner=owner, patience=patience) as ledger,
        _writer(config, ledger, owner=owner) as trusted,
        ParserPool() as pool,
    ):
        stopping.tells(ledger.under_way.stops)
        if owner:
            keep_configuration(config, ledger)
            begin_reading(config, ledger)
        parts = assemble(
            config,
            ledger,
            owner=owner,
            stopping=stopping,
            progress=progress,
            prepare=prepare,
            pool=pool,
            clock=_clock_of(config, ledger) if owner else utc_now,
            trusted=trusted,
        )
        try:
            yield parts
        finally:
            parts.api.close()


@contextmanager
def _writer(config: Config, ledger: Ledger, *, owner: bool) -> Iterator[Trusted]:
    """Be the one that writes on a ledger while the context lasts, if it is to be owned; raise `LedgerLocked`."""
    if not owner:
        yield _always
        return
    with hold_writer(ledger, config.api.client_id) as trusted:
        yield trusted


def _always() -> bool:
    return True


def _clock_of(config: Config, ledger: Ledger) -> Callable[[], datetime]:
    """Return the clock that what is written into a ledger goes by: of a shared one its own."""
    if not ledger.is_shared:
        return utc_now
    store = ledger.lease_store(writer_lease(config.api.client_id))
    return LedgerClock(store.look().now, since_boot).now


def assemble(
    config: Config,
    ledger: Ledger,
    *,
    owner: bool,
    pool: ParserPool,
    stopping: Callable[[], bool],
    gives_way: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    prepare: Prepare | None = None,
    elsewhere: Elsewhere | None = None,
    alive: Callable[[], object] = lambda: None,
    others_wait: Callable[[], bool] = lambda: False,
    clock: Callable[[], datetime] | None = None,
    trusted: Trusted | None = None,
) -> Service:
    """Build the parts of a configuration on an open ledger; whoever asks for them closes `api`.

    `gives_way` is asked while changes are written whether to leave the rest of them to the next cycle.
    `prepare` is told which sources are about to be read; without it feeds are fetched then, all at once.
    `pool` understands what may be costly.
    `elsewhere` reads large sources in another thread; without it they are read when it is their turn.
    `others_wait` is asked while costly events are read whether to leave the rest of them to the next cycle.
    `alive` is called at each step of the work: before a source is read, and at each API call.
    `clock` gives the present, without it that of this machine does. `trusted` is asked before anything is sent to
    the API whether it may be; without it everything may.
    """
    clock = clock or utc_now
    subscriptions = Subscriptions(
        {
            source.name: subscription(source, config)
            for source in config.sources
            if source.url
        },
        fetcher=partial(new_fetcher, stopping),
        store=ledger.sources if owner else ReadOnlyFeeds(ledger),
        clock=clock,
    )

    def fetch_now(names: Collection[str], force: bool) -> None:
        subscriptions.fetch(subscriptions.requests(names, force=force))

    api = _api(
        config,
        ledger,
        metered=owner,
        alive=alive,
        clock=clock,
        trusted=trusted or _always,
    )
    reconciler = Reconciler(
        sources=[
            calendar_source(config, ledger, source, subscriptions, alive, owner=owner)
            for source in config.sources
        ],
        api=api,
        ledger=ledger,
        settings=settings_of(config),
        clock=clock,
        stopping=stopping,
        gives_way=gives_way,
        progress=progress or NoProgress(),
        prepare=prepare or fetch_now,
        elsewhere=elsewhere,
        pool=pool,
        alive=alive,
        others_wait=others_wait,
        elapsed=steady,
    )
    return Service(config, ledger, api, reconciler, subscriptions)


def address_of(config: Config) -> LedgerAddress:
    """Return where the ledger of a configuration is."""
    written = config.written
    path = Path("syncd.toml") if written is None else written.path
    return ledger_address(config.state, path)


def ledger_address(state: State, path: Path) -> LedgerAddress:
    """Return where a ledger is that the configuration file at `path` names."""
    directory = state_directory()
    own = Path(directory) if directory else path.absolute().parent
    password = None if state.password is None else state.password.reveal
    return LedgerAddress(state.url, password, state.durability, own)


def open_ledger(
    config: Config,
    *,
    owner: bool,
    patience: LedgerPatience | None = None,
    converts_aside: bool = False,
) -> Ledger:
    """Open the ledger of a configuration; raise `LedgerError`.

    Its owner waits as long as `patience` lasts while another program keeps it locked, others some seconds.
    Who lives for long `converts_aside`: keeps nothing of what an earlier schema is converted with.
    """
    if not owner:
        patience = None
    return Ledger.open(
        address_of(config),
        owner=owner,
        patience=patience,
        converts_aside=converts_aside,
    )


_SHORT_WAIT_S = 120.0  # of a run that somebody waits for


def keep_configuration(config: Config, ledger: Ledger) -> None:
    """Leave a configuration in the ledger for commands that look while its file has a mistake."""
    if config.written is None:
        return
    text = kept_text(config)
    if ledger.facts.get(KEPT_CONFIGURATION) != text:
        ledger.facts.set(KEPT_CONFIGURATION, text)


_DECIDES_NO_READING = ("web", "log", "notices", "state")


def begin_reading(config: Config, ledger: Ledger) -> None:
    """Let other parts read by a configuration from now on: of what, others on a shared ledger are to know."""
    if ledger.is_shared:
        ledger.begin_reading(reading_basis(config))


def reading_basis(config: Config) -> str:
    """Return what a reading under a configuration rests on, equal for members that may use those of each other."""
    by_what = ""
    if config.written is not None:
        # Not where its file is: each member may have its own.
        tree = json.loads(kept_text(config))["tree"]
        for table in _DECIDES_NO_READING:
            tree.pop(table, None)
        by_what = json.dumps(tree, sort_keys=True)
    return basis_of(f"{program()} {HEAD}", by_what)


def who() -> str:
    """Return the name of the user at the keyboard, for the record of an approval."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


def api_client(config: Config) -> TuyaApi:
    """Return a client of the API for who looks without a ledger; whoever asks for it closes it."""
    settings = config.api
    return TuyaApi(
        endpoint=settings.endpoint or REGIONS[settings.region or ""],
        client_id=settings.client_id,
        client_secret=settings.client_secret.reveal,
        timeout_s=settings.timeout.total_seconds(),
        requests_per_second=settings.requests_per_second,
    )


def _api(
    config: Config,
    ledger: Ledger,
    *,
    metered: bool,
    alive: Callable[[], object],
    clock: Callable[[], datetime],
    trusted: Trusted,
) -> TuyaApi:
    settings = config.api

    def count_call(method: str) -> None:
        alive()
        within = settings.monthly_calls or None
        if metered and not ledger.calls.count(method, clock(), within):
            raise ApiUnusable(USED_UP)

    def observe(request: RequestMade) -> None:
        if metered:
            _measure(request, api, ledger.measurements)

    def budget_left() -> int | None:
        if settings.monthly_calls == 0:
            return None
        made = ledger.calls.in_month(clock())
        return max(0, settings.monthly_calls - made)

    api = TuyaApi(
        endpoint=settings.endpoint or REGIONS[settings.region or ""],
        client_id=settings.client_id,
        client_secret=settings.client_secret.reveal,
        timeout_s=settings.timeout.total_seconds(),
        requests_per_second=settings.requests_per_second,
        count_call=count_call,
        budget_left=budget_left,
        observe=observe,
        trusted=trusted,
    )
    return api


def _measure(request: RequestMade, api: TuyaApi, measurements: Measurements) -> None:
    """Count a request of the API, and note what is known of its clock and of the token since."""
    measurements.add(CounterName.API_REQUESTS, request.operation, request.result)
    measurements.observe(HistogramName.API_REQUEST, request.seconds, request.method)
    known = {
        GaugeName.API_CLOCK_OFFSET: api.clock_offset_s,
        GaugeName.API_TOKEN_EXPIRY: api.token_expires_at_s,
    }
    for name, value in known.items():
        if value is not None:
            measurements.set(name, value)
