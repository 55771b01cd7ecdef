"""What triage saw of the cluster, once, before anything was decided: bounded, redacted, never re-read by the router."""

from typing import Any, Final, Literal, get_args

from pydantic import Field

from shared.model.base import Model
from shared.model.details import Details

ScopeKind = Literal[
    "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "Node", "PersistentVolumeClaim", "unknown"
]
Autonomy = Literal["off", "observe", "suggest", "approve", "auto"]


class ObjectRef(Model):
    """One Kubernetes object. `namespace` is empty for cluster-wide kinds, `uid` is empty while nobody has read it."""

    kind: str
    namespace: str = ""
    name: str
    uid: str = ""

    @property
    def key(self) -> str:
        """`KIND/NAMESPACE/NAME`, without the namespace where there is none."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


class Scope(Model):
    """What is healed and counted: the root owner of the object, or the node or claim itself.

    `key` is the stable name under which cooldown, lease, breaker and attempts are kept: a pod replaced under a new
    name is the same patient. An unknown scope has kind `unknown` and key `alert/<fingerprint>`.
    """

    kind: ScopeKind
    namespace: str = ""
    name: str
    uid: str = ""

    @property
    def key(self) -> str:
        if self.kind == "unknown":
            return self.name
        return self.ref.key

    @property
    def ref(self) -> ObjectRef:
        """The object itself, as a write names it."""
        return ObjectRef(kind=self.kind, namespace=self.namespace, name=self.name, uid=self.uid)

    @classmethod
    def of_key(cls, key: str) -> "Scope":
        """The scope that has this key, without its uid; of kind `unknown` for what names no object."""
        kind, _, rest = key.partition("/")
        namespace, _, name = rest.rpartition("/")
        if kind not in get_args(ScopeKind) or not name:
            return cls(kind="unknown", name=key)
        return cls.model_validate({"kind": kind, "namespace": namespace, "name": name})


class Replicas(Model):
    """Of the scope, where it has any. All counts; `observed` tells whether the controller has seen the present spec."""

    desired: int
    ready: int
    updated: int = 0
    available: int = 0
    observed: bool = True

    @property
    def full(self) -> bool:
        """As many are ready as are wanted now."""
        return self.observed and self.ready >= self.desired

    @property
    def renewed(self) -> bool:
        """And as many of them are of the present version."""
        return self.full and self.updated >= self.desired


OVER: Final = frozenset({"Succeeded", "Failed"})


class ContainerState(Model):
    name: str
    ready: bool = False
    restarts: int = 0
    waiting: str = ""  # reason, such as CrashLoopBackOff
    terminated: str = ""  # reason of the last end, such as OOMKilled
    exit_code: int | None = None
    crashed: bool = False  # its last end was a failure, in the last ten minutes
    fell: bool = False  # and in the last two

    @property
    def looping(self) -> bool:
        """It keeps crashing, whether it waits or runs for a moment when it is looked at."""
        once = 2 if self.ready else 1  # a ready one that fell once is no loop
        return self.waiting == "CrashLoopBackOff" or (self.crashed and self.restarts >= once)


class PodFacts(Model):
    name: str
    uid: str
    phase: str = ""
    reason: str = ""  # why the pod as a whole does not run, such as Evicted or Unschedulable
    ready: bool = False
    deleting: bool = False
    age_s: int = 0
    containers: tuple[ContainerState, ...] = ()

    @property
    def over(self) -> bool:
        """It will never run again: evicted by its node, or at its end. It stays listed until somebody deletes it."""
        return self.phase in OVER

    @property
    def at_rest(self) -> bool:
        """Ready, and none of its containers waits for anything."""
        return self.ready and not any(state.waiting for state in self.containers)


class Facts(Model):
    """One read-only snapshot. `taken_at` in ms since the Unix epoch; lists are bounded by the taker."""

    taken_at: int
    scope: Scope
    object: ObjectRef | None = None  # what the alert named, if it still exists
    autonomy: Autonomy = "observe"
    protected: bool = False  # the scope, or its namespace, carries the mark that keeps every machine away
    namespace_labels: dict[str, str] = Field(default_factory=dict)
    namespace_pods: int = 0  # in the whole namespace; 0 where nobody has counted
    replicas: Replicas | None = None
    pods: tuple[PodFacts, ...] = ()  # at most 50 of the scope, the ones that are not ready first
    pod_count: int = 0
    autoscaler: str = ""  # name of the HPA that owns the replicas
    disruption_allowed: int | None = None  # smallest `disruptionsAllowed` of the PDBs that match; None without one
    gitops_owner: str = ""  # "argocd" or "flux" when their marks are on the scope
    paused: bool = False
    rolling_out: bool = False
    last_changed_by: str = ""  # field manager of the newest write to the scope's spec that was not ours
    last_changed_at: int = 0  # ms, 0 when unknown
    spec: dict[str, Any] = Field(default_factory=dict)  # the bounded part of the scope's spec that plans may read
    details: Details = Details()  # what further was looked at
    stop_mode: Literal["run", "stop", "freeze"] = "run"  # as the ConfigMap says
    attempt: str = ""  # the one that asks whether it has arrived; empty before one has begun

    @property
    def live(self) -> tuple[PodFacts, ...]:
        """The pods that are neither over nor on their way out."""
        return tuple(pod for pod in self.pods if not pod.deleting and not pod.over)

    @property
    def falling(self) -> int:
        """How many pods look ready between two crashes: they fell more than once, and the last time just now."""
        return sum(
            pod.ready and any(state.fell and state.restarts > 1 for state in pod.containers) for pod in self.live
        )

    def bound(self, name: str) -> int | None:
        """The number that the owner has set under that name, of `minimum_replicas` and `maximum_replicas`."""
        value = self.spec.get(name)
        return value if type(value) is int else None
