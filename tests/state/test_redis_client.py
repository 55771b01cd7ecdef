"""The client alone, before a Redis that can be reached badly: one word for it, in bounded time, and no lasting harm."""

import threading
import time
from pathlib import Path

import pytest
import redis

from shared.dev import redis as embedded
from shared.errors import EpochError, UnavailableError
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import Store
from shared.state.transitions import State
from tests.conftest import ONE_ENGINE
from tests.state.redis_proxy import RedisProxy
from tests.state.world import World

TIMEOUT_MS, PATIENT_MS = 600, 5000
POLICY = flat(Policy(), "r1")
RUN = {"mode": "run", "reason": "", "by": "", "since": "then"}
PATIENT_S = 60.0  # far more than any call may take, so that a slow machine fails no test


def store_of(url, folder, timeout_ms=TIMEOUT_MS):
    return Store(Settings(dev=True, redis=Redis(url=url, timeout_ms=timeout_ms)), Secrets(folder))


@pytest.fixture
def door(redis_server):
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def asking(world, door, tmp_path):
    """The world once more, for a client that goes through the door."""
    yield from _beyond(world, store_of(door.url, tmp_path))


@pytest.fixture
def patient(world, door, tmp_path):
    """The same for stories that are not about time."""
    yield from _beyond(world, store_of(door.url, tmp_path, PATIENT_MS))


def _beyond(world, store):
    yield World(State(store), world.sim, world.redis)
    store._redis.close()


def until(what):
    ends = time.monotonic() + PATIENT_S
    while not what():
        assert time.monotonic() < ends, "it does not come true"
        time.sleep(0.02)


def refused(call):
    """Within patience the call ends in UnavailableError; what it says."""
    ended = []

    def run():
        try:
            ended.append(call())
        except Exception as error:  # noqa: BLE001 - looked at below
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENT_S)
    assert ended, "it waits for ever"
    assert isinstance(ended[0], UnavailableError), ended[0]
    assert not isinstance(ended[0], EpochError)
    assert ended[0].reason == "redis"
    return str(ended[0])


BAD = {
    "slow": TIMEOUT_MS / 1000 * 3,
    "drip": TIMEOUT_MS / 1000 / 4,  # each byte within the timeout, all of them never
    "mute": 0,
    "hole": 0,
    "cut": 0,
    "shut": 0,
}


class TestABadConnection:
    @ONE_ENGINE
    @pytest.mark.parametrize("manner", BAD)
    @pytest.mark.parametrize("fresh", [True, False], ids=["when it is made", "that was made before"])
    def test_ends_in_one_word_and_is_forgotten(self, asking, door, manner, fresh):
        if not fresh:
            asking.take("before")
        door.be(manner, BAD[manner])
        big = [{"ledger": f"l{n}", "watchdog": False, "event": "x"} for n in range(40)]
        for call in (
            lambda: asking.state.take(asking.cause(), alerts=big, taken=[], lease=1000),
            lambda: asking.state.store.hash("{akeso}:policy"),
            lambda: asking.state.store.read("HGETALL", "{akeso}:policy"),
            asking.state.store.durable,
        ):
            refused(call)

        door.be("open")
        assert asking.take("after") == ["post"]

    def test_never_gives_the_answer_of_one_call_to_another(self, asking, door):
        """What comes too late belongs to nobody."""
        asking.take("before")
        door.be("slow", TIMEOUT_MS / 1000 * 1.5)
        refused(lambda: asking.take("late", "later", "latest"))
        door.be("open")
        for number in range(20):
            assert asking.take(f"n{number}") == ["post"]

    def test_whose_answer_is_lost_has_happened_once_however_often_it_is_asked(self, patient, door, world):
        incident = world.opened()
        cause = world.cause("guard")
        patient.admit(incident, dry=True)
        door.be("cut")
        refused(lambda: patient.admit(incident, cause=cause))
        door.be("open")

        first, again = patient.admit(incident, cause=cause), patient.admit(incident, cause=cause)

        assert first["decision"] == again["decision"] == "approved"
        assert first["replay"]
        assert world.counter("decisions_total|decision=approved|action=scale_deployment") == 1
        assert len(world.redis.zrange(world.key("rate"), 0, -1)) == 1


class TestAServerThatAnswersNo:
    """Each is told as a Redis that is gone, changes nothing, and is forgotten once it is over."""

    @pytest.fixture
    def before(self, world):
        return world.dump()

    def test_because_its_scripts_were_flushed_is_given_them_again(self, patient, world):
        patient.take("before")
        world.redis.script_flush()
        incident = world.opened()
        world.redis.script_flush()
        cause = world.cause("guard")
        granted = patient.admit(incident, cause=cause)
        world.redis.script_flush()
        assert patient.admit(incident, cause=cause) == {**granted, "replay": True}
        assert world.counter("decisions_total|decision=approved|action=scale_deployment") == 1

    def test_because_it_is_a_replica_has_no_epoch_of_ours(self, patient, world, before):
        """It never comes as far as READONLY; and once it is promoted it is another server."""
        world.redis.execute_command("REPLICAOF", "127.0.0.1", 1)
        try:
            with pytest.raises(EpochError):
                patient.take("l")
        finally:
            world.redis.execute_command("REPLICAOF", "NO", "ONE")
        with pytest.raises(EpochError):
            patient.take("l")
        assert world.dump() == before
        assert patient.load(policy=POLICY, stop=RUN)["state"] == "hydrated"
        assert patient.take("l") == ["post"]

    def test_because_its_password_is_another_one_by_now(self, tmp_path):
        (tmp_path / "redis-password").write_text("old\n")
        with embedded.start(tmp_path / "locked", password="old") as server:
            store = store_of(f"redis://127.0.0.1:{server.port}/0", tmp_path, PATIENT_MS)
            assert store.read("PING")
            with redis.Redis.from_url(server.url) as admin:
                admin.config_set("requirepass", "new")
                admin.client_kill_filter(_type="normal")
            assert "invalid" in refused(lambda: store.read("PING")).lower()
            (tmp_path / "redis-password").write_text("new\n")
            assert store.read("PING")
            store._redis.close()


class TestAServerThatIsNoMasterAnyMore:
    """A name was moved while the connection to the old master stands: nobody will end it but us."""

    @pytest.fixture
    def other(self, redis_server, tmp_path):
        with embedded.start(tmp_path / "other", binary=redis_server.binary) as server:
            yield server

    def test_is_left_once_it_no_longer_has_our_epoch(self, patient, world, door, other):
        """As a replica it has the new master's, so that every script is refused before it comes to a write."""
        patient.take("before")
        door.lead_to(other.port)
        beyond = World(State(store_of(other.url, Path("/nonexistent"), PATIENT_MS)), world.sim, world.redis)
        world.redis.execute_command("REPLICAOF", "127.0.0.1", other.port)
        try:
            until(lambda: world.redis.info("replication")["master_link_status"] == "up")
            beyond.load(policy=POLICY, stop=RUN)
            with pytest.raises(EpochError):
                patient.take("l")
            assert patient.take("l") == ["post"]
        finally:
            world.redis.execute_command("REPLICAOF", "NO", "ONE")
            beyond.state.store._redis.close()
