"""What the rules of kube-prometheus leave on an alert beside what it is about, as Prometheus sends it on.

A rule that sums keeps only what it sums by, any other the labels of its metric and of whoever was scraped for it: some
of them name a thing that is not the patient.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_RECORDED = Path(__file__).parents[1] / "fixtures" / "alerts"

_SENT = {"severity": "warning", "prometheus": "monitoring/k8s"}
_STATE = {**_SENT, "job": "kube-state-metrics", "instance": "10.4.1.9:8443"}  # honours the metric's own labels
_NODE = {**_STATE, "namespace": "monitoring", "pod": "kube-state-metrics-5d8f-9lq4z", "container": "kube-rbac-proxy"}
_KUBELET = {
    **_SENT, "job": "kubelet", "metrics_path": "/metrics", "node": "n1", "instance": "10.0.0.4:10250",
    "service": "kubelet", "endpoint": "https-metrics",
}  # fmt: skip

EMITTED: Final[Mapping[str, dict[str, str]]] = {
    "KubePodCrashLooping": {**_STATE, "container": "app", "reason": "CrashLoopBackOff"},
    "KubeDeploymentReplicasMismatch": _STATE,
    "KubeDeploymentRolloutStuck": {**_STATE, "condition": "Progressing", "status": "false"},
    "KubeDaemonSetRolloutStuck": _STATE,
    "KubeHpaMaxedOut": _STATE,
    "KubeJobFailed": {**_STATE, "condition": "true"},
    "KubePersistentVolumeFillingUp": {**_KUBELET, "severity": "critical"},
    "KubePersistentVolumeInodesFillingUp": _KUBELET,
    "KubePersistentVolumeErrors": {**_STATE, "severity": "critical", "phase": "Failed"},
    # What brings no namespace and no pod of its own has those of whoever told it.
    "KubeNodeNotReady": {**_NODE, "condition": "Ready", "status": "true"},
    "KubeNodeUnreachable": {**_NODE, "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
    "KubeNodePressure": {**_NODE, "severity": "info", "condition": "MemoryPressure", "status": "true"},
    # `instance` is the node's name there, and no other label tells it.
    "NodeRAIDDegraded": {**_SENT, "severity": "critical", "job": "node-exporter", "namespace": "monitoring",
                         "pod": "node-exporter-7xk2p", "container": "kube-rbac-proxy", "device": "md0"},
    "CPUThrottlingHigh": {**_SENT, "severity": "info", "container": "app"},
    "KubeMemoryOvercommit": _SENT,
    "TargetDown": {**_SENT, "job": "checkout", "service": "checkout"},
}  # fmt: skip


def recorded(case: str, **own: str) -> dict[str, Any]:
    """The labels of a recorded alert, with those of the story's own objects in the place of the recorded ones."""
    (alert,) = json.loads((_RECORDED / f"{case}.json").read_text())["body"]["alerts"]
    return {**alert["labels"], **own}
