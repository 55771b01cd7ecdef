"""A replicated Redis that fails over: whoever becomes master knows no epoch, and the client finds him by itself."""

from contextlib import suppress
from functools import partial

import pytest
import redis

from shared.errors import EpochError, UnavailableError
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import Store
from shared.state.transitions import State
from tests.conftest import ENGINES, engine
from tests.state.redis_proxy import RedisProxy
from tests.state.redis_sentinel import Sentineled, until
from tests.state.world import World

# Sentinels take seconds to agree, and more on a busy machine.
pytestmark = pytest.mark.faults
POLICY = flat(Policy(), "r1")
RUN = {"mode": "run", "reason": "", "by": "", "since": "then"}


@pytest.fixture(params=list(ENGINES))
def replicated(request, tmp_path):
    binary = engine(request.param)
    if binary is None:
        pytest.skip(ENGINES[request.param])
    with Sentineled(tmp_path / "replicated", binary) as running:
        yield running


class Watched(World):
    """A world whose own looks go to whoever is the master now."""

    def __init__(self, state, sim, replicated):
        super().__init__(state, sim, None)
        self.replicated = replicated

    @property
    def redis(self):
        return redis.Redis.from_url(self.replicated.master().url, decode_responses=True)

    @redis.setter
    def redis(self, _):
        pass

    def epoch(self):
        """Of the last master that was alive."""
        with suppress(redis.RedisError):
            self.known = super().epoch()
        return self.known

    def until_answered(self):
        """Ask until the client has found the master."""

        def answered():
            try:
                return self.take("probe")
            except EpochError:
                return True
            except UnavailableError:
                return False

        until(answered, "the client does not find the master")


def store_of(url, folder):
    return Store(Settings(dev=True, redis=Redis(url=url, timeout_ms=2000)), Secrets(folder))


def gone(store):
    """What is said of a Redis that cannot be found."""
    with pytest.raises(UnavailableError) as caught:
        store.read("PING")
    assert (caught.value.reason, isinstance(caught.value, EpochError)) == ("redis", False)
    return str(caught.value)


@pytest.fixture
def world(replicated, sim, tmp_path):
    store = store_of(replicated.url, tmp_path)
    found = Watched(State(store), sim, replicated)
    found.load(policy=POLICY, stop=RUN)
    yield found
    store._redis.close()


class TestAFailover:
    def test_leads_to_a_master_that_refuses_until_it_is_hydrated(self, world, replicated):
        incident = world.opened()
        grant = world.granted(incident)
        epoch = world.epoch()
        until(replicated.at_rest, "the replica is late")

        replicated.master().kill()
        with pytest.raises(UnavailableError):
            world.begin(grant, epoch=epoch, fence=1)
        replicated.succeeded(next(server for server in replicated.servers if not server.alive))
        world.until_answered()
        begin = partial(world.begin, grant, epoch=epoch, fence=1)
        for call in (begin, lambda: world.admit(incident), lambda: world.take("l")):
            with pytest.raises(EpochError):
                call()

        assert world.load(policy=POLICY, stop=RUN)["state"] == "hydrated"
        assert world.begin(grant, epoch=epoch) == {"go": False, "check": "epoch"}
        assert world.begin(grant) == {"go": False, "check": "epoch"}
        assert world.take("l") == ["post"]

    def test_there_and_back_is_one_too(self, world, replicated):
        """The first master is the same process as ever; what it was given after it was left is gone all the same."""
        incident = world.opened()
        first, epoch = replicated.master(), world.epoch()
        until(replicated.at_rest, "the replica is late")
        second = replicated.fail_over()
        until(replicated.at_rest, "the old master does not follow")
        assert replicated.fail_over() is first
        assert second is not first
        world.until_answered()

        assert world.redis.hget("{akeso}:epoch", "value") == epoch
        with pytest.raises(EpochError):
            world.admit(incident)

    def test_loses_what_the_replica_had_not_been_given_and_nothing_is_counted_twice(self, world, replicated):
        """Asynchronous replication: a grant is given, and its record goes with the master."""
        incident = world.opened()
        until(replicated.at_rest, "the replica is late")
        old, replica = replicated.master(), replicated.replica()
        cause = world.cause("guard")
        with redis.Redis.from_url(replica.url) as connection:
            connection.execute_command("REPLICAOF", "127.0.0.1", 1)  # cut off from its master
            until(lambda: connection.info("replication")["master_link_status"] == "down", "the link stands")
            grant, old_epoch = world.granted(incident, cause=cause), world.epoch()
            old.kill()
        replicated.succeeded(old)
        world.until_answered()
        world.load(policy=POLICY, stop=RUN)

        assert world.attempt(grant) == {}
        assert world.begin(grant, epoch=old_epoch) == {"go": False, "check": "lost"}
        assert world.admit(incident, cause=cause)["grant"] == grant  # its redelivery: the same one, not a second
        assert world.begin(grant, epoch=old_epoch) == {"go": False, "check": "epoch"}
        assert world.redis.zcard(world.key("rate")) == 1

    def test_to_a_master_that_was_restarted_empty_is_a_loss(self, world, replicated):
        old = replicated.master()
        old.kill()
        replicated.succeeded(old)
        old.restart(keep=False)
        world.until_answered()
        with pytest.raises(EpochError):
            world.take("l")


class TestAReplica:
    @pytest.mark.usefixtures("world")
    def test_is_not_believed_though_it_has_its_masters_epoch(self, replicated, sim, tmp_path):
        until(replicated.at_rest, "the replica is late")
        store = store_of(replicated.replica().url, tmp_path)
        beside = World(State(store), sim, None)
        with pytest.raises(EpochError):
            beside.take("l")
        assert beside.load(policy=POLICY, stop=RUN) == {"state": "lost"}
        store._redis.close()


class TestSentinels:
    @pytest.mark.usefixtures("world")
    def test_that_hang_cost_a_call_only_their_share(self, replicated, sim, tmp_path):
        with RedisProxy(replicated.ports[0]) as first, RedisProxy(replicated.ports[1]) as second:
            first.be("mute")
            second.be("mute")
            store = store_of(replicated.url_of(first.port, second.port, replicated.ports[2]), tmp_path)
            assert World(State(store), sim, None).take("l") == ["post"]
            store._redis.close()

    @pytest.mark.usefixtures("world")
    def test_that_do_not_answer_are_passed_over(self, replicated, sim, tmp_path):
        store = store_of(replicated.url_of(1, 2, *replicated.ports[:1]), tmp_path)
        assert World(State(store), sim, None).take("l") == ["post"]
        store._redis.close()

    def test_that_know_another_service_only_are_a_redis_that_is_gone(self, replicated, tmp_path):
        store = store_of(replicated.url.replace("/akeso", "/other"), tmp_path)
        assert gone(store) == gone(store)
        store._redis.close()

    def test_that_are_all_gone_are_a_redis_that_is_gone(self, tmp_path):
        store = store_of("redis+sentinel://127.0.0.1:1,127.0.0.1:2/akeso", tmp_path)
        assert gone(store) == gone(store)
        store._redis.close()
