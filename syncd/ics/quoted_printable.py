"""Values in quoted-printable (RFC 2045 section 6.7), as vCalendar 1.0 has them and some writers of 2.0, too."""

from __future__ import annotations

import codecs
import contextlib
import quopri
import re

from syncd.core.document import text_of

_ENCODING = re.compile(
    r';\s*(?:ENCODING\s*=\s*)?"?QUOTED-PRINTABLE"?\s*(?=;|$)', re.IGNORECASE
)
_CHARSET = re.compile(r';\s*CHARSET\s*=\s*"?([^";:]*)"?\s*(?=;|$)', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\n|\r")
_LONE_SIGN = re.compile(r"=(?![0-9A-Fa-f]{2})")
_ENCODED = re.compile(r"(?:=[0-9A-Fa-f]{2})+")


def is_quoted_printable(parameters: str) -> bool:
    """Tell whether raw parameters say that their value is in quoted-printable."""
    return _ENCODING.search(parameters) is not None


def decode_quoted_printable(parameters: str, value: str) -> tuple[str, str]:
    """Return the parameters without what is said of the encoding, and the text with line ends as escapes."""
    match = _CHARSET.search(parameters)
    charset = match[1].strip() if match else ""
    text = _text(value, charset)
    other_parameters = _CHARSET.sub("", _ENCODING.sub("", parameters))
    return other_parameters, _LINE_END.sub(r"\\n", text)


def _text(written: str, charset: str) -> str:
    """Decode a value; a break whose line end an unfolding took away is a lone `=`, which says nothing."""
    encoded = _LONE_SIGN.sub("", written)
    if charset and encoded.isascii():
        with contextlib.suppress(LookupError, UnicodeError, ValueError):
            data = quopri.decodestring(encoded.encode())
            return codecs.decode(data, charset)
    return _ENCODED.sub(_text_of_run, encoded)


def _text_of_run(run: re.Match[str]) -> str:
    """Return the text of encoded bytes that follow each other, in UTF-8 or else Windows-1252."""
    digits = run[0].replace("=", "")
    text, _ = text_of(bytes.fromhex(digits))
    return text
