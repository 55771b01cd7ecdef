"""A plan: what would be written, absolutely and in order, with what it takes back.

A plan is a pure function of facts and parameters. Its hash covers the writes alone, so that the same writes planned
from fresher facts are still the same plan. It must never hold a resourceVersion or anything of a status.
"""

import hashlib
from typing import Any, Literal

from pydantic import Field

from shared.model.base import Model, canonical
from shared.model.facts import ObjectRef


class Write(Model):
    """One absolute change to one object.

    `patch`: the field at JSON pointer `path` goes from `before` to `after` (None for "not there").
    `evict`: the pod with exactly that uid is evicted; `path`, `before` and `after` stay empty.
    """

    verb: Literal["patch", "evict"]
    target: ObjectRef  # with its uid
    path: str = ""
    before: Any = None
    after: Any = None


class Touches(Model):
    """What the plan disturbs, for the blast radius: `count` of `population` things of kind `unit`.

    What is only added disturbs nothing. A node's plan names its pool, and how many nodes that has.
    """

    unit: Literal["none", "pod", "node"] = "none"
    count: int = 0
    population: int = 0
    pool: str = Field(default="", max_length=63, pattern=r"^[A-Za-z0-9._-]*$")
    pool_population: int = 0


class Plan(Model):
    """Ordered writes; each is one step of the executor. An empty plan writes nothing (`notify_only`)."""

    writes: tuple[Write, ...] = ()
    touches: Touches = Touches()

    @property
    def hash(self) -> str:
        writes = [write.model_dump(mode="json") for write in self.writes]
        return hashlib.sha256(canonical(writes)).hexdigest()

    @property
    def turn(self) -> Literal["", "up", "down"]:
        """Which way it moves a number of replicas."""
        for write in self.writes:
            if isinstance(write.before, int) and isinstance(write.after, int) and write.before != write.after:
                return "up" if write.after > write.before else "down"
        return ""

    @property
    def resizes(self) -> bool:
        """Whether it changes what the target takes of the cluster: replicas, requests, limits, storage."""
        return bool(self.turn) or any("/resources/" in f"{write.path}/" for write in self.writes)

    def inverse(self) -> "Plan | None":
        """The plan that takes this one back, last write first; None when a write cannot be taken back."""
        if not self.writes or any(write.verb != "patch" for write in self.writes):
            return None
        back = tuple(
            write.model_copy(update={"before": write.after, "after": write.before}) for write in reversed(self.writes)
        )
        return Plan(writes=back, touches=self.touches)


class Refusal(Model):
    """Why an action would not plan or would not write: a word from `Reason` and a sentence for a person at 3 a.m."""

    reason: Literal[
        "not-found",
        "changed",
        "protected",
        "gitops",
        "autoscaler",
        "disruption-budget",
        "nothing-to-do",
        "unsupported",
        "bounds",
        "bare-pod",
        "paused",
    ]
    text: str
