"""`akeso approve`: a person's yes to a hold."""

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
    """Say yes to what an incident waits for, as the person that your token names.

    Every check is made once more: the held plan runs if it still is the same and nothing else stands against it.
    """
    said = _ask.post(f"v1/holds/{_ask.part(what)}/approve", {"hold": hold, "reason": reason})
    if as_json:
        _out.show_json(said)
        return
    _out.say(f"approve: {said['hold']} of {said['incident']}, by {said['by']}")
    if said["missing"]:
        _out.say(
            "one more yes is missing, by somebody else" if said["missing"] == 1 else f"{said['missing']} are missing"
        )
    else:
        _out.say(f"see what becomes of it by: akeso timeline {said['incident']}")
