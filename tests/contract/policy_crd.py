"""`python -m tests.contract.policy_crd` writes the schema of RemediationPolicy into its manifest, made from the model.

Kubernetes refuses by it what it can see by itself, at the moment of `kubectl apply`; whether a time zone or an action
exists only the reader knows.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from shared.guard.policy import Policy

FILE = Path(__file__).parents[2] / "knative" / "base" / "policy.yaml"
_KEPT = (
    "description", "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "required",
)  # fmt: skip
# What one field alone cannot say, in the words of the model's own validators.
_RULES: dict[str, list[tuple[str, str]]] = {
    "Policy": [
        ("!has(self.risk_approve) || !has(self.risk_refuse) || self.risk_approve <= self.risk_refuse",
         "risk_approve is above risk_refuse, so that nothing would ever be held for its risk"),
        (("(has(self.backoff_base_s) ? self.backoff_base_s : 60)"
         " <= (has(self.backoff_max_s) ? self.backoff_max_s : 3600)"),
         "backoff_base_s is above backoff_max_s"),
    ],
    "Rule": [
        ("has(self.autonomy) || has(self.approvers) || has(self.most_replicas) || has(self.least_replicas)",
         "says neither autonomy nor approvers nor a bound of replicas"),
        ("!has(self.most_replicas) || !has(self.least_replicas) || self.least_replicas <= self.most_replicas",
         "least_replicas is above most_replicas"),
    ],
    "Hours": [
        ("(has(self.from) ? self.from : '00:00') != (has(self.to) ? self.to : '24:00')",
         "from and to are the same; a whole day is from 00:00 to 24:00"),
    ],
    "Window": [
        ("has(self.start) == has(self.end)", "start and end belong together"),
        ("has(self.start) != (has(self.days) || has(self.from) || has(self.to))",
         "either days, from and to, or start and end"),
        ("(has(self.from) ? self.from : '00:00') != (has(self.to) ? self.to : '24:00')",
         "from and to are the same; a whole day is from 00:00 to 24:00"),
    ],
}  # fmt: skip


def spec() -> dict[str, Any]:
    """The schema of `spec` as a CustomResourceDefinition may say it."""
    whole = Policy.model_json_schema(by_alias=True)
    return _schema({**whole, "title": "Policy"}, whole.get("$defs", {}))


def _schema(part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return _schema(known[part["$ref"].rpartition("/")[2]], known)
    if "anyOf" in part:  # or null, which in Kubernetes is the same as leaving it out
        (one,) = (each for each in part["anyOf"] if each.get("type") != "null")
        return _schema(one, known)
    made = {name: part[name] for name in _KEPT if name in part}
    if "items" in part:
        made["items"] = _schema(part["items"], known)
        made["x-kubernetes-list-type"] = "atomic"  # the order counts, and nobody owns one entry
    if "properties" in part:
        made["properties"] = {name: _schema(each, known) for name, each in sorted(part["properties"].items())}
        if rules := _RULES.get(part["title"]):
            made["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return made


def main() -> None:
    text = FILE.read_text()
    head, mark, _ = text.partition("            spec:\n")
    lines = yaml.safe_dump(spec(), sort_keys=True, width=200, default_flow_style=False).replace("$", "$$")
    FILE.write_text(head + mark + re.sub(r"^", " " * 14, lines.rstrip("\n"), flags=re.MULTILINE) + "\n")


if __name__ == "__main__":
    main()
