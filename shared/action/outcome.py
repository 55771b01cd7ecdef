"""What can come of one step of an attempt, and the words in which it is told.

Nothing is decided or asked here: whoever saw it says it in these words.
"""

import json
from typing import Final, Literal, NamedTuple

from shared.kube.errors import KubeError, NotFound, Throttled
from shared.kube.write import Seen
from shared.model.plan import Write
from shared.model.refusal import Reason

_VALUE: Final = 60  # characters of a value
Resolved = Literal["", "write", "mark", "uid", "fence", "look"]


class Done(NamedTuple):
    """One step has its effect; `how` tells by what we know."""

    how: Resolved


class Ended(NamedTuple):
    """The attempt ends here without this step's effect."""

    outcome: Literal["failed", "skipped", "stopped", "unused", "unknown"]
    text: str
    how: Resolved = ""
    reason: Reason | Literal[""] = ""


class Later(NamedTuple):
    """The step is not done yet, and nothing speaks against asking again."""

    text: str
    reason: Reason


def was_changed(write: Write, seen: Seen) -> Ended:
    """It is not as it must be for this write; of a field that was changed both are told."""
    text = "changed: the object is not what the plan was made for"
    if write.verb == "create":
        text = f"changed: there is a {write.target.kind} of that name already"
    elif not (seen.exists and seen.uid_ok):
        text = f"changed: {write.target.kind} {write.target.name} is gone or another one has its name"
    elif write.verb == "patch" and not seen.deleting:
        text = f"changed: {write.path} is {_short(seen.value)} now, and was to be {_short(write.before)}"
    return Ended("skipped", text, reason="changed")


def was_gone(write: Write) -> Ended:
    """Gone before this attempt, which nobody carried on before, has written."""
    text = f"{write.target.kind} {write.target.name} is gone or another one has its name"
    return Ended("skipped", text, reason="not-found")


def left_by(write: Write) -> str:
    """One write that was made, in the fewest words."""
    target = write.target.key
    if write.verb == "patch":
        return f"{target} {write.path} is {_short(write.after)}"
    if write.verb == "copy":
        return f"{target} {write.path} is that of {write.after['kind']} {write.after['name']}"
    done = {"evict": "evicted", "drain": "drained in part"}.get(write.verb, f"{write.verb}d")
    return f"{target} {done}"


def _short(value: object) -> str:
    return json.dumps(value)[:_VALUE]


def reason_of(error: KubeError) -> Reason:
    """The word for what an API server refuses."""
    if isinstance(error, Throttled):
        return "disruption-budget" if "disruption budget" in str(error) else "busy"
    if isinstance(error, NotFound):
        return "not-found"
    text = str(error)
    if any(words in text for words in ("exceeded quota", "failed quota", "LimitRange", "usage per")):
        return "quota"
    return "protected" if "akeso:" in text or "denied" in text else "unsupported"
