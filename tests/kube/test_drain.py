"""What one look of a drain sends away, and that it asks anew before each pod."""

import pytest

from shared.action import drain
from shared.kube import write as writing
from shared.kube.mark import MARK
from shared.model.facts import ObjectRef
from shared.model.plan import Refusal, Write

GRANT = "grant-1"
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r-1", "controller": True}


@pytest.fixture
def node(cluster):
    cluster.node("n1")
    return cluster.edit("Node", "", "n1", {"spec": {"unschedulable": True}})


@pytest.fixture
def pods(cluster, node):
    """Makes pods on the node."""

    def made(*names, namespace="shop", owned=True, **spec):
        meta = {"labels": {"app": "web"}, "ownerReferences": [OWNER] if owned else []}
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}], **spec}
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for name in names:
            cluster.put("Pod", namespace, {"metadata": {"name": name, **meta}, "spec": spec, "status": ready})

    return made


@pytest.fixture
def look(kube, node):
    """One look of a drain that has marked its node; `asked` keeps in which namespaces."""
    may = {"local": False, "unmanaged": False}
    write = Write(verb="drain", target=ObjectRef(kind="Node", name="n1", uid=node["metadata"]["uid"]), after=may)
    version = writing.read(kube, write).resource_version
    writing.apply(
        kube, write, mark=f"{GRANT}/1", undo=False, field_manager="akeso-test", resource_version=version, dry_run=False
    )

    def look(may=lambda _: None, own=("home",), **after):
        asked = write.model_copy(update={"after": {**write.after, **after}})
        return drain.some(kube, asked, mark=f"{GRANT}/1", field_manager="akeso-test", own=own, may=may)

    return look


def left(cluster):
    return {pod["metadata"]["name"] for pod in cluster.all("Pod") if "deletionTimestamp" not in pod["metadata"]}


class TestALook:
    def test_sends_pods_away_and_the_next_one_finds_none(self, cluster, pods, look):
        pods("a", "b")

        assert look().left == 2
        cluster.tick()
        assert left(cluster) == set()
        assert look() == drain.Look()

    def test_marks_each_pod_before_it_goes(self, cluster, pods, look):
        pods("a")
        cluster.pdb("shop", "web", {"app": "web"}, min_available=1)

        look()

        assert cluster.get("Pod", "shop", "a")["metadata"]["annotations"][MARK] == f"{GRANT}/1"

    def test_waits_for_what_a_budget_keeps_and_says_whom(self, cluster, pods, look):
        pods("a", "b")
        cluster.pdb("shop", "web", {"app": "web"}, min_available=1)

        found = look()

        assert (found.left, found.held) == (2, 1)
        assert "kept by a disruption budget" in found.text
        assert len(left(cluster)) == 1

    def test_takes_so_many_and_no_more(self, cluster, pods, look):
        pods(*(f"p-{n:02}" for n in range(drain.BATCH + 3)))

        look()

        assert left(cluster) == {"p-10", "p-11", "p-12"}

    def test_lets_none_wait_for_those_that_a_budget_keeps(self, cluster, pods, look):
        pods(*(f"p-{n:02}" for n in range(drain.BATCH + 1)))
        cluster.pdb("shop", "web", {"app": "web"}, min_available=drain.BATCH + 1)
        pods("free", namespace="zoo")

        assert look().held == drain.BATCH + 1
        assert "free" not in left(cluster)

    def test_is_asked_for_each_pods_namespace(self, cluster, pods, look):
        pods("a")
        pods("b", namespace="zoo")
        asked = []

        def may(namespace):
            asked.append(namespace)
            return Refusal(reason="lease", text="stop is set") if namespace == "zoo" else None

        assert look(may).refusal.reason == "lease"
        assert asked == ["shop", "zoo"]
        assert left(cluster) == {"b"}


class TestALookSendsNobodyAway:
    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            ({"owned": False}, "bare-pod"),
            ({"volumes": [{"name": "v", "emptyDir": {}}]}, "unsupported"),
            ({"namespace": "home"}, "protected"),
        ],
    )
    def test_when_one_of_them_must_not_go(self, cluster, pods, look, made, reason):
        pods("a")
        pods("z", **made)

        assert look().refusal.reason == reason
        assert left(cluster) == {"a", "z"}

    def test_from_a_node_that_takes_pods_again(self, cluster, pods, look):
        pods("a")
        cluster.edit("Node", "", "n1", {"spec": {"unschedulable": None}})

        assert look().refusal.reason == "changed"
        assert left(cluster) == {"a"}

    def test_from_a_node_that_is_another_by_now(self, cluster, pods, look):
        pods("a")
        cluster.delete("Node", "", "n1")
        cluster.node("n1")
        cluster.edit("Node", "", "n1", {"spec": {"unschedulable": True}})

        assert look().refusal.reason == "not-found"
        assert left(cluster) == {"a"}

    def test_once_it_is_shut_out(self, cluster, kube, pods, look, node):
        pods("a")
        one = Write(verb="drain", target=ObjectRef(kind="Node", name="n1", uid=node["metadata"]["uid"]), after={})

        assert writing.fence(kube, one, mark=f"{GRANT}/1", field_manager="akeso-test")

        assert look().refusal.reason == "changed"
        assert left(cluster) == {"a"}

    def test_of_a_daemon_set_or_the_node_itself(self, cluster, look):
        daemon = {**OWNER, "kind": "DaemonSet"}
        body = {"spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}]}}
        cluster.put("Pod", "home", {"metadata": {"name": "d", "ownerReferences": [daemon]}, **body})
        mirror = {"kubernetes.io/config.mirror": "x"}
        cluster.put("Pod", "home", {"metadata": {"name": "m", "annotations": mirror}, **body})

        assert look() == drain.Look()
        assert left(cluster) == {"d", "m"}
