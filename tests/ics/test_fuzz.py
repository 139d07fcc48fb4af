"""The fuzz command: a slice of it with a fixed seed, damages that could eat a neighbour, and itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.conftest import HANG_S
from tests.fuzz.calendars import corpus, made
from tests.fuzz.claims import Trial
from tests.fuzz.damage import Edit, Whole, edits

ROOT = Path(__file__).parents[2]

ZONE = """\
BEGIN:VTIMEZONE
TZID:Our place
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0100
TZOFFSETTO:+0100
END:STANDARD
END:VTIMEZONE
"""
HEAD = "BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:PUBLISH\n"
FIRST = """\
BEGIN:VEVENT
UID:first
DTSTART;TZID="Our place":20260105T090000
DURATION:PT1H
SUMMARY;LANGUAGE=de:Größe
RRULE:FREQ=DAILY;COUNT=3
END:VEVENT
"""
SECOND = """\
BEGIN:VEVENT
DTSTART:20260106T090000Z
DTEND:20260106T100000Z
LOCATION:Zürich
UID:zweite-Übung
END:VEVENT
"""
THIRD = SECOND.replace("zweite-Übung", "third")
TWO = f"{HEAD}{ZONE}{FIRST}{SECOND}END:VCALENDAR\n{HEAD}{THIRD}END:VCALENDAR\n".encode()


def replaced(old: str, new: bytes = b"", *, within: str = "") -> Edit:
    """The edit of the only place where a text stands in the calendar, or in a part of it."""
    around = within or old
    assert TWO.count(around.encode()) == 1
    start = TWO.index(around.encode()) + around.encode().index(old.encode())
    return Edit(start, start + len(old.encode()), new)


def trial(body: bytes = TWO) -> Trial:
    """A calendar with its bookings."""
    begun = Trial(body)
    assert begun.begin() is None
    return begun


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(replaced("END:VEVENT\n", within=FIRST), id="END of an event lost"),
        pytest.param(
            replaced("BEGIN:VEVENT\n", within=FIRST), id="BEGIN of an event lost"
        ),
        pytest.param(
            replaced("\n", within="=3\nEND:VEVENT\n"), id="END behind another line"
        ),
        pytest.param(
            replaced("\n", within="\nUID:first"), id="BEGIN and UID in one line"
        ),
        pytest.param(
            replaced("", b" ", within=FIRST), id="BEGIN folded onto what stands before"
        ),
        pytest.param(
            replaced("END:VCALENDAR\nBEGIN:VCALENDAR\n"), id="two calendars become one"
        ),
        pytest.param(
            replaced("END:VCALENDAR\n", within=f"{SECOND}END:VCALENDAR\n"),
            id="END of a calendar lost",
        ),
        pytest.param(
            replaced("=de", b'="de', within="LANGUAGE=de"), id="quote never closed"
        ),
        pytest.param(
            replaced('"', within='Our place":20260105'), id="quote never opened"
        ),
        pytest.param(
            replaced("Gr", b"\xff", within="Größe"), id="byte that no UTF-8 has"
        ),
        pytest.param(replaced("r", b"\xc3", within="Größe"), id="half a character"),
        pytest.param(replaced("UID:first\n"), id="UID lost"),
        pytest.param(replaced("UID:first", b"UID:third"), id="UID of another event"),
        pytest.param(
            replaced("SUMMARY", b"\x0bUID:third\x0bSUMMARY"),
            id="lines by other line ends",
        ),
        pytest.param(
            replaced("METHOD:PUBLISH", b"METHOD:C\x00", within=f"{HEAD}{ZONE}"),
            id="METHOD damaged",
        ),
        pytest.param(replaced("TZID:Our place", b"TZID:"), id="name of the zone lost"),
        pytest.param(replaced("BEGIN:STANDARD\n"), id="frame of the zone broken"),
        pytest.param(
            replaced("BEGIN:VTIMEZONE", b"BEGIN:VEVENT"), id="zone becomes an event"
        ),
        pytest.param(
            replaced("+0100", b"+9999", within="TO:+0100"), id="zone with a mad offset"
        ),
        pytest.param(
            replaced("19700101T000000", b"19700101T000000\nRRULE:FREQ=SECONDLY"),
            id="zone that changes each second",
        ),
        pytest.param(
            replaced("FREQ=DAILY;COUNT=3", b"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
            id="rule that never matches",
        ),
        pytest.param(
            replaced("FREQ=DAILY;COUNT=3", b"FREQ=SECONDLY;COUNT=999999999"),
            id="rule without measure",
        ),
        pytest.param(
            replaced("DURATION:PT1H\n", b"DTEND:99991231T235959Z\n"), id="end of time"
        ),
        pytest.param(
            replaced(
                FIRST.partition("UID:first\n")[2],
                b"DTSTART:99991231T235959Z\nEND:VEVENT\n",
            ),
            id="moment at the end of time",
        ),
        pytest.param(
            replaced(
                "SUMMARY;LANGUAGE=de:Größe\n",
                b"BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-P999999D\nEND:VALARM\n",
            ),
            id="alarm before the first year",
        ),
        pytest.param(
            replaced("DURATION:PT1H", b"DURATION:P99999999999999D"),
            id="length beyond all dates",
        ),
    ],
)
def test_damage_stays_with_its_event(edit: Edit) -> None:
    """Damage to an event, its zone or the frame cancels and changes nothing of any other event."""
    assert trial().judge([edit]) == ""


def test_every_cut_is_noticed() -> None:
    """A calendar that breaks off is incomplete and cancels nothing, unless what is left is a whole one."""
    begun = trial()
    whole = TWO.index(b"BEGIN:VCALENDAR", 1)
    cuts = [n for n in range(len(TWO) - 1) if n not in {whole - 1, whole}]
    assert {begun.judge_cut(TWO[:n]) for n in cuts} == {""}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_spelling(encoding: str) -> None:
    """A byte order mark and UTF-16, with its mark or without, change nothing."""
    assert trial().judge_spelling(TWO.decode().encode(encoding)) == ""


@pytest.mark.parametrize("calendars", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_random_damage(calendars: int) -> None:
    """A slice of what the command does holds: no crash, no hang, no neighbour lost."""
    examples = corpus()
    random = Random(20260101)
    findings = []
    for number in range(calendars):
        begun = Trial(
            random.choice(examples) if number % 8 == 0 else made(random, examples)
        )
        findings.append(begun.begin())
        findings += [begun.damage(random) for _ in range(20)]
    assert [finding.sentence for finding in findings if finding is not None] == []


def test_a_lost_neighbour_is_noticed() -> None:
    """The judge is awake: a line that cancels every event is a finding, for no event was damaged."""
    start = TWO.index(b"METHOD:PUBLISH")
    verdict = trial().judge(
        [Edit(start, start + len(b"METHOD:PUBLISH"), b"METHOD:CANCEL")]
    )
    assert verdict.startswith(
        "it cancels an event that was not damaged (event_cancelled): "
    )


def test_a_cut_that_looks_whole_is_noticed() -> None:
    """The judge of cuts is awake: a shorter calendar that looks whole is a finding."""
    left = TWO[: TWO.index(b"BEGIN:VCALENDAR", 1)]
    assert trial().judge_cut(left) == "a calendar that breaks off counts as complete"


def test_whose_bytes_were_touched() -> None:
    """An event is touched by edits from its BEGIN to its END and in its zone, and by nothing beside it."""
    whole = Whole.of(TWO)
    beside = TWO.index(FIRST.encode())
    assert whole.touched([Edit(beside, beside, b" ")]) == set()
    assert whole.touched([Edit(beside, beside + 1)]) == {"first"}
    assert whole.touched([replaced("TZID:Our place")]) == {"first"}
    assert whole.touched([replaced("third", b"x")]) == {"third"}


def test_interrupt() -> None:
    """Ctrl-C ends the command in order: with its line of figures and without a traceback."""
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "1", "--seconds", "100"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Seed 1, ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)
    assert out.splitlines()[-1].endswith(" findings")
    assert err == "Stopped.\n"


def test_same_seed_same_damage() -> None:
    """A seed that was printed leads to the same calendar and the same damage again."""

    def done(seed: int) -> tuple[bytes, tuple[Edit, ...]]:
        random = Random(seed)
        body = made(random, corpus())
        return body, edits(body, random)

    assert done(7) == done(7)
    assert done(7) != done(8)
