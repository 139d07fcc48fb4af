"""Bytes of calendars to occurrences and defects.

`read` is the whole public surface: documents of one source in, one `Reading` out.
What cannot be understood is set aside per UID with line and reason, never guessed.
Nothing in here knows files, feeds, the API or the ledger.
"""

from syncd.ics.reader import Document, Locale, read

__all__ = ["Document", "Locale", "read"]
