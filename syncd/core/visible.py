"""Shows text of strangers without letting it act on whoever looks at it.

A terminal obeys control characters, and an eye is deceived by characters that reorder or hide others.
Calendars, file names, zones and topics in the API are written by anybody, so each such text passes here
before it reaches a terminal, a log or a status line.
Nothing is left out: what is replaced stands there as an escape of Python and JSON, such as `\\x1b`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

# Unicode's control characters, line and paragraph separators, surrogates, format characters (Cf) and other
# characters without a glyph of their own. Kept are variation selectors, which choose between emoji and text
# and between forms of ideographs, and the signs that Arabic and Syriac write around numbers (U+0600 …).
_HARMFUL = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
    "]"
)

_JOINERS = "\u200c\u200d"
# Letters without case and their marks (Arabic, the scripts of India), and pictures with their colours.
_JOINED = frozenset({"Lo", "Mc", "Mn", "So", "Sk"})

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return a text as one line in which every character can be seen; most texts are returned as they are."""
    if text.isprintable() and text.isascii():
        return text
    return _HARMFUL.sub(_shown, text)


def visible_lines(text: str) -> str:
    """Return a text of several lines, each of them as by `visible`; the line ends stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def visible_values(value: object) -> object:
    """Return a value with all texts in it, also those in lists and tables, as by `visible`."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {
                visible(str(name)): visible_values(item) for name, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [visible_values(item) for item in value]
        case _:
            return value


def json_text(
    document: object,
    *,
    ascii_only: bool = False,
    indent: int | None = None,
    default: Callable[[object], object] | None = None,
) -> str:
    """Return a value as JSON whose texts are exact, with everything escaped that must not reach a terminal.

    `ascii_only` escapes all that is not ASCII, for a reader whose encoding may be another than UTF-8.
    """
    written = json.dumps(
        document, ensure_ascii=ascii_only, indent=indent, default=default
    )
    if ascii_only:
        # Characters below U+0020 are always escaped; what is left is the line ends of the indentation.
        return written.replace("\x7f", "\\u007f")
    lines = [_HARMFUL.sub(_escaped, line) for line in written.split("\n")]
    return "\n".join(lines)


def _shown(match: re.Match[str]) -> str:
    character = match.group()
    if character in _JOINERS and _joins(match.string, match.start()):
        return character
    if character in _NAMED:
        return _NAMED[character]
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if character in _JOINERS and _joins(match.string, match.start()):
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def _joins(text: str, at: int) -> bool:
    """Tell whether a joiner does its work: between letters that need it, or between pictures."""
    before = text[at - 1 : at]
    after = text[at + 1 : at + 2]
    if not before or not after:
        return False
    if unicodedata.category(before) not in _JOINED:
        return False
    return unicodedata.category(after) in _JOINED
