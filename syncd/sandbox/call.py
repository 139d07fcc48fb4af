"""One call of the API: its fields read strictly, its refusals, and the operations that answer it.

`Fields` turns a query or a JSON body into values of the documented types, or refuses with a documented code.
snake_case and camelCase names both bind, because the API's pages print both.
Fields that the pages type in two ways (ids, `status`) are read in both; everything else in one.
Nothing here knows HTTP: the server makes calls out of requests, and answers out of results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from syncd.sandbox.store import Store
from syncd.sandbox.switches import Switches

Json = Any
T = TypeVar("T")

# Documented codes (API page "Error codes").
NOT_FOUND: Final = 1000
EMPTY: Final = 1100
OUT_OF_RANGE: Final = 1101
NULL: Final = 1102
WRONG_TYPE: Final = 1104
DENIED: Final = 1106
URI_INVALID: Final = 1108
ILLEGAL: Final = 1109
USER_UNKNOWN: Final = 2006

# The pages publish no codes for meetings: these are the sandbox's own, chosen so that nobody takes them
# for the API's.
ROOM_TAKEN: Final = 990001
RULE_BROKEN: Final = 990002
STATE_FORBIDS: Final = 990003
ROOM_CLOSED: Final = 990004


MAX_PAGE: Final = 10**9


class ApiError(Exception):
    """A refusal: `success:false` with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class NoResult:
    """The odd success of "Delete approval": `code` 200 and no `result`."""


NO_RESULT: Final = NoResult()


class Fields:
    """The query (`textual`) or the body of a call, by name."""

    def __init__(self, values: Mapping[str, Json], *, textual: bool = False) -> None:
        self._values = {_snake(name): value for name, value in values.items()}
        self._textual = textual

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def need(
        self, name: str, read: Callable[[str], T | None], *, may_be_empty: bool = False
    ) -> T:
        """Return a required field, read with a method below; raise `ApiError` if it is missing or empty."""
        value = read(name)
        if value is None:
            if name in self._values:
                raise ApiError(NULL, f"parameter {name} is null")
            raise ApiError(EMPTY, f"parameter {name} is missing")
        if isinstance(value, (str, list)) and not value and not may_be_empty:
            raise ApiError(EMPTY, f"parameter {name} is empty")
        return value

    def text(self, name: str) -> str | None:
        """Return a String; None where it is absent or null, as for all readers."""
        return self._read(name, str, "String")

    def identifier(self, name: str) -> str | None:
        """Return an id or a status as text: the pages show both a String and a Long."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(name)

    def integer(self, name: str) -> int | None:
        """Return a Long or an Integer."""
        value = self._values.get(name)
        if self._textual and isinstance(value, str):
            if not value:
                return None
            if not re.fullmatch(r"-?[0-9]{1,19}", value):
                raise ApiError(WRONG_TYPE, f"parameter {name} is not a Long")
            number = int(value)
        else:
            read = self._read(name, int, "Long")
            if read is None:
                return None
            number = read
        if not -(2**63) <= number < 2**63:
            raise ApiError(WRONG_TYPE, f"parameter {name} is not a Long")
        return number

    def flag(self, name: str) -> bool | None:
        """Return a Boolean."""
        value = self._values.get(name)
        if self._textual and isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise ApiError(WRONG_TYPE, f"parameter {name} is not a Boolean")
            return value.lower() == "true"
        return self._read(name, bool, "Boolean")

    def texts(self, name: str) -> list[str] | None:
        """Return a List of Strings; in a query they are separated by commas."""
        value = self._values.get(name)
        if self._textual and isinstance(value, str):
            parts = [part.strip() for part in value.split(",")]
            return [part for part in parts if part]
        listed: list[str] | None = self._read(name, list, "List")
        if listed is not None and not all(isinstance(part, str) for part in listed):
            raise ApiError(WRONG_TYPE, f"parameter {name} is not a List of Strings")
        return listed

    def objects(self, name: str) -> list[Fields] | None:
        """Return a List of objects."""
        listed: list[Json] | None = self._read(name, list, "List")
        if listed is None:
            return None
        if not all(isinstance(part, dict) for part in listed):
            raise ApiError(WRONG_TYPE, f"parameter {name} is not a List of objects")
        return [Fields(part) for part in listed]

    def object(self, name: str) -> Fields | None:
        """Return an object."""
        value: dict[str, Json] | None = self._read(name, dict, "object")
        return None if value is None else Fields(value)

    def one_of(self, *allowed: str) -> Callable[[str], str | None]:
        """Return a reader for a String from a closed set."""

        def read(name: str) -> str | None:
            value = self.identifier(name)
            if value and value not in allowed:
                known = ", ".join(allowed)
                raise ApiError(ILLEGAL, f"parameter {name} is not one of {known}")
            return value

        return read

    def within(self, limit: int) -> Callable[[str], str | None]:
        """Return a reader for a String of at most `limit` UTF-16 units (what a Java server counts)."""

        def read(name: str) -> str | None:
            value = self.text(name)
            if value is None:
                return None
            size = len(value.encode("utf-16-le", "surrogatepass"))
            if size > 2 * limit:
                raise ApiError(
                    OUT_OF_RANGE, f"parameter {name} is longer than {limit} characters"
                )
            return value

        return read

    def _read(self, name: str, kind: type[T], printed: str) -> T | None:
        value = self._values.get(name)
        if value is None:
            return None
        # A Boolean is no Long, although Python says so.
        is_boolean = isinstance(value, bool)
        if not isinstance(value, kind) or (is_boolean and kind is not bool):
            raise ApiError(WRONG_TYPE, f"parameter {name} is not a {printed}")
        return value


@dataclass(frozen=True)
class Call:
    """What a handler gets: path parameters, query, body, the state, and the server's clock (epoch ms).

    `as_of` is set when reads lag behind writes: show the state as it was at that time (epoch ms).
    """

    path: Mapping[str, str]
    query: Fields
    body: Fields
    store: Store
    switches: Switches
    now: int
    as_of: int | None = None

    def page(self) -> tuple[int, int]:
        """Return number (from 1) and size of the page that is asked for."""
        number = self.query.integer("page_no")
        size = self.query.integer("page_size")
        if size is None:
            # As the example of "Sign records" writes it.
            size = self.query.integer("size")
        number = 1 if number is None else number
        size = self.switches.page_size if size is None else size
        if not 1 <= number <= MAX_PAGE or size < 1:
            raise ApiError(OUT_OF_RANGE, "page_no and page_size start at 1")
        return number, min(size, self.switches.page_cap)

    def paged(self, items: Sequence[Json]) -> Json:
        """Return the asked page of a whole list, as JSON."""
        number, size = self.page()
        end = number * size
        start = end - size
        return page_of(items[start:end], len(items), number, size)

    def from_cursor(self, items: Sequence[Json]) -> Json:
        """Return what follows `last_row_key` in a list, as the user list and the daily report page."""
        _, size = self.page()
        key = self.query.text("last_row_key") or "0"
        if not re.fullmatch(r"[0-9]{1,9}", key):
            raise ApiError(
                ILLEGAL, "parameter last_row_key is not one that was handed out"
            )
        start = int(key)
        end = start + size
        has_more = end < len(items)
        return {
            "has_more": has_more,
            "last_row_key": str(end) if has_more else "",
            "list": list(items[start:end]),
        }


def page_of(items: Sequence[Json], total: int, number: int, size: int) -> Json:
    """Return a page as JSON: `total`, `has_more`, `list`."""
    return {
        "total": total,
        "has_more": number * size < total,
        "list": list(items),
    }


@dataclass(frozen=True)
class Operation:
    """One documented call: the name that faults and logs use, method, path template, and what answers it."""

    name: str
    method: str
    path: str
    handler: Callable[[Call], Json]
    is_token_call: bool = False


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])[A-Z]", _lowered, name)


def _lowered(capital: re.Match[str]) -> str:
    letter = capital[0].lower()
    return f"_{letter}"
