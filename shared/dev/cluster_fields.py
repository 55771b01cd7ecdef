"""Sets of fields, as `managedFields` keeps them: which a value has, which differ between two, and how they are written.

A path is a tuple of the API's own elements: `f:name` for a field, `k:{"name":"app"}` or `v:"x"` for an item of a list.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from shared.dev import cluster_schema as schema

Path = tuple[str, ...]
Fields = frozenset[Path]
Object = dict[str, Any]

_NOTHING: Final = object()
# Nobody manages what only the server writes.
_SERVERS: Final = frozenset({(), ("f:apiVersion",), ("f:kind",), ("f:metadata",)} | {
    ("f:metadata", f"f:{name}") for name in ("name", "namespace", "creationTimestamp", "uid", "generation",
                                             "managedFields", "resourceVersion", "deletionTimestamp",
                                             "deletionGracePeriodSeconds")})  # fmt: skip


class Duplicate(ValueError):  # noqa: N818 - what was found
    """Two items of a list with the same key."""


class Difference(NamedTuple):
    added: Fields
    modified: Fields
    removed: Fields


def of(kind: str, value: Object) -> Fields:
    """The fields that whoever applies this object wants to own."""
    return frozenset(_owned(schema.root(kind), value, ())) - _SERVERS


def difference(kind: str, old: Object, new: Object) -> Difference:
    """What a writer changed. Of lists with items of the same key nobody can say it, so nothing is said at all."""
    found: dict[str, set[Path]] = {"added": set(), "modified": set(), "removed": set()}
    try:
        _compare(schema.root(kind), old, new, (), found)
    except Duplicate:
        found = {name: set() for name in found}
    return Difference(*(frozenset(found[name]) - _SERVERS for name in ("added", "modified", "removed")))


def items(sign: str, value: Any) -> dict[str, tuple[str, Any]] | None:
    """Each part of a value by its path element, with its sign; None for what is one whole."""
    if schema.whole(sign) or not isinstance(value, dict | list):
        return None
    if isinstance(value, dict):
        known = schema.fields(sign)
        below = schema.element(sign) if known is None else ""
        return {f"f:{key}": (below or (known or {}).get(key, schema.ANYTHING), part) for key, part in value.items()}
    keys, found = schema.apply_keys(sign), {}
    for item in value:
        name = _item(keys, item)
        if name in found:
            raise Duplicate(name)
        found[name] = (schema.element(sign), item)
    return found


def _item(keys: dict[str, str], item: Any) -> str:
    if "=" in keys:
        return f"v:{json.dumps(item)}"
    named = {key: item.get(key, default) for key, default in sorted(keys.items()) if item.get(key, default) != ""}
    return f"k:{json.dumps(named, separators=(',', ':'))}"


def _owned(sign: str, value: Any, path: Path) -> Iterator[Path]:
    parts = items(sign, value)
    if parts is None:
        yield path
        return
    for name, (below, part) in parts.items():
        yield from _owned(below, part, (*path, name))
        if not name.startswith("f:") or part in ({}, None) or schema.is_map(sign):
            yield (*path, name)


def _compare(sign: str, old: Any, new: Any, path: Path, found: dict[str, set[Path]]) -> None:
    here = "removed" if new is _NOTHING else "added" if old is _NOTHING else "modified"
    before = {} if old is _NOTHING else items(sign, old)
    after = {} if new is _NOTHING else items(sign, new)
    if before is None or after is None:
        if old != new:
            found[here].add(path)
        return
    # A type inside the object is always there for Go, so it is neither added nor removed with what it holds.
    if path and here != "modified" and (schema.fields(sign) is None or not path[-1].startswith("f:")):
        found[here].add(path)
    for name in before | after:
        below = (after.get(name) or before[name])[0]
        _compare(below, before.get(name, (0, _NOTHING))[1], after.get(name, (0, _NOTHING))[1], (*path, name), found)


def write(fields: Fields) -> Object:
    """As `fieldsV1` has it: a tree in which `.` says that the node itself belongs to the set."""
    tree: Object = {}
    for path in sorted(fields):
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        node["."] = {}
    return _trimmed(tree)


def _trimmed(tree: Object) -> Object:
    return {name: {} if set(node) == {"."} else _trimmed(node) for name, node in tree.items()}


def read(tree: Object) -> Fields:
    return frozenset(_read(tree, ()))


def _read(tree: Object, path: Path) -> Iterator[Path]:
    for name, node in tree.items():
        if name == ".":
            yield path
        elif node:
            yield from _read(node, (*path, name))
        else:
            yield (*path, name)


def words(path: Path) -> str:
    """A path as the API names it in a conflict: `.spec.containers[name="app"].image`."""
    said = ""
    for name in path:
        if name.startswith("f:"):
            said += f".{name[2:]}"
        elif name.startswith("k:"):
            said += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name[2:]).items()) + "]"
        else:
            said += f"[={name[2:]}]"
    return said
