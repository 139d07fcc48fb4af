"""Reads feeds: conditions, credentials, redirects, and many of them at a time.

Promises: each reading ends within its feed's timeout and soon after a wish to stop; every hop of a redirect
is judged like the first; credentials go to the origin in the URL only; equal feeds are read once.
Must not: keep anything of an answer, or decide when to read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import httpx
import structlog

from syncd import __version__
from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.sources.http.addresses import Allowed
from syncd.sources.http.answer import (
    PERMANENT_REDIRECTS,
    REDIRECTS,
    Credentials,
    read_body,
    require_whole_answer,
    validators_of,
)
from syncd.sources.http.connection import (
    Deadline,
    Lookup,
    Resolver,
    Response,
    Way,
    system_lookup,
)
from syncd.sources.http.credentials import TlsContexts, answer_to_challenge, http_auth
from syncd.sources.http.decoding import ACCEPTED
from syncd.sources.http.fault import FeedFault
from syncd.sources.http.feed import (
    Answer,
    DigestAuth,
    Feed,
    Fresh,
    NotModified,
    Tls,
    Validators,
    target_of,
)
from syncd.sources.http.lanes import Lanes
from syncd.urls import web_url

# httpcore logs every header.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_log = structlog.get_logger(__name__)

_MOST_REDIRECTS = 5
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fetcher:
    """An HTTP client that reads feeds; may be used from several threads.

    `stopping` is asked often and ends what is under way within a second; `lookup` finds the addresses of a
    host, `clock` is the time that a Retry-After counts from.
    """

    def __init__(
        self,
        *,
        stopping: Callable[[], bool] = lambda: False,
        lookup: Lookup = system_lookup,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._stopping = stopping
        self._resolver = Resolver(lookup)
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

    def fetch_all(
        self, feeds: Mapping[Feed, Validators | None]
    ) -> dict[Feed, Answer | SourceUnavailable | SourceMalformed]:
        """Read many feeds, 8 at a time beside slow ones, and give what `fetch` would have given or raised.

        Feeds that are equal but for their name are read once; without condition if their validators differ.
        """
        groups: dict[Feed, list[Feed]] = {}
        for feed in feeds:
            groups.setdefault(replace(feed, name=""), []).append(feed)
        ended = threading.Event()
        answers: dict[Feed, Answer | SourceUnavailable | SourceMalformed] = {}

        def attempt(members: list[Feed]) -> Answer | FeedFault:
            wanted = {feeds[member] for member in members}
            agreed = wanted.pop() if len(wanted) == 1 else None
            return self._attempt(
                members[0], agreed, lambda: ended.is_set() or self._stopping()
            )

        with Lanes() as lanes:
            try:
                outcomes = {
                    feed: lanes.submit(partial(attempt, members))
                    for feed, members in groups.items()
                }
                for feed, outcome in outcomes.items():
                    answer = outcome.result()
                    for member in groups[feed]:
                        answers[member] = (
                            answer.of(member.name)
                            if isinstance(answer, FeedFault)
                            else answer
                        )
            finally:
                ended.set()  # an interrupt does not wait for the slowest
        return {feed: answers[feed] for feed in feeds}

    def _attempt(
        self, feed: Feed, validators: Validators | None, stopping: Callable[[], bool]
    ) -> Answer | FeedFault:
        try:
            return _Visit(
                feed=feed,
                validators=validators,
                deadline=Deadline(feed.timeout_s, stopping),
                resolver=self._resolver,
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
        url = httpx.URL(feed.url)
        move = (target_of(url), host)
        if move not in self._moved:
            self._moved.add(move)
            _log.warning("feed_moved", source=feed.name, host=url.host, to=host)


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
    resolver: Resolver
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
        url = httpx.URL(self.feed.url)
        at_home, moved_to, permanently = True, "", True
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(url, at_home=at_home) as response:
                if response.status not in REDIRECTS:
                    answer = self._judge(url, response, at_home=at_home)
                    if moved_to:
                        self.report_move(self.feed, moved_to)
                    return answer
                target = self._redirect_target(url, response.headers)
                permanently = permanently and response.status in PERMANENT_REDIRECTS
            if permanently:
                moved_to = target.host
            if _origin(target) != _origin(url):
                at_home = False  # for good: who redirects away and back chooses what is asked for there
            url = target
        raise FeedFault(
            f"{self._who(url)} redirects more than {_MOST_REDIRECTS} times, although its cookies were kept; "
            "write into url where the calendar is, or ask its administrator"
        )

    def _judge(self, url: httpx.URL, response: Response, *, at_home: bool) -> Answer:
        who = self._who(url)
        shown = Credentials.SHOWN if at_home else Credentials.WITHHELD
        credentials = shown if self.feed.auth is not None else Credentials.NONE
        condition = self._condition(url)
        if response.status == 304 and condition is not None:
            return NotModified()
        if response.status == 304 and not self.insistent:
            raise _UnaskedNotModified
        require_whole_answer(response, who, credentials, self.clock())
        body, note = read_body(response, who, self.feed.max_bytes, self.deadline)
        host = httpx.URL(self.feed.url).host
        return Fresh(host, str(url), body, validators_of(url, response.headers), note)

    @contextmanager
    def _exchange(self, url: httpx.URL, *, at_home: bool) -> Iterator[Response]:
        """Send a request and yield its answer; after a digest challenge, that of the second request."""
        who = self._who(url)
        auth = self.feed.auth if at_home else None
        tls = self.feed.tls if at_home else Tls(self.feed.tls.ca)
        context = self.contexts.of(tls) if url.scheme == "https" else None
        allowed = Allowed.of(self.feed.allow_hosts)
        way = Way(who, self.resolver, allowed, self.deadline, context)
        began = time.monotonic()
        request = self._request(url)
        flow = http_auth(auth, who).auth_flow(request)
        with way.send(next(flow)) as response:
            _log.debug(
                "feed_answered",
                source=self.feed.name,
                host=url.host,
                status=response.status,
                seconds=round(time.monotonic() - began, 3),
            )
            self._keep_cookies(request, response)
            again = None
            if response.status == 401 and isinstance(auth, DigestAuth):
                again = answer_to_challenge(flow, request, response, who)
            if again is None:
                yield response
                return
        self._jar(url).set_cookie_header(again)
        with way.send(again) as response:
            self._keep_cookies(again, response)
            yield response

    def _request(self, url: httpx.URL) -> httpx.Request:
        headers = {
            "user-agent": f"syncd/{__version__}",
            "accept": "text/calendar, */*;q=0.1",
            "accept-encoding": ACCEPTED,
            "connection": "close",
        }
        if self.insistent:
            headers["cache-control"] = "no-cache"
        condition = self._condition(url)
        if condition is not None and condition.etag:
            headers["if-none-match"] = condition.etag
        if condition is not None and condition.last_modified:
            headers["if-modified-since"] = condition.last_modified
        encoded = [
            (name.encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        request = httpx.Request("GET", url, headers=encoded)
        self._jar(url).set_cookie_header(request)
        return request

    def _jar(self, url: httpx.URL) -> httpx.Cookies:
        """Return the cookies of the origin of a URL, and of no other."""
        return self.jars.setdefault(_origin(url), httpx.Cookies())

    def _keep_cookies(self, request: httpx.Request, response: Response) -> None:
        said = httpx.Response(
            response.status, headers=response.headers, request=request
        )
        self._jar(request.url).extract_cookies(said)

    def _condition(self, url: httpx.URL) -> Validators | None:
        """Return the validators if they are of this URL, else None."""
        if self.validators is not None and self.validators.target == target_of(url):
            return self.validators
        return None

    def _who(self, url: httpx.URL) -> str:
        home = httpx.URL(self.feed.url).host
        return (
            url.host if url.host == home else f"{url.host}, where {home} redirects to,"
        )

    def _redirect_target(self, url: httpx.URL, headers: httpx.Headers) -> httpx.URL:
        who = self._who(url)
        target = (
            web_url(headers.get("location", ""), url) if "location" in headers else None
        )
        if target is None:
            raise FeedFault(
                f"{who} redirects to nowhere that can be read; open url in a browser"
            )
        if url.scheme == "https" and target.scheme == "http":
            raise FeedFault(
                f"{who} redirects from https to http, to {target.host}, which is not followed because "
                "anyone on the way could change the calendar; ask its administrator"
            )
        return target.copy_with(username=None, password=None)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL (RFC 6454)."""
    port = url.port or _DEFAULT_PORTS[url.scheme]
    return url.scheme, url.host, port
