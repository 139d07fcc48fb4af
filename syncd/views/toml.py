"""Texts of anybody as TOML, so that what is pasted is exact and cannot act."""

from __future__ import annotations

from collections.abc import Mapping

_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def toml_text(text: str) -> str:
    """Return a text as a TOML basic string; what nobody sees is written as an escape."""
    return f'"{"".join(map(_shown, text))}"'


def _shown(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    return _escape(character)


def _escape(character: str) -> str:
    """Return the escape that TOML has for a character."""
    number = ord(character)
    if 0xD800 <= number < 0xE000:
        number = 0xFFFD  # TOML has no lone surrogates
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def toml_value(value: object) -> str:
    """Return a text, a list of texts or a table of texts in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs: list[str] = []
        for name, item in value.items():
            pairs.append(f"{name} = {toml_value(item)}")
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        items = [toml_value(item) for item in value]
        return f"[{', '.join(items)}]"
    return toml_text(str(value))


def in_ascii(written: str) -> str:
    """Return lines of TOML with escapes in the place of all other letters, for outputs that have none."""
    return "".join(
        letter if letter.isascii() else _escape(letter) for letter in written
    )
