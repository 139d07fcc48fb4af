"""Subjects of notices, and the outbox: what is to be told, to whom, and whether it arrived.

What changes about subjects and the notices that tell of it are one transaction.
A notice that arrived is forgotten and counted; one that was given up stays for a while, for whoever asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from syncd.core.subject import Alert, Subject, SubjectKind
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.facts import Fact, Facts, put_fact
from syncd.ledger.gate import WritingGate
from syncd.ledger.measurements import CounterName, Measurements

DIGEST_AT: Fact[datetime] = Fact(
    "digest_at", datetime.isoformat, datetime.fromisoformat
)
"""When it was last looked whether a daily digest is to be sent."""

_GIVEN_UP_KEPT = timedelta(days=30)
_SUBJECT = tables.subjects.c
_NOTICE = tables.outbox.c
_IS_PENDING = text("state = 'pending'")  # literally that of the partial index


class ChannelName(StrEnum):
    """The channels that notices go through."""

    WEBHOOK = "webhook"
    MAIL = "mail"
    COMMAND = "command"
    PING = "ping"


class DeliveryResult(StrEnum):
    """What a try to deliver a notice comes to; the values are those of the metric."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class OutboxNotice:
    """A notice: its identifier, what is sent, and the identifiers of those that it goes on from."""

    name: str
    body: str
    threads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingNotice:
    """A notice on its way through one channel; `tries` did not arrive, the next is due at `next_try_at`."""

    row: int
    notice: OutboxNotice
    made_at: datetime
    tries: int
    next_try_at: datetime
    error: str = ""


class NoticeStore:
    """The store of subjects and of the outbox; may be used from several threads."""

    def __init__(
        self,
        database: Database,
        gate: WritingGate,
        facts: Facts,
        measurements: Measurements,
    ) -> None:
        self._database = database
        self._gate = gate
        self._facts = facts
        self._measurements = measurements

    def subjects(self) -> dict[str, Subject]:
        """Return all subjects that are remembered, by name."""
        with self._database.making_sense("A subject of notices"):
            rows = self._database.mappings(select(tables.subjects))
            return {row["name"]: _subject_of(row) for row in rows}

    def record(
        self,
        changed: Iterable[Subject],
        forgotten: Iterable[str],
        notices: Iterable[OutboxNotice],
        channels: Iterable[str],
        at: datetime,
        digest_at: datetime | None = None,
    ) -> None:
        """Store how subjects stand, and put notices into the outbox of each channel: all or none.

        A notice that is there already is not put there again.
        `digest_at` is when the digest among them was due, if there is one.
        """
        into = list(channels)
        digest_text = ""
        with self._gate.writing() as connection:
            for name in forgotten:
                tables.remove(connection, tables.subjects, {"name": name})
            for subject in changed:
                values = _values_of(subject)
                of_the_name = {"name": values.pop("name")}
                tables.put(connection, tables.subjects, of_the_name, values)
            for notice in notices:
                for channel in into:
                    _put_out(connection, notice, channel, at)
            if digest_at is not None:
                digest_text = put_fact(connection, DIGEST_AT, digest_at)
                is_old = _NOTICE.made_at < at - _GIVEN_UP_KEPT
                connection.execute(delete(tables.outbox).where(is_old))
        if digest_at is not None:
            self._facts.note(DIGEST_AT, digest_text)

    # The outbox

    def pending(self, channel: str) -> tuple[PendingNotice, ...]:
        """Return what is on its way through a channel, oldest first."""
        of_the_channel = select(tables.outbox).where(
            _IS_PENDING, _NOTICE.channel == channel
        )
        rows = self._database.mappings(of_the_channel.order_by(_NOTICE.id))
        return tuple(map(_pending_of, rows))

    def given_up(self, channel: str, since: datetime = tables.EPOCH) -> int:
        """Return how many notices of a channel were given up since a moment and are remembered."""
        query = select(func.count()).where(
            _NOTICE.channel == channel,
            _NOTICE.state == DeliveryResult.GIVEN_UP,
            _NOTICE.next_try_at >= since,
        )
        return int(self._database.scalar(query) or 0)

    def note_arrived(
        self, row: int, channel: str, result: DeliveryResult = DeliveryResult.DELIVERED
    ) -> None:
        """Record that a notice arrived, or that its receiver wants it no more."""
        self.count(channel, result)
        with self._gate.writing() as connection:
            tables.remove(connection, tables.outbox, {"id": row})

    def put_off(self, row: int, channel: str, until: datetime, error: str) -> None:
        """Record that a try failed, and when the next one is due."""
        values = {
            "tries": _NOTICE.tries + 1,
            "next_try_at": until,
            "error": error,
        }
        self.count(channel, DeliveryResult.FAILED)
        self._gate.execute(_of_row(row).values(values))

    def give_up(self, row: int, channel: str, at: datetime, error: str) -> None:
        """Record that the last try failed, and when that was."""
        values = {
            "tries": _NOTICE.tries + 1,
            "next_try_at": at,
            "state": DeliveryResult.GIVEN_UP,
            "error": error,
        }
        self.count(channel, DeliveryResult.GIVEN_UP)
        self._gate.execute(_of_row(row).values(values))

    def make_due(self, at: datetime) -> None:
        """Let all that is on its way be tried at a moment, if that is earlier."""
        waiting = update(tables.outbox).where(_IS_PENDING, _NOTICE.next_try_at > at)
        self._gate.execute(waiting.values(next_try_at=at))

    def count(self, channel: str, result: DeliveryResult) -> None:
        """Count a try; that is on disk with the next write."""
        self._measurements.add(CounterName.NOTICES, channel, result.value)


def _of_row(row: int) -> Any:
    return update(tables.outbox).where(_NOTICE.id == row)


def _put_out(
    connection: Connection, notice: OutboxNotice, channel: str, at: datetime
) -> None:
    is_the_same = (_NOTICE.name == notice.name) & (_NOTICE.channel == channel)
    known = connection.execute(select(_NOTICE.id).where(is_the_same)).first()
    if known is not None:
        return
    row = {
        "name": notice.name,
        "channel": channel,
        "body": notice.body,
        "threads": " ".join(notice.threads),
        "made_at": at,
        "tries": 0,
        "next_try_at": at,
        "state": "pending",
        "error": "",
    }
    connection.execute(insert(tables.outbox).values(row))


def _pending_of(row: RowMapping) -> PendingNotice:
    threads = tuple(row["threads"].split())
    return PendingNotice(
        row=row["id"],
        notice=OutboxNotice(row["name"], row["body"], threads),
        made_at=row["made_at"],
        tries=row["tries"],
        next_try_at=row["next_try_at"],
        error=row["error"],
    )


# Subjects


def _values_of(subject: Subject) -> dict[str, Any]:
    values = {field.name: getattr(subject, field.name) for field in fields(subject)}
    values["lasted"] = int(subject.lasted.total_seconds())
    values["told_lately"] = " ".join(map(datetime.isoformat, subject.told_lately))
    alert = asdict(subject.last)
    for name in ("since", "start", "end"):
        if alert[name] is not None:
            alert[name] = alert[name].isoformat()
    values["last"] = json.dumps(alert)
    return values


def _subject_of(row: RowMapping) -> Subject:
    values: dict[str, Any] = dict(row)
    alert = json.loads(values["last"])
    for name in ("since", "start", "end"):
        if alert[name] is not None:
            alert[name] = datetime.fromisoformat(alert[name])
    values["kind"] = SubjectKind(values["kind"])
    values["lasted"] = timedelta(seconds=values["lasted"])
    times = values["told_lately"].split()
    values["told_lately"] = tuple(map(datetime.fromisoformat, times))
    alert["kind"] = SubjectKind(alert["kind"])
    values["last"] = Alert(**alert)
    return Subject(**values)
