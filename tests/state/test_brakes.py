"""Storm brakes, fences and windows, as stories; in any order they are tried by the machines."""

import json
from typing import Any, ClassVar

import pytest

from tests.state.checks import put, remember, window
from tests.state.world import COOLDOWN, DAY, HOUR, MINUTE, RUN_IN, SCOPE, START_IN, sha1


def scope(number):
    return f"Deployment/shop/s{number}"


class TestAStormByRate:
    def test_refuses_writes_with_a_time_and_lets_people_and_messages_through(self, world):
        world.policy(storm_new_incidents=3)
        own = [world.opened(scope=scope(number)) for number in range(3)]
        storm = world.fire(scope=scope(3))
        assert storm["result"] == "told"
        answer = world.admit(own[0], scope=scope(0))
        assert (answer["check"], answer["retry_at"]) == ("storm", world.now + 5 * MINUTE)
        assert world.told(own[0]) == []
        assert world.admit(own[1], scope=scope(1), kind="none", action="notify_only")["decision"] == "approved"
        run = world.person_runs(scope(2))["incident"]
        assert world.admit(run, scope=scope(2), manual=True, approvers=["ann"])["decision"] == "approved"

    def test_is_one_ticket_however_many_come(self, world):
        world.policy(storm_new_incidents=3)
        for number in range(3):
            world.opened(scope=scope(number))
        storms = {world.fire(scope=scope(number))["incident"] for number in range(3, 30)}
        assert len(storms) == 1
        assert len(world.told(storms.pop())) == 1
        assert world.counter("storms_total") == 1

    def test_is_none_while_there_are_no_more_than_the_limit(self, world):
        world.policy(storm_new_incidents=3)
        own = [world.opened(scope=scope(number)) for number in range(3)]
        world.load()
        assert world.admit(own[0], scope=scope(0))["decision"] == "approved"

    def test_is_over_by_itself_after_a_while_of_calm(self, world):
        world.policy(storm_new_incidents=4)
        own = [world.opened(scope=scope(number)) for number in range(4)]
        world.fire(scope=scope(4))
        world.advance(5 * MINUTE)
        world.load()  # calm from here on
        world.advance(5 * MINUTE - 1)
        world.load()
        assert world.admit(own[0], scope=scope(0))["check"] == "storm"
        world.advance(1)
        world.load()
        assert world.admit(own[0], scope=scope(0))["decision"] == "approved"
        assert world.counter("storms_over_total") == 1

    def test_is_not_over_while_half_as_many_come(self, world):
        world.policy(storm_new_incidents=4)
        for number in range(4):
            world.opened(scope=scope(number))
        world.fire("one", scope=scope(4))
        world.resolve("one")
        world.advance(5 * MINUTE)
        world.load()
        assert world.redis.hget(world.key("storm"), "calm_since")
        world.redis.zadd(world.key("new"), {"a": world.now, "b": world.now})
        world.load()
        assert world.redis.hget(world.key("storm"), "calm_since") is None


class TestAStormByShare:
    def fail(self, world, count, what=scope, **more):
        return [world.opened(f"fp{number}", scope=what(number), **more) for number in range(count)]

    def test_begins_above_the_share_of_failing_targets(self, world):
        world.load(targets={"count": 20})
        own = self.fail(world, 6)
        world.load()
        assert world.admit(own[0], scope=scope(0), dry=True)["decision"] == "approved"
        own += [world.opened("seventh", scope=scope(7))]
        world.load()
        assert world.admit(own[0], scope=scope(0))["check"] == "storm"

    def test_counts_nodes_as_well(self, world):
        world.load(targets={"count": 10})
        self.fail(world, 5, "Node/n{}".format, namespace="")
        world.load()
        assert world.redis.hget(world.key("storm"), "why") == "5 of 10 targets fail"

    def test_is_none_below_five(self, world):
        world.load(targets={"count": 5})
        self.fail(world, 4)
        world.load()
        assert world.redis.exists(world.key("storm")) == 0

    def test_ends_only_below_half_the_share(self, world):
        world.load(targets={"count": 40})
        self.fail(world, 13)
        world.load()
        for number in range(7):
            world.resolve(f"fp{number}")
        for _ in range(3):
            world.advance(5 * MINUTE)
            world.load()
        assert world.redis.exists(world.key("storm")) == 1, "13 began it, 6 of 40 are exactly half"
        world.resolve("fp7")
        world.load()
        world.advance(5 * MINUTE)
        world.load()
        assert world.redis.exists(world.key("storm")) == 0

    def test_remembers_what_fails_for_as_long_as_it_is_open(self, world):
        own = self.fail(world, 1)
        for _ in range(4):
            world.age(10 * DAY)
            world.request(own[0], look=True)
        assert world.redis.hgetall(world.key("failing")) == {scope(0): "1"}
        world.deliver(own[0])


class TestADemotion:
    def test_outlives_any_number_of_refusals(self, world):
        incident = world.opened()
        put(world, world.key("scope", sha1(SCOPE)), **{"cap:scale_deployment": "observe"})
        world.redis.pexpire(world.key("scope", sha1(SCOPE)), 30 * DAY)
        for _ in range(5):
            world.age(10 * DAY)
            world.request(incident, look=True)
            assert world.admit(incident)["check"] == "observe"
        world.deliver(incident)


class TestAFence:
    def test_that_is_older_cannot_begin(self, world):
        first = world.admit(world.opened())
        world.advance(START_IN + RUN_IN)
        second = world.admit(world.opened(family="two"))
        assert second["fence"] > first["fence"]
        assert world.begin(first) == {"go": False, "check": "lease"}
        assert world.begin(second, fence=first["fence"]) == {"go": False, "check": "lease"}
        assert world.begin(second)["go"]

    def test_that_was_overtaken_is_noticed_between_two_steps(self, world):
        first = world.admit(world.opened())
        assert world.begin(first)["go"]
        world.finish(first, "progressing", next_step=1, delay=0)
        world.advance(START_IN + RUN_IN)
        second = world.admit(world.opened(family="two"))
        assert world.begin(first, step=1, run="late") == {"go": False, "check": "lease"}
        assert world.begin(second)["go"]
        world.finish(first, "stopped", run="late", step=1)
        assert world.redis.hget(world.key("scope", sha1(SCOPE)), "lease") == second["grant"]

    def test_grows_over_all_scopes_and_after_everything_was_let_go(self, world):
        fences = []
        for number in range(3):
            answer = world.admit(world.opened(scope=scope(number)), scope=scope(number))
            world.finish(answer["grant"], "unused", run="")
            fences.append(answer["fence"])
        assert fences == sorted(set(fences))


class TestTheEndOfAnAttempt:
    """Only `finish` and `settle` move breaker, back-off and ladder, once each."""

    def moved(self, world):
        return {name: held for name, held in world.dump().items() if ":breaker:" in name or ":scope:" in name}

    @pytest.mark.parametrize("outcome", ["failed", "stopped", "unknown", "skipped", "succeeded"])
    def test_that_is_told_twice_moves_once(self, world, outcome):
        grant = world.begun(world.opened())
        world.finish(grant, outcome)
        before = self.moved(world)
        for later in ("failed", "succeeded", "unused"):
            world.finish(grant, later, run="late")
        assert self.moved(world) == before

    def test_that_failed_is_one_failure_of_the_breaker_and_of_the_backoff(self, world):
        grant = world.begun(world.opened())
        world.finish(grant, "failed")
        world.finish(grant, "failed")
        breaker = world.redis.hgetall(world.key("breaker", "scale_deployment", "Deployment"))
        assert breaker == {"state": "closed", "fails": f"[{world.now}]"}
        assert world.redis.hget(world.key("scope", sha1(SCOPE)), "fails") == "1"

    @pytest.mark.parametrize("seen", [{"healthy": False}, {"worse": True}, {"known": False}])
    def test_that_was_judged_twice_moves_once(self, world, seen):
        world.heartbeat()
        grant = world.soaking(world.opened())
        cause = world.cause("verifier")
        world.verdict(grant, cause=cause, **seen)
        before = self.moved(world)
        world.verdict(grant, cause=cause, **seen)
        world.verdict(grant, **seen)
        assert self.moved(world) == before

    def test_is_moved_by_no_alert_and_no_look(self, world):
        world.heartbeat()
        incident = world.opened("fp")
        world.finish(world.begun(incident), "failed")
        before = self.moved(world)
        world.fire("fp")
        world.request(incident, look=True)
        world.resolve("fp")
        world.fire("fp2")
        assert self.moved(world) == before


class TestTimesToTheMillisecond:
    """The time that a refusal names is the first at which it passes."""

    def passes_at(self, world, incident, at, check, **asked):
        answer = world.admit(incident, dry=True, **asked)
        assert (answer["check"], answer["retry_at"]) == (check, at)
        world.sim.jump(at - 1)
        assert world.admit(incident, dry=True, taken_at=world.now, **asked).get("check") == check
        world.sim.jump(at)
        assert world.admit(incident, dry=True, taken_at=world.now, **asked).get("check") != check

    def test_of_freezes_that_overlap_it_is_the_end_of_the_last(self, world):
        window(world, "freeze", -HOUR, HOUR)
        window(world, "freeze", HOUR // 2, 2 * HOUR)
        window(world, "freeze", 2 * HOUR, 3 * HOUR)
        window(world, "freeze", 4 * HOUR, 5 * HOUR)
        self.passes_at(world, world.opened(), world.now + 3 * HOUR, "change-freeze")

    def test_of_maintenance_it_is_the_next_begin_of_any(self, world):
        window(world, "maintenance", 3 * HOUR, 4 * HOUR)
        window(world, "maintenance", HOUR, 2 * HOUR)
        incident = world.opened()
        self.passes_at(world, incident, world.now + HOUR, "window")
        world.sim.jump(world.now + HOUR)
        self.passes_at(world, incident, world.now + HOUR, "window")

    def test_of_windows_that_nobody_knows_so_far_ahead_there_is_none(self, world):
        window(world, "freeze", HOUR, 2 * HOUR)
        world.advance(DAY)
        answer = world.admit(world.opened())
        assert (answer["check"], answer.get("retry_at")) == ("change-freeze", 0)

    def test_of_leases_in_the_way_it_is_the_end_of_the_last(self, world):
        incident = world.opened(scope=scope(1))
        world.granted(incident, scope=scope(1))
        world.advance(MINUTE)
        last = world.admit(world.opened(scope=scope(2)), scope=scope(2))["finish_by"]
        self.passes_at(world, world.opened(), last, "lease", width="namespace")

    def test_of_a_person_it_is_a_quarter_of_an_hour_after_the_change(self, world):
        asked = {"changed_by": "kubectl", "changed_at": world.now - MINUTE}
        self.passes_at(world, world.opened(), world.now + 14 * MINUTE, "person", **asked)

    def test_of_an_oscillation_it_is_six_hours_after_the_first_turn(self, world):
        remember(world, {"at": world.now - HOUR, "a": "x", "t": "up"}, {"at": world.now, "a": "x", "t": "down"})
        self.passes_at(world, world.opened(), world.now + 5 * HOUR, "oscillation", turn="up")

    def test_of_a_breaker_and_a_backoff_it_is_when_they_end(self, world):
        incident, key = world.opened(), world.key("breaker", "scale_deployment", "Deployment")
        put(world, key, state="open", open_until=world.now + HOUR)
        put(world, world.key("scope", sha1(SCOPE)), backoff_until=world.now + 2 * HOUR)
        self.passes_at(world, incident, world.now + HOUR, "breaker")
        self.passes_at(world, incident, world.now + HOUR, "backoff")

    def test_of_a_cooldown_it_is_never_before_its_end(self, world):
        incident = world.opened()
        world.finish(world.begun(incident), "failed")
        self.passes_at(world, incident, world.now + COOLDOWN, "cooldown")


class TestALiftedStop:
    def test_drops_and_lists_what_was_asked_before_it_and_asks_anew(self, world):
        incident, before = world.opened(), world.now
        said = {"mode": "run", "reason": "", "by": "tests", "since": ""}
        world.load(stop={**said, "scopes": {"namespace.shop": "stop: why", "action.other": "freeze"}})
        assert world.admit(incident, dry=True)["text"] == "namespace.shop: why"
        world.advance(1)
        world.load(stop={**said, "scopes": {"action.other": "freeze"}})
        answer = world.admit(incident, taken_at=before, wish='{"reason":"run"}')
        assert (answer["check"], answer["retry_at"]) == ("stale", world.now)
        assert answer["text"] == "from before the stop was lifted"
        assert "wish" not in world.entry("retry", incident)
        (dropped,) = world.redis.lrange(world.key("dropped"), 0, -1)
        assert json.loads(dropped)["incident"] == incident
        assert world.admit(incident, action="other", dry=True)["check"] == "freeze"
        assert world.admit(incident)["decision"] == "approved"


class TestLimitsThatNoPolicyMayHave:
    """The policy's own bounds keep them out; should one be there all the same, it is kept to, and never an error."""

    LIMITS = (
        "attempts", "concurrency", "concurrency_action", "rate_minute", "rate_hour", "rate_action", "rate_namespace",
        "blast_most", "resource_changes", "risk_refuse",
    )  # fmt: skip
    ASKED: ClassVar[dict[str, Any]] = {
        "resources": True,
        "touches": {"unit": "pod", "count": 1, "population": 0, "pool": ""},
    }

    @pytest.mark.parametrize("limit", [0, -1, -(10**6)])
    @pytest.mark.parametrize("field", LIMITS)
    def test_of_none_or_less_let_nothing_through(self, world, field, limit):
        incident = world.opened()
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), field: limit})
        answer = world.admit(incident, dry=True, **self.ASKED)
        check = {"risk_refuse": "risk"}.get(field, field.replace("_", "-"))
        assert (answer["decision"], answer["check"], answer["limit"]) == ("denied", check, limit)
        assert answer["retry_at"] == 0

    @pytest.mark.parametrize("field", LIMITS)
    def test_of_a_huge_number_let_through(self, world, field):
        incident = world.opened()
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), field: 2**53})
        assert world.admit(incident, **self.ASKED)["decision"] == "approved"

    @pytest.mark.parametrize("field", ["rules", "windows", "hours", "hold"])
    def test_of_empty_lists_are_none(self, world, field):
        incident = world.opened()
        world.load(policy={**world.redis.hgetall("{akeso}:policy"), field: "[]", "windows_until": world.now})
        assert world.admit(incident)["decision"] == "approved"
