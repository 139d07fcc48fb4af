"""What needs a person, one entry each, with the reason and the command to type.

Tables, documents and checks render these entries; none of them decides by itself what needs somebody.
"""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from syncd.apply import Oddity
from syncd.core.acknowledged import Acknowledged, Acknowledgement
from syncd.core.backoff import is_stale
from syncd.core.booking import Booking
from syncd.core.reasons import MEANINGS
from syncd.core.resolve import full_name, is_refused
from syncd.ledger import Quarantined
from syncd.ledger.facts import Held
from syncd.ledger.operation import ApiTrouble
from syncd.views.alike import FEW
from syncd.views.choice import by_time
from syncd.views.members import MemberStatus
from syncd.views.typed import as_argument


class ConcernKind(StrEnum):
    """What can need a person, the most urgent first."""

    API = "api_unusable"
    CLOCK = "clock_wrong"
    CONFIGURATION = "configuration_refused"
    MEMBERS = "members_differ"
    DOUBT = "in_doubt"
    VANISHED = "vanished"
    HELD = "held"
    REFUSED = "refused"
    SOURCE = "failing_source"
    QUARANTINED = "quarantined"
    IN_TUYA = "in_tuya"


CONCERN_WORDS = {
    ConcernKind.API: "API",
    ConcernKind.CLOCK: "clock",
    ConcernKind.CONFIGURATION: "configuration",
    ConcernKind.MEMBERS: "members differ",
    ConcernKind.DOUBT: "in doubt",
    ConcernKind.VANISHED: "vanished",
    ConcernKind.HELD: "held",
    ConcernKind.REFUSED: "refused",
    ConcernKind.SOURCE: "failing source",
    ConcernKind.QUARANTINED: "quarantined",
    ConcernKind.IN_TUYA: "in Tuya",
}
"""What the kinds are called, here and in the headings of config/operation.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One thing that needs a person: what, why in a sentence, since when, and the command to type.

    `title` is the topic of a meeting or a clause; `room_id`, `start` and `end` are those of a meeting.
    `key` is what `resolve` and `ack` take; `line` is where an event stands in `document` of its source.
    `is_critical` is what must not wait: monitoring tells it from what may.
    `sent_again_at` is when what is in doubt is sent once more if it is not found by then, None: it is not.
    `meetings` are the first of those that are held.
    `seen_by` is who acknowledged it, and `seen_at` when, if somebody did: then it counts for nothing.
    """

    kind: ConcernKind
    title: str
    detail: str
    command: str
    since: datetime | None = None
    key: str | None = None
    uid: str | None = None
    source: str | None = None
    document: str = ""
    line: int | None = None
    room_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    reason: str = ""
    is_critical: bool = False
    sent_again_at: datetime | None = None
    meetings: tuple[Booking, ...] = ()
    seen_by: str | None = None
    seen_at: datetime | None = None


def sameness_of(concern: Concern) -> tuple[ConcernKind, str, str]:
    """Return what makes concerns so alike that a few of them tell of all."""
    source = concern.source or ""
    if concern.kind is ConcernKind.SOURCE:
        source = ""
    return concern.kind, concern.reason, source


def of_api(trouble: ApiTrouble | None) -> Iterator[Concern]:
    """Yield that the API cannot be used, if it cannot."""
    if trouble is not None:
        yield Concern(
            kind=ConcernKind.API,
            title="The API cannot be used",
            detail=trouble.sentence,
            command="syncd doctor",
            since=trouble.since,
            is_critical=True,
        )


def of_clock(sentence: str, *, is_wrong: bool) -> Iterator[Concern]:
    """Yield that the clock of this machine keeps everything from being written, if it does."""
    if is_wrong:
        yield Concern(
            kind=ConcernKind.CLOCK,
            title="The clock of this machine is wrong",
            detail=sentence,
            command="timedatectl set-ntp true",
            is_critical=True,
        )


def of_members(behind: Sequence[MemberStatus]) -> Iterator[Concern]:
    """Yield that daemons on one ledger go by different configurations or programs, if they do."""
    if behind:
        names = ", ".join(f"{one.name} ({one.version})" for one in behind)
        yield Concern(
            kind=ConcernKind.MEMBERS,
            title="Not all daemons go by the same configuration and version",
            detail=f"{names} go by an earlier one than others, so they neither read nor write: give all the same "
            "configuration file and the same version",
            command="syncd doctor",
        )


def of_configuration(problems: Sequence[str]) -> Iterator[Concern]:
    """Yield that the configuration file cannot be used and another one is in force, if that is so."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        yield Concern(
            kind=ConcernKind.CONFIGURATION,
            title="The configuration file has a mistake; the last good one is in force",
            detail=f"{problems[0]}{more}",
            command="syncd check",
        )


def of_held(held: Held, bookings: Iterable[Booking]) -> Iterator[Concern]:
    """Yield the cancellations that wait for an approval, if there are any; they are among the bookings."""
    if held.checksum is None:
        return
    noun = "cancellation is" if held.cancellations == 1 else "cancellations are"
    meetings = [booking for booking in bookings if booking.is_held]
    sources = sorted({booking.source for booking in meetings})
    reasons = {booking.reason.value for booking in meetings if booking.reason}
    yield Concern(
        kind=ConcernKind.HELD,
        title=f"{held.cancellations} {noun} held",
        detail=" ".join((*_why_held(meetings), _HELD_CURE)),
        command=f"syncd approve {held.checksum}",
        key=held.checksum,
        source=sources[0] if len(sources) == 1 else None,
        reason=reasons.pop() if len(reasons) == 1 else "",
        is_critical=True,
        meetings=tuple(heapq.nsmallest(FEW, meetings, by_time)),
    )


_HELD_CURE = "Look at them with syncd plan --held; approve them, or mend the calendar."


def _why_held(meetings: Iterable[Booking]) -> Iterator[str]:
    """Yield for each source and reason why its meetings are held, and of many how many more there are."""
    found = {
        (one.source, MEANINGS[one.reason]) for one in meetings if one.reason is not None
    }
    told = sorted(found)
    for source, meaning in told[:FEW]:
        yield f"Source {source}: {meaning}"
    if len(told) > FEW:
        yield f"And for {len(told) - FEW} more reasons."


def of_bookings(
    bookings: Iterable[Booking],
    acknowledged: Acknowledged,
    *,
    request_validity: timedelta,
    now: datetime,
) -> Iterator[Concern]:
    """Yield the bookings that are in doubt or refused, and those that vanished as one concern."""
    vanished = 0
    for booking in bookings:
        if booking.in_doubt:
            yield _in_doubt(booking, request_validity, now)
        elif booking.is_vanished:
            vanished += 1
        elif is_refused(booking):
            yield _refused(booking, acknowledged.of_booking(booking))
    if vanished:
        yield _vanished(vanished)


def _in_doubt(booking: Booking, request_validity: timedelta, now: datetime) -> Concern:
    sent_at = booking.attempted_at or now
    key = full_name(booking)
    return _of_booking(
        booking,
        ConcernKind.DOUBT,
        "A request was sent and its answer was lost; syncd settles it by looking in Tuya.",
        f"syncd resolve --retry {as_argument(key)}",
        since=booking.attempted_at,
        is_critical=now - sent_at > request_validity,
        sent_again_at=sent_again_at(booking),
    )


def sent_again_at(booking: Booking) -> datetime | None:
    """Return when a booking in doubt is sent once more, if it is not found by then; None: only looked for."""
    return None if booking.reservation_id else booking.retry_at


def _refused(booking: Booking, seen: Acknowledgement | None) -> Concern:
    return _of_booking(
        booking,
        ConcernKind.REFUSED,
        booking.detail or "The API refused it.",
        f"syncd explain {as_argument(booking.key.uid)}",
        since=booking.updated_at,
        seen=seen,
    )


def _of_booking(
    booking: Booking,
    kind: ConcernKind,
    detail: str,
    command: str,
    *,
    since: datetime | None,
    is_critical: bool = False,
    sent_again_at: datetime | None = None,
    seen: Acknowledgement | None = None,
) -> Concern:
    spec = booking.spec
    return Concern(
        kind=kind,
        title=spec.topic,
        detail=detail,
        command=command,
        since=since,
        key=full_name(booking),
        uid=booking.key.uid,
        source=booking.source,
        room_id=booking.room_id,
        start=spec.start,
        end=spec.end,
        reason=booking.reason.value if booking.reason else "",
        is_critical=is_critical,
        sent_again_at=sent_again_at,
        **_seen(seen),
    )


def _vanished(number: int) -> Concern:
    noun = "reservation is" if number == 1 else "reservations are"
    return Concern(
        kind=ConcernKind.VANISHED,
        title=f"{number} {noun} gone from Tuya at once",
        detail=(
            "So many at once look like another project or a wipe, so nothing is decided about them: "
            "--retry books them again, --drop accepts it."
        ),
        command="syncd resolve --all vanished --retry",
        is_critical=True,
    )


def of_quarantine(
    defects: Iterable[Quarantined], acknowledged: Acknowledged
) -> Iterator[Concern]:
    """Yield the events that cannot be understood; one with several defects once."""
    told: set[tuple[str, str, str, int]] = set()
    for quarantined in defects:
        defect = quarantined.defect
        line = 0 if defect.uid else defect.line
        event = (quarantined.source, defect.document, defect.uid, line)
        if event not in told:
            told.add(event)
            yield _quarantined(quarantined, acknowledged.of_defect(defect))


def _quarantined(quarantined: Quarantined, seen: Acknowledgement | None) -> Concern:
    defect = quarantined.defect
    command = "syncd plan"
    if defect.uid:
        command = f"syncd explain {as_argument(defect.uid)}"
    return Concern(
        kind=ConcernKind.QUARANTINED,
        title=defect.topic or defect.uid or "An event without UID",
        detail=defect.detail,
        command=command,
        since=quarantined.first_seen_at,
        key=defect.uid or None,
        uid=defect.uid or None,
        source=quarantined.source,
        document=defect.document,
        line=defect.line,
        reason=defect.reason.value,
        **_seen(seen),
    )


class _Seen(TypedDict):
    """The fields of a concern that say who acknowledged it."""

    seen_by: str | None
    seen_at: datetime | None


def _seen(seen: Acknowledgement | None) -> _Seen:
    if seen is None:
        return _Seen(seen_by=None, seen_at=None)
    return _Seen(seen_by=seen.acknowledged_by, seen_at=seen.at)


def of_source(
    name: str,
    error: str | None,
    since: datetime | None,
    interval: timedelta,
    now: datetime,
) -> Iterator[Concern]:
    """Yield that a source cannot be read, if it cannot; critical is what was not read for long.

    `since` is when it was read as a whole last, or, if it never was, tried first.
    """
    if error is None:
        return
    yield Concern(
        kind=ConcernKind.SOURCE,
        title=f"Source {name} cannot be read",
        detail=_source_told(error),
        command=f"syncd doctor --source {shlex.quote(name)}",
        since=since,
        source=name,
        is_critical=since is None or is_stale(since, interval, now),
    )


def _source_told(error: str) -> str:
    """Return why a source cannot be read, and that nothing follows from it."""
    if "bookings stay" in error:
        return f"{error}."
    return f"{error}. Its bookings stay as they are."


def of_oddities(oddities: Iterable[Oddity]) -> Iterator[Concern]:
    """Yield what stands in Tuya that a person should look at."""
    for oddity in oddities:
        title = oddity.about[:1].upper() + oddity.about[1:]
        if oddity.reservation_id:
            title = f"Reservation {oddity.reservation_id}"
        yield Concern(
            kind=ConcernKind.IN_TUYA,
            title=title,
            detail=oddity.detail,
            command="syncd plan",
            key=oddity.reservation_id,
            reason=oddity.reason.value,
        )
