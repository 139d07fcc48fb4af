"""What is wrong by the status, as alerts about subjects of notices.

A face as others: what needs a person is what the status says, and nothing is judged here but how long it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

from syncd.core.amounts import some
from syncd.core.occurrence import event_key
from syncd.core.reasons import Reason
from syncd.core.subject import Alert, SubjectKind
from syncd.notices.decisions import Observation
from syncd.views.concerns import Concern, ConcernKind
from syncd.views.status import SourceStatus, Status

# What a source has to fail, and for how long, until it is told: most failures pass by themselves.
_FAILURES = 3
_FAILING_FOR = timedelta(minutes=10)


def observed(status: Status, *, is_writing: bool = False) -> Observation:
    """Return the alerts of a status, and from when what they rest on is.

    `is_writing`: cycles go on with what one of them left, and what they find refused is told together.
    """
    alerts = {alert.name: alert for alert in _alerts(status)}
    for name, alert in alerts.items():
        if is_writing and alert.kind is SubjectKind.REFUSED:
            alerts[name] = replace(alert, is_due=False)
    readings: dict[str, datetime] = {}
    for source in status.sources:
        if source.last_read_at is not None:
            readings[source_subject(source.name)] = source.last_read_at
    cycle = status.last_cycle
    return Observation(
        now=status.now,
        alerts=alerts,
        cycle_at=cycle.ended_at if cycle else status.now,
        readings=readings,
    )


def source_subject(name: str) -> str:
    """Return the name of the subject that a source is."""
    return f"source/{name}"


def _alerts(status: Status) -> Iterator[Alert]:
    sources = {source.name: source for source in status.sources}
    for concern in status.concerns:
        if concern.kind is ConcernKind.SOURCE:
            yield _of_source(concern, sources[concern.source or ""], status.now)
        elif concern.kind in _OTHERS:
            alert = _OTHERS[concern.kind](concern, status)
            if alert is not None:
                yield alert


def _of_source(concern: Concern, source: SourceStatus, now: datetime) -> Alert:
    since = source.failing_since or now
    lasts = now - since >= _FAILING_FOR
    return Alert(
        name=source_subject(source.name),
        kind=SubjectKind.SOURCE,
        title=f"Source {source.name} cannot be read",
        detail=concern.detail,
        command=concern.command,
        reason="unreadable",
        since=since,
        is_due=lasts and source.failures >= _FAILURES,
        place=f"/source/{quote(source.name, safe='')}",
        source=source.name,
    )


def _alone(kind: SubjectKind, title: str) -> Callable[[Concern, Status], Alert]:
    """Return what makes an alert of a concern that there is once at most."""

    def alert(concern: Concern, status: Status) -> Alert:
        return Alert(
            name=kind.value,
            kind=kind,
            title=title,
            detail=concern.detail,
            command=concern.command,
            reason=concern.reason or concern.kind.value,
            since=concern.since or status.now,
        )

    return alert


def _held(concern: Concern, status: Status) -> Alert:
    number = status.held.cancellations
    return Alert(
        name=SubjectKind.HELD.value,
        kind=SubjectKind.HELD,
        title=f"{some(number, 'cancellation')} held",
        detail=concern.detail,
        command=concern.command,
        reason=concern.kind.value,
        since=status.now,
        fingerprint=status.held.checksum or "",
        number=number,
        place="/plan",
    )


def _vanished(concern: Concern, status: Status) -> Alert:
    number = status.vanished
    return Alert(
        name=SubjectKind.VANISHED.value,
        kind=SubjectKind.VANISHED,
        title=f"{some(number, 'reservation')} gone from Tuya at once",
        detail=concern.detail,
        command=concern.command,
        reason=Reason.VANISHED.value,
        since=status.now,
        number=number,
    )


def _doubt(concern: Concern, status: Status) -> Alert:
    return _of_meeting(
        concern,
        SubjectKind.DOUBT,
        "booking in doubt",
        status,
        is_due=concern.is_critical,
    )


def _refused(concern: Concern, status: Status) -> Alert:
    return _of_meeting(concern, SubjectKind.REFUSED, "booking refused", status)


def _of_meeting(
    concern: Concern,
    kind: SubjectKind,
    noun: str,
    status: Status,
    *,
    is_due: bool = True,
) -> Alert:
    uid = concern.uid or ""
    _, _, rest = (concern.key or "").removeprefix(uid).partition("/")
    recurrence_id, _, _ = rest.partition("/")
    return Alert(
        name=f"booking/{concern.key}/{kind.value}",
        kind=kind,
        title=f"1 {noun}",
        detail=concern.detail,
        command=concern.command,
        reason=concern.reason or concern.kind.value,
        since=concern.since or status.now,
        is_due=is_due,
        place=f"/event/{event_key(uid)}",
        uid=uid,
        recurrence_id=recurrence_id,
        source=concern.source or "",
        room_id=concern.room_id or "",
        topic=concern.title,
        start=concern.start,
        end=concern.end,
    )


def _in_tuya(concern: Concern, status: Status) -> Alert | None:
    """Return the alert of a meeting that is booked twice; None for what else stands in Tuya."""
    if concern.reason != Reason.DUPLICATE.value:
        return None
    return Alert(
        name=f"reservation/{concern.key}",
        kind=SubjectKind.DUPLICATE,
        title="1 meeting booked twice",
        detail=f"{concern.title}: {concern.detail}",
        command=concern.command,
        reason=concern.reason,
        since=status.now,
    )


_OTHERS: Mapping[ConcernKind, Callable[[Concern, Status], Alert | None]] = {
    ConcernKind.API: _alone(SubjectKind.API, "The API cannot be used"),
    ConcernKind.CLOCK: _alone(SubjectKind.CLOCK, "The clock of this machine is wrong"),
    ConcernKind.CONFIGURATION: _alone(
        SubjectKind.CONFIGURATION, "The configuration is refused"
    ),
    ConcernKind.DOUBT: _doubt,
    ConcernKind.REFUSED: _refused,
    ConcernKind.VANISHED: _vanished,
    ConcernKind.HELD: _held,
    ConcernKind.IN_TUYA: _in_tuya,
}
