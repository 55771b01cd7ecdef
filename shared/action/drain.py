"""Sends the pods of one cordoned node away, by the eviction API, some at a time, until a look finds none.

A plan cannot name these pods: between triage and executor they come and go, and a plan that names them would be
another one each time. So the plan names the node, with its uid, and what may go; what goes is decided by fresh looks
here. That is safe to repeat without a record of each: an eviction is of one pod by its uid and version, a pod that is
gone needs none, and disruption budgets are the API server's to keep.

Before each eviction the node is looked at again: it must be the same one, still cordoned, and not shut out. It must
never evict what `shared.action.nodes` keeps, nor force anything: a pod that does not go is waited for.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from shared import failpoint
from shared.action import nodes
from shared.kube import write as kube_write
from shared.kube.client import Kube
from shared.kube.details.node import pods_on
from shared.kube.errors import Conflict, NotFound, Throttled
from shared.model.details import NodePod
from shared.model.facts import ObjectRef
from shared.model.plan import Refusal, Write

BATCH: Final = 10  # evictions of one look
_WORDS: Final = 160  # characters of the API's own


class Look(NamedTuple):
    """What one look came to: nothing left, or whom it waits for, or why it must not go on."""

    left: int = 0
    held: int = 0  # of them so many that a disruption budget keeps
    text: str = ""
    refusal: Refusal | None = None


def some(
    kube: Kube, write: Write, *, mark: str, field_manager: str, own: Collection[str],
    may: Callable[[str], Refusal | None],
) -> Look:  # fmt: skip
    """Evict at most `BATCH` pods of the node. `may`: whether one in that namespace may go now. Raises KubeError."""
    pods = pods_on(kube, write.target.name)
    sorted_out = nodes.leave(pods, local=write.after["local"], unmanaged=write.after["unmanaged"], own=own)
    if sorted_out.refusal:
        return Look(refusal=sorted_out.refusal)
    held: list[NodePod] = []
    why = ""
    for tried, pod in enumerate(sorted_out.go):
        if tried - len(held) == BATCH:  # those that are held keep no place from the others
            break
        if refusal := _astray(kube, write, mark) or may(pod.namespace):
            return Look(refusal=refusal)
        if said := _evict(kube, pod, mark=mark, field_manager=field_manager):
            held.append(pod)
            why = said
    waits = [*sorted_out.go, *sorted_out.going]
    if not waits:
        return Look()
    text = f"{len(waits)} pods are still on {write.target.name}: {nodes.names(held or waits)}"
    return Look(len(waits), len(held), text + (f" kept by a disruption budget ({why})" if held else ""))


def _astray(kube: Kube, write: Write, mark: str) -> Refusal | None:
    """Why the node is not to be drained any more."""
    seen, name = kube_write.read(kube, write), write.target.name
    if not (seen.exists and seen.uid_ok):
        return Refusal(reason="not-found", text=f"node {name} is gone or another one has its name")
    if seen.mark != mark:
        return Refusal(
            reason="changed", text=f"node {name} carries the mark of somebody else's attempt, or is shut out"
        )
    if not seen.holds:
        return Refusal(reason="changed", text=f"node {name} was un-cordoned meanwhile")
    return None


def _evict(kube: Kube, pod: NodePod, *, mark: str, field_manager: str) -> str:
    """Why it cannot go now, in the API's words; empty when it is on its way, or somebody else's matter by now."""
    target = ObjectRef(kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid)
    one = Write(verb="evict", target=target)
    seen = kube_write.read(kube, one)
    if not seen.holds:
        return ""
    failpoint.hit("before-write")
    try:
        kube_write.apply(
            kube, one, mark=mark, undo=False, field_manager=field_manager, resource_version=seen.resource_version,
            dry_run=False,
        )  # fmt: skip
    except (Conflict, NotFound):
        return ""  # the next look sees what became of it
    except Throttled as error:
        return str(error)[-_WORDS:]
    failpoint.hit("after-write")
    return ""
