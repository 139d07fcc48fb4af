"""`/history`: what was done, newest first."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.ledger.history import Step, StepFilter
from syncd.views.steps import history_document, steps_of
from syncd.web.asked import Asked

_SHOWN = 200


def show_history(asked: Asked) -> tuple[Step, ...]:
    """Return the last steps, newest first."""
    source = asked.query.get("source")
    steps = steps_of(asked.ledger, StepFilter(source=source), _SHOWN)
    return tuple(reversed(steps))


def history_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `history --json`."""
    return history_document(reversed(show_history(asked)))
