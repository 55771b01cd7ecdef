"""Deployments of the emulated cluster: their ReplicaSets as revisions, and rollouts from one to the next.

A template that was there before has its ReplicaSet again, under a new revision, as a rollback finds it on a real one.
"""

import hashlib
from typing import Final

from shared import clock
from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_pods import MANAGER, Pods, key_of, reference_to
from shared.dev.cluster_store import Object, Store
from shared.model.base import canonical

REVISION: Final = "deployment.kubernetes.io/revision"
_HISTORY: Final = "deployment.kubernetes.io/revision-history"
_FILLED: Final = "emulator.akeso.dev/filled"
_HASH: Final = "pod-template-hash"
_COMPLETE, _LATE, _UNDER_WAY = "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetUpdated"
_DEADLINE_S: Final = 600


class Deployments:
    def __init__(self, store: Store, pods: Pods) -> None:
        self._store, self._pods = store, pods
        self._progress: dict[str, tuple[str, int]] = {}  # Deployment's uid to how far it is, and since when

    def tick(self) -> None:
        for deployment in self._store.all("Deployment"):
            self._deployment(deployment)

    def _deployment(self, deployment: Object) -> None:
        spec, wanted = deployment["spec"], deployment["spec"]["replicas"]
        hashed = hashlib.sha256(canonical(spec["template"])).hexdigest()[:10]
        sets = sorted(self._sets(deployment), key=_revision)
        current = next((rs for rs in sets if rs["metadata"]["labels"][_HASH] == hashed), None)
        holds = bool(spec.get("paused") and sets)
        starts = not holds and (current is None or key_of(current) != key_of(sets[-1]))
        if holds:
            current = sets[-1]
        if current is None:
            current = self._new_set(deployment, hashed)
        others = [rs for rs in sets if key_of(rs) != key_of(current)]
        current = self._numbered(current, others)
        updated = self._fill(current, wanted)
        finished = sum(map(is_ready, updated)) >= wanted
        old = [pod for rs in others for pod in self._fill(rs, 0 if finished else rs["spec"]["replicas"])]
        ready = sum(map(is_ready, [*updated, *old]))
        counts = {"replicas": len(updated) + len(old), "updatedReplicas": len(updated), "readyReplicas": ready}
        counts |= {"availableReplicas": ready, "unavailableReplicas": max(0, max(wanted, counts["replicas"]) - ready)}
        # Like the real API: a count of zero is not there at all.
        status: Object = {key: count for key, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        complete = self._was_complete(deployment) and not (starts and sets)
        complete = complete or (ready == wanted == len(updated) and not old)
        late = not complete and self._late(deployment, f"{current['metadata']['uid']} {len(old)} {ready}")
        reason = _COMPLETE if complete else _LATE if late else _UNDER_WAY
        status["conditions"] = [{"type": "Progressing", "status": "False" if late else "True", "reason": reason}]
        number = current["metadata"]["annotations"][REVISION]
        self._store.status(key_of(deployment), status, notes={REVISION: number})

    @staticmethod
    def _was_complete(deployment: Object) -> bool:
        """Pods that fail after a finished rollout are no rollout, so it stays so until a new template comes."""
        known = (deployment.get("status") or {}).get("conditions") or []
        return any(condition.get("reason") == _COMPLETE for condition in known)

    def _late(self, deployment: Object, far: str) -> bool:
        uid, now = deployment["metadata"]["uid"], clock.now_ms()
        if self._progress.get(uid, ("", 0))[0] != far:
            self._progress[uid] = (far, now)
        most = int(deployment["spec"].get("progressDeadlineSeconds", _DEADLINE_S)) * 1000
        return now - self._progress[uid][1] > most

    def _sets(self, deployment: Object) -> list[Object]:
        uid, siblings = (
            deployment["metadata"]["uid"],
            self._store.all("ReplicaSet", deployment["metadata"]["namespace"]),
        )
        return [o for o in siblings if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences") or [])]

    def _new_set(self, deployment: Object, hashed: str) -> Object:
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        labels = {**(template["metadata"].get("labels") or {}), _HASH: hashed}
        template = {**template, "metadata": {**template["metadata"], "labels": labels}}
        body = {
            "metadata": {"name": f"{meta['name']}-{hashed}", "labels": labels,
                         "ownerReferences": [reference_to(deployment)]},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }  # fmt: skip
        return self._store.create("ReplicaSet", meta["namespace"], body, manager=MANAGER)

    def _numbered(self, current: Object, others: list[Object]) -> Object:
        """The present ReplicaSet has the highest revision; one that comes back remembers those that it had."""
        wanted, has = max(map(_revision, others), default=0) + 1, _revision(current)
        if has >= wanted:
            return current
        notes = {REVISION: str(wanted)}
        if has:
            before = (current["metadata"].get("annotations") or {}).get(_HISTORY)
            notes[_HISTORY] = f"{before},{has}" if before else str(has)
        return self._store.patch(key_of(current), {"metadata": {"annotations": notes}}, manager=MANAGER, trusted=True)

    def _fill(self, replica_set: Object, wanted: int) -> list[Object]:
        """Age the pods of one ReplicaSet, make or remove what is not as wanted. Answers the pods that remain."""
        filled = _FILLED in (replica_set["metadata"].get("annotations") or {})
        pods = self._pods.fill(replica_set, wanted, again=filled)
        notes = {_FILLED: "true"} if filled or wanted else {}
        patch = {"metadata": {"annotations": notes}, "spec": {"replicas": wanted}}
        made = self._store.patch(key_of(replica_set), patch, manager=MANAGER, trusted=True)
        ready = sum(map(is_ready, pods))
        counts = {"readyReplicas": ready, "availableReplicas": ready, "fullyLabeledReplicas": len(pods)}
        status = {"replicas": len(pods), "observedGeneration": made["metadata"]["generation"]}
        self._store.status(key_of(made), status | {name: count for name, count in counts.items() if count})
        return pods


def _revision(replica_set: Object) -> int:
    text = str((replica_set["metadata"].get("annotations") or {}).get(REVISION, ""))
    return int(text) if text.isdecimal() else 0
