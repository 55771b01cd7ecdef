"""What a person asked for and what had to wait: his word is good for a while, and he can take it back."""

import json

import pytest

from shared.event.publish import event_of
from shared.event.types import RequestedData
from shared.model.wish import Wish
from tests.state.world import HOUR, MINUTE, SCOPE

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

    def test_is_dropped_where_a_stop_was_lifted_since_it_was_asked_for(self, world, run):
        asked = world.now
        embargo(world, HOUR)
        ask(world, run, asked_at=asked)
        assert world.entry("retry", run)["asked_at"] == asked
        world.stop("freeze")
        world.advance(MINUTE)
        world.stop("run")
        embargo(world, 0)
        world.request(run)

        assert ask(world, run, asked_at=asked, dry=True)["check"] == "stale"
        assert ask(world, run, asked_at=world.now, dry=True)["decision"] == "approved"
        assert ask(world, run, asked_at=asked)["retry_at"] == 0
        assert "asked for before the stop was lifted" in world.told(run)[-1]

    def test_of_an_alert_waits_as_long_as_it_must(self, world):
        incident = world.opened()
        embargo(world, 5 * HOUR)
        world.admit(incident)
        assert world.due("retry") == {incident: 5 * HOUR}


class TestAWordThatIsNotHeardAtOnce:
    """From the moment at which it was said, however long its event takes."""

    def test_of_a_run_is_good_for_the_time_of_an_approval(self, world):
        body = RequestedData(incident="", wish=Wish(reason="run", action="scale_deployment", author="ann"))
        said = world.state.settle(world.cause("api"), "run", run="run-1", incident="", who="ann",
                                  body=body.model_dump_json())  # fmt: skip
        wish = event_of({**json.loads(said["entry"]), "tenant": "acme", "cluster": "prod"}).data["wish"]

        assert (wish["asked_at"], wish["voice_until"]) == (world.now, world.now + HOUR)

    def test_of_a_yes_too(self, world):
        incident = world.opened()
        held = world.admit(incident, autonomy="approve")
        world.advance(MINUTE)
        said = world.answer("approve", incident, held["hold"])
        wish = event_of({**json.loads(said["entry"]), "tenant": "acme", "cluster": "prod"}).data["wish"]

        assert (wish["asked_at"], wish["voice_until"]) == (world.now, world.now + HOUR)


class TestAYesThatIsVoid:
    def test_is_not_kept_for_the_next_try(self, world):
        incident = world.opened()
        embargo(world, MINUTE)
        world.admit(incident, approvers=["ann"], approved_hash="hash-1", wish='{"reason": "approve"}')
        assert "wish" not in world.entry("retry", incident)
        assert event_of(world.entry("retry", incident)).data["wish"]["approvers"] == []

    def test_ends_the_run_that_it_was_for(self, world, run):
        hold = world.admit(run, manual=True, autonomy="approve", plan_hash="h")["hold"]
        world.answer("approve", run, hold, who="bob")
        world.request(run, hold=hold, action="scale_deployment", approvers=["bob"])
        embargo(world, MINUTE)
        answer = world.admit(run, plan_hash="h", approvers=["bob"], approved_hash="h", wish='{"reason": "approve"}')
        assert (answer["check"], answer["retry_at"]) == ("embargo", world.now + MINUTE)
        assert world.due("retry") == {}
        assert world.told(run)[-2:] == [
            "the approval by bob is void: embargo", "not done: scale_deployment refused by embargo: ask again",
        ]  # fmt: skip
        assert world.incident(run)["state"] == "closed"


class TestAYesToWhatWasTakenBackMeanwhile:
    """It was said in time, and heard only when what waited for it was gone."""

    @pytest.fixture
    def incident(self, world):
        return world.opened("aa")

    @pytest.fixture
    def hold(self, world, incident):
        held = world.admit(incident, autonomy="approve")["hold"]
        world.answer("approve", incident, held)
        return held

    def hear(self, world, incident, hold):
        return world.request(incident, hold=hold, action="scale_deployment", approvers=["ann"])

    def test_is_void_when_the_incident_has_been_closed(self, world, incident, hold):
        world.resolve("aa")
        assert self.hear(world, incident, hold)["result"] == "ended"
        assert world.told(incident)[-1] == "the approval by ann is void: incident, it is closed"
        assert world.words(incident)[-1] == "void"

    def test_is_void_when_the_incident_was_opened_anew(self, world, incident, hold):
        world.resolve("aa")
        world.advance(MINUTE)
        assert world.opened("bb") == incident
        again = world.admit(incident, autonomy="approve")["hold"]
        assert self.hear(world, incident, hold)["result"] == "ended"
        assert world.told(incident)[-1] == "the approval by ann is void: incident, it went on without it"
        assert (world.incident(incident)["hold"], world.due("hold")) == (again, {incident: HOUR})

    def test_is_void_when_something_else_is_decided_in_its_place(self, world, incident, hold):
        assert world.admit(incident, autonomy="off")["decision"] == "denied"
        assert "the approval by ann is void: incident, it went on without it" in world.told(incident)
        assert world.incident(incident)["hold"] == ""
        assert self.hear(world, incident, hold)["result"] == "ended"


class TestASecondRunWhereOneWaits:
    def test_is_not_done_and_the_first_one_stays(self, world, run):
        embargo(world, HOUR)
        ask(world, run)
        second = world.person_runs()
        assert second["result"] == "told"
        assert world.told(second["incident"]) == [
            f"not done: another run on {SCOPE} waits for its time; akeso deny {run}"
        ]
        assert json.loads(world.entry("retry", run)["wish"])["author"] == "ann"


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
