"""What a person has seen counts for nothing, in every exit code, until the event changes."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from tests.conftest import Office, Ran, ahead, calendar, event
from tests.daemon.running import until


def _broken(uid: str, *lines: str, stamp: str = "20260101T000000Z") -> str:
    """An event in a zone that nobody knows."""
    return (
        event(uid, ahead(3), 60, *lines)
        .replace("DTSTART:", "DTSTART;TZID=Nowhere:")
        .replace("00Z\r\nDTEND", "00\r\nDTEND")
        .replace("20260101T000000Z", stamp)
    )


def _codes(office: Office, uid: str) -> dict[str, int]:
    return {
        "once": office.run("once").code,
        "plan": office.run("plan").code,
        "explain": office.run("explain", uid).code,
    }


def _concerns(office: Office, name: str = "concerns") -> list[tuple[str, str]]:
    return [(one["kind"], one["key"]) for one in office.status()[name]]


def _said(ran: Ran, code: int) -> str:
    assert ran.code == code, ran
    return ran.out + ran.err


@pytest.mark.slow
def test_a_quarantined_event_counts_until_it_is_seen_and_when_it_changes(
    office: Office,
) -> None:
    """Exit codes are 0 after `ack`, and 1 again when somebody edits the event; an export anew changes nothing."""
    office.write(_broken("m"), event("good", ahead(4)))
    assert office.run("once").code == 1
    assert office.run("explain", "m").code == 1
    said = _said(office.run("ack", "m"), 0)
    assert "Meeting m (m), quarantined in source office" in said
    assert set(_codes(office, "m").values()) == {0}
    assert _concerns(office) == []
    (seen,) = office.status()["acknowledged"]
    assert (seen["title"], seen["key"]) == ("Meeting m", "m")
    assert seen["acknowledged_by"]
    assert seen["acknowledged_at"].endswith("Z")
    office.write(_broken("m", stamp="20260505T050505Z"), event("good", ahead(4)))
    cycle = office.once()
    assert cycle["outcome"] == "ok"
    assert (cycle["counts"]["quarantined"], cycle["counts"]["acknowledged"]) == (1, 1)
    told = office.run("explain", "m", "--json").json
    assert told["sources"][0]["quarantined"]["acknowledged_by"]
    assert "acknowledged" in office.run("explain", "m").out
    office.write(_broken("m", "SUMMARY:Another title"), event("good", ahead(4)))
    assert office.once()["outcome"] == "attention"
    assert _concerns(office) == [("quarantined", "m")]


@pytest.mark.slow
def test_a_conflict_between_two_meetings_counts_until_it_is_seen(
    office: Office,
) -> None:
    """Who lost the room is refused; acknowledged that is no matter for exit codes until the meeting changes."""
    first = event("first", ahead(3), 60, "CREATED:20260101T000000Z")
    second = event("second", ahead(3), 60, "CREATED:20260202T000000Z")
    office.write(first, second)
    office.once()
    _said(office.run("ack", "second"), 0)
    assert set(_codes(office, "second").values()) == {0}
    cycle = office.once()
    assert (cycle["outcome"], cycle["counts"]["refused"]) == ("ok", 1)
    office.write(first, second.replace("Meeting second", "Other"))
    assert office.once()["outcome"] == "attention"


@pytest.mark.slow
def test_each_date_of_a_series_or_all_at_once(office: Office) -> None:
    """A UID that means several refused dates is answered as `resolve` does; --every-date means them all."""
    office.fault("refuse:code=1109,on=create")
    office.write(event("s", ahead(3), 60, "RRULE:FREQ=DAILY;COUNT=3"))
    assert office.once()["counts"]["refused"] == 3
    ran = office.run("ack", "s")
    keys = [line.split()[0] for line in ran.err.splitlines()[1:]]
    assert (ran.code, len(keys)) == (1, 3)
    assert "means several bookings" in ran.err
    _said(office.run("ack", keys[0]), 0)
    assert office.once()["counts"]["acknowledged"] == 1
    said = _said(office.run("ack", "s", "--every-date"), 0)
    assert said.count("Acknowledged by") == 3
    assert office.once()["outcome"] == "ok"
    said = _said(office.run("ack", "s", "--undo"), 0)
    assert said.count("Taken back") == 3
    assert office.once()["outcome"] == "attention"


@pytest.mark.slow
def test_keys_that_mean_nothing_to_acknowledge(office: Office) -> None:
    """They are answered with what there is; what cannot be acknowledged says why, and what to do instead."""
    nothing = office.run("ack", "m")
    assert nothing.code == 1
    assert "Nothing is refused or quarantined." in nothing.err
    assert office.run("ack", " ").code == 2
    assert office.run("ack", "--undo").code == 2
    office.fault("lost:on=create", "lag:seconds=60")
    office.write(
        event("doubt", ahead(3)),
        _broken("broken"),
        event("", ahead(4)).replace("UID:\r\n", ""),
    )
    office.once()
    in_doubt = office.run("ack", "doubt")
    assert in_doubt.code == 1
    assert "in doubt, which cannot be acknowledged" in in_doubt.err
    unknown = office.run("ack", "nobody")
    assert unknown.code == 1
    assert "broken  (Meeting broken, quarantined in source office)" in unknown.err
    assert "without UID in office.ics, line" in unknown.err
    assert office.run("ack", "nobody", "--undo").code == 1


@pytest.mark.slow
def test_an_event_in_two_sources_is_acknowledged_as_it_is_in_each(
    office: Office,
) -> None:
    """One `ack` means it in all sources; an edit in one of them ends that for this one alone."""
    office.change(
        (
            '[[sources]]\nname = "office"',
            '[[sources]]\nname = "sales"\npath = "s.ics"\n[[sources]]\nname = "office"',
        )
    )
    (office.folder / "s.ics").write_bytes(calendar(_broken("m", "SUMMARY:In sales")))
    office.write(_broken("m"))
    assert office.once()["counts"]["quarantined"] == 2
    _said(office.run("ack", "m"), 0)
    assert office.once()["outcome"] == "ok"
    (office.folder / "s.ics").write_bytes(calendar(_broken("m", "SUMMARY:Edited")))
    cycle = office.once()
    assert (cycle["outcome"], cycle["counts"]["acknowledged"]) == ("attention", 1)
    (left,) = office.status()["concerns"]
    assert (left["source"], left["title"]) == ("sales", "Edited")


@pytest.mark.slow
def test_what_was_acknowledged_is_listed_with_who_and_when(office: Office) -> None:
    """Without a KEY `ack` tells who acknowledged what, and whether that is in force, over or settled."""
    assert office.run("ack").out == "Nothing was acknowledged.\n"
    office.write(_broken("m", "CLASS:PRIVATE"), _broken("n"), _broken("o"))
    office.once()
    for uid in "mno":
        _said(office.run("ack", uid), 0)
    office.write(_broken("m", "CLASS:PRIVATE"), _broken("n", "SUMMARY:New"))
    office.once()
    rows: list[dict[str, Any]] = office.run("ack", "--json").json["acknowledged"]
    states = {row["key"]: (row["topic"], row["state"]) for row in rows}
    assert states == {
        "m": ("Private meeting", "in_force"),
        "n": ("New", "changed"),
        "o": ("", "settled"),
    }
    listed = office.run("ack").out
    assert "Private meeting: counts for nothing." in listed
    assert "New: the event changed: it counts again." in listed


@pytest.mark.slow
def test_what_was_read_before_an_upgrade_is_acknowledged_after_the_next_cycle(
    office: Office,
) -> None:
    """An older state does not tell when an event changes: `ack` says so, and the quarantine is read as it is."""
    office.write(_broken("m"))
    office.once()
    with sqlite3.connect(office.folder / "state.db") as state:
        state.execute("UPDATE quarantine SET topic = '', fingerprint = ''")
        (remark,) = state.execute("SELECT remarks FROM kept").fetchone()
        told = json.loads(remark)
        told["defects"] = [defect[:4] for defect in told["defects"]]
        state.execute("UPDATE kept SET remarks = ?", [json.dumps(told)])
    state.close()
    refused = office.run("ack", "m")
    assert refused.code == 1
    assert "after the next cycle" in refused.err
    assert office.once()["counts"]["quarantined"] == 1
    # Whatever makes all UIDs ready, as an upgrade does.
    office.change(("[calendar]", '[calendar]\nhorizon = "29d"'))
    office.once()
    _said(office.run("ack", "m"), 0)
    assert office.once()["outcome"] == "ok"


@pytest.mark.slow
def test_beside_a_running_daemon(office: Office) -> None:
    """The daemon takes an acknowledgement into account by itself, and writes nothing to the API for it."""
    office.write(_broken("m"))
    daemon = office.start("run")
    try:
        until(lambda: _concerns(office) == [("quarantined", "m")], "it is read")
        office.forget_requests()
        _said(office.run("ack", "m"), 0)

        def is_well() -> bool:
            cycle = office.status()["last_cycle"]
            return bool(cycle) and cycle["outcome"] == "ok"

        until(is_well, "the daemon knows")
        assert office.run("status").code == 0
        assert office.writes() == []
    finally:
        daemon.terminate()
        daemon.communicate()
