"""From what an alert names to what is healed: the root owner, found by following controllers and never by guessing.

A name that could belong to two things, an owner that was replaced, a controller that Akeso does not know: each is no
scope at all, because cooldowns and leases under a wrong key protect nothing. People are told instead.
"""

from typing import Any, Final, cast

from shared.kube.client import Kube
from shared.kube.errors import Refused
from shared.kube.kinds import KINDS
from shared.kube.named import SCALER, named
from shared.kube.shape import meta, part
from shared.model.facts import ObjectRef, Scope, ScopeKind

# Roots by themselves, whoever owns them: a CronJob's Job, an operator's StatefulSet.
_ROOTS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "Node", "PersistentVolumeClaim"})
_LINKS: Final = frozenset({"Pod", "ReplicaSet"})  # roots only when nothing controls them
# Not the node: it controls static pods, and is not what is ill when one of them is.
_OWNERS: Final = frozenset({"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job"})
_DEPTH: Final = 4  # Pod, ReplicaSet, Deployment, and one to spare


def resolve(kube: Kube, ref: ObjectRef) -> Scope | None:
    """Find the scope of an object as it is now, with the scope's uid.

    None when the object is gone, is not the one with that uid any more, is of a kind that nothing can heal, or its
    owners cannot be followed to an end. Raises KubeDown and Throttled: then nobody knows.
    """
    if ref.kind not in _ROOTS | _LINKS | {SCALER}:
        return None
    try:
        of = _scaled(kube, ref) if ref.kind == SCALER else ref
        return _climb(kube, of) if of else None
    except Refused:
        return None


def _scaled(kube: Kube, ref: ObjectRef) -> ObjectRef | None:
    """What an autoscaler scales; it is no patient itself."""
    found = named(kube, ref)
    if found is None or (ref.uid and meta(found).get("uid") != ref.uid):
        return None
    target = part(found, "spec", "scaleTargetRef")
    kind, name = str(target.get("kind", "")), str(target.get("name", ""))
    group = str(target.get("apiVersion", "")).rpartition("/")[0]
    known = kind in _OWNERS and group == KINDS[kind].group
    return ObjectRef(kind=kind, namespace=ref.namespace, name=name) if known and name else None


def _climb(kube: Kube, ref: ObjectRef) -> Scope | None:
    seen: set[str] = set()
    for _ in range(_DEPTH):
        found = kube.get(ref.kind, ref.namespace, ref.name)
        uid = str(((found or {}).get("metadata") or {}).get("uid", ""))
        if found is None or not uid or uid in seen or (ref.uid and uid != ref.uid):
            return None
        seen.add(uid)
        owner = _controller(found)
        if ref.kind in _ROOTS or owner is None:
            return Scope(kind=cast("ScopeKind", ref.kind), namespace=ref.namespace, name=ref.name, uid=uid)
        above = _reference(owner, ref.namespace)
        if above is None:
            return None
        ref = above
    return None


def _controller(found: dict[str, Any]) -> dict[str, Any] | None:
    owners = found["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if isinstance(owner, dict) and owner.get("controller")), None)


def _reference(owner: dict[str, Any], namespace: str) -> ObjectRef | None:
    kind, uid = str(owner.get("kind", "")), str(owner.get("uid", ""))
    # Another group's kind of that name is a stranger; without a uid the owner could be a later one of that name.
    if kind not in _OWNERS or str(owner.get("apiVersion", "")).rpartition("/")[0] != KINDS[kind].group or not uid:
        return None
    return ObjectRef(kind=kind, namespace=namespace, name=str(owner.get("name", "")), uid=uid)
