"""StatefulSets, and ReplicaSets without a Deployment, of the emulated cluster: so many pods as they want.

A StatefulSet's pods keep their names, and a name is free only when the pod before has gone; they come all at once.
Neither rolls anything out: a new template is for the pods that come after it.
"""

from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_pods import Pods, key_of
from shared.dev.cluster_store import Object, Store


class Replicas:
    def __init__(self, store: Store, pods: Pods) -> None:
        self._store, self._pods = store, pods

    def tick(self) -> None:
        for found in self._store.all("ReplicaSet"):
            if _stands_alone(found):
                self._count(found, self._pods.fill(found, _wanted(found), again=_had_all(found)))
        for found in self._store.all("StatefulSet"):
            if _stands_alone(found):
                pods = self._named(found)
                self._count(found, pods, updatedReplicas=len(pods))

    def _named(self, found: Object) -> list[Object]:
        """The pods of the lowest numbers; those that are missing are made where the name is free."""
        wanted, theirs = _wanted(found), self._pods.of(found)
        pods = sorted((aged for pod in theirs if (aged := self._pods.age(pod)) is not None), key=_ordinal)
        for pod in pods[wanted:]:
            self._store.delete(key_of(pod))
        taken = {pod["metadata"]["name"] for pod in theirs}
        free = [name for at in range(wanted) if (name := f"{found['metadata']['name']}-{at}") not in taken]
        missing = free[: max(0, wanted - len(pods))]
        return [*pods[:wanted], *(self._pods.make(found, again=_had_all(found), name=name) for name in missing)]

    def _count(self, found: Object, pods: list[Object], **more: int) -> None:
        ready = sum(map(is_ready, pods))
        status = {"replicas": len(pods), "observedGeneration": found["metadata"]["generation"]}
        counts = {"readyReplicas": ready, "availableReplicas": ready, **more}
        self._store.status(key_of(found), status | {name: count for name, count in counts.items() if count})


def _stands_alone(found: Object) -> bool:
    """Nobody else fills it; without a template it was only put there."""
    owned = any(one.get("controller") for one in found["metadata"].get("ownerReferences") or [])
    return not owned and bool((found.get("spec") or {}).get("template"))


def _wanted(found: Object) -> int:
    return int(found["spec"].get("replicas", 1))


def _had_all(found: Object) -> bool:
    return bool((found.get("status") or {}).get("replicas"))


def _ordinal(pod: Object) -> tuple[int, str]:
    name = str(pod["metadata"]["name"])
    number = name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 1 << 30, name)
