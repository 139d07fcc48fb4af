"""What the configuration decides about a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from syncd.core.changes import Mode, OnCancel, OnChange
from syncd.core.mapper import MappingRules


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration as the reconciler sees it; names are those of the configuration file.

    `signing_limit` is how long after an intent its request may still be signed and sent.
    """

    mode: Mode
    horizon: timedelta
    instance: str
    mapping: MappingRules
    request_validity: timedelta = timedelta(minutes=5)
    signing_limit: timedelta = timedelta(seconds=30)
    cancel_share: float = 0.3
    cancel_floor: int = 10
    cancel_window: timedelta = timedelta(hours=24)
    empty_hold: int = 3
    told_share: float = 0.5
    told_floor: int = 20
    file_grace: timedelta = timedelta(minutes=1)
    vanish_share: float = 0.3
    vanish_floor: int = 5
    owners: frozenset[str] = frozenset()
    drift_check: timedelta = timedelta(hours=1)
    on_change: OnChange = OnChange.ACCEPT
    on_cancel: OnCancel = OnCancel.RESPECT
    monthly_calls: int = 0
    retention: timedelta = timedelta(days=90)
    lookup: bool = False
    publish_dir: Path | None = None
    publish_mode: int = 0o644
