"""One meeting in several sources: which copy decides, and when it lives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from syncd.core.occurrence import Occurrence, OccurrenceKey, Reading, Timespan, Window
from syncd.core.witness import deciding, merge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window.ahead(NOW, timedelta(days=30))
COPY = Occurrence(
    key=OccurrenceKey("", "meeting", None),
    source="",
    when=Timespan(NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1)),
    line=1,
)


def copy(
    summary: str,
    *,
    sequence: int = 0,
    modified: int | None = None,
    cancelled: bool = False,
    organizers: bool = False,
) -> Occurrence:
    """A copy of the meeting, known by its summary; `modified` is a day of December."""
    stamp = None if modified is None else datetime(2025, 12, modified, tzinfo=UTC)
    return replace(
        COPY,
        source=summary,
        summary=summary,
        sequence=sequence,
        last_modified=stamp,
        cancelled=cancelled,
        organizers_copy=organizers,
    )


def reading(source: str, *occurrences: Occurrence) -> Reading:
    """What a source says."""
    return Reading(source=source, at=NOW, window=WINDOW, digest=source, occurrences=occurrences)


@pytest.mark.parametrize(
    ("wins", "others"),
    [
        (copy("newer", sequence=2), [copy("older", sequence=1, modified=9)]),
        (copy("newer", modified=2), [copy("older", modified=1), copy("unknown")]),
        (copy("organizer", organizers=True), [copy("newer", sequence=5, modified=9)]),
        (copy("organizer", organizers=True, cancelled=True), [copy("live", modified=9)]),
        (copy("organizer", organizers=True), [copy("off", sequence=3, cancelled=True)]),
        (copy("live", sequence=3), [copy("organizer", sequence=2, organizers=True, cancelled=True)]),
        (copy("live"), [copy("off", modified=9, cancelled=True)]),
        (copy("off", sequence=1, cancelled=True), [copy("live", modified=9)]),
        (
            copy("organizer now", sequence=1, organizers=True),
            [copy("organizer before", organizers=True), copy("guest", sequence=2)],
        ),
    ],
    ids=[
        "higher SEQUENCE",
        "later LAST-MODIFIED",
        "organizer before a higher SEQUENCE",
        "organizer who cancelled",
        "organizer who did not cancel",
        "organizer who cancelled before",
        "live one of equals",
        "newer cancellation",
        "organizer's newer copy",
    ],
)
def test_deciding(wins: Occurrence, others: list[Occurrence]) -> None:
    """The copy that decides is the same in any order of the sources."""
    for order in permutations([wins, *others]):
        assert deciding(order) is wins


def test_equal_copies_by_configuration() -> None:
    """Between equal copies the source that comes first in the configuration decides; all are witnesses."""
    first, second = copy("first"), copy("second")
    (seen,) = merge({"first": reading("first", first), "second": reading("second", second)})
    assert (seen.occurrence, seen.witnesses) == (first, ("first", "second"))
    (seen,) = merge({"second": reading("second", second), "first": reading("first", first)})
    assert (seen.occurrence, seen.witnesses) == (second, ("second", "first"))


def test_meetings_stay_apart() -> None:
    """Each key is one meeting, sorted, and a source without it is no witness of it."""
    other = replace(copy("b"), key=OccurrenceKey("", "another", None))
    merged = merge({"a": reading("a", copy("a")), "b": reading("b", other)})
    assert [(seen.occurrence.key.uid, seen.witnesses) for seen in merged] == [
        ("another", ("b",)),
        ("meeting", ("a",)),
    ]


def test_whose_copy_it_is_changes_no_content() -> None:
    """The fingerprint of a meeting is that of its content, whoever's calendar showed it."""
    assert copy("a").fingerprint == copy("a", organizers=True).fingerprint
