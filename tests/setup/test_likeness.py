"""How like names of rooms are: what tells rooms apart is never a slip of the pen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.setup.likeness import EQUAL, likeness
from syncd.setup.room_suggestions import LEAST_SCORE


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("Room 3.15 (12)", "Room 3.15"),
        ("room 3.15", "Room 3.15"),
        ("Room 3.15 (max. 12 Personen)", "Room 3.15 [8]"),
        ("Board room (12)", "Board room"),
        ("Salle Zürich", "Salle Zurich"),
        ("会议室 3 (12人)", "会议室 3"),
    ],
)
def test_a_capacity_is_no_number(written: str, room: str) -> None:
    """A name is the same with and without the number of its seats."""
    assert likeness(written, room) == EQUAL


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("Room 3.15", "Room 3.16"),
        ("Room 3.15 (12)", "Room 3.12 (15)"),
        ("Room 3.05", "Room 3.5"),
        ("Room 315", "Room 3.15"),
        ("Room (315)", "Room (316)"),
        ("Room A", "Room B"),
        ("Room 3a", "Room 3b"),
        ("Room 3a", "Room 3"),
        ("Raum II", "Raum III"),
        ("会议室一", "会议室二"),
        ("Room ٣", "Room 4"),
    ],
)
def test_another_number_or_letter_is_another_room(written: str, room: str) -> None:
    """However like the rest is."""
    assert likeness(written, room) is None
    assert likeness(room, written) is None


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("North meeting room", "South meeting room"),
        ("Bern", "Berlin"),
        ("Alpha", "Alphabet"),
        ("大会议室", "小会议室"),
        ("Small meeting room", "Large meeting room"),
    ],
)
def test_another_word_is_not_enough(written: str, room: str) -> None:
    """Words that are said of every room do not make two names alike."""
    score = likeness(written, room)
    assert score is not None
    assert score < LEAST_SCORE


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("Konferenzraum Berlin", "Room Berlin"),
        ("Raum 3.15", "Room 3.15"),
        ("Board Room", "Boardroom"),
        ("Mozartsaal", "Saal Mozart"),
        ("Berlin", "Conference room Berlin (8)"),
        ("Room 7", "Raum 07"),
        ("Aquarum", "Aquarium"),
    ],
)
def test_other_words_of_all_rooms_and_slips_are_alike(written: str, room: str) -> None:
    """These a person would take for the same."""
    score = likeness(written, room)
    assert score is not None
    assert LEAST_SCORE <= score < EQUAL


@given(
    st.integers(0, 999),
    st.integers(0, 999),
    st.sampled_from(["Room", "Raum", "会议室"]),
)
def test_numbers_decide(one: int, other: int, word: str) -> None:
    """Two rooms of one word are alike if and only if their numbers are equal."""
    score = likeness(f"{word} {one}", f"{word} {other}")
    assert (score is not None) == (one == other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_texts_can_be_compared(one: str, other: str) -> None:
    """There is a score or none, whatever is written."""
    score = likeness(one, other)
    assert score is None or 0 <= score <= EQUAL
