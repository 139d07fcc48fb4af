"""What is seen of the files of one target, and when a change of them is finished.

After an event only what it named is looked at, and what is changing already: one of ten thousand files is one
`stat`. A rescan walks everything, and so does a look for which the name does not tell enough.
Must not: read a file, wait, or know who is woken.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from syncd.daemon.path_walk import PathWalk, Signature

# A file that is gone may be half of its replacement by a program that deletes first.
_GONE_S = 1.0
# A finished file waits no longer than this for others of its target that are still being written.
_PATIENCE_S = 1.0
# So long after it began, a change counts even if the writing never ends.
_FOREVER_S = 5.0

Entry: TypeAlias = tuple[str, str]
"""A directory, and a name in it."""


@dataclass(slots=True)
class Target:
    """The state of the files of one name: what was told of, what was seen last, what is changing.

    `look_at` is when to look next without a rescan, on the monotonic clock.
    `took_s` is how long the last look lasted; `announced` whether an event told of the change going on, or
    could not have.
    `places` are the directories that decide where the paths lead, with the names or patterns that count.
    `was_walked` tells whether the last look was at everything, and not only where events were.
    """

    paths: tuple[Path, ...]
    quiet_s: float
    look_at: float
    announced: bool = False
    took_s: float = 0.0
    was_walked: bool = field(default=True, init=False)
    _walk: PathWalk = field(init=False)
    _told: dict[str, Signature] = field(init=False)
    _seen: dict[str, Signature] = field(init=False)
    _quiet_at: dict[str, float] = field(default_factory=dict, init=False)
    # Where the files stand that change, as far as an event told it.
    _changing: dict[str, Entry] = field(default_factory=dict, init=False)
    _near: set[Entry] | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._walk = self._survey()
        self._seen = self._walk.files
        self._told = dict(self._seen)

    @property
    def places(self) -> Mapping[str, Iterable[str]]:
        """Return the directories that decide, as the last walk found them."""
        return self._walk.places

    @property
    def is_changing(self) -> bool:
        """Return whether a change was seen that is not finished yet."""
        return bool(self._quiet_at)

    def note(self, at: Entry | None) -> None:
        """Note where an event was, for the next look; None: perhaps anywhere."""
        if at is None:
            self._near = None
        elif self._near is not None:
            self._near.add(at)

    def take_near(self) -> set[Entry] | None:
        """Return where events were since the last look, and begin anew."""
        near = self._near
        self._near = set()
        return near

    def look(self, near: set[Entry] | None) -> bool:
        """Look at the files and return whether to wake now; otherwise `look_at` says when to look again.

        Only at entries `near` which events were, and at what is changing, if that can be told without a walk.
        """
        self.look_at = float("inf")
        began = time.monotonic()
        changed: set[str] | None = None
        if near is not None:
            changed = self._changed_near(near)
        self.was_walked = changed is None
        if changed is None:
            changed = self._changed_anywhere()
        now = time.monotonic()
        self.took_s = now - began
        for path in changed:
            quiet_s = self.quiet_s if path in self._seen else _GONE_S
            self._quiet_at[path] = now + quiet_s
        for path in list(self._quiet_at):
            if self._seen.get(path) == self._told.get(path):
                del self._quiet_at[path]  # it is again as it was
        if not self._quiet_at:
            self._begin_anew()
            return False
        self._began = self._began or now
        first = min(self._quiet_at.values())
        last = max(self._quiet_at.values())
        wake_at = min(last, first + _PATIENCE_S, self._began + _FOREVER_S)
        if now < wake_at:
            # An event may have come meanwhile.
            self.look_at = min(self.look_at, wake_at)
            return False
        self._tell()
        self._begin_anew()
        return True

    def _tell(self) -> None:
        """Take what was seen of the files that changed for what was told of."""
        for path in self._quiet_at:
            signature = self._seen.get(path)
            if signature is None:
                self._told.pop(path, None)
            else:
                self._told[path] = signature
        self._quiet_at.clear()

    def _begin_anew(self) -> None:
        """Forget the change that went on: it is over, or there was none."""
        self._began = 0.0
        self.announced = False
        self._changing.clear()

    def _changed_near(self, near: set[Entry]) -> set[str] | None:
        """Look at these entries, and at all that is changing; return the files that are other ones.

        None if that takes a walk.
        """
        entries = near.union(self._changing.values())
        if not self._quiet_at.keys() <= self._changing.keys():
            return None
        found: dict[str, Signature | None] = {}
        for at in entries:
            files = self._walk.entry(*at)
            if files is None:
                return None
            found.update(files)
            self._changing.update(dict.fromkeys(files, at))
        changed: set[str] = set()
        for path, signature in found.items():
            if self._seen.get(path) == signature:
                continue
            changed.add(path)
            if signature is None:
                del self._seen[path]
            else:
                self._seen[path] = signature
        return changed

    def _changed_anywhere(self) -> set[str]:
        """Walk the paths anew; return the files that are other ones."""
        former = self._seen
        self._walk = self._survey()
        self._seen = self._walk.files
        paths = former.keys() | self._seen.keys()
        return {path for path in paths if former.get(path) != self._seen.get(path)}

    def _survey(self) -> PathWalk:
        walk = PathWalk()
        for path in self.paths:
            walk.follow(path)
        return walk
