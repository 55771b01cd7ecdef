"""What is remembered of a scope: cooldown, oscillation, repeats and changes of resources, in any order."""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.state.machines.played import Played
from tests.state.world import DAY, HOUR, MINUTE

SCOPES = ("Deployment/shop/a", "StatefulSet/shop/b")
ACTIONS = ("restart", "scale")
KEPT, OSCILLATION, REPEATS, CHANGES, RESOURCES = 16, 6 * HOUR, 3, 4, 2 * HOUR
JUDGED = {"verified", "ineffective", "failed"}
OPPOSITE = {"up": "down", "down": "up", "": ""}
SPANS = (1, MINUTE, MINUTE, 5 * MINUTE, HOUR, RESOURCES - 1, RESOURCES, DAY)
ENDS = ("verified", "ineffective", "failed", "failed", "stopped", "skipped", "unused", "undone")


@dataclass
class Done:
    at: int
    action: str
    turn: str
    resources: bool
    word: str


@dataclass
class Scope:
    cooldown: int = 0
    history: list[Done] = field(default_factory=list)

    def judge(self, action: str, turn: str, resources: bool, now: int) -> tuple[str, int]:
        """The check that refuses, and when to come back; empty for none."""
        if self.cooldown > now:
            return "cooldown", self.cooldown
        turns = [one for one in self.history if one.turn and one.at > now - OSCILLATION][-2:]
        if turn and [one.turn for one in turns] == [turn, OPPOSITE[turn]]:
            return "oscillation", turns[0].at + OSCILLATION
        if turn and len(turns) < 2 and self.known(now) < OSCILLATION:
            return "oscillation", self.history[0].at + OSCILLATION
        same = [one for one in self.history if one.action == action and one.word in JUDGED]
        same = [one for one in same if one.at > now - OSCILLATION][-REPEATS:]
        if len(same) == REPEATS and 2 * sum(one.word == "verified" for one in same) < REPEATS:
            return "repeats", same[0].at + OSCILLATION
        if len(same) < REPEATS and self.known(now) < OSCILLATION:
            return "repeats", self.history[0].at + OSCILLATION
        changes = [one.at for one in self.history if one.resources and one.at > now - RESOURCES]
        if resources and len(changes) >= CHANGES:
            return "resource-changes", changes[-CHANGES] + RESOURCES
        if resources and self.known(now) < RESOURCES:
            return "resource-changes", self.history[0].at + RESOURCES
        return "", 0

    def known(self, now: int) -> float:
        """How far back everything is known that was done; of a full history one may have gone without a trace."""
        return now - self.history[0].at if len(self.history) >= KEPT - 1 else math.inf


class Memory(Played):
    scopes: ClassVar[Any] = st.sampled_from(SCOPES)

    @initialize()
    def begin_anew(self) -> None:
        self.start(oscillation_ms=OSCILLATION, repeats=REPEATS, resource_changes=CHANGES, resource_ms=RESOURCES)
        self.model = {scope: Scope() for scope in SCOPES}
        self.numbers = itertools.count(1)
        self.prints: dict[str, str] = {}
        self.incidents: dict[str, str] = {}
        for scope in SCOPES:
            self.fire(scope)

    def fire(self, scope: str) -> None:
        self.prints[scope] = f"{scope} {next(self.numbers)}"
        self.incidents[scope] = self.world.fire(self.prints[scope], scope=scope)["incident"]

    @rule(
        scope=scopes, action=st.sampled_from(ACTIONS), turn=st.sampled_from(["", "up", "down"]),
        resources=st.booleans(), end=st.sampled_from(ENDS), cooldown=st.sampled_from([0, 0, 5 * MINUTE, HOUR]),
        soak=st.sampled_from([0, 0, 10 * MINUTE]), early=st.sampled_from([None, 0, 0, 0, 1]),
    )  # fmt: skip
    def attempt(
        self, scope: str, action: str, turn: str, resources: bool, end: str, cooldown: int, soak: int,
        early: int | None,
    ) -> None:  # fmt: skip
        """A whole one, from the question to its end; mostly as soon as the cooldown allows, to the millisecond."""
        model = self.model[scope]
        if early is not None and model.cooldown > self.now:
            self.world.sim.jump(model.cooldown - early)
        now = self.now
        check, retry_at = model.judge(action, turn, resources, now)
        if check not in ("", "cooldown") and early:
            self.world.sim.jump(retry_at - early)
            now = self.now
            check, retry_at = model.judge(action, turn, resources, now)
        asked = {"scope": scope, "action": action, "turn": turn, "resources": resources, "cooldown": cooldown}
        answer = self.admit(check, retry_at, self.incidents[scope], soak=soak, **asked)
        if check:
            return
        grant, cools = answer["grant"], max(cooldown, soak + MINUTE)
        if end in ("skipped", "unused"):
            self.world.finish(grant, end, run="")
            del model.history[: -(KEPT - 1)]  # its place was needed for a while
            return
        assert self.world.begin(grant)["go"]
        model.cooldown = max(model.cooldown, now + cools)
        model.history.append(Done(now, action, turn, resources, end))
        if end in ("failed", "stopped"):
            self.world.finish(grant, end)
        else:
            self.world.finish(grant, inverse="{}", inverse_hash="h")
            self.soaked(scope, grant, end, asked)
        del model.history[:-KEPT]

    def soaked(self, scope: str, grant: str, end: str, asked: dict[str, Any]) -> None:
        model, incident = self.model[scope], self.incidents[scope]
        if end == "undone":
            asked["turn"] = OPPOSITE[asked["turn"]]
            undo = self.world.undo(grant, incident, taken_at=self.now, **asked)
            assert self.world.begin(undo)["go"]
            self.world.finish(undo)
            model.cooldown = max(model.cooldown, self.now + max(asked["cooldown"], MINUTE))
            model.history.append(Done(self.now, asked["action"], asked["turn"], asked["resources"], end))
            return
        self.world.heartbeat()
        if end == "verified":
            self.world.resolve(self.prints[scope])
        assert self.world.verdict(grant, healthy=end == "verified")["verdict"] == end
        if end == "verified":
            self.fire(scope)

    @rule(ms=st.sampled_from(SPANS), expiring=st.booleans())
    def pass_time(self, ms: int, expiring: bool) -> None:
        self.go_on(ms, expiring)

    @rule(ms=st.sampled_from([1, MINUTE, HOUR]))
    def step_back(self, ms: int) -> None:
        self.world.sim.jump(self.world.now - ms)
