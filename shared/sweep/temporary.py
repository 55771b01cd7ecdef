"""Finds the temporary changes that Redis no longer knows of, so that each is taken back at its time all the same.

They carry a label, their end, and the guard's own grant with its plan. Only what that signature holds for is believed:
whoever may annotate an object must not be able to have anything written by it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from shared import clock
from shared.errors import ForbiddenError
from shared.event.here import Here
from shared.guard import grant as token
from shared.guard.load import tell
from shared.kube.mark import KEPT, TEMPORARY, UNTIL, annotations
from shared.model.plan import Plan
from shared.state.transitions import Cause
from shared.telemetry import log

KINDS: Final = ("Node", "Pod", "NetworkPolicy", "Deployment", "HorizontalPodAutoscaler")

_log = log.get("akeso.temporary")


def remember(here: Here, cause: Cause) -> int:
    """Have those remembered that Redis does not know; how many there are in all. Raises KubeError, UnavailableError."""
    found = {one["id"]: one for one in _found(here, cause)}
    if found:
        tell(here, cause, hydrate=False, temporary=list(found.values()))
    return len(found)


def _found(here: Here, cause: Cause) -> Iterator[dict[str, Any]]:
    keys = token.trusted(here.secrets)
    for kind in KINDS:
        for thing in here.kube.list(kind, labels=f"{TEMPORARY}=true"):
            said = annotations(thing)
            try:
                one = _read(said, keys, cause)
            except (ForbiddenError, ValidationError, ValueError, TypeError, KeyError) as error:
                name = f"{kind}/{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"
                _log.error("a temporary change that nobody has signed is left alone", of=name, error=str(error)[:200])
                continue
            if one:
                yield one


def _read(said: dict[str, str], keys: list[bytes], cause: Cause) -> dict[str, Any] | None:
    """What `load` writes down of an attempt; None for another installation's."""
    kept = json.loads(said[KEPT])
    grant = token.verify(kept["grant"], keys)
    plan = Plan.model_validate(kept["plan"])
    if plan.hash != grant.plan_hash:
        raise ForbiddenError("the plan is not the one that was granted", reason="grant-plan")
    inverse = plan.inverse(grant.id)
    if (grant.tenant, grant.cluster) != (cause.tenant, cause.cluster) or grant.mode == "undo" or inverse is None:
        return None
    return {
        "id": grant.id, "incident": grant.incident, "scope": grant.scope.key, "action": grant.action,
        "namespace": grant.scope.namespace, "plan": plan.model_dump_json(), "inverse": inverse.model_dump_json(),
        "inverse_hash": inverse.hash, "until": clock.parse_ms(said[UNTIL]),
    }  # fmt: skip
