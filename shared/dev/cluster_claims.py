"""What may become of a PersistentVolumeClaim: validation and the admission of a larger one. Knows no store."""

from decimal import Decimal
from typing import Any, Final

from shared.dev.cluster_errors import ApiError, Cause, about
from shared.dev.cluster_quantity import amount

Object = dict[str, Any]

_REFUSED: Final = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
_SIZE: Final = "spec.resources.requests.storage"


def changes(old: Object, new: Object) -> list[Cause]:
    """What is wrong with the change: a bound claim's size alone may move, and never to less than it has."""
    was, now = old.get("spec") or {}, new.get("spec") or {}
    if was == now:
        return []
    bound = (old.get("status") or {}).get("phase") == "Bound"
    kept = {name: part for name, part in was.items() if name != "resources"}
    wrong: list[Cause] = []
    if not bound or kept != {name: part for name, part in now.items() if name != "resources"}:
        wrong.append(("spec", "FieldValueForbidden"))
    elif size(now) <= 0:
        wrong.append(("spec.resources[storage]", "FieldValueInvalid"))
    has = ((old.get("status") or {}).get("capacity") or {}).get("storage", 0)
    # A request that no driver has met yet may be taken back, but not to what there is already.
    if bound and size(now) < size(was) and size(now) <= amount(has):
        wrong.append((_SIZE, "FieldValueForbidden"))
    return wrong


def admit_growth(old: Object, new: Object, storage_class: Object | None) -> None:
    """Raise the 403 of the admission plugin for a larger claim of a class that does not grow."""
    if size(new.get("spec") or {}) > size(old.get("spec") or {}) and not (storage_class or {}).get(
        "allowVolumeExpansion"
    ):
        name = new["metadata"]["name"]
        raise ApiError(403, "Forbidden", f'persistentvolumeclaims "{name}" is forbidden: {_REFUSED}',
                       **about("PersistentVolumeClaim", name))  # fmt: skip


def size(spec: Object) -> Decimal:
    return amount(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
