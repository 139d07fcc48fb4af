"""Every statement that changes a line of the worklist, and what keeps it from hiding news that came meanwhile."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from sqlalchemy import Delete, Dialect, Select, TextClause, Update
from sqlalchemy.dialects import postgresql, sqlite

import syncd
from syncd.ledger import agenda

PACKAGE = Path(syncd.__file__).parent
AGENDA = PACKAGE / "ledger" / "agenda.py"

WAKES = {"_ADD", "_ADD_AT", "_ADD_NEWS", "_ADD_NEWS_AT", "_MAKE_PLANNED_READY"}
"""What makes UIDs ready, which hides nothing; so does `add_all`."""

NOTES = {"_NOTE_SKIPS"}
"""What leaves them ready."""

RESTS = {"_DEFER", "_MARK_PLANNED", "_FORGET", "_FORGET_KEPT"}
"""What puts a UID to rest, or forgets it, where one process does everything."""

RESTS_AS_SEEN = {
    "_DEFER_AS_SEEN",
    "_MARK_PLANNED_AS_SEEN",
    "_FORGET_AS_SEEN",
    "_FORGET_KEPT_WITHOUT_LINE",
}
"""The same on a shared ledger, where others tell news meanwhile."""

PARTS = {"_OF_THE_UID"}

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQLITE: Dialect = sqlite.dialect()

_IN_WORDS = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM)\s+agenda\b", re.IGNORECASE)


def _changes_in(module: Path) -> Counter[str]:
    """How often a module changes lines, by the name of the function, or as text."""
    found: Counter[str] = Counter()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found["text"] += len(_IN_WORDS.findall(node.value))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            arguments = [ast.unparse(argument) for argument in node.args]
            if name not in {"select", "exists"}:
                found[name] += arguments.count("tables.agenda")
    return +found


def test_lines_are_changed_in_one_module() -> None:
    """No other module changes any, in whatever words."""
    for module in sorted(PACKAGE.rglob("*.py")):
        if "migrations" not in module.parts and module != AGENDA:
            assert not _changes_in(module), module


def test_every_statement_that_changes_a_line_is_known() -> None:
    """Each is of one of the kinds above; a new one needs its place among them."""
    found: set[str] = set()
    for name, value in vars(agenda).items():
        if isinstance(value, Update | Delete | TextClause):
            found.add(name)
    assert found == WAKES | NOTES | RESTS | RESTS_AS_SEEN | PARTS
    # Three texts; of the updates two are those of `add_all`, and one makes what is planned ready.
    assert _changes_in(AGENDA) == {"text": 3, "update": 4, "delete": 1}


def _text_of(name: str) -> str:
    statement = vars(agenda)[name]
    assert isinstance(statement, Update | Delete | TextClause)
    return str(statement.compile(dialect=_POSTGRESQL))


def test_on_a_shared_ledger_a_uid_rests_only_as_it_was_seen() -> None:
    """Each statement that puts one to rest asks for the number of its news, or whether its line is gone."""
    for name in RESTS_AS_SEEN - {"_FORGET_KEPT_WITHOUT_LINE"}:
        assert "agenda.news = %(seen)s" in _text_of(name), name
    assert "NOT (EXISTS" in _text_of("_FORGET_KEPT_WITHOUT_LINE")
    shared = agenda.SharedAgenda
    assert shared._defer is agenda._DEFER_AS_SEEN
    assert shared._mark_planned is agenda._MARK_PLANNED_AS_SEEN


def test_what_sources_say_is_news() -> None:
    """On a shared ledger what makes a UID ready for what a source says raises the number."""
    for name in ("_ADD_NEWS", "_ADD_NEWS_AT"):
        assert "news = agenda.news + 1" in _text_of(name)
    assert agenda.SharedAgenda._add_news is agenda._ADD_NEWS
    assert agenda.SharedAgenda._add_news_at is agenda._ADD_NEWS_AT


def test_a_ledger_of_one_process_knows_of_no_news() -> None:
    """Its statements do not name the column, which its table does not have."""
    alone = agenda.Agenda
    used: list[object] = [alone.ready, alone.with_news]
    used += [alone._defer, alone._mark_planned, alone._add_news, alone._add_news_at]
    used += [
        vars(agenda)[name]
        for name in RESTS | NOTES | WAKES - {"_ADD_NEWS", "_ADD_NEWS_AT"}
    ]
    for statement in used:
        assert isinstance(statement, Select | Update | Delete | TextClause)
        assert "news" not in str(statement.compile(dialect=_SQLITE))
