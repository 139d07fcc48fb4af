"""iCalendar text to occurrences (RFC 5545), for one series of events at a time.

What cannot be parsed is set aside per UID with line and reason, never guessed.
Nothing in here knows where a text came from, what was read before, the API or the ledger.
"""

from syncd.ics.contexts import Locale
from syncd.ics.event_text import fingerprint_of_events, topic_of_events
from syncd.ics.parallel import CpuAllowance, ParserPool
from syncd.ics.series import ParsedSeries, SeriesParser
from syncd.ics.vevent import Context, RawEvent

__all__ = [
    "Context",
    "CpuAllowance",
    "Locale",
    "ParsedSeries",
    "ParserPool",
    "RawEvent",
    "SeriesParser",
    "fingerprint_of_events",
    "topic_of_events",
]
