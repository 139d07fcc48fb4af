"""The life of a daemon: its start, what it opens, and how it ends."""

from __future__ import annotations

import math
import threading
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import structlog

from syncd import log as logs
from syncd.assembly import address_of, open_ledger
from syncd.config import Config, load
from syncd.core.leases import Timing
from syncd.daemon.allocator import share_heaps
from syncd.daemon.heartbeat import Heartbeat
from syncd.daemon.loop import USUAL, Daemon, Periods
from syncd.daemon.membership import USUAL_TIMING, Members
from syncd.daemon.systemd import Notifier
from syncd.errors import LedgerBusy, LedgerError
from syncd.ledger import Ledger
from syncd.ledger.patience import LedgerPatience
from syncd.notices.service import tell_unusable

log = structlog.get_logger(__name__)

# That another program may keep on the ledger; a backup takes minutes.
_LONGEST_LOCK_S = 3600.0
_START_S = 90.0  # a ledger of years may take as long to be converted
_LOCK_TOLD_AFTER_S = 300.0


def run_daemon(
    path: Path, periods: Periods = USUAL, timing: Timing = USUAL_TIMING
) -> None:
    """Run the daemon until SIGTERM or SIGINT; raise `ConfigError` or `LedgerError` when it cannot begin.

    On a shared ledger it is one of several, whose leases go by `timing`.
    """
    share_heaps()
    notifier = Notifier.from_environment()
    notifier.extend_timeout(_START_S)
    config = load(path)
    logs.configure(config.log.format, config.log.level)
    wait = _LedgerWait(notifier)
    with ExitStack() as stack:
        on: Ledger | Members
        if address_of(config).is_shared:
            on = Members(path, lambda: notifier.lived_at_s, timing)
        else:
            on = stack.enter_context(_owned(config, wait))
        daemon = Daemon(path, config, on, notifier, periods)
        try:
            stack.enter_context(daemon.running())
        except LedgerError as error:
            tell_unusable(config, error)
            raise
        wait.daemon = daemon
        daemon.tell_ready()
        log.info("ready", sources=len(config.sources), mode=config.mode)
        # A member tells with its lease that it lives.
        heartbeat: AbstractContextManager[object] = nullcontext()
        if isinstance(on, Ledger):
            heartbeat = Heartbeat(
                on.operation, path, lambda: notifier.lived_at_s, periods.beats
            )
        _work(daemon, notifier, heartbeat)


def _owned(config: Config, wait: _LedgerWait) -> Ledger:
    """Return the ledger in a file, as its owner; raise `LedgerError`, which is told."""
    patience = LedgerPatience(_LONGEST_LOCK_S, wait.stopping, wait.alive)
    try:
        return open_ledger(config, owner=True, patience=patience, converts_aside=True)
    except LedgerError as error:
        tell_unusable(config, error)
        raise


def _work(
    daemon: Daemon, notifier: Notifier, heartbeat: AbstractContextManager[object]
) -> None:
    """Let a daemon work until it is told to stop; raise `LedgerError`, which is told."""
    try:
        with heartbeat, notifier.between_steps():
            daemon.work()
    except LedgerBusy as error:
        if not daemon.is_stopping:
            notifier.status(str(error))
            daemon.tell_unusable(error)
            raise
        log.warning(
            "stopped while another program kept the ledger locked; the next start looks further"
        )
    except LedgerError as error:
        notifier.status(str(error))
        daemon.tell_unusable(error)
        raise
    except KeyboardInterrupt:
        log.warning(
            "stopped in the middle of a call; its outcome is looked up at the next start"
        )
    finally:
        notifier.stopping()


class _LedgerWait:
    """The signs of life and the status while the ledger is locked, until it is free again."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._told = ""
        self._since_s = 0.0  # on the monotonic clock
        self.daemon: Daemon | None = None  # as soon as there is one

    def stopping(self) -> bool:
        """Return whether the daemon was told to stop; before there is one a signal ends the process."""
        return self.daemon is not None and self.daemon.is_stopping

    def alive(self, status: str) -> None:
        """Tell the manager that the work loop waits and why; an empty status ends the wait."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._notifier.alive()
        if self.daemon is None:
            self._notifier.extend_timeout(_START_S)
        if status != self._told:
            self._told = status
            self._since_s = time.monotonic()
            before = "starting"
            if self.daemon is not None:
                before = self.daemon.status
            self._notifier.status(status or before)
        waited_s = time.monotonic() - self._since_s
        if status and waited_s > _LOCK_TOLD_AFTER_S and self.daemon is not None:
            self._since_s = math.inf
            self.daemon.note_waiting(status)
