"""Good objects for the details, and a cluster that is only a table of them."""

import copy

from shared.model.facts import Scope

WEB = Scope(kind="Deployment", namespace="shop", name="web", uid="d-1")
DATA = Scope(kind="PersistentVolumeClaim", namespace="shop", name="data", uid="c-1")
N1 = Scope(kind="Node", name="n1", uid="n-1")


class Table:
    """Answers any list with all objects of the kind, and a get with the first: selectors are the server's business."""

    def __init__(self, objects):
        self.objects = objects

    def get(self, kind, _namespace, _name):
        return next(iter(self.list(kind)), None)

    def list(self, kind, _namespace="", *, limit=500, **_selectors):
        return [one for one in self.objects.get(kind, []) if isinstance(one, dict)][:limit]


def resources(cpu="100m", memory="64Mi", limit="128Mi"):
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def template(image="a"):
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": image, "resources": resources(), "resizePolicy": [
            {"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]},
    }  # fmt: skip


def deployment(image="a"):
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "d-1", "generation": 2},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template(image),
                 "progressDeadlineSeconds": 600},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "conditions": [
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
    }  # fmt: skip


def replicaset(number, image, *, made="2026-01-01T00:00:00Z", replicas=0, ready=0, owner="d-1", before=""):
    notes = {"deployment.kubernetes.io/revision": str(number)}
    if before:
        notes["deployment.kubernetes.io/revision-history"] = before
    whole = template(image)
    whole["metadata"]["labels"] = {"app": "web", "pod-template-hash": f"h{number}"}
    return {
        "metadata": {"name": f"web-{number}", "uid": f"r-{number}", "creationTimestamp": made, "annotations": notes,
                     "labels": {"app": "web"}, "namespace": "shop",
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner,
                                          "controller": True}]},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": whole},
        "status": {"replicas": replicas, "readyReplicas": ready},
    }  # fmt: skip


def pod(name="web-1", node="n1", *, owner="ReplicaSet", **spec):
    owners = [{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "o-1", "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"u-{name}", "labels": {"app": "web"},
                     "ownerReferences": owners},
        "spec": {"nodeName": node, "containers": [{"name": "app", "image": "a", "resources": resources()}], **spec},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            {"name": "app", "ready": True, "resources": resources(limit="256Mi"), "lastState": {"terminated": {
                "reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-01T00:00:00Z"}}}]},
    }  # fmt: skip


def node(name="n1", *, ready=True, cordoned=False, version="v1.34.1", cpu="4", memory="8Gi", **labels):
    return {
        "metadata": {"name": name, "uid": f"n-{name}", "labels": labels},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}], "nodeInfo": {"kubeletVersion": version},
                   "allocatable": {"cpu": cpu, "memory": memory}},
    }  # fmt: skip


def hpa(target="web"):
    return {
        "metadata": {"name": "web", "uid": "h-1", "labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "minReplicas": 2,
                 "maxReplicas": 5},
        "status": {"currentReplicas": 5, "desiredReplicas": 5, "conditions": [
            {"type": "ScalingActive", "status": "True"}, {"type": "AbleToScale", "status": "True"},
            {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"}]},
    }  # fmt: skip


def claim(**notes):
    return {
        "metadata": {"name": "data", "namespace": "shop", "uid": "c-1", "annotations": {
            f"akeso.dev/{key}": text for key, text in notes.items()}},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "storageClassName": "fast",
                 "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "conditions": [
            {"type": "FileSystemResizePending", "status": "True", "message": "wait for the pod"}]},
    }  # fmt: skip


def storage_class(*, expands=True):
    return {"metadata": {"name": "fast"}, "provisioner": "disk.example", "allowVolumeExpansion": expands}


def snapshot_class(name="snap", driver="disk.example", *, default=False):
    notes = {"snapshot.storage.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": notes}, "driver": driver, "deletionPolicy": "Delete"}


def limit_range(kind="Container", **most):
    return {"metadata": {"name": "l"}, "spec": {"limits": [{"type": kind, "max": most}]}}


def quota(hard, used=None, **spec):
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}


def cronjob(name="dump", task="backup", of="Deployment/web"):
    return {
        "metadata": {"name": name, "uid": f"j-{name}", "labels": {"akeso.dev/task": task},
                     "annotations": {"akeso.dev/for": of}},
        "spec": {"suspend": True, "schedule": "0 0 * * *", "jobTemplate": {}},
        "status": {"lastSuccessfulTime": "2026-01-01T00:00:00Z"},
    }  # fmt: skip


def created(name, task, of="PersistentVolumeClaim/data"):
    return {
        "metadata": {"name": name, "labels": {"akeso.dev/task": task}, "creationTimestamp": "2026-01-01T00:00:00Z",
                     "annotations": {"akeso.dev/for": of, "akeso.dev/made-by": "a-1"}},
        "spec": {}, "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
    }  # fmt: skip


def everything():
    """One good object of each kind that a detail looks at."""
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}]
    return {
        "Pod": [pod(volumes=volumes, priority=5, priorityClassName="low")],
        "Node": [node()], "ReplicaSet": [replicaset(2, "a", replicas=2, ready=2), replicaset(1, "b")],
        "HorizontalPodAutoscaler": [hpa()], "StorageClass": [storage_class()],
        "VolumeSnapshotClass": [snapshot_class()], "LimitRange": [limit_range(cpu="2", memory="1Gi")],
        "ResourceQuota": [quota({"pods": "9"}, scopes=["NotBestEffort"])],
        "CronJob": [cronjob(), cronjob("gc", "cleanup", "PersistentVolumeClaim/data")],
        "DaemonSet": [{"metadata": {"name": "calico-node"}}],
        "Job": [created("akeso-cleanup-1", "cleanup")], "VolumeSnapshot": [created("akeso-backup-1", "backup")],
    }  # fmt: skip


def scopes():
    return [(WEB, deployment()), (DATA, claim(paths="/data/tmp")), (N1, node())]


def broken(value, junk):
    """The same value with junk, one after the other, in the place of each of its parts."""
    yield junk
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for other in broken(part, junk):
            whole = copy.copy(value)
            whole[key] = other
            yield whole
