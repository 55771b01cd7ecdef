"""One action as a page for people, made from its declaration: what it does, to what, with which rights, how proven.

The pages are made, never committed: what is declared cannot drift from what is read.
"""

import json
import sys
from typing import Any

from shared.action import rbac
from shared.action.declare import Action, Example
from shared.model.facts import Facts
from shared.model.plan import Plan, Refusal, Write
from shared.model.refusal import REASONS

_PROVEN = {
    "api": "the right calls, accepted by an API server",
    "controller": "and Kubernetes' own controllers did the rest",
    "real workload": "and it healed what really ran on a node",
}


def page(action: Action) -> str:
    """Markdown, whose first line is the name. Raises MalformedError as `rbac.rules`."""
    proof = f"{action.proof}: {_PROVEN[action.proof]}" + (f" (`{action.proved_by}`)" if action.proved_by else "")
    facts = [
        ("risk", action.risk), ("how it writes", action.kind), ("heals", ", ".join(action.scopes)),
        ("nobody else may work meanwhile on", f"the {action.width}"), ("cooldown", _span(action.cooldown_s)),
        ("looked at again after", _span(action.soak_s)), ("takes at most", _span(action.run_s)),
        ("asks the API server", f"{action.requests} times at most, and again while it waits"),
        ("is taken back", "when its time is over" if _ends(action) else "only when it is asked for"),
        ("proof", proof), *([("not shown", action.unproved)] if action.unproved else []),
    ]  # fmt: skip
    parts = [
        f"# {action.name}", action.summary, (sys.modules[type(action).__module__].__doc__ or "").strip(),
        _table(("", ""), facts), "## Parameters", _params(action), "## Rights", _rights(action), "## Examples",
        _table(("case", "parameters", "what comes of it"), [_example(action, one) for one in action.examples]),
    ]  # fmt: skip
    refused = sorted({example.refusal for example in action.examples if example.refusal})
    if refused:
        rows = [(reason, REASONS[reason].severity, REASONS[reason].text) for reason in REASONS if reason in refused]
        parts += ["## Refuses", _table(("reason", "severity", "meaning"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _ends(action: Action) -> bool:
    """Whether any of its examples is a change for a time."""
    made = [_planned(action, example) for example in action.examples]
    return any(isinstance(plan, Plan) and plan.until_s for plan in made)


def _planned(action: Action, example: Example) -> Plan | Refusal:
    return action.plan(Facts.model_validate(example.facts), action.Params.model_validate(example.params))


def _params(action: Action) -> str:
    schema = action.Params.model_json_schema()
    needed = schema.get("required", [])
    rows = [
        (name, _kind(field), "" if name in needed else json.dumps(field.get("default")), _bounds(field))
        for name, field in schema.get("properties", {}).items()
    ]
    return _table(("name", "type", "default", "bounds"), rows) if rows else "None."


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(branch) for branch in field["anyOf"])
    return str(field.get("type", "one of")) + ("s: " + _kind(field["items"]) if "items" in field else "")


def _bounds(field: dict[str, Any]) -> str:
    words = {
        "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
        "maxLength": "characters at most", "maxItems": "items at most", "enum": "one of",
    }  # fmt: skip
    said = [f"{word} {field[key]}" for key, word in words.items() if key in field]
    said += [found for branch in field.get("anyOf", ()) if (found := _bounds(branch))]
    return ", ".join(said)


def _rights(action: Action) -> str:
    rules = rbac.rules(action)
    if not rules:
        return "None, and no token to ask the cluster with."
    rows = [(rule["apiGroups"][0] or "core", rule["resources"][0], ", ".join(rule["verbs"])) for rule in rules]
    return _table(("group", "resource", "verbs"), rows)


def _example(action: Action, example: Example) -> tuple[str, str, str]:
    made = _planned(action, example)
    if isinstance(made, Plan):
        said = "; ".join(_write(write) for write in made.writes) or "nothing is written"
    else:
        said = f"refused, {made.reason}: {made.text}"
    return example.title, f"`{json.dumps(example.params)}`", said


def _write(write: Write) -> str:
    of = write.target.key
    if write.verb == "patch":
        return f"{of} `{write.path}`: `{json.dumps(write.before)}` to `{json.dumps(write.after)}`"
    if write.verb == "watch":
        return f"wait at most {_span(write.patience_s)} until it has arrived"
    return f"{write.verb} {of}"


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 120 and seconds % 60 == 0 else f"{seconds} s"  # noqa: PLR2004


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
