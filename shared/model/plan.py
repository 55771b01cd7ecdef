"""A plan: what would be written, absolutely and in order, with what it takes back.

A plan is a pure function of facts and parameters. Its hash covers the writes alone, so that the same writes planned
from fresher facts are still the same plan. It must never hold a resourceVersion or anything of a status.
"""

import hashlib
from typing import Any, Final, Literal

from pydantic import Field

from shared.model.base import Model, canonical
from shared.model.facts import ObjectRef
from shared.model.refusal import Reason

_REPLICAS: Final = ("/spec/replicas", "/spec/minReplicas", "/spec/maxReplicas")
OWN_IMAGE: Final = "akeso:own"  # in a body that is created stands for the image of this installation


class Write(Model):
    """One absolute change to one object, or a wait; each is one step of the executor.

    `patch`: the field at `path` goes from `before` to `after` (None for "not there"); with `sub` through that
    subresource. `path` is a JSON pointer in which `[name=web]` stands for the list's item of that name.
    `copy`: the field goes to the value that another object of the namespace has; `before` and `after` name it by kind,
    name, uid and path, so that no template, and nothing secret in it, is ever part of a plan.
    `evict`: the pod with exactly that uid; a budget's refusal is waited out for `patience_s`.
    `create`: `after` is the body, or says by `from` of which object it is a copy. A name that ends in a dash is made
    whole by the attempt's own letters.
    `delete`: what the attempt that `before` names has created.
    `drain`: the pods that a look at the cordoned node finds are evicted, until none is left or `patience_s` is over.
    `after` says what may go: `local` what keeps data on the node, `unmanaged` what nothing makes anew.
    `watch`: nothing is written; the action says when it has arrived, for at most `patience_s`.
    """

    verb: Literal["patch", "copy", "evict", "create", "delete", "drain", "watch"]
    target: ObjectRef  # with its uid, except for what is yet to be created
    path: str = ""
    sub: Literal["", "resize"] = ""
    before: Any = None
    after: Any = None
    patience_s: int = Field(default=0, ge=0, le=86_400)

    @property
    def writes(self) -> bool:
        return self.verb != "watch"

    def inverse(self, attempt: str) -> "Write | None":
        """What takes it back; None for what leaves nothing to take back."""
        if self.verb in ("patch", "copy"):
            return self.model_copy(update={"before": self.after, "after": self.before})
        if self.verb == "create":
            return Write(verb="delete", target=self.target, before={"attempt": attempt})
        return None


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
    """Ordered writes; each is one step of the executor. An empty plan writes nothing (`notify_only`).

    `until_s`: it is temporary and taken back after that long; 0: it stays. `takes_back`: when it fails
    half-way, what was done is taken back at once. `reversible`: what it does can be taken back at all. `reminds`: what
    people are told after `reminds_s`, of what no machine should end.
    """

    writes: tuple[Write, ...] = ()
    touches: Touches = Touches()
    until_s: int = Field(default=0, ge=0, le=604_800)
    takes_back: bool = False
    reversible: bool = True
    reminds: str = Field(default="", max_length=300)
    reminds_s: int = Field(default=0, ge=0, le=604_800)

    @property
    def hash(self) -> str:
        writes = [write.model_dump(mode="json") for write in self.writes]
        return hashlib.sha256(canonical(writes)).hexdigest()

    @property
    def turn(self) -> Literal["", "up", "down"]:
        """Which way it moves a number of replicas."""
        return next(("up" if after > before else "down" for before, after in self._moves()), "")

    @property
    def replicas(self) -> dict[Literal["up", "down"], int]:
        """How far it moves them or an autoscaler's bounds: the highest number it goes up to, the lowest down to."""
        up = [after for before, after in self._moves() if after > before]
        down = [after for before, after in self._moves() if after < before]
        found: dict[Literal["up", "down"], int] = {}
        if up:
            found["up"] = max(up)
        if down:
            found["down"] = min(down)
        return found

    def _moves(self) -> list[tuple[int, int]]:
        """From where to where; an autoscaler's minimum that nobody has said counts as none."""
        found = [(write.before or 0, write.after) for write in self.writes
                 if write.path in _REPLICAS and type(write.after) is int]  # fmt: skip
        return [(before, after) for before, after in found if type(before) is int and before != after]

    @property
    def resizes(self) -> bool:
        """Whether it changes what the target takes of the cluster: replicas, requests, limits, storage."""
        return bool(self.turn) or any("/resources/" in f"{write.path}/" for write in self.writes)

    def inverse(self, attempt: str = "") -> "Plan | None":
        """The plan that takes this one back, last write first; None when nothing can be, or not all of it.

        `attempt`: the one that has created what is to be deleted. A pod that was evicted, or sent off a
        node, has been replaced by its owner: there is nothing to take back.
        """
        if not self.reversible or any(write.verb == "delete" for write in self.writes):
            return None
        back = tuple(found for write in reversed(self.writes) if (found := write.inverse(attempt)))
        return Plan(writes=back, touches=self.touches) if back else None


class Refusal(Model):
    """Why an action would not plan or would not write: a word and a sentence for a person at 3 a.m."""

    reason: Reason
    text: str
