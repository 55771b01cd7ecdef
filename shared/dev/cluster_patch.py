"""The patches of the API: JSON patch, merge patch and strategic merge patch. Pure functions from object to object."""

import copy
from typing import Any, Final

from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError, bad, inapplicable
from shared.model.base import canonical

JSON: Final = "application/json-patch+json"
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

Object = dict[str, Any]


def patched(form: str, kind: str, value: Object, patch: Any) -> Any:
    """The object after the patch, which may be none of its kind any more. `APPLY` is not for here."""
    if form == JSON:
        if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
            raise bad("error decoding patch")
        return json_patch(value, patch)
    if not isinstance(patch, dict):
        raise bad("error decoding patch")
    return merge_patch(value, patch) if form == MERGE else _strategic(schema.root(kind), value, patch)


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


def json_patch(value: Object, operations: list[Any]) -> Any:
    """RFC 6902 as the API server reads it.

    A `test` for null also holds where nothing is, `replace` adds to a map, a copy of nothing is null, indices below
    zero count from the end, and whatever stands before a path's first slash is overlooked.
    """
    new = copy.deepcopy(value)
    for operation in operations:
        try:
            _operate(new, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise inapplicable() from error
    return new


def _operate(document: Any, operation: Object) -> None:
    op, path, value = operation["op"], operation["path"], operation.get("value")
    if op in {"move", "copy"}:
        source, key = _parent(document, operation["from"])
        found = copy.deepcopy(
            source.get(key) if isinstance(source, dict) and op == "copy" else source[_at(source, key)]
        )
        if op == "move":
            del source[_at(source, key)]
        op, value = "add", found
    target, key = _parent(document, path)
    if op == "test":
        present = target.get(key) if isinstance(target, dict) else target[_at(target, key)]
        if canonical(present) != canonical(value):
            raise ValueError(path)
    elif op == "remove":
        del target[_at(target, key)]
    elif op == "add" and isinstance(target, list):
        target.insert(_at(target, key, more=1), copy.deepcopy(value))
    elif op in {"add", "replace"}:
        target[key if isinstance(target, dict) else _at(target, key)] = copy.deepcopy(value)
    else:
        raise ValueError(op)


def _parent(document: Any, path: str) -> tuple[Any, str]:
    _, *parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
    for part in parts[:-1]:
        document = document[_at(document, part)]
    if not isinstance(document, dict | list):
        raise TypeError(path)
    return document, parts[-1]


def _at(target: Any, key: str, *, more: int = 0) -> Any:
    """The key as an index where the target is a list; `more` places than it has items may be meant."""
    if isinstance(target, dict):
        return key
    places = len(target) + more
    index = places - 1 if more and key == "-" else int(key)
    if not -places <= index < places:
        raise IndexError(key)
    return index + places if index < 0 else index


def _strategic(sign: str, value: Any, patch: Any) -> Any:
    """Merge as the schema says: maps and types by name, lists by their key, other lists as a whole."""
    if not isinstance(patch, dict) or sign == schema.ANYTHING:
        return copy.deepcopy(patch)
    patch = dict(patch)
    directive, retained = patch.pop("$patch", "merge"), patch.pop("$retainKeys", None)
    if directive not in {"merge", "replace", "delete"}:
        raise ApiError(500, "", f"unknown patch type: {directive} in map: map[$patch:{directive}]")
    merged = copy.deepcopy(value) if isinstance(value, dict) and directive == "merge" else {}
    if directive == "delete":
        return merged
    if isinstance(retained, list):
        merged = {key: part for key, part in merged.items() if key in retained}
    orders = {key.partition("/")[2]: patch.pop(key) for key in list(patch) if key.startswith("$setElementOrder/")}
    removals = {key.partition("/")[2]: patch.pop(key) for key in list(patch) if key.startswith("$deleteFromPrimitive")}
    known = schema.fields(sign)
    for key in [*patch, *(key for key in (*orders, *removals) if key not in patch)]:
        below = known.get(key, schema.ANYTHING) if known is not None else schema.element(sign)
        part, before = patch.get(key, []), merged.get(key)
        if key in patch and part is None:
            merged.pop(key, None)
        elif schema.patch_key(below) and isinstance(part, list):
            kept = [item for item in before or [] if item not in removals.get(key, [])]
            merged[key] = _lists(below, kept, part, orders.get(key))
        else:
            merged[key] = _strategic(below, before, part)
    return merged


def _go(value: Any) -> str:
    """A value as Go prints it."""
    return (
        f"map[{' '.join(f'{key}:{_go(part)}' for key, part in value.items())}]"
        if isinstance(value, dict)
        else str(value)
    )


def _lists(sign: str, old: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    key, below = schema.patch_key(sign), schema.element(sign)

    def name(item: Any) -> Any:
        if key == "=":
            return item
        if not isinstance(item, dict) or key not in item:
            raise ApiError(500, "", f"map: {_go(item)} does not contain declared merge key: {key}")
        return item[key]

    if key != "=":
        if {"$patch": "replace"} in patch:
            return [copy.deepcopy(item) for item in patch if "$patch" not in item]
        gone = [name(item) for item in patch if item.get("$patch") == "delete"]
        old = [item for item in old if name(item) not in gone]
        patch = [item for item in patch if item.get("$patch") != "delete"]
    place = [name(item) for item in old]
    found = {name(item): item for item in old}
    mine = [_strategic(below, found.get(name(item)), item) if key != "=" else item for item in patch]
    wanted = [name(item) for item in mine]
    if order is not None:  # it names the items of the patch and, where it moves them, others
        ranks = [name(item) for item in order]
        mine += [item for item in old if name(item) in ranks and name(item) not in wanted]
        mine.sort(key=lambda item: ranks.index(name(item)) if name(item) in ranks else len(ranks))
        wanted = [name(item) for item in mine]
    theirs = [item for item in old if name(item) not in wanted]
    merged = []
    # Best effort, as the API server does it: an item of the patch goes before others unless it stood behind them.
    while mine or theirs:
        behind = (
            mine and theirs and name(mine[0]) in place and place.index(name(theirs[0])) < place.index(name(mine[0]))
        )
        merged.append((theirs if behind or not mine else mine).pop(0))
    return merged
