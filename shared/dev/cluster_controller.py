"""The controllers of the emulated cluster: Deployments to ReplicaSets to pods, budgets, and what became of the pods.

One `tick` brings everything as far as its clock allows. It writes to the store, never by HTTP, so nothing of it counts
as somebody's write. Pods follow annotations of the pod template, so a test says how its workload is ill.
"""

import hashlib
import math
import secrets
from typing import Final

from shared import clock
from shared.dev import cluster_budget, cluster_delete
from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_store import Key, Object, Store
from shared.model.base import canonical

READY_AFTER: Final = "emulator.akeso.dev/ready-after"  # seconds until a healthy pod is ready, 1 unless told
BEHAVIOUR: Final = "emulator.akeso.dev/behaviour"  # crash, crash-once (not what replaces an evicted pod), stuck
MOVE_AFTER: Final = "emulator.akeso.dev/move-after"  # crash: seconds until the pod goes on under a new name
_FILLED: Final = "emulator.akeso.dev/filled"
_NODE: Final = "emulated"  # a pod that nobody has scheduled would be gone at once when it is deleted
_HASH: Final = "pod-template-hash"
_MANAGER: Final = "kube-controller-manager"
_COMPLETE: Final = "NewReplicaSetAvailable"


class Controller:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._born: dict[str, int] = {}  # pod uid to ms: creationTimestamp has whole seconds only

    def tick(self) -> None:
        with self._store.lock:
            self._collect()
            for deployment in self._store.all("Deployment"):
                self._deployment(deployment)
            cluster_budget.count(self._store)

    def _collect(self) -> None:
        """End what is on its way out, then what nobody owns any more."""
        cluster_delete.end(self._store)
        for above, below in (("Deployment", "ReplicaSet"), ("ReplicaSet", "Pod")):
            alive = {owner["metadata"]["uid"] for owner in self._store.all(above)}
            for owned in self._store.all(below):
                owners = owned["metadata"].get("ownerReferences") or []
                if any(ref["kind"] == above and ref["uid"] not in alive for ref in owners):
                    self._store.delete(_key(owned))

    def _deployment(self, deployment: Object) -> None:
        spec, wanted = deployment["spec"], deployment["spec"]["replicas"]
        hashed = hashlib.sha256(canonical(spec["template"])).hexdigest()[:10]
        sets = self._owned("ReplicaSet", deployment)
        current = next((rs for rs in sets if rs["metadata"]["labels"][_HASH] == hashed), None)
        starts = current is None and not (spec.get("paused") and sets)
        if current is None:
            current = self._new_set(deployment, hashed) if starts else sets[-1]
        updated = self._fill(current, wanted)
        others = [rs for rs in sets if _key(rs) != _key(current)]
        finished = sum(map(is_ready, updated)) >= wanted
        old = [pod for rs in others for pod in self._fill(rs, 0 if finished else rs["spec"]["replicas"])]
        ready = sum(map(is_ready, [*updated, *old]))
        counts = {"replicas": len(updated) + len(old), "updatedReplicas": len(updated), "readyReplicas": ready}
        counts |= {"availableReplicas": ready, "unavailableReplicas": max(0, max(wanted, counts["replicas"]) - ready)}
        # Pods that fail after a finished rollout are no rollout, so `complete` stays until a new template comes.
        known = (deployment.get("status") or {}).get("conditions") or []
        complete = any(c.get("reason") == _COMPLETE for c in known) and not (starts and sets)
        reason = _COMPLETE if complete or (ready == wanted == len(updated) and not old) else "ReplicaSetUpdated"
        # Like the real API: a count of zero is not there at all.
        status: Object = {key: count for key, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        status["conditions"] = [{"type": "Progressing", "status": "True", "reason": reason}]
        self._store.status(_key(deployment), status)

    def _new_set(self, deployment: Object, hashed: str) -> Object:
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        labels = {**(template["metadata"].get("labels") or {}), _HASH: hashed}
        template = {**template, "metadata": {**template["metadata"], "labels": labels}}
        body = {
            "metadata": {"name": f"{meta['name']}-{hashed}", "labels": labels, "ownerReferences": [_owner(deployment)]},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
        return self._store.create("ReplicaSet", meta["namespace"], body, manager=_MANAGER)

    def _fill(self, replica_set: Object, wanted: int) -> list[Object]:
        """Age the pods of one ReplicaSet, make or remove what is not as wanted. Answers the pods that remain."""
        filled = _FILLED in (replica_set["metadata"].get("annotations") or {})
        pods = [aged for pod in self._owned("Pod", replica_set) if (aged := self._age(pod)) is not None]
        pods.sort(key=lambda pod: (not is_ready(pod), self._born[pod["metadata"]["uid"]]))  # the newest, sickest last
        for pod in pods[wanted:]:
            self._store.delete(_key(pod))
        pods = [*pods[:wanted], *(self._new_pod(replica_set, filled=filled) for _ in range(wanted - len(pods)))]
        notes = {_FILLED: "true"} if filled or wanted else {}
        patch = {"metadata": {"annotations": notes}, "spec": {"replicas": wanted}}
        self._store.patch(_key(replica_set), patch, manager=_MANAGER, trusted=True)
        return pods

    def _new_pod(self, replica_set: Object, *, filled: bool) -> Object:
        template = replica_set["spec"]["template"]
        notes = dict(template["metadata"].get("annotations") or {})
        if notes.get(BEHAVIOUR) == "crash-once":
            notes[BEHAVIOUR] = "" if filled else "crash"
        meta = {"name": f"{replica_set['metadata']['name']}-{secrets.token_hex(3)}", "annotations": notes}
        meta |= {"labels": template["metadata"]["labels"], "ownerReferences": [_owner(replica_set)]}
        body = {"metadata": meta, "spec": {**(template.get("spec") or {}), "nodeName": _NODE}}
        pod = self._store.create("Pod", replica_set["metadata"]["namespace"], body, manager=_MANAGER)
        return self._age(pod) or pod

    def _age(self, pod: Object) -> Object | None:
        """Give a pod the status that fits its age. None if it is leaving or has moved on."""
        meta, now = pod["metadata"], clock.now_ms()
        notes = meta.get("annotations") or {}
        age = (now - self._born.setdefault(meta["uid"], now)) / 1000
        behaviour = notes.get(BEHAVIOUR, "")
        if behaviour == "crash" and age >= float(notes.get(MOVE_AFTER, "inf")):
            self._store.delete(_key(pod))
            return None
        if "deletionTimestamp" in meta:
            return None
        ready = not behaviour and age >= float(notes.get(READY_AFTER, 1))
        container: Object = {"ready": ready, "restartCount": 0, "state": {"running": {}}}
        if behaviour == "crash":
            # It dies at once and is started again after 10 s, 20 s, 40 s, ...
            container |= {"restartCount": 1 + int(math.log2(1 + max(age, 0) / 10))}
            container |= {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            container |= {"lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}
        names = [c.get("name", "app") for c in pod["spec"].get("containers") or [{}]]
        status: Object = {"phase": "Running", "containerStatuses": [{"name": name, **container} for name in names]}
        status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
        self._store.status(_key(pod), status)
        return self._store.get(*_key(pod))

    def _owned(self, kind: str, owner: Object) -> list[Object]:
        uid, siblings = owner["metadata"]["uid"], self._store.all(kind, owner["metadata"]["namespace"])
        return [o for o in siblings if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences") or [])]


def _key(found: Object) -> Key:
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def _owner(found: Object) -> Object:
    reference = {"apiVersion": found["apiVersion"], "kind": found["kind"], "controller": True}
    return reference | {field: found["metadata"][field] for field in ("name", "uid")}
