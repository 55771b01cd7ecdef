"""Where nothing is to be done by machine, what can be seen is kept for the person who is told."""

import pytest


class TestAFailedJob:
    def test_is_told_with_its_evidence_and_not_run_again(self, scene, kubeconfig):
        if kubeconfig:
            pytest.skip("a Job that fails by an annotation")
        namespace = scene.namespace()
        scene.cluster.job(namespace, "reindex", {"emulator.akeso.dev/job": "fail"})
        scene.until(lambda: scene.cluster.get("Job", namespace, "reindex").get("status", {}).get("failed"))

        scene.fire(scene.alert(namespace, alertname="KubeJobFailed", job_name="reindex"))
        incident = scene.until_word("succeeded", namespace, "reindex", kind="Job")
        scene.until_told(incident)

        (attempt,) = scene.attempts(incident)
        assert f"akeso evidence {attempt}" in scene.reasons(incident)
        kept = scene.api("GET", f"v1/evidence/{attempt}")
        assert kept.status_code == 200
        assert f"Job/{namespace}/reindex" in kept.text
        assert scene.writes(namespace) == []
