"""Looking through documents: what is told as changed is all that changed, whatever was known before.

Two judges: `split`, which reads a whole document line by line, for what stands in it; and a look that knows
nothing, for what a look that knows something has to come to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from syncd.core.document import Document
from syncd.errors import SourceMalformed, SourceUnavailable
from syncd.ics.content import Incomplete, RawCalendar, split
from syncd.ics.vevent import RawEvent
from syncd.intake import SourceDiff, SourceIndex, diff_source
from syncd.intake.former import Former
from syncd.intake.packed_index import VERSION, pack
from syncd.intake.source_index import ABOUT_ALL
from syncd.intake.vevents import split_blocks, without_dtstamp
from tests.fuzz.calendars import corpus, made
from tests.fuzz.damage import apply, cut, edits, respelled
from tests.ics.test_calendars import (
    FOLD,
    Calendar,
    each,
    folded,
    is_whole,
    reversed_components,
    with_line_ends,
)
from tests.intake.tracked import NOTHING, Tracked

SECRET = 0x5EC12E7_0F_7E575


def event(
    uid: str, *lines: str, stamp: str = "20260101T000000Z", end: str = "\r\n"
) -> str:
    """A VEVENT with a UID."""
    written = [
        "BEGIN:VEVENT",
        f"UID:{uid}",
        f"DTSTAMP:{stamp}",
        "DTSTART:20260105T090000Z",
        *lines,
        "END:VEVENT",
    ]
    return "".join(line + end for line in written)


def calendar(*components: str, head: str = "VERSION:2.0\r\n") -> bytes:
    """A VCALENDAR of these components."""
    return f"BEGIN:VCALENDAR\r\n{head}{''.join(components)}END:VCALENDAR\r\n".encode()


def zone(name: str = "Our place", offset: str = "+0100", *more: str) -> str:
    """A VTIMEZONE of one offset."""
    part = [
        *("BEGIN:STANDARD", "DTSTART:19700101T000000", f"TZOFFSETFROM:{offset}"),
        *(f"TZOFFSETTO:{offset}", "END:STANDARD"),
    ]
    return "".join(
        f"{line}\r\n"
        for line in ("BEGIN:VTIMEZONE", f"TZID:{name}", *more, *part, "END:VTIMEZONE")
    )


TODO = "BEGIN:VTODO\r\nUID:to do\r\nBEGIN:VALARM\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VTODO\r\n"
A, B, C = event("a"), event("b"), event("c", "SUMMARY:over")


@dataclass
class Keeper:
    """Looks through one source again and again, and keeps of it what matters.

    A piece is over if its text says so; UIDs in `booked` matter all the same.
    """

    booked: set[str] = field(default_factory=set)
    secret: int = SECRET
    index: SourceIndex = field(default_factory=SourceIndex)
    stored: dict[int, bytes] = field(default_factory=dict)
    kept: dict[str, tuple[RawEvent, ...]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    asked: int = 0

    def look(
        self, *documents: Document | bytes, problems: Sequence[str] = ()
    ) -> SourceDiff:
        """What is different; it is kept, and the index packed and unpacked."""
        found = diff_source(
            [
                self._watched(d if isinstance(d, Document) else Document("work.ics", d))
                for d in documents
            ],
            self.index,
            secret=self.secret,
            is_current=self.is_current,
            tracked=Tracked(self.booked.__contains__, self.kept),
            problems=problems,
        )
        assert not found.changed.keys() & found.restamped.keys()
        assert all(found.restamped.values())
        for uid, pieces in (*found.changed.items(), *found.restamped.items()):
            if pieces:
                self.kept[uid] = pieces
            else:
                del self.kept[uid]  # what was never kept cannot be gone
        buckets = found.index.packed(self.index if self.stored else None)
        stored = {**self.stored, **joined(buckets)}
        self.stored = {number: data for number, data in stored.items() if data}
        assert self.stored == joined(found.index.packed())
        self.index = SourceIndex.unpacked(self.stored)
        assert self.index.packed() == found.index.packed()
        return found

    def is_current(self, text: bytes, _lines: bytes | None) -> bool:
        """Whether a piece is not over."""
        self.asked += 1
        return b"SUMMARY:over" not in text

    def agrees(self, *documents: Document | bytes) -> None:
        """What is kept is what one who knows nothing would keep, and every line is where it says."""
        other = Keeper(self.booked)
        found = other.look(*documents)
        assert self.said() == other.said()
        assert self.index.contexts == found.index.contexts
        assert self.index.event_count == found.index.event_count
        assert len(self.index.documents) == len(found.index.documents)
        assert self.index.digest == found.index.digest
        for uid, pieces in self.kept.items():
            lines = [self.index.line_of(piece) for piece in pieces]
            assert set(lines) <= {piece.line for piece in other.kept[uid]}

    def said(self) -> Mapping[str, Counter[tuple[str, bytes]]]:
        """What is kept; of one event alone without DTSTAMP, which is not told then."""
        return {
            uid: Counter((piece.context, text(piece.text)) for piece in pieces)
            for uid, pieces in self.kept.items()
            for text in [
                without_dtstamp
                if len({*map(date_of, pieces)}) == len(pieces)
                else bytes
            ]
        }

    def _watched(self, document: Document) -> Document:
        def blocks() -> Iterator[bytes]:
            self.read.append(document.name)
            yield from document.blocks()

        return Document(document.name, blocks, document.base_url, document.signature)


def joined(buckets: Mapping[int, Sequence[bytes]]) -> dict[int, bytes]:
    """The buckets of an index as one value each."""
    return {number: b"".join(pieces) for number, pieces in buckets.items()}


def uids(found: SourceDiff) -> dict[str, int]:
    """The UIDs that changed, with how many pieces they have now."""
    return {uid: len(pieces) for uid, pieces in found.changed.items()}


def date_of(piece: RawEvent) -> str:
    """Its RECURRENCE-ID, empty if it has none."""
    (raw,) = reread(piece.text).components
    return raw.first("RECURRENCE-ID") or ""


def in_blocks(body: bytes, size: int, name: str = "work.ics") -> Document:
    """A document that comes in blocks of a size."""

    def blocks() -> Iterator[bytes]:
        yield from (body[start : start + size] for start in range(0, len(body), size))

    return Document(name, blocks)


def expected(
    body: bytes,
) -> tuple[list[tuple[int, tuple[str, ...], tuple[str, ...], str]], str]:
    """Line, UIDs, content lines and METHOD of each VEVENT as `split` has them, or why there are none."""
    try:
        calendars = split(body)
    except Incomplete as error:
        return [], str(error)
    found = [
        (raw.line, raw.uids or ("",), raw.lines, calendar.properties.get("METHOD", ""))
        for calendar in calendars
        for raw in calendar.components
        if raw.name == "VEVENT"
    ]
    return sorted(found), ""


def reread(text: bytes) -> RawCalendar:
    """A text inside of a VCALENDAR of its own."""
    (read,) = split(b"BEGIN:VCALENDAR\r\n" + text + b"END:VCALENDAR\r\n")
    return read


def same_as_split(body: bytes, document: Document | None = None) -> None:
    """A document gives the VEVENTs that `split` gives, or its sentence."""
    found = diff_source(
        [document or Document("work.ics", body)],
        SourceIndex(),
        secret=SECRET,
        is_current=lambda _text, _lines: True,
        tracked=NOTHING,
    )
    assert not found.restamped
    wanted, problem = expected(body)
    if problem:
        assert found.problems == (f"work.ics {problem}",)
        assert (found.changed, len(found.index.documents), found.index.event_count) == (
            {},
            0,
            0,
        )
        return
    assert found.problems == ()
    assert (len(found.index.documents), found.index.event_count) == (1, len(wanted))
    pieces: dict[RawEvent, set[str]] = {}
    for uid, own in found.changed.items():
        for piece in own:
            pieces.setdefault(piece, set()).add(uid)
    got = []
    for piece, names in pieces.items():
        (raw,) = reread(piece.text).components
        assert set(raw.uids or ("",)) == names
        (around,) = split(found.index.contexts[piece.context].text)
        got.append(
            (
                piece.line,
                raw.uids or ("",),
                raw.lines,
                around.properties.get("METHOD", ""),
            )
        )
        assert found.index.line_of(piece) in {
            line for line, _, lines, _ in wanted if lines == raw.lines
        }
    assert sorted(got) == wanted


@each
def test_same_events_as_split(calendar: Calendar) -> None:
    """A calendar has the VEVENTs that `split` finds, or its sentence, however it is written."""
    same_as_split(calendar.body)
    for ends in (["\n"], ["\r"], ["\r\n"], ["\r\n", "\n", "\r"]):
        same_as_split(calendar.spelled(with_line_ends(calendar.text, *ends)))
    if is_whole(calendar):
        same_as_split(calendar.spelled(reversed_components(calendar.text)))
        same_as_split(calendar.spelled(FOLD.sub("", calendar.text)))
        for width, fold in ((74, "\r\n "), (7, "\n\t"), (1, "\r ")):
            same_as_split(calendar.spelled(folded(calendar.text, width, fold)))


@pytest.mark.parametrize("seed", range(8))
def test_same_events_as_split_after_damage(seed: int) -> None:
    """Damage of any kind is seen as `split` sees it."""
    random, examples = Random(seed), corpus()
    for _ in range(60):
        body = made(random, examples)
        for damaged in (
            body,
            apply(body, edits(body, random)),
            cut(body, random) or b"",
            respelled(body, random) or b"",
        ):
            same_as_split(
                damaged, in_blocks(damaged, random.choice([1, 50, 1000, 1 << 20]))
            )


EVENT = re.compile(rb"^BEGIN:VEVENT\r?\n.*?^END:VEVENT\r?\n", re.MULTILINE | re.DOTALL)


def edited(body: bytes, other: bytes, random: Random) -> bytes:
    """A whole calendar after something that happens to calendars; `other` lends it an event."""
    own, foreign = (
        random.choice(EVENT.findall(whole) or [b""]) for whole in (body, other)
    )
    more = random.choice(
        [b"SUMMARY:over", b"SEQUENCE:4", b"LAST-MODIFIED:20260707T000000Z", b"X-A:%d"]
    )
    more = more.replace(b"%d", b"%d" % random.randrange(99))
    ways: list[Callable[[], bytes]] = [
        lambda: body.replace(own, b"", 1),
        lambda: body.replace(own, own + own, 1),
        lambda: body.replace(own, foreign + own, 1),
        lambda: body.replace(
            own, own.replace(b"END:VEVENT", more + b"\nEND:VEVENT"), 1
        ),
        lambda: re.sub(
            rb"(?<=DTSTAMP:2026)\d{4}", b"%04d" % random.randrange(101, 1231), body
        ),
        lambda: reversed_components(body.decode("latin-1")).encode("latin-1"),
        lambda: body.replace(
            b"VERSION:2.0", b"VERSION:2.0\nX-WR-TIMEZONE:Asia/Tokyo", 1
        ),
        lambda: body.replace(b"BEGIN:VEVENT", b"begin:vevent"),
        lambda: body.replace(b"begin:vevent", b"BEGIN:VEVENT"),
    ]
    return random.choice(ways)()


@pytest.mark.parametrize("seed", range(8))
def test_history(seed: int) -> None:
    """After any history of edits and damages exactly that is kept which one keeps who knows nothing."""
    random, examples = Random(seed), corpus()
    keeper = Keeper({"0-1", "event-1-1@example.com"})
    bodies = {f"{name}.ics": made(random, examples) for name in "xyz"}
    for _ in range(50):
        name, other = random.sample(sorted(bodies), 2)
        bodies[name] = random.choice(
            [edited(bodies[name], bodies[other], random)] * 9 + [made(random, examples)]
        )
        # Damage passes, an edit stays.
        shown = dict(bodies)
        if random.random() < 0.2:
            shown[name] = apply(shown[name], edits(shown[name], random))
        if random.random() < 0.1:
            shown[other] = cut(shown[other], random) or b""
        if random.random() < 0.1:
            del shown[other]
        now = [Document(name, body) for name, body in shown.items()]
        keeper.look(*now)
        keeper.agrees(*now)


@pytest.mark.parametrize("size", range(1, 201))
def test_block_boundaries(size: int) -> None:
    """Where a block of bytes ends means nothing."""
    body = calendar(
        zone(), A, TODO, B, event("ü" * 30, "SUMMARY:BEGIN:VEVENT")
    ) + calendar(C)
    assert [
        s for part in split_blocks(in_blocks(body, size).blocks()) for s in part
    ] == body[:-1].split(b"\nBEGIN:VEVENT")
    same_as_split(body, in_blocks(body, size))
    keeper = Keeper()
    keeper.look(body)
    assert uids(keeper.look(in_blocks(body, size))) == {}


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_truncated(end: str) -> None:
    """A document that breaks off anywhere never has fewer UIDs without a problem."""
    body = calendar(zone(), A, TODO, B).replace(b"\r\n", end.encode())
    keeper = Keeper()
    keeper.look(body)
    for length in range(len(body)):
        other = Keeper(index=keeper.index, kept=dict(keeper.kept))
        found = other.look(body[:length])
        assert found.problems or other.kept.keys() == {"a", "b"}
        same_as_split(body[:length])


@pytest.mark.parametrize("body", [calendar(A), calendar()])
def test_unchanged_is_not_read(body: bytes) -> None:
    """A document with the signature of the last time is taken over; else it is read."""
    keeper = Keeper()
    for signature, times in (("1", 1), ("1", 1), ("2", 2), ("2", 2), ("", 3), ("", 4)):
        keeper.look(Document("work.ics", body, signature=signature))
        assert len(keeper.read) == times
    assert keeper.look(
        Document("work.ics", calendar(B), base_url="https://x/", signature="2")
    ).changed
    assert len(keeper.read) == 5


class CountedSignature(str):
    """A signature that counts how often one is compared with another."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedSignature.compared += 1
        return str.__eq__(self, str(other))

    def __hash__(self) -> int:
        return str.__hash__(self)


def test_many_documents_are_not_compared_each_with_each() -> None:
    """What has to be read of many documents is told by one comparison of each, with the one of its name."""
    bodies = [calendar(event(f"event {number}")) for number in range(300)]

    def documents(edited: int) -> list[Document]:
        return [
            Document(
                f"{number}.ics",
                body,
                signature=CountedSignature(f"{number}-{number == edited}"),
            )
            for number, body in enumerate(bodies)
        ]

    keeper = Keeper()
    keeper.look(*documents(-1))
    CountedSignature.compared = 0
    (unread,) = keeper.index.to_read(documents(7))
    assert unread.name == "7.ics"
    assert CountedSignature.compared <= len(bodies)


def test_signature_of_what_is_not_whole() -> None:
    """A document that broke off is read again although its signature is the same."""
    keeper = Keeper()
    broken = Document("work.ics", calendar(A)[:-9], signature="1")
    assert keeper.look(broken).problems
    assert keeper.look(broken).problems
    # Each time as bytes, and then as lines for the sentence.
    assert len(keeper.read) == 4


def test_nothing_changed() -> None:
    """The same bytes change nothing: neither findings nor the index, and no text is looked at."""
    keeper = Keeper()
    first = keeper.look(calendar(zone(), A, B, C))
    asked = keeper.asked
    again = keeper.look(calendar(zone(), A, B, C))
    assert (again.changed, again.restamped) == ({}, {})
    assert again.index.packed() == first.index.packed()
    assert keeper.asked == asked


def test_one_edited() -> None:
    """Only the UID is told whose event changed, with the piece as it stands now."""
    keeper = Keeper()
    assert uids(keeper.look(calendar(A, B, C))) == {"a": 1, "b": 1}
    changed = event("b", "SUMMARY:new")
    found = keeper.look(calendar(A, changed, C))
    (piece,) = found.changed["b"]
    assert uids(found) == {"b": 1}
    assert (piece.text, piece.line) == (changed.encode(), 8)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param([A], [A, B], {"b": 1}, id="added"),
        pytest.param([A, B], [A], {"b": 0}, id="gone"),
        pytest.param([A, B, C], [C, B, A], {}, id="shuffled"),
        pytest.param([A, B], [A, B, A], {"a": 2}, id="twice"),
        pytest.param([A, B, A], [A, B], {"a": 1}, id="once again"),
        pytest.param([A, B], [B, A, A], {"a": 2}, id="twice and shuffled"),
        pytest.param([A, A, B], [B, A], {"a": 1}, id="once again and shuffled"),
        pytest.param([A], [A, C], {}, id="added, but over"),
        pytest.param([A, C], [A], {}, id="gone, but it was over"),
        pytest.param(
            [A, event("b", "SUMMARY:over")], [A, B], {"b": 1}, id="no longer over"
        ),
        pytest.param([A, B], [A, event("b", "SUMMARY:over")], {"b": 0}, id="over now"),
        pytest.param([A, B], [A, TODO, B], {}, id="another component between"),
        pytest.param(
            [A, TODO, B],
            [A, B.replace("UID:b", "UID:c")],
            {"b": 0, "c": 1},
            id="renamed",
        ),
    ],
)
def test_edits(
    before: Sequence[str], after: Sequence[str], told: dict[str, int]
) -> None:
    """An edit of a calendar is told by the UIDs that it concerns."""
    keeper = Keeper()
    keeper.look(calendar(*before))
    assert uids(keeper.look(calendar(*after))) == told
    keeper.agrees(calendar(*after))


def test_booked_matters() -> None:
    """A UID that is booked matters although it is over, with all of its pieces, until it is gone."""
    keeper = Keeper({"c"})
    assert uids(keeper.look(calendar(A, C))) == {"a": 1, "c": 1}
    assert uids(keeper.look(calendar(A, C, C))) == {"c": 2}
    assert uids(keeper.look(calendar(A))) == {"c": 0}


@pytest.mark.parametrize("begin", ["BEGIN:VEVENT", "begin:vevent"])
def test_pieces_that_were_dropped(begin: str) -> None:
    """A series that is over gains a coming date: it is told with the master, whose bytes nobody kept."""
    master = event("s", "SUMMARY:over").replace("BEGIN:VEVENT", begin)
    override = event("s", "RECURRENCE-ID:20260105T090000Z").replace(
        "BEGIN:VEVENT", begin
    )
    for body in (calendar(master, A, override), calendar(override, A, master)):
        keeper = Keeper()
        assert uids(keeper.look(calendar(master, A))) == {"a": 1}
        assert uids(keeper.look(body)) == {"s": 2}
        keeper.agrees(body)
        other = Keeper()
        assert uids(other.look(body)) == {"s": 2, "a": 1}
        assert other.said() == keeper.said()


def test_written_to_meanwhile() -> None:
    """A document that is another one at the second look is not believed, and nothing counts as changed."""
    master, override = (
        event("s", "SUMMARY:over"),
        event("s", "RECURRENCE-ID:20260105T090000Z"),
    )
    keeper = Keeper()
    keeper.look(calendar(A, master))
    before = keeper.index.packed()
    bodies = [calendar(A, master, override), calendar(A, override)]
    found = keeper.look(Document("work.ics", lambda: iter([bodies.pop(0)])))
    assert not bodies
    assert found.problems == (
        "work.ics is being written to; it is read in the next cycle",
    )
    assert (found.changed, found.restamped) == ({}, {})
    assert found.index.packed() == before
    assert uids(keeper.look(calendar(A, master, override))) == {"s": 2}


def test_unreadable_document() -> None:
    """Of a document that cannot be read nothing is known; the others are compared as always."""

    def fails() -> Iterator[bytes]:
        yield calendar(A)[:40]
        raise SourceUnavailable("office", "one.ics is gone")

    keeper = Keeper()
    keeper.look(Document("one.ics", calendar(A, B)), Document("two.ics", calendar(B)))
    found = keeper.look(Document("one.ics", fails), Document("two.ics", calendar(B)))
    assert found.problems == ("one.ics is gone",)
    assert uids(found) == {"a": 0, "b": 1}
    assert (len(found.index.documents), found.index.event_count) == (1, 1)
    assert not found.index.holds("a")
    assert uids(
        keeper.look(
            Document("one.ics", calendar(A, B)), Document("two.ics", calendar(B))
        )
    ) == {
        "a": 1,
        "b": 2,
    }


def test_second_look_fails() -> None:
    """A document that cannot be had a second time makes the look void, with its own sentence."""
    master, override = (
        event("s", "SUMMARY:over"),
        event("s", "RECURRENCE-ID:20260105T090000Z"),
    )
    keeper = Keeper()
    keeper.look(calendar(master))
    bodies = [calendar(master, override)]

    def content() -> Iterator[bytes]:
        if not bodies:
            raise SourceMalformed("office", "work.ics is too large")
        yield bodies.pop()

    found = keeper.look(Document("work.ics", content))
    assert found.problems == ("work.ics is too large",)
    assert found.changed == {}


def test_problems_of_the_caller() -> None:
    """Sentences about documents that could not be had come first."""
    assert Keeper().look(b"", problems=["one.ics is gone"]).problems == (
        "one.ics is gone",
        "work.ics is empty; a calendar without events would still have BEGIN:VCALENDAR",
    )


DTSTAMP, REVISED = (
    "20261231T235959Z",
    ("SEQUENCE:1", "CREATED:20260101T000000Z", "LAST-MODIFIED:20260101T000000Z"),
)


def test_new_stamps() -> None:
    """Another DTSTAMP on every event changes nothing, and what changes later is told all the same."""
    series = [
        event("s", "RRULE:FREQ=DAILY"),
        event("s", "RECURRENCE-ID:20260105T090000Z"),
    ]
    keeper = Keeper()
    keeper.look(calendar(A, B, C, *series))
    restamped = calendar(A, B, C, *series).replace(
        b"DTSTAMP:20260101T000000Z", f"DTSTAMP:{DTSTAMP}".encode()
    )
    found = keeper.look(restamped)
    assert (found.changed, found.restamped) == ({}, {})
    keeper.agrees(restamped)
    edited = restamped.replace(b"UID:s\r\n", b"UID:s\r\nLOCATION:Mars\r\n", 1)
    assert uids(keeper.look(edited)) == {"s": 2}
    assert {piece.text.count(DTSTAMP.encode()) for piece in keeper.kept["s"]} == {1}
    keeper.agrees(edited)


@pytest.mark.parametrize(
    "line",
    [
        "DTSTAMP:now",
        "DTSTAMP:20261231T235959Z\r\n 0",
        "dtstamp:20261231T235959Z",
        "X-DTSTAMP:20261231T235959Z",
    ],
)
def test_stamps_that_are_none(line: str) -> None:
    """Only a plain DTSTAMP is left out of the comparison."""
    keeper = Keeper()
    keeper.look(calendar(A))
    for changed in (line, re.sub("20261231|now", "20261130", line)):
        assert uids(
            keeper.look(calendar(A.replace("DTSTAMP:20260101T000000Z", changed)))
        ) == {"a": 1}


@pytest.mark.parametrize("line", REVISED)
def test_restamped(line: str) -> None:
    """Where only SEQUENCE, CREATED or LAST-MODIFIED are new, other or gone, this is told apart."""
    plain, revised = event("a", "SUMMARY:x"), event("a", line, "SUMMARY:x")
    again = event("a", line.replace("1", "2"), "SUMMARY:x", stamp=DTSTAMP)
    keeper = Keeper()
    keeper.look(calendar(plain, B))
    for text in (revised, again, plain):
        found = keeper.look(calendar(B, text))
        assert found.changed == {}
        assert [piece.text for piece in found.restamped["a"]] == [text.encode()]
        assert found.restamped.keys() == {"a"}
    assert uids(keeper.look(calendar(event("a", line, "SUMMARY:y"), B))) == {"a": 1}


def test_all_restamped() -> None:
    """Where a server writes revisions anew everywhere, only what is kept is looked at, and once."""
    plain = [event(f"over {number}", "SUMMARY:over") for number in range(50)] + [A, B]
    keeper = Keeper()
    keeper.look(calendar(*plain))
    asked = keeper.asked
    revised = [
        text.replace("SUMMARY:", "LAST-MODIFIED:20260301T000000Z\r\nSUMMARY:")
        for text in plain
    ]
    found = keeper.look(
        calendar(*revised[:50], A.replace("DTSTAMP", "SEQUENCE:1\r\nDTSTAMP"), B)
    )
    assert found.changed == {}
    assert found.restamped.keys() == {"a"}
    assert keeper.asked == asked + 1
    keeper.agrees(
        calendar(*revised[:50], A.replace("DTSTAMP", "SEQUENCE:1\r\nDTSTAMP"), B)
    )


def test_restamped_with_another_time() -> None:
    """What a revision changes beside its marks is a change."""
    keeper = Keeper()
    keeper.look(calendar(event("a", *REVISED)))
    text = (
        event("a", *REVISED).replace("SEQUENCE:1", "SEQUENCE:2").replace("T09", "T10")
    )
    assert uids(keeper.look(calendar(text))) == {"a": 1}


def override(date: str, *, zone: str = "", stamp: str = "20260101T000000Z") -> str:
    """A VEVENT for one date of a series."""
    return event("s", f"RECURRENCE-ID{zone}:{date}", stamp=stamp)


MASTER = event("s", "RRULE:FREQ=DAILY")


@pytest.mark.parametrize(
    ("pieces", "rivals"),
    [
        pytest.param([MASTER], False, id="a master"),
        pytest.param([MASTER, event("s", "X-ANOTHER:1")], True, id="two masters"),
        pytest.param(
            [MASTER, override("20260105T090000Z")], False, id="master and override"
        ),
        pytest.param(
            [MASTER, override("20260105T090000Z"), override("20260106T090000Z")],
            False,
            id="two days",
        ),
        pytest.param(
            [
                MASTER,
                override("20260105T090000", zone=";TZID=A"),
                override("20260106T100000", zone=";TZID=A"),
            ],
            False,
            id="two days in one zone",
        ),
        pytest.param(
            [override("20260105T090000Z"), override("20260105T090000Z")],
            True,
            id="one date twice",
        ),
        pytest.param(
            [override("20260105T090000Z"), override("20260106T100000Z")],
            True,
            id="UTC, other hours",
        ),
        pytest.param(
            [override("20260105T090000"), override("20260106T090000", zone=";TZID=A")],
            True,
            id="two zones",
        ),
        pytest.param(
            [override("20260105T090000Z"), override("20260105\r\n T090000Z")],
            True,
            id="folded",
        ),
        pytest.param(
            [MASTER, MASTER.replace("UID", "RE\r\n CURRENCE-ID:2026\r\nUID")],
            True,
            id="folded name",
        ),
        pytest.param(
            [MASTER, MASTER.replace("UID", "recurrence-id:20260105\r\nUID")],
            True,
            id="small letters",
        ),
        pytest.param(
            [
                MASTER,
                event(
                    "s", "BEGIN:VALARM", "RECURRENCE-ID:20260105T090000Z", "END:VALARM"
                ),
            ],
            True,
            id="alarm",
        ),
    ],
)
def test_rivals(pieces: Sequence[str], rivals: bool) -> None:
    """Among several events for one date DTSTAMP may decide, so where there may be such, it is compared."""
    keeper = Keeper()
    keeper.look(calendar(A, *pieces))
    restamped = [*pieces[:-1], pieces[-1].replace("DTSTAMP:2026", "DTSTAMP:2027")]
    assert uids(keeper.look(calendar(A, *restamped))) == (
        {"s": len(pieces)} if rivals else {}
    )
    revised = [
        piece.replace("END:VEVENT", "SEQUENCE:7\r\nEND:VEVENT") for piece in restamped
    ]
    found = keeper.look(calendar(A, *revised))
    assert (found.changed if rivals else found.restamped).keys() == {"s"}


def test_rivals_in_two_documents() -> None:
    """The same UID in several documents is told with all of its pieces, and its DTSTAMPs are compared."""
    keeper = Keeper()
    one, two = Document("one.ics", calendar(A, B)), Document("two.ics", calendar(A))
    assert uids(keeper.look(one, two)) == {"a": 2, "b": 1}
    contexts = {
        keeper.index.contexts[piece.context].document for piece in keeper.kept["a"]
    }
    assert contexts == {"one.ics", "two.ics"}
    stamped = Document("two.ics", calendar(event("a", stamp=DTSTAMP)))
    assert uids(keeper.look(one, stamped)) == {"a": 2}
    assert uids(keeper.look(stamped)) == {"a": 1, "b": 0}


def test_rivals_in_two_contexts() -> None:
    """Two dates that are written alike may be one where their calendars have different zones."""
    keeper = Keeper()
    first, second = override("20260105T090000"), override("20260106T090000")
    one = Document("one.ics", calendar(first))
    keeper.look(one, Document("two.ics", calendar(second)))
    stamped = Document(
        "two.ics", calendar(second.replace("DTSTAMP:2026", "DTSTAMP:2027"))
    )
    assert uids(keeper.look(one, stamped)) == {"s": 2}


def test_moved_to_another_document() -> None:
    """An event in another document is another one: its zones and its owner are found there."""
    keeper = Keeper()
    keeper.look(Document("one.ics", calendar(A, B)), Document("two.ics", calendar()))
    assert uids(
        keeper.look(Document("one.ics", calendar(B)), Document("two.ics", calendar(A)))
    ) == {"a": 1}


def test_documents_with_one_name() -> None:
    """Files of one name, in several directories, are told apart by what stands in them."""
    keeper = Keeper()
    bodies = [calendar(A), calendar(B), calendar(C)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2), (0,), (0, 1, 2)):
        now = [
            Document("work.ics", bodies[index], signature=str(index)) for index in order
        ]
        keeper.look(*now)
        keeper.agrees(*now)
    keeper.read.clear()
    keeper.look(
        *(
            Document("work.ics", bodies[index], signature=str(index))
            for index in (2, 0, 1)
        )
    )
    assert keeper.read == []


@pytest.mark.parametrize(
    ("head", "changes"),
    [
        ("PRODID:other", False),
        ("X-WR-CALDESC:other", False),
        ("X-WR-CALNAME:Ann's meetings", False),
        ("X-WR-CALNAME:ann@example.com", True),
        ("X-WR-CALNAME:mailto:ann%40example.com", True),
        ("X-OWNER:MAILTO:ann@example.com", True),
        ("X-WR-TIMEZONE:America/New_York", True),
        ("METHOD:CANCEL", True),
        ("REFRESH-INTERVAL;VALUE=DURATION:PT1H", False),
        ("COMMENT:other", False),
    ],
)
def test_calendar_properties(head: str, changes: bool) -> None:
    """A property of the calendar changes its events if it means something for them."""
    keeper = Keeper()
    plain, other = (
        calendar(A, B, C),
        calendar(A, B, C, head=f"VERSION:2.0\r\n{head}\r\n"),
    )
    keeper.look(plain)
    for body in (other, plain):
        assert uids(keeper.look(body)) == ({"a": 1, "b": 1} if changes else {})
        keeper.agrees(body)


@pytest.mark.parametrize(
    ("zones", "changes"),
    [
        pytest.param([zone(offset="+0200")], True, id="other rules"),
        pytest.param([], True, id="gone"),
        pytest.param([zone(), zone("Elsewhere")], True, id="one more"),
        pytest.param(
            [zone("Our place", "+0100", "LAST-MODIFIED:20260101T000000Z")],
            False,
            id="LAST-MODIFIED",
        ),
        pytest.param(
            [zone("Our place", "+0100", "TZURL:https://x/", "COMMENT:y\r\n z")],
            False,
            id="comments",
        ),
        pytest.param(
            [zone("Our place", "+0100", "X-LIC-LOCATION:Europe/Rome")],
            True,
            id="its place",
        ),
        pytest.param([zone(), zone()], False, id="twice"),
        pytest.param([zone().replace("+01", "+\r\n 01")], False, id="folded"),
    ],
)
def test_zones(zones: Sequence[str], changes: bool) -> None:
    """A VTIMEZONE that says something else changes the events around it; its dress does not."""
    keeper = Keeper()
    keeper.look(calendar(zone(), A, B, C))
    assert uids(keeper.look(calendar(A, TODO, *zones, B, C))) == (
        {"a": 1, "b": 1} if changes else {}
    )
    keeper.agrees(calendar(A, TODO, *zones, B, C))
    assert uids(keeper.look(calendar(A, B, C, *reversed(zones)))) == {}


def test_context_text() -> None:
    """A context is a whole calendar again, with what means something and without events."""
    head = "METHOD:CANCEL\r\nX-WR-TIMEZONE:Europe/Rome\r\nX-PUBLISHED-TTL:PT1H\r\nPRODID:x\r\n"
    found = Keeper().look(
        Document(
            "work.ics", calendar(A, TODO, zone(), B, head=head), base_url="https://x/"
        )
    )
    (context,) = found.index.contexts.values()
    (read,) = split(context.text)
    assert (context.document, context.base_url) == ("work.ics", "https://x/")
    assert read.properties == {
        "METHOD": "CANCEL",
        "X-WR-TIMEZONE": "Europe/Rome",
        "X-PUBLISHED-TTL": "PT1H",
    }
    assert [component.name for component in read.components] == ["VTIMEZONE"]


def test_base_url() -> None:
    """Relative links mean something else where the document comes from elsewhere."""
    keeper = Keeper()
    keeper.look(Document("work.ics", calendar(A), base_url="https://x/"))
    assert uids(
        keeper.look(Document("work.ics", calendar(A), base_url="https://y/"))
    ) == {"a": 1}


def test_two_calendars() -> None:
    """Each VCALENDAR of a document is a context of its own."""
    keeper = Keeper()
    cancelled = calendar(B, head="METHOD:CANCEL\r\n")
    keeper.look(calendar(A, zone()) + cancelled)
    (a,), (b,) = keeper.kept["a"], keeper.kept["b"]
    texts = [keeper.index.contexts[piece.context].text for piece in (a, b)]
    assert [b"METHOD" in text for text in texts] == [False, True]
    assert [b"VTIMEZONE" in text for text in texts] == [True, False]
    assert uids(keeper.look(cancelled + calendar(zone(), A))) == {}
    assert uids(keeper.look(calendar(A, zone(), B))) == {"b": 1}


PLAIN = calendar(zone(), A, B)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            PLAIN.replace(b"BEGIN:VEVENT", b"begin:vevent"), id="small letters"
        ),
        pytest.param(
            PLAIN.replace(b"\r\nBEGIN:VEVENT", b"\r\nBegin:VEVENT", 1),
            id="one in small letters",
        ),
        pytest.param(
            PLAIN.replace(b"BEGIN:VEVENT", b"BEGIN:VE\r\n VENT"), id="folded BEGIN"
        ),
        pytest.param(PLAIN.replace(b"END:VEVENT", b"END:\r\n VEVENT"), id="folded END"),
        pytest.param(PLAIN.replace(b"UID:b", b"U\r\n ID:\r\n b"), id="folded UID"),
        pytest.param(PLAIN.replace(b"UID:b", b"uid;X=1:b"), id="UID with a parameter"),
        pytest.param(PLAIN.replace(b"UID:b", b"UID:b \t"), id="UID with blanks"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN, id="byte order mark"),
        pytest.param(PLAIN.replace(b"\r\n", b"\n"), id="LF"),
        pytest.param(PLAIN.replace(b"\r\n", b"\r"), id="CR"),
        pytest.param(PLAIN.replace(b"\r\n", b"\r\r\n"), id="CR CR LF"),
        pytest.param(PLAIN.replace(b"\r\n", b"\r\n\r\n"), id="empty lines"),
        pytest.param(
            PLAIN.replace(b"END:VEVENT\r\n", b"END:VEVENT\n\r"), id="mixed line ends"
        ),
        pytest.param(PLAIN.rstrip(), id="no line end at the end"),
        pytest.param(
            PLAIN.replace(b"\r\nBEGIN:VEVENT", b"\r\n\x0cBEGIN:VEVENT"), id="form feeds"
        ),
        pytest.param(
            PLAIN.replace(b"\r\nBEGIN:VEVENT", "\r\n\ufeffBEGIN:VEVENT".encode(), 1),
            id="mark inside",
        ),
        pytest.param(PLAIN.replace(b"UID:a", b"UID:\0a"), id="a zero byte"),
        pytest.param(
            PLAIN.replace(b"BEGIN:VEVENT", b"BEGIN:VEVENT "), id="blank behind"
        ),
        pytest.param(
            PLAIN.replace(b"END:VEVENT", b"END:VEVENT "), id="blank behind END"
        ),
        pytest.param(PLAIN.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(PLAIN.decode().encode("utf-16-le"), id="UTF-16 without mark"),
        pytest.param(
            PLAIN[:-2] + b" " + b"\r\n\x1a\r\n", id="end of file as a character"
        ),
    ],
)
def test_not_plain(body: bytes) -> None:
    """However a document is written, its events are found, and an edit is told by UID from there and back."""
    same_as_split(body)
    keeper = Keeper()
    assert uids(keeper.look(body)) == {"a": 1, "b": 1}
    assert uids(keeper.look(body)) == {}
    assert keeper.kept.keys() == {"a", "b"}
    keeper.look(PLAIN)
    keeper.agrees(PLAIN)
    keeper.look(body)
    keeper.agrees(body)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param((b"UID:b", b"UID:b\0\0"), id="a hole"),
        pytest.param((b"END:VEVENT", b"end:vevents"), id="another END"),
        pytest.param((b"END:VEVENT\r\n", b""), id="END lost"),
        pytest.param((b"BEGIN:VEVENT\r\n", b""), id="BEGIN lost"),
        pytest.param((b"END:VEVENT\r\n", b"END:VEVENT\r\n FOO\r\n"), id="END goes on"),
        pytest.param(
            (b"END:VEVENT\r\n", b"END:VEVENT\r\n\r\n FOO\r\n"),
            id="END goes on behind an empty line",
        ),
        pytest.param(
            (b"BEGIN:VEVENT\r\n", b"BEGIN:VEVENT\r\n FOO\r\n"), id="BEGIN goes on"
        ),
        pytest.param(
            (b"END:VCALENDAR\r\n", b"END:VCALENDAR\r\nError: out of memory\r\n"),
            id="text behind",
        ),
        pytest.param(
            (b"END:VCALENDAR\r\n", b"END:VCALENDAR\r\n" + A.encode()),
            id="an event behind",
        ),
        pytest.param(
            (b"VERSION:2.0\r\n", b"VERSION:2.0\r\nBEGIN:VTODO\r\n"),
            id="inside another component",
        ),
        pytest.param((b"BEGIN:VCALENDAR\r\n", b""), id="no calendar"),
        pytest.param(
            (b"BEGIN:VCALENDAR", b"<html>\r\nBEGIN:VCALENDAR"), id="a web page"
        ),
        pytest.param((b"END:VCALENDAR\r\n", b""), id="no end"),
        pytest.param((PLAIN, b""), id="empty"),
        pytest.param((PLAIN, A.encode()), id="an event alone"),
        pytest.param((PLAIN, b"\r\n \r\n"), id="blank"),
    ],
)
def test_not_whole(damage: tuple[bytes, bytes]) -> None:
    """A document that is not whole gives the sentence of `split` and no event, whatever was known of it."""
    body = PLAIN.replace(*damage)
    assert body != PLAIN
    same_as_split(body)
    keeper = Keeper()
    keeper.look(PLAIN)
    found = keeper.look(body)
    assert len(found.problems) == 1
    assert uids(found) == {"a": 0, "b": 0}
    assert uids(keeper.look(PLAIN)) == {"a": 1, "b": 1}


def test_todo_around_events() -> None:
    """An event inside of another component is none, although what stands around is a whole calendar."""
    body = (
        b"BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\n"
        + A.encode()
        + b"END:VTODO\r\nEND:VCALENDAR\r\n"
    )
    same_as_split(body)
    assert Keeper().look(body).problems


def test_alarm_with_uid() -> None:
    """The UID of an alarm (RFC 9074) is not that of its event."""
    alarm = (
        "BEGIN:VALARM\r\nUID:alarm\r\nACTION:AUDIO\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\n"
    )
    before = A.replace("UID:a", f"{alarm}UID:a")
    assert uids(Keeper().look(calendar(before))) == {"a": 1}
    assert uids(Keeper().look(calendar(before.replace("UID:a\r\n", "")))) == {"": 1}


def test_bare_returns() -> None:
    """A carriage return alone ends a line, also where all others end otherwise."""
    body = PLAIN.replace(b"DTSTART:2026", b"X-A:1\rUID:x\rDTSTART:2026", 1)
    same_as_split(body)
    assert uids(Keeper().look(body)) == {"a": 1, "x": 1, "b": 1}


def test_several_uids() -> None:
    """An event with several UIDs counts for each, also when it was known before."""
    joined = A.replace("UID:a", "UID:a\r\nUID:x")
    keeper = Keeper()
    assert uids(keeper.look(calendar(joined, B))) == {"a": 1, "x": 1, "b": 1}
    assert keeper.index.holds("x")
    assert uids(keeper.look(calendar(B, joined))) == {}
    assert uids(keeper.look(calendar(B, joined, event("x")))) == {"x": 2}
    assert uids(keeper.look(calendar(B, A))) == {"a": 1, "x": 0}
    assert not keeper.index.holds("x")


def test_uid_spellings() -> None:
    """All spellings of a UID are one (RFC 5545 section 3.3.11), also in bytes that are no UTF-8."""
    escaped = (
        event("x\\,y").encode()
        + event("x,y").encode()
        + event("z\xfc").encode("latin-1")
    )
    found = Keeper().look(
        calendar(escaped.decode("latin-1")).decode().encode("latin-1")
    )
    assert uids(found) == {"x,y": 2, "zü": 1}


def test_utf_8_cut_by_a_fold() -> None:
    """A character in two pieces, before and behind a fold, is one again."""
    body = calendar(event("b\u00fccher"), A).replace("ü".encode(), b"\xc3\r\n \xbc")
    same_as_split(body)
    assert uids(Keeper().look(body)) == {"bücher": 1, "a": 1}


def test_line_of() -> None:
    """A piece that is kept is found where it stands now, also with another DTSTAMP."""
    keeper = Keeper()
    keeper.look(calendar(A, B))
    (kept,) = keeper.kept["b"]
    moved = calendar(TODO, event("b", stamp=DTSTAMP), TODO, A)
    keeper.look(moved)
    assert (
        keeper.index.line_of(kept)
        == moved[: moved.index(b"BEGIN:VEVENT")].count(b"\n") + 1
    )
    keeper.look(calendar(A))
    assert keeper.index.line_of(kept) == kept.line


def test_holds() -> None:
    """Every UID of the source is known, over or not, however many are asked for."""
    names = [f"event {number}" for number in range(40)]
    index = (
        Keeper().look(calendar(*(event(name, "SUMMARY:over") for name in names))).index
    )
    for _ in range(2):
        assert all(index.holds(name) for name in names)
        assert not any(
            index.holds(name + "0") for name in names if len(name) == len(names[-1])
        )


def test_many_edits() -> None:
    """Whether few or many events of a calendar change, exactly they are told."""
    random = Random(1)
    texts = {f"event {number}": event(f"event {number}") for number in range(1500)}
    keeper = Keeper()
    keeper.look(calendar(*texts.values()))
    for count in (1, 2, 9, 40, 700, 1500):
        chosen = random.sample(sorted(texts), count)
        texts |= {name: event(name, f"SUMMARY:{random.random()}") for name in chosen}
        shuffled = (
            random.sample(list(texts.values()), len(texts))
            if count > 2
            else list(texts.values())
        )
        assert keeper.look(calendar(*shuffled)).changed.keys() == set(chosen)
        keeper.agrees(calendar(*shuffled))


def test_another_order() -> None:
    """In another order few events are looked into, and none of them is told."""
    texts = [event(f"event {number}") for number in range(2000)]
    keeper = Keeper()
    keeper.look(calendar(*texts))
    asked = keeper.asked
    shuffled = Random(1).sample(texts, len(texts))
    assert keeper.look(calendar(*shuffled)).changed == {}
    assert keeper.asked < asked + 600
    keeper.agrees(calendar(*shuffled))


def test_packed_size() -> None:
    """The index of an event takes some 70 bytes, and holds nothing of its text."""
    texts = [
        event(f"secret {number}", "SUMMARY:secret " + "x" * 2000)
        for number in range(500)
    ]
    index = Keeper().look(calendar(*texts)).index
    packed = b"".join(joined(index.packed()).values())
    assert len(packed) < 75 * 500
    assert b"secret " not in packed


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: data[:0], id="empty"),
        pytest.param(lambda data: data[:5], id="hardly begun"),
        pytest.param(
            lambda data: (VERSION + 1).to_bytes(4, "little") + data[4:],
            id="another version",
        ),
        pytest.param(
            lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:],
            id="a bit flipped",
        ),
    ],
)
@pytest.mark.parametrize("which", ["about all", "documents"])
def test_packed_otherwise(damage: Callable[[bytes], bytes], which: str) -> None:
    """What another version packed, or what was damaged, is nothing; then all is told, also what is gone."""
    keeper = Keeper()
    keeper.look(calendar(A, B))
    number = ABOUT_ALL if which == "about all" else max(keeper.stored)
    damaged = {**keeper.stored, number: damage(keeper.stored[number])}
    keeper.index = SourceIndex.unpacked(damaged)
    keeper.stored = {}
    assert (keeper.index.event_count, len(keeper.index.documents)) == (0, 0)
    assert uids(keeper.look(calendar(A, event("c")))) == {"a": 1, "b": 0, "c": 1}


def test_one_document_of_many_is_packed_with_few() -> None:
    """What is different in one of many documents is a bucket of few; in none, nothing; in all, everything."""
    bodies = [calendar(event(f"event {number}")) for number in range(2000)]

    def documents(round_of: Callable[[int], int]) -> list[Document]:
        return [
            Document(f"{number}.ics", body, signature=f"{number}-{round_of(number)}")
            for number, body in enumerate(bodies)
        ]

    keeper = Keeper()
    first = keeper.look(*documents(lambda _number: 0)).index
    known = keeper.index
    whole = sum(map(len, joined(first.packed()).values()))
    assert keeper.look(*documents(lambda _number: 0)).index.packed(known) == {}
    known = keeper.index
    edited = keeper.look(*documents(lambda number: int(number == 7))).index
    (packed,) = joined(edited.packed(known)).values()
    assert b'"7-1"' in packed
    assert len(packed) < whole / 50
    known = keeper.index
    all_edited = keeper.look(*documents(lambda _number: 2)).index
    buckets = {document.bucket for document in all_edited.documents}
    assert all_edited.packed(known).keys() == buckets


def test_a_bucket_that_is_lost_makes_all_unknown() -> None:
    """An index of which some is missing is none: a file that is not in it must not look like a new one."""
    keeper = Keeper()
    keeper.look(*(Document(f"{n}.ics", calendar(event(f"{n}"))) for n in range(9)))
    for number in keeper.stored:
        others = {**keeper.stored}
        del others[number]
        assert SourceIndex.unpacked(others) == SourceIndex()


def test_what_a_former_version_packed_as_one_is_read() -> None:
    """All documents in one piece are known, and so are the files that were gone; they are to be replaced."""
    keeper = Keeper()
    keeper.look(*(Document(f"{n}.ics", calendar(event(f"{n}"))) for n in range(9)))
    documents = keeper.index.documents
    said = {
        "secret": SECRET,
        "rivals": [],
        "formers": [Former.of(documents[0]).as_json()],
    }
    whole = {ABOUT_ALL: b"".join(pack(said, documents[1:]))}
    index = SourceIndex.unpacked(whole)
    assert [document.name for document in index.documents] == [
        document.name for document in documents[1:]
    ]
    assert [former.name for former in index.formers] == ["0.ics"]
    assert len(index.unread().formers) == 9
    assert not index.is_packed_in(whole)
    assert keeper.index.is_packed_in(keeper.stored)


def test_another_secret() -> None:
    """Digests of two installations differ, and an index by another secret is as good as none."""
    one, other = (Keeper(secret=secret).look(calendar(A, B)).index for secret in (1, 2))
    assert one.digest != other.digest
    digests = [
        {index.documents[0].verbatim[row] for row in range(2)} for index in (one, other)
    ]
    assert digests[0].isdisjoint(digests[1])
    keeper = Keeper(secret=1)
    keeper.look(calendar(A, B))
    keeper.secret = 2
    assert uids(keeper.look(calendar(A))) == {"a": 1, "b": 0}
    assert uids(keeper.look(calendar(A, B))) == {"b": 1}


def _made_to_collide(head: bytes) -> tuple[bytes, bytes]:
    """Two texts that begin so and have the same XXH3 digest of 128 bits, if it has no key.

    A long input is added up in lanes of 8 bytes, where the product of both halves of data ^ secret counts.
    Without a key the secret is public, so the lower half can be made to vanish; then the upper halves of two
    places of one lane only count by their sum.
    """
    # Bytes 8 to 15 of two stripes of 64, with bytes 32 and 40 of the secret.
    place, other = (
        200,
        264,
    )
    text = bytearray(head.ljust(400, b"x"))
    text[place : place + 4] = bytes.fromhex("cb79e64e")
    text[other : other + 4] = bytes.fromhex("825ad07d")
    text[place + 4 : place + 8], text[other + 4 : other + 8] = b"Moon", b"Mars"
    swapped = bytearray(text)
    swapped[place + 4 : place + 8], swapped[other + 4 : other + 8] = b"Mars", b"Moon"
    return bytes(text), bytes(swapped)


@pytest.mark.parametrize(
    ("secret", "told"), [(0, {}), (SECRET, {"a": 1})], ids=["no key", "key"]
)
def test_made_to_collide(secret: int, told: dict[str, int]) -> None:
    """Texts that somebody prepared to have one digest would pass for one another, but for the key."""
    begin = event("a", "DESCRIPTION:").encode().removesuffix(b"\r\nEND:VEVENT\r\n")
    before, after = (
        b"".join(
            (
                b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT",
                text,
                b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            )
        )
        for text in _made_to_collide(begin.removeprefix(b"BEGIN:VEVENT"))
    )
    keeper = Keeper(secret=secret)
    keeper.look(before)
    assert before != after
    assert uids(keeper.look(after)) == told
