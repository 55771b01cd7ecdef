"""What every plan about a node must know: what it takes from its pool, who is left, and which pods would have to go.

Pure, because the same questions are asked when a drain is planned and again before each of its evictions. It must not
allow more by the second look than by the first.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from shared.model.details import Node, NodePod
from shared.model.facts import Facts
from shared.model.plan import Refusal, Touches
from shared.model.protected import BUILT_IN

HOME: Final = "akeso-system"
_STAYS: Final = frozenset({"mirror", "daemonset", "over"})  # made by the node, made for it, or at its end
_NAMED: Final = 3


class Leave(NamedTuple):
    """Which pods are to be evicted, which are on their way out, and what speaks against it."""

    go: tuple[NodePod, ...]
    going: tuple[NodePod, ...]
    refusal: Refusal | None = None


def touches(node: Node) -> Touches:
    """One node of all and of its pool; nodes that nobody has put into a pool are none together."""
    in_pool = node.in_pool.all if node.pool else 0
    return Touches(
        unit="node", count=1, population=node.in_cluster.all, pool=node.pool, pool_population=in_pool
    )  # fmt: skip


def seen(facts: Facts, done: str) -> Node | Refusal:
    """The node that the facts are of; `done`: what would be done to it, in a word."""
    scope, node = facts.scope, facts.details.node
    if scope.kind != "Node":
        return Refusal(reason="unsupported", text=f"a {scope.kind} is no node that could be {done}")
    if node is None or not scope.uid:
        return Refusal(reason="not-found", text=f"node {scope.name} was not there when the facts were taken")
    return node


def needed(name: str, node: Node, *, allow_control_plane: bool) -> Refusal | None:
    """Refuse for a control plane, and where no other node would take pods, of the cluster or of a pool with others."""
    if node.control_plane and not allow_control_plane:
        text = f"node {name} carries the control plane: allow it by allow_control_plane"
        return Refusal(reason="protected", text=text)
    itself = node.ready and not node.unschedulable
    if node.in_cluster.schedulable - itself < 1:
        return Refusal(reason="last-node", text=f"no other node than {name} is ready and takes pods")
    if node.pool and node.in_pool.all > 1 and node.in_pool.schedulable - itself < 1:
        return Refusal(
            reason="last-node", text=f"no other node of pool {node.pool} than {name} is ready and takes pods"
        )
    return None


def leave(pods: Iterable[NodePod], *, local: bool, unmanaged: bool, own: Collection[str] = (HOME,)) -> Leave:
    """Sort the pods of a node out, by namespace and name; the first one that must not go speaks for all."""
    live = [pod for pod in sorted(pods, key=lambda pod: (pod.namespace, pod.name)) if not _STAYS & set(pod.traits)]
    going = tuple(pod for pod in live if "leaving" in pod.traits)
    go = tuple(pod for pod in live if "leaving" not in pod.traits)
    for pod in go:
        if refusal := _kept(pod, local=local, unmanaged=unmanaged, own=own):
            return Leave(go, going, refusal)
    return Leave(go, going)


def names(pods: Collection[NodePod]) -> str:
    shown = ", ".join(f"{pod.namespace}/{pod.name}"[:90] for pod in list(pods)[:_NAMED])
    return f"{shown} and {len(pods) - _NAMED} more" if len(pods) > _NAMED else shown


def _kept(pod: NodePod, *, local: bool, unmanaged: bool, own: Collection[str]) -> Refusal | None:
    called = f"pod {pod.namespace}/{pod.name}"[:120]
    if pod.namespace in own:
        return Refusal(reason="protected", text=f"{called} is Akeso's own: a person drains the node it runs on")
    # A drain may send off what a protected namespace runs, where its budgets allow it; what somebody marked, never.
    if "protected" in pod.traits and pod.namespace not in BUILT_IN:
        return Refusal(reason="protected", text=f"{called} is marked as protected and would have to go")
    if "unmanaged" in pod.traits and not unmanaged:
        return Refusal(reason="bare-pod", text=f"nothing would make {called} anew: allow it by allow_unmanaged")
    if "local" in pod.traits and not local:
        text = f"{called} keeps data in an emptyDir, which would be lost: allow it by delete_local_data"
        return Refusal(reason="unsupported", text=text)
    return None
