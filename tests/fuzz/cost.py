"""Calendars below 20 kB that are made to be slow: `python -m tests.fuzz cost [--seconds N] [--calendars N]`.

Each is read as a cycle reads it, with the CPU of each UID and of each stretch of work between signs of life.
Every eleventh also lies before a daemon, beside a good calendar that is edited, with a manager that listens.
Ends with a table by kind, and with 1 if anything took more than its bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from syncd.core.bounds import UID_CPU_S
from syncd.core.document import Document
from syncd.core.mapper import Mapper, MappingRules
from syncd.core.occurrence import Window
from syncd.core.reasons import Reason
from syncd.ics import Locale, ParserPool, SeriesParser
from syncd.intake import SourceIndex, diff_source, span_of
from syncd.sandbox import Sandbox
from tests.conftest import Office, ahead, event
from tests.daemon.running import Daemon, files, follow, running
from tests.intake.tracked import NOTHING

LONGEST = 20_000
"""Bytes of a calendar."""

TOLERANCE_S = 0.3
"""A process is ended at the next tick of its clock, and what it did before the timer counts too."""

LONGEST_PAUSE_S = 10.0
_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_WINDOW = Window.ahead(_NOW, timedelta(days=30))
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _numbers(random: Random, most: int, *, back: bool = False) -> str:
    count = random.choice([1, 2, 5, 20, 60])
    sign = "-" if back and random.random() < 0.3 else ""
    return ",".join(f"{sign}{random.randint(1, most)}" for _ in range(count))


def _rule(random: Random) -> str:
    """A rule of any frequency, with parts that make it dense, sparse or empty."""
    frequency = random.choice(
        ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
    )
    parts = [f"FREQ={frequency}"]
    candidates = [
        f"INTERVAL={random.choice([1, 2, 7, 59, 997, 86399])}",
        random.choice(
            [
                f"COUNT={random.choice([1, 500, 99999, 999999999])}",
                "UNTIL=99980101T000000Z",
            ]
        ),
        f"BYMONTH={_numbers(random, 12)}",
        f"BYHOUR={_numbers(random, 23)}",
        f"BYMINUTE={_numbers(random, 59)}",
        f"BYSECOND={_numbers(random, 59)}",
        f"BYSETPOS={_numbers(random, 366, back=True)}",
    ]
    if frequency in {"YEARLY", "MONTHLY"}:
        candidates.append(
            "BYDAY=" + random.choice(["53MO", "5SU,-5SU", ",".join(_DAYS), "2MO"])
        )
    if frequency != "WEEKLY":
        candidates.append(f"BYMONTHDAY={_numbers(random, 31, back=True)}")
    if frequency not in {"DAILY", "WEEKLY", "MONTHLY"}:
        candidates.append(f"BYYEARDAY={_numbers(random, 366, back=True)}")
    parts += random.sample(candidates, random.randint(0, 4))
    return ";".join(parts)


def _rules(random: Random) -> tuple[list[str], list[list[str]]]:
    several = range(random.choice([1, 1, 3, 30]))
    return [], [
        [f"RRULE:{_rule(random)}" for _ in several]
        for _ in range(random.choice([1, 3, 9]))
    ]


def _excluded(random: Random) -> tuple[list[str], list[list[str]]]:
    dense = random.choice(
        ["SECONDLY", "SECONDLY;INTERVAL=7", "MINUTELY", "MINUTELY;INTERVAL=5"]
    )
    several = range(random.choice([1, 3, 20]))
    lines = [f"RRULE:FREQ={dense}", *(f"EXRULE:{_rule(random)}" for _ in several)]
    return [], [lines for _ in range(random.choice([1, 3, 9]))]


def _zones(random: Random) -> tuple[list[str], list[list[str]]]:
    zone = ["BEGIN:VTIMEZONE", "TZID:Own"]
    for _ in range(random.choice([2, 20, 100])):
        rule = random.choice(
            [
                "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
                "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
                "FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31",
                f"FREQ=YEARLY;INTERVAL={random.choice([7, 99, 999])};BYDAY=53MO",
                f"FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;COUNT={random.choice([1, 99, 99999])}",
                "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO;BYMONTH=6",
                "FREQ=YEARLY;BYDAY="
                + ",".join(f"{n}{day}" for n in range(1, 9) for day in _DAYS),
            ]
        )
        first = random.choice(["00010101", "16010101", "19700101", "99980101"])
        zone += ["BEGIN:STANDARD", f"DTSTART:{first}T000000", f"RRULE:{rule}"]
        zone += ["TZOFFSETFROM:+0100", "TZOFFSETTO:+0200", "END:STANDARD"]
    dates = [
        f"EXDATE;TZID=Own:{random.randint(1900, 9998)}0101T000000"
        for _ in range(random.choice([0, 50]))
    ]
    lines = ["DTSTART;TZID=Own:20260305T090000", "RRULE:FREQ=DAILY", *dates]
    return [*zone, "END:VTIMEZONE"], [lines for _ in range(random.choice([1, 9]))]


_MARKUP = (
    "<!--",
    "<a href=",
    "&",
    "<![CDATA[",
    "<![",
    "<script",
    "<p a='",
    "</",
    "<?",
    "<style>",
    "<http://a",
    "<b a",
    "\\n",
)


def _texts(random: Random) -> tuple[list[str], list[list[str]]]:
    name = random.choice(
        ["DESCRIPTION", "SUMMARY", "LOCATION", "X-ALT-DESC", "COMMENT", "CATEGORIES"]
    )
    text = "<b>x</b>" + "".join(random.choices(_MARKUP, k=random.choice([10, 1000])))
    text = (text * 1000)[: random.choice([500, 5_000, 15_000])]
    return [], [[f"{name}:{text}", random.choice(["RRULE:FREQ=DAILY", "X-A:b"])]]


def _nested(random: Random) -> tuple[list[str], list[list[str]]]:
    count = random.choice([10, 300])
    lines = random.choice(
        [
            [f"BEGIN:{name}" for name in ["X-A"] * count] + ["END:X-A"] * count,
            ["BEGIN:VALARM", "TRIGGER:-PT5M", "END:VALARM"] * count,
            [f"ATTENDEE;CN=^n{n}:mailto:a{n}@example.com" for n in range(count)],
            ["ATTACH;FMTTYPE=a/b:http://example.com/a"] * count,
            [f'X-{n};A="b":c' for n in range(count)],
            ["X-A:" + "x" * 5 + "\r\n y" * count * 3],
            ["X-A" + ";TZID=tzone:" * count],
            ["X-A:b" + "\r" * count * 10 + "c"],
            [f"UID:more-{n}" for n in range(random.choice([3, 300]))],
            [
                "RDATE:"
                + ",".join(
                    f"2026031{n % 10}T09{n % 60:02}00Z" for n in range(count * 2)
                )
            ],
        ]
    )
    return [], [[*lines, random.choice(["RRULE:FREQ=HOURLY;INTERVAL=2", "X-A:b"])]]


KINDS: dict[str, Callable[[Random], tuple[list[str], list[list[str]]]]] = {
    "rules": _rules,
    "excluded": _excluded,
    "zones": _zones,
    "texts": _texts,
    "nested": _nested,
}


def made(random: Random, kind: str) -> bytes:
    """A slow calendar of a kind."""
    around, events = KINDS[kind](random)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", *around]
    for number, own in enumerate(events):
        dated = any(line.startswith("DTSTART") for line in own)
        start = [] if dated else ["DTSTART:20260302T090000Z"]
        new = [
            "BEGIN:VEVENT",
            f"UID:slow-{number}",
            *start,
            "DURATION:PT5M",
            *own,
            "END:VEVENT",
        ]
        if number and len("\r\n".join((*lines, *new)).encode()) > LONGEST:
            break
        lines += new
    return "\r\n".join((*lines, "END:VCALENDAR", "")).encode()


@dataclass
class Figures:
    """What was measured of one kind."""

    calendars: int = 0
    uids: int = 0
    costly: int = 0
    too_many: int = 0
    here: int = 0
    here_cpu_s: float = 0.0
    uid_cpu_s: float = 0.0
    look_cpu_s: float = 0.0
    map_cpu_s: float = 0.0
    step_cpu_s: float = 0.0

    @property
    def worst_s(self) -> float:
        """The longest of all that has the bound of one UID."""
        return max(
            self.here_cpu_s,
            self.uid_cpu_s,
            self.look_cpu_s,
            self.map_cpu_s,
            self.step_cpu_s,
        )


class Steps:
    """The CPU of this process between two signs of life."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._at = time.process_time()

    def alive(self) -> None:
        """The work goes on."""
        now = time.process_time()
        self.longest_s = max(self.longest_s, now - self._at)
        self._at = now


def read(body: bytes, pool: ParserPool, figures: Figures) -> None:
    """Read a calendar as a cycle does, and note what that took."""
    began = time.process_time()
    found = diff_source(
        [Document("slow.ics", body)],
        SourceIndex(),
        secret=0,
        is_current=lambda text, _lines: not span_of(text).is_over(_NOW),
        tracked=NOTHING,
    )
    figures.look_cpu_s = max(figures.look_cpu_s, time.process_time() - began)
    figures.calendars += 1
    locale = Locale(ZoneInfo("Europe/Berlin"))
    parser = SeriesParser(found.index.contexts, source="slow", scope="", locale=locale)
    mapper = Mapper(MappingRules(creator="3"))
    steps = Steps()
    for one in pool.parse_all(found.changed, parser, _WINDOW, alive=steps.alive):
        steps.alive()
        figures.uids += 1
        reasons = {defect.reason for defect in one.defects}
        figures.costly += Reason.TOO_COSTLY in reasons
        figures.too_many += Reason.TOO_MANY_OCCURRENCES in reasons
        if parser.is_plain(found.changed[one.uid]):
            figures.here += 1
            figures.here_cpu_s = max(figures.here_cpu_s, one.cpu_s)
        else:
            figures.uid_cpu_s = max(figures.uid_cpu_s, one.cpu_s)
        began = time.process_time()
        for occurrence in one.occurrences:
            mapper.map(occurrence)
            assert occurrence.fingerprint
        figures.map_cpu_s = max(figures.map_cpu_s, time.process_time() - began)
        steps.alive()
    figures.step_cpu_s = max(figures.step_cpu_s, steps.longest_s)


@dataclass
class Watched:
    """A daemon with a slow calendar and a good one, and what was seen of it."""

    daemon: Daemon
    edits: int = 0
    longest_edit_s: float = 0.0

    def next(self, body: bytes) -> None:
        """Let it read another slow calendar while the good one is edited, until that is booked."""
        office = self.daemon.office
        _put(office.folder / "bad.ics", body)
        self.edits += 1
        topic = f"Edit {self.edits}"
        began = time.monotonic()
        office.write(event("good", ahead(3), 60, f"SUMMARY:{topic}", room="large"))
        self.daemon.until(
            lambda: any(topic in r["topic"] for r in office.reservations()),
            "the good one is booked",
            120,
        )
        self.longest_edit_s = max(self.longest_edit_s, time.monotonic() - began)

    @property
    def longest_pause_s(self) -> float:
        """Between two signs of life."""
        signs = zip(
            self.daemon.manager.heard_at, self.daemon.manager.messages, strict=False
        )
        heard = [at for at, message in signs if "WATCHDOG" in message] + [
            time.monotonic()
        ]
        return max((later - at for at, later in pairwise(heard)), default=0.0)


@contextmanager
def watched() -> Iterator[Watched]:
    """A daemon on a sandbox, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder, Sandbox().running() as api:
        office = Office(Path(folder), api.url, api.client_id, api.client_secret)
        office.write()
        _put(Path(folder) / "bad.ics", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
        follow(office, files("office", "office.ics"), files("bad", "bad.ics"))
        with running(office, watchdog_s=60) as daemon:
            yield Watched(daemon)
            daemon.stop()


def _put(path: Path, body: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(body)
    new.rename(path)


def fuzz(
    seed: int, goes_on: Callable[[int], bool], seen: Watched | None
) -> dict[str, Figures]:
    """Read calendars while `goes_on` says so of how many there were; every tenth by a daemon too."""
    figures = {kind: Figures() for kind in KINDS}
    count = 0
    with ParserPool() as pool:
        while goes_on(count):
            kind = list(KINDS)[count % len(KINDS)]
            body = made(Random(seed + count), kind)
            read(body, pool, figures[kind])
            if seen is not None and count % 11 == 0:
                seen.next(body)
            count += 1
    return figures


def table(figures: dict[str, Figures]) -> str:
    """The figures for people: CPU in seconds, the longest of each."""
    titles = (
        "kind",
        "calendars",
        "UIDs",
        "too_costly",
        "too_many",
        "plain",
        "plain CPU",
        "UID CPU",
        "look CPU",
    )
    lines = [" ".join(f"{title:>10}" for title in (*titles, "map CPU", "step CPU"))]
    for kind, one in figures.items():
        counts = (one.calendars, one.uids, one.costly, one.too_many, one.here)
        seconds = (
            one.here_cpu_s,
            one.uid_cpu_s,
            one.look_cpu_s,
            one.map_cpu_s,
            one.step_cpu_s,
        )
        cells = [kind, *map(str, counts), *(f"{s:.3f}" for s in seconds)]
        lines.append(" ".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Fuzz until the time is over; 1 if a bound did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz cost", description="Read slow calendars."
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long (default: 60)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="begin with this one (default: by the clock)",
    )
    parser.add_argument("--calendars", type=int, default=None, help="end after so many")
    wanted = parser.parse_args(arguments)
    seed = int(time.time()) if wanted.seed is None else wanted.seed
    deadline = time.monotonic() + wanted.seconds
    print(f"Seed {seed}.", flush=True)
    with watched() as seen:
        figures = fuzz(
            seed, lambda n: time.monotonic() < deadline and n != wanted.calendars, seen
        )
        pause_s, edits, edit_s = seen.longest_pause_s, seen.edits, seen.longest_edit_s
    print(table(figures))
    print(
        f"daemon: {edits} edits beside slow calendars, the slowest booked after {edit_s:.1f} s, "
        f"longest pause between signs of life {pause_s:.1f} s"
    )
    held = max(one.worst_s for one in figures.values()) <= UID_CPU_S + TOLERANCE_S
    return 0 if held and pause_s <= LONGEST_PAUSE_S else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
