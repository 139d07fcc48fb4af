"""What the sources say, and which of their events need a look.

`Intake` answers two questions: what the sources say anew, and what they say of some UIDs.
Everything between the bytes of a source and a `Reading` is in here: digests of what was read before, the
texts that are kept, the worklist.
Nothing in here knows the API, or what is booked.
"""

from syncd.intake.excerpt import Account, account_of, extent
from syncd.intake.former import Former
from syncd.intake.intake import Elsewhere, Intake, Prepare
from syncd.intake.ports import CalendarSource, Fetched
from syncd.intake.reader import Bounded, Presences, read
from syncd.intake.source_index import Findings, Inventory, look_through
from syncd.intake.span import span_of

__all__ = [
    "Account",
    "Bounded",
    "CalendarSource",
    "Elsewhere",
    "Fetched",
    "Findings",
    "Former",
    "Intake",
    "Inventory",
    "Prepare",
    "Presences",
    "account_of",
    "extent",
    "look_through",
    "read",
    "span_of",
]
