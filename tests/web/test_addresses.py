"""Addresses other than the usual one: of the sixth version, and all of a machine."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import Office
from tests.web.serving import Client, read, served

HOSTS = "hosts"
"""The check of the doctor that tells by which names the page is reached."""


def free_port(family: socket.AddressFamily) -> int:
    """A port that nobody has just now."""
    host = "::1" if family is socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as free:
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_an_address_of_the_sixth_version(office: Office) -> None:
    """It is served there, and answers by that address and by the names of this machine."""
    port = free_port(socket.AF_INET6)
    office.change(('listen = ""', f'listen = "[::1]:{port}"'))
    office.write()
    read(office)
    with served(office) as client:
        for host in (f"[::1]:{port}", "localhost", "127.0.0.1"):
            assert client.ask("/readyz", host=host).status == 200, host
        for host in ("[::2]", "::1", "example.com"):
            assert client.ask("/readyz", host=host).status == 421, host


@pytest.mark.slow
def test_all_addresses_of_a_machine(office: Office) -> None:
    """Beyond loopback a token is required, and doctor says by which line others get an answer."""
    port = free_port(socket.AF_INET)
    listen = f'listen = "0.0.0.0:{port}"'
    office.change(('listen = ""', listen))
    refused = office.run("check")
    assert refused.code == 78
    assert "web.token: is required when listening beyond loopback" in refused.err
    secret = office.folder / "web-token"
    secret.touch(mode=0o600)
    secret.write_text("a-token")
    office.change((listen, f'{listen}\ntoken = {{ file = "web-token" }}'))
    doctor = office.run("doctor", "--offline", "--json").json
    (found,) = [one for one in doctor["findings"] if one["check"] == HOSTS]
    assert found["verdict"] == "note"
    assert found["cure"].startswith("hosts = [")
    office.change((listen, f'{listen}\nhosts = ["syncd.example.com"]'))
    doctor = office.run("doctor", "--offline", "--json").json
    assert [one for one in doctor["findings"] if one["check"] == HOSTS] == []
    with served(office) as client:
        here = Client(f"127.0.0.1:{port}")
        assert here.ask("/").status == 401
        assert here.ask("/", host="syncd.example.com").status == 401
        assert here.ask("/", host="elsewhere.example.com").status == 421
        assert client.ask("/healthz").status == 200
