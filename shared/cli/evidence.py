"""`akeso evidence`: what was there before the machine changed anything."""

from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    attempt: Annotated[str, typer.Argument(help="Its id, grant-..., as the timeline and the ticket name it.")],
    *,
    as_json: _out.Json = False,
) -> None:
    """Show the events, logs and conditions that were seen directly before an attempt."""
    said = _ask.get(f"v1/evidence/{_ask.part(attempt)}")
    if as_json:
        _out.show_json(said)
        return
    _out.say(*said["text"].rstrip("\n").split("\n"))
