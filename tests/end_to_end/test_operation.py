"""Small commands of operation: what they say where there is nothing to do, and two sites on one project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Office, ahead, event
from tests.notices.receiver import Receiver


def test_without_a_channel_nobody_is_told(office: Office) -> None:
    """Without a channel it leaves with 1 and what to write; without the word it is wrong usage."""
    ran = office.run("notify", "--test")
    assert (ran.code, ran.out) == (1, "")
    assert "No channel is configured" in ran.err
    assert "syncd status --check" in ran.err
    assert office.run("notify").code == 2


def test_every_channel_says_what_it_was_answered(office: Office) -> None:
    """One notice goes to each; who does not take it is named with the reason, and the exit code is 1."""
    receiver = Receiver()
    with receiver.running():
        office.change(
            (
                "[calendar]",
                f'''[notices]
allow_hosts = ["127.0.0.1"]
webhook = {{ url = "{receiver.url()}" }}
command = ["/bin/sh", "-c", "cat; echo no way >&2; exit 3"]
ping = "{receiver.url("/secret-ping")}"
[calendar]''',
            )
        )
        ran = office.run("notify", "--test")
    assert ran.code == 1
    assert [post.path for post in receiver.posts] in (
        ["/hook", "/secret-ping"],
        ["/secret-ping", "/hook"],
    )
    assert receiver.types() == ["syncd.test"]
    words = " ".join(ran.out.split())
    assert f"webhook delivered: 127.0.0.1:{receiver.port} status 204" in words
    assert "command NOT DELIVERED: sh sh ended with exit code 3" in words
    assert "it said: no way" in words
    assert f"ping delivered: 127.0.0.1:{receiver.port} status 204" in words
    assert "secret-ping" not in ran.out + ran.err


def test_an_installation_without_a_name_is_told(office: Office) -> None:
    """Without `reservation.instance` it goes on under the former name; check and doctor print the line."""
    office.change(('instance = "hq"\n', ""))
    ran = office.run("check")
    assert ran.code == 0
    assert "reservation.instance is not set, so it is 'hq'" in ran.out
    found = office.run("doctor", "--json", "--offline").json["findings"]
    (named,) = [one for one in found if one["check"] == "name"]
    assert named["verdict"] == "note"
    assert named["cure"].startswith('instance = "hq"')


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hq", "berlin"])
def test_two_sites_on_one_project(make_office: Any, tmp_path: Path, name: str) -> None:
    """With two names each is a note to the other; with one it is a problem, and nobody is told to cancel."""
    office = make_office()
    folder = tmp_path / "other"
    folder.mkdir()
    other = Office(folder, office.url, office.client_id, office.client_secret)
    other.change(('instance = "hq"', f'instance = "{name}"'))
    office.write(event("ours", ahead(1)))
    office.once()
    other.write(event("theirs", ahead(2), room="large"))
    other.once()
    found = [
        one
        for one in office.run("doctor", "--json").json["findings"]
        if one["check"] == "instance"
    ]
    verdict = "problem" if name == "hq" else "note"
    assert [one["verdict"] for one in found] == [verdict]
    said = office.run("adopt").out + office.run("plan").out + found[0]["finding"]
    said += found[0]["cure"] or ""
    assert "cancel" not in said.replace("cancelled", "")
    assert len(office.reservations()) == 2
