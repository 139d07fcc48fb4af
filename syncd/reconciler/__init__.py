"""One cycle: settle, read, map, plan, check, apply.

The reconciler decides nothing about HTTP, SQL or files: it declares the ports it needs and is handed
their implementations by `syncd.service`.
"""

from syncd.reconciler.cycle import CycleReport, Preview, Reconciler, SourceReport
from syncd.reconciler.ports import Api, CalendarSource, Ledger, Progress, Settings

__all__ = [
    "Api",
    "CalendarSource",
    "CycleReport",
    "Ledger",
    "Preview",
    "Progress",
    "Reconciler",
    "Settings",
    "SourceReport",
]
