"""Reads feeds: conditions, credentials, redirects, and many of them at a time.

Promises: each reading ends within its feed's timeout and soon after a wish to stop; every hop of a redirect
is judged like the first; credentials go to the origin in the URL only; equal feeds are read once.
Must not: keep anything of an answer, or decide when to read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import httpx
import structlog

from syncd import __version__
from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.sources.http.answer import (
    PERMANENT_REDIRECTS,
    REDIRECTS,
    Credentials,
    read_body,
    require_whole_answer,
    validators_of,
)
from syncd.sources.http.connection import Errand, Response, Way
from syncd.sources.http.credentials import TlsContexts, answer_to_challenge, http_auth
from syncd.sources.http.deadline import Deadline
from syncd.sources.http.decoding import ACCEPTED
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.feed import (
    Answer,
    Auth,
    DigestAuth,
    Feed,
    Fresh,
    NotModified,
    Place,
    Tls,
    Validators,
    equal_feeds_together,
)
from syncd.sources.http.lanes import Lanes
from syncd.sources.http.pool import IDLE_S, ConnectionPool
from syncd.sources.http.resolver import Lookup, system_lookup
from syncd.urls import web_url

# httpcore logs every header.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_log = structlog.get_logger(__name__)

_MOST_REDIRECTS = 5
_HEADERS = (
    (b"user-agent", f"syncd/{__version__}".encode()),
    (b"accept", b"text/calendar, */*;q=0.1"),
    (b"accept-encoding", ACCEPTED.encode()),
)
_Header = tuple[bytes, bytes]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fetcher:
    """An HTTP client that reads feeds; may be used from several threads.

    `stopping` is asked often and ends what is under way within a second; `lookup` finds the addresses of a
    host, `clock` is the time that a Retry-After counts from; a connection is kept for `idle_s` after an answer.
    """

    def __init__(
        self,
        *,
        stopping: Callable[[], bool] = lambda: False,
        lookup: Lookup = system_lookup,
        clock: Callable[[], datetime] = _utc_now,
        idle_s: float = IDLE_S,
    ) -> None:
        self._stopping = stopping
        self._connections = ConnectionPool(lookup, idle_s=idle_s)
        self._clock = clock
        self._contexts = TlsContexts()
        self._moved: set[tuple[str, str]] = set()

    def fetch(self, feed: Feed, validators: Validators | None = None) -> Answer:
        """Read one feed, if it changed since `validators`; return its answer.

        Raises `SourceUnavailable`, with `retry_at` if the server gave one, or `SourceMalformed`.
        """
        answer = self._attempt(feed, validators, self._stopping)
        if isinstance(answer, FeedFault):
            raise answer.of(feed.name)
        return answer

    def fetch_equal(
        self, feeds: Mapping[Feed, Validators | None]
    ) -> dict[Feed, Answer | SourceUnavailable | SourceMalformed]:
        """Read feeds that are equal but for their names, in one request; give what `fetch` would have.

        It is without condition if their validators differ.
        """
        answer = self._attempt_equal(feeds, self._stopping)
        return _of_each(feeds, answer)

    def fetch_all(
        self, feeds: Mapping[Feed, Validators | None]
    ) -> dict[Feed, Answer | SourceUnavailable | SourceMalformed]:
        """Read many feeds, 8 at a time beside slow ones, and give what `fetch` would have given or raised.

        Feeds that are equal but for their name are read once.
        """
        ended = threading.Event()
        answers: dict[Feed, Answer | SourceUnavailable | SourceMalformed] = {}

        def attempt(group: Mapping[Feed, Validators | None]) -> Answer | FeedFault:
            return self._attempt_equal(
                group, lambda: ended.is_set() or self._stopping()
            )

        with Lanes() as lanes:
            try:
                outcomes = [
                    (group, lanes.submit(partial(attempt, group), host=_host(group)))
                    for group in equal_feeds_together(feeds)
                ]
                for group, outcome in outcomes:
                    answers |= _of_each(group, outcome.result())
            finally:
                ended.set()  # an interrupt does not wait for the slowest
        return {feed: answers[feed] for feed in feeds}

    def _attempt_equal(
        self, group: Mapping[Feed, Validators | None], stopping: Callable[[], bool]
    ) -> Answer | FeedFault:
        wanted = set(group.values())
        agreed = wanted.pop() if len(wanted) == 1 else None
        return self._attempt(next(iter(group)), agreed, stopping)

    def _attempt(
        self, feed: Feed, validators: Validators | None, stopping: Callable[[], bool]
    ) -> Answer | FeedFault:
        try:
            return _Visit(
                feed=feed,
                validators=validators,
                deadline=Deadline(feed.timeout_s, stopping),
                connections=self._connections,
                contexts=self._contexts,
                clock=self._clock,
                report_move=self._report_move,
            ).answer()
        except FeedFault as fault:
            return fault

    def _report_move(self, feed: Feed, host: str) -> None:
        """Log a permanent redirect, once per process.

        A person changes the URL, since the server may be hijacked.
        """
        place = feed.place
        move = (place.target, host)
        if move not in self._moved:
            self._moved.add(move)
            _log.warning("feed_moved", source=feed.name, host=place.host, to=host)


def _host(group: Iterable[Feed]) -> tuple[str, int]:
    """Return the host and the port of equal feeds."""
    return next(iter(group)).host


def _of_each(
    group: Iterable[Feed], answer: Answer | FeedFault
) -> dict[Feed, Answer | SourceUnavailable | SourceMalformed]:
    """Return the answer to one request for equal feeds as that of each."""
    if isinstance(answer, FeedFault):
        return {feed: answer.of(feed.name) for feed in group}
    return dict.fromkeys(group, answer)


class _UnaskedNotModified(Exception):
    """An answer 304 although no validators were sent: a cache in between gave it."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """One reading of one feed, over all its redirects.

    `insistent`: no cache in between may answer by itself.
    `jars` has the cookies of each origin, which are kept as long as the visit lasts.
    """

    feed: Feed
    validators: Validators | None
    deadline: Deadline
    connections: ConnectionPool
    contexts: TlsContexts
    clock: Callable[[], datetime]
    report_move: Callable[[Feed, str], None]
    insistent: bool = False
    jars: dict[tuple[str, str, int], httpx.Cookies] = field(default_factory=dict)

    def answer(self) -> Answer:
        """Ask with the validators there are, without them if the server fails on them; raise `FeedFault`."""
        try:
            return self.followed()
        except _UnaskedNotModified:
            pass
        except FeedFault as fault:
            if self.validators is None or not fault.by_condition:
                raise
        answer = replace(self, validators=None, insistent=True).followed()
        # Where nothing was asked conditionally there is nothing to be left out the next time.
        if isinstance(answer, Fresh) and self.validators is not None:
            return replace(answer, condition_refused=True)
        return answer

    def followed(self) -> Answer:
        """Follow redirects to an answer; raise `FeedFault`."""
        place = self.feed.place
        at_home, moved_to, permanently = True, "", True
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(place, at_home=at_home) as response:
                if response.status not in REDIRECTS:
                    answer = self._judge(place, response, at_home=at_home)
                    if moved_to:
                        self.report_move(self.feed, moved_to)
                        if isinstance(answer, Fresh):
                            return replace(answer, moved_to=moved_to)
                    return answer
                target = self._redirect_target(place, response.headers)
                permanently = permanently and response.status in PERMANENT_REDIRECTS
            if permanently:
                moved_to = target.host
            if target.origin != place.origin:
                at_home = False  # for good: who redirects away and back chooses what is asked for there
            place = target
        raise FeedFault(
            f"{self._who(place)} redirects more than {_MOST_REDIRECTS} times, although its cookies were kept; "
            "write into url where the calendar is, or ask its administrator"
        )

    def _judge(self, place: Place, response: Response, *, at_home: bool) -> Answer:
        who = self._who(place)
        shown = Credentials.SHOWN if at_home else Credentials.WITHHELD
        credentials = shown if self.feed.auth is not None else Credentials.NONE
        condition = self._condition(place)
        if response.status == 304 and condition is not None:
            return NotModified()
        if response.status == 304 and not self.insistent:
            raise _UnaskedNotModified
        require_whole_answer(response, who, credentials, self.clock())
        # Of a connection that is not closed yet, as it may be behind the body.
        ends_at = response.certificate_ends_at
        body, note = read_body(response, who, self.feed.max_bytes, self.deadline)
        validators = validators_of(place.url, response.headers)
        host = self.feed.place.host
        return Fresh(
            host,
            str(place.url),
            body,
            validators,
            note,
            certificate_ends_at=ends_at,
        )

    @contextmanager
    def _exchange(self, place: Place, *, at_home: bool) -> Iterator[Response]:
        """Send a request and yield its answer; after a digest challenge, that of the second request."""
        who = self._who(place)
        auth = self.feed.auth if at_home else None
        way = self._way(place, auth, at_home=at_home)
        errand = Errand(who, self.deadline)
        began = time.monotonic()
        request = self._request(place)
        flow = http_auth(auth, who).auth_flow(request)
        with self.connections.answer(way, next(flow), errand) as response:
            _log.debug(
                "feed_answered",
                source=self.feed.name,
                host=place.host,
                status=response.status,
                seconds=round(time.monotonic() - began, 3),
            )
            self._keep_cookies(place, request, response)
            again = None
            if response.status == 401 and isinstance(auth, DigestAuth):
                again = answer_to_challenge(flow, request, response, who)
            if again is None:
                yield response
                return
        self._show_cookies(place, again)
        with self.connections.answer(way, again, errand) as response:
            self._keep_cookies(place, again, response)
            yield response

    def _way(self, place: Place, auth: Auth | None, *, at_home: bool) -> Way:
        tls = self.feed.tls if at_home else Tls(self.feed.tls.ca)
        context = self.contexts.of(tls) if place.scheme == "https" else None
        return Way(
            place.scheme,
            place.raw_host,
            place.port,
            context,
            self.feed.allowed,
            auth,
        )

    def _request(self, place: Place) -> httpx.Request:
        headers: list[_Header] = [*_HEADERS]
        if self.insistent:
            headers.append((b"cache-control", b"no-cache"))
        condition = self._condition(place)
        if condition is not None and condition.etag:
            headers.append((b"if-none-match", condition.etag.encode("latin-1")))
        if condition is not None and condition.last_modified:
            modified = condition.last_modified.encode("latin-1")
            headers.append((b"if-modified-since", modified))
        request = httpx.Request("GET", place.url, headers=headers)
        self._show_cookies(place, request)
        return request

    def _show_cookies(self, place: Place, request: httpx.Request) -> None:
        """Add to a request the cookies of its origin, and of no other."""
        jar = self.jars.get(place.origin)
        if jar is not None:
            jar.set_cookie_header(request)

    def _keep_cookies(
        self, place: Place, request: httpx.Request, response: Response
    ) -> None:
        if not response.sets_cookies:
            return
        said = httpx.Response(
            response.status, headers=response.headers, request=request
        )
        jar = self.jars.setdefault(place.origin, httpx.Cookies())
        jar.extract_cookies(said)

    def _condition(self, place: Place) -> Validators | None:
        """Return the validators if they are of this URL, else None."""
        if self.validators is not None and self.validators.target == place.target:
            return self.validators
        return None

    def _who(self, place: Place) -> str:
        home = self.feed.place.host
        if place.host == home:
            return home
        return f"{place.host}, where {home} redirects to,"

    def _redirect_target(self, place: Place, headers: httpx.Headers) -> Place:
        who = self._who(place)
        target = None
        if "location" in headers:
            target = web_url(headers["location"], place.url)
        if target is None:
            raise FeedFault(
                f"{who} redirects to nowhere that can be read; open url in a browser"
            )
        if place.scheme == "https" and target.scheme == "http":
            raise FeedFault(
                f"{who} redirects from https to http, to {target.host}, which is not followed because "
                "anyone on the way could change the calendar; ask its administrator"
            )
        return Place.of(target.copy_with(username=None, password=None))
