"""The emulated API's memory: objects, versions, patches. Knows no HTTP and no controller.

Objects in the store are never changed in place, so that an answer may be written while the next request runs.
"""

import copy
import threading
import uuid
from typing import Any, Final

from shared import clock
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector
from shared.model.base import canonical

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name

_SCALED: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet"})
_SERVERS_OWN: Final = ("creationTimestamp", "generation", "managedFields", "deletionTimestamp")
# The API server does not say why a JSON patch does not apply; clients have to cope with this sentence.
_INAPPLICABLE: Final = "the server rejected our request due to an error in our request"


class ApiError(Exception):
    """An answer of the API that is not a success, as a Kubernetes Status."""

    def __init__(self, status: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status}
        self.body |= {"message": message, "reason": reason, "details": {"causes": [{"field": field}]} if field else {}}


class Store:
    """All objects. Every method that needs the lock takes it; hold it yourself around several."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self._objects: dict[Key, Object] = {}

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._objects.get((kind, namespace, name))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        if (found := self.find(kind, namespace, name)) is None:
            raise ApiError(404, "NotFound", f'{KINDS[kind].plural} "{name}" not found')
        return found

    def all(self, kind: str, namespace: str = "", selector: Selector = Selector()) -> list[Object]:  # noqa: B008
        with self.lock:
            here = [o for key, o in self._objects.items() if key[0] == kind and namespace in {"", key[1]}]
            return [found for found in here if selector.matches(found["metadata"].get("labels") or {})]

    def create(self, kind: str, namespace: str, body: Object, *, manager: str, dry_run: bool = False) -> Object:
        new = {**copy.deepcopy(body), "apiVersion": KINDS[kind].api, "kind": kind}
        meta = new.setdefault("metadata", {})
        name = str(meta.get("name", ""))
        if not name or meta.get("namespace", namespace) != namespace:
            raise ApiError(400, "BadRequest", "the object has no name, or another namespace than the URL")
        with self.lock:
            if namespace:
                self.get("Namespace", "", namespace)
                meta["namespace"] = namespace
            if (kind, namespace, name) in self._objects:
                raise ApiError(409, "AlreadyExists", f'{KINDS[kind].plural} "{name}" already exists')
            meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": clock.iso(clock.now_ms())}
            if kind in _SCALED:
                new.setdefault("spec", {}).setdefault("replicas", 1)
            _validate(new)
            return self._save((kind, namespace, name), None, new, manager, dry_run=dry_run)

    def patch(self, key: Key, body: Any, *, manager: str, dry_run: bool = False, trusted: bool = False) -> Object:
        """Apply a JSON patch (a list) or a merge patch. Only the trusted write status and the server's own fields."""
        with self.lock:
            old = self.get(*key)
            new = json_patch(old, body) if isinstance(body, list) else merge_patch(old, body)
            if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
                raise ApiError(422, "Invalid", "the patched object has no metadata", "patch")
            was, now = old["metadata"], new["metadata"]
            for field in ("uid", "resourceVersion"):
                if now.get(field) != was[field]:
                    raise ApiError(409, "Conflict", f'cannot change {KINDS[key[0]].plural} "{key[2]}": {field} differs')
            if (now.get("name"), now.get("namespace"), new.get("kind")) != (key[2], was.get("namespace"), key[0]):
                raise ApiError(400, "BadRequest", "name, namespace and kind of an object cannot change")
            if not trusted:
                now |= {field: was[field] for field in _SERVERS_OWN if field in was}
                new |= {"status": old["status"]} if "status" in old else {}
                _validate(new)
            return self._save(key, old, new, manager, dry_run=dry_run)

    def status(self, key: Key, status: Object) -> Object:
        """Replace an object's status as its controller does; the spec's generation does not move."""
        with self.lock:
            old = self.get(*key)
            new = {**old, "metadata": dict(old["metadata"]), "status": status}
            return self._save(key, old, new, "", dry_run=False)

    def delete(self, key: Key) -> Object:
        """Remove it now; with a namespace goes what is in it."""
        with self.lock:
            found = self.get(*key)
            self.version += 1
            inside = [k for k in self._objects if key[0] == "Namespace" and k[1] == key[2]]
            for gone in (key, *inside):
                del self._objects[gone]
            return found

    def _save(self, key: Key, old: Object | None, new: Object, manager: str, *, dry_run: bool) -> Object:
        if old is not None and canonical(old) == canonical(new):
            return old
        meta, before = new["metadata"], old or {"metadata": {}}
        if new.get("spec") != before.get("spec"):
            meta["generation"] = before["metadata"].get("generation", 0) + 1
        if manager:
            meta["managedFields"] = _managed(before, new, manager)
        if not dry_run:
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            self._objects[key] = new
        return new


def _managed(old: Object, new: Object, manager: str) -> list[Object]:
    """One entry per manager, whose time moves with each of its writes and whose fields add up: as the API keeps it."""
    entries: list[Object] = old["metadata"].get("managedFields") or []
    fields: Object = next((entry["fieldsV1"] for entry in entries if entry["manager"] == manager), {})
    if old.get("spec") != new.get("spec"):
        fields = {**fields, "f:spec": {}}
    mine = {"manager": manager, "operation": "Update", "time": clock.iso(clock.now_ms()), "fieldsV1": fields}
    return [*(entry for entry in entries if entry["manager"] != manager), mine]


def _validate(new: Object) -> None:
    for part in ("labels", "annotations"):
        values = new["metadata"].get(part) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ApiError(422, "Invalid", f"metadata.{part} must map strings to strings", f"metadata.{part}")
    spec = new.get("spec") or {}
    replicas = spec.get("replicas", 1)
    if new["kind"] in _SCALED and (type(replicas) is not int or replicas < 0):
        raise ApiError(422, "Invalid", "spec.replicas must be an integer of at least 0", "spec.replicas")
    if new["kind"] == "Deployment" and not (spec.get("template") or {}).get("metadata"):
        raise ApiError(422, "Invalid", "spec.template must have metadata", "spec.template")
    if new["kind"] == "PodDisruptionBudget" and type(spec.get("minAvailable")) is not int:
        raise ApiError(501, "NotImplemented", "of a budget only minAvailable as a number is emulated")


def merge_patch(value: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        if part is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), part)
    return merged


def json_patch(value: Object, operations: list[Any]) -> Object:
    """RFC 6902 without move and copy; like the API server, a `test` for null also holds where nothing is."""
    new = copy.deepcopy(value)
    for operation in operations:
        try:
            _operate(new, operation["op"], operation["path"], operation.get("value"))
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise ApiError(422, "Invalid", _INAPPLICABLE) from error
    return new


def _operate(document: Any, op: str, path: str, value: Any) -> None:
    if op not in {"test", "add", "remove", "replace"}:
        raise ApiError(501, "NotImplemented", f"JSON patch operation {op!r} is not emulated")
    first, *parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
    if first or not parts:
        raise ValueError(path)
    for part in parts[:-1]:
        document = document[int(part) if isinstance(document, list) else part]
    last: Any = parts[-1]
    if isinstance(document, list):
        last = len(document) if last == "-" else int(last)
        if not 0 <= last <= len(document) - (op != "add"):
            raise IndexError(last)
    if op == "test":
        if canonical(document[last] if isinstance(document, list) else document.get(last)) != canonical(value):
            raise ValueError(path)
    elif op == "remove":
        del document[last]
    elif op == "add" and isinstance(document, list):
        document.insert(last, copy.deepcopy(value))
    elif op == "replace" and not isinstance(document, list) and last not in document:
        raise KeyError(path)
    else:
        document[last] = copy.deepcopy(value)
