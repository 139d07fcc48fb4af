"""When each source is due, and how the one thread that does the work is woken.

`Scheduler` wakes for a name whenever its interval or cron expression says so; `Wakes` collects the names that
schedules, file events and signals wake for until the work thread has time for them.
Promises: a run that was missed, because the machine slept or its clock was set, comes once and at once;
equal intervals are spread by name, and keep their places over restarts.
Must not: know what is done when a name is due, or do any of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

from apscheduler.triggers.cron import CronTrigger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_SLACK = timedelta(seconds=3)
_LEAST_HEAP = 64

# Names of wakes that are no sources; no source can be called so.
CONFIGURATION = "\0configuration"
EVERYTHING = "\0everything"
STOP = "\0stop"

CLOCK_WAS_SET_S = 1.0
"""A clock that is only slewed by NTP stays far below this between two looks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The schedule of a name: due at each match of `cron`, if given, otherwise every `interval`.

    `cron` has five fields, in `zone`; weekdays go by name, because APScheduler counts them from Monday.
    A run by interval comes up to the share `jitter` of it later than its place, and may be woken for up to as much
    after that, but three seconds at most; one by cron is on the minute.
    """

    interval: timedelta
    cron: str | None = None
    zone: tzinfo = UTC
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.interval < _MICROSECOND:
            raise ValueError("an interval must be longer than nothing")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be a share from 0 to 1")
        if self.cron is not None:
            _cron(self.cron, self.zone)

    def after(self, name: str, moment: datetime) -> datetime | None:
        """Return the first time later than `moment` at which `name` is due; None for a cron that never comes.

        A function of its arguments alone: it is the same before and after a restart.
        """
        if self.cron is not None:
            # A match at the moment itself is not later, and would be found for ever.
            trigger = _cron(self.cron, self.zone)
            next_moment = moment + _MICROSECOND
            due: datetime | None = trigger.get_next_fire_time(None, next_moment)
            return due and due.astimezone(UTC)
        # Whole microseconds, so that a place is exactly the same however it is computed.
        interval = self.interval // _MICROSECOND
        share = _chance(name)
        offset = int(share * interval)
        since_epoch = (moment - _EPOCH) // _MICROSECOND
        number = (since_epoch - offset) // interval
        while True:
            place = number * interval + offset
            late = self._late(name, number)
            due = _EPOCH + _MICROSECOND * (place + late)
            if due > moment:
                return due
            number += 1

    @property
    def slack(self) -> timedelta:
        """Return by how much a run may be later than it is due, to come together with others."""
        if self.cron is not None:
            return timedelta()
        return min(self.interval * self.jitter, _MOST_SLACK)

    def delay(self, name: str) -> timedelta:
        """Return by how much `name` comes later than others that wait for the same moment; always the same."""
        if self.cron is not None:
            return timedelta()
        return self.interval * (self.jitter * _chance(f"{name}\0delay"))

    def _late(self, name: str, number: int) -> int:
        """Return by how many microseconds a run is later than its place."""
        interval = self.interval // _MICROSECOND
        chance = _chance(f"{name}\0{number}")
        return int(chance * self.jitter * interval)


class Scheduler:
    """A thread that calls `wake(name)` whenever a name is due, until it is closed.

    `wake` must return at once and call nothing of the scheduler; `Wakes.wake` is made for it.
    The clock is compared every `tick_s` seconds, which bounds how late a run is after the machine slept.

    One heap of the names that are due next, and no job of APScheduler for each. With a thousand names on one grid
    a job each takes 20 us of CPU a run in place of 11, and 28 us in place of 8 to plan: that would be borne, of a
    look of 600 us. But APScheduler waits by the wall clock and does not see that it was set; that, the places
    that outlive a restart, postponements and the grid would remain here, and its list of jobs would save the
    heap alone. So only its cron expressions are used.

    What is due within some seconds is woken for together, where the jitter allows it: most of what a single
    look costs is that threads wake, each on a processor that did something else meanwhile.
    systemd does the same with its timers (AccuracySec=), and so does the kernel (timer slack).
    """

    def __init__(self, wake: Callable[[str], None], *, tick_s: float = 10.0) -> None:
        self._wake = wake
        self._tick_s = tick_s
        self._guard = threading.Lock()
        # Rung when the thread waits for too long; a condition would cost twice as much.
        self._earlier: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._entries: dict[str, Entry] = {}
        self._postponed: dict[str, datetime] = {}
        # When each name is due; those that never are have none.
        self._due: dict[str, datetime] = {}
        # The next moments to wake in order, each with what is due then; some of it no longer counts.
        self._heap: list[tuple[datetime, datetime, str]] = []
        self._waits_until = _EPOCH
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, entries: Mapping[str, Entry]) -> None:
        """Replace what is due when; may be called at any time.

        An entry that is unchanged keeps its next run; a changed one is no longer postponed.
        A new one is first due at its place, which may be a whole interval away: who adds it wakes it.
        After the return `wake` is called for no name that is not among `entries`.
        """
        now = datetime.now(UTC)
        with self._guard:
            gone = self._entries.keys() - entries.keys()
            for name in gone:
                self._forget(name)
            for name, entry in entries.items():
                if self._entries.get(name) != entry:
                    self._forget(name)
                    self._entries[name] = entry
                    self._place(name, entry.after(name, now))

    def postpone(self, name: str, until: datetime) -> None:
        """Wake for a name at `until` (aware) and not before, once for all the runs that are left out.

        With jitter it is up to that share of the interval later, because many may wait for one moment.
        Replaces an earlier postponement of the name; one into the past ends it.
        Unknown names are ignored, because a configuration may have changed meanwhile.
        """
        with self._guard:
            if name in self._due:
                self._postponed[name] = until + self._entries[name].delay(name)
                self._place_anew(name, datetime.now(UTC))

    def leave_out(self, name: str, until: datetime) -> None:
        """Leave out the runs of a name before `until` (aware); the next one is at its first place from then on.

        Replaces an earlier postponement of the name; unknown names are ignored.
        """
        with self._guard:
            if name in self._due:
                place = self._entries[name].after(name, until - _MICROSECOND)
                self._postponed[name] = place or until
                self._place_anew(name, datetime.now(UTC))

    def next_run(self, name: str) -> datetime | None:
        """Return when a name will be due, in UTC; None for a name that is not planned."""
        return self._due.get(name)

    def close(self) -> None:
        """Stop; nothing wakes after the return. May be called twice."""
        self._closing = True
        self._earlier.put(None)
        self._thread.join()

    # All under the lock

    def _place(self, name: str, due: datetime | None) -> None:
        """Let a name be due at a time; None: never."""
        if due is None or self._due.get(name) == due:
            return
        self._due[name] = due
        # On a grid that all names share.
        slack = self._entries[name].slack
        wake_at = due
        if slack:
            wake_at = due + (_EPOCH - due) % slack
        heapq.heappush(self._heap, (wake_at, due, name))
        if len(self._heap) > 2 * len(self._due) + _LEAST_HEAP:
            self._heap = [one for one in self._heap if self._due.get(one[2]) == one[1]]
            heapq.heapify(self._heap)
        if wake_at < self._waits_until:
            self._earlier.put(None)

    def _forget(self, name: str) -> None:
        self._entries.pop(name, None)
        self._postponed.pop(name, None)
        self._due.pop(name, None)

    def _place_anew(self, name: str, now: datetime) -> None:
        """Compute the next run of a name from the present, as far as it is not due already."""
        due = self._due[name]
        regular = self._entries[name].after(name, now)
        if regular is not None:
            due = min(due, regular)
        self._place(name, max(due, self._postponed.get(name, due)))

    def _run(self) -> None:
        """Wake for what is due, and compare the clocks, until it is closed."""
        offset_s = clock_offset_s()
        while not self._closing:
            before_s = offset_s
            offset_s = clock_offset_s()
            set_by_s = offset_s - before_s
            with self._guard:
                if abs(set_by_s) > CLOCK_WAS_SET_S:
                    self._clock_was_set(timedelta(seconds=set_by_s))
                pause_s = self._wake_due()
            with contextlib.suppress(queue.Empty):
                self._earlier.get(timeout=pause_s)

    def _wake_due(self) -> float:
        """Wake for each name that is due; return the seconds until the next one, or the next tick."""
        now = datetime.now(UTC)
        while self._heap and self._heap[0][0] <= now:
            _, due, name = heapq.heappop(self._heap)
            if self._due.get(name) != due:
                continue  # it was placed anew, or forgotten
            # However many places were missed, the next one is ahead.
            following = self._entries[name].after(name, now)
            if following is None:
                del self._due[name]
            else:
                self._place(name, following)
            self._wake(name)
        self._waits_until = now + timedelta(seconds=self._tick_s)
        if self._heap:
            self._waits_until = min(self._waits_until, self._heap[0][0])
        return (self._waits_until - now).total_seconds()

    def _clock_was_set(self, by: timedelta) -> None:
        """Keep what is left of each postponement, and let no run wait for a time that was wrong."""
        now = datetime.now(UTC)
        for name, until in self._postponed.items():
            self._postponed[name] = until + by
        for name in list(self._due):
            self._place_anew(name, now)


class Wakes:
    """A queue of the names that became due since the work thread last asked, each with its reasons.

    Built on `queue.SimpleQueue`, whose `put` is reentrant: a signal handler may call `wake` although it
    interrupts the same thread inside `wake` or `wait`, where a lock would never be released.
    """

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def wake(self, name: str, reason: str) -> None:
        """Add a name that is due; from any thread and any signal handler, returns at once."""
        self._rung.put((name, reason))

    def wait(self, timeout_s: float) -> dict[str, set[str]]:
        """Return the names since the last call, each with its reasons; empty when none came in time.

        For one thread only.
        """
        due: defaultdict[str, set[str]] = defaultdict(set)
        pause_s = max(timeout_s, 0.0)
        try:
            name, reason = self._rung.get(timeout=pause_s)
            while True:
                due[name].add(reason)
                name, reason = self._rung.get_nowait()
        except queue.Empty:
            return dict(due)


def _cron(expression: str, zone: tzinfo) -> CronTrigger:
    return CronTrigger.from_crontab(expression, timezone=zone)


def _chance(text: str) -> float:
    """Return a number from 0 to below 1 that is always the same for a text, unlike `hash`."""
    hashed = hashlib.blake2b(text.encode(), digest_size=6)
    number = int.from_bytes(hashed.digest(), "big")
    return number / 2**48


def clock_offset_s() -> float:
    """Return how far the wall clock is ahead of the time since boot, sleep included.

    It changes only when the clock is set.
    """
    wall_s = time.time()
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return wall_s - since_boot_s
