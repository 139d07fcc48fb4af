"""Text as the API takes it: plain, folded, and cut where a reader sees no break.

Lengths are UTF-16 code units, because "256 characters" of a description counts them.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from html import unescape

from syncd.core.bounds import TEXT_READ

ELLIPSIS = "…"
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_LINE_END = re.compile(r"\r\n|[\r\v\f\x85\u2028\u2029]")
# A bare name or attributes: `<a.miller@example.com>` and `<b and c>` are no HTML.
_LOOKS_LIKE_HTML = re.compile(
    r"</?(?:html|body|head|br|p|div|span|a|b|i|u|ul|ol|li|table|tr|td|font|h[1-6]|hr|strong|em)"
    r"(?:\s+[\w:-]+\s*=[^>]{0,2000})?\s*/?>",  # bounded: each of many `<a b=` looks for its own end
    re.IGNORECASE,
)
_HIDING = re.compile(r"<(?:(!--)|(script|style|head|title)\b)", re.IGNORECASE)
_END_OF_HIDDEN = {
    "!--": re.compile("-->"),
    **{
        name: re.compile(rf"</{name}\b[^<>]{{0,100}}>", re.IGNORECASE)
        for name in ("script", "style", "head", "title")
    },
}
_BRACKETED = re.compile(
    r"<\s*((?:https?://|mailto:)[^\s<>]+|[^\s<>@]+@[^\s<>@]+)\s*>", re.IGNORECASE
)
_BREAKS = frozenset(
    {
        "br",
        "p",
        "div",
        "tr",
        "li",
        "ul",
        "ol",
        "table",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
    }
)
_HIDDEN = frozenset({"script", "style", "head", "title"})
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/<>]*)")
# A quoted value may hold a `>`
_ATTRIBUTES = re.compile(r"""(?:[^>"']|"[^"]*"|'[^']*')*+>""")
_HREF = re.compile(
    r"""(?:^|[\s"'/])href\s*=\s*("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE
)
# The categories Cc and Cs but for \n and \t.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ZERO_WIDTH_JOINER = "\u200d"
# Letters and format characters that join backwards.
_EXTENDING = frozenset("\u200c\uff9e\uff9f\u0e33\u0eb3")
_VIRAMA = 9  # canonical combining class


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def fold_space(text: str) -> str:
    """Return a text as one line: every run of white space or control characters becomes one blank."""
    return _without_controls(_SPACE.sub(" ", text)).strip()


def fold_name(text: str) -> str:
    """Return a name as names are compared: one line in NFKC, case-folded, without format characters.

    So decomposed letters (macOS), full-width ones, and invisible signs that were pasted along mean nothing.
    """
    if text.isascii():
        return fold_space(text).lower()
    # Folding the case may take a text out of its normal form (Unicode section 3.13, definition D146).
    folded = normal_form(normal_form(text).casefold())
    return fold_space(folded)


def normal_form(text: str) -> str:
    """Return a text in NFKC without format characters (category Cf), which nobody sees."""
    if text.isascii():
        return text
    shown = "".join(
        character for character in text if unicodedata.category(character) != "Cf"
    )
    return unicodedata.normalize("NFKC", shown)


def shortened(text: str) -> str:
    """Shorten a description to what can matter for its plain text, in time in proportion to its length.

    Of HTML comments, scripts, styles and heads are left out first, since they may be longer than the text.
    """
    if len(text) <= TEXT_READ:
        return text
    begin = text[:TEXT_READ]
    looks_like_html = _LOOKS_LIKE_HTML.search(begin)
    if not looks_like_html and not _HIDING.match(begin.lstrip()):
        return begin
    begin = _without_hidden(text)[:TEXT_READ]
    opened = begin.rfind("<")
    closed = begin.rfind(">")
    if opened > closed:  # in the middle of a tag
        return begin[:opened]
    return begin


def _without_hidden(text: str) -> str:
    """Return HTML without what is never shown, as far as `TEXT_READ` characters; what has no end is left."""
    kept: list[str] = []
    length = place = 0
    # Kinds of which no end stands behind this place, so it is looked for once.
    endless: set[str] = set()
    while length < TEXT_READ and (found := _HIDING.search(text, place)):
        kind = (found[1] or found[2]).lower()
        end = None
        if kind not in endless:
            end = _END_OF_HIDDEN[kind].search(text, found.end())
        if end is None:
            endless.add(kind)
            shown = text[place : found.end()]
            place = found.end()
        else:
            shown = text[place : found.start()]
            place = end.end()
        kept.append(shown)
        length += len(shown)
    kept.append(text[place : place + TEXT_READ])
    return "".join(kept)


@functools.lru_cache(maxsize=64)  # the dates of a series share their text
def plain(text: str) -> str:
    """Return a description as plain text: HTML reduced, line ends unified, no control characters."""
    text = shortened(text)
    if _LOOKS_LIKE_HTML.search(text):
        # An address in brackets is text, not a tag.
        html = _BRACKETED.sub(r"&lt;\1&gt;", text)
        text = _Reducer(html).reduce()
    text = _without_controls(_LINE_END.sub("\n", text))
    lines = [line.rstrip() for line in text.split("\n")]
    text = "\n".join(lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` UTF-16 code units, with `…` at the end if anything was cut.

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
    """Tell whether a grapheme cluster may end before `text[index]`."""
    before = text[index - 1]
    after = text[index]
    if before == "\r" and after == "\n":
        return False
    if before == _ZERO_WIDTH_JOINER or _extends(after):
        return False
    if unicodedata.combining(before) == _VIRAMA and unicodedata.category(after) == "Lo":
        return False  # consonants joined by a virama
    if _hangul_joins(before, after):
        return False
    if _is_regional(before) and _is_regional(after):
        return _is_even_run_of_regional(text, index)
    return True


def _extends(character: str) -> bool:
    """Tell whether a character belongs to the one before it, whatever that is."""
    if character == _ZERO_WIDTH_JOINER or character in _EXTENDING:
        return True
    if unicodedata.category(character) in {"Mn", "Me", "Mc"}:
        return True  # combining marks, variation selectors
    is_skin_tone = "\U0001f3fb" <= character <= "\U0001f3ff"
    is_tag_of_flag = "\U000e0020" <= character <= "\U000e007f"  # of a subdivision
    return is_skin_tone or is_tag_of_flag


def _is_even_run_of_regional(text: str, index: int) -> bool:
    """Tell whether whole flags stand before `text[index]`: two regional indicators make one."""
    begin = index
    while begin > 0 and _is_regional(text[begin - 1]):
        begin -= 1
    run = index - begin
    return run % 2 == 0


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _hangul_joins(before: str, after: str) -> bool:
    """Tell whether jamo join to one syllable (Unicode Annex 29, rules GB6 to GB8)."""
    is_vowel = "\u1160" <= after <= "\u11a7"
    is_trailing = "\u11a8" <= after <= "\u11ff"
    is_after_syllable = "\uac00" <= before <= "\ud7a3"
    if "\u1100" <= before <= "\u115f":
        is_leading = "\u1100" <= after <= "\u115f"
        return is_leading or is_vowel or "\uac00" <= after <= "\ud7a3"
    is_open_syllable = is_after_syllable and (ord(before) - 0xAC00) % 28 == 0
    if is_open_syllable or "\u1160" <= before <= "\u11a7":
        return is_vowel or is_trailing
    return is_trailing and (is_after_syllable or "\u11a8" <= before <= "\u11ff")


def _without_controls(text: str) -> str:
    return _CONTROLS.sub("", text)


class _Reducer:
    """HTML to text: breaks become line ends, link targets stay readable, the rest is dropped.

    Reads anything as a browser would, and in one pass: what has no end is looked for once.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._hidden = 0
        self._link = ""
        self._link_text = 0
        self._quotes_end = True  # behind this place; else quotes in tags mean nothing

    def reduce(self) -> str:
        """Return the text, with runs of blanks and line ends reduced."""
        text = self._text
        place = 0
        while (begin := text.find("<", place)) >= 0:
            self._add(text[place:begin])
            place = self._markup(begin)
        self._add(text[place:])
        reduced = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(self._parts))
        return re.sub(r"\n{2,}", "\n", reduced).strip()

    def _markup(self, begin: int) -> int:
        """Read what begins with `<`; return where the text goes on."""
        text = self._text
        if text.startswith("<!--", begin):
            end = text.find("-->", begin + 4)
            return end + 3 if end >= 0 else len(text)
        match = _TAG.match(text, begin)
        is_declaration = text.startswith(("!", "?"), begin + 1)
        end = text.find(">", begin) + 1
        if end == 0 or (match is None and not is_declaration):
            self._add("<", markup=False)
            return begin + 1
        if match is None:
            return end
        if self._quotes_end:
            quoted = _ATTRIBUTES.match(text, match.end())
            self._quotes_end = quoted is not None
            end = quoted.end() if quoted else end
        name = match[2].lower()
        if match[1]:
            self._end(name)
            return end
        self._start(name, text[match.end() : end])
        if name in {"script", "style"}:  # what is in there is no HTML
            closing = _END_OF_HIDDEN[name].search(text, end)
            return closing.start() if closing else len(text)
        return end

    def _start(self, tag: str, attributes: str) -> None:
        """Note what the begin of an element means for what follows."""
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "body":
            self._hidden = 0
        elif tag in _BREAKS:
            self._parts.append("\n")
        elif tag == "a":
            found = _HREF.search(attributes)
            self._link = ""
            if found:
                target = found[1].strip("\"'")
                self._link = unescape(target)
            self._link_text = len(self._parts)

    def _end(self, tag: str) -> None:
        """Note what the end of an element means for what stands before and after it."""
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BREAKS and tag != "br":
            self._parts.append("\n")
        elif tag == "a" and self._link:
            self._add_target()
            self._link = ""

    def _add_target(self) -> None:
        """Add where a link leads, if that is a page and its text does not show it."""
        link = self._link
        shown = "".join(self._parts[self._link_text :])
        is_page = link.lower().startswith(("http://", "https://"))
        if is_page and link not in shown:
            separator = " " if shown.strip() else ""
            self._parts.append(f"{separator}{link}")

    def _add(self, data: str, *, markup: bool = True) -> None:
        if not data or self._hidden:
            return
        if markup:
            data = unescape(data)
        self._parts.append(_SPACE.sub(" ", data))
