"""A campus: several daemons with one configuration, each with a way of its own to the ledger and to the API."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campus.judge import TermRow, doubles, missing, strangers
from tests.campus.proxy import ApiProxy, Gate, Letter, Port, Proxy
from tests.conftest import CONFIGURATION, HANG_S, Office, calendar
from tests.daemon.running import Daemon, Manager, Options, until
from tests.postgres import statement
from tests.postgres_keeper import Cluster

TTL_S = 3.0
TIMING = f"{TTL_S:g}/1/0.5/0.25"
"""Of a lease: how long it lasts, how often it is renewed, its margin, how often it is looked at; in seconds."""


@dataclass(frozen=True)
class Place:
    """A line of the program before which a daemon is held up, or killed: a file of syncd/, a piece of the line."""

    file: str
    text: str
    signal: signal.Signals = signal.SIGSTOP


@dataclass
class _Options(Options):
    """How a member is started."""

    stops: tuple[str, ...] = ()
    watchdog_s: float = 60.0
    terminal: bool = False
    periods_s: tuple[float, float] | None = None

    def command(self, configuration: Path) -> list[str]:
        module = "tests.campus.member"
        arguments = [str(configuration), TIMING, *self.stops]
        return [sys.executable, "-m", module, *arguments]


@dataclass
class Member:
    """One of the daemons: its directory, its way to the database, and the process while it runs."""

    name: str
    office: Office
    database: Proxy
    api: Gate
    daemon: Daemon | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def running(self) -> Daemon:
        """The process."""
        assert self.daemon is not None, f"{self.name} was started"
        return self.daemon

    @property
    def is_alive(self) -> bool:
        """Whether its process is there, held up or not."""
        return self.daemon is not None and self.daemon.process.poll() is None

    @property
    def armed(self) -> Path:
        """The file by which the next passing of its place holds it up."""
        return self.office.folder / "armed"

    def is_held_up(self) -> bool:
        """Whether its process is stopped."""
        told = Path(f"/proc/{self.running.process.pid}/stat").read_text()
        return told.rpartition(")")[2].split()[0] == "T"

    def hold_up_at_place(self) -> None:
        """Wait until it came to its place and is held up there."""
        until(self.is_held_up, f"{self.name} is held up")

    def go_on(self) -> None:
        """Let it go on."""
        self.running.send(signal.SIGCONT)

    def die_at_place(self) -> None:
        """Wait until it came to its place and was killed there."""
        until(lambda: not self.is_alive, f"{self.name} is dead")

    def kill(self) -> None:
        """Kill it."""
        self.running.process.kill()
        self.running.process.wait(HANG_S)


class Campus:
    """Daemons `a`, `b`, … on one ledger, with calendars that all of them can read."""

    def __init__(
        self, folder: Path, office: Office, api: ApiProxy, cluster: Cluster | None
    ) -> None:
        """`cluster` has the database `ledger`; without one the single daemon keeps its ledger in a file."""
        self.folder = folder
        self.office = office
        self.api = api
        self.cluster = cluster
        self.members: dict[str, Member] = {}
        self.settings = ""
        self.validity = "5m"
        self.wanted: set[str] = set()
        self._sources: list[str] = []
        self._names: dict[int, str] = {}  # of all processes that were started
        self._stack = ExitStack()

    # Calendars

    def write(self, source: str, topics: Mapping[str, str]) -> None:
        """Let the calendar of a source have these events, by their topics; a new source is configured."""
        if source not in self._sources:
            self._sources.append(source)
        (self.folder / f"{source}.ics").write_bytes(calendar(*topics.values()))
        self.wanted |= topics.keys()

    def configuration(self) -> str:
        """The configuration of all daemons."""
        head, _, _ = CONFIGURATION.partition("[[sources]]")
        text = head.format(url=self.api.url, client_id=self.office.client_id)
        validity = f'request_validity = "{self.validity}"\n[reservation]'
        text = text.replace("[reservation]", validity)
        tables = [
            f'[[sources]]\nname = "{name}"\npath = "{self.folder}/{name}.ics"\n'
            for name in self._sources
        ]
        return "".join([text, self.settings, *tables])

    # Daemons

    def start(self, *names: str, place: Place | None = None) -> None:
        """Start daemons, and wait until they are ready."""
        for name in names:
            member = self.members.get(name) or self._new(name)
            self.members[name] = member
            member.office.configure(self.configuration())
            stops: tuple[str, ...] = ()
            if place is not None:
                number = str(int(place.signal))
                stops = (place.file, place.text, str(member.armed), number)
            address = member.office.folder / f"notify-{time.monotonic_ns()}"
            manager = Manager(address)
            member.stack.callback(manager.close)
            member.daemon = Daemon(member.office, manager, address, _Options(stops))
            pid = member.daemon.process.pid
            self.api.processes[name] = pid
            self._names[pid] = name
        for name in names:
            self._await_ready(self.members[name].running)

    @staticmethod
    def _await_ready(daemon: Daemon) -> None:
        daemon.until(lambda: daemon.manager.count("READY"), "READY=1")

    def _new(self, name: str) -> Member:
        folder = self.folder / name
        (folder / "conf.d").mkdir(parents=True)
        own = folder / "state"
        own.mkdir()
        port: Port = 0 if self.cluster is None else self.cluster.port
        proxy = self._stack.enter_context(Proxy(port).running())
        url = f"sqlite:///{own}/state.db"
        if self.cluster is not None:
            url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/ledger"
        (folder / "conf.d" / "state.toml").write_text(f'[state]\nurl = "{url}"\n')
        office = Office(
            folder,
            self.api.url,
            self.office.client_id,
            self.office.client_secret,
            {"STATE_DIRECTORY": str(own)},
        )
        return Member(name, office, proxy, self.api.gate(name))

    def close(self) -> None:
        """Kill what runs, and take everything away."""
        for member in self.members.values():
            if member.is_alive:
                member.go_on()
                member.kill()
            member.stack.close()
        self._stack.close()

    # What is so

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database, past all daemons."""
        assert self.cluster is not None
        return statement(self.cluster, query, "ledger")

    def writer(self) -> str:
        """The daemon that holds the lease; empty while nobody does."""
        found = self.ask(
            "SELECT daemon FROM leases JOIN terms USING (term) WHERE leases.name LIKE 'writer:%' "
            "AND expires_at > clock_timestamp()"
        )
        return self._name_of(str(found[0][0])) if found else ""

    def _name_of(self, process: str) -> str:
        """Return which daemon a process is, by what it is called in the ledger."""
        _, _, pid = process.rpartition(":")
        return self._names.get(int(pid), "")

    def terms(self) -> list[TermRow]:
        """The history of terms."""
        found = self.ask(
            "SELECT daemon, epoch, floor(extract(epoch FROM began_at) * 1000), "
            "ceil(extract(epoch FROM ended_at) * 1000) FROM terms ORDER BY began_at"
        )
        rows: list[TermRow] = []
        for process, epoch, began, ended in found:
            until_ms = None if ended is None else int(ended)
            daemon = self._name_of(str(process))
            rows.append(TermRow(daemon, int(epoch), int(began), until_ms))
        return rows

    def reservations(self) -> list[dict[str, Any]]:
        """What the API holds."""
        return self.office.reservations()

    def topics(self) -> set[str]:
        """What is booked."""
        return {one["topic"] for one in self.reservations()}

    def at_rest(self) -> bool:
        """Whether all that calendars want is booked."""
        return missing(self.wanted, self.reservations()) == []

    def require_good(self, letters: Iterable[Letter] | None = None) -> None:
        """Assert what must be true of all daemons together, when all is at rest."""
        reservations = self.reservations()
        assert doubles(reservations) == []
        assert missing(self.wanted, reservations) == []
        if self.cluster is not None:
            said = self.api.writes() if letters is None else letters
            terms = self.terms()
            found = strangers(said, terms)
            assert found == [], f"{found} among {terms}"


@contextmanager
def campus(
    folder: Path,
    make_office: Callable[..., Office],
    cluster: Cluster | None,
    **options: Any,
) -> Iterator[Campus]:
    """A campus without daemons; `options` are those of the sandbox."""
    office = make_office("api", **options)
    with ApiProxy(office.url).running() as api:
        made = Campus(folder, office, api, cluster)
        try:
            yield made
        finally:
            made.close()
