"""The life of one attempt: look first, plan again, `begin`, write once, `finish`.

This is the only place that writes to a cluster. Every write carries absolute values, the object's uid and the version
read directly before, and the attempt's mark; so that a repeated run finds the mark, and a late one is refused by the
API server. It never decides whether an action is allowed: that was `admit`, and is `begin`.
"""

import json
import secrets
import time
from typing import Final, Literal, NamedTuple

from shared import clock, failpoint
from shared.action import drain, nodes
from shared.action.declare import Action
from shared.errors import BusyError, ForbiddenError
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import ApprovedData, OutcomeData
from shared.kube import evidence
from shared.kube import facts as snapshot
from shared.kube import write as kube_write
from shared.kube.errors import Conflict, KubeError, NotFound, Refused, Throttled
from shared.kube.mark import FENCED, Stay
from shared.kube.note import note
from shared.model.base import canonical
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Plan, Refusal, Write
from shared.model.protected import PROTECTED
from shared.model.refusal import Reason
from shared.model.stop import StopMode
from shared.model.stop import keys as stop_keys
from shared.state.transitions import Cause, Finished

RUN_MS: Final = 30_000  # one run of one step; Serving cuts nothing that ends within it
LOOK_MS: Final = 90_000  # after so long without an end somebody looks
TRIES: Final = 3
AGAIN_MS: Final = 15_000  # what is waited for is looked at so often
POLL_S: Final = 1.0  # and so often while a run has time left
_NOTHING: Final = "nothing is to be done by machine"
_TOLD: Final = 5  # Events of one attempt
_SHOWN, _VALUE = 3, 60  # of what an attempt leaves half-way: so many writes, so many characters of a value
_REFUSED: Final[dict[str, Reason]] = {"lease": "lease", "start-by": "deadline", "finish-by": "deadline"}
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


class Attempt:
    """One run of the executor on one grant. Raises BusyError (another run is at it) and UnavailableError."""

    def __init__(self, here: Here, cause: Cause, action: Action, grant: Grant, data: ApprovedData) -> None:
        self._here, self._cause, self._action, self._grant, self._data = here, cause, action, grant, data
        self._run = secrets.token_hex(8)  # one delivery of the event, not the event
        self._manager = f"akeso-{action.name}"
        self._undo = grant.mode == "undo"
        self._home = here.settings.kube.namespace
        self._before: Facts | None = None
        self._since = 0  # ms, when the present step was begun for the first time
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
                self._since = int(known.get("step_since") or 0)
            if known.get("waiting") or (step and known.get("run_step") != str(step)):
                return self._next(step)
            return self._carry_on(step, fresh=False)
        if not known:
            return self._recover()
        return self._carry_on(0, fresh=True)

    def _carry_on(self, step: int, *, fresh: bool) -> Emit | None:
        if not self._data.plan.writes:
            return self._only_look(step, fresh=fresh)
        write = self._data.plan.writes[step]
        if fresh:
            hindrance = self._look_fresh(write)
            if hindrance is None:
                hindrance = self._begin(step, self._scene())
            failpoint.hit("after-begin")
            return self._end(step, hindrance or self._write(write, step, fresh=True))
        return self._end(step, self._look_again(write, step))

    def _only_look(self, step: int, *, fresh: bool) -> Emit | None:
        """Nothing is written: a person is told, and with `read` what was seen is kept for him."""
        scene = None
        if self._action.kind == "read":
            facts = self._facts()
            if facts is None:
                return self._end(step, Ended("skipped", "the target is gone", reason="not-found"))
            scene = evidence.collect(self._here.kube, facts.scope, facts)
        refused = self._begin(step, scene.text if scene else None)
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
        if halted := self._halted():
            return self._end(step, Ended("stopped", halted))
        if refused := self._begin(step):
            return self._end(step, refused._replace(outcome="stopped"))
        return self._end(step, self._write(self._data.plan.writes[step], step, fresh=False))

    # Before anything is begun ---------------------------------------------------------------------------------------

    def _look_fresh(self, write: Write) -> Ended | None:
        """Whether the world still is as it was when the plan was approved; the server's dry run included."""
        facts = self._facts()
        if facts is None:
            return Ended("skipped", "the target is gone", reason="not-found")
        self._before = facts
        if self._halts(facts.stop_mode):
            return Ended("unused", self._halted() or f"{facts.stop_mode} is set")
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
        return self._rehearse(write)

    def _facts(self) -> Facts | None:
        return snapshot.take(
            self._here.kube, self._grant.scope, None, stop_namespace=self._home, stop_of=self._stop_of,
            details=self._action.details,
        )  # fmt: skip

    def _rehearse(self, write: Write) -> Ended | None:
        """Let the server try it without an effect. Controllers write statuses at any time: then look again."""
        refused: KubeError | None = None
        for _ in range(TRIES):
            seen = kube_write.read(self._here.kube, write, self._grant.id)
            if not seen.holds:
                return self._changed(write, seen)
            try:
                self._apply(write, 0, seen.resource_version, dry_run=True)
            except Conflict as error:
                refused = error
            except Throttled as error:
                if write.patience_s:  # it may be waited out
                    return None
                return Ended("skipped", f"the dry run was refused: {error}", reason=_why(error))
            except (NotFound, Refused) as error:
                return Ended("skipped", f"the dry run was refused: {error}", reason=_why(error))
            else:
                return None
        return Ended("skipped", f"the dry run was refused: {refused}", reason="changed")

    @staticmethod
    def _changed(write: Write, seen: kube_write.Seen) -> Ended:
        """It is not as it must be for this write; of a field that was changed both are told."""
        text = "changed: the object is not what the plan was made for"
        if write.verb == "create":
            text = f"changed: there is a {write.target.kind} of that name already"
        elif not (seen.exists and seen.uid_ok):
            text = f"changed: {write.target.kind} {write.target.name} is gone or another one has its name"
        elif write.verb == "patch" and not seen.deleting:
            text = f"changed: {write.path} is {_short(seen.value)} now, and was to be {_short(write.before)}"
        return Ended("skipped", text, reason="changed")

    def _halts(self, mode: StopMode) -> bool:
        return mode == "freeze" or (mode != "run" and not self._undo)

    def _halted(self) -> str:
        """Which stop speaks against writing now, in words; empty when none does."""
        halt = snapshot.read_stop(self._here.kube, self._home, self._stop_of)
        return str(halt) if self._halts(halt.mode) else ""

    def _begin(self, step: int, scene: str | None = None) -> Ended | None:
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
            self._since = self._since or clock.now_ms()
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

    # The write -------------------------------------------------------------------------------------------------------

    def _mark(self, step: int) -> str:
        return f"{self._grant.id}/{step}"

    def _is_marked(self, mark: str, step: int) -> bool:
        """By this step of this attempt, or by a later one, which begins when this one is done."""
        attempt, _, number = mark.partition("/")
        return attempt == self._grant.id and number.isascii() and number.isdecimal() and int(number) >= step

    def _apply(self, write: Write, step: int, version: str, *, dry_run: bool) -> None:
        kube_write.apply(
            self._here.kube,
            write,
            mark=self._mark(step),
            undo=self._undo,
            field_manager=self._manager,
            resource_version=version,
            dry_run=dry_run,
            stay=self._stay,
        )

    @property
    def _lasts_s(self) -> int:
        """After how many seconds it is to be taken back; 0: never."""
        return 0 if self._undo else self._data.plan.until_s

    @property
    def _stay(self) -> Stay | None:
        if not self._lasts_s:
            return None
        kept = {"grant": self._data.grant, "plan": self._data.plan.model_dump(mode="json", exclude_defaults=True)}
        # By the grant and not by the clock, so that a repeated write says the same.
        return Stay(clock.iso(self._grant.start_by + self._lasts_s * 1000), canonical(kept).decode())

    def _write(self, write: Write, step: int, *, fresh: bool) -> Done | Ended | Later:
        """The step's effect, exactly once: read, precondition, write; on a conflict look again, three times at most."""
        if not write.writes:
            return self._watch(write)
        if write.verb == "drain":
            return self._drain(write, step)
        for tried in range(TRIES):
            seen = kube_write.read(self._here.kube, write, self._grant.id)
            found = self._found(seen, write, step)
            if found is not None:
                return self._gone(write) if fresh and found.how != "mark" else found
            if seen.mark == f"{self._mark(step)}{FENCED}":
                return Ended("stopped", "a later look has shut this run out", "fence")
            if not seen.holds:
                return self._changed(write, seen)._replace(outcome="failed")
            # Whoever wrote in between may have been a run that has taken this step over, or ended the attempt.
            if tried and (refused := self._begin(step)):
                return refused._replace(outcome="stopped")
            if halted := self._halted():
                return Ended("stopped", halted)
            failpoint.hit("before-write")
            try:
                self._apply(write, step, seen.resource_version, dry_run=False)
            except (Conflict, NotFound):
                continue
            except Throttled as error:
                if write.patience_s:
                    return self._later(write, Later(str(error), _why(error)))
                return Ended("failed", f"refused by the API: {error}", reason=_why(error))
            except Refused as error:
                return Ended("failed", f"refused by the API: {error}", reason=_why(error))
            failpoint.hit("after-write")
            return Done("write")
        return Ended("failed", "changed: the object is written to faster than it can be read", reason="changed")

    def _watch(self, write: Write) -> Done | Ended | Later:
        """A step that only waits: the action says by fresh facts whether what was begun has arrived."""
        facts = self._facts()
        if facts is None:
            return Ended("failed", "the target is gone", "look", "not-found")
        facts = facts.model_copy(update={"attempt": self._grant.id})
        said = self._action.arrived(facts, self._action.Params.model_validate(self._data.params))
        if isinstance(said, Refusal):
            return Ended("failed", f"{said.reason}: {said.text}", "look", said.reason)
        return self._later(write, Later(said, "deadline")) if said else Done("look")

    def _drain(self, write: Write, step: int) -> Done | Ended | Later:
        """A node's pods go as fresh looks find them; the node carries the mark before the first one goes."""
        mark = self._mark(step)
        seen = kube_write.read(self._here.kube, write, self._grant.id)
        if not seen.exists or not seen.uid_ok:
            return Ended(
                "failed", f"not-found: node {write.target.name} is gone or is another one", "look", "not-found"
            )
        if seen.mark == mark + FENCED:
            return Ended("stopped", "a later look has shut this run out", "fence")
        if not seen.holds:
            return Ended("failed", f"changed: node {write.target.name} is not cordoned any more", "look", "changed")
        if halted := self._halted():
            return Ended("stopped", halted)
        try:
            if seen.mark != mark:
                self._apply(write, step, seen.resource_version, dry_run=False)
            look = drain.some(
                self._here.kube, write, mark=mark, field_manager=self._manager, own={self._home, nodes.HOME},
                may=lambda namespace: self._may_evict(step, namespace),
            )  # fmt: skip
        except (Conflict, NotFound):
            return self._later(write, Later("the node changes too fast", "changed"))
        except (Refused, Throttled) as error:
            return Ended("failed", f"refused by the API: {error}", reason=_why(error))
        if look.refusal:
            outcome: Literal["failed", "stopped"] = "stopped" if look.refusal.reason == "lease" else "failed"
            return Ended(outcome, f"{look.refusal.reason}: {look.refusal.text}", "look", look.refusal.reason)
        if not look.left:
            return Done("write")
        return self._later(write, Later(look.text, "disruption-budget" if look.held else "deadline"))

    def _may_evict(self, step: int, namespace: str) -> Refusal | None:
        """Whether this run still has the step, and nobody has stopped the namespace that the pod is in."""
        if refused := self._begin(step):
            return Refusal(reason="lease", text=refused.text)
        halt = snapshot.read_stop(self._here.kube, self._home, (*self._stop_of, f"namespace.{namespace}"))
        return Refusal(reason="lease", text=str(halt)) if self._halts(halt.mode) else None

    def _later(self, write: Write, why: Later) -> Ended | Later:
        """Ask again, unless its time is up before."""
        now = clock.now_ms()
        ends = min(self._since + write.patience_s * 1000, self._grant.finish_by)
        return Ended("failed", f"{why.reason}: {why.text}", reason=why.reason) if now + AGAIN_MS > ends else why

    @staticmethod
    def _gone(write: Write) -> Ended:
        """Gone before this attempt, which nobody carried on before, has written."""
        text = f"{write.target.kind} {write.target.name} is gone or another one has its name"
        return Ended("skipped", text, reason="not-found")

    # After a crash ---------------------------------------------------------------------------------------------------

    def _look_again(self, write: Write, step: int) -> Done | Ended | Later:
        """Somebody began this step and did not finish it: look, and only without a trace of an effect write it."""
        if not write.writes:
            refused = self._begin(step)
            return refused._replace(outcome="stopped") if refused else self._watch(write)
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
                self._here.kube, write, mark=f"{self._mark(step)}{FENCED}", field_manager=self._manager
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
        return self._found(kube_write.read(self._here.kube, write, self._grant.id), write, step)

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

    def _recover(self) -> Emit | None:
        """Redis lost the attempt. A grant of a lost state is never begun, but what it did is written down anew."""
        if not self._data.plan.writes:
            return None
        found = self._effect(self._data.plan.writes[0], 0)
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
                self._since = 0
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
                by=" and ".join(self._grant.approvers) or "the machine by itself", field_manager=self._manager,
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
        left = ", ".join(_left(write) for write in made[:_SHOWN]) + (", ..." if len(made) > _SHOWN else "")
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
                "until_in": self._lasts_s * 1000, "plan": self._data.plan.model_dump_json(),
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


def _left(write: Write) -> str:
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


def _why(error: KubeError) -> Reason:
    """The word for what an API server refuses."""
    if isinstance(error, Throttled):
        return "disruption-budget"
    if isinstance(error, NotFound):
        return "not-found"
    text = str(error)
    if "quota" in text or "LimitRange" in text or "usage per" in text:
        return "quota"
    return "protected" if "akeso:" in text or "denied" in text else "unsupported"


def check(data: ApprovedData, grant: Grant, cause: Cause, action: str) -> None:
    """That this grant is for this process and this plan. Raises ForbiddenError: whoever sent it has no say here."""
    if grant.action != action:
        raise ForbiddenError("the grant is for another action", reason="grant-action")
    if grant.plan_hash != data.plan.hash:
        raise ForbiddenError("the plan is not the one that was granted", reason="grant-plan")
    if (grant.tenant, grant.cluster) != (cause.tenant, cause.cluster):
        raise ForbiddenError("the grant is for another cluster", reason="grant-cluster")
