"""What is said when a constraint of the schema refused what was written."""

from __future__ import annotations

# By what SQLite and PostgreSQL say of a violated unique index: its columns, or its name.
_TAKEN = {
    (
        "bookings.scope",
        "one_current_booking",
    ): "a current booking of this meeting in this room",
    ("bookings.mark", "one_current_mark"): "a current booking with this mark",
    (
        "bookings.reservation_id",
        "one_current_reservation",
    ): "a current booking that holds this reservation",
}


def told_refusal(told: str, where: str) -> str:
    """Return the sentence about a constraint that refused what was written; `told` is the database's."""
    for signs, what in _TAKEN.items():
        if any(sign in told for sign in signs):
            return (
                f"The ledger {where} already has {what}, so nothing was recorded: "
                "run the cycle again, and report this if it stays."
            )
    return (
        f"The ledger {where} refused a booking that cannot be ({told}): nothing was recorded; "
        "report this as a defect of syncd."
    )
