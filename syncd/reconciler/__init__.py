"""One cycle: settle, read, map, plan, check, apply.

The reconciler decides nothing about HTTP, SQL or files: it declares the ports it needs and is handed
their implementations by `syncd.service`.
"""

from syncd.reconciler.clock import clock_told
from syncd.reconciler.cycle import Reconciler, last_held, last_missing, missing_told
from syncd.reconciler.grounds import forecast
from syncd.reconciler.intake import Elsewhere, Prepare
from syncd.reconciler.outcome import Adoption, CycleReport, Examination, Preview, SourceReport
from syncd.reconciler.ports import Api, CalendarSource, Fetched, Ledger, Progress, Settings
from syncd.reconciler.questions import Oddity, leftovers, standing

__all__ = [
    "Adoption",
    "Api",
    "CalendarSource",
    "CycleReport",
    "Elsewhere",
    "Examination",
    "Fetched",
    "Ledger",
    "Oddity",
    "Prepare",
    "Preview",
    "Progress",
    "Reconciler",
    "Settings",
    "SourceReport",
    "clock_told",
    "forecast",
    "last_held",
    "last_missing",
    "leftovers",
    "missing_told",
    "standing",
]
