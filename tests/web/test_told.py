"""What the pages of a staged day tell: one word for one thing, and the same on all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.conftest import Office, ahead, event
from tests.web.serving import Client, let_serve, read, served
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


def cards(client: Client, path: str) -> dict[str, str]:
    """What the entries of a page say, by title."""
    text = client.ask(path).text
    found = re.findall(
        r'(?s)<li class="concern [^>]*>(.*?)</li>\n(?=<li class|</ol>)', text
    )
    told: dict[str, str] = {}
    for entry in found:
        title = re.search(r"<h3>.*?<bdi>(.*?)</bdi></h3>", entry)
        assert title is not None
        told[title[1]] = unescape(re.sub("<[^>]+>", " ", entry))
    return told


def test_each_command_says_what_it_does(client: Client) -> None:
    """And when it is of use: of what is in doubt that nothing has to be done until when."""
    told = cards(client, "/")
    assert re.search(
        r"Nothing has to be done until (\w{3} \d\d \w{3} )?\d\d:\d\d: if it is not found by then, "
        r"it is sent once more\. Sooner, after a look into Tuya: +syncd resolve --retry doubt",
        told["Crisis call"],
    )
    assert re.search(r"Cancels all 4: +syncd approve", told["4 cancellations are held"])
    assert re.search(r"books nothing: +syncd ack bad", told["Steering committee"])
    assert re.search(r"Tells more: +syncd explain late", told["Supplier call"])
    for path in ("/", "/source/gone", "/source/office", "/plan"):
        text = client.ask(path).text
        for found in re.findall(r'(?s)<div class="command">(.*?)<code>', text):
            assert re.search(r'<span class="what">[^<]+[:.]</span>', found), found


def test_the_card_of_what_is_held_says_what_and_why(client: Client) -> None:
    """Its source, the reason, and the first meetings with time and room; the document says the same."""
    told = cards(client, "/")["4 cancellations are held"]
    assert "Source hr: The source suddenly has none of its booked events" in told
    assert re.search(r"\w{3} \d\d \w{3} 09:00–09:45, +Atelier *: +Talk 0 of hr", told)
    assert ("Talk 2 of hr" in told, "Talk 3 of hr" in told) == (True, False)
    assert "and 1 more" in told
    (held,) = [one for one in client.document("/")["concerns"] if one["kind"] == "held"]
    assert (held["source"], held["reason"]) == ("hr", "source_empty")
    assert held["detail"] in told


def test_a_meeting_has_one_word_on_all_pages(client: Client) -> None:
    """On the plan, its own page and its day alike; and the plan counts what it shows."""
    words = {
        "Crisis call": "in doubt",
        "Talk 1 of hr": "held",
        "Supplier call": "refused",
        "Steering committee": "quarantined",
        "Strategy day": "waiting",
    }
    text = client.ask("/plan").text
    chip = r'<span aria-hidden="true">[^<]*</span>([^<]+)</span>'
    for topic, word in words.items():
        (row,) = re.findall(rf'<tr role="row">(?:(?!</tr>).)*<bdi>{topic}</bdi>', text)
        (on_plan,) = re.findall(chip, row)
        (address,) = re.findall(r'href="(/event/[^"]+)"', row)
        on_page = re.search(chip, client.ask(address).text)
        assert on_page is not None
        assert (on_plan, on_page[1]) == (word, word), topic
    assert "1 waiting, 4 held, 2 refused, 1 in doubt, 1 quarantined." in text, (
        re.findall("<strong>.*", text)
    )
    assert "4 cancellations are held until a person approves them." in text
    day = client.ask(shown_day()).text
    for topic in ("Crisis call", "Talk 1 of hr", "Supplier call"):
        assert re.search(f'{topic}</bdi> <span class="word">{words[topic]}<', day)


def test_the_history_says_why_as_of_afterwards(client: Client) -> None:
    """A meeting that was booked is new in the calendar, and no longer one that is not booked."""
    told = text_of(client, "/history")
    assert "New in the calendar. By syncd" in told
    assert "not booked yet" not in told.replace("It is not booked yet", "")


def test_the_page_of_what_is_quarantined_says_what_to_do(
    client: Client, shared_office: Office
) -> None:
    """The reason, where it stands, what stands there, and where it is to be mended; `explain` tells the same."""
    (address,) = re.findall(
        r'href="(/event/[^"]+)"[^>]*>The whole story<[^>]+>: Steering',
        client.ask("/").text,
    )
    told, _, where = text_of(client, address).partition("Where it stands")
    explained = " ".join(shared_office.run("explain", "bad").out.split())
    for text in (told, explained):
        assert "office.ics, line" in text
        assert "RRULE cannot be read" in text
        assert "What stands there: RRULE:FREQ=NEVER" in text
        assert "Mend it in the program that keeps the calendar" in text
    assert "RRULE" not in where
    assert not re.search(r"\d{8}T\d{6}", where)
    assert re.search(r"the series from \w{3} \d\d \w{3} \d{4} 09:00\.", where)


def test_the_verdict_says_what_else_waits(client: Client) -> None:
    """What waits by itself and what is to be approved in Tuya is not in step."""
    assert (
        "<h1>6 things need a person; 1 more waits by itself; "
        "1 more is to be approved in Tuya; everything else is in step.</h1>"
    ) in client.ask("/").text


def test_the_text_of_what_is_private_is_not_shown(office: Office) -> None:
    """Of a private event that cannot be understood only the reason and the place are told."""
    lines = ("SUMMARY:Secret", "CLASS:PRIVATE", "RRULE:FREQ=NEVER")
    office.write(event("bad", ahead(2), 60, *lines))
    read(office)
    told = office.run("explain", "bad").out
    assert "It is quarantined" in told
    assert "Mend it in the program" in told
    assert ("What stands there" in told, "Secret" in told) == (False, False)
