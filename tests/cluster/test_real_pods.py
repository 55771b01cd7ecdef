"""What only real nodes can tell: pods that crash, run out of memory, are evicted and drained."""

from contextlib import contextmanager
from itertools import pairwise

import pytest

from shared import clock
from shared.dev.rules import real_ms
from shared.kube import facts as snapshot
from shared.kube.client import connect
from shared.kube.scope import resolve
from shared.model.facts import ObjectRef
from shared.settings import Kube, Settings
from tests.cluster.story import EVICTED, states

pytestmark = pytest.mark.usefixtures("nothing_broke")

MARKED = EVICTED[:1]
SOAK_S = 121
COOLDOWN_S = 301


class TestAContainerThatRunsOutOfMemory:
    def test_again_and_again_with_no_room_for_more_is_told_and_left_alone(self, story):
        namespace = story.namespace()
        most = {"limits": [{"type": "Container", "max": {"memory": "32Mi"}}]}
        story.cluster.put("LimitRange", namespace, {"metadata": {"name": "most"}, "spec": most})
        story.workload(namespace, "leaks")
        pod = story.looping(namespace)
        assert _container(story, namespace, pod).terminated == "OOMKilled"

        _fire(story, _alert(story, namespace, pod))
        incident = _told(story, namespace)

        assert "quota" in story.reasons(incident)
        assert len(story.tickets(incident)) == 1
        assert story.effects(namespace) == []
        assert story.names(namespace) == {pod}

    def test_once_and_finds_its_own_lock_then_is_healed_by_a_fresh_pod(self, story, capsys):
        namespace = story.namespace()
        story.workload(namespace, "leaks-once")
        killed = story.until(lambda: _killed_ms(story, namespace), "the kernel killed nobody")
        story.configure(namespace, "good")
        pod = story.looping(namespace)
        times = [killed, real_ms()]
        assert _container(story, namespace, pod).terminated == "Error"

        alert = _alert(story, namespace, pod)
        _fire(story, alert)
        story.until(lambda: story.effects(namespace) == EVICTED, "never evicted")
        times.append(real_ms())
        story.until(lambda: story.on(namespace, ready=True), "the fresh pod is never ready")
        times.append(real_ms())
        incident = _verified(story, namespace, alert)
        times.append(real_ms())

        assert story.effects(namespace) == EVICTED
        assert pod not in story.names(namespace)
        assert story.tickets(incident) == []
        steps = [f"{(after - before) / 1000:.1f} s" for before, after in pairwise(times)]
        with capsys.disabled():
            print(
                f"\nOOM kill to verified: {(times[-1] - killed) / 1000:.1f} s (finishedAt is in whole seconds):"
                f" crash loop seen {steps[0]}, alert to eviction {steps[1]}, eviction to ready {steps[2]}, resolved and"
                f" soaked to verified {steps[3]}; the soak's {SOAK_S} s of clock time were moved, not waited for"
            )


class TestACrashLoopByAFaultOfTheVersion:
    def test_is_restarted_as_often_as_the_rules_allow_and_then_told(self, story):
        # Its failures on record, and its one pod touched over and over, would have the next one wait.
        story.policy(risk_approve=101, risk_refuse=101, blast_minutes=1, backoff_max_s=60)
        namespace = story.namespace()
        story.workload(namespace, "fragile")
        seen = [story.looping(namespace)]
        story.configure(namespace, "bad")

        for number in range(1, 4):
            _fire(story, _alert(story, namespace, seen[-1]))
            story.until(lambda n=number: story.effects(namespace) == EVICTED * n, f"not evicted for the time {number}")
            seen.append(story.looping(namespace, but=seen))
            story.until(lambda n=number: story.all_words("Deployment", namespace).count("succeeded") == n)
            story.pass_(SOAK_S)
            story.until(lambda n=number: story.all_words("Deployment", namespace).count("ineffective") == n)
            story.look_while_it_waits(namespace, seen[-1])
            story.pass_(COOLDOWN_S - SOAK_S)
        incident = story.incident(namespace)
        story.told(incident)

        assert "attempts used up: 3 in 24 hours" in story.reasons(incident)
        assert story.effects(namespace) == EVICTED * 3
        assert "verified" not in story.words(incident)
        assert len(story.tickets(incident)) == 1


class TestADisruptionBudget:
    def test_that_allows_nothing_is_named_to_a_person_and_nothing_is_evicted(self, story):
        namespace = story.namespace()
        story.workload(namespace, "fragile")
        story.cluster.pdb(namespace, "all", {"app": "web"}, min_available=1)
        pod = story.looping(namespace)
        story.configure(namespace, "good")

        _fire(story, _alert(story, namespace, pod))
        incident = _told(story, namespace)

        assert "disruption-budget" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert story.names(namespace) == {pod}

    def test_that_is_there_only_at_the_moment_of_the_eviction_has_the_last_word(self, story):
        namespace = story.namespace()
        story.workload(namespace, "fragile")
        pod = story.looping(namespace)
        story.configure(namespace, "good")
        story.gate.before("Pod", "evict", lambda: story.cluster.pdb(namespace, "all", {"app": "web"}, min_available=1))

        _fire(story, _alert(story, namespace, pod))
        incident, word = story.ended(namespace, "failed", "skipped", "succeeded")

        assert word == "failed"
        assert "disruption budget" in story.skipped_for(incident)
        assert [r.status for r in story.gate.requests if pod in r.path and r.verb == "evict" and not r.dry_run] == [429]
        assert story.told(incident)
        assert story.effects(namespace) == MARKED
        assert story.names(namespace) == {pod}


class TestANodeThatIsDrainedMeanwhile:
    @pytest.mark.parametrize("first", ["the same pod", "its neighbour"])
    def test_loses_each_pod_once(self, story, first):
        namespace = story.namespace()
        story.workload(namespace, "good", replicas=2, affinity=_rather("n2"))
        story.until(lambda: len(story.on(namespace, "n2", ready=True)) == 2, "not on n2")
        story.cluster.pdb(namespace, "one", {"app": "web"}, min_available=1)
        budget = ("PodDisruptionBudget", namespace, "one")
        story.until(lambda: story.cluster.get(*budget)["status"].get("disruptionsAllowed") == 1, "both are not counted")
        ours, other = sorted(story.names(namespace))
        evicted = []

        with _cordoned(story, "n2") as cordon:

            def drain():
                cordon()
                if first == "its neighbour":
                    story.cluster.pause()  # else a quick replacement would make room in the budget before ours is asked
                one = ours if first == "the same pod" else other
                evicted.append((one, _evict(story, namespace, one)))

            story.gate.before("Pod", "evict", drain)
            story.asked("v1/run", {
                "action": "restart_pod", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
                "params": {"pod": ours}, "dry_run": False, "reason": "it is slow",
            })  # fmt: skip
            try:
                _, word = story.ended(namespace, "succeeded", "skipped", "failed", "unknown")
            finally:
                story.cluster.resume()
            for pod in (ours, other):
                story.until(lambda p=pod: p not in story.names(namespace) or _evict(story, namespace, p) in {201, 404})
            story.until(lambda: len(story.on(namespace, "n1", ready=True)) == 2, "not on n1")
            story.pass_(SOAK_S + COOLDOWN_S)

            assert evicted[0][1] == 201
            assert word in ({"succeeded", "skipped"} if first == "the same pod" else {"failed"})
            assert story.effects(namespace) == MARKED
            assert story.on(namespace, "n2") == []
            story.until(lambda: len(story.on(namespace, "n1", ready=True)) == 2, "not ready on n1 any more")


class TestAPodThatTheKubeletEvicts:
    def test_is_told_and_what_is_left_of_it_hinders_no_later_cure(self, story):
        namespace = story.namespace()
        # Of what a container writes to itself; a volume's `sizeLimit` is looked at only once a minute.
        story.workload(namespace, "fills", container={"resources": {"limits": {"ephemeral-storage": "2Mi"}}})
        (full,) = story.names(namespace)
        story.configure(namespace, "good")
        # Failed and Evicted, or, where its container ends well in time, Succeeded and no word of an eviction.
        story.until(lambda: _facts(story, namespace, full).over, "the kubelet evicts nobody")

        story.until(lambda: story.on(namespace, ready=True), "the kubelet's victim is not replaced")
        gone = _alert(story, namespace, full, "KubePodNotReady")
        story.fire(gone)
        incident = _told(story, namespace)
        assert story.effects(namespace) == []
        story.resolve(gone)

        story.configure(namespace, "fragile")
        (next_,) = story.names(namespace) - {full}
        story.cluster.delete("Pod", namespace, next_)
        pod = story.looping(namespace)
        story.configure(namespace, "good")
        alert = _alert(story, namespace, pod)
        _fire(story, alert)
        story.until(lambda: story.on(namespace, ready=True), "the fresh pod is never ready")
        assert full in story.names(namespace)
        _verified(story, namespace, alert)

        assert story.effects(namespace) == EVICTED
        assert len(story.tickets(incident)) == 1


class TestAPodThatCannotStart:
    def test_because_no_node_is_large_enough_is_told_and_left_alone(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good", serves=False, container={"resources": {"requests": {"cpu": "1000"}}})
        story.until(lambda: "Unschedulable" in str(story.pods(namespace)), "it is scheduled")
        (pod,) = story.names(namespace)

        story.fire(_alert(story, namespace, pod, "KubePodNotReady"))
        incident = _told(story, namespace)

        assert _facts(story, namespace, pod).reason == "Unschedulable"
        assert f"pod {pod}: Unschedulable" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert story.names(namespace) == {pod}

    def test_because_its_image_is_missing_is_told_by_the_true_reason(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good", serves=False, container={"image": "akeso.test/nowhere:1"})
        pod = story.looping(namespace, of="ImagePullBackOff")

        assert _container(story, namespace, pod).waiting in {"ImagePullBackOff", "ErrImagePull"}
        story.fire(_alert(story, namespace, pod, "KubeContainerWaiting"))
        incident = _told(story, namespace)

        assert "ImagePull" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert story.names(namespace) == {pod}


class TestACrashLoopOfAnotherKindOfOwner:
    @pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
    def test_is_healed_once_under_its_own_owner(self, story, kind):
        namespace = story.namespace()
        story.workload(namespace, "fragile", kind, nodeSelector={"kubernetes.io/hostname": "n1"})
        pod = story.looping(namespace)
        uid = story.cluster.get("Pod", namespace, pod)["metadata"]["uid"]
        story.configure(namespace, "good")

        alert = _alert(story, namespace, pod)
        _fire(story, alert)
        story.until(lambda: story.effects(namespace) == EVICTED, "never evicted")
        story.until(lambda: story.on(namespace, ready=True), "the fresh pod is never ready")
        incident = _verified(story, namespace, alert, kind)

        assert story.record(incident)["scope"] == f"{kind}/{namespace}/web"
        assert story.effects(namespace) == EVICTED
        assert [one["metadata"]["uid"] == uid for one in story.pods(namespace)] == [False]


def _alert(story, namespace, pod, alertname="KubePodCrashLooping"):
    return story.alert(namespace, alertname=alertname, pod=pod)


def _fire(story, alert):
    story.look_while_it_waits(alert.labels["namespace"], alert.labels["pod"])
    story.fire(alert)


def _told(story, namespace):
    """The incident of which people have a ticket, because a rule says that telling is all that helps."""
    incident = story.until_word("succeeded", namespace)
    story.until_told(incident)
    assert [line["action"] for line in story.lines(incident, "succeeded")] == ["notify_only"]
    return incident


def _verified(story, namespace, alert, kind="Deployment"):
    """Let it resolve and the soak pass: the incident, of which the verdict is the last word."""
    story.until_word("succeeded", namespace, kind=kind)  # the soak begins when its replacement is seen to serve
    return story.cured(alert, namespace, kind=kind, soak_s=SOAK_S)


def _facts(story, namespace, pod):
    """That pod as triage would see it now."""
    whose = Kube(kubeconfig=str(story.api_server.kubeconfig), timeout_ms=25_000)
    kube = connect(Settings(kube=whose), "akeso-test")
    scope = resolve(kube, ObjectRef(kind="Pod", namespace=namespace, name=pod))
    seen = snapshot.take(kube, scope, None, stop_namespace=story.home)
    return next(one for one in seen.pods if one.name == pod)


def _container(story, namespace, pod):
    (container,) = _facts(story, namespace, pod).containers
    return container


def _killed_ms(story, namespace):
    """When the kernel killed a container there, 0 as long as it has not."""
    ends = [end for pod in story.pods(namespace) for state in states(pod) for part in ("state", "lastState")
            if (end := state[part].get("terminated")) and end["reason"] == "OOMKilled"]  # fmt: skip
    return max((clock.parse_ms(end["finishedAt"]) for end in ends), default=0)


def _rather(node):
    """An affinity to that node that gives way when the node takes no more pods."""
    there = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]
    term = {"weight": 100, "preference": {"matchExpressions": there}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


@contextmanager
def _cordoned(story, node):
    """Gives a function that cordons the node; at the end it takes pods again."""
    try:
        yield lambda: story.cluster.edit("Node", "", node, {"spec": {"unschedulable": True}})
    finally:
        story.cluster.edit("Node", "", node, {"spec": {"unschedulable": None}})


def _evict(story, namespace, pod):
    """The answer to an eviction as kubectl drain asks for it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    return story.api_server("POST", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body).status
