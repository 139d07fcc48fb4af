"""One cycle: settle, read, map, plan, check, apply.

The reconciler decides nothing about HTTP, SQL or files: it declares the ports it needs and is handed
their implementations by `syncd.assembly`.
"""

from syncd.reconciler.clock import clock_told
from syncd.reconciler.cycle import Reconciler
from syncd.reconciler.inputs import forecast
from syncd.reconciler.ports import Ledger
from syncd.reconciler.report import (
    CONCERNS,
    DONE,
    Adoption,
    Calendars,
    CycleReport,
    Examination,
    Preview,
    SourceReport,
)
from syncd.reconciler.source_records import missing_told

__all__ = [
    "CONCERNS",
    "DONE",
    "Adoption",
    "Calendars",
    "CycleReport",
    "Examination",
    "Ledger",
    "Preview",
    "Reconciler",
    "SourceReport",
    "clock_told",
    "forecast",
    "missing_told",
]
