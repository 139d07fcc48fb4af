"""What persons left for the next cycle, and what the directory said of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from syncd.core.acknowledged import Acknowledged, Acknowledgement
from syncd.core.resolve import Decision, Verdict
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate

_APPROVAL = tables.approvals.c
_APPROVALS = select(tables.approvals).order_by(_APPROVAL.at, _APPROVAL.checksum)
_DECISION = tables.decisions.c
_DECISIONS = select(tables.decisions).order_by(_DECISION.at, _DECISION.booking)
_REFRESH = tables.refreshes.c
_PERSON = tables.people.c
_ACKNOWLEDGEMENT = tables.acknowledgements.c
_ACKNOWLEDGEMENTS = select(tables.acknowledgements).order_by(
    _ACKNOWLEDGEMENT.at, _ACKNOWLEDGEMENT.subject
)


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's release of the held cancellations under a checksum."""

    checksum: str
    at: datetime
    approved_by: str
    spent: bool


@dataclass(frozen=True, slots=True)
class Refresh:
    """A person's wish that the daemon reads a source now; `forced`: also a feed that is left alone."""

    source: str
    forced: bool
    asked_by: str
    at: datetime


class People:
    """The store of approvals, decisions, acknowledgements, wishes to read, and of answers of the directory."""

    def __init__(self, database: Database, gate: WritingGate) -> None:
        self._database = database
        self._gate = gate

    def version(self) -> object:
        """Return a value that equals the one before only if no person can have left anything since."""
        return self._database.version()

    # Approvals

    def approve(self, checksum: str, at: datetime, user: str) -> None:
        """Release the held cancellations under a checksum; also again, after it was spent."""
        values = {
            "at": at,
            "approved_by": user,
            "spent": False,
        }
        self._gate.put(tables.approvals, {"checksum": checksum}, values)

    def approvals(self) -> tuple[Approval, ...]:
        """Return all approvals still remembered, oldest first."""
        found = self._database.mappings(_APPROVALS)
        return tuple(Approval(**values) for values in found)

    def approved(self) -> frozenset[str]:
        """Return the checksums that were approved and not carried out yet."""
        unspent: set[str] = set()
        for approval in self.approvals():
            if not approval.spent:
                unspent.add(approval.checksum)
        return frozenset(unspent)

    def approver(self, checksum: str) -> str | None:
        """Return who released the held cancellations under a checksum; None if nobody did."""
        of_the_set = select(_APPROVAL.approved_by).where(_APPROVAL.checksum == checksum)
        return self._database.scalar(of_the_set)

    def spend_approval(self, checksum: str) -> None:
        """Record that an approval was carried out: it does not count again."""
        of_the_set = update(tables.approvals).where(_APPROVAL.checksum == checksum)
        self._gate.execute(of_the_set.values(spent=True))

    # Decisions

    def decide(self, *decisions: Decision) -> None:
        """Leave a person's decisions to the next cycle, each in place of one before: all or none."""
        with self._gate.writing() as connection:
            for decision in decisions:
                of_the_booking = {"booking": decision.booking}
                values = {
                    "verdict": decision.verdict,
                    "reservation_id": decision.reservation_id,
                    "decided_by": decision.decided_by,
                    "at": decision.at,
                }
                tables.put(connection, tables.decisions, of_the_booking, values)

    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions that no cycle has carried out yet, oldest first."""
        with self._database.making_sense("A decision"):
            rows = self._database.rows(_DECISIONS)
            return tuple(_decision_of(row) for row in rows)

    def drop_decision(self, booking: int) -> None:
        """Forget the decision about a booking, because it was carried out."""
        with self._gate.writing() as connection:
            tables.remove(connection, tables.decisions, {"booking": booking})

    # Acknowledgements

    def acknowledge(self, *seen: Acknowledgement) -> None:
        """Record that a person has seen what is wrong with events: all or none."""
        with self._gate.writing() as connection:
            for one in seen:
                event = {"subject": one.subject, "fingerprint": one.fingerprint}
                values = {"acknowledged_by": one.acknowledged_by, "at": one.at}
                tables.put(connection, tables.acknowledgements, event, values)

    def take_back(self, subjects: Iterable[str]) -> None:
        """Forget what persons have seen of these subjects, as the event is and as it was."""
        with self._gate.writing() as connection:
            for subject in subjects:
                of_the_subject = {"subject": subject}
                tables.remove(connection, tables.acknowledgements, of_the_subject)

    def acknowledgements(self) -> tuple[Acknowledgement, ...]:
        """Return what persons have seen, oldest first; also of events that changed since."""
        found = self._database.mappings(_ACKNOWLEDGEMENTS)
        return tuple(Acknowledgement(**values) for values in found)

    def acknowledged(self) -> Acknowledged:
        """Return what persons have seen, to be asked for single events."""
        return Acknowledged(self.acknowledgements())

    # Wishes to read

    def ask_refresh(self, *wishes: Refresh) -> None:
        """Leave wishes that sources be read now to the daemon, each in place of one before: all or none."""
        with self._gate.writing() as connection:
            for wish in wishes:
                values = {
                    "forced": wish.forced,
                    "asked_by": wish.asked_by,
                    "at": wish.at,
                }
                of_the_source = {"source": wish.source}
                tables.put(connection, tables.refreshes, of_the_source, values)

    def take_refreshes(
        self, sources: Collection[str] | None = None
    ) -> tuple[Refresh, ...]:
        """Return the wishes that were left, and forget them; writes nothing when there are none.

        `sources`: those about these alone, because the others are for other members.
        """
        left = select(tables.refreshes)
        if sources is not None:
            left = left.where(_REFRESH.source.in_(sources))
        if not self._database.rows(left):
            return ()
        with self._gate.writing() as connection:
            # In one order, and none that is left meanwhile goes with them.
            in_order = left.order_by(_REFRESH.source).with_for_update()
            rows = connection.execute(in_order).mappings().all()
            taken = [row["source"] for row in rows]
            of_these = _REFRESH.source.in_(taken)
            connection.execute(delete(tables.refreshes).where(of_these))
        return tuple(Refresh(**values) for values in rows)

    # The directory

    def user_of(self, address: str, not_before: datetime) -> tuple[bool, str | None]:
        """Return whether the directory was asked for an address since a moment, and the user id it gave."""
        of_the_address = select(_PERSON.user_id).where(_PERSON.address == address)
        found = self._database.scalars(of_the_address.where(_PERSON.at >= not_before))
        if not found:
            return False, None
        return True, found[0]

    def record_user(self, address: str, user_id: str | None, at: datetime) -> None:
        """Store what the directory answered for an address; None: it knows nobody."""
        values = {"user_id": user_id, "at": at}
        self._gate.put(tables.people, {"address": address}, values)


def _decision_of(row: Row[Any]) -> Decision:
    return Decision(
        booking=row.booking,
        verdict=Verdict(row.verdict),
        reservation_id=row.reservation_id,
        decided_by=row.decided_by,
        at=row.at,
    )


def prune_people(connection: Connection, before: datetime) -> None:
    """Forget approvals, acknowledgements and answers of the directory from before a moment.

    What was acknowledged is kept while the event is as it was, or it would count anew one day.
    """
    for table in (tables.approvals, tables.people):
        is_old = table.c.at < before
        connection.execute(delete(table).where(is_old))
    is_old = _ACKNOWLEDGEMENT.at < before
    for row in connection.execute(select(tables.acknowledgements).where(is_old)).all():
        if not _is_wrong(connection, row.subject, row.fingerprint):
            event = {"subject": row.subject, "fingerprint": row.fingerprint}
            tables.remove(connection, tables.acknowledgements, event)


def _is_wrong(connection: Connection, subject: str, fingerprint: str) -> bool:
    """Tell whether an event with a fingerprint is quarantined, or has a booking under a KEY."""
    quarantined = tables.quarantine.c
    in_quarantine = select(quarantined.uid).where(
        quarantined.uid == subject, quarantined.fingerprint == fingerprint
    )
    if connection.execute(in_quarantine.limit(1)).first() is not None:
        return True
    # A KEY is a UID, in which slashes may stand, with a date and a room at most.
    uid = subject.rsplit("/", 1)[0]
    uids = {subject, uid, uid.rsplit("/", 1)[0]}
    booked = tables.bookings.c
    is_booked = select(booked.row).where(
        booked.uid.in_(uids), booked.origin == fingerprint, tables.CURRENT
    )
    return connection.execute(is_booked.limit(1)).first() is not None
