"""Attachments inside calendars: what is published, for whom, and for how long."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from syncd.core.attachments import MAX_PUBLISHED_BYTES
from tests.conftest import Office, ahead, event

PAPER = b"%PDF-1.4 minutes"


def attach(data: bytes = PAPER, name: str = "minutes.pdf", media_type: str = "") -> str:
    """An ATTACH with its bytes in the calendar."""
    parameters = [f'FILENAME="{name}"'] if name else []
    parameters += [f"FMTTYPE={media_type}"] if media_type else []
    coded = base64.b64encode(data).decode()
    return (
        ";".join(["ATTACH", *parameters, "ENCODING=BASE64", "VALUE=BINARY"])
        + f":{coded}"
    )


def publishing(office: Office, *lines: str) -> Path:
    """Let the office publish into a directory that is not there yet; returns it."""
    folder = office.folder / "www" / "attachments"
    keys = [
        f'publish_dir = "{folder}"',
        'base_url = "https://files.example.com/a/"',
        *lines,
    ]
    office.change(
        (
            "[people.addresses]",
            "\n".join(["[attachments]", *keys, "[people.addresses]"]),
        )
    )
    return folder


def files(folder: Path) -> list[str]:
    """The names of the files that are there."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def attachments(office: Office) -> list[dict[str, Any]]:
    """Those of the only reservation."""
    (reservation,) = office.reservations()
    found: list[dict[str, Any]] = reservation["attachments"]
    return found


def left_out(office: Office) -> list[str]:
    """What a plan says of attachments that are left out."""
    notes = [
        note for change in office.plan()["changes"] for note in change.get("notes", [])
    ]
    return [note["detail"] for note in notes if note["reason"] == "attachment_left_out"]


ALLOWED = {
    "name": ("minutes.pdf", "", "pdf"),
    "upper case": ("MINUTES.PDF", "", "pdf"),
    "media type decides": ("script.php", "application/pdf", "pdf"),
    "media type with parameter": ("", "image/png; x=y", "png"),
    "last of several": ("page.php.pdf", "", "pdf"),
    "dots and blanks behind": ("minutes.pdf. . ", "", "pdf"),
    "path parts": ("../../etc/cron.d/minutes.pdf", "", "pdf"),
    "name of a device": ("CON.txt", "", "txt"),
}

REFUSED = {
    "script": ("shell.php", ""),
    "page": ("page.html", ""),
    "drawing with scripts": ("drawing.svg", "image/svg+xml"),
    "shell": ("run.sh", ""),
    "named as paper, typed as page": ("minutes.pdf", "text/html"),
    "behind an allowed one": ("minutes.pdf.php", ""),
    "hidden by dots": ("shell.php...", ""),
    "upper case": ("SHELL.PHP", ""),
    "no extension": ("minutes", ""),
    "extension alone": (".htaccess", ""),
    "no name": ("", ""),
    "other letters": ("minutes.ｐｄｆ", ""),
    "turned around": ("minutes.\u202efdp", ""),
    "zero byte in words": ("shell.php%00.exe", ""),
}


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("name", "media_type", "extension"), ALLOWED.values(), ids=ALLOWED.keys()
)
def test_allowed_types_are_published(
    office: Office, name: str, media_type: str, extension: str
) -> None:
    """The file has the extension by which it was judged, and a name that nobody else chose."""
    folder = publishing(office)
    office.write(event("a", ahead(2), 60, attach(name=name, media_type=media_type)))
    assert office.run("once").code == 0
    (written,) = files(folder)
    assert written.endswith(f".{extension}")
    assert (folder / written).read_bytes() == PAPER
    (shown,) = attachments(office)
    assert shown["url"] == f"https://files.example.com/a/{written}"
    assert shown["type"] == extension


@pytest.mark.slow
def test_other_types_are_left_out_with_a_reason(office: Office) -> None:
    """What a web server would serve as something else than an allowed type is not published, and said."""
    folder = publishing(office)
    office.write(
        *(
            event(f"e{n}", ahead(2, 1 + n), 30, attach(name=name, media_type=kind))
            for n, (name, kind) in enumerate(REFUSED.values())
        )
    )
    told = left_out(office)
    assert len(told) == len(REFUSED)
    assert all("attachments.types" in text for text in told)
    assert office.run("once").code == 0
    assert files(folder) == []
    assert len(office.reservations()) == len(REFUSED)


def test_the_administrator_names_the_types(office: Office) -> None:
    """A list of one's own takes the place of the default one, in any letter case."""
    folder = publishing(office, 'types = ["ICS", "md"]')
    office.write(
        event(
            "a",
            ahead(2),
            60,
            attach(name="a.ics"),
            attach(name="b.pdf"),
            attach(name="c.md"),
        )
    )
    office.once()
    assert sorted(name.rpartition(".")[2] for name in files(folder)) == ["ics", "md"]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("mode", "umask"),
    [("0644", 0o077), ("0640", 0o000), ("604", 0o777 & ~0o700), ("0600", 0o022)],
)
def test_the_mode_is_as_configured(office: Office, mode: str, umask: int) -> None:
    """Files have the mode, whatever the umask; who may read them may enter the directories that were made."""
    folder = publishing(office, f'mode = "{mode}"')
    office.write(event("a", ahead(2), 60, attach()))
    process = office.start("once", umask=umask)
    process.communicate(timeout=100)
    (name,) = files(folder)
    wanted = int(mode, 8)
    assert stat.S_IMODE((folder / name).stat().st_mode) == wanted
    for made in (folder, folder.parent):
        reads = stat.S_IMODE(made.stat().st_mode)
        assert reads & 0o044 == wanted & 0o044
        assert reads & 0o011 == (wanted & 0o044) >> 2


@pytest.mark.slow
def test_a_new_mode_reaches_files_that_are_there(office: Office) -> None:
    """Another mode in the configuration is given to what was published before; another directory gets it."""
    folder = publishing(office)
    office.write(event("a", ahead(2), 60, attach()))
    office.once()
    (name,) = files(folder)
    office.change(("base_url", 'mode = "0640"\nbase_url'))
    office.once()
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o640
    office.change((str(folder), str(folder.parent / "moved")))
    office.once()
    assert files(folder) == []
    assert files(folder.parent / "moved") == [name]


def without(*properties: str) -> str:
    """The meeting as it is afterwards."""
    return event("a", ahead(2), 60, *properties)


ENDS = {
    "attachment taken off": without(),
    "another one": without(attach(b"%PDF-1.4 other")),
    "private": without(attach(), "CLASS:PRIVATE"),
    "confidential": without(attach(), "CLASS:CONFIDENTIAL"),
    "cancelled": without(attach(), "STATUS:CANCELLED"),
    "over": event("a", ahead(-2), 60, attach()),
}


@pytest.mark.first(1)
@pytest.mark.parametrize("after", ENDS.values(), ids=ENDS.keys())
def test_what_nobody_needs_is_removed(office: Office, after: str) -> None:
    """A file goes with the last booking that refers to it; what is beside it is not touched."""
    folder = publishing(office)
    office.write(without(attach()), event("b", ahead(3)))
    office.once()
    (name,) = files(folder)
    (folder / "index.html").write_text("of somebody else")
    (folder / ("0" * 32 + ".pdf")).write_text("of another syncd")
    office.write(after, event("b", ahead(3)))
    office.once()
    left = files(folder)
    assert name not in left
    assert {"index.html", "0" * 32 + ".pdf"} <= set(left)
    assert len(left) - 2 == sum(len(r["attachments"]) for r in office.reservations())


@pytest.mark.slow
def test_what_another_meeting_needs_stays(office: Office) -> None:
    """Two meetings with one paper: the file stays as long as one of them is booked."""
    folder = publishing(office)
    office.write(event("a", ahead(2), 60, attach()), event("b", ahead(3), 60, attach()))
    office.once()
    (name,) = files(folder)
    office.write(
        event("a", ahead(2), 60, attach(), "STATUS:CANCELLED"),
        event("b", ahead(3), 60, attach()),
    )
    office.once()
    assert files(folder) == [name]
    office.write(event("b", ahead(3), 60, attach(), "STATUS:CANCELLED"))
    office.once()
    assert files(folder) == []


@pytest.mark.slow
def test_a_file_of_somebody_else_is_left_alone(office: Office) -> None:
    """A file that was there before is used if it is the same, and never removed."""
    folder = publishing(office)
    office.write(event("a", ahead(2), 60, attach()))
    office.once()
    (name,) = files(folder)
    (folder / name).unlink()
    office.write()
    office.write(event("a", ahead(2), 60, attach(), "STATUS:CANCELLED"))
    office.once()
    (folder / name).write_bytes(PAPER)
    office.write(event("c", ahead(2), 60, attach()))
    office.once()
    assert len(attachments(office)) == 1
    office.write(event("c", ahead(2), 60, attach(), "STATUS:CANCELLED"))
    office.once()
    assert files(folder) == [name]


@pytest.mark.slow
def test_when_publishing_is_turned_off_files_go(office: Office) -> None:
    """Without publish_dir the attachments are taken off the bookings, and the files are removed."""
    folder = publishing(office)
    office.write(event("a", ahead(2), 60, attach()))
    office.once()
    assert files(folder)
    office.change(
        (f'publish_dir = "{folder}"', ""),
        ('base_url = "https://files.example.com/a/"', ""),
    )
    office.once()
    assert attachments(office) == []
    assert files(folder) == []


@pytest.mark.slow
def test_number_and_size_are_bounded(office: Office) -> None:
    """Of one event at most 10 files and 10 MB are published; the rest is left out with a reason."""
    folder = publishing(office)
    many = [attach(b"%d" % n, f"{n}.txt") for n in range(12)]
    large = [
        attach(bytes([n]) * (MAX_PUBLISHED_BYTES // 2), f"{n}.pdf") for n in range(3)
    ]
    office.write(
        event("many", ahead(2), 60, *many), event("large", ahead(3), 60, *large)
    )
    assert len(left_out(office)) == 3
    assert office.run("once").code == 0
    assert sorted(len(r["attachments"]) for r in office.reservations()) == [2, 10]
    assert len(files(folder)) == 12


@pytest.mark.slow
@pytest.mark.first(1)
@pytest.mark.parametrize("trouble", ["full", "a file", "no right"])
def test_a_directory_that_cannot_be_written_costs_the_attachment(
    office: Office, trouble: str
) -> None:
    """The meeting is booked without it, once, and gets it when the directory is well again."""
    if trouble == "no right" and os.geteuid() == 0:
        trouble = "dangling link"
    folder = publishing(office)
    folder.parent.mkdir()
    match trouble:
        case "a file":
            folder.write_text("not a directory")
        case "full":
            folder.symlink_to("/proc/self/fd")  # where nobody can create a file
        case "no right":
            folder.mkdir(mode=0o500)
        case _:
            folder.symlink_to(folder.parent / "nowhere" / "at-all")
    office.write(
        event("a", ahead(2), 60, attach(), "ATTACH:https://example.com/agenda.pdf"),
        event("b", ahead(3)),
    )
    ran = office.run("once", "--json")
    assert ran.json["counts"]["created"] == 2
    assert "cannot be published" in ran.err
    office.forget_requests()
    assert office.once()["counts"]["created"] == 0
    assert office.writes() == []
    first = next(r for r in office.reservations() if r["topic"] == "Meeting a")
    assert [a["url"] for a in first["attachments"]] == [
        "https://example.com/agenda.pdf"
    ]
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        folder.chmod(0o700)
    assert office.once()["counts"]["updated"] == 1
    first = next(r for r in office.reservations() if r["topic"] == "Meeting a")
    assert len(first["attachments"]) == 2
    assert len(files(folder)) == 1
    office.forget_requests()
    office.once()
    assert office.writes() == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('mode = "rw"', "attachments.mode: must be three octal digits"),
        ("mode = 644", "attachments.mode: must be three octal digits"),
        ('mode = "4755"', "attachments.mode: must be three octal digits"),
        ('mode = "0444"', "attachments.mode: must let the owner read and write"),
        ('types = [".pdf"]', "must be an extension without its dot"),
        ('types = ["tar.gz"]', "must be an extension without its dot"),
        ("types = [3]", "must be an extension without its dot"),
    ],
)
def test_wrong_values_are_named(office: Office, line: str, sentence: str) -> None:
    """What cannot be a mode or an extension is refused with what is allowed."""
    publishing(office, line)
    ran = office.run("check")
    assert ran.code == 78
    assert sentence in ran.err


def test_the_effective_configuration_shows_them(office: Office) -> None:
    """`check --show` prints mode and types as they are written."""
    publishing(office)
    shown = office.run("check", "--show").out
    assert 'mode = "0644"' in shown
    assert json.dumps("odp") in shown
