"""The sample alert rules of `akeso dev`, evaluated as Prometheus does: true, true for so long, firing, resolved.

The rules read Deployments and pods and never write. A cluster that cannot be read is no all-clear: what fires goes on
firing. Nothing here knows who is told.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from shared.errors import AkesoError, UnavailableError
from shared.kube.client import Kube
from shared.kube.facts import MINIMUM_REPLICAS

Object = dict[str, Any]
Labels = dict[str, str]

_LISTED: Final = 5000
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_OFFSET, _PRIME, _WORD = 14695981039346656037, 1099511628211, 2**64 - 1  # FNV-1a of 64 bits
_JOB: Final = {"job": "kube-state-metrics"}  # who measures this in a real cluster


class Reader(Protocol):
    """All that a rule may do with a cluster; `shared.dev.cluster.Cluster` can do it, and `over_http` for others."""

    def all(self, kind: str) -> list[Object]: ...


class _OverHttp:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def all(self, kind: str) -> list[Object]:
        return self._kube.list(kind, limit=_LISTED)


def over_http(kube: Kube) -> Reader:
    """Read through the API, where only a kubeconfig is known: at most 5,000 objects of a kind. Raises KubeError."""
    return _OverHttp(kube)


class _Unreachable:
    def all(self, kind: str) -> list[Object]:
        raise UnavailableError(f"there is no cluster to list {kind} of", reason="no-cluster")


class Finding(NamedTuple):
    """Something for which a rule is true; the rule's name comes to `labels` as `alertname`."""

    labels: Labels
    description: str


class Rule(NamedTuple):
    """In seconds of clock time: `for_s` a finding must last before it fires, `keep_s` it fires on without one."""

    name: str
    find: Callable[[Reader], Iterable[Finding]]
    summary: str
    for_s: float = 0.0
    keep_s: float = 0.0


@dataclass(frozen=True)
class Alert:
    """One firing, or what became of it. Times in ms since the Unix epoch, -1 for "not yet".

    `starts_real` and `ends_real` are the same moments on the real clock, for a real AlertManager, which knows no other.
    """

    labels: Labels
    annotations: Labels
    fingerprint: str
    starts_at: int
    starts_real: int
    ends_at: int = -1
    ends_real: int = -1

    @property
    def key(self) -> tuple[str, int]:
        return self.fingerprint, self.starts_at


def fingerprint(labels: Labels) -> str:
    """16 hex digits, the same that Prometheus and AlertManager give to these labels."""
    value = _OFFSET
    for name, text in sorted(labels.items()):
        for byte in b"\xff".join((name.encode(), text.encode(), b"")):
            value = ((value ^ byte) * _PRIME) & _WORD
    return f"{value:016x}"


def real_ms() -> int:
    """Real time in ms since the Unix epoch, also where ours is simulated: a real AlertManager lives in it."""
    return time.time_ns() // 1_000_000


class Evaluator:
    """Keeps what is pending and what fires between evaluations. Not safe for use by several threads."""

    def __init__(self, rules: Iterable[Rule], *, ignore: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._rules = tuple(rules)
        self._ignore = ignore  # (namespace, name) of Deployments and pods
        self._pending: dict[str, dict[str, int]] = {rule.name: {} for rule in self._rules}  # since when, ms
        self._firing: dict[str, dict[str, Alert]] = {rule.name: {} for rule in self._rules}
        self._seen: dict[str, int] = {}  # fingerprint of what fires to when it was last found, ms
        self.failures = 0  # rules that could not be evaluated, each time counted

    @property
    def firing(self) -> list[Alert]:
        return [alert for alerts in self._firing.values() for alert in alerts.values()]

    def evaluate(self, reader: Reader | None, now: int) -> list[Alert]:
        """Bring `firing` up to date; answers the alerts that have just resolved. None is a cluster out of reach."""
        ended: list[Alert] = []
        for rule in self._rules:
            try:
                found = {fingerprint(labels): (labels, text) for labels, text in self._found(rule, reader)}
            except (AkesoError, OSError):
                self.failures += 1
                continue
            firing, since = self._firing[rule.name], self._pending[rule.name]
            for gone in since.keys() - found.keys():
                del since[gone]
            self._seen |= dict.fromkeys(found, now)
            ended_now = [key for key in firing.keys() - found.keys() if now - self._seen[key] >= rule.keep_s * 1000]
            over = [firing.pop(key) for key in ended_now]
            for key in ended_now:
                del self._seen[key]
            ended += [replace(alert, ends_at=now, ends_real=real_ms()) for alert in over]
            for key, (labels, text) in found.items():
                notes = {"summary": rule.summary, "description": text}
                if key in firing:
                    firing[key] = replace(firing[key], annotations=notes)
                elif now - since.setdefault(key, now) >= rule.for_s * 1000:
                    firing[key] = Alert(labels, notes, key, now, real_ms())
        return ended

    def _found(self, rule: Rule, reader: Reader | None) -> Iterator[tuple[Labels, str]]:
        for finding in rule.find(reader or _Unreachable()):
            labels = {"alertname": rule.name, **finding.labels}
            name = labels.get("deployment") or labels.get("pod", "")
            if (labels.get("namespace", ""), name) not in self._ignore:
                yield labels, finding.description


def _watchdog(_: Reader) -> Iterator[Finding]:
    yield Finding({"severity": "none"}, "This alert always fires: its silence tells that no other could be heard.")


def _below_minimum(reader: Reader) -> Iterator[Finding]:
    for deployment in reader.all("Deployment"):
        minimum = _part(_part(deployment, "metadata"), "annotations").get(MINIMUM_REPLICAS)
        wanted = int(minimum) if isinstance(minimum, str) and _NUMBER.fullmatch(minimum) else 0
        if wanted > _ready(deployment):
            yield _about(
                deployment, "warning", f"has fewer ready replicas than its annotation {MINIMUM_REPLICAS} demands."
            )


def _replicas_mismatch(reader: Reader) -> Iterator[Finding]:
    for deployment in reader.all("Deployment"):
        if _count(_part(deployment, "spec"), "replicas", 1) > _ready(deployment):
            system = _part(deployment, "metadata").get("namespace") == "kube-system"
            yield _about(deployment, "critical" if system else "warning", "has fewer ready replicas than it is set to.")


def _crash_looping(reader: Reader) -> Iterator[Finding]:
    for pod in reader.all("Pod"):
        status = _part(pod, "status")
        for container in [*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")]:
            if _part(_part(container, "state"), "waiting").get("reason") == "CrashLoopBackOff":
                meta = _part(pod, "metadata")
                labels = {"namespace": str(meta.get("namespace", "")), "pod": str(meta.get("name", ""))}
                labels |= {"container": str(container.get("name", "")), "severity": "warning", **_JOB}
                text = f"Pod {labels['namespace']}/{labels['pod']} ({labels['container']}) is in CrashLoopBackOff."
                yield Finding(labels, text)


def _about(deployment: Object, severity: str, text: str) -> Finding:
    meta = _part(deployment, "metadata")
    labels = {"namespace": str(meta.get("namespace", "")), "deployment": str(meta.get("name", ""))}
    where = f"Deployment {labels['namespace']}/{labels['deployment']}"
    return Finding({**labels, "severity": severity, **_JOB}, f"{where} {text}")


def _ready(deployment: Object) -> int:
    return _count(_part(deployment, "status"), "readyReplicas", 0)


def _count(part: Object, field: str, otherwise: int) -> int:
    value = part.get(field)
    return value if isinstance(value, int) else otherwise


def _part(value: Object, field: str) -> Object:
    part = value.get(field)
    return part if isinstance(part, dict) else {}


def _list(value: Object, field: str) -> list[Object]:
    items = value.get(field)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


RULES: Final[tuple[Rule, ...]] = (
    Rule("Watchdog", _watchdog, "The alerts can be heard."),
    Rule("KubeDeploymentBelowMinimum", _below_minimum, "Deployment has fewer replicas than its minimum."),
    # Pods that have just been asked for are not missing yet.
    Rule("KubeDeploymentReplicasMismatch", _replicas_mismatch, "Deployment has not the replicas it wants.", for_s=5.0),
    Rule("KubePodCrashLooping", _crash_looping, "Pod is crash looping."),
)
