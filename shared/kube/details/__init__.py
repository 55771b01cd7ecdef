"""The further looks at a scope, one module each, named as the fields of `Details`: that model is the only table.

A module says for which kinds of scope it is (`KINDS`), what it must be allowed to read (`RIGHTS`) and looks (`look`).
None of them decides anything, pages on, or carries text of others but names.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final, Protocol, cast

from shared.errors import MalformedError
from shared.kube.reader import Object, Reader
from shared.kube.rights import Right
from shared.model.base import Model
from shared.model.details import Details
from shared.model.facts import Scope

NAMES: Final = tuple(Details.model_fields)


class Detail(Protocol):
    KINDS: tuple[str, ...]
    RIGHTS: tuple[Right, ...]

    def look(self, kube: Reader, scope: Scope, found: Object) -> Model | None: ...


def detail(name: str) -> Detail:
    """Import the module of that name. Raises MalformedError (reason `unknown-detail`) if there is none."""
    if name not in NAMES:
        raise MalformedError(f"no detail named {name[:40]!r}", reason="unknown-detail")
    return cast("Detail", import_module(f"{__name__}.{name}"))


def take(kube: Reader, scope: Scope, found: Object, names: Iterable[str] | None) -> Details:
    """Look for these details, as far as they fit the kind of the scope; for all that do with None. Raises KubeError."""
    taken: dict[str, Any] = {}
    for name in NAMES if names is None else names:
        one = detail(name)
        if scope.kind in one.KINDS:
            taken[name] = one.look(kube, scope, found)
    return Details(**taken)


def rights(names: Iterable[str], kinds: Iterable[str]) -> list[Right]:
    """What whoever takes these details of such scopes must be allowed to read."""
    kinds = set(kinds)
    return [right for name in names if kinds & set(detail(name).KINDS) for right in detail(name).RIGHTS]
