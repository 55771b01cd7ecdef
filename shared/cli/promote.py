"""`akeso promote`: trust an action one step more."""

from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    action: Annotated[str, typer.Argument(help="Its name, as `akeso actions` lists it.")],
    target: Annotated[str, typer.Argument(metavar="KIND/NAMESPACE/NAME", help="The object; KIND/NAME for a node.")],
    *,
    reason: _out.Reason,
    as_json: _out.Json = False,
) -> None:
    """Let an action do one step more by itself on one object, as the person that your token names.

    Only what a demotion took away can be given back: never more than policy and labels allow.
    """
    said = _ask.post("v1/promote", {"action": action, "target": _ask.target(target), "reason": reason})
    if as_json:
        _out.show_json(said)
        return
    now = f"capped at {said['cap']}" if said["cap"] else "without a cap of its own"
    _out.say(f"promoted: {said['action']} at {said['scope']} is {now}, by {said['by']}")
