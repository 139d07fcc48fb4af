"""Bytes of calendars to occurrences and defects.

`read` is nearly the whole public surface: documents of one source in, one `Reading` out.
`account_of` tells how one UID stands in them, for a person who asks.
What cannot be understood is set aside per UID with line and reason, never guessed.
Nothing in here knows files, feeds, the API or the ledger.
"""

from syncd.ics.account import Account, account_of, extent
from syncd.ics.crew import Allowance, Crew
from syncd.ics.document import Document
from syncd.ics.former import Former
from syncd.ics.inventory import Findings, Inventory, look_through
from syncd.ics.pieces import Piece
from syncd.ics.reader import Bounded, Locale, Presences, read
from syncd.ics.relevance import span_of
from syncd.ics.understanding import Understanding, Understood

__all__ = [
    "Account",
    "Allowance",
    "Bounded",
    "Crew",
    "Document",
    "Findings",
    "Former",
    "Inventory",
    "Locale",
    "Piece",
    "Presences",
    "Understanding",
    "Understood",
    "account_of",
    "extent",
    "look_through",
    "read",
    "span_of",
]
