"""Subscriptions on a real server and a real ledger: what is kept, and what need not be read again."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.core.document import Document
from syncd.errors import SourceUnavailable
from syncd.ledger import Ledger
from syncd.sources.feeds import FetchedFeed, Subscription, Subscriptions
from syncd.sources.http import Feed
from tests.sources.fetching import fetcher
from tests.sources.server import CALENDAR, FeedServer, published, status

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
OTHER = CALENDAR.replace(b"test", b"other")


class Following:
    """One feed, asked again and again."""

    def __init__(self, server: FeedServer, file: Path) -> None:
        self.server = server
        self.file = file
        self.ledger = Ledger.open(f"sqlite:///{file}", owner=True)
        self.now = NOW
        feed = Feed(
            "sales",
            server.url("/calendar.ics"),
            allow_hosts=("127.0.0.0/8",),
            timeout_s=20,
        )
        self._subscriptions = Subscriptions(
            {"sales": Subscription(feed, timedelta(minutes=15))},
            fetcher=fetcher,
            store=self.ledger.sources,
            clock=lambda: self.now,
        )

    def serve(self, body: bytes = CALENDAR, **headers: str) -> None:
        """What the server gives from now on."""
        self.server.pages["/calendar.ics"] = published(body, **headers)

    def ask(self, *, force: bool = False) -> FetchedFeed:
        """One round; what it gave is not accepted yet."""
        self._subscriptions.fetch(self._subscriptions.requests(["sales"], force=force))
        return self._subscriptions.take("sales")

    def is_unchanged(self) -> bool:
        """Whether the answer of one more round need not be looked at; if so, it is passed over."""
        self._subscriptions.fetch(self._subscriptions.requests(["sales"]))
        unchanged = self._subscriptions.unchanged(["sales", "other"])
        self._subscriptions.pass_over(unchanged)
        assert self._subscriptions.arrived() == {"sales"} - unchanged
        return bool(unchanged)

    def document(self, *, force: bool = False) -> Document:
        """One round whose document is accepted."""
        arrived = self.ask(force=force)
        arrived.accept()
        (document,) = arrived.documents
        return document

    @property
    def conditions(self) -> list[str | None]:
        """The entity tag in each request so far."""
        return [
            request.headers.get("if-none-match") for request in self.server.requests
        ]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Something done to the ledger behind its back."""
        with sqlite3.connect(self.file) as connection:
            found = connection.execute(statement).fetchall()
        connection.close()
        return found


@pytest.fixture
def following(feed_server: FeedServer, tmp_path: Path) -> Iterator[Following]:
    """A feed with its ledger."""
    following = Following(feed_server, tmp_path / "state.db")
    yield following
    following.ledger.close()


def test_what_did_not_change_looks_the_same(following: Following) -> None:
    """Fresh, not modified, sent again under another tag: one body has one signature, and reads equally."""
    following.serve(etag='"1"')
    documents = [following.document(), following.document()]
    following.serve(etag='"2"')
    documents += [
        following.document(),
        following.document(),
        following.document(force=True),
    ]
    assert following.conditions == [None, '"1"', '"1"', '"2"', None]
    assert len({(d.name, d.base_url, d.signature) for d in documents}) == 1
    assert documents[0].signature
    assert [d.body for d in documents] == [CALENDAR] * 5
    assert (
        b"".join(documents[1].blocks()) == b"".join(documents[1].blocks()) == CALENDAR
    )


def test_an_answer_that_says_nothing_new_need_not_be_looked_at(
    following: Following,
) -> None:
    """A 304 for a body that this process read as a whole, and no failure since; not before it did."""
    following.serve(etag='"1"')
    assert not following.is_unchanged()
    fresh = following.ask()
    assert not following.is_unchanged()
    fresh.accept()
    assert following.is_unchanged()
    assert following.is_unchanged()
    following.server.pages["/calendar.ics"] = status(500)
    assert not following.is_unchanged()
    with pytest.raises(SourceUnavailable):
        following.ask()
    following.serve(etag='"1"')
    following.now += timedelta(hours=1)
    assert not following.is_unchanged()
    following.ask().accept()
    assert following.is_unchanged()
    following.serve(OTHER, etag='"2"')
    assert not following.is_unchanged()
    following.document()
    assert following.is_unchanged()


def test_a_new_process_looks_at_what_a_former_one_read(
    following: Following, tmp_path: Path
) -> None:
    """What is kept is known to be whole only to who read it."""
    following.serve(etag='"1"')
    following.document()
    following.ledger.close()
    again = Following(following.server, tmp_path / "state.db")
    assert not again.is_unchanged()
    again.ask().accept()
    assert again.is_unchanged()
    again.ledger.close()
    assert following.conditions[1:] == ['"1"'] * 3


def test_another_body_looks_different(following: Following) -> None:
    """A changed body has another signature, and in the ledger it takes the place of the one before."""
    following.serve(etag='"1"')
    before = following.document()
    following.serve(OTHER, etag='"2"')
    assert following.document().signature != before.signature
    assert following.document().body == OTHER
    assert following.sql("SELECT count(DISTINCT digest) FROM bodies") == [(1,)]


def test_not_modified_loads_nothing(following: Following) -> None:
    """A 304 is taken without its body, which is asked of the ledger by who looks into it only."""
    following.serve(etag='"1"')
    signature = following.document().signature
    following.sql("DELETE FROM bodies")
    document = following.document()
    assert document.signature == signature
    with pytest.raises(SourceUnavailable, match="read as a whole next time"):
        document.body  # noqa: B018  # reading is what fails


def test_what_was_said_last_is_read_once(following: Following) -> None:
    """A feed that goes on saying "not modified" is asked with its validators without asking the ledger."""
    following.serve(etag='"1"')
    following.document()
    following.document()
    following.sql("DELETE FROM snapshots")
    following.document()
    assert following.conditions == [None, '"1"', '"1"']


def test_an_equal_body_is_not_written_again(following: Following) -> None:
    """When only the validators are new, only they are stored."""
    following.serve(etag='"1"')
    following.document()
    following.sql("UPDATE bodies SET packed = x'00'")
    following.serve(etag='"2"')
    following.document()
    assert following.sql("SELECT packed FROM bodies") == [(b"\0",)]
    assert following.sql("SELECT etag FROM snapshots") == [('"2"',)]


@pytest.mark.parametrize(
    "packed", ["x'00'", "substr(packed, 1, length(packed) - 5)", "x''"]
)
def test_a_damaged_body_is_read_anew(following: Following, packed: str) -> None:
    """What the disk spoiled is unavailable, never half a calendar, and mended by the next round."""
    following.serve(etag='"1"')
    following.document()
    following.sql(f"UPDATE bodies SET packed = {packed}")
    with pytest.raises(SourceUnavailable, match="damaged"):
        following.document().body  # noqa: B018  # reading is what fails
    assert following.document().body == CALENDAR
    assert following.document().body == CALENDAR
    assert following.conditions == [None, '"1"', None, '"1"']


def test_what_was_not_accepted_is_not_kept(following: Following) -> None:
    """Neither body nor validators of what was not read as a whole take the place of those before."""
    following.serve(etag='"1"')
    following.document()
    following.serve(OTHER, etag='"2"')
    assert following.ask().documents[0].body == OTHER
    following.serve(etag='"1"')
    assert following.document().body == CALENDAR
    assert following.conditions == [None, '"1"', '"1"']


def test_a_body_without_validators_is_not_kept(following: Following) -> None:
    """Nothing can be asked about it, so that it would be written in every round and never read."""
    following.serve(etag='"1"')
    kept = following.document()
    following.serve()
    assert following.document().signature == kept.signature
    assert following.sql("SELECT count(*) FROM bodies") == [(0,)]
    following.document()
    assert following.conditions == [None, '"1"', None]


def test_a_failure_keeps_the_body(following: Following) -> None:
    """After failures that were waited for, a 304 still is a whole reading."""
    following.serve(etag='"1"')
    following.document()
    following.server.pages["/calendar.ics"] = status(503)
    with pytest.raises(SourceUnavailable):
        following.ask()
    following.serve(etag='"1"')
    with pytest.raises(SourceUnavailable, match="it failed and is left alone"):
        following.ask()
    following.now += timedelta(days=1)
    assert following.document().body == CALENDAR
    # What failed is tried at once without.
    assert following.conditions == [
        None,
        '"1"',
        None,
        '"1"',
    ]


_READING = """
    import sys
    from datetime import UTC, datetime, timedelta
    from syncd.sources.feeds import Subscription, Subscriptions
    from syncd.sources.http import Feed
    from syncd.sources.http.fetcher import Fetcher
    from syncd.ledger import Ledger

    def peak_mib():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    feed = Feed("sales", sys.argv[1], allow_hosts=("127.0.0.1",), max_bytes=10**9)
    with Ledger.open("sqlite:///" + sys.argv[2], owner=True) as ledger:
        subscriptions = Subscriptions(
            {"sales": Subscription(feed, timedelta(minutes=15))},
            fetcher=Fetcher, store=ledger.sources, clock=lambda: datetime.now(UTC),
        )
        before = peak_mib()
        for _ in range(2):
            subscriptions.fetch(subscriptions.requests(["sales"]))
            arrived = subscriptions.take("sales")
            size = sum(map(len, arrived.documents[0].blocks()))
            arrived.accept()
        print(size, peak_mib() - before, file=sys.stderr)
"""


def test_a_large_feed_is_never_in_memory_as_a_whole(
    feed_server: FeedServer, tmp_path: Path
) -> None:
    """Fetching, reading and keeping 48 MB, fresh and not modified, costs less than 30 MiB of memory."""
    chance = random.Random(1)
    event = (
        b"BEGIN:VEVENT\r\nUID:%b\r\nSUMMARY:Meeting\r\nDESCRIPTION:"
        + b"Bring the figures. " * 12
        + b"\r\n"
    )
    events = b"".join(
        event % chance.randbytes(16).hex().encode() for _ in range(48_000_000 // 310)
    )
    feed_server.pages["/large.ics"] = published(
        b"BEGIN:VCALENDAR\r\n" + events, etag='"1"'
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(_READING),
            feed_server.url("/large.ics"),
            tmp_path / "state.db",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    size, peak_mib = ran.stderr.split()
    assert int(size) == 17 + len(events)
    assert int(size) > 45_000_000
    assert float(peak_mib) < 30
    assert [
        request.headers.get("if-none-match") for request in feed_server.requests
    ] == [None, '"1"']
