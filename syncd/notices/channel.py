"""What every channel has in common: it takes a notice to its receiver, or says why that took it not."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from syncd.ledger.notices import ChannelName, OutboxNotice


class Undelivered(Exception):
    """Why a receiver did not take a notice, as a sentence without a path, a secret or an address in it.

    `wait` is how long it asks to be left alone; `is_gone`: it wants this notice never.
    `told` is what it said itself, for who asks at the keyboard.
    """

    def __init__(
        self,
        sentence: str,
        *,
        wait: timedelta | None = None,
        is_gone: bool = False,
        told: str = "",
    ) -> None:
        self.wait = wait
        self.is_gone = is_gone
        self.told = told
        super().__init__(sentence)


class NoticeChannel(Protocol):
    """A way to one receiver; `where` names it for people, without what may be secret."""

    @property
    def name(self) -> ChannelName: ...

    @property
    def where(self) -> str: ...

    def deliver(self, notice: OutboxNotice) -> str:
        """Take a notice to the receiver and return what it answered; raise `Undelivered`."""
        ...

    def interrupt(self) -> None:
        """End what is under way, from another thread; nothing is delivered any more."""
        ...
