"""A stop is lifted by a person's word alone."""


class TestAStopConfigMapThatIsPutBackEmpty:
    def test_lifts_no_stop(self, today):
        today.asked("v1/stop", {"mode": "stop", "reason": "a test"})
        stop = ("ConfigMap", today.home, "akeso-stop")
        today.cluster.edit(*stop, {"data": None})

        def put_back():
            today.tick()
            return (today.cluster.get(*stop).get("data") or {}).get("mode") == "stop"

        today.until(put_back, "the ConfigMap stays empty")
        assert today.api("GET", "v1/status").json()["mode"] == "stop"
