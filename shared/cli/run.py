"""`akeso run`: one action by a person, who sees first what it would do."""

import json
import os
from collections.abc import Collection
from typing import Annotated, Any

import typer

from shared.cli import _ask, _out
from shared.errors import AkesoError


def command(
    action: Annotated[str, typer.Argument(help="Its name, as `akeso actions` lists it.")],
    *,
    target: Annotated[str, typer.Option(metavar="KIND/NAMESPACE/NAME", help="The object; KIND/NAME for a node.")],
    param: Annotated[list[str] | None, typer.Option(metavar="K=V", help="A parameter; may be given again.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this it is only planned and judged.")] = False,
    reason: _out.Reason = "",
    by: _out.By = "",
    as_json: _out.Json = False,
) -> int:
    """Show what an action would do, or have it done by --yes.

    Status 1: the action or the guard refuses.
    """
    ask = {
        "action": action,
        "target": _ask.target(target),
        "params": _params(action, param or []),
        "by": _out.name(by),
        "reason": reason,
        "dry_run": not yes,
    }
    said = _ask.post("v1/run", ask)
    if as_json:
        _out.show_json(said)
    elif yes:
        _out.say(f"asked for: {said['run']}", f"see what becomes of it by: akeso timeline {said['run']}")
    else:
        _planned(said)
    return _out.NO if said.get("decision") in ("denied", "refused") else _out.OK


def _planned(said: dict[str, Any]) -> None:
    _out.facts([("action", said["action"]), ("scope", said["scope"]), ("seen", said["facts"]["seen"])])
    if said["decision"] == "refused":
        _out.say(f"refused by the action: {said['refusal']['reason']}, {said['refusal']['text']}")
        return
    _out.diff(said["plan"]["diff"] or ["nothing is written"])
    parts = [f"{name} {said[name]}" for name in ("check", "limit", "used", "text") if said.get(name) not in (None, "")]
    _out.say(f"guard: {said['decision']}" + (f" ({', '.join(parts)})" if parts else ""))
    if said["decision"] == "approved":
        _out.say("nothing was done; add --yes to do it")


def _params(action: str, given: list[str]) -> dict[str, Any]:
    texts = _texts(action) if given else frozenset()
    return dict(_param(text, texts) for text in given)


def _texts(action: str) -> frozenset[str]:
    """Parameters of it that are texts, as far as we know it here."""
    from shared.action.catalogue import Catalogue

    try:
        known = Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", "")).load(action)
    except AkesoError:
        return frozenset()
    return frozenset(name for name in known.Params.model_fields if str in known.takes(name))


def _param(text: str, texts: Collection[str]) -> tuple[str, Any]:
    """Read `replicas=3` as a number and `pod=web-1` as text: a value that is JSON is taken as such, but for `texts`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise _out.Problem(f"--param {text[:100]!r} is not K=V")
    if name in texts:
        return name, value
    try:
        return name, json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return name, value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
