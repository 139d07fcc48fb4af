"""A calendar over a year: its window moves on, and people edit what is coming."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from tests.benchmarks.generator import AHEAD, BEHIND, Archive, Room

TURN = timedelta(days=438)
"""After so long an archive has as many series again; in between there are more or fewer at a time."""

SHOWN_BEFORE, SHOWN_AFTER = BEHIND - AHEAD - TURN, AHEAD
"""Which events a calendar shows at a moment: those from so long ago to so far ahead."""

EDITS_A_DAY = 4
"""On working days, so 20 in a week."""

_COMING = timedelta(days=25)


class MovingCalendar:
    """A calendar that shows about `events` at any moment of the year that begins at `start`.

    `place` is where in its turn it is, from 0 to below 1: where those of one office differ, these have about
    as many meetings at any time.
    """

    def __init__(
        self, name: str, events: int, start: datetime, seed: int, place: float
    ) -> None:
        share = (SHOWN_BEFORE + SHOWN_AFTER) / (BEHIND + AHEAD)
        # Its own present lies at the end of the year or later: until then there is something ahead.
        present = start + AHEAD + timedelta(days=round(place * TURN.days))
        self._archive = Archive(round(events / share), present, seed=seed, name=name)
        self._chance = random.Random(f"{seed} {name} edits")
        self._changed: set[int] = set()
        self._gone: set[int] = set()
        self._vevent = cache(self._archive.vevent)

    @property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms in which all this takes place."""
        return self._archive.rooms

    def shown(self, now: datetime) -> list[int]:
        """Return the numbers of the events that it has at a moment."""
        numbers = self._archive.between(now - SHOWN_BEFORE, now + SHOWN_AFTER)
        return [number for number in numbers if number not in self._gone]

    def edit(self, now: datetime) -> None:
        """Do what people do on a day: three events change, and one is deleted or comes back."""
        coming = self._archive.between(now + timedelta(days=1), now + _COMING)
        series = [number for number in coming if number < self._archive.series]
        singles = [number for number in coming if number not in self._overrides]
        singles = [number for number in singles if number >= self._archive.series]
        for chosen in (series, singles, singles):
            if chosen:
                self._changed ^= {self._chance.choice(chosen)}
        gone = sorted(self._gone.intersection(singles))
        if gone and self._chance.random() < 0.5:
            self._gone.remove(self._chance.choice(gone))
        elif singles:
            self._gone.add(self._chance.choice(singles))

    @property
    def _overrides(self) -> range:
        first = self._archive.series
        return range(first, first + self._archive.overrides)

    def write(self, file: Path, now: datetime) -> None:
        """Let a file hold the calendar of a moment, by a rename."""
        new = file.with_suffix(".new")
        with new.open("w", encoding="utf-8", newline="") as written:
            written.write(self._archive.head())
            for number in self.shown(now):
                is_changed = number in self._changed
                written.write(self._vevent(number, changed=is_changed))
            written.write("END:VCALENDAR\r\n")
        new.rename(file)
