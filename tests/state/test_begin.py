import pytest

from tests.state.world import HOUR, MINUTE, RUN_IN, SCOPE, SECOND, START_IN, sha1


@pytest.fixture
def incident(world):
    return world.opened("fp")


@pytest.fixture
def grant(world, incident):
    return world.granted(incident)


class TestTheFirstStep:
    def test_begins_and_is_looked_after(self, world, incident, grant):
        assert world.begin(grant) == {"go": True, "of": ""}
        assert world.due() == {f"attempt {grant}": 90 * SECOND, f"incident {incident}": HOUR}
        entry = world.entry("attempt", grant)
        assert (entry["grant"], entry["plan"], entry["step"]) == (f"signed {grant}", '{"writes":[]}', 0)
        assert world.attempt(grant)["state"] == "begun"
        assert world.words(incident)[-1] == "begun"
        assert world.counter("attempts") == 1

    def test_is_remembered_as_tried(self, world, incident, grant):
        world.begin(grant)
        assert world.redis.lrange(world.key("tried", incident), 0, -1) == ["scale_deployment"]

    def test_may_be_the_last_moment(self, world, grant):
        world.advance(START_IN)
        assert world.begin(grant)["go"]

    def test_is_refused_a_moment_later(self, world, incident, grant):
        world.advance(START_IN + 1)
        assert world.begin(grant) == {"go": False, "check": "start-by"}
        assert world.audit(incident)[-1]["check"] == "start-by"
        assert world.counter("begin_refused_total|check=start-by") == 1

    def test_that_only_tells_is_no_attempt(self, world, incident):
        grant = world.granted(incident, kind="none", action="notify_only")
        assert world.begin(grant)["go"]
        assert world.counter("attempts") == 0


class TestARefusal:
    def refused(self, world, grant, check, **more):
        before = world.attempt(grant), world.due()
        assert world.begin(grant, **more) == {"go": False, "check": check}
        assert (world.attempt(grant), world.due()) == before

    def test_of_a_grant_that_nobody_gave(self, world):
        before = world.dump()
        assert world.begin("grant-forged") == {"go": False, "check": "lost"}
        assert world.dump() == before

    def test_of_one_that_has_ended(self, world, grant):
        world.begin(grant)
        world.finish(grant)
        self.refused(world, grant, "ended")

    def test_of_one_that_was_withdrawn(self, world, grant):
        world.resolve("fp")
        self.refused(world, grant, "ended")

    @pytest.mark.parametrize("step", [1, 2])
    def test_of_a_step_that_is_not_the_next(self, world, grant, step):
        self.refused(world, grant, "cursor", step=step)

    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_of_everything_older_than_a_stop(self, world, grant, mode):
        world.stop(mode)
        self.refused(world, grant, "epoch", epoch=world.attempt(grant)["epoch"])

    def test_of_everything_older_than_a_resume(self, world, grant):
        old = world.epoch()
        world.stop("stop")
        world.stop("run")
        self.refused(world, grant, "epoch", epoch=old)
        self.refused(world, grant, "epoch")

    def test_of_a_signed_grant_of_another_epoch(self, world, grant):
        self.refused(world, grant, "epoch", epoch="another")

    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_while_stopped_even_in_the_present_epoch(self, world, grant, mode):
        world.redis.hset("{akeso}:stop", "mode", mode)
        self.refused(world, grant, "stop")

    def test_without_the_lease(self, world, grant):
        world.redis.hset(world.key("scope", sha1(SCOPE)), "lease", "grant-other")
        self.refused(world, grant, "lease")
        world.redis.hdel(world.key("scope", sha1(SCOPE)), "lease")
        self.refused(world, grant, "lease")

    def test_where_protection_was_extended_meanwhile(self, world, grant):
        world.policy(protected_namespaces=("shop",))
        self.refused(world, grant, "protected")

    def test_of_an_object_that_the_policy_protects_meanwhile(self, world, grant):
        world.policy(protected_objects=("*/shop/w*",))
        self.refused(world, grant, "protected")

    @pytest.mark.parametrize("became", ["closed", "quiet"])
    def test_when_the_incident_is_not_open_any_more(self, world, incident, grant, became):
        world.redis.hset(world.key("incident", incident), "state", became)
        self.refused(world, grant, "incident")

    def test_of_what_only_tells_in_an_older_epoch(self, world, incident):
        grant = world.granted(incident, kind="none")
        world.stop("stop")
        self.refused(world, grant, "epoch")


class TestARunThatIsAlreadyAtIt:
    def test_keeps_others_away_until_its_time_is_over(self, world, incident, grant):
        world.begin(grant, run="one", run_for=30 * SECOND)
        assert world.begin(grant, run="two") == {"go": False, "check": "busy"}
        world.advance(30 * SECOND - 1)
        assert world.begin(grant, run="two") == {"go": False, "check": "busy"}
        world.advance(1)
        assert world.begin(grant, run="two")["go"]
        assert world.audit(incident)[-1]["takes_over"] is True
        assert world.begin(grant, run="one") == {"go": False, "check": "busy"}

    def test_gets_the_same_answer_again(self, world, incident, grant):
        first = world.begin(grant, run="one")
        lines = len(world.audit(incident))
        assert world.begin(grant, run="one") == first
        assert len(world.audit(incident)) == lines
        assert world.counter("attempts") == 1
        assert world.redis.llen(world.key("tried", incident)) == 1


class TestALaterStep:
    def progressed(self, world, incident):
        grant = world.begun(incident)
        world.finish(grant, "progressing", step=0, next_step=1, delay=MINUTE, writes=1)
        return grant

    def test_is_the_next_and_no_other(self, world, incident):
        grant = self.progressed(world, incident)
        assert world.begin(grant, step=0, run="two") == {"go": False, "check": "cursor"}
        assert world.due("step") == {grant: MINUTE}
        assert world.begin(grant, step=1, run="two")["go"]
        assert world.due("step") == {}
        assert world.due("attempt") == {grant: 90 * SECOND}
        assert world.counter("attempts") == 1

    def test_goes_on_although_the_alert_has_resolved(self, world, incident):
        grant = self.progressed(world, incident)
        world.resolve("fp")
        assert world.begin(grant, step=1)["go"]

    def test_has_no_start_by_but_a_finish_by(self, world, incident):
        grant = self.progressed(world, incident)
        world.advance(START_IN + RUN_IN)
        assert world.begin(grant, step=1)["go"]
        grant_too_late = grant
        world.finish(grant, "progressing", step=1, next_step=2, delay=0)
        world.advance(1)
        assert world.begin(grant_too_late, step=2, run="two") == {"go": False, "check": "finish-by"}

    def test_stops_with_a_stop(self, world, incident):
        grant = self.progressed(world, incident)
        world.stop("stop")
        assert world.begin(grant, step=1) == {"go": False, "check": "epoch"}


class TestAnUndo:
    @pytest.fixture
    def undo(self, world, incident):
        return world.undo(world.soaking(incident), incident)["grant"]

    def test_names_what_it_takes_back(self, world, undo):
        assert world.begin(undo) == {"go": True, "of": world.attempt(undo)["of"]}

    def test_begins_while_stopped(self, world, undo):
        world.redis.hset("{akeso}:stop", "mode", "stop")
        assert world.begin(undo)["go"]

    def test_begins_after_the_incident_has_closed(self, world, incident, undo):
        world.redis.hset(world.key("incident", incident), "state", "closed")
        assert world.begin(undo)["go"]

    def test_is_no_new_remedy(self, world, incident, undo):
        world.begin(undo)
        assert world.redis.lrange(world.key("tried", incident), 0, -1) == ["scale_deployment"]

    def test_is_frozen_by_a_freeze(self, world, undo):
        world.redis.hset("{akeso}:stop", "mode", "freeze")
        assert world.begin(undo) == {"go": False, "check": "stop"}

    def test_needs_its_lease(self, world, undo):
        world.redis.hset(world.key("scope", sha1(SCOPE)), "lease", "grant-other")
        assert world.begin(undo) == {"go": False, "check": "lease"}

    @pytest.mark.parametrize("policy", [{"protected_namespaces": ("shop",)}, {"protected_objects": (SCOPE,)}])
    def test_keeps_out_of_what_is_protected(self, world, undo, policy):
        world.policy(**policy)
        assert world.begin(undo) == {"go": False, "check": "protected"}
