"""A stop is lifted by a person's word alone."""


class TestAStopConfigMapThatIsPutBackEmpty:
    def test_lifts_no_stop(self, own_world):
        said = own_world.api("POST", "v1/stop", {"mode": "stop", "reason": "a test"})
        assert said.is_success
        own_world.cluster.edit("ConfigMap", own_world.home, "akeso-stop", {"data": None})

        assert own_world.tick() == 204

        assert own_world.api("GET", "v1/status").json()["mode"] == "stop"
        assert own_world.cluster.get("ConfigMap", own_world.home, "akeso-stop")["data"]["mode"] == "stop"
