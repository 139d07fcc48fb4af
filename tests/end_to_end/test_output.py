"""Where what a command says goes: closed, full and narrow streams, any encoding, and text of strangers."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import HANG_S, Office, ahead, event

SYNCD = Path(__file__).parent.parent.parent / "syncd"

ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""What a terminal obeys, or an eye is deceived by."""


def shell(
    office: Office, line: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `syncd` is the program with the configuration of the office."""
    program = shlex.join(
        [sys.executable, "-m", "syncd", "--config", str(office.folder / "syncd.toml")]
    )
    return subprocess.run(
        ["bash", "-c", f'syncd() {{ {program} "$@"; }}\n{line}'],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=HANG_S,
        check=False,
    )


def code_of(office: Office, line: str, **environment: str) -> int:
    """The exit code of `syncd` in a line, whatever it is piped into; no trace may be on standard error."""
    ran = shell(office, f"{line}; exit ${{PIPESTATUS[0]}}", **environment)
    assert b"Traceback" not in ran.stderr
    assert b"defect of syncd" not in ran.stderr
    return ran.returncode


LOST = [
    "2>&-",
    "<&-",
    ">&-",
    "<&- >&- 2>&-",
    "2>/dev/full",
    "| true",
    "| head -n 1",
    "2>&1 >/dev/null | true",
]
"""Ways not to listen, none of which is anything that a person has to mend."""


@pytest.mark.slow
@pytest.mark.first(1, 3)
@pytest.mark.parametrize("redirection", LOST)
def test_who_does_not_listen_changes_no_exit_code(
    office: Office, redirection: str
) -> None:
    """Closed streams, a full log and a reader that goes away leave the work and the codes as they are."""
    office.write(*(event(f"e{n}", ahead(2, 6 + n)) for n in range(8)))
    assert code_of(office, f"syncd plan {redirection}") == 3
    assert code_of(office, f"syncd once {redirection}") == 0
    assert len(office.reservations()) == 8
    for command, code in {"status": 1, "explain e1": 0, "once --json": 0}.items():
        assert code_of(office, f"syncd {command} {redirection}") == code, command
    office.change(('mode = "full"', 'mode = "fool"'))
    assert code_of(office, f"syncd check {redirection}") == 78


@pytest.mark.slow
def test_a_full_disk_under_the_results_is_named(office: Office) -> None:
    """Who cannot write results says so; only a command that had nothing else to do fails by it."""
    office.write(event("a", ahead(2)))
    expected = {
        "plan": 3,
        "once": 0,
        "status": 1,
        "explain a": 1,
        "check --show": 1,
        "adopt": 1,
        "--help": 1,
    }
    for command, code in {
        **expected,
        "once --json": 0,
        "demo": 0,
        "status --json": 1,
        "--version": 1,
    }.items():
        ran = shell(office, f"syncd {command} >/dev/full")
        assert ran.returncode == code, command
        assert (
            b"Standard output cannot be written (No space left on device)" in ran.stderr
        )
    assert len(office.reservations()) == 1
    assert code_of(office, "syncd once >/dev/full 2>/dev/full") == 0


@pytest.mark.slow
def test_descriptors_of_streams_are_not_given_to_files(office: Office) -> None:
    """With all streams closed no file of the program gets their numbers: the ledger stays a ledger."""
    office.write(event("a", ahead(2)), event("bad", ahead(3), 60, "RRULE:FREQ=NEVER"))
    office.change(("[people.addresses]", '[log]\nlevel = "debug"\n[people.addresses]'))
    for _ in range(2):
        assert code_of(office, "syncd once <&- >&- 2>&-") == 1
    assert (office.folder / "state.db").read_bytes().startswith(b"SQLite format 3\x00")
    assert office.status()["bookings"][0]["state"] == "booked"
    assert b"created" not in office.calendar_file.read_bytes()


ENCODINGS: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "POSIX": {"LC_ALL": "POSIX"},
    "C without UTF-8 mode": {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    },
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "iso-8859-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "koi8-r": {"PYTHONIOENCODING": "koi8-r"},
}


@pytest.mark.slow
@pytest.mark.first(1, 3)
@pytest.mark.parametrize("environment", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_any_encoding_will_do(office: Office, environment: dict[str, str]) -> None:
    """What an encoding does not have is replaced, codes stay true, and documents are ASCII."""
    topic = "Besuch 訪問 ☕ für Žofie"
    office.write(
        event("ä-訪", ahead(2), 60, f"SUMMARY:{topic}"),
        event("b", ahead(3), 60, "RRULE:FREQ=NIE"),
    )
    assert code_of(office, "syncd plan", **environment) == 3
    assert code_of(office, "syncd once", **environment) == 1
    for command in ("status --all", "explain ä-訪", "resolve ä-訪 --retry"):
        encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
        ran = shell(office, f"syncd {command}", **environment)
        assert b"Traceback" not in ran.stderr
        text = ran.stdout.decode(encoding) + ran.stderr.decode(encoding)
        assert text.strip()
        if command == "status --all":
            assert "Besuch" in text
            assert r"\u8a2a\u554f" in text
    ran = shell(office, "syncd status --json", **environment)
    assert ran.stdout.isascii()
    assert [b["topic"] for b in json.loads(ran.stdout)["bookings"]] == [topic]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "columns", ["0", "-1", "1", "100000", "wide", "", "1e3", "٣٠٠"]
)
def test_a_width_that_cannot_be_is_not_known(office: Office, columns: str) -> None:
    """COLUMNS of 0 or nonsense prints what is printed without it."""
    office.write(event("a", ahead(2)))
    office.once()
    for command in (f"agenda {ahead(2):%Y-%m-%d}", "--help"):
        without = shell(office, f"unset COLUMNS; syncd {command}").stdout
        assert without
        assert shell(office, f"syncd {command}", COLUMNS=columns).stdout == without


def test_a_narrow_width_is_kept(office: Office) -> None:
    """A sensible COLUMNS is the width of tables, and nothing is lost by it."""
    office.write(event("a", ahead(2)))
    office.once()
    ran = shell(office, "syncd status --all --ids", COLUMNS="60")
    lines = ran.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 60
    assert "reservation" in "".join(lines)


WICKED = "\x9b31m\u202egnp.exe\u2066\u200bx\u2028y\u200ez [red]b[x] :smile:"


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_strangers_wrote_does_nothing_to_a_terminal(
    office: Office, log_format: str
) -> None:
    """Escapes in UIDs, topics, zones, file names and the API are shown, in tables, errors, JSON and logs."""
    folder = office.folder / "calendars"
    folder.mkdir()
    bad = folder / f"b\x1b[1m\udc80{WICKED}.ics"
    office.change(
        ('path = "office.ics"', f"path = {json.dumps(str(folder))}"),
        (
            "[people.addresses]",
            f'[log]\nlevel = "debug"\nformat = "{log_format}"\n[people.addresses]',
        ),
    )
    office.write(
        event(
            f"uid{WICKED}",
            ahead(2),
            60,
            f"SUMMARY:Topic {WICKED}",
            f"DESCRIPTION:{WICKED}",
        ),
        event(f"zone{WICKED}", ahead(3))
        .replace("DTSTART:", f'DTSTART;TZID="{WICKED}":')
        .replace("Z\r\nDTEND", "\r\nDTEND"),
        event(f"rule{WICKED}", ahead(3), 60, f"RRULE:FREQ={WICKED}"),
        event(
            "attach",
            ahead(4),
            60,
            f"ATTACH:cid:{WICKED}",
            f"LOCATION:{WICKED}",
            f"ORGANIZER;CN={WICKED}:mailto:x@y",
        ),
    )
    bad.write_bytes(office.calendar_file.read_bytes())
    (folder / f"c{WICKED}.ics").write_bytes(b"BEGIN:VCALENDAR\r\nnothing")
    uid, key = shlex.quote(f"uid{WICKED}"), shlex.quote(f"no{WICKED}")
    commands = (
        "plan",
        "plan --json",
        "once",
        "status --all --ids",
        "status --check",
        "status --json",
        f"agenda {ahead(2):%Y-%m-%d}",
        f"explain {uid}",
        f"explain {uid} --json",
        f"resolve {key} --retry",
        f"plan --source {key}",
        f"explain {key} --{key}",
        "check --show",
        f"--config {key} check",
    )
    seen = b""
    for command in commands:
        ran = shell(office, f"syncd {command}")
        assert b"Traceback" not in ran.stderr, (command, ran.stderr)
        for stream in (ran.stdout, ran.stderr):
            assert ACTS.findall(stream.decode(errors="surrogateescape")) == [], (
                command,
                stream,
            )
        seen += ran.stdout + ran.stderr
    assert rb"\x9b31m\u202egnp.exe" in seen
    told = office.run("status", "--json")
    assert told.out, told.err
    topics = [b["topic"] for b in told.json["bookings"]]
    # A document holds the very text.
    assert any("\u202egnp.exe" in topic for topic in topics), told.out


@pytest.mark.slow
def test_what_others_booked_in_the_api_is_shown_as_text(office: Office) -> None:
    """A topic that anybody books in Tuya is named where it is in the way, and does nothing."""
    office.write(event("mine", ahead(2), 60, "SUMMARY:Mine"))
    office.once()
    held = office.reservations()[0]
    office.write(
        event("mine", ahead(2), 60, "SUMMARY:Mine"),
        event("next", ahead(2), 60, f"SUMMARY:O{WICKED}"),
    )
    assert office.run("once").code == 1
    for command in ("status", "plan", "explain next", "adopt"):
        ran = shell(office, f"syncd {command}")
        assert ACTS.findall(ran.stdout.decode() + ran.stderr.decode()) == []
    assert held["topic"] == "Mine"


def test_a_terminal_gets_colours_of_ours_only(office: Office) -> None:
    """On a terminal the only escapes are those of colours, also when a name is full of others."""
    office.write(event("a\x9b2J", ahead(2), 60, "SUMMARY:x\x9b2J\u202e"))
    ours, theirs = pty.openpty()
    process = office_on_terminal(office, theirs)
    os.close(theirs)
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                seen.extend(data)
        except OSError:  # a terminal ends so when its last user is gone
            return

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(HANG_S) == 3
    reader.join(10)
    os.close(ours)
    text = seen.decode()
    assert "\x1b[" in text
    assert ACTS.findall(re.sub("\x1b\\[[0-9;]*m|\r", "", text)) == []


def office_on_terminal(office: Office, terminal: int) -> subprocess.Popen[bytes]:
    """A plan on a terminal."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "syncd",
            "--config",
            str(office.folder / "syncd.toml"),
            "plan",
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )


DOORS = {SYNCD / "streams.py", SYNCD / "views" / "screen.py"}
"""The modules through which text leaves."""


PRINTING = {
    *(
        "print",
        "rich.print",
        "Console",
        "Text",
        "typer.echo",
        "typer.secho",
        "click.echo",
        "os.write",
    ),
    *(
        "logging.StreamHandler",
        "StreamHandler",
        "sys.stdout.buffer.write",
        "sys.stderr.buffer.write",
    ),
    *("sys.__stdout__.write", "sys.__stderr__.write"),
}


def test_nothing_else_prints() -> None:
    """No module but the doors calls what prints; Python's streams are doors too."""
    found = [
        f"{path.name}: {ast.unparse(call)[:60]}"
        for path in SYNCD.rglob("*.py")
        if path not in DOORS
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in PRINTING
    ]
    assert found == []
