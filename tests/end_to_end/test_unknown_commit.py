"""The answer to the COMMIT of an intent is lost: no call before the record is read back, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.errors import CommitUnknown
from tests.conftest import HANG_S, Office, ahead, event
from tests.end_to_end.test_put_back import cycle
from tests.postgres_keeper import Cluster
from tests.proxy import LossyProxy

LATER = timedelta(minutes=10)


@pytest.fixture
def proxy(postgres: Cluster) -> Iterator[LossyProxy]:
    """What stands before the database."""
    proxy = LossyProxy(postgres.port)
    yield proxy
    proxy.close()


@pytest.fixture
def far_office(
    make_office: Any, database: str, postgres: Cluster, proxy: LossyProxy
) -> Iterator[Office]:
    """An office with its state in PostgreSQL behind the proxy."""
    office: Office = make_office()
    url = database.replace(f":{postgres.port}/", f":{proxy.port}/")
    text = (office.folder / "syncd.toml").read_text()
    office.configure(f'{text}[state]\nurl = "{url}"\n')
    with capture_logs():
        yield office


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not"])
@pytest.mark.parametrize("change", ["create", "modify"])
def test_the_answer_to_an_intent_is_lost(
    far_office: Office, proxy: LossyProxy, change: str, committed: bool
) -> None:
    """The cycle ends without the call; the next one finds what is recorded and does what is left to do."""
    office = far_office
    office.write(event("m", ahead(1)))
    if change == "modify":
        cycle(office)
        office.write(event("m", ahead(1, 14)))
    office.forget_requests()
    proxy.drop(b"COMMIT\0", after=b"sending", passes_on=committed)
    with pytest.raises(CommitUnknown):
        cycle(office)
    assert proxy.dropped.wait(HANG_S)
    assert office.writes() == []
    report = cycle(office)
    # Of a create that is recorded nobody knows that it was not sent; a change may be sent again.
    is_waited_for = committed and change == "create"
    assert report.counts["in_doubt"] == int(is_waited_for)
    assert cycle(office, LATER).outcome == "ok"
    assert office.writes() == [change]
    assert len(office.reservations(live=False)) == 1
