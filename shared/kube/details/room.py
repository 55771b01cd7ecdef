"""How far a workload may grow where it is: what its namespace allows, and what the largest node could hold."""

from collections.abc import Iterable
from typing import Any, Final

from shared.kube.details import quota
from shared.kube.reader import Object, Reader
from shared.kube.shape import cpu, dicts, is_true, part, size
from shared.model.details import Largest, Left, Room
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "PersistentVolumeClaim")
RIGHTS: Final = (("", "limitranges", "list"), ("", "resourcequotas", "list"), ("", "nodes", "list"))

# A quota counts a resource under its old name too.
_COUNTED: Final[dict[str, tuple[quota.Read, tuple[str, ...]]]] = {
    "requests_cpu": (cpu, ("requests.cpu", "cpu")),
    "limits_cpu": (cpu, ("limits.cpu",)),
    "requests_memory": (size, ("requests.memory", "memory")),
    "limits_memory": (size, ("limits.memory",)),
    "storage": (size, ("requests.storage",)),
}


def look(kube: Reader, scope: Scope, found: Object) -> Room:  # noqa: ARG001  every detail has this shape
    ranges = [
        limit for one in kube.list("LimitRange", scope.namespace) for limit in dicts(part(one, "spec").get("limits"))
    ]
    quotas = quota.of(kube, scope.namespace)
    allocatable = [part(node, "status", "allocatable") for node in kube.list("Node") if _takes_pods(node)]
    return Room(
        container=_largest(_of(ranges, "Container"), min),
        pod=_largest(_of(ranges, "Pod"), min),
        claim=_best((size(top.get("storage")) for top in _of(ranges, "PersistentVolumeClaim")), min),
        left=Left(**{field: quota.left(quotas, *how) for field, how in _COUNTED.items()}),
        node=_largest(allocatable, max),
    )


def _takes_pods(node: Object) -> bool:
    return is_true(node, "Ready") and part(node, "spec").get("unschedulable") is not True


def _of(ranges: list[Object], kind: str) -> list[Object]:
    return [part(limit, "max") for limit in ranges if limit.get("type") == kind]


def _largest(of: list[Object], choose: Any) -> Largest:
    return Largest(
        cpu=_best((cpu(one.get("cpu")) for one in of), choose),
        memory=_best((size(one.get("memory")) for one in of), choose),
    )


def _best(values: Iterable[int | None], choose: Any) -> int | None:
    best: int | None = choose((value for value in values if value is not None), default=None)
    return best
