"""What of a series is told in a reading, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.occurrence import Defect, Presence, Window
from syncd.core.reasons import Reason
from syncd.ics import ParsedSeries, RawEvent
from syncd.intake import SourceIndex
from syncd.intake.reading import defects_as_of_now
from syncd.intake.remarks import defects_of

NOW = datetime(2030, 3, 4, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "reason", "told"),
    [
        (1, Reason.BROKEN_PROPERTY, True),
        (100, Reason.BROKEN_PROPERTY, False),
        (1, Reason.TOO_COSTLY, True),
        (100, Reason.TOO_COSTLY, True),
    ],
)
def test_a_defect_far_away_is_told_later(days: int, reason: Reason, told: bool) -> None:
    """But what was too costly is told at once: it is not tried again for what is remembered of it."""
    begins = NOW + timedelta(days=days)
    text = f"BEGIN:VEVENT\r\nUID:x\r\nDTSTART:{begins:%Y%m%dT%H%M%SZ}\r\nEND:VEVENT\r\n"
    raw_event = RawEvent("context", 4, text.encode())
    series = ParsedSeries(
        "x", (), Presence.QUARANTINED, (Defect("x", 4, reason, "why"),)
    )
    window = Window.ahead(NOW, timedelta(days=10))
    now = defects_as_of_now(series, [raw_event], SourceIndex(), window)
    assert bool(now.defects) == told
    assert now.presence is Presence.QUARANTINED
    assert (now.next_start is None) == told


@pytest.mark.parametrize(
    ("of_event", "told"),
    [
        ([], ("", "", "")),
        (["Topic", "print"], ("Topic", "print", "")),
        (["Topic", "print", "Nowhere"], ("Topic", "print", "Nowhere")),
    ],
)
def test_remarks_of_former_versions(
    of_event: list[str], told: tuple[str, str, str]
) -> None:
    """What a remark did not tell of an event when it was written is empty until the event is parsed again."""
    written = [4, "broken_property", "why", "a.ics", *of_event]
    remark = json.dumps({"defects": [written], "notes": []})
    (defect,) = defects_of("x", remark)
    assert (defect.topic, defect.fingerprint, defect.about) == told
    assert (defect.line, defect.detail, defect.document) == (4, "why", "a.ics")
