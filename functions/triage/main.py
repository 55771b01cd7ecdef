"""Finds the patient: from an alert, or a request to look again, to a scope, an incident and fresh facts.

It never guesses a scope: what cannot be determined goes to people. It takes facts only when the incident is to be
carried on, so that a thousand alerts of one outage cost one look.
"""

from shared import clock
from shared.alert.families import family, is_own, named_object
from shared.event.app import Emit, Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import Alert, AlertData, EscalationData, IncidentData, RequestedData, TriagedData
from shared.kube import facts as snapshot
from shared.kube.scope import resolve
from shared.model.facts import ObjectRef, Scope
from shared.model.wish import Wish
from shared.state.transitions import Cause, Opened


def triage_event(event: Event, data: AlertData | RequestedData, here: Here) -> Outcome:
    cause = Cause("triage", event.source, event.id, event.get("tenant"), event.get("cluster"))
    if isinstance(data, RequestedData):
        return _requested(cause, data, here)
    alert = data.alert
    if alert.status == "resolved":
        opened = here.state.open(
            cause, "resolved", ledger=data.ledger, fingerprint=alert.fingerprint, starts=alert.starts_at,
            ends=alert.ends_at, truncated=data.truncated, twin=data.twin,
        )  # fmt: skip
        return _said(opened)
    named = named_object(alert)
    scope = resolve(here.kube, named) if named else None
    people = "about Akeso itself" if is_own(alert) else "" if scope else "the scope cannot be determined"
    scope = scope or Scope(kind="unknown", name=f"alert/{alert.fingerprint}")
    opened = here.state.open(
        cause, "firing", ledger=data.ledger, again=data.again, twin=data.twin,
        fingerprint=alert.fingerprint, starts=alert.starts_at, scope=scope.key,
        family=family(alert), severity=alert.labels.get("severity", "")[:32], people=people,
        namespace=scope.namespace, object=f"{named.kind}/{named.namespace}/{named.name}" if named else "",
        alert=alert.model_dump_json(),
    )  # fmt: skip
    return _carry_on(cause, opened, scope, named, None, here)


def _requested(cause: Cause, data: RequestedData, here: Here) -> Outcome:
    wish = data.wish
    scope = None
    if not data.incident:
        scope = resolve(here.kube, data.target) if data.target else None
        if scope is None:
            why = f"run of {wish.action} by {wish.author}: its target cannot be found"
            here.state.put(
                cause, untold={"incident": cause.id, "reason": why, "at": clock.now_ms()},
                delivered={"kind": "retry", "ref": cause.id},
            )  # fmt: skip
            return Emit("escalation.requested", EscalationData(incident=cause.id, reason=why), incident=cause.id)
    opened = here.state.open(
        cause, "request", incident=data.incident, run=cause.id, scope=scope.key if scope else "",
        namespace=scope.namespace if scope else "", hold=wish.hold, action=wish.action,
        approvers=list(wish.approvers), look=wish.reason == "look",
    )  # fmt: skip
    return _carry_on(cause, opened, scope, data.target, wish, here)


def _carry_on(
    cause: Cause, opened: Opened, scope: Scope | None, named: ObjectRef | None, wish: Wish | None, here: Here
) -> Outcome:
    incident = opened["incident"]
    if opened["result"] != "triage":
        return _said(opened)
    scope = scope or Scope.of_key(opened["scope"])
    home = here.settings.kube.namespace
    facts = snapshot.take(here.kube, scope, named, stop_namespace=home, count=True, details=None)
    if facts is None:
        why = f"{scope.key} is gone"
        if wish and wish.approved_hash:
            why += f": the approval by {' and '.join(wish.approvers)} is void"
        here.state.put(cause._replace(fn="triage-gone"), untold={
            "incident": incident, "reason": why, "at": clock.now_ms(),
        })  # fmt: skip
        return Emit("escalation.requested", EscalationData(incident=incident, reason=why), incident=incident)
    if facts.autonomy == "off" and not opened.get("protected") and not (wish and wish.reason in ("run", "approve")):
        why = "autonomy is off"
        here.state.put(cause._replace(fn="triage-off"), incident=incident, suppressed=why)
        return Emit("incident.suppressed", IncidentData(incident=incident, text=why), incident=incident)
    alert = Alert.model_validate_json(opened["alert"]) if opened.get("alert") else None
    seen = TriagedData(
        incident=incident, scope=facts.scope, family=opened["family"], alert=alert, facts=facts,
        tried=tuple(opened.get("tried") or ()), wish=wish,
    )  # fmt: skip
    return Emit("incident.triaged", seen, incident=incident)


def _said(opened: Opened) -> Outcome:
    incident = opened["incident"]
    if opened["result"] == "closed":
        return Emit("incident.closed", IncidentData(incident=incident, text="resolved"), incident=incident)
    if opened["result"] == "told":
        told = EscalationData(incident=incident, reason=opened["reason"])
        return Emit("escalation.requested", told, incident=incident)
    return None


triage = serve("triage", triage_event, pure=True, expires=True)
