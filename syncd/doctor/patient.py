"""What the checks look at: configuration, ledger, calendars and API, each opened when it is asked for.

Promises: nothing of it is written; each thing is had once, so that several checks see the same.
A check reaches a thing only if the checks that it needs found it well.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from syncd.assembly import (
    Service,
    api_client,
    open_ledger,
    service,
    utc_now,
)
from syncd.assembly.calendars import subscription
from syncd.config import Config, Source, load
from syncd.core.occurrence import Reading
from syncd.errors import ConfigError, SourceMalformed, SourceUnavailable
from syncd.ledger import Ledger
from syncd.sources.http import Feed
from syncd.sources.http.feed import Fresh, NotModified
from syncd.sources.http.fetcher import Fetcher
from syncd.tuya import BookingRules, Room, TuyaApi, User

_MOST_PAGES_OF_USERS = 40


class Patient:
    """An installation by its configuration file at `path`; a context manager.

    `offline`: no connection is made. `only` is the one source that matters, or None.
    `problems` are those of its configuration, which is there only if it has none.
    """

    def __init__(
        self, path: Path, *, offline: bool = False, only: str | None = None
    ) -> None:
        self.path = path
        self.offline = offline
        self.only = only
        self.now: datetime = utc_now()
        self.config_if_good: Config | None = None
        self.problems: tuple[str, ...] = ()
        try:
            self.config_if_good = load(path)
        except ConfigError as error:
            self.problems = error.problems
        self._feeds: dict[str, Feed] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    @property
    def config(self) -> Config:
        """Return the configuration; for checks that need it to be good."""
        assert self.config_if_good is not None
        return self.config_if_good

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return the sources that matter."""
        if self.only is None:
            return self.config.sources
        return tuple(one for one in self.config.sources if one.name == self.only)

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger as anybody sees it who does not own it; raises `LedgerError`."""
        opened = open_ledger(self.config, owner=False)
        return self._opened.enter_context(opened)

    @cached_property
    def api(self) -> TuyaApi:
        """Return a client of the API whose gate nobody opens."""
        client = api_client(self.config)
        self._opened.callback(client.close)
        return client

    @cached_property
    def parts(self) -> Service:
        """Return the parts that read calendars; feeds are asked by nobody but `readings`."""
        opened = service(self.config, owner=False, prepare=lambda _names, _force: None)
        return self._opened.enter_context(opened)

    @cached_property
    def answers(self) -> Mapping[str, Fresh | SourceUnavailable | SourceMalformed]:
        """Return the answer of each feed, by name, or why there is none; all are asked at once."""
        feeds: dict[Feed, None] = {}
        for source in self.sources:
            if source.url is not None:
                feeds[subscription(source, self.config).feed] = None
        answers = Fetcher().fetch_all(feeds)
        found: dict[str, Fresh | SourceUnavailable | SourceMalformed] = {}
        for feed, answer in answers.items():
            # Nobody asked with a condition.
            assert not isinstance(answer, NotModified)
            found[feed.name] = answer
            self._feeds[feed.name] = feed
        return found

    @cached_property
    def readings(self) -> Mapping[str, Reading]:
        """Return what the sources say now, by name, read on the path of a cycle; without feeds if offline."""
        names = [
            one.name for one in self.sources if not (self.offline and one.path is None)
        ]
        parts = self.parts
        if not self.offline:
            answers = {
                self._feeds[name]: answer for name, answer in self.answers.items()
            }
            parts.subscriptions.deliver(answers)
        return parts.reconciler.previewer.readings(names)

    # What the API tells; raises `ApiUnusable` and `Unanswered`

    @cached_property
    def tuya_rooms(self) -> Mapping[str, Room]:
        """Return the rooms that the API has, by id."""
        return {room.room_id: room for room in self.api.rooms()}

    @cached_property
    def tuya_users(self) -> tuple[Mapping[str, User], bool]:
        """Return the users of the directory by id, and whether these are all of them."""
        users, are_all = self.api.users(_MOST_PAGES_OF_USERS)
        return {user.user_id: user for user in users}, are_all

    @cached_property
    def rules(self) -> BookingRules:
        """Return the booking rules of the tenant."""
        return self.api.rules()
