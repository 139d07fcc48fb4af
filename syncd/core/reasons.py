"""Why something happened or did not: the closed set of reason codes.

Nothing that a calendar asks for is dropped, changed or cancelled without one of these.
`config/README.md` lists them for administrators; a test keeps the two in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A reason code; its sentence for people is the value's entry in `MEANINGS`."""

    # create, update
    NEW = "new"
    CHANGED = "changed"
    ROOM_FREE_AGAIN = "room_free_again"
    REPAIRED = "repaired"
    REBOOKED = "rebooked"
    TAKEN_OVER = "taken_over"
    # cancel: told
    EVENT_CANCELLED = "event_cancelled"
    OCCURRENCE_REMOVED = "occurrence_removed"
    ROOM_REMOVED = "room_removed"
    NO_LONGER_BOOKABLE = "no_longer_bookable"
    # cancel: shown
    EVENT_GONE = "event_gone"
    # hold
    UNCONFIRMED = "unconfirmed"
    FILE_MISSING = "file_missing"
    FILE_GONE = "file_gone"
    SOURCE_REMOVED = "source_removed"
    SOURCE_EMPTY = "source_empty"
    RULES_CHANGED = "rules_changed"
    OVER_BUDGET = "over_budget"
    TOLD_FLOOD = "told_flood"
    NOT_THE_ORGANIZER = "not_the_organizer"
    VANISHED = "vanished"
    IN_DOUBT = "in_doubt"
    MODE = "mode"
    # wait
    TOO_EARLY = "too_early"
    ROOM_CONFLICT = "room_conflict"
    CALL_BUDGET = "call_budget"
    # skip
    ALL_DAY = "all_day"
    TRANSPARENT = "transparent"
    TENTATIVE = "tentative"
    PRIVATE = "private"
    OWN_FEED = "own_feed"
    ROOMLESS = "roomless"
    NO_DURATION = "no_duration"
    UNMAPPED_PERSON = "unmapped_person"
    REFUSED = "refused"
    RELEASED = "released"
    CHANGED_IN_TUYA = "changed_in_tuya"
    DROPPED = "dropped"
    AMBIGUOUS = "ambiguous"
    REPAIR_IN_VAIN = "repair_in_vain"
    # what the API holds or answers
    UNCLEAR_IN_TUYA = "unclear_in_tuya"
    QUESTION_REFUSED = "question_refused"
    UNPROVEN = "unproven"
    STRAY = "stray"
    DUPLICATE = "duplicate"
    # quarantine
    QUARANTINED = "quarantined"
    NO_UID = "no_uid"
    BROKEN_PROPERTY = "broken_property"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    END_BEFORE_START = "end_before_start"
    TOO_MANY_OCCURRENCES = "too_many_occurrences"
    TOO_COSTLY = "too_costly"
    # notes: something smaller than the event was left out or chosen
    UNMAPPED_ATTENDEE = "unmapped_attendee"
    UNREADABLE_PERSON = "unreadable_person"
    UNKNOWN_ROOM = "unknown_room"
    ROOM_DECLINED = "room_declined"
    ATTACHMENT_LEFT_OUT = "attachment_left_out"
    TEXT_CUT = "text_cut"
    DUPLICATE_COMPONENT = "duplicate_component"
    TIMEZONE_CONTRADICTS = "timezone_contradicts"
    CHARSET_UNKNOWN = "charset_unknown"
    TEXT_AROUND = "text_around"
    SERVER_ODD = "server_odd"


MEANINGS: dict[Reason, str] = {
    Reason.NEW: "The meeting is in the calendar and not booked yet.",
    Reason.CHANGED: "The meeting changed in the calendar.",
    Reason.ROOM_FREE_AGAIN: "The room was taken before and may be free now.",
    Reason.REPAIRED: "It was changed in Tuya; drift.on_change is repair.",
    Reason.REBOOKED: "It was cancelled in Tuya; drift.on_cancel is rebook.",
    Reason.TAKEN_OVER: "It was made by hand and taken over; it gets our mark and what the calendar says.",
    Reason.EVENT_CANCELLED: "The calendar says that the meeting is cancelled.",
    Reason.OCCURRENCE_REMOVED: "The series is still in the calendar, without this date.",
    Reason.ROOM_REMOVED: "The meeting no longer asks for this room.",
    Reason.NO_LONGER_BOOKABLE: "The event was changed so that it is no longer booked.",
    Reason.EVENT_GONE: "Complete readings no longer contain the event.",
    Reason.UNCONFIRMED: "The event is missing or its source was not read; complete readings must confirm it.",
    Reason.FILE_MISSING: "Its file is gone from the directory for less than safety.file_grace.",
    Reason.FILE_GONE: "Its file, which held several events, is gone from the directory; a person decides.",
    Reason.SOURCE_REMOVED: "The source is no longer in the configuration; a person has to approve.",
    Reason.SOURCE_EMPTY: "The source suddenly has none of its booked events; a person has to approve.",
    Reason.RULES_CHANGED: "A changed configuration would cancel it or take its room; a person decides.",
    Reason.OVER_BUDGET: "More cancellations than the budget allows; a person has to approve.",
    Reason.TOLD_FLOOD: "A source tells to give up too many at once (safety.told_share); a person decides.",
    Reason.NOT_THE_ORGANIZER: "A copy that does not decide says that it is cancelled; a person decides.",
    Reason.VANISHED: "Gone from Tuya with too many others at once (safety.vanish_share); a person decides.",
    Reason.IN_DOUBT: "A request was sent and its answer is not known; it is settled by looking.",
    Reason.MODE: "The mode does not allow this change.",
    Reason.TOO_EARLY: "The tenant does not allow bookings so far ahead yet.",
    Reason.ROOM_CONFLICT: "Another reservation holds the room; tried again when it may be free.",
    Reason.CALL_BUDGET: "The API calls left this month are kept for nearer meetings (api.monthly_calls).",
    Reason.ALL_DAY: "Whole-day events are not booked (calendar.all_day).",
    Reason.TRANSPARENT: "The event does not block time (calendar.transparent).",
    Reason.TENTATIVE: "Tentative events are not booked (calendar.tentative).",
    Reason.PRIVATE: "Private events are not booked (calendar.private).",
    Reason.OWN_FEED: "The event comes from a feed of syncd, so what it tells of is booked already.",
    Reason.ROOMLESS: "The event names no known room (calendar.roomless).",
    Reason.NO_DURATION: "The event has no length.",
    Reason.UNMAPPED_PERSON: "An attendee has no user id, and people.unmapped is reject.",
    Reason.REFUSED: "The API refused it; not repeated until the content changes.",
    Reason.RELEASED: "A person or the building ended it in Tuya, which is respected.",
    Reason.CHANGED_IN_TUYA: "It was changed in Tuya; drift.on_change is report.",
    Reason.DROPPED: "A person gave it up with syncd resolve; booked again when the event changes.",
    Reason.AMBIGUOUS: "Nobody can tell which reservation made by hand is this meeting; a person decides.",
    Reason.REPAIR_IN_VAIN: "It was repaired several times, and Tuya shows the same difference again.",
    Reason.UNCLEAR_IN_TUYA: "Its reservation in Tuya makes no sense, or the API does not tell of it.",
    Reason.QUESTION_REFUSED: "The API refused a question or contradicts itself; asked again later.",
    Reason.UNPROVEN: "Nothing proves that it is not booked already; looked for again, and booked then.",
    Reason.STRAY: "A reservation carries our mark and is not that of any booking; it is left alone.",
    Reason.DUPLICATE: "A second reservation of one meeting; mode full cancels it.",
    Reason.QUARANTINED: "The event cannot be understood; its reservation stays as it is.",
    Reason.NO_UID: "The event has no UID, so it has no identity.",
    Reason.BROKEN_PROPERTY: "A property that decides the event cannot be read.",
    Reason.UNKNOWN_TIMEZONE: "The time zone is not known (calendar.timezones can name it).",
    Reason.END_BEFORE_START: "The event ends before it starts.",
    Reason.TOO_MANY_OCCURRENCES: "It has more dates within the horizon than calendar.max_occurrences.",
    Reason.TOO_COSTLY: "Understanding the event takes more time or memory than one event may take.",
    Reason.UNMAPPED_ATTENDEE: "An attendee has no user id and was left out.",
    Reason.UNREADABLE_PERSON: "An attendee or the organizer cannot be read and was left out.",
    Reason.ROOM_DECLINED: "A room declined the meeting, so it is not booked.",
    Reason.UNKNOWN_ROOM: "The event names a room that the configuration does not know.",
    Reason.ATTACHMENT_LEFT_OUT: "An attachment cannot be passed on and was left out.",
    Reason.TEXT_CUT: "The description was cut to the API's 256 characters.",
    Reason.DUPLICATE_COMPONENT: "The UID stands more than once in the calendar; the newest was taken.",
    Reason.TIMEZONE_CONTRADICTS: "The calendar defines a zone otherwise than the zone's name says.",
    Reason.CHARSET_UNKNOWN: "Bytes that are not UTF-8, of no named charset, were read as Windows-1252.",
    Reason.TEXT_AROUND: "Text that is none of a calendar stands around it and was left out.",
    Reason.SERVER_ODD: "The server of a feed does not do what HTTP asks of it; the calendar was read.",
}


FOR_A_PERSON = frozenset(
    {
        Reason.REFUSED,
        Reason.UNMAPPED_PERSON,
        Reason.CHANGED_IN_TUYA,
        Reason.AMBIGUOUS,
        Reason.REPAIR_IN_VAIN,
        Reason.UNCLEAR_IN_TUYA,
        Reason.QUARANTINED,
        Reason.NO_UID,
    }
)
"""Reasons for leaving something out that a person has to do something about."""


BY_RULE = frozenset(
    {
        Reason.ALL_DAY,
        Reason.TRANSPARENT,
        Reason.TENTATIVE,
        Reason.PRIVATE,
        Reason.OWN_FEED,
        Reason.ROOMLESS,
        Reason.NO_DURATION,
    }
)
"""Reasons for leaving an event out that are rules, mostly of the configuration, and no matter for a person."""


REFUSALS = frozenset({Reason.REFUSED, Reason.ROOM_CONFLICT})
"""Reasons for which the API said no."""


class Evidence(StrEnum):
    """What a cancel rests on."""

    TOLD = "told"  # the calendar itself says so: at once
    SHOWN = "shown"  # complete readings in which the neighbours are still there: after confirmations
    INFERRED = (
        "inferred"  # a conclusion from something larger: held until a person approves
    )
    APPROVED = "approved"  # held before, and released by a person


HELD_FOR_A_PERSON = frozenset(
    {
        Reason.SOURCE_REMOVED,
        Reason.SOURCE_EMPTY,
        Reason.FILE_GONE,
        Reason.RULES_CHANGED,
        Reason.OVER_BUDGET,
        Reason.TOLD_FLOOD,
        Reason.NOT_THE_ORGANIZER,
    }
)
"""Reasons for which a cancel, or the loss of a room, waits until a person approves it."""


HELD_ON = {
    Reason.OVER_BUDGET: Evidence.SHOWN,
    Reason.TOLD_FLOOD: Evidence.TOLD,
}
"""What a cancel that is held rests on, by why it is held; for all other reasons it is inferred."""


PROOFS: dict[Evidence, str] = {
    Evidence.TOLD: "the calendar itself says so",
    Evidence.SHOWN: "complete readings of the calendar show it",
    Evidence.INFERRED: "it is a conclusion",
    Evidence.APPROVED: "a person approved it",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A reason with its sentence; `detail` is for people and may hold private data, so it is not logged."""

    reason: Reason
    detail: str
