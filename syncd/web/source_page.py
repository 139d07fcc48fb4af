"""`/source/NAME`: one source, how it was read last, and what it has booked."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.views.documents import source_document
from syncd.views.status import SourceStatus
from syncd.web.answers import NotThere
from syncd.web.asked import Asked


def show_source(asked: Asked) -> SourceStatus:
    """Return how a source stands; raises `NotThere` for one that is not configured."""
    name = asked.parameters["source"]
    for source in asked.status().sources:
        if source.name == name:
            return source
    raise NotThere(f"There is no source {name}.")


def source_document_of(asked: Asked) -> Mapping[str, object]:
    """Return its entry of `status --json`."""
    return source_document(show_source(asked))
