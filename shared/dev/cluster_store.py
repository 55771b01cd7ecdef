"""The emulated API's memory: objects, versions and what became of them. Knows no HTTP and no controller.

Objects in the store are never changed in place, so that an answer may be written while the next request runs.
"""

import copy
import secrets
import threading
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from shared import clock
from shared.dev import cluster_claims, cluster_resize
from shared.dev import cluster_managers as managers
from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import (
    ApiError,
    about,
    bad,
    invalid,
    not_found,
    resource,
    stale,
    unreadable_patch,
)  # fmt: skip
from shared.dev.cluster_fields import Duplicate
from shared.dev.cluster_managers import Manager
from shared.dev.cluster_patch import JSON, MERGE, patched
from shared.dev.cluster_rules import SCALED, problems
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector
from shared.model.base import canonical

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name
Admit = Callable[[str, Key], None]  # asked with the verb before a client's change is made; refuses by an ApiError

FIRST: Final = 1000  # a version before it is one that the server has forgotten
_KEPT: Final = 20_000  # changes that can be watched or paged from
_UNCOUNTED: Final = frozenset({"Namespace", "Node", "PersistentVolumeClaim", "HorizontalPodAutoscaler", "LimitRange",
                              "ResourceQuota"})  # fmt: skip
_SERVERS_OWN: Final = ("creationTimestamp", "generation", "managedFields")


def anybody(_verb: str, _key: Key) -> None:
    """Refuse nothing."""


class Change(NamedTuple):
    """One entry of the store's history."""

    version: int
    key: Key
    old: Object | None
    new: Object | None  # None: deleted


class Store:
    """All objects. Every method that needs the lock takes it; hold it yourself around several."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = FIRST
        self.history: deque[Change] = deque(maxlen=_KEPT)
        self._objects: dict[Key, Object] = {}

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._objects.get((kind, namespace, name))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        if (found := self.find(kind, namespace, name)) is None:
            raise not_found(kind, name)
        return found

    def all(self, kind: str, namespace: str = "", selector: Selector = Selector()) -> list[Object]:  # noqa: B008
        with self.lock:
            here = [o for key, o in self._objects.items() if key[0] == kind and namespace in {"", key[1]}]
            return [found for found in here if selector.matches(found["metadata"].get("labels") or {})]

    def everything(self) -> dict[Key, Object]:
        with self.lock:
            return dict(self._objects)

    def as_of(self, version: int, kind: str) -> dict[Key, Object]:
        """The objects of a kind as they were at that version. Raises ApiError 410 when that is forgotten."""
        with self.lock:
            if version < self.oldest:
                raise ApiError(410, "Expired", "The provided continue parameter is too old")
            then = {key: found for key, found in self._objects.items() if key[0] == kind}
            for change in reversed(self.history):
                if change.version <= version:
                    break
                if change.key[0] == kind:
                    then.pop(change.key, None)
                    then |= {change.key: change.old} if change.old else {}
            return then

    @property
    def oldest(self) -> int:
        return self.history[0].version - 1 if len(self.history) == _KEPT else FIRST

    def create(
        self, kind: str, namespace: str, body: Object, *, manager: str, dry_run: bool = False, trusted: bool = True,
        operation: str = "Update", admit: Admit = anybody,
    ) -> Object:  # fmt: skip
        """Make an object, by the trusted as it is. Others' has no status, no identity yet, and is validated."""
        new = schema.decode(kind, body).value if operation == "Apply" else copy.deepcopy(body)
        new = {**new, "apiVersion": KINDS[kind].api, "kind": kind}
        # What is empty is not there, as after any later write.
        meta = new["metadata"] = {
            key: part for key, part in (new.get("metadata") or {}).items() if part not in ({}, [])
        }
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        name = str(meta.get("name") or "")
        if meta.setdefault("namespace", namespace) != namespace:
            raise bad("the namespace of the provided object does not match the namespace sent on the request")
        if not namespace:
            del meta["namespace"]
        if meta.pop("resourceVersion", ""):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        with self.lock:
            self._admit_to(namespace, kind, name)
            if not trusted:
                for field in (*_SERVERS_OWN, "deletionTimestamp", "deletionGracePeriodSeconds"):
                    if field != "generation" or _counted(kind):
                        meta.pop(field, None)
                if schema.has_status(kind):
                    new.pop("status", None)
            _default(new)
            if not trusted and (wrong := problems(new)):
                raise invalid(kind, name, wrong)
            admit("create", (kind, namespace, name))
            if (kind, namespace, name) in self._objects:
                said = f'{resource(kind)} "{name}" already exists'
                raise ApiError(409, "AlreadyExists", said, **about(kind, name))
            meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": clock.iso(clock.now_ms())}
            meta |= {"generation": 1} if _counted(kind) else {}
            if operation == "Apply":
                meta["managedFields"] = managers.applied(kind, _blank(new), body, manager, force=True)["metadata"][
                    "managedFields"]  # fmt: skip
            elif manager:
                meta["managedFields"] = managers.updated(kind, _blank(new), new, Manager(manager, operation))
            if not meta.get("managedFields"):
                meta.pop("managedFields", None)
            return self.save((kind, namespace, name), None, new, dry_run=dry_run)

    def patch(
        self, key: Key, body: Any, *, manager: str, dry_run: bool = False, trusted: bool = False, form: str = "",
        sub: str = "", strict: bool = False, odd: list[str] | None = None, admit: Admit = anybody,
    ) -> Object:  # fmt: skip
        """Apply a patch, by default a JSON patch (a list) or a merge patch.

        Only the trusted write status and the server's own fields. `odd` takes what strict validation would refuse.
        """
        form = form or (JSON if isinstance(body, list) else MERGE)
        with self.lock:
            old = self.get(*key)
            new = patched(form, key[0], old, body)
            if trusted:
                return self.update(key, new, manager=manager, dry_run=dry_run, trusted=True)
            try:
                if not isinstance(new, dict) or (new.get("kind"), new.get("apiVersion")) != (key[0], KINDS[key[0]].api):
                    raise schema.Mismatch("the object is of another kind")
                decoded = schema.decode(key[0], new)
            except schema.Mismatch as error:
                raise unreadable_patch(str(error)) from error
            if strict and decoded.odd:
                raise unreadable_patch(f"strict decoding error: {', '.join(decoded.odd)}")
            if odd is not None:
                odd += decoded.odd
            return self.update(key, decoded.value, manager=manager, dry_run=dry_run, sub=sub, admit=admit)

    def apply(
        self, key: Key, config: Object, *, manager: str, force: bool, dry_run: bool, admit: Admit = anybody
    ) -> tuple[Object, bool]:
        """Server-side apply: the object, and whether it was made."""
        kind, namespace, name = key
        with self.lock:
            old = self.find(*key)
            try:
                if old is None:
                    return self.create(kind, namespace, config, manager=manager, dry_run=dry_run, trusted=False,
                                       operation="Apply", admit=admit), True  # fmt: skip
                new = managers.applied(kind, old, config, manager, force=force)
            except Duplicate as error:
                raise ApiError(500, "", f"failed to create typed patch object ({namespace}/{name})") from error
            return self.update(key, new, manager="", dry_run=dry_run, admit=admit), False

    def update(
        self, key: Key, new: Object, *, manager: str, dry_run: bool = False, sub: str = "", trusted: bool = False,
        admit: Admit = anybody,
    ) -> Object:  # fmt: skip
        """Put a changed object in the place of the present one, with what a writer of `sub` may change of it."""
        kind, namespace, name = key
        with self.lock:
            old = self.get(*key)
            was, now = old["metadata"], dict(new.get("metadata") or {})
            new = {**new, "metadata": now}
            if now.get("name") != name:
                raise bad("the name of the object does not match the name on the URL")
            if now.setdefault("namespace", namespace) != namespace:
                raise bad("the namespace of the provided object does not match the namespace sent on the request")
            if not namespace:
                del now["namespace"]
            version = now.get("resourceVersion") or was["resourceVersion"]
            if not str(version).isdecimal():
                raise ApiError(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
            if version != was["resourceVersion"]:
                raise stale(kind, name)
            now["resourceVersion"] = version
            now.setdefault("uid", was["uid"])
            if not trusted:
                _keep_meta(was, now, applied=not manager)
                _keep(kind, sub, old, new)
                patched_so, new = new, cluster_resize.only(old, new) if sub == "resize" else new
                _default(new)
                wrong = cluster_resize.problems(old, patched_so, new) if sub == "resize" else problems(new, old)
                if wrong:
                    raise invalid(kind, name, wrong)
                if kind == "PersistentVolumeClaim" and not sub:
                    chosen = (new.get("spec") or {}).get("storageClassName", "")
                    cluster_claims.admit_growth(old, new, self.find("StorageClass", "", chosen))
            admit("patch", key)
            if manager and now.get("managedFields"):
                now["managedFields"] = managers.updated(kind, old, new, Manager(manager, "Update", sub))
            return self.save(key, old, new, dry_run=dry_run, sub=sub)

    def status(self, key: Key, status: Object, *, notes: dict[str, str] | None = None) -> Object:
        """Replace an object's status as its controller does, who may add `notes`; the generation does not move."""
        with self.lock:
            old = self.get(*key)
            meta = dict(old["metadata"])
            meta |= {"annotations": {**(meta.get("annotations") or {}), **notes}} if notes else {}
            return self.save(key, old, {**old, "metadata": meta, "status": status}, sub="status")

    def delete(self, key: Key) -> Object:
        """Remove it now; with a namespace goes what is in it."""
        with self.lock:
            found = self.get(*key)
            inside = [k for k in self._objects if key[0] == "Namespace" and k[1] == key[2]]
            for gone in (*inside, key):
                self.forget(gone)
            return found

    def _admit_to(self, namespace: str, kind: str, name: str) -> None:
        home = self.get("Namespace", "", namespace) if namespace else {"metadata": {}}
        if "deletionTimestamp" in home["metadata"]:
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated",
                     "field": "metadata.namespace"}  # fmt: skip
            said = f'{resource(kind)} "{name}" is forbidden: unable to create new content in namespace {namespace}'
            raise ApiError(403, "Forbidden", f"{said} because it is being terminated", **about(kind, name),
                           causes=[cause])  # fmt: skip

    def save(self, key: Key, old: Object | None, new: Object, *, dry_run: bool = False, sub: str = "") -> Object:
        """Put the object there under a new version; the old one if that is the same. Hold the lock."""
        if old is not None and canonical(old) == canonical(new):
            return old
        meta, before = new["metadata"], old or {"metadata": {}}
        if old is not None and sub != "status" and _counted(key[0]) and _moved(key[0], old, new):
            meta["generation"] = before["metadata"].get("generation", 0) + 1
        if dry_run:
            return new
        was_held = "deletionTimestamp" in before["metadata"] and before["metadata"].get("finalizers")
        if was_held and not meta.get("finalizers"):
            self.forget(key)
            return new
        self._remember(key, old, new)
        meta["resourceVersion"] = str(self.version)
        self._objects[key] = new
        return new

    def forget(self, key: Key, last: Object | None = None) -> Object:
        """Take the object away; what it was at last. Hold the lock."""
        old = self._objects.pop(key)
        self._remember(key, old, None)
        last = last or old
        return {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}

    def _remember(self, key: Key, old: Object | None, new: Object | None) -> None:
        self.version += 1
        self.history.append(Change(self.version, key, old, new))


def _keep_meta(was: Object, now: Object, *, applied: bool) -> None:
    """Put back what only the server writes. A writer may empty `managedFields`: then nobody is kept in it any more."""
    managed = now.get("managedFields") if applied or now.get("managedFields") == [] else was.get("managedFields")
    for field in _SERVERS_OWN:
        now.pop(field, None)
    now |= {field: was[field] for field in ("creationTimestamp", "generation") if field in was}
    now |= {"managedFields": managed} if managed else {}


def _counted(kind: str) -> bool:
    """Whether the API counts the generations of a kind."""
    return kind not in _UNCOUNTED and "spec" in (schema.fields(schema.root(kind)) or {"spec": ""})


def _moved(kind: str, old: Object, new: Object) -> bool:
    """Whether it is a new generation: another spec, and of a Deployment other annotations, too."""
    notes = [found["metadata"].get("annotations") for found in (old, new)]
    return old.get("spec") != new.get("spec") or (kind == "Deployment" and (notes[0] or {}) != (notes[1] or {}))


def _keep(kind: str, sub: str, old: Object, new: Object) -> None:
    """Put back what a writer of the object, or of its status, cannot change."""
    back = ("spec",) if sub == "status" else ("status",)
    if sub == "status" and kind == "Deployment":
        new["metadata"].pop("labels", None)
        new["metadata"] |= {"labels": old["metadata"]["labels"]} if "labels" in old["metadata"] else {}
    for part in back:
        new.pop(part, None)
        if part in old:
            new[part] = old[part]


def _default(new: Object) -> None:
    """The few defaults that are read here."""
    kind, meta = new["kind"], new["metadata"]
    if kind in SCALED:
        new["spec"] = {"replicas": 1} | dict(new.get("spec") or {})
    elif kind == "Pod":
        new.setdefault("status", {"phase": "Pending"})
        new |= cluster_resize.with_requests(new)
    elif kind == "Namespace":
        new["spec"] = {"finalizers": ["kubernetes"]}
        new.setdefault("status", {"phase": "Active"})
        meta["labels"] = (meta.get("labels") or {}) | {"kubernetes.io/metadata.name": meta["name"]}


def _blank(new: Object) -> Object:
    return {"kind": new["kind"], "apiVersion": new["apiVersion"], "metadata": {}}
