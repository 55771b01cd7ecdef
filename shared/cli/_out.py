"""How commands speak: an answer on stdout, a problem as one line on stderr, and what the exit status means."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from shared.errors import AkesoError, ForbiddenError, MalformedError, TooLargeError

OK: Final = 0
NO: Final = 1  # the answer is no: denied, not found, not verified
USAGE: Final = 2  # what was typed, or a file or token that was named, is wrong
AWAY: Final = 3  # nothing answers, or something that it needs is down
_BUG: Final = 70  # EX_SOFTWARE
_INTERRUPTED: Final = 130
_UNITS: Final = ((86_400, 100_000, "d"), (3_600, 24, "h"), (60, 60, "min"), (1, 60, "s"))  # size, how many, name

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit.")]
By = Annotated[
    str,
    typer.Option("--by", help="Who asks, if only the shared token does: kept as a typed name. [default: your user]"),
]


class Problem(Exception):  # noqa: N818  what happened, in words for a person
    """One line for stderr, and the exit status."""

    def __init__(self, text: str, status: int = USAGE) -> None:
        super().__init__(text)
        self.status = status


def status_of(run: Callable[[], Any]) -> int:
    """Run a command; every way in which it can end is an exit status, and no traceback."""
    try:
        try:
            given = run()
            sys.stdout.flush()
        except Problem as problem:
            return _say(str(problem), problem.status)
        except AkesoError as error:
            wrong = isinstance(error, MalformedError | ForbiddenError | TooLargeError)
            return _say(str(error), USAGE if wrong else AWAY)
        except typer.TyperException as error:
            return _wrong_usage(error)
        except typer.Abort:
            return _INTERRUPTED
        return given if isinstance(given, int) else OK
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _say(f"unforeseen {type(error).__name__}: {error} (python -X dev shows where)", _BUG)


def _wrong_usage(error: Any) -> int:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # typer keeps its class to itself
        sys.stderr.write(text + "\n")
        return USAGE
    context = getattr(error, "ctx", None)
    return _say(text + (f" (see {context.command_path} --help)" if context else ""), USAGE)


def _say(text: str, status: int) -> int:
    sys.stderr.write(f"akeso: {safe(' '.join(text.split()))[:1000]}\n")
    return status


def safe(value: object) -> str:
    """Make printable what may come from an alert: control characters could move the cursor or hide text."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "\ufffd" for char in str(value))


def name(by: str) -> str:
    if by:
        return by
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user may have no name
        raise Problem("your user has no name: say who you are by --by") from error


def span(seconds: int) -> str:
    """Time left, in its two largest units."""
    units = [(seconds // size % most, unit) for size, most, unit in _UNITS]
    parts = [f"{number} {unit}" for number, unit in units if number][:2]
    return " ".join(parts) or "0 s"


def show_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def say(*lines: object) -> None:
    sys.stdout.write("".join(safe(line) + "\n" for line in lines))


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one line each, the values in one column; what is empty is left out."""
    shown = [(label, value) for label, value in pairs if value not in (None, "")]
    width = max((len(label) for label, _ in shown), default=0)
    say(*(f"{label:<{width}}  {value}" for label, value in shown))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """On a terminal as wide as it is; elsewhere every row is one whole line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in head:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)
    with console.capture() as caught:
        console.print(made)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in caught.get().splitlines()))


def diff(lines: Iterable[str]) -> None:
    """A plan's difference, red and green where there are colours."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        style = {"-": "red", "+": "green"}.get(line[:1], "")
        console.print(Text(safe(line), style=style), soft_wrap=True)
