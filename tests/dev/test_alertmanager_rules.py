"""The sample rules: what they see in a cluster, for how long it must be so, and what an unreadable cluster means."""

import json
from pathlib import Path

import pytest

from shared import clock
from shared.alert.families import named_object
from shared.alert.model import parse
from shared.dev.cluster import Cluster
from shared.dev.rules import RULES, Evaluator, Finding, Rule, fingerprint, over_http
from shared.errors import UnavailableError
from shared.event.types import Alert
from shared.kube.client import connect
from shared.settings import Settings

MINIMUM = "akeso.dev/minimum-replicas"
EXAMPLES = Path(__file__).parents[2] / "examples"


class Listed:
    """Answers what it was given, or raises it."""

    def __init__(self, **kinds):
        self.kinds = kinds

    def all(self, kind):
        found = self.kinds.get(kind, [])
        if isinstance(found, Exception):
            raise found
        return found


def deployment(ready=None, *, wanted=1, minimum=None, namespace="shop", name="web"):
    notes = {} if minimum is None else {MINIMUM: minimum}
    return {
        "metadata": {"namespace": namespace, "name": name, "annotations": notes},
        "spec": {"replicas": wanted},
        "status": {} if ready is None else {"readyReplicas": ready},
    }


def pod(*waiting, field="containerStatuses", name="web-1"):
    states = [{"name": f"c{n}", "state": {"waiting": {"reason": reason}}} for n, reason in enumerate(waiting)]
    return {"metadata": {"namespace": "shop", "name": name}, "status": {field: states}}


def firing(reader, *, after_s=60.0, **more):
    evaluator = Evaluator(RULES, **more)
    evaluator.evaluate(reader, 0)
    evaluator.evaluate(reader, int(after_s * 1000))
    return {alert.labels["alertname"]: alert.labels for alert in evaluator.firing}


class TestWatchdog:
    def test_fires_whatever_the_cluster_says(self):
        assert set(firing(Listed())) == {"Watchdog"}
        assert set(firing(None)) == {"Watchdog"}


class TestBelowMinimum:
    def test_fires_while_fewer_are_ready_than_the_owner_declared(self):
        labels = firing(Listed(Deployment=[deployment(2, wanted=2, minimum="3")]))["KubeDeploymentBelowMinimum"]
        assert labels == {
            "alertname": "KubeDeploymentBelowMinimum", "namespace": "shop", "deployment": "web", "severity": "warning",
            "job": "kube-state-metrics",
        }  # fmt: skip

    def test_counts_nothing_ready_where_the_api_leaves_the_number_out(self):
        assert "KubeDeploymentBelowMinimum" in firing(Listed(Deployment=[deployment(None, minimum="1")]))

    @pytest.mark.parametrize("minimum", [None, "3", "2", "0", "-1", "", "many", "٣", "4.5", 9, "9999999999999999999"])
    def test_is_silent_where_nothing_readable_is_above(self, minimum):
        assert "KubeDeploymentBelowMinimum" not in firing(Listed(Deployment=[deployment(3, minimum=minimum)]))

    def test_names_the_deployment_to_triage(self):
        labels = firing(Listed(Deployment=[deployment(1, minimum="3")]))["KubeDeploymentBelowMinimum"]
        told = Alert(status="firing", fingerprint="f", starts_at=0, ends_at=-1, labels=labels)
        assert (found := named_object(told)) is not None
        assert (found.kind, found.namespace, found.name) == ("Deployment", "shop", "web")


class TestReplicasMismatch:
    @pytest.mark.parametrize(("namespace", "severity"), [("kube-system", "critical"), ("shop", "warning")])
    def test_is_critical_only_where_the_cluster_itself_lives(self, namespace, severity):
        reader = Listed(Deployment=[deployment(1, wanted=2, namespace=namespace)])
        assert firing(reader)["KubeDeploymentReplicasMismatch"]["severity"] == severity

    def test_is_silent_when_all_are_ready(self):
        assert "KubeDeploymentReplicasMismatch" not in firing(Listed(Deployment=[deployment(2, wanted=2)]))

    def test_lets_new_pods_come_up_first(self):
        reader = Listed(Deployment=[deployment(1, wanted=2)])
        assert "KubeDeploymentReplicasMismatch" not in firing(reader, after_s=4.9)
        assert "KubeDeploymentReplicasMismatch" in firing(reader, after_s=5)


class TestCrashLooping:
    @pytest.mark.parametrize("field", ["containerStatuses", "initContainerStatuses"])
    def test_names_pod_and_container(self, field):
        labels = firing(Listed(Pod=[pod("PodInitializing", "CrashLoopBackOff", field=field)]))["KubePodCrashLooping"]
        assert labels == {
            "alertname": "KubePodCrashLooping", "namespace": "shop", "pod": "web-1", "container": "c1",
            "severity": "warning", "job": "kube-state-metrics",
        }  # fmt: skip

    def test_is_silent_for_other_waits(self):
        assert "KubePodCrashLooping" not in firing(Listed(Pod=[pod("ImagePullBackOff"), pod()]))

    def test_each_container_is_an_alert_of_its_own(self):
        evaluator = Evaluator(RULES)
        evaluator.evaluate(
            Listed(Pod=[pod("CrashLoopBackOff", "CrashLoopBackOff"), pod("CrashLoopBackOff", name="b")]), 0
        )
        assert len({alert.fingerprint for alert in evaluator.firing}) == 4


class TestIgnored:
    def test_nothing_of_what_is_ignored_fires(self):
        reader = Listed(
            Deployment=[deployment(0, minimum="3"), deployment(0, minimum="3", namespace="other")],
            Pod=[pod("CrashLoopBackOff", name="quiet")],
        )
        evaluator = Evaluator(RULES, ignore=frozenset({("shop", "web"), ("shop", "quiet")}))
        evaluator.evaluate(reader, 0)
        assert {alert.labels.get("namespace") for alert in evaluator.firing} == {None, "other"}


class TestTime:
    RULE = Rule("Slow", lambda reader: [Finding({"n": str(n)}, "text") for n in reader.all("n")], "s", for_s=10)

    def test_starts_when_it_fires_and_not_when_it_became_true(self):
        evaluator = Evaluator([self.RULE])
        evaluator.evaluate(Listed(n=[1]), 1_000)
        assert evaluator.firing == []
        evaluator.evaluate(Listed(n=[1]), 11_000)
        assert [alert.starts_at for alert in evaluator.firing] == [11_000]
        evaluator.evaluate(Listed(n=[1]), 90_000)
        assert [alert.starts_at for alert in evaluator.firing] == [11_000]

    def test_begins_anew_after_an_interruption(self):
        evaluator = Evaluator([self.RULE])
        for now, found in ((0, [1]), (9_000, []), (10_000, [1]), (19_000, [1])):
            evaluator.evaluate(Listed(n=found), now)
        assert evaluator.firing == []

    def test_resolves_once_and_a_new_firing_has_a_new_start(self):
        evaluator = Evaluator([self.RULE])
        for now in (0, 10_000):
            evaluator.evaluate(Listed(n=[1, 2]), now)
        (over,) = evaluator.evaluate(Listed(n=[2]), 12_000)
        assert (over.labels["n"], over.starts_at, over.ends_at) == ("1", 10_000, 12_000)
        assert evaluator.evaluate(Listed(n=[2]), 13_000) == []
        for now in (14_000, 24_000):
            evaluator.evaluate(Listed(n=[1]), now)
        assert [alert.key for alert in evaluator.firing] == [(over.fingerprint, 24_000)]


class TestUnreadable:
    @pytest.mark.parametrize("reader", [None, Listed(Deployment=UnavailableError(), Pod=OSError())])
    def test_is_no_all_clear(self, reader):
        evaluator = Evaluator(RULES)
        evaluator.evaluate(Listed(Deployment=[deployment(0, minimum="1")], Pod=[pod("CrashLoopBackOff")]), 0)
        before = evaluator.firing
        assert evaluator.evaluate(reader, 60_000) == []
        assert evaluator.firing == before
        assert evaluator.failures == 3

    @pytest.mark.parametrize(
        "found",
        [
            {}, {"metadata": None, "spec": [], "status": "x"},
            {"metadata": {"annotations": [MINIMUM]}, "spec": {"replicas": 0}},
            {"spec": {"replicas": "3"}, "status": {"readyReplicas": 1, "containerStatuses": {"state": 1}}},
            {"status": {"readyReplicas": 1, "containerStatuses": [None, {"state": {"waiting": "x"}}]}},
        ],
    )  # fmt: skip
    def test_objects_of_another_shape_break_nothing(self, found):
        assert "Watchdog" in firing(Listed(Deployment=[found], Pod=[found]))
        assert "KubePodCrashLooping" not in firing(Listed(Deployment=[found], Pod=[found]))


class TestEmulatedCluster:
    @pytest.fixture
    def cluster(self, tmp_path, monkeypatch):
        monkeypatch.setenv("AKESO_CLOCK_FILE", str(tmp_path / "clock.json"))
        clock.simulate(tmp_path / "clock.json", speed=0)
        cluster = Cluster(token="t")
        cluster.deployment("shop", "web", 1, annotations={MINIMUM: "3"})
        cluster.deployment("shop", "ill", 1, behaviour="crash")
        cluster.tick()
        clock.simulate(tmp_path / "clock.json", advance_ms=5_000)
        cluster.tick()
        return cluster

    def test_is_read_alike_in_process_and_by_http(self, cluster, tmp_path):
        cluster.start()
        try:
            settings = Settings.model_validate(
                {"kube": {"kubeconfig": str(cluster.kubeconfig(tmp_path / "kubeconfig"))}}
            )
            by_http = firing(over_http(connect(settings, "test")))
        finally:
            cluster.stop()
        assert by_http == firing(cluster)
        assert set(by_http) == {rule.name for rule in RULES}
        assert cluster.writes() == []

    def test_the_alert_is_over_when_enough_are_ready(self, cluster, tmp_path):
        evaluator = Evaluator(RULES, ignore=frozenset({("shop", "ill")}))
        evaluator.evaluate(cluster, clock.now_ms())
        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 3}})
        cluster.tick()
        assert evaluator.evaluate(cluster, clock.now_ms()) == []
        clock.simulate(tmp_path / "clock.json", advance_ms=2_000)
        cluster.tick()
        assert [over.labels["deployment"] for over in evaluator.evaluate(cluster, clock.now_ms())] == ["web"]


class TestFingerprint:
    @pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.json")), ids=lambda file: file.stem)
    def test_is_the_one_of_the_examples(self, file):
        for alert in json.loads(file.read_text())["alerts"]:
            assert fingerprint(alert["labels"]) == alert["fingerprint"]

    def test_tells_apart_what_differs_only_in_where_a_word_ends(self):
        assert fingerprint({"ab": "c"}) != fingerprint({"a": "bc"})

    def test_is_read_by_intake(self):
        body = {
            "version": "4",
            "alerts": [{"status": "firing", "labels": {"a": "b"}, "fingerprint": fingerprint({"a": "b"})}],
        }
        assert parse(json.dumps(body).encode()).alerts[0].fingerprint == fingerprint({"a": "b"})


class TestARuleThatOutlastsItsFinding:
    RULE = Rule("Kept", lambda reader: [Finding({}, "text") for _ in reader.all("n")], "s", keep_s=10)

    def test_fires_on_for_its_time_and_then_ends_once(self):
        evaluator = Evaluator([self.RULE])
        evaluator.evaluate(Listed(n=[1]), 0)

        assert evaluator.evaluate(Listed(), 9_999) == []
        assert len(evaluator.firing) == 1
        (ended,) = evaluator.evaluate(Listed(), 10_000)
        assert (ended.ends_at, evaluator.firing) == (10_000, [])
        assert evaluator.evaluate(Listed(), 20_000) == []

    def test_counts_from_when_it_was_last_found(self):
        evaluator = Evaluator([self.RULE])
        evaluator.evaluate(Listed(n=[1]), 0)
        evaluator.evaluate(Listed(n=[1]), 8_000)

        assert evaluator.evaluate(Listed(), 17_999) == []
        assert len(evaluator.evaluate(Listed(), 18_000)) == 1
