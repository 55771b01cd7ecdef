"""The executor's own lifecycle on a live object, with a state of four lines in the place of Redis.

Every request that an action makes in production is made here in the same order, under the action's own account.
"""

import secrets
from types import SimpleNamespace
from typing import Any, NamedTuple

from shared import clock
from shared.action.declare import Action
from shared.action.lifecycle import Attempt
from shared.action.render import executor_name
from shared.event.types import ApprovedData
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


class _Ledger:
    """What Redis would say: the attempt is granted, or begun by a run that is gone; `begins`: it may be carried on."""

    def __init__(self, *, begun: bool, begins: bool) -> None:
        self.result = Result("")
        self._known: dict[str, Any] = {"state": "begun", "cursor": "0"} if begun else {"state": "granted"}
        self._begins = begins

    def attempt(self, *_: Any) -> dict[str, Any]:
        return self._known

    def begin(self, _: Cause, *, step: int, **__: Any) -> dict[str, Any]:
        if self._begins:
            self._known = {"state": "begun", "cursor": str(step)}
        return {"go": self._begins, "check": "rehearsal"}

    def finish(self, _: Cause, attempt: str, outcome: str, **more: Any) -> dict[str, Any]:
        self.result = Result(outcome, more.get("text") or "", more.get("resolved_by") or "")
        self._known = {"state": "begun", "cursor": str(more.get("next_step", 0))}
        return {"outcome": outcome, "text": self.result.text, "resolved_by": self.result.how, "incident": attempt}


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

    def rehearse(self) -> Result:
        """All that comes before `begin`, the dry run included, and then no: nothing is written."""
        return self._go(_Ledger(begun=False, begins=False))

    def go(self) -> Result:
        return self._go(_Ledger(begun=False, begins=True))

    def shut_out(self) -> Result:
        """The run that began it is gone and nobody may carry it on: a late write of it must fail."""
        return self._go(_Ledger(begun=True, begins=False))

    def _go(self, ledger: _Ledger) -> Result:
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
