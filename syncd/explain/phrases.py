"""The small words of a story: components, zones, what is asked for, lists and counts."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.core.reservation import ReservationSpec
from syncd.intake.excerpt import WrittenComponent, ZoneUse


def asked_for(spec: ReservationSpec) -> str:
    """What the calendar asks for beside time, room and topic."""
    asked = [f"creator {spec.creator}", f"participants {listed(spec.participants)}"]
    if spec.cc_participants:
        asked.append(f"in copy {listed(spec.cc_participants)}")
    minutes = f"{spec.notice_time_s / 60:g}"
    asked.append(f"a notice {minutes} minutes before" if spec.notice else "no notice")
    if spec.attachments:
        asked.append(count(len(spec.attachments), "attachment"))
    roomless = " It names no known room, so it asks for none (calendar.roomless)." if not spec.room_id else ""
    return f"Asked for: {', '.join(asked)}.{roomless}"


def told_part(part: WrittenComponent, *, several: bool) -> str:
    """One component; its document is named if there are several."""
    place = f"{part.document}, line {part.line}" if several else f"Line {part.line}"
    what = "the series" if part.recurs else "the event"
    if part.recurrence_id is not None:
        what = f"one date, {part.recurrence_id}, on its own"
    said = [f"from {part.start}" if part.recurs else f"at {part.start}"] if part.start else []
    if part.excluded:
        said.append(f"{count(part.excluded, 'date')} taken out (EXDATE)")
    said += [f"{name} {value}" for name, value in _marks(part) if value]
    return f"{place}: {what}" + (f" {', '.join(said)}." if said else ".")


def _marks(part: WrittenComponent) -> tuple[tuple[str, str], ...]:
    method = part.method if part.method not in {"", "PUBLISH"} else ""
    return (("SEQUENCE", part.sequence), ("STATUS", part.status), ("METHOD", method))


def told_zone(zone: ZoneUse) -> str:
    """What times were taken for, and why."""
    if zone.tzid == "UTC":
        return "Times are written in UTC."
    if zone.zone is None:
        times = f'Times in "{zone.tzid}"' if zone.tzid else "Times without zone"
        return f"{times} cannot be placed: {zone.because}."
    if zone.tzid is None:
        return f"Times without zone are taken for {zone.zone}: {zone.because}."
    taken = zone.zone if zone.zone == zone.tzid else f'"{zone.tzid}", which is taken for {zone.zone}'
    return f"Times are in {taken}: {zone.because}. {zone.contradiction}".strip()


def sentence(text: str) -> str:
    """The text with a full stop, if it has none."""
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def joined(first: str, second: str) -> str:
    """Two sentences, once where they say the same."""
    return first if not second or second in first else second if first in second else f"{first} {second}"


def listed(names: Sequence[str]) -> str:
    """Names as people list them: `a, b and c`."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(number: int, what: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
