"""A Redis that is there and no good: nothing is written, one person is told once, and no process needs a restart."""

import os
from contextlib import suppress

import pytest
import redis

from shared import clock
from shared.dev.world import World
from shared.state.client import PREFIX
from tests.faults.play import FAST, Play
from tests.faults.test_redis_gone import _blind, _opened
from tests.state.redis_proxy import RedisProxy

pytestmark = pytest.mark.faults

SLOW_S = 0.5  # twice what a call may take


class Behind(World):
    """The functions reach Redis through a door; whoever looks goes past it."""

    door = None
    _for_functions = False

    @property
    def redis_url(self):
        if not self._for_functions:
            return super().redis_url
        self.door = self.door or RedisProxy(self.redis.port).__enter__()
        return self.door.url

    def start(self):
        self._for_functions = True
        try:
            return super().start()
        finally:
            self._for_functions = False


@pytest.fixture(scope="module")
def unwell_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unwell")
    events = []
    world = Behind(folder, pinging=False, idle_s=600, speed=FAST, observer=events.append)
    world.events = events
    try:
        world.start()
        world.pace(1)
        yield world
    finally:
        world.stop()
        world.door.__exit__()


@pytest.fixture
def play(unwell_world):
    os.environ["AKESO_CLOCK_FILE"] = str(unwell_world.clock_file)  # another world may have been opened since
    unwell_world.advance(301)
    story = Play(unwell_world)
    yield story
    well(story)
    story.end()


def admin(play, *command):
    with redis.Redis(port=play.world.redis.port) as connection:
        return connection.execute_command(*command)


def well(play):
    play.world.door.be("open")
    admin(play, "CONFIG", "SET", "maxmemory", "0")
    with suppress(redis.RedisError):
        if admin(play, "ROLE")[0] == b"slave":
            admin(play, "REPLICAOF", "NO", "ONE")


def _taken(play, alert):
    """Sent again and again, as AlertManager does: this Redis has no patience with a busy machine."""
    play.until(lambda: play.fire(alert) == 200, "it is never taken")


FAULTS = {
    "slow": lambda play: play.world.door.be("slow", SLOW_S),
    "dripping": lambda play: play.world.door.be("drip", 0.1),
    "mute": lambda play: play.world.door.be("mute"),
    "cut off": lambda play: play.world.door.be("hole"),
    "ending each call": lambda play: play.world.door.be("cut"),
    "refusing": lambda play: play.world.door.be("shut"),
    "full": lambda play: admin(play, "CONFIG", "SET", "maxmemory", "1"),
    "a replica": lambda play: admin(play, "REPLICAOF", "127.0.0.1", "1"),
}


class TestARedisThatIs:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_lets_nothing_be_written_and_is_told_once(self, play, fault):
        opened = _opened(play)
        granted, alert = play.ill()
        play.freeze_executor()
        _taken(play, alert)
        incident = play.until_approved(granted)
        waiting, unsent = play.ill()
        pids = play.world.functions.pids()
        play.hurry_the_broker()

        FAULTS[fault](play)
        play.world.advance(1)
        play.thaw()
        for _ in range(3):
            play.world.advance(60)
            assert play.fire(unsent) == 503
            assert play.tick() == 503
        assert [ticket["status"] for ticket in _blind(play)] == ["open"]
        assert _opened(play) == opened + 1
        assert play.writes(granted) == play.writes(waiting) == []

        well(play)
        play.until(lambda: play.tick() == 204)
        play.heartbeat()
        assert [ticket["status"] for ticket in _blind(play)] == ["closed"]
        _taken(play, unsent)
        namespace, fresh = play.ill()
        _taken(play, fresh)
        play.settle()
        play.tick_for(1500, lambda: play.replicas(namespace) == 3)
        play.settle()

        assert play.spec_changes(namespace) == len(play.writes(namespace)) == 1
        assert len(play.attempts(play.incident(namespace))) == 1
        assert play.writes(granted) == [] or len(play.attempts(incident)) > 1  # anew, never by the old grant
        assert play.counters()["alerts_received"] == play.counters()["alerts_accounted"]
        assert {name: play.world.functions.pids().get(name) for name in pids} == pids
        assert _opened(play) == opened + 1

    def test_without_its_scripts_is_given_them_again(self, play):
        namespace, alert = play.ill()
        play.order("after-begin", "pause 60")
        play.until(lambda: admin(play, "SCRIPT", "FLUSH") and play.fire(alert) == 200, "it is never taken")
        play.until_at("after-begin")
        admin(play, "SCRIPT", "FLUSH")
        assert "succeeded" not in play.words(play.incident(namespace))
        play.go_on("after-begin")
        incident = play.until_word("succeeded", namespace)
        play.settle()

        assert play.spec_changes(namespace) == len(play.attempts(incident)) == 1


class TestALoss:
    def test_is_told_once_with_the_time_from_which_it_is_over(self, play):
        def told():
            steps = [step for ticket in play.tickets("akeso-state") for step in ticket["history"]]
            return [str(step) for step in steps if "state was lost" in str(step)]

        before = len(told())
        admin(play, "FLUSHALL")
        play.tick()
        play.heartbeat()
        play.tick_for(300, lambda: len(told()) > before)
        for _ in range(3):
            play.pass_(60)

        assert len(told()) == before + 1
        assert clock.iso(int(play.redis.hget(f"{PREFIX}:epoch", "embargo_until"))) in told()[-1]
