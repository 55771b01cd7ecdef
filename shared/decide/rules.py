"""The runbook catalogue: rules as data, each with its source, that choose an action or say why to leave things alone.

Rules are tried in the order of their priority, and the rules of restraint stand first. What they may ask and
how parameters come about is `shared.decide.conditions`. What may be done is not decided here: the guard judges every
choice.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, ValidationError

from shared.action.catalogue import Catalogue
from shared.decide.conditions import DERIVATIONS, PodWhen, When
from shared.errors import MalformedError
from shared.event.types import TriagedData
from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.wish import Wish

TELL_ONLY: Final = "notify_only"  # the one action that the code itself names: telling is always possible
RUNBOOKS: Final = Path(__file__).parent / "runbooks"


class Rule(Model):
    """One runbook rule; the lowest priority is tried first.

    `params` maps a parameter to the derivation that makes it. The action is not chosen again for the same incident,
    except `repeat` times more, and not at all after one of `not_after` was tried.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{2,63}$")
    title: str = Field(max_length=120)
    source: str = ""
    priority: int = Field(ge=1, le=999)
    when: When
    action: str
    params: dict[str, str] = Field(default_factory=dict)
    confidence: float = Field(ge=0, le=1)
    reasoning: str = Field(min_length=1, max_length=500)
    repeat: int = Field(default=0, ge=0, le=2)
    not_after: tuple[str, ...] = ()

    def derive(self, facts: Facts) -> dict[str, Any] | None:
        """Make the parameters; None when one cannot be made from these facts or its derivation does not exist."""
        made = {name: DERIVATIONS[word](facts, self.when) for name, word in self.params.items() if word in DERIVATIONS}
        return made if len(made) == len(self.params) and None not in made.values() else None


class Choice(Model):
    """What is to be planned, and why. `by` tells who chose it; nobody did when no rule said anything."""

    action: str
    params: dict[str, Any] = Field(default_factory=dict)
    confidence: float = Field(ge=0, le=1)
    reasoning: str = Field(max_length=2000)
    rule: str = ""
    by: Literal["rule", "model", "person", "nobody"]


def load_rules(folder: Path = RUNBOOKS) -> tuple[Rule, ...]:
    """All rules of the YAML files in `folder`, by priority.

    Raises MalformedError (reason `runbooks`) that names the file and what is wrong in it; no rules at all are wrong.
    """
    rules: list[Rule] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            listed = yaml.safe_load(path.read_text())
            rules += [Rule.model_validate(item) for item in listed["rules"]]
        except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
            raise MalformedError(f"{path.name}: {error}", reason="runbooks") from error
    if not rules:
        raise MalformedError(f"no rules in {folder}", reason="runbooks")
    return in_order(rules)


@cache
def shipped() -> tuple[Rule, ...]:
    """Give the rules of this installation, read once."""
    return load_rules()


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def choose(triaged: TriagedData, catalogue: Catalogue, rules: Sequence[Rule]) -> Choice:
    """Choose what a person asked for, else the first rule that has something left to do, else telling.

    Raises MalformedError when a person's wish names no action (`unknown-action`) or wrong parameters (`params`).
    """
    if triaged.wish is not None and triaged.wish.reason in ("run", "approve"):
        return _wished(triaged.wish, catalogue)
    names = catalogue.names()
    spent: list[str] = []
    for rule in in_order(rules):
        if rule.action not in names or not rule.when.met(triaged):
            continue
        # Telling is no attempt: a rule of restraint that has told once must go on restraining.
        if rule.action != TELL_ONLY and (
            triaged.tried.count(rule.action) > rule.repeat or set(rule.not_after) & set(triaged.tried)
        ):
            spent.append(rule.id)
            continue
        params = rule.derive(triaged.facts)
        if params is None or (params := sound(catalogue, rule.action, params)) is None:
            continue
        reasoning = f"{rule.reasoning} {seen(triaged.facts)}"
        return Choice(
            action=rule.action, params=params, confidence=rule.confidence, reasoning=reasoning, rule=rule.id, by="rule"
        )
    if spent:
        return tell(f"Nothing is left to try: {', '.join(spent)} was tried before. {seen(triaged.facts)}")
    return tell(f"No runbook rule fits this incident. {seen(triaged.facts)}")


def tell(reasoning: str) -> Choice:
    """Choose to tell a person, because nobody knows a remedy."""
    return Choice(action=TELL_ONLY, confidence=1, reasoning=reasoning[:2000], by="nobody")


def seen(facts: Facts) -> str:
    """One sentence for a person about what the facts show; names in it were given by Kubernetes."""
    scope = facts.scope
    parts = [f"{facts.replicas.ready} of {facts.replicas.desired} ready"] if facts.replicas else []
    worst = next(iter(PodWhen().pods(facts)), None)
    if worst is not None:
        state = next(state for state in worst.containers if not state.ready)
        word = state.waiting or state.terminated or worst.phase or "not ready"
        parts.append(f"pod {worst.name}: {word}, {state.restarts} restarts")
    else:
        parts += [f"pod {pod.name}: {pod.reason}" for pod in facts.pods if pod.reason and not pod.deleting][:1]
    return f"Seen: {scope.key}" + "".join(f", {part}" for part in parts) + "."


def _wished(wish: Wish, catalogue: Catalogue) -> Choice:
    action = catalogue.load(wish.action)
    try:
        params = action.asked(wish.params)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])[:60] or 'params'}: {item['msg']}" for item in error.errors()
        )
        raise MalformedError(f"{wish.action}: {wrong}"[:500], reason="params") from error
    who = ", ".join(wish.approvers) if wish.reason == "approve" else wish.author
    verb = "Approved" if wish.reason == "approve" else "Asked for"
    return Choice(
        action=wish.action,
        params=params.model_dump(mode="json", exclude_none=True),
        confidence=1,
        reasoning=f"{verb} by {who or 'a person'}."[:2000],
        by="person",
    )


def sound(catalogue: Catalogue, action: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the parameters as the action wants them; None when it refuses them."""
    try:
        return catalogue.load(action).asked(params).model_dump(mode="json", exclude_none=True)
    except ValidationError:
        return None
