"""A story in plain sentences: what is so, why, and what can be done about it.

Times are in the zone of the configuration, rooms go by their names.
The first few of many alike are told, the rest are counted.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from syncd.core.acknowledged import Acknowledgement
from syncd.core.amounts import some
from syncd.core.occurrence import Defect
from syncd.core.reasons import Reason
from syncd.explain.fate_sentences import FateTeller
from syncd.explain.phrases import Line, Words, listed, sentence, told_part, told_zone
from syncd.explain.story import Story, Where
from syncd.explain.verdicts import Fate
from syncd.intake import SourceExcerpt
from syncd.views.alike import few_of_each
from syncd.views.moments import in_zone
from syncd.views.screen import Screen, words
from syncd.views.typed import as_argument

_SPACE = re.compile("[ \t\r\n]+")  # other controls are shown as what they are
_PROPERTY = re.compile("[A-Z][A-Z-]{2,}")
_MOST_WRITTEN = 3
_LONGEST_WRITTEN = 200
_MOST_PARTS = 6
_MOST_HISTORY = 12


@dataclass(frozen=True, slots=True)
class ToldDate:
    """One date of an event in one room, or one reservation made for it, in sentences.

    `history` is what happened so far, under its heading.
    """

    fate: Fate
    title: str
    lines: tuple[Line, ...]
    history: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ToldStory:
    """A story in sentences: where the event stands, its dates, those that are only counted, and the end.

    `quarantined` are those of `where` that say why it cannot be understood.
    """

    where: tuple[Line, ...]
    quarantined: tuple[Line, ...]
    dates: tuple[ToldDate, ...]
    more: tuple[Line, ...]
    end: tuple[Line, ...]


def told_story(story: Story) -> ToldStory:
    """Return the story of an event that is known in sentences, each on one line, moments in its zone."""
    teller = _Teller(story)
    told = teller.told()
    return ToldStory(
        where=teller.folded(told.where),
        quarantined=teller.folded(told.quarantined),
        dates=tuple(map(teller.folded_date, told.dates)),
        more=teller.folded(told.more),
        end=teller.folded(told.end),
    )


def tell(story: Story, console: Screen) -> None:
    """Print a story."""
    width = max(console.width, 40)
    for line in _Teller(story).lines():
        hanging = " " * line.indent
        whole = textwrap.fill(
            words(_folded(line.text, story)).plain,
            width=width,
            initial_indent=hanging,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text in whole.split("\n"):
            console.print(words(text, line.style), soft_wrap=True)


def _indented(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        yield replace(line, indent=line.indent + 2)


def _folded(text: str, story: Story) -> str:
    """Return a sentence on one line, its moments in the zone of the story."""
    return in_zone(_SPACE.sub(" ", text).strip(), story.zone)


class _Teller:
    """The sentences of one story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._examined = story.examined
        self._words = Words(story.zone, story.rooms, story.people)
        self._fates = FateTeller(story, self._words)

    def lines(self) -> Iterator[Line]:
        """Yield the whole story."""
        story = self._story
        if not story.known:
            yield from self._unknown()
            return
        yield Line(f"{story.topic or '(no title)'}", style="bold")
        yield Line(f"UID {story.uid}")
        yield Line(f"Times are told in {story.zone}.")
        yield Line("")
        told = self.told()
        yield from told.where
        for date in told.dates:
            yield Line("")
            yield Line(date.title, style="bold")
            yield from _indented(date.lines)
            yield from _indented(date.history)
        if told.more:
            yield Line("")
        yield from told.more
        yield from told.end

    def told(self) -> ToldStory:
        """Return the parts of the story of an event that is known."""
        dates, more = self._dates()
        where = (*self._where(), *self._unasked())
        end = tuple(self._summary())
        quarantined = chain.from_iterable(map(self._quarantined, self._story.where))
        return ToldStory(where, tuple(quarantined), dates, more, end)

    def folded_date(self, date: ToldDate) -> ToldDate:
        """Return a date with its lines as they are shown where a line may have any length."""
        lines = self.folded(date.lines)
        return replace(date, lines=lines, history=self.folded(date.history))

    def folded(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        """Return lines as they are shown where a line may have any length."""
        story = self._story
        return tuple(replace(line, text=_folded(line.text, story)) for line in lines)

    def _unasked(self) -> Iterator[Line]:
        """Yield that the API could not be asked, if that is so."""
        if self._examined.unasked is not None:
            yield Line(
                f"The API could not be asked: {sentence(self._examined.unasked)} "
                "What follows is known without it: limits of the tenant may be missing, and after a lost "
                "state also what is booked already.",
                style="yellow",
            )

    # Not found

    def _unknown(self) -> Iterator[Line]:
        story = self._story
        yield Line(
            f"No calendar and no booking has the UID {story.uid!r}, nor a topic with it.",
            style="red",
        )
        for where in story.searched:
            reading = where.reading
            if reading.error:
                yield Line(
                    f"Source {where.name} could not be read ({reading.error}), so it may be in there.",
                    style="red",
                )
            else:
                yield Line(
                    f"Source {where.name} was read completely: {some(reading.events, 'event')}."
                )
        if not story.searched:
            yield Line("The configuration names no source.")
        if story.suggestions:
            yield Line("Perhaps one of these was meant:")
            for suggestion in story.suggestions:
                yield Line(f"{suggestion.uid}  ({suggestion.because})", 2)
        else:
            yield Line(
                "syncd plan --json and syncd status --json list what is known; "
                "syncd explain --room ROOM --at WHEN tells who has a room."
            )

    # Where it stands

    def _where(self) -> Iterator[Line]:
        story = self._story
        for where in story.where:
            yield from self._source(where)
        for where in story.unreadable:
            yield Line(
                f"Source {where.name} could not be read as a whole: {where.reading.error}. "
                "Nothing is cancelled because of what is missing from it.",
                style="red",
            )
        if not story.where:
            names = ", ".join(where.name for where in story.searched) or "none"
            yield Line(
                f"No calendar that was read has it now (sources: {names}); its bookings tell what follows."
            )

    def _source(self, where: Where) -> Iterator[Line]:
        excerpt = where.excerpt
        assert excerpt is not None  # only sources that hold the UID are told of
        documents = list(dict.fromkeys(part.document for part in excerpt.parts))
        found = some(len(excerpt.parts), "component")
        looked = (
            f"; the last cycle read it on {self._words.at(where.record.last_read_at)}"
            if where.record
            else ""
        )
        yield Line(
            f"Source {where.name} has it now, in {listed(documents)}: {found}{looked}."
        )
        for part in excerpt.parts[:_MOST_PARTS]:
            several = len(documents) > 1
            told = told_part(part, excerpt.zones, self._words, several=several)
            yield Line(told, 2)
        if len(excerpt.parts) > _MOST_PARTS:
            yield Line(
                f"… and {len(excerpt.parts) - _MOST_PARTS} more; --json has all.",
                2,
                "dim",
            )
        for zone in excerpt.zones:
            yield Line(told_zone(zone), 2, "red" if zone.zone is None else "")
        yield from _indented(self._quarantined(where))

    def _quarantined(self, where: Where) -> Iterator[Line]:
        """Yield why an event cannot be understood, what stands there, and what is to be done about it."""
        written: tuple[str, ...] = ()
        if where.excerpt is not None:
            written = where.excerpt.written
        for defect in where.defects:
            yield Line(
                f"It is quarantined, because it cannot be understood: {defect.document}, line {defect.line}: "
                f"{sentence(defect.detail)} [{defect.reason}] Until that is mended nothing of this event is "
                "booked, changed or cancelled; what is booked stays as it is.",
                style="red",
            )
            for line in _lines_named(defect, written):
                yield Line(f"What stands there: {line}")
            yield Line(
                f"Mend it in the program that keeps the calendar, or in {defect.document or 'the file'} itself: "
                f"the event begins in line {defect.line}. The next reading takes it up."
            )
            yield from self._acknowledged(self._story.acknowledged.of_defect(defect), 0)

    def _acknowledged(
        self, seen: Acknowledgement | None, indent: int
    ) -> Iterator[Line]:
        """Yield who has seen what is wrong, if somebody has."""
        if seen is not None:
            yield Line(
                f"{seen.acknowledged_by} acknowledged that on {self._words.at(seen.at)}; it counts again when "
                "the event changes.",
                indent,
                once=True,
            )

    # Occurrences

    def _dates(self) -> tuple[tuple[ToldDate, ...], tuple[Line, ...]]:
        """Return the first few of the dates that are alike, and a line for the others of each kind."""
        told = [fate for fate in self._story.fates if not _told_with_source(fate)]
        shown, alike = few_of_each(told, _sameness)
        said: set[str] = set()  # of a whole series once
        dates: list[ToldDate] = []
        for fate in shown:
            lines: list[Line] = []
            for line in self._fates.lines(fate):
                if line.once and line.text in said:
                    continue
                said.add(line.text)
                lines.append(line)
            seen = fate.acknowledgement(self._story.acknowledged)
            lines += self._acknowledged(seen, 0)
            history = tuple(self._fates.history(fate.history))
            title = self._fates.title(fate)
            dates.append(ToldDate(fate, title, tuple(lines), history))
        more = [
            Line(
                f"… and {count} more like these ({kind}); --json has all.", style="dim"
            )
            for kind, count in alike
        ]
        return tuple(dates), tuple(more)

    # The end

    def _summary(self) -> Iterator[Line]:
        """Yield how many dates are over, and that nothing is to come if nothing is."""
        excerpts = [
            where.excerpt for where in self._story.where if where.excerpt is not None
        ]
        past = max((excerpt.past or 0 for excerpt in excerpts), default=0)
        if past:
            yield from _dates_over(past, excerpts)
        if self._story.left_out:
            yield Line("")
            yield Line(
                f"{some(self._story.left_out, 'other row')} of it, at other times or in other rooms: "
                f"syncd explain {as_argument(self._story.uid)}",
                style="dim",
            )
        if self._story.fates:
            return
        yield Line("")
        if past:
            yield Line(
                "It is over, and nothing was booked for it; what is over is not booked."
            )
        else:
            yield Line("It has no date to come, and nothing is booked for it.")


def _dates_over(past: int, excerpts: Sequence[SourceExcerpt]) -> Iterator[Line]:
    """Yield how many dates of a series are over; nothing of an event that does not recur."""
    parts = chain.from_iterable(excerpt.parts for excerpt in excerpts)
    if not any(part.recurs for part in parts):
        return
    since = next(
        (excerpt.past_since for excerpt in excerpts if excerpt.past == past), None
    )
    when = f" since {since:%Y-%m-%d}" if since else ""
    are_over = "is over" if past == 1 else "are over"
    yield Line("")
    yield Line(f"{some(past, 'earlier date')} of it {are_over}{when}.")


def _lines_named(defect: Defect, written: Sequence[str]) -> Iterator[str]:
    """Yield the first few lines of an event of which a defect names the property, as far as there is place."""
    named = set(_PROPERTY.findall(defect.detail))
    lines = [
        line for line in written if named.intersection(_PROPERTY.findall(line)[:1])
    ]
    for line in lines[:_MOST_WRITTEN]:
        yield textwrap.shorten(line, _LONGEST_WRITTEN, placeholder="…")


def _told_with_source(fate: Fate) -> bool:
    """Tell whether the lines about its source say it already: that a UID is quarantined."""
    return fate.action == "skip" and fate.reason is Reason.QUARANTINED


def _sameness(fate: Fate) -> str:
    """Return what makes fates alike to a reader."""
    state = fate.booking.state.value if fate.booking else "not booked"
    kind = f"{state}, {fate.action}"
    return f"{kind}: {fate.reason}" if fate.reason else kind
