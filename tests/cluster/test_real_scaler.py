"""What only a real autoscaler can tell: that it takes the room it is given, and what it lacks without metrics."""

import pytest

from tests.cluster.metrics import Metrics

pytestmark = pytest.mark.usefixtures("nothing_broke")

EACH_M = 250  # thousandths of a CPU that each pod is to take


@pytest.fixture
def metrics(api, story, tmp_path):
    with Metrics(api, tmp_path / "metrics") as found:
        yield found


def scaled(story, namespace, limited):
    """An autoscaler of between one and two replicas, and wait until it says what limits it."""
    story.deployment(namespace, replicas=1, minimum=0)
    story.cluster.put("HorizontalPodAutoscaler", namespace, {"metadata": {"name": "web"}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1, "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
            "type": "AverageValue", "averageValue": f"{EACH_M}m"}}}],
    }})  # fmt: skip
    story.until(lambda: limited in says(story, namespace), lambda: f"never {limited}: {says(story, namespace)}")
    return story.alert(namespace, alertname="KubeHpaMaxedOut", horizontalpodautoscaler="web")


def says(story, namespace):
    found = story.cluster.get("HorizontalPodAutoscaler", namespace, "web")
    return [one["reason"] for one in (found.get("status") or {}).get("conditions") or ()]


class TestAnAutoscalerAtItsMaximum:
    def test_takes_the_step_more_that_it_is_given_and_is_not_limited_any_more(self, story, metrics):
        namespace = story.namespace()
        metrics.load[namespace] = 700  # what three pods can bear
        alert = scaled(story, namespace, "TooManyReplicas")
        story.until(lambda: story.ready(namespace) == 2, "it does not scale")

        story.fire(alert)
        incident = story.until_word("succeeded", namespace)
        story.until(lambda: story.ready(namespace) == 3, "the autoscaler does not take it")
        story.until(lambda: "DesiredWithinRange" in says(story, namespace), lambda: str(says(story, namespace)))
        story.cured(alert, namespace, soak_s=181)

        assert story.effects(namespace) == ["patch horizontalpodautoscalers executor-update-hpa"]
        assert story.tickets(incident) == []

    def test_that_has_no_metrics_is_told_and_left_alone(self, story, metrics):
        namespace = story.namespace()
        assert namespace not in metrics.load
        alert = scaled(story, namespace, "FailedGetResourceMetric")

        story.fire(alert)
        incident = story.until(lambda: story.incident(namespace))
        story.told(incident)

        assert story.effects(namespace) == []
