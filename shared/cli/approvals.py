"""`akeso approvals`: what waits for a person's yes."""

from typing import Any

from shared.cli import _ask, _out


def command(*, as_json: _out.Json = False) -> None:
    """List what waits for a yes: plan, risk, price, until when, and who may give it."""
    said = _ask.get("v1/holds")
    if as_json:
        _out.show_json(said)
        return
    for hold in said["holds"]:
        _one(hold)
    if not said["holds"]:
        _out.say("nothing waits for a yes")
    if said["loss"]:
        _out.say(f"but {said['loss']}")
    if said["more"]:
        _out.say("there may be more")


def _one(hold: dict[str, Any]) -> None:
    late = f"{hold['deadline']}, {_out.span(hold['left_s'])} left" if hold["left_s"] else f"{hold['deadline']}, over"
    needs = f"{hold['needs']} people, {hold['missing']} more" if hold["needs"] > 1 else ""
    _out.facts(
        [
            ("incident", hold["incident"]),
            ("hold", hold["hold"]),
            ("action", f"{hold['action']} at {hold['scope']}"),
            ("because", " ".join(part for part in (hold["family"], hold["severity"]) if part)),
            ("risk", (hold["risk"] or {}).get("text", "")),
            ("price", (hold["price"] or {}).get("text", "")),
            ("until", late),
            ("asked by", hold["author"]),
            ("needs", needs),
            ("yes from", ", ".join(hold["given"])),
            ("may answer", hold["may_approve"]),
        ]
    )
    _out.diff((hold["plan"] or {}).get("diff", ()))
    _out.say(f"akeso approve {hold['incident']} --reason ...", "")
