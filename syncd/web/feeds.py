"""`/feed/room/ID.ics` and `/feed/problems.ics`: what calendar programs subscribe to."""

from __future__ import annotations

import hashlib

from syncd.views.feedback import Feedback, PublishedFeed
from syncd.web.answers import File, NotThere
from syncd.web.asked import Asked


def room_feed(asked: Asked) -> File:
    """Return the meetings of a room; raises `NotThere` for an unknown room."""
    room = asked.parameters["room"]
    feed = _feedback(asked).of_room(room)
    if feed is None:
        raise NotThere(f"There is no room {room}.")
    return _file(feed)


def problems_feed(asked: Asked) -> File:
    """Return what is not booked as the calendars want it."""
    return _file(_feedback(asked).of_problems())


def _feedback(asked: Asked) -> Feedback:
    return Feedback(asked.ledger, asked.config, asked.now)


def _file(feed: PublishedFeed) -> File:
    body = feed.ics()
    return File(
        body=body,
        media_type="text/calendar; charset=utf-8",
        tag=hashlib.sha256(body).hexdigest(),
    )
