"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WORTH_SHOWING = 3  # fewer changes are done before a bar could be read


class ProgressBar:
    """Shows how many changes are made of how many; silent when standard error is no terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, total: int) -> None:
        """So many changes are to be made."""
        if not self._shown or total < _WORTH_SHOWING:
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        from syncd.views.screen import progress_screen

        self._bar = Progress(
            TextColumn("Booking"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=progress_screen(),
        )
        self._task = self._bar.add_task("changes", total=total)
        self._bar.start()

    def advance(self, done: int) -> None:
        """So many of them are made."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
