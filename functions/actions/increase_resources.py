"""Gives one container more cpu or memory: the pods that are ill in place where their nodes can, else by the template.

In place only while the container runs. Of one that waits to be started again a kubelet takes the new limit and never
raises that of the pod around it, so that it is killed as before (kubernetes/kubernetes#138760): there its owner makes
new pods.

It never gives less, nor more than the namespace, its quota or the largest node has room for, nor ever more than four
times what the owner has set: who needs that has a leak, or a decision to make.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from math import ceil
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.action import quota
from shared.action.declare import Action, Example, Rule
from shared.errors import MalformedError
from shared.kube import quantity
from shared.model.base import Model
from shared.model.details import Amount, Amounts, Container, Containers, LiveContainer, LivePod
from shared.model.facts import Facts, ObjectRef
from shared.model.plan import Plan, Refusal, Touches, Write

_MIB = 2**20
_TIMES = 4  # of what the owner has set
_FACTOR = 1.5
_PODS = 10  # so many are resized one by one
_GIVEN_S = 120
_KEPT = "/metadata/annotations/akeso.dev~1resources-of"

_SCOPE = {"kind": "Deployment", "namespace": "shop", "name": "checkout", "uid": "d-1"}
_MEMORY = {"memory": {"value": 64 * _MIB, "text": "64Mi"}}
_APP = {"name": "app", "index": 0, "plain": True, "limits": _MEMORY}
_RUNS = {**_APP, "requests": _MEMORY, "running": True}
_LIVE = {"name": "checkout-1", "uid": "p-1", "node": "n1", "containers": [_RUNS]}
_POD = {"name": "checkout-1", "uid": "p-1", "containers": [{"name": "app", "terminated": "OOMKilled", "restarts": 3}]}
_FACTS = {
    "taken_at": 0, "scope": _SCOPE, "replicas": {"desired": 1, "ready": 0}, "pods": [_POD], "pod_count": 1,
    "details": {"containers": {"containers": [_APP], "pods": [_LIVE], "in_place": True}, "room": {}},
}  # fmt: skip
_WAITS = {"containers": [_APP], "pods": [{**_LIVE, "containers": [{**_RUNS, "running": False}]}], "in_place": True}


def _like(scope: str = "Deployment", *, room: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Facts without a pod that could be resized in place."""
    details = {"containers": {"containers": [_APP], **changes}, "room": room or {}}
    none = {"replicas": {"desired": 0, "ready": 0}, "pods": [], "pod_count": 0}
    return {**_FACTS, **none, "scope": {**_SCOPE, "kind": scope}, "details": details}


class IncreaseResourcesParams(Model):
    """`factor`: so many times what it has, one and a half times unless `amount` says how much it is to be."""

    container: str = Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    resource: Literal["cpu", "memory"] = "memory"
    factor: float | None = Field(default=None, ge=1.1, le=2.0, allow_inf_nan=False)
    amount: str | None = Field(default=None, min_length=1, max_length=32)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.factor is not None and self.amount is not None:
            raise ValueError("factor or amount says how much, not both")
        if self.amount is not None:
            try:
                quantity.parse(self.amount)
            except MalformedError as error:
                raise ValueError(str(error)) from error
        return self


class IncreaseResources(Action):
    name = "increase_resources"
    summary = "Give one container more cpu or memory."
    risk = "medium"
    kind = "patch"
    scopes = ("Deployment", "StatefulSet", "DaemonSet")
    Params = IncreaseResourcesParams
    details = ("containers", "room", "quota")
    rbac = (
        Rule("", "pods", ("get", "patch")),
        Rule("", "pods/resize", ("patch",)),
        Rule("apps", "deployments", ("patch",)),
        Rule("apps", "statefulsets", ("patch",)),
        Rule("apps", "daemonsets", ("patch",)),
    )
    requests = 40
    cooldown_s = 900
    soak_s = 180
    proof = "real workload"
    proved_by = (
        "tests/cluster/test_real_remedies.py::TestAContainerThatHasOutgrownItsMemory"
        "::test_and_runs_gets_half_more_in_place"
    )
    unproved = "more cpu, and what a node cannot give: nothing starves for cpu here, and the nodes have plenty of both"
    examples: ClassVar = (
        Example("a pod that is killed, in place", _FACTS, {"container": "app"}, writes=2),
        Example(
            "a pod that waits to be started again", {**_FACTS, "details": {"containers": _WAITS, "room": {}}},
            {"container": "app"}, writes=2,
        ),
        Example("by the template", _like(), {"container": "app", "amount": "100Mi"}, writes=2),
        Example("by a StatefulSet's template", _like("StatefulSet"), {"container": "app"}, writes=2),
        Example("by a DaemonSet's template", _like("DaemonSet"), {"container": "app"}, writes=2),
        Example("less", _like(), {"container": "app", "amount": "1M"}, refusal="bounds"),
        Example("as much in other words", _like(), {"container": "app", "amount": "65536Ki"}, refusal="nothing-to-do"),
        Example("more than four times", _like(), {"container": "app", "amount": "1Gi"}, refusal="bounds"),
        Example("without a limit", _like(), {"container": "app", "resource": "cpu"}, refusal="nothing-to-do"),
        Example("another container", _like(), {"container": "web"}, refusal="not-found"),
        Example(
            "more than the namespace lets one have", _like(room={"container": {"memory": 65 * _MIB}}),
            {"container": "app"}, refusal="quota",
        ),
        Example(
            "more than the quota has left", _like(room={"left": {"limits_memory": 95 * _MIB}}), {"container": "app"},
            refusal="quota",
        ),
        Example(
            "more than a node has", _like(room={"node": {"memory": 80 * _MIB}}), {"container": "app"},
            refusal="capacity",
        ),
        Example(
            "where none may be made", {**_like(), "details": {**_like()["details"], "quota": {"pods": -1}}},
            {"container": "app"}, refusal="quota",
        ),
        Example("declared in Git", {**_like(), "gitops_owner": "argocd"}, {"container": "app"}, refusal="gitops"),
        Example("paused", {**_like(), "paused": True}, {"container": "app"}, refusal="paused"),
        Example("no workload", _like("Job"), {"container": "app"}, refusal="unsupported"),
        Example("gone", {**_like(), "replicas": None}, {"container": "app"}, refusal="not-found"),
    )  # fmt: skip

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:
        scope, seen = facts.scope, facts.details.containers
        if scope.kind not in self.scopes:
            return Refusal(reason="unsupported", text=f"containers of a {scope.kind} are not given more")
        if seen is None or facts.details.room is None or facts.replicas is None or not scope.uid:
            text = f"{scope.kind} {scope.name} was not there when the facts were taken"
            return Refusal(reason="not-found", text=text)
        container = next((one for one in seen.containers if one.name == params.container), None)
        if container is None:
            return Refusal(reason="not-found", text=f"{scope.kind} {scope.name} has no container {params.container}")
        limit = _of(container.limits, params.resource)
        if limit is None:
            text = f"container {container.name} has no {params.resource} limit: none holds it back"
            return Refusal(reason="nothing-to-do", text=text)
        ill = _ill(facts, seen, params)
        return _in_place(facts, params, container, ill) if ill else _by_template(facts, params, container)

    def arrived(self, facts: Facts, params: Any) -> str | Refusal:
        seen = facts.details.containers
        if seen is None:
            return Refusal(reason="not-found", text=f"{facts.scope.kind} {facts.scope.name} has no containers any more")
        waiting = [pod.name for pod in seen.pods for one in pod.containers
                   if one.name == params.container and one.actual_limits is not None]  # fmt: skip
        return f"the node has not given pod {waiting[0]} yet what it may have" if waiting else ""

    def healthy(self, facts: Facts) -> bool:
        replicas = facts.replicas
        full = replicas is not None and replicas.full
        return full and all(pod.at_rest for pod in facts.live) and not facts.rolling_out


def _of(amounts: Amounts, resource: str) -> Amount | None:
    return amounts.cpu if resource == "cpu" else amounts.memory


def _wanted(params: IncreaseResourcesParams, now: int) -> int:
    if params.amount is not None:
        return quantity.millis(params.amount) if params.resource == "cpu" else quantity.whole(params.amount)
    more = (Decimal(now) * Decimal(str(params.factor or _FACTOR))).to_integral_value(ROUND_CEILING)
    return int(more) if params.resource == "cpu" else ceil(more / _MIB) * _MIB


def _text(resource: str, value: int) -> str:
    return quantity.of_millis(value) if resource == "cpu" else quantity.of_bytes(value)


def _ill(facts: Facts, seen: Containers, params: IncreaseResourcesParams) -> list[LivePod]:
    """The pods that are to be resized in place: those that were killed, or all; none where that cannot be."""
    if not seen.in_place or seen.more:
        return []
    killed = {pod.uid for pod in facts.pods for state in pod.containers
              if state.name == params.container and state.terminated == "OOMKilled"}  # fmt: skip
    all_ = params.resource == "cpu" or not killed
    ill = [pod for pod in seen.pods if all_ or pod.uid in killed]
    able = all(any(_resizable(one, params) for one in pod.containers) for pod in ill)
    able = able and not {pod.uid for pod in ill} & _loops(facts, params.container)
    return sorted(ill, key=lambda pod: pod.name) if able and len(ill) <= _PODS else []


def _loops(facts: Facts, container: str) -> set[str]:
    """Uids of the pods in which it dies again and again: by turns it runs and waits, as one may happen to look."""
    return {pod.uid for pod in facts.pods for state in pod.containers if state.name == container
            and (state.waiting == "CrashLoopBackOff" or (state.crashed and state.restarts > 1))}  # fmt: skip


def _resizable(one: LiveContainer, params: IncreaseResourcesParams) -> bool:
    limited = _of(one.limits, params.resource) is not None
    return one.name == params.container and one.running and one.plain and limited


def _in_place(facts: Facts, params: IncreaseResourcesParams, of: Container, ill: list[LivePod]) -> Plan | Refusal:
    owners = _of(of.limits, params.resource)
    writes = []
    for pod in ill:
        one = next(one for one in pod.containers if _resizable(one, params))
        limit = _of(one.limits, params.resource)
        if limit is None or owners is None:  # which `_resizable` has seen to
            continue
        wanted = _wanted(params, limit.value)
        why = _no(facts, params, one, wanted, owners.value) or _no_room(
            facts, params, one, wanted, len(ill), surge=False
        )
        if why:
            return why
        target = ObjectRef(kind="Pod", namespace=facts.scope.namespace, name=pod.name, uid=pod.uid)
        path = f"/spec/containers/[name={one.name}]/resources"
        after = _grown(one, params.resource, wanted)
        writes.append(Write(verb="patch", target=target, path=path, sub="resize", before=_whole(one), after=after))
    restarts = (of.resize_cpu if params.resource == "cpu" else of.resize_memory) == "RestartContainer"
    return Plan(
        writes=(*writes, Write(verb="watch", target=facts.scope.ref, patience_s=_GIVEN_S)),
        touches=Touches(unit="pod", count=len(ill) if restarts else 0, population=facts.pod_count),
        takes_back=True,  # what a node does not give is no longer asked of it
    )


def _by_template(facts: Facts, params: IncreaseResourcesParams, one: Container) -> Plan | Refusal:
    scope, seen, limit = facts.scope, facts.details.containers, _of(one.limits, params.resource)
    if facts.gitops_owner:
        return Refusal(reason="gitops", text=f"{facts.gitops_owner} would put it back: change the resources in Git")
    if facts.paused:
        return Refusal(reason="paused", text=f"somebody has paused the rollout of {scope.name}: nothing would happen")
    if refused := quota.refuses(facts):
        return refused
    kept = _kept(seen.kept if seen else "")
    if kept is None or limit is None:
        text = f"annotation akeso.dev/resources-of of {scope.name} cannot be read: what the owner had set is not known"
        return Refusal(reason="unsupported", text=text)
    if not one.plain:
        text = f"container {one.name} asks for more than cpu and memory: change its resources by hand"
        return Refusal(reason="unsupported", text=text)
    key, wanted = f"{one.name}/{params.resource}", _wanted(params, limit.value)
    read = quantity.millis if params.resource == "cpu" else quantity.whole
    owners = kept.get(key, limit.text)
    if not read(owners) <= limit.value <= _TIMES * read(owners):  # by the owner, who has set it anew
        owners = limit.text
    count = facts.replicas.desired if facts.replicas else 0
    why = _no(facts, params, one, wanted, read(owners)) or _no_room(facts, params, one, wanted, count, surge=True)
    if why:
        return why
    target = scope.ref
    noted = ",".join(f"{name}={text}" for name, text in sorted({**kept, key: owners}.items()))
    before = seen.kept if seen else ""
    note = Write(verb="patch", target=target, path=_KEPT, before=before or None, after=noted)
    path = f"/spec/template/spec/containers/[name={one.name}]/resources"
    grow = Write(verb="patch", target=target, path=path, before=_whole(one), after=_grown(one, params.resource, wanted))
    ready = facts.replicas.ready if facts.replicas else 0
    away = ready if facts.spec.get("strategy") in ("Recreate", "OnDelete") else ceil(ready / 4)
    return Plan(
        writes=(grow,) if noted == before else (note, grow),
        touches=Touches(unit="pod", count=away, population=facts.pod_count),
    )


def _no(
    facts: Facts, params: IncreaseResourcesParams, one: Container | LiveContainer, wanted: int, owners: int
) -> Refusal | None:
    """What speaks against that much by itself."""
    limit = _of(one.limits, params.resource)
    now = limit.value if limit else 0
    if wanted == now:
        return Refusal(reason="nothing-to-do", text=f"container {one.name} has {_text(params.resource, now)} already")
    if wanted < now:
        text = f"container {one.name} has {_text(params.resource, now)} {params.resource}, and is never given less"
        return Refusal(reason="bounds", text=text)
    if wanted > owners * _TIMES:
        text = (
            f"{_text(params.resource, wanted)} {params.resource} is more than {_TIMES} times the"
            f" {_text(params.resource, owners)} that the owner of {facts.scope.name} has set: perhaps it leaks"
        )
        return Refusal(reason="bounds", text=text[:300])
    return None


def _no_room(
    facts: Facts, params: IncreaseResourcesParams, one: Container | LiveContainer, wanted: int, count: int, *,
    surge: bool,
) -> Refusal | None:  # fmt: skip
    """What speaks against it by how much there is: with `surge` a whole new pod stands beside the old ones."""
    resource, room, seen = params.resource, facts.details.room, facts.details.containers
    limit, request = _of(one.limits, resource), _of(one.requests, resource)
    if room is None or seen is None or limit is None:
        return Refusal(reason="not-found", text="nobody has looked how much room there is")
    others = [_of(it.limits, resource) for it in seen.containers if it.name != one.name]
    whole = wanted + sum(it.value for it in others if it)
    more, asked = (wanted - limit.value) * count, _text(resource, wanted)
    pinned = request is None or request.value == limit.value
    largest, pod, node = (getattr(it, resource) for it in (room.container, room.pod, room.node))
    if largest is not None and wanted > largest:
        text = f"a LimitRange lets no container have {asked} {resource}: {_text(resource, largest)} is the most"
        return Refusal(reason="quota", text=text)
    if pod is not None and whole > pod:
        text = f"a LimitRange lets no pod have {_text(resource, whole)} {resource}: {_text(resource, pod)} is the most"
        return Refusal(reason="quota", text=text)
    if node is not None and whole > node:
        text = (
            f"no node is large enough for {_text(resource, whole)} {resource}: the largest has {_text(resource, node)}"
        )
        return Refusal(reason="capacity", text=text)
    needed = more + (whole if surge else 0)
    counted = [f"limits_{resource}", *([f"requests_{resource}"] if pinned else [])]
    left = min((value for name in counted if (value := getattr(room.left, name)) is not None), default=None)
    if left is not None and needed > left:
        text = (
            f"the quota has {_text(resource, max(left, 0))} {resource} left, and {_text(resource, needed)} are needed"
        )
        return Refusal(reason="quota", text=text)
    return None


def _kept(text: str) -> dict[str, str] | None:
    """What the owner had set, as an earlier attempt has noted it; None when that cannot be read."""
    try:
        pairs = dict(_pairs(text))
    except (ValueError, MalformedError):
        return None
    return pairs


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(",") if text else ():
        name, amount = part.split("=")
        quantity.parse(amount)
        yield name, amount


def _whole(one: Container | LiveContainer) -> dict[str, dict[str, str]]:
    """Its resources as the API has them."""
    said = {"limits": _said(one.limits), "requests": _said(one.requests)}
    return {part: amounts for part, amounts in said.items() if amounts}


def _said(amounts: Amounts) -> dict[str, str]:
    return {name: amount.text for name, amount in (("cpu", amounts.cpu), ("memory", amounts.memory)) if amount}


def _grown(one: Container | LiveContainer, resource: str, wanted: int) -> dict[str, dict[str, str]]:
    """The same with that much: where it asks for all that it may have, it still does."""
    limit, request = _of(one.limits, resource), _of(one.requests, resource)
    whole = {part: dict(amounts) for part, amounts in _whole(one).items()}
    whole["limits"][resource] = _text(resource, wanted)
    if limit and request and request.value == limit.value:
        whole["requests"][resource] = _text(resource, wanted)
    return whole
