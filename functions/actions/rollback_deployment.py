"""Takes a Deployment back to its last revision that is known to have been healthy, as `kubectl rollout undo` would.

The plan names ReplicaSets and never a template, which may hold what is secret. To what nobody can tell to have been
healthy it goes back only when a person names it.
"""

from typing import Any, ClassVar

from pydantic import Field

from shared.action import quota
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.details import STOOD_MS, Revision
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Touches, Write

_TEMPLATE = "/spec/template"
_WITHIN_S = 600  # Kubernetes' own patience with a rollout

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_BAD = {"name": "checkout-b", "uid": "r-2", "number": 2, "current": True, "replicas": 1, "template": "b"}
_GOOD = {"name": "checkout-a", "uid": "r-1", "number": 1, "replicas": 2, "ready": 2, "health": "now", "template": "a"}
_NEW, _OLD = {**_GOOD, "number": 2, "current": True}, {**_BAD, "number": 1, "current": False}
_FACTS = {
    "taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 2, "ready": 2, "updated": 1}, "pod_count": 3,
    "details": {"revisions": {"revisions": [_BAD, _GOOD], "rollout": "stuck"}},
}  # fmt: skip


def _with(*revisions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**_FACTS, "details": {"revisions": {"revisions": list(revisions), "rollout": "stuck"}}, **changes}


def _shut() -> dict[str, Any]:
    return {**_FACTS, "details": {"revisions": {"revisions": [_BAD, _GOOD], "rollout": "stuck"}, "quota": {"pods": -1}}}


class RollbackDeploymentParams(Model):
    """`revision`: the one to go back to, by its number; 0: the last one that is known to have been healthy."""

    revision: int = Field(default=0, ge=0, le=1_000_000_000)


class RollbackDeployment(Action):
    name = "rollback_deployment"
    summary = "Take a Deployment back to its last healthy revision."
    risk = "medium"
    kind = "patch"
    scopes = ("Deployment",)
    Params = RollbackDeploymentParams
    details = ("revisions", "quota")
    rbac = (Rule("apps", "deployments", ("patch",)), Rule("apps", "replicasets", ("get",)))
    requests = 43
    cooldown_s = 900
    soak_s = 120
    run_s = 900
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_remedies.py::TestANewVersionThatCrashes"
        "::test_in_the_place_of_the_former_one_gives_way_to_a_fresh_pod_of_that"
    )
    examples: ClassVar = (
        Example("a version that does not become ready", _FACTS, {}, writes=2),
        Example("to a revision that a person names", _FACTS, {"revision": 1}, writes=2),
        Example("no such revision", _FACTS, {"revision": 7}, refusal="not-found"),
        Example("the present one", _FACTS, {"revision": 2}, refusal="nothing-to-do"),
        Example("only one revision", _with(_BAD), {}, refusal="unsupported"),
        Example("the present one is good", _with(_NEW, _OLD), {}, refusal="nothing-to-do"),
        Example("none that was good", _with(_BAD, {**_GOOD, "health": "unknown"}), {}, refusal="not-found"),
        Example("paused", {**_FACTS, "paused": True}, {}, refusal="paused"),
        Example("where none may be made", _shut(), {}, refusal="quota"),
        Example("declared in Git", {**_FACTS, "gitops_owner": "flux"}, {}, refusal="gitops"),
        Example("no Deployment", {**_FACTS, "scope": {**_SCOPE, "kind": "StatefulSet"}}, {}, refusal="unsupported"),
        Example("gone", {**_FACTS, "replicas": None}, {}, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope = facts.scope
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"{scope.kind} {scope.name} is no Deployment")
        if facts.replicas is None or not scope.uid or facts.details.revisions is None:
            return Refusal(reason="not-found", text=f"Deployment {scope.name} was not there when the facts were taken")
        if facts.gitops_owner:
            text = f"{facts.gitops_owner} would bring the version back: revert it in Git"
            return Refusal(reason="gitops", text=text)
        if facts.paused:
            return Refusal(
                reason="paused", text=f"somebody has paused the rollout of {scope.name}: nothing would happen"
            )
        if refused := quota.refuses(facts):
            return refused
        if not facts.replicas.desired:
            return Refusal(reason="nothing-to-do", text=f"{scope.name} wants no replicas: none of them can fail")
        now, back = _now(facts, params.revision), _back(facts, params.revision)
        if isinstance(now, Refusal):
            return now
        if isinstance(back, Refusal):
            return back
        target, serving = scope.ref, max(0, now.ready - facts.falling)
        return Plan(
            writes=(
                Write(verb="copy", target=target, path=_TEMPLATE, before=_source(now), after=_source(back)),
                Write(verb="watch", target=target, patience_s=_WITHIN_S),
            ),
            # What serves and is replaced; the pods of a version that is not ready, or about to fall, serve nobody.
            touches=Touches(unit="pod", count=serving, population=facts.pod_count),
            # One that does not come to its end is left as it is, unless more was there before.
            takes_back=serving > back.ready,
        )

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002  every action has this shape
        replicas, scope = facts.replicas, facts.scope
        if facts.paused:
            return Refusal(reason="paused", text=f"somebody has paused the rollout of {scope.name} half-way")
        if replicas is None:
            return Refusal(reason="not-found", text=f"{scope.kind} {scope.name} has no replicas any more")
        # That the controller calls it stuck is no end: it says so of the former rollout until this one has moved.
        if replicas.renewed and not facts.rolling_out:
            return ""
        return f"{replicas.updated} of {replicas.desired} pods are of the former revision, {replicas.ready} are ready"

    def healthy(self, facts: Facts) -> bool:
        renewed = facts.replicas is not None and facts.replicas.renewed
        return not facts.rolling_out and not facts.paused and renewed and all(pod.at_rest for pod in facts.live)


def _source(revision: Revision) -> dict[str, str]:
    return {"kind": "ReplicaSet", "name": revision.name, "uid": revision.uid, "path": _TEMPLATE}


def _now(facts: Facts, number: int) -> Revision | Refusal:
    """The present revision, unless there is no reason to leave it; `number`: the one that a person has named."""
    history = facts.details.revisions
    now = history.current if history else None
    if history is None or now is None:
        return Refusal(reason="not-found", text="the present revision has no ReplicaSet yet: look again in a moment")
    if len(history.revisions) == 1:
        return Refusal(reason="unsupported", text=f"revision {now.number} is the only one: there is none to go back to")
    age_ms = facts.taken_at - now.created_at
    if not number and now.created_at and history.rollout == "complete" and age_ms > STOOD_MS:
        text = (
            f"revision {now.number}, the present one, has stood for {age_ms // 60_000} min:"
            " its pods fail for another reason than that it is new; to leave it all the same name a revision"
        )
        return Refusal(reason="nothing-to-do", text=text)
    if now.health == "now" and not facts.falling:
        text = f"revision {now.number}, the present one, is rolled out and all its pods are ready"
        return Refusal(reason="nothing-to-do", text=text)
    return now


def _back(facts: Facts, number: int) -> Revision | Refusal:
    """The revision to go back to: the one that is named, or else the last good one, before all one that serves now."""
    history = facts.details.revisions
    known, now = (history.revisions, history.current) if history else ((), None)
    if number:
        named = next((one for one in known if one.number == number), None)
        if named is None:
            there = ", ".join(str(one.number) for one in known)
            return Refusal(reason="not-found", text=f"there is no revision {number}; there are {there[:200]}")
        if now and (named.current or named.template == now.template):
            return Refusal(reason="nothing-to-do", text=f"revision {number} is what runs already")
        return named
    others = [one for one in known if now and one.number < now.number and one.template != now.template]
    good = [one for one in others if one.health == "now"] or [one for one in others if one.health == "stood"]
    if not good:
        text = (
            f"none of the {len(others)} former revisions is known to have been healthy: a person names one (revision)"
        )
        return Refusal(reason="not-found", text=text)
    return max(good, key=lambda one: one.number)
