"""Text around a calendar, and bytes of no known charset: what is noted, and what is not believed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from syncd.core.document import Document
from syncd.core.occurrence import Reading, Window
from syncd.core.reasons import Reason
from syncd.ics import Locale
from syncd.ics.series import SeriesParser
from syncd.intake import SourceIndex, diff_source
from tests.intake.tracked import Tracked
from tests.intake.whole import read

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=30), START + timedelta(days=30))


def event(uid: str) -> str:
    """An event in the window."""
    return (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART:20260105T090000Z\r\nDTEND:20260105T100000Z\r\n"
        f"SUMMARY:Meeting {uid}\r\nEND:VEVENT\r\n"
    )


def calendar(*uids: str) -> str:
    """A whole calendar."""
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"
        + "".join(map(event, uids))
        + "END:VCALENDAR\r\n"
    )


WHOLE = calendar("a", "b")


def reading(body: str | bytes) -> Reading:
    """What a source of one document says."""
    content = body.encode() if isinstance(body, str) else body
    return read(
        [Document("office.ics", content)],
        source="office",
        scope="",
        locale=Locale(ZoneInfo("Europe/Berlin")),
        window=WINDOW,
        at=START,
    )


def reasons(said: Reading) -> set[Reason]:
    """What is noted of a reading."""
    return {note.reason for note in said.notes}


PHP = "<br />\n<b>Warning</b>:  Undefined variable $x in <b>/var/www/ics.php</b> on line <b>12</b><br />\n"
AROUND: dict[str, str] = {
    "comment behind": WHOLE + "<!-- Page generated in 0.3 seconds -->\n",
    "comment of several lines behind": WHOLE
    + "\n<!--\n Performance optimized by W3 Total Cache\n\n Served from: x\n-->",
    "comment before": "<!-- cached -->\r\n" + WHOLE,
    "comment on the first line": "<!-- cached -->" + WHOLE,
    "comment on the last line": WHOLE.rstrip() + "<!-- cached -->",
    "warning behind": WHOLE + PHP,
    "warning before": PHP + WHOLE,
    "notice before": "PHP Notice:  Undefined index: x in ics.php on line 3\n" + WHOLE,
    "script of a hoster behind": WHOLE + '<script src="//example.com/a.js"></script>',
    "headers before": "Content-Type: text/calendar; charset=utf-8\r\nX-Powered-By: PHP/8\r\n\r\n"
    + WHOLE,
    "text between calendars": calendar("a") + "-- next --\r\n" + calendar("b"),
    "folded comment behind": WHOLE + " <!-- cached -->\r\n",
}


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("slowly", [False, True])
def test_text_around_is_left_out_with_a_note(name: str, slowly: bool) -> None:
    """A comment, a warning or a script beside whole calendars costs nothing, and is said."""
    body = AROUND[name]
    said = reading(body.replace("BEGIN:VEVENT", "begin:vevent") if slowly else body)
    assert said.error is None
    assert {o.key.uid for o in said.occurrences} == {"a", "b"}
    assert reasons(said) == {Reason.TEXT_AROUND}


@pytest.mark.parametrize(
    "body",
    [
        " " + WHOLE,
        "\t\r\n " + WHOLE,
        "\ufeff \r\n" + WHOLE,
        "\r\n\r\n" + WHOLE,
        calendar("a") + "\ufeff" + calendar("b"),
        calendar("a") + " " + calendar("b"),
        WHOLE + "\0\0\0\0",
        WHOLE + "\x1a",
        WHOLE.rstrip() + "\0" * 4096 + "\r\n",
        WHOLE + " \t \r\n\r\n",
    ],
)
def test_what_nobody_sees_is_no_text(body: str) -> None:
    """Blanks, marks, zeros that fill a block and the end mark of old systems are not worth a note."""
    said = reading(body)
    assert said.error is None
    assert {o.key.uid for o in said.occurrences} == {"a", "b"}
    assert not said.notes


CUT = WHOLE[: WHOLE.index("END:VCALENDAR")]
UNBELIEVED: dict[str, str] = {
    "cut, comment behind": CUT + "<!-- cached -->\n",
    "cut in an event, comment behind": WHOLE[: WHOLE.rindex("SUMMARY")]
    + "\n<!-- cached -->\n",
    "cut in a line, comment behind": WHOLE[: WHOLE.rindex("END:VCALENDAR") + 9]
    + "<!-- cached -->\n",
    "cut, warning behind": CUT + PHP,
    "cut, zeros behind": CUT + "\0" * 512,
    "cut, a whole one behind": CUT + calendar("c"),
    "whole, then a cut one": calendar("a") + "<!-- x -->\n" + calendar("b")[:60],
    "whole, then events without begin": calendar("a")
    + event("b")
    + "END:VCALENDAR\r\n",
    "whole, then a line of an event": WHOLE + "SUMMARY:lost\r\n",
    "begin lost": "VERSION:2.0\r\n" + event("a") + "END:VCALENDAR\r\n",
    "fatal behind": WHOLE
    + "<b>Fatal error</b>:  Allowed memory size exhausted in x on line 1\n",
    "fatal before": "PHP Fatal error:  x\n" + WHOLE,
    "database between": calendar("a") + "Database error: gone away\n" + calendar("b"),
    "comment with an error": WHOLE + "<!-- error: could not load all -->",
    "page around": "<!DOCTYPE html><html><body><pre>\n"
    + WHOLE
    + "</pre></body></html>",
    "page before": "<html><body>Sign in</body></html>\n" + WHOLE,
    "page behind": WHOLE + "<html><head><title>500</title></head></html>",
    "pre before": "Your calendar:\n<pre>\n" + WHOLE + "</pre>",
    "error page with a calendar in it": "Error 500\nThe calendar was:\n" + WHOLE,
    "mail": "From: alice@example.com\r\nSubject: Calendar\r\n\r\n" + WHOLE,
    "warning and no event": PHP + calendar(),
    "much text": "All about calendars.\n" * 1000 + WHOLE,
    "only text": "Nothing here\n",
}


@pytest.mark.parametrize("name", UNBELIEVED)
def test_what_shows_that_something_went_wrong_is_not_believed(name: str) -> None:
    """A cut calendar, a page, an error or parts of a calendar beside a calendar make it unreadable."""
    said = reading(UNBELIEVED[name])
    assert not said.readable
    assert said.error
    assert not said.occurrences


@pytest.mark.parametrize("length", range(40, len(WHOLE) - 2, 3))
def test_no_cut_is_hidden_by_what_stands_behind(length: int) -> None:
    """Wherever a calendar is cut, text behind it does not make it whole."""
    for behind in ("<!-- cached -->\n", "\r\n<!-- cached -->\n", PHP, "\0" * 100):
        assert not reading(WHOLE[:length] + behind).readable


@pytest.mark.parametrize("uids", [("a", "b"), ("a",)])
def test_the_note_stays_and_goes_with_the_text(uids: tuple[str, ...]) -> None:
    """Looking again at what did not change says the same note, also from what was stored."""
    known = SourceIndex()
    for body, noted in (
        (calendar(*uids) + PHP, True),
        (calendar(*uids) + PHP, True),
        (calendar(*uids), False),
    ):
        found = diff_source(
            [Document("office.ics", body.encode())],
            known,
            secret=0,
            is_current=lambda _text, _lines: True,
            tracked=Tracked(kept=dict.fromkeys(uids, ())),
        )
        buckets = found.index.packed()
        stored = {number: b"".join(pieces) for number, pieces in buckets.items()}
        known = SourceIndex.unpacked(stored)
        said = SeriesParser(
            known.contexts,
            source="office",
            scope="",
            locale=Locale(ZoneInfo("Europe/Berlin")),
        )
        assert bool(said.notes) is noted


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "all of it": lambda text: text.encode("cp1252"),
    "one byte": lambda text: text.encode() + b"X-N:\xe9\r\n",
}


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_of_no_known_charset_are_said(slowly: bool, encoding: str) -> None:
    """What is read as Windows-1252 because it is nothing else has a note, whichever way it is read."""
    text = event("a").replace("Meeting a", "Größe")
    lines = ENCODINGS[encoding](text.removesuffix("END:VEVENT\r\n")) + b"END:VEVENT\r\n"
    body = b"BEGIN:VCALENDAR\r\n" + lines + b"END:VCALENDAR\r\n"
    said = reading(body.replace(b"BEGIN:VEVENT", b"begin:vevent") if slowly else body)
    (occurrence,) = said.occurrences
    assert occurrence.summary == "Größe"
    assert reasons(said) == {Reason.CHARSET_UNKNOWN}


@pytest.mark.parametrize(
    "body",
    [
        WHOLE.replace("Meeting", "Größe 会議").encode(),
        WHOLE.replace("Meeting", "Größe 会議").encode("utf-8-sig"),
        WHOLE.replace("Meeting", "Größe 会議").encode("utf-16"),
        WHOLE.replace("Meeting", "Größe 会議").encode("utf-16-le"),
        ("\r\n" + WHOLE).encode("utf-16-be"),
        WHOLE.encode("utf-32"),
        WHOLE.replace("Meeting", "Größe").encode().replace(b"\xc3", b"\xc3\r\n "),
    ],
)
def test_what_is_known_is_not_said(body: bytes) -> None:
    """UTF-8, with a fold in a letter too, and UTF-16 and UTF-32 are read without a word."""
    said = reading(body)
    assert said.error is None
    assert len(said.occurrences) == 2
    assert not said.notes
