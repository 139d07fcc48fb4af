"""A small reservation API over HTTP that keeps an honest record, whatever it is made to answer.

Written from the documentation of the API and independent of the sandbox: no signatures, no approvals.
`distort` sees each honest answer on its way out and says what leaves instead, and whether a write is done.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

Record: TypeAlias = dict[str, Any]
"""A reservation as the API reads it back."""

NORMAL, AWAITING_APPROVAL, CANCELLED, REJECTED = 1, 2, 3, 4
LIVE = (NORMAL, AWAITING_APPROVAL)

NOT_THERE = 1000
ROOM_TAKEN = 990_001  # no page lists the codes of meetings
NOT_POSSIBLE = 990_002

_STEM = "/v2.0/iot-03/meeting-reservations"
_RULES = {
    "booking_date": [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ],
    "start_time": "00:00",
    "end_time": "23:59",
    "min_minute": 1,
    "max_hour": 24,
    "max_day": 30,
    "release_time": 10,
}
_FIRST_ID = 1410148835895808097


@dataclass(frozen=True)
class Question:
    """One request: which `operation` it is, about which reservation, with which query and body."""

    operation: str
    reservation_id: str
    query: Mapping[str, str]
    body: Record

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.operation in ("create", "modify", "cancel")


@dataclass
class Sent:
    """What leaves in place of an honest answer, and whether the work that was asked for is `done`."""

    answer: object
    status: int = 200
    done: bool = True


class No(Exception):
    """The honest API refuses a request."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass
class Tenant:
    """What one tenant has, and the questions it was asked; `now` gives epoch milliseconds."""

    now: Callable[[], int]
    distort: Callable[[Question, Record], Sent] = lambda _question, honest: Sent(honest)
    records: dict[str, Record] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    asked: list[Question] = field(default_factory=list)
    trespasses: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    given: int = 0  # ids, also of what was undone

    # What people do beside the program

    def book(self, **content: object) -> Record:
        """Somebody else books something; nobody checks whether the room is free."""
        return self._add(content)

    def live_of_ours(self) -> list[Record]:
        """What the program made and what still holds its slot."""
        return [
            self.records[number]
            for number in sorted(self.made)
            if self._holds(self.records[number])
        ]

    def blocker(
        self, room_id: str, start: int, end: int, but: str = ""
    ) -> Record | None:
        """What holds a room at a time, if anything does."""
        for record in self.records.values():
            same_place = bool(room_id) and record["room_id"] == room_id
            together = record["start_time"] < end and start < record["end_time"]
            if (
                self._holds(record)
                and same_place
                and together
                and record["reservation_id"] != but
            ):
                return record
        return None

    @staticmethod
    def _holds(record: Record) -> bool:
        return record["status"] in LIVE

    # What it is asked

    def answer(self, method: str, target: str, content: bytes) -> Sent:
        """One request and what is sent back."""
        question = _question(method, target, content)
        self.asked.append(question)
        before = json.dumps(self.records)
        made = set(self.made)
        honest = self._envelope(question)
        sent = self.distort(question, honest)
        if question.writes and not sent.done:
            self.records, self.made = json.loads(before), made
        elif question.writes and question.operation != "create":
            self._note_trespass(question, json.loads(before))
        return sent

    def _note_trespass(self, question: Question, before: dict[str, Record]) -> None:
        number = question.reservation_id
        if number in before and number not in self.made:
            self.trespasses.append(
                f"{question.operation} of {number}, which somebody else made"
            )

    def _envelope(self, question: Question) -> Record:
        try:
            result = self._result(question)
        except No as no:
            return {
                "success": False,
                "code": no.code,
                "msg": no.message,
                "t": self.now(),
                "tid": "0" * 32,
            }
        return {"success": True, "result": result, "t": self.now(), "tid": "0" * 32}

    def _result(self, question: Question) -> object:
        match question.operation:
            case "token":
                return {
                    "access_token": "token",
                    "refresh_token": "r",
                    "expire_time": 7200,
                    "uid": "u",
                }
            case "rules":
                return dict(_RULES)
            case "users":
                return self._users(question.query)
            case "list":
                return self._listed(question.query)
            case "get":
                return json.loads(json.dumps(self._known(question.reservation_id)))
            case "create":
                return self._create(question.body)
            case "modify":
                return self._modify(question.reservation_id, question.body)
            case "cancel":
                return self._cancel(question.reservation_id, question.body)
        self.defects.append(f"a request that the API does not know: {question}")
        raise No(1108, "uri path invalid")

    def _known(self, number: str) -> Record:
        if number not in self.records:
            raise No(NOT_THERE, "data does not exist")
        return self.records[number]

    def _listed(self, query: Mapping[str, str]) -> Record:
        start, end = int(query["start_time"]), int(query["end_time"])
        rooms = (
            query.get("meeting_room_ids", "").split(",")
            if "meeting_room_ids" in query
            else None
        )
        found = [
            record
            for record in self.records.values()
            if record["start_time"] < end
            and start < record["end_time"]
            and query.get("creator", record["creator"]) == record["creator"]
            and (rooms is None or record["room_id"] in rooms)
        ]
        size, number = int(query.get("page_size", "20")), int(query.get("page_no", "1"))
        page = found[(number - 1) * size : number * size]
        copied = json.loads(json.dumps(page))
        return {
            "total": len(found),
            "has_more": number * size < len(found),
            "list": copied,
        }

    @staticmethod
    def _users(query: Mapping[str, str]) -> Record:
        """Everybody has an id of the name before the `@`."""
        address = query["email"]
        person = {
            "id": f"user-{address.partition('@')[0]}",
            "email": address,
            "status": 1,
            "name": "N",
        }
        return {"has_more": False, "last_row_key": "", "list": [person]}

    def _create(self, body: Record) -> str:
        self._check(
            body,
            ("topic", "start_time", "end_time", "participants", "notice", "creator"),
        )
        self._require_room(body, "")
        record = self._add(body)
        self.made.add(record["reservation_id"])
        return str(record["reservation_id"])

    def _modify(self, number: str, body: Record) -> bool:
        self._check(
            body,
            (
                "topic",
                "start_time",
                "end_time",
                "description",
                "modifier",
                "participants",
            ),
        )
        record = self._known(number)
        if not self._holds(record) or record["end_time"] <= self.now():
            raise No(NOT_POSSIBLE, "it is over")
        self._require_room(body, number)
        content = {
            name: value for name, value in body.items() if name != "meeting_room_id"
        }
        record.update(
            content, room_id=body.get("meeting_room_id") or "", gmt_modified=self.now()
        )
        return True

    def _cancel(self, number: str, body: Record) -> bool:
        if body != {"status": "3"}:
            self.defects.append(f"a cancel with the body {body}")
        record = self._known(number)
        record.update(status=CANCELLED, gmt_modified=self.now())
        return True

    def _check(self, body: Record, required: tuple[str, ...]) -> None:
        """Note what no client may send."""
        missing = [name for name in required if name not in body]
        if (
            missing
            or not isinstance(body.get("topic"), str)
            or len(body.get("description", "")) > 256
        ):
            self.defects.append(f"a body that the API does not accept: {body}")
            raise No(1109, "illegal parameter")
        if body["start_time"] >= body["end_time"]:
            self.defects.append(f"a meeting that ends before it begins: {body}")

    def _require_room(self, body: Record, but: str) -> None:
        if self.blocker(
            body.get("meeting_room_id") or "", body["start_time"], body["end_time"], but
        ):
            raise No(ROOM_TAKEN, "the room is occupied")

    def _add(self, content: Mapping[str, object]) -> Record:
        number = str(_FIRST_ID + self.given * 4194304 * 1000)
        self.given += 1
        record: Record = {
            "reservation_id": number,
            "topic": "",
            "status": NORMAL,
            "participants": [],
            "cc_participants": [],
            "notice": False,
            "notice_time": 0,
            "description": "",
            "attachments": [],
            "gmt_create": self.now(),
            "gmt_modified": self.now(),
            "modifier": content.get("creator", ""),
        }
        record.update(content)
        record["room_id"] = record.pop("meeting_room_id", None) or record.get(
            "room_id", ""
        )
        self.records[number] = record
        return record


def _question(method: str, target: str, content: bytes) -> Question:
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    body = json.loads(content) if content else {}
    number = url.path.removeprefix(_STEM).strip("/").partition("/")[0]
    match method, url.path.removeprefix(_STEM), url.path:
        case "GET", _, "/v1.0/token":
            operation = "token"
        case "GET", _, "/v2.0/iot-03/meeting-settings/reservations":
            operation = "rules"
        case "GET", _, "/v1.0/iot-03/users":
            operation = "users"
        case "GET", "", _:
            operation = "list"
        case "POST", "", _:
            operation = "create"
        case "GET", rest, path if path.startswith(_STEM) and rest.count("/") == 1:
            operation = "get"
        case "PUT", rest, path if path.startswith(_STEM) and rest.endswith("/status"):
            operation = "cancel"
        case "PUT", rest, path if path.startswith(_STEM) and rest.count("/") == 1:
            operation = "modify"
        case _:
            operation = "unknown"
    return Question(operation, number, query, body)


def written(answer: object) -> bytes:
    """An answer as JSON; a text like `@1e999` leaves as that number, which Python does not write."""
    return re.sub(
        r"\"@([-0-9e.]+)\"", r"\1", json.dumps(answer, separators=(",", ":"))
    ).encode("ascii")


@contextmanager
def serving(tenant: Tenant) -> Iterator[str]:
    """Answer for a tenant on a free port of this machine; gives the URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().setup()

        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            with lock:
                try:
                    sent = tenant.answer(self.command, self.path, content)
                    body = written(sent.answer)
                except Exception:  # whatever it is, it is a defect of the server and not of the program
                    tenant.defects.append(
                        f"the server failed: {traceback.format_exc()}"
                    )
                    raise
            self.send_response(sent.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815  # the names are given

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # so is this one
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
