"""What no machine can or may heal: a ticket that says why, and not one write."""

import pytest

from shared.decide.rules import TELL_ONLY
from tests.flows.emitted import recorded


def nothing(scene, namespace):
    return {}


def deployment(scene, namespace):
    """One that is well, and a pod of it."""
    scene.deployment(namespace, minimum=0, ready_after=0)
    (pod,) = scene.cluster.all("Pod", namespace)
    return {"deployment": "web", "pod": pod["metadata"]["name"]}


def claim(scene, namespace):
    scene.cluster.storage_class(namespace, grows=False)
    scene.cluster.claim(namespace, "data", "1Gi", namespace)
    return {"persistentvolumeclaim": "data"}


# What stands in a ticket where nobody knows what the alert is about, and where nobody knows a remedy.
NO_SCOPE, NO_RULE = "the scope cannot be determined", "No runbook rule fits"
KUBE_PROMETHEUS = {
    "KubeMemoryOvercommit": (nothing, (), NO_SCOPE),
    "TargetDown": (nothing, ("namespace",), NO_SCOPE),
    "CPUThrottlingHigh": (deployment, ("namespace", "pod"), "calls this alert informative"),
}
ORIGIN = {
    "complex-service-failure": (deployment, ("pod",), NO_RULE),
    "cpu-throttling": (deployment, ("deployment",), "calls this alert informative"),
    "disk-space": (nothing, (), NO_SCOPE),
    "pvc-near-full": (claim, ("persistentvolumeclaim",), "a volume with data on it"),
    "security-threat": (deployment, ("pod",), "would destroy evidence"),
    "test-connectivity": (nothing, (), NO_SCOPE),
}


def is_told(scene, namespace, alert, why):
    known = scene.new()
    scene.fire(alert)
    (incident,) = scene.until(lambda: scene.new() - known)
    scene.until_told(incident)
    assert why in scene.reasons(incident)
    assert scene.writes(namespace) == []
    assert {line["action"] for line in scene.lines(incident, "approved")} <= {TELL_ONLY}
    scene.resolve(alert)
    scene.until(lambda: scene.record(incident)["state"] == "closed")


class TestAnAlertThatIsForPeople:
    @pytest.mark.parametrize("alertname", KUBE_PROMETHEUS)
    def test_of_kube_prometheus_is_told_with_the_reason(self, emulated, alertname):
        made, named, why = KUBE_PROMETHEUS[alertname]
        namespace = emulated.namespace()
        own = {"namespace": namespace, **made(emulated, namespace)}
        labels = {"namespace": "", **{label: own[label] for label in named}}

        is_told(emulated, namespace, emulated.alert(name="", alertname=alertname, **labels), why)

    @pytest.mark.parametrize("case", ORIGIN)
    def test_of_the_origin_is_told_with_the_reason(self, emulated, case):
        made, named, why = ORIGIN[case]
        namespace = emulated.namespace()
        own = made(emulated, namespace)
        labels = recorded(case, namespace=namespace, **{label: own[label] for label in named})

        is_told(emulated, namespace, emulated.alert(name="", **labels), why)


class TestASuspectPod:
    def test_of_an_alert_is_isolated_by_a_person_alone_and_verified_when_another_serves(self, emulated):
        namespace = emulated.namespace()
        emulated.deployment(namespace, replicas=2, minimum=0, ready_after=0)
        suspect = emulated.cluster.all("Pod", namespace)[0]["metadata"]["name"]
        alert = emulated.alert(**recorded("security-threat", namespace=namespace, pod=suspect))
        emulated.fire(alert)
        first = emulated.until(lambda: emulated.incident(namespace))
        emulated.until_told(first)

        emulated.asked("v1/run", {
            "action": "quarantine_pod", "target": {"kind": "Deployment", "namespace": namespace, "name": "web"},
            "params": {"pod": suspect, "allow_unenforced": True}, "dry_run": False, "reason": "it beacons",
        })  # fmt: skip
        incident = emulated.until_word("progressing", namespace)  # of the person's own, whose plan has two steps
        emulated.until(lambda: "succeeded" in emulated.words(incident))
        emulated.until(lambda: emulated.ready(namespace) == 2)
        emulated.settle()
        emulated.pass_(121, step=121)

        assert emulated.until_word("verified", namespace) == incident
        assert emulated.record(incident)["state"] == "closed"
        kept = emulated.cluster.get("Pod", namespace, suspect)["metadata"]
        assert set(kept["labels"]) == {"akeso.dev/quarantine"}
        assert [line["action"] for line in emulated.lines(first, "approved")] == [TELL_ONLY]
        assert emulated.record(first)["state"] == "open"  # its alert fires until a person is done with it
