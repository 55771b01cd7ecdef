"""`akeso undo`: take an attempt back, or see which attempts of an incident can be."""

from typing import Annotated, Any

import typer

from shared.cli import _ask, _out


def command(
    attempt: Annotated[str, typer.Argument(help="Its id, grant-..., as the timeline names it.")] = "",
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit.")] = "",
    by: _out.By = "",
    listed: Annotated[
        str, typer.Option("--list", metavar="INCIDENT", help="Show what of an incident can be taken back, and why not.")
    ] = "",
    as_json: _out.Json = False,
) -> None:
    """Take an attempt back.

    Refused where somebody else has changed the same field since.
    """
    if bool(attempt) == bool(listed):
        raise _out.Problem("name an attempt to take back, or an incident by --list")
    if listed:
        _list(_ask.get(f"v1/incidents/{_ask.part(listed)}/undo"), as_json=as_json)
        return
    if not reason:
        raise _out.Problem("say why by --reason")
    said = _ask.post("v1/undo", {"attempt": attempt, "reason": reason, "by": _out.name(by)})
    if as_json:
        _out.show_json(said)
        return
    _out.say(f"asked for by {said['by']}; see what becomes of it by: akeso timeline {said['incident']}")


def _list(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _out.show_json(said)
        return
    for one in said["attempts"]:
        _out.facts(
            [
                ("attempt", one["id"]),
                (
                    "action",
                    " ".join(part for part in (one["action"], one["mode"] if one["mode"] == "undo" else "") if part),
                ),
                ("at", one["at"]),
                ("outcome", one["outcome"]),
                ("undo", f"{one['undo']} --reason ..." if one["undo"] else f"no: {one['why']}"),
            ]
        )
        _out.diff(one["wrote"])
        _out.say("")
    if not said["attempts"]:
        _out.say("nothing was attempted")
