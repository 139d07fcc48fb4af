"""One cycle: settle, read, map, plan, check, apply.

The reconciler decides nothing about HTTP, SQL or files: it declares the ports it needs and is handed
their implementations by `syncd.service`.
"""

from syncd.reconciler.cycle import Reconciler, last_held
from syncd.reconciler.grounds import forecast
from syncd.reconciler.inspect import leftovers
from syncd.reconciler.intake import Elsewhere, Prepare
from syncd.reconciler.outcome import Adoption, CycleReport, Examination, Preview, SourceReport
from syncd.reconciler.ports import Api, CalendarSource, Fetched, Ledger, Progress, Settings

__all__ = [
    "Adoption",
    "Api",
    "CalendarSource",
    "CycleReport",
    "Elsewhere",
    "Examination",
    "Fetched",
    "Ledger",
    "Prepare",
    "Preview",
    "Progress",
    "Reconciler",
    "Settings",
    "SourceReport",
    "forecast",
    "last_held",
    "leftovers",
]
