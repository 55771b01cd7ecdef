"""A Redis that may forget, as in production: nothing new is done while it may, one person is told, undo goes on."""

import os

import httpx
import pytest
import redis

from tests.faults.conftest import opened
from tests.faults.play import Play

pytestmark = pytest.mark.faults

LACKS = {
    "maxmemory-policy": ("allkeys-lru", "noeviction", "maxmemory-policy noeviction"),
    "appendonly": ("no", "yes", "appendonly yes"),
}


@pytest.fixture(scope="module")
def serious_world(tmp_path_factory):
    """Not on one machine (dev): Redis keeps its own time, which is why nothing here lets time pass."""
    with opened(tmp_path_factory.mktemp("serious"), {"AKESO_DEV": "0"}) as world:
        # It went fast while it started: what is ahead of Redis by more than seconds is refused as stale.
        world.clock_file.unlink()
        yield world


@pytest.fixture
def play(serious_world):
    os.environ["AKESO_CLOCK_FILE"] = str(serious_world.clock_file)  # another world may have been opened since
    return Play(serious_world)


def told(play):
    return [ticket for ticket in play.world.desk.tickets() if ticket["correlation_id"] == "akeso-forgetful"]


def sayings(play):
    return [step for ticket in told(play) for step in ticket["history"] if "may forget" in str(step)]


class TestARedisThatMayForget:
    @pytest.mark.parametrize("name", LACKS)
    def test_lets_nothing_new_be_done_until_it_no_longer_may(self, play, name):
        bad, good, lacks = LACKS[name]
        before = len(sayings(play))
        granted, early = play.ill()
        play.freeze_executor()
        play.fire(early)
        incident = play.until_approved(granted)
        with redis.Redis(port=play.world.redis.port) as admin:
            admin.config_set(name, bad)
            try:
                for _ in range(3):
                    assert play.world.tick() == 204
                play.thaw()
                namespace, alert = play.ill()
                play.fire(alert)
                play.until_word("denied", namespace)
                play.settle()

                assert play.writes(granted) == play.writes(namespace) == []
                assert [line["check"] for line in play.lines(play.incident(namespace), "denied")] == ["stop"]
                assert "begun" not in play.words(incident)
                assert lacks in play.api("GET", "v1/status").json()["reason"]
                assert [ticket["status"] for ticket in told(play)] == ["open"]
                assert len(sayings(play)) == before + 1
                assert lacks in str(sayings(play)[-1])
                assert play.cluster.get("ConfigMap", "akeso-system", "akeso-stop")["data"]["mode"] == "run"
            finally:
                admin.config_set(name, good)

        assert play.tick() == 204
        assert [ticket["status"] for ticket in told(play)] == ["closed"]
        assert play.resolve(early, alert) == 200  # too many at once would be a storm
        play.settle()
        healed, fresh = play.ill()
        assert play.fire(fresh) == 200
        play.until_word("succeeded", healed)
        assert len(play.writes(healed)) == 1
        play.resolve(fresh)
        play.redis.close()

    def test_is_asked_before_the_guard_is_called_ready(self, play):
        url = f"{play.world.broker.url}/services/guard/readyz"
        with redis.Redis(port=play.world.redis.port) as admin:
            assert httpx.get(url, timeout=60, trust_env=False).status_code == 200
            admin.config_set("appendonly", "no")
            try:
                refused = httpx.get(url, timeout=60, trust_env=False)
                assert (refused.status_code, "redis-not-durable" in refused.text) == (503, True)
            finally:
                admin.config_set("appendonly", "yes")
            assert httpx.get(url, timeout=60, trust_env=False).status_code == 200
        play.redis.close()
