"""Without Redis nothing is written and nothing is taken; AlertManager keeps the alerts, and one person is told once."""

import pytest

from tests.faults.play import EXECUTOR

pytestmark = pytest.mark.faults


def _blind(play):
    return [ticket for ticket in play.world.desk.tickets() if ticket["correlation_id"] == "akeso-blind"]


def _opened(play):
    """How often somebody has been told that Akeso is blind."""
    steps = [step for ticket in _blind(play) for step in ticket["history"]]
    return sum(step["action"] == "open" and "is blind" in str(step["reasons"]) for step in steps)


class Sender:
    """As AlertManager: what is not taken is sent again, everything that fires again and again."""

    def __init__(self, play):
        self.play, self.unsent = play, []

    def send(self, *alerts):
        self.unsent += alerts
        self.unsent = [alert for alert in self.unsent if self.play.fire(alert) != 200]


class TestTenMinutesWithoutRedis:
    def test_lose_no_alert_and_open_one_ticket_that_is_closed_again(self, play):
        sender, opened = Sender(play), _opened(play)
        before = [play.ill() for _ in range(2)]
        sender.send(*(alert for _, alert in before))
        assert sender.unsent == []
        play.settle()
        meanwhile = [play.ill() for _ in range(5)]
        writes = len(play.cluster.writes())

        play.world.redis.kill()
        for minute in range(10):
            play.world.advance(60)
            sender.send(*(alert for _, alert in meanwhile[minute : minute + 1]))
            assert play.tick() == 503
        assert len(sender.unsent) == 5
        assert [ticket["status"] for ticket in _blind(play)] == ["open"]
        assert len(play.cluster.writes()) == writes

        play.world.redis.restart()
        assert play.tick() == 204
        play.heartbeat()
        sender.send(*(alert for _, alert in before))
        assert sender.unsent == []
        play.settle()
        play.tick_for(300, lambda: all(play.tickets(play.incident(namespace)) for namespace, _ in meanwhile))

        counters = play.counters()
        assert counters["alerts_received"] == counters["alerts_accounted"]
        assert [ticket["status"] for ticket in _blind(play)] == ["closed"]
        assert _opened(play) == opened + 1

    def test_are_told_once_more_the_next_time(self, play):
        opened = _opened(play)
        for _ in range(2):
            play.world.redis.kill()
            for _ in range(3):
                play.world.advance(60)
                play.tick()
            assert _blind(play)[0]["status"] == "open"
            play.world.redis.restart()
            assert play.tick() == 204
            assert _blind(play)[0]["status"] == "closed"

        assert len(_blind(play)) == 1
        assert _opened(play) == opened + 2

    def test_are_told_when_the_ticket_system_comes_back_first(self, play):
        opened = _opened(play)
        play.world.desk.down()
        play.world.redis.kill()
        play.tick()
        play.world.desk.up()

        play.world.advance(60)
        play.tick()

        assert _opened(play) == opened + 1


class TestAnAttemptWhoseRedisGoes:
    def test_before_it_begins_writes_nothing_and_is_told(self, play):
        namespace, alert = play.ill()
        play.freeze_executor()
        play.fire(alert)
        incident = play.until_approved(namespace)
        play.hurry_the_broker()

        play.world.redis.kill()
        play.thaw()

        assert play.writes(namespace) == []
        said = str([ticket for ticket in play.world.desk.tickets() if ticket["correlation_id"] == incident])
        assert "remediation.approved could not be delivered to executor" in said

    def test_after_its_write_is_looked_at_when_it_is_back(self, play):
        namespace, alert = play.ill()
        play.order("after-write", "pause 60")
        play.fire(alert)
        play.until_at("after-write")
        incident = play.incident(namespace)

        play.world.redis.kill()
        play.go_on("after-write")
        play.settle()
        play.world.redis.restart()
        play.tick()
        event = play.event("remediation.approved", incident)
        play.world.advance(31)
        assert play.to_function(EXECUTOR, event) == 200

        assert [line["resolved_by"] for line in play.lines(incident, "succeeded")] == ["mark"]
        assert len(play.writes(namespace)) == 1
        assert play.spec_changes(namespace) == 1

    def test_is_carried_on_by_its_deadline_alone(self, play):
        namespace, alert = play.ill()
        play.order("after-write", "kill")
        play.fire(alert)
        play.until_at("after-write")
        incident = play.incident(namespace)

        play.world.redis.kill()
        play.lose_everything_in_flight()
        play.world.redis.restart()
        play.tick_for(240, lambda: "succeeded" in play.words(incident))

        assert [line["resolved_by"] for line in play.lines(incident, "succeeded")] == ["mark"]
        assert play.spec_changes(namespace) == 1


class TestPeopleWithoutRedis:
    def test_are_told_what_was_to_be_told(self, play):
        """Escalate works without Redis, by the receiver's own deduplication."""
        namespace, alert = play.ill("suggest")
        play.world.broker.drop(lambda event: event.type.endswith("escalation.due.v1"), times=100)
        play.fire(alert)
        incident = play.until_word("denied", namespace)
        play.tick()
        event = play.event("escalation.due", incident)
        assert play.tickets(incident) == []

        play.world.redis.kill()
        for _ in range(3):
            assert play.to_function("escalate", event) == 204

        assert len(play.tickets(incident)) == 1
        assert "suggested" in str(play.tickets(incident))
