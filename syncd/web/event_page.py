"""`/event/KEY`: what `explain` says of an event; KEY is a digest of its UID."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.assembly import service
from syncd.core.occurrence import event_key
from syncd.explain import Story, story_of
from syncd.ledger import Ledger
from syncd.web.answers import NotThere
from syncd.web.asked import Asked


def show_event(asked: Asked) -> Story:
    """Return the story of the event that is asked for; raises `NotThere` for an unknown one."""
    uid = _uid_of(asked.ledger, asked.parameters["key"])
    with service(asked.config, owner=False) as parts:
        return story_of(uid, parts)


def event_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `explain --json`."""
    return show_event(asked).document()


def _uid_of(ledger: Ledger, key: str) -> str:
    uid = ledger.timetable.uid_of(key)
    if uid is not None:
        return uid
    for quarantined in ledger.sources.quarantine():
        if event_key(quarantined.defect.uid) == key:
            return quarantined.defect.uid
    raise NotThere(
        "No event has this address; it may be over and forgotten.",
        ("/history", "What was done"),
    )
