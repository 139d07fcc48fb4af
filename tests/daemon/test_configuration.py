"""Editing the configuration is how a running daemon is operated."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.assembly import Service
from syncd.config import Config, load
from syncd.daemon.loop import Daemon as WorkingDaemon
from syncd.daemon.systemd import Notifier
from syncd.ledger import Ledger
from syncd.sandbox import Sandbox, SandboxSettings
from tests.conftest import Office, ahead, calendar, event
from tests.daemon.running import Daemon, Manager, feed, files, follow, running, until

EDITS = 50


def meeting(uid: str) -> str:
    """An event without a room, which no other one can be in the way of."""
    return event(uid, ahead(2), room=None)


def topics(office: Office) -> set[str]:
    """What is booked."""
    return {r["topic"] for r in office.reservations()}


@pytest.fixture
def daemon(office: Office) -> Iterator[Daemon]:
    """A daemon that has booked three meetings of one file."""
    (office.folder / "people.csv").write_text("address,user_id\ncarol@example.com,u3\n")
    office.change(
        ("[people.addresses]", '[people]\nfile = "people.csv"\n[people.addresses]')
    )
    office.change(('path = "office.ics"', 'path = "office.ics"\ninterval = "6h"'))
    office.write(*map(meeting, "abc"))
    with running(office) as started:
        started.until(lambda: len(topics(office)) == 3, "booked")
        yield started


def answered(daemon: Daemon) -> int:
    """How many configurations were taken over or refused."""
    return len(daemon.logged("configuration taken over")) + len(
        daemon.logged("configuration refused")
    )


def reloaded(daemon: Daemon) -> None:
    """Ask for a reload, and wait until it is over."""
    before = answered(daemon)
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: answered(daemon) > before, "the configuration is read")


@contextmanager
def broken_people_file(office: Office) -> Iterator[None]:
    """A people list without its header."""
    people = office.folder / "people.csv"
    former = people.read_text()
    people.write_text("carol@example.com;u3\n")
    yield
    people.write_text(former)


@contextmanager
def open_secret(office: Office) -> Iterator[None]:
    """A secret that everybody may read."""
    secret = office.folder / "tuya-secret"
    secret.chmod(0o644)
    yield
    secret.chmod(0o600)


@contextmanager
def broken_text(office: Office, *changes: tuple[str, str]) -> Iterator[None]:
    """A configuration that would book the wrong calendar, and has a mistake besides."""
    path = office.folder / "syncd.toml"
    former = path.read_text()
    office.change(('path = "', 'path = "wrong-'), *changes)
    yield
    path.write_text(former)


BREAKS: tuple[Callable[[Office], AbstractContextManager[None]], ...] = (
    lambda office: broken_text(office, ('mode = "full"', 'mode = "full')),
    lambda office: broken_text(office, ("[calendar]", "[calendar]\nhorizont = 3")),
    broken_people_file,
    open_secret,
    lambda office: broken_text(office, ('client_id = "', 'client_id = "ü')),
    lambda office: broken_text(
        office, ('timezone = "Europe/Berlin"', 'timezone = "Europe/Berln"')
    ),
)


def refused(daemon: Daemon) -> None:
    """Ask for a reload of what is broken, and wait until the daemon has said so."""
    before = len(daemon.logged("configuration refused"))
    reloaded(daemon)
    daemon.until(
        lambda: len(daemon.logged("configuration refused")) > before, "it is said"
    )
    assert daemon.logged("configuration refused")[-1]["problems"]
    daemon.until(
        lambda: "configuration refused" in daemon.manager.status, "systemd is told"
    )


def still_followed(daemon: Daemon, uid: str) -> None:
    """Wait until an event is booked, while the configuration is broken."""
    daemon.until(
        lambda: f"Meeting {uid}" in topics(daemon.office), "the last good one is used"
    )
    assert "configuration refused" in daemon.manager.status


@pytest.mark.slow
@pytest.mark.first(1)
def test_fifty_edits_of_which_half_are_broken(daemon: Daemon) -> None:
    """The daemon never stops, says each time what became of the edit, and follows the last good one."""
    office = daemon.office
    (office.folder / "wrong-office.ics").write_bytes(b"")
    for name in "01":
        (office.folder / f"wrong-office-{name}.ics").write_bytes(b"")
        (office.folder / f"office-{name}.ics").write_bytes(
            calendar(*map(meeting, "abc"))
        )
    good = "office.ics"
    for number in range(EDITS // 2):
        former, good = good, f"office-{number % 2}.ics"
        office.change((f'path = "{former}"', f'path = "{good}"'))
        reloaded(daemon)
        daemon.until(
            lambda: "refused" not in daemon.manager.status, "a good one is followed"
        )
        with BREAKS[number % len(BREAKS)](office):
            refused(daemon)
            if number % 5 == 0:
                new = f"new-{number}"
                (office.folder / good).write_bytes(
                    calendar(*map(meeting, [*"abc", new]))
                )
                still_followed(daemon, new)
    assert daemon.process.poll() is None
    assert not daemon.logged("cancelled", uid="a")
    assert {"Meeting a", "Meeting b", "Meeting c"} <= topics(office)


def test_files_of_the_configuration_are_followed(daemon: Daemon) -> None:
    """An edit, a part in conf.d and a changed people list take effect without a signal."""
    office = daemon.office
    (office.folder / "conf.d").mkdir()
    (office.folder / "more.ics").write_bytes(calendar(meeting("more")))
    (office.folder / "conf.d" / "more.toml").write_text(files("more", "more.ics"))
    daemon.until(lambda: "Meeting more" in topics(office), "the part is followed")
    guest = "ATTENDEE:mailto:carol@example.com"
    office.write(*map(meeting, "ab"), event("c", ahead(2), 60, guest, room=None))
    daemon.until(lambda: participants(office, "c") == ["u3"], "the guest is known")
    (office.folder / "people.csv").write_text("address,user_id\ncarol@example.com,u4\n")
    daemon.until(
        lambda: participants(office, "c") == ["u4"], "the guest is another user now"
    )
    (office.folder / "conf.d" / "more.toml").write_text("[[sources]]\n")
    daemon.until(
        lambda: daemon.logged("configuration refused"), "a broken part is refused"
    )


def participants(office: Office, uid: str) -> list[str]:
    """Who takes part in a meeting."""
    (found,) = (r for r in office.reservations() if r["topic"] == f"Meeting {uid}")
    return [user for user in found["participants"] if user != found["creator"]]


def test_a_source_that_is_taken_out_cancels_nothing(daemon: Daemon) -> None:
    """Its bookings are held until a person approves, and are as before when it is back."""
    office = daemon.office
    former = (office.folder / "syncd.toml").read_text()
    (office.folder / "other.ics").write_bytes(calendar())
    follow(office, files("other", "other.ics"))
    daemon.until(
        lambda: "3 held" in daemon.manager.status, "the cancellations are held"
    )
    assert len(topics(office)) == 3
    (office.folder / "syncd.toml").write_text(former)
    daemon.until(
        lambda: daemon.logged("cycle", held=0, unchanged=3), "the source is back"
    )
    assert len(topics(office)) == 3
    assert not daemon.logged("cancelled")


@pytest.mark.slow
def test_a_file_that_was_missing_mends_a_configuration(daemon: Daemon) -> None:
    """A part that names a file before it is there is refused, and taken over when the file comes."""
    office = daemon.office
    office.change(('file = "people.csv"', 'file = "people-new.csv"'))
    daemon.until(lambda: daemon.logged("configuration refused"), "refused")
    (office.folder / "people-new.csv").write_text("address,user_id\n")
    daemon.until(lambda: daemon.logged("configuration taken over"), "taken over")
    daemon.until(
        lambda: "refused" not in daemon.manager.status,
        "and nothing is left to complain of",
    )
    assert len(daemon.logged("configuration refused")) == 1


def test_the_state_stays_where_it_is(daemon: Daemon) -> None:
    """Another state.url is refused with what to do, and everything else goes on."""
    office = daemon.office
    office.change(
        ("[[sources]]", '[state]\nurl = "sqlite:///elsewhere.db"\n[[sources]]')
    )
    daemon.until(lambda: daemon.logged("configuration refused"), "refused")
    assert "restart" in str(daemon.logged("configuration refused")[0]["problems"])
    office.write(*map(meeting, "abcd"))
    daemon.until(lambda: "Meeting d" in topics(office), "the old state is used")
    assert not (office.folder / "elsewhere.db").exists()


def test_a_broken_edit_and_a_changed_calendar_at_once(daemon: Daemon) -> None:
    """What changes together with a configuration that is refused is read all the same."""
    office = daemon.office
    office.write(*map(meeting, "abcd"))
    office.change(('mode = "full"', 'mode = "fully"'))
    daemon.until(lambda: "Meeting d" in topics(office), "the calendar is read")
    daemon.until(lambda: daemon.logged("configuration refused"), "the edit is refused")


def test_a_rotated_client_secret_needs_no_restart(tmp_path: Path) -> None:
    """After the secret was changed in the console and in its file, bookings go on."""
    settings = SandboxSettings(
        db=tmp_path / "api.db", client_id="project", client_secret="former-secret"
    )
    with ExitStack() as stack:
        with Sandbox(settings).running() as api:
            office = Office(tmp_path, api.url, "project", "former-secret")
            office.write(meeting("a"))
            daemon = stack.enter_context(running(office))
            daemon.until(
                lambda: topics(office) == {"Meeting a"}, "booked with the first secret"
            )
        port = int(api.url.rpartition(":")[2])
        stack.enter_context(
            Sandbox(
                replace(settings, port=port, client_secret="latter-secret")
            ).running()
        )
        office.write(meeting("a"), meeting("b"))
        daemon.until(
            lambda: daemon.logged("cycle", outcome="failed"),
            "the first secret is refused",
        )
        (office.folder / "tuya-secret").write_text("latter-secret")
        daemon.until(
            lambda: topics(office) == {"Meeting a", "Meeting b"},
            "booked with the second secret",
        )


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "table",
    [
        feed("odd", "http://192.168.1.05/cal.ics"),
        feed("odd", "https://xn--a/cal.ics"),
        feed("odd", "https://ｅｘａｍｐｌｅ.com/cal.ics"),
        files("odd", "~/cal.ics"),
    ],
)
def test_what_nobody_can_ask_for_is_refused(daemon: Daemon, table: str) -> None:
    """A source that `check` refuses is refused by the running daemon as well, which goes on."""
    office = daemon.office
    with (office.folder / "syncd.toml").open("a") as edited:
        edited.write(table)
    daemon.until(lambda: daemon.logged("configuration refused"), "refused")
    assert "sources.odd." in str(daemon.logged("configuration refused")[0]["problems"])
    assert office.run("check").code == 78
    office.write(*map(meeting, "abcd"))
    still_followed(daemon, "d")


class Unlucky(WorkingDaemon):
    """A daemon with a defect, which shows when it takes over a configuration after its first one."""

    def _assembled(self, config: Config) -> Service | None:
        if config.log.level == "error":
            raise ZeroDivisionError
        return super()._assembled(config)

    def _follow(self, config: Config, *, anew: bool = True) -> None:
        super()._follow(config, anew=anew)
        if config.log.level == "warning":
            raise RuntimeError


@pytest.mark.parametrize(
    ("level", "defect"), [("error", "ZeroDivisionError"), ("warning", "RuntimeError")]
)
def test_a_defect_leaves_the_last_good_configuration_in_force(
    office: Office, level: str, defect: str
) -> None:
    """An error that nobody foresaw, before or after the swap, is said, and the next edit is taken over."""
    path = office.folder / "syncd.toml"
    office.write(meeting("a"))
    manager = Manager(office.folder / "notify")
    try:
        with Ledger.open(
            f"sqlite:///{office.folder / 'state.db'}", owner=True
        ) as ledger:
            daemon = Unlucky(
                path, load(path), ledger, Notifier(str(office.folder / "notify"), None)
            )
            with daemon.running():
                work = daemon._work
                assert work is not None
                good, parts = daemon._config, work.parts
                text = path.read_text()
                path.write_text(
                    text.replace("[calendar]", f'[log]\nlevel = "{level}"\n[calendar]')
                )
                daemon._reload()
                assert daemon._config is good
                assert work.parts is parts
                assert f"a defect of syncd, {defect}" in daemon.status
                assert "the last good one is used" in daemon.status
                until(lambda: defect in manager.status, "systemd is told")
                path.write_text(
                    text.replace("[calendar]", '[log]\nlevel = "debug"\n[calendar]')
                )
                daemon._reload()
                assert daemon._config.log.level == "debug"
                assert daemon.status == "configuration taken over"
    finally:
        manager.close()
