"""What a person may send, as closed and bounded models: the only way in for text that people typed.

A name that is typed is proven by nothing, so it is labelled as typed wherever it is kept, and counts only where the
shared token is enough (`shared.people.who`).
"""

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, ValidationError

from shared.errors import MalformedError
from shared.kube.kinds import addressable
from shared.model.base import Model
from shared.model.facts import ObjectRef
from shared.model.stop import StopMode

MAX_BODY: Final = 64 * 1024  # bytes
LABEL: Final = "typed name"

M = TypeVar("M", bound=Model)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only printable characters, on one line")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_printable)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), AfterValidator(_printable)
]
ActionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
AttemptId = Annotated[str, StringConstraints(pattern=r"^grant-[0-9a-f]{20}$")]


class Ask(Model):
    by: Name = ""


class StopAsk(Ask):
    """For everything, or for one part of it; an empty word names none."""

    mode: StopMode
    reason: Reason
    tenant: str = Field(default="", pattern=r"^([a-z0-9-]{1,40})?$")
    cluster: str = Field(default="", pattern=r"^([a-z0-9-]{1,40})?$")
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")
    action: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{1,39})?$")

    def scope(self, home: str) -> str:
        """The key that this is about, empty for everything; a cluster without a tenant is one of `home`'s.

        Raises MalformedError for two parts at once: a key holds one, and what only both together name cannot be held.
        """
        tenant = self.tenant or (home if self.cluster else "")
        of_tenant = f"cluster.{tenant}.{self.cluster}" if self.cluster else f"tenant.{tenant}" if tenant else ""
        named = [("namespace.", self.namespace), ("action.", self.action), ("", of_tenant)]
        keys = [kind + name for kind, name in named if name]
        if len(keys) > 1:
            raise MalformedError("one of tenant or cluster, namespace, action at a time", reason="stop-scope")
        return keys[0] if keys else ""


class HoldAsk(Ask):
    hold: str = Field(default="", pattern=r"^(hold-[0-9a-f]{16})?$")  # empty: the one that waits now
    reason: Reason


class UndoAsk(Ask):
    attempt: AttemptId
    reason: Reason


class Target(Model):
    kind: str = Field(max_length=63)
    namespace: str = Field(default="", max_length=63)
    name: str = Field(max_length=253)

    def ref(self) -> ObjectRef:
        """Name the object. Raises MalformedError for what no cluster could have."""
        named = ObjectRef(kind=self.kind, namespace=self.namespace, name=self.name)
        if not addressable(self.kind, self.namespace, self.name):
            raise MalformedError(f"{named.key[:120]!r} is not KIND/NAMESPACE/NAME of a known kind", reason="target")
        return named


class PromoteAsk(Ask):
    action: ActionName
    target: Target
    reason: Reason


class RunAsk(Ask):
    """`dry_run` is a strict truth value: the text "false" must not start anything."""

    action: ActionName
    target: Target
    params: dict[str, Any] = Field(default_factory=dict, max_length=50)
    reason: str = Field(default="", max_length=300)
    dry_run: StrictBool = True


def read(body: bytes, model: type[M]) -> M:
    """Read the ask in `body`. Raises MalformedError that names the first thing that is wrong."""
    try:
        raw = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise MalformedError("the body is not JSON", reason="not-json") from error
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:80] or "the body"
        raise MalformedError(f"{where}: {first['msg']}"[:300], reason="ask") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key given twice: one reader believes the first, another one the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is given twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
