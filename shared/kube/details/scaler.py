"""The HorizontalPodAutoscaler that owns the replicas of a scope, and whether it knows what it is doing."""

from typing import Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import condition, controller, gitops, is_of, is_true, meta, name, number, part, word
from shared.model.details import Scaler
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "ReplicaSet")
RIGHTS: Final = (("autoscaling", "horizontalpodautoscalers", "list"),)


def look(kube: Reader, scope: Scope, found: Object) -> Scaler:  # noqa: ARG001  every detail has this shape
    autoscalers = kube.list("HorizontalPodAutoscaler", scope.namespace)
    one = next((one for one in autoscalers if is_of(part(one, "spec", "scaleTargetRef"), scope)), None)
    if one is None:
        return Scaler()
    spec, status = part(one, "spec"), part(one, "status")
    limited = condition(one, "ScalingLimited")
    return Scaler(
        name=name(meta(one).get("name")),
        uid=name(meta(one).get("uid")),
        minimum=number(spec.get("minReplicas", 1)),
        minimum_said="minReplicas" in spec,
        maximum=number(spec.get("maxReplicas")),
        current=number(status.get("currentReplicas")),
        desired=number(status.get("desiredReplicas")),
        metrics=is_true(one, "ScalingActive"),
        able=is_true(one, "AbleToScale"),
        limited=word(limited.get("reason")) if limited.get("status") == "True" else "",
        owner=_owner(one),
        gitops_owner=gitops(one),
    )


def _owner(one: Object) -> str:
    above = controller(one)
    return f"{word(above.get('kind'))} {name(above.get('name'))}" if above else ""
