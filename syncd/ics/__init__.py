"""Bytes of calendars to occurrences and defects.

`read` is nearly the whole public surface: documents of one source in, one `Reading` out.
`account_of` tells how one UID stands in them, for a person who asks.
What cannot be understood is set aside per UID with line and reason, never guessed.
Nothing in here knows files, feeds, the API or the ledger.
"""

from syncd.ics.account import Account, account_of, extent
from syncd.ics.reader import Document, Locale, read

__all__ = ["Account", "Document", "Locale", "account_of", "extent", "read"]
