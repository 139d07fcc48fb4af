"""The generator of the benchmark: an archive is what it says, and an edit changes what it says."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from syncd.core.document import Document
from syncd.core.occurrence import Occurrence, Reading, Timespan, Window
from syncd.ics import Locale
from tests.benchmarks.generator import AHEAD, AS_IT_IS, BEHIND, Archive, Edit
from tests.intake.whole import read

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ARCHIVE = Archive(1000, NOW)


def written(folder: Path, edit: Edit = AS_IT_IS, archive: Archive = ARCHIVE) -> bytes:
    """The calendar of an archive after an edit."""
    file = folder / "office.ics"
    archive.write(file, edit)
    return file.read_bytes()


def events(calendar: bytes) -> list[bytes]:
    """The VEVENTs, as written."""
    return re.findall(rb"BEGIN:VEVENT\r\n.*?END:VEVENT\r\n", calendar, re.DOTALL)


def understood(
    calendar: bytes, *, ahead: timedelta = timedelta(days=30), at: datetime = NOW
) -> Reading:
    """What syncd makes of a calendar."""
    return read(
        [Document("office.ics", calendar)],
        source="office",
        scope="",
        locale=Locale(ZoneInfo("Europe/Berlin"), None, {}),
        window=Window.ahead(at, ahead),
        at=at,
    )


def everything(calendar: bytes) -> tuple[Occurrence, ...]:
    """All occurrences of all the years."""
    return understood(calendar, at=NOW - BEHIND, ahead=BEHIND + AHEAD).occurrences


def test_the_kinds_of_events_have_their_shares(tmp_path: Path) -> None:
    """13.9 % of the VEVENTs recur, 6.7 % replace a date, five zones are defined, one from 1601."""
    calendar = written(tmp_path)
    found = events(calendar)
    assert (
        len(found)
        == ARCHIVE.events
        == ARCHIVE.series + ARCHIVE.overrides + ARCHIVE.singles
    )
    assert sum(b"\nRRULE:" in one for one in found) == ARCHIVE.series == 139
    assert sum(b"\nRECURRENCE-ID;" in one for one in found) == ARCHIVE.overrides == 67
    assert calendar.count(b"BEGIN:VTIMEZONE") == 5
    assert b"DTSTART:16010101T" in calendar


def test_an_event_is_as_large_and_as_full_as_in_an_office(tmp_path: Path) -> None:
    """An event has about 1.5 kB, 3 to 8 ATTENDEEs, one ATTACH, one VALARM; text is not all ASCII."""
    found = events(written(tmp_path))
    assert 1400 < sum(map(len, found)) / len(found) < 1600
    attendees = Counter(one.count(b"\nATTENDEE;") for one in found)
    assert set(attendees) == set(range(3, 9))
    assert all(
        one.count(b"\nATTACH;") == one.count(b"BEGIN:VALARM") == 1 for one in found
    )
    assert sum(not one.isascii() for one in found) > 900
    assert (
        sum(bool(re.search(rb"\nUID:[^\r\n]+\r\n [0-9A-F]", one)) for one in found)
        > 200
    )


def test_no_line_is_longer_than_75_octets(tmp_path: Path) -> None:
    """Long lines are folded, between characters: every line is UTF-8 by itself."""
    for line in written(tmp_path).split(b"\r\n"):
        assert len(line) <= 75
        line.decode()


def test_the_same_seed_gives_the_same_calendar(tmp_path: Path) -> None:
    """Two archives of one seed are equal byte by byte, those of another seed or name are not."""
    calendar = written(tmp_path)
    assert written(tmp_path, archive=Archive(1000, NOW)) == calendar
    assert written(tmp_path, archive=Archive(1000, NOW, seed=2)) != calendar
    uids = re.findall(rb"\nUID:(.*(?:\r\n .*)*)", calendar)
    others = re.findall(
        rb"\nUID:(.*(?:\r\n .*)*)",
        written(tmp_path, archive=Archive(1000, NOW, name="b")),
    )
    assert not set(uids) & set(others)


def test_it_is_read_without_a_defect(tmp_path: Path) -> None:
    """Every UID is understood, whether it is over or not, and nothing is left to remark."""
    reading = understood(written(tmp_path), at=NOW - BEHIND, ahead=BEHIND + AHEAD)
    assert (reading.defects, reading.notes, reading.error) == ((), (), None)
    assert reading.events == ARCHIVE.events
    assert (
        len({o.key.uid for o in reading.occurrences})
        == ARCHIVE.series + ARCHIVE.singles
    )


def test_every_override_replaces_a_date_of_its_series(tmp_path: Path) -> None:
    """Without its overrides a calendar has as many occurrences, and other ones only where they were."""
    calendar = written(tmp_path)
    overrides = [one for one in events(calendar) if b"\nRECURRENCE-ID;" in one]
    bare = calendar
    for one in overrides:
        bare = bare.replace(one, b"")
    with_them = {o.key: (o.when, o.summary) for o in everything(calendar)}
    without = {o.key: (o.when, o.summary) for o in everything(bare)}
    assert with_them.keys() == without.keys()
    assert sum(with_them[key] != without[key] for key in without) == ARCHIVE.overrides


def test_a_few_per_cent_lie_within_thirty_days(tmp_path: Path) -> None:
    """It is an archive: nearly all is over, and some is to come."""
    reading = understood(written(tmp_path))
    coming = [
        o for o in reading.occurrences if _span(o).start < NOW + timedelta(days=30)
    ]
    assert 0.02 < len(coming) / ARCHIVE.events < 0.10


@pytest.mark.parametrize(
    "edit", [AS_IT_IS, Edit(changed=frozenset(range(1000)))], ids=["as-it-is", "edited"]
)
def test_no_two_meetings_in_one_room_overlap(tmp_path: Path, edit: Edit) -> None:
    """All of it can be booked, also after every event was edited."""
    by_room: dict[str, list[Timespan]] = {}
    for occurrence in everything(written(tmp_path, edit)):
        by_room.setdefault(occurrence.location, []).append(_span(occurrence))
    assert set(by_room) <= {room.name for room in ARCHIVE.rooms}
    for spans in by_room.values():
        spans.sort(key=lambda span: span.start)
        assert all(one.end <= other.start for one, other in pairwise(spans))


def test_nothing_takes_place_in_the_small_hours(tmp_path: Path) -> None:
    """At midnight in UTC no meeting is under way, so that it is a moment at which little changes."""
    for occurrence in everything(written(tmp_path)):
        span = _span(occurrence)
        assert 2 <= span.start.hour < 23
        assert span.start.date() == span.end.date()


@pytest.mark.slow
def test_coming_names_the_single_events_of_the_coming_days(tmp_path: Path) -> None:
    """Editing one of them gives one occurrence of the coming days another summary and a later end."""
    coming = ARCHIVE.coming()
    assert coming
    for number in coming:
        before = {o.key: o for o in understood(written(tmp_path)).occurrences}
        after = {
            o.key: o
            for o in understood(
                written(tmp_path, Edit(changed=frozenset([number])))
            ).occurrences
        }
        assert before.keys() == after.keys()
        (key,) = [key for key in before if before[key] != after[key]]
        assert after[key].summary == f"Changed: {before[key].summary}"
        assert _span(after[key]).start == _span(before[key]).start
        assert _span(after[key]).end == _span(before[key]).end + timedelta(minutes=15)
        assert NOW < _span(after[key]).start < NOW + timedelta(days=30)


def test_changed_events_are_those_and_no_others(tmp_path: Path) -> None:
    """As many VEVENTs as the edit names are others, whatever kind they are."""
    chosen = frozenset([3, 138, 139, 205, 206, 999])
    before, after = (
        events(written(tmp_path)),
        events(written(tmp_path, Edit(changed=chosen))),
    )
    differing = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(differing) == len(chosen)
    assert all(b"\nSUMMARY:Changed: " in new for new in differing)


def test_restamped_changes_every_dtstamp_and_nothing_else(tmp_path: Path) -> None:
    """Without their DTSTAMPs both calendars are equal; each DTSTAMP is another."""
    before, after = written(tmp_path), written(tmp_path, Edit(restamped=True))
    stamp = re.compile(rb"\nDTSTAMP:\d{8}T\d{6}Z")
    assert not set(stamp.findall(before)) & set(stamp.findall(after))
    assert len(stamp.findall(after)) == ARCHIVE.events
    assert stamp.sub(b"", before) == stamp.sub(b"", after)


def test_shuffled_has_the_same_events_in_another_order(tmp_path: Path) -> None:
    """The order differs, what stands there does not."""
    before, after = written(tmp_path), written(tmp_path, Edit(shuffled=True))
    assert before != after
    assert sorted(events(before)) == sorted(events(after))
    assert before.partition(b"BEGIN:VEVENT")[0] == after.partition(b"BEGIN:VEVENT")[0]


def test_a_title_changes_one_line_of_the_header(tmp_path: Path) -> None:
    """Only the name of the calendar is another."""
    before, after = written(tmp_path), written(tmp_path, Edit(title="Head office"))
    changed = [
        (old, new)
        for old, new in zip(before.split(b"\r\n"), after.split(b"\r\n"), strict=True)
        if old != new
    ]
    assert changed == [(b"X-WR-CALNAME:Office", b"X-WR-CALNAME:Head office")]


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 137, 3000])
def test_any_size_reaches_over_all_the_years(tmp_path: Path, count: int) -> None:
    """Archives of any size reach from about five years ago to about a year ahead."""
    archive = Archive(count, NOW)
    calendar = written(tmp_path, archive=archive)
    assert len(events(calendar)) == count
    starts = sorted(_span(o).start for o in everything(calendar))
    assert NOW - BEHIND <= starts[0] < NOW - BEHIND + timedelta(days=365)
    assert NOW < starts[-1] <= NOW + AHEAD + timedelta(days=3)


def _span(occurrence: Occurrence) -> Timespan:
    assert isinstance(occurrence.when, Timespan)
    return occurrence.when
