"""Logs: structlog events on standard error, JSON unless a person reads them.

A line begins with a sentence, and under systemd's journal with the priority that its level has there.

An event carries names, counts and identifiers; topics, descriptions, addresses, secrets and URLs are
never given to a logger.
Libraries go the same way, from warnings up, without the values that they would fill into their texts.
An exception that nobody foresaw is told by its type and its places in the code, because its text and the
source lines of a traceback may hold anything.
What is logged goes through `syncd.streams`: nobody waits for whoever reads it, and what strangers wrote in it
does nothing to a terminal.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TextIO, cast

from syncd import streams
from syncd.core.log_sentences import sentence_of
from syncd.core.visible import json_text, visible_values


@contextmanager
def _hidden(library: str) -> Iterator[None]:
    """Make a library look as if it were not installed to whatever is imported in the context."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    if library in modules:
        yield
        return
    modules[library] = None
    try:
        yield
    finally:
        del modules[library]


# It would draw tracebacks with rich, which none of ours needs: 5 MB that a daemon would hold for good.
with _hidden("rich"):
    import structlog

log = structlog.get_logger(__name__)

_RUN = uuid.uuid4().hex[:8]


def _with_run(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["run"] = _RUN
    return event


def _without_texts(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace the exception of an event by what `defect_of` says of it."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        return {**event, **defect_of(error)}
    return event


def _without_controls(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Return an event for people, with all texts as they may be shown."""
    shown = visible_values(event)
    assert isinstance(shown, dict)  # as it was given
    return shown


def _with_sentence(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Return an event that begins with a sentence: its own, else that which is known for it."""
    said = event.pop("message", None)
    if not said:
        said = sentence_of(str(event.get("event", "")))
    if not said:
        library = str(event.get("logger", "")).partition(".")[0] or "a library"
        said = f"This is said by {library}, without the values."
    return {"message": said, **event}


def _sentence_first(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Return an event for people: what is read first is the sentence, and `what` is the event."""
    said = event.pop("message")
    what = event.pop("event")
    return {"event": said, "what": what, **event}


def _as_json(event: object, *, default: Callable[[object], object]) -> str:
    return json_text(event, ascii_only=not streams.errors.is_unicode, default=default)


_SHARED: list[structlog.typing.Processor] = [
    _with_run,
    _without_texts,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _with_sentence,
]


def configure(log_format: str, level: str) -> None:
    """Set up logging for this process.

    `log_format` is auto, json or console; `level` is debug, info, warning or error.
    Every line of the process, of all threads, carries the same `run`.
    From then on exceptions that nobody catches and warnings of Python are logged too.
    """
    terminal = streams.errors.isatty()
    renderers: list[structlog.typing.Processor]
    if log_format == "console" or (log_format == "auto" and terminal):
        renderers = [
            _without_controls,
            _sentence_first,
            structlog.dev.ConsoleRenderer(colors=terminal),
        ]
    else:
        renderers = [structlog.processors.JSONRenderer(serializer=_as_json)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # before anything is made of what nobody reads
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *renderers,
        ],
        use_get_message=False,  # the text before the values are filled in
    )
    handler = _Handler()
    handler.setFormatter(formatter)
    streams.lines.notice = lambda count: _notice_of_loss(count, renderers)
    root = logging.getLogger()
    root.handlers = [handler]
    wanted = logging.getLevelNamesMapping()[level.upper()]
    # What libraries tell below that is of use to their authors.
    root.setLevel(max(logging.WARNING, wanted))
    logging.getLogger("syncd").setLevel(wanted)
    sys.excepthook = _tell_defect
    threading.excepthook = lambda ended: _tell_defect(
        ended.exc_type, ended.exc_value, ended.exc_traceback
    )
    warnings.showwarning = _tell_warning


class _Handler(logging.Handler):
    """A handler that gives each line to standard error as it is now."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; what cannot be formatted is a defect that `logging` tells of."""
        try:
            line = self.format(record)
        except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
            self.handleError(record)
        else:
            mark = streams.errors.priority(record.levelno)
            streams.errors.drawn.write(f"{mark}{line}\n")


def _notice_of_loss(count: int, renderers: Sequence[structlog.typing.Processor]) -> str:
    """Return the line, rendered like the others, that says how many others are missing."""
    lines = "1 line was" if count == 1 else f"{count} lines were"
    told: object = {
        "message": f"{lines} lost, because nobody read the log.",
        "event": "lines lost",
        "lost": count,
    }
    for processor in (*_SHARED, *renderers):
        assert isinstance(told, dict)  # the last one makes the text
        told = processor(None, "warning", told)
    return f"{streams.errors.priority(logging.WARNING)}{told}\n"


def defect_of(error: BaseException) -> dict[str, object]:
    """Describe an exception without its text: its type, and the places it came through, the last one first.

    Of those that it was raised from, or in the handling of, it says the same.
    """
    told: dict[str, object] = {"error": type(error).__name__, "at": _places(error)}
    former = error.__cause__
    if former is None and not error.__suppress_context__:
        former = error.__context__
    if former is None:
        return told
    return {**told, "after": defect_of(former)}


def _places(error: BaseException) -> list[str]:
    walked = [*traceback.walk_tb(error.__traceback__)]
    return [
        f"{frame.f_globals.get('__name__', '?')}:{line}"
        for frame, line in reversed(walked)
    ]


def _tell_defect(
    kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None
) -> None:
    log.critical(
        "defect of syncd; please report this line", **defect_of(error or kind())
    )


def _tell_warning(
    message: Warning | str,  # noqa: ARG001
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    log.warning(
        "python warning",
        category=category.__name__,
        at=f"{Path(filename).name}:{lineno}",
    )
