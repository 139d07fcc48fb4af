"""`[people]` of the configuration file, and its people list: which address is which user of the tenant.

The list is a CSV file with a header line that names the columns `address` and `user_id`; other columns are
for people, and so are lines that begin with `#`.
Spreadsheets are welcome: byte order mark, CRLF, and `;` or tab between the columns are understood.
Promises: every bad line is named by its number, never by what stands in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr, field_validator
from pydantic_core import PydanticCustomError

from syncd.config.files import UnreadableFile, read_small
from syncd.config.validation import Problem, Table, key
from syncd.config.values import FilePath, Flag, parse_address, problem

_COLUMNS = ("address", "user_id")
_COMMENT = "#"
_ROUNDED = re.compile(r"[0-9][.,][0-9]+E\+?[0-9]+", re.IGNORECASE)


class People(Table):
    """`[people]`: which address is which user."""

    file: FilePath | None = key(None, "CSV file with the columns address,user_id.")
    lookup: Flag = key(False, "Ask the tenant's user directory for unknown addresses.")
    unmapped: Literal["skip", "reject"] = key(
        "skip", "Skip unknown people, or reject their event."
    )
    optional: Literal["participant", "cc", "skip"] = key(
        "participant", "People with ROLE=OPT-PARTICIPANT."
    )
    declined: Literal["skip", "keep"] = key("skip", "People with PARTSTAT=DECLINED.")
    addresses: Mapping[str, str] = key(
        {}, "User ids by address; these win over the file."
    )

    _directory: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("addresses", mode="plain", json_schema_input_type=dict[str, str])
    @classmethod
    def _addresses(cls, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise problem("must be a table of addresses and user ids")
        entries = enumerate(value.items(), start=1)
        directory, problems = collect(
            (f"entry {n}", address, user_id) for n, (address, user_id) in entries
        )
        if problems:
            raise problem("; ".join(problems))
        return directory

    @classmethod
    def contradictions(
        cls, raw: Mapping[str, Any], directory: Path
    ) -> Iterator[Problem]:
        """Yield each bad line of the file."""
        name = raw.get("file")
        if (
            isinstance(name, str | Path)
            and str(name).strip()
            and str(name).isprintable()
        ):
            _, problems = read_people(directory / name)
            yield from (Problem(("file",), sentence) for sentence in problems)

    def model_post_init(self, context: object) -> None:  # noqa: ARG002
        """Remember what the file says when the configuration is loaded."""
        directory: dict[str, str] = {}
        if self.file is not None:
            directory, _ = read_people(self.file)
        self._directory = {**directory, **self.addresses}

    @property
    def directory(self) -> Mapping[str, str]:
        """Return the user ids by lower-case address: the file, with `addresses` over it."""
        return self._directory

    @property
    def addresses_by_user(self) -> dict[str, str]:
        """Return the first address of each user id, by which people know who is meant."""
        addresses: dict[str, str] = {}
        for address, user_id in self._directory.items():
            addresses.setdefault(user_id, address)
        return addresses


def read_people(path: Path) -> tuple[dict[str, str], list[str]]:
    """Read a people list; return user ids by lower-case address, and a sentence for each wrong line."""
    try:
        text = read_small(path).decode("utf-8-sig")
        records = _Records(text)
        lines = csv.reader(records, delimiter=_delimiter(text), strict=True)
        first_row = next(filter(None, records.each_of(lines)), [])
        header = [name.strip().lower() for name in first_row]
        if any(header.count(name) != 1 for name in _COLUMNS):
            return {}, [
                f"{path.name} line {max(1, lines.line_num)}: must be a header with the columns address,user_id"
            ]
        address, user_id = (header.index(name) for name in _COLUMNS)
        last_column = max(address, user_id)
        entries: list[tuple[str, str, str]] = []
        problems: list[str] = []
        for row in records.each_of(lines):
            where = f"{path.name} line {lines.line_num}"
            is_blank = not any(cell.strip() for cell in row)
            if is_blank:
                continue
            if len(row) <= last_column:
                problems.append(f"{where}: must have an address and a user id")
            else:
                entries.append((where, row[address], row[user_id]))
    except UnreadableFile as unreadable:
        return {}, [f"{path} {unreadable}; create it or leave people.file out"]
    except UnicodeDecodeError:
        return {}, [f'{path.name} is not UTF-8; save it as "CSV UTF-8"']
    except csv.Error:
        return {}, [
            f"{path.name} line {lines.line_num}: is not CSV; look for a quotation mark without its pair"
        ]
    directory, wrong = collect(entries)
    return directory, problems + wrong


def collect(
    entries: Iterable[tuple[str, object, object]],
) -> tuple[dict[str, str], list[str]]:
    """Return user ids by address of entries (place, address, user id), and a sentence for each wrong one."""
    directory: dict[str, str] = {}
    first: dict[str, str] = {}
    problems: list[str] = []
    for where, written, user_id in entries:
        try:
            address = parse_address(written)
        except PydanticCustomError as wrong:
            problems.append(f"{where}: the address {wrong.message()}")
            continue
        user = user_id.strip() if isinstance(user_id, str) else ""
        if not user or not user.isprintable():
            problems.append(f"{where}: the user id must be text and not empty")
        elif _ROUNDED.fullmatch(user):
            problems.append(
                f"{where}: a spreadsheet has rounded the user id; format the column as text"
            )
        elif directory.setdefault(address, user) != user:
            problems.append(
                f"{where}: the address has another user id at {first[address]}; keep one of them"
            )
        else:
            first.setdefault(address, where)
    return directory, problems


class _Records:
    """The lines of a list for a CSV reader, in which comments are empty.

    A line that begins with `#` within a quoted cell is a part of it, so who begins a record says so.
    """

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._begins = True

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            is_comment = self._begins and line.startswith(_COMMENT)
            self._begins = False
            yield "\n" if is_comment else line

    def each_of(self, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        """Yield the rows that a reader makes of these lines; a comment is an empty one."""
        while True:
            self._begins = True
            row = next(rows, None)
            if row is None:
                return
            yield row


def _delimiter(text: str) -> str:
    """Return what stands between the columns of the header, the first line that is no comment."""
    for line in io.StringIO(text):
        if line.strip() and not line.startswith(_COMMENT):
            return max(",;\t", key=line.count)
    return ","
