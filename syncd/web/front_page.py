"""`/`: the verdict, what needs a person, today, sources, last cycles, the plan of the moment."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.views.documents import status_document
from syncd.views.status import Status
from syncd.web.asked import Asked


def show_front(asked: Asked) -> Status:
    """Return what the front page shows."""
    return asked.status()


def front_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `status --json`."""
    return status_document(asked.status(asked.ledger.bookings.all()))
