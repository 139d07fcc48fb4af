"""Kills at any moment: no notice is lost, and none is made twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import HANG_S, Office, ahead, event
from tests.daemon.running import running
from tests.notices.receiver import Receiver

STEP = 41
"""Each so many lines of a look is a point of death; it is no factor of anything that repeats."""


def refuse_one(office: Office) -> None:
    """Two meetings that want one room at one time."""
    office.write(event("first", ahead(2), 600), event("second", ahead(2, 10), 20))


def notices_to(receiver: Receiver) -> tuple[str, str]:
    """The change of a configuration that names a receiver."""
    table = f'webhook = {{ url = "{receiver.url()}", allow_hosts = ["127.0.0.1"] }}'
    return "[calendar]", f'[notices]\n{table}\ncommand = ["true"]\n[calendar]'


@pytest.mark.slow
def test_a_kill_at_any_line_of_a_look_loses_nothing_and_doubles_nothing(
    office: Office,
) -> None:
    """Wherever a look dies, after the next one each channel has one notice, the same in both."""
    refuse_one(office)
    assert office.run("once").code == 1
    office.change(notices_to(Receiver(port=9)))
    config = office.folder / "syncd.toml"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.notices.killed", str(config), str(STEP)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    ends = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(ends) > 10, "a look has many lines"
    assert [end["killed"] for end in ends] == [True] * (len(ends) - 1) + [False]
    for end in ends:
        assert len(end["outbox"]["webhook"]) == 1, end
        assert end["outbox"]["webhook"] == end["outbox"]["command"], end
        assert end["known"] == [True], end


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_delivers_delivers_the_same(
    office: Office,
) -> None:
    """The receiver sees the notice again under the same identifier, and no other one; then never again."""
    refuse_one(office)
    receiver = Receiver(holding=threading.Event())
    with receiver.running():
        office.change(notices_to(receiver))
        with running(office) as daemon:
            daemon.until(lambda: receiver.posts, "a notice is on its way")
            daemon.send(signal.SIGKILL)
            daemon.process.wait(HANG_S)
        assert receiver.holding is not None
        receiver.holding.set()
        with running(office) as daemon:
            daemon.until(lambda: daemon.logged("notice delivered"), "it is delivered")
            daemon.stop()
        with running(office) as daemon:
            daemon.settle()
            daemon.settle()
            daemon.stop()
    names = {post.headers["webhook-id"] for post in receiver.posts}
    assert len(names) == 1
    assert len(receiver.posts) == 2
