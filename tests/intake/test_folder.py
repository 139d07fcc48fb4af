"""Which UIDs of a directory are looked at again after one of its files was edited."""

from __future__ import annotations

from dataclasses import replace

from syncd.sources.files import FileSource
from tests.intake.test_held import (
    NOW,
    Office,
    an_hour_later,
    at_rest,
    calendar_of,
    event_of,
    office,
    read,
)

__all__ = ["office"]

_WRONG = "RRULE:FREQ=NEVER\r\n"


def test_a_remark_on_another_file_is_not_looked_at(office: Office) -> None:
    """A line moves in the file that was edited alone, so of two broken events only its own is ready again."""
    folder = office.folder / "files"
    folder.mkdir()
    broken = [event_of(uid, 8, _WRONG) for uid in ("one", "other")]
    for number, text in enumerate(broken):
        (folder / f"{number}.ics").write_bytes(calendar_of(text))
    source = FileSource("files", folder, 1 << 20, clock=an_hour_later)
    first = office.intake().sources[0]
    intake = office.intake_of([replace(first, name="files", fetch=source.fetch)])
    intake.update(None, NOW)
    (reading,) = read(intake).values()
    assert [defect.line for defect in reading.defects] == [3, 3]
    at_rest(office)
    moved = calendar_of(event_of("new", 9), broken[0])
    (folder / "0.ics").write_bytes(moved)
    intake.update(None, NOW)
    assert office.ledger.worklist.ready(NOW) == {"one", "new"}
    (reading,) = read(intake).values()
    lines = {defect.uid: defect.line for defect in reading.defects}
    assert lines == {"one": 10, "other": 3}
