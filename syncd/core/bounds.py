"""How much anything may cost that somebody else writes: all sizes and bounds, each with its reason.

A calendar is written by whoever can put a file on a share or send an invitation, so what it costs to read is
bounded as well as how large it is.
`config/README.md` says the same for administrators, under "How a calendar is read".
"""

from __future__ import annotations

MAX_OCCURRENCES = 500
"""Dates of one event within the horizon, unless calendar.max_occurrences says otherwise."""

MAX_DATES_PASSED = 10_000
"""Dates of one event around the horizon that are looked at and lie outside of it; a meeting that takes place
every minute has 3,000."""

UID_CPU_S = 2.0
"""CPU that understanding one UID may take; the largest series of real calendars take a hundredth of it."""

UID_WALL_S = 300.0
"""How long one UID may be waited for: a machine that has much to do gives 2 s of CPU in less than that."""

UID_MEMORY = 1 << 30
"""Address space, in bytes, of a process that understands events: far more than any event needs."""

COSTLY_S = 0.02
"""CPU from which on a UID counts as costly; an ordinary event takes a thirtieth of it."""

SOURCE_CPU_S = 4.0
"""CPU that the costly UIDs of one source may take in a cycle; the rest of them come in the next."""

CYCLE_CPU_S = 8.0
"""CPU that the costly UIDs of all sources may take in a cycle, so that an edit elsewhere does not wait."""

DATE_S = 0.0001
"""What one occurrence costs after it was understood: mapping, planning and recording."""

ITEM_S = 0.000004
"""What each attendee, alarm or attachment, and each 200 characters of text, costs for each occurrence."""

MAX_ITEMS = 400_000
"""Such items of one UID, over all its occurrences; with `ITEM_S` less than `UID_CPU_S`."""

ITEM_LENGTH = 200
"""Characters or bytes that count as one item."""

PLAIN_BYTES = 8_192
"""A UID with more text than this is never understood in the process that does the work."""

PLAIN_CONTEXT_BYTES = 16_384
"""The same for what stands around it, its time zones above all."""

MAX_UIDS_OF_EVENT = 16
"""UIDs in one VEVENT; each is quarantined, so that the bookings of all of them stay, and costs a look."""

TEXT_READ = 16_384
"""Characters of a description that are looked at: 256 UTF-16 code units of it are used, and a program that
writes mails as HTML spends up to a hundred characters on one that is shown."""
