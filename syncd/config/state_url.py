"""The URL of the ledger, in which a password may stand: it is shown and kept without."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationInfo

from syncd.config.values import (
    directory_of,
    from_text,
    path_problem,
    problem,
    require_printable,
    require_text,
)

_SHARED, _SHARED_FORM = (
    "postgresql+psycopg",
    "postgresql+psycopg://user@host:5432/name",
)
_OF_A_SECRET = frozenset({"password", "passfile", "sslpassword", "user"})


def _state_url(value: object, info: ValidationInfo) -> str:
    url = require_printable(require_text(value, "sqlite:///state.db"))
    scheme, separator, rest = url.partition("://")
    dialect, _, _ = scheme.partition("+")
    if dialect in {"postgresql", "postgres"}:
        return _shared_url(url, scheme)
    is_file = separator and rest.startswith("/") and "?" not in rest
    if scheme != "sqlite" or not is_file:
        raise problem(
            f"must be sqlite:///FILE, such as sqlite:///state.db, or {_SHARED_FORM}"
        )
    name = rest.removeprefix("/")
    if name in {"", ":memory:"} or name.startswith("file:"):
        raise problem(
            "must name a file, because what is booked must be known after a restart"
        )
    path = directory_of(info) / name
    if sentence := path_problem(name, path):
        raise problem(sentence)
    return f"sqlite:///{path}"


def _shared_url(url: str, scheme: str) -> str:
    """Return the URL of a PostgreSQL database, which no sentence repeats: there may be a password in it."""
    if scheme != _SHARED:
        raise problem(f"must begin with {_SHARED}://, as in {_SHARED_FORM}")
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        has_port = False
        parts = urlsplit("")
    _, login_ends, _ = parts.netloc.partition("@")
    has_stray = url.count("@") > len(login_ends) or parts.fragment != ""
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not has_port or has_stray or re.search(r"\s", url):
        raise problem(
            f"must be {_SHARED_FORM}; write %23 for #, %2F for / and %40 for @ in a name or a password"
        )
    if parts.path.strip("/") == "" or "/" in parts.path[1:]:
        raise problem(f"must name one database, as in {_SHARED_FORM}")
    if _OF_A_SECRET & parameters.keys():
        raise problem(
            "names the user before the @ and the password by state.password, not behind the ?"
        )
    return url


def shown_state_url(url: str) -> str:
    """Return the URL of a ledger without what follows a user's name, nor parameters that may be secret."""
    scheme, separator, rest = url.partition("://")
    if scheme != _SHARED:
        return url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    masked = f"{user}:***" if colon else user
    return f"{scheme}{separator}{masked}{at}{place}"


def state_directory() -> str:
    """Return the first directory that STATE_DIRECTORY names, which separates them by colons; or nothing.

    See systemd.exec(5).
    """
    directory, _, _ = os.environ.get("STATE_DIRECTORY", "").partition(":")
    return directory


def is_shared(url: str) -> bool:
    """Tell whether a URL is that of a PostgreSQL database."""
    return url.startswith(f"{_SHARED}://")


def state_url_without_password(url: str) -> str:
    """Return the URL of a ledger as it may be kept."""
    return shown_state_url(url).replace(":***@", "@")


def has_password(url: str) -> bool:
    """Tell whether a password stands in the URL of a ledger."""
    return shown_state_url(url) != url


StateUrl = Annotated[
    str,
    *from_text(
        _state_url,
        shown_state_url,
        {"pattern": r"^(sqlite:///|postgresql\+psycopg://)."},
    ),
]
