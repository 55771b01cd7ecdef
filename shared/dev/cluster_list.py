"""Lists of the emulated API, whole or in pages, and the events of a watch. Both are made from the store's history."""

import base64
import json
from collections.abc import Iterator
from typing import Final

from shared.dev.cluster_errors import ApiError, Object, bad
from shared.dev.cluster_store import Store
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector

_FORMAT: Final = "meta.k8s.io/v1"


def page(
    store: Store, kind: str, namespace: str, selector: Selector, *, limit: int, token: str, about: str | None = None
) -> Object:
    """One page, in the order of the names. A later one shows the objects as they were at the time of the first.

    `about`: of events only those about the object with that uid, of pods only those on that node.
    """
    with store.lock:
        version, after = _read(token) if token else (store.version, ("", ""))
        found = sorted((key[1:], value) for key, value in store.as_of(version, kind).items()
                       if namespace in {"", key[1]} and key[1:] > after)  # fmt: skip
    meta, items = {"resourceVersion": str(version)}, []
    for at, (place, value) in enumerate(found):
        if selector.matches(value["metadata"].get("labels") or {}) and about in {None, _about(value)}:
            items.append(value)
        left = len(found) - at - 1
        if 0 < limit == len(items) and left:
            meta["continue"] = _write(version, place)
            # With a selector the server would have to look at them all to know how many are left.
            return _list(
                kind, meta | ({} if selector.requirements or about is not None else {"remainingItemCount": left}), items
            )
    return _list(kind, meta, items)


def _about(one: Object) -> str:
    if one["kind"] == "Pod":
        return str((one.get("spec") or {}).get("nodeName", ""))
    return str((one.get("involvedObject") or {}).get("uid", ""))


def _list(kind: str, meta: Object, items: list[Object]) -> Object:
    bare = [{key: part for key, part in item.items() if key not in {"kind", "apiVersion"}} for item in items]
    return {"kind": f"{kind}List", "apiVersion": KINDS[kind].api, "metadata": meta, "items": bare}


def _write(version: int, place: tuple[str, ...]) -> str:
    text = json.dumps({"v": _FORMAT, "rv": version, "start": list(place)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(token: str) -> tuple[int, tuple[str, str]]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if found["v"] != _FORMAT:
            raise ValueError(found["v"])
        return int(found["rv"]), (str(found["start"][0]), str(found["start"][1]))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise bad("invalid continue token") from error


def there(store: Store, kind: str, namespace: str, selector: Selector) -> list[Object]:
    """What a watch without a version begins with: each object as ADDED."""
    found = sorted(store.all(kind, namespace, selector), key=lambda one: (one["metadata"].get("namespace", ""),
                                                                          one["metadata"]["name"]))  # fmt: skip
    return [{"type": "ADDED", "object": one} for one in found]


def events(store: Store, kind: str, namespace: str, selector: Selector, after: int) -> Iterator[Object]:
    """What happened after that version. An object that starts to match was added, one that stops was deleted.

    Raises ApiError 410 when the version is forgotten.
    """
    with store.lock:
        if after < store.oldest:
            raise ApiError(410, "Expired", f"too old resource version: {after} ({store.oldest})")
        changes = []
        for change in reversed(store.history):
            if change.version <= after:
                break
            if change.key[0] == kind and namespace in {"", change.key[1]}:
                changes.append(change)
    for change in reversed(changes):
        was, now = (found is not None and _matches(selector, found) for found in (change.old, change.new))
        if now:
            yield {"type": "MODIFIED" if was else "ADDED", "object": change.new}
        elif was and change.old is not None:
            meta = {**change.old["metadata"], "resourceVersion": str(change.version)}
            yield {"type": "DELETED", "object": {**change.old, "metadata": meta}}


def _matches(selector: Selector, found: Object) -> bool:
    return selector.matches(found["metadata"].get("labels") or {})
