"""What of the things that are wrong is told, when, how often, and together with what."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.subject import FOLLOW_FROM_API, MOST_A_DAY, SubjectKind
from syncd.notices.decisions import NOT_CONFIGURED, digest_moment, digest_of
from tests.notices.building import MINUTE, NOON, Receivers, alert

API, HELD, SOURCE = SubjectKind.API, SubjectKind.HELD, SubjectKind.SOURCE
REFUSED, DOUBT = SubjectKind.REFUSED, SubjectKind.DOUBT
OFFICE, SALES = "source/office", "source/sales"
DAY = timedelta(days=1)


def test_trouble_is_told_once_and_its_end_after_two_good_looks() -> None:
    """The beginning is told at once, not again while it lasts, and the end when a second look confirms it."""
    receivers = Receivers()
    receivers.look(alert())
    assert receivers.take_told() == [(API, True, ("api",))]
    for _ in range(3):
        receivers.look(alert())
    receivers.look()
    assert receivers.take_told() == []
    receivers.look()
    assert receivers.take_told() == [(API, False, ("api",))]
    subject = receivers.known["api"]
    assert subject.lasted == 5 * MINUTE, "until the first of the two looks"
    for _ in range(3):
        receivers.look()
    assert receivers.take_told() == []


def test_one_good_look_between_two_bad_ones_is_no_end() -> None:
    """What comes and goes is told once."""
    receivers = Receivers()
    for _ in range(5):
        receivers.look(alert())
        receivers.look()
    assert receivers.take_told() == [(API, True, ("api",))]


def test_a_look_that_finds_out_nothing_new_is_no_second_look() -> None:
    """Looking again at the same cycle or reading confirms nothing; being well for five minutes does."""
    receivers = Receivers()
    receivers.look(alert())
    receivers.take_told()
    for _ in range(5):
        receivers.look(is_fresh=False, after=timedelta(0))
    assert receivers.take_told() == []
    receivers.look(is_fresh=False, after=5 * MINUTE)
    assert receivers.take_told() == [(API, False, ("api",))]


def test_what_does_not_last_is_not_told() -> None:
    """Trouble below its threshold begins nothing, and keeps open what had begun."""
    receivers = Receivers()
    receivers.look(alert(SOURCE, OFFICE, is_due=False))
    receivers.look()
    assert receivers.take_told() == []
    receivers.look(alert(SOURCE, OFFICE))
    receivers.look()
    receivers.look(alert(SOURCE, OFFICE, is_due=False))
    receivers.look()
    assert receivers.take_told() == [(SOURCE, True, (OFFICE,))]


def test_all_of_a_kind_are_told_together() -> None:
    """One notice a look for what is alike; the worst kind first, ends last."""
    receivers = Receivers()
    receivers.look(alert(SOURCE, OFFICE))
    receivers.take_told()
    receivers.look(after=5 * MINUTE)
    receivers.look(
        alert(SOURCE, SALES),
        alert(REFUSED, "booking/a/refused"),
        alert(REFUSED, "booking/b/refused"),
        alert(HELD),
    )
    assert receivers.take_told() == [
        (HELD, True, ("held",)),
        (REFUSED, True, ("booking/a/refused", "booking/b/refused")),
        (SOURCE, True, (SALES,)),
        (SOURCE, False, (OFFICE,)),
    ]


def test_many_sources_that_fail_one_after_the_other_are_a_few_notices() -> None:
    """The first is told at once, what follows within five minutes together, and so are the ends."""
    receivers = Receivers()
    names = [f"source/s{n}" for n in range(30)]

    def look(failing: list[str]) -> None:
        alerts = [alert(SOURCE, name) for name in failing]
        receivers.look(*alerts, after=MINUTE / 3, sources=names)

    for number in range(1, 31):
        look(names[:number])
    for _ in range(20):
        look(names)
    told = receivers.take_told()
    assert sorted(name for _, _, together in told for name in together) == sorted(names)
    assert len(told) == 3
    assert told[0][2] == ("source/s0",)
    for number in range(1, 60):
        look(names[number:])
    told = receivers.take_told()
    assert sorted(name for _, _, together in told for name in together) == sorted(names)
    assert len(told) <= 4


def test_the_end_of_what_was_refused_is_not_told() -> None:
    """There is no notice that a refused booking is none any more; if it is refused again, that is told."""
    receivers = Receivers()
    receivers.look(alert(REFUSED, "booking/a/refused"))
    receivers.look()
    receivers.look()
    assert receivers.take_told() == [(REFUSED, True, ("booking/a/refused",))]
    assert not receivers.known["booking/a/refused"].is_owed
    receivers.look(alert(REFUSED, "booking/a/refused"))
    assert receivers.take_told() == [(REFUSED, True, ("booking/a/refused",))]


def test_another_held_set_is_told_anew() -> None:
    """The command of the notice before no longer helps; the end is told once, of the whole story."""
    receivers = Receivers()
    receivers.look(alert(HELD, fingerprint="one"))
    receivers.look(alert(HELD, fingerprint="one"))
    receivers.look(alert(HELD, fingerprint="two"))
    receivers.look()
    receivers.look()
    assert [is_bad for _, is_bad, _ in receivers.take_told()] == [True, True, False]


def test_four_notices_a_day_about_one_subject() -> None:
    """The last of them is kept for a good end, and a day later there is room again."""
    receivers = Receivers()
    for number in range(10):
        receivers.look(alert(HELD, fingerprint=str(number)))
    assert len(receivers.take_told()) == MOST_A_DAY - 1
    receivers.look()
    receivers.look()
    assert receivers.take_told() == [(HELD, False, ("held",))]
    receivers.look(alert(HELD, fingerprint="more"))
    assert receivers.take_told() == []
    receivers.look(after=DAY)
    receivers.look()
    receivers.look(alert(HELD, fingerprint="yet more"))
    assert receivers.take_told() == [(HELD, True, ("held",))]


def test_what_follows_from_the_api_is_not_told_while_it_cannot_be_used() -> None:
    """Doubt and refusals wait until the API is known to be well; a failing source does not."""
    receivers = Receivers()
    following = [alert(kind, f"x/{kind.value}") for kind in FOLLOW_FROM_API]
    receivers.look(alert(), *following, alert(SOURCE, OFFICE))
    assert receivers.take_told() == [(API, True, ("api",)), (SOURCE, True, (OFFICE,))]
    receivers.look(*following, alert(SOURCE, OFFICE))
    assert receivers.take_told() == [], "one good look is not enough"
    receivers.look(*following, alert(SOURCE, OFFICE))
    assert receivers.take_told() == [(API, False, ("api",))]
    receivers.look(*following, alert(SOURCE, OFFICE))
    assert {kind for kind, _, _ in receivers.take_told()} == FOLLOW_FROM_API


def test_a_doubt_that_is_settled_while_the_api_is_away_ends_later() -> None:
    """What was told before the API went away is not ended by its absence."""
    receivers = Receivers()
    receivers.look(alert(DOUBT, "booking/a/doubt"))
    receivers.look(alert())
    receivers.look(alert())
    receivers.look(alert())
    told = receivers.take_told()
    assert told == [(DOUBT, True, ("booking/a/doubt",)), (API, True, ("api",))]
    for _ in range(4):
        receivers.look()
    assert receivers.take_told() == [
        (API, False, ("api",)),
        (DOUBT, False, ("booking/a/doubt",)),
    ]


def test_a_source_that_is_no_longer_configured_is_over() -> None:
    """Nobody looks at it any more, so one look is enough."""
    receivers = Receivers()
    receivers.look(alert(SOURCE, OFFICE))
    receivers.look(sources=[SALES])
    assert [is_bad for _, is_bad, _ in receivers.take_told()] == [True, False]
    assert receivers.known[OFFICE].last.reason == NOT_CONFIGURED


def test_the_digest_tells_what_is_open_for_long() -> None:
    """The worst first; not what was told an hour ago alone, and not what follows from the API."""
    receivers = Receivers()
    receivers.look(alert(SOURCE, OFFICE), alert(HELD))
    hour, day = NOON + timedelta(hours=1), NOON + DAY
    assert digest_of(receivers.known.values(), hour) == ()
    told = digest_of(receivers.known.values(), day)
    assert [one.name for one in told] == ["held", OFFICE]
    receivers.look(alert(DOUBT, "booking/a/doubt"), alert(SOURCE, OFFICE), alert(HELD))
    receivers.look(alert(), alert(SOURCE, OFFICE), alert(HELD))
    told = digest_of(receivers.known.values(), day)
    assert [one.name for one in told] == ["api", "held", OFFICE]


def test_the_digest_tells_what_was_one_too_many() -> None:
    """What nobody was told because there had been four stands in the next digest, its end too."""
    receivers = Receivers()
    for _ in range(4):
        receivers.look(alert(SOURCE, OFFICE))
        receivers.look()
        receivers.look()
    told = receivers.take_told()
    assert [is_bad for _, is_bad, _ in told] == [True, False, True, False]
    receivers.look(alert(SOURCE, OFFICE))
    assert receivers.take_told() == []
    (owed,) = digest_of(receivers.known.values(), receivers.now)
    assert (owed.is_open, owed.is_known_open) == (True, False)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-12-01T08:30", "2026-12-01T08:00"),
        ("2026-12-01T07:30", "2026-11-30T08:00"),
        ("2026-12-01T08:00", "2026-12-01T08:00"),
        ("2026-03-29T07:30", "2026-03-29T07:00"),  # summer time began that night
        ("2026-10-25T07:30", "2026-10-24T07:00"),  # and ended in this one
    ],
)
def test_the_digest_comes_at_one_time_of_the_day(now: str, due: str) -> None:
    """It is due at nine in Berlin, whatever that is in UTC."""
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    found = digest_moment(at, time(9), ZoneInfo("Europe/Berlin"))
    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 600)), max_size=60))
def test_whatever_happens_receivers_are_told_little_and_nothing_false(
    looks: list[tuple[bool, int]],
) -> None:
    """Beginnings and ends take turns, at most four a day, and what was told last is so or owed."""
    receivers = Receivers()
    told_at: list[datetime] = []
    for is_wrong, minutes in looks:
        alerts = [alert(SOURCE, OFFICE)] if is_wrong else []
        decided = receivers.look(*alerts, after=timedelta(minutes=minutes))
        told_at += [receivers.now for _ in decided.news]
    told = [is_bad for _, is_bad, _ in receivers.told]
    assert all(one != other for one, other in pairwise(told))
    assert told[:1] in ([], [True])
    for at in told_at:
        within = [other for other in told_at if at <= other < at + DAY]
        assert len(within) <= MOST_A_DAY
    subject = receivers.known.get(OFFICE)
    if subject is not None and not subject.is_owed and told:
        assert told[-1] == subject.is_open
