"""The calls of the reservation API by name, in the words of the core.

Promises: whatever the API holds or answers to a question about reservations is a value: a `Reservation` says
what makes no sense in it, a `Listing` whether what it lacks is absent.
What a write raises tells what happened to it: `NotExecuted`, `RateLimited`, `Refused`, `ApiUnusable`: it
had no effect; `OutcomeUnknown`: look before doing anything again.
Must not: decide, remember, or soften an error.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from syncd.core.apitime import ApiTime
from syncd.core.listing import Listing
from syncd.core.mark import Mark
from syncd.core.reservation import Reservation, ReservationSpec, epoch_ms
from syncd.errors import (
    ApiUnusable,
    NotDone,
    OutcomeUnknown,
    Refused,
    Unanswered,
)
from syncd.tuya import codes, content
from syncd.tuya.apiclock import steady
from syncd.tuya.content import AnswerFields, BookingRules, Room, User
from syncd.tuya.lazy_channel import LazyChannel
from syncd.tuya.pages import CHANGES_ITS_TOTAL, MOST_PAGES, Pages
from syncd.tuya.requests import RESERVATIONS, ROOMS, RULES, USERS, RequestMade

if TYPE_CHECKING:
    from syncd.tuya.channel import Channel

REGIONS: dict[str, str] = {
    "cn": "https://openapi.tuyacn.com",
    "us": "https://openapi.tuyaus.com",
    "us-east": "https://openapi-ueaz.tuyaus.com",
    "eu": "https://openapi.tuyaeu.com",
    "eu-west": "https://openapi-weaz.tuyaeu.com",
    "in": "https://openapi.tuyain.com",
    "sg": "https://openapi-sg.iotbing.com",
}
"""Endpoint by region (page "API Request"; Singapore from public clients)."""

# A host in lower case and not of the encoded kind, with a port that exists.
_PLAIN_ENDPOINT = r"https?://(?!xn--)[a-z0-9-]{1,63}(\.(?!xn--)[a-z0-9-]{1,63})*(:([1-5]?[0-9]{1,4}|6[0-4][0-9]{3}))?"

_USERS_OF_A_PAGE = 50  # no page states the maximum; reservations are listed so
_MOST_FAILURES = 10  # in a row: then it is no longer the trouble of single reservations
_LONGEST_WINDOW = timedelta(days=60)  # the example of "Query Meeting List" asks for 61
# Whether the API finds by start, overlap or containment is not stated: a meeting on a seam is in one of both.
_SEAM = timedelta(days=1)


class TuyaApi:
    """A client of the reservations of one cloud project; may be used from several threads.

    `client_secret` is asked for each signature, so that a changed secret counts at once.
    `timeout_s` bounds connecting and each wait for data; an answer as a whole may take three times as long.
    `count_call` is called with the method before each request, `budget_left` returns the calls that are
    left this month or None when they are not metered, `clock` returns epoch seconds, `elapsed` seconds that
    only go forward, as fast as the API's time; `observe` is told of each request that was made, and `trusted`
    asked before each whether it is for this process to make it.
    Raises `ConfigError` when endpoint or client id cannot be used; that the environment's proxy or its list
    of authorities cannot be used is found out by the first call, which is `ApiUnusable` then.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        client_id: str,
        client_secret: Callable[[], str],
        timeout_s: float,
        requests_per_second: float,
        count_call: Callable[[str], None] = lambda _method: None,
        budget_left: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = steady,
        observe: Callable[[RequestMade], None] = lambda _request: None,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        def opened() -> Channel:
            from syncd.tuya.channel import Channel

            return Channel(
                endpoint=endpoint,
                client_id=client_id,
                client_secret=client_secret,
                timeout_s=timeout_s,
                requests_per_second=requests_per_second,
                count_call=count_call,
                budget_left=budget_left,
                clock=clock,
                elapsed=elapsed,
                observe=observe,
                trusted=trusted,
            )

        self._lazy = LazyChannel(opened)
        self._lock = threading.Lock()
        self._failures = 0  # of questions for single reservations, in a row
        if not _is_beyond_doubt(endpoint, client_id):
            self._lazy.open()

    @property
    def _channel(self) -> Channel:
        return self._lazy.channel

    def armed(self) -> AbstractContextManager[None]:
        """Return a context within which other requests than GET may leave, whichever thread asks."""
        return self._channel.armed()

    @property
    def calls(self) -> Mapping[str, int]:
        """Return the requests so far by method (`GET`, `POST`, `PUT`), those for tokens included."""
        opened = self._lazy.opened
        return opened.calls if opened else {"GET": 0, "POST": 0, "PUT": 0}

    def time(self) -> ApiTime:
        """Return the present at the API; asks for a token if no answer told it before.

        Raises `ApiUnusable`.
        """
        return self._channel.time()

    def ask_time(self) -> ApiTime:
        """Return the present at the API as a call of now tells; raise `ApiUnusable`."""
        return self._channel.ask_time()

    def time_if_known(self) -> ApiTime | None:
        """Return the present at the API as far as former answers tell; None before the first."""
        opened = self._lazy.opened
        return opened.time_if_known() if opened else None

    @property
    def clock_offset_s(self) -> float | None:
        """Return the API's clock minus ours in seconds; None before the first answer."""
        opened = self._lazy.opened
        return opened.clock_offset_s if opened else None

    @property
    def token_expires_at_s(self) -> float | None:
        """Return when the access token expires, in epoch seconds of this machine; None before the first."""
        opened = self._lazy.opened
        return opened.token_expires_at_s if opened else None

    def pause_s(self, underway: int) -> float:
        """Return the seconds until another call may begin beside `underway` others of this client.

        Infinite when only the end of one of them makes room; so never more are under way than the pace or
        the connections need.
        """
        return self._channel.pause_s(underway)

    def close(self) -> None:
        """End waiting calls at once, from any thread; every later one raises `ApiUnusable`.

        A request that is underway comes to its end within its time limits.
        """
        self._lazy.close()

    def get(self, reservation_id: str) -> Reservation | None:
        """Return a reservation ("Query Meeting"); None when the API says that there is none (code 1000).

        An answer that makes no sense, a refusal, or a failure while the API answers other questions, is a
        reservation that says so in its `oddity`.
        """
        if content.identifier(reservation_id) is None:
            return None
        try:
            found = self._channel.read_one(
                f"{RESERVATIONS}/{reservation_id}", control=RULES
            )
        except Unanswered as error:
            self._count_failure(error)
            return Reservation.unread(
                reservation_id, f"The API fails when it is asked for it: {error}."
            )
        except Refused as refusal:
            if refusal.code == codes.NOT_FOUND:
                return None
            return Reservation.unread(
                reservation_id,
                f"The API refuses to tell of it (code {refusal.code}{_trace(refusal)}).",
            )
        self._failures = 0
        there = content.reservation(found, reservation_id)
        named = AnswerFields(found).identifier("reservation_id", "id")
        if named not in (None, reservation_id):
            return Reservation.unread(
                reservation_id, f"The API answers with another one, {named}."
            )
        return there

    def _count_failure(self, error: Unanswered) -> None:
        """Raise `ApiUnusable` when so many questions failed in a row that single ones are not the trouble."""
        with self._lock:
            self._failures += 1
            failures = self._failures
        if failures >= _MOST_FAILURES:
            raise ApiUnusable(
                f"{error}; the same happened to the last {failures} questions for single reservations; "
                "nothing was changed; try later; Tuya may have a disturbance"
            )

    def find(
        self,
        start: datetime,
        end: datetime,
        *,
        creator: str | None = None,
        room_ids: Sequence[str] = (),
    ) -> Listing:
        """Return all reservations of the window in any status, oldest first ("Query Meeting List").

        Whether the window means start, overlap or containment is not documented: ask for more than needed.
        A list that is refused or contradicts itself shows what it shows, and says why it proves no absence.
        """
        query: dict[str, str] = {}
        if creator is not None:
            query["creator"] = creator
        if room_ids:
            query["meeting_room_ids"] = ",".join(room_ids)
        windows = [_times(since, until) for since, until in _windows(start, end)]
        return Listing.joined(
            _listed_whole(self._channel, query | window) for window in windows
        )

    def find_within(
        self, calls: int, start: datetime, end: datetime, *, creator: str | None = None
    ) -> Listing | None:
        """Return what `find` does if that takes at most `calls`; else None, after one call if it tells.

        A list to which somebody books meanwhile is not asked for again, and says so.
        """
        if end - start > _LONGEST_WINDOW:
            return None
        query = {} if creator is None else {"creator": creator}
        pages = Pages(self._channel, RESERVATIONS, query | _times(start, end), calls)
        listing = _listed(pages)
        return None if pages.too_many else listing

    def rules(self) -> BookingRules:
        """Return the tenant's booking rules ("Query Meeting Reservation Rules"); raise `Unanswered`."""
        try:
            found = self._channel.read(RULES)
        except Refused as refusal:
            if refusal.code == codes.NOT_FOUND:
                return content.UNCONFIGURED_RULES
            raise _unanswered("the booking rules", refusal) from None
        if found and not isinstance(found, dict):
            raise Unanswered(
                "the API's answer to the question for the booking rules makes no sense"
            )
        return content.booking_rules(found)

    def rooms(self) -> tuple[Room, ...]:
        """Return all meeting rooms that the API tells of ("Query Meeting Rooms"); raise `Unanswered`."""
        pages = Pages(self._channel, ROOMS, {})
        found = [content.room(item) for item in pages]
        if pages.refusal is not None:
            raise _unanswered("the rooms", pages.refusal)
        by_id = {room.room_id: room for room in found if room is not None}
        return tuple(by_id.values())

    def find_user(self, address: str) -> str | None:
        """Return the id of the only enabled user with this e-mail address ("Query Users"), else None.

        The comparison is ours, without regard to case, since how the API matches is not documented.
        Raises `Unanswered`.
        """
        hits: set[str] = set()
        for page in _user_pages(self._channel, {"email": address}, MOST_PAGES):
            for user in page:
                same = user.email.casefold() == address.casefold()
                if same and user.enabled:
                    hits.add(user.user_id)
        return hits.pop() if len(hits) == 1 else None

    def users(self, most_pages: int) -> tuple[tuple[User, ...], bool]:
        """Return the users of the directory ("Query Users"), and whether these are all of them.

        At most so many pages are asked for. Raises `Unanswered`.
        """
        found: dict[str, User] = {}
        pages = 0
        query = {"page_size": str(_USERS_OF_A_PAGE)}
        for page in _user_pages(self._channel, query, most_pages):
            pages += 1
            found.update({user.user_id: user for user in page})
        return tuple(found.values()), pages < most_pages

    def has_user(self, user_id: str) -> bool:
        """Tell whether the directory has a user who is enabled ("Query User"); raise `Unanswered`."""
        if content.identifier(user_id) is None:
            return False
        try:
            found = content.user(self._channel.read(f"{USERS}/{user_id}"))
        except Refused as refusal:
            if refusal.code in (codes.NOT_FOUND, codes.NO_SUCH_USER):
                return False
            raise _unanswered("a user", refusal) from None
        return found is not None and found.user_id == user_id and found.enabled

    # Writes: `asked` is when they were decided (None: now); held up for long after that they do not leave.

    def create(
        self, spec: ReservationSpec, mark: Mark | None, *, asked: ApiTime | None = None
    ) -> str:
        """Book a meeting and return its reservation id ("Add Meeting Reservation").

        An id does not mean confirmed: the reservation may be waiting for approval, so read it back.
        """
        result = self._channel.write(
            "POST", RESERVATIONS, content.payload(spec, mark), asked
        )
        if result is False:
            raise NotDone(
                "The API answered that it was not booked (result false), and not why."
            )
        reservation_id = content.identifier(result)
        if reservation_id is None:
            raise OutcomeUnknown(
                "the API reported success without an id, so it may be booked; syncd settles it by looking"
            )
        return reservation_id

    def modify(
        self,
        reservation_id: str,
        spec: ReservationSpec,
        mark: Mark | None,
        modifier: str,
        *,
        asked: ApiTime | None = None,
    ) -> None:
        """Replace the content of a reservation ("Modify Meeting Reservation"); read it back afterwards."""
        body = content.payload(spec, mark, modifier=modifier)
        self._change(f"{RESERVATIONS}/{_known(reservation_id)}", body, asked)

    def cancel(self, reservation_id: str, *, asked: ApiTime | None = None) -> None:
        """Cancel a reservation ("Modify Meeting Status", status 3; there is no DELETE)."""
        self._change(
            f"{RESERVATIONS}/{_known(reservation_id)}/status", {"status": "3"}, asked
        )

    def _change(
        self, path: str, body: Mapping[str, object], asked: ApiTime | None
    ) -> None:
        # Page "Modify Meeting Reservation": result is true when modified, false when that failed.
        result = self._channel.write("PUT", path, body, asked)
        if result is False:
            raise NotDone(
                "The API answered that the change failed (result false), and not why."
            )
        if result is not True:
            raise OutcomeUnknown(
                "the API reported success without confirming the change; syncd settles it by looking"
            )


def _times(start: datetime, end: datetime) -> dict[str, str]:
    return {"start_time": str(epoch_ms(start)), "end_time": str(epoch_ms(end))}


def _listed(pages: Pages) -> Listing:
    """Return the reservations on the pages of a list, each once, and what makes the list doubtful."""
    found: dict[str, Reservation] = {}
    nameless: list[Reservation] = []
    repeated = False
    for item in map(content.reservation, pages):
        if not item.reservation_id:
            nameless.append(item)
            continue
        repeated |= item.reservation_id in found
        found[item.reservation_id] = item
    moved = pages.moved and not pages.doubt
    doubt = CHANGES_ITS_TOTAL if moved else pages.doubt
    if repeated and not doubt:
        doubt = "The API's list shows a reservation twice."
    oldest_first = sorted(found.values(), key=Reservation.age_key)
    return Listing(tuple(oldest_first), tuple(nameless), doubt, moved)


def _listed_whole(channel: Channel, query: Mapping[str, str]) -> Listing:
    """Return the list of a query, asked for again if somebody seems to have booked between two pages."""
    pages = Pages(channel, RESERVATIONS, query)
    listing = _listed(pages)
    if pages.moved:
        listing = _listed(Pages(channel, RESERVATIONS, query))
    return listing


def _user_pages(
    channel: Channel, asked: Mapping[str, str], most: int
) -> Iterator[list[User]]:
    """Yield the pages of a list of users, at most so many; raise `Unanswered`."""
    query = dict(asked)
    for _ in range(most):
        try:
            page = AnswerFields(channel.read(USERS, query))
        except Refused as refusal:
            raise _unanswered("a user", refusal) from None
        found = map(content.user, page.items("list"))
        yield [user for user in found if user is not None]
        last = page.text("last_row_key")
        goes_on = last not in ("", query.get("last_row_key"))
        if not (page.boolean("has_more", "has_next") and goes_on):
            return
        query["last_row_key"] = last


def _unanswered(what: str, refusal: Refused) -> Unanswered:
    return Unanswered(
        f"the API refuses to tell {what} (code {refusal.code}{_trace(refusal)})"
    )


def _trace(refusal: Refused) -> str:
    return f", trace id {refusal.tid}" if refusal.tid else ""


def _is_beyond_doubt(endpoint: str, client_id: str) -> bool:
    """Return whether endpoint and client id are so plain that no client has to be made to check them."""
    is_plain = re.fullmatch(_PLAIN_ENDPOINT, endpoint) is not None
    return is_plain and client_id.isascii() and client_id.isalnum()


def _windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Split a window into parts that the API is known to accept, overlapping by `_SEAM`."""
    while end - start > _LONGEST_WINDOW:
        yield start, start + _LONGEST_WINDOW
        start += _LONGEST_WINDOW - _SEAM
    yield start, end


def _known(reservation_id: str) -> str:
    if content.identifier(reservation_id) is None:
        raise ValueError(
            "a reservation id comes from the API and stands in a URL as it is"
        )
    return reservation_id
