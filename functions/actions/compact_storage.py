"""Runs the maintenance that a workload's owner has declared for its data, once, and waits for its end."""

from typing import Any, ClassVar, Final

from shared.action import errand
from shared.action.declare import Action, Example, Rule
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

_TASK: Final = "compact"
_SCOPE = {"kind": "StatefulSet", "namespace": "shop", "name": "db", "uid": "s-1"}
_DECLARED = {"tasks": [{"name": "vacuum", "uid": "j-1", "task": _TASK}]}
_RUNNING = {"runs": [{"kind": "Job", "name": "akeso-compact-1", "task": _TASK, "attempt": "a", "state": "running"}]}


def _facts(**details: Any) -> dict[str, Any]:
    details = {"tasks": _DECLARED, "runs": {}, **details}
    return {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 1, "ready": 1}, "pod_count": 1, "details": details}


class CompactStorage(Action):
    name = "compact_storage"
    summary = "Run the maintenance that the owner has declared for the data."
    risk = "medium"
    kind = "create"
    scopes = ("StatefulSet", "Deployment", "PersistentVolumeClaim")
    details = ("tasks", "runs", "quota")
    rbac = (Rule("batch", "jobs", ("get", "create")), Rule("batch", "cronjobs", ("get",)))
    requests = 36
    cooldown_s = 900
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_storage.py::TestAVolumeWithoutAnInodeLeft"
        "::test_is_compacted_as_declared_and_its_workload_writes_again"
    )
    soak_s = 60
    run_s = 3600
    examples: ClassVar = (
        Example("a declared CronJob", _facts(), {}, writes=2),
        Example("none is declared", _facts(tasks={}), {}, refusal="undeclared"),
        Example("where none may be made", _facts(quota={"pods": -1}), {}, refusal="quota"),
        Example("it runs already", _facts(runs=_RUNNING), {}, refusal="nothing-to-do"),
        Example(
            "no owner could declare it", {**_facts(), "scope": {**_SCOPE, "kind": "Node"}}, {}, refusal="unsupported"
        ),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:  # noqa: ARG002  every action has this shape
        scope = facts.scope
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"a {scope.kind} has no data of its own that could be compacted")
        if refused := errand.hindered(facts, _TASK):
            return refused
        return errand.as_declared(facts, _TASK, patience_s=3300)

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:  # noqa: ARG002
        return errand.arrived(facts, _TASK)

    def healthy(self, facts: Facts) -> bool:
        return errand.healthy(facts, _TASK)
