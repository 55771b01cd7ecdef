"""Ways to a person: one file per channel, found by walking this folder for files with a function `make`.

A channel opens, updates and closes one ticket per incident, keyed by the incident's id, so that telling twice is
harmless. It decides nothing and retries nothing: escalate and `due` do. No clients at module level.
"""

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

from pydantic import BeforeValidator, Field

from shared.errors import MalformedError
from shared.model.base import Model
from shared.secrets import Secrets
from shared.settings import Settings
from shared.telemetry.redact import redact

MAX_LINE: Final = 500  # characters
MAX_LINES: Final = 50
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MAKE: Final = re.compile(r"^def make\(", re.MULTILINE)


def line(value: Any) -> str:
    """One printable line of at most `MAX_LINE` characters without secrets, whatever it was."""
    text = str(redact(str(value)))
    # control and format characters could move a terminal's cursor or turn the reading direction
    text = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def _first(values: Iterable[Any]) -> tuple[str, ...]:
    lines = tuple(values)
    if len(lines) <= MAX_LINES:
        return tuple(map(line, lines))
    return (*map(line, lines[: MAX_LINES - 1]), f"and {len(lines) - MAX_LINES + 1} more")


def _last(values: Iterable[Any]) -> tuple[str, ...]:
    lines = tuple(values)
    if len(lines) <= MAX_LINES:
        return tuple(map(line, lines))
    return (f"{len(lines) - MAX_LINES + 1} earlier", *map(line, lines[1 - MAX_LINES :]))


Line = Annotated[str, BeforeValidator(line)]


class Ticket(Model):
    """What a person reads.

    Over-long texts and lists are cut and secrets are taken out here, never refused: a person must be told even if
    what there is to tell is odd.
    """

    incident: str = Field(min_length=1, max_length=200)
    title: Line
    tenant: Line = ""
    cluster: Line = ""
    severity: Line = ""
    scope: Line = ""
    reasons: Annotated[tuple[str, ...], BeforeValidator(_first)] = ()  # why the machine stops here, oldest first
    waiting: Annotated[
        tuple[str, ...], BeforeValidator(_first)
    ] = ()  # for a yes: plan, risk, price, who may, until when
    timeline: Annotated[tuple[str, ...], BeforeValidator(_last)] = ()  # what was done, oldest first
    commands: Annotated[tuple[str, ...], BeforeValidator(_first)] = ()  # to try next

    @property
    def correlation_id(self) -> str:
        """The one key of the ticket in the other system: the incident's id."""
        return self.incident


class Channel(Protocol):
    """All three raise UnavailableError when the other side did not take it, and nothing else."""

    def open(self, ticket: Ticket) -> str:
        """Return the reference under which the other side keeps it: the same for the same correlation id."""

    def update(self, reference: str, ticket: Ticket) -> None:
        """Replace what the ticket says. A closed one stays closed: `open` is what opens it again."""

    def close(self, reference: str, text: str) -> None: ...


Factory = Callable[[Settings, Secrets], Channel]


def names() -> tuple[str, ...]:
    """Sorted names of all channels; nothing is imported."""
    files = (file for file in Path(__file__).parent.glob("*.py") if _NAME.fullmatch(file.stem))
    return tuple(sorted(file.stem for file in files if _MAKE.search(file.read_text())))


def find(name: str) -> Factory:
    """Import the named channel and return its `make(settings, secrets)`.

    Raises MalformedError (reason `unknown-channel`) with the names that there are.
    """
    if name not in names():
        raise MalformedError(
            f"no channel named {name[:40]!r}; there are: {', '.join(names())}", reason="unknown-channel"
        )
    factory: Factory = importlib.import_module(f"{__name__}.{name}").make
    return factory
