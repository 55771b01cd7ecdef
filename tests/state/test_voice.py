"""What a person asked for and what had to wait: his word is good for a while, and he can take it back."""

import pytest

from shared.event.publish import event_of
from tests.state.world import HOUR, MINUTE

WISH = '{"reason": "run", "action": "scale_deployment", "author": "ann", "approvers": ["ann"]}'


@pytest.fixture
def run(world):
    return world.person_runs()["incident"]


def ask(world, run, **more):
    return world.admit(run, manual=True, author="ann", approvers=["ann"], wish=WISH, **more)


def embargo(world, span):
    world.redis.hset("{akeso}:epoch", "embargo_until", world.now + span)


class TestARunThatHasToWait:
    def test_is_tried_again_within_the_time_of_an_approval(self, world, run):
        embargo(world, HOUR)
        assert ask(world, run)["check"] == "embargo"
        entry = world.entry("retry", run)
        assert entry["voice_until"] == world.now + HOUR
        wish = event_of(entry).data["wish"]
        assert (wish["author"], wish["voice_until"]) == ("ann", world.now + HOUR)

    def test_for_longer_is_dropped_and_told(self, world, run):
        embargo(world, HOUR + 1)
        answer = ask(world, run)
        assert (answer["check"], answer["retry_at"]) == ("embargo", world.now + HOUR + 1)
        assert world.due("retry") == {}
        assert world.told(run) == [
            "not done: scale_deployment refused by embargo for longer than a run is still meant: ask again"
        ]
        assert world.incident(run)["state"] == "closed"

    def test_may_wait_several_times_but_no_longer_in_all(self, world, run):
        embargo(world, 40 * MINUTE)
        ask(world, run)
        until = world.entry("retry", run)["voice_until"]
        world.advance(40 * MINUTE)
        world.request(run)
        embargo(world, 40 * MINUTE)
        assert ask(world, run, voice_until=until)["check"] == "embargo"
        assert world.due("retry") == {}

    def test_that_comes_too_late_is_refused_as_expired(self, world, run):
        assert ask(world, run, voice_until=world.now, dry=True)["decision"] == "approved"
        answer = ask(world, run, voice_until=world.now - 1)
        assert (answer["check"], answer["retry_at"]) == ("expired", 0)
        assert world.told(run) == ["not done: scale_deployment refused by expired (asked for too long ago)"]
        assert world.incident(run)["state"] == "closed"

    def test_of_an_alert_waits_as_long_as_it_must(self, world):
        incident = world.opened()
        embargo(world, 5 * HOUR)
        world.admit(incident)
        assert world.due("retry") == {incident: 5 * HOUR}


class TestAYesThatIsVoid:
    def test_is_not_kept_for_the_next_try(self, world):
        incident = world.opened()
        embargo(world, MINUTE)
        world.admit(incident, approvers=["ann"], approved_hash="hash-1", wish='{"reason": "approve"}')
        assert "wish" not in world.entry("retry", incident)
        assert event_of(world.entry("retry", incident)).data["wish"]["approvers"] == []


class TestANoToIt:
    def deny(self, world, run):
        return world.answer("deny", run, "", who="bob")

    def test_takes_it_back(self, world, run):
        embargo(world, HOUR)
        ask(world, run)
        assert self.deny(world, run)["done"]
        assert world.due("retry") == {}
        assert world.told(run) == ["denied by bob: scale_deployment is not done"]
        assert world.incident(run)["state"] == "closed"

    def test_is_none_where_no_run_waits(self, world, run):
        assert "no" in self.deny(world, run)
        incident = world.opened(family="two")
        embargo(world, HOUR)
        world.admit(incident)
        assert "no" in self.deny(world, incident)
        assert world.due("retry") == {incident: HOUR}
