"""From a real alert to a real change, to a verdict."""


class TestAHealableDeployment:
    def test_is_scaled_once_and_verified(self, scene):
        namespace = scene.namespace()
        scene.deployment(namespace)
        alert = scene.alert(namespace)

        assert scene.fire(alert) == 200
        incident = scene.until_word("succeeded", namespace)
        scene.until(lambda: scene.ready(namespace) == 3)
        assert scene.resolve(alert) == 200
        scene.until_word("resolved", namespace)
        scene.pass_(61)

        scene.until_word("verified", namespace)
        assert scene.record(incident)["state"] == "closed"
        assert scene.replicas(namespace) == 3
        assert len(scene.writes(namespace)) == 1
        assert scene.tickets(incident) == []
        assert scene.due("soak") == []

    def test_is_never_verified_while_its_alert_fires(self, scene):
        namespace = scene.namespace()
        scene.deployment(namespace)
        scene.fire(scene.alert(namespace))
        incident = scene.until_word("succeeded", namespace)
        scene.until(lambda: scene.ready(namespace) == 3)

        scene.pass_(600)

        assert "verified" not in scene.words(incident)
        assert "ineffective" in scene.words(incident)
        assert scene.record(incident)["state"] == "open"


class TestAProtectedNamespace:
    def test_gets_a_ticket_and_no_write(self, scene):
        namespace = scene.namespace(name="cilium-secrets", autonomy="auto")
        scene.deployment(namespace)

        scene.fire(scene.alert(namespace))
        incident = scene.until_word("denied", namespace)

        ticket = scene.until_told(incident)
        assert "protected" in str(ticket["content"])
        assert scene.writes(namespace) == []
        assert len(scene.tickets(incident)) == 1
