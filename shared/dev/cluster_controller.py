"""The controllers of the emulated cluster, in one tick: it brings everything as far as its clock allows.

They write to the store, never by HTTP, so nothing of it counts as somebody's write. What a test may ask of them is said
in annotations, see `cluster_pods`, `cluster_job` and `cluster_storage`.
"""

from typing import Final

from shared.dev import cluster_budget, cluster_delete, cluster_storage
from shared.dev.cluster_daemonset import DaemonSets
from shared.dev.cluster_deployment import Deployments
from shared.dev.cluster_job import Jobs
from shared.dev.cluster_pods import Pods, key_of
from shared.dev.cluster_replicas import Replicas
from shared.dev.cluster_store import Object, Store

_OWNERS: Final = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "CronJob", "Job")


class Controller:
    def __init__(self, store: Store) -> None:
        self._store = store
        pods = Pods(store)
        self._kinds = (Deployments(store, pods), Replicas(store, pods), DaemonSets(store, pods), Jobs(store, pods))

    def tick(self) -> None:
        with self._store.lock:
            self._collect()
            for kind in self._kinds:
                kind.tick()
            cluster_storage.tick(self._store)
            cluster_budget.count(self._store)

    def _collect(self) -> None:
        """End what is on its way out, then what nobody owns any more."""
        cluster_delete.end(self._store)
        while orphans := self._orphans():
            for orphan in orphans:
                self._store.delete(key_of(orphan))

    def _orphans(self) -> list[Object]:
        everything = self._store.everything()
        alive = {found["metadata"]["uid"] for key, found in everything.items() if key[0] in _OWNERS}
        return [
            found
            for found in everything.values()
            if any(one["kind"] in _OWNERS and one["uid"] not in alive
                   for one in found["metadata"].get("ownerReferences") or [])
        ]  # fmt: skip
