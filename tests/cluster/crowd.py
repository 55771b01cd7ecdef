"""Many simulated nodes beside the real ones, by kwok: its pods are ready at once and run nothing.

Only in a cluster of our own: a cloud takes away nodes that it knows no machine of. What is to land there asks for it by
`PLACED`, and nothing else can.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.dev.child import die_with_parent
from tests.cluster.api import Api, Object, until
from tests.cluster.keeper import Keeper
from tests.cluster.rig import build

_MARK: Final = "kwok.x-k8s.io/node"
_SIMULATED: Final = "akeso.test/simulated"
_LABELS: Final = {_SIMULATED: "yes"}
_PATIENCE_S: Final = 600.0  # thousands of pods on a busy machine
# Leases instead of a status every half minute: a real controller holds a silent node for lost.
_STAGES: Final = (
    "node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml",
)  # fmt: skip
_LEASE_S: Final = 40
# A machine that is too busy to renew a lease in time costs readiness, which kwok's own stages give to new pods alone.
_READY_AGAIN: Final[Object] = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": "pod-ready-again"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {"matchExpressions": [
            {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
            {"key": ".status.phase", "operator": "In", "values": ["Running"]},
            {"key": '.status.conditions.[] | select( .type == "Ready" ) | .status', "operator": "NotIn",
             "values": ["True"]},
        ]},
        "next": {"statusTemplate":
                 'conditions:\n- {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}\n'},
    },
}  # fmt: skip
_APPS: Final = "/apis/apps/v1/namespaces"
PLACED: Final[Object] = {
    "nodeSelector": _LABELS,
    "tolerations": [{"key": _MARK, "operator": "Exists", "effect": "NoSchedule"}],
    "terminationGracePeriodSeconds": 0,  # there is nothing to end, and then nobody needs to say that it has ended
}


@contextmanager
def simulated(keeper: Keeper, count: int) -> Iterator[list[str]]:
    """That many ready nodes, by name. Raises UnavailableError when kwok cannot be built here."""
    program, stages = build.kwok()
    names = [f"akeso-test-{number:03}" for number in range(count)]
    with _running(keeper.folder, program, stages):
        try:
            for name in names:
                keeper.api.ok("POST", "/api/v1/nodes", _node(name))
            until(lambda: len(_ready(keeper.api)) == count, f"there are no {count} simulated nodes")
            yield names
            until(lambda: not _pods(keeper.api), "the simulated pods do not go", _PATIENCE_S)
        finally:
            for name in names:
                keeper.api("DELETE", f"/api/v1/nodes/{name}")


@contextmanager
def _running(folder: Path, program: Path, stages: Path) -> Iterator[None]:
    again = folder / "kwok-ready-again.json"
    again.write_text(json.dumps(_READY_AGAIN))
    command = [
        str(program), f"--kubeconfig={folder / 'admin.yaml'}", f"--manage-nodes-with-annotation-selector={_MARK}=fake",
        f"--node-lease-duration-seconds={_LEASE_S}", f"--config={again}",
        *(f"--config={stages / stage}" for stage in _STAGES),
    ]  # fmt: skip
    with (folder / "logs" / "kwok.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={"HOME": str(folder)},
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it loads nothing after the fork
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _node(name: str) -> Object:
    return {
        "metadata": {"name": name, "labels": _LABELS, "annotations": {_MARK: "fake"}},
        "spec": {"taints": [{"key": _MARK, "value": "fake", "effect": "NoSchedule"}]},
    }


def _ready(api: Api) -> list[Object]:
    return [
        node
        for node in api.ok("GET", "/api/v1/nodes", labelSelector=_SIMULATED)["items"]
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
    ]


def _pods(api: Api) -> list[Object]:
    """One of them is enough."""
    return list(api.ok("GET", "/api/v1/pods", labelSelector=_SIMULATED, limit="1")["items"])


def deployment(name: str, replicas: int, **notes: str) -> Object:
    """A Deployment whose pods are all on simulated nodes."""
    labels = {"app": name} | _LABELS
    spec = PLACED | {"containers": [{"name": "app", "image": "akeso.test/none:1"}]}
    return {
        "metadata": {"name": name, "annotations": notes},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }  # fmt: skip


def until_ready(api: Api, namespaces: list[str], pods: int) -> float:
    """Wait until all Deployments there have that many ready pods in sum; how long it took."""
    began = time.monotonic()

    def ready() -> bool:
        found = [one for name in namespaces for one in api.ok("GET", f"{_APPS}/{name}/deployments")["items"]]
        return sum(one["status"].get("readyReplicas", 0) for one in found) == pods

    until(ready, f"there are no {pods} ready pods", _PATIENCE_S)
    return time.monotonic() - began
