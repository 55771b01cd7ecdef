"""Evicts one pod, so that its owner makes a fresh one, perhaps on another node, and its disruption budget holds.

It waits until the fresh one serves, or has failed in its turn: whether that cured anything is the verdict's to say.
"""

from typing import Any, ClassVar

from shared.action import quota
from shared.action.declare import Action, Example, ObjectName, Rule
from shared.model.base import Model
from shared.model.facts import Facts, ObjectRef, PodFacts
from shared.model.plan import Plan, Refusal, Touches, Write

_YOUNG_S = 600  # a pod that fails again within ten minutes was not cured by being new
_WITHIN_S = 300  # an image to be pulled, a volume to be attached
_STARTS = frozenset({"", "ContainerCreating", "PodInitializing"})  # what a container waits for that will run

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
    details = ("quota",)
    rbac = (
        Rule("", "pods", ("patch",)),
        Rule("", "pods/eviction", ("create",)),
    )
    requests = 35
    cooldown_s = 300
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_pods.py::TestAContainerThatRunsOutOfMemory"
        "::test_once_and_finds_its_own_lock_then_is_healed_by_a_fresh_pod"
    )
    downtime_s = 30
    soak_s = 120  # long enough for a container that starts and dies to have been restarted again
    examples: ClassVar = (
        Example("a crash loop", _FACTS, _PARAMS, writes=2),
        Example("another pod", _FACTS, {"pod": "web-7d4b9-zzzzz"}, refusal="not-found"),
        Example("already going", {**_FACTS, "pods": [{**_POD, "deleting": True}]}, _PARAMS, refusal="nothing-to-do"),
        Example("budget used up", {**_FACTS, "disruption_allowed": 0}, _PARAMS, refusal="disruption-budget"),
        Example("where none may be made", {**_FACTS, "details": {"quota": {"pods": -1}}}, _PARAMS, refusal="quota"),
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
        if scope.kind != "Pod" and (refused := quota.refuses(facts)):
            return refused
        target = ObjectRef(kind="Pod", namespace=scope.namespace, name=pod.name, uid=pod.uid)
        evicted = Write(verb="evict", target=target)
        replaced = Write(verb="watch", target=scope.ref, patience_s=_WITHIN_S)
        return Plan(
            writes=(evicted,) if scope.kind == "Pod" else (evicted, replaced),
            touches=Touches(unit="pod", count=1, population=facts.pod_count),
        )

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:
        replicas = facts.replicas
        if replicas is None:
            return Refusal(reason="not-found", text=f"{facts.scope.kind} {facts.scope.name} has no replicas any more")
        there = len(facts.live) + facts.pod_count - len(facts.pods)  # of very many not all are looked at
        if there < replicas.desired:
            return f"nothing has taken the place of {params.pod} yet: {there} of {replicas.desired} pods are there"
        youngest = min((pod.age_s for pod in facts.live), default=0)
        # The others had their own troubles before.
        slow = [pod for pod in facts.live if pod.age_s == youngest and not (pod.ready or _failing(pod))]
        return f"pod {slow[0].name} is not ready yet{f': {slow[0].reason}' if slow[0].reason else ''}" if slow else ""

    def healthy(self, facts: Facts) -> bool:
        # What the kubelet has evicted stays listed until somebody deletes it; its replacement is what counts.
        full = facts.replicas is None or facts.replicas.full
        return full and bool(facts.live) and all(_sound(pod) for pod in facts.live)


def _failing(pod: PodFacts) -> bool:
    """Whether it has failed already, so that nothing is left to wait for."""
    return any(state.crashed or state.waiting not in _STARTS for state in pod.containers)


def _sound(pod: PodFacts) -> bool:
    """Whether the pod is ready and not just between two crashes."""
    looping = any(state.waiting == "CrashLoopBackOff" for state in pod.containers)
    relapsed = pod.age_s < _YOUNG_S and any(state.restarts for state in pod.containers)
    return pod.ready and not looping and not relapsed
