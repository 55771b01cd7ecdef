"""What a person may have done: a run and its verdict, an undo, once and only of what still stands as it was left."""

import json

import pytest


def _run(scene, namespace, **more):
    target = {"kind": "Deployment", "namespace": namespace, "name": "web"}
    body = {"action": "scale_deployment", "target": target, "params": {"replicas": 2}, "dry_run": False, **more}
    return scene.asked("v1/run", body)


def _spec(scene, namespace):
    return json.dumps(scene.cluster.get("Deployment", namespace, "web")["spec"], sort_keys=True)


def _refused(scene, path, body):
    return scene.api("POST", path, {"reason": "again", **body}, person="bo").status_code == 409


class TestARun:
    @pytest.mark.parametrize("autonomy", ["auto", "approve", "suggest"])
    def test_is_verified_by_health_alone_and_closes(self, scene, autonomy):
        namespace, _ = scene.patient(autonomy)

        said = _run(scene, namespace, reason="because")
        incident = scene.until_word("succeeded", namespace)
        scene.until(lambda: scene.ready(namespace) == 2)
        scene.pass_(61)
        scene.until_word("verified", namespace)

        assert scene.record(incident)["family"] == "manual"
        assert scene.record(incident)["state"] == "closed"
        assert scene.replicas(namespace) == 2
        assert scene.lines(said["run"], "run")[0]["who"].partition(": ")[0].endswith("ada")
        assert scene.due("soak") == []

    def test_that_is_only_looked_at_moves_nothing(self, scene):
        namespace, _ = scene.patient()
        known = scene.new()

        said = _run(scene, namespace, dry_run=True)

        assert said["decision"] == "approved"
        assert any("/spec/replicas" in line for line in said["plan"]["diff"])
        scene.tick()
        assert scene.new() == known
        assert scene.writes(namespace) == []

    @pytest.mark.parametrize(("autonomy", "why"), [("observe", "autonomy"), ("off", "autonomy"), ("auto", "protected")])
    def test_that_is_refused_is_told_and_closes(self, scene, autonomy, why):
        namespace, _ = scene.patient(autonomy)
        if why == "protected":
            scene.policy(protected_namespaces=[namespace])

        _run(scene, namespace)
        incident = scene.until_word("closed", namespace)

        scene.until_told(incident)
        assert f"not done: scale_deployment refused by {why}" in scene.reasons(incident)
        assert scene.writes(namespace) == []

    def test_that_the_action_will_not_plan_is_told_and_closes(self, scene):
        namespace, _ = scene.patient()
        scene.cluster.hpa(namespace, "web", "web")

        _run(scene, namespace)
        incident = scene.until_word("closed", namespace)

        scene.until_told(incident)
        assert "autoscaler" in scene.reasons(incident)
        assert scene.writes(namespace) == []

    def test_that_helped_nothing_is_told_and_closes(self, scene):
        namespace, _ = scene.patient()
        scene.cluster.pause()
        try:
            _run(scene, namespace)
            incident = scene.until_word("succeeded", namespace)
            scene.pass_(61)
            scene.until_word("ineffective", namespace)
        finally:
            scene.cluster.resume()

        assert scene.record(incident)["state"] == "closed"
        assert "ineffective: scale_deployment" in str(scene.until_told(incident)["content"])


class TestARunThatWaits:
    """Whatever becomes of its target meanwhile, it ends, and whoever has said yes to it hears so."""

    @pytest.fixture
    def held(self, scene):
        """Namespace and incident of one that two people have to say yes to."""
        scene.policy(rules=[{"name": "two", "approvers": 2}])
        namespace, _ = scene.patient("approve")
        _run(scene, namespace)
        incident = scene.until_word("held", namespace)
        scene.settle()
        return namespace, incident

    def yes(self, scene, incident):
        answer = scene.api("POST", f"v1/holds/{incident}/approve", {"reason": "go"}, person="bo")
        assert answer.status_code == 200

    def test_for_a_yes_and_is_gone_by_then_ends_and_says_so(self, scene, held):
        namespace, incident = held
        scene.cluster.delete("Deployment", namespace, "web")
        self.yes(scene, incident)

        scene.until(lambda: scene.record(incident)["state"] == "closed")
        scene.until_told(incident)
        assert "web is gone: the approval by" in scene.reasons(incident)

    def test_for_a_yes_where_nothing_is_automatic_by_then_is_void(self, scene, held):
        namespace, incident = held
        scene.cluster.edit("Namespace", "", namespace, {"metadata": {"labels": {"akeso.dev/autonomy": "off"}}})
        self.yes(scene, incident)

        scene.until(lambda: scene.record(incident)["state"] == "closed", lambda: str(scene.words(incident)))
        assert scene.lines(incident, "void")[0]["check"] == "autonomy"
        assert scene.replicas(namespace) == 1

    def test_for_its_time_and_is_gone_by_then_ends_and_says_so(self, scene):
        namespace, _ = scene.patient()
        _run(scene, namespace)
        scene.until_word("succeeded", namespace)
        scene.until(lambda: scene.ready(namespace) == 2)
        scene.pass_(61)
        scene.until_word("verified", namespace)
        _run(scene, namespace, params={"replicas": 3})
        incident = scene.until_word("denied", namespace)
        scene.cluster.delete("Deployment", namespace, "web")

        scene.pass_(600)

        scene.until(lambda: scene.record(incident)["state"] == "closed", lambda: str(scene.words(incident)))
        assert "web is gone" in scene.reasons(incident)


class TestAnUndo:
    def test_restores_the_spec_byte_for_byte_even_after_the_incident_has_closed(self, scene):
        namespace, alert = scene.patient()
        before = _spec(scene, namespace)
        incident, attempt = scene.verified(namespace, alert)
        assert _spec(scene, namespace) != before

        scene.asked("v1/undo", {"attempt": attempt, "reason": "was wrong"})
        scene.until(lambda: _spec(scene, namespace) == before)
        scene.settle()
        scene.tick()

        assert scene.lines(incident, "succeeded")[-1]["mode"] == "undo"
        assert f"undo of {attempt}: succeeded" in scene.reasons(incident)
        assert len(scene.writes(namespace)) == 2
        assert "verified" not in scene.words(incident)[scene.words(incident).index("undo-asked") :]

    def test_is_taken_once_and_is_itself_not_undone(self, scene):
        namespace, alert = scene.patient()
        incident, attempt = scene.verified(namespace, alert)
        scene.asked("v1/undo", {"attempt": attempt, "reason": "was wrong"})
        scene.until(lambda: scene.replicas(namespace) == 1)
        scene.settle()
        back = scene.attempts(incident)[-1]
        assert back != attempt

        assert _refused(scene, "v1/undo", {"attempt": attempt})
        assert _refused(scene, "v1/undo", {"attempt": back})
        scene.tick()
        assert scene.replicas(namespace) == 1
        assert len(scene.writes(namespace)) == 2

    def test_after_somebody_elses_edit_refuses_and_says_so(self, scene):
        namespace, alert = scene.patient()
        incident, attempt = scene.verified(namespace, alert)
        scene.cluster.edit("Deployment", namespace, "web", {"spec": {"replicas": 5}})

        scene.asked("v1/undo", {"attempt": attempt, "reason": "was wrong"})
        scene.until(lambda: "skipped" in scene.words(incident))
        scene.tick()

        assert scene.replicas(namespace) == 5
        assert len(scene.writes(namespace)) == 1
        assert f"undo of {attempt}: skipped (changed" in scene.reasons(incident)

    def test_of_what_nobody_did_is_not_found(self, scene):
        answer = scene.api("POST", "v1/undo", {"attempt": "grant-" + "0" * 20, "reason": "x"}, person="bo")

        assert answer.status_code == 404
        assert "error" in answer.json()
