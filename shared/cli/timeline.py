"""`akeso timeline`: what happened, read from the audit."""

from typing import Annotated, Any

import typer

from shared.cli import _ask, _out


def command(
    incident: Annotated[str, typer.Argument(help="An incident or run; without it all incidents are listed.")] = "",
    *,
    as_json: _out.Json = False,
) -> int:
    """List incidents, or show one with its audit.

    Status 1: its record does not hold.
    """
    said = _ask.get(f"v1/incidents/{_ask.part(incident)}" if incident else "v1/incidents")
    if as_json:
        _out.show_json(said)
    elif incident:
        _one(said)
    else:
        _listed(said)
    return _out.OK if said.get("links_ok", True) else _out.NO


def _listed(said: dict[str, Any]) -> None:
    rows = [
        (one["id"], one["opened_at"], one["state"], one["closed_how"] or one["people"], one["family"], one["scope"])
        for one in said["incidents"]
    ]
    if not rows:
        _out.say("no incidents")
        return
    _out.table(("INCIDENT", "OPENED", "STATE", "HOW", "FAMILY", "SCOPE"), rows)
    if said["more"]:
        _out.say("there are more")


def _one(said: dict[str, Any]) -> None:
    from shared.people.told import sentence

    _out.facts(
        [
            ("incident", said["id"]),
            ("scope", said["scope"]),
            ("family", said["family"]),
            ("state", " ".join(part for part in (said["state"], said["closed_how"]) if part)),
            ("verdict", said["verdict"]),
            ("people", said["people"]),
            ("ticket", said["ticket"]),
            ("led to", ", ".join(said["incidents"])),
            ("record", "holds" if said["links_ok"] else f"DOES NOT HOLD: {said['seals']['why']}"),
        ]
    )
    if said["omitted"]:
        _out.say(f"{said['omitted']} earlier")
    _out.say("", *(f"{r.get('at', '')}  {r.get('fn', ''):<10}  {sentence(r)}" for r in said["audit"]))
    _out.say(*(f"what was there before: {one['evidence']}" for one in said["attempts"] if one["evidence"]))
    undo = [one["undo"] for one in said["attempts"] if one["undo"]]
    _out.say(*(f"to take it back: {line} --reason ..." for line in undo))
