"""That the ledger cannot be used is told without it: at once, seldom again, and that it is over."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from syncd.config import Config, load
from syncd.ledger import Ledger
from syncd.notices.last_word import LastWord
from tests.notices.building import NOON
from tests.notices.receiver import Receiver
from tests.notices.test_notice import CONFIGURATION

HOUR = timedelta(hours=1)


class Site:
    """A receiver, the configuration that names it, and a clock that the test sets."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.receiver = receiver
        self.folder = folder
        self.now = NOON
        path = folder / "syncd.toml"
        url = f'notices.webhook = {{ url = "{receiver.url()}", allow_hosts = ["127.0.0.1"] }}\n'
        path.write_text(CONFIGURATION + url)
        self.config: Config = load(path)

    def word(self) -> LastWord:
        """Who tells, as after a start."""
        return LastWord(self.config, lambda: self.now)

    @property
    def file(self) -> Path:
        """What is beside the ledger."""
        return self.folder / "state.db.notice"

    def pending(self, ledger: Ledger) -> list[str]:
        """The bodies of what is in the outbox."""
        return [one.notice.body for one in ledger.notices.pending("webhook")]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with a receiver that is there."""
    monkeypatch.setenv("TUYA_SECRET", "secret")
    with Receiver().running() as receiver:
        yield Site(tmp_path, receiver)


def test_it_is_told_every_six_hours(site: Site) -> None:
    """However often the service is started in between, with one beginning for all."""
    for _ in range(48):
        site.word().say("The disk of the ledger is full.")
        site.now += HOUR / 2
    told = site.receiver.told()
    assert [one["type"] for one in told] == ["syncd.ledger.unavailable"] * 4
    assert {one["data"]["since"] for one in told} == {"2026-12-01T12:00:00Z"}
    assert told[0]["data"]["detail"] == "The disk of the ledger is full."


def test_what_reaches_nobody_is_tried_by_the_next_start(site: Site) -> None:
    """A receiver that is away when it happens is told as soon as there is another try."""
    site.receiver.answers = [(500, {}), (204, {})]
    site.word().say("It is full.")
    assert not site.file.exists()
    site.word().say("It is full.")
    site.word().say("It is full.")
    assert len(site.receiver.posts) == 2


def test_the_end_is_told_once_through_the_outbox(site: Site) -> None:
    """With how long it lasted; a ledger that comes and goes is told four times a day at most."""
    url = site.config.state.url
    with Ledger.open(url, owner=True) as ledger:
        assert not site.word().settle(ledger)
        for _ in range(6):
            site.word().say("It is full.")
            site.now += HOUR
            site.word().settle(ledger)
            assert not site.word().settle(ledger)
        over = site.pending(ledger)
    assert len(site.receiver.posts) == len(over) == 4
    assert all('"duration_seconds": 3600' in body for body in over)


def test_its_file_has_room_before_it_is_needed(site: Site) -> None:
    """It is written over in place, so that a full disk can take it; nobody else can read it."""
    site.word().prepare()
    before = site.file.stat()
    assert stat.S_IMODE(before.st_mode) == 0o600
    site.word().say("It is full.")
    after = site.file.stat()
    assert (after.st_size, after.st_ino) == (before.st_size, before.st_ino)
    site.word().prepare()
    site.word().say("It is full.")
    assert len(site.receiver.posts) == 1


def test_a_file_that_makes_no_sense_is_none(site: Site) -> None:
    """Then it is told as if for the first time."""
    site.file.write_bytes(b'{"since": 5}')
    site.word().say("It is full.")
    assert len(site.receiver.posts) == 1
