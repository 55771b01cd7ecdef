"""An alert that AlertManager lost sight of resolves, and fires again with the very same startsAt."""


class TestTheSameAlertAnew:
    def test_is_no_resend_once_its_end_is_a_quarter_of_an_hour_old(self, scene):
        namespace = scene.namespace("observe")
        scene.deployment(namespace)
        alert = scene.alert(namespace)
        scene.fire(alert)
        first = scene.until_word("denied", namespace)
        scene.resolve(alert)
        scene.until(lambda: scene.record(first)["state"] == "closed")

        assert scene.fire(alert) == 200  # a late duplicate of what has ended
        scene.settle()
        assert scene.record(first)["state"] == "closed"

        scene.pass_(901)
        assert scene.fire(alert) == 200
        scene.until(lambda: scene.record(first)["state"] == "open")
        assert "reopened" in scene.words(first)

        assert scene.resolve(alert) == 200
        scene.until(lambda: scene.record(first)["state"] == "closed")
        counters = scene.counters()
        assert counters["alerts_received"] == counters["alerts_accounted"]


class TestAWatchdogThatResolved:
    def test_is_no_heartbeat(self, scene):
        at = "{akeso}:default:dev:heartbeat"
        scene.heartbeat()
        scene.world.advance(120)
        before = scene.redis.hget(at, "at")
        watchdog = scene.alert("monitoring", alertname="Watchdog")

        scene.resolve(watchdog)
        assert scene.redis.hget(at, "at") == before

        scene.fire(watchdog)
        assert scene.redis.hget(at, "at") > before
