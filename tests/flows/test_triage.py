"""From an alert to its patient: never a wrong one, and never one that its owner has not handed over."""

import pytest

from tests.flows.harness import group, waits_in_a_crash_loop


@pytest.fixture
def looping(scene):
    """A Deployment whose two pods crash, and the alerts of both pods, not sent yet."""
    namespace = scene.namespace()
    scene.deployment(namespace, replicas=2, minimum=0, behaviour="crash", ready_after=0)
    pods = scene.until(
        lambda: [p for p in _pods(scene, namespace) if waits_in_a_crash_loop(p)][1:] and _pods(scene, namespace)
    )
    return namespace, [scene.alert(namespace, alertname="KubePodCrashLooping", pod=_name(pod)) for pod in pods]


def _pods(scene, namespace):
    return scene.cluster.all("Pod", namespace)


def _name(pod):
    return pod["metadata"]["name"]


class TestAPodsAlert:
    @pytest.fixture
    def scene(self, today):
        """In whichever moment of its loop a real pod is looked at."""
        return today

    def test_is_its_deployments_incident(self, scene, looping):
        namespace, (one, _) = looping

        scene.fire(one)
        incident = scene.until_word("succeeded", namespace)

        assert scene.record(incident)["scope"] == f"Deployment/{namespace}/web"
        assert scene.record(incident)["object"] == f"Pod/{namespace}/{one.labels['pod']}"
        assert [write for write in scene.writes(namespace) if "eviction" in write]

    def test_of_two_pods_is_one_incident_that_ends_with_the_last(self, scene, looping):
        namespace, (one, two) = looping
        known = scene.new()

        scene.fire(one, two)
        incident = scene.until_word("succeeded", namespace)
        scene.settle()
        scene.resolve(one)
        scene.until(lambda: "resolved" in scene.words(incident))

        assert scene.new() - known == {incident}
        assert scene.record(incident)["state"] == "open"
        scene.resolve(two)
        scene.until(lambda: scene.record(incident)["state"] == "quiet")
        assert scene.words(incident).count("approved") == 1
        assert "denied" not in scene.words(incident)

    def test_resolves_though_the_pod_is_gone(self, scene, looping):
        namespace, (one, _) = looping
        scene.fire(one)
        incident = scene.until_word("succeeded", namespace)
        live = [pod for pod in _pods(scene, namespace) if "deletionTimestamp" not in pod["metadata"]]
        if one.labels["pod"] in map(_name, live):  # the other one was evicted
            scene.cluster.delete("Pod", namespace, one.labels["pod"])

        scene.resolve(one)

        scene.until(
            lambda: scene.record(incident)["state"] == "quiet",
            lambda: f"{scene.record(incident)['state']}: {scene.words(incident)}",
        )


def _is_for_people(scene, alert, why, scope=""):
    """Told with that reason, never decided by the machine, closed when it resolves."""
    scope = scope or f"alert/{alert.fingerprint}"
    incident = scene.until(lambda: scene.incident_of(scope))
    ticket = scene.until_told(incident)
    assert why in str(ticket["content"])
    scene.pass_(3 * 3600, step=3600)
    assert set(scene.words(incident)) <= {"opened", "told", "joined"}
    scene.resolve(alert)
    scene.until(lambda: scene.record(incident)["state"] == "closed")
    scene.tick()
    assert [ticket["status"] for ticket in scene.tickets(incident)] == ["closed"]


class TestWhatIsForPeopleOnly:
    def test_an_alert_about_a_pod_that_nobody_knows(self, scene):
        namespace = scene.namespace()
        alert = scene.alert(namespace, alertname="KubePodCrashLooping", pod="web-6d4cf56db6-zzzzz")

        scene.fire(alert)

        _is_for_people(scene, alert, "the scope cannot be determined")

    def test_an_alert_that_names_nothing(self, scene):
        alert = scene.alert(scene.namespace())
        alert = alert._replace(labels={"alertname": "SomethingIsWrong"})

        scene.fire(alert)

        _is_for_people(scene, alert, "the scope cannot be determined")

    @pytest.mark.parametrize("about", ["name", "namespace"])
    def test_an_alert_about_akeso_itself(self, scene, about):
        if about == "name":
            namespace, _ = scene.patient()
            alert = scene.alert(namespace, alertname="AkesoStuck")
            scope = f"Deployment/{namespace}/web"
        else:
            scene.deployment("akeso-system", f"guard{scene.number}", ready_after=0)
            alert = scene.alert("akeso-system", f"guard{scene.number}")
            scope = f"Deployment/akeso-system/guard{scene.number}"

        scene.fire(alert)

        _is_for_people(scene, alert, "about Akeso itself", scope)


class TestAutonomy:
    def test_off_is_left_alone_without_a_ticket(self, scene):
        namespace, alert = scene.patient("off")

        scene.fire(alert)
        incident = scene.until_word("suppressed", namespace)
        scene.pass_(301)

        assert scene.tickets(incident) == []
        assert scene.writes(namespace) == []
        assert not {"approved", "denied"} & set(scene.words(incident))
        assert scene.record(incident)["stage"] == ""

    def test_off_in_a_protected_namespace_is_told_all_the_same(self, scene):
        namespace, alert = scene.patient("off")
        scene.policy(protected_namespaces=[namespace])

        scene.fire(alert)
        incident = scene.until_word("denied", namespace)

        assert "protected" in str(scene.until_told(incident)["content"])
        assert scene.writes(namespace) == []

    @pytest.mark.parametrize("autonomy", ["", "observe", "automatic"])
    def test_observe_and_whatever_is_not_a_word_of_ours_only_tells_what_it_would_do(self, scene, autonomy):
        namespace, alert = scene.patient(autonomy)
        before = scene.counters().get("would_have_done", 0)

        scene.fire(alert)
        incident = scene.until_word("denied", namespace)
        assert scene.counters()["would_have_done"] == before + 1

        ticket = scene.until_told(incident)
        assert f"would have done: akeso run scale_deployment --target Deployment/{namespace}/web" in scene.reasons(
            incident
        )
        assert any("--param replicas=3" in command for command in ticket["content"]["commands"])
        assert scene.writes(namespace) == []

    def test_suggest_hands_a_person_the_command(self, scene):
        namespace, alert = scene.patient("suggest")

        scene.fire(alert)
        incident = scene.until_word("denied", namespace)

        commands = scene.until_told(incident)["content"]["commands"]
        assert f"akeso run scale_deployment --target Deployment/{namespace}/web --param replicas=3 --yes" in commands
        assert not scene.record(incident).get("hold")
        assert scene.writes(namespace) == []

    def test_of_a_node_is_the_nodes_own(self, scene):
        names = {word: f"node-{word or 'bare'}-{scene.number}" for word in ("off", "")}
        for word, name in names.items():
            scene.cluster.node(name, {"akeso.dev/autonomy": word} if word else {})
        alerts = [scene.alert("", alertname="KubeNodeNotReady", node=name) for name in names.values()]
        for alert in alerts:
            del alert.labels["namespace"]

        scene.fire(*alerts)

        off, told = (scene.until(lambda name=name: scene.incident_of(f"Node/{name}")) for name in names.values())
        scene.until(lambda: "suppressed" in scene.words(off))
        scene.until_told(told)
        assert scene.tickets(off) == []


class TestAScopeThatVanishes:
    def test_before_anybody_looks_again_is_told(self, scene):
        namespace, alert = scene.patient("observe")
        scene.fire(alert)
        incident = scene.until_word("denied", namespace)
        scene.until_told(incident)

        scene.cluster.delete("Deployment", namespace, "web")
        scene.pass_(3600, step=900)

        assert f"Deployment/{namespace}/web is gone" in scene.reasons(incident)
        assert scene.send(group(alert.element("resolved"))) == 200
        scene.until_word("closed", namespace)
