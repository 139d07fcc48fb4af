"""`syncd plan` and `syncd once` read by the same path: one says of a source what the other says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import Office, ahead, calendar, event

_FAR = "20401201T090000"
_UNKNOWN_ZONE = "DTSTART;TZID=Nowhere/Land:{}\r\nDURATION:PT1H"


def _in_an_unknown_zone(uid: str, at: str) -> str:
    """An event whose TZID nobody knows, so that it is quarantined when it is read."""
    lines = (
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20250101T000000Z",
        _UNKNOWN_ZONE.format(at),
        "END:VEVENT",
    )
    return "\r\n".join(lines)


def _near() -> str:
    return f"{ahead(1):%Y%m%dT%H%M%S}"


def _cut(body: bytes) -> bytes:
    return body[: len(body) * 2 // 3]


_GOOD = event("good", ahead(2))
_CASES: Mapping[str, tuple[Mapping[str, bytes], int]] = {
    "a defect that is far away": (
        {"a.ics": calendar(_in_an_unknown_zone("x", _FAR))},
        0,
    ),
    "a defect that is near": (
        {"a.ics": calendar(_in_an_unknown_zone("x", _near()), _GOOD)},
        1,
    ),
    "a defect far away beside a good event": (
        {"a.ics": calendar(_in_an_unknown_zone("x", _FAR), _GOOD)},
        0,
    ),
    "a file that was cut beside a defect": (
        {
            "a.ics": calendar(_in_an_unknown_zone("x", _near())),
            "b.ics": _cut(calendar(_GOOD)),
        },
        1,
    ),
    "a file that was cut beside a good one": (
        {"a.ics": calendar(_GOOD), "b.ics": _cut(calendar(event("other", ahead(3))))},
        1,
    ),
    "nothing but a file that was cut": ({"b.ics": _cut(calendar(_GOOD))}, 1),
    "an empty directory": ({}, 0),
    "nothing but what is over": ({"a.ics": calendar(event("old", ahead(-3)))}, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", _CASES)
def test_a_plan_says_of_a_source_what_a_cycle_says(office: Office, case: str) -> None:
    """Before anything is known, after a cycle, and in a plan after it: the same exit code and defects."""
    files, code = _CASES[case]
    folder = office.folder / "calendars"
    folder.mkdir()
    for name, body in files.items():
        (folder / name).write_bytes(body)
    office.change(('path = "office.ics"', 'path = "calendars"'))
    before = office.run("plan", "--json")
    once = office.run("once", "--json")
    after = office.run("plan", "--json")
    assert (once.code, after.code) == (code, code)
    assert _quarantined(before.json) == _quarantined(after.json)
    assert once.json["counts"]["quarantined"] == len(_quarantined(after.json))


def _quarantined(document: dict[str, Any]) -> list[str]:
    """The UIDs that cannot be understood."""
    return sorted(
        change["uid"] for change in document["changes"] if change["action"] == "skip"
    )


def test_a_defect_far_away_is_explained(office: Office) -> None:
    """Who asks about one event is told how it is written, although nobody else is told of its defect yet."""
    office.write(_in_an_unknown_zone("x", _FAR), _GOOD)
    assert office.run("once").code == 0
    story = office.run("explain", "x", "--json")
    (where,) = story.json["sources"]
    assert (where["line"], where["components"]) == (4, 1)
    assert where["zones"][0]["tzid"] == "Nowhere/Land"
