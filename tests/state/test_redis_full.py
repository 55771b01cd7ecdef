"""A full Redis with noeviction: whatever a script was about, it is done as a whole or not at all, and said so."""

import itertools

import pytest
import redis

from shared.dev import redis as embedded
from shared.errors import UnavailableError
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import Store
from shared.state.transitions import State
from tests.conftest import ENGINES, engine
from tests.state.world import MINUTE, World

POLICY = flat(Policy(), "r1")
RUN = {"mode": "run", "reason": "", "by": "", "since": "then"}
OVER = -(1 << 20)  # more than a server gives back by itself between two commands (the buffers of idle clients: 64 KiB)
LEVELS = (OVER, *range(-4096, 32_769, 2048))  # bytes that are left: from none to more than any script writes
BIG = "x" * 6000

# Each script at work: what is there before, and the call. All that it names is fixed, so that it can be done anew.
WORK = {
    "take": lambda world: lambda: world.state.take(
        world.cause(id="it"), alerts=[{"ledger": "l", "watchdog": False, "event": BIG}], taken=[], lease=MINUTE
    ),
    "open": lambda world: lambda: world.state.open(
        world.cause("triage", "it"), "firing", fingerprint="f", starts=world.sim.now, ledger="l", scope=BIG, family="f",
        severity="warning", object="o", namespace="n", people="", alert="{}",
    ),
    "admit approved": lambda world: of(world, world.opened(), plan=BIG),
    "admit held": lambda world: of(world, world.opened(), plan=BIG, autonomy="approve"),
    "admit denied": lambda world: of(world, world.opened(), plan=BIG, autonomy="suggest", command=BIG),
    "begin": lambda world: begins(world, world.granted(world.opened(), plan=BIG)),
    "finish succeeded": lambda world: finishes(world, world.begun(world.opened(), plan=BIG), "succeeded"),
    "finish failed": lambda world: finishes(world, world.begun(world.opened(), plan=BIG), "failed"),
    "finish unused": lambda world: finishes(world, world.granted(world.opened(), plan=BIG), "unused"),
    "settle verdict": lambda world: judges(world, world.soaking(world.opened())),
    "settle harmful": lambda world: judges(world, world.soaking(world.opened()), worse=True),
    "settle approve": lambda world: answers(world, world.opened()),
    "put": lambda world: lambda: world.put(
        cause=world.cause(id="it"), answer=BIG, untold={"incident": "i", "reason": "r", "at": 0}, count="c"
    ),
    "load": lambda world: lambda: world.load(
        fresh="another", policy=flat(Policy(attempts_per_day=7), "r2"), stop={**RUN, "mode": "stop", "reason": BIG}
    ),
}  # fmt: skip


def of(world, incident, **more):
    cause = world.cause("guard", "it")
    return lambda: world.admit(incident, cause=cause, **more)


def begins(world, grant):
    epoch = world.epoch()
    return lambda: world.begin(grant, epoch=epoch)


def finishes(world, grant, outcome):
    more = {"text": BIG[:400]} | ({} if outcome == "unused" else {"inverse": BIG, "inverse_hash": "h"})
    return lambda: world.finish(grant, outcome, run="" if outcome == "unused" else "run-1", **more)


def judges(world, grant, **more):
    return lambda: world.verdict(grant, cause=world.cause("verifier", "it"), **more)


def answers(world, incident):
    hold = world.admit(incident, plan=BIG, autonomy="approve")["hold"]
    return lambda: world.state.settle(
        world.cause("api", "it"), "approve", incident=incident, hold=hold, who="ann", reason=BIG
    )


@pytest.fixture(scope="module", params=list(ENGINES))
def full_server(request, tmp_path_factory):
    """One of its own: it is filled and emptied."""
    binary = engine(request.param)
    if binary is None:
        pytest.skip(ENGINES[request.param])
    with embedded.start(tmp_path_factory.mktemp("full"), binary=binary) as server:
        yield server


@pytest.fixture
def world(full_server, sim, tmp_path):
    store = Store(Settings(dev=True, redis=Redis(url=full_server.url, timeout_ms=5000)), Secrets(tmp_path))
    with redis.Redis.from_url(full_server.url, decode_responses=True) as connection:
        connection.config_set("maxmemory", 0)
        connection.flushall()
        found = World(State(store), sim, connection)
        found.load(policy=POLICY, stop=RUN)
        found.heartbeat()
        yield found
        connection.config_set("maxmemory", 0)
    store._redis.close()


@pytest.fixture
def again(full_server):
    """Puts back all that Redis held when it was called first."""
    with redis.Redis.from_url(full_server.url) as raw:
        kept = []

        def put_back():
            if not kept:
                kept.extend((name, max(raw.pttl(name), 0), raw.dump(name)) for name in raw.scan_iter(count=10_000))
            raw.flushall()
            with raw.pipeline(transaction=False) as pipe:
                for name, lives, dumped in kept:
                    pipe.restore(name, lives, dumped)
                pipe.execute()

        yield put_back


def outcome(call):
    try:
        return call()
    except UnavailableError as error:
        return error


def leave(world, free):
    """So many bytes may still be taken; a negative number: it is over its limit already."""
    world.redis.config_set("maxmemory", int(world.redis.info("memory")["used_memory"]) + free)


class TestAFullRedis:
    @pytest.mark.parametrize("moved", [0, 1000], ids=["time stands still", "time goes on"])
    @pytest.mark.parametrize("work", WORK)
    def test_has_done_all_of_it_or_nothing_at_every_level(self, world, again, work, moved):
        call = WORK[work](world)
        world.advance(moved)
        world._numbers = itertools.repeat(777)  # the same event each time
        again()
        before = world.dump()
        said = call()
        after = world.dump()
        assert after != before

        refused = done = 0
        for free in LEVELS:
            again()
            leave(world, free)
            answer = outcome(call)
            if isinstance(answer, UnavailableError):
                assert (type(answer), answer.reason, "maxmemory" in str(answer)) == (UnavailableError, "redis", True)
                refused += 1
                assert world.dump() == before
            else:
                done += 1
                assert answer == said
                assert world.dump() == after
            world.redis.config_set("maxmemory", 0)
        assert done
        assert refused or not moved  # every script that notes the time needs room for that first

    def test_goes_on_by_itself_when_there_is_room_again(self, world):
        incident = world.opened()
        cause = world.cause("guard")
        leave(world, OVER)
        world.advance(1000)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                world.admit(incident, cause=cause)
        world.redis.config_set("maxmemory", 0)
        grant = world.admit(incident, cause=cause)["grant"]
        assert world.begin(grant) == {"go": True, "of": ""}
        assert world.redis.zcard(world.key("rate")) == 1
