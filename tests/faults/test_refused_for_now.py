"""A refusal that names a time is tried again at that time, not before, and not for ever."""

import pytest

from shared import clock

pytestmark = pytest.mark.faults

RATE = "{akeso}:default:dev:rate"


class TestACooldown:
    def test_refuses_and_comes_back_when_it_is_over(self, play):
        namespace, alert, _ = play.healed()
        play.until(lambda: play.ready(namespace) == 3)
        play.resolve(alert)
        healed = play.incident(namespace)
        play.tick_for(180, lambda: "verified" in play.words(healed))

        # another family of the same patient: its own incident, the same cooldown
        play.fire(play.alert(namespace, alertname="PodCPUHigh"))
        play.until(lambda: play.lines(play.incident(namespace), "denied"))
        incident = play.incident(namespace)
        refusal = play.lines(incident, "denied")[0]

        assert refusal["check"] == "cooldown"
        while clock.now_ms() < refusal["retry_at"] - 60_000:
            play.pass_(30)
            assert play.replicas(namespace) == 3
        play.tick_for(180, lambda: play.replicas(namespace) == 4)
        assert play.spec_changes(namespace) == 2


class TestARate:
    def test_lets_the_next_one_through_a_minute_later(self, play):
        play.policy(rate_per_minute=1)
        first, one = play.ill()
        second, two = play.ill()
        play.fire(one)
        play.until_word("succeeded", first)

        play.fire(two)
        incident = play.until_word("denied", second)
        refusal = play.lines(incident, "denied")[0]
        assert (refusal["check"], refusal["limit"], refusal["used"]) == ("rate-minute", 1, 1)
        play.tick()
        assert play.writes(second) == []

        play.tick_for(180, lambda: play.replicas(second) == 3)


class TestABudget:
    def test_of_a_grant_that_nobody_used_is_given_back(self, play):
        namespace, alert = play.ill()
        lost = play.world.broker.drop(lambda event: event.type.endswith("remediation.approved.v1"))
        play.fire(alert)
        incident = play.until_word("approved", namespace)

        play.tick_for(360, lambda: "unused" in play.words(incident))

        assert lost.hits == 1
        scopes = [play.redis.hgetall(key) for key in play.redis.scan_iter("*:scope:*")]
        assert not [scope for scope in scopes if "lease" in scope and namespace in scope["name"]]
        attempt = play.attempts(incident)[0]
        used = [play.redis.zrange(key, 0, -1) for key in (*play.redis.scan_iter("*:attempts:*"), RATE)]
        assert attempt not in str(used)
        assert "not begun" in play.reasons(play.until_told(incident)["correlation_id"])
