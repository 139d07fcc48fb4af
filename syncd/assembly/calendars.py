"""The calendars of a configuration, as files that are read and feeds that are asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from syncd.config import (
    Config,
    Source,
    sources,
)
from syncd.core.feed import Body, Snapshot
from syncd.ics import Locale
from syncd.intake import CalendarSource, Fetched
from syncd.ledger import Ledger
from syncd.ledger.facts import PathWord, path_of
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

if TYPE_CHECKING:
    from syncd.sources.http.fetcher import Fetcher


class ReadOnlyFeeds:
    """The feeds in the ledger for who may not write: what is stored can be read."""

    def __init__(self, ledger: Ledger) -> None:
        self.snapshot = ledger.sources.snapshot
        self.body = ledger.sources.body

    def keep_snapshot(
        self, source: str, snapshot: Snapshot, body: Body | None = None
    ) -> None:
        """Keep nothing, since only the owner of the ledger may write."""


def new_fetcher(stopping: Callable[[], bool]) -> Fetcher:
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


def calendar_source(
    config: Config,
    ledger: Ledger,
    source: Source,
    subscriptions: Subscriptions,
    alive: Callable[[], object],
    *,
    owner: bool,
) -> CalendarSource:
    """Return a source of the configuration, which reads a path or takes what came from its feed.

    `alive` is called before it is read; without `owner` nothing is remembered of it.
    """
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
