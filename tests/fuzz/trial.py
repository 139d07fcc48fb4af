"""An API that answers nonsense, and what must hold while it does and when it answers well again.

A trial is one history of an office: calendars on disk, a ledger, the program's own parts, and a small
reservation API on a real socket.
In each round the office is at rest; then all that is said of one reservation is damaged, and everything
else must be done in that cycle; then anything is damaged for some cycles; then the API answers well again
for as long as the program needs.
Whatever happens follows from the seed, so a finding is made again by it, but for processes: they go by the
real clock, and several of their calls are under way at once.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias

import stamina
import structlog

from syncd.core.booking import Booking
from syncd.core.reasons import Reason
from syncd.core.resolve import Decision, Verdict
from syncd.ledger.facts import HELD, Held
from tests.fuzz.lives import Commands, Life, Parts, Told, Violation, configure
from tests.fuzz.nonsense import AboutOne, copied, damage, says_no, with_more_pages
from tests.fuzz.office import (
    FEW,
    HORIZON_DAYS,
    MANY,
    ROOMS,
    Content,
    Office,
    Place,
    ms,
    uid_in,
)
from tests.fuzz.tenant import CANCELLED, Question, Record, Sent, Tenant, serving

ELSEWHERE = "1410148741926678599"
STRANGER = "99"
SETTLES_WITHIN = 16
"""Cycles in which a program comes to rest when all is well; it takes three to eight."""

Answer: TypeAlias = tuple[int, int]
"""The number of a cycle, and that of an answer in it."""

_OUTCOMES = ("ok", "attention", "failed")


@dataclass
class Figures:
    """What happened, in numbers."""

    cycles: int = 0
    about_one: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Count what another trial did."""
        self.cycles += other.cycles
        self.about_one += other.about_one
        self.outcomes += other.outcomes
        self.questions += other.questions
        self.damages += other.damages
        self.changes += other.changes


class Trial:
    """One history; `only` names the answers that may be damaged (None: all).

    With `processes` it runs the program itself for each cycle; else its parts, on a clock of their own.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        only: Collection[Answer] | None = None,
        *,
        processes: bool = False,
    ) -> None:
        self.seed = seed
        self.figures = Figures()
        self.history: list[str] = []
        self.damaged: list[Answer] = []
        self.life: Life = Commands(folder) if processes else Parts(folder)
        self._only = only
        self._random = Random(seed)
        self._cycle = 0
        self._answers = 0
        self._rate = 0.0
        self._more_pages = 0
        self._about: AboutOne | None = None
        self._deceived: set[str] = set()
        # UIDs that damage to one reservation was about since the last rest.
        self._concerned: set[str] = set()
        self.office = Office(folder / "office.ics")
        self.tenant = Tenant(now=lambda: ms(self.now), distort=self._distort)
        self._strangers: dict[str, Record] = {}
        self._stack = ExitStack()
        url = self._stack.enter_context(serving(self.tenant))
        configure(folder, url, self.life)
        self._let_strangers_book(55)

    def close(self) -> None:
        """End everything."""
        self.life.end()
        self._stack.close()

    # The office

    @property
    def now(self) -> datetime:
        """The present, as the program sees it."""
        return self.life.now()

    def _note(self, text: str) -> None:
        self.history.append(f"{self.now:%d %H:%M:%S}  {text}")

    def _let_strangers_book(self, count: int) -> None:
        for _ in range(count):
            start = self.now + timedelta(
                hours=self._random.randrange(1, HORIZON_DAYS * 24)
            )
            self._stranger("Somebody else's", start, ELSEWHERE, "")

    def _stranger(
        self, topic: str, start: datetime, room_id: str, description: str
    ) -> None:
        record = self.tenant.book(
            topic=topic,
            start_time=ms(start),
            end_time=ms(start + timedelta(minutes=60)),
            room_id=room_id,
            description=description,
            creator=STRANGER,
            participants=[STRANGER],
        )
        self._strangers[record["reservation_id"]] = copied(record)

    # Edits

    def _free_place(self) -> Place:
        """A time and a room that nobody has or wants."""
        taken = self.office.taken(self.now)
        while True:
            hours = self._random.randrange(20, (HORIZON_DAYS - 3) * 24)
            start = self.now.replace(minute=0, second=0, microsecond=0) + timedelta(
                hours=hours
            )
            room = self._random.choice(list(ROOMS))
            end = ms(start + timedelta(hours=1))
            wanted = (ms(start), ROOMS[room]) in taken
            if not wanted and not self.tenant.blocker(ROOMS[room], ms(start), end):
                return start, room

    def _edit(self, but: Collection[str] = ()) -> None:
        """Let a person change one event, none of those of the UIDs `but`."""
        there = self.office.editable(self.now, but)
        few, many = len(there) < FEW, len(there) >= MANY
        if few or (not many and self._random.random() < 0.2):
            self._add_event()
            return
        uid = self._random.choice(there)
        how = self.office.change(self._random, uid, self._free_place())
        self._note(f"edit: {how} {uid}")

    def _add_event(self) -> str:
        uid = self.office.add(self._free_place(), roomless=self._random.random() < 0.1)
        self._note(f"edit: new {uid}")
        return uid

    def _exchange(self) -> None:
        """Two meetings take each other's places."""
        single = [
            uid
            for uid in self.office.editable(self.now)
            if not self.office.events[uid].every
        ]
        if len(single) >= 2:
            one, other = self._random.sample(single, 2)
            self.office.exchange(one, other)
            self._note(f"edit: {one} and {other} exchange places")

    def _let_a_stranger_in(self) -> None:
        """Somebody books a place that a new meeting wants, or copies the text of one of ours."""
        place = self._free_place()
        start, room = place
        ours = self.tenant.live_of_ours()
        if ours and self._random.random() < 0.7:
            chosen = self._random.choice(ours)
            self._stranger(chosen["topic"], start, ROOMS[room], chosen["description"])
            self._note(f"a stranger copies the text of {chosen['topic']!r}")
        else:
            self._stranger("In the way", start, ROOMS[room], "")
            self._note(f"a stranger is in the way of {self.office.add(place)}")

    # What the API answers

    def _distort(self, question: Question, honest: Record) -> Sent:
        self._answers += 1
        self.figures.questions[question.operation] += 1
        if self._about is not None:
            sent = self._about.distort(question, honest)
            if sent.answer != honest:
                self.figures.damages[f"about one: {question.operation}"] += 1
                self._note(f"  {_told(question)} -> {_short(sent)}")
            if question.operation == "cancel" and sent.done and says_no(sent.answer):
                self._deceived.add(self._uid_of(question))
            return sent
        place = (self._cycle, self._answers)
        random = Random(f"{self.seed}/{place}")
        if self._more_pages and question.operation == "list" and honest["success"]:
            known = len(self.tenant.records)
            honest = with_more_pages(random, question, honest, self._more_pages, known)
            self.figures.damages["list: more pages"] += 1
        rate = self._rate * (0.15 if question.operation == "token" else 1)
        if random.random() >= rate or not (self._only is None or place in self._only):
            return Sent(honest)
        made = damage(random, question, honest, self.tenant.records)
        self.damaged.append(place)
        self.figures.damages[made.kind] += 1
        self._note(f"  {_told(question)} -> {made.kind}: {_short(made.sent)}")
        if made.lies_about_it:
            self._deceived.add(self._uid_of(question))
        self._deceived |= {
            uid_in(self.tenant.records[number]["topic"])
            for number in made.lies
            if number in self.tenant.records
        }
        return made.sent

    def _uid_of(self, question: Question) -> str:
        topic = question.body.get("topic") or self.tenant.records.get(
            question.reservation_id, {}
        ).get("topic")
        return uid_in(topic or "")

    # Cycles

    def run(self, cycles: int) -> None:
        """So many cycles with damaged answers; raises `Violation`."""
        for _ in range(6):
            self._add_event()
        self._settle()
        while self.figures.cycles < cycles:
            for _ in range(self._random.choice([1, 1, 2])):
                self._cycles_about_one()
            self._settle()
            for _ in range(self._random.choice([2, 3, 4, 6])):
                self._mad_cycle()
            self._settle()

    def _mad_cycle(self) -> None:
        """Anything may be edited, and any answer may be damaged."""
        random = self._random
        for _ in range(random.choice([0, 1, 2, 3])):
            self._edit()
        if random.random() < 0.15:
            self._exchange()
        if random.random() < 0.1:
            self._let_a_stranger_in()
        if random.random() < 0.2:
            self.life.end()
            self._note("a new process")
        minutes = random.choice([0, 0.1, 0.2, 1, 6, 6, 61])
        self.life.wait(timedelta(minutes=minutes))
        self._rate = random.choice([0.03, 0.1, 0.1, 0.3, 0.6, 1.0])
        if random.random() < 0.1:
            self._more_pages = random.choice([1, 2, 5, 30])
            self._note(f"lists have {self._more_pages} pages more")
        self.figures.cycles += 1
        if random.random() < 0.1:
            self._look_only()
        self._run_cycle(force=random.random() < 0.3)
        self._rate, self._more_pages = 0.0, 0

    def _look_only(self) -> None:
        """What shows and does nothing never fails otherwise than it says."""
        writes = self._writes()
        self._note("plan, adopt and explain")
        self.life.look(next(iter(self.office.events), "u1"))
        if self._writes() != writes:
            raise Violation("a look writes", "plan, adopt or explain sent a change")

    def _cycles_about_one(self) -> None:
        """All that is said of one reservation is damaged; everything else is done in the same cycle."""
        random = self._random
        number, uid, topic = self._chosen()
        self._concerned.add(uid)
        self._about = AboutOne(
            random, number, topic, list(self.tenant.records.values())
        )
        self._note(
            f"about {number or 'a new one'} of {uid or 'a stranger'}: {self._about}"
        )
        for _ in range(random.choice([1, 2])):
            for _ in range(random.choice([1, 2, 3])):
                self._edit(but=self._concerned)
            if number and uid and random.random() < 0.6:
                self._say_otherwise(uid)
            self.life.wait(timedelta(minutes=random.choice([0.1, 1, 6, 61])))
            self.figures.cycles += 1
            self.figures.about_one += 1
            report = self._run_cycle(force=random.random() < 0.5)
            if report.error is not None:
                raise Violation(
                    f"one reservation ends a cycle: {_without_numbers(report.error)}",
                    f"damage to one reservation ended the cycle: {report.error}",
                )
            self._require_others()
        self._about = None
        if topic:
            # Its creation may have been answered with something like an id.
            self._deceived.add(uid)

    def _chosen(self) -> tuple[str, str, str]:
        """Which reservation it is about: id, UID (empty: a stranger's), and topic if it is to be created."""
        what = self._random.random()
        if what < 0.2:
            uid = self._add_event()
            return "", uid, self.office.events[uid].main.topic
        editable = self.office.editable(self.now)
        ours = [r for r in self.tenant.live_of_ours() if uid_in(r["topic"]) in editable]
        if what < 0.7 and ours:
            chosen = self._random.choice(ours)
            return chosen["reservation_id"], uid_in(chosen["topic"]), ""
        return self._random.choice(list(self._strangers)), "", ""

    def _say_otherwise(self, uid: str) -> None:
        """The meeting of the damaged reservation changes as well."""
        if uid in self.office.events:
            withdrawn = self._random.choice(["", "", "STATUS:CANCELLED"])
            self.office.reword(uid, withdrawn=withdrawn)
            self._note(f"edit: {withdrawn or 'word'} {uid}")

    def _require_others(self) -> None:
        """All meetings but those that the damage is about are booked as the calendar has them."""
        wanted, live = self.office.wanted(self.now), self._live()
        differences = [
            content
            for content in (*(wanted - live), *(live - wanted))
            if content[0] not in self._concerned | self._in_conflict()
        ]
        if differences:
            raise Violation(
                "others wait for one reservation",
                f"damage to reservations of {sorted(self._concerned)} kept others from being done: "
                f"{[content[:2] for content in differences]}",
            )
        doubled = [one for one, count in live.items() if count > 1]
        if doubled:
            raise Violation("two live", f"live twice: {doubled}")

    def _settle(self) -> None:
        """Answer well again, for as long as the program needs; then all is as the calendar has it."""
        self._note("all is well again")
        for uid in self._deceived & self.office.events.keys():
            del self.office.events[uid]
            self._note(f"edit: remove {uid}, because of a lie")
        self.office.drop_what_is_over(self.now)
        if self._random.random() < 0.3:
            self.life.end()
        self.life.wait(timedelta(minutes=70))
        self._come_to_rest()
        left = [
            r
            for r in self.tenant.live_of_ours()
            if uid_in(r["topic"]) in self._deceived
        ]
        for record in left:
            record["status"] = CANCELLED
        if left:
            self._note(f"a person cancels {len(left)} that a lie has left over")
            # A room that was taken is looked at again after an hour.
            self.life.wait(timedelta(minutes=70))
            self._come_to_rest()
        self._deceived.clear()
        self._concerned.clear()
        self._compare()
        self.life.wait(timedelta(minutes=1))
        asked = len(self.tenant.asked)
        self._run_cycle(force=False)
        # What the directory said of people is believed for a day, and then asked again.
        may_ask = {"users", "token"}
        if self.life.drift_check < timedelta(minutes=1):
            may_ask |= {"list", "get"}  # it is time to compare already
        calls = [
            _told(q) for q in self.tenant.asked[asked:] if q.operation not in may_ask
        ]
        if calls:
            raise Violation(
                "a quiet cycle makes calls", f"a quiet cycle makes calls: {calls}"
            )

    def _come_to_rest(self) -> None:
        quiet = 0
        for _ in range(SETTLES_WITHIN):
            writes = self._writes()
            report = self._run_cycle(force=True)
            if report.error is not None:
                raise Violation(
                    "unusable when well",
                    f"the API answers well, and yet: {report.error}",
                )
            busy = self._persons_answer() or self._writes() != writes
            quiet = 0 if busy else quiet + 1
            if quiet == 2:
                return
            self.life.wait(self.life.validity + timedelta(minutes=1))
        with self.life.ledger() as ledger:
            open_ones = [
                _described(b)
                for b in ledger.bookings.current()
                if b.reason or b.in_doubt
            ]
        raise Violation("no rest", f"it does not come to rest: {open_ones}")

    def _persons_answer(self) -> bool:
        """A person releases what is held and lets be tried again what was refused; whether anything was."""
        with self.life.ledger() as ledger:
            held = ledger.facts.get(HELD) or Held()
            if held.checksum:
                ledger.people.approve(held.checksum, self.now, "somebody")
            stuck = [
                b
                for b in ledger.bookings.current()
                if b.in_doubt or b.reason is Reason.REFUSED
            ]
            for booking in stuck:
                ledger.people.decide(
                    Decision(booking.row, Verdict.RETRY, None, "somebody", self.now)
                )
        return bool(stuck) or held.cancellations > 0

    def _compare(self) -> None:
        """Each meeting has its one reservation, each reservation of ours its meeting."""
        self._require_honesty()
        wanted, live = self.office.wanted(self.now), self._live()
        conflicts = self._in_conflict()
        missing = [
            content for content in (wanted - live) if content[0] not in conflicts
        ]
        extra = [content for content in (live - wanted) if content[0] not in conflicts]
        if not missing and not extra:
            return
        with self.life.ledger() as ledger:
            uids = {content[0] for content in (*missing, *extra)}
            records = [
                _described(b) for uid in sorted(uids) for b in ledger.bookings.of(uid)
            ]
        kind = "two live" if extra and not missing else "not as the calendar has it"
        raise Violation(
            kind, f"missing {missing}, too many {extra}; the ledger has {records}"
        )

    def _require_honesty(self) -> None:
        """Nothing of others was touched, and nothing was sent that nobody may send."""
        if self.tenant.trespasses:
            raise Violation(
                "a stranger's is changed", "; ".join(self.tenant.trespasses)
            )
        if self.tenant.defects:
            raise Violation(
                "a request that is wrong", "; ".join(self.tenant.defects)[:500]
            )
        for number, record in self._strangers.items():
            if self.tenant.records[number] != record:
                raise Violation(
                    "a stranger's is changed",
                    f"{number} of a stranger is not as it was",
                )

    def _live(self) -> Counter[Content]:
        return Counter(
            (
                uid_in(r["topic"]),
                r["topic"],
                r["start_time"],
                r["end_time"],
                r["room_id"],
            )
            for r in self.tenant.live_of_ours()
            if r["start_time"] > ms(self.now)
        )

    def _in_conflict(self) -> set[str]:
        """UIDs whose place a stranger has, or one of ours that cannot leave it for that reason."""
        found: set[str] = set()
        known = -1
        while len(found) > known:
            known = len(found)
            for uid, _, start, end, room in self.office.wanted(self.now):
                blocker = self.tenant.blocker(room, start, end)
                if blocker is None:
                    continue
                if (
                    blocker["reservation_id"] in self._strangers
                    or uid_in(blocker["topic"]) in found
                ):
                    found.add(uid)
        return found

    def _writes(self) -> int:
        return sum(question.writes for question in self.tenant.asked)

    def _run_cycle(self, *, force: bool) -> Told:
        self._cycle += 1
        self._answers = 0
        self.office.write()
        self._note(
            f"cycle {self._cycle}{', forced' if force else ''}, rate {self._rate}"
        )
        report = self.life.cycle(force=force)
        self._note(
            f"  {report.outcome} {report.error or ''} { {k: n for k, n in report.counts.items() if n} }"
        )
        if report.outcome not in _OUTCOMES:
            raise Violation(
                "outcome", f"an outcome that is not documented: {report.outcome}"
            )
        if self._rate or self._about:
            self.figures.outcomes[report.outcome] += 1
            for name in ("created", "updated", "cancelled", "adopted"):
                self.figures.changes[name] += report.counts[name]
        self._require_honesty()
        return report


def _told(question: Question) -> str:
    return f"{question.operation} {question.reservation_id}{question.body.get('topic', '')}".strip()


def _short(sent: Sent) -> str:
    text = json.dumps(sent.answer)
    done = "" if sent.done else ", not done"
    shown = text if len(text) < 300 else f"{text[:200]} ... {text[-80:]}"
    return f"HTTP {sent.status}{done} {shown}"


def _described(booking: Booking) -> str:
    return (
        f"{booking.key.uid}/{booking.key.recurrence_id} {booking.state} {booking.reason} "
        f"{booking.reservation_id} generation {booking.generation} {booking.detail!r}"
    )


def _without_numbers(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())[:90]


@contextmanager
def quick_and_quiet() -> Iterator[None]:
    """Reads are repeated at once, and nothing is logged."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    try:
        with stamina.set_testing(True, attempts=3):
            yield
    finally:
        structlog.reset_defaults()
