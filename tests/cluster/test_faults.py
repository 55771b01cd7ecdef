"""What goes wrong around an action on a real cluster, and that nothing happens twice, by the API server's audit log."""

import threading

from tests.cluster.api import until
from tests.cluster.story import EVICTED

SCALED = ["patch deployments executor-scale-deployment"]
APPS = "/apis/apps/v1/namespaces"


class TestTheApiServerIsStoppedInTheMiddleOfAnAction:
    def test_before_the_write_and_it_is_made_once_when_the_server_is_back(self, story, keeper):
        namespace = _stopped(story, keeper, story.gate.before)
        story.until(lambda: story.gate.requests[-1].status == 0, "nobody noticed that the server is gone")
        assert not {"succeeded", "failed"} & set(story.words(story.incident(namespace)))
        keeper.start("apiserver")

        incident = story.succeeded(namespace)
        story.until(lambda: story.ready(namespace) == 3)
        assert story.effects(namespace) == SCALED
        assert len(story.attempts(incident)) == 1

    def test_after_the_write_whose_answer_is_lost_and_it_is_found_by_its_mark(self, story, keeper):
        namespace = _stopped(story, keeper, story.gate.after)
        keeper.start("apiserver")

        incident = story.succeeded(namespace)
        assert story.lines(incident, "succeeded")[0]["resolved_by"] == "mark"
        assert story.effects(namespace) == SCALED


def _stopped(story, keeper, around):
    """A patient whose write meets the end of the API server, before it or after it; its namespace."""
    namespace, alert = story.patient()
    gone = threading.Event()

    def stop():
        keeper.stop("apiserver")
        gone.set()

    around("Deployment", "patch", stop)
    story.fire(alert)
    assert gone.wait(story.patience_s)
    return namespace


class TestAnotherWriterChangesTheDeploymentAtTheSameTime:
    def test_once_and_the_write_is_made_on_the_new_version(self, story):
        namespace, alert = story.patient()
        story.gate.before("Deployment", "patch", lambda: _touched(story, namespace, "once"))

        story.fire(alert)
        story.until_word("succeeded", namespace)

        assert story.effects(namespace) == SCALED
        assert _notes(story, namespace)["other"] == "once"

    def test_faster_than_we_can_read_and_we_leave_it_to_people(self, story):
        namespace, alert = story.patient()
        numbers = iter(range(100))
        story.gate.before("Deployment", "patch", lambda: _touched(story, namespace, str(next(numbers))), times=100)

        story.fire(alert)
        incident, word = story.ended(namespace, "failed", "succeeded")

        assert word == "failed"
        assert "faster than it can be read" in story.skipped_for(incident)
        assert story.effects(namespace) == []
        assert story.replicas(namespace) == 1
        assert story.told(incident)

    def test_in_a_storm_of_conflicts_there_is_at_most_one_effect(self, story):
        namespace, alert = story.patient()
        ended = threading.Event()

        def write():
            number = 0
            while not ended.is_set():
                number += 1
                _touched(story, namespace, str(number))
                ended.wait(0.02)  # the broker is in this process, too

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        try:
            story.fire(alert)
            story.ended(namespace, "failed", "succeeded", "skipped")
        finally:
            ended.set()
            for writer in writers:
                writer.join()

        effects = story.effects(namespace)
        assert effects in ([], SCALED)
        assert story.replicas(namespace) == (3 if effects else 1)


def _touched(story, namespace, value):
    story.cluster.edit("Deployment", namespace, "web", {"metadata": {"annotations": {"other": value}}})


def _notes(story, namespace):
    return story.cluster.get("Deployment", namespace, "web")["metadata"]["annotations"]


class TestTheObjectIsDeletedAndMadeAnewUnderItsName:
    def test_between_plan_and_run_and_the_new_one_is_not_touched(self, story):
        namespace, alert = story.patient("approve")
        before = story.cluster.get("Deployment", namespace, "web")["metadata"]["uid"]
        story.gate.before("Deployment", "patch", lambda: _anew(story, namespace))

        story.fire(alert)
        incident = story.until_word("held", namespace)
        story.asked(f"v1/holds/{incident}/approve", {"reason": "go"})
        _, word = story.ended(namespace, "skipped", "failed", "unknown", "succeeded")

        assert word != "succeeded"
        assert "gone or another one has its name" in story.skipped_for(incident)
        now = story.cluster.get("Deployment", namespace, "web")
        assert now["metadata"]["uid"] != before
        assert now["spec"]["replicas"] == 1
        assert "akeso.dev/attempt" not in now["metadata"].get("annotations", {})
        assert story.effects(namespace) == []


def _anew(story, namespace):
    story.cluster.delete("Deployment", namespace, "web")
    story.cluster.deployment(namespace, "web", 1, annotations={"akeso.dev/minimum-replicas": "3"})


class TestANamespaceThatIsBeingTerminated:
    def test_takes_no_write_any_more(self, story):
        namespace, alert = story.patient()
        held = {"metadata": {"finalizers": ["akeso.dev/test"]}}
        story.cluster.edit("Deployment", namespace, "web", held)

        def end():
            story.api_server.ok("DELETE", f"/api/v1/namespaces/{namespace}")
            story.api_server.ok("DELETE", f"{APPS}/{namespace}/deployments/web")  # its controller comes a moment later

        story.gate.before("Deployment", "patch", end)
        try:
            story.fire(alert)
            incident, word = story.ended(namespace, "failed", "skipped", "unknown", "succeeded")

            assert word != "succeeded"
            assert story.effects(namespace) == []
            assert story.replicas(namespace) == 1
            assert story.told(incident)
        finally:
            story.cluster.edit("Deployment", namespace, "web", {"metadata": {"finalizers": None}})
            story._namespaces.remove(namespace)


class TestTheClusterRefusesTheChange:
    def test_by_an_admission_policy_and_people_read_its_words(self, story):
        namespace, alert = story.patient()
        with _policy(story, namespace):
            story.fire(alert)
            incident, word = story.ended(namespace, "skipped", "failed", "succeeded")

        assert word == "skipped"
        assert "at most two replicas here" in story.skipped_for(incident)
        assert story.effects(namespace) == []
        assert story.replicas(namespace) == 1

    def test_by_a_quota_and_people_are_told_before_anything_is_written(self, story):
        namespace, alert = story.patient()
        _one_pod(story, namespace)

        story.fire(alert)
        incident = story.until(lambda: story.incident(namespace))
        story.told(incident)

        assert "ResourceQuota" in story.reasons(incident)
        assert story.effects(namespace) == []
        assert story.replicas(namespace) == 1

    def test_by_a_quota_that_comes_with_the_write_and_what_did_not_help_is_not_called_a_cure(self, story):
        namespace, alert = story.patient()
        story.gate.before("Deployment", "patch", lambda: _one_pod(story, namespace))

        story.fire(alert)
        incident = story.until_word("succeeded", namespace)
        story.until(lambda: "exceeded quota" in str(story.cluster.get("Deployment", namespace, "web")["status"]))
        story.pass_(61)
        story.until_word("ineffective", namespace)

        assert "verified" not in story.words(incident)
        assert story.ready(namespace) == 1
        assert story.effects(namespace)[:1] == SCALED

    def test_because_we_may_not_and_people_are_told(self, story):
        namespace, alert = story.patient()
        name, earlier = story.cluster.there.named("akeso-executor-scale-deployment"), len(story.gate.requests)
        place = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}"
        binding = story.api_server.ok("GET", place)
        story.api_server.ok("DELETE", place)
        try:
            until(lambda: not _may_patch(story, namespace))
            story.fire(alert)
            incident = story.until_word("approved", namespace)
            story.until(lambda: any(r.status == 403 for r in story.gate.requests[earlier:]), "nobody was refused")
            story.settle()
            ticket = story.told(incident)
        finally:
            again = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
            again["metadata"] = {"name": name, "labels": binding["metadata"].get("labels", {})}
            story.api_server.ok("POST", place.rpartition("/")[0], again)
            until(lambda: _may_patch(story, namespace))

        assert ticket
        assert story.effects(namespace) == []
        assert story.replicas(namespace) == 1
        assert "succeeded" not in story.words(incident)


def _one_pod(story, namespace):
    """Let a quota allow no more than that, from when this returns."""
    place = f"/api/v1/namespaces/{namespace}/resourcequotas"
    story.api_server.ok("POST", place, {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "1"}}})
    until(lambda: story.api_server("GET", f"{place}/pods").body.get("status", {}).get("hard"))


def _may_patch(story, namespace):
    user = f"system:serviceaccount:{story.home}:executor-scale-deployment"
    return story.api_server.allows(user, verb="patch", group="apps", resource="deployments", namespace=namespace)


class _policy:  # noqa: N801 - used as a function
    """No Deployment of that namespace may have more than two replicas."""

    def __init__(self, story, namespace):
        self._api, self._story, self._namespace = story.api_server, story, namespace
        self._place = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
        self._name = f"few-replicas-{namespace}"

    def __enter__(self):
        group = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
        few = {"expression": "object.spec.replicas <= 2", "message": "at most two replicas here"}
        spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [group]}, "validations": [few]}
        self._api.ok("POST", f"{self._place}ies", {"metadata": {"name": self._name}, "spec": spec})
        only = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}}}
        bound = {"policyName": self._name, "validationActions": ["Deny"], "matchResources": only}
        self._api.ok("POST", f"{self._place}ybindings", {"metadata": {"name": self._name}, "spec": bound})
        until(self._holds, "the policy does not take effect")

    def _holds(self):
        place = f"{APPS}/{self._namespace}/deployments/web"
        many = {"spec": {"replicas": 9}}
        return self._api("PATCH", place, many, form="application/merge-patch+json", dryRun="All").status == 422

    def __exit__(self, *_):
        for kind in ("ybindings", "ies"):
            self._api.ok("DELETE", f"{self._place}{kind}/{self._name}")


class TestTheNodeIsLostUnderThePodThatIsRestarted:
    def test_the_replacement_runs_elsewhere_and_nothing_is_evicted_twice(self, story, keeper):
        namespace = story.namespace()
        story.deployment(namespace, minimum=0)
        (first,) = story.pods(namespace)
        story.cluster.edit("Deployment", namespace, "web", {"spec": {"template": {"spec": _leaves_at_once()}}})
        story.until(lambda: story.cluster.get("Pod", namespace, first["metadata"]["name"]) is None, "no rollout")
        story.until(lambda: len(story.pods(namespace)) == 1 and story.on(namespace, "n2", ready=True), "none on n2")
        (pod,) = story.on(namespace, "n2")
        target = {"kind": "Deployment", "namespace": namespace, "name": "web"}

        # It is stopped as late as can be: some seconds later the cluster itself ends all pods of a node that is lost.
        story.gate.before("Pod", "evict", lambda: keeper.stop("kubelet-n2"))
        try:
            story.asked("v1/run", {
                "action": "restart_pod", "target": target, "params": {"pod": pod["metadata"]["name"]}, "dry_run": False,
                "reason": "its node is gone",
            })  # fmt: skip
            story.until(lambda: story.effects(namespace) == EVICTED, lambda: f"{story.effects(namespace)}")
            story.until(lambda: story.on(namespace, "n1", ready=True), "no replacement on n1")
            old = story.cluster.get("Pod", namespace, pod["metadata"]["name"])
            assert "deletionTimestamp" in old["metadata"]  # nobody there to end it

            story.until(lambda: story.ready(namespace) == 1)  # the Deployment's controller says so, too

            story.until(lambda: story.tick() and "succeeded" in story.words(story.incident(namespace)))
            story.pass_(121)
            story.until_word("verified", namespace)
        finally:
            keeper.ensure("kubelet-n2")

        story.until(lambda: story.cluster.get("Pod", namespace, pod["metadata"]["name"]) is None)
        assert story.effects(namespace) == EVICTED


def _leaves_at_once():
    keys = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    soon = [{"key": k, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1} for k in keys]
    rather = {"weight": 100, "preference": {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}}  # fmt: skip
    return {
        "tolerations": soon,
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [rather]}},
    }
