"""Where the emulated pods run, and where they go when a node is emptied or lost."""

import pytest

from shared.kube.errors import Throttled


@pytest.fixture
def spread(cluster, advance):
    """Four ready pods on two nodes."""
    cluster.node("n1")
    cluster.node("n2")
    cluster.deployment("shop", "web", 4)
    advance()
    advance(2)
    return cluster


def on(cluster, node):
    return [pod for pod in cluster.all("Pod") if pod["spec"].get("nodeName") == node]


def evict(kube, pod):
    meta = pod["metadata"]
    kube.evict("shop", meta["name"], uid=meta["uid"], resource_version=meta["resourceVersion"], annotations={})


class TestPods:
    def test_are_spread_over_the_nodes(self, spread):
        assert (len(on(spread, "n1")), len(on(spread, "n2"))) == (2, 2)

    def test_are_somewhere_in_a_cluster_without_nodes(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()

        assert len(on(cluster, "emulated")) == 2

    def test_evicted_from_a_cordoned_node_are_made_on_another_one(self, spread, kube, advance):
        spread.edit("Node", "", "n1", {"spec": {"unschedulable": True}})
        for pod in on(spread, "n1"):
            evict(kube, pod)
            advance()
            advance(2)

        assert (on(spread, "n1"), len(on(spread, "n2"))) == ([], 4)
        assert spread.get("Deployment", "shop", "web")["status"]["readyReplicas"] == 4

    def test_are_kept_by_a_budget_until_a_replacement_is_ready(self, spread, kube, advance):
        spread.pdb("shop", "b", {"app": "web"}, min_available=3)
        spread.edit("Node", "", "n1", {"spec": {"unschedulable": True}})
        first, second = on(spread, "n1")
        evict(kube, first)
        advance()

        with pytest.raises(Throttled):
            evict(kube, second)
        advance(2)
        evict(kube, second)

    @pytest.mark.parametrize("why", ["cordoned", "lost"])
    def test_that_no_node_takes_wait_and_start_when_one_does(self, cluster, advance, why):
        cluster.node("n1", ready=why != "lost")
        if why == "cordoned":
            cluster.edit("Node", "", "n1", {"spec": {"unschedulable": True}})
        cluster.deployment("shop", "web", 1)
        advance()
        advance(60)
        (pod,) = cluster.all("Pod")
        assert (pod["status"]["phase"], pod["status"]["conditions"][0]["reason"]) == ("Pending", "Unschedulable")

        cluster.edit("Node", "", "n1", {"spec": {"unschedulable": None}})
        cluster.set_status("Node", "", "n1", {"conditions": [{"type": "Ready", "status": "True"}]})
        advance()
        assert cluster.get("Deployment", "shop", "web")["status"].get("readyReplicas", 0) == 0
        advance(2)
        (now,) = on(cluster, "n1")
        assert now["metadata"]["uid"] == pod["metadata"]["uid"]
        assert cluster.get("Deployment", "shop", "web")["status"]["readyReplicas"] == 1


def test_a_node_says_what_it_is_and_has(cluster):
    found = cluster.node("n1", {"zone": "a"}, pressure="DiskPressure", memory="16Gi")

    assert found["metadata"]["labels"] == {"kubernetes.io/hostname": "n1", "zone": "a"}
    assert found["status"]["allocatable"] == {"cpu": "4", "memory": "16Gi", "pods": "110"}
    assert [one["type"] for one in found["status"]["conditions"]] == ["Ready", "DiskPressure"]
    assert found["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36.")
