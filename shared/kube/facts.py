"""One bounded look at the cluster around a scope: at most eight requests, and what its details ask for.

Without details none of them is over a whole cluster; with them, one page of its nodes at most.

What cannot be read for certain is reported in the careful way: an unknown autonomy is `observe`, an unreadable stop
is `freeze`. It must not decide anything, and it must not carry free text that somebody else wrote, but names.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, cast, get_args

from shared import clock
from shared.kube import details as looks
from shared.kube.client import Kube
from shared.kube.errors import KubeError
from shared.kube.named import named
from shared.kube.pods import LISTED, pods_of
from shared.kube.reader import Once, Reader
from shared.kube.selector import Selector
from shared.kube.shape import condition, dicts, gitops, is_of, is_true, marks, ms, number, part, strings, within, word
from shared.model.facts import OVER, Autonomy, ContainerState, Facts, ObjectRef, PodFacts, Replicas, Scope
from shared.model.protected import PROTECTED
from shared.model.stop import Halt, StopMode, halt

AUTONOMY: Final = "akeso.dev/autonomy"
MINIMUM_REPLICAS: Final = "akeso.dev/minimum-replicas"
MAXIMUM_REPLICAS: Final = "akeso.dev/maximum-replicas"
RESTARTED: Final = "akeso.dev/restarted"  # on a template: at which generation it was restarted last
STOP_CONFIGMAP: Final = "akeso-stop"

Object = dict[str, Any]

_PODS, _ROOM, _LABELS, _CONTAINERS = 50, 20_000, 32, 10
_LOOP_MS = 600_000  # the kubelet forgets a crash after ten minutes
_FELL_MS = 120_000  # what serves for longer than that may have come round
_OURS = "akeso-"
# They write specs as part of running the cluster (taints, an autoscaler's replicas); they are not "a person at work".
_SYSTEM: Final = frozenset({"kube-controller-manager", "kubelet", "kube-scheduler", "cloud-controller-manager"})


def take(
    kube: Kube, scope: Scope, object_ref: ObjectRef | None, *, stop_namespace: str, stop_of: Iterable[str] = (),
    count: bool = False, details: Iterable[str] | None = (),
) -> Facts | None:  # fmt: skip
    """Snapshot of the scope as it is now, under its present uid; None when the scope is gone.

    `stop_of`: the scoped keys whose stop counts beside the one of everything. With `count` also how many pods the
    namespace has, which only a proposal is judged by. `details`: the further looks, by name; None for all that fit.
    Raises KubeError when anything but the stop ConfigMap cannot be read: half a snapshot is none.
    """
    taken_at = clock.now_ms()
    found = kube.get(scope.kind, scope.namespace, scope.name)
    if found is None:
        return None
    meta = part(found, "metadata")
    present, once = scope.model_copy(update={"uid": str(meta.get("uid", ""))}), Once(kube)
    spec, status = part(found, "spec"), part(found, "status")
    home = kube.get("Namespace", "", scope.namespace) if scope.namespace else found
    home_labels = strings(part(home or {}, "metadata").get("labels"))
    pods = pods_of(once, scope, found)
    replicas = _replicas(scope.kind, meta, spec, status)
    changed_by, changed_at = _last_change(meta)
    return Facts(
        taken_at=taken_at,
        scope=present,
        object=_object(once, present, object_ref),
        autonomy=_autonomy(home_labels),
        protected=any(PROTECTED in marks(thing) for thing in (found, home or {})),
        namespace_labels=_bounded(home_labels) if scope.namespace else {},
        namespace_pods=kube.count("Pod", scope.namespace) if count and scope.namespace else 0,
        replicas=replicas,
        pods=within((_pod(pod, taken_at) for pod in sorted(pods, key=_worst_first)), _PODS, _ROOM),
        pod_count=_count(pods, status),
        autoscaler=_autoscaler(once, scope) if "replicas" in spec else "",
        disruption_allowed=_disruption_allowed(once, scope, found),
        gitops_owner=gitops(found),
        paused=bool(spec.get("paused") or spec.get("suspend")),
        rolling_out=_rolling_out(scope.kind, meta, spec, status),
        last_changed_by=changed_by,
        last_changed_at=changed_at,
        spec=_spec(scope.kind, meta, spec),
        details=looks.take(once, scope, found, details),
        stop_mode=stop_mode(kube, stop_namespace, stop_of),
    )


def read_configmap(kube: Kube, namespace: str, name: str) -> dict[str, str] | None:
    """Read the data of a ConfigMap, None when there is none. Raises KubeError."""
    found = kube.get("ConfigMap", namespace, name)
    return None if found is None else strings(found.get("data"))


def stop_mode(kube: Kube, namespace: str, of: Iterable[str] = ()) -> StopMode:
    return read_stop(kube, namespace, of).mode


def read_stop(kube: Kube, namespace: str, of: Iterable[str] = ()) -> Halt:
    """Read how far the machine may go, in everything and by the scoped keys `of`.

    What nobody can read or understand means freeze.
    """
    try:
        data = read_configmap(kube, namespace, STOP_CONFIGMAP)
    except KubeError:
        return Halt("freeze")
    return halt(data, of)


def is_marked(kube: Kube, scope: Scope) -> bool:
    """Whether the scope, or its namespace, carries the mark that keeps every machine away. Raises KubeError."""
    found = [kube.get(scope.kind, scope.namespace, scope.name)]
    found += [kube.get("Namespace", "", scope.namespace)] if scope.namespace else []
    return any(PROTECTED in marks(thing or {}) for thing in found)


def _autonomy(labels: dict[str, str]) -> Autonomy:
    value = labels.get(AUTONOMY, "")
    return cast("Autonomy", value) if value in get_args(Autonomy) else "observe"


def _bounded(labels: dict[str, str]) -> dict[str, str]:
    # Ours first: the bound must never hide the label that somebody set for us.
    return dict(sorted(labels.items(), key=lambda item: (not item[0].startswith("akeso.dev/"), item[0]))[:_LABELS])


def _object(kube: Reader, scope: Scope, ref: ObjectRef | None) -> ObjectRef | None:
    if ref is None:
        return None
    if (ref.kind, ref.namespace, ref.name) == (scope.kind, scope.namespace, scope.name):
        uid = scope.uid
    else:
        found = named(kube, ref)
        uid = str(part(found or {}, "metadata").get("uid", ""))
    if not uid or (ref.uid and ref.uid != uid):
        return None
    return ref.model_copy(update={"uid": uid})


def _count(pods: list[Object], status: Object) -> int:
    return len(pods) if len(pods) < LISTED else max(len(pods), number(status.get("replicas")))


def _worst_first(pod: Object) -> tuple[bool, bool, str]:
    """Those that are over come last: a node out of disk leaves hundreds, and the bound must hide no pod that lives."""
    over = word(part(pod, "status").get("phase")) in OVER
    return over, is_true(pod, "Ready"), str(part(pod, "metadata").get("name", ""))


def _pod(pod: Object, now: int) -> PodFacts:
    meta, status = part(pod, "metadata"), part(pod, "status")
    containers = [*dicts(status.get("containerStatuses")), *dicts(status.get("initContainerStatuses"))]
    created = ms(meta.get("creationTimestamp"))
    return PodFacts(
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        phase=word(status.get("phase")),
        reason=_reason(status),
        ready=is_true(pod, "Ready"),
        deleting="deletionTimestamp" in meta,
        age_s=max(0, (now - created) // 1000) if created else 0,
        containers=tuple(_container(container, now) for container in containers[:_CONTAINERS]),
    )


def _reason(status: Object) -> str:
    """Why the pod as a whole does not run: its node's word, or the scheduler's."""
    unplaced = condition({"status": status}, "PodScheduled")
    return word(status.get("reason") or (unplaced.get("reason") if unplaced.get("status") == "False" else ""))


def _container(status: Object, now: int) -> ContainerState:
    state = part(status, "state")
    ended = part(state, "terminated") or part(part(status, "lastState"), "terminated")
    code = ended.get("exitCode")
    failed, ago = code != 0 and bool(ended), now - ms(ended.get("finishedAt"))
    return ContainerState(
        name=word(status.get("name")),
        ready=bool(status.get("ready")),
        restarts=number(status.get("restartCount")),
        waiting=word(part(state, "waiting").get("reason")),
        terminated=word(ended.get("reason")),
        exit_code=code if isinstance(code, int) else None,
        crashed=failed and ago < _LOOP_MS,
        fell=failed and ago < _FELL_MS,
    )


def _replicas(kind: str, meta: Object, spec: Object, status: Object) -> Replicas | None:
    observed = number(status.get("observedGeneration")) >= number(meta.get("generation"))
    if kind == "DaemonSet":
        return Replicas(
            desired=number(status.get("desiredNumberScheduled")),
            ready=number(status.get("numberReady")),
            updated=number(status.get("updatedNumberScheduled")),
            available=number(status.get("numberAvailable")),
            observed=observed,
        )
    if kind in {"Deployment", "StatefulSet", "ReplicaSet"}:
        ready = number(status.get("readyReplicas"))
        return Replicas(
            desired=number(spec.get("replicas", 1)),
            ready=ready,
            updated=number(status.get("updatedReplicas")),
            available=number(status.get("availableReplicas")),
            observed=observed,
        )
    return None


def _autoscaler(kube: Reader, scope: Scope) -> str:
    for autoscaler in kube.list("HorizontalPodAutoscaler", scope.namespace):
        if is_of(part(autoscaler, "spec", "scaleTargetRef"), scope):
            return str(part(autoscaler, "metadata").get("name", ""))
    return ""


def _disruption_allowed(kube: Reader, scope: Scope, found: Object) -> int | None:
    template = found if scope.kind == "Pod" else part(part(found, "spec"), "template")
    labels = strings(part(template, "metadata").get("labels"))
    if not scope.namespace or not template:
        return None
    allowed = [
        _allowed(budget)
        for budget in kube.list("PodDisruptionBudget", scope.namespace)
        if (selector := part(budget, "spec").get("selector")) is not None and Selector.of(selector).matches(labels)
    ]
    return min(allowed, default=None)


def _allowed(budget: Object) -> int:
    # Until its controller has seen the present spec, the API server refuses every eviction under that budget.
    meta, status = part(budget, "metadata"), part(budget, "status")
    seen = number(status.get("observedGeneration")) >= number(meta.get("generation"))
    return number(status.get("disruptionsAllowed")) if seen else 0


def _rolling_out(kind: str, meta: Object, spec: Object, status: Object) -> bool:
    """Whether `kubectl rollout status` would wait, except that pods which fail after a finished rollout are no rollout.

    A crash loop leaves replicas unavailable for ever; the Progressing condition tells it from a rollout under way.
    """
    if kind not in {"Deployment", "StatefulSet", "DaemonSet"}:
        return False
    if number(status.get("observedGeneration")) < number(meta.get("generation")):
        return True
    if kind == "Deployment":
        return _deployment_rolling(spec, status)
    if part(spec, "updateStrategy").get("type") == "OnDelete":
        return False
    updated = number(status.get("updatedReplicas"))
    if kind == "DaemonSet":
        return number(status.get("updatedNumberScheduled")) < number(status.get("desiredNumberScheduled"))
    partition = number(part(part(spec, "updateStrategy"), "rollingUpdate").get("partition"))
    if partition:
        return updated < number(spec.get("replicas", 1)) - partition
    return bool(status.get("updateRevision") != status.get("currentRevision"))


def _deployment_rolling(spec: Object, status: Object) -> bool:
    reason = condition({"status": status}, "Progressing").get("reason")
    if reason == "ProgressDeadlineExceeded":
        return False
    updated = number(status.get("updatedReplicas"))
    if updated < number(spec.get("replicas", 1)) or number(status.get("replicas")) > updated:
        return True
    return number(status.get("availableReplicas")) < updated and reason != "NewReplicaSetAvailable"


def _last_change(meta: Object) -> tuple[str, int]:
    """Name and time of the newest foreign writer of the spec; an API server keeps one time per writer."""
    writers = [
        (ms(entry.get("time")), str(entry.get("manager", ""))[:128])
        for entry in dicts(meta.get("managedFields"))
        if "f:spec" in part(entry, "fieldsV1")
        and not str(entry.get("manager", "")).startswith(_OURS)
        and entry.get("manager") not in _SYSTEM
    ]
    at, by = max(writers, default=(0, ""))
    return by, at


def _spec(kind: str, meta: Object, spec: Object) -> Object:
    """What plans may read of it: numbers, closed words and what the owner has allowed by annotations."""
    bounded: Object = {}
    if isinstance(spec.get("replicas"), int):
        bounded["replicas"] = spec["replicas"]
    notes = strings(meta.get("annotations"))
    for name, note in (("minimum_replicas", MINIMUM_REPLICAS), ("maximum_replicas", MAXIMUM_REPLICAS)):
        text = notes.get(note, "")
        if text.isascii() and text.isdigit() and len(text) <= 5:  # noqa: PLR2004 - no workload has 100,000 pods
            bounded[name] = int(text)
    if part(spec, "strategy").get("type") == "Recreate":
        bounded["strategy"] = "Recreate"
    if kind == "DaemonSet":
        bounded |= _daemonset(meta, spec)
    return bounded


def _daemonset(meta: Object, spec: Object) -> Object:
    """How it is rolled, and what the last restart of it said."""
    template_notes = part(spec, "template", "metadata").get("annotations")
    strategy = part(spec, "updateStrategy")
    said = str(part(strategy, "rollingUpdate").get("maxUnavailable", 1))
    return {
        "generation": number(meta.get("generation")),
        "strategy": word(strategy.get("type")) or "RollingUpdate",
        "max_unavailable": said if re.fullmatch(r"[0-9]{1,5}|[0-9]{1,3}%", said, re.ASCII) else "1",
        "annotated": bool(template_notes),
        "restarted": word(strings(template_notes).get(RESTARTED, "")),
    }
