"""A running daemon tells: at once, to who is configured now, and never at the cost of its work."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import running, until
from tests.notices.receiver import MailServer, Receiver

LOOPBACK = 'allow_hosts = ["127.0.0.1"]'


def notices(office: Office, *lines: str) -> None:
    """Give the configuration these notices."""
    path = office.folder / "syncd.toml"
    text = path.read_text().partition("[notices]")[0].rstrip()
    new = path.with_suffix(".new")
    new.write_text("\n".join([text, "", "[notices]", *lines, ""]))
    new.rename(path)


def refuse_one(office: Office) -> None:
    """Two meetings that want one room at one time."""
    office.write(event("first", ahead(2), 600), event("second", ahead(2, 10), 20))


def test_a_daemon_tells_all_channels(office: Office) -> None:
    """Webhook, mail, command and ping each get what happened, and the log names nobody and no address."""
    refuse_one(office)
    out = office.folder / "told"
    receiver, mails = Receiver(), MailServer()
    with receiver.running(), mails.running():
        notices(
            office,
            LOOPBACK,
            f'webhook = {{ url = "{receiver.url("/secret-hook")}" }}',
            f'ping = "{receiver.url("/secret-ping")}"',
            f'command = ["/bin/sh", "-c", "cat >> {out}"]',
            f'mail = {{ port = {mails.port}, from = "syncd@example.com", to = ["it@example.com"] }}',
        )
        with running(office) as daemon:
            daemon.until(lambda: len(daemon.logged("notice delivered")) == 3, "told")
            daemon.until(lambda: receiver.posts_to("/secret-ping"), "a ping")
            assert daemon.stop()[0] == 0
            log = "\n".join(daemon.lines)
    assert receiver.types("/secret-hook") == ["syncd.bookings.refused"]
    assert json.loads(out.read_text()) == receiver.told("/secret-hook")[0]
    (mail,) = mails.mails
    assert mail["Subject"] == "[syncd hq] 1 booking refused"
    ping = receiver.posts_to("/secret-ping")[0].body.decode()
    assert ping.startswith("cycle attention: 1 created, 1 refused")
    for word in ("secret-", "it@example.com", "Meeting second"):
        assert word not in log


@pytest.mark.slow
def test_a_failed_cycle_is_pinged_at_once(office: Office) -> None:
    """The change to /fail does not wait for the minute, nor does the change back."""
    office.write(event("a", ahead(2)))
    receiver = Receiver()
    with receiver.running():
        notices(office, LOOPBACK, f'ping = "{receiver.url("/id")}"')
        with running(office) as daemon:
            daemon.until(lambda: receiver.posts_to("/id"), "a good ping")
            office.fault("quota:on=any")
            office.write(event("a", ahead(3)))
            daemon.until(lambda: receiver.posts_to("/id/fail"), "a bad ping")
            office.fault()
            daemon.settle()
            daemon.until(lambda: len(receiver.posts_to("/id")) > 1, "a good ping")
            daemon.stop()


@pytest.mark.slow
def test_channels_follow_the_configuration(office: Office) -> None:
    """What waits for one address goes to the one that is configured since; a channel that is gone is quiet."""
    refuse_one(office)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = Receiver(port=listener.getsockname()[1])
    receiver = Receiver()
    with receiver.running():
        notices(office, LOOPBACK, f'webhook = {{ url = "{nobody.url()}" }}')
        with running(office) as daemon:
            daemon.until(lambda: daemon.logged("notice not delivered"), "a try")
            notices(office, LOOPBACK, f'webhook = {{ url = "{receiver.url()}" }}')
            daemon.until(receiver.types, "it is delivered")
            notices(office)
            daemon.until(
                lambda: len(daemon.logged("configuration taken over")) == 2, ""
            )
            office.write(
                event("first", ahead(2), 600), event("third", ahead(2, 10), 20)
            )
            daemon.until(lambda: daemon.logged("refused", uid="third"), "a refusal")
            daemon.settle()
            daemon.stop()
    assert receiver.types() == ["syncd.bookings.refused"]


@pytest.mark.slow
def test_a_receiver_that_never_answers_holds_nothing_up(office: Office) -> None:
    """Cycles go on, other channels are told, and the stop is in time."""
    refuse_one(office)
    out = office.folder / "told"
    stuck = Receiver(holding=threading.Event())
    with stuck.running():
        notices(
            office,
            LOOPBACK,
            f'webhook = {{ url = "{stuck.url()}" }}',
            f'ping = "{stuck.url("/ping")}"',
            f'command = ["/bin/sh", "-c", "cat > {out}"]',
        )
        with running(office) as daemon:
            daemon.until(lambda: len(stuck.posts) == 2, "both are on their way")
            daemon.until(out.exists, "the command was run")
            office.write(event("later", ahead(3)))
            daemon.until(lambda: daemon.logged("created", uid="later"), "a booking")
            code, _ = daemon.stop()
            assert code == 0
            assert "notice not delivered" not in {one["event"] for one in daemon.log}
        assert stuck.holding is not None
        stuck.holding.set()


@pytest.mark.slow
def test_a_mistake_in_the_configuration_is_told(office: Office) -> None:
    """By the last good one, with the problem; and that it is good again."""
    office.write(event("a", ahead(2)))
    receiver = Receiver()
    with receiver.running():
        notices(office, LOOPBACK, f'webhook = {{ url = "{receiver.url()}" }}')
        with running(office) as daemon:
            daemon.settle()
            office.change(('mode = "full"', 'mode = "ful"'))
            daemon.until(receiver.types, "it is told")
            office.change(('mode = "ful"', 'mode = "full"'))
            daemon.until(lambda: len(receiver.types()) == 2, "the end is told")
            daemon.stop()
    assert receiver.types() == [
        "syncd.configuration.refused",
        "syncd.configuration.accepted",
    ]
    assert "did you mean" in receiver.told()[0]["data"]["detail"]


@pytest.mark.slow
def test_a_ledger_that_is_lost_is_told_before_the_end(office: Office) -> None:
    """Once, although the service is started again and again, and that it is well after two good cycles."""
    office.write(event("a", ahead(2)))
    receiver = Receiver()
    state = office.folder / "state.db"
    with receiver.running():
        notices(
            office,
            LOOPBACK,
            f'webhook = {{ url = "{receiver.url()}" }}',
            f'ping = "{receiver.url("/ping")}"',
        )
        with running(office) as daemon:
            daemon.settle()
            state.rename(office.folder / "elsewhere")
            assert daemon.process.wait(HANG_S) == 78
        assert receiver.types() == ["syncd.ledger.unavailable"]
        (told,) = receiver.told()
        assert "moved away or deleted" in told["data"]["detail"]
        assert receiver.posts_to("/ping/fail")
        (office.folder / "elsewhere").rename(state)
        with sqlite3.connect(state) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        for _ in range(2):
            ran = office.run("run")
            assert ran.code == 78
        assert len(receiver.types()) == 1, "it was told a moment ago"
        with sqlite3.connect(state) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0014'")
        connection.close()
        with running(office) as daemon:
            daemon.settle()
            daemon.settle()
            daemon.until(lambda: len(receiver.types()) == 2, "the end is told")
            daemon.stop()
    over = receiver.told()[1]
    assert over["type"] == "syncd.ledger.available"
    assert over["data"]["duration_seconds"] >= 0


@pytest.mark.slow
def test_once_tells_too(office: Office) -> None:
    """A run from a timer delivers what it found, and what waits; an API that cannot be used is pinged."""
    refuse_one(office)
    receiver = Receiver()
    with receiver.running():
        notices(
            office,
            LOOPBACK,
            f'webhook = {{ url = "{receiver.url()}" }}',
            f'ping = "{receiver.url("/ping")}"',
        )
        assert office.run("once").code == 1
        assert receiver.types() == ["syncd.bookings.refused"]
        assert len(receiver.posts_to("/ping")) == 1
        assert office.run("once").code == 1
        assert len(receiver.types()) == 1
        office.fault("quota:on=any")
        office.write(event("other", ahead(4)))
        assert office.run("once").code == 69
        assert receiver.types()[1:] == ["syncd.api.unusable"]
        assert len(receiver.posts_to("/ping/fail")) == 1
    office.fault()
    office.run("once")
    office.run("once")
    with receiver.running():

        def arrives() -> bool:
            office.run("once")  # whose try may be before its time
            return len(receiver.types()) == 3

        until(arrives, "what waited is delivered")
    assert receiver.types()[2:] == ["syncd.api.usable"]


@pytest.mark.slow
def test_the_doctor_says_who_can_be_told(office: Office, tmp_path: Path) -> None:
    """Receivers that cannot be reached, a program that is not there, and what did not arrive, with the cure."""
    refuse_one(office)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = Receiver(port=listener.getsockname()[1])
    notices(
        office,
        LOOPBACK,
        f'webhook = {{ url = "{nobody.url("/secret-hook")}" }}',
        'command = ["/nowhere/page-me"]',
        f'mail = {{ port = {nobody.port}, from = "a@example.com", to = ["b@example.com"] }}',
    )
    assert office.run("once").code == 1
    ran = office.run("doctor", "--json")
    found: dict[str, list[Any]] = {}
    for one in ran.json["findings"]:
        if one["group"] == "notices":
            found.setdefault(one["check"], []).append(one)
    assert [one["verdict"] for one in found["channel"]] == ["ok"]
    assert [one["verdict"] for one in found["command"]] == ["problem"]
    assert [one["verdict"] for one in found["receivers"]] == ["problem"] * 2
    assert len(found["delivery"]) == 3
    assert all("1 notice" in one["finding"] for one in found["delivery"])
    assert all(one["cure"] for one in found["delivery"])
    assert "secret-hook" not in ran.out + ran.err
    offline = office.run("doctor", "--offline", "--json").json["findings"]
    assert "receivers" not in {one["check"] for one in offline}
