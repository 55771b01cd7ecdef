import json

import pytest

from shared.state.client import PREFIX
from tests.state.checks import spoil
from tests.state.world import COOLDOWN, DAY, FAMILY, HOUR, MINUTE, RUN_IN, SCOPE, SECOND, START_IN, sha1


class TestARefusedProposal:
    def test_an_alert_of_another_scope_is_refused(self, world):
        assert world.admit(world.opened(), scope="Deployment/shop/other")["check"] == "scope"

    def test_of_nothing_known_is_incident(self, world):
        answer = world.admit("inc-never")
        assert (answer["decision"], answer["check"]) == ("denied", "incident")

    def test_protection_wins_over_autonomy_off(self, world):
        incident = world.opened()
        assert world.admit(incident, autonomy="off", namespace="kube-system")["check"] == "protected"
        assert world.told(incident) == ["not done: scale_deployment refused by protected"]

    def test_a_policy_protects_more_namespaces(self, world):
        world.policy(protected_namespaces=("pay-*",))
        assert world.admit(world.opened(), namespace="pay-eu")["check"] == "protected"
        assert world.admit(world.opened(family="two"), namespace="repay-eu")["decision"] == "approved"

    def test_the_refusal_says_why_it_is_stopped(self, world):
        world.stop("stop", "the big sale")
        incident = world.opened()
        assert world.admit(incident)["text"] == "the big sale"
        assert world.told(incident) == ["not done: scale_deployment refused by stop (the big sale)"]


class TestAnApproval:
    def test_takes_lease_attempt_and_rate_and_is_started_in_time(self, world):
        incident = world.opened()
        answer = world.admit(incident)
        grant = answer["grant"]
        assert answer["epoch"] == world.epoch()
        assert (answer["start_by"], answer["finish_by"]) == (world.now + START_IN, world.now + START_IN + RUN_IN)
        assert world.due() == {f"start {grant}": START_IN, f"incident {incident}": HOUR}
        scope = world.redis.hgetall(world.key("scope", sha1(SCOPE)))
        history = json.loads(scope.pop("history"))
        assert scope == {
            "lease": grant, "lease_until": str(answer["finish_by"]), "fence": str(answer["fence"]), "name": SCOPE
        }  # fmt: skip
        assert history == [{"at": world.now, "a": "scale_deployment", "t": "", "n": 0, "g": grant}]
        assert world.redis.zrange(world.key("rate"), 0, -1) == [f"{grant}|scale_deployment|shop|none|0|"]
        assert world.redis.zrange(world.key("attempts", sha1(f"{SCOPE}|{FAMILY}")), 0, -1) == [grant]
        assert world.incident(incident)["attempt"] == grant
        assert world.incident(incident)["stage"] == ""

    def test_is_repeated_for_the_same_event(self, world):
        incident = world.opened()
        cause = world.cause("guard")
        first = world.admit(incident, cause=cause)
        world.begin(first)
        before = world.dump()
        assert world.admit(incident, cause=cause) == {**first, "replay": True}
        assert world.dump() == before

    def test_names_the_policy_by_which_it_was_judged(self, world):
        incident = world.opened()
        revision = world.redis.hget(f"{PREFIX}:policy", "revision")
        assert world.admit(incident)["policy"] == revision
        assert world.audit(incident)[-1]["policy"] == revision

    def test_of_what_only_tells_takes_nothing(self, world):
        incident = world.opened()
        answer = world.admit(incident, kind="none", action="notify_only")
        assert answer["decision"] == "approved"
        assert world.budget() == {}
        assert world.begin(answer)["go"]

    def test_of_what_only_tells_leaves_a_running_attempt_alone(self, world):
        incident = world.opened()
        grant = world.begun(incident)
        world.admit(incident, kind="none", action="notify_only")
        assert world.incident(incident)["attempt"] == grant

    def test_ends_the_hold_that_still_waits(self, world):
        incident = world.opened()
        world.admit(incident, autonomy="approve")
        world.granted(incident)
        assert world.due("hold") == {}
        assert world.incident(incident)["hold"] == ""
        assert not world.redis.exists(world.key("hold", incident))


class TestARefusal:
    def test_with_a_time_comes_back_then(self, world):
        incident = world.opened()
        asked = {}
        spoil(world, incident, "cooldown", asked)
        answer = world.admit(incident, wish='{"reason":"retry"}', **asked)
        assert answer["retry_at"] == world.now + HOUR
        assert world.due("retry") == {incident: HOUR}
        assert world.entry("retry", incident)["wish"] == '{"reason":"retry"}'
        assert world.told(incident) == []

    @pytest.mark.parametrize("check", ["expired", "stale"])
    def test_for_old_facts_asks_for_fresh_ones(self, world, check):
        incident = world.opened()
        asked = {}
        spoil(world, incident, check, asked)
        assert world.admit(incident, **asked)["retry_at"] == world.now
        assert world.due("retry") == {incident: SECOND}

    @pytest.mark.parametrize("check", ["freeze", "stop", "scope", "protected", "autonomy", "attempts"])
    def test_without_a_time_is_told(self, world, check):
        incident = world.opened()
        asked = {}
        spoil(world, incident, check, asked)
        world.admit(incident, **asked)
        assert world.due("retry") == {}
        assert len(world.told(incident)) == 1
        assert f"refused by {check}" in world.told(incident)[0]

    def test_beside_something_live_is_not_told(self, world):
        incident = world.opened()
        world.granted(incident)
        assert world.admit(incident)["check"] == "live"
        assert world.told(incident) == []

    def test_only_by_observe_is_counted_and_shown(self, world):
        incident = world.opened()
        world.admit(incident, autonomy="observe")
        assert world.counter("would_have_done") == 1
        assert world.told(incident) == ["would have done: akeso run scale_deployment"]

    def test_that_observe_never_saw_is_not_counted(self, world):
        incident = world.opened()
        asked = {}
        spoil(world, incident, "attempts", asked)
        world.admit(incident, **{**asked, "autonomy": "observe"})
        assert world.counter("would_have_done") == 0

    def test_by_suggest_tells_the_command(self, world):
        incident = world.opened()
        world.admit(incident, autonomy="suggest")
        assert world.told(incident) == ["suggested: akeso run scale_deployment"]
        assert world.due("hold") == {}

    def test_is_repeated_for_the_same_event(self, world):
        incident = world.opened()
        cause = world.cause("guard")
        first = world.admit(incident, cause=cause, taken_at=0)
        before = world.dump()
        assert world.admit(incident, cause=cause) == {**first, "replay": True}
        assert world.dump() == before

    def test_of_an_undo_with_a_time_moves_its_entry(self, world):
        incident = world.opened()
        grant = world.soaking(incident)
        world.verdict(grant, worse=True)
        spoil(world, incident, "lease", {})
        world.undo(grant, incident)
        assert world.due("revert") == {grant: HOUR}
        assert world.incident(incident)["undo"] == grant

    def test_of_an_undo_for_good_tells_the_command_and_lets_go(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.verdict(grant, worse=True)
        world.resolve("fp")
        world.stop("freeze")
        world.undo(grant, incident)
        assert world.due("revert") == {}
        assert f"undo refused: freeze; akeso undo {grant}" in world.told(incident)
        assert world.incident(incident)["state"] == "closed"
        assert "lease" not in world.redis.hgetall(world.key("scope", sha1(SCOPE)))

    def test_of_an_undo_leaves_the_lease_to_the_soak(self, world):
        incident = world.opened()
        grant = world.soaking(incident)
        world.state.settle(world.cause("api"), "undo", attempt=grant, who="ann", reason="no")
        world.stop("freeze")
        world.undo(grant, incident)
        assert world.redis.hget(world.key("scope", sha1(SCOPE)), "lease") == grant
        assert world.incident(incident)["soak"] == grant


class TestAnUndo:
    def test_takes_the_lease_over_and_withdraws_the_soak(self, world):
        incident = world.opened()
        grant = world.soaking(incident)
        undo = world.undo(grant, incident)["grant"]
        assert world.redis.hget(world.key("scope", sha1(SCOPE)), "lease") == undo
        assert world.due("soak") == {}
        assert world.due("revert") == {}
        assert world.incident(incident)["soak"] == ""
        assert world.incident(incident)["undo"] == grant

    def test_costs_no_budget(self, world):
        incident = world.opened()
        grant = world.soaking(incident)
        leases = (":scope:", ":live")  # it takes the lease over
        before = {name: held for name, held in world.budget().items() if not any(part in name for part in leases)}
        world.undo(grant, incident)
        after = world.budget()
        assert {name: held for name, held in after.items() if not any(part in name for part in leases)} == before

    def test_leaves_a_hold_as_it_is(self, world):
        incident = world.opened()
        grant = world.begun(incident)
        world.finish(grant, "failed", inverse="{}", inverse_hash="h")
        world.advance(COOLDOWN)
        world.request(incident)
        hold = world.admit(incident, autonomy="approve")["hold"]
        world.undo(grant, incident)
        assert world.incident(incident)["hold"] == hold
        assert incident in world.due("hold")


class TestAHold:
    def test_waits_for_a_person_and_reserves_nothing(self, world):
        incident = world.opened()
        answer = world.admit(incident, autonomy="approve")
        assert answer["deadline"] == world.now + HOUR
        assert world.due("hold") == {incident: HOUR}
        assert world.budget() == {}
        assert world.incident(incident)["hold"] == answer["hold"]
        assert world.told(incident) == [f"held: scale_deployment waits for a person ({answer['hold']})"]

    def test_can_be_forced_by_policy(self, world):
        world.policy(hold=("scale_deployment",), approval_minutes=5)
        incident = world.opened()
        answer = world.admit(incident)
        assert (answer["decision"], answer["deadline"]) == ("held", world.now + 5 * MINUTE)
        other = world.opened(family="two")
        assert world.admit(other, action="restart_pod")["decision"] == "approved"

    def test_approved_for_the_same_plan_is_admitted(self, world):
        incident = world.opened()
        world.admit(incident, autonomy="approve")
        again = {"autonomy": "approve", "approvers": ["ann"], "approved_hash": "hash-1"}
        assert world.admit(incident, **again)["decision"] == "approved"

    def test_approved_for_another_plan_is_held_anew(self, world):
        incident = world.opened()
        first = world.admit(incident, autonomy="approve")["hold"]
        again = {"autonomy": "approve", "approvers": ["ann"], "approved_hash": "hash-1", "plan_hash": "hash-2"}
        second = world.admit(incident, **again)
        assert second["decision"] == "held"
        assert second["hold"] != first
        assert world.redis.hget(world.key("hold", incident), "plan_hash") == "hash-2"

    def test_is_not_needed_for_a_persons_run(self, world):
        incident = world.person_runs()["incident"]
        answer = world.admit(incident, autonomy="approve", manual=True, approvers=["ann"])
        assert answer["decision"] == "approved"


class TestAPersonsRun:
    def test_is_allowed_where_the_machine_only_suggests(self, world):
        incident = world.person_runs()["incident"]
        assert world.admit(incident, autonomy="suggest", manual=True, approvers=["ann"])["decision"] == "approved"

    def test_by_one_who_may_not_approve_waits_there_for_one_who_may(self, world):
        incident = world.person_runs()["incident"]
        answer = world.admit(incident, autonomy="suggest", manual=True)
        assert (answer["decision"], answer["needs"]) == ("held", 1)

    @pytest.mark.parametrize("autonomy", ["off", "observe"])
    def test_is_refused_where_nobody_opted_in_and_ends(self, world, autonomy):
        incident = world.person_runs()["incident"]
        assert world.admit(incident, autonomy=autonomy, manual=True, approvers=["ann"])["check"] == "autonomy"
        assert world.incident(incident)["state"] == "closed"
        assert world.told(incident) == ["not done: scale_deployment refused by autonomy"]

    def test_that_is_refused_for_now_comes_back(self, world):
        incident = world.person_runs()["incident"]
        spoil(world, incident, "cooldown", {})
        world.admit(incident, manual=True, approvers=["ann"], wish='{"reason": "run"}')
        assert world.due("retry") == {incident: HOUR}
        assert world.incident(incident)["state"] == "open"


class TestLimitsToTheMillisecond:
    def failed(self, world, incident, **more):
        grant = world.begun(incident, **more)
        world.finish(grant, "failed")
        return grant

    def test_cooldown_begins_with_the_end(self, world):
        incident = world.opened()
        grant = world.begun(incident)
        world.advance(MINUTE)
        world.finish(grant, "failed")
        answer = world.admit(incident)
        assert (answer["check"], answer["retry_at"]) == ("cooldown", world.now + COOLDOWN)
        world.advance(COOLDOWN - 1)
        assert world.admit(incident)["check"] == "cooldown"
        world.advance(1)
        assert world.admit(incident)["decision"] == "approved"

    def test_cooldown_is_never_shorter_than_soak_and_a_minute(self, world):
        incident = world.opened()
        self.failed(world, incident, cooldown=0, soak=30 * MINUTE)
        assert world.admit(incident)["retry_at"] == world.now + 31 * MINUTE

    def test_cooldown_is_never_shorter_than_the_policy_says(self, world):
        world.policy(min_cooldown_s=7200)
        incident = world.opened()
        self.failed(world, incident)
        assert world.admit(incident)["retry_at"] == world.now + 2 * HOUR

    def test_cooldown_is_of_the_scope_whatever_the_family(self, world):
        self.failed(world, world.opened())
        assert world.admit(world.opened(family="crash-loop"))["check"] == "cooldown"
        other = world.opened(scope="Deployment/shop/other")
        assert world.admit(other, scope="Deployment/shop/other")["decision"] == "approved"

    def test_lease_runs_from_the_grant_to_its_finish_by(self, world):
        world.granted(world.opened())
        until = world.now + START_IN + RUN_IN
        other = world.opened(family="crash-loop")
        answer = world.admit(other)
        assert (answer["check"], answer["limit"], answer["used"], answer["retry_at"]) == ("lease", 1, 1, until)
        world.advance(START_IN + RUN_IN - 1)
        assert world.admit(other)["check"] == "lease"
        world.advance(1)
        assert world.admit(other)["decision"] == "approved"

    @pytest.mark.parametrize("closed", [False, True])
    def test_three_attempts_in_a_sliding_day_closed_or_not(self, world, closed):
        first_at = world.now
        for _ in range(3):
            incident = world.fire("fp", starts=world.now)["incident"]
            world.request(incident)
            self.failed(world, incident)
            if closed:
                world.resolve("fp")
                world.advance(HOUR)
            world.advance(HOUR)
        incident = world.fire("fp", starts=world.now)["incident"]
        answer = world.admit(incident)
        assert (answer["check"], answer["limit"], answer["used"], answer["retry_at"]) == ("attempts", 3, 3, 0)
        world.sim.jump(first_at + DAY - 1)
        assert world.admit(incident, taken_at=world.now)["check"] == "attempts"
        world.advance(1)
        assert world.admit(incident, taken_at=world.now)["decision"] == "approved"

    def test_attempts_are_of_scope_and_family(self, world):
        world.policy(attempts_per_day=1)
        self.failed(world, world.opened())
        world.advance(COOLDOWN)
        assert world.admit(world.opened(family="crash-loop"))["decision"] == "approved"

    def filled(self, world, count, apart=0):
        for number in range(count):
            name = f"Deployment/shop/s{number}"
            world.granted(world.opened(scope=name), scope=name)
            world.advance(apart)

    def test_the_minutes_rate_has_room_again_when_the_oldest_leaves_it(self, world):
        world.policy(rate_per_minute=3)
        start = world.now
        self.filled(world, 3, apart=SECOND)
        incident = world.opened()
        answer = world.admit(incident)
        assert (answer["check"], answer["limit"], answer["used"]) == ("rate-minute", 3, 3)
        assert answer["retry_at"] == start + MINUTE
        world.sim.jump(start + MINUTE - 1)
        assert world.admit(incident)["check"] == "rate-minute"
        world.advance(1)
        assert world.admit(incident)["decision"] == "approved"

    def test_the_hours_rate_has_room_again_when_the_oldest_leaves_it(self, world):
        world.policy(rate_per_hour=3)
        start = world.now
        self.filled(world, 3, apart=MINUTE)
        incident = world.opened()
        answer = world.admit(incident)
        assert (answer["check"], answer["limit"], answer["used"]) == ("rate-hour", 3, 3)
        assert answer["retry_at"] == start + HOUR
        world.sim.jump(start + HOUR - 1)
        assert world.admit(incident)["check"] == "rate-hour"
        world.advance(1)
        assert world.admit(incident)["decision"] == "approved"

    def test_a_limit_that_was_lowered_has_room_when_enough_have_left(self, world):
        start = world.now
        self.filled(world, 4, apart=SECOND)
        world.policy(rate_per_minute=2)
        assert world.admit(world.opened())["retry_at"] == start + 2 * SECOND + MINUTE

    def test_facts_are_stale_after_two_minutes(self, world):
        incident = world.opened()
        taken_at = world.now
        world.advance(2 * MINUTE)
        assert world.admit(incident, taken_at=taken_at, dry=True)["decision"] == "approved"
        world.advance(1)
        assert world.admit(incident, taken_at=taken_at, dry=True)["check"] == "stale"

    def test_nothing_is_done_while_something_is_to_be_taken_back(self, world):
        incident = world.opened()
        world.redis.hset(world.key("incident", incident), "undo", "grant-1")
        assert world.admit(incident)["check"] == "live"

    @pytest.mark.parametrize(("passed", "fails"), [(DAY - 1, "3"), (DAY, "1")])
    def test_failures_of_more_than_a_day_ago_do_not_lengthen_the_wait(self, world, passed, fails):
        incident = world.opened()
        scope = world.key("scope", sha1(SCOPE))
        world.redis.hset(scope, mapping={"fails": "2", "failed_at": str(world.now - passed)})
        self.failed(world, incident)
        assert world.redis.hget(scope, "fails") == fails

    def test_facts_from_the_future_are_stale_and_told(self, world):
        incident = world.opened()
        assert world.admit(incident, taken_at=world.now + 5 * SECOND, dry=True)["decision"] == "approved"
        answer = world.admit(incident, taken_at=world.now + 5 * SECOND + 1)
        assert (answer["check"], answer["retry_at"]) == ("stale", 0)
        assert world.told(incident) == [
            "not done: scale_deployment refused by stale (its facts are from the future: a clock is ahead)"
        ]

    def test_facts_from_before_a_lift_pass_for_younger_by_no_more_than_clocks_may_be_apart(self, world):
        incident = world.opened()
        world.stop("stop")
        ahead = world.now + 5 * SECOND + 1  # taken now, by a clock that is too far ahead
        world.stop("run")
        assert world.admit(incident, taken_at=ahead)["check"] == "stale"

    def test_an_event_expires_after_its_time(self, world):
        incident = world.opened()
        expires = world.now
        assert world.admit(incident, expires=expires, dry=True)["decision"] == "approved"
        world.advance(1)
        assert world.admit(incident, expires=expires, dry=True)["check"] == "expired"

    def test_an_embargo_ends_by_itself(self, world):
        world.redis.hset(f"{PREFIX}:epoch", "embargo_until", world.now + HOUR)
        incident = world.opened()
        assert world.admit(incident)["retry_at"] == world.now + HOUR
        world.advance(HOUR)
        assert world.admit(incident)["decision"] == "approved"
