"""An alert that ends before anything was done about it is not acted on, whenever the news of its end arrives."""

import pytest

pytestmark = pytest.mark.faults


class TestAnAlertThatHasResolved:
    def test_before_its_firing_arrives_opens_nothing(self, play):
        namespace, alert = play.ill()

        play.resolve(alert)
        play.settle()
        play.fire(alert)
        play.settle()

        assert play.incident(namespace) == ""
        assert play.writes(namespace) == []
        counters = play.counters()
        assert counters["alerts_received"] == counters["alerts_accounted"]

    def test_and_fires_anew_is_another_alert(self, play):
        namespace, alert = play.ill()
        play.resolve(alert)
        play.settle()

        play.fire(play.alert(namespace)._replace(fingerprint=alert.fingerprint, starts_at="2199-01-01T00:00:00Z"))

        play.until_word("succeeded", namespace)

    def test_during_the_cold_start_is_not_acted_on(self, play):
        namespace, alert = play.ill()
        play.freeze_executor()
        play.fire(alert)
        incident = play.until_approved(namespace)
        play.resolve(alert)
        play.until_word("closed", namespace)

        play.thaw()
        play.pass_(300)

        assert play.writes(namespace) == []
        assert "begun" not in play.words(incident)
        assert play.record(incident)["state"] == "closed"

    def test_during_a_hold_ends_the_hold(self, play):
        namespace, alert = play.ill("approve")
        play.fire(alert)
        incident = play.until_word("held", namespace)
        hold = play.record(incident)["hold"]

        play.resolve(alert)
        play.until_word("closed", namespace)
        answer = play.says(f"holds/{incident}/approve", hold=hold)
        play.pass_(120)

        assert answer.status_code == 409
        assert play.writes(namespace) == []
        assert play.record(incident)["state"] == "closed"

    def test_after_the_write_is_verified_before_it_is_closed(self, play):
        namespace, alert = play.ill()
        play.order("after-write", "pause 60")
        play.fire(alert)
        play.until_at("after-write")

        play.resolve(alert)
        play.until_word("resolved", namespace)
        assert "succeeded" not in play.words(play.incident(namespace))
        play.go_on("after-write")
        play.until_word("succeeded", namespace)
        play.until(lambda: play.ready(namespace) == 3)
        incident = play.incident(namespace)
        assert play.record(incident)["state"] == "quiet"

        play.tick_for(180, lambda: "verified" in play.words(incident))
        assert play.record(incident)["state"] == "closed"
