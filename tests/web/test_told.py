"""What the pages of a staged day tell: one word for one thing, and the same on all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.conftest import Office
from tests.web.serving import Client, let_serve, served
from tests.web.staged import shown_day, stage
from tests.web.test_pages import begin_daemon

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(shared_office: Office) -> Iterator[Client]:
    """The pages of a day on which something of each kind happened."""
    let_serve(shared_office)
    stage(shared_office)
    begin_daemon(shared_office)
    with served(shared_office) as client:
        yield client


def text_of(client: Client, path: str) -> str:
    """What a page says, without its elements; they begin on lines of their own."""
    answer = client.ask(path)
    assert answer.status == 200, answer.text
    _, _, body = answer.text.partition("<main")
    return unescape(re.sub("<[^>]+>", "", body))


def test_a_day_counts_what_is_booked_and_what_is_not(client: Client) -> None:
    """Held ones are booked still; what is to be approved and what is in doubt is neither."""
    assert (
        "7 meetings are booked (4 of them until their cancel is approved), "
        "1 is to be approved in Tuya, 1 is in doubt, 2 are wanted and not booked\n"
    ) in text_of(client, shown_day())
    assert "nothing is booked\n" in text_of(client, shown_day(40))


def test_a_source_lists_its_meetings(client: Client) -> None:
    """Those that are refused too, so they are not called booked."""
    told = text_of(client, "/source/office")
    _, _, meetings = told.partition("Its meetings in the next seven days")
    assert "Supplier call" in meetings
