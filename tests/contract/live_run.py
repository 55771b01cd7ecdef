"""The executor's own lifecycle on a live object, with a state of four lines in the place of Redis.

Every request that an action makes in production is made here in the same order, under the action's own account.
"""

import json
import secrets
from collections import Counter
from types import SimpleNamespace
from typing import Any, NamedTuple

from shared import clock
from shared.action.declare import Action
from shared.action.lifecycle import Attempt
from shared.action.render import executor_name
from shared.event.types import ApprovedData
from shared.kube import facts as snapshot
from shared.kube.client import Kube
from shared.kube.errors import KubeError
from shared.model.grant import Grant
from shared.model.plan import Plan
from shared.settings import Kube as KubeSettings
from shared.settings import Settings
from shared.state.transitions import Cause
from tests.contract.live_subject import Subject
from tests.contract.live_world import World


class Result(NamedTuple):
    outcome: str
    text: str = ""
    how: str = ""

    @property
    def refused_by_rights(self) -> bool:
        """By the authorizer, and by nothing else. What may not be read of the stop counts as freeze."""
        by_user = 'is forbidden: User "system:serviceaccount:' in self.text
        return by_user or (self.outcome == "unused" and self.text == "freeze is set")


class Ledger:
    """What Redis would say: the attempt is granted, or begun by a run that is gone; `begins`: it may be carried on."""

    def __init__(self, *, begun: bool = False, begins: bool = True) -> None:
        self.result = Result("")
        self.begins: Counter[int] = Counter()  # by step
        self._known: dict[str, Any] = {"state": "granted"}
        self._begins = begins
        if begun:
            self._begun(0)

    def _begun(self, step: int) -> None:
        since = self._known.get("step_since") if self._known.get("run_step") == str(step) else None
        self._known = {
            "state": "begun", "cursor": str(step), "run_step": str(step), "step_since": since or str(clock.now_ms()),
        }  # fmt: skip

    def attempt(self, *_: Any) -> dict[str, Any]:
        return self._known

    def begin(self, _: Cause, *, step: int, **__: Any) -> dict[str, Any]:
        self.begins[step] += 1
        if self._begins:
            self._begun(step)
        return {"go": self._begins, "check": "rehearsal"}

    def finish(self, _: Cause, attempt: str, outcome: str, **more: Any) -> dict[str, Any]:
        self.result = Result(outcome, more.get("text") or "", more.get("resolved_by") or "")
        said = {"outcome": outcome, "text": self.result.text, "resolved_by": self.result.how, "incident": attempt}
        if outcome == "progressing":
            waiting = "1" if more["next_step"] == more["step"] else ""
            self._known |= {"state": "begun", "cursor": str(more["next_step"]), "waiting": waiting}
        else:
            self._known = {"state": "finished", "result": json.dumps(said)}
        return said


class Run:
    """One grant for one plan on one subject."""

    def __init__(self, world: World, action: Action, subject: Subject, plan: Plan, mode: str = "do") -> None:
        self.world, self.action, self.plan = world, action, plan
        self._here = SimpleNamespace(
            kube=world.kube(executor_name(action.name)), settings=Settings(kube=KubeSettings(namespace=world.home))
        )
        now = clock.now_ms()
        self._grant = Grant(
            id=secrets.token_hex(8), incident="i", tenant="t", cluster="c", scope=subject.scope, action=action.name,
            mode=mode, plan_hash=plan.hash, epoch="e", start_by=now + 600_000, finish_by=now + 600_000,
        )  # fmt: skip
        self._data = ApprovedData(incident="i", grant="signed", params=subject.params, plan=plan)

    @property
    def kube(self) -> Kube:
        kube: Kube = self._here.kube
        return kube

    @property
    def attempt(self) -> str:
        return self._grant.id

    def rehearse(self) -> Result:
        """All that comes before `begin`, the dry run included, and then no: nothing is written."""
        return self.with_(Ledger(begun=False, begins=False))

    def go(self) -> Result:
        return self.with_(Ledger(begun=False, begins=True))

    def cost(self) -> tuple[Result, int]:
        """Do it: what came of it, and how many requests it took, but for all but the first look of each wait."""
        with self.world.counted() as look:
            snapshot.take(
                self.kube, self._grant.scope, None, stop_namespace=self.world.home, details=self.action.details
            )
        ledger = Ledger(begun=False, begins=True)
        with self.world.counted() as requests:
            done = self.with_(ledger)
        waited = [step for step, write in enumerate(self.plan.writes) if write.verb == "watch"]
        again = sum(max(0, ledger.begins[step] - 1) for step in waited)
        return done, len(requests) - again * (len(look) + 1)  # the stop is read before each

    def shut_out(self) -> Result:
        """The run that began it is gone and nobody may carry it on: a late write of it must fail."""
        return self.with_(Ledger(begun=True, begins=False))

    def with_(self, ledger: Ledger) -> Result:
        self._here.state = ledger
        cause = Cause("executor", "test", self._grant.id, "t", "c")
        for _ in self.plan.writes or [None]:
            try:
                Attempt(self._here, cause, self.action, self._grant, self._data).go()
            except KubeError as error:
                return Result("raised", str(error))
            if ledger.result.outcome != "progressing":
                break
        return ledger.result
