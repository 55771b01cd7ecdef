"""The emulated pods: how controllers make them and whose they are, and what becomes of each as it ages.

Pods follow annotations of the pod template, so a test says how its workload is ill; an image whose tag is `bad` crashes
always, so that one version can be ill and the next or the last one is not.
"""

import math
import secrets
from typing import Any, Final

from shared import clock
from shared.dev import cluster_nodes
from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_quantity import amount
from shared.dev.cluster_store import Key, Object, Store
from shared.kube.selector import Selector

READY_AFTER: Final = "emulator.akeso.dev/ready-after"  # seconds until a healthy pod is ready, 1 unless told
# crash, crash-once (not what replaces an evicted pod), crash-later (only what replaces the first pods), stuck,
# oom (is killed over and over), hungry (was killed once, and since then runs and waits for more memory)
BEHAVIOUR: Final = "emulator.akeso.dev/behaviour"
MOVE_AFTER: Final = "emulator.akeso.dev/move-after"  # crash: seconds until the pod goes on under a new name
NEEDS_MEMORY: Final = "emulator.akeso.dev/needs-memory"  # oom, hungry: of the first container, which is to have it
RESIZE: Final = "emulator.akeso.dev/resize"  # of a pod: Infeasible, Deferred. The node does not do it
MANAGER: Final = "kube-controller-manager"
_BAD: Final = ":bad"


class Pods:
    """What the controllers share."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._born: dict[str, int] = {}  # pod uid to ms: creationTimestamp has whole seconds only
        self._had: dict[str, str] = {}  # pod uid to the memory limit that it was made with

    def of(self, owner: Object) -> list[Object]:
        """A controller's pods: what no longer matches its selector is let go, what matches and is nobody's is taken."""
        found, chosen = [], (owner.get("spec") or {}).get("selector")
        selector = Selector.of(chosen) if chosen else None
        for pod in self._store.all("Pod", owner["metadata"]["namespace"]):
            references = pod["metadata"].get("ownerReferences") or []
            mine = any(reference["uid"] == owner["metadata"]["uid"] for reference in references)
            fits = selector is None or selector.matches(pod["metadata"].get("labels") or {})
            if "deletionTimestamp" in pod["metadata"]:
                found += [pod] if mine else []
            elif mine and fits:
                found.append(pod)
            elif mine:
                self._belongs(pod, [one for one in references if one["uid"] != owner["metadata"]["uid"]])
            elif fits and selector and not any(one.get("controller") for one in references):
                found.append(self._belongs(pod, [*references, reference_to(owner)]))
        return found

    def _belongs(self, pod: Object, references: list[Object]) -> Object:
        patch = {"metadata": {"ownerReferences": references or None}}
        return self._store.patch(key_of(pod), patch, manager=MANAGER, trusted=True)

    def make(
        self, owner: Object, *, again: bool, node: str = "", labels: dict[str, str] | None = None, name: str = "",
    ) -> Object:  # fmt: skip
        """A pod of the owner's template, under any name. `again`: it had all its pods before."""
        template, meta = owner["spec"]["template"], owner["metadata"]
        spec, above = dict(template.get("spec") or {}), template.get("metadata") or {}
        notes = dict(above.get("annotations") or {})
        if notes.get(BEHAVIOUR) in {"crash-once", "crash-later"}:
            notes[BEHAVIOUR] = "crash" if again == (notes[BEHAVIOUR] == "crash-later") else ""
        chosen = node or cluster_nodes.choose(self._store, spec)
        body = {
            "metadata": {
                "name": name or f"{meta['name']}-{secrets.token_hex(3)}", "annotations": notes,
                "labels": (above.get("labels") or {}) | (labels or {}), "ownerReferences": [reference_to(owner)],
            },
            "spec": spec | ({"nodeName": chosen} if chosen else {}),
        }  # fmt: skip
        pod = self._store.create("Pod", meta["namespace"], body, manager=MANAGER)
        return self.age(pod) or pod

    def fill(self, owner: Object, wanted: int, *, again: bool) -> list[Object]:
        """Age its pods, and make or remove what is not as wanted, the sick ones first. Answers those that remain."""
        pods = self.sick_last([aged for pod in self.of(owner) if (aged := self.age(pod)) is not None])
        for pod in pods[wanted:]:
            self._store.delete(key_of(pod))
        return [*pods[:wanted], *(self.make(owner, again=again) for _ in range(wanted - len(pods)))]

    def sick_last(self, pods: list[Object]) -> list[Object]:
        return sorted(pods, key=lambda pod: (not is_ready(pod), self._born[pod["metadata"]["uid"]]))

    def age(self, pod: Object) -> Object | None:
        """Give a pod the status that fits its age. None if it is leaving or has moved on."""
        meta, now = pod["metadata"], clock.now_ms()
        notes = meta.get("annotations") or {}
        if "deletionTimestamp" in meta:
            return None
        if not pod["spec"].get("nodeName"):
            pod = self._schedule(pod)
        born = self._born.setdefault(meta["uid"], now)
        if not pod["spec"].get("nodeName"):
            self._born[meta["uid"]] = now  # its time begins when somebody runs it
            waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            return self._store.status(key_of(pod), {"phase": "Pending", "conditions": [waits]})
        if not cluster_nodes.there(self._store, pod["spec"]["nodeName"]):
            return pod  # nobody runs it, so nobody says how it is
        age = (now - born) / 1000
        behaviour = _behaviour(pod, self._had.setdefault(meta["uid"], _limit(pod)))
        if behaviour == "crash" and age >= float(notes.get(MOVE_AFTER, "inf")):
            self._store.delete(key_of(pod))
            return None
        ready = not behaviour and age >= float(notes.get(READY_AFTER, 1))
        return self._store.status(key_of(pod), _status(pod, behaviour, age, born, ready=ready))

    def _schedule(self, pod: Object) -> Object:
        node = cluster_nodes.choose(self._store, pod["spec"])
        patch = {"spec": {"nodeName": node}}
        return self._store.patch(key_of(pod), patch, manager="kube-scheduler", trusted=True) if node else pod


def _behaviour(pod: Object, had: str) -> str:
    told = str((pod["metadata"].get("annotations") or {}).get(BEHAVIOUR, ""))
    if told == "hungry":
        return told if _starves(pod, _limit(pod)) else ""
    if told == "oom":  # what it gets while it waits comes to the container, and not to the pod around it
        return told if _starves(pod, had) else ""
    bad = any(str(one.get("image", "")).endswith(_BAD) for one in pod["spec"].get("containers") or [])
    return told or ("crash" if bad else "")


def _starves(pod: Object, limit: str) -> bool:
    """Whether that is less than its first container needs."""
    needs = (pod["metadata"].get("annotations") or {}).get(NEEDS_MEMORY)
    return needs is not None and bool(limit) and amount(limit) < amount(needs)


def _limit(pod: Object) -> str:
    """The memory limit of its first container that is in force; empty where there is none."""
    first = (pod["spec"].get("containers") or [{}])[0]
    return str(((_resources(pod, first) or {}).get("limits") or {}).get("memory", ""))


def _resources(pod: Object, container: Object) -> Any:
    """What a container has by now: what it is to have, unless the node does not do that."""
    wanted = container.get("resources")
    if (pod["metadata"].get("annotations") or {}).get(RESIZE) in {"Infeasible", "Deferred"}:
        before = _before(pod).get(container.get("name", ""), {})
        return before.get("resources") or wanted
    return wanted


def _before(pod: Object) -> dict[str, Object]:
    return {one["name"]: one for one in (pod.get("status") or {}).get("containerStatuses") or []}


def _status(pod: Object, behaviour: str, age: float, born: int, *, ready: bool) -> Object:
    containers, conditions = [], [{"type": "Ready", "status": "True" if ready else "False"}]
    for at, spec in enumerate(pod["spec"].get("containers") or [{}]):
        before, has = _before(pod).get(spec.get("name", "app"), {}), _resources(pod, spec)
        found: Object = {"name": spec.get("name", "app"), "ready": ready, "state": {"running": {}}}
        found["restartCount"] = before.get("restartCount", 0)
        found |= {"lastState": before["lastState"]} if "lastState" in before else {}
        if behaviour == "crash" or (behaviour == "oom" and at == 0):
            # It dies at once and is started again after 10 s, 20 s, 40 s, ...
            found["restartCount"] = 1 + int(math.log2(1 + max(age, 0) / 10))
            found["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
            fell = born + 10_000 * (2 ** (found["restartCount"] - 1) - 1)
            killed = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": clock.iso(fell)}
            found["lastState"] = {"terminated": killed if behaviour == "oom" else {"reason": "Error", "exitCode": 1}}
        if behaviour == "hungry" and at == 0:
            killed = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": clock.iso(born)}
            found |= {"restartCount": 1, "lastState": {"terminated": killed}}
        found |= {"resources": has} if has else {}
        if has != spec.get("resources"):
            conditions = [*conditions[:1], {"type": "PodResizePending", "status": "True",
                                            "reason": pod["metadata"]["annotations"][RESIZE]}]  # fmt: skip
        containers.append(found)
    return {"phase": "Running", "containerStatuses": containers, "conditions": conditions}


def key_of(found: Object) -> Key:
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def reference_to(found: Object) -> Object:
    reference = {"apiVersion": found["apiVersion"], "kind": found["kind"], "controller": True}
    return reference | {field: found["metadata"][field] for field in ("name", "uid")}
