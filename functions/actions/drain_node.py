"""Empties one node: cordons it, then lets the eviction API send its pods away, so that every disruption budget holds.

The plan names the node alone, cordon and `drain`, and not its pods: between triage, approval and executor pods come
and go on every busy node, and a plan that listed them would be another plan each time and be skipped as changed.
What may go is part of the plan (`delete_local_data`, `allow_unmanaged`) and so of what is approved; which pods that
are is looked at again before each eviction (`shared.action.drain`). What is refused here by the pods there are, is
refused there for those that came later.

Pods of DaemonSets and mirror pods stay. What a budget keeps is waited for; when the time is up, or anything else
speaks against it half-way, the cordon is taken back at once: a node that is half empty and takes no pods is the worst
of both. When it has gone well the node stays cordoned for its time, so that a person can work on it.
"""

from typing import Any, ClassVar

from pydantic import Field

from shared.action import nodes
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.details import Node
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Write

_MOST = 60  # pods; more than that at once is a move of a person
_PATIENCE_S = 1500

_SCOPE = {"kind": "Node", "name": "n1", "uid": "n-1"}
_ALL = {"all": 3, "ready": 3, "schedulable": 3}
_POD = {"namespace": "shop", "name": "web-1", "uid": "p-1", "owner": "ReplicaSet"}
_AGENT = {"namespace": "shop", "name": "agent-1", "uid": "p-2", "owner": "DaemonSet", "traits": ["daemonset"]}
_NODE = {"ready": True, "pool": "blue", "in_pool": _ALL, "in_cluster": _ALL, "pods": [_POD, _AGENT]}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "details": {"node": _NODE}}


def _with(*pods: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**_FACTS, "details": {"node": {**_NODE, **changes, **({"pods": list(pods)} if pods else {})}}}


_BARE = {**_POD, "owner": "", "traits": ["unmanaged"]}
_LOCAL = {**_POD, "traits": ["local"]}


class DrainNodeParams(Model):
    minutes: int = Field(default=240, ge=10, le=1440, strict=True)  # then it takes pods again
    delete_local_data: bool = False  # what a pod keeps in an emptyDir goes with it
    allow_unmanaged: bool = False  # nothing makes a pod without an owner anew
    allow_control_plane: bool = False


class DrainNode(Action):
    name = "drain_node"
    summary = "Cordon one node and evict its pods as their disruption budgets allow."
    risk = "high"
    kind = "drain"
    scopes = ("Node",)
    Params = DrainNodeParams
    details = ("node",)
    rbac = (
        Rule("", "nodes", ("patch",)),
        Rule("", "pods", ("get", "patch")),
        Rule("", "pods/eviction", ("create",)),
    )
    requests = 39
    cooldown_s = 900
    soak_s = 180
    step_s = 10  # it waits for minutes: a run looks a few times and comes again
    run_s = 1800
    downtime_s = 60
    width = "node"
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_nodes.py::TestADrain"
        "::test_across_two_nodes_waits_for_its_budget_and_is_lifted_by_the_sweeper"
    )
    examples: ClassVar = (
        Example("a failing machine", _FACTS, {}, writes=2),
        Example(
            "cordoned by somebody before", _with(unschedulable=True, in_cluster={**_ALL, "schedulable": 2},
            in_pool={**_ALL, "schedulable": 2}), {}, writes=1,
        ),
        Example("a pod without owner, allowed", _with(_BARE), {"allow_unmanaged": True}, writes=2),
        Example("a pod without owner", _with(_BARE), {}, refusal="bare-pod"),
        Example("data on the node, allowed", _with(_LOCAL), {"delete_local_data": True}, writes=2),
        Example("data on the node", _with(_LOCAL), {}, refusal="unsupported"),
        Example("Akeso's own pod", _with({**_POD, "namespace": "akeso-system"}), {}, refusal="protected"),
        Example("a pod that is marked", _with({**_POD, "traits": ["protected"]}), {}, refusal="protected"),
        Example("a control plane", _with(control_plane=True), {}, refusal="protected"),
        Example("too many pods", _with(*({**_POD, "name": f"web-{n}"} for n in range(61))), {}, refusal="bounds"),
        Example("empty but for what stays", _with(_AGENT, unschedulable=True), {}, refusal="nothing-to-do"),
        Example("the last that takes pods", _with(in_cluster={**_ALL, "schedulable": 1}), {}, refusal="last-node"),
        Example("lost", _with(ready=False, in_cluster={**_ALL, "ready": 2, "schedulable": 2}), {},
                refusal="unsupported"),
        Example("gone", {**_FACTS, "details": {}}, {}, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, node = facts.scope, nodes.seen(facts, "drained")
        if isinstance(node, Refusal):
            return node
        if not node.ready:
            text = f"node {scope.name} is lost: its pods could not tell that they have ended, and Kubernetes moves them"
            return Refusal(reason="unsupported", text=text)
        if refusal := nodes.needed(scope.name, node, allow_control_plane=params.allow_control_plane):
            return refusal
        leave = nodes.leave(node.pods, local=params.delete_local_data, unmanaged=params.allow_unmanaged)
        if leave.refusal:
            return leave.refusal
        if len(leave.go) > _MOST or node.more:
            text = f"node {scope.name} has more than {_MOST} pods that would have to go: a person drains it in parts"
            return Refusal(reason="bounds", text=text)
        if node.unschedulable and not leave.go and not leave.going:
            return Refusal(reason="nothing-to-do", text=f"node {scope.name} is cordoned and empty already")
        return self._plan(facts, node, params)

    @staticmethod
    def _plan(facts: Facts, node: Node, params: Any) -> Plan:
        target = facts.scope.ref
        cordon = Write(verb="patch", target=target, path="/spec/unschedulable", before=None, after=True)
        may = {"local": params.delete_local_data, "unmanaged": params.allow_unmanaged}
        drain = Write(verb="drain", target=target, after=may, patience_s=_PATIENCE_S)
        return Plan(
            writes=(drain,) if node.unschedulable else (cordon, drain),
            touches=nodes.touches(node),
            until_s=0 if node.unschedulable else params.minutes * 60,  # the cordon of somebody else is his to lift
            takes_back=True,
        )

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:
        """Asked before each look as well: others may have gone since the plan was made."""
        node = nodes.seen(facts, "drained")
        if isinstance(node, Refusal):
            return node
        return nodes.needed(facts.scope.name, node, allow_control_plane=params.allow_control_plane) or ""

    def healthy(self, facts: Facts) -> bool:
        node = facts.details.node
        if node is None or not node.unschedulable:
            return False
        leave = nodes.leave(node.pods, local=True, unmanaged=True, own=())
        return not leave.go and not leave.going
