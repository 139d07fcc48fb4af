"""What a daemon does while its ledger can be used: reads what is due, runs cycles, tells what came of them.

It begins with each term and ends with it, so that nothing that is known from before can be wrong.
Must not: open or close a ledger, or take over a configuration file.
"""

from __future__ import annotations

from collections.abc import Collection

from syncd.assembly import Service, assemble, begin_reading, keep_configuration
from syncd.config import Config
from syncd.daemon.allocator import give_back_memory
from syncd.daemon.duties import Duties
from syncd.daemon.mandate import Mandate
from syncd.daemon.own_sources import OwnSources
from syncd.daemon.schedule import CONFIGURATION, EVERYTHING
from syncd.daemon.status_line import status_line
from syncd.daemon.surroundings import Surroundings
from syncd.daemon.writing_turn import WritingTurn
from syncd.ledger import Ledger
from syncd.ledger.operation import note_next_try
from syncd.notices.service import NoticeService

_LOOK_EVERY_S = 1.0  # at where this daemon stands among others


class Work:
    """The work on an open ledger by a configuration: all of it in a term, reading alone without one.

    `to_reload` says that another configuration is wished.
    """

    def __init__(
        self, config: Config, ledger: Ledger, mandate: Mandate, around: Surroundings
    ) -> None:
        self.to_reload = False
        self._ledger = ledger
        self._mandate = mandate
        self._around = around
        self._term = mandate.term
        self._is_writer = self._term is not None
        self._is_over = False
        self._config = config
        self.parts: Service = self.assembled(config)
        begin_reading(config, ledger)
        self._sources = OwnSources(self.parts, ledger, mandate, around)
        self._turn = WritingTurn()
        self._duties = Duties(ledger.people, mandate.now)
        self._notices: NoticeService | None = None
        if self._is_writer:
            self._notices = NoticeService(ledger, config, mandate.now)

    def assembled(self, config: Config) -> Service:
        """Return the parts of a configuration on this ledger; raise `ConfigError` for what cannot be built."""
        around = self._around

        def ends() -> bool:
            # What is being fetched for a former configuration ends too.
            return around.stop() or self._is_over or self._config is not config

        return assemble(
            config,
            self._ledger,
            owner=True,
            stopping=ends,
            progress=around.notifier,
            gives_way=self._gives_way,
            prepare=lambda _names, _force: None,
            elsewhere=around.background.read,
            pool=around.parsers,
            alive=around.notifier.alive,
            others_wait=self._others_wait,
            clock=self._mandate.now,
            trusted=self._is_trusted,
        )

    def _is_trusted(self) -> bool:
        """Tell whether anything may be sent to the API now."""
        return self._term is not None and self._term.trusted()

    def swap(self, parts: Service) -> Service:
        """Go on with other parts and their configuration, and return the former ones; nothing is owed then."""
        former = self.parts
        self._config = parts.config
        self.parts = parts
        begin_reading(parts.config, self._ledger)
        self._sources.swap(parts)
        return former

    def note_configuration(self) -> None:
        """Leave the configuration in the ledger for commands, if this is the one that writes."""
        if self._is_writer:
            keep_configuration(self._config, self._ledger)

    def note_taken_over(self) -> None:
        """Go by the configuration of the present parts in all else too; a cycle is due at once."""
        self.note_configuration()
        if self._notices is not None:
            self._notices.take_over(self._config)
        self._duties.api_rest.end()
        self._duties.due_at = None

    @property
    def sources(self) -> frozenset[str] | None:
        """Return the sources that are read here, as far as there are such; None: all of them."""
        return self._mandate.sources

    def follow(self, names: frozenset[str], *, anew: bool) -> None:
        """Read these sources from now on, and once at once: all if it begins `anew`, else those that are new.

        What no source is called any more is forgotten by the one that writes.
        """
        self._sources.follow(names, anew=anew)
        if anew and self._is_writer:
            known = set(self._ledger.sources.all())
            for gone in known - self._config.source_names:
                self._ledger.sources.forget(gone)

    def end(self) -> None:
        """End what goes on in other threads; nothing is sent after it."""
        self._is_over = True
        self.parts.api.close()
        if self._notices is not None:
            self._notices.close()

    def leave(self) -> None:
        """Write what is still noted in memory alone; raise `LedgerError`."""
        self._sources.write_looks()

    def note_stop(self) -> None:
        """Note that the daemon was told to stop; for signal handlers too."""
        self._ledger.under_way.stops()

    def note_waiting(self, sentence: str) -> None:
        """Tell that the ledger cannot be used for long, in a thread of its own."""
        if self._notices is not None:
            self._notices.note_waiting(sentence)

    # What is due

    def take_wakes(self, pause_s: float) -> None:
        """Wait so long for wakes, ask the feeds among them, and note what is to be done about the others."""
        due = self._around.wakes.wait(pause_s)
        self.to_reload |= CONFIGURATION in due
        unchanged = self._sources.take(due)
        if unchanged and self._notices is not None:
            self._notices.note_nothing_new()
        if EVERYTHING in due:
            self._duties.api_rest.end()
            if self._ledger.is_shared:
                # Others may read everything, and the API is to be tried nevertheless.
                self._duties.due_at = self._mandate.now()

    def look_around(self, problems: Collection[str]) -> None:
        """Hear what persons wish, and write and tell what is due; raise `LedgerError`.

        `problems` keep the configuration file from being used.
        """
        if self._sources.hear_refreshes():
            self._duties.api_rest.end()
        self._sources.write_looks(when_due=True)
        self._around.sums.tell_when_due()
        if self._notices is not None:
            self._notices.step(tuple(problems))

    def pause_s(self) -> float:
        """Return how long to sleep without wakes: until something is due, or the next sign of life."""
        if self.to_reload:
            return 0.0
        if self._sources.owed and not self._duties.api_rest.is_going_on:
            return 0.0
        pause_s = self._duties.pause_s()
        if self._ledger.is_shared:
            pause_s = min(pause_s, _LOOK_EVERY_S)
        return pause_s

    def _gives_way(self) -> bool:
        """Return whether a cycle leaves what it has not yet written to the next one, because others wait.

        Where all that waits is read for the first time it may write for longer: what a cycle costs beside
        writing then counts for more sources.
        """
        self.take_wakes(0)
        is_over = self._turn.is_over(urgent=self._is_urgent())
        return self._has_work() and is_over

    def _is_urgent(self) -> bool:
        """Return whether a reload waits, or a source that was read before and may have been edited."""
        return self.to_reload or self._sources.is_any_known

    def _others_wait(self) -> bool:
        """Return whether something is due beside what is being read."""
        self.take_wakes(0)
        return self._has_work() or self._around.stop()

    def _has_work(self) -> bool:
        """Return whether a reload or a source waits for the work loop."""
        return self.to_reload or bool(self._sources.owed)

    # Cycles

    def do_what_is_due(self) -> str | None:
        """Run a cycle if one is due and the API may be used, and return what came of it in a line.

        Without a term nothing is done but to read, and nothing came of it.
        """
        sources = self._sources
        if not self._is_writer:
            sources.hear(frozenset())
            self._read()
            return None
        sources.hear(self._config.source_names)
        is_due = bool(sources.owed or sources.heard) or self._duties.is_any_due()
        if not is_due or self._duties.api_rest.is_going_on:
            return None
        return self._cycle()

    def _cycle(self) -> str:
        self._duties.begin_cycle()
        names = self._sources.take_owed()
        self._turn.begin()
        reconciler = self.parts.reconciler
        report = reconciler.cycle(names, heard=self._sources.take_heard())
        self._sources.note_put_off()
        line = status_line(report, self._mandate.now())
        self._around.sums.add_cycle(report)
        if self._notices is not None:
            self._notices.note_cycle(report)
        self._duties.api_rest.note(failed=bool(report.error))
        note_next_try(self._ledger.facts, self._duties.api_rest.until)
        self._duties.due_at = reconciler.due_at
        self._sources.note_read(names)
        self._mandate.note_api(unreachable=report.unreachable)
        return line

    def _read(self) -> None:
        """Read what is owed for the one that writes."""
        names = self._sources.take_owed()
        due_at = self.parts.reconciler.due_at
        is_due = due_at is not None and due_at <= self._mandate.now()
        if not names and not is_due:
            return
        reports = self.parts.reconciler.read(names)
        self._sources.note_put_off()
        self._around.sums.add_readings(reports)
        self._sources.note_read(names)
        give_back_memory()
