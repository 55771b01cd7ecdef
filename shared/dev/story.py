"""Says in plain lines what an event means for an incident, as `akeso dev` shows it while it happens."""

from collections.abc import Callable
from typing import Any

from shared.event.types import short

_WIDTH = 20


def line_of(kind: str, data: dict[str, Any], attributes: dict[str, str]) -> str:
    """One line for a person; empty for events that tell nothing new."""
    word = short(kind)
    said = _SAYS.get(word)
    text = said(data) if said else ""
    if not text:
        return ""
    incident = attributes.get("incidentid", "")[:12]
    return f"{incident:<13}{word.rpartition('.')[2]:<12}{text}"


def _alert(data: dict[str, Any]) -> str:
    labels = data["alert"]["labels"]
    where = "/".join(labels[key] for key in ("namespace", "deployment", "pod") if key in labels)
    return f"{labels.get('alertname', '?')} for {where}" if where else str(labels.get("alertname", "?"))


def _triaged(data: dict[str, Any]) -> str:
    facts = data["facts"]
    replicas = facts.get("replicas") or {}
    seen = f", {replicas['ready']} of {replicas['desired']} replicas ready" if replicas else ""
    return f"{_scope(data['scope'])}{seen}, autonomy {facts['autonomy']}"


def _proposed(data: dict[str, Any]) -> str:
    writes = "; ".join(
        f"{write['target']['kind']} {write['target']['name']} {write['path']}: {write['before']} -> {write['after']}"
        if write["verb"] == "patch"
        else f"evict pod {write['target']['name']}"
        for write in data["plan"]["writes"]
    )
    rule = f" (rule {data['rule']})" if data["rule"] else ""
    return f"{data['action']}{rule}: {writes or 'write nothing, tell a person'}"


def _scope(scope: dict[str, Any]) -> str:
    return "/".join(part for part in (scope["kind"], scope["namespace"], scope["name"]) if part)


def _outcome(data: dict[str, Any]) -> str:
    return f"{data['action']} {data.get('text', '')}".strip()


_SAYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "alert.firing": _alert,
    "alert.resolved": _alert,
    "incident.triaged": _triaged,
    "incident.suppressed": lambda data: data["text"],
    "incident.closed": lambda data: data["text"],
    "remediation.proposed": _proposed,
    "remediation.approved": lambda data: f"the guard grants {len(data['plan']['writes'])} writes",
    "remediation.denied": lambda data: f"the guard refuses {data['action']}: {data['check']}",
    "remediation.held": lambda data: f"{data['action']} waits for a person",
    "remediation.succeeded": _outcome,
    "remediation.failed": _outcome,
    "remediation.skipped": _outcome,
    "remediation.stopped": _outcome,
    "remediation.unknown": _outcome,
    "remediation.verified": lambda data: f"healed ({data['attempt']})",
    "remediation.ineffective": lambda data: f"did not help ({data['attempt']})",
    "remediation.harmful": lambda data: f"made it worse ({data['attempt']})",
    "escalation.requested": lambda data: data["reason"],
}
