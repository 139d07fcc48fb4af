"""All operations of the API, in the order in which paths are matched (fixed paths before ids)."""

from __future__ import annotations

from typing import Final

from syncd.sandbox import (
    approvals,
    attendance,
    gate,
    people,
    reservations,
    rooms,
    rules,
)
from syncd.sandbox.call import Operation

OPERATIONS: Final[tuple[Operation, ...]] = (
    *reservations.OPERATIONS,
    *attendance.OPERATIONS,
    *gate.OPERATIONS,
    *rooms.OPERATIONS,
    *rules.OPERATIONS,
    *approvals.OPERATIONS,
    *people.OPERATIONS,
)
