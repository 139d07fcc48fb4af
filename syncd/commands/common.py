"""What commands share: the configuration they were given, the tables for people, and how they end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.models import ParameterInfo

from syncd import streams
from syncd.commands.completing import COMPLETERS
from syncd.exits import Exit

if TYPE_CHECKING:
    from syncd.config import Config

_Command = TypeVar("_Command", bound=Callable[..., object])


class Commands(typer.Typer):
    """A set of commands, each of which takes `--config` too, so that it may stand behind the command."""

    def command(
        self, name: str | None = None, **options: Any
    ) -> Callable[[_Command], _Command]:
        """Register a function as a command, with the option besides those of its signature."""
        register = super().command(name, **options)

        def add(function: _Command) -> _Command:
            register(_with_config(function))
            return function

        return add


def _take_config(context: typer.Context, given: Path | None) -> None:
    """Use the configuration that was named behind a command; refuse two different ones."""
    if given is None:
        return
    root = context.find_root()
    if root.obj not in (None, given):
        raise typer.BadParameter(
            f"given twice, as {root.obj} and as {given}: give it once"
        )
    root.obj = given


_ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_take_config,
        help="May stand before the command too.",
    ),
]


def _with_config(function: Callable[..., object]) -> Callable[..., object]:
    """Return a command that takes the option as well; `config_path` tells what was given."""

    @functools.wraps(function)
    def command(*given: Any, config: Path | None = None, **named: Any) -> object:  # noqa: ARG001  # told by the callback
        return function(*given, **named)

    own = inspect.signature(function, eval_str=True)
    for parameter in own.parameters.values():
        _let_complete(parameter)
    option = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_ConfigOption
    )
    # From both typer learns what a command takes.
    whole = own.replace(parameters=[*own.parameters.values(), option])
    command.__signature__ = whole  # type: ignore[attr-defined]  # a name that `inspect` knows
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in whole.parameters.values()
    }
    return command


def _let_complete(parameter: inspect.Parameter) -> None:
    """Let a shell complete a parameter whose name says what it takes."""
    for told in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(told, ParameterInfo) and parameter.name in COMPLETERS:
            told.autocompletion = COMPLETERS[parameter.name]


def config_path(context: typer.Context) -> Path:
    """Return the configuration file that was named, or else the default one."""
    from syncd.config import default_path

    named: Path | None = context.find_root().obj
    return named or default_path()


def load_config(context: typer.Context) -> Config:
    """Return the configuration, with logging set up as it says; raises `ConfigError`."""
    from syncd.config import load

    config = load(config_path(context))
    _set_up_logs(config)
    return config


def _set_up_logs(config: Config) -> None:
    from syncd import log

    level = config.log.level
    if streams.errors.isatty() and level == "info":
        # A person sees tables; a line per change would be in their way.
        level = "warning"
    log.configure(config.log.format, level)


@dataclass(frozen=True, slots=True)
class ConfigInForce:
    """The configuration that commands look by; `problems` are those of the file, if another one is in force."""

    config: Config
    problems: tuple[str, ...] = ()


def config_in_force(context: typer.Context) -> ConfigInForce:
    """Return the configuration, or the last good one while the file has a mistake, and say so.

    Raises `ConfigError` if none is known.
    """
    from syncd.commands.last_good import kept_configuration
    from syncd.errors import ConfigError

    try:
        return ConfigInForce(load_config(context))
    except ConfigError as error:
        config = kept_configuration(config_path(context))
        if config is None:
            raise
        problems = error.problems
    _set_up_logs(config)
    for sentence in problems:
        streams.complain(sentence)
    streams.complain(
        "The configuration cannot be used as it is; what follows is by the last good one."
    )
    return ConfigInForce(config, problems)


def ended(*, attention: bool) -> typer.Exit:
    """Return the end of a command that did what it was asked, with or without something for a person."""
    return typer.Exit(Exit.ATTENTION if attention else Exit.OK)
