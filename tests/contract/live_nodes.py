"""A live node that is as an example says, with pods that would have to leave it: made up, and never one of others.

Nobody else's pods come there, because it has a taint, and no kubelet is behind it: what is evicted is gone at once. On
a real cluster it is kept alive by somebody who speaks for its kubelet.
"""

import secrets
import threading
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from urllib3.exceptions import HTTPError

from shared import clock
from shared.dev.cluster_pods import READY_AFTER
from shared.model.facts import Facts
from tests.cluster.api import MERGE_PATCH, until
from tests.cluster.real import idle_pod
from tests.contract.live_world import World

Object = dict[str, Any]

_NODES, _TAINT = "/api/v1/nodes", "akeso.dev/test"
_STATUS_PATCH = "application/strategic-merge-patch+json"
_MADE = {"ReplicaSet": "/apis/apps/v1/namespaces/{}/deployments", "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
         "": "/api/v1/namespaces/{}/pods"}  # fmt: skip
_BEATS_S, _SOME = 3, 20


class Made(NamedTuple):
    name: str
    uid: str


def no_mirror(facts: Object) -> str:
    node = facts.get("details", {}).get("node")
    if node is None:
        return "what is gone has no facts" if "details" in facts else ""
    if node["in_cluster"]["schedulable"] < 2:
        return "no test takes the nodes of others away"
    if len(node.get("pods", ())) > _SOME:
        return "so many pods are not made"
    if any(pod["namespace"] != "shop" for pod in node.get("pods", ())):
        return "no test puts a pod where Akeso lives"
    return ""


def make(world: World, facts: Object, made: ExitStack) -> Made:
    """Make node and pods; `made` takes them away."""
    said = facts.get("details", {}).get("node", {})
    name = f"s-{secrets.token_hex(4)}"
    if world.emulated:
        for other in ("n1", "n2"):  # on which all else may run
            if world.emulated.get("Node", "", other) is None:
                world.emulated.node(other)
    labels = {"akeso.dev/autonomy": "auto", "kubernetes.io/hostname": name}
    labels |= {"karpenter.sh/nodepool": f"{said['pool']}-{name}"} if said.get("pool") else {}
    labels |= {"node-role.kubernetes.io/control-plane": ""} if said.get("control_plane") else {}
    taints = [{"key": _TAINT, "value": name, "effect": "NoSchedule"}]
    node = world.api.ok("POST", _NODES, {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}})
    path = f"{_NODES}/{name}"
    made.callback(world.api, "DELETE", path)
    _live(world, name, made, ready=said.get("ready", True))
    pods = said.get("pods", ()) if said.get("ready", True) else ()
    for pod in pods:
        _pod(world, name, pod, made)
    until(lambda: _count(world, name) >= len(pods), f"node {name} has not the pods of {facts}")
    if said.get("unschedulable"):
        world.api.ok("PATCH", path, {"spec": {"unschedulable": True}}, form=MERGE_PATCH)
    return Made(name, node["metadata"]["uid"])


def alike(facts: Object, live: Facts) -> bool:
    """Whether the cluster shows what was made."""
    wanted, seen = Facts.model_validate(facts).details.node, live.details.node
    if wanted is None or seen is None:
        return seen is not None
    return seen.ready == wanted.ready and seen.unschedulable == wanted.unschedulable


def _pod(world: World, node: str, said: Object, made: ExitStack) -> None:
    name, traits = f"s-{secrets.token_hex(4)}", said.get("traits", ())
    spec = idle_pod() | {"terminationGracePeriodSeconds": 0, "tolerations": [{"key": _TAINT, "operator": "Exists"}]}
    spec |= {"volumes": [{"name": "v", "emptyDir": {}}]} if "local" in traits else {}
    notes = {READY_AFTER: "0"} | ({"akeso.dev/protected": "true"} if "protected" in traits else {})
    meta: Object = {"labels": {"app": name}, "annotations": notes}
    owner = said.get("owner", "")
    body: Object = {"metadata": {"name": name, **meta}, "spec": spec | {"nodeName": node}}
    if owner:
        spec |= {"nodeSelector": {"kubernetes.io/hostname": node}}
        body = {"metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": {"app": name}}, "template": {"metadata": meta, "spec": spec},
        }}  # fmt: skip
    path = _MADE[owner].format(world.place)
    world.api.ok("POST", path, body)
    made.callback(world.api, "DELETE", f"{path}/{name}", {"propagationPolicy": "Background"})


def _count(world: World, node: str) -> int:
    return len(world.api.ok("GET", "/api/v1/pods", fieldSelector=f"spec.nodeName={node}")["items"])


def _live(world: World, name: str, made: ExitStack, *, ready: bool) -> None:
    """Speak for its kubelet, once; on a real cluster, which would lose it, until the end."""
    said = "True" if ready else "Unknown"
    if world.emulated:
        size = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        world.emulated.set_status("Node", "", name, {
            "capacity": size, "allocatable": size, "conditions": [{"type": "Ready", "status": said}],
        })  # fmt: skip
        return
    ended = threading.Event()

    def beat() -> None:
        while True:
            with suppress(HTTPError):  # one beat that is lost must not be the last
                _say(world, name, said)
            if ended.wait(_BEATS_S):
                return

    speaker = threading.Thread(target=beat, daemon=True)
    speaker.start()
    made.callback(speaker.join)
    made.callback(ended.set)
    until(lambda: len(_taints(world, name)) == 1 or not ready, f"node {name} keeps the taint of a new one")


def _say(world: World, name: str, ready: str) -> None:
    now, size = clock.iso(clock.now_ms()), {"cpu": "4", "memory": "8Gi", "pods": "110"}
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "Test",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    status = {"capacity": size, "allocatable": size, "conditions": [condition]}
    world.api("PATCH", f"{_NODES}/{name}/status", {"status": status}, form=_STATUS_PATCH)


def _taints(world: World, name: str) -> list[Object]:
    found: list[Object] = world.api.ok("GET", f"{_NODES}/{name}")["spec"].get("taints", [])
    return found
