"""What kind of trouble an alert is about, and which object it names: from its name and labels only, never its prose.

An alert that names nothing, or two things at once, names nothing: a wrong patient is worse than a person at work.
"""

import re
from collections.abc import Sequence
from typing import Final

from shared.event.types import Alert
from shared.model.base import sha256
from shared.model.facts import ObjectRef

# The first pattern that matches the whole alert name wins, so the narrower ones stand first.
FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    (r"Watchdog|DeadMansSwitch", "watchdog"),
    (r"Akeso.*", "akeso"),
    (r".*(Security|Threat|Malware|Intrusion|Privilege|Exfiltration).*", "security"),
    (r".*Crash-?[Ll]oop.*", "crash-loop"),
    (r"(Kube)?Node.*|Kubelet.*", "node"),
    (r"Kube(CPU|Mem|Memory)(Quota)?Overcommit|KubeQuota.*", "capacity"),
    (r"KubeHpa.*", "autoscaler"),
    (r".*(PersistentVolume|PVC|Disk|Storage|Inode).*", "storage"),
    (r".*(RolloutStuck|GenerationMismatch|NotRolledOut)|DeploymentFailure.*", "rollout"),
    (r".*(ReplicasMismatch|BelowMinimum)", "replicas"),
    (r".*PodNotReady|KubeContainerWaiting", "pod-not-ready"),
    (r"KubeJob.*", "job"),
    (r".*(Memory|OOM).*", "memory"),
    (r".*(CPU|Cpu).*", "cpu"),
    (r".*(Network|Connectivity|DNS).*", "network"),
)
_TABLE = tuple((re.compile(pattern), name) for pattern, name in FAMILIES)

# Families that Akeso itself gives; no alert may claim them by its name.
_RESERVED = frozenset({"manual", "storm", "unknown"})
_SLUG_LENGTH = 48
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Labels that Prometheus adds about the exporter that was scraped. Where the metric brought its own it keeps them as
# `exported_*`, and the plain ones then tell nothing about the patient.
_TARGET = frozenset({"namespace", "pod", "container", "service", "endpoint", "instance", "node", "job"})

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME = 253
_NAMESPACE = re.compile(_LABEL)
_MAX_NAMESPACE = 63
_MAX_GENERATED = 58  # what Kubernetes keeps of the owner's name and a dash before its random suffix

_WORKLOADS: Final = (
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("job_name", "Job"),
)
_SCALER: Final = "horizontalpodautoscaler"


def family(alert: Alert) -> str:
    """Lower-case ASCII, at most 64 characters; a name without a family of its own becomes its own slug."""
    name = alert.labels.get("alertname", "")
    for pattern, found in _TABLE:
        if pattern.fullmatch(name):
            return found
    return _slug(name)


def _slug(name: str) -> str:
    if not name:
        return "unknown"
    slug = re.sub(r"[^a-z0-9]+", "-", _HUMP.sub("-", name).lower()).strip("-")
    if not name.isascii() or len(slug) > _SLUG_LENGTH or not slug:
        # What was left out must still tell two names apart.
        slug = f"{slug[:_SLUG_LENGTH].strip('-') or 'alert'}-{sha256(name)[:8]}"
    return f"alert-{slug}" if slug in _RESERVED else slug


def is_watchdog(alert: Alert) -> bool:
    """Whether this is the alert that always fires, and tells by its silence that no other could."""
    return family(alert) == "watchdog"


def is_own(alert: Alert, *, home: str = "akeso-system") -> bool:
    """About Akeso itself (its namespace is `home`): for people only, because the patient is not its own doctor."""
    spaces = (alert.labels.get("namespace"), alert.labels.get("exported_namespace"))
    return home in spaces or alert.labels.get("alertname", "").startswith("Akeso")


def named_object(alert: Alert) -> ObjectRef | None:
    """Find the one object that the labels name, by what the family is about; None for none or a contradiction."""
    labels = _own_labels(alert)
    kind = family(alert)
    if kind == "node":
        host = labels.get("node") or labels.get("instance", "").rpartition(":")[0] or labels.get("instance", "")
        return ObjectRef(kind="Node", name=host) if _is_name(host) else None
    namespace = labels.get("namespace", "")
    if len(namespace) > _MAX_NAMESPACE or not _NAMESPACE.fullmatch(namespace):
        return None
    pod = [("Pod", labels["pod"])] if "pod" in labels else []
    claims = {labels[label] for label in ("persistentvolumeclaim", "pvc") if label in labels}
    claim = [("PersistentVolumeClaim", name) for name in sorted(claims)]
    workload = [(found, labels[label]) for label, found in _WORKLOADS if label in labels]
    groups: Sequence[list[tuple[str, str]]]
    if kind == "storage":
        groups = (claim, pod, workload)
    elif kind == "autoscaler":
        scaler = [("HorizontalPodAutoscaler", labels[label]) for label in (_SCALER,) if label in labels]
        groups = (workload, scaler, pod, claim)
    elif kind in ("replicas", "rollout", "job"):
        groups = (workload, pod, claim)
    else:
        groups = (pod, workload, claim)
    chosen = next((group for group in groups if group), [])
    if len(chosen) != 1 or not _is_name(chosen[0][1]):
        return None
    if chosen is pod and not all(_may_own(owner, pod[0][1]) for _, owner in workload):
        return None
    return ObjectRef(kind=chosen[0][0], namespace=namespace, name=chosen[0][1])


def _own_labels(alert: Alert) -> dict[str, str]:
    labels = {name: value for name, value in alert.labels.items() if value}
    exported = {name.removeprefix("exported_"): value for name, value in labels.items() if name.startswith("exported_")}
    if not exported.keys() & _TARGET:
        return labels | exported
    exporter = _TARGET if "namespace" in exported else _TARGET - {"namespace"}
    return {name: value for name, value in labels.items() if name not in exporter} | exported


def _is_name(text: str) -> bool:
    """RFC 1123 subdomain, as Kubernetes wants the names of pods, workloads, claims and nodes."""
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


def _may_own(owner: str, pod: str) -> bool:
    return pod.startswith(f"{owner}-"[:_MAX_GENERATED])
