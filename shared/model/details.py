"""What only some actions need to know of a scope: each field one bounded look, None where nobody has looked.

Numbers, names and closed words; no environment, no command, no message of others. Amounts are whole numbers, cpu in
thousandths of a core and everything else in bytes, with the text that the API has for them, because a write says what
it found.
"""

from typing import Final, Literal

from pydantic import Field

from shared.model.base import Model

QUARANTINE: Final = "akeso.dev/quarantine"  # the one label of a pod that is kept apart: its uid
CLEANUP: Final = "akeso.dev/cleanup"  # an annotation of a claim: what may be deleted on its volume
TASK: Final = "akeso.dev/task"  # a label of what is declared, or was created, for backup, compact or cleanup
TASKS: Final = ("backup", "cleanup", "compact")
FOR: Final = "akeso.dev/for"  # an annotation beside it: KIND/NAME of the scope


class Amount(Model):
    value: int
    text: str  # as the API has it


class Amounts(Model):
    cpu: Amount | None = None
    memory: Amount | None = None


class Container(Model):
    """One container of the template, or of the pod that is the scope; `index` is its place in the list."""

    name: str
    index: int
    requests: Amounts = Amounts()
    limits: Amounts = Amounts()
    plain: bool = False  # it asks for nothing but cpu and memory, so that these are all that it has
    resize_cpu: str = ""  # NotRequired, RestartContainer; empty where the template does not say
    resize_memory: str = ""
    oom_at: int = 0  # ms, the last time that it was killed for want of memory in any pod of the scope; 0 for never


class LiveContainer(Model):
    """As its pod asks for it; `actual` is what the node has given, where that is something else."""

    name: str
    index: int
    requests: Amounts = Amounts()
    limits: Amounts = Amounts()
    plain: bool = False
    running: bool = False  # it neither waits to be started again nor has ended
    actual_requests: Amounts | None = None
    actual_limits: Amounts | None = None


class LivePod(Model):
    name: str
    uid: str
    node: str = ""
    containers: tuple[LiveContainer, ...] = ()


class Containers(Model):
    containers: tuple[Container, ...] = ()
    pods: tuple[LivePod, ...] = ()  # at most 50 that run or will run
    more: bool = False  # there are more pods than are listed
    kept: str = ""  # annotation akeso.dev/resources-of: what the owner had set before we raised it
    in_place: bool = False  # each node that runs one of them can resize it without an end


class Revision(Model):
    """One ReplicaSet of a Deployment. `template` is the sha256 of its template, without the hash label.

    `health`: `now`: all its pods, at least one, are ready; `stood`: it was the current one for longer than a rollout
    may take; `unknown`: the cluster keeps nothing that tells. See `shared.kube.details.revisions`.
    """

    name: str
    uid: str
    number: int
    current: bool = False
    replicas: int = 0
    ready: int = 0
    created_at: int = 0  # ms
    stood_s: int | None = None  # so long it was the current one; None where that cannot be told
    health: Literal["now", "stood", "unknown"] = "unknown"
    template: str = ""


STOOD_MS: Final = 1_800_000  # what was rolled out so long ago was good, and is no new version


class Revisions(Model):
    """Newest first, at most 20. `rollout` is the present one's state."""

    revisions: tuple[Revision, ...] = ()
    rollout: Literal["complete", "stuck", "progressing", "unknown"] = "unknown"

    @property
    def current(self) -> Revision | None:
        """The present one; None while it has no ReplicaSet yet."""
        return next((one for one in self.revisions if one.current), None)


class Scaler(Model):
    """The HorizontalPodAutoscaler of the scope; without one there is no scaler, and `name` is empty."""

    name: str = ""
    uid: str = ""
    minimum: int = 1
    minimum_said: bool = False  # an HPA without one has 1, and no field that a write could find
    maximum: int = 0
    current: int = 0
    desired: int = 0
    metrics: bool = False  # ScalingActive: it has the metrics it goes by
    able: bool = False  # AbleToScale
    limited: str = ""  # why it may not go on: TooManyReplicas, TooFewReplicas; empty when it is not limited
    owner: str = ""  # kind and name of what controls it, such as KEDA's ScaledObject
    gitops_owner: str = ""


class Condition(Model):
    name: str
    status: str


class Mount(Model):
    """A pod that has the claim, and as whom it says that it writes there; None where its image says it."""

    name: str
    uid: str
    node: str = ""
    owner: str = ""  # the kind of what controls it
    user: int | None = None
    group: int | None = None
    fs_group: int | None = None


class Claim(Model):
    requested: Amount | None = None
    capacity: Amount | None = None
    phase: str = ""
    storage_class: str = ""
    expandable: bool = False  # its class says allowVolumeExpansion
    conditions: tuple[Condition, ...] = ()
    access_modes: tuple[str, ...] = ()
    volume_mode: str = ""
    mounts: tuple[Mount, ...] = ()  # at most 20
    snapshot_class: str = ""  # a VolumeSnapshotClass of the driver that made the volume; empty without one
    notes: dict[str, str] = Field(default_factory=dict)  # annotations `akeso.dev/...`, but for marks and undo records


Trait = Literal["mirror", "daemonset", "local", "unmanaged", "critical", "protected", "over", "leaving"]


class NodePod(Model):
    namespace: str
    name: str
    uid: str
    owner: str = ""  # the kind of what controls it
    traits: tuple[Trait, ...] = ()


class Nodes(Model):
    """How many there are, of those on one page of the API."""

    all: int = 0
    ready: int = 0
    schedulable: int = 0  # ready and not cordoned


class Node(Model):
    ready: bool = False
    unschedulable: bool = False
    control_plane: bool = False  # by its label
    taints: tuple[str, ...] = ()  # keys
    conditions: tuple[Condition, ...] = ()
    pool: str = ""
    kubelet: str = ""
    in_pool: Nodes = Nodes()  # this one among them
    in_cluster: Nodes = Nodes()
    pods: tuple[NodePod, ...] = ()  # at most 110
    more: bool = False  # there are more pods than are listed


class Largest(Model):
    cpu: int | None = None
    memory: int | None = None


class Left(Model):
    """What the quotas leave; None where none counts it. Below zero: more is used than may be."""

    requests_cpu: int | None = None
    limits_cpu: int | None = None
    requests_memory: int | None = None
    limits_memory: int | None = None
    storage: int | None = None


class Room(Model):
    """How far anything may grow here: by LimitRange, by ResourceQuota, by the largest node that takes pods."""

    container: Largest = Largest()
    pod: Largest = Largest()
    claim: int | None = None
    left: Left = Left()
    node: Largest = Largest()


class Quota(Model):
    """`pods`: so many may be made beside those that are there; None: nobody counts. Below zero: none anew either."""

    pods: int | None = None


class Task(Model):
    """A CronJob that its owner has declared as maintenance for the scope."""

    name: str
    uid: str
    task: Literal["backup", "compact", "cleanup"]
    suspended: bool = False
    active: int = 0  # Jobs of its own that run now
    vanishes: bool = False  # its Jobs are deleted before anybody can see how they ended
    last_success_at: int = 0  # ms, 0 for never


class Tasks(Model):
    tasks: tuple[Task, ...] = ()  # at most 20


class Seat(Model):
    """A pod as the network knows it: by its labels, which Services and policies select it by."""

    name: str
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    host: bool = False  # it has the node's own address, which no policy is about
    mirror: bool = False


class Run(Model):
    """A Job or a snapshot that Akeso has created for the scope, as its label and annotations say."""

    kind: Literal["Job", "VolumeSnapshot"]
    name: str
    task: Literal["backup", "compact", "cleanup"]
    attempt: str = ""
    created_at: int = 0  # ms
    state: Literal["running", "complete", "failed"] = "running"
    why: str = ""  # the reason of a Job that failed; Error while the driver of a snapshot tries again


class Runs(Model):
    """Newest first, at most 20."""

    runs: tuple[Run, ...] = ()

    def newest(self, task: str, attempt: str = "") -> Run | None:
        """The newest of that task; of that attempt, where one is named."""
        return next((one for one in self.runs if one.task == task and attempt in ("", one.attempt)), None)


class Network(Model):
    """Which known plug-in enforces NetworkPolicies here; `unknown` is not no.

    `open_by`: by which policies a pod in quarantine still had traffic, at most 10.
    """

    enforcer: str = "unknown"
    open_by: tuple[str, ...] = ()
    pods: tuple[Seat, ...] = ()  # at most 50 of the scope, by name


class Details(Model):
    """The table of all details: one field, one module of the same name in `shared.kube.details`."""

    containers: Containers | None = None
    revisions: Revisions | None = None
    scaler: Scaler | None = None
    claim: Claim | None = None
    node: Node | None = None
    room: Room | None = None
    quota: Quota | None = None
    tasks: Tasks | None = None
    runs: Runs | None = None
    network: Network | None = None
