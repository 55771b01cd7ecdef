"""What an answer of the API may be trusted for: nothing. Each part is looked for, and is empty where it is not so.

It must never raise for a shape, because one odd object must not cost the sight of all others.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from shared import clock
from shared.errors import MalformedError
from shared.kube.quantity import millis, whole
from shared.model.base import Model
from shared.model.details import Condition
from shared.model.facts import Scope

Object = dict[str, Any]
M = TypeVar("M", bound=Model)

TEMPLATE_HASH: Final = "pod-template-hash"  # a ReplicaSet's own addition to the template that it was given
MIRROR: Final = "kubernetes.io/config.mirror"  # on a pod that its node has made by itself
_WORD, _NAME, _INT64 = 64, 253, 1 << 63
_GITOPS: Final = (
    ("argocd", "labels", "argocd.argoproj.io/instance"),
    ("argocd", "annotations", "argocd.argoproj.io/tracking-id"),
    ("flux", "labels", "kustomize.toolkit.fluxcd.io/name"),
    ("flux", "labels", "helm.toolkit.fluxcd.io/name"),
)


def part(value: Any, *keys: str) -> Object:
    """The object at the end of these keys; empty where one of them leads to none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def strings(value: Any) -> dict[str, str]:
    return {_sayable(key): _sayable(text) for key, text in value.items()} if isinstance(value, dict) else {}


def number(value: Any) -> int:
    return value if type(value) is int and abs(value) < _INT64 else 0


def decimal(value: Any) -> int:
    """The number that an annotation says; 0 for none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else 0  # noqa: PLR2004 - an int64


def word(value: Any) -> str:
    return name(value)[:_WORD]


def _sayable(value: Any) -> str:
    # Half a character, which JSON can say, is none that an event could carry.
    return str(value).encode(errors="replace").decode()


def name(value: Any) -> str:
    return _sayable(value[:_NAME]) if isinstance(value, str) else ""


def ms(value: Any) -> int:
    try:
        return clock.parse_ms(str(value))
    except ValueError:
        return 0


def cpu(value: Any) -> int | None:
    """Thousandths of a core; None for what is no amount."""
    return _amount(millis, value)


def size(value: Any) -> int | None:
    """Bytes, or a count; None for what is no amount."""
    return _amount(whole, value)


def _amount(read: Any, value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        found: int = read(str(value))
    except MalformedError:
        return None
    return found


def meta(value: Any) -> Object:
    return part(value, "metadata")


def marks(value: Any) -> dict[str, str]:
    """Labels and annotations."""
    return strings(meta(value).get("labels")) | strings(meta(value).get("annotations"))


def gitops(value: Any) -> str:
    """Who brings the object in from Git; empty for nobody that is known."""
    return next((owner for owner, where, key in _GITOPS if key in strings(meta(value).get(where))), "")


def condition(value: Any, kind: str) -> Object:
    return next((one for one in dicts(part(value, "status").get("conditions")) if one.get("type") == kind), {})


def conditions(value: Any, most: int) -> tuple[Condition, ...]:
    """The first of them, by name and status."""
    listed = dicts(part(value, "status").get("conditions"))[:most]
    return tuple(Condition(name=word(one.get("type")), status=word(one.get("status"))) for one in listed)


def is_true(value: Any, kind: str) -> bool:
    return condition(value, kind).get("status") == "True"


def controller(value: Any) -> Object:
    """The owner reference of what controls the object."""
    return next((owner for owner in dicts(meta(value).get("ownerReferences")) if owner.get("controller") is True), {})


def is_of(value: Any, scope: Scope) -> bool:
    """Whether a reference such as an HPA's means the scope."""
    return (part(value).get("kind"), part(value).get("name")) == (scope.kind, scope.name)


def within(models: Iterable[M], most: int, room: int) -> tuple[M, ...]:
    """The first of them, so many at most and so many bytes of JSON at most."""
    kept: list[M] = []
    for model in models:
        room -= len(model.model_dump_json())
        if len(kept) == most or room < 0:
            break
        kept.append(model)
    return tuple(kept)
