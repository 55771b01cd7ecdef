"""Evicts one pod, so that its owner makes a fresh one, perhaps on another node, and its disruption budget holds."""

from typing import Any, ClassVar

from shared.action.declare import Action, Example, ObjectName, Rule
from shared.model.base import Model
from shared.model.facts import Facts, ObjectRef, PodFacts
from shared.model.plan import Plan, Refusal, Touches, Write

_YOUNG_S = 600  # a pod that fails again within ten minutes was not cured by being new

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1"}
_POD = {"name": "web-7d4b9-abcde", "uid": "p-1", "containers": [{"name": "web", "waiting": "CrashLoopBackOff"}]}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 2, "ready": 1}, "pods": [_POD], "pod_count": 2}
_PARAMS = {"pod": "web-7d4b9-abcde"}
_BARE = {**_FACTS, "scope": {"kind": "Pod", "namespace": "shop", "name": "web-7d4b9-abcde", "uid": "p-1"}}


class RestartPodParams(Model):
    pod: ObjectName
    allow_bare: bool = False  # nothing makes a pod without an owner anew


class RestartPod(Action):
    name = "restart_pod"
    summary = "Evict one pod so that its owner replaces it."
    risk = "low"
    kind = "evict"
    scopes = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")
    Params = RestartPodParams
    rbac = (
        Rule("", "pods", ("patch",)),
        Rule("", "pods/eviction", ("create",)),
    )
    cooldown_s = 300
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_pods.py::TestAContainerThatRunsOutOfMemory"
        "::test_once_and_finds_its_own_lock_then_is_healed_by_a_fresh_pod"
    )
    downtime_s = 30
    soak_s = 120  # long enough for a container that starts and dies to have been restarted again
    examples: ClassVar = (
        Example("a crash loop", _FACTS, _PARAMS, writes=1),
        Example("another pod", _FACTS, {"pod": "web-7d4b9-zzzzz"}, refusal="not-found"),
        Example("already going", {**_FACTS, "pods": [{**_POD, "deleting": True}]}, _PARAMS, refusal="nothing-to-do"),
        Example("budget used up", {**_FACTS, "disruption_allowed": 0}, _PARAMS, refusal="disruption-budget"),
        Example("a pod without owner", _BARE, _PARAMS, refusal="bare-pod"),
        Example("a pod without owner, allowed", _BARE, {**_PARAMS, "allow_bare": True}, writes=1),
        Example(
            "a Job counts its failures", {**_FACTS, "scope": {**_SCOPE, "kind": "Job"}}, _PARAMS, refusal="unsupported"
        ),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope = facts.scope
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"pods of a {scope.kind} are not restarted one by one")
        if scope.kind == "Pod" and not params.allow_bare:
            return Refusal(reason="bare-pod", text=f"nothing would make pod {scope.name} anew: it has no owner")
        pod = next((pod for pod in facts.pods if pod.name == params.pod), None)
        if pod is None or not pod.uid:
            return Refusal(reason="not-found", text=f"{scope.kind} {scope.name} has no pod {params.pod}")
        if pod.deleting:
            return Refusal(reason="nothing-to-do", text=f"pod {pod.name} is being deleted already")
        if facts.disruption_allowed == 0:
            return Refusal(reason="disruption-budget", text="the disruption budget allows no eviction now")
        target = ObjectRef(kind="Pod", namespace=scope.namespace, name=pod.name, uid=pod.uid)
        return Plan(
            writes=(Write(verb="evict", target=target),),
            touches=Touches(unit="pod", count=1, population=facts.pod_count),
        )

    def healthy(self, facts: Facts) -> bool:
        # What the kubelet has evicted stays listed until somebody deletes it; its replacement is what counts.
        full = facts.replicas is None or facts.replicas.full
        return full and bool(facts.live) and all(_sound(pod) for pod in facts.live)


def _sound(pod: PodFacts) -> bool:
    """Whether the pod is ready and not just between two crashes."""
    looping = any(state.waiting == "CrashLoopBackOff" for state in pod.containers)
    relapsed = pod.age_s < _YOUNG_S and any(state.restarts for state in pod.containers)
    return pod.ready and not looping and not relapsed
