"""The real parts of syncd in one process, with a clock of their own and everything that can go wrong.

A life is what a process is: ledger, API client and reconciler, built as the program builds them.
The ports that the reconciler is handed are wrapped, so that a life can end at any call, before or after its
effect, and a request can be held up on its way to the real server.
"""

from __future__ import annotations

import functools
import http.client
import json
import math
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from syncd import assembly
from syncd.apply import Api
from syncd.assembly.settings import settings_of
from syncd.config import Config, load
from syncd.core.booking import Booking, BookingState
from syncd.core.changes import Plan
from syncd.core.reservation import ReservationSpec
from syncd.errors import ApiUnusable, OutcomeUnknown, ReservationError
from syncd.ics import Locale
from syncd.intake import CalendarSource
from syncd.ledger import Ledger
from syncd.reconciler import CycleReport, Reconciler
from syncd.reconciler import Ledger as LedgerPort
from syncd.sandbox import Sandbox
from syncd.sources.files import FileSource
from syncd.tuya import TuyaApi
from tests.conftest import HANG_S
from tests.machine.calendars import CONFIRMATIONS, FILE_GRACE, FILES, FIRST_DAY
from tests.sandbox.conftest import Client, room

ROOMS = {
    "red": "1410148741926678531",
    "green": "1410148741926678532",
    "blue": "1410148741926678533",
}
VALIDITY = timedelta(minutes=5)
HORIZON = timedelta(days=10)
STRANGER = "99"
IDLE_S = 2.0  # servers close connections on which nothing is asked for some seconds

_WRITES = ("create", "modify", "cancel")
# What does anything: calls of the API by name, writes of the ledger by store and name.
_EFFECTS = frozenset(
    {
        *_WRITES,
        *("get", "find", "find_within", "rules"),
        *(
            "bookings.record",
            "bookings.amend",
            "bookings.mark_adopted",
            "bookings.raise_generation",
        ),
        *("facts.set", "sources.record_readings", "prune"),
        *("people.spend_approval", "people.drop_decision"),
        *("worklist.record_scan", "worklist.set_standing", "worklist.remark"),
        *("worklist.add_all", "worklist.require_anew"),
        *("worklist.defer", "worklist.forget_indexes"),
    }
)
_STORES = ("bookings", "sources", "worklist", "people", "published", "facts", "calls")

# A server takes a moment to end, and nobody waits for it.
_ending = ThreadPoolExecutor(2, "ending")


class Killed(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Kill:
    """The end of a life at its `step`th call that does anything, before or after that call took effect."""

    step: int
    after: bool


@dataclass(frozen=True)
class HoldUp:
    """What becomes of the `write`th mutating request of a cycle: it is held up on its way.

    It `arrives` later or never; the life may be `killed` while it waits for the answer.
    """

    write: int
    arrives: bool
    killed: bool


@dataclass
class Letter:
    """A request on its way; it cannot arrive after `until`."""

    call: str
    arguments: tuple[Any, ...]
    until: datetime
    arrives: bool


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a cycle; `faults` are those of the sandbox, but that `lag` needs no seconds.

    `gives_way_after` so many times that it was asked to, it leaves the rest to the next one; None: never.
    """

    faults: tuple[str, ...] = ()
    gives_way_after: int | None = None
    kill: Kill | None = None
    hold_up: HoldUp | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True)
class Rules:
    """What of the configuration changes."""

    sources: tuple[str, ...] = tuple(FILES)
    rooms: tuple[str, ...] = tuple(ROOMS)
    mode: str = "full"
    marker: bool = True
    on_change: str = "accept"
    on_cancel: str = "respect"

    def edited(
        self, what: int, *, names: Collection[str], kept: Collection[str], mode: str
    ) -> Rules:
        """With other sources (0), rooms (1) or another mode (2); otherwise all of these as usual."""
        match what:
            case 0:
                return replace(
                    self, sources=tuple(name for name in FILES if name in names)
                )
            case 1:
                return replace(
                    self, rooms=tuple(room for room in ROOMS if room in kept)
                )
            case 2:
                return replace(self, mode=mode)
        return self.ordinary()

    def ordinary(self) -> Rules:
        """With all sources and rooms, and writing."""
        return replace(self, sources=tuple(FILES), rooms=tuple(ROOMS), mode="full")


@dataclass
class Cycle:
    """What a cycle did, as seen from outside: its report, the calls that changed anything, its intents."""

    trouble: Trouble
    report: CycleReport | None = None
    error: ReservationError | None = None
    killed: bool = False
    intents: dict[str, Booking] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


class World:
    """A sandbox, a folder with calendars and a ledger, and at most one life at a time.

    `rooms` are the ids of all rooms; those `with_approval` are booked when a person approves it.
    """

    def __init__(
        self, folder: Path, rules: Rules, with_approval: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.rules = rules
        # Of what is known of the sources, in bytes: of none but the last one.
        self.at_hand = 0
        self.now = FIRST_DAY + timedelta(hours=8)
        self.letters: list[Letter] = []
        self._lists_show: float | None = None
        self._caught_up_at = time.time()
        self._stack = ExitStack()
        sandbox = Sandbox().running()
        self._running = sandbox.__enter__()
        self._stack.callback(lambda: _ending.submit(sandbox.__exit__, None, None, None))
        self._control = http.client.HTTPConnection(
            urlsplit(self._running.url).netloc, timeout=HANG_S
        )
        self._stack.callback(self._control.close)
        self._asked_at = time.monotonic()
        self._courier = self._client(HANG_S)
        self._stack.callback(self._courier.close)
        self.rooms = {**ROOMS, **self._furnish(with_approval)}
        self._life: _Life | None = None
        secret = folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self._running.client_secret)
        self._begin_ledger()
        self.configure(rules)

    def close(self) -> None:
        """End everything."""
        self.end_life()
        self._stack.close()

    # Time

    def tick(self) -> datetime:
        """The clock of the program: it never shows a time twice."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def pass_time(self, much: timedelta) -> None:
        """Let time pass; what is on its way arrives before it no longer can."""
        while late := [
            letter for letter in self.letters if letter.until <= self.now + much
        ]:
            self.deliver(late[0])
        if much > timedelta(minutes=1):
            self.catch_up()
        self.now += much

    def _epoch_seconds(self) -> float:
        return self.now.timestamp()

    def _client(self, timeout_s: float) -> TuyaApi:
        return TuyaApi(
            endpoint=self._running.url,
            client_id=self._running.client_id,
            client_secret=lambda: self._running.client_secret,
            timeout_s=timeout_s,
            requests_per_second=1e6,
            clock=self._epoch_seconds,
            elapsed=self._epoch_seconds,
        )

    def _furnish(self, with_approval: Sequence[str]) -> dict[str, str]:
        """What the administrator of the tenant sets up; the rooms have ids of their own."""
        if not with_approval:
            return {}
        tenant = Client(self._running)
        tenant.connect()
        approvers = {"approval_type": "anyOneSign", "approval_uids": ["boss"]}
        setting = tenant.post("/v2.0/iot-03/meeting-settings/approvals", approvers)[
            "result"
        ]
        asks = {"reservation_approved": "Y", "approval_process_id": setting}
        return {
            name: tenant.post("/v2.0/iot-03/meeting-rooms", room(name=name, **asks))[
                "result"
            ]
            for name in with_approval
        }

    # The configuration

    def configure(self, rules: Rules) -> None:
        """Edit the configuration file; the next life reads it."""
        self.end_life()
        self.rules = rules
        rooms = "".join(
            f'[[rooms]]\nid = "{self.rooms[name]}"\nname = "{name}"\n'
            f'addresses = ["room-{name}@example.com"]\n'
            for name in rules.rooms
        )
        sources = "".join(
            f'[[sources]]\nname = "{name}"\npath = "{FILES[name][0].split("/")[0]}"\n'
            f"confirmations = {CONFIRMATIONS[name]}\n"
            for name in rules.sources
        )
        (self.folder / "syncd.toml").write_text(
            f"""mode = "{rules.mode}"
[calendar]
timezone = "Europe/Berlin"
horizon = "{HORIZON.days}d"
[api]
endpoint = "{self._running.url}"
client_id = "{self._running.client_id}"
client_secret = {{ file = "secret" }}
request_validity = "{int(VALIDITY.total_seconds())}s"
[reservation]
creator = "3"
instance = "hq"
marker = {str(rules.marker).lower()}
[safety]
cancel_floor = 3
empty_hold = 2
told_floor = 2
vanish_floor = 2
file_grace = "{int(FILE_GRACE.total_seconds())}s"
[drift]
on_change = "{rules.on_change}"
on_cancel = "{rules.on_cancel}"
{rooms}{sources}"""
        )

    # Lives

    def cycle(self, trouble: Trouble, *, force: bool = False) -> Cycle:
        """One cycle of a living program, which is started if none lives; it may end in the middle."""
        self._set_faults(*(self._in_full(fault) for fault in trouble.faults))
        self._ask("DELETE", "requests")
        if self._life is None or self._life.timeout_s != trouble.timeout_s:
            self.end_life()
            self._life = _Life(self, trouble.timeout_s)
        seen = Cycle(trouble)
        self._life.begin(seen)
        try:
            seen.report = self._life.reconciler.cycle(force=force)
        except ReservationError as error:
            seen.error = error
        except Killed:
            seen.killed = True
        self._set_faults()
        seen.writes = [
            e["operation"] for e in self._ask("GET", "requests") if e["method"] != "GET"
        ]
        if seen.killed:
            self.end_life()
        return seen

    def wait_for_what_is_late(self) -> None:
        """Wait until the server has done the work of what it held up."""
        while any(
            e["fault"] == "late" and e["code"] is None
            for e in self._ask("GET", "requests")
        ):
            time.sleep(0.02)

    def preview(self) -> Plan:
        """What a living program would do now, read and planned as if for the first time."""
        self._set_faults()
        if self._life is None:
            self._life = _Life(self, HANG_S)
        self._life.begin(Cycle(Trouble()))
        return self._life.reconciler.previewer.preview().plan

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, beside a living program or without one."""
        if self._life is not None:
            yield self._life.ledger
        else:
            with Ledger.open(self._url, owner=False) as ledger:
                yield ledger

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._database}"

    @property
    def _database(self) -> Path:
        return self.folder / "state.db"

    def end_life(self) -> None:
        """Let go of everything that a process has; what it had in memory is lost."""
        if self._life is not None:
            self._life.end()
            self._life = None

    # Copies of the ledger

    def back_up(self) -> None:
        """Copy the ledger away as an administrator does, with the file beside it."""
        copy = self.folder / "backup.db"
        with (
            closing(sqlite3.connect(self._database)) as there,
            closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
        if self._beside(self._database).exists():
            shutil.copy(self._beside(self._database), self._beside(copy))

    def restore(self, *, beside: bool) -> bool:
        """Put the copy back, with or without the file beside it; whether there is one."""
        copy = self.folder / "backup.db"
        if not copy.exists():
            return False
        self.lose(beside=False)
        shutil.copy(copy, self._database)
        if beside and self._beside(copy).exists():
            shutil.copy(self._beside(copy), self._beside(self._database))
        return True

    def lose(self, *, beside: bool) -> None:
        """The ledger is gone, perhaps with the file beside it; that takes longer than any list lags."""
        self.end_life()
        self.pass_time(VALIDITY)
        for suffix in ("", "-wal", "-shm"):
            self._database.with_name(self._database.name + suffix).unlink(
                missing_ok=True
            )
        self._begin_ledger()
        if beside:
            self._beside(self._database).unlink(missing_ok=True)

    def _begin_ledger(self) -> None:
        self._database.touch(mode=0o600)
        self._database.write_bytes(_new_ledger())

    @staticmethod
    def _beside(database: Path) -> Path:
        return database.with_name(database.name + ".lock")

    # The API behind the program's back

    def deliver(self, letter: Letter) -> None:
        """A request that was held up arrives, or is lost for good."""
        self.letters.remove(letter)
        if letter.arrives:
            self._set_faults()
            with self._courier.armed():
                try:
                    getattr(self._courier, letter.call)(*letter.arguments)
                except (ReservationError, ApiUnusable):
                    return  # nobody waits for the answer any more

    def book_for_a_stranger(self, start: datetime, minutes: int, name: str) -> None:
        """Somebody else books a room, if it is free."""
        end = start + timedelta(minutes=minutes)
        place = self.rooms[name]
        spec = ReservationSpec(
            "Stranger", start, end, place, (STRANGER,), (), False, 0, "", STRANGER
        )
        self._set_faults()
        with self._courier.armed():
            try:
                self._courier.create(spec, None)
            except ReservationError:
                return  # it is taken

    def reservations(self) -> dict[str, dict[str, Any]]:
        """All reservations that the API ever had, by id."""
        return {r["reservation_id"]: r for r in self._ask("GET", "reservations")}

    def edit_by_hand(self, reservation_id: str, **values: object) -> None:
        """What a person does in Tuya's own programs."""
        self._ask("POST", f"reservations/{reservation_id}", values)

    def lag(self) -> None:
        """From now on lists show what is true now."""
        if self._lists_show is None:
            self._lists_show = time.time()
            # Longer than a list takes, so that it never shows anything later.
            time.sleep(0.02)

    def catch_up(self) -> None:
        """Lists show the present again."""
        self._lists_show = None
        self._caught_up_at = time.time()
        self._ask("POST", "switches", {"list_lag": 0.0})

    def before_list(self) -> None:
        """Keep a list at the moment that it is to show."""
        if self._lists_show is not None:
            self._ask("POST", "switches", {"list_lag": time.time() - self._lists_show})

    def _in_full(self, fault: str) -> str:
        """A list that lags shows nothing older than what lists caught up with."""
        if not fault.startswith("lag"):
            return fault
        return (
            f"{fault},seconds={max(0.0, time.time() - self._caught_up_at - 0.005):.3f}"
        )

    def _set_faults(self, *faults: str) -> None:
        ahead_s = self.now.timestamp() - time.time()
        self._ask(
            "POST", "faults", {"faults": [*faults, f"clock:seconds={ahead_s:.3f}"]}
        )

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        if time.monotonic() - self._asked_at > IDLE_S:
            self._control.close()  # it opens again by itself
        self._asked_at = time.monotonic()
        self._control.request(
            method, f"/sandbox/{path}", None if body is None else json.dumps(body)
        )
        answer = self._control.getresponse()
        document = json.load(answer)
        assert answer.status == 200, document
        return document


@functools.cache
def _new_ledger() -> bytes:
    """A ledger as the program makes it at its first start; made once, because that takes a moment."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        Ledger.open(f"sqlite:///{file}", owner=True).close()
        return file.read_bytes()


class _Life:
    """One process: it has the ledger for itself until its end."""

    def __init__(self, world: World, timeout_s: float) -> None:
        config = load(world.folder / "syncd.toml")
        self.timeout_s = timeout_s
        self._world = world
        self._seen = Cycle(Trouble())
        self._dead = False
        self._steps = 0
        self._writes = 0
        self._asked = 0
        self.ledger = Ledger.open(config.state.url, owner=True)
        self._api = world._client(timeout_s)
        self.reconciler = Reconciler(
            sources=[
                _source(world.folder, config, name) for name in world.rules.sources
            ],
            api=cast(Api, _Port(self._api, self._call)),
            ledger=cast(LedgerPort, _Port(self.ledger, self._call)),
            settings=settings_of(config),
            clock=world.tick,
            gives_way=self._gives_way,
            progress=assembly.NoProgress(),
            elapsed=world._epoch_seconds,
            at_hand=world.at_hand,
        )

    def end(self) -> None:
        self._api.close()
        self.ledger.close()

    def begin(self, seen: Cycle) -> None:
        """From now on note what is done here, and trouble it as that says."""
        self._seen, self._steps, self._writes, self._asked = seen, 0, 0, 0

    def _gives_way(self) -> bool:
        self._asked += 1
        after = self._seen.trouble.gives_way_after
        return after is not None and self._asked > after

    def _call(
        self,
        name: str,
        work: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: Any,
    ) -> Any:
        if self._dead:
            raise Killed
        # One thing at a time, so that what is found can be repeated.
        if name == "pause_s":
            return math.inf if arguments[0] else 0.0
        trouble = self._seen.trouble
        self._note(name, arguments)
        if name in {"find", "find_within"}:
            self._world.before_list()
        if name in _WRITES:
            self._writes += 1
            if trouble.hold_up and trouble.hold_up.write == self._writes:
                self._hold_up(trouble.hold_up, name, arguments)
        if name not in _EFFECTS:
            return work(*arguments, **named)
        self._steps += 1
        strikes = trouble.kill is not None and trouble.kill.step == self._steps
        if strikes and not (trouble.kill and trouble.kill.after):
            self._die()
        try:
            return work(*arguments, **named)
        finally:
            if strikes:
                self._die()

    def _note(self, name: str, arguments: Sequence[Any]) -> None:
        if name == "bookings.record":
            for booking in arguments:
                if booking.state is BookingState.CANCELLING:
                    self._seen.intents.setdefault(booking.reservation_id, booking)
        elif name == "cancel":
            self._seen.cancelled.append(arguments[0])

    def _hold_up(self, hold_up: HoldUp, name: str, arguments: tuple[Any, ...]) -> None:
        world = self._world
        world.letters.append(
            Letter(name, arguments, world.now + VALIDITY, hold_up.arrives)
        )
        if hold_up.killed:
            self._die()
        raise OutcomeUnknown("the request is held up on its way")

    def _die(self) -> None:
        self._dead = True
        raise Killed


def _source(folder: Path, config: Config, name: str) -> CalendarSource:
    files = FileSource(
        name, folder / FILES[name][0].split("/", maxsplit=1)[0], 1_000_000
    )
    locale = Locale(config.calendar.timezone)
    return CalendarSource(name, files.fetch, locale, confirmations=CONFIRMATIONS[name])


class _Port:
    """A part of the program behind a gate that every call passes; the stores of a ledger are parts of it."""

    def __init__(
        self, part: object, gate: Callable[..., Any], within: str = ""
    ) -> None:
        self._part = part
        self._gate = gate
        self._within = within

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name in _STORES and isinstance(self._part, Ledger):
            return _Port(found, self._gate, f"{name}.")
        if not callable(found):
            return found
        full_name = f"{self._within}{name}"
        return lambda *arguments, **named: self._gate(
            full_name, found, arguments, named
        )
