import pytest

from tests.state.world import DAY, HOUR, MINUTE, SCOPE, SECOND, SOAK


def scope(number):
    return f"Deployment/shop/web-{number}"


class TestAFiringAlert:
    def test_opens_an_incident_that_triage_carries_on(self, world):
        opened = world.fire("fp", ledger="l")
        incident = opened["incident"]
        assert opened["result"] == "triage"
        assert opened["opened"] is True
        assert opened["protected"] is False
        assert (opened["scope"], opened["family"], opened["alert"]) == (SCOPE, "replicas-missing", '{"a":1}')
        assert world.due() == {f"stage {incident}": 3 * MINUTE, f"incident {incident}": HOUR}
        assert world.incident(incident)["state"] == "open"
        assert world.counter("alerts_accounted_total|how=opened") == 1

    def test_of_the_same_scope_and_family_joins(self, world):
        incident = world.opened("one")
        joined = world.fire("two")
        assert (joined["result"], joined["incident"]) == ("joined", incident)
        assert world.redis.smembers(world.key("firing", incident)) == {"one", "two"}
        assert world.counter("alerts_accounted_total|how=joined") == 1

    def test_of_another_scope_or_family_opens_its_own(self, world):
        incidents = {world.opened(), world.opened(scope=scope(2)), world.opened(family="crash-loop")}
        assert len(incidents) == 3

    def test_in_a_protected_namespace_says_so(self, world):
        assert world.fire(namespace="kube-system")["protected"] is True

    def test_that_comes_twice_is_answered_as_the_first_time(self, world):
        cause = world.cause("triage")
        first = world.fire("fp", cause=cause, ledger="l")
        before = world.dump()
        again = world.fire("fp", cause=cause, ledger="l")
        assert again == {**first, "replay": True}
        assert world.dump() == before

    def test_joins_without_a_second_look_while_a_retry_waits(self, world):
        incident = world.opened()
        world.admit(incident, taken_at=world.now - 3 * MINUTE)
        assert incident in world.due("retry")
        assert world.fire("two")["result"] == "joined"

    def test_is_looked_at_again_when_nothing_carries_the_incident(self, world):
        incident = world.opened()
        world.admit(incident, namespace="kube-system")
        again = world.fire("two")
        assert (again["result"], again["opened"], again["incident"]) == ("triage", False, incident)

    def test_that_is_about_another_scope_now_leaves_the_old_incident(self, world):
        old = world.opened("fp")
        new = world.opened("fp", scope=scope(2), starts=world.now + 1)
        assert old != new
        assert world.incident(old)["closed_how"] == "moved"
        assert world.resolve("fp")["incident"] == new

    def test_leaves_what_has_begun_to_be_judged(self, world):
        old = world.opened("fp")
        world.soaking(old)
        world.opened("fp", scope=scope(2))
        assert world.incident(old)["state"] == "quiet"


class TestATombstone:
    def test_keeps_out_a_firing_that_comes_after_its_end(self, world):
        starts = world.now
        assert world.resolve("fp", starts=starts)["result"] == "tombstoned"
        assert world.fire("fp", starts=starts) == {"result": "tombstoned", "incident": ""}
        assert world.counter("alerts_accounted_total|how=tombstoned") == 2
        assert world.due() == {}

    def test_is_of_one_start_alone(self, world):
        world.resolve("fp", starts=world.now)
        assert world.fire("fp", starts=world.now + 1)["result"] == "triage"

    def test_is_also_set_for_an_alert_that_was_known(self, world):
        starts = world.now
        world.opened("fp", starts=starts)
        world.resolve("fp", starts=starts)
        assert world.fire("fp", starts=starts)["result"] == "tombstoned"

    def test_is_all_that_is_left_of_an_incident_that_was_lost(self, world):
        incident = world.opened("fp")
        world.redis.delete(world.key("incident", incident))
        assert world.resolve("fp")["result"] == "tombstoned"
        world.redis.delete("{akeso}:open")


class TestTheLastResolved:
    def test_closes_the_incident(self, world):
        incident = world.opened("fp")
        assert world.resolve("fp") == {"result": "closed", "incident": incident}
        assert world.incident(incident)["state"] == "closed"
        assert world.due() == {}
        assert world.redis.smembers("{akeso}:open") == set()
        assert world.counter("alerts_accounted") == world.counter("alerts_received") == 2

    def test_is_awaited_when_two_pods_of_one_deployment_alert(self, world):
        incident = world.opened("pod-1")
        world.fire("pod-2")
        assert world.resolve("pod-1")["result"] == "resolved"
        assert world.incident(incident)["state"] == "open"
        assert world.resolve("pod-2")["result"] == "closed"

    def test_is_no_all_clear_when_alerts_were_left_out(self, world):
        incident = world.opened("fp")
        assert world.resolve("fp", truncated=3)["result"] == "joined"
        assert world.incident(incident)["state"] == "open"
        assert world.redis.smembers(world.key("firing", incident)) == {"fp"}
        assert world.counter("alerts_accounted_total|how=kept") == 1

    def test_of_an_earlier_time_has_been_overtaken(self, world):
        starts = world.now
        incident = world.opened("fp", starts=starts)
        world.fire("fp", starts=starts + MINUTE)
        late = world.resolve("fp", starts=starts, ends=starts + MINUTE - 1)
        assert late == {"result": "joined", "incident": incident}
        assert world.incident(incident)["state"] == "open"
        assert world.resolve("fp", starts=starts + MINUTE, ends=starts + MINUTE)["result"] == "closed"

    def test_may_name_an_earlier_start_since_two_prometheus_differ(self, world):
        world.opened("fp", starts=world.now)
        assert world.resolve("fp", starts=world.now - 3 * SECOND, ends=world.now + MINUTE)["result"] == "closed"

    def test_that_comes_after_the_end_changes_nothing(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.heartbeat()
        world.verdict(grant)
        closed = world.incident(incident)
        assert world.resolve("fp")["result"] == "tombstoned"
        assert world.incident(incident) == closed


class TestAQuietIncident:
    def test_waits_for_an_attempt_that_has_begun(self, world):
        incident = world.opened("fp")
        grant = world.begun(incident)
        assert world.resolve("fp") == {"result": "quiet", "incident": incident}
        assert world.incident(incident)["state"] == "quiet"
        assert world.due() == {f"incident {incident}": HOUR, f"attempt {grant}": 90 * SECOND}

    def test_waits_for_a_soak(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        assert world.resolve("fp")["result"] == "quiet"
        assert world.due("soak") == {grant: SOAK}

    def test_waits_for_an_undo_that_has_not_begun(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.verdict(grant, worse=True)
        undo = world.undo(grant, incident)["grant"]
        assert world.resolve("fp")["result"] == "quiet"
        assert world.attempt(undo)["state"] == "granted"
        assert world.begin(undo)["go"]
        world.finish(undo)
        assert world.incident(incident)["state"] == "closed"

    def test_is_open_again_when_it_fires_again(self, world):
        incident = world.opened("fp")
        world.soaking(incident)
        world.resolve("fp")
        joined = world.fire("fp", starts=world.now + 1)
        assert (joined["result"], joined["incident"]) == ("joined", incident)
        assert world.incident(incident)["state"] == "open"

    def test_is_not_looked_at(self, world):
        incident = world.opened("fp")
        world.soaking(incident)
        world.resolve("fp")
        assert world.request(incident)["result"] == "ended"


class TestClosing:
    def test_withdraws_a_hold(self, world):
        incident = world.opened("fp")
        world.admit(incident, autonomy="approve")
        world.resolve("fp")
        assert world.due("hold") == {}
        assert not world.redis.exists(world.key("hold", incident))
        assert world.incident(incident)["hold"] == ""

    def test_withdraws_a_grant_that_has_not_begun_and_gives_all_back(self, world):
        incident = world.opened("fp")
        before = world.budget()
        grant = world.granted(incident)
        assert world.budget() != before
        assert world.resolve("fp")["result"] == "closed"
        left = {name: held for name, held in world.budget().items() if set(held) != {"name"}}
        assert left == before
        assert world.attempt(grant)["state"] == "withdrawn"
        assert world.due() == {}
        assert world.begin(grant) == {"go": False, "check": "ended"}

    def test_withdraws_what_would_only_have_told(self, world):
        incident = world.opened("fp")
        grant = world.granted(incident, kind="none", action="notify_only")
        assert world.resolve("fp")["result"] == "closed"
        assert world.attempt(grant)["state"] == "withdrawn"

    def test_withdraws_a_retry_and_a_stage(self, world):
        incident = world.opened("fp")
        world.admit(incident, taken_at=0)
        assert set(world.due()) == {f"retry {incident}", f"incident {incident}"}
        world.resolve("fp")
        assert world.due() == {}
        world.opened("fp", scope=scope(2), starts=world.now + 1)
        world.resolve("fp")
        assert world.due() == {}

    def test_is_told_where_a_ticket_exists_and_only_there(self, world):
        world.opened("silent")
        world.resolve("silent")
        assert world.due("tell") == {}
        incident = world.opened("fp", scope=scope(2))
        world.admit(incident, scope=scope(2), namespace="kube-system")
        world.deliver(incident)
        world.resolve("fp")
        assert world.told(incident) == [f"closed: resolved at {world.now}"]


class TestReopening:
    def closed(self, world, fingerprint="fp"):
        incident = world.opened(fingerprint)
        world.resolve(fingerprint)
        return incident

    def test_within_an_hour_is_the_same_incident(self, world):
        incident = self.closed(world)
        world.advance(HOUR - 1)
        again = world.fire("fp", starts=world.now)
        assert (again["result"], again["incident"], again["opened"]) == ("triage", incident, True)
        assert world.incident(incident)["state"] == "open"
        assert world.due("incident") == {incident: HOUR}
        assert world.redis.scard("{akeso}:open") == 1

    def test_after_an_hour_is_another(self, world):
        incident = self.closed(world)
        world.advance(HOUR)
        again = world.fire("fp", starts=world.now)
        assert (again["result"], again["opened"]) == ("triage", True)
        assert again["incident"] != incident

    def test_remembers_what_was_tried(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.heartbeat()
        world.verdict(grant)
        assert world.fire("fp", starts=world.now + 1)["tried"] == ["scale_deployment"]

    def test_is_said_to_people_again_under_the_same_ticket(self, world):
        incident = world.fire("fp", people="about Akeso itself")["incident"]
        assert world.deliver(incident) == ["about Akeso itself"]
        world.resolve("fp")
        world.deliver(incident)
        assert world.fire("fp", starts=world.now + 1, people="about Akeso itself")["result"] == "told"
        assert world.told(incident) == ["about Akeso itself"]
        assert world.incident(incident)["ticket"] == "T-1"
        world.deliver(incident)
        assert world.counter("escalations_opened") == 1

    def test_does_not_lose_an_undo_that_runs_after_the_end(self, world):
        incident = world.opened("fp")
        grant = world.soaking(incident)
        world.resolve("fp")
        world.heartbeat()
        world.verdict(grant)
        undo = world.undo(grant, incident)["grant"]
        world.begin(undo)
        assert world.fire("fp", starts=world.now + 1)["result"] == "joined"
        world.finish(undo)
        assert world.fire("two")["result"] == "triage"


class TestAStorm:
    def test_takes_what_comes_above_twenty_in_five_minutes(self, world):
        own = [world.opened(scope=scope(number)) for number in range(20)]
        stormy = [world.fire(scope=scope(number)) for number in range(20, 30)]
        assert len(set(own)) == 20
        assert [opened["result"] for opened in stormy] == ["told"] + ["joined"] * 9
        (storm,) = {opened["incident"] for opened in stormy}
        assert world.incident(storm)["scope"] == "cluster/prod"
        assert world.incident(storm)["family"] == "storm"
        assert len(world.told(storm)) == 1
        assert storm not in world.due("stage")
        assert storm not in world.due("incident")
        assert world.counter("alerts_accounted_total|how=joined") == 9

    def test_is_over_when_its_last_alert_resolves(self, world):
        for number in range(20):
            world.opened(scope=scope(number))
        storm = world.fire("a", scope=scope(20))["incident"]
        world.fire("b", scope=scope(21))
        assert world.resolve("a")["result"] == "resolved"
        assert world.resolve("b")["result"] == "closed"
        assert world.incident(storm)["state"] == "closed"

    def test_goes_on_under_its_old_name_within_an_hour(self, world):
        for number in range(20):
            world.opened(scope=scope(number))
        storm = world.fire("a", scope=scope(20))["incident"]
        world.resolve("a")
        assert world.fire("b", scope=scope(21))["incident"] == storm

    def test_does_not_take_alerts_of_incidents_that_are_open(self, world):
        first = world.opened(scope=scope(0))
        for number in range(1, 21):
            world.fire(scope=scope(number))
        assert world.fire(scope=scope(0))["incident"] == first

    def test_is_none_when_they_come_slowly(self, world):
        for number in range(20):
            world.opened(scope=scope(number))
        world.advance(5 * MINUTE)
        assert world.fire(scope=scope(20))["result"] == "triage"

    def test_begins_where_the_policy_says(self, world):
        world.policy(storm_new_incidents=2, storm_window_s=60)
        world.opened(scope=scope(0))
        world.opened(scope=scope(1))
        assert world.fire(scope=scope(2))["result"] == "told"

    def test_is_not_made_by_people(self, world):
        world.policy(storm_new_incidents=2)
        for number in range(3):
            assert world.person_runs(scope(number))["result"] == "triage"
        assert world.fire(scope=scope(9))["result"] == "triage"


class TestPeopleOnly:
    def test_incidents_are_told_and_never_triaged(self, world):
        opened = world.fire("fp", people="the scope cannot be determined", scope="alert/fp")
        incident = opened["incident"]
        assert (opened["result"], opened["reason"]) == ("told", "the scope cannot be determined")
        assert world.told(incident) == ["the scope cannot be determined"]
        assert list(world.due()) == [key for key in world.due() if key.startswith("tell ")]
        assert world.fire("two", people="the scope cannot be determined", scope="alert/fp")["result"] == "joined"
        assert world.request(incident)["result"] == "ended"
        assert world.request(incident, look=True)["result"] == "ended"

    def test_incidents_close_with_their_last_alert(self, world):
        incident = world.fire("fp", people="about Akeso itself")["incident"]
        assert world.resolve("fp")["result"] == "closed"
        assert world.incident(incident)["state"] == "closed"

    def test_is_what_was_firing_when_the_state_was_lost(self, world):
        world.redis.flushall()
        lost_at = world.now
        world.load(policy={"attempts": 3, "storm_new": 20, "storm_window": 1, "protected": "[]"},
                   stop={"mode": "run", "since": "s"}, people_before=True)  # fmt: skip
        assert world.fire("old", starts=lost_at - 1)["reason"] == "open when the state was lost"
        assert world.fire("new", starts=lost_at, scope=scope(2))["result"] == "triage"

    def test_takes_back_what_had_not_begun(self, world):
        incident = world.opened("one")
        grant = world.granted(incident)
        assert world.fire("two", people="about Akeso itself")["result"] == "told"
        assert world.attempt(grant)["state"] == "withdrawn"
        assert world.budget().get(world.key("rate"), []) == []
        assert world.due("start") == {}
        assert world.due("incident") == {}


class TestARequest:
    def test_looks_again(self, world):
        incident = world.opened()
        world.admit(incident, namespace="kube-system")
        looked = world.request(incident, look=True)
        assert (looked["result"], looked["opened"]) == ("triage", False)
        assert world.due("stage") == {incident: 3 * MINUTE}

    def test_that_is_the_retry_ends_its_entry(self, world):
        incident = world.opened()
        world.admit(incident, taken_at=0)
        assert world.request(incident)["result"] == "triage"
        assert world.due("retry") == {}

    def test_each_hour_does_nothing_beside_a_waiting_retry(self, world):
        incident = world.opened()
        world.admit(incident, taken_at=0)
        assert world.request(incident, look=True)["result"] == "live"
        assert incident in world.due("retry")

    @pytest.mark.parametrize("live", ["stage", "hold", "attempt", "soak"])
    def test_finds_what_is_live_and_leaves_it_alone(self, world, live):
        incident = world.opened()
        if live == "hold":
            world.admit(incident, autonomy="approve")
        elif live == "attempt":
            world.granted(incident)
        elif live == "soak":
            world.soaking(incident)
        before = world.incident(incident)
        assert world.request(incident)["result"] == "live"
        assert world.incident(incident) == before

    def test_about_a_closed_incident_ends(self, world):
        incident = world.opened("fp")
        world.resolve("fp")
        assert world.request(incident) == {"result": "ended", "incident": incident}
        assert world.request("inc-never") == {"result": "ended", "incident": "inc-never"}

    def test_that_names_a_hold_replaces_it(self, world):
        incident = world.opened()
        hold = world.admit(incident, autonomy="approve")["hold"]
        assert world.request(incident, hold=hold)["result"] == "triage"
        assert world.due("hold") == {}
        assert world.incident(incident)["hold"] == ""

    def test_that_names_another_hold_leaves_it(self, world):
        incident = world.opened()
        world.admit(incident, autonomy="approve")
        assert world.request(incident, hold="hold-other", approvers=["ann"])["result"] == "ended"
        assert incident in world.due("hold")

    def test_keeps_the_incident_and_all_that_finds_it(self, world):
        incident = world.opened("fp")
        keys = [
            world.key("incident", incident), world.key("firing", incident), world.key("fingerprint", "fp"),
            world.key("starts", "fp"), world.key("name", world.incident(incident)["name"]),
        ]  # fmt: skip
        for key in keys:
            world.redis.pexpire(key, HOUR)
        world.request(incident, look=True)
        assert {key: world.redis.pttl(key) > 13 * DAY for key in keys} == dict.fromkeys(keys, True)


class TestAPersonsRun:
    def test_opens_a_manual_incident_of_its_own(self, world):
        alerted = world.opened()
        settled = world.state.settle(world.cause("api"), "run", run="run-1", who="ann", body="{}")
        assert settled["done"]
        assert world.due("retry") == {"run-1": 0}
        opened = world.person_runs(cause=world.cause("triage", id="run-1"))
        assert (opened["result"], opened["family"], opened["scope"]) == ("triage", "manual", SCOPE)
        assert opened["incident"] != alerted
        assert world.due("retry") == {}

    def test_is_told_that_another_one_is_under_way(self, world):
        world.person_runs()
        assert world.person_runs()["result"] == "told"

    def test_opens_another_after_the_first_has_ended(self, world):
        first = world.person_runs()["incident"]
        world.admit(first, namespace="kube-system", manual=True, approvers=["ann"])
        assert world.incident(first)["state"] == "closed"
        world.advance(SECOND)
        assert world.person_runs()["incident"] != first
