"""`akeso undo`: take an attempt back."""

from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    attempt: Annotated[str, typer.Argument(help="Its id, grant-..., as the timeline names it.")],
    *,
    reason: _out.Reason,
    by: _out.By = "",
    as_json: _out.Json = False,
) -> None:
    """Take an attempt back.

    Refused where somebody else has changed the same field since.
    """
    said = _ask.post("v1/undo", {"attempt": attempt, "reason": reason, "by": _out.name(by)})
    if as_json:
        _out.show_json(said)
        return
    _out.say(f"asked for by {said['by']}; see what becomes of it by: akeso timeline {said['incident']}")
