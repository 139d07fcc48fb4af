"""Composes a first configuration from answers, and reads calendars by it before it is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from syncd.assembly import service
from syncd.config import Config, load
from syncd.reconciler import Calendars
from syncd.setup.answers import NewSource
from syncd.views.toml import toml_text, toml_value

_SECRET = "SYNCD_INIT_SECRET"  # noqa: S105  # the name of a variable


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """What a first configuration is made of; exactly one of `region` and `endpoint` is not empty."""

    output: Path
    region: str = ""
    endpoint: str = ""
    client_id: str = ""
    secret: str = field(default="", repr=False)
    secret_file: Path | None = None
    timezone: str = "UTC"
    creator: str = "0"
    instance: str = "init"
    sources: tuple[NewSource, ...] = ()
    remarks: tuple[str, ...] = ()

    def with_source(self, source: NewSource) -> FirstAnswers:
        """Return the answers with one more source."""
        return replace(self, sources=(*self.sources, source))

    def relative(self, path: Path) -> str:
        """Return a path as the configuration names it: from its own directory where it is in there."""
        directory = self.output.absolute().parent
        if path.is_relative_to(directory):
            return str(path.relative_to(directory))
        return str(path)


def read_calendars(
    answers: FirstAnswers, sources: Sequence[NewSource]
) -> tuple[Config, Calendars]:
    """Return what these sources say, read as the daemon would; nothing is kept."""
    os.environ[_SECRET] = answers.secret
    try:
        with tempfile.TemporaryDirectory(prefix="syncd-init-") as folder:
            file = Path(folder) / "syncd.toml"
            file.write_text("\n".join(_for_reading(answers, sources)), "utf-8")
            config = load(file)
            with service(config, owner=False) as parts:
                return config, parts.reconciler.previewer.calendars()
    finally:
        del os.environ[_SECRET]


def _for_reading(answers: FirstAnswers, sources: Sequence[NewSource]) -> Iterator[str]:
    """Yield a configuration under which sources are read; the secret is not written anywhere."""
    yield 'mode = "observe"'
    yield f"[calendar]\ntimezone = {toml_text(answers.timezone)}"
    yield "[api]"
    yield _data_centre(answers)
    yield f"client_id = {toml_text(answers.client_id)}"
    yield f"client_secret = {toml_value({'env': _SECRET})}"
    yield f"[reservation]\ncreator = {toml_text(answers.creator)}"
    yield f"instance = {toml_text(answers.instance)}"
    for source in sources:
        yield from _source(source, str(source.path))


def compose(
    answers: FirstAnswers, rooms: Sequence[str], people: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of the configuration; `rooms` and `people` are lines of their tables."""
    today = datetime.now(UTC).date()
    yield f"# First configuration of syncd, made by syncd init on {today}."
    yield "# What is not set has its default: syncd check --show prints all of it."
    for remark in answers.remarks:
        yield f"# {remark}"
    yield ""
    yield "# Nothing is written to Tuya. When you agree with what syncd plan shows:"
    yield '# "create-only", "no-cancel" or "full".'
    yield 'mode = "observe"'
    yield ""
    yield "[calendar]"
    yield "# The zone of times without one, and of whole-day events."
    yield f"timezone = {toml_text(answers.timezone)}"
    yield ""
    yield "[api]"
    yield _data_centre(answers)
    yield f"client_id = {toml_text(answers.client_id)}"
    assert answers.secret_file is not None  # asked before
    secret_file = answers.relative(answers.secret_file.absolute())
    yield f"client_secret = {toml_value({'file': secret_file})}"
    yield ""
    yield "[reservation]"
    yield "# The user id that creates meetings whose organizer has none."
    yield f"creator = {toml_text(answers.creator)}"
    yield "# Part of the mark in each reservation; another installation has another one."
    yield f"instance = {toml_text(answers.instance)}"
    yield ""
    yield "[people.addresses]"
    yield from people
    yield from rooms
    for source in answers.sources:
        yield ""
        path = "" if source.path is None else answers.relative(source.path)
        yield from _source(source, path)


def _data_centre(answers: FirstAnswers) -> str:
    if answers.region:
        return f"region = {toml_text(answers.region)}"
    return f"endpoint = {toml_text(answers.endpoint)}"


def _source(source: NewSource, path: str) -> Iterator[str]:
    yield "[[sources]]"
    yield f"name = {toml_text(source.name)}"
    if source.path is None:
        yield f"url = {toml_text(source.url)}"
    else:
        yield f"path = {toml_text(path)}"
    if source.allow_hosts:
        yield "# On a private network, where feeds are not read unless it is said."
        yield f"allow_hosts = {toml_value(source.allow_hosts)}"
