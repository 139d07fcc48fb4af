"""Builds the graph of parts from a configuration; the only place that constructs them."""

from __future__ import annotations

import getpass
import json
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from syncd.apply import Progress
from syncd.config import (
    Config,
    Room,
    Source,
    State,
    kept_text,
    sources,
)
from syncd.core.changes import Mode, OnCancel, OnChange
from syncd.core.feed import Body, Snapshot
from syncd.core.leases import writer_lease
from syncd.core.mapper import MappingRules, SourceRules
from syncd.core.rooms import RoomRule
from syncd.core.settings import Settings
from syncd.errors import ApiUnusable
from syncd.ics import Locale, ParserPool
from syncd.intake import CalendarSource, Elsewhere, Fetched, Prepare, program
from syncd.ledger import Ledger, LedgerAddress
from syncd.ledger.clock import LedgerClock
from syncd.ledger.facts import PathWord, path_of
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
from syncd.sources.feeds import Subscription, Subscriptions
from syncd.sources.files import FileSource, Memory
from syncd.sources.http import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    Feed,
    HeaderAuth,
    Tls,
)
from syncd.tuya import LATEST_SIGNING_S, REGIONS, TuyaApi
from syncd.tuya.apiclock import steady
from syncd.tuya.codes import USED_UP
from syncd.tuya.requests import RequestMade

if TYPE_CHECKING:
    from syncd.sources.http.fetcher import Fetcher


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
            ledger.begin_reading(reading_basis(config))
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
        fetcher=partial(_fetcher, stopping),
        store=ledger.sources if owner else _ReadOnlyFeeds(ledger),
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
            _source(config, ledger, source, subscriptions, alive, owner=owner)
            for source in config.sources
        ],
        api=api,
        ledger=ledger,
        settings=_settings(config),
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


class _ReadOnlyFeeds:
    """The feeds in the ledger for who may not write: what is stored can be read."""

    def __init__(self, ledger: Ledger) -> None:
        self.snapshot = ledger.sources.snapshot
        self.body = ledger.sources.body

    def keep_snapshot(
        self, source: str, snapshot: Snapshot, body: Body | None = None
    ) -> None:
        """Keep nothing, since only the owner of the ledger may write."""


def _fetcher(stopping: Callable[[], bool]) -> Fetcher:
    """Return a new fetcher; loads the HTTP client, so it is called when the first feed is asked."""
    from syncd.sources.http.fetcher import Fetcher

    return Fetcher(stopping=stopping)


def subscription(source: Source, config: Config) -> Subscription:
    """Return the feed of a source with a URL, and how often it is asked."""
    assert source.url is not None  # the caller asked
    tls = Tls()
    if source.tls is not None:
        tls = Tls(source.tls.ca, source.tls.certificate, source.tls.key)
    feed = Feed(
        name=source.name,
        url=source.url,
        timeout_s=source.timeout.total_seconds(),
        max_bytes=source.max_bytes,
        allow_hosts=source.allow_hosts,
        auth=_auth(source.auth),
        tls=tls,
    )
    return Subscription(feed, config.interval_of(source))


def _auth(auth: sources.Auth | None) -> Auth | None:
    match auth:
        case None:
            return None
        case sources.PasswordAuth(type="basic"):
            return BasicAuth(auth.username, auth.password)
        case sources.PasswordAuth():
            return DigestAuth(auth.username, auth.password)
        case sources.BearerAuth():
            return BearerAuth(auth.token)
        case sources.HeaderAuth():
            return HeaderAuth(auth.name, auth.value)


def address_of(config: Config) -> LedgerAddress:
    """Return where the ledger of a configuration is."""
    written = config.written
    path = Path("syncd.toml") if written is None else written.path
    return ledger_address(config.state, path)


def ledger_address(state: State, path: Path) -> LedgerAddress:
    """Return where a ledger is that the configuration file at `path` names."""
    # systemd.exec(5): several directories are separated by colons; the first is ours.
    directory, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
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


class _PathMemory(Memory):
    """A memory in the ledger of one path of a source; a changed path has no memory."""

    def __init__(self, ledger: Ledger, source: str, path: str, *, owner: bool) -> None:
        super().__init__()
        self._ledger = ledger
        self._fact = path_of(source)
        self._path = path
        self._owner = owner

    def recall(self) -> str:
        """Return what was kept of this path last."""
        known = self._ledger.facts.get(self._fact)
        if known is None or known.path != self._path:
            return ""
        return known.word

    def keep(self, word: str) -> None:
        """Remember a word unless it is known; without ownership of the ledger remember nothing."""
        if self._owner and self.recall() != word:
            known = PathWord(word, self._path)
            self._ledger.facts.set(self._fact, known)


def _source(
    config: Config,
    ledger: Ledger,
    source: Source,
    subscriptions: Subscriptions,
    alive: Callable[[], object],
    *,
    owner: bool,
) -> CalendarSource:
    read: Callable[[], Fetched]
    kind = "file"
    if source.path is None:
        kind = "feed"
        read = partial(subscriptions.take, source.name)
    else:
        memory = _PathMemory(ledger, source.name, str(source.path), owner=owner)
        read = FileSource(
            source.name, source.path, source.max_bytes, memory=memory
        ).fetch

    def fetch() -> Fetched:
        alive()
        return read()

    return CalendarSource(
        name=source.name,
        fetch=fetch,
        locale=Locale(
            config.calendar.timezone,
            source.timezone,
            config.calendar.timezones,
            source.owner,
        ),
        scope="" if source.uid_scope == "global" else source.name,
        confirmations=source.confirmations,
        max_occurrences=config.calendar.max_occurrences,
        kind=kind,
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
        told_share=config.safety.told_share,
        told_floor=config.safety.told_floor,
        file_grace=config.safety.file_grace,
        vanish_share=config.safety.vanish_share,
        vanish_floor=config.safety.vanish_floor,
        owners=frozenset(source.owner for source in config.sources if source.owner),
        drift_check=config.schedule.drift_check,
        on_change=OnChange(config.drift.on_change),
        on_cancel=OnCancel(config.drift.on_cancel),
        monthly_calls=config.api.monthly_calls,
        retention=config.state.retention,
        lookup=config.people.lookup,
        publish_dir=config.attachments.publish_dir,
        publish_mode=config.attachments.mode,
    )


def mapping_rules(config: Config) -> MappingRules:
    """Return the rules of the configuration that the mapper applies to occurrences."""
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
        rooms=tuple(_room_rule(room) for room in config.rooms),
        people=people.directory,
        sources={
            source.name: SourceRules(source.room, source.creator, source.cc)
            for source in config.sources
        },
        publish_base_url=config.attachments.base_url or "",
        publish_types=frozenset(config.attachments.types),
    )


def _room_rule(room: Room) -> RoomRule:
    return RoomRule(
        room_id=room.id,
        addresses=frozenset(room.addresses),
        texts=room.texts,
        expressions=room.expressions,
        name=room.name or "",
        written=room.written,
    )
