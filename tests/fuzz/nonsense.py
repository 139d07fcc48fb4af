"""Well-formed JSON that makes no sense: what an answer of the API may be in place of the honest one.

A damage has a `kind`, by which it is counted, and tells whether the answer is a lie: a plausible statement
that is false, such as that a reservation does not exist.
Nobody can tell a lie from the truth, so less is asked of the program about the meeting that it concerned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

from tests.fuzz.tenant import CANCELLED, NOT_THERE, REJECTED, Question, Record, Sent

Change: TypeAlias = Callable[[Record], object]
"""Gives another item for an honest one, which it may change."""

_GONE = object()  # the field is left out

_NESTED: list[Any] = []
for _ in range(200):
    _NESTED = [_NESTED]

ANYTHING: Sequence[object] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        1.5,
        -0.0,
        10**30,
        "@1e999",
        "@" + "9" * 5000,
        "@-" + "9" * 400,
    ),
    *(
        "",
        "x",
        "1",
        "-1",
        "true",
        "null",
        "\u0000",
        "\ud800",
        "\u202e",
        "\x1b[2J",
        "٣",
        "x" * 70_000,
    ),
    *(
        [],
        {},
        [None],
        [[]],
        {"": None},
        {"a": {"b": [1, "\ud800"]}},
        {"success": True},
        _NESTED,
    ),
)

BEFORE_PROCESSING = frozenset(
    {
        *(
            1001,
            1002,
            1003,
            1004,
            1005,
            1006,
            1007,
            1008,
            1010,
            1011,
            1012,
            1013,
            1105,
            1106,
            1108,
        ),
        *(1110, 1111, 1112, 1113, 1114, 1199, 1400, 2007, 2009, 40001900),
        *(28841001, 28841002, 28841003, 28841004, 28841101, 28841105, 28841107),
    }
)
"""Codes of which the documentation says that the request was refused before it was processed."""

_REFUSALS = [*BEFORE_PROCESSING]
_PATIENCE = (1110, 1199)  # the client waits in real time, so they are rare
_UNKNOWN_CODES: Sequence[object] = (
    1,
    -5,
    1100,
    1101,
    1103,
    1109,
    2001,
    990_003,
    10**30,
    "990004",
    "-7",
)
_NO_CODES: Sequence[object] = (
    0,
    None,
    "",
    "x",
    1.5,
    True,
    [1],
    {"code": 1},
    "@1e999",
    _GONE,
)
_FAILURES: Sequence[tuple[object, int]] = (
    ({"success": False, "code": 500, "msg": "system error"}, 200),
    ({"error": "bad gateway"}, 502),
    ({"success": False, "code": 990_006, "msg": "no"}, 503),
    ({}, 200),
    ([], 200),
    (None, 404),
    ({"success": None, "result": {}}, 200),
)
"""Answers and HTTP statuses that say nothing."""
_STATUSES = (302, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 502, 503, 504)

_IDS: Sequence[object] = (
    *(
        _GONE,
        None,
        "",
        "a/b",
        "../1",
        "1?x=2",
        "a b",
        "\u202e1",
        "٣",
        "x" * 65,
        10**80,
        -5.5,
        1.5,
        True,
    ),
    *([], {}, ["1"], "\ud800", "\u0000"),
)
_TIMES: Sequence[object] = (
    *(
        _GONE,
        None,
        "",
        "soon",
        -1,
        0,
        10**15,
        10**18,
        10**30,
        -(10**30),
        "@1e999",
        "@" + "9" * 5000,
        1.5e12,
    ),
    *(True, [], {}, [1], "2030-03-04T09:00:00Z", "\ud800"),
)
_NOT_A_STATUS: Sequence[object] = (
    *(
        _GONE,
        None,
        0,
        5,
        -1,
        99,
        10**30,
        1.5,
        "x",
        "",
        "normal",
        True,
        [],
        {},
        [1],
        "٣",
    ),
)
_TEXTS: Sequence[object] = (
    *(
        _GONE,
        None,
        5,
        True,
        [],
        {},
        "",
        "\ud800",
        "\u0000",
        "\x1b[31m\u202e",
        "x" * 70_000,
        "a\r\nb",
    ),
)
_LISTS: Sequence[object] = (
    *(
        _GONE,
        None,
        "",
        "1",
        5,
        True,
        {},
        [None],
        [[]],
        [{}],
        [True],
        ["\ud800"],
        ["1", "1"],
    ),
    *([{"url": 5}], [{"url": "\ud800"}], [{"url": [], "name": {}}]),
)
_FIELDS: dict[str, Sequence[object]] = {
    "reservation_id": _IDS,
    "status": _NOT_A_STATUS,
    "start_time": _TIMES,
    "end_time": _TIMES,
    "room_id": _TEXTS,
    "topic": _TEXTS,
    "description": _TEXTS,
    "creator": _TEXTS,
    "modifier": _TEXTS,
    "participants": _LISTS,
    "cc_participants": _LISTS,
    "attachments": _LISTS,
    "notice": (_GONE, None, "x", 5, [], "\ud800"),
    "notice_time": (_GONE, None, "x", -1, 10**30, 1.5, [], True, "@1e999"),
    "gmt_create": _TIMES,
    "gmt_modified": _TIMES,
}
_DECISIVE = (
    "reservation_id",
    "status",
    "start_time",
    "end_time",
    "room_id",
    "description",
    "creator",
)


@dataclass(frozen=True)
class Damage:
    """What leaves in place of an honest answer; `lies` says of which reservations it says what is false."""

    kind: str
    sent: Sent
    lies: frozenset[str] = field(default_factory=frozenset)
    lies_about_it: bool = False


def copied(value: Any) -> Any:
    """The same JSON, of which any part may be changed."""
    return json.loads(json.dumps(value))


def _put(record: Record, name: str, value: object) -> None:
    if value is _GONE:
        record.pop(name, None)
    else:
        record[name] = value


# One item


def change_of_item(random: Random, others: Sequence[Record]) -> tuple[str, Change]:
    """A way to make nonsense of a reservation, the same each time it is applied."""
    match random.choice(
        [
            "field",
            "field",
            "field",
            "decisive",
            "decisive",
            "order",
            "kind",
            "more",
            "two",
        ]
    ):
        case "order":
            back = random.choice([0, 1, 60_000, 10**9, 10**12])
            return "item: ends before it begins", lambda item: {
                **item,
                "end_time": item["start_time"] - back,
            }
        case "kind":
            value = random.choice(ANYTHING)
            return "item: not an object", lambda _item: value
        case "more":
            more = {
                name: random.choice(ANYTHING)
                for name in ("id", "meetingRoomId", "x", "", "success")
            }
            del more["id"]
            return "item: more fields", lambda item: {**more, **item}
        case "two":
            first, second = (
                _change_of_field(random, tuple(_FIELDS), others) for _ in "12"
            )
            return "item: two fields", lambda item: _twice(first[1], second[1], item)
        case "decisive":
            return _change_of_field(random, _DECISIVE, others)
    return _change_of_field(random, tuple(_FIELDS), others)


def _twice(first: Change, second: Change, item: Record) -> object:
    changed = first(item)
    return second(changed) if isinstance(changed, dict) else changed


def _change_of_field(
    random: Random, names: Sequence[str], others: Sequence[Record]
) -> tuple[str, Change]:
    name = random.choice(names)
    value = random.choice(_FIELDS[name])
    if name == "description" and others and random.random() < 0.3:
        value = random.choice(others)["description"]

    def change(item: Record) -> object:
        _put(item, name, value)
        return item

    return f"item: {name}", change


def lie_about_item(random: Random, item: Record) -> tuple[str, bool]:
    """Let a reservation show something plausible that is false; whether it says that it is not there."""
    match random.choice(["status", "topic", "time", "room", "creator"]):
        case "status":
            item["status"] = random.choice([CANCELLED, REJECTED])
            return "lie: another status", True
        case "topic":
            item["topic"] = "Something else"
            return "lie: another topic", False
        case "time":
            item["start_time"] += 1_800_000
            item["end_time"] += 3_600_000
            return "lie: another time", False
        case "room":
            item["room_id"] = random.choice(["", "1410148741926678599"])
            return "lie: another room", False
    item["creator"] = random.choice(["98", "99"])
    return "lie: another creator", False


# One answer


def damage(
    random: Random, question: Question, honest: Record, records: dict[str, Record]
) -> Damage:
    """Make something else of an honest answer."""
    others = list(records.values())
    match random.choices(["envelope", "code", "result"], [25, 20, 55])[0]:
        case "envelope":
            kind, sent, lies = _other_envelope(random, question, honest)
        case "code":
            kind, sent, lies = _refusal(random, question, honest)
        case _:
            kind, sent, lies, concerned = _other_result(
                random, question, honest, others
            )
            if question.writes and not lies:
                sent, lies = _maybe_undone(random, sent, lies)
            return Damage(kind, sent, concerned, lies)
    return Damage(kind, sent, lies_about_it=lies)


def _maybe_undone(random: Random, sent: Sent, lies: bool) -> tuple[Sent, bool]:
    """A write is not done now and then; an answer that says it was is a lie then."""
    if random.random() < 0.7:
        return sent, lies
    answer = sent.answer
    says_done = (
        isinstance(answer, dict)
        and answer.get("success") is True
        and _is_yes(answer.get("result"))
    )
    return Sent(answer, sent.status, done=False), lies or says_done


def _is_yes(result: object) -> bool:
    return result is True or is_an_id(result)


def says_no(answer: object) -> bool:
    """Whether an answer is a refusal; of a cancel that is done it is a lie that nobody can see through."""
    return (
        isinstance(answer, dict)
        and answer.get("success") is False
        and answer.get("code") != 500
    )


def is_an_id(value: object) -> bool:
    """Whether a value could be an id."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return re.fullmatch(r"[0-9A-Za-z_-]{1,64}", str(value)) is not None


def _other_envelope(
    random: Random, question: Question, honest: Record
) -> tuple[str, Sent, bool]:
    answer: Any = copied(honest)
    status = 200
    kind = random.choice(
        ["anything", "success", "no success", "t", "t", "more", "http", "http", "code"]
    )
    match kind:
        case "anything":
            answer = random.choice(ANYTHING)
        case "success":
            answer["success"] = random.choice(
                ["true", "false", 1, 0, None, [], {}, "yes", "\ud800"]
            )
        case "no success":
            del answer["success"]
        case "t":
            _put(answer, "t", random.choice(_TIMES))
        case "more":
            answer |= {
                "data": random.choice(ANYTHING),
                "tid": random.choice(ANYTHING),
                "msg": None,
            }
        case "code":
            _put(answer, "code", random.choice([200, 0, 500, 1010, "x", None, -1]))
        case _:
            status = random.choice(_STATUSES)
            if random.random() < 0.5:
                answer = random.choice(
                    [*ANYTHING, {"error": "nginx"}, {"code": status, "message": "no"}]
                )
    if status == 429:
        return f"envelope: HTTP {status}", Sent(answer, status, done=False), False
    sent, lies = Sent(answer, status), False
    if question.writes:
        sent, lies = _maybe_undone(random, sent, lies)
    if (
        isinstance(answer, dict)
        and answer.get("success") is False
        and answer.get("code") in _REFUSALS
    ):
        sent.done = False
    return f"envelope: {kind}", sent, lies


def _refusal(
    random: Random, question: Question, honest: Record
) -> tuple[str, Sent, bool]:
    if random.random() < 0.02:
        code: object = random.choice(_PATIENCE)
    elif random.random() < 0.3:
        code = random.choice(sorted(BEFORE_PROCESSING - {1110, 1111, 1112, 1113, 1199}))
    else:
        code = random.choice([*_UNKNOWN_CODES, *_NO_CODES, 500, NOT_THERE])
    answer = {
        "success": False,
        "msg": random.choice([*_TEXTS[1:], "no"]),
        "t": honest["t"],
    }
    _put(answer, "code", code)
    if random.random() < 0.2:
        answer["result"] = random.choice(ANYTHING)
    documented = isinstance(code, int) and code in BEFORE_PROCESSING
    done = not (documented or code == NOT_THERE) and random.random() < 0.6
    lies = code == NOT_THERE and question.operation == "get" and honest["success"]
    lies |= question.operation == "cancel" and done and says_no(answer)
    kind = "documented" if documented or code in (500, NOT_THERE) else "undocumented"
    return f"code: {kind}", Sent(answer, done=done), lies


def _other_result(
    random: Random, question: Question, honest: Record, others: Sequence[Record]
) -> tuple[str, Sent, bool, frozenset[str]]:
    nobody: frozenset[str] = frozenset()
    answer = copied(honest)
    if not answer["success"] or random.random() < 0.15:
        value = random.choice([*ANYTHING, _GONE])
        answer |= {"success": True}
        _put(answer, "result", value)
        answer.pop("code", None)
        lies = question.operation == "create" and is_an_id(value)
        lies |= (
            question.operation in ("modify", "cancel")
            and value is True
            and not honest["success"]
        )
        return "result: anything", Sent(answer), lies, nobody
    match question.operation:
        case "list":
            kind, concerned = _other_list(random, answer["result"], others)
            return kind, Sent(answer), False, concerned
        case "get":
            kind, lies = _other_item(random, answer, others)
            return kind, Sent(answer), lies, nobody
        case "create":
            values: list[object] = [
                int(answer["result"]),
                random.choice(others)["reservation_id"],
                "7",
            ]
            answer["result"] = value = random.choice([*values, *_IDS[1:]])
            lies = is_an_id(value) and str(value) != honest["result"]
            return "result: another id", Sent(answer), lies, nobody
        case "modify" | "cancel":
            answer["result"] = random.choice(
                [False, False, None, "true", 1, "", [], {}]
            )
            return "result: not confirmed", Sent(answer), False, nobody
    what = answer["result"]
    name = random.choice(list(what))
    if question.operation == "users" and random.random() < 0.6:
        what = what["list"][0]
        name = random.choice(list(what))
    elif question.operation == "rules" and random.random() < 0.6:
        name = "max_day"
    _put(what, name, random.choice([*ANYTHING, *_IDS[1:], _GONE, 10**12, -(10**12)]))
    return f"result: {question.operation}", Sent(answer), False, nobody


def _other_item(
    random: Random, answer: Record, others: Sequence[Record]
) -> tuple[str, bool]:
    """Change the one reservation that an answer is about."""
    if random.random() < 0.1:
        return lie_about_item(random, answer["result"])
    if random.random() < 0.1:
        answer["result"] = copied(random.choice(others))
        return "item: another one", False
    kind, change = change_of_item(random, others)
    answer["result"] = change(answer["result"])
    return kind, False


def _other_list(
    random: Random, page: Record, others: Sequence[Record]
) -> tuple[str, frozenset[str]]:
    nobody: frozenset[str] = frozenset()
    items = page["list"]
    if items and random.random() < 0.5:
        kind, change = change_of_item(random, others)
        for number in random.sample(
            range(len(items)), random.choice([1, 1, 1, min(3, len(items))])
        ):
            items[number] = change(items[number])
        return f"list, {kind}", nobody
    if items and random.random() < 0.1:
        chosen = random.choice(items)
        kind, gone = lie_about_item(random, chosen)
        return f"list, {kind}", frozenset(
            {chosen["reservation_id"]}
        ) if gone else nobody
    kind = random.choice(
        ["total", "has_more", "list", "repeated", "others", "omitted", "twins", "both"]
    )
    match kind:
        case "total":
            _put(
                page,
                "total",
                random.choice(
                    [*_TIMES, page["total"] + 1, page["total"] - 1, 0, 10**6]
                ),
            )
        case "has_more":
            _put(
                page,
                "has_more",
                random.choice(
                    [not page["has_more"], _GONE, None, "yes", 1, [], "true"]
                ),
            )
        case "list":
            _put(
                page,
                "list",
                random.choice([_GONE, None, "", {}, 5, True, "\ud800", {"0": {}}]),
            )
        case "repeated":
            page["list"] = items + copied(items)
        case "others":
            page["list"] = items + copied(
                random.sample(list(others), min(3, len(others)))
            )
        case "omitted":
            page["list"] = items[: len(items) // 2]
        case "twins" if items:
            twin = copied(random.choice(items))
            twin |= {
                "start_time": twin["start_time"] + 60_000,
                "topic": "A twin",
                "status": CANCELLED,
            }
            page["list"] = [*items, twin]
        case _:
            page |= {
                "total": random.choice([0, 61, -1]),
                "has_more": random.choice([True, False]),
            }
    return f"list: {kind}", nobody


def with_more_pages(
    random: Random, question: Question, honest: Record, extra: int, known: int
) -> Record:
    """A list that goes on for so many pages more, with copies of what it shows under ids that nobody has.

    It says the total of all that it shows, or that of the honest list; `known` reservations there are.
    """
    answer: Record = copied(honest)
    page = answer["result"]
    size, number = int(question.query["page_size"]), int(question.query["page_no"])
    total = page["total"]
    honest_pages = max(1, -(-total // size))
    shown = page["list"] or [
        {"topic": "Nobody's", "status": 1, "start_time": 0, "end_time": 1}
    ]
    if number > honest_pages:
        page["list"] = [
            {**random.choice(shown), "reservation_id": f"9{known}{number}{n}"}
            for n in range(size)
        ]
    page["has_more"] = number < honest_pages + extra
    if extra % 2:
        page["total"] = honest_pages * size + extra * size
    return answer


# All answers about one reservation


class AboutOne:
    """The same damage to all that is said of one reservation; everything else is honest.

    `number` is its id; with `topic` what is answered to its creation is damaged instead.
    """

    def __init__(
        self, random: Random, number: str, topic: str, others: Sequence[Record]
    ) -> None:
        self.number = number
        self.topic = topic
        self.kind, self._change = change_of_item(random, others)
        self._refusal = random.choice([*_UNKNOWN_CODES, None, None, None])
        self._answer = random.choice([*ANYTHING, _GONE])
        self._status = random.choice([200, 200, 200, *_STATUSES[1:7]])
        self._confirmation: object = random.choice([False, None, "", 1, []])
        self._done = random.random() < 0.5
        self.in_lists = random.random() < 0.7
        self._failure = random.choice(_FAILURES)
        self.when_asked = random.choice(
            ["item", "refusal", "anything", "http", "failure", "honest"]
        )
        self.when_written = random.choice(
            ["refusal", "anything", "http", "failure", "not confirmed"]
        )

    def __str__(self) -> str:
        lists = self.kind if self.in_lists else "honest in lists"
        return f"{lists}; asked: {self.when_asked}; written: {self.when_written}"

    def distort(self, question: Question, honest: Record) -> Sent:
        """What leaves in place of an honest answer."""
        answer = copied(honest)
        if question.operation == "list" and answer["success"] and self.in_lists:
            self._change_list(answer["result"])
        elif question.operation == "get" and question.reservation_id == self.number:
            return self._asked(answer)
        elif question.writes and self._concerns(question):
            return self._written(answer)
        return Sent(answer)

    def _concerns(self, question: Question) -> bool:
        if question.operation == "create":
            return bool(self.topic) and question.body.get("topic") == self.topic
        return question.reservation_id == self.number

    def _change_list(self, page: Record) -> None:
        items = page["list"]
        page["list"] = [
            self._change(i) if i["reservation_id"] == self.number else i for i in items
        ]

    def _asked(self, answer: Record) -> Sent:
        match self.when_asked:
            case "item" if answer["success"]:
                answer["result"] = self._change(answer["result"])
            case "refusal":
                return Sent(_refused(answer, self._refusal))
            case "anything":
                _put(answer, "result", self._answer)
            case "http":
                return Sent(_refused(answer, None), self._status)
            case "failure":
                return Sent(*self._failure)
        return Sent(answer)

    def _written(self, answer: Record) -> Sent:
        match self.when_written:
            case "refusal":
                return Sent(_refused(answer, self._refusal), done=self._done)
            case "anything":
                return Sent({"success": True, "t": answer["t"]}, done=self._done)
            case "http":
                return Sent(_refused(answer, None), self._status, done=self._done)
            case "failure":
                return Sent(*self._failure, done=self._done)
        return Sent(
            {**answer, "success": True, "result": self._confirmation}, done=self._done
        )


def _refused(answer: Record, code: object) -> Record:
    return {
        "success": False,
        "code": 990_005 if code is None else code,
        "msg": "no",
        "t": answer["t"],
    }
