"""What the guard would say of what has no incident yet: the same as of the one that triage would open."""

import pytest

RUN = {
    "action": "scale_deployment",
    "target": {"kind": "Deployment", "namespace": "shop", "name": "checkout"},
    "params": {"replicas": 2},
    "by": "ada",
}
ALERT = {
    "status": "firing",
    "labels": {"alertname": "KubeDeploymentBelowMinimum", "namespace": "shop", "deployment": "checkout"},
}
BODY = {"version": "4", "receiver": "r", "groupKey": "g", "alerts": [ALERT]}


class TestDryRun:
    @pytest.mark.parametrize(
        ("autonomy", "decision", "check"),
        [
            ("auto", "approved", ""),
            ("approve", "approved", ""),
            ("suggest", "approved", ""),
            ("observe", "denied", "autonomy"),
            ("off", "denied", "autonomy"),
        ],
    )
    def test_by_autonomy(self, world, autonomy, decision, check):
        world.checkout()
        world.autonomy(autonomy)
        before = world.keys()
        said = world.ok("POST", "v1/run", RUN)
        assert (said["decision"], said.get("check", "")) == (decision, check)
        assert len(said["policy"]) == 12
        assert world.keys() == before

    def test_protection_wins(self, world):
        world.cluster.edit("ConfigMap", "akeso-system", "akeso-policy", {
            "data": {"policy.yaml": "protected_namespaces: [shop]\n"},
        })  # fmt: skip
        world.sweep()
        world.checkout()
        assert world.ok("POST", "v1/run", RUN)["check"] == "protected"

    def test_attempts_of_earlier_incidents_count(self, world):
        world.checkout()
        incident = world.drive(world.alert())[0].incident
        store = world.here.state.store
        store.read("HSET", f"{{akeso}}:default:default:incident:{incident}", "state", "closed")
        said = world.ok("POST", "v1/run", {**RUN, "params": {"replicas": 4}})
        assert said["check"] == "cooldown"


class TestPlayedThrough:
    @pytest.mark.parametrize(
        ("autonomy", "ends"),
        [
            ("auto", "scale_deployment would run"),
            ("approve", "scale_deployment would wait for a person's yes"),
            ("suggest", "told to people, with the command for scale_deployment"),
            ("observe", "only shown: scale_deployment would have been done"),
        ],
    )
    def test_by_autonomy(self, world, autonomy, ends):
        world.checkout()
        world.autonomy(autonomy)
        before = world.keys()
        (story,) = world.ok("POST", "v1/explain", BODY)["alerts"]
        assert story["ends"] == ends
        assert world.keys() == before

    def test_telling_is_always_let_pass(self, world):
        world.checkout()
        alert = {**ALERT, "labels": {**ALERT["labels"], "alertname": "SecurityThreat"}}
        (story,) = world.ok("POST", "v1/explain", {**BODY, "alerts": [alert]})["alerts"]
        assert story["guard"]["decision"] == "approved"
        assert story["ends"].startswith("told to people: A restart or a new size would destroy evidence")
