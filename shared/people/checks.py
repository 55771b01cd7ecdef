"""What stands against an incident's remedy at this moment: `admit` asked dry, with fresh facts and a fresh plan.

It moves nothing. It is for what waits for a person or was refused, of which the record tells only why it was so then.
"""

import contextlib
import json
from typing import Any

from pydantic import ValidationError

from shared.decide.rules import Choice
from shared.errors import AkesoError
from shared.event.here import Here
from shared.event.types import TriagedData
from shared.kube.scope import resolve
from shared.model.facts import ObjectRef, Scope
from shared.model.hold import Hold
from shared.model.plan import Refusal
from shared.people import find, look
from shared.people.find import Place
from shared.state.client import PREFIX

_DECISIONS = 1_000


def now(here: Here, place: Place) -> dict[str, Any] | None:
    """Tell what every check says now; None for what is not open, or of which nothing was held or decided.

    What cannot be looked at is told as `unknown`, with the reason.
    """
    incident = here.state.store.hash(place.key("incident"))
    wanted = _wanted(here, place)
    if incident.get("state") != "open" or wanted is None:
        return None
    action, params = wanted
    told: dict[str, Any] = {"action": action, "params": params}
    try:
        return told | _judged(here, place, incident.get("scope", ""), incident.get("family", ""), action, params)
    except (AkesoError, ValidationError) as error:
        why = error.reason if isinstance(error, AkesoError) else "params"
        return told | {"decision": "unknown", "text": f"it cannot be looked at now: {why}", "checks": []}


def _wanted(here: Here, place: Place) -> tuple[str, dict[str, Any]] | None:
    """Find what waits, else what was decided last about it."""
    if hold := Hold.of(here.state.store.hash(place.key("hold"))):
        return hold.action, hold.params
    key = f"{PREFIX}:{place.tenant}:{place.cluster}:decisions"
    for text in here.state.store.read("LRANGE", key, 0, _DECISIONS - 1):
        if place.id not in text:
            continue
        asked = _dict(_dict(text).get("asked"))
        if asked.get("incident") == place.id and asked.get("mode") != "undo":
            return str(asked.get("action", "")), _dict(asked.get("params"))
    return None


def _dict(value: Any) -> dict[str, Any]:
    """Take an object as it is or as its text; anything else is an empty one."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}


def _judged(here: Here, place: Place, key: str, family: str, action: str, params: dict[str, Any]) -> dict[str, Any]:
    known = Scope.of_key(key)
    named = ObjectRef(kind=known.kind, namespace=known.namespace, name=known.name)
    scope = resolve(here.kube, named)
    facts = look.take(here, scope, named) if scope else None
    if facts is None:
        return {"decision": "unknown", "text": f"{key} is gone", "checks": []}
    data = TriagedData(incident=place.id, scope=facts.scope, family=family, facts=facts)
    choice = Choice(action=action, params=params, confidence=1, reasoning="Asked what stands against it.", by="person")
    plan = look.planned(here, data, choice)
    if isinstance(plan, Refusal):
        text = f"{action} itself refuses: {plan.reason}, {plan.text}"
        return {"decision": "refused", "text": text, "checks": []}
    answer = look.judged(here, find.asking(here, place), data, choice, plan)
    return {"plan": look.shown(plan), **answer, "checks": answer.get("checks") or []}
