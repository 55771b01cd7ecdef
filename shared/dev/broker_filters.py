"""Trigger filters with Knative's pitfalls: an empty value is no condition, and a Trigger without conditions takes all.

A filter says True, False or None. None is "no condition" (Knative's NoFilter): it neither lets in nor keeps out, and
an event is kept out by False alone. Filters never see an event's data.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shared.errors import MalformedError

Verdict = bool | None
Filter = Callable[[Mapping[str, str]], Verdict]

_NAME = re.compile(r"[a-z][a-z0-9]*")
# The legacy filter sees these on every event, as empty text when they were not sent.
_STANDARD: Final = frozenset({"subject", "time", "schemaurl", "datacontenttype", "datacontentencoding"})
_COMPARE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


def compile_filters(filters: Sequence[Any] | None, legacy: Mapping[str, Any] | None = None) -> Filter:
    """`spec.filters` as one function, or the legacy `spec.filter` when there are none.

    Raises MalformedError for what Knative's webhook refuses, and for `cesql`, which is not built here.
    """
    if filters:
        return _all([_one(item) for item in filters])
    if legacy:
        return _legacy(_conditions("filter.attributes", legacy.get("attributes") or {}))
    return _nothing


def passes(accepts: Filter, attributes: Mapping[str, str]) -> bool:
    return accepts(attributes) is not False


def _one(item: Any) -> Filter:
    if not isinstance(item, Mapping) or len(item) != 1:
        raise MalformedError(f"filter {item!r}: one dialect per item", reason="filter")
    ((dialect, value),) = item.items()
    if dialect in _COMPARE:
        return _compare(_COMPARE[dialect], _conditions(dialect, value))
    if dialect in ("all", "any"):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise MalformedError(f"filter {dialect}: a list is wanted", reason="filter")
        parts = [_one(part) for part in value]
        return _all(parts) if dialect == "all" else _any(parts)
    if dialect == "not":
        return _not(_one(value))
    if dialect == "cesql":
        raise MalformedError("filter cesql: the local broker has no CESQL; use exact, prefix, suffix, all, any or not")
    raise MalformedError(f"filter {dialect}: unknown dialect", reason="filter")


def _conditions(dialect: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise MalformedError(f"filter {dialect}: attribute names with values are wanted", reason="filter")
    for name, text in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(text, str):
            raise MalformedError(f"filter {dialect}: bad attribute {name!r} or value {text!r}", reason="filter")
    return value


def _compare(same: Callable[[str, str], bool], wanted: Mapping[str, str]) -> Filter:
    if not wanted or "" in wanted.values():
        return _nothing  # one empty value switches the whole item off, not just its attribute

    def accepts(attributes: Mapping[str, str]) -> Verdict:
        return all(name in attributes and same(attributes[name], value) for name, value in wanted.items())

    return accepts


def _legacy(wanted: Mapping[str, str]) -> Filter:
    def accepts(attributes: Mapping[str, str]) -> Verdict:
        return all(
            (name in attributes or name in _STANDARD) and value in ("", attributes.get(name, ""))
            for name, value in wanted.items()
        )

    return accepts


def _nothing(_: Mapping[str, str]) -> Verdict:
    return None


def _all(parts: Sequence[Filter]) -> Filter:
    def accepts(attributes: Mapping[str, str]) -> Verdict:
        said = [verdict for part in parts if (verdict := part(attributes)) is not None]
        return all(said) if said else None

    return accepts


def _any(parts: Sequence[Filter]) -> Filter:
    def accepts(attributes: Mapping[str, str]) -> Verdict:
        said = [verdict for part in parts if (verdict := part(attributes)) is not None]
        return any(said) if said else None

    return accepts


def _not(part: Filter) -> Filter:
    def accepts(attributes: Mapping[str, str]) -> Verdict:
        verdict = part(attributes)
        return None if verdict is None else not verdict

    return accepts
