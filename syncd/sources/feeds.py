"""The feeds of a configuration: asked when they may be, and what they said kept with its validators.

A feed that says "not modified" is read from what was kept, and that only if somebody looks into it; a body
is kept only after it was read as a whole calendar, in one step with the validators that belong to it.
A server that asks for patience, or fails again and again, is left alone for a while, also over restarts.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol, assert_never

from syncd.core.document import Document
from syncd.core.feed import Body, Snapshot
from syncd.core.reservation import epoch_ms
from syncd.errors import SourceError, SourceMalformed, SourceUnavailable, SyncdError
from syncd.sources.http.feed import (
    Auth,
    BasicAuth,
    BearerAuth,
    DigestAuth,
    Feed,
    Fresh,
    HeaderAuth,
    NotModified,
    Secret,
    Validators,
)

if TYPE_CHECKING:
    from syncd.sources.http.fetcher import Fetcher

_Answer = Fresh | NotModified | SourceUnavailable | SourceMalformed

UNCONDITIONAL_EVERY = timedelta(days=7)
"""A server that wrongly goes on saying "not modified" is found out after so long."""

WAITING_BYTES = 8 << 20
"""Compressed bytes of bodies that wait to be taken, after which no further feed is asked. Those that are being
asked then come on top, at most 48."""

WITHOUT_CONDITION = timedelta(days=7)
"""So long a server is asked without condition when it failed on one."""


class FeedStore(Protocol):
    """The store of validators and bodies over restarts, a body under its digest; see `syncd.ledger`."""

    def snapshot(self, source: str) -> Snapshot | None: ...
    def body(self, source: str, digest: str) -> Body | None: ...
    def keep_snapshot(
        self, source: str, snapshot: Snapshot, body: Body | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A feed, and the interval at which it is asked unless its server or a failure says otherwise."""

    feed: Feed
    interval: timedelta
    _settings: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        feed = self.feed
        settings = (
            feed.url,
            feed.timeout_s,
            feed.max_bytes,
            feed.allow_hosts,
            feed.tls,
            self.interval,
        )
        object.__setattr__(self, "_settings", repr(settings))

    @property
    def identity(self) -> str:
        """Return a digest of all that a person can change, secrets too: a new one is asked for at once."""
        told = f"({self._settings}, {_told(self.feed.auth)!r})"
        return hashlib.sha256(told.encode()).hexdigest()[:32]


def _told(auth: Auth | None) -> tuple[str, ...]:
    match auth:
        case None:
            return ()
        case BasicAuth(username, password) | DigestAuth(username, password):
            return (type(auth).__name__, username, _trace_of(password))
        case BearerAuth(token):
            return (type(auth).__name__, _trace_of(token))
        case HeaderAuth(name, value):
            return (type(auth).__name__, name, _trace_of(value))
    assert_never(auth)


def _trace_of(secret: Secret) -> str:
    """Return so little of a digest that it tells a rotation and does not help to guess the secret."""
    try:
        text = secret.reveal()
    except SyncdError:
        return ""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:4]


class _Snapshots:
    """The snapshots in a store, each read once and again after it was written.

    Nobody else writes them while the process lasts, or until it is told to forget one.
    Nothing is remembered of a write itself, so that one which is undone leaves no trace here.
    """

    def __init__(self, store: FeedStore) -> None:
        self._store = store
        # What looks through a body in another thread may find that it is damaged.
        self._guard = threading.Lock()
        self._read: dict[str, Snapshot | None] = {}

    def of(self, source: str) -> Snapshot | None:
        """Return the snapshot of a source; None if it was never asked."""
        with self._guard:
            if source not in self._read:
                self._read[source] = self._store.snapshot(source)
            return self._read[source]

    def forget(self, source: str) -> None:
        """Read the snapshot of a source again: another process may have written it."""
        with self._guard:
            self._read.pop(source, None)

    def keep(self, source: str, snapshot: Snapshot, body: Body | None = None) -> None:
        """Store a snapshot and its body, in one step."""
        with self._guard:
            self._read.pop(source, None)
            self._store.keep_snapshot(source, snapshot, body)


@dataclass(frozen=True, slots=True)
class FetchedFeed:
    """The answer of a feed, with the fields of `files.Fetched`; call `accept` once it was read as a whole.

    A document has the digest of its body for a signature, whether the body just came or was kept.
    """

    documents: tuple[Document, ...]
    accept: Callable[[], None]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_folder: bool = False
    asked_at: datetime | None = None


class Subscriptions:
    """The feeds of a configuration: any thread asks them, one thread takes their answers.

    `fetcher` makes what reads them, when one is asked for the first time.
    `clock` gives the present; `store` keeps snapshots, and only one thread uses it (`requests`, `take`).
    Once so many `waiting_bytes` of bodies wait to be taken, there is no room for more.
    """

    def __init__(
        self,
        subscriptions: Mapping[str, Subscription],
        *,
        fetcher: Callable[[], Fetcher],
        store: FeedStore,
        clock: Callable[[], datetime],
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._waiting_bytes = waiting_bytes
        self._subscriptions = dict(subscriptions)
        self._fetcher = cache(fetcher)
        self._store = store
        self._snapshots = _Snapshots(store)
        self._clock = clock
        self._guard = threading.Lock()
        self._arrived: dict[str, _Answer] = {}
        self._arrived_bytes = 0
        self._arrived_at: dict[str, datetime] = {}
        # When a feed was asked last, and when for what arrived.
        self._asked_at: dict[str, datetime] = {}
        self._answers_from: dict[str, datetime] = {}
        # Feeds that were read as a whole from what is kept of them, and did not fail since.
        self._whole: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._subscriptions

    def waits_until(self, name: str) -> datetime | None:
        """Return until when a feed is left alone; None if it may be asked now."""
        until = self._known(name).wait_until
        if until is None or until <= self._clock():
            return None
        return until

    def requests(
        self, names: Iterable[str], *, force: bool = False
    ) -> dict[Feed, Validators | None]:
        """Return the feeds among `names` that may be asked now, each with its validators or None.

        A feed that failed more than once, or was not read as a whole for `UNCONDITIONAL_EVERY`, is asked
        without validators; `force` asks every feed without.
        """
        now = self._clock()
        asked: dict[Feed, Validators | None] = {}
        for name in names:
            if name not in self._subscriptions:
                continue
            feed = self._subscriptions[name].feed
            self._asked_at[name] = now
            if force:
                asked[feed] = None
                continue
            known = self._known(name)
            if known.wait_until is None or known.wait_until <= now:
                asked[feed] = _condition(known, now)
        return asked

    def fetch(self, asked: Mapping[Feed, Validators | None]) -> None:
        """Ask feeds in parallel, and keep their answers until they are taken; for any thread."""
        if asked:
            self._arrive(self._one_fetcher().fetch_all(asked))

    def deliver(
        self, answers: Mapping[Feed, Fresh | SourceUnavailable | SourceMalformed]
    ) -> None:
        """Keep answers that somebody else got until they are taken; for any thread."""
        self._arrive(answers)

    def fetch_equal(self, asked: Mapping[Feed, Validators | None]) -> None:
        """Ask for feeds that differ in their names alone, in this thread; keep the answer of each."""
        self._arrive(self._one_fetcher().fetch_equal(asked))

    def fail(self, asked: Iterable[Feed], error: BaseException) -> None:
        """Record for feeds that asking them met an error that nobody foresaw."""
        for feed in asked:
            sentence = f"reading it met a defect of syncd ({type(error).__name__}); please report it"
            with self._guard:
                self._put(feed.name, SourceMalformed(feed.name, sentence))

    @property
    def has_room(self) -> bool:
        """Tell whether more may be asked: of what arrived not much waits to be taken."""
        return self._arrived_bytes < self._waiting_bytes

    def arrived(self) -> frozenset[str]:
        """Return the names of the feeds whose answers were not taken yet."""
        with self._guard:
            return frozenset(self._arrived)

    def _one_fetcher(self) -> Fetcher:
        with self._guard:
            return self._fetcher()

    def _arrive(self, answers: Mapping[Feed, _Answer]) -> None:
        with self._guard:
            for feed, answer in answers.items():
                self._put(feed.name, answer)

    def _put(self, name: str, answer: _Answer | None) -> _Answer | None:
        """Replace what waits of a feed, under the lock; return what did."""
        former = self._arrived.pop(name, None)
        self._arrived_bytes -= _size_of(former)
        if answer is not None:
            self._arrived_at[name] = self._clock()
            self._answers_from[name] = self._asked_at.get(name, self._arrived_at[name])
            self._arrived[name] = answer
            self._arrived_bytes += _size_of(answer)
        return former

    def unchanged(self, names: Iterable[str]) -> frozenset[str]:
        """Return those feeds whose answers say that they still are as they were read as a whole before.

        The answers to the others say more, or have not come.
        """
        with self._guard:
            return frozenset(
                name
                for name in self._whole.intersection(names)
                if isinstance(self._arrived.get(name), NotModified)
            )

    def pass_over(self, names: Iterable[str]) -> None:
        """Drop the answers of feeds that are `unchanged`, as if they had been taken."""
        with self._guard:
            for name in names:
                if isinstance(self._arrived.get(name), NotModified):
                    self._put(name, None)

    def forget(self, names: Iterable[str]) -> None:
        """Know nothing of feeds that another process asks from now on, or asked until now."""
        for name in names:
            with self._guard:
                self._put(name, None)
                self._whole.discard(name)
            self._snapshots.forget(name)

    def take(self, name: str) -> FetchedFeed:
        """Return the answer of a feed since the last time; raise `SourceUnavailable` or `SourceMalformed`."""
        with self._guard:
            answer = self._put(name, None)
        self._whole.discard(name)
        known = self._known(name)
        now = self._clock()
        asked_at = self._answers_from.get(name)
        match answer:
            case None:
                raise self._left_alone(name, known)
            case SourceUnavailable() | SourceMalformed():
                retry_at = (
                    answer.retry_at if isinstance(answer, SourceUnavailable) else None
                )
                self._snapshots.keep(
                    name,
                    known.failed(now, self._subscriptions[name].interval, retry_at),
                )
                raise answer
            case NotModified():
                if known.failures or known.wait_until:
                    self._snapshots.keep(name, known.answered())
                kept = partial(self._kept, name, known.digest)
                document = Document(known.document, kept, known.base_url, known.digest)
                read = partial(self._whole.add, name)
                return FetchedFeed((document,), read, asked_at=asked_at)
            case Fresh():
                if answer.condition_refused:
                    known = replace(known, unconditional_until=now + WITHOUT_CONDITION)
                accept = partial(self._keep, name, known, answer, now)
                arrived_ms = epoch_ms(self._arrived_at[name])
                document = replace(answer.document, changed_ms=arrived_ms)
                notes = _notes(known, answer, now)
                return FetchedFeed((document,), accept, notes=notes, asked_at=asked_at)

    def _keep(self, name: str, known: Snapshot, fresh: Fresh, now: datetime) -> None:
        """Store the validators of an answer and its body; a body without validators is not stored."""
        answered = replace(
            known.answered(), document=fresh.host, base_url=fresh.base_url, read_at=now
        )
        match fresh.validators:
            case None:
                nothing = replace(
                    answered, digest="", etag="", last_modified="", target=""
                )
                self._snapshots.keep(name, nothing)
            case Validators(etag, last_modified, target):
                digest = fresh.body.digest
                kept = replace(
                    answered,
                    digest=digest,
                    etag=etag,
                    last_modified=last_modified,
                    target=target,
                )
                self._snapshots.keep(name, kept, fresh.body)
                self._whole.add(name)

    def _kept(self, name: str, digest: str) -> Iterator[bytes]:
        """Yield the blocks of the stored body; one that is damaged is forgotten: `SourceUnavailable`."""
        body = self._store.body(name, digest)
        try:
            if body is None:  # who looks on beside a running syncd may come too late
                raise ValueError(digest)
            yield from body.blocks()
        except ValueError:
            self._snapshots.keep(name, replace(self._known(name), digest=""))
            raise SourceUnavailable(
                name,
                "what was kept of it is damaged or was replaced just now; it is read as a whole next time",
            ) from None

    def _known(self, name: str) -> Snapshot:
        identity = self._subscriptions[name].identity
        known = self._snapshots.of(name)
        if known is None or known.identity != identity:
            return Snapshot(identity)
        return known

    def _left_alone(self, name: str, known: Snapshot) -> SourceError:
        if known.wait_until is None:
            return SourceUnavailable(
                name, "it was not asked, because syncd is stopping"
            )
        failed = "it failed"
        if known.failures > 1:
            failed = f"it failed {known.failures} times in a row"
        until = f"{known.wait_until:%Y-%m-%d %H:%M} UTC"
        return SourceUnavailable(
            name,
            f"{failed} and is left alone until {until}; "
            "syncd refresh --force asks it at once (without a daemon: syncd once --force)",
            known.wait_until,
        )


def _size_of(answer: _Answer | None) -> int:
    """Return how many bytes an answer takes that waits to be taken, beside the few that each takes."""
    return len(answer.body.packed) if isinstance(answer, Fresh) else 0


def _condition(known: Snapshot, now: datetime) -> Validators | None:
    """Return the validators with which a feed is asked; None: without any."""
    if known.read_at is None or now - known.read_at >= UNCONDITIONAL_EVERY:
        return None
    # What goes wrong again and again, a timeout say, may be for the condition.
    if known.failures > 1 or not known.digest:
        return None
    if known.unconditional_until is not None and known.unconditional_until > now:
        return None
    if not (known.etag or known.last_modified):
        return None
    return Validators(known.etag, known.last_modified, known.target)


def _notes(known: Snapshot, fresh: Fresh, now: datetime) -> tuple[str, ...]:
    """Return sentences to a person about an answer that was read nevertheless."""
    notes = [fresh.note] if fresh.note else []
    until = known.unconditional_until
    if until is not None and until > now:
        notes.append(
            f"{fresh.host} fails when it is asked whether anything changed (If-None-Match, "
            f"If-Modified-Since), so it is asked for the whole calendar until {until:%Y-%m-%d}; its "
            "administrator can mend that"
        )
    return tuple(notes)
