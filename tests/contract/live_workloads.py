"""What an example says of details, brought about by real objects: former versions, an autoscaler, sizes, bounds.

It knows fields of details and no action.
"""

import itertools
from typing import Any

from shared.dev.cluster_pods import READY_AFTER
from shared.kube.details import detail
from tests.cluster.api import MERGE_PATCH, until
from tests.contract.live_world import World

Object = dict[str, Any]

_DEADLINE_S = 3
_GITOPS = {"argocd": "argocd.argoproj.io/instance", "flux": "kustomize.toolkit.fluxcd.io/name"}
_NEVER = {"exec": {"command": ["false"]}, "periodSeconds": 1}


def of(kind: str, facts: Object) -> Object:
    """The details that a scope of this kind has, whatever kind the facts name."""
    return {name: said for name, said in facts.get("details", {}).items() if said and kind in detail(name).KINDS}


def first(body: Object, details: Object) -> None:
    """Make of the object the one that there was in the beginning."""
    if history := _history(details):
        body["spec"]["template"] = _version(body["spec"]["template"], history[0])


def then(world: World, path: str, body: Object, details: Object) -> None:
    """Let happen to the object what happened to it since."""
    history = _history(details)
    for before, one in itertools.pairwise(history):
        there = _complete if _good(before) else _seen
        until(lambda there=there: there(world.api.ok("GET", path)), f"the first version of {path} is not rolled out")
        template = _version(body["spec"]["template"], one)
        world.api.ok("PATCH", path, {"spec": {"template": template}}, form=MERGE_PATCH, fieldManager="akeso-seed")
    if history:
        world.api.ok("PATCH", path, {"spec": {"progressDeadlineSeconds": _DEADLINE_S}}, form=MERGE_PATCH,
                     fieldManager="akeso-seed")  # fmt: skip


def scaler(name: str, target: Object, details: Object) -> Object:
    """An autoscaler of that target, as the details say."""
    said = details.get("scaler") or {}
    labels = {_GITOPS[said["gitops_owner"]]: "shop"} if said.get("gitops_owner") else {}
    bounds = {"minReplicas": said.get("minimum", 1), "maxReplicas": said.get("maximum", 9)}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"scaleTargetRef": target, **bounds}}


def rates(world: World, scaler: Object, details: Object) -> None:
    """Let it say what it says; on a real cluster its controller, which finds no metrics here, may take that back."""
    if not (said := details.get("scaler")):
        return
    limited = said.get("limited", "")
    true = {True: "True", False: "False"}
    status = {"currentReplicas": said["current"], "desiredReplicas": said["desired"], "conditions": [
        {"type": "AbleToScale", "status": true[said["able"]], "reason": "ReadyForNewScale"},
        {"type": "ScalingActive", "status": true[said["metrics"]], "reason": "ValidMetricFound"},
        {"type": "ScalingLimited", "status": true[bool(limited)], "reason": limited or "DesiredWithinRange"},
    ]}  # fmt: skip
    meta = scaler["metadata"]
    if world.emulated:
        world.emulated.set_status("HorizontalPodAutoscaler", world.place, meta["name"], status)
        return
    path = f"/apis/autoscaling/v2/namespaces/{world.place}/horizontalpodautoscalers/{meta['name']}/status"
    world.api.ok("PATCH", path, {"status": status}, form=MERGE_PATCH)


def _history(details: Object) -> list[Object]:
    """Its revisions, the oldest first."""
    said = (details.get("revisions") or {}).get("revisions", ())
    return sorted(said, key=lambda one: one["number"])


def _good(revision: Object) -> bool:
    return revision.get("health") == "now"


def _version(template: Object, revision: Object) -> Object:
    """A template of that name; pods of one that is not good never become ready."""
    notes = {"akeso.dev/version": revision["template"], READY_AFTER: "0" if _good(revision) else "3600"}
    spec = template["spec"]
    probe = None if _good(revision) else _NEVER
    containers = [{**one, "readinessProbe": probe} if probe else _without(one) for one in spec["containers"]]
    meta = {**template["metadata"], "annotations": {**template["metadata"].get("annotations", {}), **notes}}
    return {"metadata": meta, "spec": {**spec, "containers": containers}}


def _without(container: Object) -> Object:
    return {field: value for field, value in container.items() if field != "readinessProbe"}


def _seen(found: Object) -> bool:
    return bool(found.get("status", {}).get("observedGeneration", 0) >= found["metadata"]["generation"])


def _complete(found: Object) -> bool:
    conditions = found.get("status", {}).get("conditions", ())
    return any(one.get("reason") == "NewReplicaSetAvailable" for one in conditions)
