"""What is created and what is copied: the bodies that a plan only names, read when they are written.

A plan travels through events, Redis and the audit; the template that it means may hold passwords. So the plan says
which object's part it means, and that part is read here, directly before the write. Nothing is written here.
"""

import copy
from typing import Any

from shared.kube.client import Kube
from shared.kube.errors import NotFound, Refused
from shared.kube.kinds import KINDS
from shared.kube.mark import KEPT, MADE, MARK, TEMPORARY, UNTIL, Stay
from shared.kube.shape import TEMPLATE_HASH
from shared.model.base import canonical, sha256
from shared.model.plan import OWN_IMAGE, Write

_LETTERS = 8

Object = dict[str, Any]


def name_of(write: Write, attempt: str) -> str:
    """The name of what that attempt creates, or has created: the same however often it is asked."""
    name = write.target.name
    return f"{name}{sha256(attempt)[:_LETTERS]}" if name.endswith("-") else name


def maker(write: Write, attempt: str) -> str:
    """The attempt that has created what a write is about, or creates it now."""
    return str(write.before["attempt"]) if write.verb == "delete" else attempt


def body(kube: Kube, write: Write, *, mark: str, stay: Stay | None) -> Object:
    """The object to be created, marked. Raises NotFound when what it is a copy of is gone."""
    attempt = mark.partition("/")[0]
    given = dict(write.after)
    source = given.pop("from", None)
    made = part(kube, write.target.namespace, source) if source else _with_image(kube, given)
    if source and made is None:
        raise NotFound(f"{source['kind']} {source['name']} is gone")
    meta = _merged(made.get("metadata"), given.get("metadata"))
    notes = {
        **(meta.get("annotations") or {}),
        MARK: mark,
        MADE: attempt,
        **({UNTIL: stay.until, KEPT: stay.kept} if stay else {}),
    }
    labels = {**(meta.get("labels") or {}), **({TEMPORARY: "true"} if stay else {})}
    meta |= {"name": name_of(write, attempt), "annotations": notes, "labels": labels}
    return {**made, "apiVersion": KINDS[write.target.kind].api, "kind": write.target.kind, "metadata": meta}


def _with_image(kube: Kube, made: Object) -> Object:
    """A body of our own with the image of this installation; a plan, which is made elsewhere too, does not name it."""
    containers = at(made, "/spec/template/spec/containers") or []
    if not any(one.get("image") == OWN_IMAGE for one in containers):
        return made
    if not kube.image:
        raise Refused("this installation does not say which image it is of (AKESO_IMAGE): render its manifests anew")
    made = copy.deepcopy(made)
    for one in at(made, "/spec/template/spec/containers"):
        one["image"] = kube.image if one.get("image") == OWN_IMAGE else one.get("image")
    return made


def part(kube: Kube, namespace: str, source: Object) -> Any:
    """The named part of exactly that object, as it can be given to another; None when it is gone or another."""
    found = kube.get(source["kind"], namespace, source["name"])
    if found is None or found["metadata"].get("uid") != source["uid"]:
        return None
    return bare(at(found, source["path"]))


def bare(value: Any) -> Any:
    """The same without what its owner has added."""
    labels = ((value.get("metadata") or {}).get("labels") or {}) if isinstance(value, dict) else {}
    if TEMPLATE_HASH not in labels:
        return value
    value = copy.deepcopy(value)
    del value["metadata"]["labels"][TEMPLATE_HASH]
    return value


def alike(one: Any, other: Any) -> bool:
    return canonical(bare(one)) == canonical(bare(other))


def at(value: Any, path: str) -> Any:
    """Follow a path. None where nothing is."""
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list):
            value = next((item for at, item in enumerate(value) if _is(item, at, key)), None)
        else:
            return None
    return value


def pointed(value: Any, path: str) -> str:
    """The JSON pointer of a path in that object, items of lists by their number."""
    parts = []
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            number = next((at for at, item in enumerate(value) if _is(item, at, key)), None)
            part, value = (part, None) if number is None else (str(number), value[number])  # noqa: PLW2901
        else:
            value = value.get(key) if isinstance(value, dict) else None
        parts.append(part)
    return "".join(f"/{part}" for part in parts)


def _is(item: Any, at: int, key: str) -> bool:
    if key.startswith("[name=") and key.endswith("]"):
        return isinstance(item, dict) and item.get("name") == key[len("[name=") : -1]
    return key.isdecimal() and int(key) == at


def _merged(one: Any, other: Any) -> Object:
    one, other = one or {}, other or {}
    both = {key: {**(one.get(key) or {}), **(other.get(key) or {})} for key in ("labels", "annotations")}
    owners = {"ownerReferences": other["ownerReferences"]} if "ownerReferences" in other else {}
    return {key: value for key, value in both.items() if value} | owners
