"""Rules by severity: nobody gets around them by asking himself, and what has become worse is judged as such."""

import pytest

from tests.state.world import FAMILY, HOUR, SCOPE

BOTH = {"name": "both", "severities": ["critical"], "approvers": 2}
NEVER = {"name": "never", "severities": ["critical"], "autonomy": "off"}


def needs(world, incident, **more):
    return world.admit(incident, **{"plan_hash": "h", **more}).get("needs", 1)


class TestAPersonsRun:
    def run(self, world, **more):
        """What the guard says of a run that ann asks for and may approve."""
        incident = world.person_runs()["incident"]
        return world.admit(incident, manual=True, author="ann", approvers=["ann"], **more)

    def test_is_as_severe_as_the_worst_that_is_open_on_its_scope(self, world):
        world.policy(rules=[BOTH])
        world.opened(family="one", severity="critical")
        world.opened(family="two", severity="warning")
        run = world.person_runs()["incident"]
        assert world.incident(run)["severity"] == "critical"
        answer = world.admit(run, manual=True, author="ann", approvers=["ann"])
        assert (answer["decision"], answer["needs"]) == ("held", 2)

    def test_is_not_bound_by_a_severity_that_is_another(self, world):
        world.policy(rules=[BOTH])
        world.opened(severity="warning")
        world.opened(scope="Deployment/shop/other", severity="critical")
        assert self.run(world)["decision"] == "approved"

    def test_is_as_severe_as_what_a_storm_has_taken_in_while_it_lasts(self, world):
        world.policy(rules=[BOTH], storm_new_incidents=2)
        world.opened(severity="warning")
        world.opened(scope="Deployment/shop/other", severity="warning")
        storm = world.fire("late", scope=SCOPE, family="another", severity="critical")["incident"]
        assert world.incident(storm)["family"] == "storm"
        assert self.run(world)["needs"] == 2

        world.resolve("late")
        assert world.incident(storm)["state"] == "closed"
        run = world.person_runs(scope="Deployment/shop/other")["incident"]
        answer = world.admit(run, scope="Deployment/shop/other", manual=True, author="ann", approvers=["ann"])
        assert answer["decision"] == "approved"

    def test_meets_every_rule_that_restricts_where_nothing_is_open(self, world):
        world.policy(rules=[BOTH, {"name": "slow", "severities": ["warning"], "autonomy": "approve"}])
        answer = self.run(world)
        assert (answer["decision"], answer["needs"]) == ("held", 2)

    def test_meets_every_rule_that_restricts_in_a_storm_of_others_too(self, world):
        world.policy(rules=[BOTH], storm_new_incidents=2)
        for name in ("one", "two", "three"):
            incident = world.fire(scope=f"Deployment/shop/{name}", severity="warning")["incident"]
        assert world.incident(incident)["family"] == "storm"
        answer = self.run(world)
        assert (answer["decision"], answer["needs"]) == ("held", 2)

    def test_goes_no_further_than_the_first_rule_that_fits_every_severity(self, world):
        world.policy(rules=[{"name": "all", "autonomy": "auto"}, BOTH])
        assert self.run(world)["decision"] == "approved"

    def test_is_refused_where_the_policy_refuses_the_alerts(self, world):
        world.policy(rules=[NEVER])
        incident = world.opened(severity="critical")
        alert, run = world.admit(incident), self.run(world)
        assert (alert["check"], alert["text"]) == (run["check"], run["text"]) == ("rule", "never")

    def test_is_judged_by_what_has_opened_since_it_was_asked_for(self, world):
        world.policy(rules=[BOTH])
        world.opened(family="two", severity="warning")
        run = world.person_runs()["incident"]
        world.opened(severity="critical")
        assert world.admit(run, manual=True, author="ann", approvers=["ann"])["needs"] == 2

    def test_forgets_what_is_closed(self, world):
        world.policy(rules=[BOTH, {"name": "rest", "autonomy": "auto"}])
        world.opened("fp", severity="critical")
        world.opened("other", family="two", severity="warning")
        world.resolve("fp")
        assert self.run(world)["decision"] == "approved"

    def test_remembers_what_was_opened_again(self, world):
        world.policy(rules=[BOTH])
        world.opened("fp", severity="critical")
        world.resolve("fp")
        world.opened("fp", starts=world.now + 1, severity="warning")
        assert self.run(world)["needs"] == 2


class TestAnAlertWithoutASeverity:
    def test_meets_every_rule_that_restricts(self, world):
        world.policy(rules=[BOTH])
        assert needs(world, world.opened(severity="")) == 2


class TestAWorseAlert:
    def worse(self, world, **more):
        return world.fire("worse", severity="critical", **more)

    def test_that_joins_is_what_the_incident_is_judged_by(self, world):
        world.policy(rules=[BOTH])
        incident = world.opened(severity="warning")
        assert self.worse(world)["incident"] == incident
        assert world.incident(incident)["severity"] == "critical"
        assert world.admit(incident)["needs"] == 2

    def test_that_reopens_it_is_what_it_is_judged_by(self, world):
        world.policy(rules=[BOTH])
        incident = world.opened("fp", severity="warning")
        world.resolve("fp")
        assert self.worse(world)["incident"] == incident
        assert world.admit(incident)["needs"] == 2

    def test_is_not_forgotten_for_a_lesser_one(self, world):
        world.policy(rules=[BOTH])
        incident = world.opened(severity="critical")
        world.fire(severity="info")
        assert world.incident(incident)["severity"] == "critical"
        assert world.admit(incident)["needs"] == 2

    @pytest.mark.parametrize("words", [("sev1", "sev2"), ("sev2", "sev1")])
    def test_of_a_word_without_an_order_binds_by_the_strictest_rule(self, world, words):
        world.policy(rules=[{"name": "both", "severities": ["sev1"], "approvers": 2}])
        incident = world.opened(severity=words[0])
        world.fire(severity=words[1])
        assert world.admit(incident)["needs"] == 2

    def test_of_too_many_words_is_one_that_nobody_knows(self, world):
        world.policy(rules=[BOTH])
        incident = world.opened(severity="w0")
        for number in range(30):
            world.fire(severity=f"w{number}")
        assert world.admit(incident)["needs"] == 2
        assert len(world.incident(incident)["severities"]) < 100

    def test_makes_a_yes_that_was_enough_too_little(self, world):
        world.policy(rules=[BOTH], hold=["scale_deployment"])
        incident = world.opened(severity="warning")
        hold = world.admit(incident)
        assert hold["needs"] == 1
        self.worse(world)
        assert "missing" not in world.answer("approve", incident, hold["hold"])
        entry = world.entry("retry", incident)
        world.request(incident, hold=hold["hold"])
        answer = world.admit(incident, approvers=entry["approvers"], approved_hash=entry["approved_hash"])
        assert (answer["decision"], answer["needs"]) == ("held", 2)
        assert "the approval by ann is void: approval" in world.told(incident)

    def test_is_met_by_what_waits_to_be_tried_again(self, world):
        world.policy(rules=[NEVER])
        world.redis.hset("{akeso}:epoch", "embargo_until", world.now + HOUR)
        incident = world.opened(severity="warning")
        assert world.admit(incident)["check"] == "embargo"
        self.worse(world, scope=SCOPE, family=FAMILY)
        world.advance(HOUR)
        world.request(incident)
        assert world.admit(incident)["check"] == "rule"
