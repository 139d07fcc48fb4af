"""Notices in words and as documents: what receivers are sent, the same through every channel.

Topics, people and organizers stand in them only if `notices.private` says so; what others wrote into sentences,
such as the topic of a meeting that is in the way, is left out besides.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from syncd.config import Config, Web
from syncd.config.network import is_loopback
from syncd.core.amounts import some
from syncd.core.booking import Booking
from syncd.core.reasons import MEANINGS, Reason
from syncd.core.subject import Alert, Subject, SubjectKind
from syncd.ledger.notices import OutboxNotice
from syncd.notices.decisions import NOT_CONFIGURED, News
from syncd.views.documents import iso
from syncd.views.moments import length

_MOST_SHOWN = 50  # subjects in one notice; the others are counted
_ADDRESS = re.compile(r"\S+@\S+")  # files may be called so
_TAKEN = re.compile(
    r"The room is taken(?P<when> from [0-9: -]+ UTC to [0-9: -]+ UTC)? by reservation (?P<id>\S+) \("
)
_CODE = re.compile(r"The API refused it with code -?\d+")
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  # nothing is bound here


class NoticeType(StrEnum):
    """What a notice says, in one word for programs."""

    FAILING = "syncd.source.failing"
    RECOVERED = "syncd.source.recovered"
    UNUSABLE = "syncd.api.unusable"
    USABLE = "syncd.api.usable"
    HELD = "syncd.cancellations.held"
    RELEASED = "syncd.cancellations.released"
    REFUSED = "syncd.bookings.refused"
    DOUBT = "syncd.booking.doubt"
    SETTLED = "syncd.booking.settled"
    DUPLICATE = "syncd.booking.duplicate"
    CONFIGURATION_REFUSED = "syncd.configuration.refused"
    CONFIGURATION_ACCEPTED = "syncd.configuration.accepted"
    LEDGER_UNAVAILABLE = "syncd.ledger.unavailable"
    LEDGER_AVAILABLE = "syncd.ledger.available"
    DIGEST = "syncd.digest"
    TEST = "syncd.test"

    @property
    def state(self) -> str:
        """Return the state that it tells of, its last word."""
        return self.value.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class _Words:
    """How the beginning and the end of a trouble are told: as types, and as titles of one and of several."""

    bad: NoticeType
    good: NoticeType | None
    several: str
    over: str
    several_over: str = ""


_WORDS: Mapping[SubjectKind, _Words] = {
    SubjectKind.LEDGER: _Words(
        NoticeType.LEDGER_UNAVAILABLE,
        NoticeType.LEDGER_AVAILABLE,
        "The ledger cannot be used",
        "The ledger can be used again",
    ),
    SubjectKind.API: _Words(
        NoticeType.UNUSABLE,
        NoticeType.USABLE,
        "The API cannot be used",
        "The API can be used again",
    ),
    SubjectKind.CLOCK: _Words(
        NoticeType.UNUSABLE,
        NoticeType.USABLE,
        "The clock of this machine is wrong",
        "The clock of this machine is right again",
    ),
    SubjectKind.DOUBT: _Words(
        NoticeType.DOUBT,
        NoticeType.SETTLED,
        "{} bookings in doubt",
        "1 booking is no longer in doubt",
        "{} bookings are no longer in doubt",
    ),
    SubjectKind.VANISHED: _Words(
        NoticeType.HELD,
        NoticeType.RELEASED,
        "{} reservations gone from Tuya at once",
        "What was gone from Tuya at once is settled",
    ),
    SubjectKind.HELD: _Words(
        NoticeType.HELD,
        NoticeType.RELEASED,
        "{} cancellations held",
        "No cancellation is held any more",
    ),
    SubjectKind.DUPLICATE: _Words(
        NoticeType.DUPLICATE,
        None,
        "{} meetings booked twice",
        "What was booked twice is settled",
    ),
    SubjectKind.REFUSED: _Words(
        NoticeType.REFUSED,
        None,
        "{} bookings refused",
        "What was refused is settled",
    ),
    SubjectKind.SOURCE: _Words(
        NoticeType.FAILING,
        NoticeType.RECOVERED,
        "{} sources cannot be read",
        "Source {} can be read again",
        "{} sources can be read again",
    ),
    SubjectKind.CONFIGURATION: _Words(
        NoticeType.CONFIGURATION_REFUSED,
        NoticeType.CONFIGURATION_ACCEPTED,
        "The configuration is refused",
        "The configuration is accepted again",
    ),
}


_WITH_NUMBER = frozenset({SubjectKind.HELD, SubjectKind.VANISHED})


def new_notice_name() -> str:
    """Return a new identifier of a notice, which stays the same over all tries to deliver it."""
    return f"msg_{uuid4().hex}"


class Composer:
    """Writes notices for one configuration; `booking_of` finds the booking of an alert, where there is one."""

    def __init__(
        self, config: Config, booking_of: Callable[[Alert], Booking | None]
    ) -> None:
        self._instance = config.reservation.instance
        self._private = config.notices.private
        self._rooms = {room.id: room.name or room.id for room in config.rooms}
        self._page = _page_of(config.web)
        self._people = {user: one for one, user in config.people.directory.items()}
        self._booking_of = booking_of

    def compose(self, news: News, name: str, now: datetime) -> OutboxNotice:
        """Return the notice of some news under an identifier."""
        words = _WORDS[news.kind]
        is_bad = news.is_bad
        kind = words.bad if is_bad else words.good
        assert kind is not None  # else it is no news
        title = _title(news, words)
        shown = [self._subject(one) for one in news.subjects[:_MOST_SHOWN]]
        data: dict[str, Any] = {
            **shown[0],
            "title": title,
            "instance": self._instance,
            "count": len(news.subjects),
            "subjects": shown,
        }
        if len(shown) > 1:
            data["subject"] = title
            data["url"] = self._url("/")
        return _notice(name, kind, now, data, _threads(news.subjects))

    def digest(
        self, subjects: Sequence[Subject], name: str, now: datetime, given_up: int
    ) -> OutboxNotice:
        """Return the notice of what is still open, and of what ended without one.

        `given_up` notices were so since the digest before.
        """
        still_open = sum(one.is_open for one in subjects)
        title = f"{some(still_open, 'matter')} still open"
        shown = [self._subject(one) for one in subjects[:_MOST_SHOWN]]
        detail = "What is open since yesterday or longer, the worst first."
        if len(subjects) > still_open:
            over = some(len(subjects) - still_open, "matter")
            detail = (
                f"{detail} {over} ended without a notice, because there were too many."
            )
        if given_up:
            told = some(given_up, "notice")
            detail = f"{detail} Given up since the digest before: {told}."
        data = self._about_all(
            "digest", "open" if still_open else "over", title, detail, "syncd status"
        )
        data |= {
            "since": shown[0]["since"],
            "count": len(subjects),
            "subjects": shown,
        }
        return _notice(name, NoticeType.DIGEST, now, data, ())

    def test(self, name: str, now: datetime) -> OutboxNotice:
        """Return a notice that says nothing but that it arrives."""
        detail = (
            "Somebody asked for this notice with syncd notify --test; nothing is wrong."
        )
        data = self._about_all("test", "test", "This is a test", detail, "syncd status")
        data |= {"since": iso(now), "count": 0, "subjects": []}
        return _notice(name, NoticeType.TEST, now, data, ())

    def ledger(
        self,
        name: str,
        sentence: str,
        since: datetime,
        now: datetime,
        *,
        lasted: timedelta | None = None,
        thread: str = "",
    ) -> OutboxNotice:
        """Return the notice that the ledger cannot be used, or can be again after it `lasted`."""
        words = _WORDS[SubjectKind.LEDGER]
        kind, title = words.bad, words.several
        if lasted is not None:
            kind, title = NoticeType.LEDGER_AVAILABLE, words.over
        data = self._about_all("ledger", kind.state, title, sentence, "syncd doctor")
        data |= {"since": iso(since), **_lasted(lasted)}
        data |= {"count": 1, "subjects": [dict(data)]}
        return _notice(name, kind, now, data, (thread,) if thread else ())

    def _about_all(
        self, subject: str, state: str, title: str, detail: str, command: str
    ) -> dict[str, Any]:
        """Return what a notice says that is not about single subjects."""
        return {
            "subject": subject,
            "state": state,
            "since": None,
            "reason": subject,
            "detail": detail,
            "command": command,
            "url": self._url("/"),
            "title": title,
            "instance": self._instance,
        }

    def _subject(self, subject: Subject) -> dict[str, Any]:
        """Return a subject as notices have it."""
        words = _WORDS[subject.kind]
        kind = words.bad if subject.is_open else words.good
        alert = subject.last
        told: dict[str, Any] = {
            "subject": subject.name.removesuffix(f"/{subject.kind.value}"),
            "state": kind.state if kind else "over",
            "since": iso(subject.since),
            "reason": alert.reason,
            "detail": self._detail(alert),
            "command": alert.command,
            "url": self._url(alert.place),
            "title": _title(News(subject.kind, (subject,)), words),
        }
        if not subject.is_open:
            told |= _lasted(subject.lasted)
            told["detail"] = f"It lasted {told['duration']}."
            told["command"] = "syncd status"
        if alert.kind in _WITH_NUMBER:
            told["number"] = alert.number
        if alert.uid:
            told |= self._meeting(alert)
        return told

    def _meeting(self, alert: Alert) -> dict[str, Any]:
        """Return what a notice says of a meeting."""
        told: dict[str, Any] = {
            "uid": alert.uid,
            "recurrence_id": alert.recurrence_id or None,
            "source": alert.source,
            "room_id": alert.room_id or None,
            "room": self._rooms.get(alert.room_id),
            "start": iso(alert.start),
            "end": iso(alert.end),
        }
        booking = self._booking_of(alert)
        if booking is not None and booking.blocked_by:
            told["blocked_by"] = booking.blocked_by
        if self._private:
            told["topic"] = alert.topic
            told["organizer"] = self._organizer(booking)
        return told

    def _organizer(self, booking: Booking | None) -> str | None:
        """Return the address of who is the creator of a booking, or the user id if nobody knows it."""
        if booking is None:
            return None
        creator = booking.spec.creator
        return self._people.get(creator, creator)

    def _detail(self, alert: Alert) -> str:
        if self._private:
            return alert.detail
        return without_people(alert)

    def _url(self, place: str) -> str | None:
        """Return the address of a part of the page; None if there is no page."""
        return None if self._page is None else f"{self._page}{place}"


def _page_of(web: Web) -> str | None:
    """Return where the page is for who gets a notice; None if there is none.

    A page on loopback that answers to other names too is behind a proxy, which speaks TLS.
    """
    if web.address is None:
        return None
    host, port = web.address
    if is_loopback(host) and web.hosts:
        return f"https://{web.hosts[0]}"
    if host in _EVERYWHERE:
        host = web.hosts[0] if web.hosts else socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}"


def without_people(alert: Alert) -> str:
    """Return the sentence about an alert without what may name people or topics."""
    if alert.kind is SubjectKind.REFUSED:
        return _refused_without_people(alert)
    return _ADDRESS.sub("…", alert.detail)


def _refused_without_people(alert: Alert) -> str:
    taken = _TAKEN.match(alert.detail)
    if taken is not None:
        when = taken["when"] or ""
        return f"The room is taken{when} by reservation {taken['id']}."
    code = _CODE.match(alert.detail)
    if code is not None:
        return f"{code[0]}."
    try:
        return MEANINGS[Reason(alert.reason)]
    except ValueError:
        return "The API refused it."


def _title(news: News, words: _Words) -> str:
    number = len(news.subjects)
    first = news.subjects[0]
    if news.is_bad:
        return words.several.format(number) if number > 1 else first.last.title
    if number > 1:
        return words.several_over.format(number)
    if first.last.reason == NOT_CONFIGURED:
        return f"Source {first.last.source} is no longer configured"
    return words.over.format(first.last.source)


def _threads(subjects: Iterable[Subject]) -> tuple[str, ...]:
    """Return the identifiers of the notices that began the stories of subjects, each once."""
    threads = (one.thread for one in subjects if one.thread)
    return tuple(dict.fromkeys(threads))[:_MOST_SHOWN]


def _lasted(lasted: timedelta | None) -> dict[str, Any]:
    if lasted is None:
        return {}
    return {
        "duration_seconds": int(lasted.total_seconds()),
        "duration": length(lasted),
    }


def _notice(
    name: str,
    kind: NoticeType,
    now: datetime,
    data: Mapping[str, Any],
    threads: tuple[str, ...],
) -> OutboxNotice:
    document = {"type": kind.value, "timestamp": iso(now), "data": data}
    body = json.dumps(document, ensure_ascii=False)
    # Half a surrogate pair in a text of others is no text that could be sent.
    return OutboxNotice(name, body.encode("utf-8", "replace").decode(), threads)
