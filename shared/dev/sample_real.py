"""The sample of `akeso dev --kubeconfig FILE --sample`: two workloads with real pods, one that a restart heals.

It makes namespaces of its own, which it takes away again, and touches nothing else in the cluster. Both workloads crash
for a reason that stands in their own logs; nothing about them is acted.
"""

import secrets
import time
from contextlib import suppress
from typing import Any, Final, Self

from shared.dev import rules
from shared.errors import UnavailableError
from shared.kube.client import Kube
from shared.kube.errors import KubeError
from shared.kube.kinds import KINDS

Object = dict[str, Any]

IMAGE: Final = "docker.io/library/busybox:1.36"
_MANAGER: Final = "akeso-dev"
_PATIENCE: Final = 300  # looks, each after a fifth of a second: an image may have to be pulled
# Its first configuration lets it serve for a moment and die, and its lock stays as long as the pod does: only a new
# pod, with a new emptyDir, gets up again, and only if its configuration has been mended by then.
_SCRIPT: Final = """if [ -e /work/lock ]; then echo 'another instance holds /work/lock'; exit 1; fi
config=$(cat /etc/app/config)
if [ "$config" = bad ]; then echo 'bad configuration'; exit 1; fi
touch /work/lock /work/up
if [ "$config" = fragile ]; then sleep 10; rm /work/up; echo 'died and left its lock'; exit 1; fi
trap 'exit 0' TERM
sleep 1000000 & wait"""
_LATER: Final = {
    "stale-lock": "good",
    "bad-config": "bad",
}  # workload to the configuration that it is given once it serves
# As kube-prometheus writes it: five minutes of `max_over_time`, so that the moment between two crashes is no end.
RULES: Final = tuple(
    rule._replace(keep_s=300) if rule.name == "KubePodCrashLooping" else rule
    for rule in rules.RULES
    if rule.name in {"Watchdog", "KubePodCrashLooping"}
)


class RealSample:
    """A context manager. `home` has the place of `akeso-system`, `namespace` the two workloads.

    Raises KubeError, or UnavailableError (reason `sample`) when no pod gets to run.
    """

    def __init__(self, kube: Kube) -> None:
        suffix = secrets.token_hex(3)
        self.kube = kube
        self.home, self.namespace = f"akeso-dev-{suffix}", f"akeso-sample-{suffix}"
        self._made: list[tuple[str, str]] = []  # namespaces with their uids

    @property
    def healed(self) -> str:
        return f"Deployment/{self.namespace}/stale-lock"

    @property
    def told(self) -> str:
        return f"Deployment/{self.namespace}/bad-config"

    def __enter__(self) -> Self:
        try:
            self._namespace(self.home, {})
            for name in ("akeso-stop", "akeso-policy"):
                self._put("ConfigMap", self.home, name)
        except KubeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name, uid in self._made:
            with suppress(KubeError):
                self.kube.delete("Namespace", "", name, uid=uid)

    def seed(self) -> None:
        """Start both workloads, and give each its later configuration as soon as it serves."""
        self._namespace(self.namespace, {"akeso.dev/autonomy": "auto"})
        for name in _LATER:
            self._put("ConfigMap", self.namespace, name, data={"config": "fragile"})
            self._deployment(name)
        waiting = dict(_LATER)
        for _ in range(_PATIENCE):
            for name in list(waiting):
                found = self.kube.get("Deployment", self.namespace, name) or {}
                if (found.get("status") or {}).get("readyReplicas"):
                    later = {"data": {"config": waiting.pop(name)}}
                    self.kube.patch("ConfigMap", self.namespace, name, later, form="merge", field_manager=_MANAGER)
            if not waiting:
                return
            time.sleep(0.2)
        why = f"the pods of {self.namespace} do not run; can the cluster pull {IMAGE}?"
        raise UnavailableError(why, reason="sample")

    def all(self, kind: str) -> list[Object]:
        """What rules may see of the cluster: this namespace alone."""
        return self.kube.list(kind, self.namespace)

    def _namespace(self, name: str, labels: dict[str, str]) -> None:
        made = self._put("Namespace", "", name, labels=labels)
        self._made.append((name, made["metadata"]["uid"]))

    def _deployment(self, name: str) -> None:
        places = {"work": "/work", "app": "/etc/app"}
        container = {
            "name": "app", "image": IMAGE, "command": ["sh", "-c", _SCRIPT],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/work/up"]}, "periodSeconds": 1},
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in places.items()],
        }  # fmt: skip
        pod = {
            "containers": [container], "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "work", "emptyDir": {}}, {"name": "app", "configMap": {"name": name}}],
        }  # fmt: skip
        template = {"metadata": {"labels": {"app": name}}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
        self._put("Deployment", self.namespace, name, spec=spec)

    def _put(self, kind: str, namespace: str, name: str, labels: dict[str, str] | None = None, **body: Any) -> Object:
        meta = {"name": name, "labels": {"akeso.dev/sample": "true"} | (labels or {})}
        whole = {"apiVersion": KINDS[kind].api, "kind": kind, "metadata": meta, **body}
        return self.kube.create(kind, namespace, whole, field_manager=_MANAGER)
