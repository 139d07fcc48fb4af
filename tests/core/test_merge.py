"""One meeting in several calendars: which copy decides, which one is only heard, and who shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from syncd.core.deciding_copy import Decider, decide
from syncd.core.merge import Witnessed, merge
from syncd.core.occurrence import (
    Authority,
    Occurrence,
    OccurrenceKey,
    Presence,
    Reading,
    Timespan,
    Window,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window.ahead(NOW, timedelta(days=30))
COPY = Occurrence(
    key=OccurrenceKey("", "meeting", None),
    source="",
    when=Timespan(NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1)),
    line=1,
)
HERS, NOBODYS, CLAIMED = Authority.ORGANIZER, Authority.NOBODY, Authority.CLAIMED


def copy(
    summary: str,
    *,
    sequence: int = 0,
    modified: int | None = None,
    cancelled: bool = False,
    authority: Authority = Authority.GUEST,
    organizer: str = "alice@example.com",
    explicit: bool = False,
    by_method: bool = False,
    uninvites: bool = False,
) -> Occurrence:
    """A copy of the meeting in a source of its own, known by its summary; `modified` is a day of December."""
    stamp = None if modified is None else datetime(2025, 12, modified, tzinfo=UTC)
    return replace(
        COPY,
        source=summary,
        summary=summary,
        sequence=sequence,
        last_modified=stamp,
        cancelled=cancelled,
        authority=authority,
        copy_organizer=(organizer,) if organizer and authority is not NOBODYS else (),
        explicit=explicit,
        by_method=by_method,
        uninvites=uninvites,
    )


def reading(source: str, *occurrences: Occurrence) -> Reading:
    """What a source says."""
    return Reading(
        source=source, at=NOW, window=WINDOW, digest=source, occurrences=occurrences
    )


def chosen(
    *copies: Occurrence, decider: Occurrence | None = None
) -> tuple[str, str | None]:
    """Which copy decides, and which one calls the meeting off beside it; the same in any order."""
    before = Decider(decider.source, decider.fingerprint) if decider else None
    found = set()
    for order in permutations(copies):
        decision = decide(order, before)
        assert decision is not None
        told_off = decision.told_off.summary if decision.told_off else None
        found.add((decision.occurrence.summary, told_off))
    (said,) = found
    return said


@pytest.mark.parametrize(
    ("wins", "others"),
    [
        (copy("newer", sequence=2), [copy("older", sequence=1, modified=9)]),
        (copy("newer", modified=2), [copy("older", modified=1), copy("unknown")]),
        (copy("hers", authority=HERS), [copy("newer", sequence=5, modified=9)]),
        (copy("hers", authority=HERS, cancelled=True), [copy("live", modified=9)]),
        (
            copy("live", sequence=3),
            [copy("hers", sequence=2, authority=HERS, cancelled=True)],
        ),
        (
            copy("live"),
            [copy("off", modified=1, cancelled=True, organizer="bob@example.com")],
        ),
        (copy("off", sequence=1, cancelled=True), [copy("live", modified=9)]),
        (
            copy("hers now", sequence=1, authority=HERS),
            [copy("hers before", authority=HERS), copy("guest", sequence=2)],
        ),
        (copy("claims", authority=CLAIMED), [copy("newer", sequence=5)]),
        (copy("hers", authority=HERS), [copy("claims", sequence=5, authority=CLAIMED)]),
        (
            copy("with people"),
            [copy("busy", sequence=9, modified=9, authority=NOBODYS)],
        ),
        (copy("date", explicit=True), [copy("series", modified=9)]),
    ],
    ids=[
        "higher SEQUENCE",
        "later LAST-MODIFIED",
        "organizer before a higher SEQUENCE",
        "organizer who cancelled",
        "organizer who cancelled before",
        "live one of equals",
        "newer cancellation",
        "organizer's newer copy",
        "its own word at the first reading",
        "the administrator's word before that",
        "a copy without people is a witness only",
        "what says the date before what computes it",
    ],
)
def test_the_first_reading(wins: Occurrence, others: list[Occurrence]) -> None:
    """Where none decided yet, the copy that decides is the same in any order of the sources."""
    assert chosen(wins, *others)[0] == wins.summary


DECIDES = copy("decides", sequence=1)


@pytest.mark.parametrize(
    "rival",
    [
        copy("equal", sequence=1, modified=9),
        copy("older", sequence=0),
        copy("anybody", sequence=999, organizer=""),
        copy("another organizer", sequence=999, organizer="mallory@example.com"),
        copy("claims to be hers", sequence=1, authority=CLAIMED),
        copy("busy", sequence=999, authority=NOBODYS),
        copy("its date alone", sequence=1, explicit=True),
        copy(
            "her own meeting",
            sequence=999,
            authority=HERS,
            organizer="mallory@example.com",
        ),
    ],
    ids=lambda rival: rival.summary,
)
def test_the_copy_that_decides_goes_on_deciding(rival: Occurrence) -> None:
    """Neither a later change, nor a number without the same organizer, nor its own claim takes over."""
    assert chosen(DECIDES, rival, decider=DECIDES) == ("decides", None)


@pytest.mark.parametrize(
    "rival",
    [
        copy("later revision", sequence=2),
        copy("hers", authority=HERS),
    ],
    ids=lambda rival: rival.summary,
)
def test_what_takes_over(rival: Occurrence) -> None:
    """A higher SEQUENCE of one organizer does, and the organizer's own copy."""
    assert chosen(DECIDES, rival, decider=DECIDES) == (rival.summary, None)


@pytest.mark.parametrize(
    "rival",
    [
        copy("higher", sequence=2, cancelled=True),
        copy("anybody", sequence=999, cancelled=True, organizer=""),
        copy("method", sequence=1, cancelled=True, by_method=True),
        copy("later", sequence=1, modified=9, cancelled=True),
        copy("uninvites", sequence=2, uninvites=True),
        copy("equal", sequence=1, cancelled=True),
        copy(
            "equal of others",
            sequence=1,
            modified=9,
            cancelled=True,
            organizer="bob@example.com",
        ),
        copy("claims", sequence=1, cancelled=True, authority=CLAIMED),
        copy("busy", sequence=9, cancelled=True, authority=NOBODYS),
        copy(
            "her own meeting",
            sequence=9,
            cancelled=True,
            authority=HERS,
            organizer="mallory@example.com",
        ),
    ],
    ids=lambda rival: rival.summary,
)
def test_a_cancel_of_another_copy_is_for_a_person(rival: Occurrence) -> None:
    """While the copy that decides shows the meeting alive, a cancel by another one is not believed."""
    assert chosen(DECIDES, rival, decider=DECIDES) == ("decides", rival.summary)


@pytest.mark.parametrize(
    "rival",
    [
        copy("older", sequence=0, cancelled=True),
        copy("older by its time", sequence=1, modified=3, cancelled=True),
        copy("uninvited before", sequence=1, uninvites=True),
    ],
    ids=lambda rival: rival.summary,
)
def test_an_older_cancel_is_of_the_past(rival: Occurrence) -> None:
    """What is older than the copy that decides is no matter for a person."""
    decides = replace(DECIDES, last_modified=datetime(2025, 12, 5, tzinfo=UTC))
    assert chosen(decides, rival, decider=decides) == ("decides", None)


def test_the_organizers_copy_is_not_cancelled_by_a_guest() -> None:
    """A guest's cancel of the same or a later SEQUENCE may be the organizer's, so a person is asked."""
    hers = copy("hers", sequence=1, authority=HERS)
    guests = copy("guest", sequence=1, modified=9, cancelled=True, by_method=True)
    for sequence, told_off in ((0, None), (1, "guest"), (2, "guest")):
        assert chosen(hers, replace(guests, sequence=sequence)) == ("hers", told_off)


def test_a_cancel_by_the_copy_that_decides_is_told() -> None:
    """The deciding copy cancels although others still show the meeting; nobody has to approve that."""
    off = replace(DECIDES, cancelled=True)
    assert chosen(off, copy("guest", sequence=1), decider=DECIDES) == ("decides", None)


def test_the_same_source_goes_on_with_another_content() -> None:
    """The copy that decided and changed since is known by its source."""
    edited = replace(DECIDES, description="changed")
    assert chosen(edited, copy("rival", sequence=1, modified=9), decider=DECIDES) == (
        "decides",
        None,
    )


def test_of_two_copies_in_one_source_the_one_that_decided() -> None:
    """In a directory the file whose content is booked goes on deciding."""
    other = replace(copy("other", sequence=1, modified=9), source="decides")
    assert chosen(DECIDES, other, decider=DECIDES) == ("decides", None)
    assert chosen(DECIDES, other, decider=other) == ("other", None)


def merged(
    *readings: Reading, owners: frozenset[str] = frozenset()
) -> tuple[Witnessed, ...]:
    """What some readings come to, of which none decided before."""
    return merge({reading.source: reading for reading in readings}, owners=owners)


def test_equal_copies_by_configuration() -> None:
    """Between equal copies the source that comes first in the configuration decides; all are witnesses."""
    first, second = copy("first"), copy("second")
    (seen,) = merged(reading("first", first), reading("second", second))
    assert (seen.occurrence, seen.witnesses) == (first, ("first", "second"))
    (seen,) = merged(reading("second", second), reading("first", first))
    assert (seen.occurrence, seen.witnesses) == (second, ("second", "first"))


def test_a_claim_does_not_count_where_the_administrator_named_a_calendar() -> None:
    """A calendar that calls itself hers is anybody's, if another source is said to be hers."""
    claims, guest = copy("claims", authority=CLAIMED), copy("guest", sequence=1)
    readings = (reading("claims", claims), reading("guest", guest))
    assert merged(*readings)[0].occurrence == claims
    assert (
        merged(*readings, owners=frozenset({"alice@example.com"}))[0].occurrence
        == guest
    )


def test_a_copy_without_people_shows_no_date_of_its_own() -> None:
    """An export of busy times decides while it is alone, and adds no date to a meeting that others have."""
    busy = [copy("busy", authority=NOBODYS)]
    busy.append(replace(busy[0], key=OccurrenceKey("", "meeting", "20260104T000000Z")))
    assert [seen.occurrence.source for seen in merged(reading("busy", *busy))] == [
        "busy",
        "busy",
    ]
    (seen,) = merged(reading("busy", *busy), reading("guest", copy("guest")))
    assert (seen.occurrence.source, set(seen.witnesses)) == ("guest", {"busy", "guest"})


FIRST, SECOND, THIRD = ("20260103T000000Z", "20260104T000000Z", "20260105T000000Z")


def series(source: str, *dates: str, document: str = "", **said: Any) -> Reading:
    """What a source says that has the series with these dates, by recurrence id."""
    one = replace(copy(source, **said), document=document)
    occurrences = [
        replace(one, key=OccurrenceKey("", "meeting", date)) for date in dates
    ]
    return replace(reading(source, *occurrences), presence={"meeting": Presence.SERIES})


def dates(
    *readings: Reading, by: Reading | None = None, of: int = 1
) -> dict[str | None, str]:
    """The dates of the series, each with who decides it; the first dates of `by` were decided before."""
    known = {
        o.key: Decider(o.source, o.fingerprint, o.document)
        for o in (by.occurrences[:of] if by else ())
    }
    found = merge({r.source: r for r in readings}, lambda _uids: known)
    return {seen.occurrence.key.recurrence_id: seen.occurrence.source for seen in found}


def test_a_date_that_the_deciding_copy_takes_off_is_off() -> None:
    """A guest's calendar that still has it, or has others, adds no date to a meeting of somebody else."""
    now = series("decides", FIRST, THIRD, sequence=1)
    for other in (
        series("stale", FIRST, SECOND, THIRD),
        series("equal", FIRST, SECOND, sequence=1),
        series("anybody", SECOND, sequence=999, organizer=""),
        series("another", SECOND, sequence=999, organizer="mallory@example.com"),
        series(
            "her own",
            SECOND,
            sequence=999,
            organizer="mallory@example.com",
            authority=HERS,
        ),
    ):
        assert dates(now, other, by=now) == {FIRST: "decides", THIRD: "decides"}


def test_a_new_date_is_decided_by_the_copy_that_decides_the_others() -> None:
    """A date that nobody decided yet, because it entered the horizon, is not free for the taking."""
    now = series("decides", FIRST, SECOND, sequence=1)
    other = series("anybody", FIRST, SECOND, sequence=999, organizer="")
    assert dates(now, other, by=now) == {FIRST: "decides", SECOND: "decides"}


def test_a_new_date_that_is_cancelled_in_a_later_revision_is_not_booked() -> None:
    """Before anything is booked for a date, a later cancel of the same organizer costs nobody a room."""
    now, later = (
        series("decides", FIRST, SECOND, sequence=1),
        series("later", SECOND, sequence=2),
    )
    off = replace(
        later, occurrences=tuple(replace(o, cancelled=True) for o in later.occurrences)
    )
    assert dates(now, off, by=now) == {FIRST: "decides", SECOND: "later"}


def test_a_later_revision_of_the_organizer_adds_dates() -> None:
    """A copy with a higher SEQUENCE of the same ORGANIZER takes over, also where it has more dates."""
    now, later = (
        series("decides", FIRST, sequence=1),
        series("later", FIRST, SECOND, sequence=2),
    )
    assert dates(now, later, by=now) == {FIRST: "later", SECOND: "later"}


@pytest.mark.parametrize(
    ("sequence", "organizer", "shown"),
    [(2, "boss@example.com", False), (1, "boss@example.com", True), (2, "", True)],
)
def test_when_all_is_over_the_latest_revision_tells_what_there_is(
    sequence: int, organizer: str, *, shown: bool
) -> None:
    """A single meeting that became a series is not booked again by an old copy when the series is called off.

    Both copies decided once; without a later revision of one organizer neither denies what the other has.
    """
    single = reading("old", copy("old", sequence=1, organizer="boss@example.com"))
    called_off = series(
        "new", FIRST, SECOND, sequence=sequence, organizer=organizer, cancelled=True
    )
    known = {
        o.key: Decider(o.source, o.fingerprint, o.document, past=True)
        for said in (single, called_off)
        for o in said.occurrences
    }
    found = merge({"old": single, "new": called_off}, lambda _uids: known)
    assert (None in {seen.occurrence.key.recurrence_id for seen in found}) is shown


def test_when_all_is_over_nobody_else_takes_a_date_over() -> None:
    """Who decided before decides about further dates, though a later revision speaks of a single one."""
    first = series("first", FIRST, SECOND, THIRD, sequence=2)
    moved = copy("moved", sequence=5, explicit=True)
    moved = replace(moved, key=OccurrenceKey("", "meeting", SECOND))
    later = replace(reading("moved", moved), presence={"meeting": Presence.DETACHED})
    stranger = series("stranger", THIRD, sequence=9, organizer="mallory@example.com")
    said = (first, later, stranger)
    known = {
        o.key: Decider(o.source, o.fingerprint, o.document, past=True)
        for o in (first.occurrences[0], moved)
    }
    found = merge({r.source: r for r in said}, lambda _uids: known)
    deciding = {seen.occurrence.key.recurrence_id: seen.occurrence for seen in found}
    assert deciding[THIRD].source == "first"


def test_the_organizers_own_calendar_decides_the_dates() -> None:
    """What stands in it is not doubted by a higher SEQUENCE, whoever decided until now."""
    hers = series("hers", FIRST, sequence=1, authority=HERS)
    guests = series("guest", FIRST, SECOND, sequence=9)
    assert dates(hers, guests, by=guests, of=2) == {FIRST: "hers"}
    assert dates(hers, guests) == {FIRST: "hers"}


def test_who_cannot_tell_denies_no_date() -> None:
    """Copies of single dates, those not read as a whole, and those that do not reach so far are silent."""
    both = {FIRST: "decides", SECOND: "stale"}
    whole, other = series("decides", FIRST, sequence=1), series("stale", FIRST, SECOND)
    single = replace(whole, presence={"meeting": Presence.DETACHED})
    single = replace(
        single, occurrences=tuple(replace(o, explicit=True) for o in whole.occurrences)
    )
    near = replace(whole, window=Window.ahead(NOW, timedelta(days=-5)))
    for now in (single, replace(whole, error="cut"), near):
        assert dates(now, other, by=now) == both
    assert dates(whole, other, by=whole) == {FIRST: "decides"}


def test_of_two_files_of_a_directory_the_one_that_decided_goes_on() -> None:
    """An edit of the file that decides is its own, whatever another file of the directory says meanwhile."""
    before = replace(copy("x", sequence=1), source="files", document="team.ics")
    edited = replace(before, summary="y", sequence=2)
    for other in (
        replace(
            copy("other", sequence=999, organizer=""),
            source="files",
            document="other.ics",
        ),
        replace(
            copy("off", sequence=999, cancelled=True),
            source="files",
            document="other.ics",
        ),
    ):
        decision = decide(
            [other, edited], Decider("files", before.fingerprint, "team.ics")
        )
        assert decision is not None
        assert decision.occurrence == edited


def test_meetings_stay_apart() -> None:
    """Each key is one meeting, sorted, and a source without it is no witness of it."""
    other = replace(copy("b"), key=OccurrenceKey("", "another", None))
    found = merged(reading("a", copy("a")), reading("b", other))
    assert [(seen.occurrence.key.uid, seen.witnesses) for seen in found] == [
        ("another", ("b",)),
        ("meeting", ("a",)),
    ]


def test_whose_copy_it_is_changes_no_content() -> None:
    """The fingerprint of a meeting is that of its content, whoever's calendar showed it."""
    assert (
        copy("a").fingerprint
        == copy("a", authority=HERS, sequence=3, explicit=True).fingerprint
    )
