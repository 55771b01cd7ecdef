"""`akeso deny`: a person's no to a hold."""

from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    incident: Annotated[str, typer.Argument(help="The incident that waits.")],
    *,
    reason: _out.Reason,
    hold: Annotated[str, typer.Option(help="The hold that is meant. [default: the one that waits now]")] = "",
    by: _out.By = "",
    as_json: _out.Json = False,
) -> None:
    """Say no to what an incident waits for."""
    ask = {"hold": hold, "reason": reason, "by": _out.name(by)}
    said = _ask.post(f"v1/holds/{_ask.part(incident)}/deny", ask)
    _out.show_json(said) if as_json else _out.say(f"deny: {said['hold']} of {said['incident']}, by {said['by']}")
