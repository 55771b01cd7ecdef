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
        for kind in ("ReplicaSet", "StatefulSet"):
            for found in self._store.all(kind):
                owned = any(one.get("controller") for one in found["metadata"].get("ownerReferences") or [])
                if not owned and (found.get("spec") or {}).get("template"):  # without one it was only put there
                    self._fill(found, named=kind == "StatefulSet")

    def _fill(self, found: Object, *, named: bool) -> None:
        wanted = int(found["spec"].get("replicas", 1))
        theirs = self._pods.of(found)
        pods = self._pods.sick_last([aged for pod in theirs if (aged := self._pods.age(pod)) is not None])
        if named:
            pods.sort(key=_ordinal)
        for pod in pods[wanted:]:
            self._store.delete(key_of(pod))
        again = bool((found.get("status") or {}).get("replicas"))
        pods = pods[:wanted]
        taken = {pod["metadata"]["name"] for pod in theirs}
        free = [name for at in range(wanted) if (name := f"{found['metadata']['name']}-{at}") not in taken]
        for name in (free if named else [""] * wanted)[: wanted - len(pods)]:
            pods.append(self._pods.make(found, again=again, name=name))
        ready = sum(map(is_ready, pods))
        status = {"replicas": len(pods), "observedGeneration": found["metadata"]["generation"]}
        counts = {"readyReplicas": ready, "availableReplicas": ready} | (
            {"updatedReplicas": len(pods)} if named else {}
        )
        self._store.status(key_of(found), status | {name: count for name, count in counts.items() if count})


def _ordinal(pod: Object) -> tuple[int, str]:
    name = str(pod["metadata"]["name"])
    number = name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 1 << 30, name)
