"""What a look at a scope asks of the API, as rights: so that no action lists what its facts need.

It must name nothing that `shared.kube.facts` does not ask for: a right too many is a hole, one too few a broken look.
"""

from collections.abc import Iterable
from typing import Final

from shared.kube.kinds import KINDS

Right = tuple[str, str, str]  # group, resource, verb

_REPLICATED: Final = {"Deployment", "StatefulSet", "ReplicaSet"}
_SELECTING: Final = {*_REPLICATED, "DaemonSet", "Job"}


def base(kinds: Iterable[str]) -> list[Right]:
    """The rights for facts without details of scopes of these kinds; the stop's ConfigMap is everybody's."""
    kinds = [kind for kind in kinds if kind in KINDS]
    needed: list[Right] = [(KINDS[kind].group, KINDS[kind].plural, "get") for kind in kinds]
    if any(KINDS[kind].namespaced for kind in kinds):
        needed.append(("", "namespaces", "get"))
    if _SELECTING & set(kinds):
        needed.append(("", "pods", "list"))
    if _REPLICATED & set(kinds):
        needed.append(("autoscaling", "horizontalpodautoscalers", "list"))
    if (_SELECTING | {"Pod"}) & set(kinds):
        needed.append(("policy", "poddisruptionbudgets", "list"))
    return needed
