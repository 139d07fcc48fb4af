"""What the text of an event tells without being parsed: its topic, and what tells it from others."""

from __future__ import annotations

import time

import pytest

from syncd.ics import RawEvent, fingerprint_of_events, topic_of_events

EVENT = """BEGIN:VEVENT
UID:m
DTSTAMP:20260101T000000Z
SEQUENCE:1
LAST-MODIFIED:20260101T000000Z
SUMMARY:Budget\\, first round
DTSTART;TZID=Nowhere:20260302T090000
ATTENDEE:mailto:a@example.com
ATTENDEE:mailto:b@example.com
BEGIN:VALARM
TRIGGER:-PT15M
SUMMARY:Alarm
END:VALARM
END:VEVENT
"""


def _raw(text: str) -> RawEvent:
    return RawEvent("context", 1, text.encode())


def _topic(text: str) -> str:
    return topic_of_events([_raw(text)])


def _fingerprint(*texts: str) -> str:
    return fingerprint_of_events(map(_raw, texts))


@pytest.mark.parametrize(
    ("written", "topic"),
    [
        ("SUMMARY:Budget", "Budget"),
        ("summary;LANGUAGE=de:Budget", "Budget"),
        ('SUMMARY;X="a:b";LANGUAGE=de:Budget', "Budget"),
        ("SUMMARY:Bud\n get", "Budget"),
        ("SUMMARY;LANGUAGE=de\n ;X=y:Budget", "Budget"),
        ("SUMMARY:a\\, b\\nc", "a, b c"),
        ("SUMMARY;ENCODING=QUOTED-PRINTABLE:B=C3=BCro", "B\u00fcro"),
        ("SUMMARY:\u4f1a\u8bae \U0001f389", "\u4f1a\u8bae \U0001f389"),
        ("SUMMARY", ""),
        ("SUMMARY:", ""),
        ("X-SUMMARY:no", ""),
        ("DESCRIPTION:SUMMARY:no", ""),
        ("BEGIN:VALARM\nSUMMARY:Alarm\nEND:VALARM", ""),
        ("SUMMARY:Secret\nCLASS:PRIVATE", "Private meeting"),
        ("CLASS;X=1:confidential\nSUMMARY:Secret", "Private meeting"),
        ('CLASS;X="a:b":PRIVATE\nSUMMARY:Secret', "Private meeting"),
        ("SUMMARY:Open\nCLASS:PUBLIC", "Open"),
    ],
)
def test_what_an_event_is_called(written: str, topic: str) -> None:
    """The first SUMMARY is its topic as a person reads it; an alarm's is not, and private ones are masked."""
    assert _topic(f"BEGIN:VEVENT\n{written}\nEND:VEVENT\n") == topic


def test_one_private_event_masks_a_series() -> None:
    """An override that says nothing of CLASS is of a private series, too."""
    override = "BEGIN:VEVENT\nSUMMARY:Secret\nEND:VEVENT\n"
    master = "BEGIN:VEVENT\nSUMMARY:Secret\nCLASS:PRIVATE\nEND:VEVENT\n"
    assert topic_of_events([_raw(override), _raw(master)]) == "Private meeting"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DTSTAMP:20260101T000000Z", "DTSTAMP:20260505T050505Z"),
        ("SEQUENCE:1\n", "SEQUENCE:2\n"),
        ("LAST-MODIFIED:20260101T000000Z\n", ""),
        (
            "DTSTART;TZID=Nowhere:20260302T090000",
            "DTSTART;TZID=Nowh\n ere:20260302T090000",
        ),
        ("\n", "\r\n"),
        (
            "ATTENDEE:mailto:a@example.com\nATTENDEE:mailto:b@example.com",
            "ATTENDEE:mailto:b@example.com\nATTENDEE:mailto:a@example.com",
        ),
        ("TRIGGER:-PT15M", "TRIGGER:-PT15M\nACKNOWLEDGED:20260101T000000Z"),
    ],
)
def test_an_export_anew_is_the_same_event(old: str, new: str) -> None:
    """What programs write anew at each export leaves the fingerprint as it is."""
    assert old in EVENT
    assert _fingerprint(EVENT.replace(old, new)) == _fingerprint(EVENT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SUMMARY:Budget", "SUMMARY:Budgets"),
        ("TZID=Nowhere", "TZID=Elsewhere"),
        ("T090000", "T100000"),
        ("ATTENDEE:mailto:b@example.com\n", ""),
        ("TRIGGER:-PT15M", "TRIGGER:-PT5M"),
    ],
)
def test_an_edit_makes_another_event(old: str, new: str) -> None:
    """Whatever a person changes in an event changes its fingerprint."""
    assert old in EVENT
    assert _fingerprint(EVENT.replace(old, new)) != _fingerprint(EVENT)


def test_the_order_of_components_does_not_count() -> None:
    """A series is the same in whatever order its events stand, and with another override it is another one."""
    other = EVENT.replace("T090000", "T100000")
    assert _fingerprint(EVENT, other) == _fingerprint(other, EVENT)
    assert _fingerprint(EVENT, other) != _fingerprint(EVENT)


def test_a_large_event_costs_time_in_proportion() -> None:
    """Of ten times the text the topic and the fingerprint take no hundred times the CPU."""

    def cost(parts: int) -> float:
        text = "BEGIN:VEVENT\n" + 'SUMMARY;X="' * parts + "BEGIN:VALARM\n \n" * parts
        began = time.process_time()
        _topic(text)
        _fingerprint(text)
        return time.process_time() - began

    small = max(cost(10_000), 0.01)
    assert cost(100_000) < 100 * small
