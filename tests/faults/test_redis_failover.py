"""Redis fails over under its Sentinels while an attempt is on its way: nothing twice, and every process goes on."""

import os

import pytest
import redis

from shared.dev.world import World
from tests.faults.play import EXECUTOR, FAST, Play
from tests.state.redis_sentinel import Sentineled, until

pytestmark = pytest.mark.faults


class Replicated(World):
    """The functions ask the Sentinels; whoever looks asks the master of the moment."""

    def __init__(self, folder, sentineled, **more):
        super().__init__(folder, redis=sentineled.url, **more)
        self._sentineled = sentineled

    @property
    def redis_url(self):
        return self._redis_url if self._for_functions else self._sentineled.master().url

    _for_functions = True

    def start(self):
        super().start()
        self._for_functions = False
        return self


@pytest.fixture
def play(tmp_path):
    with Sentineled(tmp_path / "redis") as sentineled:
        events = []
        world = Replicated(
            tmp_path / "world", sentineled, pinging=False, idle_s=600, speed=FAST, observer=events.append,
            env={"AKESO_REDIS__TIMEOUT_MS": "2000"},  # each Sentinel has a quarter of it, on a busy machine too
        )  # fmt: skip
        world.events, story = events, None
        try:
            world.start()
            world.pace(1)
            os.environ["AKESO_CLOCK_FILE"] = str(world.clock_file)
            story = Play(world)
            story.sentineled = sentineled
            yield story
        finally:
            try:
                if story:
                    story.go_on("*")
                    story.thaw()
            finally:
                world.stop()


def fail_over(play):
    """The master dies; the story's own looks follow."""
    until(play.sentineled.at_rest, "the replica is late")
    old = play.sentineled.master()
    old.kill()
    new = play.sentineled.succeeded(old)
    play.redis = redis.Redis.from_url(new.url, decode_responses=True)


def hydrate(play):
    play.until(lambda: play.tick() == 204)
    play.heartbeat()


class TestAFailover:
    def test_before_a_grant_is_begun_writes_nothing_and_all_find_the_new_master(self, play):
        namespace, alert = play.ill()
        play.freeze_executor()
        assert play.fire(alert) == 200
        incident = play.until_approved(namespace)
        pids = play.world.functions.pids()
        play.hurry_the_broker()

        fail_over(play)
        play.thaw()
        assert play.writes(namespace) == []
        hydrate(play)
        event = play.event("remediation.approved", incident)
        assert play.to_function(EXECUTOR, event) == 204
        play.settle()
        assert play.writes(namespace) == []
        assert "begun" not in play.words(incident)
        assert play.until_told("akeso-state")

        play.world.advance(901)
        play.heartbeat()
        again, fresh = play.ill()
        assert play.fire(fresh) == 200
        other = play.until_word("succeeded", again)
        assert len(play.writes(again)) == len(play.attempts(other)) == 1
        assert {name: play.world.functions.pids().get(name) for name in pids} == pids

    def test_after_a_write_finds_its_mark_and_writes_it_no_second_time(self, play):
        namespace, alert = play.ill()
        play.order("after-write", "pause 120")
        assert play.fire(alert) == 200
        play.until_at("after-write")
        incident = play.incident(namespace)
        pids = play.world.functions.pids()
        play.hurry_the_broker()

        fail_over(play)
        play.go_on("after-write")
        play.settle()
        hydrate(play)
        play.world.advance(31)
        event = play.event("remediation.approved", incident)
        assert play.to_function(EXECUTOR, event) == 200

        assert [line["resolved_by"] for line in play.lines(incident, "succeeded")] == ["mark"]
        assert play.spec_changes(namespace) == len(play.writes(namespace)) == len(play.attempts(incident)) == 1
        assert play.counters()["attempts"] == 1
        assert {name: play.world.functions.pids().get(name) for name in pids} == pids
