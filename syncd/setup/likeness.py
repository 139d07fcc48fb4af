"""How like two names of rooms are.

Names of rooms differ in a digit, a letter or one word ("Room 3.15" and "Room 3.16", "North" and "South"), which
scorers for text take for a slip of the pen.
So what tells rooms apart is compared by itself: numbers and single letters have to agree, and of the words
those count that are not said of every room. Only then is the rest left to the scorer.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from rapidfuzz import fuzz

from syncd.core.text import fold_name

EQUAL = 100.0
"""The score of names that are the same."""

_SAME_BUT_FOR_WORDS_OF_ALL = 90.0  # "Konferenzraum Berlin" and "Room Berlin"
_ANOTHER_WORD = 80.0  # "Bern" and "Berlin" are as like as that
_UNLIKE = 70.0
_LONGEST = 200  # no name of a room is longer
_LARGEST_CAPACITY = 99  # of a bare number in brackets that is not the number of a room
_OF_CAPACITY = r"pers(?:on(?:s|en|nes)?)?|people|ppl|seats?|pl(?:a|ae)tze?|places?|pax|p|prs|人|名|位"
_BRACKETS = re.compile(
    r"[(\[{]\s*(?P<before>max|bis|up to|cap(?:acity)?|ca|fur|fuer|for)?[.:]?\s*"
    rf"(?P<number>\d{{1,4}})\s*(?P<behind>{_OF_CAPACITY})?\.?\s*[)\]}}]"
)
_NUMBER = re.compile(r"\d+(?:[.\-/]\d+)*")
_ROMAN = re.compile(r"(?<![^\W_])[ivx]{2,4}(?![^\W_])")
_CHINESE = re.compile("[一二三四五六七八九十]")
# Neither part of a word nor of "Alice's" or "l'ufficio".
_LETTER = re.compile(r"(?<![^\W\d_])(?<!['’])[a-z](?![^\W\d_])(?!['’])")
# A letter of Chinese or Japanese is a word of its own.
_WORD = re.compile(r"[^\W\d_]{2,}|[^\W\d_a-z]")
# What is said of every room.
_OF_ALL = (
    "room rooms meeting meetings conference conf mtg rm raum raume zimmer besprechung besprechungsraum "
    "besprechungszimmer sitzung sitzungsraum sitzungszimmer konferenz konferenzraum konferenzzimmer "
    "meetingraum meetingroom tagungsraum seminarraum salle reunion sala riunioni reuniones vergaderruimte "
    "vergaderzaal zaal saal hall the der die das in im am of de du la le no nr nummer number"
)
_GENERIC = frozenset(_OF_ALL.split())
_GENERIC_ENDING = re.compile(r"(?<=[^\W\d_]{3})(?:room|raum|zimmer|saal|zaal)$")
_GENERIC_CHINESE = re.compile("会议室|會議室|会議室|会议厅|會議廳|室|厅|廳")


@dataclass(frozen=True, slots=True)
class _Name:
    """A name for comparison: `text` without capacity, and what tells it apart.

    `bare` are numbers in brackets that may be a capacity, or the number of the room.
    """

    text: str
    marks: tuple[str, ...]
    bare: tuple[int, ...]
    words: tuple[str, ...]


def likeness(written: str, room: str, capacity: int | None = None) -> float | None:
    """Return how like a text of a calendar is to the name of a room, up to 100; None if it is another one.

    `capacity` is that of the room, as far as it is known.
    """
    if fold_name(written) == fold_name(room):
        return EQUAL
    one, other = _parsed(written), _parsed(room)
    if not _agree(one, other, capacity):
        return None
    if one.text == other.text:
        return EQUAL
    score = fuzz.WRatio(one.text, other.text)
    if one.words == other.words and (one.words or one.marks):
        score = max(score, _SAME_BUT_FOR_WORDS_OF_ALL)
    elif one.words and other.words:
        score = min(score, _words_alike(one.words, other.words))
    # Only names that are the same are certain.
    return min(score, EQUAL - 1)


def _words_alike(some: tuple[str, ...], others: tuple[str, ...]) -> float:
    """Return how like the words are that tell two names apart; little if one of them has no counterpart."""
    fewer, more = sorted((some, others), key=len)
    score = fuzz.WRatio(" ".join(fewer), " ".join(more))
    for word in fewer:
        nearest = max(fuzz.ratio(word, other) for other in more)
        if nearest <= _ANOTHER_WORD:
            return min(score, _UNLIKE)
    return score


@cache
def _parsed(name: str) -> _Name:
    folded = _without_accents(fold_name(name[:_LONGEST]))
    bare: list[int] = []

    def take(found: re.Match[str]) -> str:
        number = int(found["number"])
        is_named = bool(found["before"] or found["behind"])
        if not is_named:
            bare.append(number)
        return " "

    text = " ".join(_BRACKETS.sub(take, folded).split())
    marks = [_number(found) for found in _NUMBER.findall(text)]
    marks += _ROMAN.findall(text)
    marks += _CHINESE.findall(text)
    marks += _LETTER.findall(text)
    shown = _GENERIC_CHINESE.sub(" ", text)
    words = [word for word in _WORD.findall(shown) if word not in _GENERIC]
    telling = sorted(_GENERIC_ENDING.sub("", word) for word in words)
    return _Name(text, tuple(sorted(marks)), tuple(sorted(bare)), tuple(telling))


def _without_accents(text: str) -> str:
    """Return a text with plain letters and digits, since many type neither accents nor the digits of others."""
    plain: list[str] = []
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.category(character) == "Nd":
            plain.append(str(unicodedata.decimal(character)))
        elif not unicodedata.combining(character):
            plain.append(character)
    return "".join(plain)


def _number(written: str) -> str:
    """Return a number as numbers are compared: "3-15" is 3.15, "07" is 7, and "3.05" is not 3.5."""
    parts = re.split(r"[.\-/]", written)
    if len(parts) == 1:
        return written.lstrip("0") or "0"
    return ".".join(parts)


def _agree(one: _Name, other: _Name, capacity: int | None) -> bool:
    """Tell whether numbers and single letters of two names agree; a capacity in brackets is no number."""
    if one.marks != other.marks:
        return False
    if one.marks:
        return True
    if one.bare and other.bare:
        return one.bare == other.bare
    numbers = one.bare or other.bare
    return all(n <= _LARGEST_CAPACITY or n == capacity for n in numbers)
