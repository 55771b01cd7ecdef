"""Sets the number of replicas of a Deployment that nothing else is steering."""

from typing import Any, ClassVar

from pydantic import Field

from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.facts import Facts, ObjectRef
from shared.model.plan import Plan, Refusal, Touches, Write

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 1, "ready": 1}, "pod_count": 1}


class ScaleDeploymentParams(Model):
    # Zero is an outage and no remedy; more than a hundred is a capacity decision of a person.
    replicas: int = Field(ge=1, le=100)


class ScaleDeployment(Action):
    name = "scale_deployment"
    summary = "Set the number of replicas of a Deployment."
    risk = "low"
    kind = "patch"
    scopes = ("Deployment",)
    Params = ScaleDeploymentParams
    rbac = (Rule("apps", "deployments", ("patch",)),)
    cooldown_s = 300
    soak_s = 60
    examples: ClassVar = (
        Example("raise to the minimum", _FACTS, {"replicas": 3}, writes=1),
        Example("lower", {**_FACTS, "replicas": {"desired": 5, "ready": 5}}, {"replicas": 2}, writes=1),
        Example("already there", _FACTS, {"replicas": 1}, refusal="nothing-to-do"),
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
        Example("gone", {**_FACTS, "replicas": None}, {"replicas": 3}, refusal="not-found"),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope = facts.scope
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"{scope.kind} {scope.name} is no Deployment")
        if facts.replicas is None or not scope.uid:
            return Refusal(reason="not-found", text=f"Deployment {scope.name} was not there when the facts were taken")
        if facts.autoscaler:
            text = f"autoscaler {facts.autoscaler} owns the replicas and would undo this: change its bounds instead"
            return Refusal(reason="autoscaler", text=text)
        if facts.gitops_owner:
            text = f"{facts.gitops_owner} would revert this: change the replicas in Git"
            return Refusal(reason="gitops", text=text)
        now, wanted = facts.replicas.desired, params.replicas
        if now == wanted:
            return Refusal(reason="nothing-to-do", text=f"the Deployment already wants {wanted} replicas")
        target = ObjectRef(kind=scope.kind, namespace=scope.namespace, name=scope.name, uid=scope.uid)
        return Plan(
            writes=(Write(verb="patch", target=target, path="/spec/replicas", before=now, after=wanted),),
            touches=Touches(unit="pod", count=max(0, now - wanted), population=now),
        )

    def healthy(self, facts: Facts) -> bool:
        replicas = facts.replicas
        return replicas is not None and replicas.observed and replicas.ready >= replicas.desired
