"""How far the machine may go: labels, rules, the ladder, risk, and the yes of one or two people, in any order."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.state.machines.played import Played
from tests.state.world import HOUR, MINUTE

SCOPES = {"Deployment/one/a": "one", "Deployment/two/b": "two", "Node/n": ""}
ACTIONS = ("restart", "drain", "scale")
LEVELS = ("off", "observe", "suggest", "approve", "auto")
APPROVAL, APPROVE, REFUSE, DEMOTE, PROMOTE, FALSE = 60 * MINUTE, 60, 90, 2, 2, 50
RULES = (
    {"a": ["^scale$"], "s": ["^warning$", "^page$"], "most": 4, "text": "beside the others", "on": True},
    {"a": ["^drain$"], "k": ["^Node$"], "autonomy": "off", "text": "never"},
    {"a": ["^drain$"], "approvers": 2, "text": "four eyes"},
    {"n": ["^tw.*$"], "s": ["^warning$"], "autonomy": "approve", "text": "two"},
    {"n": ["^one$"], "s": ["^critical$", "^page$"], "approvers": 2, "most": 3, "least": 1, "text": "bad in one"},
    {"a": ["^scale$"], "n": ["^one$"], "s": ["^info$"], "autonomy": "off", "text": "not worth it"},
    {"n": ["^one$"], "s": ["^.*$"], "autonomy": "auto", "most": 4, "text": "free"},
)
MOVES = ({}, {}, {"up": 3}, {"up": 4}, {"up": 5}, {"down": 1}, {"down": 0})
SEVERITIES = ("warning", "info", "critical", "page", "")
ENDS = ("verified", "verified", "verified", "ineffective", "harmful", "failed", "unknown")
PLAIN: dict[str, Any] = {
    "autonomy": "auto", "risk": {}, "manual": False, "author": "", "approvers": [], "approved_hash": "",
    "plan_hash": "plain", "replicas": {},
}  # fmt: skip


@dataclass
class Record:
    row: int = 0
    low: int = 0
    n: int = 0
    bad: int = 0


@dataclass
class Hold:
    id: str
    action: str
    deadline: int
    needs: int
    plan_hash: str
    given: list[str]
    answered: bool = False


@dataclass
class Model:
    hours: list[tuple[int, int]]
    severities: dict[str, set[str]] = field(default_factory=lambda: {scope: set() for scope in SCOPES})
    caps: dict[tuple[str, str], int] = field(default_factory=dict)
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    void: int = 0
    demoted: int = 0
    proposed: int = 0

    def rule(self, scope: str, action: str) -> dict[str, Any]:
        """What the strictest of the rules says that bind any severity which was ever told of the scope."""
        bound: list[dict[str, Any]] = []
        for severity in self.severities[scope]:
            fits = [one for one in RULES if self.meets(one, scope, action)]
            hits = [
                number for number, one in enumerate(fits)
                if "s" not in one or any(re.match(glob, severity) for glob in one["s"])
            ]  # fmt: skip
            first = next((number for number in hits if "on" not in fits[number]), len(fits))
            beside = [fits[number] for number in hits if number < first]
            bound += fits[: first + 1] if not severity else [*beside, *fits[first : first + 1]]
        levels = [LEVELS.index(one.get("autonomy", "auto")) for one in bound]
        return {
            "autonomy": LEVELS[min(levels, default=4)],
            "approvers": max((one.get("approvers", 1) for one in bound), default=1),
            "most": min((one["most"] for one in bound if "most" in one), default=None),
            "least": max((one["least"] for one in bound if "least" in one), default=None),
        }

    @staticmethod
    def meets(rule: dict[str, Any], scope: str, action: str) -> bool:
        asked = {"a": action, "n": SCOPES[scope], "k": scope.partition("/")[0]}
        return all(any(re.match(glob, value) for glob in rule.get(key, ["^"])) for key, value in asked.items())

    def level(self, scope: str, asked: dict[str, Any]) -> int:
        its = self.rule(scope, asked["action"]).get("autonomy", "auto")
        level = min(LEVELS.index(asked["autonomy"]), LEVELS.index(its))
        return level if asked["manual"] else min(level, self.caps.get((scope, asked["action"]), 4))

    def risk(self, scope: str, asked: dict[str, Any], now: int) -> int:
        record = self.records.get((scope, asked["action"]), Record())
        outside = not any(start <= now < end for start, end in self.hours)
        return min(100, sum(asked["risk"].values()) + min(20, 5 * record.bad + 5 * record.low) + 10 * outside)

    def judge(self, scope: str, asked: dict[str, Any], now: int) -> str:
        """The check that refuses; empty for none."""
        its, level, risk = self.rule(scope, asked["action"]), self.level(scope, asked), self.risk(scope, asked, now)
        if its.get("autonomy") == "off":
            return "rule"
        most, least, to = its["most"], its["least"], asked["replicas"]
        if most is not None and to.get("up", 0) > most:
            return "bounds"
        if least is not None and to.get("down", least) < least:
            return "bounds"
        if level == 0 or (asked["manual"] and level == 1):
            return "autonomy"
        if level == 2 and not asked["manual"]:
            return "suggest"
        if risk >= REFUSE:
            return "risk"
        if level == 1:
            return "observe"
        needs = its.get("approvers", 1)
        if level in (2, 3) or risk >= APPROVE or needs > 1 or asked["action"] == "scale":
            if asked["approved_hash"] not in ("", asked["plan_hash"]):
                return "approval"
            if len(asked["approvers"]) < needs:
                return "approval"
        return ""

    def learn(self, scope: str, action: str, level: int, word: str) -> None:
        record = self.records.setdefault((scope, action), Record())
        record.n += 1
        if word == "verified":
            record.row, record.low = record.row + 1, 0
            self.proposed += level < 4 and record.row >= PROMOTE and record.bad * 100 <= FALSE * record.n
            return
        record.row, record.low, record.bad = 0, record.low + 1, record.bad + 1
        if word == "harmful" or record.low >= DEMOTE:
            cap = self.caps.get((scope, action), 4)
            to = 1 if word == "harmful" else max(1, cap - 1)
            self.demoted += to < cap
            self.caps[(scope, action)] = min(cap, to)

    def answer(self, scope: str, word: str, hold: str, who: str, now: int) -> dict[str, Any]:
        """What a yes, a no or a missed deadline is answered with, without the texts."""
        held = self.holds.get(scope)
        if held is None or held.id != hold or held.answered or (word == "approve" and now > held.deadline):
            return {"no": True}
        if word != "approve":
            del self.holds[scope]
            return {"done": True}
        known = who in held.given
        held.given += [] if known else [who]
        if len(held.given) < held.needs:
            return {"no": True} if known else {"done": True, "missing": held.needs - len(held.given)}
        held.answered = True
        return {"done": True}


class Ladder(Played):
    scopes: ClassVar[Any] = st.sampled_from(list(SCOPES))

    @initialize()
    def begin_anew(self) -> None:
        start = type(self).at
        hours = [(start + 2 * n * HOUR, start + (2 * n + 1) * HOUR) for n in range(100)]
        self.start(
            rules=list(RULES), hold=["scale"], approval_ms=APPROVAL, risk_approve=APPROVE, risk_refuse=REFUSE,
            demote_after=DEMOTE, promote_after=PROMOTE, promote_false=FALSE, hours=hours,
        )  # fmt: skip
        self.model = Model(hours)
        self.numbers = itertools.count(1)
        self.prints: dict[str, str] = {}
        self.incidents: dict[str, str] = {}
        for scope in SCOPES:
            self.fire(scope)

    def fire(self, scope: str) -> None:
        self.prints[scope] = f"{scope} {next(self.numbers)}"
        fired = self.world.fire(self.prints[scope], scope=scope, namespace=SCOPES[scope])
        self.incidents[scope] = fired["incident"]
        self.model.severities[scope].add("warning")

    def ask(self, scope: str, end: str, **asked: Any) -> None:
        """Ask, and carry what was granted to its end."""
        self.world.advance(2 * MINUTE)  # over every cooldown
        check = self.model.judge(scope, asked, self.now)
        level = self.model.level(scope, asked)
        answer = self.admit(
            check, 0, self.incidents[scope], scope=scope, namespace=SCOPES[scope], soak=0, cooldown=0, **asked
        )
        assert answer["risk"] == self.model.risk(scope, asked, self.now)
        self.model.void += bool(check and asked["approvers"] and asked["approved_hash"])
        if check == "approval":
            given = list(asked["approvers"]) if asked["manual"] else []  # who asks for it has said yes, where he may
            self.model.holds[scope] = Hold(answer["hold"], asked["action"], answer["deadline"], answer["needs"],
                                           asked["plan_hash"], given)  # fmt: skip
            assert answer["deadline"] == self.now + APPROVAL
            assert answer["needs"] == self.model.rule(scope, asked["action"]).get("approvers", 1)
        if not check:
            self.model.holds.pop(scope, None)
            self.carried(scope, answer["grant"], asked["action"], level, end)
        self.agree()

    def carried(self, scope: str, grant: str, action: str, level: int, end: str) -> None:
        assert self.world.begin(grant)["go"]
        if end == "failed":
            self.world.finish(grant, "failed")
            return
        self.world.finish(grant)
        self.world.heartbeat()
        if end == "verified":
            self.world.resolve(self.prints[scope])
        cause = self.world.cause("verifier")
        seen = {"known": end != "unknown", "healthy": end == "verified", "worse": end == "harmful"}
        assert self.world.verdict(grant, cause=cause, **seen)["verdict"] == end
        if end != "unknown":
            self.model.learn(scope, action, level, end)
        self.world.verdict(grant, cause=cause, known=True, healthy=False, worse=True)  # again: moves nothing
        if end == "verified":
            self.fire(scope)
        elif end != "unknown":  # what it may do now that it did no good
            self.ask(scope, "failed", action=action, **PLAIN)

    def agree(self) -> None:
        def told(name: str) -> int:
            return sum(self.world.counters(name).values())

        assert told("approvals_void_total") == self.model.void
        assert told("demotions_total") == self.model.demoted
        assert told("promotions_proposed_total") == self.model.proposed

    @rule(
        scope=scopes, action=st.sampled_from(ACTIONS), autonomy=st.sampled_from((*LEVELS, "auto", "auto")),
        points=st.sampled_from([0, 0, 0, 49, 50, 60, 89, 90, 1000]), manual=st.sampled_from([False, False, True]),
        author=st.sampled_from(["", "", "ann"]), end=st.sampled_from(ENDS), to=st.sampled_from(MOVES),
    )  # fmt: skip
    def propose(
        self, scope: str, action: str, autonomy: str, points: int, manual: bool, author: str, end: str,
        to: dict[str, int],
    ) -> None:  # fmt: skip
        self.ask(
            scope, end, action=action, autonomy=autonomy, risk={"action": points}, manual=manual, author=author,
            approvers=[], approved_hash="", plan_hash=f"hash of {action}", replicas=to,
        )  # fmt: skip

    @rule(
        scope=scopes, word=st.sampled_from(["approve", "approve", "approve", "deny", "expired"]),
        late=st.integers(0, 9),
        voices=st.lists(st.sampled_from(["ann", "bob"]), min_size=1, max_size=3),
        same=st.sampled_from([True, True, False]), end=st.sampled_from(ENDS),
    )  # fmt: skip
    def answer(self, scope: str, word: str, late: int, voices: list[str], same: bool, end: str) -> None:
        """People answer, in time or not; a yes is asked again at once, perhaps with another plan."""
        held = self.model.holds.get(scope)
        if held is None:
            return
        if late <= 1:
            self.world.sim.jump(held.deadline + late)
        for who in voices:
            expected = self.model.answer(scope, word, held.id, who, self.now)
            said = self.world.answer(word, self.incidents[scope], held.id, who=who)
            assert bool(said.get("no")) == bool(expected.get("no")), (said, expected, held, self.now)
            assert said.get("missing") == expected.get("missing")
        if held.answered:
            entry = self.world.entry("retry", self.incidents[scope])
            assert (entry["approvers"], entry["approved_hash"]) == (held.given, held.plan_hash)
            self.world.request(self.incidents[scope], hold=held.id)
            self.model.holds.pop(scope)
            again = {
                "approvers": entry["approvers"], "approved_hash": entry["approved_hash"],
                "plan_hash": held.plan_hash if same else "another",
            }  # fmt: skip
            self.ask(scope, end, action=held.action, **{**PLAIN, **again})

    @rule(scope=scopes, action=st.sampled_from(ACTIONS))
    def promote(self, scope: str, action: str) -> None:
        cap = self.model.caps.get((scope, action))
        said = self.world.state.settle(
            self.world.cause("api"), "promote", scope=scope, action=action, who="ann", reason="it has learnt"
        )
        if cap is None or cap == LEVELS.index("auto"):
            assert "no" in said
            return
        self.model.caps[(scope, action)] = cap + 1
        self.model.records[(scope, action)].low = 0
        assert said["cap"] == LEVELS[cap + 1]

    @rule(scope=scopes, severity=st.sampled_from(SEVERITIES))
    def join(self, scope: str, severity: str) -> None:
        """Another alert of the same, which has gone again at once; how bad it was is not forgotten."""
        name = f"{scope} {next(self.numbers)}"
        fired = self.world.fire(name, scope=scope, namespace=SCOPES[scope], severity=severity)
        assert fired["incident"] == self.incidents[scope]
        self.world.resolve(name)
        self.model.severities[scope].add(severity)

    @rule(ms=st.sampled_from([MINUTE, HOUR]), expiring=st.booleans())
    def pass_time(self, ms: int, expiring: bool) -> None:
        self.go_on(ms, expiring)
