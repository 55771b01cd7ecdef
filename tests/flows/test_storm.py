"""A thousand alerts at once, on a broker whose sender waits for the whole fan-out: all accounted for, one ticket."""

import time

import pytest

from tests.flows.harness import Scene, a_world, group
from tests.flows.storm import memory_mb, send

ALERTS, REAL = 1000, 60
MEMORY_MB = 200  # of one process; each of them holds the whole group at most a few times


@pytest.fixture
def stormy(tmp_path, kubeconfig):
    with a_world(tmp_path / "world", kubeconfig=kubeconfig, sync=True) as world:
        scene = Scene(world)
        scene.sweeps = False  # which would bring again what was lost
        yield scene


@pytest.mark.faults
class TestAThousandAlerts:
    def test_in_one_group_are_all_accounted_for_with_one_storm_ticket(self, stormy):
        scene = stormy
        scene.policy(storm_new_incidents=20)
        namespace = scene.namespace()
        for number in range(REAL):
            scene.cluster.deployment(
                namespace, f"web{number}", 1, annotations={"akeso.dev/minimum-replicas": "3"}, ready_after=0
            )
        scene.until(lambda: all(scene.ready(namespace, f"web{number}") for number in range(REAL)))
        before = scene.counters()
        alerts = [scene.alert(namespace, f"web{number}") for number in range(REAL)]
        alerts += [
            scene.alert(namespace, alertname="KubePodCrashLooping", pod=f"gone-{n:04}-abcde")
            for n in range(ALERTS - REAL)
        ]
        assert len({alert.fingerprint for alert in alerts}) == ALERTS
        body = group(*(alert.element() for alert in alerts))
        began = time.monotonic()

        statuses = send(scene, body)
        scene.until(lambda: scene.counters()["alerts_accounted"] - before.get("alerts_accounted", 0) == ALERTS)
        scene.settle()

        print(f"\n{ALERTS} alerts accounted for after {time.monotonic() - began:.1f} s, answers {statuses}")
        memory = memory_mb(scene)
        print(f"largest resident sets: {memory} MB")
        assert statuses[-1] == 200
        assert set(statuses[:-1]) <= {503}
        assert scene.counters()["alerts_received"] - before.get("alerts_received", 0) == ALERTS
        assert max(memory.values()) < MEMORY_MB

        scene.tick()
        scene.tick()
        storms = [ticket for ticket in scene.world.desk.tickets() if "storm" in str(ticket["content"])]
        assert len(storms) == 1
        assert scene.record(storms[0]["correlation_id"])["scope"] == "cluster/dev"
        assert len(scene.new()) <= 21
        assert len(scene.writes(namespace)) <= 20
        assert scene.counters().get("dead_letters", 0) == 0

        scene.resolve(*alerts)
        scene.pass_(900)
        assert scene.counters()["storms_over_total"] == 1
        namespace, alert = scene.patient()
        scene.fire(alert)
        scene.until_word("succeeded", namespace)
