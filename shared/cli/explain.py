"""`akeso explain`: what an alert would become, or why an incident became what it is."""

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from shared.cli import _ask, _out

_ID: Final = re.compile(r"(inc|run|group|alert|dead)-[A-Za-z0-9_.-]{1,70}")


def command(
    what: Annotated[str, typer.Argument(metavar="FILE|ID", help="A webhook body (- for stdin), or an incident.")],
    *,
    as_json: _out.Json = False,
) -> None:
    """Tell what alerts would become, or why an incident went as it did."""
    from_file = what == "-" or Path(what).exists() or not _ID.fullmatch(what)
    said = _ask.post("v1/explain", _ask.read(what)) if from_file else _ask.get(f"v1/explain/{what}")
    if as_json:
        _out.show_json(said)
    elif from_file:
        _played(said)
    else:
        _told(said)


def _played(said: dict[str, Any]) -> None:
    for story in said["alerts"]:
        rule = (story.get("choice") or {}).get("rule") or "no rule fits"
        guard = story.get("guard") or {}
        considered = [one["rule"] for one in story.get("rules", ()) if not one["met"]]
        _out.facts(
            [
                ("alert", f"{story['alertname']} {story['status']}"),
                ("family", story["family"]),
                ("scope", story.get("scope", "")),
                ("incident", story.get("incident", "")),
                ("seen", (story.get("facts") or {}).get("seen", "")),
                ("autonomy", (story.get("facts") or {}).get("autonomy", "")),
                ("not met", ", ".join(considered)),
                ("rule", rule if "choice" in story else ""),
                ("because", story.get("reasoning", "")),
                ("guard", _guard(guard)),
            ]
        )
        _out.diff((story.get("plan") or {}).get("diff", ()))
        _out.say(f"ends: {story['ends']}", "")
    for item in said["rejected"]:
        _out.say(f"alert {item['place']} cannot be read: {item['reason']}")
    if said["truncated"]:
        _out.say(f"AlertManager left {said['truncated']} alerts out")
    if said["omitted"]:
        _out.say(f"{said['omitted']} more were not played through")


def _guard(guard: dict[str, Any]) -> str:
    if not guard:
        return ""
    parts = [guard["decision"]]
    parts += [
        f"{name} {guard[name]}" for name in ("check", "limit", "used", "text") if guard.get(name) not in (None, "")
    ]
    return ", ".join([*parts, f"policy {guard.get('policy', '')}"])


def _told(said: dict[str, Any]) -> None:
    record = "its record holds" if said["links_ok"] else "ITS RECORD DOES NOT HOLD"
    _out.say(f"{said['id']} {said['family']} at {said['scope']}: {said['verdict'] or said['state']}; {record}", "")
    _waiting(said["hold"], said["now"])
    _out.say(*(f"{step['at']}  {step['by']:<10}  {step['text']}  (policy {step['policy']})" for step in said["steps"]))


def _waiting(hold: dict[str, Any] | None, now: dict[str, Any] | None) -> None:
    if hold:
        risk, price = ((hold[part] or {}).get("text", "") for part in ("risk", "price"))
        yes = f"{len(hold['given'])} of {hold['needs']}" if hold["needs"] > 1 else ""
        _out.facts(
            [("waits", f"{hold['hold']} until {hold['deadline']}"), ("risk", risk), ("price", price), ("yes", yes)]
        )
        _out.say("")
    if now:
        _out.say(f"now {now['action']} would be {now['decision']}" + (f": {now['text']}" if now.get("text") else ""))
        _out.diff((now.get("plan") or {}).get("diff", ()))
        rows = [
            ("ok" if one["ok"] else "NO", one["check"], _spent(one), one.get("text") or "") for one in now["checks"]
        ]
        if rows:
            _out.table(("", "CHECK", "USED", "WHY"), rows)
        _out.say("")


def _spent(check: dict[str, Any]) -> str:
    return f"{check.get('used', '?')} of {check['limit']}" if check.get("limit") not in (None, "") else ""
