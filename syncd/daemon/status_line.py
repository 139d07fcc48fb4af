"""The outcome of a cycle in a line, for `systemctl status`."""

from __future__ import annotations

from datetime import datetime

from syncd.reconciler import CONCERNS, CycleReport

_SHOWN_COUNTS = ("waiting", *CONCERNS, "acknowledged")


def status_line(report: CycleReport, now: datetime) -> str:
    """Return the outcome of a cycle that ended now (aware), in a line."""
    counts = report.counts
    written = counts["created"] + counts["updated"]
    booked = counts["unchanged"] + written
    told = [f"{booked} booked"]
    if report.left:
        told.append(f"{report.left} still to write")
    for name in _SHOWN_COUNTS:
        count = report.unseen(name)
        if count:
            words = name.replace("_", " ")
            told.append(f"{count} {words}")
    unreadable = [source.name for source in report.sources if source.error]
    if unreadable:
        told.append(f"unreadable: {', '.join(unreadable)}")
    trouble = report.error or report.clock
    if trouble:
        told.append(trouble)
    return f"{'; '.join(told)}; last cycle {now:%H:%M:%S} UTC: {report.outcome}"
