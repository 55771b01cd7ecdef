"""A thousand alerts at once, on a broker whose sender waits for the whole fan-out: all accounted for, one ticket."""

import time
from pathlib import Path

import pytest

from tests.flows.harness import Scene, a_world, group

ALERTS, REAL = 1000, 60
MEMORY_MB = 200  # of one process; each of them holds the whole group at most a few times


@pytest.fixture
def stormy(tmp_path, kubeconfig):
    with a_world(tmp_path / "world", kubeconfig=kubeconfig, sync=True) as world:
        yield Scene(world)


def _memory_mb(scene):
    """Largest resident set of each function's processes, by service."""
    seen = {}
    for name, group_id in scene.world.functions.pids().items():
        for pid in _of_group(group_id):
            lines = dict(line.partition(":")[::2] for line in _status(pid).splitlines())
            seen[name] = max(seen.get(name, 0), int(lines.get("VmHWM", "0 kB").split()[0]) // 1024)
    return seen


def _of_group(group_id):
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _stat(entry)[2:3] == [str(group_id)]:
            yield entry.name


def _stat(entry):
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


class TestAThousandAlerts:
    def test_in_one_group_are_all_accounted_for_with_one_storm_ticket(self, stormy):
        scene = stormy
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

        statuses = _sent_as_alertmanager_does(scene, body)
        scene.until(lambda: scene.counters()["alerts_accounted"] - before.get("alerts_accounted", 0) == ALERTS)
        scene.settle()

        print(f"\n{ALERTS} alerts accounted for after {time.monotonic() - began:.1f} s, answers {statuses}")
        memory = _memory_mb(scene)
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


def _sent_as_alertmanager_does(scene, body):
    """The group again and again while it is answered 503; the answers."""
    statuses = []
    for _ in range(60):
        statuses.append(scene.post(body))
        if statuses[-1] != 503:
            break
        time.sleep(0.2)
        scene.world.advance(5)
    return statuses
