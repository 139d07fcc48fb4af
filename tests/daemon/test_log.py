"""What a daemon writes about its work, and what it never writes."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CONFIGURATION, Office, ahead, calendar, event
from tests.daemon.running import Daemon, feed, files, follow, running, until
from tests.sources.server import (
    FeedServer,
    published,
    redirect,
    status,
    with_basic,
    with_digest,
    with_header,
)

HUSH = "Hush"
"""Stands in everything that nobody may read in a log: topics, people, secrets, paths of URLs, answers."""

_GUESTS = (
    "ORGANIZER;CN=Hush Boss:mailto:hush.boss@example.com",
    "ATTENDEE;CN=Hush Guest:mailto:hush.guest@example.com",
    "ATTENDEE:mailto:hush.stranger@example.com",
    "DESCRIPTION:Hush is what this is about",
    "ATTACH;FILENAME=hush.pdf:https://example.com/hush/hush.pdf",
    "ATTACH:cid:hush",
    "CONFERENCE;VALUE=URI:https://meet.example.com/hush?pwd=hush",
    "LOCATION:Hush hall",
)


def secret_event(uid: str, days: int, *properties: str) -> str:
    """An event that is full of what must not be told."""
    return event(
        uid, ahead(days), 60, f"SUMMARY:{HUSH} {uid}", *_GUESTS, *properties, room=None
    )


def quarantined(uid: str, old: str, new: str) -> str:
    """One with a defect that decides its time."""
    text = secret_event(uid, 4, "RRULE:FREQ=DAILY;COUNT=2")
    assert old in text
    return text.replace(old, new)


def write_secret(office: Office, name: str, text: str) -> None:
    """A file for a secret."""
    (office.folder / name).touch(mode=0o600)
    (office.folder / name).write_text(text)


def told(text: str) -> list[str]:
    """The lines that tell what they must not."""
    return [line for line in text.splitlines() if HUSH.lower() in line.lower()]


def feeds_of_all_kinds(office: Office, server: FeedServer) -> list[str]:
    """Tables of feeds that fail, each in its own way, with secrets wherever one can be."""
    for name in ("basic", "digest", "bearer", "header"):
        write_secret(office, f"{name}-secret", f"hush-{name}")
    good = published(calendar(secret_event("feed", 2)), etag='"hush"')
    page = b"<!doctype html><title>Hush</title><p>hush"
    kinds = {
        "basic": with_basic("hush-user", "hush-basic", good),
        "basic-refused": status(401, page, www_authenticate='Basic realm="hush"'),
        "digest": with_digest("hush-user", "other", good, page),
        "bearer": with_header("authorization", "Bearer hush-bearer", good),
        "header": with_header("x-hush", "hush-header", good),
        "missing": status(404, page, x_hush="hush"),
        "broken": status(500, page, retry_after="hush"),
        "page": status(200, page),
        "elsewhere": redirect("/hush/again?hush"),
        "moved": redirect("/basic/hush?hush=1", 301),
        "wild": redirect("gopher://hush/hush"),
        "garbage": lambda exchange: exchange.send(b"HUSH/9.9 hush\r\n\r\n"),
        "cut": status(
            200, calendar(secret_event("cut", 2))[:300], content_length="9999"
        ),
        "coded": status(200, page, content_encoding="hush"),
    }
    tables = []
    for name, page_of in kinds.items():
        server.pages[f"/{name}/hush"] = page_of
        scheme = {"basic-refused": "basic"}.get(name, name)
        field = {"bearer": "token", "header": 'name = "X-Hush", value'}.get(scheme, "")
        if scheme in ("basic", "digest"):
            field = 'username = "hush-user", password'
        auth = (
            f'auth = {{ type = "{scheme}", {field} = {{ file = "{scheme}-secret" }} }}'
            if field
            else ""
        )
        tables.append(
            feed(name, server.url(f"/{name}/hush?token=hush"), 'interval = "2s"', auth)
        )
    tables.append(feed("nobody", "https://127.0.0.1:9/hush?hush", 'interval = "2s"'))
    tables.append(feed("private", server.url("/hush"), allow=False))
    return tables


BROKEN = (
    ('client_secret = { file = "tuya-secret" }', 'client_secret = "hush"'),
    ('creator = "3"', 'creator = "3"\nkreator = "hush"'),
    ('"hush.guest@example.com" = "1"', '"hush guest" = "1"'),
    ('"hush.guest@example.com" = "1"', '"hush.guest@example.com" = 1'),
    (
        '"hush.guest@example.com" = "1"',
        '"hush.guest@example.com" = "1"\n"hush.guest@example.com" = "2"',
    ),
    ('name = "private"\nurl = "http://', 'name = "private"\nurl = "http://hush:hush@'),
    ('name = "private"\nurl = "http://', 'name = "private"\nurl = "hush://'),
    ('mode = "full"', 'mode = "hush"'),
    ('[[rooms]]\nid = "9"', "[[rooms]]\nhush"),
    (
        'name = "Small meeting room"',
        'name = "Small meeting room"\nlocations = ["re:hush("]',
    ),
    ('timezone = "Europe/Berlin"', 'timezone = "Hush/Hush"'),
)


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_private_is_ever_written(
    office: Office, feed_server: FeedServer, log_format: str
) -> None:
    """At level debug, with errors of all kinds, neither the daemon nor a command tells a secret."""
    (office.folder / "people.csv").write_text(
        "address,user_id\nhush.boss@example.com,hush-7\n"
    )
    text = CONFIGURATION.replace("alice@", "hush.guest@").replace(
        "[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]'
    )
    hall = '[[rooms]]\nid = "9"\nname = "Hush hall"\naddresses = ["hush-hall@example.com"]\n'
    log = f'[log]\nlevel = "debug"\nformat = "{log_format}"\n'
    office.configure(text.replace("[[sources]]", f"{log}{hall}[[sources]]", 1))
    follow(
        office, files("office", "office.ics"), *feeds_of_all_kinds(office, feed_server)
    )
    office.write(secret_event("good", 2), secret_event("refused", 3))
    office.fault(
        "refuse:on=create,code=1109,every=2",
        "error:on=list,times=1",
        "lost:on=create,times=1",
    )
    with running(office, terminal=log_format == "console") as daemon:
        daemon.until(lambda: "refused" in daemon.manager.status, "a booking is refused")
        daemon.until(
            lambda: all(f"{n}" in str(daemon.lines) for n in ("garbage", "coded")),
            "feeds are read",
        )
        office.write(
            secret_event("good", 2, "COMMENT:hush"),
            secret_event("moved", 5),
            secret_event("clash", 5),
            quarantined("zone", "DTSTART:", "DTSTART;TZID=Hush/Hush:"),
            quarantined("rule", "FREQ=DAILY", "FREQ=HUSH"),
            quarantined("time", "DTSTART:2", "DTSTART:hush2"),
        )
        daemon.until(
            lambda: "quarantined" in daemon.manager.status, "events are quarantined"
        )
        good = (office.folder / "syncd.toml").read_text()
        errors = ""
        for old, new in BROKEN:
            office.configure(good, (old, new))
            refuse(daemon)
        errors += office.run("check").err
        (office.folder / "syncd.toml").write_text(good)
        (office.folder / "people.csv").write_text('address,user_id\nhush,,"hush\n')
        refuse(daemon)
        (office.folder / "people.csv").write_text(
            "address,user_id\nhush.boss@example.com,hush-7\n"
        )
        office.fault("quota:on=any")
        # What commands say is no matter of the format of the daemon's log.
        commands = (
            ["plan", "once", "status", "explain zone", "approve hush"]
            if log_format == "json"
            else []
        )
        shown = ""
        for command in commands:
            ran = office.run(*command.split())
            shown, errors = shown + ran.out, errors + ran.err
        assert bool(told(shown)) == bool(commands)  # a result is for whoever asked
        daemon.stop()
    statuses = "\n".join(
        message.get("STATUS", "") for message in daemon.manager.messages
    )
    errors += office.run("once", "--force").err
    assert "timezone" in errors  # of the last one that was checked
    assert told("\n".join(daemon.lines)) == []
    assert told(errors) == []
    assert told(statuses) == []
    if log_format == "json":
        assert len(daemon.log) == len(daemon.lines)
        assert {"api_call", "feed_answered", "source", "cycle", "refused"} <= {
            e["event"] for e in daemon.log
        }
        assert not [
            e for e in daemon.log if "logger" in e and e["level"] in ("debug", "info")
        ]
        assert len({entry["run"] for entry in daemon.log}) == 1
    else:
        assert not any(line.startswith("{") for line in daemon.lines)
        assert any("cycle" in line and "outcome" in line for line in daemon.lines)


def refuse(daemon: Daemon) -> None:
    """Wait until the daemon has refused the configuration as it is now."""
    refusals = sum("configuration refused" in line for line in daemon.lines)
    daemon.send(signal.SIGHUP)
    daemon.until(
        lambda: (
            sum("configuration refused" in line for line in daemon.lines) > refusals
        ),
        "it is refused",
    )


@pytest.mark.slow
def test_one_line_for_each_thing(office: Office) -> None:
    """A cycle, a reading and a change have one line each; what was done in one run has one run id."""
    office.write(*(event(f"e{n}", ahead(1 + n)) for n in range(3)))
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle", created=3), "booked")
        office.write(event("e0", ahead(1), 30), event("e1", ahead(2)))
        daemon.until(lambda: daemon.logged("cycle", updated=1, cancelled=1), "changed")
        daemon.stop()
    assert sorted(entry["uid"] for entry in daemon.logged("created")) == [
        "e0",
        "e1",
        "e2",
    ]
    assert [entry["uid"] for entry in daemon.logged("updated")] == ["e0"]
    assert [entry["uid"] for entry in daemon.logged("cancelled")] == ["e2"]
    assert len(daemon.logged("source")) == len(daemon.logged("cycle"))
    counts = {
        "created",
        "updated",
        "cancelled",
        "unchanged",
        "adopted",
        "held",
        "refused",
        "in_doubt",
    }
    assert (
        counts | {"quarantined", "waiting", "skipped", "outcome"}
        <= daemon.logged("cycle")[0].keys()
    )
    first = {entry["run"] for entry in daemon.log}
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle"), "a second run")
    second = {entry["run"] for entry in daemon.log}
    assert len(first) == len(second) == 1
    assert first != second


DEFECT = "defect of syncd; please report this line"


def _own_defects(daemon: Daemon) -> list[dict[str, Any]]:
    """The defects that were told of code of ours."""
    told_of = daemon.logged(DEFECT)
    return [one for one in told_of if any(at.startswith("syncd.") for at in one["at"])]


def test_an_exception_that_nobody_foresaw(
    office: Office, feed_server: FeedServer
) -> None:
    """Where there is no memory for anything more, what fails is told by its type and places."""
    office.write(secret_event("first", 2))
    office.change(('mode = "full"', 'mode = "observe"'))  # no thread was needed so far
    with running(office) as daemon:
        daemon.until(lambda: daemon.logged("cycle"), "a cycle")
        status_of = Path(f"/proc/{daemon.process.pid}/status").read_text()
        used = next(
            int(line.split()[1])
            for line in status_of.splitlines()
            if line.startswith("VmSize")
        )
        resource.prlimit(
            daemon.process.pid, resource.RLIMIT_AS, (used * 1024, used * 1024)
        )
        urls = [feed_server.url(f"/{n}/hush?hush") for n in range(20)]
        follow(office, *(feed(f"feed-{n}", url) for n, url in enumerate(urls)))
        # The thread of a library that watches files may want memory first, and end without having told of it.
        daemon.send(signal.SIGHUP)
        until(lambda: _own_defects(daemon), "a defect is told")
    for defect in daemon.logged(DEFECT):
        assert defect["error"].endswith("Error")
        assert all(re.fullmatch(r"\S+:\d+", place) for place in defect["at"])
    assert told("\n".join(daemon.lines)) == []
    assert not any("Traceback" in line for line in daemon.lines)


STRANGERS = """
import logging, threading, warnings
from syncd import log
log.configure({format!r}, "debug")
def fail():
    try:
        raise KeyError("hush")
    except KeyError as error:
        raise ValueError("hush") from error
for name in ("httpx", "httpcore", "apscheduler.scheduler", "watchdog", "sqlalchemy.engine", "uvicorn.error"):
    stranger = logging.getLogger(name)
    stranger.debug("quiet %s", "hush")
    stranger.info("quiet %s", "hush")
    stranger.warning("loud %s", "hush")
    try:
        fail()
    except ValueError:
        stranger.exception("failed for %s", "hush")
warnings.warn("hush", UserWarning)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_others_log_is_told_without_its_values(log_format: str) -> None:
    """Libraries, warnings of Python and uncaught exceptions give names, types and places only."""
    ran = subprocess.run(
        [sys.executable, "-c", STRANGERS.replace("{format!r}", repr(log_format))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert told(ran.stderr) == []
    assert "quiet" not in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("loud %s") == 6
    assert "UserWarning" in ran.stderr
    if log_format == "json":
        lines: list[dict[str, Any]] = [
            json.loads(line) for line in ran.stderr.splitlines()
        ]
        assert [line["event"] for line in lines[-3:]] == [
            "python warning",
            "defect of syncd; please report this line",
            "defect of syncd; please report this line",
        ]
        assert lines[-1]["error"] == "ValueError"
        assert lines[-1]["after"]["error"] == "KeyError"
        assert lines[0]["logger"] == "httpx"
