"""The manual is eleven pages; what can be checked of them is checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main
from click import Command

from syncd.cli import app
from syncd.core.reasons import MEANINGS, Reason
from syncd.exits import Exit
from syncd.sandbox import KINDS, SWITCHES
from syncd.views.concerns import CONCERN_WORDS

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "config/README.md",
    "config/first-day.md",
    "config/tuya-console.md",
    "config/operation.md",
    "config/plan-and-history.md",
    "config/notices.md",
    "config/page.md",
    "systemd/README.md",
    "syncd/README.md",
    "syncd/sandbox/README.md",
    "tests/README.md",
)
MOST_BYTES = 12_288
"""Of README.md: what a person reads who comes to run it."""

every_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """Return the text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """Return the blocks of code of a page."""
    return re.findall(r"^```\w*\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def code_of(page: str) -> list[str]:
    """Return all that stands as code on a page: each line of a block, each span within a sentence."""
    lines = [line for block in blocks_of(page) for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", prose_of(page))


def anchors_of(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def section_of(page: str, heading: str) -> str:
    """Return a section of a page, up to the next one of its level."""
    found = re.search(
        rf"^## {heading}$(.*?)(?=^## |\Z)", text_of(page), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page} has a section {heading!r}"
    return found[1]


def project() -> dict[str, dict[str, object]]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def commands() -> dict[str, Command]:
    """Return the commands of the program by name."""
    group = typer.main.get_command(app)
    return dict(group.commands)  # type: ignore[attr-defined]  # typer's group has them


def options_of(command: Command) -> set[str]:
    """Return the long options of a command."""
    options = {option for parameter in command.params for option in parameter.opts}
    return {option for option in options if option.startswith("--")} - {"--help"}


def test_every_page_is_walked() -> None:
    """No page of the project is left out of these tests."""
    folders = ("config", "operation", "systemd", "syncd", "tests")
    found = {
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*.md")
    }
    example = Path("syncd/example")  # a link to config/
    found = {path for path in found if not path.is_relative_to(example)}
    assert {Path("README.md"), *found} == {Path(page) for page in PAGES}


def test_the_first_page_is_short() -> None:
    """README.md is for the person who comes to run it, and what is reference stands on the other pages."""
    assert len(text_of("README.md").encode()) <= MOST_BYTES


@every_page
def test_links_resolve(page: str) -> None:
    """Each link of a page leads to a file that is there, and to a heading that it has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(str(file.relative_to(ROOT))), target


# Commands


def test_every_command_and_option_is_described() -> None:
    """No command or long option of the program is missing in the manual."""
    first = text_of("README.md")
    manual = "".join(text_of(page) for page in PAGES)
    for name, command in commands().items():
        assert re.search(rf"`{name}\b", first), name
        assert command.help, name
        for option in options_of(command):
            assert option in manual, (name, option)


def told_commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the program that a page shows, with the long options that follow it."""
    for code in code_of(page):
        for name, rest in re.findall(
            r"(?:^|[ /])syncd ([a-z]+(?:-[a-z]+)*)\b([^|&;]*)", code
        ):
            if not re.search(rf"(systemctl|systemd-analyze)[^&;]*syncd {name}", code):
                yield name, re.findall(r"--[a-z][a-z-]*", rest)


@every_page
def test_commands_exist(page: str) -> None:
    """Each command that a page shows is one of the program, with options that it has."""
    known = commands()
    for name, options in told_commands(page):
        assert name in known, name
        assert set(options) <= options_of(known[name]), (name, options)


@every_page
def test_tests_and_modules_that_are_run_exist(page: str) -> None:
    """What a page runs with `python -m` can be run, and the tests that it names are there."""
    for code in code_of(page):
        for module in re.findall(r"python -m ([a-z_.]+)|^(tests(?:\.[a-z_]+)+)", code):
            assert find_spec("".join(module)), code
        for path in re.findall(r"\btests/[\w/.]+", code):
            assert (ROOT / path).exists(), code


def test_every_exit_code_is_described() -> None:
    """The table of exit codes is complete."""
    for code in Exit:
        assert f"| {code.value} |" in text_of("README.md")


def test_its_commands_are_what_ci_runs() -> None:
    """The first two blocks are the demo and the test command, and the latter is what `.ci/run` calls."""
    demo, tests = re.findall(
        r"```sh\n(python3 -m venv \.venv .*)\n```", text_of("README.md")
    )
    assert blocks_of("README.md")[:2] == [f"{demo}\n", f"{tests}\n"]
    assert demo.endswith("syncd demo")
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# Tables that the code defines


def test_each_word_of_status_leads_to_an_entry() -> None:
    """What `status` calls a thing that needs a person is a heading of the page about it."""
    headings = anchors_of("config/operation.md")
    for word in ("not running", *CONCERN_WORDS.values()):
        assert word.lower().replace(" ", "-") in headings, word


def test_every_reason_has_a_meaning() -> None:
    """The closed set of reason codes and their sentences are one."""
    assert set(MEANINGS) == set(Reason)


def tables() -> dict[str, list[str]]:
    """Return the rows of the manual that list what the code defines."""
    return {
        "reasons": [f"| `{reason}` | {MEANINGS[reason]} |" for reason in Reason],
        "faults": [
            f"| `{kind}{':' + keys.replace(' ', ',') if keys else ''}` | {what} |"
            for kind, (keys, what) in KINDS.items()
        ],
        "switches": [
            f"| `{name}` | {default} | {meaning} |"
            for name, (default, meaning) in SWITCHES.items()
        ],
    }


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("config/README.md", "reasons"),
        ("syncd/sandbox/README.md", "faults"),
        ("syncd/sandbox/README.md", "switches"),
    ],
)
def test_lists_are_those_of_the_code(page: str, name: str) -> None:
    """Reason codes, faults and switches stand in the manual exactly as the code has them."""
    between = (
        text_of(page)
        .partition(f"<!-- {name} -->\n")[2]
        .partition(f"<!-- /{name} -->")[0]
    )
    rows = [line for line in between.splitlines() if line.startswith("| `")]
    assert rows == tables()[name]


# Design


@every_page
def test_modules_that_are_named_exist(page: str) -> None:
    """Each module that a page names stands where it says, below `syncd` or below the project."""
    for code in re.findall(r"`([a-z_/]+\.py)`", prose_of(page)):
        assert any((root / code).is_file() for root in (ROOT / "syncd", ROOT)), code


def test_layout_is_that_of_the_package() -> None:
    """The layout names every module and package of `syncd` once, and nothing else."""
    layout = section_of("syncd/README.md", "Layout")
    told = re.findall(r"^  ([a-z_]+(?:/|\.py)) ", layout, re.MULTILINE)
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "syncd").iterdir()
        if not path.name.startswith("_") and path.suffix in {"", ".py"}
    }
    assert sorted(told) == sorted(there)


def test_layers_are_those_of_the_contract() -> None:
    """The picture of the imports is the contract that is enforced."""
    (picture,) = (
        block for block in blocks_of("syncd/README.md") if block.startswith("cli >")
    )
    told = [re.findall(r"\w+", layer) for layer in picture.split(">")]
    contract = project()["tool"]["importlinter"]["contracts"][0]["layers"]  # type: ignore[index]
    assert [set(layer) for layer in told] == [
        set(re.findall(r"syncd\.(\w+)", layer)) for layer in contract
    ]


def test_every_dependency_is_explained() -> None:
    """The tables of packages are those of pyproject.toml, for the program and for its tests."""
    section = section_of("syncd/README.md", "Dependencies")
    for_program, for_tests = section.split("Used by the tests only:")
    wanted = project()["project"]["dependencies"]
    assert told_packages(for_program) == names_of(wanted)
    stubs = {
        name
        for name in names_of(project()["dependency-groups"]["dev"])
        if name.startswith("types-")
    }
    assert (
        told_packages(for_tests)
        == names_of(project()["dependency-groups"]["dev"]) - stubs
    )


def told_packages(section: str) -> set[str]:
    """Return the packages in the first column of a table, in small letters."""
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    names = {name.lower() for cell in cells for name in cell.split(", ")}
    return names - {"package", "---"}


def names_of(requirements: object) -> set[str]:
    """Return the names of packages in a list of requirements."""
    assert isinstance(requirements, list)
    found = (re.match(r"[\w-]+", requirement) for requirement in requirements)
    return {match[0].lower() for match in found if match}
