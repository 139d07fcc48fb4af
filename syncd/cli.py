"""The command line: arguments in, exit codes out; what commands do is elsewhere.

Results go to standard output, logs and problems to standard error.
Modules are imported where they are needed, so that `syncd --version` starts fast.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd import __version__, early, streams
from syncd.errors import ApiUnusable, ConfigError, LedgerLocked, LedgerMisplaced, LedgerTooNew, SyncdError

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.core.booking import Booking
    from syncd.views.console import Tables


class Exit(IntEnum):
    """Exit codes; scripts depend on them."""

    OK = 0
    ATTENTION = 1
    USAGE = 2
    CHANGES = 3
    API = 69
    LOCKED = 75
    CONFIG = 78
    INTERRUPTED = 130


app = typer.Typer(
    name="syncd",
    help="Keeps Tuya meeting reservations in step with calendars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # what it draws would not pass the door of syncd.streams
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON document instead of tables.")]
SourceOption = Annotated[
    list[str] | None, typer.Option("--source", metavar="NAME", help="Only this source; may be repeated.")
]


def _version(wanted: bool) -> None:
    if wanted:
        streams.say(f"syncd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Default: $SYNCD_CONFIG, else /etc/syncd/syncd.toml."),
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    context.obj = config
    from syncd import log  # noqa: F401  # before anything else that loads structlog


@app.command()
def run(context: typer.Context) -> None:
    """Run as a daemon, in the foreground; SIGHUP re-reads the configuration, SIGUSR1 reads all sources."""
    from syncd.config import default_path
    from syncd.daemon.loop import run_daemon

    run_daemon(context.obj or default_path())


@app.command()
def once(
    context: typer.Context,
    source: SourceOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ignore cached answers, and compare with the API.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one full cycle over all sources, then leave."""
    from syncd.assembly import Stop, service
    from syncd.views import documents
    from syncd.views.progress import ProgressBar

    config = _load(context)
    only = _known_sources(config, source)
    with (
        Stop().on_signals() as stop,
        ProgressBar(shown=not as_json) as progress,
        service(config, owner=True, stopping=stop, progress=progress) as parts,
    ):
        done = parts.reconciler.cycle(only, force=force)
    if as_json:
        _print_json(documents.cycle_document(done))
    else:
        _tables(config).cycle(done)
    if done.error is not None:
        if as_json:
            _complain(done.error)
        raise typer.Exit(Exit.ATTENTION if done.clock_wrong else Exit.API)
    if done.interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.OK if done.outcome == "ok" else Exit.ATTENTION)


@app.command()
def plan(context: typer.Context, source: SourceOption = None, as_json: JsonOption = False) -> None:
    """Show what a cycle would do, without doing it."""
    from syncd.assembly import service
    from syncd.views import documents

    config = _load(context)
    with service(config, owner=False) as parts:
        preview = parts.reconciler.preview(only=_known_sources(config, source))
    if as_json:
        reservation = config.reservation
        _print_json(
            documents.plan_document(
                preview.plan,
                instance=reservation.instance,
                marker=reservation.marker,
                oddities=preview.oddities,
            )
        )
    else:
        _tables(config).plan(preview)
    if preview.plan.writes:
        raise typer.Exit(Exit.CHANGES)
    raise typer.Exit(Exit.ATTENTION if preview.needs_person else Exit.OK)


@app.command()
def status(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show sources, bookings, and what is held, in doubt, refused, quarantined or waiting."""
    from syncd.assembly import open_ledger, utc_now
    from syncd.views import documents
    from syncd.views.status import Status

    config = _load(context)
    with open_ledger(config, owner=False) as ledger:
        found = Status.of(
            ledger,
            mode=config.mode,
            configured=[source.name for source in config.sources],
            monthly_calls=config.api.monthly_calls,
            now=utc_now(),
        )
    if as_json:
        _print_json(documents.status_document(found))
    else:
        _tables(config).status(found)
    raise typer.Exit(Exit.ATTENTION if found.needs_attention else Exit.OK)


@app.command()
def explain(
    context: typer.Context,
    uid: Annotated[str, typer.Argument(metavar="UID", help="The event's UID, as plan --json shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story of one event: where it was read, what it became, and why."""
    from syncd.assembly import service
    from syncd.explain import story_of, tell
    from syncd.views.screen import screen

    if not uid.strip():
        raise typer.BadParameter(
            "an event without UID has no story of its own; plan lists it", param_hint="UID"
        )
    config = _load(context)
    with service(config, owner=False) as parts:
        story = story_of(uid, parts)
    if as_json:
        _print_json(story.document())
    else:
        tell(story, screen())
    raise typer.Exit(Exit.ATTENTION if story.needs_person else Exit.OK)


@app.command()
def approve(context: typer.Context, checksum: str) -> None:
    """Release the held cancellations that `plan` showed under this checksum; the next cycle makes them."""
    from syncd.assembly import service, utc_now, who

    config = _load(context)
    with service(config, owner=False) as parts:
        held = parts.reconciler.held_now(checksum)
        if held.checksum is None:
            _complain("Nothing is held, so there is nothing to approve.")
            raise typer.Exit(Exit.ATTENTION)
        if held.checksum != checksum:
            _complain(f"{checksum} is not what is held now; the current checksum is {held.checksum}.")
            raise typer.Exit(Exit.ATTENTION)
        parts.ledger.people.approve(checksum, utc_now(), who())
    streams.say(f"Approved; the next cycle cancels {held.cancellations} reservations.")


@app.command()
def resolve(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="UID, or UID/RECURRENCE-ID/ROOM.")] = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--all", metavar="STATE", help="All that are in_doubt, refused, released, dropped or vanished."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="With --all: only those of this source.")
    ] = None,
    adopt: Annotated[
        str | None, typer.Option(metavar="RESERVATION_ID", help="This reservation is the one.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Look at the API, then send it once more.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Give it up until the event changes.")] = False,
) -> None:
    """Settle what is in doubt, was refused, released or dropped, or vanished; the next cycle does it."""
    from syncd.assembly import open_ledger, utc_now, who
    from syncd.core.resolve import Decision, Open, Verdict, full_name, open_as, resolvable

    chosen = [v for v, said in ((Verdict.ADOPT, adopt), (Verdict.RETRY, retry), (Verdict.DROP, drop)) if said]
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --adopt RESERVATION_ID, --retry and --drop")
    if (key is None) == (every is None):
        raise typer.BadParameter("give either a KEY or --all STATE")
    if every is None and source is not None:
        raise typer.BadParameter("--source goes with --all STATE; a KEY means one booking by itself")
    if every is not None and adopt:
        raise typer.BadParameter("--adopt takes one reservation for one booking, so give its KEY, not --all")
    state = _open_state(every, [one.value for one in Open]) if every is not None else None
    config = _load(context)
    with open_ledger(config, owner=False) as ledger:
        open_ones = [booking for booking in ledger.bookings.current() if resolvable(booking)]
        if state is None:
            meant = [_one_meant(key or "", open_ones)]
            told = full_name(meant[0])
        else:
            _require_source(source, {s.name for s in config.sources} | {b.source for b in open_ones})
            meant = [b for b in open_ones if open_as(b) == state and source in {None, b.source}]
            words = f"{state.replace('_', ' ')}{f' in source {source}' if source else ''}"
            if not meant:
                streams.say(f"No booking is {words}, so there is nothing to resolve.")
                return
            told = f"{len(meant)} booking{'s' if len(meant) > 1 else ''} {words}"
        ledger.people.decide(*(Decision(b.row, chosen[0], adopt, who(), utc_now()) for b in meant))
    streams.say(f"Recorded for {told}: {chosen[0]}; the next cycle looks at the API and carries it out.")


def _open_state(said: str, words: list[str]) -> str:
    """The STATE of `resolve --all`, also with a blank or a hyphen in it."""
    word = said.strip().lower().replace(" ", "_").replace("-", "_")
    if word not in words:
        raise typer.BadParameter(
            f"{said!r} is no state to resolve; the states are {', '.join(words)}", param_hint="--all"
        )
    return word


def _one_meant(key: str, open_ones: list[Booking]) -> Booking:
    """The one open booking that a KEY means; else what there is, and the end."""
    from syncd.core.resolve import full_name, named

    meant = named(key, open_ones)
    if len(meant) == 1:
        return meant[0]
    many = f"{key!r} means several bookings; give one of:" if meant else f"Nothing open has the key {key!r}."
    nothing = " Nothing is in doubt, refused, released, dropped or vanished."
    known = nothing if not open_ones else " What is open:"
    _complain(f"{many}{'' if meant else known}")
    for booking in meant or open_ones:
        _complain(f"  {full_name(booking)}")
    raise typer.Exit(Exit.ATTENTION)


def _require_source(name: str | None, known: set[str]) -> None:
    if name is not None and name not in known:
        raise typer.BadParameter(
            f"there is no source {name!r}; known: {', '.join(sorted(known)) or 'none'}", param_hint="--source"
        )


@app.command()
def adopt(
    context: typer.Context,
    apply: Annotated[bool, typer.Option("--apply", help="Write it into the state.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a lost state from the reservations in the API that carry our mark; shows first."""
    from syncd.assembly import service
    from syncd.views import documents

    config = _load(context)
    with service(config, owner=apply) as parts:
        found = parts.reconciler.adoption(apply=apply)
    if as_json:
        _print_json(documents.adoption_document(found, applied=apply))
    else:
        _tables(config).adoption(found, applied=apply)
    if found.adopted and not apply:
        raise typer.Exit(Exit.CHANGES)
    troubled = found.strays or found.unreadable or found.oddities
    raise typer.Exit(Exit.ATTENTION if troubled else Exit.OK)


@app.command()
def check(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--show", help="Print the effective configuration, secrets masked.")
    ] = False,
) -> None:
    """Check the configuration; all problems at once."""
    from syncd.config import effective

    config = _load(context)
    if show:
        streams.say_lines(effective(config))
    else:
        streams.say(
            f"The configuration is good: mode {config.mode}, "
            f"sources {len(config.sources)}, rooms {len(config.rooms)}, "
            f"people {len(config.people.directory)}."
        )


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    db: Annotated[Path | None, typer.Option(help="Keep everything in this file.")] = None,
    client_id: Annotated[str | None, typer.Option(help="Default: a random one.")] = None,
    client_secret: Annotated[str | None, typer.Option(help="Default: a random one.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC", help="What goes wrong, such as lost:on=create,every=3; a wrong one lists all."
        ),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="What the documentation leaves open; a wrong one lists all."
        ),
    ] = None,
) -> None:
    """Run a local server that behaves like the reservation API."""
    from syncd.sandbox import SandboxSettings, SandboxUnusable, parse_fault, parse_switch, serve

    try:
        settings = SandboxSettings(
            host=host,
            port=port,
            db=db,
            client_id=client_id,
            client_secret=client_secret,
            faults=tuple(parse_fault(text) for text in fault or ()),
            switches=dict(parse_switch(text) for text in switch or ()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        serve(settings)
    except SandboxUnusable as error:
        _complain(str(error))
        raise typer.Exit(Exit.ATTENTION) from None


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep configuration, calendar and state here.")
    ] = None,
) -> None:
    """Book the sample calendar on a sandbox of its own, and show what was booked."""
    from syncd.demo import run

    raise typer.Exit(run(keep))


def _load(context: typer.Context) -> Config:
    """The configuration, with logging set up as it says."""
    from syncd import log
    from syncd.config import default_path, load

    config = load(context.obj or default_path())
    level = config.log.level
    if streams.errors.isatty() and level == "info":
        level = "warning"  # a person sees tables; a line per change would be in their way
    log.configure(config.log.format, level)
    return config


def _known_sources(config: Config, names: list[str] | None) -> tuple[str, ...] | None:
    """The sources to read; None means all."""
    known = {source.name for source in config.sources}
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(
                f"there is no source {name!r}; known: {', '.join(sorted(known)) or 'none'}",
                param_hint="--source",
            )
    return tuple(names) if names else None


def _tables(config: Config) -> Tables:
    """With the library that draws them, of no use to who asks for JSON."""
    from syncd.views.console import tables_of

    return tables_of(config)


def _print_json(document: object) -> None:
    streams.say_json(document)


def _complain(sentence: str) -> None:
    streams.complain(sentence)


@contextmanager
def _told_to_people() -> Iterator[None]:
    """Our errors become sentences and exit codes; anything else is a defect of syncd and keeps its trace."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            _complain(problem)
        raise SystemExit(Exit.CONFIG) from None
    except LedgerLocked as error:
        _complain(str(error))
        raise SystemExit(Exit.LOCKED) from None
    except (LedgerTooNew, LedgerMisplaced) as error:
        _complain(str(error))
        raise SystemExit(Exit.CONFIG) from None
    except ApiUnusable as error:
        _complain(str(error))
        raise SystemExit(Exit.API) from None
    except SyncdError as error:
        _complain(str(error))
        raise SystemExit(Exit.ATTENTION) from None
    except KeyboardInterrupt:
        _complain("Interrupted; what was sent without an answer is looked up in the next run.")
        raise SystemExit(Exit.INTERRUPTED) from None


def main() -> None:
    """The entry point of the program."""
    early.begin(sys.argv[1:])
    streams.begin()
    # Nearly all that is made stays until the end: to look through it for garbage again and again, and once
    # more at the end, takes a fourth of the time of a short run.
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)
    try:
        with _told_to_people():
            app()
    except SystemExit as ended:
        raise SystemExit(_printed(ended.code)) from None


# Commands that do more than to print; what they did is done, wherever the words about it went.
_AT_WORK = frozenset({"run", "once", "approve", "resolve", "demo", "sandbox"})


def _printed(code: str | int | None) -> str | int | None:
    """Hand over what was printed, and return the exit code: not 0 when there was nothing but lost results."""
    streams.output.flush()
    failure = streams.results.failure
    if failure is None:
        return code
    _complain(
        f"Standard output cannot be written ({failure.strerror}), so a part of the results is missing: "
        "free some space, or send it elsewhere."
    )
    done = code or early.command_in(sys.argv[1:]) in _AT_WORK
    return code if done else Exit.ATTENTION
