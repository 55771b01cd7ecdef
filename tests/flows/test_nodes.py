"""Nodes and the network around a pod, from an alert to a verdict or to a refusal that people are told.

Nodes on the emulated cluster alone: those of a real one are everybody's, see `tests/cluster/test_real_nodes.py`.
"""

import pytest

from shared.action.nodes import HOME
from shared.dev.cluster import Cluster
from shared.kube.mark import MARK, TEMPORARY, UNTIL
from tests.flows.emitted import recorded

_TOLERANT = [{"key": "story", "operator": "Exists"}]


@pytest.fixture
def pool(scene):
    """Three nodes, where nothing but the story's own pods is, long after the last story about nodes."""
    if not isinstance(scene.cluster, Cluster):
        pytest.skip("the nodes of a real cluster are not this story's")
    scene.world.advance(601)
    scene.heartbeat()
    names = [f"{word}-{scene.number}" for word in ("ill", "well", "good")]
    for name in names:
        _make(scene, name)
    yield names
    for name in names:
        if scene.cluster.get("Node", "", name):
            scene.cluster.delete("Node", "", name)


def _make(scene, name, **more):
    taint = {"key": "story", "value": str(scene.number), "effect": "NoSchedule"}
    # A pool of its own: what is under way in a pool, or was a moment ago, keeps others out of it.
    labels = {"akeso.dev/autonomy": "auto", "story": str(scene.number), "karpenter.sh/nodepool": f"p-{scene.number}"}
    scene.cluster.node(name, labels, taints=(taint,), **more)


def _alert(scene, node, alertname, **labels):
    named = "instance" if alertname.startswith("Node") else "node"  # what a node's own exporter tells has no other
    return scene.alert("", alertname=alertname, **{named: node, **labels})


def _ready(scene, node, *, ready):
    status = scene.cluster.get("Node", "", node)["status"]
    said = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    scene.cluster.set_status("Node", "", node, {**status, "conditions": said})


def _cordoned(scene, node):
    return scene.cluster.get("Node", "", node)["spec"].get("unschedulable", False)


def _until(scene, node, word):
    def said():
        incident = scene.incident_of(f"Node/{node}")
        return incident if incident and word in scene.words(incident) else ""

    def instead():
        lines = scene.audit(scene.incident_of(f"Node/{node}"))
        return f"never {word!r}: {[(x['what'], x.get('check'), x.get('text')) for x in lines]}"

    return scene.until(said, instead)


def _place(scene, node, replicas=2, name="web", **spec):
    """A Deployment whose pods begin on that node and may run on all of the story's; its namespace has not opted in."""
    namespace = scene.namespace("")
    scene.cluster.deployment(namespace, name, 0, ready_after=0)
    pods = {"nodeSelector": {"story": str(scene.number)}, "tolerations": _TOLERANT, **spec}
    others = [one["metadata"]["name"] for one in scene.cluster.all("Node", labels=f"story={scene.number}")]
    for other in others:
        scene.cluster.edit("Node", "", other, {"spec": {"unschedulable": None if other == node else True}})
    template = {"spec": {"template": {"spec": pods}, "replicas": replicas}}
    scene.cluster.edit("Deployment", namespace, name, template, manager="akeso-seed")
    scene.until(lambda: scene.ready(namespace, name) == replicas and len(_on(scene, node)) >= replicas)
    for other in others:
        scene.cluster.edit("Node", "", other, {"spec": {"unschedulable": None}}, manager="akeso-seed")
    return namespace


def _on(scene, node):
    return {pod["metadata"]["uid"] for pod in scene.cluster.all("Pod") if pod["spec"].get("nodeName") == node}


def _approved(scene, node):
    """A drain is grave enough for a person's yes."""
    incident = _until(scene, node, "held")
    scene.settle()
    scene.asked(f"v1/holds/{incident}/approve", {"reason": "go"})
    return incident


def _draining(scene, ill):
    """A drain under way that its pods' budget holds up: their namespace, and its incident."""
    namespace = _place(scene, ill)
    scene.cluster.pdb(namespace, "web", {"app": "web"}, min_available=2)
    scene.fire(_alert(scene, ill, "NodeRAIDDegraded"))
    incident = _approved(scene, ill)
    scene.until_held_up(incident)
    return namespace, incident


class TestANodeThatIsLost:
    def test_is_cordoned_verified_when_it_is_back_and_lifted_by_the_sweeper(self, scene, pool):
        ill = pool[0]
        _ready(scene, ill, ready=False)
        alert = _alert(scene, ill, "KubeNodeNotReady")

        assert scene.fire(alert) == 200
        incident = _until(scene, ill, "succeeded")
        found = scene.cluster.get("Node", "", ill)
        assert found["spec"]["unschedulable"] is True
        assert found["metadata"]["labels"][TEMPORARY] == "true"
        assert UNTIL in found["metadata"]["annotations"]
        _ready(scene, ill, ready=True)
        scene.resolve(alert)
        _until(scene, ill, "resolved")
        scene.pass_(122, step=61)
        _until(scene, ill, "verified")
        assert _cordoned(scene, ill)

        scene.pass_(3660, step=610)

        scene.until(lambda: not _cordoned(scene, ill), lambda: str(scene.audit(incident)))
        notes = scene.cluster.get("Node", "", ill)["metadata"]
        assert UNTIL not in notes["annotations"]
        assert TEMPORARY not in notes["labels"]

    def test_for_want_of_memory_is_cordoned_and_verified_once_it_has_some(self, scene, pool):
        ill = pool[0]
        status = scene.cluster.get("Node", "", ill)["status"]
        pressed = [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "True"}]
        scene.cluster.set_status("Node", "", ill, {**status, "conditions": pressed})
        alert = _alert(scene, ill, "KubeNodePressure")

        scene.fire(alert)
        _until(scene, ill, "succeeded")
        assert _cordoned(scene, ill)
        _ready(scene, ill, ready=True)
        scene.resolve(alert)
        _until(scene, ill, "resolved")
        scene.pass_(122, step=61)

        _until(scene, ill, "verified")

    def test_that_is_the_last_one_is_told_and_left_alone(self, scene, pool):
        others = [one["metadata"]["name"] for one in scene.cluster.all("Node") if one["metadata"]["name"] != pool[0]]
        before = {name: _cordoned(scene, name) for name in others}
        for name in others:
            scene.cluster.edit("Node", "", name, {"spec": {"unschedulable": True}})

        try:
            scene.asked("v1/run", {
                "action": "cordon_node", "target": {"kind": "Node", "name": pool[0]}, "dry_run": False,
            })  # fmt: skip
            incident = scene.until(lambda: scene.incident_of(f"Node/{pool[0]}"))
            scene.until_told(incident)
        finally:
            for name in others:
                scene.cluster.edit("Node", "", name, {"spec": {"unschedulable": before[name] or None}})

        assert f"no other node than {pool[0]} is ready and takes pods" in scene.reasons(incident)
        assert not _cordoned(scene, pool[0])

    def test_without_a_label_is_only_looked_at(self, scene, pool):
        ill = pool[0]
        scene.cluster.edit("Node", "", ill, {"metadata": {"labels": {"akeso.dev/autonomy": None}}})
        _ready(scene, ill, ready=False)

        scene.fire(_alert(scene, ill, "KubeNodeUnreachable"))
        _until(scene, ill, "denied")

        assert not _cordoned(scene, ill)


class TestANodeThatNeedsRepair:
    @pytest.mark.parametrize("origin", [False, True], ids=["kube-prometheus", "origin"])
    def test_is_emptied_pod_by_pod_and_verified(self, scene, pool, origin):
        ill = pool[0]
        namespace = _place(scene, ill, replicas=3)
        before = _on(scene, ill)
        alert = _alert(scene, ill, "NodeRAIDDegraded")
        if origin:
            alert = scene.alert(**recorded("node-maintenance", node=ill))

        assert scene.fire(alert) == 200
        incident = _approved(scene, ill)
        _until(scene, ill, "succeeded")

        assert _cordoned(scene, ill)
        assert not _on(scene, ill)
        scene.until(lambda: scene.ready(namespace) == 3)
        assert len(before) == 3
        scene.resolve(alert)
        scene.pass_(244, step=61)
        _until(scene, ill, "verified")
        evictions = [write for write in scene.writes(namespace) if write.startswith("evict")]
        assert len(evictions) == len(set(evictions)) == 3
        assert scene.record(incident)["state"] == "closed"

    def test_waits_for_a_budget_and_gives_up_with_the_cordon_taken_back(self, scene, pool):
        ill = pool[0]
        namespace = _place(scene, ill)
        scene.cluster.pdb(namespace, "web", {"app": "web"}, min_available=2)
        before = _on(scene, ill)

        scene.fire(_alert(scene, ill, "NodeRAIDDegraded"))
        incident = _approved(scene, ill)
        scene.until_held_up(incident)
        assert _cordoned(scene, ill)
        scene.pass_(1620, step=1620)

        _until(scene, ill, "failed")
        assert scene.lines(incident, "failed")[0]["reason"] == "disruption-budget"
        scene.tick()
        scene.until(lambda: not _cordoned(scene, ill))
        assert _on(scene, ill) == before
        scene.until_told(incident)
        assert "kept by a disruption budget" in scene.reasons(incident)

    def test_goes_on_when_the_budget_has_room_again(self, scene, pool):
        ill = pool[0]
        namespace, _ = _draining(scene, ill)

        scene.cluster.delete("PodDisruptionBudget", namespace, "web")
        scene.pass_(120)

        _until(scene, ill, "succeeded")
        assert not _on(scene, ill)

    def test_that_has_become_the_last_one_meanwhile_is_given_up_and_takes_pods_again(self, scene, pool):
        ill, *others = pool
        namespace, incident = _draining(scene, ill)
        scene.settle()
        for other in others:
            scene.cluster.edit("Node", "", other, {"spec": {"unschedulable": True}})
        scene.cluster.delete("PodDisruptionBudget", namespace, "web")
        before = _on(scene, ill)

        scene.pass_(120)

        _until(scene, ill, "failed")
        assert scene.lines(incident, "failed")[0]["reason"] == "last-node"
        assert _on(scene, ill) == before
        scene.tick()
        scene.until(lambda: not _cordoned(scene, ill))

    def test_keeps_the_pods_of_a_namespace_that_is_stopped_meanwhile(self, scene, pool):
        ill = pool[0]
        namespace = _place(scene, ill)
        scene.cluster.pdb(namespace, "web", {"app": "web"}, min_available=2)
        before = _on(scene, ill)
        scene.fire(_alert(scene, ill, "NodeRAIDDegraded"))
        incident = _approved(scene, ill)
        scene.until(lambda: _cordoned(scene, ill))

        # As by kubectl: no sweep sees it. The budget stays until it is heard: what the API has in hand when the stop is
        # set may still go.
        scene.sweeps = False
        key = f"namespace.{namespace}"
        scene.cluster.edit("ConfigMap", scene.home, "akeso-stop", {"data": {key: "stop: a sale"}})
        try:
            _until(scene, ill, "stopped")
            scene.cluster.delete("PodDisruptionBudget", namespace, "web")
            scene.settle()
        finally:
            scene.cluster.edit("ConfigMap", scene.home, "akeso-stop", {"data": {key: None}})

        assert f"stop is set for namespace {namespace}" in scene.lines(incident, "stopped")[0]["text"]
        assert _on(scene, ill) == before

    def test_that_is_lost_meanwhile_and_comes_back_is_emptied_all_the_same(self, scene, pool):
        ill = pool[0]
        namespace, _ = _draining(scene, ill)
        _ready(scene, ill, ready=False)
        scene.pass_(60)
        _ready(scene, ill, ready=True)

        scene.cluster.delete("PodDisruptionBudget", namespace, "web")
        scene.pass_(120)

        _until(scene, ill, "succeeded")
        assert not _on(scene, ill)
        assert _cordoned(scene, ill)
        evictions = [write for write in scene.writes(namespace) if write.startswith("evict")]
        assert len(evictions) == len(set(evictions)) == 2

    @pytest.mark.parametrize("how", ["replaced", "un-cordoned"])
    def test_is_left_alone_when_it_is_another_or_a_person_wants_it_back(self, scene, pool, how):
        ill = pool[0]
        namespace, incident = _draining(scene, ill)
        scene.settle()
        if how == "replaced":
            scene.cluster.delete("Node", "", ill)
            _make(scene, ill)
        else:
            scene.cluster.edit("Node", "", ill, {"spec": {"unschedulable": None}})
        scene.cluster.delete("PodDisruptionBudget", namespace, "web")
        before = _on(scene, ill)

        scene.pass_(120)

        _until(scene, ill, "failed")
        reason = {"replaced": "not-found", "un-cordoned": "changed"}[how]
        assert scene.lines(incident, "failed")[0]["reason"] == reason
        assert _on(scene, ill) == before
        assert not _cordoned(scene, ill)

    def test_is_not_begun_with_a_pod_that_nothing_makes_anew(self, scene, pool):
        ill = pool[0]
        namespace = scene.namespace("")
        bare = {"metadata": {"name": "bare"}, "spec": {"nodeName": ill, "containers": [{"name": "c", "image": "i:1"}]}}
        scene.cluster.put("Pod", namespace, bare)

        scene.fire(_alert(scene, ill, "NodeRAIDDegraded"))
        incident = scene.until(lambda: scene.incident_of(f"Node/{ill}"))
        scene.until_told(incident)

        assert f"nothing would make pod {namespace}/bare anew" in scene.reasons(incident)
        assert not _cordoned(scene, ill)

    def test_never_loses_akesos_own_pods(self, scene, pool):
        ill = pool[0]
        own = {"metadata": {"name": f"own-{scene.number}"},
               "spec": {"nodeName": ill, "containers": [{"name": "c", "image": "i:1"}]}}  # fmt: skip
        scene.cluster.put("Pod", HOME, own)

        scene.fire(_alert(scene, ill, "NodeRAIDDegraded"))
        incident = scene.until(lambda: scene.incident_of(f"Node/{ill}"))
        scene.until_told(incident)
        scene.cluster.delete("Pod", HOME, own["metadata"]["name"])

        assert "is Akeso's own" in scene.reasons(incident)
        assert not _cordoned(scene, ill)


def _is_web(pod):
    return pod["metadata"]["labels"].get("app") == "web"


class TestAPodInQuarantine:
    @pytest.fixture
    def apart(self, scene):
        """A pod that a person has isolated: namespace, its name, attempt."""
        namespace = scene.namespace()
        scene.deployment(namespace, replicas=2, minimum=0, ready_after=0)
        pod = scene.cluster.all("Pod", namespace)[0]
        scene.asked("v1/run", {
            "action": "quarantine_pod", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
            "params": {"pod": pod["metadata"]["name"], "hours": 2, "allow_unenforced": True}, "dry_run": False,
            "reason": "beacons",
        })  # fmt: skip
        incident = scene.until_word("succeeded", namespace)
        scene.settle()
        return namespace, pod, incident

    def test_has_only_the_label_that_isolates_it_and_is_replaced(self, scene, apart):
        namespace, pod, _ = apart
        uid = pod["metadata"]["uid"]

        kept = scene.cluster.get("Pod", namespace, pod["metadata"]["name"])
        (wall,) = scene.cluster.all("NetworkPolicy", namespace)

        assert kept["metadata"]["labels"] == wall["spec"]["podSelector"]["matchLabels"] == {"akeso.dev/quarantine": uid}
        assert wall["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert not {"ingress", "egress"} & set(wall["spec"])
        scene.until(lambda: len([pod for pod in scene.cluster.all("Pod", namespace) if _is_web(pod)]) == 2)
        scene.until(lambda: scene.ready(namespace) == 2)
        assert MARK in kept["metadata"]["annotations"]

    def test_is_not_let_out_by_a_machine_but_people_are_told_when_its_time_is_over(self, scene, apart):
        namespace, pod, incident = apart
        scene.pass_(3600, step=600)
        assert "has been in quarantine" not in scene.reasons(incident)

        scene.pass_(4000, step=600)

        scene.until(lambda: scene.tick() and "has been in quarantine for 2 h" in scene.reasons(incident),
                    lambda: f"{scene.due()} {scene.audit(incident)}")  # fmt: skip
        assert "akeso undo" in scene.reasons(incident)
        assert scene.cluster.get("Pod", namespace, pod["metadata"]["name"])["metadata"]["labels"] != {"app": "web"}
        assert scene.cluster.all("NetworkPolicy", namespace)

    def test_whose_place_nobody_takes_is_told_and_not_let_out_either(self, scene, apart):
        namespace, pod, incident = apart
        if not isinstance(scene.cluster, Cluster):
            pytest.skip("there a fresh pod is sooner ready than a verdict can be had")
        scene.until(lambda: scene.ready(namespace) == 2)
        scene.cluster.pause()
        try:
            status = scene.cluster.get("Deployment", namespace, "web")["status"]
            scene.cluster.set_status("Deployment", namespace, "web", {**status, "readyReplicas": 1})
            scene.pass_(1400, step=700)
        finally:
            scene.cluster.resume()

        assert {"ineffective", "told"} <= set(scene.words(incident))
        assert scene.cluster.get("Pod", namespace, pod["metadata"]["name"])["metadata"]["labels"] != {"app": "web"}
        assert scene.cluster.all("NetworkPolicy", namespace)
        assert scene.tickets(incident)

    def test_is_let_out_by_a_person_with_the_labels_it_had(self, scene, apart):
        namespace, pod, incident = apart
        before = pod["metadata"]["labels"]

        scene.cluster.pause()  # before one of three pods too many is chosen
        try:
            scene.asked("v1/undo", {"attempt": scene.attempts(incident)[-1], "reason": "clean"})
            scene.tick()
            scene.until(lambda: not scene.cluster.all("NetworkPolicy", namespace), lambda: str(scene.audit(incident)))
            after = scene.cluster.get("Pod", namespace, pod["metadata"]["name"])["metadata"]["labels"]
        finally:
            scene.cluster.resume()

        assert after == before

    def test_that_nobody_would_enforce_is_refused_and_told(self, scene):
        if not isinstance(scene.cluster, Cluster):
            pytest.skip("whether anybody enforces there is not this story's")
        namespace = scene.namespace()
        scene.deployment(namespace, replicas=2, minimum=0, ready_after=0)
        pod = scene.cluster.all("Pod", namespace)[0]["metadata"]

        scene.asked("v1/run", {
            "action": "quarantine_pod", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
            "params": {"pod": pod["name"]}, "dry_run": False, "reason": "beacons",
        })  # fmt: skip
        incident = scene.until(lambda: scene.incident(namespace))
        scene.until_told(incident)

        assert "no network plug-in is known here" in scene.reasons(incident)
        assert scene.cluster.all("NetworkPolicy", namespace) == []
        assert scene.cluster.get("Pod", namespace, pod["name"])["metadata"]["labels"] == pod["labels"]
