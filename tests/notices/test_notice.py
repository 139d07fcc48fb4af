"""Notices in words: what stands in them, what does not, and mails that people read."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import Config, load
from syncd.core.subject import Alert, Subject, SubjectKind
from syncd.ledger.notices import OutboxNotice
from syncd.notices.decisions import News
from syncd.notices.mail import folded_command, mail_of, mail_text
from syncd.notices.notice import Composer
from tests.notices.building import NOON, alert

BERLIN = ZoneInfo("Europe/Berlin")
CONFIGURATION = """
mode = "full"
calendar.timezone = "Europe/Berlin"
api.region = "eu"
api.client_id = "id"
api.client_secret = { env = "TUYA_SECRET" }
reservation.creator = "3"
reservation.instance = "hq"
people.addresses = { "alice@example.com" = "1" }
"""
TAKEN = (
    "The room is taken from 2026-12-01 09:00 UTC to 2026-12-01 10:00 UTC by reservation 77 "
    "(Dismissal of Bob (bob@example.com))."
)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes configurations: `configured(more)`."""
    monkeypatch.setenv("TUYA_SECRET", "secret")

    def make(more: str = "") -> Config:
        path = tmp_path / "syncd.toml"
        path.write_text(CONFIGURATION + more)
        return load(path)

    return make


def composed(config: Config, *alerts: Alert, is_over: bool = False) -> OutboxNotice:
    """The notice about alerts of one kind, or of their end."""
    subjects = [
        replace(Subject.of(one), is_known_open=True, thread="msg_first")
        for one in alerts
    ]
    if is_over:
        subjects = [one.over(NOON + timedelta(hours=3)) for one in subjects]
    composer = Composer(config, lambda _alert: None)
    news = News(alerts[0].kind, tuple(subjects))
    return composer.compose(news, "msg_second", NOON)


def document(notice: OutboxNotice) -> Any:
    """What is sent."""
    return json.loads(notice.body)


def refused(detail: str = TAKEN, reason: str = "room_conflict") -> Alert:
    """A refused booking."""
    return alert(
        SubjectKind.REFUSED,
        "booking/uid//9/refused",
        detail=detail,
        reason=reason,
        uid="uid",
        topic="Dismissal of Bob",
        title="1 booking refused",
    )


def test_a_notice_has_what_programs_go_by(configured: Any) -> None:
    """Type, time, and of the subject its name, state, beginning, reason, sentence, command and address."""
    failing = replace(
        alert(SubjectKind.SOURCE, "source/sales", title="Source sales cannot be read"),
        place="/source/sales",
    )
    told = document(composed(configured(), failing))
    assert told["type"] == "syncd.source.failing"
    assert told["timestamp"] == "2026-12-01T12:00:00Z"
    data = told["data"]
    assert {name: data[name] for name in ("subject", "state", "since", "command")} == {
        "subject": "source/sales",
        "state": "failing",
        "since": "2026-12-01T12:00:00Z",
        "command": "syncd doctor",
    }
    assert data["url"] == "http://127.0.0.1:8620/source/sales"
    assert (data["reason"], data["detail"]) == ("wrong", "Something is wrong.")
    assert (data["instance"], data["count"], len(data["subjects"])) == ("hq", 1, 1)


def test_without_a_page_there_is_no_address(configured: Any) -> None:
    """`url` is null where no page is served, and names this machine where it listens on all addresses."""
    off = configured('web.listen = ""\n')
    assert document(composed(off, alert()))["data"]["url"] is None
    everywhere = configured(
        'web.listen = "[::]:8620"\nweb.token = { env = "TUYA_SECRET" }\n'
    )
    url = document(composed(everywhere, alert()))["data"]["url"]
    assert url.startswith("http://")
    assert url.endswith(":8620/")
    assert "::" not in url


def test_behind_a_proxy_the_address_is_that_of_the_proxy(configured: Any) -> None:
    """A page on loopback that answers to another name is reached by that, over TLS."""
    behind = configured('web.hosts = ["syncd.example.com"]\n')
    url = document(composed(behind, alert()))["data"]["url"]
    assert url == "https://syncd.example.com/"


def test_a_source_that_is_no_longer_configured_is_told_so(configured: Any) -> None:
    """Nobody can say that it can be read again."""
    gone = replace(alert(SubjectKind.SOURCE, "source/sales"), reason="not_configured")
    told = document(composed(configured(), gone, is_over=True))
    assert told["type"] == "syncd.source.recovered"
    assert told["data"]["title"] == "Source sales is no longer configured"


def test_an_end_says_how_long_it_lasted(configured: Any) -> None:
    """As seconds for programs and in words for people."""
    told = document(composed(configured(), alert(), is_over=True))
    assert told["type"] == "syncd.api.usable"
    assert told["data"]["duration_seconds"] == 3 * 3600
    assert told["data"]["duration"] == "3 h"
    assert told["data"]["state"] == "usable"


def test_several_of_a_kind_are_one_notice(configured: Any) -> None:
    """The title says how many; each has its place; of very many the first are listed and all counted."""
    sources = [alert(SubjectKind.SOURCE, f"source/s{n}", title="?") for n in range(60)]
    data = document(composed(configured(), *sources))["data"]
    assert data["title"] == data["subject"] == "60 sources cannot be read"
    assert (data["count"], len(data["subjects"])) == (60, 50)
    over = document(composed(configured(), *sources[:2], is_over=True))
    assert over["data"]["title"] == "2 sources can be read again"


def test_names_and_topics_are_left_out(configured: Any) -> None:
    """Without notices.private nothing of the topic, of people or of what stands in the way by name is sent."""
    told = composed(configured(), refused()).body
    for word in ("Dismissal", "Bob", "bob@"):
        assert word not in told
    assert "from 2026-12-01 09:00 UTC" in told
    assert "reservation 77" in told
    code = refused("The API refused it with code 990001: Bob may not", "refused")
    told = composed(configured(), code).body
    assert "Bob" not in told
    assert "with code 990001." in told
    other = refused("Bob said no", "refused")
    assert "Bob" not in composed(configured(), other).body
    named = alert(
        SubjectKind.SOURCE, "source/s", detail="bob@example.com.ics does not exist"
    )
    assert "bob@" not in composed(configured(), named).body


def test_names_and_topics_are_told_if_that_is_wished(configured: Any) -> None:
    """With notices.private the topic stands there, and who asked for the meeting if it is known."""
    private = configured("notices.private = true\n")
    told = document(composed(private, refused()))["data"]
    assert told["topic"] == "Dismissal of Bob"
    assert told["detail"] == TAKEN
    assert "organizer" in told


def test_foreign_text_is_shown_and_not_obeyed(configured: Any) -> None:
    """Line ends, escapes and half characters of a topic or an error end no header and no line."""
    private = configured("notices.private = true\n")
    evil = "x\r\nBcc: all@example.com\x1b[31m\ud800\u202e" + "y" * 300
    hostile = replace(refused(evil), topic=evil, title=evil)
    notice = composed(private, hostile)
    mail = mail_of(notice, "syncd@example.com", ("it@example.com",), BERLIN)
    parsed = message_from_bytes(mail.as_bytes(), policy=default)
    assert parsed["Bcc"] is None
    assert "\x1b" not in parsed.get_content()
    assert "\u202e" not in parsed.get_content()


def test_a_mail_is_plain_narrow_and_in_its_thread(configured: Any) -> None:
    """Subject with the installation's name, lines below 70 columns, and a thread for each story."""
    held = alert(
        SubjectKind.HELD,
        title="3 cancellations held",
        detail="Look at them with syncd plan --held; approve them, or mend the calendar, "
        "or ask somebody who knows.",
        number=3,
    )
    notice = composed(configured(), held)
    mail = mail_of(notice, "syncd@example.com", ("it@example.com", "b@x.org"), BERLIN)
    assert mail["Subject"] == "[syncd hq] 3 cancellations held"
    assert mail["To"] == "it@example.com, b@x.org"
    assert mail["Message-ID"] == "<msg_second@example.com>"
    assert mail["References"] == mail["In-Reply-To"] == "<msg_first@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert max(map(len, text.splitlines())) < 70
    assert "Since: Tue 01 Dec 13:00" in text, "in the zone of the calendars"
    assert "syncd doctor" in text
    assert "{" not in text


@pytest.mark.parametrize("number", [1, 3, 80])
def test_every_mail_is_narrow(configured: Any, number: int) -> None:
    """Also those about many meetings with long identifiers, and the digest."""
    config = configured("notices.private = true\n")
    alerts = [
        replace(
            refused("word " * 60),
            name=f"booking/{n}/refused",
            command=f"syncd explain {'0' * 200}{n}",
            topic="Topic " * 30,
        )
        for n in range(number)
    ]
    composer = Composer(config, lambda _alert: None)
    digest = composer.digest([Subject.of(one) for one in alerts], "n", NOON, 2)
    for notice in (composed(config, *alerts), digest, composer.test("n", NOON)):
        lines = mail_text(document(notice), BERLIN).splitlines()
        assert max(map(len, lines)) < 70
    assert "Given up since the digest before: 2 notices." in digest.body


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=120),
    min_size=1,
    max_size=4,
)


@given(WORDS)
def test_a_broken_command_has_narrow_lines(words: list[str]) -> None:
    """Each line is below 70 columns, and says that it goes on."""
    lines = folded_command(shlex.join(["echo", *words]))
    assert all(len(line) < 70 for line in lines)
    assert all(line.endswith("\\") for line in lines[:-1])


def test_a_shell_takes_a_broken_command_as_the_same() -> None:
    """A real shell is given the lines of long commands with quotes, blanks and apostrophes."""
    words = [
        "it's " * 30,
        "0" * 300,
        "a b",
        "'" * 90,
        "x" * 66 + "'" + "y" * 70,
        "$HOME `id` " * 12,
    ]
    for word in words:
        command = shlex.join(["printf", "%s", word])
        script = "\n".join(folded_command(command))
        ran = subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=True
        )
        assert ran.stdout == word
