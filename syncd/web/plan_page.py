"""`/plan` and `/plan.md`: the plan of the moment."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.assembly import service
from syncd.reconciler import Preview
from syncd.views.documents import plan_document
from syncd.views.plan_markdown import plan_markdown
from syncd.views.plan_words import PlanWords
from syncd.web.answers import File
from syncd.web.asked import Asked


def show_plan(asked: Asked) -> Preview:
    """Return what a cycle would do now; raises `ApiUnusable`."""
    with service(asked.config, owner=False) as parts:
        return parts.reconciler.previewer.preview()


def plan_document_of(asked: Asked) -> Mapping[str, object]:
    """Return the document of `plan --json`."""
    return plan_document(show_plan(asked), asked.config)


def plan_file(asked: Asked) -> File:
    """Return the plan as a document for a ticket."""
    names = PlanWords.of(asked.config)
    text = plan_markdown(show_plan(asked), names, asked.now)
    return File(body=text.encode(), media_type="text/markdown; charset=utf-8")
