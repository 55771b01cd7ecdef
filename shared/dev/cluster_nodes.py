"""Where the emulated pods run: on the nodes that there are, or in a cluster without any on a made-up one."""

from typing import Any, Final

from shared.dev.cluster_store import Object, Store

ANYWHERE: Final = "emulated"  # a pod that nobody has scheduled would be gone at once when it is deleted
_LOST: Final = frozenset({"False", "Unknown"})
_KEEPS_OFF: Final = frozenset({"NoSchedule", "NoExecute"})


def choose(store: Store, spec: Object) -> str:
    """The node with the fewest pods of those that would take the pod; "" if none does, and it has to wait."""
    nodes = store.all("Node")
    fit = [node["metadata"]["name"] for node in nodes if takes(node, spec) and not _cordoned(node) and _ready(node)]
    if not nodes:
        return ANYWHERE
    placed = [(pod.get("spec") or {}).get("nodeName") for pod in store.all("Pod")]
    return min(fit, key=lambda name: (placed.count(name), name), default="")


def there(store: Store, name: str) -> bool:
    """Whether pods that are bound to it are run by anybody."""
    return name == ANYWHERE or store.find("Node", "", name) is not None


def fit(store: Store, spec: Object) -> list[str]:
    """The nodes on which a pod may be, cordoned and lost ones as well."""
    nodes = store.all("Node")
    return [node["metadata"]["name"] for node in nodes if takes(node, spec)] if nodes else [ANYWHERE]


def takes(node: Object, spec: Object) -> bool:
    """Whether the pod may be there at all: its node selector and the node's taints, but no affinity."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    taints = [one for one in (node.get("spec") or {}).get("taints") or [] if one.get("effect") in _KEEPS_OFF]
    return all(any(_tolerates(one, taint) for one in spec.get("tolerations") or []) for taint in taints)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key", "") in {"", taint["key"]}
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _cordoned(node: Object) -> Any:
    return (node.get("spec") or {}).get("unschedulable")


def _ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return not any(one["type"] == "Ready" and one["status"] in _LOST for one in conditions)
