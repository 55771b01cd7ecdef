"""Keeps new pods off one node for a while, and moves nothing: time for a node to recover, or for a person to look.

The sweeper lifts it when its time is over, by the ordinary undo. That is safe also for a node that is still ill: what
Kubernetes itself knows to be wrong with it keeps pods off by taints of its own.
"""

from typing import Any, ClassVar

from pydantic import Field

from shared.action import nodes
from shared.action.declare import Action, Example, Rule
from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Write

_SCOPE = {"kind": "Node", "name": "n1", "uid": "n-1"}
_NO_NODE = {"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d-1"}
_ALL = {"all": 3, "ready": 3, "schedulable": 3}
_NODE = {"ready": True, "pool": "blue", "in_pool": _ALL, "in_cluster": _ALL}
_FACTS = {"taken_at": 0, "scope": _SCOPE, "details": {"node": _NODE}}


def _with(**changes: Any) -> dict[str, Any]:
    return {**_FACTS, "details": {"node": {**_NODE, **changes}}}


class CordonNodeParams(Model):
    minutes: int = Field(default=60, ge=10, le=1440, strict=True)  # then it takes pods again
    allow_control_plane: bool = False


class CordonNode(Action):
    name = "cordon_node"
    summary = "Keep new pods off one node for a limited time."
    risk = "low"
    kind = "patch"
    scopes = ("Node",)
    Params = CordonNodeParams
    details = ("node",)
    rbac = (Rule("", "nodes", ("patch",)),)
    requests = 15
    cooldown_s = 600
    soak_s = 120
    width = "node"
    proof = "real workload"
    proved_by = "tests/cluster/test_real_nodes.py::TestACordon::test_keeps_the_scheduler_off_until_the_sweeper_lifts_it"
    examples: ClassVar = (
        Example("a node that flaps", _FACTS, {}, writes=1),
        Example("for a day, in no pool", _with(pool=""), {"minutes": 1440}, writes=1),
        Example(
            "already cordoned", _with(unschedulable=True, in_cluster={**_ALL, "schedulable": 2}), {},
            refusal="nothing-to-do",
        ),
        Example("the last that takes pods", _with(in_cluster={**_ALL, "schedulable": 1}), {}, refusal="last-node"),
        Example("a control plane", _with(control_plane=True), {}, refusal="protected"),
        Example("a control plane, allowed", _with(control_plane=True), {"allow_control_plane": True}, writes=1),
        Example("gone", {**_FACTS, "details": {}}, {}, refusal="not-found"),
        Example("no node", {"taken_at": 0, "scope": _NO_NODE}, {}, refusal="unsupported"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, node = facts.scope, nodes.seen(facts, "cordoned")
        if isinstance(node, Refusal):
            return node
        if node.unschedulable:
            return Refusal(reason="nothing-to-do", text=f"node {scope.name} takes no new pods already")
        if refusal := nodes.needed(scope.name, node, allow_control_plane=params.allow_control_plane):
            return refusal
        return Plan(
            writes=(Write(verb="patch", target=scope.ref, path="/spec/unschedulable", before=None, after=True),),
            touches=nodes.touches(node),
            until_s=params.minutes * 60,
        )

    def healthy(self, facts: Facts) -> bool:
        return facts.details.node is not None and facts.details.node.ready
