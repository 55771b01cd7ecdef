"""The kinds that Akeso reads or writes, and where the API keeps them: so no process ever asks for discovery.

The emulated API serves exactly this table. Names come from alert labels, so they are checked before they become part
of a URL: a client library would fold `..` into another path.
"""

import re
from typing import Final, NamedTuple

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


class Kind(NamedTuple):
    api: str  # "v1" or "<group>/<version>"
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api.rpartition("/")[0]

    @property
    def root(self) -> str:
        return f"/apis/{self.api}" if "/" in self.api else f"/api/{self.api}"


KINDS: Final[dict[str, Kind]] = {
    "Namespace": Kind("v1", "namespaces", namespaced=False),
    "Node": Kind("v1", "nodes", namespaced=False),
    "Pod": Kind("v1", "pods"),
    "ConfigMap": Kind("v1", "configmaps"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "Event": Kind("v1", "events"),
    "LimitRange": Kind("v1", "limitranges"),
    "ResourceQuota": Kind("v1", "resourcequotas"),
    "Deployment": Kind("apps/v1", "deployments"),
    "ReplicaSet": Kind("apps/v1", "replicasets"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "DaemonSet": Kind("apps/v1", "daemonsets"),
    "Job": Kind("batch/v1", "jobs"),
    "CronJob": Kind("batch/v1", "cronjobs"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "StorageClass": Kind("storage.k8s.io/v1", "storageclasses", namespaced=False),
    "VolumeSnapshot": Kind("snapshot.storage.k8s.io/v1", "volumesnapshots"),  # only where a snapshot controller is
    "VolumeSnapshotClass": Kind("snapshot.storage.k8s.io/v1", "volumesnapshotclasses", namespaced=False),
    "RemediationPolicy": Kind("akeso.dev/v1", "remediationpolicies"),
}


def addressable(kind: str, namespace: str, name: str) -> bool:
    """Whether such an object could exist: a known kind, valid names, a namespace exactly where the kind has one."""
    known = KINDS.get(kind)
    if known is None or _NAME.fullmatch(name) is None:
        return False
    return _NAME.fullmatch(namespace) is not None if known.namespaced else not namespace


def collection(kind: str, namespace: str = "") -> str:
    """URL path of all objects of a kind, in one namespace or in all. KeyError, ValueError: there is no such place."""
    known = KINDS[kind]
    if not namespace:
        return f"{known.root}/{known.plural}"
    if not known.namespaced or _NAME.fullmatch(namespace) is None:
        raise ValueError(f"{kind} has no namespace {namespace[:64]!r}")
    return f"{known.root}/namespaces/{namespace}/{known.plural}"


def address(kind: str, namespace: str, name: str) -> str:
    """URL path of one object. Raises ValueError unless it is `addressable`."""
    if not addressable(kind, namespace, name):
        raise ValueError(f"no such address: {kind[:64]} {namespace[:64]!r} {name[:64]!r}")
    return f"{collection(kind, namespace)}/{name}"
