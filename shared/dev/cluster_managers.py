"""Who manages which field: `managedFields` after an update, and server-side apply with its conflicts.

Follows structured-merge-diff: what one writer changes is taken from all others; what an applier no longer applies and
nobody else owns is removed; what an applier would change under another manager is a conflict unless forced.
"""

import copy
from typing import Any, Final, NamedTuple

from shared import clock
from shared.dev import cluster_fields as fields
from shared.dev import cluster_schema as schema
from shared.dev.cluster_errors import ApiError
from shared.dev.cluster_fields import Fields, Object, Path
from shared.kube.kinds import KINDS

_NONE: Final[Fields] = frozenset()


class Manager(NamedTuple):
    name: str
    operation: str  # Update, Apply
    sub: str = ""


Managers = dict[Manager, tuple[Fields, str]]  # with the time of the last write


def updated(kind: str, old: Object, new: Object, manager: Manager) -> list[Object]:
    """`managedFields` after a manager's update: it owns what it changed, beside what it owned before."""
    managers, change = _read(old), fields.difference(kind, old, new)
    taken = _without_status(change.added | change.modified, manager)
    before = managers.get(manager, (_NONE, ""))
    managers = _taken(managers, taken | change.removed, keep=None)
    mine = managers.get(manager, (_NONE, ""))[0] | taken
    if mine:
        managers[manager] = (mine, _now() if taken else before[1])
    return _write(kind, managers)


def applied(kind: str, live: Object, config: Object, name: str, *, force: bool) -> Object:
    """The object after `name` applied `config`, with its `managedFields`. The same object if nothing changed.

    Raises ApiError 409 with one cause per field that another manager owns and the configuration would change.
    """
    me, managers = Manager(name, "Apply"), _read(live)
    wanted = _without_status(fields.of(kind, config), me)
    sign, last = schema.root(kind), managers.get(me, (_NONE, ""))
    merged = _merge(sign, live, config)
    others = frozenset(path for manager, (owned, _) in managers.items() if manager != me for path in owned)
    for path in sorted(last[0] - wanted - others, key=len):
        if not any(other[: len(path)] == path for other in wanted | others):
            _remove(sign, merged, path)
    change = fields.difference(kind, live, merged)
    changed = _without_status(change.added | change.modified, me)
    conflicts = [(manager, path) for manager, (owned, _) in managers.items() if manager != me
                 for path in sorted(owned & changed)]  # fmt: skip
    if conflicts and not force:
        raise _conflict(conflicts)
    managers = _taken(managers, changed | change.removed, keep=me)
    after: Object = schema.decode(kind, merged).value
    if _sets(managers) | {me: wanted} == _sets(_read(live)) and {**live, "metadata": after["metadata"]} == after:
        return live
    managers[me] = (wanted, _now())
    after["metadata"]["managedFields"] = _write(kind, managers)
    return after


def _sets(managers: Managers) -> dict[Manager, Fields]:
    return {manager: owned for manager, (owned, _) in managers.items()}


def _taken(managers: Managers, gone: Fields, *, keep: Manager | None) -> Managers:
    left = {m: (owned if m == keep else owned - gone, at) for m, (owned, at) in managers.items()}
    return {manager: (owned, at) for manager, (owned, at) in left.items() if owned or manager == keep}


def _without_status(found: Fields, manager: Manager) -> Fields:
    """Whoever writes the object itself does not write its status; whoever writes its status does not write its spec."""
    other = "f:spec" if manager.sub == "status" else "f:status"
    return frozenset(path for path in found if path[0] != other)


def _merge(sign: str, live: Any, config: Any) -> Any:
    before, after = fields.items(sign, live), fields.items(sign, config)
    if before is None or after is None:
        return copy.deepcopy(config)
    merged = {name: _merge(below, part, after[name][1]) if name in after else copy.deepcopy(part)
              for name, (below, part) in before.items()}  # fmt: skip
    merged |= {name: copy.deepcopy(part) for name, (_, part) in after.items() if name not in before}
    return list(merged.values()) if isinstance(config, list) else {name[2:]: part for name, part in merged.items()}


def _remove(sign: str, value: Any, path: Path) -> None:
    parts = fields.items(sign, value) or {}
    if path[0] not in parts:
        return
    below, part = parts[path[0]]
    if len(path) > 1:
        _remove(below, part, path[1:])
    elif isinstance(value, list):
        value.remove(part)
    else:
        del value[path[0][2:]]


def _conflict(found: list[tuple[Manager, Path]]) -> ApiError:
    said = [
        f'conflict with "{manager.name}"' + (f" using {manager.sub}" if manager.sub else "") for manager, _ in found
    ]
    causes = [{"reason": "FieldManagerConflict", "message": text, "field": fields.words(path)}
              for text, (_, path) in zip(said, found, strict=True)]  # fmt: skip
    count = f"{len(found)} conflict" + ("s" if len(found) > 1 else "")
    names = ", ".join(f"{text}: {cause['field']}" for text, cause in zip(said, causes, strict=True))
    return ApiError(409, "Conflict", f"Apply failed with {count}: {names}", causes=causes)


def _read(found: Object) -> Managers:
    entries = (found.get("metadata") or {}).get("managedFields") or []
    return {
        Manager(entry["manager"], entry["operation"], entry.get("subresource", "")): (
            fields.read(entry.get("fieldsV1") or {}), entry.get("time", ""))
        for entry in entries
    }  # fmt: skip


def _write(kind: str, managers: Managers) -> list[Object]:
    entries = []
    for manager, (owned, at) in managers.items():
        entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": KINDS[kind].api}
        entry |= {"time": at, "fieldsType": "FieldsV1", "fieldsV1": fields.write(owned)}
        entries.append(entry | ({"subresource": manager.sub} if manager.sub else {}))
    return entries


def _now() -> str:
    return clock.iso(clock.now_ms())
