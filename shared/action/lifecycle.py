"""The life of one attempt: look first, plan again, `begin`, write once, `finish`.

This is the only place that writes to a cluster. Every write carries absolute values, the object's uid and the version
read directly before, and the attempt's mark; so that a repeated run finds the mark, and a late one is refused by the
API server. It never decides whether an action is allowed: that was `admit`, and is `begin`.
"""

import json
import secrets
from typing import Final, Literal, NamedTuple

from shared import failpoint
from shared.action.declare import Action
from shared.errors import BusyError, ForbiddenError
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import ApprovedData, OutcomeData
from shared.kube import facts as snapshot
from shared.kube import write as kube_write
from shared.kube.errors import Conflict, NotFound, Refused, Throttled
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Plan, Refusal, Write
from shared.model.stop import StopMode
from shared.model.stop import keys as stop_keys
from shared.state.transitions import Cause, Finished

RUN_MS: Final = 30_000  # one run of one step; Serving cuts nothing that ends within it
LOOK_MS: Final = 90_000  # after so long without an end somebody looks
TRIES: Final = 3
_SHOWN, _VALUE = 3, 60  # of what an attempt leaves half-way: so many writes, so many characters of a value
Resolved = Literal["", "write", "mark", "uid", "fence"]


class Done(NamedTuple):
    """One step has its effect; `how` tells by what we know."""

    how: Resolved


class Ended(NamedTuple):
    """The attempt ends here without this step's effect."""

    outcome: Literal["failed", "skipped", "stopped", "unused", "unknown"]
    text: str
    how: Resolved = ""


class Attempt:
    """One run of the executor on one grant. Raises BusyError (another run is at it) and UnavailableError."""

    def __init__(self, here: Here, cause: Cause, action: Action, grant: Grant, data: ApprovedData) -> None:
        self._here, self._cause, self._action, self._grant, self._data = here, cause, action, grant, data
        self._run = secrets.token_hex(8)  # one delivery of the event, not the event
        self._manager = f"akeso-{action.name}"
        self._undo = grant.mode == "undo"
        self._before: Facts | None = None
        places = (grant.scope.namespace, *(write.target.namespace for write in data.plan.writes))
        self._stop_of = stop_keys(tenant=grant.tenant, cluster=grant.cluster, action=grant.action, namespaces=places)

    def go(self) -> Emit | None:
        """Carry the attempt on from wherever it stands; what is said about it, or None when nobody need hear."""
        known = self._here.state.attempt(self._grant.tenant, self._grant.cluster, self._grant.id)
        if known.get("state") == "finished":
            return self._say(json.loads(known["result"]))
        if known.get("state") == "begun":
            step = int(known.get("cursor", 0))
            if step and known.get("run_step") != str(step):
                return self._next(step)
            return self._carry_on(step, fresh=False)
        if not known:
            return self._recover()
        return self._carry_on(0, fresh=True)

    def _carry_on(self, step: int, *, fresh: bool) -> Emit | None:
        if not self._data.plan.writes:
            refused = self._begin(step)
            return self._end(step, refused if refused and fresh else Done(""))
        write = self._data.plan.writes[step]
        if fresh:
            hindrance = self._look_fresh(write)
            if hindrance is None:
                hindrance = self._begin(step)
            failpoint.hit("after-begin")
            return self._end(step, hindrance or self._write(write, step, fresh=True))
        return self._end(step, self._look_again(write, step))

    def _next(self, step: int) -> Emit | None:
        """A further step, which nobody has begun: a stop ends the attempt here, and there is nothing to shut out."""
        if halted := self._halted():
            return self._end(step, Ended("stopped", halted))
        if refused := self._begin(step):
            return self._end(step, Ended("stopped", refused.text))
        return self._end(step, self._write(self._data.plan.writes[step], step, fresh=False))

    # Before anything is begun ---------------------------------------------------------------------------------------

    def _look_fresh(self, write: Write) -> Ended | None:
        """Whether the world still is as it was when the plan was approved; the server's dry run included."""
        home = self._here.settings.kube.namespace
        facts = snapshot.take(self._here.kube, self._grant.scope, None, stop_namespace=home, stop_of=self._stop_of)
        if facts is None:
            return Ended("skipped", "the target is gone")
        self._before = facts
        if self._halts(facts.stop_mode):
            return Ended("unused", self._halted() or f"{facts.stop_mode} is set")
        if not self._undo:
            if facts.autonomy in ("off", "observe") or (facts.autonomy == "suggest" and not self._grant.approvers):
                return Ended("skipped", f"autonomy is {facts.autonomy} now")
            planned = self._action.plan(facts, self._action.Params.model_validate(self._data.params))
            if isinstance(planned, Refusal):
                return Ended("skipped", f"{planned.reason}: {planned.text}")
            if planned.hash != self._grant.plan_hash:
                return Ended("skipped", "changed: what would be written now is not what was approved")
        return self._rehearse(write)

    def _rehearse(self, write: Write) -> Ended | None:
        """Let the server try it without an effect. Controllers write statuses at any time: then look again."""
        refused = ""
        for _ in range(TRIES):
            seen = kube_write.read(self._here.kube, write)
            if not (seen.exists and seen.uid_ok and seen.holds):
                return Ended("skipped", "changed: the object is not what the plan was made for")
            try:
                self._apply(write, 0, seen.resource_version, dry_run=True)
            except Conflict as error:
                refused = str(error)
            except (NotFound, Refused, Throttled) as error:
                return Ended("skipped", f"the dry run was refused: {error}")
            else:
                return None
        return Ended("skipped", f"the dry run was refused: {refused}")

    def _halts(self, mode: StopMode) -> bool:
        return mode == "freeze" or (mode != "run" and not self._undo)

    def _halted(self) -> str:
        """Which stop speaks against writing now, in words; empty when none does."""
        halt = snapshot.read_stop(self._here.kube, self._here.settings.kube.namespace, self._stop_of)
        return str(halt) if self._halts(halt.mode) else ""

    def _begin(self, step: int) -> Ended | None:
        begun = self._here.state.begin(
            self._cause,
            attempt=self._grant.id,
            step=step,
            run=self._run,
            run_for=RUN_MS,
            deadline=LOOK_MS,
            grant=self._data.grant,
            epoch=self._grant.epoch,
            fence=self._grant.fence,
        )
        if begun["go"]:
            return None
        if begun["check"] == "busy":
            raise BusyError("another run is at this step")
        if begun["check"] == "ended":
            return Ended("unused", "already ended")
        if begun["check"] == "epoch":  # by a change of any stop, or because Redis was lost
            return Ended("unused", "the grant is from before a stop, or from before Redis was lost")
        return Ended("unused", f"{begun['check']} refused it at the last moment")

    # The write -------------------------------------------------------------------------------------------------------

    def _mark(self, step: int) -> str:
        return f"{self._grant.id}/{step}"

    def _apply(self, write: Write, step: int, version: str, *, dry_run: bool) -> None:
        kube_write.apply(
            self._here.kube,
            write,
            mark=self._mark(step),
            undo=self._undo,
            field_manager=self._manager,
            resource_version=version,
            dry_run=dry_run,
        )

    def _write(self, write: Write, step: int, *, fresh: bool) -> Done | Ended:
        """The step's effect, exactly once: read, precondition, write; on a conflict look again, three times at most."""
        for tried in range(TRIES):
            seen = kube_write.read(self._here.kube, write)
            found = self._found(seen, write, step)
            if found is not None:
                return self._gone(write) if fresh and found.how != "mark" else found
            if seen.mark == f"{self._mark(step)}{kube_write.FENCED}":
                return Ended("stopped", "a later look has shut this run out", "fence")
            if not seen.holds:
                return Ended("failed", "changed: somebody else was there first")
            # Whoever wrote in between may have been a run that has taken this step over, or ended the attempt.
            if tried and (refused := self._begin(step)):
                return Ended("stopped", refused.text)
            if halted := self._halted():
                return Ended("stopped", halted)
            failpoint.hit("before-write")
            try:
                self._apply(write, step, seen.resource_version, dry_run=False)
            except (Conflict, NotFound):
                continue
            except (Refused, Throttled) as error:
                return Ended("failed", f"refused by the API: {error}")
            failpoint.hit("after-write")
            return Done("write")
        return Ended("failed", "changed: the object is written to faster than it can be read")

    @staticmethod
    def _gone(write: Write) -> Ended:
        """Gone before this attempt, which nobody carried on before, has written."""
        return Ended("skipped", f"{write.target.kind} {write.target.name} is gone or another one has its name")

    # After a crash ---------------------------------------------------------------------------------------------------

    def _look_again(self, write: Write, step: int) -> Done | Ended:
        """Somebody began this step and did not finish it: look, and only without a trace of an effect write it."""
        found = self._effect(write, step)
        if found is not None:
            return found
        refused = self._begin(step)
        if refused is None:
            return self._write(write, step, fresh=False)
        # It must not be written any more, and a late run must not do it either: one more version of the object makes
        # every write with an older one fail.
        try:
            fenced = kube_write.fence(
                self._here.kube, write, mark=f"{self._mark(step)}{kube_write.FENCED}", field_manager=self._manager
            )
        except (Conflict, Refused, Throttled):
            fenced = False
        found = self._effect(write, step)
        if found is not None:
            return found
        if not fenced:
            return Ended("unknown", f"{refused.text}; whether it was written cannot be told")
        return Ended("stopped", f"{refused.text}; nothing was written by this step", "fence")

    def _effect(self, write: Write, step: int) -> Done | Ended | None:
        return self._found(kube_write.read(self._here.kube, write), write, step)

    def _found(self, seen: kube_write.Seen, write: Write, step: int) -> Done | Ended | None:
        """What the target shows of this step's effect; None when it shows none."""
        marked, same = seen.mark == self._mark(step), seen.exists and seen.uid_ok
        if write.verb == "evict":
            if not same:
                return Done("uid")
            # The mark goes before an eviction: alone it says only that somebody was about to.
            return Done("mark") if marked and seen.deleting else None
        if marked:
            return Done("mark")
        return None if same else Ended("unknown", "the object is gone or another one has its name")

    def _recover(self) -> Emit | None:
        """Redis lost the attempt. A grant of a lost state is never begun, but what it did is written down anew."""
        if not self._data.plan.writes:
            return None
        found = self._effect(self._data.plan.writes[0], 0)
        if not isinstance(found, Done) or found.how != "mark":
            return None
        return self._end(0, found)

    # The end ---------------------------------------------------------------------------------------------------------

    def _end(self, step: int, result: Done | Ended) -> Emit | None:
        failpoint.hit("before-finish")
        steps = len(self._data.plan.writes)
        if isinstance(result, Done) and step + 1 < steps:
            finished = self._finish(
                "progressing", step=step, next_step=step + 1, delay=0, writes=1, resolved_by=result.how
            )
        elif isinstance(result, Done):
            text = "" if steps else str(self._data.params.get("message") or "nothing is to be done by machine")
            finished = self._finish(
                "succeeded", step=step, writes=min(1, steps), resolved_by=result.how, text=text or None
            )
        else:
            text = "; ".join(part for part in (result.text, self._stays(step)) if part)
            finished = self._finish(result.outcome, step=step, text=text, resolved_by=result.how)
        failpoint.hit("after-finish")
        return self._say(finished)

    def _stays(self, step: int) -> str:
        """What the steps before have left, for whoever finds the attempt ended half-way."""
        writes = self._data.plan.writes
        if not step:
            return ""
        left = ", ".join(_left(write) for write in writes[:step][:_SHOWN]) + (", ..." if step > _SHOWN else "")
        return f"{step} of {len(writes)} steps are done and stay: {left}"

    def _finish(self, outcome: str, *, step: int, **more: object) -> Finished:
        grant, plan = self._grant, self._data.plan
        inverse: Plan | None = None
        # Of what is done by now and no more: what was never written is not as an undo expects it. And only of a plan
        # that can be taken back as a whole, because what is stored here cannot be unsaid by a later step.
        if outcome in ("succeeded", "progressing") and plan.inverse():
            inverse = plan.model_copy(update={"writes": plan.writes[: step + 1]}).inverse()
        return self._here.state.finish(
            self._cause,
            grant.id,
            outcome,
            run=self._run,
            step=step,
            before=self._before.model_dump_json() if self._before else None,
            after=self._data.plan.model_dump_json() if outcome == "succeeded" else None,
            inverse=inverse.model_dump_json() if inverse else None,
            inverse_hash=inverse.hash if inverse else None,
            grant=self._data.grant,
            recovered={
                "id": grant.id, "incident": grant.incident, "scope": grant.scope.key, "action": grant.action,
                "kind": self._action.kind, "mode": grant.mode, "of": grant.of, "family": "", "epoch": grant.epoch,
                "cooldown": self._action.cooldown_s * 1000, "soak": self._action.soak_s * 1000,
                "until_in": self._action.until_s * 1000, "plan": self._data.plan.model_dump_json(),
                "namespace": grant.scope.namespace, "start_by": grant.start_by, "finish_by": grant.finish_by,
                "grant": self._data.grant,
            },
            **more,
        )  # fmt: skip

    def _say(self, finished: Finished) -> Emit | None:
        outcome = finished["outcome"]
        if outcome == "taken-over":
            raise BusyError("another run has taken this step over")
        if outcome in ("begun", "unused"):
            return None
        said = OutcomeData.model_validate(
            {
                "incident": self._grant.incident, "attempt": self._grant.id, "action": self._grant.action,
                "outcome": outcome, "text": finished.get("text", ""), "resolved_by": finished.get("resolved_by", ""),
                "cursor": finished.get("cursor", 0), "undo": finished.get("undo", ""),
            }
        )  # fmt: skip
        return Emit(f"remediation.{outcome}", said, incident=self._grant.incident, action=self._grant.action)


def _left(write: Write) -> str:
    """One write that was made, in the fewest words."""
    target = "/".join(part for part in (write.target.kind, write.target.namespace, write.target.name) if part)
    if write.verb == "evict":
        return f"{target} evicted"
    return f"{target} {write.path} is {json.dumps(write.after)[:_VALUE]}"


def check(data: ApprovedData, grant: Grant, cause: Cause, action: str) -> None:
    """That this grant is for this process and this plan. Raises ForbiddenError: whoever sent it has no say here."""
    if grant.action != action:
        raise ForbiddenError("the grant is for another action", reason="grant-action")
    if grant.plan_hash != data.plan.hash:
        raise ForbiddenError("the plan is not the one that was granted", reason="grant-plan")
    if (grant.tenant, grant.cluster) != (cause.tenant, cause.cluster):
        raise ForbiddenError("the grant is for another cluster", reason="grant-cluster")
