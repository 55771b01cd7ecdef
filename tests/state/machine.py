"""A plain-Python guess at what the guard's limits must say, played against the scripts in random order.

It models epoch, lease, cooldown, attempts and rates; everything else of an incident is kept out of its way.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from tests.state.world import COOLDOWN, DAY, HOUR, MINUTE, RUN_IN, SECOND, SOAK, START_IN, World

SCOPES = ("Deployment/shop/a", "Deployment/shop/b", "Deployment/shop/c")
FAMILIES = ("one", "two")
ATTEMPTS, PER_MINUTE, PER_HOUR = 2, 2, 4
SPANS = (1, SECOND, MINUTE, COOLDOWN - 1, COOLDOWN, COOLDOWN, START_IN + RUN_IN, HOUR, DAY)


@dataclass
class Granted:
    id: str
    key: tuple[str, str]
    epoch: str
    start_by: int
    finish_by: int
    state: str = "granted"


@dataclass
class Model:
    """All times in ms."""

    mode: str = "run"
    cooldown: dict[str, int] = field(default_factory=dict)
    lease: dict[str, tuple[str, int]] = field(default_factory=dict)
    attempts: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    rate: list[tuple[int, str]] = field(default_factory=list)
    live: dict[tuple[str, str], str] = field(default_factory=dict)

    def judge(self, key: tuple[str, str], now: int) -> tuple[str, int]:
        """The check that refuses, and when to come back; empty for none."""
        scope, _ = key
        if self.mode != "run":
            return "stop", 0
        if self.live.get(key):
            return "live", 0
        if self.cooldown.get(scope, 0) > now:
            return "cooldown", self.cooldown[scope]
        holder, until = self.lease.get(scope, ("", 0))
        if holder and until > now:
            return "lease", until
        if len([at for at, _ in self.attempts.get(key, []) if at > now - DAY]) >= ATTEMPTS:
            return "attempts", 0
        for check, span, limit in (("rate-minute", MINUTE, PER_MINUTE), ("rate-hour", HOUR, PER_HOUR)):
            recent = sorted(at for at, _ in self.rate if at > now - span)
            if len(recent) >= limit:
                return check, recent[len(recent) - limit] + span
        return "", 0

    def take(self, granted: Granted, now: int) -> None:
        self.lease[granted.key[0]] = (granted.id, granted.finish_by)
        self.attempts.setdefault(granted.key, []).append((now, granted.id))
        self.rate.append((now, granted.id))
        self.live[granted.key] = granted.id

    def may_begin(self, granted: Granted, epoch: str, now: int) -> str:
        """The check that refuses; empty for none."""
        if granted.state != "granted":
            return "ended"
        if granted.epoch != epoch:
            return "epoch"
        if self.mode != "run":
            return "stop"
        if self.lease.get(granted.key[0], ("", 0))[0] != granted.id:
            return "lease"
        return "start-by" if now > granted.start_by else ""

    def end(self, granted: Granted, outcome: str, now: int) -> None:
        scope = granted.key[0]
        if outcome != "unused":
            self.cooldown[scope] = max(self.cooldown.get(scope, 0), now + COOLDOWN)
        if outcome == "unused":
            self.rate = [spent for spent in self.rate if spent[1] != granted.id]
            self.attempts[granted.key] = [spent for spent in self.attempts[granted.key] if spent[1] != granted.id]
        self.live.pop(granted.key, None)
        holder, until = self.lease.get(scope, ("", 0))
        if outcome == "succeeded":
            self.live[granted.key] = granted.id
            if holder in ("", granted.id) or until <= now:
                self.lease[scope] = (granted.id, now + SOAK + HOUR)
        elif holder == granted.id:
            del self.lease[scope]


class Limits(RuleBasedStateMachine):
    """Whoever plays it gives `fresh`, which makes an empty hydrated world."""

    fresh: ClassVar[Any] = None
    grants = Bundle("grants")
    begun = Bundle("begun")
    soaking = Bundle("soaking")

    @initialize()
    def begin_anew(self) -> None:
        self.world: World = type(self).fresh()
        self.world.policy(attempts_per_day=ATTEMPTS, rate_per_minute=PER_MINUTE, rate_per_hour=PER_HOUR)
        self.model = Model()
        self.incidents: dict[tuple[str, str], str] = {}
        for scope, family in itertools.product(SCOPES, FAMILIES):
            opened = self.world.fire(f"{scope} {family}", scope=scope, family=family)
            self.incidents[(scope, family)] = opened["incident"]

    keys: ClassVar[Any] = st.tuples(st.sampled_from(SCOPES), st.sampled_from(FAMILIES))

    def ask(self, key: tuple[str, str]) -> Granted | None:
        check, retry_at = self.model.judge(key, self.world.now)
        before = self.world.budget()
        answer = self.world.admit(self.incidents[key], scope=key[0])
        assert (answer.get("check", ""), answer.get("retry_at", 0)) == (check, retry_at), (answer, check, retry_at)
        if check:
            assert answer["decision"] == "denied"
            assert self.world.budget() == before, "a refusal consumed something"
            return None
        granted = Granted(answer["grant"], key, answer["epoch"], answer["start_by"], answer["finish_by"])
        self.model.take(granted, self.world.now)
        return granted

    @rule(target=grants, key=keys)
    def admit(self, key: tuple[str, str]) -> Any:
        granted = self.ask(key)
        return granted or multiple()

    @rule(target=begun, granted=consumes(grants))
    def begin(self, granted: Granted) -> Any:
        check = self.model.may_begin(granted, self.world.epoch(), self.world.now)
        said = self.world.begin(granted.id)
        assert said.get("check", "") == check, (said, check)
        if check:
            self.world.finish(granted.id, "unused", run="")
            self.model.end(granted, "unused", self.world.now)
            return multiple()
        granted.state = "begun"
        return granted

    @rule(target=soaking, granted=consumes(begun), outcome=st.sampled_from(["succeeded", "failed"]))
    def finish(self, granted: Granted, outcome: str) -> Any:
        assert self.world.finish(granted.id, outcome)["outcome"] == outcome
        self.model.end(granted, outcome, self.world.now)
        return granted if outcome == "succeeded" else multiple()

    @rule(granted=consumes(grants))
    def never_begin(self, granted: Granted) -> None:
        self.world.finish(granted.id, "unused", run="")
        self.model.end(granted, "unused", self.world.now)

    @rule(granted=consumes(soaking))
    def judge(self, granted: Granted) -> None:
        self.world.heartbeat()
        assert self.world.verdict(granted.id, healthy=False)["verdict"] == "ineffective"
        self.model.live.pop(granted.key, None)
        if self.model.lease.get(granted.key[0], ("", 0))[0] == granted.id:
            del self.model.lease[granted.key[0]]

    @rule(key=keys)
    def fail(self, key: tuple[str, str]) -> None:
        """A whole attempt at once, so that limits over many of them are met."""
        granted = self.ask(key)
        if granted:
            assert self.world.begin(granted.id)["go"]
            self.world.finish(granted.id, "failed")
            self.model.end(granted, "failed", self.world.now)

    @rule(ms=st.sampled_from(SPANS))
    def pass_time(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(mode=st.sampled_from(["stop", "run"]))
    def stop(self, mode: str) -> None:
        self.world.stop(mode)
        self.model.mode = mode

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert self.world.broken_chains() == []
            assert self.world.immortal() == []
            assert self.world.orphans() == []
