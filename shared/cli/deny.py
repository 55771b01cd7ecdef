"""`akeso deny`: a person's no to a hold."""

from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    what: Annotated[str, typer.Argument(metavar="INCIDENT|HOLD", help="The incident that waits, or its hold.")],
    *,
    reason: _out.Reason,
    hold: Annotated[str, typer.Option(help="The hold that is meant. [default: the one that waits now]")] = "",
    as_json: _out.Json = False,
) -> None:
    """Say no to what an incident waits for, as the person that your token names."""
    said = _ask.post(f"v1/holds/{_ask.part(what)}/deny", {"hold": hold, "reason": reason})
    _out.show_json(said) if as_json else _out.say(
        f"deny: {said['hold'] or 'the run'} of {said['incident']}, by {said['by']}"
    )
