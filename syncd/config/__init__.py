"""The configuration: one TOML file, `conf.d/*.toml` beside it, the people list, and secrets by reference.

Promises: a `Config` is complete, consistent and frozen; whatever is wrong in any file is reported at once,
as `path.to.key: what is wrong, what is allowed`, in entries of a list counted from 1 where they have no
name; no text of an error and no repr holds a secret or an address.
Must not: use the network, log, or change a file.

`kept` is the last good configuration as a text for the ledger.
`values`, `quantities`, `network` and `secret` are the types of single keys, `files` how small files are read,
`validation` how problems are gathered.
`schema` has the keys themselves, with those of `sources` and `people`.
`python -m syncd.config` prints the JSON Schema that editors use.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syncd.config.files import UnreadableFile, Written, files_of, read_small
from syncd.config.kept import from_kept, kept_text, possible_ledgers
from syncd.config.network import masked_url
from syncd.config.people import People
from syncd.config.schema import (
    Api,
    Attachments,
    Calendar,
    Config,
    Drift,
    Log,
    Mail,
    Notices,
    Reservation,
    Room,
    Safety,
    Schedule,
    State,
    Web,
    Webhook,
)
from syncd.config.secret import Secret
from syncd.config.sources import Auth, BearerAuth, HeaderAuth, PasswordAuth, Source
from syncd.config.state_url import (
    has_password,
    state_directory,
    state_url_without_password,
)
from syncd.errors import ConfigError

__all__ = [
    "Api",
    "Attachments",
    "Auth",
    "BearerAuth",
    "Calendar",
    "Config",
    "Drift",
    "HeaderAuth",
    "Log",
    "Mail",
    "Notices",
    "PasswordAuth",
    "People",
    "Reservation",
    "Room",
    "Safety",
    "Schedule",
    "Secret",
    "Source",
    "State",
    "Web",
    "Webhook",
    "default_path",
    "effective",
    "from_kept",
    "has_password",
    "json_schema",
    "kept_text",
    "load",
    "masked_url",
    "possible_ledgers",
    "state_at",
    "state_directory",
    "state_url_without_password",
]

_Tree = dict[str, Any]
_Location = tuple[str | int, ...]


def default_path() -> Path:
    """Return the configuration file when none is named: `$SYNCD_CONFIG`, else `/etc/syncd/syncd.toml`."""
    return Path(os.environ.get("SYNCD_CONFIG") or "/etc/syncd/syncd.toml")


def load(path: Path) -> Config:
    """Read the configuration at `path`; relative paths in it are relative to its directory.

    Raises ConfigError with all problems of all files.
    """
    path = path.absolute()
    tree: _Tree = {}
    origins: dict[_Location, str] = {}
    problems: list[str] = []
    broken = False
    for name, file in files_of(path):
        try:
            addition = _parse(name, file)
        except ConfigError as error:
            problems += error.problems
            broken = True
        else:
            problems += _merge(tree, addition, name, origins)
    if not tree and broken:
        raise ConfigError(problems)
    try:
        config = Config.model_validate(tree, context={"directory": path.parent})
    except ValidationError as invalid:
        problems += [
            f"{_dotted(error['loc'], tree)}: {error['msg']}"
            for error in invalid.errors(include_url=False, include_input=False)
            # While a file cannot be read, what seems to be missing may stand in it.
            if not (broken and error["type"] == "incomplete")
        ]
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    config.remember(Written(path, tree))
    return config


def state_at(name: str, url: str, directory: Path) -> State:
    """Return the state at a URL that is given by hand, relative to a directory.

    Raises ConfigError, which calls the URL by `name` and does not repeat it.
    """
    try:
        return State.model_validate({"url": url}, context={"directory": directory})
    except ValidationError as invalid:
        problems = invalid.errors(include_url=False, include_input=False)
        raise ConfigError(f"{name}: {one['msg']}" for one in problems) from None


def effective(config: Config) -> str:
    """Return the configuration as one TOML file, with all defaults; mask secrets and the paths of URLs.

    Keys that are not set stand in comments.
    """
    written = config.model_dump(by_alias=True)
    lines = [
        "# The effective configuration; secrets are masked: only their places are named."
    ]
    lines += _lines(
        {name: value for name, value in written.items() if not _is_section(value)}
    )
    for name, value in written.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_lines(value, name)]
        elif _is_section(value):
            for table in value:
                lines += ["", f"[[{name}]]", *_lines(table, name)]
    return "\n".join(lines) + "\n"


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of the file, for editors."""
    schema = Config.model_json_schema()
    without_null = _without_null(schema)
    assert isinstance(without_null, dict)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **without_null,
        "title": "syncd.toml",
        "required": ["mode", "calendar", "api", "reservation"],
    }


# From files to one tree.


def _parse(name: str, path: Path) -> _Tree:
    """Read one file as a tree; raise `ConfigError`, with line and column, if it is not TOML."""
    try:
        return tomllib.loads(read_small(path).decode("utf-8-sig"))
    except UnreadableFile as unreadable:
        cure = (
            "make it readable or take it away"
            if name.startswith("conf.d/")
            else "create it, or name another with --config or $SYNCD_CONFIG"
        )
        raise ConfigError([f"{path}: {unreadable}; {cure}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            [f"{name}: line {line}: is not UTF-8; save the file as UTF-8"]
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{name}: {_syntax_problem(error)}"]) from None


def _syntax_problem(error: Exception) -> str:
    # Keys that are addresses are quoted in some of the messages.
    message = re.sub(r"'[^']*@[^']*'", "'…'", str(error))
    found = re.fullmatch(
        r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL
    )
    if found is None:
        return "is not TOML, or nested too deeply"
    where = f"line {found[2]}, column {found[3]}" if found[2] else "end of the file"
    return f"{where}: is not TOML ({found[1]})"


def _merge(
    tree: _Tree,
    addition: _Tree,
    name: str,
    origins: dict[_Location, str],
    above: _Location = (),
) -> Iterator[str]:
    """Add a file to the tree and yield a sentence for each conflict: tables merge, lists append.

    Anything else may be set in one file only.
    """
    for key, value in addition.items():
        location = (*above, key)
        present = tree.get(key)
        if key not in tree:
            tree[key] = {} if isinstance(value, dict) else value
            origins[location] = name
            if isinstance(value, dict):
                yield from _merge(tree[key], value, name, origins, location)
        elif isinstance(present, dict) and isinstance(value, dict):
            yield from _merge(present, value, name, origins, location)
        elif isinstance(present, list) and isinstance(value, list):
            tree[key] = present + value
        else:
            yield f"{_dotted(location, tree)}: is set in {origins[location]} and in {name}; keep one of them"


def _dotted(location: _Location, tree: _Tree) -> str:
    """Return a place as text, such as `sources.sales.interval`: entries of lists by name, else from 1."""
    text = ""
    node: Any = tree
    for part in location:
        if isinstance(part, int):
            siblings = node if isinstance(node, list) else []
            node = siblings[part] if part < len(siblings) else None
            label = _label(node)
            unique = (
                label is not None
                and [_label(sibling) for sibling in siblings].count(label) == 1
            )
            text += (
                f".{_key(label)}" if label is not None and unique else f"[{part + 1}]"
            )
        else:
            node = node.get(part) if isinstance(node, dict) else None
            shown = "…" if "@" in part else _key(part)
            text += f".{shown}"
    return text.removeprefix(".") or "configuration"


def _label(table: object) -> str | None:
    if not isinstance(table, dict):
        return None
    for key in ("name", "id"):
        label = table.get(key)
        if isinstance(label, str) and "@" not in label:
            return label
    return None


# From a configuration to TOML.


def _lines(table: Mapping[str, Any], section: str = "") -> Iterator[str]:
    for name, value in table.items():
        if value is None:
            yield f"# {_key(name)} is not set"
        elif not _is_section(value) or section:
            yield f"{_key(name)} = {_toml(value)}"


def _is_section(value: object) -> bool:
    if isinstance(value, tuple):
        return any(isinstance(member, dict) for member in value)
    return isinstance(value, dict)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case dict():
            entries = ", ".join(
                f"{_key(k)} = {_toml(v)}" for k, v in value.items() if v is not None
            )
            return f"{{ {entries} }}" if entries else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            # A JSON string is a TOML basic string (TOML 1.0, "String").
            return json.dumps(str(value), ensure_ascii=False)


def _key(name: str) -> str:
    return (
        name
        if re.fullmatch(r"[A-Za-z0-9_-]+", name)
        else json.dumps(name, ensure_ascii=False)
    )


def _without_null(schema: object) -> object:
    """Return a JSON Schema without null, which TOML does not have, and without titles."""
    match schema:
        case {"anyOf": list(choices), **others} if {"type": "null"} in choices:
            kept = [choice for choice in choices if choice != {"type": "null"}]
            choice = kept[0] if len(kept) == 1 else {"anyOf": kept}
            return _without_null(others | choice)
        case dict():
            cleaned = {
                name: _without_null(value)
                for name, value in schema.items()
                if name != "title"
            }
            if cleaned.get("default", ...) is None:
                del cleaned["default"]
            return cleaned
        case list():
            return [_without_null(item) for item in schema]
        case _:
            return schema
