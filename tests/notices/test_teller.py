"""What is told of real cycles: sources, the API, what is held, refused or in doubt, and the configuration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.conftest import Office, ahead, event
from tests.notices.telling import DAY, MINUTE, telling


def test_a_source_is_told_after_three_failures_and_ten_minutes(office: Office) -> None:
    """Both have to be so; its end is told after two complete readings, with how long it was away."""
    office.write(event("a", ahead(2)))
    with telling(office) as told:
        told.cycle()
        office.calendar_file.rename(office.folder / "away")
        for _ in range(4):
            told.cycle()
        assert told.take_types() == [], "four failures within four minutes"
        told.look(after=8 * MINUTE)
        (failing,) = told.take_told()
        assert failing["type"] == "syncd.source.failing"
        assert failing["data"]["subject"] == "source/office"
        assert "office.ics does not exist" in failing["data"]["detail"]
        assert failing["data"]["command"] == "syncd doctor --source office"
        (office.folder / "away").rename(office.calendar_file)
        told.cycle()
        assert told.take_types() == []
        told.cycle()
        (recovered,) = told.take_told()
        assert recovered["type"] == "syncd.source.recovered"
        assert recovered["data"]["duration_seconds"] == pytest.approx(12 * 60, abs=30)


@pytest.mark.slow
def test_two_failures_over_hours_are_not_told(office: Office) -> None:
    """A source that is read rarely has to fail three times too."""
    office.write(event("a", ahead(2)))
    with telling(office) as told:
        told.cycle()
        office.calendar_file.unlink()
        told.cycle(after=timedelta(hours=1))
        told.cycle(after=timedelta(hours=1))
        assert told.take_types() == []
        told.cycle(after=timedelta(hours=1))
        assert told.take_types() == ["syncd.source.failing"]


def test_what_is_refused_is_told_with_what_is_in_the_way(office: Office) -> None:
    """All of a cycle together, once, with the room, the time and the other reservation; nobody by name."""
    office.write(
        event("first", ahead(2), 600, "SUMMARY:Dismissal of Bob"),
        event("second", ahead(2, 10), 20, "SUMMARY:Secret"),
        event("third", ahead(2, 11), 20, "SUMMARY:Secret"),
    )
    with telling(office) as told:
        told.cycle()
        (refused,) = told.take_told()
        assert refused["type"] == "syncd.bookings.refused"
        data = refused["data"]
        assert (data["title"], data["count"]) == ("2 bookings refused", 2)
        (holder,) = office.reservations()
        for subject in data["subjects"]:
            assert subject["room"] == "Small meeting room"
            assert subject["blocked_by"] == holder["reservation_id"]
            assert subject["reason"] == "room_conflict"
            assert subject["command"] == f"syncd explain {subject['uid']}"
        assert "Bob" not in str(refused)
        assert "Secret" not in str(refused)
        told.cycle()
        assert told.take_types() == []


@pytest.mark.slow
def test_who_asked_for_a_refused_meeting_is_told_if_that_is_wished(
    office: Office,
) -> None:
    """With notices.private the topic and the organizer's address stand there; masked meetings stay masked."""
    organizer = "ORGANIZER:mailto:alice@example.com"
    office.write(
        event("first", ahead(2), 600, "SUMMARY:Board"),
        event("second", ahead(2, 10), 20, "SUMMARY:Talk", organizer),
        event("third", ahead(2, 11), 20, "SUMMARY:Doctor", "CLASS:PRIVATE"),
    )
    with telling(office, "private = true") as told:
        told.cycle()
        (refused,) = told.take_told()
    by_uid = {one["uid"]: one for one in refused["data"]["subjects"]}
    assert by_uid["second"]["topic"] == "Talk"
    assert by_uid["second"]["organizer"] == "alice@example.com"
    assert "(Board)" in by_uid["second"]["detail"]
    assert by_uid["third"]["topic"] == "Private meeting"
    assert "Doctor" not in str(refused)


@pytest.mark.slow
def test_what_somebody_has_seen_is_not_told(office: Office) -> None:
    """What was acknowledged before a look is no news, and its end neither."""
    office.write(event("first", ahead(2), 600), event("second", ahead(2, 10), 20))
    assert office.run("once").code == 1
    assert office.run("ack", "second").code == 0
    with telling(office) as told:
        told.cycle()
        told.cycle()
        assert told.take_types() == []


def test_an_api_that_cannot_be_used_hides_what_follows(office: Office) -> None:
    """It is told at once, refusals wait until it is well, and it is well after two good cycles."""
    office.write(event("first", ahead(2), 600))
    with telling(office) as told:
        told.cycle()
        office.fault("quota:on=any")
        office.write(event("first", ahead(2), 600), event("second", ahead(2, 10), 20))
        told.cycle()
        (unusable,) = told.take_told()
        assert unusable["type"] == "syncd.api.unusable"
        assert unusable["data"]["command"] == "syncd doctor"
        told.cycle()
        office.fault()
        told.cycle()
        assert told.take_types() == [], "the refusal is known, and waits"
        told.cycle()
        assert told.take_types() == ["syncd.api.usable"]
        told.cycle()
        assert told.take_types() == ["syncd.bookings.refused"]


@pytest.mark.slow
def test_held_cancellations_are_told_and_released(office: Office) -> None:
    """At once, with their number and the command; again as another set; and when they were approved."""
    meetings = [event(f"e{n}", ahead(2, 6 + n)) for n in range(8)]
    office.write(*meetings)
    with telling(office) as told:
        told.cycle()
        office.write()
        told.cycle()
        (held,) = told.take_told()
        assert held["type"] == "syncd.cancellations.held"
        assert held["data"]["title"] == "8 cancellations held"
        assert held["data"]["number"] == 8
        command = held["data"]["command"].split()
        assert office.run(*command[1:]).code == 0
        for _ in range(3):
            told.cycle()
        assert told.take_types() == ["syncd.cancellations.released"]
        assert office.reservations() == []


@pytest.mark.slow
def test_doubt_is_told_when_it_lasts(office: Office) -> None:
    """Not before a lost request can no longer arrive; and when it is settled."""
    office.write()
    with telling(office) as told:
        told.cycle()
        office.fault("lost:on=create", "refuse:on=list")
        office.write(event("a", ahead(2)))
        told.cycle()
        told.cycle()
        assert "syncd.booking.doubt" not in told.take_types()
        told.cycle(after=6 * MINUTE)
        doubt = told.take_told()[-1]
        assert doubt["type"] == "syncd.booking.doubt"
        assert (
            doubt["data"]["command"] == "syncd resolve --retry a//1410148741926678528"
        )
        office.fault()
        for _ in range(3):
            told.cycle()
        assert told.take_types() == ["syncd.booking.settled"]
        assert len(office.reservations()) == 1


@pytest.mark.slow
def test_a_meeting_that_is_booked_twice_is_told(office: Office) -> None:
    """Where nothing may be cancelled a second reservation stays, and is told with its identifier."""
    office.change(('mode = "full"', 'mode = "no-cancel"'))
    office.fault("duplicate:on=create,times=1")
    office.write(event("a", ahead(2), room=None))
    with telling(office) as told:
        told.cycle()
        told.cycle(after=2 * timedelta(hours=1))
        (doubled,) = told.take_told()
    assert doubled["type"] == "syncd.booking.duplicate"
    ids = [one["reservation_id"] for one in office.reservations()]
    assert doubled["data"]["subject"].removeprefix("reservation/") in ids


def test_a_refused_configuration_is_told(office: Office) -> None:
    """At once, with what is wrong in it; and when it is good again."""
    office.write(event("a", ahead(2)))
    with telling(office) as told:
        told.cycle()
        told.look(MINUTE, "mode: must be one of observe, full", "another")
        (refused,) = told.take_told()
        assert refused["type"] == "syncd.configuration.refused"
        assert "mode: must be one of" in refused["data"]["detail"]
        told.look()
        told.look()
        assert told.take_types() == ["syncd.configuration.accepted"]


def test_what_is_open_is_told_again_once_a_day(office: Office) -> None:
    """When the working hours begin, worst first, not before; and what a restart knows is not told anew."""
    office.write(event("first", ahead(5), 600), event("second", ahead(5, 10), 20))
    with telling(office) as told:
        told.cycle()
        assert told.take_types() == ["syncd.bookings.refused"]
        told.teller = told.another()
        told.look()
        assert told.take_types() == []
        told.look(after=DAY)
        (digest,) = told.take_told()
        assert digest["type"] == "syncd.digest"
        assert digest["data"]["title"] == "1 matter still open"
        assert digest["data"]["subjects"][0]["uid"] == "second"
        told.look()
        assert told.take_types() == []
        told.look(after=DAY)
        assert told.take_types() == ["syncd.digest"]


@pytest.mark.slow
def test_without_a_channel_nothing_is_remembered(office: Office) -> None:
    """Who configures one later is told what is wrong then."""
    office.write(event("first", ahead(5), 600), event("second", ahead(5, 10), 20))
    with telling(office) as told:
        told.teller._channels = ()
        told.cycle()
        assert told.ledger.notices.subjects() == {}
        told.teller = told.another()
        told.look()
        assert told.take_types() == ["syncd.bookings.refused"]


@pytest.mark.slow
def test_what_is_refused_while_cycles_go_on_is_told_together(office: Office) -> None:
    """As long as cycles leave something to the next one, nothing of it is told; ten minutes at the latest."""
    office.write(event("first", ahead(2), 600), event("second", ahead(2, 10), 20))
    with telling(office) as told:
        told.reconciler.cycle()
        told.teller.note_cycle(goes_on=True)
        told.look()
        assert told.take_types() == []
        told.teller.note_cycle(goes_on=False)
        told.look()
        assert told.take_types() == ["syncd.bookings.refused"]


@pytest.mark.slow
def test_a_hundred_failing_cycles_are_one_notice_and_one_recovery(
    office: Office,
) -> None:
    """However long a source is away within a day, whoever is told hears of it twice."""
    office.write(event("a", ahead(2)))
    with telling(office) as told:
        told.cycle()
        office.calendar_file.rename(office.folder / "away")
        for _ in range(100):
            told.cycle()
        (office.folder / "away").rename(office.calendar_file)
        for _ in range(5):
            told.cycle()
        assert told.take_types() == ["syncd.source.failing", "syncd.source.recovered"]


@pytest.mark.slow
def test_a_day_of_coming_and_going_is_four_notices_and_a_digest(office: Office) -> None:
    """What was not told by notices of its own stands in the digest of the next morning."""
    office.write(event("a", ahead(2)))
    away = office.folder / "away"
    with telling(office) as told:
        told.cycle()
        for _ in range(20):
            office.calendar_file.rename(away)
            for _ in range(4):
                told.cycle(after=6 * MINUTE)
            away.rename(office.calendar_file)
            for _ in range(4):
                told.cycle(after=6 * MINUTE)
        office.calendar_file.rename(away)
        types = told.take_types()
        notices = [one for one in types if one.startswith("syncd.source.")]
        assert len(notices) == 4
        for _ in range(36):
            told.cycle(after=60 * MINUTE)
        assert "syncd.digest" in [*types, *told.take_types()]
