"""One planned write as one API request that has an effect once, whoever sends it and however often.

Three things make it so: the uid and resourceVersion that were read directly before, the field's old value, and the
mark `<grant>/<step>`, all in the same JSON patch. Whoever comes later sees the mark; whoever comes late gets Conflict.
It must not retry, wait or decide: what a Conflict means is the caller's business, after a new `read`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from shared.kube import made
from shared.kube.client import Kube
from shared.kube.errors import Conflict, NotFound
from shared.kube.mark import FENCED, KEPT, MADE, MARK, TEMPORARY, UNDO, UNTIL, Stay, annotations, notes
from shared.model.base import Model, canonical
from shared.model.plan import Write

_FENCE_TRIES: Final = 3
_LEAVING: Final = frozenset({"evict", "delete"})  # what is done when the object is gone
Object = dict[str, Any]


class Seen(Model):
    """What one read of a write's target says.

    `holds`: the write may still be made (the field has its old value; the pod with that uid is not on its way out; the
    name is free). `done`: the world is as the write wanted it, which does not say who did it; `mark` says that. Where
    a write cannot carry the mark it comes first: marked and not done means that it did not happen, or not yet.
    """

    exists: bool = False
    uid_ok: bool = False
    mark: str = ""
    holds: bool = False
    done: bool = False
    resource_version: str = ""
    deleting: bool = False
    value: Any = None  # of the field that a patch is about


def read(kube: Kube, write: Write, attempt: str = "") -> Seen:
    """Look at the target of `attempt`'s write. Raises KubeError when it cannot be read, never when it is gone."""
    found = _target(kube, write, attempt)
    if found is None:
        return Seen(done=write.verb in _LEAVING, holds=write.verb == "create")
    meta = found["metadata"]
    same = _same(found, write, attempt)
    deleting = "deletionTimestamp" in meta
    value = None
    if write.verb in _LEAVING:
        done = deleting or not same
        holds = not done
    elif write.verb == "create":
        done, holds = same, False
    elif write.verb == "drain":  # is done when no pod is left, which no node says
        done, holds = False, same and not deleting and made.at(found, "/spec/unschedulable") is True
    else:
        value = made.at(found, write.path)
        done = same and _is(kube, write, value, write.after)
        holds = same and not deleting and _is(kube, write, value, write.before)
    return Seen(
        exists=True,
        uid_ok=same,
        mark=annotations(found).get(MARK, ""),
        holds=holds,
        done=done,
        resource_version=str(meta.get("resourceVersion", "")),
        deleting=deleting,
        value=value,
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
    stay: Stay | None = None,
) -> None:
    """Make the write, marked, exactly on the version that `read` saw; `stay`: it is temporary.

    Raises Conflict when the object is another or another version by now, NotFound when it is gone, Refused or
    Throttled when the API will not, KubeDown when there was no answer: if that is `unclear`, it may have happened.
    """
    if write.verb == "create":
        body = made.body(kube, write, mark=mark, stay=stay)
        kube.create(write.target.kind, write.target.namespace, body, dry_run=dry_run, field_manager=field_manager)
        return
    if write.verb in _LEAVING or write.verb == "drain" or write.sub:
        marked = mark_first(
            kube, write, mark=mark, undo=undo, field_manager=field_manager, resource_version=resource_version,
            dry_run=dry_run, stay=stay,
        )  # fmt: skip
        version = resource_version if dry_run else marked
        if write.verb == "evict":
            evict(kube, write, mark=mark, resource_version=version, dry_run=dry_run)
        elif write.verb == "delete":
            delete(kube, write, mark=mark, resource_version=version, dry_run=dry_run)
        elif write.sub:
            change = _change(kube, write, _expect(kube, write, version, mark))
            _patch(kube, write, version, change, field_manager=field_manager, dry_run=dry_run, sub=write.sub)
        return
    found = _expect(kube, write, resource_version, mark)
    operations = [*_said(found, write, mark, stay, undo=undo), *_change(kube, write, found)]
    _patch(kube, write, resource_version, operations, field_manager=field_manager, dry_run=dry_run)


def mark_first(
    kube: Kube, write: Write, *, mark: str, undo: bool, field_manager: str, resource_version: str,
    dry_run: bool = False, stay: Stay | None = None,
) -> str:  # fmt: skip
    """Put the mark on an object whose write cannot carry it. Answers the object's new resourceVersion."""
    found = _expect(kube, write, resource_version, mark)
    if annotations(found).get(MARK) == mark:  # by a run that is gone; every write needs a mark that is new
        return resource_version
    said = _said(found, write, mark, stay, undo=undo)
    after = _patch(kube, write, resource_version, said, field_manager=field_manager, dry_run=dry_run, mark=mark)
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


def delete(kube: Kube, write: Write, *, mark: str, resource_version: str, dry_run: bool = False) -> None:
    """Delete what the attempt has created, in exactly that version."""
    found = _expect(kube, write, resource_version, mark)
    meta, target = found["metadata"], write.target
    kube.delete(
        target.kind, target.namespace, meta["name"], uid=meta["uid"], resource_version=resource_version, dry_run=dry_run
    )


def fence(kube: Kube, write: Write, *, mark: str, field_manager: str) -> bool:
    """Make sure that a write with this mark, which may still be under way, can never land: only the mark is patched.

    True: it had not landed, and from now on it gets Conflict. False: there is nothing to fence, because the write has
    landed, the object is gone or another, or is yet to be created; read again. Raises Conflict when the object changes
    too fast.
    """
    mark = mark.removesuffix(FENCED)
    for left in reversed(range(_FENCE_TRIES)):
        found = _target(kube, write, _attempt(mark))
        if found is None or not _same(found, write, _attempt(mark)) or _landed(kube, found, write, mark):
            return False
        if annotations(found).get(MARK) == mark + FENCED:
            return True
        version = str(found["metadata"].get("resourceVersion", ""))
        try:
            said = notes(found, {MARK: mark + FENCED})
            _patch(kube, write, version, said, field_manager=field_manager, mark=mark)
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


def _attempt(mark: str) -> str:
    return mark.partition("/")[0]


def _target(kube: Kube, write: Write, attempt: str) -> Object | None:
    target = write.target
    return kube.get(target.kind, target.namespace, made.name_of(write, made.maker(write, attempt)))


def _same(found: Object, write: Write, attempt: str) -> bool:
    """Whether it is the object that is meant: by its uid, or by who has created it."""
    if write.verb in ("create", "delete"):
        maker = made.maker(write, attempt)
        return bool(maker) and annotations(found).get(MADE) == maker
    return bool(write.target.uid) and found["metadata"].get("uid") == write.target.uid


def _is(kube: Kube, write: Write, value: Any, wanted: Any) -> bool:
    """Whether the field has that value; of a copy, the same as what it names."""
    if write.verb != "copy":
        return canonical(value) == canonical(wanted)
    source = made.part(kube, write.target.namespace, wanted)
    return source is not None and made.alike(value, source)


def _landed(kube: Kube, found: Object, write: Write, mark: str) -> bool:
    # What cannot carry its mark has it before: then the mark alone says only that somebody was about to.
    if write.verb == "drain":  # it goes on, pod by pod, until it is shut out
        return False
    if write.verb in _LEAVING:
        return "deletionTimestamp" in found["metadata"]
    if annotations(found).get(MARK) != mark:
        return False
    return not write.sub or _is(kube, write, made.at(found, write.path), write.after)


def _expect(kube: Kube, write: Write, resource_version: str, mark: str) -> Object:
    target = write.target
    found = _target(kube, write, _attempt(mark))
    if found is None:
        raise NotFound(f"{target.kind} {target.namespace}/{target.name} is gone")
    if not _same(found, write, _attempt(mark)) or found["metadata"].get("resourceVersion") != resource_version:
        raise Conflict(f"{target.kind} {target.namespace}/{target.name} has changed since it was read")
    return found


def _change(kube: Kube, write: Write, found: Object) -> list[Object]:
    """The operations that change the field, and prove that it has its old value."""
    path = made.pointed(found, write.path)
    if write.verb == "copy":  # what it was is proven by the version that was read
        value = made.part(kube, write.target.namespace, write.after)
        if value is None:
            raise NotFound(f"{write.after['kind']} {write.after['name']}, which was to be copied, is gone")
        return [{"op": "replace", "path": path, "value": value}]
    tests = [{"op": "test", "path": path, "value": write.before}]  # null: the API server takes it for "absent"
    change: Object = {"op": "replace", "path": path, "value": write.after}
    if write.after is None:
        change = {"op": "remove", "path": path}
    elif write.before is None:
        change["op"] = "add"
    return [*tests, change]


def _said(found: Object, write: Write, mark: str, stay: Stay | None, *, undo: bool) -> list[Object]:
    """Operations that say whose write it is, and until when it is meant; what is taken back no longer says it."""
    values, labels = {MARK: mark, UNDO: mark if undo else ""}, {}
    if stay or undo:
        values |= {UNTIL: stay.until if stay else "", KEPT: stay.kept if stay else ""}
        if write.path != "/metadata/labels":  # whoever changes all labels has this one among them
            labels[TEMPORARY] = "true" if stay else ""
    return notes(found, values, labels)


def _patch(
    kube: Kube, write: Write, version: str, operations: list[Object], *, field_manager: str, dry_run: bool = False,
    sub: Literal["", "resize"] = "", mark: str = "",
) -> Object:  # fmt: skip
    target = write.target
    same = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}]
    if target.uid:
        same = [{"op": "test", "path": "/metadata/uid", "value": target.uid}, *same]
    return kube.patch(
        target.kind,
        target.namespace,
        made.name_of(write, made.maker(write, _attempt(mark))),
        [*same, *operations],
        form="json",
        dry_run=dry_run,
        field_manager=field_manager,
        sub=sub,
    )
