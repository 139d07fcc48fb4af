"""The daemon: decides when a cycle runs, follows its configuration, and talks to systemd.

One thread does all the work: it waits for wakes, reads what is due, and runs one cycle at a time.
A cycle that writes for long gives way to what wakes meanwhile, and the next one goes on with the rest.
Feeds are fetched by other threads, so that a slow one delays nobody.
A configuration that is not valid changes nothing; the last good one goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

import structlog

from syncd import early
from syncd import log as logs
from syncd.assembly import Service, Stop, api_client
from syncd.config import Config, Source
from syncd.core.amounts import some
from syncd.daemon.allocator import give_back_memory
from syncd.daemon.background import BackgroundReads
from syncd.daemon.configuration import ConfigurationFile
from syncd.daemon.engagement import Engagement
from syncd.daemon.membership import Members
from syncd.daemon.page import ServedPage
from syncd.daemon.schedule import (
    CONFIGURATION,
    EVERYTHING,
    STOP,
    Entry,
    Scheduler,
    Wakes,
)
from syncd.daemon.sums import Sums
from syncd.daemon.surroundings import Surroundings
from syncd.daemon.systemd import Notifier
from syncd.daemon.watcher import Watcher
from syncd.daemon.work import Work
from syncd.errors import ConfigError, LedgerError
from syncd.ics import ParserPool
from syncd.ledger import Ledger
from syncd.ledger.operation import BEAT_EVERY
from syncd.notices.service import tell_unusable

log = structlog.get_logger(__name__)

_LAST_CALLS_S = 5.0  # before the call under way is interrupted too
_LOOK_EVERY_S = 1.0  # at the time, while there is no ledger


@dataclass(frozen=True, slots=True)
class Periods:
    """How often the daemon writes looks that found nothing and that it works, and logs its sums."""

    looks: timedelta = timedelta(minutes=1)
    sums: timedelta = timedelta(hours=1)
    beats: timedelta = BEAT_EVERY


USUAL = Periods()


class Daemon:
    """One running daemon `on` the ledger that it owns, or as one of the members of a shared one.

    A member that cannot use the ledger goes on without work, and joins the others again as soon as it can.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        on: Ledger | Members,
        notifier: Notifier,
        periods: Periods = USUAL,
    ) -> None:
        self._file = ConfigurationFile(path)
        self._on = on
        self._engagement: Engagement | None = None  # from when it runs
        self._notifier = notifier
        self._periods = periods
        self._wakes = Wakes()
        # Whose `put` a signal handler may call.
        self._wished: SimpleQueue[None] = SimpleQueue()
        self._ended = threading.Event()
        self._stop = Stop(self._told_to_stop)
        self._background = BackgroundReads(self._wakes)
        self._config = config
        self._page = ServedPage(config, notifier, self._tell_status)
        self._status = "starting"
        self._told = ""  # to systemd

    @property
    def status(self) -> str:
        """Return what `systemctl status` shows."""
        said = "; ".join(filter(None, (self._status, self._page.complaint)))
        return self._engagement.told(said) if self._engagement is not None else said

    @property
    def _engaged(self) -> Engagement:
        assert self._engagement is not None  # it runs
        return self._engagement

    @property
    def _work(self) -> Work | None:
        """Return what it works with, None while there is no ledger."""
        return self._engagement.work if self._engagement is not None else None

    @property
    def is_stopping(self) -> bool:
        """Return whether the daemon was told to stop."""
        return self._stop()

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Watch, schedule and listen to signals while the context lasts."""
        wake = self._wakes.wake

        def read_everything() -> None:
            wake(EVERYTHING, "signal")

        def reload() -> None:
            wake(CONFIGURATION, "signal")

        with (
            Watcher(lambda name: wake(name, "file")) as self._watcher,
            Scheduler(lambda name: wake(name, "schedule")) as self._scheduler,
            self._background,
            ParserPool() as parsers,
            self._stop.on_signals(),
            _handled(signal.SIGHUP, reload),
            _handled(signal.SIGUSR1, read_everything),
            self._page,
        ):
            around = Surroundings(
                stop=self._stop,
                notifier=self._notifier,
                wakes=self._wakes,
                scheduler=self._scheduler,
                background=self._background,
                parsers=parsers,
                sums=Sums(self._periods.sums),
                looks_every=self._periods.looks,
            )
            engagement = Engagement(self._on, around, self._follow_work)
            self._engagement = engagement
            thread = threading.Thread(target=self._end_calls, name="stop", daemon=True)
            thread.start()
            try:
                engagement.begin(self._config)
                if isinstance(self._on, Members):
                    self._status = ""  # what it is among them says more
                if early.reload_wished:
                    reload()
                yield self
            finally:
                self._stop.wished = True  # what is being fetched ends soon
                self._ended.set()
                engagement.end()

    def work(self) -> None:
        """Run cycles and reloads as they become due, until the daemon is told to stop."""
        while not self._stop():
            self._notifier.alive()
            try:
                self._step()
            except LedgerError as error:
                self._engaged.lose(error)
                self._say("")
        if self._work is not None:
            self._work.leave()

    def tell_ready(self) -> None:
        """Tell that the start, or a reload, is over."""
        self._told = self.status
        self._notifier.ready(self._told)

    def tell_unusable(self, error: LedgerError) -> None:
        """Tell at once that the ledger cannot be used, as the last thing that is done."""
        tell_unusable(self._config, error)

    def note_waiting(self, sentence: str) -> None:
        """Tell that the ledger cannot be used for long, in a thread of its own."""
        if self._work is not None:
            self._work.note_waiting(sentence)

    def _step(self) -> None:
        """Wait until something may be due, and do what is."""
        if self._work is None:
            self._wait_for_ledger()
            return
        self._work.take_wakes(self._work.pause_s())
        if self._stop():
            return
        work = self._engaged.step(self._config)
        if work is None:
            return
        work.look_around(self._file.problems)
        if work.to_reload or self._is_mended():
            work.to_reload = False
            self._reload()
        came = work.do_what_is_due()
        if came is not None:
            complaints = filter(None, (self._file.complaint, self._watcher.complaint))
            self._say("; ".join([came, *complaints]))
            give_back_memory()
        elif self._told != self.status:
            self._tell_status()

    def _wait_for_ledger(self) -> None:
        """Wait for wakes while there is no ledger to work on, and join the others once it is time."""
        engagement = self._engaged
        due = self._wakes.wait(min(engagement.pause_s, _LOOK_EVERY_S))
        if self._stop():
            return
        if CONFIGURATION in due or self._is_mended():
            self._reload()
        engagement.wait(self._config)
        if self._told != self.status:
            self._tell_status()

    def _told_to_stop(self) -> None:
        self._wakes.wake(STOP, "signal")
        self._wished.put(None)
        if self._work is not None:
            self._work.note_stop()

    def _end_calls(self) -> None:
        """Close the API some time after the wish to stop: a cycle that ends has some calls to make."""
        self._wished.get()
        work = self._work
        if not self._ended.wait(_LAST_CALLS_S) and work is not None:
            work.parts.api.close()

    # Configuration

    def _assembled(self, config: Config) -> Service | None:
        """Return the parts of a configuration, None while there is no ledger; raise `ConfigError`."""
        if self._work is not None:
            return self._work.assembled(config)
        api_client(config).close()  # what it says of the API is judged there
        return None

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
            self._engaged.note_taken_over(config)
        finally:
            self.tell_ready()

    def _take_over(self, config: Config, parts: Service | None) -> None:
        """Swap a configuration and its parts in; if that fails, the former ones are back before it raises."""
        former_config = self._config
        former_parts = self._swap(config, parts)
        try:
            self._follow(config)
            logs.configure(config.log.format, config.log.level)
        except BaseException:
            self._swap(former_config, former_parts)
            self._follow(former_config)
            _close(parts)
            raise
        _close(former_parts)
        if self._work is not None:
            self._work.note_taken_over()
        self._page.follow(config)

    def _swap(self, config: Config, parts: Service | None) -> Service | None:
        """Go on with another configuration and its parts, and return the former parts."""
        self._config = config
        if self._work is None or parts is None:
            return None
        return self._work.swap(parts)

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
            _close(self._assembled(config))
        except Exception:  # the same as in `_reload`, where it was said
            return False
        return True

    def _follow_work(self, anew: bool) -> None:
        """Watch and schedule what is read here by now."""
        self._follow(self._config, anew=anew)

    def _follow(self, config: Config, *, anew: bool = True) -> None:
        """Watch and schedule what is read here of what the configuration names, and forget what it does not.

        All of it is read once, or what was not read here before unless it begins `anew`.
        """
        names = config.source_names
        if self._work is None:
            names = frozenset()
        elif self._work.sources is not None:
            names &= self._work.sources
        targets = {CONFIGURATION: self._file.watched_paths(config)}
        self._watcher.watch(targets | _paths(config, names))
        self._scheduler.plan(_entries(config, names))
        if self._work is not None:
            self._work.follow(names, anew=anew)

    def _say(self, status: str) -> None:
        self._status = status
        self._tell_status()

    def _tell_status(self) -> None:
        self._told = self.status
        self._notifier.status(self._told)


def _paths(config: Config, names: Container[str]) -> dict[str, list[Path]]:
    """Return where the files of the sources with these names are."""
    return {
        source.name: [source.path]
        for source in _with_names(config, names)
        if source.path is not None
    }


def _entries(config: Config, names: Container[str]) -> dict[str, Entry]:
    """Return when each of the sources with these names is due."""
    entries: dict[str, Entry] = {}
    for source in _with_names(config, names):
        entries[source.name] = Entry(
            interval=config.interval_of(source),
            cron=source.cron,
            zone=config.calendar.timezone,
            jitter=config.schedule.jitter,
        )
    return entries


def _with_names(config: Config, names: Container[str]) -> list[Source]:
    return [source for source in config.sources if source.name in names]


def _close(parts: Service | None) -> None:
    """Close the API of parts that are not used any more."""
    if parts is not None:
        parts.api.close()


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
