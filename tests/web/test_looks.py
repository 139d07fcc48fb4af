"""Colours, sentences and files of the page, as they stand in the project."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files
from pathlib import Path

import pytest

from syncd.core.changes import Mode
from syncd.views.catalogue import SENTENCES
from syncd.views.concerns import ConcernKind
from syncd.web.rendering import static_files

PAGE = files("syncd.web")
STYLES = (PAGE / "static" / "page.css").read_text("utf-8")
STATES = ("booked", "approval", "waiting", "held", "refused", "doubt", "over")


def _colours(scheme: str) -> dict[str, str]:
    """The colours of a scheme, by name."""
    light, dark = STYLES.split("@media (prefers-color-scheme: dark)")[:2]
    text = light if scheme == "light" else dark.split("\n}\n")[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", text))


def _luminance(colour: str) -> float:
    parts: list[float] = []
    for place in (1, 3, 5):
        part = int(colour[place : place + 2], 16) / 255
        if part <= 0.04045:
            parts.append(part / 12.92)
        else:
            parts.append(((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG computes it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(scheme: str) -> None:
    """Text on its ground has 4.5 at least, a border of a state 3, in both schemes."""
    colours = _colours(scheme)
    for state in STATES:
        fill, text, edge = (
            colours[f"{state}-{part}"] for part in ("fill", "text", "edge")
        )
        assert _contrast(text, fill) >= 4.5, state
        assert _contrast(edge, colours["card"]) >= 3, state
        assert _contrast(edge, fill) >= 3, state
    for ground in ("page", "card", "code"):
        for text in ("text", "muted", "link"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in ("edge", "now"):
        assert _contrast(colours[line], colours["card"]) >= 3


def test_each_state_has_a_border_of_its_own() -> None:
    """What tells states apart without colours."""
    borders = dict(re.findall(r"\.state-(\w+) \{.*--border: ([^;]+);", STYLES))
    assert set(borders) == set(STATES)
    # approval has a bar at its left besides
    assert len(set(borders.values())) == len(STATES) - 2
    assert ".m.state-approval > a { border-left-width: 6px; }" in STYLES


def test_sentences_stand_in_the_catalogue_alone() -> None:
    """Every code that is used is there, and every one that is there is used."""
    package = PAGE / ".."
    modules = [
        one for one in Path(str(package)).rglob("*.py") if one.name != "catalogue.py"
    ]
    pages = Path(str(PAGE / "templates")).glob("*.html")
    used = "".join(one.read_text("utf-8") for one in (*modules, *pages))
    families = set(re.findall(r"""["']([a-z_.]+)\.(?:["']|\{)""", used))
    known = {re.sub(r"\.(one|many)$", "", code) for code in SENTENCES}
    named = set(
        re.findall(
            r"""(?:say|count|phrase|counted)\(\s*["']([a-z_]+\.[a-z_.-]*[a-z])["']""",
            used,
        )
    )
    named |= set(re.findall(r"'(nav\.[a-z]+)'", used))
    assert named <= known, named - known
    for code in known - named:
        family = code.rpartition(".")[0]
        parts = family.split(".")
        is_of_family = any(
            ".".join(parts[:n]) in families for n in range(1, len(parts) + 1)
        )
        is_named = re.search(f"""["']{re.escape(code)}["']""", used)
        assert is_of_family or is_named, code


def test_each_kind_has_its_words() -> None:
    """Kinds of what needs a person and modes; a reason has its own sentence."""
    for kind in ConcernKind:
        assert {f"kind.{kind.value}.one", f"kind.{kind.value}.many"} <= SENTENCES.keys()
    for mode in Mode:
        assert mode is Mode.FULL or f"mode.{mode.value}" in SENTENCES
    assert "_" not in "".join(SENTENCES.values()), "no code in a sentence for a person"


def test_the_script_is_small() -> None:
    """Below 2 KB; and what a first visit loads besides the page is below 12 KB on the wire."""
    assert len((PAGE / "static" / "refresh.js").read_bytes()) < 2048
    loaded = [
        one
        for one in static_files().values()
        if re.search(r"/(page|grid|refresh|plain)\.", one.address)
    ]
    assert len(loaded) == 4
    assert sum(len(gzip.compress(one.body)) for one in loaded) < 12_000


def test_templates_hold_no_styles_and_no_scripts() -> None:
    """The page forbids both within itself; and nothing is marked as safe by hand."""
    for file in (PAGE / "templates").iterdir():
        text = file.read_text("utf-8")
        assert "style=" not in text, file.name
        assert not re.search(r"\son\w+=", text), file.name
        assert "|safe" not in text
        assert not re.search("http-equiv", text)
