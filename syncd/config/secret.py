"""A secret by reference: the configuration names a file or an environment variable, never the text.

Promises: the text shows in no repr, str, error or dump, only in the answer of `reveal`; a file that others
could read is refused; a file that was replaced is read again, so that a secret can be rotated without a
restart.
Must not: be built from the text itself.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from syncd.config.files import UnreadableFile, read_small
from syncd.config.values import directory_of, path_problem, problem
from syncd.errors import ConfigError

HOW_TO_WRITE = 'write { file = "name" } or { env = "NAME" }'
_LARGEST = 65536  # bytes; whatever is larger is not a secret but a wrong file name


class _Unusable(Exception):
    """Why the text of a secret cannot be had, as a sentence."""


@dataclass(frozen=True)
class Secret:
    """A reference to a secret; exactly one of `file` (absolute) and `env` is set.

    Equal to another if they refer to the same place, whatever is in it now.
    """

    file: Path | None = None
    env: str | None = None
    _last: dict[str, tuple[tuple[int, ...], str]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ValueError("a secret is in a file or in an environment variable")

    def __str__(self) -> str:
        return "********"

    def __repr__(self) -> str:
        return "Secret(********)"

    def reveal(self) -> str:
        """Return the text of the secret, without line end; from the file as it is now.

        While a file that was good before cannot be used (it is being rewritten, say), the last good text
        is the answer.
        Raises ConfigError if there never was a usable text.
        """
        try:
            return self._read()
        except _Unusable as unusable:
            if "good" in self._last:
                return self._last["good"][1]
            raise ConfigError([f"secret: {unusable}"]) from None

    def _read(self) -> str:
        if self.env is not None:
            if self.env not in os.environ:
                raise _Unusable(
                    f"the environment variable {self.env} is not set; set it or use {{ file = … }}"
                )
            return _one_line(
                os.environ[self.env], f"the environment variable {self.env}"
            )
        assert self.file is not None  # __post_init__ keeps it so
        try:
            state = self.file.stat()
            version = (
                state.st_ino,
                state.st_size,
                state.st_mtime_ns,
                state.st_ctime_ns,
                state.st_mode,
            )
            last = self._last.get("good")
            if last is not None and last[0] == version:
                return last[1]
            self._require_private(state)
            text = _decoded(read_small(self.file, _LARGEST))
        except OSError as error:
            raise _Unusable(
                f"{self.file} cannot be read ({error.strerror}); create it with mode 600"
            ) from None
        except UnreadableFile as unreadable:
            raise _Unusable(
                f"{self.file} {unreadable}; create it with mode 600"
            ) from None
        except ValueError:
            raise _Unusable(
                f"{self.file} is not UTF-8 text; a secret is one line of text"
            ) from None
        text = _one_line(text, str(self.file))
        self._last["good"] = (version, text)
        return text

    def _require_private(self, state: os.stat_result) -> None:
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST:
            raise _Unusable(
                f"{self.file} is not a small regular file; a secret is one line of text"
            )
        credentials = _credentials_directory()
        # systemd protects that directory as a whole (systemd.exec(5), LoadCredential=).
        if (
            credentials is not None
            and self.file is not None
            and self.file.is_relative_to(credentials)
        ):
            return
        if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _Unusable(
                f"{self.file} is open to its group or to others; run chmod 600 on it"
            )

    @classmethod
    def _validate(cls, value: object, info: ValidationInfo) -> Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            raise problem(f"must not stand in the configuration itself; {HOW_TO_WRITE}")
        if not isinstance(value, dict) or len(value) != 1:
            raise problem(f"must be a reference to a secret; {HOW_TO_WRITE}")
        file, env = _referred_to(value, info)
        secret = cls(file=file, env=env)
        if (info.context or {}).get("secrets_unread"):
            return secret  # of a configuration that was good; whoever needs it is told
        try:
            secret._read()
        except _Unusable as unusable:
            raise problem(str(unusable)) from None
        return secret

    def _reference(self) -> dict[str, str]:
        if self.env is not None:
            return {"env": self.env}
        return {"file": str(self.file)}

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls._reference
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "description": "A file with the secret (a bare name: looked up in $CREDENTIALS_DIRECTORY first), "
            "or an environment variable.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": {name: {"type": "string", "minLength": 1}},
                    "required": [name],
                    "additionalProperties": False,
                }
                for name in ("file", "env")
            ],
        }


def _referred_to(
    value: dict[str, object], info: ValidationInfo
) -> tuple[Path | None, str | None]:
    """Return the file or the variable that a table refers to; raise what pydantic tells for any other table."""
    match value:
        case {"file": str(name)} if name and name.isprintable():
            located = _locate(name, directory_of(info))
            if sentence := path_problem(name, located):
                raise problem(sentence)
            return located, None
        case {"env": str(name)} if name and name.isprintable():
            return None, name
        case _:
            raise problem(f"must be a reference to a secret; {HOW_TO_WRITE}")


def _credentials_directory() -> Path | None:
    """Return where systemd puts the credentials of a unit (systemd.exec(5), LoadCredential=), if anywhere."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def _locate(name: str, directory: Path) -> Path:
    credentials = _credentials_directory()
    if credentials is not None and Path(name).name == name:
        with contextlib.suppress(OSError):  # a process that may not see them
            if (credentials / name).exists():
                return credentials / name
    return directory / name


def _decoded(content: bytes) -> str:
    """Decode a file: UTF-8, or UTF-16 by its mark, as shells of Windows write; raise `ValueError`."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8")


def _one_line(text: str, where: str) -> str:
    """Return a secret without byte order mark and line end, which belong to none; raise `_Unusable`.

    Blanks before or behind it are not taken off, because a password may end with one; they are named.
    """
    text = text.removeprefix("\ufeff").rstrip("\r\n")
    if not text.strip():
        raise _Unusable(f"{where} is empty; put the secret into it")
    if "\n" in text or "\r" in text or "\0" in text:
        raise _Unusable(f"{where} has more than one line; a secret is one line of text")
    if text != text.strip():
        raise _Unusable(f"{where} begins or ends with a blank; take it off")
    if not text.isprintable():
        raise _Unusable(
            f"{where} holds an invisible character; write the secret into it anew"
        )
    return text
