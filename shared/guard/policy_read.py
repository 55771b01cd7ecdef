"""Reads a policy from what a person wrote, and says in one line each what is wrong with it.

A key that nobody knows is refused, at every level, because a misspelt limit is no limit. Nothing here talks to
Kubernetes or Redis, or knows what a policy means.
"""

import difflib
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from shared.errors import MalformedError
from shared.guard.policy import Policy, Rule, Window
from shared.guard.windows import Hours
from shared.model.base import canonical

MAX_TEXT: Final = 64 * 1024  # characters
_MOST: Final = 20  # faults told of one policy
_LEVELS: Final[dict[str, type[BaseModel]]] = {"rules": Rule, "windows": Window, "working_hours": Hours}
_PATTERNS: Final = {
    "protected_namespaces": "a namespace, with * for any part",
    "namespaces": "a namespace, with * for any part",
    "protected_objects": "Kind/namespace/name, with * for any part",
    "hold": "an action's name or *",
    "actions": "an action's name or *",
    "severities": "a severity, with * for any part",
    "from": "a time of day like 22:00",
    "to": "a time of day like 06:00, at most 24:00",
    "name": "1 to 100 printable characters",
}


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice: the reader of the file believes the one, YAML takes the other.

    `22:00` and `2026-12-24` stay texts, as they do on the way through kubectl.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_TIME: Final = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in known if tag not in (_INT, _FLOAT, _TIME)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"([-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+.0123456789"),
)  # fmt: skip


def faults(text: str, actions: Collection[str] | None = None) -> list[str]:
    """Everything that is wrong with the policy in that YAML text, one line each; empty when nothing is."""
    return _read(lambda: _parse(text), actions)[1]


def read(text: str, actions: Collection[str] | None = None) -> Policy:
    """Read the policy in that YAML text; the empty text is the defaults.

    With `actions` (all names of the catalogue) one that does not exist is refused as well.
    Raises MalformedError (reason `policy`) with one line that names every wrong or unknown key.
    """
    return _given(*_read(lambda: _parse(text), actions))


def of_spec(spec: Any, actions: Collection[str] | None = None) -> Policy:
    """Read the policy that a Kubernetes object carries. Raises MalformedError like `read`."""
    return _given(*_read(lambda: _bounded(spec), actions))


def revision(text: str) -> str:
    """12 hex digits that name exactly this text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def spec_revision(spec: Any) -> str:
    """12 hex digits that name exactly this content, whatever the order of its keys."""
    return hashlib.sha256(canonical(spec)).hexdigest()[:12]


def _given(policy: Policy | None, wrong: Sequence[str]) -> Policy:
    if policy is None:
        raise MalformedError("policy: " + " ".join("; ".join(wrong).split())[:1000], reason="policy")
    return policy


class _FaultError(Exception):
    """Nothing more can be said after it."""


def _read(values: Any, actions: Collection[str] | None) -> tuple[Policy | None, list[str]]:
    try:
        found = values()
    except _FaultError as fault:
        return None, [" ".join(str(fault).split())[:1000]]
    if found is None:
        return Policy(), []
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None, ["must be a mapping of keys to values"]
    try:
        policy = Policy.model_validate(found)
    except ValidationError as error:
        return None, list(_told(error))
    if wrong := list(_unknown_actions(policy, actions)) if actions is not None else []:
        return None, wrong
    return policy, []


def _bounded(spec: Any) -> Any:
    try:
        size = len(canonical(spec))
    except (ValueError, TypeError, RecursionError) as error:
        raise _FaultError(f"no JSON: {error}") from None
    if size > MAX_TEXT:
        raise _FaultError(f"{size} characters, at most {MAX_TEXT}")
    return spec


def _parse(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise _FaultError(f"{len(text)} characters, at most {MAX_TEXT}")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _FaultError(f"{line}{error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _FaultError(f"not YAML: {error}") from None


def _told(error: ValidationError) -> Iterator[str]:
    found = error.errors(include_url=False, include_context=False, include_input=True)
    for item in found[:_MOST]:
        yield " ".join(_fault(item).split())[:300]
    if len(found) > _MOST:
        yield f"and {len(found) - _MOST} more"


def _fault(item: Any) -> str:
    loc = item["loc"]
    where, key = ".".join(str(part)[:80] for part in loc), _key(loc)
    match item["type"]:
        case "extra_forbidden":
            return _unknown(loc)
        case "tuple_type":
            return f"{where}: must be a list"
        case "model_type" | "model_attributes_type":
            return f"{where}: must be a mapping of keys to values"
        case "string_pattern_mismatch":
            return f"{where}: must be {_PATTERNS.get(key, 'of another form')}"
        case "literal_error" if isinstance(item["input"], bool):  # YAML's old words for it
            return f"{where}: {item['msg']}; write 'off' in quotes"
        case "value_error":
            said = item["msg"].removeprefix("Value error, ")
            return f"{where}: {said}" if where else said
        case _:
            return f"{where}: {item['msg']}"


def _key(loc: Sequence[Any]) -> str:
    """The innermost name, past the numbers of a list's items."""
    return next((part for part in reversed(loc) if isinstance(part, str)), "")


def _unknown(loc: Sequence[Any]) -> str:
    key = str(loc[-1])
    model = _LEVELS.get(str(loc[0]), Policy) if len(loc) > 1 else Policy
    known = [field.alias or name for name, field in model.model_fields.items()]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    within = "".join(f"{part}." for part in loc[:-1])
    said = f"unknown key {(within + key)[:120]!r}"
    return f"{said}, did you mean {nearest[0]}?" if nearest else said


def _unknown_actions(policy: Policy, actions: Collection[str]) -> Iterator[str]:
    named = [("hold", policy.hold)]
    named += [(f"rules.{n}.actions", rule.actions or ()) for n, rule in enumerate(policy.rules)]
    named += [(f"windows.{n}.actions", window.actions or ()) for n, window in enumerate(policy.windows)]
    for where, names in named:
        for name in names:
            if name != "*" and name not in actions:
                nearest = difflib.get_close_matches(name, sorted(actions), n=1, cutoff=0.0)
                yield f"{where}: no action {name!r}" + (f", did you mean {nearest[0]}?" if nearest else "")
