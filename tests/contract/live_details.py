"""What an example says of the details of its scope, brought about by real objects around a live one.

It knows fields of details and no action. What no cluster without a driver can bring about is skipped there.
"""

import secrets
from contextlib import ExitStack
from typing import Any

import pytest

from shared.dev.cluster_job import AFTER as JOB_AFTER
from shared.dev.cluster_storage import RESIZE
from shared.kube.kinds import KINDS, collection
from shared.kube.mark import MADE
from shared.kube.quantity import whole
from shared.model.details import CLEANUP, FOR, TASK
from shared.model.facts import Facts
from tests.cluster.api import MERGE_PATCH, until
from tests.cluster.real import idle_pod
from tests.contract.live_world import World

Object = dict[str, Any]


def brings(facts: Object) -> bool:
    """Whether all details that are told are among those that are brought about here."""
    told = facts.get("details") or {}
    return bool(told) and set(told) <= {"claim", "room", "tasks", "runs", "quota"}


def claim(world: World, name: str, meta: Object, details: Object) -> Object:
    """Make the claim and the volume that the details tell of; it is bound when this returns, if it is to be."""
    said = details["claim"]
    bound = said.get("phase") == "Bound"
    wanted = (said.get("requested") or {}).get("text", "1Mi")
    has = (said.get("capacity") or {}).get("text", wanted)
    if not world.emulated and (said.get("expandable") or said.get("snapshot_class")):
        pytest.skip("no driver of this cluster lets volumes grow or makes snapshots")
    if not world.emulated and CLEANUP in said.get("notes", {}):
        pytest.skip("this cluster has no image of the product")
    storage_class = _storage_class(world, said) if bound else f"{name}-nowhere"
    if not world.emulated and bound:
        _volume(world, name, storage_class, has)
    grows = {RESIZE: "stuck"} if wanted != has else {}
    body = {
        "metadata": {**meta, "annotations": {**said.get("notes", {}), **grows}},
        "spec": {"accessModes": said.get("access_modes") or ["ReadWriteOnce"], "storageClassName": storage_class,
                 "resources": {"requests": {"storage": has}}},
    }  # fmt: skip
    made = _post(world, "PersistentVolumeClaim", body)
    path = f"{collection('PersistentVolumeClaim', world.place)}/{name}"
    if bound:
        until(
            lambda: world.api.ok("GET", path).get("status", {}).get("phase") == "Bound", f"claim {name} is never bound"
        )
    if grows:
        size = {"spec": {"resources": {"requests": {"storage": wanted}}}}
        world.api.ok("PATCH", path, size, form=MERGE_PATCH)
    return made


def around(world: World, kind: str, name: str, details: Object, *, keep: bool) -> None:
    """Make what steers the scope: limits, quotas, declared tasks, and what is under way."""
    stack = world.left if keep else world.end
    room = details.get("room") or {}
    if room.get("claim") is not None:
        _put(world, stack, "LimitRange", {"limits": [
            {"type": "PersistentVolumeClaim", "max": {"storage": str(room["claim"])}}]})  # fmt: skip
    if (left := (room.get("left") or {}).get("storage")) is not None:
        claims = world.api.ok("GET", collection("PersistentVolumeClaim", world.place))["items"]
        # The emulator counts no storage.
        used = 0 if world.emulated else sum(whole(one["spec"]["resources"]["requests"]["storage"]) for one in claims)
        _put(world, stack, "ResourceQuota", {"hard": {"requests.storage": str(used + left)}})
    if (details.get("quota") or {}).get("pods") is not None and kind == "PersistentVolumeClaim":
        shut(world)
    job = {"template": {
        "metadata": {"annotations": {JOB_AFTER: "0"}}, "spec": {**idle_pod("exit 0"), "restartPolicy": "Never"},
    }}  # fmt: skip
    for task in (details.get("tasks") or {}).get("tasks", ()):
        meta = {"labels": {TASK: task["task"]}, "annotations": {FOR: f"{kind}/{name}"}}
        _put(world, stack, "CronJob", {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}, meta)
    for run in (details.get("runs") or {}).get("runs", ()):
        notes = {FOR: f"{kind}/{name}", MADE: run["attempt"]}
        _put(world, stack, "Job", {**job, "suspend": True}, {"labels": {TASK: run["task"]}, "annotations": notes})


def shut(world: World) -> None:
    """Let a quota allow no further pod, until the test ends."""
    _put(world, world.end, "ResourceQuota", {"hard": {"pods": "0"}})


def alike(facts: Object, live: Facts) -> bool:
    """Whether the cluster shows by now what was brought about."""
    said, seen = facts.get("details") or {}, live.details
    told = {"tasks": "tasks", "runs": "runs"}
    listed = all(
        len(getattr(getattr(seen, field), of, ())) >= len((said.get(field) or {}).get(of, ()))
        for field, of in told.items()
    )
    if live.scope.kind != "PersistentVolumeClaim" or not said.get("claim") or seen.claim is None:
        return listed
    claim, room = said["claim"], said.get("room") or {}
    left = (room.get("left") or {}).get("storage")
    return (
        listed
        and (seen.claim.phase or "Pending") == claim.get("phase")  # the emulator has no word for it
        and bool(seen.claim.snapshot_class) == bool(claim.get("snapshot_class"))
        and (left is None or (seen.room is not None and seen.room.left.storage == left))
    )


def _storage_class(world: World, said: Object) -> str:
    name = (
        f"{world.home}-{'grows' if said.get('expandable') else 'stays'}{'-snaps' if said.get('snapshot_class') else ''}"
    )
    driver = f"{name}.akeso.test"
    if said.get("snapshot_class"):
        _once(world, "VolumeSnapshotClass", {"metadata": {"name": name}, "driver": driver, "deletionPolicy": "Delete"})
    body = {"metadata": {"name": name}, "provisioner": driver, "allowVolumeExpansion": bool(said.get("expandable"))}
    _once(world, "StorageClass", body)
    return name


def _once(world: World, kind: str, body: Object) -> None:
    path, name = collection(kind), body["metadata"]["name"]
    if not any(one["metadata"]["name"] == name for one in world.api.ok("GET", path)["items"]):
        world.api.ok("POST", path, {"apiVersion": KINDS[kind].api, "kind": kind, **body})
        world.left.callback(world.api, "DELETE", f"{path}/{name}")


def _volume(world: World, name: str, storage_class: str, size: str) -> None:
    """A volume made by hand, for exactly this claim."""
    spec = {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class,
        "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": world.place, "name": name},
        "hostPath": {"path": f"/var/tmp/{name}", "type": "DirectoryOrCreate"},
    }  # fmt: skip
    world.api.ok("POST", "/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})
    world.left.callback(world.api, "DELETE", f"/api/v1/persistentvolumes/{name}")


def _put(world: World, stack: ExitStack, kind: str, spec: Object, meta: Object | None = None) -> None:
    name = f"d-{secrets.token_hex(4)}"
    _post(world, kind, {"metadata": {"name": name, **(meta or {})}, "spec": spec})
    path = f"{collection(kind, world.place)}/{name}"
    stack.callback(world.api, "DELETE", path, {"propagationPolicy": "Background"})


def _post(world: World, kind: str, body: Object) -> Object:
    whole_body = {"apiVersion": KINDS[kind].api, "kind": kind, **body}
    made: Object = world.api.ok("POST", collection(kind, world.place), whole_body)
    return made
