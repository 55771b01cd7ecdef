"""The executor dies between two lines; whoever comes next finds out what it did, and the effect happens once."""

import pytest

pytestmark = pytest.mark.faults

# Where it dies, and by what the audit says that the outcome was known.
POINTS = {
    "after-begin": "write",
    "before-write": "write",
    "after-write": "mark",
    "before-finish": "mark",
    "after-finish": "write",
}


def _once(play, namespace, incident, point):
    assert play.replicas(namespace) == 3
    assert play.spec_changes(namespace) == 1
    assert len(play.writes(namespace)) == 1
    ends = play.lines(incident, "succeeded")
    assert [end["resolved_by"] for end in ends] == [POINTS[point]]
    assert len(play.attempts(incident)) == 1
    assert play.counters()["attempts"] >= 1


class TestAKilledExecutor:
    @pytest.mark.parametrize("point", POINTS)
    def test_that_the_broker_calls_again_has_one_effect(self, play, point):
        namespace, alert = play.ill()
        play.order(point)
        play.fire(alert)
        play.until_at(point)
        play.world.pace(20)  # the lease of the dead run ends while the broker's pauses go on

        incident = play.until_word("succeeded", namespace)
        play.settle()

        _once(play, namespace, incident, point)
        assert len(play.seen("remediation.continued", incident)) == 0

    @pytest.mark.parametrize("point", POINTS)
    def test_that_the_broker_has_given_up_has_one_effect(self, play, point):
        namespace, alert = play.ill()
        play.order(point)
        play.fire(alert)
        play.until_at(point)
        play.lose_everything_in_flight()
        incident = play.incident(namespace)

        play.tick_for(180, lambda: "succeeded" in play.words(incident))

        _once(play, namespace, incident, point)
        carried_on = play.seen("remediation.continued", incident)
        assert len(carried_on) == (0 if point == "after-finish" else 1)

    def test_says_in_the_audit_that_another_run_took_over(self, play):
        namespace, alert = play.ill()
        play.order("before-write")
        play.fire(alert)
        play.until_at("before-write")
        play.world.pace(20)

        incident = play.until_word("succeeded", namespace)

        assert [line.get("takes_over") for line in play.lines(incident, "begun")] == [None, True]
