"""A person's run: first what would come of it, without effects; then the way that every alert takes."""

import pytest

from shared import clock

RUN = {
    "action": "scale_deployment",
    "target": {"kind": "Deployment", "namespace": "shop", "name": "checkout"},
    "params": {"replicas": 2},
    "by": "ada",
}


def go(world, **changes):
    """The run is carried out, and answers what the chain said."""
    said = world.ok("POST", "v1/run", {**RUN, "dry_run": False, **changes})
    event = world.sink.events[-1]
    assert event.id == said["run"]
    return said, world.drive(event)


class TestDryRun:
    def test_is_what_is_meant_unless_said_otherwise(self, world):
        world.checkout()
        before = world.keys()
        said = world.ok("POST", "v1/run", RUN)
        assert said["dry_run"] is True
        assert said["plan"]["diff"] == ["  Deployment/shop/checkout /spec/replicas", "- 1", "+ 2"]
        assert (said["facts"]["autonomy"], said["facts"]["replicas"]["ready"]) == ("auto", 1)
        assert world.keys() == before
        assert (world.replicas(), world.sink.events, world.cluster.writes()) == (1, [], [])

    def test_an_action_that_refuses_says_why(self, world):
        world.checkout()
        said = world.ok("POST", "v1/run", {**RUN, "params": {"replicas": 1}})
        assert (said["decision"], said["refusal"]["reason"]) == ("refused", "nothing-to-do")

    def test_the_guard_judges_it_by_its_own_checks(self, world):
        world.checkout()
        go(world)
        said = world.ok("POST", "v1/run", {**RUN, "params": {"replicas": 4}})
        assert (said["decision"], said["check"]) == ("denied", "live")

    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_stop_refuses_it(self, world, mode):
        world.checkout()
        world.ok("POST", "v1/stop", {"mode": mode, "reason": "r", "by": "ada"})
        said = world.ok("POST", "v1/run", RUN)
        assert (said["decision"], said["check"], said["text"]) == ("denied", mode, "r")

    def test_a_target_that_is_not_there(self, world):
        status, said = world.ask("POST", "v1/run", RUN)
        assert (status, said["error"]) == (404, "not-found")


class TestRealRun:
    def test_is_done_and_audited_with_its_author(self, world):
        world.checkout()
        said, emits = go(world, reason="more load")
        assert [emit.type for emit in emits][-1] == "remediation.succeeded"
        assert world.replicas() == 2
        seen = world.ok("GET", f"v1/incidents/{said['run']}")
        (line,) = seen["audit"]
        assert (line["what"], line["who"]) == ("run", "ada: more load")
        assert line["body"]["wish"]["approvers"] == ["ada"]

    def test_its_incident_is_found_by_the_run(self, world):
        world.checkout()
        said, emits = go(world)
        assert world.ok("GET", f"v1/incidents/{said['run']}")["incidents"] == [emits[0].incident]

    def test_the_author_is_the_one_approver_that_approve_wants(self, world):
        world.checkout()
        world.autonomy("approve")
        assert go(world)[1][-1].type == "remediation.succeeded"
        assert world.replicas() == 2

    @pytest.mark.parametrize("word", ["off", "observe"])
    def test_off_and_observe_refuse_people_too(self, world, word):
        world.checkout()
        world.autonomy(word)
        emits = go(world)[1]
        assert (emits[-1].type, emits[-1].data.check) == ("remediation.denied", "autonomy")
        assert world.replicas() == 1

    def test_what_the_broker_does_not_take_stays_due(self, world):
        world.checkout()
        world.sink.status = 500
        said = world.ok("POST", "v1/run", {**RUN, "dry_run": False})
        assert said["published"] is False
        assert world.ok("GET", "v1/status")["due"]["retry"] == 1

    def test_a_target_that_is_not_there_starts_nothing(self, world):
        before = world.keys()
        assert world.ask("POST", "v1/run", {**RUN, "dry_run": False})[0] == 404
        assert world.keys() == before


class TestARunThatWaits:
    @pytest.fixture
    def incident(self, world):
        """A run that the guard lets wait, because state was lost of late."""
        world.checkout()
        world.here.state.store.read("HSET", "{akeso}:epoch", "embargo_until", clock.now_ms() + 60_000)
        return go(world)[1][0].incident

    def test_can_be_taken_back_by_whoever_may_say_no(self, world, incident):
        nobody = world.person("eve", "run", "get")
        assert world.ask("POST", f"v1/holds/{incident}/deny", {"reason": "not now"}, token=nobody)[0] == 403
        said = world.ok("POST", f"v1/holds/{incident}/deny", {"reason": "not now"}, token=world.person("bo", "deny"))
        assert (said["by"], said["hold"]) == ("bo", "")
        assert world.audit(incident)[-2:] == ["deny", "closed"]
        assert world.ask("POST", f"v1/holds/{incident}/deny", {"reason": "not now"})[0] == 409

    def test_takes_no_yes(self, world, incident):
        assert world.ask("POST", f"v1/holds/{incident}/approve", {"reason": "now"})[0] == 409
