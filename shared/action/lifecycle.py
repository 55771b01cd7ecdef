"""The life of one attempt: look first, plan again, `begin`, write once, `finish`.

What a step does to the cluster stands in `step.py`, which nobody else calls. It never decides whether an action is
allowed: that was `admit`, and is `begin`.
"""

import json
import secrets
import time
from typing import Final

from shared import clock, failpoint
from shared.action.declare import Action
from shared.action.outcome import Done, Ended, Later, left_by
from shared.action.step import AGAIN_MS, Steps
from shared.errors import BusyError, ForbiddenError
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import ApprovedData, OutcomeData
from shared.kube import evidence
from shared.kube import facts as snapshot
from shared.kube.note import note
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Plan, Refusal
from shared.model.protected import PROTECTED
from shared.model.refusal import Reason
from shared.model.stop import StopMode
from shared.model.stop import keys as stop_keys
from shared.state.transitions import Cause, Finished

RUN_MS: Final = 30_000  # one run of one step; Serving cuts nothing that ends within it
LOOK_MS: Final = 90_000  # after so long without an end somebody looks
POLL_S: Final = 1.0  # and so often while a run has time left
_NOTHING: Final = "nothing is to be done by machine"
_TOLD: Final = 5  # Events of one attempt
_SHOWN: Final = 3  # writes of what an attempt leaves half-way
_REFUSED: Final[dict[str, Reason]] = {"lease": "lease", "start-by": "deadline", "finish-by": "deadline"}


class Attempt:
    """One run of the executor on one grant. Raises BusyError (another run is at it) and UnavailableError."""

    def __init__(self, here: Here, cause: Cause, action: Action, grant: Grant, data: ApprovedData) -> None:
        self._here, self._cause, self._action, self._grant, self._data = here, cause, action, grant, data
        self._run = secrets.token_hex(8)  # one delivery of the event, not the event
        self._undo = grant.mode == "undo"
        self._home = here.settings.kube.namespace
        self._steps = Steps(self, here, action, grant, data)
        self._before: Facts | None = None
        self.since = 0  # ms, when the present step was begun for the first time
        self._ends = time.monotonic() + action.step_s  # of this run; what is left is another one's
        places = (grant.scope.namespace, *(write.target.namespace for write in data.plan.writes))
        self._stop_of = stop_keys(tenant=grant.tenant, cluster=grant.cluster, action=grant.action, namespaces=places)

    def go(self) -> Emit | None:
        """Carry the attempt on from wherever it stands; what is said about it, or None when nobody need hear."""
        known = self._here.state.attempt(self._grant.tenant, self._grant.cluster, self._grant.id)
        if known.get("state") == "finished":
            return self._say(json.loads(known["result"]))
        if known.get("state") == "begun":
            step = int(known.get("cursor", 0))
            if known.get("run_step") == str(step):
                self.since = int(known.get("step_since") or 0)
            if known.get("waiting") or (step and known.get("run_step") != str(step)):
                return self._next(step)
            return self._carry_on(step, fresh=False)
        if not known:
            return self._recover()
        return self._carry_on(0, fresh=True)

    def _carry_on(self, step: int, *, fresh: bool) -> Emit | None:
        if not self._data.plan.writes:
            return self._only_look(step, fresh=fresh)
        if fresh:
            hindrance = self._look_fresh()
            if hindrance is None:
                hindrance = self.begin(step, self._scene())
            failpoint.hit("after-begin")
            return self._end(step, hindrance or self._steps.write(step, fresh=True))
        return self._end(step, self._steps.look_again(step))

    def _only_look(self, step: int, *, fresh: bool) -> Emit | None:
        """Nothing is written: a person is told, and with `read` what was seen is kept for him."""
        scene = None
        if self._action.kind == "read":
            facts = self.facts()
            if facts is None:
                return self._end(step, Ended("skipped", "the target is gone", reason="not-found"))
            scene = evidence.collect(self._here.kube, facts.scope, facts)
        refused = self.begin(step, scene.text if scene else None)
        told = scene.said(self._grant.id) if scene else ""
        return self._end(step, refused if refused and fresh else Done(""), told=told)

    def _scene(self) -> str | None:
        """What a person would want to have seen before; what is taken back has had its turn."""
        if self._undo or self._before is None:
            return None
        found = evidence.collect(self._here.kube, self._before.scope, self._before)
        return found.text if found else None

    def _next(self, step: int) -> Emit | None:
        """A step whose turn it is, and that nobody is at: a stop ends the attempt here, and nothing is to shut out."""
        if halted := self.halted():
            return self._end(step, Ended("stopped", halted))
        if refused := self.begin(step):
            return self._end(step, refused._replace(outcome="stopped"))
        return self._end(step, self._steps.write(step, fresh=False))

    # Before anything is begun ---------------------------------------------------------------------------------------

    def _look_fresh(self) -> Ended | None:
        """Whether the world still is as it was when the plan was approved; the server's dry run included."""
        facts = self.facts()
        if facts is None:
            return Ended("skipped", "the target is gone", reason="not-found")
        self._before = facts
        if self._halts(facts.stop_mode):
            return Ended("unused", self.halted() or f"{facts.stop_mode} is set")
        if facts.protected:  # since the grant; it binds an undo as well, of which the guard sees no mark
            return Ended("skipped", f"it, or its namespace, is marked {PROTECTED} now", reason="protected")
        if not self._undo:
            asks = facts.autonomy in ("suggest", "approve") and not self._grant.approvers
            if facts.autonomy in ("off", "observe") or asks:
                return Ended("skipped", f"autonomy is {facts.autonomy} now", reason="protected")
            planned = self._action.plan(facts, self._action.Params.model_validate(self._data.params))
            if isinstance(planned, Refusal):
                return Ended("skipped", f"{planned.reason}: {planned.text}", reason=planned.reason)
            if planned.hash != self._grant.plan_hash:
                return Ended("skipped", "changed: what would be written now is not what was approved", reason="changed")
        return self._steps.rehearse()

    def facts(self) -> Facts | None:
        return snapshot.take(
            self._here.kube, self._grant.scope, None, stop_namespace=self._home, stop_of=self._stop_of,
            details=self._action.details,
        )  # fmt: skip

    def _halts(self, mode: StopMode) -> bool:
        return mode == "freeze" or (mode != "run" and not self._undo)

    def halted(self, *more: str) -> str:
        """Which stop speaks against writing now, in words; empty when none does."""
        halt = snapshot.read_stop(self._here.kube, self._home, (*self._stop_of, *more))
        return str(halt) if self._halts(halt.mode) else ""

    def begin(self, step: int, scene: str | None = None) -> Ended | None:
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
            evidence=scene,
        )
        if begun["go"]:
            self.since = self.since or clock.now_ms()
            return None
        if begun["check"] == "busy":
            raise BusyError("another run is at this step")
        if begun["check"] == "ended":
            return Ended("unused", "already ended")
        if begun["check"] == "epoch":  # by a change of any stop, or because Redis was lost
            return Ended("unused", "the grant is from before a stop, or from before Redis was lost")
        return Ended(
            "unused", f"{begun['check']} refused it at the last moment", reason=_REFUSED.get(begun["check"], "")
        )

    def _recover(self) -> Emit | None:
        """Redis lost the attempt. A grant of a lost state is never begun, but what it did is written down anew."""
        if not self._data.plan.writes:
            return None
        found = self._steps.effect(0)
        if not isinstance(found, Done) or found.how != "mark":
            return None
        return self._end(0, found)

    # The end ---------------------------------------------------------------------------------------------------------

    def _end(self, step: int, result: Done | Ended | Later, *, told: str = "") -> Emit | None:
        failpoint.hit("before-finish")
        steps = len(self._data.plan.writes)
        if isinstance(result, Later):
            if self._has_time:
                time.sleep(POLL_S)
                return self._next(step)
            finished = self._finish("progressing", step=step, next_step=step, delay=AGAIN_MS, text=result.text)
        elif isinstance(result, Done) and step + 1 < steps:
            finished = self._finish(
                "progressing", step=step, next_step=step + 1, delay=0, writes=self._wrote(step), resolved_by=result.how
            )
            if finished["outcome"] == "progressing" and self._has_time:
                self.since = 0
                return self._next(step + 1)
        elif isinstance(result, Done):
            text = told or ("" if steps else str(self._data.params.get("message") or _NOTHING))
            self._note(step + 1, "succeeded")
            finished = self._finish(
                "succeeded", step=step, next_step=step + 1, writes=self._wrote(step), resolved_by=result.how,
                text=text or None, **self._reminder,
            )  # fmt: skip
        else:
            text = "; ".join(part for part in (result.text, self._stays(step)) if part)
            self._note(step, result.outcome)
            finished = self._finish(
                result.outcome, step=step, text=text, resolved_by=result.how, reason=result.reason or None,
                take_back=self._data.plan.takes_back or None,
            )  # fmt: skip
        failpoint.hit("after-finish")
        return self._say(finished)

    @property
    def _has_time(self) -> bool:
        """Whether one more look or write fits into this run."""
        return time.monotonic() + POLL_S < self._ends

    def _note(self, steps: int, outcome: str) -> None:
        """Say on what was changed who did it; what was evicted or created tells nobody, its owner does."""
        done = [write for write in self._data.plan.writes[:steps] if write.writes]
        if not done:
            return
        told = {self._grant.scope.ref}
        told |= {write.target for write in done if write.verb in ("patch", "copy")}
        for target in sorted(told, key=str)[:_TOLD]:
            note(
                self._here.kube, target, attempt=self._grant.id, step=steps - 1, action=self._grant.action,
                outcome=outcome, why=f"of incident {self._grant.incident}",
                by=" and ".join(self._grant.approvers) or "the machine by itself",
                field_manager=f"akeso-{self._action.name}",
            )  # fmt: skip

    @property
    def _reminder(self) -> dict[str, object]:
        plan = self._data.plan
        return {} if self._undo or not plan.reminds else {"remind": plan.reminds, "remind_in": plan.reminds_s * 1000}

    def _wrote(self, step: int) -> int:
        return sum(write.writes for write in self._data.plan.writes[step : step + 1])

    def _stays(self, step: int) -> str:
        """What the steps before have left, for whoever finds the attempt ended half-way."""
        writes = self._data.plan.writes
        made = [write for write in writes[:step] if write.writes]
        if not made:
            return ""
        left = ", ".join(left_by(write) for write in made[:_SHOWN]) + (", ..." if len(made) > _SHOWN else "")
        return f"{step} of {len(writes)} steps are done and stay: {left}"

    def _finish(self, outcome: str, *, step: int, **more: object) -> Finished:
        grant, plan = self._grant, self._data.plan
        inverse: Plan | None = None
        # Of what is done by now and no more: what was never written is not as an undo expects it. And only of a plan
        # that can be taken back as a whole, because what is stored here cannot be unsaid by a later step.
        if outcome in ("succeeded", "progressing") and plan.inverse():
            done = plan.writes[: int(str(more["next_step"]))]
            inverse = plan.model_copy(update={"writes": done}).inverse(grant.id)
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
                "kind": "write" if plan.writes else "none", "mode": grant.mode, "of": grant.of, "family": "",
                "epoch": grant.epoch,
                "cooldown": self._action.cooldown_s * 1000, "soak": self._action.soak_s * 1000,
                "until_in": self._steps.lasts_s * 1000, "plan": self._data.plan.model_dump_json(),
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
                "reason": finished.get("reason", ""), "cursor": finished.get("cursor", 0),
                "undo": finished.get("undo", ""),
            }
        )  # fmt: skip
        return Emit(f"remediation.{outcome}", said, incident=self._grant.incident, action=self._grant.action)


def check(data: ApprovedData, grant: Grant, cause: Cause, action: str) -> None:
    """That this grant is for this process and this plan. Raises ForbiddenError: whoever sent it has no say here."""
    if grant.action != action:
        raise ForbiddenError("the grant is for another action", reason="grant-action")
    if grant.plan_hash != data.plan.hash:
        raise ForbiddenError("the plan is not the one that was granted", reason="grant-plan")
    if (grant.tenant, grant.cluster) != (cause.tenant, cause.cluster):
        raise ForbiddenError("the grant is for another cluster", reason="grant-cluster")
