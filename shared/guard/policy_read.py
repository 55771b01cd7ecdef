"""Reads a policy from what a person wrote, and says in one line each what is wrong with it.

A key that nobody knows is refused, at every level, because a misspelt limit is no limit. Nothing here talks to
Kubernetes or Redis, or knows what a policy means.
"""

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from shared.errors import MalformedError
from shared.guard.policy import Policy
from shared.model.base import canonical

API: Final = "akeso.dev/v1"
KIND: Final = "RemediationPolicy"
NAME: Final = "akeso"  # of the one object
HOME: Final = "akeso-system"  # where it is, unless the installation says otherwise
MAX_TEXT: Final = 64 * 1024  # characters
_MOST: Final = 20  # faults told of one policy
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


def read(text: str, actions: Collection[str] | None = None, home: str = HOME) -> Policy:
    """Read the policy in that YAML text, bare or as the Kubernetes object; the empty text is the defaults.

    With `actions` (all names of the catalogue) one that does not exist is refused as well.
    Raises MalformedError (reason `policy`) with one line that names every wrong or unknown key.
    """
    return _given(*_read(lambda: _unwrapped(parse(text), home), actions))


def of_value(value: Any, actions: Collection[str] | None = None) -> Policy:
    """Read the policy that stands within something already parsed. Raises MalformedError like `read`."""
    return _given(*_read(lambda: value, actions))


def of_spec(spec: Any, actions: Collection[str] | None = None) -> Policy:
    """Read the policy that a Kubernetes object carries. Raises MalformedError like `read`."""
    return _given(*_read(lambda: _bounded(spec), actions))


def of_file(text: str, actions: Collection[str] | None = None) -> tuple[Policy | None, list[str]]:
    """The policy in a file, bare or as the Kubernetes object, or everything that is wrong with it, one line each."""
    return _read(lambda: _unwrapped(parse(text), HOME), actions)


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


def _read(values: Callable[[], Any], actions: Collection[str] | None) -> tuple[Policy | None, list[str]]:
    try:
        found = values()
    except MalformedError as fault:
        return None, [str(fault)]
    if found is None:
        return Policy(), []
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None, ["must be a mapping of keys to values"]
    try:
        policy = Policy.model_validate(found)
    except ValidationError as error:
        return None, list(told(error, Policy))
    if wrong := list(_unknown_actions(policy, actions)) if actions is not None else []:
        return None, wrong
    return policy, []


def _unwrapped(value: Any, home: str) -> Any:
    if not isinstance(value, dict) or not {"apiVersion", "kind"} & set(value):
        return value
    if (value.get("apiVersion"), value.get("kind")) != (API, KIND):
        raise _refused(f"is a {value.get('kind')} of {value.get('apiVersion')}, not a {KIND} of {API}")
    meta = value.get("metadata")
    if not isinstance(meta, dict) or meta.get("name") != NAME:
        raise _refused(f"only the {KIND} named {NAME} is ever read")
    if meta.get("namespace", home) != home:
        raise _refused(f"only the {KIND} in namespace {home} is ever read, not one in {str(meta['namespace'])[:63]}")
    return value.get("spec")


def _bounded(spec: Any) -> Any:
    try:
        size = len(canonical(spec))
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused(f"no JSON: {error}") from None
    if size > MAX_TEXT:
        raise _refused(f"{size} characters, at most {MAX_TEXT}")
    return spec


def parse(text: str, most: int = MAX_TEXT) -> Any:
    """What stands in that YAML text. Raises MalformedError (reason `policy`), with the line where it is known."""
    if len(text) > most:
        raise _refused(f"{len(text)} characters, at most {most}")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _refused(f"{line}{error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refused(f"not YAML: {error}") from None


def _refused(why: str) -> MalformedError:
    return MalformedError(" ".join(why.split())[:1000], reason="policy")


def told(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """What that model refused, one line each, at most so many."""
    found = error.errors(include_url=False, include_context=False)
    for item in found[:_MOST]:
        yield " ".join(_fault(item, model).split())[:300]
    if len(found) > _MOST:
        yield f"and {len(found) - _MOST} more"


def _fault(item: Any, model: type[BaseModel]) -> str:
    loc = item["loc"]
    where, key = ".".join(str(part)[:80] for part in loc), _key(loc)
    match item["type"]:
        case "extra_forbidden":
            return _unknown(loc, model)
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


def _unknown(loc: Sequence[Any], model: type[BaseModel]) -> str:
    for part in loc[:-1]:
        if isinstance(part, str):
            model = next((_model(each.annotation) or model for name, each in model.model_fields.items()
                          if part in {name, each.alias}), model)  # fmt: skip
    known = [each.alias or name for name, each in model.model_fields.items()]
    within = "".join(f"{part}." for part in loc[:-1])
    return f"unknown key {(within + str(loc[-1]))[:120]!r}{near(str(loc[-1]), known)}"


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, perhaps several of, perhaps none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part))), None)


def near(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` with the nearest of the known words."""
    nearest = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.0)
    return f", did you mean {nearest[0]}?" if nearest else ""


def _unknown_actions(policy: Policy, actions: Collection[str]) -> Iterator[str]:
    named = [("hold", policy.hold)]
    named += [(f"rules.{n}.actions", rule.actions or ()) for n, rule in enumerate(policy.rules)]
    named += [(f"windows.{n}.actions", window.actions or ()) for n, window in enumerate(policy.windows)]
    for where, names in named:
        for name in names:
            if name != "*" and name not in actions:
                yield f"{where}: no action {name!r}{near(name, actions)}"
