"""What must hold of every damaged calendar, checked against the bookings that the whole one made."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import FrameType
from zoneinfo import ZoneInfo

from syncd.core.changes import Cancel, Update
from syncd.core.document import Document
from syncd.core.evidence import Safety
from syncd.core.occurrence import Reading
from syncd.ics import Locale
from syncd.ics.content import Incomplete
from tests.core.office import RULES, Office
from tests.fuzz.damage import Edit, Whole, apply, cut, edits, respelled
from tests.intake.whole import read

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON = timedelta(days=70)
HANGS_AFTER_S = 10
"""Of processor time, which is generous: a document takes some milliseconds."""
# Nothing else than evidence may keep a booking: no budget, no confirmation.
BOLD = Safety(cancel_share=1.0, cancel_floor=1_000_000, empty_hold=1_000_000)


@dataclass(frozen=True)
class Finding:
    """A claim that does not hold, and the bytes that show it."""

    kind: str
    sentence: str
    whole: bytes
    damaged: bytes


class Hang(BaseException):
    """Reading took too long; nothing may catch it on its way."""


@contextmanager
def _watched() -> Iterator[None]:
    def expired(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Trial:
    """One calendar, the bookings that it made, and the damage that is done to it."""

    def __init__(self, body: bytes, *, all_day: str = "whole-day") -> None:
        self.body = body
        self.longest_s = 0.0
        self._office = Office(
            now=NOW, horizon=HORIZON, safety=BOLD, rules=replace(RULES, all_day=all_day)
        )
        self._whole: Whole | None = None

    def begin(self) -> Finding | None:
        """Read the calendar as it was meant and book it; read it again, which asks for nothing."""
        reading, _, problem = self._outcome(self.body)
        if reading is None or problem:
            return self._finding(problem, self.body)
        try:
            self._whole = Whole.of(self.body)
        except Incomplete:
            return None  # an example of a broken one: damaged further, but it has no bookings
        self._office.cycle(reading)
        _, changes, problem = self._outcome(self.body)
        if changes:
            problem = "the same calendar read again asks for changes"
        return self._finding(problem, self.body)

    def damage(self, random: Random) -> Finding | None:
        """One damage of the calendar, one cut or one other spelling, and what is wrong about what follows."""
        done = edits(self.body, random)
        damaged = apply(self.body, done)
        if self._whole is None:
            return self._finding(self._outcome(damaged)[2], damaged)
        chance = random.random()
        if chance < 0.1:
            left = cut(self.body, random)
            return None if left is None else self._finding(self.judge_cut(left), left)
        if chance < 0.15:
            same = respelled(self.body, random)
            return (
                None if same is None else self._finding(self.judge_spelling(same), same)
            )
        problem = self.judge(done)
        if problem:
            # The least of the edits that show it.
            done = next(((edit,) for edit in done if self.judge([edit])), done)
        return self._finding(problem and self.judge(done), apply(self.body, done))

    def judge(self, done: Sequence[Edit]) -> str:
        """What is wrong after these edits, or nothing."""
        assert self._whole is not None  # `damage` has looked
        damaged = apply(self.body, done)
        _, changes, problem = self._outcome(damaged)
        touched = self._whole.touched(done)
        for change in changes:
            # A booking may have followed its meeting to another key.
            uid = self._office.bookings[change.booking.row].key.uid
            if uid in touched:
                continue
            # Another event that came to bear this UID may change its text, and cancel it if it is newer.
            copies = self._whole.copies(uid, damaged)
            if isinstance(change, Cancel) and not any(
                self._whole.revised(copy) for copy in copies
            ):
                return (
                    f"it cancels an event that was not damaged ({change.reason}): {uid}"
                )
            if isinstance(change, Update) and not copies:
                fields = ", ".join(change.changed)
                return f"it updates ({fields}) an event that was not damaged: {uid}"
        return problem

    def judge_cut(self, body: bytes) -> str:
        """What is wrong about a calendar that broke off, or nothing."""
        reading, changes, problem = self._outcome(body)
        if reading is not None and reading.complete:
            return "a calendar that breaks off counts as complete"
        cancels = sum(isinstance(change, Cancel) for change in changes)
        return (
            f"a calendar that breaks off cancels bookings: {cancels}"
            if cancels
            else problem
        )

    def judge_spelling(self, body: bytes) -> str:
        """What is wrong after another spelling of the same calendar, or nothing."""
        reading, changes, problem = self._outcome(body)
        if reading is not None and not reading.complete:
            return "another spelling of a calendar counts as incomplete"
        return "another spelling of a calendar asks for changes" if changes else problem

    def _finding(self, sentence: str, damaged: bytes) -> Finding | None:
        return (
            Finding(sentence.partition(":")[0], sentence, self.body, damaged)
            if sentence
            else None
        )

    def _outcome(
        self, body: bytes
    ) -> tuple[Reading | None, list[Cancel | Update], str]:
        """The reading, what is planned against bookings that are there, and what went wrong about either."""
        reading: Reading | None = None
        changes: list[Cancel | Update] = []
        begun = time.process_time()
        try:
            with _watched():
                reading = read(
                    [Document("calendar.ics", body)],
                    source="one",
                    scope="",
                    locale=Locale(default=ZoneInfo("Europe/Berlin")),
                    window=self._office.window,
                    at=self._office.now,
                )
                self.longest_s = max(self.longest_s, time.process_time() - begun)
                writes = self._office.plan(reading).writes
                changes = [
                    change for change in writes if isinstance(change, Cancel | Update)
                ]
        except Hang:
            return reading, changes, f"it takes more than {HANGS_AFTER_S} s of work"
        except Exception as error:  # whatever it is, it is the finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
            return reading, changes, f"it raises {name}"
        return reading, changes, ""
