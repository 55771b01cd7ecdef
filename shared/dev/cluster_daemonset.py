"""DaemonSets of the emulated cluster: a pod on each node that takes it, replaced a few at a time.

As on a real one a rollout stops by itself once as many pods are not ready as may be: the next is replaced when one of
them is. No surge, no affinity.
"""

import hashlib
import math
from typing import Any, Final

from shared.dev import cluster_nodes
from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_pods import Pods, key_of
from shared.dev.cluster_store import Object, Store
from shared.model.base import canonical

HASH: Final = "controller-revision-hash"


class DaemonSets:
    def __init__(self, store: Store, pods: Pods) -> None:
        self._store, self._pods = store, pods

    def tick(self) -> None:
        for found in self._store.all("DaemonSet"):
            self._daemonset(found)

    def _daemonset(self, found: Object) -> None:
        spec = found["spec"]
        hashed = hashlib.sha256(canonical(spec["template"])).hexdigest()[:10]
        nodes = cluster_nodes.fit(self._store, spec["template"].get("spec") or {})
        pods: dict[str, Object] = {}
        for pod in self._pods.of(found):
            if (aged := self._pods.age(pod)) is None:
                continue
            node = aged["spec"].get("nodeName", "")
            if node in pods or node not in nodes:
                self._store.delete(key_of(aged))
            else:
                pods[node] = aged
        again = bool((found.get("status") or {}).get("currentNumberScheduled"))
        for node in nodes:
            if node not in pods:
                pods[node] = self._pods.make(found, again=again, node=node, labels={HASH: hashed})
        for node in self._leaving(spec, hashed, pods):
            self._store.delete(key_of(pods.pop(node)))
        ready = sum(map(is_ready, pods.values()))
        updated = sum(_is_new(pod, hashed) for pod in pods.values())
        status = {"desiredNumberScheduled": len(nodes), "currentNumberScheduled": len(pods), "numberReady": ready,
                  "numberMisscheduled": 0, "observedGeneration": found["metadata"]["generation"]}  # fmt: skip
        more = {"updatedNumberScheduled": updated, "numberAvailable": ready, "numberUnavailable": len(nodes) - ready}
        self._store.status(key_of(found), status | {name: count for name, count in more.items() if count})

    @staticmethod
    def _leaving(spec: Object, hashed: str, pods: dict[str, Object]) -> list[str]:
        """Nodes whose old pod goes now: the sick ones at once, of the others as many as may be missing."""
        strategy = spec.get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return []
        most = _share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(pods))
        old = [node for node in sorted(pods) if not _is_new(pods[node], hashed)]
        sick = [node for node in old if not is_ready(pods[node])]
        room = most - sum(not is_ready(pod) for pod in pods.values())
        return [*sick, *[node for node in old if node not in sick][: max(0, room)]]


def _is_new(pod: Object, hashed: str) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(HASH) == hashed)


def _share(value: Any, whole: int) -> int:
    return math.ceil(int(value[:-1]) * whole / 100) if isinstance(value, str) else int(value)
