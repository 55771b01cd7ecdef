"""`akeso policy check`: whether a policy would come into force, and everything that is wrong with it."""

from typing import Annotated

import typer

from shared.cli import _out, _policy


def command(
    file: Annotated[str, typer.Argument(help="A policy, or a RemediationPolicy as kubectl takes it; - reads stdin.")],
    as_json: _out.Json = False,
) -> int:
    """Say what is wrong with a policy, one line per fault; nothing when it is good."""
    from shared.guard.policy_read import of_file

    _, wrong = of_file(_policy.text(file), _policy.catalogue().names())
    if as_json:
        _out.show_json({"good": not wrong, "faults": wrong})
    else:
        _out.say(*wrong)
    return _out.NO if wrong else _out.OK
