"""Breakers closed, open and half-open with their one probe, and back-off, in any order."""

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, multiple, rule

from tests.state.machines.played import Played
from tests.state.world import DAY, HOUR, MINUTE, RUN_IN, SECOND, START_IN

SCOPES = ("Deployment/shop/a", "Deployment/shop/b", "Pod/shop/c", "Pod/shop/d")
PROBING = ("Deployment/shop/p1", "Deployment/shop/p2", "Deployment/shop/p3")  # nothing is ever under way there
ENDS = ("verified", "ineffective", "failed", "failed", "unused", "unknown", "dies")
ACTIONS = ("restart", "scale")
FAILURES, WINDOW, OPEN, BASE, MOST, COOLDOWN = 2, 10 * MINUTE, 5 * MINUTE, 4 * MINUTE, 8 * MINUTE, MINUTE
SPANS = (1, SECOND, MINUTE, COOLDOWN, MOST, OPEN - 1, OPEN, WINDOW, START_IN + RUN_IN, HOUR)
Place = tuple[str, str]  # action and kind of target


@dataclass
class Attempt:
    id: str
    scope: str
    action: str
    finish_by: int

    @property
    def place(self) -> Place:
        return self.action, self.scope.split("/", maxsplit=1)[0]


@dataclass
class Breaker:
    opened: bool = False
    until: int = 0
    fails: list[int] = field(default_factory=list)
    probe: str = ""
    probe_until: int = 0


@dataclass
class Scope:
    live: str = ""
    lease: str = ""
    lease_until: int = 0
    cooldown: int = 0
    backoff: int = 0
    fails: int = 0
    failed_at: int = 0


class Model:
    """All times in ms."""

    def __init__(self) -> None:
        self.breakers = {
            (action, kind): Breaker() for action, kind in itertools.product(ACTIONS, ("Deployment", "Pod"))
        }
        self.scopes = {name: Scope() for name in (*SCOPES, *PROBING)}

    def judge(self, name: str, action: str, now: int) -> tuple[str, int]:
        """The check that refuses, and when to come back; empty for none."""
        scope, breaker = self.scopes[name], self.breakers[(action, name.split("/", maxsplit=1)[0])]
        half_open = breaker.opened and now >= breaker.until
        for check, fails, again in (
            ("live", scope.live, 0),
            ("cooldown", scope.cooldown > now, scope.cooldown),
            ("lease", scope.lease and scope.lease_until > now, scope.lease_until),
            ("breaker", breaker.opened and not half_open, breaker.until),
            ("breaker", half_open and breaker.probe and breaker.probe_until > now, breaker.probe_until),
            ("backoff", scope.backoff > now, scope.backoff),
        ):
            if fails:
                return check, again
        return "", 0

    def take(self, attempt: Attempt) -> bool:
        """Whether it is the probe of a half-open breaker."""
        scope, breaker = self.scopes[attempt.scope], self.breakers[attempt.place]
        scope.live, scope.lease, scope.lease_until = attempt.id, attempt.id, attempt.finish_by
        if breaker.opened:
            breaker.probe, breaker.probe_until = attempt.id, attempt.finish_by
        return breaker.opened

    def end(self, attempt: Attempt, outcome: str, now: int) -> None:
        scope, breaker = self.scopes[attempt.scope], self.breakers[attempt.place]
        scope.live = ""
        if outcome not in ("unused", "skipped"):
            scope.cooldown = max(scope.cooldown, now + COOLDOWN)
        if outcome == "succeeded":
            scope.live = attempt.id
            if scope.lease in ("", attempt.id) or scope.lease_until <= now:
                scope.lease, scope.lease_until = attempt.id, now + HOUR
            if breaker.probe == attempt.id:
                breaker.probe_until = now + HOUR
            return
        if outcome == "failed":
            self.failed(attempt, now)
        elif breaker.probe == attempt.id:
            breaker.probe = ""
        if outcome != "unknown" and scope.lease == attempt.id:
            scope.lease = ""

    def failed(self, attempt: Attempt, now: int) -> None:
        scope, breaker = self.scopes[attempt.scope], self.breakers[attempt.place]
        if not breaker.opened:
            breaker.fails = [at for at in breaker.fails if at > now - WINDOW] + [now]
        if (breaker.opened and breaker.probe == attempt.id) or len(breaker.fails) >= FAILURES:
            self.breakers[attempt.place] = Breaker(opened=True, until=now + OPEN)
        scope.fails = scope.fails + 1 if scope.failed_at > now - DAY else 1
        span = min(MOST, BASE * 2 ** (scope.fails - 1))
        jitter = int(hashlib.sha1(attempt.id.encode(), usedforsecurity=False).hexdigest()[:4], 16) / 65535
        scope.failed_at, scope.backoff = now, now + int(span * (1 + jitter) / 2)

    def judged(self, attempt: Attempt, verdict: str, now: int) -> None:
        scope, breaker = self.scopes[attempt.scope], self.breakers[attempt.place]
        scope.live = ""
        if scope.lease == attempt.id:
            scope.lease = ""
        if verdict in ("ineffective", "harmful"):
            self.failed(attempt, now)
            return
        if breaker.probe == attempt.id:
            breaker.probe = ""
            if verdict == "verified":
                self.breakers[attempt.place] = Breaker()
        if verdict == "verified":
            scope.fails = scope.failed_at = scope.backoff = 0


class Breakers(Played):
    """`probes` counts over all worlds how often a half-open breaker let one attempt through."""

    probes: ClassVar[int] = 0
    grants = Bundle("grants")
    begun = Bundle("begun")
    soaking = Bundle("soaking")
    scopes: ClassVar[Any] = st.sampled_from(SCOPES)
    actions: ClassVar[Any] = st.sampled_from(ACTIONS)

    @initialize()
    def begin_anew(self) -> None:
        self.start(
            breaker_failures=FAILURES, breaker_window=WINDOW, breaker_open=OPEN, backoff_base=BASE, backoff_max=MOST
        )
        self.model = Model()
        self.numbers = itertools.count(1)
        self.prints: dict[str, str] = {}
        self.incidents: dict[str, str] = {}
        for scope in (*SCOPES, *PROBING):
            self.fire(scope)

    def fire(self, scope: str) -> None:
        self.prints[scope] = f"{scope} {next(self.numbers)}"
        self.incidents[scope] = self.world.fire(self.prints[scope], scope=scope)["incident"]

    def ask(self, scope: str, action: str, *, weigh: bool = True) -> Attempt | None:
        check, retry_at = self.model.judge(scope, action, self.now)
        answer = self.admit(
            check, retry_at, self.incidents[scope], scope=scope, action=action, cooldown=COOLDOWN, soak=0, weigh=weigh
        )
        if check:
            return None
        attempt = Attempt(answer["grant"], scope, action, answer["finish_by"])
        if self.model.take(attempt):
            type(self).probes += 1
        return attempt

    def ended(self, attempt: Attempt, outcome: str) -> None:
        self.world.finish(attempt.id, outcome, run="" if outcome == "unused" else "run-1")
        self.model.end(attempt, outcome, self.now)

    def verdict(self, attempt: Attempt, word: str) -> None:
        known, healthy, worse = word != "unknown", word == "verified", word == "harmful"
        if healthy:
            self.world.resolve(self.prints[attempt.scope])
        self.world.heartbeat()
        said = self.world.verdict(attempt.id, known=known, healthy=healthy, worse=worse)
        assert said["verdict"] == word
        self.model.judged(attempt, word, self.now)
        if healthy:
            self.fire(attempt.scope)

    @rule(target=grants, scope=scopes, action=actions)
    def propose(self, scope: str, action: str) -> Any:
        return self.ask(scope, action) or multiple()

    @rule(target=begun, attempt=consumes(grants))
    def begin(self, attempt: Attempt) -> Any:
        if self.world.begin(attempt.id)["go"]:
            return attempt
        self.ended(attempt, "unused")
        return multiple()

    @rule(attempt=consumes(grants))
    def never_begin(self, attempt: Attempt) -> None:
        self.ended(attempt, "unused")

    @rule(target=soaking, attempt=consumes(begun), outcome=st.sampled_from(
        ["succeeded", "succeeded", "failed", "failed", "stopped", "unknown", "skipped"]))  # fmt: skip
    def finish(self, attempt: Attempt, outcome: str) -> Any:
        self.ended(attempt, outcome)
        return attempt if outcome == "succeeded" else multiple()

    @rule(attempt=consumes(soaking), word=st.sampled_from(["verified", "ineffective", "harmful", "unknown"]))
    def judge(self, attempt: Attempt, word: str) -> None:
        self.verdict(attempt, word)

    @rule(action=actions, words=st.lists(st.sampled_from(ENDS), min_size=6, max_size=14))
    def be_half_open_again_and_again(self, action: str, words: list[str]) -> None:
        """Opened if it is not, waited for to the millisecond, and then everybody wants to be the probe."""
        for word in words:
            self.world.sim.jump(self.now + MOST)
            for scope in PROBING:
                if not self.model.breakers[(action, "Deployment")].opened:
                    self.whole(scope, action, "failed")
            breaker = self.model.breakers[(action, "Deployment")]
            if breaker.opened and self.now < breaker.until:
                self.world.sim.jump(breaker.until - 1)
                self.ask(PROBING[0], action, weigh=False)
                self.world.sim.jump(breaker.until)
            for scope in PROBING:
                self.whole(scope, action, word)

    @rule(action=actions, ms=st.sampled_from([WINDOW - 1, WINDOW]))
    def fail_now_and_then(self, action: str, ms: int) -> None:
        self.world.sim.jump(self.now + WINDOW)
        self.whole(PROBING[0], action, "verified")
        for scope in PROBING:
            self.world.sim.jump(self.now + ms)
            self.whole(scope, action, "failed")

    def whole(self, scope: str, action: str, word: str) -> None:
        """Ask, and carry what was granted to that end."""
        attempt = self.ask(scope, action, weigh=False)
        if not attempt:
            return
        if word == "unused":
            self.ended(attempt, word)
            return
        assert self.world.begin(attempt.id)["go"]
        if word == "dies":  # only its lease ends it
            self.world.sim.jump(attempt.finish_by - 1)
            self.ask(PROBING[0], action, weigh=False)
            self.world.sim.jump(attempt.finish_by)
            self.ask(PROBING[0], action, weigh=False)
            self.ended(attempt, "failed")
        elif word in ("failed", "unknown"):
            self.ended(attempt, word)
        else:
            self.ended(attempt, "succeeded")
            self.verdict(attempt, word)

    @rule(ms=st.sampled_from(SPANS), expiring=st.booleans())
    def pass_time(self, ms: int, expiring: bool) -> None:
        self.go_on(ms, expiring)

    @rule(ms=st.sampled_from([1, MINUTE, HOUR]))
    def step_back(self, ms: int) -> None:
        self.world.sim.jump(self.world.now - ms)
