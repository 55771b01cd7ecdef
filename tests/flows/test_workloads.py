"""Remedies for a workload as a whole, from the alert as kube-prometheus sends it to the verdict, or to the refusal."""

import pytest

from shared.dev.cluster_budget import is_ready
from shared.dev.cluster_pods import BEHAVIOUR, NEEDS_MEMORY, READY_AFTER
from tests.flows.emitted import recorded

GITOPS = {"kustomize.toolkit.fluxcd.io/name": "shop"}


def stuck(scene, alert=None, **labels):
    """A Deployment whose second version does not become ready, called stuck by its controller."""
    namespace = scene.namespace()
    scene.deployment(namespace, replicas=2, minimum=0, ready_after=0, labels=labels)
    scene.until(lambda: reason(scene, namespace) == "NewReplicaSetAvailable")
    (container,) = scene.cluster.get("Deployment", namespace, "web")["spec"]["template"]["spec"]["containers"]
    worse = {
        "metadata": {"annotations": {BEHAVIOUR: "crash"}},
        "spec": {"containers": [{**container, "command": ["sh", "-c", "sleep 0.5; exit 1"]}]},
    }
    spec = {"progressDeadlineSeconds": 3, "template": worse}
    scene.cluster.edit("Deployment", namespace, "web", {"spec": spec}, manager="akeso-seed")
    scene.world.advance(4)
    scene.until(lambda: reason(scene, namespace) == "ProgressDeadlineExceeded")
    alert = alert or {"alertname": "KubeDeploymentRolloutStuck"}
    return namespace, scene.alert(**{**alert, "namespace": namespace, "deployment": "web"})


def reason(scene, namespace):
    status = scene.cluster.get("Deployment", namespace, "web")["status"]
    return next((one["reason"] for one in status.get("conditions", ()) if one["type"] == "Progressing"), "")


def command(scene, namespace):
    (container,) = scene.cluster.get("Deployment", namespace, "web")["spec"]["template"]["spec"]["containers"]
    return container.get("command", [])


class TestAVersionThatDoesNotBecomeReady:
    @pytest.mark.parametrize("alert", [None, recorded("deployment-failure")], ids=["kube-prometheus", "origin"])
    def test_goes_back_to_the_last_good_one(self, emulated, alert):
        namespace, alert = stuck(emulated, alert)

        emulated.fire(alert)
        incident = emulated.until_word("succeeded", namespace)

        assert "exit 1" not in str(command(emulated, namespace))
        assert emulated.ready(namespace) == 2
        assert "command" not in str(emulated.audit(incident))  # no template ever leaves the cluster
        emulated.cured(alert, namespace, soak_s=121)
        assert emulated.record(incident)["state"] == "closed"

    def test_of_git_is_left_and_told(self, emulated):
        namespace, alert = stuck(emulated, **GITOPS)

        incident = emulated.told_of(alert, namespace)

        assert (
            "rollback_deployment was chosen and refuses: gitops, flux would bring the version back"
            in emulated.reasons(incident)
        )
        assert emulated.writes(namespace) == []


def hpa(scene, *, metrics=True, **labels):
    """A Deployment at the maximum of its autoscaler, and the alert, which names the autoscaler alone."""
    namespace = scene.namespace()
    scene.deployment(namespace, replicas=2, minimum=0, ready_after=0)
    scene.cluster.put("HorizontalPodAutoscaler", namespace, {
        "metadata": {"name": "web", "labels": labels},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                 "minReplicas": 1, "maxReplicas": 2},
    })  # fmt: skip
    says(scene, namespace, metrics=metrics, limited=True)
    return namespace, scene.alert(namespace, alertname="KubeHpaMaxedOut", horizontalpodautoscaler="web")


def says(scene, namespace, *, metrics, limited):
    conditions = {"AbleToScale": True, "ScalingActive": metrics, "ScalingLimited": limited}
    scene.cluster.set_status("HorizontalPodAutoscaler", namespace, "web", {
        "currentReplicas": 2, "desiredReplicas": 2,
        "conditions": [{"type": kind, "status": str(true), "reason": "TooManyReplicas"}
                       for kind, true in conditions.items()],
    })  # fmt: skip


def bounds(scene, namespace):
    spec = scene.cluster.get("HorizontalPodAutoscaler", namespace, "web")["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


class TestAnAutoscalerAtItsMaximum:
    def test_gets_one_step_more(self, emulated):
        namespace, alert = hpa(emulated)

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace)
        says(emulated, namespace, metrics=True, limited=False)

        assert bounds(emulated, namespace) == (1, 3)
        assert len(emulated.writes(namespace)) == 1
        emulated.cured(alert, namespace, soak_s=181)

    def test_of_git_is_left_and_told(self, emulated):
        namespace, alert = hpa(emulated, **GITOPS)

        incident = emulated.told_of(alert, namespace)

        assert "update_hpa was chosen and refuses: gitops" in emulated.reasons(incident)
        assert bounds(emulated, namespace) == (1, 2)

    def test_without_metrics_is_a_persons(self, emulated):
        namespace, alert = hpa(emulated, metrics=False)

        incident = emulated.told_of(alert, namespace)

        assert "The autoscaler would take any other number of replicas back at once" in emulated.reasons(incident)
        assert bounds(emulated, namespace) == (1, 2)


def daemonset(scene, behaviour="", update="RollingUpdate"):
    """A DaemonSet on two nodes of which one pod has hung for a quarter of an hour, and the alert."""
    namespace = scene.namespace()
    name = f"agent{scene.number}"
    for node in ("a", "b"):
        scene.cluster.node(f"{name}-{node}", {"akeso.dev/for": name})
    notes = {READY_AFTER: "0"} | ({BEHAVIOUR: behaviour} if behaviour else {})
    scene.cluster.put("DaemonSet", namespace, {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}}, "updateStrategy": {"type": update},
            "template": {"metadata": {"labels": {"app": name}, "annotations": notes},
                         "spec": {"nodeSelector": {"akeso.dev/for": name},
                                  "containers": [{"name": "app", "image": "registry.example/agent:1"}]}},
        },
    })  # fmt: skip
    first, _ = scene.until(
        lambda: [pod for pod in pods(scene, namespace) if is_ready(pod)][1:] and pods(scene, namespace)
    )
    hang = {"metadata": {"annotations": {READY_AFTER: "999999"}}}
    scene.cluster.edit("Pod", namespace, first["metadata"]["name"], hang)
    scene.pass_(901, step=301)
    return namespace, name, scene.alert(namespace, alertname="KubeDaemonSetRolloutStuck", daemonset=name)


def pods(scene, namespace):
    return scene.cluster.all("Pod", namespace)


def uids(scene, namespace):
    return {pod["metadata"]["uid"] for pod in pods(scene, namespace)}


class TestADaemonSetThatHangs:
    def test_is_replaced_pod_by_pod(self, emulated):
        namespace, name, alert = daemonset(emulated)
        before = uids(emulated, namespace)

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace, name, "DaemonSet")

        assert not uids(emulated, namespace) & before
        assert all(map(is_ready, pods(emulated, namespace)))
        emulated.cured(alert, namespace, name, "DaemonSet", soak_s=121)

    def test_is_left_where_nothing_would_replace_its_pods_and_told(self, emulated):
        namespace, name, alert = daemonset(emulated, update="OnDelete")
        before = uids(emulated, namespace)

        emulated.fire(alert)
        incident = emulated.until(lambda: emulated.incident(namespace, name, "DaemonSet"))
        emulated.until_told(incident)

        assert "restart_daemonset was chosen and refuses: unsupported" in emulated.reasons(incident)
        assert emulated.writes(namespace) == []
        assert uids(emulated, namespace) == before

    @pytest.mark.faults  # a minute of waiting
    def test_is_left_at_the_first_that_does_not_come_back(self, emulated):
        namespace, name, alert = daemonset(emulated, "crash-later")
        before = uids(emulated, namespace)

        emulated.fire(alert)
        emulated.until_word("begun", namespace, name, "DaemonSet")
        emulated.pass_(240)
        incident = emulated.until_word("failed", namespace, name, "DaemonSet")

        assert "was replaced and is not ready" in emulated.lines(incident, "failed")[0]["text"]
        emulated.until_told(incident)
        emulated.until(lambda: "restarted" not in str(emulated.cluster.get("DaemonSet", namespace, name)["spec"]))
        assert len(uids(emulated, namespace) & before) == 1


def starving(scene, alert=None, *, behaviour="hungry"):
    """A Deployment whose one pod was killed for want of memory, on a node that can resize it, and the pod's alert."""
    alert = alert or {"alertname": "KubePodOOM", "container": "app"}
    namespace, node = scene.namespace(), f"big{scene.number}"
    scene.cluster.node(node, {"akeso.dev/for": node})
    scene.cluster.set_status("Node", "", node, {
        "nodeInfo": {"kubeletVersion": "v1.34.0"}, "allocatable": {"cpu": "4", "memory": "8Gi"},
    })  # fmt: skip
    container = {"name": "app", "image": "registry.example/web:1", "resources": {"limits": {"memory": "64Mi"}}}
    notes = {BEHAVIOUR: behaviour, NEEDS_MEMORY: "90Mi", READY_AFTER: "0"}
    scene.cluster.put("Deployment", namespace, {
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": notes},
            "spec": {"containers": [container], "nodeSelector": {"akeso.dev/for": node}},
        }},
        "status": {"conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
    })  # fmt: skip
    (pod,) = scene.until(lambda: [pod for pod in pods(scene, namespace) if "OOMKilled" in str(pod["status"])])
    name = pod["metadata"]["name"]
    own = {"namespace": namespace, "pod": name} | ({"deployment": "web"} if "deployment" in alert else {})
    return namespace, scene.alert(**{**alert, **own}), name


def limit(scene, namespace, pod):
    (container,) = scene.cluster.get("Pod", namespace, pod)["spec"]["containers"]
    return container["resources"]["limits"]["memory"]


class TestAContainerThatIsKilledForItsMemory:
    @pytest.mark.parametrize("alert", [None, recorded("crash-loop-out-of-memory")], ids=["pod", "origin"])
    def test_gets_half_more_where_it_runs(self, emulated, alert):
        namespace, alert, pod = starving(emulated, alert)

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace)

        assert limit(emulated, namespace, pod) == "96Mi"
        emulated.until(lambda: emulated.ready(namespace) == 1)
        emulated.cured(alert, namespace, soak_s=181)

    def test_and_waits_to_be_started_again_is_replaced_by_one_that_has_half_more(self, emulated):
        namespace, alert, pod = starving(emulated, behaviour="oom")

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace)
        emulated.until(lambda: emulated.ready(namespace) == 1)

        (fresh,) = pods(emulated, namespace)
        assert fresh["metadata"]["name"] != pod
        assert limit(emulated, namespace, fresh["metadata"]["name"]) == "96Mi"
        emulated.cured(alert, namespace, soak_s=181)

    def test_stays_as_it_is_where_the_namespace_has_no_room(self, emulated):
        namespace, alert, pod = starving(emulated)
        limits = {"limits": [{"type": "Container", "max": {"memory": "80Mi"}}]}
        emulated.cluster.put("LimitRange", namespace, {"metadata": {"name": "small"}, "spec": limits})

        incident = emulated.told_of(alert, namespace)

        assert "refuses: quota, a LimitRange lets no container have 96Mi memory" in emulated.reasons(incident)
        assert limit(emulated, namespace, pod) == "64Mi"


class TestADeploymentUnderLoad:
    def under_load(self, scene):
        namespace = scene.namespace()
        scene.deployment(namespace, replicas=2, minimum=0, ready_after=0)
        pod = pods(scene, namespace)[0]["metadata"]["name"]
        return namespace, scene.alert(**recorded("high-memory", namespace=namespace, deployment="web", pod=pod))

    def test_gets_one_replica_more(self, emulated):
        namespace, alert = self.under_load(emulated)

        emulated.fire(alert)
        emulated.until_word("succeeded", namespace)
        emulated.until(lambda: emulated.ready(namespace) == 3)

        emulated.cured(alert, namespace, soak_s=61)
        assert len(emulated.writes(namespace)) == 1

    def test_of_an_autoscaler_is_left_and_told(self, emulated):
        namespace, alert = self.under_load(emulated)
        emulated.cluster.hpa(namespace, "web", "web")

        incident = emulated.told_of(alert, namespace)

        assert "would take any other number of replicas back at once" in emulated.reasons(incident)
        assert emulated.writes(namespace) == []

    def test_in_a_namespace_that_lets_no_pod_be_made_is_left_and_told(self, emulated):
        namespace, alert = self.under_load(emulated)
        quota = {"metadata": {"name": "shut"}, "spec": {"hard": {"pods": "0"}}, "status": {"used": {"pods": "2"}}}
        emulated.cluster.put("ResourceQuota", namespace, quota)

        incident = emulated.told_of(alert, namespace)

        assert "scale_deployment was chosen and refuses: quota" in emulated.reasons(incident)
        assert emulated.writes(namespace) == []

    def test_of_git_is_left_and_told(self, emulated):
        namespace, alert = self.under_load(emulated)
        emulated.cluster.edit("Deployment", namespace, "web", {"metadata": {"labels": GITOPS}}, manager="akeso-seed")

        incident = emulated.told_of(alert, namespace)

        assert "scale_deployment was chosen and refuses: gitops" in emulated.reasons(incident)
        assert emulated.writes(namespace) == []
