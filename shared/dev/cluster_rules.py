"""What the emulated API finds wrong with an object: the rules that Akeso can come to break, not all that there are."""

import re
from typing import Any, Final

from shared.dev import cluster_claims
from shared.dev.cluster_errors import Cause
from shared.errors import MalformedError
from shared.kube.selector import Selector

Object = dict[str, Any]
Problems = list[Cause]

_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_PERCENT: Final = re.compile(r"[0-9]+%")
_NAME_CHARACTERS: Final = 253
_MOVABLE: Final = frozenset(
    {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"}
)
_WORKLOADS: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"})
SCALED: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet"})
_REQUIRED, _INVALID, _FORBIDDEN = "FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden"


def problems(new: Object, old: Object | None = None) -> Problems:
    """Field and reason of each problem; of a changed object only what was not wrong before."""
    found = _problems(new)
    if old is None:
        return found
    known = _problems(old)
    return [problem for problem in found if problem not in known] + _changes(old, new)


def _problems(found: Object) -> Problems:
    meta, spec, kind = found["metadata"], found.get("spec") or {}, found["kind"]
    wrong: Problems = []
    name = meta.get("name", "")
    if not name:
        wrong.append(("metadata.name", _REQUIRED))
    elif not _NAME.fullmatch(name) or len(name) > _NAME_CHARACTERS:
        wrong.append(("metadata.name", _INVALID))
    wrong += [
        ("metadata.labels", _INVALID) for value in (meta.get("labels") or {}).values() if not _LABEL.fullmatch(value)
    ]
    if kind in SCALED and spec.get("replicas", 1) < 0:
        wrong.append(("spec.replicas", _INVALID))
    if kind == "Pod":
        wrong += _pod(spec, "spec")
    if kind in _WORKLOADS:
        wrong += _workload(spec)
    if kind == "PodDisruptionBudget":
        wrong += _budget(spec)
    if kind == "HorizontalPodAutoscaler":
        wrong += _autoscaler(spec)
    if kind == "Job":
        wrong += _job(spec, "spec")
    if kind == "CronJob":
        wrong += [] if spec.get("schedule") else [("spec.schedule", _REQUIRED)]
        wrong += _job((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")
    return wrong


def _pod(spec: Object, path: str) -> Problems:
    containers = spec.get("containers") or []
    if not containers:
        return [(f"{path}.containers", _REQUIRED)]
    wrong: Problems = []
    for at, container in enumerate(containers):
        wrong += [
            (f"{path}.containers[{at}].{field}", _REQUIRED) for field in ("name", "image") if not container.get(field)
        ]
    return wrong


def _workload(spec: Object) -> Problems:
    wrong: Problems = [] if spec.get("selector") else [("spec.selector", _REQUIRED)]
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    try:
        fits = bool(spec.get("selector")) and Selector.of(spec["selector"]).matches(labels)
    except MalformedError:
        fits = False
    if not fits:
        wrong.append(("spec.template.metadata.labels", _INVALID))
    return wrong + _pod(template.get("spec") or {}, "spec.template.spec")


def _job(spec: Object, path: str) -> Problems:
    pod = (spec.get("template") or {}).get("spec") or {}
    wrong = _pod(pod, f"{path}.template.spec")
    if pod.get("restartPolicy") not in {"Never", "OnFailure"}:
        wrong.append((f"{path}.template.spec.restartPolicy", _REQUIRED))
    return wrong


def _budget(spec: Object) -> Problems:
    wrong: Problems = [("spec", _INVALID)] if {"minAvailable", "maxUnavailable"} <= set(spec) else []
    for field in ("minAvailable", "maxUnavailable"):
        value = spec.get(field, 0)
        if (isinstance(value, int) and value < 0) or (isinstance(value, str) and not _PERCENT.fullmatch(value)):
            wrong.append((f"spec.{field}", _INVALID))
    return wrong


def _autoscaler(spec: Object) -> Problems:
    target, most = spec.get("scaleTargetRef") or {}, spec.get("maxReplicas", 0)
    wrong: Problems = [] if most else [("spec.maxReplicas", _REQUIRED)]
    if most < spec.get("minReplicas", 1):
        wrong.append(("spec.maxReplicas", _INVALID))
    wrong += [(f"spec.scaleTargetRef.{field}", _REQUIRED) for field in ("kind", "name") if not target.get(field)]
    if "/" not in target.get("apiVersion", "") and target.get("apiVersion") != "v1":
        wrong.append(("spec.scaleTargetRef.apiVersion", _INVALID))
    return wrong


def _changes(old: Object, new: Object) -> Problems:
    """What may not change in an object that exists."""
    was, now, wrong = old["metadata"], new["metadata"], Problems()
    wrong += [(f"metadata.{field}", _INVALID) for field in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds")
              if was.get(field) != now.get(field)]  # fmt: skip
    if "deletionTimestamp" in was and set(now.get("finalizers") or []) - set(was.get("finalizers") or []):
        wrong.append(("metadata.finalizers", _FORBIDDEN))
    if old["kind"] in _WORKLOADS and (old.get("spec") or {}).get("selector") != (new.get("spec") or {}).get("selector"):
        wrong.append(("spec.selector", _INVALID))
    if old["kind"] == "Job" and _template(old) != _template(new):
        wrong.append(("spec.template.spec", _INVALID))
    if old["kind"] == "Pod" and _fixed(old) != _fixed(new):
        wrong.append(("spec", _FORBIDDEN))
    if old["kind"] == "PersistentVolumeClaim":
        wrong += cluster_claims.changes(old, new)
    return wrong


def _template(found: Object) -> Any:
    return ((found.get("spec") or {}).get("template") or {}).get("spec")


def _fixed(pod: Object) -> Object:
    """What of a pod that exists may not be patched: all but a few fields, of which a resize has its own way."""
    spec = pod.get("spec") or {}
    fixed = {name: part for name, part in spec.items() if name not in _MOVABLE}
    for field in ("containers", "initContainers"):
        fixed[field] = [{name: part for name, part in one.items() if name != "image"} for one in spec.get(field) or []]
    return fixed
