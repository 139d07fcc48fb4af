"""Webhook, mail, command and ping against real receivers: what arrives, and what is said of what does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trustme

from syncd.config import Mail, Notices, Secret, Webhook
from syncd.ledger import Ledger
from syncd.ledger.notices import OutboxNotice
from syncd.notices.channel import Undelivered
from syncd.notices.command import CommandChannel
from syncd.notices.mail import MailChannel
from syncd.notices.ping import Pinger, PingThread, Pulse
from syncd.notices.webhook import WebhookChannel, signature
from tests.conftest import HANG_S
from tests.daemon.running import until
from tests.notices.building import NOON
from tests.notices.receiver import MailServer, Receiver

BERLIN = ZoneInfo("Europe/Berlin")
BODY = {
    "type": "syncd.test",
    "timestamp": "2026-12-01T12:00:00Z",
    "data": {
        "subject": "test",
        "since": "2026-12-01T12:00:00Z",
        "title": "This is a test – ü",
        "detail": "Nothing is wrong.",
        "command": "syncd status",
        "url": None,
        "instance": "hq",
        "count": 0,
        "subjects": [],
    },
}
NOTICE = OutboxNotice("msg_1", json.dumps(BODY, ensure_ascii=False), ("msg_0",))
LOOPBACK = ["127.0.0.1"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of posts."""
    with Receiver().running() as running:
        yield running


def secret(path: Path, text: str) -> Secret:
    """A secret in a file."""
    path.touch(mode=0o600)
    path.write_text(text)
    return Secret(file=path)


def webhook(
    receiver: Receiver, allow: list[str] = LOOPBACK, **more: Any
) -> WebhookChannel:
    """A webhook to a receiver."""
    table = Webhook.model_validate({"url": receiver.url(), "allow_hosts": allow} | more)
    return WebhookChannel(table, Notices.model_validate({}), lambda: NOON)


def refusal(deliver: Any, *given: Any) -> Undelivered:
    """Why something was not delivered."""
    with pytest.raises(Undelivered) as caught:
        deliver(*given)
    return caught.value


# Webhook


def test_signatures_are_those_of_the_specification() -> None:
    """The published example comes out, with the secret in base64; any other secret is a key as it stands."""
    name, timestamp, body = (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    told = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", name, timestamp, body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    signed = f"{name}.{timestamp}.".encode() + body
    plain = hmac.new(b"as it stands", signed, hashlib.sha256).digest()
    told = signature("as it stands", name, timestamp, body)
    assert told == f"v1,{base64.b64encode(plain).decode()}"
    error = refusal(signature, "whsec_no base64!", name, timestamp, body)
    assert "not base64" in str(error)


def test_a_webhook_is_signed_json(receiver: Receiver, tmp_path: Path) -> None:
    """The body is sent as it stands, with identifier, time of the try, and what proves both."""
    channel = webhook(receiver, secret=secret(tmp_path / "secret", "whsec_AAAA"))
    assert channel.deliver(NOTICE) == "status 204"
    (post,) = receiver.posts
    assert post.json == BODY
    headers = post.headers
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    signed = f"msg_1.{headers['webhook-timestamp']}.".encode() + post.body
    digest = hmac.new(bytes(3), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    """Identifier and time are there all the same."""
    webhook(receiver).deliver(NOTICE)
    headers = receiver.posts[0].headers
    assert "webhook-signature" not in headers
    assert headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_success(receiver: Receiver, status: int) -> None:
    """Each status from 200 to 299 says that the notice was taken."""
    receiver.answers = [(status, {})]
    assert webhook(receiver).deliver(NOTICE) == f"status {status}"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It is said where to look, without the address."""
    receiver.answers = [(307, {"Location": receiver.url("/elsewhere-secret")})]
    error = refusal(webhook(receiver).deliver, NOTICE)
    assert "redirects (status 307), which is not followed" in str(error)
    assert "secret" not in str(error)
    assert len(receiver.posts) == 1


def test_gone_is_for_good(receiver: Receiver) -> None:
    """410 ends this notice; any other refusal does not."""
    receiver.answers = [(410, {}), (500, {}), (404, {})]
    channel = webhook(receiver)
    gone = [refusal(channel.deliver, NOTICE).is_gone for _ in range(3)]
    assert gone == [True, False, False]


def test_retry_after_is_heard(receiver: Receiver) -> None:
    """As seconds and as a time, bounded; nonsense says nothing."""
    at = datetime.now(UTC) + timedelta(hours=1)
    receiver.answers = [
        (503, {"Retry-After": "120"}),
        (503, {"Retry-After": format_datetime(at.astimezone(UTC), usegmt=True)}),
        (503, {"Retry-After": "9" * 12}),
        (503, {"Retry-After": "soon"}),
        (503, {}),
    ]
    channel = webhook(receiver)
    waits = [refusal(channel.deliver, NOTICE).wait for _ in range(5)]
    assert waits[0] == timedelta(minutes=2)
    assert waits[1] is not None
    assert timedelta(minutes=50) < waits[1] <= timedelta(hours=1)
    assert waits[2] == timedelta(days=1)
    assert waits[3:] == [None, None]


def test_addresses_that_are_not_public_are_refused(receiver: Receiver) -> None:
    """Loopback is refused by address and by name unless the host is allowed; nothing is connected to."""
    error = refusal(webhook(receiver, allow=[]).deliver, NOTICE)
    assert "loopback address, which is refused" in str(error)
    assert 'add "127.0.0.1" to notices.webhook.allow_hosts' in str(error)
    by_name = webhook(receiver, allow=[], url=receiver.url(host="localhost"))
    assert "loopback" in str(refusal(by_name.deliver, NOTICE))
    assert receiver.posts == []
    allowed = webhook(receiver, allow=["localhost"], url=receiver.url(host="localhost"))
    assert allowed.deliver(NOTICE) == "status 204"


def test_who_cannot_be_reached_is_named() -> None:
    """A closed port, a name that nobody knows and a server that hangs up are told apart."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = Receiver(port=listener.getsockname()[1])
    error = refusal(webhook(closed).deliver, NOTICE)
    assert "Connection refused" in str(error)
    unknown = webhook(closed, url="http://no-such-host.invalid/hook")
    assert "cannot be resolved" in str(refusal(unknown.deliver, NOTICE))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rude = Receiver(port=listener.getsockname()[1])

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = refusal(webhook(rude).deliver, NOTICE)
        thread.join()
    assert "gave no answer" in str(error)


def test_a_certificate_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose authority nobody vouches for is told nothing; one that is vouched for is."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Receiver().running(context) as receiver:
        channel = webhook(
            receiver, allow=["localhost"], url=receiver.url(host="localhost")
        )
        assert "certificate" in str(refusal(channel.deliver, NOTICE))
        assert receiver.posts == []
        with authority.cert_pem.tempfile() as file:
            monkeypatch.setenv("SSL_CERT_FILE", file)
            assert channel.deliver(NOTICE) == "status 204"
        assert receiver.posts[0].headers["host"] == f"localhost:{receiver.port}"


def test_a_stop_ends_what_is_under_way() -> None:
    """A receiver that never answers does not hold up a stop, and nothing is sent after it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = webhook(Receiver(port=listener.getsockname()[1]))
        failed: list[Undelivered] = []
        thread = threading.Thread(
            target=lambda: failed.append(refusal(channel.deliver, NOTICE))
        )
        thread.start()
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            channel.interrupt()
            thread.join(HANG_S)
        assert len(failed) == 1
        assert "stopping" in str(refusal(channel.deliver, NOTICE))


# Ping


def test_a_ping_says_how_it_goes(receiver: Receiver) -> None:
    """Success goes to the address itself, failure to /fail behind it, before what follows a question mark."""
    pinger = Pinger(receiver.url("/id?create=1"), ("127.0.0.1",))
    pinger.say(Pulse(is_good=True, line="cycle ok: 1 created; 0.1 s"))
    pinger.say(Pulse(is_good=False, line="cycle failed"))
    assert [post.path for post in receiver.posts] == [
        "/id?create=1",
        "/id/fail?create=1",
    ]
    assert receiver.posts[0].body == b"cycle ok: 1 created; 0.1 s"
    refused = Pinger(receiver.url(), ())
    error = refusal(refused.say, Pulse(is_good=True, line=""))
    assert "notices.allow_hosts" in str(error)


def test_the_same_is_pinged_once_a_minute_and_a_change_at_once(
    receiver: Receiver, tmp_path: Path
) -> None:
    """What is said again within a minute waits, and is replaced by what is newer."""
    now_s = [0.0]
    good, bad = Pulse(is_good=True, line="good"), Pulse(is_good=False, line="bad")
    again = replace(good, line="good again")
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        pinger = Pinger(receiver.url("/id"), ("127.0.0.1",))
        thread = PingThread(pinger, ledger.notices, lambda: now_s[0])
        try:
            for after_s, pulse, is_said in (
                (0, good, True),
                (59, again, False),
                (0, bad, True),
                (0, good, True),
                (30, again, False),
                (31, again, True),
            ):
                now_s[0] += after_s
                thread.take(pulse)
                if is_said:
                    thread.wait_idle(HANG_S)
        finally:
            thread.end()
            thread.join(HANG_S)
    told = [(post.path, post.body) for post in receiver.posts]
    assert told == [
        ("/id", b"good"),
        ("/id/fail", b"bad"),
        ("/id", b"good"),
        ("/id", b"good again"),
    ]


def test_a_ping_that_is_lost_is_said_again_soon(
    receiver: Receiver, tmp_path: Path
) -> None:
    """Not at once, and not only after a minute, or the monitor would raise the alarm for nothing."""
    now_s = [0.0]
    receiver.answers = [(500, {}), (200, {})]
    good = Pulse(is_good=True, line="good")
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        pinger = Pinger(receiver.url("/id"), ("127.0.0.1",))
        thread = PingThread(pinger, ledger.notices, lambda: now_s[0])
        try:
            thread.take(good)
            thread.wait_idle(HANG_S)
            now_s[0] += 10
            thread.take(replace(good, line="newer"))
            thread.wait_idle(HANG_S)
        finally:
            thread.end()
            thread.join(HANG_S)
    assert [post.body for post in receiver.posts] == [b"good", b"newer"]


# Mail


def mail_to(server: MailServer, **more: Any) -> MailChannel:
    """Mails by a server."""
    table = {
        "host": "127.0.0.1",
        "port": server.port,
        "from": "syncd@example.com",
        "to": ["it@example.com"],
    }
    return MailChannel(Mail.model_validate(table | more), BERLIN)


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What a server for localhost shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def test_a_mail_arrives() -> None:
    """It is handed over as text, in the thread of its story, and read back by another library."""
    with MailServer().running() as server:
        assert mail_to(server).deliver(NOTICE) == "taken for 1 of 1"
    (mail,) = server.mails
    assert mail["Subject"] == "[syncd hq] This is a test – ü"
    assert mail["References"] == "<msg_0@example.com>"
    assert (
        "Nothing is wrong." in mail.get_content()
        or "syncd status" in mail.get_content()
    )
    lines = server.raw[0].split(b"\r\n")
    assert max(map(len, lines)) <= 78


def test_a_mail_goes_over_tls_with_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STARTTLS and TLS from the start, both verified, with user and password; a wrong one is named."""
    authority = trustme.CA()
    password = secret(tmp_path / "password", "correct horse")
    sign_in = {"username": "syncd", "password": password}
    for kind in ("starttls", "tls"):
        server = MailServer(user="syncd", password="correct horse")
        context = server_context(authority)
        with server.running(context, at_once=kind == "tls"):
            channel = mail_to(server, tls=kind, **sign_in)
            assert "certificate" in str(refusal(channel.deliver, NOTICE))
            with authority.cert_pem.tempfile() as file:
                monkeypatch.setenv("SSL_CERT_FILE", file)
                channel.deliver(NOTICE)
                channel.knock()
                server.password = "another"
                error = refusal(channel.deliver, NOTICE)
            monkeypatch.delenv("SSL_CERT_FILE")
        assert server.secured == [True]
        assert "username and password" in str(error)
        assert "correct horse" not in str(error)


def test_what_a_mail_server_does_not_offer_is_named() -> None:
    """A server without STARTTLS is told nothing; the sentence names the keys to look at."""
    with MailServer().running() as server:
        error = refusal(mail_to(server, tls="starttls").deliver, NOTICE)
    assert "look at tls" in str(error)
    assert server.mails == []


def test_recipients_that_are_refused_are_told_without_their_address() -> None:
    """One of two that is taken is success; none is a refusal, and who it was stays out of the log."""
    with MailServer(refused=("no@example.com",)).running() as server:
        both = mail_to(server, to=["it@example.com", "no@example.com"])
        assert both.deliver(NOTICE) == "taken for 1 of 2"
        error = refusal(mail_to(server, to=["no@example.com"]).deliver, NOTICE)
    assert "550" in str(error)
    assert "nobody here" in str(error)
    assert "no@example.com" not in str(error)


def test_a_mail_server_that_is_not_there_is_named() -> None:
    """Host, port and reason are told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refusal(mail_to(MailServer(port=port)).deliver, NOTICE)
    assert f"127.0.0.1:{port} did not take it (Connection refused)" in str(error)


# Command


def shell(script: str, longest_s: float = HANG_S) -> CommandChannel:
    """A command that is a shell with a script."""
    return CommandChannel(("/bin/sh", "-c", script), ["HIDDEN"], longest_s)


def test_a_command_is_given_the_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same JSON on standard input, the identifier in the environment, and no secret in it."""
    monkeypatch.setenv("HIDDEN", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    out = tmp_path / "out"
    script = f'cat > {out}; echo "$SYNCD_NOTICE_ID $HIDDEN $NOTIFY_SOCKET" >> {out}'
    assert shell(script).deliver(NOTICE) == "exit code 0"
    assert out.read_text() == f"{NOTICE.body}msg_1  \n"


def test_a_command_that_fails_says_why() -> None:
    """Its exit code, and for who asks the last line that it wrote; one that is not there is named."""
    error = refusal(shell("echo first >&2; echo why >&2; exit 4").deliver, NOTICE)
    assert "ended with exit code 4" in str(error)
    assert error.told == "why"
    absent = CommandChannel(("/nowhere/page-me",))
    assert "page-me cannot be run (No such file" in str(refusal(absent.deliver, NOTICE))


def test_a_command_that_reads_nothing_or_says_much_holds_nobody_up() -> None:
    """A large notice that is not read and megabytes on standard error are no matter."""
    large = replace(NOTICE, body="x" * 1_000_000)
    assert shell("exit 0").deliver(large) == "exit code 0"
    much = "i=0; while [ $i -lt 2000 ]; do printf '%1000s\\n' x >&2; i=$((i+1)); done"
    assert shell(much).deliver(NOTICE) == "exit code 0"


def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """With all that it started."""
    out = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {out}; wait"
    error = refusal(shell(script, 0.5).deliver, NOTICE)
    assert "did not end within 0.5 s" in str(error)
    sleeper = int(out.read_text())

    def is_gone() -> bool:
        try:
            os.kill(sleeper, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{sleeper}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"

    until(is_gone, "the child is gone")
