"""The emulated DaemonSets: a pod per node, and a rollout that goes no further than its new pods are ready."""

import pytest

from shared.dev.cluster_daemonset import HASH

NODES = ("n1", "n2", "n3", "n4")


@pytest.fixture
def agents(cluster, advance):
    """A DaemonSet whose pods are ready on four nodes."""
    for name in NODES:
        cluster.node(name)
    cluster.daemonset("shop", "agent")
    advance()
    advance(2)
    return cluster


def status(cluster):
    return cluster.get("DaemonSet", "shop", "agent")["status"]


def places(cluster):
    return sorted(pod["spec"]["nodeName"] for pod in cluster.all("Pod"))


def generations(cluster):
    """How many pods there are of each template."""
    hashes = [pod["metadata"]["labels"][HASH] for pod in cluster.all("Pod")]
    return sorted(hashes.count(one) for one in set(hashes))


def template(cluster, *, image="registry.example/agent:2", notes=None):
    pod = {"metadata": {"annotations": notes or {}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    cluster.edit("DaemonSet", "shop", "agent", {"spec": {"template": pod}})


class TestItsPods:
    def test_are_one_on_each_node_and_counted(self, agents):
        assert places(agents) == list(NODES)
        assert status(agents) == {
            "desiredNumberScheduled": 4, "currentNumberScheduled": 4, "updatedNumberScheduled": 4, "numberReady": 4,
            "numberAvailable": 4, "numberMisscheduled": 0, "observedGeneration": 1,
        }  # fmt: skip

    def test_come_with_a_node_and_go_with_it(self, agents, advance):
        agents.node("n5")
        agents.delete("Node", "", "n1")
        advance()

        assert places(agents) == ["n2", "n3", "n4", "n5"]

    def test_come_back_when_one_is_gone_also_where_the_node_is_cordoned(self, agents, advance):
        agents.edit("Node", "", "n2", {"spec": {"unschedulable": True}})
        for pod in agents.all("Pod"):
            agents.delete("Pod", "shop", pod["metadata"]["name"])
        advance()

        assert places(agents) == list(NODES)
        assert status(agents)["numberUnavailable"] == 4

    def test_keep_off_nodes_that_its_selector_or_a_taint_excludes(self, agents, advance):
        agents.node("odd", {"pool": "odd"}, taints=({"key": "only", "value": "x", "effect": "NoSchedule"},))
        advance()
        assert places(agents) == list(NODES)

        tolerates = {"nodeSelector": {"pool": "odd"}, "tolerations": [{"key": "only", "operator": "Exists"}]}
        agents.edit("DaemonSet", "shop", "agent", {"spec": {"template": {"spec": tolerates}}})
        advance()
        assert places(agents) == ["odd"]

    def test_go_with_it(self, agents, advance):
        agents.delete("DaemonSet", "shop", "agent")
        advance()

        assert agents.all("Pod") == []


class TestARollout:
    @pytest.mark.parametrize(("most", "steps"), [(1, [[1, 3], [2, 2], [1, 3], [4]]), ("50%", [[2, 2], [4], [4], [4]])])
    def test_replaces_as_many_at_a_time_as_may_be_missing(self, agents, advance, most, steps):
        rolling = {"rollingUpdate": {"maxUnavailable": most}}
        agents.edit("DaemonSet", "shop", "agent", {"spec": {"updateStrategy": rolling}})
        template(agents)

        seen = []
        for _ in steps:
            advance()  # the old pods go
            advance()  # the new ones are made, and are ready a moment later
            seen.append(generations(agents))
            advance(2)
        assert seen == steps
        assert status(agents)["updatedNumberScheduled"] == status(agents)["numberReady"] == 4

    def test_stops_at_the_first_pods_that_do_not_get_ready(self, agents, advance):
        template(agents, image="registry.example/agent:bad")
        for _ in range(20):
            advance(30)

        assert generations(agents) == [1, 3]
        assert (status(agents)["numberReady"], status(agents)["updatedNumberScheduled"]) == (3, 1)

    def test_that_is_stuck_is_cured_by_the_template_before_it(self, agents, advance):
        template(agents, image="registry.example/agent:bad")
        for _ in range(3):
            advance(30)
        template(agents, image="registry.example/agent:1")
        for _ in range(5):
            advance(2)

        assert (status(agents)["numberReady"], status(agents)["updatedNumberScheduled"]) == (4, 4)

    def test_replaces_nothing_by_itself_where_pods_are_deleted_by_hand(self, agents, advance):
        by_hand = {"type": "OnDelete", "rollingUpdate": None}
        agents.edit("DaemonSet", "shop", "agent", {"spec": {"updateStrategy": by_hand}})
        before = {pod["metadata"]["name"] for pod in agents.all("Pod")}
        template(agents)
        advance()
        advance(2)

        assert {pod["metadata"]["name"] for pod in agents.all("Pod")} == before

    def test_can_make_ill_what_was_well_before_it(self, agents, advance):
        agents.delete("DaemonSet", "shop", "agent")
        advance()
        agents.daemonset("shop", "agent")
        template(agents, image="registry.example/agent:1", notes={"emulator.akeso.dev/behaviour": "crash-later"})
        advance()
        advance(2)
        assert status(agents)["numberReady"] == 4

        again = {"emulator.akeso.dev/behaviour": "crash-later", "kubectl.kubernetes.io/restartedAt": "now"}
        template(agents, image="registry.example/agent:1", notes=again)
        for _ in range(5):
            advance(30)
        assert (status(agents)["numberReady"], status(agents)["updatedNumberScheduled"]) == (3, 1)
