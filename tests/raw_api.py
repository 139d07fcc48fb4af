"""A reservation API that holds whatever a test puts into it, behind a real socket.

The sandbox keeps its reservations in order; this one keeps JSON objects as they are, so that it can hold
and answer what no honest server would: fields that are missing or of another type, times that make no
sense, pages that contradict each other, questions that are refused.
The envelope is always the documented one, and signatures are not checked.

`RawApi.stored` holds the reservations by id, `RawApi.extras` what stands in every list besides, and
`RawApi.answers` takes, by operation, a function that answers instead: it gets the call as `Asked` and
returns the envelope's fields (see `said` and `refused`), or None for the usual answer.
`RawApi.page` makes the `result` of one page of a list.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIENT_ID, CLIENT_SECRET = "rawclient", "rawsecret"

ROOM_TAKEN = 1109

_STEM = "/v2.0/iot-03/meeting-reservations"
_FIRST_ID = 1_410_148_835_895_808_000

Json = Any
Envelope = dict[str, Json]


@dataclass(frozen=True)
class Asked:
    """One call as it arrived; `reservation_id` is that of the path, empty where it names none."""

    operation: str
    method: str
    path: str
    query: dict[str, str]
    body: Json
    reservation_id: str


Answer = Callable[[Asked], Envelope | None]


def said(result: Json) -> Envelope:
    """The fields of an envelope that says yes."""
    return {"success": True, "result": result}


def refused(code: Json, message: str = "no") -> Envelope:
    """The fields of an envelope that says no."""
    return {"success": False, "code": code, "msg": message}


def honest_page(items: list[Json], number: int, size: int) -> Json:
    """The `result` of one page of a list, as documented."""
    shown = items[(number - 1) * size : number * size]
    return {"total": len(items), "has_more": number * size < len(items), "list": shown}


@dataclass
class RawApi:
    """What the server holds and how it answers; tests change it while it runs."""

    stored: dict[str, Json] = field(default_factory=dict)
    extras: list[Json] = field(default_factory=list)
    rules: Json = None
    answers: dict[str, Answer] = field(default_factory=dict)
    page: Callable[[list[Json], int, int], Json] = honest_page
    requests: list[Asked] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._made = 0

    def put(self, **fields: Json) -> str:
        """Hold a reservation with these fields over those of a sound one; its id.

        A field whose value is `...` is left out.
        """
        with self._lock:
            reservation_id = str(fields.get("reservation_id") or self._new_id())
            now = int(time.time() * 1000)
            item = {
                "reservation_id": reservation_id,
                "topic": "Theirs",
                "start_time": now + 86_400_000,
                "end_time": now + 90_000_000,
                "status": 1,
                "room_id": "",
                "participants": ["9"],
                "cc_participants": [],
                "notice": True,
                "notice_time": 900,
                "description": "",
                "creator": "9",
                "modifier": "9",
                "gmt_create": now,
                "gmt_modified": now,
                "attachments": [],
                **fields,
            }
            self.stored[reservation_id] = {
                name: value for name, value in item.items() if value is not ...
            }
            return reservation_id

    def edit(self, key: str, /, **fields: Json) -> None:
        """Change fields of a reservation, to whatever values; `...` takes a field away."""
        with self._lock:
            item = {**self.stored[key], **fields}
            self.stored[key] = {
                name: value for name, value in item.items() if value is not ...
            }

    def live(self) -> dict[str, Json]:
        """The reservations of status 1 and 2, by id."""
        with self._lock:
            return {
                key: item
                for key, item in self.stored.items()
                if item.get("status") in (1, 2)
            }

    def writes(self) -> list[str]:
        """The mutating calls so far, by operation."""
        return [asked.operation for asked in self.requests if asked.method != "GET"]

    def asked(self, operation: str) -> int:
        """How many calls of an operation there were so far."""
        return sum(asked.operation == operation for asked in self.requests)

    # What a call does

    def answer(self, asked: Asked) -> Envelope:
        """The envelope for one call."""
        with self._lock:
            self.requests.append(asked)
            if asked.operation == "token":
                return said(
                    {
                        "access_token": "token",
                        "refresh_token": "r",
                        "expire_time": 7200,
                        "uid": "u",
                    }
                )
            otherwise = self.answers.get(asked.operation)
            answer = otherwise(asked) if otherwise else None
            return answer if answer is not None else self.usual(asked)

    def usual(self, asked: Asked) -> Envelope:
        """The envelope of an honest server."""
        with self._lock:
            match asked.operation:
                case "create":
                    return self._create(asked.body)
                case "list":
                    return said(self._page(asked))
                case "rules":
                    return said(self.rules)
                case "rooms" | "users":
                    return said({"total": 0, "has_more": False, "list": []})
                case _ if asked.reservation_id not in self.stored:
                    return refused(1000)
                case "get":
                    return said(self.stored[asked.reservation_id])
                case "modify":
                    return self._modify(asked)
                case _:
                    self.edit(asked.reservation_id, status=int(asked.body["status"]))
                    return said(True)

    def _create(self, body: Json) -> Envelope:
        if self._is_taken(body, ""):
            return refused(ROOM_TAKEN)
        fields = {
            name: value for name, value in body.items() if name != "meeting_room_id"
        }
        return said(
            self.put(
                **fields,
                room_id=body.get("meeting_room_id", ""),
                modifier=body["creator"],
            )
        )

    def _modify(self, asked: Asked) -> Envelope:
        if self._is_taken(asked.body, asked.reservation_id):
            return refused(ROOM_TAKEN)
        fields = {
            name: value
            for name, value in asked.body.items()
            if name != "meeting_room_id"
        }
        self.edit(
            asked.reservation_id,
            **fields,
            room_id=asked.body.get("meeting_room_id", ""),
        )
        return said(True)

    def _is_taken(self, wanted: Json, own_id: str) -> bool:
        """Whether another one that is not cancelled has the room; without end it has it from its start on."""
        room = wanted.get("meeting_room_id")
        return bool(room) and any(
            key != own_id
            and item.get("room_id") == room
            and item.get("status") not in (3, 4)
            and _number(item.get("start_time"), 0) < wanted["end_time"]
            and _number(item.get("end_time"), 1 << 62) > wanted["start_time"]
            for key, item in self.stored.items()
        )

    def _page(self, asked: Asked) -> Json:
        query = asked.query
        start, end = int(query["start_time"]), int(query["end_time"])
        rooms = (
            query["meeting_room_ids"].split(",")
            if "meeting_room_ids" in query
            else None
        )
        items = [
            item
            for item in self.stored.values()
            if _number(item.get("start_time"), start) < end
            and _number(item.get("end_time"), end) > start
            and (
                "creator" not in query
                or item.get("creator", query["creator"]) == query["creator"]
            )
            and (rooms is None or item.get("room_id", rooms[0]) in rooms)
        ]
        return self.page(
            [*items, *self.extras], int(query["page_no"]), int(query["page_size"])
        )

    def _new_id(self) -> str:
        self._made += 1
        return str(_FIRST_ID + self._made)

    # The server

    @contextmanager
    def running(self) -> Iterator[RawApi]:
        """Serve on a free loopback port while it lasts; `url` says where."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                envelope = api.answer(_read(self.command, self.path, body))
                content = json.dumps(
                    {"t": int(time.time() * 1000), "tid": "trace", **envelope}
                ).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _serve  # noqa: N815  # names that http.server looks for

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), daemon=True
        )
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=10)


def _read(method: str, target: str, body: Json) -> Asked:
    parts = urlsplit(target)
    query = {
        name: values[0]
        for name, values in parse_qs(parts.query, keep_blank_values=True).items()
    }
    path = parts.path
    identity = ""
    if path.startswith(f"{_STEM}/"):
        identity, _, last = path.removeprefix(f"{_STEM}/").partition("/")
        names = {("GET", ""): "get", ("PUT", ""): "modify", ("PUT", "status"): "cancel"}
        operation = names.get((method, last), "unknown")
    else:
        names_of_paths = {
            "/v1.0/token": "token",
            _STEM: "list" if method == "GET" else "create",
            "/v2.0/iot-03/meeting-rooms": "rooms",
            "/v2.0/iot-03/meeting-settings/reservations": "rules",
            "/v1.0/iot-03/users": "users",
        }
        operation = names_of_paths.get(path, "unknown")
    return Asked(operation, method, path, query, body, identity)


def _number(value: Json, otherwise: int) -> int:
    return (
        value if isinstance(value, int) and not isinstance(value, bool) else otherwise
    )
