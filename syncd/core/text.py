"""Text as the API takes it: plain, folded, and cut where a reader sees no break.

Lengths are UTF-16 code units, because "256 characters" of a description counts them.
"""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

ELLIPSIS = "…"
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_LINE_END = re.compile(r"\r\n|[\r\v\f\x85\u2028\u2029]")
# A bare name or attributes: `<a.miller@example.com>` and `<b and c>` are no HTML.
_LOOKS_LIKE_HTML = re.compile(
    r"</?(?:html|body|head|br|p|div|span|a|b|i|u|ul|ol|li|table|tr|td|font|h[1-6]|hr|strong|em)"
    r"(?:\s+[\w:-]+\s*=[^>]*)?\s*/?>",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"<\s*((?:https?://|mailto:)[^\s<>]+|[^\s<>@]+@[^\s<>@]+)\s*>", re.IGNORECASE)
_BREAKS = frozenset(
    {"br", "p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr"}
)
_HIDDEN = frozenset({"script", "style", "head", "title"})
# The categories Cc and Cs but for \n and \t.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ZERO_WIDTH_JOINER = "\u200d"
_EXTENDING = frozenset("\u200c\uff9e\uff9f\u0e33\u0eb3")  # letters and format characters that join backwards
_VIRAMA = 9  # canonical combining class


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def fold_space(text: str) -> str:
    """One line: every run of white space or control characters becomes one blank."""
    return _without_controls(_SPACE.sub(" ", text)).strip()


def fold_name(text: str) -> str:
    """Return a name as names are compared: one line in NFKC, case-folded, without format characters.

    So decomposed letters (macOS), full-width ones, and invisible signs that were pasted along mean nothing.
    """
    # Folding the case may take a text out of its normal form (Unicode section 3.13, definition D146).
    folded = normal_form(normal_form(text).casefold())
    return fold_space(folded)


def normal_form(text: str) -> str:
    """Return a text in NFKC without format characters (category Cf), which nobody sees."""
    if text.isascii():
        return text
    normal = unicodedata.normalize("NFKC", text)
    shown = "".join(character for character in normal if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", shown)


def plain(text: str) -> str:
    """Plain text of a description: HTML reduced, line ends unified, no control characters, no loose ends."""
    if _LOOKS_LIKE_HTML.search(text):
        reducer = _Reducer()
        reducer.feed(_BRACKETED.sub(r"&lt;\1&gt;", text))  # an address in brackets is text, not a tag
        reducer.close()
        text = reducer.text()
    text = _without_controls(_LINE_END.sub("\n", text))
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def cut(text: str, limit: int) -> str:
    """The text within `limit` UTF-16 code units, with `…` at the end if anything was cut.

    Never inside what a reader sees as one character (a grapheme cluster, Unicode Annex 29).
    """
    if utf16_length(text) <= limit:
        return text
    room = limit - 1
    if room < 0:
        return ""
    end = room
    while utf16_length(text[:end]) > room:
        end -= 1
    while end and not _breaks_between(text, end):
        end -= 1
    return text[:end].rstrip() + ELLIPSIS


def _breaks_between(text: str, index: int) -> bool:
    """Whether a grapheme cluster may end before `text[index]`."""
    before, after = text[index - 1], text[index]
    if before == "\r" and after == "\n":
        return False
    if _ZERO_WIDTH_JOINER in {before, after} or after in _EXTENDING:
        return False
    if unicodedata.category(after) in {"Mn", "Me", "Mc"} or "\U0001f3fb" <= after <= "\U0001f3ff":
        return False  # combining marks, variation selectors, skin tones
    if unicodedata.combining(before) == _VIRAMA and unicodedata.category(after) == "Lo":
        return False  # consonants joined by a virama
    if "\U000e0020" <= after <= "\U000e007f":
        return False  # tags of subdivision flags
    if _hangul_joins(before, after):
        return False
    if _is_regional(before) and _is_regional(after):
        run = 0
        while index - 1 - run >= 0 and _is_regional(text[index - 1 - run]):
            run += 1
        return run % 2 == 0  # flags are pairs
    return True


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _hangul_joins(before: str, after: str) -> bool:
    """Rules GB6 to GB8 for conjoining jamo."""
    leading, vowel, trailing = (
        "\u1100" <= before <= "\u115f",
        "\u1160" <= after <= "\u11a7",
        "\u11a8" <= after <= "\u11ff",
    )
    syllable = "\uac00" <= before <= "\ud7a3"
    if leading:
        return "\u1100" <= after <= "\u115f" or vowel or "\uac00" <= after <= "\ud7a3"
    if (syllable and (ord(before) - 0xAC00) % 28 == 0) or "\u1160" <= before <= "\u11a7":
        return vowel or trailing
    return (syllable or "\u11a8" <= before <= "\u11ff") and trailing


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("", text)


class _Reducer(HTMLParser):
    """HTML to text: breaks become line ends, link targets stay readable, the rest is dropped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = 0
        self._link = ""
        self._link_text = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BREAKS:
            self._parts.append("\n")
        elif tag == "a":
            self._link = next((value or "" for name, value in attrs if name == "href"), "")
            self._link_text = len(self._parts)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BREAKS and tag != "br":
            self._parts.append("\n")
        elif tag == "a" and self._link:
            shown = "".join(self._parts[self._link_text :])
            if self._link.lower().startswith(("http://", "https://")) and self._link not in shown:
                self._parts.append(f" {self._link}" if shown.strip() else self._link)
            self._link = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(_SPACE.sub(" ", data))

    def text(self) -> str:
        """What was read, with runs of blanks and line ends reduced."""
        text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(self._parts))
        return re.sub(r"\n{2,}", "\n", text).strip()
