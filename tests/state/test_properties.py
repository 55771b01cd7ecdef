import itertools
import random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.state import client
from tests.conftest import CALM, ENGINES, engine
from tests.state.machines.limits import Limits
from tests.state.world import MINUTE, World

PLAYED = settings(
    max_examples=25, stateful_step_count=40, deadline=None, database=None, derandomize=True, print_blob=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
BROKEN = settings(PLAYED, max_examples=400, phases=[Phase.generate], report_multiple_bugs=False)

# A guard that lets through what it should not: each line, and what stands in its place.
WITHOUT = {
    "cooldown": ("admit", "if num(scope.cooldown_until) > now then", "if false then"),
    "lease": ("admit", "if holder and num(scope.lease_until) > now and", "if false and"),
    "attempts": ("admit", "if left <= 0 then", "if false then"),
    "the minute's rate": ("admit", "rate('rate-minute', 60000,", "rate('rate-minute', 1,"),
    "the hour's rate": ("admit", "rate('rate-hour', HOUR,", "rate('rate-hour', 60000,"),
    "stop": ("admit", "if stop.mode ~= 'run' and not undo", "if stop.mode == 'freeze' and not undo"),
    "what is live": ("admit", "if not blank(incident.attempt) or not blank(", "if not blank("),
    "the epoch": ("begin", "if attempt.epoch ~= epoch.value or req.epoch ~= epoch.value then", "if false then"),
    "start-by": ("begin", "if now > num(attempt.start_by) then", "if false then"),
    "giving back": ("finish", "give_back(attempt)\n  if attempt.state ~=", "if attempt.state ~="),
    "cooling down": ("finish", "'failed' then\n  cool(attempt.scope, cooldown_end)", "'failed' then"),
    "every check": ("admit", "retry_at, text = judge()", "retry_at, text"),
}  # fmt: skip


@pytest.fixture
def machine(blank):
    """The machine on worlds of its own, one after the other in the same Redis."""
    numbers = itertools.count(1)
    start = blank.now

    def fresh():
        blank.redis.flushall()
        blank.sim.jump(start)
        world = World(blank.state, blank.sim, blank.redis)
        stop = {"mode": "run", "reason": "", "by": "", "since": f"world {next(numbers)}"}
        world.load(policy=flat(Policy(**CALM), "first"), stop=stop)
        return world

    return type("Played", (Limits,), {"fresh": staticmethod(fresh)})


class TestLimitsInAnyOrder:
    def test_hold_as_the_model_says(self, machine):
        run_state_machine_as_test(machine, settings=PLAYED)

    @pytest.mark.parametrize("redis_server", [next(filter(engine, ENGINES), "7.0")], indirect=True)
    @pytest.mark.parametrize("missing", WITHOUT)
    def test_are_missed_when_the_scripts_lack_one(self, machine, monkeypatch, missing):
        name, old, new = WITHOUT[missing]
        whole = client.script

        def script(wanted):
            text, sha = whole(wanted)
            if wanted != name:
                return text, sha
            assert text.count(old) == 1, f"no longer in {name}.lua: {old}"
            broken = text.replace(old, new)
            return broken, client.hashlib.sha1(broken.encode()).hexdigest()

        monkeypatch.setattr(client, "script", script)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(machine, settings=BROKEN)


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
