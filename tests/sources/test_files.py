"""Files as sources, on a real file system: looked at from outside, read in blocks when somebody asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.core.document import BLOCK, Document
from syncd.errors import SourceError, SourceMalformed, SourceUnavailable
from syncd.sources.files import FileSource

BODY = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nEND:VCALENDAR\r\n"
LARGE = b"".join(b"%09d\r\n" % number for number in range(250_000))  # in three blocks
LATER_NS = 5_000_000_000
WRITTEN_TO = "office.ics is being written to; it is read in the next cycle"


def later() -> int:
    """A clock for which all that was just written was written some seconds ago."""
    return time.time_ns() + LATER_NS


def early() -> int:
    """A time at which every file that was written is young, and still is after a pause of the machine."""
    return time.time_ns() - 3600 * 10**9


def source(
    path: Path, max_bytes: int = 10_000_000, clock: Callable[[], int] = later
) -> FileSource:
    """A source of files."""
    return FileSource("office", path, max_bytes, clock)


def document(path: Path, clock: Callable[[], int] = later) -> Document:
    """The only document of a source."""
    (found,) = source(path, clock=clock).fetch().documents
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A calendar in a file."""
    file = tmp_path / "office.ics"
    file.write_bytes(BODY)
    return file


# What is read


@pytest.mark.parametrize(
    "body", [b"", b"x", BODY, LARGE, LARGE[:BLOCK], LARGE[: 2 * BLOCK]]
)
@pytest.mark.parametrize("clock", [later, early])
def test_a_file_is_read_in_blocks(
    file: Path, body: bytes, clock: Callable[[], int]
) -> None:
    """All of it, in blocks of bounded size, as often as somebody asks."""
    file.write_bytes(body)
    found = document(file, clock)
    for _ in range(2):
        blocks = list(found.blocks())
        assert b"".join(blocks) == body
        assert len(blocks) == -(-len(body) // BLOCK)
    assert (found.name, found.body) == ("office.ics", body)


def test_fetching_reads_nothing(tmp_path: Path) -> None:
    """The bytes of a directory are not read before somebody asks for them."""
    for number in range(100):
        (tmp_path / f"{number}.ics").write_bytes(LARGE[:50_000])

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    fetched = source(tmp_path).fetch()
    assert bytes_read() - before < 50_000
    assert sum(len(found.body) for found in fetched.documents) == 5_000_000
    assert bytes_read() - before >= 5_000_000


def test_a_large_file_is_never_in_memory_as_a_whole(file: Path) -> None:
    """Reading 200 MB costs some blocks of memory."""
    with file.open("wb") as sparse:
        sparse.truncate(200_000_000)
    code = """
        import sys, time
        from pathlib import Path
        from syncd.sources.files import FileSource

        def peak_mib():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

        (document,) = FileSource("office", Path(sys.argv[1]), 10**9).fetch().documents
        before = peak_mib()
        print(sum(map(len, document.blocks())), peak_mib() - before)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), file],
        capture_output=True,
        text=True,
        check=True,
    )
    size, peak_mib = ran.stdout.split()
    assert int(size) == 200_000_000
    assert float(peak_mib) < 8


# Signatures


def test_what_was_not_touched_looks_the_same(file: Path) -> None:
    """The signature stays over readings and sources, through a link too."""
    link = file.with_name("link.ics")
    link.symlink_to(file)
    first = document(file)
    assert first.body == BODY
    assert first.signature
    assert document(file).signature == document(link).signature == first.signature


def _overwritten(file: Path) -> None:
    file.write_bytes(BODY[::-1])


def _replaced(file: Path) -> None:
    other = file.with_name("other")
    shutil.copy2(file, other)
    other.replace(file)


def _longer(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"\n")


def _touched(file: Path) -> None:
    os.utime(file, ns=(0, 1))


@pytest.mark.parametrize("change", [_overwritten, _replaced, _longer, _touched])
@pytest.mark.parametrize("same_time", [False, True], ids=["new mtime", "old mtime"])
def test_what_was_changed_looks_different(
    file: Path, change: Callable[[Path], object], same_time: bool
) -> None:
    """Whatever is done to a file changes its signature, even if its size and its mtime are set back."""
    before = file.stat()
    signature = document(file).signature
    time.sleep(0.02)  # some ticks of the clock of the file system
    change(file)
    if same_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert document(file).signature not in ("", signature)


def test_a_young_file_has_no_signature(file: Path) -> None:
    """A write in the same tick could hide behind one; a time in the future tells nothing at all."""
    status = file.stat()
    old = status.st_ctime_ns + 2_000_000_000
    assert document(file, lambda: status.st_ctime_ns).signature == ""
    assert document(file, lambda: old - 1).signature == ""
    assert document(file, lambda: old).signature != ""
    assert document(file, lambda: status.st_ctime_ns - 1).signature == ""
    os.utime(file, ns=(0, status.st_mtime_ns + 86400 * 10**9))
    assert document(file).signature == ""
    os.utime(file, ns=(0, 0))  # what was written just now stays young
    assert document(file, lambda: file.stat().st_ctime_ns).signature == ""


# Files that change


@pytest.mark.parametrize("change", [_overwritten, _replaced, _longer])
def test_a_signature_holds_for_what_is_read(
    file: Path, change: Callable[[Path], object]
) -> None:
    """What changed between looking and reading is not passed off as what was seen; without one it is read."""
    signed, unsigned = document(file), document(file, early)
    assert (bool(signed.signature), unsigned.signature) == (True, "")
    time.sleep(0.02)
    change(file)
    with pytest.raises(SourceUnavailable, match=WRITTEN_TO):
        signed.body  # noqa: B018  # reading is what fails
    assert unsigned.body == file.read_bytes()


def _truncated(file: Path) -> None:
    os.truncate(file, 10)


@pytest.mark.parametrize("clock", [later, early])
@pytest.mark.parametrize("change", [_overwritten, _longer, _truncated, _touched])
def test_a_change_in_the_middle_is_told(
    file: Path, change: Callable[[Path], object], clock: Callable[[], int]
) -> None:
    """Once a block was handed out, nothing of another state follows it."""
    file.write_bytes(LARGE)
    blocks = document(file, clock).blocks()
    assert next(blocks) == LARGE[:BLOCK]
    time.sleep(0.02)
    change(file)
    with pytest.raises(SourceUnavailable, match=WRITTEN_TO):
        next(blocks)


@pytest.mark.parametrize("take", ["replaced", "removed"])
def test_a_file_that_is_replaced_is_read_to_its_end(file: Path, take: str) -> None:
    """Who writes beside and renames disturbs no reading."""
    file.write_bytes(LARGE)
    blocks = document(file).blocks()
    read = next(blocks)
    time.sleep(0.02)
    if take == "replaced":
        _replaced(file)
    else:
        file.unlink()
    assert read + b"".join(blocks) == LARGE


def test_a_file_that_grows_is_read_whole_or_not(file: Path) -> None:
    """While lines are appended, each reading is one state of the file, or says that it is written to."""
    grown = threading.Event()

    def grow() -> None:
        with file.open("ab", buffering=0) as opened:
            while not grown.wait(0.0002):
                opened.write(b"x" * 100)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        read = 0
        for _ in range(300):
            status = file.stat()
            try:
                body = document(file, early).body
            except SourceUnavailable as error:
                assert str(error).endswith(WRITTEN_TO)  # noqa: PT017  # either is well
            else:
                read += 1
                assert len(body) >= status.st_size
                assert (len(body) - len(BODY)) % 100 == 0
    finally:
        grown.set()
        thread.join()
    assert read
    assert document(file).body == file.read_bytes()


# What cannot be read


def _missing(path: Path) -> None:
    """Nothing is there."""


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _too_large(path: Path) -> None:
    path.write_bytes(LARGE)


BAD: list[tuple[Callable[[Path], object], type[SourceError], str]] = [
    (
        _missing,
        SourceUnavailable,
        "bad.ics does not exist; its bookings stay until it is there again",
    ),
    (
        _pipe,
        SourceMalformed,
        "bad.ics is not a regular file; correct path, or put a calendar there",
    ),
    (
        _too_large,
        SourceMalformed,
        "bad.ics has 2750000 bytes, more than max_bytes (1000000); raise max_byte",
    ),
]


@pytest.mark.parametrize(("make", "kind", "sentence"), BAD)
def test_a_bad_file_is_no_document(
    tmp_path: Path,
    make: Callable[[Path], object],
    kind: type[SourceError],
    sentence: str,
) -> None:
    """The only file of a source raises at once, without being opened or waited for."""
    make(tmp_path / "bad.ics")
    with pytest.raises(kind) as raised:
        source(tmp_path / "bad.ics", 1_000_000).fetch()
    assert str(raised.value).startswith(f"{tmp_path}/{sentence}")


@pytest.mark.parametrize(("make", "kind", "sentence"), BAD)
def test_what_a_file_became_is_told_when_it_is_read(
    file: Path, make: Callable[[Path], object], kind: type[SourceError], sentence: str
) -> None:
    """A file that goes bad between looking and reading says the same, and nothing waits for a pipe."""
    bad = file.rename(file.with_name("bad.ics"))
    found = source(bad, 1_000_000, early).fetch().documents[0]
    bad.unlink()
    make(bad)
    with pytest.raises(kind) as raised:
        found.body  # noqa: B018  # reading is what fails
    assert str(raised.value).startswith(f"{file.parent}/{sentence}")


def test_one_bad_file_of_many_is_a_problem(tmp_path: Path) -> None:
    """In a directory and in a glob each bad file has a sentence, and the others are documents, sorted."""
    for name in ("b.ics", "A.ICS", ".hidden.ics", "note.txt"):
        (tmp_path / name).write_bytes(BODY)
    (tmp_path / "folder.ics").mkdir()
    (tmp_path / "c.ics").symlink_to("nowhere")
    _pipe(tmp_path / "d.ics")
    _too_large(tmp_path / "e.ics")
    for path in (tmp_path, tmp_path / "*.[iI][cC][sS]"):
        fetched = source(path, 1_000_000).fetch()
        assert [(found.name, found.body) for found in fetched.documents] == [
            ("A.ICS", BODY),
            ("b.ics", BODY),
        ]
        assert [
            problem.removeprefix(f"{tmp_path}/").split(" ", 3)[:3]
            for problem in fetched.problems
        ] == [
            ["c.ics", "does", "not"],
            ["d.ics", "is", "not"],
            ["e.ics", "has", "2750000"],
        ]


@pytest.mark.parametrize("path", ["share", "share/*.ics", "share/deep/*"])
def test_a_missing_directory_is_no_empty_one(tmp_path: Path, path: str) -> None:
    """A share that is not mounted is unavailable."""
    with pytest.raises(SourceUnavailable, match="does not exist"):
        source(tmp_path / path).fetch()


def test_an_empty_directory_has_no_documents(tmp_path: Path) -> None:
    """Nothing in it is no problem."""
    fetched = source(tmp_path).fetch()
    assert (fetched.documents, fetched.problems) == ((), ())


# Names that look like patterns


@pytest.mark.parametrize(
    "name",
    [
        "Calendar [Room 1].ics",
        "[a].ics",
        "[",
        "a[!b]",
        "[!].ics",
        "Was ist das?.ics",
        "a*b.ics",
        "[[]].ics",
        "][",
    ],
)
def test_what_exists_is_no_pattern(tmp_path: Path, name: str) -> None:
    """A file is read under its name, whatever stands in it, and no other that its name would match."""
    (tmp_path / name).write_bytes(BODY)
    for other in ("Calendar R.ics", "a.ics", "a", "aXb.ics", "Was ist dass.ics"):
        (tmp_path / other).write_bytes(b"other")
    assert [found.name for found in source(tmp_path / name).fetch().documents] == [name]
    assert document(tmp_path / name).body == BODY


@pytest.mark.parametrize("rest", ["", "*.ics", "**/*.ics", "one.ics", "[n-p]ne.ics"])
def test_a_directory_with_brackets(tmp_path: Path, rest: str) -> None:
    """A directory with brackets in its name is that directory, also with a pattern behind it."""
    folder = tmp_path / "Calendars [2026]"
    folder.mkdir()
    (tmp_path / "Calendars 2").mkdir()
    (tmp_path / "Calendars 2" / "one.ics").write_bytes(b"other")
    (folder / "one.ics").write_bytes(BODY)
    assert [d.body for d in source(folder / rest).fetch().documents] == [BODY]


def test_a_name_with_brackets_goes_on_to_be_one(tmp_path: Path) -> None:
    """When the file is gone for a moment, nothing else that its name would match is read in its place."""
    path = tmp_path / "Calendar [12].ics"
    path.write_bytes(BODY)
    (tmp_path / "Calendar 1.ics").write_bytes(b"other")
    asked = source(path)
    assert asked.fetch().documents
    path.unlink()
    with pytest.raises(SourceUnavailable, match="does not exist; its bookings stay"):
        asked.fetch()
    path.write_bytes(BODY)
    assert asked.fetch().documents


@pytest.mark.parametrize(
    "pattern",
    ["*.ics", "Calendar [Room 1].ics", "room-?.ics", "**/x*.ics", "[ab]/*.ics"],
)
def test_a_pattern_that_never_matched_is_said(tmp_path: Path, pattern: str) -> None:
    """A pattern without any file is unavailable, named whole, until it matched; then it may be empty."""
    asked = source(tmp_path / pattern)
    with pytest.raises(SourceUnavailable) as raised:
        asked.fetch()
    assert str(raised.value).startswith(f"there is no file {tmp_path / pattern}")
    places = {
        "**/x*.ics": "deep/x.ics",
        "[ab]/*.ics": "a/x.ics",
        "room-?.ics": "room-1.ics",
    }
    file = tmp_path / places.get(pattern, "Calendar R.ics")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(BODY)
    assert [found.body for found in asked.fetch().documents] == [BODY]
    file.unlink()
    assert asked.fetch().documents == ()


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.ics",
        "\x1b[31m.ics",
        b"caf\xe9.ics",
        "\u202egpj.ics",
        "a b\t.ics",
        "-rf.ics",
    ],
)
def test_odd_names_in_a_directory(tmp_path: Path, name: str | bytes) -> None:
    """Files with line ends, controls or bytes that are no UTF-8 in their names are documents like others."""
    file = tmp_path / os.fsdecode(name)
    file.write_bytes(BODY)
    (found,) = source(tmp_path).fetch().documents
    assert found.body == BODY
    file.chmod(0o600)
    file.unlink()
    file.symlink_to("nowhere")
    (problem,) = source(tmp_path).fetch().problems
    assert "does not exist" in problem
