"""A hold waits for a person's yes to exactly one plan, as long as the policy says, and reserves nothing."""

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def held(play):
    """A plan that waits for a person: namespace, incident."""
    play.policy(approval_minutes=240)
    namespace, alert = play.ill("approve")
    play.fire(alert)
    incident = play.until_word("held", namespace)
    play.settle()
    assert play.writes(namespace) == []
    return namespace, incident


def _hold(play, incident):
    return play.record(incident)["hold"]


class TestAHold:
    def test_is_told_with_the_words_to_answer_it(self, play, held):
        _, incident = held

        ticket = play.until_told(incident)

        assert _hold(play, incident) in str(ticket["content"])
        assert f"akeso approve {incident}" in str(ticket["content"])

    def test_approved_after_two_hours_runs_the_same_plan(self, play, held):
        namespace, incident = held
        play.pass_(7200, step=1200)

        play.says(f"holds/{incident}/approve")
        play.until_word("succeeded", namespace)

        assert play.replicas(namespace) == 3
        asked, granted = play.lines(incident, "held"), play.lines(incident, "approved")
        assert [line["plan_hash"] for line in asked] == [line["plan_hash"] for line in granted]
        assert "ada" in str(granted[0]["approvers"])

    def test_approved_for_a_world_that_has_changed_is_void_and_held_anew_once_that_hand_is_gone(self, play, held):
        namespace, incident = held
        first = _hold(play, incident)
        play.pass_(7200, step=1200)
        play.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 2}})

        play.says(f"holds/{incident}/approve")
        play.until(lambda: play.lines(incident, "void"))
        (void,) = play.lines(incident, "void")
        assert (void["check"], "kubectl-edit" in void["text"]) == ("person", True)
        play.pass_(960, step=120)
        play.until(lambda: len(play.lines(incident, "held")) == 2)

        assert play.writes(namespace) == []
        assert _hold(play, incident) not in ("", first)
        old, new = (line["plan_hash"] for line in play.lines(incident, "held"))
        assert old != new
        play.tick()
        assert _hold(play, incident) in play.reasons(incident)

    def test_approved_twice_runs_once(self, play, held):
        namespace, incident = held

        play.says(f"holds/{incident}/approve")
        again = play.says(f"holds/{incident}/approve")
        play.pass_(240)

        assert again.status_code == 409
        assert play.spec_changes(namespace) == 1
        assert len(play.attempts(incident)) == 1

    def test_denied_is_told_and_not_done(self, play, held):
        namespace, incident = held

        play.says(f"holds/{incident}/deny")
        play.pass_(300)

        assert play.writes(namespace) == []
        assert "denied by ada" in play.reasons(incident)
        assert _hold(play, incident) == ""
        assert play.says(f"holds/{incident}/approve").status_code == 409

    def test_that_nobody_answers_expires_and_is_told(self, play, held):
        namespace, incident = held
        play.pass_(4 * 3600, step=1800)

        play.tick_for(300, lambda: "expired" in play.words(incident))
        play.tick()

        assert play.writes(namespace) == []
        assert "not answered in time" in play.reasons(incident)

    def test_outlives_a_lost_yes(self, play, held):
        namespace, incident = held
        lost = play.world.broker.drop(lambda event: event.type.endswith("remediation.requested.v1"))

        play.says(f"holds/{incident}/approve")
        assert lost.hits == 1

        play.tick_for(240, lambda: play.replicas(namespace) == 3)

    def test_by_policy_comes_even_where_autonomy_is_auto(self, play):
        play.policy(hold=["scale_deployment"])
        namespace, alert = play.ill("auto")

        play.fire(alert)
        play.until_word("held", namespace)

        assert play.writes(namespace) == []

    def test_reserves_nothing_and_gives_no_lease(self, play, held):
        namespace, incident = held

        assert play.attempts(incident) == []
        assert not [key for key in play.redis.scan_iter("*:scope:*") if namespace in str(play.redis.hgetall(key))]
