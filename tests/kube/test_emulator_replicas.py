"""The emulated StatefulSets and bare ReplicaSets: as many pods as wanted; a name is free once its pod is gone."""

import pytest

KINDS = ("StatefulSet", "ReplicaSet")


def made(cluster, kind, replicas=2, **meta):
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "app", "image": "db:1"}]}}
    cluster.put(kind, "shop", {
        "metadata": {"name": "db", **meta},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "db"}}, "template": template},
    })  # fmt: skip


def names(cluster):
    return sorted(pod["metadata"]["name"] for pod in cluster.all("Pod"))


def status(cluster, kind):
    return cluster.get(kind, "shop", "db")["status"]


@pytest.mark.parametrize("kind", KINDS)
class TestTheirPods:
    def test_are_as_many_as_they_want_and_counted(self, cluster, advance, kind):
        made(cluster, kind)
        advance()
        assert (len(names(cluster)), status(cluster, kind)["replicas"]) == (2, 2)
        assert "readyReplicas" not in status(cluster, kind)
        advance(2)

        assert status(cluster, kind)["readyReplicas"] == status(cluster, kind)["availableReplicas"] == 2

    def test_come_and_go_with_the_number(self, cluster, advance, kind):
        made(cluster, kind)
        advance()
        for wanted in (3, 1, 0):
            cluster.edit(kind, "shop", "db", {"spec": {"replicas": wanted}})
            advance()
            advance()
            assert len(names(cluster)) == wanted

    def test_are_made_anew_when_one_is_gone(self, cluster, advance, kind):
        made(cluster, kind)
        advance(2)
        gone = cluster.all("Pod")[0]["metadata"]
        cluster.delete("Pod", "shop", gone["name"])
        advance()

        assert len(names(cluster)) == 2
        assert gone["uid"] not in {pod["metadata"]["uid"] for pod in cluster.all("Pod")}

    def test_end_with_their_owner(self, cluster, advance, kind):
        made(cluster, kind)
        advance()
        cluster.delete(kind, "shop", "db")
        advance()

        assert names(cluster) == []


class TestNames:
    def test_of_a_statefulset_are_numbers_and_the_highest_goes_first(self, cluster, advance):
        made(cluster, "StatefulSet", replicas=3)
        advance()
        assert names(cluster) == ["db-0", "db-1", "db-2"]

        cluster.edit("StatefulSet", "shop", "db", {"spec": {"replicas": 2}})
        advance()
        advance()
        assert names(cluster) == ["db-0", "db-1"]

    def test_are_free_only_when_the_pod_before_has_gone(self, cluster, advance):
        made(cluster, "StatefulSet")
        advance()
        old = cluster.get("Pod", "shop", "db-0")["metadata"]["uid"]
        leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.org/hold"]}
        cluster.store.patch(("Pod", "shop", "db-0"), {"metadata": leaving}, manager="", trusted=True)
        advance()
        assert names(cluster) == ["db-0", "db-1"]
        assert cluster.get("Pod", "shop", "db-0")["metadata"]["uid"] == old
        assert status(cluster, "StatefulSet")["replicas"] == 1

        cluster.edit("Pod", "shop", "db-0", {"metadata": {"finalizers": None}})
        advance()
        advance()
        assert cluster.get("Pod", "shop", "db-0")["metadata"]["uid"] != old


class TestAReplicaSet:
    def test_takes_a_pod_that_fits_and_says_nothing_of_one_that_no_node_runs(self, cluster, advance):
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        body = {"metadata": {"name": "one", "labels": {"app": "db"}}, "spec": {"nodeName": "nowhere"}}
        cluster.put("Pod", "shop", {**body, "status": running})
        made(cluster, "ReplicaSet")
        advance()

        one = cluster.get("Pod", "shop", "one")
        assert one["metadata"]["ownerReferences"][0]["name"] == "db"
        assert one["status"] == running
        assert (len(names(cluster)), status(cluster, "ReplicaSet")["readyReplicas"]) == (2, 1)

    def test_of_somebody_else_is_his_to_fill(self, cluster, advance):
        owner = {"apiVersion": "example.org/v1", "kind": "Rollout", "name": "db", "uid": "r-1", "controller": True}
        made(cluster, "ReplicaSet", ownerReferences=[owner])
        advance()

        assert names(cluster) == []
