"""What a story puts into a cluster, the same on the emulated one and on a real one.

It must only say what is put: how, and what then has to be waited for, is each cluster's own.
"""

from typing import Any

Object = dict[str, Any]


class Seeds:
    def put(self, kind: str, namespace: str, body: Object, *, manager: str = "seed") -> Object:
        raise NotImplementedError

    def node(self, name: str, labels: dict[str, str] | None = None) -> Object:
        return self.put("Node", "", {"metadata": {"name": name, "labels": labels or {}}, "spec": {}})

    def configmap(self, namespace: str, name: str, data: dict[str, str]) -> Object:
        return self.put("ConfigMap", namespace, {"metadata": {"name": name}, "data": data})

    def hpa(self, namespace: str, name: str, target: str, kind: str = "Deployment") -> Object:
        spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}, "maxReplicas": 10}
        return self.put("HorizontalPodAutoscaler", namespace, {"metadata": {"name": name}, "spec": spec})

    def pdb(self, namespace: str, name: str, labels: dict[str, str], *, min_available: int) -> Object:
        spec = {"minAvailable": min_available, "selector": {"matchLabels": labels}}
        return self.put("PodDisruptionBudget", namespace, {"metadata": {"name": name}, "spec": spec})
