"""The copies of one event in a source: what each of its VCALENDARs says of it.

A copy is what one VCALENDAR says. Scheduling messages of one organizer (RFC 5546: REQUEST, ADD, CANCEL) are
one copy, since each goes on where the former ended. Of several components of one copy about the same date the
newest counts. Which copy decides about a meeting is not judged here but by `syncd.core.deciding_copy`, for all
sources alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from syncd.core.occurrence import Authority, Occurrence, Presence, Window
from syncd.core.reasons import Note, Reason
from syncd.ics.component import Component
from syncd.ics.content import BrokenComponent
from syncd.ics.recurrence import (
    Instance,
    excludes,
    expand,
    master_of,
    next_start,
    original_start,
)

SAYS_NOTHING = frozenset({"REPLY", "COUNTER", "DECLINECOUNTER", "REFRESH"})
"""METHODs by which a guest answers or asks; none of them says what a meeting is (RFC 5546 section 1.4)."""

_OF_THE_ORGANIZER = frozenset({"REQUEST", "ADD", "CANCEL"})
_INHERITED = ("SUMMARY", "LOCATION", "ORGANIZER", "ATTENDEE", "DESCRIPTION")


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of an event: the components that count, and the dates that were added to it (METHOD:ADD)."""

    chosen: tuple[Component, ...]
    added: tuple[Component, ...]
    notes: tuple[Note, ...]

    @property
    def presence(self) -> Presence:
        """Return how the event stands in this copy: as a series, or by single dates alone."""
        of_master = any(component.recurrence_id is None for component in self.chosen)
        return Presence.SERIES if of_master else Presence.DETACHED

    def instances(self, window: Window) -> Iterator[Instance]:
        """Yield the occurrences around a window, each date once; raises `BrokenComponent`."""
        seen: set[str | None] = set()
        for instance in expand(self.chosen, window, in_series=bool(self.added)):
            seen.add(instance.recurrence_id)
            yield instance
        for component in self.added:
            single = component.recurrence_id_at(component.start)
            for instance in expand([component], window):
                date = instance.recurrence_id or single
                # It adds dates and replaces none (RFC 5546 section 3.2.4).
                if date not in seen:
                    seen.add(date)
                    yield replace(instance, recurrence_id=date)

    def next_start(self, after: datetime) -> datetime | None:
        """Return when the next occurrence begins at or after a moment, or earlier; None if there is none."""
        starts = [next_start(self.chosen, after)]
        starts += [next_start([component], after) for component in self.added]
        known = [start for start in starts if start is not None]
        return min(known, default=None)


def copies_of(components: Iterable[Component]) -> list[Copy]:
    """Return the copies that some components of one UID are; raises `BrokenComponent`."""
    all_components = list(components)
    masters = [
        component for component in all_components if component.recurrence_id is None
    ]
    copies: list[Copy] = []
    for of_one_sender in _by_sender(all_components):
        copies += _copies_of_one_sender(of_one_sender, masters)
    return copies


def _by_sender(components: Iterable[Component]) -> list[list[Component]]:
    """Group components by who says them: a VCALENDAR, or an organizer through scheduling messages."""
    groups: dict[object, list[Component]] = {}
    # By address: one message names one of them, another one two.
    sender_of: dict[str, object] = {}
    for component in components:
        sender: object = component.calendar
        addresses = component.organizer
        if addresses and component.method in _OF_THE_ORGANIZER:
            sender = addresses
            for address in addresses:
                if address in sender_of:
                    sender = sender_of[address]
                    break
            for address in addresses:
                sender_of.setdefault(address, sender)
        groups.setdefault(sender, []).append(component)
    return list(groups.values())


def _copies_of_one_sender(
    components: Sequence[Component], masters: Sequence[Component]
) -> Iterator[Copy]:
    """Yield what one sender says of the event, and apart from it for which guests it is cancelled."""
    added: list[Component] = []
    events: list[Component] = []
    for component in components:
        if component.method not in {"ADD", "CANCEL"}:
            events.append(component)
        elif component.method == "ADD" and component.recurrence_id is None:
            added.append(component)
    if not events:
        events = [master for master in masters if master.method != "CANCEL"]
    cancels = _Cancels(components, events)
    set_apart = (*added, *cancels.partial, *cancels.carried_out)
    apart = {id(component) for component in set_apart}
    rest = [component for component in components if id(component) not in apart]
    if rest or added:
        yield _copy(rest, added, masters)
    if cancels.partial:
        yield _copy(_taking_guests_off(cancels), [], masters)


def _taking_guests_off(cancels: _Cancels) -> list[Component]:
    """Return the cancels that name some guests only, marked as calling the meeting off for these alone."""
    marked: list[Component] = []
    for cancel in cancels.partial:
        timed = cancels.timed(cancel)
        marked.append(_with_template(timed, uninvites=True, cancelled=False))
    return marked


class _Cancels:
    """The messages by which an organizer cancels a meeting, or takes guests off it.

    A METHOD:CANCEL without STATUS:CANCELLED that names guests is meant for these (RFC 5546 section 3.2.5, the
    row of STATUS). Some programs write one for each guest, so those of one SEQUENCE about one date are read
    together: when they name everybody that the newest event invites, the meeting is off.
    `partial` are those that name some of the guests only; `carried_out` those whose guests the event of the
    same SEQUENCE, or of a later one, does not name any more. Exchange says STATUS:CANCELLED to a guest who is
    taken off, too, and then the invitation of the others, of the same SEQUENCE, tells that it goes on.
    """

    def __init__(
        self, components: Sequence[Component], events: Sequence[Component]
    ) -> None:
        series = [event for event in events if event.recurrence_id is None]
        self._series = max(series, key=lambda event: event.revision, default=None)
        self._events = events
        self.partial: list[Component] = []
        self.carried_out: list[Component] = []
        together: dict[tuple[str, int], list[Component]] = {}
        for component in components:
            if component.method == "CANCEL" and component.guests:
                date = self._date(component)
                about = (date, component.template.sequence)
                together.setdefault(about, []).append(component)
        for (date, sequence), cancels in together.items():
            self._sort_out(self._event(date), sequence, cancels)

    def timed(self, cancel: Component) -> Component:
        """Return a cancel with the dates of the series that it is about; many leave RRULE out."""
        series = self._series
        if cancel.recurrence_id is not None or series is None:
            return cancel
        return replace(
            cancel,
            zones=series.zones,
            start=series.start,
            duration=series.duration,
            rules=series.rules,
            excluded_rules=series.excluded_rules,
            dates=series.dates,
            excluded=series.excluded,
        )

    def _sort_out(
        self, event: Component | None, sequence: int, cancels: Sequence[Component]
    ) -> None:
        """Record cancels of one SEQUENCE about one date that name some guests only, or were carried out."""
        if event is None or not event.guests:
            return
        named: set[str] = set()
        for cancel in cancels:
            named |= cancel.guests
        invited = event.guests - event.organizer
        if invited <= named:
            return
        if event.template.sequence >= sequence and invited.isdisjoint(named):
            self.carried_out += cancels
            return
        self.partial += [cancel for cancel in cancels if not cancel.says_cancelled]

    def _date(self, component: Component) -> str:
        return _identity(component, self._series)

    def _event(self, date: str) -> Component | None:
        """Return the newest event about a date: its own, else the series."""
        overrides = [event for event in self._events if event.recurrence_id]
        own = [event for event in overrides if self._date(event) == date]
        return max(own, key=lambda event: event.revision, default=self._series)


def event_organizer(events: Sequence[Component]) -> frozenset[str]:
    """Return the addresses of the organizer of these components of one event."""
    addresses: set[str] = set()
    for event in events:
        addresses |= event.organizer
    return frozenset(addresses)


def _copy(
    components: Sequence[Component],
    added: Sequence[Component],
    masters: Sequence[Component],
) -> Copy:
    """Return the copy that these components of one sender are; raises `BrokenComponent`."""
    groups = _by_identity(components, masters)
    chosen = [_newest(group) for group in groups]
    master = master_of(chosen)
    if master is not None:
        chosen = _valid_beside(master, chosen)
    chosen.sort(key=lambda component: (component.document, component.line))
    whole = (*components, *added)
    of_copy = {
        "authority": max(component.template.authority for component in whole),
        "copy_organizer": tuple(sorted(event_organizer(whole))),
    }
    return Copy(
        chosen=tuple(_with_template(component, **of_copy) for component in chosen),
        added=tuple(_with_template(component, **of_copy) for component in added),
        notes=_notes(groups),
    )


def _valid_beside(
    master: Component, components: Sequence[Component]
) -> list[Component]:
    """Return a series and its overrides that count, with what they leave unsaid."""
    overrides = [component for component in components if component is not master]
    valid = [override for override in overrides if not _is_outdated(override, master)]
    return [master, *(_inheriting(override, master) for override in valid)]


def _with_template(component: Component, **changes: object) -> Component:
    """Return a component with some fields of its template changed."""
    return replace(component, template=replace(component.template, **changes))  # type: ignore[arg-type]  # by name


def _is_outdated(override: Component, master: Component) -> bool:
    """Tell whether a series excludes the date of an override that is older (RFC 5545 section 3.8.5.1).

    Where neither SEQUENCE nor LAST-MODIFIED tells, the override counts: some programs move a date by both.
    """
    ours = override.template.sequence
    theirs = master.template.sequence
    is_older = ours < theirs
    if ours == theirs and override.modified and master.modified:
        is_older = override.modified < master.modified
    return is_older and excludes(master, override)


def _inheriting(override: Component, master: Component) -> Component:
    """Return an override with what it leaves unsaid as the series of its own VCALENDAR has it.

    Most programs repeat everything in an override. Exchange and some exporters write only what changed, and
    then the meeting would lose its room and its title.
    """
    if override.calendar != master.calendar:
        return override
    own = override.template
    if not override.event.written("CLASS"):
        own = replace(own, private=master.template.private)
    if not any(override.event.written(name) for name in _INHERITED):
        own = _with_details_of(own, master.template)
    inheriting = replace(override, template=own)
    is_alike = override.start.is_date == master.start.is_date
    if override.duration is None and is_alike:
        return replace(inheriting, duration=master.duration)
    return inheriting


def _with_details_of(own: Occurrence, series: Occurrence) -> Occurrence:
    """Return an occurrence with who, where and what of a series, and the rest of it where it has none."""
    # An alarm at an absolute time belongs to a single date of the series, and not to all that say nothing.
    relative_alarms = tuple(alarm for alarm in series.alarms if alarm.at is None)
    return replace(
        own,
        summary=series.summary,
        description=series.description,
        location=series.location,
        organizer=series.organizer,
        attendees=series.attendees,
        joining_link=own.joining_link or series.joining_link,
        alarms=own.alarms or relative_alarms,
        places=own.places or series.places,
        notes=own.notes or series.notes,
        attachments=own.attachments or series.attachments,
    )


def _by_identity(
    components: Sequence[Component], masters: Sequence[Component]
) -> list[list[Component]]:
    """Group components by the date they are about: none, or the original start in the terms of their series.

    `masters` are those of all copies, since an override may come in a message of its own.
    """
    own = [component for component in components if component.recurrence_id is None]
    series: Component | None = None
    if own:
        series = _newest(own)
    elif masters:
        series = masters[0]
    groups: dict[str, list[Component]] = {}
    for component in components:
        identity = _identity(component, series)
        groups.setdefault(identity, []).append(component)
    return list(groups.values())


def _identity(component: Component, series: Component | None) -> str:
    """Return the recurrence id of the date that a component is about, empty for the event as a whole."""
    if component.recurrence_id is None:
        return ""
    return original_start(component, series)


def _notes(groups: Iterable[Sequence[Component]]) -> tuple[Note, ...]:
    """Return a note if components were left out that say another thing about the same date."""
    left_out = 0
    for group in groups:
        if len(group) > 1:
            different = {component.text for component in group}
            left_out += len(different) - 1
    if not left_out:
        return ()
    detail = f"{left_out + 1} components have this UID and date; the newest by SEQUENCE was taken"
    return (Note(Reason.DUPLICATE_COMPONENT, detail),)


def _newest(components: Sequence[Component]) -> Component:
    """Return the newest of some components of one copy about one date.

    A cancellation counts before the event of the same SEQUENCE, as in one mailbox. Raises `BrokenComponent`
    when nothing tells which of two is newer, and they take place at other times.
    Which of several copies counts is ranked in `syncd.core.deciding_copy`, by another order: copies may be of
    different people, while the components of one copy are successive words of one sender.
    """
    if len(components) == 1:
        return components[0]
    highest = max(component.revision for component in components)
    newest = [component for component in components if component.revision == highest]
    first = newest[0]
    is_off = first.method == "CANCEL"  # whatever time it names
    if not is_off and any(other.timing != first.timing for other in newest):
        raise BrokenComponent(
            Reason.BROKEN_PROPERTY,
            f"{len(components)} components have this UID at different times, and neither SEQUENCE nor "
            "LAST-MODIFIED tells which is the newest; give each meeting a UID of its own",
        )
    return max(newest, key=lambda component: component.text)


def differ_without_revision(copies: Sequence[Copy]) -> bool:
    """Tell whether two copies put the event at different times, and no revision tells which is the newer.

    Copies of other people count only where the organizer's is not there, and copies that name nobody only
    where no other is.
    """
    chosen = chain.from_iterable(copy.chosen for copy in copies)
    masters = [component for component in chosen if _puts_event(component)]
    ranks = {component.template.authority for component in masters}
    if Authority.ORGANIZER in ranks:
        counting = {Authority.ORGANIZER}
    elif ranks == {Authority.NOBODY}:
        counting = ranks
    else:
        counting = ranks - {Authority.NOBODY}
    timings: dict[tuple[object, ...], object] = {}
    for component in masters:
        authority = component.template.authority
        if authority not in counting:
            continue
        timing = component.timing
        if timings.setdefault((authority, component.revision), timing) != timing:
            return True
    return False


def _puts_event(component: Component) -> bool:
    """Tell whether a component says when a series or a single event takes place."""
    if component.recurrence_id is not None:
        return False
    template = component.template
    return not (template.cancelled or template.uninvites)
