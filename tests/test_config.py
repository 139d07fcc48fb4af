"""The configuration: what is accepted, what is refused and in which words, and what never shows."""

# ruff: noqa: E501  # sentences stand in one piece, so that they are found by searching

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from syncd import config as configuration
from syncd.assembly.calendars import subscription
from syncd.config import (
    BearerAuth,
    Config,
    HeaderAuth,
    PasswordAuth,
    Secret,
    default_path,
    effective,
    json_schema,
    load,
)
from syncd.config.quantities import (
    duration_text,
    parse_duration,
    parse_share,
    parse_size,
    share_text,
    size_text,
)
from syncd.config.validation import Table
from syncd.errors import ConfigError
from tests.conftest import HANG_S

EXAMPLES = Path(__file__).parent.parent / "config"
PLAIN_SECRET = "correct-horse-battery"

MINIMAL = """\
mode = "full"
calendar.timezone = "Europe/Berlin"
api.region = "eu"
api.client_id = "id"
api.client_secret = { file = "tuya-secret" }
reservation.creator = "3"
reservation.instance = "hq"
"""
SOURCE = '[[sources]]\nname = "office"\n'
FEED = (
    SOURCE
    + 'url = "https://calendar.example.com/private-key/office.ics?token=also-private"\n'
)


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "SYNCD_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the secret of the minimal configuration."""
    secret(tmp_path / "tuya-secret")
    return tmp_path


def secret(path: Path, text: str = PLAIN_SECRET + "\n") -> Path:
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def loaded(home: Path, text: str = MINIMAL) -> Config:
    path = home / "syncd.toml"
    path.write_text(text, "utf-8")
    return load(path)


def problems(home: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(home, text)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in MINIMAL
    return MINIMAL.replace(old, new)


# What is accepted


def test_defaults(home: Path) -> None:
    """What the file leaves out has the documented default, as a value and not as text."""
    config = loaded(home, MINIMAL + SOURCE + 'path = "a.ics"\n')
    assert config.calendar.timezone == ZoneInfo("Europe/Berlin")
    assert config.calendar.horizon == timedelta(days=30)
    assert config.calendar.working_hours == (time(9), time(18))
    assert config.api.requests_per_second == 2.0
    assert config.safety.cancel_share == 0.3
    assert config.schedule.jitter == 0.1
    assert config.state.url == f"sqlite:///{home / 'state.db'}"
    assert config.web.address == ("127.0.0.1", 8620)
    assert config.attachments.publish_dir is None
    (source,) = config.sources
    assert source.max_bytes == 50_000_000
    assert source.path == home / "a.ics"
    assert source.confirmations == 1
    assert config.interval_of(source) == timedelta(minutes=5)


def test_own_interval_and_cron(home: Path) -> None:
    """A source's own interval wins over the default; beside a cron only the default can be."""
    own = loaded(home, MINIMAL + SOURCE + 'path = "a.ics"\ninterval = "30s"\n')
    assert own.interval_of(own.sources[0]) == timedelta(seconds=30)
    cron = loaded(
        home, MINIMAL + SOURCE + 'path = "a.ics"\ncron = "*/10 7-19 * * mon-fri"\n'
    )
    assert (cron.sources[0].interval, cron.sources[0].cron) == (
        None,
        "*/10 7-19 * * mon-fri",
    )
    assert cron.interval_of(cron.sources[0]) == cron.schedule.interval


def test_frozen(home: Path) -> None:
    """A configuration that was loaded cannot be changed."""
    with pytest.raises(ValidationError):
        loaded(home).calendar.roomless = "skip"


def test_equal_files_equal_configurations(home: Path) -> None:
    """Reading the same files again gives an equal configuration, so a reload can see that nothing changed."""
    assert loaded(home) == loaded(home)
    assert loaded(home) != loaded(home, changed('"full"', '"observe"'))


def test_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is that of $SYNCD_CONFIG, and without it the one in /etc."""
    assert default_path() == Path("/etc/syncd/syncd.toml")
    monkeypatch.setenv("SYNCD_CONFIG", "/srv/other.toml")
    assert default_path() == Path("/srv/other.toml")


def test_state_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is in the first of systemd's state directories unless the file says where."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/syncd:/var/lib/other")
    assert loaded(home).state.url == "sqlite:////var/lib/syncd/state.db"
    own = loaded(home, MINIMAL + '[state]\nurl = "sqlite:///own.db"\n')
    assert own.state.url == f"sqlite:///{home / 'own.db'}"


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("webcal://calendar.example.com/a.ics", "https://calendar.example.com/a.ics"),
        ("webcals://calendar.example.com/a.ics", "https://calendar.example.com/a.ics"),
        ("https://calendar.example.com/a.ics", "https://calendar.example.com/a.ics"),
        ("http://calendar.example.com/a.ics", "http://calendar.example.com/a.ics"),
    ],
)
def test_feed_url(home: Path, url: str, fetched: str) -> None:
    """A feed keeps its URL as written, and webcal is fetched by https."""
    config = loaded(home, MINIMAL + SOURCE + f'url = "{url}"\n')
    (source,) = config.sources
    assert (source.url, source.confirmations) == (url, 2)
    assert subscription(source, config).feed.url == fetched


def test_auth(home: Path) -> None:
    """Each kind of auth is a type of its own with exactly its fields."""
    secret(home / "password")
    kinds = [
        (
            'type = "basic", username = "u", password = { file = "password" }',
            PasswordAuth,
        ),
        (
            'type = "digest", username = "u", password = { file = "password" }',
            PasswordAuth,
        ),
        ('type = "bearer", token = { file = "password" }', BearerAuth),
        ('type = "header", name = "X-Key", value = { file = "password" }', HeaderAuth),
    ]
    for fields, kind in kinds:
        (source,) = loaded(home, MINIMAL + FEED + f"auth = {{ {fields} }}\n").sources
        assert isinstance(source.auth, kind)


def test_room_texts(home: Path) -> None:
    """A room is found by its name and its texts without regard to case and blanks, and by expressions."""
    (room,) = loaded(
        home,
        MINIMAL
        + '[[rooms]]\nid = "1"\nname = "Small  Room"\naddresses = ["mailto:Room@Example.com"]\n'
        'locations = ["Klein", "re:^room s\\\\b"]\n',
    ).rooms
    assert room.texts == {"small room", "klein"}
    assert room.expressions[0].search("Room S (second floor)")
    assert room.addresses == ("room@example.com",)


def test_names_as_they_are_pasted(home: Path) -> None:
    """Signs that nobody sees, wide blanks and decomposed letters are taken, and are none of the name."""
    (room,) = loaded(
        home,
        MINIMAL + '[[rooms]]\nid = "1"\nname = "Gru\u0308ner\u3000Raum\u200b"\n'
        'locations = ["\ufeffKle\u00adin", "re:^gru\u0308n\u200e", "re:\u5c0f\uff08\uff11\uff09"]\n',
    ).rooms
    assert room.texts == {"gr\u00fcner raum", "klein"}
    assert room.name == "Gru\u0308ner\u3000Raum"
    found = [
        any(e.search(text) for e in room.expressions)
        for text in ("Gr\u00fcn 1", "\u5c0f(1)", "\u5c0f1")
    ]
    assert found == [True, True, False]


# conf.d


def conf_d(home: Path, **files: str) -> None:
    (home / "conf.d").mkdir()
    for name, text in files.items():
        (home / "conf.d" / f"{name}.toml").write_text(text, "utf-8")


def test_conf_d_merges(home: Path) -> None:
    """Tables of conf.d merge and lists append, in the order of the file names; other files are left alone."""
    conf_d(
        home,
        b='[[sources]]\nname = "second"\npath = "b.ics"\n',
        a='[calendar]\nroomless = "skip"\n[[sources]]\nname = "first"\npath = "a.ics"\n',
    )
    (home / "conf.d" / ".#a.toml").write_text("not TOML", "utf-8")
    (home / "conf.d" / "README").write_text("not TOML", "utf-8")
    config = loaded(home, MINIMAL + SOURCE + 'path = "office.ics"\n')
    assert [source.name for source in config.sources] == ["office", "first", "second"]
    assert config.calendar.roomless == "skip"
    assert config.calendar.timezone.key == "Europe/Berlin"
    assert config.sources[1].path == home / "a.ics"


def test_conf_d_clash(home: Path) -> None:
    """What two files set is a problem that names both, also where it is a table in one of them."""
    conf_d(
        home,
        a='[calendar]\ntimezone = "Europe/Paris"\n[api.region]\nx = 1\n',
        b='mode = "observe"\n',
    )
    assert problems(home, MINIMAL) == (
        "calendar.timezone: is set in syncd.toml and in conf.d/a.toml; keep one of them",
        "api.region: is set in syncd.toml and in conf.d/a.toml; keep one of them",
        "mode: is set in syncd.toml and in conf.d/b.toml; keep one of them",
    )


def test_broken_file_hides_nothing_and_invents_nothing(home: Path) -> None:
    """With one file broken, mistakes of the others are still named, but nothing is called missing."""
    conf_d(home, a='mode "full"\n', b='[log]\nlevel = "loud"\n', c="x = [\n")
    text = (
        MINIMAL.replace('mode = "full"\n', "")
        + SOURCE
        + 'path = "a.ics"\nroom = "defined in a"\n'
    )
    found = problems(home, text)
    assert found == (
        "conf.d/a.toml: line 1, column 6: is not TOML (Expected '=' after a key in a key/value pair)",
        "conf.d/c.toml: end of the file: is not TOML (Invalid value)",
        "log.level: must be one of debug, info, warning, error",
    )


# Files that cannot be read


def test_conf_d_is_no_directory(home: Path) -> None:
    """A conf.d that cannot be listed is a problem and not an empty conf.d."""
    (home / "conf.d").write_text("", "utf-8")
    assert problems(home, MINIMAL) == (
        f"{home}/conf.d/*.toml: cannot be read (Not a directory); make it readable or take it away",
    )


def test_missing_file(tmp_path: Path) -> None:
    """A configuration that is not there is one problem, with the cure."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml")
    assert caught.value.problems == (
        f"{tmp_path}/none.toml: cannot be read (No such file or directory); "
        "create it, or name another with --config or $SYNCD_CONFIG",
    )


def test_directory_instead_of_file(tmp_path: Path) -> None:
    """A directory in the place of the file is one problem and no traceback."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert "is a directory, not a regular file" in caught.value.problems[0]


def test_not_utf8(home: Path) -> None:
    """A file in another encoding is named with its line."""
    (home / "syncd.toml").write_bytes(MINIMAL.encode() + "# Büro\n".encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(home / "syncd.toml")
    assert caught.value.problems == (
        "syncd.toml: line 8: is not UTF-8; save the file as UTF-8",
    )


def test_byte_order_mark(home: Path) -> None:
    """A byte order mark and CRLF, as editors on Windows write them, are no mistake."""
    (home / "syncd.toml").write_bytes(MINIMAL.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(home / "syncd.toml").mode == "full"


def test_syntax(home: Path) -> None:
    """A mistake in TOML is named by file, line and column, without an address that stands there."""
    assert problems(home, MINIMAL + "a = \n") == (
        "syncd.toml: line 8, column 5: is not TOML (Invalid value)",
    )
    twice = (
        '[people]\naddresses = { "ann@example.com" = "1", "ann@example.com" = "2" }\n'
    )
    (found,) = problems(home, MINIMAL + twice)
    assert found.startswith("syncd.toml: line 9, column ")
    assert "ann" not in found


# Mistakes, one by one

MISTAKES = """
mode = "ful"
    mode: must be one of observe, create-only, no-cancel, full; did you mean "full"?
-mode
    mode: is required and has no default
-calendar.timezone
    calendar.timezone: is required and has no default
calendar.timezone = "Europe/Berlim"
    calendar.timezone: must be an IANA time zone such as Europe/Berlin; did you mean "Europe/Berlin"?
calendar.timezone = "../etc/passwd"
    calendar.timezone: must be an IANA time zone such as Europe/Berlin
calendar.timezone = "localtime"
    calendar.timezone: must be an IANA time zone such as Europe/Berlin
calendar.horizn = "1d"
    calendar.horizn: unknown key; did you mean "horizon"?
calendar.mode = "full"
    calendar.mode: unknown key; it belongs above the first [table] of the file
calendar.listen = ""
    calendar.listen: unknown key; it belongs in [web]
log.zzz = 1
    log.zzz: unknown key; the keys here are format, level
sorces = []
    sorces: unknown key; did you mean "sources"?
calendar.horizon = 30
    calendar.horizon: must be a duration such as "30s", "5m", "12h" or "30d"
calendar.horizon = "1h30m"
    calendar.horizon: must be a duration such as "30s", "5m", "12h" or "30d"
calendar.horizon = "0s"
    calendar.horizon: must be from "1s" to "3650d"
calendar.horizon = "999999999999d"
    calendar.horizon: must be from "1s" to "3650d"
calendar.working_hours = ["09:00"]
    calendar.working_hours: must be a start and an end, such as ["09:00", "18:00"]
calendar.working_hours = ["9:00", 18]
    calendar.working_hours: must be a start and an end, such as ["09:00", "18:00"]
calendar.working_hours = ["18:00", "09:00"]
    calendar.working_hours: must end later than they start
calendar.timezones = { "Zone 1" = "Nowhere" }
    calendar.timezones."Zone 1": must be an IANA time zone such as Europe/Berlin
-api.region
    api: needs either region or endpoint
api.region = "mars"
    api.region: must be one of cn, us, us-east, eu, eu-west, in, sg
api.endpoint = "https://api.example.com"
    api.endpoint: cannot be together with region; keep one of them
-api.region & api.endpoint = "http://192.0.2.1"
    api.endpoint: must be https://, because http:// is accepted on loopback (127.0.0.1, ::1, localhost) only
-api.region & api.endpoint = "https://api.example.com/v1.0"
    api.endpoint: must be scheme and host alone, such as https://openapi.tuyaeu.com
-api.client_id
    api.client_id: is required and has no default
api.client_id = ""
    api.client_id: must not be empty; leave the key out instead
api.client_id = "i\\u0000d"
    api.client_id: must not hold line breaks or other control characters
-api.client_secret
    api.client_secret: is required and has no default
api.requests_per_second = 0
    api.requests_per_second: must be more than 0
api.requests_per_second = 101
    api.requests_per_second: must be at most 100
api.requests_per_second = nan
    api.requests_per_second: must be a finite number
api.requests_per_second = "2"
    api.requests_per_second: must be a number, without quotes
api.monthly_calls = -1
    api.monthly_calls: must be at least 0
-reservation.creator
    reservation.creator: is required and has no default
reservation.creator = 3
    reservation.creator: must be text in quotes
reservation.instance = "a b"
    reservation.instance: must be 1 to 32 letters, digits, dots, dashes, underscores
reservation.notice = "no"
    reservation.notice: must be true or false, without quotes
people.file = "none.csv"
    people.file: HOME/none.csv cannot be read (No such file or directory); create it or leave people.file out
people.file = "a\\u0000b"
    people.file: must not hold line breaks or other control characters
people.lookup = 1
    people.lookup: must be true or false, without quotes
people.addresses = { "no address" = "1" }
    people.addresses: entry 1: the address must be an address such as room@example.com
people.addresses = { "a@example.com" = 1 }
    people.addresses: entry 1: the user id must be text and not empty
people.addresses = { "a@example.com" = "1", "A@example.com" = "2" }
    people.addresses: entry 2: the address has another user id at entry 1; keep one of them
people.addresses = 1
    people.addresses: must be a table of addresses and user ids
rooms = { id = "1" }
    rooms: must be a list: ["…", "…"], or [[…]] for tables
rooms = [{ name = "R" }]
    rooms.R.id: is required and has no default
rooms = [{ id = 1410148741926678528 }]
    rooms[1].id: must be text in quotes
rooms = [{ id = "1", locations = ["R", "re:("] }]
    rooms.1.locations[2]: is not a regular expression; without re: in front it would be plain text
rooms = [{ id = "1", locations = ["re:"] }]
    rooms.1.locations[1]: must have a regular expression after re:
rooms = [{ id = "1", addresses = ["small room"] }]
    rooms.1.addresses[1]: must be an address such as room@example.com
rooms = [{ id = "1", addresses = "a@example.com" }]
    rooms.1.addresses: must be a list: ["…", "…"], or [[…]] for tables
rooms = [{ id = "1" }, { id = "1" }]
    rooms[2].id: stands twice: entry 1 of [[rooms]] has the same; each may stand once
rooms = [{ id = "1", addresses = ["a@example.com"] }, { id = "2", addresses = ["mailto:A@Example.com"] }]
    rooms.2.addresses: stands twice: entry 1 of [[rooms]] has the same; each may stand once
rooms = [{ id = "1", name = "Big room" }, { id = "2", locations = ["big  ROOM"] }]
    rooms.2.locations: stands twice: entry 1 of [[rooms]] has the same; each may stand once
rooms = [{ id = "1", name = "Gr\\u00fcn" }, { id = "2", locations = ["GRU\\u0308N\\u200b"] }]
    rooms.2.locations: stands twice: entry 1 of [[rooms]] has the same; each may stand once
rooms = [{ id = "1", name = "\\u200b" }]
    rooms."\u200b".name: must not be empty; leave the key out instead
rooms = [{ id = "1", locations = ["a\\u0007b"] }]
    rooms.1.locations[1]: must not hold line breaks or other control characters
sources = [{ path = "a" }]
    sources[1].name: is required and has no default
sources = [{ name = "office" }]
    sources.office: needs either path or url
sources = [{ name = "office", path = "a" }, { name = "office", path = "b" }]
    sources[2].name: stands twice: entry 1 of [[sources]] has the same; each may stand once
sources = [{ name = "office", path = "" }]
    sources.office.path: must not be empty; leave the key out instead
sources = [{ name = "office", path = "a", url = "https://example.com/" }]
    sources.office.url: cannot be together with path; keep one of them
sources = [{ name = "office", path = "a", allow_hosts = ["10.0.0.0/8"] }]
    sources.office.allow_hosts: is for a url; a path needs none
sources = [{ name = "office", path = "a", auth = { type = "bearer", token = { env = "HOME" } } }]
    sources.office.auth: is for a url; a path needs none
sources = [{ name = "office", path = "a", room = "7" }]
    sources.office.room: is not the id of one of [[rooms]]
sources = [{ name = "office", path = "a", interval = "5m", cron = "0 * * * *" }]
    sources.office.cron: cannot be together with interval; keep one of them
sources = [{ name = "office", path = "a", cron = "0 * * *" }]
    sources.office.cron: must have five fields: minute hour day month weekday, such as */10 7-19 * * mon-fri
sources = [{ name = "office", path = "a", cron = "99 * * * *" }]
    sources.office.cron: is not a cron expression; write minute hour day month weekday, such as */10 7-19 * * mon-fri
sources = [{ name = "office", path = "a", cron = "0 0 * * 0" }]
    sources.office.cron: must name weekdays (mon-fri), because their numbers mean different days to different programs
sources = [{ name = "office", path = "a", cron = "0 0 30 2 *" }]
    sources.office.cron: never comes; look for a day that its month does not have
sources = [{ name = "office", path = "a", max_bytes = "50 MO" }]
    sources.office.max_bytes: must be a size such as "500kB", "50MB" or "1GiB"
sources = [{ name = "office", path = "a", max_bytes = "0MB" }]
    sources.office.max_bytes: must be from "1B" to "1000GB"
sources = [{ name = "office", path = "a", confirmations = 0 }]
    sources.office.confirmations: must be at least 1
sources = [{ name = "office", path = "a", cc = ["office"] }]
    sources.office.cc[1]: must be an address such as room@example.com
sources = [{ name = "office", url = "https://user:pw@example.com/a" }]
    sources.office.url: must not hold a user name or password; use auth with a secret from a file
sources = [{ name = "office", url = "ftp://example.com/a" }]
    sources.office.url: must start with https:// or http:// or webcal:// or webcals://
sources = [{ name = "office", url = "https://[::1/a" }]
    sources.office.url: must be a URL that starts with https:// or http:// or webcal:// or webcals:// and is without blanks
sources = [{ name = "office", url = "https://a.example/", allow_hosts = ["10.0.0.1/8"] }]
    sources.office.allow_hosts[1]: must be a network such as 10.1.0.0/16, with no bit set after its prefix
sources = [{ name = "office", url = "https://a.example/", allow_hosts = ["a.example", "10.0.0.300"] }]
    sources.office.allow_hosts[2]: must be a host name or an IP address
sources = [{ name = "office", url = "https://a.example/", auth = { type = "kerberos" } }]
    sources.office.auth: must be a table with type = "basic", "digest", "bearer" or "header"
sources = [{ name = "office", url = "https://a.example/", auth = { type = "basic", username = "u" } }]
    sources.office.auth.password: is required and has no default
sources = [{ name = "office", url = "https://a.example/", auth = { type = "bearer", token = { env = "HOME" }, user = "u" } }]
    sources.office.auth.user: unknown key; the keys here are type, token
sources = [{ name = "office", url = "https://a.example/", auth = { type = "header", name = "X:Y", value = { env = "HOME" } } }]
    sources.office.auth.name: must be the name of a header, such as X-Api-Key
schedule.jitter = "10"
    schedule.jitter: must be a percentage such as "30%"
safety = 3
    safety: must be a table
safety.cancel_share = "101%"
    safety.cancel_share: must be from "0%" to "100%"
safety.cancel_floor = 2.5
    safety.cancel_floor: must be a whole number, without quotes
safety.empty_hold = -1
    safety.empty_hold: must be at least 0
drift.on_change = "fight"
    drift.on_change: must be one of accept, repair, report
attachments.publish_dir = "a"
    attachments.base_url: is required when publish_dir is set
attachments.base_url = "https://a.example"
    attachments.publish_dir: is required when base_url is set
state.url = "postgresql://host/db"
    state.url: must begin with postgresql+psycopg://, as in postgresql+psycopg://user@host:5432/name
state.url = "postgresql+psycopg://host"
    state.url: must name one database, as in postgresql+psycopg://user@host:5432/name
state.url = "postgresql+psycopg://u:p/w@host/db"
    state.url: must be postgresql+psycopg://user@host:5432/name; write %23 for #, %2F for / and %40 for @ in a name or a password
state.url = "postgresql+psycopg://u@host:x/db"
    state.url: must be postgresql+psycopg://user@host:5432/name; write %23 for #, %2F for / and %40 for @ in a name or a password
state.url = "postgresql+psycopg://u:12/w@host/db"
    state.url: must be postgresql+psycopg://user@host:5432/name; write %23 for #, %2F for / and %40 for @ in a name or a password
state.url = "postgresql+psycopg://u:p@w@host/db"
    state.url: must be postgresql+psycopg://user@host:5432/name; write %23 for #, %2F for / and %40 for @ in a name or a password
state.url = "postgresql+psycopg://host/db?password=p"
    state.url: names the user before the @ and the password by state.password, not behind the ?
state.url = "postgresql+psycopg://u:p@host/db" & state.password = { file = "tuya-secret" }
    state.password: stands in state.url already; leave it out there
state.url = "sqlite:///a.db" & state.durability = "replicated"
    state.durability: is for a PostgreSQL ledger only (state.url)
state.url = "state.db"
    state.url: must be sqlite:///FILE, such as sqlite:///state.db, or postgresql+psycopg://user@host:5432/name
state.url = "sqlite:///:memory:"
    state.url: must name a file, because what is booked must be known after a restart
web.listen = "8620"
    web.listen: must be an address and a port such as "127.0.0.1:8620" or "[::1]:8620"; empty: off
web.listen = "127.0.0.1:70000"
    web.listen: must be an address and a port such as "127.0.0.1:8620" or "[::1]:8620"; empty: off
web.token = { file = "tuya-secret" } & web.feed_token = { file = "tuya-secret" }
    web.feed_token: is that of the page, which would open to whoever sees the address of a feed; make another one
web.listen = "0.0.0.0:8620"
    web.token: is required when listening beyond loopback; write { file = "name" } or { env = "NAME" }
notices.webhook.url = "mailto:x"
    notices.webhook.url: must be a URL that starts with http:// or https:// and is without blanks
notices.mail = { from = "a@example.com", to = [] }
    notices.mail.to: must not be an empty list
notices.mail = { to = ["a@example.com"] }
    notices.mail.from: is required and has no default
log.format = "xml"
    log.format: must be one of auto, json, console
log.level = true
    log.level: must be one of debug, info, warning, error
"""
"""Edits (`key = value` replaces or adds, `-key` removes, `&` between them) and, indented, the one problem that it makes."""

_MISTAKE_LINES = MISTAKES.strip().splitlines()


def edited(edits: str) -> str:
    lines = MINIMAL.splitlines()
    for edit in edits.split(" & "):
        key = edit.removeprefix("-").partition(" = ")[0]
        lines = [line for line in lines if not line.startswith(f"{key} = ")]
        lines += [] if edit.startswith("-") else [edit]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(edit, expected.strip(), id=f"{n}-{edit.partition(' = ')[0]}")
        for n, (edit, expected) in enumerate(
            zip(_MISTAKE_LINES[::2], _MISTAKE_LINES[1::2], strict=True)
        )
    ],
)
def test_mistake(home: Path, edit: str, expected: str) -> None:
    """Each mistake is named in exactly this sentence, with what is allowed."""
    assert problems(home, edited(edit)) == (expected.replace("HOME", str(home)),)


def test_five_mistakes_at_once(home: Path) -> None:
    """Mistakes of different kinds in different places, and between keys, are all named in one run."""
    (home / "people.csv").write_text("address,user_id\nann@example.com\n", "utf-8")
    conf_d(
        home,
        more='[[sources]]\nname = "office"\npath = "b.ics"\n[log]\nlevell = "info"\n',
    )
    text = (
        MINIMAL.replace('"full"', '"everything"').replace("tuya-secret", "absent")
        + SOURCE
        + 'path = "a.ics"\ninterval = "5 minutes"\nroom = "7"\n[people]\nfile = "people.csv"\n'
    )
    assert [problem.partition(":")[0] for problem in problems(home, text)] == [
        "mode",
        "api.client_secret",
        "people.file",
        "sources[1].interval",
        "log.levell",
        "sources[2].name",
        "sources[1].room",
    ]


def test_every_kind_of_value_has_a_sentence_of_ours(home: Path) -> None:
    """Whatever type stands at a key, the answer is a sentence of ours and never the fallback."""
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    for name, section in sections.items():
        if not (isinstance(section, type) and issubclass(section, Table)):
            continue
        for key in section.keys():  # noqa: SIM118  # a method of ours
            for value in (
                "1",
                "1.5",
                '"?"',
                "true",
                "[1]",
                "[[]]",
                "{ x = 1 }",
                "2026-01-01",
                "nan",
            ):
                with contextlib.suppress(ConfigError):
                    loaded(home, edited(f"{name}.{key} = {value}"))
                    continue
                for found in problems(home, edited(f"{name}.{key} = {value}")):
                    assert "is not a valid value" not in found
                    assert not re.search(r"\b[Ii]nput\b", found)


# Secrets


def with_secret(reference: str) -> str:
    return changed('{ file = "tuya-secret" }', reference)


def test_secret_of_file_and_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is the text of its file or variable, without the line end."""
    monkeypatch.setenv("TUYA_SECRET", "from the environment")
    assert loaded(home).api.client_secret.reveal() == PLAIN_SECRET
    config = loaded(home, with_secret('{ env = "TUYA_SECRET" }'))
    assert config.api.client_secret.reveal() == "from the environment"


def test_secret_of_credentials_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare name is a credential of systemd first, whose modes are systemd's business."""
    credentials = home / "credentials"
    credentials.mkdir()
    secret(credentials / "tuya-secret", "credential").chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert loaded(home).api.client_secret.reveal() == "credential"
    beside = loaded(home, with_secret('{ file = "./tuya-secret" }'))
    assert beside.api.client_secret.reveal() == PLAIN_SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_secret_open_to_others(home: Path, mode: int) -> None:
    """A secret that others can read is refused with the command that closes it."""
    (home / "tuya-secret").chmod(mode)
    assert problems(home, MINIMAL) == (
        f"api.client_secret: {home}/tuya-secret is open to its group or to others; run chmod 600 on it",
    )


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f'"{PLAIN_SECRET}"', "must not stand in the configuration itself; write"),
        ("3", "must be a reference to a secret; write"),
        ("{}", "must be a reference to a secret; write"),
        ('{ file = "a", env = "B" }', "must be a reference to a secret; write"),
        ('{ text = "a" }', "must be a reference to a secret; write"),
        ('{ file = "" }', "must be a reference to a secret; write"),
        (
            '{ file = "absent" }',
            "/absent cannot be read (No such file or directory); create it",
        ),
        ('{ file = "." }', "is not a small regular file; a secret is one line of text"),
        ('{ file = "empty" }', "/empty is empty; put the secret into it"),
        (
            '{ file = "lines" }',
            "/lines has more than one line; a secret is one line of text",
        ),
        (
            '{ file = "bytes" }',
            "/bytes is not UTF-8 text; a secret is one line of text",
        ),
        (
            '{ env = "SYNCD_ABSENT" }',
            "the environment variable SYNCD_ABSENT is not set; set it",
        ),
    ],
)
def test_secret_refused(home: Path, reference: str, expected: str) -> None:
    """What is not a usable reference is refused with the way to write one, and without the secret."""
    secret(home / "empty", "\n")
    secret(home / "lines", f"{PLAIN_SECRET}\nmore\n")
    secret(home / "bytes").write_bytes(b"\xe4\xf6")
    (found,) = problems(home, with_secret(reference))
    assert found.startswith("api.client_secret: ")
    assert expected in found
    assert PLAIN_SECRET not in found


def test_secret_is_rotated(home: Path) -> None:
    """A replaced secret is seen without a reload, and while the file is unusable the last good one counts."""
    held = loaded(home).api.client_secret
    replacement = secret(home / "new", "rotated\n")
    replacement.replace(home / "tuya-secret")
    assert held.reveal() == "rotated"
    secret(home / "tuya-secret", "")
    assert held.reveal() == "rotated"
    (home / "tuya-secret").unlink()
    assert held.reveal() == "rotated"
    secret(home / "tuya-secret", "third")
    assert held.reveal() == "third"


def test_secret_never_read(tmp_path: Path) -> None:
    """A secret that never was readable says so when it is asked for."""
    with pytest.raises(ConfigError, match="cannot be read"):
        Secret(file=tmp_path / "absent").reveal()
    with pytest.raises(ValueError, match="in a file or in an environment variable"):
        Secret()


def test_nothing_secret_shows(home: Path) -> None:
    """No repr, no str and no dump holds a secret, an address or the path of a feed."""
    text = (
        MINIMAL
        + FEED
        + 'auth = { type = "bearer", token = { file = "tuya-secret" } }\ncc = ["ann@example.com"]\n'
        + '[people.addresses]\n"ann@example.com" = "1"\n'
        + '[notices]\nping = "https://ping.example.com/private-key"\n'
    )
    config = loaded(home, text)
    config.api.client_secret.reveal()
    shown = effective(config)
    for text in (
        repr(config),
        str(config),
        repr(config.sources),
        str(config.api),
        shown,
    ):
        assert PLAIN_SECRET not in text
        assert "-private" not in text
        assert "private-" not in text
    for text in (
        repr(config),
        str(config),
        repr(config.people),
        repr(config.sources[0]),
    ):
        assert "ann@" not in text
    assert "https://calendar.example.com/…" in shown
    assert "https://ping.example.com/…" in shown
    assert (
        f"{config.api.client_secret} {config.api.client_secret!r}"
        == "******** Secret(********)"
    )


def test_nothing_secret_in_errors(home: Path) -> None:
    """Wherever a secret or an address is written by mistake, no problem and no traceback repeats it."""
    places = [
        with_secret(f'"{PLAIN_SECRET}"'),
        with_secret(f'{{ file = ["{PLAIN_SECRET}"] }}'),
        changed('"full"', f'"{PLAIN_SECRET}"'),
        changed("Europe/Berlin", PLAIN_SECRET),
        changed('region = "eu"', f'region = "{PLAIN_SECRET}"'),
        changed(
            'api.region = "eu"', f'api.endpoint = "http://u:{PLAIN_SECRET}@example.com"'
        ),
        MINIMAL
        + SOURCE
        + f'url = "https://u:{PLAIN_SECRET}@example.com/{PLAIN_SECRET}"\n',
        MINIMAL
        + FEED
        + f'auth = {{ type = "basic", username = "u", password = "{PLAIN_SECRET}" }}\n',
        MINIMAL + FEED + f'auth = "{PLAIN_SECRET}"\n',
        MINIMAL + f'[state]\nurl = "postgresql://u:{PLAIN_SECRET}@host/db"\n',
        MINIMAL + f'[state]\nurl = "postgresql+psycopg://u:{PLAIN_SECRET}@h/d/b"\n',
        MINIMAL + f'[people.addresses]\n"{PLAIN_SECRET}@example.com" = 3\n',
        MINIMAL
        + f'[people]\naddresses = {{ "{PLAIN_SECRET}@x" = "1", "{PLAIN_SECRET}@x" = "2" }}\n',
        MINIMAL + f'[notices]\nping = "{PLAIN_SECRET}"\n',
    ]
    for text in places:
        with pytest.raises(ConfigError) as caught:
            loaded(home, text)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert PLAIN_SECRET not in f"{chain!s} {chain!r}", text
            chain = chain.__cause__ or (
                None if chain.__suppress_context__ else chain.__context__
            )


def test_nothing_secret_in_errors_of_a_model() -> None:
    """The error of a model that is used without `load` has no input in it either, in no form."""
    with pytest.raises(ValidationError) as caught:
        configuration.Api.model_validate(
            {"client_secret": PLAIN_SECRET, "region": PLAIN_SECRET}
        )
    assert (
        PLAIN_SECRET
        not in f"{caught.value!s} {caught.value!r} {caught.value.errors()!r}"
    )


# People


def people(home: Path, content: bytes | str, more: str = "") -> Config:
    (home / "people.csv").write_bytes(
        content.encode() if isinstance(content, str) else content
    )
    return loaded(home, MINIMAL + '[people]\nfile = "people.csv"\n' + more)


@pytest.mark.parametrize(
    "content",
    [
        "address,user_id\nann@example.com,1\nbob@example.com,2\n",
        "\ufeffaddress;user_id\r\nmailto:Ann@Example.com;1\r\n\r\nbob@example.com;2\r\n",
        "User_ID\tname\tAddress\n1\tAnn\tann@example.com\n2\t\tBOB@example.com\n",
        'address,user_id\n"ann@example.com","1"\nbob@example.com, 2 \nann@example.com,1\n',
        "# Clerks; two\n\naddress,user_id,remark\n#eve@example.com,9,\nann@example.com,1,'a\n# b'\n"
        'bob@example.com,2\n# "without its pair\n'.replace("'", '"'),
    ],
    ids=["plain", "spreadsheet", "other columns", "quoted and repeated", "comments"],
)
def test_people_file(home: Path, content: str) -> None:
    """The list is read as editors and spreadsheets write it."""
    assert people(home, content).people.directory == {
        "ann@example.com": "1",
        "bob@example.com": "2",
    }


def test_people_addresses_win(home: Path) -> None:
    """What the configuration itself says about an address counts more than the file."""
    config = people(
        home,
        "address,user_id\nann@example.com,1\nbob@example.com,2\n",
        '[people.addresses]\n"MAILTO:Ann@example.com" = "9"\n',
    )
    assert config.people.directory == {"ann@example.com": "9", "bob@example.com": "2"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["people.csv line 1: must be a header with the columns address,user_id"]),
        (
            b"ann@example.com,1\n",
            ["people.csv line 1: must be a header with the columns address,user_id"],
        ),
        (
            "address,user_id\nJürgen,1\n".encode("latin-1"),
            ['people.csv is not UTF-8; save it as "CSV UTF-8"'],
        ),
        (
            "address,user_id\na@b.c,1\n".encode("utf-16"),
            ['people.csv is not UTF-8; save it as "CSV UTF-8"'],
        ),
        (
            b"address,user_id\nann@example.com\nann,1\n\nann@example.com,\nbob@example.com,1.41E+18\n"
            b"eve@example.com,1\nEve@example.com,2\n",
            [
                "people.csv line 2: must have an address and a user id",
                "people.csv line 3: the address must be an address such as room@example.com",
                "people.csv line 5: the user id must be text and not empty",
                "people.csv line 6: a spreadsheet has rounded the user id; format the column as text",
                "people.csv line 8: the address has another user id at people.csv line 7; keep one of them",
            ],
        ),
        (
            b"# address,user_id\n\naddress,user_id\n# eve\nann,1\n",
            [
                "people.csv line 5: the address must be an address such as room@example.com"
            ],
        ),
        (
            b'address,user_id\n"ann@example.com,1\n',
            [
                "people.csv line 2: is not CSV; look for a quotation mark without its pair"
            ],
        ),
    ],
)
def test_people_mistakes(home: Path, content: bytes, expected: list[str]) -> None:
    """Every bad line is named by its number, and never by the person in it."""
    with pytest.raises(ConfigError) as caught:
        people(home, content)
    assert list(caught.value.problems) == [
        f"people.file: {sentence}" for sentence in expected
    ]


def test_people_reread(home: Path) -> None:
    """A changed list counts when the configuration is read again; a broken one is refused."""
    held = people(home, "address,user_id\nann@example.com,1\n").people
    assert people(home, "address,user_id\nann@example.com,2\n").people.directory == {
        "ann@example.com": "2"
    }
    assert held.directory == {"ann@example.com": "1"}
    with pytest.raises(ConfigError, match=r"people\.file: people\.csv line 1"):
        people(home, "nothing\n")
    assert held.directory == {"ann@example.com": "1"}


# Quantities


@given(st.integers(min_value=1, max_value=3650 * 86400))
def test_duration_round_trip(seconds: int) -> None:
    """Every duration reads back from its own text."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration)) == duration


@given(st.integers(min_value=1, max_value=10**12))
def test_size_round_trip(size: int) -> None:
    """Every size reads back from its own text."""
    assert parse_size(size_text(size)) == size


@given(st.integers(min_value=0, max_value=1000))
def test_share_round_trip(per_mille: int) -> None:
    """Every percentage with one decimal reads back from its own text."""
    assert parse_share(share_text(per_mille / 1000)) == pytest.approx(
        per_mille / 1000, abs=1e-12
    )


# What is shipped


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The example configuration as a user copies it, with the secret put beside it."""
    for name in ("syncd.toml", "people.csv", "sample.ics"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    secret(tmp_path / "tuya-secret")
    return tmp_path / "syncd.toml"


def test_example_loads(shipped: Path) -> None:
    """The complete example is valid as it is, and its source is the sample calendar."""
    config = load(shipped)
    assert [source.path for source in config.sources] == [shipped.parent / "sample.ics"]
    assert len(config.people.directory) == 6


def example_keys() -> dict[str, str]:
    """Every key of the example, active or in a comment, with its value as text."""
    keys: dict[str, str] = {}
    section = ""
    for line in (EXAMPLES / "syncd.toml").read_text("utf-8").splitlines():
        if header := re.fullmatch(r"\[+([a-z.]+)\]+", line):
            section = header[1]
            if "." in section:
                keys[section] = ""
        elif section.count(".") == 0 and (
            found := re.fullmatch(r"(?:# )?([a-z_]+) = (.+)", line)
        ):
            keys.setdefault(f"{section}.{found[1]}".removeprefix("."), found[2])
    return keys


def test_example_is_complete() -> None:
    """Every key of the model stands in the example, and nothing else does."""
    expected = set()
    for name, field in Config.model_fields.items():
        listed: dict[str, type[Table]] = {
            "rooms": configuration.Room,
            "sources": configuration.Source,
        }
        section = listed.get(name) or field.annotation
        if isinstance(section, type) and issubclass(section, Table):
            expected |= {f"{name}.{key}" for key in section.keys()}  # noqa: SIM118  # a method of ours
        else:
            expected.add(name)
    assert set(example_keys()) == expected


def test_example_shows_defaults(shipped: Path) -> None:
    """Where a key has a default, the example shows that default, but for what makes it an example."""
    example = load(shipped).model_dump()
    secret(shipped.parent / "tuya-secret")
    plain = loaded(
        shipped.parent, MINIMAL + SOURCE + 'path = "sample.ics"\n'
    ).model_dump()
    chosen = {
        ("calendar", "timezones"),
        ("people", "file"),
        ("people", "addresses"),
        ("api", "client_id"),
    }
    for section in set(plain) - {"mode", "rooms", "sources"}:
        for key, value in plain[section].items():
            if (section, key) not in chosen:
                assert example[section][key] == value, (section, key)
    assert example["sources"][0] == plain["sources"][0] | {"interval": "1m"}


def test_example_comments_are_valid(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the example shows in comments is valid too once it is taken out of them."""
    for name in (
        "feed-password",
        "feed-token",
        "page-feed-token",
        "webhook-secret",
        "web-token",
    ):
        secret(shipped.parent / name)
    text = shipped.read_text("utf-8")
    for key in (
        "webhook",
        "mail",
        "command",
        "ping",
        "token",
        "feed_token",
        "room",
        "creator",
        "timezone",
        "cron",
        "url",
    ):
        text = re.sub(rf"(?m)^# ({key} = )", r"\1", text)
    text = text.replace('path = "sample.ics"', "").replace('interval = "1m"', "")
    auths = re.findall(r"(?m)^# (auth = .*)$", text)
    assert len(auths) == 3
    monkeypatch.setenv("FEED_KEY", PLAIN_SECRET)
    for auth in auths:
        shipped.write_text(text.replace(f"# {auth}", auth), "utf-8")
        config = load(shipped)
        assert config.sources[0].auth is not None
        assert config.notices.mail is not None
        assert config.notices.mail.sender == "syncd@example.com"


def test_example_with_sandbox(shipped: Path) -> None:
    """Two lines turn the example from the cloud to a sandbox on this machine."""
    text = shipped.read_text("utf-8")
    text = text.replace('region = "eu"', '# region = "eu"')
    text = text.replace(
        '# endpoint = "http://127.0.0.1:PORT"', 'endpoint = "http://127.0.0.1:8080"'
    )
    shipped.write_text(text, "utf-8")
    assert load(shipped).api.endpoint == "http://127.0.0.1:8080"


def test_effective_is_a_configuration(shipped: Path) -> None:
    """What `effective` prints is valid TOML with every key, and loads to an equal configuration."""
    config = load(shipped)
    shown = effective(config)
    tree = tomllib.loads(shown)
    assert tree["calendar"]["all_day"] == "skip"
    assert tree["safety"]["cancel_share"] == "30%"
    for key in example_keys():
        assert re.search(rf"(?m)^(# )?{key.rpartition('.')[2]} ", shown), key
    other = shipped.with_name("effective.toml")
    other.write_text(shown, "utf-8")
    assert load(other) == config


def test_schema_is_current() -> None:
    """The shipped schema is what the model says today."""
    printed = subprocess.run(
        [sys.executable, "-m", "syncd.config"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=HANG_S,
    ).stdout
    shipped = (EXAMPLES / "syncd.schema.json").read_text("utf-8")
    assert printed == shipped, "run: python -m syncd.config > config/syncd.schema.json"


def test_schema_agrees_with_the_loader() -> None:
    """The schema is valid, accepts the example, and refuses what an editor should underline."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    example = tomllib.loads((EXAMPLES / "syncd.toml").read_text("utf-8"))
    assert list(validator.iter_errors(example)) == []
    assert "null" not in json.dumps(schema)
    wrong = example | {
        "mode": "ful",
        "log": {"levle": "info"},
        "calendar": {"horizon": "soon", "timezone": "UTC"},
        "api": example["api"] | {"client_secret": "plain"},
    }
    found = {
        ".".join(map(str, error.absolute_path))
        for error in validator.iter_errors(wrong)
    }
    assert found == {"mode", "log", "calendar.horizon", "api.client_secret"}
    assert {error.validator for error in validator.iter_errors({})} == {"required"}


def test_sample_calendar(shipped: Path) -> None:
    """The sample is valid iCalendar, has what an office has, and names only rooms and people of the example."""
    config = load(shipped)
    content = (EXAMPLES / "sample.ics").read_bytes()
    lines = content.split(b"\r\n")
    assert lines[-1] == b""
    assert not any(b"\n" in line or b"\r" in line or len(line) > 75 for line in lines)

    calendar = icalendar.Calendar.from_ical(content)
    assert isinstance(calendar, icalendar.Calendar)
    events = calendar.events
    assert not any(component.errors for component in calendar.walk())
    assert [str(zone["TZID"]) for zone in calendar.walk("VTIMEZONE")] == [
        "Europe/Berlin"
    ]

    series = [event for event in events if "RRULE" in event]
    assert len(series) == len(events) - 1
    assert not any(re.search("UNTIL|COUNT", str(event["RRULE"])) for event in series)
    for name in ("EXDATE", "ATTACH", "CONFERENCE", "URL", "RECURRENCE-ID"):
        assert any(name in event for event in events), name
    assert any(event.get("TRANSP") == "TRANSPARENT" for event in events)
    assert any(event["DTSTART"].params.get("VALUE") == "DATE" for event in events)

    rooms = {address for room in config.rooms for address in room.addresses}
    known = rooms | set(config.people.directory)
    by_room = []
    for event in events:
        listed = event.get("ATTENDEE", [])
        addresses = {
            str(a).removeprefix("mailto:")
            for a in (listed if isinstance(listed, list) else [listed])
        }
        addresses.add(str(event["ORGANIZER"]).removeprefix("mailto:"))
        assert addresses <= known, addresses - known
        location = str(event.get("LOCATION", ""))
        by_location = [
            room.id
            for room in config.rooms
            if location.casefold() in room.texts
            or any(e.search(location) for e in room.expressions)
        ]
        assert not location or by_location
        by_room.append((len(addresses & rooms), len(by_location)))
    assert (2, 0) in by_room
    assert (0, 1) in by_room
    assert (0, 0) in by_room
