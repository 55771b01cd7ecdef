"""Label selectors as Kubernetes writes them: from an object to the query's text, and from either to yes or no."""

import re
from typing import Any, NamedTuple, Self

from shared.errors import MalformedError

_TERM = re.compile(r"\s*(!?)([\w./-]+)\s*(?:(==|=|!=)\s*([\w.-]*)|(in|notin)\s*\(([\w., -]*)\))?\s*")
_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?", re.ASCII)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


class Requirement(NamedTuple):
    key: str
    operator: str  # In, NotIn, Exists, DoesNotExist
    values: tuple[str, ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return self.key not in labels or labels[self.key] not in self.values
        return (self.key in labels) == (self.operator == "Exists")

    @property
    def text(self) -> str:
        if self.operator == "In" and len(self.values) == 1:
            return f"{self.key}={self.values[0]}"
        if self.operator in {"In", "NotIn"}:
            return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"
        return self.key if self.operator == "Exists" else f"!{self.key}"


class Selector(NamedTuple):
    """All requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Self:
        """From `matchLabels` and `matchExpressions`. Raises MalformedError for an operator that does not exist."""
        value = value if isinstance(value, dict) else {}
        found = [Requirement(str(k), "In", (str(v),)) for k, v in (value.get("matchLabels") or {}).items()]
        for expression in value.get("matchExpressions") or []:
            operator = str(expression.get("operator"))
            if operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
                raise MalformedError(f"no selector operator {operator[:32]!r}")
            found.append(Requirement(str(expression.get("key")), operator, tuple(expression.get("values") or ())))
        return cls(tuple(found))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a `labelSelector` query. Raises MalformedError for what the grammar does not have."""
        found = []
        for part in re.split(r",(?![^(]*\))", text) if text.strip() else []:
            match = _TERM.fullmatch(part)
            if match is None:
                raise MalformedError(f"unable to parse requirement: {part[:64]!r}")
            negated, key, equality, value, membership, values = match.groups()
            if negated and (equality or membership):
                raise MalformedError(f"unable to parse requirement: {part[:64]!r}")
            if equality:
                found.append(Requirement(key, "NotIn" if equality == "!=" else "In", (value,)))
            elif membership:
                members = tuple(item.strip() for item in values.split(","))
                found.append(Requirement(key, "In" if membership == "in" else "NotIn", members))
            else:
                found.append(Requirement(key, "DoesNotExist" if negated else "Exists"))
            if not _KEY.fullmatch(key) or not all(map(_VALUE.fullmatch, found[-1].values)):
                raise MalformedError(f"unable to parse requirement: {part[:64]!r}")
        return cls(tuple(found))

    @property
    def text(self) -> str:
        return ",".join(requirement.text for requirement in self.requirements)

    def matches(self, labels: dict[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)
