"""One step of a plan on the cluster: its rehearsal, its one write, its wait, and what is seen of it after a crash.

This is the only place that writes to a cluster. Every write carries absolute values, the object's uid and the version
read directly before, and the attempt's mark; so that a repeated run finds the mark, and a late one is refused by the
API server. Whether a step may be taken it does not know: it asks whoever holds the attempt, anew before each write.
"""

from typing import Final, Literal, Protocol

from shared import clock, failpoint
from shared.action import drain, nodes
from shared.action.declare import Action
from shared.action.outcome import Done, Ended, Later, reason_of, was_changed, was_gone
from shared.event.here import Here
from shared.event.types import ApprovedData
from shared.kube import write as kube_write
from shared.kube.client import Kube
from shared.kube.errors import Conflict, NotFound, Refused, Throttled
from shared.kube.mark import FENCED, Stay
from shared.model.base import canonical
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Refusal, Write

TRIES: Final = 3
AGAIN_MS: Final = 15_000  # what is waited for is looked at so often


class Held(Protocol):
    """The attempt that a step is of, as far as a step asks it."""

    since: int  # ms, when the present step was begun for the first time

    def begin(self, step: int) -> Ended | None:
        """Whether this run may still take the step; None: it may. Raises BusyError."""

    def halted(self, *more: str) -> str:
        """Which stop speaks against writing now, of `more` scopes as well; empty when none does."""

    def facts(self) -> Facts | None:
        """What the scope looks like now; None when it is gone."""


class Steps:
    """The steps of one grant's plan, each by its number. Raises KubeError where nothing can be told, and BusyError."""

    def __init__(self, held: Held, here: Here, action: Action, grant: Grant, data: ApprovedData) -> None:
        self._held, self._here, self._home = held, here, here.settings.kube.namespace
        self._action, self._grant, self._data = action, grant, data
        self._undo = grant.mode == "undo"
        self._manager = f"akeso-{action.name}"

    @property
    def _kube(self) -> Kube:
        # Not before a step asks: an executor that only tells has no way to the cluster.
        return self._here.kube

    @property
    def lasts_s(self) -> int:
        """After how many seconds what it does is to be taken back; 0: never."""
        return 0 if self._undo else self._data.plan.until_s

    def rehearse(self) -> Ended | None:
        """Let the server try the first without an effect. Controllers write statuses at any time: then look again."""
        write, refused = self._data.plan.writes[0], None
        for _ in range(TRIES):
            seen = kube_write.read(self._kube, write, self._grant.id)
            if not seen.holds:
                return was_changed(write, seen)
            try:
                self._apply(write, 0, seen.resource_version, dry_run=True)
            except Conflict as error:
                refused = error
            except Throttled as error:
                if write.patience_s:  # it may be waited out
                    return None
                return Ended("skipped", f"the dry run was refused: {error}", reason=reason_of(error))
            except (NotFound, Refused) as error:
                return Ended("skipped", f"the dry run was refused: {error}", reason=reason_of(error))
            else:
                return None
        return Ended("skipped", f"the dry run was refused: {refused}", reason="changed")

    # The write -------------------------------------------------------------------------------------------------------

    def _mark(self, step: int) -> str:
        return f"{self._grant.id}/{step}"

    def _is_marked(self, mark: str, step: int) -> bool:
        """By this step of this attempt, or by a later one, which begins when this one is done."""
        attempt, _, number = mark.partition("/")
        return attempt == self._grant.id and number.isascii() and number.isdecimal() and int(number) >= step

    def _apply(self, write: Write, step: int, version: str, *, dry_run: bool) -> None:
        kube_write.apply(
            self._kube,
            write,
            mark=self._mark(step),
            undo=self._undo,
            field_manager=self._manager,
            resource_version=version,
            dry_run=dry_run,
            stay=self._stay,
        )

    @property
    def _stay(self) -> Stay | None:
        if not self.lasts_s:
            return None
        kept = {"grant": self._data.grant, "plan": self._data.plan.model_dump(mode="json", exclude_defaults=True)}
        # By the grant and not by the clock, so that a repeated write says the same.
        return Stay(clock.iso(self._grant.start_by + self.lasts_s * 1000), canonical(kept).decode())

    def write(self, step: int, *, fresh: bool) -> Done | Ended | Later:
        """The step's effect, exactly once: read, precondition, write; on a conflict look again, three times at most."""
        write = self._data.plan.writes[step]
        if not write.writes:
            return self._watch(write)
        if write.verb == "drain":
            return self._drain(write, step)
        for tried in range(TRIES):
            seen = kube_write.read(self._kube, write, self._grant.id)
            found = self._found(seen, write, step)
            if found is not None:
                return was_gone(write) if fresh and found.how != "mark" else found
            if seen.mark == f"{self._mark(step)}{FENCED}":
                return Ended("stopped", "a later look has shut this run out", "fence")
            if not seen.holds:
                return was_changed(write, seen)._replace(outcome="failed")
            # Whoever wrote in between may have been a run that has taken this step over, or ended the attempt.
            if tried and (refused := self._held.begin(step)):
                return refused._replace(outcome="stopped")
            if halted := self._held.halted():
                return Ended("stopped", halted)
            failpoint.hit("before-write")
            try:
                self._apply(write, step, seen.resource_version, dry_run=False)
            except (Conflict, NotFound):
                continue
            except Throttled as error:
                if write.patience_s:
                    return self._later(write, Later(str(error), reason_of(error)))
                return Ended("failed", f"refused by the API: {error}", reason=reason_of(error))
            except Refused as error:
                return Ended("failed", f"refused by the API: {error}", reason=reason_of(error))
            failpoint.hit("after-write")
            return Done("write")
        return Ended("failed", "changed: the object is written to faster than it can be read", reason="changed")

    def _watch(self, write: Write) -> Done | Ended | Later:
        """A step that only waits: the action says by fresh facts whether what was begun has arrived."""
        said = self._arrived()
        if isinstance(said, Ended):
            return said
        return self._later(write, Later(said, "deadline")) if said else Done("look")

    def _arrived(self) -> str | Ended:
        """What the action says to the scope as it is now."""
        facts = self._held.facts()
        if facts is None:
            return Ended("failed", "the target is gone", "look", "not-found")
        facts = facts.model_copy(update={"attempt": self._grant.id})
        said = self._action.arrived(facts, self._action.Params.model_validate(self._data.params))
        if isinstance(said, Refusal):
            return Ended("failed", f"{said.reason}: {said.text}", "look", said.reason)
        return said

    def _drain(self, write: Write, step: int) -> Done | Ended | Later:
        """A node's pods go as fresh looks find them; the node carries the mark before the first one goes."""
        mark = self._mark(step)
        seen = kube_write.read(self._kube, write, self._grant.id)
        if not seen.exists or not seen.uid_ok:
            return Ended(
                "failed", f"not-found: node {write.target.name} is gone or is another one", "look", "not-found"
            )
        if seen.mark == mark + FENCED:
            return Ended("stopped", "a later look has shut this run out", "fence")
        if not seen.holds:
            return Ended("failed", f"changed: node {write.target.name} is not cordoned any more", "look", "changed")
        if halted := self._held.halted():
            return Ended("stopped", halted)
        if isinstance(said := self._arrived(), Ended):
            return said
        try:
            if seen.mark != mark:
                self._apply(write, step, seen.resource_version, dry_run=False)
            look = drain.some(
                self._kube, write, mark=mark, field_manager=self._manager, own={self._home, nodes.HOME},
                may=lambda namespace: self._may_evict(step, namespace),
            )  # fmt: skip
        except (Conflict, NotFound):
            return self._later(write, Later("the node changes too fast", "changed"))
        except Throttled as error:
            return self._later(write, Later(str(error), reason_of(error)))
        except Refused as error:
            return Ended("failed", f"refused by the API: {error}", reason=reason_of(error))
        if look.refusal:
            outcome: Literal["failed", "stopped"] = "stopped" if look.refusal.reason == "lease" else "failed"
            return Ended(outcome, f"{look.refusal.reason}: {look.refusal.text}", "look", look.refusal.reason)
        if not look.left:
            return Done("write")
        return self._later(write, Later(look.text, "disruption-budget" if look.held else "deadline"))

    def _may_evict(self, step: int, namespace: str) -> Refusal | None:
        """Whether this run still has the step, and nobody has stopped the namespace that the pod is in."""
        if refused := self._held.begin(step):
            return Refusal(reason="lease", text=refused.text)
        halted = self._held.halted(f"namespace.{namespace}")
        return Refusal(reason="lease", text=halted) if halted else None

    def _later(self, write: Write, why: Later) -> Ended | Later:
        """Ask again, unless its time is up before."""
        ends = min(self._held.since + write.patience_s * 1000, self._grant.finish_by)
        over = clock.now_ms() + AGAIN_MS > ends
        return Ended("failed", f"{why.reason}: {why.text}", reason=why.reason) if over else why

    # After a crash ---------------------------------------------------------------------------------------------------

    def look_again(self, step: int) -> Done | Ended | Later:
        """Somebody began this step and did not finish it: look, and only without a trace of an effect write it."""
        write = self._data.plan.writes[step]
        if not write.writes:
            refused = self._held.begin(step)
            return refused._replace(outcome="stopped") if refused else self._watch(write)
        found = self.effect(step)
        if found is not None:
            return found
        refused = self._held.begin(step)
        if refused is None:
            return self.write(step, fresh=False)
        # It must not be written any more, and a late run must not do it either: one more version of the object makes
        # every write with an older one fail.
        try:
            fenced = kube_write.fence(
                self._kube, write, mark=f"{self._mark(step)}{FENCED}", field_manager=self._manager
            )
        except (Conflict, Refused, Throttled):
            fenced = False
        found = self.effect(step)
        if found is not None:
            return found
        if not fenced:
            return Ended("unknown", f"{refused.text}; whether it was written cannot be told")
        return Ended("stopped", f"{refused.text}; nothing was written by this step", "fence")

    def effect(self, step: int) -> Done | Ended | None:
        write = self._data.plan.writes[step]
        return self._found(kube_write.read(self._kube, write, self._grant.id), write, step)

    def _found(self, seen: kube_write.Seen, write: Write, step: int) -> Done | Ended | None:
        """What the target shows of this step's effect; None when it shows none."""
        marked, same = self._is_marked(seen.mark, step), seen.exists and seen.uid_ok
        if write.verb in ("evict", "delete"):
            if not same:
                return Done("uid")
            # The mark goes before what cannot carry it: alone it says only that somebody was about to.
            return Done("mark") if marked and seen.deleting else None
        if write.verb == "drain":  # which pods are left is looked at each time
            text = "the node is gone or another one has its name"
            return None if same else Ended("failed", text, "look", reason="not-found")
        if write.verb == "create":
            taken = Ended("failed", f"changed: there is a {write.target.kind} of that name", reason="changed")
            return Done("mark") if same else taken if seen.exists else None
        if marked and (seen.done or not write.sub):
            return Done("mark")
        text = "the object is gone or another one has its name"
        return None if same else Ended("unknown", text, reason="not-found")
