"""Stops of every part, windows and freezes, people at work, stale facts, the embargo and storms, in any order."""

import itertools
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.conftest import CLUSTER, TENANT
from tests.state.machines.played import Played
from tests.state.world import DAY, HOUR, MINUTE

SCOPES = {"Deployment/one/a": "one", "Deployment/two/b": "two"}
ACTIONS = ("restart", "scale")
PERSON, STALE, CALM, AHEAD = 15 * MINUTE, 2 * MINUTE, 5 * MINUTE, 2 * DAY
STORM_NEW, STORM_WINDOW, TARGETS, SHARE, FEW = 8, 5 * MINUTE, 25, 30, 5
SPANS = (1, MINUTE, MINUTE, STORM_WINDOW - 1, STORM_WINDOW, 30 * MINUTE)
LONG = (HOUR, DAY, AHEAD)
# Name, kind, action and namespace that it is about ("" for all), and the hours from the begin of the world.
WINDOWS: Final = (
    ("early", "maintenance", "scale", "", [(1, 2), (25, 26)]),
    ("late", "maintenance", "scale", "one", [(1.5, 3)]),
    ("change freeze", "freeze", "", "", [(4, 5)]),
    ("longer freeze", "freeze", "", "two", [(4.5, 6), (6, 7)]),
)
EDGES = (1, 1.5, 2, 3, 4, 4, 4.5, 4.5, 5, 6, 7)
PARTS = (
    f"tenant.{TENANT}", "tenant.other", f"cluster.{TENANT}.{CLUSTER}", "namespace.one", "namespace.two", "action.scale",
    "action.other",
)  # fmt: skip
VALUES = {"stop": 1, "stop: the big sale": 1, "freeze": 2, "freeze: x": 2, "Stop": 2, "": 2, "please": 2}
MODES = {"run": 0, "stop": 1, "freeze": 2}

FACTS = st.fixed_dictionaries({
    "left": st.sampled_from([None] * 6 + [-1, 0]), "age": st.sampled_from([0] * 6 + [STALE, STALE + 1, 10 * MINUTE]),
    "protected": st.sampled_from([False] * 7 + [True]), "paused": st.sampled_from([False] * 7 + [True]),
    "manual": st.sampled_from([False, False, True]), "rolling_out": st.booleans(),
    "changed": st.sampled_from([None, None, 0, PERSON - 1, PERSON, HOUR - 1, HOUR - 1, HOUR]),
})  # fmt: skip


class Storm:
    """Times in ms of what opened; what of it still fails."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.failing = 0
        self.since = self.calm_since = 0
        self.targets = 0

    def weather(self, now: int, more: int = 0) -> bool:
        fresh = len([at for at in self.opened if at > now - STORM_WINDOW]) + more
        share = self.targets * SHARE
        shared = self.targets > 0 and self.failing >= FEW
        if fresh > STORM_NEW or (shared and self.failing * 100 > share):
            self.since, self.calm_since = self.since or now, 0
        elif self.since:
            if (fresh - more) * 2 >= STORM_NEW or (shared and self.failing * 200 >= share):
                self.calm_since = 0
            elif not self.calm_since:
                self.calm_since = now
            elif now - self.calm_since >= CALM:
                self.since = self.calm_since = 0
        return bool(self.since)


class Times(Played):
    scopes: ClassVar[Any] = st.sampled_from(list(SCOPES))

    @initialize()
    def begin_anew(self) -> None:
        start = type(self).at
        self.windows = [
            (name, kind, action, namespace, [(int(start + a * HOUR), int(start + b * HOUR)) for a, b in at])
            for name, kind, action, namespace, at in WINDOWS
        ]
        said = [
            {"name": name, "kind": kind, "at": at} | ({"a": [f"^{action}$"]} if action else {})
            | ({"n": [f"^{namespace}$"]} if namespace else {})
            for name, kind, action, namespace, at in self.windows
        ]  # fmt: skip
        self.start(windows=said, windows_until=start + AHEAD, person_ms=PERSON, storm_new=STORM_NEW,
                   storm_window=STORM_WINDOW, storm_failing=SHARE)  # fmt: skip
        self.mode, self.parts, self.lifted, self.embargo = "run", {}, 0, 0
        self.storm, self.numbers = Storm(), itertools.count(1)
        self.own: list[str] = []
        self.incidents = {}
        for scope in SCOPES:
            assert not self.storm.weather(self.now, 1)
            self.incidents[scope] = self.world.fire(scope=scope, namespace=SCOPES[scope])["incident"]
            self.storm.opened.append(self.now)
            self.storm.failing += 1

    def halted(self, namespace: str, action: str) -> int:
        covers = {f"tenant.{TENANT}", f"cluster.{TENANT}.{CLUSTER}", f"namespace.{namespace}", f"action.{action}"}
        return max([MODES[self.mode], *(VALUES[value] for part, value in self.parts.items() if part in covers)])

    def within(self, kind: str, namespace: str, action: str, now: int) -> tuple[str, int] | None:
        those = [at for _, its, a, n, at in self.windows if its == kind and a in ("", action) and n in ("", namespace)]
        spans = sorted(span for at in those for span in at)
        check = {"maintenance": "window", "freeze": "change-freeze"}[kind]
        if not those:
            return None
        if now >= type(self).at + AHEAD:
            return check, 0
        inside = [(a, b) for a, b in spans if a <= now < b]
        if kind == "maintenance":
            later = [a for a, _ in spans if a > now]
            return None if inside else (check, min(later, default=type(self).at + AHEAD))
        if not inside:
            return None
        end = now  # the first moment that lies in none of them
        while over := [b for a, b in spans if a <= end < b]:
            end = max(over)
        return check, end

    def windowed(self, namespace: str, action: str, now: int) -> tuple[str, int] | None:
        return self.within("maintenance", namespace, action, now) or self.within("freeze", namespace, action, now)

    def judge(self, scope: str, action: str, asked: dict[str, Any], now: int) -> tuple[str, int]:
        """The check that refuses, and when to come back; empty for none."""
        namespace = SCOPES[scope]
        if mode := self.halted(namespace, action):
            return ("", "stop", "freeze")[mode], 0
        if asked["expires"] and now > asked["expires"]:
            return "expired", now
        if asked["taken_at"] < self.lifted or now - asked["taken_at"] > STALE:
            return "stale", now
        if self.storm.since and not asked["manual"]:
            return "storm", now + CALM
        if asked["protected"]:
            return "protected", 0
        if refused := self.within("maintenance", namespace, action, now) or self.within(
            "freeze", namespace, action, now
        ):
            return refused
        if self.embargo > now:
            return "embargo", self.embargo
        if not asked["manual"]:
            if asked["paused"]:
                return "person", 0
            if asked["changed_at"] and now < asked["changed_at"] + PERSON:
                return "person", asked["changed_at"] + PERSON
            if asked["rolling_out"] and now < asked["changed_at"] + HOUR:
                return "person", now + STALE
        return "", 0

    def ask(self, scope: str, action: str, asked: dict[str, Any], *, weigh: bool = True) -> None:
        check, retry_at = self.judge(scope, action, asked, self.now)
        answer = self.admit(
            check,
            retry_at,
            self.incidents[scope],
            scope=scope,
            namespace=SCOPES[scope],
            action=action,
            weigh=weigh,
            **asked,
        )
        if not check:
            self.world.finish(answer["grant"], "unused", run="")

    def look_around(self) -> None:
        """Everybody asks for everything, with nothing special about it."""
        for scope, action in itertools.product(SCOPES, ACTIONS):
            plain = dict.fromkeys(("protected", "manual", "paused", "rolling_out"), False)
            self.ask(scope, action, {"expires": 0, "taken_at": self.now, "changed_at": 0, **plain}, weigh=False)

    @rule(scope=scopes, action=st.sampled_from(ACTIONS), said=st.lists(FACTS, min_size=3, max_size=6),
          free=st.sampled_from([True, True, True, False]))  # fmt: skip
    def propose(self, scope: str, action: str, said: list[dict[str, Any]], free: bool) -> None:
        """A time and what is so are told from now; `free`: no stop is in the way of it."""
        if free and self.halted(SCOPES[scope], action):
            self.told("run", {})
        for told in said:
            asked, now = dict(told), self.now
            left, age, changed = asked.pop("left"), asked.pop("age"), asked.pop("changed")
            asked["expires"] = 0 if left is None else now + left
            asked["changed_at"] = 0 if changed is None else now - changed
            self.ask(scope, action, {**asked, "taken_at": now - age})

    def load(self, **more: Any) -> None:
        self.world.load(**more)
        self.storm.weather(self.now)

    def told(self, mode: str, parts: dict[str, str]) -> None:
        lifted = MODES[mode] < MODES[self.mode] or bool(self.parts.keys() - parts.keys())
        stop = {"mode": mode, "reason": "", "by": "tests", "since": f"since {next(self.numbers)}", "scopes": parts}
        self.load(stop=stop)
        self.mode, self.parts = mode, parts
        if lifted:
            self.lifted = self.now
        self.look_around()

    @rule(mode=st.sampled_from(["run", "run", "stop", "freeze"]))
    def stop(self, mode: str) -> None:
        self.told(mode, dict(self.parts))

    @rule(part=st.sampled_from(PARTS), value=st.sampled_from(list(VALUES)))
    def stop_a_part(self, part: str, value: str) -> None:
        self.told(self.mode, self.parts | {part: value})

    @precondition(lambda self: self.parts)
    @rule(data=st.data())
    def lift_a_part(self, data: st.DataObject) -> None:
        part = data.draw(st.sampled_from(sorted(self.parts)))
        self.told(self.mode, {name: value for name, value in self.parts.items() if name != part})

    @rule()
    def lift_all(self) -> None:
        self.told("run", {})

    @rule(ms=st.sampled_from([0, MINUTE, HOUR]))
    def forbid(self, ms: int) -> None:
        self.embargo = self.now + ms
        self.world.redis.hset("{akeso}:epoch", "embargo_until", self.embargo)
        self.look_around()

    @rule(count=st.integers(1, STORM_NEW + 1))
    def alerts(self, count: int) -> None:
        for _ in range(count):
            number = next(self.numbers)
            said = self.world.fire(f"fp {number}", scope=f"Deployment/more/s{number}", namespace="more")
            if self.storm.weather(self.now, 1):
                assert said["result"] in ("told", "joined"), said
                assert self.world.incident(said["incident"])["family"] == "storm"
                if said["result"] == "told":
                    self.storm.opened.append(self.now)
            else:
                assert said["result"] == "triage", said
                self.storm.opened.append(self.now)
                self.storm.failing += 1
                self.own.append(f"fp {number}")
        self.look_around()

    @rule(count=st.integers(1, 20))
    def resolve(self, count: int) -> None:
        self.resolve_some(count)

    def resolve_some(self, count: int) -> None:
        for name in self.own[:count]:
            assert self.now  # the scripts see this time, too
            assert self.world.resolve(name)["result"] == "closed"
            self.storm.failing -= 1
        del self.own[:count]

    @rule(early=st.sampled_from([0, 1]))
    def calm_down(self, early: int) -> None:
        self.resolve_some(len(self.own))
        for ms in (STORM_WINDOW, CALM - early):
            self.world.sim.jump(self.now + ms)
            self.load()
        self.look_around()

    @rule(counted=st.booleans())
    def look(self, counted: bool) -> None:
        if counted:
            self.storm.targets = TARGETS
        self.load(targets={"count": TARGETS} if counted else None)
        self.look_around()

    @rule(edge=st.sampled_from(EDGES), early=st.sampled_from([0, 1]))
    def go_to_an_edge(self, edge: float, early: int) -> None:
        at = int(type(self).at + edge * HOUR) - early
        if at > self.world.now:
            self.world.sim.jump(at)
            self.look_around()

    @rule(ms=st.sampled_from(SPANS))
    def pass_time(self, ms: int) -> None:
        self.go_on(ms, expiring=False)

    @rule(ms=st.sampled_from(LONG))
    def pass_long(self, ms: int) -> None:
        self.go_on(ms, expiring=False)

    @rule(ms=st.sampled_from([1, MINUTE, HOUR]))
    def step_back(self, ms: int) -> None:
        self.world.sim.jump(self.world.now - ms)
