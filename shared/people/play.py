"""Plays a webhook body through without effects: what each alert would become, and where and why it would stop.

It reads the cluster and Redis and writes to neither. It uses the very pieces that the functions use, so that what it
tells is what would happen.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared import clock
from shared.action.catalogue import Catalogue
from shared.alert.families import family, is_own, is_watchdog, named_object
from shared.alert.model import parse
from shared.decide.rules import Choice, choose, in_order, shipped
from shared.event.here import Here
from shared.event.types import Alert, TriagedData
from shared.guard import source
from shared.guard.policy import Policy, is_protected
from shared.kube.scope import resolve
from shared.model.plan import Plan, Refusal
from shared.people import look
from shared.people.asks import MAX_BODY
from shared.people.find import Place, asking
from shared.state.transitions import Cause

MOST: Final = 20  # alerts of one body; each costs a look at the cluster
_LIVE: Final = ("stage", "hold", "attempt", "soak", "undo")  # what carries an incident on by itself


def play(here: Here, body: bytes) -> dict[str, Any]:
    """Tell one story per alert. Raises MalformedError for what intake would refuse."""
    now = clock.now_ms()
    group = parse(body, limit=MAX_BODY, now_ms=now)
    return {
        "alerts": [_story(here, alert) for alert in group.alerts[:MOST]],
        "omitted": max(0, len(group.alerts) - MOST),
        "rejected": [{"place": item.place, "reason": item.reason} for item in group.rejected],
        "truncated": group.truncated,
    }


def _story(here: Here, alert: Alert) -> dict[str, Any]:
    """Tell what is known at each step; `ends` says in one sentence where the story ends."""
    cause = asking(here)
    named = named_object(alert)
    told: dict[str, Any] = {
        "alertname": alert.labels.get("alertname", ""),
        "status": alert.status,
        "family": family(alert),
        "object": named.model_dump(mode="json", exclude={"uid"}) if named else None,
    }
    if is_watchdog(alert):
        return told | {"ends": "a heartbeat: counted, nothing else"}
    if alert.status == "resolved":
        place = Place(cause.tenant, cause.cluster, alert.fingerprint)
        known = here.state.store.read("GET", place.key("fingerprint"))
        return told | {
            "ends": f"takes this alert from {known}" if known else "remembered, so that a late firing is none"
        }
    if is_own(alert):
        return told | {"ends": "told to people: it is about Akeso itself"}
    scope = resolve(here.kube, named) if named else None
    if scope is None:
        return told | {"ends": "told to people: the scope cannot be determined"}
    told["scope"] = scope.key
    standing = look.standing(here, cause, scope, told["family"])
    told["incident"] = standing.get("id", "")
    if standing.get("people"):
        return told | {"ends": f"joins {standing['id']}, which people handle: {standing['people']}"}
    if busy := next((part for part in _LIVE if standing.get(part)), ""):
        return told | {"ends": f"joins {standing['id']}, which is under way: {busy} {standing[busy]}"}
    facts = look.take(here, scope, named)
    if facts is None:
        return told | {"ends": f"told to people: {scope.key} is gone"}
    told["facts"] = look.summary(facts)
    if facts.autonomy == "off" and not _protected(here, scope.namespace):
        return told | {"ends": "suppressed: autonomy is off"}
    place = Place(cause.tenant, cause.cluster, told["incident"])
    tried = here.state.store.read("LRANGE", place.key("tried"), 0, -1) if place.id else []
    data = TriagedData(
        incident=place.id, scope=scope, family=told["family"], alert=alert, facts=facts, tried=tuple(tried)
    )
    return told | _decided(here, cause, data)


def _decided(here: Here, cause: Cause, data: TriagedData) -> dict[str, Any]:
    catalogue = Catalogue.home(here.settings.actions_dir)
    choice = choose(data, catalogue, shipped())
    told: dict[str, Any] = {
        "rules": _considered(data, choice),
        "choice": choice.model_dump(mode="json", exclude={"reasoning"}),
        "reasoning": choice.reasoning,
    }
    plan = look.planned(here, data, choice)
    if isinstance(plan, Refusal):
        told["refusal"] = plan.model_dump(mode="json")
        return told | {"ends": f"told to people: {choice.action} refuses: {plan.reason}, {plan.text}"}
    told["plan"] = look.shown(plan)
    guard = look.judged(here, cause, data, choice, plan)
    return told | {"guard": guard, "ends": _ends(choice, plan, guard)}


def _protected(here: Here, namespace: str) -> bool:
    """Ask the policy of now; what is built in counts even while the policy cannot be read."""
    return is_protected(source.find(here).policy or Policy(), namespace)


def _considered(data: TriagedData, choice: Choice) -> list[dict[str, Any]]:
    """List the rules in their order up to the chosen one, with whether their conditions hold."""
    considered = []
    for rule in in_order(shipped()):
        considered.append({"rule": rule.id, "met": rule.when.met(data), "chosen": rule.id == choice.rule})
        if rule.id == choice.rule:
            break
    return considered


def _ends(choice: Choice, plan: Plan, guard: Mapping[str, Any]) -> str:
    check, decision = guard.get("check", ""), guard["decision"]
    if decision == "approved" and not plan.writes:
        return f"told to people: {choice.reasoning}"
    if decision == "approved":
        return f"{choice.action} would run"
    if decision == "held":
        return f"{choice.action} would wait for a person's yes"
    if check == "observe":
        return f"only shown: {choice.action} would have been done"
    if check == "suggest":
        return f"told to people, with the command for {choice.action}"
    again = f", and tried again at {clock.iso(int(guard['retry_at']))}" if guard.get("retry_at") else ""
    return f"{choice.action} refused by {check}{again}"
