import itertools
import random
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.state import client
from tests.conftest import ONE_ENGINE
from tests.state.machines.breakers import Breakers
from tests.state.machines.ladder import Ladder
from tests.state.machines.limits import Blasts, Crowded, Limits, Named
from tests.state.machines.memory import Memory
from tests.state.machines.played import Played
from tests.state.machines.times import Times
from tests.state.world import MINUTE, World

PLAYED = settings(
    max_examples=4, stateful_step_count=40, deadline=None, database=None, derandomize=True, print_blob=False,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate], report_multiple_bugs=False,
)  # fmt: skip
BROKEN = settings(PLAYED, max_examples=150)

# Each machine, in how many worlds it is played, and the checks that must be met there.
LONG: dict[type[Played], tuple[int, set[str]]] = {
    Limits: (15, {"live", "cooldown", "lease", "attempts", "rate-minute", "rate-hour"}),
    Crowded: (10, {"lease", "concurrency", "concurrency-action"}),
    Named: (15, {"rate-action", "rate-namespace"}),
    Blasts: (25, {"blast-workload", "blast-namespace", "blast-pool", "blast-nodes", "blast-most"}),
    Breakers: (26, {"live", "lease", "breaker", "backoff"}),
    Memory: (30, {"cooldown", "oscillation", "repeats", "resource-changes"}),
    Ladder: (35, {"rule", "autonomy", "suggest", "risk", "approval", "observe"}),
    Times: (25, {"stop", "freeze", "expired", "stale", "storm", "protected", "window", "change-freeze", "embargo",
                 "person"}),
}  # fmt: skip


class Without(NamedTuple):
    played: type[Played]
    script: str
    old: str
    new: str


# A guard that lets through what it should not: each line, and what stands in its place.
WITHOUT = {
    "stop": Without(Times, "admit", "return mode ~= 'run' and not undo, nil", "return false, nil"),
    "freeze": Without(Times, "admit", "if mode == 'freeze' then return true", "if mode == 'freeze' then return false"),
    "a stopped tenant": Without(Times, "admit", "'tenant.' .. req.tenant", "'tenant.'"),
    "a stopped cluster": Without(Times, "admit", "'cluster.' .. req.tenant", "'cluster' .. req.tenant"),
    "a stopped namespace": Without(Times, "admit", "'namespace.' .. namespace", "'namespace.'"),
    "a stopped action": Without(Times, "admit", "'action.' .. action,", "'action.',"),
    "a stop that nobody can read": Without(Times, "admit", "word == 'stop' and 'stop' or 'freeze'", "word or 'run'"),
    "live": Without(Limits, "admit", "return not blank(incident.attempt) or not blank(incident.soak)",
                    "return not blank(incident.soak)"),
    "expired": Without(Times, "admit", "return now > req.expires, nil", "return false, nil"),
    "stale": Without(Times, "admit", "return now - req.taken_at > STALE,", "return false,"),
    "what was asked before a stop was lifted": Without(Times, "admit",
        "if req.taken_at < lifted then", "if false then"),
    "storm": Without(Times, "admit", "if storm.since and not manual then", "if false then"),
    "a storm's end": Without(Times, "load", "elseif now - num(storm.calm_since) >= CALM then", "else"),
    "a storm by share": Without(Times, "open", "elseif share <= 100 and targets > 0 and failing >= 5", "elseif false"),
    "rule": Without(Ladder, "admit", "return rule.autonomy == 'off', nil", "return false, nil"),
    "protected": Without(Times, "admit", "return req.protected or any(", "return any("),
    "autonomy": Without(Ladder, "admit", "return level == 'off' or (manual and level == 'observe')", "return false"),
    "the ladder": Without(Ladder, "admit", "if not manual then at_most(", "if false then at_most("),
    "a rule's cap": Without(Ladder, "admit", "at_most(rule.autonomy)", ""),
    "the strictest of several severities": Without(Ladder, "admit",
        "for _, severity in ipairs(severe) do", "for _, severity in ipairs({ severe[1] }) do"),
    "a severity that joins": Without(Ladder, "open", "known[#known + 1] = said", ""),
    "a severity that nobody knows": Without(Ladder, "admit", "if fits or severity == '' then", "if fits then"),
    "demotion": Without(Ladder, "settle", "if to >= now_at then return end", "if true then return end"),
    "window": Without(Times, "admit", "return true, nil, nil, nearest or", "return false, nil, nil, nearest or"),
    "windows that are not known": Without(Times, "admit",
        "if #open == 0 then return end\n    if now >= num(policy.windows_until)",
        "if #open == 0 then return end\n    if false"),
    "change freeze": Without(Times, "admit", "return name ~= nil, nil", "return false, nil"),
    "a freeze that follows a freeze": Without(Times, "admit",
        "at, name = finish, name or which\n      finish, which = ends()",
                                              "at, name = finish, name or which\n      finish = nil"),
    "embargo": Without(Times, "admit", "return num(epoch.embargo_until) > now,", "return false,"),
    "person": Without(Times, "admit", "if at > 0 and now < at + span then", "if false then"),
    "a paused scope": Without(Times, "admit", "if req.paused then", "if false then"),
    "a rollout": Without(Times, "admit", "if req.rolling_out and span > 0", "if false"),
    "cooldown": Without(Memory, "admit", "return num(scope.cooldown_until) > now, req.cooldown", "return false, 0"),
    "cooling down": Without(Memory, "finish", "'failed' then\n  cool(attempt.scope, cooldown_end)", "'failed' then"),
    "oscillation": Without(Memory, "admit", "before.t ~= req.turn then return false end", "true then return false end"),
    "repeats": Without(Memory, "admit", "if used < limit or good * 2 >= used then", "if true then"),
    "resource changes": Without(Memory, "admit",
        "if #times < limit then return forgotten(span, false,", "if true then return forgotten(span, true,"),
    "what came to nothing": Without(Memory, "finish", "recall(attempt, effect and outcome or nil)",
                                    "recall(attempt, outcome)"),
    "lease": Without(Limits, "admit", "if holder and num(scope.lease_until) > now and", "if false and"),
    "a wider lease": Without(Crowded, "admit", "if other.scope ~= req.scope and (space or nodes)", "if false"),
    "attempts": Without(Limits, "admit", "return left <= 0, limit, used", "return false, limit, used"),
    "concurrency": Without(Crowded, "admit", "return places(num(policy.concurrency)) end",
                           "return places(1000) end"),
    "concurrency of an action": Without(Crowded, "admit",
        "return places(num(policy.concurrency_action), req.action) end",
        "return places(1000, req.action) end"),
    "blast of a workload": Without(Blasts, "admit", "blast(mine, ", "blast({}, "),
    "blast of a namespace": Without(Blasts, "admit", "blast(touched('namespace', req.namespace), ", "blast({}, "),
    "blast of a pool": Without(Blasts, "admit", "blast(touched('pool', touches.pool), ", "blast({}, "),
    "blast of all nodes": Without(Blasts, "admit", "blast(touched('unit', 'node'), ", "blast({}, "),
    "blast at most": Without(Blasts, "admit",
        "blast(touched(), num(policy.blast_most)", "blast({}, num(policy.blast_most)"),
    "the minute's rate": Without(Limits, "admit", "return rate(60000,", "return rate(1,"),
    "the hour's rate": Without(Limits, "admit", "return rate(HOUR, num(policy.rate_hour))",
                               "return rate(60000, num(policy.rate_hour))"),
    "the action's rate": Without(Named, "admit",
        "rate_of('action', num(policy.rate_action))", "rate_of('action', 1000)"),
    "the namespace's rate": Without(Named, "admit", "rate_of('namespace', num(policy.rate_namespace))",
                                    "rate_of('namespace', 1000)"),
    "breaker": Without(Breakers, "admit", "if not half_open then return true,", "if false then return true,"),
    "one probe": Without(Breakers, "admit",
        "if breaker.probe and num(breaker.probe_until) > now then", "if false then"),
    "a probe that dies": Without(Breakers, "admit",
        "breaker.probe and num(breaker.probe_until) > now", "breaker.probe"),
    "a probe that fails": Without(Breakers, "finish",
        "if breaker.probe == attempt.id then open_breaker(key, attempt.action) end",
                                  ""),
    "a probe that heals": Without(Breakers, "settle",
        "  if healed then\n    redis.call('DEL', key)", "  if healed then"),
    "the window of failures": Without(Breakers, "finish", "if at > since then fails", "if true then fails"),
    "backoff": Without(Breakers, "admit", "return num(scope.backoff_until) > now, nil", "return false, nil"),
    "backoff that doubles": Without(Breakers, "finish", "setting('backoff_base') * 2 ^ math.min(fails - 1, 20)",
                                    "setting('backoff_base')"),
    "most replicas": Without(Ladder, "admit", "to.up > rule.most then", "false then"),
    "least replicas": Without(Ladder, "admit", "to.down < rule.least then", "false then"),
    "a bound beside a rule": Without(Ladder, "admit",
        "if fits and not one.on then break end", "if fits then break end"),
    "the strictest bound": Without(Ladder, "admit", "one.most < (rule.most or math.huge) then", "not rule.most then"),
    "suggest": Without(Ladder, "admit", "return level == 'suggest' and not manual", "return false"),
    "risk": Without(Ladder, "admit", "return risk >= num(policy.risk_refuse), num", "return false, num"),
    "the record's risk": Without(Ladder, "admit", "math.min(20, 5 * num(record.bad) + 5 * num(record.low))", "0"),
    "the hour's risk": Without(Ladder, "admit", "not within(list(policy.hours)) and 10 or 0", "0 or 0"),
    "approval": Without(Ladder, "admit", "return #req.approvers < needs, needs", "return false, needs"),
    "approval by risk": Without(Ladder, "admit", "or risk >= num(policy.risk_approve)", ""),
    "four eyes": Without(Ladder, "admit", "local needs = num(rule.approvers) > 1 and 2 or 1", "local needs = 1"),
    "an approval of another plan": Without(Ladder, "admit", "req.approved_hash ~= req.plan_hash then", "false then"),
    "one voice that counts once": Without(Ladder, "settle", "if not known then given", "if true then given"),
    "the deadline of a hold": Without(Ladder, "settle",
        "if req.what == 'approve' and now > num(hold.deadline)", "if false"),
    "observe": Without(Ladder, "admit", "judge = function() return level == 'observe' end", "judge = function() end"),
    "the epoch": Without(Limits, "begin",
        "if attempt.epoch ~= epoch.value or req.epoch ~= epoch.value then", "if false then"),
    "the fence": Without(Limits, "begin", "or num(req.fence) ~= num(attempt.fence) then", "then"),
    "the lease at begin": Without(Limits, "begin", "if lease[1] ~= attempt.id or lease[2] ~= attempt.fence or", "if"),
    "start-by": Without(Limits, "begin", "if now > num(attempt.start_by) then", "if false then"),
    "giving back": Without(Limits, "finish", "give_back(attempt)\n  if attempt.state ~=", "if attempt.state ~="),
    "a clock that goes on": Without(Limits, "admit", "if now < clock then now = clock elseif", "if"),
}  # fmt: skip
ALL = "retry_at, text = judge(judged)"


@pytest.fixture
def machine(blank):
    """Makes a machine play on worlds of its own, one after the other in the same Redis."""
    numbers, start = itertools.count(1), blank.now

    def fresh():
        blank.redis.flushall()
        blank.sim.jump(start)
        world = World(blank.state, blank.sim, blank.redis)
        stop = {"mode": "run", "reason": "", "by": "", "since": f"world {next(numbers)}"}
        world.load(policy=flat(Policy(), "first"), stop=stop)
        return world

    def made(played):
        return type(played.__name__, (played,), {"fresh": staticmethod(fresh), "at": start, "reached": Counter()})

    return made


@pytest.fixture
def weaken(monkeypatch):
    """Puts other text in place of one that stands once in a script."""

    def put(wanted, old, new):
        text = client.script(wanted)[0]
        assert text.count(old) == 1, f"stands {text.count(old)} times in {wanted}: {old}"
        broken, whole = text.replace(old, new), client.script
        sha = client.hashlib.sha1(broken.encode()).hexdigest()
        monkeypatch.setattr(client, "script", lambda name: (broken, sha) if name == wanted else whole(name))

    return put


class TestWhatTheGuardSays:
    """A model in plain Python and the scripts on a real Redis agree on every answer, in whatever order things come."""

    @pytest.mark.parametrize("played", LONG, ids=lambda played: played.__name__)
    def test_is_what_the_model_says_on_each_redis(self, machine, played):
        run_state_machine_as_test(machine(played), settings=PLAYED)

    @ONE_ENGINE
    @pytest.mark.parametrize("played", LONG, ids=lambda played: played.__name__)
    def test_is_what_the_model_says_of_every_check(self, machine, played, record_property):
        worlds, checks = LONG[played]
        playing = machine(played)
        run_state_machine_as_test(playing, settings=settings(PLAYED, max_examples=worlds))
        print(f"{played.__name__}: {dict(playing.reached)}")
        assert checks <= playing.reached.keys()
        if played is Breakers:
            print(f"HALF_OPEN reached {playing.probes} times")
            record_property("half_open", playing.probes)
            assert playing.probes > 1000

    @ONE_ENGINE
    @pytest.mark.faults  # it tries the machines themselves: every day against all that is admitted, in CI line by line
    @pytest.mark.parametrize("missing", WITHOUT)
    def test_is_missed_when_the_scripts_lack_a_line(self, machine, weaken, missing):
        played, *line = WITHOUT[missing]
        weaken(*line)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(machine(played), settings=BROKEN)

    @ONE_ENGINE
    @pytest.mark.parametrize("played", LONG, ids=lambda played: played.__name__)
    def test_is_missed_when_the_scripts_admit_everything(self, machine, weaken, played):
        weaken("admit", ALL, "retry_at, text")
        with pytest.raises(AssertionError):
            run_state_machine_as_test(machine(played), settings=BROKEN)

    @ONE_ENGINE
    @pytest.mark.parametrize("played", LONG, ids=lambda played: played.__name__)
    def test_is_missed_when_the_model_admits_everything(self, machine, played):
        always = machine(played)
        whole = played.admit
        always.admit = lambda self, _check, _retry_at, incident, **asked: whole(self, "", 0, incident, **asked)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(always, settings=BROKEN)


class TestManyIncidentsInAnyOrder:
    """Every interleaving of alerts, people and time leaves a world that its fixture finds in order."""

    @pytest.mark.parametrize("seed", range(6))
    def test_none_is_lost_or_forgotten(self, world, seed):
        dice = random.Random(seed)
        world.policy(attempts_per_day=10, rate_per_minute=100, rate_per_hour=1000)
        grants, incidents, prints = [], [], [f"fp{number}" for number in range(6)]
        for _ in range(150):
            match dice.randrange(9):
                case 0 | 1:
                    name = dice.choice(prints)
                    incidents.append(world.fire(name, scope=f"Deployment/shop/s{dice.randrange(3)}", starts=world.now))
                case 2:
                    world.resolve(dice.choice(prints), truncated=dice.choice([0, 0, 0, 2]))
                case 3 if incidents:
                    world.request(dice.choice(incidents)["incident"], look=dice.choice([True, False]))
                case 4 if incidents:
                    name = dice.choice(incidents)["incident"]
                    scope = world.incident(name).get("scope", "")
                    asked = {"scope": scope, "autonomy": dice.choice(["auto", "auto", "approve", "observe"])}
                    answer = world.admit(name, kind=dice.choice(["write", "write", "none"]), **asked)
                    if answer["decision"] == "approved":
                        grants.append(answer["grant"])
                case 5 if grants:
                    world.begin(dice.choice(grants), run=dice.choice(["run-1", "run-2"]))
                case 6 if grants:
                    outcome = dice.choice(["succeeded", "succeeded", "failed", "skipped", "unknown", "unused"])
                    world.finish(dice.choice(grants), outcome, inverse="{}", inverse_hash="h")
                case 7 if grants:
                    world.heartbeat()
                    seen = {"healthy": dice.choice([True, False]), "worse": dice.choice([True, False, False])}
                    world.verdict(dice.choice(grants), **seen)
                case _:
                    world.advance(dice.choice([MINUTE, 3 * MINUTE, 20 * MINUTE]))
                    for entry in world.claim():
                        if entry["kind"] == "revert":
                            scope = world.attempt(entry["ref"])["scope"]
                            answer = world.undo(entry["ref"], entry["incident"], scope=scope)
                            grants += [answer["grant"]] if answer["decision"] == "approved" else []
                        elif entry["kind"] == "start":
                            world.finish(entry["ref"], "unused", run="")
                        elif entry["kind"] == "tell":
                            world.deliver(entry["incident"])
        for name in prints:
            world.resolve(name)
        for _ in range(60):
            world.heartbeat()
            world.advance(5 * MINUTE)
            for entry in world.claim():
                if entry["kind"] == "tell":
                    world.deliver(entry["incident"])
        assert world.counter("alerts_received") == world.counter("alerts_accounted")
        assert world.redis.smembers("{akeso}:open") == set()
        assert world.due() == {}
