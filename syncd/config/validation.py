"""What all tables of the configuration have in common: all problems of a table are found at once.

Pydantic stops at the keys; here what is wrong *between* keys is looked for in the table as written and
reported together with it, in sentences of ours.
Must not: repeat a value that was refused, because it may be a secret or an address.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from syncd.config.values import directory_of, nearest


class Problem(NamedTuple):
    """Something wrong at a place of the file; `incomplete` if a missing file could be what is wrong."""

    location: tuple[str | int, ...]
    sentence: str
    incomplete: bool = False

    def detail(self) -> InitErrorDetails:
        """Return the problem as pydantic takes it, without the value that was refused."""
        kind = "incomplete" if self.incomplete else "problem"
        error = PydanticCustomError(kind, "{sentence}", {"sentence": self.sentence})
        return InitErrorDetails(type=error, loc=self.location, input=None)


def key(default: Any, description: str, **limits: Any) -> Any:
    """Declare a key with its default, as the file writes it (`...`: required), and its line for editors."""
    return Field(default, description=description, **limits)


def exactly_one(raw: Mapping[str, Any], one: str, other: str) -> Iterator[Problem]:
    """Yield the problem of a table as written that has both of two keys, or neither."""
    if one in raw and other in raw:
        yield Problem((other,), f"cannot be together with {one}; keep one of them")
    elif one not in raw and other not in raw:
        yield Problem((), f"needs either {one} or {other}", True)


def both_or_neither(given: Collection[str], one: str, other: str) -> Iterator[Problem]:
    """Yield the problem of a table in which one of two keys is given without the other."""
    if one in given and other not in given:
        yield Problem((other,), f"is required when {one} is set")
    elif other in given and one not in given:
        yield Problem((one,), f"is required when {other} is set")


_SENTENCES = {
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
    "float_type": "must be a number, without quotes",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_type": "must be a whole number, without quotes",
    "less_than_equal": "must be at most {le:g}",
    "mapping_type": "must be a table",
    "missing": "is required and has no default",
    "model_type": "must be a table",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be text in quotes",
    "too_short": "must not be an empty list",
    "tuple_type": 'must be a list: ["…", "…"], or [[…]] for tables',
}
"""Pydantic's error types in our voice."""


class Table(BaseModel):
    """A table of the file: frozen, complete, without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        validate_by_alias=True,
        defer_build=True,  # the whole has a validator; nobody asks those of its tables
    )

    whole: ClassVar[type[Table] | None] = (
        None  # the table of all tables, which knows where a key belongs
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A configuration holds addresses and feed URLs, and a repr ends up in logs.
        yield from ()

    @classmethod
    def contradictions(
        cls,
        raw: Mapping[str, Any],  # noqa: ARG003
        directory: Path,  # noqa: ARG003
    ) -> Iterator[Problem]:
        """Yield a problem for each contradiction between keys.

        `raw` is the table as written, whatever its types, so that one mistake does not hide another.
        """
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems(
        cls, raw: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        problems: list[Problem] = []
        try:
            table = handler(raw)
        except ValidationError as invalid:
            problems.extend(
                cls._problem(error) for error in invalid.errors(include_url=False)
            )
        if isinstance(raw, dict):
            problems.extend(cls.contradictions(raw, directory_of(info)))
        if problems:
            raise ValidationError.from_exception_data(
                cls.__name__,
                [problem.detail() for problem in problems],
                hide_input=True,
            ) from None
        return table

    @classmethod
    def _problem(cls, error: ErrorDetails) -> Problem:
        kind, location = error["type"], error["loc"]
        match kind:
            case "problem" | "incomplete":
                return Problem(location, error["msg"], kind == "incomplete")
            case "extra_forbidden":
                return Problem(
                    location, f"unknown key{cls._where_it_belongs(str(location[-1]))}"
                )
            case "literal_error" | "enum":
                allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"])
                return Problem(
                    location,
                    f"must be one of {', '.join(allowed)}{nearest(error['input'], allowed)}",
                )
            case _:
                sentence = _SENTENCES.get(kind, "is not a valid value")
                return Problem(
                    location,
                    sentence.format_map(error.get("ctx", {})),
                    kind == "missing",
                )

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Return the keys of this table as written, with the attribute of each."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    @classmethod
    def _where_it_belongs(cls, word: str) -> str:
        assert cls.whole is not None  # since the keys were declared
        if word in cls.whole.keys():  # noqa: SIM118  # a method of ours
            return "; it belongs above the first [table] of the file"
        for name, field in cls.whole.model_fields.items():
            section = field.annotation
            if (
                isinstance(section, type)
                and issubclass(section, Table)
                and word in section.keys()  # noqa: SIM118
            ):
                return f"; it belongs in [{name}]"
        return (
            nearest(word, cls.keys()) or f"; the keys here are {', '.join(cls.keys())}"
        )
