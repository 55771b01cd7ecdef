"""What an example says of details, brought about by real objects: former versions, an autoscaler, sizes, bounds.

It knows fields of details and no action.
"""

import itertools
import secrets
from typing import Any

from shared.dev.cluster_pods import BEHAVIOUR, NEEDS_MEMORY, READY_AFTER
from shared.kube.details import detail
from shared.kube.kinds import collection
from tests.cluster.api import MERGE_PATCH, until
from tests.contract.live_world import World

Object = dict[str, Any]

_DEADLINE_S = 3
_RESIZES = "resizes"
_MUCH_M = 10_000  # thousandths of a CPU that all pods take together
_GITOPS = {"argocd": "argocd.argoproj.io/instance", "flux": "kustomize.toolkit.fluxcd.io/name"}
_NEVER = {"exec": {"command": ["false"]}, "periodSeconds": 1}


def no_mirror(details: Object) -> str:
    """Why no live object can be like that; empty when one can."""
    return "no test makes nodes of that size" if (details.get("room") or {}).get("node") else ""


def known(details: Object) -> bool:
    return bool({"revisions", "scaler", "containers", "quota"} & set(details))


def of(kind: str, facts: Object) -> Object:
    """The details that a scope of this kind has, whatever kind the facts name."""
    return {name: said for name, said in facts.get("details", {}).items() if said and kind in detail(name).KINDS}


def first(body: Object, details: Object) -> None:
    """Make of the object the one that there was in the beginning."""
    if history := _history(details):
        body["spec"]["template"] = _version(body["spec"]["template"], history[0])
    if sizes := details.get("containers"):
        _sized(body["spec"]["template"], sizes)
        if sizes.get("in_place") and "progressDeadlineSeconds" not in body["spec"]:
            body["spec"]["progressDeadlineSeconds"] = 1  # a rollout that never ends is at its end


def then(world: World, path: str, body: Object, details: Object) -> None:
    """Let happen to the object what happened to it since.

    The deadline comes with the last version: a write right after a new version may take the controller's own note of it
    away, and then the rollout is called complete for ever.
    """
    history, deadline = _history(details), 1 if world.emulated else _DEADLINE_S
    for before, one in itertools.pairwise(history):
        there = _complete if _good(before) else _seen
        until(lambda there=there: there(world.api.ok("GET", path)), f"the first version of {path} is not rolled out")
        spec = {"template": _version(body["spec"]["template"], one)}
        _patch(world, path, spec | ({"progressDeadlineSeconds": deadline} if one is history[-1] else {}))
    if len(history) == 1:
        _patch(world, path, {"progressDeadlineSeconds": deadline})


def _patch(world: World, path: str, spec: Object) -> None:
    world.api.ok("PATCH", path, {"spec": spec}, form=MERGE_PATCH, fieldManager="akeso-seed")


def room(world: World, details: Object) -> None:
    """What the namespace allows, while the test lasts."""
    said = details.get("room") or {}
    if not details.get("containers"):
        return
    if (most := (said.get("container") or {}).get("memory")) is not None:
        _put(world, "LimitRange", {"limits": [{"type": "Container", "max": {"memory": str(most)}}]})
    if (left := (said.get("left") or {}).get("limits_memory")) is not None:
        _put(world, "ResourceQuota", {"hard": {"limits.memory": str(left)}})


def _put(world: World, kind: str, spec: Object) -> None:
    name, path = f"s-{secrets.token_hex(4)}", collection(kind, world.place)
    world.api.ok("POST", path, {"metadata": {"name": name}, "spec": spec})
    world.end.callback(world.api, "DELETE", f"{path}/{name}")


def resizing(world: World, details: Object) -> None:
    """A node that resizes in place, where the details tell of one; a real one does."""
    if not world.emulated or not (details.get("containers") or {}).get("in_place"):
        return
    if world.emulated.get("Node", "", _RESIZES) is None:
        world.emulated.node(_RESIZES, {"kubernetes.io/hostname": _RESIZES})
        world.emulated.set_status("Node", "", _RESIZES, {"nodeInfo": {"kubeletVersion": "v1.34.0"}})


def _sized(template: Object, said: Object) -> None:
    """Containers of that size; those that were killed for want of memory are killed until they have half more."""
    sizes = {one["name"]: one for one in said["containers"]}
    for one in template["spec"]["containers"]:
        size = sizes[one["name"]]
        one["resources"] = {part: {name: amount["text"] for name, amount in size.get(part, {}).items()}
                            for part in ("limits", "requests") if size.get(part)}  # fmt: skip
    if said.get("in_place"):
        runs = any(one.get("running") for pod in said["pods"] for one in pod["containers"])
        template["metadata"]["annotations"] |= {BEHAVIOUR: "hungry" if runs else "oom", NEEDS_MEMORY: "90Mi"}
        template["spec"]["nodeSelector"] = {"kubernetes.io/hostname": _RESIZES}


def scaler(name: str, target: Object, details: Object) -> Object:
    """An autoscaler of that target, as the details say."""
    said = details.get("scaler") or {}
    labels = {_GITOPS[said["gitops_owner"]]: "shop"} if said.get("gitops_owner") else {}
    bounds = {"minReplicas": said.get("minimum", 1), "maxReplicas": said.get("maximum", 9)}
    meta: Object = {"name": name, "labels": labels}
    if said.get("owner"):
        kind, _, above = said["owner"].partition(" ")
        owner = {"apiVersion": "keda.sh/v1alpha1", "kind": kind, "name": above, "uid": "above-it", "controller": True}
        meta["ownerReferences"] = [owner]
    return {"metadata": meta, "spec": {"scaleTargetRef": target, **bounds}}


def rates(world: World, scaler: Object, details: Object) -> None:
    """Let it say what it says; on a real cluster that we cannot measure for its controller may take that back."""
    if not (said := details.get("scaler")):
        return
    if world.measured is not None and said["metrics"]:
        _bear(world, scaler["metadata"]["name"], said)
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


def _bear(world: World, name: str, said: Object) -> None:
    """Let the pods take so much that the controller itself says what was said: at its maximum it wants more."""
    at = f"{collection('HorizontalPodAutoscaler', world.place)}/{name}"
    world.measured.load[world.place] = _MUCH_M
    each = 1 if said.get("limited") else 10 * _MUCH_M
    metric = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": f"{each}m"}}
    world.api.ok("PATCH", at, {"spec": {"metrics": [{"type": "Resource", "resource": metric}]}}, form=MERGE_PATCH)
    wanted = {("ScalingActive", "True"), ("ScalingLimited", str(bool(said.get("limited"))))}
    until(lambda: wanted <= _conditions(world.api.ok("GET", at)), f"autoscaler {name} does not say {wanted}")


def _conditions(found: Object) -> set[tuple[str, str]]:
    return {(one["type"], one["status"]) for one in found.get("status", {}).get("conditions") or ()}


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
