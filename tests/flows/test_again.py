"""An alert that comes back, or goes before anything was done: the same patient is the same incident, for an hour."""

from tests.flows.harness import group


class TestAnIncidentThatFiresAgain:
    def test_within_the_hour_goes_on_under_the_same_id_and_ticket(self, scene):
        namespace, alert = scene.patient("observe")
        scene.fire(alert)
        incident = scene.until_word("denied", namespace)
        scene.until_told(incident)
        scene.resolve(alert)
        scene.until_word("closed", namespace)
        scene.tick()
        assert [ticket["status"] for ticket in scene.tickets(incident)] == ["closed"]
        scene.world.advance(3000)
        known = scene.new()

        scene.fire(scene.alert(namespace))
        scene.until_word("reopened", namespace)
        scene.until(lambda: scene.words(incident).count("denied") == 2)
        scene.tick()

        assert scene.new() == known
        assert scene.record(incident)["state"] == "open"
        assert [ticket["status"] for ticket in scene.tickets(incident)] == ["open"]

    def test_after_the_hour_is_a_new_one(self, scene):
        namespace, alert = scene.patient("observe")
        scene.fire(alert)
        old = scene.until_word("denied", namespace)
        scene.resolve(alert)
        scene.until_word("closed", namespace)
        scene.world.advance(3601)

        scene.fire(scene.alert(namespace))
        new = scene.until(lambda: scene.new() and scene.incident(namespace) != old and scene.incident(namespace))

        assert "reopened" not in scene.words(new)
        assert scene.record(old)["state"] == "closed"


class TestAResolvedThatComesLate:
    def test_ends_nothing_that_began_after_it(self, scene):
        """The news of an end, overtaken by the next firing of the same alert."""
        namespace, alert = scene.patient("observe")
        scene.fire(alert)
        incident = scene.until_word("denied", namespace)
        overtaken = alert.element("resolved")
        scene.world.advance(30)
        again = scene.alert(namespace)._replace(labels=alert.labels, fingerprint=alert.fingerprint)
        scene.fire(again)
        scene.until_word("joined", namespace)

        assert scene.send(group(overtaken)) == 200
        scene.until_word("kept", namespace)

        assert scene.record(incident)["state"] == "open"
        scene.resolve(again)
        scene.until_word("closed", namespace)


class TestAnAlertThatResolvesWhileAnIncidentWaits:
    def test_takes_the_hold_away(self, scene):
        namespace, alert = scene.patient("approve")
        scene.fire(alert)
        incident = scene.until_word("held", namespace)
        hold = scene.record(incident)["hold"]

        scene.resolve(alert)
        scene.until_word("closed", namespace)

        answer = scene.api("POST", f"v1/holds/{incident}/approve", {"hold": hold, "reason": "late"})
        assert answer.status_code == 409
        scene.pass_(121)
        assert scene.writes(namespace) == []
        assert "approved" not in scene.words(incident)

    def test_takes_the_retry_away(self, scene):
        namespace, alert = scene.patient()
        scene.policy(rate_per_minute=1)
        other, first = scene.patient()
        scene.fire(first)
        scene.until_word("approved", other)  # that counts, and a minute is soon over
        scene.fire(alert)
        incident = scene.until_word("denied", namespace)
        assert scene.lines(incident, "denied")[0]["check"] == "rate-minute"

        scene.resolve(alert)
        scene.until_word("closed", namespace)
        scene.pass_(181)

        assert scene.writes(namespace) == []
        assert not [entry for entry in scene.due("retry") if incident in entry]

    def test_lets_what_has_begun_come_to_its_verdict(self, scene):
        namespace, alert = scene.patient()
        incident, _ = scene.heal(namespace, alert)

        scene.resolve(alert)
        scene.until(lambda: scene.record(incident)["state"] == "quiet")
        assert "closed" not in scene.words(incident)
        scene.pass_(61)

        scene.until_word("verified", namespace)
        assert scene.words(incident)[-1] == "closed"
        assert scene.tickets(incident) == []
