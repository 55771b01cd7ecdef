"""What only real nodes can tell of the other remedies for workloads: that what really ran is well again after them.

The alerts are kube-prometheus' own where it has one. Clock time that a story lets pass stays passed for the next one,
so that after half an hour of it no version is new any more, and after an hour what dies now has died too long ago for a
rule: the stories of new versions come first, those that let much pass last.
"""

import pytest

from shared import clock
from shared.dev.cluster_budget import is_ready
from shared.dev.rules import real_ms
from tests.cluster.real import IMAGE
from tests.cluster.story import CONFIG, states

pytestmark = pytest.mark.usefixtures("nothing_broke")

SOAK_S = 121
RAISED_SOAK_S = 181
DEADLINE_S = 5  # of a rollout


class TestANewVersionThatCrashes:
    def test_in_the_place_of_the_former_one_gives_way_to_a_fresh_pod_of_that(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good")
        (first,) = story.names(namespace)
        story.until(lambda: _age_s(story, namespace, first) > DEADLINE_S + 1)
        # It serves long enough for its rollout to be over before it dies.
        worse = _command(story, namespace).replace(CONFIG, "config=fragile").replace("-ge 10", "-ge 30")
        assert "-ge 30" in worse
        _version(story, namespace, ["sh", "-c", worse], by="akeso-test")
        pod = story.looping(namespace)
        story.until(lambda: story.names(namespace) == {pod}, "the former version still serves")
        story.until(lambda: not story.serves("Deployment", namespace), "it still serves")

        alert = _alert(story, namespace, pod)
        story.fire(alert)
        story.until_word("succeeded", namespace)
        story.until(lambda: story.serves("Deployment", namespace), "the former version does not come back")
        incident = story.cured(alert, namespace, soak_s=SOAK_S)

        assert story.effects(namespace) == ["patch deployments executor-rollback-deployment"]
        assert CONFIG in _command(story, namespace)
        (fresh,) = story.names(namespace)
        assert fresh not in {first, pod}
        assert story.tickets(incident) == []

    def test_of_a_rollout_that_somebody_has_paused_is_left_to_him(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good", replicas=2)
        story.until(lambda: story.cluster.get("Deployment", namespace, "web")["status"].get("availableReplicas") == 2)
        _version(story, namespace, ["sh", "-c", "exit 1"])
        pod = story.looping(namespace)
        _until_stuck(story, namespace)
        story.cluster.edit("Deployment", namespace, "web", {"spec": {"paused": True}})

        story.asked("v1/run", _by_hand(namespace, "rollback_deployment"))
        incident = story.until(lambda: story.incident(namespace))
        story.until_told(incident)

        assert "paused" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert pod in story.names(namespace)


class TestAContainerThatHasOutgrownItsMemory:
    def test_and_runs_gets_half_more_in_place(self, story):
        namespace = story.namespace()
        story.workload(namespace, "outgrown-careful")
        (pod,) = story.names(namespace)
        story.until(lambda: _killed(story, namespace) and _running(story, namespace), "it is not running again")
        story.until(lambda: not story.serves("Deployment", namespace), "it still serves")

        alert = story.alert(namespace, alertname="KubeDeploymentReplicasMismatch")
        story.fire(alert)
        story.until_word("succeeded", namespace)
        story.until(lambda: story.serves("Deployment", namespace), "it never has enough")
        incident = story.cured(alert, namespace, soak_s=RAISED_SOAK_S)

        assert story.effects(namespace) == [
            f"patch {what} executor-increase-resources" for what in ("pods", "pods/resize")
        ]
        assert story.names(namespace) == {pod}
        assert _restarts(story, namespace) == 1  # by the kill; the new size has started nothing again
        assert _limits(story, namespace) == ["48Mi"]
        assert story.tickets(incident) == []

    def test_and_waits_to_be_started_again_gets_it_with_a_new_pod(self, story):
        namespace = story.namespace()
        story.workload(namespace, "outgrown")
        pod = story.looping(namespace)
        assert _killed(story, namespace)

        alert = _alert(story, namespace, pod)
        story.look_while_it_waits(namespace, pod, times=20)  # in the second in which it runs the plan is another one
        story.fire(alert)
        story.until_word("succeeded", namespace)
        story.until(lambda: pod not in story.names(namespace) and story.on(namespace, ready=True), "no fresh pod")
        story.until(lambda: _rolled_out(story, namespace), "the rollout does not end")
        incident = story.cured(alert, namespace, soak_s=RAISED_SOAK_S)

        assert set(story.effects(namespace)) == {"patch deployments executor-increase-resources"}
        assert _limits(story, namespace) == ["48Mi"]
        assert not _killed(story, namespace)
        assert story.tickets(incident) == []


class TestANewVersionBesideTheFormerOne:
    def test_that_never_gets_ready_is_taken_back(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good", replicas=2)
        story.until(lambda: story.cluster.get("Deployment", namespace, "web")["status"].get("availableReplicas") == 2)
        good = story.names(namespace)
        _version(story, namespace, ["sh", "-c", "echo 'unknown flag --fast'; exit 1"])
        pod = story.looping(namespace)
        _until_stuck(story, namespace)
        story.pass_(901, step=301)  # before that the alert does not fire, and whoever rolled it out may be at work

        alert = _alert(story, namespace, pod)
        story.fire(alert)
        story.until_word("succeeded", namespace)
        story.until(lambda: story.names(namespace) == good, lambda: str(story.names(namespace)))
        incident = story.cured(alert, namespace, soak_s=SOAK_S)

        assert story.effects(namespace) == ["patch deployments executor-rollback-deployment"]
        assert len(story.on(namespace, ready=True)) == 2
        assert _restarts(story, namespace) == 0
        assert story.tickets(incident) == []


class TestTooFewReplicas:
    def test_are_as_many_real_pods_as_the_owner_wants(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good")
        note = {"metadata": {"annotations": {"akeso.dev/minimum-replicas": "3"}}}
        story.cluster.edit("Deployment", namespace, "web", note)

        alert = story.alert(namespace, alertname="KubeDeploymentReplicasMismatch")
        story.fire(alert)
        story.until_word("succeeded", namespace)
        story.until(lambda: story.ready(namespace) == 3, "they do not come")  # as the Deployment's controller says
        incident = story.cured(alert, namespace, soak_s=SOAK_S)

        assert story.effects(namespace) == ["patch deployments executor-scale-deployment"]
        assert story.replicas(namespace) == 3
        assert story.tickets(incident) == []


class TestAJobThatFails:
    def test_is_told_with_what_its_container_said_also_when_its_pod_is_gone(self, story):
        namespace = story.namespace()
        _job(story, namespace)
        story.until(lambda: "BackoffLimitExceeded" in str(story.cluster.get("Job", namespace, "reindex")["status"]))

        story.fire(story.alert(namespace, alertname="KubeJobFailed", deployment="", job_name="reindex"))
        incident = story.until_word("succeeded", namespace, "reindex", "Job")
        story.until_told(incident)
        story.cluster.delete("Job", namespace, "reindex")
        story.until(lambda: not story.pods(namespace), "its pod stays")

        (attempt,) = story.attempts(incident)
        assert f"akeso evidence {attempt}" in story.reasons(incident)
        kept = story.api("GET", f"v1/evidence/{attempt}")
        assert kept.status_code == 200
        assert "shard 7 of the index is broken" in kept.text
        assert "BackoffLimitExceeded" in kept.text
        assert "hunter2" not in kept.text + story.reasons(incident)
        assert story.effects(namespace) == []


class TestAPodThatIsSuspected:
    def test_is_let_go_by_its_service_and_its_owner_and_goes_on_running(self, story):
        namespace, (suspect, other) = _service(story)
        before = _pod(story, namespace, suspect)
        alert = story.alert(namespace, alertname="SecurityThreatDetected", pod=suspect)
        story.fire(alert)
        told = story.until(lambda: story.incident(namespace))
        story.until_told(told)
        assert _endpoints(story, namespace) == {suspect, other}  # that is for a person to decide

        params = {"pod": suspect, "allow_unenforced": True}
        story.asked("v1/run", _by_hand(namespace, "quarantine_pod", **params))
        run = story.until(lambda: (newest := story.incident(namespace)) != told and newest)
        story.until(lambda: "succeeded" in story.words(run))
        story.until(
            lambda: len(_endpoints(story, namespace) - {suspect}) == 2, lambda: str(_endpoints(story, namespace))
        )
        story.until(lambda: story.cluster.get("Deployment", namespace, "web")["status"].get("readyReplicas") == 2)
        story.pass_(SOAK_S)
        story.until(lambda: "verified" in story.words(run))

        kept = _pod(story, namespace, suspect)
        (wall,) = story.cluster.all("NetworkPolicy", namespace)
        alone = {"akeso.dev/quarantine": before["metadata"]["uid"]}
        assert kept["metadata"]["labels"] == wall["spec"]["podSelector"]["matchLabels"] == alone
        assert kept["metadata"]["uid"] == before["metadata"]["uid"]
        assert not kept["metadata"].get("ownerReferences")
        assert suspect not in _endpoints(story, namespace)
        assert [one["state"] for one in states(kept)] == [one["state"] for one in states(before)]  # since then
        assert len(story.pods(namespace)) == 3

    def test_is_left_where_nobody_would_enforce_its_isolation(self, story):
        namespace, (suspect, other) = _service(story)

        story.asked("v1/run", _by_hand(namespace, "quarantine_pod", pod=suspect))
        incident = story.until(lambda: story.incident(namespace))
        story.until_told(incident)

        assert "no network plug-in is known here" in story.reasons(incident)
        assert _endpoints(story, namespace) == {suspect, other}
        assert story.effects(namespace) == []


class TestADaemonSetOfWhichAPodHangs:
    def test_has_all_its_pods_replaced_one_after_the_other(self, story):
        namespace = story.namespace()
        story.workload(namespace, "good", "DaemonSet")
        story.until(lambda: len(story.on(namespace, ready=True)) == 2, "it is not on both nodes")
        story.configure(namespace, "hangs")
        story.cluster.delete("Pod", namespace, story.on(namespace, "n2")[0]["metadata"]["name"])
        story.until(lambda: _hangs(story, namespace, "n2"), "no pod that hangs")
        story.configure(namespace, "good")
        before = _uids(story, namespace)
        # An hour and not a quarter of one: by a clock that is so far ahead of the cluster's, nothing new is ever late.
        story.pass_(3900, step=650)
        assert _hangs(story, namespace, "n2")

        alert = story.alert(namespace, alertname="KubeDaemonSetRolloutStuck", daemonset="web")
        story.fire(alert)
        _until_word_by_sweeps(story, "succeeded", namespace)
        incident = story.cured(alert, namespace, kind="DaemonSet", soak_s=SOAK_S)

        assert story.effects(namespace) == ["patch daemonsets executor-restart-daemonset"]
        assert not _uids(story, namespace) & before
        assert {pod["spec"]["nodeName"] for pod in story.on(namespace, ready=True)} == {"n1", "n2"}
        assert story.tickets(incident) == []


def _alert(story, namespace, pod):
    """As kube-prometheus tells of a container in a crash loop."""
    return story.alert(namespace, alertname="KubePodCrashLooping", pod=pod, container="app", reason="CrashLoopBackOff")


def _until_word_by_sweeps(story, word, namespace, kind="DaemonSet"):
    """Wait for what an attempt waits for: it looks again when a sweep finds it due."""
    story.until(lambda: story.tick() and word in story.words(story.incident(namespace, kind=kind)),
                lambda: str(story.audit(story.incident(namespace, kind=kind))))  # fmt: skip


def _by_hand(namespace, action, **params):
    target = {"kind": "Deployment", "namespace": namespace, "name": "web"}
    return {"action": action, "target": target, "params": params, "dry_run": False, "reason": "a test"}


# What runs -----------------------------------------------------------------------------------------------------------


def _pod(story, namespace, name):
    return story.cluster.get("Pod", namespace, name)


def _uids(story, namespace):
    return {pod["metadata"]["uid"] for pod in story.pods(namespace)}


def _all_states(story, namespace):
    return [state for pod in story.on(namespace) for state in states(pod)]


def _restarts(story, namespace):
    return sum(state["restartCount"] for state in _all_states(story, namespace))


def _running(story, namespace):
    return any("running" in state["state"] for state in _all_states(story, namespace))


def _killed(story, namespace):
    """Whether the kernel has killed a container that is still there, or started again."""
    ends = [
        state[part].get("terminated", {}) for state in _all_states(story, namespace) for part in ("state", "lastState")
    ]
    return any(end.get("reason") == "OOMKilled" for end in ends)


def _limits(story, namespace):
    return [one["resources"]["limits"]["memory"] for pod in story.on(namespace) for one in pod["spec"]["containers"]]


def _age_s(story, namespace, pod):
    """In real time, as a real cluster writes it."""
    made = _pod(story, namespace, pod)["metadata"]["creationTimestamp"]
    return (real_ms() - clock.parse_ms(made)) / 1000


def _hangs(story, namespace, node):
    """Whether the pod on that node runs and is not ready."""
    return [pod for pod in story.on(namespace, node) if "running" in str(states(pod)) and not is_ready(pod)]


# Versions ------------------------------------------------------------------------------------------------------------


def _container(story, namespace):
    (container,) = story.cluster.get("Deployment", namespace, "web")["spec"]["template"]["spec"]["containers"]
    return container


def _command(story, namespace):
    return _container(story, namespace)["command"][-1]


def _version(story, namespace, command, by="kubectl-edit"):
    """Roll a new version out. In one write: after a second one the controller may never call the rollout stuck."""
    template = {"spec": {"containers": [{**_container(story, namespace), "command": command}]}}
    spec = {"progressDeadlineSeconds": DEADLINE_S, "template": template}
    story.cluster.edit("Deployment", namespace, "web", {"spec": spec}, manager=by)


def _rolled_out(story, namespace):
    """As its controller says, which a verdict goes by: only pods of the newest version, and all of them available."""
    found = story.cluster.get("Deployment", namespace, "web")
    status = found["status"]
    counts = {status.get(which) for which in ("replicas", "updatedReplicas", "availableReplicas")}
    return status["observedGeneration"] == found["metadata"]["generation"] and counts == {found["spec"]["replicas"]}


def _until_stuck(story, namespace):
    def says():
        return story.cluster.get("Deployment", namespace, "web")["status"]["conditions"]

    story.until(lambda: "ProgressDeadlineExceeded" in str(says()), lambda: f"the rollout is not stuck: {says()}")


# Others --------------------------------------------------------------------------------------------------------------


def _job(story, namespace):
    """A Job that fails, and prints its password."""
    container = {
        "name": "app", "image": IMAGE, "env": [{"name": "PASSWORD", "value": "hunter2hunter2"}],
        "command": ["sh", "-c", "echo login with $PASSWORD; echo shard 7 of the index is broken; exit 3"],
    }  # fmt: skip
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    story.cluster.put(
        "Job", namespace, {"metadata": {"name": "reindex"}, "spec": {"backoffLimit": 0, "template": template}}
    )


def _service(story):
    """Two pods that serve behind a Service: namespace and their names."""
    namespace = story.namespace()
    path = f"/api/v1/namespaces/{namespace}/services"
    body = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    story.workload(namespace, "good", replicas=2)
    story.api_server.ok("POST", path, body)
    story.until(lambda: len(_endpoints(story, namespace)) == 2, "the Service knows no pods")
    return namespace, sorted(story.names(namespace))


def _endpoints(story, namespace):
    """Names of the pods to which the Service sends."""
    slices = story.api_server.ok("GET", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
    ready = [one for part in slices for one in part.get("endpoints") or [] if one["conditions"].get("ready")]
    return {one["targetRef"]["name"] for one in ready}
