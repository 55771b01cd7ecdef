"""Makes a backup and waits until it is one: a snapshot where the driver can, else the owner's declared CronJob.

It is kept: an undo deletes no backup, and how long it stays is the owner's to say.
"""

from typing import Any, ClassVar, Final

from shared.action import errand
from shared.action.declare import Action, Example, Rule
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

_TASK: Final = "backup"
_SCOPE = {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "c-1"}
_GI = {"value": 1 << 30, "text": "1Gi"}
_CLAIM = {"phase": "Bound", "requested": _GI, "capacity": _GI, "storage_class": "fast"}
_SNAPS = {**_CLAIM, "snapshot_class": "snap"}
_DECLARED = {"tasks": [{"name": "dump", "uid": "j-1", "task": _TASK}]}
_RUNNING = {"runs": [{"kind": "Job", "name": "akeso-backup-1", "task": _TASK, "attempt": "a", "state": "running"}]}


def _facts(**details: Any) -> dict[str, Any]:
    return {"taken_at": 0, "scope": _SCOPE, "details": {"claim": _CLAIM, "tasks": {}, "runs": {}, **details}}


class BackupData(Action):
    name = "backup_data"
    summary = "Make a snapshot of the data, or run the backup that its owner has declared."
    risk = "low"
    kind = "create"
    scopes = ("PersistentVolumeClaim", "StatefulSet", "Deployment")
    details = ("claim", "tasks", "runs", "quota")
    rbac = (
        Rule("batch", "jobs", ("get", "create")),
        Rule("batch", "cronjobs", ("get",)),
        Rule("snapshot.storage.k8s.io", "volumesnapshots", ("get", "create")),
    )
    requests = 36
    cooldown_s = 900
    proof = "real workload"
    proved_by = "tests/cluster/test_real_storage.py::TestABackup::test_is_the_declared_one_and_can_be_read"
    unproved = "a snapshot: CSI drivers alone make them, and the proxies serve no Go module of the host-path one"
    soak_s = 60
    run_s = 3600
    examples: ClassVar = (
        Example("a declared CronJob", _facts(tasks=_DECLARED), {}, writes=2),
        Example("a snapshot", _facts(claim=_SNAPS), {}, writes=2),
        Example("where none may be made", _facts(tasks=_DECLARED, quota={"pods": -1}), {}, refusal="quota"),
        Example("neither is there", _facts(), {}, refusal="undeclared"),
        Example("one is made already", _facts(tasks=_DECLARED, runs=_RUNNING), {}, refusal="nothing-to-do"),
        Example(
            "no volume yet", _facts(claim={**_CLAIM, "phase": "Pending", "capacity": None}), {}, refusal="unsupported"
        ),
        Example("no data", {**_facts(), "scope": {**_SCOPE, "kind": "Node"}}, {}, refusal="unsupported"),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:  # noqa: ARG002  every action has this shape
        scope, claim = facts.scope, facts.details.claim
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"a {scope.kind} has no data of its own that could be backed up")
        if refused := errand.hindered(facts, _TASK):
            return refused
        if claim and claim.phase != "Bound":
            text = f"claim {scope.name} is {claim.phase or 'not bound'}: there is no volume yet, and nothing on it"
            return Refusal(reason="unsupported", text=text)
        if claim and claim.snapshot_class:
            spec = {
                "volumeSnapshotClassName": claim.snapshot_class,
                "source": {"persistentVolumeClaimName": scope.name},
            }
            return errand.plan(facts, _TASK, "VolumeSnapshot", {"spec": spec}, patience_s=3300)
        return errand.as_declared(facts, _TASK, patience_s=3300)

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002
        return errand.arrived(facts, _TASK)

    def healthy(self, facts: Facts) -> bool:
        return errand.healthy(facts, _TASK)
