"""What each event of the log means, as the sentence with which its line begins.

Programs go by the event, people by the sentence. A place that knows more gives a sentence of its own, as
`message`; a test tells when an event has none.
"""

from __future__ import annotations

from collections.abc import Mapping

_SENTENCES: Mapping[str, str] = {
    # the daemon
    "ready": "syncd is ready.",
    "hour": "What was looked at, written and asked since the last such line.",
    "configuration refused": "The configuration is refused, and the last good one goes on.",
    "configuration taken over": "The configuration was taken over.",
    "defect of syncd; please report this line": "This is a defect of syncd; please report this line.",
    "python warning": "Python warns of something in the program.",
    # the page
    "page served": "The page is served.",
    "page not served": "The page cannot be served; it is tried again.",
    "page connection failed": "A connection to the page failed.",
    # sources
    "source": "A source was looked at.",
    "files missing": "Files of a directory are gone; nothing follows before safety.file_grace has passed.",
    "ended while reading": "syncd ended while it read this.",
    "feed_moved": "The server of a feed sends to another place.",
    "feed_answered": "The server of a feed answered.",
    # cycles
    "cycle": "A cycle is done.",
    "plan": "A plan is made.",
    "held": "Cancellations are held until a person approves them.",
    "clock": "The clock of this machine was compared with that of the API.",
    "not settled": "What is in doubt cannot be settled now.",
    # reservations
    "created": "A meeting was booked.",
    "updated": "A reservation was changed.",
    "cancelled": "A reservation was cancelled.",
    "adopted": "A reservation that was there is that of a meeting.",
    "refused": "A change is refused.",
    "in doubt": "The answer to a request was lost; what became of it is looked up.",
    "still in doubt": "What became of a request cannot be looked up now.",
    "not written": "A change was not written.",
    "kept otherwise": "Tuya keeps a reservation otherwise than it was sent.",
    "changed in the API": "A reservation was changed in Tuya.",
    "vanished": "Many reservations are gone from Tuya at once; a person has to decide.",
    "there again": "Reservations that were gone from Tuya are there again.",
    "stray": "A reservation carries our mark and is that of no booking; it is left alone.",
    "duplicate": "A meeting has a second reservation, which is not cancelled.",
    "duplicate cancelled": "The second reservation of a meeting was cancelled.",
    "not adopted": "The reservation that a person named cannot be that of the booking.",
    "odd reservation": "A reservation in Tuya makes no sense; it stops nothing else.",
    "does not step aside": "A reservation does not give up its room for another one.",
    "does not step back": "A reservation cannot be put back into its room.",
    # notices
    "notice delivered": "A notice was delivered.",
    "notice not delivered": "A notice was not delivered, and is tried again.",
    "notice given up": "A notice was not delivered for many hours, and is not tried again.",
    # the API
    "api_call": "The API answered.",
    "call_repeated": "The API did not answer, and is asked again.",
    "question without answer": "The API does not answer a question; what was known counts.",
    "directory": "The user directory does not answer; people without user id are left out.",
    "booking rules": "The booking rules of the tenant do not answer; what was known of them counts.",
}

_LEAST_WORDS = 5  # of an event that is a sentence by itself


def sentence_of(event: str) -> str:
    """Return the sentence of an event of ours; empty for one that has none, such as those of libraries."""
    known = _SENTENCES.get(event, "")
    if known:
        return known
    if len(event.split()) < _LEAST_WORDS:
        return ""
    return f"{event[:1].upper()}{event[1:].rstrip('.')}."
