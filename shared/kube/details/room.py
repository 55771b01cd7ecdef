"""How far a workload may grow where it is: what its namespace allows, and what the largest node could hold."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import cpu, dicts, part, size
from shared.model.details import Largest, Left, Room
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "PersistentVolumeClaim")
RIGHTS: Final = (("", "limitranges", "list"), ("", "resourcequotas", "list"), ("", "nodes", "list"))

Read = Callable[[Any], int | None]

# A quota counts a resource under its old name too.
_COUNTED: Final[dict[str, tuple[Read, tuple[str, ...]]]] = {
    "requests_cpu": (cpu, ("requests.cpu", "cpu")),
    "limits_cpu": (cpu, ("limits.cpu",)),
    "requests_memory": (size, ("requests.memory", "memory")),
    "limits_memory": (size, ("limits.memory",)),
    "pods": (size, ("pods", "count/pods")),
    "storage": (size, ("requests.storage",)),
}
# Such a quota is not about what runs for long and asks for something; the API server judges by it all the same.
_OTHERS: Final = frozenset({"BestEffort", "Terminating", "PriorityClass"})


def look(kube: Reader, scope: Scope, found: Object) -> Room:  # noqa: ARG001  every detail has this shape
    ranges = [
        limit for one in kube.list("LimitRange", scope.namespace) for limit in dicts(part(one, "spec").get("limits"))
    ]
    quotas = [one for one in kube.list("ResourceQuota", scope.namespace) if not _elsewhere(one)]
    nodes = [node for node in kube.list("Node") if part(node, "spec").get("unschedulable") is not True]
    allocatable = [part(node, "status", "allocatable") for node in nodes]
    return Room(
        container=_largest(_of(ranges, "Container"), min),
        pod=_largest(_of(ranges, "Pod"), min),
        claim=_best((size(top.get("storage")) for top in _of(ranges, "PersistentVolumeClaim")), min),
        left=Left(**{field: _left(quotas, *how) for field, how in _COUNTED.items()}),
        denies_all=any(size(_hard(one).get(pods)) == 0 for one in quotas for pods in ("pods", "count/pods")),
        node=_largest(allocatable, max),
    )


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


def _hard(quota: Object) -> Object:
    """What counts is the spec: the status follows it, and is where the use stands."""
    return part(quota, "spec", "hard") or part(quota, "status", "hard")


def _left(quotas: list[Object], read: Read, names: tuple[str, ...]) -> int | None:
    left = []
    for quota in quotas:
        for one in names:
            hard, used = read(_hard(quota).get(one)), read(part(quota, "status", "used").get(one))
            if hard is not None:
                left.append(hard - (used or 0))
    return min(left, default=None)


def _elsewhere(quota: Object) -> bool:
    spec = part(quota, "spec")
    scopes = spec.get("scopes")
    named = {one for one in scopes if isinstance(one, str)} if isinstance(scopes, list) else set()
    expressions = dicts(part(spec, "scopeSelector").get("matchExpressions"))
    named |= {
        "priority" if one.get("scopeName") == "PriorityClass" else str(one.get("scopeName")) for one in expressions
    }
    return bool(named & (_OTHERS | {"priority"}))
