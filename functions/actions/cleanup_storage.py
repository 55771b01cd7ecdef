"""Deletes old files on a volume where its owner has declared which, by a short-lived Job that has nothing else.

The Job is of our own image, has the volume and no way to the cluster, and runs as the one whose files they are. What it
may delete is the declaration's alone; `shared.tool.cleanup` is what runs in it.
"""

import json
from typing import Any, ClassVar, Final

from shared.action import errand, quota
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.details import CLEANUP, Claim, Mount
from shared.model.facts import Facts
from shared.model.plan import OWN_IMAGE, Plan, Refusal
from shared.tool.cleanup import MOUNT, declared

_TASK: Final = "cleanup"
_ANYBODY: Final = 65_532  # the user of our image
_DECLARE: Final = '[{"path": "cache/tmp", "pattern": "*.log", "older_than": "7d", "at_most_mb": 1024}]'

_SCOPE = {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "c-1"}
_GI = {"value": 1 << 30, "text": "1Gi"}
_CLAIM = {
    "phase": "Bound", "requested": _GI, "capacity": _GI, "storage_class": "fast", "access_modes": ["ReadWriteOnce"],
    "notes": {CLEANUP: _DECLARE},
}  # fmt: skip
_RUNNING = {"runs": [{"kind": "Job", "name": "akeso-cleanup-1", "task": _TASK, "attempt": "a", "state": "running"}]}


def _facts(runs: dict[str, Any] | None = None, **claim: Any) -> dict[str, Any]:
    return {"taken_at": 0, "scope": _SCOPE, "details": {"claim": {**_CLAIM, **claim}, "runs": runs or {}}}


def _shut() -> dict[str, Any]:
    return {**_facts(), "details": {**_facts()["details"], "quota": {"pods": -1}}}


class CleanupStorageParams(Model):
    dry_run: bool = False  # the volume is mounted read-only, and the Job's log lists what would go


class CleanupStorage(Action):
    name = "cleanup_storage"
    summary = "Delete old files of a volume that its owner has declared for it."
    risk = "medium"
    kind = "create"
    scopes = ("PersistentVolumeClaim",)
    Params = CleanupStorageParams
    details = ("claim", "runs", "quota")
    rbac = (Rule("batch", "jobs", ("get", "create")),)
    requests = 27
    cooldown_s = 900
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_storage.py::TestAFullVolume"
        "::test_is_cleaned_by_the_image_of_the_product_and_its_workload_writes_again"
    )
    soak_s = 60
    run_s = 1500
    examples: ClassVar = (
        Example("a declared cleanup", _facts(), {}, writes=2),
        Example("a dry run of it", _facts(), {"dry_run": True}, writes=2),
        Example("none is declared", _facts(notes={}), {}, refusal="undeclared"),
        Example("the declaration leads out", _facts(notes={CLEANUP: '[{"path": "/etc"}]'}), {}, refusal="undeclared"),
        Example("where none may be made", _shut(), {}, refusal="quota"),
        Example("it runs already", _facts(_RUNNING), {}, refusal="nothing-to-do"),
        Example("no volume yet", _facts(phase="Pending", capacity=None), {}, refusal="unsupported"),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, claim = facts.scope, facts.details.claim
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"{scope.kind} {scope.name} is no claim: it has no volume")
        if claim is None:
            return Refusal(reason="not-found", text=f"claim {scope.name} was not there when the facts were taken")
        if refused := errand.hindered(facts, _TASK) or _unfit(scope.name, claim) or _unreadable(scope.name, claim):
            return refused
        if refused := quota.refuses(facts, 1):
            return refused
        return errand.plan(facts, _TASK, "Job", _job(scope.name, claim, dry_run=params.dry_run), patience_s=1200)

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002  every action has this shape
        return errand.arrived(facts, _TASK)

    def healthy(self, facts: Facts) -> bool:
        return errand.healthy(facts, _TASK)


def _unfit(name: str, claim: Claim) -> Refusal | None:
    text, holder = "", _holder(claim)
    if claim.phase != "Bound":
        text = f"claim {name} is {claim.phase or 'not bound'}: there is no volume yet, and nothing on it"
    elif claim.volume_mode == "Block":
        text = f"claim {name} is a bare device: it has no files"
    elif "ReadWriteOncePod" in claim.access_modes and claim.mounts:
        text = f"claim {name} may be mounted by one pod alone, and {claim.mounts[0].name} is that"
    elif holder and holder.user == 0:
        text = f"pod {holder.name} writes on claim {name} as root, and a Job of ours never runs as root"
    return Refusal(reason="unsupported", text=text) if text else None


def _unreadable(name: str, claim: Claim) -> Refusal | None:
    text = claim.notes.get(CLEANUP)
    if text is None:
        said = f"nobody has declared what may be deleted on claim {name[:60]}: annotate it {CLEANUP}={_DECLARE}"
        return Refusal(reason="undeclared", text=said)
    try:
        declared(text)
    except ValueError as error:
        said = f"annotation {CLEANUP} of claim {name[:60]} cannot be followed: {error}"
        return Refusal(reason="undeclared", text=said)
    return None


def _holder(claim: Claim) -> Mount | None:
    """The pod whose files they are, for all that is known: one that waits for a node has written none."""
    return next((one for one in claim.mounts if one.node), claim.mounts[0] if claim.mounts else None)


def _job(name: str, claim: Claim, *, dry_run: bool) -> dict[str, Any]:
    # A dollar in an argument would be the beginning of a variable's name.
    said = json.dumps(json.loads(claim.notes[CLEANUP]), separators=(",", ":")).replace("$", "$$")
    container = {
        "name": _TASK,
        "image": OWN_IMAGE,
        "command": ["python", "-m", "shared.tool.cleanup"],
        "args": [*(["--dry-run"] if dry_run else []), MOUNT, said],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "500m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": MOUNT, "readOnly": dry_run}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _as(_holder(claim)),
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name, "readOnly": dry_run}}],
        **_beside(claim),
    }
    return {
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 900,
            "ttlSecondsAfterFinished": 3600,
            "template": {"metadata": {"labels": {"app.kubernetes.io/managed-by": "akeso"}}, "spec": pod},
        },
    }


def _as(holder: Mount | None) -> dict[str, Any]:
    """As whom it runs: as the pod says that it does. The group of a volume's files is never changed for all of them."""
    user = holder.user if holder and holder.user is not None else _ANYBODY
    group = holder.group if holder and holder.group is not None else user
    as_whom: dict[str, Any] = {
        "runAsNonRoot": True, "runAsUser": user, "runAsGroup": group, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    if holder and holder.fs_group is not None:
        as_whom |= {"fsGroup": holder.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return as_whom


def _beside(claim: Claim) -> dict[str, Any]:
    """On the node of whoever has the volume, where it can be mounted on one node alone."""
    holder = _holder(claim)
    if holder is None or not holder.node or set(claim.access_modes) & {"ReadWriteMany", "ReadOnlyMany"}:
        return {}
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [holder.node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [here]}}
    # Whatever keeps others off the node, the volume is there.
    return {"affinity": {"nodeAffinity": required}, "tolerations": [{"operator": "Exists"}]}
