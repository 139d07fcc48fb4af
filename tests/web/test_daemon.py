"""The page of a running daemon: where it listens, what it says of the daemon, and who waits for whom."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tests.conftest import Office, ahead, event
from tests.daemon.running import SLOW, running
from tests.web.serving import Client, let_serve, own_address


def occupied(address: str) -> socket.socket:
    """Another program that listens at an address."""
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


@pytest.mark.slow
def test_an_address_that_is_taken_is_said_and_had_later(office: Office) -> None:
    """The daemon works on, says so in status, log and doctor, and has the address when it is free."""
    address = let_serve(office)
    office.write(event("first", ahead(2, 9), 60))
    with ExitStack() as stack:
        other = stack.enter_context(occupied(address))
        daemon = stack.enter_context(running(office))
        said = f"page is not served at http://{address}/ (address already in use)"
        daemon.until(lambda: said in daemon.manager.status, "the status says so")
        daemon.until(office.reservations, "it works on")
        daemon.until(lambda: said in daemon.manager.status, "the status still says so")
        assert len(daemon.logged("page not served")) == 1
        doctor = office.run("doctor", "--offline", "--json").json
        (found,) = [
            one
            for one in doctor["findings"]
            if (one["group"], one["verdict"]) == ("page", "problem")
        ]
        assert address in found["finding"]
        other.close()
        client = Client(address)
        daemon.until(client.answers, "it has the address")
        daemon.until(lambda: said not in daemon.manager.status, "that is over")
        doctor = office.run("doctor", "--offline", "--json").json
        (found,) = [one for one in doctor["findings"] if one["group"] == "page"]
        assert found["verdict"] == "ok"
        assert f"http://{address}/" in found["finding"]
        code, _ = daemon.stop()
        assert code == 0
        assert not client.answers()


@pytest.mark.slow
def test_an_edit_moves_the_page(office: Office) -> None:
    """Address, token and hosts of an edited file count at once; an empty address ends the page."""
    first = let_serve(office)
    second = own_address()
    secret = office.folder / "web-token"
    secret.touch(mode=0o600)
    secret.write_text("a-token")
    office.write(event("first", ahead(2, 9), 60))
    with running(office) as daemon:
        daemon.until(Client(first).answers, "it is served")
        office.change((first, second))
        moved = Client(second)
        daemon.until(moved.answers, "it is served elsewhere")
        assert not Client(first).answers()
        token = f'listen = "{second}"\ntoken = {{ file = "web-token" }}'
        office.change((f'listen = "{second}"', token))
        daemon.until(lambda: moved.ask("/").status == 401, "it asks for a token")
        shown = {"authorization": "Bearer a-token"}
        assert moved.ask("/", **shown).status == 200
        # A token that is rotated needs no reload.
        secret.write_text("another-token")
        assert moved.ask("/", **shown).status == 401
        office.change(("listen =", 'hosts = ["page.example.com"]\nlisten ='))
        daemon.until(
            lambda: moved.ask("/healthz", host="page.example.com").status == 200,
            "the name is answered",
        )
        office.change((f'listen = "{second}"', 'listen = ""'))
        daemon.until(lambda: not moved.answers(), "it is off")
        assert daemon.stop()[0] == 0


@pytest.mark.slow
def test_a_refused_edit_stands_on_the_page(office: Office) -> None:
    """While the file has a mistake the page goes by the last good one and says so, until it is mended."""
    address = let_serve(office)
    office.write(event("first", ahead(2, 9), 60))
    with running(office) as daemon:
        client = Client(address)
        daemon.until(client.answers, "it is served")

        def kinds() -> list[str]:
            concerns = client.document("/")["concerns"]
            return [concern["kind"] for concern in concerns]

        assert "configuration_refused" not in kinds()
        office.change(("[calendar]", "[calendar]\nhorizont = 3"))
        daemon.until(lambda: "configuration_refused" in kinds(), "the page says so")
        assert client.ask("/readyz").status == 200
        office.change(("[calendar]\nhorizont = 3", "[calendar]"))
        daemon.until(lambda: "configuration_refused" not in kinds(), "that is over")


@pytest.mark.slow
def test_health_is_that_of_the_work(office: Office) -> None:
    """A work loop that makes no progress is told in one word, while the page goes on, and so is its return."""
    address = let_serve(office)
    office.write(event("first", ahead(2, 9), 60))
    # The answer is awaited for longer than three times the watchdog's time.
    office.change(("[reservation]", 'timeout = "60s"\n[reservation]'))
    office.fault("slow:on=create,seconds=20,times=1")
    with running(office, watchdog_s=1.0) as daemon:
        client = Client(address)
        daemon.until(client.answers, "it is served")

        def told() -> tuple[int, str]:
            answer = client.ask("/healthz")
            return answer.status, answer.text

        daemon.until(lambda: told() == (503, "stuck\n"), "it is stuck")
        assert client.ask("/").status == 200
        office.fault()
        daemon.until(lambda: told() == (200, "ok\n"), "it goes on")


@pytest.mark.slow
def test_readiness_waits_for_a_first_look(office: Office) -> None:
    """Ready is who has looked at every source once, also in vain; until then it is said how many are missing."""
    address = let_serve(office)
    office.write(event("first", ahead(2, 9), 60))
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    feed = (
        f'[[sources]]\nname = "sales"\nurl = "http://127.0.0.1:{port}/a.ics"\n'
        'timeout = "20s"\nallow_hosts = ["127.0.0.1"]\n[[sources]]'
    )
    office.change(("[[sources]]", feed))
    with silent, running(office) as daemon:
        client = Client(address)
        daemon.until(client.answers, "it is served")
        missing = "missing: first look at 1 source\n"
        daemon.until(lambda: client.ask("/readyz").text == missing, "one is missing")
        assert client.ask("/readyz").status == 503
        silent.close()
        daemon.until(lambda: client.ask("/readyz").status == 200, "all were looked at")


@pytest.mark.slow
def test_neither_waits_for_the_other(office: Office) -> None:
    """While much is booked page and health answer again and again, and the booking goes on meanwhile."""
    address = let_serve(office)
    office.change(("requests_per_second = 100.0", SLOW))
    office.write(*(event(f"m{n}", ahead(1 + n // 20, n % 20), 30) for n in range(40)))
    with running(office) as daemon:
        client = Client(address)
        daemon.until(client.answers, "it is served")
        daemon.until(office.reservations, "the booking begins")
        before = len(office.reservations())
        for _ in range(20):
            assert client.ask("/").status == 200
            assert client.ask("/healthz").text == "ok\n"
        assert len(office.reservations()) < 40, "it answered while it was booked"
        daemon.until(
            lambda: client.ask("/").status == 200 and len(office.reservations()) == 40,
            "all are booked while the page is asked",
        )
        assert before < 40


@pytest.mark.slow
def test_connections_that_ask_nothing_take_no_place(office: Office) -> None:
    """Whoever opens many connections and says nothing keeps nobody out, and loses them after a while."""
    address = let_serve(office)
    office.write(event("first", ahead(2, 9), 60))
    host, _, port = address.rpartition(":")
    with running(office) as daemon, ExitStack() as stack:
        client = Client(address)
        daemon.until(client.answers, "it is served")
        idle = [
            stack.enter_context(socket.create_connection((host, int(port))))
            for _ in range(200)
        ]
        for connection in idle[::7]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert client.ask("/").status == 200
        for connection in idle:
            connection.settimeout(60)
            assert ended(connection)
        assert client.ask("/").status == 200


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends a connection, in whichever way."""
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True
