"""The scale subresource: a Scale that stands for the replicas of its owner, read and patched."""

from typing import Any

from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError, invalid, unreadable_patch
from shared.dev.cluster_patch import patched
from shared.dev.cluster_store import Admit, Key, Object, Store, anybody
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector


def read(store: Store, key: Key) -> Object:
    return _said(_of(store.get(*key)))


def patch(
    store: Store, key: Key, body: Any, *, form: str, manager: str, dry_run: bool, admit: Admit = anybody
) -> Object:
    """Patch the owner's replicas. The Scale has no labels and annotations of its own, so none can be left on it."""
    kind, _, name = key
    with store.lock:
        owner = store.get(*key)
        old = _of(owner)
        try:
            new = schema.decode("Scale", patched(form, "Scale", old, body)).value
        except schema.Mismatch as error:
            raise unreadable_patch(str(error)) from error
        wanted, meta = int((new.get("spec") or {}).get("replicas", 0)), new.get("metadata") or {}
        if wanted < 0:
            raise invalid("Scale", name, [("spec.replicas", "FieldValueInvalid")], group="autoscaling")
        if meta.get("uid", owner["metadata"]["uid"]) != owner["metadata"]["uid"]:
            where, found = f"{KINDS[kind].plural}/scale", owner["metadata"]["uid"]
            said = f'Operation cannot be fulfilled on {where}.{KINDS[kind].group} "{name}": Precondition failed: '
            said += f"UID in precondition: {meta['uid']}, UID in object meta: {found}"
            raise ApiError(409, "Conflict", said, name=name, group=KINDS[kind].group, kind=where)
        version = meta.get("resourceVersion") or owner["metadata"]["resourceVersion"]
        changed = {**owner, "spec": {**owner["spec"], "replicas": wanted}}
        changed["metadata"] = {**owner["metadata"], "resourceVersion": version}
        return _said(_of(store.update(key, changed, manager=manager, dry_run=dry_run, sub="scale", admit=admit)))


def _of(owner: Object) -> Object:
    meta = {field: owner["metadata"][field] for field in ("name", "namespace", "uid", "resourceVersion",
                                                          "creationTimestamp")}  # fmt: skip
    spec, status = {"replicas": owner["spec"].get("replicas", 0)}, owner.get("status") or {}
    selector = Selector.of(owner["spec"].get("selector")).text
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec,
        "status": {"replicas": status.get("replicas", 0), "selector": selector},
    }  # fmt: skip


def _said(scale: Object) -> Object:
    """As it is answered: a Scale leaves out a wish for none, as Go does."""
    return scale if scale["spec"]["replicas"] else {**scale, "spec": {}}
