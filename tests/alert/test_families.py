"""What kind of trouble an alert is about, and which object it names, from name and labels alone."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.alert.families import FAMILIES, family, is_own, is_watchdog, named_object
from shared.alert.model import parse
from shared.event.types import Alert

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures" / "alerts").glob("*.json"))


def alert(alertname="", /, annotations=None, **labels):
    labels = {"alertname": alertname} | labels if alertname else labels
    return Alert(
        status="firing", fingerprint="a" * 16, starts_at=0, ends_at=-1, labels=labels, annotations=annotations or {}
    )


def named(alertname, **labels):
    ref = named_object(alert(alertname, **labels))
    return ref and (ref.kind, ref.namespace, ref.name)


class TestFamily:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("KubePodCrashLooping", "crash-loop"),
            ("KubeDeploymentBelowMinimum", "replicas"),
            ("KubeStatefulSetReplicasMismatch", "replicas"),
            ("KubeHpaReplicasMismatch", "autoscaler"),
            ("KubePodNotReady", "pod-not-ready"),
            ("KubeDeploymentRolloutStuck", "rollout"),
            ("KubePersistentVolumeFillingUp", "storage"),
            ("NodeFilesystemSpaceFillingUp", "node"),
            ("KubeNodeNotReady", "node"),
            ("NodeMemoryHighUtilization", "node"),
            ("KubeMemoryOvercommit", "capacity"),
            ("ContainerOOMKilled", "memory"),
            ("ZoomLatency", "zoom-latency"),
            ("CPUThrottlingHigh", "cpu"),
            ("NodeSecurityThreat", "security"),
            ("Watchdog", "watchdog"),
            ("WatchdogOfTheShop", "watchdog-of-the-shop"),
            ("AkesoAuditGap", "akeso"),
            ("HTTPErrorsTooHigh", "http-errors-too-high"),
            ("my_alert:rate5m", "my-alert-rate5m"),
            ("", "unknown"),
        ],
    )
    def test_comes_from_the_name(self, name, expected):
        assert family(alert(name)) == expected

    @pytest.mark.parametrize("name", ["Manual", "storm", "STORM", "Unknown"])
    def test_is_never_one_that_akeso_gives_itself(self, name):
        assert family(alert(name)).startswith("alert-")

    def test_tells_names_apart_that_lose_letters(self):
        assert (
            len({family(alert(name)) for name in ("高负载", "磁盘满", "Überlast", "Uberlast", "x" * 99, "x" * 98)}) == 6
        )

    @given(st.text(max_size=200))
    def test_is_always_short_lower_case_ascii(self, name):
        found = family(alert(name))
        assert 0 < len(found) <= 64
        assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")

    def test_every_row_of_the_table_is_used_by_some_name(self):
        seen = {family(alert(name)) for name in (
            "Watchdog", "AkesoX", "MalwareFound", "XCrashLoop", "NodeX", "KubeCPUOvercommit", "KubeHpaMaxedOut",
            "PVCFull", "XRolloutStuck", "XBelowMinimum", "KubePodNotReady", "KubeJobFailed", "MemoryX",
            "CPUHigh", "DNSDown",
        )}  # fmt: skip
        assert seen == {name for _, name in FAMILIES}


class TestWhoseAlert:
    def test_watchdog(self):
        assert is_watchdog(alert("Watchdog"))
        assert not is_watchdog(alert("KubePodCrashLooping"))

    @pytest.mark.parametrize("labels", [{"namespace": "akeso-system"}, {"exported_namespace": "akeso-system"}])
    def test_akesos_own_by_namespace(self, labels):
        assert is_own(alert("KubePodCrashLooping", **labels))
        assert not is_own(alert("KubePodCrashLooping", **labels), home="elsewhere")

    def test_akesos_own_by_name(self):
        assert is_own(alert("AkesoBlind", namespace="monitoring"))
        assert not is_own(alert("KubePodCrashLooping", namespace="shop"))


class TestNamedObject:
    @pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
    def test_of_every_recorded_alert(self, path):
        data = json.loads(path.read_text())
        (read,) = parse(json.dumps(data["body"]).encode(), now_ms=1767603900000).alerts
        assert family(read) == data["expect"]["family"]
        ref = named_object(read)
        assert (ref and ref.model_dump(include={"kind", "namespace", "name"})) == data["expect"]["object"]

    @pytest.mark.parametrize(
        ("label", "kind"),
        [
            ("pod", "Pod"),
            ("deployment", "Deployment"),
            ("statefulset", "StatefulSet"),
            ("daemonset", "DaemonSet"),
            ("job_name", "Job"),
            ("persistentvolumeclaim", "PersistentVolumeClaim"),
            ("pvc", "PersistentVolumeClaim"),
        ],
    )
    def test_by_one_label_and_its_namespace(self, label, kind):
        assert named("SomethingElse", namespace="shop", **{label: "web.v2-0"}) == (kind, "shop", "web.v2-0")
        assert named("SomethingElse", **{label: "web"}) is None

    def test_the_scrape_job_is_no_job(self):
        assert named("SomethingElse", namespace="shop", job="kube-state-metrics") is None

    def test_is_the_most_specific_that_the_family_is_about(self):
        labels = {"namespace": "shop", "pod": "web-7d-abcde", "deployment": "web", "persistentvolumeclaim": "data"}
        assert named("KubePodCrashLooping", **labels)[0] == "Pod"
        assert named("KubeDeploymentReplicasMismatch", **labels)[0] == "Deployment"
        assert named("KubePersistentVolumeFillingUp", **labels)[0] == "PersistentVolumeClaim"

    def test_an_alert_about_replicas_may_carry_the_exporters_pod(self):
        found = named("KubeDeploymentReplicasMismatch", namespace="shop", deployment="web", pod="kube-state-metrics-x")
        assert found == ("Deployment", "shop", "web")

    def test_an_autoscalers_alert_names_the_autoscaler_unless_it_names_the_workload(self):
        about = {"namespace": "shop", "horizontalpodautoscaler": "web-hpa"}
        assert named("KubeHpaMaxedOut", **about) == ("HorizontalPodAutoscaler", "shop", "web-hpa")
        assert named("KubeHpaMaxedOut", **about, deployment="web") == ("Deployment", "shop", "web")
        assert named("SomethingElse", **about) is None

    def test_exported_labels_are_the_patients_and_the_plain_ones_the_exporters(self):
        exporter = {
            "namespace": "monitoring",
            "pod": "kube-state-metrics-x",
            "container": "main",
            "instance": "1.2.3.4:80",
        }
        assert named("KubePodCrashLooping", exported_namespace="shop", exported_pod="web-0", **exporter) == (
            "Pod", "shop", "web-0",
        )  # fmt: skip
        assert named("SomethingElse", exported_namespace="shop", deployment="web", **exporter) == (
            "Deployment", "shop", "web",
        )  # fmt: skip
        assert named("SomethingElse", exported_namespace="shop", **exporter) is None
        assert named("SomethingElse", namespace="shop", pod="exporter-x", exported_pod="web-0") == (
            "Pod",
            "shop",
            "web-0",
        )

    @pytest.mark.parametrize(
        "labels",
        [
            {"deployment": "web", "statefulset": "db"},
            {"pod": "kube-state-metrics-x", "deployment": "web"},
            {"persistentvolumeclaim": "a", "pvc": "b"},
        ],
    )
    def test_two_things_at_once_are_nothing(self, labels):
        assert named("SomethingElse", namespace="shop", **labels) is None

    def test_a_pod_may_carry_its_owners_name_shortened(self):
        owner = "w" * 70
        pod = f"{owner[:58]}abcde"
        assert named("KubePodCrashLooping", namespace="shop", pod=pod, deployment=owner) == ("Pod", "shop", pod)

    @pytest.mark.parametrize(
        "name",
        [
            "../secrets",
            "Web",
            "web_1",
            "web ",
            "-web",
            "web-",
            "a..b",
            "x" * 254,
            "$(id)",
            "веб",
            "web\n",
            "web/scale",
            "*",
        ],
    )
    def test_no_name_that_kubernetes_would_refuse(self, name):
        assert named("KubePodCrashLooping", namespace="shop", pod=name) is None
        assert named("KubePodCrashLooping", namespace=name, pod="web") is None
        assert named("KubeNodeNotReady", node=name) is None

    def test_a_namespace_is_one_short_label(self):
        assert named("KubePodCrashLooping", namespace="a.b", pod="web") is None
        assert named("KubePodCrashLooping", namespace="a" * 64, pod="web") is None

    def test_never_from_annotations(self):
        assert named_object(alert("KubePodCrashLooping", {"namespace": "shop", "pod": "web-0"})) is None

    def test_an_empty_label_is_none(self):
        assert named("KubePodCrashLooping", namespace="shop", pod="", deployment="web")[0] == "Deployment"


class TestNodes:
    @pytest.mark.parametrize(
        ("labels", "name"),
        [
            ({"node": "worker-02", "instance": "10.0.0.9:9100"}, "worker-02"),
            ({"node": "metrics-host", "exported_node": "worker-02", "exported_namespace": "x"}, "worker-02"),
            ({"instance": "worker-02.example.org:9100"}, "worker-02.example.org"),
            ({"instance": "worker-02"}, "worker-02"),
        ],
    )
    def test_by_node_or_instance(self, labels, name):
        assert named("KubeNodeNotReady", **labels) == ("Node", "", name)

    def test_not_by_the_exporters_pod(self):
        assert named("NodeClockSkewDetected", namespace="monitoring", pod="node-exporter-x") is None
        assert named("NodeClockSkewDetected", instance="[fe80::1]:9100") is None

    def test_a_node_label_names_no_patient_in_other_families(self):
        assert named("KubePodNotReady", node="worker-02") is None
