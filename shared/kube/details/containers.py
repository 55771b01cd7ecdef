"""What each container asks for and gets, and whether its node could change that while it runs."""

import re
from collections.abc import Iterator
from typing import Any, Final

from shared.kube.pods import pods_of
from shared.kube.reader import Object, Reader
from shared.kube.shape import cpu, dicts, meta, ms, name, part, size, strings, within, word
from shared.model.details import Amount, Amounts, Container, Containers, LiveContainer, LivePod
from shared.model.facts import OVER, Scope

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")
RIGHTS: Final = (("", "pods", "list"), ("", "nodes", "list"))

KEPT: Final = "akeso.dev/resources-of"
_KEPT: Final = 2000  # characters
_CONTAINERS, _PODS, _ROOM = 10, 50, 12_000
# A kubelet resizes from 1.33 on without being told to by a feature gate, but the API server of that version refuses to
# take memory away again, and what cannot be taken back is not done.
_IN_PLACE = (1, 34)
_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?!\d).*", re.DOTALL | re.ASCII)


def look(kube: Reader, scope: Scope, found: Object) -> Containers:
    pods = [pod for pod in pods_of(kube, scope, found) if _lives(pod)]
    killed = _killed(pods)
    spec = part(found, "spec") if scope.kind == "Pod" else part(found, "spec", "template", "spec")
    live = within((_pod(pod) for pod in sorted(pods, key=lambda pod: name(meta(pod).get("name")))), _PODS, _ROOM)
    return Containers(
        containers=tuple(_container(at, one, killed) for at, one in _listed(spec)),
        pods=live,
        more=len(live) < len(pods),
        kept=strings(meta(found).get("annotations")).get(KEPT, "")[:_KEPT],
        in_place=_in_place(kube, pods),
    )


def _lives(pod: Object) -> bool:
    return word(part(pod, "status").get("phase")) not in OVER and "deletionTimestamp" not in meta(pod)


def _listed(spec: Object) -> Iterator[tuple[int, Object]]:
    """The first containers, each with its place in the list as it is."""
    listed = spec.get("containers")
    places = enumerate(listed if isinstance(listed, list) else ())
    yield from [(at, one) for at, one in places if isinstance(one, dict)][:_CONTAINERS]


def _container(at: int, one: Object, killed: dict[str, int]) -> Container:
    policies = {
        word(policy.get("resourceName")): word(policy.get("restartPolicy")) for policy in dicts(one.get("resizePolicy"))
    }
    return Container(
        name=word(one.get("name")),
        index=at,
        requests=_amounts(one, "requests"),
        limits=_amounts(one, "limits"),
        plain=_plain(one),
        resize_cpu=policies.get("cpu", ""),
        resize_memory=policies.get("memory", ""),
        oom_at=killed.get(word(one.get("name")), 0),
    )


def _pod(pod: Object) -> LivePod:
    given = {word(status.get("name")): status for status in dicts(part(pod, "status").get("containerStatuses"))}
    return LivePod(
        name=name(meta(pod).get("name")),
        uid=name(meta(pod).get("uid")),
        node=name(part(pod, "spec").get("nodeName")),
        containers=tuple(_live(at, one, given) for at, one in _listed(part(pod, "spec"))),
    )


def _live(at: int, one: Object, given: dict[str, Object]) -> LiveContainer:
    requests, limits = _amounts(one, "requests"), _amounts(one, "limits")
    status = given.get(word(one.get("name")), {})
    there = bool(part(status, "resources"))
    actual_requests, actual_limits = _amounts(status, "requests"), _amounts(status, "limits")
    return LiveContainer(
        name=word(one.get("name")),
        index=at,
        requests=requests,
        limits=limits,
        plain=_plain(one),
        running="running" in part(status, "state"),
        actual_requests=actual_requests if there and actual_requests != requests else None,
        actual_limits=actual_limits if there and actual_limits != limits else None,
    )


def _plain(one: Object) -> bool:
    said = part(one, "resources")
    amounts = [*part(said, "limits").items(), *part(said, "requests").items()]
    known = {"limits", "requests"}.issuperset(said) and all(name in ("cpu", "memory") for name, _ in amounts)
    return known and all(isinstance(amount, str) for _, amount in amounts)


def _amounts(one: Object, which: str) -> Amounts:
    said = part(one, "resources", which)
    return Amounts(cpu=_amount(said.get("cpu"), cpu), memory=_amount(said.get("memory"), size))


def _amount(said: Any, read: Any) -> Amount | None:
    value = read(said)
    return None if value is None else Amount(value=value, text=str(said))


def _killed(pods: list[Object]) -> dict[str, int]:
    """When each container was killed last for want of memory."""
    last: dict[str, int] = {}
    for pod in pods:
        for status in dicts(part(pod, "status").get("containerStatuses")):
            for state in ("state", "lastState"):
                ended = part(status, state, "terminated")
                if ended.get("reason") == "OOMKilled":
                    container = word(status.get("name"))
                    last[container] = max(last.get(container, 0), ms(ended.get("finishedAt")))
    return last


def _in_place(kube: Reader, pods: list[Object]) -> bool:
    on = {name(part(pod, "spec").get("nodeName")) for pod in pods}
    versions = {name(meta(node).get("name")): _version(node) for node in kube.list("Node")} if pods else {}
    # A pod without a node gets one that nobody knows yet.
    return bool(on) and all(bool(node) and versions.get(node, (0, 0)) >= _IN_PLACE for node in on)


def _version(node: Object) -> tuple[int, int]:
    found = _VERSION.fullmatch(word(part(node, "status", "nodeInfo").get("kubeletVersion")))
    return (int(found[1]), int(found[2])) if found else (0, 0)
