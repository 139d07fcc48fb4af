"""The watcher on real files, with real inotify: what rings, how often, and what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncd.daemon.path_walk import PathWalk
from syncd.daemon.watcher import Watcher
from syncd.sources.files import FileSource
from tests.conftest import HANG_S

QUIET_S = 0.3  # after which a change is finished
GONE_S = 1.0  # the same for a file that is gone
FOREVER_S = 5.0  # after which a change rings that never ends
NEVER_S = 3600.0


class Bell:
    """Collects what rings."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, name: str) -> None:
        with self._changed:
            self.rung.append(name)
            self._changed.notify_all()

    def rings(self, times: int = 1, within_s: float = HANG_S) -> bool:
        """Whether it has rung so often, or does in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.rung) >= times, within_s)

    def rings_all(self, names: Iterable[str]) -> bool:
        """Whether each of these has rung, or does in time."""
        with self._changed:
            return self._changed.wait_for(lambda: set(names) <= set(self.rung), HANG_S)

    def forget(self) -> None:
        """Begin anew."""
        self.rung.clear()


@contextmanager
def watching(
    targets: Mapping[str, list[Path]],
    *,
    quiet_s: float = QUIET_S,
    rescan_s: float = NEVER_S,
) -> Iterator[tuple[Bell, Watcher]]:
    """A watcher of these targets, without rescans unless they are asked for: what rings came by events."""
    bell = Bell()
    with Watcher(bell, quiet_s=quiet_s, rescan_s=rescan_s) as watcher:
        watcher.watch(targets)
        time.sleep(0.2)  # until events are heard, so that these are tested
        bell.forget()
        yield bell, watcher


def replace_file(path: Path, text: str) -> None:
    """As careful programs write."""
    written = path.with_name(f".{path.name}.tmp")
    written.write_text(text)
    written.replace(path)


def write_twice(path: Path) -> None:
    """As gedit and some exports do."""
    path.write_text("first")
    time.sleep(0.05)
    path.write_text("second and longer")


def edit_with_vim(path: Path) -> None:
    """As vim does: a probe, a swap file, the old file becomes the backup, which goes at the end."""
    probe, swap, backup = (
        path.with_name("4913"),
        path.with_name(f".{path.name}.swp"),
        Path(f"{path}~"),
    )
    swap.write_text("swap")
    probe.touch()
    probe.unlink()
    path.rename(backup)
    path.write_text("from vim")
    backup.unlink()
    swap.unlink()


def delete_and_create(path: Path) -> None:
    """As programs write that know no better, with a pause in between."""
    path.unlink()
    time.sleep(0.4)
    path.write_text("new")


def replace_directory(path: Path) -> None:
    """As deployments do: a whole directory moved in the place of another."""
    new = path.parent.with_name("new")
    new.mkdir()
    (new / path.name).write_text("in the new directory")
    path.parent.rename(path.parent.with_name("old"))
    new.rename(path.parent)


def make_directory_again(path: Path) -> None:
    """Everything goes and comes again."""
    path.unlink()
    path.parent.rmdir()
    path.parent.mkdir()
    path.write_text("in the same place")


def copy_with_old_times(path: Path) -> None:
    """As `rsync -t` does when two versions have one size and one time."""
    former = path.stat()
    path.write_text("X" * former.st_size)
    os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns))


WAYS: dict[str, Callable[[Path], object]] = {
    "in place": lambda path: path.write_text("in place"),
    "renamed over": lambda path: replace_file(path, "renamed over"),
    "twice": write_twice,
    "with vim": edit_with_vim,
    "deleted and created": delete_and_create,
    "directory replaced": replace_directory,
    "directory made again": make_directory_again,
    "with its old time": copy_with_old_times,
}


def test_each_way_to_write_rings_once(tmp_path: Path) -> None:
    """However a program writes a file, it rings once: as a file, in a directory, by a glob.

    A program that is held up in the middle by a busy machine may be taken for one that has finished.
    """
    paths = {way: tmp_path / way / "calendars" / "office.ics" for way in WAYS}
    targets: dict[str, list[Path]] = {}
    for way, path in paths.items():
        path.parent.mkdir(parents=True)
        path.write_text("before")
        targets[f"{way}, file"] = [path]
        targets[f"{way}, directory"] = [path.parent]
        targets[f"{way}, glob"] = [tmp_path / way / "cal*" / "*.ics"]
    took: dict[str, float] = {}
    with watching(targets) as (bell, _):
        for way, change in WAYS.items():
            began = time.monotonic()
            change(paths[way])
            took[way] = time.monotonic() - began
        assert bell.rings_all(targets)
        time.sleep(0.5)
        for target in targets:
            way = target.partition(",")[0]
            finished_s = GONE_S if way.startswith(("deleted", "directory")) else QUIET_S
            assert bell.rung.count(target) <= 1 + took[way] // finished_s, target
        # Also after whatever the changes did to directories, events are heard.
        bell.forget()
        for path in paths.values():
            path.write_text("once more")
        assert bell.rings_all(targets)


def test_a_wake_comes_when_the_file_was_quiet(tmp_path: Path) -> None:
    """No wake comes before a file has been the same for a while."""
    path = tmp_path / "office.ics"
    with watching({"office": [path]}) as (bell, _):
        for size in range(1, 4):
            bell.forget()
            began = time.monotonic()
            replace_file(path, "x" * size)
            assert bell.rings()
            assert time.monotonic() - began >= QUIET_S


def test_what_appears_later_rings_even_with_its_parents(tmp_path: Path) -> None:
    """A path of which not even the parents existed rings when it appears, level by level."""
    path = tmp_path / "srv" / "share" / "calendars" / "office.ics"
    with watching({"office": [path]}) as (bell, _):
        path.parent.mkdir(parents=True)
        path.write_text("here")
        assert bell.rings()
        assert bell.rung == ["office"]


def test_nothing_falls_between_a_look_and_the_events(tmp_path: Path) -> None:
    """Files written at the very time when their new directories come under watch all ring."""
    paths = {str(number): tmp_path / str(number) / "office.ics" for number in range(80)}
    with watching({name: [path] for name, path in paths.items()}) as (bell, _):
        for path in paths.values():
            path.parent.mkdir()
        for path in paths.values():
            path.write_text("here")
            time.sleep(0.003)
        assert bell.rings_all(paths)


def test_a_switched_link_to_a_directory_rings(tmp_path: Path) -> None:
    """As Kubernetes mounts configuration: `..data` is switched, the file itself stays a link through it."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "syncd.toml").write_text(version)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "syncd.toml").symlink_to("..data/syncd.toml")
    with watching({"configuration": [tmp_path / "syncd.toml"]}) as (bell, _):
        (tmp_path / "..next").symlink_to("..two")
        (tmp_path / "..next").replace(tmp_path / "..data")
        assert bell.rings()
        bell.forget()
        # What is behind the link now is watched as well.
        (tmp_path / "..two" / "syncd.toml").write_text("changed behind the link")
        assert bell.rings()
        assert bell.rung == ["configuration"]


def test_the_target_of_a_link_in_another_tree_rings(tmp_path: Path) -> None:
    """A file that is itself a link, absolute and through another one, rings when its target is written."""
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "data" / "current").symlink_to("real")
    real = tmp_path / "data" / "real" / "office.ics"
    real.write_text("before")
    (tmp_path / "configured").mkdir()
    link = tmp_path / "configured" / "office.ics"
    link.symlink_to(tmp_path / "configured" / ".." / "data" / "current" / "office.ics")
    with watching({"office": [link]}) as (bell, _):
        replace_file(real, "after")
        assert bell.rings()


def test_a_burst_rings_few_times(tmp_path: Path) -> None:
    """Five hundred files written at once are one change, or hardly more."""
    with watching({"office": [tmp_path]}) as (bell, _):
        began = time.monotonic()
        for number in range(500):
            replace_file(tmp_path / f"{number}.ics", str(number))
        took_s = time.monotonic() - began
        assert bell.rings()
        time.sleep(1.0)
        assert len(bell.rung) <= 3 + took_s / QUIET_S


def test_other_files_ring_nobody(tmp_path: Path) -> None:
    """Editors' files, hidden files, other suffixes, and what is deeper are no matter of a directory."""
    (tmp_path / "office.ics").write_text("calendar")
    targets = {
        "office": [tmp_path],
        "file": [tmp_path / "office.ics"],
        "glob": [tmp_path / "*.ics"],
    }
    with watching(targets) as (bell, _):
        for name in (
            ".office.ics.swp",
            ".hidden.ics",
            "office.ics~",
            "4913",
            "#office.ics#",
            "notes.txt",
        ):
            (tmp_path / name).write_text("noise")
            replace_file(tmp_path / f"{name}.bak", "noise")
        (tmp_path / "deeper").mkdir()
        (tmp_path / "deeper" / "office.ics").write_text("noise")
        (tmp_path / "office.ics").read_text()
        time.sleep(0.8)
        assert bell.rung == []


def test_a_change_that_came_undone_rings_nobody(tmp_path: Path) -> None:
    """A calendar that is there for a moment only is not worth a cycle."""
    long_enough = 0  # a busy machine may make more than a moment of it
    with watching({"office": [tmp_path]}) as (bell, _):
        for _ in range(3):
            began = time.monotonic()
            (tmp_path / "moment.ics").write_text("here")
            time.sleep(0.15)
            (tmp_path / "moment.ics").unlink()
            long_enough += time.monotonic() - began >= QUIET_S
        time.sleep(1.3)
        assert len(bell.rung) <= 2 * long_enough  # that it came, and that it went


def test_a_file_that_is_gone_rings(tmp_path: Path) -> None:
    """A deleted file rings too, after the time that a replacement may take."""
    path = tmp_path / "office.ics"
    path.write_text("calendar")
    with watching({"office": [path]}) as (bell, _):
        path.unlink()
        assert bell.rings()
        assert bell.rung == ["office"]


def test_no_ring_before_the_writing_is_finished(tmp_path: Path) -> None:
    """A slow copy rings after its end and not on the way."""
    path = tmp_path / "office.ics"
    with watching({"office": [path]}, rescan_s=0.1) as (bell, _):
        pauses = 0  # that were so long, on a busy machine, that the copy may be taken for finished
        began = last = time.monotonic()
        with path.open("w") as file:
            for _ in range(15):
                file.write("x" * 100)
                file.flush()
                time.sleep(0.08)
                rung, now = len(bell.rung), time.monotonic()
                pauses += now - last >= QUIET_S
                last = now - 0.08  # the last write was no later
                assert rung <= pauses + (now - began) // FOREVER_S
        assert bell.rings()
        assert set(bell.rung) == {"office"}


def test_writing_without_end_delays_no_finished_file(tmp_path: Path) -> None:
    """Beside an endless file another one rings, and the endless one itself does while it is written."""
    ended = threading.Event()

    def write_for_ever() -> None:
        while not ended.wait(0.05):
            with (tmp_path / "endless.ics").open("a") as file:
                file.write("x")

    targets = {"both": [tmp_path], "endless": [tmp_path / "endless.ics"]}
    writer = threading.Thread(target=write_for_ever)
    with watching(targets) as (bell, _):
        writer.start()
        try:
            time.sleep(0.5)
            (tmp_path / "finished.ics").write_text("calendar")
            assert bell.rings_all(["both", "endless"])
        finally:
            ended.set()
            writer.join()


def test_rescans_see_what_no_event_tells(tmp_path: Path) -> None:
    """A changed mode, of which no event is asked for, rings by the look at all files."""
    path = tmp_path / "office.ics"
    path.write_text("calendar")
    with watching({"office": [path]}, quiet_s=0.1, rescan_s=0.2) as (bell, _):
        path.chmod(0o600 if path.stat().st_mode & 0o077 else 0o644)
        assert bell.rings()


def test_replaced_targets(tmp_path: Path) -> None:
    """After a replacement the new names ring and the old ones do not; a change on the way is not lost."""
    kept, gone, new = (tmp_path / f"{name}.ics" for name in ("kept", "gone", "new"))
    with watching({"kept": [kept], "gone": [gone]}) as (bell, watcher):
        kept.write_text("just before")
        watcher.watch({"kept": [kept], "new": [new]})
        # Without a pause: from the return on, each change counts.
        new.write_text("just after")
        gone.write_text("nobody asks")
        assert bell.rings_all(["kept", "new"])
        time.sleep(0.5)
        assert "gone" not in bell.rung


def test_one_file_of_two_targets_rings_both(tmp_path: Path) -> None:
    """Names that share a file, and several paths of one name, all ring."""
    secret, shared = tmp_path / "secret", tmp_path / "shared.ics"
    targets = {
        "configuration": [tmp_path / "syncd.toml", secret],
        "one": [shared],
        "other": [shared],
    }
    with watching(targets) as (bell, _):
        secret.write_text("new")
        shared.write_text("new")
        assert bell.rings_all(["configuration", "one", "other"])


def test_what_is_read_is_what_is_watched(tmp_path: Path) -> None:
    """For files, directories and globs of all kinds the watcher sees exactly what a source reads."""
    for name in (
        "a.ics",
        "B.ICS",
        ".c.ics",
        "d.txt",
        "sub/e.ics",
        "sub/deep/f.ics",
        ".dot/g.ics",
        "[x].ics",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "dir.ics").mkdir()
    (tmp_path / "link.ics").symlink_to("sub/e.ics")
    (tmp_path / "linked").symlink_to("sub")
    (tmp_path / "dangling.ics").symlink_to("nowhere")
    patterns = "a.ics . sub linked *.ics * ?.ics [ab].ics */*.ics **/*.ics s*/deep/f.ics */deep/* **/deep/*.ics"
    for pattern in [*patterns.split(), "lin*/e.ics", "sub/../*.ics"]:
        path = tmp_path / pattern
        walk = PathWalk()
        walk.follow(path)
        read = FileSource("office", path, 1000).fetch()
        seen = {os.path.basename(file) for file in walk.files}  # noqa: PTH119
        # A link that leads nowhere is a problem of the reading, and has nothing that could change.
        assert seen == {
            os.path.basename(document.name)  # noqa: PTH119
            for document in read.documents
        }, pattern


def test_replacements_leave_nothing_behind(tmp_path: Path) -> None:
    """A hundred replacements and the end leave no thread and no descriptor."""
    threads, descriptors = (
        set(threading.enumerate()),
        len(list(Path("/proc/self/fd").iterdir())),
    )
    folders = [tmp_path / str(number) for number in range(8)]
    for folder in folders:
        folder.mkdir()
    bell = Bell()
    with Watcher(bell, rescan_s=NEVER_S) as watcher:
        for number in range(100):
            watcher.watch(
                {f"{n}": [folders[(number + n) % 8] / "office.ics"] for n in range(4)}
            )
            time.sleep(0.005)
        (folders[99 % 8] / "office.ics").write_text("still heard")
        assert bell.rings()
        assert set(bell.rung) == {"0"}
    assert set(threading.enumerate()) == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_nothing_rings_after_the_end(tmp_path: Path) -> None:
    """A change that is not finished when the watcher is closed rings no more."""
    with watching({"office": [tmp_path]}, quiet_s=NEVER_S) as (bell, watcher):
        (tmp_path / "office.ics").write_text("new")
        time.sleep(0.2)
        watcher.close()
        time.sleep(0.5)
        assert bell.rung == []


CHILD = """
import json, resource, subprocess, sys, time
from pathlib import Path
from syncd.daemon.watcher import Watcher
folder = Path(sys.argv[1])
rung = []
def comes(condition):
    deadline = time.monotonic() + 300  # only against a hang
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
def rings(name):
    found = comes(lambda: name in rung)
    rung.clear()
    return found
"""


def in_child(script: str, folder: Path, *prefix: str) -> tuple[dict[str, bool], str]:
    """Run a script in a process of its own; its last line of output is a JSON object."""
    ran = subprocess.run(
        [*prefix, sys.executable, "-c", CHILD + textwrap.dedent(script), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * HANG_S,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, bool] = json.loads(ran.stdout.splitlines()[-1])
    return found, ran.stdout + ran.stderr


@pytest.fixture
def own_namespace() -> tuple[str, ...]:
    """A prefix of commands that gives a process limits and mounts of its own."""
    prefix = ("unshare", "--user", "--map-root-user", "--mount")
    try:
        allowed = (
            subprocess.run(
                [*prefix, "true"], check=False, capture_output=True
            ).returncode
            == 0
        )
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("namespaces are not allowed here")
    return prefix


def test_exhausted_watches_are_said_once_and_rescans_go_on(
    tmp_path: Path, own_namespace: tuple[str, ...]
) -> None:
    """At the kernel's limit of watches changes still ring, and one warning names the cure."""
    found, said = in_child(
        """
        Path("/proc/sys/user/max_inotify_watches").write_text("1")
        with Watcher(rung.append, quiet_s=0.1, rescan_s=0.3) as watcher:
            watcher.watch({str(n): [folder / str(n) / "office.ics"] for n in range(3)})
            time.sleep(0.5)
            (folder / "office.ics").write_text("x")
            (folder / "1").mkdir()
            (folder / "1" / "office.ics").write_text("x")
            found = {"rang": rings("1")}
            time.sleep(0.7)
            found["complains"] = "fs.inotify.max_user_watches" in watcher.complaint
        found["right"] = set(rung) <= {"1"}
        print(json.dumps(found))
        """,
        tmp_path,
        *own_namespace,
    )
    assert found == {"rang": True, "complains": True, "right": True}
    assert said.count("fs.inotify.max_user_watches") == 1


def test_exhausted_instances_are_said_once_and_rescans_go_on(
    tmp_path: Path, own_namespace: tuple[str, ...]
) -> None:
    """Where no inotify can be had at all changes still ring, and one warning names the cure."""
    found, said = in_child(
        """
        Path("/proc/sys/user/max_inotify_instances").write_text("0")
        with Watcher(rung.append, quiet_s=0.1, rescan_s=0.3) as watcher:
            watcher.watch({"office": [folder / "office.ics"]})
            time.sleep(0.5)
            (folder / "office.ics").write_text("x")
            found = {"rang": rings("office")}
            time.sleep(0.7)
        print(json.dumps(found))
        """,
        tmp_path,
        *own_namespace,
    )
    assert found == {"rang": True}
    assert said.count("fs.inotify.max_user_instances") == 1


FILL = """
import os, signal, sys
from pathlib import Path
os.kill(os.getppid(), signal.SIGSTOP)  # a stopped process reads no event
folder = Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    (folder / f"{number % 2}.txt").write_bytes(b"")
(folder / "office.ics").write_text("x")
os.kill(os.getppid(), signal.SIGCONT)
"""


def test_events_that_were_lost_are_made_good_by_a_look(tmp_path: Path) -> None:
    """When the kernel's queue overflows a change of which the event was lost rings without a rescan.

    One warning names the cure.
    """
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip("the queue is too long here to be filled")
    (tmp_path / "fill").write_text(FILL)
    found, said = in_child(
        f"""
        with Watcher(rung.append, quiet_s=0.1, rescan_s=10**6) as watcher:
            watcher.watch({{n: [folder / f"{{n}}.ics"] for n in ("office", "other")}})
            time.sleep(0.5)
            rung.clear()
            found = {{"quiet before": not watcher.complaint}}
            subprocess.run([sys.executable, folder / "fill", folder, "{most}"], check=True)
            found["rang"] = rings("office")
            found["complains"] = comes(lambda: "fs.inotify.max_queued_events" in watcher.complaint)
        found["alone"] = not rung
        print(json.dumps(found))
        """,
        tmp_path,
    )
    assert found == dict.fromkeys(("quiet before", "rang", "complains", "alone"), True)
    assert said.count("fs.inotify.max_queued_events") == 1


def test_many_directories_take_one_thread(tmp_path: Path) -> None:
    """Directories below a pattern are heard by one thread, of however many changes are told."""
    found, _ = in_child(
        """
        def threads():
            return len(list(Path("/proc/self/task").iterdir()))
        def count(directories):
            for number in range(directories):
                (folder / str(number)).mkdir(exist_ok=True)
            with Watcher(rung.append, quiet_s=0.1, rescan_s=10**6) as watcher:
                watcher.watch({"office": [folder / "*" / "*.ics"]})
                time.sleep(0.5)
                rung.clear()
                (folder / str(directories - 1) / "office.ics").write_text(str(directories))
                assert rings("office")
                return threads()
        print(json.dumps({"same": count(2) == count(300)}))
        """,
        tmp_path,
    )
    assert found == {"same": True}


def test_an_event_in_a_large_directory_looks_at_its_file_alone(tmp_path: Path) -> None:
    """After an edit of one of many files, or when one comes or goes, the directory is not listed.

    Listings are told by the interpreter itself; its hooks stay for the life of the process.
    """
    for number in range(50):
        (tmp_path / f"{number}.ics").write_text("as it was")
    listed: list[str] = []

    def note(what: str, arguments: tuple[object, ...]) -> None:
        if what in {"os.listdir", "os.scandir"}:
            listed.append(str(arguments[0]))

    sys.addaudithook(note)
    for path in (tmp_path, tmp_path / "*.ics"):
        with watching({"office": [path]}) as (bell, _):
            listed.clear()
            for change in (replace_file, Path.write_text):
                change(tmp_path / "7.ics", f"another, by {change.__name__}, for {path}")
                assert bell.rings()
                bell.forget()
            (tmp_path / "8.ics").unlink()
            assert bell.rings()
            bell.forget()
            (tmp_path / "8.ics").write_text("new")
            assert bell.rings()
            assert str(tmp_path) not in listed


def test_without_threads_rescans_go_on(tmp_path: Path) -> None:
    """Where watchdog can start no thread changes still ring, and one warning names the cure."""
    found, said = in_child(
        """
        with Watcher(rung.append, quiet_s=0.1, rescan_s=0.3) as watcher:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**21, resource.RLIM_INFINITY))
            watcher.watch({"office": [folder / "office.ics"]})
            time.sleep(0.5)
            (folder / "office.ics").write_text("x")
            found = {"rang": rings("office")}
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(json.dumps(found))
        """,
        tmp_path,
    )
    assert found == {"rang": True}
    assert said.count("TasksMax=") == 1


@pytest.mark.slow
def test_a_mount_over_the_directory_and_a_remount_are_seen(
    tmp_path: Path, own_namespace: tuple[str, ...]
) -> None:
    """What a mount brings rings by a rescan; later changes on it, after a remount too, ring by events."""
    found, _ = in_child(
        """
        share = folder / "share"
        share.mkdir()
        (share / "office.ics").write_text("below the mount")
        (folder / "marker").write_text("")
        def mount():
            subprocess.run(["mount", "-t", "tmpfs", "none", str(share)], check=True)
        def rings_by_event(text):
            # Of a change of mode no event tells, so the marker rings at the next rescan; whatever only a
            # rescan sees rings after it. A rescan that comes between the two proves nothing.
            for number in range(100):
                mode = (folder / "marker").stat().st_mode & 0o777
                (folder / "marker").chmod(0o644 if mode == 0o600 else 0o600)
                (share / "office.ics").write_text(f"{text}, {number}")
                while "office" not in rung:
                    time.sleep(0.01)
                before = rung[: rung.index("office")]
                rings("marker")
                if "marker" not in before:
                    return True
            return False
        found = {}
        with Watcher(rung.append, quiet_s=0.1, rescan_s=1.5) as watcher:
            watcher.watch({"marker": [folder / "marker"], "office": [share / "office.ics"]})
            for number in range(2):
                mount()
                (share / "office.ics").write_text(f"on mount {number}")
                found[f"mounted {number}"] = rings("office")
                found[f"event {number}"] = rings_by_event(f"changed on mount {number}")
                # So swiftly that the directory looks the same, although its watch is deaf.
                subprocess.run(["umount", str(share)], check=True)
                mount()
                (share / "office.ics").write_text(f"on mount {number} again")
                found[f"mounted again {number}"] = rings("office")
                found[f"event again {number}"] = rings_by_event(f"changed on mount {number} again")
                subprocess.run(["umount", str(share)], check=True)
                found[f"unmounted {number}"] = rings("office")
        print(json.dumps(found))
        """,
        tmp_path,
        *own_namespace,
    )
    assert len(found) == 10
    assert all(found.values()), found


def test_names_with_brackets_are_followed(tmp_path: Path) -> None:
    """A file, and a directory, with brackets in its name rings, also one that appears later."""
    file, folder = tmp_path / "Calendar [Room 1].ics", tmp_path / "Calendars [2026]"
    folder.mkdir()
    paths = {"file": [file], "folder": [folder], "inside": [folder / "*.ics"]}
    with watching(paths) as (bell, _):
        file.write_text("new")
        assert bell.rings_all(["file"])
        (folder / "one.ics").write_text("new")
        assert bell.rings_all(["folder", "inside"])
        bell.forget()
        file.write_text("changed again")
        assert bell.rings_all(["file"])
