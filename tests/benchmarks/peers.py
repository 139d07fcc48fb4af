"""What a person would otherwise run, measured on the same file in the same run.

Reading the file and hashing it is what no program can be much quicker than; the straightforward pipeline
and vdirsyncer are what there is. Both are installed into an environment of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.benchmarks.cases import Bench
from tests.benchmarks.measuring import Figures, middle, run_measured
from tests.benchmarks.office import place

_PACKAGES = (
    "icalendar>=7,<8",
    "recurring-ical-events>=3.8,<4",
    "vdirsyncer>=0.21,<0.22",
)
_ONCE_FROM = 50_000  # events from which on a slow peer is run a single time

_HASH = """
import hashlib, sys, time
began, used = time.perf_counter(), time.process_time()
if sys.argv[2] == "whole":
    with open(sys.argv[1], "rb") as file:
        hashlib.sha256(file.read()).hexdigest()
else:
    with open(sys.argv[1], "rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
print(time.perf_counter() - began, time.process_time() - used)
"""

_VDIRSYNCER = """[general]
status_path = "{folder}/status/"
[pair calendar]
a = "web"
b = "disk"
collections = null
conflict_resolution = "a wins"
[storage web]
type = "http"
url = "{url}"
[storage disk]
type = "filesystem"
path = "{folder}/items/"
fileext = ".ics"
"""


def hashing(file: Path, rounds: int, way: str) -> Figures:
    """What sha256 takes in a fresh process, the file being in the cache of the system.

    `way` is `whole` (read as one piece, then hashed) or `blocks`.
    """

    def once() -> Figures:
        whole, out = run_measured([sys.executable, "-c", _HASH, file, way])
        wall_s, cpu_s = map(float, out.split())
        return replace(whole, wall_s=wall_s, cpu_s=cpu_s)

    return middle([once() for _ in range(rounds)])


@dataclass(frozen=True)
class Peers:
    """The environment of the peers, and what is in it, by name."""

    python: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def installed(cls, folder: Path) -> Peers:
        """Install them with pip, unless that was done before."""
        python = folder / "bin" / "python"
        if not (folder / "bin" / "vdirsyncer").exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", *_PACKAGES], check=True
            )
        listed = subprocess.check_output(
            [python, "-m", "pip", "list", "--format", "json"]
        )
        versions = {one["name"]: one["version"] for one in json.loads(listed)}
        names = [package.partition(">")[0] for package in _PACKAGES]
        return cls(python, {name: versions[name] for name in names})

    def straightforward(self, bench: Bench, rounds: int) -> tuple[Figures, int]:
        """icalendar and recurring-ical-events over everything: what it takes, and how many occurrences."""
        script = Path(__file__).with_name("straightforward.py")
        taken: list[Figures] = []
        occurrences = 0
        for _ in range(1 if bench.archive.events >= _ONCE_FROM else rounds):
            whole, out = run_measured(
                [self.python, script, bench.base, bench.archive.now.isoformat()]
            )
            said = json.loads(out)
            occurrences = said["occurrences"]
            taken.append(replace(whole, wall_s=said["wall_s"], cpu_s=said["cpu_s"]))
        return middle(taken), occurrences

    def vdirsyncer(self, bench: Bench, rounds: int) -> dict[str, Figures]:
        """http to files: cold, with no change, with one event changed; without the start of the program."""
        program = self.python.with_name("vdirsyncer")
        folder = bench.folder / "vdirsyncer"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "web").mkdir(parents=True)
        (folder / "items").mkdir()
        served = folder / "web" / "office.ics"
        start = middle([run_measured([program, "--version"])[0] for _ in range(5)])
        often = 1 if bench.archive.events >= _ONCE_FROM else rounds

        def synchronise() -> Figures:
            figures, _ = run_measured([program, "-c", folder / "config", "sync"])
            return replace(
                figures,
                wall_s=figures.wall_s - start.wall_s,
                cpu_s=figures.cpu_s - start.cpu_s,
            )

        def changed() -> Iterator[Figures]:
            for number in range(often):
                place(
                    bench.version("edited") if number % 2 == 0 else bench.base, served
                )
                yield synchronise()

        place(bench.base, served)
        with _serving(folder / "web") as url:
            (folder / "config").write_text(
                _VDIRSYNCER.format(folder=folder, url=f"{url}/office.ics")
            )
            run_measured([program, "-c", folder / "config", "discover"])
            return {
                "cold": synchronise(),
                "unchanged": middle([synchronise() for _ in range(often)]),
                "edited": middle(list(changed())),
            }


class _Quiet(SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; where."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
