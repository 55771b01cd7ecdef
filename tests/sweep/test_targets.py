"""The sweeper counts what can fail, cheaply; and what cannot be counted costs the minute nothing else."""

import pytest

from functions.sweeper.main import sweep
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import PING
from shared.kube.errors import KubeDown
from shared.model.base import Model
from shared.sweep.targets import count
from tests.people.world import world as made


@pytest.fixture
def world(tmp_path, monkeypatch, redis):
    """Three Deployments in two namespaces, a StatefulSet, a DaemonSet and two nodes."""
    with made(tmp_path, monkeypatch, redis) as one:
        for namespace, name in (("shop", "a"), ("shop", "b"), ("bank", "a")):
            one.cluster.deployment(namespace, name)
        one.cluster.put("StatefulSet", "shop", {"metadata": {"name": "s"}, "spec": {}})
        one.cluster.put("DaemonSet", "shop", {"metadata": {"name": "d"}, "spec": {}})
        one.cluster.node("n1")
        one.cluster.node("n2")
        yield one


def remembered(world):
    return world.here.state.store.hash("{akeso}:default:default:targets").get("count")


class TestCounting:
    def test_finds_workloads_and_nodes_of_the_whole_cluster_and_has_them_remembered(self, world):
        assert count(Here("sweeper"), world.cause("sweeper")) == 7
        assert remembered(world) == "7"

    def test_asks_for_one_object_of_each_kind(self, world):
        world.cluster.requests.clear()

        count(Here("sweeper"), world.cause("sweeper"))

        assert [(one.verb, one.path) for one in world.cluster.requests] == [
            ("list", "/apis/apps/v1/deployments"),
            ("list", "/apis/apps/v1/statefulsets"),
            ("list", "/apis/apps/v1/daemonsets"),
            ("list", "/api/v1/nodes"),
        ]

    @pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Node"])
    def test_keeps_the_last_count_where_one_kind_cannot_be_counted(self, world, kind):
        count(Here("sweeper"), world.cause("sweeper"))
        world.cluster.node("n3")
        world.cluster.fault(kind=kind, verb="list", status=500, times=2)

        with pytest.raises(KubeDown):
            count(Here("sweeper"), world.cause("sweeper"))
        assert remembered(world) == "7"

    def test_changes_neither_stop_nor_policy_nor_epoch(self, world):
        world.ok("POST", "v1/stop", {"mode": "stop", "reason": "r", "by": "ada"})
        before = world.keys(), world.here.state.store.hash("{akeso}:epoch")["value"]

        count(Here("sweeper"), world.cause("sweeper"))

        after = world.keys(), world.here.state.store.hash("{akeso}:epoch")["value"]
        changed = {key for key in before[0].keys() | after[0].keys() if before[0].get(key) != after[0].get(key)}
        assert changed <= {"{akeso}:default:default:targets"}
        assert before[1] == after[1]

    def test_opens_no_lost_state(self, world):
        world.here.state.store.read("FLUSHALL")

        count(Here("sweeper"), world.cause("sweeper"))

        assert world.ok("GET", "v1/status")["epoch_ok"] is False


class TestTheMinute:
    def test_goes_on_where_nothing_can_be_counted(self, world):
        here = Here("sweeper")
        ping = Event(PING, "/ping", "1", "2026-01-01T00:00:00Z", "", {}, {})
        world.here.state.put(world.cause("escalate"), untold={"incident": "inc-1", "reason": "a test", "at": 1})
        world.cluster.fault(verb="list", status=500, times=8)

        sweep(ping, Model(), here)

        assert [event.type for event in world.sink.events] == ["dev.akeso.escalation.due.v1"]
        assert remembered(world) is None
