"""What the absence of a meeting proves, source by source, and the budget."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.core.booking import Booking
from syncd.core.changes import Cancel, Hold
from syncd.core.evidence import Coverage, Safety, absence, held_checksum, within_budget
from syncd.core.occurrence import Occurrence, Presence, Reading
from syncd.core.reasons import Evidence, Reason
from tests.core.office import DAY, NOW, Office, event, told

OTHER = event("neighbour", 2)


def judged(
    reading: Reading | None,
    *,
    original: float | None = None,
    booking: Booking | None = None,
    standing: Coverage | None = None,
) -> tuple[Evidence | None, Reason]:
    """The grade for a booking of `event("x", 1)` in the source `one`."""
    booking = booking or Office().book(event("x", 1, original=original))[0]
    readings = {} if reading is None else {"one": reading}
    found = absence(
        booking,
        readings,
        ["one"],
        Safety(),
        {"one": standing or Coverage(live=5, present=4)},
    )
    return found.evidence, found.reason


@pytest.mark.parametrize(
    ("reading", "grade"),
    [
        pytest.param(None, (None, Reason.UNCONFIRMED), id="not asked"),
        pytest.param(
            Office().unreadable(), (None, Reason.UNCONFIRMED), id="unreadable"
        ),
        pytest.param(
            Office().reading(OTHER, error="cut"),
            (None, Reason.UNCONFIRMED),
            id="incomplete",
        ),
        pytest.param(
            Office().reading(presence={"x": Presence.SERIES}, error="cut"),
            (None, Reason.UNCONFIRMED),
            id="incomplete with an older copy of the series",
        ),
        pytest.param(
            Office().reading(OTHER, presence={"x": Presence.QUARANTINED}),
            (None, Reason.QUARANTINED),
            id="quarantined",
        ),
        pytest.param(
            Office().reading(documents=0),
            (Evidence.INFERRED, Reason.SOURCE_EMPTY),
            id="no documents",
        ),
        pytest.param(
            Office().reading(OTHER), (Evidence.SHOWN, Reason.EVENT_GONE), id="gone"
        ),
        pytest.param(
            Office().reading(OTHER, presence={"x": Presence.SERIES}),
            (Evidence.TOLD, Reason.OCCURRENCE_REMOVED),
            id="the series without this date",
        ),
        pytest.param(
            Office().reading(OTHER, presence={"x": Presence.DETACHED}),
            (Evidence.SHOWN, Reason.EVENT_GONE),
            id="other single dates of a series",
        ),
    ],
)
def test_each_kind_of_reading_has_its_grade(
    reading: Reading | None, grade: tuple[Evidence | None, Reason]
) -> None:
    """Only what a calendar says or completely shows is evidence; what it leaves open never is."""
    assert judged(reading, original=1) == grade


@pytest.mark.parametrize(
    ("standing", "evidence"),
    [
        (Coverage(live=3), Evidence.SHOWN),
        (Coverage(live=4), Evidence.INFERRED),
        (Coverage(live=4, present=1), Evidence.SHOWN),
    ],
)
@pytest.mark.parametrize("others", [(), (OTHER,)], ids=["empty", "other events"])
def test_a_meeting_is_gone_when_neighbours_are_there(
    others: tuple[Occurrence, ...], standing: Coverage, evidence: Evidence
) -> None:
    """With up to `empty_hold` live bookings none of them need be there, beyond that one must."""
    booking = Office().book(event("x"))[0]
    found = absence(
        booking,
        {"one": Office().reading(*others)},
        ["one"],
        Safety(empty_hold=3),
        {"one": standing},
    )
    assert found.evidence is evidence


def test_another_calendar_in_its_place_is_held() -> None:
    """A reading with many events and none of those that are booked cancels nothing, and books what it has."""
    office = Office()
    office.book(*(event(f"x{n}", n + 1) for n in range(4)))
    others = [event(f"y{n}", n + 1.5) for n in range(4)]
    decided = office.cycle(office.reading(*others))
    assert Counter((kind, reason) for kind, _, reason in told(decided)) == {
        ("hold", "source_empty"): 4,
        ("create", "new"): 4,
    }
    assert "none of the events" in office.plan(office.reading(*others)).held[0].detail
    empty = Office()
    empty.book(*(event(f"x{n}", n + 1) for n in range(4)))
    assert "no event at all" in empty.plan(empty.reading()).held[0].detail


def test_an_event_that_is_over_meets_the_budget() -> None:
    """An event moved into the past needs no confirmation; if all of them are, a person looks first."""
    office = Office(
        safety=Safety(cancel_floor=2, cancel_share=0.0, confirmations={"one": 3})
    )
    uids = [f"x{n}" for n in range(5)]
    office.book(*(event(uid, n + 1) for n, uid in enumerate(uids)))
    coming = [event(uid, n + 1) for n, uid in enumerate(uids)]
    few = office.plan(
        office.reading(*coming[2:], presence=dict.fromkeys(uids, Presence.SERIES))
    )
    assert told(few) == [(("cancel"), uid, "no_longer_bookable") for uid in uids[:2]]
    assert {c.evidence for c in few.changes if isinstance(c, Cancel)} == {
        Evidence.SHOWN
    }
    every = office.plan(office.reading(presence=dict.fromkeys(uids, Presence.SERIES)))
    assert told(every) == [("hold", uid, "over_budget") for uid in uids]


def test_events_that_all_turn_unbookable_meet_the_budget() -> None:
    """An export in which suddenly everything is free is held, one event that turns so is not."""
    office = Office(safety=Safety(cancel_floor=2, cancel_share=0.0))
    office.book(*(event(f"x{n}", n + 1) for n in range(5)))
    free = [event(f"x{n}", n + 1, transparent=True) for n in range(5)]
    decided = office.plan(office.reading(*free))
    assert [row for row in told(decided) if row[0] != "skip"] == [
        ("hold", f"x{n}", "over_budget") for n in range(5)
    ]


def test_an_empty_reading_that_was_held_stays_held() -> None:
    """Meetings that end by themselves do not bring the others under `empty_hold`; `status` says why."""
    office = Office(safety=Safety(empty_hold=3))
    office.book(*(event(f"x{n}", n + 1) for n in range(5)))
    assert len(office.cycle(office.reading()).held) == 5
    assert {b.reason for b in office.live} == {Reason.SOURCE_EMPTY}
    office.now = NOW + 4 * DAY
    assert told(office.cycle(office.reading())) == [
        ("hold", "x3", "source_empty"),
        ("hold", "x4", "source_empty"),
    ]
    assert told(office.cycle(office.reading(event("x4", 5)))) == [
        ("cancel", "x3", "event_gone")
    ]
    assert [(b.key.uid, b.reason, b.detail) for b in office.live] == [("x4", None, "")]


def test_no_documents_at_all_are_held_even_for_one_booking() -> None:
    """All files of a directory gone is an inference, however few bookings there are."""
    booking = Office().book(event("x"))[0]
    nothing = Office().reading(documents=0)
    found = absence(
        booking, {"one": nothing}, ["one"], Safety(), {"one": Coverage(live=1)}
    )
    assert found.evidence is Evidence.INFERRED


def test_a_horizon_made_narrower_removes_nothing() -> None:
    """A date of a series beyond what was read stays; a date within it is gone when it is missing."""
    office = Office()
    booking = office.book(event("x", 20, original=20))[0]
    office.horizon = 5 * DAY
    short = office.reading(OTHER, presence={"x": Presence.SERIES})
    assert judged(short, booking=booking) == (None, Reason.UNCONFIRMED)
    # Read until a week later, and not that instant.
    office.now, office.horizon = (
        NOW,
        13 * DAY,
    )
    assert (
        judged(office.reading(OTHER, presence={"x": Presence.SERIES}), booking=booking)[
            0
        ]
        is None
    )
    office.horizon = 30 * DAY
    wide = office.reading(OTHER, presence={"x": Presence.SERIES})
    assert judged(wide, booking=booking) == (Evidence.TOLD, Reason.OCCURRENCE_REMOVED)


def test_a_series_that_is_gone_is_gone_beyond_the_horizon_too() -> None:
    """A complete reading without the UID says so for all its dates."""
    office = Office()
    booking = office.book(event("x", 20, original=20))[0]
    office.horizon = 5 * DAY
    assert judged(office.reading(OTHER), booking=booking) == (
        Evidence.SHOWN,
        Reason.EVENT_GONE,
    )


def test_confirmations_count_distinct_readings_only() -> None:
    """With three confirmations one reading looked at many times is one, and the third new one cancels."""
    office = Office(safety=Safety(confirmations={"one": 3}))
    office.book(event("x"), OTHER)
    once = office.reading(OTHER)
    for _ in range(5):
        assert told(office.cycle(once)) == [("hold", "x", "unconfirmed")]
    assert told(office.cycle(office.reading(OTHER))) == [("hold", "x", "unconfirmed")]
    assert told(office.cycle(office.reading(OTHER))) == [("cancel", "x", "event_gone")]


def test_a_reading_that_fails_in_between_confirms_nothing() -> None:
    """Unreadable and incomplete readings neither count as confirmations nor undo them."""
    office = Office(safety=Safety(confirmations={"one": 3}))
    office.book(event("x"), OTHER)
    office.cycle(office.reading(OTHER))
    assert told(office.cycle(office.unreadable())) == []
    assert told(office.cycle(office.reading(OTHER, error="cut"))) == []
    assert told(office.cycle(office.reading(OTHER))) == [("hold", "x", "unconfirmed")]
    assert told(office.cycle(office.reading(OTHER))) == [("cancel", "x", "event_gone")]


@pytest.mark.parametrize("title", ["Stand-up", "Stand-up, moved up"])
def test_a_meeting_that_shows_up_again_starts_the_count_anew(title: str) -> None:
    """Confirmations are consecutive, whether the meeting comes back as it was or changed."""
    office = Office(safety=Safety(confirmations={"one": 2}))
    office.book(event("x"), OTHER)
    office.cycle(office.reading(OTHER))
    office.cycle(office.reading(event("x", title=title), OTHER))
    assert told(office.cycle(office.reading(OTHER))) == [("hold", "x", "unconfirmed")]


def test_a_told_removal_needs_no_confirmation() -> None:
    """A series that drops a date is believed at the first reading, whatever `confirmations` says."""
    office = Office(safety=Safety(confirmations={"one": 9}))
    office.book(event("x", 1, original=1), event("x", 2, original=2))
    decided = office.plan(office.reading(event("x", 2, original=2)))
    assert told(decided) == [("cancel", "x", "occurrence_removed")]
    assert [c.evidence for c in decided.changes if isinstance(c, Cancel)] == [
        Evidence.TOLD
    ]


def two_witnesses(**confirmations: int) -> Office:
    """A meeting that two sources show."""
    office = Office(sources=("one", "two"), safety=Safety(confirmations=confirmations))
    office.cycle(
        office.reading(event("x"), OTHER), office.reading(event("x"), source="two")
    )
    assert {b.key.uid: b.witnesses for b in office.live} == {
        "x": ("one", "two"),
        "neighbour": ("one",),
    }
    return office


def test_one_silent_witness_keeps_a_meeting() -> None:
    """While one of two sources cannot be read, the other's complete reading without it cancels nothing."""
    office = two_witnesses()
    for _ in range(3):
        assert told(office.cycle(office.reading(OTHER), office.unreadable("two"))) == []
    more = event("more", 3)
    gone = office.cycle(office.reading(OTHER), office.reading(more, source="two"))
    assert ("cancel", "x", "event_gone") in told(gone)


def test_a_silent_witness_outweighs_an_empty_one() -> None:
    """What nobody can say is not put to a person: an unreadable source leaves nothing to approve."""
    office = two_witnesses()
    decided = office.plan(office.reading(documents=0), office.unreadable("two"))
    assert "x" not in {b.key.uid for b in decided.held}


def test_the_most_careful_witness_decides_how_often() -> None:
    """A feed with three confirmations and a file with one: three."""
    office = two_witnesses(one=1, two=3)
    for seen in range(3):
        decided = office.cycle(
            office.reading(OTHER), office.reading(event("more", 3), source="two")
        )
        assert (("cancel", "x", "event_gone") in told(decided)) is (seen == 2)


def test_the_confirmations_of_one_witness_do_not_count_for_another() -> None:
    """Each source that showed a meeting has to lack it in as many readings as are asked of it."""
    office = two_witnesses(one=2, two=2)
    for _ in range(4):
        office.cycle(office.reading(OTHER))  # the second source is not read
    once = office.cycle(
        office.reading(OTHER), office.reading(event("more", 3), source="two")
    )
    assert ("hold", "x", "unconfirmed") in told(once)
    twice = office.cycle(
        office.reading(OTHER), office.reading(event("more", 3), source="two")
    )
    assert ("cancel", "x", "event_gone") in told(twice)


NEWER, OLDER = event("x", 2, rooms="b", sequence=5), event("x", sequence=1)


def newer_and_older(**confirmations: int) -> Office:
    """A meeting of which the first source has the copy that decides, and the second an older one."""
    office = Office(sources=("one", "two"), safety=Safety(confirmations=confirmations))
    office.cycle(office.reading(NEWER, OTHER), office.reading(OLDER, source="two"))
    assert {b.source for b in office.live} == {"one"}
    return office


@pytest.mark.parametrize(
    ("older", "write"),
    [
        pytest.param(OLDER, ("update", "changed"), id="other content"),
        pytest.param(
            replace(OLDER, cancelled=True),
            ("cancel", "event_cancelled"),
            id="cancelled",
        ),
        pytest.param(
            replace(OLDER, transparent=True),
            ("cancel", "no_longer_bookable"),
            id="not blocking",
        ),
    ],
)
def test_an_older_copy_counts_once_it_is_confirmed_that_the_newer_one_is_gone(
    older: Occurrence, write: tuple[str, str]
) -> None:
    """A single complete reading without the copy that decided neither moves nor cancels a meeting."""
    office = newer_and_older(one=3)
    once = office.reading(OTHER)
    for again in (True, True, False):
        decided = office.cycle(
            once if again else office.reading(OTHER),
            office.reading(older, source="two"),
        )
        assert ("hold", "x", "unconfirmed") in told(decided)
        assert decided.writes == ()
    decided = office.cycle(office.reading(OTHER), office.reading(older, source="two"))
    assert [(kind, reason) for kind, _, reason in told(decided) if kind != "skip"] == [
        write
    ]


def test_a_newer_copy_that_is_back_starts_the_count_anew() -> None:
    """An older copy beside it does not keep the count of a copy that was missing once."""
    office = newer_and_older(one=2)
    older = office.reading(OLDER, source="two")
    for _ in range(3):
        assert told(office.cycle(office.reading(OTHER), older)) == [
            ("hold", "x", "unconfirmed")
        ]
        assert told(office.cycle(office.reading(NEWER, OTHER), older)) == []


@pytest.mark.parametrize("rounds", [1, 2])
def test_readings_without_the_newer_copy_do_not_count_against_the_older_one(
    rounds: int,
) -> None:
    """A source that lacks its copy for the first time cancels nothing, however often another lacked one."""
    office = newer_and_older(one=2, two=2)
    for _ in range(rounds):
        office.cycle(office.reading(OTHER), office.reading(OLDER, source="two"))
    more = event("more", 3)
    first = office.cycle(office.reading(OTHER), office.reading(more, source="two"))
    assert ("hold", "x", "unconfirmed") in told(first)
    second = office.cycle(office.reading(OTHER), office.reading(more, source="two"))
    assert ("cancel", "x", "event_gone") in told(second)


def test_a_reading_that_is_kept_counts_once_beside_a_fresh_one() -> None:
    """A source that is asked rarely has to be asked again before its absence counts a second time."""
    office = two_witnesses(one=2, two=2)
    kept = office.reading(event("more", 3), source="two")
    for _ in range(4):
        assert ("hold", "x", "unconfirmed") in told(
            office.cycle(office.reading(OTHER), kept)
        )
    office.cycle(office.reading(OTHER), office.reading(event("more", 3), source="two"))
    assert "x" not in {b.key.uid for b in office.live}


def test_a_witness_that_is_empty_holds_what_the_other_lacks() -> None:
    """An empty source is suspect by the bookings that it showed, also those whose content another decided."""
    office = Office(sources=("one", "two"))
    four = [event(f"x{n}", n + 1) for n in range(4)]
    office.cycle(office.reading(*four, OTHER), office.reading(*four, source="two"))
    decided = office.plan(
        office.reading(*four[:3], OTHER), office.reading(source="two")
    )
    assert ("hold", "x3", "source_empty") in told(decided)


def test_a_quarantined_copy_stays_a_witness() -> None:
    """A source in which the event is broken is asked again before the meeting is given up."""
    office = two_witnesses()
    broken = office.reading(OTHER, presence={"x": Presence.QUARANTINED})
    office.cycle(broken, office.reading(event("x"), source="two"))
    decided = office.plan(
        office.reading(OTHER, presence={"x": Presence.QUARANTINED}),
        office.reading(event("more", 3), source="two"),
    )
    assert ("cancel", "x", "event_gone") not in told(decided)


def test_a_silent_witness_is_not_forgotten_by_an_update() -> None:
    """A change that one source makes while another is silent keeps the other as a witness."""
    office = Office(sources=("two", "one"))
    office.cycle(
        office.reading(event("x"), source="two"), office.reading(event("x"), OTHER)
    )
    changed = event("x", title="Retrospective", sequence=1)
    updated = office.cycle(
        office.reading(changed, source="two"), office.unreadable("one")
    )
    assert told(updated) == [("update", "x", "changed")]
    decided = office.plan(
        office.reading(event("more", 3), source="two"), office.unreadable("one")
    )
    assert ("cancel", "x", "event_gone") not in told(decided)


def test_a_removed_source_is_held() -> None:
    """Bookings of a source that left the configuration wait for a person."""
    office = Office()
    office.book(event("x"))
    office.sources = ("two",)
    decided = office.plan(office.reading(event("y", 2), source="two"))
    assert ("hold", "x", "source_removed") in told(decided)
    assert [b.key.uid for b in decided.held] == ["x"]


def test_a_removed_witness_does_not_count_beside_one_that_remains() -> None:
    """When one of two witnesses leaves the configuration, the other one decides."""
    office = two_witnesses()
    office.sources = ("one",)
    assert ("cancel", "x", "event_gone") in told(office.plan(office.reading(OTHER)))


# The budget


@pytest.mark.parametrize(
    ("live", "allowed"),
    [
        (0, 10),
        (1, 10),
        (9, 10),
        (10, 10),
        (11, 10),
        (33, 10),
        (34, 10),
        (36, 10),
        (37, 11),
        (100, 30),
    ],
)
def test_the_budget_is_a_share_with_a_floor(live: int, allowed: int) -> None:
    """30 % of the live bookings, rounded down, and never fewer than ten."""
    assert Safety().allowed(live) == allowed


def test_a_share_that_floating_point_cannot_hold_is_exact() -> None:
    """29 % of 100 is 29, though 0.29 * 100 is a little less."""
    assert Safety(cancel_share=0.29, cancel_floor=0).allowed(100) == 29


@pytest.mark.parametrize(
    ("live", "gone", "recently", "fits"),
    [
        (0, 0, 0, True),
        (1, 1, 0, True),
        (9, 9, 0, True),
        (10, 10, 0, True),
        (11, 10, 0, True),
        (11, 11, 0, False),
        (100, 30, 0, True),
        (100, 31, 0, False),
        (11, 5, 5, True),
        (11, 6, 5, False),
        (70, 0, 30, True),
        (70, 1, 30, False),
    ],
)
def test_the_budget_counts_what_the_window_has_seen(
    live: int, gone: int, recently: int, fits: bool
) -> None:
    """Cancels of this cycle and those of the window before it are measured together."""
    found = within_budget(
        {"one": gone}, {"one": live}, Safety(cancelled_recently={"one": recently})
    )
    assert found == ({"one"} if fits else set())


@pytest.mark.parametrize("gone", [0, 1, 9, 10, 11])
def test_beyond_the_budget_everything_shown_is_held(gone: int) -> None:
    """Ten of twelve missing events are cancelled; of eleven none is, and all wait for one approval."""
    office = Office()
    everything = [event(f"x{n:02}", 1 + n / 24) for n in range(12)]
    office.book(*everything)
    decided = office.plan(office.reading(*everything[gone:]))
    cancels = [c for c in decided.changes if isinstance(c, Cancel)]
    held = [c for c in decided.changes if isinstance(c, Hold)]
    assert (len(cancels), len(held)) == ((gone, 0) if gone <= 10 else (0, gone))
    assert {c.evidence for c in cancels} <= {Evidence.SHOWN}
    assert {h.reason for h in held} <= {Reason.OVER_BUDGET}
    assert len(decided.held) == len(held)


def test_what_was_over_the_budget_stays_held() -> None:
    """Neither new bookings, which raise the share, nor meetings that end release what a person has to see."""
    office = Office()
    office.book(*(event(f"x{n:02}", 1 + n / 24) for n in range(12)), event("y", 9))
    many = [event(f"new{n:02}", 3 + n / 24) for n in range(40)]
    assert len(office.cycle(office.reading(*many, event("y", 9))).held) == 12
    assert len(office.live) == 53  # 30 % of them are 15
    assert len(office.cycle(office.reading(*many, event("y", 9))).held) == 12
    office.now = NOW + DAY + timedelta(hours=6)
    later = office.cycle(office.reading(*many))
    assert [c.booking.key.uid for c in later.changes if isinstance(c, Cancel)] == ["y"]
    assert len(later.held) == 6
    office.approved = frozenset({later.held_checksum or ""})
    assert len(office.cycle(office.reading(*many)).writes) == 6


def test_the_budget_of_one_source_is_not_that_of_another() -> None:
    """A source over its budget does not hold the cancels of another."""
    office = Office(sources=("one", "two"))
    many = [event(f"x{n:02}", 1 + n / 24) for n in range(12)]
    office.cycle(
        office.reading(*many),
        office.reading(event("y", 3), event("z", 4), source="two"),
    )
    decided = office.plan(
        office.reading(many[0]), office.reading(event("z", 4), source="two")
    )
    assert told(decided).count(("cancel", "y", "event_gone")) == 1
    assert len(decided.held) == 11


def test_what_is_told_or_approved_spends_no_budget() -> None:
    """A spent budget holds neither a STATUS:CANCELLED, nor a shortened series, nor an approved set."""
    office = Office(safety=Safety(cancel_floor=0, cancel_share=0))
    office.book(
        event("x"),
        event("s", 2, original=2),
        event("s", 3, original=3),
        event("y", 4),
        OTHER,
    )
    reading = office.reading(
        event("x", cancelled=True), event("s", 2, original=2), OTHER
    )
    decided = office.plan(reading)
    assert told(decided) == [
        ("cancel", "x", "event_cancelled"),
        ("cancel", "s", "occurrence_removed"),
        ("hold", "y", "over_budget"),
    ]
    office.approved = frozenset({decided.held_checksum or ""})
    approved = office.plan(reading)
    assert {
        c.booking.key.uid: c.evidence for c in approved.changes if isinstance(c, Cancel)
    } == {
        "x": Evidence.TOLD,
        "s": Evidence.TOLD,
        "y": Evidence.APPROVED,
    }
    assert approved.released == decided.held_checksum


# The held set


def test_the_checksum_of_a_held_set_is_its_identity() -> None:
    """Equal sets in any order have one checksum, another set has another, the empty one has none."""
    held = Office().book(event("x"), event("y", 2), event("z", 3))
    assert held_checksum(held) == held_checksum(reversed(held))
    assert held_checksum(
        [replace(b, missed=7, detail="later") for b in held]
    ) == held_checksum(held)
    assert (
        len({held_checksum(held), held_checksum(held[1:]), held_checksum(held[:2])})
        == 3
    )
    assert held_checksum([]) is None
    assert held_checksum([replace(held[0], reservation_id="77")]) != held_checksum(
        held[:1]
    )


def test_an_approval_releases_exactly_the_set_that_was_shown() -> None:
    """The approved set is cancelled; one booking more or less, and it needs a new yes."""
    office = Office(safety=Safety(cancel_floor=0, cancel_share=0))
    office.book(event("x"), event("y", 2), event("z", 3))
    two_gone = office.plan(office.reading(event("z", 3)))
    assert len(two_gone.held) == 2
    office.approved = frozenset({two_gone.held_checksum or ""})
    for changed in (
        office.reading(event("y", 2), event("z", 3)),
        office.reading(event("n", 9)),
    ):
        decided = office.plan(changed)
        assert not [c for c in decided.changes if isinstance(c, Cancel)]
        assert decided.released is None
    office.now += timedelta(hours=5)
    assert told(office.plan(office.reading(event("z", 3)))) == [
        ("cancel", "x", "over_budget"),
        ("cancel", "y", "over_budget"),
    ]


def test_the_held_checksum_does_not_change_with_time() -> None:
    """The same holds a day later have the checksum that was shown."""
    office = Office(safety=Safety(cancel_floor=0, cancel_share=0))
    office.book(event("x", 5), event("y", 6))
    first = office.cycle(office.reading(event("y", 6)))
    office.now = NOW + DAY
    second = office.cycle(office.reading(event("y", 6)))
    assert first.held_checksum == second.held_checksum is not None
