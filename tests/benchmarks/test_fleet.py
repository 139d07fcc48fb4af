"""The parts of the fleet's benchmark: what they measure is what they say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from tests.benchmarks import fleet, process_tree
from tests.benchmarks.bare_client import seconds_a_request
from tests.benchmarks.fleet import DIRECTORY, FEEDS, FILES, Effort, Figures
from tests.benchmarks.fleet_parts import Daemon, FeedServer, feed_server
from tests.benchmarks.fleet_results import document, exponent, growth, lines, markdown
from tests.benchmarks.plot import svg

NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

_USES_CPU = """
import time
while time.process_time() < 0.2: pass
"""

_A_TREE = f"""
import subprocess, sys
command = [sys.executable, "-c", {_USES_CPU!r}]
subprocess.run(command)  # one that has ended
child = [sys.executable, "-c", {_USES_CPU!r} + '''
print("ready", flush=True)
held = bytes(50_000_000).replace(bytes(1), bytes([1]))
print("held", flush=True)
input()
''']
subprocess.run(child)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two feeds."""
    for name in "ab":
        (tmp_path / f"{name}.ics").write_text(f"calendar {name}")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[FeedServer]:
    """Their server, in a process of its own."""
    with feed_server(folder, 0.0) as running:
        yield running


@pytest.fixture
def client(server: FeedServer) -> Iterator[httpx.Client]:
    """A client of the server."""
    with httpx.Client(base_url=server.url) as asking:
        yield asking


def test_a_feed_is_sent_once_and_then_not_modified(
    server: FeedServer, client: httpx.Client
) -> None:
    """With the ETag of the first answer there is a 304 without a body, and the server counts both."""
    first = client.get("/a.ics")
    again = client.get("/a.ics", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, first.text) == (200, "calendar a")
    assert (again.status_code, again.content) == (304, b"")
    assert server.not_modified == 1
    assert len(server.whole()) == len(server.whole("a.ics")) == 1
    assert server.whole("b.ics") == []


def test_a_feed_that_changed_is_sent_anew(folder: Path, client: httpx.Client) -> None:
    """A calendar in whose place another came has another ETag, although it is as large."""
    former = client.get("/a.ics").headers["ETag"]
    (folder / "new").write_text("calendar c")
    (folder / "new").rename(folder / "a.ics")
    answer = client.get("/a.ics", headers={"If-None-Match": former})
    assert (answer.status_code, answer.text) == (200, "calendar c")


def test_a_connection_is_kept(server: FeedServer, client: httpx.Client) -> None:
    """Requests of one client, for whatever there is or is not, come over one connection."""
    before = client.get("/-/log").json()["connections"]
    codes = [client.get(path).status_code for path in ("/a.ics", "/c.ics", "/b.ics")]
    assert codes == [200, 404, 200]
    assert client.get("/-/log").json()["connections"] == before


def test_only_whole_calendars_take_a_while(folder: Path) -> None:
    """A 304 comes at once where a calendar would take minutes; that, too, comes at once when it is told to."""
    with (
        feed_server(folder, 0.0) as quick,
        feed_server(folder, 6000.0) as slow,
    ):
        etag = httpx.get(f"{quick.url}/a.ics").headers["ETag"]
        url = f"{slow.url}/a.ics"
        assert httpx.get(url, headers={"If-None-Match": etag}).status_code == 304
        slow.answer_at_once()
        assert httpx.get(url).status_code == 200


def test_the_bare_client_asks_as_often_as_it_is_told(server: FeedServer) -> None:
    """Every request that is measured is a conditional one that finds nothing."""
    urls = [f"{server.url}/{name}.ics" for name in "ab"]
    assert seconds_a_request(25, urls) > 0
    assert server.not_modified == 25
    assert len(server.whole()) == 2


@contextmanager
def _tree() -> Iterator[subprocess.Popen[str]]:
    """A process with a child that ended and one that lives; each used a fifth of a second of CPU."""
    with subprocess.Popen(
        [sys.executable, "-c", _A_TREE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.communicate("\n")


def test_the_cpu_of_a_tree_has_that_of_children_alive_and_gone() -> None:
    """A child that was waited for counts, and so does one that lives."""
    with _tree() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # Ticks of the kernel are a hundredth of a second.
        assert process_tree.cpu_s(process.pid) > 0.37


def test_the_memory_of_a_tree_has_that_of_its_children() -> None:
    """What a child holds is in the sum, and in the peak after it is gone."""
    with _tree() as process, process_tree.MemoryPeak(process.pid) as peak:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == "held\n"
        held = process_tree.memory(process.pid)
        assert min(held) > 50_000_000
        assert held.pss <= held.rss
        while min(peak.memory) < 50_000_000:
            pass  # until a sample was taken
    assert peak.memory.rss >= peak.memory.pss > 50_000_000
    assert process_tree.memory(process.pid) == (0, 0)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_a_slope_is_the_power_of_the_size(power: int) -> None:
    """What stays has slope 0, what is in proportion 1, what is quadratic 2."""
    found = exponent({size: 3.0 * size**power for size in (20, 50, 1000)})
    assert found == pytest.approx(power)


def test_a_slope_needs_two_sizes() -> None:
    """Nothing is said of a single size, nor of figures that are zero."""
    assert exponent({20: 1.0}) is None
    assert exponent({20: 0.0, 50: 1.0}) is None
    assert growth({20: 1.0}) is None


def test_growth_is_what_each_one_more_takes() -> None:
    """What every size has is not in it."""
    assert growth({20: 120.0, 50: 150.0, 100: 200.0}) == pytest.approx(1.0)


def test_figures_follow_from_what_was_measured() -> None:
    """A meeting, an idle core, a look against the bare one, and the median and the worst edit."""
    figures = Figures(
        feeds=600,
        kind=FEEDS,
        meetings=1000,
        booking_cpu_s=8.0,
        idle_share=0.01,
        alone_looks=100,
        alone_s=0.005,
        alone_wall_s=20.0,
        together_s=0.002,
        bare_s=0.001,
        edits_s=[0.3, 0.1, 0.9],
    )
    assert figures.meeting_s == 0.008
    assert figures.alone_net_s == pytest.approx(0.003)
    assert figures.quiet_share == pytest.approx(0.01 + 2 * 0.003)
    assert figures.edit_s == (0.3, 0.9)
    told = document([figures])["sizes"][0]
    assert (told["alone_x_bare"], told["together_x_bare"]) == (5.0, 2.0)
    rows = markdown([figures]).splitlines()
    assert [row.count("|") for row in rows[:3]] == [17, 17, 17]
    assert "8.0 ms" in rows[2]


def test_slopes_are_told_of_what_was_measured() -> None:
    """A meeting's CPU has its slope in the text; looks that took no tick of the kernel have none, and no error."""
    found = [
        Figures(size, FILES, meetings=10, booking_cpu_s=1.0, alone_looks=9)
        for size in (20, 50)
    ]
    told = markdown(found)
    assert "to the power 0.00; 50 take 1.00 x what 20 take" in told
    assert "CPU of a look" not in told
    with_looks = [replace(one, alone_s=0.1, together_s=0.1) for one in found]
    assert "CPU of a look: to the power 0.00 alone" in markdown(with_looks)


def test_the_picture_has_a_line_for_each_figure() -> None:
    """What was not measured, or took no tick, has none; the picture is well-formed and names its axes."""
    found = [
        Figures(size, FEEDS, meetings=10, booking_cpu_s=1.0, alone_s=0.01, bare_s=0.001)
        for size in (20, 50)
    ]
    shown = lines(found)
    assert len(shown) == 3
    assert all(set(line.seconds) == {20, 50} for line in shown)
    picture = svg("What many feeds cost", shown, across="feeds & files", up="seconds")
    texts = [element.text for element in ElementTree.fromstring(picture).iter()]
    assert {"feeds & files", "seconds", "CPU a look, bare httpx"} <= set(texts)


def test_what_is_left_is_that_of_the_last_cycle(tmp_path: Path) -> None:
    """Earlier cycles, and other lines that tell what is left, do not count."""
    log = tmp_path / "syncd.log"
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        service = Daemon(process, tmp_path / "syncd.toml", log)  # type: ignore[arg-type]  # its pipes are not read
    log.write_text('{"event": "ready"}\n')
    assert service.left is None
    log.write_text(
        '{"left": 7, "event": "cycle"}\n{"left": 2, "event": "cycle"}\n{"left": 9, "event": "else"}\n'
    )
    assert service.left == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FEEDS, FILES, DIRECTORY])
def test_a_small_fleet_is_measured(tmp_path: Path, kind: str) -> None:
    """Each phase comes to its end with two calendars, and every figure is there."""
    effort = Effort(events=300, alone_s=3.0, idle_s=1.0, looks=4, edits=2)
    said: list[str] = []
    (figures,) = fleet.measure(tmp_path / "f", [2], kind, NOW, said.append, effort)
    assert figures.meetings > 0
    assert figures.booking_cpu_s > 0
    assert figures.later_peak.rss >= figures.peak.rss >= figures.rest.rss > 20_000_000
    assert figures.alone_looks > 0
    assert figures.together_looks == 4
    assert figures.state_bytes > 0
    assert (figures.bare_s is not None) == (kind == FEEDS)
    assert bool(figures.rest_edits_s) == (kind != FEEDS)
    assert f"{figures.meetings}" in markdown([figures])
