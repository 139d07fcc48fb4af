"""The channel of the API, opened by the first call: most cycles make none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from syncd.errors import ApiUnusable, ConfigError

if TYPE_CHECKING:
    from syncd.tuya.channel import Channel


class LazyChannel:
    """Opens a channel when it is needed, once, for several threads.

    The HTTP client and the list of authorities take longer than a whole cycle without calls.
    """

    def __init__(self, make: Callable[[], Channel]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._closed = False
        self.opened: Channel | None = None
        """The channel, if any call needed it so far."""

    def open(self) -> None:
        """Open it now, to find out whether that is possible; raise `ConfigError`."""
        self.opened = self._make()

    @property
    def channel(self) -> Channel:
        """Return the channel; raise `ApiUnusable` for what is wrong with the environment.

        All else was looked at before.
        """
        with self._lock:
            if self.opened is None:
                try:
                    self.opened = self._make()
                except ConfigError as error:
                    raise ApiUnusable(f"{error}; nothing was changed") from None
                if self._closed:
                    self.opened.close()
            return self.opened

    def close(self) -> None:
        """End waiting calls, from any thread; a channel that is opened later is closed at once."""
        with self._lock:
            self._closed = True
            if self.opened is not None:
                self.opened.close()
