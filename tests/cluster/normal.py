"""What of an answer is compared: everything, except for what is written here, each with the reason why it is left out.

It must not hide a difference that the product could see. So a default is left out only while it has exactly that value,
identities become their order of appearance instead of nothing, and versions become "moved" or "same".
"""

import json
import re
from typing import Any, Final

from tests.cluster.api import Answer, Object

# Filled in by the real server where nobody said anything, read by nobody here, not emulated.
DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "terminationMessagePath": ("/dev/termination-log",), "terminationMessagePolicy": ("File",),
    "imagePullPolicy": ("IfNotPresent", "Always"), "resources": ({},), "restartPolicy": ("Always",),
    "terminationGracePeriodSeconds": (30,), "dnsPolicy": ("ClusterFirst",), "securityContext": ({},),
    "serviceAccountName": ("default",), "serviceAccount": ("default",), "enableServiceLinks": (True,),
    "preemptionPolicy": ("PreemptLowerPriority",), "priority": (0,), "protocol": ("TCP",),
    "revisionHistoryLimit": (10,), "progressDeadlineSeconds": (600,), "podManagementPolicy": ("OrderedReady",),
    "strategy": ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},),
    "updateStrategy": ({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                       {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}),
    "persistentVolumeClaimRetentionPolicy": ({"whenDeleted": "Retain", "whenScaled": "Retain"},),
    "volumeMode": ("Filesystem",), "backoffLimit": (6,), "completions": (1,), "parallelism": (1,),
    "completionMode": ("NonIndexed",), "manualSelector": (False,), "podReplacementPolicy": ("TerminatingOrFailed",),
    "metrics": ([{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],),
    "qosClass": ("BestEffort",), "reportingComponent": ("",), "reportingInstance": ("",), "type": ("", ),
    "successfulJobsHistoryLimit": (3,), "failedJobsHistoryLimit": (1,), "concurrencyPolicy": ("Allow",),
    "creationTimestamp": (None,), "firstTimestamp": (None,), "lastTimestamp": (None,), "eventTime": (None,),
    "source": ({},), "lastProbeTime": (None,), "lastTransitionTime": (None,),
}  # fmt: skip
# What the real controllers write to in between, so that versions and, but for a few, statuses tell nothing.
BUSY: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Namespace", "Scale", "Node",
                         "PodDisruptionBudget", "HorizontalPodAutoscaler", "PersistentVolumeClaim", "CronJob",
                         "ResourceQuota"})  # fmt: skip
# Made by the real controllers, under the name of their binary.
CONTROLLERS: Final = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", "kube"})
_THEIRS: Final = frozenset({"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"})
_PROTECTION: Final = "kubernetes.io/pvc-protection"  # by an admission plugin, on every claim
_STATUS_TOLD: Final = frozenset({"Namespace", "PodDisruptionBudget", "Scale"})
_TYPED: Final = "failed to create typed patch object"
_TOLERATED: Final = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Seen:
    """What one story has seen of one side so far."""

    def __init__(self) -> None:
        self._uids: list[str] = []
        self._versions: dict[str, str] = {}
        self._sent: set[str] = set()

    def sent(self, body: Any) -> None:
        """Remember the fields of a request: those of others are the server's own."""
        self._sent |= set(_paths(body))

    def answer(self, answer: Answer, *, keep: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> Any:
        """Status, what is left of the body, and the warnings, which come in no order."""
        body = self.body(answer.body)
        if answer.status < 300 and body.get("kind") != "Status":
            body = {path: at(body, path) for path in keep} if keep else body
            for path in drop:
                _cut(body, path)
        return answer.status, body, sorted(answer.warnings)

    def body(self, found: Object) -> Object:
        if found.get("kind") == "Status":
            return self._status(found)
        if isinstance(found.get("items"), list):
            return {**found, "items": [self.body(item) for item in found["items"]], "metadata": {}}
        meta = dict(found.get("metadata") or {})
        version, uid = meta.pop("resourceVersion", None), meta.get("uid", "")
        if found.get("kind") not in BUSY:  # the real controllers write to these in between
            before = self._versions.get(uid)
            meta["resourceVersion"] = version and (
                "first" if before is None else "same" if before == version else "moved"
            )
        if version:
            self._versions[uid] = version
        for field in ("creationTimestamp", "deletionTimestamp"):
            if field in meta:
                meta[field] = "a time"
        if "managedFields" in meta:
            meta["managedFields"] = self._managers(meta["managedFields"])
        if isinstance(meta.get("annotations"), dict):
            meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k not in _THEIRS}
        if "finalizers" in meta:
            meta["finalizers"] = [name for name in meta["finalizers"] if name != _PROTECTION]
        rest = _undefaulted({key: value for key, value in found.items() if key != "metadata"})
        if found.get("kind") in BUSY - _STATUS_TOLD:
            rest.pop("status", None)
        return self._identities({"metadata": {k: v for k, v in meta.items() if v not in ({}, None, [])}} | rest)

    def _status(self, found: Object) -> Object:
        """A Status without the words that only people read."""
        details = dict(found.get("details") or {})
        # The server checks some fields more than once and says so each time.
        causes = {(cause.get("field"), cause.get("reason")) for cause in details.pop("causes", [])}
        if causes:
            details["causes"] = sorted(map(str, causes))
        if "uid" in details:
            details["uid"] = "a uid"
        kept = {"code": found.get("code"), "reason": found.get("reason"), "status": found["status"], "details": details}
        # Go's names of types and whole objects stand in these; the client looks for neither in a 400 or a cause.
        if found.get("reason") != "BadRequest" and not any(field for field, _ in causes):
            said = str(found.get("message"))
            kept["message"] = _TYPED if said.startswith(_TYPED) else re.sub(r"\(\d+\)", "(a version)", said)
        return self._identities(kept)

    def _managers(self, entries: list[Object]) -> list[Any]:
        """Who owns which of the fields that somebody sent. The times are in whole seconds, so they tell nothing."""
        mine = [
            [entry["manager"], entry["operation"], entry.get("subresource", ""),
             sorted({path for path in _owned(entry.get("fieldsV1") or {}) if path in self._sent})]
            for entry in entries if entry["manager"] not in CONTROLLERS
        ]  # fmt: skip
        return sorted(entry for entry in mine if entry[3])

    def _identities(self, value: Any) -> Any:
        text = json.dumps(value, sort_keys=True)
        for uid in _UUID.findall(text):
            if uid not in self._uids:
                self._uids.append(uid)
        return json.loads(_UUID.sub(lambda m: f"uid {self._uids.index(m[0])}", text))


def names(answer: Answer) -> Any:
    """Of a list: the names in it, and where it goes on."""
    if answer.status != 200:
        return answer.status, answer.body.get("reason"), answer.body.get("code")
    meta, items = answer.body["metadata"], answer.body["items"]
    found = [i["metadata"]["name"] for i in items if i["metadata"]["name"] != "kube-root-ca.crt"]
    return 200, found, meta.get("remainingItemCount"), bool(meta.get("continue")), bool(meta.get("resourceVersion"))


def event(found: Object) -> Any:
    """Of a watch's event: its type, which object, and how it was then."""
    body = found["object"]
    if body.get("kind") == "Status":
        return found["type"], body.get("code"), body.get("reason")
    meta = body["metadata"]
    return found["type"], body["kind"], meta.get("name"), meta.get("labels"), body.get("data"), meta.get("annotations")


def at(value: Any, path: str) -> Any:
    for part in re.split(r"(?<!\\)\.", path):
        value = value.get(part.replace("\\", "")) if isinstance(value, dict) else None
    return value


def _cut(value: Any, path: str) -> None:
    *parts, last = path.split(".")
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.pop(last, None)


def _undefaulted(value: Any) -> Any:
    if isinstance(value, list):
        return [_undefaulted(item) for item in value if not _injected(item)]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return "a time"
    if not isinstance(value, dict):
        return value
    found = {key: _undefaulted(part) for key, part in value.items() if part not in DEFAULTS.get(key, ())}
    return {key: part for key, part in found.items() if part or part == value[key]}


def _injected(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return str(item.get("name", "")).startswith("kube-api-access-") or item.get("key") in _TOLERATED


def _paths(value: Any, prefix: str = "") -> list[str]:
    if isinstance(value, list):
        if prefix == "" and all(isinstance(item, dict) and "op" in item for item in value):
            return [
                path
                for item in value
                for path in _paths(item.get("value"), str(item.get("path", "")).replace("/", ".").replace("~1", "/"))
            ]
        return [path for item in value for path in ([prefix, *_paths(item, prefix)])]
    if not isinstance(value, dict):
        return [prefix]
    return [prefix, *(path for key, part in value.items() for path in _paths(part, f"{prefix}.{key}"))]


def _owned(fields: Object, prefix: str = "") -> list[str]:
    found = []
    for key, part in fields.items():
        where = f"{prefix}.{key[2:]}" if key.startswith("f:") else prefix
        found += _owned(part, where) if part else [where]
    return found
