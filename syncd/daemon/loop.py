"""The daemon: decides when a cycle runs, follows its configuration, and talks to systemd.

One thread does all the work: it waits for wakes, reads what is due, and runs one cycle at a time.
A cycle that writes for long gives way to what wakes meanwhile, and the next one goes on with the rest.
Feeds are fetched by other threads, so that a slow one delays nobody.
A configuration that is not valid changes nothing; the last good one goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import structlog

from syncd import early
from syncd import log as logs
from syncd.assembly import (
    Service,
    Stop,
    assemble,
    keep_configuration,
    utc_now,
)
from syncd.config import Config
from syncd.core.amounts import some
from syncd.daemon.allocator import give_back_memory
from syncd.daemon.background import BackgroundReads
from syncd.daemon.configuration import ConfigurationFile
from syncd.daemon.duties import Duties
from syncd.daemon.looks import UnchangedLooks
from syncd.daemon.page import ServedPage
from syncd.daemon.refreshes import Refreshes
from syncd.daemon.schedule import Entry, Scheduler, Wakes
from syncd.daemon.status_line import status_line
from syncd.daemon.sums import Sums
from syncd.daemon.systemd import Notifier
from syncd.daemon.watcher import Watcher
from syncd.daemon.writing_turn import WritingTurn
from syncd.errors import ConfigError, LedgerError
from syncd.ics import ParserPool
from syncd.ledger import Ledger
from syncd.ledger.operation import BEAT_EVERY, note_next_try
from syncd.notices.service import NoticeService

log = structlog.get_logger(__name__)

# Names of wakes that are no sources; no source can be called so.
_CONFIGURATION = "\0configuration"
_EVERYTHING = "\0everything"
_STOP = "\0stop"

_LAST_CALLS_S = 5.0  # before the call under way is interrupted too


@dataclass(frozen=True, slots=True)
class Periods:
    """How often the daemon writes looks that found nothing and that it works, and logs its sums."""

    looks: timedelta = timedelta(minutes=1)
    sums: timedelta = timedelta(hours=1)
    beats: timedelta = BEAT_EVERY


USUAL = Periods()


class Daemon:
    """One running daemon on an open ledger."""

    def __init__(
        self,
        path: Path,
        config: Config,
        ledger: Ledger,
        notifier: Notifier,
        periods: Periods = USUAL,
    ) -> None:
        self._file = ConfigurationFile(path)
        self._ledger = ledger
        self._notifier = notifier
        self._wakes = Wakes()
        # Whose `put` a signal handler may call.
        self._wished: SimpleQueue[None] = SimpleQueue()
        self._ended = threading.Event()
        self._stop = Stop(self._told_to_stop, ledger.under_way.stops)
        self._parsers = ParserPool()
        self._background = BackgroundReads(self._wakes)
        self._config = config
        self._parts: Service = self._assembled(config)
        self._names: frozenset[str] = frozenset()  # of the sources
        # Sources to read in the next cycle, when the API can be used.
        self._owed: set[str] = set()
        self._to_reload = False
        self._turn = WritingTurn()
        self._duties = Duties(ledger.people)
        self._refreshes = Refreshes(ledger.people)
        self._looks = UnchangedLooks(ledger.sources, ledger.measurements, periods.looks)
        self._sums = Sums(periods.sums)
        self._page = ServedPage(config, notifier, self._tell_status)
        self.notices = NoticeService(ledger, config, utc_now)
        self._status = "starting"

    @property
    def status(self) -> str:
        """Return what `systemctl status` shows."""
        if self._page.complaint:
            return f"{self._status}; {self._page.complaint}"
        return self._status

    @property
    def is_stopping(self) -> bool:
        """Return whether the daemon was told to stop."""
        return self._stop()

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Watch, schedule and listen to signals while the context lasts."""
        wake = self._wakes.wake

        def read_everything() -> None:
            wake(_EVERYTHING, "signal")

        def reload() -> None:
            wake(_CONFIGURATION, "signal")

        with (
            Watcher(lambda name: wake(name, "file")) as watcher,
            Scheduler(lambda name: wake(name, "schedule")) as scheduler,
            self._background,
            self._parsers,
            self._stop.on_signals(),
            _handled(signal.SIGHUP, reload),
            _handled(signal.SIGUSR1, read_everything),
            self._page,
        ):
            self._watcher = watcher
            self._scheduler = scheduler
            thread = threading.Thread(target=self._end_calls, name="stop", daemon=True)
            thread.start()
            keep_configuration(self._config, self._ledger)
            try:
                self._follow(self._config)
                if early.reload_wished:
                    reload()
                yield self
            finally:
                self._stop.wished = True  # what is being fetched ends soon
                self._ended.set()
                self._parts.api.close()
                self.notices.close()

    def work(self) -> None:
        """Run cycles and reloads as they become due, until the daemon is told to stop."""
        while not self._stop():
            self._step()
        self._looks.write(self._scheduler)

    def _step(self) -> None:
        """Wait until something may be due, and do what is."""
        self._notifier.alive()
        self._take_wakes(self._pause_s())
        if self._stop():
            return
        self._hear_refreshes()
        self._looks.write_when_due(self._scheduler)
        self._sums.tell_when_due()
        self.notices.step(self._file.problems)
        if self._to_reload or self._is_mended():
            self._to_reload = False
            self._reload()
        is_due = bool(self._owed) or self._duties.is_any_due()
        if is_due and not self._duties.api_rest.is_going_on:
            names = self._owed
            self._owed = set()
            self._cycle(names)

    def _take_wakes(self, pause_s: float) -> None:
        """Wait so long for wakes, ask the feeds among them, and note what is to be done about the others."""
        due = self._wakes.wait(pause_s)
        self._to_reload |= _CONFIGURATION in due
        names = self._names
        if _EVERYTHING not in due:
            names = names.intersection(due)
        subscriptions = self._parts.subscriptions
        arrived = self._background.arrived(subscriptions)
        self._background.fetch(subscriptions, names - arrived)
        self._owed |= {name for name in names if name not in subscriptions}
        self._owed |= arrived - self._pass_over(arrived)
        if _EVERYTHING in due:
            self._duties.api_rest.end()

    def _hear_refreshes(self) -> None:
        """Note the sources that a person wants to be read now, and ask the feeds among them.

        Whoever forces it ends what a feed is left alone for; that a source is no longer there is no matter.
        """
        wishes = [wish for wish in self._refreshes.take() if wish.source in self._names]
        if not wishes:
            return
        subscriptions = self._parts.subscriptions
        log.info("a person asked for a reading", sources=len(wishes))
        for wish in wishes:
            if wish.source not in subscriptions:
                self._owed.add(wish.source)
                continue
            if wish.forced:
                self._scheduler.postpone(wish.source, utc_now())
            self._background.fetch(subscriptions, [wish.source], force=wish.forced)
        self._duties.api_rest.end()

    def _pass_over(self, arrived: frozenset[str]) -> frozenset[str]:
        """Return the feeds for which no cycle is run, because their answers say nothing new."""
        # What other answers of theirs said is still to be taken.
        waiting = self._owed.union(self._parts.reconciler.put_off)
        unchanged = self._looks.take(self._parts, arrived - waiting)
        self._sums.add_unchanged(len(unchanged))
        for name in unchanged:
            self._postpone_feed(name)
        if unchanged:
            self.notices.note_nothing_new()
        return unchanged

    def _gives_way(self) -> bool:
        """Return whether a cycle leaves what it has not yet written to the next one, because others wait.

        Where all that waits is read for the first time it may write for longer: what a cycle costs beside
        writing then counts for more sources.
        """
        self._take_wakes(0)
        is_over = self._turn.is_over(urgent=self._is_urgent())
        return self._has_work() and is_over

    def _is_urgent(self) -> bool:
        """Return whether a reload waits, or a source that was read before and may have been edited."""
        return self._to_reload or any(map(self._parts.reconciler.was_read, self._owed))

    def _others_wait(self) -> bool:
        """Return whether something is due beside what is being read."""
        self._take_wakes(0)
        return self._has_work() or self._stop()

    def _has_work(self) -> bool:
        """Return whether a reload or a source waits for the work loop."""
        return self._to_reload or bool(self._owed)

    def _told_to_stop(self) -> None:
        self._wakes.wake(_STOP, "signal")
        self._wished.put(None)

    def _end_calls(self) -> None:
        """Close the API some time after the wish to stop: a cycle that ends has some calls to make."""
        self._wished.get()
        if not self._ended.wait(_LAST_CALLS_S):
            self._parts.api.close()

    # Cycles

    def _cycle(self, names: Collection[str]) -> None:
        self._duties.begin_cycle()
        self._looks.drop(names)
        self._turn.begin()
        report = self._parts.reconciler.cycle(names)
        self._owed |= set(self._parts.reconciler.put_off)
        summary = status_line(report)
        self._sums.add_cycle(report)
        self.notices.note_cycle(report)
        self._duties.api_rest.note(failed=bool(report.error))
        note_next_try(self._ledger.facts, self._duties.api_rest.until)
        self._duties.due_at = self._parts.reconciler.due_at
        for name in names:
            self._postpone_feed(name)
        next_runs = {name: self._scheduler.next_run(name) for name in names}
        self._ledger.sources.record_next_runs(next_runs)
        for complaint in (self._file.complaint, self._watcher.complaint):
            if complaint:
                summary += f"; {complaint}"
        self._say(summary)
        give_back_memory()

    def _postpone_feed(self, name: str) -> None:
        """Postpone a feed that failed, or that says how often it changes."""
        subscriptions = self._parts.subscriptions
        if name not in subscriptions:
            return
        until = subscriptions.waits_until(name)
        if until is not None:
            self._scheduler.postpone(name, until)
            return
        floor = self._parts.reconciler.refresh_after(name)
        if floor is not None:
            self._scheduler.leave_out(name, utc_now() + floor)

    def _pause_s(self) -> float:
        """Return how long to sleep without wakes: until something is due, or the next sign of life."""
        if self._to_reload:
            return 0.0
        if self._owed and not self._duties.api_rest.is_going_on:
            return 0.0
        return self._duties.pause_s()

    # Configuration

    def _assembled(self, config: Config) -> Service:
        return assemble(
            config,
            self._ledger,
            owner=True,
            # What is being fetched for a former configuration ends too.
            stopping=lambda: self._stop() or self._config is not config,
            progress=self._notifier,
            gives_way=self._gives_way,
            prepare=lambda _names, _force: None,
            elsewhere=self._background.read,
            pool=self._parsers,
            alive=self._notifier.alive,
            others_wait=self._others_wait,
        )

    def _reload(self) -> None:
        """Take over the configuration as it is now, whole or not at all."""
        self._notifier.reloading()
        before = self._config
        try:
            config = self._file.load_beside(self._config)
            parts = self._assembled(config)
            self._take_over(config, parts)
        except ConfigError as error:
            told = some(len(error.problems), "problem")
            log.warning(
                "configuration refused",
                message=f"The configuration has {told}, so the last good one goes on.",
                problems=list(error.problems),
            )
            self._refuse(f"configuration refused ({told})", error.problems)
        except LedgerError:
            raise  # it is about the ledger, not about the configuration
        except Exception as error:  # whatever a file says, it must not end what runs
            log.critical("defect of syncd; please report this line", exc_info=error)
            why = f"configuration refused (a defect of syncd, {type(error).__name__})"
            self._refuse(why, [why])
        else:
            self._file.accept(before, config)
            self._say("configuration taken over")
        finally:
            self._notifier.ready(self.status)

    def _take_over(self, config: Config, parts: Service) -> None:
        """Swap a configuration and its parts in; if that fails, the former ones are back before it raises."""
        former_config = self._config
        former_parts = self._parts
        self._config = config
        self._parts = parts
        self._background.forget()
        self._owed = set()
        try:
            self._follow(config)
            logs.configure(config.log.format, config.log.level)
        except BaseException:
            self._config = former_config
            self._parts = former_parts
            self._follow(former_config)
            parts.api.close()
            raise
        former_parts.api.close()
        keep_configuration(config, self._ledger)
        self._page.follow(config)
        self.notices.take_over(config)
        self._duties.api_rest.end()
        self._duties.due_at = None

    def _refuse(self, why: str, problems: Iterable[str]) -> None:
        """Go on with the last good configuration, and say so until it is replaced."""
        self._file.refuse(why, problems)
        self._page.note_problems(self._file.problems)
        self._say(self._file.complaint)

    def _is_mended(self) -> bool:
        """Return whether a refused configuration is good now, by a file that nobody watches."""
        if not self._file.is_to_be_tried_again():
            return False
        try:
            config = self._file.load_beside(self._config)
            self._assembled(config).api.close()
        except Exception:  # the same as in `_reload`, where it was said
            return False
        return True

    def _follow(self, config: Config) -> None:
        """Watch and schedule what the configuration names, forget what it no longer names, read it all."""
        names = frozenset(source.name for source in config.sources)
        self._names = names
        targets = {_CONFIGURATION: self._file.watched_paths(config)}
        self._watcher.watch(targets | _paths(config))
        self._scheduler.plan(_entries(config))
        for name in names:
            self._postpone_feed(name)
        known = set(self._ledger.sources.all())
        for gone in known.difference(names):
            self._ledger.sources.forget(gone)
        self._wakes.wake(_EVERYTHING, "start")

    def _say(self, status: str) -> None:
        self._status = status
        self._tell_status()

    def _tell_status(self) -> None:
        self._notifier.status(self.status)


def _paths(config: Config) -> dict[str, list[Path]]:
    """Return where the files of the sources of a configuration are."""
    return {
        source.name: [source.path]
        for source in config.sources
        if source.path is not None
    }


def _entries(config: Config) -> dict[str, Entry]:
    """Return when each source of a configuration is due."""
    entries: dict[str, Entry] = {}
    for source in config.sources:
        entries[source.name] = Entry(
            interval=config.interval_of(source),
            cron=source.cron,
            zone=config.calendar.timezone,
            jitter=config.schedule.jitter,
        )
    return entries


@contextmanager
def _handled(number: signal.Signals, action: Callable[[], object]) -> Iterator[None]:
    """Call `action` on a signal while the context lasts."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        action()

    former = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, former)
