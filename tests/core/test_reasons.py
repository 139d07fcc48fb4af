"""The closed set of reason codes."""

from __future__ import annotations

import pytest

from syncd.core.reasons import MEANINGS, Evidence, Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_for_people(reason: Reason) -> None:
    """Each code has a meaning that reads as a sentence."""
    assert MEANINGS[reason][0].isupper()
    assert MEANINGS[reason].endswith(".")


def test_no_meaning_is_left_over_or_shared() -> None:
    """The meanings are those of the codes and no others, and no two say the same."""
    assert set(MEANINGS) == set(Reason)
    assert len(set(MEANINGS.values())) == len(MEANINGS)


@pytest.mark.parametrize("code", [*Reason, *Evidence])
def test_codes_are_words_that_scripts_can_compare(code: Reason | Evidence) -> None:
    """A code is lower-case words joined by underscores, equal to its name."""
    assert code.value == code.name.lower()
    assert all(word.isalpha() for word in code.value.split("_"))
