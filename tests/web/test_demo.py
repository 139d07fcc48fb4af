"""The demo that serves the page of a staged day."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HANG_S
from tests.web.serving import Client


@pytest.mark.slow
def test_the_demo_serves_a_staged_day_until_it_is_ended(tmp_path: Path) -> None:
    """One of each state stands on the page of the day; Ctrl-C ends all of it, and nothing stays behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "demo", "--page"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": "", "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        address, day = re.search(
            r"The staged day: http://([\d.:]+)(/day/\S+)", said
        ).groups()  # type: ignore[union-attr]
        client = Client(address)
        while not client.answers():
            assert process.poll() is None
        told = client.document(day)
        states = {
            booking["state"] for booking in (*told["bookings"], *told["not_booked"])
        }
        assert {"booked", "approval", "waiting", "refused", "sending"} <= states
        status = client.document("/")
        assert status["held"]["cancellations"] == 4
        kinds = {concern["kind"] for concern in status["concerns"]}
        assert {"in_doubt", "held", "refused", "quarantined"} <= kinds
        assert client.ask("/readyz").text == "ready\n"
        assert list(tmp_path.iterdir())
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
