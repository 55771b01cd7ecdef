"""What a story puts into a cluster, the same on the emulated one and on a real one.

It must only say what is put: how, and what then has to be waited for, is each cluster's own.
"""

from typing import Any

Object = dict[str, Any]


class Seeds:
    def put(self, kind: str, namespace: str, body: Object, *, manager: str = "seed") -> Object:
        raise NotImplementedError

    def node(
        self, name: str, labels: dict[str, str] | None = None, *, ready: bool = True, pressure: str = "",
        cpu: str = "4", memory: str = "8Gi", version: str = "v1.36.0", taints: tuple[Object, ...] = (),
    ) -> Object:  # fmt: skip
        """`pressure`: a condition that is true of it, as MemoryPressure. A real cluster says a node's status itself."""
        size = {"cpu": cpu, "memory": memory, "pods": "110"}
        said = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
        said += [{"type": pressure, "status": "True"}] if pressure else []
        return self.put("Node", "", {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | (labels or {})},
            "spec": {"taints": list(taints)} if taints else {},
            "status": {"capacity": size, "allocatable": size, "conditions": said,
                       "nodeInfo": {"kubeletVersion": version}},
        })  # fmt: skip

    def daemonset(self, namespace: str, name: str, *, image: str = "", most_unavailable: int | str = 1) -> Object:
        container = {"name": "app", "image": image or f"registry.example/{name}:1"}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most_unavailable}}
        return self.put("DaemonSet", namespace, {"metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": {"app": name}}, "template": template, "updateStrategy": rolling,
        }})  # fmt: skip

    def job(self, namespace: str, name: str, annotations: dict[str, str] | None = None) -> Object:
        return self.put("Job", namespace, {"metadata": {"name": name}, "spec": job_spec(annotations)})

    def cronjob(self, namespace: str, name: str, annotations: dict[str, str] | None = None) -> Object:
        """One that never comes by itself: only its template is of use."""
        spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job_spec(annotations)}}
        return self.put("CronJob", namespace, {"metadata": {"name": name}, "spec": spec})

    def storage_class(self, name: str, *, grows: bool = True) -> Object:
        body = {"metadata": {"name": name}, "provisioner": "storage.example", "allowVolumeExpansion": grows}
        return self.put("StorageClass", "", body)

    def claim(
        self, namespace: str, name: str, size: str = "1Gi", storage_class: str = "",
        annotations: dict[str, str] | None = None,
    ) -> Object:  # fmt: skip
        """A claim that has its volume already, where the cluster can be told so."""
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
        return self.put("PersistentVolumeClaim", namespace, {
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {**spec, "resources": {"requests": {"storage": size}}},
            "status": {"phase": "Bound", "capacity": {"storage": size}},
        })  # fmt: skip

    def configmap(self, namespace: str, name: str, data: dict[str, str]) -> Object:
        return self.put("ConfigMap", namespace, {"metadata": {"name": name}, "data": data})

    def hpa(self, namespace: str, name: str, target: str, kind: str = "Deployment") -> Object:
        spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}, "maxReplicas": 10}
        return self.put("HorizontalPodAutoscaler", namespace, {"metadata": {"name": name}, "spec": spec})

    def pdb(self, namespace: str, name: str, labels: dict[str, str], *, min_available: int) -> Object:
        spec = {"minAvailable": min_available, "selector": {"matchLabels": labels}}
        return self.put("PodDisruptionBudget", namespace, {"metadata": {"name": name}, "spec": spec})


def job_spec(annotations: dict[str, str] | None = None) -> Object:
    container = {"name": "app", "image": "registry.example/job:1"}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {"template": {"metadata": {"annotations": annotations or {}}, "spec": pod}}
