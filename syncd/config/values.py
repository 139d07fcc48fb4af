"""The texts of a configuration file and the values that they stand for.

Each type here is a validator, its way back to text and its JSON schema, for use in a pydantic model.
Promises: a text that stands for nothing is refused with one sentence that says what is allowed, and no
sentence repeats the text that was refused, because it may be a secret or an address.
Must not: know the keys of the file; read anything but the zone database, and whether a path exists.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

_Function = Callable[..., object]


def problem(sentence: str) -> PydanticCustomError:
    """Return the error for a validator to raise: a sentence of ours, which pydantic passes on as it is."""
    return PydanticCustomError("problem", "{sentence}", {"sentence": sentence})


def nearest(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?` with the nearest known word, or nothing."""
    if not isinstance(word, str):
        return ""
    by_folded = {name.casefold(): name for name in sorted(known)}
    found = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.7)
    if not found:
        return ""
    name = by_folded[found[0]]
    return f'; did you mean "{name}"?'


def directory_of(info: ValidationInfo) -> Path:
    """Return what relative paths are relative to: the directory of the configuration file."""
    context = info.context or {}
    return Path(context.get("directory", Path.cwd()))


def require_text(value: object, example: str) -> str:
    if not isinstance(value, str):
        raise problem(f'must be text in quotes, such as "{example}"')
    return value


# Plain values. Strict, because a silent conversion (of "no" or 1.0, say) hides a mistake.


def require_printable(value: str) -> str:
    if not value.strip():
        raise problem("must not be empty; leave the key out instead")
    if not value.isprintable():
        raise problem("must not hold line breaks or other control characters")
    return value


Text = Annotated[
    str,
    Strict(),
    AfterValidator(require_printable),
    Field(json_schema_extra={"minLength": 1}),
]
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def _written_as(pattern: str, sentence: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise problem(sentence)
        return value

    return AfterValidator(check)


def _id(value: str) -> str:
    if value != value.strip():
        raise problem("must not begin or end with a blank; take it off")
    return value


Id = Annotated[Text, AfterValidator(_id)]
"""An identifier of the API: the same text with a blank before or behind is another one, which nobody has."""

AccessId = Annotated[
    Text,
    _written_as(
        r"[!-~]+", "must be the plain text that the Tuya console shows, without blanks"
    ),
]

InstanceName = Annotated[
    Text,
    _written_as(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}",
        "must be 1 to 32 letters, digits, dots, dashes, underscores",
    ),
]
HeaderName = Annotated[  # a token, RFC 9110 section 5.6.2
    Text,
    _written_as(
        r"[A-Za-z0-9!#$%&'*+.^_`|~-]+",
        "must be the name of a header, such as X-Api-Key",
    ),
]


def from_text(
    parse: _Function, write: _Function, schema: dict[str, Any]
) -> tuple[Any, ...]:
    return (
        PlainValidator(parse),
        PlainSerializer(write, return_type=str),
        WithJsonSchema({"type": "string", **schema}),
    )


# Times and zones.


def _file_mode(value: object) -> int:
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise problem('must be three octal digits in quotes, such as "0644"')
    mode = int(text, 8)
    if mode & 0o600 != 0o600:
        raise problem('must let the owner read and write, such as "0644"')
    return mode


FileMode = Annotated[
    int,
    *from_text(_file_mode, lambda mode: f"{mode:04o}", {"pattern": "^0?[67][0-7]{2}$"}),
]


def _extension(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not re.fullmatch(r"[a-z0-9]{1,8}", text, re.ASCII):
        raise problem('must be an extension without its dot, such as "pdf"')
    return text


Extension = Annotated[
    str, *from_text(_extension, str, {"pattern": "^[A-Za-z0-9]{1,8}$"})
]


_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _working_hours(value: object) -> tuple[time, time]:
    wrong = problem('must be a start and an end, such as ["09:00", "18:00"]')
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wrong
    texts = [
        clock for clock in value if isinstance(clock, str) and _CLOCK.fullmatch(clock)
    ]
    if len(texts) != 2:
        raise wrong
    start, end = map(time.fromisoformat, texts)
    if end <= start:
        raise problem("must end later than they start")
    return start, end


WorkingHours = Annotated[
    tuple[time, time],
    PlainValidator(_working_hours),
    PlainSerializer(lambda hours: [f"{clock:%H:%M}" for clock in hours]),
    WithJsonSchema(
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
    ),
]


# A machine's own setting under a name; others lack it.
_OF_THE_HOST = {
    "localtime",
    "posixrules",
}


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    name = require_text(value, "Europe/Berlin")
    try:
        if name not in _OF_THE_HOST:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = available_timezones() - _OF_THE_HOST
    raise problem(
        f"must be an IANA time zone such as Europe/Berlin{nearest(name, known)}"
    )


Zone = Annotated[ZoneInfo, *from_text(_zone, lambda zone: zone.key, {})]


def _cron(value: object) -> str:
    """Return a cron expression of five fields that APScheduler, which runs it, understands."""
    expression = require_text(value, "*/10 7-19 * * mon-fri")
    fields = expression.split()
    if len(fields) != 5:
        raise problem(
            "must have five fields: minute hour day month weekday, such as */10 7-19 * * mon-fri"
        )
    if re.search(r"(^|[,-])[0-9]", fields[4]):
        # crontab(5) counts from Sunday, APScheduler from Monday: one of the two would be a day off.
        raise problem(
            "must name weekdays (mon-fri), because their numbers mean different days to different programs"
        )
    from apscheduler.triggers.cron import CronTrigger

    try:
        trigger = CronTrigger.from_crontab(expression, timezone="UTC")
        # Any date before today.
        comes = trigger.get_next_fire_time(None, datetime(2024, 1, 1, tzinfo=UTC))
    except (ValueError, TypeError):
        raise problem(
            "is not a cron expression; write minute hour day month weekday, such as */10 7-19 * * mon-fri"
        ) from None
    if comes is None:
        raise problem("never comes; look for a day that its month does not have")
    return expression


Cron = Annotated[str, *from_text(_cron, str, {})]


# People, rooms, places.


def parse_address(value: object) -> str:
    """Return a calendar address in lower case and without `mailto:`, as it is compared."""
    written = require_text(value, "room@example.com")
    address = written.strip().lower().removeprefix("mailto:")
    # Not only mail addresses: a calendar user may be urn:uuid:… or an X.500 path (RFC 5545 section 3.3.3).
    is_address = re.fullmatch(r"[^\s@]+@[^\s@]+|urn:\S+|/\S.*", address)
    if not is_address or not address.isprintable():
        raise problem("must be an address such as room@example.com")
    return address


Address = Annotated[str, *from_text(parse_address, str, {})]


def _mail_address(value: object) -> str:
    """Return an address that a mail server takes, as it is written: what stands before the @ is its matter."""
    written = require_text(value, "it@example.com").strip()
    name, at, domain = written.rpartition("@")
    is_address = re.fullmatch(r"[!-~]+", name) and re.fullmatch(
        r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", domain
    )
    if not at or not is_address or re.search(r'[\s<>()\[\],;:\\"@]', name):
        raise problem("must be a mail address such as it@example.com, without a name")
    return written


MailAddress = Annotated[str, *from_text(_mail_address, str, {})]


def _room_name(value: object) -> str:
    """Return a name without the signs that nobody sees, which come along when it is pasted."""
    written = require_text(value, "Small meeting room")
    shown = [
        character for character in written if unicodedata.category(character) != "Cf"
    ]
    # Blanks of any width are printed as what they are, but are not called printable.
    letters = [
        character for character in shown if unicodedata.category(character) != "Zs"
    ]
    blanks = len(shown) - len(letters)
    require_printable("".join(letters) + " " * blanks)
    return "".join(shown)


RoomName = Annotated[str, *from_text(_room_name, str, {"minLength": 1})]

EXPRESSION_PREFIX = "re:"


def _location(value: object) -> str:
    text = _room_name(value)
    if text.startswith(EXPRESSION_PREFIX):
        try:
            location_expressions(text)
        except (re.error, ValueError, RecursionError, OverflowError, MemoryError):
            raise problem(
                "is not a regular expression; without re: in front it would be plain text"
            ) from None
        if text == EXPRESSION_PREFIX:
            raise problem("must have a regular expression after re:")
    return text


def location_expressions(text: str) -> tuple[re.Pattern[str], ...]:
    """Return the expressions of a location that begins with `re:`, for texts in NFKC; raise `re.error`.

    None has regard to case. The second is for case-folded texts, if it is another one.
    """
    composed = unicodedata.normalize("NFC", text.removeprefix(EXPRESSION_PREFIX))
    normal = unicodedata.normalize("NFC", "".join(map(_normal_in_pattern, composed)))
    folded = "".join(map(_folded, normal))
    with warnings.catch_warnings():
        # What a later Python may read otherwise is read as today.
        warnings.simplefilter("ignore")
        return tuple(
            re.compile(written, re.IGNORECASE)
            for written in dict.fromkeys((normal, folded))
        )


def _normal_in_pattern(character: str) -> str:
    """Return a character in NFKC; signs that would get a meaning of expressions by that mean themselves."""
    normal = (
        character if character.isascii() else unicodedata.normalize("NFKC", character)
    )
    if normal == character:
        return normal
    return "".join(map(_escaped, normal))


def _escaped(character: str) -> str:
    return re.escape(character) if character.isascii() else character


def _folded(character: str) -> str:
    return character if character.isascii() else character.casefold()


Location = Annotated[str, *from_text(_location, str, {})]


# Files.


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_FEED_SCHEMES = {"http", "https", "webcal", "webcals"}
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]\w*\}?(/|\Z)|%[A-Za-z_]\w*%")


def path_problem(text: str, path: Path) -> str | None:
    """Return what is wrong with a path that nobody can mean, with its cure; None if nothing is, or it exists.

    `path` is the same, relative to the directory of the configuration file.
    """
    if _exists(path):
        return None
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() in _FEED_SCHEMES:
        return "is a URL, not a path; a calendar behind a URL is given as url"
    if scheme is not None and scheme[1].lower() == "file":
        return "is a URL, not a path; write the path alone, without file:// in front"
    if scheme is not None or text.startswith(("\\\\", "//")):
        return "names another machine; mount its share, and write the path under which it is mounted"
    if re.match(r"[A-Za-z]:([\\/]|\Z)", text) or "\\" in text:
        return "is a path of Windows; write the path that the calendar has on this machine, with /"
    if text.startswith("~"):
        return "begins with ~, which only a shell replaces; write the whole path, such as /home/name/…"
    if _VARIABLE.search(text):
        return "names a variable, which only a shell replaces; write the whole path"
    return None


def _exists(path: Path) -> bool:
    try:
        return path.is_symlink() or path.exists()
    except OSError:
        return False


def _path_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    return require_printable(require_text(value, "people.csv"))


def _path(value: object, info: ValidationInfo) -> Path:
    text = _path_text(value)
    path = directory_of(info) / text
    if sentence := path_problem(text, path):
        raise problem(sentence)
    return path


FilePath = Annotated[Path, *from_text(_path, str, {})]
