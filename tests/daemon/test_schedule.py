"""The scheduler and the wakes: real threads, signals and clocks, with intervals of fractions of seconds."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.backoff import backed_off
from syncd.daemon.schedule import Entry, Scheduler, Wakes
from tests.conftest import HANG_S

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001
    datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
INTERVALS = st.timedeltas(timedelta(milliseconds=1), timedelta(days=30))
SHARES = st.floats(0, 1)


def times(entry: Entry, name: str, start: datetime, count: int) -> list[datetime]:
    """The first times after a start at which an entry is due."""
    found = []
    moment: datetime | None = start
    for _ in range(count):
        assert moment is not None
        moment = entry.after(name, moment)
        assert moment is not None
        found.append(moment)
    return found


@contextmanager
def scheduling(**entries: Entry) -> Iterator[tuple[list[str], Scheduler]]:
    """A scheduler with these entries, and what it rang."""
    rung: list[str] = []
    with Scheduler(rung.append, tick_s=0.05) as scheduler:
        scheduler.plan(entries)
        yield rung, scheduler


def until(condition: object, within_s: float = HANG_S) -> bool:
    """Whether something becomes true in time."""
    assert callable(condition)
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


class TestEntry:
    """When a name is due, as a function of name and time."""

    @given(st.text(), INTERVALS, SHARES, MOMENTS)
    def test_the_next_time_is_later_and_within_an_interval_and_its_jitter(
        self, name: str, interval: timedelta, jitter: float, moment: datetime
    ) -> None:
        """No time is repeated, and none is further away than an interval with its jitter."""
        due = Entry(interval, jitter=jitter).after(name, moment)
        assert due is not None
        assert (
            moment < due <= moment + interval * (1 + jitter) + timedelta(microseconds=2)
        )

    @given(st.text(), INTERVALS, SHARES, MOMENTS, st.floats(0, 1))
    def test_the_places_do_not_depend_on_when_one_asks(
        self,
        name: str,
        interval: timedelta,
        jitter: float,
        moment: datetime,
        share: float,
    ) -> None:
        """Asked at any time before it, the next time is the same: a restart moves nothing."""
        entry = Entry(interval, jitter=jitter)
        due = entry.after(name, moment)
        assert due is not None
        assert (
            Entry(interval, jitter=jitter).after(
                name, moment + (due - moment) * share * 0.999
            )
            == due
        )

    def test_without_jitter_times_are_an_interval_apart(self) -> None:
        """The offset of a name is constant."""
        found = times(Entry(FIVE_MINUTES), "office", NOON, 10)
        assert {later - earlier for earlier, later in itertools.pairwise(found)} == {
            FIVE_MINUTES
        }

    def test_jitter_does_not_add_up(self) -> None:
        """A thousand intervals take as long as a thousand intervals, give or take one jitter."""
        found = times(Entry(FIVE_MINUTES, jitter=0.1), "office", NOON, 1001)
        assert abs(found[-1] - found[0] - 1000 * FIVE_MINUTES) <= FIVE_MINUTES * 0.1
        gaps = {later - earlier for earlier, later in itertools.pairwise(found)}
        assert len(gaps) > 900
        assert FIVE_MINUTES * 0.9 <= min(gaps) < max(gaps) <= FIVE_MINUTES * 1.1

    def test_equal_intervals_are_spread_by_name(self) -> None:
        """Of two hundred feeds every five minutes no ten seconds get more than a few."""
        dues = [
            times(Entry(FIVE_MINUTES), f"source {number}", NOON, 1)[0]
            for number in range(200)
        ]
        of_slice = [int((due - NOON).total_seconds() // 10) for due in dues]
        assert len(set(of_slice)) >= 28
        assert max(of_slice.count(number) for number in set(of_slice)) <= 16

    def test_the_places_are_those_of_every_version(self) -> None:
        """The place of a name is fixed: it may not change with Python, its hash seed or a release."""
        script = (
            "from datetime import UTC, datetime, timedelta\n"
            "from syncd.daemon.schedule import Entry\n"
            "noon = datetime(2026, 11, 23, 12, tzinfo=UTC)\n"
            "print(Entry(timedelta(hours=1)).after('office', noon).isoformat())\n"
        )
        for seed in ("0", "1"):
            ran = subprocess.run(
                [sys.executable, "-c", script],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONHASHSEED": seed},
            )
            assert ran.stdout.strip() == "2026-11-23T12:42:58.362645+00:00"

    def test_cron_in_its_zone(self) -> None:
        """Names of weekdays, and hours of the zone: the winter's 7 is 6 in UTC."""
        entry = Entry(
            FIVE_MINUTES, cron="*/30 7-8 * * mon-fri", zone=BERLIN, jitter=0.5
        )
        friday_evening = datetime(2026, 11, 20, 20, tzinfo=UTC)
        assert [f"{due:%a %H:%M}" for due in times(entry, "office", friday_evening, 5)] == [
            "Mon 06:00", "Mon 06:30", "Mon 07:00", "Mon 07:30", "Tue 06:00",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("start", "expected"),
        [
            (datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 01:30", "30 00:30"]),
            (
                datetime(2026, 10, 24, 12, tzinfo=UTC),
                ["25 00:30", "25 01:30", "26 01:30"],
            ),
        ],
        ids=["gap", "overlap"],
    )
    def test_cron_when_clocks_change(
        self, start: datetime, expected: list[str]
    ) -> None:
        """A time in the gap comes after it, one in the overlap twice: no day is left out."""
        entry = Entry(FIVE_MINUTES, cron="30 2 * * *", zone=BERLIN)
        assert [
            f"{due:%d %H:%M}" for due in times(entry, "office", start, len(expected))
        ] == expected

    def test_cron_that_matches_the_moment_is_not_found_again(self) -> None:
        """On the very minute the next match is another one."""
        assert times(Entry(FIVE_MINUTES, cron="0 12 * * *"), "office", NOON, 1) == [
            NOON + timedelta(days=1)
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"interval": timedelta(0)},
            {"jitter": 1.1},
            {"jitter": -0.1},
            {"cron": "* * *"},
        ],
    )
    def test_wrong_entries_cannot_be_made(self, wrong: dict[str, object]) -> None:
        """An entry that would never or always be due is refused when it is made."""
        arguments: dict[str, object] = {"interval": FIVE_MINUTES, **wrong}
        with pytest.raises(ValueError, match=r"interval|jitter|fields"):
            Entry(**arguments)  # type: ignore[arg-type]  # wrong on purpose


class TestScheduler:
    """The scheduler itself."""

    def test_rings_every_interval(self) -> None:
        """Names ring again and again at their own pace, and next_run says when."""
        began = time.monotonic()
        with scheduling(
            fast=Entry(timedelta(seconds=0.1)),
            slow=Entry(timedelta(seconds=0.4)),
            never=Entry(HOUR),
        ) as (rung, scheduler):
            due = scheduler.next_run("never")
            assert due is not None
            assert datetime.now(UTC) < due <= datetime.now(UTC) + HOUR
            assert until(lambda: rung.count("fast") >= 10 and rung.count("slow") >= 2)
            fast, slow = rung.count("fast"), rung.count("slow")
            # No more than have places in that time.
            passed_s = time.monotonic() - began
            assert fast <= passed_s / 0.1 + 1
            assert slow <= passed_s / 0.4 + 1
            # The jitter is none, and so the one place of an hour may be now.
            assert rung.count("never") <= 1
            assert scheduler.next_run("unknown") is None

    def test_a_new_plan(self) -> None:
        """Removed names fall silent, new ones ring, unchanged ones keep their next run."""
        kept = Entry(HOUR, jitter=0.1)
        with scheduling(kept=kept, gone=Entry(timedelta(seconds=0.05))) as (
            rung,
            scheduler,
        ):
            before = scheduler.next_run("kept")
            assert until(lambda: "gone" in rung)
            scheduler.plan(
                {"kept": Entry(HOUR, jitter=0.1), "new": Entry(timedelta(seconds=0.05))}
            )
            rung.clear()
            assert until(lambda: rung.count("new") >= 3)
            assert "gone" not in rung
            assert scheduler.next_run("kept") == before
            assert scheduler.next_run("gone") is None

    def test_a_postponed_name_is_silent_and_then_made_up_for(self) -> None:
        """No ring before the time, one at it for all that were left out, and then as usual."""
        with scheduling(
            feed=Entry(timedelta(seconds=0.1)), other=Entry(timedelta(seconds=0.1))
        ) as (
            rung,
            scheduler,
        ):
            later = datetime.now(UTC) + HOUR
            scheduler.postpone("feed", later)
            assert scheduler.next_run("feed") == later
            rung.clear()
            assert until(lambda: rung.count("other") >= 4)
            assert "feed" not in rung
            soon = datetime.now(UTC) + timedelta(seconds=0.3)
            scheduler.postpone("feed", soon)
            assert until(lambda: "feed" in rung)
            assert datetime.now(UTC) >= soon
            assert until(lambda: rung.count("feed") >= 3)

    def test_a_postponement_shorter_than_the_interval_changes_nothing(self) -> None:
        """Who is due later anyway stays so."""
        with scheduling(feed=Entry(HOUR)) as (_, scheduler):
            due = scheduler.next_run("feed")
            assert due is not None
            scheduler.postpone("feed", min(due, datetime.now(UTC)))
            assert scheduler.next_run("feed") == due

    def test_a_postponement_is_replaced_and_ended(self) -> None:
        """The last one counts, one into the past ends it, and so does a changed entry."""
        with scheduling(feed=Entry(HOUR)) as (_, scheduler):
            due = scheduler.next_run("feed")
            assert due is not None
            for days in (3, 2, 4):
                scheduler.postpone("feed", NOON + timedelta(days=36500 + days))
            assert scheduler.next_run("feed") == NOON + timedelta(days=36504)
            scheduler.plan({"feed": Entry(HOUR)})
            assert scheduler.next_run("feed") == NOON + timedelta(days=36504)
            scheduler.postpone("feed", NOON - timedelta(days=36500))
            assert scheduler.next_run("feed") == due
            scheduler.postpone("feed", NOON + timedelta(days=36500))
            scheduler.plan({"feed": Entry(2 * HOUR)})
            again = scheduler.next_run("feed")
            assert again is not None
            assert again <= datetime.now(UTC) + 2 * HOUR

    def test_many_that_wait_for_one_moment_do_not_come_in_it(self) -> None:
        """After a failure they come within the jitter, after a floor at their places; the same after a restart."""
        entry = Entry(FIVE_MINUTES, jitter=0.1)
        names = [f"source {number}" for number in range(200)]
        until = datetime.now(UTC) + HOUR
        failed: list[list[datetime]] = []
        floored: list[list[datetime]] = []
        for _ in range(2):
            with scheduling(**dict.fromkeys(names, entry)) as (_, scheduler):
                for found, wait in (
                    (failed, scheduler.postpone),
                    (floored, scheduler.leave_out),
                ):
                    dues = []
                    for name in names:
                        wait(name, until)
                        due = scheduler.next_run(name)
                        assert due is not None
                        dues.append(due)
                    found.append(dues)
        assert failed[0] == failed[1]
        assert floored[0] == floored[1]
        for dues, spread in ((failed[0], 0.1), (floored[0], 1.1)):
            assert min(dues) >= until
            assert max(dues) <= until + FIVE_MINUTES * spread
            slices = [int((due - until) / (FIVE_MINUTES * spread) * 30) for due in dues]
            assert max(slices.count(number) for number in set(slices)) <= 20

    def test_what_is_due_within_some_seconds_comes_together(self) -> None:
        """A thousand names wake the machine every three seconds at most, none early or so much late."""
        names = [f"source {number}" for number in range(1000)]
        regular = dict.fromkeys(names, Entry(FIVE_MINUTES, jitter=0.1))
        exact = {"exact": Entry(FIVE_MINUTES), "cron": Entry(HOUR, cron="* * * * *")}
        with scheduling(**regular, **exact) as (_, scheduler):
            planned = scheduler._heap.copy()
        assert {name for _, _, name in planned} == {*regular, *exact}
        for wake_at, due, name in planned:
            if name in regular:
                assert due <= wake_at < due + timedelta(seconds=3)
            else:
                assert wake_at == due
        assert len({wake_at for wake_at, _, _ in planned}) <= 114

    def test_what_is_left_out_is_left_out(self) -> None:
        """The next run is the first place that is not left out; an earlier moment takes that back."""
        entry = Entry(HOUR)
        with scheduling(feed=entry, cron=Entry(HOUR, cron="0 12 * * *")) as (
            _,
            scheduler,
        ):
            due = scheduler.next_run("feed")
            assert due is not None
            scheduler.leave_out("feed", due)
            assert scheduler.next_run("feed") == due
            scheduler.leave_out("feed", due + timedelta(minutes=1))
            assert scheduler.next_run("feed") == due + HOUR
            scheduler.leave_out("feed", due)
            assert scheduler.next_run("feed") == due
            scheduler.leave_out("cron", NOON + timedelta(days=36500))
            assert scheduler.next_run("cron") == NOON + timedelta(days=36500)
            scheduler.leave_out("unknown", NOON + timedelta(days=36500))
            assert scheduler.next_run("unknown") is None

    def test_unknown_names_cannot_be_postponed_for_later(self) -> None:
        """A postponement of a name that went away does not meet a new source of the same name."""
        with scheduling() as (_, scheduler):
            scheduler.postpone("feed", NOON + timedelta(days=36500))
            scheduler.plan({"feed": Entry(HOUR)})
            due = scheduler.next_run("feed")
            assert due is not None
            assert due <= datetime.now(UTC) + HOUR

    def test_a_clock_that_was_set_back_keeps_nobody_waiting(self) -> None:
        """Runs computed with a clock years ahead are placed anew, and what was left of a wait is left."""
        with scheduling(regular=Entry(HOUR), waiting=Entry(HOUR)) as (_, scheduler):
            years = timedelta(days=1500)
            wrong = datetime.now(UTC) + years
            scheduler.postpone("waiting", wrong + timedelta(hours=3))
            with scheduler._guard:
                scheduler._place("regular", wrong + timedelta(minutes=30))
                scheduler._clock_was_set(-years)
            regular, waiting = (
                scheduler.next_run("regular"),
                scheduler.next_run("waiting"),
            )
            assert regular is not None
            assert regular <= datetime.now(UTC) + HOUR
            assert waiting == wrong - years + timedelta(hours=3)

    def test_runs_missed_while_the_process_stood_still_come_once(self) -> None:
        """A process that was stopped for many intervals rings once for all of them, and at once."""
        script = (
            "import sys, time\n"
            "from datetime import timedelta\n"
            "from syncd.daemon.schedule import Entry, Scheduler\n"
            "def wake(name): print(time.monotonic(), flush=True)\n"
            "with Scheduler(wake) as scheduler:\n"
            "    scheduler.plan({'office': Entry(timedelta(seconds=0.2))})\n"
            "    sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            time.sleep(3)
            continued = time.monotonic()
            process.send_signal(signal.SIGCONT)
            rung: list[float] = []
            while len([moment for moment in rung if moment >= continued]) < 3:
                rung.append(float(process.stdout.readline()))
            process.stdin.close()
        assert not [moment for moment in rung if stopped + 1 < moment < continued]
        after = [moment for moment in rung if moment >= continued]
        # One for all that were missed, and then one for each place.
        assert len(after) <= (after[-1] - continued) / 0.2 + 2

    def test_the_end(self) -> None:
        """After close nothing rings and no thread is left; a second close does nothing."""
        threads = set(threading.enumerate())
        with scheduling(fast=Entry(timedelta(seconds=0.02))) as (rung, scheduler):
            assert until(lambda: rung)
            scheduler.close()
            assert set(threading.enumerate()) == threads
            count = len(rung)
            time.sleep(0.1)
            assert len(rung) == count

    def test_plans_from_several_threads_while_it_rings(self) -> None:
        """Planning, postponing and asking at once while names ring ends, and ends with the last plan."""
        with scheduling(a=Entry(timedelta(seconds=0.01))) as (rung, scheduler):

            def trouble(number: int) -> None:
                for step in range(40):
                    scheduler.plan(
                        {
                            "a": Entry(
                                timedelta(seconds=0.01 + 0.001 * (step % 3 + number))
                            )
                        }
                    )
                    scheduler.postpone(
                        "a", datetime.now(UTC) + timedelta(milliseconds=1)
                    )
                    scheduler.next_run("a")

            threads = [
                threading.Thread(target=trouble, args=(number,)) for number in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(HANG_S)
            assert not any(thread.is_alive() for thread in threads)
            rung.clear()
            assert until(lambda: rung.count("a") >= 3)


class TestBackOff:
    """How failures stretch an interval."""

    @pytest.mark.parametrize(
        ("failures", "minutes"),
        [(0, 5), (1, 5), (2, 10), (3, 20), (7, 320), (8, 360), (10_000, 360)],
    )
    def test_doubles_up_to_six_hours(self, failures: int, minutes: int) -> None:
        """The first failure costs an interval, each further one twice as much as the last."""
        assert backed_off(FIVE_MINUTES, failures) == timedelta(minutes=minutes)

    def test_never_less_than_the_interval(self) -> None:
        """A source that is read once a day is not asked more often because it fails."""
        assert backed_off(timedelta(days=1), 5) == timedelta(days=1)
        assert backed_off(timedelta(seconds=15), 9, timedelta(minutes=15)) == timedelta(
            minutes=15
        )


class TestWakes:
    """The doorbell."""

    def test_names_and_reasons_since_the_last_time(self) -> None:
        """Everything that rang is told once, by name, with all its reasons."""
        wakes = Wakes()
        for name, reason in (
            ("a", "file"),
            ("b", "schedule"),
            ("a", "signal"),
            ("a", "file"),
        ):
            wakes.wake(name, reason)
        assert wakes.wait(0) == {"a": {"file", "signal"}, "b": {"schedule"}}
        assert wakes.wait(0) == {}

    def test_waits_until_the_time_is_over(self) -> None:
        """Without a wake the answer is empty, and not early; a time that is over already means now."""
        wakes = Wakes()
        began = time.monotonic()
        assert wakes.wait(0.2) == {}
        assert time.monotonic() - began >= 0.19
        assert wakes.wait(-5) == {}

    def test_a_wake_from_another_thread_ends_the_wait(self) -> None:
        """The waiting thread goes on as soon as something rings."""
        wakes = Wakes()
        threading.Timer(0.1, wakes.wake, ("office", "file")).start()
        assert wakes.wait(HANG_S) == {"office": {"file"}}

    def test_nothing_is_lost_between_threads(self) -> None:
        """Of ten thousand wakes of four threads every name arrives."""
        wakes = Wakes()

        def ring(number: int) -> None:
            for step in range(2500):
                wakes.wake(f"{number}-{step}", "file")

        threads = [threading.Thread(target=ring, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        seen: set[str] = set()
        while len(seen) < 10_000:
            due = wakes.wait(HANG_S)
            assert due
            seen |= due.keys()
        for thread in threads:
            thread.join()

    def test_a_signal_handler_may_ring_at_any_instruction(self) -> None:
        """A storm of signals that ring inside wait and wake of one thread neither blocks nor loses one."""
        wakes = Wakes()
        sent = 0

        def handler(_number: int, _frame: object) -> None:
            nonlocal sent
            sent += 1
            wakes.wake(f"signal {sent}", "signal")

        former = signal.signal(signal.SIGALRM, handler)
        seen: set[str] = set()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
            while sent <= 500:
                wakes.wake("own", "loop")
                seen |= wakes.wait(0.001).keys()
                seen |= wakes.wait(0.001).keys()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
        seen |= wakes.wait(0).keys()
        assert {f"signal {number}" for number in range(1, sent + 1)} <= seen

    def test_a_signal_ends_the_wait_of_the_main_thread(self) -> None:
        """A process that waits for a long time wakes at once when the handler of a signal rings."""
        script = (
            "import signal\n"
            "from syncd.daemon.schedule import Wakes\n"
            "wakes = Wakes()\n"
            "signal.signal(signal.SIGTERM, lambda *_: wakes.wake('stop', 'signal'))\n"
            "print('waiting', flush=True)\n"
            "print(wakes.wait(3600))\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.1)
            process.terminate()
            assert process.communicate(timeout=HANG_S)[0] == "{'stop': {'signal'}}\n"


def test_idle_costs_next_to_nothing(tmp_path: Path) -> None:
    """A hundred entries and a hundred watched files use less than a hundredth of a processor while idle."""
    script = (
        "import sys, time\n"
        "from datetime import timedelta\n"
        "from pathlib import Path\n"
        "from syncd.daemon.schedule import Entry, Scheduler, Wakes\n"
        "from syncd.daemon.watcher import Watcher\n"
        "wakes, folder = Wakes(), Path(sys.argv[1])\n"
        "files = {str(n): [folder / f'{n}.ics'] for n in range(100)}\n"
        "with Watcher(lambda n: wakes.wake(n, 'file'), rescan_s=0.5) as watcher, "
        "Scheduler(lambda n: wakes.wake(n, 'schedule')) as scheduler:\n"
        "    watcher.watch(files)\n"
        "    scheduler.plan({name: Entry(timedelta(hours=1)) for name in files})\n"
        "    time.sleep(0.7)\n"
        "    used = time.process_time()\n"
        "    wakes.wait(3)\n"
        "    print(time.process_time() - used)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    # Six rescans take some hundredths of a second of work; who polls uses a share of all processors.
    assert float(ran.stdout) < 1
