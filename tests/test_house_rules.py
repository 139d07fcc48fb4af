"""How the code reads: rules that no linter has.

Complexity is bounded by ruff (C901); here are the first words of docstrings, comprehensions, and names that
mean one thing in the whole house.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import syncd

PACKAGE = Path(syncd.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

_NOT_VERBS = """
    a about all an as at by each everything for from how if in it its most no not nothing of on one only
    same several some that the their them these they this those to two what when where whether which who
    why with without
"""
"""First words of docstrings that say what something is and not what is done."""

ONE_THING_IN_TWO_PLACES = {
    "ports and what implements them": (
        {
            "Api",
            "BookingRules",
            "Fetched",
            "Kept",
            "Ledger",
            "UnderWay",
            "WorkItem",
            "Worklist",
        }
    ),
    "tables of the configuration and what is built from them": (
        {
            "Api",
            "BearerAuth",
            "HeaderAuth",
            "People",
            "Reservation",
            "Room",
            "Safety",
            "Secret",
            "Tls",
        }
    ),
    "commands and entry points": {"main", "plan", "run"},
    "the same words of two grammars": {"parse_duration"},
}
"""Public names that stand in two modules, because they are two sides of one thing."""

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _place(module: Path, node: ast.stmt | ast.expr) -> str:
    return f"{module.relative_to(PACKAGE.parent)}:{node.lineno}"


def test_a_docstring_begins_with_a_verb() -> None:
    """The first line of a function's docstring says what it does: it begins with a verb."""
    not_verbs = frozenset(_NOT_VERBS.split())
    found: list[str] = []
    for module in MODULES:
        for function in _functions(ast.parse(module.read_text("utf-8"))):
            words = (ast.get_docstring(function) or "Return").split()
            if words[0].strip("`.,:;").lower() in not_verbs:
                found.append(f"{_place(module, function)} {' '.join(words[:6])}")
    assert found == []


def test_a_comprehension_says_one_thing() -> None:
    """No comprehension stands in another one with a condition, has two conditions, or names a value."""
    found: list[str] = []
    for module in MODULES:
        tree = ast.parse(module.read_text("utf-8"))
        comprehensions = [
            node for node in ast.walk(tree) if isinstance(node, Comprehension)
        ]
        found += [_place(module, node) for node in comprehensions if _says_more(node)]
    assert found == []


def _says_more(node: Comprehension) -> bool:
    within = [child for child in ast.walk(node) if isinstance(child, Comprehension)]
    conditions = sum(len(loop.ifs) for child in within for loop in child.generators)
    loops = sum(len(child.generators) for child in within)
    names_a_value = any(isinstance(child, ast.NamedExpr) for child in ast.walk(node))
    return names_a_value or conditions > 1 or (conditions > 0 and loops > 1)


def test_a_public_name_is_defined_once() -> None:
    """A function or class that others may import has a name of its own; the sandbox shares none by intent."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        if {"sandbox", "migrations"}.isdisjoint(module.relative_to(PACKAGE).parts):
            for node in ast.parse(module.read_text("utf-8")).body:
                if isinstance(
                    node, ast.FunctionDef | ast.ClassDef
                ) and not node.name.startswith("_"):
                    places[node.name].append(_place(module, node))
    allowed = frozenset().union(*ONE_THING_IN_TWO_PLACES.values())
    several = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in several.items() if name not in allowed} == {}
    assert all(len(where) == 2 for where in several.values()), several
    assert allowed <= several.keys(), "what is no longer twice needs no exception"
