"""What all the machines share: a world of their own, a clock that steps back, keys that expire early, late or not.

Every other check is out of the way by the policy `WIDE`, so that a machine need only know its own.
"""

import json
from collections import Counter
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.state.transitions import Admitted
from tests.state.world import World

NEVER = 10**6
WIDE: dict[str, int] = dict.fromkeys(
    ("attempts", "rate_minute", "rate_hour", "rate_action", "rate_namespace", "concurrency", "concurrency_action",
     "blast_most", "breaker_failures", "demote_after", "promote_after", "repeats", "resource_changes", "storm_new"),
    NEVER,
) | dict.fromkeys(("blast_workload", "blast_namespace", "blast_pool", "blast_nodes"), 100 * NEVER) | {
    "oscillation_ms": 1, "resource_ms": 1,  # nothing that a full history may have forgotten lies within
    "backoff_base": 0, "backoff_max": 0, "risk_approve": 101, "risk_refuse": 101,
}  # fmt: skip
SLACK = 250  # ms that the scripts' clock may run behind without being written down


class Clock:
    """The time of the scripts: never before one that was written down."""

    def __init__(self, start: int) -> None:
        self.noted = start

    def at(self, told: int) -> int:
        if told < self.noted:
            return self.noted
        if told > self.noted + SLACK:
            self.noted = told
        return told


class Played(RuleBasedStateMachine):
    """Whoever plays it gives `fresh`, which makes an empty hydrated world."""

    fresh: ClassVar[Any] = None
    reached: ClassVar[Counter[str]] = Counter()  # the answers of all worlds, by check
    at: ClassVar[int] = 0  # when each world begins, ms
    world: World

    def start(self, **policy: Any) -> None:
        self.world = type(self).fresh()
        lists = {name: json.dumps(value) for name, value in policy.items() if isinstance(value, list)}
        self.policy: dict[str, Any] = {**flat(Policy(), "played"), **WIDE, **policy, **lists}
        self.world.load(policy=self.policy)
        self.clock = Clock(int(self.world.redis.hget("{akeso}:epoch", "clock") or 0))

    @property
    def now(self) -> int:
        """The time that the script has which is called next."""
        return self.clock.at(self.world.now)

    def go_on(self, ms: int, expiring: bool) -> None:
        if expiring:
            self.world.age(ms)
        else:
            self.world.sim.jump(self.world.now + ms)

    def admit(self, check: str, retry_at: int, incident: str, *, weigh: bool = True, **asked: Any) -> Admitted:
        """Ask, and compare with what the model says: the check that refuses, empty for none, and when to come back."""
        weigh = weigh and bool(check)
        before = self.world.budget() if weigh else {}
        asked.setdefault("taken_at", self.now)
        answer = self.world.admit(incident, **asked)
        found = "approval" if answer["decision"] == "held" else answer.get("check", "")
        assert (found, answer.get("retry_at", 0)) == (check, retry_at), (answer, check, retry_at, self.now)
        assert (answer["decision"] == "approved") == (not check)
        type(self).reached[check] += 1
        if weigh:
            assert self.world.budget() == before, "a refusal consumed something"
        return answer

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert self.world.broken_chains() == []
            assert self.world.immortal() == []
            assert self.world.orphans() == []
