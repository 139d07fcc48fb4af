"""What strangers write can be seen, and does nothing."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.visible import json_text, visible, visible_lines, visible_values

SHOWN = {
    "escape": ("red \x1b[31m", r"red \x1b[31m"),
    "window title": ("\x1b]0;you\x07", r"\x1b]0;you\x07"),
    "C1 introducer": ("\x9b2J", r"\x9b2J"),
    "delete": ("a\x7fb", r"a\x7fb"),
    "line ends": ("a\r\nb\tc", r"a\r\nb\tc"),
    "next line": ("a\x85b", r"a\x85b"),
    "separators": ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    "override": ("\u202etxt.exe", r"\u202etxt.exe"),
    "isolates": ("\u2066a\u2069", r"\u2066a\u2069"),
    "arabic mark": ("\u061c1", r"\u061c1"),
    "zero width": ("pay\u200bpal\ufeff", r"pay\u200bpal\ufeff"),
    "joiner between letters": ("pay\u200dpal", r"pay\u200dpal"),
    "joiner at an end": ("\u0915\u200d", "\u0915\\u200d"),
    "soft hyphen": ("pay\u00adpal", r"pay\xadpal"),
    "filler": ("a\u3164b", r"a\u3164b"),
    "tags": ("\U000e0041", r"\U000e0041"),
    "half of a pair": ("\udc9b \ud83d", r"\udc9b \ud83d"),
    "no character": ("\ufffe", r"\ufffe"),
}

KEPT = {
    "umlauts": "Müller – 10 € „so“",
    "emoji of several": "👩\u200d👩\u200d👧 ❤️\u200d🔥",
    "persian": "می\u200cخواهم",
    "devanagari": "क\u094d\u200dष",
    "hebrew": "פגישה 10:00",
    "ideograph with a form": "葛\U000e0100",
    "markup of others": "[bold]x[/] :smile: <b>",
    "backslash": r"C:\new \x1b",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_what_acts_or_deceives_is_replaced_by_its_name(text: str, shown: str) -> None:
    """Control, format and separating characters stand there as escapes; nothing is lost."""
    assert visible(text) == shown


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_what_people_write_stays(text: str) -> None:
    """Letters of all scripts, emoji and the joiners that they need are not touched."""
    assert visible(text) == text


def acts(text: str) -> list[str]:
    """The characters of a text that a terminal or an eye could fall for; joiners are tested above."""
    harmful = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    kept = "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
    return [c for c in text if unicodedata.category(c) in harmful and c not in kept]


@given(st.text(st.characters(codec=None)))
def test_no_text_gets_through(text: str) -> None:
    """Whatever a text is made of, nothing that acts is left, and doing it twice changes nothing."""
    assert acts(visible(text)) == []
    assert visible(visible(text)) == visible(text)
    assert acts(visible_lines(text).replace("\n", "")) == []


@pytest.mark.parametrize("first", range(0, 0x110000, 0x11000))
def test_no_character_gets_through(first: int) -> None:
    """All of Unicode, one by one."""
    assert acts(visible(" ".join(map(chr, range(first, first + 0x11000))))) == []


@given(st.text(st.characters(codec=None)), st.booleans())
def test_json_is_exact_and_harmless(text: str, ascii_only: bool) -> None:
    """A document holds the very text, in bytes that do nothing."""
    written = json_text({text: [text]}, ascii_only=ascii_only, indent=2)
    assert json.loads(written) == {text: [text]} or "\ud800" <= max(text) <= "\udfff"
    assert acts(written.replace("\n", "")) == []
    assert "\x7f" not in written
    if ascii_only:
        assert written.isascii()


def test_values_in_values() -> None:
    """Texts are found in lists and tables, as names too; other values stay what they are."""
    given_value = {"a\x1b": ["\x9b", ("\u202e", 3, None)], "b": 1.5}
    assert visible_values(given_value) == {
        r"a\x1b": [r"\x9b", [r"\u202e", 3, None]],
        "b": 1.5,
    }
