"""Deletions of the emulated API: at once, or with a pod's grace, a namespace's content and finalizers in between."""

from typing import Final

from shared import clock
from shared.dev.cluster_errors import precondition
from shared.dev.cluster_store import Admit, Key, Object, Store, anybody

_GRACE_S: Final = 30


def begin(
    store: Store, key: Key, *, uid: str = "", version: str = "", grace_s: int | None = None, dry_run: bool = False,
    admit: Admit = anybody,
) -> Object:  # fmt: skip
    """Delete as a client may: now, or after a pod's grace, a namespace's content, the finalizers.

    Answers the object as it then is, or was at last.
    """
    with store.lock:
        old = store.get(*key)
        meta = dict(old["metadata"])
        for field, wanted in (("uid", uid), ("resourceVersion", version)):
            if wanted and wanted != meta[field]:
                raise precondition(key[0], key[2], field, wanted, meta[field])
        admit("delete", key)
        grace_s = _grace(old, grace_s)
        held = bool(meta.get("finalizers")) or key[0] == "Namespace"
        if "deletionTimestamp" in meta and (held or (grace_s and grace_s >= meta.get("deletionGracePeriodSeconds", 0))):
            return old
        if "deletionTimestamp" not in meta:
            meta |= {"generation": meta["generation"] + 1} if "generation" in meta else {}
            meta["deletionTimestamp"] = clock.iso(clock.now_ms() + grace_s * 1000)
        if key[0] != "Namespace":
            meta["deletionGracePeriodSeconds"] = grace_s
        new = {**old, "metadata": meta}
        if key[0] == "Namespace":
            new["status"] = {"phase": "Terminating"}
        if held or grace_s:
            return store.save(key, old, new, dry_run=dry_run)
        return new if dry_run else store.forget(key, new)


def end(store: Store) -> None:
    """Remove what is on its way out and held by nobody, as kubelets and the namespace controller do."""
    with store.lock:
        for namespace in [o for o in store.all("Namespace") if "deletionTimestamp" in o["metadata"]]:
            name = namespace["metadata"]["name"]
            inside = [key for key in store.everything() if key[1] == name]
            for key in inside:
                begin(store, key, grace_s=0)
            if not any(key[1] == name for key in store.everything()):
                store.forget(("Namespace", "", name))
        for key, found in list(store.everything().items()):
            meta = found["metadata"]
            if key[0] != "Namespace" and "deletionTimestamp" in meta and not meta.get("finalizers"):
                store.forget(key)


def _grace(found: Object, wanted: int | None) -> int:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if found["kind"] != "Pod" or not spec.get("nodeName") or status.get("phase") in {"Succeeded", "Failed"}:
        return 0
    return int(spec.get("terminationGracePeriodSeconds", _GRACE_S) if wanted is None else wanted)
