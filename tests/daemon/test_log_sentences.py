"""Each line of the log begins with a sentence, has the level that it deserves, and tells what changed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import syncd
from syncd.config import load
from syncd.config.changes import changes_between
from syncd.core.log_sentences import sentence_of
from tests.conftest import CONFIGURATION, HANG_S, Office, ahead, event
from tests.daemon.running import running

_METHODS = {"debug", "info", "warning", "error", "critical", "log"}


def _events() -> dict[str, str]:
    """The events that are written in the program, and where."""
    found: dict[str, str] = {}
    package = Path(syncd.__file__).parent
    for file in package.rglob("*.py"):
        if "sandbox" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(
                node.func, ast.Attribute
            ):
                continue
            logger = node.func.value
            is_log = isinstance(logger, ast.Name) and logger.id in {"log", "_log"}
            if is_log and node.func.attr in _METHODS:
                for text in node.args[:2]:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found[text.value] = f"{file.name}:{node.lineno}"
    return found


def test_every_event_has_a_sentence() -> None:
    """What the program logs is known by a sentence, or is one; the table knows nothing else."""
    events = _events()
    assert len(events) > 30
    without = {
        event: where for event, where in events.items() if not sentence_of(event)
    }
    assert without == {}
    for name in (*events, "created", "updated", "adopted"):
        assert sentence_of(name)[0] in "ABCDEFGHIJKLMNOPQRSTUVWXYZs", name
        assert sentence_of(name).endswith("."), name


def _once(office: Office, **environment: str) -> list[str]:
    """The lines that a cycle writes to a pipe, which the environment may call that of the journal."""
    ours, theirs = os.pipe()
    status = os.fstat(theirs)
    if environment.pop("journal", ""):
        environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            "once",
        ],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, **environment},
    )
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    process.wait(HANG_S)
    return lines


def _line(lines: list[str], event: str) -> tuple[str, dict[str, Any]]:
    """The mark and the fields of the first line about an event."""
    for line in lines:
        mark, brace, rest = line.partition("{")
        told: dict[str, Any] = json.loads(brace + rest)
        if told["event"] == event:
            return mark, told
    raise AssertionError(f"no line about {event}: {lines}")


def test_a_refused_reservation_and_the_journal(office: Office) -> None:
    """Under the journal each line has the priority of its level; a refusal tells the code of the API."""
    office.fault("refuse:code=1109,on=create")
    office.write(event("m", ahead(3), room=None))
    lines = _once(office, journal="yes")
    mark, told = _line(lines, "refused")
    assert (mark, told["level"], told["code"]) == ("<4>", "warning", 1109)
    assert next(iter(told)) == "message"
    assert told["message"].startswith("The API refused a request with code 1109")
    mark, told = _line(lines, "cycle")
    assert (mark, told["level"]) == ("<6>", "info")
    assert (
        told["message"] == "A cycle is done: nothing to do. Needs a person: 1 refused."
    )


def test_another_stream_than_that_of_the_journal_has_no_marks(office: Office) -> None:
    """JOURNAL_STREAM of the parent says nothing of a stream that was redirected."""
    office.write(event("m", ahead(3), room=None))
    lines = _once(office, JOURNAL_STREAM="8:12345")
    assert lines
    assert all(line.startswith("{") for line in lines)
    office.configure("mode = 1")
    complaints = _once(office, journal="yes")
    assert complaints
    assert all(line.startswith("<3>") for line in complaints)


@pytest.mark.slow
def test_an_api_that_cannot_be_used_stands_in_log_and_status(office: Office) -> None:
    """Its sentence is an error, once, in the log, and in status; that it can be used again is said too."""
    office.fault("unsubscribed")
    office.write(event("m", ahead(3), room=None))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", level="error"), "it is said")
        (told, *_) = daemon.logged("cycle", level="error")
        status = office.status()
        assert status["api"]["error"] == told["error"]
        error: str = told["error"]
        assert told["message"] == f"{error[0].upper()}{error[1:].rstrip('.')}."
        office.fault()
        daemon.until(
            lambda: any(
                line["message"].startswith("The API can be used again.")
                for line in daemon.logged("cycle", level="info")
            ),
            "it is well again",
        )


def test_what_a_configuration_change_changed(office: Office) -> None:
    """Rooms and sources go by name, people by number, the rest by key; nothing private is told."""
    file = office.folder / "syncd.toml"
    before = load(file)
    assert changes_between(before, load(file)) == []
    office.change(
        ('mode = "full"', 'mode = "observe"'),
        (
            "[[sources]]",
            '[[rooms]]\nid = "7"\nname = "Berlin"\n'
            '[[sources]]\nname = "a@example.com"\npath = "a.ics"\n[[sources]]',
        ),
        ('name = "Small meeting room"', 'name = "Small"'),
        (
            '"bob@example.com" = "2"',
            '"bob@example.com" = "9"\n"zoe@example.com" = "5"\n"yan@example.com" = "6"',
        ),
        ('creator = "3"', 'creator = "4"'),
        ("[calendar]", '[calendar]\nhorizon = "20d"'),
        ('path = "office.ics"', 'path = "hush.ics"'),
    )
    told = changes_between(before, load(file))
    assert told == [
        "mode: full -> observe",
        "rooms: +Berlin, Small (name)",
        "sources: +…, office (path)",
        "people: 2 added, 1 changed",
        "calendar.horizon",
        "reservation.creator",
    ]
    office.configure(
        CONFIGURATION,
        (
            'client_secret = {{ file = "tuya-secret" }}',
            'client_secret = {{ env = "HUSH" }}',
        ),
    )
    os.environ["HUSH"] = "hush"
    try:
        told = changes_between(before, load(file))
    finally:
        del os.environ["HUSH"]
    assert told == ["api.client_secret"]


@pytest.mark.slow
def test_a_daemon_says_what_changed(office: Office) -> None:
    """An edit of its configuration is one line that names what is different."""
    office.write(event("m", ahead(3), room=None))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle"), "it works")
        office.change(
            ("[[sources]]", '[[rooms]]\nid = "7"\nname = "Berlin"\n[[sources]]')
        )
        daemon.until(
            lambda: daemon.logged("configuration taken over"), "it is taken over"
        )
        (told, *_) = daemon.logged("configuration taken over")
        assert told["changes"] == ["rooms: +Berlin"]
        assert told["message"] == "The configuration was taken over: rooms: +Berlin."
