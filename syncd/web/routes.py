"""Which address leads where: the only place that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from syncd.web.answers import File
from syncd.web.asked import Asked
from syncd.web.day_page import day_document_of, show_day
from syncd.web.event_page import event_document_of, show_event
from syncd.web.feeds import problems_feed, room_feed
from syncd.web.front_page import front_document_of, show_front
from syncd.web.history_page import history_document_of, show_history
from syncd.web.metrics import metrics_file
from syncd.web.plan_page import plan_document_of, plan_file, show_plan
from syncd.web.room_page import room_document_of, show_room
from syncd.web.source_page import show_source, source_document_of


class Audience(Enum):
    """Who may ask: whoever has the token of the page, or that of the feeds."""

    PERSON = auto()
    CALENDAR_PROGRAM = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """A page at a path: its template, the frozen value that it is fed with, its document for programs.

    Both functions raise `NotThere`, `NotUnderstood` and what a ledger raises that cannot be read.
    `is_aside`: what they do may take long, so another process calls them; they are functions of a module, and
    their values are made of what can be pickled.
    """

    path: str
    template: str
    value: Callable[[Asked], object]
    document: Callable[[Asked], Mapping[str, object]]
    is_aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRoute:
    """An answer that is no page, at a path; `is_aside` as of a page."""

    path: str
    file: Callable[[Asked], File]
    audience: Audience = Audience.PERSON
    is_aside: bool = False


PAGES = (
    PageRoute(
        path="/",
        template="front.html",
        value=show_front,
        document=front_document_of,
    ),
    PageRoute(
        path="/day/{day}",
        template="day.html",
        value=show_day,
        document=day_document_of,
    ),
    PageRoute(
        path="/room/{room:path}",
        template="room.html",
        value=show_room,
        document=room_document_of,
    ),
    PageRoute(
        path="/event/{key}",
        template="event.html",
        value=show_event,
        document=event_document_of,
    ),
    PageRoute(
        path="/source/{source:path}",
        template="source.html",
        value=show_source,
        document=source_document_of,
    ),
    PageRoute(
        path="/plan",
        template="plan.html",
        value=show_plan,
        document=plan_document_of,
        is_aside=True,
    ),
    PageRoute(
        path="/history",
        template="history.html",
        value=show_history,
        document=history_document_of,
    ),
)

FILES = (
    FileRoute(path="/plan.md", file=plan_file, is_aside=True),
    FileRoute(path="/metrics", file=metrics_file),
    FileRoute(
        path="/feed/room/{room:path}.ics",
        file=room_feed,
        audience=Audience.CALENDAR_PROGRAM,
    ),
    FileRoute(
        path="/feed/problems.ics",
        file=problems_feed,
        audience=Audience.CALENDAR_PROGRAM,
    ),
)
