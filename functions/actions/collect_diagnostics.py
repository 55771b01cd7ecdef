"""Takes along what a person needs to understand the trouble, and changes nothing: the scene while it is still there."""

from typing import Any, ClassVar

from shared.action.declare import Action, Example
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_POD = {"name": "checkout-1", "uid": "p-1", "containers": [{"name": "web", "waiting": "CrashLoopBackOff"}]}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 2, "ready": 1}, "pods": [_POD], "pod_count": 2}


class CollectDiagnostics(Action):
    name = "collect_diagnostics"
    summary = "Keep events, logs and conditions of the target for people and change nothing."
    risk = "none"
    kind = "read"
    scopes = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod", "Node", "PersistentVolumeClaim")
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_remedies.py::TestAJobThatFails"
        "::test_is_told_with_what_its_container_said_also_when_its_pod_is_gone"
    )
    requests = 16
    examples: ClassVar = (
        Example("a crash loop", _FACTS, {}),
        Example("a node", {"taken_at": 0, "scope": {"kind": "Node", "name": "n1", "uid": "n-1"}}, {}),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:  # noqa: ARG002  every action has this shape
        if facts.scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text="the alert names no object that could be looked at")
        return Plan()

    def healthy(self, facts: Facts) -> bool:  # noqa: ARG002  looking cures nothing
        return False
