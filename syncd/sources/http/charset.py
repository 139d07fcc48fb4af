"""The text of a feed in UTF-8, whatever charset its server says it is in.

UTF-8 wins where the bytes are UTF-8, because many servers name a charset that they do not use; where they are
not, the charset of the Content-Type decides, and where it names none, the reader of the calendar does.
So whoever reads a body, and however much of it, reads the same letters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from syncd.core.document import text_of
from syncd.core.feed import Body

_CHARSET = re.compile(
    r"""(?:\A|[;,\s])charset\s*[=:]\s*(?:"\s*([^";]*)"?|'\s*([^';]*)'?|([^;,\s"']+))""",
    re.IGNORECASE,
)
_OTHER_QUOTED = re.compile(r"""(?<!charset)\s*=\s*"[^"]*\"""", re.IGNORECASE)

# What is written under these names today is the larger set of encoding.spec.whatwg.org.
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "big5": "cp950",
}
# Codecs of Python that are no charsets of texts.
_NO_CHARSET = frozenset(
    {
        "idna",
        "punycode",
        "unicode-escape",
        "raw-unicode-escape",
        "undefined",
        "charmap",
        "palmos",
    }
)
# These write all letters with bytes that are ASCII, so that their bytes are always UTF-8 as well.
_SEVEN_BITS = re.compile(r"iso2022|hz|utf-7")
# A wrong name so often that each byte is judged by itself, as where no charset is named.
_BY_DEFAULT = "cp1252"
_FOLD = re.compile(rb"(?:\r+\n|\n|\r)[ \t]")
_LINE_END = b"\r\n"
_LINE_BEGIN = re.compile(rb"\n([!-~])")


def in_utf8(body: Body, content_type: str) -> tuple[Body, str]:
    """Return a body in UTF-8 and a note or ""; the same body where the Content-Type decides nothing."""
    charset = charset_of(content_type)
    if charset is None or charset == "utf-8":
        return body, ""
    if _SEVEN_BITS.match(charset):
        return _if_possible(body, charset), ""
    # ASCII in it is UTF-8 too, with zeros between.
    is_wide = charset.startswith(("utf-16", "utf-32"))
    if _has_mark(body) or (not is_wide and _is_utf8(body.blocks())):
        return body, ""
    if charset == _BY_DEFAULT:
        return Body.of(_by_bytes(body)), ""
    if is_wide and b"\0" not in next(body.blocks(), b"")[:64]:
        return body, ""  # so it is none of these
    try:
        return Body.of(_recoded(body, charset, "strict")), ""
    except UnicodeDecodeError:
        note = f"some of its bytes mean nothing in {charset}, the charset that its server names, and are lost"
        return Body.of(_recoded(body, charset, "replace")), note


def _if_possible(body: Body, charset: str) -> Body:
    try:
        return Body.of(_recoded(body, charset, "strict"))
    except UnicodeDecodeError:
        return body


def charset_of(content_type: str) -> str | None:
    """Return the codec of the charset that a Content-Type names; None for none and an unknown one."""
    found = _CHARSET.search(_OTHER_QUOTED.sub("=", content_type))
    if found is None:
        return None
    written = next(filter(None, found.groups()), "").strip().lower()
    return _known(written) or _known(written.removeprefix("x-"))


def _known(name: str) -> str | None:
    name = re.sub(r"\A(?:windows|cp|win)[-_ ]?(\d+)\Z", r"cp\1", name)
    name = re.sub(r"\Aiso[-_ ]?8859[-_ ]?(\d+)(?:[-_:].*)?\Z", r"iso8859-\1", name)
    name = {"unicode": "utf-16", "sjis": "shift_jis", "unicode-1-1-utf-8": "utf-8"}.get(
        name, name
    )
    if not re.fullmatch(r"[a-z0-9][a-z0-9_+:()-]*", name):
        return None
    try:
        b"a".decode(name)  # raises LookupError for codecs that are none of texts
    except UnicodeDecodeError:
        pass  # one byte is no letter everywhere
    except (LookupError, ValueError):
        return None
    found = codecs.lookup(name).name
    return None if found in _NO_CHARSET else _MEANT.get(found, found)


def _has_mark(body: Body) -> bool:
    start = next(body.blocks(), b"")[:4]
    return start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _is_utf8(blocks: Iterable[bytes]) -> bool:
    """Tell whether bytes are UTF-8, also where folds fall inside of a letter (RFC 5545 section 3.1)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    held = b""
    try:
        for block in blocks:
            data = held + block
            whole = len(data.rstrip(_LINE_END))
            held, data = data[whole:], data[:whole]
            decoder.decode(_FOLD.sub(b"", data))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _recoded(body: Body, charset: str, errors: str) -> Iterator[bytes]:
    # Without a mark: by where the zeros stand beside the first letter.
    if charset in {
        "utf-16",
        "utf-32",
    }:
        is_big = next(body.blocks(), b"").startswith(b"\0")
        charset += "-be" if is_big else "-le"
    decoder = codecs.getincrementaldecoder(charset)(errors)
    for block in body.blocks():
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def _by_bytes(body: Body) -> Iterator[bytes]:
    """Yield UTF-8 as it is and other bytes as Windows-1252; in pieces of whole lines with their folds."""
    held = b""
    for block in body.blocks():
        held += block
        ends = [found.start(1) for found in _LINE_BEGIN.finditer(held)]
        if ends:
            yield text_of(held[: ends[-1]])[0].encode()
            held = held[ends[-1] :]
    yield text_of(held)[0].encode()
