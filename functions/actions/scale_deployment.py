"""Sets the number of replicas of a Deployment that nothing else is steering, for good or for a while."""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from shared.action import quota
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Touches, Write

# Zero is an outage and no remedy; more than a hundred is a capacity decision of a person.
_LEAST, _MOST = 1, 100

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 1, "ready": 1}, "pod_count": 1}
_FIVE = {**_FACTS, "replicas": {"desired": 5, "ready": 5}}
_LOW, _HIGH = {"spec": {"minimum_replicas": 3}}, {"spec": {"maximum_replicas": 6}}


class ScaleDeploymentParams(Model):
    """Either the number, or by how many it is to change. `for_minutes`: it is taken back after that long."""

    replicas: int | None = Field(default=None, ge=_LEAST, le=_MOST)
    delta: int | None = Field(default=None, ge=-_MOST, le=_MOST)
    for_minutes: int | None = Field(default=None, ge=1, le=10_080)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.replicas is None) is (self.delta is None):
            raise ValueError("exactly one of replicas and delta says how many")
        return self


class ScaleDeployment(Action):
    name = "scale_deployment"
    summary = "Set the number of replicas of a Deployment."
    risk = "low"
    kind = "patch"
    scopes = ("Deployment",)
    Params = ScaleDeploymentParams
    details = ("quota",)
    rbac = (Rule("apps", "deployments", ("patch",)),)
    requests = 27
    cooldown_s = 300
    soak_s = 60
    proof = "real workload"
    proved_by = "tests/cluster/test_real_remedies.py::TestTooFewReplicas::test_are_as_many_real_pods_as_the_owner_wants"
    examples: ClassVar = (
        Example("raise to the minimum", _FACTS, {"replicas": 3}, writes=1),
        Example("one more for a while", _FACTS, {"delta": 1, "for_minutes": 30}, writes=1),
        Example("lower", _FIVE, {"replicas": 2}, writes=1),
        Example("already there", _FACTS, {"replicas": 1}, refusal="nothing-to-do"),
        Example("down to nothing", _FACTS, {"delta": -1}, refusal="bounds"),
        Example("fewer than the owner wants", _FIVE | _LOW, {"replicas": 2}, refusal="bounds"),
        Example("more than the owner wants", _FIVE | _HIGH, {"delta": 2}, refusal="bounds"),
        Example(
            "an autoscaler owns the replicas", {**_FACTS, "autoscaler": "web"}, {"replicas": 3}, refusal="autoscaler"
        ),
        Example("declared in Git", {**_FACTS, "gitops_owner": "argocd"}, {"replicas": 3}, refusal="gitops"),
        Example(
            "no Deployment",
            {**_FACTS, "scope": {**_SCOPE, "kind": "DaemonSet"}},
            {"replicas": 3},
            refusal="unsupported",
        ),
        Example(
            "more than the quota lets be made", {**_FACTS, "details": {"quota": {"pods": -1}}}, {"replicas": 3},
            refusal="quota",
        ),
        Example("gone", {**_FACTS, "replicas": None}, {"replicas": 3}, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope = facts.scope
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"{scope.kind} {scope.name} is no Deployment")
        if facts.replicas is None or not scope.uid:
            return Refusal(reason="not-found", text=f"Deployment {scope.name} was not there when the facts were taken")
        if facts.autoscaler:
            text = (
                f"autoscaler {facts.autoscaler} owns the replicas and would undo this: update its bounds instead (HPA)"
            )
            return Refusal(reason="autoscaler", text=text)
        if facts.gitops_owner:
            text = f"{facts.gitops_owner} would revert this: change the replicas in Git"
            return Refusal(reason="gitops", text=text)
        now = facts.replicas.desired
        wanted = params.replicas if params.replicas is not None else now + params.delta
        if now == wanted:
            return Refusal(reason="nothing-to-do", text=f"the Deployment already wants {wanted} replicas")
        if beyond := _beyond(facts, now, wanted):
            return Refusal(reason="bounds", text=beyond)
        if wanted > now and (refused := quota.refuses(facts, wanted - now)):
            return refused
        target = scope.ref
        return Plan(
            writes=(Write(verb="patch", target=target, path="/spec/replicas", before=now, after=wanted),),
            touches=Touches(unit="pod", count=max(0, now - wanted), population=now),
            until_s=(params.for_minutes or 0) * 60,
        )

    def healthy(self, facts: Facts) -> bool:
        return facts.replicas is not None and facts.replicas.full


def _beyond(facts: Facts, now: int, wanted: int) -> str:
    """What speaks against so many; what only comes nearer to the bounds is none of it."""
    if not _LEAST <= wanted <= _MOST:
        return f"{wanted} replicas are not between {_LEAST} and {_MOST}: that is for a person to decide"
    least, most = facts.bound("minimum_replicas"), facts.bound("maximum_replicas")
    if least is not None and wanted < least and wanted < now:
        return f"{wanted} replicas are fewer than the {least} that the owner demands (akeso.dev/minimum-replicas)"
    if most is not None and wanted > most and wanted > now:
        return f"{wanted} replicas are more than the {most} that the owner allows (akeso.dev/maximum-replicas)"
    return ""
