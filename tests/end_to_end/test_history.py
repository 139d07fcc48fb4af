"""What was done is told with the reason, what it rests on, and who decided it."""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer

from syncd.commands.when import When, when_meant
from tests.conftest import SMALL_ROOM, Office, ahead, event

HOUR = timedelta(hours=1)
NOW = datetime(2026, 12, 3, 9, 30, tzinfo=UTC)  # a Thursday
BERLIN = ZoneInfo("Europe/Berlin")


def _history(office: Office, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = office.run("history", *options, "--json").json[
        "history"
    ]
    return found


def _told(steps: Sequence[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(step[name] for name in names) for step in steps]


@pytest.mark.slow
def test_who_decided_each_step(office: Office) -> None:
    """syncd by a source and its evidence, a person who approved or resolved, Tuya where it was ended there."""
    rest = [event(f"r{n}", ahead(4, 8 + n)) for n in range(4)]
    first, second = event("a", ahead(2)), event("b", ahead(3), 60, "SUMMARY:Lunch")
    office.write(first, second, *rest)
    office.once()
    office.write(event("a", ahead(2) + HOUR), *rest)
    office.once()
    office.write()
    office.once()
    held = office.status()["held"]["checksum"]
    assert office.run("approve", held).code == 0
    office.once()
    of_a = _told(
        _history(office, "--uid", "a"), "what", "reason", "evidence", "by", "source"
    )
    assert of_a == [
        ("created", "new", None, "syncd", "office"),
        ("updated", "changed", None, "syncd", "office"),
        ("cancelled", "source_empty", "approved", getpass.getuser(), "office"),
    ]
    (cancelled,) = [
        step for step in _history(office, "--uid", "b") if step["what"] == "cancelled"
    ]
    assert (cancelled["evidence"], cancelled["by"]) == ("shown", "syncd")
    assert (cancelled["topic"], cancelled["room_id"]) == ("Lunch", SMALL_ROOM)
    (approved,) = [s for s in _history(office) if s["what"] == "approved"]
    assert held in approved["detail"]
    assert approved["by"] == getpass.getuser()
    shown = office.run("history", "--since", "today", "--room", "small MEETING room")
    assert "Approved by" in shown.out
    assert "Times" not in shown.out.partition("\n")[2]


@pytest.mark.slow
def test_what_people_end_in_tuya_and_settle_here(office: Office) -> None:
    """What somebody cancelled in Tuya is by Tuya; what a person resolved is by that person."""
    office.write(event("a", ahead(2)))
    office.once()
    (reservation,) = office.reservations()
    office.control(f"reservations/{reservation['reservation_id']}", {"status": 3})
    office.run("once", "--force")
    assert _told(_history(office), "what", "by")[-1] == ("released", "Tuya")
    assert office.run("resolve", "a", "--retry").code == 0
    pending = _history(office)[-1]
    assert (pending["what"], pending["by"]) == ("resolve: retry", getpass.getuser())
    office.once()
    told = _told(_history(office), "what", "by")
    assert ("resolve: retry", getpass.getuser()) in told
    assert told[-1] == ("created", "syncd")


@pytest.mark.slow
def test_what_an_earlier_version_recorded(office: Office) -> None:
    """Steps without a cause are shown as they are: nobody knows who decided them."""
    office.write(event("a", ahead(2)))
    office.once()
    with sqlite3.connect(office.folder / "state.db") as connection:
        connection.execute(
            "UPDATE history SET source = NULL, reason = NULL, evidence = NULL, decided_by = NULL, "
            "document = NULL, room_id = NULL, start_at = NULL, end_at = NULL"
        )
    connection.close()
    (step,) = _history(office, "--source", "office", "--room", SMALL_ROOM)
    assert [step[name] for name in ("source", "reason", "evidence", "by")] == [None] * 4
    assert step["room_id"] == SMALL_ROOM
    assert "was not recorded" in office.run("history").out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "soon"), "'soon' is no time; write a date"),
        (("--since", "99999999999d"), "is no time"),
        (("--since", "tomorrow", "--until", "yesterday"), "give the earlier one"),
        (("--room", "Smal meeting room"), 'did you mean "Small meeting room"?'),
        (("--source", "ofice"), "there is no source 'ofice'"),
    ],
)
def test_what_means_nothing_is_refused(
    office: Office, options: tuple[str, ...], said: str
) -> None:
    """A time, room or source that there is not is wrong usage, with the cure."""
    ran = office.run("history", *options)
    assert ran.code == 2
    assert said in ran.err


def test_without_a_ledger_nothing_was_done(office: Office) -> None:
    """A ledger that is not there yet has no history, and none is made by looking."""
    ran = office.run("history", "--since", "2d")
    assert (ran.code, ran.out.startswith("Nothing was done since")) == (0, True)
    assert not (office.folder / "state.db").exists()


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ("2026-12-01", "2026-11-30T23:00", "2026-12-01T23:00"),
        ("2026-12-01 10:30", "2026-12-01T09:30", "2026-12-01T09:30"),
        ("2026-12-01T10:30Z", "2026-12-01T10:30", "2026-12-01T10:30"),
        ("10:15", "2026-12-03T09:15", "2026-12-03T09:15"),
        ("Today", "2026-12-02T23:00", "2026-12-03T23:00"),
        ("tue", "2026-11-30T23:00", "2026-12-01T23:00"),
        ("fri", "2026-11-26T23:00", "2026-11-27T23:00"),
        ("yesterday 8:05", None, None),
        ("yesterday 08:05", "2026-12-02T07:05", "2026-12-02T07:05"),
        ("2d", "2026-12-01T09:30", "2026-12-01T09:30"),
        ("90 min ago", "2026-12-03T08:00", "2026-12-03T08:00"),
        ("", None, None),
        ("2026-13-01", None, None),
        ("mo", None, None),
    ],
)
def test_what_when_means(said: str, start: str | None, end: str | None) -> None:
    """A day is meant from its beginning to its end in the zone of the configuration, a time as it is."""
    if start is None or end is None:
        with pytest.raises(typer.BadParameter):
            when_meant(said, NOW, BERLIN, option="--since")
        return
    expected = [datetime.fromisoformat(f"{text}Z") for text in (start, end)]
    assert when_meant(said, NOW, BERLIN, option="--since") == When(*expected)
