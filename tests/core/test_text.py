"""Text as the API takes it: plain, and cut where no reader sees a break."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.text import ELLIPSIS, cut, fold_name, fold_space, plain, utf16_length

# Each is one character to a reader (Unicode Annex 29), and none joins with another one of the list.
CLUSTERS = (
    "a",
    "ß",
    " ",
    "会",
    "🎉",
    "e\u0301",  # combining acute
    "o\u0308\u0323",  # two marks
    "👩\u200d👩\u200d👧",  # family by zero width joiners
    "👍🏽",  # skin tone
    "❤\ufe0f",  # variation selector
    "1\ufe0f\u20e3",  # keycap
    "🇩🇪",  # flag
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # flag of Scotland
    "\u1112\u1161\u11ab",  # conjoining Hangul
    "\ud55c",  # composed Hangul
    "\uac00\u11a8",  # composed without final, and a final
    "\u0915\u094d\u0937",  # Devanagari consonants joined by virama
    "\u0e19\u0e49",  # Thai with tone mark
    "\u0e17\u0e33",  # Thai with sara am
    "\uff76\uff9e",  # half-width kana with sound mark
)
TEXTS = st.lists(st.sampled_from(CLUSTERS), max_size=40)


def test_utf16_length() -> None:
    """Lengths are UTF-16 code units, as the encoder counts them."""
    text = "".join(CLUSTERS)
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2 != len(text)


@given(st.text(), st.integers(0, 300))
def test_cut_never_exceeds(text: str, limit: int) -> None:
    """Whatever is cut fits the limit, and what fits is not touched."""
    shortened = cut(text, limit)
    assert utf16_length(shortened) <= limit
    if utf16_length(text) <= limit:
        assert shortened == text


@given(st.text(min_size=1), st.integers(1, 50))
def test_cut_is_a_prefix(text: str, limit: int) -> None:
    """What remains is the beginning of the text, with the sign that something is gone."""
    shortened = cut(text, limit)
    if shortened != text:
        assert shortened.endswith(ELLIPSIS)
        assert text.startswith(shortened.removesuffix(ELLIPSIS))


@given(TEXTS, st.integers(1, 60))
@example(["🇩🇪"] * 9, 20)
@example(["👩\u200d👩\u200d👧"] * 3, 10)
def test_cut_keeps_characters_whole(clusters: list[str], limit: int) -> None:
    """A cut falls between what a reader sees as characters, and takes no more away than it must."""
    text = "".join(clusters)
    shortened = cut(text, limit)
    if shortened == text:
        return
    fitting = ""
    for cluster in clusters:
        if utf16_length(fitting + cluster) > limit - 1:
            break
        fitting += cluster
    assert shortened == fitting.rstrip() + ELLIPSIS


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_cut_inside_each_cluster(cluster: str) -> None:
    """Wherever the limit falls in a row of one kind of character, whole ones remain."""
    size = utf16_length(cluster)
    for limit in range(1, 6 * size + 1):
        assert (
            cut(cluster * 7, limit)
            == (cluster * ((limit - 1) // size)).rstrip() + ELLIPSIS
        )


@pytest.mark.parametrize("limit", [-5, 0])
def test_cut_without_room(limit: int) -> None:
    """Where there is no room, nothing remains, not even the sign."""
    assert cut("text", limit) == ""


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  a \r\n\t b  ", "a b"),
        ("a\x0bb\x1fc\x85d\u2028e\xa0f", "a b c d e f"),
        ("a\x00b\x07", "a b"),
        (" \n ", ""),
        ("a\ud800b", "ab"),
    ],
)
def test_fold_space(text: str, folded: str) -> None:
    """Any run of white space and control characters is one blank, and lone surrogates are gone."""
    assert fold_space(text) == folded


@given(st.text())
def test_fold_space_is_one_line(text: str) -> None:
    """A folded text has no line ends or control characters, can be encoded, and stays as it is."""
    folded = fold_space(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in folded)
    assert fold_space(folded) == folded


@pytest.mark.parametrize(
    ("text", "reduced"),
    [
        ("one\r\ntwo\rthree\x0bfour\u2028five", "one\ntwo\nthree\nfour\nfive"),
        ("one  \n\n\n\n\ntwo\n", "one\n\ntwo"),
        ("bell\x07 tab\tend", "bell tab\tend"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("if a <b and c> d", "if a <b and c> d"),
        ("ask <a.miller@example.com>", "ask <a.miller@example.com>"),
        ("join <https://example.com/a>", "join <https://example.com/a>"),
        ("<p>Hello<br>world</p><p>again</p>", "Hello\nworld\nagain"),
        (
            "<html><head><title>T</title><style>p{}</style></head><body>text</body></html>",
            "text",
        ),
        ("<div>a&amp;b &lt;c&gt; &nbsp;d</div>", "a&b <c> d"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<b>bold</b> and <script>alert(1)</script>done", "bold and done"),
        (
            "<a href='https://example.com/x'>Join</a> now",
            "Join https://example.com/x now",
        ),
        (
            '<a href="https://example.com/x">https://example.com/x</a>',
            "https://example.com/x",
        ),
        ('<a href="https://example.com/x"></a>', "https://example.com/x"),
        ('<a href="javascript:alert(1)">Join</a>', "Join"),
        (
            "<p>ask <a.miller@example.com> or <https://example.com/a></p>",
            "ask <a.miller@example.com> or <https://example.com/a>",
        ),
    ],
)
def test_plain(text: str, reduced: str) -> None:
    """Descriptions become plain text: HTML reduced with its links, everything else left alone."""
    assert plain(text) == reduced


@given(st.text())
def test_plain_can_be_sent(text: str) -> None:
    """Whatever a description holds, its plain text has no control characters and no loose ends."""
    reduced = plain(text)
    assert not any(
        unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in reduced
    )
    assert reduced == reduced.strip()


@given(st.text())
def test_fold_name_is_stable(text: str) -> None:
    """A folded name is folded to itself, has nothing unseen in it, and no form of its letters is another."""
    folded = fold_name(text)
    assert fold_name(folded) == folded
    assert not any(
        unicodedata.category(character) in {"Cc", "Cf"} for character in folded
    )
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold_name(unicodedata.normalize(form, text)) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stra\u00dfe", "STRASSE"),
        ("\u0130stanbul", "\u0130STANBUL"),
        ("\uff76\uff9e\uff72", "\u30ac\u30a4"),
        ("Room\u00a0 1", " room\u3000\uff11"),
        ("\ufb01ve", "FIVE"),
        ("a\u00adb\u200d\u2060\ufeffc", "ABC"),
    ],
)
def test_fold_name(one: str, other: str) -> None:
    """Names that a reader takes for one are one."""
    assert fold_name(one) == fold_name(other)
