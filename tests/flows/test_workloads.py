"""Remedies for a workload as a whole, from the alert as kube-prometheus sends it to the verdict, or to the refusal."""


from shared.dev.cluster_pods import BEHAVIOUR

GITOPS = {"kustomize.toolkit.fluxcd.io/name": "shop"}


def stuck(scene, **labels):
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
    scene.until(lambda: reason(scene, namespace) == "ProgressDeadlineExceeded")
    return namespace, scene.alert(namespace, alertname="KubeDeploymentRolloutStuck")


def reason(scene, namespace):
    status = scene.cluster.get("Deployment", namespace, "web")["status"]
    return next((one["reason"] for one in status.get("conditions", ()) if one["type"] == "Progressing"), "")


def command(scene, namespace):
    (container,) = scene.cluster.get("Deployment", namespace, "web")["spec"]["template"]["spec"]["containers"]
    return container.get("command", [])


def verify(scene, alert, namespace, name="web", kind="Deployment", soak_s=121):
    scene.resolve(alert)
    scene.until_word("resolved", namespace, name, kind)
    scene.pass_(soak_s, step=soak_s)
    scene.until_word("verified", namespace, name, kind)


class TestAVersionThatDoesNotBecomeReady:
    def test_goes_back_to_the_last_good_one(self, scene):
        namespace, alert = stuck(scene)

        scene.fire(alert)
        incident = scene.until_word("succeeded", namespace)

        assert "exit 1" not in str(command(scene, namespace))
        assert scene.ready(namespace) == 2
        assert "command" not in str(scene.audit(incident))  # no template ever leaves the cluster
        verify(scene, alert, namespace)
        assert scene.record(incident)["state"] == "closed"

    def test_of_git_is_left_and_told(self, scene):
        namespace, alert = stuck(scene, **GITOPS)

        scene.fire(alert)
        incident = scene.until(lambda: scene.incident(namespace))
        scene.until_told(incident)

        assert "rollback_deployment was chosen and refuses: gitops, flux would bring the version back" in scene.reasons(
            incident
        )
        assert scene.writes(namespace) == []
