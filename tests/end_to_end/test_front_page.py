"""`status` as the front page: whether syncd runs, what needs a person, bookings only when asked for; `--check`."""

from __future__ import annotations

import re
import shlex
import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from tests.conftest import SMALL_ROOM, Office, ahead, event
from tests.raw_api import RawApi

LONG = (
    "季度预算评审会议与下一年度规划讨论（财务部与市场部）اجتماع الميزانية السنوية 🚀🎉"
)


def lines_of(office: Office, *arguments: str, columns: int = 80) -> list[str]:
    """What a command prints for people at a width; no line of it is wider or ends with a blank."""
    office.environment = {"COLUMNS": str(columns)}
    lines = office.run(*arguments).out.splitlines()
    office.environment = {}
    for line in lines:
        assert cell_len(line) <= columns or "KEY " in line or "syncd " in line, line
        assert line == line.rstrip()
    return lines


def edit_ledger(office: Office, statement: str) -> None:
    """Change the ledger beside the program, where nothing else makes a past."""
    connection = sqlite3.connect(office.folder / "state.db")
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.fixture
def troubled(office: Office) -> Office:
    """An office after a cycle: many refused meetings, an event that cannot be read, a source that is gone."""
    office.change(
        ("[[sources]]", '[[sources]]\nname = "gone"\npath = "gone.ics"\n[[sources]]')
    )
    first = ahead(2)
    office.write(
        event("first", first, 600, f"SUMMARY:{LONG}"),
        *(
            event(f"late-{n}", first + timedelta(minutes=30 * n), 20)
            for n in range(1, 9)
        ),
        event("alone", ahead(4), 60, "SUMMARY:Alone", room="large"),
        event("bad", ahead(3), 60, "RRULE:FREQ=NEVER", "SUMMARY:Bad | weekly"),
    )
    assert office.run("once").code == 1
    return office


def test_the_front_page_says_what_needs_a_person(troubled: Office) -> None:
    """It begins with whether syncd runs, then sources, failing ones first, then one entry for each concern."""
    lines = lines_of(troubled, "status")
    page = "\n".join(lines)
    assert lines[0].startswith("syncd is NOT RUNNING: no daemon has used this state")
    assert page.index("gone ") < page.index("office ")
    assert "Needs a person: 8 refused, 1 failing source, 1 quarantined" in page
    assert "Source gone cannot be read" in page
    assert "syncd doctor --source gone" in page
    assert "Source office, office.ics, line" in page
    assert f"KEY late-1//{SMALL_ROOM}" in lines_stripped(lines)
    assert "Alone" not in page, "what is booked is shown when it is asked for"


def lines_stripped(lines: list[str]) -> list[str]:
    """Lines without what they are indented by."""
    return [line.strip() for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120, 30])
def test_many_alike_are_summed_up_and_keys_are_whole(
    troubled: Office, columns: int
) -> None:
    """Of many refused ones a few are shown, with the whole KEY however wide the terminal, and how many more."""
    lines = lines_of(troubled, "status", columns=max(columns, 80))
    assert sum(line.startswith("refused:") for line in lines) == 3
    assert "… and 5 more refused in source office; syncd status --all has all." in lines
    troubled.environment = {"COLUMNS": str(columns)}
    every = troubled.run("status", "--all").out
    for number in range(1, 9):
        assert f"KEY late-{number}//{SMALL_ROOM}\n" in every
    assert "more refused" not in every


@pytest.mark.slow
def test_what_was_acknowledged_is_told_and_counts_for_nothing(office: Office) -> None:
    """It leaves what needs a person and stays on the page, with by whom; a check no longer sees it."""
    office.write(event("bad", ahead(3), 60, "RRULE:FREQ=NEVER", "SUMMARY:Weekly"))
    assert office.run("once").code == 1
    runs(office)
    assert checked(office)[0] == 1
    assert office.run("ack", "bad").code == 0
    runs(office)
    ran = office.run("status")
    assert (ran.code, "Nothing needs a person." in ran.out) == (0, True)
    assert re.search("acknowledged by .*: quarantined: Weekly", ran.out)
    runs(office)
    assert checked(office)[0] == 0


@pytest.mark.slow
def test_times_are_in_one_zone_that_is_named_once(troubled: Office) -> None:
    """Also the moments within sentences of the ledger are told in the zone of the configuration."""
    page = "\n".join(lines_of(troubled, "status", "--all"))
    assert page.count("Europe/Berlin") == 1
    assert "UTC" not in page
    assert re.search(r"The room is taken \(\w{3} \d\d \w{3} \d\d:\d\d", page)


@pytest.mark.slow
def test_filters_choose_bookings(troubled: Office) -> None:
    """By room, day, source and state, for people and for programs alike; a line for each, at 80 columns."""
    day = f"{ahead(4):%Y-%m-%d}"
    chosen = {
        ("--room", "large meeting room"): {"alone"},
        ("--room", SMALL_ROOM): {"first", *(f"late-{n}" for n in range(1, 9))},
        ("--day", day): {"alone"},
        ("--state", "booked"): {"first", "alone"},
        ("--state", "booked", "--day", day): {"alone"},
        ("--source", "gone"): set(),
        (): {"first", "alone", *(f"late-{n}" for n in range(1, 9))},
    }
    for arguments, expected in chosen.items():
        found = troubled.run("status", *arguments, "--json").json["bookings"]
        assert {booking["uid"] for booking in found} == expected, arguments
    lines = lines_of(troubled, "status", "--state", "booked")
    (alone,) = [line for line in lines if "Alone" in line]
    assert alone.endswith("booked")
    (first,) = [line for line in lines if "季度预算" in line]
    assert first.endswith("booked")
    assert "reservation" not in "".join(lines)
    with_ids = "\n".join(lines_of(troubled, "status", "--state", "booked", "--ids"))
    assert "KEY alone//" in with_ids
    for reservation in troubled.reservations():
        assert f"reservation {reservation['reservation_id']}" in with_ids
    gone = lines_of(troubled, "status", "--source", "gone")
    assert "No booking is as asked for." in gone
    (state,) = [line for line in gone if line.startswith("gone ")]
    assert "unreadable" in state
    assert any(line.startswith("Source gone:") for line in gone)
    assert not any(line.startswith("office ") for line in gone)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("status", "--room", "Smal meeting room"),
            'did you mean "Small meeting room"',
        ),
        (("status", "--state", "bookd"), "the states are waiting, sending, booked"),
        (("status", "--day", "someday"), "is no day; write today, tomorrow, mon"),
        (("status", "--source", "ofice"), "known: office"),
        (("agenda", "2026-13-01"), "is no day"),
        (("agenda", "9999-12-31"), "is no day"),
        (("agenda", "--room", "attic"), "there is no room"),
    ],
)
def test_what_means_nothing_is_said(
    office: Office, arguments: tuple[str, ...], said: str
) -> None:
    """A filter that means nothing is wrong usage, and what there is is named."""
    ran = office.run(*arguments)
    assert (ran.code, said in ran.err) == (2, True), ran.err


@pytest.mark.slow
def test_an_api_that_cannot_be_used_comes_first(office: Office) -> None:
    """It stands behind the first line with since when, the sentence and the command; 69 is the exit code."""
    office.write(event("a", ahead(2)))
    office.fault("quota:on=any")
    assert office.run("once").code == 69
    ran = office.run("status")
    assert ran.code == 69
    lines = ran.out.splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("The API cannot")]
    assert "ago" in lines[place] or "just now" in lines[place]
    assert "syncd doctor" in ran.out
    assert place < min(n for n, line in enumerate(lines) if line.startswith("source"))
    assert office.run("status", "--json").code == 69
    checked = office.run("status", "--check")
    assert (checked.code, "The API cannot be used" in checked.out) == (2, True)
    office.fault()
    assert office.run("once").code == 0
    assert "The API cannot be used" not in office.run("status").out


# For Nagios and Icinga

NUMBER = re.compile(r"'?[a-z_]+'?=[0-9.]+[a-z%]*(;[0-9:.]*){0,4}")


def checked(office: Office, *arguments: str) -> tuple[int, str, dict[str, str]]:
    """Exit code, sentence and numbers of `status --check`, after the form of the line was judged."""
    ran = office.run("status", "--check", *arguments)
    line = ran.out.removesuffix("\n")
    assert "\n" not in line
    assert line
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[ran.code]
    assert line.startswith(f"SYNCD {word} - ")
    sentence, _, numbers = line.partition("|")
    assert "|" not in numbers
    for number in numbers.split():
        assert NUMBER.fullmatch(number), number
    values: dict[str, str] = {}
    for number in numbers.split():
        name, _, value = number.partition(";")[0].partition("=")
        values[name] = value
    return ran.code, sentence, values


def runs(office: Office) -> None:
    """Let the ledger say that a daemon works, for as long as a slow machine needs for one command."""
    edit_ledger(office, "DELETE FROM daemons")
    edit_ledger(
        office,
        "INSERT INTO daemons (name, pid, version, configuration, started_at, beat_at) "
        "VALUES ('here:1', 1, '1', 'x', unixepoch() * 1000, (unixepoch() + 14) * 1000)",
    )


@pytest.mark.slow
def test_a_check_is_good_while_all_is_well(office: Office) -> None:
    """0 with numbers while a daemon works and nothing needs a person; 2 as soon as it does not work."""
    office.write(event("a", ahead(2)))
    office.run("once")
    runs(office)
    code, sentence, numbers = checked(office)
    assert code == 0, sentence
    assert "running, last cycle" in sentence
    assert (numbers["running"], numbers["booked"]) == ("1", "1")
    edit_ledger(office, "UPDATE daemons SET beat_at = beat_at - 60000")
    code, sentence, numbers = checked(office)
    assert (code, numbers["running"], "NOT RUNNING" in sentence) == (2, "0", True)


@pytest.mark.slow
def test_a_check_warns_of_what_waits_for_a_person(troubled: Office) -> None:
    """Refused and quarantined are a warning; a source is critical after three intervals and an hour."""
    runs(troubled)
    code, sentence, numbers = checked(troubled)
    assert code == 1, sentence
    assert (numbers["refused"], numbers["quarantined"]) == ("8", "1")
    assert numbers["failing_sources"] == "1"
    edit_ledger(
        troubled,
        "UPDATE sources SET last_ok_at = (unixepoch() - 7200) * 1000 WHERE name = 'gone'",
    )
    runs(troubled)
    code, sentence, _ = checked(troubled)
    assert (code, "Source gone cannot be read" in sentence) == (2, True)


@pytest.mark.slow
def test_commands_can_be_typed_whatever_an_event_is_called(office: Office) -> None:
    """A UID that looks like an option is an argument of the command that is told."""
    office.write(event("--json x", ahead(2), 60, "RRULE:FREQ=NEVER", "SUMMARY:Odd"))
    office.run("once")
    (command,) = [
        one["command"] for one in office.status()["concerns"] if one["uid"] is not None
    ]
    _, *arguments = shlex.split(command)
    ran = office.run(*arguments)
    assert (ran.code, "Odd" in ran.out) == (1, True), ran.err


@pytest.mark.slow
def test_a_source_that_was_never_read_is_critical_in_time(troubled: Office) -> None:
    """However often it is tried in vain: what counts is the first time."""
    edit_ledger(
        troubled,
        "UPDATE sources SET failing_since = (unixepoch() - 7200) * 1000 WHERE name = 'gone'",
    )
    troubled.run("once")
    runs(troubled)
    code, sentence, _ = checked(troubled)
    assert (code, "Source gone cannot be read" in sentence) == (2, True)


@pytest.mark.slow
def test_a_check_knows_what_is_held(office: Office) -> None:
    """Held cancellations are critical."""
    office.write(*(event(f"e{n}", ahead(2, 6 + n)) for n in range(8)))
    office.once()
    office.write()
    assert office.run("once").code == 1
    runs(office)
    code, sentence, numbers = checked(office)
    assert (code, numbers["held"]) == (2, "8"), sentence


@pytest.mark.slow
def test_doubt_is_critical_when_it_lasts(raw_office: Office, raw_api: RawApi) -> None:
    """In doubt is a warning while a lost request may still arrive, and critical beyond that."""
    raw_office.write(event("a", ahead(2)))
    raw_office.once()
    edit_ledger(
        raw_office,
        "UPDATE bookings SET state = 'cancelling', attempted_at = unixepoch() * 1000",
    )
    runs(raw_office)
    assert checked(raw_office)[0] == 1
    edit_ledger(raw_office, "UPDATE bookings SET attempted_at = attempted_at - 3600000")
    runs(raw_office)
    assert checked(raw_office)[0] == 2
    assert raw_api.writes() == ["create"]


@pytest.mark.slow
def test_a_check_that_cannot_look_is_unknown(office: Office) -> None:
    """3 and one line, whatever is wrong: configuration, ledger, another program, arguments."""
    broken: dict[str, Any] = {}
    office.write(event("a", ahead(2)))
    assert checked(office, "--nonsense")[0] == 3
    assert checked(office, "--room", "Small meeting room")[0] == 3
    good = (office.folder / "syncd.toml").read_text()
    (office.folder / "syncd.toml").write_text("[api\nx = '|'")
    broken["configuration"] = checked(office)
    (office.folder / "syncd.toml").unlink()
    broken["no configuration"] = checked(office)
    (office.folder / "syncd.toml").write_text(good)
    (office.folder / "state.db").write_bytes(b"this is | no database" * 100)
    broken["ledger"] = checked(office)
    (office.folder / "state.db").unlink()
    (office.folder / "state.db").mkdir()
    broken["directory"] = checked(office)
    assert {name: found[0] for name, found in broken.items()} == dict.fromkeys(
        broken, 3
    )


@pytest.mark.slow
def test_foreign_text_does_not_end_the_sentence(office: Office) -> None:
    """A bar and control characters in the name of a source reach a check as what they are."""
    office.change(('name = "office"', 'name = "a|b\\u001b[31m"'))
    ran = office.run("status", "--check")
    assert "\x1b" not in ran.out
    assert ran.out.count("|") <= 1
    assert ran.out.count("\n") == 1
