"""The page of a daemon: what it is told of the present, and the thread that serves it.

Everything that serves is loaded by that thread, so that it does not hold up the start, and not before a
configuration wants a page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from syncd.assembly import address_of, utc_now
from syncd.config import Config
from syncd.web.asked import Present

if TYPE_CHECKING:
    from syncd.web.server import PageServer

_log = structlog.get_logger(__name__)

_LAST_ANSWERS_S = 5.0


class SignsOfLife(Protocol):
    """What knows how long the work loop may be silent, and when it said last that it goes on."""

    @property
    def lived_at_s(self) -> float: ...
    @property
    def patience_s(self) -> float: ...


class ServedPage:
    """The page, served while the context lasts, as the configuration says that it was told last.

    `complaint` says why it cannot be reached, empty when it can or is off; `complained` is called, in another
    thread, when that is otherwise.
    """

    def __init__(
        self, config: Config, life: SignsOfLife, complained: Callable[[], object]
    ) -> None:
        self._life = life
        self._complained = complained
        self._config = config
        self._problems: tuple[str, ...] = ()
        self._taken_over_at: datetime = utc_now()
        self._server: PageServer | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self.complaint = ""

    def __enter__(self) -> Self:
        self._serve_if_wanted()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving; an answer that takes long is left behind."""
        self._is_over = True
        if self._server is not None:
            self._server.stop()
        if self._thread.is_alive():
            self._thread.join(_LAST_ANSWERS_S)

    def follow(self, config: Config) -> None:
        """Go by a configuration that was taken over."""
        self._config = config
        self._problems = ()
        self._taken_over_at = utc_now()
        self._serve_if_wanted()
        if self._server is not None:
            self._server.follow()

    def note_problems(self, problems: tuple[str, ...]) -> None:
        """Show why the configuration file is not the configuration in force."""
        self._problems = problems

    def present(self) -> Present:
        """Return how the daemon is at this moment."""
        idle_s = time.monotonic() - self._life.lived_at_s
        return Present(
            config=self._config,
            problems=self._problems,
            idle=timedelta(seconds=max(0.0, idle_s)),
            patience=timedelta(seconds=self._life.patience_s),
            taken_over_at=self._taken_over_at,
        )

    def _serve_if_wanted(self) -> None:
        """Begin to serve, unless that was begun or the page is off."""
        if self._config.web.address is not None and self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        try:
            from syncd.web.server import PageServer

            server = PageServer(address_of(self._config), self.present, self._note)
            self._server = server
            if not self._is_over:
                server.run()
        except Exception as error:  # it must not end what it shows
            _log.critical("defect of syncd; please report this line", exc_info=error)
            self._note(
                f"page is not served (a defect of syncd, {type(error).__name__})"
            )

    def _note(self, complaint: str) -> None:
        self.complaint = complaint
        self._complained()
