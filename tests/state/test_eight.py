import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import Store
from shared.state.transitions import State
from tests.conftest import SimulatedTime
from tests.state.checks import put
from tests.state.world import World

PROCESSES, EACH = 8, 25
Answer = tuple[str, str]

WIDE = {
    "rate_per_minute": 100, "rate_per_hour": 1000, "rate_per_action_hour": 1000, "rate_per_namespace_hour": 1000,
    "concurrency": 100, "concurrency_per_action": 100,
}  # fmt: skip


def _world(url: str, sim: SimulatedTime) -> World:
    state = State(Store(Settings(dev=True, redis=Redis(url=url, timeout_ms=5000)), Secrets(Path("/nonexistent"))))
    return World(state, sim, redis.Redis.from_url(url, decode_responses=True))


def _asks(url: str, sim: SimulatedTime, asked: list[tuple[str, str]], results: "multiprocessing.Queue[Any]") -> None:
    """Whoever asks has its own connection; the answers in the order of the questions."""
    world = _world(url, sim)
    found: list[Answer] = []
    for incident, scope in asked:
        cause = world.cause("guard", id=f"ask {incident}")
        answer = world.state.admit(cause, **world.proposal(incident, scope=scope))
        found.append((answer["decision"], answer.get("check") or answer.get("grant", "")))
    results.put(found)


@pytest.fixture
def hammer(world, redis_server) -> Callable[[list[str]], list[Answer]]:
    """Asks about incidents on these scopes, by eight processes at once."""

    def play(scopes: list[str]) -> list[Answer]:
        for number, scope in enumerate(scopes):
            put(
                world,
                world.key("incident", f"inc-{number}"),
                id=f"inc-{number}",
                state="open",
                scope=scope,
                family=f"f{number}",
            )
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        asked = [(f"inc-{number}", scope) for number, scope in enumerate(scopes)]
        running = [
            context.Process(target=_asks, args=(redis_server.url, world.sim, asked[n::PROCESSES], results), daemon=True)
            for n in range(PROCESSES)
        ]
        for process in running:
            process.start()
        answers = [answer for _ in running for answer in results.get(timeout=60)]
        for process in running:
            process.join(30)
        assert len(answers) == len(scopes)
        return answers

    return play


def scopes(count: int = PROCESSES * EACH) -> list[str]:
    return [f"Deployment/shop/s{number}" for number in range(count)]


class TestEightProcesses:
    def test_of_a_minutes_hundred_get_exactly_a_hundred_with_one_round_trip_each(self, world, hammer):
        world.policy(**WIDE | {"concurrency": 100})
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), "concurrency": 1000, "concurrency_action": 1000})
        world.admit("inc-0", dry=True)  # the script is known from here on
        world.redis.config_resetstat()
        answers = hammer(scopes())
        told = world.redis.info("commandstats")
        assert Counter(word for word, _ in answers) == {"approved": 100, "denied": 100}
        assert {check for word, check in answers if word == "denied"} == {"rate-minute"}
        assert world.redis.zcard(world.key("rate")) == 100
        assert told["cmdstat_evalsha"]["calls"] == PROCESSES * EACH
        assert "cmdstat_eval" not in told

    def test_of_a_hundred_places_at_once_take_exactly_a_hundred(self, world, hammer):
        wide = {"rate_minute": 1000, "rate_hour": 1000}
        world.policy(**WIDE)
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), **wide})
        answers = hammer(scopes())
        assert Counter(word for word, _ in answers) == {"approved": 100, "denied": 100}
        assert {check for word, check in answers if word == "denied"} == {"concurrency"}
        assert world.redis.hlen(world.key("live")) == 100

    def test_get_one_probe_of_a_half_open_breaker_and_never_two(self, world, hammer):
        world.policy(**WIDE)
        put(world, world.key("breaker", "scale_deployment", "Deployment"), state="open", open_until=world.now)
        answers = hammer(scopes(80))
        assert Counter(check for word, check in answers if word == "denied") == {"breaker": 79}
        (probe,) = [grant for word, grant in answers if word == "approved"]
        breaker = world.redis.hgetall(world.key("breaker", "scale_deployment", "Deployment"))
        assert (breaker["state"], breaker["probe"]) == ("open", probe)
        assert world.redis.hkeys(world.key("live")) == [probe]

    def test_never_hold_the_lease_of_one_scope_twice(self, world, hammer):
        world.policy(**WIDE)
        answers = hammer(["Deployment/shop/one"] * 80)
        assert Counter(check for word, check in answers if word == "denied") == {"lease": 79}
        assert Counter(word for word, _ in answers)["approved"] == 1

    def test_holding_and_letting_go_are_never_two_at_a_time(self, world, redis_server):
        """Each notes itself at the gate between its grant and its end: nobody may ever be there already."""
        world.policy(**WIDE)
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), "rate_minute": 10_000, "rate_hour": 10_000,
                           "rate_action": 10_000, "rate_namespace": 10_000})  # fmt: skip
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        names = [f"inc-{number}" for number in range(PROCESSES)]
        for name in names:
            put(world, world.key("incident", name), id=name, state="open", scope="Deployment/shop/one", family=name)
        running = [
            context.Process(target=_holds, args=(redis_server.url, world.sim, name, results), daemon=True)
            for name in names
        ]
        for process in running:
            process.start()
        held = [results.get(timeout=60) for _ in running]
        for process in running:
            process.join(30)
        assert sum(two for _, two in held) == 0
        assert sum(granted for granted, _ in held) > PROCESSES, "nobody ever got its turn"
        world.redis.delete("gate")


def _holds(url: str, sim: SimulatedTime, incident: str, results: "multiprocessing.Queue[Any]") -> None:
    world, dice = _world(url, sim), random.Random(incident)
    granted = two = 0
    number, ends = 0, time.monotonic() + 50
    # Whoever is kept from the processor while he holds it uses up the tries of the others.
    while number < 60 or (granted < 2 and time.monotonic() < ends):
        number += 1
        cause = world.cause("guard", id=f"{incident} {number}")
        answer = world.state.admit(cause, **world.proposal(incident, scope="Deployment/shop/one"))
        if answer["decision"] != "approved":
            continue
        granted += 1
        two += world.redis.incr("gate") != 1
        for _ in range(dice.randrange(4)):
            world.redis.ping()
        world.redis.decr("gate")
        world.finish(answer["grant"], "unused", run="")
    results.put((granted, two))
