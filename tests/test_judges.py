"""What `load` accepts can be built: one judge, and nothing that a file says ends a daemon."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd.assembly import assemble
from syncd.config import Config, effective, load
from syncd.daemon.schedule import Entry, Scheduler
from syncd.daemon.watcher import Watcher
from syncd.errors import ConfigError
from syncd.ics import ParserPool
from syncd.ledger import Ledger
from syncd.urls import UnusableUrl, parsed_url, require_usable

SECRET = "correct-horse-battery"
FILE = """\
mode = "full"
calendar.timezone = {zone}
calendar.horizon = {horizon}
api.endpoint = {endpoint}
api.client_id = {client_id}
api.client_secret = {{ file = "tuya-secret" }}
api.timeout = {timeout}
reservation.creator = {creator}
reservation.instance = "hq"
[[rooms]]
id = {room}
locations = [{location}]
[[sources]]
name = {name}
url = {url}
interval = {interval}
allow_hosts = [{allowed}]
[[sources]]
name = "files"
path = {path}
cron = {cron}
room = {room}
"""
GOOD = {
    "zone": "Europe/Berlin",
    "horizon": "30d",
    "endpoint": "http://127.0.0.1:1",
    "client_id": "client",
    "timeout": "10s",
    "creator": "3",
    "room": "room-1",
    "location": "Small meeting room",
    "name": "feed",
    "url": "https://calendar.example.com/a.ics",
    "interval": "5m",
    "allowed": "10.0.0.0/8",
    "path": "office.ics",
    "cron": "*/10 7-19 * * mon-fri",
}


def quoted(text: str) -> str:
    """A TOML string, whatever stands in it."""
    return (
        '"'
        + "".join(
            c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in text
        )
        + '"'
    )


def written(folder: Path, **values: str) -> Path:
    """A configuration with some values in place of good ones."""
    secret = folder / "tuya-secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    path = folder / "syncd.toml"
    path.write_text(
        FILE.format(
            **{key: quoted(value) for key, value in {**GOOD, **values}.items()}
        ),
        "utf-8",
    )
    return path


def problems(path: Path) -> tuple[str, ...]:
    """What `check` would say."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def built(config: Config, folder: Path) -> None:
    """Make everything that a daemon makes of a configuration."""
    with Ledger.open(f"sqlite:///{folder / 'state.db'}", owner=True) as ledger:
        parts = assemble(
            config,
            ledger,
            owner=True,
            pool=ParserPool(keep=False),
            stopping=lambda: False,
        )
        parts.subscriptions.requests([source.name for source in config.sources])
        parts.api.close()
    with (
        Scheduler(lambda _name: None) as scheduler,
        Watcher(lambda _name: None) as watcher,
    ):
        scheduler.plan(
            {
                source.name: Entry(
                    interval=source.interval or config.schedule.interval,
                    cron=source.cron,
                    zone=config.calendar.timezone,
                    jitter=config.schedule.jitter,
                )
                for source in config.sources
            }
        )
        watcher.watch({s.name: [s.path] for s in config.sources if s.path is not None})
        for source in config.sources:
            scheduler.next_run(source.name)
    assert tomllib.loads(effective(config))
    assert datetime.now(UTC) + config.calendar.horizon


HOSTS = st.one_of(
    st.sampled_from(
        [
            *(
                "192.168.1.05",
                "ｅｘａｍｐｌｅ.com",
                "xn--a",
                "xn--",
                "xn--a.example.com",
                "a..b",
                ".a",
                "a.",
                "a_b",
            ),
            *(
                "a" * 64,
                "a." * 130 + "com",
                "[fe80::1%25eth0]",
                "[fe80::1%eth0]",
                "[::1]",
                "[::g]",
                "ex%61mple",
            ),
            *(
                "münchen.example",
                "faß.example",
                "☃.example",
                "-a.example",
                "a!b",
                "1.2.3",
                "0x7f.1",
                "256.1.1.1",
            ),
            *(
                "example.com:0",
                "example.com:99999",
                "example.com:８０",
                "u:p@example.com",
                "localhost.",
                "",
                "a b",
            ),
            *(
                "a\u200bb",
                "١٢٣.example",
                "[v1.x]",
                "1.2.3.4.",
                "2130706433",
                "a。b",
                "a\\b",
                "xn--80ak6aa92e.com",
            ),
        ]
    ),
    st.text(st.sampled_from("ab1.-_:[]%@xn\u00df\u0130０ "), max_size=20),
)
URLS = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "webcal", "HTTP", "ftp"]),
    HOSTS,
    st.sampled_from(["", "/a.ics", "/?q=ä", "#f", "/%zz", "//", "/\u2028"]),
)
EXPRESSIONS = st.one_of(
    st.sampled_from(
        [
            "re:(",
            "re:(?au)x",
            "re:(?L)x",
            "re:[[a]",
            "re:x{1,99999999999}",
            "re:" + "(" * 3000,
            "re:(?i)a",
            "re:a(?i)b",
            "re:\\",
            "re:(?P<a>.)(?P<a>.)",
            "re:",
            "re:[a&&b]",
        ]
    ),
    st.text(st.sampled_from("re:()[]{}?*+|\\aiuL1-^$"), max_size=12).map("re:".__add__),
)
CRONS = st.one_of(
    st.sampled_from(
        [
            "0 0 30 2 *",
            "* * * * *",
            "0 0 29 2 *",
            "0 24 * * *",
            "*/0 * * * *",
            "0 0 last * *",
            "0 0 1st,3rd * *",
            "0 0 * * 0",
            "60 * * * *",
            "0 0 31 4,6 *",
            "5-1 * * * *",
        ]
    ),
    st.lists(
        st.text(st.sampled_from("0123456789*/,-l"), min_size=1, max_size=5),
        min_size=5,
        max_size=5,
    ).map(" ".join),
)
DURATIONS = st.sampled_from(
    ["0s", "1s", "3650d", "3651d", "999999999999999d", "87600h", "-1s", "1.5h", "１s"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATHS = st.one_of(
    st.sampled_from(
        [
            "~/a.ics",
            "$HOME/a.ics",
            "[",
            "a[",
            "**",
            "**/a.ics",
            "a/**",
            "..",
            "/",
            ".",
            "x" * 5000,
            "a\\b",
            "[!",
            "***",
            "a**b/c",
        ]
    ),
    TEXTS,
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "zone": st.one_of(
            st.sampled_from(
                ["UTC", "localtime", "..", "/etc/passwd", "posix/UTC", "Etc/GMT+12", ""]
            ),
            TEXTS,
        ),
        "horizon": DURATIONS,
        "endpoint": URLS,
        "client_id": TEXTS,
        "timeout": DURATIONS,
        "creator": TEXTS,
        "room": TEXTS,
        "location": st.one_of(EXPRESSIONS, TEXTS),
        "name": TEXTS,
        "url": URLS,
        "interval": DURATIONS,
        "allowed": st.one_of(
            HOSTS,
            st.sampled_from(
                ["10.0.0.1/8", "::/0", "1.2.3.4/33", "fe80::1%eth0", "fe80::%1/64"]
            ),
        ),
        "path": PATHS,
        "cron": CRONS,
    },
)


@settings(max_examples=150)
@given(VALUES)
@example({"url": "http://192.168.1.05/cal.ics"})
@example({"url": "http://ｅｘａｍｐｌｅ.com/cal.ics"})
@example({"url": "http://xn--a/cal.ics"})
@example({"endpoint": "https://a..b"})
@example({"endpoint": "https://xn--a"})
@example({"timeout": "3650d", "interval": "3650d", "horizon": "3650d"})
def test_what_is_accepted_can_be_built(values: dict[str, str]) -> None:
    """Whatever `load` accepts, all parts of a daemon are made from it without an error."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = written(folder, **values)
        try:
            config = load(path)
        except ConfigError:
            return
        built(config, folder)


@given(URLS)
def test_plain_urls_are_judged_alike(url: str) -> None:
    """What is told at a glance to be usable is what the full judge accepts."""

    def verdict(judge: Callable[[str], object]) -> bool:
        try:
            judge(url)
        except UnusableUrl:
            return False
        return True

    if url.lower().startswith(("http", "webcal")):
        assert verdict(require_usable) == verdict(parsed_url)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "192.168.1.05",
            "256.1.1.1",
            "ｅｘａｍｐｌｅ.com",
            "xn--a",
            "a..b",
            ".a",
            "a" * 64 + ".example",
            "ex%61mple.com",
        ),
        *(
            "a\u200bb.example",
            "[::g]",
            "example.com:0",
            "example.com:70000",
            "☃.example",
        ),
    ],
)
@pytest.mark.parametrize("key", ["url", "endpoint"])
def test_a_host_that_cannot_be(tmp_path: Path, key: str, host: str) -> None:
    """A URL that nobody can ask for is named with its key, for feeds and for the API alike."""
    (found,) = problems(written(tmp_path, **{key: f"https://{host}"}))
    assert found.startswith(
        {"url": "sources.feed.url: ", "endpoint": "api.endpoint: "}[key]
    )


@pytest.mark.parametrize(
    "host",
    [
        "a_b.example",
        "münchen.example",
        "[::1]",
        "1.2.3.4",
        "example.com.",
        "localhost:8080",
    ],
)
def test_a_host_that_can_be(tmp_path: Path, host: str) -> None:
    """Names with underscores or a dot at the end, international ones and addresses are accepted."""
    built(load(written(tmp_path, url=f"http://{host}/a.ics")), tmp_path)


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("https://example.com/a.ics", "is given as url"),
        ("webcal://example.com/a.ics", "is given as url"),
        ("file:///srv/a.ics", "without file://"),
        ("smb://server/share/a.ics", "mount its share"),
        ("\\\\server\\share\\a.ics", "mount its share"),
        ("//server/share/a.ics", "mount its share"),
        ("C:\\calendars\\a.ics", "path of Windows"),
        ("d:/calendars/a.ics", "path of Windows"),
        ("calendars\\a.ics", "path of Windows"),
        ("~/a.ics", "only a shell replaces"),
        ("~alice/a.ics", "only a shell replaces"),
        ("$HOME/a.ics", "only a shell replaces"),
        ("/srv/${SHARE}/a.ics", "only a shell replaces"),
        ("%USERPROFILE%/a.ics", "only a shell replaces"),
    ],
)
def test_a_path_that_nobody_can_mean(tmp_path: Path, path: str, cure: str) -> None:
    """A path of a shell, a browser or another system is named by `check`, with the cure."""
    (found,) = problems(written(tmp_path, path=path))
    assert found.startswith("sources.files.path: ")
    assert cure in found


@pytest.mark.parametrize(
    "name", ["~", "$HOME", "~tilde.ics", "C:\\a.ics", "a\\b.ics", "100%_sure%.ics"]
)
def test_an_odd_path_that_exists(tmp_path: Path, name: str) -> None:
    """What exists under exactly this name is meant."""
    (tmp_path / name).write_bytes(b"")
    config = load(written(tmp_path, path=name))
    assert config.sources[1].path == tmp_path / name


@pytest.mark.parametrize("key", ["client_id", "room", "creator"])
@pytest.mark.parametrize(
    "text", [" 123", "123 ", "\u00a0123", "123\u200b", "\ufeff123", "123\t", "123\r"]
)
def test_an_identifier_with_something_invisible(
    tmp_path: Path, key: str, text: str
) -> None:
    """A blank, tab or mark before or behind an identifier is named, because the API knows no such thing."""
    path = written(tmp_path, **{key: text})
    names = {
        "client_id": "api.client_id",
        "room": "rooms",
        "creator": "reservation.creator",
    }
    assert any(sentence.startswith(names[key]) for sentence in problems(path))


@pytest.mark.parametrize(
    "content",
    [
        SECRET.encode(),
        SECRET.encode() + b"\r\n",
        b"\xef\xbb\xbf" + SECRET.encode() + b"\n",
        SECRET.encode("utf-16"),
        b"\xfe\xff" + f"{SECRET}\r\n".encode("utf-16-be"),
    ],
)
def test_a_secret_as_editors_write_it(tmp_path: Path, content: bytes) -> None:
    """Line ends and byte order marks are no part of a secret, in UTF-8 and in UTF-16."""
    path = written(tmp_path)
    (tmp_path / "tuya-secret").write_bytes(content)
    assert load(path).api.client_secret.reveal() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET} ",
        f" {SECRET}",
        f"{SECRET}\t\n",
        f"\u00a0{SECRET}",
        f"{SECRET}\u200b",
        f"{SECRET}\ufeff\n",
        "cor\u200drect",
    ],
)
def test_a_secret_with_something_invisible(tmp_path: Path, text: str) -> None:
    """A blank or an invisible character in a secret is named, and the secret is not."""
    path = written(tmp_path)
    (tmp_path / "tuya-secret").write_text(text, "utf-8")
    (found,) = problems(path)
    assert "blank" in found or "invisible" in found
    assert SECRET not in found


# Files that are none.


def fifo(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def listening(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def device(path: Path) -> None:
    """A link to what never ends."""
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to(path.with_name("nothing"))


def enormous(path: Path) -> None:
    """A file that is larger than memory should be."""
    with path.open("wb") as made:
        made.truncate(1 << 40)


NO_FILES = (fifo, listening, device, dangling, enormous, Path.mkdir)
WORDS = (
    "is not a regular file",
    "leads to nothing",
    "has more than",
    "is a directory",
    "cannot be read",
    "not a small regular file",
)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize(
    "name", ["conf.d/more.toml", "syncd.toml", "people.csv", "tuya-secret"]
)
def test_what_is_no_file_is_named_and_not_waited_for(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    """A pipe, a socket, a device, a directory, a dangling link or a huge file is a sentence, never a hang."""
    path = written(tmp_path)
    path.write_text(
        path.read_text().replace(
            "[[rooms]]", '[people]\nfile = "people.csv"\n[[rooms]]', 1
        )
    )
    (tmp_path / "people.csv").write_text("address,user_id\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    found = problems(path)
    assert len(found) == 1
    assert any(words in found[0] for words in WORDS), found
    assert name.rpartition("/")[2] in found[0]
