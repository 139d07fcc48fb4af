"""The configuration file of a running daemon: read anew when it changes, and complained of while it is refused.

Must not: build anything from a configuration, or take one over.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from syncd.config import Config, load
from syncd.config.changes import changes_between
from syncd.errors import ConfigError

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 5.0


class ConfigurationFile:
    """The file at `path`; `complaint` says why it is not the configuration in use, empty when it is.

    `problems` are all that keep it from being used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._look_again_at = 0.0  # on the monotonic clock
        self.complaint = ""
        self.problems: tuple[str, ...] = ()

    def watched_paths(self, in_use: Config) -> list[Path]:
        """Return the paths whose change may change the configuration."""
        here = self._path.absolute()
        return [here, here.parent / "conf.d" / "*.toml", *in_use.files]

    def load_beside(self, in_use: Config) -> Config:
        """Load the configuration as it is now; raise `ConfigError` also for what cannot be taken over."""
        config = load(self._path)
        if config.state.url != in_use.state.url:
            raise ConfigError(
                ["state.url: takes effect at the next start only; restart syncd"]
            )
        return config

    def accept(self, before: Config, config: Config) -> None:
        """Note that it is the configuration in use, and log what is otherwise than in the one before."""
        self.complaint = ""
        self.problems = ()
        changes = changes_between(before, config)
        told = "; ".join(changes) or "it says the same"
        log.info(
            "configuration taken over",
            message=f"The configuration was taken over: {told}.",
            changes=changes,
            sources=len(config.sources),
            mode=config.mode,
        )

    def refuse(self, why: str, problems: Iterable[str]) -> None:
        """Note that the last good configuration goes on, and why."""
        self.problems = tuple(problems)
        self.complaint = f"{why}, the last good one is used; syncd check tells more"
        self._look_again_at = time.monotonic() + _LOOK_AGAIN_S

    def is_to_be_tried_again(self) -> bool:
        """Tell whether it was refused some time ago; then the next try is due the same time later.

        What it rests on may be in files that nobody watches.
        """
        now = time.monotonic()
        if not self.complaint or now < self._look_again_at:
            return False
        self._look_again_at = now + _LOOK_AGAIN_S
        return True
