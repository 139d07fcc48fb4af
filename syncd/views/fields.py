"""The fields of a reservation in words, and how a person reads their values."""

from __future__ import annotations

from collections.abc import Iterable

FIELD_WORDS = {
    "topic": "topic",
    "start_time": "start",
    "end_time": "end",
    "meeting_room_id": "room",
    "participants": "participants",
    "cc_participants": "people in copy",
    "notice": "notice",
    "notice_time": "time of the notice",
    "description": "description",
    "creator": "creator",
    "attachments": "attachments",
}
"""The words for the API's names of fields."""


def fields_told(names: Iterable[str]) -> str:
    """Return names of fields as people read them, in one line."""
    return ", ".join(FIELD_WORDS.get(name, name) for name in names)
