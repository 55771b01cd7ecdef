"""Finds what is wrong with a runbook catalogue before anybody relies on it: for tests and for who writes rules."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from shared.action.catalogue import Catalogue
from shared.decide.conditions import DERIVATIONS
from shared.decide.rules import Rule, choose, in_order, sound
from shared.event.types import TriagedData


class Finding(NamedTuple):
    kind: Literal[
        "duplicate-id", "duplicate-priority", "no-source", "unknown-action", "bad-params", "never-met", "unreachable"
    ]
    rule: str
    text: str


def lint(rules: Sequence[Rule], fixtures: Mapping[str, TriagedData], catalogue: Catalogue) -> list[Finding]:
    """Tell what is wrong with the rules: each stands alone, is grounded and is chosen for at least one fixture."""
    found: list[Finding] = []
    ids: set[str] = set()
    ranks: dict[int, str] = {}
    for rule in in_order(rules):
        if rule.id in ids:
            found.append(Finding("duplicate-id", rule.id, "two rules have this id"))
        ids.add(rule.id)
        if rule.priority in ranks:
            text = f"priority {rule.priority} is {ranks[rule.priority]}'s"
            found.append(Finding("duplicate-priority", rule.id, text))
        ranks[rule.priority] = rule.id
        if not rule.source.startswith(("https://", "docs/")):
            found.append(Finding("no-source", rule.id, "source is neither an https address nor a page of docs/"))
        unknown = {rule.action, *rule.not_after} - set(catalogue.names())
        if unknown:
            found.append(Finding("unknown-action", rule.id, f"no action is named {', '.join(sorted(unknown))}"))
            continue
        met = {name: triaged for name, triaged in fixtures.items() if rule.when.met(triaged)}
        found += _params_findings(rule, met, catalogue)
        if not met:
            found.append(Finding("never-met", rule.id, "no fixture meets its conditions"))
        elif not any(choose(triaged, catalogue, rules).rule == rule.id for triaged in met.values()):
            text = f"another rule is chosen before it for {', '.join(sorted(met))}"
            found.append(Finding("unreachable", rule.id, text))
    return found


def _params_findings(rule: Rule, met: Mapping[str, TriagedData], catalogue: Catalogue) -> list[Finding]:
    fields = catalogue.load(rule.action).Params.model_fields
    wrong = [f"{rule.action} has no parameter {name}" for name in rule.params if name not in fields]
    wrong += [f"no derivation is named {word}" for word in rule.params.values() if word not in DERIVATIONS]
    wrong += [
        f"{rule.action} needs {name}"
        for name, field in fields.items()
        if field.is_required() and name not in rule.params
    ]
    if not wrong:
        for name, triaged in met.items():
            params = rule.derive(triaged.facts)
            if params is None or sound(catalogue, rule.action, params) is None:
                wrong.append(f"fixture {name} gives parameters that {rule.action} refuses: {params}")
    return [Finding("bad-params", rule.id, text) for text in wrong]
