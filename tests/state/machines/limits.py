"""Leases with their width and fence, attempts, concurrency, blast radius, rates, cooldown and epoch, in any order."""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, multiple, rule

from tests.state.machines.played import Played
from tests.state.world import COOLDOWN, DAY, HOUR, MINUTE, RUN_IN, SECOND, SOAK, START_IN

SCOPES = {
    "Deployment/one/a": "one", "Deployment/one/b": "one", "Pod/one/c": "one", "Deployment/two/d": "two", "Node/x": "",
    "Node/y": "",
}  # fmt: skip
POOLS = {"Node/x": "blue", "Node/y": "red"}
FAMILIES = ("one", "two")
SPANS = (1, SECOND, MINUTE, COOLDOWN, 10 * MINUTE, START_IN + RUN_IN, HOUR, DAY)
POD_POPULATION, NAMESPACE_PODS, NODES, POOL_NODES = 4, 7, 20, 10
SHARES = {"blast_workload": 25, "blast_namespace": 30, "blast_pool": 20, "blast_nodes": 10, "blast_most": 3}
Key = tuple[str, str]


class Wish(NamedTuple):
    action: str
    width: str = "scope"
    unit: str = "none"
    count: int = 0


WISHES = (
    Wish("scale"), Wish("restart", unit="pod", count=1), Wish("restart", unit="pod", count=3),
    Wish("sweep", "namespace", "pod", 1), Wish("drain", "node", "node", 1), Wish("cordon", unit="node", count=1),
)  # fmt: skip


@dataclass
class Granted:
    id: str
    key: Key
    wish: Wish
    at: int
    epoch: str
    fence: int
    start_by: int
    finish_by: int
    state: str = "granted"

    @property
    def namespace(self) -> str:
        return SCOPES[self.key[0]]

    @property
    def pool(self) -> str:
        return POOLS.get(self.key[0], "") if self.wish.unit == "node" else ""


@dataclass
class Model:
    """All times in ms. What was granted is kept for ever, and so is forgotten by nothing but these lines."""

    policy: dict[str, Any]
    mode: str = "run"
    cooldown: dict[str, int] = field(default_factory=dict)
    lease: dict[str, tuple[str, int]] = field(default_factory=dict)
    under_way: dict[str, tuple[Granted, int, bool]] = field(default_factory=dict)  # with its end, and whether it runs
    attempts: list[Granted] = field(default_factory=list)
    spent: list[Granted] = field(default_factory=list)
    live: dict[Key, str] = field(default_factory=dict)

    def judge(self, key: Key, wish: Wish, now: int) -> tuple[str, int]:
        """The check that refuses, and when to come back; empty for none."""
        scope, namespace = key[0], SCOPES[key[0]]
        if self.mode != "run":
            return "stop", 0
        if self.live.get(key):
            return "live", 0
        if self.cooldown.get(scope, 0) > now:
            return "cooldown", self.cooldown[scope]
        if until := self.taken(key, wish, now):
            return "lease", until
        if len([one for one in self.attempts if one.key == key and one.at > now - DAY]) >= self.policy["attempts"]:
            return "attempts", 0
        runs = [(end, one.wish.action) for one, end, runs in self.under_way.values() if runs and end > now]
        for check, ends in (
            ("concurrency", [end for end, _ in runs]),
            ("concurrency-action", [end for end, action in runs if action == wish.action]),
        ):
            limit = self.policy[check.replace("-", "_")]
            if len(ends) >= limit:
                return check, sorted(ends)[len(ends) - limit]
        return self.blast(scope, wish, now) or self.rates(namespace, wish, now) or ("", 0)

    def taken(self, key: Key, wish: Wish, now: int) -> int:
        """Until when the last of all leases that are in its way runs; 0 when none is."""
        ends = []
        for one, end, _ in self.under_way.values():
            widths = {one.wish.width, wish.width}
            same_space = "namespace" in widths and one.namespace == SCOPES[key[0]]
            same_pool = widths == {"node"} and one.pool == POOLS.get(key[0], "")
            if end > now and one.key[0] != key[0] and (same_space or same_pool):
                ends.append(end)
        ends += [until for _, until in [self.lease.get(key[0], ("", 0))] if until > now]
        return max(ends, default=0)

    def blast(self, scope: str, wish: Wish, now: int) -> tuple[str, int] | None:
        if not wish.count:
            return None
        span = self.policy["blast_ms"]
        recent = [one for one in self.spent if one.wish.count and one.at > now - span]

        def share(population: int, name: str) -> int:
            return max(1, population * self.policy[name] // 100)

        asked = []
        if wish.unit == "pod":
            mine = [one for one in recent if one.key[0] == scope]
            here = [one for one in recent if one.namespace == SCOPES[scope]]
            asked.append(("blast-workload", mine, share(POD_POPULATION, "blast_workload")))
            asked.append(("blast-namespace", here, share(NAMESPACE_PODS, "blast_namespace")))
        else:
            pool = [one for one in recent if one.pool == POOLS.get(scope, "")]
            asked.append(("blast-pool", pool, share(POOL_NODES, "blast_pool")))
            nodes = [one for one in recent if one.wish.unit == "node"]
            asked.append(("blast-nodes", nodes, share(NODES, "blast_nodes")))
        asked.append(("blast-most", recent, self.policy["blast_most"]))
        for check, before, allowed in asked:
            if sum(one.wish.count for one in before) + wish.count > allowed:
                fits = [
                    one.at + span for number, one in enumerate(before)
                    if sum(later.wish.count for later in before[number + 1:]) + wish.count <= allowed
                ]  # fmt: skip
                return check, min(fits, default=0)
        return None

    def rates(self, namespace: str, wish: Wish, now: int) -> tuple[str, int] | None:
        for check, span, those in (
            ("rate-minute", MINUTE, self.spent),
            ("rate-hour", HOUR, self.spent),
            ("rate-action", HOUR, [one for one in self.spent if one.wish.action == wish.action]),
            ("rate-namespace", HOUR, [one for one in self.spent if one.namespace == namespace]),
        ):
            limit = self.policy[check.replace("-", "_")]
            recent = [one.at for one in those if one.at > now - span]
            if len(recent) >= limit:
                return check, recent[len(recent) - limit] + span
        return None

    def take(self, granted: Granted) -> None:
        self.lease[granted.key[0]] = (granted.id, granted.finish_by)
        self.under_way[granted.id] = (granted, granted.finish_by, True)
        self.attempts.append(granted)
        self.spent.append(granted)
        self.live[granted.key] = granted.id

    def may_begin(self, granted: Granted, epoch: str, fence: int, now: int) -> str:
        """The check that refuses; empty for none."""
        if granted.epoch != epoch:
            return "epoch"
        if self.mode != "run":
            return "stop"
        if self.lease.get(granted.key[0], ("", 0))[0] != granted.id or fence != granted.fence:
            return "lease"
        return "start-by" if granted.state == "granted" and now > granted.start_by else (
            "finish-by" if granted.state == "begun" and now > granted.finish_by else "")  # fmt: skip

    def end(self, granted: Granted, outcome: str, now: int) -> None:
        scope = granted.key[0]
        if outcome == "unused":
            self.spent.remove(granted)
            self.attempts.remove(granted)
        else:
            self.cooldown[scope] = max(self.cooldown.get(scope, 0), now + COOLDOWN)
        self.live.pop(granted.key, None)
        self.under_way.pop(granted.id, None)
        holder, until = self.lease.get(scope, ("", 0))
        if outcome == "succeeded":
            self.live[granted.key] = granted.id
            if holder in ("", granted.id) or until <= now:
                self.lease[scope] = (granted.id, now + SOAK + HOUR)
                self.under_way[granted.id] = (granted, now + SOAK + HOUR, False)
        elif holder == granted.id:
            del self.lease[scope]

    def judged(self, granted: Granted) -> None:
        self.live.pop(granted.key, None)
        self.under_way.pop(granted.id, None)
        if self.lease.get(granted.key[0], ("", 0))[0] == granted.id:
            del self.lease[granted.key[0]]


class Limits(Played):
    """Of the limits only some are tight in one world, or the others would never be met."""

    tight: ClassVar[dict[str, int]] = {"attempts": 1, "rate_minute": 3, "rate_hour": 5}
    grants = Bundle("grants")
    begun = Bundle("begun")
    soaking = Bundle("soaking")
    keys: ClassVar[Any] = st.tuples(st.sampled_from(list(SCOPES)), st.sampled_from(FAMILIES))

    @initialize()
    def begin_anew(self) -> None:
        self.start(**type(self).tight)
        self.model = Model(self.policy)
        self.incidents: dict[Key, str] = {}
        for scope, family in itertools.product(SCOPES, FAMILIES):
            opened = self.world.fire(f"{scope} {family}", scope=scope, family=family, namespace=SCOPES[scope])
            self.incidents[(scope, family)] = opened["incident"]

    def ask(self, key: Key, wish: Wish, *, weigh: bool = True) -> Granted | None:
        now, scope = self.now, key[0]
        check, retry_at = self.model.judge(key, wish, now)
        touches = {"unit": wish.unit, "count": wish.count, "population": 0, "pool": "", "pool_population": 0}
        if wish.unit == "pod":
            touches["population"] = POD_POPULATION
        elif wish.unit == "node":
            touches |= {"population": NODES, "pool": POOLS.get(scope, ""), "pool_population": POOL_NODES}
        answer = self.admit(
            check, retry_at, self.incidents[key], scope=scope, namespace=SCOPES[scope], action=wish.action,
            width=wish.width, touches=touches, namespace_pods=NAMESPACE_PODS, weigh=weigh,
        )  # fmt: skip
        if check:
            return None
        granted = Granted(
            answer["grant"], key, wish, now, answer["epoch"], answer["fence"], answer["start_by"], answer["finish_by"]
        )
        assert all(granted.fence > other.fence for other in self.model.spent), "a fence that does not grow"
        self.model.take(granted)
        return granted

    @rule(target=grants, key=keys, wish=st.sampled_from(WISHES))
    def propose(self, key: Key, wish: Wish) -> Any:
        return self.ask(key, wish) or multiple()

    @rule(target=grants, wishes=st.lists(st.sampled_from(WISHES), min_size=1, max_size=2))
    def crowd(self, wishes: list[Wish]) -> Any:
        """Everybody wants something at once."""
        asked = zip(itertools.product(SCOPES, FAMILIES), itertools.cycle(wishes), strict=False)
        return multiple(*(granted for key, wish in asked if (granted := self.ask(key, wish, weigh=False))))

    @rule(target=begun, granted=consumes(grants), stale=st.sampled_from([0, 0, 0, 1]))
    def begin(self, granted: Granted, stale: int) -> Any:
        fence = granted.fence - stale
        check = self.model.may_begin(granted, self.world.epoch(), fence, self.now)
        said = self.world.begin(granted.id, fence=fence)
        assert said.get("check", "") == check, (said, check)
        if check:
            self.world.finish(granted.id, "unused", run="")
            self.model.end(granted, "unused", self.now)
            return multiple()
        granted.state = "begun"
        return granted

    @rule(scope=st.sampled_from(list(SCOPES)), wish=st.sampled_from(WISHES))
    def overtake(self, scope: str, wish: Wish) -> None:
        """One sleeps past its lease, another takes the scope: the first one must notice before it goes on."""
        first = self.ask((scope, FAMILIES[0]), wish)
        if first is None:
            return
        self.world.sim.jump(first.finish_by)
        second = self.ask((scope, FAMILIES[1]), wish)
        check = self.model.may_begin(first, self.world.epoch(), first.fence, self.now)
        assert self.world.begin(first.id).get("check", "") == check
        for granted in filter(None, (first, second)):
            self.world.finish(granted.id, "unused", run="")
            self.model.end(granted, "unused", self.now)

    @rule(granted=begun)
    def go_on_with_the_step(self, granted: Granted) -> None:
        """The same run asks again before its next write: a lease that it lost meanwhile is noticed."""
        if granted.state == "begun":
            check = self.model.may_begin(granted, self.world.epoch(), granted.fence, self.now)
            said = self.world.begin(granted.id)
            assert said.get("check", "") == check, (said, check)

    @rule(target=soaking, granted=consumes(begun), outcome=st.sampled_from(["succeeded", "failed"]))
    def finish(self, granted: Granted, outcome: str) -> Any:
        assert self.world.finish(granted.id, outcome)["outcome"] == outcome
        self.model.end(granted, outcome, self.now)
        granted.state = "finished"
        before = self.world.dump()
        self.world.finish(granted.id, "failed", run="late")
        assert self.world.dump() == before, "a second end moved something"
        return granted if outcome == "succeeded" else multiple()

    @rule(granted=consumes(grants))
    def never_begin(self, granted: Granted) -> None:
        self.world.finish(granted.id, "unused", run="")
        self.model.end(granted, "unused", self.now)

    @rule(granted=consumes(soaking))
    def judge(self, granted: Granted) -> None:
        self.world.heartbeat()
        cause = self.world.cause("verifier")
        assert self.world.verdict(granted.id, healthy=False, cause=cause)["verdict"] == "ineffective"
        self.model.judged(granted)
        before = self.world.dump()
        self.world.verdict(granted.id, healthy=True, cause=cause)
        self.world.verdict(granted.id, healthy=True)
        assert self.world.budget() == {name: held for name, held in before.items() if name in self.world.budget()}

    @rule(key=keys, wish=st.sampled_from(WISHES), early=st.sampled_from([0, 0, 1]))
    def fail(self, key: Key, wish: Wish, early: int) -> None:
        """A whole attempt at once, as soon as it may be, so that limits over many of them are met."""
        _, retry_at = self.model.judge(key, wish, self.now)
        if retry_at > self.now:
            self.world.sim.jump(retry_at - early)
        granted = self.ask(key, wish)
        if granted:
            assert self.world.begin(granted.id)["go"]
            self.world.finish(granted.id, "failed")
            self.model.end(granted, "failed", self.now)

    @rule(ms=st.sampled_from(SPANS), expiring=st.booleans())
    def pass_time(self, ms: int, expiring: bool) -> None:
        self.go_on(ms, expiring)

    @rule(ms=st.sampled_from([1, MINUTE, HOUR]))
    def step_back(self, ms: int) -> None:
        self.world.sim.jump(self.world.now - ms)

    @rule(mode=st.sampled_from(["run", "run", "run", "run", "stop"]))
    def stop(self, mode: str) -> None:
        self.world.stop(mode)
        assert self.now
        self.model.mode = mode


class Crowded(Limits):
    tight: ClassVar[dict[str, int]] = {"concurrency": 2, "concurrency_action": 1}


class Named(Limits):
    tight: ClassVar[dict[str, int]] = {"rate_action": 3, "rate_namespace": 3}


class Blasts(Limits):
    tight: ClassVar[dict[str, int]] = SHARES
