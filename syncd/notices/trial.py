"""A try of every channel, for who asks at the keyboard whether anybody would be told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from syncd.config import Config
from syncd.ledger.notices import ChannelName
from syncd.notices.channel import Undelivered
from syncd.notices.channels import channels_of, pinger_of
from syncd.notices.notice import Composer, new_notice_name


@dataclass(frozen=True, slots=True)
class ChannelTrial:
    """What a receiver answered to a notice that says nothing, after how many seconds."""

    channel: ChannelName
    where: str
    is_good: bool
    answer: str
    seconds: float


def try_channels(config: Config, clock: Callable[[], datetime]) -> list[ChannelTrial]:
    """Send one notice through every channel, all at once, and return what each answered."""
    trials = list(_trials(config, clock))
    if not trials:
        return []
    with ThreadPoolExecutor(len(trials)) as pool:
        return list(pool.map(lambda trial: trial(), trials))


def _trials(
    config: Config, clock: Callable[[], datetime]
) -> Iterator[Callable[[], ChannelTrial]]:
    composer = Composer(config, lambda _alert: None)
    notice = composer.test(new_notice_name(), clock())
    for channel in channels_of(config, clock):
        deliver = partial(channel.deliver, notice)
        yield partial(_tried, channel.name, channel.where, deliver)
    pinger = pinger_of(config)
    if pinger is not None:
        from syncd.notices.ping import Pulse

        say = partial(pinger.say, Pulse(is_good=True, line="syncd notify --test"))
        yield partial(_tried, pinger.name, pinger.where, say)


def _tried(name: ChannelName, where: str, deliver: Callable[[], str]) -> ChannelTrial:
    began = time.monotonic()
    is_good = True
    try:
        answer = deliver()
    except Undelivered as error:
        is_good = False
        answer = str(error)
        if error.told:
            answer = f"{answer}; it said: {error.told}"
    return ChannelTrial(name, where, is_good, answer, time.monotonic() - began)
