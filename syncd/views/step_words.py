"""What was done, in words: what, why, and who decided it."""

from __future__ import annotations

from collections.abc import Iterator

from syncd.core.cause import SYNCD, TUYA
from syncd.core.reasons import MEANINGS, PROOFS, Evidence, Reason
from syncd.ledger.history import Step
from syncd.views.fields import fields_told

_WORDS = {
    "noted": "waits",
    "create": "sent to book",
    "created": "booked",
    "adopted": "taken over",
    "update": "sent to change",
    "updated": "changed",
    "cancel": "sent to cancel",
    "step aside: done": "left its room",
    "step back: done": "back in its room",
    "approval": "to be approved",
    "released": "ended in Tuya",
    "vanished": "gone from Tuya",
    "closed": "given up",
    "resolve: retry": "tried again",
    "resolve: drop": "given up",
    "resolve: adopt": "taken over",
    "makes no sense in Tuya": "odd in Tuya",
    "makes sense again": "sound again",
}
"""What was done, in the words of a table; the others are as they stand."""


def done_told(step: Step) -> str:
    """Return what was done, in a word or two."""
    what = step.entry.what
    return _WORDS.get(what, what)


def reason_told(step: Step) -> Iterator[str]:
    """Yield why a step was done, in sentences; nothing where that is not known."""
    entry = step.entry
    if entry.what == "updated" and entry.detail:
        yield f"New: {fields_told(entry.detail.split(', '))}."
    told = "" if entry.what in _DETAIL_IS_TECHNICAL else entry.detail
    if told:
        yield told if told.endswith((".", "!", "?")) else f"{told}."
    elif entry.reason is not None:
        yield _why_done(entry.what, entry.reason)


_AFTERWARDS = {
    Reason.NEW: "New in the calendar.",
    Reason.ROOM_FREE_AGAIN: "The room was taken before, and was tried again.",
    Reason.SOURCE_REMOVED: "The source was no longer in the configuration.",
    Reason.SOURCE_EMPTY: "The source suddenly had none of its booked events.",
    Reason.FILE_GONE: "Its file, which held several events, was gone from the directory.",
    Reason.RULES_CHANGED: "By a changed configuration it is no longer booked, or loses its room.",
    Reason.OVER_BUDGET: "There were more cancellations than the budget allows.",
    Reason.TOLD_FLOOD: "A source told to give up too many at once (safety.told_share).",
    Reason.NOT_THE_ORGANIZER: "A copy that does not decide said that it is cancelled.",
}
"""What reasons mean once the step is done that they are the reason of; the others mean the same as before it."""

_DONE = frozenset(
    {"create", "created", "update", "updated", "cancel", "cancelled", "settled"}
)


def _why_done(what: str, reason: Reason) -> str:
    """Return what a reason means after a step."""
    if what in _DONE:
        return _AFTERWARDS.get(reason, MEANINGS[reason])
    return MEANINGS[reason]


_DETAIL_IS_TECHNICAL = frozenset({"create", "update", "updated", "cancel", "adopted"})


def decided_told(step: Step) -> str:
    """Return who decided a step, as a sentence."""
    entry = step.entry
    if entry.by is None:
        return "Who decided it was not recorded then."
    if entry.by == TUYA:
        return "By Tuya."
    if entry.evidence is Evidence.APPROVED:
        return f"Approved by {entry.by}."
    if entry.by != SYNCD:
        return f"By {entry.by}."
    source = f", source {entry.source}" if entry.source else ""
    proof = f": {PROOFS[entry.evidence]}" if entry.evidence else ""
    return f"By syncd{source}{proof}."
