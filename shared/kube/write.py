"""One planned write as one API request that has an effect once, whoever sends it and however often.

Three things make it so: the uid and resourceVersion that were read directly before, the field's old value, and the
mark `<grant>/<step>`, all in the same JSON patch. Whoever comes later sees the mark; whoever comes late gets Conflict.
It must not retry, wait or decide: what a Conflict means is the caller's business, after a new `read`.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.kube.client import Kube
from shared.kube.errors import Conflict, NotFound
from shared.model.base import Model, canonical
from shared.model.plan import Write

MARK: Final = "akeso.dev/attempt"
UNDO: Final = "akeso.dev/undo"
FENCED: Final = "/fenced"

_FENCE_TRIES = 3
Object = dict[str, Any]


class Seen(Model):
    """What one read of a write's target says.

    `holds`: the write may still be made (the field has its old value; the pod with that uid is not on its way out).
    `done`: the world is as the write wanted it, which does not say who did it; `mark` says that. On a pod that is to
    be evicted the mark comes first: marked and not done means that the eviction did not happen, or not yet.
    """

    exists: bool = False
    uid_ok: bool = False
    mark: str = ""
    holds: bool = False
    done: bool = False
    resource_version: str = ""
    deleting: bool = False


def read(kube: Kube, write: Write) -> Seen:
    """Look at the target. Raises KubeError when it cannot be read, never when it is gone."""
    target = write.target
    found = kube.get(target.kind, target.namespace, target.name)
    if found is None:
        return Seen(done=write.verb == "evict")
    meta = found["metadata"]
    same = bool(target.uid) and meta.get("uid") == target.uid
    deleting = "deletionTimestamp" in meta
    if write.verb == "evict":
        done = deleting or not same
        holds = not done
    else:
        value = canonical(_at(found, write.path))
        done = same and value == canonical(write.after)
        holds = same and not deleting and value == canonical(write.before)
    return Seen(
        exists=True,
        uid_ok=same,
        mark=_annotations(found).get(MARK, ""),
        holds=holds,
        done=done,
        resource_version=str(meta.get("resourceVersion", "")),
        deleting=deleting,
    )


def apply(
    kube: Kube,
    write: Write,
    *,
    mark: str,
    undo: bool,
    field_manager: str,
    resource_version: str,
    dry_run: bool,
) -> None:
    """Make the write, marked, exactly on the version that `read` saw.

    Raises Conflict when the object is another or another version by now, NotFound when it is gone, Refused or
    Throttled when the API will not, KubeDown when there was no answer: if that is `unclear`, it may have happened.
    """
    if write.verb == "evict":
        marked = mark_pod(
            kube, write, mark=mark, field_manager=field_manager, resource_version=resource_version, dry_run=dry_run
        )
        version = resource_version if dry_run else marked
        evict(kube, write, mark=mark, resource_version=version, dry_run=dry_run)
        return
    found = _expect(kube, write, resource_version)
    tests = [{"op": "test", "path": write.path, "value": write.before}]  # null: the API server takes it for "absent"
    change: Object = {"op": "replace", "path": write.path, "value": write.after}
    if write.after is None:
        change = {"op": "remove", "path": write.path}
    elif write.before is None:
        change["op"] = "add"
    _patch(
        kube,
        write,
        resource_version,
        [*_notes(found, {MARK: mark, UNDO: mark if undo else ""}), *tests, change],
        field_manager=field_manager,
        dry_run=dry_run,
    )


def mark_pod(
    kube: Kube, write: Write, *, mark: str, field_manager: str, resource_version: str, dry_run: bool = False
) -> str:
    """Put the mark on a pod, because an eviction leaves none there. Answers the pod's new resourceVersion."""
    found = _expect(kube, write, resource_version)
    if _annotations(found).get(MARK) == mark:  # by a run that is gone; every write needs a mark that is new
        return resource_version
    notes = _notes(found, {MARK: mark, UNDO: ""})
    after = _patch(kube, write, resource_version, notes, field_manager=field_manager, dry_run=dry_run)
    return str(after["metadata"]["resourceVersion"])


def evict(kube: Kube, write: Write, *, mark: str, resource_version: str, dry_run: bool = False) -> None:
    """Evict the pod with exactly that uid and version. Throttled when a PodDisruptionBudget says not now."""
    target = write.target
    kube.evict(
        target.namespace,
        target.name,
        uid=target.uid,
        resource_version=resource_version,
        annotations={MARK: mark},
        dry_run=dry_run,
    )


def fence(kube: Kube, write: Write, *, mark: str, field_manager: str) -> bool:
    """Make sure that a write with this mark, which may still be under way, can never land: only the mark is patched.

    True: it had not landed, and from now on it gets Conflict. False: there is nothing to fence, because the write has
    landed or the object is gone or another; read again. Raises Conflict when the object changes too fast.
    """
    mark = mark.removesuffix(FENCED)
    target = write.target
    for left in reversed(range(_FENCE_TRIES)):
        found = kube.get(target.kind, target.namespace, target.name)
        if found is None or found["metadata"].get("uid") != target.uid or _landed(found, write, mark):
            return False
        if _annotations(found).get(MARK) == mark + FENCED:
            return True
        version = str(found["metadata"].get("resourceVersion", ""))
        try:
            _patch(kube, write, version, _notes(found, {MARK: mark + FENCED}), field_manager=field_manager)
        except NotFound:
            return False
        except Conflict:
            if not left:
                raise
        else:
            return True
    raise AssertionError("unreachable")


def put_configmap(kube: Kube, namespace: str, name: str, data: Mapping[str, str | None], *, field_manager: str) -> None:
    """Set these keys of a ConfigMap, take away those that are None, and leave others alone; made when absent.

    Raises KubeError.
    """
    try:
        kube.patch("ConfigMap", namespace, name, {"data": data}, form="merge", field_manager=field_manager)
    except NotFound:
        there = {key: value for key, value in data.items() if value is not None}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": there}
        kube.create("ConfigMap", namespace, body, field_manager=field_manager)


def pointer(*parts: str) -> str:
    """Build a JSON pointer from unescaped parts: `pointer("metadata", "labels", "a/b")` is `/metadata/labels/a~1b`."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _landed(found: Object, write: Write, mark: str) -> bool:
    # An eviction's mark goes before it, so the mark alone says only that somebody was about to.
    if write.verb == "evict":
        return "deletionTimestamp" in found["metadata"]
    return _annotations(found).get(MARK) == mark


def _expect(kube: Kube, write: Write, resource_version: str) -> Object:
    target = write.target
    found = kube.get(target.kind, target.namespace, target.name)
    if found is None:
        raise NotFound(f"{target.kind} {target.namespace}/{target.name} is gone")
    meta = found["metadata"]
    if not target.uid or (meta.get("uid"), meta.get("resourceVersion")) != (target.uid, resource_version):
        raise Conflict(f"{target.kind} {target.namespace}/{target.name} has changed since it was read")
    return found


def _patch(
    kube: Kube, write: Write, version: str, operations: list[Object], *, field_manager: str, dry_run: bool = False
) -> Object:
    target = write.target
    same = [
        {"op": "test", "path": "/metadata/uid", "value": target.uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
    ]
    return kube.patch(
        target.kind,
        target.namespace,
        target.name,
        [*same, *operations],
        form="json",
        dry_run=dry_run,
        field_manager=field_manager,
    )


def _notes(found: Object, values: dict[str, str]) -> list[Object]:
    """Operations that set annotations; an empty value takes away what is there."""
    present = _annotations(found)
    operations: list[Object] = []
    # An object without annotations has no map to add to. What an API server answers as `{}` it stores as nothing.
    if not present:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for key, value in values.items():
        path = pointer("metadata", "annotations", key)
        if value:
            operations.append({"op": "add", "path": path, "value": value})
        elif key in present:
            operations.append({"op": "remove", "path": path})
    return operations


def _annotations(found: Object) -> dict[str, str]:
    annotations = found["metadata"].get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _at(value: Any, path: str) -> Any:
    """Follow a JSON pointer. None where nothing is."""
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
