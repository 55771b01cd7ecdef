"""Live objects that are as an example's facts say: a workload of the right kind, its pods, what steers and guards it.

It knows kinds of scope and fields of facts, and no action. What facts say that no test can bring about is named.
"""

import secrets
from typing import Any, NamedTuple

import pytest

from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_job import AFTER as JOB_AFTER
from shared.dev.cluster_pods import READY_AFTER
from shared.kube import facts as snapshot
from shared.model.facts import Facts, ObjectRef, Scope
from tests.cluster.api import MERGE_PATCH, until
from tests.cluster.real import idle_pod
from tests.contract import live_details, live_network, live_nodes, live_workloads
from tests.contract.live_world import World

Object = dict[str, Any]

_PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Pod": "/api/v1/namespaces/{}/pods",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}
_REPLICATED = {"Deployment", "StatefulSet", "ReplicaSet"}
_GITOPS = {"argocd": "argocd.argoproj.io/instance", "flux": "kustomize.toolkit.fluxcd.io/name"}
_MIRRORED = {
    "taken_at", "scope", "replicas", "pods", "pod_count", "disruption_allowed", "autoscaler", "gitops_owner", "paused",
    "rolling_out", "details", "spec",
}  # fmt: skip
_SPEC = {"minimum_replicas": "akeso.dev/minimum-replicas", "maximum_replicas": "akeso.dev/maximum-replicas"}

_ROLLED = {"generation", "strategy", "max_unavailable", "annotated", "restarted"}  # of a DaemonSet


class Subject(NamedTuple):
    """`named` is what an alert would name: a pod of it where there is one. `params` name what is live."""

    scope: Scope
    named: ObjectRef
    params: Object


def no_mirror(kind: str, facts: Object) -> str:
    """Why no live object can be like that; empty when one can."""
    if kind == "Node":
        return live_nodes.no_mirror(facts)
    if unknown := (set(facts) - _MIRRORED) | (set(facts.get("spec", {})) - set(_SPEC) - _ROLLED):
        return f"no test brings {', '.join(sorted(unknown))} about"
    if kind in _REPLICATED | {"DaemonSet"} and facts.get("replicas", {}) is None:
        return "what is gone has no facts"
    if live_details.brings(facts):
        return ""
    details = facts.get("details", {})
    return live_workloads.no_mirror(details) if live_workloads.known(details) else live_network.no_mirror(facts)


def mirror(world: World, kind: str, facts: Object, params: Object, *, keep: bool = False) -> Subject:
    """Make what the facts say, of that kind whatever kind they name, and wait until the cluster shows it.

    Unless it is to be kept, it goes with the test: nodes take only so many pods.
    """
    if not world.emulated and "OOMKilled" in str(facts.get("pods")):
        pytest.skip("a pod that starves again and again is brought about on the emulated cluster")
    name = f"s-{secrets.token_hex(4)}"
    if kind == "Node":
        node = live_nodes.make(world, facts, world.left if keep else world.end)
        scope = Scope(kind="Node", name=node.name, uid=node.uid)
        until(lambda: live_nodes.alike(facts, look(world, scope)), f"node {node.name} does not become what {facts} say")
        return Subject(scope, ObjectRef(kind="Node", name=node.name, uid=node.uid), params)
    if world.emulated and kind == "DaemonSet":
        for number in range(max(1, len(facts.get("pods", ())))):  # a pod each
            if world.emulated.get("Node", "", f"n{number + 1}") is None:
                world.emulated.node(f"n{number + 1}")
    live_network.enforce(world, facts, world.end)
    told = facts.get("details") or {}
    body, details = _body(world, kind, name, facts), live_workloads.of(kind, facts)
    live_workloads.resizing(world, details)
    live_workloads.room(world, details)
    live_workloads.first(body, details)
    has_claim = kind == "PersistentVolumeClaim" and told.get("claim")
    made = live_details.claim(world, name, body["metadata"], told) if has_claim else _post(world, kind, body)
    path = f"{_PATHS[kind].format(world.place)}/{name}"
    live_workloads.then(world, path, body, details)
    if not keep:
        world.end.callback(world.api, "DELETE", path, {"propagationPolicy": "Background"})
    scope = Scope(kind=kind, namespace=world.place, name=name, uid=made["metadata"]["uid"])
    live_details.around(world, kind, name, told, keep=keep)
    if kind == "PersistentVolumeClaim":
        until(lambda: _alike(facts, look(world, scope)), f"claim {name} does not become what {facts} say")
        return Subject(scope, _ref(kind, made), params)
    if facts.get("autoscaler"):
        target = {"apiVersion": made["apiVersion"], "kind": kind, "name": name}
        scaler = live_workloads.scaler(name, target, details)
        made_too = _post(world, "HorizontalPodAutoscaler", scaler)
        live_workloads.rates(world, made_too, details)
    if facts.get("disruption_allowed") is not None:
        spec = {"minAvailable": _desired(facts) - facts["disruption_allowed"] or 1, "selector": _selector(name)}
        _post(world, "PodDisruptionBudget", {"metadata": {"name": name}, "spec": spec})
    unsettled = facts.get("paused") or details.get("revisions") or not _desired(facts)
    pods = [] if unsettled else _pods(world, kind, made, max(1, len(facts.get("pods", ()))))
    if (told.get("quota") or {}).get("pods") is not None:  # once its own pods are there
        live_details.shut(world)
    names = {facts["scope"]["name"]: name}
    for example, live in zip(facts.get("pods", ()), pods, strict=False):
        names[example["name"]] = live["metadata"]["name"]
        if example.get("deleting"):
            _leave(world, live)
    until(lambda: _alike(facts, look(world, scope)), f"{kind} {name} does not become what {facts} say")
    return Subject(scope, _ref("Pod", pods[0]) if pods else _ref(kind, made), _renamed(params, names))


def look(world: World, scope: Scope) -> Facts:
    """The facts as triage takes them."""
    found = snapshot.take(world.readers["triage"], scope, None, stop_namespace=world.home, details=None)
    assert found is not None, f"{scope.key} is gone"
    return found


def _alike(facts: Object, live: Facts) -> bool:
    wanted = Facts.model_validate(facts)
    fields = {"autoscaler", "disruption_allowed", "gitops_owner"} & set(facts)
    if live.scope.kind == "Deployment":
        fields |= {"paused", "rolling_out"} & set(facts)
    settled = facts.get("rolling_out") or not live.rolling_out
    return (
        bool(settled)
        and live_details.alike(facts, live)
        and all(bool(getattr(live, field)) == bool(getattr(wanted, field)) for field in fields)
    )


def _desired(facts: Object) -> int:
    return int((facts.get("replicas") or {}).get("desired", 1))


def _selector(name: str) -> Object:
    return {"matchLabels": {"app": name}}


def _body(world: World, kind: str, name: str, facts: Object) -> Object:
    labels = {"app": name}
    if owner := facts.get("gitops_owner"):
        labels[_GITOPS[owner]] = "shop"
    said = facts.get("spec", {})
    notes = {_SPEC[field]: str(value) for field, value in said.items() if field in _SPEC}
    meta = {"name": name, "labels": labels, "annotations": notes}
    if kind == "PersistentVolumeClaim":
        return {"metadata": meta, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}},
            "storageClassName": _storage_class(world),
        }}  # fmt: skip
    extra, more = live_network.seat(facts)
    pod = idle_pod() | more
    if kind == "Pod":
        return {"metadata": {**meta, "labels": labels | extra}, "spec": pod}
    if kind == "Job":
        return {"metadata": meta, "spec": {"template": {
            "metadata": {"labels": {"app": name}, "annotations": {JOB_AFTER: "3600"}},
            "spec": {**pod, "restartPolicy": "Never"},
        }}}  # fmt: skip
    # A rollout that does not end: ready pods count only after an hour, and the emulator's become ready after one.
    rolling = facts.get("rolling_out")
    template = {
        "metadata": {"labels": {"app": name} | extra, "annotations": {READY_AFTER: "3600" if rolling else "0"}},
        "spec": pod,
    }
    spec: Object = {"selector": _selector(name), "template": template}
    if kind in _REPLICATED:
        spec["replicas"] = _desired(facts)
    if kind == "StatefulSet":
        spec["serviceName"] = name
    if kind == "DaemonSet" and said.get("strategy"):
        spec["updateStrategy"] = {"type": said["strategy"]}
        template["metadata"]["annotations"] |= {"akeso.dev/restarted": said["restarted"]} if said["restarted"] else {}
    if kind == "DaemonSet" and not _desired(facts):
        template["spec"]["nodeSelector"] = {"akeso.dev/nowhere": name}
    if rolling:
        spec["minReadySeconds"] = 3600
    if rolling and kind == "Deployment":
        spec["progressDeadlineSeconds"] = 7200
    if facts.get("paused"):
        spec["paused"] = True
    return {"metadata": meta, "spec": spec}


def _post(world: World, kind: str, body: Object) -> Object:
    return world.api.ok("POST", _PATHS[kind].format(world.place), body)


def _storage_class(world: World) -> str:
    """A class of a driver that is nowhere: what is asked about a claim is asked because it has one."""
    name = f"{world.home}-nowhere"
    path = "/apis/storage.k8s.io/v1/storageclasses"
    if not any(one["metadata"]["name"] == name for one in world.api.ok("GET", path)["items"]):
        made = {"metadata": {"name": name}, "provisioner": "akeso.test/nowhere", "volumeBindingMode":
                "WaitForFirstConsumer"}  # fmt: skip
        world.api.ok("POST", path, made)
        world.left.callback(world.api, "DELETE", f"{path}/{name}")
    return name


def _pods(world: World, kind: str, owner: Object, wanted: int) -> list[Object]:
    name = owner["metadata"]["name"]

    def there() -> list[Object]:
        found = world.api.ok("GET", _PATHS["Pod"].format(world.place), labelSelector=f"app={name}")["items"]
        settled = world.emulated or all(map(is_ready, found))  # a kubelet notes each step of a pod that starts
        return found if settled and len(found) >= wanted else []

    return until(there, f"{kind} {name} has no {wanted} pods that are ready")


def _leave(world: World, pod: Object) -> None:
    """Let the pod be on its way out and stay there."""
    name, path = pod["metadata"]["name"], f"{_PATHS['Pod'].format(world.place)}/{pod['metadata']['name']}"
    if world.emulated:
        world.emulated.pause()
        world.end.callback(world.emulated.resume)
        leaving = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
        world.emulated.store.patch(("Pod", world.place, name), leaving, manager="", trusted=True)
        return
    world.api.ok("PATCH", path, {"metadata": {"finalizers": ["akeso.dev/test"]}}, form=MERGE_PATCH)
    world.end.callback(world.api, "PATCH", path, {"metadata": {"finalizers": None}}, form=MERGE_PATCH)
    world.api.ok("DELETE", path)


def _ref(kind: str, found: Object) -> ObjectRef:
    meta = found["metadata"]
    return ObjectRef(kind=kind, namespace=meta.get("namespace", ""), name=meta["name"], uid=meta["uid"])


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
