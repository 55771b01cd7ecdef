"""What an operator may change while the system runs, as one frozen value with bounds that no policy can leave.

The text comes from a Kubernetes object; every decision names its revision. A key that nobody knows is refused,
because a misspelt limit is no limit. Nothing here talks to Kubernetes or Redis.
"""

import difflib
import hashlib
import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, StringConstraints, ValidationError

from shared.errors import MalformedError
from shared.model.base import Model
from shared.model.protected import BUILT_IN

MAX_TEXT: Final = 64 * 1024  # characters

_GLOB: Final = re.compile(r"[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?")
_ACTION: Final = re.compile(r"\*|[a-z][a-z0-9_]{1,39}")

Namespace = Annotated[str, StringConstraints(pattern=f"^{_GLOB.pattern}$", max_length=63)]
ActionName = Annotated[str, StringConstraints(pattern=f"^({_ACTION.pattern})$")]


class Policy(Model):
    """Each number has its unit in its name, a floor and a ceiling; numbers are strict: `true` or `"3"` is not 3."""

    # Nothing is automatic in these, beside the built-in ones: this list adds and can never take away.
    protected_namespaces: tuple[Namespace, ...] = Field(default=(), max_length=200)
    # Actions that wait for a person's yes even under autonomy auto; `*` means all.
    hold: tuple[ActionName, ...] = Field(default=(), max_length=100)
    # How long a hold waits for its yes; past a day it would be a yes to another world.
    approval_minutes: int = Field(default=60, strict=True, ge=1, le=1440)
    # Per incident key in a sliding 24 h, then a person; more than ten is a loop, not a cure.
    attempts_per_day: int = Field(default=3, strict=True, ge=1, le=10)
    # Attempts granted over everything. The hour bounds a slow runaway that the minute lets through; for none use stop.
    rate_per_minute: int = Field(default=10, strict=True, ge=1, le=100)
    rate_per_hour: int = Field(default=100, strict=True, ge=1, le=1000)
    # Floor under every action's own cooldown; 0 leaves them as declared.
    min_cooldown_s: int = Field(default=0, strict=True, ge=0, le=86_400)
    # More new incidents than this per cluster and window join one storm, which is for people only.
    storm_new_incidents: int = Field(default=20, strict=True, ge=2, le=1000)
    # A window under a minute misses a failure that goes from node to node.
    storm_window_s: int = Field(default=300, strict=True, ge=60, le=3600)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice: the reader of the file believes the one, YAML takes the other."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _refused(why: str) -> MalformedError:
    return MalformedError("policy: " + " ".join(why.split())[:1000], reason="policy")


def _parse(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise _refused(f"{len(text)} characters, at most {MAX_TEXT}")
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _refused(f"{line}{error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refused(f"not YAML: {error}") from None


def _unknown(key: str) -> str:
    nearest = difflib.get_close_matches(key, Policy.model_fields, n=1, cutoff=0.0)
    return f"unknown key {key[:80]!r}, did you mean {nearest[0]}?" if nearest else f"unknown key {key[:80]!r}"


def _told(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    match item["type"]:
        case "extra_forbidden":
            return _unknown(where)
        case "tuple_type":
            return f"{where}: must be a list"
        case "string_pattern_mismatch":
            kind = "a namespace, with * for any part" if where.startswith("protected") else "an action's name or *"
            return f"{where}: must be {kind}"
        case _:
            return f"{where}: {item['msg']}"


def read(text: str, actions: Collection[str] | None = None) -> Policy:
    """Read the policy in that YAML text; the empty text is the defaults.

    With `actions` (all names of the catalogue) a hold on an action that does not exist is refused as well.
    Raises MalformedError (reason `policy`) with one line that names every wrong or unknown key.
    """
    values = _parse(text)
    if values is None:
        return Policy()
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise _refused("must be a mapping of keys to values")
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        raise _refused("; ".join(_told(item) for item in error.errors())) from None
    if actions is not None:
        for name in policy.hold:
            if name != "*" and name not in actions:
                nearest = difflib.get_close_matches(name, list(actions), n=1, cutoff=0.0)
                raise _refused(f"hold: no action {name!r}" + (f", did you mean {nearest[0]}?" if nearest else ""))
    return policy


def revision(text: str) -> str:
    """12 hex digits that name exactly this text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def is_protected(policy: Policy, namespace: str) -> bool:
    """Whether nothing may be automatic in that namespace. Cluster-wide objects have none (`""`)."""
    return any(fnmatchcase(namespace, pattern) for pattern in (*BUILT_IN, *policy.protected_namespaces))


def is_held(policy: Policy, action: str) -> bool:
    """Whether that action waits for a person's yes whatever the autonomy."""
    return "*" in policy.hold or action in policy.hold
