"""The outbox: what is in it arrives in the end, in order, once, whatever becomes of receiver and ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from syncd.config import Notices, Webhook
from syncd.errors import LedgerBusy
from syncd.ledger import Ledger
from syncd.ledger.measurements import CounterName
from syncd.ledger.notices import OutboxNotice
from syncd.notices.courier import PAUSES, Courier
from syncd.notices.webhook import WebhookChannel
from tests.notices.building import NOON
from tests.notices.receiver import Receiver


class Post:
    """A ledger with an outbox, a courier on a clock that the test sets, and a receiver."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOON
        self.receiver = Receiver()
        self.made = 0

    def courier(self) -> Courier:
        """A courier as after a start; the receiver has had its port by then."""
        table = Webhook.model_validate(
            {"url": self.receiver.url(), "allow_hosts": ["127.0.0.1"]}
        )
        channel = WebhookChannel(table, Notices.model_validate({}), lambda: self.now)
        return Courier(self.ledger.notices, channel, lambda: self.now)

    def put(self, *names: str) -> None:
        """Put notices into the outbox."""
        notices = [OutboxNotice(name, json.dumps({"type": name})) for name in names]
        self.ledger.notices.record((), (), notices, ["webhook"], self.now)

    def counted(self, result: str) -> float:
        """How many tries came to this."""
        self.ledger.notices.record((), (), (), (), self.now)
        measured = self.ledger.measurements.all()
        return measured.counter(CounterName.NOTICES, "webhook", result)

    @property
    def waiting(self) -> list[str]:
        """The notices that did not arrive yet."""
        return [one.notice.name for one in self.ledger.notices.pending("webhook")]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """An outbox whose receiver was there, and is gone."""
    with Ledger.open(f"sqlite:///{tmp_path / 'state.db'}", owner=True) as ledger:
        made = Post(ledger)
        with made.receiver.running():
            pass  # so that it has a port
        yield made


def test_a_receiver_that_is_away_is_tried_seven_times(post: Post) -> None:
    """After 5 s, 5 min, 30 min, 2 h, 5 h and 10 h; then the notice is given up, and that is remembered."""
    post.put("a")
    courier = post.courier()
    tried_at: list[datetime] = []
    due: datetime | None = post.now
    while due is not None:
        post.now = due
        tried_at.append(due)
        due = courier.deliver_due()
    apart = [after - before for before, after in pairwise(tried_at)]
    assert apart == list(PAUSES)
    assert post.waiting == []
    assert post.ledger.notices.given_up("webhook") == 1
    assert (post.counted("failed"), post.counted("given_up")) == (6, 1)


def test_a_receiver_that_was_away_for_a_day_gets_what_waits_in_order(
    post: Post,
) -> None:
    """What was made within the last hours is delivered oldest first as soon as one try comes through."""
    courier = post.courier()
    for hour in range(24):
        post.now = NOON + timedelta(hours=hour)
        post.put(f"of hour {hour}")
        courier.deliver_due()
    waiting = post.waiting
    assert len(waiting) > 3
    courier = post.courier()  # there was a restart, too
    with post.receiver.running():
        due = courier.deliver_due()
        while due is not None:
            post.now = max(due, post.now)
            due = courier.deliver_due()
    assert post.receiver.types() == waiting
    assert post.ledger.notices.given_up("webhook") == 24 - len(waiting)


def test_nothing_is_tried_before_its_time(post: Post) -> None:
    """A courier that is woken again and again makes one try."""
    post.put("a")
    courier = post.courier()
    with post.receiver.running() as receiver:
        receiver.answers = [(500, {})]
        first = courier.deliver_due()
        for _ in range(5):
            assert courier.deliver_due() == first
        assert len(receiver.posts) == 1


def test_the_oldest_goes_first_when_a_new_one_comes(post: Post) -> None:
    """So an end does not arrive before its beginning, although that waits for its next try."""
    post.put("beginning")
    courier = post.courier()
    courier.deliver_due()
    post.now += timedelta(seconds=1)
    post.put("end")
    with post.receiver.running() as receiver:
        assert courier.deliver_due() is None
        assert receiver.types() == ["beginning", "end"]


def test_one_that_is_never_taken_holds_up_no_other(post: Post) -> None:
    """A receiver that fails on one notice gets the others, and the tries before the time count for nothing."""
    with post.receiver.running() as receiver:
        receiver.answers = [(500, {})]
        post.put("poison")
        courier = post.courier()
        due = courier.deliver_due()
        for name in ("b", "c"):
            receiver.answers = [(500, {}), (204, {})]
            post.put(name)
            assert courier.deliver_due() == due
        assert post.waiting == ["poison"]
        (pending,) = post.ledger.notices.pending("webhook")
        assert pending.tries == 1


def test_gone_ends_one_notice_alone(post: Post) -> None:
    """After 410 that notice is not tried again, and the next one is."""
    with post.receiver.running() as receiver:
        receiver.answers = [(410, {}), (204, {})]
        post.put("a", "b")
        assert post.courier().deliver_due() is None
        assert receiver.types() == ["a", "b"]
    assert (post.counted("gone"), post.counted("delivered")) == (1, 1)
    assert post.ledger.notices.given_up("webhook") == 0


def test_retry_after_puts_off_further(post: Post) -> None:
    """The next try is not before the receiver wants it, and not before its time."""
    with post.receiver.running() as receiver:
        receiver.answers = [(503, {"Retry-After": "3600"}), (503, {"Retry-After": "1"})]
        post.put("a")
        courier = post.courier()
        assert courier.deliver_due() == NOON + timedelta(hours=1)
        post.now += timedelta(hours=1)
        assert courier.deliver_due() == post.now + PAUSES[1]


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """The ledger, locked by another program."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_what_arrived_is_not_sent_again_although_the_ledger_was_locked(
    tmp_path: Path,
) -> None:
    """It is noted as soon as the ledger can be written, and the receiver had it once."""
    file = tmp_path / "state.db"
    url = f"sqlite:///{file}"
    with Ledger.open(url, owner=True, patience_s=0.1) as ledger:
        post = Post(ledger)
        with post.receiver.running() as receiver:
            post.put("a")
            courier = post.courier()
            with locked(file), pytest.raises(LedgerBusy):
                courier.deliver_due()
            assert post.waiting == ["a"]
            assert courier.deliver_due() is None
            assert receiver.types() == ["a"]
        assert post.waiting == []


def test_a_notice_is_put_there_once(post: Post) -> None:
    """Under the same name it is the same, while it waits."""
    post.put("a")
    post.put("a", "b")
    assert post.waiting == ["a", "b"]
