"""The emulated controllers: what a Deployment becomes, and how its pods are ill when asked to be."""

import time

import pytest

from tests.cluster.api import until


def names(cluster):
    return {pod["metadata"]["name"] for pod in cluster.all("Pod")}


def ready(cluster):
    return cluster.get("Deployment", "shop", "web")["status"].get("readyReplicas", 0)


def reason(cluster):
    return cluster.get("Deployment", "shop", "web")["status"]["conditions"][0]["reason"]


def evict(cluster, name):
    cluster.store.patch(("Pod", "shop", name), {"metadata": {"deletionTimestamp": "x"}}, manager="", trusted=True)


class TestAHealthyDeployment:
    def test_it_becomes_one_replica_set_and_its_pods_with_owners_all_the_way(self, cluster, advance):
        deployment = cluster.deployment("shop", "web", 3)

        advance()

        (replica_set,) = cluster.all("ReplicaSet")
        assert replica_set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]
        assert len(cluster.all("Pod", labels="app=web")) == 3
        assert all(
            pod["metadata"]["ownerReferences"]
            == [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "controller": True,
                    "name": replica_set["metadata"]["name"],
                    "uid": replica_set["metadata"]["uid"],
                }
            ]
            for pod in cluster.all("Pod")
        )

    def test_its_pods_get_ready_after_their_time(self, cluster, advance):
        cluster.deployment("shop", "web", 2, ready_after=5)

        advance()
        advance(4)
        assert (ready(cluster), cluster.get("Deployment", "shop", "web")["status"]["unavailableReplicas"]) == (0, 2)

        advance(1)
        status = cluster.get("Deployment", "shop", "web")["status"]
        assert {key: value for key, value in status.items() if key != "conditions"} == {
            "observedGeneration": 1,
            "replicas": 2,
            "updatedReplicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
        }

    def test_nothing_is_written_once_nothing_changes(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()
        advance(2)
        version = cluster.store.version

        advance(60)

        assert cluster.store.version == version

    def test_scaling_adds_and_removes_pods_and_is_observed(self, cluster, advance):
        cluster.deployment("shop", "web", 1)
        advance()
        advance(2)
        first = names(cluster)

        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 3}})
        advance()
        assert len(names(cluster)) == 3
        assert first < names(cluster)
        assert cluster.get("Deployment", "shop", "web")["status"]["observedGeneration"] == 2

        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 1}})
        advance()
        assert names(cluster) == first  # the ready pod stays

    def test_an_evicted_pod_is_replaced_under_a_new_name(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()
        advance(2)
        evicted = min(names(cluster))

        evict(cluster, evicted)
        advance()
        advance(2)

        assert evicted not in names(cluster)
        assert (len(names(cluster)), ready(cluster)) == (2, 2)

    def test_what_it_owns_goes_with_it(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()

        cluster.store.delete(("Deployment", "shop", "web"))
        advance()

        assert cluster.all("ReplicaSet") == cluster.all("Pod") == []


class TestARollout:
    def image(self, cluster, **template):
        spec = {"template": {"spec": {"containers": [{"name": "app", "image": "new"}]}, **template}}
        cluster.edit("Deployment", "shop", "web", {"spec": spec})

    def test_old_pods_stay_until_new_ones_are_ready(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()
        advance(2)
        old = names(cluster)

        self.image(cluster)
        advance()
        assert old < names(cluster)
        assert reason(cluster) == "ReplicaSetUpdated"

        advance(2)
        assert names(cluster).isdisjoint(old)
        advance()
        assert reason(cluster) == "NewReplicaSetAvailable"

    def test_one_that_never_gets_ready_keeps_the_old_pods_serving(self, cluster, advance):
        cluster.deployment("shop", "web", 2)
        advance()
        advance(2)

        self.image(cluster, metadata={"annotations": {"emulator.akeso.dev/behaviour": "stuck"}})
        advance(100)
        advance(100)

        assert (ready(cluster), len(names(cluster)), reason(cluster)) == (2, 4, "ReplicaSetUpdated")

    def test_a_paused_deployment_scales_but_does_not_roll_out(self, cluster, advance):
        cluster.deployment("shop", "web", 1)
        advance()

        cluster.edit("Deployment", "shop", "web", {"spec": {"paused": True, "replicas": 2}})
        self.image(cluster)
        advance()

        assert len(cluster.all("ReplicaSet")) == 1
        assert len(names(cluster)) == 2


class TestIllPods:
    def test_a_crashing_pod_backs_off_and_its_restarts_grow(self, cluster, advance):
        cluster.deployment("shop", "web", 1, behaviour="crash")
        advance()

        seen = []
        for _ in range(4):
            (pod,) = cluster.all("Pod")
            (container,) = pod["status"]["containerStatuses"]
            assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
            seen.append(container["restartCount"])
            advance(30)

        assert seen == [1, 3, 3, 4]
        assert ready(cluster) == 0

    def test_a_crash_loop_can_move_on_under_a_new_name(self, cluster, advance):
        cluster.deployment("shop", "web", 1, behaviour="crash", move_after=60)
        advance()
        seen = [names(cluster)]

        for _ in range(3):
            advance(59)
            assert names(cluster) == seen[-1]
            advance(1)
            seen.append(names(cluster))

        assert len(set().union(*seen)) == 4

    def test_crash_once_is_cured_by_replacing_the_pods(self, cluster, advance):
        cluster.deployment("shop", "web", 2, behaviour="crash-once")
        advance()
        advance(60)
        assert ready(cluster) == 0

        for count, name in enumerate(sorted(names(cluster)), 1):
            evict(cluster, name)
            advance()
            advance(2)
            assert ready(cluster) == count

    def test_a_stuck_pod_never_gets_ready_and_never_crashes(self, cluster, advance):
        cluster.deployment("shop", "web", 1, behaviour="stuck")
        advance()
        advance(10_000)

        (pod,) = cluster.all("Pod")
        assert (ready(cluster), pod["status"]["containerStatuses"][0]["restartCount"]) == (0, 0)


def test_a_budget_follows_the_pods_that_are_ready(cluster, advance):
    cluster.deployment("shop", "web", 3)
    cluster.pdb("shop", "b", {"app": "web"}, min_available=2)

    def allowed():
        return cluster.get("PodDisruptionBudget", "shop", "b")["status"]["disruptionsAllowed"]

    advance()
    assert allowed() == 0
    advance(2)
    assert allowed() == 1
    evict(cluster, min(names(cluster)))
    advance()
    assert allowed() == 0


class TestItsThread:
    def test_it_acts_by_itself_and_stands_still_while_paused(self, cluster):
        cluster.resume()
        cluster.deployment("shop", "web", 1, ready_after=0)
        until(lambda: ready(cluster) == 1)

        cluster.pause()
        cluster.edit("Deployment", "shop", "web", {"spec": {"replicas": 2}})
        time.sleep(0.15)
        assert len(names(cluster)) == 1

        cluster.resume()
        until(lambda: ready(cluster) == 2)

    def test_stopping_it_twice_does_no_harm_and_its_port_is_free_again(self, cluster):
        cluster.stop()
        cluster.stop()

        again = type(cluster)(port=int(cluster._url.rpartition(":")[2]))
        assert again.start() == cluster._url
        again.stop()

    def test_a_taken_port_is_an_error_at_once(self, cluster):
        with pytest.raises(OSError, match="address already in use"):
            type(cluster)(port=int(cluster._url.rpartition(":")[2])).start()


class TestSomebodyElse:
    def test_removes_an_object_at_once_and_all_that_is_in_a_namespace(self, cluster):
        cluster.configmap("shop", "a", {})
        cluster.configmap("shop", "b", {})

        cluster.delete("ConfigMap", "shop", "a")
        assert cluster.get("ConfigMap", "shop", "a") is None
        cluster.delete("Namespace", "", "shop")
        assert cluster.all("ConfigMap") == []

    def test_sets_a_status_without_moving_the_generation(self, cluster):
        before = cluster.deployment("shop", "web", 1)["metadata"]

        after = cluster.set_status("Deployment", "shop", "web", {"readyReplicas": 1})

        assert after == cluster.get("Deployment", "shop", "web")
        assert after["status"] == {"readyReplicas": 1}
        assert after["metadata"]["generation"] == before["generation"]
        assert int(after["metadata"]["resourceVersion"]) > int(before["resourceVersion"])
