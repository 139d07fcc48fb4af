"""When each source is due, and how the one thread that does the work is woken.

`Scheduler` wakes for a name whenever its interval or cron expression says so; `Wakes` collects the names that
schedules, file events and signals wake for until the work thread has time for them.
Promises: a run that was missed, because the machine slept or its clock was set, comes once and at once;
equal intervals are spread by name, and keep their places over restarts.
Must not: know what is done when a name is due, or do any of it.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A clock that is only slewed by NTP stays far below this between two looks.
_CLOCK_WAS_SET_S = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The schedule of a name: due at each match of `cron`, if given, otherwise every `interval`.

    `cron` has five fields, in `zone`; weekdays go by name, because APScheduler counts them from Monday.
    A run by interval comes up to the share `jitter` of it later than its place; one by cron is on the minute.
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

    def _late(self, name: str, number: int) -> int:
        """Return by how many microseconds a run is later than its place."""
        interval = self.interval // _MICROSECOND
        chance = _chance(f"{name}\0{number}")
        return int(chance * self.jitter * interval)


class Scheduler:
    """A thread that calls `wake(name)` whenever a name is due, until it is closed.

    `wake` must return at once and call nothing of the scheduler; `Wakes.wake` is made for it.
    The clock is compared every `tick_s` seconds, which bounds how late a run is after the machine slept.
    """

    def __init__(self, wake: Callable[[str], None], *, tick_s: float = 10.0) -> None:
        self._wake = wake
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._postponed: dict[str, datetime] = {}
        self._closing = threading.Event()
        self._jobs = BackgroundScheduler(
            timezone=UTC,
            # Wakes from the scheduler's own thread; a pool would add threads that have nothing to do.
            executors={"default": DebugExecutor()},
            job_defaults={
                # By default a run that is a second late would be dropped.
                "misfire_grace_time": None,
                "coalesce": True,
                "max_instances": 1,
            },
        )
        self._jobs.start()
        self._clock = threading.Thread(
            target=self._compare_clocks, name="clock", daemon=True
        )
        self._clock.start()

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
        with self._lock:
            gone = self._entries.keys() - entries.keys()
            for name in gone:
                self._forget(name)
            for name, entry in entries.items():
                if self._entries.get(name) != entry:
                    self._forget(name)
                    self._add(name, entry)
            self._entries = dict(entries)

    def postpone(self, name: str, until: datetime) -> None:
        """Wake for a name at `until` (aware) and not before, once for all the runs that are left out.

        Replaces an earlier postponement of the name; one into the past ends it.
        Unknown names are ignored, because a configuration may have changed meanwhile.
        """
        with self._lock:
            self._postponed[name] = until
            self._place_anew(name)

    def next_run(self, name: str) -> datetime | None:
        """Return when a name will be due, in UTC; None for a name that is not planned."""
        job = self._jobs.get_job(name)
        if job is None:
            return None
        due: datetime | None = job.next_run_time
        return due and due.astimezone(UTC)

    def close(self) -> None:
        """Stop; nothing wakes after the return. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._clock.join()
        self._jobs.shutdown()

    def _add(self, name: str, entry: Entry) -> None:
        now = datetime.now(UTC)
        first = entry.after(name, now)
        if first is None:
            return  # a cron that never comes
        self._jobs.add_job(
            self._wake,
            _Places(name, entry),
            args=(name,),
            id=name,
            next_run_time=first,
        )

    def _forget(self, name: str) -> None:
        self._postponed.pop(name, None)
        job = self._jobs.get_job(name)
        if job is not None:
            self._jobs.remove_job(name)

    def _place_anew(self, name: str) -> None:
        """Compute the next run of a name from the present, as far as it is not due already."""
        job = self._jobs.get_job(name)
        if job is None:
            self._postponed.pop(name, None)
            return
        now = datetime.now(UTC)
        regular = self._entries[name].after(name, now)
        assert regular is not None  # or it would have no job
        due = min(job.next_run_time, regular)
        postponed = self._postponed.get(name, due)
        next_run = max(due, postponed)
        self._jobs.modify_job(name, next_run_time=next_run)

    def _compare_clocks(self) -> None:
        """Notice sleep and a clock that was set: the scheduler waits on a clock that knows neither."""
        offset_s = _clock_offset_s()
        while not self._closing.wait(self._tick_s):
            before_s = offset_s
            offset_s = _clock_offset_s()
            set_by_s = offset_s - before_s
            if abs(set_by_s) > _CLOCK_WAS_SET_S:
                self._clock_was_set(timedelta(seconds=set_by_s))
            self._jobs.wakeup()

    def _clock_was_set(self, by: timedelta) -> None:
        """Keep what is left of each postponement, and let no run wait for a time that was wrong."""
        with self._lock:
            for name, until in self._postponed.items():
                self._postponed[name] = until + by
            for name in self._entries:
                self._place_anew(name)


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


class _Places(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """An entry as a trigger of APScheduler; however many places were missed, the next one is ahead."""

    def __init__(self, name: str, entry: Entry) -> None:
        self._name = name
        self._entry = entry

    def get_next_fire_time(
        self, previous: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first place after the present and the last run, even if the clock was set back."""
        last = now
        if previous is not None and previous > now:
            last = previous
        return self._entry.after(self._name, last)


def _cron(expression: str, zone: tzinfo) -> CronTrigger:
    return CronTrigger.from_crontab(expression, timezone=zone)


def _chance(text: str) -> float:
    """Return a number from 0 to below 1 that is always the same for a text, unlike `hash`."""
    hashed = hashlib.blake2b(text.encode(), digest_size=6)
    number = int.from_bytes(hashed.digest(), "big")
    return number / 2**48


def _clock_offset_s() -> float:
    """Return how far the wall clock is ahead of the time since boot, sleep included.

    It changes only when the clock is set.
    """
    wall_s = time.time()
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return wall_s - since_boot_s
