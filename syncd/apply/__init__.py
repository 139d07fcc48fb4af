"""A plan to requests and records: settle what is in doubt, compare with the API, carry out a plan.

Each change is recorded as an intent before its request leaves, so that no end of the process and no lost
answer can make it happen twice.
Nothing in here knows calendars or sources.
"""

from syncd.apply.ports import Api, BookingLedger, Progress
from syncd.apply.questions import Oddity, all_oddities, count_leftovers

__all__ = [
    "Api",
    "BookingLedger",
    "Oddity",
    "Progress",
    "all_oddities",
    "count_leftovers",
]
