"""Stop, freeze and resume: in Kubernetes first, with the name and the reason, and at once in force."""

import pytest

from shared.errors import UnavailableError
from shared.event.here import Here
from tests.people.world import HOME

ASK = {"reason": "bad deploy", "by": "ada"}


def configmap(world):
    return world.cluster.get("ConfigMap", HOME, "akeso-stop")["data"]


class TestModes:
    @pytest.mark.parametrize("mode", ["stop", "freeze"])
    def test_nothing_is_written_any_more(self, world, mode):
        assert world.ok("POST", "v1/stop", {"mode": mode, **ASK})["remembered"] is True
        assert world.ok("GET", "v1/status")["mode"] == mode
        world.heal()
        assert world.replicas() == 1

    def test_kubernetes_keeps_who_and_why(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        kept = configmap(world)
        assert (kept["mode"], kept["reason"], kept["by"]) == ("stop", "bad deploy", "ada (typed name)")
        said = world.ok("GET", "v1/status")
        assert (said["reason"], said["by"]) == ("bad deploy", "ada (typed name)")

    def test_resume_is_a_new_epoch(self, world):
        store = world.here.state.store
        before = store.hash("{akeso}:epoch")["value"]
        world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        world.ok("POST", "v1/stop", {"mode": "run", **ASK})
        assert world.ok("GET", "v1/status")["mode"] == "run"
        assert store.hash("{akeso}:epoch")["value"] != before


class TestWhatIsDown:
    def test_without_kubernetes_nothing_has_changed(self, world):
        world.cluster.fault(kind="ConfigMap", verb="patch", status=500)
        with pytest.raises(UnavailableError) as refused:
            world.ask("POST", "v1/stop", {"mode": "stop", **ASK})
        assert refused.value.reason == "kube"
        assert world.ok("GET", "v1/status")["mode"] == "run"

    def test_without_redis_it_stands_in_kubernetes(self, world, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        said = world.ok("POST", "v1/stop", {"mode": "stop", **ASK})
        assert said["remembered"] is False
        assert configmap(world)["mode"] == "stop"
