"""Tells a person and writes nothing: what is chosen when restraint is the remedy."""

from typing import Any, ClassVar, get_args

from pydantic import Field

from shared.action.declare import Action, Example
from shared.model.base import Model
from shared.model.facts import Facts, ScopeKind
from shared.model.plan import Plan, Refusal

_FACTS = {"taken_at": 0, "scope": {"kind": "unknown", "name": "alert/00000000000000aa"}}


class NotifyOnlyParams(Model):
    message: str = Field(default="", max_length=500)


class NotifyOnly(Action):
    name = "notify_only"
    summary = "Tell a person and change nothing."
    risk = "none"
    kind = "none"
    scopes = get_args(ScopeKind)
    Params = NotifyOnlyParams
    unproved = "anything on nodes: it asks the cluster nothing"
    examples: ClassVar = (
        Example("without words of its own", _FACTS, {}),
        Example("with a message", _FACTS, {"message": "the volume is 95 % full"}),
    )

    def plan(self, facts: Facts, params: Any) -> Plan | Refusal:  # noqa: ARG002  every action has this shape
        return Plan()

    def healthy(self, facts: Facts) -> bool:  # noqa: ARG002  telling somebody cures nothing
        return False
