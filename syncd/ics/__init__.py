"""iCalendar text to occurrences (RFC 5545), for one series of events at a time.

What cannot be understood is set aside per UID with line and reason, never guessed.
Nothing in here knows where a text came from, what was read before, the API or the ledger.
"""

from syncd.ics.parallel import Allowance, Crew
from syncd.ics.series import Locale, Understanding, Understood
from syncd.ics.vevent import Context, Piece

__all__ = ["Allowance", "Context", "Crew", "Locale", "Piece", "Understanding", "Understood"]
