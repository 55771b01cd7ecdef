"""Isolates one pod and keeps it for people: it serves nobody, talks to nobody, and still runs with all that it knows.

First a NetworkPolicy without any rule, for a label that no other pod has; then all labels of the pod give way to that
one, in one write: from then on the policy isolates it, no Service sends to it, and its ReplicaSet makes another one.
In the other order it would be without an owner and not isolated for a moment.

How long it is kept is not for a machine to end. With its labels back the pod would be adopted again and be one too
many: the controller keeps the older one, so that the suspect would serve and its replacement be deleted. So the change
is not temporary: when its hours are over people are told, and take it back by `akeso undo` or delete the pod.

The cluster takes a NetworkPolicy also where nobody enforces it. An isolation that is none is worse than none, so a
plug-in must be known to be there, and no other policy may let traffic through to every pod (policies add up), or a
person says that he knows better.
"""

from typing import Any, ClassVar

from pydantic import Field

from shared.action import quota
from shared.action.declare import Action, Example, ObjectName, Rule
from shared.model.base import Model
from shared.model.details import QUARANTINE, Network, Seat
from shared.model.facts import Facts, ObjectRef
from shared.model.plan import Plan, Refusal, Touches, Write

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1"}
_SEAT = {"name": "web-7d4b9-abcde", "uid": "p-1", "labels": {"app": "web"}}
_POD = {"name": "web-7d4b9-abcde", "uid": "p-1", "ready": True}
_FACTS = {
    "taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 2, "ready": 2}, "pods": [_POD], "pod_count": 2,
    "details": {"network": {"enforcer": "calico", "pods": [_SEAT]}},
}  # fmt: skip
_PARAMS = {"pod": "web-7d4b9-abcde"}
_OPEN = {**_FACTS, "details": {"network": {"enforcer": "calico", "open_by": ["allow-dns"], "pods": [_SEAT]}}}
_BARE = {**_FACTS, "scope": {"kind": "Pod", "namespace": "shop", "name": "web-7d4b9-abcde", "uid": "p-1"}}


def _with(enforcer: str = "calico", **changes: Any) -> dict[str, Any]:
    return {**_FACTS, "details": {"network": {"enforcer": enforcer, "pods": [{**_SEAT, **changes}]}}}


class QuarantinePodParams(Model):
    pod: ObjectName
    hours: int = Field(default=24, ge=1, le=168, strict=True)  # then people are told that it is still there
    allow_unenforced: bool = False  # though nobody is known to enforce NetworkPolicies
    allow_open: bool = False  # though other policies let traffic through to it
    allow_bare: bool = False  # nothing takes the place of a pod without an owner
    allow_over_budget: bool = False  # though a disruption budget lets no pod go


class QuarantinePod(Action):
    name = "quarantine_pod"
    summary = "Isolate one pod from network and Services and keep it for people."
    risk = "high"
    kind = "create"
    scopes = ("Deployment", "ReplicaSet", "DaemonSet", "Pod")
    Params = QuarantinePodParams
    details = ("network", "quota")
    rbac = (
        Rule("networking.k8s.io", "networkpolicies", ("get", "create", "patch", "delete")),
        Rule("", "pods", ("get", "patch")),
    )
    requests = 31
    cooldown_s = 300
    soak_s = 120
    downtime_s = 30
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_remedies.py::TestAPodThatIsSuspected"
        "::test_is_let_go_by_its_service_and_its_owner_and_goes_on_running"
    )
    unproved = (
        "that no packet reaches it or leaves it: the network plug-in of the test's nodes enforces no NetworkPolicy"
    )
    examples: ClassVar = (
        Example("one of two", _FACTS, _PARAMS, writes=2),
        Example("nobody is known to enforce it", _with("unknown"), _PARAMS, refusal="unsupported"),
        Example("another policy lets traffic through", _OPEN, _PARAMS, refusal="unsupported"),
        Example("another policy does, allowed", _OPEN, {**_PARAMS, "allow_open": True}, writes=2),
        Example("another pod", _FACTS, {"pod": "web-7d4b9-zzzzz"}, refusal="not-found"),
        Example("with the node's own address", _with(host=True), _PARAMS, refusal="unsupported"),
        Example("made by its node", _with(mirror=True), _PARAMS, refusal="unsupported"),
        Example("already there", _with(labels={QUARANTINE: "p-1"}), _PARAMS, refusal="nothing-to-do"),
        Example("already going", {**_FACTS, "pods": [{**_POD, "deleting": True}]}, _PARAMS, refusal="nothing-to-do"),
        Example("without owner", _BARE, _PARAMS, refusal="bare-pod"),
        Example("without owner, allowed", _BARE, {**_PARAMS, "allow_bare": True}, writes=2),
        Example("budget used up", {**_FACTS, "disruption_allowed": 0}, _PARAMS, refusal="disruption-budget"),
        Example(
            "where none may be made",
            {**_FACTS, "details": {"network": {"enforcer": "calico", "pods": [_SEAT]}, "quota": {"pods": -1}}}, _PARAMS,
            refusal="quota",
        ),
        Example(
            "whose name is its place", {"taken_at": 0, "scope": {**_SCOPE, "kind": "StatefulSet"}}, _PARAMS,
            refusal="unsupported",
        ),
        Example("not looked at", {**_FACTS, "details": {}}, _PARAMS, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, network = facts.scope, facts.details.network
        if scope.kind == "StatefulSet":
            text = f"nothing takes the place of {params.pod} while it is kept: a StatefulSet needs its name back"
            return Refusal(reason="unsupported", text=text)
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"pods of a {scope.kind} are not taken out one by one")
        pod = next((pod for pod in network.pods if pod.name == params.pod), None) if network else None
        if network is None or pod is None or not pod.uid:
            text = f"pod {params.pod} is none of {scope.kind} {scope.name} that were looked at"
            return Refusal(reason="not-found", text=text)
        if refusal := self._refusal(facts, pod, params) or _leaky(network, params):
            return refusal
        return _plan(facts, pod, params.hours)

    def _refusal(self, facts: Facts, pod: Seat, params: Any) -> Refusal | None:
        if pod.host or pod.mirror:
            why = "has its node's own address, which no NetworkPolicy is about" if pod.host else "is its node's own"
            return Refusal(reason="unsupported", text=f"pod {pod.name} {why}: isolate the node")
        if QUARANTINE in pod.labels:
            return Refusal(reason="nothing-to-do", text=f"pod {pod.name} is in quarantine already")
        if any(one.uid == pod.uid and one.deleting for one in facts.pods):
            return Refusal(reason="nothing-to-do", text=f"pod {pod.name} is being deleted already")
        if facts.scope.kind == "Pod" and not params.allow_bare:
            text = f"nothing would take the place of pod {pod.name}, which has no owner: allow it by allow_bare"
            return Refusal(reason="bare-pod", text=text)
        if facts.disruption_allowed == 0 and not params.allow_over_budget:
            text = "the disruption budget lets no pod go now: if it must go all the same, allow it by allow_over_budget"
            return Refusal(reason="disruption-budget", text=text)
        return None if facts.scope.kind == "Pod" else quota.refuses(facts, 1)  # it is kept, and counts

    def healthy(self, facts: Facts) -> bool:
        return facts.replicas is None or facts.replicas.full

    def worse(self, before: Facts, after: Facts) -> bool:  # noqa: ARG002  every action has this shape
        # What is worse is taken back by machine, and a suspect that serves again is no cure for a missing replica.
        return False


def _leaky(network: Network, params: Any) -> Refusal | None:
    """Why the pod would not be isolated."""
    text = ""
    if network.enforcer == "unknown" and not params.allow_unenforced:
        text = (
            "no network plug-in is known here that enforces NetworkPolicies, so the pod would not be isolated: "
            "if one does, say so by allow_unenforced"
        )
    elif network.open_by and not params.allow_open:
        text = (
            f"policies add up, and {', '.join(one[:63] for one in network.open_by[:2])} would still let traffic "
            "through: if that may stay, say so by allow_open"
        )
    return Refusal(reason="unsupported", text=text) if text else None


def _plan(facts: Facts, pod: Seat, hours: int) -> Plan:
    namespace, alone = facts.scope.namespace, {QUARANTINE: pod.uid}
    wall = ObjectRef(kind="NetworkPolicy", namespace=namespace, name=f"akeso-quarantine-{pod.uid}")
    target = ObjectRef(kind="Pod", namespace=namespace, name=pod.name, uid=pod.uid)
    rules = {"podSelector": {"matchLabels": alone}, "policyTypes": ["Ingress", "Egress"]}
    return Plan(
        writes=(
            Write(verb="create", target=wall, after={"spec": rules}),
            Write(verb="patch", target=target, path="/metadata/labels", before=pod.labels or None, after=alone),
        ),
        touches=Touches(unit="pod", count=1, population=facts.pod_count),
        reminds=f"pod {namespace}/{pod.name} has been in quarantine for {hours} h: delete it, or take it back"[:300],
        reminds_s=hours * 3600,
        takes_back=True,
    )
