"""The objects that the stories are about: as small as the API takes them."""

from typing import Any, Final

# kubectl's and other people's pods: nobody schedules them, so they stay as they were made.
POD: Final = {"schedulerName": "nobody", "containers": [{"name": "app", "image": "registry.example/app:1"}]}
PDB: Final = "poddisruptionbudgets"


def configmap(name: str = "c", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data or {"a": "1"}}


def pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {"app": "p"}}, "spec": {**POD, **spec}}


def deployment(name: str = "web", replicas: int = 0, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": POD}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"metadata": {"name": name, "labels": {"team": "a"}}, "spec": spec}


def replicaset(name: str = "rs", replicas: int = 2) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "p"}}, "spec": POD}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "p"}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def budget(name: str = "b", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "p"}}, **spec}}


def autoscaler(name: str = "h") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}}


def eviction(name: str = "p", **options: Any) -> dict[str, Any]:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return {**body, "deleteOptions": options} if options else body
