"""What waits for a person's yes, as Redis keeps it and as people are shown it: plan, risk, price, and who may answer.

It decides nothing. The record may be odd (an older version's, cut by a fault); a part that cannot be read is left out,
because people must still be told of the rest.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from shared.model.base import Model
from shared.model.facts import Scope
from shared.model.plan import Plan, Touches, Write

# What roles name who say who may approve: no object is of this kind.
GROUP: Final = "akeso.dev"
RESOURCE: Final = "remediations"

_LAST: Final = 250_000_000_000_000  # ms, in the year 9892: the last that can be shown
_SHOWN: Final = 400  # characters of one value

M = TypeVar("M", bound=Model)


class Risk(Model):
    model_config = ConfigDict(extra="ignore")  # to show less is better than to show nothing

    score: float
    parts: dict[str, float] = Field(default_factory=dict)  # points by name

    def text(self) -> str:
        parts = ", ".join(f"{name} {points:g}" for name, points in self.parts.items() if points)
        return f"{self.score:g} of 100" + (f" ({parts})" if parts else "")


class Price(Model):
    """What the plan costs: what is touched, for how long it may not serve, and whether it can be taken back."""

    touches: Touches = Touches()
    pods: int = 0
    downtime_s: float = 0
    undo: bool = False

    def text(self) -> str:
        touches = self.touches
        touched = f"disturbs {touches.count} of {touches.population} {touches.unit}s" if touches.count else ""
        pods = f"{self.pods} pods" if self.pods and touches.unit != "pod" else ""
        return ", ".join(filter(None, (
            touched or "disturbs nothing that runs",
            pods,
            f"about {self.downtime_s:g} s of downtime",
            "can be taken back" if self.undo else "cannot be taken back",
        )))  # fmt: skip


class Hold(Model):
    """Times in ms. `given` are those who have said yes; `answered` is empty while it waits."""

    id: str
    incident: str
    action: str
    params: dict[str, Any] = Field(default_factory=dict)
    plan: Plan | None = None
    plan_hash: str = ""
    deadline: int = 0
    at: int = 0
    needs: int = 1
    given: tuple[str, ...] = ()
    author: str = ""
    answered: str = ""
    risk: Risk | None = None
    price: Price | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Hold | None":
        """Read the record; None when there is none."""
        if not fields.get("id"):
            return None
        given, params = _json(fields.get("given")), _json(fields.get("params"))
        return cls(
            id=fields["id"],
            incident=fields.get("incident", ""),
            action=fields.get("action", ""),
            params=params if isinstance(params, dict) else {},
            plan=_model(Plan, fields.get("plan")),
            plan_hash=fields.get("plan_hash", ""),
            deadline=_number(fields.get("deadline")),
            at=_number(fields.get("at")),
            needs=max(1, _number(fields.get("needs"))),
            given=tuple(map(str, given)) if isinstance(given, list) else (),
            author=fields.get("author", ""),
            answered=fields.get("answered", ""),
            risk=_model(Risk, fields.get("risk")),
            price=_model(Price, fields.get("price")),
        )

    @property
    def missing(self) -> int:
        """How many more have to say yes."""
        return max(0, self.needs - len(set(self.given)))

    def lines(self, scope: str, until: str) -> list[str]:
        """Tell it to somebody who has to answer, a line each; `until` is the deadline in words."""
        told = [f"{self.action} at {scope} waits for a yes until {until} ({self.id})"]
        told += difference(self.plan) if self.plan else []
        told += [f"risk: {self.risk.text()}"] if self.risk else []
        told += [f"price: {self.price.text()}"] if self.price else []
        told += [f"needs {self.needs} people, {self.missing} more"] if self.needs > 1 else []
        told += [f"yes from {', '.join(self.given)}"] if self.given else []
        return [*told, f"may answer: {who_may(self.action, scope)}"]


def who_may(action: str, scope: str) -> str:
    """Say who may approve it, and how Kubernetes tells of somebody: of what is no type, kubectl can only list."""
    namespace = Scope.of_key(scope).namespace
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    asked = "kubectl auth can-i --list" + (f" -n {namespace}" if namespace else "")
    return f"whoever has the verb approve on {RESOURCE}.{GROUP} for {action} {where} ({asked} --as NAME)"


def difference(plan: Plan) -> list[str]:
    """Show the plan field by field: `-` is what there is, `+` what there would be."""
    lines = [line for write in plan.writes for line in _difference(write)]
    return [*lines, f"  taken back after {plan.until_s // 60} min"] if plan.until_s else lines


def _difference(write: Write) -> list[str]:
    target = write.target.key
    if write.verb == "watch":
        return [f"  waits for at most {write.patience_s} s until it has arrived"]
    if write.verb == "evict":
        return [f"  {target}", "- this pod, evicted"]
    if write.verb == "create":
        source = write.after.get("from") if isinstance(write.after, dict) else None
        return [f"  {target}", f"+ created, {_copied(source)}" if source else f"+ created: {_cut(write.after)}"]
    if write.verb == "copy":
        return [f"  {target} {write.path}", f"- {_copied(write.before)}", f"+ {_copied(write.after)}"]
    if write.verb != "patch":
        return [f"  {target}", f"- {write.verb}"]
    lines = [f"  {target} {write.path}"]
    lines += [f"- {_cut(write.before)}"] if write.before is not None else []
    return lines + ([f"+ {_cut(write.after)}"] if write.after is not None else [])


def _copied(source: Any) -> str:
    return f"as {source.get('kind')} {source.get('name')} has it" if isinstance(source, dict) else "as another has it"


def _cut(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def _model(model: type[M], text: str | None) -> M | None:
    try:
        return model.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _number(text: str | None) -> int:
    try:
        return min(max(0, int(float(text or 0))), _LAST)
    except (ValueError, OverflowError):
        return 0
