"""Receivers of notices for tests: a real HTTP server, and a real mail server."""

# ruff: noqa: ARG002, N802  # names and arguments are those of the servers' libraries

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

Answer = tuple[int, dict[str, str]]
"""A status, and headers."""


@dataclass(frozen=True)
class Post:
    """What was posted; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The document that it holds."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """Takes posts on 127.0.0.1; `answers` are given in turn, the last one again and again.

    None is given before `holding` is set, if there is such an event.
    """

    answers: list[Answer] = field(default_factory=lambda: [(204, {})])
    posts: list[Post] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    holding: threading.Event | None = None

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def posts_to(self, path: str) -> list[Post]:
        """What came to a path."""
        return [post for post in list(self.posts) if post.path == path]

    def told(self, path: str = "/hook") -> list[Any]:
        """The documents that came to a path."""
        return [post.json for post in self.posts_to(path)]

    def types(self, path: str = "/hook") -> list[str]:
        """The types of the notices that came to a path."""
        return [document["type"] for document in self.told(path)]

    def answer(self, post: Post) -> Answer:
        """Take note of a post and return what is answered."""
        self.posts.append(post)
        if self.holding is not None:
            self.holding.wait()
        if len(self.answers) > 1:
            return self.answers.pop(0)
        return self.answers[0]

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
        """Serve while the context lasts, on the same port as before if there was one."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                headers = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, headers, self.rfile.read(length))
                status, sent = receiver.answer(post)
                self.send_response(status)
                for name, value in sent.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            self.scheme = "https"
        self.port = server.server_port
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), daemon=True
        )
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass
class MailServer:
    """Takes mails on 127.0.0.1; `refused` are recipients that it does not know."""

    user: str = ""
    password: str = ""
    refused: tuple[str, ...] = ()
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    port: int = 0
    secured: list[bool] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """Take a recipient or not."""
        if address in self.refused:
            return f"550 5.1.1 <{address}>: nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Keep a mail."""
        self.raw.append(envelope.content)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        assert server.transport is not None
        tls = server.transport.get_extra_info("sslcontext")
        self.secured.append(tls is not None)
        return "250 OK"

    def _knows(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        is_known = isinstance(data, LoginPassword) and (
            data.login == self.user.encode() and data.password == self.password.encode()
        )
        return AuthResult(success=is_known, handled=False)

    @contextmanager
    def running(
        self, context: ssl.SSLContext | None = None, *, at_once: bool = False
    ) -> Iterator[MailServer]:
        """Serve while the context lasts; with a context STARTTLS is asked for, or `at_once` spoken."""
        named: dict[str, Any] = {}
        if self.user:
            named |= {
                "authenticator": self._knows,
                "auth_required": True,
                "auth_require_tls": not at_once,
            }
        if context is not None and not at_once:
            named |= {"tls_context": context, "require_starttls": True}
        loop = asyncio.new_event_loop()

        def made() -> SMTP:
            with warnings.catch_warnings():
                # It takes TLS from the first byte on for none, and warns.
                warnings.simplefilter("ignore")
                return SMTP(self, loop=loop, **named)

        listening = loop.create_server(
            made,
            "127.0.0.1",
            0,
            ssl=context if at_once else None,
        )
        server = loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
