"""What stands against an incident's remedy at this moment: `admit` asked dry, with fresh facts and a fresh plan.

It moves nothing. It is for what waits for a person or was refused, of which the record tells only why it was so then.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from shared.action.catalogue import Catalogue
from shared.decide.rules import Choice, choose, shipped
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

_DECISIONS: Final = 1_000


def now(here: Here, place: Place) -> dict[str, Any] | None:
    """Tell what every check says now; None for what is not open, or of which nothing was held or refused.

    What cannot be looked at is told as `unknown`, with the reason.
    """
    incident = here.state.store.hash(place.key("incident"))
    hold = Hold.of(here.state.store.hash(place.key("hold")))
    if incident.get("state") != "open" or not (hold or _refused(here, place)):
        return None
    try:
        return _judged(here, place, incident, hold)
    except (AkesoError, ValidationError) as error:
        why = error.reason if isinstance(error, AkesoError) else "params"
        return {"decision": "unknown", "text": f"it cannot be looked at now: {why}", "checks": []}


def _refused(here: Here, place: Place) -> bool:
    """Whether the last decision about it was a refusal."""
    key = f"{PREFIX}:{place.tenant}:{place.cluster}:decisions"
    for text in here.state.store.read("LRANGE", key, 0, _DECISIONS - 1):
        said = _dict(text) if place.id in text else {}
        if _dict(said.get("asked")).get("incident") == place.id:
            return said.get("decision") == "denied"
    return False


def _dict(value: Any) -> dict[str, Any]:
    """Take an object as it is or as its text; anything else is an empty one."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}


def _judged(here: Here, place: Place, incident: Mapping[str, str], hold: Hold | None) -> dict[str, Any]:
    key = incident.get("scope", "")
    known = Scope.of_key(key)
    scope = resolve(here.kube, ObjectRef(kind=known.kind, namespace=known.namespace, name=known.name))
    facts = look.take(here, scope, None) if scope else None
    if facts is None:
        return {"decision": "unknown", "text": f"{key} is gone", "checks": []}
    tried = here.state.store.read("LRANGE", place.key("tried"), 0, -1)
    data = TriagedData(
        incident=place.id, scope=facts.scope, family=incident.get("family", ""), facts=facts, tried=tuple(tried)
    )
    choice = (
        Choice(action=hold.action, params=hold.params, confidence=1, reasoning="What is held.", by="person")
        if hold
        else choose(data, Catalogue.home(here.settings.actions_dir), shipped())
    )
    told: dict[str, Any] = {"action": choice.action, "params": choice.params}
    plan = look.planned(here, data, choice)
    if isinstance(plan, Refusal):
        text = f"{choice.action} itself refuses: {plan.reason}, {plan.text}"
        return told | {"decision": "refused", "text": text, "checks": []}
    answer = look.judged(here, find.asking(here, place), data, choice, plan)
    return told | {"plan": look.shown(plan), **answer, "checks": answer.get("checks") or []}
