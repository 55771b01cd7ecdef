"""The resize subresource of pods: what of a patch it takes, and what it refuses. Knows no store.

As on a real API server, whatever else was patched with it is dropped without a word: a mark goes on the pod first.
"""

from typing import Any, Final

from shared.dev.cluster_errors import Cause
from shared.dev.cluster_quantity import amounts

Object = dict[str, Any]

_MUTABLE: Final = frozenset({"cpu", "memory"})
_INVALID, _FORBIDDEN = "FieldValueInvalid", "FieldValueForbidden"


def only(old: Object, new: Object) -> Object:
    """The pod with nothing of the patch but its containers' resources."""
    wanted = {one.get("name"): one for one in _containers(new)}
    containers = []
    for one in _containers(old):
        rest = {field: part for field, part in one.items() if field != "resources"}
        given = (wanted.get(one.get("name")) or {}).get("resources")
        containers.append(rest | ({"resources": given} if given else {}))
    spec = {**old["spec"], "containers": containers}
    meta = {**old["metadata"], "resourceVersion": new["metadata"]["resourceVersion"]}
    return with_requests({**old, "metadata": meta, "spec": spec})


def with_requests(pod: Object) -> Object:
    """A limit without a request is a request, too."""
    containers = []
    for one in _containers(pod):
        found = one.get("resources") or {}
        filled = {**(found.get("limits") or {}), **(found.get("requests") or {})}
        containers.append({**one, "resources": {**found, "requests": filled}} if found.get("limits") else one)
    return {**pod, "spec": {**(pod.get("spec") or {}), "containers": containers}} if containers else pod


def problems(old: Object, patched: Object, new: Object) -> list[Cause]:
    """What is wrong with a resize from `old` to `new`, which `only` has made of what was `patched`."""
    if [one.get("name") for one in _containers(old)] != [one.get("name") for one in _containers(patched)]:
        return [("spec.containers", _FORBIDDEN)]
    wrong: list[Cause] = []
    for at, (was, now) in enumerate(zip(_containers(old), _containers(new), strict=True)):
        wrong += _problems(was.get("resources") or {}, now.get("resources") or {}, f"spec.containers[{at}].resources")
    if not wrong and _quality(old) != _quality(new):
        wrong.append(("spec", _INVALID))
    return wrong


def _problems(was: Object, now: Object, path: str) -> list[Cause]:
    wrong: list[Cause] = []
    before, after = ({part: amounts(found.get(part)) for part in ("limits", "requests")} for found in (was, now))
    for part in ("limits", "requests"):
        wrong += [(f"{path}.{part}[{name}]", _INVALID) for name, value in after[part].items() if value < 0]
        if set(before[part]) - set(after[part]):
            wrong.append((f"{path}.{part}", _FORBIDDEN))
    least = after["limits"]
    wrong += [(f"{path}.requests", _INVALID) for name, value in after["requests"].items()
              if name in least and value > least[name]]  # fmt: skip
    if not wrong and any(
        before[part].get(name) != value for part in after for name, value in after[part].items() if name not in _MUTABLE
    ):
        wrong.append(("spec", _FORBIDDEN))
    return wrong


def _quality(pod: Object) -> str:
    """The pod's class of service, which a resize may not change."""
    found = [one.get("resources") or {} for one in _containers(pod)]
    sizes = [(amounts(one.get("limits")), amounts(one.get("requests"))) for one in found]
    if not any(limits or requests for limits, requests in sizes):
        return "BestEffort"
    equal = all(limits == requests and set(limits) >= _MUTABLE for limits, requests in sizes)
    return "Guaranteed" if equal else "Burstable"


def _containers(pod: Object) -> list[Object]:
    return (pod.get("spec") or {}).get("containers") or []
