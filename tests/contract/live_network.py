"""Makes a cluster look as if a network plug-in were there, or as if none were: what a DaemonSet of that name says.

It has no pods, enforces nothing, and is taken away again: a plug-in that was there before is left alone. Policies that
let traffic through to every pod are put beside it.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from tests.cluster.real import idle_pod
from tests.contract.live_world import World

Object = dict[str, Any]

_SETS, _NAME = "/apis/apps/v1/namespaces/kube-system/daemonsets", "calico-node"
_OURS = {"akeso.dev/test": "no-plug-in"}


def no_mirror(facts: Object) -> str:
    details = facts.get("details", {"network": {}})
    if not details.get("network") and "network" not in details:
        return "what is gone has no facts" if not details else "no test brings such details about"
    pods = details["network"].get("pods", ())
    return "only a kubelet makes mirror pods" if any(pod.get("mirror") for pod in pods) else ""


def enforce(world: World, facts: Object, made: ExitStack) -> None:
    """Let there be a plug-in, until the world ends, or none, until `made` does."""
    network = facts.get("details", {}).get("network")
    if network is None:
        return
    wanted, there = network.get("enforcer", "unknown") != "unknown", _there(world)
    if wanted and not there:
        _put(world)
        world.left.callback(world.api, "DELETE", f"{_SETS}/{_NAME}")
    elif there and not wanted:
        world.api.ok("DELETE", f"{_SETS}/{_NAME}")
        made.callback(_put, world)
    _open(world, network.get("open_by", ()), made)


def _open(world: World, names: Iterable[str], made: ExitStack) -> None:
    """Let these policies stand, and no other of ours."""
    policies = f"/apis/networking.k8s.io/v1/namespaces/{world.place}/networkpolicies"
    for old in world.api.ok("GET", policies, labelSelector="akeso.dev/test")["items"]:
        world.api.ok("DELETE", f"{policies}/{old['metadata']['name']}")
    for name in names:
        spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}
        world.api.ok("POST", policies, {"metadata": {"name": name, "labels": _OURS}, "spec": spec})
        made.callback(world.api, "DELETE", f"{policies}/{name}")


def seat(facts: Object) -> tuple[Object, Object]:
    """What the pods' labels and spec have beside the usual."""
    pods = (facts.get("details", {}).get("network") or {}).get("pods", ())
    labels = {key: text for pod in pods for key, text in pod.get("labels", {}).items() if key.startswith("akeso.dev/")}
    return labels, {"hostNetwork": True} if any(pod.get("host") for pod in pods) else {}


def _there(world: World) -> bool:
    found = world.api("GET", f"{_SETS}/{_NAME}")
    return bool(found.status == 200)


def _put(world: World) -> None:
    spec = idle_pod() | {"nodeSelector": {"akeso.dev/test": "nowhere"}}
    template = {"metadata": {"labels": _OURS}, "spec": spec}
    if _there(world):
        return
    if world.emulated and world.emulated.get("Namespace", "", "kube-system") is None:
        world.emulated.namespace("kube-system")
    world.api.ok("POST", _SETS, {
        "metadata": {"name": _NAME}, "spec": {"selector": {"matchLabels": _OURS}, "template": template},
    })  # fmt: skip
