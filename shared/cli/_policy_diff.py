"""`akeso policy diff`: which of the decisions on record another policy would have changed."""

import json
from typing import Annotated, Any

import typer

from shared import clock
from shared.cli import _ask, _out, _policy


def command(
    before: Annotated[str, typer.Argument(metavar="A", help="The one policy.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other policy.")],
    decisions: Annotated[str, typer.Option("--from", help="A file of decisions, instead of the installation's.")] = "",
    last: Annotated[int, typer.Option(min=1, max=1000, help="So many decisions, the newest.")] = 500,
    as_json: _out.Json = False,
) -> int:
    """Decide what is on record anew under A and under B, and say which decisions would change.

    The real scripts answer, on a Redis that is started for this and thrown away. What came of a decision is not on
    record: under both policies whatever is approved is taken to be done at once and to help.
    """
    from shared.dev import backtest

    one, other = _policy.policy(before), _policy.policy(after)
    records = backtest.read(_recorded(decisions), last)
    found = backtest.compare(records, one, other)
    if as_json:
        _out.show_json(
            {
                "of": found.of,
                "as_recorded": found.as_recorded,
                "changed": [
                    {
                        "at": clock.iso_ms(each.record.at), "scope": each.record.asked.scope,
                        "action": each.record.asked.action, "a": each.before._asdict(), "b": each.after._asdict(),
                    }
                    for each in found.changed
                ],
            }
        )  # fmt: skip
    else:
        _tell(found)
    return _out.NO if found.changed else _out.OK


def _tell(found: Any) -> None:
    _out.say(f"{len(found.changed)} of the last {found.of} decisions would change")
    if found.changed:
        _out.table(
            ("AT", "TARGET", "ACTION", "A", "B"),
            ((clock.iso(one.record.at), one.record.asked.scope, one.record.asked.action, one.before, one.after)
             for one in found.changed),
        )  # fmt: skip
    if found.as_recorded < found.of:
        _out.say(f"{found.of - found.as_recorded} come out under A otherwise than they were decided then")


def _recorded(name: str) -> Any:
    if not name:
        return _ask.get("v1/decisions")
    try:
        return json.loads(_policy.text(name))
    except (ValueError, RecursionError) as error:
        raise _out.Problem(f"{name}: no JSON") from error
