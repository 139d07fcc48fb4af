"""What persons left for the next cycle, and what the directory said of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from syncd.core.resolve import Decision, Verdict
from syncd.ledger import tables
from syncd.ledger.database import Database
from syncd.ledger.gate import WritingGate

_A = tables.approvals.c
_APPROVALS = select(tables.approvals).order_by(_A.at, _A.checksum)
_DECISIONS = select(tables.decisions).order_by(
    tables.decisions.c.at, tables.decisions.c.booking
)


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's release of the held cancellations under a checksum."""

    checksum: str
    at: datetime
    approved_by: str
    spent: bool


class People:
    """The store of approvals, of decisions, and of answers of the directory."""

    def __init__(self, database: Database, gate: WritingGate) -> None:
        self._database = database
        self._gate = gate

    # Approvals

    def approve(self, checksum: str, at: datetime, user: str) -> None:
        """Release the held cancellations under a checksum; also again, after it was spent."""
        values = {"at": at, "approved_by": user, "spent": False}
        self._gate.put(tables.approvals, {"checksum": checksum}, values)

    def approvals(self) -> tuple[Approval, ...]:
        """Return all approvals still remembered, oldest first."""
        return tuple(Approval(**found) for found in self._database.mappings(_APPROVALS))

    def approved(self) -> frozenset[str]:
        """Return the checksums that were approved and not carried out yet."""
        return frozenset(
            approval.checksum for approval in self.approvals() if not approval.spent
        )

    def spend_approval(self, checksum: str) -> None:
        """Record that an approval was carried out: it does not count again."""
        of_the_set = update(tables.approvals).where(_A.checksum == checksum)
        self._gate.execute(of_the_set.values(spent=True))

    # Decisions

    def decide(self, *decisions: Decision) -> None:
        """Leave a person's decisions to the next cycle, each in place of one before: all or none."""
        with self._gate.writing() as connection:
            for decision in decisions:
                values = {
                    "verdict": decision.verdict,
                    "reservation_id": decision.reservation_id,
                    "decided_by": decision.decided_by,
                    "at": decision.at,
                }
                tables.put(
                    connection, tables.decisions, {"booking": decision.booking}, values
                )

    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions that no cycle has carried out yet, oldest first."""
        with self._database.making_sense("A decision"):
            return tuple(
                Decision(
                    row.booking,
                    Verdict(row.verdict),
                    row.reservation_id,
                    row.decided_by,
                    row.at,
                )
                for row in self._database.rows(_DECISIONS)
            )

    def drop_decision(self, booking: int) -> None:
        """Forget the decision about a booking, because it was carried out."""
        c = tables.decisions.c
        self._gate.execute(delete(tables.decisions).where(c.booking == booking))

    # The directory

    def user_of(self, address: str, not_before: datetime) -> tuple[bool, str | None]:
        """Return whether the directory was asked for an address since a moment, and the user id it gave."""
        c = tables.people.c
        query = select(c.user_id).where(c.address == address, c.at >= not_before)
        found = self._database.scalars(query)
        return (True, found[0]) if found else (False, None)

    def record_user(self, address: str, user_id: str | None, at: datetime) -> None:
        """Store what the directory answered for an address; None: it knows nobody."""
        self._gate.put(
            tables.people, {"address": address}, {"user_id": user_id, "at": at}
        )


def prune_people(connection: Connection, before: datetime) -> None:
    """Forget approvals and answers of the directory from before a moment."""
    connection.execute(delete(tables.approvals).where(_A.at < before))
    connection.execute(delete(tables.people).where(tables.people.c.at < before))
