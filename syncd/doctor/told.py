"""Checks of the page."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

from syncd.config.network import is_loopback, url_of
from syncd.doctor.configuration import GOOD
from syncd.doctor.finding import Check, Finding, note, unclear, well, wrong
from syncd.doctor.patient import Patient
from syncd.errors import LedgerError

_LISTENING = "0A"  # proc(5), /proc/net/tcp
_FEED = "feed/problems.ics"
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # it is looked for


def _is_port_free(patient: Patient) -> Iterator[Finding]:
    address = patient.config.web.address
    if address is None:
        yield well("The page is off.")
        return
    host, port = address
    try:
        socket.create_server(address, family=_family(host)).close()
    except OSError as error:
        yield _told(patient, host, port, error)
        return
    yield well(f"Port {port} of {host} is free for the page.")


def _told(patient: Patient, host: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        if _is_ours(patient, port):
            return well(f"The page is served at {url_of(host, port)}.")
        free = _free_port(host)
        return wrong(
            f"Another program listens on {host}:{port}, so the page cannot be served there; "
            "a running daemon tries again every 10 s.",
            f'listen = "{host}:{free}"',
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return wrong(
            f"This machine has no address {host}, so the page cannot be served there.",
            f'listen = "127.0.0.1:{port}"',
        )
    return unclear(
        f"Whether the page can be served at {host}:{port}: {error.strerror}."
    )


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=_family(host)) as listener:
        return int(listener.getsockname()[1])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_host_answered(patient: Patient) -> Iterator[Finding]:
    web = patient.config.web
    if web.address is None or web.hosts:
        return
    host, _ = web.address
    if host in _EVERYWHERE:
        yield note(
            f"The page listens at all addresses of this machine and answers on it alone ({web.url}), because "
            "no name is given under which others reach it.",
            f'hosts = ["{socket.getfqdn()}"]',
        )
    elif not is_loopback(host):
        yield well(f"The page answers to who calls this machine {host}.")


def _can_programs_subscribe(patient: Patient) -> Iterator[Finding]:
    web = patient.config.web
    if web.url is None or (web.token is None and web.feed_token is None):
        return
    if web.feed_token is None:
        yield note(
            "Calendar programs cannot subscribe to the feeds: they cannot show the token of the page, and there "
            "is none for them.",
            'feed_token = { file = "page-feed-token" }',
        )
    elif web.token is not None and web.token.reveal() == web.feed_token.reveal():
        yield wrong(
            "The token of the feeds is that of the page, so whoever sees the address of a feed can open the page.",
            "write another token into the file that web.feed_token names",
        )
    else:
        yield well(f"Calendar programs can subscribe to {web.url}{_FEED}?token=….")


def _is_ours(patient: Patient, port: int) -> bool:
    """Tell whether the daemon of this state holds the socket that listens on a port."""
    try:
        daemon = patient.ledger.operation.daemon()
    except LedgerError:
        return False
    if daemon is None or not daemon.is_running(patient.now):
        return False
    sockets = {f"socket:[{number}]" for number in _listening(port)}
    try:
        opened = list(Path(f"/proc/{daemon.pid}/fd").iterdir())
        return any(str(one.readlink()) in sockets for one in opened)
    except OSError:
        return False


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            _, _, number = columns[1].rpartition(":")
            if columns[3] == _LISTENING and int(number, 16) == port:
                yield columns[9]


CHECKS_OF_TOLD = (
    Check(
        "page", "port", "whether the page can be served", _is_port_free, needs=(GOOD,)
    ),
    Check(
        "page",
        "hosts",
        "whether the page answers to the name that others use",
        _is_host_answered,
        needs=(GOOD,),
    ),
    Check(
        "page",
        "feeds",
        "whether calendar programs can subscribe",
        _can_programs_subscribe,
        needs=(GOOD,),
    ),
)
