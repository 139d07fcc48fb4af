"""The control side: what tests see and change beside the API.

It is not part of the API and needs no signature, so the sandbox belongs on loopback.

* `GET /sandbox/requests`: the calls so far, each with number, method, path, operation, code (0: success,
  null: no work was done), fault and reservation_id; `DELETE` forgets them
* `GET /sandbox/reservations`: every meeting, in any status
* `POST /sandbox/reservations/{id}`: what a person does in Tuya's own programs: sets any field of a meeting
* `GET`, `POST`, `DELETE /sandbox/faults`: shows, replaces (`{"faults": ["lost:on=create"]}`), removes faults;
  what removed ones hold up goes on at once
* `GET`, `POST /sandbox/switches`: shows, changes (`{"list_window": "start"}`) switches

Answers are plain JSON; a mistake is HTTP 400 or 404 with a sentence in `error`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from syncd.sandbox.call import Json
from syncd.sandbox.faults import Fault, Faults, Strikes, parse_fault
from syncd.sandbox.store import Store, StoredReservation, clock
from syncd.sandbox.switches import Switches

REMEMBERED_REQUESTS: Final = 100_000


@dataclass
class LoggedCall:
    """One call in the log; `code` is 0 for success and None while, or when, no work was done."""

    number: int
    method: str
    path: str
    operation: str
    fault: str
    reservation_id: str
    code: int | None = None


class Control:
    """The switches, faults and log of a running sandbox, and the routes that show and change them."""

    def __init__(self, store: Store, switches: Switches, faults: Faults) -> None:
        self.store = store
        self.switches = switches
        self.faults = faults
        self._entries: deque[LoggedCall] = deque(maxlen=REMEMBERED_REQUESTS)
        self._number = 0

    def note(
        self,
        method: str,
        path: str,
        operation: str,
        strikes: Strikes,
        reservation_id: str,
    ) -> LoggedCall:
        """Log a call as it arrives, and return its entry."""
        self._number += 1
        entry = LoggedCall(
            number=self._number,
            method=method,
            path=path,
            operation=operation,
            fault=str(strikes),
            reservation_id=reservation_id,
        )
        self._entries.append(entry)
        return entry

    def routes(self) -> list[Route]:
        """Return the routes under `/sandbox/`."""
        return [
            Route("/sandbox/requests", self._requests, methods=["GET", "DELETE"]),
            Route("/sandbox/reservations", self._reservations, methods=["GET"]),
            Route(
                "/sandbox/reservations/{reservation_id}", self._edit, methods=["POST"]
            ),
            Route("/sandbox/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/sandbox/switches", self._switches, methods=["GET", "POST"]),
        ]

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._entries.clear()
        shown = [asdict(entry) for entry in self._entries]
        return JSONResponse(shown)

    async def _reservations(self, _request: Request) -> Response:
        found = self.store.all_reservations()
        return JSONResponse([_raw(reservation) for reservation in found])

    async def _edit(self, request: Request) -> Response:
        reservation = self.store.reservation(request.path_params["reservation_id"])
        if reservation is None:
            return _mistake("there is no such reservation", 404)
        try:
            edited = _edited(reservation, await request.json())
        except ValueError as error:
            return _mistake(str(error))
        with self.store:
            self.store.save(edited)
        return JSONResponse(_raw(edited))

    async def _faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self.faults = Faults(_faults_in(await request.json()))
            except ValueError as error:
                return _mistake(str(error))
        elif request.method == "DELETE":
            self.faults.lifted.set()
            self.faults = Faults(())
        shown: list[dict[str, Json]] = []
        for fault, seen in self.faults.counts():
            shown.append({**asdict(fault), "seen": seen})
        return JSONResponse(shown)

    async def _switches(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                given = await request.json()
                if not isinstance(given, dict):
                    return _mistake('switches are given as {"name": "value", ...}')
                self.switches = self.switches.changed(given)
            except ValueError as error:
                return _mistake(str(error))
        return JSONResponse(self.switches.texts())


def _faults_in(given: object) -> list[Fault]:
    """Return the faults that a request gives; raise `ValueError` for anything else."""
    texts = given.get("faults") if isinstance(given, dict) else None
    if not isinstance(texts, list):
        raise ValueError('faults are given as {"faults": ["kind:key=value", ...]}')  # noqa: TRY004  # a mistake in a request
    return [parse_fault(str(text)) for text in texts]


def _raw(reservation: StoredReservation) -> dict[str, Json]:
    """Return a meeting as it is stored, with its id as the text that the API shows."""
    shown = asdict(reservation)
    shown["reservation_id"] = str(reservation.reservation_id)
    return shown


def _edited(reservation: StoredReservation, given: object) -> StoredReservation:
    """Return a meeting with fields set by hand; raise `ValueError` for names and types that it has not."""
    editable = [field.name for field in fields(StoredReservation)]
    editable.remove("reservation_id")
    if not isinstance(given, Mapping) or not set(given) <= set(editable):
        raise ValueError(f"the fields that can be set are {', '.join(editable)}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        now = getattr(reservation, name)
        new = tuple(value) if isinstance(value, list) else value
        may_be_new = name == "notice_time" and isinstance(new, int)
        if type(new) is not type(now) and not may_be_new:
            raise ValueError(f"{name} has to be of the type that it has now")
        values[name] = new
    values.setdefault("gmt_modified", clock())
    edited = replace(reservation, **values)
    if edited.end_time <= edited.start_time:
        raise ValueError("the meeting would end before it starts")
    return edited


def _mistake(sentence: str, status: int = 400) -> Response:
    return JSONResponse({"error": sentence}, status)
