"""A node, its pool, and what would have to leave it: everything that a drain must know before it begins."""

from typing import Any, Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import (
    MIRROR,
    conditions,
    controller,
    dicts,
    is_true,
    marks,
    meta,
    name,
    number,
    part,
    strings,
    within,
    word,
)
from shared.model.details import Node, NodePod, Nodes, Trait
from shared.model.facts import OVER, Scope
from shared.model.protected import BUILT_IN, PROTECTED

KINDS: Final = ("Node",)
RIGHTS: Final = (("", "nodes", "list"), ("", "pods", "list"))

_PODS, _ROOM, _TAINTS, _CONDITIONS = 110, 36_000, 16, 16
# What providers call the group of nodes that are made and replaced together; the type of machine where nobody says.
_POOLS: Final = (
    "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool", "karpenter.sh/nodepool", "kops.k8s.io/instancegroup",
    "doks.digitalocean.com/node-pool", "node.kubernetes.io/instance-type",
)  # fmt: skip
_CONTROL: Final = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_CRITICAL: Final = frozenset({"system-node-critical", "system-cluster-critical"})
_CRITICAL_FROM = 2_000_000_000


def look(kube: Reader, scope: Scope, found: Object) -> Node:
    pods = pods_on(kube, scope.name)
    nodes, pool = kube.list("Node"), _pool(found)
    kept = within(pods, _PODS, _ROOM)
    return Node(
        ready=is_true(found, "Ready"),
        unschedulable=_cordoned(found),
        control_plane=not _CONTROL.isdisjoint(strings(meta(found).get("labels"))),
        taints=tuple(name(taint.get("key")) for taint in dicts(part(found, "spec").get("taints"))[:_TAINTS]),
        conditions=conditions(found, _CONDITIONS),
        pool=pool,
        kubelet=word(part(found, "status", "nodeInfo").get("kubeletVersion")),
        in_pool=_count([node for node in nodes if _pool(node) == pool]),
        in_cluster=_count(nodes),
        pods=kept,
        more=len(kept) < len(pods),
    )


def pods_on(kube: Reader, node: str) -> list[NodePod]:
    """One page of the pods of that node, by namespace and name."""
    return [_pod(pod) for pod in sorted(kube.list("Pod", fields=f"spec.nodeName={node}"), key=_name)]


def _cordoned(node: Object) -> bool:
    return part(node, "spec").get("unschedulable") is True


def _pool(node: Object) -> str:
    labels = strings(meta(node).get("labels"))
    return next((word(labels[key])[:63] for key in _POOLS if labels.get(key)), "")


def _count(nodes: list[Object]) -> Nodes:
    ready = [node for node in nodes if is_true(node, "Ready")]
    return Nodes(all=len(nodes), ready=len(ready), schedulable=sum(not _cordoned(node) for node in ready))


def _name(pod: Object) -> tuple[str, str]:
    return name(meta(pod).get("namespace")), name(meta(pod).get("name"))


def _pod(pod: Object) -> NodePod:
    namespace, called = _name(pod)
    owner = word(controller(pod).get("kind"))
    return NodePod(
        namespace=namespace, name=called, uid=name(meta(pod).get("uid")), owner=owner, traits=_traits(pod, owner)
    )


def _traits(pod: Object, owner: str) -> tuple[Trait, ...]:
    spec = part(pod, "spec")
    mirror = MIRROR in marks(pod)
    had: dict[Trait, Any] = {
        "mirror": mirror,
        "daemonset": owner == "DaemonSet",
        "local": any("emptyDir" in volume for volume in dicts(spec.get("volumes"))),
        "unmanaged": not owner and not mirror,
        "critical": name(spec.get("priorityClassName")) in _CRITICAL or number(spec.get("priority")) >= _CRITICAL_FROM,
        "protected": name(meta(pod).get("namespace")) in BUILT_IN or PROTECTED in marks(pod),
        "over": word(part(pod, "status").get("phase")) in OVER,
        "leaving": "deletionTimestamp" in meta(pod),
    }
    return tuple(trait for trait, has in had.items() if has)
