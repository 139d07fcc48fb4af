"""A Debian 12 with its own systemd, booted from a directory in a name space of this machine.

The root is made once by mmdebstrap from Debian's mirror and kept as an archive in the user's cache directory,
as are the packages that a machine without a way to the package index installs from.
Network and clock are those of the host, so that a sandbox on its loopback can be reached.
Must not: touch the host outside of its own directories and one control group, which is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import HANG_S

CHECKOUT = Path(__file__).parents[2]
_NEEDED = ("mmdebstrap", "nsenter", "systemd-nspawn", "tar", "unshare")
_PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
# The machine is started in a mount name space, where control groups are seen as systemd of today wants them,
# and in a control group of its own; nspawn is what systemd's own documentation tests services with.
_BOOT = """
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/$2
mkdir "$group" && echo $$ > "$group/cgroup.procs" || exit 1
systemd-nspawn --quiet --register=no --keep-unit --notify-ready=yes --boot --console=pipe --directory="$1" &
trap 'kill -TERM $!' TERM
while ! wait $!; do kill -0 $! 2>/dev/null || break; done
echo $$ > /sys/fs/cgroup/cgroup.procs
find "$group" -depth -type d -exec rmdir {} +
"""


class Unbootable(Exception):
    """Why there can be no such machine here, as a sentence."""


class Machine:
    """A booted machine; `root` is its file system as the host sees it."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def run(
        self, *command: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root; fails with what it said unless it succeeds or `check` is False."""
        done = subprocess.run(
            [
                "nsenter",
                "--target",
                str(self._leader),
                "--all",
                "env",
                "-i",
                "--chdir=/src",
                *_ENVIRONMENT,
                *command,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        if check and done.returncode:
            said = "" if command[0] == "journalctl" else self.journal()
            pytest.fail(
                f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{said}"
            )
        return done

    def property(self, name: str) -> str:
        """What systemd knows of the service."""
        return self.run(
            "systemctl", "show", "syncd", "--value", "--property", name
        ).stdout.strip()

    def journal(self) -> str:
        """All that the service, and systemd about it, said so far."""
        return self.run(
            "journalctl", "--no-pager", "--unit", "syncd", "--output", "cat"
        ).stdout

    def until(
        self, true: Callable[[], bool], what: str, seconds: float = HANG_S
    ) -> None:
        """Wait until something is true; fails with the journal if it does not become so."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s: {what}\n{self.journal()}")
            time.sleep(0.2)


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A new machine below `folder`, with the checkout in /src; raises `Unbootable`."""
    archive, packages = _prepared()
    root = folder / "machine"
    root.mkdir()
    _done("tar", "--extract", "--file", str(archive), "--directory", str(root))
    shutil.copytree(packages, root / "packages")
    _copy_checkout(root / "src")
    log = folder / "boot.log"
    with _listening(folder / "notify") as listener, log.open("wb") as output:
        boot = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                _BOOT,
                "boot",
                str(root),
                f"syncd-test-{os.getpid()}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
        )
        try:
            leader = _leader(listener, log)
            # nspawn would wait for ever for a listener that no longer listens, and not for one that is gone.
            listener.close()
            yield Machine(root, leader)
        finally:
            boot.terminate()
            try:
                boot.wait(HANG_S)
            except subprocess.TimeoutExpired:
                boot.terminate()  # the second time nspawn asks no longer
                boot.wait(HANG_S)


_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
    "PIP_NO_INDEX=1",
    "PIP_FIND_LINKS=/packages",
)


def _listening(file: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(file))
    listener.settimeout(HANG_S)
    return listener


def _leader(listener: socket.socket, log: Path) -> int:
    """The process number of its systemd, once it is up (systemd-nspawn(1), --notify-ready=)."""
    told: dict[str, str] = {}
    while told.get("READY") != "1":
        try:
            lines = listener.recv(4096).decode().splitlines()
        except TimeoutError:
            raise Unbootable(
                f"systemd did not come up in the name space:\n{log.read_text()}"
            ) from None
        told.update(
            (key, value) for key, _, value in (line.partition("=") for line in lines)
        )
    return int(told["X_NSPAWN_LEADER_PID"])


def _prepared() -> tuple[Path, Path]:
    """The archive of the root and the directory of packages; made at the first time."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        raise Unbootable(
            f"needs {', '.join(missing)}: apt-get install mmdebstrap systemd-container util-linux"
        )
    if os.geteuid() != 0:
        raise Unbootable("needs root, to boot a machine in a name space")
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "syncd-tests"
    )
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / "debian-12.tar"
    if not archive.exists():
        new = archive.with_suffix(".new.tar")
        _done(
            "mmdebstrap",
            "--variant=minbase",
            f"--include={_PACKAGES}",
            "bookworm",
            str(new),
        )
        new.rename(archive)
    packages = cache / "packages"
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    choice = ("--python-version", "3.11", "--only-binary", ":all:")
    _done(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        *choice,
        "--dest",
        str(packages),
        *wanted,
    )
    return archive, packages


def _copy_checkout(target: Path) -> None:
    for name in ("syncd", "config", "systemd"):
        shutil.copytree(
            CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, target)


def _done(*command: str) -> None:
    """Prepare something; raises `Unbootable` with the last line that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unbootable(
            f"{command[0]} failed: {(done.stderr.strip() or 'without a word').splitlines()[-1]}"
        )
