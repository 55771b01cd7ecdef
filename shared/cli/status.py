"""`akeso status`: how it stands, in one look."""

from shared.cli import _ask, _halt, _out


def command(*, as_json: _out.Json = False) -> None:
    """Show mode, open incidents and what was counted."""
    said = _ask.get("v1/status")
    if as_json:
        _out.show_json(said)
        return
    why = f" ({said['reason']}, {said['by']})" if said["mode"] != "run" and said["reason"] else ""
    due = ", ".join(f"{number} {kind}" for kind, number in said["due"].items() if number)
    _out.facts(
        [
            ("mode", said["mode"] + why),
            ("held", "; ".join(_halt.parts(said["scopes"]))),
            ("state", "sound" if said["epoch_ok"] else "lost: waiting until the sweeper has hydrated it"),
            ("policy", said["policy"]),
            ("alerts", f"{said['alerts_received']} received, {said['alerts_accounted']} accounted for"),
            ("incidents", f"{said['incidents_open']} open"),
            ("attempts", f"{said['attempts']}, {said['writes']} writes, {said['would_have_done']} would have been"),
            ("people", f"{said['escalations_opened']} tickets"),
            ("trouble", f"{said['stuck']} stuck, {said['dead_letters']} dead letters"),
            ("due", due or "nothing"),
        ]
    )
