"""PodDisruptionBudgets of the emulated cluster: what each allows, and the eviction that asks them.

As on a real API server, an eviction is counted before the pod's preconditions are looked at: one that is then refused
with 409 has used up its place until the controller gives up waiting for the pod to go.
"""

import math
from typing import Any, Final

from shared import clock
from shared.dev import cluster_delete
from shared.dev.cluster_errors import ApiError, bad
from shared.dev.cluster_store import Admit, Key, Object, Store, anybody
from shared.kube.selector import Selector

_WAITED_MS: Final = 120_000  # for an evicted pod to be on its way out
_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO: Final = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_OVER: Final = frozenset({"Succeeded", "Failed"})


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def count(store: Store) -> None:
    """Bring what each PodDisruptionBudget allows up to date, as its controller does."""
    with store.lock:
        for budget in store.all("PodDisruptionBudget"):
            meta = budget["metadata"]
            key = ("PodDisruptionBudget", meta["namespace"], meta["name"])
            store.status(key, _status(store, budget) | {"observedGeneration": meta["generation"]})


def _status(store: Store, budget: Object) -> Object:
    meta, spec = budget["metadata"], budget["spec"]
    pods = _selected(store, meta["namespace"], spec)
    now = clock.now_ms()
    here = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
    waiting = {name: at for name, at in ((budget.get("status") or {}).get("disruptedPods") or {}).items()
               if name in here and now - clock.parse_ms(at) < _WAITED_MS}  # fmt: skip
    healthy = sum(is_ready(pod) and pod["metadata"]["name"] in here - set(waiting) for pod in pods)
    expected, desired = _wanted(store, spec, pods)
    allowed = max(0, healthy - desired) if expected else 0
    status = {"currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected}
    return status | {"disruptionsAllowed": allowed} | ({"disruptedPods": waiting} if waiting else {})


def _wanted(store: Store, spec: Object, pods: list[Object]) -> tuple[int, int]:
    """Expected and desired pods. Shares and `maxUnavailable` are of what the pods' controllers should run."""
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if isinstance(least, int) and most is None:
        return len(pods), least
    if least is None and most is None:
        return 0, 0
    expected = sum(_scale(store, pods).values())
    if most is not None:
        return expected, max(0, expected - _share(most, expected))
    return expected, _share(least, expected)


def _share(value: Any, whole: int) -> int:
    return math.ceil(int(value[:-1]) * whole / 100) if isinstance(value, str) else int(value)


def _scale(store: Store, pods: list[Object]) -> dict[str, int]:
    """Replicas of each controller of these pods, by its uid; a ReplicaSet's are its Deployment's, where it has one."""
    found: dict[str, int] = {}
    for pod in pods:
        above: Object | None = pod
        owner: Object | None = pod
        while above is not None and (reference := _controller(above)) is not None:
            above = store.find(reference["kind"], pod["metadata"]["namespace"], reference["name"])
            owner = above or owner
        if owner is not None and owner is not pod:
            found[owner["metadata"]["uid"]] = int((owner.get("spec") or {}).get("replicas", 0))
    return found


def _controller(found: Object) -> Object | None:
    references = found["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def _selected(store: Store, namespace: str, spec: Object) -> list[Object]:
    if spec.get("selector") is None:
        return []  # an empty selector is every pod, none at all is no pod
    return store.all("Pod", namespace, Selector.of(spec["selector"]))


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def evict(store: Store, key: Key, body: Object, *, dry_run: bool, admit: Admit = anybody) -> Object:
    """Delete the pod if no budget forbids it now. `body` is an Eviction."""
    _, namespace, name = key
    if (body.get("metadata") or {}).get("name") != name:
        raise bad("name in URL does not match name in Eviction object")
    admit("evict", key)
    options = body.get("deleteOptions") or {}
    dry_run = dry_run or "All" in (options.get("dryRun") or [])
    wanted = options.get("preconditions") or {}
    with store.lock:
        pod = store.get(*key)
        if _phase(pod) not in _OVER | {"Pending"} and "deletionTimestamp" not in pod["metadata"]:
            _ask_budgets(store, namespace, pod, dry_run=dry_run)
        grace_s, leaves = options.get("gracePeriodSeconds"), "deletionTimestamp" in pod["metadata"]
        last = cluster_delete.begin(store, key, uid=wanted.get("uid", ""), version=wanted.get("resourceVersion", ""),
                                  grace_s=grace_s, dry_run=dry_run)  # fmt: skip
        if not dry_run and not leaves and store.find(*key) is not None:
            store.status(key, _told(last))
        count(store)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _told(pod: Object) -> Object:
    """The pod's status with the reason for its end."""
    why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    why |= {"message": "Eviction API: evicting", "lastTransitionTime": clock.iso(clock.now_ms())}
    status = pod.get("status") or {}
    return {**status, "conditions": [*(status.get("conditions") or []), why]}


def _ask_budgets(store: Store, namespace: str, pod: Object, *, dry_run: bool) -> None:
    count(store)  # the real controller is as quick as the pods' changes are rare
    name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
    budgets = [b for b in store.all("PodDisruptionBudget", namespace) if b["spec"].get("selector") is not None
               and Selector.of(b["spec"]["selector"]).matches(labels)]  # fmt: skip
    if len(budgets) > 1:
        raise ApiError(500, "", _TWO)
    for budget in budgets:
        status, policy = budget["status"], budget["spec"].get("unhealthyPodEvictionPolicy")
        # A pod that is not ready takes nothing from a budget that is met.
        spare = policy == "AlwaysAllow" or status["currentHealthy"] >= status["desiredHealthy"] > 0
        if not is_ready(pod) and spare:
            continue
        if status["disruptionsAllowed"] < 1:
            why = f"The disruption budget {budget['metadata']['name']} needs {status['desiredHealthy']} healthy pods"
            cause = {"reason": "DisruptionBudget", "message": f"{why} and has {status['currentHealthy']} currently"}
            raise ApiError(429, "TooManyRequests", _REFUSED, causes=[cause])
        if not dry_run:
            gone = (status.get("disruptedPods") or {}) | {name: clock.iso(clock.now_ms())}
            status = status | {"disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": gone}
            store.status(("PodDisruptionBudget", namespace, budget["metadata"]["name"]), status)
