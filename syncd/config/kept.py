"""The last good configuration, as a text that is kept in the ledger, and where that ledger may be.

While the file has a mistake the daemon goes on with the last good one, and commands that look should say what
that daemon does: so whoever works on the ledger leaves there what it works by.
Promises: secrets stay references, and the list of people is in the text, so that nothing else has to be good.
Must not: take a text for that of another configuration file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syncd.config.files import UnreadableFile, files_of, read_small
from syncd.config.schema import Config, State
from syncd.config.state_url import state_url_without_password
from syncd.errors import ConfigError

_OF_THE_SERVICE = "sqlite:////var/lib/syncd/state.db"
"""Where a shell finds the ledger of the service, which alone has $STATE_DIRECTORY."""

_OF_THE_PLACE = ("url", "password", "durability")

_SECTION = re.compile(
    r"^[ \t]*\[state\][^\n]*\n(?:(?![ \t]*\[)[^\n]*\n?)*", re.MULTILINE
)
_KEY = re.compile(r"^[ \t]*state\.url[ \t]*=[^\n]*", re.MULTILINE)


def kept_text(config: Config) -> str:
    """Return a configuration as a text from which `from_kept` makes it again."""
    written = config.written
    assert written is not None  # it was loaded from a file
    people = {
        **written.tree.get("people", {}),
        "addresses": dict(config.people.directory),
    }
    people.pop("file", None)
    kept_url = state_url_without_password(config.state.url)
    state = {**written.tree.get("state", {}), "url": kept_url}
    tree = {**written.tree, "people": people, "state": state}
    kept = {"path": str(written.path), "tree": tree}
    return json.dumps(kept, ensure_ascii=False, default=str)


def from_kept(text: str, path: Path) -> Config | None:
    """Return the configuration that was kept of a file, None if the text is of another one or of no use."""
    try:
        kept = json.loads(text)
        if Path(kept["path"]).resolve() != path.resolve():
            return None
        context = {"directory": path.absolute().parent, "secrets_unread": True}
        return Config.model_validate(kept["tree"], context=context)
    except (ValueError, KeyError, TypeError, ConfigError):
        return None  # another version of the program wrote it


def possible_ledgers(path: Path) -> Iterator[State]:
    """Yield where the ledger of a configuration file with a mistake may be."""
    directory = path.absolute().parent
    for _, file in files_of(path.absolute()):
        for said in _states_in(file):
            yield from _state(said, directory)
    yield from _state({}, directory)
    yield from _state({"url": _OF_THE_SERVICE}, directory)


def _state(said: Mapping[str, Any], directory: Path) -> Iterator[State]:
    table = {name: said[name] for name in _OF_THE_PLACE if name in said}
    try:
        yield State.model_validate(table, context={"directory": directory})
    except ValidationError:
        return


def _states_in(file: Path) -> Iterator[dict[str, Any]]:
    """Yield what a file says of the ledger with its URL, also where it is no TOML elsewhere."""
    try:
        text = read_small(file).decode("utf-8-sig", errors="replace")
    except UnreadableFile:
        return
    for part in (text, *_SECTION.findall(text), *_KEY.findall(text)):
        try:
            table = tomllib.loads(part).get("state")
        except (ValueError, RecursionError):
            continue
        if isinstance(table, dict) and "url" in table:
            yield table
