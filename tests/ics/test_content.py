"""Content lines and raw components: what stands where in the text of a calendar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.ics.content import Incomplete, RawComponent, content_lines, decode, split
from syncd.ics.series import lines_of
from syncd.ics.vevent import RawEvent

ALARM = ("BEGIN:VALARM", "TRIGGER:-PT5M", "DESCRIPTION:inner", "END:VALARM")
EVENT = (
    "BEGIN:VEVENT",
    "UID:a\\,b\\;c\\\\d",
    'CONFERENCE;LABEL="a:b;c":https://example.com/x:y',
    *ALARM,
    "conference;label=second:https://example.org",
    'SUMMARY;X="never closed:text',
    "DESCRIPTION:outer",
    "END:VEVENT",
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1
)


def body(*lines: str, end: str = "\r\n") -> bytes:
    """A VCALENDAR of these lines."""
    return end.join(
        ["BEGIN:VCALENDAR", "VERSION:2.0", *lines, "END:VCALENDAR", ""]
    ).encode()


def event() -> RawComponent:
    """The component of `EVENT` as it is split from a body."""
    (calendar,) = split(body(*EVENT))
    (component,) = calendar.components
    return component


def test_values_stop_at_subcomponents() -> None:
    """A property of an alarm is not a property of its event."""
    assert list(event().values("DESCRIPTION")) == [("", "outer")]
    assert event().first("TRIGGER") is None


def test_values_respect_quotes_and_case() -> None:
    """A colon inside quotes does not end the parameters, and names compare in any letter case."""
    assert list(event().values("CONFERENCE")) == [
        (';LABEL="a:b;c"', "https://example.com/x:y"),
        (";label=second", "https://example.org"),
    ]


def test_open_quote() -> None:
    """A quote that is never closed does not swallow the value."""
    assert event().first("SUMMARY") == "text"


def test_uid_without_escapes() -> None:
    """The UID is the text that was meant, not its spelling."""
    assert event().uid == "a,b;c\\d"


def test_subcomponents() -> None:
    """Alarms are components of their own, found by kind."""
    assert [alarm.lines for alarm in event().subcomponents("VALARM")] == [ALARM]
    assert list(event().subcomponents("VLOCATION")) == []


def test_own_lines() -> None:
    """The lines of an event leave out its frame and its alarms."""
    assert list(event().own_lines()) == [
        line for line in EVENT[1:-1] if line not in ALARM
    ]


def test_calendar_properties() -> None:
    """Properties of the calendar are its own, the first of a name counts, and components follow in order."""
    (calendar,) = split(
        body(
            "X-WR-TIMEZONE:A",
            "x-wr-timezone:B",
            "BEGIN:VTODO",
            "X:1",
            "END:VTODO",
            *EVENT,
        )
    )
    assert calendar.properties == {"VERSION": "2.0", "X-WR-TIMEZONE": "A"}
    assert [(c.name, c.line) for c in calendar.components] == [
        ("VTODO", 5),
        ("VEVENT", 8),
    ]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_line_numbers(end: str) -> None:
    """Lines count from 1 as an editor shows them, folds and blank lines included, for any line end."""
    text = end.join(["A:1", " folded", "", "B:2", "\tfolded", "C:3"])
    assert list(content_lines(text)) == [(1, "A:1folded"), (4, "B:2folded"), (6, "C:3")]


@given(TEXTS, st.integers(1, 30), st.sampled_from([b"\r\n ", b"\n\t", b"\r "]))
def test_any_fold_is_undone(text: str, width: int, fold: bytes) -> None:
    """Folding at any octets, inside characters too, gives the text back.

    Another line follows, because what fills the last block of a file is dropped (Ctrl-Z, zero bytes).
    """
    octets = f"X:{text}".encode()
    folded = fold.join(
        octets[i : i + width + 3] for i in range(0, len(octets), width + 3)
    )
    lines = content_lines(decode(folded + b"\r\nY:1"))
    assert [line for _, line in lines] == [f"X:{text}", "Y:1"]


@given(st.integers(0, len(body(*EVENT)) - 3))
def test_any_cut_is_noticed(length: int) -> None:
    """A body that breaks off anywhere before its last line is never taken for a whole calendar."""
    with pytest.raises(Incomplete):
        split(body(*EVENT)[:length])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ("BEGIN:VEVENT", "UID:1", "BEGIN:VEVENT", "UID:2", "END:VEVENT"),
            "inside VEVENT",
        ),
        (("BEGIN:VCALENDAR", "END:VCALENDAR"), "inside the first"),
        (("BEGIN:VEVENT", "END:VALARM"), "VEVENT of line 3 is open"),
    ],
)
def test_lost_lines_are_named(lines: tuple[str, ...], said: str) -> None:
    """Damage is said in words that name the line."""
    with pytest.raises(Incomplete, match=said):
        split(body(*lines))


@given(
    st.lists(
        st.sampled_from(
            [
                *"\r\n\t :;a\x0b\x0c\x1a\x1c\x1e\x85\ufeff",
                "\r\n",
                "\r\n ",
                "\n\t",
                "UID:x",
            ]
        ),
        max_size=30,
    )
)
def test_lines_of_an_event(parts: list[str]) -> None:
    """The lines of one event are those that it has in a document, wherever blanks and line ends stand."""
    text = "".join(("BEGIN:VEVENT", *parts))
    found = list(lines_of(RawEvent("", 1, text.encode())))
    assert found == [line for _, line in content_lines(decode(text.encode()))]
