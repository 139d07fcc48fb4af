"""Wakes, with a name and no content, when calendars or configuration files have changed on disk.

The truth is what `stat` says about the files of a target; events of the file system only say when to look.
So lost events, file systems without any, remounts and exhausted limits delay a wake to the next rescan
and never lose it; renames, replaced directories and switched links need no rules of their own.
Promises: wakes once a change is finished, and for a burst of changes few times.
Must not: read a file, or know what is done about a change.
"""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self, TypeAlias

import structlog
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from syncd.daemon.path_walk import has_wildcard
from syncd.daemon.target import Entry, Target

_log = structlog.get_logger(__name__)
# That events were lost is said here, with a cure.
logging.getLogger("watchdog.observers.inotify_c").setLevel(logging.ERROR)

# One answer that a network file system kept back must not end the rescans.
_LONGEST_RESCAN_S = 60.0
_CLOSING_S = 2.0
# How long the kernel is left alone after one of its limits was met; each attempt may cost descriptors.
_EXHAUSTED_S = 3600.0
# The same for every directory: watches of one directory share one mask in the kernel, the last one's.
# Without modifications, which come for each write of a file that is not finished.
_EVENTS = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_ONLYDIR
)
_CURES = {
    errno.ENOSPC: "raise the sysctl fs.inotify.max_user_watches",
    errno.EMFILE: "raise the sysctl fs.inotify.max_user_instances, or the limit of open files (LimitNOFILE=)",
    errno.ENFILE: "raise the sysctl fs.file-max",
    errno.EAGAIN: "raise the limits of threads and memory (TasksMax=, MemoryMax=)",
    errno.ENOBUFS: "raise the sysctl fs.inotify.max_queued_events",
}


class Watcher:
    """A thread that calls `wake(name)` when files of a target have changed, until it is closed.

    A change is finished when size and times of the files have been the same for `quiet_s` seconds.
    Every `rescan_s` seconds all files are looked at even without an event.
    `wake` must return at once and call nothing of the watcher.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        *,
        quiet_s: float = 0.3,
        rescan_s: float = 5.0,
    ) -> None:
        self._wake = wake
        self._quiet_s = quiet_s
        self._rescan_s = rescan_s
        self._changed = threading.Condition()
        self._targets: dict[str, Target] = {}
        self._closing = False
        self._subscriptions = _Subscriptions(self._announce)
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch(self, targets: Mapping[str, Iterable[Path]]) -> None:
        """Replace what is watched; may be called at any time.

        A path is a file, a directory (its `*.ics`, not deeper) or a glob; none of them has to exist yet.
        Every change after the return wakes; a name whose paths are unchanged loses none from before either.
        """
        with self._changed:
            known = self._targets
        # Looked at here and without the lock, so that nothing can change unseen after the return.
        made: dict[str, Target] = {}
        for name, named_paths in targets.items():
            paths = tuple(path.absolute() for path in named_paths)
            target = known.get(name)
            if target is None or target.paths != paths:
                now = time.monotonic()
                target = Target(paths, self._quiet_s, look_at=now)
            made[name] = target
        with self._changed:
            self._targets = made
            self._changed.notify()

    @property
    def complaint(self) -> str:
        """Return why changes are seen late, with the cure; empty if they are not."""
        return self._subscriptions.complaint

    def close(self) -> None:
        """Stop; return within two seconds even if a network file system does not answer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_S)

    def _announce(self, names: Iterable[str], at: Entry | None) -> None:
        """Plan a look at these targets soon after an event near them, one for all events of a burst.

        `at` is where it was; None: perhaps anywhere.
        """
        now = time.monotonic()
        with self._changed:
            for name in names:
                target = self._targets.get(name)
                if target is None:
                    continue
                target.announced = True
                target.note(at)
                # Later where looking is slow, so that a burst in a large directory is not all looking.
                pause_s = max(self._quiet_s / 3, 5 * target.took_s)
                target.look_at = min(target.look_at, now + pause_s)
            self._changed.notify()

    def _run(self) -> None:
        rescan_at = time.monotonic() + self._rescan_s
        try:
            while True:
                targets = self._wait_until_due(rescan_at)
                if targets is None:
                    return
                began = time.monotonic()
                if began < rescan_at:
                    due = _due_at(targets, began)
                    self._look(due, targets)
                    continue
                self._look(targets, targets)
                # Looking at a slow file system takes no more than a hundredth of the time.
                ended = time.monotonic()
                rest_s = min(100 * (ended - began), _LONGEST_RESCAN_S)
                rescan_at = ended + max(self._rescan_s, rest_s)
        finally:
            self._subscriptions.close()

    def _wait_until_due(self, rescan_at: float) -> _Targets | None:
        """Wait for the next look or rescan; return all targets then, None when the watcher is closed."""
        with self._changed:
            while not self._closing:
                targets = self._targets
                looks = (target.look_at for target in targets.values())
                next_look = min(looks, default=rescan_at)
                pause_s = min(rescan_at, next_look) - time.monotonic()
                if pause_s <= 0:
                    return targets
                self._changed.wait(pause_s)
        return None

    def _look(self, due: _Targets, targets: _Targets) -> None:
        """Look at some of the targets, wake for those that are finished, follow where their paths lead."""
        unannounced = False
        goes_on = False
        for name, target in due.items():
            announced = target.announced
            with self._changed:
                near = target.take_near()
            if due is targets:
                near = None  # the rescan
            has_changed = target.look(near)
            goes_on |= target.was_walked
            if not has_changed:
                continue
            unannounced |= not announced
            with self._changed:
                is_current = self._targets.get(name) is target
                is_wanted = is_current and not self._closing
            if is_wanted:
                self._wake(name)
        if not goes_on:
            return  # no place is another one
        if unannounced:
            self._subscriptions.renew()
        for name in self._subscriptions.follow(targets):
            target = targets[name]
            target.look_at = 0.0
            with self._changed:
                target.note(None)
            # What changed there before events could tell is no sign of a deaf watch; what was seen before is.
            if not target.is_changing:
                target.announced = True


_Targets: TypeAlias = Mapping[str, Target]
_NamesByPlace: TypeAlias = Mapping[str, Mapping[str, set[str]]]
"""By directory and by the pattern that counts in it: the names of the targets it decides."""
_Identity: TypeAlias = tuple[int, int]
"""Device and inode of a directory."""


class _Followed(WatchCallback):
    """A directory that is watched, with what its watch calls, from a thread of watchdog.

    `identity` is which directory it was then; `is_alive` until it is gone, and its watch with it.
    """

    def __init__(
        self,
        directory: str,
        identity: _Identity,
        heard: Callable[[str, str | None], None],
    ) -> None:
        self.identity = identity
        self.is_alive = True
        self.watch: WatchDescriptor | None = None
        self._directory = directory
        self._heard = heard

    def on_event(self, event: InotifyEvent) -> None:
        """Tell of an event in the directory, with the name of the entry."""
        self._heard(self._directory, os.fsdecode(event.name))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:  # noqa: ARG002  # as its protocol
        """Note that nothing more is heard of the directory."""
        self.is_alive = False

    def on_queue_overflow(self) -> None:
        """Tell that events were lost, perhaps of any entry."""
        self._heard(self._directory, None)


class _Subscriptions:
    """The inotify watches of the directories that count, as far as the kernel's limits reach.

    `announce` is called with the names near which something happened, and where that was, from a thread of
    watchdog.

    Of watchdog the descriptor is used that its observers share, and no observer: that starts a thread for
    each directory, and a source of nested directories may have more of them than a service may have threads.
    """

    def __init__(self, announce: Callable[[Iterable[str], Entry | None], None]) -> None:
        self._announce = announce
        self._inotify: InotifyFD | None = None
        self._followed: dict[str, _Followed] = {}
        self._near: _NamesByPlace = {}
        self._said: set[int] = set()
        # On the monotonic clock, of each limit that was met.
        self._met_until: dict[int, float] = {}
        self._try_at = 0.0

    @property
    def complaint(self) -> str:
        """Return why changes are seen late, with the cure, for an hour after a limit was met; else nothing."""
        now = time.monotonic()
        limits = list(self._met_until.items())
        cures = [_CURES[number] for number, until in limits if now < until]
        if not cures:
            return ""
        return f"changes of files are seen late: {', and '.join(cures)}"

    def follow(self, targets: _Targets) -> set[str]:
        """Subscribe to exactly the places of targets; return the names of those that have new ones."""
        near = _names_by_place(targets)
        self._near = near  # before the first event can come
        wanted = {directory: _identity(directory) for directory in near}
        self._unsubscribe_all_but(wanted)
        renewed: set[str] = set()
        for directory, identity in wanted.items():
            if identity is None or directory in self._followed:
                continue
            if self._subscribe(directory, identity):
                renewed.update(*near[directory].values())
        return renewed

    def _unsubscribe_all_but(self, wanted: Mapping[str, _Identity | None]) -> None:
        """End the subscriptions to directories that are not wanted, became others, or send nothing more."""
        # A watch ends with its directory; the next directory may have the same name and the same inode.
        for directory, followed in list(self._followed.items()):
            is_same = wanted.get(directory) == followed.identity
            if not is_same or not followed.is_alive:
                self._unsubscribe(directory)

    def renew(self) -> None:
        """End all subscriptions after a change that no event told of; `follow` begins anew.

        A watch went deaf, as after a remount, or there are no events in that place; finding out costs more.
        """
        if not self._rests():
            self.close()

    def close(self) -> None:
        """End all subscriptions; `follow` begins anew."""
        inotify = self._inotify
        self._inotify = None
        self._followed = {}
        if inotify is not None:
            inotify.stop()
            inotify.join(_CLOSING_S)

    def _heard(self, directory: str, entry: str | None) -> None:
        """Announce the targets near an event; without an entry those near the directory: events were lost."""
        if entry is None:
            self._complain(errno.ENOBUFS)
        names: set[str] = set()
        for pattern, near in self._near.get(directory, {}).items():
            if entry is None or _matches(entry, pattern):
                names |= near
        if names:
            at = None if entry is None else (directory, entry)
            self._announce(names, at)

    def _subscribe(self, directory: str, identity: _Identity) -> bool:
        """Add a watch of a directory; return whether there is one now."""
        if self._rests():
            return False
        followed = _Followed(directory, identity, self._heard)
        try:
            if self._inotify is None:
                inotify = InotifyFD()
                inotify.start()
                self._inotify = inotify
            followed.watch = self._inotify.add_callback(
                os.fsencode(directory), _EVENTS, followed, CallbackId(id(followed))
            )
        except (OSError, RuntimeError) as error:
            # Python raises `RuntimeError` for a thread that cannot be started.
            number = error.errno if isinstance(error, OSError) else errno.EAGAIN
            if number in _CURES:
                self._try_at = time.monotonic() + _EXHAUSTED_S
                self._complain(number)
            return False  # otherwise it is gone again: rescans see to it
        self._followed[directory] = followed
        if followed.watch < 0:  # it may not be read
            self._unsubscribe(directory)
        return directory in self._followed

    def _unsubscribe(self, directory: str) -> None:
        followed = self._followed.pop(directory)
        assert self._inotify is not None
        assert followed.watch is not None
        self._inotify.remove_callbacks([(followed.watch, CallbackId(id(followed)))])

    def _rests(self) -> bool:
        """Return whether a limit was met not long ago, so that no watch is added."""
        return time.monotonic() < self._try_at

    def _complain(self, number: int) -> None:
        """Warn once about each limit that is met, with its cure."""
        self._met_until[number] = time.monotonic() + _EXHAUSTED_S
        if number in self._said:
            return
        self._said.add(number)
        _log.warning(
            "changes of files are seen later, by looking; to be told of them by the kernel, "
            + _CURES[number],
            error=os.strerror(number),
        )


def _due_at(targets: _Targets, moment: float) -> _Targets:
    """Return the targets whose look is due, on the monotonic clock."""
    return {
        name: target for name, target in targets.items() if target.look_at <= moment
    }


def _matches(entry: str, pattern: str) -> bool:
    """Tell whether an entry of a directory is named by a pattern, or exactly so."""
    if entry == pattern:
        return True
    return has_wildcard(pattern) and fnmatch.fnmatchcase(entry, pattern)


def _names_by_place(targets: _Targets) -> _NamesByPlace:
    """Return, by directory and by the pattern that counts in it, the names of the targets it decides."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, target in targets.items():
        for directory, patterns in target.places.items():
            near = found.setdefault(directory, {})
            for pattern in patterns:
                names = near.setdefault(pattern, set())
                names.add(name)
    return found


def _identity(directory: str) -> _Identity | None:
    """Return device and inode of a directory by its name; None if there is none."""
    try:
        status = os.lstat(directory)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
