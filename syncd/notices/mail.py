"""Notices as mails: plain text of narrow lines, each story in a thread of its own."""

from __future__ import annotations

import json
import re
import smtplib
import ssl
import textwrap
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from syncd.config import Mail
from syncd.core.visible import visible
from syncd.errors import ConfigError
from syncd.ledger.notices import ChannelName, OutboxNotice
from syncd.notices.channel import Undelivered
from syncd.trust import Untrustworthy, verifying_context
from syncd.views.moments import in_zone, moment_told

_WIDTH = 69  # columns; below 70
_WHOLE_S = 20.0  # for each answer of the server
_LONGEST_TITLE = 120
_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


class MailChannel:
    """Hands notices to a mail server; `zone` is that of the times in them."""

    name = ChannelName.MAIL

    def __init__(self, mail: Mail, zone: tzinfo) -> None:
        self._mail = mail
        self._zone = zone
        self._is_over = False
        self.where = f"{mail.host}:{mail.port}"

    def deliver(self, notice: OutboxNotice) -> str:
        """Hand a notice over and return for how many it was taken; raise `Undelivered`."""
        message = mail_of(notice, self._mail.sender, self._mail.to, self._zone)
        try:
            with self._session() as server:
                refused = server.send_message(
                    message, self._mail.sender, list(self._mail.to)
                )
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise Undelivered(
                f"{self.where} takes it for nobody ({_said(code, text)})"
            ) from None
        except Undelivered:
            raise
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise Undelivered(f"{self.where} did not take it ({_why(error)})") from None
        taken = len(self._mail.to) - len(refused)
        return f"taken for {taken} of {len(self._mail.to)}"

    def knock(self) -> None:
        """Connect and sign in, and send nothing; raise `Undelivered` if that cannot be."""
        try:
            with self._session() as server:
                server.noop()
        except Undelivered:
            raise
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise Undelivered(f"{self.where} cannot be used ({_why(error)})") from None

    def interrupt(self) -> None:
        """Hand over nothing more; what is under way ends within its time."""
        self._is_over = True

    def _session(self) -> smtplib.SMTP:
        """Return a connection that is secured and signed in as configured; raise what smtplib raises."""
        if self._is_over:
            raise Undelivered("syncd is stopping")
        mail = self._mail
        if mail.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.host, mail.port, timeout=_WHOLE_S, context=_context()
            )
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=_WHOLE_S)
        try:
            if mail.security == "starttls":
                server.starttls(context=_context())
            if mail.username is not None and mail.password is not None:
                server.login(mail.username, _revealed(mail))
        except BaseException:
            with suppress(OSError, smtplib.SMTPException):
                server.close()
            raise
        return server


def mail_of(
    notice: OutboxNotice, sender: str, to: tuple[str, ...], zone: tzinfo
) -> EmailMessage:
    """Return a notice as a mail that belongs to the thread of what it goes on from."""
    document = json.loads(notice.body)
    data = document["data"]
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    title = _one_line(data["title"])[:_LONGEST_TITLE]
    message["Subject"] = f"[syncd {data['instance']}] {title}"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(_moment(document["timestamp"]))
    message["Message-ID"] = f"<{notice.name}@{domain}>"
    former = [f"<{name}@{domain}>" for name in notice.threads if name != notice.name]
    if former:
        message["In-Reply-To"] = former[-1]
        message["References"] = " ".join(former)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Syncd-Type"] = document["type"]
    text = mail_text(document, zone)
    encoding = "7bit" if text.isascii() else "quoted-printable"
    message.set_content(text, cte=encoding)
    return message


def mail_text(document: dict[str, Any], zone: tzinfo) -> str:
    """Return the text of a mail: what, why, since when and what to type, in lines below 70 columns."""
    data = document["data"]
    subjects = data["subjects"]
    lines: list[str] = []
    if len(subjects) != 1:
        lines += [*_wrapped(f"{data['title']}."), ""]
        if data["subject"] == "digest" or not subjects:
            lines += [*_wrapped(data["detail"]), ""]
    for subject in subjects:
        lines += [*_block(subject, zone), ""]
    left_out = data["count"] - len(subjects)
    if left_out > 0:
        lines += [
            *_wrapped(f"And {left_out} more like that; syncd status has them all."),
            "",
        ]
    if not subjects:
        lines += [*_pointers(data), ""]
    lines += ["-- ", *_wrapped(f"syncd {data['instance']}; times are those of {zone}")]
    return "\n".join(lines) + "\n"


def _block(subject: dict[str, Any], zone: tzinfo) -> list[str]:
    """Return the lines about one subject."""
    lines = _wrapped(f"{subject['title']}.")
    for name, label in (("topic", "Meeting"), ("organizer", "Organizer")):
        if subject.get(name):
            lines += _wrapped(f"{label}: {subject[name]}")
    room = subject.get("room") or subject.get("room_id")
    if room:
        lines += _wrapped(f"Room: {room}")
    if subject.get("start"):
        start = moment_told(_moment(subject["start"]), zone)
        lines += _wrapped(f"Start: {start}")
    lines += _wrapped(in_zone(subject["detail"], zone))
    lines += _wrapped(f"Since: {moment_told(_moment(subject['since']), zone)}")
    return [*lines, *_pointers(subject)]


def _pointers(told: dict[str, Any]) -> list[str]:
    """Return where to look and what to type; a command stands in lines of its own, to be copied."""
    lines: list[str] = []
    if told["url"]:
        lines += ["See:", told["url"]]
    return [*lines, "Type this:", *folded_command(_one_line(told["command"]))]


def folded_command(command: str, width: int = _WIDTH) -> list[str]:
    """Return a command in lines that a shell takes as the same one, broken at blanks where there are any."""
    lines: list[str] = []
    rest = command
    while len(rest) > width and "$'" not in rest:
        at, quote = _break_of(rest, width - 2)
        lines.append(f"{rest[:at]}{quote}\\")
        rest = f"{quote}{rest[at:]}"
    return [*lines, rest]


def _break_of(text: str, most: int) -> tuple[int, str]:
    """Return where to break a command, and the quote that has to be closed there and opened again."""
    quote = ""
    at_blank = 0
    for position, character in enumerate(text[:most]):
        if not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        elif character == " " and not quote:
            at_blank = position + 1
    if at_blank:
        return at_blank, ""
    return most, quote


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_one_line(text), _WIDTH)


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _moment(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _revealed(mail: Mail) -> str:
    assert mail.password is not None  # the caller asked
    try:
        return mail.password.reveal()
    except ConfigError as error:
        raise Undelivered(str(error)) from None


def _context() -> ssl.SSLContext:
    try:
        return verifying_context()
    except Untrustworthy as untrustworthy:
        raise Undelivered(str(untrustworthy)) from None


def _why(error: Exception) -> str:
    """Return what a mail server said, or why it cannot be spoken to, without addresses."""
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it does not offer what is configured: look at tls, username and password of notices.mail"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        said = _said(error.smtp_code, error.smtp_error)
        return f"it refuses username and password: {said}"
    if isinstance(error, smtplib.SMTPResponseException):
        return _said(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _said(code: int, text: bytes | str) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return _ADDRESS.sub("…", f"{code} {_one_line(text)}")
