"""`akeso stop`: one of the three modes."""

from shared.cli import _ask, _out


def command(*, reason: _out.Reason, by: _out.By = "", as_json: _out.Json = False) -> None:
    """Start no new work; undo is still allowed."""
    said = _ask.post("v1/stop", {"mode": "stop", "reason": reason, "by": _out.name(by)})
    if as_json:
        _out.show_json(said)
        return
    _out.say(f"mode {said['mode']}, by {said['by']}: {said['reason']}")
    if not said["remembered"]:
        _out.say("it stands in Kubernetes, where it counts; Redis could not be told yet")
