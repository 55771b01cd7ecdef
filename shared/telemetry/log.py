"""One JSON object per line on stderr, from our code, libraries and gunicorn alike, with secrets taken out.

Incident, event id and function travel in context variables, so that no call has to carry them. Importing this module
changes nothing; `configure` is called once by whatever owns the process.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

# structlog draws rich in for its console renderer wherever rich is installed; a pod prints for machines, and the import
# would be a quarter of its cold start.
_HIDE = "rich" not in sys.modules
if _HIDE:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402
from structlog.typing import FilteringBoundLogger, Processor  # noqa: E402

if _HIDE:
    del sys.modules["rich"]

from shared import clock  # noqa: E402
from shared.telemetry.redact import redact  # noqa: E402

# Their own handlers would write plain text beside our JSON.
_TAKEN_OVER = ("gunicorn.error", "gunicorn.access", "werkzeug", "functions_framework")
_NAME = "logger_name"  # structlog keeps the word `logger` for itself while a logger is made


def _stamp(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    entry["time"] = clock.now().isoformat(timespec="milliseconds")
    return entry


def _redact(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    redacted = redact(dict(entry))
    return redacted if isinstance(redacted, dict) else {"event": redacted}


_BEFORE: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    _stamp,
)
_AFTER: tuple[Processor, ...] = (
    structlog.processors.format_exc_info,
    _redact,
    structlog.processors.JSONRenderer(),
)


def _logger_name(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = entry.get("_record")
    if isinstance(record, logging.LogRecord):
        entry["logger"] = record.name
    return entry


def configure(function: str = "", *, level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr if None) from `level` on, and name `function` in every line.

    May be called again; the last call holds. Raises ValueError for a level that does not exist.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no log level {level!r}")
    out = stream if stream is not None else sys.stderr

    # not a context variable: threads begin with none, and a server's threads do the work
    def named(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if _NAME in entry:
            entry["logger"] = entry.pop(_NAME)
        if function:
            entry.setdefault("function", function)
        return entry

    structlog.configure(
        processors=[*_BEFORE, named, *_AFTER],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,  # loggers are made at import, before anybody has configured
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_BEFORE, named, _logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_AFTER],
        )
    )
    root = logging.getLogger()
    # exactly the plain kind: a test runner's collecting handlers are subclasses and stay
    root.handlers = [old for old in root.handlers if type(old) is not logging.StreamHandler] + [handler]
    root.setLevel(number)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request says nothing
    for name in _TAKEN_OVER:
        other = logging.getLogger(name)
        other.handlers = []
        other.propagate = True


def get(name: str) -> FilteringBoundLogger:
    """Make a logger whose lines carry `logger: name`. Cheap, so meant for module level."""
    logger: FilteringBoundLogger = structlog.get_logger(**{_NAME: name})
    return logger


@contextmanager
def context(**values: str) -> Iterator[None]:
    """Name these in every line of the block, from whatever logger: `incident`, `event_id`, `function`."""
    with structlog.contextvars.bound_contextvars(**values):
        yield
