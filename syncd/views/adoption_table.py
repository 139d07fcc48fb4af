"""What is adopted, by its mark and by its content, for people."""

from __future__ import annotations

from syncd.core.amounts import some
from syncd.core.by_content import Ambiguous, ByContent
from syncd.reconciler import Adoption
from syncd.views.alike import MANY
from syncd.views.booking_table import RESERVATION_COLUMNS, print_reservations
from syncd.views.cycle_table import print_oddities, print_source_reports
from syncd.views.rows import Row, print_rows
from syncd.views.screen import words
from syncd.views.sheet import Sheet


def print_adoption(sheet: Sheet, adoption: Adoption, *, applied: bool) -> None:
    """Print what was found in the API by its mark, and by its content if that was asked."""
    if adoption.adopted:
        print_reservations(sheet, adoption.adopted)
    before = " before" if applied else ""
    sheet.tell(
        f"Tuya shows {some(adoption.listed, 'reservation')} to come, {adoption.known} of them known to this "
        f"state{before}. Times are in {sheet.zone_name}."
    )
    if adoption.hand_made is None:
        _print_marked(sheet, adoption, applied=applied)
    else:
        if adoption.adopted:
            said = "are adopted" if applied else "would be adopted"
            noun = some(len(adoption.adopted), "reservation")
            sheet.tell(f"{noun} with our mark {said}.")
        _print_hand_made(sheet, adoption, adoption.hand_made, applied=applied)
    if adoption.duplicates:
        sheet.tell(
            f"{_duplicates(adoption.duplicates)}; the next cycle in mode full cancels what is double.",
            style="yellow",
        )
    for stray in adoption.strays:
        sheet.tell(
            f"Reservation {stray.reservation_id} ({stray.topic}, {sheet.span(stray.start, stray.end)}) "
            "carries our mark and belongs to no event of the calendars; it is left alone. Another syncd on this "
            "project with the same reservation.instance may have made it; else ask its creator.",
            style="yellow",
        )
    print_source_reports(sheet, adoption.unreadable)
    print_oddities(sheet, adoption.oddities)


def _print_marked(sheet: Sheet, adoption: Adoption, *, applied: bool) -> None:
    """Print how many reservations are adopted by their mark."""
    if not adoption.adopted:
        sheet.tell("None has our mark and is to be adopted.")
        return
    said = "adopted" if applied else "would be adopted; syncd adopt --apply does it"
    sheet.tell(f"{some(len(adoption.adopted), 'reservation')} {said}.")


def _print_hand_made(
    sheet: Sheet, adoption: Adoption, found: ByContent, *, applied: bool
) -> None:
    """Print which reservations without a mark are which meetings, and what nobody can tell."""
    if found.found:
        rows: list[Row] = []
        for match in found.found:
            spec = match.meeting.spec
            id_there = words(match.reservation.reservation_id)
            span = sheet.span(spec.start, spec.end)
            room = sheet.room(spec.room_id)
            rows.append(Row((span, room, words(spec.topic), id_there)))
        print_rows(sheet, RESERVATION_COLUMNS, rows)
    if adoption.taken_over:
        said = "are taken over" if applied else "would be taken over"
        noun = some(len(adoption.taken_over), "reservation")
        sheet.tell(f"{noun} made by hand {said}, as meetings of the calendars.")
    else:
        sheet.tell("None made by hand is surely a meeting of the calendars.")
    if found.found or adoption.adopted:
        sheet.tell(
            "The next cycle brings content and mark up to date: look at syncd plan."
            if applied
            else "syncd adopt --by-content --apply does it."
        )
    for group in found.ambiguous:
        _print_ambiguous(sheet, group)
    if found.unmatched:
        noun = some(len(found.unmatched), "reservation")
        sheet.tell(f"{noun} made by hand: of no meeting of the calendars; left as is.")
        _print_unmatched(sheet, found)


def _print_ambiguous(sheet: Sheet, group: Ambiguous) -> None:
    first = group.meetings[0].spec
    ids = ", ".join(there.reservation_id for there in group.reservations)
    named = ", ".join(meeting.key.uid for meeting in group.meetings)
    sheet.tell(
        f"Nobody can tell which is which, so all are left: {first.topic}, "
        f"{sheet.span(first.start, first.end)}; reservations {ids}; meetings {named}.",
        style="yellow",
    )


def _print_unmatched(sheet: Sheet, found: ByContent) -> None:
    for there in found.unmatched[:MANY]:
        barred = found.in_the_way.get(there.reservation_id, ())
        in_the_way = ", ".join(meeting.spec.topic for meeting in barred)
        sentence = (
            f"{there.reservation_id} {sheet.span(there.start, there.end)} "
            f"{sheet.room(there.room_id)}: {there.topic}"
        )
        if in_the_way:
            sheet.tell(
                f"{sentence}; in the way of {in_the_way}", style="yellow", indent=2
            )
        else:
            sheet.tell(sentence, indent=2)
    sheet.say_more(len(found.unmatched))


def _duplicates(count: int) -> str:
    return "1 is a duplicate" if count == 1 else f"{count} are duplicates"
