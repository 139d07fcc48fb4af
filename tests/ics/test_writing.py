"""Calendars that are written: another library reads the same values, and no line is too long."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from syncd.ics.writing import calendar_bytes, text_value, time_line

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n;,\\:"'),
    max_size=200,
)


@given(TEXT, TEXT)
def test_texts_are_read_back(summary: str, description: str) -> None:
    """Whatever stands in a text is read back, and folds cut no character."""
    body = calendar_bytes(
        [("VERSION", "2.0")],
        [
            [
                ("SUMMARY", text_value(summary)),
                ("DESCRIPTION", text_value(description)),
            ]
        ],
    )
    assert all(len(line) <= 75 for line in body.split(b"\r\n"))
    for line in body.split(b"\r\n"):
        line.decode()
    (event,) = Calendar.from_ical(body).walk("VEVENT")
    assert str(event["SUMMARY"]) == summary
    assert str(event["DESCRIPTION"]) == description


def test_times() -> None:
    """A moment is written in UTC, a day as a date; half a character becomes a question mark."""
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert time_line("DTSTART", noon) == ("DTSTART", "20261201T120000Z")
    day = date(2026, 12, 1)
    assert time_line("DTSTART", day) == ("DTSTART;VALUE=DATE", "20261201")
    assert b"SUMMARY:a?b\r\n" in calendar_bytes([("SUMMARY", "a\udce9b")], [])
