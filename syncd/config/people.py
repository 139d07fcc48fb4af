"""The people list: which address is which user of the tenant.

A CSV file with a header line that names the columns `address` and `user_id`; other columns are for people.
Spreadsheets are welcome: byte order mark, CRLF, and `;` or tab between the columns are understood.
Promises: every bad line is named by its number, never by what stands in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic_core import PydanticCustomError

from syncd.config.files import UnreadableFile, read_small
from syncd.config.values import parse_address

_COLUMNS = ("address", "user_id")
_ROUNDED = re.compile(r"[0-9][.,][0-9]+E\+?[0-9]+", re.IGNORECASE)


def read_people(path: Path) -> tuple[dict[str, str], list[str]]:
    """The directory in a file, lower-case address to user id, and a sentence for each thing wrong with it."""
    try:
        text = read_small(path).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        header = [name.strip().lower() for name in next(lines, [])]
        if any(header.count(name) != 1 for name in _COLUMNS):
            return {}, [f"{path.name} line 1: must be a header with the columns address,user_id"]
        address, user_id = (header.index(name) for name in _COLUMNS)
        entries = []
        problems = []
        for row in lines:
            where = f"{path.name} line {lines.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) <= max(address, user_id):
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


def collect(entries: Iterable[tuple[str, object, object]]) -> tuple[dict[str, str], list[str]]:
    """The directory of (where it stands, address, user id), and a sentence for each entry that is wrong."""
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
            problems.append(f"{where}: a spreadsheet has rounded the user id; format the column as text")
        elif directory.setdefault(address, user) != user:
            problems.append(f"{where}: the address has another user id at {first[address]}; keep one of them")
        else:
            first.setdefault(address, where)
    return directory, problems


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)
