"""How many pods a namespace lets be made beside those that are there: where none may, what goes does not come back."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from shared.kube.reader import Object, Reader
from shared.kube.shape import dicts, part, size
from shared.model.details import Quota
from shared.model.facts import Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "PersistentVolumeClaim")
RIGHTS: Final = (("", "resourcequotas", "list"),)

Read = Callable[[Any], int | None]

_PODS: Final = ("pods", "count/pods")
# Such a quota is not about what runs for long and asks for something; the API server judges by it all the same.
_OTHERS: Final = frozenset({"BestEffort", "Terminating", "PriorityClass"})


def look(kube: Reader, scope: Scope, found: Object) -> Quota:  # noqa: ARG001  every detail has this shape
    quotas = of(kube, scope.namespace)
    # Where a quota allows none at all it is about those that are to come, however many it has counted by now.
    shut = any(size(_hard(one).get(name)) == 0 for one in quotas for name in _PODS)
    pods = left(quotas, size, _PODS)
    return Quota(pods=min(pods, -1) if shut and pods is not None else pods)


def of(kube: Reader, namespace: str) -> list[Object]:
    """The quotas of a namespace that are about all pods."""
    return [one for one in kube.list("ResourceQuota", namespace) if not _elsewhere(one)]


def left(quotas: list[Object], read: Read, names: Iterable[str]) -> int | None:
    """The least that any of them leaves of what is counted under these names; None where none counts it."""
    found = []
    for quota in quotas:
        for one in names:
            hard, used = read(_hard(quota).get(one)), read(part(quota, "status", "used").get(one))
            if hard is not None:
                found.append(hard - (used or 0))
    return min(found, default=None)


def _hard(quota: Object) -> Object:
    """What counts is the spec: the status follows it, and is where the use stands."""
    return part(quota, "spec", "hard") or part(quota, "status", "hard")


def _elsewhere(quota: Object) -> bool:
    spec = part(quota, "spec")
    scopes = spec.get("scopes")
    named = {one for one in scopes if isinstance(one, str)} if isinstance(scopes, list) else set()
    expressions = dicts(part(spec, "scopeSelector").get("matchExpressions"))
    named |= {
        "priority" if one.get("scopeName") == "PriorityClass" else str(one.get("scopeName")) for one in expressions
    }
    return bool(named & (_OTHERS | {"priority"}))
