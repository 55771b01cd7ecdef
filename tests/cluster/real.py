"""A real cluster with the manners of the emulated one, so that one story is played on both.

It asks as the kubeconfig's user, except for what passes its `gate`: there the product's own requests are counted, and
answered wrongly where a story wants that. What only a cluster of our own can do (pausing its controllers) skips the
test elsewhere. It removes every namespace, node and account that it made.
"""

import os
import secrets
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from shared.action.catalogue import Catalogue
from shared.dev.cluster import Request
from shared.dev.cluster_route import READS
from shared.dev.cluster_seeds import Seeds
from shared.kube.kinds import KINDS, address, collection
from shared.people.who import AUDIENCE
from tests.cluster.api import MERGE_PATCH, Api, Object, until
from tests.cluster.gate import Gate
from tests.cluster.install import installed
from tests.cluster.rig.machine import command

IMAGE = "docker.io/library/busybox:1.36"
_SLEEP = "trap 'exit 0' TERM; sleep 1000000 & wait"
# What only its emptyDir remembers keeps it from starting: a new pod is the cure.
_STALE = f"""if [ -e /work/lock ]; then echo 'stale lock'; exit 1; fi
touch /work/lock
[ "$(cat /etc/app/broken)" = yes ] && exit 1
{_SLEEP}"""


def idle_pod(script: str = _SLEEP) -> Object:
    """Spec of a pod that any cluster can run; unless its `script` says otherwise it does nothing and ends when told."""
    container = {"name": "app", "image": IMAGE, "command": ["sh", "-c", script]}
    return {"containers": [container], "terminationGracePeriodSeconds": 1}


class RealCluster(Seeds):
    """A context manager. `home` is its own namespace in the place of `akeso-system`, with the product's manifests."""

    def __init__(self, api: Api, catalogue: Catalogue) -> None:
        self.api = api
        self.home = f"akeso-test-{secrets.token_hex(4)}"
        self.gate = Gate(api)
        self._catalogue = catalogue
        self._made: set[str] = {self.home}  # namespaces
        self._stack = ExitStack()
        self._rig = Path(os.environ["AKESO_RIG"]) if "AKESO_RIG" in os.environ else None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.there = stack.enter_context(installed(self.api, self.home, self._catalogue))
            stack.enter_context(self.gate)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self._stack.close()

    # As the emulated one ----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        return self.gate.requests

    def writes(self) -> list[Request]:
        return [r for r in self.requests if r.status in {200, 201} and r.verb not in READS and not r.dry_run]

    def fault(self, **what: Any) -> None:
        self.gate.fault(**what)

    @property
    def unmet_faults(self) -> int:
        return self.gate.unmet_faults

    def pause(self) -> None:
        """Let no controller act."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._rig:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._rig is None:
            pytest.skip("only the controllers of a cluster that was made here can be paused")
        command(self._rig, "signal", "controller-manager", number)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        answer = self.api("GET", address(kind, namespace, name))
        return answer.body if answer.status == 200 else None

    def all(self, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        query = {"labelSelector": labels} if labels else {}
        return self.api.ok("GET", collection(kind, namespace), **query)["items"]

    def put(self, kind: str, namespace: str, body: Object, *, manager: str = "akeso-seed") -> Object:
        if namespace and self.get("Namespace", "", namespace) is None:
            self.namespace(namespace)
        whole = {"apiVersion": KINDS[kind].api, "kind": kind} | {k: v for k, v in body.items() if k != "status"}
        made = self.api.ok("POST", collection(kind, namespace), whole, fieldManager=manager)
        if namespace not in self._made:  # what is in a namespace of ours goes with it
            self._stack.callback(self.api, "DELETE", address(kind, namespace, body["metadata"]["name"]))
        return made

    def edit(self, kind: str, namespace: str, name: str, merge: Object, *, manager: str = "kubectl-edit") -> Object:
        return self.api.ok("PATCH", address(kind, namespace, name), merge, form=MERGE_PATCH, fieldManager=manager)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Gone when this returns, but for a namespace, whose pods take their time."""
        self.api.ok("DELETE", address(kind, namespace, name), {"propagationPolicy": "Background"})
        if kind != "Namespace":
            until(lambda: self.get(kind, namespace, name) is None, f"{kind} {name} does not go")

    def set_status(self, kind: str, namespace: str, name: str, status: Object) -> None:
        path = f"{address(kind, namespace, name)}/status"
        self.api.ok("PATCH", path, {"status": status}, form=MERGE_PATCH)

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> Object:
        marked = {"akeso.dev/test": "true"} | (labels or {})
        made = self.put("Namespace", "", {"metadata": {"name": name, "labels": marked}})
        self._made.add(name)
        accounts = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        until(lambda: self.api("GET", accounts).status == 200, f"namespace {name} is not ready")
        return made

    def deployment(
        self, namespace: str, name: str, replicas: int = 1, labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None, *, behaviour: str = "", ready_after: float = 0,  # noqa: ARG002
    ) -> Object:  # fmt: skip
        """Real pods: they are ready when they run, `crash` after a moment, or once and then for a stale file."""
        spec = idle_pod(_SCRIPTS[behaviour])
        if behaviour == "crash-once":
            self.configmap(namespace, name, {"broken": "yes"})
            spec["containers"][0]["volumeMounts"] = [
                {"name": "work", "mountPath": "/work"},
                {"name": "app", "mountPath": "/etc/app"},
            ]
            spec["volumes"] = [{"name": "work", "emptyDir": {}}, {"name": "app", "configMap": {"name": name}}]
        made = self.put("Deployment", namespace, {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            },
        })  # fmt: skip
        if behaviour == "crash-once":
            until(lambda: [pod for pod in self.all("Pod", namespace, f"app={name}") if "Error" in str(pod["status"])])
            self.edit("ConfigMap", namespace, name, {"data": {"broken": "no"}})
        return made

    def pdb(self, namespace: str, name: str, labels: dict[str, str], *, min_available: int) -> Object:
        super().pdb(namespace, name, labels, min_available=min_available)
        seen = until(lambda: (found := self.get("PodDisruptionBudget", namespace, name))
                     and found["status"].get("observedGeneration") and found)  # fmt: skip
        return dict(seen)

    # Who is who -------------------------------------------------------------------------------------------------------

    def person(self, name: str) -> str:
        """Somebody whom the product's own role lets do all that people may; a token for the audience `akeso`."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self.api.ok("POST", f"/api/v1/namespaces/{self.home}/serviceaccounts", account)
        bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        bound = f"akeso-test-{name}-{self.home}"
        self.api.ok("POST", bindings, {
            "metadata": {"name": bound},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                        "name": self.there.named("akeso-people")},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.home}],
        })  # fmt: skip
        self._stack.callback(self.api, "DELETE", f"{bindings}/{bound}")
        return self.api.token(self.home, name, seconds=7200, audience=AUDIENCE)

    def kubeconfigs(self, folder: Path, services: list[Object]) -> dict[str, Path]:
        """For each function whose pod would have a token: a kubeconfig with one of its own account, by way of the gate.

        Nobody else gets one: a function without an account has no way to the cluster.
        """
        folder.mkdir()
        found = {}
        for service in services:
            name = service["metadata"]["name"]
            if service["spec"]["template"]["spec"].get("automountServiceAccountToken") is not False:
                token = self.api.token(self.home, name, seconds=7200)
                found[name] = self.api.kubeconfig_of(token, folder / name, server=self.gate.url)
        return found


_SCRIPTS = {"": _SLEEP, "crash": "sleep 0.5; exit 1", "crash-once": _STALE}
