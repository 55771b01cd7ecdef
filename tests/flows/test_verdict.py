"""What came of it: only what is known to have helped is verified, and what nobody can tell is no reason to undo."""


class TestAVerdict:
    def test_without_a_heartbeat_is_unknown_and_told_and_takes_nothing_back(self, scene):
        namespace, alert = scene.patient()
        incident, _ = scene.heal(namespace, alert)
        scene.world.advance(601)  # and nobody hears AlertManager's Watchdog
        scene.tick()
        scene.until_word("unknown", namespace)

        assert "nobody can say whether scale_deployment helped" in str(scene.until_told(incident)["content"])
        assert scene.replicas(namespace) == 3
        assert len(scene.writes(namespace)) == 1
        assert not {"verified", "ineffective", "harmful"} & set(scene.words(incident))

    def test_of_a_cluster_that_does_not_move_is_not_verified(self, scene):
        namespace, alert = scene.patient()
        scene.cluster.pause()
        try:
            scene.fire(alert)
            incident = scene.until_word("succeeded", namespace)
            scene.settle()
            scene.resolve(alert)
            scene.pass_(61)
            scene.until_word("ineffective", namespace)
        finally:
            scene.cluster.resume()

        assert "verified" not in scene.words(incident)

    def test_on_what_got_worse_takes_it_back(self, scene):
        namespace, alert = scene.patient(replicas=2)
        incident, attempt = scene.heal(namespace, alert)
        # after the write the pods fail: fewer are ready than before it
        scene.cluster.pause()
        try:
            scene.cluster.set_status("Deployment", namespace, "web", _status(scene, namespace, ready=1))
            scene.pass_(61)
            scene.until_word("harmful", namespace)
            scene.until(lambda: scene.replicas(namespace) == 2)
            scene.settle()
        finally:
            scene.cluster.resume()

        scene.tick()
        assert "made it worse; it is being taken back" in scene.reasons(incident)
        assert f"undo of {attempt}: succeeded" in scene.reasons(incident)
        assert len(scene.writes(namespace)) == 2

    def test_waits_for_an_alert_that_resolves_late(self, scene):
        namespace, alert = scene.patient()
        incident, _ = scene.heal(namespace, alert)
        scene.pass_(61)
        scene.until_word("waiting", namespace)
        scene.resolve(alert)
        scene.pass_(121)

        scene.until_word("verified", namespace)
        assert scene.record(incident)["state"] == "closed"

    def test_on_a_cluster_that_cannot_be_read_is_unknown_and_takes_nothing_back(self, scene):
        namespace, alert = scene.patient()
        incident, _ = scene.heal(namespace, alert)
        scene.resolve(alert)
        scene.until_word("resolved", namespace)
        # A read is tried twice.
        scene.cluster.fault(kind="Deployment", verb="get", status=500, times=2, namespace=namespace)

        scene.pass_(61)
        scene.until_word("unknown", namespace)

        assert scene.cluster.unmet_faults == 0
        assert not {"verified", "ineffective", "harmful"} & set(scene.words(incident))
        assert "could not be read" in scene.lines(incident, "unknown")[0]["text"]
        assert scene.until_told(incident)
        assert scene.replicas(namespace) == 3


def _status(scene, namespace, *, ready):
    return scene.cluster.get("Deployment", namespace, "web")["status"] | {
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
