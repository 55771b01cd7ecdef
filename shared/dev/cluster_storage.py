"""Claims and snapshots of the emulated cluster: what the drivers of a real one would do a moment later."""

from typing import Final

from shared import clock
from shared.dev.cluster_claims import size
from shared.dev.cluster_pods import key_of
from shared.dev.cluster_store import Object, Store

RESIZE: Final = "emulator.akeso.dev/resize"  # of a claim: file-system-pending, stuck (nothing happens)
SNAPSHOT: Final = "emulator.akeso.dev/snapshot"  # of a snapshot or its claim: fail, stuck
_BEGUN: Final = "FileSystemResizePending"


def tick(store: Store) -> None:
    with store.lock:
        for claim in store.all("PersistentVolumeClaim"):
            _claim(store, claim)
        for snapshot in store.all("VolumeSnapshot"):
            _snapshot(store, snapshot)


def _claim(store: Store, claim: Object) -> None:
    status, spec = claim.get("status") or {}, claim.get("spec") or {}
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        return
    if status.get("phase", "Pending") == "Pending" and _class(store, spec) is not None:
        bound = {"phase": "Bound", "capacity": {"storage": wanted}, "accessModes": spec.get("accessModes") or []}
        volume = {"spec": {"volumeName": f"pvc-{claim['metadata']['uid']}"}}
        store.patch(key_of(claim), volume, manager="kube-controller-manager", trusted=True)
        store.status(key_of(claim), bound)
        return
    has = (status.get("capacity") or {}).get("storage")
    if status.get("phase") != "Bound" or has is None or size(spec) <= size(_sized(has)):
        return
    how = (claim["metadata"].get("annotations") or {}).get(RESIZE, "")
    if how == "file-system-pending":
        if not any(one["type"] == _BEGUN for one in status.get("conditions") or []):
            said = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."
            begun = {"type": _BEGUN, "status": "True", "lastTransitionTime": clock.iso(clock.now_ms()), "message": said}
            store.status(key_of(claim), {**status, "conditions": [begun]})
    elif how != "stuck":
        kept = {name: part for name, part in status.items() if name != "conditions"}
        store.status(key_of(claim), {**kept, "capacity": {"storage": wanted}})


def _sized(storage: str) -> Object:
    return {"resources": {"requests": {"storage": storage}}}


def _class(store: Store, spec: Object) -> Object | None:
    return store.find("StorageClass", "", spec.get("storageClassName") or "")


def _snapshot(store: Store, snapshot: Object) -> None:
    meta, source = snapshot["metadata"], (snapshot.get("spec") or {}).get("source") or {}
    claim = store.find("PersistentVolumeClaim", meta["namespace"], source.get("persistentVolumeClaimName", ""))
    if snapshot.get("status"):
        return
    notes = ((claim or {"metadata": {}})["metadata"].get("annotations") or {}) | (meta.get("annotations") or {})
    if notes.get(SNAPSHOT) == "stuck":
        return
    now = clock.iso(clock.now_ms())
    if claim is None or notes.get(SNAPSHOT) == "fail":
        said = "the driver says no" if claim else "snapshot source claim was not found"
        store.status(key_of(snapshot), {"readyToUse": False, "error": {"message": said, "time": now}})
        return
    capacity = (claim.get("status") or {}).get("capacity") or {}
    store.status(key_of(snapshot), {
        "readyToUse": True, "creationTime": now, "boundVolumeSnapshotContentName": f"snapcontent-{meta['uid']}",
        "restoreSize": capacity.get("storage", "0"),
    })  # fmt: skip
