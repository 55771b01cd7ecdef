"""Remedies for one pod, from the alert as kube-prometheus or the origin sends it to the verdict, or to the refusal."""

import pytest

from shared.dev.cluster_pods import READY_AFTER
from tests.flows.emitted import recorded

LOOPS = {"kube-prometheus": {"alertname": "KubePodCrashLooping"}, "origin": recorded("crash-loop-out-of-memory")}


def pods(scene, namespace):
    return scene.cluster.all("Pod", namespace)


def names(scene, namespace):
    return {pod["metadata"]["name"] for pod in pods(scene, namespace)}


def looping(scene, behaviour):
    """A Deployment with a pod that crashes, and the alert of that pod."""
    namespace = scene.namespace()
    scene.deployment(namespace, minimum=0, behaviour=behaviour, ready_after=0)
    (pod,) = scene.until(lambda: [pod for pod in pods(scene, namespace) if "CrashLoopBackOff" in str(pod["status"])])
    return namespace, scene.alert(namespace, alertname="KubePodCrashLooping", pod=pod["metadata"]["name"])


class TestAPodThatCrashes:
    def test_is_replaced_and_verified(self, emulated):
        namespace, alert = looping(emulated, "crash-once")
        before = names(emulated, namespace)

        emulated.fire(alert)
        incident = emulated.until_word("succeeded", namespace)
        emulated.until(lambda: emulated.ready(namespace) == 1)

        assert not names(emulated, namespace) & before
        emulated.cured(alert, namespace, soak_s=121)
        assert emulated.record(incident)["state"] == "closed"
        assert emulated.tickets(incident) == []

    def test_is_left_to_its_disruption_budget_and_told(self, emulated):
        namespace, alert = looping(emulated, "crash-once")
        emulated.cluster.pdb(namespace, "web", {"app": "web"}, min_available=1)
        before = names(emulated, namespace)

        incident = emulated.told_of(alert, namespace)

        assert "restart_pod was chosen and refuses: disruption-budget" in emulated.reasons(incident)
        assert emulated.writes(namespace) == []
        assert names(emulated, namespace) == before


class TestAPodThatHangsWhileOthersServe:
    """Which of the pods it is only one of these alerts says."""

    @pytest.mark.parametrize(
        "labels",
        [{"alertname": "KubeDeploymentReplicasMismatch"}, recorded("replicas-mismatch"), recorded("network")],
        ids=["KubeDeploymentReplicasMismatch", "DeploymentReplicasMismatch", "PodNetworkUnavailable"],
    )
    def test_is_replaced_and_verified(self, emulated, labels):
        namespace = emulated.namespace()
        emulated.deployment(namespace, replicas=2, minimum=0, ready_after=0)
        hangs = pods(emulated, namespace)[0]["metadata"]["name"]
        unready = {"metadata": {"annotations": {READY_AFTER: "999999"}}}
        emulated.cluster.edit("Pod", namespace, hangs, unready)
        emulated.until(lambda: emulated.ready(namespace) == 1)
        emulated.pass_(301, step=301)
        named = {"pod": hangs} if "pod" in labels else {"deployment": "web"}
        alert = emulated.alert(**{**labels, "namespace": namespace, **named})

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace)
        emulated.until(lambda: emulated.ready(namespace) == 2)

        assert hangs not in names(emulated, namespace)
        emulated.cured(alert, namespace, soak_s=121)
