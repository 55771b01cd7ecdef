"""What would come of it: facts, a plan and the guard's answer, for a look that must not move anything."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from shared.action.catalogue import Catalogue
from shared.decide.rules import Choice, seen
from shared.event.here import Here
from shared.event.types import TriagedData
from shared.guard import judge
from shared.kube import facts as snapshot
from shared.model.facts import Facts, ObjectRef, Scope
from shared.model.hold import difference
from shared.model.plan import Plan, Refusal
from shared.people.find import Place
from shared.state.client import PREFIX
from shared.state.transitions import Cause

_SHOWN: Final = {
    "autonomy", "replicas", "pod_count", "autoscaler", "disruption_allowed", "gitops_owner", "paused", "rolling_out",
    "last_changed_by", "stop_mode",
}  # fmt: skip


def take(here: Here, scope: Scope, named: ObjectRef | None) -> Facts | None:
    """Take the same look as triage; None when the scope is gone. Raises KubeError."""
    home = here.settings.kube.namespace
    return snapshot.take(here.kube, scope, named, stop_namespace=home, count=True, details=None)


def standing(here: Here, cause: Cause, scope: Scope, family: str) -> Mapping[str, str]:
    """Find the incident that an alert of that scope and family would meet; empty when it would open one."""
    name = hashlib.sha1(f"{scope.key}|{family}".encode()).hexdigest()  # noqa: S324 - all that Lua has
    known = here.state.store.read("GET", f"{PREFIX}:{cause.tenant}:{cause.cluster}:name:{name}")
    if not known:
        return {}
    fields = here.state.store.hash(Place(cause.tenant, cause.cluster, known).key("incident"))
    return fields if fields.get("state", "closed") != "closed" else {}


def planned(here: Here, data: TriagedData, choice: Choice) -> Plan | Refusal:
    action = Catalogue.home(here.settings.actions_dir).load(choice.action)
    return action.plan(data.facts, action.Params.model_validate(choice.params))


def judged(here: Here, cause: Cause, data: TriagedData, choice: Choice, plan: Plan) -> dict[str, Any]:
    """Ask the guard by `admit` itself, dry: decision, check, limit, used, retry_at, text, policy."""
    action = Catalogue.home(here.settings.actions_dir).load(choice.action)
    proposal = judge.proposal(data, choice, plan, action)
    severity = data.alert.labels.get("severity", "")[:32] if data.alert else ""
    return dict(here.state.admit(cause, **judge.request(proposal, dry=True), severity=severity))


def summary(facts: Facts) -> dict[str, Any]:
    """Pick what people need of the facts; names and numbers only."""
    return {"seen": seen(facts), **facts.model_dump(mode="json", include=_SHOWN)}


def shown(plan: Plan) -> dict[str, Any]:
    """Show the plan as its difference, field by field."""
    return {
        "hash": plan.hash,
        "touches": plan.touches.model_dump(mode="json"),
        "diff": difference(plan),
        "undo": plan.inverse() is not None,
    }
