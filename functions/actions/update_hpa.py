"""Moves the bounds between which an autoscaler may choose the number of replicas, a step at a time.

It never chooses the number itself, and never takes away replicas that run: an autoscaler without metrics chooses
nothing, so its bounds are not what is wrong.
"""

from math import ceil
from typing import Any, ClassVar

from pydantic import Field

from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.details import Scaler
from shared.model.facts import Facts, ObjectRef
from shared.model.plan import Plan, Refusal, Touches, Write

_MOST = 1000
_TIMES, _STEP = 2, 4  # at once never more than double, by itself a quarter more

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_SCALER = {
    "name": "checkout", "uid": "h-1", "minimum": 1, "minimum_said": True, "maximum": 3, "current": 3, "desired": 3,
    "metrics": True, "able": True, "limited": "TooManyReplicas",
}  # fmt: skip
_FACTS = {
    "taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 3, "ready": 3}, "pod_count": 3, "autoscaler": "checkout",
    "details": {"scaler": _SCALER},
}  # fmt: skip


def _with(**changes: Any) -> dict[str, Any]:
    return {**_FACTS, "details": {"scaler": {**_SCALER, **changes}}}


class UpdateHpaParams(Model):
    """`maximum`, `minimum`: the new bounds, None leaves one as it is; without both the maximum goes one step up."""

    maximum: int | None = Field(default=None, ge=1, le=_MOST)
    minimum: int | None = Field(default=None, ge=1, le=_MOST)


class UpdateHpa(Action):
    name = "update_hpa"
    summary = "Move the bounds of the autoscaler that owns a workload's replicas."
    risk = "low"
    kind = "patch"
    scopes = ("Deployment", "StatefulSet")
    Params = UpdateHpaParams
    details = ("scaler",)
    rbac = (Rule("autoscaling", "horizontalpodautoscalers", ("get", "patch")),)
    requests = 32
    cooldown_s = 600
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_scaler.py::TestAnAutoscalerAtItsMaximum"
        "::test_takes_the_step_more_that_it_is_given_and_is_not_limited_any_more"
    )
    soak_s = 180  # an autoscaler looks every quarter of a minute, and pods take their time
    examples: ClassVar = (
        Example("one step up", _FACTS, {}, writes=1),
        Example("both bounds", _FACTS, {"minimum": 2, "maximum": 6}, writes=2),
        Example("more than double", _FACTS, {"maximum": 7}, refusal="bounds"),
        Example("fewer than run", _FACTS, {"maximum": 2}, refusal="bounds"),
        Example("a minimum above the maximum", _FACTS, {"minimum": 4}, refusal="bounds"),
        Example("already there", _FACTS, {"maximum": 3}, refusal="nothing-to-do"),
        Example("not at its maximum", _with(current=2, desired=2, limited=""), {}, refusal="nothing-to-do"),
        Example("without metrics", _with(metrics=False), {}, refusal="metrics"),
        Example("of something above it", _with(owner="ScaledObject checkout"), {}, refusal="autoscaler"),
        Example("declared in Git", _with(gitops_owner="argocd"), {}, refusal="gitops"),
        Example("more than the owner allows", {**_FACTS, "spec": {"maximum_replicas": 3}}, {}, refusal="bounds"),
        Example("no autoscaler", {**_FACTS, "autoscaler": "", "details": {"scaler": {}}}, {}, refusal="undeclared"),
        Example("no replicas", {"taken_at": 0, "scope": {**_SCOPE, "kind": "DaemonSet"}}, {}, refusal="unsupported"),
        Example("gone", {**_FACTS, "replicas": None}, {}, refusal="not-found"),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, scaler = facts.scope, facts.details.scaler
        if scope.kind not in self.scopes:
            return Refusal(
                reason="unsupported", text=f"no autoscaler chooses how many pods {scope.kind} {scope.name} has"
            )
        if scaler is None or facts.replicas is None:
            return Refusal(
                reason="not-found", text=f"{scope.kind} {scope.name} was not there when the facts were taken"
            )
        if not scaler.name or not scaler.uid:
            text = f"no autoscaler owns the replicas of {scope.name}: set their number instead"
            return Refusal(reason="undeclared", text=text)
        if scaler.gitops_owner:
            text = f"{scaler.gitops_owner} would put the bounds of {scaler.name} back: change them in Git"
            return Refusal(reason="gitops", text=text)
        if scaler.owner:
            text = f"{scaler.owner} owns the autoscaler {scaler.name} and would put its bounds back: change them there"
            return Refusal(reason="autoscaler", text=text)
        if not scaler.metrics or not scaler.able:
            text = f"autoscaler {scaler.name} has no metrics or cannot scale: its bounds are not what is wrong"
            return Refusal(reason="metrics", text=text)
        maximum, minimum = _wanted(facts, scaler, params)
        if (maximum, minimum) == (scaler.maximum, scaler.minimum):
            text = f"{scaler.name} has {scaler.current} replicas of between {minimum} and {maximum}: its bounds stay"
            return Refusal(reason="nothing-to-do", text=text)
        if beyond := _beyond(facts, scaler, minimum, maximum):
            return Refusal(reason="bounds", text=beyond)
        return Plan(
            writes=tuple(_writes(scope.namespace, scaler, minimum, maximum)),
            touches=Touches(unit="pod", count=0, population=facts.replicas.desired),
        )

    def healthy(self, facts: Facts) -> bool:
        replicas, scaler = facts.replicas, facts.details.scaler
        full = replicas is not None and replicas.full
        return full and scaler is not None and scaler.metrics and scaler.limited != "TooManyReplicas"


def _wanted(facts: Facts, scaler: Scaler, params: UpdateHpaParams) -> tuple[int, int]:
    """The maximum and the minimum that there are to be."""
    minimum = scaler.minimum if params.minimum is None else params.minimum
    if params.maximum is not None:
        return params.maximum, minimum
    if params.minimum is not None or max(scaler.current, scaler.desired) < scaler.maximum:
        return scaler.maximum, minimum
    step, owners = min(_MOST, scaler.maximum + ceil(scaler.maximum / _STEP)), facts.bound("maximum_replicas")
    # Up to where the owner allows it, and beyond only to be refused.
    return min(step, owners) if owners is not None and owners > scaler.maximum else step, minimum


def _beyond(facts: Facts, scaler: Scaler, minimum: int, maximum: int) -> str:
    owners = facts.bound("maximum_replicas")
    if minimum > maximum:
        return f"a minimum of {minimum} is more than the maximum of {maximum}"
    if maximum > scaler.maximum * _TIMES:
        return f"a maximum of {maximum} is more than double the present {scaler.maximum}"
    if minimum > max(scaler.minimum * _TIMES, scaler.current):
        return f"a minimum of {minimum} is more than double the present {scaler.minimum} and more than run"
    if maximum < min(scaler.maximum, max(scaler.current, scaler.desired)):
        return f"a maximum of {maximum} would end replicas that run: there are {scaler.current}"
    if owners is not None and scaler.maximum < maximum and maximum > owners:
        return f"a maximum of {maximum} is more than the {owners} that the owner allows (akeso.dev/maximum-replicas)"
    return ""


def _writes(namespace: str, scaler: Scaler, minimum: int, maximum: int) -> list[Write]:
    """In the order in which the minimum is never more than the maximum."""
    target = ObjectRef(kind="HorizontalPodAutoscaler", namespace=namespace, name=scaler.name, uid=scaler.uid)
    was = scaler.minimum if scaler.minimum_said else None
    moves = [
        ("/spec/maxReplicas", scaler.maximum, maximum, scaler.maximum),
        ("/spec/minReplicas", was, minimum, scaler.minimum),
    ]
    if maximum < scaler.maximum:
        moves.reverse()
    return [
        Write(verb="patch", target=target, path=path, before=before, after=after)
        for path, before, after, meant in moves
        if after != meant
    ]
